/*
 * wire.c
 *
 * Sockets are used without blocking, with a poll of limited length in front, so
 * that *cancel is looked at a few times a second.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/wire.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/time.h"
#include "src/writer/grammar.h"
#include "src/writer/value.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define SLICE_MS 100
#define MS       UINT64_C(1000000)
#define PIECE    65536

void
wire_clear(struct wire *w)
{
	buf_clear(&w->in);
	(void)io_close(w->passed, "passed descriptor", NULL);
	w->passed = -1;
}

static int
gone(struct err *e)
{
	return err_set(e, ERR_SYS, "the other process went away");
}

/* Wait for `events`; 2: `until` came first. */
static int
wait_for(const struct wire *w, short events, uint64_t until, struct err *e)
{
	struct pollfd p = { .fd = w->fd, .events = events };
	uint64_t now;
	int ms;

	for (;;) {
		if (w->cancel != NULL && atomic_load(w->cancel) != 0)
			return err_set(e, ERR_CANCELLED, "interrupted");
		now = time_monotonic_ns();
		ms = SLICE_MS;
		if (until != 0 && now >= until)
			return 2;
		if (until != 0 && (until - now) / MS < SLICE_MS)
			ms = (int)((until - now) / MS) + 1;
		if (w->cancel == NULL && until == 0)
			ms = -1;
		if (poll(&p, 1, ms) > 0)
			return 0;
	}
}

/* --- sending ---------------------------------------------------------------- */

union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static ssize_t
send_piece(const struct wire *w, const uint8_t *p, size_t n, int pass)
{
	union control control = { .bytes = { 0 } };
	struct iovec v = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (pass >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &pass, sizeof(int));
	}
	return sendmsg(w->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int
wire_send(struct wire *w, const struct buf *b, int pass, struct err *e)
{
	size_t done = 0;
	ssize_t n;

	if (buf_ok(b, e) < 0)
		return -1;
	while (done < b->len) {
		n = send_piece(w, b->data + done, b->len - done, pass);
		if (n >= 0) {
			done += (size_t)n;
			pass = -1;
		} else if (errno == EAGAIN) {
			if (wait_for(w, POLLOUT, 0, e) < 0)
				return -1;
		} else if (errno != EINTR) {
			return gone(e);
		}
	}
	return 0;
}

void
wire_put_bytes(struct buf *out, const void *p, size_t n)
{
	wire_put_number(out, "bytes", n);
	buf_add_char(out, '\n');
	buf_add(out, p, n);
}

/* --- receiving -------------------------------------------------------------- */

/* The first one is kept, and all others are closed. */
static void
take_passed(struct wire *w, struct msghdr *m)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		int fd;

		if (c->cmsg_level != SOL_SOCKET ||
		    c->cmsg_type != SCM_RIGHTS ||
		    c->cmsg_len != CMSG_LEN(sizeof(int)))
			continue;
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		if (w->passed < 0)
			w->passed = fd;
		else
			(void)io_close(fd, "passed descriptor", NULL);
	}
}

/* More bytes into `in`: as wire_line. */
static int
receive(struct wire *w, uint64_t until, struct err *e)
{
	union control control;
	struct iovec v = { .iov_len = PIECE };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n;
	int rc;

	if (!buf_reserve(&w->in, PIECE))
		return err_nomem(e);
	for (;;) {
		v.iov_base = w->in.data + w->in.len;
		n = recvmsg(w->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n >= 0)
			break;
		if (errno == EAGAIN) {
			rc = wait_for(w, POLLIN, until, e);
			if (rc != 0)
				return rc;
		} else if (errno != EINTR) {
			return errno == ECONNRESET ? 1 : gone(e);
		}
	}
	take_passed(w, &m);
	w->in.len += (size_t)n;
	return n == 0 ? 1 : 0;
}

static void
drop(struct wire *w, size_t n)
{
	w->in.len -= n;
	memmove(w->in.data, w->in.data + n, w->in.len);
}

