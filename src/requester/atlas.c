/*
 * atlas.c
 *
 * Sorted so that what is beneath a directory follows it.  A name is looked for
 * in the places of its own directory and, where they are recursive, in those of
 * the directories above.  A directory that has no place at it, beneath it or
 * recursively above it costs a few comparisons, once.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/atlas.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* --- making -------------------------------------------------------------- */

size_t
atlas_len(const char *dir)
{
	size_t len = strlen(dir);

	return len == 1 ? 0 : len;
}

/* A slash before all other bytes: what is beneath a directory follows it. */
static int
dir_order(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t n = alen < blen ? alen : blen;
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char x = a[i] == '/' ? 0 : (unsigned char)a[i];
		unsigned char y = b[i] == '/' ? 0 : (unsigned char)b[i];

		if (x != y)
			return x < y ? -1 : 1;
	}
	return alen == blen ? 0 : alen < blen ? -1 : 1;
}

static int
by_dir(const void *a, const void *b)
{
	const struct place *x = a;
	const struct place *y = b;
	int rc = dir_order(x->dir, x->len, y->dir, y->len);

	if (rc == 0 && x->component != y->component)
		rc = x->component < y->component ? -1 : 1;
	return rc != 0 ? rc : (int)x->kind - (int)y->kind;
}

struct place *
atlas_add(struct atlas *a, size_t component, enum place_kind kind,
	  const char *dir, struct err *e)
{
	struct place *p;
	size_t cap = a->cap == 0 ? 32 : 2 * a->cap;

	if (a->count == a->cap) {
		p = mem_resize(a->place, cap, sizeof(*p));
		if (p == NULL) {
			err_nomem(e);
			return NULL;
		}
		a->place = p;
		a->cap = cap;
	}
	p = &a->place[a->count++];
	memset(p, 0, sizeof(*p));
	p->component = component;
	p->kind = kind;
	p->dir = dir;
	p->len = atlas_len(dir);
	return p;
}

void
atlas_sort(struct atlas *a)
{
	if (a->count > 1)
		qsort(a->place, a->count, sizeof(*a->place), by_dir);
}

void
atlas_clear(struct atlas *a)
{
	size_t i;

	for (i = 0; i < a->count; i++)
		mem_free(a->place[i].own_dir);
	a->count = 0;
}

void
atlas_free(struct atlas *a)
{
	atlas_clear(a);
	mem_free(a->place);
}

/* --- asking -------------------------------------------------------------- */

/* The first place at or behind this directory. */
static size_t
lower(const struct atlas *a, const char *dir, size_t len)
{
	size_t from = 0;
	size_t to = a->count;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		const struct place *p = &a->place[mid];

		if (dir_order(p->dir, p->len, dir, len) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static bool
is_at(const struct place *p, const char *dir, size_t len)
{
	return p->len == len && memcmp(p->dir, dir, len) == 0;
}

static bool
is_beneath(const struct place *p, const char *dir, size_t len)
{
	return p->len > len && p->dir[len] == '/' &&
	       memcmp(p->dir, dir, len) == 0;
}

bool
atlas_above(const struct atlas *a, const char *dir, size_t len, place_fn fn,
	    void *ctx)
{
	bool above = false;
	size_t i;

	for (;;) {
		for (i = lower(a, dir, len);
		     i < a->count && is_at(&a->place[i], dir, len); i++)
			if ((!above || a->place[i].recursive) &&
			    fn(ctx, &a->place[i]))
				return true;
		if (len == 0)
			return false;
		while (len > 0 && dir[--len] != '/')
			;
		above = true;
	}
}

static bool
each_from(const struct atlas *a, const char *dir, size_t len, bool at,
	  place_fn fn, void *ctx)
{
	size_t i;

	for (i = lower(a, dir, len); i < a->count; i++) {
		bool is_it = is_at(&a->place[i], dir, len);

		if (is_it && !at)
			continue;
		if (!is_it && !is_beneath(&a->place[i], dir, len))
			return false;
		if (fn(ctx, &a->place[i]))
			return true;
	}
	return false;
}

bool
atlas_beneath(const struct atlas *a, const char *dir, size_t len, place_fn fn,
	      void *ctx)
{
	return each_from(a, dir, len, false, fn, ctx);
}

bool
atlas_from(const struct atlas *a, const char *dir, size_t len, place_fn fn,
	   void *ctx)
{
	return each_from(a, dir, len, true, fn, ctx);
}
