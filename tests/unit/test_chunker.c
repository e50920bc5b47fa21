#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/chunker.h"
#include "store/id.h"

#include "tests/lib/cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AVG  4096
#define SEED UINT64_C(0x123456789abcdef)

/* --- data ---------------------------------------------------------------- */

static uint64_t
next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s >> 16;
}

static void
fill_random(uint8_t *p, size_t n)
{
	uint64_t s = 88172645463325252;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)next(&s);
}

static void
fill_two_values(uint8_t *p, size_t n)
{
	fill_random(p, n);
	for (size_t i = 0; i < n; i++)
		p[i] &= 1;
}

static void
fill_zero(uint8_t *p, size_t n)
{
	memset(p, 0, n);
}

static void
fill_ones(uint8_t *p, size_t n)
{
	memset(p, 0xff, n);
}

static void
fill_period_two(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i % 2);
}

static void
fill_period_seven(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i % 7 * 41);
}

/* Runs of zeros and of noise, as disk images have them. */
static void
fill_islands(uint8_t *p, size_t n)
{
	uint64_t s = 77;

	fill_random(p, n);
	for (size_t i = 0; i < n;) {
		size_t run = next(&s) % (3 * AVG) + 1;

		if (run > n - i)
			run = n - i;
		memset(p + i, 0, run);
		i += run + next(&s) % (3 * AVG);
	}
}

static const struct pattern {
	const char *name;
	void (*fill)(uint8_t *p, size_t n);
} patterns[] = {
	{ "random", fill_random },
	{ "two values", fill_two_values },
	{ "zeros", fill_zero },
	{ "ones", fill_ones },
	{ "period of two", fill_period_two },
	{ "period of seven", fill_period_seven },
	{ "islands in zeros", fill_islands },
};

/* Memory of exactly n bytes, so that checkers notice a read behind it. */
static uint8_t *
bytes(size_t n)
{
	uint8_t *p = malloc(n > 0 ? n : 1);

	assert_non_null(p);
	return p;
}

/* --- the rule, word for word as doc/format.md, section 3, has it --------- */

static size_t
cut_by_definition(const struct chunker *c, const uint8_t *p, size_t len)
{
	size_t cut = 0;
	uint32_t smallest = 0;
	bool same = true;

	if (len <= c->max)
		return len;
	for (size_t at = c->min; at <= c->max; at++) {
		uint32_t x = 0;

		for (size_t k = 4; k > 0; k--)
			x = x << 8 | p[at - 5 + k];
		x = x * c->mul + c->add;
		if (cut == 0 || x < smallest) {
			cut = at;
			smallest = x;
		}
	}
	for (size_t at = c->min - 3; at < c->max; at++)
		same = same && p[at] == p[at - 1];
	return same ? c->max : cut;
}

/* --- tests --------------------------------------------------------------- */

static void
chunker_init_sets_limits_and_constants_from_the_seed(void **state)
{
	struct chunker c;

	(void)state;
	/* The first number of splitmix64(0) is e220a8397b1dcdaf. */
	chunker_init(&c, 0, 16384);
	assert_int_equal(c.mul, 0x7b1dcdaf);
	assert_int_equal(c.add, 0xe220a839);
	assert_int_equal(c.min, 8192);
	assert_int_equal(c.max, 24576);
	for (uint64_t seed = 0; seed < 1000; seed++) {
		chunker_init(&c, seed, AVG);
		assert_int_equal(c.mul & 1, 1);
	}
}

struct thread_cut {
	const uint8_t *p;
	size_t cut;
};

static void *
cut_some(void *arg)
{
	struct thread_cut *t = arg;
	struct chunker c;

	chunker_init(&c, SEED, AVG);
	t->cut = chunker_cut(&c, t->p, 2 * AVG, true);
	return NULL;
}

