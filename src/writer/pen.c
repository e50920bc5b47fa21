/*
 * pen.c
 *
 * A pen is a pair of numbers, as in a shop: the next one to be drawn, and the one
 * that is served.
 *
 * The quota is the owner's.  What his other writers are writing at this moment
 * is not in their journals yet, and is counted by what it may come to at most.
 *
 * A journal is opened for the first time when its party is made; later, after it
 * has failed, by whoever has the pen, because all of it is read then.  One that
 * was never opened may have come to a clean stop once, and would go on from there
 * as if nothing had been refused meanwhile; so it is taken away when something
 * is, which a full disk does not prevent.
 *
 * That an event's statements are discarded is said by whoever leads a session,
 * and he must not wait for a disk.  It is owed until somebody writes or reads.
 * If all ends before that, the stop was not clean, and a gap of all says more.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/pen.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "src/writer/desk_internal.h"
#include "src/writer/party.h"
#include "src/writer/ranges.h"
#include "src/writer/refuse.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* Of an entry, whatever is in it: more than its numbers and facts take. */
#define ENTRY_BYTES 512

/* --- whose turn it is ------------------------------------------------------- */

void
pen_take(struct party *p)
{
	uint64_t number = p->pen_drawn++;

	party_begin_busy(p);
	while (p->pen_served != number)
		(void)pthread_cond_wait(&p->desk->changed, &p->desk->lock);
}

void
pen_give(struct party *p)
{
	p->pen_served++;
	(void)pthread_cond_broadcast(&p->desk->changed);
	party_end_busy(p);
}

void
pen_wait(struct party *p)
{
	uint64_t number = p->pen_drawn;

	party_begin_busy(p);
	while (p->pen_served < number)
		(void)pthread_cond_wait(&p->desk->changed, &p->desk->lock);
	party_end_busy(p);
}

/* --- opening and closing ---------------------------------------------------- */

/* What came of it. */
struct opening {
	struct journal *journal;
	bool fresh;
	struct buf note;
	struct err why;
};

/* These two need no lock. */
static int
open_dir(struct party *p, struct err *e)
{
	if (p->journalfd < 0)
		p->journalfd = registry_journal_dir(&p->desk->registry, p->name,
						    e);
	return p->journalfd >= 0 ? 0 : -1;
}

static void
open_files(struct party *p, struct opening *o)
{
	if (open_dir(p, &o->why) < 0 ||
	    (p->spoilt && journal_remove(p->journalfd, &o->why) < 0))
		return;
	if (journal_open(p->journalfd, p->desk->journal_quota, &o->journal,
			 &o->fresh, &o->note, &o->why) < 0)
		o->journal = NULL;
}

static void
take_opened(struct party *p, struct opening *o)
{
	p->journal = o->journal;
	if (p->journal != NULL) {
		p->unclean = true;
		p->spoilt = false;
	} else if (o->why.kind == ERR_UNSUPPORTED) {
		p->unclean = true; /* it is not ours */
	}
	if (p->journal == NULL)
		party_log(p, "no journal: %s", o->why.text);
	else if (o->note.len > 0)
		party_log(p, "journal: %s", buf_str(&o->note));
	else if (o->fresh)
		party_log(p, "a new journal");
	buf_clear(&o->note);
}

void
pen_open(struct party *p)
{
	struct opening o = { 0 };

	open_files(p, &o);
	take_opened(p, &o);
}

static void
open_unlocked(struct party *p)
{
	struct opening o = { 0 };

	(void)pthread_mutex_unlock(&p->desk->lock);
	open_files(p, &o);
	(void)pthread_mutex_lock(&p->desk->lock);
	take_opened(p, &o);
}

/*
 * Something is refused, and there is no journal that a gap could be in.  If this
 * fails, it is done in front of the next opening, or at the end.
 */
static int
spoil(struct party *p, struct err *e)
{
	int rc = -1;

	if (p->unclean)
		return 0;
	p->spoilt = true;
	(void)pthread_mutex_unlock(&p->desk->lock);
	if (open_dir(p, e) == 0)
		rc = journal_remove(p->journalfd, e);
	(void)pthread_mutex_lock(&p->desk->lock);
	if (rc == 0) {
		p->unclean = true;
		p->spoilt = false;
	}
	return rc;
}

/* --- writing ---------------------------------------------------------------- */

static size_t
length(const char *s)
{
	return s != NULL ? strlen(s) : 0;
}

/* The most that these can take. */
static uint64_t
most_bytes(const struct journal_entry *en, size_t n)
{
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		bytes += ENTRY_BYTES + en[i].text_len +
			 length(en[i].component) + length(en[i].path) +
			 length(en[i].why);
		if (en[i].ranges != NULL)
			bytes += (uint64_t)en[i].ranges->count * RANGES_PAIR;
	}
	return bytes;
}

/* What the owner's other writers have left of his quota. */
static uint64_t
quota_left(const struct party *p)
{
	const struct desk *d = p->desk;
	uint64_t left = d->journal_quota;
	uint64_t bytes;
	size_t i;

	for (i = 0; i < d->parties; i++) {
		const struct party *o = d->party[i];

		if (o == p || o->journal == NULL || o->registration == NULL ||
		    o->registration->owner != p->registration->owner)
			continue;
		bytes = journal_bytes(o->journal) + o->writing;
		left -= bytes < left ? bytes : left;
	}
	return left;
}

