/*
 * supervisor.c
 *
 * One thread, one loop: signals (by signalfd), the server's words (link.h),
 * and in the background the server's standard error, which goes to syslog line
 * by line: the server cannot reach the log itself.
 *
 * The end.  Told to end, the mount is taken from its place first, so that
 * nobody new comes in; then the server is asked to end, and is killed when it
 * does not: it may hang on a network disk, and nobody sees it any more.  When
 * the server ends first, for whatever reason, the mount is taken away; and when
 * it is killed and cannot end (device.c says why), which no signal tells.  When
 * the supervisor is killed, the kernel sends the server a signal, and the
 * keeper (device.h) unmounts.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/supervisor.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "fuse/device.h"
#include "fuse/fusesay.h"
#include "fuse/link.h"
#include "fuse/mount.h"
#include "fuse/process.h"
#include "fuse/report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* For a server that was asked to end. */
#define GRACE_NS (UINT64_C(10) * 1000000000)

/* How often is looked whether the server is about to end, and does not. */
#define LOOK_MS 2000

#define STATUS_MAX 4096

/* As shells count. */
#define CODE_SIGNAL 128

#define LOG_LINE_MAX 1024

struct supervisor {
	const struct mount_options *opt;
	struct device device;
	pid_t server; /* 0 once it has been waited for */
	int status;   /* its, then */
	int link;     /* -1: it has hung up */
	int signals;
	int log;      /* its standard error, in the background; -1: none */
	int ready_fd; /* -1: told */
	bool ready;
	bool killed;    /* it did not end when it was asked */
	int asked;      /* the signal that ends us, or 0 */
	uint64_t until; /* monotonic: how long it is waited for; 0: no end */
	char line[LOG_LINE_MAX];
	size_t line_len;
};

/* --- being ready ---------------------------------------------------------- */

static int
say_ready(struct supervisor *v, struct err *e)
{
	if (!v->opt->foreground) {
		if (process_to_background(-1, e) < 0)
			return -1;
		report_to_syslog();
	}
	fusesay_keep(false);
	process_tell_ready(&v->ready_fd);
	process_tell_manager("READY=1");
	v->ready = true;
	return 0;
}

/* --- ending --------------------------------------------------------------- */

static void
kill_server(struct supervisor *v)
{
	if (v->server > 0)
		(void)kill(v->server, SIGKILL);
	v->killed = true;
	v->until = 0;
}

/* Asked a second time, or asked for too long, it has no more time. */
static void
end(struct supervisor *v, int number)
{
	if (v->asked != 0) {
		kill_server(v);
		return;
	}
	v->asked = number;
	if (v->ready)
		process_tell_manager("STOPPING=1");
	device_unmount(&v->device);
	if (v->server > 0)
		(void)kill(v->server, SIGTERM);
	v->until = time_monotonic_ns() + GRACE_NS;
}

static void
wait_for_children(struct supervisor *v)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == v->server) {
			v->server = 0;
			v->status = status;
		} else {
			device_child_ended(&v->device, pid);
		}
	}
}

static void
take_signals(struct supervisor *v)
{
	struct signalfd_siginfo s;

	while (read(v->signals, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
		if (s.ssi_signo == SIGCHLD)
			wait_for_children(v);
		else
			end(v, (int)s.ssi_signo);
	}
}

/* --- the server's words --------------------------------------------------- */

static void
mount_for(struct supervisor *v, const struct link_message *m)
{
	struct buf options = { 0 };
	struct err e = { 0 };

	/* Once; and not when it is to end. */
	if (v->device.fd >= 0 || v->asked != 0) {
		err_set(&e, ERR_CANCELLED, "no mount now");
		link_refuse(v->link, &e);
		return;
	}
	if (device_options(v->opt, m->repository, &options, &e) < 0 ||
	    device_mount(&v->device, m->mountpoint, buf_str(&options), &e) <
		    0 ||
	    link_give(v->link, v->device.fd, &e) < 0) {
		link_refuse(v->link, &e);
		device_close(&v->device);
	}
	buf_clear(&options);
}

static int
take_word(struct supervisor *v, struct err *e)
{
	struct link_message m;

	link_hear(v->link, &m);
	switch (m.word) {
	case LINK_MOUNT:
		mount_for(v, &m);
		return 0;
	case LINK_READY:
		return v->ready || v->device.fd < 0 ? 0 : say_ready(v, e);
	case LINK_END:
		break;
	}
	close(v->link);
	v->link = -1;
	return 0;
}

/* --- its messages --------------------------------------------------------- */

static void
log_line(struct supervisor *v)
{
	static const char prefix[] = "asof: ";
	const size_t len = sizeof(prefix) - 1;
	const char *line = v->line;

	v->line[v->line_len] = '\0';
	if (strncmp(line, prefix, len) == 0)
		line += len;
	if (line[0] != '\0')
		report_line("%s", line);
	v->line_len = 0;
}

static void
take_log(struct supervisor *v)
{
	char text[LOG_LINE_MAX];
	ssize_t n;
	ssize_t i;

	while ((n = read(v->log, text, sizeof(text))) > 0)
		for (i = 0; i < n; i++) {
			if (text[i] != '\n' && text[i] != '\0')
				v->line[v->line_len++] = text[i];
			if (text[i] == '\n' ||
			    v->line_len == sizeof(v->line) - 1)
				log_line(v);
		}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close(v->log);
	v->log = -1;
}

/* --- standing by ---------------------------------------------------------- */

/* How long to sleep, in milliseconds. */
static int
time_left(const struct supervisor *v)
{
	uint64_t now = time_monotonic_ns();
	uint64_t ms;

	if (v->until == 0)
		return LOOK_MS;
	ms = v->until <= now ? 0 : (v->until - now) / 1000000 + 1;
	return ms < LOOK_MS ? (int)ms : LOOK_MS;
}

/*
 * Has the server's first thread ended, or did a fault end them all (the others
 * wait for the dump then), while some thread goes on?
 */
static bool
is_dying(pid_t server)
{
	char path[sizeof("/proc//status") + 10];
	char text[STATUS_MAX];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)server);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "\nState:\tZ") != NULL ||
	       strstr(text, "\nCoreDumping:\t1") != NULL;
}

