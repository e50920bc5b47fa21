/*
 * device.c
 *
 * Whose mount is it?  Between an umount from outside and our hearing of it
 * somebody may have mounted anew in the same place, and the kernel gives the
 * numbers of mounts and devices away again at once.  The descriptor of
 * /dev/fuse settles it: while it is connected our file system exists, so that
 * its numbers are nobody else's; when it is not, the mount was taken away, or
 * the connection was cut (/sys/fs/fuse/connections).  Only in the second case
 * what stands there is dead.
 *
 * Where nobody serves any more, the descriptor is closed before fusermount3
 * runs: that may look at the mountpoint, and nobody would answer it.
 *
 * The device does not close by itself when its server is killed while one of
 * its threads gives something to the kernel: that thread may wait for a page
 * that is being read, and for the answer to it for ever, and until it has ended
 * none of the server's files is closed.  What ends that wait is to cut the
 * connection (device_cut).
 *
 * The keeper has nothing but a pipe.  When the supervisor is gone the server
 * is ending too (it asked the kernel for a signal then), so the keeper cuts the
 * connection, because nobody else would, and does not ask whose mount it is
 * beyond the table's numbers: to be wrong, somebody would have to unmount,
 * mount anew and kill the supervisor within moments.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "config.h"

#include "fuse/device.h"

#include "base/err.h"
#include "base/path.h"
#include "base/sys.h"
#include "fuse/fs.h"
#include "fuse/fusesay.h"
#include "fuse/mount.h"
#include "fuse/report.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEEPER_FD 3 /* the first after the standard ones */

/* How often a keeper looks for a mount that may be on its way. */
#define APPEAR_TRIES 20
#define APPEAR_NS    (100 * 1000 * 1000)

/* For a kernel without close_range. */
#define KEEPER_FDS_MAX 1024

/* --- taking it away ------------------------------------------------------- */

static void
run_fusermount(const char *path)
{
	char *argv[] = { (char[]){ "fusermount3" }, (char[]){ "-uqz" },
			 (char[]){ "--" }, NULL, NULL };
	struct buf copy = { 0 };
	pid_t pid;

	buf_add(&copy, path, strlen(path) + 1);
	argv[3] = (char *)copy.data;
	if (!copy.failed &&
	    posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	buf_clear(&copy);
}

/* `force` is 0, or MNT_FORCE, which cuts the connection. */
static void
detach(const char *path, int force)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW | force) < 0 &&
	    errno == EPERM)
		run_fusermount(path);
}

/* What a user may do, too; fusectl's files are called by the device's minor. */
static void
abort_connection(unsigned minor)
{
	char path[sizeof("/sys/fs/fuse/connections//abort") + 10];
	int fd;

	(void)snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort",
		       minor);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, "1", 1);
	close(fd);
}

static bool
is_connected(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) >= 0 && (p.revents & POLLERR) == 0;
}

/* Past what the kernel remembers: the question has to reach the server. */
static bool
is_dead(const char *path)
{
	struct statx st;

	return sys_repo->statx(AT_FDCWD, path,
			       AT_STATX_FORCE_SYNC | AT_NO_AUTOMOUNT,
			       STATX_MODE, &st) < 0 &&
	       (errno == ENOTCONN || errno == ECONNABORTED);
}

static void
take_away(struct device *d, bool connected, int force)
{
	const char *path = buf_str(&d->path);

	if (!d->away && mounts_is_there(path, &d->mounted) &&
	    (connected || is_dead(path)))
		detach(path, force);
	d->away = true;
}

bool
device_is_there(const struct device *d)
{
	return mounts_is_there((const char *)d->path.data, &d->mounted);
}

void
device_unmount(struct device *d)
{
	if (d->fd >= 0)
		take_away(d, is_connected(d->fd), 0);
}

/* Nobody serves any more. */
static void
let_go(struct device *d, bool cut)
{
	bool connected;

	if (d->fd < 0)
		return;
	connected = is_connected(d->fd);
	if (connected && cut)
		abort_connection(d->mounted.minor);
	close(d->fd);
	d->fd = -1;
	take_away(d, connected, cut ? MNT_FORCE : 0);
}

void
device_cut(struct device *d)
{
	let_go(d, true);
}

/* --- the keeper ----------------------------------------------------------- */

static void
drop_descriptors(int keep)
{
	int null = open("/dev/null", O_RDWR);
	int fd;

	for (fd = 0; fd <= 2 && null >= 0; fd++)
		(void)dup2(null, fd);
	if (keep != KEEPER_FD)
		(void)dup2(keep, KEEPER_FD);
	if (close_range(KEEPER_FD + 1, ~0U, 0) < 0)
		for (fd = KEEPER_FD + 1; fd < KEEPER_FDS_MAX; fd++)
			close(fd);
}

/* Is there a mount of asof that was not there when we began? */
static bool
is_new(const struct device *d, const char *path, struct mounted *m)
{
	return mounts_find(path, m, NULL) == 0 &&
	       strcmp(m->type, d->type) == 0 &&
	       (m->id != d->mounted.id || m->minor != d->mounted.minor);
}

/*
 * With the supervisor gone: does its mount still stand at path?  While it was
 * mounting, fusermount3 may be at it yet.
 */
