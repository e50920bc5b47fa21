/*
 * Segments are in tiers by size, each eight times the one before; eight of
 * one tier become one, with all that are smaller.  When more than half of all
 * entries are dead, all segments become one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/index_internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <string.h>

#define TIER_SEGMENTS 8
#define TIER_LEAST    4096 /* entries of the smallest tier are below this */
#define TIERS         24

static unsigned
tier_of(uint64_t entries)
{
	unsigned t = 0;

	for (; entries >= TIER_LEAST && t + 1 < TIERS; entries /= TIER_SEGMENTS)
		t++;
	return t;
}

static bool
mostly_dead(const struct view *v, bool listed)
{
	uint64_t live = 0, entries = 0;
	size_t i;

	for (i = 0; i < v->packs.n; i++)
		if (v->packs.v[i].listed == listed)
			live += v->packs.v[i].chunks;
	for (i = 0; i < v->count; i++)
		if (v->segments[i]->listed == listed)
			entries += segment_entries(v->segments[i]);
	return entries > 2 * live + PENDING_MAX;
}

/* The segments that are to become one; their number, 0 when none are. */
static size_t
choose(const struct view *v, bool listed, struct segment **group)
{
	size_t in_tier[TIERS] = { 0 }, i, n = 0;
	unsigned top = 0;

	for (i = 0; i < v->count; i++)
		if (v->segments[i]->listed == listed)
			in_tier[tier_of(segment_entries(v->segments[i]))]++;
	while (top < TIERS && in_tier[top] < TIER_SEGMENTS)
		top++;
	if (top == TIERS && !mostly_dead(v, listed))
		return 0;
	for (i = 0; i < v->count; i++)
		if (v->segments[i]->listed == listed &&
		    tier_of(segment_entries(v->segments[i])) <= top)
			group[n++] = v->segments[i];
	return n;
}

struct alive {
	const struct packset *packs;
	bool listed;
};

static bool
keep_alive(void *ctx, struct run_entry *en)
{
	const struct alive *a = ctx;
	const struct known_pack *p = packset_number(a->packs, en->pack);

	return p != NULL && p->listed == a->listed;
}

/* A private segment: a file without a name, or a table where none can be. */
int
index_make_private(struct index *x, const struct segment_merge *m,
		   struct segment **out, struct err *e)
{
	struct err why = { 0 };

	if (segment_write(x->cache_fd, m, true, out, &why) == 0)
		return 0;
	if (why.kind != ERR_SYS) {
		err_move(e, &why);
		return -1;
	}
	return segment_gather(m, out, e);
}

/* Let the catalogue list `s` in the place of the group. */
static int
list_merged(struct index *x, struct segment *const *group, size_t n,
	    struct segment *s, struct err *e)
{
	const char *add = s->name;
	const char **drop = mem_array(n, sizeof(*drop));
	struct catalogue_update u = {
		.add_runs = &add,
		.add_run_count = 1,
		.drop_runs = drop,
		.drop_run_count = n,
	};
	size_t i;
	int rc;

	if (drop == NULL)
		return err_nomem(e);
	for (i = 0; i < n; i++)
		drop[i] = group[i]->name;
	rc = index_view_apply(x, &u, e);
	/* Who has them open reads on; who looks for them reads the list again. */
	for (i = 0; rc == 0 && i < n; i++)
		(void)io_unlink(x->cache_fd, drop[i], NULL);
	mem_free(drop);
	return rc;
}

static int
merge_group(struct index *x, bool listed, struct segment *const *group,
	    size_t n, struct err *e)
{
	struct alive alive = { &x->view.packs, listed };
	struct segment_merge m = {
		.in = (const struct segment *const *)group,
		.n = n,
		.filter = keep_alive,
		.ctx = &alive,
	};
	struct segment *s = NULL;
	int rc;

	if (listed)
		rc = segment_write(x->cache_fd, &m, false, &s, e);
	else
		rc = index_make_private(x, &m, &s, e);
	if (rc < 0)
		return -1;
	s->listed = listed;
	if (listed && list_merged(x, group, n, s, e) < 0) {
		(void)io_unlink(x->cache_fd, s->name, NULL);
		segment_free(s);
		return -1;
	}
	if (index_view_segments(x, group, n, s, x->view.pending, e) < 0) {
		x->loaded = false;
		segment_free(s);
		return -1;
	}
	return 0;
}

/*
 * Merge what there is to merge.  Listed ones only with the cache's lock.
 * That a merge cannot be written is no failure: it is left for later.
 */
int
index_merge(struct index *x, bool listed, struct err *e)
{
	struct err why = { 0 };
	struct segment **group;
	size_t n;
	int rc = 0;

	for (;;) {
		group = mem_array(x->view.count + 1, sizeof(*group));
		if (group == NULL)
			return err_nomem(e);
		n = choose(&x->view, listed, group);
		if (n > 0)
			rc = merge_group(x, listed, group, n, &why);
		mem_free(group);
		if (n == 0 || rc < 0)
			break;
	}
	if (rc < 0 && why.kind == ERR_SYS)
		return 0;
	err_move(e, &why);
	return rc;
}
