/*
 * What declarations say together, case by case.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/reduce.h"

#include "base/buf.h"
#include "base/err.h"
#include "src/writer/refuse.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/reduce_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- cases ------------------------------------------------------------------ */

enum {
	WINDOW = 1,  /* in our session's window */
	FOREIGN = 2, /* in another session's window */
	BASES = 4,   /* in the window of the session that made the base */
	YOUNG = 8,
	FILE_2 = 16, /* another inode */
};

/* One entry: S text, facts; G "component path", D event. */
struct step {
	char kind;
	const char *text;
	int facts;
	int flags;
	unsigned event;
};

#define STEPS 6
struct expect {
	const char *name;
	struct step step[STEPS];
	/*
	 * Of /db/f when its facts are 9: "no", "sure RANGES", "if RANGES" (it
	 * is what it was), "not RANGES" (it is not), or "-": not there.
	 */
	const char *want;
	bool gap;
};

#define OPEN(r)   "partial-file db /db/f " r
#define CLOSED(r) "partial-file db /db/f " r " since=stamp"
#define BY_ID(r)                                                               \
	"partial-file db /db/f " r " since=@01000000000000000000000000000000"
#define OLD(r) "partial-file db /db/f " r " since=older"

static struct journal_entry
entry_of(const struct step *s, char copy[300], uint64_t seq)
{
	struct journal_entry en = { .seq = seq, .event = s->event };
	char *blank;

	en.facts = facts_of(s->facts);
	en.facts.young = (s->flags & YOUNG) != 0;
	if ((s->flags & FILE_2) != 0)
		en.facts.ino = 11;
	en.window = (s->flags & (WINDOW | FOREIGN | BASES)) != 0;
	en.session[0] = (s->flags & FOREIGN) != 0    ? 4
			: (s->flags & BASES) != 0    ? 7
			: en.window || s->event != 0 ? 3
						     : 0;
	(void)snprintf(copy, 300, "%s", s->text != NULL ? s->text : "");
	if (s->kind == 'S') {
		en.kind = JOURNAL_STATEMENT;
		en.text = copy;
		en.text_len = strlen(copy);
	} else if (s->kind == 'G') {
		en.kind = JOURNAL_GAP;
		blank = strchr(copy, ' ');
		if (blank != NULL)
			*blank = '\0';
		en.component = copy[0] != '\0' ? copy : NULL;
		en.path = blank != NULL ? blank + 1 : NULL;
		en.why = "a gap";
	} else {
		en.kind = s->kind == 'D' ? JOURNAL_DISCARD : JOURNAL_STOP;
	}
	return en;
}

static void
feed(const struct reduce_input *in, const struct step *step, size_t n,
     struct reduced *out)
{
	struct reduce *r = NULL;
	struct journal_entry en;
	struct err e = { 0 };
	char copy[300];
	size_t i;

	if (reduce_new(in, &r, &e) < 0)
		fail_msg("%s", e.text);
	for (i = 0; i < n && step[i].kind != '\0'; i++) {
		en = entry_of(&step[i], copy, 20 + i);
		if (reduce_add(&r, 1, &en, &e) < 0)
			fail_msg("%s: %s", step[i].text, e.text);
		memset(copy, 'Z', sizeof(copy));
	}
	if (reduce_end(r, out, &e) < 0)
		fail_msg("%s", e.text);
	reduce_free(r);
}

static const char *
said_of(const struct reduced *r, const char *path)
{
	static struct buf b;
	const struct reduce_file *f = reduced_find(r, path);
	const struct facts now = facts_of(9);

	buf_clear(&b);
	if (f == NULL)
		return "-";
	assert_true(f->promised == (f->why == NULL));
	if (!f->promised) {
		assert_string_equal(reduce_refuses(f, &now), f->why);
		return "no";
	}
	if (f->sure)
		buf_add_str(&b, "sure ");
	else
		buf_add_str(&b,
			    reduce_refuses(f, &now) == NULL ? "if " : "not ");
	ranges_print(&f->ranges, &b);
	return buf_str(&b);
}

static void
check_with(const struct reduce_input *in, const struct expect *t, size_t n)
{
	struct reduced out = { 0 };
	const char *got;
	size_t i;

	for (i = 0; i < n; i++) {
		feed(in, t[i].step, STEPS, &out);
		got = said_of(&out, "/db/f");
		if (strcmp(got, t[i].want) != 0 || out.gap != t[i].gap)
			fail_msg("%s: %s, gap %d", t[i].name, got, out.gap);
		assert_true(out.gap == (out.why != NULL));
		reduced_clear(&out);
	}
}

static void
check(const struct expect *t, size_t n)
{
	const struct reduce_input in = usual_input();

	check_with(&in, t, n);
}

