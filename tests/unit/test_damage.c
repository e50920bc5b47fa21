#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/damage.h"

#include "base/buf.h"
#include "base/mem.h"
#include "store/repository.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/scratch.h"
#include "tests/lib/store_fixture.h"

#include <stdatomic.h>

static struct fixture f;

static const struct pack_id pack_a = { { 0xa0, 1, 2, 3 } };
static const struct pack_id pack_b = { { 0xb0, 1, 2, 3 } };
static const struct pack_id pack_c = { { 0xc0, 1, 2, 3 } };

static int
set_up(void **state)
{
	struct err e = { 0 };

	(void)state;
	fixture_begin(&f);
	MUST(repository_open(scratch_at(&f.scratch, "r"), &f.repository, &e),
	     &e);
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
add(struct damage_note *n, uint32_t offset)
{
	struct err e = { 0 };

	MUST(damage_note_add(n, offset, &e), &e);
}

static void
put(const struct damage_note *n)
{
	struct err e = { 0 };

	MUST(damage_put(f.repository, n, &e), &e);
}

/* A note of one frame. */
static void
put_frame(const struct pack_id *pack, uint32_t offset)
{
	struct damage_note n = { .pack = *pack };

	add(&n, offset);
	put(&n);
	damage_note_clear(&n);
}

static void
put_nothing(const struct pack_id *pack)
{
	const struct damage_note none = { .pack = *pack };

	put(&none);
}

static const char *
note_of(const struct pack_id *pack)
{
	char name[PACK_NAME_LEN + 1];

	pack_name(name, pack);
	return fixture_at(&f, "damaged", name);
}

static void
write_note(const struct pack_id *pack, const void *p, size_t len)
{
	int fd = open(note_of(pack), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), len);
	assert_int_equal(close(fd), 0);
}

static struct damage *
must_new(void)
{
	struct damage *d = NULL;
	struct err e = { 0 };

	MUST(damage_new(f.repository, &d, &e), &e);
	MUST(damage_refresh(d, &e), &e);
	return d;
}

static void
refresh(struct damage *d)
{
	struct err e = { 0 };

	MUST(damage_refresh(d, &e), &e);
}

static size_t
count_files(void)
{
	return scratch_count(fixture_at(&f, "damaged", ""), NULL, 0);
}

/* --- one note ------------------------------------------------------------- */

static void
encode(const struct damage_note *n, struct buf *out)
{
	struct err e = { 0 };

	MUST(damage_encode(n, out, &e), &e);
}

static void
frames_are_noted_in_order_and_once(void **state)
{
	static const uint32_t order[] = { 500, 128, 900, 500, 129, 128, 901 };
	static const uint32_t want[] = { 128, 129, 500, 900, 901 };
	struct damage_note n = { .pack = pack_a };
	struct damage_note m = { .count = 0 };
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		add(&n, order[i]);
	assert_int_equal(n.count, 5);
	assert_memory_equal(n.at, want, sizeof(want));
	encode(&n, &b);
	MUST(damage_decode(b.data, b.len, &pack_a, &m, &e), &e);
	assert_false(m.whole);
	assert_int_equal(m.count, 5);
	assert_memory_equal(m.at, want, sizeof(want));
	damage_note_clear(&n);
	damage_note_clear(&m);
	buf_clear(&b);
}

static void
too_many_frames_are_all_of_the_pack(void **state)
{
	struct damage_note n = { .pack = pack_a };
	struct damage_note m = { .count = 0 };
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	for (uint32_t i = 0; i < DAMAGE_FRAMES_MAX; i++)
		add(&n, 128 + i);
	encode(&n, &b);
	MUST(damage_decode(b.data, b.len, &pack_a, &m, &e), &e);
	assert_int_equal(m.count, DAMAGE_FRAMES_MAX);
	damage_note_clear(&m);
	add(&n, 128);
	assert_false(n.whole);
	add(&n, 128 + DAMAGE_FRAMES_MAX);
	assert_true(n.whole);
	assert_int_equal(n.count, 0);
	add(&n, 5);
	assert_int_equal(n.count, 0);
	buf_reset(&b);
	encode(&n, &b);
	MUST(damage_decode(b.data, b.len, &pack_a, &m, &e), &e);
	assert_true(m.whole);
	damage_note_clear(&n);
	buf_clear(&b);
}

static void
every_wrong_byte_of_a_note_is_noticed(void **state)
{
	struct damage_note n = { .pack = pack_a };
	struct damage_note m = { .count = 0 };
	struct buf b = { 0 };

	(void)state;
	add(&n, 128);
	add(&n, 70000);
	encode(&n, &b);
	for (size_t i = 0; i < b.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct err e = { 0 };

			b.data[i] ^= (uint8_t)(1u << bit);
			assert_int_equal(
				damage_decode(b.data, b.len, &pack_a, &m, &e),
				-1);
			assert_int_equal(e.kind, ERR_CORRUPT);
			b.data[i] ^= (uint8_t)(1u << bit);
		}
	}
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(damage_decode(b.data, len, &pack_a, &m, NULL),
				 -1);
	assert_int_equal(damage_decode(b.data, b.len, &pack_b, &m, NULL), -1);
	assert_null(m.at);
	damage_note_clear(&n);
	buf_clear(&b);
}

