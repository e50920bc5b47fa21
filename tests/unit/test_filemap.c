/*
 * filemap: every sequence of chunks and holes comes back piece by piece from
 * any offset, in the one form that the document gives it; a change costs one
 * path.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/filemap.h"

#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/damage.h"
#include "tests/lib/memstore.h"
#include "tests/lib/rng.h"
#include "tests/lib/samples.h"

#include <stdlib.h>
#include <string.h>

/* --- files --------------------------------------------------------------- */

/* What is added; holes that touch are one piece when they come back. */
struct piece {
	uint64_t len;
	bool hole;
	struct id id;
};

struct file {
	struct memstore *m;
	struct filemap_builder *b;
	struct piece *piece;
	size_t n;
	struct content content;
	uint64_t size;
};

static void
build(struct file *f, enum map_kind kind)
{
	struct err e = { 0 };
	int rc = 0;

	filemap_builder_start(f->b, kind, 3);
	for (size_t i = 0; i < f->n && rc == 0; i++) {
		const struct piece *p = &f->piece[i];

		rc = p->hole ? filemap_add_hole(f->b, p->len, &e)
			     : filemap_add_chunk(f->b, &p->id, (uint32_t)p->len,
						 &e);
	}
	if (rc < 0 || filemap_finish(f->b, &f->content, &f->size, &e) < 0)
		fail_msg("%s", e.text);
}

static void
file_init(struct file *f, size_t n)
{
	memset(f, 0, sizeof(*f));
	f->m = memstore_new();
	f->n = n;
	f->piece = calloc(n + 1, sizeof(*f->piece));
	assert_non_null(f->piece);
	assert_int_equal(filemap_builder_new(&f->m->sink, &f->b, NULL), 0);
}

static void
file_clear(struct file *f)
{
	filemap_builder_free(f->b);
	memstore_free(f->m);
	free(f->piece);
}

/* n different chunks of one length. */
static void
fixed_pieces(struct file *f, uint32_t len, uint64_t seed)
{
	struct rng r = { seed };

	for (size_t i = 0; i < f->n; i++) {
		f->piece[i] = (struct piece){ .len = len };
		rng_fill(&r, &f->piece[i].id, ID_LEN);
	}
}

static void
cdc_pieces(struct file *f, uint64_t seed)
{
	struct rng r = { seed };

	fixed_pieces(f, 1, seed);
	for (size_t i = 0; i < f->n; i++)
		f->piece[i].len = 4096 + rng_below(&r, 32768);
}

/* Holes, runs and chunks of few lengths, so that everything meets. */
static void
mixed_pieces(struct file *f, uint64_t seed)
{
	struct rng r = { seed };

	for (size_t i = 0; i < f->n; i++) {
		struct piece *p = &f->piece[i];
		uint64_t what = rng_below(&r, 10);

		*p = (struct piece){ .len = 1000 + rng_below(&r, 2) };
		if (what < 2)
			p->hole = true;
		else if (what < 5 && i > 0 && !p[-1].hole)
			*p = p[-1];
		else
			rng_fill(&r, &p->id, ID_LEN);
	}
}

/* Like f->piece, but with neighbouring holes joined. */
static size_t
join_holes(const struct file *f, struct piece *out)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (n > 0 && f->piece[i].hole && out[n - 1].hole)
			out[n - 1].len += f->piece[i].len;
		else
			out[n++] = f->piece[i];
	}
	return n;
}

static void
check_seeks(const struct file *f, const struct piece *p, size_t n)
{
	struct rng r = { 77 };
	struct filemap_iter it;
	struct extent x;
	uint64_t offset = 0;

	assert_int_equal(filemap_iter_init(&it, &f->m->reader, &f->content,
					   f->size, NULL),
			 0);
	/* Sum up to a random piece and go into it, forwards and backwards. */
	for (int round = 0; round < 300 && n > 0; round++) {
		size_t want = rng_below(&r, n);

		offset = 0;
		for (size_t i = 0; i < want; i++)
			offset += p[i].len;
		assert_int_equal(
			filemap_iter_seek(
				&it, offset + rng_below(&r, p[want].len), NULL),
			0);
		for (size_t i = want; i < n && i < want + 3; i++) {
			assert_int_equal(filemap_iter_next(&it, &x, NULL), 1);
			assert_int_equal(x.offset, offset);
			assert_int_equal(x.len, p[i].len);
			assert_true(id_equal(&x.id, &p[i].id));
			offset += p[i].len;
		}
	}
	assert_int_equal(filemap_iter_seek(&it, f->size, NULL), 0);
	assert_int_equal(filemap_iter_next(&it, &x, NULL), 0);
	assert_int_equal(filemap_iter_seek(&it, UINT64_MAX, NULL), 0);
	assert_int_equal(filemap_iter_next(&it, &x, NULL), 0);
	filemap_iter_clear(&it);
}

