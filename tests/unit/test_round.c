#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/round.h"

#include "base/err.h"
#include "base/io.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/rundir.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/fake_desk.h"
#include "tests/lib/round_rig.h"
#include "tests/lib/scratch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Writers are actors with a script.  They are asked while the event is being
 * sent, and answer on the spot, so that every test is one thread and one order
 * of events; the clock is a number.
 */
#define S UINT64_C(1000000000)

enum act {
	ACT_OK,
	ACT_FAIL,   /* retryable "no" */
	ACT_SILENT, /* takes it and says nothing */
	ACT_DEAF,   /* does not even take it */
	ACT_LATE,   /* takes it, 61 seconds pass, and says ok */
	ACT_SLOW,   /* takes it, 20 seconds pass, and says ok */
};

struct actor {
	enum act act[EVENT_POST_RESTORE + 1];
	char last[600]; /* line */
};

static struct scratch scratch;
static struct desk *desk;
static struct actor actors[3]; /* of the writers a, b, s */
static struct round *session;
static char heard[4000]; /* "a:freeze b:freeze ..." */
static uint64_t now;
static uint64_t step; /* that passes with every look at the clock */
static bool cancelled;

static const char *const names[] = { "a", "b", "s" };

static uint64_t
clock_of_the_test(void)
{
	now += step;
	return now;
}

static enum event
event_of(const char *line)
{
	int i;

	for (i = EVENT_IDENTIFY; i <= EVENT_POST_RESTORE; i++) {
		size_t n = strlen(event_name((enum event)i));

		if (strncmp(line, event_name((enum event)i), n) == 0 &&
		    line[n] == ' ')
			return (enum event)i;
	}
	fail_msg("what is %s", line);
	return EVENT_ABORT;
}

static void
say(struct party *p, const char *word, const char *rest)
{
	char line[100];

	(void)snprintf(line, sizeof(line), "%s %" PRIu64 "%s", word,
		       p->mailbox.id, rest);
	/* Late ones are refused, and should be. */
	(void)party_answer(p, line, strlen(line), NULL);
}

static void
act(void *ctx, struct party *p)
{
	struct actor *a = &actors[p->registration->name[0] == 'a' ? 0 :
				  p->registration->name[0] == 'b' ? 1 :
								    2];
	char line[600];
	enum event ev;
	size_t n;

	(void)ctx;
	if (!p->mailbox.reader || !mailbox_has(&p->mailbox) ||
	    a->act[p->mailbox.event] == ACT_DEAF)
		return;
	n = mailbox_take(&p->mailbox, now, line, sizeof(line) - 1);
	line[n] = '\0';
	if (n == 0)
		return;
	memcpy(a->last, line, n + 1);
	ev = event_of(line);
	(void)snprintf(heard + strlen(heard), sizeof(heard) - strlen(heard),
		       "%s%s:%s", heard[0] != '\0' ? " " : "",
		       p->registration->name, event_name(ev));
	switch (a->act[ev]) {
	case ACT_FAIL:
		say(p, "fail", " retryable no");
		break;
	case ACT_LATE:
		now += 61 * S;
		say(p, "ok", "");
		break;
	case ACT_SLOW:
		now += 20 * S;
		say(p, "ok", "");
		break;
	case ACT_OK:
		say(p, "ok", "");
		break;
	case ACT_SILENT:
	case ACT_DEAF:
		break;
	}
}

static bool
is_cancelled(void *ctx)
{
	(void)ctx;
	return cancelled;
}

static int
set_up(void **state)
{
	size_t i;

	(void)state;
	rig_begin(&scratch);
	desk = fake_desk_new(scratch.path, names, 3);
	fake_desk_document(desk, "a", "front-end");
	fake_desk_document(desk, "b", "back-end");
	fake_desk_document(desk, "s", "system");
	for (i = 0; i < 3; i++)
		desk->party[i]->mailbox.reader = true;
	memset(actors, 0, sizeof(actors));
	desk->wake = act;
	heard[0] = '\0';
	now = 1000 * S;
	step = 0;
	cancelled = false;
	session = NULL;
	round_clock(clock_of_the_test);
	(void)pthread_mutex_lock(&desk->lock);
	return 0;
}

static int
tear_down(void **state)
{
	size_t i;

	(void)state;
	step = S; /* whatever a test that failed left waiting */
	round_end(session);
	for (i = 0; i < desk->parties; i++)
		assert_null(desk->party[i]->session);
	(void)pthread_mutex_unlock(&desk->lock);
	fake_desk_free(desk);
	round_clock(NULL);
	rig_end(&scratch);
	return 0;
}

