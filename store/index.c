/*
 * The index is a list of segments: run files that the catalogue lists, and
 * private ones that only this process knows.  A pack enters it in one of
 * three ways:
 *
 *	listed   catalogue_apply() made the pack and the run with its entries
 *	         known in one transaction
 *	pending  this process has just published it: its entries are in one
 *	         table in memory, until a flush lists them
 *	private  its directory was read, but it is not to be listed: there is
 *	         no catalogue, the cache cannot be written, or a part of the
 *	         directory is damaged, and the next process shall look again
 *
 * Pending and private packs have private numbers (CATALOGUE_NUMBERS and up).
 * One rule keeps everything consistent: an entry whose pack number is not
 * known is dead.  A pack that is gone, or that another process has listed
 * under another number, is taken out of the set of packs; its entries vanish
 * when their segment is next merged.
 *
 * Locks, in the order taken:
 *
 *	change   held by whoever alters anything, for all of a sync or flush;
 *	         who holds it may read what `lock` guards
 *	(file)   the file `lock` in the cache, between processes, held while the
 *	         catalogue is altered, so that two do not read the same new
 *	         packs or merge the same runs; who cannot have it goes on
 *	         privately
 *	lock     held for reading by look-ups, for writing only to swap one
 *	         view for the next, never across I/O
 *
 * Merging: segments are in tiers by size, each eight times the one before;
 * eight of one tier become one.  When more than half of all entries are
 * dead, all segments become one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/index.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/time.h"
#include "store/frame.h"
#include "store/packset.h"
#include "store/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Entries of this process's own packs that wait in memory: 1 MiB. */
#define PENDING_MAX (UINT32_C(1) << 16)

/* Entries that a sync gathers before it writes a run: 16 MiB. */
#define BATCH_ENTRIES (UINT32_C(1) << 20)

#define TIER_SEGMENTS 8
#define TIER_LEAST    4096 /* entries of the smallest tier are below this */
#define TIERS         24

/*
 * Entries looked at per key and segment.  More than a few exist only where
 * somebody has made them up.
 */
#define SEGMENT_HITS 64

/* How long to wait for another process that is altering the cache. */
#define SYNC_WAIT_NS  (UINT64_C(10) * 1000000000)
#define FLUSH_WAIT_NS (UINT64_C(1) * 1000000000)
#define LOCK_POLL_NS  20000000

/* A file that nobody lists is somebody's unfinished work until this age. */
#define ORPHAN_AGE_S 3600

/* How often a race with another process may send us round again. */
#define TRIES 5

/* What look-ups see. */
struct view {
	struct packset packs;
	struct segment **segments;
	size_t count;
	struct segment *pending; /* in memory; NULL: none */
};

/* A pack that could not be read, or not whole, and why. */
struct damaged_pack {
	struct pack_id id;
	bool partial; /* known all the same, by the blocks that are sound */
	struct err why;
};

struct index {
	int cache_fd;
	struct catalogue *cat; /* NULL: none can be had */

	pthread_mutex_t change;       /* guards these: */
	struct catalogue_stamp stamp; /* of what was loaded */
	bool loaded;
	uint32_t next_private;
	int lock_fd; /* the lock file while it is held, else -1 */
	struct damaged_pack *damaged;
	size_t damaged_count, damaged_cap;

	pthread_rwlock_t lock; /* guards the view */
	struct view view;
};

/* --- views ------------------------------------------------------------------ */

/* Put *v in the place of the view, and the old one into *v. */
static void
swap_view(struct index *x, struct view *v)
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
static void
free_view(struct view *v, const struct view *next)
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
static int
swap_segments(struct index *x, struct segment *const *drop, size_t n,
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
	swap_view(x, &v);
	/* The packs went over to the new view as they were. */
	memset(&v.packs, 0, sizeof(v.packs));
	free_view(&v, &x->view);
	return 0;
}

static int
add_known(struct index *x, const struct known_pack *p, struct err *e)
{
	int rc;

	(void)pthread_rwlock_wrlock(&x->lock);
	rc = packset_add(&x->view.packs, p, e);
	(void)pthread_rwlock_unlock(&x->lock);
	return rc;
}

static int
take_private(struct index *x, uint32_t n, uint32_t *first, struct err *e)
{
	if (n > UINT32_MAX - x->next_private)
		return err_set(e, ERR_BUSY, "index: too many packs");
	*first = x->next_private;
	x->next_private += n;
	return 0;
}

