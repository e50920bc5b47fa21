#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/inomap.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/lib/cmocka_all.h"

#include <stdbool.h>
#include <string.h>

#define MANY 5000

static int value[MANY];

static void
nothing_is_known_of_an_empty_table(void **state)
{
	struct inomap m = { .slot = NULL };

	(void)state;
	assert_null(inomap_get(&m, 0, 0));
	inomap_drop(&m, 1, 2);
	inomap_clear(&m);
}

static void
file_systems_are_kept_apart(void **state)
{
	struct inomap m = { .slot = NULL };

	(void)state;
	assert_int_equal(inomap_put(&m, 1, 7, &value[0], NULL), 0);
	assert_int_equal(inomap_put(&m, 2, 7, &value[1], NULL), 0);
	assert_int_equal(inomap_put(&m, 0, 0, &value[2], NULL), 0);
	assert_ptr_equal(inomap_get(&m, 1, 7), &value[0]);
	assert_ptr_equal(inomap_get(&m, 2, 7), &value[1]);
	assert_ptr_equal(inomap_get(&m, 0, 0), &value[2]);
	assert_null(inomap_get(&m, 3, 7));
	assert_int_equal(inomap_put(&m, 1, 7, &value[3], NULL), 0);
	assert_ptr_equal(inomap_get(&m, 1, 7), &value[3]);
	assert_int_equal(m.count, 3);
	inomap_clear(&m);
}

/* As many as make it grow; each third goes again, in an order of its own. */
static void
what_stays_is_found_whatever_goes(void **state)
{
	struct inomap m = { .slot = NULL };
	size_t i, left = 0;

	(void)state;
	for (i = 0; i < MANY; i++)
		assert_int_equal(inomap_put(&m, i % 3, i * i, &value[i], NULL),
				 0);
	assert_int_equal(m.count, MANY);
	for (i = MANY; i-- > 0;)
		if (i % 3 == 1 || i % 5 == 0)
			inomap_drop(&m, i % 3, i * i);
	for (i = 0; i < MANY; i++) {
		bool gone = i % 3 == 1 || i % 5 == 0;

		left += !gone;
		assert_ptr_equal(inomap_get(&m, i % 3, i * i),
				 gone ? NULL : &value[i]);
	}
	assert_int_equal(m.count, left);
	inomap_clear(&m);
}

static bool
fail_all(size_t size)
{
	(void)size;
	return true;
}

static void
without_memory_it_stays_as_it_was(void **state)
{
	struct inomap m = { .slot = NULL };
	struct err e = { 0 };
	size_t i = 0;

	(void)state;
	assert_int_equal(inomap_put(&m, 0, 1, &value[1], NULL), 0);
	mem_fail(fail_all);
	while (inomap_put(&m, 1, i, &value[2], &e) == 0)
		i++;
	mem_fail(NULL);
	assert_int_equal(e.kind, ERR_NOMEM);
	assert_int_equal(m.count, i + 1);
	assert_ptr_equal(inomap_get(&m, 0, 1), &value[1]);
	assert_null(inomap_get(&m, 1, i));
	inomap_clear(&m);
}

static void
sorted_it_is_a_list(void **state)
{
	static const struct {
		uint64_t fs, ino;
	} in[] = { { 2, 1 }, { 0, 9 }, { 1, 5 }, { 0, 3 }, { 1, UINT64_MAX } },
	  want[] = { { 0, 3 }, { 0, 9 }, { 1, 5 }, { 1, UINT64_MAX }, { 2, 1 } };
	struct inomap m = { .slot = NULL };
	size_t i;

	(void)state;
	assert_int_equal(inomap_sort(&m), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(inomap_put(&m, in[i].fs, in[i].ino, &value[i],
					    NULL), 0);
	assert_int_equal(inomap_sort(&m), 5);
	for (i = 0; i < 5; i++) {
		assert_int_equal(m.slot[i].fs, want[i].fs);
		assert_int_equal(m.slot[i].ino, want[i].ino);
		assert_non_null(m.slot[i].value);
	}
	assert_int_equal(m.cap, 5);
	inomap_clear(&m);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_known_of_an_empty_table),
		cmocka_unit_test(file_systems_are_kept_apart),
		cmocka_unit_test(what_stays_is_found_whatever_goes),
		cmocka_unit_test(sorted_it_is_a_list),
		cmocka_unit_test(without_memory_it_stays_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
