/*
 * report.c
 *
 * A window of time has room for a number of lines.  That is enough to name
 * each of a few damaged files, and little enough to fill no disk.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/report.h"

#include "base/time.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <syslog.h>

#define LINE_LEN_MAX 2048

#define WINDOW_NS    (UINT64_C(10) * 1000000000)
#define WINDOW_LINES 20

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool to_syslog;       /* lock */
static uint64_t window_from; /* lock; monotonic */
static unsigned window_used; /* lock */
static uint64_t unsaid;      /* lock */

/* With the lock held. */
static void
put(const char *line)
{
	if (to_syslog)
		syslog(LOG_WARNING, "%s", line);
	else
		(void)fprintf(stderr, "asof: %s\n", line);
}

void
report_to_syslog(void)
{
	(void)pthread_mutex_lock(&lock);
	openlog("asof", LOG_PID, LOG_DAEMON);
	to_syslog = true;
	(void)pthread_mutex_unlock(&lock);
}

void
report_line_va(const char *fmt, va_list ap)
{
	char line[LINE_LEN_MAX];

	(void)vsnprintf(line, sizeof(line), fmt, ap);
	(void)pthread_mutex_lock(&lock);
	put(line);
	(void)pthread_mutex_unlock(&lock);
}

void
report_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_line_va(fmt, ap);
	va_end(ap);
}

/* With the lock held. */
static void
open_window(uint64_t now)
{
	char line[80];

	window_from = now;
	window_used = 0;
	if (unsaid == 0)
		return;
	(void)snprintf(line, sizeof(line),
		       "%" PRIu64 " more messages of this kind were left out",
		       unsaid);
	unsaid = 0;
	put(line);
}

bool
report_has_room(void)
{
	uint64_t now = time_monotonic_ns();
	bool room;

	(void)pthread_mutex_lock(&lock);
	if (window_from == 0 || now - window_from >= WINDOW_NS)
		open_window(now);
	room = window_used < WINDOW_LINES;
	if (room)
		window_used++;
	else
		unsaid++;
	(void)pthread_mutex_unlock(&lock);
	return room;
}
