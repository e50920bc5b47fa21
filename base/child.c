/*
 * child.c
 *
 * Between fork and exec only calls are made that are safe in a process that
 * had threads; all memory is made before.  What goes wrong there comes back
 * through a pipe that a successful exec closes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/child.h"

#include "base/err.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct pipes {
	int in[2], out[2], log[2], fault[2];
};

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

static int
change_user(const struct child_user *u)
{
	return setgroups(u->groups, u->group) < 0 ||
			       setresgid(u->gid, u->gid, u->gid) < 0 ||
			       setresuid(u->uid, u->uid, u->uid) < 0 ?
		       -1 :
		       0;
}

/*
 * Put the pipes where they belong.  Their own numbers are above 2, which
 * make_pipe sees to, so that none is overwritten before it was moved.
 */
static void __attribute__((noreturn))
become(const struct child_start *s, const struct pipes *p)
{
	int fault = 3;

	(void)setpgid(0, 0);
	if (dup2(p->in[0], 0) < 0 || dup2(p->out[1], 1) < 0 ||
	    dup2(p->log[1], 2) < 0)
		fail_child(p->fault[1]);
	if (p->fault[1] != fault && dup3(p->fault[1], fault, O_CLOEXEC) < 0)
		fail_child(p->fault[1]);
	if (close_range(4, ~0U, 0) < 0 || chdir("/") < 0)
		fail_child(fault);
	reset_signals();
	(void)umask(022);
	if (s->user != NULL && change_user(s->user) < 0)
		fail_child(fault);
	(void)execve(s->path, s->argv, s->env);
	fail_child(fault);
}

/* --- pipes ------------------------------------------------------------------ */

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
set_nonblocking(int fd, struct err *e)
{
	return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ?
		       err_sys(e, "set up a pipe") :
		       0;
}

static int
make_pipes(struct pipes *p, struct err *e)
{
	return make_pipe(p->in, e) < 0 || make_pipe(p->out, e) < 0 ||
			       make_pipe(p->log, e) < 0 ||
			       make_pipe(p->fault, e) < 0 ||
			       set_nonblocking(p->in[1], e) < 0 ||
			       set_nonblocking(p->out[0], e) < 0 ||
			       set_nonblocking(p->log[0], e) < 0 ?
		       -1 :
		       0;
}

/* --- starting --------------------------------------------------------------- */

static void
wait_for(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Did it become the program? */
static int
hear_fault(const struct child_start *s, const struct pipes *p, pid_t pid,
	   struct err *e)
{
	int error = 0;
	ssize_t n;

	do
		n = read(p->fault[0], &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	wait_for(pid);
	errno = n == (ssize_t)sizeof(error) ? error : EIO;
	return err_sys(e, "run the program %s", s->path);
}

static int
start(const struct child_start *s, struct pipes *p, struct child *out,
      struct err *e)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_sys(e, "start the program %s", s->path);
	if (pid == 0)
		become(s, p);
	/* Here, too: it must be killed as a group from now on. */
	(void)setpgid(pid, pid);
	(void)io_close(p->fault[1], "pipe", NULL);
	p->fault[1] = -1;
	if (hear_fault(s, p, pid, e) < 0)
		return -1;
	*out = (struct child){
		.pid = pid,
		.in = p->in[1],
		.out = p->out[0],
		.log = p->log[0],
	};
	p->in[1] = p->out[0] = p->log[0] = -1;
	return 0;
}

int
child_start(const struct child_start *s, struct child *out, struct err *e)
{
	struct pipes p = {
		.in = { -1, -1 },
		.out = { -1, -1 },
		.log = { -1, -1 },
		.fault = { -1, -1 },
	};
	int rc = -1;

	if (make_pipes(&p, e) == 0)
		rc = start(s, &p, out, e);
	close_pair(p.in);
	close_pair(p.out);
	close_pair(p.log);
	close_pair(p.fault);
	return rc;
}

void
child_kill(struct child *c)
{
	if (c->pid <= 0)
		return;
	(void)kill(-c->pid, SIGKILL);
	wait_for(c->pid);
	c->pid = -1;
}

void
child_close(struct child *c)
{
	(void)io_close(c->in, "pipe", NULL);
	(void)io_close(c->out, "pipe", NULL);
	(void)io_close(c->log, "pipe", NULL);
	c->in = c->out = c->log = -1;
}
