/*
 * The packs that this process makes wait in one table in memory, extended by
 * merging with each pack, until there are enough for a run that is worth it,
 * or until somebody asks for it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/index.h"

#include "base/io.h"
#include "base/mem.h"
#include "store/index_internal.h"

#include <string.h>

/* How long to wait for another process that is altering the cache. */
#define FLUSH_WAIT_NS (UINT64_C(1) * 1000000000)

/* A pending pack's number in the catalogue, by its place in the set. */
struct numbering {
	const struct packset *packs;
	uint32_t *number;
};

static bool
number_pending(void *ctx, struct run_entry *en)
{
	const struct numbering *n = ctx;
	const struct known_pack *p = packset_number(n->packs, en->pack);

	if (p == NULL || !p->pending)
		return false;
	en->pack = n->number[p - n->packs->v];
	return true;
}

/* The view after a flush: pending packs are listed under their new numbers. */
static int
make_flushed_view(const struct index *x, const uint32_t *number,
		  struct segment *s, struct view *out, struct err *e)
{
	const struct view *now = &x->view;
	struct view v = { 0 };
	size_t i;

	v.segments = mem_array(now->count + 1, sizeof(*v.segments));
	if (v.segments == NULL)
		return err_nomem(e);
	for (i = 0; i < now->packs.n; i++) {
		struct known_pack k = now->packs.v[i];

		if (k.pending) {
			k.number = number[i];
			k.listed = true;
			k.pending = false;
		}
		if (packset_add(&v.packs, &k, e) < 0) {
			mem_free(v.segments);
			packset_clear(&v.packs);
			return -1;
		}
	}
	memcpy(v.segments, now->segments, now->count * sizeof(*v.segments));
	v.count = now->count;
	v.segments[v.count++] = s;
	*out = v;
	return 0;
}

/* List the pending packs, and the run `s` with their entries. */
static int
list_flushed(struct index *x, const uint32_t *number, size_t n,
	     const struct segment *s, struct err *e)
{
	const struct packset *packs = &x->view.packs;
	struct catalogue_pack *list = mem_array(n, sizeof(*list));
	const char *name = s->name;
	struct catalogue_update u = {
		.packs = list,
		.add_runs = &name,
		.add_run_count = 1,
	};
	size_t i;
	int rc;

	if (list == NULL)
		return err_nomem(e);
	for (i = 0; i < packs->n; i++)
		if (packs->v[i].pending)
			list[u.pack_count++] = (struct catalogue_pack){
				.id = packs->v[i].id,
				.number = number[i],
				.chunks = packs->v[i].chunks,
				.len = packs->v[i].len,
			};
	rc = index_view_apply(x, &u, e);
	mem_free(list);
	return rc;
}

/* `n` pending packs, to whom number[] gives numbers by their places. */
static int
flush_numbered(struct index *x, uint32_t *number, size_t n, struct err *e)
{
	struct numbering ctx = { &x->view.packs, number };
	const struct segment *in = x->view.pending;
	struct segment_merge m = {
		.in = &in,
		.n = 1,
		.filter = number_pending,
		.ctx = &ctx,
	};
	struct segment *s = NULL;
	struct view v;

	if (segment_write(x->cache_fd, &m, false, &s, e) < 0)
		return -1;
	s->listed = true;
	if (make_flushed_view(x, number, s, &v, e) < 0)
		goto fail;
	if (list_flushed(x, number, n, s, e) < 0) {
		mem_free(v.segments);
		packset_clear(&v.packs);
		goto fail;
	}
	index_view_swap(x, &v);
	index_view_free(&v, &x->view);
	return 0;
fail:
	(void)io_unlink(x->cache_fd, s->name, NULL);
	segment_free(s);
	return -1;
}

/* Under the cache's lock and in step. */
static int
flush_shared(struct index *x, struct err *e)
{
	const struct packset *packs = &x->view.packs;
	uint32_t *number;
	uint32_t n = 0, first;
	size_t i;
	int rc;

	for (i = 0; i < packs->n; i++)
		n += packs->v[i].pending;
	if (n == 0) /* others have listed them all */
		return index_view_segments(x, NULL, 0, NULL, NULL, e);
	if (index_view_take_numbers(x, n, &first, e) < 0)
		return -1;
	number = mem_array(packs->n, sizeof(*number));
	if (number == NULL)
		return err_nomem(e);
	for (i = 0; i < packs->n; i++)
		if (packs->v[i].pending)
			number[i] = first++;
	rc = flush_numbered(x, number, n, e);
	mem_free(number);
	if (rc == 0)
		rc = index_merge(x, true, e);
	return rc;
}

