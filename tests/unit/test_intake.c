/*
 * What write(2) returns, and what is taken: row by row.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/intake.h"

#include "base/buf.h"
#include "base/err.h"
#include "src/writer/grammar.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define A    "gap a\n"
#define B    "gap b\n"
#define BAD  "gap no\n"   /* ENOENT */
#define FULL "gap full\n" /* EDQUOT when it is accepted */

struct talk {
	struct intake_sink sink;
	struct intake in;
	struct buf accepted; /* "a b|c": groups */
	struct buf gaps;     /* "component path;" of each refusal */
	struct buf why;      /* of the last */
};

static int
check(void *ctx, struct statement *s, struct err *e)
{
	(void)ctx;
	if (strcmp(s->component, "no") == 0)
		return refuse_set(e, ENOENT, "no such component");
	return 0;
}

static int
accept_all(void *ctx, struct statement *const *s, size_t n, struct err *e)
{
	struct talk *t = ctx;
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(s[i]->component, "full") == 0)
			return refuse_set(e, EDQUOT, "no room");
	for (i = 0; i < n; i++)
		buf_printf(&t->accepted, "%s%s", i > 0 ? " " : "",
			   s[i]->component);
	buf_add_char(&t->accepted, '|');
	return 0;
}

static void
refused(void *ctx, const struct statement *s, const void *line, size_t len,
	const struct err *why)
{
	struct talk *t = ctx;
	const char *component;
	const char *path;

	(void)line;
	(void)len;
	statement_gap(s, &component, &path);
	buf_printf(&t->gaps, "%s %s;", component != NULL ? component : "*",
		   path != NULL ? path : "*");
	buf_reset(&t->why);
	buf_add_str(&t->why, why->text);
}

static void
begin(struct talk *t)
{
	memset(t, 0, sizeof(*t));
	t->sink = (struct intake_sink){
		.check = check,
		.accept = accept_all,
		.refused = refused,
		.ctx = t,
	};
	t->in.sink = &t->sink;
}

static void
end(struct talk *t)
{
	intake_close(&t->in);
	buf_clear(&t->accepted);
	buf_clear(&t->gaps);
	buf_clear(&t->why);
}

static ssize_t
put(struct talk *t, const char *s)
{
	return intake_write(&t->in, s, strlen(s), 1);
}

/* Up to three writes, what each returns, and what came of all of them. */
struct row {
	const char *write[3];
	ssize_t want[3];
	const char *accepted, *gaps; /* before the file is closed */
	const char *closed;          /* gaps more when it is */
};

static void
run(const struct row *r, size_t n)
{
	struct talk t;
	size_t i;
	size_t k;

	for (i = 0; i < n; i++) {
		begin(&t);
		for (k = 0; k < 3 && r[i].write[k] != NULL; k++)
			if (put(&t, r[i].write[k]) != r[i].want[k])
				fail_msg("row %zu, write %zu: %s", i, k,
					 r[i].write[k]);
		if (strcmp(buf_str(&t.accepted), r[i].accepted) != 0)
			fail_msg("row %zu accepted %s", i,
				 buf_str(&t.accepted));
		if (strcmp(buf_str(&t.gaps), r[i].gaps) != 0)
			fail_msg("row %zu gaps %s", i, buf_str(&t.gaps));
		buf_reset(&t.gaps);
		intake_close(&t.in);
		if (strcmp(buf_str(&t.gaps),
			   r[i].closed != NULL ? r[i].closed : "") != 0)
			fail_msg("row %zu closed %s", i, buf_str(&t.gaps));
		end(&t);
	}
}
#define RUN(rows) run(rows, sizeof(rows) / sizeof((rows)[0]))

static void
c2_the_lines_of_a_write_are_taken_together(void **state)
{
	static const struct row rows[] = {
		{ { A }, { 6 }, "a|", "", NULL },
		{ { A B }, { 12 }, "a b|", "", NULL },
		{ { A B "# c\n" A }, { 22 }, "a b a|", "", NULL },
		/* Not with those of a transaction. */
		{ { A B "begin\n" A B "commit\n" A B "begin\nabort\n" A },
		  { 67 },
		  "a b|a b|a b|a|",
		  "",
		  NULL },
		{ { A, B }, { 6, 6 }, "a|b|", "", NULL },
		{ { "\n# c\n  \n" A }, { 14 }, "a|", "", NULL },
		{ { "gap a\r\n" }, { 7 }, "a|", "", NULL },
		{ { "" }, { 0 }, "", "", NULL },
	};

	(void)state;
	RUN(rows);
}

