/*
 * Who writes into a journal holds up that writer alone: while one is stopped in
 * the middle of it, the lock of all is free, and others are served.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/pen.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/time.h"
#include "src/writer/intake.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/ranges.h"
#include "src/writer/refuse.h"
#include "src/writer/round.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/scratch.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

static const uint8_t id[16] = { 0xab, 0xcd, 0xef, 2 };

/* --- a gate ----------------------------------------------------------------- */

enum gate { NOWHERE, APPENDING, READING, PARSING };

/* The first that comes there tells so, and waits until it is let on. */
static struct {
	_Atomic int where;
	sem_t came, go;
} gate;

static void
pass(enum gate where)
{
	int here = (int)where;

	if (!atomic_compare_exchange_strong(&gate.where, &here, NOWHERE))
		return;
	assert_int_equal(sem_post(&gate.came), 0);
	while (sem_wait(&gate.go) != 0)
		;
}

/* The linker puts these in the place of theirs (tests/local.mk). */
__typeof__(journal_append_all) __real_journal_append_all,
	__wrap_journal_append_all;
int
__wrap_journal_append_all(struct journal *j, struct journal_entry *en,
			  size_t n, struct err *e)
{
	pass(APPENDING);
	return __real_journal_append_all(j, en, n, e);
}

__typeof__(journal_view_read) __real_journal_view_read,
	__wrap_journal_view_read;
int
__wrap_journal_view_read(const struct journal_view *v, uint64_t seq,
			 journal_fn fn, void *ctx, struct err *e)
{
	pass(READING);
	return __real_journal_view_read(v, seq, fn, ctx, e);
}

__typeof__(metadata_parse) __real_metadata_parse, __wrap_metadata_parse;
int
__wrap_metadata_parse(struct metadata **out, const void *text, size_t len,
		      struct err *e)
{
	pass(PARSING);
	return __real_metadata_parse(out, text, len, e);
}

/* --- a desk with two writers ------------------------------------------------ */

static struct scratch scratch;
static struct desk *desk;
static struct party *slow, *other;

static void
lock(void)
{
	struct timespec until;

	assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
	until.tv_sec += 20;
	/* As it is held by nobody, this is no question of time. */
	if (pthread_mutex_timedlock(&desk->lock, &until) != 0)
		fail_msg("the lock is held");
}

static void
unlock(void)
{
	assert_int_equal(pthread_mutex_unlock(&desk->lock), 0);
}

static int
hand_in(struct party *p)
{
	struct buf b = { 0 };
	int rc;

	buf_printf(&b,
		   "writer %s\nrestore-method restore-if-can-replace\n"
		   "component c file-group selectable=yes\n"
		   "files c %s/%s *\nend\n",
		   p->name, scratch.path, p->name);
	rc = party_document(p, b.data, b.len, NULL);
	buf_clear(&b);
	return rc;
}

static struct party *
add(const char *name)
{
	struct registration r = { .name = (char *)(uintptr_t)name,
				  .owner = geteuid() };
	struct party *p = NULL;

	assert_int_equal(desk_register(desk, desk->uid, &r, &p, NULL), 0);
	assert_int_equal(hand_in(p), 0);
	return p;
}

static void
open_desk(void)
{
	assert_int_equal(desk_open("/srv/repo", id, &desk, NULL), 0);
	slow = desk_find(desk, "slow");
	other = desk_find(desk, "other");
}

static int
begin(void **state)
{
	(void)state;
	scratch_begin(&scratch);
	assert_int_equal(sem_init(&gate.came, 0, 0), 0);
	assert_int_equal(sem_init(&gate.go, 0, 0), 0);
	gate.where = NOWHERE;
	assert_int_equal(
		setenv("ASOF_STATE_DIR", scratch_at(&scratch, "state"), 1), 0);
	open_desk();
	lock();
	slow = add("slow");
	other = add("other");
	unlock();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	failing_remove();
	/* A test that failed has it still. */
	(void)pthread_mutex_trylock(&desk->lock);
	unlock();
	desk_close(desk);
	assert_int_equal(unsetenv("ASOF_STATE_DIR"), 0);
	scratch_end(&scratch);
	return 0;
}

