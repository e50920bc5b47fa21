/*
 * The journal against everything that can happen to its files: cut at every
 * byte, every bit turned around, any call failing.  What must hold: an entry
 * that was promised is there under its number, or the id is another one; and
 * what was not promised leaves a gap.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/journal.h"

#include "base/buf.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "src/writer/ranges.h"
#include "src/writer/refuse.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/scratch.h"
#include "tests/lib/trace.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#define QUOTA (UINT64_C(1) << 30)

static struct scratch scratch;
static int dirfd_ = -1;
static struct buf note;

static int
begin(void **state)
{
	(void)state;
	scratch_begin(&scratch);
	dirfd_ = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dirfd_ >= 0);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	failing_remove();
	buf_clear(&note);
	assert_int_equal(close(dirfd_), 0);
	scratch_end(&scratch);
	return 0;
}

/* --- helpers ---------------------------------------------------------------- */

static struct journal *
reopen(bool *fresh)
{
	struct journal *j = NULL;
	struct err e = { 0 };

	buf_clear(&note);
	if (journal_open(dirfd_, QUOTA, &j, fresh, &note, &e) < 0)
		fail_msg("%s", e.text);
	return j;
}

static struct journal_entry
statement(const char *text)
{
	return (struct journal_entry){ .kind = JOURNAL_STATEMENT,
				       .text = text,
				       .text_len = strlen(text) };
}

static int
say(struct journal *j, const char *text, struct err *e)
{
	struct journal_entry en = statement(text);

	return journal_append(j, &en, e);
}

static void
must_say(struct journal *j, const char *text)
{
	struct err e = { 0 };

	if (say(j, text, &e) < 0)
		fail_msg("%s", e.text);
}

/* "1:text 2:(gap) 3:(stop)" */
static int
list_one(void *ctx, const struct journal_entry *en, struct err *e)
{
	struct buf *b = ctx;

	(void)e;
	buf_printf(b, "%s%" PRIu64 ":", b->len > 0 ? " " : "", en->seq);
	if (en->kind == JOURNAL_STATEMENT)
		buf_add_str(b, en->text);
	else if (en->kind == JOURNAL_GAP)
		buf_add_str(b, "(gap)");
	else if (en->kind == JOURNAL_STOP)
		buf_add_str(b, "(stop)");
	else
		buf_add_str(b, "(discard)");
	return 0;
}

static const char *
list(struct journal *j, uint64_t seq)
{
	static struct buf b[4];
	static unsigned turn;
	struct buf *out = &b[turn++ % N_OF(b)];
	struct err e = { 0 };

	buf_clear(out);
	if (journal_read(j, seq, list_one, out, &e) < 0)
		buf_printf(out, "failed: %s", e.text);
	return buf_str(out);
}

static void
stop(struct journal *j)
{
	struct err e = { 0 };

	if (journal_stop(j, &e) < 0)
		fail_msg("%s", e.text);
}

/* --- what it is for --------------------------------------------------------- */

