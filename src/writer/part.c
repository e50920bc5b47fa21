/*
 * part.c
 *
 * What is judged is the state of a writer's mailbox: answered, expired, gone.
 * It is looked at on every change of the desk and a few times a second, the
 * latter for deadlines and for a requester that has gone; so nothing here has
 * to be told of either.
 *
 * Abort and backup-shutdown are not judged: there is nothing left to fail in.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/round_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/time.h"
#include "src/writer/coprocess.h"
#include "src/writer/party.h"
#include "src/writer/pen.h"
#include "src/writer/registry.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

/* How long is slept at most before the clock and the requester are looked at. */
#define SLICE_NS (ROUND_SECOND / 10)

static round_clock_fn test_clock;

void
round_clock(round_clock_fn fn)
{
	test_clock = fn;
}

uint64_t
round_now(void)
{
	return test_clock != NULL ? test_clock() : time_monotonic_ns();
}

/* --- failing ---------------------------------------------------------------- */

void
part_fail(struct round *s, struct part *p, enum failure f, const char *text)
{
	if (p->state != PART_TAKING)
		return;
	p->state = PART_FAILED;
	p->failure = f;
	buf_reset(&p->text);
	if (text != NULL)
		buf_add_str(&p->text, text);
	if (p->party == NULL)
		return;
	p->failed_at = p->party->mailbox.event;
	party_log(p->party, "failed at %s: %s%s%s", event_name(p->failed_at),
		  failure_name(f), text != NULL ? ": " : "",
		  text != NULL ? text : "");
	/*
	 * What it said in an event that it did not answer does not count.  Of
	 * an answer that says so, party_answer has done it.
	 */
	if (p->party->mailbox.state != MAIL_ANSWERED)
		pen_discard(p->party, s->raw_id, p->party->mailbox.id);
}

/* Once a session: one that is slow in everything has not two in a row. */
static void
count_timeout(struct part *p)
{
	struct registration *r = p->party->registration;
	struct err e = { 0 };

	if (p->timed_out)
		return;
	p->timed_out = true;
	r->timeouts++;
	if (registry_save(&p->party->desk->registry, r, &e) < 0)
		party_log(p->party, "its time-outs cannot be counted: %s",
			  e.text);
	if (r->timeouts >= ROUND_TIMEOUTS_MAX)
		party_log(p->party, "is not waited for any more, after two "
				    "time-outs in a row, until it is reset");
}

/* --- sending ---------------------------------------------------------------- */

static void
fail_gone(struct round *s, struct part *p)
{
	bool failed = p->state != PART_TAKING;

	part_fail(s, p, FAILURE_FATAL,
		  p->program != NULL ? "its program has ended" :
				       "it was taken away");
	if (!failed)
		p->state = PART_GONE;
}

void
part_send(struct round *s, struct part *p, const struct part_event *ev)
{
	struct mailbox *m = &p->party->mailbox;
	struct err e = { 0 };

	p->awaited = false;
	if (mailbox_post(m, ev->event, ev->rest, &s->desk->event_ids,
			 round_now(), ev->deadline_ns, ev->window_ns,
			 &e) < 0) {
		part_fail(s, p, FAILURE_RESOURCES, e.text);
		return;
	}
	if (p->party->removed ||
	    (p->program != NULL && !coprocess_running(p->program))) {
		mailbox_gone(m);
		fail_gone(s, p);
		return;
	}
	p->awaited = true;
	if (p->program != NULL)
		coprocess_deliver(p->program);
	desk_changed(s->desk, p->party);
}

/* --- judging ---------------------------------------------------------------- */

static bool
is_judged(enum event ev)
{
	return ev != EVENT_ABORT && ev != EVENT_BACKUP_SHUTDOWN;
}

static void
answered(struct round *s, struct part *p, struct mailbox *m)
{
	enum event ev = m->event;

	/* Whoever answers thaw or abort is not frozen, whatever he answers. */
	if (ev == EVENT_THAW || ev == EVENT_ABORT)
		p->frozen = false;
	if (is_judged(ev) && m->failure != FAILURE_NONE) {
		if (ev == EVENT_FREEZE)
			p->frozen = false;
		part_fail(s, p, m->failure,
			  m->text.len > 0 ? buf_str(&m->text) : NULL);
		return;
	}
	if (ev == EVENT_FREEZE)
		p->window_end_ns = m->delivered_ns + m->window_ns;
	if (ev == EVENT_POST_SNAPSHOT)
		p->snapshot_done = true;
}

