/*
 * index - all runs of the cache as one: which pack and slot may hold a chunk.
 *
 * A hint.  Opened from the catalogue's list of runs; kept in step with the
 * packs that really exist by index_sync().  Runs are merged in tiers of 8 so that
 * there are few.  Look-ups are from any thread; sync, add and
 * merge from one at a time (they take the index's own lock for the swap).
 */
#ifndef ASOF_STORE_INDEX_H
#define ASOF_STORE_INDEX_H

#include "store/catalogue.h"
#include "store/pack.h"
#include "store/run.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct frame_coder;
struct index;

/*
 * Open the cache's index.  Damage in catalogue or runs leads to an empty
 * index, which index_sync() fills again; only failures of the machine
 * (ERR_SYS, ERR_NOMEM) are returned.
 */
int index_open(int cache_fd, const char *cache_path, struct index **out,
	       struct err *e);
void index_close(struct index *x);
struct catalogue *index_catalogue(struct index *x); /* may be NULL */

/*
 * Compare the names in packs_fd with the packs known: read the directories
 * of new ones into a run, forget those that are gone.  This is also the
 * rebuild.  Packs without a valid footer are skipped and handed to `bad`
 * (may be NULL), as are, each time, packs of whose directory only a part can
 * be read; these are known by that part.  `bad` must not call the index.  An
 * unwritable cache is no failure: the entries then stay in memory.
 */
typedef void (*index_bad_fn)(void *ctx, const struct pack_id *id,
			     const struct err *why);
struct index_sync_result {
	uint32_t added, gone, bad;
};
int index_sync(struct index *x, int packs_fd, index_bad_fn bad, void *ctx,
	       struct index_sync_result *out, struct err *e);

/*
 * Candidates for a key, at most `max`, lower pack ids first where there are
 * several; the count or -1.  ERR_CORRUPT means a damaged run: call
 * index_reset() and index_sync(), then ask again.
 */
struct index_hit {
	struct pack_id pack;
	uint32_t slot;
};
int index_find(struct index *x, uint64_t key, struct index_hit *out, int max,
	       struct err *e);

/* Throw all runs and known packs away. */
int index_reset(struct index *x, struct err *e);

/*
 * Packs that this process has just made durable: ids by slot.  Kept in memory
 * until index_flush() or 2^16 entries, then written as a run.
 */
int index_add_pack(struct index *x, const struct pack_id *id, uint64_t pack_len,
		   const struct id *ids, uint32_t chunks, struct err *e);
int index_flush(struct index *x, struct err *e);

/* Every pack known, in no order. */
typedef int (*index_pack_fn)(void *ctx, const struct pack_id *id,
			     uint64_t len, uint32_t chunks, struct err *e);
int index_packs(struct index *x, index_pack_fn fn, void *ctx, struct err *e);

/* Bytes of memory held by filters and fences; number of entries. */
size_t index_memory(struct index *x);
uint64_t index_entries(struct index *x);

#endif
