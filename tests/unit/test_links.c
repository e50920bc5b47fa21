/*
 * links: every link is found by its id and by its rank, and tables that lie
 * are found out.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/links.h"

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

static const size_t sizes[] = { 1, 63, 64, 65, 192, 193, 5000, 50000 };

/* --- tables -------------------------------------------------------------- */

struct table {
	struct memstore *m;
	struct links_builder *b;
	struct link *link;
	size_t n;
	struct id root;
};

static void
build(struct table *t)
{
	struct err e = { 0 };
	uint64_t count;

	for (size_t i = 0; i < t->n; i++)
		if (links_builder_add(t->b, &t->link[i], &e) < 0)
			fail_msg("%s", e.text);
	assert_int_equal(links_builder_finish(t->b, &t->root, &count, &e), 0);
	assert_int_equal(count, t->n);
}

static void
table_init(struct table *t, size_t n, uint64_t seed)
{
	static const uint8_t name[] = "a name of some length";
	struct rng r = { seed };
	uint64_t fs = 0;
	uint64_t ino = 0;

	memset(t, 0, sizeof(*t));
	t->m = memstore_new();
	t->n = n;
	t->link = calloc(n + 1, sizeof(*t->link));
	assert_non_null(t->link);
	for (size_t i = 0; i < n; i++) {
		if (rng_below(&r, 1000) == 0) {
			fs++;
			ino = rng_below(&r, 5);
		}
		ino += 1 + rng_below(&r, 10000);
		t->link[i] = (struct link){
			.fs = fs,
			.ino = ino,
			.inside = 1 + rng_below(&r, 5),
			.name = name,
			.name_len = 1 + rng_below(&r, sizeof(name) - 1),
		};
		rng_fill(&r, &t->link[i].tree, ID_LEN);
	}
	assert_int_equal(links_builder_new(&t->m->sink, &t->b, NULL), 0);
	build(t);
}

static void
table_clear(struct table *t)
{
	links_builder_free(t->b);
	memstore_free(t->m);
	free(t->link);
}

static unsigned
height(struct table *t)
{
	size_t len;

	return memstore_bytes(t->m, &t->root, &len)[1] + 1u;
}

static void
same_link(const struct link *a, const struct link *b)
{
	assert_int_equal(a->fs, b->fs);
	assert_int_equal(a->ino, b->ino);
	assert_int_equal(a->inside, b->inside);
	assert_true(id_equal(&a->tree, &b->tree));
	assert_int_equal(a->name_len, b->name_len);
	assert_memory_equal(a->name, b->name, a->name_len);
}

static int
find(const struct table *t, uint64_t fs, uint64_t ino, struct link_hit *h)
{
	struct err e = { 0 };
	int rc = links_find(&t->m->reader, &t->root, fs, ino, h, &e);

	if (rc < 0)
		fail_msg("%s", e.text);
	return rc;
}

/* --- finding ------------------------------------------------------------- */

static void
every_link_is_found_by_id_and_rank(void **state)
{
	struct link_hit h;

	(void)state;
	for (size_t k = 0; k < N_OF(sizes); k++) {
		struct table t;

		table_init(&t, sizes[k], 3 + k);
		for (size_t i = 0; i < t.n; i += t.n / 500 + 1) {
			const struct link *l = &t.link[i];

			t.m->gets = 0;
			assert_int_equal(find(&t, l->fs, l->ino, &h), 0);
			assert_int_equal(t.m->gets, height(&t));
			same_link(&h.link, l);
			assert_int_equal(h.rank, i);
			link_hit_clear(&h);
			assert_int_equal(
				links_at(&t.m->reader, &t.root, i, &h, NULL),
				0);
			same_link(&h.link, l);
			assert_int_equal(h.rank, i);
			link_hit_clear(&h);
		}
		table_clear(&t);
	}
}

static void
what_is_not_in_the_table_is_not_found(void **state)
{
	struct link_hit h;

	(void)state;
	for (size_t k = 0; k < N_OF(sizes); k++) {
		struct table t;

		table_init(&t, sizes[k], 3 + k);
		for (size_t i = 0; i < t.n; i += t.n / 500 + 1) {
			const struct link *l = &t.link[i];
			bool next = i + 1 < t.n && l[1].fs == l->fs &&
				    l[1].ino == l->ino + 1;

			assert_int_equal(find(&t, l->fs, l->ino + 1, &h),
					 next ? 0 : 1);
			if (next)
				link_hit_clear(&h);
			assert_int_equal(find(&t, l->fs + 1000, l->ino, &h), 1);
		}
		assert_int_equal(find(&t, 0, 0, &h), 1);
		assert_int_equal(find(&t, UINT64_MAX, UINT64_MAX, &h), 1);
		assert_int_equal(links_at(&t.m->reader, &t.root, t.n, &h, NULL),
				 1);
		assert_int_equal(
			links_at(&t.m->reader, &t.root, UINT64_MAX, &h, NULL),
			1);
		table_clear(&t);
	}
}

