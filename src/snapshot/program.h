/*
 * program - one run of a provider's program.
 */
#ifndef ASOF_SNAPSHOT_PROGRAM_H
#define ASOF_SNAPSHOT_PROGRAM_H

#include <stdatomic.h>

struct buf;
struct err;

struct program {
	const char *path, *verb;
	const struct buf *in; /* all that it is told */
	unsigned seconds;     /* that it may take */
	const atomic_int *cancel; /* or NULL: it is not interrupted */
};

/*
 * Run it to its end; what it printed is appended to *out, on failure, too.
 * ERR_SOURCE: it failed, took too long, or said too much, and is gone with all
 * that it started; the sentence has the last line of its standard error.
 * ERR_CANCELLED.
 */
int program_run(const struct program *p, struct buf *out, struct err *e);

#endif
