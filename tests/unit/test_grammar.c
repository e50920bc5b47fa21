/*
 * Lines against words: tables of what doc/control.md, section 3, promises, and
 * random bytes, which come back as they were written.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/grammar.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/writer/refuse.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/rng.h"
#include "tests/lib/words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The words of a line joined by '|', or the sentence behind a '!'. */
static const char *
words(const char *line, size_t len)
{
	static char out[1000];
	struct grammar_line l = { 0 };
	struct err e = { 0 };
	size_t i;

	out[0] = '\0';
	if (grammar_split(&l, line, len, &e) < 0)
		(void)snprintf(out, sizeof(out), "!%s", e.text);
	for (i = 0; out[0] != '!' && i < l.count; i++) {
		size_t at = strlen(out);

		assert_int_equal(strlen(l.word[i].s), l.word[i].len);
		(void)snprintf(out + at, sizeof(out) - at, "%s%s",
			       i > 0 ? "|" : "", l.word[i].s);
	}
	grammar_clear(&l);
	return out;
}

static void
check(const char *line, const char *want)
{
	assert_string_equal(words(line, strlen(line)), want);
}

static void
words_are_separated_by_blanks(void **state)
{
	(void)state;
	check("", "");
	check("  \t ", "");
	check("a", "a");
	check("a b", "a|b");
	check(" \ta \t b\t", "a|b");
	check("a\\nb \\*", "a\\nb|\\*");
	check("\xc3\xa4 \xff", "\xc3\xa4|\xff");
}

static void
a_comment_begins_with_the_first_byte_only(void **state)
{
	(void)state;
	check("# a b", "");
	check("  \t#a \"", "");
	check("a # b", "a|#|b");
	check("a #b", "a|#b");
	check("\"#\" b", "#|b");
}

static void
a_quote_starts_a_word_or_follows_an_equals_sign(void **state)
{
	(void)state;
	check("\"a b\" c", "a b|c");
	check("\"\"", "");
	check("k=\"a b\"", "k=a b");
	check("k=\"\" x", "k=|x");
	check("k=a=\"b\"", "k=a=b");
	check("a\"b\"", "!column 2: a quote in the middle of a word");
	check("x a\"", "!column 4: a quote in the middle of a word");
	check("\"a\"b", "!column 4: no blank behind a quoted word");
	check("k=\"a\"\"b\"", "!column 6: no blank behind a quoted word");
	check("x \"a", "!column 3: a quote that is not closed");
	check("x \"a\\\"", "!column 3: a quote that is not closed");
}

static void
escapes_are_these_five_and_no_others(void **state)
{
	(void)state;
	check("\"\\n\\t\\\"\\\\\\x41\\xfF\"", "\n\t\"\\A\xff");
	check("\"\\r\"",
	      "!column 2: an escape that is none of \\n \\t \\\" \\\\ \\xHH");
	check("\"\\0\"",
	      "!column 2: an escape that is none of \\n \\t \\\" \\\\ \\xHH");
	check("\"a\\*\"",
	      "!column 3: an escape that is none of \\n \\t \\\" \\\\ \\xHH");
	check("\"\\x4\"", "!column 2: \\x wants two hex digits");
	check("\"\\xg1\"", "!column 2: \\x wants two hex digits");
	check("\"\\x", "!column 2: \\x wants two hex digits");
	check("\"\\", "!column 2: a backslash at the end");
}

static void
nul_is_refused_wherever_it_is(void **state)
{
	(void)state;
	assert_string_equal(words("a\0b", 3), "!column 2: a NUL byte");
	assert_string_equal(words("\"a\0\"", 4), "!column 3: a NUL byte");
	check("a \"\\x00\"", "!column 4: a NUL byte");
	/* In a comment, too, nobody looks. */
	assert_string_equal(words("#\0", 2), "");
}

static void
control_bytes_need_quotes_and_a_newline_an_escape(void **state)
{
	(void)state;
	check("a\x01", "!column 2: a control byte outside quotes");
	check("a\x7f", "!column 2: a control byte outside quotes");
	check("a\nb", "!column 2: a control byte outside quotes");
	check("\"a\x01\t\"", "a\x01\t");
	check("\"a\nb\"", "!column 3: a newline inside a line");
}

static void
one_carriage_return_before_the_newline_is_dropped(void **state)
{
	(void)state;
	check("a b\r", "a|b");
	check("\"a\"\r", "a");
	check("\r", "");
	check("a\r\r", "!column 2: a control byte outside quotes");
	check("a\rb", "!column 2: a control byte outside quotes");
}