static void
b2_open_lines_need_equal_facts(void **state)
{
	static const struct expect t[] = {
		{ "nothing said", { { 0 } }, "-", false },
		{ "one", { { 'S', OPEN("0:1"), 9, 0, 0 } }, "if 0:1", false },
		{ "changed since",
		  { { 'S', OPEN("0:1"), 8, 0, 0 } },
		  "not 0:1",
		  false },
		{ "nothing known then",
		  { { 'S', OPEN("0:1"), 0, 0, 0 } },
		  "not 0:1",
		  false },
		{ "too young",
		  { { 'S', OPEN("0:1"), 9, YOUNG, 0 } },
		  "not 0:1",
		  false },
		{ "another inode",
		  { { 'S', OPEN("0:1"), 9, FILE_2, 0 } },
		  "not 0:1",
		  false },
		{ "all together, the last one's facts",
		  { { 'S', OPEN("0:1"), 1, 0, 0 },
		    { 'S', OPEN("5:1"), 2, 0, 0 },
		    { 'S', OPEN("none"), 9, 0, 0 } },
		  "if 0:1,5:1",
		  false },
		{ "an earlier one's facts do not help",
		  { { 'S', OPEN("0:1"), 9, 0, 0 },
		    { 'S', OPEN("5:1"), 0, 0, 0 } },
		  "not 0:1,5:1",
		  false },
		{ "none says something, too",
		  { { 'S', OPEN("none"), 9, 0, 0 } },
		  "if none",
		  false },
		{ "a stop mark is nothing",
		  { { 'S', OPEN("0:1"), 9, 0, 0 }, { 'X', NULL, 0, 0, 0 } },
		  "if 0:1",
		  false },
		{ "another file's lines are not this one's",
		  { { 'S', "partial-file db /db/g 0:1", 9, FILE_2, 0 } },
		  "-",
		  false },
	};

	(void)state;
	check(t, N_OF(t));
}

static void
b2_in_the_window_the_writer_answers(void **state)
{
	static const struct expect t[] = {
		{ "open",
		  { { 'S', OPEN("0:1"), 0, WINDOW, 0 } },
		  "sure 0:1",
		  false },
		{ "closed",
		  { { 'S', CLOSED("0:1"), 0, WINDOW, 0 } },
		  "sure 0:1",
		  false },
		{ "behind older lines",
		  { { 'S', OPEN("0:1"), 3, 0, 0 },
		    { 'S', OPEN("5:1"), 0, WINDOW, 0 } },
		  "sure 0:1,5:1",
		  false },
		{ "behind a gap, open",
		  { { 'G', "db /db/f", 0, 0, 0 },
		    { 'S', OPEN("5:1"), 9, WINDOW, 0 } },
		  "no",
		  false },
		{ "behind a gap, closed",
		  { { 'G', "db /db/f", 0, 0, 0 },
		    { 'S', CLOSED("5:1"), 0, WINDOW, 0 } },
		  "sure 5:1",
		  false },
		{ "another session's window is none",
		  { { 'S', OPEN("0:1"), 8, FOREIGN, 0 } },
		  "not 0:1",
		  false },
		{ "another session's closed line needs the facts",
		  { { 'S', CLOSED("0:1"), 9, FOREIGN, 0 } },
		  "if 0:1",
		  false },
		{ "an open line of later keeps what was closed",
		  { { 'S', CLOSED("0:1"), 1, WINDOW, 0 },
		    { 'S', OPEN("5:1"), 2, 0, 0 } },
		  "sure 0:1,5:1",
		  false },
		{ "the session of nobody is not ours",
		  { { 'S', OPEN("0:1"), 8, 0, 0 } },
		  "not 0:1",
		  false },
	};

	(void)state;
	check(t, N_OF(t));
}

