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
	enum fault_where where;
	uint64_t nth;
	bool forever;
	atomic_ullong calls;
	atomic_bool fired;
} plan;

/*
 * What a call does, for deciding which faults fit it: EIO fits all, ENOSPC
 * those that may need SPACE, EINTR those that are SLOW everywhere or, on
 * network and FUSE file systems, in the source or the repository.
 */
enum {
	ANY = 0,
	SPACE = 1,
	SLOW = 2,
	SLOW_SOURCE = 4,
	SLOW_REPO = 8
};

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

static bool
is_slow(int what)
{
	if (plan.where == FAULT_SOURCE)
		return (what & (SLOW | SLOW_SOURCE)) != 0;
	if (plan.where == FAULT_REPO)
		return (what & (SLOW | SLOW_REPO)) != 0;
	return (what & SLOW) != 0;
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
		return is_slow(what) && hit() ? EINTR : 0;
	default:
		return 0;
	}
}

static size_t
shorter(size_t n)
{
	return plan.kind == FAULT_SHORT && n > 1 && hit() ? n / 2 : n;
}

#define TRY(what)                                                              \
	do {                                                                   \
		int err_ = fails(what);                                        \
		if (err_ != 0) {                                               \
			errno = err_;                                          \
			return -1;                                             \
		}                                                              \
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
	int err = fails(SLOW), rc = sys_real.close(fd);

	if (err != 0) {
		errno = err;
		return -1;
	}
	return rc;
}
static ssize_t
f_read(int fd, void *p, size_t n)
{
	TRY(SLOW);
	return sys_real.read(fd, p, shorter(n));
}
static ssize_t
f_pread(int fd, void *p, size_t n, off_t at)
{
	TRY(SLOW);
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
	TRY(SLOW | SPACE);
	return sys_real.syncfs(fd);
}
static int
f_ftruncate(int fd, off_t len)
{
	TRY(SPACE);
	return sys_real.ftruncate(fd, len);
}
static off_t
f_lseek(int fd, off_t at, int whence)
{
	TRY(SLOW);
	return sys_real.lseek(fd, at, whence);
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
	TRY(SLOW_SOURCE);
	return sys_real.statx(d, p, flags, mask, st);
}
static int
f_fstatfs(int fd, struct statfs *st)
{
	TRY(ANY);
	return sys_real.fstatfs(fd, st);
}
static int
f_faccessat(int d, const char *p, int mode, int flags)
{
	TRY(ANY);
	return sys_real.faccessat(d, p, mode, flags);
}
static ssize_t
f_getdents64(int fd, void *p, size_t n)
{
	TRY(SLOW);
	return sys_real.getdents64(fd, p, shorter(n));
}
static ssize_t
f_readlinkat(int d, const char *path, char *p, size_t n)
{
	TRY(SLOW_SOURCE);
	return sys_real.readlinkat(d, path, p, n);
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
	TRY(SPACE | SLOW_REPO);
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
	TRY(SPACE | SLOW_REPO);
	return sys_real.renameat2(od, op, nd, np, flags);
}
static int
f_flock(int fd, int op)
{
	TRY(SLOW);
	return sys_real.flock(fd, op);
}
static int
f_fchown(int fd, uid_t uid, gid_t gid)
{
	TRY(ANY);
	return sys_real.fchown(fd, uid, gid);
}
static int
f_fchownat(int d, const char *p, uid_t uid, gid_t gid, int flags)
{
	TRY(ANY);
	return sys_real.fchownat(d, p, uid, gid, flags);
}
static int
f_fchmod(int fd, mode_t m)
{
	TRY(ANY);
	return sys_real.fchmod(fd, m);
}
static int
f_fchmodat(int d, const char *p, mode_t m)
{
	TRY(ANY);
	return sys_real.fchmodat(d, p, m);
}
static int
f_utimensat(int d, const char *p, const struct timespec ts[2], int flags)
{
	TRY(ANY);
	return sys_real.utimensat(d, p, ts, flags);
}
static int
f_futimens(int fd, const struct timespec ts[2])
{
	TRY(ANY);
	return sys_real.futimens(fd, ts);
}
static ssize_t
f_flistxattr(int fd, char *p, size_t n)
{
	TRY(SLOW_SOURCE);
	return sys_real.flistxattr(fd, p, n);
}
static ssize_t
f_fgetxattr(int fd, const char *name, void *p, size_t n)
{
	TRY(SLOW_SOURCE);
	return sys_real.fgetxattr(fd, name, p, n);
}
static ssize_t
f_llistxattr(const char *path, char *p, size_t n)
{
	TRY(SLOW_SOURCE);
	return sys_real.llistxattr(path, p, n);
}
static ssize_t
f_lgetxattr(const char *path, const char *name, void *p, size_t n)
{
	TRY(SLOW_SOURCE);
	return sys_real.lgetxattr(path, name, p, n);
}
static int
f_lsetxattr(const char *path, const char *name, const void *p, size_t n,
	    int flags)
{
	TRY(SPACE);
	return sys_real.lsetxattr(path, name, p, n, flags);
}
static int
f_fsetxattr(int fd, const char *name, const void *p, size_t n, int flags)
{
	TRY(SPACE);
	return sys_real.fsetxattr(fd, name, p, n, flags);
}
static int
f_fremovexattr(int fd, const char *name)
{
	TRY(ANY);
	return sys_real.fremovexattr(fd, name);
}
static int
f_fallocate(int fd, int mode, off_t at, off_t len)
{
	TRY(SPACE);
	return sys_real.fallocate(fd, mode, at, len);
}
static int
f_fadvise(int fd, off_t at, off_t len, int advice)
{
	TRY(ANY);
	return sys_real.fadvise(fd, at, len, advice);
}
static int
f_ioctl(int fd, unsigned long request, void *arg)
{
	TRY(ANY);
	return sys_real.ioctl(fd, request, arg);
}
static ssize_t
f_getrandom(void *p, size_t n)
{
	TRY(SLOW);
	return sys_real.getrandom(p, shorter(n));
}