static void
a_line_has_at_most_64_kib(void **state)
{
	char *line = mem_alloc(GRAMMAR_LINE_MAX + 2);
	struct grammar_line l = { 0 };
	struct err e = { 0 };

	(void)state;
	memset(line, 'x', GRAMMAR_LINE_MAX + 2);
	line[3] = ' ';
	line[GRAMMAR_LINE_MAX] = '\r';
	assert_int_equal(grammar_split(&l, line, GRAMMAR_LINE_MAX, &e), 0);
	assert_int_equal(grammar_split(&l, line, GRAMMAR_LINE_MAX + 1, &e), 0);
	line[GRAMMAR_LINE_MAX] = 'x';
	assert_int_equal(grammar_split(&l, line, GRAMMAR_LINE_MAX + 1, &e), -1);
	assert_int_equal(refuse_errno(&e), EMSGSIZE);
	/* What was cut is no word; what stands before it is. */
	assert_int_equal(l.count, 1);
	assert_string_equal(l.word[0].s, "xxx");
	grammar_clear(&l);
	mem_free(line);
}

static void
a_line_has_a_limited_number_of_words(void **state)
{
	size_t len = 2 * (size_t)(GRAMMAR_WORDS_MAX + 1);
	char *line = mem_alloc(len);
	struct grammar_line l = { 0 };
	struct err e = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < len; i++)
		line[i] = i % 2 == 0 ? 'x' : ' ';
	assert_int_equal(grammar_split(&l, line, len - 2, &e), 0);
	assert_int_equal(l.count, GRAMMAR_WORDS_MAX);
	assert_int_equal(grammar_split(&l, line, len, &e), -1);
	assert_string_equal(e.text, "column 32769: more than 16384 words");
	assert_int_equal(refuse_errno(&e), EINVAL);
	grammar_clear(&l);
	mem_free(line);
}

static void
a_refused_line_keeps_the_words_before_the_fault(void **state)
{
	struct grammar_line l = { 0 };
	static const char line[] = "gap db /x k=\"\\q\"";

	(void)state;
	assert_int_equal(grammar_split(&l, line, strlen(line), NULL), -1);
	assert_int_equal(l.count, 3);
	assert_string_equal(l.word[2].s, "/x");
	grammar_clear(&l);
}

/* --- options ---------------------------------------------------------------- */

static const struct grammar_key keys[] = { { "size", false },
					   { "recursive", true },
					   { "since", false } };

/* "size|recursive|since" as found, or the sentence behind a '!'. */
static const char *
options(const char *line)
{
	static char out[ERR_TEXT_LEN + 8];
	const struct grammar_word *o[N_OF(keys)];
	struct grammar_line l = { 0 };
	struct err e = { 0 };

	assert_int_equal(grammar_split(&l, line, strlen(line), &e), 0);
	if (grammar_options(&l, 1, keys, N_OF(keys), o, &e) < 0) {
		assert_int_equal(refuse_errno(&e), EINVAL);
		(void)snprintf(out, sizeof(out), "!%s", e.text);
	} else {
		(void)snprintf(out, sizeof(out), "%s|%s|%s",
			       o[0] != NULL ? grammar_value(o[0]) : "-",
			       o[1] != NULL ? "yes" : "-",
			       o[2] != NULL ? grammar_value(o[2]) : "-");
	}
	grammar_clear(&l);
	return out;
}

