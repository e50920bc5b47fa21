/*
 * list: items come back in their order, whatever they are, and nodes that lie
 * are found out.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/list.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/damage.h"
#include "tests/lib/memstore.h"
#include "tests/lib/rng.h"
#include "tests/lib/samples.h"

#include <stdlib.h>
#include <string.h>

/* --- lists --------------------------------------------------------------- */

/* Item i of a list is `len(i)` bytes of its own noise. */
struct form {
	size_t n;
	size_t least, most; /* bytes of an item */
};

static size_t
make_item(const struct form *f, size_t i, uint8_t *out)
{
	struct rng r = { i + 1 };
	size_t len = f->least + rng_below(&r, f->most - f->least + 1);

	rng_fill(&r, out, len);
	return len;
}

static int
build(struct list_builder *b, const struct form *f, struct id *root,
      struct err *e)
{
	uint8_t *item = malloc(LIST_ITEM_MAX);
	uint64_t count;
	int rc = 0;

	assert_non_null(item);
	for (size_t i = 0; i < f->n && rc == 0; i++)
		rc = list_builder_add(b, item, make_item(f, i, item), e);
	if (rc == 0)
		rc = list_builder_finish(b, root, &count, e);
	if (rc == 0)
		assert_int_equal(count, f->n);
	free(item);
	return rc;
}

struct check {
	const struct form *form;
	size_t seen, stop;
	uint8_t *item;
};

static int
check_item(void *ctx, const void *p, size_t len, struct err *e)
{
	struct check *c = ctx;

	(void)e;
	assert_true(c->seen < c->form->n);
	assert_int_equal(make_item(c->form, c->seen, c->item), len);
	if (len > 0)
		assert_memory_equal(p, c->item, len);
	return ++c->seen == c->stop;
}

