/*
 * grammar - a line of a writer, taken apart into words; and back.
 *
 * doc/control.md, section 3.  Words are separated by blanks and tabs.  A word
 * that begins with a quote, or goes on with one directly behind an `=`, ends
 * with the next quote and may hold any byte but NUL and newline, with the
 * escapes \n \t \" \\ \xHH; outside quotes a backslash is a byte like others.
 * A line whose first byte behind blanks is `#` is a comment: it has no words.
 *
 * Everything is bytes; nothing depends on the locale.  A sentence about a
 * line begins with the column, a count of bytes from 1.
 */
#ifndef ASOF_WRITER_GRAMMAR_H
#define ASOF_WRITER_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define GRAMMAR_LINE_MAX    65536 /* bytes of a line, without its newline */
#define GRAMMAR_WORDS_MAX   16384 /* of a line */
#define GRAMMAR_OPTIONS_MAX 16    /* behind the fixed words of a line */

struct grammar_word {
	char *s; /* a NUL stands behind it, and none is inside */
	size_t len;
	size_t key;    /* KEY= begins it, bare: the length of KEY; else 0 */
	size_t column; /* where it begins */
	bool quoted;   /* all of it is in quotes, or all behind KEY= */
};

/* All-zero is an empty line. */
struct grammar_line {
	struct grammar_word *word;
	size_t count, cap;
	char *bytes; /* of all words */
};

/*
 * Take a line apart (without its newline; a carriage return at its end does
 * not count).  An empty line and a comment have no words.  EMSGSIZE: longer
 * than GRAMMAR_LINE_MAX; EINVAL: anything else.  On failure *l holds the words
 * that were complete before the place at fault.  *l is emptied first; whatever
 * is returned, it wants grammar_clear in the end.
 */
int grammar_split(struct grammar_line *l, const void *text, size_t len,
		  struct err *e);
void grammar_clear(struct grammar_line *l);

/* What may stand behind the fixed words of a line. */
struct grammar_key {
	const char *name;
	bool flag; /* a word of its own; else NAME=VALUE */
};

/*
 * Sort the words from `first` on into found[0 .. n), one for each of the n
 * keys (NULL: not there).  EINVAL for an unknown key, a second one of a kind, a
 * key without a value, a flag with one, a word that is neither, more than
 * GRAMMAR_OPTIONS_MAX of them.
 */
int grammar_options(const struct grammar_line *l, size_t first,
		    const struct grammar_key *keys, size_t n,
		    const struct grammar_word **found, struct err *e);

/* The value of an option that grammar_options found. */
const char *grammar_value(const struct grammar_word *w);

/*
 * A refusal (EINVAL) that begins with the column of the word and names the
 * word: "column 7: SENTENCE: WORD".  Always returns -1.
 */
int grammar_refuse(const struct grammar_word *w, const char *sentence,
		   struct err *e);

/* The same if there is a fault; 0 if it is NULL. */
int grammar_judge(const struct grammar_word *w, const char *fault,
		  struct err *e);

/*
 * Append bytes (no NUL among them) as one word that reads back as them, bare
 * when that is possible and in printable ASCII always.
 */
void grammar_quote(struct buf *out, const void *p, size_t len);

/* The same, in quotes even when it need not be. */
void grammar_quote_always(struct buf *out, const void *p, size_t len);

/* Append a blank and a string as a word; a blank and KEY=VALUE. */
void grammar_put(struct buf *out, const char *s);
void grammar_put_option(struct buf *out, const char *key, const char *value);

#endif
