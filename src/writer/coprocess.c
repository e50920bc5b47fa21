/*
 * coprocess.c
 *
 * One thread for each program looks at four descriptors: its input while there
 * is something to be written, its output, its standard error, and the process
 * itself (a pidfd), and at an eventfd through which it is told that there is
 * more to do.  What is to be written, and how it is to end, is guarded by
 * desk->lock; the thread takes the lock for each line that it hands on.
 *
 * The group is killed before the program is waited for: until then its number
 * belongs to nobody else.
 *
 * That a program ends with status 0 is an answer only to what it has read: one
 * that ended while the event was on its way has not agreed to it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/coprocess.h"

#include "base/buf.h"
#include "base/child.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/time.h"
#include "src/writer/grammar.h"
#include "src/writer/launch.h"
#include "src/writer/party.h"
#include "src/writer/round_internal.h"
#include "src/writer/voice.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

/* Exit status of a program that wants to be asked again later. */
#define EXIT_RETRYABLE 75

#define READ_MAX 65536

/* How often is looked at the clock while it is to end, and at it. */
#define ENDING_MS 50

struct coprocess {
	struct desk *desk;
	struct party *party;
	pid_t pid;
	int process; /* pidfd, or -1: then it is looked at, now and then */
	int in, out, log;
	int told; /* eventfd: there is something to do */
	pthread_t thread;

	/* desk->lock: */
	struct buf to_write;
	bool closing;       /* close the input when all is written */
	bool killed;        /* it must end now */
	uint64_t kill_at;   /* monotonic, of `closing` */
	bool ended;         /* it has been waited for */

	/* The thread's: */
	size_t printed;     /* bytes of output and standard error */
	struct voice voice;
};

/* --- its end ---------------------------------------------------------------- */

/* Has it read all that it was told?  Else its end says nothing about that. */
static bool
has_read_all(const struct coprocess *c)
{
	int left = 0;

	return c->to_write.len == 0 && c->in >= 0 &&
	       ioctl(c->in, FIONREAD, &left) == 0 && left == 0;
}

/* For what it did not answer, its exit status does, if that is known. */
static void
answer_by_status(struct coprocess *c, bool known, int status)
{
	enum failure f = FAILURE_FATAL;
	char text[100];

	if (!voice_owes(&c->voice))
		return;
	if (c->killed)
		(void)snprintf(text, sizeof(text),
			       "it was killed: it had no more time, or printed "
			       "too much");
	else if (!known)
		(void)snprintf(text, sizeof(text),
			       "it is not known how its program ended");
	else if (WIFSIGNALED(status))
		(void)snprintf(text, sizeof(text),
			       "its program was ended by signal %d",
			       WTERMSIG(status));
	else
		(void)snprintf(text, sizeof(text),
			       "its program ended with status %d%s",
			       WEXITSTATUS(status),
			       WEXITSTATUS(status) == 0 ?
				       ", and had not read the event" :
				       "");
	if (!c->killed && known && WIFEXITED(status)) {
		if (WEXITSTATUS(status) == EXIT_RETRYABLE)
			f = FAILURE_RETRYABLE;
		else if (WEXITSTATUS(status) == 0 && has_read_all(c))
			f = FAILURE_NONE;
	}
	voice_answer(&c->voice, f, text);
}

static void
wait_for_it(struct coprocess *c)
{
	int status = 0;
	pid_t ended;

	/* Where SIGCHLD is ignored, the kernel does not tell. */
	do
		ended = waitpid(c->pid, &status, 0);
	while (ended < 0 && errno == EINTR);
	voice_end(&c->voice);
	(void)pthread_mutex_lock(&c->desk->lock);
	c->ended = true;
	answer_by_status(c, ended == c->pid, status);
	desk_changed(c->desk, c->party);
	(void)pthread_mutex_unlock(&c->desk->lock);
}

/* --- the thread ------------------------------------------------------------- */