static void
lists_of_all_sizes_come_back(void **state)
{
	static const struct form forms[] = {
		{ 0, 0, 0 },      { 1, 0, 0 },        { 1, 50, 50 },
		{ 1023, 1, 20 },  { 1024, 1, 20 },    { 1025, 1, 20 },
		{ 5000, 0, 400 }, { 100000, 20, 20 }, { 20, 100000, 131072 },
	};

	(void)state;
	for (size_t k = 0; k < N_OF(forms); k++) {
		struct memstore *m = memstore_new();
		struct list_builder *b;
		struct err e = { 0 };
		struct id root;
		struct id again;
		struct check c = { &forms[k], 0, 0, malloc(LIST_ITEM_MAX) };

		assert_non_null(c.item);
		assert_int_equal(list_builder_new(&m->sink, &b, NULL), 0);
		assert_int_equal(build(b, &forms[k], &root, &e), 0);
		assert_int_equal(id_is_zero(&root), forms[k].n == 0);
		if (list_each(&m->reader, &root, check_item, &c, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(c.seen, forms[k].n);
		/* Each node is loaded once. */
		assert_int_equal(m->gets, m->puts);
		m->fresh = 0;
		assert_int_equal(build(b, &forms[k], &again, &e), 0);
		assert_int_equal(m->fresh, 0);
		assert_true(id_equal(&root, &again));
		list_builder_free(b);
		memstore_free(m);
		free(c.item);
	}
}

static void
note_longest(void *ctx, enum id_kind kind, const struct id *id,
	     const uint8_t *p, size_t len)
{
	size_t *longest = ctx;

	assert_int_equal(kind, KIND_LIST);
	(void)id;
	(void)p;
	if (len > *longest)
		*longest = len;
}

static void
nodes_end_at_1024_items_and_at_256_kib(void **state)
{
	static const struct {
		struct form form;
		uint64_t nodes;
	} rows[] = {
		{ { 1024, 1, 1 }, 1 },
		{ { 1025, 1, 1 }, 3 },
		{ { 2048, 1, 1 }, 3 },
		{ { 2049, 1, 1 }, 4 },
		/* Three bytes more for the length of an item. */
		{ { 2, 131069, 131069 }, 1 },
		{ { 3, 131069, 131069 }, 3 },
		{ { 2, 131072, 131072 }, 3 },
	};

	(void)state;
	for (size_t k = 0; k < N_OF(rows); k++) {
		struct memstore *m = memstore_new();
		struct list_builder *b;
		struct id root;
		size_t longest = 0;

		assert_int_equal(list_builder_new(&m->sink, &b, NULL), 0);
		assert_int_equal(build(b, &rows[k].form, &root, NULL), 0);
		assert_int_equal(m->puts, rows[k].nodes);
		memstore_each(m, note_longest, &longest);
		assert_true(longest <= 262144 + 8);
		list_builder_free(b);
		memstore_free(m);
	}
}

static void
a_walk_can_be_stopped(void **state)
{
	static const struct form form = { 5000, 1, 20 };
	static const size_t stops[] = { 1, 2, 1024, 1025, 4999, 5000 };
	struct memstore *m = memstore_new();
	struct list_builder *b;
	struct id root;
	uint8_t item[32];

	(void)state;
	assert_int_equal(list_builder_new(&m->sink, &b, NULL), 0);
	assert_int_equal(build(b, &form, &root, NULL), 0);
	for (size_t k = 0; k < N_OF(stops); k++) {
		struct check c = { &form, 0, stops[k], item };

		assert_int_equal(
			list_each(&m->reader, &root, check_item, &c, NULL), 0);
		assert_int_equal(c.seen, stops[k]);
	}
	list_builder_free(b);
	memstore_free(m);
}

static int
fail_item(void *ctx, const void *p, size_t len, struct err *e)
{
	(void)ctx;
	(void)p;
	(void)len;
	return err_set(e, ERR_CANCELLED, "enough");
}

static void
a_failure_of_the_caller_is_handed_back(void **state)
{
	static const struct form form = { 2000, 1, 20 };
	struct memstore *m = memstore_new();
	struct list_builder *b;
	struct id root;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(list_builder_new(&m->sink, &b, NULL), 0);
	assert_int_equal(build(b, &form, &root, NULL), 0);
	assert_int_equal(list_each(&m->reader, &root, fail_item, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_CANCELLED);
	list_builder_free(b);
	memstore_free(m);
}

static void
an_item_too_long_spoils_the_list(void **state)
{
	static uint8_t item[LIST_ITEM_MAX + 1];
	struct memstore *m = memstore_new();
	struct list_builder *b;
	struct id root;
	uint64_t count;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(list_builder_new(&m->sink, &b, NULL), 0);
	assert_int_equal(list_builder_add(b, item, LIST_ITEM_MAX, NULL), 0);
	assert_int_equal(list_builder_add(b, item, sizeof(item), &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_int_equal(list_builder_finish(b, &root, &count, NULL), -1);
	assert_int_equal(list_builder_finish(b, &root, &count, NULL), 0);
	assert_int_equal(count, 0);
	list_builder_free(b);
	memstore_free(m);
}

static void
a_lost_node_never_makes_a_whole_list(void **state)
{
	static const struct form form = { 5000, 1, 20 };
	struct memstore *m = memstore_new();
	struct list_builder *b;
	struct id root;
	uint64_t count;

	(void)state;
	assert_int_equal(list_builder_new(&m->sink, &b, NULL), 0);
	for (m->puts_left = 0; m->puts_left < 6;) {
		uint64_t left = m->puts_left;
		int rc = build(b, &form, &root, NULL);

		assert_int_equal(rc, left < 6 ? -1 : 0);
		m->puts_left = UINT64_MAX;
		/* Whether add or finish had failed: nothing is left of it. */
		(void)list_builder_finish(b, &root, &count, NULL);
		assert_int_equal(build(b, &form, &root, NULL), 0);
		m->puts_left = left + 1;
	}
	list_builder_free(b);
	memstore_free(m);
}

/* --- nodes made by hand -------------------------------------------------- */

static struct id
put_node(struct memstore *m, uint8_t level, unsigned n, const void *items,
	 size_t len)
{
	struct buf b = { 0 };
	struct id id;

	wr_u8(&b, 1);
	wr_u8(&b, level);
	wr_varint(&b, n);
	wr_bytes(&b, items, len);
	id = memstore_put(m, KIND_LIST, b.data, b.len);
	buf_clear(&b);
	return id;
}

/* A root over two leaves "a", "" and "b"; promised as said. */
static struct id
two_levels(struct memstore *m, uint8_t level, uint64_t first, uint64_t second)
{
	struct id a = put_node(m, 0, 2, "\1a\0", 3);
	struct id b = put_node(m, 0, 1, "\1b", 2);
	struct buf items = { 0 };

	wr_varint(&items, first);
	wr_bytes(&items, a.b, ID_LEN);
	wr_varint(&items, second);
	wr_bytes(&items, b.b, ID_LEN);
	a = put_node(m, level, 2, items.data, items.len);
	buf_clear(&items);
	return a;
}

static int
count_item(void *ctx, const void *p, size_t len, struct err *e)
{
	unsigned *n = ctx;

	(void)p;
	(void)len;
	(void)e;
	return ++*n > 1000;
}

static int
use_all(struct memstore *m, const struct id *root, struct err *e)
{
	unsigned n = 0;
	int rc = list_each(&m->reader, root, count_item, &n, e);

	assert_int_equal(m->held, 0);
	return rc;
}

struct place {
	struct memstore *m;
	struct id root;
};

static int
use_place(void *ctx)
{
	struct place *p = ctx;

	return use_all(p->m, &p->root, NULL);
}

static void
nodes_that_lie_are_found_out(void **state)
{
	static const struct {
		uint8_t level;
		uint64_t first, second;
		const char *why;
	} rows[] = {
		{ 1, 2, 1, NULL },
		{ 1, 1, 1, "parent counts" },
		{ 1, 3, 1, "parent counts" },
		{ 1, 2, 2, "parent counts" },
		{ 1, 2, 0, "damaged" },
		{ 1, UINT64_MAX, 1, "too many" },
		{ 2, 2, 1, "another level" },
		{ 8, 2, 1, "another level" },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct memstore *m = memstore_new();
		struct id root = two_levels(m, rows[i].level, rows[i].first,
					    rows[i].second);
		struct err e = { 0 };
		int rc = use_all(m, &root, &e);

		assert_int_equal(rc, rows[i].why == NULL ? 0 : -1);
		if (rows[i].why != NULL) {
			assert_int_equal(e.kind, ERR_CORRUPT);
			if (strstr(e.text, rows[i].why) == NULL)
				fail_msg("row %zu: %s", i, e.text);
		}
		memstore_free(m);
	}
}

static void
damaged_leaves_are_found_out(void **state)
{
	static const struct {
		unsigned n;
		const char *items;
		size_t len;
	} rows[] = {
		{ 0, "", 0 },
		{ 1, "", 0 },
		{ 1, "\2a", 2 },
		{ 1, "\1ab", 3 },
		{ 2, "\1a", 2 },
		{ 1, "\x81\0a", 3 },
		{ 1, "\x81\x80\x08", 3 },
	};
	struct memstore *m = memstore_new();

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct id root =
			put_node(m, 0, rows[i].n, rows[i].items, rows[i].len);
		struct err e = { 0 };

		assert_int_equal(use_all(m, &root, &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_memory_equal(e.text, "list node ", 10);
	}
	memstore_free(m);
}

static void
damaged_nodes_are_refused_or_valid(void **state)
{
	struct memstore *m = memstore_new();
	struct place place = { m, two_levels(m, 1, 2, 1) };
	struct id leaf = put_node(m, 0, 2, "\1a\0", 3);

	(void)state;
	damage_node(m, &place.root, use_place, &place, true);
	damage_node(m, &leaf, use_place, &place, false);
	memstore_drop(m, &leaf);
	assert_int_equal(use_place(&place), -1);
	memstore_free(m);
}

static int
build_with_little_memory(void *ctx)
{
	static const struct form form = { 3000, 1, 20 };
	struct place *p = ctx;
	struct list_builder *b = NULL;
	struct err e = { 0 };
	int rc = list_builder_new(&p->m->sink, &b, &e);

	if (rc == 0)
		rc = build(b, &form, &p->root, &e);
	assert_int_equal(e.kind, rc < 0 ? ERR_NOMEM : ERR_NONE);
	list_builder_free(b);
	return rc;
}

static void
running_out_of_memory_is_said_and_leaves_nothing(void **state)
{
	struct place p = { .m = memstore_new() };

	(void)state;
	damage_memory(build_with_little_memory, &p);
	assert_int_equal(use_place(&p), 0);
	memstore_free(p.m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_all_sizes_come_back),
		cmocka_unit_test(nodes_end_at_1024_items_and_at_256_kib),
		cmocka_unit_test(a_walk_can_be_stopped),
		cmocka_unit_test(a_failure_of_the_caller_is_handed_back),
		cmocka_unit_test(an_item_too_long_spoils_the_list),
		cmocka_unit_test(a_lost_node_never_makes_a_whole_list),
		cmocka_unit_test(nodes_that_lie_are_found_out),
		cmocka_unit_test(damaged_leaves_are_found_out),
		cmocka_unit_test(damaged_nodes_are_refused_or_valid),
		cmocka_unit_test(
			running_out_of_memory_is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
