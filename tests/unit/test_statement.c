/*
 * Lines against their normal form or their refusal, table by table, a table a
 * rule of doc/control.md, section 5.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/statement.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/writer/refuse.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/words.h"

#include <errno.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef"

struct row {
	const char *line;
	const char *want; /* the normal form, or a part of the sentence */
};

/* The normal form is its own. */
static void
check_again(const char *normal)
{
	struct statement s = { 0 };
	struct err e = { 0 };
	struct buf b = { 0 };

	if (statement_parse(&s, normal, strlen(normal), &e) < 0)
		fail_msg("%s: %s", normal, e.text);
	statement_print(&s, &b);
	assert_string_equal(buf_str(&b), normal);
	buf_clear(&b);
	statement_clear(&s);
}

static void
taken(const struct row *t, size_t n)
{
	struct statement s = { 0 };
	struct buf b = { 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		struct err e = { 0 };

		if (statement_parse(&s, t[i].line, strlen(t[i].line), &e) < 0)
			fail_msg("%s: %s", t[i].line, e.text);
		buf_reset(&b);
		statement_print(&s, &b);
		assert_string_equal(buf_str(&b), t[i].want);
		check_again(t[i].want);
	}
	statement_clear(&s);
	buf_clear(&b);
}

static void
refused(const struct row *t, size_t n)
{
	struct statement s = { 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		struct err e = { 0 };

		if (statement_parse(&s, t[i].line, strlen(t[i].line), &e) == 0)
			fail_msg("taken: %s", t[i].line);
		assert_int_equal(refuse_errno(&e), EINVAL);
		if (strstr(e.text, t[i].want) == NULL)
			fail_msg("%s: %s", t[i].line, e.text);
	}
	statement_clear(&s);
}

static void
blank_lines_and_comments_are_nothing(void **state)
{
	static const struct row t[] = { { "", "" },
					{ " \t", "" },
					{ "# partial-file", "" },
					{ "\r", "" } };
	struct statement s = { 0 };

	(void)state;
	taken(t, 1);
	assert_int_equal(statement_parse(&s, t[2].line, 14, NULL), 0);
	assert_int_equal(s.kind, STATEMENT_NONE);
	assert_int_equal(statement_parse(&s, "\r", 1, NULL), 0);
	assert_int_equal(s.kind, STATEMENT_NONE);
	statement_clear(&s);
}

static void
a_partial_file_names_component_path_and_ranges(void **state)
{
	static const struct row good[] = {
		{ "partial-file db /x 0:1", "partial-file db /x 0:1" },
		{ " partial-file\ta/b  \"/x y\" 0x10:0x10,16:32\r",
		  "partial-file a/b \"/x y\" 16:32" },
		{ "partial-file db /x 9:1, 5:1,\t7:1",
		  "partial-file db /x 5:1,7:1,9:1" },
		{ "partial-file db /x \"9:1, 5:1\" size=5",
		  "partial-file db /x 5:1,9:1 size=5" },
		{ "partial-file db /x none", "partial-file db /x none" },
		{ "partial-file db /x 5:0", "partial-file db /x none" },
		{ "partial-file db /x 0:1 metadata=\"a b\" size=0x10",
		  "partial-file db /x 0:1 size=16 metadata=\"a b\"" },
		{ "partial-file db /x 0:1 metadata=",
		  "partial-file db /x 0:1 metadata=\"\"" },
	};
	static const struct row bad[] = {
		{ "partial-file", "words are missing: partial-file COMPONENT" },
		{ "partial-file db /x", "words are missing" },
		{ "partial-file db x 0:1",
		  "column 17: not an absolute path: x" },
		{ "partial-file db /x/ 0:1", "column 17: an empty name: /x/" },
		{ "partial-file db /x/../y 0:1", "a name that is . or .." },
		{ "partial-file db / 0:1", "column 17: not a file: /" },
		{ "partial-file /db /x 0:1", "column 14: an empty name: /db" },
		{ "partial-file a/../b /x 0:1", "a name that is . or .." },
		{ "partial-file db /x 0:1 5:1", "column 24: a word too many" },
		{ "partial-file db /x 0:1,",
		  "column 20: ranges, column 5: a number is missing" },
		{ "partial-file db /x 0:1, size=1",
		  "column 20: ranges, column 6: not a decimal" },
		{ "partial-file db /x x", "column 20: ranges, column 1" },
		{ "partial-file db /x 0:1 size=-1", "not a number" },
		{ "partial-file db /x 0:1 size=", "not a number" },
		{ "partial-file db /x 0:1 size=99999999999999999999",
		  "not a number" },
		{ "partial-file db /x 0:1 size=1 size=1", "there twice" },
		{ "partial-file db /x 0:1 newer=@1", "an unknown option" },
		{ "Partial-file db /x 0:1", "column 1: no such statement" },
		{ "\"partial-file db\" /x 0:1", "no such statement" },
	};

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
}

