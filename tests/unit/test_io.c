#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys.h"

#include "tests/lib/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Every call goes through `fake`, a copy of sys_real in which a test
 * replaces entries.  `trace` gets one letter for each call that matters to
 * durability.  What a replaced entry does is in `plan`.
 */
static struct sys_ops fake;
static char trace[200];
static struct {
	int eintr;      /* so many EINTR before each kind of call works */
	size_t most;    /* bytes that one call moves, when not 0 */
	int fail_errno; /* what the call named here answers */
	char fail;      /* its letter in the trace */
	int fail_at;    /* at which of them, from 1; 0 is every one */
	int seen;       /* of them so far */
	int64_t fs_type;
	bool link_twice; /* the link is made, but answered with EEXIST */
} plan;

static int dir = -1; /* a new directory for each test */
static char dir_path[100];

/* Note a call; true when it has to fail (errno is set). */
static bool
planned(char letter)
{
	size_t n = strlen(trace);

	if (plan.eintr > 0) {
		plan.eintr--;
		errno = EINTR;
		return true;
	}
	if (n + 1 < sizeof(trace)) {
		trace[n] = letter;
		trace[n + 1] = '\0';
	}
	if (letter != plan.fail)
		return false;
	plan.seen++;
	if (plan.fail_at != 0 && plan.seen != plan.fail_at)
		return false;
	errno = plan.fail_errno;
	return true;
}

static size_t
at_most(size_t n)
{
	return plan.most != 0 && n > plan.most ? plan.most : n;
}

static int
fake_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	assert_true(flags & O_CLOEXEC);
	assert_true(flags & O_NOFOLLOW);
	assert_true(flags & O_NONBLOCK);
	return planned('o') ? -1 : sys_real.openat(dirfd, path, flags, mode);
}

static int
fake_close(int fd)
{
	int rc = sys_real.close(fd);

	return planned('c') ? -1 : rc;
}

static ssize_t
fake_pread(int fd, void *p, size_t n, off_t at)
{
	return planned('r') ? -1 : sys_real.pread(fd, p, at_most(n), at);
}

static ssize_t
fake_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (planned('w'))
		return errno == 0 ? 0 : -1;
	return sys_real.pwrite(fd, p, at_most(n), at);
}

static int
fake_fsync(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return planned(S_ISDIR(st.st_mode) ? 'S' : 's') ? -1
							: sys_real.fsync(fd);
}

static int
fake_linkat(int olddir, const char *old, int newdir, const char *new, int flags)
{
	int rc;

	if (planned('l'))
		return -1;
	rc = sys_real.linkat(olddir, old, newdir, new, flags);
	if (rc == 0 && plan.link_twice) {
		errno = EEXIST;
		return -1;
	}
	return rc;
}

static int
fake_renameat2(int olddir, const char *old, int newdir, const char *new,
	       unsigned flags)
{
	if (planned(flags == 0 ? 'm' : 'n'))
		return -1;
	return sys_real.renameat2(olddir, old, newdir, new, flags);
}

static int
fake_unlinkat(int dirfd, const char *path, int flags)
{
	return planned('u') ? -1 : sys_real.unlinkat(dirfd, path, flags);
}

static int
fake_mkdirat(int dirfd, const char *path, mode_t mode)
{
	return planned('d') ? -1 : sys_real.mkdirat(dirfd, path, mode);
}

static int
fake_fstat(int fd, struct stat *st)
{
	return planned('t') ? -1 : sys_real.fstat(fd, st);
}

static int
fake_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return planned('t') ? -1 : sys_real.fstatat(dirfd, path, st, flags);
}

static int
fake_flock(int fd, int op)
{
	return planned('f') ? -1 : sys_real.flock(fd, op);
}

static ssize_t
fake_getdents64(int fd, void *p, size_t n)
{
	/* Small answers, so that there are several. */
	return planned('g') ? -1
			    : sys_real.getdents64(fd, p, n < 120 ? n : 120);
}

