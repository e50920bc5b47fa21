/*
 * How many names a damaged node held is known only to the node above, which
 * the iterator does not show.  So the next readable position is searched
 * for: a node holds at least SPLIT_MIN entries (but the last one), and
 * stepping by as many finds every whole node there is; after PROBES_NEAR
 * vain steps they double, because then it is not one node but the whole
 * directory that is gone.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/listing.h"

#include "base/err.h"

#include <string.h>

#define PROBES_NEAR 64

void
listing_init(struct listing *l, struct chunk_reader *r,
	     const struct tree_root *dir, uint64_t start)
{
	memset(l, 0, sizeof(*l));
	l->reader = r;
	l->root = dir->id;
	l->entries = dir->entries;
	l->next = start;
}

void
listing_clear(struct listing *l)
{
	if (l->open)
		tree_iter_clear(&l->it);
	l->open = false;
}

/* Is it the machine's failure, and nothing that other positions escape? */
static bool
is_final(const struct err *e)
{
	return e->kind == ERR_NOMEM || e->kind == ERR_CANCELLED;
}

/* The entry at l->next: 1, 0 at the end, -1. */
static int
step(struct listing *l, struct entry *out, struct err *e)
{
	int rc;

	if (!l->open) {
		if (tree_iter_init(&l->it, l->reader, &l->root, l->next, e) <
		    0) {
			tree_iter_clear(&l->it);
			return -1;
		}
		l->open = true;
	}
	rc = tree_iter_next(&l->it, out, e);
	if (rc < 0)
		listing_clear(l);
	return rc;
}

/* Can the entry at this position be read, or is there the end? */
static int
readable(struct listing *l, uint64_t position, struct err *e)
{
	struct entry en;
	struct err why = { 0 };
	int rc;

	l->next = position;
	rc = step(l, &en, &why);
	listing_clear(l);
	if (rc >= 0)
		return 1;
	if (!is_final(&why))
		return 0;
	err_move(e, &why);
	return -1;
}

/* The first readable position behind the unreadable `bad`. */
static int
find_readable(struct listing *l, uint64_t bad, uint64_t *out, struct err *e)
{
	uint64_t stride = SPLIT_MIN;
	uint64_t good = l->entries;
	uint64_t at = bad;
	unsigned probes = 0;
	int rc;

	while (l->entries - at > stride) {
		rc = readable(l, at + stride, e);
		if (rc < 0)
			return -1;
		if (rc > 0) {
			good = at + stride;
			break;
		}
		at += stride;
		if (++probes > PROBES_NEAR)
			stride *= 2;
	}
	while (good - at > 1) {
		uint64_t middle = at + (good - at) / 2;

		rc = readable(l, middle, e);
		if (rc < 0)
			return -1;
		if (rc > 0)
			good = middle;
		else
			at = middle;
	}
	*out = good;
	return 0;
}

int
listing_next(struct listing *l, struct entry *out, uint64_t *lost,
	     struct err *e)
{
	struct err why = { 0 };
	uint64_t bad = l->next;
	uint64_t good = bad;
	int rc;

	if (l->ended)
		return 0;
	rc = step(l, out, &why);
	if (rc > 0)
		l->next++;
	if (rc >= 0) {
		l->ended = rc == 0;
		return rc;
	}
	if (is_final(&why)) {
		err_move(e, &why);
		return -1;
	}
	if (bad < l->entries && find_readable(l, bad, &good, e) < 0)
		return -1;
	/* Behind the last one promised there is nothing to look for. */
	l->ended = good >= l->entries;
	l->next = good;
	*lost = good - bad;
	err_move(e, &why);
	return 2;
}