static void
an_empty_table_is_no_chunk(void **state)
{
	struct table t;
	struct link_hit h;

	(void)state;
	table_init(&t, 0, 1);
	assert_true(id_is_zero(&t.root));
	assert_int_equal(t.m->puts, 0);
	assert_int_equal(find(&t, 1, 2, &h), 1);
	assert_int_equal(links_at(&t.m->reader, &t.root, 0, &h, NULL), 1);
	table_clear(&t);
}

/* --- building ------------------------------------------------------------ */

static void
a_link_has_the_bytes_of_the_document(void **state)
{
	struct memstore *m = memstore_new();
	struct links_builder *b;
	struct link l = { .fs = 1,
			  .ino = 128,
			  .inside = 2,
			  .tree = sample_id(0x33),
			  .name = (const uint8_t *)"n",
			  .name_len = 1 };
	struct id root;
	uint64_t count;
	size_t len;
	const uint8_t *p;

	(void)state;
	assert_int_equal(links_builder_new(&m->sink, &b, NULL), 0);
	assert_int_equal(links_builder_add(b, &l, NULL), 0);
	assert_int_equal(links_builder_finish(b, &root, &count, NULL), 0);
	p = memstore_bytes(m, &root, &len);
	assert_int_equal(len, 7 + ID_LEN + 2);
	assert_memory_equal(p, "\1\0\1\1\x80\1\2", 7);
	assert_memory_equal(p + 7, &l.tree, ID_LEN);
	assert_memory_equal(p + 7 + ID_LEN, "\1n", 2);
	links_builder_free(b);
	memstore_free(m);
}

static void
what_is_no_link_is_refused_and_spoils_the_table(void **state)
{
	static const struct {
		struct link link;
		enum err_kind kind;
	} rows[] = {
#define NAMED(s) .name = (const uint8_t *)(s), .name_len = sizeof(s) - 1
		{ { .fs = 5, .ino = 5, .inside = 1, NAMED("n") }, ERR_CORRUPT },
		{ { .fs = 5, .ino = 4, .inside = 1, NAMED("n") }, ERR_CORRUPT },
		{ { .fs = 4, .ino = 9, .inside = 1, NAMED("n") }, ERR_CORRUPT },
		{ { .fs = 5, .ino = 6, .inside = 0, NAMED("n") }, ERR_USAGE },
		{ { .fs = 5, .ino = 6, .inside = 1, NAMED("") }, ERR_USAGE },
		{ { .fs = 5, .ino = 6, .inside = 1, NAMED("..") }, ERR_USAGE },
		{ { .fs = 5, .ino = 6, .inside = 1, NAMED("a/b") }, ERR_USAGE },
	};
	struct memstore *m = memstore_new();
	struct links_builder *b;
	struct link first = { .fs = 5, .ino = 5, .inside = 1, NAMED("n") };
	struct id root;
	uint64_t count;

	(void)state;
	assert_int_equal(links_builder_new(&m->sink, &b, NULL), 0);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct err e = { 0 };

		assert_int_equal(links_builder_add(b, &first, NULL), 0);
		assert_int_equal(links_builder_add(b, &rows[i].link, &e), -1);
		assert_int_equal(e.kind, rows[i].kind);
		assert_int_equal(links_builder_finish(b, &root, &count, NULL),
				 -1);
	}
	/* And then it is good for another table. */
	assert_int_equal(links_builder_add(b, &first, NULL), 0);
	assert_int_equal(links_builder_finish(b, &root, &count, NULL), 0);
	assert_int_equal(count, 1);
	links_builder_free(b);
	memstore_free(m);
}

static void
a_changed_link_rewrites_one_path(void **state)
{
	struct table t;
	struct rng r = { 8 };
	uint64_t total = 0;

	(void)state;
	table_init(&t, 50000, 9);
	t.m->fresh = 0;
	build(&t);
	assert_int_equal(t.m->fresh, 0);
	for (int round = 0; round < 20; round++) {
		t.link[rng_below(&r, t.n)].inside++;
		t.m->fresh = 0;
		build(&t);
		total += t.m->fresh;
	}
	assert_in_range(total, 20 * height(&t), 20 * height(&t) + 20);
	table_clear(&t);
}

