#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/split.h"

#include "tests/lib/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

/* The generator of the tests: the same numbers everywhere. */
static uint32_t
next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 16);
}

static void
split_says_nothing_before_it_has_seen_enough(void **state)
{
	uint32_t h[SPLIT_MAX + 1] = { 0 };

	(void)state;
	for (size_t n = 1; n <= SPLIT_MAX; n++)
		assert_int_equal(split_cut(h, n, false), 0);
	assert_int_not_equal(split_cut(h, SPLIT_MAX + 1, false), 0);
}

static void
split_makes_one_node_of_the_rest(void **state)
{
	uint32_t h[SPLIT_MAX] = { 0 };

	(void)state;
	for (size_t n = 1; n <= SPLIT_MAX; n++)
		assert_int_equal(split_cut(h, n, true), n);
}

/* Where the smallest hash is, what is beside it, and where the cut is. */
static const struct row {
	const char *name;
	size_t small[3]; /* places with the smallest hash; 0: none */
	size_t cut;
} rows[] = {
	{ "the first place allowed", { 64 }, 64 },
	{ "the last place allowed", { 192 }, 192 },
	{ "one in the middle", { 100 }, 100 },
	{ "one too early does not count", { 63, 150 }, 150 },
	{ "one too late does not count", { 193, 150 }, 150 },
	{ "the earliest of equals", { 190, 70, 120 }, 70 },
	{ "all equal", { 0 }, 64 },
};

static void
split_cuts_before_the_smallest_hash(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint32_t h[300];

		memset(h, 0xff, sizeof(h));
		for (size_t k = 0; k < N_OF(rows[i].small); k++)
			if (rows[i].small[k] != 0)
				h[rows[i].small[k]] = 5;
		for (int last = 0; last < 2; last++)
			if (split_cut(h, N_OF(h), last != 0) != rows[i].cut)
				fail_msg("%s", rows[i].name);
	}
}

static void
split_needs_no_more_than_the_first_193_hashes(void **state)
{
	uint64_t s = 88172645463325252;

	(void)state;
	for (int round = 0; round < 500; round++) {
		uint32_t *few = calloc(SPLIT_MAX + 1, sizeof(*few));
		uint32_t many[400];
		size_t cut;

		assert_non_null(few);
		for (size_t i = 0; i < N_OF(many); i++)
			many[i] = next(&s) % 1000;
		memcpy(few, many, (SPLIT_MAX + 1) * sizeof(*few));
		cut = split_cut(few, SPLIT_MAX + 1, false);
		assert_in_range(cut, SPLIT_MIN, SPLIT_MAX);
		assert_int_equal(split_cut(many, N_OF(many), true), cut);
		assert_int_equal(split_cut(many, N_OF(many), false), cut);
		free(few);
	}
}

/* All cuts of a sequence, as positions from its start. */
static size_t
cut_all(const uint32_t *h, size_t n, size_t *cuts)
{
	size_t at = 0;
	size_t k = 0;

	while (at < n) {
		at += split_cut(h + at, n - at, true);
		cuts[k++] = at;
	}
	return k;
}

static void
split_finds_the_same_places_again_after_a_change(void **state)
{
	enum {
		N = 20000,
		AT = 7000
	};
	static uint32_t before[N];
	static uint32_t after[N + 1];
	static size_t a[N];
	static size_t b[N];
	uint64_t s = 4101842887655102017;
	size_t na;
	size_t nb;
	size_t same = 0;

	(void)state;
	for (size_t i = 0; i < N; i++)
		before[i] = next(&s);
	memcpy(after, before, AT * sizeof(*after));
	after[AT] = next(&s);
	memcpy(after + AT + 1, before + AT, (N - AT) * sizeof(*after));
	na = cut_all(before, N, a);
	nb = cut_all(after, N + 1, b);
	while (same < na && same < nb &&
	       a[na - 1 - same] + 1 == b[nb - 1 - same])
		same++;
	/* From the end, everything down to near the change. */
	assert_true(a[na - 1 - same] < AT + 10 * SPLIT_MAX);
	for (size_t i = 0; a[i] < AT - SPLIT_MAX; i++)
		assert_int_equal(a[i], b[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_says_nothing_before_it_has_seen_enough),
		cmocka_unit_test(split_makes_one_node_of_the_rest),
		cmocka_unit_test(split_cuts_before_the_smallest_hash),
		cmocka_unit_test(split_needs_no_more_than_the_first_193_hashes),
		cmocka_unit_test(
			split_finds_the_same_places_again_after_a_change),
	};

	return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
