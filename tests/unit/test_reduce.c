/*
 * What declarations say together: case by case; against honest writers in a
 * small world where everything goes wrong; and with very many of them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/reduce.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/writer/metadata.h"
#include "src/writer/refuse.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/rng.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct metadata *document;

static int
make_document(void **state)
{
	static const char text[] =
		"writer w\n"
		"schema incremental differential timestamped last-modify\n"
		"restore-method restore-if-not-there\n"
		"component db database selectable=yes\n"
		"component db/part database selectable=yes\n"
		"component other database selectable=yes\n"
		"database-files db /db * recursive\n"
		"database-files db/part /part *\n"
		"database-files other /other *\n"
		"end\n";
	struct err e = { 0 };

	(void)state;
	if (metadata_parse(&document, text, sizeof(text) - 1, &e) < 0)
		fail_msg("%s", e.text);
	return 0;
}

static int
free_document(void **state)
{
	(void)state;
	metadata_free(document);
	document = NULL;
	return 0;
}

static size_t
component(const char *name)
{
	return metadata_find(document, name, strlen(name));
}

/* --- cases ------------------------------------------------------------------ */

/* What a file was at some time: different ones are different times. */
static struct facts
facts_of(int n)
{
	struct facts f = { 0 };

	if (n == 0)
		return f;
	f.known = true;
	f.has_btime = true;
	(void)snprintf(f.fs, sizeof(f.fs), "fs");
	f.ino = 10;
	f.size = 1000;
	f.mtime.sec = n;
	f.ctime.sec = n;
	return f;
}

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

static struct reduce_input
usual_input(void)
{
	return (struct reduce_input){ .document = document,
				      .component = component("db"),
				      .base_id = { 1 },
				      .base_stamp = "stamp",
				      .base_session = { 7 },
				      .base_journal = { 2 },
				      .base_cut = 10,
				      .journal = { 2 },
				      .journal_first = 5,
				      .journal_next = 100,
				      .session = { 3 } };
}

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
		if (reduce_add(r, &en, &e) < 0)
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
		assert_int_equal(reduce_add(r, &en, &e), -1);
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

/* --- honest writers in a bad world ------------------------------------------- */

/*
 * One file of a few bytes, each a number that is new with every write.  Its
 * writer declares what it wrote, at its own pace, openly or since a
 * generation; a control process takes the lines, refuses some, stops now and
 * then in one way or another; backups of two sets compare with earlier ones
 * or fail.  Whatever they take from the base must be what is there.
 */
#define WORLD_BYTES 48
#define WORLD_LINES 400
#define WORLD_GENS  40

struct content {
	uint32_t byte[WORLD_BYTES];
	uint64_t size;
	struct facts facts;
};

struct world_gen {
	struct content c;
	bool racy;
	bool full;
	int set;
	uint8_t id[16], session[16], journal[JOURNAL_ID_LEN];
	char stamp[16];
	uint64_t cut;
	uint64_t frozen_at; /* writes until then are in it */
};

struct world {
	struct rng rng;
	struct content now;
	uint64_t writes;          /* so far; also the contents of bytes */
	int64_t tick;             /* of the clock that stamps files */
	uint64_t at[WORLD_BYTES]; /* the last write of each byte */
	uint64_t size_at[WORLD_BYTES + 1]; /* when it last had this size */
	/* What the writer has to declare openly. */
	bool pending[WORLD_BYTES];
	uint64_t pending_size;
	/* The journal. */
	struct journal_entry line[WORLD_LINES];
	char text[WORLD_LINES][400];
	size_t lines;
	uint64_t first, next; /* line[i] has the number first + i */
	uint8_t journal[JOURNAL_ID_LEN];
	/* The session that the writer takes part in. */
	bool window;
	uint8_t session[16];
	uint64_t event;
	uint64_t frozen_at; /* of it; 0 not yet */
	struct world_gen gen[WORLD_GENS];
	size_t gens;
	uint64_t ids;
};

static struct {
	size_t runs, used, sure, refused, own, read, changed;
} tally;

static uint64_t
lot(struct world *w, uint64_t n)
{
	return rng_below(&w->rng, n);
}

static void
new_id(struct world *w, uint8_t *id)
{
	memset(id, 0, 16);
	w->ids++;
	memcpy(id, &w->ids, sizeof(w->ids));
}

static void
touch(struct world *w)
{
	w->now.facts.known = true;
	w->now.facts.mtime.sec = w->tick;
	w->now.facts.ctime.sec = w->tick;
	w->now.facts.size = w->now.size;
	w->size_at[w->now.size] = w->writes;
}

