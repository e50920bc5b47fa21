/*
 * Ranges against a plain bitmap of bytes, and against inputs that were made to
 * hurt: counts that overflow, bytes that are missing, orders that are slow.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/ranges.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/time.h"
#include "src/writer/refuse.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/largest.h"
#include "tests/lib/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The set that a text means, as text; or the sentence. */
static const char *
parsed(const char *text)
{
	static struct buf b;
	struct ranges s = { 0 };
	struct err e = { 0 };

	buf_clear(&b);
	if (ranges_parse(&s, text, strlen(text), &e) < 0) {
		assert_int_equal(refuse_errno(&e), EINVAL);
		assert_null(s.r);
		buf_add_str(&b, e.text);
	} else {
		ranges_print(&s, &b);
	}
	ranges_clear(&s);
	return buf_str(&b);
}

static void
ranges_are_pairs_in_any_order_merged(void **state)
{
	static const struct {
		const char *text, *want;
	} t[] = {
		{ "none", "none" },
		{ "0:1", "0:1" },
		{ "64:448,0x1000:65536", "64:448,4096:65536" },
		{ "10:5, 0:5", "0:5,10:5" },
		{ "10:5, \t 0:5", "0:5,10:5" },
		{ "0:5,5:5", "0:10" },
		{ "5:5,0:5", "0:10" },
		{ "0:5,6:5", "0:5,6:5" },
		{ "0:10,2:3", "0:10" },
		{ "2:3,0:10", "0:10" },
		{ "0:5,3:5,7:5,20:1", "0:12,20:1" },
		{ "0:0", "none" },
		{ "5:0,7:1,9:0", "7:1" },
		{ "18446744073709551615:0", "none" },
		{ "0:18446744073709551615", "0:0xffffffffffffffff" },
		{ "0xfffffffffffffffe:1", "0xfffffffffffffffe:1" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++)
		assert_string_equal(parsed(t[i].text), t[i].want);
}

static void
ranges_that_are_none_of_that_are_refused_with_the_column(void **state)
{
	static const struct {
		const char *text, *want;
	} t[] = {
		{ "", "ranges, column 1: a number is missing" },
		{ "None", "ranges, column 1: not a decimal or 0x hexadecimal "
			  "number of 64 bits" },
		{ "0", "ranges, column 2: a colon is missing" },
		{ "0:", "ranges, column 3: a number is missing" },
		{ ":1", "ranges, column 1: a number is missing" },
		{ "-1:1", "ranges, column 1: a number is missing" },
		{ "+1:1", "ranges, column 1: a number is missing" },
		{ "0:-1", "ranges, column 3: a number is missing" },
		{ "0 :1", "ranges, column 2: a colon is missing" },
		{ "0:1,", "ranges, column 5: a number is missing" },
		{ "0:1,,", "ranges, column 5: a number is missing" },
		{ "0:1 ,2:3", "ranges, column 4: a comma is missing" },
		{ "0:1;2:3", "ranges, column 4: a comma is missing" },
		{ " 0:1", "ranges, column 1: a number is missing" },
		{ "0:1,none", "ranges, column 5: not a decimal or 0x "
			      "hexadecimal number of 64 bits" },
		{ "1:18446744073709551615",
		  "ranges, column 1: its end is beyond 64 bits" },
		{ "0:1, 0xffffffffffffffff:1",
		  "ranges, column 6: its end is beyond 64 bits" },
		{ "18446744073709551616:1",
		  "ranges, column 1: not a decimal or 0x hexadecimal number "
		  "of 64 bits" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++)
		assert_string_equal(parsed(t[i].text), t[i].want);
}

/* --- ranges files ----------------------------------------------------------- */

/* A file of these pairs that says it has `count`. */
static void
make_file(struct buf *b, uint64_t count, const uint64_t *pairs, size_t n)
{
	size_t i;

	buf_reset(b);
	wr_u64(b, count);
	for (i = 0; i < n; i++)
		wr_u64(b, pairs[i]);
}

static void
a_ranges_file_is_a_count_and_pairs_little_endian(void **state)
{
	static const uint8_t file[] = { 2, 0, 0, 0, 0, 0, 0, 0, 0, 1,
					0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
					0, 0, 0, 0, 2, 0, 0, 0, 0, 0,
					0, 0, 4, 0, 0, 0, 0, 0, 0, 0 };
	struct ranges s = { 0 };
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(ranges_parse_file(&s, file, sizeof(file), NULL), 0);
	ranges_print(&s, &b);
	assert_string_equal(buf_str(&b), "2:4,256:1");
	assert_int_equal(ranges_parse_file(&s, "\0\0\0\0\0\0\0\0", 8, NULL), 0);
	assert_int_equal(s.count, 0);
	ranges_clear(&s);
	buf_clear(&b);
}

static void
a_ranges_file_of_another_length_is_refused(void **state)
{
	static const uint64_t pairs[] = { 1, 2, 3, 4 };
	static const struct {
		uint64_t count;
		size_t numbers;
		int cut; /* bytes fewer */
	} t[] = {
		{ 2, 3, 0 },
		{ 2, 2, 0 },
		{ 1, 4, 0 },
		{ 2, 4, 1 },
		{ 3, 4, 0 },
		{ 0, 2, 0 },
		{ UINT64_MAX, 0, 0 },
		/* 16 times these and 8 is the length, in 64 bits. */
		{ UINT64_C(1) << 60, 0, 0 },
		{ (UINT64_C(1) << 60) + 2, 4, 0 },
		{ UINT64_C(0xf000000000000002), 4, 0 },
		{ 0, 0, 1 },
		{ 0, 0, 8 },
	};
	struct ranges s = { 0 };
	struct buf b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		struct err e = { 0 };

		make_file(&b, t[i].count, pairs, t[i].numbers);
		assert_int_equal(ranges_parse_file(&s, b.data,
						   b.len - (size_t)t[i].cut,
						   &e),
				 -1);
		assert_int_equal(refuse_errno(&e), EINVAL);
		assert_null(s.r);
	}
	buf_clear(&b);
}

static void
a_ranges_file_that_shrinks_or_grows_while_it_is_read_is_refused(void **state)
{
	static const uint64_t pairs[] = { 1, 2, 3, 4 };
	struct ranges_file f;
	struct ranges s = { 0 };
	struct err e = { 0 };
	struct buf b = { 0 };

	(void)state;
	make_file(&b, 2, pairs, 4);
	assert_int_equal(ranges_file_begin(&f, &s, b.data, 40, &e), 0);
	assert_int_equal(ranges_file_add(&f, b.data + 8, 20, &e), 0);
	assert_int_equal(ranges_file_end(&f, &e), -1);
	assert_string_equal(e.text, "ranges file: it ends in range 2 of 2");
	err_clear(&e);
	assert_int_equal(ranges_file_begin(&f, &s, b.data, 40, &e), 0);
	assert_int_equal(ranges_file_add(&f, b.data + 8, 32, &e), 0);
	assert_int_equal(ranges_file_add(&f, b.data + 8, 16, &e), -1);
	assert_string_equal(e.text, "ranges file: bytes behind its last range");
	ranges_clear(&s);
	buf_clear(&b);
}

static void
sentences_about_a_ranges_file_quote_none_of_it(void **state)
{
	static const uint64_t pairs[] = { 1, 2, 7777777777, UINT64_MAX };
	struct ranges s = { 0 };
	struct err e = { 0 };
	struct buf b = { 0 };

	(void)state;
	make_file(&b, 2, pairs, 4);
	assert_int_equal(ranges_parse_file(&s, b.data, b.len, &e), -1);
	assert_string_equal(e.text, "ranges file: range 2 ends beyond 64 bits");
	err_clear(&e);
	make_file(&b, 7777777777, pairs, 4);
	assert_int_equal(ranges_parse_file(&s, b.data, b.len, &e), -1);
	assert_null(strstr(e.text, "7777777777"));
	buf_clear(&b);
}

static void
a_count_over_the_limit_is_edquot_before_anything_is_allocated(void **state)
{
	struct ranges_file f;
	struct ranges s = { 0 };
	struct err e = { 0 };
	struct buf b = { 0 };

	(void)state;
	make_file(&b, RANGES_MAX + 1, NULL, 0);
	failing_plan_alloc(1, true);
	assert_int_equal(ranges_file_begin(&f, &s, b.data,
					   8 + 16 * (uint64_t)(RANGES_MAX + 1),
					   &e),
			 -1);
	assert_int_equal(failing_hits(), 0);
	failing_off();
	assert_int_equal(refuse_errno(&e), EDQUOT);
	buf_clear(&b);
}

static void
a_file_may_come_in_pieces_of_any_size(void **state)
{
	static const uint64_t pairs[] = { 9, 1, 5, 2, 0, 3, 100, 0 };
	struct ranges s = { 0 };
	struct buf b = { 0 };
	struct buf text = { 0 };
	struct ranges_file f;
	size_t piece;
	size_t at;

	(void)state;
	make_file(&b, 4, pairs, 8);
	for (piece = 1; piece <= b.len; piece++) {
		assert_int_equal(ranges_file_begin(&f, &s, b.data, b.len, NULL),
				 0);
		for (at = 8; at < b.len; at += piece)
			assert_int_equal(ranges_file_add(&f, b.data + at,
							 b.len - at < piece
								 ? b.len - at
								 : piece,
							 NULL),
					 0);
		assert_int_equal(ranges_file_end(&f, NULL), 0);
		buf_reset(&text);
		ranges_print(&s, &text);
		assert_string_equal(buf_str(&text), "0:3,5:2,9:1");
	}
	ranges_clear(&s);
	buf_clear(&b);
	buf_clear(&text);
}

/* --- against a bitmap ------------------------------------------------------- */

#define SPACE 300

static void
check_set(const struct ranges *s, const bool bytes[SPACE])
{
	uint64_t total = 0;
	uint64_t end = 0;
	size_t i;

	for (i = 0; i < SPACE; i++) {
		size_t at = ranges_find(s, i);

		total += bytes[i];
		end = bytes[i] ? i + 1 : end;
		assert_int_equal(ranges_hold(s, i, 1), bytes[i]);
		assert_true(at == s->count || s->r[at].off + s->r[at].len > i);
		assert_true(at == 0 ||
			    s->r[at - 1].off + s->r[at - 1].len <= i);
	}
	for (i = 0; i < s->count; i++) {
		assert_true(s->r[i].len > 0);
		assert_true(i == 0 ||
			    s->r[i].off > s->r[i - 1].off + s->r[i - 1].len);
	}
	assert_true(ranges_total(s) == total);
	assert_true(ranges_end(s) == end);
}

/* Random ranges into a set, and into the bitmap. */
static void
fill(struct rng *r, struct ranges *s, bool bytes[SPACE])
{
	size_t n = rng_below(r, 40);
	size_t i;

	for (i = 0; i < n; i++) {
		uint64_t off = rng_below(r, SPACE - 20);
		uint64_t len = rng_below(r, 12);

		assert_int_equal(ranges_push(s, off, len, NULL), 0);
		memset(bytes + off, true, len);
	}
	ranges_settle(s);
}

static void
a_set_holds_the_bytes_that_were_named_and_no_others(void **state)
{
	struct rng r = { 21 };
	size_t round;
	size_t i;

	(void)state;
	for (round = 0; round < 1500; round++) {
		struct ranges a = { 0 };
		struct ranges b = { 0 };
		bool in_a[SPACE] = { false };
		bool in_b[SPACE] = { false };
		uint64_t size = rng_below(&r, SPACE);
		bool within = true;

		fill(&r, &a, in_a);
		fill(&r, &b, in_b);
		check_set(&a, in_a);
		for (i = 0; i < SPACE; i++)
			within = within && (in_b[i] || !in_a[i]);
		assert_int_equal(ranges_within(&a, &b), within);
		assert_int_equal(ranges_union(&b, &a, NULL), 0);
		for (i = 0; i < SPACE; i++)
			in_b[i] = in_b[i] || in_a[i];
		check_set(&b, in_b);
		assert_true(ranges_within(&a, &b));
		ranges_clip(&b, size);
		memset(in_b + size, false, SPACE - size);
		check_set(&b, in_b);
		ranges_clear(&a);
		ranges_clear(&b);
	}
}

static void
a_set_is_asked_about_more_than_one_byte(void **state)
{
	struct ranges s = { 0 };

	(void)state;
	assert_int_equal(ranges_parse(&s, "5:10,20:5", 9, NULL), 0);
	assert_true(ranges_hold(&s, 5, 10));
	assert_true(ranges_hold(&s, 7, 8));
	assert_false(ranges_hold(&s, 7, 9));
	assert_false(ranges_hold(&s, 4, 2));
	assert_false(ranges_hold(&s, 5, 20));
	assert_false(ranges_hold(&s, 5, UINT64_MAX));
	assert_true(ranges_hold(&s, 99, 0));
	assert_false(ranges_hold(&s, 25, 1));
	ranges_clear(&s);
}

static void
numbers_at_the_end_of_64_bits_are_like_others(void **state)
{
	struct ranges s = { 0 };
	struct ranges t = { 0 };

	(void)state;
	assert_int_equal(ranges_push(&s, UINT64_MAX, 1, NULL), -1);
	assert_int_equal(ranges_push(&s, UINT64_MAX - 1, 1, NULL), 0);
	assert_int_equal(ranges_push(&s, 0, UINT64_MAX - 1, NULL), 0);
	ranges_settle(&s);
	assert_int_equal(s.count, 1);
	assert_true(ranges_total(&s) == UINT64_MAX);
	assert_true(ranges_hold(&s, 0, UINT64_MAX));
	assert_int_equal(ranges_parse(&t, "0:0xffffffffffffffff", 20, NULL), 0);
	assert_true(ranges_within(&s, &t) && ranges_within(&t, &s));
	ranges_clip(&s, 1);
	assert_true(ranges_total(&s) == 1);
	ranges_clear(&s);
	ranges_clear(&t);
}

static void
what_is_printed_is_the_same_set_and_no_longer(void **state)
{
	struct rng r = { 77 };
	struct buf text = { 0 };
	struct buf again = { 0 };
	struct buf file = { 0 };
	size_t round;
	size_t i;

	(void)state;
	for (round = 0; round < 2000; round++) {
		struct ranges s = { 0 };
		struct ranges t = { 0 };
		size_t n = rng_below(&r, 6);

		for (i = 0; i < n; i++)
			(void)ranges_push(&s, rng_next(&r) >> rng_below(&r, 64),
					  rng_next(&r) >> rng_below(&r, 64),
					  NULL);
		ranges_settle(&s);
		buf_reset(&text);
		buf_reset(&again);
		buf_reset(&file);
		ranges_print(&s, &text);
		assert_int_equal(
			ranges_parse(&t, buf_str(&text), text.len, NULL), 0);
		ranges_print(&t, &again);
		assert_string_equal(buf_str(&text), buf_str(&again));
		ranges_print_file(&s, &file);
		assert_int_equal(
			ranges_parse_file(&t, file.data, file.len, NULL), 0);
		assert_int_equal(t.count, s.count);
		assert_true(s.count == 0 ||
			    memcmp(s.r, t.r, s.count * sizeof(*s.r)) == 0);
		ranges_clear(&s);
		ranges_clear(&t);
	}
	buf_clear(&text);
	buf_clear(&again);
	buf_clear(&file);
}

/* --- what it costs ---------------------------------------------------------- */

static uint64_t
offset_of(unsigned order, uint64_t i, uint64_t n, struct rng *r)
{
	switch (order) {
	case 0:
		return 2 * i;
	case 1:
		return 2 * (n - i);
	case 2:
		return 2 * (i % 2 == 0 ? i : n - i);
	case 3: /* one bucket of 50 after the other, on every level */
		return (i % 50) | (i / 50 % 256) << 56 | (i / 50 / 256) << 8;
	case 4:
		return 0;
	case 5: /* all the same but for the lowest byte */
		return UINT64_C(0x7777777777777700) | (i * 7 % 256);
	default:
		return rng_next(r) >> 1;
	}
}

static void
any_order_costs_about_the_same_and_16_bytes_a_range(void **state)
{
	const uint64_t n = getenv("TEST_QUICK") == NULL ? 300000 : 20000;
	struct rng r = { 99 };
	struct buf file = { 0 };
	unsigned order;
	uint64_t i;

	(void)state;
	for (order = 0; order < 7; order++) {
		struct ranges s = { 0 };
		clock_t start;

		buf_reset(&file);
		wr_u64(&file, n);
		for (i = 0; i < n; i++) {
			wr_u64(&file, offset_of(order, i, n, &r));
			wr_u64(&file, 1);
		}
		largest_begin();
		start = clock();
		assert_int_equal(
			ranges_parse_file(&s, file.data, file.len, NULL), 0);
		mem_fail(NULL);
		/* Quadratic would be some 20 s of CPU, and more. */
		assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
		assert_int_equal(largest_size, 16 * n);
		for (i = 1; i < s.count; i++)
			assert_true(s.r[i].off >
				    s.r[i - 1].off + s.r[i - 1].len);
		ranges_clear(&s);
	}
	buf_clear(&file);
}

static void
many_unions_of_one_range_are_pushed(void **state)
{
	struct ranges s = { 0 };
	uint64_t i;

	(void)state;
	for (i = 0; i < 200000; i++)
		assert_int_equal(
			ranges_push(&s, (i * 7919 % 200000) * 2, 1, NULL), 0);
	ranges_settle(&s);
	assert_int_equal(s.count, 200000);
	ranges_clear(&s);
}

static void
without_memory_the_set_stays_as_it_was(void **state)
{
	struct ranges s = { 0 };
	struct ranges t = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(ranges_parse(&s, "1:1", 3, NULL), 0);
	assert_int_equal(ranges_parse(&t, "5:1,7:1", 7, NULL), 0);
	failing_plan_alloc(1, true);
	assert_int_equal(ranges_union(&s, &t, &e), -1);
	assert_int_equal(refuse_errno(&e), ENOMEM);
	assert_int_equal(s.count, 1);
	assert_int_equal(ranges_parse(&t, "1:1", 3, NULL), -1);
	assert_int_equal(t.count, 0);
	failing_off();
	ranges_clear(&s);
	ranges_clear(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_pairs_in_any_order_merged),
		cmocka_unit_test(
			ranges_that_are_none_of_that_are_refused_with_the_column),
		cmocka_unit_test(
			a_ranges_file_is_a_count_and_pairs_little_endian),
		cmocka_unit_test(a_ranges_file_of_another_length_is_refused),
		cmocka_unit_test(
			a_ranges_file_that_shrinks_or_grows_while_it_is_read_is_refused),
		cmocka_unit_test(
			sentences_about_a_ranges_file_quote_none_of_it),
		cmocka_unit_test(
			a_count_over_the_limit_is_edquot_before_anything_is_allocated),
		cmocka_unit_test(a_file_may_come_in_pieces_of_any_size),
		cmocka_unit_test(
			a_set_holds_the_bytes_that_were_named_and_no_others),
		cmocka_unit_test(a_set_is_asked_about_more_than_one_byte),
		cmocka_unit_test(numbers_at_the_end_of_64_bits_are_like_others),
		cmocka_unit_test(what_is_printed_is_the_same_set_and_no_longer),
		cmocka_unit_test(
			any_order_costs_about_the_same_and_16_bytes_a_range),
		cmocka_unit_test(many_unions_of_one_range_are_pushed),
		cmocka_unit_test(without_memory_the_set_stays_as_it_was),
	};

	return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
