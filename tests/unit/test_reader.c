/*
 * reader, against files that are also held plainly in memory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/reader.h"

#include "base/err.h"

#include "tests/lib/cmocka_all.h"
#include "tests/lib/memstore.h"
#include "tests/lib/rng.h"

#include <stdlib.h>
#include <string.h>

/* --- files --------------------------------------------------------------- */

#define SPANS_MAX 4000

/* A file as it is stored, and as it should be read. */
struct model {
	const char *name;
	struct memstore *store;
	struct filemap_builder *builder;
	struct content content; /* borrows the builder's memory */
	uint64_t size;
	/* Bytes, where they are few enough to be held. */
	uint8_t *bytes;
	size_t room;
	/* Data and holes in turn; neighbours may be of one kind. */
	struct span {
		uint64_t end;
		bool hole;
	} span[SPANS_MAX];
	size_t spans;
};

static struct model *
model_new(size_t room, enum map_kind kind)
{
	struct model *m = calloc(1, sizeof(*m));
	struct err e = { 0 };

	assert_non_null(m);
	m->name = "file";
	m->store = memstore_new();
	m->room = room;
	m->bytes = calloc(1, room + 1);
	assert_non_null(m->bytes);
	assert_int_equal(filemap_builder_new(&m->store->sink, &m->builder, &e),
			 0);
	filemap_builder_start(m->builder, kind, 0);
	return m;
}

static void
model_free(struct model *m)
{
	filemap_builder_free(m->builder);
	memstore_free(m->store);
	free(m->bytes);
	free(m);
}

static void
add_span(struct model *m, uint64_t len, bool hole)
{
	m->size += len;
	if (m->spans > 0 && m->span[m->spans - 1].hole == hole) {
		m->span[m->spans - 1].end = m->size;
		return;
	}
	assert_true(m->spans < SPANS_MAX);
	m->span[m->spans++] = (struct span){ m->size, hole };
}

/* Append `times` copies of one chunk. */
static struct id
add_data(struct model *m, const void *p, size_t len, size_t times)
{
	struct id id = memstore_put(m->store, KIND_DATA, p, len);
	struct err e = { 0 };

	while (times-- > 0) {
		if (m->size + len <= m->room)
			memcpy(m->bytes + m->size, p, len);
		assert_int_equal(
			filemap_add_chunk(m->builder, &id, (uint32_t)len, &e),
			0);
		add_span(m, len, false);
	}
	return id;
}

static void
add_hole(struct model *m, uint64_t len)
{
	struct err e = { 0 };

	assert_int_equal(filemap_add_hole(m->builder, len, &e), 0);
	add_span(m, len, true);
}

