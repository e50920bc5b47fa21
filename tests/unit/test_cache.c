#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/cache.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/scratch.h"

#define NAME "000102030405060708090a0b0c0d0e0f"

static const unsigned char repo_id[16] = { 0, 1, 2,  3,  4,  5,	 6,  7,
					   8, 9, 10, 11, 12, 13, 14, 15 };
static struct scratch scratch;
static char *tmpdir;

static int
set_up(void **state)
{
	const char *t = getenv("TMPDIR");

	(void)state;
	tmpdir = t == NULL ? NULL : strdup(t);
	scratch_begin(&scratch);
	failing_install();
	assert_int_equal(setenv("ASOF_CACHE_DIR", scratch_at(&scratch, "c"), 1),
			 0);
	assert_int_equal(setenv("TMPDIR", scratch.path, 1), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("ASOF_CACHE_DIR"), 0);
	if (tmpdir != NULL)
		assert_int_equal(setenv("TMPDIR", tmpdir, 1), 0);
	else
		assert_int_equal(unsetenv("TMPDIR"), 0);
	free(tmpdir);
	failing_remove();
	scratch_end(&scratch);
	return 0;
}

/* Open the cache; where it is, and whether it is a temporary one. */
static int
must_open(struct buf *path, bool *temporary)
{
	struct err e = { 0 };
	int fd = -1;

	buf_reset(path);
	if (cache_open(repo_id, &fd, path, temporary, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(fd >= 0);
	return fd;
}

static void
must_open_at(const char *where)
{
	struct buf path = { 0 };
	bool temporary = true;
	int fd = must_open(&path, &temporary);

	assert_false(temporary);
	assert_string_equal(buf_str(&path), where);
	assert_int_equal(close(fd), 0);
	buf_clear(&path);
}

/* A temporary one is made, works, and is removed again with what is in it. */
static void
must_open_temporary(void)
{
	struct buf path = { 0 };
	struct stat st;
	bool temporary = false;
	int fd = must_open(&path, &temporary);
	size_t top = strlen(scratch.path);

	assert_true(temporary);
	assert_memory_equal(buf_str(&path), scratch.path, top);
	assert_int_equal(stat(buf_str(&path), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(mkdirat(fd, "cat.1", 0700), 0);
	assert_int_equal(mkdirat(fd, "cat.1/deep", 0700), 0);
	assert_int_equal(unlinkat(fd, "cat.1/deep", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/etc/passwd", fd, "link"), 0);
	{
		int f = openat(fd, "cat.1/data.mdb", O_WRONLY | O_CREAT, 0600);

		assert_true(f >= 0);
		assert_int_equal(close(f), 0);
	}
	cache_remove(fd, buf_str(&path));
	assert_int_equal(access(buf_str(&path), F_OK), -1);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
	buf_clear(&path);
}

static void
it_is_made_where_there_is_none_and_for_us_alone(void **state)
{
	struct stat st;

	(void)state;
	must_open_at(scratch_at(&scratch, "c/" NAME));
	assert_int_equal(stat(scratch_at(&scratch, "c/" NAME), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	must_open_at(scratch_at(&scratch, "c/" NAME));
}

static void
parents_are_made_too(void **state)
{
	(void)state;
	assert_int_equal(
		setenv("ASOF_CACHE_DIR", scratch_at(&scratch, "a/b/c"), 1), 0);
	must_open_at(scratch_at(&scratch, "a/b/c/" NAME));
}

static void
people_have_it_in_their_home(void **state)
{
	(void)state;
	if (geteuid() != 0 || seteuid(65534) < 0)
		skip();
	/* Not root: chown what the test stands in, and back at the end. */
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chown(scratch.path, 65534, (gid_t)-1), 0);
	assert_int_equal(unsetenv("ASOF_CACHE_DIR"), 0);
	assert_int_equal(setenv("HOME", scratch_at(&scratch, "home"), 1), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
	must_open_at(scratch_at(&scratch, "home/.cache/asof/" NAME));
	assert_int_equal(
		setenv("XDG_CACHE_HOME", scratch_at(&scratch, "xdg"), 1), 0);
	must_open_at(scratch_at(&scratch, "xdg/asof/" NAME));
	/* A relative one is as good as none. */
	assert_int_equal(setenv("XDG_CACHE_HOME", "xdg", 1), 0);
	must_open_at(scratch_at(&scratch, "home/.cache/asof/" NAME));
	assert_int_equal(setenv("HOME", "", 1), 0);
	must_open_temporary();
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
	assert_int_equal(setenv("HOME", "/root", 1), 0);
}

static void
one_that_others_can_write_is_not_used(void **state)
{
	static const mode_t modes[] = { 0770, 0707, 0777, 0720, 0702 };
	size_t i;

	(void)state;
	must_open_at(scratch_at(&scratch, "c/" NAME));
	for (i = 0; i < N_OF(modes); i++) {
		assert_int_equal(
			chmod(scratch_at(&scratch, "c/" NAME), modes[i]), 0);
		must_open_temporary();
	}
	assert_int_equal(chmod(scratch_at(&scratch, "c/" NAME), 0755), 0);
	must_open_at(scratch_at(&scratch, "c/" NAME));
}

static void
one_of_somebody_else_is_not_used(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	must_open_at(scratch_at(&scratch, "c/" NAME));
	assert_int_equal(chown(scratch_at(&scratch, "c/" NAME), 65534, 65534),
			 0);
	must_open_temporary();
}

static void
a_symlink_or_a_file_in_its_place_is_not_used(void **state)
{
	(void)state;
	assert_int_equal(mkdir(scratch_at(&scratch, "c"), 0700), 0);
	assert_int_equal(mkdir(scratch_at(&scratch, "other"), 0700), 0);
	assert_int_equal(symlink(scratch_at(&scratch, "other"),
				 scratch_at(&scratch, "c/" NAME)),
			 0);
	must_open_temporary();
	assert_int_equal(unlink(scratch_at(&scratch, "c/" NAME)), 0);
	scratch_write(scratch_at(&scratch, "c/" NAME), "x", 1);
	must_open_temporary();
}

static void
a_read_only_place_is_replaced(void **state)
{
	static const int errors[] = { EROFS, EACCES, ENOSPC };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(errors); i++) {
		struct buf path = { 0 };
		bool temporary = false;
		int fd;

		failing_plan(FAIL_OPEN, 1, false, errors[i]);
		fd = must_open(&path, &temporary);
		failing_off();
		assert_true(temporary);
		cache_remove(fd, buf_str(&path));
		buf_clear(&path);
	}
}

static void
without_any_place_it_fails(void **state)
{
	struct buf path = { 0 };
	struct err e = { 0 };
	bool temporary = false;
	int fd = -1;

	(void)state;
	failing_plan(FAIL_NAME, 1, true, ENOSPC);
	assert_int_equal(cache_open(repo_id, &fd, &path, &temporary, &e), -1);
	failing_off();
	assert_int_equal(e.kind, ERR_SYS);
	assert_int_equal(path.len, 0);
	assert_int_equal(fd, -1);
}

static void
any_failing_allocation_is_told(void **state)
{
	unsigned nth, hits;

	(void)state;
	for (nth = 1, hits = 1; hits > 0; nth++) {
		struct buf path = { 0 };
		struct err e = { 0 };
		bool temporary = false;
		int fd = -1, rc;

		failing_plan_alloc(nth, false);
		rc = cache_open(repo_id, &fd, &path, &temporary, &e);
		hits = failing_hits();
		failing_off();
		assert_int_equal(rc, hits > 0 ? -1 : 0);
		if (rc < 0)
			assert_int_equal(e.kind, ERR_NOMEM);
		else
			assert_int_equal(close(fd), 0);
		buf_clear(&path);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(it_is_made_where_there_is_none_and_for_us_alone),
		TEST(parents_are_made_too),
		TEST(people_have_it_in_their_home),
		TEST(one_that_others_can_write_is_not_used),
		TEST(one_of_somebody_else_is_not_used),
		TEST(a_symlink_or_a_file_in_its_place_is_not_used),
		TEST(a_read_only_place_is_replaced),
		TEST(without_any_place_it_fails),
		TEST(any_failing_allocation_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
