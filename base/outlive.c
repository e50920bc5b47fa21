#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/outlive.h"

#include "base/io.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static void
ignore_signals(void)
{
	static const int number[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
				      SIGPIPE };
	sigset_t none;
	size_t i;

	for (i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		(void)signal(number[i], SIG_IGN);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
let_go(int fd)
{
	int null;
	int i;

	if (fd > 3 && close_range(3, (unsigned)fd - 1, 0) < 0)
		return -1;
	if (close_range((unsigned)fd + 1, ~0U, 0) < 0)
		return -1;
	null = io_open(AT_FDCWD, "/dev/null", O_RDWR, 0, NULL, NULL);
	for (i = 0; i <= 2 && null >= 0; i++) {
		if (dup2(null, i) < 0)
			return -1;
	}
	return null > 2 ? io_close(null, "/dev/null", NULL) : 0;
}

int
outlive(int fd)
{
	(void)setsid();
	ignore_signals();
	return let_go(fd);
}