static void
a_lost_node_never_makes_a_whole_table(void **state)
{
	struct table t;
	uint64_t puts;
	uint64_t count;
	struct id root;

	(void)state;
	table_init(&t, 3000, 9);
	puts = t.m->puts;
	for (uint64_t left = 0; left < puts; left++) {
		bool failed = false;

		t.m->puts_left = left;
		for (size_t i = 0; i < t.n; i++)
			failed |= links_builder_add(t.b, &t.link[i], NULL) < 0;
		if (failed)
			t.m->puts_left = UINT64_MAX;
		assert_int_equal(links_builder_finish(t.b, &root, &count, NULL),
				 -1);
	}
	table_clear(&t);
}

/* --- nodes made by hand -------------------------------------------------- */

/* A leaf with links (1, ino) for each byte. */
static struct id
put_leaf(struct memstore *m, const char *inodes)
{
	struct buf b = { 0 };
	struct id id = sample_id(9);

	wr_u8(&b, 1);
	wr_u8(&b, 0);
	wr_varint(&b, strlen(inodes));
	for (; *inodes != '\0'; inodes++) {
		wr_varint(&b, 1);
		wr_varint(&b, (uint64_t)*inodes);
		wr_varint(&b, 2);
		wr_bytes(&b, id.b, ID_LEN);
		wr_string(&b, "name", 4);
	}
	id = memstore_put(m, KIND_LINKS, b.data, b.len);
	buf_clear(&b);
	return id;
}

struct child {
	char first;
	const char *inodes;
	uint64_t items;
};

static struct id
put_root(struct memstore *m, uint8_t level, const struct child *c, size_t n)
{
	struct buf b = { 0 };
	struct id id;

	wr_u8(&b, 1);
	wr_u8(&b, level);
	wr_varint(&b, n);
	for (size_t i = 0; i < n; i++) {
		id = put_leaf(m, c[i].inodes);
		wr_varint(&b, 1);
		wr_varint(&b, (uint64_t)c[i].first);
		wr_varint(&b, c[i].items);
		wr_bytes(&b, id.b, ID_LEN);
	}
	id = memstore_put(m, KIND_LINKS, b.data, b.len);
	buf_clear(&b);
	return id;
}

/* Look for all of (1, A) ... (1, I): 0, or the error. */
static int
use_all(struct memstore *m, const struct id *root, struct err *e)
{
	struct link_hit h;
	int rc = 0;

	for (uint64_t i = 0; i < 9; i++) {
		int by_id = links_find(&m->reader, root, 1, 'A' + i, &h, e);

		if (by_id == 0)
			link_hit_clear(&h);
		if (by_id < 0)
			rc = -1;
		by_id = links_at(&m->reader, root, i, &h, e);
		if (by_id == 0)
			link_hit_clear(&h);
		if (by_id < 0)
			rc = -1;
	}
	assert_int_equal(m->held, 0);
	return rc;
}

static void
items_that_are_no_links_are_found_out(void **state)
{
	static const struct {
		uint64_t inside;
		const char *name;
		size_t len;
		int rc;
	} rows[] = {
		{ 1, "n", 1, 0 },   { 0, "n", 1, -1 },   { 1, "", 0, -1 },
		{ 1, "..", 2, -1 }, { 1, "a/b", 3, -1 }, { 1, "a\0b", 3, -1 },
	};
	struct id id = sample_id(9);

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct memstore *m = memstore_new();
		struct buf b = { 0 };
		struct err e = { 0 };

		wr_bytes(&b, "\1\0\1\1A", 5);
		wr_varint(&b, rows[i].inside);
		wr_bytes(&b, id.b, ID_LEN);
		wr_string(&b, rows[i].name, rows[i].len);
		id = memstore_put(m, KIND_LINKS, b.data, b.len);
		assert_int_equal(use_all(m, &id, &e), rows[i].rc);
		assert_int_equal(e.kind,
				 rows[i].rc < 0 ? ERR_CORRUPT : ERR_NONE);
		buf_clear(&b);
		memstore_free(m);
	}
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