static void
ranges_may_be_in_a_ranges_file(void **state)
{
	static const struct row good[] = {
		{ "partial-file db /x file=/r", "partial-file db /x file=/r" },
		{ "partial-file db /x File=/r", "partial-file db /x file=/r" },
		{ "partial-file db /x FILE=\"/r s\" size=1",
		  "partial-file db /x file=\"/r s\" size=1" },
		{ "partial-file db /x /r,", "partial-file db /x file=/r," },
		{ "partial-file db /x \"File=/r s\"",
		  "partial-file db /x file=\"/r s\"" },
	};
	static const struct row bad[] = {
		{ "partial-file db /x file=", "not an absolute path" },
		{ "partial-file db /x file=r", "not an absolute path" },
		{ "partial-file db /x /r/../s", "a name that is . or .." },
		{ "partial-file db /x /r /s", "a word too many" },
		{ "partial-file db /x fil=/r", "ranges, column 1" },
	};

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
}

static void
since_is_a_stamp_or_a_generations_id(void **state)
{
	static const struct row good[] = {
		{ "partial-file db /x 0:1 since=abc",
		  "partial-file db /x 0:1 since=\"abc\"" },
		{ "partial-file db /x 0:1 since=",
		  "partial-file db /x 0:1 since=\"\"" },
		{ "partial-file db /x 0:1 since=a=\"@b\"",
		  "partial-file db /x 0:1 since=\"a=@b\"" },
		{ "partial-file db /x 0:1 since=a@b=c",
		  "partial-file db /x 0:1 since=\"a@b=c\"" },
		{ "partial-file db /x 0:1 since=\"@1\"",
		  "partial-file db /x 0:1 since=\"@1\"" },
		{ "partial-file db /x 0:1 since=@" ID,
		  "partial-file db /x 0:1 since=@" ID },
		{ "partial-file db /x 0:1 since=\"@" ID "\"",
		  "partial-file db /x 0:1 since=\"@" ID "\"" },
	};
	static const struct row bad[] = {
		{ "partial-file db /x 0:1 since=@", "32 hexadecimal digits" },
		{ "partial-file db /x 0:1 since=@1", "in quotes" },
		{ "partial-file db /x 0:1 since=@" ID "0", "32 hexadecimal" },
		{ "partial-file db /x 0:1 "
		  "since=@0123456789ABCDEF0123456789abcdef",
		  "lower-case" },
		/* The quote is not in front of the @. */
		{ "partial-file db /x 0:1 since=@=\"x\"",
		  "32 hexadecimal digits" },
		{ "partial-file db /x 0:1 since", "without its value" },
		{ "partial-file db /x 0:1 since=a since=a", "there twice" },
	};
	struct statement s = { 0 };

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
	assert_int_equal(
		statement_parse(&s, "partial-file db /x 0:1", 22, NULL), 0);
	assert_int_equal(s.since, SINCE_NOTHING);
	statement_clear(&s);
}