static void
b3_gaps_need_a_closed_line_behind_them(void **state)
{
	static const struct expect t[] = {
		{ "file, before",
		  { { 'G', "db /db/f", 0, 0, 0 },
		    { 'S', OPEN("0:1"), 9, 0, 0 } },
		  "no",
		  false },
		{ "file, after",
		  { { 'S', OPEN("0:1"), 9, 0, 0 },
		    { 'G', "db /db/f", 0, 0, 0 } },
		  "no",
		  false },
		{ "component",
		  { { 'S', OPEN("0:1"), 9, 0, 0 }, { 'G', "db", 0, 0, 0 } },
		  "no",
		  true },
		{ "writer",
		  { { 'G', "", 0, 0, 0 }, { 'S', OPEN("0:1"), 9, 0, 0 } },
		  "no",
		  true },
		{ "a member of the set",
		  { { 'G', "db/part", 0, 0, 0 },
		    { 'S', OPEN("0:1"), 9, 0, 0 } },
		  "no",
		  true },
		{ "another component",
		  { { 'G', "other", 0, 0, 0 }, { 'S', OPEN("0:1"), 9, 0, 0 } },
		  "if 0:1",
		  false },
		{ "an unknown component may be any",
		  { { 'G', "dbb", 0, 0, 0 }, { 'S', OPEN("0:1"), 9, 0, 0 } },
		  "no",
		  true },
		{ "this file by a wrong component",
		  { { 'G', "dbb /db/f", 0, 0, 0 },
		    { 'S', OPEN("0:1"), 9, 0, 0 } },
		  "no",
		  false },
		{ "this file by another component",
		  { { 'G', "other /db/f", 0, 0, 0 },
		    { 'S', OPEN("0:1"), 9, 0, 0 } },
		  "no",
		  false },
		{ "another file",
		  { { 'G', "db /db/g", 0, 0, 0 },
		    { 'S', OPEN("0:1"), 9, 0, 0 } },
		  "if 0:1",
		  false },
		{ "a gap alone is known of",
		  { { 'G', "db /db/f", 0, 0, 0 } },
		  "no",
		  false },
		{ "the statement",
		  { { 'S', OPEN("0:1"), 9, 0, 0 },
		    { 'S', "gap db /db/f", 0, 0, 0 } },
		  "no",
		  false },
		{ "the statement about all",
		  { { 'S', OPEN("0:1"), 9, 0, 0 }, { 'S', "gap db", 0, 0, 0 } },
		  "no",
		  true },
		{ "closed, behind it",
		  { { 'G', "", 0, 0, 0 }, { 'S', CLOSED("0:1"), 9, 0, 0 } },
		  "if 0:1",
		  true },
		{ "closed, behind it, changed since",
		  { { 'G', "", 0, 0, 0 }, { 'S', CLOSED("0:1"), 8, 0, 0 } },
		  "not 0:1",
		  true },
		{ "closed, before it: it is forgotten",
		  { { 'S', CLOSED("0:1"), 9, 0, 0 }, { 'G', "", 0, 0, 0 } },
		  "no",
		  true },
		{ "closed in the window, before it",
		  { { 'S', CLOSED("0:1"), 9, WINDOW, 0 },
		    { 'G', "db /db/f", 0, 0, 0 } },
		  "no",
		  false },
		{ "closed, then open, nothing changed",
		  { { 'G', "db", 0, 0, 0 },
		    { 'S', CLOSED("0:1"), 9, 0, 0 },
		    { 'S', OPEN("5:1"), 9, 0, 0 } },
		  "if 0:1,5:1",
		  true },
		{ "closed, then open, changed in between",
		  { { 'G', "db", 0, 0, 0 },
		    { 'S', CLOSED("0:1"), 8, 0, 0 },
		    { 'S', OPEN("5:1"), 9, 0, 0 } },
		  "no",
		  true },
		{ "closed, then open in the window, nothing changed",
		  { { 'G', "db", 0, 0, 0 },
		    { 'S', CLOSED("0:1"), 9, 0, 0 },
		    { 'S', OPEN("5:1"), 9, WINDOW, 0 } },
		  "if 0:1,5:1",
		  true },
		{ "closed, changed, closed again",
		  { { 'G', "db", 0, 0, 0 },
		    { 'S', CLOSED("0:1"), 8, 0, 0 },
		    { 'S', CLOSED("5:1"), 9, 0, 0 } },
		  "if 0:1,5:1",
		  true },
		{ "closed, gap, closed",
		  { { 'S', CLOSED("0:1"), 7, 0, 0 },
		    { 'G', "db", 0, 0, 0 },
		    { 'S', BY_ID("5:1"), 9, 0, 0 } },
		  "if 0:1,5:1",
		  true },
		{ "a base of others does not help",
		  { { 'G', "db", 0, 0, 0 }, { 'S', OLD("0:1"), 9, WINDOW, 0 } },
		  "no",
		  true },
	};

	(void)state;
	check(t, N_OF(t));
}