static ssize_t
fake_getrandom(void *p, size_t n)
{
	if (planned('x'))
		return errno == 0 ? 0 : -1;
	return sys_real.getrandom(p, at_most(n));
}

static int
fake_fstatfs(int fd, struct statfs *st)
{
	int rc = sys_real.fstatfs(fd, st);

	if (plan.fs_type == -1) {
		errno = EIO;
		return -1;
	}
	if (plan.fs_type != 0)
		st->f_type = (__typeof__(st->f_type))plan.fs_type;
	return rc;
}

static void
forget(void)
{
	memset(&plan, 0, sizeof(plan));
	trace[0] = '\0';
}

static int
enter(void **state)
{
	const char *top = getenv("TMPDIR");

	(void)state;
	forget();
	fake = sys_real;
	fake.openat = fake_openat;
	fake.close = fake_close;
	fake.pread = fake_pread;
	fake.pwrite = fake_pwrite;
	fake.fsync = fake_fsync;
	fake.linkat = fake_linkat;
	fake.renameat2 = fake_renameat2;
	fake.unlinkat = fake_unlinkat;
	fake.mkdirat = fake_mkdirat;
	fake.flock = fake_flock;
	fake.getdents64 = fake_getdents64;
	fake.getrandom = fake_getrandom;
	fake.fstatfs = fake_fstatfs;
	sys_repo = &fake;
	(void)snprintf(dir_path, sizeof(dir_path), "%s/asof-io-XXXXXX",
		       top != NULL ? top : "/tmp");
	if (mkdtemp(dir_path) == NULL)
		return -1;
	dir = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : 0;
}

static int
remove_one(void *ctx, const char *name, struct err *e)
{
	(void)ctx;
	(void)e;
	if (unlinkat(dir, name, 0) < 0)
		(void)unlinkat(dir, name, AT_REMOVEDIR);
	return 0;
}

static int
leave(void **state)
{
	(void)state;
	sys_repo = &sys_real;
	if (io_list(dir, "test", remove_one, NULL, NULL) < 0)
		return -1;
	close(dir);
	return rmdir(dir_path);
}

static int
count_one(void *ctx, const char *name, struct err *e)
{
	int *n = ctx;

	(void)name;
	(void)e;
	(*n)++;
	return 0;
}

/* Entries in the directory. */
static int
entries(void)
{
	int n = 0;

	sys_repo = &sys_real;
	assert_int_equal(io_list(dir, "test", count_one, &n, NULL), 0);
	sys_repo = &fake;
	return n;
}

