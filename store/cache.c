/*
 * The cache is a hint, so nothing here is allowed to stop a backup: where
 * the proper place cannot be had (no home, a read-only disk, a folder that
 * others can write), a directory of our own below TMPDIR takes its place
 * for the time of the run.
 *
 * Ownership is looked at on the open descriptor.  Folders above the cache
 * itself may be symlinks; a home often is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/cache.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/path.h"
#include "base/sys.h"
#include "store/id.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPO_ID_LEN 16

/* A cache that somebody else owns or can write might be made to mislead us. */
static int
check_owner(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (sys_repo->fstat(fd, &st) < 0)
		return err_sys(e, "cache %s", path);
	if (st.st_uid != geteuid())
		return err_set(e, ERR_USAGE, "cache %s: belongs to user %u",
			       path, (unsigned)st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return err_set(e, ERR_USAGE, "cache %s: others can write it",
			       path);
	return 0;
}

static int
open_checked(const char *path, struct err *e)
{
	int fd = io_open_dir(AT_FDCWD, path, e);

	if (fd >= 0 && check_owner(fd, path, e) < 0) {
		(void)io_close(fd, path, NULL);
		return -1;
	}
	return fd;
}

/* Appends the path and returns the descriptor, or -1 and appends nothing. */
static int
open_proper(const unsigned char repo_id[REPO_ID_LEN], struct buf *path,
	    struct err *e)
{
	struct buf p = { 0 };
	char name[2 * REPO_ID_LEN + 1];
	const char *dir;
	int fd = -1;

	if (!path_of_ours("ASOF_CACHE_DIR", "/var/cache/asof",
			  "XDG_CACHE_HOME", ".cache/asof", &p)) {
		(void)err_set(e, ERR_USAGE, "no home for a cache");
		goto out;
	}
	hex_format(name, repo_id, REPO_ID_LEN);
	buf_add_char(&p, '/');
	buf_add_str(&p, name);
	dir = buf_str(&p);
	if (buf_ok(&p, e) < 0)
		goto out;
	if (io_mkdirs(dir, 0700, e) < 0) {
		(void)err_prefix(e, "cache");
		goto out;
	}
	fd = open_checked(dir, e);
	if (fd >= 0)
		buf_add_str(path, dir);
out:
	buf_clear(&p);
	return fd;
}

static int
open_temporary(struct buf *path, struct err *e)
{
	const char *parent = secure_getenv("TMPDIR");
	char random[IO_RANDOM_NAME_LEN + 1];
	struct buf p = { 0 };
	const char *dir;
	int fd = -1;

	if (parent == NULL || parent[0] != '/')
		parent = "/tmp";
	if (io_random_name(random, e) < 0)
		return -1;
	buf_printf(&p, "%s/asof-cache-%s", parent, random);
	dir = buf_str(&p);
	if (buf_ok(&p, e) < 0)
		goto out;
	if (sys_repo->mkdirat(AT_FDCWD, dir, 0700) < 0) {
		(void)err_sys(e, "temporary cache %s", dir);
		goto out;
	}
	fd = open_checked(dir, e);
	if (fd >= 0)
		buf_add_str(path, dir);
	else
		(void)sys_repo->unlinkat(AT_FDCWD, dir, AT_REMOVEDIR);
out:
	buf_clear(&p);
	return fd;
}

int
cache_open(const unsigned char repo_id[16], int *fd, struct buf *path,
	   bool *temporary, struct err *e)
{
	struct err why = { 0 };
	bool temp = false;
	int dirfd;

	dirfd = open_proper(repo_id, path, &why);
	if (dirfd < 0 && why.kind == ERR_NOMEM)
		return err_nomem(e);
	if (dirfd < 0) {
		temp = true;
		dirfd = open_temporary(path, e);
	}
	if (dirfd < 0)
		return -1;
	if (buf_ok(path, e) < 0) {
		(void)io_close(dirfd, "the cache", NULL);
		return -1;
	}
	*fd = dirfd;
	*temporary = temp;
	return 0;
}

/* --- removing ----------------------------------------------------------------- */

/* A cache is two levels deep: files, and catalogues with files. */
#define DEPTH_MAX 2

struct removal {
	int dirfd;
	int depth;
};

static int
remove_name(void *ctx, const char *name, struct err *e)
{
	const struct removal *in = ctx;
	struct removal below = { .depth = in->depth + 1 };

	if (sys_repo->unlinkat(in->dirfd, name, 0) == 0 ||
	    in->depth == DEPTH_MAX)
		return 0;
	below.dirfd = io_open_dir(in->dirfd, name, e);
	if (below.dirfd < 0)
		return -1;
	(void)io_list(below.dirfd, name, remove_name, &below, e);
	(void)io_close(below.dirfd, name, NULL);
	(void)sys_repo->unlinkat(in->dirfd, name, AT_REMOVEDIR);
	return 0;
}

void
cache_remove(int fd, const char *path)
{
	struct removal top = { .dirfd = fd, .depth = 1 };

	(void)io_list(fd, path, remove_name, &top, NULL);
	(void)io_close(fd, path, NULL);
	(void)sys_repo->unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