static void
chunker_is_chosen_by_many_threads_at_once(void **state)
{
	uint8_t *p = bytes(2 * AVG);
	struct thread_cut cuts[8];
	pthread_t t[8];
	struct chunker c;

	(void)state;
	fill_random(p, 2 * AVG);
	chunker_init(&c, SEED, AVG);
	for (size_t i = 0; i < N_OF(t); i++) {
		cuts[i].p = p;
		assert_int_equal(
			pthread_create(&t[i], NULL, cut_some, &cuts[i]), 0);
	}
	for (size_t i = 0; i < N_OF(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	for (size_t i = 0; i < N_OF(t); i++)
		assert_int_equal(cuts[i].cut,
				 cut_by_definition(&c, p, 2 * AVG));
	free(p);
}

static void
check_all_cuts(const struct chunker *c, const struct pattern *pat, size_t len,
	       enum chunker_impl impl)
{
	uint8_t *p = bytes(len);

	pat->fill(p, len);
	for (size_t at = 0; at < len;) {
		size_t want = cut_by_definition(c, p + at, len - at);
		size_t got = chunker_cut(c, p + at, len - at, true);

		if (got != want)
			fail_msg("%s, %s: at %zu the cut is %zu, not %zu",
				 chunker_impl_name(impl), pat->name, at, got,
				 want);
		at += got;
	}
	free(p);
}

static void
chunker_implementations_all_follow_the_definition(void **state)
{
	static const size_t avgs[] = { 4096, 8192, 65536 };

	(void)state;
	for (int impl = 0; impl < CHUNKER_IMPLS; impl++) {
		if (!chunker_impl_ok(impl))
			continue;
		chunker_impl_use(impl);
		for (size_t a = 0; a < N_OF(avgs); a++)
			for (size_t i = 0; i < N_OF(patterns); i++) {
				struct chunker c;

				chunker_init(&c, SEED + i, avgs[a]);
				check_all_cuts(&c, &patterns[i],
					       20 * avgs[a] + 17, impl);
			}
	}
}

/*
 * A window of any length and start, not only those that an average gives:
 * the kernels must be right about every rest behind their last group.
 */
static void
chunker_implementations_agree_on_any_window(void **state)
{
	enum {
		MIN = 5,
		LEN = 1200
	};
	uint8_t *p = bytes(LEN);

	(void)state;
	for (int impl = 0; impl < CHUNKER_IMPLS; impl++) {
		if (!chunker_impl_ok(impl))
			continue;
		chunker_impl_use(impl);
		for (size_t len = MIN + 1; len <= LEN; len += 1 + len / 64) {
			uint8_t *q = p + LEN - len;
			struct chunker c;

			chunker_init(&c, len, AVG);
			c.min = MIN;
			c.max = len - 1;
			fill_two_values(q, len);
			assert_int_equal(chunker_cut(&c, q, len, true),
					 cut_by_definition(&c, q, len));
			fill_random(q, len);
			assert_int_equal(chunker_cut(&c, q, len, true),
					 cut_by_definition(&c, q, len));
		}
	}
	free(p);
}

static void
chunker_finds_the_smallest_hash_wherever_it_is(void **state)
{
	struct chunker c;
	uint32_t inverse = 1;
	uint32_t x;
	uint8_t *p;

	(void)state;
	chunker_init(&c, SEED, AVG);
	/* x with x * mul + add = 0: Newton's inverse of mul mod 2^32. */
	for (int i = 0; i < 5; i++)
		inverse *= 2 - c.mul * inverse;
	x = (0 - c.add) * inverse;
	p = bytes(c.max + 1);
	for (int impl = 0; impl < CHUNKER_IMPLS; impl++) {
		if (!chunker_impl_ok(impl))
			continue;
		chunker_impl_use(impl);
		for (size_t at = c.min; at <= c.max; at++) {
			fill_period_seven(p, c.max + 1);
			for (size_t k = 0; k < 4; k++)
				p[at - 4 + k] = (uint8_t)(x >> 8 * k);
			assert_int_equal(chunker_cut(&c, p, c.max + 1, true),
					 at);
		}
	}
	free(p);
}

static void
chunker_takes_the_earliest_of_equal_hashes(void **state)
{
	struct chunker c;
	uint8_t *p;
	size_t cut;

	(void)state;
	chunker_init(&c, SEED, AVG);
	p = bytes(3 * c.max);
	for (int impl = 0; impl < CHUNKER_IMPLS; impl++) {
		if (!chunker_impl_ok(impl))
			continue;
		chunker_impl_use(impl);
		fill_period_two(p, 3 * c.max);
		cut = chunker_cut(&c, p, 3 * c.max, true);
		assert_in_range(cut, c.min, c.min + 1);
		fill_period_seven(p, 3 * c.max);
		cut = chunker_cut(&c, p, 3 * c.max, true);
		assert_in_range(cut, c.min, c.min + 6);
	}
	free(p);
}

static void
chunker_cuts_a_constant_window_at_the_maximum(void **state)
{
	struct chunker c;
	uint8_t *p;
	size_t len;

	(void)state;
	chunker_init(&c, SEED, AVG);
	len = c.max + 1;
	p = bytes(len);
	for (int value = 0; value < 256; value += 51) {
		memset(p, value, len);
		/* What is outside the window does not matter. */
		memset(p, value + 1, c.min - 4);
		p[c.max] ^= 1;
		assert_int_equal(chunker_cut(&c, p, len, true), c.max);
	}
	/* One other byte anywhere in the window, and the rule is back. */
	for (size_t i = c.min - 4; i < c.max; i++) {
		memset(p, 0, len);
		p[i] = 1;
		assert_int_equal(chunker_cut(&c, p, len, true),
				 cut_by_definition(&c, p, len));
	}
	free(p);
}

static void
chunker_keeps_a_short_rest_in_one_piece(void **state)
{
	struct chunker c;
	uint8_t *p;

	(void)state;
	chunker_init(&c, SEED, AVG);
	p = bytes(c.max + 1);
	fill_random(p, c.max + 1);
	for (size_t len = 1; len <= c.max; len++)
		assert_int_equal(chunker_cut(&c, p, len, true), len);
	assert_in_range(chunker_cut(&c, p, c.max + 1, true), c.min, c.max);
	/* In the middle of a file the maximum is enough to decide. */
	assert_int_equal(chunker_cut(&c, p, c.max, false),
			 chunker_cut(&c, p, c.max + 1, true));
	free(p);
}

static void
chunker_decides_from_the_first_max_bytes(void **state)
{
	enum {
		LEN = 40 * AVG
	};
	struct chunker c;
	uint8_t *all = bytes(LEN);

	(void)state;
	chunker_init(&c, SEED, AVG);
	fill_random(all, LEN);
	for (size_t at = 0; at + c.max < LEN;) {
		uint8_t *piece = bytes(c.max);
		size_t cut = chunker_cut(&c, all + at, LEN - at, true);

		memcpy(piece, all + at, c.max);
		assert_int_equal(chunker_cut(&c, piece, c.max, false), cut);
		assert_in_range(cut, c.min, c.max);
		free(piece);
		at += cut;
	}
	free(all);
}

static size_t
cut_all(const struct chunker *c, const uint8_t *p, size_t len, size_t *cuts)
{
	size_t n = 0;

	for (size_t at = 0; at < len; cuts[n++] = at)
		at += chunker_cut(c, p + at, len - at, true);
	return n;
}

static void
chunker_finds_its_cuts_again_after_an_insertion(void **state)
{
	enum {
		LEN = 400 * AVG,
		AT = 100 * AVG,
		MORE = 13
	};
	uint8_t *before = bytes(LEN);
	uint8_t *after = bytes(LEN + MORE);
	size_t a[LEN / AVG * 2];
	size_t b[N_OF(a)];
	size_t na;
	size_t nb;
	size_t same = 0;
	struct chunker c;

	(void)state;
	chunker_init(&c, SEED, AVG);
	fill_random(before, LEN);
	memcpy(after, before, AT);
	memset(after + AT, 'x', MORE);
	memcpy(after + AT + MORE, before + AT, LEN - AT);
	na = cut_all(&c, before, LEN, a);
	nb = cut_all(&c, after, LEN + MORE, b);
	while (same < na && same < nb &&
	       a[na - 1 - same] + MORE == b[nb - 1 - same])
		same++;
	assert_true(same < na);
	assert_true(a[na - 1 - same] < AT + 20 * c.max);
	for (size_t i = 0; a[i] < AT - c.max; i++)
		assert_int_equal(a[i], b[i]);
	/* And the mean is what was asked for, within a tenth. */
	assert_in_range(LEN / na, AVG * 9 / 10, AVG * 11 / 10);
	free(before);
	free(after);
}

/*
 * These cuts are in repositories: whoever changes them loses deduplication
 * against everything stored before.
 */
static void
chunker_cuts_where_it_always_has(void **state)
{
	enum {
		LEN = 1 << 20
	};
	uint8_t *p = bytes(LEN);
	size_t cuts[LEN / AVG * 2];
	char text[8 * N_OF(cuts)];
	size_t n;
	size_t used = 0;
	struct chunker c;
	struct id digest;
	char hex[ID_TEXT_LEN];

	(void)state;
	chunker_init(&c, SEED, AVG);
	fill_islands(p, LEN);
	n = cut_all(&c, p, LEN, cuts);
	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%zu\n", cuts[i]);
	hash_plain(text, used, digest.b, ID_LEN);
	assert_string_equal(
		id_text(hex, &digest),
		"da4cc87d41b8a2111565734e41319fa25c945f162549dbe36525e68d69a109d4");
	free(p);
}

static void
chunker_ignores_what_the_cpu_cannot_run(void **state)
{
	uint8_t *p = bytes(2 * AVG);
	struct chunker c;
	size_t cut;

	(void)state;
	chunker_init(&c, SEED, AVG);
	fill_random(p, 2 * AVG);
	cut = chunker_cut(&c, p, 2 * AVG, true);
	assert_true(chunker_impl_ok(CHUNKER_SCALAR));
	assert_false(chunker_impl_ok(CHUNKER_IMPLS));
	chunker_impl_use(CHUNKER_IMPLS);
	for (int impl = 0; impl < CHUNKER_IMPLS; impl++) {
		chunker_impl_use(impl);
		assert_int_equal(chunker_cut(&c, p, 2 * AVG, true), cut);
		assert_string_not_equal(chunker_impl_name(impl), "unknown");
	}
	assert_string_equal(chunker_impl_name(CHUNKER_IMPLS), "unknown");
	free(p);
}

static void
chunker_is_zero_sees_a_single_other_byte_anywhere(void **state)
{
	(void)state;
	assert_true(chunker_is_zero(NULL, 0));
	for (size_t len = 1; len < 200; len++) {
		uint8_t *p = bytes(len);

		memset(p, 0, len);
		assert_true(chunker_is_zero(p, len));
		for (size_t i = 0; i < len; i++) {
			p[i] = 0x80;
			assert_false(chunker_is_zero(p, len));
			p[i] = 0;
		}
		memset(p, 1, len);
		assert_false(chunker_is_zero(p, len));
		free(p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, while nobody has chosen an implementation yet. */
		cmocka_unit_test(chunker_is_chosen_by_many_threads_at_once),
		cmocka_unit_test(
			chunker_init_sets_limits_and_constants_from_the_seed),
		cmocka_unit_test(
			chunker_implementations_all_follow_the_definition),
		cmocka_unit_test(chunker_implementations_agree_on_any_window),
		cmocka_unit_test(
			chunker_finds_the_smallest_hash_wherever_it_is),
		cmocka_unit_test(chunker_takes_the_earliest_of_equal_hashes),
		cmocka_unit_test(chunker_cuts_a_constant_window_at_the_maximum),
		cmocka_unit_test(chunker_keeps_a_short_rest_in_one_piece),
		cmocka_unit_test(chunker_decides_from_the_first_max_bytes),
		cmocka_unit_test(
			chunker_finds_its_cuts_again_after_an_insertion),
		cmocka_unit_test(chunker_cuts_where_it_always_has),
		cmocka_unit_test(chunker_ignores_what_the_cpu_cannot_run),
		cmocka_unit_test(
			chunker_is_zero_sees_a_single_other_byte_anywhere),
	};

	return cmocka_run_group_tests_name("chunker", tests, NULL, NULL);
}
