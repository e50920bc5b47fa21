/*
 * coprocess.c
 *
 * One thread for each program looks at four descriptors: its input while there
 * is something to be written, its output, its standard error, and the process
 * itself (a pidfd), and at an eventfd through which it is told that there is
 * more to do.  What is to be written, and how it is to end, is guarded by
 * desk->lock; the thread takes the lock for each line that it hands on.
 *
 * A line is one of four things: part of a document (from `writer` to `end`, as
 * an answer to identify), an answer, or a statement; comments are statements
 * that mean nothing.  A program whose document was refused, or what it said of
 * where its files go, has failed, whatever it answers: it cannot know.
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
#include "src/writer/intake.h"
#include "src/writer/launch.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/refuse.h"
#include "src/writer/round_internal.h"
#include "src/writer/statement.h"

#include <errno.h>
#include <inttypes.h>
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

#define READ_MAX    65536
#define LOG_LINE    1024

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
	struct buf line;    /* an unfinished one of its output */
	bool line_too_long;
	struct buf document;
	bool in_document;
	struct buf fault;    /* why an event has failed, whatever it answers, */
	enum event fault_at; /* and which */
	char log_line[LOG_LINE];
	size_t log_len;
	struct intake intake;
	struct intake_sink sink;
};

/* --- what it says ----------------------------------------------------------- */

static int
check_statement(void *ctx, struct statement *s, struct err *e)
{
	const struct coprocess *c = ctx;

	return party_check(c->party, s, e);
}

static int
accept_statements(void *ctx, struct statement *const *s, size_t n,
		  struct err *e)
{
	const struct coprocess *c = ctx;

	return party_accept(c->party, s, n, e);
}

static void
note_fault(struct coprocess *c, const char *what, const char *why)
{
	buf_reset(&c->fault);
	buf_printf(&c->fault, "%s: %s", what, why);
	c->fault_at = c->party->mailbox.event;
}

/*
 * In a backup the gap makes good what was refused: more is read.  Nothing does
 * if files are about to go where the writer did not want them.
 */
static void
refuse_statement(void *ctx, const struct statement *s, const void *line,
		 size_t len, const struct err *why)
{
	struct coprocess *c = ctx;

	party_refuse(c->party, s, line, len, why);
	if (c->party->mailbox.event == EVENT_PRE_RESTORE)
		note_fault(c, "a statement was refused", why->text);
}

/* Does the line begin with this word? */
static bool
begins_with(const char *line, size_t len, const char *word)
{
	size_t n = strlen(word);

	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	return len >= n && memcmp(line, word, n) == 0 &&
	       (len == n || line[n] == ' ' || line[n] == '\t' ||
		line[n] == '\r');
}

/* The event that it has been told and has not answered. */
static bool
owes_answer(const struct mailbox *m)
{
	return m->state == MAIL_WAITING || m->state == MAIL_DELIVERED;
}

/* desk->lock is held in all of these. */

static bool
has_fault(const struct coprocess *c)
{
	return c->fault.len > 0 && c->fault_at == c->party->mailbox.event;
}

static void
answer_for_it(struct coprocess *c, enum failure f, const char *text)
{
	struct party *p = c->party;
	struct buf line = { 0 };
	struct err e = { 0 };

	if (has_fault(c)) {
		f = FAILURE_FATAL;
		text = buf_str(&c->fault);
	}
	buf_printf(&line, "%s %" PRIu64, f == FAILURE_NONE ? "ok" : "fail",
		   p->mailbox.id);
	if (f != FAILURE_NONE) {
		buf_printf(&line, " %s ", failure_name(f));
		grammar_quote_always(&line, text, strlen(text));
	}
	if (buf_ok(&line, &e) < 0 ||
	    party_answer(p, line.data, line.len, &e) < 0)
		mailbox_gone(&p->mailbox);
	buf_clear(&line);
	desk_changed(c->desk, p);
}

