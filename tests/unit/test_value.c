#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/value.h"

#include "base/buf.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/rng.h"
#include "tests/lib/words.h"

#include <inttypes.h>
#include <string.h>

static void
a_path_is_absolute_and_normal(void **state)
{
	static const struct words_fault t[] = {
		{ "/", NULL },
		{ "/a", NULL },
		{ "/a/b.c", NULL },
		{ "/...", NULL },
		{ "/a b/\xff", NULL },
		{ "/a\n", NULL },
		{ "", "not an absolute path" },
		{ "a", "not an absolute path" },
		{ "./a", "not an absolute path" },
		{ "//", "an empty name" },
		{ "//a", "an empty name" },
		{ "/a//b", "an empty name" },
		{ "/a/", "an empty name" },
		{ "/.", "a name that is . or .." },
		{ "/a/./b", "a name that is . or .." },
		{ "/a/..", "a name that is . or .." },
		{ "/../a", "a name that is . or .." },
	};
	char path[VALUE_PATH_MAX + 2];
	size_t i;

	(void)state;
	words_judged(value_path_fault, t, N_OF(t));
	for (i = 0; i <= VALUE_PATH_MAX; i++)
		path[i] = i % 2 == 0 ? '/' : 'a';
	path[VALUE_PATH_MAX + 1] = '\0';
	assert_string_equal(value_path_fault(path),
			    "a path of more than 4095 bytes");
	path[VALUE_PATH_MAX - 1] = '\0';
	assert_null(value_path_fault(path));
	memset(path + 1, 'a', 256);
	path[257] = '\0';
	assert_string_equal(value_path_fault(path),
			    "a name of more than 255 bytes");
	assert_string_equal(value_file_fault("/"), "not a file");
	assert_null(value_file_fault("/a"));
}

static void
a_directory_may_end_in_one_slash(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = { { "/", "/" },      { "/a", "/a" }, { "/a/", "/a" },
		  { "/a//", "/a/" }, { "//", "//" }, { "", "" } };
	char s[8];
	size_t i;
	size_t len;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		(void)strncpy(s, t[i].in, sizeof(s) - 1);
		s[sizeof(s) - 1] = '\0';
		len = strlen(s);
		value_trim_dir(s, &len);
		assert_string_equal(s, t[i].out);
		assert_int_equal(len, strlen(s));
	}
}

static void
a_component_is_names_joined_by_slashes(void **state)
{
	static const struct words_fault t[] = {
		{ "db", NULL },  { "a/b", NULL }, { "a b/\xff", NULL },
		{ "...", NULL }, { "", "" },      { "/", "" },
		{ "/a", "" },    { "a/", "" },    { "a//b", "" },
		{ ".", "" },     { "a/..", "" },  { "./a", "" },
	};
	char s[256];

	(void)state;
	words_judged(value_component_fault, t, N_OF(t));
	memset(s, ' ', 255);
	s[255] = '\0';
	assert_non_null(value_component_fault(s));
	s[85] = '\0';
	assert_null(value_component_fault(s));
}

static void
a_component_has_one_directory_name_and_back(void **state)
{
	static const struct {
		const char *component, *dir;
	} t[] = {
		{ "db", "db" },
		{ "a/b", "a%2Fb" },
		{ ".a/.b", "%2Ea%2F.b" },
		{ "5% of\x7f\x01", "5%25%20of%7F%01" },
		{ "\xc3\xa4", "\xc3\xa4" },
	};
	static const char *const none[] = { "",     "%2f",  "a%2fb", "%41",
					    ".a",   "%",    "%2",    "a%2F",
					    "%2Fa", "a b",  "%00",   "a/b",
					    "%2E",  "%2E.", "%2Ea%" };
	struct buf b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		buf_reset(&b);
		value_component_dir(t[i].component, &b);
		assert_string_equal(buf_str(&b), t[i].dir);
		buf_reset(&b);
		assert_true(
			value_component_of_dir(t[i].dir, strlen(t[i].dir), &b));
		assert_string_equal(buf_str(&b), t[i].component);
	}
	buf_reset(&b);
	for (i = 0; i < N_OF(none); i++)
		if (value_component_of_dir(none[i], strlen(none[i]), &b))
			fail_msg("%s", none[i]);
	assert_int_equal(b.len, 0);
	buf_clear(&b);
}

static void
a_writers_name_is_a_plain_file_name(void **state)
{
	static const struct words_fault t[] = {
		{ "postgres", NULL }, { "a.b", NULL }, { "x%2", NULL },
		{ "", "" },           { ".", "" },     { ".a", "" },
		{ "a/b", "" },        { "a b", "" },   { "a\n", "" },
		{ "\xc3\xa4", "" },
	};

	(void)state;
	words_judged(value_writer_fault, t, N_OF(t));
}

