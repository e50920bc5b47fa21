/*
 * A hash table that is allocated once, because the footers say how many
 * chunks there will be, and filled to eight ninths: chunk ids are hashes, so
 * their first bytes place them evenly.  Packs are entered in the order of
 * their ids and probing is linear, so the first copy found is the one in the
 * lowest pack.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/inventory.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/damage.h"
#include "store/frame.h"
#include "store/repository.h"

#include <stdlib.h>
#include <string.h>

#define SLOT_FREE UINT32_MAX

struct place {
	uint64_t key;
	uint32_t pack; /* SLOT_FREE: none */
	uint32_t slot;
};

struct inventory {
	struct inventory_pack *pack;
	size_t packs, packs_cap;
	uint64_t chunks;
	struct place *place;
	size_t places;
	uint8_t *used, *damaged; /* bits by number of chunk */
	uint8_t *replaced;       /* of damaged ones; NULL until settled */
};

/* What loading needs besides. */
struct load {
	struct inventory *v;
	const struct repository *r;
	struct frame_coder *coder;
	struct damage *noted;
	inventory_bad_fn bad;
	void *ctx;
};

void
inventory_free(struct inventory *v)
{
	if (v == NULL)
		return;
	mem_free(v->pack);
	mem_free(v->place);
	mem_free(v->used);
	mem_free(v->damaged);
	mem_free(v->replaced);
	mem_free(v);
}

size_t
inventory_packs(const struct inventory *v)
{
	return v->packs;
}

const struct inventory_pack *
inventory_pack(const struct inventory *v, size_t i)
{
	return &v->pack[i];
}

uint64_t
inventory_chunks(const struct inventory *v)
{
	return v->chunks;
}

static int
cmp_packs(const void *pa, const void *pb)
{
	const struct inventory_pack *a = pa;
	const struct inventory_pack *b = pb;

	return memcmp(a->id.b, b->id.b, PACK_ID_LEN);
}

bool
inventory_knows(const struct inventory *v, const struct pack_id *id)
{
	const struct inventory_pack key = { .id = *id };

	return v->packs > 0 &&
	       bsearch(&key, v->pack, v->packs, sizeof(key), cmp_packs) != NULL;
}

static uint64_t
number_of(const struct inventory *v, const struct place *p)
{
	return v->pack[p->pack].first + p->slot;
}

static bool
bit(const uint8_t *bits, uint64_t n)
{
	return (bits[n / 8] >> (n % 8) & 1) != 0;
}

static void
set_bit(uint8_t *bits, uint64_t n)
{
	bits[n / 8] |= (uint8_t)(1u << (n % 8));
}

/* --- loading ---------------------------------------------------------------- */

static int
add_name(void *ctx, const char *name, struct err *e)
{
	struct inventory *v = ctx;
	struct inventory_pack p = { 0 };
	struct inventory_pack *more;
	size_t cap = v->packs_cap < 64 ? 64 : v->packs_cap * 2;

	if (!pack_name_parse(name, &p.id))
		return 0;
	if (v->packs == v->packs_cap) {
		more = mem_resize(v->pack, cap, sizeof(*more));
		if (more == NULL)
			return err_nomem(e);
		v->pack = more;
		v->packs_cap = cap;
	}
	v->pack[v->packs++] = p;
	return 0;
}

/* Tell of damage; -1 when it is the machine that failed. */
static int
tell(struct load *l, struct inventory_pack *p, struct err *why, struct err *e)
{
	if (why->kind == ERR_NOMEM || why->kind == ERR_CANCELLED) {
		err_move(e, why);
		return -1;
	}
	p->told = true;
	l->bad(l->ctx, &p->id, why);
	err_clear(why);
	return 0;
}

/* 0 open; 1 not readable, and told; -1. */
static int
open_pack(struct load *l, struct inventory_pack *p, struct pack **out,
	  struct err *e)
{
	struct err why = { 0 };
	int rc;

	rc = pack_open(l->r->packs_fd, &p->id, out, &why);
	if (rc == 0)
		return 0;
	p->unreadable = true;
	if (rc > 0) /* removed since it was listed: nobody needs it */
		return 1;
	return tell(l, p, &why, e) < 0 ? -1 : 1;
}

