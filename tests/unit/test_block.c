#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/block.h"
#include "base/mem.h"
#include "base/pool.h"

#include "tests/lib/cmocka_all.h"

#include <stdint.h>
#include <string.h>

#define KIB ((size_t)1024)
#define MIB (KIB * 1024)

/* Under address sanitizer nothing is kept, so that it can do its work. */
static bool
keeps(void)
{
	block_free(block_get(MIB), MIB);
	return block_kept() > 0;
}

static bool
fail_all(size_t size)
{
	(void)size;
	return true;
}

static void
what_was_given_back_is_given_out_again(void **state)
{
	/* asked for, then asked for: the same block? */
	static const struct {
		size_t first, then;
		bool same;
	} row[] = {
		{ MIB, MIB, true },
		{ MIB - 100, MIB, true },
		{ MIB, MIB - 60 * KIB, true },
		{ MIB, MIB + 1, false },
		{ 100 * KIB, 2 * MIB, false },
		{ 128 * KIB, 70 * KIB, true },
	};

	(void)state;
	if (!keeps()) {
		assert_int_equal(block_kept(), 0);
		return;
	}
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		size_t before;
		void *p, *q;

		p = block_get(row[i].first);
		assert_non_null(p);
		before = block_kept();
		block_free(p, row[i].first);
		assert_true(block_kept() > before);
		q = block_get(row[i].then);
		assert_non_null(q);
		if (row[i].same)
			assert_ptr_equal(p, q);
		else
			assert_ptr_not_equal(p, q);
		memset(q, 0xa5, row[i].then);
		block_free(q, row[i].then);
	}
}

static void
a_little_is_left_to_malloc(void **state)
{
	size_t before = block_kept();

	(void)state;
	for (size_t len = 0; len < 64 * KIB; len += 9999) {
		void *p = block_get(len);

		assert_non_null(p);
		block_free(p, len);
		assert_int_equal(block_kept(), before);
	}
	block_free(NULL, MIB);
	assert_int_equal(block_kept(), before);
}

static void
no_more_is_kept_than_is_said(void **state)
{
	void *p[64];

	(void)state;
	for (size_t i = 0; i < 64; i++) {
		p[i] = block_get((i % 7 + 1) * 100 * KIB);
		assert_non_null(p[i]);
	}
	for (size_t i = 0; i < 64; i++) {
		block_free(p[i], (i % 7 + 1) * 100 * KIB);
		assert_true(block_kept() <= BLOCK_KEPT_MAX);
	}
	p[0] = block_get(BLOCK_KEPT_MAX + 1);
	assert_non_null(p[0]);
	block_free(p[0], BLOCK_KEPT_MAX + 1);
	assert_true(block_kept() <= BLOCK_KEPT_MAX);
}

static void
no_memory_is_null(void **state)
{
	(void)state;
	mem_fail(fail_all);
	assert_null(block_get(3 * MIB + 7)); /* a size that nobody gave back */
	mem_fail(NULL);
	assert_null(block_get(SIZE_MAX - 5));
}

static void
use(size_t i)
{
	size_t len = (i % 5 + 1) * 64 * KIB - i % 64;
	uint8_t *p = block_get(len);

	assert_non_null(p);
	memset(p, (int)i, len);
	for (size_t at = 0; at < len; at += 4093)
		assert_int_equal(p[at], (uint8_t)i);
	block_free(p, len);
}

static void *
use_many(void *arg)
{
	for (size_t i = 0; i < 500; i++)
		use(i + (size_t)(uintptr_t)arg);
	return NULL;
}

static void
two_never_have_the_same(void **state)
{
	pthread_t t[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pool_thread(&t[i], use_many,
					     (void *)(uintptr_t)(i * 77), NULL),
				 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_given_back_is_given_out_again),
		cmocka_unit_test(a_little_is_left_to_malloc),
		cmocka_unit_test(no_more_is_kept_than_is_said),
		cmocka_unit_test(no_memory_is_null),
		cmocka_unit_test(two_never_have_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