/* Equal pieces that follow within the same run. */
static void
check_repeat(const struct extent *x, const struct piece *p, size_t left)
{
	assert_true(x->repeat < left);
	assert_true(!x->hole || x->repeat == 0);
	for (uint64_t i = 1; i <= x->repeat; i++)
		assert_true(id_equal(&p[0].id, &p[i].id));
	/* All equal neighbours are one run. */
	if (!x->hole && x->repeat + 1 < left && !p[x->repeat + 1].hole)
		assert_false(id_equal(&p[0].id, &p[x->repeat + 1].id) &&
			     p[0].len == p[x->repeat + 1].len);
}

static void
check(const struct file *f)
{
	struct piece *p = calloc(f->n + 1, sizeof(*p));
	struct filemap_iter it;
	struct extent x;
	struct err e = { 0 };
	uint64_t offset = 0;
	uint64_t holes = 0;
	size_t n;

	assert_non_null(p);
	n = join_holes(f, p);
	if (filemap_iter_init(&it, &f->m->reader, &f->content, f->size, &e) < 0)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < n; i++) {
		if (filemap_iter_next(&it, &x, &e) != 1)
			fail_msg("piece %zu of %zu: %s", i, n, e.text);
		assert_int_equal(x.offset, offset);
		assert_int_equal(x.len, p[i].len);
		assert_int_equal(x.hole, p[i].hole);
		assert_memory_equal(&x.id, &p[i].id, ID_LEN);
		check_repeat(&x, p + i, n - i);
		offset += x.len;
		holes += x.hole ? x.len : 0;
	}
	assert_int_equal(filemap_iter_next(&it, &x, &e), 0);
	assert_int_equal(filemap_iter_next(&it, &x, &e), 0);
	assert_int_equal(offset, f->size);
	filemap_iter_clear(&it);
	assert_int_equal(f->content.holes, holes);
	check_seeks(f, p, n);
	free(p);
}

static const size_t counts[] = { 0, 1, 2, 4, 5, 64, 65, 192, 193, 5000 };

static void
maps_of_all_sizes_come_back(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_OF(counts); k++) {
		struct file f;

		file_init(&f, counts[k]);
		cdc_pieces(&f, 5 + k);
		build(&f, MAP_CDC);
		check(&f);
		fixed_pieces(&f, 16384, 6 + k);
		build(&f, MAP_FIXED);
		check(&f);
		for (uint64_t seed = 1; seed < 6; seed++) {
			mixed_pieces(&f, seed);
			build(&f, MAP_CDC);
			check(&f);
			build(&f, MAP_FIXED);
			check(&f);
		}
		file_clear(&f);
	}
}

/* --- forms --------------------------------------------------------------- */

/* clang-format off */
#define C(c, n) { .len = (n), .id = { { (c) } } }
#define H(n) { .len = (n), .hole = true }

/* The items that a sequence becomes: tag, count, tag, count ... */
static const struct form {
	const char *what;
	enum map_kind kind;
	uint8_t form;
	struct piece piece[8];
	struct {
		uint8_t tag, count;
	} item[8];
} forms[] = {
	{ "nothing", MAP_FIXED, CONTENT_EMPTY, { H(0) }, { { 0, 0 } } },
	{ "a chunk", MAP_CDC, CONTENT_INLINE, { C(1, 9) }, { { MAP_CHUNK, 1 } } },
	{ "a hole", MAP_CDC, CONTENT_INLINE, { H(9) }, { { MAP_HOLE, 1 } } },
	{ "holes", MAP_CDC, CONTENT_INLINE, { H(9), H(2), H(1) },
	  { { MAP_HOLE, 1 } } },
	{ "a run", MAP_CDC, CONTENT_INLINE, { C(1, 9), C(1, 9), C(1, 9) },
	  { { MAP_RUN, 3 } } },
	{ "one id with two lengths is no run", MAP_CDC, CONTENT_INLINE,
	  { C(1, 9), C(1, 8) }, { { MAP_CHUNK, 1 }, { MAP_CHUNK, 1 } } },
	{ "a row", MAP_FIXED, CONTENT_INLINE, { C(1, 9), C(2, 9), C(3, 9) },
	  { { MAP_ROW, 3 } } },
	{ "no row in a content-defined map", MAP_CDC, CONTENT_INLINE,
	  { C(1, 9), C(2, 9) }, { { MAP_CHUNK, 1 }, { MAP_CHUNK, 1 } } },
	{ "a row and the shorter end", MAP_FIXED, CONTENT_INLINE,
	  { C(1, 9), C(2, 9), C(3, 4) }, { { MAP_ROW, 2 }, { MAP_CHUNK, 1 } } },
	{ "a run behind a row takes its last", MAP_FIXED, CONTENT_INLINE,
	  { C(1, 9), C(2, 9), C(3, 9), C(3, 9) },
	  { { MAP_ROW, 2 }, { MAP_RUN, 2 } } },
	{ "a row of two loses one to a run", MAP_FIXED, CONTENT_INLINE,
	  { C(1, 9), C(2, 9), C(2, 9) }, { { MAP_CHUNK, 1 }, { MAP_RUN, 2 } } },
	{ "a row behind a run", MAP_FIXED, CONTENT_INLINE,
	  { C(1, 9), C(1, 9), C(2, 9), C(3, 9) },
	  { { MAP_RUN, 2 }, { MAP_ROW, 2 } } },
	{ "a hole between", MAP_FIXED, CONTENT_INLINE,
	  { C(1, 9), H(9), C(1, 9) },
	  { { MAP_CHUNK, 1 }, { MAP_HOLE, 1 }, { MAP_CHUNK, 1 } } },
	{ "four ids", MAP_CDC, CONTENT_INLINE,
	  { C(1, 9), C(2, 8), C(3, 7), C(4, 6) },
	  { { MAP_CHUNK, 1 }, { MAP_CHUNK, 1 }, { MAP_CHUNK, 1 },
	    { MAP_CHUNK, 1 } } },
	{ "five ids", MAP_CDC, CONTENT_MAPPED,
	  { C(1, 9), C(2, 8), C(3, 7), C(4, 6), C(5, 5) }, { { 0, 0 } } },
	{ "five items", MAP_CDC, CONTENT_MAPPED,
	  { C(1, 9), H(8), C(3, 7), H(6), C(5, 5) }, { { 0, 0 } } },
	{ "a row of five", MAP_FIXED, CONTENT_MAPPED,
	  { C(1, 9), C(2, 9), C(3, 9), C(4, 9), C(5, 9) }, { { 0, 0 } } },
	{ "long runs", MAP_CDC, CONTENT_INLINE,
	  { C(1, 9), C(1, 9), C(1, 9), C(2, 9), C(2, 9), C(2, 9), C(2, 9),
	    C(2, 9) }, { { MAP_RUN, 3 }, { MAP_RUN, 5 } } },
};
/* clang-format on */