/* --- steps --------------------------------------------------------------- */

#define REFUSED(call, kind_)                                                  \
	do {                                                                  \
		struct err e = { 0 };                                         \
		assert_int_equal((call), -1);                                 \
		assert_int_equal(e.kind, kind_);                              \
	} while (0)

static void
begin(const char *snapshot, enum round_kind kind)
{
	struct round_begin b = { .kind = kind,
				 .type = METADATA_INCREMENTAL,
				 .set = "set one",
				 .snapshot = snapshot,
				 .partial_files = true };

	MUST(round_begin(desk, &b, &session, &e));
}

static void
component(const char *writer, const char *words)
{
	struct round_component c = { .writer = writer,
				     .component = "c",
				     .type = METADATA_INCREMENTAL,
				     .restore = words };

	MUST(round_component(session, &c, &e));
}

/* Begun, identified, all three with their component. */
static void
start(const char *snapshot)
{
	size_t i;

	begin(snapshot, ROUND_BACKUP);
	MUST(round_identify(session, &e));
	for (i = 0; i < 3; i++)
		component(names[i], NULL);
	heard[0] = '\0';
}

static bool
freeze(void)
{
	bool vetoed = false;

	MUST(round_freeze(session, &vetoed, &e));
	return vetoed;
}

static void
go_to(enum phase phase)
{
	if (phase >= PHASE_PREPARED)
		MUST(round_prepare(session, &e));
	if (session->begin.snapshot != NULL) {
		if (phase >= PHASE_READY)
			MUST(round_ready(session, &e));
		if (phase >= PHASE_FROZEN)
			assert_false(freeze());
		if (phase >= PHASE_THAWED)
			MUST(round_thaw(session, &e));
		if (phase >= PHASE_SNAPSHOT)
			MUST(round_snapshot(session, NULL, 0, &e));
	}
	if (phase >= PHASE_COPIED)
		MUST(round_copied(session, &e));
}

static const uint8_t generation[16] = { 0xab, 1 };

static void
complete(bool succeeded)
{
	struct round_outcome o[] = { { .writer = "a",
				       .component = "c",
				       .succeeded = succeeded },
				     { .writer = "b",
				       .component = "c",
				       .succeeded = true } };

	MUST(round_complete(session, generation, 42, o, 2, &e));
}

static void
end(void)
{
	round_end(session);
	session = NULL;
}

static void
assert_heard(const char *what)
{
	assert_string_equal(heard, what);
	heard[0] = '\0';
}

static bool
is_marked(void)
{
	struct stat st;

	return stat(scratch_at(&scratch, "frozen"), &st) == 0;
}

/* --- which events --------------------------------------------------------- */

static void
d1_with_a_snapshot_all_events_come_in_their_order(void **state)
{
	(void)state;
	start("btrfs");
	MUST(round_prepare(session, &e));
	assert_heard("a:prepare-backup b:prepare-backup s:prepare-backup");
	MUST(round_ready(session, &e));
	assert_heard("a:prepare-snapshot b:prepare-snapshot "
		     "s:prepare-snapshot");
	assert_false(freeze());
	assert_heard("a:freeze b:freeze s:freeze");
	MUST(round_thaw(session, &e));
	assert_heard("s:thaw b:thaw a:thaw");
	MUST(round_snapshot(session, NULL, 0, &e));
	assert_heard("a:post-snapshot b:post-snapshot s:post-snapshot");
	MUST(round_copied(session, &e));
	assert_heard("a:post-copy b:post-copy s:post-copy");
	complete(true);
	assert_heard("a:backup-complete b:backup-complete s:backup-complete");
	end();
	assert_heard("a:backup-shutdown b:backup-shutdown s:backup-shutdown");
}

/* What stands behind the session in an event's line, up to the time. */
static void
assert_told(size_t actor, const char *what)
{
	const char *from = strstr(actors[actor].last, session->id);
	const char *to = from != NULL ? strstr(from, " left=") : NULL;

	assert_non_null(to);
	from += strlen(session->id);
	assert_int_equal(to - from, strlen(what));
	assert_memory_equal(from, what, strlen(what));
}

static void
ex_02_a_writer_is_told_where_its_own_directories_are(void **state)
{
	const struct round_place place[] = {
		{ "a", "c", "/srv/a", "/snap/1" },
		{ "b", "c", "/srv/b", "/snap/2/b" },
		{ "a", "c", "/x y", "/snap/x y" },
		{ "a", "other", "/srv/o", "/snap/o" },
	};

	(void)state;
	start("btrfs");
	go_to(PHASE_THAWED);
	MUST(round_snapshot(session, place, 4, &e));
	assert_told(0, " component=c "
		       "places=\"/srv/a=/snap/1\\n/x y=/snap/x y\"");
	assert_told(1, " component=c places=\"/srv/b=/snap/2/b\"");
	assert_told(2, "");
}

