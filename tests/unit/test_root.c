/*
 * root: which names the virtual directories have, and that lists hold
 * together: numbers, order, links, and what happens without memory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/root.h"

#include "base/err.h"
#include "base/mem.h"
#include "tests/lib/cmocka_all.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* 2026-11-21T20:25:13Z */
#define NOON INT64_C(1795292713)

static const struct root_gen some[] = {
	{ .number = 3, .type = GEN_FULL, .instant = { NOON, 5 }, .set = "b" },
	{ .number = 4,
	  .type = GEN_INCREMENTAL,
	  .instant = { NOON, 6 },
	  .set = "a" },
	{ .number = 7, .damaged = true },
	{ .number = 8,
	  .type = GEN_INCREMENTAL,
	  .instant = { NOON, 0 },
	  .set = "b" },
	{ .number = 9,
	  .type = GEN_LOG,
	  .log = true,
	  .instant = { NOON + 60, 0 },
	  .set = "b" },
};

static struct root_list *
make(const struct root_gen *gens, size_t count, struct ts after)
{
	struct root_gen *copy = mem_array(count + 1, sizeof(*copy));
	struct root_list *l = NULL;
	struct err e = { 0 };

	assert_non_null(copy);
	if (count > 0)
		memcpy(copy, gens, count * sizeof(*copy));
	if (root_list_new(copy, count, 12, after, &l, &e) < 0)
		fail_msg("%s", e.text);
	return l;
}

/* "name -> target" or "name" of all in a directory, with spaces between. */
static const char *
names(const struct root_list *l, uint64_t ino)
{
	static char text[1000];
	const struct root_dir *d = root_find_dir(l, ino);
	char target[ROOT_TARGET_LEN];
	uint32_t number;
	size_t i;

	assert_non_null(d);
	text[0] = '\0';
	for (i = d->first; i < d->first + d->count; i++) {
		const struct root_item *it = &l->item[i];
		size_t len = strlen(text);
		const char *to = "";

		if (it->kind == ROOT_LINK) {
			assert_true(root_target(it->ino, &number, target));
			assert_int_equal(number, it->number);
			to = target;
		}
		(void)snprintf(text + len, sizeof(text) - len, "%s%s%s%s",
			       len > 0 ? " " : "", root_item_name(l, it),
			       to[0] != '\0' ? "->" : "", to);
	}
	return text;
}

static uint64_t
ino_of(const struct root_list *l, uint64_t dir, const char *name)
{
	const struct root_item *i =
		root_find_item(l, root_find_dir(l, dir), name);

	return i != NULL ? i->ino : 0;
}

/* --- tests ---------------------------------------------------------------- */

static void
an_empty_repository_has_all_directories_and_no_latest(void **state)
{
	struct root_list *l = make(NULL, 0, (struct ts){ 0 });
	unsigned t;

	(void)state;
	assert_string_equal(names(l, ROOT_INO),
			    "generations by-time by-set by-type versions");
	assert_string_equal(names(l, ROOT_INO_GENERATIONS), "");
	assert_string_equal(names(l, ROOT_INO_BY_TIME), "");
	assert_string_equal(names(l, ROOT_INO_BY_SET), "");
	assert_string_equal(names(l, ROOT_INO_BY_TYPE),
			    "full incremental differential log copy");
	for (t = GEN_FULL; t <= GEN_COPY; t++)
		assert_string_equal(names(l, ROOT_INO_TYPE + t), "");
	root_list_unref(l);
}

static void
latest_passes_over_logs_but_not_over_damage(void **state)
{
	struct root_list *all = make(some, N_OF(some), (struct ts){ 0 });
	struct root_list *to_7 = make(some, 3, (struct ts){ 0 });

	(void)state;
	assert_string_equal(names(all, ROOT_INO),
			    "latest->generations/8 generations by-time by-set "
			    "by-type versions");
	assert_string_equal(names(to_7, ROOT_INO),
			    "latest->generations/7 generations by-time by-set "
			    "by-type versions");
	root_list_unref(all);
	root_list_unref(to_7);
}

static void
every_generation_is_listed_once_as_a_directory(void **state)
{
	struct root_list *l = make(some, N_OF(some), (struct ts){ 0 });
	const struct root_dir *d = root_find_dir(l, ROOT_INO_GENERATIONS);

	(void)state;
	assert_string_equal(names(l, ROOT_INO_GENERATIONS), "3 4 7 8 9");
	assert_int_equal(d->dirs, 5);
	assert_true(ino_of(l, ROOT_INO_GENERATIONS, "7") ==
		    (UINT64_C(7) << 40 | 1));
	root_list_unref(l);
}

static void
equal_times_are_told_apart_in_order_of_number(void **state)
{
	struct root_list *l = make(some, N_OF(some), (struct ts){ 0 });

	(void)state;
	assert_string_equal(names(l, ROOT_INO_BY_TIME),
			    "2026-11-21T20-25-13Z->../generations/3 "
			    "2026-11-21T20-25-13Z~2->../generations/4 "
			    "2026-11-21T20-25-13Z~3->../generations/8 "
			    "2026-11-21T20-26-13Z->../generations/9");
	root_list_unref(l);
}