static void
c2_an_unfinished_line_is_taken_and_waits_for_its_newline(void **state)
{
	static const struct row rows[] = {
		{ { "ga", "p ", "a\n" }, { 2, 2, 2 }, "a|", "", NULL },
		{ { A "gap", " b\n" }, { 9, 3 }, "a|b|", "", NULL },
		{ { "gap a", "\n" B }, { 5, 7 }, "a b|", "", NULL },
		{ { "gap a", "\n" B "gap", " b\n" },
		  { 5, 10, 3 },
		  "a b|b|",
		  "",
		  NULL },
	};

	(void)state;
	RUN(rows);
}

static void
c2_a_refused_line_stops_the_count_in_front_of_it(void **state)
{
	static const struct row rows[] = {
		{ { A BAD B }, { 6 }, "a|", "no *;", NULL },
		{ { A BAD B, BAD B }, { 6, -ENOENT }, "a|", "no *;", NULL },
		{ { A "what\n" }, { 6 }, "a|", "* *;", NULL },
		{ { "# c\n" BAD }, { 4 }, "", "no *;", NULL },
		{ { A FULL }, { 6 }, "a|", "full *;", NULL },
		{ { A FULL, FULL }, { 6, -EDQUOT }, "a|", "full *;", NULL },
		{ { A B BAD A }, { 12 }, "a b|", "no *;", NULL },
		/* What cannot be taken together is tried by itself. */
		{ { A FULL B }, { 6 }, "a|", "full *;", NULL },
		{ { A B FULL "gap" }, { 12 }, "a|b|", "full *;", NULL },
		/* The first that is refused, not the first that was noticed. */
		{ { A FULL BAD }, { 6 }, "a|", "full *;", NULL },
		{ { FULL BAD }, { -EDQUOT }, "", "full *;", NULL },
		{ { A FULL "begin\n" B "commit\n" },
		  { 6 },
		  "a|",
		  "full *;",
		  NULL },
		/* Judged anew when it comes again. */
		{ { A BAD, B, BAD },
		  { 6, 6, -ENOENT },
		  "a|b|",
		  "no *;no *;",
		  NULL },
	};

	(void)state;
	RUN(rows);
}

static void
c2_if_it_is_the_first_the_write_fails_and_nothing_is_taken(void **state)
{
	static const struct row rows[] = {
		{ { BAD A }, { -ENOENT }, "", "no *;", NULL },
		{ { "what\n" }, { -EINVAL }, "", "* *;", NULL },
		{ { FULL }, { -EDQUOT }, "", "full *;", NULL },
		{ { BAD, A }, { -ENOENT, 6 }, "a|", "no *;", NULL },
		{ { "gap a x\n" }, { -EINVAL }, "", "a *;", NULL },
		{ { "attach a /x\n" }, { -EINVAL }, "", "a /x;", NULL },
	};

	(void)state;
	RUN(rows);
}

static void
c2_a_refused_line_with_its_head_in_an_earlier_write_breaks_the_handle(
	void **state)
{
	static const struct row rows[] = {
		{ { "gap", " no\n", A },
		  { 3, -ENOENT, -ENOENT },
		  "",
		  "no *;",
		  NULL },
		{ { A "gap n", "o\n", A },
		  { 11, -ENOENT, -ENOENT },
		  "a|",
		  "no *;",
		  NULL },
		/* Not the one whose head came earlier. */
		{ { "gap", " a\n" BAD, A },
		  { 3, 3, 6 },
		  "a|a|",
		  "no *;",
		  NULL },
	};

	(void)state;
	RUN(rows);
}

static void
c2_between_begin_and_commit_all_or_none(void **state)
{
	static const struct row rows[] = {
		{ { "begin\n" A B "commit\n" }, { 25 }, "a b|", "", NULL },
		{ { "begin\n", A B, "commit\n" },
		  { 6, 12, 7 },
		  "a b|",
		  "",
		  NULL },
		{ { "begin\ncommit\n" A }, { 19 }, "a|", "", NULL },
		{ { "begin\n" A "abort\n" B }, { 24 }, "b|", "", NULL },
		/* Any refusal fails it; commit is EINVAL; then it is over. */
		{ { "begin\n" A BAD, B "commit\n", "commit\n" },
		  { 12, 6, -EINVAL },
		  "",
		  "no *;* *;",
		  NULL },
		{ { "begin\n" BAD, "commit\n" A, A },
		  { 6, -EINVAL, 6 },
		  "a|",
		  "no *;",
		  NULL },
		{ { "begin\n" FULL A, "commit\n" B, B },
		  { 21, -EDQUOT, 6 },
		  "b|",
		  "* *;",
		  NULL },
		{ { "begin\n" A "begin\n", "commit\n", "commit\n" },
		  { 12, -EINVAL, -EINVAL },
		  "",
		  "* *;a *;* *;",
		  NULL },
		{ { "commit\n" }, { -EINVAL }, "", "* *;", NULL },
		{ { "abort\n" }, { -EINVAL }, "", "* *;", NULL },
	};

	(void)state;
	RUN(rows);
}

