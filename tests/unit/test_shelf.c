#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/shelf.h"

#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* Keys from here on are of things that are cheap to make. */
#define CHEAP 1000

static atomic_int alive; /* values made and not dropped */

static void *
make(uint32_t n)
{
	uint32_t *v = malloc(sizeof(*v));

	assert_non_null(v);
	*v = n;
	atomic_fetch_add(&alive, 1);
	return v;
}

static void
drop(void *value)
{
	free(value);
	atomic_fetch_sub(&alive, 1);
}

static struct shelf *
new_shelf(size_t limit)
{
	struct shelf *s;

	assert_int_equal(shelf_new(limit, drop, &s, NULL), 0);
	return s;
}

static struct shelf_key
key(uint32_t n)
{
	return (struct shelf_key){ { { (uint8_t)(n % 3) } }, n };
}

/* Take it, making it where needed; sets *made. */
static struct shelf_item *
take(struct shelf *s, uint32_t n, size_t size, bool *made)
{
	struct shelf_key k = key(n);
	struct shelf_item *it;
	int rc = shelf_take(s, &k, size, &it, NULL);

	assert_true(rc >= 0);
	*made = rc == SHELF_EMPTY;
	if (*made)
		shelf_fill(s, it, make(n), size, n >= CHEAP);
	assert_int_equal(*(uint32_t *)shelf_value(it), n);
	assert_int_equal(shelf_item_key(it)->at, n);
	return it;
}

/* Take and release: whether it had to be made. */
static bool
touch(struct shelf *s, uint32_t n, size_t size)
{
	bool made;

	shelf_release(s, take(s, n, size, &made));
	return made;
}

static void
a_thing_is_made_once_and_found_again(void **state)
{
	struct shelf *s = new_shelf(100);

	(void)state;
	assert_true(touch(s, 1, 10));
	assert_false(touch(s, 1, 10));
	assert_true(touch(s, 2, 10));
	assert_int_equal(shelf_used(s), 20);
	shelf_free(s);
	assert_int_equal(alive, 0);
	shelf_free(NULL);
}

static void
the_least_recently_used_goes_first(void **state)
{
	struct shelf *s = new_shelf(30);

	(void)state;
	(void)touch(s, 1, 10);
	(void)touch(s, 2, 10);
	(void)touch(s, 3, 10);
	assert_false(touch(s, 1, 10));
	assert_true(touch(s, 4, 10));
	assert_false(touch(s, 1, 10));
	assert_false(touch(s, 3, 10));
	assert_true(touch(s, 2, 10));
	assert_true(shelf_used(s) <= 30);
	shelf_free(s);
	assert_int_equal(alive, 0);
}

static void
of_what_is_cheap_only_a_part_is_kept(void **state)
{
	struct shelf *s = new_shelf(100);
	uint32_t n;

	(void)state;
	for (n = 1; n <= 5; n++)
		assert_true(touch(s, n, 10));
	for (n = CHEAP; n < CHEAP + 50; n++)
		assert_true(touch(s, n, 10));
	/* The latest two are a fourth at most. */
	assert_int_equal(shelf_used(s), 70);
	assert_false(touch(s, CHEAP + 49, 10));
	assert_false(touch(s, CHEAP + 48, 10));
	assert_true(touch(s, CHEAP + 47, 10));
	/* What is dear was not touched by that; and takes their room. */
	for (n = 1; n <= 5; n++)
		assert_false(touch(s, n, 10));
	for (n = 6; n <= 10; n++)
		assert_true(touch(s, n, 10));
	assert_int_equal(shelf_used(s), 100);
	for (n = 1; n <= 10; n++)
		assert_false(touch(s, n, 10));
	assert_true(touch(s, CHEAP + 47, 10));
	shelf_free(s);
	assert_int_equal(alive, 0);
}

static void
the_last_cheap_thing_stays_though_it_is_large(void **state)
{
	struct shelf *s = new_shelf(100);

	(void)state;
	assert_true(touch(s, CHEAP, 90));
	assert_false(touch(s, CHEAP, 90));
	assert_true(touch(s, CHEAP + 1, 60));
	assert_false(touch(s, CHEAP + 1, 60));
	assert_true(touch(s, CHEAP, 90));
	shelf_free(s);
	assert_int_equal(alive, 0);
}

