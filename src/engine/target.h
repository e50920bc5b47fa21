/*
 * target - the directories that a restore writes to.
 *
 * A target_dir is a directory beneath the target that is being filled.  It
 * is found once, by a single name below its parent's descriptor and never
 * through a link, and known by device and inode from then on; so neither a
 * hostile generation nor somebody who swaps directories meanwhile leads
 * outside.  It is finished - owner, mode, times and so on - when nobody
 * holds it any more and all directories in it are finished.
 *
 * Descriptors are few and trees are deep: one that nobody has pinned may be
 * closed and is opened again at need.
 *
 * Any thread.
 */
#ifndef ASOF_ENGINE_TARGET_H
#define ASOF_ENGINE_TARGET_H

#include "src/engine/entry.h"
#include "src/engine/restore.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct attrs;
struct buf;
struct chunk_reader;
struct err;
struct target;

struct target_dir {
	struct target *target;
	struct target_dir *parent; /* NULL: the top */
	bool made;                 /* by this restore */
	enum restore_wish wish;    /* pass: it stays as it was; fill, take */
	bool ours;                 /* what is made in it gets our own ids */
	bool blind;                /* may only be gone through: holds no files */
	bool hands_on;             /* what is made in it inherits an ACL */
	bool nameless;             /* its entry is that of a top directory */
	dev_t dev;
	ino_t ino;
	mode_t mode; /* of one made: as it is until finished */

	/* All below is guarded by the target's lock. */
	int fd; /* -1: closed for now */
	unsigned pins;
	uint64_t holds; /* it is not finished as long as there are any */
	uint64_t keeps; /* the struct lives as long as there are any */
	struct target_dir *older, *newer; /* among the open ones not pinned */
	struct target_dir *down;          /* while it is opened again */

	struct buf entry; /* encoded, until it is finished; empty: none */
	size_t name_len;
	char name[]; /* with a NUL; of the top, its path in the generation */
};

struct target_options {
	const char *to;
	const int *at; /* not NULL: the target is open, and is not closed */
	enum restore_existing existing;
	const struct attrs *attrs;
	struct chunk_reader *reader;
	const struct entry *entry; /* what a newly made top gets; or NULL */
	const char *path; /* of the top in the generation, "" for "/" */
	bool sync;        /* syncfs every file system that was written to */
	/* Told when a directory could not be finished. */
	void (*failed)(void *ctx, const struct target_dir *d,
		       const struct err *why, bool damage);
	void *ctx;
};

/* Opens the target directory, making it (not its parents) at need. */
int target_open(const struct target_options *opt, struct target **out,
		struct err *e);

/* Everything must have been let go, the top too; takes NULL. */
void target_close(struct target *t);

/*
 * The target directory itself, held once: target_done on it ends the work.
 */
struct target_dir *target_top(struct target *t);

/*
 * The directory `en` below `parent`, made or, if it is there, entered; held
 * once for the caller.  Something else in its place is a failure, unless
 * existing things are to be replaced and the wish is to take it.
 */
int target_enter(struct target_dir *parent, const struct entry *en,
		 enum restore_wish wish, struct target_dir **out,
		 struct err *e);

/* One more hold; `done` takes one back, and the last one finishes. */
void target_hold(struct target_dir *d);
void target_done(struct target_dir *d);

/* Keep place and name known, also when it is finished; and no longer. */
void target_keep(struct target_dir *d);
void target_drop(struct target_dir *d);

/* Its descriptor, good until unpinned, or -1. */
int target_pin(struct target_dir *d, struct err *e);
void target_unpin(struct target_dir *d);

/* openat below the target that does not mind signals. */
int target_openat(int dirfd, const char *name, int flags, mode_t mode);

/*
 * All of it, at this offset.  *written (or NULL) grows by what was written, also
 * when it fails.
 */
int target_write(int fd, const uint8_t *p, uint64_t len, uint64_t at,
		 uint64_t *written, struct err *e);

/* Append the path in the generation of a name in it (or of itself, NULL). */
void target_path(const struct target_dir *d, const void *name, size_t len,
		 struct buf *out);

#endif