static void
d1_without_a_snapshot_the_four_in_the_middle_do_not_come(void **state)
{
	bool vetoed;

	(void)state;
	start(NULL);
	MUST(round_prepare(session, &e));
	assert_non_null(strstr(actors[0].last, " snapshot=none "));
	REFUSED(round_ready(session, &e), ERR_USAGE);
	REFUSED(round_freeze(session, &vetoed, &e), ERR_USAGE);
	REFUSED(round_thaw(session, &e), ERR_USAGE);
	REFUSED(round_snapshot(session, NULL, 0, &e), ERR_USAGE);
	MUST(round_copied(session, &e));
	complete(true);
	end();
	assert_heard("a:prepare-backup b:prepare-backup s:prepare-backup "
		     "a:post-copy b:post-copy s:post-copy "
		     "a:backup-complete b:backup-complete s:backup-complete "
		     "a:backup-shutdown b:backup-shutdown s:backup-shutdown");
}

static void
prepare_backup_says_what_is_to_come(void **state)
{
	char want[400];

	(void)state;
	start("btrfs");
	MUST(round_prepare(session, &e));
	(void)snprintf(want, sizeof(want),
		       "prepare-backup 4 session=%s type=incremental "
		       "snapshot=btrfs snapshot-atomic=no partial-files=yes "
		       "set=\"set one\" component=c effective=incremental "
		       "left=600000\n",
		       session->id);
	assert_string_equal(actors[0].last, want);
}

static void
phases_out_of_order_are_refused(void **state)
{
	bool vetoed;

	(void)state;
	begin("btrfs", ROUND_BACKUP);
	REFUSED(round_prepare(session, &e), ERR_USAGE);
	MUST(round_identify(session, &e));
	REFUSED(round_identify(session, &e), ERR_USAGE);
	component("a", NULL);
	REFUSED(round_freeze(session, &vetoed, &e), ERR_USAGE);
	MUST(round_prepare(session, &e));
	REFUSED(round_copied(session, &e), ERR_USAGE);
	REFUSED(round_thaw(session, &e), ERR_USAGE);
	REFUSED(round_complete(session, generation, 1, NULL, 0, &e),
		ERR_USAGE);
}

static void
writers_without_a_component_get_nothing_from_prepare_on(void **state)
{
	(void)state;
	begin(NULL, ROUND_BACKUP);
	MUST(round_identify(session, &e));
	component("b", NULL);
	heard[0] = '\0';
	go_to(PHASE_COPIED);
	assert_int_equal(rig_part(session, "a")->state, PART_NONE);
	assert_null(desk->party[0]->session);
	complete(true);
	end();
	assert_heard("b:prepare-backup b:post-copy b:backup-complete "
		     "b:backup-shutdown");
}

static void
d5_complete_tells_type_outcome_and_generation(void **state)
{
	char want[400];

	(void)state;
	start(NULL);
	go_to(PHASE_COPIED);
	complete(false);
	(void)snprintf(want, sizeof(want),
		       "backup-complete %" PRIu64
		       " session=%s type=incremental "
		       "generation=ab010000000000000000000000000000 number=42 "
		       "component=c succeeded=no left=600000\n",
		       desk->party[0]->mailbox.id, session->id);
	assert_string_equal(actors[0].last, want);
	assert_non_null(strstr(actors[1].last, "succeeded=yes"));
	/* Nothing was said of it. */
	assert_non_null(strstr(actors[2].last, "succeeded=no"));
}

static void
b1_the_cut_is_taken_when_freeze_is_sent(void **state)
{
	struct journal_entry en = { .kind = JOURNAL_STATEMENT, .text = "" };

	(void)state;
	start("btrfs");
	go_to(PHASE_READY);
	assert_int_equal(rig_part(session, "a")->cut, 1);
	MUST(journal_append(desk->party[0]->journal, &en, &e));
	assert_false(freeze());
	assert_int_equal(rig_part(session, "a")->cut, 2);
	MUST(journal_append(desk->party[0]->journal, &en, &e));
	MUST(round_thaw(session, &e));
	assert_int_equal(rig_part(session, "a")->cut, 2);
}

static void
b1_without_a_snapshot_the_cut_is_taken_at_prepare_backup(void **state)
{
	struct journal_entry en = { .kind = JOURNAL_STATEMENT, .text = "" };

	(void)state;
	start(NULL);
	MUST(journal_append(desk->party[0]->journal, &en, &e));
	go_to(PHASE_PREPARED);
	MUST(journal_append(desk->party[0]->journal, &en, &e));
	assert_int_equal(rig_part(session, "a")->cut, 2);
}

