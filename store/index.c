/*
 * The design is in index_internal.h.  Here: opening, beginning anew, and
 * everything that only looks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/index.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/time.h"
#include "store/index_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/*
 * Entries looked at per key and segment.  More than a few exist only where
 * somebody has made them up.
 */
#define SEGMENT_HITS 64

/* A file that nobody lists is somebody's unfinished work until this age. */
#define ORPHAN_AGE_S 3600

/* --- opening, closing, beginning anew --- */

static void
forget_all(struct index *x)
{
	struct view v = { 0 };

	index_view_swap(x, &v);
	index_view_free(&v, NULL);
	x->loaded = false;
	x->damaged_count = 0;
}

int
index_reset_locked(struct index *x, struct err *e)
{
	struct err why = { 0 };
	size_t i;
	int rc = -1;

	if (x->cat != NULL)
		rc = catalogue_replace(x->cat, &why);
	for (i = 0; rc == 0 && i < x->view.count; i++)
		if (x->view.segments[i]->listed)
			(void)io_unlink(x->cache_fd, x->view.segments[i]->name,
					NULL);
	forget_all(x);
	/* Where it cannot be replaced we go on without. */
	return why.kind == ERR_NOMEM ? err_nomem(e) : 0;
}

static int
collect_orphan(void *ctx, const char *name, struct err *e)
{
	const struct index *x = ctx;
	struct stat st;

	(void)e;
	if (strncmp(name, "run.", 4) != 0 && strncmp(name, ".tmp-", 5) != 0)
		return 0;
	if (index_view_find_listed(&x->view, name) != NULL ||
	    sys_repo->fstatat(x->cache_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (time_now().sec - st.st_mtime > ORPHAN_AGE_S)
		(void)io_unlink(x->cache_fd, name, NULL);
	return 0;
}

/* Remove run files that a process left behind when it died. */
static void
collect_orphans(struct index *x)
{
	if (!x->loaded || !index_view_lock_cache(x, 0))
		return;
	/* In step, and nobody lists another run until we are done. */
	if (index_view_load(x, NULL) == 0)
		(void)io_list(x->cache_fd, "the cache", collect_orphan, x,
			      NULL);
	index_view_unlock_cache(x);
}

/*
 * The catalogue and what it lists, in whatever state they are.  Only what
 * another try would not mend is a failure.
 */
static int
open_catalogue(struct index *x, const char *cache_path, struct err *e)
{
	struct err why = { 0 };
	int rc = catalogue_open(x->cache_fd, cache_path, &x->cat, &why);

	if (rc == 0)
		rc = index_view_load(x, &why);
	if (rc < 0 && why.kind == ERR_CORRUPT && x->cat != NULL)
		return index_reset_locked(x, e);
	if (rc < 0 && x->cat == NULL && why.kind != ERR_NOMEM)
		return 0;
	err_move(e, &why);
	return rc < 0 ? -1 : 0;
}

int
index_open(int cache_fd, const char *cache_path, struct index **out,
	   struct err *e)
{
	struct index *x = mem_zalloc(sizeof(*x));
	pthread_rwlockattr_t attr;

	if (x == NULL)
		return err_nomem(e);
	x->cache_fd = cache_fd;
	x->lock_fd = -1;
	x->next_private = CATALOGUE_NUMBERS;
	(void)pthread_mutex_init(&x->change, NULL);
	/* A swap must not wait for ever because look-ups never stop. */
	(void)pthread_rwlockattr_init(&attr);
	(void)pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void)pthread_rwlock_init(&x->lock, &attr);
	(void)pthread_rwlockattr_destroy(&attr);
	if (open_catalogue(x, cache_path, e) < 0) {
		index_close(x);
		return -1;
	}
	collect_orphans(x);
	*out = x;
	return 0;
}

void
index_close(struct index *x)
{
	if (x == NULL)
		return;
	index_view_free(&x->view, NULL);
	catalogue_close(x->cat);
	(void)pthread_rwlock_destroy(&x->lock);
	(void)pthread_mutex_destroy(&x->change);
	mem_free(x->damaged);
	mem_free(x);
}

struct catalogue *
index_catalogue(struct index *x)
{
	return x->cat;
}

int
index_reset(struct index *x, struct err *e)
{
	int rc;

	(void)pthread_mutex_lock(&x->change);
	rc = index_reset_locked(x, e);
	(void)pthread_mutex_unlock(&x->change);
	return rc;
}

/* Failures that say something about us, not about the pack. */
bool
index_failure_is_ours(const struct err *why)
{
	return why->kind == ERR_NOMEM ||
	       (why->kind == ERR_SYS &&
		(why->saved_errno == EMFILE || why->saved_errno == ENFILE));
}

/* --- looking up --- */

static int
compare_hits(const struct index_hit *a, const struct index_hit *b)
{
	int c = pack_id_cmp(&a->pack, &b->pack);

	if (c != 0)
		return c;
	return a->slot < b->slot ? -1 : a->slot > b->slot;
}

/* Insert in order, each once; what does not fit falls off the end. */
static int
insert_hit(struct index_hit *out, int n, int max, const struct index_hit *hit)
{
	int at = 0, i;

	while (at < n && compare_hits(&out[at], hit) < 0)
		at++;
	if (at == max || (at < n && compare_hits(&out[at], hit) == 0))
		return n;
	if (n < max)
		n++;
	for (i = n - 1; i > at; i--)
		out[i] = out[i - 1];
	out[at] = *hit;
	return n;
}

/* The candidates of one segment into out[], which has n already. */
static int
find_in(const struct view *v, const struct segment *s, uint64_t key,
	struct index_hit *out, int n, int max, struct err *e)
{
	struct run_entry en[SEGMENT_HITS];
	int count = segment_find(s, key, en, SEGMENT_HITS, e);
	int i;

	for (i = 0; i < count; i++) {
		const struct known_pack *p =
			packset_number(&v->packs, en[i].pack);
		struct index_hit hit = { .slot = en[i].slot };

		if (p == NULL)
			continue;
		hit.pack = p->id;
		n = insert_hit(out, n, max, &hit);
	}
	return count < 0 ? -1 : n;
}

int
index_find(struct index *x, uint64_t key, struct index_hit *out, int max,
	   struct err *e)
{
	const struct view *v = &x->view;
	size_t i;
	int n = 0;

	(void)pthread_rwlock_rdlock(&x->lock);
	for (i = 0; n >= 0 && i < v->count; i++)
		n = find_in(v, v->segments[i], key, out, n, max, e);
	if (n >= 0 && v->pending != NULL)
		n = find_in(v, v->pending, key, out, n, max, e);
	(void)pthread_rwlock_unlock(&x->lock);
	return n;
}

/* --- what there is --- */

int
index_packs(struct index *x, index_pack_fn fn, void *ctx, struct err *e)
{
	struct known_pack *copy;
	size_t i, n;
	int rc = 0;

	/* fn is free to ask the index. */
	(void)pthread_rwlock_rdlock(&x->lock);
	n = x->view.packs.n;
	copy = mem_array(n + 1, sizeof(*copy));
	if (copy != NULL && n > 0)
		memcpy(copy, x->view.packs.v, n * sizeof(*copy));
	(void)pthread_rwlock_unlock(&x->lock);
	if (copy == NULL)
		return err_nomem(e);
	for (i = 0; rc == 0 && i < n; i++)
		rc = fn(ctx, &copy[i].id, copy[i].len, copy[i].chunks, e);
	mem_free(copy);
	return rc;
}

size_t
index_memory(struct index *x)
{
	size_t sum = 0, i;

	(void)pthread_rwlock_rdlock(&x->lock);
	for (i = 0; i < x->view.count; i++)
		sum += segment_memory(x->view.segments[i]);
	if (x->view.pending != NULL)
		sum += segment_memory(x->view.pending);
	sum += x->view.packs.cap * sizeof(*x->view.packs.v);
	(void)pthread_rwlock_unlock(&x->lock);
	return sum;
}

uint64_t
index_entries(struct index *x)
{
	uint64_t sum = 0;
	size_t i;

	(void)pthread_rwlock_rdlock(&x->lock);
	for (i = 0; i < x->view.count; i++)
		sum += segment_entries(x->view.segments[i]);
	if (x->view.pending != NULL)
		sum += segment_entries(x->view.pending);
	(void)pthread_rwlock_unlock(&x->lock);
	return sum;
}
