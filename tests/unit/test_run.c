#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/run.h"

#include "base/err.h"
#include "store/segment.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/rng.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static int dirfd_;
static struct rng rng;

static int
set_up(void **state)
{
	(void)state;
	scratch_begin(&scratch);
	failing_install();
	rng.state = 20261121;
	dirfd_ = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dirfd_ >= 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	assert_int_equal(close(dirfd_), 0);
	failing_remove();
	scratch_end(&scratch);
	return 0;
}

static int
try_write(const char *name, const struct run_entry *v, size_t n, uint64_t max,
	  struct err *e)
{
	struct run_writer *w = NULL;
	size_t i;
	int rc = run_writer_new(dirfd_, name, max, &w, e);

	for (i = 0; rc == 0 && i < n; i++)
		rc = run_writer_add(w, &v[i], e);
	if (rc == 0)
		rc = run_writer_finish(w, e);
	run_writer_free(w);
	return rc;
}

static void
must_write(const char *name, const struct run_entry *v, size_t n)
{
	struct err e = { 0 };

	if (try_write(name, v, n, n, &e) < 0)
		fail_msg("%s", e.text);
}

static struct run *
must_open(const char *name)
{
	struct run *r = NULL;
	struct err e = { 0 };

	if (run_open(dirfd_, name, &r, &e) != 0)
		fail_msg("%s", e.text);
	return r;
}

static struct run_entry *
random_entries(size_t n)
{
	struct run_entry *v = calloc(n + 1, sizeof(*v));
	size_t i;

	assert_non_null(v);
	for (i = 0; i < n; i++)
		v[i] = (struct run_entry){ rng_next(&rng),
					   (uint32_t)rng_below(&rng, 100),
					   (uint32_t)rng_below(&rng, 100) };
	segment_sort(v, n);
	return v;
}

/*
 * Every `step`th entry is found, and the cursor gives them all.  -1 with the
 * error when the run says that it is damaged; a wrong answer fails the test.
 */
static int
check_some(const char *name, const struct run_entry *v, size_t n, size_t step,
	   struct err *e)
{
	struct run_cursor c = { 0 };
	struct run_entry en;
	struct run *r = NULL;
	size_t i;
	int rc = run_open(dirfd_, name, &r, e);

	if (rc != 0)
		return rc;
	assert_int_equal(run_entries(r), n);
	for (i = 0; rc >= 0 && i < n; i += step) {
		rc = run_find(r, v[i].key, &en, 1, e);
		if (rc >= 0) {
			assert_int_equal(rc, 1);
			assert_true(en.key == v[i].key);
		}
		if (rc >= 0 && (i == 0 || v[i - 1].key != v[i].key))
			assert_memory_equal(&en, &v[i], sizeof(en));
	}
	if (rc >= 0)
		rc = run_cursor_init(&c, r, e);
	for (i = 0; rc >= 0 && i <= n; i++) {
		rc = run_cursor_next(&c, &en, e);
		if (rc < 0)
			break;
		assert_int_equal(rc, i < n);
		if (rc == 1)
			assert_memory_equal(&en, &v[i], sizeof(en));
	}
	run_cursor_clear(&c);
	run_close(r);
	return rc < 0 ? -1 : 0;
}

static int
check_run(const char *name, const struct run_entry *v, size_t n,
	  struct err *e)
{
	return check_some(name, v, n, 1, e);
}

static void
a_run_finds_all_its_entries(void **state)
{
	static const size_t sizes[] = { 0,   1,	  2,	254,   255,  256,
					509, 510, 511, 12000, 70000 };
	size_t i, k;

	(void)state;
	for (i = 0; i < N_OF(sizes); i++) {
		struct run_entry *v = random_entries(sizes[i]), en;
		struct err e = { 0 };
		struct run *r;

		must_write("r", v, sizes[i]);
		if (check_run("r", v, sizes[i], &e) != 0)
			fail_msg("%zu entries: %s", sizes[i], e.text);
		r = must_open("r");
		for (k = 0; k < 20000; k++)
			assert_int_equal(
				run_find(r, rng_next(&rng), &en, 1, &e), 0);
		run_close(r);
		assert_int_equal(unlink(scratch_at(&scratch, "r")), 0);
		free(v);
	}
}

