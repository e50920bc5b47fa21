#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"

#include "tests/lib/cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
fail_all(size_t size)
{
	(void)size;
	return true;
}

static void
path_name_ok_takes_what_a_directory_can_hold(void **state)
{
	char big[PATH_NAME_MAX + 1];
	/* clang-format off */
	static const struct {
		const char *name;
		size_t len;
		bool ok;
	} t[] = {
		{ "a", 1, true },
		{ "...", 3, true },
		{ ".a", 2, true },
		{ "..a", 3, true },
		{ " ", 1, true },
		{ "\n\xff\x01", 3, true },
		{ "a\\b", 3, true },
		{ "", 0, false },
		{ ".", 1, false },
		{ "..", 2, false },
		{ "/", 1, false },
		{ "a/", 2, false },
		{ "/a", 2, false },
		{ "a/b", 3, false },
		{ "../a", 4, false },
		{ "a\0b", 3, false },
		{ "a\0", 2, false },
		{ "\0", 1, false },
	};
	/* clang-format on */
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++)
		assert_int_equal(path_name_ok(t[i].name, t[i].len), t[i].ok);
	memset(big, 'n', sizeof(big));
	assert_true(path_name_ok(big, PATH_NAME_MAX));
	assert_false(path_name_ok(big, PATH_NAME_MAX + 1));
}

static void
path_absolute_makes_paths_normal(void **state)
{
	/* clang-format off */
	static const struct {
		const char *cwd;
		const char *path;
		const char *want;
	} t[] = {
		{ "/c/d", "a", "/c/d/a" },
		{ "/c/d", "a/b/", "/c/d/a/b" },
		{ "/c/d", ".", "/c/d" },
		{ "/c/d", "./", "/c/d" },
		{ "/c/d", "..", "/c" },
		{ "/c/d", "../..", "/" },
		{ "/c/d", "../../../..", "/" },
		{ "/c/d", "../e", "/c/e" },
		{ "/c/d", "/a", "/a" },
		{ "/c/d", "//a///b//", "/a/b" },
		{ "/c/d", "/", "/" },
		{ "/c/d", "/..", "/" },
		{ "/c/d", "/../a", "/a" },
		{ "/c/d", "/a/./b/../c", "/a/c" },
		{ "/c/d", "/a/...", "/a/..." },
		{ "/c/d", "/a/.b", "/a/.b" },
		{ "/", "a", "/a" },
		{ "//c/./d/", "a", "/c/d/a" },
		{ "relative", "/a", "/a" },
		{ "/c", " ", "/c/ " },
		{ "/c", "\xff", "/c/\xff" },
	};
	/* clang-format on */
	struct buf b = { 0 };
	struct err e = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		buf_reset(&b);
		assert_int_equal(path_absolute(t[i].cwd, t[i].path, &b, &e), 0);
		assert_string_equal(buf_str(&b), t[i].want);
	}
	buf_clear(&b);
}

static void
path_absolute_appends_and_does_not_climb_into_what_was_there(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_add_str(&b, "/keep/this");
	assert_int_equal(path_absolute("/c", "../../../x", &b, NULL), 0);
	assert_string_equal(buf_str(&b), "/keep/this/x");
	buf_clear(&b);
}

static void
path_absolute_refuses_nonsense_and_leaves_the_buffer(void **state)
{
	char name[PATH_NAME_MAX + 2];
	char cwd[PATH_NAME_MAX + 3];
	char *big = mem_alloc(PATH_LEN_MAX + 10);
	struct {
		const char *cwd;
		const char *path;
	} t[] = {
		{ "/c", "" },   { "c", "a" },  { "", "a" },
		{ "/c", name }, { name, "a" }, { "/c", big },
	};
	struct buf b = { 0 };
	size_t i;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	cwd[0] = '/';
	memcpy(cwd + 1, name, sizeof(name));
	for (i = 0; i < PATH_LEN_MAX + 9; i++)
		big[i] = i % 2 ? 'p' : '/';
	big[i] = '\0';
	buf_add_str(&b, "kept");
	for (i = 0; i < N_OF(t); i++) {
		struct err e = { 0 };

		assert_int_equal(path_absolute(t[i].cwd, t[i].path, &b, &e),
				 -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_string_equal(buf_str(&b), "kept");
	}
	buf_clear(&b);
	mem_free(big);
}

static void
path_absolute_reports_that_memory_ran_out(void **state)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	mem_fail(fail_all);
	assert_int_equal(path_absolute("/c", "a", &b, &e), -1);
	mem_fail(NULL);
	assert_int_equal(e.kind, ERR_NOMEM);
	buf_clear(&b);
}

