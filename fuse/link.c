/*
 * link.c
 *
 * A message is one packet: a letter, and what belongs to it.
 *
 *	server       M mountpoint NUL repository NUL       R
 *	supervisor   D (with the device)                   E kind sentence NUL
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/link.h"

#include "base/err.h"
#include "base/io.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

int
link_make(int out[2], struct err *e)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out) < 0)
		return err_sys(e, "connect server and supervisor");
	return 0;
}

static int
say(int fd, const void *p, size_t len, struct err *e)
{
	ssize_t n;

	do
		n = send(fd, p, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(e, "speak to the other process") : 0;
}

/* One packet, and the descriptor that came with it, or -1. */
static ssize_t
hear(int fd, void *p, size_t len, int *device)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec v = { .iov_base = p, .iov_len = len };
	struct msghdr m = {
		.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	ssize_t n;

	*device = -1;
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (c != NULL && c->cmsg_level == SOL_SOCKET &&
	    c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(device, CMSG_DATA(c), sizeof(int));
	return (m.msg_flags & MSG_TRUNC) != 0 ? -1 : n;
}

/* --- the server's --------------------------------------------------------- */

int
link_mount(int fd, const char *mountpoint, const char *repository, int *device,
	   struct err *e)
{
	char text[LINK_MESSAGE_MAX];
	size_t a = strlen(mountpoint) + 1;
	size_t b = strlen(repository) + 1;
	ssize_t n;
	int got;

	if (a > sizeof(text) / 2 || b > sizeof(text) / 2 - 1)
		return err_set(e, ERR_USAGE, "a path is too long to mount");
	text[0] = 'M';
	memcpy(text + 1, mountpoint, a);
	memcpy(text + 1 + a, repository, b);
	if (say(fd, text, 1 + a + b, e) < 0)
		return -1;
	n = hear(fd, text, sizeof(text) - 1, &got);
	if (n == 1 && text[0] == 'D' && got >= 0) {
		*device = got;
		return 0;
	}
	(void)io_close(got, "device", NULL);
	if (n < 3 || text[0] != 'E')
		return err_set(e, ERR_SYS, "the supervisor is gone");
	text[n] = '\0';
	return err_set(e, (enum err_kind)text[1], "%s", text + 2);
}

int
link_ready(int fd, struct err *e)
{
	return say(fd, "R", 1, e);
}

/* --- the supervisor's ----------------------------------------------------- */

void
link_hear(int fd, struct link_message *out)
{
	const char *end;
	ssize_t n;
	int unwanted;

	out->word = LINK_END;
	n = hear(fd, out->text, sizeof(out->text), &unwanted);
	(void)io_close(unwanted, "descriptor", NULL);
	if (n == 1 && out->text[0] == 'R')
		out->word = LINK_READY;
	if (n < 3 || out->text[0] != 'M' || out->text[n - 1] != '\0')
		return;
	end = memchr(out->text + 1, '\0', (size_t)n - 2);
	if (end == NULL)
		return;
	out->mountpoint = out->text + 1;
	out->repository = end + 1;
	out->word = LINK_MOUNT;
}

int
link_give(int fd, int device, struct err *e)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char letter = 'D';
	struct iovec v = { .iov_base = &letter, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &device, sizeof(int));
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(e, "hand over the device") : 0;
}

void
link_refuse(int fd, const struct err *why)
{
	char text[2 + ERR_TEXT_LEN] = { 'E', (char)why->kind };

	memcpy(text + 2, why->text, sizeof(why->text));
	(void)say(fd, text, 2 + strlen(why->text) + 1, NULL);
}