static void
c2_a_commit_that_is_refused_behind_other_lines_is_told_once(void **state)
{
	static const struct row rows[] = {
		{ { "begin\n" FULL "commit\n", "commit\n", A },
		  { 15, -EDQUOT, 6 },
		  "a|",
		  "full *;",
		  NULL },
	};

	(void)state;
	RUN(rows);
}

static void
c2_a_lost_transaction_leaves_one_gap_as_wide_as_its_lines(void **state)
{
	static const struct row rows[] = {
		{ { "begin\ngap a /x\n" }, { 15 }, "", "", "a /x;" },
		{ { "begin\ngap a /x\ngap a /x\n" }, { 24 }, "", "", "a /x;" },
		{ { "begin\ngap a /x\ngap a /y\n" }, { 24 }, "", "", "a *;" },
		{ { "begin\ngap a /x\n" B }, { 21 }, "", "", "* *;" },
		{ { "begin\n" }, { 6 }, "", "", NULL },
	};

	(void)state;
	RUN(rows);
}

static void
c2_an_unfinished_line_at_close_is_a_refusal(void **state)
{
	static const struct row rows[] = {
		{ { "gap a" }, { 5 }, "", "", "a *;" },
		{ { A "partial-file a /x" }, { 23 }, "a|", "", "a /x;" },
		{ { "gap", " no\n" }, { 3, -ENOENT }, "", "no *;", NULL },
		{ { "begin\n" A "gap b /x" }, { 20 }, "", "", "b /x;a *;" },
	};

	(void)state;
	RUN(rows);
}

static void
c3_a_transaction_idle_for_ten_minutes_is_aborted(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	assert_int_equal(put(&t, "begin\n" A), 12);
	intake_tick(&t.in, INTAKE_IDLE_NS);
	assert_string_equal(buf_str(&t.gaps), "");
	intake_tick(&t.in, INTAKE_IDLE_NS + 1);
	assert_string_equal(buf_str(&t.gaps), "a *;");
	intake_tick(&t.in, 3 * INTAKE_IDLE_NS);
	assert_string_equal(buf_str(&t.gaps), "a *;");
	/* What comes now still belongs to it, and counts no more. */
	assert_int_equal(intake_write(&t.in, B, 6, 3 * INTAKE_IDLE_NS), 6);
	assert_int_equal(intake_write(&t.in, "commit\n", 7, 3 * INTAKE_IDLE_NS),
			 -EINVAL);
	assert_string_equal(buf_str(&t.accepted), "");
	assert_int_equal(intake_write(&t.in, B, 6, 3 * INTAKE_IDLE_NS), 6);
	assert_string_equal(buf_str(&t.accepted), "b|");
	end(&t);
}

/* `head` and as many blanks as make it `len` bytes, and `tail`. */
static char *
long_line(const char *head, size_t len, const char *tail)
{
	size_t n = strlen(head);
	char *s = malloc(len + strlen(tail) + 1);

	assert_non_null(s);
	memset(s, ' ', len);
	memcpy(s, head, n);
	memcpy(s + len, tail, strlen(tail) + 1);
	return s;
}

static void
c2_lines_over_64_kib_are_refused_without_keeping_them(void **state)
{
	static const struct {
		size_t len;
		const char *tail;
		ssize_t want;
	} t[] = {
		{ GRAMMAR_LINE_MAX, "\n", GRAMMAR_LINE_MAX + 1 },
		{ GRAMMAR_LINE_MAX, "\r\n", GRAMMAR_LINE_MAX + 2 },
		{ GRAMMAR_LINE_MAX + 1, "\n", -EMSGSIZE },
		{ GRAMMAR_LINE_MAX + 2, "", -EMSGSIZE },
		{ 1 << 20, "\n", -EMSGSIZE },
		{ 1 << 20, "", -EMSGSIZE },
	};
	struct talk k;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char *s = long_line("attach a /x from=/y", t[i].len, t[i].tail);

		begin(&k);
		assert_int_equal(put(&k, s), t[i].want);
		assert_int_equal(k.in.part.len, 0);
		/* What it is about was still to be seen. */
		if (t[i].want < 0)
			assert_string_equal(buf_str(&k.gaps), "a /x;");
		/* The handle is not to blame for what came in one write. */
		assert_int_equal(put(&k, A), 6);
		end(&k);
		free(s);
	}
}

static void
c2_a_long_line_in_pieces_breaks_the_handle(void **state)
{
	char *piece = long_line("gap a", 1000, "");
	struct talk t;
	size_t n = 0;
	ssize_t got;

	(void)state;
	begin(&t);
	while ((got = put(&t, piece)) == 1000) {
		memset(piece, ' ', 1000);
		n += 1000;
		assert_true(t.in.part.cap <= 4 * GRAMMAR_LINE_MAX);
	}
	assert_int_equal(got, -EMSGSIZE);
	assert_int_equal(n, 65000);
	assert_int_equal(put(&t, A), -EMSGSIZE);
	assert_int_equal(t.in.part.cap, 0);
	assert_string_equal(buf_str(&t.gaps), "a *;");
	free(piece);
	end(&t);
}