static void
b1_a_cut_in_a_journal_that_was_lost_is_below_all_of_the_next(void **state)
{
	struct journal_entry en = { .kind = JOURNAL_STATEMENT, .text = "" };

	(void)state;
	start(NULL);
	MUST(journal_append(desk->party[0]->journal, &en, &e));
	go_to(PHASE_PREPARED);
	assert_int_equal(round_cut(rig_part(session, "a")), 2);
	desk->party[0]->journal->id[0] ^= 1;
	assert_int_equal(round_cut(rig_part(session, "a")), 0);
	desk->party[0]->journal->id[0] ^= 1;
	assert_int_equal(round_cut(rig_part(session, "a")), 2);
}

static void
d5_the_edit_window_ends_with_post_copy(void **state)
{
	(void)state;
	start("btrfs");
	assert_false(desk->party[0]->edits);
	go_to(PHASE_SNAPSHOT);
	assert_true(desk->party[0]->edits);
	assert_true(desk->party[0]->window);
	MUST(round_copied(session, &e));
	assert_false(desk->party[0]->edits);
	assert_false(desk->party[0]->window);
}

/* --- who is there --------------------------------------------------------- */

static void
c10_a_writer_whose_events_nobody_reads_is_absent(void **state)
{
	(void)state;
	desk->party[1]->mailbox.reader = false;
	begin(NULL, ROUND_BACKUP);
	MUST(round_identify(session, &e));
	assert_int_equal(rig_part(session, "b")->state, PART_ABSENT);
	assert_heard("a:identify s:identify");
	REFUSED(round_component(session,
				&(struct round_component){ .writer = "b",
							   .component = "c" },
				&e),
		ERR_USAGE);
}

static void
c6_a_writer_is_in_one_session_only(void **state)
{
	struct round_begin b = { .kind = ROUND_BACKUP, .type = METADATA_FULL };
	struct round *second = NULL;

	(void)state;
	start(NULL);
	REFUSED(round_begin(desk, &b, &second, &e), ERR_BUSY);
	/* And the first one goes on. */
	go_to(PHASE_COPIED);
	complete(true);
	end();
	MUST(round_begin(desk, &b, &session, &e));
}

static void
c6_two_sessions_can_be_beside_each_other_when_no_writer_is_in_both(
	void **state)
{
	struct round_begin b = { .kind = ROUND_BACKUP, .type = METADATA_FULL };
	struct round *second = NULL;
	size_t i;

	(void)state;
	begin(NULL, ROUND_BACKUP);
	MUST(round_identify(session, &e));
	component("a", NULL);
	go_to(PHASE_PREPARED);
	desk->party[0]->mailbox.reader = true;
	/* a is in a session: it has to be absent for the second one. */
	desk->party[0]->mailbox.reader = false;
	MUST(round_begin(desk, &b, &second, &e));
	MUST(round_identify(second, &e));
	for (i = 0; i < 2; i++) {
		if (desk->session[i] == NULL)
			fail_msg("a session has no place at the desk");
	}
	round_end(second);
	desk->party[0]->mailbox.reader = true;
}

static void
c6_one_snapshot_at_a_time_on_this_machine(void **state)
{
	int lock = -1;

	(void)state;
	MUST(rundir_exclusive(&lock, &e));
	start("btrfs");
	go_to(PHASE_PREPARED);
	step = 100 * S;
	REFUSED(round_ready(session, &e), ERR_BUSY);
	assert_null(strstr(heard, "prepare-snapshot"));
	(void)close(lock);
	step = 0;
	MUST(round_ready(session, &e));
	assert_int_equal(rundir_exclusive(&lock, NULL), 1);
	assert_false(freeze());
	MUST(round_thaw(session, &e));
	assert_int_equal(rundir_exclusive(&lock, NULL), 1);
	MUST(round_snapshot(session, NULL, 0, &e));
	assert_int_equal(rundir_exclusive(&lock, NULL), 0);
	(void)close(lock);
}

/* --- failures ------------------------------------------------------------- */

static void
a_writer_that_fails_at_identify_is_not_asked_again(void **state)
{
	(void)state;
	actors[0].act[EVENT_IDENTIFY] = ACT_FAIL;
	begin(NULL, ROUND_BACKUP);
	MUST(round_identify(session, &e));
	assert_int_equal(rig_part(session, "a")->state, PART_FAILED);
	assert_int_equal(rig_part(session, "a")->failed_at, EVENT_IDENTIFY);
	assert_int_equal(rig_part(session, "a")->failure, FAILURE_RETRYABLE);
	component("b", NULL);
	heard[0] = '\0';
	go_to(PHASE_PREPARED);
	end();
	assert_heard("b:prepare-backup b:abort");
}