static bool
stays_behind(const struct device *d, const char *path, struct mounted *m)
{
	const struct timespec pause = { .tv_nsec = APPEAR_NS };
	int tries;

	*m = d->mounted;
	if (d->known)
		return mounts_is_there(path, m);
	for (tries = 0; tries < APPEAR_TRIES; tries++) {
		if (is_new(d, path, m))
			return true;
		(void)nanosleep(&pause, NULL);
	}
	return false;
}

static void keep(const struct device *d, const char *path, int fd)
	__attribute__((noreturn));
static void
keep(const struct device *d, const char *path, int fd)
{
	struct mounted m;
	ssize_t n;
	char byte;

	(void)prctl(PR_SET_NAME, "asof-keeper");
	(void)setsid();
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)!chdir("/");
	drop_descriptors(fd);
	do
		n = read(KEEPER_FD, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1 && stays_behind(d, path, &m)) {
		abort_connection(m.minor);
		detach(path, MNT_FORCE);
	}
	_exit(0);
}

static int
start_keeper(struct device *d, struct err *e)
{
	const char *path = buf_str(&d->path);
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, "make a pipe");
	pid = fork();
	if (pid == 0) {
		close(fd[1]);
		keep(d, path, fd[0]);
	}
	close(fd[0]);
	if (pid < 0) {
		err_sys(e, "start the keeper of the mount");
		close(fd[1]);
		return -1;
	}
	d->keeper = pid;
	d->keeper_fd = fd[1];
	return 0;
}

static void
dismiss_keeper(struct device *d)
{
	if (d->keeper_fd >= 0) {
		(void)!write(d->keeper_fd, "", 1);
		close(d->keeper_fd);
	}
	if (d->keeper > 0)
		while (waitpid(d->keeper, NULL, 0) < 0 && errno == EINTR)
			;
	d->keeper_fd = -1;
	d->keeper = 0;
}

/* Another one, who knows which mount it is. */
static int
relieve_keeper(struct device *d, struct err *e)
{
	struct device first = *d;

	d->known = true;
	if (start_keeper(d, e) < 0)
		return -1;
	dismiss_keeper(&first);
	return 0;
}

void
device_child_ended(struct device *d, pid_t ended)
{
	struct err e = { 0 };

	if (d->keeper != ended)
		return;
	close(d->keeper_fd);
	d->keeper_fd = -1;
	d->keeper = 0;
	if (d->fd >= 0 && !d->away && start_keeper(d, &e) < 0)
		report_line("%s", e.text);
}

/* --- mounting ------------------------------------------------------------- */

/* "fsname=PATH", where a comma or backslash needs a backslash before it. */
void
device_add_fsname(struct buf *out, const char *path)
{
	buf_add_str(out, "fsname=");
	for (; *path != '\0'; path++) {
		if (*path == ',' || *path == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, *path);
	}
}

/* Ours come last: of two that contradict each other the later one holds. */
int
device_options(const struct mount_options *opt, const char *repository,
	       struct buf *out, struct err *e)
{
	if (opt->fs_options != NULL) {
		buf_add_str(out, opt->fs_options);
		buf_add_char(out, ',');
	}
	if (opt->allow_other)
		buf_add_str(out, "allow_other,default_permissions,");
	buf_add_str(out, "ro,nosuid,nodev,subtype=asof,");
	device_add_fsname(out, repository);
	(void)buf_str(out);
	return buf_ok(out, e);
}

/*
 * libfuse 3.14 loses a list of words in there, once: nothing that the leak
 * sanitizer need tell us.
 */
#ifdef ASOF_SANITIZED
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));
#endif

static int
open_channel(const char *path, const char *options)
{
	int fd;

#ifdef ASOF_SANITIZED
	if (__lsan_disable != NULL)
		__lsan_disable();
#endif
	fd = fuse_open_channel(path, options);
#ifdef ASOF_SANITIZED
	if (__lsan_enable != NULL)
		__lsan_enable();
#endif
	return fd;
}

/* What stands there now is ours. */
static int
recognise(struct device *d, const char *shown, struct err *e)
{
	int rc = mounts_find(buf_str(&d->path), &d->mounted, e);

	if (rc <= 0)
		return rc;
	return err_set(e, ERR_SYS, "%s was mounted and is not to be seen",
		       shown);
}

int
device_mount(struct device *d, const char *path, const char *options,
	     struct err *e)
{
	char shown[PATH_SHOW_LEN];
	int rc = -1;

	(void)path_show_in(shown, path, strlen(path));
	buf_add_str(&d->path, path);
	(void)buf_str(&d->path);
	if (buf_ok(&d->path, e) < 0)
		goto out;
	/* Nothing there: all zero, which no mount is. */
	if (mounts_find(path, &d->mounted, e) < 0 || start_keeper(d, e) < 0)
		goto out;
	d->fd = open_channel(buf_str(&d->path), options);
	if (d->fd < 0) {
		rc = fusesay_failed(ERR_SYS, shown, e);
		goto out;
	}
	(void)fcntl(d->fd, F_SETFD, FD_CLOEXEC);
	rc = recognise(d, shown, e);
	if (rc == 0)
		rc = relieve_keeper(d, e);
out:
	if (rc < 0)
		dismiss_keeper(d);
	return rc;
}

void
device_clear_dead(const char *path, const char *type)
{
	struct mounted m;

	if (mounts_find(path, &m, NULL) == 0 && strcmp(m.type, type) == 0 &&
	    is_dead(path))
		detach(path, 0);
}

void
device_close(struct device *d)
{
	let_go(d, false);
	dismiss_keeper(d);
	buf_clear(&d->path);
}
