/*
 * mountpoint.c
 *
 * A mount over the repository would hide it from the very process that reads
 * it.  Names do not tell: a directory can be reached through links and bind
 * mounts.  So from both places the way up is walked and each directory on it
 * compared by device and inode.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/mountpoint.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/path.h"
#include "base/sys.h"
#include "fuse/mount.h"
#include "fuse/mounts.h"
#include "store/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAY_UP_MAX 4096 /* directories above each other */

#define FUSE_CONF     "/etc/fuse.conf"
#define FUSE_CONF_MAX ((size_t)1 << 20)

static bool
is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Only to look at it: works without a right to read it.  -1: not possible. */
static int
open_to_look(int dirfd, const char *path, struct err *e)
{
	return io_open(dirfd, path, O_PATH | O_DIRECTORY, 0, NULL, e);
}

/*
 * Is `what` the directory fd, or above it?  Where the way up is closed to us,
 * no.  Closes fd, which may be -1.
 */
static bool
is_at_or_above(const struct stat *what, int fd)
{
	struct stat here;
	struct stat last = { 0 };
	unsigned steps;
	bool found = false;
	int up;

	for (steps = 0; fd >= 0 && steps < WAY_UP_MAX; steps++) {
		if (sys_repo->fstat(fd, &here) < 0)
			break;
		found = is_same(&here, what);
		if (found || (steps > 0 && is_same(&here, &last)))
			break;
		last = here;
		up = open_to_look(fd, "..", NULL);
		(void)io_close(fd, "..", NULL);
		fd = up;
	}
	(void)io_close(fd, "..", NULL);
	return found;
}

/* With errno; -1. */
static int
cannot_look(const char *shown, struct err *e)
{
	if (errno != ENOTCONN)
		return err_sys(e, "mountpoint %s", shown);
	return err_set(e, ERR_SYS,
		       "mountpoint %s: the process of a mount there is gone "
		       "(fusermount3 -uz removes it)",
		       shown);
}

static int
check_repository(int fd, const char *shown, const struct repository *r,
		 struct err *e)
{
	struct stat repo;
	struct stat mount;

	if (sys_repo->fstat(r->fd, &repo) < 0)
		return err_sys(e, "look at the repository");
	if (sys_repo->fstat(fd, &mount) < 0)
		return cannot_look(shown, e);
	if (is_same(&repo, &mount))
		return err_set(e, ERR_USAGE, "%s is the repository itself",
			       shown);
	if (is_at_or_above(&repo, open_to_look(fd, ".", NULL)))
		return err_set(e, ERR_USAGE, "%s lies in the repository",
			       shown);
	if (is_at_or_above(&mount, open_to_look(r->fd, ".", NULL)))
		return err_set(e, ERR_USAGE,
			       "%s would hide the repository, which lies "
			       "beneath it",
			       shown);
	return 0;
}

/* An io_name_fn: any name is one too many. */
static int
refuse_name(void *ctx, const char *name, struct err *e)
{
	const char *shown = ctx;

	(void)name;
	return err_set(e, ERR_USAGE,
		       "%s is not empty (to mount there all the same: "
		       "--nonempty)",
		       shown);
}

static int
check_empty(int fd, char *shown, struct err *e)
{
	int dir = io_open_dir(fd, ".", e);
	int rc;

	if (dir < 0)
		return err_prefix(e, "%s", shown);
	rc = io_list(dir, shown, refuse_name, shown, e);
	(void)io_close(dir, shown, NULL);
	return rc;
}

/* Its real path in memory of the C library, and a descriptor; or -1. */
static int
find(const char *path, const char *shown, char **real, struct err *e)
{
	struct err why = { 0 };
	int fd = -1;

	*real = realpath(path, NULL);
	if (*real == NULL)
		return cannot_look(shown, e);
	fd = open_to_look(AT_FDCWD, *real, &why);
	if (fd < 0 && why.saved_errno == ENOTDIR)
		return err_set(e, ERR_USAGE, "%s is not a directory", shown);
	err_move(e, &why);
	return fd;
}

static int
check_mounts(const char *real, const char *shown, struct err *e)
{
	struct mounted there;

	if (mounts_find(real, &there, NULL) != 0 ||
	    strcmp(there.type, "fuse.asof") != 0)
		return 0;
	return err_set(e, ERR_USAGE, "%s is a mount of asof already", shown);
}

/* Whether a line of fuse.conf (fusermount3(1)) is just this word. */
static bool
is_line(const char *line, const char *word)
{
	line += strspn(line, " \t");
	return strncmp(line, word, strlen(word)) == 0 &&
	       strspn(line + strlen(word), " \t") ==
		       strlen(line + strlen(word));
}

/* What cannot be read is left to fusermount3. */
static int
check_others(const struct mount_options *opt, struct err *e)
{
	struct buf text = { 0 };
	bool found = false;
	bool unread;
	char *line;
	char *rest;

	if (!opt->allow_other || geteuid() == 0)
		return 0;
	unread = io_read_file(AT_FDCWD, FUSE_CONF, FUSE_CONF_MAX, &text, NULL) <
		 0;
	(void)buf_str(&text);
	rest = (char *)text.data;
	while ((line = strsep(&rest, "\n")) != NULL)
		found = found || is_line(line, "user_allow_other");
	buf_clear(&text);
	if (found || unread)
		return 0;
	return err_set(e, ERR_USAGE,
		       "--allow-other is for root, or for all where " FUSE_CONF
		       " has a line user_allow_other");
}

int
mountpoint_check(const struct mount_options *opt, struct buf *out,
		 struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *path = opt->mountpoint;
	char *real = NULL;
	int rc = -1;
	int fd;

	(void)path_show_in(shown, path, strlen(path));
	fd = find(path, shown, &real, e);
	if (fd < 0)
		goto out;
	if (check_mounts(real, shown, e) < 0 ||
	    check_repository(fd, shown, opt->repository, e) < 0)
		goto out;
	if (!opt->nonempty && check_empty(fd, shown, e) < 0)
		goto out;
	if (check_others(opt, e) < 0)
		goto out;
	buf_add_str(out, real);
	rc = buf_ok(out, e);
out:
	(void)io_close(fd, shown, NULL);
	free(real);
	return rc;
}
