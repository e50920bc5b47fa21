/*
 * pool - a few threads that run tasks from a bounded queue.
 *
 * pool_submit blocks while the queue is full; a task must not submit to the
 * pool that runs it (pool_try_submit may).  Tasks report failure through
 * their own argument.  pool_drain waits until nothing is queued or running.
 * pool_free drains and joins.  Signals are blocked in the threads, so that
 * the main thread gets them.
 */
#ifndef ASOF_BASE_POOL_H
#define ASOF_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct pool;

typedef void (*pool_fn)(void *arg);

/* `threads` >= 1; `queue` >= 1 tasks may wait. */
int pool_new(size_t threads, size_t queue, struct pool **out, struct err *e);
void pool_free(struct pool *p);
void pool_submit(struct pool *p, pool_fn fn, void *arg);

/* False, having done nothing, when the queue is full. */
bool pool_try_submit(struct pool *p, pool_fn fn, void *arg);
void pool_drain(struct pool *p);

/* Processors that this process may run on; at least 1. */
size_t pool_cpus(void);

/*
 * Start one thread with all signals blocked (but those that a fault of its
 * own raises, such as SIGBUS) and a small stack (512 KiB).  `fn` and the
 * handle are as in pthread_create.
 */
#include <pthread.h>
int pool_thread(pthread_t *out, void *(*fn)(void *), void *arg, struct err *e);

/*
 * Make a mutex that is held for moments: who finds it taken spins a little
 * before he sleeps.
 */
void pool_brief_mutex(pthread_mutex_t *out);

#endif
