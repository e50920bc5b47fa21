#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/idset.h"

#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"

#include <string.h>

/* Few different beginnings, so that ids crowd together in the table. */
static struct id
make_id(unsigned n)
{
	struct id id;

	hash_plain(&n, sizeof(n), id.b, sizeof(id.b));
	memset(id.b, 0, 8);
	id.b[7] = (uint8_t)(n % 5 * 51);
	return id;
}

static void
an_empty_set_has_nothing(void **state)
{
	struct idset s = { 0 };
	struct id id = make_id(1);

	(void)state;
	assert_false(idset_has(&s, &id));
	idset_remove(&s, &id);
	idset_clear(&s);
}

static void
what_is_added_is_there_until_it_is_removed(void **state)
{
	struct idset s = { 0 };
	struct id id = make_id(7);

	(void)state;
	assert_int_equal(idset_add(&s, &id, NULL), 0);
	assert_int_equal(idset_add(&s, &id, NULL), 1);
	assert_true(idset_has(&s, &id));
	idset_remove(&s, &id);
	assert_false(idset_has(&s, &id));
	idset_clear(&s);
}

static void
the_zero_id_is_an_id_too(void **state)
{
	struct idset s = { 0 };
	struct id zero = { { 0 } };

	(void)state;
	assert_false(idset_has(&s, &zero));
	assert_int_equal(idset_add(&s, &zero, NULL), 0);
	assert_int_equal(idset_add(&s, &zero, NULL), 1);
	idset_remove(&s, &zero);
	assert_false(idset_has(&s, &zero));
	idset_clear(&s);
}

/* Against a plain table of flags, with ids that collide. */
static void
random_changes_agree_with_a_model(void **state)
{
	static bool model[2000];
	struct idset s = { 0 };
	uint32_t x = 12345;
	size_t count = 0;
	struct id id;
	unsigned i;
	unsigned n;

	(void)state;
	for (i = 0; i < 60000; i++) {
		x = x * 1664525 + 1013904223;
		n = (x >> 8) % N_OF(model);
		id = make_id(n);
		if (((x >> 4) & 15) < (i / 10000 % 2 == 0 ? 11u : 4u)) {
			assert_int_equal(idset_add(&s, &id, NULL),
					 model[n] ? 1 : 0);
			count += !model[n];
			model[n] = true;
		} else {
			idset_remove(&s, &id);
			count -= model[n];
			model[n] = false;
		}
		assert_int_equal(s.count, count);
	}
	for (n = 0; n < N_OF(model); n++) {
		id = make_id(n);
		assert_int_equal(idset_has(&s, &id), model[n]);
		idset_remove(&s, &id);
	}
	assert_int_equal(s.count, 0);
	assert_true(s.cap <= 128);
	idset_clear(&s);
}

static void
no_memory_changes_nothing(void **state)
{
	struct idset s = { 0 };
	struct err e = { 0 };
	struct id id;
	unsigned i;

	(void)state;
	for (i = 0; i < 48; i++) {
		id = make_id(i);
		assert_int_equal(idset_add(&s, &id, NULL), 0);
	}
	failing_plan_alloc(1, true);
	id = make_id(48);
	assert_int_equal(idset_add(&s, &id, &e), -1);
	assert_int_equal(e.kind, ERR_NOMEM);
	failing_off();
	assert_false(idset_has(&s, &id));
	for (i = 0; i < 48; i++) {
		id = make_id(i);
		assert_true(idset_has(&s, &id));
	}
	idset_clear(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_set_has_nothing),
		cmocka_unit_test(what_is_added_is_there_until_it_is_removed),
		cmocka_unit_test(the_zero_id_is_an_id_too),
		cmocka_unit_test(random_changes_agree_with_a_model),
		cmocka_unit_test(no_memory_changes_nothing),
	};

	return cmocka_run_group_tests_name("idset", tests, NULL, NULL);
}