int
wire_line(struct wire *w, uint64_t until, struct grammar_line *out,
	  struct err *e)
{
	const uint8_t *end;
	size_t len;
	int rc;

	for (;;) {
		end = w->in.len > 0 ? memchr(w->in.data, '\n', w->in.len) :
				      NULL;
		if (end != NULL)
			break;
		if (w->in.len > GRAMMAR_LINE_MAX)
			return err_set(e, ERR_SYS,
				       "the other process sent a line that "
				       "is too long");
		rc = receive(w, until, e);
		if (rc != 0)
			return rc;
	}
	len = (size_t)(end - w->in.data);
	rc = grammar_split(out, w->in.data, len, e);
	drop(w, len + 1);
	return rc;
}

int
wire_bytes(struct wire *w, uint64_t n, size_t max, struct buf *out,
	   struct err *e)
{
	size_t part;
	int rc;

	if (n > max)
		return err_set(e, ERR_SYS,
			       "the other process wants to send too much");
	while (n > 0) {
		if (w->in.len == 0) {
			rc = receive(w, 0, e);
			if (rc != 0)
				return rc < 0 ? rc : gone(e);
			continue;
		}
		part = w->in.len < n ? w->in.len : (size_t)n;
		buf_add(out, w->in.data, part);
		drop(w, part);
		n -= part;
	}
	return buf_ok(out, e);
}

int
wire_passed(struct wire *w)
{
	int fd = w->passed;

	w->passed = -1;
	return fd;
}

bool
wire_hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 &&
	       (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

/* --- options ---------------------------------------------------------------- */

const char *
wire_text(const struct grammar_line *l, const char *key)
{
	size_t n = strlen(key);
	size_t i;

	for (i = 1; i < l->count; i++) {
		const struct grammar_word *w = &l->word[i];

		if (w->key == n && memcmp(w->s, key, n) == 0)
			return grammar_value(w);
	}
	return NULL;
}

bool
wire_flag(const struct grammar_line *l, const char *name)
{
	size_t i;

	for (i = 1; i < l->count; i++) {
		if (l->word[i].key == 0 && !l->word[i].quoted &&
		    strcmp(l->word[i].s, name) == 0)
			return true;
	}
	return false;
}

uint64_t
wire_number(const struct grammar_line *l, const char *key, uint64_t max)
{
	const char *s = wire_text(l, key);
	uint64_t v;

	if (s == NULL || !value_number(s, strlen(s), &v) || v > max)
		return 0;
	return v;
}

bool
wire_hex(const struct grammar_line *l, const char *key, uint8_t out[16])
{
	const char *s = wire_text(l, key);

	return s != NULL && hex_parse(out, 16, s);
}

void
wire_put_number(struct buf *out, const char *key, uint64_t v)
{
	buf_printf(out, " %s=%" PRIu64, key, v);
}

void
wire_put_hex(struct buf *out, const char *key, const uint8_t p[16])
{
	buf_printf(out, " %s=", key);
	hex_add(out, p, 16);
}

/* --- errors ----------------------------------------------------------------- */

void
wire_put_error(struct buf *out, const struct err *what)
{
	buf_add_str(out, "error");
	wire_put_number(out, "kind", (uint64_t)what->kind);
	wire_put_number(out, "errno", (uint64_t)what->saved_errno);
	grammar_put_option(out, "text", what->text);
	buf_add_char(out, '\n');
}

int
wire_take_error(const struct grammar_line *l, struct err *e)
{
	uint64_t kind = wire_number(l, "kind", ERR_CANCELLED);
	const char *text = wire_text(l, "text");

	if (kind == ERR_NONE)
		kind = ERR_SYS;
	err_set(e, (enum err_kind)kind, "%s",
		text != NULL ? text : "the other process failed");
	if (e != NULL)
		e->saved_errno = (int)wire_number(l, "errno", 4095);
	return -1;
}
