/*
 * A pack is read front to back: block by block, and in each block frame by
 * frame, in the order they lie in the file.  A frame whose chunks go on in the
 * next block is kept until then, so that every frame is decoded once.
 *
 * When something differs it is read once more, only to say whether the two
 * readings agree: if not, it is the machine that is to be looked at.  It is
 * damage either way.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/verify.h"

#include "base/err.h"
#include "base/mem.h"
#include "store/frame.h"
#include "store/repository.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct verify {
	const struct repository *r;
	const struct pack *p;
	struct pack_id id;
	struct frame_coder *c;
	verify_damage_fn fn;
	void *ctx;
	struct verify_counts *counts;

	/* The frame decoded last, and whether it could be. */
	struct pack_frame_at frame;
	bool have_frame, sound;
	struct err why; /* when it is not sound */
	uint8_t *raw;
	size_t raw_cap;
};

/* Failures of the stored bytes, a bad sector among them. */
static bool
is_damage(const struct err *why)
{
	return why->kind == ERR_UNSUPPORTED || err_is_rot(why);
}

/* Of the whole pack or a block. */
static int
tell(struct verify *v, const char *text, struct err *e)
{
	struct verify_damage d = { .pack = v->id, .text = text };

	v->counts->damaged++;
	return v->fn(v->ctx, &d, e);
}

static int
tell_chunk(struct verify *v, const struct pack_block *b, unsigned i,
	   const char *text, struct err *e)
{
	struct verify_damage d = {
		.pack = v->id,
		.id = &b->id[i],
		.slot = b->first_slot + i,
		.frame_offset = b->frame[b->frame_of[i]].offset,
		.text = text,
	};

	v->counts->damaged++;
	return v->fn(v->ctx, &d, e);
}

/* Tell of a failure if it is damage, else fail with it. */
static int
tell_err(struct verify *v, struct err *why, struct err *e)
{
	if (is_damage(why))
		return tell(v, why->text, e);
	err_move(e, why);
	return -1;
}

static int
reserve(struct verify *v, size_t n, struct err *e)
{
	uint8_t *raw;

	if (n <= v->raw_cap)
		return 0;
	raw = mem_alloc(n);
	if (raw == NULL)
		return err_nomem(e);
	mem_free(v->raw);
	v->raw = raw;
	v->raw_cap = n;
	return 0;
}

/*
 * Two blocks that name one frame may contradict each other: by this one's
 * account its chunks might lie beyond what was decoded by the other's.
 */
static bool
same_frame(const struct pack_frame_at *a, const struct pack_frame_at *b)
{
	return a->offset == b->offset && a->stored_len == b->stored_len &&
	       a->raw_len == b->raw_len && a->method == b->method &&
	       a->kind == b->kind;
}

/* Decode the frame into v->raw, unless it is the one that is there. */
static int
decode(struct verify *v, const struct pack_frame_at *f, struct err *e)
{
	struct err again = { 0 };

	if (v->have_frame && same_frame(&v->frame, f))
		return 0;
	if (reserve(v, f->raw_len, e) < 0)
		return -1;
	v->have_frame = true;
	v->frame = *f;
	err_clear(&v->why);
	v->counts->frames++;
	v->sound = pack_read_frame(v->p, v->c, f, v->raw, &v->why) == 0;
	if (v->sound)
		return 0;
	if (!is_damage(&v->why)) {
		err_move(e, &v->why);
		return -1;
	}
	if (pack_read_frame(v->p, v->c, f, v->raw, &again) == 0)
		(void)err_prefix(&v->why, "a second reading was sound");
	return 0;
}

static bool
matches(const struct verify *v, uint8_t kind, const struct id *want,
	const uint8_t *p, size_t len)
{
	struct id id;

	id_compute(&v->r->keys, kind, p, len, &id);
	return id_equal(&id, want);
}

/* The chunk's bytes are not what its id says: which way? */
static int
tell_mismatch(struct verify *v, const struct pack_frame_at *f,
	      const struct pack_block *b, unsigned i, struct err *e)
{
	char name[PACK_NAME_LEN + 1], hex[ID_TEXT_LEN];
	const char *second = "";
	struct err why = { 0 };
	char text[ERR_TEXT_LEN];

	v->have_frame = false;
	if (pack_read_frame(v->p, v->c, f, v->raw, &why) == 0) {
		v->have_frame = true;
		if (matches(v, f->kind, &b->id[i], v->raw + b->offset[i],
			    b->len[i]))
			second = ", but does at a second reading";
	}
	pack_name(name, &v->id);
	(void)snprintf(text, sizeof(text),
		       "pack %s: frame at %u: chunk %s does not match its id%s",
		       name, f->offset, id_text(hex, &b->id[i]), second);
	return tell_chunk(v, b, i, text, e);
}

static int
verify_chunk(struct verify *v, const struct pack_block *b, unsigned i,
	     struct err *e)
{
	const struct pack_frame_at *f = &b->frame[b->frame_of[i]];

	if (decode(v, f, e) < 0)
		return -1;
	v->counts->chunks++;
	if (!v->sound)
		return tell_chunk(v, b, i, v->why.text, e);
	v->counts->bytes += b->len[i];
	if (matches(v, f->kind, &b->id[i], v->raw + b->offset[i], b->len[i]))
		return 0;
	return tell_mismatch(v, f, b, i, e);
}

static int
verify_block(struct verify *v, uint32_t number, struct err *e)
{
	struct pack_block *b = NULL;
	struct err why = { 0 };
	unsigned i;
	int rc = 0;

	if (pack_load_block(v->p, v->c, number, &b, &why) < 0)
		return tell_err(v, &why, e);
	for (i = 0; rc == 0 && i < b->chunks; i++)
		rc = verify_chunk(v, b, i, e);
	pack_block_free(b);
	return rc;
}

int
verify_pack(const struct repository *r, const struct pack_id *id,
	    struct frame_coder *c, verify_damage_fn fn, void *ctx,
	    struct verify_counts *counts, struct err *e)
{
	struct verify v = { .r = r,
			    .id = *id,
			    .c = c,
			    .fn = fn,
			    .ctx = ctx,
			    .counts = counts };
	char name[PACK_NAME_LEN + 1];
	char text[PACK_NAME_LEN + 32];
	struct err why = { 0 };
	struct pack *p = NULL;
	uint32_t i;
	int rc = pack_open(r->packs_fd, id, &p, &why);

	counts->packs++;
	if (rc == 1) {
		pack_name(name, id);
		(void)snprintf(text, sizeof(text), "pack %s: is missing", name);
		return tell(&v, text, e);
	}
	if (rc < 0)
		return tell_err(&v, &why, e);
	v.p = p;
	for (i = 0; rc == 0 && i < pack_blocks(p); i++)
		rc = verify_block(&v, i, e);
	mem_free(v.raw);
	pack_close(p);
	return rc;
}