/* What it began and did not commit when it answers is not to be had. */
static void
abort_transaction(struct coprocess *c)
{
	if (!c->intake.transaction)
		return;
	intake_close(&c->intake);
	c->intake = (struct intake){ .sink = &c->sink };
}

static void
take_answer(struct coprocess *c, const char *line, size_t len)
{
	struct party *p = c->party;
	struct err e = { 0 };

	abort_transaction(c);
	if (has_fault(c) && owes_answer(&p->mailbox)) {
		answer_for_it(c, FAILURE_FATAL, "");
		return;
	}
	if (party_answer(p, line, len, &e) < 0)
		party_log(p, "its answer was refused: %s", e.text);
	desk_changed(c->desk, p);
}

static void
refuse_document(struct coprocess *c, const char *why)
{
	note_fault(c, "its document", why);
	party_log(c->party, "its document was refused: %s", why);
}

static void
take_document_line(struct coprocess *c, const char *line, size_t len)
{
	struct err e = { 0 };

	/* What is too long is refused as a whole, and not kept until then. */
	if (c->document.len <= METADATA_LEN_MAX) {
		buf_add(&c->document, line, len);
		buf_add_char(&c->document, '\n');
	}
	if (!begins_with(line, len, "end"))
		return;
	c->in_document = false;
	if (buf_ok(&c->document, &e) < 0 ||
	    party_document(c->party, c->document.data, c->document.len, &e) <
		    0)
		refuse_document(c, e.text);
	buf_clear(&c->document);
}

/* `line` has its newline behind it, which `len` does not count. */
static void
take_line(struct coprocess *c, const char *line, size_t len)
{
	const struct mailbox *m = &c->party->mailbox;

	if (!c->in_document && begins_with(line, len, "writer") &&
	    m->event == EVENT_IDENTIFY && owes_answer(m))
		c->in_document = true;
	if (c->in_document)
		take_document_line(c, line, len);
	else if (begins_with(line, len, "ok") ||
		 begins_with(line, len, "fail"))
		take_answer(c, line, len);
	else /* what is refused, the sink hears of */
		(void)intake_write(&c->intake, line, len + 1,
				   time_monotonic_ns());
}

/* A line that cannot be had is refused like any other. */
static void
refuse_line(struct coprocess *c, const struct err *why)
{
	struct statement none = { 0 };

	if (c->in_document)
		refuse_document(c, why->text);
	else
		refuse_statement(c, &none, c->line.data, c->line.len, why);
}

static void
end_line(struct coprocess *c)
{
	struct err e = { 0 };

	buf_add_char(&c->line, '\n');
	if (c->line_too_long)
		refuse_set(&e, EMSGSIZE, "a line has at most %d bytes",
			   GRAMMAR_LINE_MAX);
	else
		(void)!buf_ok(&c->line, &e);
	if (e.kind != ERR_NONE)
		refuse_line(c, &e);
	else
		take_line(c, (const char *)c->line.data, c->line.len - 1);
	buf_clear(&c->line);
	c->line_too_long = false;
}

/* desk->lock is taken here: the lock may be released between two lines. */
static void
take_output(struct coprocess *c, const char *p, size_t n)
{
	while (n > 0) {
		const char *end = memchr(p, '\n', n);
		size_t len = end != NULL ? (size_t)(end - p) : n;

		/* A carriage return at the end does not count. */
		if (c->line.len + len > GRAMMAR_LINE_MAX + 1)
			c->line_too_long = true;
		else
			buf_add(&c->line, p, len);
		if (end == NULL)
			return;
		(void)pthread_mutex_lock(&c->desk->lock);
		end_line(c);
		(void)pthread_mutex_unlock(&c->desk->lock);
		p += len + 1;
		n -= len + 1;
	}
}