static int
say(struct party *p, const char *line)
{
	struct intake_sink sink;
	struct intake in = { .sink = &sink };
	ssize_t got;

	party_sink(p, &sink);
	got = intake_write(&in, line, strlen(line), time_monotonic_ns());
	intake_close(&in);
	return got < 0 ? (int)-got : 0;
}

/* A file that is not there can be declared, too. */
static int
declare(struct party *p)
{
	char line[SCRATCH_LEN + 100];

	(void)snprintf(line, sizeof(line), "partial-file c %s/%s/x none\n",
		       scratch.path, p->name);
	return say(p, line);
}

static int
list_one(void *ctx, const struct journal_entry *en, struct err *e)
{
	static const char kinds[] = "?sgd.";
	struct buf *b = ctx;

	(void)e;
	buf_add_char(b, kinds[en->kind]);
	return 0;
}

/* A letter for each entry of the journal: statement, gap, discard, stop (.). */
static const char *
kinds(struct party *p)
{
	static struct buf b;

	buf_clear(&b);
	lock();
	assert_int_equal(pen_read(p, 0, list_one, &b, NULL), 0);
	unlock();
	return buf_str(&b);
}

/* --- one who is stopped ----------------------------------------------------- */

static int
write_line(void)
{
	return declare(slow);
}

static int
write_document(void)
{
	return hand_in(slow);
}

static int
read_declare(void)
{
	struct buf b = { 0 };
	int rc = party_pending(slow, NULL, &b, NULL);

	buf_clear(&b);
	return rc;
}

static int
read_journal(void)
{
	struct buf b = { 0 };
	int rc = pen_read(slow, 0, list_one, &b, NULL);

	buf_clear(&b);
	return rc;
}

static int
answer_for_slow(void)
{
	return party_answer(slow, "ok 1", 4, NULL);
}

static int
take_away(void)
{
	return desk_unregister(desk, desk->uid, slow, NULL);
}

struct job {
	int (*act)(void);
	pthread_t thread;
	int rc;
};

static void *
work(void *arg)
{
	struct job *j = arg;

	lock();
	j->rc = j->act();
	unlock();
	return NULL;
}

static void
start(struct job *j, int (*act)(void))
{
	j->act = act;
	assert_int_equal(pthread_create(&j->thread, NULL, work, j), 0);
}

/* It is at the gate when this returns. */
static void
stop_at(struct job *j, enum gate where, int (*act)(void))
{
	gate.where = (int)where;
	start(j, act);
	while (sem_wait(&gate.came) != 0)
		;
}

static int
finish(struct job *j)
{
	assert_int_equal(pthread_join(j->thread, NULL), 0);
	return j->rc;
}

static int
let_go(struct job *j)
{
	assert_int_equal(sem_post(&gate.go), 0);
	return finish(j);
}

/* The event `ev` was read by the writer. */
static void
deliver(struct party *p)
{
	char line[200];

	assert_int_equal(mailbox_post(&p->mailbox, EVENT_IDENTIFY, "",
				      &desk->event_ids, 0, UINT64_MAX, 0, NULL),
			 0);
	assert_true(mailbox_take(&p->mailbox, time_monotonic_ns(), line,
				 sizeof(line)) > 0);
}

static void
others_are_served_while_one_writes_or_reads(void **state)
{
	static const struct {
		enum gate where;
		int (*act)(void);
	} row[] = {
		{ APPENDING, write_line },    { READING, read_declare },
		{ READING, read_journal },    { PARSING, write_document },
	};
	char answer[40];
	struct job j;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(row); i++) {
		stop_at(&j, row[i].where, row[i].act);
		lock();
		deliver(other);
		(void)snprintf(answer, sizeof(answer), "ok %u",
			       (unsigned)other->mailbox.id);
		assert_int_equal(party_answer(other, answer, strlen(answer),
					      NULL),
				 0);
		assert_int_equal(declare(other), 0);
		assert_int_equal(hand_in(other), 0);
		/* What a freeze asks of the one that is stopped. */
		assert_true(journal_next(slow->journal) > 1);
		pen_discard(slow, id, 7);
		unlock();
		assert_int_equal(let_go(&j), 0);
	}
}