/* Every phase, every way to fail: who hears what, and how it ends. */
static void
a1_a_failure_in_any_phase_takes_out_the_one_writer(void **state)
{
	static const enum act acts[] = { ACT_FAIL, ACT_SILENT, ACT_DEAF };
	static const enum event events[] = { EVENT_PREPARE_BACKUP,
					     EVENT_PREPARE_SNAPSHOT,
					     EVENT_POST_SNAPSHOT,
					     EVENT_POST_COPY };
	size_t i;
	size_t k;

	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		for (k = 0; k < sizeof(acts) / sizeof(acts[0]); k++) {
			actors[1].act[events[i]] = acts[k];
			start("btrfs");
			step = acts[k] == ACT_FAIL ? 0 : S / 10;
			/* 600 s in tenths would be long. */
			session->begin.answer_s = 2;
			go_to(PHASE_COPIED);
			step = 0;
			assert_int_equal(rig_part(session, "a")->state, PART_TAKING);
			assert_int_equal(rig_part(session, "s")->state, PART_TAKING);
			assert_int_equal(rig_part(session, "b")->state, PART_FAILED);
			assert_int_equal(rig_part(session, "b")->failed_at, events[i]);
			assert_int_equal(rig_part(session, "b")->failure,
					 acts[k] == ACT_FAIL ?
						 FAILURE_RETRYABLE :
						 FAILURE_TIMEOUT);
			heard[0] = '\0';
			complete(true);
			assert_heard("a:backup-complete s:backup-complete");
			end();
			assert_non_null(strstr(heard, "a:backup-shutdown"));
			assert_non_null(strstr(heard, "b:backup-shutdown"));
			actors[1].act[events[i]] = ACT_OK;
			desk->party[1]->registration->timeouts = 0;
		}
	}
	(void)state;
}

static void
c5_what_was_said_in_a_failed_event_is_discarded(void **state)
{
	(void)state;
	actors[0].act[EVENT_PREPARE_BACKUP] = ACT_FAIL;
	start(NULL);
	go_to(PHASE_PREPARED);
	assert_string_equal(fake_desk_entries(desk, "a"), "DISCARD ");
	assert_string_equal(fake_desk_entries(desk, "b"), "");
	assert_int_equal(
		desk->party[0]->journal->entry[0].entry.event,
		desk->party[0]->mailbox.id);
	assert_memory_equal(desk->party[0]->journal->entry[0].entry.session,
			    session->raw_id, 16);
}

static void
c5_so_is_what_was_said_in_an_event_that_was_not_answered(void **state)
{
	(void)state;
	actors[0].act[EVENT_PREPARE_BACKUP] = ACT_SILENT;
	start(NULL);
	session->begin.answer_s = 2;
	step = S / 10;
	go_to(PHASE_PREPARED);
	step = 0;
	assert_string_equal(fake_desk_entries(desk, "a"), "DISCARD ");
	assert_int_equal(desk->party[0]->journal->entry[0].entry.event,
			 desk->party[0]->mailbox.id);
}

static void
d3_a_freeze_that_fails_thaws_all_in_reverse_and_aborts_the_one(void **state)
{
	(void)state;
	actors[2].act[EVENT_FREEZE] = ACT_FAIL;
	start("btrfs");
	go_to(PHASE_READY);
	heard[0] = '\0';
	assert_true(freeze());
	assert_heard("a:freeze b:freeze s:freeze b:thaw a:thaw s:abort");
	assert_false(is_marked());
	assert_int_equal(session->phase, PHASE_PREPARED);
	/* The others can go on without it. */
	actors[2].act[EVENT_FREEZE] = ACT_OK;
	MUST(round_ready(session, &e));
	assert_false(freeze());
	MUST(round_thaw(session, &e));
	assert_heard("a:prepare-snapshot b:prepare-snapshot a:freeze b:freeze "
		     "b:thaw a:thaw");
	MUST(round_snapshot(session, NULL, 0, &e));
	heard[0] = '\0';
	end();
	assert_heard("a:backup-shutdown b:backup-shutdown");
}