static void
finish(struct model *m)
{
	struct err e = { 0 };
	uint64_t size;

	if (filemap_finish(m->builder, &m->content, &size, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(size, m->size);
}

/* Append a chunk of random bytes. */
static struct id
add_random(struct model *m, struct rng *rng, size_t len, size_t times)
{
	uint8_t *p = malloc(len);
	struct id id;

	assert_non_null(p);
	rng_fill(rng, p, len);
	id = add_data(m, p, len, times);
	free(p);
	return id;
}

static void
open_reader(struct model *m, struct file_reader *f)
{
	struct err e = { 0 };

	if (file_reader_init(f, &m->store->reader, &m->content, m->size, &e) <
	    0)
		fail_msg("%s", e.text);
}

/* --- the kinds of maps --------------------------------------------------- */

static struct model *
empty(void)
{
	struct model *m = model_new(0, MAP_CDC);

	finish(m);
	return m;
}

static struct model *
one_byte(void)
{
	struct model *m = model_new(1, MAP_CDC);

	add_data(m, "x", 1, 1);
	finish(m);
	return m;
}

/* Inside the entry: data, hole, data, hole. */
static struct model *
inline_holes(void)
{
	struct rng rng = { 5 };
	struct model *m = model_new(4000, MAP_CDC);

	add_random(m, &rng, 1000, 1);
	add_hole(m, 500);
	add_random(m, &rng, 2000, 1);
	add_hole(m, 500);
	finish(m);
	assert_int_equal(m->content.form, CONTENT_INLINE);
	return m;
}

static struct model *
only_a_hole(void)
{
	struct model *m = model_new(100000, MAP_CDC);

	add_hole(m, 100000);
	finish(m);
	return m;
}

/* Many different chunks of many lengths: several levels of nodes. */
static struct model *
plain(void)
{
	struct rng rng = { 7 };
	struct model *m = model_new(3000 * 600, MAP_CDC);

	for (size_t i = 0; i < 3000; i++)
		add_random(m, &rng, 1 + rng_below(&rng, 599), 1);
	finish(m);
	assert_int_equal(m->content.form, CONTENT_MAPPED);
	assert_true(m->content.levels > 1);
	return m;
}

/* Holes between chunks, some larger than all data. */
static struct model *
sparse(void)
{
	struct rng rng = { 11 };
	struct model *m = model_new(4 << 20, MAP_CDC);

	for (size_t i = 0; i < 1500; i++) {
		add_random(m, &rng, 1 + rng_below(&rng, 300), 1);
		if (rng_below(&rng, 2) == 0)
			add_hole(m, 1 + rng_below(&rng, 2000));
	}
	add_hole(m, 200000);
	finish(m);
	return m;
}

/* The same few chunks again and again, alone and in runs. */
static struct model *
runs(void)
{
	struct rng rng = { 13 };
	struct model *m = model_new(8 << 20, MAP_CDC);
	uint8_t bytes[5][700];
	size_t len[5];

	rng_fill(&rng, bytes, sizeof(bytes));
	for (size_t i = 0; i < N_OF(len); i++)
		len[i] = 1 + rng_below(&rng, sizeof(bytes[i]));
	for (size_t i = 0; i < 600; i++) {
		size_t which = rng_below(&rng, N_OF(len));

		add_data(m, bytes[which], len[which],
			 1 + rng_below(&rng, i % 10 == 0 ? 200 : 5));
		if (rng_below(&rng, 6) == 0)
			add_hole(m, 1 + rng_below(&rng, 3000));
	}
	finish(m);
	return m;
}

/* Fixed chunks: rows and runs of one length. */
static struct model *
fixed(void)
{
	struct rng rng = { 17 };
	struct model *m = model_new(3 << 20, MAP_FIXED);
	uint8_t zero[512] = { 0 };

	for (size_t i = 0; i < 3000; i++) {
		if (rng_below(&rng, 20) == 0)
			add_data(m, zero, sizeof(zero),
				 1 + rng_below(&rng, 10));
		else
			add_random(m, &rng, sizeof(zero), 1);
	}
	add_random(m, &rng, 100, 1);
	finish(m);
	return m;
}

static const struct {
	const char *name;
	struct model *(*make)(void);
} files[] = {
	{ "empty", empty },
	{ "one byte", one_byte },
	{ "holes inside the entry", inline_holes },
	{ "only a hole", only_a_hole },
	{ "plain", plain },
	{ "sparse", sparse },
	{ "run-heavy", runs },
	{ "fixed", fixed },
};

/* --- reading ------------------------------------------------------------- */

#define READ_MAX 4096

static void
check_read(struct model *m, struct file_reader *f, uint64_t offset, size_t n)
{
	uint8_t got[READ_MAX + 1];
	uint64_t left = offset < m->size ? m->size - offset : 0;
	size_t want = n < left ? n : (size_t)left;
	struct err e = { 0 };
	ssize_t rc;

	memset(got, 0xa5, sizeof(got));
	rc = file_read(f, offset, got, n, NULL, &e);
	if (rc != (ssize_t)want)
		fail_msg("%s: read %zu at %llu: %zd %s", m->name, n,
			 (unsigned long long)offset, rc, e.text);
	if (want > 0)
		assert_memory_equal(got, m->bytes + offset, want);
	/* Nothing is written behind. */
	assert_int_equal(got[want], 0xa5);
}

/* The span that holds an offset. */
static size_t
span_at(const struct model *m, uint64_t offset)
{
	size_t lo = 0;
	size_t hi = m->spans;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (m->span[mid].end <= offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* What lseek would answer: 1 and nothing, or 0 and *out. */
static int
model_seek(const struct model *m, uint64_t offset, bool hole, uint64_t *out)
{
	size_t i;

	if (offset >= m->size)
		return 1;
	i = span_at(m, offset);
	*out = offset;
	if (m->span[i].hole == hole)
		return 0;
	*out = m->span[i].end;
	return *out == m->size && !hole ? 1 : 0;
}

static void
check_seek(struct model *m, struct file_reader *f, uint64_t offset, bool hole)
{
	uint64_t want = 42;
	uint64_t got = 42;
	struct err e = { 0 };
	int want_rc = model_seek(m, offset, hole, &want);
	int rc = hole ? file_seek_hole(f, offset, &got, &e)
		      : file_seek_data(f, offset, &got, &e);

	if (rc != want_rc || (rc == 0 && got != want))
		fail_msg("%s: seek %s at %llu: %d, %llu", m->name,
			 hole ? "hole" : "data", (unsigned long long)offset, rc,
			 (unsigned long long)got);
	if (rc != 0)
		assert_int_equal(got, 42);
}

static void
check_peek(struct model *m, struct file_reader *f, uint64_t offset)
{
	const uint8_t *p = NULL;
	uint64_t len = 0;
	struct err e = { 0 };
	int rc = file_peek(f, offset, &p, &len, &e);
	size_t i;

	if (offset >= m->size) {
		assert_int_equal(rc, 0);
		return;
	}
	i = span_at(m, offset);
	assert_int_equal(rc, 1);
	assert_true(len > 0);
	assert_int_equal(p == NULL, m->span[i].hole);
	assert_true(len <= m->span[i].end - offset);
	/* Holes are one piece, because no two are neighbours. */
	if (p == NULL)
		assert_int_equal(len, m->span[i].end - offset);
	else
		assert_memory_equal(p, m->bytes + offset, len);
}

static void
any_place_can_be_read_in_any_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(files); i++) {
		struct model *m = files[i].make();
		struct rng rng = { 1000 + i };
		struct file_reader f;

		m->name = files[i].name;
		open_reader(m, &f);
		for (unsigned round = 0; round < 25000; round++) {
			uint64_t offset = rng_below(&rng, m->size + 3);
			size_t most = rng_below(&rng, 4) == 0 ? READ_MAX : 200;

			switch (rng_below(&rng, 8)) {
			case 0:
				check_peek(m, &f, offset);
				break;
			case 1:
				check_seek(m, &f, offset, false);
				break;
			case 2:
				check_seek(m, &f, offset, true);
				break;
			default:
				check_read(m, &f, offset,
					   rng_below(&rng, most + 1));
			}
		}
		file_reader_clear(&f);
		model_free(m);
	}
}

/* In steps of 997, as a copy does, and piece by piece. */
static void
a_file_can_be_read_from_its_beginning_to_its_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(files); i++) {
		struct model *m = files[i].make();
		struct file_reader f;
		const uint8_t *p;
		struct err e = { 0 };
		uint64_t len = 0;
		uint64_t at;

		open_reader(m, &f);
		for (at = 0; at < m->size; at += 997)
			check_read(m, &f, at, 997);
		check_read(m, &f, at, 997);
		for (at = 0; file_peek(&f, at, &p, &len, &e) == 1; at += len)
			check_peek(m, &f, at);
		assert_int_equal(at, m->size);
		file_reader_clear(&f);
		model_free(m);
	}
}

