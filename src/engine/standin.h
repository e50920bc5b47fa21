/*
 * standin - directories that are read in place of others: a snapshot, as the
 * walk sees it.
 *
 * Everything keeps the names and paths of the sources; only where a directory
 * is opened differs.  What lies deeper counts: of two that hold a path, the
 * longer one.
 */
#ifndef ASOF_ENGINE_STANDIN_H
#define ASOF_ENGINE_STANDIN_H

#include "base/src.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct statx;

struct standin {
	const char *source; /* absolute and normal */
	const char *place;  /* where it is read */
	uint64_t dev;       /* of the place: major << 32 | minor */
	/* Of the source: */
	uint64_t source_dev;
	uint64_t fs_type;
	char fs[SRC_FSID_MAX];
};

struct standins {
	struct standin *v;
	size_t count;
};

/*
 * Find out what file systems they are of: the source's before the snapshot is
 * made (it may be gone then), the place's behind it.  ERR_SOURCE.
 */
int standin_look_source(struct standin *s, struct err *e);
int standin_look_place(struct standin *s, struct err *e);

/* The one for this very path; NULL: none.  `all` may be NULL. */
const struct standin *standin_at(const struct standins *all, const char *path);

/* The one that holds what lies at `path`, which is not its top. */
const struct standin *standin_above(const struct standins *all,
				    const char *path);

/* Where `path` is to be read, into *out, with a NUL behind it. */
int standin_path(const struct standins *all, const char *path,
		 struct buf *out, struct err *e);

/*
 * Is what this statx is of on the file system that stands in?  Then it goes by
 * the identity of the source's; what is mounted beneath has its own.
 */
bool standin_has(const struct standin *s, const struct statx *st);

#endif
