#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#include "tests/lib/cmocka_all.h"

#include <string.h>

static int allocations;

static bool
fail_all(size_t size)
{
	(void)size;
	return true;
}

static bool
count_them(size_t size)
{
	(void)size;
	allocations++;
	return false;
}

static bool
count_and_fail(size_t size)
{
	(void)size;
	allocations++;
	return true;
}

static void
buf_all_zero_is_empty(void **state)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	buf_add(&b, NULL, 0);
	buf_add_str(&b, "");
	assert_null(b.data);
	assert_int_equal(buf_ok(&b, &e), 0);
	assert_string_equal(buf_str(&b), "");
	buf_clear(&b);
	buf_clear(&b);
}

static void
buf_takes_bytes_strings_characters_and_formats(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_add(&b, "a\0b", 3);
	buf_add_char(&b, '-');
	buf_add_str(&b, "str");
	buf_printf(&b, "%03d%s", 7, "x");
	buf_printf(&b, "%s", "");
	assert_int_equal(b.len, 11);
	assert_memory_equal(b.data, "a\0b-str007x", 11);
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_null(b.data);
}

static void
buf_printf_takes_more_than_it_has_room_for(void **state)
{
	struct buf b = { 0 };
	size_t len;

	(void)state;
	for (len = 0; len < 300; len++) {
		buf_reset(&b);
		buf_printf(&b, "%*s", (int)len, "");
		assert_int_equal(b.len, len);
		assert_int_equal(strlen(buf_str(&b)), len);
	}
	buf_clear(&b);
}

static void
buf_str_does_not_count_its_nul(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_add_str(&b, "ab");
	assert_string_equal(buf_str(&b), "ab");
	buf_add_str(&b, "cd");
	assert_string_equal(buf_str(&b), "abcd");
	assert_int_equal(b.len, 4);
	buf_clear(&b);
}

static void
buf_grows_in_few_steps_and_keeps_what_it_has(void **state)
{
	struct buf b = { 0 };
	size_t i;

	(void)state;
	allocations = 0;
	mem_fail(count_them);
	for (i = 0; i < 100000; i++)
		buf_add_char(&b, (char)(i % 251));
	mem_fail(NULL);
	assert_int_equal(b.len, 100000);
	assert_in_range(allocations, 10, 25);
	for (i = 0; i < b.len; i++)
		assert_int_equal(b.data[i], i % 251);
	buf_clear(&b);
}

static void
buf_reserve_gives_what_it_was_asked_for(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_true(buf_reserve(&b, 0));
	assert_true(buf_reserve(&b, 1));
	assert_true(b.cap >= 1);
	assert_true(buf_reserve(&b, 100000));
	assert_true(b.cap >= 100000);
	assert_int_equal(b.len, 0);
	buf_clear(&b);
}

static void
buf_reserve_refuses_an_overflow_before_it_allocates(void **state)
{
	/* clang-format off */
	static const struct {
		size_t n;
		int allocations;
	} t[] = {
		{ SIZE_MAX, 0 },
		{ SIZE_MAX - 2, 0 },
		{ SIZE_MAX / 2 + 1, 0 },
		{ (size_t)PTRDIFF_MAX, 0 },
		{ (size_t)PTRDIFF_MAX - 2, 0 },
		{ (size_t)PTRDIFF_MAX - 3, 1 }, /* may be asked for */
	};
	/* clang-format on */
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		struct buf b = { 0 };

		buf_add_str(&b, "abc");
		allocations = 0;
		mem_fail(count_and_fail);
		assert_false(buf_reserve(&b, t[i].n));
		mem_fail(NULL);
		assert_int_equal(allocations, t[i].allocations);
		assert_true(b.failed);
		assert_memory_equal(b.data, "abc", 3);
		assert_int_equal(b.len, 3);
		buf_clear(&b);
	}
}

static void
buf_that_failed_takes_no_more_until_cleared(void **state)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	char big[200] = { 0 };

	(void)state;
	buf_add_str(&b, "abc");
	mem_fail(fail_all);
	buf_add(&b, big, sizeof(big));
	mem_fail(NULL);
	/* There would be room for these. */
	buf_add_char(&b, 'd');
	buf_add_str(&b, "e");
	buf_printf(&b, "%d", 1);
	assert_null(buf_extend(&b, 1));
	assert_false(buf_reserve(&b, 0));
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(b.len, 3);
	assert_int_equal(buf_ok(&b, &e), -1);
	assert_int_equal(e.kind, ERR_NOMEM);
	buf_reset(&b);
	assert_int_equal(buf_ok(&b, NULL), -1);
	buf_clear(&b);
	buf_add_char(&b, 'd');
	assert_int_equal(buf_ok(&b, NULL), 0);
	assert_string_equal(buf_str(&b), "d");
	buf_clear(&b);
}

static void
buf_extend_gives_the_end_to_the_caller(void **state)
{
	struct buf b = { 0 };
	uint8_t *p;

	(void)state;
	assert_non_null(buf_extend(&b, 0));
	assert_int_equal(b.len, 0);
	buf_add_str(&b, "ab");
	p = buf_extend(&b, 2);
	assert_ptr_equal(p, b.data + 2);
	memcpy(p, "cd", 2);
	assert_string_equal(buf_str(&b), "abcd");
	buf_clear(&b);
	mem_fail(fail_all);
	assert_null(buf_extend(&b, 2));
	mem_fail(NULL);
	buf_clear(&b);
}

static void
buf_reset_keeps_the_memory(void **state)
{
	struct buf b = { 0 };
	uint8_t *data;

	(void)state;
	buf_add_str(&b, "abc");
	data = b.data;
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_ptr_equal(b.data, data);
	assert_true(b.cap > 0);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_all_zero_is_empty),
		cmocka_unit_test(
			buf_takes_bytes_strings_characters_and_formats),
		cmocka_unit_test(buf_printf_takes_more_than_it_has_room_for),
		cmocka_unit_test(buf_str_does_not_count_its_nul),
		cmocka_unit_test(buf_grows_in_few_steps_and_keeps_what_it_has),
		cmocka_unit_test(buf_reserve_gives_what_it_was_asked_for),
		cmocka_unit_test(
			buf_reserve_refuses_an_overflow_before_it_allocates),
		cmocka_unit_test(buf_that_failed_takes_no_more_until_cleared),
		cmocka_unit_test(buf_extend_gives_the_end_to_the_caller),
		cmocka_unit_test(buf_reset_keeps_the_memory),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