static void
write_byte(struct world *w, uint64_t i)
{
	w->now.byte[i] = (uint32_t)w->writes;
	w->at[i] = w->writes;
	w->pending[i] = true;
}

static void
change_file(struct world *w)
{
	uint64_t off = lot(w, WORLD_BYTES);
	uint64_t len = 1 + lot(w, 4);
	uint64_t i;

	w->writes++;
	tally.changed++;
	if (lot(w, 8) == 0) { /* cut */
		w->now.size = lot(w, w->now.size + 1);
		if (w->now.size < w->pending_size)
			w->pending_size = w->now.size;
	} else {
		if (off > w->now.size)
			off = w->now.size; /* no holes: they are data, too */
		for (i = off; i < off + len && i < WORLD_BYTES; i++) {
			write_byte(w, i);
			if (i >= w->now.size)
				w->now.size = i + 1;
		}
	}
	if (lot(w, 40) == 0) /* copied and renamed over */
		w->now.facts.ino++;
	touch(w);
}

/* --- its journal --- */

static void
add_line(struct world *w, struct journal_entry *en)
{
	if (w->lines == WORLD_LINES)
		return;
	en->seq = w->next++;
	w->line[w->lines++] = *en;
}

static void
add_world_gap(struct world *w)
{
	struct journal_entry en = { .kind = JOURNAL_GAP, .why = "gap" };
	uint64_t what = lot(w, 4);

	if (what > 0)
		en.component = what == 3 ? "no-such" : "db";
	if (what > 1)
		en.path = "/db/f";
	add_line(w, &en);
}

static void
drop_lines(struct world *w, uint64_t seq)
{
	size_t n;

	if (seq > w->next)
		seq = w->next;
	if (seq <= w->first)
		return;
	n = (size_t)(seq - w->first);
	memmove(w->line, w->line + n, (w->lines - n) * sizeof(*w->line));
	memmove(w->text, w->text + n, (w->lines - n) * sizeof(*w->text));
	for (size_t i = 0; i < w->lines - n; i++)
		if (w->line[i].text != NULL)
			w->line[i].text = w->text[i];
	w->lines -= n;
	w->first = seq;
}

static void
restart(struct world *w)
{
	struct journal_entry en = { .kind = JOURNAL_GAP, .why = "crash" };

	if (w->window)
		return;
	if (lot(w, 2) == 0) { /* clean */
		en.kind = JOURNAL_STOP;
		add_line(w, &en);
		return;
	}
	new_id(w, w->journal);
	if (lot(w, 2) == 0) { /* nothing could be read */
		w->lines = 0;
		w->first = 1;
		w->next = 1;
		return;
	}
	add_line(w, &en);
}

/* --- its writer --- */

static void
put_set(const bool *in, struct buf *out)
{
	const char *comma = "";
	size_t i;

	for (i = 0; i < WORLD_BYTES; i++)
		if (in[i]) {
			buf_printf(out, "%s%zu:1", comma, i);
			comma = ",";
		}
	if (comma[0] == '\0')
		buf_add_str(out, "none");
}

/*
 * Hand in a line.  Waits for a tick, usually; refused now and then, which
 * leaves a gap of the file, or of more.
 */
static bool
hand_in(struct world *w, struct buf *text)
{
	struct journal_entry en = { .kind = JOURNAL_STATEMENT };
	size_t at = w->lines;

	if (w->lines == WORLD_LINES || lot(w, 12) == 0) {
		add_world_gap(w);
		buf_clear(text);
		return false;
	}
	if (lot(w, 10) > 0)
		w->tick++;
	(void)snprintf(w->text[at], sizeof(w->text[at]), "%s", buf_str(text));
	en.text = w->text[at];
	en.text_len = strlen(en.text);
	en.facts = w->now.facts;
	en.facts.young = w->now.facts.ctime.sec >= w->tick;
	if (lot(w, 30) == 0)
		memset(&en.facts, 0, sizeof(en.facts));
	if (w->window) {
		memcpy(en.session, w->session, 16);
		en.event = w->event;
		en.window = true;
	}
	add_line(w, &en);
	buf_clear(text);
	return true;
}

static void
forget_pending(struct world *w)
{
	memset(w->pending, 0, sizeof(w->pending));
	w->pending_size = UINT64_MAX;
}