static void
beyond_the_end_there_is_nothing(void **state)
{
	static const uint64_t beyond[] = { 0, 1, 4096, UINT64_MAX - 4000 };

	(void)state;
	for (size_t i = 0; i < N_OF(files); i++) {
		struct model *m = files[i].make();
		struct file_reader f;

		open_reader(m, &f);
		for (size_t j = 0; j < N_OF(beyond); j++) {
			check_read(m, &f, m->size + beyond[j], 10);
			check_peek(m, &f, m->size + beyond[j]);
			check_seek(m, &f, m->size + beyond[j], true);
			check_seek(m, &f, m->size + beyond[j], false);
		}
		check_read(m, &f, 0, 0);
		file_reader_clear(&f);
		model_free(m);
	}
}

/* --- what it costs ------------------------------------------------------- */

static void
a_run_is_decoded_once(void **state)
{
	struct rng rng = { 3 };
	struct model *m = model_new(1000 * 100, MAP_CDC);
	struct file_reader f;

	(void)state;
	add_random(m, &rng, 100, 1000);
	finish(m);
	open_reader(m, &f);
	m->store->gets = 0;
	for (uint64_t at = 0; at < m->size; at += 64)
		check_read(m, &f, at, 64);
	/* And any place of it costs nothing more. */
	for (unsigned i = 0; i < 1000; i++)
		check_read(m, &f, rng_below(&rng, m->size), 64);
	assert_int_equal(m->store->gets, 1);
	file_reader_clear(&f);
	model_free(m);
}