static void
options_stand_behind_the_fixed_words_in_any_order(void **state)
{
	static const struct {
		const char *line, *want;
	} t[] = {
		{ "x", "-|-|-" },
		{ "x size=1", "1|-|-" },
		{ "x since=a=b recursive size=", "|yes|a=b" },
		{ "x since=\"a b\"", "-|-|a b" },
		{ "x size=1 size=2",
		  "!column 10: an option is there twice: size=2" },
		{ "x recursive recursive",
		  "!column 13: an option is there twice: recursive" },
		{ "x colour=1", "!column 3: an unknown option: colour=1" },
		{ "x Size=1", "!column 3: an unknown option: Size=1" },
		{ "x siz=1", "!column 3: an unknown option: siz=1" },
		{ "x =1", "!column 3: a word too many: =1" },
		{ "x more", "!column 3: a word too many: more" },
		{ "x size", "!column 3: an option without its value: size" },
		{ "x recursive=1",
		  "!column 3: an option that has no value: recursive=1" },
		{ "x \"recursive\"", "!column 3: a word too many: recursive" },
		{ "x \"size=1\"", "!column 3: a word too many: size=1" },
		{ "x #", "!column 3: a word too many: #" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++)
		assert_string_equal(options(t[i].line), t[i].want);
}

static void
options_have_a_limited_number(void **state)
{
	struct grammar_key many[GRAMMAR_OPTIONS_MAX + 1];
	const struct grammar_word *o[GRAMMAR_OPTIONS_MAX + 1];
	static const char line[] = "a b c d e f g h i j k l m n o p q";
	struct grammar_line l = { 0 };
	struct err e = { 0 };
	char name[GRAMMAR_OPTIONS_MAX + 1][2];
	size_t i;

	(void)state;
	for (i = 0; i <= GRAMMAR_OPTIONS_MAX; i++) {
		name[i][0] = (char)('a' + (char)i);
		name[i][1] = '\0';
		many[i] = (struct grammar_key){ name[i], true };
	}
	assert_int_equal(grammar_split(&l, line, strlen(line), &e), 0);
	assert_int_equal(grammar_options(&l, 1, many, N_OF(many), o, &e), 0);
	assert_int_equal(grammar_options(&l, 0, many, N_OF(many), o, &e), -1);
	assert_string_equal(e.text, "column 33: too many options: q");
	grammar_clear(&l);
}

/* --- writing ---------------------------------------------------------------- */

static void
what_is_written_is_bare_when_it_can_be(void **state)
{
	static const struct {
		const char *bytes, *want;
	} t[] = {
		{ "/var/lib/x", "/var/lib/x" },
		{ "a#", "a#" },
		{ "a\\*", "a\\*" },
		{ "", "\"\"" },
		{ "#a", "\"#a\"" },
		{ "a b", "\"a b\"" },
		{ "a=b", "\"a=b\"" },
		{ "a\"b\\", "\"a\\\"b\\\\\"" },
		{ "\n\t\r", "\"\\n\\t\\x0d\"" },
		{ "\xc3\xa4", "\"\\xc3\\xa4\"" },
	};
	struct buf b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		buf_reset(&b);
		grammar_quote(&b, t[i].bytes, strlen(t[i].bytes));
		assert_string_equal(buf_str(&b), t[i].want);
	}
	buf_clear(&b);
}

static void
what_is_written_reads_back_as_the_same_bytes(void **state)
{
	struct rng r = { 7 };
	struct grammar_line l = { 0 };
	struct err e = { 0 };
	struct buf b = { 0 };
	char bytes[3][40];
	size_t round;
	size_t i;
	size_t k;

	(void)state;
	for (round = 0; round < 20000; round++) {
		buf_reset(&b);
		for (i = 0; i < 3; i++) {
			size_t len = rng_below(&r, 39);

			for (k = 0; k < len; k++)
				bytes[i][k] = (char)(1 + rng_below(&r, 255));
			bytes[i][len] = '\0';
			if (i == 1)
				grammar_put_option(&b, "key", bytes[i]);
			else
				grammar_put(&b, bytes[i]);
		}
		for (i = 0; i < b.len; i++)
			assert_in_range(b.data[i], 0x20, 0x7e);
		if (grammar_split(&l, b.data, b.len, &e) < 0)
			fail_msg("%s: %s", e.text, buf_str(&b));
		assert_int_equal(l.count, 3);
		assert_string_equal(l.word[0].s, bytes[0]);
		assert_int_equal(l.word[0].key, 0);
		assert_int_equal(l.word[1].key, 3);
		assert_string_equal(grammar_value(&l.word[1]), bytes[1]);
		assert_string_equal(l.word[2].s, bytes[2]);
		assert_int_equal(l.word[2].key, 0);
	}
	grammar_clear(&l);
	buf_clear(&b);
}

static int
split_once(struct err *e)
{
	static const char line[] = "a b c d e f g h i j k";
	struct grammar_line l = { 0 };
	int rc = grammar_split(&l, line, strlen(line), e);

	grammar_clear(&l);
	return rc;
}

static void
without_memory_a_line_is_enomem(void **state)
{
	(void)state;
	words_without_memory(split_once, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_separated_by_blanks),
		cmocka_unit_test(a_comment_begins_with_the_first_byte_only),
		cmocka_unit_test(
			a_quote_starts_a_word_or_follows_an_equals_sign),
		cmocka_unit_test(escapes_are_these_five_and_no_others),
		cmocka_unit_test(nul_is_refused_wherever_it_is),
		cmocka_unit_test(
			control_bytes_need_quotes_and_a_newline_an_escape),
		cmocka_unit_test(
			one_carriage_return_before_the_newline_is_dropped),
		cmocka_unit_test(a_line_has_at_most_64_kib),
		cmocka_unit_test(a_line_has_a_limited_number_of_words),
		cmocka_unit_test(
			a_refused_line_keeps_the_words_before_the_fault),
		cmocka_unit_test(
			options_stand_behind_the_fixed_words_in_any_order),
		cmocka_unit_test(options_have_a_limited_number),
		cmocka_unit_test(what_is_written_is_bare_when_it_can_be),
		cmocka_unit_test(what_is_written_reads_back_as_the_same_bytes),
		cmocka_unit_test(without_memory_a_line_is_enomem),
	};

	return cmocka_run_group_tests_name("grammar", tests, NULL, NULL);
}