static void
a_set_has_its_own_generations_and_its_own_latest(void **state)
{
	struct root_list *l = make(some, N_OF(some), (struct ts){ 0 });
	uint64_t a = ino_of(l, ROOT_INO_BY_SET, "a");
	uint64_t b = ino_of(l, ROOT_INO_BY_SET, "b");

	(void)state;
	assert_true(a != 0 && b != 0 && a != b);
	assert_int_equal(root_find_dir(l, ROOT_INO_BY_SET)->count, 2);
	assert_string_equal(names(l, a), "latest->../../generations/4 "
					 "4->../../generations/4");
	assert_string_equal(names(l, b), "latest->../../generations/8 "
					 "3->../../generations/3 "
					 "8->../../generations/8 "
					 "9->../../generations/9");
	assert_true(root_find_dir(l, b)->parent == ROOT_INO_BY_SET);
	root_list_unref(l);
}

static void
a_set_keeps_its_number_when_others_come_and_go(void **state)
{
	struct root_list *l = make(some, N_OF(some), (struct ts){ 0 });
	struct root_list *less = make(some + 3, 1, (struct ts){ 0 });

	(void)state;
	assert_true(ino_of(l, ROOT_INO_BY_SET, "b") ==
		    ino_of(less, ROOT_INO_BY_SET, "b"));
	root_list_unref(l);
	root_list_unref(less);
}

static void
a_link_is_another_inode_when_it_leads_elsewhere(void **state)
{
	struct root_list *l = make(some, 2, (struct ts){ 0 });
	struct root_list *more = make(some, 4, (struct ts){ 0 });

	(void)state;
	assert_true(ino_of(l, ROOT_INO, "latest") !=
		    ino_of(more, ROOT_INO, "latest"));
	assert_true(ino_of(l, ROOT_INO_TYPE + GEN_FULL, "3") ==
		    ino_of(more, ROOT_INO_TYPE + GEN_FULL, "3"));
	root_list_unref(l);
	root_list_unref(more);
}

static void
cookies_rise_and_numbers_are_unique(void **state)
{
	struct root_list *l = make(some, N_OF(some), (struct ts){ 0 });
	size_t i;
	size_t k;

	(void)state;
	for (i = 0; i < l->dirs; i++) {
		const struct root_dir *d = &l->dir[i];

		for (k = d->first + 1; k < d->first + d->count; k++)
			assert_true(l->item[k - 1].cookie < l->item[k].cookie);
		for (k = 0; k < i; k++)
			assert_true(l->dir[k].ino != d->ino);
		assert_non_null(root_find_dir(l, d->parent));
	}
	root_list_unref(l);
}

static void
a_version_is_later_than_the_one_before(void **state)
{
	struct ts future = { INT64_C(9000000000), 999999999 };
	struct root_list *l = make(NULL, 0, future);

	(void)state;
	assert_true(ts_cmp(l->version, future) > 0);
	root_list_unref(l);
}

static void
numbers_that_are_no_links_lead_nowhere(void **state)
{
	static const uint64_t none[] = {
		0,
		ROOT_INO,
		ROOT_INO_TYPE + GEN_COPY,
		ROOT_INO_LINK - 1,
		4 * ROOT_INO_LINK,
		ROOT_INO_SET,
		ROOT_INO_SET * 2 - 1,
		UINT64_C(1) << 40 | 1,
		UINT64_MAX,
	};
	char target[ROOT_TARGET_LEN];
	uint32_t number;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(none); i++)
		if (root_target(none[i], &number, target))
			fail_msg("%" PRIu64 " leads to %s", none[i], target);
	assert_true(root_target(4 * ROOT_INO_LINK - 1, &number, target));
	assert_string_equal(target, "../../generations/16777215");
}

static int allocations_left;

static bool
fail_later(size_t size)
{
	(void)size;
	return allocations_left-- <= 0;
}

static void
without_memory_there_is_no_list_and_nothing_is_lost(void **state)
{
	struct root_list *l = NULL;
	struct err e;
	int n;
	int rc = -1;

	(void)state;
	for (n = 0; rc < 0 && n < 1000; n++) {
		struct root_gen *copy = mem_array(2, sizeof(*copy));

		assert_non_null(copy);
		memcpy(copy, some, 2 * sizeof(*copy));
		memset(&e, 0, sizeof(e));
		allocations_left = n;
		mem_fail(fail_later);
		rc = root_list_new(copy, 2, 4, (struct ts){ 0 }, &l, &e);
		mem_fail(NULL);
		if (rc < 0)
			assert_int_equal(e.kind, ERR_NOMEM);
	}
	assert_int_equal(rc, 0);
	assert_true(n > 4);
	root_list_unref(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			an_empty_repository_has_all_directories_and_no_latest),
		cmocka_unit_test(latest_passes_over_logs_but_not_over_damage),
		cmocka_unit_test(
			every_generation_is_listed_once_as_a_directory),
		cmocka_unit_test(equal_times_are_told_apart_in_order_of_number),
		cmocka_unit_test(
			a_set_has_its_own_generations_and_its_own_latest),
		cmocka_unit_test(
			a_set_keeps_its_number_when_others_come_and_go),
		cmocka_unit_test(
			a_link_is_another_inode_when_it_leads_elsewhere),
		cmocka_unit_test(cookies_rise_and_numbers_are_unique),
		cmocka_unit_test(a_version_is_later_than_the_one_before),
		cmocka_unit_test(numbers_that_are_no_links_lead_nowhere),
		cmocka_unit_test(
			without_memory_there_is_no_list_and_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