static void
small_reads_decode_each_chunk_once(void **state)
{
	struct rng rng = { 3 };
	struct model *m = model_new(4 * 1000, MAP_CDC);
	struct file_reader f;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		add_random(m, &rng, 1000, 1);
	finish(m);
	open_reader(m, &f);
	m->store->gets = 0;
	for (uint64_t at = 0; at < m->size; at += 10)
		check_read(m, &f, at, 10);
	assert_int_equal(m->store->gets, 4);
	file_reader_clear(&f);
	model_free(m);
}

/* Ids of chunks of one kind, from memstore_each. */
struct ids {
	enum id_kind kind;
	struct id id[2000];
	size_t n;
};

static void
note_id(void *ctx, enum id_kind kind, const struct id *id, const uint8_t *p,
	size_t len)
{
	struct ids *ids = ctx;

	(void)p;
	(void)len;
	if (kind == ids->kind) {
		assert_true(ids->n < N_OF(ids->id));
		ids->id[ids->n++] = *id;
	}
}

/* It cannot: all of it is lost. */
static void
looking_for_holes_decodes_no_data(void **state)
{
	static struct ids ids = { .kind = KIND_DATA };
	struct model *m = sparse();
	struct file_reader f;

	(void)state;
	memstore_each(m->store, note_id, &ids);
	assert_true(ids.n > 1000);
	for (size_t i = 0; i < ids.n; i++)
		memstore_drop(m->store, &ids.id[i]);
	open_reader(m, &f);
	for (uint64_t at = 0; at < m->size; at += 1013) {
		check_seek(m, &f, at, false);
		check_seek(m, &f, at, true);
	}
	file_reader_clear(&f);
	model_free(m);
}

