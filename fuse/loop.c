/*
 * loop.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/loop.h"

#include "base/err.h"
#include "base/time.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

#define SIGNAL_WAKE   SIGUSR1
#define WAKE_EVERY_NS (10 * 1000 * 1000)

static void
on_wake(int number)
{
	(void)number;
}

void
loop_prepare(struct loop *l, struct fuse_session *session)
{
	/* No SA_RESTART: it is there to interrupt. */
	struct sigaction wake = { .sa_handler = on_wake };

	l->session = session;
	l->looper = pthread_self();
	(void)sigemptyset(&wake.sa_mask);
	(void)sigaction(SIGNAL_WAKE, &wake, NULL);
}

/* libfuse starts threads while all are busy, and ends those beyond `idle`. */
int
loop_run(struct loop *l, unsigned threads, unsigned idle, struct err *e)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int rc;

	if (config == NULL)
		return err_nomem(e);
	fuse_loop_cfg_set_clone_fd(config, 0);
	fuse_loop_cfg_set_max_threads(config, threads);
	fuse_loop_cfg_set_idle_threads(config, idle);
	rc = fuse_session_loop_mt(l->session, config);
	fuse_loop_cfg_destroy(config);
	if (rc == 0)
		return 0;
	errno = rc < 0 ? -rc : EIO;
	return err_sys(e, "answer the kernel's requests");
}

/*
 * The loop may be between looking at its flag and going to sleep, so that one
 * wake-up may come too early.
 */
bool
loop_end(struct loop *l, uint64_t until_ns)
{
	const struct timespec pause = { .tv_nsec = WAKE_EVERY_NS };

	fuse_session_exit(l->session);
	while (!atomic_load(&l->over)) {
		if (until_ns != 0 && time_monotonic_ns() >= until_ns)
			return false;
		(void)pthread_kill(l->looper, SIGNAL_WAKE);
		(void)nanosleep(&pause, NULL);
	}
	return true;
}
