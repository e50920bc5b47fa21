/*
 * idset.c
 *
 * Open addressing with linear probing, at most 3/4 full.  An id is a keyed
 * hash, so its own bytes are the hash and nobody can make ids collide who does
 * not have the key.  Removing moves the followers up, so there are no
 * tombstones and a set that is filled and emptied for ever stays fast.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/idset.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

#define CAP_MIN 64

void
idset_clear(struct idset *s)
{
	mem_free(s->slot);
	memset(s, 0, sizeof(*s));
}

static size_t
home_of(const struct idset *s, const struct id *id)
{
	return (size_t)id_prefix(id) & (s->cap - 1);
}

/* The slot that holds it, or the free one where it belongs. */
static size_t
find_slot(const struct idset *s, const struct id *id)
{
	size_t i = home_of(s, id);

	while (!id_is_zero(&s->slot[i]) && !id_equal(&s->slot[i], id))
		i = (i + 1) & (s->cap - 1);
	return i;
}

bool
idset_has(const struct idset *s, const struct id *id)
{
	if (id_is_zero(id))
		return s->has_zero;
	return s->cap > 0 && !id_is_zero(&s->slot[find_slot(s, id)]);
}

/* Move everything to a table of `cap` slots; false without memory. */
static bool
rehash(struct idset *s, size_t cap)
{
	struct idset to = *s;
	size_t i;

	to.cap = cap;
	to.slot = mem_array(cap, sizeof(*to.slot));
	if (to.slot == NULL)
		return false;
	for (i = 0; i < s->cap; i++)
		if (!id_is_zero(&s->slot[i]))
			to.slot[find_slot(&to, &s->slot[i])] = s->slot[i];
	mem_free(s->slot);
	*s = to;
	return true;
}

int
idset_add(struct idset *s, const struct id *id, struct err *e)
{
	size_t i;

	if (idset_has(s, id))
		return 1;
	if (id_is_zero(id)) {
		s->has_zero = true;
		return 0;
	}
	if (s->count >= s->cap / 4 * 3 &&
	    !rehash(s, s->cap == 0 ? CAP_MIN : s->cap * 2))
		return err_nomem(e);
	i = find_slot(s, id);
	s->slot[i] = *id;
	s->count++;
	return 0;
}

/* Close the gap at i: whoever was pushed past it moves up. */
static void
close_gap(struct idset *s, size_t i)
{
	size_t mask = s->cap - 1;
	size_t j = i;

	for (;;) {
		j = (j + 1) & mask;
		if (id_is_zero(&s->slot[j]))
			break;
		/* Only one whose home is not behind the gap may move. */
		if (((j - home_of(s, &s->slot[j])) & mask) >=
		    ((j - i) & mask)) {
			s->slot[i] = s->slot[j];
			i = j;
		}
	}
	memset(&s->slot[i], 0, sizeof(s->slot[i]));
}

void
idset_remove(struct idset *s, const struct id *id)
{
	if (!idset_has(s, id))
		return;
	if (id_is_zero(id)) {
		s->has_zero = false;
		return;
	}
	close_gap(s, find_slot(s, id));
	s->count--;
	/* Where there is no memory for less memory, it stays as it is. */
	if (s->cap > CAP_MIN && s->count < s->cap / 8)
		(void)rehash(s, s->cap / 2);
}