static void
path_next_walks_the_components(void **state)
{
	/* clang-format off */
	static const struct {
		const char *path;
		const char *want; /* each component in brackets */
	} t[] = {
		{ "", "" },
		{ "/", "" },
		{ "///", "" },
		{ "a", "[a]" },
		{ "/a", "[a]" },
		{ "/a/b/c", "[a][b][c]" },
		{ "//aa//b/", "[aa][b]" },
		{ ".././x", "[..][.][x]" },
	};
	/* clang-format on */
	struct buf b = { 0 };
	const char *name;
	size_t len;
	size_t pos;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		buf_reset(&b);
		pos = 0;
		while (path_next(t[i].path, &pos, &name, &len))
			buf_printf(&b, "[%.*s]", (int)len, name);
		assert_string_equal(buf_str(&b), t[i].want);
		assert_int_equal(pos, strlen(t[i].path));
		assert_false(path_next(t[i].path, &pos, &name, &len));
	}
	buf_clear(&b);
}

static void
path_beneath_compares_whole_components(void **state)
{
	/* clang-format off */
	static const struct {
		const char *path;
		const char *top;
		bool want;
	} t[] = {
		{ "/a", "/a", true },
		{ "/a/b", "/a", true },
		{ "/a/b/c", "/a/b", true },
		{ "/ab", "/a", false },
		{ "/a", "/a/b", false },
		{ "/b", "/a", false },
		{ "/", "/", true },
		{ "/a", "/", true },
		{ "/", "/a", false },
	};
	/* clang-format on */
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++)
		assert_int_equal(path_beneath(t[i].path, t[i].top), t[i].want);
}

/* clang-format off */
static const struct {
	const char *in;
	size_t len;
	const char *want;
} shows[] = {
	{ "", 0, "" },
	{ "/home/a b.txt~", 14, "/home/a b.txt~" },
	{ "a\nb\tc\rd", 7, "a\\nb\\tc\\rd" },
	{ "a\\b", 3, "a\\\\b" },
	{ "\\x41", 4, "\\\\x41" },
	{ "\x1b[31m", 5, "\\x1b[31m" },
	{ "a\0b", 3, "a\\x00b" },
	{ "\x7f", 1, "\\x7f" },
	{ "\x01\x1f", 2, "\\x01\\x1f" },
	{ "\xc3\xa9", 2, "\xc3\xa9" },                 /* e acute */
	{ "\xe2\x82\xac", 3, "\xe2\x82\xac" },         /* euro */
	{ "\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80" }, /* a face */
	{ "\xf4\x8f\xbf\xbd", 4, "\xf4\x8f\xbf\xbd" }, /* U+10FFFD */
	/* C1, soft hyphen */
	{ "\xc2\x80", 2, "\\xc2\\x80" },
	{ "\xc2\x9b", 2, "\\xc2\\x9b" },
	{ "\xc2\xad", 2, "\\xc2\\xad" },
	/* zero width, right-to-left override, isolate, BOM, tag */
	{ "\xe2\x80\x8b", 3, "\\xe2\\x80\\x8b" },
	{ "\xe2\x80\xae", 3, "\\xe2\\x80\\xae" },
	{ "\xe2\x81\xa7", 3, "\\xe2\\x81\\xa7" },
	{ "\xef\xbb\xbf", 3, "\\xef\\xbb\\xbf" },
	{ "\xf3\xa0\x81\x81", 4, "\\xf3\\xa0\\x81\\x81" },
	/* invalid: lone continuation, overlong, surrogate, above the end */
	{ "\x80", 1, "\\x80" },
	{ "\xff", 1, "\\xff" },
	{ "\xc0\xaf", 2, "\\xc0\\xaf" },
	{ "\xc1\xbf", 2, "\\xc1\\xbf" },
	{ "\xe0\x9f\xbf", 3, "\\xe0\\x9f\\xbf" },
	{ "\xf0\x8f\xbf\xbf", 4, "\\xf0\\x8f\\xbf\\xbf" },
	{ "\xed\xa0\x80", 3, "\\xed\\xa0\\x80" },
	{ "\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80" },
	{ "\xf5\x80\x80\x80", 4, "\\xf5\\x80\\x80\\x80" },
	/* cut short: what follows is still read */
	{ "\xe2\x82", 2, "\\xe2\\x82" },
	{ "\xe2\x82z", 3, "\\xe2\\x82z" },
	{ "\xe2\xc3\xa9", 3, "\\xe2\xc3\xa9" },
	{ "\xf0\x9f\x98", 3, "\\xf0\\x9f\\x98" },
};
/* clang-format on */

