#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/store.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "store/damage.h"
#include "store/index.h"
#include "store/pack.h"
#include "tests/lib/store_fixture.h"

#include <pthread.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct fixture f;

/* Frames of four chunks, packs of two or three frames. */
#define CHUNK_LEN 1000
static const struct writer_options small = {
	.threads = 1,
	.data_frame = 4000,
	.meta_frame = 4000,
	.pack_len = 5000,
};

static int
set_up(void **state)
{
	(void)state;
	fixture_begin(&f);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	fixture_end(&f);
	return 0;
}

static void
reopen(const struct store_options *opt)
{
	fixture_close(&f);
	fixture_open(&f, opt);
}

/* Chunks `first` ... in packs of their own; then a store that is fresh. */
static void
fill(unsigned first, unsigned count, struct id *ids)
{
	fixture_close(&f);
	fixture_open(&f, NULL);
	fixture_open_writer(&f, &small);
	fixture_fill(&f, KIND_DATA, first, count, CHUNK_LEN, ids);
	reopen(NULL);
}

static void
assert_get_fails(enum id_kind kind, const struct id *id, enum err_kind want,
		 const char *text)
{
	struct chunk c = { 0 };
	struct err e = { 0 };

	assert_int_equal(chunk_get(store_reader(f.store), kind, id, &c, &e),
			 -1);
	assert_null(c.owner);
	if (e.kind != want || strstr(e.text, text) == NULL)
		fail_msg("kind %d: \"%s\" does not say \"%s\"", (int)e.kind,
			 e.text, text);
}

static struct id
unknown_id(unsigned n)
{
	struct id id;

	hash_plain(&n, sizeof(n), id.b, sizeof(id.b));
	return id;
}

static struct store_counters
counters(void)
{
	struct store_counters c;

	store_counters(f.store, &c);
	return c;
}

/* --- reading -------------------------------------------------------------- */

static void
chunks_are_read_back_after_reopening(void **state)
{
	struct id ids[60];

	(void)state;
	fill(0, 60, ids);
	fixture_must_get(&f, KIND_DATA, 0, 60, CHUNK_LEN, ids);
	assert_ptr_equal(store_repository(f.store), f.repository);
	assert_ptr_equal(store_session(f.store), f.session);
	assert_non_null(store_index(f.store));
	assert_int_equal(store_bad_packs(f.store), 0);
	assert_int_equal(store_gone_packs(f.store), 0);
}

static void
a_chunk_nobody_stored_is_missing(void **state)
{
	struct id id = unknown_id(1);
	char text[ID_TEXT_LEN];
	struct err e = { 0 };

	(void)state;
	reopen(NULL);
	(void)id_text(text, &id);
	assert_get_fails(KIND_DATA, &id, ERR_MISSING, text);
	assert_get_fails(KIND_TREE, &id, ERR_MISSING,
			 "(tree): not in any pack");
	assert_int_equal(store_has(f.store, &id, &e), 0);
}

static void
neighbours_are_decoded_and_looked_up_once(void **state)
{
	struct store_counters c;
	struct id ids[12];

	(void)state;
	fill(0, 12, ids);
	fixture_must_get(&f, KIND_DATA, 0, 12, CHUNK_LEN, ids);
	fixture_must_get(&f, KIND_DATA, 0, 12, CHUNK_LEN, ids);
	c = counters();
	assert_int_equal(c.gets, 24);
	assert_int_equal(c.frames_decoded, 3);
	assert_int_equal(c.frame_hits, 21);
	assert_int_equal(c.bytes_decoded, 12 * CHUNK_LEN);
	assert_true(c.bytes_read < c.bytes_decoded);
	/* One search of the index leads to the block of the whole pack. */
	assert_int_equal(c.blocks_loaded, fixture_packs(&f, NULL, 0));
	assert_int_equal(c.index_finds, c.blocks_loaded);
}

