/*
 * restore_internal - what the parts of a restore share: restore.c walks and
 * hands out, place.c makes one thing, relink.c makes hard links of it.
 */
#ifndef ASOF_ENGINE_RESTORE_INTERNAL_H
#define ASOF_ENGINE_RESTORE_INTERNAL_H

#include "base/err.h"
#include "base/io.h"
#include "base/path.h"
#include "src/engine/attrs.h"
#include "src/engine/restore.h"
#include "src/engine/target.h"
#include "src/engine/view.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RESTORE_TEMP_PREFIX ".asof-"

struct pool;
struct relink;

struct run {
	struct view_gen *gen;
	const struct restore_options *opt;
	struct attrs *attrs;
	struct target *target;
	struct pool *pool;
	struct relink *relink;
	mode_t umask;
	atomic_bool stop;
	atomic_uint_fast64_t done_files, done_bytes; /* for progress */

	pthread_mutex_t report; /* guards what follows; one call at a time */
	struct restore_result sum;
	struct err why; /* why it was stopped */
	uint64_t told_at;
};

/* True when the run is over, whatever the reason. */
bool restore_stopped(struct run *run);

/* Does it make no sense to go on after this failure? */
bool restore_is_fatal(const struct err *why, bool damage);

/*
 * Tell of a failure at a name in a directory (or at itself, NULL); one that
 * is fatal stops the run instead.  Takes `why` over.
 */
void restore_tell(struct run *run, const struct target_dir *d, const void *name,
		  size_t len, struct err *why, bool damage);

/* Now and then, tell how far it is. */
void restore_tick(struct run *run);

/* Add the counts (not the totals). */
void restore_add(struct run *run, const struct restore_result *part);

/* --- place.c: one thing ------------------------------------------------------ */

/* One thing to restore, by one worker. */
struct job {
	struct run *run;
	struct target_dir *dir; /* where to, and its descriptor */
	int dirfd;
	const struct entry *en;
	char name[PATH_NAME_MAX + 1];
	char temp[sizeof(RESTORE_TEMP_PREFIX) + IO_RANDOM_NAME_LEN];
	const char *at;        /* `name`, or `temp` if that must be replaced */
	int fd;                /* of a file */
	bool linked;           /* more names of it may come */
	bool in_place;         /* it was there and is rewritten */
	int link_fd;           /* make it as a link of link_name in link_fd, */
	const char *link_name; /* unless that is NULL */
	bool damage;           /* a failure is the repository's */
	struct restore_result *sum;
};

/*
 * Make the thing with its content and all that belongs to it.  0 made, 1
 * something is there and stays, -1 with nothing left behind.
 */
int place_new(struct job *j, struct err *e);

/* Make it as a link of `name` in `dir`; the same results. */
int place_link(struct job *j, struct target_dir *dir, const char *name,
	       struct err *e);

/* Count and tell a failure of this job; takes `why` over. */
void place_tell(struct job *j, struct err *why);

/* --- relink.c: hard links ---------------------------------------------------- */

int relink_new(struct run *run, struct relink **out, struct err *e);

/* Sets what had to wait for the last link.  Takes NULL. */
void relink_free(struct relink *l);

/* Restore one name of an inode that has several; as place_new. */
int relink_restore(struct relink *l, struct job *j, struct err *e);

#endif