static void
b4_since_must_name_this_base(void **state)
{
	static const struct expect t[] = {
		{ "stamp",
		  { { 'S', CLOSED("0:1"), 9, 0, 0 } },
		  "if 0:1",
		  false },
		{ "id", { { 'S', BY_ID("0:1"), 9, 0, 0 } }, "if 0:1", false },
		{ "another stamp",
		  { { 'S', OLD("0:1"), 9, WINDOW, 0 } },
		  "no",
		  false },
		{ "another id",
		  { { 'S',
		      "partial-file db /db/f 0:1 "
		      "since=@02000000000000000000000000000000",
		      9, WINDOW, 0 } },
		  "no",
		  false },
		{ "no id at all",
		  { { 'S',
		      "partial-file db /db/f 0:1 "
		      "since=@00000000000000000000000000000000",
		      9, WINDOW, 0 } },
		  "no",
		  false },
		{ "another one's ranges count",
		  { { 'S', OLD("7:1"), 9, 0, 0 },
		    { 'S', OPEN("0:1"), 9, 0, 0 } },
		  "if 0:1,7:1",
		  false },
		{ "another one's facts do not",
		  { { 'S', OPEN("0:1"), 8, 0, 0 },
		    { 'S', OLD("7:1"), 9, 0, 0 } },
		  "not 0:1,7:1",
		  false },
		{ "another one in the window does not make it sure",
		  { { 'S', OPEN("0:1"), 8, 0, 0 },
		    { 'S', OLD("7:1"), 9, WINDOW, 0 } },
		  "not 0:1,7:1",
		  false },
		{ "a member's stamp is not the set's",
		  { { 'S', "partial-file db/part /db/f 0:1 since=stamp", 9,
		      WINDOW, 0 } },
		  "no",
		  false },
		{ "a member's id is",
		  { { 'S',
		      "partial-file db/part /db/f 0:1 "
		      "since=@01000000000000000000000000000000",
		      9, 0, 0 } },
		  "if 0:1",
		  false },
	};
	static const struct expect ambiguous[] = {
		{ "stamp",
		  { { 'S', CLOSED("0:1"), 9, WINDOW, 0 } },
		  "no",
		  false },
		{ "id",
		  { { 'S', BY_ID("0:1"), 9, WINDOW, 0 } },
		  "sure 0:1",
		  false },
	};
	struct reduce_input in = usual_input();

	(void)state;
	check(t, N_OF(t));
	in.stamp_ambiguous = true;
	check_with(&in, ambiguous, N_OF(ambiguous));
	in.stamp_ambiguous = false;
	in.base_stamp = NULL;
	check_with(&in, ambiguous, N_OF(ambiguous));
}

static void
b1_the_base_must_be_of_this_journal_and_within_it(void **state)
{
	static const struct expect t[] = {
		{ "open", { { 'S', OPEN("0:1"), 9, WINDOW, 0 } }, "no", true },
		{ "closed",
		  { { 'S', BY_ID("0:1"), 9, 0, 0 } },
		  "if 0:1",
		  true },
		{ "nothing", { { 0 } }, "-", true },
	};
	static const struct expect no_base[] = {
		{ "open", { { 'S', OPEN("0:1"), 9, WINDOW, 0 } }, "no", true },
		{ "closed",
		  { { 'S', BY_ID("0:1"), 9, WINDOW, 0 } },
		  "no",
		  true },
		{ "closed since nothing",
		  { { 'S',
		      "partial-file db /db/f 0:1 "
		      "since=@00000000000000000000000000000000",
		      9, WINDOW, 0 } },
		  "no",
		  true },
	};
	struct reduce_input in = usual_input();

	(void)state;
	in.base_cut = 4;
	check_with(&in, t, N_OF(t));
	in.base_cut = 101;
	in.journal_next = 100;
	in.base_journal[0] = 3;
	check_with(&in, t, N_OF(t));
	in = usual_input();
	memset(in.base_journal, 0, sizeof(in.base_journal));
	memset(in.journal, 0, sizeof(in.journal));
	check_with(&in, t, N_OF(t));
	in = usual_input();
	memset(in.base_id, 0, sizeof(in.base_id));
	check_with(&in, no_base, N_OF(no_base));
}

static void
b1_a_cut_beyond_the_journals_end_is_a_gap(void **state)
{
	static const struct expect again[] = {
		{ "open", { { 'S', OPEN("0:1"), 9, WINDOW, 0 } }, "no", true },
		{ "closed",
		  { { 'S', BY_ID("0:1"), 9, WINDOW, 0 },
		    { 'S', BY_ID("5:1"), 9, WINDOW, 0 } },
		  "sure 0:1,5:1",
		  true },
	};
	struct reduce_input in = usual_input();
	struct reduced out = { 0 };

	(void)state;
	in.base_cut = 101;
	feed(&in, NULL, 0, &out);
	assert_true(out.gap);
	reduced_clear(&out);
	/* Its numbers are given again: all of it counts, cut or no cut. */
	check_with(&in, again, N_OF(again));
	in.base_cut = 100;
	feed(&in, NULL, 0, &out);
	assert_false(out.gap);
	reduced_clear(&out);
}

static void
b1_what_lies_below_the_cut_does_not_count(void **state)
{
	static const struct step step[] = {
		{ 'S', OPEN("0:1"), 9, 0, 0 }, /* 20 */
		{ 'G', "", 0, 0, 0 },          /* 21 */
		{ 'S', OPEN("5:1"), 9, 0, 0 }, /* 22 */
	};
	struct reduce_input in = usual_input();
	struct reduced out = { 0 };

	(void)state;
	in.base_cut = 22;
	feed(&in, step, N_OF(step), &out);
	assert_false(out.gap);
	assert_string_equal(said_of(&out, "/db/f"), "if 5:1");
	reduced_clear(&out);
	in.base_cut = 21; /* the number at the cut is above it */
	feed(&in, step, N_OF(step), &out);
	assert_true(out.gap);
	assert_string_equal(said_of(&out, "/db/f"), "no");
	reduced_clear(&out);
}

