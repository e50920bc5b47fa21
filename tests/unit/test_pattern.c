#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/pattern.h"

#include "tests/lib/cmocka_all.h"

#include <stdbool.h>

#define SECOND UINT64_C(1000000000)
#define KIB    ((uint64_t)1024)
#define MIB    (KIB * 1024)

static struct pattern *p;

static int
set_up(void **state)
{
	(void)state;
	return pattern_new(&p, NULL);
}

static int
tear_down(void **state)
{
	(void)state;
	pattern_free(p);
	p = NULL;
	return 0;
}

static struct guess
file(uint64_t dir, uint64_t ordinal)
{
	return pattern_read_small(p, 7, dir, ordinal, SECOND);
}

/* --- small files ---------------------------------------------------------- */

static void
the_third_file_in_order_makes_a_guess(void **state)
{
	struct guess g;

	(void)state;
	assert_int_equal(file(10, 11).kind, GUESS_NONE);
	assert_int_equal(file(10, 12).kind, GUESS_NONE);
	g = file(10, 15);
	assert_int_equal(g.kind, GUESS_FILES);
	assert_int_equal(g.generation, 7);
	assert_int_equal(g.dir, 10);
	assert_int_equal(g.after, 15);
	assert_int_equal(g.bytes, PATTERN_WINDOW_MIN);
}

static void
no_order_makes_no_guess(void **state)
{
	static const uint64_t ordinals[] = { 20, 12, 19, 11, 18, 13, 12, 17 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(ordinals) / sizeof(ordinals[0]); i++)
		assert_int_equal(file(10, ordinals[i]).kind, GUESS_NONE);
}

static void
one_guess_at_a_time_for_a_directory(void **state)
{
	struct guess g;

	(void)state;
	(void)file(10, 11);
	(void)file(10, 12);
	g = file(10, 13);
	assert_int_equal(g.kind, GUESS_FILES);
	/* What races with the pushing. */
	assert_int_equal(file(10, 14).kind, GUESS_NONE);
	assert_int_equal(file(10, 15).kind, GUESS_NONE);
	pattern_pushed(p, &g, 40);
	assert_int_equal(file(10, 30).kind, GUESS_NONE);
	/* All that was pushed is used: go on, with twice as much. */
	g = file(10, 41);
	assert_int_equal(g.kind, GUESS_FILES);
	assert_int_equal(g.after, 41);
	assert_int_equal(g.bytes, 2 * PATTERN_WINDOW_MIN);
}

static void
what_is_read_once_more_is_guessed_once_more(void **state)
{
	struct guess g;

	(void)state;
	(void)file(10, 11);
	(void)file(10, 12);
	g = file(10, 13);
	pattern_pushed(p, &g, 40);
	/* In no order: no. */
	assert_int_equal(file(10, 30).kind, GUESS_NONE);
	assert_int_equal(file(10, 20).kind, GUESS_NONE);
	assert_int_equal(file(10, 11).kind, GUESS_NONE);
	assert_int_equal(file(10, 12).kind, GUESS_NONE);
	g = file(10, 13);
	assert_int_equal(g.kind, GUESS_FILES);
	assert_int_equal(g.after, 13);
	assert_int_equal(g.bytes, PATTERN_WINDOW_MIN);
	pattern_pushed(p, &g, 40);
	g = file(10, 41);
	assert_int_equal(g.kind, GUESS_FILES);
	assert_int_equal(g.bytes, 2 * PATTERN_WINDOW_MIN);
}

static void
the_window_has_an_end(void **state)
{
	uint64_t at = 13;
	struct guess g = { .bytes = 0 };
	int i;

	(void)state;
	(void)file(10, 11);
	(void)file(10, 12);
	for (i = 0; i < 20; i++) {
		g = file(10, at);
		assert_int_equal(g.kind, GUESS_FILES);
		pattern_pushed(p, &g, at + 5);
		at += 6;
	}
	assert_int_equal(g.bytes, PATTERN_WINDOW_MAX);
}

