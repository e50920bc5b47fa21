/*
 * mailbox.c
 *
 * An event is a line that is kept until somebody takes it.  `unread` holds what
 * a reader has begun to take; the event itself moves there when its first byte
 * is asked for, because that is the moment of delivery: from then on the window
 * runs, and `left=` is true.
 *
 * A reader that goes away takes the rest of its line with it: the next one
 * begins with a whole line.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/mailbox.h"

#include "base/err.h"
#include "src/writer/grammar.h"
#include "src/writer/refuse.h"
#include "src/writer/value.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MS UINT64_C(1000000)

/* Bytes of what a writer says about its failure that are kept. */
#define TEXT_KEPT 4096

const char *
event_name(enum event ev)
{
	static const char *const name[] = {
		[EVENT_IDENTIFY] = "identify",
		[EVENT_PREPARE_BACKUP] = "prepare-backup",
		[EVENT_PREPARE_SNAPSHOT] = "prepare-snapshot",
		[EVENT_FREEZE] = "freeze",
		[EVENT_THAW] = "thaw",
		[EVENT_POST_SNAPSHOT] = "post-snapshot",
		[EVENT_POST_COPY] = "post-copy",
		[EVENT_BACKUP_COMPLETE] = "backup-complete",
		[EVENT_BACKUP_SHUTDOWN] = "backup-shutdown",
		[EVENT_ABORT] = "abort",
		[EVENT_PRE_RESTORE] = "pre-restore",
		[EVENT_POST_RESTORE] = "post-restore",
	};
	size_t i = (size_t)ev;

	return i > 0 && i < sizeof(name) / sizeof(name[0]) ? name[i] : "none";
}

static const char *const failures[] = {
	[FAILURE_NONE] = "none",
	[FAILURE_RETRYABLE] = "retryable",
	[FAILURE_FATAL] = "fatal",
	[FAILURE_INCONSISTENT] = "inconsistent",
	[FAILURE_RESOURCES] = "resources",
	[FAILURE_TIMEOUT] = "timeout",
};
#define FAILURES (sizeof(failures) / sizeof(failures[0]))

const char *
failure_name(enum failure f)
{
	return (size_t)f < FAILURES ? failures[f] : "none";
}

enum failure
failure_parse(const char *s)
{
	size_t i;

	for (i = FAILURE_RETRYABLE; i < FAILURES; i++) {
		if (strcmp(s, failures[i]) == 0)
			return (enum failure)i;
	}
	return FAILURE_NONE;
}

void
mailbox_clear(struct mailbox *m)
{
	buf_clear(&m->text);
	buf_clear(&m->line);
	buf_clear(&m->unread);
	*m = (struct mailbox){ 0 };
}

/* --- to the writer ---------------------------------------------------------- */

int
mailbox_post(struct mailbox *m, enum event ev, const char *rest,
	     uint64_t *ids, uint64_t now_ns, uint64_t deadline_ns,
	     uint64_t window_ns, struct err *e)
{
	struct buf line = { 0 };

	(void)now_ns;
	buf_printf(&line, "%s %" PRIu64, event_name(ev), *ids + 1);
	if (rest != NULL && rest[0] != '\0') {
		buf_add_char(&line, ' ');
		buf_add_str(&line, rest);
	}
	buf_add_char(&line, '\n');
	if (buf_ok(&line, e) < 0) {
		buf_clear(&line);
		return -1;
	}
	buf_clear(&m->line);
	m->line = line;
	buf_reset(&m->text);
	m->state = MAIL_WAITING;
	m->event = ev;
	m->id = ++*ids;
	m->deadline_ns = deadline_ns;
	m->delivered_ns = 0;
	m->window_ns = window_ns;
	m->failure = FAILURE_NONE;
	m->redelivered = false;
	return 0;
}

/* The deadline of what is delivered now; a second time changes nothing. */
static void
begin_window(struct mailbox *m, uint64_t now_ns)
{
	if (m->redelivered)
		return;
	m->delivered_ns = now_ns;
	if (m->window_ns != 0 && now_ns + m->window_ns < m->deadline_ns)
		m->deadline_ns = now_ns + m->window_ns;
}

/* Move the waiting event's line to what the reader takes. */
static bool
deliver(struct mailbox *m, uint64_t now_ns)
{
	uint64_t left;

	/* Room first: a line is delivered whole, or waits. */
	if (!buf_reserve(&m->unread, m->line.len + 40))
		return false;
	begin_window(m, now_ns);
	left = m->deadline_ns > now_ns ? m->deadline_ns - now_ns : 0;
	buf_add(&m->unread, m->line.data, m->line.len - 1);
	buf_printf(&m->unread, " left=%" PRIu64 "\n", left / MS);
	m->state = MAIL_DELIVERED;
	return true;
}

/* How much of what is unread goes into `cap` bytes: whole lines, if any. */
static size_t
that_fit(const struct buf *b, size_t cap)
{
	const uint8_t *end;

	if (b->len <= cap)
		return b->len;
	end = memrchr(b->data, '\n', cap);
	return end != NULL ? (size_t)(end - b->data) + 1 : cap;
}