static void
check_items(const struct form *row, const struct content *c)
{
	struct rd r = rd_init(c->items, c->items_len);

	for (unsigned i = 0; i < c->count; i++) {
		uint8_t tag = rd_u8(&r);
		uint64_t count = 1;

		if (tag == MAP_RUN || tag == MAP_ROW)
			count = rd_varint(&r);
		(void)rd_varint(&r);
		if (tag != MAP_HOLE)
			(void)rd_bytes(&r,
				       ID_LEN * (tag == MAP_ROW ? count : 1));
		if (tag != row->item[i].tag || count != row->item[i].count)
			fail_msg("%s: item %u is %u x %u", row->what, i, tag,
				 (unsigned)count);
	}
	assert_true(rd_done(&r));
	assert_true(c->count == N_OF(row->item) ||
		    row->item[c->count].tag == 0);
}

static void
pieces_become_the_items_that_the_document_wants(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_OF(forms); k++) {
		const struct form *row = &forms[k];
		struct file f;

		file_init(&f, N_OF(row->piece));
		f.n = 0;
		while (f.n < N_OF(row->piece) && row->piece[f.n].len > 0) {
			f.piece[f.n] = row->piece[f.n];
			f.n++;
		}
		build(&f, row->kind);
		check(&f);
		if (f.content.form != row->form)
			fail_msg("%s: form %d", row->what, f.content.form);
		if (row->form != CONTENT_EMPTY) {
			assert_int_equal(f.content.kind, row->kind);
			assert_int_equal(f.content.cls, 3);
		}
		if (row->form == CONTENT_INLINE)
			check_items(row, &f.content);
		file_clear(&f);
	}
}

/* By hand from doc/format.md. */
static void
a_map_has_the_bytes_of_the_document(void **state)
{
	static const uint8_t items[] = { 3, 0x80, 0x01, 2, 3, 5 };
	struct file f;
	struct id id = sample_id(0x77);
	size_t len;
	const uint8_t *p;

	(void)state;
	file_init(&f, 4);
	f.piece[0] = (struct piece)H(128);
	for (size_t i = 1; i < 4; i++) {
		f.piece[i].len = 5;
		f.piece[i].id = id;
	}
	build(&f, MAP_CDC);
	assert_int_equal(f.content.count, 2);
	assert_int_equal(f.content.items_len, sizeof(items) + ID_LEN);
	assert_memory_equal(f.content.items, items, sizeof(items));
	assert_memory_equal(f.content.items + sizeof(items), &id, ID_LEN);
	file_clear(&f);

	file_init(&f, 5);
	for (size_t i = 0; i < 5; i++)
		f.piece[i] = (struct piece)C((uint8_t)(i + 1), 128);
	build(&f, MAP_FIXED);
	assert_int_equal(f.content.levels, 1);
	p = memstore_bytes(f.m, &f.content.root, &len);
	assert_int_equal(len, 3 + 4 + 5 * ID_LEN);
	assert_memory_equal(p, "\1\0\1\4\5\x80\1\1\0", 9);
	assert_memory_equal(p + 7 + ID_LEN, "\2\0", 2);
	file_clear(&f);
}

