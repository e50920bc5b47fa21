/*
 * rundir.c
 *
 * A directory that another user could write to would let him hold the lock, or
 * answer as our process: one that does not belong to us is not used.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/rundir.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/sys.h"
#include "src/writer/registry.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK "snapshot.lock"

/* A directory of somebody else's, and the name of ours in it. */
struct place {
	struct buf parent; /* with a dot behind: it may be a link */
	struct buf name;
};

static void
put_place(struct place *p, const char *dir, const char *name)
{
	buf_printf(&p->parent, "%s/.", dir);
	buf_add_str(&p->name, name);
}

/* An absolute path, in two. */
static void
split_place(struct place *p, const char *path)
{
	const char *slash = strrchr(path, '/');

	buf_add(&p->parent, path, (size_t)(slash - path));
	buf_add_str(&p->parent, "/.");
	buf_add_str(&p->name, slash[1] != '\0' ? slash + 1 : ".");
}

static void
find_place(struct place *p)
{
	const char *own = secure_getenv("ASOF_RUN_DIR");
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	char dir[40];

	if (own != NULL && own[0] == '/') {
		split_place(p, own);
	} else if (getuid() == 0) {
		put_place(p, "/run", "asof");
	} else if (runtime != NULL && runtime[0] == '/') {
		put_place(p, runtime, "asof");
	} else {
		(void)snprintf(dir, sizeof(dir), "/run/user/%u",
			       (unsigned)getuid());
		put_place(p, dir, "asof");
	}
}

/* Make `name` in the directory and open it; it must be ours alone to write. */
static int
enter(int dirfd, const char *name, mode_t mode, struct err *e)
{
	struct stat st;
	int fd;

	if (io_mkdir(dirfd, name, mode, e) < 0)
		return -1;
	fd = io_open_dir(dirfd, name, e);
	if (fd < 0)
		return -1;
	if (sys_repo->fstat(fd, &st) < 0)
		err_sys(e, "look at the directory %s", name);
	else if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		err_set(e, ERR_USAGE,
			"the directory %s, where processes meet, belongs to "
			"somebody else or may be written by others",
			name);
	else if ((st.st_mode & 0777) != mode && sys_repo->fchmod(fd, mode) < 0)
		err_sys(e, "set the mode of the directory %s", name);
	else
		return fd;
	(void)io_close(fd, name, NULL);
	return -1;
}

int
rundir_open(struct err *e)
{
	struct place place = { 0 };
	int parent = -1;
	int fd = -1;

	find_place(&place);
	if (buf_ok(&place.parent, e) < 0 || buf_ok(&place.name, e) < 0)
		goto out;
	parent = io_open_dir(AT_FDCWD, buf_str(&place.parent), e);
	if (parent >= 0)
		fd = enter(parent, buf_str(&place.name), 0755, e);
	if (fd < 0)
		err_prefix(e,
			   "the run directory (ASOF_RUN_DIR, XDG_RUNTIME_DIR)");
out:
	(void)io_close(parent, "run directory", NULL);
	buf_clear(&place.parent);
	buf_clear(&place.name);
	return fd;
}

int
rundir_open_repository(const char *repository, const uint8_t repository_id[16],
		       struct err *e)
{
	struct buf name = { 0 };
	int dir = rundir_open(e);
	int fd = -1;

	if (dir < 0)
		return -1;
	registry_name(repository, repository_id, &name);
	buf_add_str(&name, ".d");
	if (buf_ok(&name, e) == 0)
		fd = enter(dir, buf_str(&name), 0700, e);
	(void)io_close(dir, "run directory", NULL);
	buf_clear(&name);
	return fd;
}

void
rundir_leave_repository(const char *repository, const uint8_t repository_id[16])
{
	struct buf name = { 0 };
	int dir = rundir_open(NULL);

	registry_name(repository, repository_id, &name);
	buf_add_str(&name, ".d");
	if (dir >= 0 && buf_ok(&name, NULL) == 0)
		(void)sys_repo->unlinkat(dir, buf_str(&name), AT_REMOVEDIR);
	(void)io_close(dir, "run directory", NULL);
	buf_clear(&name);
}

int
rundir_exclusive(int *fd, struct err *e)
{
	int dir = rundir_open(e);
	int lock;
	int rc;

	if (dir < 0)
		return -1;
	lock = io_open(dir, LOCK, O_RDWR | O_CREAT, 0600, NULL, e);
	(void)io_close(dir, "run directory", NULL);
	if (lock < 0)
		return -1;
	rc = io_lock(lock, true, LOCK, e);
	if (rc == 0)
		*fd = lock;
	else
		(void)io_close(lock, LOCK, NULL);
	return rc;
}