static void
c5_an_answer_waits_for_what_the_writer_is_saying(void **state)
{
	struct job writing;
	struct job answering;
	unsigned busy;

	(void)state;
	lock();
	deliver(slow);
	unlock();
	stop_at(&writing, APPENDING, write_line);
	start(&answering, answer_for_slow);
	do {
		lock();
		busy = slow->busy;
		unlock();
	} while (busy < 3); /* the statement, its pen, and the answer */
	lock();
	assert_int_equal(slow->mailbox.state, MAIL_DELIVERED);
	unlock();
	assert_int_equal(let_go(&writing), 0);
	assert_int_equal(finish(&answering), 0);
	assert_int_equal(slow->mailbox.state, MAIL_ANSWERED);
}

static void
a_writer_is_taken_away_when_it_has_written(void **state)
{
	struct job writing;
	struct job leaving;
	bool removed;

	(void)state;
	stop_at(&writing, APPENDING, write_line);
	start(&leaving, take_away);
	do {
		lock();
		removed = slow->removed;
		unlock();
	} while (!removed);
	assert_int_equal(let_go(&writing), 0);
	assert_int_equal(finish(&leaving), 0);
	lock();
	assert_int_equal(declare(slow), ENOENT);
	unlock();
}

/* --- what is owed ----------------------------------------------------------- */

static void
c5_what_is_discarded_is_there_for_whoever_reads(void **state)
{
	struct job j;

	(void)state;
	lock();
	assert_int_equal(declare(slow), 0);
	pen_discard(slow, id, 7);
	unlock();
	assert_string_equal(kinds(slow), "gsd");
	/* Also of one that comes while it is written. */
	stop_at(&j, APPENDING, write_line);
	lock();
	pen_discard(slow, id, 8);
	unlock();
	assert_int_equal(let_go(&j), 0);
	assert_string_equal(kinds(slow), "gsdsd");
	/* And at a clean stop. */
	lock();
	pen_discard(slow, id, 9);
	unlock();
	desk_close(desk);
	open_desk();
	assert_string_equal(kinds(slow), "gsdsdd.");
}

static size_t discards_read;

static int
count_discard(void *ctx, const struct journal_entry *en, struct err *e)
{
	(void)ctx;
	(void)e;
	discards_read += en->kind == JOURNAL_DISCARD;
	return 0;
}

static int
read_discards(void)
{
	discards_read = 0;
	return pen_read(slow, 0, count_discard, NULL, NULL);
}

static void
c5_what_is_discarded_while_discards_are_written_is_there_too(void **state)
{
	struct job j;

	(void)state;
	lock();
	pen_discard(slow, id, 7);
	unlock();
	stop_at(&j, APPENDING, read_discards);
	lock();
	pen_discard(slow, id, 8);
	unlock();
	assert_int_equal(let_go(&j), 0);
	assert_int_equal(discards_read, 2);
}

static void
c5_what_cannot_be_discarded_any_more_begins_another_journal(void **state)
{
	uint8_t before[JOURNAL_ID_LEN];
	size_t i;

	(void)state;
	memcpy(before, journal_id(slow->journal), sizeof(before));
	lock();
	for (i = 0; i <= PEN_OWED_MAX; i++)
		pen_discard(slow, id, i + 1);
	assert_int_equal(declare(slow), 0);
	assert_memory_not_equal(before, journal_id(slow->journal),
				sizeof(before));
	unlock();
	assert_string_equal(kinds(slow), "ggs");
}

static void
b3_a_stop_with_something_owed_that_cannot_be_said_is_not_clean(void **state)
{
	uint8_t before[JOURNAL_ID_LEN];

	(void)state;
	memcpy(before, journal_id(slow->journal), sizeof(before));
	lock();
	pen_discard(slow, id, 7);
	unlock();
	failing_install();
	failing_plan(FAIL_WRITE, 1, true, ENOSPC);
	desk_close(desk);
	failing_remove();
	open_desk();
	assert_memory_not_equal(before, journal_id(slow->journal),
				sizeof(before));
}

