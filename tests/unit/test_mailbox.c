#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/mailbox.h"

#include "base/err.h"
#include "src/writer/refuse.h"
#include "tests/lib/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define S UINT64_C(1000000000)

static struct mailbox m;
static uint64_t ids;

static int
set_up(void **state)
{
	(void)state;
	ids = 0;
	m = (struct mailbox){ .reader = true };
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	mailbox_clear(&m);
	return 0;
}

static void
post(enum event ev, const char *rest, uint64_t now, uint64_t deadline,
     uint64_t window)
{
	struct err e = { 0 };

	if (mailbox_post(&m, ev, rest, &ids, now, deadline, window, &e) < 0)
		fail_msg("%s", e.text);
}

/* What is taken, as a string. */
static const char *
take(uint64_t now, size_t cap)
{
	static char text[4096];
	size_t n = mailbox_take(&m, now, text, cap);

	text[n] = '\0';
	return text;
}

/* 0, or the errno that the answer is refused with. */
static int
answer(const char *line, uint64_t now)
{
	struct err e = { 0 };

	if (mailbox_answer(&m, line, strlen(line), now, &e) == 0)
		return 0;
	assert_int_equal(e.kind, ERR_USAGE);
	return refuse_errno(&e);
}

/* --- to the writer ------------------------------------------------------- */

static void
an_event_is_a_line_with_what_is_left_of_its_time(void **state)
{
	(void)state;
	post(EVENT_IDENTIFY, "session=ab", 1 * S, 11 * S, 0);
	assert_true(mailbox_has(&m));
	assert_string_equal(take(3 * S, 4000),
			    "identify 1 session=ab left=8000\n");
	assert_false(mailbox_has(&m));
	assert_string_equal(take(3 * S, 4000), "");
	assert_int_equal(m.state, MAIL_DELIVERED);
}

static void
an_event_without_more_words_has_its_id_only(void **state)
{
	(void)state;
	post(EVENT_THAW, "", 0, 10 * S, 0);
	assert_string_equal(take(0, 4000), "thaw 1 left=10000\n");
}

static void
c4_a_short_read_keeps_the_rest(void **state)
{
	struct buf all = { 0 };
	size_t i;

	(void)state;
	post(EVENT_FREEZE, "level=system", 0, 10 * S, 0);
	for (i = 0; i < 100 && mailbox_has(&m); i++)
		buf_add_str(&all, take(0, 3));
	assert_string_equal(buf_str(&all), "freeze 1 level=system left=10000\n");
	buf_clear(&all);
}

static void
c4_a_line_that_was_begun_is_ended_before_the_next(void **state)
{
	(void)state;
	post(EVENT_FREEZE, NULL, 0, 10 * S, 0);
	assert_string_equal(take(0, 3), "fre");
	post(EVENT_ABORT, NULL, 0, 10 * S, 0);
	assert_string_equal(take(0, 4000),
			    "eze 1 left=10000\nabort 2 left=10000\n");
}

static void
c4_whole_lines_are_given_as_far_as_they_fit(void **state)
{
	(void)state;
	post(EVENT_FREEZE, NULL, 0, 10 * S, 0);
	assert_string_equal(take(0, 3), "fre");
	post(EVENT_ABORT, NULL, 0, 10 * S, 0);
	assert_string_equal(take(0, 20), "eze 1 left=10000\n");
	assert_string_equal(take(0, 4000), "abort 2 left=10000\n");
}

static void
an_event_that_nobody_took_is_forgotten_with_the_next(void **state)
{
	(void)state;
	post(EVENT_FREEZE, NULL, 0, 10 * S, 0);
	post(EVENT_THAW, NULL, 0, 10 * S, 0);
	assert_string_equal(take(0, 4000), "thaw 2 left=10000\n");
}

static void
an_event_whose_time_is_over_is_not_delivered(void **state)
{
	(void)state;
	post(EVENT_FREEZE, NULL, 0, 10 * S, 0);
	assert_string_equal(take(10 * S, 4000), "");
	assert_int_equal(m.state, MAIL_EXPIRED);
	assert_false(mailbox_has(&m));
}

static void
d3_a_window_runs_from_delivery(void **state)
{
	(void)state;
	post(EVENT_FREEZE, NULL, 0, 120 * S, 60 * S);
	assert_string_equal(take(50 * S, 4000), "freeze 1 left=60000\n");
	assert_int_equal(m.delivered_ns, 50 * S);
	mailbox_tick(&m, 110 * S - 1);
	assert_int_equal(m.state, MAIL_DELIVERED);
	mailbox_tick(&m, 110 * S);
	assert_int_equal(m.state, MAIL_EXPIRED);
}

