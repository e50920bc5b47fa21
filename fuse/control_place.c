/*
 * control_place.c
 *
 * The path is put together from the real one of the directory above and a
 * name, so that nothing asks a mount there that nobody serves.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/control_place.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"
#include "fuse/device.h"
#include "fuse/mounts.h"
#include "src/writer/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE_FILE "place" /* in the state directory */

static void
put_child(struct buf *out, const char *dir, const char *name, size_t len)
{
	buf_add_str(out, dir);
	if (out->len == 0 || out->data[out->len - 1] != '/')
		buf_add_char(out, '/');
	buf_add(out, name, len);
}

int
control_place_default(const char *name, struct buf *out, struct err *e)
{
	char link[sizeof("/proc/self/fd/") + 10];
	char dir[PATH_MAX];
	ssize_t n;
	int fd = rundir_open(e);

	if (fd < 0)
		return -1;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = sys_repo->readlinkat(AT_FDCWD, link, dir, sizeof(dir) - 1);
	if (n < 0)
		err_sys(e, "find the path of the run directory");
	(void)io_close(fd, "run directory", NULL);
	if (n < 0)
		return -1;
	dir[n] = '\0';
	put_child(out, dir, name, strlen(name));
	return buf_ok(out, e);
}

/* The person's; absolute. */
static int
find_given(const char *dir, const char *shown, struct buf *out, struct err *e)
{
	struct buf normal = { 0 };
	const char *slash;
	char *parent;
	char *real = NULL;
	int rc = -1;

	if (path_absolute("/", dir, &normal, e) < 0 || buf_ok(&normal, e) < 0)
		goto out;
	slash = strrchr(buf_str(&normal), '/');
	if (slash[1] == '\0') {
		err_set(e, ERR_USAGE, "control files cannot be at %s", shown);
		goto out;
	}
	parent = (char *)normal.data + (slash - (const char *)normal.data);
	*parent = '\0';
	real = realpath(normal.len > 0 && normal.data[0] != '\0'
				? (const char *)normal.data
				: "/",
			NULL);
	if (real == NULL) {
		err_sys(e, "control files at %s", shown);
		goto out;
	}
	put_child(out, real, slash + 1, strlen(slash + 1));
	rc = 0;
out:
	free(real);
	buf_clear(&normal);
	return rc;
}

/* --- is it good? ---------------------------------------------------------- */

/* An io_name_fn: any name is one too many. */
static int
refuse_name(void *ctx, const char *name, struct err *e)
{
	const char *shown = ctx;

	(void)name;
	return err_set(e, ERR_USAGE, "%s is not empty", shown);
}

static int
check_mounts(const char *path, const char *shown, struct err *e)
{
	struct mounted there;

	device_clear_dead(path, DEVICE_CONTROL);
	if (mounts_find(path, &there, NULL) != 0)
		return 0;
	if (strcmp(there.type, DEVICE_CONTROL) == 0)
		return err_set(e, ERR_BUSY, "control files are at %s already",
			       shown);
	if (strcmp(there.type, DEVICE_VIEW) == 0)
		return err_set(e, ERR_USAGE, "%s is a mount of asof", shown);
	return 0;
}

static int
check_repository(const char *path, const char *shown, const char *repository,
		 struct err *e)
{
	char *real = realpath(repository, NULL);
	int rc = 0;

	if (real == NULL)
		return err_sys(e, "find the repository");
	if (path_beneath(path, real))
		rc = err_set(e, ERR_USAGE, "%s lies in the repository", shown);
	else if (path_beneath(real, path))
		rc = err_set(e, ERR_USAGE, "%s would hide the repository",
			     shown);
	free(real);
	return rc;
}

/* Could somebody else put another directory in the place of one in this? */
static bool
is_open_to_others(const struct stat *st)
{
	mode_t others = st->st_gid == getegid() ? S_IWOTH : S_IWOTH | S_IWGRP;

	return (st->st_uid != 0 && st->st_uid != geteuid()) ||
	       ((st->st_mode & others) != 0 && (st->st_mode & S_ISVTX) == 0);
}

/* The directories above it, which is real. */
static int
check_above(const struct buf *path, const char *shown, struct err *e)
{
	struct buf above = { 0 };
	size_t len = path->len;
	struct stat st;
	int rc = 0;

	while (rc == 0 && len > 0) {
		while (path->data[--len] != '/')
			;
		buf_reset(&above);
		buf_add(&above, path->data, len > 0 ? len : 1);
		if (sys_repo->fstatat(AT_FDCWD, buf_str(&above), &st,
				      AT_SYMLINK_NOFOLLOW) < 0)
			rc = err_sys(e, "look at what is above %s", shown);
		else if (is_open_to_others(&st))
			rc = err_set(e, ERR_USAGE,
				     "%s: somebody else may change what is "
				     "above it",
				     shown);
	}
	buf_clear(&above);
	return rc;
}

