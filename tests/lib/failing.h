/*
 * failing - lets the Nth call on the repository of a class, or the Nth
 * allocation, fail.
 *
 * failing_install() puts a table before sys_real that counts calls and lets
 * the planned ones fail; "for ever" means that all counted calls after the
 * Nth fail too, as when a disk dies.  Any thread may call; plan while no
 * other thread runs.
 */
#ifndef ASOF_TESTS_LIB_FAILING_H
#define ASOF_TESTS_LIB_FAILING_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum {
	FAIL_OPEN = 1 << 0,
	FAIL_READ = 1 << 1,
	FAIL_WRITE = 1 << 2,
	FAIL_SYNC = 1 << 3,
	FAIL_NAME = 1 << 4, /* rename, link, unlink, mkdir */
	FAIL_STAT = 1 << 5,
	FAIL_LIST = 1 << 6,
	FAIL_LOCK = 1 << 7,
	FAIL_RANDOM = 1 << 8,
	FAIL_CLOSE = 1 << 9,
	FAIL_ALL = (1 << 10) - 1
};

static struct {
	atomic_uint ops, seen, nth, hits;
	atomic_bool for_ever;
	atomic_int error;
	atomic_uint allocs, alloc_nth;
	atomic_bool alloc_for_ever;
} failing;

static inline bool
failing_hit(unsigned seen, unsigned nth, bool for_ever)
{
	if (nth == 0 || (for_ever ? seen < nth : seen != nth))
		return false;
	atomic_fetch_add(&failing.hits, 1);
	return true;
}

/* True, with errno set, when this call has to fail. */
static inline bool
failing_call(unsigned op)
{
	if ((atomic_load(&failing.ops) & op) == 0)
		return false;
	if (!failing_hit(atomic_fetch_add(&failing.seen, 1) + 1,
			 atomic_load(&failing.nth),
			 atomic_load(&failing.for_ever)))
		return false;
	errno = atomic_load(&failing.error);
	return true;
}

/* One wrapper: `name` is the real call, `op` its class. */
#define FAILING_WRAP(type, name, op, params, args)                             \
	static type failing_##name params                                      \
	{                                                                      \
		return failing_call(op) ? -1 : sys_real.name args;             \
	}

/* clang-format off */
FAILING_WRAP(int, openat, FAIL_OPEN,
	     (int d, const char *p, int f, mode_t m), (d, p, f, m))
FAILING_WRAP(ssize_t, pread, FAIL_READ,
	     (int fd, void *p, size_t n, off_t at), (fd, p, n, at))
FAILING_WRAP(ssize_t, read, FAIL_READ,
	     (int fd, void *p, size_t n), (fd, p, n))
FAILING_WRAP(ssize_t, pwrite, FAIL_WRITE,
	     (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
FAILING_WRAP(ssize_t, write, FAIL_WRITE,
	     (int fd, const void *p, size_t n), (fd, p, n))
FAILING_WRAP(int, ftruncate, FAIL_WRITE, (int fd, off_t n), (fd, n))
FAILING_WRAP(int, mkdirat, FAIL_NAME,
	     (int d, const char *p, mode_t m), (d, p, m))
FAILING_WRAP(int, linkat, FAIL_NAME,
	     (int a, const char *p, int b, const char *q, int f),
	     (a, p, b, q, f))
FAILING_WRAP(int, unlinkat, FAIL_NAME,
	     (int d, const char *p, int f), (d, p, f))
FAILING_WRAP(int, renameat2, FAIL_NAME,
	     (int a, const char *p, int b, const char *q, unsigned f),
	     (a, p, b, q, f))
FAILING_WRAP(int, fstat, FAIL_STAT, (int fd, struct stat *st), (fd, st))
FAILING_WRAP(int, fstatat, FAIL_STAT,
	     (int d, const char *p, struct stat *st, int f), (d, p, st, f))
FAILING_WRAP(int, fstatfs, FAIL_STAT, (int fd, struct statfs *s), (fd, s))
FAILING_WRAP(ssize_t, getdents64, FAIL_LIST,
	     (int fd, void *p, size_t n), (fd, p, n))
FAILING_WRAP(int, flock, FAIL_LOCK, (int fd, int op), (fd, op))
FAILING_WRAP(ssize_t, getrandom, FAIL_RANDOM, (void *p, size_t n), (p, n))
/* clang-format on */

/* No test here cuts the power, so there is no need to wait for the disk. */
static int
failing_fsync(int fd)
{
	struct stat st;

	return failing_call(FAIL_SYNC) ? -1 : sys_real.fstat(fd, &st);
}

/* A close that fails has closed all the same. */
static int
failing_close(int fd)
{
	int rc = sys_real.close(fd);

	return failing_call(FAIL_CLOSE) ? -1 : rc;
}

static bool
failing_alloc(size_t size)
{
	(void)size;
	return failing_hit(atomic_fetch_add(&failing.allocs, 1) + 1,
			   atomic_load(&failing.alloc_nth),
			   atomic_load(&failing.alloc_for_ever));
}

/* Everything works from now on, and is not counted. */
static inline void
failing_off(void)
{
	mem_fail(NULL);
	atomic_store(&failing.ops, 0);
	atomic_store(&failing.nth, 0);
	atomic_store(&failing.alloc_nth, 0);
}

static inline void
failing_install(void)
{
	static struct sys_ops ops;

	ops = sys_real;
	ops.openat = failing_openat;
	ops.close = failing_close;
	ops.read = failing_read;
	ops.pread = failing_pread;
	ops.write = failing_write;
	ops.pwrite = failing_pwrite;
	ops.ftruncate = failing_ftruncate;
	ops.fsync = failing_fsync;
	ops.fdatasync = failing_fsync;
	ops.mkdirat = failing_mkdirat;
	ops.linkat = failing_linkat;
	ops.unlinkat = failing_unlinkat;
	ops.renameat2 = failing_renameat2;
	ops.fstat = failing_fstat;
	ops.fstatat = failing_fstatat;
	ops.fstatfs = failing_fstatfs;
	ops.getdents64 = failing_getdents64;
	ops.flock = failing_flock;
	ops.getrandom = failing_getrandom;
	failing_off();
	sys_repo = &ops;
}

static inline void
failing_remove(void)
{
	failing_off();
	sys_repo = &sys_real;
}

/* The Nth (from 1) call of these classes fails; 0: only count them. */
static inline void
failing_plan(unsigned ops, unsigned nth, bool for_ever, int error)
{
	failing_off();
	atomic_store(&failing.seen, 0);
	atomic_store(&failing.hits, 0);
	atomic_store(&failing.nth, nth);
	atomic_store(&failing.for_ever, for_ever);
	atomic_store(&failing.error, error);
	atomic_store(&failing.ops, ops);
}

static inline void
failing_plan_alloc(unsigned nth, bool for_ever)
{
	failing_off();
	atomic_store(&failing.allocs, 0);
	atomic_store(&failing.hits, 0);
	atomic_store(&failing.alloc_nth, nth);
	atomic_store(&failing.alloc_for_ever, for_ever);
	mem_fail(failing_alloc);
}

/* How many calls or allocations failed since the plan was made. */
static inline unsigned
failing_hits(void)
{
	return atomic_load(&failing.hits);
}

/* Calls of the planned classes so far. */
static inline unsigned
failing_calls(void)
{
	return atomic_load(&failing.seen);
}

#endif