static void
declare_open(struct world *w)
{
	struct buf b = { 0 };
	bool in[WORLD_BYTES];
	size_t i;

	memcpy(in, w->pending, sizeof(in));
	for (i = 0; i < WORLD_BYTES; i++)
		in[i] = (in[i] || lot(w, 40) == 0) && i < w->now.size;
	buf_add_str(&b, "partial-file db /db/f ");
	put_set(in, &b);
	if (w->pending_size != UINT64_MAX)
		buf_printf(&b, " size=%" PRIu64, w->pending_size);
	/* After a refusal it may try again, or leave it at that. */
	if (hand_in(w, &b) || lot(w, 2) == 0)
		forget_pending(w);
}

static void
declare_closed(struct world *w)
{
	const struct world_gen *g;
	struct buf b = { 0 };
	bool in[WORLD_BYTES];
	uint64_t lowest = UINT64_MAX;
	size_t i;

	if (w->gens == 0)
		return;
	g = &w->gen[lot(w, 3) > 0 ? w->gens - 1 : lot(w, w->gens)];
	for (i = 0; i < WORLD_BYTES; i++)
		in[i] = w->at[i] > g->frozen_at && i < w->now.size;
	for (i = 0; i <= WORLD_BYTES && lowest == UINT64_MAX; i++)
		if (w->size_at[i] > g->frozen_at)
			lowest = i;
	buf_add_str(&b, "partial-file db /db/f ");
	put_set(in, &b);
	if (lowest != UINT64_MAX)
		buf_printf(&b, " size=%" PRIu64, lowest);
	if (lot(w, 2) == 0) {
		buf_add_str(&b, " since=@");
		for (i = 0; i < 16; i++)
			buf_printf(&b, "%02x", g->id[i]);
	} else {
		buf_printf(&b, " since=\"%s\"", g->stamp);
	}
	if (!hand_in(w, &b))
		return;
	/*
	 * What it names is declared, with two exceptions: what was written
	 * before the generation that it names, and, because in a session it
	 * speaks of what that session reads, what was written behind its
	 * freeze.
	 */
	for (i = 0; i < WORLD_BYTES; i++)
		if (w->at[i] > g->frozen_at &&
		    (!w->window || w->frozen_at == 0 ||
		     w->at[i] <= w->frozen_at))
			w->pending[i] = false;
}

static void
discard_event(struct world *w)
{
	struct journal_entry en = { .kind = JOURNAL_DISCARD };

	memcpy(en.session, w->session, 16);
	en.event = w->event;
	add_line(w, &en);
}

static void
live(struct world *w, uint64_t steps)
{
	while (steps-- > 0) {
		switch (lot(w, 10)) {
		case 0:
		case 1:
		case 2:
		case 3:
			change_file(w);
			break;
		case 4:
		case 5:
		case 6:
			declare_open(w);
			break;
		case 7:
			declare_closed(w);
			break;
		case 8:
			w->tick++;
			break;
		default:
			if (lot(w, 4) == 0)
				restart(w);
			break;
		}
	}
}

/* --- its backups --- */

static const struct world_gen *
find_base(const struct world *w, int set, bool differential)
{
	size_t i;

	for (i = w->gens; i-- > 0;)
		if (w->gen[i].set == set && (!differential || w->gen[i].full))
			return &w->gen[i];
	return NULL;
}

static void
reduce_world(struct world *w, const struct world_gen *base, struct reduced *out)
{
	struct reduce_input in = { .document = document };
	struct reduce *r = NULL;
	size_t i;

	in.component = component("db");
	memcpy(in.base_id, base->id, 16);
	in.base_stamp = base->stamp;
	memcpy(in.base_session, base->session, 16);
	memcpy(in.base_journal, base->journal, 16);
	in.base_cut = base->cut;
	memcpy(in.journal, w->journal, 16);
	in.journal_first = w->first;
	in.journal_next = w->next;
	memcpy(in.session, w->session, 16);
	assert_int_equal(reduce_new(&in, &r, NULL), 0);
	for (i = 0; i < w->lines; i++)
		assert_int_equal(reduce_add(r, &w->line[i], NULL), 0);
	assert_int_equal(reduce_end(r, out, NULL), 0);
	reduce_free(r);
}

/* Every byte that is not read must be as in the base. */
static void
compare_unread(const struct content *c, const struct world_gen *base,
	       const struct ranges *read, uint64_t seed)
{
	uint64_t i;

	for (i = 0; i < c->size; i++)
		if ((i >= base->c.size || c->byte[i] != base->c.byte[i]) &&
		    !ranges_hold(read, i, 1))
			fail_msg("seed %" PRIu64 ": byte %" PRIu64
				 " was not read",
				 seed, i);
}

