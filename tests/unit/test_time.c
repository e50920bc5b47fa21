#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/time.h"

#include "tests/lib/cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Written out, so that no zone files are needed. */
#define UTC "UTC0"
#define CET "CET-1CEST,M3.5.0,M10.5.0/3"

/* Summer time begins and ends at midnight, as it did in Sao Paulo. */
#define MID "BRT3BRST,M10.3.0/0,M2.3.0/0"

static void
set_zone(const char *tz)
{
	assert_int_equal(setenv("TZ", tz, 1), 0);
	tzset();
}

static void
ts_cmp_looks_at_seconds_first(void **state)
{
	/* clang-format off */
	static const struct {
		struct ts a;
		struct ts b;
		int want;
	} t[] = {
		{ { 0, 0 }, { 0, 0 }, 0 },
		{ { 1, 0 }, { 0, 999999999 }, 1 },
		{ { -1, 999999999 }, { 0, 0 }, -1 },
		{ { 5, 1 }, { 5, 2 }, -1 },
		{ { INT64_MIN, 0 }, { INT64_MAX, 0 }, -1 },
	};
	/* clang-format on */
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		assert_int_equal(ts_cmp(t[i].a, t[i].b), t[i].want);
		assert_int_equal(ts_cmp(t[i].b, t[i].a), -t[i].want);
	}
}

static void
ts_add_ns_carries_and_stops_at_the_ends(void **state)
{
	/* clang-format off */
	static const struct {
		struct ts t;
		int64_t ns;
		struct ts want;
	} t[] = {
		{ { 1, 5 }, 0, { 1, 5 } },
		{ { 1, 5 }, -5, { 1, 0 } },
		{ { 1, 5 }, -6, { 0, 999999999 } },
		{ { 0, 0 }, -1, { -1, 999999999 } },
		{ { -1, 999999999 }, 1, { 0, 0 } },
		{ { 1, 999999999 }, 2500000001, { 4, 500000000 } },
		{ { 1, 0 }, -2500000000, { -2, 500000000 } },
		{ { 0, 0 }, INT64_MAX, { 9223372036, 854775807 } },
		{ { 0, 0 }, INT64_MIN, { -9223372037, 145224192 } },
		{ { INT64_MAX, 999999999 }, 1, { INT64_MAX, 999999999 } },
		{ { INT64_MIN, 0 }, -1, { INT64_MIN, 0 } },
		{ { INT64_MAX, 3 }, -4, { INT64_MAX - 1, 999999999 } },
	};
	/* clang-format on */
	struct ts got;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		got = ts_add_ns(t[i].t, t[i].ns);
		assert_true(got.sec == t[i].want.sec);
		assert_int_equal(got.nsec, t[i].want.nsec);
	}
}

static void
time_text_and_time_parse_agree(void **state)
{
	/* clang-format off */
	static const struct {
		const char *tz;
		int64_t sec;
		const char *utc;
		const char *local;
	} t[] = {
		{ UTC, 0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00" },
		{ CET, 1795292713, "2026-11-21T20:25:13Z",
		  "2026-11-21T21:25:13+01:00" },
		{ CET, 1782044713, "2026-06-21T12:25:13Z",
		  "2026-06-21T14:25:13+02:00" },
		{ MID, 1782044713, "2026-06-21T12:25:13Z",
		  "2026-06-21T09:25:13-03:00" },
		{ "IST-5:30", -1, "1969-12-31T23:59:59Z",
		  "1970-01-01T05:29:59+05:30" },
		{ "NPT-5:45", -86400, "1969-12-31T00:00:00Z",
		  "1969-12-31T05:45:00+05:45" },
		{ "NFT3:30", 1795292713, "2026-11-21T20:25:13Z",
		  "2026-11-21T16:55:13-03:30" },
		/* after 2038, and before 1900 */
		{ UTC, INT64_C(4102444800), "2100-01-01T00:00:00Z",
		  "2100-01-01T00:00:00+00:00" },
		{ UTC, INT64_C(-2208988801), "1899-12-31T23:59:59Z",
		  "1899-12-31T23:59:59+00:00" },
		/* offsets with seconds are written as UTC */
		{ "LMT-0:53:28", 0, "1970-01-01T00:00:00Z",
		  "1970-01-01T00:00:00Z" },
		/* the two local 02:30 of one autumn night */
		{ CET, 1792888200, "2026-10-25T00:30:00Z",
		  "2026-10-25T02:30:00+02:00" },
		{ CET, 1792891800, "2026-10-25T01:30:00Z",
		  "2026-10-25T02:30:00+01:00" },
	};
	/* clang-format on */
	char text[TIME_TEXT_LEN];
	struct ts got;
	bool day;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		struct ts in = { t[i].sec, 5 };

		set_zone(t[i].tz);
		assert_string_equal(time_text(text, in, false), t[i].utc);
		assert_true(time_parse(text, &got, &day));
		assert_true(got.sec == t[i].sec && got.nsec == 0 && !day);
		assert_string_equal(time_text(text, in, true), t[i].local);
		assert_true(time_parse(text, &got, &day));
		assert_true(got.sec == t[i].sec && got.nsec == 0 && !day);
	}
}