/* 1500 chunks in one frame are listed in three directory blocks. */
static void
a_frame_may_reach_over_several_blocks(void **state)
{
	static struct id ids[1500];

	(void)state;
	fixture_open(&f, NULL);
	fixture_open_writer(&f, NULL);
	fixture_fill(&f, KIND_DATA, 0, 1500, 100, ids);
	reopen(NULL);
	fixture_must_get(&f, KIND_DATA, 0, 1500, 100, ids);
	fixture_must_get(&f, KIND_DATA, 0, 1500, 100, ids);
	assert_int_equal(counters().frames_decoded, 1);
	assert_int_equal(counters().blocks_loaded, 3);
}

static void
a_chunk_stays_while_it_is_held(void **state)
{
	struct store_options tiny = { 1, 1, 1 };
	struct chunk held[40] = { { 0 } };
	uint8_t want[CHUNK_LEN];
	struct id ids[40];
	struct err e = { 0 };
	unsigned i;

	(void)state;
	fill(0, 40, ids);
	reopen(&tiny);
	for (i = 0; i < 40; i++)
		MUST(chunk_get(store_reader(f.store), KIND_DATA, &ids[i],
			       &held[i], &e),
		     &e);
	for (i = 0; i < 40; i++) {
		fixture_bytes(i, want, CHUNK_LEN);
		assert_memory_equal(held[i].data, want, CHUNK_LEN);
		chunk_release(store_reader(f.store), &held[i]);
		chunk_release(store_reader(f.store), &held[i]);
	}
	fixture_must_get(&f, KIND_DATA, 0, 40, CHUNK_LEN, ids);
}

static void
few_descriptors_are_enough(void **state)
{
	struct rlimit before;
	struct rlimit few;
	struct id ids[200];
	int next;

	(void)state;
	fill(0, 200, ids);
	assert_true(fixture_packs(&f, NULL, 0) > 10);
	next = dup(STDERR_FILENO);
	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)next + 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	fixture_must_get(&f, KIND_DATA, 0, 200, CHUNK_LEN, ids);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void
find_says_where(void **state)
{
	struct store_place a;
	struct store_place b;
	struct id unknown = unknown_id(1);
	struct id ids[8];
	char name[PACK_NAME_LEN + 1];

	(void)state;
	fill(0, 8, ids);
	assert_int_equal(store_find(f.store, &ids[0], &a, NULL), 0);
	assert_int_equal(store_find(f.store, &ids[3], &b, NULL), 0);
	assert_int_equal(a.frame_offset, b.frame_offset);
	assert_int_equal(a.raw_len, 4 * CHUNK_LEN);
	assert_int_equal(a.len, CHUNK_LEN);
	assert_true(a.stored_len < a.raw_len);
	assert_int_equal(store_find(f.store, &ids[4], &b, NULL), 0);
	assert_true(a.frame_offset != b.frame_offset ||
		    memcmp(&a.pack, &b.pack, sizeof(a.pack)) != 0);
	pack_name(name, &a.pack);
	assert_int_equal(access(fixture_at(&f, "packs", name), F_OK), 0);
	assert_int_equal(store_find(f.store, &unknown, &a, NULL), 1);
}

/* --- damage --------------------------------------------------------------- */

/* Turn a bit in the frame that holds the chunk. */
static void
damage_frame_of(const struct id *id)
{
	char name[PACK_NAME_LEN + 1];
	struct store_place p;

	assert_int_equal(store_find(f.store, id, &p, NULL), 0);
	pack_name(name, &p.pack);
	scratch_flip(fixture_at(&f, "packs", name),
		     p.frame_offset + p.stored_len / 2);
}

static void
a_damaged_frame_costs_its_own_chunks_only(void **state)
{
	char text[ID_TEXT_LEN];
	struct err e = { 0 };
	struct id ids[12];
	unsigned lost = 0;
	unsigned i;

	(void)state;
	fill(0, 12, ids);
	damage_frame_of(&ids[5]);
	reopen(NULL);
	/* Where the frame can be decoded, some of its chunks may be whole. */
	for (i = 4; i < 8; i++) {
		err_clear(&e);
		if (fixture_get(&f, KIND_DATA, i, CHUNK_LEN, &ids[i], &e) == 0)
			continue;
		lost++;
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_non_null(strstr(e.text, "in pack "));
		assert_non_null(strstr(e.text, id_text(text, &ids[i])));
	}
	assert_true(lost >= 1);
	fixture_must_get(&f, KIND_DATA, 0, 4, CHUNK_LEN, ids);
	fixture_must_get(&f, KIND_DATA, 8, 4, CHUNK_LEN, &ids[8]);
}