static void
b1_closed_lines_of_the_bases_session_count_as_below_its_cut(void **state)
{
	static const struct expect t[] = {
		{ "left out",
		  { { 'S', OLD("0:1"), 9, BASES, 0 } },
		  "-",
		  false },
		{ "its facts, too",
		  { { 'S', OPEN("5:1"), 8, 0, 0 },
		    { 'S', OLD("0:1"), 9, BASES, 0 } },
		  "not 5:1",
		  false },
		{ "open ones count",
		  { { 'S', OPEN("5:1"), 9, BASES, 0 } },
		  "if 5:1",
		  false },
		{ "another session's count",
		  { { 'S', OPEN("5:1"), 9, 0, 0 },
		    { 'S', OLD("0:1"), 9, FOREIGN, 0 } },
		  "if 0:1,5:1",
		  false },
	};

	(void)state;
	check(t, N_OF(t));
}

static void
c5_discarded_lines_are_gaps(void **state)
{
	static const struct expect t[] = {
		{ "its lines",
		  { { 'S', CLOSED("0:1"), 9, WINDOW, 5 },
		    { 'D', NULL, 0, 0, 5 } },
		  "no",
		  false },
		{ "open ones",
		  { { 'S', OPEN("0:1"), 9, 0, 0 },
		    { 'S', OPEN("5:1"), 9, WINDOW, 5 },
		    { 'D', NULL, 0, 0, 5 } },
		  "no",
		  false },
		{ "another event's are not",
		  { { 'S', OPEN("0:1"), 9, 0, 4 }, { 'D', NULL, 0, 0, 5 } },
		  "if 0:1",
		  false },
		{ "a closed line behind it",
		  { { 'S', OPEN("0:1"), 9, WINDOW, 5 },
		    { 'D', NULL, 0, 0, 5 },
		    { 'S', CLOSED("5:1"), 9, 0, 0 } },
		  "if 0:1,5:1",
		  false },
		{ "differenced: of all",
		  { { 'S', OPEN("0:1"), 9, 0, 0 },
		    { 'S', "differenced-file db /db * recursive", 0, WINDOW,
		      5 },
		    { 'D', NULL, 0, 0, 5 } },
		  "no",
		  true },
		{ "of no event: of all",
		  { { 'S', OPEN("0:1"), 9, 0, 0 }, { 'D', NULL, 0, 0, 0 } },
		  "no",
		  true },
	};

	(void)state;
	check(t, N_OF(t));
}

static void
b6_one_file_under_two_names_has_no_promise(void **state)
{
	static const struct expect t[] = {
		{ "two names",
		  { { 'S', OPEN("0:1"), 9, WINDOW, 0 },
		    { 'S', "partial-file db /db/g 5:1", 9, WINDOW, 0 } },
		  "no",
		  false },
		{ "two files",
		  { { 'S', OPEN("0:1"), 9, WINDOW, 0 },
		    { 'S', "partial-file db /db/g 5:1", 9, WINDOW | FILE_2,
		      0 } },
		  "sure 0:1",
		  false },
		{ "a name that it once had",
		  { { 'S', "partial-file db /db/g 5:1", 9, 0, 0 },
		    { 'S', "partial-file db /db/g 5:1", 9, FILE_2, 0 },
		    { 'S', OPEN("0:1"), 9, WINDOW, 0 } },
		  "no",
		  false },
	};

	(void)state;
	check(t, N_OF(t));
}

static void
lines_count_for_their_set_and_not_for_others(void **state)
{
	static const struct expect t[] = {
		{ "a member's",
		  { { 'S', "partial-file db/part /db/f 3:1", 9, 0, 0 } },
		  "if 3:1",
		  false },
		{ "another's",
		  { { 'S', "partial-file other /db/f 3:1", 9, 0, 0 } },
		  "-",
		  false },
		{ "nobody's is a gap",
		  { { 'S', OPEN("0:1"), 9, 0, 0 },
		    { 'S', "partial-file gone /db/f 3:1", 9, 0, 0 } },
		  "no",
		  false },
	};
	static const struct expect part[] = {
		{ "the set's",
		  { { 'S', OPEN("3:1"), 9, 0, 0 } },
		  "if 3:1",
		  false },
		{ "the set's gap",
		  { { 'S', OPEN("3:1"), 9, 0, 0 }, { 'G', "db", 0, 0, 0 } },
		  "no",
		  true },
	};
	struct reduce_input in = usual_input();

	(void)state;
	check(t, N_OF(t));
	in.component = component("db/part");
	check_with(&in, part, N_OF(part));
}

/* --- what else there is ------------------------------------------------------ */

