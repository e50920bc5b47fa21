/*
 * memstore - a store in memory, for tests: both doors of store/chunk.h.
 *
 * Every get hands out a copy of exactly the chunk's length, freed by its
 * release, so that sanitizers see a read beyond it or after it.  Chunks can
 * be lost, damaged and replaced.  Memory is not taken through base/mem: a
 * test that makes allocations fail means those of the code under test.
 * Any thread.
 */
#ifndef ASOF_TESTS_LIB_MEMSTORE_H
#define ASOF_TESTS_LIB_MEMSTORE_H

#include "store/chunk.h"
#include "store/id.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memstore_chunk;

struct memstore {
	struct chunk_reader reader;
	struct chunk_sink sink;
	struct id_keys keys;
	/* Counters; a test may set them to zero. */
	uint64_t gets;
	uint64_t puts;
	uint64_t fresh; /* puts of chunks that were not there yet */
	uint64_t fresh_bytes;
	uint64_t held; /* got and not yet released */
	/* Puts (gets) that still succeed; the next fails with ERR_SYS. */
	uint64_t puts_left, gets_left; /* UINT64_MAX: no limit */

	pthread_mutex_t lock;         /* of all above but keys, and of: */
	struct memstore_chunk **slot; /* a hash table, open addressing */
	size_t slots, used;
};

/* Never fail: out of memory ends the test. */
struct memstore *memstore_new(void);

/* Dies when a chunk is still held. */
void memstore_free(struct memstore *m);

/* Put a chunk and return its id. */
struct id memstore_put(struct memstore *m, enum id_kind kind, const void *p,
		       size_t len);

/* The bytes of a chunk, the store's; NULL when it has none. */
const uint8_t *memstore_bytes(struct memstore *m, const struct id *id,
			      size_t *len);

/* From now on it is not there (ERR_MISSING). */
void memstore_drop(struct memstore *m, const struct id *id);

/* From now on its bytes differ from its id (ERR_CORRUPT). */
void memstore_corrupt(struct memstore *m, const struct id *id);

/*
 * Under this id serve these bytes, and do not mind the id: what a broken
 * writer could have stored.  The kind is kept.
 */
void memstore_replace(struct memstore *m, const struct id *id, const void *p,
		      size_t len);

/* All chunks that were ever put, in no order. */
typedef void (*memstore_fn)(void *ctx, enum id_kind kind, const struct id *id,
			    const uint8_t *p, size_t len);
void memstore_each(struct memstore *m, memstore_fn fn, void *ctx);

#endif
