/*
 * scan - list a directory and stat its names, a slice at a time, and say of
 * each whether it must be read.
 */
#ifndef ASOF_ENGINE_SCAN_H
#define ASOF_ENGINE_SCAN_H

#include "src/engine/backup_internal.h"

struct claim;

/* Buffers of one scanning thread. */
struct scan_scratch {
	uint8_t dents[32768];
	struct buf path, target, xattrs, entry;
};
void scan_scratch_clear(struct scan_scratch *s);

/*
 * The top directory "/" of the walk, with one count.
 */
int scan_top(struct backup *b, struct dir **out, struct err *e);

/*
 * Make the next slice of `d`.  The first call opens the directory and
 * gathers its metadata.  A slice marked `last` ends it.  Failures of the
 * source are kept in the items (or in d->item); -1 is a failure of the
 * repository or of memory.
 */
int scan_slice(struct backup *b, struct dir *d, struct scan_scratch *s,
	       struct slice **out, struct err *e);

/* Append the path of a directory, or of a name in it (may be NULL). */
void dir_path(const struct dir *d, const char *name, struct buf *out);

/* Says the error that a part of a base cannot be had? */
bool scan_is_lost(const struct err *why);

void dir_ref(struct dir *d);
void dir_unref(struct dir *d); /* takes NULL */
void slice_free(struct slice *s);

/*
 * For a file that is put into the tree after the walk: an item of its own, in
 * a slice and a directory of its own, judged as in a walk.  `parent` (taken
 * over; -1: it is not there) is the directory of `path`.  What nobody claims is
 * read whole.  On 0 slice_free and dir_unref are the caller's.
 */
struct scan_lone_what {
	const char *from; /* read from there, for `owner`; NULL: from `path` */
	size_t owner;
	bool any_type; /* not only a regular file, but no directory */
};
int scan_lone(struct backup *b, const char *path,
	      const struct scan_lone_what *what, int parent, struct slice **out,
	      struct err *e);

/* Give up the directories that a slice has found. */
void slice_drop_dirs(struct slice *s);

#endif
