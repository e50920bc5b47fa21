/*
 * sys - the system calls, in a table.
 *
 * Three tables, one per kind of thing that is touched, so that a test can
 * fail, shorten, count, tear or reorder any single call on just that kind:
 * the repository (and the local cache), the source files, the target of a
 * restore.  Entries behave exactly like the system calls of their names:
 * -1 and errno.  Nothing else in asof calls these functions directly on
 * such files; build-aux/check-layers proves it.
 *
 * The pointers are set before any thread starts (tests) and then only read.
 */
#ifndef ASOF_BASE_SYS_H
#define ASOF_BASE_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <time.h>

struct statx;
struct open_how;

struct sys_ops {
	int (*openat)(int dirfd, const char *path, int flags, mode_t mode);
	int (*openat2)(int dirfd, const char *path, const struct open_how *how);
	int (*close)(int fd);
	ssize_t (*read)(int fd, void *p, size_t n);
	ssize_t (*pread)(int fd, void *p, size_t n, off_t at);
	ssize_t (*write)(int fd, const void *p, size_t n);
	ssize_t (*pwrite)(int fd, const void *p, size_t n, off_t at);
	int (*fsync)(int fd);
	int (*fdatasync)(int fd);
	int (*syncfs)(int fd);
	int (*ftruncate)(int fd, off_t len);
	int (*fallocate)(int fd, int mode, off_t at, off_t len);
	off_t (*lseek)(int fd, off_t at, int whence);
	int (*fadvise)(int fd, off_t at, off_t len, int advice);
	int (*fstat)(int fd, struct stat *st);
	int (*fstatat)(int dirfd, const char *path, struct stat *st, int flags);
	int (*statx)(int dirfd, const char *path, int flags, unsigned mask,
		     struct statx *st);
	int (*fstatfs)(int fd, struct statfs *st);
	int (*faccessat)(int dirfd, const char *path, int mode, int flags);
	ssize_t (*getdents64)(int fd, void *p, size_t n);
	ssize_t (*readlinkat)(int dirfd, const char *path, char *p, size_t n);
	int (*mkdirat)(int dirfd, const char *path, mode_t mode);
	int (*mknodat)(int dirfd, const char *path, mode_t mode, dev_t dev);
	int (*symlinkat)(const char *target, int dirfd, const char *path);
	int (*linkat)(int olddir, const char *oldpath, int newdir,
		      const char *newpath, int flags);
	int (*unlinkat)(int dirfd, const char *path, int flags);
	int (*renameat2)(int olddir, const char *oldpath, int newdir,
			 const char *newpath, unsigned flags);
	int (*flock)(int fd, int op);
	int (*fchown)(int fd, uid_t uid, gid_t gid);
	int (*fchownat)(int dirfd, const char *path, uid_t uid, gid_t gid,
			int flags);
	int (*fchmod)(int fd, mode_t mode);
	int (*fchmodat)(int dirfd, const char *path, mode_t mode);
	int (*utimensat)(int dirfd, const char *path,
			 const struct timespec ts[2], int flags);
	int (*futimens)(int fd, const struct timespec ts[2]);
	ssize_t (*flistxattr)(int fd, char *p, size_t n);
	ssize_t (*fgetxattr)(int fd, const char *name, void *p, size_t n);
	int (*fsetxattr)(int fd, const char *name, const void *p, size_t n,
			 int flags);
	int (*fremovexattr)(int fd, const char *name);
	ssize_t (*llistxattr)(const char *path, char *p, size_t n);
	ssize_t (*lgetxattr)(const char *path, const char *name, void *p,
			     size_t n);
	int (*lsetxattr)(const char *path, const char *name, const void *p,
			 size_t n, int flags);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	ssize_t (*getrandom)(void *p, size_t n);
};

/* The kernel itself. */
extern const struct sys_ops sys_real;

extern const struct sys_ops *sys_repo;   /* repository and local cache */
extern const struct sys_ops *sys_source; /* what is backed up */
extern const struct sys_ops *sys_target; /* where a restore goes */

#endif