static const struct lie {
	const char *why;
	uint8_t level;
	size_t n;
	struct child child[2];
} lies[] = {
	{ NULL, 1, 2, { { 'A', "AB", 2 }, { 'C', "CD", 2 } } },
	{ "first item", 1, 2, { { 'A', "BC", 2 }, { 'D', "DE", 2 } } },
	{ "parent counts", 1, 2, { { 'A', "AB", 3 }, { 'C', "CD", 2 } } },
	{ "parent counts", 1, 2, { { 'A', "AB", 1 }, { 'C', "CD", 2 } } },
	{ "damaged", 1, 2, { { 'A', "AB", 2 }, { 'C', "CD", 0 } } },
	{ "too many", 1, 2, { { 'A', "AB", UINT64_MAX }, { 'C', "CD", 2 } } },
	{ "sorted", 1, 2, { { 'C', "CD", 2 }, { 'A', "AB", 2 } } },
	{ "sorted", 1, 2, { { 'A', "AB", 2 }, { 'A', "AB", 2 } } },
	{ "sorted", 1, 1, { { 'B', "BA", 2 } } },
	{ "neighbour", 1, 2, { { 'A', "AC", 2 }, { 'C', "CD", 2 } } },
	{ "level", 2, 1, { { 'A', "AB", 2 } } },
	{ "without items", 1, 0, { { 0, NULL, 0 } } },
	{ "empty", 0, 0, { { 0, NULL, 0 } } },
};

static void
nodes_that_lie_are_found_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(lies); i++) {
		struct memstore *m = memstore_new();
		struct err e = { 0 };
		struct id root =
			put_root(m, lies[i].level, lies[i].child, lies[i].n);
		int rc = use_all(m, &root, &e);

		assert_int_equal(rc, lies[i].why == NULL ? 0 : -1);
		if (lies[i].why != NULL) {
			assert_int_equal(e.kind, ERR_CORRUPT);
			if (strstr(e.text, lies[i].why) == NULL)
				fail_msg("row %zu: not \"%s\" but \"%s\"", i,
					 lies[i].why, e.text);
			assert_memory_equal(e.text, "links node ", 11);
		}
		memstore_free(m);
	}
}

static void
damaged_nodes_are_refused_or_valid(void **state)
{
	struct memstore *m = memstore_new();
	struct id leaf = put_leaf(m, "CD");
	struct place place = { m, put_root(m, 1, lies[0].child, 2) };

	(void)state;
	damage_node(m, &place.root, use_place, &place, true);
	damage_node(m, &leaf, use_place, &place, false);
	memstore_free(m);
}

static void
a_missing_node_is_said(void **state)
{
	struct memstore *m = memstore_new();
	struct id leaf = put_leaf(m, "CD");
	struct id root = put_root(m, 1, lies[0].child, 2);
	struct link_hit h;
	struct err e = { 0 };

	(void)state;
	memstore_drop(m, &leaf);
	assert_int_equal(links_find(&m->reader, &root, 1, 'A', &h, NULL), 0);
	link_hit_clear(&h);
	assert_int_equal(links_find(&m->reader, &root, 1, 'C', &h, &e), -1);
	assert_int_equal(e.kind, ERR_MISSING);
	memstore_free(m);
}

static int
build_with_little_memory(void *ctx)
{
	const struct table *t = ctx;
	struct links_builder *b = NULL;
	struct err e = { 0 };
	struct id root;
	uint64_t count;
	int rc = links_builder_new(&t->m->sink, &b, &e);

	for (size_t i = 0; i < t->n && rc == 0; i++)
		rc = links_builder_add(b, &t->link[i], &e);
	if (rc == 0)
		rc = links_builder_finish(b, &root, &count, &e);
	if (rc == 0)
		assert_true(id_equal(&root, &t->root));
	assert_int_equal(e.kind, rc < 0 ? ERR_NOMEM : ERR_NONE);
	links_builder_free(b);
	return rc;
}

static void
running_out_of_memory_is_said_and_leaves_nothing(void **state)
{
	struct table t;

	(void)state;
	table_init(&t, 600, 9);
	damage_memory(build_with_little_memory, &t);
	table_clear(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_link_is_found_by_id_and_rank),
		cmocka_unit_test(what_is_not_in_the_table_is_not_found),
		cmocka_unit_test(an_empty_table_is_no_chunk),
		cmocka_unit_test(a_link_has_the_bytes_of_the_document),
		cmocka_unit_test(
			what_is_no_link_is_refused_and_spoils_the_table),
		cmocka_unit_test(a_changed_link_rewrites_one_path),
		cmocka_unit_test(a_lost_node_never_makes_a_whole_table),
		cmocka_unit_test(nodes_that_lie_are_found_out),
		cmocka_unit_test(items_that_are_no_links_are_found_out),
		cmocka_unit_test(damaged_nodes_are_refused_or_valid),
		cmocka_unit_test(a_missing_node_is_said),
		cmocka_unit_test(
			running_out_of_memory_is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
