/*
 * snapshot - the sources as they were at one moment, made by somebody else.
 *
 * doc/control.md, section 14.  A provider makes it and takes it away again; the
 * one there is, `command:PROGRAM`, leaves both to a program.  Writers are frozen
 * while a snapshot is made, so that takes as long as it is given and no longer.
 *
 * What was begun is always taken away, however it went.  That is the caller's
 * to ask for (snapshot_destroy) on every way out; a caller that is killed
 * leaves the snapshot behind.  One thread.
 */
#ifndef ASOF_SNAPSHOT_SNAPSHOT_H
#define ASOF_SNAPSHOT_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct snapshot;

/* Of `PROVIDER:WHAT`, as a person says it.  ERR_USAGE: there is none such. */
int snapshot_new(const char *text, struct snapshot **out, struct err *e);
void snapshot_free(struct snapshot *s); /* takes NULL; destroys nothing */

/* Its name, for writers: "command". */
const char *snapshot_provider(const struct snapshot *s);

/*
 * A directory that is to be in it: absolute and normal.  Each once.  ERR_USAGE
 * for a path that cannot be said to a provider (a tab or a newline).
 */
int snapshot_add(struct snapshot *s, const char *dir, struct err *e);

/*
 * Will one operation take all of them at the same moment?  Makes nothing.  What
 * is promised here must be kept by snapshot_create.
 */
int snapshot_promise(struct snapshot *s, unsigned seconds,
		     const atomic_int *cancel, bool *atomic, struct err *e);

/*
 * Make it, within so many seconds.  Fails (ERR_SOURCE, ERR_CANCELLED, ERR_SYS)
 * unless each directory can be read somewhere.
 */
int snapshot_create(struct snapshot *s, unsigned seconds,
		    const atomic_int *cancel, struct err *e);

/* The directories, and behind snapshot_create where to read them. */
size_t snapshot_count(const struct snapshot *s);
const char *snapshot_source(const struct snapshot *s, size_t i);
const char *snapshot_place(const struct snapshot *s, size_t i);

/* Take it away, if it was begun; the second time does nothing. */
int snapshot_destroy(struct snapshot *s, struct err *e);

#endif
