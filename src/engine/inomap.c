/*
 * inomap.c
 *
 * Open addressing; a slot that is emptied has those behind it put in again, so
 * that none is hidden by a gap.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/inomap.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>

#define FIRST_CAP 256 /* a power of two */

/* Where it is, or is to be; there is always a free slot. */
static struct inomap_slot *
find(const struct inomap *m, uint64_t fs, uint64_t ino)
{
	uint64_t h = (ino ^ fs << 40) * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(h >> 24) & (m->cap - 1);

	while (m->slot[i].value != NULL &&
	       (m->slot[i].fs != fs || m->slot[i].ino != ino))
		i = (i + 1) & (m->cap - 1);
	return &m->slot[i];
}

static int
grow(struct inomap *m, struct err *e)
{
	struct inomap old = *m;

	if (m->count < m->cap / 4 * 3)
		return 0;
	m->cap = old.cap == 0 ? FIRST_CAP : old.cap * 2;
	m->slot = mem_array(m->cap, sizeof(*m->slot));
	if (m->slot == NULL) {
		*m = old;
		return err_nomem(e);
	}
	for (size_t i = 0; i < old.cap; i++)
		if (old.slot[i].value != NULL)
			*find(m, old.slot[i].fs, old.slot[i].ino) = old.slot[i];
	mem_free(old.slot);
	return 0;
}

void *
inomap_get(const struct inomap *m, uint64_t fs, uint64_t ino)
{
	return m->cap == 0 ? NULL : find(m, fs, ino)->value;
}

int
inomap_put(struct inomap *m, uint64_t fs, uint64_t ino, void *value,
	   struct err *e)
{
	struct inomap_slot *s;

	if (grow(m, e) < 0)
		return -1;
	s = find(m, fs, ino);
	if (s->value == NULL)
		m->count++;
	*s = (struct inomap_slot){ .fs = fs, .ino = ino, .value = value };
	return 0;
}

void
inomap_drop(struct inomap *m, uint64_t fs, uint64_t ino)
{
	struct inomap_slot *s;
	size_t i;

	if (inomap_get(m, fs, ino) == NULL)
		return;
	s = find(m, fs, ino);
	i = (size_t)(s - m->slot);
	s->value = NULL;
	m->count--;
	while ((s = &m->slot[i = (i + 1) & (m->cap - 1)])->value != NULL) {
		struct inomap_slot moved = *s;

		s->value = NULL;
		*find(m, moved.fs, moved.ino) = moved;
	}
}

static int
compare(const void *a, const void *b)
{
	const struct inomap_slot *x = a, *y = b;

	if (x->fs != y->fs)
		return x->fs < y->fs ? -1 : 1;
	return (x->ino > y->ino) - (x->ino < y->ino);
}

size_t
inomap_sort(struct inomap *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->cap; i++)
		if (m->slot[i].value != NULL)
			m->slot[n++] = m->slot[i];
	if (n > 0)
		qsort(m->slot, n, sizeof(*m->slot), compare);
	m->cap = n; /* what is behind has been moved */
	return n;
}

void
inomap_clear(struct inomap *m)
{
	mem_free(m->slot);
	*m = (struct inomap){ .slot = NULL };
}