static void
what_is_pinned_stays_beyond_the_limit(void **state)
{
	struct shelf *s = new_shelf(15);
	struct shelf_item *a;
	struct shelf_item *b;
	bool made;

	(void)state;
	a = take(s, 1, 10, &made);
	b = take(s, 2, 10, &made);
	assert_int_equal(shelf_used(s), 20);
	assert_int_equal(*(uint32_t *)shelf_value(a), 1);
	shelf_release(s, a);
	assert_int_equal(shelf_used(s), 10);
	shelf_release(s, b);
	assert_int_equal(shelf_used(s), 10);
	assert_false(touch(s, 2, 10));
	assert_true(touch(s, 1, 10));
	shelf_free(s);
	assert_int_equal(alive, 0);
}

static void
room_is_made_before_the_thing(void **state)
{
	struct shelf *s = new_shelf(20);
	struct shelf_key k = key(3);
	struct shelf_item *it;

	(void)state;
	(void)touch(s, 1, 10);
	(void)touch(s, 2, 10);
	assert_int_equal(shelf_take(s, &k, 20, &it, NULL), SHELF_EMPTY);
	assert_int_equal(alive, 0);
	assert_int_equal(shelf_used(s), 20);
	shelf_abandon(s, it);
	assert_int_equal(shelf_used(s), 0);
	assert_true(touch(s, 3, 10));
	shelf_free(s);
	assert_int_equal(alive, 0);
}

static void
the_true_size_counts_once_it_is_known(void **state)
{
	struct shelf *s = new_shelf(20);
	struct shelf_key k = key(2);
	struct shelf_item *it;

	(void)state;
	(void)touch(s, 1, 10);
	assert_int_equal(shelf_take(s, &k, 5, &it, NULL), SHELF_EMPTY);
	assert_int_equal(shelf_used(s), 15);
	shelf_fill(s, it, make(2), 15, false);
	assert_int_equal(shelf_used(s), 15);
	shelf_release(s, it);
	shelf_free(s);
	assert_int_equal(alive, 0);
}

static void
a_number_leads_to_what_has_it_now(void **state)
{
	struct shelf *s = new_shelf(10);
	struct shelf_item *it;
	uint32_t number;
	bool made;

	(void)state;
	assert_null(shelf_peek(s, 0));
	it = take(s, 7, 10, &made);
	number = shelf_number(it);
	shelf_release(s, it);
	it = shelf_peek(s, number);
	assert_non_null(it);
	assert_int_equal(*(uint32_t *)shelf_value(it), 7);
	shelf_release(s, it);
	assert_null(shelf_peek(s, number + 1));
	assert_null(shelf_peek(s, UINT32_MAX));
	(void)touch(s, 8, 10); /* 7 goes */
	it = shelf_peek(s, number);
	if (it != NULL) {
		assert_int_equal(*(uint32_t *)shelf_value(it), 8);
		shelf_release(s, it);
	}
	shelf_free(s);
	assert_int_equal(alive, 0);
}

static void
a_purge_forgets_all_but_what_is_pinned(void **state)
{
	struct shelf *s = new_shelf(100);
	struct shelf_item *it;
	struct shelf_item *empty;
	struct shelf_key k = key(3);
	uint32_t number;
	bool made;

	(void)state;
	(void)touch(s, 1, 10);
	it = take(s, 2, 10, &made);
	number = shelf_number(it);
	assert_int_equal(shelf_take(s, &k, 10, &empty, NULL), SHELF_EMPTY);
	shelf_purge(s);
	assert_int_equal(alive, 1);
	assert_null(shelf_peek(s, number));
	assert_int_equal(*(uint32_t *)shelf_value(it), 2);
	assert_true(touch(s, 2, 10));
	shelf_release(s, it);
	shelf_fill(s, empty, make(3), 10, false);
	shelf_release(s, empty);
	assert_int_equal(alive, 1);
	assert_true(touch(s, 3, 10));
	assert_int_equal(shelf_used(s), 20);
	shelf_free(s);
	assert_int_equal(alive, 0);
}

static void
no_memory_is_told(void **state)
{
	struct shelf *s = new_shelf(100);
	struct shelf_key k = key(1);
	struct shelf_item *it;
	struct err e = { 0 };
	unsigned n;

	(void)state;
	for (n = 1; n <= 2; n++) {
		failing_plan_alloc(n, true);
		err_clear(&e);
		assert_int_equal(shelf_take(s, &k, 10, &it, &e), -1);
		assert_int_equal(e.kind, ERR_NOMEM);
	}
	failing_off();
	assert_int_equal(shelf_used(s), 0);
	assert_true(touch(s, 1, 10));
	shelf_free(s);
	assert_int_equal(alive, 0);
}

