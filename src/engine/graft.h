/*
 * graft - changing a tree after it was walked: one path at a time.
 *
 * For files that writers hand over at the very end (attachments, late
 * declarations).  The directories on the way to the root are made anew when all
 * changes are known.  Also makes a small tree of its own, for what a session
 * leaves behind (doc/format.md, section 11).  One thread.
 */
#ifndef ASOF_ENGINE_GRAFT_H
#define ASOF_ENGINE_GRAFT_H

#include <stddef.h>
#include <stdint.h>

struct backup;
struct buf;
struct claim;
struct entry;
struct err;
struct graft;
struct record;

/*
 * Read a file (as any other: claims apply to `path`; `from` is where it lies,
 * as the component `owner` may open it, claims.h; NULL: at `path`) and put it
 * at `path`, in place of what is there.  Missing directories on the way are
 * made from those of the source.  A file of several names is replaced under
 * this one only, and is no link any more.  ERR_SOURCE: the file's fault (also:
 * no regular file, a directory in its place, no sensible path), nothing was
 * changed and no outcome told.
 */
int graft_file(struct graft *g, const char *path, const char *from,
	       size_t owner, struct err *e);

/*
 * The same of what is there itself, which may be anything but a directory: as
 * the walk would have stored it.
 */
int graft_any(struct graft *g, const char *path, struct err *e);

/*
 * Nothing is at `path` any more; a directory leaves when, in the end, nothing
 * is left in it.  1: nothing was there.
 */
int graft_remove(struct graft *g, const char *path, struct err *e);

/* A file that was put at `path`, or removed, is as the walk has left it. */
void graft_undo(struct graft *g, const char *path);

/* What there is at `path`: its encoded entry into *out; 1 when nothing is. */
int graft_find(struct graft *g, const char *path, struct buf *out,
	       struct err *e);

/*
 * A file of these bytes in the session's own tree, which the record refers to
 * (record.h, `session`); `name` may have slashes: "documents/NAME".  Made with
 * mode 0400, owner 0 and the time of the run's start.
 */
int graft_session(struct graft *g, const char *name, const void *p, size_t len,
		  struct err *e);

/*
 * An entry of another generation at a name of the session's tree: a file's with
 * its contents, of which nothing is read; a directory's for what it is itself,
 * without what is in it.  `from`: the record by whose tables it is to be
 * understood.  Hard links are none there.  ERR_SOURCE: too deep, or too long.
 */
int graft_session_entry(struct graft *g, const char *name,
			const struct record *from, const struct entry *en,
			struct err *e);

#endif
