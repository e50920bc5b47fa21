/*
 * listen.c
 *
 * The socket is bound through /proc/self/fd, so that no path is too long for
 * it.  Whoever has the desk's lock is the only server: a socket that is there
 * was left behind.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/pool.h"
#include "src/writer/server.h"
#include "src/writer/server_internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Requesters at once: more wait in the socket's queue. */
#define CONNECTIONS_MAX 32

struct line {
	struct server *server;
	pthread_t thread;
	int fd;
	bool used;
	bool ended; /* its thread can be joined */
};

struct server {
	struct desk *desk;
	int rundir; /* a descriptor of its own */
	int listening;
	int told; /* eventfd: stop, or a line has ended */
	pthread_t thread;
	pthread_mutex_t lock;
	bool stop;                         /* lock */
	struct line line[CONNECTIONS_MAX]; /* lock: `used` and `ended` */
};

static void
tell(const struct server *s)
{
	(void)eventfd_write(s->told, 1);
}

static void *
serve(void *arg)
{
	struct line *l = arg;
	struct server *s = l->server;

	server_connection(s->desk, l->fd);
	(void)pthread_mutex_lock(&s->lock);
	l->ended = true;
	(void)pthread_mutex_unlock(&s->lock);
	tell(s);
	return NULL;
}

/* Join those that have ended; is there room for one more? */
static struct line *
reap(struct server *s)
{
	struct line *room = NULL;
	size_t i;

	for (i = 0; i < CONNECTIONS_MAX; i++) {
		struct line *l = &s->line[i];

		(void)pthread_mutex_lock(&s->lock);
		if (l->used && l->ended) {
			/* It has nothing left to do but return. */
			(void)pthread_join(l->thread, NULL);
			(void)io_close(l->fd, "connection", NULL);
			l->used = false;
		}
		if (!l->used)
			room = l;
		(void)pthread_mutex_unlock(&s->lock);
	}
	return room;
}

static void
begin_line(struct server *s, struct line *l, int fd)
{
	*l = (struct line){ .server = s, .fd = fd, .used = true };
	if (pool_thread(&l->thread, serve, l, NULL) == 0)
		return;
	(void)io_close(fd, "connection", NULL);
	l->used = false;
}

static void
welcome(struct server *s, struct line *room)
{
	int fd = accept4(s->listening, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	(void)pthread_mutex_lock(&s->lock);
	if (s->stop)
		(void)io_close(fd, "connection", NULL);
	else
		begin_line(s, room, fd);
	(void)pthread_mutex_unlock(&s->lock);
}

static bool
stopped(struct server *s)
{
	bool stop;

	(void)pthread_mutex_lock(&s->lock);
	stop = s->stop;
	(void)pthread_mutex_unlock(&s->lock);
	return stop;
}

static void *
run(void *arg)
{
	struct server *s = arg;
	struct line *room;
	eventfd_t count;

	while (!stopped(s)) {
		struct pollfd p[2] = { { .fd = s->told, .events = POLLIN },
				       { .fd = -1, .events = POLLIN } };

		room = reap(s);
		if (room != NULL)
			p[1].fd = s->listening;
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents != 0)
			(void)eventfd_read(s->told, &count);
		if (p[1].revents != 0)
			welcome(s, room);
	}
	return NULL;
}

static int
bind_socket(struct server *s, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s",
		       s->rundir, SERVER_SOCKET);
	if (io_unlink(s->rundir, SERVER_SOCKET, e) < 0)
		return -1;
	s->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
						 SOCK_NONBLOCK,
			      0);
	if (s->listening < 0 ||
	    bind(s->listening, (const struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(s->listening, CONNECTIONS_MAX) < 0)
		return err_sys(e, "listen for requesters");
	return 0;
}

static void
free_server(struct server *s)
{
	(void)io_close(s->listening, "socket", NULL);
	(void)io_close(s->told, "eventfd", NULL);
	(void)io_close(s->rundir, "run directory", NULL);
	(void)pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

int
server_start(struct desk *d, int rundir, struct server **out, struct err *e)
{
	struct server *s = mem_zalloc(sizeof(*s));

	if (s == NULL)
		return err_nomem(e);
	s->desk = d;
	s->listening = -1;
	(void)pthread_mutex_init(&s->lock, NULL);
	s->rundir = io_open_dir(rundir, ".", e);
	s->told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->rundir < 0 || s->told < 0) {
		err_sys(e, "listen for requesters");
	} else if (bind_socket(s, e) == 0 &&
		   pool_thread(&s->thread, run, s, e) == 0) {
		*out = s;
		return 0;
	}
	free_server(s);
	return -1;
}

void
server_stop(struct server *s)
{
	size_t i;

	if (s == NULL)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->stop = true;
	for (i = 0; i < CONNECTIONS_MAX; i++) {
		if (s->line[i].used)
			(void)shutdown(s->line[i].fd, SHUT_RDWR);
	}
	(void)pthread_mutex_unlock(&s->lock);
	tell(s);
	(void)pthread_join(s->thread, NULL);
	for (i = 0; i < CONNECTIONS_MAX; i++) {
		if (!s->line[i].used)
			continue;
		(void)pthread_join(s->line[i].thread, NULL);
		(void)io_close(s->line[i].fd, "connection", NULL);
	}
	(void)io_unlink(s->rundir, SERVER_SOCKET, NULL);
	free_server(s);
}
