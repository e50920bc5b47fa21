/*
 * statement - one line of what a writer declares, taken apart and judged.
 *
 * doc/control.md, section 5.  Judged is what can be seen in the line alone;
 * whether the component exists and who may say so is asked elsewhere
 * (metadata_judge).
 */
#ifndef ASOF_WRITER_STATEMENT_H
#define ASOF_WRITER_STATEMENT_H

#include "base/time.h"
#include "src/writer/grammar.h"
#include "src/writer/ranges.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define STATEMENT_ID_LEN    16    /* bytes of a generation's id */
#define STATEMENT_STAMP_MAX 65536 /* of one that is written by itself */

enum statement_kind {
	STATEMENT_NONE, /* a blank line or a comment */
	STATEMENT_PARTIAL_FILE,
	STATEMENT_DIFFERENCED_FILE,
	STATEMENT_BACKUP_STAMP,
	STATEMENT_BACKUP_METADATA,
	STATEMENT_ATTACH,
	STATEMENT_GAP,
	STATEMENT_RESTORE_TARGET,
	STATEMENT_DIRECTED_TARGET,
	STATEMENT_RESTORE_METADATA,
	STATEMENT_BEGIN,
	STATEMENT_COMMIT,
	STATEMENT_ABORT,
};

enum statement_since {
	SINCE_NOTHING,    /* open: one more entry of the journal */
	SINCE_STAMP,      /* closed: complete since the base of this stamp */
	SINCE_GENERATION, /* closed: complete since this generation */
};

/* Where a component's files go in a restore. */
enum statement_target {
	TARGET_ORIGINAL = 1,      /* as the restore method says */
	TARGET_ALTERNATE,         /* to the alternate locations */
	TARGET_DIRECTED,          /* as directed, the rest as the method says */
	TARGET_ORIGINAL_LOCATION, /* back, whatever the method says */
};

/* Strings belong to the statement; what a kind does not have is zero. */
struct statement {
	enum statement_kind kind;
	const char *component;
	const char *path;    /* of a file; differenced-file: of a directory */
	const char *to;      /* directed-target: the file to write to */
	const char *pattern; /* differenced-file */
	bool recursive;      /* differenced-file */
	bool has_newer;      /* differenced-file: newer= was given */
	struct ts newer;
	const char *text;        /* the TEXT of a kind that has one; metadata= */
	const char *from;        /* attach */
	const char *ranges_path; /* partial-file: a ranges file; else */
	struct ranges ranges;    /* partial-file: what changed */
	/* directed-target: a list, as is `ranges` then; pairs of one length */
	struct ranges to_ranges;
	enum statement_target target; /* restore-target */
	enum statement_since since;
	const char *since_stamp;
	uint8_t since_id[STATEMENT_ID_LEN];
	bool has_size; /* partial-file: size= was given */
	uint64_t size; /* the file was once this short */

	struct grammar_line line; /* holds the strings */
};

/*
 * Take apart a line without its newline.  EMSGSIZE for one that is too long,
 * also in its normal form; EDQUOT for too many ranges; EINVAL for the rest.
 * *s is emptied first; whatever is returned, it wants statement_clear in the
 * end.  On failure component and path are those that were readable (see
 * statement_gap) and nothing else is to be used.
 */
int statement_parse(struct statement *s, const void *line, size_t len,
		    struct err *e);
void statement_clear(struct statement *s);

/*
 * What is no longer known once this line, as far as it was understood, was
 * refused: a file of a component (both set), a component (*path NULL), or
 * all of the writer's (both NULL).
 */
void statement_gap(const struct statement *s, const char **component,
		   const char **path);

/*
 * Judge a stamp that is written by itself, not in a statement: *len loses one
 * newline at the end.  EMSGSIZE: more than STATEMENT_STAMP_MAX bytes, with the
 * newline; EINVAL: a NUL byte.
 */
int statement_stamp(const void *p, size_t *len, struct err *e);

/*
 * Is it one of those about a restore: said in pre-restore only?
 */
bool statement_is_restore(enum statement_kind kind);

/* The word for a restore target, and back (0: no such word). */
const char *statement_target_name(enum statement_target t);
enum statement_target statement_target_parse(const char *s);

/*
 * Append the normal form, without a newline.  It parses to the same statement
 * and is its own normal form.  STATEMENT_NONE has none.
 */
void statement_print(const struct statement *s, struct buf *out);

#endif