/* Right by its checksum, and wrong all the same. */
static void
a_note_that_makes_no_sense_is_corrupt(void **state)
{
	static const struct {
		const char *what;
		bool whole;
		size_t count;
		uint32_t at[2];
	} bad[] = {
		{ "nothing", false, 0, { 0 } },
		{ "all, and a frame", true, 1, { 128 } },
		{ "falling", false, 2, { 200, 100 } },
		{ "twice", false, 2, { 200, 200 } },
		{ "beyond any pack", false, 1, { PACK_LEN_MAX } },
	};
	struct damage_note m = { .count = 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint32_t at[2] = { bad[i].at[0], bad[i].at[1] };
		const struct damage_note n = { .pack = pack_a,
					       .whole = bad[i].whole,
					       .at = at,
					       .count = bad[i].count };
		struct err e = { 0 };
		struct buf b = { 0 };

		encode(&n, &b);
		if (damage_decode(b.data, b.len, &pack_a, &m, &e) == 0)
			fail_msg("taken: %s", bad[i].what);
		assert_int_equal(e.kind, ERR_CORRUPT);
		buf_clear(&b);
	}
}

/* --- the set -------------------------------------------------------------- */

static void
without_a_directory_nothing_is_suspect(void **state)
{
	struct damage *d = must_new();
	struct damage_pack *packs;
	size_t count;

	(void)state;
	assert_false(damage_suspect(d, &pack_a, 128));
	assert_false(damage_noted(d, &pack_a));
	assert_int_equal(damage_references(d, NULL), 0);
	assert_int_equal(damage_packs(d, &packs, &count, NULL), 0);
	assert_int_equal(count, 0);
	mem_free(packs);
	put_nothing(&pack_a);
	assert_int_equal(access(fixture_at(&f, "damaged", ""), F_OK), -1);
	damage_free(d);
	damage_free(NULL);
}

static void
what_is_noted_is_known_after_a_refresh(void **state)
{
	struct damage *d = must_new();
	struct damage_pack *packs;
	size_t count;

	(void)state;
	put_frame(&pack_b, 128);
	assert_false(damage_suspect(d, &pack_b, 128));
	refresh(d);
	assert_true(damage_suspect(d, &pack_b, 128));
	assert_true(damage_found(d, &pack_b, 128));
	assert_false(damage_suspect(d, &pack_b, 129));
	assert_false(damage_suspect(d, &pack_a, 128));
	put_frame(&pack_a, 500);
	put_frame(&pack_b, 600);
	refresh(d);
	assert_true(damage_suspect(d, &pack_a, 500));
	assert_true(damage_suspect(d, &pack_b, 600));
	assert_false(damage_suspect(d, &pack_b, 128));
	assert_int_equal(damage_packs(d, &packs, &count, NULL), 0);
	assert_int_equal(count, 2);
	assert_memory_equal(&packs[0].id, &pack_a, sizeof(pack_a));
	assert_memory_equal(&packs[1].id, &pack_b, sizeof(pack_b));
	mem_free(packs);
	put_nothing(&pack_a);
	put_nothing(&pack_b);
	refresh(d);
	assert_false(damage_noted(d, &pack_a));
	assert_int_equal(count_files(), 0);
	damage_free(d);
}

static void
a_note_of_the_whole_pack_is_of_every_frame(void **state)
{
	const struct damage_note all = { .pack = pack_a, .whole = true };
	struct damage *d;

	(void)state;
	put(&all);
	d = must_new();
	assert_true(damage_suspect(d, &pack_a, 128));
	assert_true(damage_suspect(d, &pack_a, 77777));
	assert_false(damage_found(d, &pack_a, 128));
	assert_false(damage_suspect(d, &pack_b, 128));
	damage_free(d);
}

static void
a_note_that_cannot_be_read_makes_its_pack_suspect(void **state)
{
	struct damage_pack *packs;
	struct damage *d;
	size_t count;

	(void)state;
	put_frame(&pack_a, 128);
	put_frame(&pack_b, 128);
	write_note(&pack_b, "garbage", 7);
	assert_int_equal(symlink(note_of(&pack_a), note_of(&pack_c)), 0);
	d = must_new();
	assert_false(damage_suspect(d, &pack_a, 129));
	assert_true(damage_suspect(d, &pack_b, 129));
	assert_true(damage_suspect(d, &pack_c, 129));
	assert_int_equal(damage_references(d, NULL), 0);
	assert_int_equal(damage_packs(d, &packs, &count, NULL), 0);
	assert_int_equal(count, 3);
	assert_false(packs[0].unread);
	assert_true(packs[1].unread);
	assert_true(packs[2].unread);
	mem_free(packs);
	put_frame(&pack_b, 500);
	put_nothing(&pack_c);
	refresh(d);
	assert_false(damage_suspect(d, &pack_b, 129));
	assert_true(damage_suspect(d, &pack_b, 500));
	assert_false(damage_suspect(d, &pack_c, 129));
	damage_free(d);
}

