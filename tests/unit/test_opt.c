#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "base/mem.h"
#include "src/cli/opt.h"

#include "tests/lib/cmocka_all.h"

#include <stdbool.h>
#include <string.h>

#define WORDS_MAX 12

static const char *const colours[] = { "red", "green", "blue", NULL };

/* clang-format off */
static const struct opt own[] = {
	{ .name = "all", .letter = 'a', .help = "" },
	{ .name = "long", .letter = 'l', .help = "" },
	{ .name = "exclude", .letter = 'e', .kind = OPT_TEXT, .value = "P",
	  .help = "" },
	{ .name = "exclude-from", .kind = OPT_FILE, .value = "F", .help = "" },
	{ .name = "colour", .letter = 'c', .kind = OPT_WORD, .value = "C",
	  .words = colours, .help = "" },
	{ .name = "level", .kind = OPT_NUMBER, .value = "N", .max = 19,
	  .help = "" },
	{ .name = "count", .letter = 'n', .kind = OPT_NUMBER, .value = "N",
	  .help = "" },
	{ .name = "cache", .kind = OPT_SIZE, .value = "SIZE", .help = "" },
	{ 0 },
};
static const struct opt common[] = {
	{ .name = "repository", .letter = 'r', .kind = OPT_DIR, .value = "DIR",
	  .help = "" },
	{ .name = "quiet", .letter = 'q', .help = "" },
	{ 0 },
};
/* clang-format on */
static const struct opt *const tables[] = { own, common, NULL };

static int
count_words(const char *const *words)
{
	int n = 0;

	while (words[n] != NULL)
		n++;
	return n;
}

static int
parse(const char *const *words, struct opts *o, struct err *e)
{
	return opt_parse(tables, count_words(words), words, false, o, e);
}

/* "name=text name operand | operand": what a parse amounts to. */
static void
describe(const struct opts *o, char *out, size_t cap)
{
	size_t i;

	out[0] = '\0';
	for (i = 0; i < o->values; i++) {
		strncat(out, o->value[i].opt->name, cap - strlen(out) - 1);
		if (o->value[i].text != NULL) {
			strncat(out, "=", cap - strlen(out) - 1);
			strncat(out, o->value[i].text, cap - strlen(out) - 1);
		}
		strncat(out, " ", cap - strlen(out) - 1);
	}
	strncat(out, "|", cap - strlen(out) - 1);
	for (i = 0; i < o->args; i++) {
		strncat(out, " ", cap - strlen(out) - 1);
		strncat(out, o->arg[i], cap - strlen(out) - 1);
	}
}

static void
opt_parse_takes_every_way_to_write_an_option(void **state)
{
	/* clang-format off */
	static const struct {
		const char *words[WORDS_MAX];
		const char *want;
	} t[] = {
		{ { NULL }, "|" },
		{ { "a", "b" }, "| a b" },
		{ { "--all" }, "all |" },
		{ { "-a" }, "all |" },
		{ { "-al" }, "all long |" },
		{ { "--exclude", "x" }, "exclude=x |" },
		{ { "--exclude=x" }, "exclude=x |" },
		{ { "--exclude=x=y" }, "exclude=x=y |" },
		{ { "--exclude-from=x" }, "exclude-from=x |" },
		{ { "-e", "x" }, "exclude=x |" },
		{ { "-ex" }, "exclude=x |" },
		{ { "-aex" }, "all exclude=x |" },
		{ { "-ae", "x" }, "all exclude=x |" },
		{ { "-e=x" }, "exclude==x |" },
		{ { "--exclude", "--all" }, "exclude=--all |" },
		{ { "-e", "-a" }, "exclude=-a |" },
		{ { "-e", "--", "-a" }, "exclude=-- all |" },
		{ { "a", "-l", "b" }, "long | a b" },
		{ { "-r", "/r", "-q", "a" }, "repository=/r quiet | a" },
		{ { "--", "-a", "--all" }, "| -a --all" },
		{ { "a", "--", "--", "b" }, "| a -- b" },
		{ { "-" }, "| -" },
		{ { "-l", "-", "-a" }, "long all | -" },
		{ { "" }, "| " },
		{ { "-e", "1", "-e", "2" }, "exclude=1 exclude=2 |" },
	};
	/* clang-format on */
	char text[200];
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		struct opts o = { 0 };
		struct err e = { 0 };

		assert_int_equal(parse(t[i].words, &o, &e), 0);
		describe(&o, text, sizeof(text));
		assert_string_equal(text, t[i].want);
		opt_clear(&o);
	}
}

