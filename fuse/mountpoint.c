/*
 * mountpoint.c
 *
 * A mount over the repository would hide it from the very process that reads
 * it: repository_above says which is beneath which.
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
#include "fuse/device.h"
#include "fuse/mount.h"
#include "fuse/mounts.h"
#include "store/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FUSE_CONF     "/etc/fuse.conf"
#define FUSE_CONF_MAX ((size_t)1 << 20)

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
	bool in = repository_above(r->fd, fd);
	bool over = repository_above(fd, r->fd);
	struct stat mount;

	if (sys_repo->fstat(fd, &mount) < 0)
		return cannot_look(shown, e);
	if (in && over)
		return err_set(e, ERR_USAGE, "%s is the repository itself",
			       shown);
	if (in)
		return err_set(e, ERR_USAGE, "%s lies in the repository",
			       shown);
	if (over)
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
	fd = io_open(AT_FDCWD, *real, O_PATH | O_DIRECTORY, 0, NULL, &why);
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
	    strcmp(there.type, DEVICE_VIEW) != 0)
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