static void
a_note_of_a_newer_program_stays(void **state)
{
	const struct damage_note none = { .pack = pack_a };
	struct err e = { 0 };
	char before[200];
	char after[200];
	size_t n;
	struct damage *d;

	(void)state;
	put_frame(&pack_a, 128);
	n = scratch_read(note_of(&pack_a), before, sizeof(before));
	before[8] = 2;
	hash_plain(before, n - 16, before + n - 16, 16);
	write_note(&pack_a, before, n);
	d = must_new();
	assert_true(damage_suspect(d, &pack_a, 129));
	assert_int_equal(damage_put(f.repository, &none, &e), -1);
	assert_int_equal(e.kind, ERR_UNSUPPORTED);
	assert_int_equal(scratch_read(note_of(&pack_a), after, sizeof(after)),
			 n);
	assert_memory_equal(before, after, n);
	damage_free(d);
}

static void
where_names_cannot_be_listed_there_are_no_new_references(void **state)
{
	struct damage *d = must_new();
	struct err e = { 0 };
	int fd = open(fixture_at(&f, "", "damaged"), O_WRONLY | O_CREAT, 0600);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	refresh(d);
	assert_int_equal(damage_references(d, &e), -1);
	assert_non_null(strstr(e.text, "damaged"));
	assert_false(damage_suspect(d, &pack_a, 128));
	assert_int_equal(unlink(fixture_at(&f, "", "damaged")), 0);
	refresh(d);
	assert_int_equal(damage_references(d, NULL), 0);
	damage_free(d);
}

static void
other_names_are_nobodys_business(void **state)
{
	struct damage *d;
	int fd;

	(void)state;
	put_frame(&pack_a, 128);
	fd = open(fixture_at(&f, "damaged", ".tmp-x"), O_WRONLY | O_CREAT,
		  0600);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	d = must_new();
	assert_int_equal(damage_references(d, NULL), 0);
	assert_true(damage_suspect(d, &pack_a, 128));
	damage_free(d);
}

/* --- failing -------------------------------------------------------------- */

static atomic_int allocations;

static bool
must_fail(size_t size)
{
	(void)size;
	return atomic_fetch_sub(&allocations, 1) <= 0;
}

static void
any_allocation_may_fail(void **state)
{
	struct damage *d = NULL;
	struct err e = { 0 };
	int rc = -1;

	(void)state;
	put_frame(&pack_a, 128);
	put_frame(&pack_b, 128);
	for (int n = 0; rc < 0; n++) {
		allocations = n;
		mem_fail(must_fail);
		err_clear(&e);
		rc = damage_new(f.repository, &d, &e);
		if (rc == 0)
			rc = damage_refresh(d, &e);
		mem_fail(NULL);
		if (rc < 0) {
			assert_int_equal(e.kind, ERR_NOMEM);
			damage_free(d);
			d = NULL;
		}
	}
	assert_true(damage_suspect(d, &pack_a, 128));
	assert_true(damage_suspect(d, &pack_b, 128));
	damage_free(d);
}

static void
a_repository_that_cannot_be_written_gets_no_note(void **state)
{
	struct damage_note n = { .pack = pack_a };
	struct err e = { 0 };

	(void)state;
	add(&n, 128);
	f.repository->read_only = true;
	assert_int_equal(damage_put(f.repository, &n, &e), -1);
	assert_int_equal(access(fixture_at(&f, "damaged", ""), F_OK), -1);
	f.repository->read_only = false;
	damage_note_clear(&n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_noted_in_order_and_once),
		cmocka_unit_test(too_many_frames_are_all_of_the_pack),
		cmocka_unit_test(every_wrong_byte_of_a_note_is_noticed),
		cmocka_unit_test(a_note_that_makes_no_sense_is_corrupt),
		cmocka_unit_test_setup_teardown(
			without_a_directory_nothing_is_suspect, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_noted_is_known_after_a_refresh, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_note_of_the_whole_pack_is_of_every_frame, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_note_that_cannot_be_read_makes_its_pack_suspect,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_note_of_a_newer_program_stays,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			where_names_cannot_be_listed_there_are_no_new_references,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			other_names_are_nobodys_business, set_up, tear_down),
		cmocka_unit_test_setup_teardown(any_allocation_may_fail, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_repository_that_cannot_be_written_gets_no_note,
			set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