static void
a_number_is_decimal_or_hexadecimal_without_a_sign(void **state)
{
	static const struct {
		const char *s;
		uint64_t v;
	} good[] = {
		{ "0", 0 },
		{ "010", 10 },
		{ "0x10", 16 },
		{ "0XaF", 0xaf },
		{ "18446744073709551615", UINT64_MAX },
		{ "0xffffffffffffffff", UINT64_MAX },
		{ "0x0000000000000000001", 1 },
	};
	static const char *const bad[] = {
		"",
		"-1",
		"+1",
		"0x",
		"x1",
		"1a",
		"0x1g",
		" 1",
		"1 ",
		"1e3",
		"18446744073709551616",
		"99999999999999999999",
		"0x10000000000000000",
	};
	uint64_t v = 7;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(bad); i++)
		if (value_number(bad[i], strlen(bad[i]), &v))
			fail_msg("%s", bad[i]);
	assert_int_equal(v, 7);
	for (i = 0; i < N_OF(good); i++) {
		assert_true(value_number(good[i].s, strlen(good[i].s), &v));
		assert_true(v == good[i].v);
	}
}

static void
a_time_has_a_zone_or_is_seconds(void **state)
{
	static const struct {
		const char *s;
		struct ts t;
	} good[] = {
		{ "1970-01-01T00:00:00Z", { 0, 0 } },
		{ "2026-11-21T20:25:13Z", { 1795292713, 0 } },
		{ "2026-11-21T21:25:13+01:00", { 1795292713, 0 } },
		{ "2026-11-21T14:55:13.5-05:30", { 1795292713, 500000000 } },
		{ "2026-11-21T20:25:13.000000001Z", { 1795292713, 1 } },
		{ "0000-01-01T00:00:00Z", { -62167219200, 0 } },
		{ "9999-12-31T23:59:59Z", { 253402300799, 0 } },
		{ "@0", { 0, 0 } },
		{ "@1795292713", { 1795292713, 0 } },
		{ "@1795292713.000000001", { 1795292713, 1 } },
		{ "@-1", { -1, 0 } },
		{ "@-0.250000000", { -1, 750000000 } },
		{ "@-1.250000000", { -2, 750000000 } },
		{ "@9223372036854775807", { INT64_MAX, 0 } },
	};
	static const char *const bad[] = {
		"",
		"now",
		"2026-11-21",
		"2026-11-21T20:25Z",
		"2026-11-21T20:25:13",
		"2026-11-21T20:25:13.5",
		"2026-11-21 20:25:13Z",
		"2026-11-21T20:25:13z",
		"2026-11-21T20:25:13+01",
		"2026-11-21T20:25:13+0100",
		"2026-11-21T20:25:13+01:00x",
		"2026-11-21T20:25:13.Z",
		"2026-11-21T20:25:13.1234567890Z",
		"2026-11-21T20:25:61Z",
		"2026-02-30T20:25:13Z",
		"2026-11-21T20:25:13 Z",
		"1795292713",
		"@",
		"@-",
		"@+1",
		"@1.5",
		"@1.1234567890",
		"@1.",
		"@0x10",
		"@9223372036854775808",
		"@-9223372036854775808",
		"@1 ",
	};
	struct ts t = { 1, 2 };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(bad); i++)
		if (value_time(bad[i], &t))
			fail_msg("%s", bad[i]);
	assert_true(t.sec == 1 && t.nsec == 2);
	for (i = 0; i < N_OF(good); i++) {
		if (!value_time(good[i].s, &t))
			fail_msg("%s", good[i].s);
		if (ts_cmp(t, good[i].t) != 0)
			fail_msg("%s: %" PRId64 " %" PRIu32, good[i].s, t.sec,
				 t.nsec);
	}
}

static void
a_time_that_is_printed_is_the_same_time(void **state)
{
	static const struct {
		struct ts t;
		const char *want;
	} known[] = {
		{ { 0, 0 }, "1970-01-01T00:00:00Z" },
		{ { -1, 5 }, "1969-12-31T23:59:59.000000005Z" },
		{ { 253402300799, 0 }, "9999-12-31T23:59:59Z" },
		{ { 253402300800, 7 }, "@253402300800.000000007" },
		{ { -62167219201, 0 }, "@-62167219201" },
		{ { -62167219202, 750000000 }, "@-62167219201.250000000" },
		{ { INT64_MAX, 999999999 }, "@9223372036854775807.999999999" },
	};
	struct rng r = { 11 };
	struct buf b = { 0 };
	struct ts t;
	struct ts u;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(known); i++) {
		buf_reset(&b);
		value_print_time(known[i].t, &b);
		assert_string_equal(buf_str(&b), known[i].want);
	}
	for (i = 0; i < 20000; i++) {
		t.sec = (int64_t)rng_next(&r) >> rng_below(&r, 60);
		t.nsec = (uint32_t)rng_below(&r, 3) *
			 (uint32_t)rng_below(&r, 500000000);
		if (t.sec == INT64_MIN)
			continue;
		buf_reset(&b);
		value_print_time(t, &b);
		if (!value_time(buf_str(&b), &u) || ts_cmp(t, u) != 0)
			fail_msg("%s", buf_str(&b));
	}
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_absolute_and_normal),
		cmocka_unit_test(a_directory_may_end_in_one_slash),
		cmocka_unit_test(a_component_is_names_joined_by_slashes),
		cmocka_unit_test(a_component_has_one_directory_name_and_back),
		cmocka_unit_test(a_writers_name_is_a_plain_file_name),
		cmocka_unit_test(
			a_number_is_decimal_or_hexadecimal_without_a_sign),
		cmocka_unit_test(a_time_has_a_zone_or_is_seconds),
		cmocka_unit_test(a_time_that_is_printed_is_the_same_time),
	};

	return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