/* 2^40 equal pieces and 2^60 bytes of hole: nothing may walk them. */
static void
enormous_runs_and_holes_take_no_time(void **state)
{
	static const uint64_t times = UINT64_C(1) << 40;
	static const uint64_t hole = UINT64_C(1) << 60;
	struct memstore *store = memstore_new();
	uint8_t bytes[16] = "0123456789abcde";
	struct id id = memstore_put(store, KIND_DATA, bytes, sizeof(bytes));
	uint64_t run = times * sizeof(bytes);
	struct content c = { .form = CONTENT_INLINE, .count = 3 };
	struct buf items = { 0 };
	struct file_reader f;
	struct err e = { 0 };
	uint64_t size = run + hole + sizeof(bytes);
	uint8_t got[32];
	uint64_t at;

	(void)state;
	wr_u8(&items, MAP_RUN);
	wr_varint(&items, times);
	wr_varint(&items, sizeof(bytes));
	wr_bytes(&items, id.b, ID_LEN);
	wr_u8(&items, MAP_HOLE);
	wr_varint(&items, hole);
	wr_u8(&items, MAP_CHUNK);
	wr_varint(&items, sizeof(bytes));
	wr_bytes(&items, id.b, ID_LEN);
	c.items = items.data;
	c.items_len = items.len;
	assert_int_equal(file_reader_init(&f, &store->reader, &c, size, &e), 0);
	assert_int_equal(file_seek_hole(&f, 5, &at, &e), 0);
	assert_int_equal(at, run);
	assert_int_equal(file_seek_data(&f, run, &at, &e), 0);
	assert_int_equal(at, run + hole);
	assert_int_equal(file_seek_hole(&f, at, &at, &e), 0);
	assert_int_equal(at, size);
	assert_int_equal(store->gets, 0);
	/* The last byte of the run, and the hole behind it. */
	assert_int_equal(file_read(&f, run - 2, got, 4, NULL, &e), 4);
	assert_memory_equal(got, "e\0\0\0", 4);
	assert_int_equal(file_read(&f, run + hole - 1, got, 32, NULL, &e), 17);
	assert_memory_equal(got,
			    "\0"
			    "0123456789abcde",
			    17);
	file_reader_clear(&f);
	buf_clear(&items);
	memstore_free(store);
}

/* --- damage -------------------------------------------------------------- */

/* Three chunks, the second of which cannot be had. */
static void
a_lost_chunk_is_told_with_its_first_byte(void **state)
{
	struct rng rng = { 19 };
	struct model *m = model_new(300, MAP_CDC);
	struct file_reader f;
	uint8_t got[300];
	struct id lost;
	struct err e = { 0 };
	uint64_t bad = 0;
	const uint8_t *p;
	uint64_t len;

	(void)state;
	add_random(m, &rng, 100, 1);
	lost = add_random(m, &rng, 100, 1);
	add_random(m, &rng, 100, 1);
	finish(m);
	memstore_drop(m->store, &lost);
	open_reader(m, &f);
	for (unsigned again = 0; again < 2; again++) {
		err_clear(&e);
		assert_int_equal(file_read(&f, 30, got, 200, &bad, &e), -1);
		assert_int_equal(e.kind, ERR_MISSING);
		assert_int_equal(bad, 100);
		/* What comes before it was read. */
		assert_memory_equal(got, m->bytes + 30, 70);
		err_clear(&e);
		assert_int_equal(file_read(&f, 150, got, 10, &bad, &e), -1);
		assert_int_equal(bad, 150);
		err_clear(&e);
		assert_int_equal(file_read(&f, 199, got, 10, NULL, &e), -1);
		assert_int_equal(file_peek(&f, 100, &p, &len, NULL), -1);
		/* The rest of the file can be had. */
		check_read(m, &f, 0, 100);
		check_read(m, &f, 200, 100);
		check_seek(m, &f, 120, true);
	}
	file_reader_clear(&f);
	model_free(m);
}