static void
stamp_metadata_and_attachments_are_this_sessions_last(void **state)
{
	static const struct step step[] = {
		{ 'S', "backup-stamp db old", 0, 0, 0 },
		{ 'S', "backup-stamp db one", 0, WINDOW, 1 },
		{ 'S', "backup-stamp db two", 0, WINDOW, 2 },
		{ 'S', "backup-stamp db/part part", 0, WINDOW, 1 },
		{ 'S', "backup-metadata db \"\"", 0, WINDOW, 1 },
		{ 'S', "attach db /db/b from=/tmp/1", 0, WINDOW, 1 },
		{ 'S', "attach db /db/a from=/tmp/2", 0, WINDOW, 1 },
		{ 'S', "attach db /db/b from=/tmp/3", 0, WINDOW, 1 },
		{ 'S', "attach db /db/a from=/tmp/4", 0, WINDOW, 2 },
		{ 'S', "attach db /db/c from=/tmp/5", 0, FOREIGN, 1 },
		{ 'D', NULL, 0, 0, 2 },
	};
	const struct reduce_input in = usual_input();
	struct reduced out = { 0 };

	(void)state;
	feed(&in, step, N_OF(step), &out);
	assert_string_equal(out.stamp, "one");
	assert_string_equal(out.metadata, "");
	assert_int_equal(out.attachments, 2);
	assert_string_equal(out.attachment[0].path, "/db/a");
	assert_string_equal(out.attachment[0].from, "/tmp/2");
	assert_string_equal(out.attachment[1].path, "/db/b");
	assert_string_equal(out.attachment[1].from, "/tmp/3");
	reduced_clear(&out);
	feed(&in, step, 1, &out);
	assert_null(out.stamp);
	assert_null(out.metadata);
	reduced_clear(&out);
}

static void
b8_differenced_files_are_merged_and_clash(void **state)
{
	static const struct step step[] = {
		{ 'S', "differenced-file db /db * recursive newer=@20", 0, 0,
		  0 },
		{ 'S', "differenced-file db /db * recursive", 0, WINDOW, 0 },
		{ 'S', "differenced-file db /db * recursive newer=@10", 0, 0,
		  0 },
		{ 'S', "differenced-file db /new \"a\\\\*b\"", 0, 0, 0 },
		{ 'S', "differenced-file db /deep/x name recursive", 0, 0, 0 },
		{ 'S', "differenced-file db / top", 0, 0, 0 },
		{ 'S', "differenced-file db / any recursive", 0, 0, 0 },
		{ 'S', "differenced-file other /other *", 0, 0, 0 },
		{ 'S', OPEN("0:1"), 1, 0, 0 },
		{ 'S', "partial-file db /new/a*b 0:1", 0, 0, 0 },
		{ 'S', "partial-file db /new/x/a*b 0:1", 0, 0, 0 },
		{ 'S', "partial-file db /deep/x/y/z/name 0:1", 0, 0, 0 },
		{ 'S', "partial-file db /deep/name 0:1", 0, 0, 0 },
		{ 'S', "partial-file db /top 0:1", 0, 0, 0 },
		{ 'S', "partial-file db /x/top 0:1", 0, 0, 0 },
		{ 'S', "partial-file db /x/any 0:1", 0, 0, 0 },
		{ 'S', "partial-file db /any 0:1", 0, 0, 0 },
	};
	static const struct {
		const char *path;
		bool clash;
	} want[] = {
		{ "/db/f", true },       { "/new/a*b", true },
		{ "/new/x/a*b", false }, { "/deep/x/y/z/name", true },
		{ "/deep/name", false }, { "/top", true },
		{ "/x/top", false },     { "/x/any", true },
		{ "/any", true },
	};
	const struct reduce_input in = usual_input();
	struct reduced out = { 0 };
	size_t i;

	(void)state;
	feed(&in, step, N_OF(step), &out);
	assert_int_equal(out.differenced_count, 5);
	assert_string_equal(out.differenced[0].dir, "/db");
	assert_true(out.differenced[0].has_newer);
	assert_int_equal(out.differenced[0].newer.sec, 10);
	assert_string_equal(out.differenced[1].pattern, "a\\*b");
	for (i = 0; i < N_OF(want); i++)
		if (reduced_find(&out, want[i].path)->clash != want[i].clash)
			fail_msg("%s", want[i].path);
	assert_null(reduced_find(&out, "/zzz"));
	reduced_clear(&out);
}