/* Random bytes do not compress, so no decompressor notices. */
static void
a_bit_that_turns_in_a_raw_frame_is_found_by_the_id(void **state)
{
	uint8_t bytes[2][500];
	struct id ids[2];
	struct chunk c = { 0 };
	struct err e = { 0 };
	char names[1][256];
	unsigned i;
	unsigned j;

	(void)state;
	fixture_open(&f, NULL);
	fixture_open_writer(&f, NULL);
	for (i = 0; i < 2; i++) {
		for (j = 0; j < 500; j += 20)
			hash_plain(&(unsigned){ i * 500 + j }, sizeof(j),
				   &bytes[i][j], 20);
		MUST(chunk_put(writer_sink(f.writer), KIND_DATA, bytes[i], 500,
			       &ids[i], &e),
		     &e);
	}
	MUST(writer_flush(f.writer, &e), &e);
	assert_int_equal(fixture_packs(&f, names, 1), 1);
	scratch_flip(fixture_at(&f, "packs", names[0]), 128 + 500 + 250);
	reopen(NULL);
	MUST(chunk_get(store_reader(f.store), KIND_DATA, &ids[0], &c, &e), &e);
	assert_memory_equal(c.data, bytes[0], 500);
	chunk_release(store_reader(f.store), &c);
	for (i = 0; i < 2; i++) /* also when the frame is decoded already */
		assert_get_fails(KIND_DATA, &ids[1], ERR_CORRUPT,
				 "do not match its id");
}

static void
a_node_is_not_taken_for_data(void **state)
{
	struct id ids[2];

	(void)state;
	fixture_open(&f, NULL);
	fixture_open_writer(&f, &small);
	fixture_fill(&f, KIND_TREE, 0, 2, 100, ids);
	assert_get_fails(KIND_DATA, &ids[0], ERR_CORRUPT, "of kind tree");
	fixture_must_get(&f, KIND_TREE, 0, 2, 100, ids);
}

/*
 * The same chunk in two packs, as two backups at once can leave it: the
 * second is written while the first is condemned.
 */
static void
store_twice(struct id *id)
{
	char names[1][256];
	struct buf b = { 0 };
	unsigned char hash[16];
	struct pack_id pack;

	fill(1, 1, id);
	assert_int_equal(fixture_packs(&f, names, 1), 1);
	assert_true(pack_name_parse(names[0], &pack));
	wr_bytes(&b, "asofcond", 8);
	wr_u32(&b, 1);
	wr_u32(&b, 1);
	wr_bytes(&b, pack.b, sizeof(pack.b));
	hash_plain(b.data, b.len, hash, sizeof(hash));
	wr_bytes(&b, hash, sizeof(hash));
	scratch_write(fixture_at(&f, "condemned", "1"), b.data, b.len);
	buf_clear(&b);
	fill(1, 1, id);
	assert_int_equal(fixture_packs(&f, names, 1), 2);
}

static void
of_two_copies_one_may_be_condemned(void **state)
{
	struct id id;

	(void)state;
	store_twice(&id);
	reopen(NULL);
	assert_int_equal(store_has(f.store, &id, NULL), 1);
}