static void
end_log_line(struct coprocess *c)
{
	if (c->log_len == 0)
		return;
	(void)pthread_mutex_lock(&c->desk->lock);
	party_log(c->party, "program: %.*s", (int)c->log_len, c->log_line);
	(void)pthread_mutex_unlock(&c->desk->lock);
	c->log_len = 0;
}

/* Longer lines are several. */
static void
take_log(struct coprocess *c, const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] == '\n' || c->log_len == sizeof(c->log_line))
			end_log_line(c);
		if (p[i] != '\n')
			c->log_line[c->log_len++] = p[i] != '\0' ? p[i] : '?';
	}
}

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

	if (!owes_answer(&c->party->mailbox))
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
	answer_for_it(c, f, text);
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
	if (c->line.len > 0)
		take_output(c, "\n", 1);
	end_log_line(c);
	(void)pthread_mutex_lock(&c->desk->lock);
	intake_close(&c->intake);
	c->ended = true;
	answer_by_status(c, ended == c->pid, status);
	desk_changed(c->desk, c->party);
	(void)pthread_mutex_unlock(&c->desk->lock);
}

/* --- the thread ------------------------------------------------------------- */

/* What is there of its output; false at its end. */
static bool
read_some(struct coprocess *c, int fd,
	  void (*take)(struct coprocess *c, const char *p, size_t n))
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
	take(c, part, (size_t)n);
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
	      void (*take)(struct coprocess *c, const char *p, size_t n))
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
		if (p[3].revents != 0 && !read_some(c, c->log, take_log))
			close_fd(&c->log);
		if (p[2].revents != 0 && !read_some(c, c->out, take_output))
			close_fd(&c->out);
		if (has_exited(c))
			break;
	}
	(void)kill(-c->pid, SIGKILL);
	read_the_rest(c, c->out, take_output);
	read_the_rest(c, c->log, take_log);
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
	buf_clear(&c->line);
	buf_clear(&c->document);
	buf_clear(&c->fault);
	mem_free(c);
}

/* It runs, and cannot be looked after. */
static int
give_up(struct coprocess *c, struct err *e)
{
	(void)kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free_coprocess(c);
	return e->kind == ERR_NONE ? err_nomem(e) : -1;
}

int
coprocess_start(struct desk *d, struct party *p, const char *path,
		const char *session, struct coprocess **out, struct err *e)
{
	struct err why = { 0 };
	struct child l;
	struct coprocess *c = mem_zalloc(sizeof(*c));

	if (c == NULL)
		return err_nomem(e);
	c->process = c->in = c->out = c->log = c->told = -1;
	c->desk = d;
	c->party = p;
	c->sink = (struct intake_sink){ .check = check_statement,
					.accept = accept_statements,
					.refused = refuse_statement,
					.ctx = c };
	c->intake.sink = &c->sink;
	if (launch(&(struct launch){ .path = path,
				     .owner = p->registration->owner,
				     .change_user = p->registration->owner !=
						    geteuid(),
				     .writer = p->registration->name,
				     .session = session },
		   &l, e) < 0) {
		free_coprocess(c);
		return -1;
	}
	c->pid = l.pid;
	c->in = l.in;
	c->out = l.out;
	c->log = l.log;
	c->process = pidfd_open(c->pid, 0);
	c->told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->told < 0)
		err_sys(&why, "watch the program %s", path);
	else
		(void)pool_thread(&c->thread, run, c, &why);
	if (why.kind != ERR_NONE) {
		(void)give_up(c, &why);
		err_move(e, &why);
		return -1;
	}
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
coprocess_end(struct coprocess *c, unsigned grace_ms)
{
	struct party *p;

	if (c == NULL)
		return;
	p = c->party;
	c->closing = true;
	c->kill_at = time_monotonic_ns() + grace_ms * MS;
	tell(c);
	(void)pthread_mutex_unlock(&c->desk->lock);
	(void)pthread_join(c->thread, NULL);
	(void)pthread_mutex_lock(&c->desk->lock);
	p->mailbox.reader = false;
	free_coprocess(c);
}