/* As src/requester does it. */
static void
take_from_base(struct world *w, const struct content *c,
	       const struct world_gen *base, uint64_t seed)
{
	const struct reduce_file *f;
	struct reduced out = { 0 };
	struct ranges read = { 0 };

	tally.runs++;
	reduce_world(w, base, &out);
	f = reduced_find(&out, "/db/f");
	if (!facts_same_file(&base->c.facts, &c->facts)) {
		tally.read++;
	} else if (f == NULL) {
		/* The own test. */
		tally.own++;
		if (!base->racy && facts_equal(&base->c.facts, &c->facts))
			compare_unread(c, base, &read, seed);
	} else if (reduce_refuses(f, &c->facts) != NULL) {
		tally.refused++;
	} else if (reduce_ranges(f, base->c.size, c->size, &read, NULL) == 0) {
		tally.used++;
		tally.sure += f->sure;
		compare_unread(c, base, &read, seed);
	}
	ranges_clear(&read);
	reduced_clear(&out);
}

/*
 * A session.  The writer takes part, or does not; if it does, it has declared
 * all that it wrote when it says that it is frozen.
 */
static void
backup_world(struct world *w, uint64_t seed)
{
	struct world_gen g = { .set = (int)lot(w, 2), .full = lot(w, 5) == 0 };
	const struct world_gen *base = find_base(w, g.set, lot(w, 3) == 0);
	bool part = lot(w, 3) > 0;
	bool fails = lot(w, 6) == 0;

	new_id(w, w->session);
	w->event = 1;
	w->frozen_at = 0;
	if (lot(w, 2) == 0) { /* without a snapshot: at prepare-backup */
		g.cut = w->next;
		memcpy(g.journal, w->journal, 16);
	}
	w->window = part;
	if (part)
		live(w, lot(w, 5));
	w->event = 2;
	if (g.cut == 0) {
		g.cut = w->next;
		memcpy(g.journal, w->journal, 16);
	}
	if (part && lot(w, 2) == 0)
		declare_closed(w);
	if (part)
		declare_open(w);
	if (part && fails)
		discard_event(w);
	g.c = w->now;
	g.racy = w->now.facts.ctime.sec >= w->tick;
	g.frozen_at = w->writes;
	w->frozen_at = w->writes;
	w->event = 3;
	if (part)
		live(w, lot(w, 4));
	if (base != NULL && !g.full && !fails)
		take_from_base(w, &g.c, base, seed);
	w->window = false;
	if (!fails && w->gens < WORLD_GENS) {
		new_id(w, g.id);
		memcpy(g.session, w->session, 16);
		(void)snprintf(g.stamp, sizeof(g.stamp), "s%" PRIu64, w->ids);
		w->gen[w->gens++] = g;
	}
	memset(w->session, 0, sizeof(w->session));
}

static void
forget_some(struct world *w)
{
	uint64_t lowest = w->next;
	size_t i = (size_t)lot(w, w->gens);

	memmove(&w->gen[i], &w->gen[i + 1],
		(--w->gens - i) * sizeof(w->gen[0]));
	for (i = 0; i < w->gens; i++)
		if (memcmp(w->gen[i].journal, w->journal, 16) == 0 &&
		    w->gen[i].cut < lowest)
			lowest = w->gen[i].cut;
	/* Now and then too much. */
	drop_lines(w, lowest + (lot(w, 4) == 0 ? lot(w, 4) : 0));
}

static void
run_world(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->rng.state = seed;
	w->first = 1;
	w->next = 1;
	w->tick = 100;
	w->writes = 1;
	w->now.facts = facts_of(1);
	w->now.size = 20;
	forget_pending(w);
	new_id(w, w->journal);
	touch(w);
	for (int i = 0; i < 12; i++) {
		live(w, lot(w, 12));
		backup_world(w, seed);
		if (w->gens > 2 && lot(w, 4) == 0)
			forget_some(w);
	}
}

