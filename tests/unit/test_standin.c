#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/standin.h"

#include "base/buf.h"
#include "base/err.h"
#include "tests/lib/cmocka_all.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static struct standin some[] = {
	{ .source = "/srv", .place = "/snap/1" },
	{ .source = "/srv/db/data", .place = "/snap/2" },
};
static const struct standins all = { some, 2 };
static struct standin top[] = { { .source = "/", .place = "/snap/0" } };
static const struct standins root = { top, 1 };

static void
a_path_is_read_where_its_directory_stands_in(void **state)
{
	static const struct {
		const struct standins *in;
		const char *path, *where;
	} cases[] = {
		{ &all, "/srv", "/snap/1" },
		{ &all, "/srv/db", "/snap/1/db" },
		{ &all, "/srv/db/data", "/snap/2" },
		{ &all, "/srv/db/data/x", "/snap/2/x" },
		{ &all, "/srv/db/database", "/snap/1/db/database" },
		{ &all, "/srvx/db", "/srvx/db" },
		{ &all, "/", "/" },
		{ &root, "/", "/snap/0" },
		{ &root, "/srv/db", "/snap/0/srv/db" },
		{ NULL, "/srv/db", "/srv/db" },
	};
	struct buf out = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(standin_path(cases[i].in, cases[i].path, &out,
					      NULL),
				 0);
		assert_string_equal(buf_str(&out), cases[i].where);
	}
	buf_clear(&out);
}

static void
what_lies_beneath_is_held_and_the_top_is_not(void **state)
{
	(void)state;
	assert_ptr_equal(standin_above(&all, "/srv/db/data/x"), &some[1]);
	assert_ptr_equal(standin_above(&all, "/srv/db/data"), &some[0]);
	assert_null(standin_above(&all, "/srv"));
	assert_null(standin_above(NULL, "/srv/x"));
	assert_ptr_equal(standin_above(&root, "/srv"), &top[0]);
	assert_null(standin_above(&root, "/"));
	assert_ptr_equal(standin_at(&all, "/srv/db/data"), &some[1]);
	assert_null(standin_at(&all, "/srv/db"));
	assert_null(standin_at(NULL, "/srv"));
}

static void
b6_the_identity_is_that_of_the_source(void **state)
{
	struct standin s = { .source = "/proc", .place = "/" };
	struct standin none = { .source = "/no/such", .place = "/no/such" };
	char id[SRC_FSID_MAX];
	struct statx st;
	struct err e = { 0 };
	int fd = src_open(AT_FDCWD, "/proc", O_DIRECTORY, NULL);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(src_fs_id(fd, id, NULL), 0);
	src_close(fd);
	assert_int_equal(standin_look_source(&s, NULL), 0);
	assert_int_equal(standin_look_place(&s, NULL), 0);
	assert_string_equal(s.fs, id);
	assert_int_equal(src_stat(AT_FDCWD, "/", &st, NULL), 0);
	assert_true(standin_has(&s, &st));
	assert_int_equal(src_stat(AT_FDCWD, "/proc", &st, NULL), 0);
	assert_false(standin_has(&s, &st));
	assert_false(standin_has(NULL, &st));
	assert_int_equal(standin_look_source(&none, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(standin_look_place(&none, NULL), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_read_where_its_directory_stands_in),
		cmocka_unit_test(what_lies_beneath_is_held_and_the_top_is_not),
		cmocka_unit_test(b6_the_identity_is_that_of_the_source),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