static void
d3_a_writer_that_does_not_answer_freeze_is_thawed_too(void **state)
{
	static const enum act acts[] = { ACT_SILENT, ACT_DEAF, ACT_LATE };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		actors[1].act[EVENT_FREEZE] = acts[i];
		start("btrfs");
		go_to(PHASE_READY);
		heard[0] = '\0';
		step = acts[i] == ACT_LATE ? 0 : S;
		assert_true(freeze());
		step = 0;
		if (acts[i] == ACT_DEAF)
			assert_heard("a:freeze b:thaw a:thaw b:abort");
		else
			assert_heard("a:freeze b:freeze b:thaw a:thaw "
				     "b:abort");
		assert_int_equal(rig_part(session, "b")->failure, FAILURE_TIMEOUT);
		assert_false(is_marked());
		end();
		desk->party[1]->registration->timeouts = 0;
	}
}

static void
d3_the_earliest_window_counts_while_others_freeze(void **state)
{
	(void)state;
	/* a is frozen for 60 s while b and s take 20 each, and 61. */
	actors[1].act[EVENT_FREEZE] = ACT_SLOW;
	actors[2].act[EVENT_FREEZE] = ACT_SLOW;
	start("btrfs");
	go_to(PHASE_READY);
	assert_false(freeze());
	assert_int_equal(session->deadline_ns, (1000 + 60) * S);
	now += 21 * S;
	MUST(round_thaw(session, &e));
	assert_int_equal(rig_part(session, "a")->state, PART_FAILED);
	assert_int_equal(rig_part(session, "a")->failure, FAILURE_TIMEOUT);
	assert_int_equal(rig_part(session, "b")->state, PART_FAILED);
}

static void
d3_a_window_that_ends_during_the_snapshot_ends_all(void **state)
{
	(void)state;
	start("btrfs");
	go_to(PHASE_FROZEN);
	heard[0] = '\0';
	assert_true(is_marked());
	now += 59 * S;
	round_expire(session);
	assert_heard("");
	now += 1 * S;
	round_expire(session);
	assert_heard("s:thaw b:thaw a:thaw a:abort b:abort s:abort");
	assert_false(is_marked());
	MUST(round_thaw(session, &e));
	assert_int_equal(rig_part(session, "s")->state, PART_FAILED);
	REFUSED(round_snapshot(session, NULL, 0, &e), ERR_USAGE);
	end();
	assert_heard("");
}

static void
d3_ok_to_thaw_counts_only_in_time(void **state)
{
	(void)state;
	actors[2].act[EVENT_THAW] = ACT_LATE;
	start("btrfs");
	go_to(PHASE_THAWED);
	assert_int_equal(rig_part(session, "s")->state, PART_FAILED);
	assert_int_equal(rig_part(session, "s")->failed_at, EVENT_THAW);
	assert_int_equal(rig_part(session, "s")->failure, FAILURE_TIMEOUT);
	/* The others were frozen for too long behind it. */
	assert_int_equal(rig_part(session, "a")->state, PART_FAILED);
}

static void
d3_a_writer_that_did_not_stay_frozen_says_so_and_fails(void **state)
{
	(void)state;
	actors[2].act[EVENT_THAW] = ACT_FAIL;
	start("btrfs");
	go_to(PHASE_THAWED);
	assert_int_equal(rig_part(session, "s")->state, PART_FAILED);
	assert_int_equal(rig_part(session, "a")->state, PART_TAKING);
	assert_false(is_marked());
}

static void
d3_a_slow_thaw_does_not_keep_the_others_frozen(void **state)
{
	(void)state;
	actors[2].act[EVENT_THAW] = ACT_SILENT;
	start("btrfs");
	go_to(PHASE_FROZEN);
	step = S;
	MUST(round_thaw(session, &e));
	step = 0;
	assert_int_equal(rig_part(session, "s")->failure, FAILURE_TIMEOUT);
	assert_int_equal(rig_part(session, "a")->state, PART_TAKING);
	assert_int_equal(rig_part(session, "b")->state, PART_TAKING);
	/* It never answered: the next session will find out. */
	assert_true(is_marked());
}

static void
d3_who_was_left_frozen_gets_an_abort_from_the_next_session(void **state)
{
	(void)state;
	scratch_write(scratch_at(&scratch, "frozen"),
		      "frozen b\nfrozen gone\nnonsense\nfrozen", 37);
	begin(NULL, ROUND_BACKUP);
	assert_heard("b:abort");
	assert_false(is_marked());
	MUST(round_identify(session, &e));
	assert_int_equal(rig_part(session, "b")->state, PART_TAKING);
}

