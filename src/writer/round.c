/*
 * round.c
 *
 * A session is a list of parts, one for each writer, and a phase.  Every phase
 * has the same form: is it this one's turn; send the event to all that still
 * take part; wait; move on.  A writer that fails drops out of the list of those
 * that are sent to, and keeps its place for the reports.
 *
 * Freeze and thaw differ, and are in round_freeze.c.
 *
 * Every writer that was told of a backup has exactly one end: an abort, or
 * backup-shutdown.  Between the answer to post-copy and backup-complete nobody
 * here knows whether the generation exists, so an end there is a shutdown: it
 * does not deny what may be durable, and nobody truncates a log for it.  A
 * restore has post-restore for its end, however it came.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/round.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "src/writer/coprocess.h"
#include "src/writer/grammar.h"
#include "src/writer/journal.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/registry.h"
#include "src/writer/round_internal.h"
#include "src/writer/rundir.h"

#include <string.h>

const char *
phase_name(enum phase p)
{
	static const char *const name[] = {
		[PHASE_NEW] = "new",
		[PHASE_IDENTIFIED] = "identified",
		[PHASE_PREPARED] = "prepared",
		[PHASE_READY] = "ready",
		[PHASE_FROZEN] = "frozen",
		[PHASE_THAWED] = "thawed",
		[PHASE_SNAPSHOT] = "snapshot",
		[PHASE_COPIED] = "copied",
		[PHASE_COMPLETE] = "complete",
		[PHASE_ENDED] = "ended",
	};
	size_t i = (size_t)p;

	return i < sizeof(name) / sizeof(name[0]) ? name[i] : "none";
}

static uint64_t
answer_deadline(const struct round *s)
{
	return round_now() + s->begin.answer_s * ROUND_SECOND;
}

/* --- sending to many -------------------------------------------------------- */

void
round_send(struct round *s, struct part *p, enum event ev,
	const struct news *news, uint64_t deadline)
{
	struct buf rest = { 0 };
	struct err e = { 0 };

	round_line(s, p, ev, news, &rest);
	if (buf_ok(&rest, &e) < 0)
		part_fail(s, p, FAILURE_RESOURCES, e.text);
	else
		part_send(s, p,
			  &(struct part_event){
				  .event = ev,
				  .rest = buf_str(&rest),
				  .deadline_ns = deadline,
				  .window_ns = ev == EVENT_FREEZE ?
						       round_window_ns(s) :
						       0,
			  });
	buf_clear(&rest);
}

/* One event to all that take part, and their answers. */
static int
ask_all(struct round *s, enum event ev, const struct news *news,
	struct err *e)
{
	uint64_t deadline = answer_deadline(s);
	size_t i;
	int rc;

	s->deadline_ns = deadline;
	for (i = 0; i < s->parts; i++) {
		if (part_takes(&s->part[i]))
			round_send(s, &s->part[i], ev, news, deadline);
	}
	rc = part_await(s, UINT64_MAX, true, e);
	s->deadline_ns = 0;
	return rc;
}

/* --- its turn? -------------------------------------------------------------- */

static int
expect(const struct round *s, enum phase phase, enum event ev, struct err *e)
{
	if (s->ended)
		return err_set(e, ERR_USAGE,
			       "%s: the session has been aborted",
			       event_name(ev));
	if (s->phase != phase)
		return err_set(e, ERR_USAGE,
			       "%s: not after the phase \"%s\" of the session",
			       event_name(ev), phase_name(s->phase));
	return 0;
}

int
round_expect_backup(const struct round *s, enum phase phase, bool snapshot,
	      enum event ev, struct err *e)
{
	if (s->begin.kind != ROUND_BACKUP)
		return err_set(e, ERR_USAGE, "%s: this is a restore",
			       event_name(ev));
	if (snapshot && s->begin.snapshot == NULL)
		return err_set(e, ERR_USAGE,
			       "%s: the session has no snapshot",
			       event_name(ev));
	return expect(s, phase, ev, e);
}

