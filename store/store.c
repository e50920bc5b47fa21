/*
 * store.c
 *
 * The way to a chunk: its place (a directory block at hand, and the number in
 * it), then the frame there, then the bytes, which are hashed at first use.
 * The place comes from the hint table or from the index.  Both may be wrong:
 * what counts is that the block, which its pack vouches for, has the whole id.
 *
 * The hint table maps a few bits of an id to a directory block that was seen
 * with it.  It is filled with all the ids of every block that is loaded, so
 * that neighbours are found without the index, and loses entries at will: it
 * is read and written without a lock, and a stale entry only leads to a block
 * that has another id in that place.
 *
 * Places in frames that are noted as damaged are passed over at first, and by
 * store_has for good: so what lies there is stored anew.
 *
 * Every decoded frame keeps one bit for each chunk that was found to match its
 * id.
 *
 * Locks: index_lock is held over changes of the index, whatever they read;
 * coders_lock and checked_lock for some instructions.  None is taken while
 * another is held, save that the shelves have their own inside.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/store.h"

#include "base/block.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/time.h"
#include "store/cache.h"
#include "store/damage.h"
#include "store/frame.h"
#include "store/index.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/shelf.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

/* The catalogue's key of what lost packs may hurt: a generation number. */
#define LOST_KEY "lost until"

#define FRAME_CACHE_DEFAULT ((size_t)16 << 20)
#define BLOCK_CACHE_DEFAULT ((size_t)4 << 20)
#define OPEN_PACKS_DEFAULT  64

/*
 * Copies of one chunk that are looked at, and ids with the same prefix.  Each
 * damage that was mended left a copy behind.
 */
#define HITS_MAX 64

/* One for each thread that decodes at the same moment; more are freed. */
#define CODERS_MAX 16

/* A block of 512 chunks takes about this much; corrected when it is there. */
#define BLOCK_SIZE_GUESS ((size_t)24 << 10)

/* A chunk in the block cache costs about this much: ids, lengths, frames. */
#define BLOCK_BYTES_PER_CHUNK 48
#define HINTS_MIN             1024

/* At most one fruitless look for new packs in this time. */
#define SYNC_PAUSE_NS UINT64_C(1000000000)

/* Names can still appear under an mtime that is younger than this. */
#define MTIME_SETTLED_NS INT64_C(100000000)

/* The chunks of one directory block that were compared with their ids. */
struct checked {
	uint32_t block;
	uint64_t bits[PACK_BLOCK_CHUNKS / 64];
	struct checked *next;
};

struct frame {
	uint32_t raw_len;
	struct checked checked; /* of the block that led to it first */
	uint8_t data[];
};

struct store {
	struct chunk_reader reader; /* first: the reader is the store */
	struct repository *repository;
	struct session *session;
	struct shelf *packs, *blocks, *frames;
	struct damage *damage; /* refreshed under index_lock */

	_Atomic uint64_t *hints; /* hint_mask + 1 of them */
	size_t hint_mask;

	pthread_mutex_t coders_lock;
	struct frame_coder *coders[CODERS_MAX]; /* coders_lock */
	size_t n_coders;                        /* coders_lock */

	pthread_mutex_t checked_lock; /* guards `checked` of all frames */

	int cache_fd;
	struct buf cache_path;
	bool cache_temporary;
	struct index *index;
	pthread_mutex_t index_lock;   /* over every change of the index */
	_Atomic unsigned epoch;       /* counts them */
	uint64_t synced_at;           /* index_lock; monotonic */
	struct timespec synced_mtime; /* of packs/ before that; index_lock */
	bool sync_is_final;           /* all read, mtime settled; index_lock */
	_Atomic size_t bad_packs, gone_packs;
	_Atomic uint32_t lost_until; /* generations that lost packs may hurt */

	struct {
		_Atomic uint64_t gets, frame_hits, frames_decoded;
		_Atomic uint64_t bytes_read, bytes_decoded;
		_Atomic uint64_t index_finds, blocks_loaded;
	} count;
};