/* Read all footers: how much there will be. */
static int
count_chunks(struct load *l, struct err *e)
{
	struct inventory *v = l->v;
	struct pack *pack;
	size_t i;
	int rc;

	for (i = 0; i < v->packs; i++) {
		v->pack[i].first = v->chunks;
		rc = open_pack(l, &v->pack[i], &pack, e);
		if (rc < 0)
			return -1;
		if (rc > 0)
			continue;
		v->pack[i].chunks = pack_chunks(pack);
		v->pack[i].len = pack_len(pack);
		v->chunks += v->pack[i].chunks;
		pack_close(pack);
	}
	return 0;
}

static int
make_table(struct inventory *v, struct err *e)
{
	size_t bits = (size_t)(v->chunks / 8 + 1);
	size_t i;

	v->places = (size_t)(v->chunks + v->chunks / 8 + 16);
	v->place = mem_array(v->places, sizeof(*v->place));
	v->used = mem_zalloc(bits);
	v->damaged = mem_zalloc(bits);
	if (v->place == NULL || v->used == NULL || v->damaged == NULL)
		return err_nomem(e);
	for (i = 0; i < v->places; i++)
		v->place[i].pack = SLOT_FREE;
	return 0;
}

static size_t
next_place(const struct inventory *v, size_t i)
{
	return i + 1 < v->places ? i + 1 : 0;
}

static void
add_chunk(struct inventory *v, size_t pack, uint32_t slot, const struct id *id)
{
	uint64_t key = id_prefix(id);
	size_t i = (size_t)(key % v->places);

	while (v->place[i].pack != SLOT_FREE)
		i = next_place(v, i);
	v->place[i].key = key;
	v->place[i].pack = (uint32_t)pack;
	v->place[i].slot = slot;
}

/* Enter the chunks of a directory block. */
static void
add_block(struct load *l, size_t i, const struct pack_block *b)
{
	const struct inventory_pack *p = &l->v->pack[i];
	bool any = l->noted != NULL && damage_noted(l->noted, &p->id);
	uint32_t slot;
	uint32_t c;

	for (c = 0; c < b->chunks && b->first_slot + c < p->chunks; c++) {
		slot = b->first_slot + c;
		add_chunk(l->v, i, slot, &b->id[c]);
		if (any && damage_found(l->noted, &p->id,
					b->frame[b->frame_of[c]].offset))
			set_bit(l->v->damaged, p->first + slot);
	}
}

/* Enter the chunks of a pack; directory blocks that are damaged are told. */
static int
add_pack(struct load *l, size_t i, struct err *e)
{
	struct inventory_pack *p = &l->v->pack[i];
	struct pack_block *block;
	struct err why = { 0 };
	struct pack *pack;
	uint32_t b;
	int rc;

	rc = open_pack(l, p, &pack, e);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	for (b = 0; b < pack_blocks(pack) && rc == 0; b++) {
		if (pack_load_block(pack, l->coder, b, &block, &why) < 0) {
			rc = tell(l, p, &why, e);
			continue;
		}
		add_block(l, i, block);
		pack_block_free(block);
	}
	pack_close(pack);
	return rc;
}

static int
load(struct load *l, struct err *e)
{
	struct inventory *v = l->v;
	size_t i;

	if (io_list(l->r->packs_fd, "packs", add_name, v, e) < 0)
		return -1;
	if (v->packs > 0)
		qsort(v->pack, v->packs, sizeof(*v->pack), cmp_packs);
	if (count_chunks(l, e) < 0 || make_table(v, e) < 0)
		return -1;
	for (i = 0; i < v->packs; i++)
		if (!v->pack[i].unreadable && add_pack(l, i, e) < 0)
			return -1;
	return 0;
}

int
inventory_load(const struct repository *r, struct damage *noted,
	       inventory_bad_fn bad, void *ctx, struct inventory **out,
	       struct err *e)
{
	struct load l = { .r = r, .noted = noted, .bad = bad, .ctx = ctx };
	int rc = -1;

	l.v = mem_zalloc(sizeof(*l.v));
	if (l.v == NULL)
		return err_nomem(e);
	if (frame_coder_new(&l.coder, e) < 0 || load(&l, e) < 0)
		goto out;
	*out = l.v;
	l.v = NULL;
	rc = 0;
out:
	frame_coder_free(l.coder);
	inventory_free(l.v);
	return rc;
}

/* --- what is known of each -------------------------------------------------- */

enum chunk_state
inventory_use(struct inventory *v, const struct id *id)
{
	uint64_t key = id_prefix(id);
	size_t i = (size_t)(key % v->places);
	enum chunk_state state = CHUNK_MISSING;
	uint64_t number = 0;

	for (; v->place[i].pack != SLOT_FREE; i = next_place(v, i)) {
		if (v->place[i].key != key)
			continue;
		if (!bit(v->damaged, number_of(v, &v->place[i]))) {
			set_bit(v->used, number_of(v, &v->place[i]));
			return CHUNK_GOOD;
		}
		if (state == CHUNK_MISSING)
			number = number_of(v, &v->place[i]);
		state = CHUNK_DAMAGED;
	}
	if (state == CHUNK_DAMAGED)
		set_bit(v->used, number);
	return state;
}

