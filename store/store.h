/*
 * store - reading chunks of an open repository by their ids.
 *
 * Ties together index, packs, decoded frames and directory blocks, each in a
 * cache with a limit.  A chunk is looked for first in the directory blocks at
 * hand (neighbours in a pack are neighbours in the tree), then through the
 * index; every hit is confirmed by the pack's directory, every chunk is
 * compared with its id after decoding, once per decoded frame.  If one copy of
 * a chunk is damaged and there is another, that one is used; copies in frames
 * that are noted as damaged (damage.h) are tried last.  A chunk that the
 * index does not know leads to one index_sync before it is missing.
 *
 * Any thread.
 */
#ifndef ASOF_STORE_STORE_H
#define ASOF_STORE_STORE_H

#include "store/chunk.h"
#include "store/id.h"
#include "store/pack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct damage;
struct err;
struct index;
struct repository;
struct session;
struct store;

/* All zero: defaults.  Limits are in bytes of memory. */
struct store_options {
	size_t frame_cache;  /* decoded frames; default 16 MiB */
	size_t block_cache;  /* directory blocks; default 4 MiB */
	unsigned open_packs; /* descriptors; default 64 */
};

/*
 * Opens cache and index and brings them in step with packs/.  `r` and `s` (not
 * NULL) are borrowed and must outlive the store.
 */
int store_open(struct repository *r, struct session *s,
	       const struct store_options *opt, struct store **out,
	       struct err *e);
void store_close(struct store *st);

struct repository *store_repository(const struct store *st);
struct session *store_session(const struct store *st);
struct index *store_index(const struct store *st);

/* The notes of damage, as new as what is known of the packs. */
struct damage *store_damage(const struct store *st);

/* Where the cache is, and whether it is a throw-away one; the store's own. */
const char *store_cache_path(const struct store *st, bool *temporary);

/* Packs whose footer was bad at open or the last refresh. */
size_t store_bad_packs(const struct store *st);

/* Packs that the catalogue knew and that are no longer there. */
size_t store_gone_packs(const struct store *st);

/*
 * Highest number of the generations that were there when packs were found to
 * have vanished, now or by an earlier process with this cache; 0 if never.
 * They may lack chunks: a backup must not take them as a base unread.
 */
uint32_t store_lost_until(const struct store *st);

/* Learn packs and notes that have appeared or vanished since. */
int store_refresh(struct store *st, struct err *e);

/*
 * The repository was opened anew (repository_follow): let go of what is open
 * in it, and look again.
 */
int store_reopened(struct store *st, struct err *e);

/* The store as a chunk_reader; the store's own, valid until it is closed. */
struct chunk_reader *store_reader(struct store *st);

/*
 * Whether the chunk is stored in a pack that is not condemned, as its
 * directory says, and in a frame that is not noted as damaged: 1 yes, 0 no,
 * -1 failed.  Does not decode it.
 */
int store_has(struct store *st, const struct id *id, struct err *e);

/*
 * Whether contents or maps of files may be lost: what is noted as damaged is
 * not all stored elsewhere.  1 yes, 0 no, -1 failed.
 */
int store_misses(struct store *st, struct err *e);

/*
 * The same with the place: for statistics and `check`.  *frame identifies the
 * frame, so that equal values mean one decode.
 */
struct store_place {
	struct pack_id pack;
	uint32_t frame_offset;
	uint32_t stored_len, raw_len;
	uint32_t len;
};
int store_find(struct store *st, const struct id *id, struct store_place *out,
	       struct err *e); /* 0 found, 1 not, -1 failed */

/*
 * For the writer: tell the index about a pack that is durable now, and write
 * down what it was told.  Any thread.
 */
int store_add_pack(struct store *st, const struct pack_id *id,
		   uint64_t pack_len, const struct id *ids, uint32_t chunks,
		   struct err *e);
int store_flush_index(struct store *st, struct err *e);

struct store_counters {
	uint64_t gets, frame_hits, frames_decoded, bytes_read, bytes_decoded;
	uint64_t index_finds, blocks_loaded;
};
void store_counters(const struct store *st, struct store_counters *out);

#endif
