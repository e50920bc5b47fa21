#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/mem.h"

#include "tests/lib/cmocka_all.h"

#include <string.h>

static size_t asked; /* size of the last allocation that the hook saw */

static bool
fail_all(size_t size)
{
	asked = size;
	return true;
}

static bool
fail_none(size_t size)
{
	asked = size;
	return false;
}

static void
mem_alloc_of_nothing_is_not_null(void **state)
{
	void *p;

	(void)state;
	p = mem_alloc(0);
	assert_non_null(p);
	p = mem_resize(p, 0, 8);
	assert_non_null(p);
	mem_free(p);
	p = mem_array(0, 8);
	assert_non_null(p);
	mem_free(p);
	p = mem_zalloc(0);
	assert_non_null(p);
	mem_free(p);
	mem_free(NULL);
}

static void
mem_zalloc_and_mem_array_are_zeroed(void **state)
{
	static const char zero[96];
	char *p;

	(void)state;
	p = mem_zalloc(96);
	assert_memory_equal(p, zero, 96);
	mem_free(p);
	p = mem_array(12, 8);
	assert_memory_equal(p, zero, 96);
	mem_free(p);
}

static void
mem_array_and_mem_resize_refuse_an_overflow(void **state)
{
	/* clang-format off */
	static const struct {
		size_t n;
		size_t size;
	} t[] = {
		{ SIZE_MAX, 2 },
		{ 2, SIZE_MAX },
		{ SIZE_MAX / 2 + 1, 2 },
		{ SIZE_MAX, SIZE_MAX },
		{ (size_t)1 << 32, (size_t)1 << 32 },
	};
	/* clang-format on */
	char *p = mem_strdup("kept");
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		assert_null(mem_array(t[i].n, t[i].size));
		assert_null(mem_resize(p, t[i].n, t[i].size));
		assert_string_equal(p, "kept");
	}
	mem_free(p);
	assert_null(mem_dup("", SIZE_MAX));
}

static void
mem_resize_keeps_the_contents(void **state)
{
	char *p;

	(void)state;
	p = mem_resize(NULL, 4, 2);
	assert_non_null(p);
	memcpy(p, "1234567", 8);
	p = mem_resize(p, 1000, 3);
	assert_string_equal(p, "1234567");
	mem_free(p);
}

static void
mem_dup_puts_a_nul_behind_the_bytes(void **state)
{
	char *p;

	(void)state;
	p = mem_dup("a\0bc", 3);
	assert_memory_equal(p, "a\0b", 4);
	mem_free(p);
	p = mem_dup(NULL, 0);
	assert_string_equal(p, "");
	mem_free(p);
	p = mem_strdup("word");
	assert_string_equal(p, "word");
	mem_free(p);
}

static void
mem_fail_makes_every_kind_of_allocation_fail(void **state)
{
	char *p = mem_strdup("kept");

	(void)state;
	mem_fail(fail_all);
	assert_null(mem_alloc(5));
	assert_int_equal(asked, 5);
	assert_null(mem_zalloc(6));
	assert_int_equal(asked, 6);
	assert_null(mem_array(2, 7));
	assert_int_equal(asked, 14);
	assert_null(mem_resize(p, 3, 7));
	assert_int_equal(asked, 21);
	assert_null(mem_strdup("four"));
	assert_int_equal(asked, 5);
	assert_null(mem_dup("four", 4));
	mem_fail(fail_none);
	assert_string_equal(p, "kept");
	mem_free(p);
	p = mem_alloc(9);
	assert_non_null(p);
	assert_int_equal(asked, 9);
	mem_free(p);
	mem_fail(NULL);
	p = mem_alloc(10);
	assert_non_null(p);
	assert_int_equal(asked, 9);
	mem_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mem_alloc_of_nothing_is_not_null),
		cmocka_unit_test(mem_zalloc_and_mem_array_are_zeroed),
		cmocka_unit_test(mem_array_and_mem_resize_refuse_an_overflow),
		cmocka_unit_test(mem_resize_keeps_the_contents),
		cmocka_unit_test(mem_dup_puts_a_nul_behind_the_bytes),
		cmocka_unit_test(mem_fail_makes_every_kind_of_allocation_fail),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