void
inventory_damaged(struct inventory *v, size_t pack, const struct id *id)
{
	uint64_t key = id_prefix(id);
	size_t i = (size_t)(key % v->places);

	for (; v->place[i].pack != SLOT_FREE; i = next_place(v, i))
		if (v->place[i].key == key && v->place[i].pack == pack)
			set_bit(v->damaged, number_of(v, &v->place[i]));
}

void
inventory_sound(struct inventory *v, size_t pack)
{
	const struct inventory_pack *p = &v->pack[pack];
	uint64_t n;

	for (n = p->first; n < p->first + p->chunks; n++)
		v->damaged[n / 8] &= (uint8_t) ~(1u << (n % 8));
}

/* Is there a copy of the chunk in this place that is not damaged? */
static bool
has_good_copy(const struct inventory *v, size_t of)
{
	uint64_t key = v->place[of].key;
	size_t i = (size_t)(key % v->places);

	for (; v->place[i].pack != SLOT_FREE; i = next_place(v, i))
		if (v->place[i].key == key &&
		    !bit(v->damaged, number_of(v, &v->place[i])))
			return true;
	return false;
}

int
inventory_settle(struct inventory *v, struct err *e)
{
	uint64_t n;
	size_t i;

	mem_free(v->replaced);
	v->replaced = mem_zalloc((size_t)(v->chunks / 8 + 1));
	if (v->replaced == NULL)
		return err_nomem(e);
	for (i = 0; i < v->places; i++) {
		if (v->place[i].pack == SLOT_FREE)
			continue;
		n = number_of(v, &v->place[i]);
		if (bit(v->damaged, n) && has_good_copy(v, i))
			set_bit(v->replaced, n);
	}
	return 0;
}

enum chunk_loss
inventory_loss(const struct inventory *v, size_t pack, uint32_t slot)
{
	uint64_t n = v->pack[pack].first + slot;

	if (bit(v->replaced, n))
		return LOSS_REPLACED;
	return bit(v->used, n) ? LOSS_REAL : LOSS_UNUSED;
}

bool
inventory_pack_used(const struct inventory *v, size_t pack)
{
	uint64_t n;
	const struct inventory_pack *p = &v->pack[pack];

	for (n = p->first; n < p->first + p->chunks; n++)
		if (bit(v->used, n))
			return true;
	return false;
}

/* --- what is not used ------------------------------------------------------- */

/* A chunk's share of its frame's stored bytes. */
static uint64_t
stored_bytes(const struct pack_block *b, uint32_t c)
{
	const struct pack_frame_at *f = &b->frame[b->frame_of[c]];

	return f->raw_len == 0
		       ? 0
		       : (uint64_t)b->len[c] * f->stored_len / f->raw_len;
}

static int
add_unused(const struct inventory *v, size_t i, const struct repository *r,
	   struct frame_coder *coder, uint64_t *bytes)
{
	const struct inventory_pack *p = &v->pack[i];
	struct pack_block *block;
	struct pack *pack;
	uint32_t b;
	uint32_t c;

	if (pack_open(r->packs_fd, &p->id, &pack, NULL) != 0)
		return -1;
	for (b = 0; b < pack_blocks(pack); b++) {
		if (pack_load_block(pack, coder, b, &block, NULL) < 0)
			continue;
		for (c = 0; c < block->chunks; c++)
			if (block->first_slot + c < p->chunks &&
			    !bit(v->used, p->first + block->first_slot + c))
				*bytes += stored_bytes(block, c);
		pack_block_free(block);
	}
	pack_close(pack);
	return 0;
}

int
inventory_unused(const struct inventory *v, const struct repository *r,
		 uint64_t *bytes, struct err *e)
{
	struct frame_coder *coder;
	uint64_t sum = 0;
	size_t i;

	if (frame_coder_new(&coder, e) < 0)
		return -1;
	/* Damage was told when it was loaded; what can be read is counted. */
	for (i = 0; i < v->packs; i++)
		if (!v->pack[i].unreadable)
			(void)add_unused(v, i, r, coder, &sum);
	frame_coder_free(coder);
	*bytes = sum;
	return 0;
}
