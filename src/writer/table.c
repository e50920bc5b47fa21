#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/table.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"

#include <string.h>

/* 2^61 - 1, a prime. */
#define PRIME ((UINT64_C(1) << 61) - 1)

int
table_key(struct table_key *out, struct err *e)
{
	uint64_t random[2];

	if (io_random(random, sizeof(random), e) < 0)
		return -1;
	out->factor = (random[0] & PRIME) % (PRIME - 2) + 2;
	out->start = (random[1] & PRIME) % (PRIME - 2) + 1;
	return 0;
}

uint64_t
table_hash_on(const struct table_key *key, uint64_t so_far, const void *p,
	      size_t n)
{
	const uint8_t *s = p;
	uint64_t h = so_far;
	unsigned __int128 x;

	while (n-- > 0) {
		x = (unsigned __int128)h * key->factor + *s++ + 1;
		h = ((uint64_t)x & PRIME) + (uint64_t)(x >> 61);
		if (h >= PRIME)
			h -= PRIME;
	}
	return h;
}

uint64_t
table_hash(const struct table_key *key, const void *p, size_t n)
{
	return table_hash_on(key, key->start, p, n);
}

int
table_grow(struct table *t, struct err *e)
{
	size_t cap = t->cap < 32 ? 64 : t->cap * 2;
	struct table_slot *slot;
	size_t i;
	size_t k;

	if (t->used * 2 < t->cap)
		return 0;
	slot = mem_array(cap, sizeof(*slot));
	if (slot == NULL)
		return err_nomem(e);
	for (i = 0; i < t->cap; i++) {
		if (t->slot[i].item == 0)
			continue;
		for (k = t->slot[i].hash & (cap - 1); slot[k].item != 0;)
			k = (k + 1) & (cap - 1);
		slot[k] = t->slot[i];
	}
	mem_free(t->slot);
	t->slot = slot;
	t->cap = cap;
	return 0;
}

void
table_clear(struct table *t)
{
	mem_free(t->slot);
	memset(t, 0, sizeof(*t));
}

struct table_slot *
table_find(const struct table *t, uint64_t hash, const void *items,
	   bool (*same)(const void *items, size_t i, const void *key),
	   const void *key)
{
	size_t k = hash & (t->cap - 1);

	for (; t->slot[k].item != 0; k = (k + 1) & (t->cap - 1))
		if (t->slot[k].hash == hash &&
		    (same == NULL || same(items, t->slot[k].item - 1, key)))
			break;
	return &t->slot[k];
}

void
table_put(struct table *t, struct table_slot *s, uint64_t hash, size_t item)
{
	s->hash = hash;
	s->item = item + 1;
	t->used++;
}