static void
the_first_and_the_last_key_are_keys_like_others(void **state)
{
	static const struct run_entry v[] = {
		{ 0, 0, 0 },
		{ 0, 1, 7 },
		{ 1, 0, 0 },
		{ UINT64_MAX - 1, 5, 5 },
		{ UINT64_MAX, 9, 1 },
		{ UINT64_MAX, UINT32_MAX, UINT32_MAX },
	};
	struct run_entry out[8];
	struct err e = { 0 };
	struct run *r;

	(void)state;
	must_write("r", v, N_OF(v));
	assert_int_equal(check_run("r", v, N_OF(v), &e), 0);
	r = must_open("r");
	assert_int_equal(run_find(r, 0, out, 8, &e), 2);
	assert_memory_equal(out, &v[0], 2 * sizeof(*out));
	assert_int_equal(run_find(r, UINT64_MAX, out, 8, &e), 2);
	assert_memory_equal(out, &v[4], 2 * sizeof(*out));
	run_close(r);
}

static void
equal_keys_are_found_across_pages(void **state)
{
	/* 200 smaller, 700 of one key, 200 greater: four pages. */
	struct run_entry v[1100], out[800];
	struct err e = { 0 };
	struct run *r;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(v); i++) {
		v[i].key = i < 200 ? i : i < 900 ? 5000 : 10000 + i;
		v[i].pack = (uint32_t)(i / 10);
		v[i].slot = (uint32_t)i;
	}
	must_write("r", v, N_OF(v));
	r = must_open("r");
	assert_int_equal(run_find(r, 5000, out, 800, &e), 700);
	assert_memory_equal(out, v + 200, 700 * sizeof(*out));
	assert_int_equal(run_find(r, 5000, out, 60, &e), 60);
	assert_memory_equal(out, v + 200, 60 * sizeof(*out));
	assert_int_equal(run_find(r, 199, out, 800, &e), 1);
	assert_int_equal(run_find(r, 10900, out, 800, &e), 1);
	run_close(r);
	assert_int_equal(check_run("r", v, N_OF(v), &e), 0);
}

static void
a_key_that_begins_a_page_is_found_before_it_too(void **state)
{
	/* Small keys, so that page 0 is guessed; and evenly spread ones. */
	static const uint64_t steps[] = { 1, UINT64_MAX / 400 };
	/* Entry 255 begins the second page with the key that ends the first. */
	struct run_entry v[400], out[4];
	size_t i, k;

	(void)state;
	for (k = 0; k < N_OF(steps); k++) {
		struct err e = { 0 };
		struct run *r;

		for (i = 0; i < N_OF(v); i++)
			v[i] = (struct run_entry){
				(i == 255 ? 254 : i) * steps[k], 1, (uint32_t)i
			};
		must_write("r", v, N_OF(v));
		r = must_open("r");
		assert_int_equal(run_find(r, 254 * steps[k], out, 4, &e), 2);
		assert_memory_equal(out, v + 254, 2 * sizeof(*out));
		run_close(r);
		assert_int_equal(unlink(scratch_at(&scratch, "r")), 0);
	}
}

static void
keys_need_not_be_spread_evenly(void **state)
{
	enum { N = 20000 };
	struct run_entry *v = calloc(N, sizeof(*v)), en;
	static const char *const what[] = { "all low", "all high",
					    "half and half", "rising gaps" };
	struct err e = { 0 };
	struct run *r;
	size_t shape, i;

	(void)state;
	assert_non_null(v);
	for (shape = 0; shape < N_OF(what); shape++) {
		for (i = 0; i < N; i++) {
			uint64_t low = 2 * i + 2, high = UINT64_MAX - 2 * (N - i);

			v[i].key = shape == 0 ? low :
				   shape == 1 ? high :
				   shape == 2 ? (i < N / 2 ? low : high) :
						low * low * low;
			v[i].slot = (uint32_t)i;
		}
		must_write("r", v, N);
		if (check_run("r", v, N, &e) != 0)
			fail_msg("%s: %s", what[shape], e.text);
		r = must_open("r");
		for (i = 0; i < N; i++)
			assert_int_equal(
				run_find(r, v[i].key + 1, &en, 1, &e), 0);
		run_close(r);
		assert_int_equal(unlink(scratch_at(&scratch, "r")), 0);
	}
	free(v);
}