/* What is there of its output; false at its end. */
static bool
read_some(struct coprocess *c, int fd,
	  void (*take)(struct voice *v, const char *p, size_t n))
{
	char part[READ_MAX / 4];
	ssize_t n = read(fd, part, sizeof(part));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	if (c->printed > COPROCESS_OUTPUT_MAX - (size_t)n) {
		(void)pthread_mutex_lock(&c->desk->lock);
		if (!c->killed)
			party_log(c->party, "it printed more than %u bytes",
				  COPROCESS_OUTPUT_MAX);
		c->killed = true;
		(void)pthread_mutex_unlock(&c->desk->lock);
		return false;
	}
	c->printed += (size_t)n;
	take(&c->voice, part, (size_t)n);
	return true;
}

/* Has it ended, without being waited for? */
static bool
has_exited(const struct coprocess *c)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)c->pid, &info,
		      WEXITED | WNOHANG | WNOWAIT) < 0 ||
	       info.si_pid != 0;
}

/*
 * It has ended: what it left in a pipe, and no more than lies there now.
 * Somebody who fled from its group may hold the other end, and print for ever.
 */
static void
read_the_rest(struct coprocess *c, int fd,
	      void (*take)(struct voice *v, const char *p, size_t n))
{
	size_t until;
	int left = 0;

	if (fd < 0 || ioctl(fd, FIONREAD, &left) < 0)
		return;
	until = c->printed + (size_t)left;
	while (c->printed < until && read_some(c, fd, take))
		;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/*
 * Write what there is; desk->lock is held.  A program that does not read any
 * more will be noticed by its silence.
 */
static void
write_some(struct coprocess *c)
{
	struct buf *b = &c->to_write;
	ssize_t n;

	while (b->len > 0 && c->in >= 0) {
		n = write(c->in, b->data, b->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			close_fd(&c->in);
			return;
		}
		b->len -= (size_t)n;
		memmove(b->data, b->data + n, b->len);
	}
	if (c->closing)
		close_fd(&c->in);
}

/* Write, and see whether it has to end.  How long may be slept? -1: long. */
static int
look_after(struct coprocess *c, struct pollfd *input)
{
	int wait = -1;

	(void)pthread_mutex_lock(&c->desk->lock);
	write_some(c);
	input->fd = c->to_write.len > 0 ? c->in : -1;
	if (c->closing && time_monotonic_ns() >= c->kill_at)
		c->killed = true;
	if (c->killed)
		(void)kill(-c->pid, SIGKILL);
	if (c->closing || c->killed || c->process < 0)
		wait = ENDING_MS;
	(void)pthread_mutex_unlock(&c->desk->lock);
	return wait;
}

static void *
run(void *arg)
{
	struct coprocess *c = arg;
	struct pollfd p[5];
	uint64_t count;

	for (;;) {
		p[0] = (struct pollfd){ .fd = -1, .events = POLLOUT };
		p[1] = (struct pollfd){ .fd = c->told, .events = POLLIN };
		p[2] = (struct pollfd){ .fd = c->out, .events = POLLIN };
		p[3] = (struct pollfd){ .fd = c->log, .events = POLLIN };
		p[4] = (struct pollfd){ .fd = c->process, .events = POLLIN };
		if (poll(p, 5, look_after(c, &p[0])) < 0)
			continue;
		if (p[1].revents != 0)
			(void)!read(c->told, &count, sizeof(count));
		/* The log first: what it says there led to the answer. */
		if (p[3].revents != 0 && !read_some(c, c->log, voice_log))
			close_fd(&c->log);
		if (p[2].revents != 0 && !read_some(c, c->out, voice_output))
			close_fd(&c->out);
		if (has_exited(c))
			break;
	}
	(void)kill(-c->pid, SIGKILL);
	read_the_rest(c, c->out, voice_output);
	read_the_rest(c, c->log, voice_log);
	wait_for_it(c);
	return NULL;
}

/* --- from outside ----------------------------------------------------------- */

static void
free_coprocess(struct coprocess *c)
{
	close_fd(&c->process);
	close_fd(&c->in);
	close_fd(&c->out);
	close_fd(&c->log);
	close_fd(&c->told);
	buf_clear(&c->to_write);
	voice_clear(&c->voice);
	mem_free(c);
}

/* It runs: from now on somebody looks after it, or it is gone, and so is *c. */
static int
watch(struct coprocess *c, const struct child *l, const char *path,
      struct err *e)
{
	c->pid = l->pid;
	c->in = l->in;
	c->out = l->out;
	c->log = l->log;
	c->process = pidfd_open(c->pid, 0);
	c->told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->told < 0)
		err_sys(e, "watch the program %s", path);
	else if (pool_thread(&c->thread, run, c, e) == 0)
		return 0;
	(void)kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free_coprocess(c);
	return -1;
}

