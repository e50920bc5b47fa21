/*
 * counts: what was counted is told, by name, and nothing is lost when several
 * threads count; what is no mount of ours is not believed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/counts.h"

#include "base/err.h"
#include "tests/lib/cmocka_all.h"

#include <pthread.h>
#include <string.h>

static void
nothing_asked_is_all_names_and_no_requests(void **state)
{
	struct counts c = { 0 };
	struct counts_answer a;
	size_t i;
	size_t k;

	(void)state;
	memset(&a, 0xee, sizeof(a));
	counts_tell(&c, &a);
	assert_int_equal(a.rows, COUNTS_KINDS);
	for (i = 0; i < a.rows; i++) {
		assert_true(strnlen(a.row[i].name, COUNTS_NAME_LEN) > 0);
		assert_true(strnlen(a.row[i].name, COUNTS_NAME_LEN) <
			    COUNTS_NAME_LEN);
		assert_int_equal(a.row[i].requests, 0);
		assert_int_equal(a.row[i].bytes, 0);
		for (k = 0; k < i; k++)
			assert_string_not_equal(a.row[k].name, a.row[i].name);
	}
	assert_int_equal(a.row[COUNTS_ROWS_MAX - 1].requests, 0);
}

static void
each_kind_is_counted_under_its_name(void **state)
{
	static const struct {
		enum counts_kind kind;
		const char *name;
	} some[] = {
		{ COUNTS_LOOKUP, "lookup" },
		{ COUNTS_OPENDIR, "opendir" },
		{ COUNTS_READDIR, "readdir" },
		{ COUNTS_READDIRPLUS, "readdirplus" },
		{ COUNTS_READ, "read" },
		{ COUNTS_LISTXATTR, "listxattr" },
		{ COUNTS_IOCTL, "ioctl" },
		{ COUNTS_STATFS, "statfs" },
	};
	struct counts_answer a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		struct counts c = { 0 };

		counts_request(&c, some[i].kind);
		counts_request(&c, some[i].kind);
		counts_bytes(&c, some[i].kind, 4096);
		counts_tell(&c, &a);
		assert_string_equal(a.row[some[i].kind].name, some[i].name);
		assert_int_equal(a.row[some[i].kind].requests, 2);
		assert_int_equal(a.row[some[i].kind].bytes, 4096);
	}
}

#define THREADS 4
#define TIMES   20000

static void *
count_many(void *arg)
{
	int i;

	for (i = 0; i < TIMES; i++) {
		counts_request(arg, COUNTS_READ);
		counts_bytes(arg, COUNTS_READ, 3);
	}
	return NULL;
}

static void
threads_lose_no_count(void **state)
{
	struct counts c = { 0 };
	struct counts_answer a;
	pthread_t t[THREADS];
	size_t i;

	(void)state;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count_many, &c),
				 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	counts_tell(&c, &a);
	assert_int_equal(a.row[COUNTS_READ].requests, THREADS * TIMES);
	assert_int_equal(a.row[COUNTS_READ].bytes, 3 * THREADS * TIMES);
}

static void
what_is_no_mount_of_ours_says_nothing(void **state)
{
	static const char *const paths[] = { "/", "/proc", "/dev/null",
					     "/dev/null/x", "/none" };
	struct counts_answer a;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		memset(&e, 0, sizeof(e));
		assert_int_equal(counts_ask(paths[i], &a, &e), -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_non_null(strstr(e.text, paths[i]));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_asked_is_all_names_and_no_requests),
		cmocka_unit_test(each_kind_is_counted_under_its_name),
		cmocka_unit_test(threads_lose_no_count),
		cmocka_unit_test(what_is_no_mount_of_ours_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
