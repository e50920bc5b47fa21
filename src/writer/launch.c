/*
 * launch.c
 *
 * A program of root's desk may run as another user, the writer's owner; so it
 * must not be somebody else's to change.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/launch.h"

#include "base/buf.h"
#include "base/child.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"
#include "src/writer/coprocess.h"
#include "src/writer/party.h"
#include "src/writer/value.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS_MAX 1024
#define PASSWD_MAX 65536

/* --- which programs --------------------------------------------------------- */

struct listing {
	const struct desk *desk;
	const char *dir;
	int dirfd;
	coprocess_fn fn;
	void *ctx;
	const char *refused; /* all of them: the directory's fault */
};

/* Whoever may write to it may run what he likes as the writer's owner. */
static const char *
trust_fault(const struct desk *d, const struct stat *st, bool dir)
{
	if (st->st_uid != 0 && st->st_uid != d->uid)
		return dir ? "its directory belongs to somebody else" :
			     "it belongs to somebody else";
	if ((st->st_mode & 022) != 0)
		return dir ? "its directory may be written by others" :
			     "it may be written by others";
	return NULL;
}

static int
list_one(void *ctx, const char *name, struct err *e)
{
	struct listing *l = ctx;
	const char *dot = strchr(name, '.');
	const char *refused = l->refused;
	struct buf path = { 0 };
	struct stat st;
	char *writer;
	int rc = -1;

	/* Hidden files, and what editors leave behind, are none of them. */
	if (dot == name || name[strlen(name) - 1] == '~')
		return 0;
	if (sys_repo->fstatat(l->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)))
		return 0;
	writer = mem_dup(name, dot != NULL ? (size_t)(dot - name) :
					     strlen(name));
	buf_printf(&path, "%s/%s", l->dir, name);
	if (writer == NULL || buf_ok(&path, NULL) < 0) {
		err_nomem(e);
		goto out;
	}
	/* A file of text beside the programs is none. */
	if (S_ISREG(st.st_mode) && (st.st_mode & 0111) == 0) {
		rc = 0;
		goto out;
	}
	if (S_ISLNK(st.st_mode))
		refused = "it is a symbolic link";
	if (refused == NULL)
		refused = trust_fault(l->desk, &st, false);
	if (refused == NULL)
		refused = value_writer_fault(writer);
	rc = l->fn(l->ctx, writer, buf_str(&path), refused, e);
out:
	mem_free(writer);
	buf_clear(&path);
	return rc;
}

static void
find_dir(const struct desk *d, struct buf *out)
{
	const char *own = secure_getenv("ASOF_WRITERS_D");
	const char *config = secure_getenv("XDG_CONFIG_HOME");
	const char *home = secure_getenv("HOME");

	if (own != NULL && own[0] == '/')
		buf_add_str(out, own);
	else if (d->root)
		buf_add_str(out, "/etc/asof/writers.d");
	else if (config != NULL && config[0] == '/')
		buf_printf(out, "%s/asof/writers.d", config);
	else if (home != NULL && home[0] == '/')
		buf_printf(out, "%s/.config/asof/writers.d", home);
}

int
coprocess_list(const struct desk *d, coprocess_fn fn, void *ctx,
	       struct err *e)
{
	struct listing l = { .desk = d, .dirfd = -1, .fn = fn, .ctx = ctx };
	struct buf dir = { 0 };
	struct stat st;
	bool missing = false;
	int rc = -1;

	find_dir(d, &dir);
	if (buf_ok(&dir, e) < 0)
		goto out;
	l.dir = buf_str(&dir);
	if (l.dir[0] == '\0') {
		rc = 0;
		goto out;
	}
	l.dirfd = io_open(AT_FDCWD, l.dir, O_RDONLY | O_DIRECTORY, 0, &missing,
			  e);
	if (missing)
		rc = 0;
	if (l.dirfd < 0)
		goto out;
	if (sys_repo->fstat(l.dirfd, &st) < 0) {
		err_sys(e, "look at %s", l.dir);
		goto out;
	}
	l.refused = trust_fault(d, &st, true);
	rc = io_list(l.dirfd, l.dir, list_one, &l, e);
out:
	(void)io_close(l.dirfd, "writers.d", NULL);
	buf_clear(&dir);
	return rc;
}

/* --- starting one ----------------------------------------------------------- */

/* Everything that it gets, made before there is one. */
struct program {
	struct child_user user;
	gid_t *groups;
	char *env[8];
	struct buf text[8];
	size_t vars;
};

static int
put_variable(struct program *c, const char *name, const char *value,
	     struct err *e)
{
	struct buf *b = &c->text[c->vars];

	buf_printf(b, "%s=%s", name, value);
	buf_add_char(b, '\0');
	if (buf_ok(b, e) < 0)
		return -1;
	c->env[c->vars++] = (char *)b->data;
	return 0;
}

/* The user as others know him: name, home, groups. */
static int
find_user(const struct launch *l, struct program *c, struct err *e)
{
	char *memory = mem_alloc(PASSWD_MAX);
	struct passwd pw;
	struct passwd *found = NULL;
	int count = GROUPS_MAX;
	int rc = -1;

	if (memory == NULL)
		return err_nomem(e);
	if (getpwuid_r(l->owner, &pw, memory, PASSWD_MAX, &found) != 0 ||
	    found == NULL) {
		err_set(e, ERR_USAGE,
			"its owner, user %u, is not known to this machine",
			(unsigned)l->owner);
		goto out;
	}
	c->groups = mem_array(GROUPS_MAX, sizeof(*c->groups));
	if (c->groups == NULL) {
		err_nomem(e);
		goto out;
	}
	if (getgrouplist(pw.pw_name, pw.pw_gid, c->groups, &count) < 0) {
		err_set(e, ERR_USAGE, "user %u is in too many groups",
			(unsigned)l->owner);
		goto out;
	}
	if (put_variable(c, "HOME", pw.pw_dir, e) < 0 ||
	    put_variable(c, "USER", pw.pw_name, e) < 0 ||
	    put_variable(c, "LOGNAME", pw.pw_name, e) < 0)
		goto out;
	c->user = (struct child_user){
		.uid = l->owner,
		.gid = pw.pw_gid,
		.group = c->groups,
		.groups = (size_t)count,
	};
	rc = 0;
out:
	mem_free(memory);
	return rc;
}

static int
make_environment(const struct launch *l, struct program *c, struct err *e)
{
	if (put_variable(c, "PATH",
			 "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
			 "/sbin:/bin",
			 e) < 0 ||
	    put_variable(c, "LC_ALL", "C.UTF-8", e) < 0 ||
	    put_variable(c, "ASOF_WRITER", l->writer, e) < 0 ||
	    put_variable(c, "ASOF_SESSION", l->session, e) < 0)
		return -1;
	return 0;
}

int
launch(const struct launch *l, struct child *out, struct err *e)
{
	struct program c = { .vars = 0 };
	char *const argv[] = { (char *)(uintptr_t)l->path, NULL };
	struct child_start start = {
		.path = l->path,
		.argv = argv,
		.env = c.env,
		.user = l->change_user ? &c.user : NULL,
	};
	size_t i;
	int rc = -1;

	if (make_environment(l, &c, e) == 0 && find_user(l, &c, e) == 0)
		rc = child_start(&start, out, e);
	for (i = 0; i < c.vars; i++)
		buf_clear(&c.text[i]);
	mem_free(c.groups);
	return rc;
}