int
coprocess_start(struct desk *d, struct party *p, const char *path,
		const char *session, struct coprocess **out, struct err *e)
{
	/*
	 * While it is in a session none of this changes; but the registration is
	 * written anew when its time-outs are, and has another copy of its name.
	 */
	const struct launch what = {
		.path = path,
		.owner = p->registration->owner,
		.change_user = p->registration->owner != geteuid(),
		.writer = p->name,
		.session = session,
	};
	struct child l;
	struct coprocess *c = mem_zalloc(sizeof(*c));
	int rc;

	if (c == NULL)
		return err_nomem(e);
	c->process = c->in = c->out = c->log = c->told = -1;
	c->desk = d;
	c->party = p;
	voice_begin(&c->voice, d, p);
	(void)pthread_mutex_unlock(&d->lock);
	rc = launch(&what, &l, e);
	(void)pthread_mutex_lock(&d->lock);
	if (rc < 0) {
		free_coprocess(c);
		return -1;
	}
	if (watch(c, &l, path, e) < 0)
		return -1;
	p->mailbox.reader = true;
	*out = c;
	return 0;
}

static void
tell(struct coprocess *c)
{
	uint64_t one = 1;

	(void)!write(c->told, &one, sizeof(one));
}

/* What others read in files, it is told in lines in front of the event. */
static void
put_components(const struct party *p, struct buf *out)
{
	const struct party_component *c;
	size_t i;

	for (i = 0; i < p->components; i++) {
		c = &p->component[i];
		buf_add_str(out, "component");
		grammar_put(out, c->name);
		buf_printf(out, " type=%s", metadata_type_name(c->type));
		if (c->base_number != 0) {
			buf_add_str(out, " base=@");
			hex_add(out, c->base_id, sizeof(c->base_id));
		}
		buf_add_char(out, '\n');
		if (c->previous_stamp == NULL)
			continue;
		buf_add_str(out, "previous-stamp");
		grammar_put(out, c->name);
		buf_add_char(out, ' ');
		grammar_quote(out, c->previous_stamp, c->previous_len);
		buf_add_char(out, '\n');
	}
}

void
coprocess_deliver(struct coprocess *c)
{
	struct mailbox *m = &c->party->mailbox;
	char part[4096];
	size_t n;

	if (m->state == MAIL_WAITING && m->event == EVENT_PREPARE_BACKUP)
		put_components(c->party, &c->to_write);
	while ((n = mailbox_take(m, time_monotonic_ns(), part,
				 sizeof(part))) > 0)
		buf_add(&c->to_write, part, n);
	/* Half a line must not be taken for a whole one. */
	if (buf_ok(&c->to_write, NULL) < 0)
		c->killed = true;
	tell(c);
}

bool
coprocess_running(const struct coprocess *c)
{
	return !c->ended && !c->killed && !has_exited(c);
}

void
coprocess_kill(struct coprocess *c)
{
	c->killed = true;
	tell(c);
}

void
coprocess_dismiss(struct coprocess *c)
{
	if (c == NULL || c->closing)
		return;
	c->closing = true;
	c->kill_at = time_monotonic_ns() + COPROCESS_GRACE_MS * MS;
	tell(c);
}

void
coprocess_end(struct coprocess *c)
{
	struct party *p;

	if (c == NULL)
		return;
	p = c->party;
	coprocess_dismiss(c);
	(void)pthread_mutex_unlock(&c->desk->lock);
	(void)pthread_join(c->thread, NULL);
	(void)pthread_mutex_lock(&c->desk->lock);
	p->mailbox.reader = false;
	free_coprocess(c);
}