static void
in_a_hot_generation_a_listing_is_enough(void **state)
{
	struct guess g;

	(void)state;
	assert_int_equal(pattern_listed(p, 7, 50, SECOND).kind, GUESS_NONE);
	(void)file(10, 11);
	(void)file(10, 12);
	(void)file(10, 13);
	g = pattern_listed(p, 7, 50, SECOND);
	assert_int_equal(g.kind, GUESS_FILES);
	assert_int_equal(g.dir, 50);
	assert_int_equal(g.after, 0);
	/* Not twice, */
	assert_int_equal(pattern_listed(p, 7, 50, SECOND).kind, GUESS_NONE);
	pattern_pushed(p, &g, 60);
	assert_int_equal(pattern_listed(p, 7, 50, SECOND).kind, GUESS_NONE);
	/* not in others, not for long. */
	assert_int_equal(pattern_listed(p, 8, 50, SECOND).kind, GUESS_NONE);
	assert_int_equal(pattern_listed(p, 7, 90, 3 * SECOND).kind, GUESS_NONE);
}

static void
far_apart_it_is_chance(void **state)
{
	uint64_t at;

	(void)state;
	for (at = 100; at < 100000; at += 997)
		assert_int_equal(file(10, at).kind, GUESS_NONE);
}

/* --- large files ---------------------------------------------------------- */

static void
the_second_read_in_a_row_makes_a_guess(void **state)
{
	struct guess g;

	(void)state;
	g = pattern_read_large(p, 5, 100 * MIB, 0, 128 * KIB);
	assert_int_equal(g.kind, GUESS_NONE);
	g = pattern_read_large(p, 5, 100 * MIB, 128 * KIB, 128 * KIB);
	assert_int_equal(g.kind, GUESS_BYTES);
	assert_int_equal(g.ino, 5);
	assert_int_equal(g.from, 256 * KIB);
	assert_int_equal(g.to, 256 * KIB + PATTERN_WINDOW_MIN);
	/* Read-ahead of the kernel's own, into what is being pushed. */
	g = pattern_read_large(p, 5, 100 * MIB, 256 * KIB, 128 * KIB);
	assert_int_equal(g.kind, GUESS_NONE);
	/* Behind it all. */
	g = pattern_read_large(p, 5, 100 * MIB, 256 * KIB + PATTERN_WINDOW_MIN,
			       128 * KIB);
	assert_int_equal(g.kind, GUESS_BYTES);
	assert_int_equal(g.from, 384 * KIB + PATTERN_WINDOW_MIN);
	assert_int_equal(g.to - g.from, 2 * PATTERN_WINDOW_MIN);
}

static void
a_reader_that_catches_up_is_kept_a_window_ahead_of(void **state)
{
	const uint64_t size = 100 * MIB;
	uint64_t ahead = 0;
	uint64_t at;

	(void)state;
	/* Each read lies in what was guessed, or right behind it. */
	for (at = 0; at < size; at += 128 * KIB) {
		struct guess g =
			pattern_read_large(p, 5, size, at, 128 * KIB);

		if (g.kind == GUESS_NONE)
			continue;
		/* Nothing twice, nothing left out, never too far. */
		assert_true(g.from == ahead || ahead == 0);
		assert_true(g.from >= at + 128 * KIB);
		assert_true(g.to > g.from);
		assert_true(g.to <= at + 128 * KIB + PATTERN_WINDOW_MAX);
		ahead = g.to;
		if (at > 32 * MIB && at < 80 * MIB)
			assert_true(ahead - at > PATTERN_WINDOW_MAX / 2);
	}
	assert_int_equal(ahead, size);
}

static void
reads_here_and_there_make_no_guess(void **state)
{
	uint64_t at = 0;
	int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		struct guess g = pattern_read_large(p, 5, 1000 * MIB, at,
						    4 * KIB);

		assert_int_equal(g.kind, GUESS_NONE);
		at = (at + 377 * MIB + 13 * 4 * KIB) % (1000 * MIB);
	}
}

static void
short_reads_that_are_near_make_no_guess(void **state)
{
	uint64_t at = 50 * MIB;
	int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		struct guess g = pattern_read_large(p, 5, 100 * MIB, at,
						    4 * KIB);

		assert_int_equal(g.kind, GUESS_NONE);
		at += i % 2 == 0 ? 300 * KIB : -(uint64_t)(180 * KIB);
	}
}

