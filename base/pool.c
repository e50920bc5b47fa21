/*
 * One mutex guards everything; tasks are big (compress a chunk, read a
 * file), so nobody queues for it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/pool.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#define STACK_LEN ((size_t)512 << 10)

struct task {
	pool_fn fn;
	void *arg;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t filled;  /* a task waits, or stop */
	pthread_cond_t drained; /* a place in the queue, or all done */
	struct task *queue;     /* a ring of queue_cap places; lock */
	size_t queue_cap;
	size_t first;   /* lock */
	size_t waiting; /* tasks in the ring; lock */
	size_t running; /* tasks taken out and not done; lock */
	bool stop;      /* lock */
	pthread_t *threads;
	size_t n_threads; /* started ones */
};

/* Those that a fault raises must reach the thread that made the fault. */
static void
signals_to_block(sigset_t *out)
{
	static const int keep[] = { SIGSEGV, SIGBUS,  SIGFPE,
				    SIGILL,  SIGTRAP, SIGSYS };
	size_t i;

	(void)sigfillset(out);
	for (i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
		(void)sigdelset(out, keep[i]);
}

int
pool_thread(pthread_t *out, void *(*fn)(void *), void *arg, struct err *e)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t block;
	sigset_t before;
	int rc;

	rc = pthread_attr_init(&attr);
	if (rc != 0)
		goto fail;
	(void)pthread_attr_setstacksize(&attr, STACK_LEN);
	/* A thread inherits the mask, so it never runs without it. */
	signals_to_block(&block);
	(void)pthread_sigmask(SIG_BLOCK, &block, &before);
	rc = pthread_create(&thread, &attr, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	if (rc == 0) {
		*out = thread;
		return 0;
	}
fail:
	errno = rc;
	return err_sys(e, "start a thread");
}

/* Wait for a task and take it.  False when the pool stops. */
static bool
take_locked(struct pool *p, struct task *out)
{
	while (p->waiting == 0 && !p->stop)
		(void)pthread_cond_wait(&p->filled, &p->lock);
	if (p->waiting == 0)
		return false;
	*out = p->queue[p->first];
	p->first = (p->first + 1) % p->queue_cap;
	p->waiting--;
	p->running++;
	(void)pthread_cond_broadcast(&p->drained);
	return true;
}

static void *
work(void *arg)
{
	struct pool *p = arg;
	struct task t;

	(void)pthread_mutex_lock(&p->lock);
	while (take_locked(p, &t)) {
		(void)pthread_mutex_unlock(&p->lock);
		t.fn(t.arg);
		(void)pthread_mutex_lock(&p->lock);
		p->running--;
		if (p->running == 0 && p->waiting == 0)
			(void)pthread_cond_broadcast(&p->drained);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

int
pool_new(size_t threads, size_t queue, struct pool **out, struct err *e)
{
	struct pool *p;

	p = mem_zalloc(sizeof(*p));
	if (p == NULL)
		return err_nomem(e);
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->filled, NULL);
	(void)pthread_cond_init(&p->drained, NULL);
	p->queue = mem_array(queue, sizeof(*p->queue));
	p->queue_cap = queue;
	p->threads = mem_array(threads, sizeof(*p->threads));
	if (p->queue == NULL || p->threads == NULL) {
		pool_free(p);
		return err_nomem(e);
	}
	while (p->n_threads < threads) {
		if (pool_thread(&p->threads[p->n_threads], work, p, e) < 0) {
			pool_free(p);
			return -1;
		}
		p->n_threads++;
	}
	*out = p;
	return 0;
}

void
pool_free(struct pool *p)
{
	size_t i;

	if (p == NULL)
		return;
	/* The threads empty the queue before they look at stop. */
	(void)pthread_mutex_lock(&p->lock);
	p->stop = true;
	(void)pthread_cond_broadcast(&p->filled);
	(void)pthread_mutex_unlock(&p->lock);
	for (i = 0; i < p->n_threads; i++)
		(void)pthread_join(p->threads[i], NULL);
	(void)pthread_cond_destroy(&p->drained);
	(void)pthread_cond_destroy(&p->filled);
	(void)pthread_mutex_destroy(&p->lock);
	mem_free(p->threads);
	mem_free(p->queue);
	mem_free(p);
}

static void
put_locked(struct pool *p, pool_fn fn, void *arg)
{
	struct task t = { fn, arg };

	p->queue[(p->first + p->waiting) % p->queue_cap] = t;
	p->waiting++;
	(void)pthread_cond_signal(&p->filled);
}

void
pool_submit(struct pool *p, pool_fn fn, void *arg)
{
	(void)pthread_mutex_lock(&p->lock);
	while (p->waiting == p->queue_cap)
		(void)pthread_cond_wait(&p->drained, &p->lock);
	put_locked(p, fn, arg);
	(void)pthread_mutex_unlock(&p->lock);
}

bool
pool_try_submit(struct pool *p, pool_fn fn, void *arg)
{
	bool room;

	(void)pthread_mutex_lock(&p->lock);
	room = p->waiting < p->queue_cap;
	if (room)
		put_locked(p, fn, arg);
	(void)pthread_mutex_unlock(&p->lock);
	return room;
}

void
pool_drain(struct pool *p)
{
	(void)pthread_mutex_lock(&p->lock);
	while (p->waiting > 0 || p->running > 0)
		(void)pthread_cond_wait(&p->drained, &p->lock);
	(void)pthread_mutex_unlock(&p->lock);
}

size_t
pool_cpus(void)
{
	cpu_set_t set;
	long n;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	else /* more of them than the set holds */
		n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? (size_t)n : 1;
}

void
pool_brief_mutex(pthread_mutex_t *out)
{
	pthread_mutexattr_t attr;

	(void)pthread_mutexattr_init(&attr);
	(void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	(void)pthread_mutex_init(out, &attr);
	(void)pthread_mutexattr_destroy(&attr);
}