static void
entries_come_back_as_they_were(void **state)
{
	struct range pair[3] = { { 0, 1 }, { 4096, 8192 }, { 1u << 30, 5 } };
	const struct ranges set = { pair, 3, 3 };
	const struct ranges none = { NULL, 0, 0 };
	const struct facts facts = { .known = true,
				     .young = true,
				     .has_btime = true,
				     .fs = "uuid:1-2",
				     .ino = 7,
				     .size = UINT64_MAX,
				     .mtime = { -1, 999999999 },
				     .ctime = { 5, 6 },
				     .btime = { 7, 8 } };
	const struct journal_entry t[] = {
		{ .kind = JOURNAL_STATEMENT,
		  .text = "gap a",
		  .text_len = 5,
		  .when = { 1, 2 } },
		{ .kind = JOURNAL_STATEMENT,
		  .text = "x",
		  .text_len = 1,
		  .when = { -5, 0 },
		  .session = "0123456789abcde",
		  .event = 77,
		  .window = true,
		  .facts = facts,
		  .ranges = &set },
		{ .kind = JOURNAL_STATEMENT,
		  .text = "y",
		  .text_len = 1,
		  .when = { 1, 0 },
		  .ranges = &none },
		{ .kind = JOURNAL_GAP,
		  .component = "a/b",
		  .path = "/p",
		  .why = "because",
		  .when = { 1, 0 } },
		{ .kind = JOURNAL_GAP, .component = "", .when = { 1, 0 } },
		{ .kind = JOURNAL_GAP, .when = { 1, 0 } },
		{ .kind = JOURNAL_DISCARD, .event = 9, .when = { 1, 0 } },
		{ .kind = JOURNAL_STOP, .when = { 1, 0 } },
	};
	struct journal_reader *r = NULL;
	struct journal_entry en;
	struct buf b = { 0 };
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		struct journal_entry one = t[i];

		one.seq = i + 10;
		assert_int_equal(journal_encode(&one, &b, NULL), 0);
	}
	scratch_write(scratch_at(&scratch, "f"), b.data, b.len);
	fd = open(scratch_at(&scratch, "f"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(journal_reader_new(fd, 0, b.len, &r, NULL), 0);
	for (i = 0; i < N_OF(t); i++) {
		assert_int_equal(journal_reader_next(r, &en, NULL), 1);
		assert_int_equal(en.seq, i + 10);
		assert_int_equal(en.kind, t[i].kind);
		assert_int_equal(ts_cmp(en.when, t[i].when), 0);
		assert_memory_equal(en.session, t[i].session, 16);
		assert_int_equal(en.event, t[i].event);
		assert_int_equal(en.window, t[i].window);
		assert_int_equal(en.text_len, t[i].text_len);
		assert_memory_equal(&en.facts, &t[i].facts, sizeof(facts));
		assert_true((en.ranges == NULL) == (t[i].ranges == NULL));
		if (t[i].ranges != NULL) {
			assert_true(ranges_within(en.ranges, t[i].ranges));
			assert_true(ranges_within(t[i].ranges, en.ranges));
		}
#define SAME(x)                                                                \
	assert_true((en.x == NULL) == (t[i].x == NULL) &&                      \
		    (en.x == NULL || strcmp(en.x, t[i].x) == 0))
		SAME(text);
		SAME(component);
		SAME(path);
		SAME(why);
#undef SAME
	}
	assert_int_equal(journal_reader_next(r, &en, NULL), 0);
	journal_reader_free(r);
	assert_int_equal(close(fd), 0);
	buf_clear(&b);
}

static void
b1_numbers_rise_by_one_and_nothing_is_consumed(void **state)
{
	struct journal *j;
	bool fresh;

	(void)state;
	j = reopen(&fresh);
	assert_true(fresh);
	assert_int_equal(journal_next(j), 1);
	assert_int_equal(journal_first(j), 1);
	must_say(j, "a");
	must_say(j, "b");
	must_say(j, "c");
	assert_int_equal(journal_next(j), 4);
	assert_string_equal(list(j, 0), "1:a 2:b 3:c");
	assert_string_equal(list(j, 3), "3:c");
	assert_string_equal(list(j, 4), "");
	assert_string_equal(list(j, 0), "1:a 2:b 3:c");
	stop(j);
}

static void
b1_an_entry_is_synced_before_append_returns(void **state)
{
	struct journal *j;
	bool fresh;

	(void)state;
	j = reopen(&fresh);
	failing_install();
	failing_plan(FAIL_SYNC, 0, false, EIO);
	must_say(j, "a");
	assert_int_equal(failing_calls(), 1);
	must_say(j, "b");
	assert_int_equal(failing_calls(), 2);
	failing_remove();
	stop(j);
}

static void
b3_after_a_clean_stop_id_and_numbers_go_on_without_a_gap(void **state)
{
	uint8_t id[JOURNAL_ID_LEN];
	struct journal *j;
	bool fresh;
	int i;

	(void)state;
	j = reopen(&fresh);
	memcpy(id, journal_id(j), sizeof(id));
	must_say(j, "a");
	for (i = 0; i < 3; i++) {
		stop(j);
		j = reopen(&fresh);
		assert_false(fresh);
		assert_int_equal(note.len, 0);
		assert_memory_equal(journal_id(j), id, sizeof(id));
	}
	must_say(j, "b");
	assert_string_equal(list(j, 0), "1:a 2:(stop) 3:(stop) 4:(stop) 5:b");
	stop(j);
}

static void
b3_after_another_stop_there_is_a_gap_of_all_and_a_new_id(void **state)
{
	uint8_t id[JOURNAL_ID_LEN];
	struct journal *j;
	bool fresh;

	(void)state;
	j = reopen(&fresh);
	memcpy(id, journal_id(j), sizeof(id));
	/* Nothing was said at all: it was open, and that is enough. */
	journal_abandon(j);
	j = reopen(&fresh);
	assert_true(fresh);
	assert_true(note.len > 0);
	assert_memory_not_equal(journal_id(j), id, sizeof(id));
	assert_string_equal(list(j, 0), "1:(gap)");
	must_say(j, "a");
	stop(j);
	j = reopen(&fresh);
	assert_false(fresh);
	journal_abandon(j);
	j = reopen(&fresh);
	assert_true(fresh);
	assert_string_equal(list(j, 0), "1:(gap) 2:a 3:(stop) 4:(gap)");
	stop(j);
	j = reopen(&fresh);
	assert_false(fresh);
	stop(j);
}

static void
b1_dropping_all_keeps_id_and_numbers(void **state)
{
	static char text[60000];
	uint8_t id[JOURNAL_ID_LEN];
	struct journal *j;
	uint64_t next;
	bool fresh;
	int i;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	j = reopen(&fresh);
	memcpy(id, journal_id(j), sizeof(id));
	for (i = 0; i < 50; i++)
		must_say(j, text);
	assert_true(scratch_count(scratch.path, NULL, 0) > 2);
	/* What is asked for stays, and whole segments go. */
	assert_int_equal(journal_drop(j, 30, NULL), 0);
	assert_in_range(journal_first(j), 2, 30);
	assert_int_equal(journal_drop(j, journal_next(j), NULL), 0);
	next = journal_next(j);
	assert_int_equal(next, 51);
	assert_int_equal(journal_first(j), next);
	assert_int_equal(scratch_count(scratch.path, NULL, 0), 1);
	assert_string_equal(list(j, 0), "");
	assert_int_equal(journal_drop(j, UINT64_MAX, NULL), 0);
	stop(j);
	j = reopen(&fresh);
	assert_false(fresh);
	assert_memory_equal(journal_id(j), id, sizeof(id));
	assert_int_equal(journal_next(j), next + 1);
	must_say(j, "on");
	assert_string_equal(list(j, 52), "52:on");
	stop(j);
}

static void
b1_a_dropped_journal_that_is_abandoned_goes_on_counting(void **state)
{
	static char text[60000];
	struct journal *j;
	bool fresh;
	int i;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	j = reopen(&fresh);
	for (i = 0; i < 3; i++)
		must_say(j, text);
	assert_int_equal(journal_drop(j, 4, NULL), 0);
	journal_abandon(j);
	j = reopen(&fresh);
	assert_true(fresh);
	assert_string_equal(list(j, 0), "4:(gap)");
	stop(j);
}

/* --- gaps that say nothing new ---------------------------------------------- */

static void
say_gap_for(struct journal *j, const char *component, const char *path,
	    const char *why)
{
	struct journal_entry en = { .kind = JOURNAL_GAP,
				    .component = component,
				    .path = path,
				    .why = why };
	struct err e = { 0 };

	if (!journal_ends_with_gap(j, component, path, why) &&
	    journal_append(j, &en, &e) < 0)
		fail_msg("%s", e.text);
}

static void
say_gap(struct journal *j, const char *component, const char *path)
{
	say_gap_for(j, component, path, "test");
}

static void
b3_a_gap_for_another_reason_is_said(void **state)
{
	struct journal *j;
	bool fresh;

	(void)state;
	j = reopen(&fresh);
	say_gap_for(j, "a", NULL, "one");
	say_gap_for(j, "a", NULL, "two");
	say_gap_for(j, "a", NULL, "two");
	assert_int_equal(journal_next(j), 3);
	say_gap_for(j, "a", NULL, "refused: one");
	say_gap_for(j, "a", NULL, "refused: two");
	assert_int_equal(journal_next(j), 4);
	stop(j);
}

static void
b3_a_gap_behind_one_as_wide_takes_no_room(void **state)
{
	static const struct {
		const char *component[2], *path[2];
		size_t kept;
	} row[] = {
		{ { NULL, NULL }, { NULL, NULL }, 1 },
		{ { NULL, "a" }, { NULL, NULL }, 1 },
		{ { NULL, "a" }, { NULL, "/p" }, 1 },
		{ { "a", "a" }, { NULL, "/p" }, 1 },
		{ { "a", "a" }, { "/p", "/p" }, 1 },
		{ { "a", "a" }, { "/p", "/q" }, 2 },
		{ { "a", "a" }, { "/p", NULL }, 2 },
		{ { "a", "b" }, { NULL, NULL }, 2 },
		{ { "a", NULL }, { NULL, NULL }, 2 },
	};
	struct journal *j;
	uint64_t before;
	bool fresh;
	size_t i;

	(void)state;
	j = reopen(&fresh);
	for (i = 0; i < N_OF(row); i++) {
		must_say(j, "x");
		before = journal_next(j);
		say_gap(j, row[i].component[0], row[i].path[0]);
		say_gap(j, row[i].component[1], row[i].path[1]);
		if (journal_next(j) != before + row[i].kept)
			fail_msg("row %zu", i);
	}
	stop(j);
}

static void
b3_a_gap_is_said_again_behind_a_cut_or_an_entry(void **state)
{
	struct journal *j;
	bool fresh;

	(void)state;
	j = reopen(&fresh);
	say_gap(j, NULL, NULL);
	assert_int_equal(journal_next(j), 2); /* a cut, perhaps */
	say_gap(j, NULL, NULL);
	assert_int_equal(journal_next(j), 3);
	must_say(j, "x");
	say_gap(j, NULL, NULL);
	say_gap(j, NULL, NULL);
	assert_string_equal(list(j, 0), "1:(gap) 2:(gap) 3:x 4:(gap)");
	stop(j);
}

/* --- while it goes on --------------------------------------------------------- */

static void
b1_a_view_shows_what_there_was_when_it_was_made(void **state)
{
	static char text[60000];
	struct journal_view *v = NULL;
	struct buf b = { 0 };
	struct journal *j;
	bool fresh;
	int i;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	j = reopen(&fresh);
	must_say(j, "a");
	must_say(j, "b");
	assert_int_equal(journal_view(j, &v, NULL), 0);
	assert_int_equal(journal_view_first(v), 1);
	assert_int_equal(journal_view_next(v), 3);
	for (i = 0; i < 40; i++) /* more than a segment */
		must_say(j, text);
	assert_int_equal(journal_view_read(v, 0, list_one, &b, NULL), 0);
	assert_string_equal(buf_str(&b), "1:a 2:b");
	/* It outlasts the journal; what is dropped is not there for it. */
	stop(j);
	buf_reset(&b);
	assert_int_equal(journal_view_read(v, 2, list_one, &b, NULL), 0);
	assert_string_equal(buf_str(&b), "2:b");
	j = reopen(&fresh);
	assert_int_equal(journal_drop(j, journal_next(j), NULL), 0);
	assert_int_equal(journal_view_read(v, 0, list_one, &b, NULL), -1);
	stop(j);
	journal_view_free(v);
	buf_clear(&b);
}

struct writing {
	struct journal *j;
	atomic_bool done;
};

static void *
write_a_lot(void *arg)
{
	static char text[30000];
	struct writing *w = arg;
	int i;

	memset(text, 'x', sizeof(text) - 1);
	for (i = 1; i <= 200; i++) {
		struct journal_entry en = statement(text);

		if (journal_append(w->j, &en, NULL) < 0 ||
		    (i % 50 == 0 && journal_drop(w->j, en.seq / 2, NULL) < 0))
			break;
	}
	atomic_store(&w->done, true);
	return i > 200 ? w : NULL;
}

static int
count_one(void *ctx, const struct journal_entry *en, struct err *e)
{
	uint64_t *last = ctx;

	if (*last != 0 && en->seq != *last + 1)
		return err_set(e, ERR_USAGE, "out of order");
	*last = en->seq;
	return 0;
}

static void
b1_others_may_read_while_it_is_appended_to(void **state)
{
	struct writing w = { 0 };
	struct journal_view *v;
	pthread_t thread;
	void *well = NULL;
	uint64_t last;
	bool fresh;
	int rc;

	(void)state;
	w.j = reopen(&fresh);
	assert_int_equal(pthread_create(&thread, NULL, write_a_lot, &w), 0);
	while (!atomic_load(&w.done)) {
		struct err e = { 0 };

		v = NULL;
		last = 0;
		assert_int_equal(journal_view(w.j, &v, &e), 0);
		rc = journal_view_read(v, journal_view_first(v), count_one,
				       &last, &e);
		/* Dropped meanwhile, or all that it promises. */
		if (rc < 0)
			assert_true(journal_first(w.j) > journal_view_first(v));
		else
			assert_true(last == 0 ||
				    last + 1 == journal_view_next(v));
		assert_true(journal_bytes(w.j) > 0);
		journal_view_free(v);
	}
	assert_int_equal(pthread_join(thread, &well), 0);
	assert_non_null(well);
	stop(w.j);
}

/* --- the quota -------------------------------------------------------------- */

static void
e4_the_quota_is_kept_and_leaves_one_gap(void **state)
{
	static char text[1000];
	struct journal *j = NULL;
	struct err e = { 0 };
	uint64_t next;
	bool fresh;
	int rc = 0;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(journal_open(dirfd_, 100000, &j, &fresh, &note, NULL),
			 0);
	while (rc == 0)
		rc = say(j, text, &e);
	assert_int_equal(refuse_errno(&e), EDQUOT);
	next = journal_next(j);
	assert_in_range(next, 80, 100);
	rc = say(j, text, NULL);
	assert_int_equal(rc, -1);
	assert_int_equal(journal_next(j), next);
	assert_true(strstr(list(j, next - 1), ":(gap)") != NULL);
	/* A cut may be taken here; what was refused behind it needs a gap. */
	assert_int_equal(journal_drop(j, next, NULL), 0);
	assert_int_equal(say(j, "x", NULL), 0);
	assert_string_equal(list(j, next), "94:(gap) 95:x");
	stop(j);
	j = reopen(&fresh);
	assert_false(fresh);
	stop(j);
}

static void
c5_statements_are_discarded_though_the_quota_is_used_up(void **state)
{
	struct journal_entry en = { .kind = JOURNAL_DISCARD, .event = 7 };
	struct journal *j = NULL;
	bool fresh;

	(void)state;
	assert_int_equal(journal_open(dirfd_, 0, &j, &fresh, &note, NULL), 0);
	assert_int_equal(say(j, "x", NULL), -1);
	assert_int_equal(journal_append(j, &en, NULL), 0);
	assert_string_equal(list(j, 0), "1:(gap) 2:(discard)");
	stop(j);
}

static void
e4_no_clean_stop_while_a_gap_is_owed(void **state)
{
	static char text[1000];
	struct journal *j = NULL;
	bool fresh;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(journal_open(dirfd_, 50000, &j, &fresh, &note, NULL),
			 0);
	while (say(j, text, NULL) == 0)
		;
	assert_int_equal(say(j, text, NULL), -1);
	stop(j);
	j = reopen(&fresh);
	assert_true(fresh);
	stop(j);
}

static void
e4_an_entry_longer_than_any_may_be_is_refused_with_a_gap(void **state)
{
	struct ranges huge = { NULL, 14000000, 0 };
	struct journal_entry en = statement("x");
	struct err e = { 0 };
	struct journal *j;
	bool fresh;

	(void)state;
	en.ranges = &huge;
	j = reopen(&fresh);
	assert_int_equal(journal_append(j, &en, &e), -1);
	assert_int_equal(refuse_errno(&e), EDQUOT);
	assert_string_equal(list(j, 0), "1:(gap)");
	must_say(j, "a");
	stop(j);
}

/* --- many ranges ------------------------------------------------------------ */

static size_t asked;

static bool
count_memory(size_t size)
{
	asked += size;
	return false;
}

static int
compare_ranges(void *ctx, const struct journal_entry *en, struct err *e)
{
	const struct ranges *want = ctx;

	(void)e;
	if (en->ranges == NULL)
		return 0;
	assert_int_equal(en->ranges->count, want->count);
	assert_memory_equal(en->ranges->r, want->r,
			    want->count * sizeof(*want->r));
	return 1;
}

static void
e3_a_million_ranges_are_in_memory_once(void **state)
{
	struct journal_entry en = statement("x");
	struct ranges s = { 0 };
	struct journal *j;
	bool fresh;
	size_t i;

	(void)state;
	for (i = 0; i < 1000000; i++)
		assert_int_equal(ranges_push(&s, i * 10, 5, NULL), 0);
	en.ranges = &s;
	j = reopen(&fresh);
	asked = 0;
	mem_fail(count_memory);
	assert_int_equal(journal_append(j, &en, NULL), 0);
	assert_in_range(asked, 1, 1000000);
	asked = 0;
	assert_int_equal(journal_read(j, 0, compare_ranges, &s, NULL), 0);
	assert_in_range(asked, s.count * 16, s.count * 16 + 2000000);
	mem_fail(NULL);
	/* It is long enough to be a segment by itself, and to be dropped. */
	assert_int_equal(journal_drop(j, 2, NULL), 0);
	assert_int_equal(journal_first(j), 2);
	stop(j);
	ranges_clear(&s);
}

/* --- damage ----------------------------------------------------------------- */

#define FILES 3

struct image {
	char name[FILES][256];
	uint8_t data[FILES][4096];
	size_t len[FILES];
	size_t n;
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
take_image(struct image *m)
{
	size_t i;

	m->n = scratch_count(scratch.path, m->name, FILES);
	assert_true(m->n <= FILES);
	/* The newest last: a directory has no order. */
	qsort(m->name, m->n, sizeof(m->name[0]), by_name);
	for (i = 0; i < m->n; i++)
		m->len[i] = scratch_read(scratch_at(&scratch, m->name[i]),
					 m->data[i], sizeof(m->data[i]));
}

static void
put_image(const struct image *m)
{
	char name[64][256];
	size_t n = scratch_count(scratch.path, name, 64);
	size_t i;

	for (i = 0; i < n; i++)
		assert_int_equal(unlink(scratch_at(&scratch, name[i])), 0);
	for (i = 0; i < m->n; i++)
		scratch_write(scratch_at(&scratch, m->name[i]), m->data[i],
			      m->len[i]);
}

/*
 * A journal with entries in two segments, and a third that was just begun;
 * stopped cleanly, or not.
 */
static void
make_image(struct image *m, bool clean, uint8_t id[JOURNAL_ID_LEN])
{
	struct range pair[2] = { { 0, 1 }, { 4096, 8192 } };
	const struct ranges set = { pair, 2, 2 };
	struct journal_entry en = statement("partial-file c /p file=/r");
	struct journal *j;
	bool fresh;

	j = reopen(&fresh);
	must_say(j, "a");
	stop(j);
	j = reopen(&fresh);
	must_say(j, "b");
	en.ranges = &set;
	en.facts = (struct facts){ .known = true, .fs = "fs", .ino = 4 };
	assert_int_equal(journal_append(j, &en, NULL), 0);
	must_say(j, "c");
	memcpy(id, journal_id(j), JOURNAL_ID_LEN);
	if (clean)
		stop(j);
	else
		journal_abandon(j);
	take_image(m);
}

#define WHOLE "1:a 2:(stop) 3:b 4:partial-file c /p file=/r 5:c"

/*
 * Opened after something happened to its files: either nothing is missing and
 * nobody noticed, or the id is new, what is left is a beginning of what was
 * there, and a gap follows; or there is nothing left.
 */
static void
judge_opened(const uint8_t id[JOURNAL_ID_LEN], bool may_be_whole,
	     const char *what, size_t at)
{
	char want[200] = WHOLE;
	struct journal *j;
	const char *got;
	size_t len;
	bool fresh;

	j = reopen(&fresh);
	got = list(j, 0);
	if (!fresh) {
		if (!may_be_whole || strcmp(got, WHOLE " 6:(stop)") != 0 ||
		    memcmp(journal_id(j), id, JOURNAL_ID_LEN) != 0)
			fail_msg("%s at %zu: taken for whole: %s", what, at,
				 got);
		journal_abandon(j);
		return;
	}
	if (memcmp(journal_id(j), id, JOURNAL_ID_LEN) == 0 || note.len == 0)
		fail_msg("%s at %zu: fresh, with the old id", what, at);
	if (got[0] != '\0') {
		len = strlen(got);
		if (len < 6 || strcmp(got + len - 5, "(gap)") != 0)
			fail_msg("%s at %zu: no gap: %s", what, at, got);
		while (got[len - 1] != ' ' && len > 1)
			len--;
		if (strncmp(got, WHOLE " 6:(stop) ", len) != 0)
			fail_msg("%s at %zu: invented: %s (of %s)", what, at,
				 got, want);
	}
	/* And it takes entries. */
	must_say(j, "more");
	stop(j);
}

static void
b3_a_file_that_is_cut_at_any_byte_leaves_a_gap(void **state)
{
	uint8_t id[JOURNAL_ID_LEN];
	struct image m;
	struct image cut;
	size_t k;
	int clean;

	(void)state;
	for (clean = 0; clean < 2; clean++) {
		put_image(&(struct image){ .n = 0 });
		make_image(&m, clean != 0, id);
		for (k = 0; k < m.len[m.n - 1]; k++) {
			cut = m;
			cut.len[m.n - 1] = k;
			put_image(&cut);
			judge_opened(id, false, "cut", k);
		}
	}
}

static void
b3_a_torn_end_loses_that_entry_only(void **state)
{
	uint8_t id[JOURNAL_ID_LEN];
	struct journal *j;
	struct image m;
	bool fresh;

	(void)state;
	make_image(&m, false, id);
	m.len[m.n - 1] -= 3;
	put_image(&m);
	j = reopen(&fresh);
	assert_string_equal(list(j, 0), "1:a 2:(stop) 3:b 4:partial-file c /p "
					"file=/r 5:(gap)");
	assert_true(strstr(buf_str(&note), "cannot be read") != NULL);
	stop(j);
	/* What was cut off lies behind what counts, for ever. */
	j = reopen(&fresh);
	assert_false(fresh);
	assert_string_equal(list(j, 5), "5:(gap) 6:(stop)");
	stop(j);
}

static void
b3_any_bit_of_any_file_may_turn_around(void **state)
{
	uint8_t id[JOURNAL_ID_LEN];
	struct journal *j;
	struct image m;
	struct image bad;
	struct err e;
	bool fresh;
	size_t i;
	size_t k;

	(void)state;
	make_image(&m, true, id);
	for (i = 0; i < m.n; i++)
		for (k = 0; k < m.len[i]; k++) {
			bad = m;
			bad.data[i][k] ^= (uint8_t)(1u << k % 8);
			put_image(&bad);
			judge_opened(id, false, m.name[i], k);
		}
	/* In a file that is open it is found when it is read. */
	put_image(&m);
	j = reopen(&fresh);
	assert_false(fresh);
	scratch_flip(scratch_at(&scratch, m.name[m.n - 1]),
		     (off_t)m.len[m.n - 1] - 20);
	memset(&e, 0, sizeof(e));
	assert_int_equal(journal_read(j, 1, list_one, &note, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	journal_abandon(j);
}

static void
b1_a_segment_that_is_missing_makes_it_another_journal(void **state)
{
	uint8_t id[JOURNAL_ID_LEN];
	struct journal *j;
	struct image m;
	bool fresh;

	(void)state;
	make_image(&m, true, id);
	j = reopen(&fresh);
	must_say(j, "d");
	stop(j);
	assert_int_equal(
		unlink(scratch_at(&scratch, "journal.0000000000000003")), 0);
	j = reopen(&fresh);
	assert_true(fresh);
	assert_string_equal(list(j, 0), "");
	assert_int_equal(journal_next(j), 1);
	stop(j);
}

static void
what_a_crash_left_half_made_goes_and_what_is_not_the_journals_stays(
	void **state)
{
	struct journal *j;
	bool fresh;

	(void)state;
	scratch_write(scratch_at(&scratch, ".tmp-0123"), "x", 1);
	scratch_write(scratch_at(&scratch, "journal.1"), "x", 1);
	scratch_write(scratch_at(&scratch, "other"), "x", 1);
	j = reopen(&fresh);
	must_say(j, "a");
	stop(j);
	assert_int_equal(access(scratch_at(&scratch, ".tmp-0123"), F_OK), -1);
	assert_int_equal(access(scratch_at(&scratch, "other"), F_OK), 0);
	j = reopen(&fresh);
	assert_false(fresh);
	stop(j);
}

static void
a_newer_programs_journal_is_left_alone(void **state)
{
	uint8_t id[JOURNAL_ID_LEN];
	struct journal *j = NULL;
	struct err e = { 0 };
	struct image m;
	struct image after;
	uint64_t sum;
	bool fresh;
	size_t i;

	(void)state;
	make_image(&m, true, id);
	m.data[0][8] = 2;
	sum = crc64(0, m.data[0], 36);
	for (i = 0; i < 8; i++)
		m.data[0][36 + i] = (uint8_t)(sum >> 8 * i);
	put_image(&m);
	assert_int_equal(journal_open(dirfd_, QUOTA, &j, &fresh, &note, &e),
			 -1);
	assert_int_equal(e.kind, ERR_UNSUPPORTED);
	take_image(&after);
	assert_int_equal(after.n, m.n);
}

/*
 * One that cannot be used is taken away, and that is cut short.  What is left
 * must not go on as if it had come to its end cleanly.
 */
static void
b1_a_journal_that_is_half_taken_away_is_not_gone_on_with(void **state)
{
	uint8_t before[JOURNAL_ID_LEN];
	struct image m = { .n = 0 };
	struct journal *j = NULL;
	struct err e = { 0 };
	bool fresh;

	(void)state;
	j = reopen(&fresh);
	must_say(j, "a");
	stop(j);
	j = reopen(&fresh);
	must_say(j, "b");
	memcpy(before, journal_id(j), sizeof(before));
	stop(j);
	take_image(&m);
	assert_int_equal(m.n, 2);
	m.data[1][0] ^= 1;
	put_image(&m);
	failing_install();
	failing_plan(FAIL_NAME, 2, true, EIO);
	assert_int_equal(journal_open(dirfd_, QUOTA, &j, &fresh, &note, &e),
			 -1);
	failing_remove();
	j = reopen(&fresh);
	assert_true(fresh);
	assert_memory_not_equal(before, journal_id(j), sizeof(before));
	stop(j);
}

/* --- calls that fail -------------------------------------------------------- */

struct told {
	bool opened, said[4], stopped;
	uint8_t id[JOURNAL_ID_LEN];
};

/* Open, say four things, drop, stop; as far as it goes. */
static struct told
live(struct err *e)
{
	static const char *const text[] = { "p", "q", "r", "s" };
	struct told t = { 0 };
	struct journal *j = NULL;
	struct buf b = { 0 };
	bool fresh;
	size_t i;

	if (journal_open(dirfd_, QUOTA, &j, &fresh, &b, e) < 0) {
		buf_clear(&b);
		return t;
	}
	t.opened = true;
	memcpy(t.id, journal_id(j), sizeof(t.id));
	for (i = 0; i < 4; i++) {
		t.said[i] = say(j, text[i], e) == 0;
		if (i == 1 && journal_drop(j, 4, e) < 0)
			break;
	}
	t.stopped = journal_stop(j, e) == 0;
	buf_clear(&b);
	return t;
}

/*
 * Opened again: with the id of then, all that was promised is there, nothing
 * was refused, and nothing is there twice.  With another id a gap is behind
 * all.
 */
static void
judge_after(const struct told *t, const char *what, unsigned nth)
{
	struct journal *j;
	const char *got;
	bool fresh;
	size_t i;

	j = reopen(&fresh);
	got = list(j, 0);
	if (t->opened && memcmp(journal_id(j), t->id, sizeof(t->id)) == 0) {
		for (i = 0; i < 4; i++)
			if (!t->said[i])
				fail_msg("%s %u: refused, and no gap: %s", what,
					 nth, got);
		if (!t->stopped && fresh)
			fail_msg("%s %u: fresh", what, nth);
		if (strstr(got, ":p ") == NULL || strstr(got, ":q ") == NULL ||
		    strstr(got, ":r ") == NULL || strstr(got, ":s ") == NULL)
			fail_msg("%s %u: lost: %s", what, nth, got);
	} else if (t->opened && t->stopped && fresh) {
		fail_msg("%s %u: a clean stop was forgotten", what, nth);
	} else if (t->opened && strstr(got, "(gap)") == NULL) {
		fail_msg("%s %u: no gap: %s", what, nth, got);
	}
	must_say(j, "again");
	journal_abandon(j);
}

static void
any_call_may_fail(unsigned ops, const char *what, bool for_ever)
{
	uint8_t id[JOURNAL_ID_LEN];
	struct image m;
	struct told t;
	struct err e;
	unsigned n;
	bool hit = true;

	put_image(&(struct image){ .n = 0 });
	make_image(&m, true, id);
	for (n = 1; hit; n++) {
		put_image(&m);
		memset(&e, 0, sizeof(e));
		failing_install();
		if (ops != 0)
			failing_plan(ops, n, for_ever, EIO);
		else
			failing_plan_alloc(n, for_ever);
		t = live(&e);
		hit = failing_hits() > 0;
		failing_remove();
		if (!hit && (!t.stopped || !t.said[3]))
			fail_msg("%s: %s", what, e.text);
		if (hit && ops == FAIL_WRITE && t.stopped && t.said[0] &&
		    t.said[1] && t.said[2] && t.said[3])
			fail_msg("%s %u: a failed write went unnoticed", what,
				 n);
		judge_after(&t, what, n);
	}
	assert_true(n > 2);
}

static void
b3_any_call_may_fail_once(void **state)
{
	(void)state;
	any_call_may_fail(FAIL_WRITE, "write", false);
	any_call_may_fail(FAIL_SYNC, "sync", false);
	any_call_may_fail(FAIL_OPEN, "open", false);
	any_call_may_fail(FAIL_NAME, "name", false);
	any_call_may_fail(FAIL_READ, "read", false);
	any_call_may_fail(FAIL_STAT | FAIL_LIST | FAIL_RANDOM, "rest", false);
	any_call_may_fail(FAIL_CLOSE, "close", false);
}

static void
b3_any_call_may_be_the_last_that_works(void **state)
{
	(void)state;
	any_call_may_fail(FAIL_ALL, "all", true);
	any_call_may_fail(FAIL_WRITE | FAIL_SYNC, "disk", true);
}

static void
b3_any_allocation_may_fail(void **state)
{
	(void)state;
	any_call_may_fail(0, "memory", false);
	any_call_may_fail(0, "memory for ever", true);
}

static void
a_journal_that_failed_takes_and_gives_nothing(void **state)
{
	struct err e = { 0 };
	struct journal *j;
	bool fresh;

	(void)state;
	j = reopen(&fresh);
	must_say(j, "a");
	failing_install();
	failing_plan(FAIL_SYNC, 1, false, EIO);
	assert_int_equal(say(j, "b", &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	failing_remove();
	err_clear(&e);
	assert_int_equal(say(j, "c", &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	err_clear(&e);
	assert_int_equal(journal_read(j, 0, list_one, &note, &e), -1);
	assert_int_equal(journal_drop(j, 1, NULL), -1);
	assert_int_equal(journal_stop(j, NULL), -1);
	j = reopen(&fresh);
	assert_true(fresh);
	assert_true(strstr(list(j, 0), "(gap)") != NULL);
	stop(j);
}

/* --- power cuts --------------------------------------------------------------- */

/* What was promised behind so many calls. */
struct promise {
	size_t calls;
	bool stopped;
	char list[600];
	uint8_t id[JOURNAL_ID_LEN];
};
static struct promise promise[40];
static size_t promises;
static struct trace *trace;

static void
promised(struct journal *j, bool stopped)
{
	struct promise *p = &promise[promises++];

	assert_in_range(promises, 1, N_OF(promise) - 1);
	p->calls = trace_length(trace);
	p->stopped = stopped;
	if (j != NULL) {
		(void)snprintf(p->list, sizeof(p->list), "%s", list(j, 0));
		memcpy(p->id, journal_id(j), sizeof(p->id));
	} else {
		/* A stop is one more entry. */
		(void)snprintf(p->list, sizeof(p->list), "%s", p[-1].list);
		memcpy(p->id, p[-1].id, sizeof(p->id));
	}
}

static void
say_all(struct journal *j, const char *const *text, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		must_say(j, text[i]);
		promised(j, false);
	}
}

static void
tell_story(void)
{
	static const char *const text[] = { "a", "bb", "ccc", "dddd", "eeeee" };
	static char large[70000];
	struct journal *j;
	bool fresh;

	memset(large, 'x', 65000);
	j = reopen(&fresh);
	promised(j, false);
	say_all(j, text, 2);
	stop(j);
	promised(NULL, true);
	j = reopen(&fresh);
	say_all(j, text + 2, 2);
	journal_abandon(j);
	j = reopen(&fresh);
	promised(j, false);
	must_say(j, large); /* so that it can be dropped */
	assert_int_equal(journal_drop(j, journal_next(j), NULL), 0);
	promised(j, false);
	say_all(j, text + 4, 1);
	stop(j);
	promised(NULL, true);
}

/* Does `got` begin with `want`, after what was dropped of it? */
static bool
holds(const char *got, const char *want)
{
	return strncmp(got, want, strlen(want)) == 0;
}

static void
judge_cut(const struct trace_cut *cut)
{
	const struct promise *p = NULL;
	struct journal *j;
	const char *got;
	bool fresh;
	size_t i;

	for (i = 0; i < promises && promise[i].calls <= cut->calls; i++)
		p = &promise[i];
	j = reopen(&fresh);
	got = list(j, 0);
	/* A stop that is not promised yet may have come to be all the same. */
	if (p != NULL && !fresh &&
	    (memcmp(p->id, journal_id(j), JOURNAL_ID_LEN) != 0 ||
	     strcmp(got + strlen(got) - 6, "(stop)") != 0))
		fail_msg("behind %zu calls, %s, %s: taken for stopped: %s",
			 cut->calls, trace_names_text(cut->names),
			 trace_data_text(cut->data), got);
	/* While something is dropped, more or less of it is there. */
	if (p != NULL && !holds(got, p->list) &&
	    (p + 1 == promise + promises || p[1].calls == 0 ||
	     strstr(got, "xx") == NULL))
		fail_msg("behind %zu calls, %s, %s: lost: %.200s (of %.200s)",
			 cut->calls, trace_names_text(cut->names),
			 trace_data_text(cut->data), got, p->list);
	if (fresh && got[0] != '\0' &&
	    strcmp(got + strlen(got) - 5, "(gap)") != 0)
		fail_msg("behind %zu calls: no gap: %s", cut->calls, got);
	must_say(j, "on");
	journal_abandon(j);
}

static void
b1_whatever_a_power_cut_leaves_what_was_promised_is_there(void **state)
{
	struct trace_cut cut = { .seed = 1 };
	struct shot shot;
	size_t n;

	(void)state;
	assert_int_equal(close(dirfd_), 0);
	promises = 0;
	trace = trace_begin(scratch.path, NULL);
	dirfd_ = io_open_dir(AT_FDCWD, scratch.path, NULL);
	tell_story();
	trace_end(trace);
	n = trace_length(trace);
	assert_null(trace_early_name(trace));
	for (cut.calls = 0; cut.calls <= n; cut.calls++)
		for (cut.names = 0; cut.names < NAMES_MODES; cut.names++)
			for (cut.data = 0; cut.data < DATA_MODES; cut.data++) {
				cut.seed++;
				trace_state(trace, &cut, &shot);
				assert_int_equal(close(dirfd_), 0);
				shot_put(&shot, scratch.path);
				dirfd_ = open(scratch.path,
					      O_RDONLY | O_DIRECTORY |
						      O_CLOEXEC);
				shot_clear(&shot);
				judge_cut(&cut);
			}
	trace_free(trace);
	print_message("%zu calls\n", n);
}

/* --- facts ------------------------------------------------------------------ */

static void
b2_facts_are_equal_only_if_all_is_known_and_old_and_the_same(void **state)
{
	const struct facts a = { .known = true,
				 .has_btime = true,
				 .fs = "fs",
				 .ino = 1,
				 .size = 2,
				 .mtime = { 3, 4 },
				 .ctime = { 5, 6 },
				 .btime = { 7, 8 } };
	static const struct {
		const char *what;
		size_t at, len; /* of what differs */
		bool same_file;
	} t[] = {
#define PART(x, same)                                                          \
	{ #x, offsetof(struct facts, x), sizeof(((struct facts *)0)->x), same }
		PART(known, false),      PART(young, true),
		PART(has_btime, false),  PART(fs[0], false),
		PART(fs[2], false),      PART(ino, false),
		PART(size, true),        PART(mtime.sec, true),
		PART(mtime.nsec, true),  PART(ctime.sec, true),
		PART(ctime.nsec, true),  PART(btime.sec, false),
		PART(btime.nsec, false),
#undef PART
	};
	struct facts b;
	size_t i;

	(void)state;
	assert_true(facts_equal(&a, &a));
	assert_true(facts_same_file(&a, &a));
	for (i = 0; i < N_OF(t); i++) {
		b = a;
		*((uint8_t *)&b + t[i].at) ^= 1;
		if (facts_equal(&a, &b) || facts_equal(&b, &a) ||
		    facts_same_file(&a, &b) != t[i].same_file ||
		    facts_same_file(&b, &a) != t[i].same_file)
			fail_msg("%s", t[i].what);
	}
	b = a;
	b.young = true;
	assert_false(facts_equal(&b, &b));
	b.known = false;
	assert_false(facts_same_file(&b, &b));
}

/* --- lies ------------------------------------------------------------------- */

static void
entries_that_are_none_are_refused_before_memory_is_taken(void **state)
{
	static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, 0 };
	static const uint8_t lying[] = { 0, 0, 0, 0x0c, 1, 2, 3 };
	const struct {
		const uint8_t *p;
		size_t len;
	} t[] = { { huge, 5 }, { lying, 7 }, { lying, 2 } };
	struct journal_reader *r;
	struct journal_entry en;
	struct err e;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		scratch_write(scratch_at(&scratch, "f"), t[i].p, t[i].len);
		fd = open(scratch_at(&scratch, "f"), O_RDONLY | O_CLOEXEC);
		assert_int_equal(journal_reader_new(fd, 0, t[i].len, &r, NULL),
				 0);
		memset(&e, 0, sizeof(e));
		asked = 0;
		mem_fail(count_memory);
		assert_int_equal(journal_reader_next(r, &en, &e), -1);
		mem_fail(NULL);
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_true(asked < 1000000);
		journal_reader_free(r);
		assert_int_equal(close(fd), 0);
	}
}

static void
an_entry_with_a_text_that_would_not_come_back_is_refused(void **state)
{
	static char text[70000];
	struct journal_entry en = { .kind = JOURNAL_STATEMENT };
	struct buf b = { 0 };

	(void)state;
	en.text = "a\0b";
	en.text_len = 3;
	assert_int_equal(journal_encode(&en, &b, NULL), -1);
	assert_int_equal(b.len, 0);
	memset(text, 'x', sizeof(text));
	en.text = text;
	en.text_len = sizeof(text);
	assert_int_equal(journal_encode(&en, &b, NULL), -1);
	buf_clear(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(entries_come_back_as_they_were),
		TEST(b1_numbers_rise_by_one_and_nothing_is_consumed),
		TEST(b1_an_entry_is_synced_before_append_returns),
		TEST(b3_after_a_clean_stop_id_and_numbers_go_on_without_a_gap),
		TEST(b3_after_another_stop_there_is_a_gap_of_all_and_a_new_id),
		TEST(b1_dropping_all_keeps_id_and_numbers),
		TEST(b1_a_dropped_journal_that_is_abandoned_goes_on_counting),
		TEST(b3_a_gap_behind_one_as_wide_takes_no_room),
		TEST(b3_a_gap_for_another_reason_is_said),
		TEST(b3_a_gap_is_said_again_behind_a_cut_or_an_entry),
		TEST(b1_a_view_shows_what_there_was_when_it_was_made),
		TEST(b1_others_may_read_while_it_is_appended_to),
		TEST(e4_the_quota_is_kept_and_leaves_one_gap),
		TEST(c5_statements_are_discarded_though_the_quota_is_used_up),
		TEST(e4_no_clean_stop_while_a_gap_is_owed),
		TEST(e4_an_entry_longer_than_any_may_be_is_refused_with_a_gap),
		TEST(e3_a_million_ranges_are_in_memory_once),
		TEST(b3_a_file_that_is_cut_at_any_byte_leaves_a_gap),
		TEST(b3_a_torn_end_loses_that_entry_only),
		TEST(b3_any_bit_of_any_file_may_turn_around),
		TEST(b1_a_segment_that_is_missing_makes_it_another_journal),
		TEST(what_a_crash_left_half_made_goes_and_what_is_not_the_journals_stays),
		TEST(a_newer_programs_journal_is_left_alone),
		TEST(b3_any_call_may_fail_once),
		TEST(b3_any_call_may_be_the_last_that_works),
		TEST(b3_any_allocation_may_fail),
		TEST(b1_a_journal_that_is_half_taken_away_is_not_gone_on_with),
		TEST(a_journal_that_failed_takes_and_gives_nothing),
		TEST(b1_whatever_a_power_cut_leaves_what_was_promised_is_there),
		TEST(b2_facts_are_equal_only_if_all_is_known_and_old_and_the_same),
		TEST(entries_that_are_none_are_refused_before_memory_is_taken),
		TEST(an_entry_with_a_text_that_would_not_come_back_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
