#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/src.h"
#include "base/sys.h"

#include "tests/lib/cmocka_all.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

/* A copy of sys_real in which each test replaces what it needs. */
static struct sys_ops fake;
static int eintr; /* so many EINTR before a call works */
static int fail_errno;
static int calls;

static int dir = -1; /* a new directory for each test */
static char dir_path[100];

static int
enter(void **state)
{
	const char *top = getenv("TMPDIR");

	(void)state;
	fake = sys_real;
	sys_source = &fake;
	eintr = 0;
	fail_errno = 0;
	calls = 0;
	(void)snprintf(dir_path, sizeof(dir_path), "%s/asof-src-XXXXXX",
		       top != NULL ? top : "/tmp");
	if (mkdtemp(dir_path) == NULL)
		return -1;
	dir = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : 0;
}

static int
leave(void **state)
{
	struct dirent *d;
	DIR *all;

	(void)state;
	sys_source = &sys_real;
	/* btrfs lists no more than there was when the descriptor was opened. */
	all = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (all == NULL)
		return -1;
	while ((d = readdir(all)) != NULL)
		if (unlinkat(dir, d->d_name, 0) < 0)
			(void)unlinkat(dir, d->d_name, AT_REMOVEDIR);
	(void)closedir(all);
	close(dir);
	return rmdir(dir_path);
}

static void
put(const char *name, const void *p, size_t len)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), len);
	close(fd);
}

static bool
interrupted(void)
{
	if (eintr == 0)
		return false;
	eintr--;
	errno = EINTR;
	return true;
}

static int allocations_left;

static bool
fail_later(size_t size)
{
	(void)size;
	return allocations_left-- <= 0;
}

static int last_flags;

static int
open_checked(int dirfd, const char *path, int flags, mode_t mode)
{
	if (interrupted())
		return -1;
	calls++;
	last_flags = flags;
	return sys_real.openat(dirfd, path, flags, mode);
}

static int
open_without_noatime(int dirfd, const char *path, int flags, mode_t mode)
{
	calls++;
	last_flags = flags;
	if (flags & O_NOATIME) {
		errno = EPERM;
		return -1;
	}
	return sys_real.openat(dirfd, path, flags, mode);
}

static int
open_refused(int dirfd, const char *path, int flags, mode_t mode)
{
	(void)dirfd;
	(void)path;
	(void)flags;
	(void)mode;
	calls++;
	errno = fail_errno;
	return -1;
}

static void
src_open_leaves_atime_alone_and_follows_nothing(void **state)
{
	int fd;

	(void)state;
	fake.openat = open_checked;
	eintr = 3;
	put("a", "x", 1);
	fd = src_open(dir, "a", 0, NULL);
	assert_true(fd >= 0);
	assert_int_equal(calls, 1);
	assert_int_equal(last_flags & O_ACCMODE, O_RDONLY);
	assert_int_equal(last_flags & (O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC |
				       O_NOATIME | O_DIRECTORY),
			 O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME);
	src_close(fd);
	fd = src_open(dir, ".", O_DIRECTORY, NULL);
	assert_true(fd >= 0);
	assert_true(last_flags & O_DIRECTORY);
	src_close(fd);
	src_close(-1);
}