static void
a_differenced_file_is_a_directory_a_pattern_and_a_time(void **state)
{
	static const struct row good[] = {
		{ "differenced-file db /d *", "differenced-file db /d *" },
		{ "differenced-file db /d/ \\*.x recursive",
		  "differenced-file db /d \\*.x recursive" },
		{ "differenced-file db / *.x newer=@5 recursive",
		  "differenced-file db / *.x recursive "
		  "newer=1970-01-01T00:00:05Z" },
		{ "differenced-file db /d a newer=2026-11-21T21:25:13.25+01:00",
		  "differenced-file db /d a "
		  "newer=2026-11-21T20:25:13.250000000Z" },
	};
	static const struct row bad[] = {
		{ "differenced-file db /d", "words are missing" },
		{ "differenced-file db d *", "not an absolute path" },
		{ "differenced-file db /d//e *", "an empty name" },
		{ "differenced-file db /d a/b", "a slash in a pattern" },
		{ "differenced-file db /d a\\b", "a backslash in a pattern" },
		{ "differenced-file db /d \"\"", "an empty pattern" },
		{ "differenced-file db /d * newer=2026-11-21T20:25:13",
		  "a time is" },
		{ "differenced-file db /d * newer=@1.5", "a time is" },
		{ "differenced-file db /d * newer=", "a time is" },
		{ "differenced-file db /d * since=x", "an unknown option" },
		{ "differenced-file db /d * recursive=yes", "has no value" },
	};

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
}

static void
stamps_and_metadata_are_one_text(void **state)
{
	static const struct row good[] = {
		{ "backup-stamp db 0/16B3748", "backup-stamp db 0/16B3748" },
		{ "backup-stamp db \"\"", "backup-stamp db \"\"" },
		{ "backup-stamp db a=b", "backup-stamp db \"a=b\"" },
		{ "backup-stamp db \"a\\n\\x01\\xff\"",
		  "backup-stamp db \"a\\n\\x01\\xff\"" },
		{ "backup-metadata a/b \"x y\"",
		  "backup-metadata a/b \"x y\"" },
	};
	static const struct row bad[] = {
		{ "backup-stamp db", "words are missing" },
		{ "backup-stamp db a b", "a word too many: b" },
		{ "backup-stamp db a x=y", "an unknown option" },
		{ "backup-stamp db \"a\\x00\"", "a NUL byte" },
		{ "backup-metadata db", "words are missing" },
	};

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
}

static void
a_stamp_by_itself_loses_one_newline_and_has_no_nul(void **state)
{
	static char large[STATEMENT_STAMP_MAX + 1];
	struct err e = { 0 };
	size_t len = 3;

	(void)state;
	assert_int_equal(statement_stamp("a\n\n", &len, NULL), 0);
	assert_int_equal(len, 2);
	len = 1;
	assert_int_equal(statement_stamp("\n", &len, NULL), 0);
	assert_int_equal(len, 0);
	assert_int_equal(statement_stamp("", &len, NULL), 0);
	len = 2;
	assert_int_equal(statement_stamp("a\0", &len, &e), -1);
	assert_int_equal(refuse_errno(&e), EINVAL);
	err_clear(&e);
	memset(large, 'x', sizeof(large));
	len = STATEMENT_STAMP_MAX;
	assert_int_equal(statement_stamp(large, &len, NULL), 0);
	len++;
	assert_int_equal(statement_stamp(large, &len, &e), -1);
	assert_int_equal(refuse_errno(&e), EMSGSIZE);
}

static void
attach_wants_a_file_to_take_it_from(void **state)
{
	static const struct row good[] = {
		{ "attach db /x/label from=/tmp/l",
		  "attach db /x/label from=/tmp/l" },
	};
	static const struct row bad[] = {
		{ "attach db /x", "from= is missing" },
		{ "attach db /x /y", "a word too many" },
		{ "attach db /x from=y", "not an absolute path" },
		{ "attach db /x/ from=/y", "an empty name" },
		{ "attach db", "words are missing" },
	};

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
}