static void
count_up(_Atomic uint64_t *counter, uint64_t n)
{
	(void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* --- coders --------------------------------------------------------------- */

static int
take_coder(struct store *st, struct frame_coder **out, struct err *e)
{
	struct frame_coder *c = NULL;

	(void)pthread_mutex_lock(&st->coders_lock);
	if (st->n_coders > 0)
		c = st->coders[--st->n_coders];
	(void)pthread_mutex_unlock(&st->coders_lock);
	if (c == NULL && frame_coder_new(&c, e) < 0)
		return -1;
	*out = c;
	return 0;
}

static void
give_coder(struct store *st, struct frame_coder *c)
{
	(void)pthread_mutex_lock(&st->coders_lock);
	if (st->n_coders < CODERS_MAX) {
		st->coders[st->n_coders++] = c;
		c = NULL;
	}
	(void)pthread_mutex_unlock(&st->coders_lock);
	frame_coder_free(c);
}

/* --- packs ---------------------------------------------------------------- */

static void
drop_pack(void *value)
{
	pack_close(value);
}

/* Where descriptors are few, those of packs that nobody uses are given up. */
static int
open_pack(struct store *st, const struct pack_id *id, struct pack **out,
	  struct err *e)
{
	struct err why = { 0 };
	int rc = pack_open(st->repository->packs_fd, id, out, &why);

	if (rc < 0 && why.kind == ERR_SYS &&
	    (why.saved_errno == EMFILE || why.saved_errno == ENFILE)) {
		shelf_purge(st->packs);
		return pack_open(st->repository->packs_fd, id, out, e);
	}
	if (rc < 0)
		err_move(e, &why);
	return rc;
}

static int
take_pack(struct store *st, const struct pack_id *id, struct shelf_item **out,
	  struct err *e)
{
	struct shelf_key key = { *id, 0 };
	char name[PACK_NAME_LEN + 1];
	struct pack *p;
	int rc;

	rc = shelf_take(st->packs, &key, 1, out, e);
	if (rc != SHELF_EMPTY)
		return rc;
	rc = open_pack(st, id, &p, e);
	if (rc == 1) {
		pack_name(name, id);
		rc = err_set(e, ERR_MISSING, "pack %s is not there", name);
	}
	if (rc == 0)
		shelf_fill(st->packs, *out, p, 1, false);
	else
		shelf_abandon(st->packs, *out);
	return rc;
}

/* --- directory blocks and hints ------------------------------------------- */

static void
drop_block(void *value)
{
	pack_block_free(value);
}

/* Which hint an id has, and the bits that it is recognised by. */
static _Atomic uint64_t *
hint_of(struct store *st, const struct id *id)
{
	return &st->hints[id_prefix(id) & st->hint_mask];
}

static uint64_t
hint_tag(const struct id *id)
{
	return id_prefix(id) >> 48;
}

/* A hint: number of the item + 1, chunk in the block, tag.  0: none. */
static void
set_hints(struct store *st, uint32_t number, const struct pack_block *b)
{
	uint64_t hint;
	uint64_t i;

	for (i = 0; i < b->chunks; i++) {
		hint = ((uint64_t)number + 1) << 32 | i << 16 |
		       hint_tag(&b->id[i]);
		atomic_store_explicit(hint_of(st, &b->id[i]), hint,
				      memory_order_relaxed);
	}
}

static int
load_block(struct store *st, const struct shelf_key *key,
	   struct pack_block **out, struct err *e)
{
	struct frame_coder *c;
	struct shelf_item *pack;
	const struct pack *p;
	int rc;

	if (take_pack(st, &key->pack, &pack, e) < 0)
		return -1;
	p = shelf_value(pack);
	if (key->at >= pack_blocks(p))
		rc = err_set(e, ERR_CORRUPT, "the pack has no block %u",
			     key->at);
	else
		rc = take_coder(st, &c, e);
	if (rc == 0) {
		rc = pack_load_block(p, c, key->at, out, e);
		give_coder(st, c);
	}
	shelf_release(st->packs, pack);
	return rc;
}

static int
take_block(struct store *st, const struct shelf_key *key,
	   struct shelf_item **out, struct err *e)
{
	struct pack_block *b;
	int rc;

	rc = shelf_take(st->blocks, key, BLOCK_SIZE_GUESS, out, e);
	if (rc != SHELF_EMPTY)
		return rc;
	if (load_block(st, key, &b, e) < 0) {
		shelf_abandon(st->blocks, *out);
		return -1;
	}
	count_up(&st->count.blocks_loaded, 1);
	set_hints(st, shelf_number(*out), b);
	shelf_fill(st->blocks, *out, b, pack_block_size(b), false);
	return 0;
}

/* --- places --------------------------------------------------------------- */

/* Where a chunk is, as a directory block says; the block is pinned. */
struct place {
	struct shelf_item *item;
	const struct pack_block *block;
	unsigned i;
};

static const struct pack_id *
place_pack(const struct place *p)
{
	return &shelf_item_key(p->item)->pack;
}

static const struct pack_frame_at *
place_frame(const struct place *p)
{
	return &p->block->frame[p->block->frame_of[p->i]];
}

/* Whether the pinned block has the id in that place; releases it if not. */
static bool
confirm(struct store *st, struct shelf_item *it, unsigned i,
	const struct id *id, struct place *out)
{
	const struct pack_block *b = shelf_value(it);

	if (i >= b->chunks || !id_equal(&b->id[i], id)) {
		shelf_release(st->blocks, it);
		return false;
	}
	*out = (struct place){ .item = it, .block = b, .i = i };
	return true;
}

static bool
place_by_hint(struct store *st, const struct id *id, struct place *out)
{
	struct shelf_item *it;
	uint64_t hint =
		atomic_load_explicit(hint_of(st, id), memory_order_relaxed);

	if (hint == 0 || (hint & 0xffff) != hint_tag(id))
		return false;
	it = shelf_peek(st->blocks, (uint32_t)(hint >> 32) - 1);
	return it != NULL && confirm(st, it, hint >> 16 & 0xffff, id, out);
}

/* Returns 1 when the chunk is not where the index thinks. */
static int
place_by_hit(struct store *st, const struct id *id, const struct index_hit *hit,
	     struct place *out, struct err *e)
{
	struct shelf_key key = { hit->pack, hit->slot / PACK_BLOCK_CHUNKS };
	struct shelf_item *it;

	if (take_block(st, &key, &it, e) < 0)
		return -1;
	return confirm(st, it, hit->slot % PACK_BLOCK_CHUNKS, id, out) ? 0 : 1;
}

/* --- keeping the index in step -------------------------------------------- */

/* A pack that cannot be read now, though not damaged, may be later. */
static void
note_bad(void *ctx, const struct pack_id *id, const struct err *why)
{
	bool *unread = ctx;

	(void)id;
	if (why->kind != ERR_CORRUPT && why->kind != ERR_UNSUPPORTED)
		*unread = true;
}

/*
 * Packs that were known have vanished.  The index forgets them; that every
 * generation up to now may hang on them is remembered until it is no longer so:
 * in the catalogue, for whichever process comes next.
 */
static void
note_lost(struct store *st)
{
	struct catalogue *cat = index_catalogue(st->index);
	struct generation_names names = { 0 };
	struct buf value = { 0 };

	if (repository_generations(st->repository, &names, NULL) == 0 &&
	    names.highest > atomic_load(&st->lost_until)) {
		atomic_store(&st->lost_until, names.highest);
		wr_u32(&value, names.highest);
		if (cat != NULL && !value.failed)
			(void)catalogue_put(cat, LOST_KEY, sizeof(LOST_KEY),
					    value.data, value.len, NULL);
	}
	generation_names_clear(&names);
	buf_clear(&value);
}

/* What an earlier process remembered. */
static void
recall_lost(struct store *st)
{
	struct catalogue *cat = index_catalogue(st->index);
	struct buf value = { 0 };
	struct rd r;
	uint32_t n;

	if (cat != NULL &&
	    catalogue_get(cat, LOST_KEY, sizeof(LOST_KEY), &value, NULL) == 0) {
		r = rd_init(value.data, value.len);
		n = rd_u32(&r);
		if (rd_done(&r))
			atomic_store(&st->lost_until, n);
	}
	buf_clear(&value);
}

static int
sync_locked(struct store *st, struct err *e)
{
	struct index_sync_result found = { 0 };
	struct timespec mtime = { 0 };
	bool unread = false;
	struct ts settled;
	struct stat s;

	if (damage_refresh(st->damage, e) < 0)
		return -1;
	if (sys_repo->fstat(st->repository->packs_fd, &s) == 0)
		mtime = s.st_mtim;
	settled = ts_add_ns(time_now_coarse(), -MTIME_SETTLED_NS);
	if (index_sync(st->index, st->repository->packs_fd, note_bad, &unread,
		       &found, e) < 0)
		return -1;
	(void)atomic_fetch_add(&st->epoch, 1);
	atomic_store(&st->bad_packs, found.bad);
	(void)atomic_fetch_add(&st->gone_packs, found.gone);
	if (found.gone > 0) {
		note_lost(st);
		shelf_purge(st->packs);
		shelf_purge(st->blocks);
	}
	st->synced_at = time_monotonic_ns();
	st->synced_mtime = mtime;
	st->sync_is_final =
		found.added == 0 && found.gone == 0 && !unread &&
		ts_cmp((struct ts){ mtime.tv_sec, (uint32_t)mtime.tv_nsec },
		       settled) < 0;
	return 0;
}

/* True when a sync now would find what the last one found: nothing. */
static bool
is_in_step(const struct store *st)
{
	struct stat s;

	return st->sync_is_final &&
	       time_monotonic_ns() - st->synced_at < SYNC_PAUSE_NS &&
	       sys_repo->fstat(st->repository->packs_fd, &s) == 0 &&
	       s.st_mtim.tv_sec == st->synced_mtime.tv_sec &&
	       s.st_mtim.tv_nsec == st->synced_mtime.tv_nsec;
}

/*
 * After a search that began in the epoch `seen` and found nothing: 1 when
 * searching again is worth it.
 */
static int
learn_more(struct store *st, unsigned seen, struct err *e)
{
	int rc = 0;

	(void)pthread_mutex_lock(&st->index_lock);
	if (atomic_load(&st->epoch) != seen)
		rc = 1;
	else if (!is_in_step(st))
		rc = sync_locked(st, e) < 0 ? -1 : 1;
	(void)pthread_mutex_unlock(&st->index_lock);
	return rc;
}

/* The index was found damaged in the epoch `seen`. */
static int
rebuild(struct store *st, unsigned seen, struct err *e)
{
	int rc = 0;

	(void)pthread_mutex_lock(&st->index_lock);
	if (atomic_load(&st->epoch) == seen) {
		rc = index_reset(st->index, e);
		if (rc == 0)
			rc = sync_locked(st, e);
	}
	(void)pthread_mutex_unlock(&st->index_lock);
	return rc;
}

/* What the index has, made anew once when it is damaged. */
static int
find_hits(struct store *st, const struct id *id,
	  struct index_hit hits[HITS_MAX], struct err *e)
{
	unsigned seen = atomic_load(&st->epoch);
	struct err why = { 0 };
	int n;

	count_up(&st->count.index_finds, 1);
	n = index_find(st->index, id_prefix(id), hits, HITS_MAX, &why);
	if (n >= 0)
		return n;
	if (why.kind == ERR_NOMEM)
		return err_nomem(e);
	if (rebuild(st, seen, e) < 0)
		return -1;
	return index_find(st->index, id_prefix(id), hits, HITS_MAX, e);
}

/* --- searching ------------------------------------------------------------ */

/* A search: `fn` looks at a place and says 0 (take it), 1 (go on) or -1. */
struct search {
	const struct id *id;
	int (*fn)(struct store *st, struct search *s, const struct place *p,
		  struct err *e);
	struct err why; /* why the first place that failed did */
	bool suspect;   /* look at what may be damaged, too */
	bool passed;    /* such a place was passed over */

	/* Of the single kinds of search: */
	enum id_kind kind;
	struct chunk *chunk;
	struct store_place *place;
};

/* A copy that fails is no failure while there may be another. */
static int
copy_failed(struct search *s, const struct pack_id *pack, struct err *why,
	    struct err *e)
{
	char name[PACK_NAME_LEN + 1];

	if (why->kind == ERR_NOMEM) {
		err_move(e, why);
		return -1;
	}
	pack_name(name, pack);
	err_prefix(why, "in pack %s", name);
	err_move(&s->why, why);
	return 1;
}

static int
visit(struct store *st, struct search *s, const struct place *p, struct err *e)
{
	int rc = 1;

	if (!s->suspect && damage_suspect(st->damage, place_pack(p),
					  place_frame(p)->offset))
		s->passed = true;
	else
		rc = s->fn(st, s, p, e);
	shelf_release(st->blocks, p->item);
	return rc;
}

static int
search_index(struct store *st, struct search *s, const struct index_hit *except,
	     struct err *e)
{
	struct index_hit hits[HITS_MAX];
	struct err why = { 0 };
	struct place p;
	int rc = 1;
	int n;
	int i;

	n = find_hits(st, s->id, hits, e);
	if (n < 0)
		return -1;
	for (i = 0; i < n && rc == 1; i++) {
		if (except != NULL && except->slot == hits[i].slot &&
		    memcmp(&except->pack, &hits[i].pack,
			   sizeof(except->pack)) == 0)
			continue;
		rc = place_by_hit(st, s->id, &hits[i], &p, &why);
		if (rc == 0)
			rc = visit(st, s, &p, e);
		else if (rc < 0)
			rc = copy_failed(s, &hits[i].pack, &why, e);
	}
	return rc;
}

/* The places whose frames are not suspect; all of them if s->suspect. */
static int
search_once(struct store *st, struct search *s, struct err *e)
{
	struct index_hit seen;
	struct place p;
	int rc;

	if (!place_by_hint(st, s->id, &p))
		return search_index(st, s, NULL, e);
	seen.pack = *place_pack(&p);
	seen.slot = p.block->first_slot + p.i;
	rc = visit(st, s, &p, e);
	return rc == 1 ? search_index(st, s, &seen, e) : rc;
}

/*
 * 0 when fn took a place, 1 when it took none, -1.  What may be damaged comes
 * last: a note can be wrong, and the id tells.
 */
static int
search(struct store *st, struct search *s, struct err *e)
{
	int rc;

	s->suspect = false;
	s->passed = false;
	rc = search_once(st, s, e);
	if (rc != 1 || !s->passed)
		return rc;
	s->suspect = true;
	return search_once(st, s, e);
}

/* --- frames --------------------------------------------------------------- */

static void
drop_frame(void *value)
{
	struct frame *f = value;
	struct checked *c;

	while ((c = f->checked.next) != NULL) {
		f->checked.next = c->next;
		mem_free(c);
	}
	block_free(f, sizeof(*f) + f->raw_len);
}

static int
decode_frame(struct store *st, const struct place *p, struct frame **out,
	     struct err *e)
{
	const struct pack_frame_at *at = place_frame(p);
	struct frame_coder *c = NULL;
	struct shelf_item *pack;
	struct frame *f;
	int rc;

	if (take_pack(st, place_pack(p), &pack, e) < 0)
		return -1;
	f = block_get(sizeof(*f) + at->raw_len);
	rc = f == NULL ? err_nomem(e) : take_coder(st, &c, e);
	if (rc == 0) {
		rc = pack_read_frame(shelf_value(pack), c, at, f->data, e);
		give_coder(st, c);
	}
	shelf_release(st->packs, pack);
	if (rc < 0) {
		block_free(f, sizeof(*f) + at->raw_len);
		return -1;
	}
	f->raw_len = at->raw_len;
	memset(&f->checked, 0, sizeof(f->checked));
	f->checked.block = shelf_item_key(p->item)->at;
	*out = f;
	return 0;
}

static int
take_frame(struct store *st, const struct place *p, struct shelf_item **out,
	   struct err *e)
{
	const struct pack_frame_at *at = place_frame(p);
	struct shelf_key key = { *place_pack(p), at->offset };
	size_t size = sizeof(struct frame) + at->raw_len;
	struct frame *f;
	int rc;

	rc = shelf_take(st->frames, &key, size, out, e);
	if (rc == SHELF_READY)
		count_up(&st->count.frame_hits, 1);
	if (rc != SHELF_EMPTY)
		return rc;
	if (decode_frame(st, p, &f, e) < 0) {
		shelf_abandon(st->frames, *out);
		return -1;
	}
	count_up(&st->count.frames_decoded, 1);
	count_up(&st->count.bytes_read, at->stored_len);
	count_up(&st->count.bytes_decoded, at->raw_len);
	/* Content that was stored as it is need only be read again. */
	shelf_fill(st->frames, *out, f, size,
		   at->method == FRAME_RAW && at->kind == KIND_DATA);
	return 0;
}

/* The bits of a frame for a block, or NULL; with checked_lock. */
static struct checked *
find_checked(struct frame *f, uint32_t block)
{
	struct checked *c = &f->checked;

	while (c != NULL && c->block != block)
		c = c->next;
	return c;
}

static bool
is_checked(struct store *st, struct frame *f, const struct place *p)
{
	const struct checked *c;
	bool yes;

	(void)pthread_mutex_lock(&st->checked_lock);
	c = find_checked(f, shelf_item_key(p->item)->at);
	yes = c != NULL && (c->bits[p->i / 64] >> p->i % 64 & 1) != 0;
	(void)pthread_mutex_unlock(&st->checked_lock);
	return yes;
}

/* Without memory to remember it, it is checked again next time. */
static void
set_checked(struct store *st, struct frame *f, const struct place *p)
{
	uint32_t block = shelf_item_key(p->item)->at;
	struct checked *c;

	(void)pthread_mutex_lock(&st->checked_lock);
	c = find_checked(f, block);
	if (c == NULL) {
		c = mem_zalloc(sizeof(*c));
		if (c != NULL) {
			c->block = block;
			c->next = f->checked.next;
			f->checked.next = c;
		}
	}
	if (c != NULL)
		c->bits[p->i / 64] |= UINT64_C(1) << p->i % 64;
	(void)pthread_mutex_unlock(&st->checked_lock);
}

/* --- reading -------------------------------------------------------------- */

static int
check_chunk(struct store *st, const struct search *s, const struct place *p,
	    struct frame *f, struct err *e)
{
	uint32_t offset = p->block->offset[p->i];
	uint32_t len = p->block->len[p->i];
	struct id id;

	/* The frame may have been decoded for a block that said otherwise. */
	if (offset > f->raw_len || len > f->raw_len - offset)
		return err_set(e, ERR_CORRUPT, "reaches beyond its frame");
	if (is_checked(st, f, p))
		return 0;
	id_compute(&st->repository->keys, s->kind, f->data + offset, len, &id);
	if (!id_equal(&id, s->id))
		return err_set(e, ERR_CORRUPT, "its bytes do not match its id");
	set_checked(st, f, p);
	return 0;
}

static int
read_place(struct store *st, const struct search *s, const struct place *p,
	   struct err *e)
{
	const struct pack_frame_at *at = place_frame(p);
	struct shelf_item *it;
	struct frame *f;

	if (at->kind != s->kind)
		return err_set(e, ERR_CORRUPT, "is in a frame of kind %s",
			       id_kind_name(at->kind));
	if (take_frame(st, p, &it, e) < 0)
		return -1;
	f = shelf_value(it);
	if (check_chunk(st, s, p, f, e) < 0) {
		shelf_release(st->frames, it);
		return -1;
	}
	s->chunk->data = f->data + p->block->offset[p->i];
	s->chunk->len = p->block->len[p->i];
	s->chunk->owner = it;
	return 0;
}

static int
try_read(struct store *st, struct search *s, const struct place *p,
	 struct err *e)
{
	struct err why = { 0 };

	if (read_place(st, s, p, &why) == 0)
		return 0;
	/* Nobody is to refer to what could not be read just now. */
	if (err_is_rot(&why))
		damage_meet(st->damage, place_pack(p), place_frame(p)->offset);
	return copy_failed(s, place_pack(p), &why, e);
}

static int
get(struct chunk_reader *r, enum id_kind kind, const struct id *id,
    struct chunk *out, struct err *e)
{
	struct store *st = (struct store *)r;
	struct search s = {
		.id = id, .fn = try_read, .kind = kind, .chunk = out
	};
	char text[ID_TEXT_LEN];
	unsigned seen = atomic_load(&st->epoch);
	int rc;

	count_up(&st->count.gets, 1);
	rc = search(st, &s, e);
	if (rc == 1 && learn_more(st, seen, &s.why) == 1)
		rc = search(st, &s, e);
	if (rc == 0)
		return 0;
	err_set(&s.why, ERR_MISSING, "not in any pack");
	err_move(e, &s.why);
	return err_prefix(e, "chunk %s (%s)", id_text(text, id),
			  id_kind_name(kind));
}

static void
release(struct chunk_reader *r, struct chunk *c)
{
	struct store *st = (struct store *)r;

	shelf_release(st->frames, c->owner);
}

/* --- asking --------------------------------------------------------------- */

static int
take_live(struct store *st, struct search *s, const struct place *p,
	  struct err *e)
{
	(void)s;
	(void)e;
	return session_condemned(st->session, place_pack(p));
}

int
store_has(struct store *st, const struct id *id, struct err *e)
{
	struct search s = { .id = id, .fn = take_live };
	int rc;

	if (damage_references(st->damage, e) < 0)
		return -1;
	rc = search_once(st, &s, e);
	return rc < 0 ? -1 : rc == 0;
}

static int
take_place(struct store *st, struct search *s, const struct place *p,
	   struct err *e)
{
	const struct pack_frame_at *at = place_frame(p);

	(void)st;
	(void)e;
	*s->place = (struct store_place){
		.pack = *place_pack(p),
		.frame_offset = at->offset,
		.stored_len = at->stored_len,
		.raw_len = at->raw_len,
		.len = p->block->len[p->i],
	};
	return 0;
}

int
store_find(struct store *st, const struct id *id, struct store_place *out,
	   struct err *e)
{
	struct search s = { .id = id, .fn = take_place, .place = out };

	return search(st, &s, e);
}

/* --- what is noted and not mended ----------------------------------------- */

/* Do files need something of the block that is suspect and nowhere else? */
static int
block_misses(struct store *st, const struct pack_id *pack,
	     const struct pack_block *b, struct err *e)
{
	const struct pack_frame_at *f;
	unsigned i;
	int rc;

	for (i = 0; i < b->chunks; i++) {
		f = &b->frame[b->frame_of[i]];
		if ((f->kind != KIND_DATA && f->kind != KIND_MAP) ||
		    !damage_suspect(st->damage, pack, f->offset))
			continue;
		rc = store_has(st, &b->id[i], e);
		if (rc != 1)
			return rc < 0 ? -1 : 1;
	}
	return 0;
}

/* What cannot be read of the pack may be anything. */
static int
pack_misses(struct store *st, const struct pack_id *pack, struct err *e)
{
	struct shelf_key key = { *pack, 0 };
	struct shelf_item *it;
	struct err why = { 0 };
	uint32_t blocks = 0;
	int rc = take_pack(st, pack, &it, &why);

	if (rc == 0) {
		blocks = pack_blocks(shelf_value(it));
		shelf_release(st->packs, it);
	}
	for (; rc == 0 && key.at < blocks; key.at++) {
		rc = take_block(st, &key, &it, &why);
		if (rc < 0)
			break;
		rc = block_misses(st, pack, shelf_value(it), e);
		shelf_release(st->blocks, it);
		if (rc < 0)
			return -1;
	}
	if (rc >= 0)
		return rc;
	if (why.kind == ERR_NOMEM)
		return err_nomem(e);
	/* One that is gone is store_lost_until's. */
	return why.kind == ERR_MISSING ? 0 : 1;
}

int
store_misses(struct store *st, struct err *e)
{
	struct damage_pack *pack;
	size_t count;
	size_t i;
	int rc = 0;

	if (damage_packs(st->damage, &pack, &count, e) < 0)
		return -1;
	for (i = 0; rc == 0 && i < count; i++)
		rc = pack_misses(st, &pack[i].id, e);
	mem_free(pack);
	return rc;
}

/* --- the store ------------------------------------------------------------ */

static int
make_hints(struct store *st, size_t block_cache, struct err *e)
{
	size_t n = HINTS_MIN;

	while (n < block_cache / BLOCK_BYTES_PER_CHUNK)
		n *= 2;
	st->hints = mem_array(n, sizeof(*st->hints));
	if (st->hints == NULL)
		return err_nomem(e);
	st->hint_mask = n - 1;
	return 0;
}

static int
make_caches(struct store *st, const struct store_options *opt, struct err *e)
{
	size_t frames = FRAME_CACHE_DEFAULT;
	size_t blocks = BLOCK_CACHE_DEFAULT;
	size_t packs = OPEN_PACKS_DEFAULT;

	if (opt != NULL && opt->frame_cache > 0)
		frames = opt->frame_cache;
	if (opt != NULL && opt->block_cache > 0)
		blocks = opt->block_cache;
	if (opt != NULL && opt->open_packs > 0)
		packs = opt->open_packs;
	if (shelf_new(frames, drop_frame, &st->frames, e) < 0 ||
	    shelf_new(packs, drop_pack, &st->packs, e) < 0)
		return -1;
	/* The hints are part of what was allowed for blocks. */
	if (make_hints(st, blocks, e) < 0)
		return -1;
	return shelf_new(blocks - blocks / 4, drop_block, &st->blocks, e);
}

static int
open_index(struct store *st, struct err *e)
{
	if (cache_open(st->repository->config.id, &st->cache_fd,
		       &st->cache_path, &st->cache_temporary, e) < 0)
		return -1;
	if (index_open(st->cache_fd, buf_str(&st->cache_path), &st->index, e) <
	    0)
		return -1;
	recall_lost(st);
	return store_refresh(st, e);
}

int
store_open(struct repository *r, struct session *s,
	   const struct store_options *opt, struct store **out, struct err *e)
{
	struct store *st;

	st = mem_zalloc(sizeof(*st));
	if (st == NULL)
		return err_nomem(e);
	st->reader.get = get;
	st->reader.release = release;
	st->repository = r;
	st->session = s;
	st->cache_fd = -1;
	(void)pthread_mutex_init(&st->coders_lock, NULL);
	(void)pthread_mutex_init(&st->checked_lock, NULL);
	(void)pthread_mutex_init(&st->index_lock, NULL);
	if (damage_new(r, &st->damage, e) < 0 || make_caches(st, opt, e) < 0 ||
	    open_index(st, e) < 0) {
		store_close(st);
		return -1;
	}
	*out = st;
	return 0;
}

void
store_close(struct store *st)
{
	if (st == NULL)
		return;
	index_close(st->index);
	if (st->cache_temporary) /* and so opened; this closes it */
		cache_remove(st->cache_fd, buf_str(&st->cache_path));
	else
		(void)io_close(st->cache_fd, "cache", NULL);
	buf_clear(&st->cache_path);
	shelf_free(st->frames);
	shelf_free(st->blocks);
	shelf_free(st->packs);
	damage_free(st->damage);
	while (st->n_coders > 0)
		frame_coder_free(st->coders[--st->n_coders]);
	mem_free(st->hints);
	(void)pthread_mutex_destroy(&st->index_lock);
	(void)pthread_mutex_destroy(&st->checked_lock);
	(void)pthread_mutex_destroy(&st->coders_lock);
	mem_free(st);
}

struct repository *
store_repository(const struct store *st)
{
	return st->repository;
}

struct session *
store_session(const struct store *st)
{
	return st->session;
}

struct index *
store_index(const struct store *st)
{
	return st->index;
}

struct damage *
store_damage(const struct store *st)
{
	return st->damage;
}

const char *
store_cache_path(const struct store *st, bool *temporary)
{
	*temporary = st->cache_temporary;
	/* It ends with a NUL since the store was opened. */
	return (const char *)st->cache_path.data;
}

struct chunk_reader *
store_reader(struct store *st)
{
	return &st->reader;
}

size_t
store_bad_packs(const struct store *st)
{
	return atomic_load(&st->bad_packs);
}

uint32_t
store_lost_until(const struct store *st)
{
	return atomic_load(&st->lost_until);
}

size_t
store_gone_packs(const struct store *st)
{
	return atomic_load(&st->gone_packs);
}

int
store_refresh(struct store *st, struct err *e)
{
	int rc;

	(void)pthread_mutex_lock(&st->index_lock);
	rc = sync_locked(st, e);
	(void)pthread_mutex_unlock(&st->index_lock);
	return rc;
}

int
store_reopened(struct store *st, struct err *e)
{
	shelf_purge(st->packs);
	return store_refresh(st, e);
}

int
store_add_pack(struct store *st, const struct pack_id *id, uint64_t pack_len,
	       const struct id *ids, uint32_t chunks, struct err *e)
{
	int rc;

	(void)pthread_mutex_lock(&st->index_lock);
	rc = index_add_pack(st->index, id, pack_len, ids, chunks, e);
	(void)atomic_fetch_add(&st->epoch, 1);
	(void)pthread_mutex_unlock(&st->index_lock);
	return rc;
}

int
store_flush_index(struct store *st, struct err *e)
{
	int rc;

	(void)pthread_mutex_lock(&st->index_lock);
	rc = index_flush(st->index, e);
	(void)pthread_mutex_unlock(&st->index_lock);
	return rc;
}

void
store_counters(const struct store *st, struct store_counters *out)
{
	*out = (struct store_counters){
		.gets = atomic_load(&st->count.gets),
		.frame_hits = atomic_load(&st->count.frame_hits),
		.frames_decoded = atomic_load(&st->count.frames_decoded),
		.bytes_read = atomic_load(&st->count.bytes_read),
		.bytes_decoded = atomic_load(&st->count.bytes_decoded),
		.index_finds = atomic_load(&st->count.index_finds),
		.blocks_loaded = atomic_load(&st->count.blocks_loaded),
	};
}
