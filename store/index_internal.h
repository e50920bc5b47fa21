/*
 * index_internal - what the files of the index share.
 *
 * The index is a list of segments: run files that the catalogue lists, and
 * private ones that only this process knows.  A pack enters it in one of
 * three ways:
 *
 *	listed   catalogue_apply() made the pack and the run with its entries
 *	         known in one transaction
 *	pending  this process has just published it: its entries are in one
 *	         table in memory, until a flush lists them
 *	private  its directory was read, but it is not to be listed: there is
 *	         no catalogue, the cache cannot be written, or a part of the
 *	         directory is damaged, and the next process shall look again
 *
 * Pending and private packs have private numbers (CATALOGUE_NUMBERS and up).
 * One rule keeps everything consistent: an entry whose pack number is not
 * known is dead.  A pack that is gone, or that another process has listed
 * under another number, is taken out of the set of packs; its entries vanish
 * when their segment is next merged.
 *
 * Locks, in the order taken:
 *
 *	change   held by whoever alters anything, for all of a sync or flush;
 *	         who holds it may read what `lock` guards
 *	(file)   the file `lock` in the cache, between processes, held while the
 *	         catalogue is altered, so that two do not read the same new
 *	         packs or merge the same runs; who cannot have it goes on
 *	         privately
 *	lock     held for reading by look-ups, for writing only to swap one
 *	         view for the next, never across I/O
 *
 * Merging: segments are in tiers by size, each eight times the one before;
 * eight of one tier become one.  When more than half of all entries are
 * dead, all segments become one.
 */
#ifndef ASOF_STORE_INDEX_INTERNAL_H
#define ASOF_STORE_INDEX_INTERNAL_H

#include "base/err.h"
#include "store/catalogue.h"
#include "store/index.h"
#include "store/packset.h"
#include "store/segment.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Entries of this process's own packs that wait in memory: 1 MiB. */
#define PENDING_MAX (UINT32_C(1) << 16)

/* What look-ups see. */
struct view {
	struct packset packs;
	struct segment **segments;
	size_t count;
	struct segment *pending; /* in memory; NULL: none */
};

/* A pack that could not be read, or not whole, and why. */
struct damaged_pack {
	struct pack_id id;
	bool partial; /* known all the same, by the blocks that are sound */
	struct err why;
};

struct index {
	int cache_fd;
	struct catalogue *cat; /* NULL: none can be had */

	pthread_mutex_t change;       /* guards these: */
	struct catalogue_stamp stamp; /* of what was loaded */
	bool loaded;
	uint32_t next_private;
	int lock_fd; /* the lock file while it is held, else -1 */
	struct damaged_pack *damaged;
	size_t damaged_count, damaged_cap;

	pthread_rwlock_t lock; /* guards the view */
	struct view view;
};

/*
 * Everything below is called by whoever holds `change`.
 *
 * --- index.c ---
 */

/* Begin anew with nothing; 0 also where the catalogue cannot be replaced. */
int index_reset_locked(struct index *x, struct err *e);

/* A failure that says something about us, not about what was read. */
bool index_failure_is_ours(const struct err *why);

/* --- index_view.c --- */

/* Put *v in the place of the view, and the old one into *v. */
void index_view_swap(struct index *x, struct view *v);

/*
 * Free a view that is not in use any more, but for the segments that `next`
 * has taken over from it (NULL: none).
 */
void index_view_free(struct view *v, const struct view *next);

/*
 * Replace the segments `drop` by `add` (may be NULL) and set `pending`.
 * Frees what is left over.  Fails, changing nothing, when out of memory.
 */
int index_view_segments(struct index *x, struct segment *const *drop, size_t n,
			struct segment *add, struct segment *pending,
			struct err *e);

int index_view_add_pack(struct index *x, const struct known_pack *p,
			struct err *e);

/* The listed segment of this name, or NULL. */
struct segment *index_view_find_listed(const struct view *v, const char *name);

/* `n` consecutive private numbers. */
int index_view_private_numbers(struct index *x, uint32_t n, uint32_t *first,
			       struct err *e);

/* The cache's lock file; false when it is not to be had in this time. */
bool index_view_lock_cache(struct index *x, uint64_t wait_ns);
void index_view_unlock_cache(struct index *x);

/*
 * Bring the view in step with the catalogue.  ERR_CORRUPT when it is
 * damaged, or lists a run that is missing.
 */
int index_view_load(struct index *x, struct err *e);

/* As catalogue_apply and catalogue_take_numbers, under the cache's lock. */
int index_view_apply(struct index *x, const struct catalogue_update *u,
		     struct err *e);
int index_view_take_numbers(struct index *x, uint32_t n, uint32_t *first,
			    struct err *e);

/* --- index_merge.c --- */

/* A private segment: a file without a name, or a table where none can be. */
int index_make_private(struct index *x, const struct segment_merge *m,
		       struct segment **out, struct err *e);

/*
 * Merge what there is to merge.  Listed ones only with the cache's lock.
 * That a merge cannot be written is no failure: it is left for later.
 */
int index_merge(struct index *x, bool listed, struct err *e);

#endif