/* --- several threads ------------------------------------------------------ */

#define THREADS 8

static struct shelf *shared;
static atomic_uint made_count;

static void *
take_slowly(void *arg)
{
	struct timespec pause = { 0, 5000000 };
	struct shelf_key k = key(1);
	struct shelf_item *it;
	int rc;

	(void)arg;
	rc = shelf_take(shared, &k, 10, &it, NULL);
	if (rc == SHELF_EMPTY) {
		atomic_fetch_add(&made_count, 1);
		(void)nanosleep(&pause, NULL);
		shelf_fill(shared, it, make(1), 10, false);
	}
	shelf_release(shared, it);
	return NULL;
}

static void
run_threads(void *(*fn)(void *))
{
	static unsigned numbers[THREADS];
	pthread_t t[THREADS];
	unsigned i;

	for (i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&t[i], NULL, fn, &numbers[i]),
				 0);
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
}

static void
those_who_want_the_same_wait_for_the_first(void **state)
{
	(void)state;
	shared = new_shelf(100);
	atomic_store(&made_count, 0);
	run_threads(take_slowly);
	assert_int_equal(made_count, 1);
	shelf_free(shared);
	assert_int_equal(alive, 0);
}

static void *
fail_first(void *arg)
{
	struct timespec pause = { 0, 2000000 };
	struct shelf_key k = key(1);
	struct shelf_item *it;

	(void)arg;
	if (shelf_take(shared, &k, 10, &it, NULL) == SHELF_EMPTY) {
		(void)nanosleep(&pause, NULL);
		if (atomic_fetch_add(&made_count, 1) < 3) {
			shelf_abandon(shared, it);
			return NULL;
		}
		shelf_fill(shared, it, make(1), 10, false);
	}
	shelf_release(shared, it);
	return NULL;
}

static void
after_a_failure_those_who_wait_try_themselves(void **state)
{
	(void)state;
	shared = new_shelf(100);
	atomic_store(&made_count, 0);
	run_threads(fail_first);
	assert_int_equal(made_count, 4);
	shelf_free(shared);
	assert_int_equal(alive, 0);
}

/* Everything at once; the values prove that nothing is dropped in use. */
static void *
churn(void *arg)
{
	uint32_t x = *(unsigned *)arg * 7919 + 1;
	struct shelf_item *it;
	bool made;
	unsigned i;

	for (i = 0; i < 5000; i++) {
		x = x * 1664525 + 1013904223;
		it = take(shared, (x >> 16) % 40, 10, &made);
		shelf_release(shared, it);
		it = shelf_peek(shared, (x >> 8) % 50);
		if (it != NULL) {
			assert_int_equal(*(uint32_t *)shelf_value(it),
					 shelf_item_key(it)->at);
			shelf_release(shared, it);
		}
		if (i % 500 == 0)
			shelf_purge(shared);
	}
	return NULL;
}

static void
many_threads_see_only_whole_things(void **state)
{
	(void)state;
	shared = new_shelf(150);
	run_threads(churn);
	assert_true(shelf_used(shared) <= 150);
	shelf_free(shared);
	assert_int_equal(alive, 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thing_is_made_once_and_found_again),
		cmocka_unit_test(the_least_recently_used_goes_first),
		cmocka_unit_test(of_what_is_cheap_only_a_part_is_kept),
		cmocka_unit_test(the_last_cheap_thing_stays_though_it_is_large),
		cmocka_unit_test(what_is_pinned_stays_beyond_the_limit),
		cmocka_unit_test(room_is_made_before_the_thing),
		cmocka_unit_test(the_true_size_counts_once_it_is_known),
		cmocka_unit_test(a_number_leads_to_what_has_it_now),
		cmocka_unit_test(a_purge_forgets_all_but_what_is_pinned),
		cmocka_unit_test(no_memory_is_told),
		cmocka_unit_test(those_who_want_the_same_wait_for_the_first),
		cmocka_unit_test(after_a_failure_those_who_wait_try_themselves),
		cmocka_unit_test(many_threads_see_only_whole_things),
	};

	return cmocka_run_group_tests_name("shelf", tests, NULL, NULL);
}