/* Too much to wait any longer: it becomes an ordinary private segment. */
static int
flush_private(struct index *x, struct err *e)
{
	size_t i;

	if (x->view.pending->count < PENDING_MAX)
		return 0;
	if (index_view_segments(x, NULL, 0, x->view.pending, NULL, e) < 0)
		return -1;
	for (i = 0; i < x->view.packs.n; i++)
		x->view.packs.v[i].pending = false;
	return index_merge(x, false, e);
}

static int
flush(struct index *x, struct err *e)
{
	struct err why = { 0 };
	int rc = -1;

	if (x->view.pending == NULL)
		return 0;
	if (x->cat != NULL && index_view_lock_cache(x, FLUSH_WAIT_NS)) {
		rc = index_view_load(x, &why);
		if (rc == 0)
			rc = flush_shared(x, &why);
		index_view_unlock_cache(x);
	}
	if (rc == 0)
		return 0;
	if (index_failure_is_ours(&why)) {
		err_move(e, &why);
		return -1;
	}
	/* A damaged or unwritable cache is the next sync's business. */
	return x->view.pending != NULL ? flush_private(x, e) : 0;
}

int
index_flush(struct index *x, struct err *e)
{
	int rc;

	(void)pthread_mutex_lock(&x->change);
	rc = flush(x, e);
	(void)pthread_mutex_unlock(&x->change);
	return rc;
}

static bool
is_known(const struct packset *packs, const struct pack_id *id)
{
	size_t i;

	/* The newest are the likeliest; sorting for one question is dearer. */
	for (i = packs->n; i > 0; i--)
		if (pack_id_cmp(&packs->v[i - 1].id, id) == 0)
			return true;
	return false;
}

/* The pending table with the entries of one more pack. */
static int
extend_pending(const struct index *x, uint32_t number, const struct id *ids,
	       uint32_t chunks, struct segment **out, struct err *e)
{
	struct segment fresh = { .count = chunks };
	const struct segment *in[2] = { &fresh, x->view.pending };
	struct segment_merge m = { .in = in, .n = in[1] == NULL ? 1 : 2 };
	uint32_t i;
	int rc;

	fresh.entries = mem_array((size_t)chunks + 1, sizeof(*fresh.entries));
	if (fresh.entries == NULL)
		return err_nomem(e);
	for (i = 0; i < chunks; i++)
		fresh.entries[i] = (struct run_entry){
			.key = id_prefix(&ids[i]),
			.pack = number,
			.slot = i,
		};
	segment_sort(fresh.entries, chunks);
	rc = segment_gather(&m, out, e);
	mem_free(fresh.entries);
	return rc;
}

static int
add_own(struct index *x, struct known_pack *k, const struct id *ids,
	struct err *e)
{
	struct segment *s = NULL;

	if (is_known(&x->view.packs, &k->id))
		return 0; /* a sync was faster */
	if (index_view_private_numbers(x, 1, &k->number, e) < 0 ||
	    extend_pending(x, k->number, ids, k->chunks, &s, e) < 0)
		return -1;
	if (index_view_segments(x, NULL, 0, NULL, s, e) < 0) {
		segment_free(s);
		return -1;
	}
	/* After its entries: known without them, it would hide its chunks. */
	if (index_view_add_pack(x, k, e) < 0)
		return -1;
	return s->count >= PENDING_MAX ? flush(x, e) : 0;
}

int
index_add_pack(struct index *x, const struct pack_id *id, uint64_t pack_len,
	       const struct id *ids, uint32_t chunks, struct err *e)
{
	struct known_pack k = {
		.id = *id,
		.chunks = chunks,
		.len = pack_len,
		.pending = true,
	};
	int rc;

	(void)pthread_mutex_lock(&x->change);
	rc = add_own(x, &k, ids, e);
	(void)pthread_mutex_unlock(&x->change);
	return rc;
}
