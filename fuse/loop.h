/*
 * loop - libfuse's loop in several threads, and how it is ended.
 *
 * Signals are blocked everywhere and taken by one thread that waits for them,
 * because libfuse's own handler sets a flag that a loop just about to sleep
 * does not see.
 */
#ifndef ASOF_FUSE_LOOP_H
#define ASOF_FUSE_LOOP_H

#include "fuse/fs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

struct loop {
	struct fuse_session *session;
	pthread_t looper; /* the thread in the loop */
	_Atomic bool over;
};

/* The loop will run in this thread.  Installs the handler that ends it. */
void loop_prepare(struct loop *l, struct fuse_session *session);

/*
 * Answer requests in up to `threads` threads, of which `idle` are kept, until
 * the file system is unmounted or loop_end is called.
 */
int loop_run(struct loop *l, unsigned threads, unsigned idle, struct err *e);

/*
 * From another thread: end it, and wait until it is over, but no longer than
 * until_ns (monotonic; 0: for ever).  False: it is not over.
 */
bool loop_end(struct loop *l, uint64_t until_ns);

#endif