/* It takes nothing more; what was owed to it is gone with its id. */
static void
give_up_journal(struct party *p)
{
	journal_abandon(p->journal);
	p->journal = NULL;
	p->owes = 0;
	p->doubtful = false;
}

/* With the lock released. */
static int
write_unlocked(struct party *p, struct journal_entry *en, size_t n,
	       struct err *e)
{
	struct err why = { 0 };
	int rc;

	journal_limit(p->journal, quota_left(p));
	p->writing = most_bytes(en, n);
	(void)pthread_mutex_unlock(&p->desk->lock);
	rc = journal_append_all(p->journal, en, n, &why);
	(void)pthread_mutex_lock(&p->desk->lock);
	p->writing = 0;
	if (rc == 0)
		return 0;
	if (why.kind != ERR_USAGE) {
		give_up_journal(p);
		party_log(p, "the journal failed: %s", why.text);
	}
	err_move(e, &why);
	return -1;
}

static int
write_owed(struct party *p, struct err *e)
{
	struct journal_entry en[PEN_OWED_MAX] = { 0 };
	size_t n = p->owes;
	size_t i;

	for (i = 0; i < n; i++) {
		en[i].kind = JOURNAL_DISCARD;
		en[i].when = p->owed[i].when;
		en[i].event = p->owed[i].event;
		memcpy(en[i].session, p->owed[i].session,
		       sizeof(en[i].session));
	}
	p->owes = 0;
	return write_unlocked(p, en, n, e);
}

/* A journal that can be used, and owes nothing. */
static int
make_ready(struct party *p, bool reopen, struct err *e)
{
	if (p->doubtful)
		give_up_journal(p);
	if (p->journal == NULL && reopen)
		open_unlocked(p);
	if (p->journal == NULL)
		return refuse_set(e, EIO, "the writer's journal is broken");
	/* More may come to be owed while it is written. */
	while (p->owes > 0)
		if (write_owed(p, e) < 0)
			return -1;
	return 0;
}

int
pen_write(struct party *p, struct journal_entry *en, size_t n, struct err *e)
{
	if (p->removed)
		return refuse_set(e, ENOENT, "the writer was taken away");
	if (make_ready(p, true, e) < 0)
		return -1;
	return write_unlocked(p, en, n, e);
}

int
pen_append(struct party *p, struct journal_entry *en, struct err *e)
{
	int rc;

	pen_take(p);
	rc = pen_write(p, en, 1, e);
	pen_give(p);
	return rc;
}

int
pen_gap(struct party *p, const char *component, const char *path,
	const char *why, struct err *e)
{
	struct journal_entry en = {
		.kind = JOURNAL_GAP,
		.component = component,
		.path = component != NULL ? path : NULL,
		.why = why,
	};
	int rc = 0;

	party_put_moment(p, &en);
	pen_take(p);
	if (p->journal == NULL)
		rc = p->removed ? 0 : spoil(p, e);
	else if (!journal_ends_with_gap(p->journal, component, en.path, why))
		rc = pen_write(p, &en, 1, e);
	pen_give(p);
	return rc;
}

void
pen_discard(struct party *p, const uint8_t session[16], uint64_t event)
{
	struct pen_owed *o = &p->owed[p->owes];

	if (p->journal == NULL)
		return;
	if (p->owes == PEN_OWED_MAX) {
		p->doubtful = true;
		return;
	}
	memcpy(o->session, session, sizeof(o->session));
	o->event = event;
	o->when = time_now();
	p->owes++;
}

int
pen_drop(struct party *p, uint64_t below, struct err *e)
{
	struct err why = { 0 };
	int rc;

	pen_take(p);
	rc = make_ready(p, false, &why);
	if (rc == 0) {
		(void)pthread_mutex_unlock(&p->desk->lock);
		rc = journal_drop(p->journal, below, &why);
		(void)pthread_mutex_lock(&p->desk->lock);
		if (rc < 0)
			give_up_journal(p);
	}
	pen_give(p);
	if (rc < 0)
		err_move(e, &why);
	return rc;
}

/* --- reading ---------------------------------------------------------------- */

int
pen_view(struct party *p, struct journal_view **out, struct err *e)
{
	int rc;

	pen_take(p);
	rc = make_ready(p, false, e);
	if (rc == 0)
		rc = journal_view(p->journal, out, e);
	pen_give(p);
	return rc;
}

int
pen_read(struct party *p, uint64_t seq, journal_fn fn, void *ctx,
	 struct err *e)
{
	struct journal_view *v = NULL;
	int rc;

	party_begin_busy(p);
	rc = pen_view(p, &v, e);
	if (rc == 0) {
		(void)pthread_mutex_unlock(&p->desk->lock);
		rc = journal_view_read(v, seq, fn, ctx, e);
		(void)pthread_mutex_lock(&p->desk->lock);
	}
	journal_view_free(v);
	party_end_busy(p);
	return rc;
}

void
pen_close(struct party *p)
{
	struct err e = { 0 };
	int rc;

	if (p->journal == NULL) {
		if (p->spoilt && spoil(p, &e) < 0)
			party_log(p, "no gap in the journal: %s", e.text);
		return;
	}
	rc = make_ready(p, false, &e);
	if (rc == 0)
		rc = journal_stop(p->journal, &e);
	else
		journal_abandon(p->journal);
	p->journal = NULL;
	if (rc < 0)
		party_log(p, "no clean stop: %s", e.text);
}
