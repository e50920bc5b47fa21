#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/pack.h"

#include "base/cursor.h"
#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/pack_maker.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static int dirfd_;
static struct frame_coder *coder;
static struct rng rng;

static int
set_up(void **state)
{
	struct err e = { 0 };

	(void)state;
	scratch_begin(&scratch);
	failing_install();
	rng.state = 20261121;
	dirfd_ = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dirfd_ >= 0);
	assert_int_equal(frame_coder_new(&coder, &e), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	frame_coder_free(coder);
	assert_int_equal(close(dirfd_), 0);
	failing_remove();
	scratch_end(&scratch);
	return 0;
}

static const char *
path_of(const struct pack_id *id)
{
	char name[PACK_NAME_LEN + 1];

	pack_name(name, id);
	return scratch_at(&scratch, name);
}

/* Names in the directory, the unfinished ones too. */
static size_t
count_all(void)
{
	DIR *d = opendir(scratch.path);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	assert_int_equal(closedir(d), 0);
	return n - 2;
}

static struct pack *
must_open(const struct pack_id *id)
{
	struct err e = { 0 };
	struct pack *p = NULL;

	if (pack_open(dirfd_, id, &p, &e) != 0)
		fail_msg("%s", e.text);
	return p;
}

/* --- contents ----------------------------------------------------------------- */

/*
 * Compare a block with what was put; slots before it are `at` bytes long.
 * 0 equal, -1 with the sentence when it or a frame of it cannot be had.
 * A chunk whose bytes differ counts as damage too: its id would tell.
 */
static int
check_block(const struct pack *p, const struct made_pack *m, uint32_t number,
	    size_t at, struct err *e)
{
	struct pack_block *b = NULL;
	uint8_t *raw = NULL;
	size_t have = SIZE_MAX;
	unsigned i;
	int rc = 0;

	if (pack_load_block(p, coder, number, &b, e) < 0)
		return -1;
	assert_int_equal(b->first_slot, number * PACK_BLOCK_CHUNKS);
	assert_true(pack_block_size(b) > sizeof(*b));
	for (i = 0; rc == 0 && i < b->chunks; i++) {
		uint32_t slot = b->first_slot + i;
		const struct pack_frame_at *f = &b->frame[b->frame_of[i]];

		assert_memory_equal(&b->id[i], &m->ids[slot], ID_LEN);
		assert_int_equal(b->len[i], m->lens[slot]);
		if (have != b->frame_of[i]) {
			free(raw);
			raw = malloc(f->raw_len);
			assert_non_null(raw);
			rc = pack_read_frame(p, coder, f, raw, e);
		}
		have = b->frame_of[i];
		if (rc == 0 && memcmp(raw + b->offset[i], m->bytes + at,
				      b->len[i]) != 0)
			rc = err_set(e, ERR_CORRUPT, "other bytes");
		at += b->len[i];
	}
	pack_block_free(b);
	free(raw);
	return rc;
}

/* Everything that can be read is right; returns whether all could be. */
static bool
all_readable(const struct made_pack *m, struct err *e)
{
	struct pack *p = NULL;
	size_t at = 0;
	uint32_t i, slot = 0;
	bool good = true;
	int rc = pack_open(dirfd_, &m->id, &p, e);

	assert_true(rc == 0 || e == NULL || e->kind == ERR_CORRUPT ||
		    e->kind == ERR_UNSUPPORTED);
	if (rc != 0)
		return false;
	assert_int_equal(pack_chunks(p), m->chunks);
	for (i = 0; i < pack_blocks(p); i++) {
		struct err why = { 0 };

		if (check_block(p, m, i, at, &why) < 0) {
			assert_int_equal(why.kind, ERR_CORRUPT);
			err_move(e, &why);
			good = false;
		}
		for (; slot < m->chunks && slot < (i + 1) * PACK_BLOCK_CHUNKS;
		     slot++)
			at += m->lens[slot];
	}
	pack_close(p);
	return good;
}

