/*
 * counts.c
 *
 * Two threads that count at once pass a cache line to and fro: some tens of
 * nanoseconds, where a request takes some tens of microseconds.
 *
 * The answer of a mount is that of whatever process serves it; it is looked
 * at before it is believed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/counts.h"

#include "base/err.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[COUNTS_KINDS] = {
	"lookup", "forget",  "getattr",  "readlink",
	"open",   "opendir", "readdir",  "readdirplus",
	"read",   "lseek",   "getxattr", "listxattr",
	"access", "flush",   "ioctl",    "statfs",
	"statx",  "push",
};

_Static_assert(COUNTS_KINDS <= COUNTS_ROWS_MAX, "all have a row");
_Static_assert(sizeof(struct counts_answer) < 1 << _IOC_SIZEBITS,
	       "the kernel passes it on whole");

/* --- counting ------------------------------------------------------------- */

void
counts_request(struct counts *c, enum counts_kind kind)
{
	atomic_fetch_add_explicit(&c->requests[kind], 1, memory_order_relaxed);
}

void
counts_bytes(struct counts *c, enum counts_kind kind, size_t n)
{
	atomic_fetch_add_explicit(&c->bytes[kind], n, memory_order_relaxed);
}

void
counts_tell(const struct counts *c, struct counts_answer *out)
{
	struct counts_row *r;
	size_t i;

	memset(out, 0, sizeof(*out));
	memcpy(out->magic, COUNTS_MAGIC, sizeof(out->magic));
	out->rows = COUNTS_KINDS;
	for (i = 0; i < COUNTS_KINDS; i++) {
		r = &out->row[i];
		(void)snprintf(r->name, sizeof(r->name), "%s", names[i]);
		r->requests = atomic_load_explicit(&c->requests[i],
						   memory_order_relaxed);
		r->bytes = atomic_load_explicit(&c->bytes[i],
						memory_order_relaxed);
	}
}

/* --- asking --------------------------------------------------------------- */

/* A word of lower-case letters? */
static bool
is_name(const char name[COUNTS_NAME_LEN])
{
	size_t n = strnlen(name, COUNTS_NAME_LEN);

	return n > 0 && n < COUNTS_NAME_LEN &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz_") == n;
}

static bool
is_sound(const struct counts_answer *a)
{
	size_t i;

	if (memcmp(a->magic, COUNTS_MAGIC, sizeof(a->magic)) != 0 ||
	    a->rows > COUNTS_ROWS_MAX)
		return false;
	for (i = 0; i < a->rows; i++)
		if (!is_name(a->row[i].name))
			return false;
	return true;
}

/*
 * 1: it is none of ours.  What file system it is is not asked first, because
 * that would be counted; no other knows this ioctl.
 */
static int
ask(int fd, struct counts_answer *out)
{
	struct counts_answer a;

	memset(&a, 0, sizeof(a));
	if (ioctl(fd, COUNTS_QUESTION, &a) < 0)
		return errno == ENOTTY || errno == ENOSYS ? 1 : -1;
	if (!is_sound(&a))
		return 1;
	*out = a;
	return 0;
}

int
counts_ask(const char *path, struct counts_answer *out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	int fd;
	int rc;

	(void)path_show_in(shown, path, strlen(path));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(e, ERR_USAGE, "%s is not a directory", shown);
	if (fd < 0)
		return err_sys(e, "open %s", shown);
	rc = ask(fd, out);
	if (rc < 0)
		(void)err_sys(e, "ask the mount at %s", shown);
	else if (rc == 1)
		(void)err_set(e, ERR_USAGE, "%s is in no mount of asof", shown);
	close(fd);
	return rc == 0 ? 0 : -1;
}
