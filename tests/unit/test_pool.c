#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"

#include "tests/lib/cmocka_all.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

static int allocations_left;

static bool
fail_later(size_t size)
{
	(void)size;
	return allocations_left-- <= 0;
}

static void
add_one(void *arg)
{
	atomic_fetch_add((atomic_int *)arg, 1);
}

/* A task that says that it runs, and then waits until it may end. */
struct gate {
	atomic_int entered;
	atomic_bool open;
};

static void
nap(void)
{
	const struct timespec ms = { 0, 1000000 };

	(void)nanosleep(&ms, NULL);
}

static void
wait_at_gate(void *arg)
{
	struct gate *g = arg;

	atomic_fetch_add(&g->entered, 1);
	while (!atomic_load(&g->open))
		nap();
}

static void
wait_for(atomic_int *what, int n)
{
	while (atomic_load(what) < n)
		nap();
}

static void
pool_runs_every_task_once(void **state)
{
	/* clang-format off */
	static const struct {
		size_t threads;
		size_t queue;
	} t[] = { { 1, 1 }, { 1, 7 }, { 4, 1 }, { 4, 3 }, { 8, 100 } };
	/* clang-format on */
	atomic_int ran[500];
	struct err e = { 0 };
	struct pool *p;
	size_t i;
	size_t k;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		for (k = 0; k < N_OF(ran); k++)
			atomic_init(&ran[k], 0);
		assert_int_equal(pool_new(t[i].threads, t[i].queue, &p, &e), 0);
		for (k = 0; k < N_OF(ran); k++)
			pool_submit(p, add_one, &ran[k]);
		pool_drain(p);
		for (k = 0; k < N_OF(ran); k++)
			assert_int_equal(atomic_load(&ran[k]), 1);
		pool_drain(p);
		pool_free(p);
	}
}

static void
pool_free_runs_what_is_queued(void **state)
{
	atomic_int ran = 0;
	struct pool *p;
	int i;

	(void)state;
	assert_int_equal(pool_new(2, 50, &p, NULL), 0);
	for (i = 0; i < 50; i++)
		pool_submit(p, add_one, &ran);
	pool_free(p);
	assert_int_equal(ran, 50);
	pool_free(NULL);
}

static void
pool_try_submit_says_that_the_queue_is_full(void **state)
{
	struct gate g = { 0 };
	atomic_int ran = 0;
	struct pool *p;

	(void)state;
	assert_int_equal(pool_new(1, 2, &p, NULL), 0);
	pool_submit(p, wait_at_gate, &g);
	wait_for(&g.entered, 1);
	assert_true(pool_try_submit(p, add_one, &ran));
	assert_true(pool_try_submit(p, add_one, &ran));
	assert_false(pool_try_submit(p, add_one, &ran));
	assert_int_equal(ran, 0);
	atomic_store(&g.open, true);
	pool_drain(p);
	assert_int_equal(ran, 2);
	assert_true(pool_try_submit(p, add_one, &ran));
	pool_free(p);
	assert_int_equal(ran, 3);
}

struct submitter {
	struct pool *p;
	atomic_int ran;
	atomic_int submitted;
};

static void *
submit_three(void *arg)
{
	struct submitter *s = arg;
	int i;

	for (i = 0; i < 3; i++) {
		pool_submit(s->p, add_one, &s->ran);
		atomic_fetch_add(&s->submitted, 1);
	}
	return NULL;
}

static void
pool_submit_waits_while_the_queue_is_full(void **state)
{
	struct submitter s = { 0 };
	struct gate g = { 0 };
	pthread_t thread;
	int i;

	(void)state;
	assert_int_equal(pool_new(1, 1, &s.p, NULL), 0);
	pool_submit(s.p, wait_at_gate, &g);
	wait_for(&g.entered, 1);
	assert_int_equal(pool_thread(&thread, submit_three, &s, NULL), 0);
	wait_for(&s.submitted, 1);
	for (i = 0; i < 20; i++)
		nap();
	assert_int_equal(s.submitted, 1);
	atomic_store(&g.open, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pool_drain(s.p);
	assert_int_equal(s.ran, 3);
	pool_free(s.p);
}

static void
pool_drain_waits_for_what_runs(void **state)
{
	struct gate g = { 0 };
	struct pool *p;
	int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		atomic_int ran = 0;

		assert_int_equal(pool_new(3, 4, &p, NULL), 0);
		atomic_store(&g.open, true);
		pool_submit(p, wait_at_gate, &g);
		pool_submit(p, add_one, &ran);
		pool_drain(p);
		assert_int_equal(ran, 1);
		assert_int_equal(g.entered, i + 1);
		pool_free(p);
	}
}