static void
a_gap_is_of_a_component_or_a_file(void **state)
{
	static const struct row good[] = { { "gap db", "gap db" },
					   { "gap db /x", "gap db /x" } };
	static const struct row bad[] = { { "gap", "words are missing" },
					  { "gap db x", "not an absolute" },
					  { "gap db /x /y", "too many" } };

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
}

static void
rt_01_a_restore_target_is_one_of_four_words(void **state)
{
	static const struct row good[] = {
		{ "restore-target db original", "restore-target db original" },
		{ "restore-target db alternate",
		  "restore-target db alternate" },
		{ " restore-target a/b directed ",
		  "restore-target a/b directed" },
		{ "restore-target db original-location",
		  "restore-target db original-location" },
	};
	static const struct row bad[] = {
		{ "restore-target db", "words are missing" },
		{ "restore-target db Original", "a restore target is" },
		{ "restore-target db \"\"", "a restore target is" },
		{ "restore-target db directed /x", "a word too many" },
		{ "restore-target ../db directed", "" },
	};

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
}

static void
dt_04_a_directed_target_has_both_places_and_both_ranges(void **state)
{
	static const struct row good[] = {
		{ "directed-target db /x 0:8 /y 8:8",
		  "directed-target db /x 0:8 /y 8:8" },
		/* In order, not merged: the pairs count. */
		{ "directed-target db /x 8:4, 4:4 /x 0x10:4,\t0:4",
		  "directed-target db /x 8:4,4:4 /x 16:4,0:4" },
		{ "directed-target db \"/x y\" 0:1,0:1 \"/z z\" 0:1,1:1",
		  "directed-target db \"/x y\" 0:1,0:1 \"/z z\" 0:1,1:1" },
		{ "directed-target db /x 0:0,5:1 /y 7:1,9:0",
		  "directed-target db /x 5:1 /y 7:1" },
	};
	static const struct row bad[] = {
		{ "directed-target db /x 0:8 /y", "words are missing" },
		{ "directed-target db /x 0:8, 8:8 /y", "words are missing" },
		{ "directed-target db /x 0:4, 4:4, /y 0:4 /z",
		  "a number is missing" },
		{ "directed-target db x 0:8 /y 8:8", "not an absolute path" },
		{ "directed-target db /x 0:8 y 8:8", "not an absolute path" },
		{ "directed-target db /x 0:8 /y/../z 8:8", "" },
		{ "directed-target db /x none /y none", "nothing is directed" },
		{ "directed-target db /x 0:0 /y 0:0", "nothing is directed" },
		{ "directed-target db /x 0:8 /y 8:8 z", "a word too many" },
		{ "directed-target db /x file=/r /y 0:8", "" },
	};

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
}

static void
api_30_directed_ranges_are_pairs_of_one_length(void **state)
{
	static const struct row bad[] = {
		{ "directed-target db /x 0:8 /y 0:4,4:4", "as many" },
		{ "directed-target db /x 0:4,4:4 /y 0:8", "as many" },
		{ "directed-target db /x 0:8,8:4 /y 0:4,4:8",
		  "range 1 has 8 bytes and goes to 4" },
		{ "directed-target db /x 0:8,8:8 /y 0:8,4:8", "overlap" },
		/* Their lengths, in 64 bits, add up to what they cover. */
		{ "directed-target db /x 0:0x8000000000000000,"
		  "0:0x8000000000000000,0:0x8000000000000000 "
		  "/y 0:0x8000000000000000,0:0x8000000000000000,"
		  "0:0x8000000000000000",
		  "overlap" },
		{ "directed-target db /x 0:1 /y 0xffffffffffffffff:1",
		  "beyond 64 bits" },
	};

	(void)state;
	refused(bad, N_OF(bad));
}