/* --- the cache's lock ------------------------------------------------------- */

/* False when it is not to be had in this time, or at all. */
static bool
lock_cache(struct index *x, uint64_t wait_ns)
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

static void
unlock_cache(struct index *x)
{
	(void)io_close(x->lock_fd, "lock", NULL);
	x->lock_fd = -1;
}

/* --- loading what the catalogue lists --------------------------------------- */

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

static struct segment *
find_listed(const struct view *v, const char *name)
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
		struct segment *s = find_listed(now, l->names[i].s);

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
	swap_view(x, &l.view);
	x->stamp = *stamp;
	x->loaded = true;
out:
	/* What the view in use shares with this one stays. */
	free_view(&l.view, &x->view);
	mem_free(l.names);
	return rc;
}

/* Bring the view in step with the catalogue. */
static int
load(struct index *x, struct err *e)
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
static int
apply(struct index *x, const struct catalogue_update *u, struct err *e)
{
	if (catalogue_apply(x->cat, u, e) < 0)
		return -1;
	x->stamp.sequence++;
	return 0;
}

static int
take_numbers(struct index *x, uint32_t n, uint32_t *first, struct err *e)
{
	if (catalogue_take_numbers(x->cat, n, first, e) < 0)
		return -1;
	x->stamp.sequence++;
	return 0;
}

/* --- opening, closing, beginning anew ---------------------------------------- */

static void
forget_all(struct index *x)
{
	struct view v = { 0 };

	swap_view(x, &v);
	free_view(&v, NULL);
	x->loaded = false;
	x->damaged_count = 0;
}

static int
reset(struct index *x, struct err *e)
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
	if (find_listed(&x->view, name) != NULL ||
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
	if (!x->loaded || !lock_cache(x, 0))
		return;
	/* In step, and nobody lists another run until we are done. */
	if (load(x, NULL) == 0)
		(void)io_list(x->cache_fd, "the cache", collect_orphan, x,
			      NULL);
	unlock_cache(x);
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
		rc = load(x, &why);
	if (rc < 0 && why.kind == ERR_CORRUPT && x->cat != NULL)
		return reset(x, e);
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
	free_view(&x->view, NULL);
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
	rc = reset(x, e);
	(void)pthread_mutex_unlock(&x->change);
	return rc;
}