static void
a_condemned_pack_counts_as_absent_but_can_be_read(void **state)
{
	char names[2][256];
	struct store_place p;
	struct id id;
	char live[PACK_NAME_LEN + 1] = "";
	unsigned i;

	(void)state;
	store_twice(&id);
	/* Take the live copy away: the one that is not in the list. */
	assert_int_equal(fixture_packs(&f, names, 2), 2);
	for (i = 0; i < 2; i++) {
		struct pack_id pack;

		assert_true(pack_name_parse(names[i], &pack));
		if (!session_condemned(f.session, &pack))
			pack_name(live, &pack);
	}
	assert_int_equal(unlink(fixture_at(&f, "packs", live)), 0);
	reopen(NULL);
	assert_int_equal(store_gone_packs(f.store), 1);
	assert_int_equal(store_has(f.store, &id, NULL), 0);
	assert_int_equal(store_find(f.store, &id, &p, NULL), 0);
	fixture_must_get(&f, KIND_DATA, 1, 1, CHUNK_LEN, &id);
}

static void
of_two_copies_either_may_be_damaged(void **state)
{
	char names[2][256];
	struct id id;
	unsigned i;

	(void)state;
	store_twice(&id);
	assert_int_equal(fixture_packs(&f, names, 2), 2);
	for (i = 0; i < 2; i++) {
		/* In the frame, right behind the header of 128 bytes. */
		scratch_flip(fixture_at(&f, "packs", names[i]), 300);
		reopen(NULL);
		fixture_must_get(&f, KIND_DATA, 1, 1, CHUNK_LEN, &id);
		scratch_flip(fixture_at(&f, "packs", names[i]), 300);
	}
	for (i = 0; i < 2; i++)
		scratch_flip(fixture_at(&f, "packs", names[i]), 300);
	reopen(NULL);
	assert_get_fails(KIND_DATA, &id, ERR_CORRUPT, "in pack ");
}

/* Note the frame that holds the chunk, as a check would. */
static void
note_frame_of(const struct id *id)
{
	struct damage_note n = { .count = 0 };
	struct err e = { 0 };
	struct store_place p;

	assert_int_equal(store_find(f.store, id, &p, NULL), 0);
	n.pack = p.pack;
	MUST(damage_note_add(&n, p.frame_offset, &e), &e);
	MUST(damage_put(f.repository, &n, &e), &e);
	damage_note_clear(&n);
	MUST(store_refresh(f.store, &e), &e);
}

static void
what_is_noted_as_damaged_is_stored_again(void **state)
{
	struct id ids[12];
	struct id again;
	struct err e = { 0 };
	bool fresh;

	(void)state;
	fill(0, 12, ids);
	assert_int_equal(store_misses(f.store, NULL), 0);
	damage_frame_of(&ids[5]);
	note_frame_of(&ids[5]);
	assert_int_equal(store_has(f.store, &ids[5], NULL), 0);
	assert_int_equal(store_has(f.store, &ids[11], NULL), 1);
	assert_int_equal(store_misses(f.store, NULL), 1);
	/* Frames are of four chunks. */
	fixture_open_writer(&f, &small);
	for (unsigned i = 0; i < 12; i++) {
		MUST(fixture_put(&f, KIND_DATA, i, CHUNK_LEN, &again, &fresh,
				 &e),
		     &e);
		assert_int_equal(fresh, i >= 4 && i < 8);
	}
	MUST(writer_flush(f.writer, &e), &e);
	assert_int_equal(store_has(f.store, &ids[5], NULL), 1);
	assert_int_equal(store_misses(f.store, NULL), 0);
	fixture_must_get(&f, KIND_DATA, 0, 12, CHUNK_LEN, ids);
	reopen(NULL);
	fixture_must_get(&f, KIND_DATA, 0, 12, CHUNK_LEN, ids);
}

/* Nothing is wrong with the frame. */
static void
a_wrong_note_costs_nothing_to_readers(void **state)
{
	struct id ids[12];

	(void)state;
	fill(0, 12, ids);
	note_frame_of(&ids[5]);
	assert_int_equal(store_has(f.store, &ids[5], NULL), 0);
	fixture_must_get(&f, KIND_DATA, 0, 12, CHUNK_LEN, ids);
	reopen(NULL);
	fixture_must_get(&f, KIND_DATA, 0, 12, CHUNK_LEN, ids);
}

