/*
 * Sorted arrays: a few tens of thousands of packs are a megabyte, found by
 * number for every hit of the index and by id only when packs/ is listed.
 * Numbers come nearly always one after the other, so the place of one is
 * guessed before it is searched.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/packset.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int
pack_id_cmp(const struct pack_id *a, const struct pack_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

static void
forget_order(struct packset *s)
{
	mem_free(s->by_id);
	s->by_id = NULL;
}

void
packset_clear(struct packset *s)
{
	forget_order(s);
	mem_free(s->v);
	memset(s, 0, sizeof(*s));
}

/* Where this number is, or would have to be. */
static size_t
place_of(const struct packset *s, uint32_t number)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->v[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int
packset_add(struct packset *s, const struct known_pack *p, struct err *e)
{
	size_t at;

	if (s->n == s->cap) {
		size_t cap = s->cap == 0 ? 64 : s->cap * 2;
		struct known_pack *v = mem_resize(s->v, cap, sizeof(*v));

		if (v == NULL)
			return err_nomem(e);
		s->v = v;
		s->cap = cap;
	}
	at = place_of(s, p->number);
	memmove(&s->v[at + 1], &s->v[at], (s->n - at) * sizeof(*s->v));
	s->v[at] = *p;
	s->n++;
	forget_order(s);
	return 0;
}

const struct known_pack *
packset_number(const struct packset *s, uint32_t number)
{
	size_t at;

	if (s->n == 0 || number < s->v[0].number)
		return NULL;
	at = number - s->v[0].number;
	if (at >= s->n || s->v[at].number != number)
		at = place_of(s, number);
	return at < s->n && s->v[at].number == number ? &s->v[at] : NULL;
}

static int
compare_ids(const void *a, const void *b, void *ctx)
{
	const struct packset *s = ctx;
	const uint32_t *pa = a, *pb = b;

	return pack_id_cmp(&s->v[*pa].id, &s->v[*pb].id);
}

int
packset_sort(struct packset *s, struct err *e)
{
	uint32_t i;

	if (s->by_id != NULL)
		return 0;
	s->by_id = mem_array(s->n + 1, sizeof(*s->by_id));
	if (s->by_id == NULL)
		return err_nomem(e);
	for (i = 0; i < s->n; i++)
		s->by_id[i] = i;
	qsort_r(s->by_id, s->n, sizeof(*s->by_id), compare_ids, s);
	return 0;
}

struct known_pack *
packset_at(const struct packset *s, size_t i)
{
	return &s->v[s->by_id[i]];
}

struct known_pack *
packset_id(const struct packset *s, const struct pack_id *id)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = pack_id_cmp(&packset_at(s, mid)->id, id);

		if (c == 0)
			return packset_at(s, mid);
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

size_t
packset_sweep(struct packset *s)
{
	size_t i, kept = 0, gone;

	for (i = 0; i < s->n; i++)
		if (!s->v[i].gone)
			s->v[kept++] = s->v[i];
	gone = s->n - kept;
	s->n = kept;
	if (gone > 0)
		forget_order(s);
	return gone;
}