/* Who else could write to it could put something else in its place. */
static int
check_dir(const char *path, char *shown, struct err *e)
{
	struct err why = { 0 };
	struct stat st;
	int fd = io_open_dir(AT_FDCWD, path, &why);
	int rc = -1;

	if (fd < 0 && (why.saved_errno == ENOTDIR || why.saved_errno == ELOOP))
		return err_set(e, ERR_USAGE, "%s is not a directory", shown);
	if (fd < 0) {
		err_move(e, &why);
		return -1;
	}
	if (sys_repo->fstat(fd, &st) < 0)
		err_sys(e, "look at %s", shown);
	else if (st.st_uid != geteuid())
		err_set(e, ERR_USAGE, "%s belongs to somebody else", shown);
	else
		rc = io_list(fd, shown, refuse_name, shown, e);
	(void)io_close(fd, shown, NULL);
	return rc;
}

/* Where it is to be, and where a link to it. */
static int
find_path(const char *dir, const char *name, const char *shown,
	  struct control_place *out, struct err *e)
{
	struct buf link = { 0 };
	int rc = 0;

	if (dir == NULL)
		return control_place_default(name, &out->path, e);
	if (find_given(dir, shown, &out->path, e) < 0 ||
	    buf_ok(&out->path, e) < 0 ||
	    check_above(&out->path, shown, e) < 0)
		return -1;
	/* Without a run directory nobody looks for it there. */
	if (control_place_default(name, &link, NULL) == 0 &&
	    strcmp(buf_str(&link), buf_str(&out->path)) != 0) {
		out->link = mem_strdup(buf_str(&link));
		rc = out->link != NULL ? 0 : err_nomem(e);
	}
	buf_clear(&link);
	return rc;
}

/* Does a symlink of ours stand there? */
static bool
is_link(const char *path)
{
	char target[PATH_MAX];

	return sys_repo->readlinkat(AT_FDCWD, path, target, sizeof(target)) >=
	       0;
}

/* Take away what a process that was killed has left there. */
static void
clear_left(const char *path)
{
	device_clear_dead(path, DEVICE_CONTROL);
	(void)sys_repo->unlinkat(AT_FDCWD, path,
				 is_link(path) ? 0 : AT_REMOVEDIR);
}

int
control_place_make(const char *dir, const char *name, const char *repository,
		   struct control_place *out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *path;

	if (dir != NULL)
		(void)path_show_in(shown, dir, strlen(dir));
	if (find_path(dir, name, shown, out, e) < 0)
		return -1;
	path = buf_str(&out->path);
	if (buf_ok(&out->path, e) < 0)
		return -1;
	(void)path_show_in(shown, path, strlen(path));
	if (dir == NULL && is_link(path))
		clear_left(path);
	if (check_mounts(path, shown, e) < 0 ||
	    check_repository(path, shown, repository, e) < 0)
		return -1;
	out->made = sys_repo->mkdirat(AT_FDCWD, path, 0755) == 0;
	if (!out->made && errno != EEXIST)
		return err_sys(e, "make the directory %s", shown);
	if (check_dir(path, shown, e) < 0)
		return -1;
	/* What is there in the run directory, a process that was killed left. */
	out->made = out->made || dir == NULL;
	return 0;
}

void
control_place_leave(struct control_place *p)
{
	if (p->made)
		(void)sys_repo->unlinkat(AT_FDCWD, buf_str(&p->path),
					 AT_REMOVEDIR);
	buf_clear(&p->path);
	mem_free(p->link);
	p->link = NULL;
	p->made = false;
}

/* --- telling others ------------------------------------------------------- */

int
control_place_tell(const struct control_place *p, int statefd, struct err *e)
{
	if (p->link != NULL) {
		clear_left(p->link);
		if (sys_repo->symlinkat((const char *)p->path.data, AT_FDCWD,
					p->link) < 0)
			return err_sys(e, "link %s to the control files",
				       p->link);
	}
	return io_publish(statefd, PLACE_FILE, p->path.data, p->path.len, true,
			  e);
}

void
control_place_untell(const struct control_place *p, int statefd)
{
	(void)io_unlink(statefd, PLACE_FILE, NULL);
	if (p->link != NULL && is_link(p->link))
		(void)sys_repo->unlinkat(AT_FDCWD, p->link, 0);
}
