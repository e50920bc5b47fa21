/*
 * Wrappers stand only where glibc has no function, or one of another shape
 * (variadic, more parameters).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static int
real_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	return openat(dirfd, path, flags, mode);
}

static int
real_openat2(int dirfd, const char *path, const struct open_how *how)
{
	return (int)syscall(SYS_openat2, dirfd, path, how, sizeof(*how));
}

static ssize_t
real_getdents64(int fd, void *p, size_t n)
{
	return getdents64(fd, p, n);
}

static int
real_fchmodat(int dirfd, const char *path, mode_t mode)
{
	return fchmodat(dirfd, path, mode, 0);
}

/* The library's returns the number of the failure instead. */
static int
real_fadvise(int fd, off_t at, off_t len, int advice)
{
	int rc = posix_fadvise(fd, at, len, advice);

	if (rc == 0)
		return 0;
	errno = rc;
	return -1;
}

static int
real_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

static ssize_t
real_getrandom(void *p, size_t n)
{
	return getrandom(p, n, 0);
}

const struct sys_ops sys_real = {
	.openat = real_openat,
	.openat2 = real_openat2,
	.close = close,
	.read = read,
	.pread = pread,
	.write = write,
	.pwrite = pwrite,
	.fsync = fsync,
	.fdatasync = fdatasync,
	.syncfs = syncfs,
	.ftruncate = ftruncate,
	.fallocate = fallocate,
	.lseek = lseek,
	.fadvise = real_fadvise,
	.fstat = fstat,
	.fstatat = fstatat,
	.statx = statx,
	.fstatfs = fstatfs,
	.faccessat = faccessat,
	.getdents64 = real_getdents64,
	.readlinkat = readlinkat,
	.mkdirat = mkdirat,
	.mknodat = mknodat,
	.symlinkat = symlinkat,
	.linkat = linkat,
	.unlinkat = unlinkat,
	.renameat2 = renameat2,
	.flock = flock,
	.fchown = fchown,
	.fchownat = fchownat,
	.fchmod = fchmod,
	.fchmodat = real_fchmodat,
	.utimensat = utimensat,
	.futimens = futimens,
	.flistxattr = flistxattr,
	.fgetxattr = fgetxattr,
	.fsetxattr = fsetxattr,
	.fremovexattr = fremovexattr,
	.llistxattr = llistxattr,
	.lgetxattr = lgetxattr,
	.lsetxattr = lsetxattr,
	.ioctl = real_ioctl,
	.getrandom = real_getrandom,
};

const struct sys_ops *sys_repo = &sys_real;
const struct sys_ops *sys_source = &sys_real;
const struct sys_ops *sys_target = &sys_real;
