/*
 * table - where an item is, by what it is called.
 *
 * Names are somebody else's choice.  They are hashed under a random key, by a
 * polynomial modulo a prime, so that nobody can choose many that fall on one
 * place.  All-zero is an empty table.  One thread at a time.
 */
#ifndef ASOF_WRITER_TABLE_H
#define ASOF_WRITER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct table_key {
	uint64_t factor, start;
};

/* A random key. */
int table_key(struct table_key *out, struct err *e);

/* The hash of n bytes; of what was hashed so far and n more. */
uint64_t table_hash(const struct table_key *key, const void *p, size_t n);
uint64_t table_hash_on(const struct table_key *key, uint64_t so_far,
		       const void *p, size_t n);

struct table_slot {
	uint64_t hash;
	size_t item; /* and one; 0: free */
};

struct table {
	struct table_slot *slot;
	size_t cap, used; /* cap: a power of two, or 0 */
};

/* Room for one more.  Slots found before are none any more. */
int table_grow(struct table *t, struct err *e);
void table_clear(struct table *t);

/*
 * The slot of the item with this hash that is the same as `key` by `same`
 * (NULL: the hash is enough), or the free one where it would go.  There must
 * be room for one more.
 */
struct table_slot *table_find(const struct table *t, uint64_t hash,
			      const void *items,
			      bool (*same)(const void *items, size_t i,
					   const void *key),
			      const void *key);

/* Put an item into the free slot that was found for its hash. */
void table_put(struct table *t, struct table_slot *s, uint64_t hash,
	       size_t item);

#endif