static void
a_window_does_not_outlast_the_deadline(void **state)
{
	(void)state;
	post(EVENT_FREEZE, NULL, 0, 70 * S, 60 * S);
	assert_string_equal(take(50 * S, 4000), "freeze 1 left=20000\n");
}

static void
c4_an_event_whose_reader_goes_is_delivered_once_more_in_the_same_window(
	void **state)
{
	(void)state;
	post(EVENT_FREEZE, NULL, 0, 120 * S, 60 * S);
	assert_string_equal(take(10 * S, 4000), "freeze 1 left=60000\n");
	mailbox_reader_gone(&m);
	assert_false(m.reader);
	m.reader = true;
	assert_string_equal(take(30 * S, 4000), "freeze 1 left=40000\n");
	assert_int_equal(m.delivered_ns, 10 * S);
	/* And not a third time. */
	mailbox_reader_gone(&m);
	assert_string_equal(take(31 * S, 4000), "");
	mailbox_tick(&m, 70 * S);
	assert_int_equal(m.state, MAIL_EXPIRED);
}

static void
c4_a_new_reader_begins_with_a_whole_line(void **state)
{
	(void)state;
	post(EVENT_FREEZE, NULL, 0, 10 * S, 0);
	assert_string_equal(take(0, 3), "fre");
	mailbox_reader_gone(&m);
	assert_string_equal(take(0, 4000), "freeze 1 left=10000\n");
}

static void
c4_what_was_answered_is_not_delivered_again(void **state)
{
	(void)state;
	post(EVENT_FREEZE, NULL, 0, 10 * S, 0);
	(void)take(0, 4000);
	assert_int_equal(answer("ok 1", 1), 0);
	mailbox_reader_gone(&m);
	assert_false(mailbox_has(&m));
}

/* --- from the writer ----------------------------------------------------- */

static void
c5_answers_are_taken_from_the_one_who_was_asked(void **state)
{
	(void)state;
	post(EVENT_IDENTIFY, NULL, 0, 10 * S, 0);
	assert_int_equal(answer("ok 1", 0), EINVAL); /* not delivered */
	(void)take(0, 4000);
	assert_int_equal(answer("ok 2", 0), EINVAL); /* there is none */
	assert_int_equal(answer("ok 0", 0), EINVAL);
	assert_int_equal(answer("ok 1", 0), 0);
	assert_int_equal(m.state, MAIL_ANSWERED);
	assert_int_equal(m.failure, FAILURE_NONE);
	assert_int_equal(answer("ok 1", 0), EALREADY);
	assert_int_equal(answer("fail 1 fatal", 0), EALREADY);
}

static void
c5_a_late_answer_is_stale(void **state)
{
	(void)state;
	post(EVENT_IDENTIFY, NULL, 0, 10 * S, 0);
	(void)take(0, 4000);
	assert_int_equal(answer("ok 1", 10 * S), ESTALE);
	assert_int_equal(m.state, MAIL_EXPIRED);
}

static void
c5_an_answer_to_an_earlier_event_is_stale(void **state)
{
	(void)state;
	post(EVENT_IDENTIFY, NULL, 0, 10 * S, 0);
	(void)take(0, 4000);
	post(EVENT_FREEZE, NULL, 0, 10 * S, 0);
	(void)take(0, 4000);
	assert_int_equal(answer("ok 1", 0), ESTALE);
	assert_int_equal(m.state, MAIL_DELIVERED);
}

static void
c5_an_answer_may_come_while_the_event_waits_for_its_second_delivery(
	void **state)
{
	(void)state;
	post(EVENT_IDENTIFY, NULL, 0, 10 * S, 0);
	(void)take(0, 4000);
	mailbox_reader_gone(&m);
	assert_int_equal(answer("ok 1", 0), 0);
	assert_false(mailbox_has(&m));
}