/* --- until the snapshot ----------------------------------------------------- */

int
round_identify(struct round *s, struct err *e)
{
	if (expect(s, PHASE_NEW, EVENT_IDENTIFY, e) < 0 ||
	    ask_all(s, EVENT_IDENTIFY, NULL, e) < 0)
		return -1;
	s->phase = PHASE_IDENTIFIED;
	return 0;
}

static int
fill_component(struct party_component *to, const struct round_component *c,
	       struct err *e)
{
	*to = (struct party_component){
		.name = mem_strdup(c->component),
		.base_number = c->base_number,
		.type = c->type,
	};
	if (c->base_id != NULL)
		memcpy(to->base_id, c->base_id, sizeof(to->base_id));
	if (c->previous_stamp != NULL) {
		to->previous_stamp =
			mem_dup(c->previous_stamp, c->previous_len);
		to->previous_len = c->previous_len;
	}
	if (to->name != NULL &&
	    (c->previous_stamp == NULL || to->previous_stamp != NULL))
		return 0;
	mem_free(to->name);
	mem_free(to->previous_stamp);
	return err_nomem(e);
}

/* The words that pre-restore has for it: they are passed on as they are. */
static int
keep_restore_words(struct part *p, const struct round_component *c,
		   struct err *e)
{
	grammar_put_option(&p->restore, "component", c->component);
	if (c->restore != NULL && c->restore[0] != '\0') {
		buf_add_char(&p->restore, ' ');
		buf_add_str(&p->restore, c->restore);
	}
	if (c->restore != NULL)
		round_put_remote(p, c->component, &p->restore);
	return buf_ok(&p->restore, e);
}

int
round_component(struct round *s, const struct round_component *c,
		struct err *e)
{
	struct part *p = round_part(s, c->writer);
	struct party_component *more;
	struct party *party;

