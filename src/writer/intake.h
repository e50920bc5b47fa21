/*
 * intake - bytes that are written into a control file, as lines.
 *
 * One per open handle.  Writes come in any pieces; lines are accepted as their
 * newline arrives, those of one write together, so that a disk is waited for
 * once, or one by one where that cannot be.  What write(2) returns is counted here: the
 * bytes up to the last accepted newline, and an unfinished line behind it.  A
 * refused line stops the count in front of it; if it is the first of this
 * write, the write fails with its errno and nothing is taken; if its head came
 * in an earlier write, the handle fails from then on, with the same errno.
 *
 * begin ... commit: the lines between are kept and accepted together, or none.
 * A refusal in between fails the transaction, and `commit` gives EINVAL.  A
 * transaction that has failed, or was idle for too long, takes lines until its
 * commit or abort, and nothing comes of them.
 *
 * One call at a time for each handle, also while the sink waits for something.
 */
#ifndef ASOF_WRITER_INTAKE_H
#define ASOF_WRITER_INTAKE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct statement;

#define INTAKE_TRANSACTION_MAX  (1u << 20)  /* bytes between begin and commit */
#define INTAKE_LINES_MAX        1024u       /* and lines; also of one write */
#define INTAKE_IDLE_NS UINT64_C(600000000000) /* then a transaction is aborted */

/*
 * Who takes the lines.  All return 0, or -1 with a refusal (refuse.h).
 *
 *   begin    may a transaction be begun?  NULL: always.
 *   check    may this be accepted?  Nothing happens yet.
 *   accept   all n of them, together, or none; they have been checked.
 *   refused  a line was refused: it is logged, and leaves a gap.  `s` is what
 *            was understood of it; for a transaction that came to nothing, what
 *            all its lines were about (then `line` is "begin" or "commit").
 */
struct intake_sink {
	int (*check)(void *ctx, struct statement *s, struct err *e);
	int (*accept)(void *ctx, struct statement *const *s, size_t n,
		      struct err *e);
	void (*refused)(void *ctx, const struct statement *s, const void *line,
			size_t len, const struct err *why);
	void *ctx;
	int (*begin)(void *ctx, struct err *e);
};

/* A line of the write at hand. */
struct intake_line {
	const char *text; /* without its newline */
	size_t len;
	size_t at;   /* how much of the write is in front of it */
	bool headed; /* it began in an earlier write */
	struct statement *s;
};

struct intake {
	const struct intake_sink *sink;
	struct buf part;     /* of an unfinished line */
	struct buf head;     /* a line whose head had been that, whole */
	struct buf told;     /* a refused line behind what the last write took */
	int told_error;      /* what it was refused with */
	struct intake_line refused; /* of the write at hand */
	struct intake_line *line; /* of the write at hand: to be accepted */
	size_t lines, lines_cap;
	int broken;          /* the errno that the handle fails with, or 0 */
	bool transaction;
	bool failed;         /* the transaction */
	uint64_t touched_ns; /* when a line of it came last */
	struct statement **kept;
	size_t kept_count, kept_cap, kept_bytes;
};

/*
 * n bytes more.  Returns how many were taken (> 0), or -errno.  n is what one
 * write(2) brought.
 */
ssize_t intake_write(struct intake *in, const void *p, size_t n,
		     uint64_t now_ns);

/* Has it been idle for too long?  Then the transaction is aborted: true. */
bool intake_tick(struct intake *in, uint64_t now_ns);

/* The handle is closed: an unfinished line is refused, a transaction aborted. */
void intake_close(struct intake *in);

#endif