static void
put(const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void
assert_holds(const char *name, const char *text)
{
	struct buf b = { 0 };

	sys_repo = &sys_real;
	assert_int_equal(io_read_file(dir, name, 100, &b, NULL), 0);
	sys_repo = &fake;
	assert_string_equal(buf_str(&b), text);
	buf_clear(&b);
}

static void
assert_absent(const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(errno, ENOENT);
}

static void
io_open_tells_a_missing_file_from_a_failure(void **state)
{
	struct err e = { 0 };
	bool missing = false;

	(void)state;
	assert_int_equal(io_open(dir, "no", O_RDONLY, 0, &missing, &e), -1);
	assert_true(missing);
	assert_int_equal(e.kind, ERR_NONE);
	assert_int_equal(io_open(dir, "no", O_RDONLY, 0, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	assert_int_equal(e.saved_errno, ENOENT);
	assert_string_equal(e.text, "open no: No such file or directory");

	err_clear(&e);
	put("a", "");
	assert_int_equal(io_open(dir, "a/b", O_RDONLY, 0, &missing, &e), -1);
	assert_false(missing);
	assert_int_equal(e.saved_errno, ENOTDIR);
}

static void
io_open_shows_a_name_that_is_not_printable(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(io_open(dir, "\x1b[2J", O_RDONLY, 0, NULL, &e), -1);
	assert_string_equal(e.text, "open \\x1b[2J: No such file or directory");
}

static void
io_open_follows_no_symlink_and_waits_for_no_fifo(void **state)
{
	struct err e = { 0 };
	uint64_t size;
	int fd;

	(void)state;
	put("a", "x");
	assert_int_equal(symlinkat("a", dir, "link"), 0);
	assert_int_equal(io_open(dir, "link", O_RDONLY, 0, NULL, &e), -1);
	assert_int_equal(e.saved_errno, ELOOP);
	err_clear(&e);
	assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
	fd = io_open(dir, "fifo", O_RDONLY, 0, NULL, &e);
	assert_true(fd >= 0);
	assert_int_equal(io_size(fd, &size, "fifo", &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_int_equal(io_close(fd, "fifo", NULL), 0);
}

static void
io_open_dir_opens_only_directories(void **state)
{
	struct err e = { 0 };
	int fd;

	(void)state;
	put("a", "");
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	fd = io_open_dir(dir, "d", &e);
	assert_true(fd >= 0);
	assert_int_equal(io_close(fd, "d", &e), 0);
	assert_int_equal(io_open_dir(dir, "a", &e), -1);
	assert_int_equal(e.saved_errno, ENOTDIR);
}

static void
io_close_reports_what_a_late_write_met(void **state)
{
	struct err e = { 0 };
	int fd;

	(void)state;
	assert_int_equal(io_close(-1, "none", &e), 0);
	assert_string_equal(trace, "");
	put("a", "");
	fd = io_open(dir, "a", O_RDONLY, 0, NULL, &e);
	plan.fail = 'c';
	plan.fail_errno = ENOSPC;
	assert_int_equal(io_close(fd, "a", &e), -1);
	assert_int_equal(e.saved_errno, ENOSPC);
	/* After EINTR the descriptor is gone: asking again hits another. */
	forget();
	fd = io_open(dir, "a", O_RDONLY, 0, NULL, NULL);
	plan.eintr = 1;
	assert_int_equal(io_close(fd, "a", NULL), 0);
	assert_string_equal(trace, "o");
}

static void
io_reads_and_writes_go_on_after_eintr_and_short_counts(void **state)
{
	char out[10];
	int fd;

	(void)state;
	plan.eintr = 2;
	fd = io_open(dir, "a", O_RDWR | O_CREAT, 0600, NULL, NULL);
	assert_true(fd >= 0);
	plan.eintr = 2;
	plan.most = 3;
	assert_int_equal(io_write_at(fd, "0123456789", 10, 5, "a", NULL), 0);
	assert_string_equal(trace, "owwww");
	trace[0] = '\0';
	plan.eintr = 2;
	assert_int_equal(io_read_at(fd, out, 10, 5, "a", NULL), 0);
	assert_memory_equal(out, "0123456789", 10);
	assert_string_equal(trace, "rrrr");
	plan.eintr = 2;
	assert_int_equal(io_sync(fd, "a", NULL), 0);
	assert_int_equal(io_close(fd, "a", NULL), 0);
}

static void
io_read_at_calls_a_file_that_ends_early_corrupt(void **state)
{
	/* clang-format off */
	static const struct {
		size_t n;
		uint64_t at;
		ssize_t some; /* what io_read_some gives */
	} t[] = {
		{ 4, 0, 3 },
		{ 3, 1, 2 },
		{ 1, 3, 0 },
		{ 1, UINT64_C(1) << 40, 0 },
		{ 1, INT64_MAX, 0 },
		{ 2, INT64_MAX - 1, 0 },
		{ 1, UINT64_C(1) << 63, 0 },
		{ 1, UINT64_MAX, 0 },
	};
	/* clang-format on */
	char out[8];
	size_t i;
	int fd;

	(void)state;
	put("a", "abc");
	fd = io_open(dir, "a", O_RDONLY, 0, NULL, NULL);
	for (i = 0; i < N_OF(t); i++) {
		struct err e = { 0 };

		assert_int_equal(io_read_at(fd, out, t[i].n, t[i].at, "a", &e),
				 -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_int_equal(
			io_read_some(fd, out, t[i].n, t[i].at, "a", NULL),
			t[i].some);
	}
	assert_int_equal(io_read_at(fd, out, 3, 0, "a", NULL), 0);
	assert_int_equal(io_read_at(fd, out, 0, 3, "a", NULL), 0);
	assert_int_equal(io_close(fd, "a", NULL), 0);
}

static void
io_read_and_write_report_the_error_of_the_disk(void **state)
{
	struct err e = { 0 };
	char out[8];
	int fd;

	(void)state;
	put("a", "abc");
	fd = io_open(dir, "a", O_RDWR, 0, NULL, NULL);
	plan.fail = 'r';
	plan.fail_errno = EIO;
	assert_int_equal(io_read_at(fd, out, 1, 0, "a", &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	assert_string_equal(e.text, "read a: Input/output error");
	err_clear(&e);
	plan.fail = 'w';
	plan.fail_errno = ENOSPC;
	plan.most = 1;
	plan.seen = 0;
	plan.fail_at = 2;
	assert_int_equal(io_write_at(fd, "xyz", 3, 0, "a", &e), -1);
	assert_int_equal(e.saved_errno, ENOSPC);
	/* A write of no bytes at all must not be tried for ever. */
	err_clear(&e);
	plan.fail_errno = 0;
	plan.fail_at = 0;
	assert_int_equal(io_write_at(fd, "xyz", 3, 0, "a", &e), -1);
	assert_int_equal(e.saved_errno, ENOSPC);
	err_clear(&e);
	assert_int_equal(io_write_at(fd, "x", 1, INT64_MAX, "a", &e), -1);
	assert_int_equal(e.saved_errno, EFBIG);
	assert_int_equal(io_close(fd, "a", NULL), 0);
}

static void
io_sync_is_not_repeated_after_a_failure(void **state)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT, EINVAL };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(errors); i++) {
		struct err e = { 0 };

		forget();
		plan.fail = 'S';
		plan.fail_errno = errors[i];
		assert_int_equal(io_sync_dir(dir, "packs", &e), -1);
		assert_int_equal(e.saved_errno, errors[i]);
		assert_string_equal(trace, "S");
	}
}

static void
io_read_file_reads_all_or_nothing(void **state)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(io_read_file(dir, "no", 10, &b, &e), 1);
	assert_int_equal(e.kind, ERR_NONE);
	put("a", "12345");
	put("empty", "");
	buf_add_str(&b, "kept-");
	assert_int_equal(io_read_file(dir, "a", 5, &b, &e), 0);
	assert_int_equal(io_read_file(dir, "empty", 0, &b, &e), 0);
	assert_string_equal(buf_str(&b), "kept-12345");
	assert_int_equal(io_read_file(dir, "a", 4, &b, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_string_equal(e.text, "a: 5 bytes long, at most 4 allowed");
	err_clear(&e);
	plan.fail = 'r';
	plan.fail_errno = EIO;
	plan.most = 2;
	plan.fail_at = 2;
	assert_int_equal(io_read_file(dir, "a", 5, &b, &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	assert_string_equal(buf_str(&b), "kept-12345");
	err_clear(&e);
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	assert_int_equal(io_read_file(dir, "d", 5, &b, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	err_clear(&e);
	fake.fstat = fake_fstat;
	plan.fail = 't';
	plan.fail_at = 0;
	assert_int_equal(io_read_file(dir, "a", 5, &b, &e), -1);
	assert_string_equal(e.text, "stat a: Input/output error");
	buf_clear(&b);
}

static bool
fail_all(size_t size)
{
	(void)size;
	return true;
}

static void
io_read_file_and_io_list_report_that_memory_ran_out(void **state)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	int n = 0;

	(void)state;
	put("a", "12345");
	mem_fail(fail_all);
	assert_int_equal(io_read_file(dir, "a", 5, &b, &e), -1);
	assert_int_equal(e.kind, ERR_NOMEM);
	err_clear(&e);
	assert_int_equal(io_list(dir, "d", count_one, &n, &e), -1);
	mem_fail(NULL);
	assert_int_equal(e.kind, ERR_NOMEM);
	buf_clear(&b);
}

static void
io_publish_syncs_the_file_then_names_it_then_syncs_the_directory(void **state)
{
	(void)state;
	assert_int_equal(io_publish(dir, "a", "one", 3, false, NULL), 0);
	assert_string_equal(trace, "xowscluS");
	assert_holds("a", "one");
	trace[0] = '\0';
	assert_int_equal(io_publish(dir, "a", "two", 3, true, NULL), 0);
	assert_string_equal(trace, "xowscmS");
	assert_holds("a", "two");
	assert_int_equal(io_publish(dir, "empty", NULL, 0, false, NULL), 0);
	assert_holds("empty", "");
	assert_int_equal(entries(), 2);
}

static void
io_publish_leaves_an_existing_name_alone(void **state)
{
	struct err e = { 0 };

	(void)state;
	put("a", "old");
	assert_int_equal(io_publish(dir, "a", "new", 3, false, &e), 1);
	assert_int_equal(e.kind, ERR_NONE);
	assert_holds("a", "old");
	assert_int_equal(entries(), 1);
	/* Also one that leads nowhere. */
	assert_int_equal(symlinkat("nowhere", dir, "link"), 0);
	assert_int_equal(io_publish(dir, "link", "new", 3, false, &e), 1);
	assert_int_equal(entries(), 2);
}

static void
io_publish_without_hard_links_renames_without_replacing(void **state)
{
	static const int errors[] = { EPERM, EOPNOTSUPP, ENOSYS };
	char name[] = "a";
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(errors); i++) {
		forget();
		plan.fail = 'l';
		plan.fail_errno = errors[i];
		name[0] = (char)('a' + i);
		assert_int_equal(io_publish(dir, name, "one", 3, false, NULL),
				 0);
		assert_string_equal(trace, "xowsclnS");
		assert_int_equal(io_publish(dir, name, "two", 3, false, NULL),
				 1);
		assert_holds(name, "one");
	}
	assert_int_equal(entries(), 3);
}

static void
io_publish_knows_its_own_link_again(void **state)
{
	(void)state;
	plan.link_twice = true;
	assert_int_equal(io_publish(dir, "a", "one", 3, false, NULL), 0);
	assert_holds("a", "one");
	assert_int_equal(entries(), 1);
}

static void
io_publish_that_fails_leaves_nothing(void **state)
{
	/* Every call on the way, first without, then with replacing. */
	static const char letters[] = "xowsclSm";
	size_t i;

	(void)state;
	for (i = 0; letters[i] != '\0'; i++) {
		struct err e = { 0 };
		bool replace = letters[i] == 'm';

		forget();
		plan.fail = letters[i];
		plan.fail_errno = EIO;
		assert_int_equal(io_publish(dir, "a", "one", 3, replace, &e),
				 -1);
		assert_int_equal(e.kind, ERR_SYS);
		assert_int_equal(e.saved_errno, EIO);
		assert_absent("a");
		assert_int_equal(entries(), 0);
	}
}

static void
io_publish_that_fails_to_replace_leaves_a_whole_file(void **state)
{
	static const char letters[] = "xowscmS";
	size_t i;

	(void)state;
	for (i = 0; letters[i] != '\0'; i++) {
		put("a", "old");
		forget();
		plan.fail = letters[i];
		plan.fail_errno = ENOSPC;
		assert_int_equal(io_publish(dir, "a", "new", 3, true, NULL),
				 -1);
		assert_holds("a", letters[i] == 'S' ? "new" : "old");
		assert_int_equal(entries(), 1);
	}
}

static void
io_publish_never_names_a_file_whose_sync_failed(void **state)
{
	(void)state;
	plan.fail = 's';
	plan.fail_errno = EIO;
	assert_int_equal(io_publish(dir, "a", "one", 3, false, NULL), -1);
	assert_string_equal(trace, "xowscu");
}

static void
io_random_loops_and_is_never_a_constant(void **state)
{
	static const uint8_t zero[40];
	uint8_t a[40] = { 0 };
	uint8_t b[40] = { 0 };
	struct err e = { 0 };

	(void)state;
	plan.eintr = 3;
	plan.most = 7;
	assert_int_equal(io_random(a, sizeof(a), &e), 0);
	assert_int_equal(io_random(b, sizeof(b), &e), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_not_equal(a + 33, zero, 7);
	plan.fail = 'x';
	plan.fail_errno = ENOSYS;
	assert_int_equal(io_random(a, sizeof(a), &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	err_clear(&e);
	plan.fail_errno = 0; /* answers "no bytes" */
	assert_int_equal(io_random(a, sizeof(a), &e), -1);
	assert_int_equal(e.saved_errno, EIO);
}

static void
io_random_name_is_hexadecimal(void **state)
{
	char a[IO_RANDOM_NAME_LEN + 1];
	char b[IO_RANDOM_NAME_LEN + 1];

	(void)state;
	assert_int_equal(io_random_name(a, NULL), 0);
	assert_int_equal(io_random_name(b, NULL), 0);
	assert_int_equal(strlen(a), IO_RANDOM_NAME_LEN);
	assert_int_equal(strspn(a, "0123456789abcdef"), IO_RANDOM_NAME_LEN);
	assert_string_not_equal(a, b);
	plan.fail = 'x';
	plan.fail_errno = EIO;
	assert_int_equal(io_random_name(a, NULL), -1);
}

static void
io_mkdir_is_durable_even_when_it_was_there(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(io_mkdir(dir, "d", 0700, &e), 0);
	assert_string_equal(trace, "dS");
	assert_int_equal(io_mkdir(dir, "d", 0700, &e), 0);
	assert_string_equal(trace, "dSdS");
	plan.fail = 'S';
	plan.fail_errno = EIO;
	assert_int_equal(io_mkdir(dir, "d", 0700, &e), -1);
	assert_int_equal(e.saved_errno, EIO);
	err_clear(&e);
	plan.fail = 'd';
	plan.fail_errno = EROFS;
	assert_int_equal(io_mkdir(dir, "e", 0700, &e), -1);
	assert_int_equal(e.saved_errno, EROFS);
}

static void
io_mkdir_refuses_what_is_no_real_directory(void **state)
{
	struct err a = { 0 };
	struct err b = { 0 };

	(void)state;
	put("file", "");
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	assert_int_equal(symlinkat("d", dir, "link"), 0);
	assert_int_equal(io_mkdir(dir, "file", 0700, &a), -1);
	assert_int_equal(a.kind, ERR_CORRUPT);
	assert_int_equal(io_mkdir(dir, "link", 0700, &b), -1);
	assert_int_equal(b.kind, ERR_CORRUPT);
	err_clear(&b);
	fake.fstatat = fake_fstatat;
	plan.fail = 't';
	plan.fail_errno = EIO;
	assert_int_equal(io_mkdir(dir, "d", 0700, &b), -1);
	assert_string_equal(b.text, "stat d: Input/output error");
}

static void
io_unlink_takes_it_that_the_file_is_gone(void **state)
{
	struct err e = { 0 };

	(void)state;
	put("a", "");
	assert_int_equal(io_unlink(dir, "a", &e), 0);
	assert_absent("a");
	assert_int_equal(io_unlink(dir, "a", &e), 0);
	plan.fail = 'u';
	plan.fail_errno = EACCES;
	assert_int_equal(io_unlink(dir, "a", &e), -1);
	assert_int_equal(e.saved_errno, EACCES);
}

static void
io_remove_tree_follows_nothing_and_stops_at_its_depth(void **state)
{
	struct err e = { 0 };

	(void)state;
	put("kept", "");
	assert_int_equal(mkdirat(dir, "t", 0700), 0);
	assert_int_equal(mkdirat(dir, "t/u", 0700), 0);
	assert_int_equal(mkdirat(dir, "t/u/v", 0700), 0);
	assert_int_equal(symlinkat("../..", dir, "t/u/up"), 0);
	put("t/a", "");
	assert_int_equal(io_remove_tree(dir, "t", 1, &e), -1);
	assert_true(e.text[0] != '\0');
	assert_int_equal(io_remove_tree(dir, "t", 2, NULL), 0);
	assert_absent("t");
	assert_int_equal(faccessat(dir, "kept", F_OK, 0), 0);
	assert_int_equal(io_remove_tree(dir, "t", 2, NULL), 0);
	assert_int_equal(io_remove_tree(dir, "kept", 2, NULL), -1);
}

static void
io_mkdirs_and_io_rename_take_what_is_there(void **state)
{
	char path[300];

	(void)state;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/x/y", dir);
	assert_int_equal(io_mkdirs(path, 0700, NULL), 0);
	assert_int_equal(io_mkdirs(path, 0700, NULL), 0);
	put("x/y/a", "");
	assert_int_equal(io_rename(dir, "x/y/a", "x/a", NULL), 0);
	assert_absent("x/y/a");
	put("x/y/a", "");
	assert_int_equal(io_rename(dir, "x/y/a", "x/a", NULL), 0);
	assert_int_equal(io_rename(dir, "x/y/a", "x/a", NULL), -1);
	assert_int_equal(io_remove_tree(dir, "x", 1, NULL), 0);
}

static int
mark_name(void *ctx, const char *name, struct err *e)
{
	int *seen = ctx;
	int n = (int)strtol(name + 1, NULL, 10);

	(void)e;
	assert_in_range(n, 0, 49);
	seen[n]++;
	return 0;
}

static int
stop_at_once(void *ctx, const char *name, struct err *e)
{
	(*(int *)ctx)++;
	return err_set(e, ERR_CANCELLED, "stop at %c", name[0]);
}

static void
io_list_gives_every_name_once(void **state)
{
	int seen[50] = { 0 };
	struct err e = { 0 };
	char name[16];
	int round;
	int i;

	(void)state;
	for (i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		put(name, "");
	}
	fake.openat = sys_real.openat;
	plan.eintr = 3;
	for (round = 1; round <= 2; round++) {
		assert_int_equal(io_list(dir, "d", mark_name, seen, &e), 0);
		for (i = 0; i < 50; i++)
			assert_int_equal(seen[i], round);
	}
	i = 0;
	assert_int_equal(io_list(dir, "d", stop_at_once, &i, &e), -1);
	assert_int_equal(i, 1);
	assert_int_equal(e.kind, ERR_CANCELLED);
	assert_string_equal(e.text, "stop at n");
}

static void
io_list_reports_a_listing_that_breaks_off(void **state)
{
	struct err e = { 0 };
	int n = 0;

	(void)state;
	put("a", "");
	plan.fail = 'g';
	plan.fail_errno = EIO;
	plan.fail_at = 2;
	assert_int_equal(io_list(dir, "packs", count_one, &n, &e), -1);
	assert_string_equal(e.text, "list packs: Input/output error");
	err_clear(&e);
	plan.fail = 'o';
	plan.fail_at = 0;
	assert_int_equal(io_list(dir, "packs", count_one, &n, &e), -1);
	assert_string_equal(e.text, "list packs: open .: Input/output error");
}

static void
io_lock_says_who_holds_it(void **state)
{
	struct err e = { 0 };
	int a;
	int b;

	(void)state;
	put("lock", "");
	a = io_open(dir, "lock", O_RDWR, 0, NULL, NULL);
	b = io_open(dir, "lock", O_RDWR, 0, NULL, NULL);
	plan.eintr = 2;
	assert_int_equal(io_lock(a, false, "lock", &e), 0);
	assert_int_equal(io_lock(b, false, "lock", &e), 0);
	assert_int_equal(io_lock(b, true, "lock", &e), 1);
	assert_int_equal(io_close(a, "lock", NULL), 0);
	assert_int_equal(io_lock(b, true, "lock", &e), 0);
	a = io_open(dir, "lock", O_RDWR, 0, NULL, NULL);
	assert_int_equal(io_lock(a, false, "lock", &e), 1);
	assert_int_equal(e.kind, ERR_NONE);
	plan.fail = 'f';
	plan.fail_errno = ENOLCK;
	assert_int_equal(io_lock(a, true, "lock", &e), -1);
	assert_int_equal(e.saved_errno, ENOLCK);
	assert_int_equal(io_close(a, "lock", NULL), 0);
	assert_int_equal(io_close(b, "lock", NULL), 0);
}

static void
io_is_remote_knows_the_file_systems(void **state)
{
	/* clang-format off */
	static const struct {
		int64_t type;
		bool remote;
	} t[] = {
		{ 0x6969, true },           /* NFS */
		{ 0xff534d42, true },       /* CIFS */
		{ (int32_t)0xff534d42, true },
		{ 0xfe534d42, true },       /* SMB2 */
		{ 0x65735546, true },       /* FUSE */
		{ 0xef53, false },          /* ext4 */
		{ 0x58465342, false },      /* XFS */
		{ 0x9123683e, false },      /* btrfs */
		{ 0x01021994, false },      /* tmpfs */
		{ -1, false },              /* statfs fails */
	};
	/* clang-format on */
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		plan.fs_type = t[i].type;
		assert_int_equal(io_is_remote(dir), t[i].remote);
	}
}

static void
sys_real_has_what_glibc_lacks(void **state)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH };
	struct stat st;
	int fd;

	(void)state;
	put("a", "");
	fd = sys_real.openat2(dir, "a", &how);
	assert_true(fd >= 0 || errno == ENOSYS);
	if (fd >= 0)
		close(fd);
	assert_int_equal(sys_real.openat2(dir, "../a", &how), -1);
	assert_true(errno == EXDEV || errno == ENOSYS);
	assert_int_equal(sys_real.fchmodat(dir, "a", 0640), 0);
	assert_int_equal(fstatat(dir, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

#define T(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int
main(void)
{
	/* clang-format off */
	const struct CMUnitTest tests[] = {
		T(io_open_tells_a_missing_file_from_a_failure),
		T(io_open_shows_a_name_that_is_not_printable),
		T(io_open_follows_no_symlink_and_waits_for_no_fifo),
		T(io_open_dir_opens_only_directories),
		T(io_close_reports_what_a_late_write_met),
		T(io_reads_and_writes_go_on_after_eintr_and_short_counts),
		T(io_read_at_calls_a_file_that_ends_early_corrupt),
		T(io_read_and_write_report_the_error_of_the_disk),
		T(io_sync_is_not_repeated_after_a_failure),
		T(io_read_file_reads_all_or_nothing),
		T(io_read_file_and_io_list_report_that_memory_ran_out),
		T(io_publish_syncs_the_file_then_names_it_then_syncs_the_directory),
		T(io_publish_leaves_an_existing_name_alone),
		T(io_publish_without_hard_links_renames_without_replacing),
		T(io_publish_knows_its_own_link_again),
		T(io_publish_that_fails_leaves_nothing),
		T(io_publish_that_fails_to_replace_leaves_a_whole_file),
		T(io_publish_never_names_a_file_whose_sync_failed),
		T(io_random_loops_and_is_never_a_constant),
		T(io_random_name_is_hexadecimal),
		T(io_mkdir_is_durable_even_when_it_was_there),
		T(io_mkdir_refuses_what_is_no_real_directory),
		T(io_unlink_takes_it_that_the_file_is_gone),
		T(io_remove_tree_follows_nothing_and_stops_at_its_depth),
		T(io_mkdirs_and_io_rename_take_what_is_there),
		T(io_list_gives_every_name_once),
		T(io_list_reports_a_listing_that_breaks_off),
		T(io_lock_says_who_holds_it),
		T(io_is_remote_knows_the_file_systems),
		T(sys_real_has_what_glibc_lacks),
	};
	/* clang-format on */

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