static int
stand_by(struct supervisor *v, struct err *e)
{
	struct pollfd p[3];
	int rc = 0;

	while (v->server > 0) {
		p[0] = (struct pollfd){ .fd = v->signals, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = v->link, .events = POLLIN };
		p[2] = (struct pollfd){ .fd = v->log, .events = POLLIN };
		if (poll(p, 3, time_left(v)) < 0)
			continue;
		if (p[2].revents != 0)
			take_log(v);
		if (p[1].revents != 0 && take_word(v, e) < 0) {
			rc = -1;
			end(v, SIGTERM);
		}
		if (p[0].revents != 0)
			take_signals(v);
		if (v->until != 0 && time_monotonic_ns() >= v->until)
			kill_server(v);
		if (v->device.fd >= 0 && v->server > 0 && is_dying(v->server))
			device_cut(&v->device);
	}
	if (v->log >= 0)
		take_log(v);
	return rc;
}

/* What came of it: 1 with *code, -1. */
static int
judge(const struct supervisor *v, int *code, struct err *e)
{
	int number;

	if (WIFEXITED(v->status)) {
		*code = WEXITSTATUS(v->status);
		return 1;
	}
	number = WTERMSIG(v->status);
	if (v->asked != 0 && !v->ready) {
		*code = CODE_SIGNAL + v->asked;
		return 1;
	}
	if (v->killed)
		return err_set(e, ERR_SYS,
			       "the mount's server did not end and was killed");
	return err_set(e, ERR_SYS, "the mount's server ended by signal %d (%s)",
		       number,
		       number == SIGSYS ? "it made a forbidden system call"
					: strsignal(number));
}

/* --- beginning ------------------------------------------------------------ */

/*
 * In the server.  It has a session of its own, so that what is typed at the
 * terminal reaches the supervisor alone.
 */
static void
be_server(pid_t supervisor)
{
	(void)prctl(PR_SET_NAME, "asof-server");
	(void)setsid();
	(void)signal(SIGTERM, SIG_DFL);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != supervisor)
		_exit(CODE_SIGNAL + SIGTERM);
}

static void
drop(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* In both: which ends are whose.  0 in the server, 1 in the supervisor. */
static int
split(struct supervisor *v, struct mount_link *out, struct err *e)
{
	int link[2] = { -1, -1 };
	int log[2] = { -1, -1 };
	pid_t self = getpid();
	int mine = -1;

	if (link_make(link, e) < 0)
		return -1;
	if (!v->opt->foreground && pipe2(log, O_CLOEXEC) < 0) {
		err_sys(e, "make a pipe");
		goto out;
	}
	v->server = fork();
	if (v->server < 0) {
		err_sys(e, "start a process");
		goto out;
	}
	mine = v->server > 0 ? 0 : 1;
	if (mine == 0) {
		v->link = link[0];
		v->log = log[0];
		if (v->log >= 0)
			(void)fcntl(v->log, F_SETFL, O_NONBLOCK);
	} else {
		be_server(self);
		out->socket = link[1];
		out->log = log[1];
	}
out:
	if (mine != 0) {
		drop(link[0]);
		drop(log[0]);
	}
	if (mine != 1) {
		drop(link[1]);
		drop(log[1]);
	}
	return mine < 0 ? -1 : 1 - mine;
}

static int
run(struct supervisor *v, int *code, struct err *e)
{
	int rc = stand_by(v, e);

	device_close(&v->device);
	if (rc == 0)
		rc = judge(v, code, e);
	if (rc < 0 && v->ready && !v->opt->foreground)
		report_line("%s", e->text);
	return rc;
}

int
supervisor_start(const struct mount_options *opt, struct mount_link *link,
		 int *code, struct err *e)
{
	struct supervisor v = {
		.opt = opt,
		.device = DEVICE_NONE(DEVICE_VIEW),
		.link = -1,
		.log = -1,
		.ready_fd = opt->ready_fd,
	};
	sigset_t signals;
	sigset_t before;
	int rc = -1;

	process_signals(SIGCHLD, &signals);
	(void)sigprocmask(SIG_BLOCK, &signals, &before);
	v.signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (v.signals < 0) {
		err_sys(e, "wait for signals");
		goto out;
	}
	fusesay_keep(true);
	rc = split(&v, link, e);
	if (rc == 1)
		rc = run(&v, code, e);
	fusesay_end();
	close(v.signals);
out:
	drop(v.ready_fd);
	drop(v.link);
	drop(v.log);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return rc;
}
