#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "tests/lib/faults.h"

#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>

static struct {
	enum fault_kind kind;
	uint64_t nth;
	bool forever;
	atomic_ullong calls;
	atomic_bool fired;
} plan;

/* What a call does, for deciding which faults fit it. */
enum { READS = 1, WRITES = 2, SPACE = 4, SLOW = 8, ANY = 16 };

const char *
fault_kind_name(enum fault_kind k)
{
	static const char *const names[] = { "EIO", "ENOSPC", "EINTR", "short",
					     "no memory" };

	return names[k];
}

static bool
hit(void)
{
	uint64_t n = atomic_fetch_add(&plan.calls, 1) + 1;
	uint64_t last = plan.nth;

	if (plan.forever)
		last = plan.kind == FAULT_EINTR ? plan.nth + 99 : UINT64_MAX;
	if (n < plan.nth || n > last)
		return false;
	atomic_store(&plan.fired, true);
	return true;
}

/* The errno to fail with, or 0. */
static int
fails(int what)
{
	switch (plan.kind) {
	case FAULT_EIO:
		return hit() ? EIO : 0;
	case FAULT_ENOSPC:
		return (what & SPACE) != 0 && hit() ? ENOSPC : 0;
	case FAULT_EINTR:
		return (what & SLOW) != 0 && hit() ? EINTR : 0;
	default:
		return 0;
	}
}

static size_t
shorter(size_t n)
{
	return plan.kind == FAULT_SHORT && n > 1 && hit() ? n / 2 : n;
}

#define TRY(what)                        \
	do {                             \
		int err_ = fails(what);  \
		if (err_ != 0) {         \
			errno = err_;    \
			return -1;       \
		}                        \
	} while (0)

static int
f_openat(int d, const char *p, int flags, mode_t m)
{
	TRY(SLOW | ((flags & O_CREAT) != 0 ? SPACE : 0));
	return sys_real.openat(d, p, flags, m);
}
static int
f_openat2(int d, const char *p, const struct open_how *how)
{
	TRY(SLOW);
	return sys_real.openat2(d, p, how);
}
static int
f_close(int fd)
{
	/* The descriptor is gone whatever close says. */
	int err = fails(0), rc = sys_real.close(fd);

	if (err != 0) {
		errno = err;
		return -1;
	}
	return rc;
}
static ssize_t
f_read(int fd, void *p, size_t n)
{
	TRY(SLOW | READS);
	return sys_real.read(fd, p, shorter(n));
}
static ssize_t
f_pread(int fd, void *p, size_t n, off_t at)
{
	TRY(SLOW | READS);
	return sys_real.pread(fd, p, shorter(n), at);
}
static ssize_t
f_write(int fd, const void *p, size_t n)
{
	TRY(SLOW | SPACE);
	return sys_real.write(fd, p, shorter(n));
}
static ssize_t
f_pwrite(int fd, const void *p, size_t n, off_t at)
{
	TRY(SLOW | SPACE);
	return sys_real.pwrite(fd, p, shorter(n), at);
}
static int
f_fsync(int fd)
{
	TRY(SLOW | SPACE);
	return sys_real.fsync(fd);
}
static int
f_fdatasync(int fd)
{
	TRY(SLOW | SPACE);
	return sys_real.fdatasync(fd);
}
static int
f_syncfs(int fd)
{
	TRY(SPACE);
	return sys_real.syncfs(fd);
}
static int
f_ftruncate(int fd, off_t len)
{
	TRY(SPACE);
	return sys_real.ftruncate(fd, len);
}
static int
f_fstat(int fd, struct stat *st)
{
	TRY(ANY);
	return sys_real.fstat(fd, st);
}
static int
f_fstatat(int d, const char *p, struct stat *st, int flags)
{
	TRY(ANY);
	return sys_real.fstatat(d, p, st, flags);
}
static int
f_statx(int d, const char *p, int flags, unsigned mask, struct statx *st)
{
	TRY(ANY);
	return sys_real.statx(d, p, flags, mask, st);
}
static ssize_t
f_getdents64(int fd, void *p, size_t n)
{
	TRY(READS);
	return sys_real.getdents64(fd, p, n);
}
static int
f_mkdirat(int d, const char *p, mode_t m)
{
	TRY(SPACE);
	return sys_real.mkdirat(d, p, m);
}
static int
f_mknodat(int d, const char *p, mode_t m, dev_t dev)
{
	TRY(SPACE);
	return sys_real.mknodat(d, p, m, dev);
}
static int
f_symlinkat(const char *t, int d, const char *p)
{
	TRY(SPACE);
	return sys_real.symlinkat(t, d, p);
}
static int
f_linkat(int od, const char *op, int nd, const char *np, int flags)
{
	TRY(SPACE);
	return sys_real.linkat(od, op, nd, np, flags);
}
static int
f_unlinkat(int d, const char *p, int flags)
{
	TRY(ANY);
	return sys_real.unlinkat(d, p, flags);
}
static int
f_renameat2(int od, const char *op, int nd, const char *np, unsigned flags)
{
	TRY(SPACE);
	return sys_real.renameat2(od, op, nd, np, flags);
}
static int
f_flock(int fd, int op)
{
	TRY(SLOW);
	return sys_real.flock(fd, op);
}
static int
f_fsetxattr(int fd, const char *name, const void *p, size_t n, int flags)
{
	TRY(SPACE);
	return sys_real.fsetxattr(fd, name, p, n, flags);
}
static ssize_t
f_getrandom(void *p, size_t n)
{
	TRY(READS);
	return sys_real.getrandom(p, n);
}

static bool
no_memory(size_t size)
{
	(void)size;
	return hit();
}

static struct sys_ops faulty;

void
fault_arm(enum fault_kind kind, enum fault_where where, uint64_t nth,
	  bool forever)
{
	plan.kind = kind;
	plan.nth = nth;
	plan.forever = forever;
	atomic_store(&plan.calls, 0);
	atomic_store(&plan.fired, false);
	if (kind == FAULT_NOMEM) {
		mem_fail(no_memory);
		return;
	}
	faulty = sys_real;
	faulty.openat = f_openat;
	faulty.openat2 = f_openat2;
	faulty.close = f_close;
	faulty.read = f_read;
	faulty.pread = f_pread;
	faulty.write = f_write;
	faulty.pwrite = f_pwrite;
	faulty.fsync = f_fsync;
	faulty.fdatasync = f_fdatasync;
	faulty.syncfs = f_syncfs;
	faulty.ftruncate = f_ftruncate;
	faulty.fstat = f_fstat;
	faulty.fstatat = f_fstatat;
	faulty.statx = f_statx;
	faulty.getdents64 = f_getdents64;
	faulty.mkdirat = f_mkdirat;
	faulty.mknodat = f_mknodat;
	faulty.symlinkat = f_symlinkat;
	faulty.linkat = f_linkat;
	faulty.unlinkat = f_unlinkat;
	faulty.renameat2 = f_renameat2;
	faulty.flock = f_flock;
	faulty.fsetxattr = f_fsetxattr;
	faulty.getrandom = f_getrandom;
	if (where == FAULT_REPO)
		sys_repo = &faulty;
	else if (where == FAULT_SOURCE)
		sys_source = &faulty;
	else
		sys_target = &faulty;
}

bool
fault_disarm(void)
{
	mem_fail(NULL);
	sys_repo = sys_source = sys_target = &sys_real;
	return atomic_load(&plan.fired);
}

uint64_t
fault_calls(void)
{
	return atomic_load(&plan.calls);
}