static void
nothing_is_guessed_behind_the_end(void **state)
{
	struct guess g;

	(void)state;
	(void)pattern_read_large(p, 5, 300 * KIB, 0, 128 * KIB);
	g = pattern_read_large(p, 5, 300 * KIB, 128 * KIB, 128 * KIB);
	assert_int_equal(g.kind, GUESS_BYTES);
	assert_int_equal(g.to, 300 * KIB);
	g = pattern_read_large(p, 5, 300 * KIB, 256 * KIB, 44 * KIB);
	assert_int_equal(g.kind, GUESS_NONE);
}

static void
what_is_guessed_begins_at_a_page(void **state)
{
	struct guess g;

	(void)state;
	(void)pattern_read_large(p, 5, 100 * MIB, 100, 5000);
	g = pattern_read_large(p, 5, 100 * MIB, 5100, 5000);
	assert_int_equal(g.kind, GUESS_BYTES);
	assert_int_equal(g.from % 4096, 0);
	assert_true(g.from <= 10100);
}

static void
several_streams_are_kept_apart(void **state)
{
	uint64_t i, at;

	(void)state;
	for (at = 0; at < 2; at++)
		for (i = 1; i <= 8; i++) {
			struct guess g = pattern_read_large(
				p, i, 100 * MIB, at * 128 * KIB, 128 * KIB);

			assert_int_equal(g.kind,
					 at == 0 ? GUESS_NONE : GUESS_BYTES);
		}
}

/* --- pieces --------------------------------------------------------------- */

static void
a_piece_is_guessed_when_it_is_read_again(void **state)
{
	struct guess g;

	(void)state;
	g = pattern_read_piece(p, 5, 10 * MIB, MIB + 100, 256 * KIB);
	assert_int_equal(g.kind, GUESS_NONE);
	g = pattern_read_piece(p, 5, 10 * MIB, 9 * MIB, 256 * KIB);
	assert_int_equal(g.kind, GUESS_NONE);
	g = pattern_read_piece(p, 6, 10 * MIB, MIB + 100, 256 * KIB);
	assert_int_equal(g.kind, GUESS_NONE);
	g = pattern_read_piece(p, 5, 10 * MIB, MIB + 100, 256 * KIB);
	assert_int_equal(g.kind, GUESS_BYTES);
	assert_int_equal(g.ino, 5);
	assert_int_equal(g.from, MIB + 4096);
	assert_int_equal(g.to, MIB + 256 * KIB);
	/* Not with each read from then on. */
	g = pattern_read_piece(p, 5, 10 * MIB, MIB + 100, 256 * KIB);
	assert_int_equal(g.kind, GUESS_NONE);
	/* Where the file ends, to its end. */
	(void)pattern_read_piece(p, 5, 5 * MIB + 7, 5 * MIB - 100, 107);
	g = pattern_read_piece(p, 5, 5 * MIB + 7, 5 * MIB - 100, 107);
	assert_int_equal(g.from, 5 * MIB);
	assert_int_equal(g.to, 5 * MIB + 7);
}

static void
of_a_huge_file_read_at_random_little_is_guessed(void **state)
{
	const uint64_t pieces = 1000000;
	uint64_t at = 12345;
	unsigned guessed = 0;
	int i;

	(void)state;
	for (i = 0; i < 200000; i++) {
		at = at * UINT64_C(6364136223846793005) + 1;
		if (pattern_read_piece(p, 5, pieces * 256 * KIB,
				       (at >> 33) % pieces * 256 * KIB,
				       256 * KIB)
			    .kind != GUESS_NONE)
			guessed++;
	}
	assert_in_range(guessed, 0, 200000 / 20);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_third_file_in_order_makes_a_guess),
		TEST(no_order_makes_no_guess),
		TEST(one_guess_at_a_time_for_a_directory),
		TEST(what_is_read_once_more_is_guessed_once_more),
		TEST(the_window_has_an_end),
		TEST(in_a_hot_generation_a_listing_is_enough),
		TEST(far_apart_it_is_chance),
		TEST(short_reads_that_are_near_make_no_guess),
		TEST(the_second_read_in_a_row_makes_a_guess),
		TEST(a_reader_that_catches_up_is_kept_a_window_ahead_of),
		TEST(reads_here_and_there_make_no_guess),
		TEST(nothing_is_guessed_behind_the_end),
		TEST(what_is_guessed_begins_at_a_page),
		TEST(several_streams_are_kept_apart),
		TEST(a_piece_is_guessed_when_it_is_read_again),
		TEST(of_a_huge_file_read_at_random_little_is_guessed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