	if (expect(s, PHASE_IDENTIFIED, EVENT_PREPARE_BACKUP, e) < 0)
		return -1;
	if (p == NULL || !part_takes(p))
		return err_set(e, ERR_USAGE,
			       "the writer %s does not take part in this "
			       "session",
			       c->writer);
	if (c->restore != NULL && strpbrk(c->restore, "\r\n") != NULL)
		return err_set(e, ERR_USAGE, "words for an event are one line");
	party = p->party;
	if (party_component(party, c->component) != NULL)
		return err_set(e, ERR_USAGE,
			       "the component %s of %s is there already",
			       c->component, c->writer);
	if (party->components >= METADATA_COMPONENTS_MAX)
		return err_set(e, ERR_USAGE, "%s: too many components",
			       c->writer);
	if (keep_restore_words(p, c, e) < 0)
		return -1;
	more = mem_resize(party->component, party->components + 1,
			  sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	party->component = more;
	if (fill_component(&more[party->components], c, e) < 0)
		return -1;
	party->components++;
	return 0;
}

void
round_take_cut(struct part *p)
{
	struct journal *j = p->party->journal;

	if (j == NULL)
		return;
	p->cut = journal_next(j);
	memcpy(p->cut_journal, journal_id(j), sizeof(p->cut_journal));
}

uint64_t
round_cut(const struct part *p)
{
	const struct journal *j = p->party != NULL ? p->party->journal : NULL;

	if (j == NULL || memcmp(p->cut_journal, journal_id(j),
				sizeof(p->cut_journal)) != 0)
		return 0;
	return p->cut;
}

static bool
has_nothing(const struct part *p)
{
	return p->party != NULL && p->party->components == 0;
}

/* Those that nothing was chosen of are done. */
static void
let_the_others_go(struct round *s)
{
	size_t i;

	for (i = 0; i < s->parts; i++)
		if (has_nothing(&s->part[i]))
			coprocess_dismiss(s->part[i].program);
	for (i = 0; i < s->parts; i++) {
		struct part *p = &s->part[i];

		if (!has_nothing(p))
			continue;
		if (p->state == PART_TAKING)
			p->state = PART_NONE;
		part_release(s, p);
	}
}

int
round_prepare(struct round *s, struct err *e)
{
	bool backup = s->begin.kind == ROUND_BACKUP;
	enum event ev = backup ? EVENT_PREPARE_BACKUP : EVENT_PRE_RESTORE;
	size_t i;

	if (expect(s, PHASE_IDENTIFIED, ev, e) < 0)
		return -1;
	let_the_others_go(s);
	for (i = 0; i < s->parts; i++) {
		struct part *p = &s->part[i];

		if (!part_takes(p))
			continue;
		round_take_cut(p);
		p->told = true;
		p->party->edits = true;
		p->party->window = true;
	}
	if (ask_all(s, ev, NULL, e) < 0)
		return -1;
	/* Where things go is settled before the first of them is written. */
	for (i = 0; i < s->parts && !backup; i++) {
		if (s->part[i].party != NULL)
			s->part[i].party->edits = s->part[i].party->window =
				false;
	}
	s->phase = PHASE_PREPARED;
	return 0;
}

/* One snapshot at a time on this machine: wait for the other one's end. */
static int
take_exclusive(struct round *s, struct err *e)
{
	uint64_t until = answer_deadline(s);
	int rc;

	while ((rc = rundir_exclusive(&s->exclusive, e)) == 1) {
		if (round_now() >= until)
			return err_set(e, ERR_BUSY,
				       "another snapshot of this machine is "
				       "being made");
		if (s->cancelled != NULL && s->cancelled(s->cancel_ctx))
			return err_set(e, ERR_CANCELLED,
				       "the requester went away");
		part_sleep(s);
	}
	return rc;
}

void
round_give_exclusive(struct round *s)
{
	(void)io_close(s->exclusive, "snapshot lock", NULL);
	s->exclusive = -1;
}

int
round_ready(struct round *s, struct err *e)
{
	if (round_expect_backup(s, PHASE_PREPARED, true, EVENT_PREPARE_SNAPSHOT,
			  e) < 0 ||
	    take_exclusive(s, e) < 0)
		return -1;
	if (ask_all(s, EVENT_PREPARE_SNAPSHOT, NULL, e) < 0)
		return -1;
	s->phase = PHASE_READY;
	return 0;
}

/* --- behind the snapshot ---------------------------------------------------- */

int
round_snapshot(struct round *s, const struct round_place *place,
	       size_t places, struct err *e)
{
	const struct news news = { .place = place, .places = places };

	if (round_expect_backup(s, PHASE_THAWED, true, EVENT_POST_SNAPSHOT, e) < 0 ||
	    ask_all(s, EVENT_POST_SNAPSHOT, &news, e) < 0)
		return -1;
	round_give_exclusive(s);
	s->phase = PHASE_SNAPSHOT;
	return 0;
}

int
round_copied(struct round *s, struct err *e)
{
	enum phase before =
		s->begin.snapshot != NULL ? PHASE_SNAPSHOT : PHASE_PREPARED;
	size_t i;

	if (round_expect_backup(s, before, false, EVENT_POST_COPY, e) < 0 ||
	    ask_all(s, EVENT_POST_COPY, NULL, e) < 0)
		return -1;
	for (i = 0; i < s->parts; i++) {
		if (s->part[i].party != NULL)
			s->part[i].party->edits = s->part[i].party->window =
				false;
	}
	s->phase = PHASE_COPIED;
	return 0;
}

int
round_complete(struct round *s, const uint8_t generation_id[16],
	       uint32_t generation, const struct round_outcome *outcome,
	       size_t outcomes, struct err *e)
{
	bool backup = s->begin.kind == ROUND_BACKUP;
	enum event ev = backup ? EVENT_BACKUP_COMPLETE : EVENT_POST_RESTORE;
	const struct news news = {
		.generation_id = generation_id,
		.generation = generation,
		.outcome = outcome,
		.outcomes = outcomes,
	};
	size_t i;

	if (expect(s, backup ? PHASE_COPIED : PHASE_PREPARED, ev, e) < 0)
		return -1;
	for (i = 0; i < s->parts && !backup; i++)
		s->part[i].finished = true;
	/* Whoever is interrupted here has told some, and denies nobody. */
	s->phase = PHASE_COMPLETE;
	return ask_all(s, ev, &news, e);
}

/* --- the end ---------------------------------------------------------------- */

/* How what is under way ends for a writer; 0: it is owed nothing. */
static enum event
end_for(const struct round *s, const struct part *p, bool abort)
{
	if (p->party == NULL || !p->told ||
	    (p->finished && !(abort && p->aborted)))
		return (enum event)0;
	if (s->begin.kind == ROUND_RESTORE)
		return EVENT_POST_RESTORE;
	if (p->snapshot_done || s->phase >= PHASE_COMPLETE ||
	    (s->phase >= PHASE_COPIED && !abort))
		return abort ? (enum event)0 : EVENT_BACKUP_SHUTDOWN;
	return EVENT_ABORT;
}

static void
send_ends(struct round *s, bool abort)
{
	size_t i;

	for (i = 0; i < s->parts; i++) {
		struct part *p = &s->part[i];
		enum event ev = end_for(s, p, abort);

		p->awaited = false; /* what was asked before */
		if (ev == (enum event)0)
			continue;
		round_send(s, p, ev, NULL, round_now() + ROUND_OWED_NS);
		p->finished = true;
		p->aborted = ev == EVENT_ABORT;
	}
	(void)part_await(s, UINT64_MAX, false, NULL);
}

void
round_abort(struct round *s)
{
	if (s->phase == PHASE_NEW || s->phase == PHASE_ENDED)
		return;
	if (round_any_frozen(s))
		(void)round_thaw_all(s, false, NULL);
	s->ended = true;
	send_ends(s, true);
	(void)round_note_frozen(s, false, NULL);
	round_give_exclusive(s);
}

/* Two in a row are counted from the last session that went well. */
static void
forgive_timeouts(struct part *p)
{
	struct registration *r;
	struct err e = { 0 };

	if (p->party == NULL || p->state != PART_TAKING || !p->told ||
	    p->timed_out)
		return;
	r = p->party->registration;
	if (r->timeouts == 0)
		return;
	r->timeouts = 0;
	if (registry_save(&p->party->desk->registry, r, &e) < 0)
		party_log(p->party, "its time-outs cannot be counted: %s",
			  e.text);
}

/* Did the abort that nobody waited for thaw it? */
static void
settle_frozen(struct round *s)
{
	size_t i;

	for (i = 0; i < s->parts; i++) {
		struct part *p = &s->part[i];

		if (p->party != NULL && p->aborted &&
		    p->party->mailbox.event == EVENT_ABORT &&
		    p->party->mailbox.state == MAIL_ANSWERED)
			p->frozen = false;
	}
}

static void
leave_desk(struct round *s)
{
	size_t i;

	for (i = 0; i < sizeof(s->desk->session) / sizeof(s->desk->session[0]);
	     i++) {
		if (s->desk->session[i] == s)
			s->desk->session[i] = NULL;
	}
}

void
round_end(struct round *s)
{
	size_t i;

	if (s == NULL)
		return;
	s->cancelled = NULL;
	if (round_any_frozen(s))
		(void)round_thaw_all(s, false, NULL);
	send_ends(s, false);
	settle_frozen(s);
	if (s->phase >= PHASE_READY)
		(void)round_note_frozen(s, false, NULL);
	round_give_exclusive(s);
	s->phase = PHASE_ENDED;
	for (i = 0; i < s->parts; i++)
		coprocess_dismiss(s->part[i].program);
	for (i = 0; i < s->parts; i++) {
		forgive_timeouts(&s->part[i]);
		part_release(s, &s->part[i]);
	}
	leave_desk(s);
	for (i = 0; i < s->parts; i++)
		part_clear(&s->part[i]);
	mem_free(s->part);
	round_forget_begin(&s->begin);
	mem_free(s);
}