/* Look at one whose answer is awaited. */
static void
judge(struct round *s, struct part *p, uint64_t now)
{
	struct mailbox *m = &p->party->mailbox;

	mailbox_tick(m, now);
	switch (m->state) {
	case MAIL_WAITING:
	case MAIL_DELIVERED:
		return;
	case MAIL_ANSWERED:
		answered(s, p, m);
		break;
	case MAIL_EXPIRED:
		if (is_judged(m->event)) {
			count_timeout(p);
			part_fail(s, p, FAILURE_TIMEOUT,
				  "it did not answer in time");
		}
		/* One that may be frozen is told to thaw first. */
		if (p->program != NULL && m->event != EVENT_FREEZE)
			coprocess_kill(p->program);
		break;
	case MAIL_GONE:
	case MAIL_NONE:
		if (is_judged(m->event))
			fail_gone(s, p);
		break;
	}
	p->awaited = false;
}

/* Those that still freeze have kept the others frozen for too long. */
static void
blame_the_slow(struct round *s)
{
	size_t i;

	for (i = 0; i < s->parts; i++) {
		struct part *p = &s->part[i];

		if (!p->awaited)
			continue;
		count_timeout(p);
		part_fail(s, p, FAILURE_TIMEOUT,
			  "it did not freeze before the window of another "
			  "writer ended");
	}
}

/* Has the window of one ended that answered, and was not sent a thaw? */
static void
judge_window(struct round *s, struct part *p, uint64_t now)
{
	if (!p->frozen || p->awaited || p->state != PART_TAKING ||
	    p->window_end_ns == 0 || now < p->window_end_ns)
		return;
	if (s->hasty)
		blame_the_slow(s);
	else
		part_fail(s, p, FAILURE_TIMEOUT,
			  "its window ended before it was thawed");
}

/* True while something is awaited. */
static bool
judge_all(struct round *s)
{
	uint64_t now = round_now();
	bool more = false;
	size_t i;

	for (i = 0; i < s->parts; i++) {
		struct part *p = &s->part[i];

		if (p->awaited)
			judge(s, p, now);
		more = more || p->awaited;
	}
	for (i = 0; i < s->parts; i++)
		judge_window(s, &s->part[i], now);
	return more;
}

/* --- waiting ---------------------------------------------------------------- */

void
part_sleep(struct round *s)
{
	struct desk *d = s->desk;
	/* A clock of a test's runs by itself. */
	uint64_t slice = test_clock != NULL ? SLICE_NS / 100 : SLICE_NS;
	uint64_t until = time_monotonic_ns() + slice;
	struct timespec ts = {
		.tv_sec = (time_t)(until / ROUND_SECOND),
		.tv_nsec = (long)(until % ROUND_SECOND),
	};

	(void)pthread_cond_timedwait(&d->changed, &d->lock, &ts);
}

static size_t
count_failed(const struct round *s)
{
	size_t n = 0;
	size_t i;

	for (i = 0; i < s->parts; i++)
		n += s->part[i].state == PART_FAILED ||
		     s->part[i].state == PART_GONE;
	return n;
}

int
part_await(struct round *s, uint64_t until, bool interruptible, struct err *e)
{
	size_t failed = count_failed(s);
	int rc = 0;

	s->waiting = true;
	while (judge_all(s) && round_now() < until &&
	       !(s->hasty && count_failed(s) > failed)) {
		if (interruptible && s->cancelled != NULL &&
		    s->cancelled(s->cancel_ctx)) {
			rc = err_set(e, ERR_CANCELLED,
				     "the requester went away");
			break;
		}
		part_sleep(s);
	}
	s->waiting = false;
	return rc;
}

/* --- leaving ---------------------------------------------------------------- */

static void
forget_components(struct party *p)
{
	size_t i;

	for (i = 0; i < p->components; i++) {
		mem_free(p->component[i].name);
		mem_free(p->component[i].stamp);
		mem_free(p->component[i].metadata);
		mem_free(p->component[i].previous_stamp);
	}
	mem_free(p->component);
	p->component = NULL;
	p->components = 0;
	p->statements = 0;
}

void
part_release(struct round *s, struct part *p)
{
	struct party *party = p->party;

	if (party == NULL)
		return;
	coprocess_end(p->program);
	p->program = NULL;
	p->party = NULL;
	p->awaited = false;
	forget_components(party);
	party->edits = false;
	party->window = false;
	party->program = false;
	party->session = NULL;
	desk_changed(s->desk, party);
}

void
part_clear(struct part *p)
{
	mem_free(p->name);
	mem_free(p->program_path);
	buf_clear(&p->text);
	buf_clear(&p->restore);
}