static void
restore_metadata_is_one_text(void **state)
{
	static const struct row good[] = {
		{ "restore-metadata db \"x y\"",
		  "restore-metadata db \"x y\"" },
		{ "restore-metadata db \"\"", "restore-metadata db \"\"" },
	};
	static const struct row bad[] = {
		{ "restore-metadata db", "words are missing" },
		{ "restore-metadata db a b", "a word too many" },
	};

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
}

static void
three_statements_are_about_a_restore(void **state)
{
	unsigned kind;
	unsigned n = 0;

	(void)state;
	for (kind = STATEMENT_NONE; kind <= STATEMENT_ABORT; kind++)
		n += statement_is_restore((enum statement_kind)kind);
	assert_int_equal(n, 3);
	assert_true(statement_is_restore(STATEMENT_RESTORE_TARGET));
	assert_true(statement_is_restore(STATEMENT_DIRECTED_TARGET));
	assert_true(statement_is_restore(STATEMENT_RESTORE_METADATA));
}

static void
begin_commit_and_abort_stand_alone(void **state)
{
	static const struct row good[] = { { "begin", "begin" },
					   { "commit\r", "commit" },
					   { " abort ", "abort" } };
	static const struct row bad[] = { { "begin x", "a word too many" },
					  { "commit x=y", "unknown option" },
					  { "abort db", "a word too many" } };

	(void)state;
	taken(good, N_OF(good));
	refused(bad, N_OF(bad));
}

static void
a_refusal_tells_how_narrow_its_gap_is(void **state)
{
	static const struct {
		const char *line;
		const char *component, *path;
	} t[] = {
		{ "partial-file db /x oops", "db", "/x" },
		{ "partial-file db /x 0:1 size=x", "db", "/x" },
		{ "partial-file db /x 0:1 \"open", "db", "/x" },
		{ "partial-file db \"/x", "db", NULL },
		{ "partial-file db x 0:1", "db", NULL },
		{ "partial-file db", "db", NULL },
		{ "partial-file \"db", NULL, NULL },
		{ "partial-file ../db /x 0:1", NULL, NULL },
		{ "attach db /x form=/y", "db", "/x" },
		{ "gap db /x /y", "db", "/x" },
		{ "differenced-file db /d * newer=x", "db", NULL },
		{ "backup-stamp db /x y", "db", NULL },
		{ "directed-target db /x 0:1 /y 0:2", "db", "/x" },
		{ "restore-target db nowhere", "db", NULL },
		{ "restore-metadata db x y", "db", NULL },
		{ "partial db /x 0:1", NULL, NULL },
		{ "begin db", NULL, NULL },
		{ "\"", NULL, NULL },
	};
	struct statement s = { 0 };
	const char *component;
	const char *path;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		assert_int_equal(
			statement_parse(&s, t[i].line, strlen(t[i].line), NULL),
			-1);
		statement_gap(&s, &component, &path);
		if ((component == NULL) != (t[i].component == NULL) ||
		    (path == NULL) != (t[i].path == NULL))
			fail_msg("%s", t[i].line);
		if (component != NULL)
			assert_string_equal(component, t[i].component);
		if (path != NULL)
			assert_string_equal(path, t[i].path);
	}
	statement_clear(&s);
}

/* A line of `len` bytes: `head`, and `byte` to the end. */
static char *
long_line(const char *head, int byte, size_t len)
{
	char *line = mem_alloc(len);

	memset(line, byte, len);
	memcpy(line, head, strlen(head));
	return line;
}

static void
a_line_that_is_too_long_is_emsgsize_and_leaves_a_narrow_gap(void **state)
{
	char *line = long_line("partial-file db /x ", '1', 70000);
	struct statement s = { 0 };
	struct err e = { 0 };
	const char *component;
	const char *path;

	(void)state;
	assert_int_equal(statement_parse(&s, line, 70000, &e), -1);
	assert_int_equal(refuse_errno(&e), EMSGSIZE);
	statement_gap(&s, &component, &path);
	assert_string_equal(component, "db");
	assert_string_equal(path, "/x");
	statement_clear(&s);
	mem_free(line);
}