static void
b2_of_honest_writers_nothing_is_left_unread(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *from = getenv("REDUCE_SEED");
	uint64_t seed = from != NULL ? strtoull(from, NULL, 0) : 1;
	uint64_t worlds = getenv("TEST_QUICK") != NULL ? 100 : 3000;
	uint64_t i;

	(void)state;
	assert_non_null(w);
	memset(&tally, 0, sizeof(tally));
	for (i = 0; i < worlds; i++)
		run_world(w, seed + i * 7919);
	free(w);
	print_message("%zu runs: %zu partial (%zu sure), %zu refused, %zu own "
		      "test, %zu another inode\n",
		      tally.runs, tally.used, tally.sure, tally.refused,
		      tally.own, tally.read);
	/* It is not for want of promises. */
	assert_true(tally.used * 5 > tally.runs);
	assert_true(tally.sure * 10 > tally.runs);
	assert_true(tally.used - tally.sure > tally.runs / 50);
	assert_true(tally.refused * 10 > tally.runs);
}

/* --- very many --------------------------------------------------------------- */

static double
cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
add_text(struct reduce *r, const char *text, const struct facts *facts,
	 const struct ranges *ranges)
{
	struct journal_entry en = { .seq = 20,
				    .kind = JOURNAL_STATEMENT,
				    .text = text,
				    .text_len = strlen(text),
				    .ranges = ranges };
	struct err e = { 0 };

	if (facts != NULL)
		en.facts = *facts;
	if (reduce_add(r, &en, &e) < 0)
		fail_msg("%s", e.text);
}

static void
e4_ten_thousand_files_with_a_hundred_lines(void **state)
{
	const unsigned files = getenv("TEST_QUICK") != NULL ? 100 : 10000;
	const struct reduce_input in = usual_input();
	struct facts facts = facts_of(9);
	struct reduced out = { 0 };
	struct reduce *r = NULL;
	double start = cpu();
	char text[200];
	unsigned i;
	unsigned k;

	(void)state;
	assert_int_equal(reduce_new(&in, &r, NULL), 0);
	for (k = 0; k < 100; k++)
		for (i = 0; i < files; i++) {
			facts.ino = i;
			(void)snprintf(text, sizeof(text),
				       "partial-file db /db/%u 0x%x:100", i,
				       (99 - k) * 1000);
			add_text(r, text, &facts, NULL);
		}
	for (i = 0; i < files; i++) {
		(void)snprintf(text, sizeof(text),
			       "differenced-file db /new%u x%u recursive", i,
			       i);
		add_text(r, text, NULL, NULL);
	}
	assert_int_equal(reduce_end(r, &out, NULL), 0);
	reduce_free(r);
	assert_int_equal(out.files, files);
	for (i = 0; i < files; i++) {
		assert_int_equal(out.file[i].ranges.count, 100);
		assert_int_equal(out.file[i].lines, 100);
		assert_true(out.file[i].promised);
	}
	reduced_clear(&out);
	print_message("%.2f s\n", cpu() - start);
}

static void
e4_ten_million_ranges_in_one_line_and_more_behind(void **state)
{
	const size_t n = getenv("TEST_QUICK") != NULL ? 10000 : 10000000;
	const struct reduce_input in = usual_input();
	struct ranges s = { 0 };
	struct ranges odd = { 0 };
	struct reduced out = { 0 };
	struct reduce *r = NULL;
	double start;
	char text[200];
	size_t i;

	(void)state;
	for (i = 0; i < n; i++)
		assert_int_equal(ranges_push(&s, i * 10, 5, NULL), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(ranges_push(&odd, i * 10 + 7, 1, NULL), 0);
	start = cpu();
	assert_int_equal(reduce_new(&in, &r, NULL), 0);
	add_text(r, "partial-file db /db/f file=/r", NULL, &s);
	for (i = 0; i < 10000; i++) {
		(void)snprintf(text, sizeof(text),
			       "partial-file db /db/f %zu:1", i * 10 + 8);
		add_text(r, text, NULL, NULL);
	}
	for (i = 0; i < 100; i++)
		add_text(r, "partial-file db /db/f file=/r", NULL, &odd);
	assert_int_equal(reduce_end(r, &out, NULL), 0);
	reduce_free(r);
	assert_int_equal(out.file[0].ranges.count, n + 10000);
	print_message("%.2f s\n", cpu() - start);
	reduced_clear(&out);
	ranges_clear(&s);
	ranges_clear(&odd);
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
			rc = reduce_add(r, &en, &e);
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
		cmocka_unit_test(b2_of_honest_writers_nothing_is_left_unread),
		cmocka_unit_test(e4_ten_thousand_files_with_a_hundred_lines),
		cmocka_unit_test(
			e4_ten_million_ranges_in_one_line_and_more_behind),
		cmocka_unit_test(any_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, make_document, free_document);
}
