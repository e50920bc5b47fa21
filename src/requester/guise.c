/*
 * Rights are a thread's own (cred.h), so each call is put between a change and
 * a change back, and nobody else notices: not the reader of the repository, and
 * not other threads.  A call whose change did not work is not made.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/guise.h"

#include "base/cred.h"
#include "base/err.h"
#include "base/sys.h"

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

static struct {
	bool on;
	struct cred owner;
	const struct sys_ops *under;
} guise;

static bool
enter(struct cred_before *before)
{
	if (cred_enter(&guise.owner, before, NULL) == 0)
		return true;
	errno = EPERM;
	return false;
}

#define AS_OWNER(type, name, params, args)                                     \
	static type as_##name params                                           \
	{                                                                      \
		struct cred_before before;                                     \
		type rc;                                                       \
                                                                               \
		if (!enter(&before))                                           \
			return -1;                                             \
		rc = guise.under->name args;                                   \
		cred_leave(&before);                                           \
		return rc;                                                     \
	}

/* clang-format off */
AS_OWNER(int, openat, (int d, const char *p, int f, mode_t m), (d, p, f, m))
AS_OWNER(int, openat2, (int d, const char *p, const struct open_how *h),
	 (d, p, h))
AS_OWNER(int, ftruncate, (int fd, off_t n), (fd, n))
AS_OWNER(int, fallocate, (int fd, int m, off_t a, off_t n), (fd, m, a, n))
AS_OWNER(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
AS_OWNER(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t a),
	 (fd, p, n, a))
AS_OWNER(int, fstatat, (int d, const char *p, struct stat *s, int f),
	 (d, p, s, f))
AS_OWNER(int, statx,
	 (int d, const char *p, int f, unsigned m, struct statx *s),
	 (d, p, f, m, s))
AS_OWNER(int, faccessat, (int d, const char *p, int m, int f), (d, p, m, f))
AS_OWNER(ssize_t, readlinkat, (int d, const char *p, char *b, size_t n),
	 (d, p, b, n))
AS_OWNER(int, mkdirat, (int d, const char *p, mode_t m), (d, p, m))
AS_OWNER(int, mknodat, (int d, const char *p, mode_t m, dev_t v), (d, p, m, v))
AS_OWNER(int, symlinkat, (const char *t, int d, const char *p), (t, d, p))
AS_OWNER(int, linkat,
	 (int a, const char *p, int b, const char *q, int f), (a, p, b, q, f))
AS_OWNER(int, unlinkat, (int d, const char *p, int f), (d, p, f))
AS_OWNER(int, renameat2,
	 (int a, const char *p, int b, const char *q, unsigned f),
	 (a, p, b, q, f))
AS_OWNER(int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g))
AS_OWNER(int, fchownat, (int d, const char *p, uid_t u, gid_t g, int f),
	 (d, p, u, g, f))
AS_OWNER(int, fchmod, (int fd, mode_t m), (fd, m))
AS_OWNER(int, fchmodat, (int d, const char *p, mode_t m), (d, p, m))
AS_OWNER(int, utimensat,
	 (int d, const char *p, const struct timespec t[2], int f),
	 (d, p, t, f))
AS_OWNER(int, futimens, (int fd, const struct timespec t[2]), (fd, t))
AS_OWNER(ssize_t, flistxattr, (int fd, char *p, size_t n), (fd, p, n))
AS_OWNER(ssize_t, fgetxattr, (int fd, const char *k, void *p, size_t n),
	 (fd, k, p, n))
AS_OWNER(int, fsetxattr,
	 (int fd, const char *k, const void *p, size_t n, int f),
	 (fd, k, p, n, f))
AS_OWNER(int, fremovexattr, (int fd, const char *k), (fd, k))
AS_OWNER(int, lsetxattr,
	 (const char *q, const char *k, const void *p, size_t n, int f),
	 (q, k, p, n, f))
AS_OWNER(int, ioctl, (int fd, unsigned long r, void *a), (fd, r, a))
/* clang-format on */

static void
put_on(const struct sys_ops *under)
{
	static struct sys_ops ops;

	ops = *under;
	ops.openat = as_openat;
	ops.openat2 = as_openat2;
	ops.ftruncate = as_ftruncate;
	ops.fallocate = as_fallocate;
	ops.write = as_write;
	ops.pwrite = as_pwrite;
	ops.fstatat = as_fstatat;
	ops.statx = as_statx;
	ops.faccessat = as_faccessat;
	ops.readlinkat = as_readlinkat;
	ops.mkdirat = as_mkdirat;
	ops.mknodat = as_mknodat;
	ops.symlinkat = as_symlinkat;
	ops.linkat = as_linkat;
	ops.unlinkat = as_unlinkat;
	ops.renameat2 = as_renameat2;
	ops.fchown = as_fchown;
	ops.fchownat = as_fchownat;
	ops.fchmod = as_fchmod;
	ops.fchmodat = as_fchmodat;
	ops.utimensat = as_utimensat;
	ops.futimens = as_futimens;
	ops.flistxattr = as_flistxattr;
	ops.fgetxattr = as_fgetxattr;
	ops.fsetxattr = as_fsetxattr;
	ops.fremovexattr = as_fremovexattr;
	ops.lsetxattr = as_lsetxattr;
	ops.ioctl = as_ioctl;
	guise.under = under;
	guise.on = true;
	sys_target = &ops;
}

int
guise_on(uid_t uid, struct err *e)
{
	uid_t us = geteuid();

	if (guise.on)
		return err_set(e, ERR_USAGE, "a guise is on");
	if (uid == us)
		return 0;
	if (us != 0)
		return err_set(e, ERR_USAGE,
			       "the writer belongs to another user: only root "
			       "and that user can restore for it");
	if (cred_look_up(uid, &guise.owner, e) < 0)
		return -1;
	put_on(sys_target);
	return 0;
}

void
guise_off(void)
{
	if (!guise.on)
		return;
	sys_target = guise.under;
	cred_clear(&guise.owner);
	guise.on = false;
}