static void
c5_a_failure_has_a_kind_and_a_text(void **state)
{
	static const struct {
		const char *line;
		enum failure failure;
		const char *text;
	} rows[] = {
		{ "fail 1 retryable", FAILURE_RETRYABLE, "" },
		{ "fail 1 fatal \"no such disk\"", FAILURE_FATAL,
		  "no such disk" },
		{ "  fail 1 inconsistent word\r", FAILURE_INCONSISTENT,
		  "word" },
		{ "fail 0x1 resources \"\"", FAILURE_RESOURCES, "" },
		{ "fail 1 timeout \"a\\nb\"", FAILURE_TIMEOUT, "a\nb" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ids = 0;
		post(EVENT_IDENTIFY, NULL, 0, 10 * S, 0);
		(void)take(0, 4000);
		assert_int_equal(answer(rows[i].line, 0), 0);
		assert_int_equal(m.failure, rows[i].failure);
		assert_string_equal(buf_str(&m.text), rows[i].text);
		mailbox_clear(&m);
	}
}

static void
c5_what_is_no_answer_is_refused_and_changes_nothing(void **state)
{
	static const char *const rows[] = {
		"",	       "ok",
		"OK 1",	       "ok one",
		"ok 1 2",      "ok -1",
		"fail 1",      "fail 1 bad",
		"fail 1 none", "fail 1 fatal two words",
		"# ok 1",      "ok 1 \"",
	};
	size_t i;

	(void)state;
	post(EVENT_IDENTIFY, NULL, 0, 10 * S, 0);
	(void)take(0, 4000);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (answer(rows[i], 0) != EINVAL)
			fail_msg("\"%s\" was taken", rows[i]);
	}
	assert_int_equal(m.state, MAIL_DELIVERED);
}

static void
a_long_text_is_cut(void **state)
{
	char line[9000];
	int n;

	(void)state;
	post(EVENT_IDENTIFY, NULL, 0, 10 * S, 0);
	(void)take(0, 4000);
	n = snprintf(line, sizeof(line), "fail 1 fatal %08000d", 0);
	assert_true(n > 8000);
	assert_int_equal(answer(line, 0), 0);
	assert_int_equal(m.text.len, 4096);
}

/* --- the end ------------------------------------------------------------- */

static void
a_writer_that_is_gone_owes_no_answer_and_gives_none(void **state)
{
	(void)state;
	post(EVENT_IDENTIFY, NULL, 0, 10 * S, 0);
	(void)take(0, 4000);
	mailbox_gone(&m);
	assert_int_equal(m.state, MAIL_GONE);
	assert_false(mailbox_has(&m));
	assert_int_equal(answer("ok 1", 0), ESTALE);
}

static void
what_was_answered_stays_answered_when_the_writer_goes(void **state)
{
	(void)state;
	post(EVENT_IDENTIFY, NULL, 0, 10 * S, 0);
	(void)take(0, 4000);
	assert_int_equal(answer("ok 1", 0), 0);
	mailbox_gone(&m);
	assert_int_equal(m.state, MAIL_ANSWERED);
}

static void
every_event_and_every_failure_has_a_name(void **state)
{
	int i;

	(void)state;
	for (i = EVENT_IDENTIFY; i <= EVENT_POST_RESTORE; i++)
		assert_string_not_equal(event_name((enum event)i), "none");
	for (i = FAILURE_RETRYABLE; i <= FAILURE_TIMEOUT; i++)
		assert_int_equal(failure_parse(failure_name((enum failure)i)),
				 i);
	assert_int_equal(failure_parse("none"), FAILURE_NONE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_event_is_a_line_with_what_is_left_of_its_time),
		T(an_event_without_more_words_has_its_id_only),
		T(c4_a_short_read_keeps_the_rest),
		T(c4_a_line_that_was_begun_is_ended_before_the_next),
		T(c4_whole_lines_are_given_as_far_as_they_fit),
		T(an_event_that_nobody_took_is_forgotten_with_the_next),
		T(an_event_whose_time_is_over_is_not_delivered),
		T(d3_a_window_runs_from_delivery),
		T(a_window_does_not_outlast_the_deadline),
		T(c4_an_event_whose_reader_goes_is_delivered_once_more_in_the_same_window),
		T(c4_a_new_reader_begins_with_a_whole_line),
		T(c4_what_was_answered_is_not_delivered_again),
		T(c5_answers_are_taken_from_the_one_who_was_asked),
		T(c5_a_late_answer_is_stale),
		T(c5_an_answer_to_an_earlier_event_is_stale),
		T(c5_an_answer_may_come_while_the_event_waits_for_its_second_delivery),
		T(c5_a_failure_has_a_kind_and_a_text),
		T(c5_what_is_no_answer_is_refused_and_changes_nothing),
		T(a_long_text_is_cut),
		T(a_writer_that_is_gone_owes_no_answer_and_gives_none),
		T(what_was_answered_stays_answered_when_the_writer_goes),
		T(every_event_and_every_failure_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