static void
inline_contents_are_what_entries_take(void **state)
{
	struct entry en = sample_file("x");
	struct entry back;
	struct buf b = { 0 };
	struct file f;

	(void)state;
	for (size_t n = 0; n < 10; n++) {
		file_init(&f, n);
		mixed_pieces(&f, n + 1);
		build(&f, MAP_FIXED);
		en.content = f.content;
		en.size = f.size;
		buf_reset(&b);
		assert_int_equal(entry_encode(&en, &b, NULL), 0);
		assert_int_equal(
			entry_decode(b.data, b.len, false, &back, NULL), 0);
		f.content = back.content;
		check(&f);
		file_clear(&f);
	}
	buf_clear(&b);
}

/* --- sharing ------------------------------------------------------------- */

static void
the_same_pieces_make_the_same_map(void **state)
{
	struct file f;
	struct content first;

	(void)state;
	file_init(&f, 100000);
	cdc_pieces(&f, 9);
	build(&f, MAP_CDC);
	first = f.content;
	f.m->fresh = 0;
	build(&f, MAP_CDC);
	assert_int_equal(f.m->fresh, 0);
	assert_memory_equal(&f.content.root, &first.root, ID_LEN);
	assert_int_equal(f.content.levels, first.levels);
	file_clear(&f);
}

/* A changed chunk's id is also its split hash: cuts may move near it. */
static void
a_changed_chunk_rewrites_one_path(void **state)
{
	static const enum map_kind kinds[] = { MAP_CDC, MAP_FIXED };

	(void)state;
	for (size_t k = 0; k < N_OF(kinds); k++) {
		struct file f;
		struct rng r = { 4 };
		uint64_t nodes = 0;
		uint64_t bytes = 0;

		file_init(&f, 100000);
		if (kinds[k] == MAP_CDC)
			cdc_pieces(&f, 10);
		else
			fixed_pieces(&f, 16384, 10);
		build(&f, kinds[k]);
		for (int round = 0; round < 20; round++) {
			size_t i = rng_below(&r, f.n);

			rng_fill(&r, &f.piece[i].id, ID_LEN);
			f.m->fresh = 0;
			f.m->fresh_bytes = 0;
			build(&f, kinds[k]);
			nodes += f.m->fresh;
			bytes += f.m->fresh_bytes;
			assert_true(f.m->fresh < 12);
		}
		assert_true(nodes / 20 <= f.content.levels + 2u);
		assert_true(bytes / 20 <= 32768);
		file_clear(&f);
	}
}

static void
a_chunk_more_or_less_rewrites_few_nodes(void **state)
{
	struct file f;
	struct rng r = { 4 };
	uint64_t nodes = 0;

	(void)state;
	file_init(&f, 50000);
	cdc_pieces(&f, 11);
	build(&f, MAP_CDC);
	for (int round = 0; round < 20; round++) {
		size_t i = rng_below(&r, f.n);

		f.n--;
		memmove(&f.piece[i], &f.piece[i + 1],
			(f.n - i) * sizeof(*f.piece));
		f.m->fresh = 0;
		build(&f, MAP_CDC);
		nodes += f.m->fresh;
	}
	assert_true(nodes <= 20 * 8);
	file_clear(&f);
}

/* The ends of rows must not move when something in front of them does. */
static void
a_run_that_appears_does_not_move_the_rows_behind_it(void **state)
{
	struct file f;

	(void)state;
	file_init(&f, 100000);
	fixed_pieces(&f, 16384, 12);
	build(&f, MAP_FIXED);
	f.m->fresh = 0;
	f.piece[1001] = f.piece[1000];
	build(&f, MAP_FIXED);
	assert_in_range(f.m->fresh, 2, 10);
	f.m->fresh = 0;
	f.piece[70] = (struct piece)H(16384);
	build(&f, MAP_FIXED);
	assert_in_range(f.m->fresh, 2, 10);
	check(&f);
	file_clear(&f);
}

static void
note_longest(void *ctx, enum id_kind kind, const struct id *id,
	     const uint8_t *p, size_t len)
{
	size_t *longest = ctx;

	(void)kind;
	(void)id;
	(void)p;
	if (len > *longest)
		*longest = len;
}

static void
nodes_of_rows_stay_short(void **state)
{
	struct file f;
	size_t longest = 0;

	(void)state;
	file_init(&f, 50000);
	fixed_pieces(&f, 16384, 13);
	build(&f, MAP_FIXED);
	memstore_each(f.m, note_longest, &longest);
	assert_in_range(longest, 8000, 16384 + 16);
	file_clear(&f);
}

static void
seeking_loads_only_the_way_there(void **state)
{
	struct file f;
	struct filemap_iter it;
	struct extent x;
	struct rng r = { 4 };

	(void)state;
	file_init(&f, 100000);
	cdc_pieces(&f, 14);
	build(&f, MAP_CDC);
	assert_int_equal(
		filemap_iter_init(&it, &f.m->reader, &f.content, f.size, NULL),
		0);
	for (int i = 0; i < 1000; i++) {
		uint64_t at = rng_below(&r, f.size);

		f.m->gets = 0;
		assert_int_equal(filemap_iter_seek(&it, at, NULL), 0);
		assert_int_equal(filemap_iter_next(&it, &x, NULL), 1);
		assert_true(f.m->gets < f.content.levels);
		assert_true(x.offset <= at && at < x.offset + x.len);
		/* The place at hand costs nothing. */
		f.m->gets = 0;
		assert_int_equal(filemap_iter_seek(&it, at, NULL), 0);
		assert_int_equal(filemap_iter_next(&it, &x, NULL), 1);
		assert_int_equal(f.m->gets, 0);
	}
	filemap_iter_clear(&it);
	file_clear(&f);
}