static void
opt_parse_names_what_is_wrong(void **state)
{
	/* clang-format off */
	static const struct {
		const char *words[WORDS_MAX];
		const char *want;
	} t[] = {
		{ { "--foo" }, "unknown option --foo" },
		{ { "--foo=1" }, "unknown option --foo" },
		{ { "--f\x1b[m" }, "unknown option --f\\x1b[m" },
		{ { "-z" }, "unknown option -z" },
		{ { "-az" }, "unknown option -z" },
		{ { "-\n" }, "unknown option -\\n" },
		{ { "--all-of-them" }, "unknown option --all-of-them" },
		{ { "--al" }, "unknown option --al; did you mean --all?" },
		{ { "--exlude", "x" },
		  "unknown option --exlude; did you mean --exclude?" },
		{ { "--quite" },
		  "unknown option --quite; did you mean --quiet?" },
		{ { "--all=yes" }, "--all takes no value" },
		{ { "--exclude" }, "--exclude needs a value: --exclude P" },
		{ { "-ae" }, "--exclude needs a value: --exclude P" },
		{ { "--exclude=" }, "--exclude needs a value, not nothing" },
		{ { "--exclude", "" }, "--exclude needs a value, not nothing" },
		{ { "--colour", "pink" },
		  "--colour is red, green or blue, not pink" },
		{ { "--colour=re" },
		  "--colour is red, green or blue, not re" },
		{ { "--level", "20" }, "--level is a number from 0 to 19, not 20" },
		{ { "--level", "-1" }, "--level is a number from 0 to 19, not -1" },
		{ { "--level", "1x" }, "--level is a number from 0 to 19, not 1x" },
		{ { "--count", "2147483648" },
		  "--count is a number from 0 to 2147483647, not 2147483648" },
		{ { "--cache=64Q" }, "--cache is a size such as 64M, not 64Q" },
	};
	/* clang-format on */
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		struct opts o = { 0 };
		struct err e = { 0 };

		assert_int_equal(parse(t[i].words, &o, &e), -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_string_equal(e.text, t[i].want);
		opt_clear(&o);
	}
}

static void
opt_parse_stops_at_the_first_operand_when_asked(void **state)
{
	static const char *const words[] = { "-q",    "-r", "/r", "cmd",
					     "--all", "--", "-z" };
	struct opts o = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(opt_parse(tables, N_OF(words), words, true, &o, &e),
			 0);
	assert_int_equal(o.values, 2);
	assert_int_equal(o.args, 4);
	assert_ptr_equal(o.arg[0], words[3]);
	assert_ptr_equal(o.arg[3], words[6]);
	opt_clear(&o);
}

static void
opt_parse_adds_to_what_was_parsed_before(void **state)
{
	static const char *const words[] = { "-q", "--count=7" };
	struct opts o = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(opt_parse(tables, 1, words, true, &o, &e), 0);
	assert_int_equal(opt_parse(tables, 1, words + 1, false, &o, &e), 0);
	assert_true(opt_given(&o, "quiet"));
	assert_int_equal(opt_number(&o, "count", 1), 7);
	opt_clear(&o);
}

static void
the_last_of_an_option_counts(void **state)
{
	static const char *const words[] = { "-n1", "--count=2", "-r",  "a",
					     "-n",  "3",         "-rb", NULL };
	struct opts o = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(parse(words, &o, &e), 0);
	assert_int_equal(opt_number(&o, "count", 0), 3);
	assert_string_equal(opt_text(&o, "repository"), "b");
	opt_clear(&o);
}

static void
what_was_not_given_has_its_fallback(void **state)
{
	struct opts o = { 0 };

	(void)state;
	assert_false(opt_given(&o, "all"));
	assert_null(opt_text(&o, "exclude"));
	assert_int_equal(opt_number(&o, "count", 42), 42);
	opt_clear(&o);
}

static void
a_word_has_its_place_as_number(void **state)
{
	static const char *const words[] = { "--colour=blue", NULL };
	struct opts o = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(parse(words, &o, &e), 0);
	assert_int_equal(opt_number(&o, "colour", 0), 2);
	assert_string_equal(opt_text(&o, "colour"), "blue");
	opt_clear(&o);
}

