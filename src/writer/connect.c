/*
 * connect.c
 *
 * The child is there for the case that its parent is killed: it sees the line
 * close, thaws and aborts (outlive.h).  It must keep nothing of its parent's alive:
 * no lock, no pipe that somebody waits for the end of.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/client_internal.h"

#include "base/err.h"
#include "base/io.h"
#include "base/outlive.h"
#include "base/time.h"
#include "src/writer/grammar.h"
#include "src/writer/party.h"
#include "src/writer/rundir.h"
#include "src/writer/server.h"
#include "src/writer/server_internal.h"
#include "src/writer/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* For what is owed to writers, each of which has ten seconds. */
#define PATIENCE_NS  UINT64_C(30000000000)
#define CANCELLED_NS UINT64_C(3000000000)

#define PAUSE_MS 100

/* --- the control process ---------------------------------------------------- */

/* A connected socket; -1: there is none. */
static int
connect_live(const char *repository, const uint8_t repository_id[16])
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int dir = rundir_open_repository(repository, repository_id, NULL);
	int fd;

	if (dir < 0)
		return -1;
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s",
		       dir, SERVER_SOCKET);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
		(void)io_close(fd, "socket", NULL);
		fd = -1;
	}
	(void)io_close(dir, "run directory", NULL);
	return fd;
}

/* --- a child ---------------------------------------------------------------- */

/* The first message is answered by why there is nobody to talk to. */
static void
answer_with_error(int fd, const struct err *why)
{
	struct grammar_line l = { 0 };
	struct wire w = WIRE(fd, NULL);
	struct buf b = { 0 };

	if (wire_line(&w, 0, &l, NULL) == 0) {
		wire_put_error(&b, why);
		(void)wire_send(&w, &b, -1, NULL);
	}
	buf_clear(&b);
	grammar_clear(&l);
	wire_clear(&w);
}

static void __attribute__((noreturn))
be_child(const char *repository, const uint8_t repository_id[16], int fd)
{
	struct desk *d = NULL;
	struct err e = { 0 };

	if (outlive(fd) < 0)
		_exit(1);
	if (desk_open(repository, repository_id, &d, &e) < 0) {
		answer_with_error(fd, &e);
		_exit(1);
	}
	(void)!chdir("/");
	server_connection(d, fd);
	desk_close(d);
	_exit(0);
}

/* Above the standard files: they are replaced in the child. */
static int
make_line(int out[2], struct err *e)
{
	int low[2];
	int i;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, low) < 0)
		return err_sys(e, "connect to a child");
	for (i = 0; i < 2; i++) {
		out[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 3);
		if (out[i] < 0)
			err_sys(e, "connect to a child");
		(void)io_close(low[i], "socket", NULL);
	}
	if (out[0] >= 0 && out[1] >= 0)
		return 0;
	(void)io_close(out[0], "socket", NULL);
	(void)io_close(out[1], "socket", NULL);
	return -1;
}

static int
start_child(const char *repository, const uint8_t repository_id[16],
	    struct line_end *out, struct err *e)
{
	int fd[2] = { -1, -1 };

	if (make_line(fd, e) < 0)
		return -1;
	out->child = fork();
	if (out->child == 0)
		be_child(repository, repository_id, fd[1]);
	(void)io_close(fd[1], "socket", NULL);
	if (out->child < 0) {
		err_sys(e, "start a process to talk to writers");
		(void)io_close(fd[0], "socket", NULL);
		return -1;
	}
	out->fd = fd[0];
	return 0;
}

/* --- both ------------------------------------------------------------------- */

int
client_connect(const char *repository, const uint8_t repository_id[16],
	       struct line_end *out, bool *live, struct err *e)
{
	*out = (struct line_end){ .fd = connect_live(repository,
						     repository_id) };
	*live = out->fd >= 0;
	return *live ? 0 : start_child(repository, repository_id, out, e);
}

/* True when the other side has closed. */
static bool
wait_for_end(int fd, const atomic_int *cancel)
{
	uint64_t begin = time_monotonic_ns();
	char rest[4096];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		bool hasty = cancel != NULL && atomic_load(cancel) != 0;
		ssize_t n = -1;

		if (poll(&p, 1, PAUSE_MS) > 0)
			n = recv(fd, rest, sizeof(rest), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno == ECONNRESET &&
			       p.revents != 0))
			return true;
		if (time_monotonic_ns() - begin >=
		    (hasty ? CANCELLED_NS : PATIENCE_NS))
			return false;
	}
}

void
client_hang_up(struct line_end *end, const atomic_int *cancel)
{
	bool ended;

	(void)shutdown(end->fd, SHUT_WR);
	ended = wait_for_end(end->fd, cancel);
	(void)io_close(end->fd, "line to the writers", NULL);
	/* One that is not done is left to whoever inherits it. */
	while (end->child > 0 &&
	       waitpid(end->child, NULL, ended ? 0 : WNOHANG) < 0 &&
	       errno == EINTR)
		;
	*end = (struct line_end){ .fd = -1 };
}

void
client_pause(void)
{
	(void)poll(NULL, 0, PAUSE_MS);
}

void
client_raw_session(const char *hex, uint8_t out[16])
{
	size_t i;
	unsigned v;

	memset(out, 0, 16);
	for (i = 0; i < 16 && strlen(hex) == 32; i++) {
		if (sscanf(hex + 2 * i, "%2x", &v) == 1)
			out[i] = (uint8_t)v;
	}
}