static void
e4_two_time_outs_in_a_row_and_a_writer_is_not_waited_for(void **state)
{
	int i;

	(void)state;
	actors[0].act[EVENT_PREPARE_BACKUP] = ACT_SILENT;
	for (i = 0; i < 2; i++) {
		start(NULL);
		session->begin.answer_s = 2;
		step = S / 10;
		go_to(PHASE_PREPARED);
		end();
		step = 0;
		assert_int_equal(desk->party[0]->registration->timeouts, i + 1);
	}
	heard[0] = '\0';
	begin(NULL, ROUND_BACKUP);
	MUST(round_identify(session, &e));
	assert_int_equal(rig_part(session, "a")->state, PART_ABSENT);
	assert_heard("b:identify s:identify");
	end();
	/* Until it is reset. */
	desk->party[0]->registration->timeouts = 0;
	begin(NULL, ROUND_BACKUP);
	assert_int_equal(rig_part(session, "a")->state, PART_TAKING);
}

static void
e4_a_session_that_goes_well_forgives_one_time_out(void **state)
{
	(void)state;
	desk->party[0]->registration->timeouts = 1;
	start(NULL);
	go_to(PHASE_COPIED);
	complete(true);
	end();
	assert_int_equal(desk->party[0]->registration->timeouts, 0);
}

/* --- ends ------------------------------------------------------------------ */

static void
d5_abort_can_be_repeated_and_nothing_follows(void **state)
{
	(void)state;
	start("btrfs");
	go_to(PHASE_READY);
	heard[0] = '\0';
	round_abort(session);
	assert_heard("a:abort b:abort s:abort");
	round_abort(session);
	assert_heard("a:abort b:abort s:abort");
	REFUSED(round_ready(session, &e), ERR_USAGE);
	end();
	assert_heard("");
}

static void
d5_no_abort_once_post_snapshot_was_answered(void **state)
{
	(void)state;
	start("btrfs");
	go_to(PHASE_SNAPSHOT);
	heard[0] = '\0';
	round_abort(session);
	assert_heard("");
	REFUSED(round_copied(session, &e), ERR_USAGE);
	REFUSED(round_complete(session, generation, 1, NULL, 0, &e),
		ERR_USAGE);
	end();
	assert_heard("a:backup-shutdown b:backup-shutdown s:backup-shutdown");
}

static void
d5_no_complete_after_an_abort(void **state)
{
	(void)state;
	start(NULL);
	go_to(PHASE_COPIED);
	heard[0] = '\0';
	round_abort(session);
	assert_heard("a:abort b:abort s:abort");
	REFUSED(round_complete(session, generation, 1, NULL, 0, &e),
		ERR_USAGE);
	end();
	assert_heard("");
}