static void
pool_threads_run_side_by_side(void **state)
{
	struct gate g = { 0 };
	struct pool *p;
	int i;

	(void)state;
	assert_int_equal(pool_new(4, 4, &p, NULL), 0);
	for (i = 0; i < 4; i++)
		pool_submit(p, wait_at_gate, &g);
	wait_for(&g.entered, 4);
	atomic_store(&g.open, true);
	pool_free(p);
}

/* What a thread of ours looks like from inside. */
struct inside {
	sigset_t blocked;
	size_t stack;
};

static void *
look_inside(void *arg)
{
	struct inside *in = arg;
	pthread_attr_t attr;

	(void)pthread_sigmask(SIG_BLOCK, NULL, &in->blocked);
	(void)pthread_getattr_np(pthread_self(), &attr);
	(void)pthread_attr_getstacksize(&attr, &in->stack);
	(void)pthread_attr_destroy(&attr);
	return NULL;
}

static void
pool_threads_block_signals_but_not_faults(void **state)
{
	static const int blocked[] = { SIGINT,  SIGTERM, SIGHUP, SIGUSR1,
				       SIGALRM, SIGPIPE, SIGCHLD };
	static const int open[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct inside in;
	sigset_t before;
	sigset_t after;
	pthread_t thread;
	size_t i;

	(void)state;
	(void)pthread_sigmask(SIG_BLOCK, NULL, &before);
	assert_int_equal(pool_thread(&thread, look_inside, &in, NULL), 0);
	(void)pthread_sigmask(SIG_BLOCK, NULL, &after);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (i = 0; i < N_OF(blocked); i++)
		assert_int_equal(sigismember(&in.blocked, blocked[i]), 1);
	for (i = 0; i < N_OF(open); i++)
		assert_int_equal(sigismember(&in.blocked, open[i]), 0);
	for (i = 1; i < 32; i++)
		assert_int_equal(sigismember(&before, (int)i),
				 sigismember(&after, (int)i));
	assert_in_range(in.stack, 256 << 10, 1 << 20);
}

static void
pool_new_survives_every_failing_allocation(void **state)
{
	struct pool *const untouched = (struct pool *)&allocations_left;
	struct pool *p = untouched;
	int n;

	(void)state;
	for (n = 0; n < 3; n++) {
		struct err e = { 0 };

		allocations_left = n;
		mem_fail(fail_later);
		assert_int_equal(pool_new(2, 2, &p, &e), -1);
		mem_fail(NULL);
		assert_int_equal(e.kind, ERR_NOMEM);
		assert_ptr_equal(p, untouched);
	}
	allocations_left = n;
	mem_fail(fail_later);
	assert_int_equal(pool_new(2, 2, &p, NULL), 0);
	mem_fail(NULL);
	pool_free(p);
}

static void
pool_cpus_is_at_least_one(void **state)
{
	(void)state;
	assert_true(pool_cpus() >= 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_runs_every_task_once),
		cmocka_unit_test(pool_free_runs_what_is_queued),
		cmocka_unit_test(pool_try_submit_says_that_the_queue_is_full),
		cmocka_unit_test(pool_submit_waits_while_the_queue_is_full),
		cmocka_unit_test(pool_drain_waits_for_what_runs),
		cmocka_unit_test(pool_threads_run_side_by_side),
		cmocka_unit_test(pool_threads_block_signals_but_not_faults),
		cmocka_unit_test(pool_new_survives_every_failing_allocation),
		cmocka_unit_test(pool_cpus_is_at_least_one),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
