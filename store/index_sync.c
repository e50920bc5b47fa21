/*
 * A sync lists packs/ and compares the names with the packs known.  That is
 * all it does when nothing has changed.  What is new is read in batches, each
 * of which becomes one segment; what is gone is taken out of the set.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/index.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/frame.h"
#include "store/index_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Entries that a sync gathers before it writes a run: 16 MiB. */
#define BATCH_ENTRIES (UINT32_C(1) << 20)

/* How long to wait for another process that is altering the cache. */
#define SYNC_WAIT_NS (UINT64_C(10) * 1000000000)

/* How often damage may send us round again. */
#define TRIES 5

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
		else if (index_failure_is_ours(&here))
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
	if (index_failure_is_ours(&why)) {
		err_move(e, &why);
		return -1;
	}
	return note_damaged(j->x, id, false, &why, e);
}

/* --- making them known --- */

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

	if (index_view_segments(x, NULL, 0, s, x->view.pending, e) < 0) {
		segment_free(s);
		goto fail;
	}
	for (i = 0; i < b->n; i++) {
		struct known_pack k = b->packs[i];

		k.number = first + (uint32_t)i;
		k.listed = listed;
		if (index_view_add_pack(x, &k, e) < 0)
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
	rc = index_view_apply(x, &u, e);
	mem_free(packs);
	return rc;
}

static int
commit_listed(struct index *x, const struct batch *b, struct segment_merge *m,
	      struct err *e)
{
	struct segment *s = NULL;
	uint32_t first;

	if (index_view_take_numbers(x, (uint32_t)b->n, &first, e) < 0)
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

	if (index_view_private_numbers(x, (uint32_t)b->n, &first, e) < 0)
		return -1;
	m->ctx = &first;
	if (index_make_private(x, m, &s, e) < 0)
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
		    index_merge(j->x, j->shared, e) < 0)
			return -1;
	}
	if (commit(j, &j->whole, j->shared, e) < 0)
		return -1;
	return commit(j, &j->partial, false, e);
}

/* --- comparing with packs/ --- */

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

	if (j->shared && index_view_load(j->x, &why) < 0) {
		if (why.kind == ERR_CORRUPT || index_failure_is_ours(&why)) {
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
		rc = index_view_apply(j->x, &u, e);
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
	if (j->shared && index_merge(j->x, true, e) < 0)
		return -1;
	return index_merge(j->x, false, e);
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
		locked = index_view_lock_cache(x, SYNC_WAIT_NS);
		j->shared = locked;
		/* Another process may have done it all. */
		if (locked)
			rc = look(j, e);
	}
	if (rc == 0)
		rc = change_packs(j, e);
	if (locked)
		index_view_unlock_cache(x);
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
		if (index_reset_locked(j->x, e) < 0)
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