static void
entries_that_are_none_are_told(void **state)
{
	static const char *const text[] = {
		"nonsense", "partial-file db /db/f",
		"partial-file db /db/f file=/r", /* without its copy */
	};
	const struct reduce_input in = usual_input();
	struct journal_entry en;
	struct reduce *r = NULL;
	struct err e;
	size_t i;

	(void)state;
	assert_int_equal(reduce_new(&in, &r, NULL), 0);
	for (i = 0; i < N_OF(text); i++) {
		en = (struct journal_entry){ .seq = 20,
					     .kind = JOURNAL_STATEMENT,
					     .text = text[i],
					     .text_len = strlen(text[i]) };
		memset(&e, 0, sizeof(e));
		assert_int_equal(reduce_add(&r, 1, &en, &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
	}
	reduce_free(r);
}

/* --- sizes ------------------------------------------------------------------- */

static void
b5_all_beyond_the_lowest_size_is_read(void **state)
{
	static const struct {
		const char *ranges;
		uint64_t min, base, size;
		const char *want;
	} t[] = {
		{ "0:10", UINT64_MAX, 100, 100, "0:10" },
		{ "none", UINT64_MAX, 100, 100, "none" },
		{ "none", UINT64_MAX, 100, 150, "100:50" },
		{ "0:10", UINT64_MAX, 100, 50, "0:10" },
		{ "0:10", 50, 100, 100, "0:10,50:50" },
		{ "0:60,70:5", 50, 100, 100, "0:100" },
		{ "0:10", 0, 100, 100, "0:100" },
		{ "0:10", 150, 100, 200, "0:10,100:100" },
		{ "0:10,90:20", UINT64_MAX, 200, 100, "0:10,90:10" },
		{ "0:10,190:20", UINT64_MAX, 300, 100, "0:10" },
		{ "95:20", 96, 300, 100, "95:5" },
		{ "0:10", 50, 100, 0, "none" },
		{ "0:18446744073709551615", UINT64_MAX, UINT64_MAX, UINT64_MAX,
		  "0:0xffffffffffffffff" },
	};
	struct reduce_file f;
	struct ranges out = { 0 };
	struct buf b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		memset(&f, 0, sizeof(f));
		f.min_size = t[i].min;
		assert_int_equal(ranges_parse(&f.ranges, t[i].ranges,
					      strlen(t[i].ranges), NULL),
				 0);
		assert_int_equal(
			reduce_ranges(&f, t[i].base, t[i].size, &out, NULL), 0);
		buf_clear(&b);
		ranges_print(&out, &b);
		if (strcmp(buf_str(&b), t[i].want) != 0)
			fail_msg("%zu: %s", i, buf_str(&b));
		ranges_clear(&f.ranges);
	}
	ranges_clear(&out);
	buf_clear(&b);
}

static void
b5_size_and_the_size_at_each_line_are_known(void **state)
{
	static const struct step step[] = {
		{ 'S', OPEN("0:1 size=2000"), 9, 0, 0 }, /* it has 1000 then */
		{ 'S', OPEN("0:1"), 9, 0, 0 },
		{ 'S', OLD("0:1 size=700"), 0, 0, 0 },
		{ 'S', OPEN("0:1 size=800"), 0, 0, 0 },
	};
	const struct reduce_input in = usual_input();
	struct reduced out = { 0 };

	(void)state;
	feed(&in, step, 1, &out);
	assert_int_equal(reduced_find(&out, "/db/f")->min_size, 1000);
	reduced_clear(&out);
	feed(&in, step, 4, &out);
	assert_int_equal(reduced_find(&out, "/db/f")->min_size, 700);
	assert_int_equal(reduced_find(&out, "/db/f")->lines, 4);
	reduced_clear(&out);
}

static void
c9_a_range_past_the_end_fails_unless_it_lay_within_once(void **state)
{
	static const struct {
		struct step step;
		uint64_t size;
		bool fails;
	} t[] = {
		{ { 'S', OPEN("0:1000"), 9, WINDOW, 0 }, 1000, false },
		{ { 'S', OPEN("0:1001"), 9, WINDOW, 0 }, 1000, true },
		/* The file was 1000 long then: it has been cut. */
		{ { 'S', OPEN("0:1000"), 9, 0, 0 }, 500, false },
		{ { 'S', OPEN("0:1001"), 9, 0, 0 }, 500, true },
		/* It has grown since, so that nothing is wrong any more. */
		{ { 'S', OPEN("0:1001"), 9, 0, 0 }, 1001, false },
		/* Nobody knows how long it was. */
		{ { 'S', OPEN("0:501"), 0, WINDOW, 0 }, 500, true },
		{ { 'S', CLOSED("0:500"), 0, WINDOW, 0 }, 500, false },
	};
	const struct reduce_input in = usual_input();
	struct ranges ranges = { 0 };
	struct reduced out = { 0 };
	struct err e;
	size_t i;
	int rc;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		feed(&in, &t[i].step, 1, &out);
		memset(&e, 0, sizeof(e));
		rc = reduce_ranges(reduced_find(&out, "/db/f"), 5000, t[i].size,
				   &ranges, &e);
		if ((rc < 0) != t[i].fails)
			fail_msg("%zu: %d", i, rc);
		if (rc < 0)
			assert_int_equal(refuse_errno(&e), EINVAL);
		else
			assert_true(ranges_end(&ranges) <= t[i].size);
		reduced_clear(&out);
	}
	ranges_clear(&ranges);
}

