#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/wildcard.h"

#include "tests/lib/cmocka_all.h"
#include "tests/lib/rng.h"
#include "tests/lib/words.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

static void
a_pattern_is_about_one_name_and_quotes_three_bytes(void **state)
{
	static const char backslash[] =
		"a backslash in a pattern that is not before ?, * or another "
		"backslash";
	static const struct words_fault t[] = {
		{ "a", NULL },
		{ "*", NULL },
		{ "?", NULL },
		{ "a.b", NULL },
		{ ".*", NULL },
		{ "\\*", NULL },
		{ "\\?\\\\", NULL },
		{ "[a]", NULL },
		{ "...", NULL },
		{ "", "an empty pattern" },
		{ ".", "a pattern that is . or .." },
		{ "..", "a pattern that is . or .." },
		{ "a/b", "a slash in a pattern" },
		{ "a\\", backslash },
		{ "\\a", backslash },
	};
	char longest[WILDCARD_MAX + 2];

	(void)state;
	words_judged(wildcard_fault, t, N_OF(t));
	memset(longest, 'a', sizeof(longest));
	longest[WILDCARD_MAX + 1] = '\0';
	assert_non_null(wildcard_fault(longest));
	longest[WILDCARD_MAX] = '\0';
	assert_null(wildcard_fault(longest));
}

static void
a_pattern_matches_bytes_and_leading_dots(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool yes;
	} t[] = {
		{ "a", "a", true },
		{ "a", "b", false },
		{ "a", "aa", false },
		{ "A", "a", false },
		{ "*", "", true },
		{ "*", ".x", true },
		{ "?x", ".x", true },
		{ "?", "", false },
		{ "?", "\xc3\xa4", false },
		{ "??", "\xc3\xa4", true },
		{ "\xc3?", "\xc3\xa4", true },
		{ "*.db", "a.db", true },
		{ "*.db", ".db", true },
		{ "*.db", "a.dbx", false },
		{ "\\*", "*", true },
		{ "\\*", "a", false },
		{ "a\\?", "a?", true },
		{ "a\\?", "ab", false },
		{ "\\\\*", "\\x", true },
		{ "a*b*c", "axxbxxc", true },
		{ "a*b*c", "axxcxxb", false },
		{ "[a]", "[a]", true },
		{ "[a]", "a", false },
		{ "**a", "bba", true },
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++)
		if (wildcard_match(t[i].pattern, t[i].name) != t[i].yes)
			fail_msg("%s, %s", t[i].pattern, t[i].name);
}

static void
a_literal_pattern_has_no_wildcard(void **state)
{
	(void)state;
	assert_true(wildcard_literal("a.b"));
	assert_true(wildcard_literal("\\*\\?"));
	assert_false(wildcard_literal("a*"));
	assert_false(wildcard_literal("?"));
}

/* A random pattern of few letters, so that things meet. */
static void
random_pattern(struct rng *r, char *out, size_t max)
{
	static const char letters[] = "ab*?";
	size_t len = 1 + rng_below(r, max);
	size_t i;

	for (i = 0; i < len; i++)
		out[i] = letters[rng_below(r, 4)];
	out[len] = '\0';
}

static void
a_pattern_matches_what_the_library_says(void **state)
{
	struct rng r = { 3 };
	char pattern[10];
	char name[10];
	size_t i;

	(void)state;
	for (i = 0; i < 50000; i++) {
		random_pattern(&r, pattern, 8);
		random_pattern(&r, name, 8);
		assert_int_equal(wildcard_match(pattern, name),
				 fnmatch(pattern, name, 0) == 0);
	}
}

/* All names up to five letters out of three: enough for patterns of three. */
static bool
meet_somewhere(const char *a, const char *b)
{
	char name[6];
	unsigned n;
	unsigned len;
	unsigned v;
	unsigned i;

	for (len = 0; len <= 5; len++)
		for (n = 0; n < 243; n++) {
			for (i = 0, v = n; i < len; i++, v /= 3)
				name[i] = "abc"[v % 3];
			name[len] = '\0';
			if (wildcard_match(a, name) && wildcard_match(b, name))
				return true;
		}
	return false;
}

static void
patterns_overlap_when_some_name_matches_both(void **state)
{
	struct rng r = { 5 };
	char a[5];
	char b[5];
	unsigned yes = 0;
	size_t n = getenv("TEST_QUICK") == NULL ? 1500 : 150;
	size_t i;

	(void)state;
	for (i = 0; i < n; i++) {
		bool want;

		random_pattern(&r, a, 3);
		random_pattern(&r, b, 3);
		want = meet_somewhere(a, b);
		yes += want;
		if (wildcard_overlap(a, b) != want ||
		    wildcard_overlap(b, a) != want)
			fail_msg("%s, %s: not %d", a, b, want);
	}
	assert_in_range(yes, n / 15, n - n / 15);
	assert_false(wildcard_overlap("*.db", "*.log"));
	assert_true(wildcard_overlap("a*", "*.log"));
	assert_false(wildcard_overlap("\\*", "a"));
}

static void
stars_cost_no_more_than_the_product_of_lengths(void **state)
{
	char pattern[WILDCARD_MAX + 1];
	char name[256];
	size_t i;

	(void)state;
	for (i = 0; i < WILDCARD_MAX; i++)
		pattern[i] = i % 2 == 0 ? '*' : 'a';
	pattern[WILDCARD_MAX - 1] = 'b';
	pattern[WILDCARD_MAX] = '\0';
	memset(name, 'a', 255);
	name[255] = '\0';
	for (i = 0; i < 1000; i++)
		assert_false(wildcard_match(pattern, name));
	assert_true(wildcard_overlap(pattern, "*"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_pattern_is_about_one_name_and_quotes_three_bytes),
		cmocka_unit_test(a_pattern_matches_bytes_and_leading_dots),
		cmocka_unit_test(a_literal_pattern_has_no_wildcard),
		cmocka_unit_test(a_pattern_matches_what_the_library_says),
		cmocka_unit_test(patterns_overlap_when_some_name_matches_both),
		cmocka_unit_test(
			stars_cost_no_more_than_the_product_of_lengths),
	};

	return cmocka_run_group_tests_name("wildcard", tests, NULL, NULL);
}
