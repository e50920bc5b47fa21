/*
 * tap - the frame of a program that judges many runs and says TAP by itself.
 *
 * It has a directory that goes away, knows what it is doing when something
 * hangs, and keeps the first complaint about the run at hand.
 */
#ifndef ASOF_TESTS_LIB_TAP_H
#define ASOF_TESTS_LIB_TAP_H

#include "tests/lib/shot.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char tap_top[300];
static bool tap_keep; /* the directory stays there */
static unsigned tap_tests, tap_failures;
static char tap_complaint[1400];
static char tap_doing[1200]; /* for who wants to know where it hung */

static inline void
tap_complain(const char *where, const char *what)
{
	if (tap_complaint[0] == '\0')
		snprintf(tap_complaint, sizeof(tap_complaint), "%.300s: %.1000s",
			 where, what);
}

static inline void
tap_give_up(const char *what)
{
	printf("Bail out! %s: %s\n", tap_doing, what);
	if (tap_top[0] != '\0' && !tap_keep)
		shot_remove(tap_top);
	exit(1);
}

/* Signals end it with what it was doing; a core shows all threads. */
static inline void
tap_stopped(int sig)
{
	static const char text[] = "Bail out! hangs or crashes: ";

	if (write(1, text, sizeof(text) - 1) < 0 ||
	    write(1, tap_doing, strlen(tap_doing)) < 0 || write(1, "\n", 1) < 0)
		_exit(2);
	signal(sig == SIGALRM ? SIGABRT : sig, SIG_DFL);
	raise(sig == SIGALRM ? SIGABRT : sig);
}

/* A path below the directory; eight are at hand, for one thread. */
static inline const char *
tap_at(const char *name)
{
	static char path[8][900];
	static unsigned turn;
	char *p = path[turn++ % 8];

	snprintf(p, sizeof(path[0]), "%s/%s", tap_top, name);
	return p;
}

/* Of what is killed here on purpose nothing need survive: in memory. */
static inline void
tap_begin(const char *name)
{
	const char *tmp = getenv("TMPDIR");

	if (tmp == NULL)
		tmp = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm"
							   : "/tmp";
	snprintf(tap_top, sizeof(tap_top), "%.200s/asof-%s.XXXXXX", tmp, name);
	if (mkdtemp(tap_top) == NULL)
		tap_give_up("no temporary directory");
	setenv("ASOF_CACHE_DIR", tap_at("cache"), 1);
	signal(SIGALRM, tap_stopped);
}

static inline void
tap_say(bool ok, const char *text)
{
	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++tap_tests, text);
	tap_failures += !ok;
	fflush(stdout);
}

/* The exit status. */
static inline int
tap_end(void)
{
	printf("1..%u\n", tap_tests);
	shot_remove(tap_top);
	return tap_failures > 0;
}

static inline unsigned
tap_number(const char *variable, unsigned otherwise)
{
	const char *text = getenv(variable);

	if (text == NULL || text[0] == '\0')
		return otherwise;
	return (unsigned)strtoul(text, NULL, 10);
}

#endif