/* Trees and tables are asked for in other ways. */
static void
only_what_files_hold_is_missed(void **state)
{
	struct id id;

	(void)state;
	fixture_open(&f, NULL);
	fixture_open_writer(&f, &small);
	fixture_fill(&f, KIND_TREE, 0, 1, 100, &id);
	note_frame_of(&id);
	assert_int_equal(store_has(f.store, &id, NULL), 0);
	assert_int_equal(store_misses(f.store, NULL), 0);
}

static void
a_noted_copy_is_read_last(void **state)
{
	struct store_counters n;
	struct store_place first;
	struct store_place p;
	struct id id;

	(void)state;
	store_twice(&id);
	reopen(NULL);
	assert_int_equal(store_find(f.store, &id, &first, NULL), 0);
	note_frame_of(&id);
	assert_int_equal(store_find(f.store, &id, &p, NULL), 0);
	assert_memory_not_equal(&first.pack, &p.pack, sizeof(p.pack));
	fixture_must_get(&f, KIND_DATA, 1, 1, CHUNK_LEN, &id);
	store_counters(f.store, &n);
	assert_int_equal(n.frames_decoded, 1);
	/* Both noted: the first again. */
	note_frame_of(&id);
	assert_int_equal(store_find(f.store, &id, &p, NULL), 0);
	fixture_must_get(&f, KIND_DATA, 1, 1, CHUNK_LEN, &id);
}

static void
of_two_copies_either_may_be_gone(void **state)
{
	char names[2][256];
	struct id id;
	unsigned i;

	(void)state;
	store_twice(&id);
	assert_int_equal(fixture_packs(&f, names, 2), 2);
	for (i = 0; i < 2; i++) {
		const char *from = fixture_at(&f, "packs", names[i]);
		const char *away = scratch_at(&f.scratch, "away");

		/* Under the eyes of a store that knows it. */
		reopen(NULL);
		assert_int_equal(rename(from, away), 0);
		fixture_must_get(&f, KIND_DATA, 1, 1, CHUNK_LEN, &id);
		assert_int_equal(rename(away, from), 0);
	}
}

static void
a_pack_without_a_valid_footer_is_counted_and_skipped(void **state)
{
	char names[64][256];
	struct id ids[12];
	struct store_place p;
	char name[PACK_NAME_LEN + 1];
	const char *path;
	size_t n;
	unsigned i;
	unsigned lost = 0;
	struct err e = { 0 };

	(void)state;
	fill(0, 12, ids);
	n = fixture_packs(&f, names, 64);
	assert_true(n >= 2);
	assert_int_equal(store_find(f.store, &ids[0], &p, NULL), 0);
	pack_name(name, &p.pack);
	path = fixture_at(&f, "packs", name);
	assert_int_equal(truncate(path, scratch_size(path) - 1), 0);
	/* One that nobody knows yet, for the index need not open known ones. */
	scratch_write(
		fixture_at(&f, "packs", "00000000000000000000000000000001"),
		"asofpack", 8);
	scratch_write(fixture_at(&f, "packs", "README"), "hello", 5);
	scratch_write(fixture_at(&f, "packs", ".tmp-1"), "hello", 5);
	reopen(NULL);
	assert_true(store_bad_packs(f.store) >= 1);
	for (i = 0; i < 12; i++) {
		err_clear(&e);
		if (fixture_get(&f, KIND_DATA, i, CHUNK_LEN, &ids[i], &e) == 0)
			continue;
		assert_true(e.kind == ERR_CORRUPT || e.kind == ERR_MISSING);
		lost++;
	}
	assert_true(lost >= 4 && lost <= 8);
}

/* --- packs that come and go ----------------------------------------------- */

/* Another process: its own repository handle, session, store and writer. */
static void
store_elsewhere(unsigned first, unsigned count, struct id *ids)
{
	struct fixture other = { .scratch = f.scratch };

	fixture_open(&other, NULL);
	fixture_open_writer(&other, &small);
	fixture_fill(&other, KIND_DATA, first, count, CHUNK_LEN, ids);
	fixture_close(&other);
}