static void
time_text_writes_something_for_every_instant(void **state)
{
	static const int64_t t[] = { INT64_MIN, INT64_MAX,
				     INT64_C(67767976233532799),
				     INT64_C(-67768040609740800),
				     INT64_C(253402300800) };
	char text[TIME_TEXT_LEN];
	size_t i;

	(void)state;
	set_zone(CET);
	for (i = 0; i < N_OF(t); i++) {
		struct ts in = { t[i], 0 };

		assert_true(strlen(time_text(text, in, false)) > 19);
		assert_true(strlen(time_text(text, in, true)) > 19);
	}
	assert_string_equal(time_text(text, (struct ts){ t[1], 0 }, true),
			    "@9223372036854775807");
	assert_string_equal(time_text(text, (struct ts){ t[4], 0 }, false),
			    "10000-01-01T00:00:00Z");
}

static void
time_parse_takes_what_people_type(void **state)
{
	/* clang-format off */
	static const struct {
		const char *tz;
		const char *in;
		int64_t sec;
	} t[] = {
		{ CET, "2026-11-21T20:25:13Z", 1795292713 },
		{ CET, "2026-11-21T21:25:13", 1795292713 },
		{ CET, "2026-11-21 21:25:13", 1795292713 },
		{ CET, "2026-11-21 21:25", 1795292700 },
		{ CET, "2026-11-21T21:25", 1795292700 },
		{ CET, "2026-11-21T20:25Z", 1795292700 },
		{ CET, "2026-11-21 22:25+02:00", 1795292700 },
		{ CET, "2026-11-21T16:55:13-03:30", 1795292713 },
		{ CET, "2026-11-22T00:25:13+04:00", 1795292713 },
		{ CET, "2026-06-21T14:25:13", 1782044713 },
		{ UTC, "1969-12-31T23:59:59", -1 },
		{ UTC, "1969-12-31T23:59:59Z", -1 },
		{ UTC, "2024-02-29T00:00", 1709164800 },
		{ UTC, "2000-02-29T00:00", 951782400 },
	};
	/* clang-format on */
	struct ts got;
	bool day = true;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		set_zone(t[i].tz);
		assert_true(time_parse(t[i].in, &got, &day));
		assert_true(got.sec == t[i].sec);
		assert_int_equal(got.nsec, 0);
		assert_false(day);
	}
}

