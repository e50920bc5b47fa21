/*
 * opt - the options of a command line, by table.
 *
 * A table says which options there are, opt_parse() sorts the words of the
 * command line into options and operands and checks every value, and the
 * command asks for what it wants by name.  Help and completion are made from
 * the same tables.
 *
 * Long options are written --name, --name=value or --name value, never cut
 * short; letters -x, -xvalue, -x value, -xyz; options and operands may be
 * mixed; "--" ends the options and "-" is an operand.  Where an option that
 * makes sense once is given again, the last one counts.
 *
 * All texts are borrowed from argv and the tables.  One thread.
 */
#ifndef ASOF_CLI_OPT_H
#define ASOF_CLI_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum opt_kind {
	OPT_FLAG = 0, /* no value */
	OPT_TEXT,     /* anything but nothing */
	OPT_FILE,     /* the same, a file's name: for completion */
	OPT_DIR,      /* the same, a directory's */
	OPT_WORD,     /* one of `words`; its number is its place there */
	OPT_NUMBER,   /* decimal, at most `max` */
	OPT_SIZE,     /* bytes, or with K, M, G or T: times 1024 */
};

struct opt {
	const char *name; /* without its dashes; NULL ends a table */
	char letter;      /* 0: none */
	enum opt_kind kind;
	const char *value;        /* what the help calls the value */
	const char *help;         /* one line, no capital, no full stop */
	const char *const *words; /* OPT_WORD, with NULL at the end */
	uint64_t max;             /* OPT_NUMBER; 0: 2^31 - 1 */
};

struct opt_value {
	const struct opt *opt;
	const char *text; /* NULL for a flag */
	uint64_t number;
};

/* All-zero is an empty command line. */
struct opts {
	struct opt_value *value; /* in the order given */
	size_t values, value_cap;
	const char **arg; /* the operands */
	size_t args, arg_cap;
};

/*
 * Sort argv[0 ... argc) by the tables, a list that ends with NULL, and add it
 * to *out.  With `first_only` it stops at
 * the first operand, which with all that follows becomes the operands: for
 * what stands before the name of a command.
 *
 * ERR_USAGE with a sentence for what is unknown, lacks its value, has one
 * too many or a wrong one.  *out is to be cleared in any case.
 */
int opt_parse(const struct opt *const *tables, int argc,
	      const char *const *argv, bool first_only, struct opts *out,
	      struct err *e);
void opt_clear(struct opts *o);

/* Was it given?  Its text; NULL if not.  Its number; `fallback` if not. */
bool opt_given(const struct opts *o, const char *name);
const char *opt_text(const struct opts *o, const char *name);
uint64_t opt_number(const struct opts *o, const char *name, uint64_t fallback);

/* A size as OPT_SIZE has it; false when it is none. */
bool opt_size_parse(const char *s, uint64_t *out);

/* A decimal number of at most `max`; false when it is none. */
bool opt_number_parse(const char *s, uint64_t max, uint64_t *out);

/*
 * How many letters differ (put in, left out, changed): for "did you mean".
 * Words that are too long to be looked at are far apart.
 */
unsigned opt_distance(const char *a, const char *b);

/* Farther apart than this, or than half of it, a word is no slip. */
#define OPT_SLIP_MAX 2

#endif