size_t
mailbox_take(struct mailbox *m, uint64_t now_ns, void *out, size_t cap)
{
	size_t n;

	mailbox_tick(m, now_ns);
	/* Not even looked at: then it is not delivered either. */
	if (cap == 0)
		return 0;
	if (m->state == MAIL_WAITING && !deliver(m, now_ns) &&
	    m->unread.len == 0)
		return 0;
	n = that_fit(&m->unread, cap);
	if (n == 0)
		return 0;
	memcpy(out, m->unread.data, n);
	m->unread.len -= n;
	memmove(m->unread.data, m->unread.data + n, m->unread.len);
	return n;
}

bool
mailbox_has(const struct mailbox *m)
{
	return m->state == MAIL_WAITING || m->unread.len > 0;
}

void
mailbox_reader_gone(struct mailbox *m)
{
	m->reader = false;
	buf_clear(&m->unread);
	if (m->state != MAIL_DELIVERED || m->redelivered)
		return;
	m->state = MAIL_WAITING;
	m->redelivered = true;
}

/* --- from the writer -------------------------------------------------------- */

struct answer {
	uint64_t id;
	enum failure failure; /* FAILURE_NONE: ok */
	const struct grammar_word *text;
};

static int
parse_answer(const struct grammar_line *l, struct answer *a, struct err *e)
{
	const struct grammar_word *w = l->word;
	bool ok;

	if (l->count == 0)
		return refuse_set(e, EINVAL, "an answer is ok ID or fail ID "
					     "KIND TEXT");
	ok = strcmp(w[0].s, "ok") == 0;
	if (!ok && strcmp(w[0].s, "fail") != 0)
		return grammar_refuse(&w[0], "an answer begins with ok or fail",
				      e);
	if (l->count < 2)
		return refuse_set(e, EINVAL, "an answer names the event's id");
	if (!value_number(w[1].s, w[1].len, &a->id))
		return grammar_refuse(&w[1], "the id of an event is a number",
				      e);
	if (ok)
		return l->count == 2 ?
			       0 :
			       grammar_refuse(&w[2], "ok has its id only", e);
	if (l->count < 3)
		return refuse_set(e, EINVAL, "fail wants a kind: retryable, "
					     "fatal, inconsistent, resources "
					     "or timeout");
	a->failure = failure_parse(w[2].s);
	if (a->failure == FAILURE_NONE)
		return grammar_refuse(&w[2], "no such kind of failure", e);
	if (l->count > 4)
		return grammar_refuse(&w[4], "fail has one text: quote it", e);
	a->text = l->count == 4 ? &w[3] : NULL;
	return 0;
}

/* Is it the event under way, delivered, unanswered and in time? */
static int
judge_answer(const struct mailbox *m, uint64_t id, struct err *e)
{
	if (id == 0 || id > m->id)
		return refuse_set(e, EINVAL, "there was no event %" PRIu64, id);
	if (id < m->id)
		return refuse_set(e, ESTALE, "event %" PRIu64 " is over", id);
	switch (m->state) {
	case MAIL_ANSWERED:
		return refuse_set(e, EALREADY,
				  "event %" PRIu64 " was answered before", id);
	case MAIL_WAITING: /* once more: it was delivered before */
		if (m->redelivered)
			return 0;
		break;
	case MAIL_DELIVERED:
		return 0;
	case MAIL_EXPIRED:
	case MAIL_GONE:
		return refuse_set(e, ESTALE,
				  "the answer to event %" PRIu64 " is late", id);
	case MAIL_NONE:
		break;
	}
	return refuse_set(e, EINVAL, "event %" PRIu64 " was not delivered", id);
}

int
mailbox_answer(struct mailbox *m, const void *line, size_t len,
	       uint64_t now_ns, struct err *e)
{
	struct grammar_line l = { 0 };
	struct answer a = { 0 };
	int rc = -1;

	if (grammar_split(&l, line, len, e) < 0 || parse_answer(&l, &a, e) < 0)
		goto out;
	mailbox_tick(m, now_ns);
	if (judge_answer(m, a.id, e) < 0)
		goto out;
	buf_reset(&m->text);
	if (a.text != NULL)
		buf_add(&m->text, a.text->s,
			a.text->len < TEXT_KEPT ? a.text->len : TEXT_KEPT);
	m->failure = a.failure;
	m->state = MAIL_ANSWERED;
	rc = 0;
out:
	grammar_clear(&l);
	return rc;
}

/* --- time, and the end ------------------------------------------------------ */

void
mailbox_tick(struct mailbox *m, uint64_t now_ns)
{
	if ((m->state == MAIL_WAITING || m->state == MAIL_DELIVERED) &&
	    now_ns >= m->deadline_ns)
		m->state = MAIL_EXPIRED;
}

void
mailbox_gone(struct mailbox *m)
{
	buf_clear(&m->unread);
	if (m->state == MAIL_WAITING || m->state == MAIL_DELIVERED ||
	    m->state == MAIL_NONE)
		m->state = MAIL_GONE;
}