static void
time_parse_of_a_day_is_its_last_instant(void **state)
{
	/* clang-format off */
	static const struct {
		const char *tz;
		const char *in;
		const char *last;
	} t[] = {
		{ UTC, "1970-01-01", "1970-01-01T23:59:59Z" },
		{ UTC, "2026-12-31", "2026-12-31T23:59:59Z" },
		{ UTC, "2024-02-29", "2024-02-29T23:59:59Z" },
		{ CET, "2026-11-21", "2026-11-21T22:59:59Z" },
		{ CET, "2026-06-21", "2026-06-21T21:59:59Z" },
		{ CET, "2026-03-29", "2026-03-29T21:59:59Z" }, /* 23 hours */
		{ CET, "2026-10-25", "2026-10-25T22:59:59Z" }, /* 25 hours */
		/* the day after has no 00:00 */
		{ MID, "2026-10-17", "2026-10-18T02:59:59Z" },
		/* 23:00 to 24:00 comes twice */
		{ MID, "2026-02-14", "2026-02-15T02:59:59Z" },
		{ MID, "2026-02-15", "2026-02-16T02:59:59Z" },
	};
	/* clang-format on */
	char text[TIME_TEXT_LEN];
	struct ts got;
	bool day = false;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		set_zone(t[i].tz);
		assert_true(time_parse(t[i].in, &got, &day));
		assert_true(day);
		assert_int_equal(got.nsec, 999999999);
		assert_string_equal(time_text(text, got, false), t[i].last);
	}
}

static void
time_parse_refuses_everything_else(void **state)
{
	/* clang-format off */
	static const char *const t[] = {
		"", " ", "now", "2026", "2026-11", "2026-11-2", "26-11-21",
		"2026-11-21 ", " 2026-11-21", "2026-11-21x", "2026/11/21",
		"2026-00-21", "2026-13-21", "2026-11-00", "2026-11-31",
		"2026-02-29", "2100-02-29", "2026-1a-21", "+026-11-21",
		"-026-11-21", "12026-11-21",
		"2026-11-21T", "2026-11-21T2", "2026-11-21T20",
		"2026-11-21T20:", "2026-11-21T20:2", "2026-11-21T20:25:",
		"2026-11-21T20:25:1", "2026-11-21T24:00", "2026-11-21T20:60",
		"2026-11-21T20:25:60", "2026-11-21T20:25:13.5",
		"2026-11-21t20:25", "2026-11-21  20:25", "2026-11-21T20:25z",
		"2026-11-21T20:25ZZ", "2026-11-21T20:25Z ",
		"2026-11-21T20:25+", "2026-11-21T20:25+01",
		"2026-11-21T20:25+0100", "2026-11-21T20:25+01:0",
		"2026-11-21T20:25+24:00", "2026-11-21T20:25+01:60",
		"2026-11-21T20:25+01:00Z", "2026-11-21T20:25 +01:00",
		"2026-11-21T20:25:13:00", "2026-11-21Z", "2026-11-21+01:00",
	};
	/* clang-format on */
	struct ts got = { 77, 7 };
	bool day = true;
	size_t i;

	(void)state;
	set_zone(UTC);
	for (i = 0; i < N_OF(t); i++) {
		if (time_parse(t[i], &got, &day))
			fail_msg("taken: '%s'", t[i]);
		assert_true(got.sec == 77 && got.nsec == 7 && day);
	}
}

static void
time_clocks_run(void **state)
{
	uint64_t mono = time_monotonic_ns();
	struct ts coarse = time_now_coarse();
	struct ts now = time_now();

	(void)state;
	/* The coarse clock is the fine one as of the last tick. */
	assert_true(ts_cmp(coarse, now) <= 0);
	assert_true(now.sec > 1700000000 && now.nsec < 1000000000);
	assert_true(time_monotonic_ns() >= mono);
	assert_in_range(time_tick_ns(), 1, 100000000);
	assert_true(ts_cmp(now, ts_add_ns(coarse, INT64_C(2000000000))) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ts_cmp_looks_at_seconds_first),
		cmocka_unit_test(ts_add_ns_carries_and_stops_at_the_ends),
		cmocka_unit_test(time_text_and_time_parse_agree),
		cmocka_unit_test(time_text_writes_something_for_every_instant),
		cmocka_unit_test(time_parse_takes_what_people_type),
		cmocka_unit_test(time_parse_of_a_day_is_its_last_instant),
		cmocka_unit_test(time_parse_refuses_everything_else),
		cmocka_unit_test(time_clocks_run),
	};

	return cmocka_run_group_tests_name("time", tests, NULL, NULL);
}
