/*
 * scratch - a fresh directory below TMPDIR for a test, and its end.
 *
 * scratch_end() removes the directory and fails the test when it left a
 * descriptor open.
 */
#ifndef ASOF_TESTS_LIB_SCRATCH_H
#define ASOF_TESTS_LIB_SCRATCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "tests/lib/cmocka_all.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRATCH_LEN 200

struct scratch {
	char path[SCRATCH_LEN];
	size_t fds; /* open before the test */
};

static inline size_t
scratch_count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	assert_int_equal(closedir(d), 0);
	return n;
}

static inline void
scratch_begin(struct scratch *s)
{
	const char *top = getenv("TMPDIR");

	s->fds = scratch_count_fds();
	(void)snprintf(s->path, sizeof(s->path), "%s/asof-test-XXXXXX",
		       top != NULL ? top : "/tmp");
	assert_non_null(mkdtemp(s->path));
}

static inline int
scratch_remove_one(const char *path, const struct stat *st, int flag,
		   struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void
scratch_end(struct scratch *s)
{
	assert_int_equal(
		nftw(s->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	assert_int_equal(scratch_count_fds(), s->fds);
}

/* PATH/name, in one of a few buffers that are used in turn. */
static inline const char *
scratch_at(const struct scratch *s, const char *name)
{
	static char path[8][SCRATCH_LEN + 600];
	static unsigned next;

	next = (next + 1) % 8;
	(void)snprintf(path[next], sizeof(path[next]), "%s/%s", s->path, name);
	return path[next];
}

static inline void
scratch_write(const char *path, const void *p, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), len);
	assert_int_equal(close(fd), 0);
}

/* The whole file, at most `max` bytes; its length. */
static inline size_t
scratch_read(const char *path, void *p, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, p, max);
	assert_true(n >= 0);
	assert_int_equal(close(fd), 0);
	return (size_t)n;
}

/* Turn one bit of a file around. */
static inline void
scratch_flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	unsigned char c;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 0x10;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	assert_int_equal(close(fd), 0);
}

static inline off_t
scratch_size(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* Names in a directory, without those that begin with a dot. */
static inline size_t
scratch_count(const char *path, char (*names)[256], size_t max)
{
	DIR *d = opendir(path);
	const struct dirent *de;
	size_t n = 0;

	assert_non_null(d);
	while ((de = readdir(d)) != NULL) {
		if (de->d_name[0] == '.')
			continue;
		if (n < max)
			memcpy(names[n], de->d_name, sizeof(de->d_name));
		n++;
	}
	assert_int_equal(closedir(d), 0);
	return n;
}

#endif