static void
a_line_whose_normal_form_is_too_long_is_emsgsize(void **state)
{
	char *line = long_line("backup-stamp db ", 0xe4, 60000);
	struct statement s = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(statement_parse(&s, line, 16000, &e), 0);
	assert_int_equal(statement_parse(&s, line, 60000, &e), -1);
	assert_int_equal(refuse_errno(&e), EMSGSIZE);
	statement_clear(&s);
	mem_free(line);
}

static void
a_line_full_of_ranges_is_a_statement_and_so_is_its_normal_form(void **state)
{
	struct buf b = { 0 };
	struct buf normal = { 0 };
	struct statement s = { 0 };
	struct err e = { 0 };
	unsigned i;

	(void)state;
	buf_add_str(&b, "partial-file db /x 0x0:1");
	for (i = 2; b.len < GRAMMAR_LINE_MAX - 16; i += 2)
		buf_printf(&b, ", 0x%x:1", i);
	if (statement_parse(&s, b.data, b.len, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(s.ranges.count, i / 2);
	statement_print(&s, &normal);
	check_again(buf_str(&normal));
	statement_clear(&s);
	buf_clear(&b);
	buf_clear(&normal);
}

static int
parse_once(const char *line, struct err *e)
{
	struct statement s = { 0 };
	int rc = statement_parse(&s, line, strlen(line), e);

	statement_clear(&s);
	return rc;
}

static int
partial_once(struct err *e)
{
	return parse_once("partial-file db /x 1:1, 3:1 since=a size=1 "
			  "metadata=b",
			  e);
}

static int
directed_once(struct err *e)
{
	return parse_once("directed-target db /x 1:1, 3:1 /y 3:1, 1:1", e);
}

static void
without_memory_a_statement_is_enomem(void **state)
{
	(void)state;
	words_without_memory(partial_once, 3);
	words_without_memory(directed_once, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blank_lines_and_comments_are_nothing),
		cmocka_unit_test(
			a_partial_file_names_component_path_and_ranges),
		cmocka_unit_test(ranges_may_be_in_a_ranges_file),
		cmocka_unit_test(since_is_a_stamp_or_a_generations_id),
		cmocka_unit_test(
			a_differenced_file_is_a_directory_a_pattern_and_a_time),
		cmocka_unit_test(stamps_and_metadata_are_one_text),
		cmocka_unit_test(
			a_stamp_by_itself_loses_one_newline_and_has_no_nul),
		cmocka_unit_test(attach_wants_a_file_to_take_it_from),
		cmocka_unit_test(a_gap_is_of_a_component_or_a_file),
		cmocka_unit_test(rt_01_a_restore_target_is_one_of_four_words),
		cmocka_unit_test(
			dt_04_a_directed_target_has_both_places_and_both_ranges),
		cmocka_unit_test(
			api_30_directed_ranges_are_pairs_of_one_length),
		cmocka_unit_test(restore_metadata_is_one_text),
		cmocka_unit_test(three_statements_are_about_a_restore),
		cmocka_unit_test(begin_commit_and_abort_stand_alone),
		cmocka_unit_test(a_refusal_tells_how_narrow_its_gap_is),
		cmocka_unit_test(
			a_line_that_is_too_long_is_emsgsize_and_leaves_a_narrow_gap),
		cmocka_unit_test(
			a_line_whose_normal_form_is_too_long_is_emsgsize),
		cmocka_unit_test(
			a_line_full_of_ranges_is_a_statement_and_so_is_its_normal_form),
		cmocka_unit_test(without_memory_a_statement_is_enomem),
	};

	return cmocka_run_group_tests_name("statement", tests, NULL, NULL);
}