/* --- merging ---------------------------------------------------------------- */

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
static int
make_private(struct index *x, const struct segment_merge *m,
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
	rc = apply(x, &u, e);
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
		rc = make_private(x, &m, &s, e);
	if (rc < 0)
		return -1;
	s->listed = listed;
	if (listed && list_merged(x, group, n, s, e) < 0) {
		(void)io_unlink(x->cache_fd, s->name, NULL);
		segment_free(s);
		return -1;
	}
	if (swap_segments(x, group, n, s, x->view.pending, e) < 0) {
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
static int
merge(struct index *x, bool listed, struct err *e)
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

/* --- reading new packs ------------------------------------------------------- */

/* Packs that were read; the entries name them by their place in here. */
struct batch {
	struct known_pack *packs;
	size_t n, cap;
	struct run_entry *entries;
	size_t count, entry_cap;
};

static void
batch_clear(struct batch *b)
{
	mem_free(b->packs);
	mem_free(b->entries);
	memset(b, 0, sizeof(*b));
}

static int
batch_reserve(struct batch *b, size_t packs, size_t entries, struct err *e)
{
	if (b->cap - b->n < packs) {
		size_t cap = 2 * b->cap + packs;
		struct known_pack *p = mem_resize(b->packs, cap, sizeof(*p));

		if (p == NULL)
			return err_nomem(e);
		b->packs = p;
		b->cap = cap;
	}
	if (b->entry_cap - b->count < entries) {
		size_t cap = b->entry_cap + b->entry_cap / 2 + entries;
		struct run_entry *v = mem_resize(b->entries, cap, sizeof(*v));

		if (v == NULL)
			return err_nomem(e);
		b->entries = v;
		b->entry_cap = cap;
	}
	return 0;
}

struct sync {
	struct index *x;
	int packs_fd;
	bool shared;           /* what is found may be listed */
	struct pack_id *names; /* in packs/, sorted */
	size_t name_count, name_cap;
	struct pack_id *fresh; /* those not known */
	size_t fresh_count;
	uint32_t added, gone;
	struct frame_coder *coder;
	struct batch whole, partial;
};

static void
sync_clear(struct sync *j)
{
	mem_free(j->names);
	mem_free(j->fresh);
	frame_coder_free(j->coder);
	batch_clear(&j->whole);
	batch_clear(&j->partial);
}

/* Failures that say something about us, not about the pack. */
static bool
is_ours(const struct err *why)
{
	return why->kind == ERR_NOMEM ||
	       (why->kind == ERR_SYS &&
		(why->saved_errno == EMFILE || why->saved_errno == ENFILE));
}

static int
note_damaged(struct index *x, const struct pack_id *id, bool partial,
	     const struct err *why, struct err *e)
{
	struct damaged_pack *d;

	if (x->damaged_count == x->damaged_cap) {
		size_t cap = 2 * x->damaged_cap + 8;

		d = mem_resize(x->damaged, cap, sizeof(*d));
		if (d == NULL)
			return err_nomem(e);
		x->damaged = d;
		x->damaged_cap = cap;
	}
	d = &x->damaged[x->damaged_count++];
	d->id = *id;
	d->partial = partial;
	d->why = *why;
	return 0;
}

/* The entries of one block, for the pack that comes next in the batch. */
static int
add_block(struct batch *b, const struct pack_block *blk, struct err *e)
{
	uint32_t i;

	if (batch_reserve(b, 1, blk->chunks, e) < 0)
		return -1;
	for (i = 0; i < blk->chunks; i++)
		b->entries[b->count++] = (struct run_entry){
			.key = id_prefix(&blk->id[i]),
			.pack = (uint32_t)b->n,
			.slot = blk->first_slot + i,
		};
	return 0;
}

/*
 * The entries of an open pack into the batch.  A block that is damaged is
 * left out, and the first such goes to *why; what cannot be read at all ends
 * the pack (1).
 */
static int
read_blocks(struct sync *j, const struct pack *p, struct batch *b,
	    struct err *why, struct err *e)
{
	uint32_t i;

	for (i = 0; i < pack_blocks(p); i++) {
		struct pack_block *blk = NULL;
		struct err here = { 0 };
		int rc = pack_load_block(p, j->coder, i, &blk, &here);

		if (rc == 0)
			rc = add_block(b, blk, e);
		else if (is_ours(&here))
			err_move(e, &here);
		else if (here.kind == ERR_CORRUPT)
			rc = 0;
		else
			rc = 1;
		pack_block_free(blk);
		if (here.kind != ERR_NONE)
			err_move(why, &here);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* The entries from `start` on belong to a pack that is sound in part only. */
static int
move_to_partial(struct sync *j, size_t start, struct err *e)
{
	struct batch *from = &j->whole, *to = &j->partial;
	size_t n = from->count - start, i;

	if (batch_reserve(to, 1, n, e) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		struct run_entry en = from->entries[start + i];

		en.pack = (uint32_t)to->n;
		to->entries[to->count++] = en;
	}
	from->count = start;
	return 0;
}

static int
take_pack(struct sync *j, const struct pack *p, struct err *e)
{
	struct known_pack k = {
		.id = *pack_get_id(p),
		.chunks = pack_chunks(p),
		.len = pack_len(p),
	};
	struct batch *b = &j->whole;
	size_t start = b->count;
	struct err why = { 0 };
	int rc = read_blocks(j, p, b, &why, e);

	if (rc != 0)
		b->count = start;
	if (rc < 0)
		return -1;
	if (why.kind != ERR_NONE &&
	    note_damaged(j->x, &k.id, rc == 0, &why, e) < 0)
		return -1;
	if (rc == 1)
		return 0;
	if (why.kind != ERR_NONE) {
		b = &j->partial;
		if (move_to_partial(j, start, e) < 0)
			return -1;
	}
	if (batch_reserve(b, 1, 0, e) < 0)
		return -1;
	b->packs[b->n++] = k;
	return 0;
}

static int
read_pack(struct sync *j, const struct pack_id *id, struct err *e)
{
	struct err why = { 0 };
	struct pack *p = NULL;
	int rc = pack_open(j->packs_fd, id, &p, &why);

	if (rc == 1)
		return 0; /* it has vanished since it was listed */
	if (rc == 0) {
		rc = take_pack(j, p, e);
		pack_close(p);
		return rc;
	}
	if (is_ours(&why)) {
		err_move(e, &why);
		return -1;
	}
	return note_damaged(j->x, id, false, &why, e);
}

/* --- making them known -------------------------------------------------------- */

static bool
number_entry(void *ctx, struct run_entry *en)
{
	const uint32_t *first = ctx;

	en->pack += *first;
	return true;
}

/*
 * The packs of a batch enter the view, after the segment of their entries: a
 * pack that is known without its entries would hide its chunks.
 */
static int
enter(struct index *x, const struct batch *b, uint32_t first, bool listed,
      struct segment *s, struct err *e)
{
	size_t i;

	if (swap_segments(x, NULL, 0, s, x->view.pending, e) < 0) {
		segment_free(s);
		goto fail;
	}
	for (i = 0; i < b->n; i++) {
		struct known_pack k = b->packs[i];

		k.number = first + (uint32_t)i;
		k.listed = listed;
		if (add_known(x, &k, e) < 0)
			goto fail;
	}
	return 0;
fail:
	x->loaded = false; /* what is listed is to be loaded again */
	return -1;
}

/* Let the catalogue list the batch, and the run `name` with its entries. */
static int
list_batch(struct index *x, const struct batch *b, uint32_t first,
	   const char *name, struct err *e)
{
	struct catalogue_pack *packs = mem_array(b->n, sizeof(*packs));
	struct catalogue_update u = {
		.packs = packs,
		.pack_count = b->n,
		.add_runs = &name,
		.add_run_count = 1,
	};
	size_t i;
	int rc;

	if (packs == NULL)
		return err_nomem(e);
	for (i = 0; i < b->n; i++)
		packs[i] = (struct catalogue_pack){
			.id = b->packs[i].id,
			.number = first + (uint32_t)i,
			.chunks = b->packs[i].chunks,
			.len = b->packs[i].len,
		};
	rc = apply(x, &u, e);
	mem_free(packs);
	return rc;
}

static int
commit_listed(struct index *x, const struct batch *b, struct segment_merge *m,
	      struct err *e)
{
	struct segment *s = NULL;
	uint32_t first;

	if (take_numbers(x, (uint32_t)b->n, &first, e) < 0)
		return -1;
	m->ctx = &first;
	if (segment_write(x->cache_fd, m, false, &s, e) < 0)
		return -1;
	if (list_batch(x, b, first, s->name, e) < 0) {
		(void)io_unlink(x->cache_fd, s->name, NULL);
		segment_free(s);
		return -1;
	}
	s->listed = true;
	return enter(x, b, first, true, s, e);
}

static int
commit_private(struct index *x, const struct batch *b, struct segment_merge *m,
	       struct err *e)
{
	struct segment *s = NULL;
	uint32_t first;

	if (take_private(x, (uint32_t)b->n, &first, e) < 0)
		return -1;
	m->ctx = &first;
	if (make_private(x, m, &s, e) < 0)
		return -1;
	return enter(x, b, first, false, s, e);
}

/* Make the batch known and empty it. */
static int
commit(struct sync *j, struct batch *b, bool listed, struct err *e)
{
	struct segment s = { .entries = b->entries, .count = b->count };
	const struct segment *in = &s;
	struct segment_merge m = { .in = &in, .n = 1, .filter = number_entry };
	struct err why = { 0 };
	uint32_t n = (uint32_t)b->n;
	int rc = -1;

	if (n == 0)
		return 0;
	segment_sort(b->entries, b->count);
	if (listed)
		rc = commit_listed(j->x, b, &m, &why);
	if (rc < 0 && (why.kind == ERR_SYS || why.kind == ERR_BUSY))
		j->shared = listed = false; /* the cache does not take it */
	if (!listed)
		rc = commit_private(j->x, b, &m, e);
	else
		err_move(e, &why);
	if (rc == 0)
		j->added += n;
	b->n = 0;
	b->count = 0;
	return rc;
}

static int
read_fresh(struct sync *j, struct err *e)
{
	size_t i;

	if (j->fresh_count == 0)
		return 0;
	if (frame_coder_new(&j->coder, e) < 0)
		return -1;
	for (i = 0; i < j->fresh_count; i++) {
		if (read_pack(j, &j->fresh[i], e) < 0)
			return -1;
		if (j->whole.count < BATCH_ENTRIES)
			continue;
		if (commit(j, &j->whole, j->shared, e) < 0 ||
		    merge(j->x, j->shared, e) < 0)
			return -1;
	}
	if (commit(j, &j->whole, j->shared, e) < 0)
		return -1;
	return commit(j, &j->partial, false, e);
}

/* --- comparing with packs/ ---------------------------------------------------- */

static int
take_name(void *ctx, const char *name, struct err *e)
{
	struct sync *j = ctx;
	struct pack_id id;

	if (!pack_name_parse(name, &id))
		return 0;
	if (j->name_count == j->name_cap) {
		size_t cap = 2 * j->name_cap + 256;
		struct pack_id *v = mem_resize(j->names, cap, sizeof(*v));

		if (v == NULL)
			return err_nomem(e);
		j->names = v;
		j->name_cap = cap;
	}
	j->names[j->name_count++] = id;
	return 0;
}

static int
compare_names(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct pack_id));
}

/* A listing may leave out a name that is there while others come and go. */
static bool
is_gone(const struct sync *j, const struct pack_id *id)
{
	char name[PACK_NAME_LEN + 1];
	struct stat st;

	pack_name(name, id);
	return sys_repo->fstatat(j->packs_fd, name, &st, AT_SYMLINK_NOFOLLOW) <
		       0 &&
	       errno == ENOENT;
}

/* Mark the packs that are gone, gather those that are new. */
static int
compare_packs(struct sync *j, struct err *e)
{
	struct packset *packs = &j->x->view.packs;
	size_t n = 0, k = 0;

	j->gone = 0;
	j->fresh_count = 0;
	mem_free(j->fresh);
	j->fresh = mem_array(j->name_count + 1, sizeof(*j->fresh));
	if (j->fresh == NULL)
		return err_nomem(e);
	if (packset_sort(packs, e) < 0)
		return -1;
	while (n < j->name_count || k < packs->n) {
		struct known_pack *p = NULL;
		int c = -1; /* only in packs/; 1: only known; 0: both */

		if (k < packs->n) {
			p = packset_at(packs, k);
			c = n == j->name_count
				    ? 1
				    : pack_id_cmp(&j->names[n], &p->id);
		}
		if (c < 0) {
			j->fresh[j->fresh_count++] = j->names[n];
		} else {
			p->gone = c > 0 && is_gone(j, &p->id);
			j->gone += p->gone;
		}
		n += c <= 0;
		k += c >= 0;
	}
	return 0;
}

/* What is listed, what is there, and the difference. */
static int
look(struct sync *j, struct err *e)
{
	struct err why = { 0 };

	if (j->shared && load(j->x, &why) < 0) {
		if (why.kind == ERR_CORRUPT || is_ours(&why)) {
			err_move(e, &why);
			return -1;
		}
		j->shared = false;
	}
	j->name_count = 0;
	if (io_list(j->packs_fd, "packs", take_name, j, e) < 0)
		return -1;
	if (j->name_count > 0)
		qsort(j->names, j->name_count, sizeof(*j->names),
		      compare_names);
	return compare_packs(j, e);
}

/* Let the catalogue forget what is gone. */
static int
unlist_gone(struct sync *j, struct err *e)
{
	const struct packset *packs = &j->x->view.packs;
	struct catalogue_update u = { 0 };
	struct pack_id *ids;
	size_t i, n = 0;
	int rc = 0;

	ids = mem_array((size_t)j->gone + 1, sizeof(*ids));
	if (ids == NULL)
		return err_nomem(e);
	for (i = 0; i < packs->n; i++)
		if (packs->v[i].gone && packs->v[i].listed)
			ids[n++] = packs->v[i].id;
	u.drop_packs = ids;
	u.drop_pack_count = n;
	if (n > 0)
		rc = apply(j->x, &u, e);
	mem_free(ids);
	return rc;
}

static int
drop_gone(struct sync *j, struct err *e)
{
	struct err why = { 0 };

	if (j->gone == 0)
		return 0;
	if (j->shared && unlist_gone(j, &why) < 0) {
		if (why.kind != ERR_SYS && why.kind != ERR_BUSY) {
			err_move(e, &why);
			return -1;
		}
		j->shared = false;
	}
	(void)pthread_rwlock_wrlock(&j->x->lock);
	(void)packset_sweep(&j->x->view.packs);
	(void)pthread_rwlock_unlock(&j->x->lock);
	return 0;
}

/*
 * Damage is found anew with each sync, but for packs that are known in part:
 * these are not looked at again, and stay damaged until they are gone.
 */
static int
forget_damage(struct index *x, struct err *e)
{
	const struct known_pack *p;
	size_t i, kept = 0;

	if (packset_sort(&x->view.packs, e) < 0)
		return -1;
	for (i = 0; i < x->damaged_count; i++) {
		p = packset_id(&x->view.packs, &x->damaged[i].id);
		if (x->damaged[i].partial && p != NULL && !p->gone)
			x->damaged[kept++] = x->damaged[i];
	}
	x->damaged_count = kept;
	return 0;
}

static int
change_packs(struct sync *j, struct err *e)
{
	if (drop_gone(j, e) < 0 || read_fresh(j, e) < 0)
		return -1;
	if (j->shared && merge(j->x, true, e) < 0)
		return -1;
	return merge(j->x, false, e);
}

static int
sync_once(struct sync *j, struct err *e)
{
	struct index *x = j->x;
	bool locked = false;
	int rc;

	j->shared = x->cat != NULL;
	j->added = 0;
	rc = look(j, e);
	if (rc == 0)
		rc = forget_damage(x, e);
	if (rc < 0 || (j->gone == 0 && j->fresh_count == 0))
		return rc;
	if (j->shared) {
		locked = lock_cache(x, SYNC_WAIT_NS);
		j->shared = locked;
		/* Another process may have done it all. */
		if (locked)
			rc = look(j, e);
	}
	if (rc == 0)
		rc = change_packs(j, e);
	if (locked)
		unlock_cache(x);
	return rc;
}

static int
sync_locked(struct sync *j, struct err *e)
{
	struct err why = { 0 };
	int tries, rc;

	for (tries = 0; tries < TRIES; tries++) {
		err_clear(&why);
		rc = sync_once(j, &why);
		if (rc == 0)
			return 0;
		batch_clear(&j->whole);
		batch_clear(&j->partial);
		frame_coder_free(j->coder);
		j->coder = NULL;
		if (why.kind != ERR_CORRUPT)
			break;
		if (reset(j->x, e) < 0)
			return -1;
	}
	err_move(e, &why);
	return -1;
}

int
index_sync(struct index *x, int packs_fd, index_bad_fn bad, void *ctx,
	   struct index_sync_result *out, struct err *e)
{
	struct sync j = { .x = x, .packs_fd = packs_fd };
	size_t i;
	int rc;

	(void)pthread_mutex_lock(&x->change);
	rc = sync_locked(&j, e);
	for (i = 0; rc == 0 && bad != NULL && i < x->damaged_count; i++)
		bad(ctx, &x->damaged[i].id, &x->damaged[i].why);
	if (rc == 0 && out != NULL)
		*out = (struct index_sync_result){
			.added = j.added,
			.gone = j.gone,
			.bad = (uint32_t)x->damaged_count,
		};
	(void)pthread_mutex_unlock(&x->change);
	sync_clear(&j);
	return rc;
}

/* --- packs of our own --------------------------------------------------------- */

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
	rc = apply(x, &u, e);
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
	swap_view(x, &v);
	free_view(&v, &x->view);
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
		return swap_segments(x, NULL, 0, NULL, NULL, e);
	if (take_numbers(x, n, &first, e) < 0)
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
		rc = merge(x, true, e);
	return rc;
}

/* Too much to wait any longer: it becomes an ordinary private segment. */
static int
flush_private(struct index *x, struct err *e)
{
	size_t i;

	if (x->view.pending->count < PENDING_MAX)
		return 0;
	if (swap_segments(x, NULL, 0, x->view.pending, NULL, e) < 0)
		return -1;
	for (i = 0; i < x->view.packs.n; i++)
		x->view.packs.v[i].pending = false;
	return merge(x, false, e);
}

static int
flush(struct index *x, struct err *e)
{
	struct err why = { 0 };
	int rc = -1;

	if (x->view.pending == NULL)
		return 0;
	if (x->cat != NULL && lock_cache(x, FLUSH_WAIT_NS)) {
		rc = load(x, &why);
		if (rc == 0)
			rc = flush_shared(x, &why);
		unlock_cache(x);
	}
	if (rc == 0)
		return 0;
	if (is_ours(&why)) {
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
	if (take_private(x, 1, &k->number, e) < 0 ||
	    extend_pending(x, k->number, ids, k->chunks, &s, e) < 0)
		return -1;
	if (swap_segments(x, NULL, 0, NULL, s, e) < 0) {
		segment_free(s);
		return -1;
	}
	/* After its entries: known without them, it would hide its chunks. */
	if (add_known(x, k, e) < 0)
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

/* --- looking up --------------------------------------------------------------- */

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

/* --- what there is ------------------------------------------------------------ */

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
