/*
 * err - what went wrong, as a value with a sentence.
 *
 * A function that can fail returns int (0 done, -1 failed, sometimes 1 for
 * "no such thing") and takes a struct err * as its last parameter.  The
 * object lives on the stack of whoever acts on it; all-zero means "no
 * error"; NULL means "the return value is enough".  The first failure wins:
 * setting an error that is already set changes nothing.
 *
 * Kinds are what a caller does differently, not a list of everything.
 * Messages are lower case without a full stop and name the thing and the
 * place.  Names that came from outside go through path_show() first.
 *
 * An err belongs to one thread at a time.
 */
#ifndef ASOF_BASE_ERR_H
#define ASOF_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

enum err_kind {
	ERR_NONE = 0,    /* a zeroed struct err is "no error" */
	ERR_SYS,         /* a call on repository, cache or target failed */
	ERR_SOURCE,      /* a call on a file that is being backed up failed */
	ERR_NOMEM,       /* out of memory */
	ERR_CORRUPT,     /* stored bytes contradict doc/format.md */
	ERR_MISSING,     /* what a stored reference promises is not there */
	ERR_UNSUPPORTED, /* valid, but newer than this program */
	ERR_BUSY,        /* somebody else holds it */
	ERR_USAGE,       /* the person asked for nonsense */
	ERR_CANCELLED,   /* a signal, or the caller's cancel flag */
};

#define ERR_TEXT_LEN 600

struct err {
	enum err_kind kind;
	int saved_errno; /* of ERR_SYS, ERR_SOURCE; of a refusal (writer/refuse.h) */
	char text[ERR_TEXT_LEN];
};

/*
 * Set *e to kind and sentence unless it is set already.  Always returns -1,
 * so that `return err_set(...)` is the whole failing branch.
 */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold));

/*
 * The same for a failed system call on the repository, the cache or the
 * target: takes errno and adds ": " and its text.  ENOMEM becomes ERR_NOMEM.
 */
int err_sys(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), cold));

/* The same for a failed system call on a source file (ERR_SOURCE). */
int err_source(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), cold));

/* "out of memory". */
int err_nomem(struct err *e) __attribute__((cold));

/*
 * Put "prefix: " before the sentence of an error that is set, to say where
 * on the way up it happened.  Always returns -1.
 */
int err_prefix(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), cold));

/*
 * Says it that stored bytes are not what was stored?  A sector that the disk
 * does not give any more is as bad as a wrong byte.
 */
bool err_is_rot(const struct err *e);

/* Back to "no error". */
void err_clear(struct err *e);

/*
 * Move `from` into `to` unless `to` is set already; `from` is cleared.
 * Both may be NULL.
 */
void err_move(struct err *to, struct err *from);

#endif