static void
src_open_of_somebody_elses_file_goes_without_noatime(void **state)
{
	int fd;

	(void)state;
	fake.openat = open_without_noatime;
	put("a", "x", 1);
	fd = src_open(dir, "a", 0, NULL);
	assert_true(fd >= 0);
	assert_int_equal(calls, 2);
	assert_int_equal(
		last_flags & (O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME),
		O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	src_close(fd);
}

static void
src_open_failures_are_the_sources_own(void **state)
{
	/* clang-format off */
	static const struct {
		int error;
		int calls;
	} t[] = { { EPERM, 2 }, { EACCES, 1 }, { ENXIO, 1 }, { ESTALE, 1 } };
	/* clang-format on */
	struct err e = { 0 };
	size_t i;

	(void)state;
	assert_int_equal(src_open(dir, "no", 0, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(e.saved_errno, ENOENT);
	assert_string_equal(e.text, "open no: No such file or directory");
	fake.openat = open_refused;
	for (i = 0; i < N_OF(t); i++) {
		calls = 0;
		err_clear(&e);
		fail_errno = t[i].error;
		assert_int_equal(src_open(dir, "a\n", 0, &e), -1);
		assert_int_equal(e.kind, ERR_SOURCE);
		assert_int_equal(e.saved_errno, t[i].error);
		assert_int_equal(calls, t[i].calls);
		assert_memory_equal(e.text, "open a\\n: ", 10);
	}
}

static void
src_open_waits_for_no_fifo_and_refuses_symlinks(void **state)
{
	struct err e = { 0 };
	int fd;

	(void)state;
	assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
	fd = src_open(dir, "fifo", 0, NULL);
	assert_true(fd >= 0);
	src_close(fd);
	assert_int_equal(symlinkat(".", dir, "link"), 0);
	assert_int_equal(src_open(dir, "link", 0, &e), -1);
	assert_int_equal(e.saved_errno, ELOOP);
	err_clear(&e);
	assert_int_equal(src_open(dir, "link", O_DIRECTORY, &e), -1);
	assert_int_equal(e.saved_errno, ENOTDIR);
}

static unsigned moved; /* so often the kernel cannot tell */

static int
openat2_moved(int dirfd, const char *path, const struct open_how *how)
{
	if (interrupted())
		return -1;
	calls++;
	last_flags = (int)how->flags;
	if (moved > 0) {
		moved--;
		errno = EAGAIN;
		return -1;
	}
	return sys_real.openat2(dirfd, path, how);
}

static void
src_open_beneath_leaves_the_directory_on_no_way(void **state)
{
	static const struct {
		const char *path;
		int want;
	} t[] = {
		{ "d/a", 0 },
		{ ".", 0 },
		{ "d/../d/a", 0 },
		{ "../x", EXDEV },
		{ "/etc/passwd", EXDEV },
		{ "d/link", ELOOP },
		{ "dlink/a", ELOOP },
		{ "d/up", ELOOP },
		{ "d/none", ENOENT },
		{ "d/a/x", ENOTDIR },
	};
	struct sys_ops ops = sys_real;
	size_t i;

	(void)state;
	if (openat2_moved(dir, ".", &(struct open_how){ .flags = O_PATH }) < 0)
		skip();
	ops.openat2 = openat2_moved;
	sys_source = &ops;
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	put("d/a", "1", 1);
	assert_int_equal(symlinkat("a", dir, "d/link"), 0);
	assert_int_equal(symlinkat("d", dir, "dlink"), 0);
	assert_int_equal(symlinkat("..", dir, "d/up"), 0);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct err e = { 0 };
		int fd = src_open_beneath(dir, t[i].path, 0, &e);

		src_close(fd);
		if ((fd < 0 ? e.saved_errno : 0) != t[i].want)
			fail_msg("%s: %s", t[i].path, e.text);
	}
	/* What moves for a moment is tried again, but not for ever. */
	moved = 3;
	i = (size_t)src_open_beneath(dir, "d/a", 0, NULL);
	assert_true((int)i >= 0);
	src_close((int)i);
	moved = 1000000;
	assert_int_equal(src_open_beneath(dir, "d/a", 0, NULL), -1);
	moved = 0;
	assert_int_equal(unlinkat(dir, "d/a", 0), 0);
	assert_int_equal(unlinkat(dir, "d/link", 0), 0);
	assert_int_equal(unlinkat(dir, "d/up", 0), 0);
}

static int
statx_checked(int dirfd, const char *path, int flags, unsigned mask,
	      struct statx *st)
{
	if (interrupted())
		return -1;
	assert_true(flags & AT_SYMLINK_NOFOLLOW);
	assert_true(flags & AT_NO_AUTOMOUNT);
	assert_int_equal(flags & AT_EMPTY_PATH, *path ? 0 : AT_EMPTY_PATH);
	assert_int_equal(mask, SRC_STATX_MASK);
	return sys_real.statx(dirfd, path, flags, mask, st);
}

static void
src_stat_looks_at_the_name_itself(void **state)
{
	struct err e = { 0 };
	struct statx st;

	(void)state;
	fake.statx = statx_checked;
	eintr = 2;
	put("a", "abc", 3);
	assert_int_equal(symlinkat("a", dir, "link"), 0);
	assert_int_equal(src_stat(dir, "a", &st, &e), 0);
	assert_int_equal(st.stx_size, 3);
	assert_int_equal(src_stat(dir, "link", &st, &e), 0);
	assert_true(S_ISLNK(st.stx_mode));
	assert_int_equal(src_stat(dir, "", &st, &e), 0);
	assert_true(S_ISDIR(st.stx_mode));
	assert_int_equal(src_stat(dir, "no", &st, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(e.saved_errno, ENOENT);
	assert_true(S_ISDIR(st.stx_mode));
}

static ssize_t
pread_slowly(int fd, void *p, size_t n, off_t at)
{
	if (interrupted())
		return -1;
	calls++;
	if (fail_errno != 0 && calls > 1) {
		errno = fail_errno;
		return -1;
	}
	return sys_real.pread(fd, p, n < 3 ? n : 3, at);
}

static void
src_read_stops_only_at_the_end(void **state)
{
	/* clang-format off */
	static const struct {
		size_t n;
		uint64_t at;
		ssize_t want;
		int calls;
	} t[] = {
		{ 10, 0, 10, 4 },
		{ 12, 0, 10, 5 },
		{ 4, 5, 4, 2 },
		{ 4, 8, 2, 2 },
		{ 4, 10, 0, 1 },
		{ 4, 1000, 0, 1 },
		{ 0, 0, 0, 0 },
		{ 4, UINT64_MAX, 0, 0 },
		{ 4, UINT64_C(1) << 63, 0, 0 },
	};
	/* clang-format on */
	uint64_t tally = 0;
	uint64_t total = 0;
	char out[20];
	size_t i;
	int fd;

	(void)state;
	put("a", "0123456789", 10);
	fake.pread = pread_slowly;
	fd = src_open(dir, "a", 0, NULL);
	for (i = 0; i < N_OF(t); i++) {
		calls = 0;
		eintr = t[i].calls > 0 ? 2 : 0;
		assert_int_equal(
			src_read(fd, out, t[i].n, t[i].at, &tally, NULL),
			t[i].want);
		assert_int_equal(calls, t[i].calls);
		assert_memory_equal(out, &"0123456789"[t[i].at % 10],
				    (size_t)t[i].want);
		total += (uint64_t)t[i].want;
		assert_int_equal(tally, total);
	}
	assert_int_equal(src_read(fd, out, 1, 0, NULL, NULL), 1);
	src_close(fd);
}

static void
src_read_that_breaks_off_is_a_failure(void **state)
{
	struct err e = { 0 };
	uint64_t tally = 5;
	char out[20];
	int fd;

	(void)state;
	put("a", "0123456789", 10);
	fake.pread = pread_slowly;
	fail_errno = EIO;
	fd = src_open(dir, "a", 0, NULL);
	assert_int_equal(src_read(fd, out, 10, 0, &tally, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(e.saved_errno, EIO);
	assert_string_equal(e.text, "read at 3: Input/output error");
	assert_int_equal(tally, 5);
	src_close(fd);
}

static void
src_counts_every_byte_and_call(void **state)
{
	struct src_counts a;
	struct src_counts b;
	struct statx st;
	char out[20];
	int fd;

	(void)state;
	put("a", "0123456789", 10);
	fake.pread = pread_slowly;
	src_counts(&a);
	fd = src_open(dir, "a", 0, NULL);
	(void)src_open(dir, "no", 0, NULL);
	(void)src_stat(dir, "a", &st, NULL);
	(void)src_stat(dir, "no", &st, NULL);
	(void)src_stat(fd, "", &st, NULL);
	(void)src_read(fd, out, 20, 4, NULL, NULL);
	src_counts(&b);
	assert_int_equal(b.opens - a.opens, 2);
	assert_int_equal(b.stats - a.stats, 3);
	assert_int_equal(b.reads - a.reads, 3);
	assert_int_equal(b.bytes - a.bytes, 6);
	src_close(fd);
}

/* A made-up file: data at 10..20 and 30..40, a hole up to 50. */
static off_t
seek_made_up(int fd, off_t at, int whence)
{
	(void)fd;
	if (interrupted())
		return -1;
	if (at >= 50 || (whence == SEEK_DATA && at >= 40)) {
		errno = ENXIO;
		return -1;
	}
	if (whence == SEEK_DATA)
		return at < 10 ? 10 : at < 20 ? at : at < 30 ? 30 : at;
	assert_int_equal(whence, SEEK_HOLE);
	return at < 10 ? at : at < 20 ? 20 : at < 30 ? at : at < 40 ? 40 : at;
}

static void
src_next_data_skips_holes(void **state)
{
	/* clang-format off */
	static const struct {
		uint64_t at;
		uint64_t size;
		int rc;
		uint64_t start;
		uint64_t end;
	} t[] = {
		{ 0, 50, 0, 10, 20 },
		{ 10, 50, 0, 10, 20 },
		{ 15, 50, 0, 15, 20 },
		{ 20, 50, 0, 30, 40 },
		{ 39, 50, 0, 39, 40 },
		{ 40, 50, 1, 0, 0 },
		{ 50, 50, 1, 0, 0 },
		{ 60, 50, 1, 0, 0 },
		{ 0, 0, 1, 0, 0 },
		/* the size that was seen first counts, not today's */
		{ 0, 15, 0, 10, 15 },
		{ 0, 10, 1, 0, 0 },
		{ 0, 5, 1, 0, 0 },
		{ 30, 80, 0, 30, 40 },
		{ 45, 80, 1, 0, 0 },
		{ UINT64_C(1) << 63, UINT64_MAX, 1, 0, 0 },
	};
	/* clang-format on */
	uint64_t start;
	uint64_t end;
	size_t i;

	(void)state;
	fake.lseek = seek_made_up;
	for (i = 0; i < N_OF(t); i++) {
		eintr = t[i].at < t[i].size && t[i].at <= INT64_MAX ? 2 : 0;
		start = 0;
		end = 0;
		assert_int_equal(src_next_data(3, t[i].at, t[i].size, &start,
					       &end, NULL),
				 t[i].rc);
		assert_true(start == t[i].start && end == t[i].end);
	}
}

static off_t
seek_refused(int fd, off_t at, int whence)
{
	(void)fd;
	(void)at;
	(void)whence;
	errno = fail_errno;
	return -1;
}

static off_t
seek_nonsense(int fd, off_t at, int whence)
{
	(void)fd;
	(void)at;
	(void)whence;
	return 3;
}

static off_t
seek_cut_just_now(int fd, off_t at, int whence)
{
	(void)fd;
	if (whence == SEEK_DATA)
		return at;
	errno = ENXIO;
	return -1;
}

static void
src_next_data_takes_all_for_data_where_holes_are_unknown(void **state)
{
	struct err e = { 0 };
	uint64_t start = 0;
	uint64_t end = 0;

	(void)state;
	fake.lseek = seek_refused;
	fail_errno = EINVAL;
	assert_int_equal(src_next_data(3, 7, 50, &start, &end, NULL), 0);
	assert_true(start == 7 && end == 50);
	fail_errno = EOPNOTSUPP;
	assert_int_equal(src_next_data(3, 8, 50, &start, &end, NULL), 0);
	assert_true(start == 8 && end == 50);
	fake.lseek = seek_nonsense;
	assert_int_equal(src_next_data(3, 9, 50, &start, &end, NULL), 0);
	assert_true(start == 9 && end == 50);
	fake.lseek = seek_cut_just_now;
	assert_int_equal(src_next_data(3, 10, 50, &start, &end, NULL), 0);
	assert_true(start == 10 && end == 50);
	fake.lseek = seek_refused;
	fail_errno = EIO;
	assert_int_equal(src_next_data(3, 9, 50, &start, &end, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(e.saved_errno, EIO);
}

static void
src_next_data_finds_all_data_of_a_real_file(void **state)
{
	const uint64_t size = 1 << 20;
	uint64_t at = 0;
	uint64_t start;
	uint64_t end;
	bool found = false;
	int fd;
	int rc;

	(void)state;
	put("a", "", 0);
	fd = openat(dir, "a", O_RDWR);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, "x", 1, 500000), 1);
	while ((rc = src_next_data(fd, at, size, &start, &end, NULL)) == 0) {
		assert_true(start >= at && end > start && end <= size);
		found = found || (start <= 500000 && end > 500000);
		at = end;
	}
	assert_int_equal(rc, 1);
	assert_true(found);
	close(fd);
}

struct seen {
	int n[50];
	int total;
	int stop_at;
};

static int
see_entry(void *ctx, const struct src_dirent *d, struct err *e)
{
	struct seen *s = ctx;

	if (++s->total == s->stop_at)
		return err_set(e, ERR_CANCELLED, "stop");
	assert_int_equal(d->name_len, strlen(d->name));
	assert_int_equal(d->name[0], 'n');
	assert_true(d->type == DT_REG || d->type == DT_UNKNOWN);
	assert_true(d->ino != 0);
	s->n[strtol(d->name + 1, NULL, 10)]++;
	return 0;
}

static ssize_t
getdents_interrupted(int fd, void *p, size_t n)
{
	return interrupted() ? -1 : sys_real.getdents64(fd, p, n);
}

static ssize_t
getdents_refused(int fd, void *p, size_t n)
{
	(void)fd;
	(void)p;
	(void)n;
	errno = fail_errno;
	return -1;
}

static void
src_list_gives_every_entry_once_in_batches(void **state)
{
	uint8_t scratch[200];
	struct seen s = { 0 };
	char name[16];
	int batches = 0;
	int fd;
	int rc;
	int i;

	(void)state;
	for (i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		put(name, "", 0);
	}
	fake.getdents64 = getdents_interrupted;
	eintr = 2;
	fd = src_open(dir, ".", O_DIRECTORY, NULL);
	/* An odd address: nothing may depend on how the buffer lies. */
	while ((rc = src_list(fd, scratch + 1, 160, see_entry, &s, NULL)) > 0)
		batches++;
	assert_int_equal(rc, 0);
	assert_true(batches > 5);
	assert_int_equal(s.total, 50);
	for (i = 0; i < 50; i++)
		assert_int_equal(s.n[i], 1);
	src_close(fd);
}

static void
src_list_stops_with_the_error_of_its_callback(void **state)
{
	uint8_t scratch[1000];
	struct seen s = { .stop_at = 2 };
	struct err e = { 0 };
	int fd;

	(void)state;
	put("n1", "", 0);
	put("n2", "", 0);
	put("n3", "", 0);
	fd = src_open(dir, ".", O_DIRECTORY, NULL);
	assert_int_equal(
		src_list(fd, scratch, sizeof(scratch), see_entry, &s, &e), -1);
	assert_int_equal(s.total, 2);
	assert_int_equal(e.kind, ERR_CANCELLED);
	err_clear(&e);
	fake.getdents64 = getdents_refused;
	fail_errno = EIO;
	assert_int_equal(
		src_list(fd, scratch, sizeof(scratch), see_entry, &s, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	src_close(fd);
}

static size_t link_len; /* of the target that readlink_made_up knows */

static ssize_t
readlink_made_up(int dirfd, const char *path, char *p, size_t n)
{
	size_t len = link_len < n ? link_len : n;

	(void)dirfd;
	(void)path;
	if (interrupted())
		return -1;
	memset(p, 't', len);
	return (ssize_t)len;
}

static void
src_readlink_appends_the_whole_target(void **state)
{
	static const size_t lens[] = { 1, 255, 256, 257, 511, 512, 4095, 4096 };
	struct err e = { 0 };
	struct buf b = { 0 };
	size_t i;

	(void)state;
	assert_int_equal(symlinkat("some/where", dir, "link"), 0);
	buf_add_str(&b, "to ");
	assert_int_equal(src_readlink(dir, "link", &b, &e), 0);
	assert_string_equal(buf_str(&b), "to some/where");
	put("a", "", 0);
	assert_int_equal(src_readlink(dir, "a", &b, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(e.saved_errno, EINVAL);
	assert_string_equal(buf_str(&b), "to some/where");
	fake.readlinkat = readlink_made_up;
	for (i = 0; i < N_OF(lens); i++) {
		buf_reset(&b);
		eintr = 1;
		link_len = lens[i];
		assert_int_equal(src_readlink(dir, "x", &b, NULL), 0);
		assert_int_equal(b.len, lens[i]);
	}
	err_clear(&e);
	link_len = 1000000;
	assert_int_equal(src_readlink(dir, "x", &b, &e), -1);
	assert_int_equal(e.saved_errno, ENAMETOOLONG);
	buf_clear(&b);
	err_clear(&e);
	allocations_left = 0;
	mem_fail(fail_later);
	assert_int_equal(src_readlink(dir, "x", &b, &e), -1);
	mem_fail(NULL);
	assert_int_equal(e.kind, ERR_NOMEM);
	buf_clear(&b);
}

/* What the made-up attributes are, and how they behave. */
static struct {
	const char *list; /* with NULs between */
	size_t list_len;
	size_t value_len; /* of each value, filled with its name's last byte */
	size_t grow;      /* it is so much longer at each call that fails */
	const char *gone; /* this name vanished */
	int get_errno;    /* what reading any value answers, when not 0 */
	int list_errno;
} xa;

static ssize_t
answer(void *p, size_t n, const void *from, size_t len, int fill)
{
	if (n == 0)
		return (ssize_t)len;
	if (n < len) {
		xa.value_len += xa.grow;
		errno = ERANGE;
		return -1;
	}
	if (from != NULL)
		memcpy(p, from, len);
	else
		memset(p, fill, len);
	return (ssize_t)len;
}

static ssize_t
list_made_up(int fd, char *p, size_t n)
{
	(void)fd;
	if (interrupted())
		return -1;
	if (xa.list_errno != 0) {
		errno = xa.list_errno;
		return -1;
	}
	return answer(p, n, xa.list, xa.list_len, 0);
}

static ssize_t
get_made_up(int fd, const char *name, void *p, size_t n)
{
	(void)fd;
	if (interrupted())
		return -1;
	/* As the kernel does for an empty name: for ever. */
	if (name[0] == '\0')
		errno = ERANGE;
	else if (xa.gone != NULL && strcmp(name, xa.gone) == 0)
		errno = ENODATA;
	else if (xa.get_errno != 0)
		errno = xa.get_errno;
	else
		return answer(p, n, NULL, xa.value_len, name[strlen(name) - 1]);
	return -1;
}

static int
write_pair(void *ctx, const char *name, const void *value, size_t len,
	   struct err *e)
{
	struct buf *b = ctx;

	if (strcmp(name, "user.stop") == 0)
		return err_set(e, ERR_CANCELLED, "stop");
	buf_printf(b, "%s=", name);
	if (len <= 10)
		buf_add(b, value, len);
	else
		buf_printf(b, "%zu*%c", len, ((const char *)value)[len - 1]);
	buf_add_char(b, ';');
	return 0;
}

static void
make_up(const char *list, size_t len, size_t value_len)
{
	memset(&xa, 0, sizeof(xa));
	xa.list = list;
	xa.list_len = len;
	xa.value_len = value_len;
	fake.flistxattr = list_made_up;
	fake.fgetxattr = get_made_up;
}

static void
assert_xattrs(const char *want)
{
	struct buf b = { 0 };

	assert_int_equal(src_xattrs(3, NULL, write_pair, &b, NULL), 0);
	assert_string_equal(buf_str(&b), want);
	buf_clear(&b);
}

static void
src_xattrs_come_sorted_by_the_bytes_of_their_names(void **state)
{
	static const char list[] = "user.b\0user.a\0user.\xff\0user.ab\0user.B";

	(void)state;
	make_up(list, sizeof(list), 1);
	eintr = 2;
	assert_xattrs("user.B=B;user.a=a;user.ab=b;user.b=b;user.\xff=\xff;");
}

static void
src_xattrs_survive_a_list_of_nonsense(void **state)
{
	static const char twice[] = "\0user.b\0\0user.a\0user.b\0user.b\0";

	(void)state;
	make_up(twice, sizeof(twice), 1);
	assert_xattrs("user.a=a;user.b=b;");
	/* The last name without its NUL. */
	make_up("user.a\0user.bX", 13, 1);
	assert_xattrs("user.a=a;user.b=b;");
	make_up("a", 1, 0);
	assert_xattrs("a=;");
	make_up("", 1, 0);
	assert_xattrs("");
	make_up("", 0, 0);
	assert_xattrs("");
}

static void
src_xattrs_ask_again_for_what_grows(void **state)
{
	char *list = mem_alloc(60000);
	size_t i;

	(void)state;
	make_up("user.a", 7, 300);
	xa.grow = 200;
	assert_xattrs("user.a=500*a;");
	make_up("user.a", 7, 1000);
	xa.grow = 2500;
	assert_xattrs("user.a=8500*a;"); /* three times too long */
	make_up("user.a", 7, 65536);
	assert_xattrs("user.a=65536*a;");
	/* A list as long as the kernel allows. */
	for (i = 0; i < 60000; i += 2)
		memcpy(list + i, "x", 2);
	make_up(list, 60000, 1);
	assert_xattrs("x=x;");
	mem_free(list);
}

static void
src_xattrs_of_a_file_system_that_grows_for_ever_fail(void **state)
{
	struct err e = { 0 };
	struct buf b = { 0 };

	(void)state;
	make_up("user.a", 7, 1000);
	xa.grow = 1000000;
	assert_int_equal(src_xattrs(3, NULL, write_pair, &b, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(e.saved_errno, ERANGE);
	assert_memory_equal(e.text, "read attribute user.a: ", 23);
	buf_clear(&b);
}

static void
src_xattrs_skip_what_vanishes(void **state)
{
	static const char list[] = "user.b\0user.a\0user.c";

	(void)state;
	make_up(list, sizeof(list), 1);
	xa.gone = "user.b";
	assert_xattrs("user.a=a;user.c=c;");
	make_up(list, sizeof(list), 1);
	xa.get_errno = EOPNOTSUPP;
	assert_xattrs("");
}

static void
src_xattrs_are_none_where_there_are_none(void **state)
{
	(void)state;
	make_up("", 0, 0);
	xa.list_errno = ENOTSUP;
	assert_xattrs("");
	xa.list_errno = EOPNOTSUPP;
	assert_xattrs("");
}

static void
src_xattrs_report_failures(void **state)
{
	static const char list[] = "user.a\0user.stop\0user.z";
	struct err e = { 0 };
	struct buf b = { 0 };

	(void)state;
	make_up(list, sizeof(list), 1);
	assert_int_equal(src_xattrs(3, NULL, write_pair, &b, &e), -1);
	assert_int_equal(e.kind, ERR_CANCELLED);
	assert_string_equal(buf_str(&b), "user.a=a;");
	err_clear(&e);
	xa.get_errno = EACCES;
	assert_int_equal(src_xattrs(3, NULL, write_pair, &b, &e), -1);
	assert_string_equal(e.text, "read attribute user.a: Permission denied");
	err_clear(&e);
	xa.list_errno = EIO;
	assert_int_equal(src_xattrs(3, NULL, write_pair, &b, &e), -1);
	assert_string_equal(e.text, "list attributes: Input/output error");
	buf_clear(&b);
}

static int
take_pair(void *ctx, const char *name, const void *value, size_t len,
	  struct err *e)
{
	(void)name;
	(void)value;
	(void)len;
	(void)e;
	(*(int *)ctx)++;
	return 0;
}

static void
src_xattrs_survive_every_failing_allocation(void **state)
{
	static const char list[] = "user.b\0user.a";
	int n = 0;
	int taken;
	int rc;

	(void)state;
	make_up(list, sizeof(list), 300);
	do {
		struct err e = { 0 };

		taken = 0;
		allocations_left = n++;
		mem_fail(fail_later);
		rc = src_xattrs(3, NULL, take_pair, &taken, &e);
		mem_fail(NULL);
		assert_int_equal(e.kind, rc == 0 ? ERR_NONE : ERR_NOMEM);
	} while (rc < 0);
	assert_int_equal(taken, 2);
	assert_in_range(n, 4, 8);
}

static void
src_xattrs_of_a_name_survive_a_failing_allocation(void **state)
{
	struct err e = { 0 };
	int taken = 0;

	(void)state;
	allocations_left = 0;
	mem_fail(fail_later);
	assert_int_equal(src_xattrs(dir, "a", take_pair, &taken, &e), -1);
	mem_fail(NULL);
	assert_int_equal(e.kind, ERR_NOMEM);
}

static void
src_xattrs_of_real_files(void **state)
{
	char name[256];
	struct buf b = { 0 };
	int fd;

	(void)state;
	memset(name, 'n', 255);
	name[255] = '\0';
	put(name, "", 0);
	fd = src_open(dir, name, 0, NULL);
	assert_true(fd >= 0);
	if (fsetxattr(fd, "user.b", "two", 3, 0) < 0) {
		src_close(fd);
		skip();
	}
	assert_int_equal(fsetxattr(fd, "user.a", "", 0, 0), 0);
	assert_int_equal(src_xattrs(fd, NULL, write_pair, &b, NULL), 0);
	assert_non_null(strstr(buf_str(&b), "user.a=;user.b=two;"));
	buf_reset(&b);
	assert_int_equal(src_xattrs(dir, name, write_pair, &b, NULL), 0);
	assert_non_null(strstr(buf_str(&b), "user.a=;user.b=two;"));
	buf_reset(&b);
	/* A symlink's own, of which there are none, not its target's. */
	assert_int_equal(symlinkat(name, dir, "link"), 0);
	assert_int_equal(src_xattrs(dir, "link", write_pair, &b, NULL), 0);
	assert_null(strstr(buf_str(&b), "user."));
	assert_int_equal(src_xattrs(dir, "no", write_pair, &b, NULL), -1);
	src_close(fd);
	buf_clear(&b);
}

/* What the made-up file system answers. */
static struct {
	int64_t type;
	uint32_t fsid[2];
	bool has_uuid;
	uint8_t uuid_len;
	uint8_t uuid_byte;
	bool has_btrfs;
	uint64_t subvol;
} fs;

static int
fstatfs_made_up(int fd, struct statfs *st)
{
	(void)fd;
	if (fail_errno != 0) {
		errno = fail_errno;
		return -1;
	}
	memset(st, 0, sizeof(*st));
	st->f_type = (__typeof__(st->f_type))fs.type;
	memcpy(&st->f_fsid, fs.fsid, sizeof(fs.fsid));
	return 0;
}

static int
ioctl_made_up(int fd, unsigned long request, void *arg)
{
	struct btrfs_ioctl_ino_lookup_args *look = arg;
	uint8_t *p = arg;
	long flags = 0x10;

	(void)fd;
	if (request == FS_IOC_GETFLAGS) {
		memcpy(arg, &flags, sizeof(flags));
		return 0;
	}
	if (request == _IOR(0x15, 0, uint8_t[17]) && fs.has_uuid) {
		p[0] = fs.uuid_len;
		memset(p + 1, fs.uuid_byte, 16);
		return 0;
	}
	if (request == BTRFS_IOC_FS_INFO && fs.has_btrfs) {
		memset(((struct btrfs_ioctl_fs_info_args *)arg)->fsid,
		       fs.uuid_byte, 16);
		return 0;
	}
	if (request == BTRFS_IOC_INO_LOOKUP && fs.has_btrfs) {
		assert_int_equal(look->treeid, 0);
		assert_int_equal(look->objectid, BTRFS_FIRST_FREE_OBJECTID);
		look->treeid = fs.subvol;
		return 0;
	}
	errno = ENOTTY;
	return -1;
}

static int
fstat_made_up(int fd, struct stat *st)
{
	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	memset(st, 0, sizeof(*st));
	st->st_dev = 0x812; /* 8:18 */
	return 0;
}

static void
src_fs_id_takes_the_best_name_there_is(void **state)
{
#define UUID_AB "abababababababababababababababab"
	/* clang-format off */
	static const struct {
		typeof(fs) fs;
		const char *want;
	} t[] = {
		{ { .type = 0xef53, .has_uuid = true, .uuid_len = 16,
		    .uuid_byte = 0xab, .fsid = { 1, 2 } },
		  "uuid:" UUID_AB },
		{ { .type = 0xef53, .has_uuid = true, .uuid_len = 16,
		    .fsid = { 1, 2 } },
		  "fsid:0000000100000002" },
		{ { .type = 0xef53, .has_uuid = true, .uuid_len = 8,
		    .uuid_byte = 0xab, .fsid = { 0xfedcba98, 0 } },
		  "fsid:fedcba9800000000" },
		{ { .type = 0xef53, .fsid = { 0, 0x80000000 } },
		  "fsid:0000000080000000" },
		{ { .type = 0x9123683e, .has_uuid = true, .uuid_len = 16,
		    .uuid_byte = 0xab, .has_btrfs = true, .subvol = 257,
		    .fsid = { 1, 2 } },
		  "btrfs:" UUID_AB ":257" },
		{ { .type = 0x9123683e, .has_btrfs = true, .uuid_byte = 0xab,
		    .subvol = UINT64_MAX },
		  "btrfs:" UUID_AB ":18446744073709551615" },
		/* without its number, the UUID alone would be ambiguous */
		{ { .type = 0x9123683e, .has_uuid = true, .uuid_len = 16,
		    .uuid_byte = 0xab, .fsid = { 1, 2 } },
		  "fsid:0000000100000002" },
		{ { .type = 0x01021994 }, "dev:8:18:1021994" },
		{ { .type = 0xff534d42 }, "dev:8:18:ff534d42" },
	};
	/* clang-format on */
	struct err e = { 0 };
	char id[SRC_FSID_MAX];
	size_t i;

	(void)state;
	fake.fstatfs = fstatfs_made_up;
	fake.fstat = fstat_made_up;
	fake.ioctl = ioctl_made_up;
	for (i = 0; i < N_OF(t); i++) {
		fs = t[i].fs;
		assert_int_equal(src_fs_id(3, id, NULL), 0);
		assert_string_equal(id, t[i].want);
		assert_true(src_fs_type(3) == t[i].fs.type);
	}
	assert_int_equal(src_inode_flags(3), 0x10);
	/* The last of the table has nothing but its device. */
	assert_int_equal(src_fs_id(-1, id, &e), -1);
	assert_int_equal(e.saved_errno, EBADF);
	err_clear(&e);
	fail_errno = EIO;
	assert_int_equal(src_fs_id(3, id, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_true(src_fs_type(3) == 0);
}

static void
src_fs_id_of_a_real_directory_stays_the_same(void **state)
{
	char a[SRC_FSID_MAX];
	char b[SRC_FSID_MAX];
	int fd;

	(void)state;
	put("a", "", 0);
	fd = src_open(dir, "a", 0, NULL);
	assert_int_equal(src_fs_id(dir, a, NULL), 0);
	assert_int_equal(src_fs_id(fd, b, NULL), 0);
	assert_string_equal(a, b);
	assert_true(src_fs_type(fd) != 0);
	src_close(fd);
	fd = src_open(AT_FDCWD, "/proc", O_DIRECTORY, NULL);
	assert_int_equal(src_fs_id(fd, b, NULL), 0);
	assert_string_not_equal(a, b);
	assert_int_equal(src_inode_flags(fd), 0);
	src_close(fd);
}

static int
sync_interrupted(int fd)
{
	(void)fd;
	if (interrupted())
		return -1;
	calls++;
	errno = fail_errno;
	return fail_errno != 0 ? -1 : 0;
}

static void
src_datasync_and_syncfs_report_failures(void **state)
{
	struct err a = { 0 };
	struct err b = { 0 };

	(void)state;
	assert_int_equal(src_datasync(dir, NULL), 0);
	fake.fdatasync = sync_interrupted;
	fake.syncfs = sync_interrupted;
	eintr = 2;
	assert_int_equal(src_datasync(3, NULL), 0);
	eintr = 2;
	assert_int_equal(src_syncfs(3, NULL), 0);
	assert_int_equal(calls, 2);
	fail_errno = EIO;
	assert_int_equal(src_datasync(3, &a), -1);
	assert_int_equal(a.kind, ERR_SOURCE);
	assert_int_equal(src_syncfs(3, &b), -1);
	assert_int_equal(b.saved_errno, EIO);
	assert_int_equal(calls, 4);
	/* What cannot be written needs no such call. */
	fail_errno = EINVAL;
	assert_int_equal(src_datasync(3, NULL), 0);
	fail_errno = EROFS;
	assert_int_equal(src_datasync(3, NULL), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int
main(void)
{
	/* clang-format off */
	const struct CMUnitTest tests[] = {
		T(src_open_leaves_atime_alone_and_follows_nothing),
		T(src_open_of_somebody_elses_file_goes_without_noatime),
		T(src_open_failures_are_the_sources_own),
		T(src_open_waits_for_no_fifo_and_refuses_symlinks),
		T(src_open_beneath_leaves_the_directory_on_no_way),
		T(src_stat_looks_at_the_name_itself),
		T(src_read_stops_only_at_the_end),
		T(src_read_that_breaks_off_is_a_failure),
		T(src_counts_every_byte_and_call),
		T(src_next_data_skips_holes),
		T(src_next_data_takes_all_for_data_where_holes_are_unknown),
		T(src_next_data_finds_all_data_of_a_real_file),
		T(src_list_gives_every_entry_once_in_batches),
		T(src_list_stops_with_the_error_of_its_callback),
		T(src_readlink_appends_the_whole_target),
		T(src_xattrs_come_sorted_by_the_bytes_of_their_names),
		T(src_xattrs_survive_a_list_of_nonsense),
		T(src_xattrs_ask_again_for_what_grows),
		T(src_xattrs_of_a_file_system_that_grows_for_ever_fail),
		T(src_xattrs_skip_what_vanishes),
		T(src_xattrs_are_none_where_there_are_none),
		T(src_xattrs_report_failures),
		T(src_xattrs_survive_every_failing_allocation),
		T(src_xattrs_of_a_name_survive_a_failing_allocation),
		T(src_xattrs_of_real_files),
		T(src_fs_id_takes_the_best_name_there_is),
		T(src_fs_id_of_a_real_directory_stays_the_same),
		T(src_datasync_and_syncfs_report_failures),
	};
	/* clang-format on */

	return cmocka_run_group_tests_name("src", tests, NULL, NULL);
}