static void
a_pack_gives_back_what_was_put(void **state)
{
	static const struct {
		const char *what;
		struct pack_shape shape;
		uint32_t blocks;
	} rows[] = {
		{ "one chunk", { .frames = 1, .chunks = 1 }, 1 },
		{ "a full block", { .frames = 1, .chunks = 512 }, 1 },
		{ "one more", { .frames = 1, .chunks = 513 }, 2 },
		{ "one more, packed",
		  { .frames = 1, .chunks = 513, .packed = true }, 2 },
		{ "frames across blocks", { .frames = 3, .chunks = 700 }, 5 },
		{ "a frame over three blocks",
		  { .frames = 1, .chunks = 1300 }, 3 },
		{ "frames that end with a block",
		  { .frames = 4, .chunks = 256 }, 2 },
		{ "a chunk a frame", { .frames = 1100, .chunks = 1 }, 3 },
		{ "large chunks",
		  { .frames = 5, .chunks = 9, .chunk_len = 60000,
		    .packed = true, .kind = KIND_TREE }, 1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(rows); i++) {
		struct made_pack m;
		struct err e = { 0 };
		struct pack *p;

		pack_maker_make(dirfd_, &rows[i].shape, &rng, &m);
		p = must_open(&m.id);
		assert_int_equal(pack_blocks(p), rows[i].blocks);
		assert_int_equal(pack_len(p), m.len);
		assert_int_equal(scratch_size(path_of(&m.id)), m.len);
		assert_memory_equal(pack_get_id(p), &m.id, PACK_ID_LEN);
		pack_close(p);
		if (!all_readable(&m, &e))
			fail_msg("%s: %s", rows[i].what, e.text);
		pack_maker_free(&m);
	}
}

static void
the_table_of_a_huge_pack_is_found(void **state)
{
	/* 130 blocks: their table does not fit into the first read. */
	const struct pack_shape shape = { .frames = 65, .chunks = 1024,
					  .chunk_len = 2 };
	struct made_pack m;
	struct err e = { 0 };

	(void)state;
	pack_maker_make(dirfd_, &shape, &rng, &m);
	if (!all_readable(&m, &e))
		fail_msg("%s", e.text);
	pack_maker_free(&m);
}

static void
names_are_thirty_two_lower_case_digits(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {
		{ "00112233445566778899aabbccddeeff", true },
		{ "00112233445566778899AABBCCDDEEFF", false },
		{ "00112233445566778899aabbccddeef", false },
		{ "00112233445566778899aabbccddeeff0", false },
		{ "00112233445566778899aabbccddeefg", false },
		{ ".tmp-00112233445566778899aabbccd", false },
		{ "", false },
	};
	char name[PACK_NAME_LEN + 1];
	struct pack_id id;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(rows); i++) {
		assert_int_equal(pack_name_parse(rows[i].name, &id),
				 rows[i].good);
		if (!rows[i].good)
			continue;
		pack_name(name, &id);
		assert_string_equal(name, rows[i].name);
	}
}

/* --- the writer ----------------------------------------------------------------- */

static const struct id one_id = { { 1, 2, 3 } };
static const uint32_t one_len = 5;

static struct pack_frame
small_frame(void)
{
	return (struct pack_frame){
		.kind = KIND_DATA,
		.method = FRAME_RAW,
		.stored = "hello",
		.stored_len = 5,
		.raw_len = 5,
		.chunks = 1,
		.ids = &one_id,
		.lens = &one_len,
	};
}

static struct pack_writer *
must_begin(void)
{
	struct pack_writer *w = NULL;
	struct err e = { 0 };

	if (pack_writer_new(dirfd_, &w, &e) < 0)
		fail_msg("%s", e.text);
	return w;
}

static void
nothing_is_seen_before_it_is_published(void **state)
{
	struct pack_frame f = small_frame();
	struct pack_writer *w = must_begin();
	char names[4][256];
	struct err e = { 0 };
	uint32_t slot;

	(void)state;
	assert_int_equal(pack_writer_add(w, &f, &slot, &e), 0);
	assert_int_equal(pack_writer_seal(w, &e), 0);
	assert_int_equal(scratch_count(scratch.path, names, 4), 0);
	assert_int_equal(pack_writer_publish(w, &e), 0);
	assert_int_equal(scratch_count(scratch.path, names, 4), 1);
	assert_string_equal(scratch_at(&scratch, names[0]),
			    path_of(pack_writer_id(w)));
	assert_int_equal(pack_writer_chunks(w), 1);
	assert_memory_equal(pack_writer_ids(w), &one_id, ID_LEN);
	pack_writer_free(w);
	assert_int_equal(count_all(), 1);
}

