/*
 * To be preloaded: reading what overlaps $BAD_AT..$BAD_AT+$BAD_LEN of a file
 * whose path ends in $BAD_FILE fails with EIO, as from a bad disk.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int
is_bad(int fd, size_t n, off64_t at)
{
	const char *name = getenv("BAD_FILE");
	char link[64], path[PATH_MAX];
	ssize_t len;
	off64_t from;

	if (name == NULL)
		return 0;
	from = atoll(getenv("BAD_AT"));
	if (at >= from + atoll(getenv("BAD_LEN")) || at + (off64_t)n <= from)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < (ssize_t)strlen(name))
		return 0;
	path[len] = '\0';
	return strcmp(path + len - strlen(name), name) == 0;
}

ssize_t
pread64(int fd, void *p, size_t n, off64_t at)
{
	ssize_t (*real)(int, void *, size_t, off64_t);

	if (is_bad(fd, n, at)) {
		errno = EIO;
		return -1;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "pread64");
	return real(fd, p, n, at);
}

ssize_t
pread(int fd, void *p, size_t n, off64_t at)
{
	return pread64(fd, p, n, at);
}