static void
a_chunk_of_another_length_is_corrupt(void **state)
{
	static const size_t lengths[] = { 1, 99, 101, 5000 };

	(void)state;
	for (size_t i = 0; i < N_OF(lengths); i++) {
		struct rng rng = { 19 };
		struct model *m = model_new(200, MAP_CDC);
		struct file_reader f;
		uint8_t *other = calloc(1, lengths[i]);
		uint8_t got[300];
		struct id id;
		struct err e = { 0 };
		uint64_t bad = 0;

		assert_non_null(other);
		add_random(m, &rng, 100, 1);
		id = add_random(m, &rng, 100, 1);
		finish(m);
		memstore_replace(m->store, &id, other, lengths[i]);
		open_reader(m, &f);
		assert_int_equal(file_read(&f, 0, got, 300, &bad, &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_int_equal(bad, 100);
		check_read(m, &f, 0, 100);
		file_reader_clear(&f);
		free(other);
		model_free(m);
	}
}

/*
 * Read to the end of a piece, fail elsewhere, and go on behind that piece: as
 * well as somebody who was not there before.
 */
static void
go_on_after_failure(struct model *m, struct file_reader *f, uint64_t at,
		    uint64_t bad)
{
	struct file_reader other;
	struct err e = { 0 };
	const uint8_t *p;
	uint64_t len;
	uint8_t got[2][10];

	if (bad == UINT64_MAX)
		return;
	assert_int_equal(file_peek(f, at, &p, &len, &e), 1);
	assert_int_equal(file_read(f, bad, got[0], 1, NULL, NULL), -1);
	open_reader(m, &other);
	memset(got, 0, sizeof(got));
	assert_int_equal(file_read(f, at + len, got[0], 10, NULL, NULL),
			 file_read(&other, at + len, got[1], 10, NULL, NULL));
	assert_memory_equal(got[0], got[1], 10);
	file_reader_clear(&other);
}

/* One leaf of the map is lost: what lies in others is not. */
static void
a_lost_map_node_costs_its_own_part_only(void **state)
{
	static struct ids nodes = { .kind = KIND_MAP };
	struct model *m = plain();
	struct rng rng = { 29 };
	struct file_reader f;
	uint64_t bad_at = UINT64_MAX; /* one that is known to be lost */
	struct err e = { 0 };
	uint64_t at;
	unsigned lost = 0;
	size_t i = 0;

	(void)state;
	memstore_each(m->store, note_id, &nodes);
	assert_true(nodes.n > 4);
	while (id_equal(&nodes.id[i], &m->content.root))
		i++;
	memstore_drop(m->store, &nodes.id[i]);
	open_reader(m, &f);
	for (unsigned round = 0; round < 5000; round++) {
		uint8_t got[10];
		uint64_t bad = UINT64_MAX;

		at = rng_below(&rng, m->size - 10);
		err_clear(&e);
		if (file_read(&f, at, got, 10, &bad, &e) < 0) {
			assert_int_equal(e.kind, ERR_MISSING);
			assert_true(bad >= at && bad < at + 10);
			bad_at = bad;
			lost++;
			continue;
		}
		assert_memory_equal(got, m->bytes + at, 10);
		go_on_after_failure(m, &f, at, bad_at);
	}
	assert_true(lost > 0 && lost < 4000);
	/* Whether there is a hole in what is lost cannot be said. */
	assert_int_equal(file_seek_hole(&f, 0, &at, &e), -1);
	assert_int_equal(e.kind, ERR_MISSING);
	file_reader_clear(&f);
	model_free(m);
}

static void
a_lost_root_is_told_at_once(void **state)
{
	struct model *m = plain();
	struct file_reader f;
	struct err e = { 0 };

	(void)state;
	memstore_drop(m->store, &m->content.root);
	assert_int_equal(file_reader_init(&f, &m->store->reader, &m->content,
					  m->size, &e),
			 -1);
	assert_int_equal(e.kind, ERR_MISSING);
	/* It may be cleared all the same. */
	file_reader_clear(&f);
	model_free(m);
}

static void
a_map_of_another_size_is_corrupt(void **state)
{
	struct model *m = plain();
	struct file_reader f;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(file_reader_init(&f, &m->store->reader, &m->content,
					  m->size + 1, &e),
			 -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	file_reader_clear(&f);
	model_free(m);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_place_can_be_read_in_any_order),
		cmocka_unit_test(
			a_file_can_be_read_from_its_beginning_to_its_end),
		cmocka_unit_test(beyond_the_end_there_is_nothing),
		cmocka_unit_test(a_run_is_decoded_once),
		cmocka_unit_test(small_reads_decode_each_chunk_once),
		cmocka_unit_test(looking_for_holes_decodes_no_data),
		cmocka_unit_test(enormous_runs_and_holes_take_no_time),
		cmocka_unit_test(a_lost_chunk_is_told_with_its_first_byte),
		cmocka_unit_test(a_chunk_of_another_length_is_corrupt),
		cmocka_unit_test(a_lost_map_node_costs_its_own_part_only),
		cmocka_unit_test(a_lost_root_is_told_at_once),
		cmocka_unit_test(a_map_of_another_size_is_corrupt),
	};

	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