/* Until the mtime of packs/ says that nothing can have come since. */
static void
settle(void)
{
	struct timespec pause = { 0, 150000000 };

	(void)nanosleep(&pause, NULL);
}

static void
what_another_process_stores_is_found_at_once(void **state)
{
	struct id unknown = unknown_id(1);
	struct id ids[3];
	unsigned i;

	(void)state;
	reopen(NULL);
	for (i = 0; i < 3; i++) {
		/* A look that found nothing must not stand in the way. */
		settle();
		assert_get_fails(KIND_DATA, &unknown, ERR_MISSING, "");
		store_elsewhere(i, 1, &ids[i]);
		fixture_must_get(&f, KIND_DATA, i, 1, CHUNK_LEN, &ids[i]);
	}
}

static void
a_refresh_learns_of_new_packs(void **state)
{
	struct id ids[2];
	struct err e = { 0 };

	(void)state;
	reopen(NULL);
	store_elsewhere(0, 2, ids);
	assert_int_equal(store_has(f.store, &ids[0], &e), 0);
	MUST(store_refresh(f.store, &e), &e);
	assert_int_equal(store_has(f.store, &ids[0], &e), 1);
}

static void
a_pack_that_is_gone_counts_no_more(void **state)
{
	char names[1][256];
	struct id ids[2];
	struct err e = { 0 };

	(void)state;
	fill(0, 2, ids);
	fixture_must_get(&f, KIND_DATA, 0, 2, CHUNK_LEN, ids);
	assert_int_equal(store_has(f.store, &ids[0], &e), 1);
	assert_int_equal(fixture_packs(&f, names, 1), 1);
	assert_int_equal(unlink(fixture_at(&f, "packs", names[0])), 0);
	MUST(store_refresh(f.store, &e), &e);
	assert_int_equal(store_gone_packs(f.store), 1);
	assert_int_equal(store_has(f.store, &ids[0], &e), 0);
	reopen(NULL);
	assert_get_fails(KIND_DATA, &ids[0], ERR_MISSING, "not in any pack");
}

static void
many_missing_chunks_do_not_list_the_packs_each_time(void **state)
{
	struct id ids[4];
	unsigned i;

	(void)state;
	fill(0, 4, ids);
	settle();
	failing_plan(FAIL_LIST, 0, false, 0);
	for (i = 0; i < 300; i++) {
		struct id id = unknown_id(i);

		assert_get_fails(KIND_DATA, &id, ERR_MISSING, "");
	}
	/* A listing takes two calls: at first, and then once a second. */
	assert_true(failing_calls() >= 2);
	assert_true(failing_calls() <= 100);
	failing_off();
}

/* --- the cache is never truth --------------------------------------------- */

static int
spoil(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	off_t at;

	(void)flag;
	(void)ftw;
	if (S_ISREG(st->st_mode))
		for (at = 0; at < st->st_size; at += 97)
			scratch_flip(path, at);
	return 0;
}

static int
cut(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)flag;
	(void)ftw;
	return S_ISREG(st->st_mode) ? truncate(path, st->st_size / 2) : 0;
}

static void
the_cache_may_be_deleted_damaged_or_stale(void **state)
{
	static int (*const how[])(const char *, const struct stat *, int,
				  struct FTW *) = { scratch_remove_one, spoil,
						    cut };
	struct id ids[40];
	size_t i;

	(void)state;
	fill(0, 20, ids);
	for (i = 0; i < N_OF(how); i++) {
		fixture_close(&f);
		assert_int_equal(nftw(scratch_at(&f.scratch, "cache"), how[i],
				      16, FTW_DEPTH | FTW_PHYS),
				 0);
		fixture_open(&f, NULL);
		fixture_must_get(&f, KIND_DATA, 0, 20, CHUNK_LEN, ids);
	}
	/* Stale: a copy from before the last backup. */
	fixture_close(&f);
	assert_int_equal(rename(scratch_at(&f.scratch, "cache"),
				scratch_at(&f.scratch, "old")),
			 0);
	fill(20, 20, &ids[20]);
	fixture_close(&f);
	assert_int_equal(nftw(scratch_at(&f.scratch, "cache"),
			      scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS),
			 0);
	assert_int_equal(rename(scratch_at(&f.scratch, "old"),
				scratch_at(&f.scratch, "cache")),
			 0);
	fixture_open(&f, NULL);
	fixture_must_get(&f, KIND_DATA, 0, 40, CHUNK_LEN, ids);
}