/* --- limits and failures ------------------------------------------------- */

static void
files_end_at_the_largest_offset(void **state)
{
	struct file f;
	struct id id = sample_id(1);
	struct err e = { 0 };

	(void)state;
	file_init(&f, 0);
	filemap_builder_start(f.b, MAP_CDC, 0);
	assert_int_equal(filemap_add_hole(f.b, INT64_MAX - 10, NULL), 0);
	assert_int_equal(filemap_add_chunk(f.b, &id, 10, NULL), 0);
	assert_int_equal(filemap_finish(f.b, &f.content, &f.size, NULL), 0);
	assert_int_equal(f.size, INT64_MAX);
	assert_int_equal(f.content.holes, INT64_MAX - 10);
	filemap_builder_start(f.b, MAP_CDC, 0);
	assert_int_equal(filemap_add_hole(f.b, INT64_MAX - 10, NULL), 0);
	assert_int_equal(filemap_add_chunk(f.b, &id, 11, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(filemap_finish(f.b, &f.content, &f.size, NULL), -1);
	filemap_builder_start(f.b, MAP_CDC, 0);
	assert_int_equal(filemap_add_hole(f.b, UINT64_MAX, NULL), -1);
	assert_int_equal(filemap_add_hole(f.b, 1, NULL), -1);
	filemap_builder_start(f.b, MAP_CDC, 0);
	assert_int_equal(filemap_add_chunk(f.b, &id, 0, NULL), -1);
	filemap_builder_start(f.b, MAP_CDC, 0);
	assert_int_equal(filemap_add_chunk(f.b, &id, CHUNK_LEN_MAX + 1, NULL),
			 -1);
	filemap_builder_start(f.b, MAP_CDC, 0);
	assert_int_equal(filemap_add_chunk(f.b, &id, CHUNK_LEN_MAX, NULL), 0);
	assert_int_equal(filemap_finish(f.b, &f.content, &f.size, NULL), 0);
	assert_int_equal(f.content.holes, 0);
	/* Finished is finished. */
	assert_int_equal(filemap_add_chunk(f.b, &id, 1, NULL), -1);
	assert_int_equal(filemap_finish(f.b, &f.content, &f.size, NULL), -1);
	file_clear(&f);
}

#define ID8  "\1\2\3\4\5\6\7\10"
#define ID32 ID8 ID8 ID8 ID8

/* clang-format off */
/* Items as bytes, how many, and what they must add up to. */
static const struct {
	const char *what;
	const char *bytes;
	size_t len;
	unsigned count;
	uint64_t size;
	bool ok;
} item_rows[] = {
#define ROW(what, s, count, size, ok) { what, s, sizeof(s) - 1, count, size, ok }
	ROW("a chunk", "\1\5" ID32, 1, 5, true),
	ROW("a chunk of another size", "\1\5" ID32, 1, 4, false),
	ROW("a chunk of another size", "\1\5" ID32, 1, 6, false),
	ROW("a chunk of no bytes", "\1\0" ID32, 1, 0, false),
	ROW("a chunk cut short", "\1\5" ID8, 1, 5, false),
	ROW("the longest chunk", "\1\x80\x80\x80\x08" ID32, 1,
	    UINT64_C(16) << 20, true),
	ROW("a longer chunk", "\1\x81\x80\x80\x08" ID32, 1,
	    (UINT64_C(16) << 20) + 1, false),
	ROW("tag 0", "\0\5" ID32, 1, 5, false),
	ROW("tag 5", "\5\5" ID32, 1, 5, false),
	ROW("a run", "\2\2\5" ID32, 1, 10, true),
	ROW("a run of one", "\2\1\5" ID32, 1, 5, false),
	ROW("a run of none", "\2\0\5" ID32, 1, 0, false),
	ROW("a run of more than a file",
	    "\2\xff\xff\xff\xff\xff\xff\xff\xff\x7f\2" ID32, 1, 0xfffffffe,
	    false),
	ROW("a run as long as a file",
	    "\2\xff\xff\xff\xff\xff\xff\xff\xff\x7f\1" ID32, 1, INT64_MAX,
	    true),
	ROW("a count with a needless byte", "\2\x82\0\5" ID32, 1, 10, false),
	ROW("a hole", "\3\5", 1, 5, true),
	ROW("a hole of no bytes", "\3\0", 1, 0, false),
	ROW("the longest hole", "\3\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 1,
	    INT64_MAX, true),
	ROW("a longer hole", "\3\x80\x80\x80\x80\x80\x80\x80\x80\x80\1", 1,
	    UINT64_C(1) << 63, false),
	ROW("two holes", "\3\5\3\5", 2, 10, false),
	ROW("holes apart", "\3\5\1\5" ID32 "\3\5", 3, 15, true),
	ROW("a row", "\4\2\5" ID32 ID32, 1, 10, true),
	ROW("a row of one", "\4\1\5" ID32, 1, 5, false),
	ROW("a row cut short", "\4\3\5" ID32 ID32, 1, 15, false),
	ROW("a row with an absurd count",
	    "\4\xff\xff\xff\xff\xff\xff\xff\xff\x7f\1" ID32, 1, INT64_MAX,
	    false),
	ROW("fewer items than there are", "\3\5\1\5" ID32, 1, 5, true),
	ROW("more items than there are", "\3\5", 2, 5, false),
	ROW("a sum beyond the size",
	    "\3\xff\xff\xff\xff\xff\xff\xff\xff\x7f\1\5" ID32, 2, 4, false),
	ROW("a sum that comes round to the size",
	    "\3\xff\xff\xff\xff\xff\xff\xff\xff\x7f\1\1" ID32
	    "\3\xff\xff\xff\xff\xff\xff\xff\xff\x7f\1\1" ID32 "\3\5", 5, 5,
	    false),
	ROW("a run longer than any file",
	    "\2\x80\x80\x80\x80\x80\x80\x80\x80\x40\2" ID32, 1,
	    UINT64_C(1) << 63, false),
	ROW("a row whose ids come round to no bytes",
	    "\4\x80\x80\x80\x80\x80\x80\x80\x80\x08\1", 1,
	    UINT64_C(1) << 59, false),
	ROW("nothing", "", 0, 0, true),
	ROW("nothing for something", "", 0, 1, false),
};
/* clang-format on */

static void
items_are_checked_one_by_one_and_together(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(item_rows); i++) {
		struct rd r = rd_init(item_rows[i].bytes, item_rows[i].len);
		uint64_t holes;

		if (filemap_items_ok(&r, item_rows[i].count, item_rows[i].size,
				     &holes) != item_rows[i].ok)
			fail_msg("%s", item_rows[i].what);
	}
}

static void
holes_among_items_are_added_up(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		unsigned count;
		uint64_t size, holes;
	} rows[] = {
#define BYTES(s) s, sizeof(s) - 1
		{ BYTES(""), 0, 0, 0 },
		{ BYTES("\1\5" ID32), 1, 5, 0 },
		{ BYTES("\2\2\5" ID32 "\4\2\5" ID32 ID32), 2, 20, 0 },
		{ BYTES("\3\5\1\5" ID32 "\3\7"), 3, 17, 12 },
		{ BYTES("\3\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), 1, INT64_MAX,
		  INT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct rd r = rd_init(rows[i].bytes, rows[i].len);
		uint64_t holes = 99;

		assert_true(filemap_items_ok(&r, rows[i].count, rows[i].size,
					     &holes));
		assert_int_equal(holes, rows[i].holes);
	}
}

/* 0 or 1: read to the end with all ways there are; -1: refused. */
static int
use_all(struct memstore *m, const struct content *c, uint64_t size,
	struct err *e)
{
	struct filemap_iter it;
	struct extent x;
	uint64_t offset = 0;
	int rc = filemap_iter_init(&it, &m->reader, c, size, e);

	if (rc < 0)
		return -1;
	for (int i = 0; i < 2000; i++) {
		rc = filemap_iter_next(&it, &x, e);
		if (rc <= 0)
			break;
		assert_int_equal(x.offset, offset);
		assert_true(x.len > 0 && x.len <= size - offset);
		offset += x.len;
	}
	if (rc == 0)
		assert_int_equal(offset, size);
	for (uint64_t at = size; at > 0; at /= 2)
		if (filemap_iter_seek(&it, at - 1, NULL) == 0)
			(void)filemap_iter_next(&it, &x, NULL);
	filemap_iter_clear(&it);
	assert_int_equal(m->held, 0);
	return rc;
}

struct place {
	struct memstore *m;
	struct content content;
	uint64_t size;
};

static int
use_place(void *ctx)
{
	struct place *p = ctx;

	return use_all(p->m, &p->content, p->size, NULL);
}

static struct id
put_node(struct memstore *m, uint8_t level, unsigned n, const char *items,
	 size_t len)
{
	struct buf b = { 0 };
	struct id id;

	wr_u8(&b, 1);
	wr_u8(&b, level);
	wr_varint(&b, n);
	wr_bytes(&b, items, len);
	id = memstore_put(m, KIND_MAP, b.data, b.len);
	buf_clear(&b);
	return id;
}

/* A leaf by its items, and the length that the root says it has. */
struct leaf {
	const char *items;
	size_t len;
	unsigned n;
	uint8_t promised;
};

/* A root over a leaf with a hole of five bytes, and this one. */
static struct content
two_levels(struct memstore *m, const struct leaf *second)
{
	struct content c = { .form = CONTENT_MAPPED, .levels = 2, .holes = 5 };
	struct buf b = { 0 };
	struct id id;

	wr_varint(&b, 5);
	id = put_node(m, 0, 1, "\3\5", 2);
	wr_bytes(&b, id.b, ID_LEN);
	wr_varint(&b, second->promised);
	id = put_node(m, 0, second->n, second->items, second->len);
	wr_bytes(&b, id.b, ID_LEN);
	c.root = put_node(m, 1, 2, (const char *)b.data, b.len);
	buf_clear(&b);
	return c;
}

static void
nodes_that_lie_are_found_out(void **state)
{
	static const struct {
		struct leaf leaf;
		uint64_t size;
		uint8_t levels;
		const char *why;
	} rows[] = {
		{ { "\1\5" ID32, 34, 1, 5 }, 10, 2, NULL },
		{ { "\1\5" ID32, 34, 1, 6 }, 11, 2, "add up" },
		{ { "\1\5" ID32, 34, 1, 4 }, 9, 2, "add up" },
		{ { "\1\5" ID32, 34, 1, 5 }, 11, 2, "add up" },
		{ { "\1\5" ID32, 34, 1, 0 }, 5, 2, "add up" },
		{ { "\1\5" ID32 "x", 35, 1, 5 }, 10, 2, "add up" },
		{ { "\3\5", 2, 1, 5 }, 10, 2, "neighbours" },
		{ { "\1\5" ID32, 34, 1, 5 }, 10, 1, "another level" },
		{ { "\1\5" ID32, 34, 1, 5 }, 10, 3, "another level" },
		{ { "\1\5" ID32, 34, 1, 5 }, 10, 0, "form" },
		{ { "\1\5" ID32, 34, 1, 5 }, 10, 9, "form" },
		{ { "\1\5" ID32, 34, 1, 5 }, 0, 2, "size" },
		{ { "\1\5" ID32, 34, 1, 5 }, UINT64_C(1) << 63, 2, "size" },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct memstore *m = memstore_new();
		struct err e = { 0 };
		struct content c = two_levels(m, &rows[i].leaf);
		int rc;

		c.levels = rows[i].levels;
		rc = use_all(m, &c, rows[i].size, &e);
		if (rows[i].why == NULL) {
			assert_int_equal(rc, 0);
		} else {
			assert_int_equal(rc, -1);
			assert_int_equal(e.kind, ERR_CORRUPT);
			if (strstr(e.text, rows[i].why) == NULL)
				fail_msg("row %zu: %s", i, e.text);
		}
		memstore_free(m);
	}
}

static void
damaged_nodes_are_refused_or_valid(void **state)
{
	static const char items[] = "\2\4\5" ID32 "\3\7"
				    "\4\2\6" ID32 ID32 "\1\1" ID32;
	static const struct leaf second = { items, sizeof(items) - 1, 4, 40 };
	struct memstore *m = memstore_new();
	struct place place = { m, two_levels(m, &second), 45 };
	struct id leaf = put_node(m, 0, 4, second.items, second.len);

	(void)state;
	place.content.holes += 7;
	assert_int_equal(use_place(&place), 0);
	damage_node(m, &place.content.root, use_place, &place, true);
	damage_node(m, &leaf, use_place, &place, false);
	memstore_free(m);
}

/* Goes through the map, passing runs in one step or not, and all its pieces. */
static int
walk_all(struct memstore *m, const struct content *c, uint64_t size,
	 bool by_runs, struct err *e)
{
	struct filemap_iter it;
	struct extent x;
	uint64_t at = 0;
	int rc;

	assert_int_equal(filemap_iter_init(&it, &m->reader, c, size, NULL), 0);
	while ((rc = filemap_iter_next(&it, &x, e)) == 1) {
		at = x.offset + x.len;
		if (by_runs && x.repeat > 0) {
			at += x.len * x.repeat;
			assert_int_equal(filemap_iter_seek(&it, at, e), 0);
		}
	}
	filemap_iter_clear(&it);
	/* Whatever was said of its holes, its bytes were all to be had. */
	assert_int_equal(at, size);
	return rc;
}

static void
other_holes_than_the_content_counts_are_found_at_the_end(void **state)
{
	static const char items[] = "\2\4\5" ID32 "\3\7"
				    "\4\2\6" ID32 ID32 "\2\2\1" ID32;
	static const struct leaf second = { items, sizeof(items) - 1, 4, 41 };
	static const uint64_t holes[] = { 0, 11, 12, 13, 46, UINT64_MAX };
	struct memstore *m = memstore_new();
	struct content c = two_levels(m, &second);

	(void)state;
	for (size_t i = 0; i < 2 * N_OF(holes); i++) {
		struct err e = { 0 };
		int rc;

		c.holes = holes[i / 2];
		rc = walk_all(m, &c, 46, i % 2 != 0, &e);
		assert_int_equal(rc, c.holes == 12 ? 0 : -1);
		if (rc == 0)
			continue;
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_non_null(strstr(e.text, "12 bytes of holes"));
	}
	memstore_free(m);
}

static void
who_has_not_seen_all_of_a_map_compares_no_holes(void **state)
{
	static const struct leaf second = { "\1\5" ID32, 34, 1, 5 };
	struct memstore *m = memstore_new();
	struct content c = two_levels(m, &second);
	struct filemap_iter it;
	struct extent x;

	(void)state;
	c.holes = 1;
	assert_int_equal(filemap_iter_init(&it, &m->reader, &c, 10, NULL), 0);
	assert_int_equal(filemap_iter_seek(&it, 5, NULL), 0);
	assert_int_equal(filemap_iter_next(&it, &x, NULL), 1);
	assert_int_equal(filemap_iter_next(&it, &x, NULL), 0);
	filemap_iter_clear(&it);
	memstore_free(m);
}

static void
a_missing_node_loses_only_what_is_beneath(void **state)
{
	static const struct leaf second = { "\1\5" ID32, 34, 1, 5 };
	struct memstore *m = memstore_new();
	struct content c = two_levels(m, &second);
	struct id leaf = put_node(m, 0, 1, second.items, second.len);
	struct filemap_iter it;
	struct extent x;
	struct err e = { 0 };

	(void)state;
	memstore_drop(m, &leaf);
	assert_int_equal(filemap_iter_init(&it, &m->reader, &c, 10, NULL), 0);
	assert_int_equal(filemap_iter_seek(&it, 7, &e), -1);
	assert_int_equal(e.kind, ERR_MISSING);
	assert_int_equal(filemap_iter_seek(&it, 7, NULL), -1);
	assert_int_equal(filemap_iter_seek(&it, 3, NULL), 0);
	assert_int_equal(filemap_iter_next(&it, &x, NULL), 1);
	assert_true(x.hole);
	assert_int_equal(filemap_iter_next(&it, &x, NULL), -1);
	filemap_iter_clear(&it);
	memstore_free(m);
}

static void
a_lost_node_never_makes_a_whole_map(void **state)
{
	struct file f;
	struct content c = { .levels = 77 };
	uint64_t size;
	uint64_t puts;

	(void)state;
	file_init(&f, 3000);
	cdc_pieces(&f, 15);
	build(&f, MAP_CDC);
	puts = f.m->puts;
	for (uint64_t left = 0; left < puts; left++) {
		bool failed = false;

		f.m->puts_left = left;
		filemap_builder_start(f.b, MAP_CDC, 0);
		for (size_t i = 0; i < f.n; i++)
			failed |= filemap_add_chunk(f.b, &f.piece[i].id,
						    (uint32_t)f.piece[i].len,
						    NULL) < 0;
		if (failed)
			f.m->puts_left = UINT64_MAX;
		assert_int_equal(filemap_finish(f.b, &c, &size, NULL), -1);
		assert_int_equal(c.levels, 77);
	}
	f.m->puts_left = UINT64_MAX;
	c = f.content;
	build(&f, MAP_CDC);
	assert_true(id_equal(&c.root, &f.content.root));
	file_clear(&f);
}

static int
build_with_little_memory(void *ctx)
{
	struct file *f = ctx;
	struct filemap_builder *b = NULL;
	struct err e = { 0 };
	int rc = filemap_builder_new(&f->m->sink, &b, &e);

	for (size_t i = 0; i < f->n && rc == 0; i++)
		rc = filemap_add_chunk(b, &f->piece[i].id,
				       (uint32_t)f->piece[i].len, &e);
	if (rc == 0)
		rc = filemap_finish(b, &f->content, &f->size, &e);
	assert_int_equal(e.kind, rc < 0 ? ERR_NOMEM : ERR_NONE);
	filemap_builder_free(b);
	return rc;
}

static void
running_out_of_memory_is_said_and_leaves_nothing(void **state)
{
	struct file f;

	(void)state;
	file_init(&f, 600);
	cdc_pieces(&f, 15);
	damage_memory(build_with_little_memory, &f);
	check(&f);
	file_clear(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps_of_all_sizes_come_back),
		cmocka_unit_test(
			pieces_become_the_items_that_the_document_wants),
		cmocka_unit_test(a_map_has_the_bytes_of_the_document),
		cmocka_unit_test(inline_contents_are_what_entries_take),
		cmocka_unit_test(the_same_pieces_make_the_same_map),
		cmocka_unit_test(a_changed_chunk_rewrites_one_path),
		cmocka_unit_test(a_chunk_more_or_less_rewrites_few_nodes),
		cmocka_unit_test(
			a_run_that_appears_does_not_move_the_rows_behind_it),
		cmocka_unit_test(nodes_of_rows_stay_short),
		cmocka_unit_test(seeking_loads_only_the_way_there),
		cmocka_unit_test(files_end_at_the_largest_offset),
		cmocka_unit_test(items_are_checked_one_by_one_and_together),
		cmocka_unit_test(holes_among_items_are_added_up),
		cmocka_unit_test(nodes_that_lie_are_found_out),
		cmocka_unit_test(
			other_holes_than_the_content_counts_are_found_at_the_end),
		cmocka_unit_test(
			who_has_not_seen_all_of_a_map_compares_no_holes),
		cmocka_unit_test(damaged_nodes_are_refused_or_valid),
		cmocka_unit_test(a_missing_node_loses_only_what_is_beneath),
		cmocka_unit_test(a_lost_node_never_makes_a_whole_map),
		cmocka_unit_test(
			running_out_of_memory_is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