static void
path_show_is_safe_in_a_terminal(void **state)
{
	char text[PATH_SHOW_LEN];
	struct buf b = { 0 };
	char *in;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(shows); i++) {
		/* At the end of its allocation: no byte behind it is read. */
		in = mem_alloc(shows[i].len);
		memcpy(in, shows[i].in, shows[i].len);
		buf_reset(&b);
		path_show(&b, in, shows[i].len);
		assert_string_equal(buf_str(&b), shows[i].want);
		assert_ptr_equal(path_show_in(text, in, shows[i].len), text);
		assert_string_equal(text, shows[i].want);
		mem_free(in);
	}
	buf_clear(&b);
}

static void
path_show_in_cuts_between_characters(void **state)
{
	/* clang-format off */
	static const struct {
		const char *in;
		size_t shown; /* bytes that one becomes */
	} t[] = {
		{ "a", 1 },
		{ "\n", 2 },
		{ "\xc3\xa9", 2 },
		{ "\xe2\x82\xac", 3 },
		{ "\x01", 4 },
		{ "\xe2\x80\xae", 12 },
		{ "\xf3\xa0\x81\x81", 16 },
	};
	/* clang-format on */
	char text[PATH_SHOW_LEN];
	struct buf in = { 0 };
	size_t whole;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		whole = (PATH_SHOW_LEN - 1) / t[i].shown;
		buf_reset(&in);
		while (in.len < whole * strlen(t[i].in))
			buf_add_str(&in, t[i].in);
		path_show_in(text, in.data, in.len);
		assert_int_equal(strlen(text), whole * t[i].shown);
		buf_add_str(&in, t[i].in);
		path_show_in(text, in.data, in.len);
		whole = (PATH_SHOW_LEN - 4) / t[i].shown;
		assert_int_equal(strlen(text), whole * t[i].shown + 3);
		assert_string_equal(text + whole * t[i].shown, "...");
	}
	buf_clear(&in);
}

static void
set_variable(const char *name, const char *value)
{
	if (value == NULL)
		assert_int_equal(unsetenv(name), 0);
	else
		assert_int_equal(setenv(name, value, 1), 0);
}

static void
path_of_ours_takes_the_first_that_is_absolute(void **state)
{
	static const struct {
		const char *own, *xdg, *home, *want; /* as a user's */
	} row[] = {
		{ "/own", "/xdg", "/home", "/own" },
		{ NULL, "/xdg", "/home", "/xdg/asof" },
		{ NULL, "xdg", "/home", "/home/.c/asof" },
		{ NULL, NULL, "/home", "/home/.c/asof" },
		{ "own", "/xdg", "/home", "/home/.c/asof" },
		{ NULL, NULL, "home", NULL },
		{ NULL, NULL, NULL, NULL },
	};
	struct buf b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const bool as_root = geteuid() == 0 && row[i].own == NULL;

		set_variable("ASOF_T_OWN", row[i].own);
		set_variable("ASOF_T_XDG", row[i].xdg);
		set_variable("HOME", row[i].home);
		buf_clear(&b);
		assert_int_equal(path_of_ours("ASOF_T_OWN", "/root/c",
					      "ASOF_T_XDG", ".c/asof", &b),
				 as_root || row[i].want != NULL);
		if (as_root)
			assert_string_equal(buf_str(&b), "/root/c");
		else if (row[i].want != NULL)
			assert_string_equal(buf_str(&b), row[i].want);
	}
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_name_ok_takes_what_a_directory_can_hold),
		cmocka_unit_test(path_absolute_makes_paths_normal),
		cmocka_unit_test(
			path_absolute_appends_and_does_not_climb_into_what_was_there),
		cmocka_unit_test(
			path_absolute_refuses_nonsense_and_leaves_the_buffer),
		cmocka_unit_test(path_absolute_reports_that_memory_ran_out),
		cmocka_unit_test(path_next_walks_the_components),
		cmocka_unit_test(path_beneath_compares_whole_components),
		cmocka_unit_test(path_of_ours_takes_the_first_that_is_absolute),
		cmocka_unit_test(path_show_is_safe_in_a_terminal),
		cmocka_unit_test(path_show_in_cuts_between_characters),
	};

	return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
