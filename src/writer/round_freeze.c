/*
 * round_freeze.c
 *
 * Freeze goes level by level, thaw in reverse, and the time between is limited
 * for each writer.  Of all windows the one that ends first counts for all:
 * what is snapshotted is one thing.  Who is to blame when it ends is another
 * matter: those that still freeze, not the one that was waiting for them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/round_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/writer/frozen.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"

/*
 * How long a level's thaw may hold up the next level's, as a part of the
 * window: those that were frozen first are thawed last, and theirs ends first.
 */
#define THAW_SHARE 10

enum metadata_level
round_level(const struct part *p)
{
	return p->party->document != NULL ? p->party->document->level :
					    LEVEL_FRONT_END;
}

int
round_note_frozen(struct round *s, bool all, struct err *e)
{
	const char **name = mem_array(s->parts + 1, sizeof(*name));
	size_t n = 0;
	size_t i;
	int rc;

	if (name == NULL)
		return err_nomem(e);
	for (i = 0; i < s->parts; i++) {
		if (s->part[i].frozen || (all && part_takes(&s->part[i])))
			name[n++] = s->part[i].name;
	}
	rc = frozen_note(s->desk->statefd, name, n, e);
	mem_free(name);
	return rc;
}

static void
send_freeze(struct round *s, enum metadata_level level)
{
	size_t i;

	for (i = 0; i < s->parts; i++) {
		struct part *p = &s->part[i];

		if (!part_takes(p) || round_level(p) != level)
			continue;
		round_take_cut(p);
		p->frozen = true;
		p->window_end_ns = 0;
		/* A window to be delivered in, and one that runs from there. */
		round_send(s, p, EVENT_FREEZE, NULL,
			   round_now() + 2 * round_window_ns(s));
	}
}

bool
round_any_frozen(const struct round *s)
{
	size_t i;

	for (i = 0; i < s->parts; i++) {
		if (s->part[i].party != NULL && s->part[i].frozen)
			return true;
	}
	return false;
}

/* The earliest end of a window; 0 when none runs. */
static uint64_t
earliest_end(const struct round *s)
{
	uint64_t end = 0;
	size_t i;

	for (i = 0; i < s->parts; i++) {
		const struct part *p = &s->part[i];

		if (p->frozen && p->window_end_ns != 0 &&
		    (end == 0 || p->window_end_ns < end))
			end = p->window_end_ns;
	}
	return end;
}

static size_t
count_taking(const struct round *s)
{
	size_t n = 0;
	size_t i;

	for (i = 0; i < s->parts; i++)
		n += part_takes(&s->part[i]);
	return n;
}

/*
 * To those of a level that are frozen, or may be.  The window's end is the
 * deadline, unless there is no snapshot that it matters for.
 */
static void
send_thaw(struct round *s, enum metadata_level level, bool vetoed)
{
	uint64_t now = round_now();
	size_t i;

	for (i = 0; i < s->parts; i++) {
		struct part *p = &s->part[i];
		uint64_t deadline = p->window_end_ns;

		if (p->party == NULL || !p->frozen || round_level(p) != level)
			continue;
		if (p->state != PART_TAKING)
			deadline = now + ROUND_OWED_NS;
		else if (vetoed) /* how long it was frozen is no matter */
			deadline = now + round_window_ns(s);
		round_send(s, p, EVENT_THAW, NULL, deadline);
	}
}

int
round_thaw_all(struct round *s, bool snapshot_made, struct err *e)
{
	enum metadata_level level;
	size_t i;
	int rc = 0;

	/* What was asked before is of no interest any more, nor are windows. */
	for (i = 0; i < s->parts && !snapshot_made; i++) {
		s->part[i].window_end_ns = 0;
		s->part[i].awaited = false;
	}
	for (level = LEVEL_SYSTEM; level <= LEVEL_FRONT_END; level++) {
		uint64_t until = level == LEVEL_FRONT_END ?
					 UINT64_MAX :
					 round_now() +
						 round_window_ns(s) / THAW_SHARE;

		send_thaw(s, level, !snapshot_made);
		/* Interrupted, the rest is thawed all the same. */
		if (part_await(s, until, snapshot_made && rc == 0, e) < 0)
			rc = -1;
	}
	s->deadline_ns = 0;
	if (round_note_frozen(s, false, e) < 0)
		rc = -1;
	return rc;
}

/*
 * An abort for those that failed in it: they are not asked again.  Nobody waits
 * for them.
 */
static void
abort_failed(struct round *s)
{
	size_t i;

	for (i = 0; i < s->parts; i++) {
		struct part *p = &s->part[i];

		if (p->party == NULL || p->state == PART_TAKING ||
		    p->finished ||
		    (p->failed_at != EVENT_FREEZE &&
		     p->failed_at != EVENT_THAW))
			continue;
		round_send(s, p, EVENT_ABORT, NULL,
			   round_now() + ROUND_OWED_NS);
		p->awaited = false;
		p->aborted = true;
		p->finished = true;
	}
}

/* Somebody could not be frozen: as if nobody had been. */
static int
veto(struct round *s, bool *vetoed, struct err *e)
{
	int rc = round_thaw_all(s, false, e);

	abort_failed(s);
	round_give_exclusive(s);
	s->phase = PHASE_PREPARED;
	if (rc == 0)
		*vetoed = true;
	return rc;
}

int
round_freeze(struct round *s, bool *vetoed, struct err *e)
{
	enum metadata_level level;
	size_t takes = count_taking(s);
	int rc;

	if (round_expect_backup(s, PHASE_READY, true, EVENT_FREEZE, e) < 0 ||
	    round_note_frozen(s, true, e) < 0)
		return -1;
	for (level = LEVEL_FRONT_END; level >= LEVEL_SYSTEM; level--) {
		send_freeze(s, level);
		s->hasty = true;
		rc = count_taking(s) < takes ?
			     0 :
			     part_await(s, UINT64_MAX, true, e);
		s->hasty = false;
		if (rc < 0)
			return -1;
		if (count_taking(s) < takes)
			return veto(s, vetoed, e);
	}
	s->deadline_ns = earliest_end(s);
	s->phase = PHASE_FROZEN;
	*vetoed = false;
	return 0;
}

void
round_expire(struct round *s)
{
	uint64_t now = round_now();
	size_t i;

	if (s->phase != PHASE_FROZEN || s->deadline_ns == 0 ||
	    now < s->deadline_ns)
		return;
	for (i = 0; i < s->parts; i++) {
		struct part *p = &s->part[i];

		if (!p->frozen)
			continue;
		if (p->window_end_ns <= now)
			part_fail(s, p, FAILURE_TIMEOUT,
				  "its window ended before the snapshot was "
				  "made");
		else
			part_fail(s, p, FAILURE_RETRYABLE,
				  "the window of another writer ended before "
				  "the snapshot was made");
	}
	(void)round_thaw_all(s, false, NULL);
	abort_failed(s);
	round_give_exclusive(s);
	s->phase = PHASE_THAWED;
	s->expired = true;
	s->ended = true;
}

int
round_thaw(struct round *s, struct err *e)
{
	round_expire(s);
	if (s->expired) {
		s->expired = false;
		return 0;
	}
	if (round_expect_backup(s, PHASE_FROZEN, true, EVENT_THAW, e) < 0)
		return -1;
	/* Told or not: from here on a window's end is the writer's failure. */
	if (round_thaw_all(s, true, e) < 0)
		return -1;
	abort_failed(s);
	s->phase = PHASE_THAWED;
	return 0;
}