/* --- journals that fail, and quotas ------------------------------------------- */

static void
b3_a_journal_that_failed_is_opened_anew_by_the_next_statement(void **state)
{
	uint8_t before[JOURNAL_ID_LEN];

	(void)state;
	memcpy(before, journal_id(slow->journal), sizeof(before));
	lock();
	failing_install();
	failing_plan(FAIL_SYNC, 1, true, EIO);
	assert_int_equal(declare(slow), EIO);
	assert_null(slow->journal);
	assert_int_equal(declare(slow), EIO);
	failing_remove();
	assert_int_equal(declare(slow), 0);
	assert_memory_not_equal(before, journal_id(slow->journal),
				sizeof(before));
	unlock();
}

/*
 * It came to a clean stop, and now there is no room on the disk to open it.  What
 * is refused then has no journal for its gap.
 */
static void
b3_what_is_refused_without_a_journal_is_not_forgotten(void **state)
{
	static const struct {
		unsigned ops; /* that fail while it is refused */
		bool again;   /* all ends before anything is accepted */
	} cases[] = {
		{ FAIL_WRITE, false },
		{ FAIL_WRITE, true },
		{ FAIL_WRITE | FAIL_NAME, false },
	};
	uint8_t before[JOURNAL_ID_LEN];
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(cases); i++) {
		memcpy(before, journal_id(slow->journal), sizeof(before));
		desk_close(desk);
		failing_install();
		failing_plan(FAIL_WRITE, 1, true, ENOSPC);
		open_desk();
		assert_null(slow->journal);
		failing_plan(cases[i].ops, 1, true, ENOSPC);
		lock();
		assert_int_equal(declare(slow), EIO);
		unlock();
		if (cases[i].again) {
			desk_close(desk);
			failing_remove();
			open_desk();
		}
		failing_remove();
		lock();
		assert_int_equal(declare(slow), 0);
		assert_memory_not_equal(before, journal_id(slow->journal),
					sizeof(before));
		unlock();
	}
}

static int
write_much(void)
{
	static char text[60000];
	struct journal_entry en = { .kind = JOURNAL_STATEMENT,
				    .text = text,
				    .text_len = sizeof(text) };
	struct err e = { 0 };

	memset(text, 'x', sizeof(text));
	return pen_append(slow, &en, &e) < 0 ? refuse_errno(&e) : 0;
}

static void
e4_what_an_owners_other_writer_is_writing_counts(void **state)
{
	static char text[60000];
	struct journal_entry en = { .kind = JOURNAL_STATEMENT,
				    .text = text,
				    .text_len = sizeof(text) };
	struct err e = { 0 };
	struct job j;

	(void)state;
	memset(text, 'y', sizeof(text));
	desk->journal_quota = 100000;
	stop_at(&j, APPENDING, write_much);
	lock();
	assert_int_equal(pen_append(other, &en, &e), -1);
	assert_int_equal(refuse_errno(&e), EDQUOT);
	unlock();
	assert_int_equal(let_go(&j), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(others_are_served_while_one_writes_or_reads),
		TEST(c5_an_answer_waits_for_what_the_writer_is_saying),
		TEST(a_writer_is_taken_away_when_it_has_written),
		TEST(c5_what_is_discarded_is_there_for_whoever_reads),
		TEST(c5_what_is_discarded_while_discards_are_written_is_there_too),
		TEST(c5_what_cannot_be_discarded_any_more_begins_another_journal),
		TEST(b3_a_stop_with_something_owed_that_cannot_be_said_is_not_clean),
		TEST(b3_a_journal_that_failed_is_opened_anew_by_the_next_statement),
		TEST(b3_what_is_refused_without_a_journal_is_not_forgotten),
		TEST(e4_what_an_owners_other_writer_is_writing_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
