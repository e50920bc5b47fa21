/*
 * program.c
 *
 * One loop moves what goes in and what comes out, so that neither side can block
 * the other.  It is over when the program has ended and its output is at its
 * end; what it left running in its group is killed then, too, and cannot hold
 * the loop up by keeping the output open: once the program is gone, what is in
 * the pipes is taken, and no more is waited for.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/snapshot/program.h"

#include "base/buf.h"
#include "base/child.h"
#include "base/err.h"
#include "base/io.h"
#include "base/path.h"
#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (4u << 20)
#define LOG_KEPT   2048 /* of standard error: the newest */
#define LOG_TURNS  64   /* reads of it at a time: it may never end */
#define TICK_MS    20   /* how soon an end or a cancel is seen */

struct running {
	const struct program *p;
	struct child child;
	size_t written;
	struct buf *out;
	size_t out_start;
	char log[LOG_KEPT];
	size_t log_len;
	bool ended;
	siginfo_t how;
};

static void
close_one(int *fd)
{
	(void)io_close(*fd, "pipe", NULL);
	*fd = -1;
}

static void
give(struct running *r)
{
	const struct buf *in = r->p->in;
	ssize_t n;

	while (r->child.in >= 0 && r->written < in->len) {
		n = write(r->child.in, in->data + r->written,
			  in->len - r->written);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		/* It does not want to know: whether that is well, it says. */
		if (n < 0)
			break;
		r->written += (size_t)n;
	}
	close_one(&r->child.in);
}

/* What there is: bytes, 0 at the end of it, -1 for nothing yet. */
static ssize_t
take_some(int fd, char *to, size_t room)
{
	ssize_t n;

	do
		n = read(fd, to, room);
	while (n < 0 && errno == EINTR);
	return n;
}

static void
take_log(struct running *r)
{
	char got[1024];
	ssize_t n;
	int turns;

	for (turns = 0; turns < LOG_TURNS && r->child.log >= 0 &&
			(n = take_some(r->child.log, got, sizeof(got))) != -1;
	     turns++) {
		size_t keep = LOG_KEPT - (size_t)n;

		if (n == 0) {
			close_one(&r->child.log);
			return;
		}
		if (r->log_len > keep) {
			memmove(r->log, r->log + r->log_len - keep, keep);
			r->log_len = keep;
		}
		memcpy(r->log + r->log_len, got, (size_t)n);
		r->log_len += (size_t)n;
	}
}

static int
take_output(struct running *r, struct err *e)
{
	char got[4096];
	ssize_t n;

	while (r->child.out >= 0 &&
	       (n = take_some(r->child.out, got, sizeof(got))) != -1) {
		if (n == 0) {
			close_one(&r->child.out);
			return 0;
		}
		buf_add(r->out, got, (size_t)n);
		if (buf_ok(r->out, e) < 0)
			return -1;
		if (r->out->len - r->out_start > OUTPUT_MAX)
			return err_set(e, ERR_SOURCE,
				       "%s %s: it printed more than %u bytes",
				       r->p->path, r->p->verb, OUTPUT_MAX);
	}
	return 0;
}

/* It is not waited for yet: until its group is killed its number is taken. */
static void
look_for_end(struct running *r)
{
	r->how.si_pid = 0;
	while (waitid(P_PID, (id_t)r->child.pid, &r->how,
		      WEXITED | WNOHANG | WNOWAIT) < 0 &&
	       errno == EINTR)
		;
	r->ended = r->how.si_pid != 0;
}

static int
move(struct running *r, uint64_t until, struct err *e)
{
	const struct program *p = r->p;

	for (;;) {
		struct pollfd f[3] = {
			{ .fd = r->child.in, .events = POLLOUT },
			{ .fd = r->child.out, .events = POLLIN },
			{ .fd = r->child.log, .events = POLLIN },
		};

		/* First the end, so that nothing comes behind what we take. */
		look_for_end(r);
		give(r);
		take_log(r);
		if (take_output(r, e) < 0)
			return -1;
		if (r->ended)
			return 0;
		if (p->cancel != NULL && atomic_load(p->cancel) != 0)
			return err_set(e, ERR_CANCELLED, "interrupted");
		if (time_monotonic_ns() >= until)
			return err_set(e, ERR_SOURCE,
				       "%s %s: it took more than %u seconds",
				       p->path, p->verb, p->seconds);
		(void)poll(f, 3, TICK_MS);
	}
}

/* Its last words: the last line of what it said, empty if it said nothing. */
static const char *
last_words(const struct running *r, char shown[PATH_SHOW_LEN])
{
	size_t end = r->log_len;
	size_t start;

	while (end > 0 && r->log[end - 1] == '\n')
		end--;
	for (start = end; start > 0 && r->log[start - 1] != '\n'; start--)
		;
	return path_show_in(shown, r->log + start, end - start);
}

static int
judge(const struct running *r, struct err *e)
{
	const struct program *p = r->p;
	char shown[PATH_SHOW_LEN];
	const char *words = last_words(r, shown);

	if (r->how.si_code == CLD_EXITED && r->how.si_status == 0)
		return 0;
	return err_set(e, ERR_SOURCE, "%s %s: %s %d%s%s", p->path, p->verb,
		       r->how.si_code == CLD_EXITED ? "exit status" :
						      "ended by signal",
		       r->how.si_status, words[0] != '\0' ? ": " : "", words);
}

int
program_run(const struct program *p, struct buf *out, struct err *e)
{
	char *const argv[] = { (char *)(uintptr_t)p->path,
			       (char *)(uintptr_t)p->verb, NULL };
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
		      "/sbin:/bin";
	char locale[] = "LC_ALL=C.UTF-8";
	char *const env[] = { path, locale, NULL };
	const struct child_start start = {
		.path = p->path,
		.argv = argv,
		.env = env,
	};
	struct running r = { .p = p, .out = out, .out_start = out->len };
	int rc;

	if (child_start(&start, &r.child, e) < 0)
		return -1;
	rc = move(&r, time_monotonic_ns() + p->seconds * UINT64_C(1000000000),
		  e);
	child_kill(&r.child);
	child_close(&r.child);
	return rc < 0 ? -1 : judge(&r, e);
}