static void
c9_a_closed_line_within_the_file_ends_what_was_wrong_before_it(void **state)
{
	static const struct {
		struct step step[2];
		bool fails;
	} t[] = {
		{ { { 'S', OPEN("0:2001"), 9, WINDOW, 0 },
		    { 'S', CLOSED("0:10"), 9, WINDOW, 0 } },
		  false },
		{ { { 'S', OPEN("0:2001"), 9, WINDOW, 0 },
		    { 'S', BY_ID("none"), 9, 0, 0 } },
		  false },
		/* In the other order it comes after the last word. */
		{ { { 'S', CLOSED("0:10"), 9, WINDOW, 0 },
		    { 'S', OPEN("0:2001"), 9, WINDOW, 0 } },
		  true },
		/* One that speaks of another time says nothing of this one. */
		{ { { 'S', OPEN("0:2001"), 9, WINDOW, 0 },
		    { 'S', OPEN("0:10"), 9, WINDOW, 0 } },
		  true },
		{ { { 'S', OPEN("0:2001"), 9, WINDOW, 0 },
		    { 'S', OLD("0:10"), 9, 0, 0 } },
		  true },
		/* Wrong again, or nobody knows how long the file was. */
		{ { { 'S', OPEN("0:2001"), 9, WINDOW, 0 },
		    { 'S', CLOSED("0:1500"), 9, WINDOW, 0 } },
		  true },
		{ { { 'S', OPEN("0:2001"), 9, WINDOW, 0 },
		    { 'S', CLOSED("0:10"), 0, WINDOW, 0 } },
		  true },
	};
	const struct reduce_input in = usual_input();
	struct ranges ranges = { 0 };
	struct reduced out = { 0 };
	size_t i;
	int rc;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		feed(&in, t[i].step, 2, &out);
		rc = reduce_ranges(reduced_find(&out, "/db/f"), 5000, 1400,
				   &ranges, NULL);
		if ((rc < 0) != t[i].fails)
			fail_msg("%zu: %d", i, rc);
		/* What was said stays said: all below the end counts. */
		if (rc == 0)
			assert_int_equal(ranges_end(&ranges), 1400);
		reduced_clear(&out);
	}
	ranges_clear(&ranges);
}

static void
any_allocation_may_fail(void **state)
{
	static const struct step step[] = {
		{ 'S', OPEN("0:1 metadata=x"), 9, WINDOW, 1 },
		{ 'S', "differenced-file db /db * recursive", 0, WINDOW, 1 },
		{ 'S', "attach db /db/b from=/tmp/1", 0, WINDOW, 1 },
		{ 'G', "db /db/g", 0, 0, 0 },
		{ 'D', NULL, 0, 0, 1 },
	};
	const struct reduce_input in = usual_input();
	struct reduced out = { 0 };
	struct journal_entry en;
	struct reduce *r;
	struct err e;
	char copy[300];
	unsigned n;
	size_t i;
	int rc;

	(void)state;
	for (n = 1;; n++) {
		r = NULL;
		memset(&e, 0, sizeof(e));
		failing_plan_alloc(n, false);
		rc = reduce_new(&in, &r, &e);
		for (i = 0; rc == 0 && i < N_OF(step); i++) {
			en = entry_of(&step[i], copy, 20 + i);
			rc = reduce_add(&r, 1, &en, &e);
		}
		if (rc == 0)
			rc = reduce_end(r, &out, &e);
		failing_off();
		reduce_free(r);
		if (rc == 0)
			break;
		assert_int_equal(e.kind, ERR_NOMEM);
	}
	assert_true(n > 10);
	assert_true(out.gap);
	reduced_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b2_open_lines_need_equal_facts),
		cmocka_unit_test(b2_in_the_window_the_writer_answers),
		cmocka_unit_test(b3_gaps_need_a_closed_line_behind_them),
		cmocka_unit_test(b4_since_must_name_this_base),
		cmocka_unit_test(
			b1_the_base_must_be_of_this_journal_and_within_it),
		cmocka_unit_test(b1_a_cut_beyond_the_journals_end_is_a_gap),
		cmocka_unit_test(b1_what_lies_below_the_cut_does_not_count),
		cmocka_unit_test(
			b1_closed_lines_of_the_bases_session_count_as_below_its_cut),
		cmocka_unit_test(c5_discarded_lines_are_gaps),
		cmocka_unit_test(b6_one_file_under_two_names_has_no_promise),
		cmocka_unit_test(lines_count_for_their_set_and_not_for_others),
		cmocka_unit_test(
			stamp_metadata_and_attachments_are_this_sessions_last),
		cmocka_unit_test(b8_differenced_files_are_merged_and_clash),
		cmocka_unit_test(entries_that_are_none_are_told),
		cmocka_unit_test(b5_all_beyond_the_lowest_size_is_read),
		cmocka_unit_test(b5_size_and_the_size_at_each_line_are_known),
		cmocka_unit_test(
			c9_a_range_past_the_end_fails_unless_it_lay_within_once),
		cmocka_unit_test(
			c9_a_closed_line_within_the_file_ends_what_was_wrong_before_it),
		cmocka_unit_test(any_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, make_document, free_document);
}