/* Spoiled under the eyes of a store that has it open. */
static void
an_index_damaged_in_use_is_made_again(void **state)
{
	struct store_options tiny = { 1, 1, 1 };
	static struct id ids[400];

	(void)state;
	fill(0, 400, ids);
	reopen(&tiny);
	fixture_must_get(&f, KIND_DATA, 0, 1, CHUNK_LEN, ids);
	assert_int_equal(nftw(scratch_at(&f.scratch, "cache"), spoil, 16,
			      FTW_DEPTH | FTW_PHYS),
			 0);
	fixture_must_get(&f, KIND_DATA, 0, 400, CHUNK_LEN, ids);
}

/* --- several threads ----------------------------------------------------- */

#define THREADS       8
#define SHARED_CHUNKS 200

static struct id shared_ids[SHARED_CHUNKS];

static void *
get_shared(void *arg)
{
	uint32_t x = *(unsigned *)arg * 7919 + 1;
	struct err e = { 0 };
	unsigned i;

	for (i = 0; i < 1000; i++) {
		x = x * 1664525 + 1013904223;
		unsigned n = (x >> 10) % SHARED_CHUNKS;

		if (fixture_get(&f, KIND_DATA, n, CHUNK_LEN, &shared_ids[n],
				&e) < 0)
			return NULL;
		if (i % 16 == 0 && store_has(f.store, &shared_ids[n], &e) != 1)
			return NULL;
		if (i % 300 == 0 && store_refresh(f.store, &e) < 0)
			return NULL;
	}
	return arg;
}

static void *
get_each(void *arg)
{
	struct err e = { 0 };
	unsigned i;

	for (i = 0; i < SHARED_CHUNKS; i++)
		if (fixture_get(&f, KIND_DATA, i, CHUNK_LEN, &shared_ids[i],
				&e) < 0)
			return NULL;
	return arg;
}

static void
run_threads(void *(*fn)(void *))
{
	static unsigned numbers[THREADS];
	pthread_t t[THREADS];
	void *result;
	unsigned i;

	for (i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&t[i], NULL, fn, &numbers[i]),
				 0);
	}
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], &result), 0);
		assert_non_null(result);
	}
}

static void
threads_read_right_bytes_through_tiny_caches(void **state)
{
	struct store_options tiny = { 6000, 30000, 2 };

	(void)state;
	fill(0, SHARED_CHUNKS, shared_ids);
	reopen(&tiny);
	run_threads(get_shared);
}

static void
threads_that_want_one_frame_decode_it_once(void **state)
{
	struct store_counters c;

	(void)state;
	fill(0, SHARED_CHUNKS, shared_ids);
	run_threads(get_each);
	c = counters();
	assert_int_equal(c.gets, THREADS * SHARED_CHUNKS);
	assert_int_equal(c.frames_decoded, SHARED_CHUNKS / 4);
	assert_int_equal(c.blocks_loaded, fixture_packs(&f, NULL, 0));
}

/* --- whatever fails ------------------------------------------------------- */

static struct id some_ids[16];
static const struct store_options tiny_caches = { 1, 1, 1 };

/* Right bytes or an error, whatever the plan that is in force fails. */
static void
get_some(void)
{
	struct err e = { 0 };
	unsigned i;

	for (i = 0; i < N_OF(some_ids); i++) {
		err_clear(&e);
		if (fixture_get(&f, KIND_DATA, i, CHUNK_LEN, &some_ids[i], &e) <
		    0)
			assert_true(e.text[0] != '\0' && e.kind != ERR_NONE);
	}
}