/* What a writer gets when the requester dies in this phase. */
static void
d5_what_is_owed_when_the_requester_dies(void **state)
{
	static const struct {
		const char *snapshot;
		enum phase phase;
		const char *heard;
	} rows[] = {
		{ NULL, PHASE_NEW, "" },
		{ NULL, PHASE_PREPARED, "a:abort b:abort s:abort" },
		{ NULL, PHASE_COPIED,
		  "a:backup-shutdown b:backup-shutdown s:backup-shutdown" },
		{ "btrfs", PHASE_PREPARED, "a:abort b:abort s:abort" },
		{ "btrfs", PHASE_READY, "a:abort b:abort s:abort" },
		{ "btrfs", PHASE_FROZEN,
		  "s:thaw b:thaw a:thaw a:abort b:abort s:abort" },
		{ "btrfs", PHASE_THAWED, "a:abort b:abort s:abort" },
		{ "btrfs", PHASE_SNAPSHOT,
		  "a:backup-shutdown b:backup-shutdown s:backup-shutdown" },
		{ "btrfs", PHASE_COPIED,
		  "a:backup-shutdown b:backup-shutdown s:backup-shutdown" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		start(rows[i].snapshot);
		go_to(rows[i].phase);
		heard[0] = '\0';
		end();
		assert_heard(rows[i].heard);
		assert_false(is_marked());
	}
}

static void
a_requester_that_dies_while_writers_freeze_thaws_them(void **state)
{
	bool vetoed;

	(void)state;
	actors[1].act[EVENT_FREEZE] = ACT_SILENT;
	start("btrfs");
	go_to(PHASE_READY);
	heard[0] = '\0';
	session->cancelled = is_cancelled;
	cancelled = true;
	REFUSED(round_freeze(session, &vetoed, &e), ERR_CANCELLED);
	end();
	assert_heard("a:freeze b:freeze b:thaw a:thaw a:abort b:abort "
		     "s:abort");
	assert_false(is_marked());
}

static void
nobody_is_kept_in_a_session_by_a_writer_that_hangs(void **state)
{
	(void)state;
	actors[0].act[EVENT_ABORT] = ACT_SILENT;
	start(NULL);
	go_to(PHASE_PREPARED);
	step = S;
	end();
	assert_null(desk->party[0]->session);
}

/* --- restores --------------------------------------------------------------- */

static void
a_restore_has_pre_and_post_restore_with_their_words(void **state)
{
	struct round_outcome o = { .writer = "a",
				   .component = "c",
				   .restore = "all",
				   .metadata = "two words" };

	(void)state;
	begin(NULL, ROUND_RESTORE);
	MUST(round_identify(session, &e));
	component("a", "generation=7 additional-restores=yes");
	heard[0] = '\0';
	MUST(round_prepare(session, &e));
	assert_non_null(strstr(actors[0].last,
			       " component=c generation=7 "
			       "additional-restores=yes left="));
	REFUSED(round_copied(session, &e), ERR_USAGE);
	MUST(round_complete(session, generation, 7, &o, 1, &e));
	assert_non_null(
		strstr(actors[0].last,
		       " component=c outcome=all "
		       "restore-metadata=\"two words\" left="));
	end();
	assert_heard("a:pre-restore a:post-restore");
}

static void
a_restore_that_breaks_off_ends_with_post_restore_and_failed(void **state)
{
	(void)state;
	begin(NULL, ROUND_RESTORE);
	MUST(round_identify(session, &e));
	component("a", NULL);
	MUST(round_prepare(session, &e));
	heard[0] = '\0';
	end();
	assert_heard("a:post-restore");
	assert_non_null(strstr(actors[0].last, " outcome=failed left="));
}

static void
words_of_a_restore_cannot_make_a_second_line(void **state)
{
	(void)state;
	begin(NULL, ROUND_RESTORE);
	MUST(round_identify(session, &e));
	REFUSED(round_component(session,
				&(struct round_component){
					.writer = "a",
					.component = "c",
					.restore = "x\nthaw 1" },
				&e),
		ERR_USAGE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(d1_with_a_snapshot_all_events_come_in_their_order),
		T(ex_02_a_writer_is_told_where_its_own_directories_are),
		T(d1_without_a_snapshot_the_four_in_the_middle_do_not_come),
		T(prepare_backup_says_what_is_to_come),
		T(phases_out_of_order_are_refused),
		T(writers_without_a_component_get_nothing_from_prepare_on),
		T(d5_complete_tells_type_outcome_and_generation),
		T(b1_the_cut_is_taken_when_freeze_is_sent),
		T(b1_without_a_snapshot_the_cut_is_taken_at_prepare_backup),
		T(b1_a_cut_in_a_journal_that_was_lost_is_below_all_of_the_next),
		T(d5_the_edit_window_ends_with_post_copy),
		T(c10_a_writer_whose_events_nobody_reads_is_absent),
		T(c6_a_writer_is_in_one_session_only),
		T(c6_two_sessions_can_be_beside_each_other_when_no_writer_is_in_both),
		T(c6_one_snapshot_at_a_time_on_this_machine),
		T(a_writer_that_fails_at_identify_is_not_asked_again),
		T(a1_a_failure_in_any_phase_takes_out_the_one_writer),
		T(c5_what_was_said_in_a_failed_event_is_discarded),
		T(c5_so_is_what_was_said_in_an_event_that_was_not_answered),
		T(d3_a_freeze_that_fails_thaws_all_in_reverse_and_aborts_the_one),
		T(d3_a_writer_that_does_not_answer_freeze_is_thawed_too),
		T(d3_the_earliest_window_counts_while_others_freeze),
		T(d3_a_window_that_ends_during_the_snapshot_ends_all),
		T(d3_ok_to_thaw_counts_only_in_time),
		T(d3_a_writer_that_did_not_stay_frozen_says_so_and_fails),
		T(d3_a_slow_thaw_does_not_keep_the_others_frozen),
		T(d3_who_was_left_frozen_gets_an_abort_from_the_next_session),
		T(e4_two_time_outs_in_a_row_and_a_writer_is_not_waited_for),
		T(e4_a_session_that_goes_well_forgives_one_time_out),
		T(d5_abort_can_be_repeated_and_nothing_follows),
		T(d5_no_abort_once_post_snapshot_was_answered),
		T(d5_no_complete_after_an_abort),
		T(d5_what_is_owed_when_the_requester_dies),
		T(a_requester_that_dies_while_writers_freeze_thaws_them),
		T(nobody_is_kept_in_a_session_by_a_writer_that_hangs),
		T(a_restore_has_pre_and_post_restore_with_their_words),
		T(a_restore_that_breaks_off_ends_with_post_restore_and_failed),
		T(words_of_a_restore_cannot_make_a_second_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