static void
opt_size_parse_knows_its_units(void **state)
{
	/* clang-format off */
	static const struct {
		const char *s;
		bool ok;
		uint64_t want;
	} t[] = {
		{ "0", true, 0 },
		{ "1", true, 1 },
		{ "1k", true, 1024 },
		{ "1K", true, 1024 },
		{ "64M", true, UINT64_C(64) << 20 },
		{ "64MiB", true, UINT64_C(64) << 20 },
		{ "3G", true, UINT64_C(3) << 30 },
		{ "2T", true, UINT64_C(2) << 40 },
		{ "18446744073709551615", true, UINT64_MAX },
		{ "16777215T", true, UINT64_C(16777215) << 40 },
		{ "16777216T", false, 0 },
		{ "18446744073709551616", false, 0 },
		{ "99999999999999999999999999", false, 0 },
		{ "", false, 0 },
		{ "M", false, 0 },
		{ "-1", false, 0 },
		{ "+1", false, 0 },
		{ " 1", false, 0 },
		{ "1 ", false, 0 },
		{ "1.5G", false, 0 },
		{ "1Q", false, 0 },
		{ "1MB", false, 0 },
		{ "1MiBx", false, 0 },
		{ "0x10", false, 0 },
	};
	/* clang-format on */
	uint64_t n;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		n = 12345;
		assert_int_equal(opt_size_parse(t[i].s, &n), t[i].ok);
		assert_true(n == (t[i].ok ? t[i].want : 12345));
	}
}

static void
opt_number_parse_keeps_to_its_limit(void **state)
{
	uint64_t n = 5;

	(void)state;
	assert_true(opt_number_parse("0", 0, &n));
	assert_true(n == 0);
	assert_true(opt_number_parse("007", 7, &n));
	assert_true(n == 7);
	assert_false(opt_number_parse("8", 7, &n));
	assert_false(opt_number_parse("", UINT64_MAX, &n));
	assert_false(opt_number_parse("1-", UINT64_MAX, &n));
	assert_true(opt_number_parse("18446744073709551615", UINT64_MAX, &n));
	assert_true(n == UINT64_MAX);
	assert_false(opt_number_parse("18446744073709551616", UINT64_MAX, &n));
	assert_false(opt_number_parse("99999999999999999999", UINT64_MAX, &n));
	assert_true(n == UINT64_MAX);
}

static void
opt_distance_counts_slips(void **state)
{
	/* clang-format off */
	static const struct {
		const char *a, *b;
		unsigned want;
	} t[] = {
		{ "", "", 0 },
		{ "ls", "ls", 0 },
		{ "", "abc", 3 },
		{ "abc", "", 3 },
		{ "backup", "bakup", 1 },
		{ "backup", "backups", 1 },
		{ "backup", "backep", 1 },
		{ "quiet", "quite", 2 },
		{ "kitten", "sitting", 3 },
	};
	/* clang-format on */
	char big[100];
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		assert_int_equal(opt_distance(t[i].a, t[i].b), t[i].want);
		assert_int_equal(opt_distance(t[i].b, t[i].a), t[i].want);
	}
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_true(opt_distance(big, "x") > OPT_SLIP_MAX);
	assert_true(opt_distance("x", big) > OPT_SLIP_MAX);
}

/* --- out of memory -------------------------------------------------------- */

static size_t allow;

static bool
fail_after(size_t size)
{
	(void)size;
	if (allow == 0)
		return true;
	allow--;
	return false;
}

static void
opt_parse_survives_every_failing_allocation(void **state)
{
	static const char *words[64];
	struct opts o;
	struct err e;
	size_t i;
	size_t n;
	int rc = -1;

	(void)state;
	for (i = 0; i + 1 < N_OF(words); i++)
		words[i] = i % 2 == 0 ? "-a" : "operand";
	for (n = 0; rc < 0; n++) {
		assert_true(n < 20);
		o = (struct opts){ 0 };
		e = (struct err){ 0 };
		allow = n;
		mem_fail(fail_after);
		rc = parse(words, &o, &e);
		mem_fail(NULL);
		if (rc < 0)
			assert_int_equal(e.kind, ERR_NOMEM);
		else
			assert_int_equal(o.values + o.args, N_OF(words) - 1);
		opt_clear(&o);
	}
	assert_true(n > 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opt_parse_takes_every_way_to_write_an_option),
		cmocka_unit_test(opt_parse_names_what_is_wrong),
		cmocka_unit_test(
			opt_parse_stops_at_the_first_operand_when_asked),
		cmocka_unit_test(opt_parse_adds_to_what_was_parsed_before),
		cmocka_unit_test(the_last_of_an_option_counts),
		cmocka_unit_test(what_was_not_given_has_its_fallback),
		cmocka_unit_test(a_word_has_its_place_as_number),
		cmocka_unit_test(opt_size_parse_knows_its_units),
		cmocka_unit_test(opt_number_parse_keeps_to_its_limit),
		cmocka_unit_test(opt_distance_counts_slips),
		cmocka_unit_test(opt_parse_survives_every_failing_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