static void
c9_a_line_of_nothing_but_quotes_is_refused(void **state)
{
	static char quotes[GRAMMAR_LINE_MAX + 2];
	struct talk t;

	(void)state;
	memset(quotes, '"', GRAMMAR_LINE_MAX);
	quotes[GRAMMAR_LINE_MAX] = '\n';
	begin(&t);
	assert_int_equal(put(&t, quotes), -EINVAL);
	assert_string_equal(buf_str(&t.gaps), "* *;");
	end(&t);
}

static void
e4_transactions_have_an_end(void **state)
{
	struct talk t;
	size_t i;
	ssize_t got = 6;

	(void)state;
	begin(&t);
	assert_int_equal(put(&t, "begin\n"), 6);
	for (i = 0; got == 6; i++)
		got = put(&t, A);
	assert_int_equal(got, -EDQUOT);
	assert_int_equal(i, INTAKE_LINES_MAX + 1);
	assert_int_equal(put(&t, "commit\n"), -EINVAL);
	assert_string_equal(buf_str(&t.accepted), "");
	assert_string_equal(buf_str(&t.gaps), "a *;a *;");
	end(&t);

	begin(&t);
	assert_int_equal(put(&t, "begin\n"), 6);
	for (i = 0, got = 1; got > 0; i++) {
		char *s = long_line("gap a", GRAMMAR_LINE_MAX, "\n");

		got = put(&t, s);
		free(s);
	}
	assert_int_equal(got, -EDQUOT);
	assert_int_equal(i, INTAKE_TRANSACTION_MAX / GRAMMAR_LINE_MAX + 1);
	end(&t);
}

/* Wherever memory ends: a write fails, nothing is half taken, nothing leaks. */
static void
no_memory_is_a_refusal_with_a_gap(void **state)
{
	static const char said[] = "begin\n" A B "commit\ngap c /x\n";
	struct talk t;
	unsigned nth;
	bool failed = true;

	(void)state;
	for (nth = 1; failed; nth++) {
		size_t done = 0;
		ssize_t got = 1;

		begin(&t);
		/* The test's own buffers have room. */
		assert_true(buf_reserve(&t.accepted, 1000));
		assert_true(buf_reserve(&t.gaps, 1000));
		assert_true(buf_reserve(&t.why, 1000));
		failing_plan_alloc(nth, false);
		while (done < sizeof(said) - 1 && got > 0) {
			got = intake_write(
				&t.in, said + done,
				done == 0 ? 8 : sizeof(said) - 1 - done, 1);
			done += got > 0 ? (size_t)got : 0;
		}
		failed = failing_hits() > 0;
		failing_off();
		if (failed) {
			if (got > 0)
				assert_string_equal(buf_str(&t.accepted),
						    "a b|c|");
			else
				/* The transaction failed, or this line. */
				assert_true(got == -ENOMEM || got == -EINVAL);
			if (got < 0)
				assert_true(t.gaps.len > 0);
		} else {
			assert_string_equal(buf_str(&t.accepted), "a b|c|");
		}
		end(&t);
		assert_true(nth < 200);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(c2_the_lines_of_a_write_are_taken_together),
		cmocka_unit_test(
			c2_an_unfinished_line_is_taken_and_waits_for_its_newline),
		cmocka_unit_test(
			c2_a_refused_line_stops_the_count_in_front_of_it),
		cmocka_unit_test(
			c2_if_it_is_the_first_the_write_fails_and_nothing_is_taken),
		cmocka_unit_test(
			c2_a_refused_line_with_its_head_in_an_earlier_write_breaks_the_handle),
		cmocka_unit_test(c2_between_begin_and_commit_all_or_none),
		cmocka_unit_test(
			c2_a_commit_that_is_refused_behind_other_lines_is_told_once),
		cmocka_unit_test(
			c2_a_lost_transaction_leaves_one_gap_as_wide_as_its_lines),
		cmocka_unit_test(c2_an_unfinished_line_at_close_is_a_refusal),
		cmocka_unit_test(
			c3_a_transaction_idle_for_ten_minutes_is_aborted),
		cmocka_unit_test(
			c2_lines_over_64_kib_are_refused_without_keeping_them),
		cmocka_unit_test(c2_a_long_line_in_pieces_breaks_the_handle),
		cmocka_unit_test(c9_a_line_of_nothing_but_quotes_is_refused),
		cmocka_unit_test(e4_transactions_have_an_end),
		cmocka_unit_test(no_memory_is_a_refusal_with_a_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
