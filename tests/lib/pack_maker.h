/*
 * pack_maker - packs with known contents, for the tests of what reads them.
 */
#ifndef ASOF_TESTS_LIB_PACK_MAKER_H
#define ASOF_TESTS_LIB_PACK_MAKER_H

#include "base/err.h"
#include "store/frame.h"
#include "store/pack.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/rng.h"

#include <stdlib.h>
#include <string.h>

struct made_pack {
	struct pack_id id;
	uint64_t len;
	uint32_t chunks;
	size_t frames;
	struct id *ids;     /* chunks of them */
	uint32_t *lens;     /* chunks of them */
	uint8_t *bytes;     /* all chunks, one after the other */
	uint32_t *frame_of; /* number of each chunk's frame */
};

/* What a pack is made of.  All zero but `frames` and `chunks` will do. */
struct pack_shape {
	size_t frames;
	size_t chunks;        /* in each frame */
	size_t chunk_len;     /* at most; default 40 */
	bool packed;          /* compress the frames */
	enum id_kind kind;    /* default KIND_DATA */
	const struct id *ids; /* take these ids, of frames * chunks chunks */
	const struct id_keys *keys; /* else: true ids; else: random ones */
};

static inline void
pack_maker_free(struct made_pack *m)
{
	free(m->ids);
	free(m->lens);
	free(m->bytes);
	free(m->frame_of);
	memset(m, 0, sizeof(*m));
}

static inline void
pack_maker_chunk(struct made_pack *m, const struct pack_shape *s, struct rng *r,
		 uint8_t *p)
{
	size_t max = s->chunk_len == 0 ? 40 : s->chunk_len;
	uint32_t n = 1 + (uint32_t)rng_below(r, max);
	struct id *id = &m->ids[m->chunks];

	rng_fill(r, p, n);
	if (s->packed) /* leave something to gain */
		memset(p + n / 3, 'a', n - n / 3);
	m->lens[m->chunks] = n;
	if (s->ids != NULL)
		*id = s->ids[m->chunks];
	else if (s->keys != NULL)
		id_compute(s->keys, s->kind == 0 ? KIND_DATA : s->kind, p, n,
			   id);
	else
		rng_fill(r, id, sizeof(*id));
	m->chunks++;
}

/* Append a frame of chunks; the bytes of all before are `at` long. */
static inline size_t
pack_maker_frame(struct made_pack *m, struct pack_writer *w,
		 struct frame_coder *c, const struct pack_shape *s,
		 struct rng *r, size_t at)
{
	struct err e = { 0 };
	uint32_t first = m->chunks, slot, raw = 0;
	size_t stored_len, i;
	struct pack_frame f = {
		.kind = s->kind == 0 ? KIND_DATA : s->kind,
		.chunks = s->chunks,
		.ids = m->ids + first,
		.lens = m->lens + first,
	};
	uint8_t *stored;

	for (i = 0; i < s->chunks; i++) {
		m->frame_of[m->chunks] = (uint32_t)m->frames;
		pack_maker_chunk(m, s, r, m->bytes + at + raw);
		raw += m->lens[m->chunks - 1];
	}
	stored = malloc(frame_bound(raw));
	assert_non_null(stored);
	f.raw_len = raw;
	if (s->packed) {
		if (frame_encode(c, f.kind, 3, m->bytes + at, raw, stored,
				 &stored_len, &f.method, &e) < 0)
			fail_msg("%s", e.text);
	} else {
		memcpy(stored, m->bytes + at, raw);
		stored_len = raw;
		f.method = FRAME_RAW;
	}
	f.stored = stored;
	f.stored_len = (uint32_t)stored_len;
	if (pack_writer_add(w, &f, &slot, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(slot, first);
	m->frames++;
	free(stored);
	return at + raw;
}

/* A published pack of this shape. */
static inline void
pack_maker_make(int packs_fd, const struct pack_shape *s, struct rng *r,
		struct made_pack *m)
{
	size_t n = s->frames * s->chunks, at = 0, i;
	size_t max = s->chunk_len == 0 ? 40 : s->chunk_len;
	struct pack_writer *w = NULL;
	struct frame_coder *c = NULL;
	struct err e = { 0 };

	memset(m, 0, sizeof(*m));
	m->ids = calloc(n, sizeof(*m->ids));
	m->lens = calloc(n, sizeof(*m->lens));
	m->frame_of = calloc(n, sizeof(*m->frame_of));
	m->bytes = calloc(n, max);
	assert_true(m->ids && m->lens && m->frame_of && m->bytes);
	if (frame_coder_new(&c, &e) < 0 ||
	    pack_writer_new(packs_fd, &w, &e) < 0)
		fail_msg("%s", e.text);
	for (i = 0; i < s->frames; i++)
		at = pack_maker_frame(m, w, c, s, r, at);
	if (pack_writer_seal(w, &e) < 0 || pack_writer_publish(w, &e) < 0)
		fail_msg("%s", e.text);
	m->id = *pack_writer_id(w);
	m->len = pack_writer_len(w);
	pack_writer_free(w);
	frame_coder_free(c);
}

#endif
