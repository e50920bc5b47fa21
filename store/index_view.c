/*
 * A view is replaced as a whole, under a lock held for some assignments: what
 * the next one does not take over is freed when no look-up can see it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/index_internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/time.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#define LOCK_POLL_NS 20000000

/* How often a race with another process may send us round again. */
#define TRIES 5

/* Put *v in the place of the view, and the old one into *v. */
void
index_view_swap(struct index *x, struct view *v)
{
	struct view old;

	(void)pthread_rwlock_wrlock(&x->lock);
	old = x->view;
	x->view = *v;
	(void)pthread_rwlock_unlock(&x->lock);
	*v = old;
}

static bool
contains(struct segment *const *list, size_t n, const struct segment *s)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (list[i] == s)
			return true;
	return false;
}

/*
 * Free a view that is not in use any more, but for what `next` has taken
 * over from it (NULL: all).
 */
void
index_view_free(struct view *v, const struct view *next)
{
	size_t i;

	for (i = 0; i < v->count; i++)
		if (next == NULL ||
		    !contains(next->segments, next->count, v->segments[i]))
			segment_free(v->segments[i]);
	if (v->pending != NULL &&
	    (next == NULL ||
	     (v->pending != next->pending &&
	      !contains(next->segments, next->count, v->pending))))
		segment_free(v->pending);
	mem_free(v->segments);
	packset_clear(&v->packs);
	memset(v, 0, sizeof(*v));
}

/*
 * Replace the segments `drop` by `add` (may be NULL) and set `pending`.
 * Frees what is left over.  Fails, changing nothing, when out of memory.
 */
int
index_view_segments(struct index *x, struct segment *const *drop, size_t n,
		    struct segment *add, struct segment *pending, struct err *e)
{
	struct view v = x->view;
	size_t i;

	v.segments = mem_array(x->view.count + 1, sizeof(*v.segments));
	if (v.segments == NULL)
		return err_nomem(e);
	v.count = 0;
	v.pending = pending;
	for (i = 0; i < x->view.count; i++)
		if (!contains(drop, n, x->view.segments[i]))
			v.segments[v.count++] = x->view.segments[i];
	if (add != NULL)
		v.segments[v.count++] = add;
	index_view_swap(x, &v);
	/* The packs went over to the new view as they were. */
	memset(&v.packs, 0, sizeof(v.packs));
	index_view_free(&v, &x->view);
	return 0;
}

int
index_view_add_pack(struct index *x, const struct known_pack *p, struct err *e)
{
	int rc;

	(void)pthread_rwlock_wrlock(&x->lock);
	rc = packset_add(&x->view.packs, p, e);
	(void)pthread_rwlock_unlock(&x->lock);
	return rc;
}

int
index_view_private_numbers(struct index *x, uint32_t n, uint32_t *first,
			   struct err *e)
{
	if (n > UINT32_MAX - x->next_private)
		return err_set(e, ERR_BUSY, "index: too many packs");
	*first = x->next_private;
	x->next_private += n;
	return 0;
}

/* --- the cache's lock --- */

/* False when it is not to be had in this time, or at all. */
bool
index_view_lock_cache(struct index *x, uint64_t wait_ns)
{
	static const struct timespec poll = { .tv_nsec = LOCK_POLL_NS };
	uint64_t end = time_monotonic_ns() + wait_ns;
	int fd = io_open(x->cache_fd, "lock", O_RDWR | O_CREAT, 0600, NULL,
			 NULL);
	int rc = -1;

	while (fd >= 0) {
		rc = io_lock(fd, true, "lock", NULL);
		if (rc != 1 || time_monotonic_ns() >= end)
			break;
		(void)nanosleep(&poll, NULL);
	}
	if (rc == 0)
		x->lock_fd = fd;
	else
		(void)io_close(fd, "lock", NULL);
	return rc == 0;
}

void
index_view_unlock_cache(struct index *x)
{
	(void)io_close(x->lock_fd, "lock", NULL);
	x->lock_fd = -1;
}

/* --- loading what the catalogue lists --- */

struct run_name {
	char s[CATALOGUE_RUN_NAME_MAX + 1];
};

struct loading {
	struct view view;
	struct run_name *names;
	size_t count, cap;
};

static int
load_pack(void *ctx, const struct catalogue_pack *p, struct err *e)
{
	struct loading *l = ctx;
	struct known_pack k = {
		.id = p->id,
		.number = p->number,
		.chunks = p->chunks,
		.len = p->len,
		.listed = true,
	};

	return packset_add(&l->view.packs, &k, e);
}