static bool
no_memory(size_t size)
{
	(void)size;
	return hit();
}

static const struct sys_ops faulty = {
	.openat = f_openat,
	.openat2 = f_openat2,
	.close = f_close,
	.read = f_read,
	.pread = f_pread,
	.write = f_write,
	.pwrite = f_pwrite,
	.fsync = f_fsync,
	.fdatasync = f_fdatasync,
	.syncfs = f_syncfs,
	.ftruncate = f_ftruncate,
	.fallocate = f_fallocate,
	.lseek = f_lseek,
	.fadvise = f_fadvise,
	.fstat = f_fstat,
	.fstatat = f_fstatat,
	.statx = f_statx,
	.fstatfs = f_fstatfs,
	.faccessat = f_faccessat,
	.getdents64 = f_getdents64,
	.readlinkat = f_readlinkat,
	.mkdirat = f_mkdirat,
	.mknodat = f_mknodat,
	.symlinkat = f_symlinkat,
	.linkat = f_linkat,
	.unlinkat = f_unlinkat,
	.renameat2 = f_renameat2,
	.flock = f_flock,
	.fchown = f_fchown,
	.fchownat = f_fchownat,
	.fchmod = f_fchmod,
	.fchmodat = f_fchmodat,
	.utimensat = f_utimensat,
	.futimens = f_futimens,
	.flistxattr = f_flistxattr,
	.fgetxattr = f_fgetxattr,
	.fsetxattr = f_fsetxattr,
	.fremovexattr = f_fremovexattr,
	.llistxattr = f_llistxattr,
	.lgetxattr = f_lgetxattr,
	.lsetxattr = f_lsetxattr,
	.ioctl = f_ioctl,
	.getrandom = f_getrandom,
};

void
fault_arm(enum fault_kind kind, enum fault_where where, uint64_t nth,
	  bool forever)
{
	plan.kind = kind;
	plan.where = where;
	plan.nth = nth;
	plan.forever = forever;
	atomic_store(&plan.calls, 0);
	atomic_store(&plan.fired, false);
	if (kind == FAULT_NOMEM) {
		mem_fail(no_memory);
		return;
	}
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