static void
a_writer_that_is_freed_leaves_nothing(void **state)
{
	struct pack_frame f = small_frame();
	struct err e = { 0 };
	uint32_t slot;
	int step;

	(void)state;
	for (step = 0; step < 3; step++) {
		struct pack_writer *w = must_begin();

		if (step > 0)
			assert_int_equal(pack_writer_add(w, &f, &slot, &e), 0);
		if (step > 1)
			assert_int_equal(pack_writer_seal(w, &e), 0);
		assert_int_equal(count_all(), 1);
		pack_writer_free(w);
		assert_int_equal(count_all(), 0);
	}
	pack_writer_free(NULL);
}

static void
a_pack_that_could_not_be_synced_stays_unpublished(void **state)
{
	struct pack_frame f = small_frame();
	struct pack_writer *w = must_begin();
	char names[4][256];
	struct err e = { 0 };
	uint32_t slot;

	(void)state;
	assert_int_equal(pack_writer_add(w, &f, &slot, &e), 0);
	assert_int_equal(pack_writer_seal(w, &e), 0);
	failing_plan(FAIL_SYNC, 1, false, EIO);
	assert_int_equal(pack_writer_publish(w, &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	failing_off();
	/* Nobody tries again, and nobody takes the file away. */
	err_clear(&e);
	assert_int_equal(pack_writer_publish(w, &e), -1);
	pack_writer_free(w);
	assert_int_equal(scratch_count(scratch.path, names, 4), 0);
	assert_int_equal(count_all(), 1);
}

static void
any_failing_call_leaves_no_pack(void **state)
{
	static const int errors[] = { EIO, ENOSPC };
	char names[4][256];
	size_t k;
	unsigned nth;

	(void)state;
	for (k = 0; k < N_OF(errors); k++)
		for (nth = 1;; nth++) {
			struct pack_frame f = small_frame();
			struct pack_writer *w = NULL;
			struct err e = { 0 };
			uint32_t slot;
			bool good;

			failing_plan(FAIL_ALL & ~FAIL_RANDOM, nth, false,
				     errors[k]);
			good = pack_writer_new(dirfd_, &w, &e) == 0 &&
			       pack_writer_add(w, &f, &slot, &e) == 0 &&
			       pack_writer_seal(w, &e) == 0 &&
			       pack_writer_publish(w, &e) == 0;
			if (failing_hits() == 0) {
				assert_true(good);
				failing_off();
				pack_writer_free(w);
				break;
			}
			failing_off();
			assert_false(good);
			assert_int_equal(e.kind, ERR_SYS);
			pack_writer_free(w);
			assert_int_equal(scratch_count(scratch.path, names, 4),
					 k);
		}
}

static void
any_failing_allocation_is_reported(void **state)
{
	struct made_pack m;
	const struct pack_shape shape = { .frames = 2, .chunks = 600 };
	unsigned nth;

	(void)state;
	pack_maker_make(dirfd_, &shape, &rng, &m);
	for (nth = 1;; nth++) {
		struct pack_frame f = small_frame();
		struct pack_writer *w = NULL;
		struct pack_block *b = NULL;
		struct pack *p = NULL;
		struct err e = { 0 };
		uint32_t slot;
		bool good;

		failing_plan_alloc(nth, false);
		good = pack_writer_new(dirfd_, &w, &e) == 0 &&
		       pack_writer_add(w, &f, &slot, &e) == 0 &&
		       pack_writer_seal(w, &e) == 0 &&
		       pack_open(dirfd_, &m.id, &p, &e) == 0 &&
		       pack_load_block(p, coder, 1, &b, &e) == 0;
		failing_off();
		pack_block_free(b);
		pack_close(p);
		pack_writer_free(w);
		if (good)
			break;
		assert_int_equal(e.kind, ERR_NOMEM);
	}
	assert_true(nth > 5);
	pack_maker_free(&m);
}

static void
a_writer_refuses_nonsense(void **state)
{
	static const struct {
		const char *what;
		struct pack_frame f;
	} rows[] = {
		{ "no chunks", { .chunks = 0 } },
		{ "too many chunks", { .chunks = PACK_CHUNKS_MAX + 1 } },
		{ "a sum that differs", { .raw_len = 6, .stored_len = 6 } },
		{ "stored longer than raw", { .stored_len = 6 } },
		{ "stored nothing", { .stored_len = UINT32_MAX } },
		{ "raw and shorter", { .stored_len = 4 } },
		{ "a kind that no chunk has", { .kind = KIND_RECORD } },
	};
	struct pack_writer *w = must_begin();
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(rows); i++) {
		struct pack_frame f = small_frame(), bad = rows[i].f;
		struct err e = { 0 };
		uint32_t slot = 77;

		if (i < 2)
			f.chunks = bad.chunks;
		if (bad.raw_len != 0)
			f.raw_len = bad.raw_len;
		if (bad.stored_len != 0)
			f.stored_len = bad.stored_len == UINT32_MAX ?
					       0 :
					       bad.stored_len;
		if (bad.kind != 0)
			f.kind = bad.kind;
		if (pack_writer_add(w, &f, &slot, &e) == 0)
			fail_msg("%s: accepted", rows[i].what);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_int_equal(slot, 77);
	}
	pack_writer_free(w);
}

static void
a_writer_is_used_in_order(void **state)
{
	struct pack_frame f = small_frame();
	struct pack_writer *w = must_begin();
	uint32_t slot;

	(void)state;
	assert_int_equal(pack_writer_seal(w, NULL), -1); /* empty */
	assert_int_equal(pack_writer_publish(w, NULL), -1);
	assert_int_equal(pack_writer_add(w, &f, &slot, NULL), 0);
	assert_int_equal(pack_writer_seal(w, NULL), 0);
	assert_int_equal(pack_writer_seal(w, NULL), -1);
	assert_int_equal(pack_writer_add(w, &f, &slot, NULL), -1);
	assert_int_equal(pack_writer_publish(w, NULL), 0);
	assert_int_equal(pack_writer_publish(w, NULL), -1);
	pack_writer_free(w);
}

static int
no_such_flag(int a, const char *p, int b, const char *q, unsigned flags)
{
	(void)a;
	(void)p;
	(void)b;
	(void)q;
	(void)flags;
	errno = EINVAL;
	return -1;
}

static void
a_pack_is_linked_where_it_cannot_be_renamed_safely(void **state)
{
	const struct pack_shape shape = { .frames = 1, .chunks = 3 };
	struct sys_ops ops = *sys_repo;
	const struct sys_ops *before = sys_repo;
	struct made_pack m;
	struct err e = { 0 };

	(void)state;
	ops.renameat2 = no_such_flag;
	sys_repo = &ops;
	pack_maker_make(dirfd_, &shape, &rng, &m);
	sys_repo = before;
	assert_true(all_readable(&m, &e));
	assert_int_equal(count_all(), 1);
	pack_maker_free(&m);
}

/* --- damage ------------------------------------------------------------------ */

static void
a_pack_that_is_not_there_is_missing(void **state)
{
	struct pack_id id = { { 1 } };
	struct pack *p = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(pack_open(dirfd_, &id, &p, &e), 1);
	assert_int_equal(e.kind, ERR_NONE);
}

static void
a_pack_under_another_name_is_corrupt(void **state)
{
	const struct pack_shape shape = { .frames = 1, .chunks = 3 };
	struct made_pack m;
	struct err e = { 0 };

	(void)state;
	pack_maker_make(dirfd_, &shape, &rng, &m);
	{
		struct pack_id other = m.id;

		other.b[7] ^= 1;
		assert_int_equal(rename(path_of(&m.id), path_of(&other)), 0);
		m.id = other;
	}
	assert_false(all_readable(&m, &e));
	assert_int_equal(e.kind, ERR_CORRUPT);
	pack_maker_free(&m);
}

static void
a_pack_cut_anywhere_is_corrupt(void **state)
{
	const struct pack_shape shape = { .frames = 3, .chunks = 20 };
	struct made_pack m;
	uint64_t len;

	(void)state;
	pack_maker_make(dirfd_, &shape, &rng, &m);
	for (len = m.len; len-- > 0;) {
		struct err e = { 0 };

		assert_int_equal(truncate(path_of(&m.id), (off_t)len), 0);
		if (all_readable(&m, &e))
			fail_msg("cut to %u bytes: readable", (unsigned)len);
	}
	pack_maker_free(&m);
}

static void
a_pack_that_goes_on_is_corrupt(void **state)
{
	const struct pack_shape shape = { .frames = 1, .chunks = 20 };
	struct made_pack m;
	struct err e = { 0 };

	(void)state;
	pack_maker_make(dirfd_, &shape, &rng, &m);
	assert_int_equal(truncate(path_of(&m.id), (off_t)m.len + 1), 0);
	assert_false(all_readable(&m, &e));
	pack_maker_free(&m);
}

static void
every_wrong_byte_of_a_pack_is_noticed(void **state)
{
	static const struct pack_shape shapes[] = {
		{ .frames = 3, .chunks = 20 },
		{ .frames = 3, .chunks = 20, .packed = true },
		{ .frames = 2, .chunks = 300, .chunk_len = 4 },
	};
	size_t i;
	uint64_t at;

	(void)state;
	for (i = 0; i < N_OF(shapes); i++) {
		struct made_pack m;

		pack_maker_make(dirfd_, &shapes[i], &rng, &m);
		for (at = 0; at < m.len; at++) {
			struct err e = { 0 };

			scratch_flip(path_of(&m.id), (off_t)at);
			/* zstd has bits without a meaning; the bytes are right. */
			if (all_readable(&m, &e) && !shapes[i].packed)
				fail_msg("byte %u: not noticed", (unsigned)at);
			scratch_flip(path_of(&m.id), (off_t)at);
		}
		assert_true(all_readable(&m, NULL));
		pack_maker_free(&m);
	}
}

/* --- directories that contradict themselves, with every checksum right -------- */

#define HEADER 128
#define FOOTER 64
#define LINE   32

/* A pack as doc/format.md has it: two frames of two chunks of one byte. */
struct forgery {
	struct buf b;
	size_t block, table, footer; /* offsets */
	struct pack_id id;
};

static void
add_zeros(struct buf *b, size_t n)
{
	memset(buf_extend(b, n), 0, n);
}

static void
begin_forgery(struct forgery *g)
{
	struct buf *b = &g->b;
	int i;

	memset(g, 0, sizeof(*g));
	rng_fill(&rng, &g->id, sizeof(g->id));
	wr_bytes(b, "asofpack", 8);
	wr_u32(b, 1);
	wr_u32(b, 0);
	wr_bytes(b, g->id.b, 16);
	add_zeros(b, 96);
	wr_bytes(b, "abcd", 4);
	g->block = b->len;
	wr_u16(b, 4);
	wr_u16(b, 2);
	for (i = 0; i < 2; i++) {
		wr_u32(b, HEADER + 2 * (uint32_t)i);
		wr_u32(b, 2);
		wr_u32(b, 2);
		wr_u8(b, FRAME_RAW);
		wr_u8(b, KIND_DATA);
		wr_u16(b, 2);
		wr_u32(b, 0);
	}
	for (i = 0; i < 4; i++)
		add_zeros(b, 32);
	for (i = 0; i < 4; i++)
		wr_u32(b, 1);
	g->table = b->len;
	wr_u32(b, (uint32_t)g->block);
	wr_u32(b, (uint32_t)(g->table - g->block));
	wr_u32(b, (uint32_t)(g->table - g->block));
	add_zeros(b, 4 + 16);
	g->footer = b->len;
	wr_bytes(b, "asofpend", 8);
	wr_u32(b, 1);
	wr_u32(b, 4);
	wr_u32(b, 1);
	wr_u32(b, (uint32_t)g->table);
	wr_u32(b, LINE);
	wr_u32(b, 0);
	add_zeros(b, 32);
	assert_false(b->failed);
}

/* Put the checksums right, write the file and read it: as pack_load_block. */
static int
try_forgery(struct forgery *g, struct err *e)
{
	uint8_t *p = g->b.data, all[16 + 48];
	struct pack_block *blk = NULL;
	struct pack *pack = NULL;
	int rc;

	hash_plain(p + g->block, g->table - g->block, p + g->table + 16, 16);
	hash_plain(p + g->table, LINE, p + g->footer + 32, 16);
	memcpy(all, g->id.b, 16);
	memcpy(all + 16, p + g->footer, 48);
	hash_plain(all, sizeof(all), p + g->footer + 48, 16);
	scratch_write(path_of(&g->id), p, g->b.len);
	rc = pack_open(dirfd_, &g->id, &pack, e);
	if (rc == 0)
		rc = pack_load_block(pack, coder, 0, &blk, e);
	pack_block_free(blk);
	pack_close(pack);
	return rc;
}

/*
 * The decoded block: counts 2 + 2, frames 2 * 20, ids 4 * 32, lengths 4 * 4.
 */
enum { F1 = 4, F2 = 24, LENS = 4 + 40 + 128 };

static void
a_directory_that_contradicts_itself_is_corrupt(void **state)
{
	static const struct {
		const char *what, *text;
		size_t at; /* in the block */
		uint8_t value;
		enum { BLOCK, TABLE, FOOT } where;
		struct {
			size_t at;
			uint8_t value;
		} more[2];
	} rows[] = {
		{ "chunk count", "counts", 0, 5, BLOCK, { { 0 } } },
		{ "frame count", "counts", 2, 3, BLOCK, { { 0 } } },
		{ "no frames", "counts", 2, 0, BLOCK, { { 0 } } },
		{ "frame in the header", "outside", F1, 127, BLOCK, { { 0 } } },
		{ "frame behind the frames", "outside", F1, 131, BLOCK, { { 0 } } },
		{ "frame far away", "outside", F1 + 3, 0x7f, BLOCK, { { 0 } } },
		{ "frame with a gap", "out of place", F1, 129, BLOCK, { { 0 } } },
		{ "first frame with a gap", "does not begin", F1, 129, BLOCK,
		  { { F1 + 4, 1 }, { F1 + 12, 1 } } },
		{ "last frame too short", "does not end", F2 + 4, 1, BLOCK,
		  { { F2 + 12, 1 } } },
		{ "second frame with a gap", "out of place", F2, 128, BLOCK, { { 0 } } },
		{ "stored nothing", "malformed", F1 + 4, 0, BLOCK, { { 0 } } },
		{ "stored too long", "outside", F1 + 4, 5, BLOCK, { { 0 } } },
		{ "stored longer than raw", "malformed", F1 + 4, 3, BLOCK, { { 0 } } },
		{ "raw length nothing", "malformed", F1 + 8, 0, BLOCK, { { 0 } } },
		{ "raw length differs", "malformed", F1 + 8, 3, BLOCK, { { 0 } } },
		{ "raw length huge", "malformed", F1 + 11, 2, BLOCK, { { 0 } } },
		{ "method 2", "malformed", F1 + 12, 2, BLOCK, { { 0 } } },
		{ "frame not filled", "do not fill", F1 + 12, 1, BLOCK,
		  { { F1 + 8, 3 } } },
		{ "kind 0", "malformed", F1 + 13, 0, BLOCK, { { 0 } } },
		{ "kind 6", "malformed", F1 + 13, 6, BLOCK, { { 0 } } },
		{ "frame without chunks", "out of place", F1 + 14, 0, BLOCK, { { 0 } } },
		{ "three of four chunks", "list", F1 + 14, 1, BLOCK, { { 0 } } },
		{ "first frame goes on", "does not fit", F1 + 16, 1, BLOCK, { { 0 } } },
		{ "second frame goes on", "out of place", F2 + 16, 1, BLOCK, { { 0 } } },
		{ "chunk of no bytes", "does not fit", LENS, 0, BLOCK, { { 0 } } },
		{ "chunk too long", "does not fit", LENS, 3, BLOCK, { { 0 } } },
		{ "chunk very long", "does not fit", LENS + 3, 0xff, BLOCK, { { 0 } } },
		{ "block in the header", "table", 0, 1, TABLE, { { 0 } } },
		{ "block somewhere else", "do not fit", 0, 200, TABLE, { { 0 } } },
		{ "block stored nothing", "table", 4, 0, TABLE, { { 0 } } },
		{ "block stored too long", "table", 7, 1, TABLE, { { 0 } } },
		{ "block raw length", "table", 9, 0xff, TABLE, { { 0 } } },
		{ "block method", "table", 12, 2, TABLE, { { 0 } } },
		{ "block reserved", "table", 13, 1, TABLE, { { 0 } } },
		{ "newer", "newer", 8, 2, FOOT, { { 0 } } },
		{ "no chunks", "counts", 12, 0, FOOT, { { 0 } } },
		{ "too many chunks", "counts", 15, 1, FOOT, { { 0 } } },
		{ "other number of blocks", "counts", 16, 2, FOOT, { { 0 } } },
		{ "table elsewhere", "counts", 20, 1, FOOT, { { 0 } } },
		{ "table longer", "counts", 24, 64, FOOT, { { 0 } } },
		{ "reserved", "counts", 28, 1, FOOT, { { 0 } } },
	};
	size_t i, k;

	(void)state;
	for (i = 0; i < N_OF(rows); i++) {
		struct forgery g;
		struct err e = { 0 };
		uint8_t *p;

		begin_forgery(&g);
		assert_int_equal(try_forgery(&g, &e), 0);
		p = g.b.data + (rows[i].where == BLOCK ? g.block :
				rows[i].where == TABLE ? g.table :
							 g.footer);
		p[rows[i].at] = rows[i].value;
		for (k = 0; k < 2 && rows[i].more[k].at != 0; k++)
			p[rows[i].more[k].at] = rows[i].more[k].value;
		if (try_forgery(&g, &e) == 0)
			fail_msg("%s: accepted", rows[i].what);
		if (strstr(e.text, rows[i].text) == NULL)
			fail_msg("%s: %s", rows[i].what, e.text);
		assert_int_equal(e.kind, strcmp(rows[i].what, "newer") == 0 ?
						 ERR_UNSUPPORTED :
						 ERR_CORRUPT);
		buf_clear(&g.b);
	}
}

static void
a_frame_that_nobody_lists_cannot_be_read(void **state)
{
	const struct pack_shape shape = { .frames = 1, .chunks = 3 };
	struct pack_frame_at f = { .offset = 128, .stored_len = 4000,
				   .raw_len = 4000, .kind = KIND_DATA };
	uint8_t raw[4000];
	struct made_pack m;
	struct err e = { 0 };
	struct pack *p;

	(void)state;
	pack_maker_make(dirfd_, &shape, &rng, &m);
	p = must_open(&m.id);
	assert_int_equal(pack_read_frame(p, coder, &f, raw, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	{
		struct pack_block *b = NULL;

		err_clear(&e);
		assert_int_equal(pack_load_block(p, coder, 1, &b, &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
	}
	pack_close(p);
	pack_maker_free(&m);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_pack_gives_back_what_was_put),
		TEST(the_table_of_a_huge_pack_is_found),
		TEST(names_are_thirty_two_lower_case_digits),
		TEST(nothing_is_seen_before_it_is_published),
		TEST(a_writer_that_is_freed_leaves_nothing),
		TEST(a_pack_that_could_not_be_synced_stays_unpublished),
		TEST(any_failing_call_leaves_no_pack),
		TEST(any_failing_allocation_is_reported),
		TEST(a_writer_refuses_nonsense),
		TEST(a_writer_is_used_in_order),
		TEST(a_pack_is_linked_where_it_cannot_be_renamed_safely),
		TEST(a_pack_that_is_not_there_is_missing),
		TEST(a_pack_under_another_name_is_corrupt),
		TEST(a_pack_cut_anywhere_is_corrupt),
		TEST(a_pack_that_goes_on_is_corrupt),
		TEST(every_wrong_byte_of_a_pack_is_noticed),
		TEST(a_directory_that_contradicts_itself_is_corrupt),
		TEST(a_frame_that_nobody_lists_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
