#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_SEC 1000000000

int
ts_cmp(struct ts a, struct ts b)
{
	if (a.sec != b.sec)
		return a.sec < b.sec ? -1 : 1;
	if (a.nsec != b.nsec)
		return a.nsec < b.nsec ? -1 : 1;
	return 0;
}

/* Stops at the first and the last instant that a struct ts can hold. */
struct ts
ts_add_ns(struct ts t, int64_t ns)
{
	int64_t sec = ns / NS_PER_SEC;
	int64_t rest = (int64_t)t.nsec + ns % NS_PER_SEC;
	struct ts out;

	if (rest < 0) {
		rest += NS_PER_SEC;
		sec--;
	} else if (rest >= NS_PER_SEC) {
		rest -= NS_PER_SEC;
		sec++;
	}
	out.nsec = (uint32_t)rest;
	if (__builtin_add_overflow(t.sec, sec, &out.sec)) {
		out.sec = ns < 0 ? INT64_MIN : INT64_MAX;
		out.nsec = ns < 0 ? 0 : NS_PER_SEC - 1;
	}
	return out;
}

static struct ts
read_clock(clockid_t id)
{
	struct timespec now = { 0 };

	(void)clock_gettime(id, &now);
	return (struct ts){ now.tv_sec, (uint32_t)now.tv_nsec };
}

struct ts
time_now(void)
{
	return read_clock(CLOCK_REALTIME);
}

struct ts
time_now_coarse(void)
{
	return read_clock(CLOCK_REALTIME_COARSE);
}

uint64_t
time_monotonic_ns(void)
{
	struct ts t = read_clock(CLOCK_MONOTONIC);

	return (uint64_t)t.sec * NS_PER_SEC + t.nsec;
}

int64_t
time_tick_ns(void)
{
	struct timespec res;

	/* 10 ms is the slowest clock a kernel can be built with (HZ=100). */
	if (clock_getres(CLOCK_REALTIME_COARSE, &res) < 0)
		return 10000000;
	return (int64_t)res.tv_sec * NS_PER_SEC + res.tv_nsec;
}

const char *
time_text(char out[TIME_TEXT_LEN], struct ts t, bool local)
{
	struct tm tm;
	time_t sec = t.sec;
	char zone[16] = "Z";
	long off = 0;
	int n;

	if (local) {
		tzset();
		if (localtime_r(&sec, &tm) == NULL)
			goto far;
		off = tm.tm_gmtoff;
		/* Offsets before standard time have seconds; ours cannot. */
		local = off % 60 == 0;
	}
	if (local) {
		(void)snprintf(zone, sizeof(zone), "%c%02ld:%02ld",
			       off < 0 ? '-' : '+', labs(off) / 3600 % 100,
			       labs(off) / 60 % 60);
	} else if (gmtime_r(&sec, &tm) == NULL) {
		goto far;
	}
	n = snprintf(out, TIME_TEXT_LEN, "%04lld-%02d-%02dT%02d:%02d:%02d%s",
		     (long long)tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		     tm.tm_hour, tm.tm_min, tm.tm_sec, zone);
	if (n > 0 && n < TIME_TEXT_LEN)
		return out;
far:
	/* A year that no int holds. */
	(void)snprintf(out, TIME_TEXT_LEN, "@%lld", (long long)t.sec);
	return out;
}

/* Exactly n digits at *s, as a number up to max; moves *s behind them. */
static bool
take_digits(const char **s, int n, int max, int *out)
{
	int v = 0;

	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = 10 * v + (**s - '0');
	}
	*out = v;
	return v <= max;
}

static bool
take_char(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

static int
month_days(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30,
				    31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

/* "2026-11-21" */
static bool
take_date(const char **s, struct tm *tm)
{
	int year;
	int month;
	int day;

	if (!take_digits(s, 4, 9999, &year) || !take_char(s, '-') ||
	    !take_digits(s, 2, 12, &month) || !take_char(s, '-') ||
	    !take_digits(s, 2, 31, &day))
		return false;
	if (month < 1 || day < 1 || day > month_days(year, month))
		return false;
	tm->tm_year = year - 1900;
	tm->tm_mon = month - 1;
	tm->tm_mday = day;
	return true;
}

/* "20:25" or "20:25:13" */
static bool
take_clock(const char **s, struct tm *tm)
{
	if (!take_digits(s, 2, 23, &tm->tm_hour) || !take_char(s, ':') ||
	    !take_digits(s, 2, 59, &tm->tm_min))
		return false;
	if (!take_char(s, ':'))
		return true;
	return take_digits(s, 2, 59, &tm->tm_sec);
}

/* "+01:00" or "-05:30", as seconds east of UTC. */
static bool
take_offset(const char **s, int *out)
{
	bool west = **s == '-';
	int hours;
	int minutes;

	if (!west && **s != '+')
		return false;
	(*s)++;
	if (!take_digits(s, 2, 23, &hours) || !take_char(s, ':') ||
	    !take_digits(s, 2, 59, &minutes))
		return false;
	*out = (hours * 60 + minutes) * 60;
	if (west)
		*out = -*out;
	return true;
}

static bool
local_seconds(struct tm tm, int64_t *out)
{
	time_t sec;

	/* -1 is an instant like others; this field tells whether it is one. */
	tm.tm_wday = -1;
	tm.tm_isdst = -1;
	sec = mktime(&tm);
	*out = sec;
	return tm.tm_wday != -1;
}

/* Whether the local date at `sec` is later than that of *day. */
static bool
date_after(int64_t sec, const struct tm *day)
{
	time_t t = sec;
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL)
		return false;
	if (tm.tm_year != day->tm_year)
		return tm.tm_year > day->tm_year;
	if (tm.tm_mon != day->tm_mon)
		return tm.tm_mon > day->tm_mon;
	return tm.tm_mday > day->tm_mday;
}

/*
 * The last second of a local day.  Searched for, because a day can end at
 * any hour where summer time begins at midnight or a date is left out.
 */
static bool
day_end(struct tm day, int64_t *out)
{
	int64_t lo;
	int64_t hi;
	int64_t mid;

	day.tm_hour = 12;
	if (!local_seconds(day, &lo))
		return false;
	hi = lo + 48 * 3600;
	lo -= 48 * 3600;
	while (hi - lo > 1) {
		mid = lo + (hi - lo) / 2;
		if (date_after(mid, &day))
			hi = mid;
		else
			lo = mid;
	}
	*out = lo;
	return true;
}

/* A date and a clock time, with or without a zone, to the end of s. */
static bool
parse_instant(const char *s, struct tm tm, int64_t *sec)
{
	int offset = 0;

	if (!take_clock(&s, &tm))
		return false;
	if (*s == '\0')
		return local_seconds(tm, sec);
	if (!take_char(&s, 'Z') && !take_offset(&s, &offset))
		return false;
	if (*s != '\0')
		return false;
	*sec = timegm(&tm) - offset;
	return true;
}

bool
time_parse(const char *s, struct ts *out, bool *day)
{
	struct tm tm = { 0 };
	int64_t sec;
	bool whole;

	if (!take_date(&s, &tm))
		return false;
	whole = *s == '\0';
	if (whole) {
		if (!day_end(tm, &sec))
			return false;
	} else {
		if (!take_char(&s, 'T') && !take_char(&s, ' '))
			return false;
		if (!parse_instant(s, tm, &sec))
			return false;
	}
	out->sec = sec;
	out->nsec = whole ? NS_PER_SEC - 1 : 0;
	*day = whole;
	return true;
}