static void
get_all_some(void)
{
	fixture_must_get(&f, KIND_DATA, 0, N_OF(some_ids), CHUNK_LEN, some_ids);
}

/* Opening and reading with a plan in force. */
static bool
open_and_read_with_failure(void)
{
	struct err e = { 0 };
	unsigned hits;
	int rc;

	rc = fixture_try_open(&f, &tiny_caches, &e);
	assert_true(rc == 0 || e.text[0] != '\0');
	if (rc == 0)
		get_some();
	hits = failing_hits();
	failing_off();
	reopen(&tiny_caches);
	get_all_some();
	fixture_close(&f);
	return hits > 0;
}

static void
any_call_may_fail_while_opening_and_reading(void **state)
{
	unsigned n;

	(void)state;
	fill(0, N_OF(some_ids), some_ids);
	fixture_close(&f);
	for (n = 1;; n++) {
		failing_plan(FAIL_ALL, n, n % 2 == 0, EIO);
		if (!open_and_read_with_failure())
			break;
	}
	assert_true(n > 20);
}

static void
any_allocation_may_fail_while_opening_and_reading(void **state)
{
	unsigned n;

	(void)state;
	fill(0, N_OF(some_ids), some_ids);
	fixture_close(&f);
	for (n = 1;; n++) {
		failing_plan_alloc(n, n % 2 == 0);
		if (!open_and_read_with_failure())
			break;
	}
	assert_true(n > 20);
}

/* Nothing that fails once stays failed in a store that is open. */
static void
what_fails_once_is_read_the_next_time(void **state)
{
	unsigned n;

	(void)state;
	fill(0, N_OF(some_ids), some_ids);
	reopen(&tiny_caches);
	for (n = 1;; n++) {
		failing_plan(FAIL_ALL, n, false, EIO);
		get_some();
		if (failing_hits() == 0)
			break;
		failing_off();
		get_all_some();
	}
	assert_true(n > 10);
	for (n = 1;; n++) {
		failing_plan_alloc(n, false);
		get_some();
		if (failing_hits() == 0)
			break;
		failing_off();
		get_all_some();
	}
	failing_off();
	assert_true(n > 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(chunks_are_read_back_after_reopening),
		TEST(a_chunk_nobody_stored_is_missing),
		TEST(neighbours_are_decoded_and_looked_up_once),
		TEST(a_frame_may_reach_over_several_blocks),
		TEST(a_chunk_stays_while_it_is_held),
		TEST(few_descriptors_are_enough),
		TEST(find_says_where),
		TEST(a_damaged_frame_costs_its_own_chunks_only),
		TEST(a_bit_that_turns_in_a_raw_frame_is_found_by_the_id),
		TEST(a_node_is_not_taken_for_data),
		TEST(of_two_copies_one_may_be_condemned),
		TEST(a_condemned_pack_counts_as_absent_but_can_be_read),
		TEST(of_two_copies_either_may_be_damaged),
		TEST(what_is_noted_as_damaged_is_stored_again),
		TEST(a_wrong_note_costs_nothing_to_readers),
		TEST(only_what_files_hold_is_missed),
		TEST(a_noted_copy_is_read_last),
		TEST(of_two_copies_either_may_be_gone),
		TEST(a_pack_without_a_valid_footer_is_counted_and_skipped),
		TEST(what_another_process_stores_is_found_at_once),
		TEST(a_refresh_learns_of_new_packs),
		TEST(a_pack_that_is_gone_counts_no_more),
		TEST(many_missing_chunks_do_not_list_the_packs_each_time),
		TEST(the_cache_may_be_deleted_damaged_or_stale),
		TEST(an_index_damaged_in_use_is_made_again),
		TEST(threads_read_right_bytes_through_tiny_caches),
		TEST(threads_that_want_one_frame_decode_it_once),
		TEST(any_call_may_fail_while_opening_and_reading),
		TEST(any_allocation_may_fail_while_opening_and_reading),
		TEST(what_fails_once_is_read_the_next_time),
	};

	/* A deadlock must not become a test that never ends. */
	(void)alarm(300);
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