static void
an_entry_that_comes_twice_is_kept_once(void **state)
{
	static const struct run_entry v[] = { { 3, 1, 1 }, { 3, 1, 1 },
					      { 3, 1, 2 }, { 3, 1, 2 } };
	struct run_entry out[4];
	struct run *r;

	(void)state;
	must_write("r", v, N_OF(v));
	r = must_open("r");
	assert_int_equal(run_entries(r), 2);
	assert_int_equal(run_find(r, 3, out, 4, NULL), 2);
	run_close(r);
}

static void
a_writer_refuses_what_would_not_be_a_run(void **state)
{
	static const struct run_entry falling[] = { { 3, 1, 1 }, { 2, 9, 9 } };
	static const struct run_entry packs[] = { { 3, 2, 1 }, { 3, 1, 9 } };
	static const struct run_entry rising[] = { { 3, 1, 1 }, { 4, 1, 1 } };
	char name[100];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(try_write("r", falling, 2, 2, &e), -1);
	assert_int_equal(try_write("r", packs, 2, 2, &e), -1);
	assert_int_equal(try_write("r", rising, 2, 1, &e), -1);
	memset(name, 'r', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(try_write(name, rising, 2, 2, &e), -1);
	assert_int_equal(try_write("r", rising, 2, UINT64_MAX, &e), -1);
	assert_int_equal(scratch_count(scratch.path, NULL, 0), 0);
	assert_int_equal(try_write("r", rising, 2, 2000, &e), 0);
}

static void
misses_seldom_touch_the_file(void **state)
{
	enum { N = 50000, ASKED = 50000 };
	struct run_entry *v = random_entries(N), en;
	struct run *r;
	size_t i;

	(void)state;
	must_write("r", v, N);
	r = must_open("r");
	assert_true(run_memory(r) < N * 13 / 10 + 8192);
	failing_plan(FAIL_READ, 0, false, EIO);
	for (i = 0; i < ASKED; i++)
		assert_int_equal(run_find(r, rng_next(&rng), &en, 1, NULL), 0);
	if (failing_calls() > ASKED * 15 / 1000)
		fail_msg("%u reads for %u misses", failing_calls(), ASKED);
	run_close(r);
	free(v);
}

/* --- damage ------------------------------------------------------------------ */

static void
must_be_corrupt(const struct run_entry *v, size_t n, const char *what,
		size_t at)
{
	struct err e = { 0 };
	int rc = check_run("r", v, n, &e);

	if (rc != -1 || e.kind != ERR_CORRUPT)
		fail_msg("%s %zu: %d %s", what, at, rc, e.text);
}

static void
every_wrong_byte_is_noticed_or_harmless(void **state)
{
	enum { N = 600 };
	struct run_entry *v = random_entries(N);
	const char *path = scratch_at(&scratch, "r");
	size_t at, len, harmless = 0;

	(void)state;
	must_write("r", v, N);
	len = (size_t)scratch_size(path);
	for (at = 0; at < len; at++) {
		struct err e = { 0 };

		scratch_flip(path, (off_t)at);
		if (check_some("r", v, N, 50, &e) == 0)
			harmless++;
		else
			assert_int_equal(e.kind, ERR_CORRUPT);
		scratch_flip(path, (off_t)at);
	}
	/* Between the filter and the first page there is nothing. */
	assert_int_equal(harmless, 4096 - 48 - 64 * (N * 10 / 512 + 1));
	free(v);
}

static void
a_run_cut_anywhere_is_corrupt(void **state)
{
	enum { N = 300 };
	struct run_entry *v = random_entries(N);
	const char *path = scratch_at(&scratch, "r");
	size_t len;

	(void)state;
	must_write("r", v, N);
	for (len = (size_t)scratch_size(path); len-- > 0;) {
		assert_int_equal(truncate(path, (off_t)len), 0);
		must_be_corrupt(v, N, "cut to", len);
	}
	free(v);
}

static void
a_run_under_another_name_is_corrupt(void **state)
{
	struct run_entry *v = random_entries(10);

	(void)state;
	must_write("other", v, 10);
	assert_int_equal(rename(scratch_at(&scratch, "other"),
				scratch_at(&scratch, "r")),
			 0);
	must_be_corrupt(v, 10, "renamed", 0);
	free(v);
}

static void
pages_in_each_others_places_are_noticed(void **state)
{
	enum { N = 600 };
	struct run_entry *v = random_entries(N);
	const char *path = scratch_at(&scratch, "r");
	uint8_t all[32768], page[4096];
	size_t len;

	(void)state;
	must_write("r", v, N);
	len = scratch_read(path, all, sizeof(all));
	memcpy(page, all + 4096, 4096);
	memcpy(all + 4096, all + 8192, 4096);
	memcpy(all + 8192, page, 4096);
	scratch_write(path, all, len);
	must_be_corrupt(v, N, "swapped", 0);
	free(v);
}

static void
a_page_of_an_earlier_run_is_noticed(void **state)
{
	enum { N = 600 };
	struct run_entry *v = random_entries(N), *other = random_entries(N);
	const char *path = scratch_at(&scratch, "r");
	uint8_t before[32768], all[32768];
	size_t len;

	(void)state;
	must_write("r", other, N);
	assert_true(scratch_read(path, before, sizeof(before)) > 8192);
	must_write("r", v, N);
	len = scratch_read(path, all, sizeof(all));
	memcpy(all + 8192, before + 8192, 4096);
	scratch_write(path, all, len);
	must_be_corrupt(v, N, "stale", 0);
	free(other);
	free(v);
}

static void
a_run_that_is_not_there_is_missing(void **state)
{
	struct run *r = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(run_open(dirfd_, "r", &r, &e), 1);
	assert_int_equal(e.kind, ERR_NONE);
}

static void
a_disk_that_cannot_read_makes_a_run_corrupt(void **state)
{
	struct run_entry *v = random_entries(300);
	unsigned nth;

	(void)state;
	must_write("r", v, 300);
	for (nth = 1; nth <= 5; nth++) {
		failing_plan(FAIL_READ, nth, false, EIO);
		must_be_corrupt(v, 300, "read", nth);
		failing_off();
	}
	free(v);
}

static void
any_failing_call_leaves_no_run(void **state)
{
	struct run_entry *v = random_entries(300);
	unsigned nth;

	(void)state;
	for (nth = 1;; nth++) {
		struct err e = { 0 };
		int rc;

		failing_plan(FAIL_ALL, nth, false, ENOSPC);
		rc = try_write("r", v, 300, 300, &e);
		if (failing_hits() == 0) {
			failing_off();
			assert_int_equal(rc, 0);
			break;
		}
		failing_off();
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_SYS);
		/* But after the rename, when only its durability failed. */
		if (check_run("r", v, 300, NULL) == 0)
			assert_int_equal(unlink(scratch_at(&scratch, "r")), 0);
		assert_int_equal(scratch_count(scratch.path, NULL, 0), 0);
	}
	assert_true(nth > 8);
	free(v);
}