static int
load_name(void *ctx, const char *name, struct err *e)
{
	struct loading *l = ctx;

	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
		struct run_name *names =
			mem_resize(l->names, cap, sizeof(*names));

		if (names == NULL)
			return err_nomem(e);
		l->names = names;
		l->cap = cap;
	}
	(void)memcpy(l->names[l->count++].s, name, strlen(name) + 1);
	return 0;
}

struct segment *
index_view_find_listed(const struct view *v, const char *name)
{
	size_t i;

	for (i = 0; i < v->count; i++)
		if (v->segments[i]->listed &&
		    strcmp(v->segments[i]->name, name) == 0)
			return v->segments[i];
	return NULL;
}

/* Open the listed runs that are not open yet; 1 when one is missing. */
static int
load_segments(const struct index *x, struct loading *l, struct err *e)
{
	const struct view *now = &x->view;
	size_t i;
	int rc;

	l->view.segments =
		mem_array(l->count + now->count + 1, sizeof(*l->view.segments));
	if (l->view.segments == NULL)
		return err_nomem(e);
	for (i = 0; i < l->count; i++) {
		struct segment *s = index_view_find_listed(now, l->names[i].s);

		if (s == NULL) {
			rc = segment_open(x->cache_fd, l->names[i].s, &s, e);
			if (rc != 0)
				return rc;
			s->listed = true;
		}
		l->view.segments[l->view.count++] = s;
	}
	for (i = 0; i < now->count; i++)
		if (!now->segments[i]->listed)
			l->view.segments[l->view.count++] = now->segments[i];
	l->view.pending = now->pending;
	return 0;
}

/* Packs of ours that nobody has listed meanwhile stay known. */
static int
keep_unlisted(const struct packset *now, struct packset *next, struct err *e)
{
	struct packset kept = { 0 };
	size_t i;
	int rc = packset_sort(next, e);

	for (i = 0; rc == 0 && i < now->n; i++)
		if (!now->v[i].listed &&
		    packset_id(next, &now->v[i].id) == NULL)
			rc = packset_add(&kept, &now->v[i], e);
	for (i = 0; rc == 0 && i < kept.n; i++)
		rc = packset_add(next, &kept.v[i], e);
	packset_clear(&kept);
	return rc;
}

static bool
stamp_equal(const struct catalogue_stamp *a, const struct catalogue_stamp *b)
{
	return a->sequence == b->sequence && strcmp(a->name, b->name) == 0;
}

/* Returns 1 when the catalogue changed while it was read. */
static int
load_once(struct index *x, const struct catalogue_stamp *stamp, struct err *e)
{
	struct loading l = { 0 };
	struct catalogue_stamp after;
	int rc = -1;

	if (catalogue_packs(x->cat, load_pack, &l, e) < 0 ||
	    catalogue_runs(x->cat, load_name, &l, e) < 0 ||
	    catalogue_refresh(x->cat, &after, e) < 0)
		goto out;
	rc = stamp_equal(stamp, &after) ? load_segments(x, &l, e) : 1;
	if (rc == 0)
		rc = keep_unlisted(&x->view.packs, &l.view.packs, e);
	if (rc != 0)
		goto out;
	index_view_swap(x, &l.view);
	x->stamp = *stamp;
	x->loaded = true;
out:
	/* What the view in use shares with this one stays. */
	index_view_free(&l.view, &x->view);
	mem_free(l.names);
	return rc;
}

/* Bring the view in step with the catalogue. */
int
index_view_load(struct index *x, struct err *e)
{
	struct catalogue_stamp stamp;
	int tries, rc;

	for (tries = 0; tries < TRIES; tries++) {
		if (catalogue_refresh(x->cat, &stamp, e) < 0)
			return -1;
		if (x->loaded && stamp_equal(&stamp, &x->stamp))
			return 0;
		rc = load_once(x, &stamp, e);
		if (rc != 1)
			return rc;
	}
	return err_set(e, ERR_CORRUPT,
		       "index: a run that is listed is missing");
}

/* An update of ours, under the cache's lock, leaves us in step. */
int
index_view_apply(struct index *x, const struct catalogue_update *u,
		 struct err *e)
{
	if (catalogue_apply(x->cat, u, e) < 0)
		return -1;
	x->stamp.sequence++;
	return 0;
}

int
index_view_take_numbers(struct index *x, uint32_t n, uint32_t *first,
			struct err *e)
{
	if (catalogue_take_numbers(x->cat, n, first, e) < 0)
		return -1;
	x->stamp.sequence++;
	return 0;
}
