/*
 * launch.c
 *
 * A program of root's desk may run as another user, the writer's owner; so it
 * must not be somebody else's to change, and nothing of ours may go with it: no
 * descriptor, no variable, no signal's disposition, no working directory.
 *
 * Between fork and exec only calls are made that are safe in a process that
 * had threads; all memory is made before.  What goes wrong there comes back
 * through a pipe that a successful exec closes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/launch.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"
#include "src/writer/coprocess.h"
#include "src/writer/party.h"
#include "src/writer/value.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

/* Everything that the child needs, made before there is one. */
struct child {
	const char *path;
	bool change_user;
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	int groups_count;
	char *env[8];
	struct buf text[8];
	size_t vars;
	int in[2], out[2], log[2], fault[2]; /* pipes */
};

static int
put_variable(struct child *c, const char *name, const char *value,
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
find_user(const struct launch *l, struct child *c, struct err *e)
{
	char *memory = mem_alloc(PASSWD_MAX);
	struct passwd pw;
	struct passwd *found = NULL;
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
	c->uid = l->owner;
	c->gid = pw.pw_gid;
	c->groups = mem_array(GROUPS_MAX, sizeof(*c->groups));
	c->groups_count = GROUPS_MAX;
	if (c->groups == NULL) {
		err_nomem(e);
		goto out;
	}
	if (getgrouplist(pw.pw_name, pw.pw_gid, c->groups,
			 &c->groups_count) < 0) {
		err_set(e, ERR_USAGE, "user %u is in too many groups",
			(unsigned)l->owner);
		goto out;
	}
	if (put_variable(c, "HOME", pw.pw_dir, e) < 0 ||
	    put_variable(c, "USER", pw.pw_name, e) < 0 ||
	    put_variable(c, "LOGNAME", pw.pw_name, e) < 0)
		goto out;
	rc = 0;
out:
	mem_free(memory);
	return rc;
}

static int
make_environment(const struct launch *l, struct child *c, struct err *e)
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

/* In the child: the errno goes to the parent. */
static void __attribute__((noreturn))
fail_child(int fault)
{
	int error = errno;

	(void)!write(fault, &error, sizeof(error));
	_exit(127);
}

static void
reset_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		(void)sigaction(i, &sa, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Put the pipes where they belong.  Their own numbers are above 2, which
 * make_pipes sees to, so that none is overwritten before it was moved.
 */
static void
become(const struct child *c)
{
	char *const argv[] = { (char *)(uintptr_t)c->path, NULL };
	int fault = 3;

	(void)setpgid(0, 0);
	if (dup2(c->in[0], 0) < 0 || dup2(c->out[1], 1) < 0 ||
	    dup2(c->log[1], 2) < 0)
		fail_child(c->fault[1]);
	if (c->fault[1] != fault && dup3(c->fault[1], fault, O_CLOEXEC) < 0)
		fail_child(c->fault[1]);
	if (close_range(4, ~0U, 0) < 0 || chdir("/") < 0)
		fail_child(fault);
	reset_signals();
	(void)umask(022);
	if (c->change_user &&
	    (setgroups((size_t)c->groups_count, c->groups) < 0 ||
	     setresgid(c->gid, c->gid, c->gid) < 0 ||
	     setresuid(c->uid, c->uid, c->uid) < 0))
		fail_child(fault);
	(void)execve(c->path, argv, c->env);
	fail_child(fault);
}

static void
close_pair(int fd[2])
{
	(void)io_close(fd[0], "pipe", NULL);
	(void)io_close(fd[1], "pipe", NULL);
	fd[0] = fd[1] = -1;
}

/* A pipe whose ends are not 0, 1 or 2, even if those are closed here. */
static int
make_pipe(int fd[2], struct err *e)
{
	int low[2];
	int i;

	if (pipe2(low, O_CLOEXEC) < 0)
		return err_sys(e, "make a pipe");
	for (i = 0; i < 2; i++) {
		fd[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 4);
		if (fd[i] < 0)
			err_sys(e, "make a pipe");
	}
	close_pair(low);
	return fd[0] < 0 || fd[1] < 0 ? -1 : 0;
}

static int
make_pipes(struct child *c, struct err *e)
{
	return make_pipe(c->in, e) < 0 || make_pipe(c->out, e) < 0 ||
			       make_pipe(c->log, e) < 0 ||
			       make_pipe(c->fault, e) < 0 ?
		       -1 :
		       0;
}

static int
set_nonblocking(int fd, struct err *e)
{
	return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ?
		       err_sys(e, "set up a pipe") :
		       0;
}

/* Did it become the program? */
static int
hear_fault(struct child *c, pid_t pid, struct err *e)
{
	int error = 0;
	ssize_t n;

	do
		n = read(c->fault[0], &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = n == (ssize_t)sizeof(error) ? error : EIO;
	return err_sys(e, "run the program %s", c->path);
}

static int
start(struct child *c, struct launched *out, struct err *e)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_sys(e, "start the program %s", c->path);
	if (pid == 0)
		become(c);
	/* Here, too: it must be killed as a group from now on. */
	(void)setpgid(pid, pid);
	(void)io_close(c->fault[1], "pipe", NULL);
	c->fault[1] = -1;
	if (hear_fault(c, pid, e) < 0)
		return -1;
	out->pid = pid;
	out->in = c->in[1];
	out->out = c->out[0];
	out->log = c->log[0];
	c->in[1] = c->out[0] = c->log[0] = -1;
	return 0;
}

static void
free_child(struct child *c)
{
	size_t i;

	close_pair(c->in);
	close_pair(c->out);
	close_pair(c->log);
	close_pair(c->fault);
	for (i = 0; i < c->vars; i++)
		buf_clear(&c->text[i]);
	mem_free(c->groups);
}

int
launch(const struct launch *l, struct launched *out, struct err *e)
{
	struct child c = {
		.path = l->path,
		.change_user = l->change_user,
		.in = { -1, -1 },
		.out = { -1, -1 },
		.log = { -1, -1 },
		.fault = { -1, -1 },
	};
	int rc = -1;

	if (make_environment(l, &c, e) < 0 || find_user(l, &c, e) < 0 ||
	    make_pipes(&c, e) < 0 || set_nonblocking(c.in[1], e) < 0 ||
	    set_nonblocking(c.out[0], e) < 0 ||
	    set_nonblocking(c.log[0], e) < 0)
		goto out;
	rc = start(&c, out, e);
out:
	free_child(&c);
	return rc;
}