static void
any_failing_allocation_is_told(void **state)
{
	struct run_entry *v = random_entries(300);
	unsigned nth;

	(void)state;
	for (nth = 1;; nth++) {
		struct err e = { 0 };
		int rc;

		failing_plan_alloc(nth, false);
		rc = try_write("r", v, 300, 300, &e);
		if (rc == 0)
			rc = check_run("r", v, 300, &e);
		failing_off();
		if (rc == 0)
			break;
		assert_int_equal(e.kind, ERR_NOMEM);
	}
	assert_true(nth > 8);
	free(v);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_run_finds_all_its_entries),
		TEST(the_first_and_the_last_key_are_keys_like_others),
		TEST(equal_keys_are_found_across_pages),
		TEST(a_key_that_begins_a_page_is_found_before_it_too),
		TEST(keys_need_not_be_spread_evenly),
		TEST(an_entry_that_comes_twice_is_kept_once),
		TEST(a_writer_refuses_what_would_not_be_a_run),
		TEST(misses_seldom_touch_the_file),
		TEST(every_wrong_byte_is_noticed_or_harmless),
		TEST(a_run_cut_anywhere_is_corrupt),
		TEST(a_run_under_another_name_is_corrupt),
		TEST(pages_in_each_others_places_are_noticed),
		TEST(a_page_of_an_earlier_run_is_noticed),
		TEST(a_run_that_is_not_there_is_missing),
		TEST(a_disk_that_cannot_read_makes_a_run_corrupt),
		TEST(any_failing_call_leaves_no_run),
		TEST(any_failing_allocation_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
