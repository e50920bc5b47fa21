/*
 * tree: directories of all sizes come back whole, a change costs one path,
 * and nodes that lie about what is beneath them are found out.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/tree.h"

#include "base/err.h"
#include "base/path.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/damage.h"
#include "tests/lib/memstore.h"
#include "tests/lib/rng.h"
#include "tests/lib/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t sizes[] = { 0, 1, 63, 64, 65, 192, 193, 5000, 100000 };

#define SAMPLED  400 /* of a large directory, for what costs a search each */
#define NAME_LEN 24

/* --- directories --------------------------------------------------------- */

struct dir {
	struct memstore *m;
	struct tree_builder *b;
	char (*name)[NAME_LEN];
	struct entry *en;
	uint64_t *before; /* inodes before each */
	size_t n;
	struct tree_root root;
};

static int
name_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
make_names(struct dir *d, struct rng *r)
{
	for (size_t i = 0; i < d->n; i++)
		(void)snprintf(d->name[i], NAME_LEN, "%llx%.*s",
			       (unsigned long long)rng_next(r),
			       (int)rng_below(r, 7), ".tar.gz");
	qsort(d->name, d->n, NAME_LEN, name_order);
	for (size_t i = 1; i < d->n; i++)
		assert_string_not_equal(d->name[i - 1], d->name[i]);
}

/* Some entries are directories, some have extended attributes. */
static struct entry
make_entry(const char *name, struct rng *r)
{
	size_t n;
	const struct sample *s = samples(&n);
	struct entry en = sample_file(name);

	en.ino = rng_next(r);
	if (rng_below(r, 11) == 0) {
		en.flags |= ENTRY_XATTRS;
		en.xattrs = s[5].entry.xattrs;
		en.xattr_bytes = s[5].entry.xattr_bytes;
		en.xattr_len = s[5].entry.xattr_len;
	}
	if (rng_below(r, 7) == 0) {
		en.type = ENTRY_DIR;
		en.dir.entries = 1 + rng_below(r, 50);
		en.dir.dirs = 1;
		en.dir.beneath = en.dir.entries + rng_below(r, 1000);
	}
	return en;
}

static void
build(struct dir *d)
{
	struct err e = { 0 };

	for (size_t i = 0; i < d->n; i++)
		assert_int_equal(tree_builder_add(d->b, &d->en[i], &e), 0);
	assert_int_equal(tree_builder_finish(d->b, &d->root, &e), 0);
}

static void
count_before(struct dir *d)
{
	d->before[0] = 0;
	for (size_t i = 0; i < d->n; i++)
		d->before[i + 1] = d->before[i] + entry_inodes(&d->en[i]);
}

static void
dir_init(struct dir *d, size_t n, uint64_t seed)
{
	struct rng r = { seed };

	memset(d, 0, sizeof(*d));
	d->m = memstore_new();
	d->n = n;
	d->name = calloc(n + 1, NAME_LEN);
	d->en = calloc(n + 1, sizeof(*d->en));
	d->before = calloc(n + 1, sizeof(*d->before));
	assert_non_null(d->name);
	assert_non_null(d->en);
	assert_non_null(d->before);
	make_names(d, &r);
	for (size_t i = 0; i < n; i++)
		d->en[i] = make_entry(d->name[i], &r);
	count_before(d);
	assert_int_equal(tree_builder_new(&d->m->sink, &d->b, NULL), 0);
	build(d);
}

static void
dir_clear(struct dir *d)
{
	tree_builder_free(d->b);
	memstore_free(d->m);
	free(d->name);
	free(d->en);
	free(d->before);
}

/* Levels of its tree, from the root's node. */
static unsigned
height(struct dir *d)
{
	size_t len;
	const uint8_t *p = memstore_bytes(d->m, &d->root.id, &len);

	return p[1] + 1u;
}

static void
same_file(const struct entry *a, const struct entry *b)
{
	assert_int_equal(a->name_len, b->name_len);
	assert_memory_equal(a->name, b->name, a->name_len);
	assert_int_equal(a->ino, b->ino);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->dir.beneath, b->dir.beneath);
}

/* Every i-th, so that about SAMPLED of them are looked at. */
static size_t
step(const struct dir *d)
{
	return d->n / SAMPLED + 1;
}

/* --- reading back -------------------------------------------------------- */

static void
check_sums(const struct dir *d)
{
	uint64_t dirs = 0;
	uint8_t flags = 0;

	for (size_t i = 0; i < d->n; i++) {
		dirs += d->en[i].type == ENTRY_DIR;
		if (d->en[i].flags & ENTRY_XATTRS)
			flags = TREE_XATTRS;
	}
	assert_int_equal(d->root.entries, d->n);
	assert_int_equal(d->root.dirs, dirs);
	assert_int_equal(d->root.beneath, d->before[d->n]);
	assert_int_equal(d->root.flags, flags);
}

static void
check_from(struct dir *d, size_t start)
{
	struct tree_iter it;
	struct entry en;
	struct err e = { 0 };

	assert_int_equal(
		tree_iter_init(&it, &d->m->reader, &d->root.id, start, &e), 0);
	for (size_t i = start; i < d->n; i++) {
		if (tree_iter_next(&it, &en, &e) != 1)
			fail_msg("entry %zu: %s", i, e.text);
		same_file(&en, &d->en[i]);
		assert_int_equal(it.position, i);
		assert_int_equal(it.before, d->before[i]);
		if (start != 0 && i == start + 300)
			break;
	}
	if (start == 0 || start + 300 >= d->n) {
		assert_int_equal(tree_iter_next(&it, &en, &e), 0);
		assert_int_equal(tree_iter_next(&it, &en, &e), 0);
	}
	tree_iter_clear(&it);
}

static void
directories_of_all_sizes_are_listed_whole(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_OF(sizes); k++) {
		struct dir d;

		dir_init(&d, sizes[k], 7 + k);
		check_sums(&d);
		check_from(&d, 0);
		check_from(&d, d.n);
		check_from(&d, d.n + 10);
		for (size_t i = 0; i < d.n; i += 20 * step(&d))
			check_from(&d, i);
		dir_clear(&d);
	}
}

static void
small_directories_are_one_node(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_OF(sizes); k++) {
		struct dir d;

		dir_init(&d, sizes[k], 99);
		if (sizes[k] <= SPLIT_MAX) {
			assert_int_equal(height(&d), 1);
			assert_int_equal(d.m->puts, 1);
		} else {
			assert_true(height(&d) > 1);
			assert_true(d.m->puts >= sizes[k] / SPLIT_MAX + 1);
			assert_true(d.m->puts <= sizes[k] / SPLIT_MIN * 2 + 2);
		}
		dir_clear(&d);
	}
}

static void
every_name_is_found_and_no_other(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_OF(sizes); k++) {
		struct dir d;
		struct tree_hit h;
		struct err e = { 0 };

		dir_init(&d, sizes[k], 1000 + k);
		for (size_t i = 0; i < d.n; i += step(&d)) {
			char other[NAME_LEN + 2];
			size_t len = strlen(d.name[i]);

			d.m->gets = 0;
			assert_int_equal(tree_find(&d.m->reader, &d.root.id,
						   d.name[i], len, &h, &e),
					 0);
			assert_true(d.m->gets <= height(&d));
			same_file(&h.entry, &d.en[i]);
			assert_int_equal(h.position, i);
			assert_int_equal(h.before, d.before[i]);
			tree_hit_clear(&h);
			(void)snprintf(other, sizeof(other), "%s!", d.name[i]);
			assert_int_equal(tree_find(&d.m->reader, &d.root.id,
						   other, len + 1, &h, &e),
					 1);
			assert_int_equal(tree_find(&d.m->reader, &d.root.id,
						   other, len - 1, &h, &e),
					 1);
		}
		assert_int_equal(
			tree_find(&d.m->reader, &d.root.id, "", 0, &h, &e), 1);
		assert_int_equal(
			tree_find(&d.m->reader, &d.root.id, "\xff", 1, &h, &e),
			1);
		dir_clear(&d);
	}
}

static void
every_inode_is_found_below_its_entry(void **state)
{
	(void)state;
	for (size_t k = 0; k < N_OF(sizes); k++) {
		struct dir d;
		struct tree_hit h;
		struct err e = { 0 };

		dir_init(&d, sizes[k], 2000 + k);
		for (size_t i = 0; i < d.n; i += step(&d)) {
			uint64_t first = d.before[i];
			uint64_t last = d.before[i + 1] - 1;

			for (int end = 0; end < 2; end++) {
				d.m->gets = 0;
				assert_int_equal(
					tree_find_inode(
						&d.m->reader, &d.root.id,
						end ? last : first, &h, &e),
					0);
				assert_true(d.m->gets <= height(&d));
				same_file(&h.entry, &d.en[i]);
				assert_int_equal(h.position, i);
				assert_int_equal(h.before, first);
				tree_hit_clear(&h);
			}
		}
		assert_int_equal(tree_find_inode(&d.m->reader, &d.root.id,
						 d.before[d.n], &h, &e),
				 1);
		assert_int_equal(tree_find_inode(&d.m->reader, &d.root.id,
						 UINT64_MAX, &h, &e),
				 1);
		dir_clear(&d);
	}
}

static void
seeking_goes_to_the_first_name_not_before(void **state)
{
	struct dir d;
	struct tree_iter it;
	struct entry en;
	char name[NAME_LEN + 2];
	struct rng r = { 5 };

	(void)state;
	dir_init(&d, 5000, 3);
	assert_int_equal(tree_iter_init(&it, &d.m->reader, &d.root.id, 0, NULL),
			 0);
	for (size_t i = 0; i < d.n; i += 1 + rng_below(&r, 400)) {
		bool exact = rng_below(&r, 2);
		size_t want = exact ? i : i + 1;

		(void)snprintf(name, sizeof(name), "%s%s", d.name[i],
			       exact ? "" : "!");
		assert_int_equal(tree_iter_seek(&it, name, strlen(name), NULL),
				 0);
		/* Backwards it does not go. */
		assert_int_equal(tree_iter_seek(&it, "", 0, NULL), 0);
		if (want == d.n)
			break;
		assert_int_equal(tree_iter_next(&it, &en, NULL), 1);
		same_file(&en, &d.en[want]);
		assert_int_equal(it.position, want);
		assert_int_equal(it.before, d.before[want]);
		i = want;
	}
	assert_int_equal(tree_iter_seek(&it, "\xff", 1, NULL), 0);
	assert_int_equal(tree_iter_next(&it, &en, NULL), 0);
	tree_iter_clear(&it);
	dir_clear(&d);
}

static void
seeking_loads_only_the_way_there(void **state)
{
	struct dir d;
	struct tree_iter it;
	struct entry en;

	(void)state;
	dir_init(&d, 100000, 4);
	assert_int_equal(tree_iter_init(&it, &d.m->reader, &d.root.id, 0, NULL),
			 0);
	d.m->gets = 0;
	assert_int_equal(
		tree_iter_seek(&it, d.name[90000], strlen(d.name[90000]), NULL),
		0);
	assert_int_equal(tree_iter_next(&it, &en, NULL), 1);
	assert_int_equal(it.position, 90000);
	assert_true(d.m->gets <= height(&d));
	tree_iter_clear(&it);
	dir_clear(&d);
}

/* --- cutting ---------------------------------------------------------------- */

/* Split hashes of all items of a level, in order, and where its nodes end. */
struct cuts {
	uint32_t *hash;
	bool *end; /* behind this item */
	size_t n;
};

static uint32_t
first_four(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

/* Take down the items of the nodes of `level` beneath this one. */
static void
collect(struct memstore *m, const struct id *id, unsigned level, struct cuts *c)
{
	size_t len;
	const uint8_t *p = memstore_bytes(m, id, &len);
	struct rd r = rd_init(p + 2, len - 2);
	uint64_t count = rd_varint(&r);

	for (uint64_t i = 0; i < count; i++) {
		uint8_t hash[16];
		struct rd in = r;
		size_t n = p[1] == 0 ? (size_t)rd_varint(&in) : 0;
		const uint8_t *name = rd_string(&in, PATH_NAME_MAX, &len);
		struct id child = { { 0 } };

		hash_plain(name, len, hash, sizeof(hash));
		if (p[1] == 0) {
			(void)rd_string(&r, n, &n);
		} else {
			rd_copy(&in, child.b, ID_LEN);
			(void)rd_varint(&in);
			(void)rd_varint(&in);
			(void)rd_u8(&in);
			r = in;
		}
		assert_true(rd_ok(&r));
		if (p[1] > level)
			collect(m, &child, level, c);
		else
			c->hash[c->n++] =
				first_four(p[1] == 0 ? hash : child.b);
	}
	if (p[1] == level)
		c->end[c->n - 1] = true;
}

static void
nodes_are_cut_where_the_document_says(void **state)
{
	struct dir d;

	(void)state;
	dir_init(&d, 100000, 14);
	assert_int_equal(height(&d), 3);
	for (unsigned level = 0; level < 3; level++) {
		struct cuts c = { calloc(d.n, sizeof(*c.hash)),
				  calloc(d.n, sizeof(*c.end)), 0 };
		size_t at = 0;

		assert_true(c.hash != NULL && c.end != NULL);
		collect(d.m, &d.root.id, level, &c);
		while (at < c.n) {
			size_t end = at + split_cut(c.hash + at, c.n - at,
						    c.n - at <= SPLIT_MAX);

			while (++at < end)
				assert_false(c.end[at - 1]);
			assert_true(c.end[at - 1]);
		}
		free(c.hash);
		free(c.end);
	}
	dir_clear(&d);
}

/* --- sharing ------------------------------------------------------------- */

static void
the_same_entries_make_the_same_nodes(void **state)
{
	struct dir d;
	struct tree_root first;
	struct tree_iter it;
	struct entry en;

	(void)state;
	dir_init(&d, 5000, 11);
	first = d.root;
	d.m->fresh = 0;
	build(&d);
	assert_int_equal(d.m->fresh, 0);
	assert_true(id_equal(&first.id, &d.root.id));
	check_sums(&d);
	/* Also from the bytes of entries that were read. */
	assert_int_equal(tree_iter_init(&it, &d.m->reader, &first.id, 0, NULL),
			 0);
	while (tree_iter_next(&it, &en, NULL) == 1) {
		assert_non_null(en.bytes);
		assert_int_equal(tree_builder_add(d.b, &en, NULL), 0);
	}
	tree_iter_clear(&it);
	assert_int_equal(tree_builder_finish(d.b, &d.root, NULL), 0);
	assert_int_equal(d.m->fresh, 0);
	assert_memory_equal(&first.id, &d.root.id, ID_LEN);
	dir_clear(&d);
}

static void
a_changed_entry_rewrites_one_path(void **state)
{
	struct dir d;
	struct rng r = { 17 };
	uint64_t worst = 0;
	uint64_t total = 0;
	unsigned h;

	(void)state;
	dir_init(&d, 100000, 12);
	h = height(&d);
	for (int round = 0; round < 10; round++) {
		d.en[rng_below(&r, d.n)].mtime.sec++;
		d.m->fresh = 0;
		build(&d);
		if (d.m->fresh > worst)
			worst = d.m->fresh;
		total += d.m->fresh;
	}
	/*
	 * The lowest level is cut by names, which did not change: one node.
	 * Above, ids are the hashes: a cut may move, now and then.
	 */
	assert_true(total >= 10 * (uint64_t)h);
	assert_true(total <= 10 * (uint64_t)h + 10);
	assert_true(worst <= 2 * h + 4);
	dir_clear(&d);
}

static void
a_name_more_or_less_rewrites_few_nodes(void **state)
{
	struct dir d;
	struct rng r = { 18 };
	struct tree_root root;
	uint64_t total = 0;

	(void)state;
	dir_init(&d, 20000, 13);
	for (int round = 0; round < 20; round++) {
		size_t without = rng_below(&r, d.n);

		d.m->fresh = 0;
		for (size_t i = 0; i < d.n; i++)
			if (i != without)
				assert_int_equal(
					tree_builder_add(d.b, &d.en[i], NULL),
					0);
		assert_int_equal(tree_builder_finish(d.b, &root, NULL), 0);
		assert_int_equal(root.entries, d.n - 1);
		total += d.m->fresh;
	}
	/* 20,000 entries are some 160 nodes. */
	assert_true(total <= 20 * 8);
	dir_clear(&d);
}

/* --- building ------------------------------------------------------------ */

static void
names_must_rise_and_what_does_not_is_left_out(void **state)
{
	struct memstore *m = memstore_new();
	struct tree_builder *b;
	struct tree_root root;
	struct entry en[] = { sample_file("b"),   sample_file("a"),
			      sample_file("b"),   sample_file(""),
			      sample_file("a/b"), sample_file("c") };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(tree_builder_new(&m->sink, &b, NULL), 0);
	assert_int_equal(tree_builder_add(b, &en[0], NULL), 0);
	assert_int_equal(tree_builder_add(b, &en[1], &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_non_null(strstr(e.text, "\"a\""));
	assert_int_equal(tree_builder_add(b, &en[2], NULL), -1);
	assert_int_equal(tree_builder_add(b, &en[3], NULL), -1);
	en[4].name = (const uint8_t *)"b/a";
	en[4].name_len = 3;
	err_clear(&e);
	assert_int_equal(tree_builder_add(b, &en[4], &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(tree_builder_add(b, &en[5], NULL), 0);
	assert_int_equal(tree_builder_finish(b, &root, NULL), 0);
	assert_int_equal(root.entries, 2);
	/* A new directory begins anew. */
	assert_int_equal(tree_builder_add(b, &en[1], NULL), 0);
	assert_int_equal(tree_builder_finish(b, &root, NULL), 0);
	assert_int_equal(root.entries, 1);
	tree_builder_free(b);
	memstore_free(m);
}

static void
more_inodes_than_numbers_are_refused(void **state)
{
	struct memstore *m = memstore_new();
	struct tree_builder *b;
	struct entry en = sample_file("a");
	struct err e = { 0 };

	(void)state;
	assert_int_equal(tree_builder_new(&m->sink, &b, NULL), 0);
	en.type = ENTRY_DIR;
	en.dir = (struct tree_root){ .entries = 1,
				     .dirs = 1,
				     .beneath = TREE_INODES_MAX - 1 };
	assert_int_equal(tree_builder_add(b, &en, NULL), 0);
	en = sample_file("b");
	assert_int_equal(tree_builder_add(b, &en, &e), -1);
	assert_int_equal(e.kind, ERR_UNSUPPORTED);
	tree_builder_free(b);
	memstore_free(m);
}

static void
a_lost_node_never_makes_a_whole_directory(void **state)
{
	struct dir d;
	struct tree_root root = { .entries = 77 };
	struct err e = { 0 };
	uint64_t puts;
	bool failed;

	(void)state;
	dir_init(&d, 3000, 21);
	puts = d.m->puts;
	for (uint64_t left = 0; left < puts; left++) {
		d.m->puts_left = left;
		failed = false;
		for (size_t i = 0; i < d.n; i++)
			failed |= tree_builder_add(d.b, &d.en[i], NULL) < 0;
		/* Even if the failure was overlooked. */
		err_clear(&e);
		if (failed)
			d.m->puts_left = UINT64_MAX;
		assert_int_equal(tree_builder_finish(d.b, &root, &e), -1);
		assert_int_not_equal(e.kind, ERR_NONE);
		assert_int_equal(root.entries, 77);
	}
	d.m->puts_left = UINT64_MAX;
	root = d.root;
	build(&d);
	assert_true(id_equal(&root.id, &d.root.id));
	dir_clear(&d);
}

static void
note_longest(void *ctx, enum id_kind kind, const struct id *id,
	     const uint8_t *p, size_t len)
{
	size_t *longest = ctx;

	(void)kind;
	(void)id;
	(void)p;
	if (len > *longest)
		*longest = len;
}

static void
long_entries_make_nodes_of_fewer(void **state)
{
	static uint8_t target[ENTRY_TARGET_MAX];
	struct dir d;
	struct rng r = { 3 };
	size_t longest = 0;

	(void)state;
	dir_init(&d, 1000, 22);
	memset(target, 't', sizeof(target));
	for (size_t i = 0; i < d.n; i++) {
		d.en[i] = sample_file(d.name[i]);
		d.en[i].type = ENTRY_SYMLINK;
		d.en[i].target = target;
		d.en[i].target_len = 1 + rng_below(&r, sizeof(target));
	}
	count_before(&d);
	memstore_free(d.m);
	d.m = memstore_new();
	tree_builder_free(d.b);
	assert_int_equal(tree_builder_new(&d.m->sink, &d.b, NULL), 0);
	build(&d);
	check_from(&d, 0);
	memstore_each(d.m, note_longest, &longest);
	assert_true(longest <= 300000);
	assert_true(longest >= 100000);
	/* A change stays local also where length makes the cuts. */
	d.m->fresh = 0;
	d.en[500].target_len = 1;
	build(&d);
	assert_in_range(d.m->fresh, 2, 8);
	dir_clear(&d);
}

static void
one_entry_may_be_longer_than_a_node_should(void **state)
{
	static uint8_t value[ENTRY_XATTR_INLINE];
	struct dir d;
	struct buf attrs = { 0 };
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct xattr x = { .name = (const uint8_t *)name,
				   .inlined = true,
				   .value = value,
				   .len = sizeof(value) };

		x.name_len = (size_t)snprintf(name, sizeof(name), "u.%08u", i);
		xattr_put(&attrs, &x);
	}
	dir_init(&d, 5, 23);
	for (size_t i = 0; i < d.n; i += 2) {
		d.en[i].flags |= ENTRY_XATTRS;
		d.en[i].xattrs = 2000;
		d.en[i].xattr_bytes = attrs.data;
		d.en[i].xattr_len = attrs.len;
	}
	build(&d);
	check_from(&d, 0);
	assert_int_equal(height(&d), 2);
	buf_clear(&attrs);
	dir_clear(&d);
}

/* --- nodes made by hand -------------------------------------------------- */

/* A leaf with the files of these names, one letter each. */
static struct id
put_leaf(struct memstore *m, const char *names)
{
	struct buf b = { 0 };
	struct id id;

	wr_u8(&b, 1);
	wr_u8(&b, 0);
	wr_varint(&b, strlen(names));
	for (; *names != '\0'; names++) {
		char name[2] = { *names, '\0' };
		struct entry en = sample_file(name);
		struct buf bytes = { 0 };

		assert_int_equal(entry_encode(&en, &bytes, NULL), 0);
		wr_string(&b, bytes.data, bytes.len);
		buf_clear(&bytes);
	}
	id = memstore_put(m, KIND_TREE, b.data, b.len);
	buf_clear(&b);
	return id;
}

struct child {
	const char *first;
	const char *leaf; /* names, or NULL: the node before this one */
	uint64_t entries, inodes;
	uint8_t flags;
};

static struct id
put_inner_node(struct memstore *m, uint8_t level, const struct child *c,
	       size_t n)
{
	struct buf b = { 0 };
	struct id id = { { 0 } };

	wr_u8(&b, 1);
	wr_u8(&b, level);
	wr_varint(&b, n);
	for (size_t i = 0; i < n; i++) {
		id = put_leaf(m, c[i].leaf);
		wr_string(&b, c[i].first, strlen(c[i].first));
		wr_bytes(&b, id.b, ID_LEN);
		wr_varint(&b, c[i].entries);
		wr_varint(&b, c[i].inodes);
		wr_u8(&b, c[i].flags);
	}
	id = memstore_put(m, KIND_TREE, b.data, b.len);
	buf_clear(&b);
	return id;
}

/* `why` NULL: this one is right, the others beside it are not. */
static const struct lie {
	const char *why;
	uint8_t level;
	size_t n;
	struct child child[2];
} lies[] = {
	{ NULL, 1, 2, { { "a", "ab", 2, 2, 0 }, { "c", "cd", 2, 2, 0 } } },
	{ NULL, 1, 1, { { "a", "ab", 2, 2, 0 } } },
	{ "first name",
	  1,
	  2,
	  { { "A", "ab", 2, 2, 0 }, { "c", "cd", 2, 2, 0 } } },
	{ "first name",
	  1,
	  2,
	  { { "a", "ab", 2, 2, 0 }, { "d", "ef", 2, 2, 0 } } },
	{ "parent counts",
	  1,
	  2,
	  { { "a", "ab", 3, 3, 0 }, { "c", "cd", 2, 2, 0 } } },
	{ "parent counts",
	  1,
	  2,
	  { { "a", "ab", 1, 2, 0 }, { "c", "cd", 2, 2, 0 } } },
	{ "parent counts",
	  1,
	  2,
	  { { "a", "ab", 2, 3, 0 }, { "c", "cd", 2, 2, 0 } } },
	{ "parent counts",
	  1,
	  2,
	  { { "a", "ab", 2, 2, 0 }, { "c", "cd", 2, 2, TREE_XATTRS } } },
	{ "damaged", 1, 2, { { "a", "ab", 2, 2, 2 }, { "c", "cd", 2, 2, 0 } } },
	{ "damaged", 1, 1, { { "a", "ab", 0, 0, 0 } } },
	{ "damaged", 1, 1, { { "a", "ab", 2, 1, 0 } } },
	{ "damaged", 1, 1, { { "", "ab", 2, 2, 0 } } },
	{ "not sorted",
	  1,
	  2,
	  { { "c", "cd", 2, 2, 0 }, { "a", "ab", 2, 2, 0 } } },
	{ "not sorted",
	  1,
	  2,
	  { { "a", "ab", 2, 2, 0 }, { "a", "ab", 2, 2, 0 } } },
	{ "not sorted", 1, 1, { { "b", "ba", 2, 2, 0 } } },
	{ "not sorted", 1, 1, { { "b", "bb", 2, 2, 0 } } },
	{ "neighbour",
	  1,
	  2,
	  { { "a", "ac", 2, 2, 0 }, { "c", "cd", 2, 2, 0 } } },
	{ "neighbour",
	  1,
	  2,
	  { { "a", "ax", 2, 2, 0 }, { "c", "cd", 2, 2, 0 } } },
	{ "another level", 2, 1, { { "a", "ab", 2, 2, 0 } } },
	{ "another level", 8, 1, { { "a", "ab", 2, 2, 0 } } },
	{ "without items", 1, 0, { { NULL, NULL, 0, 0, 0 } } },
	{ "too many inodes",
	  1,
	  2,
	  { { "a", "ab", 2, TREE_INODES_MAX, 0 }, { "c", "cd", 2, 2, 0 } } },
};

/* List it all: 0 done, or -1. */
static int
list(struct memstore *m, const struct id *root, struct err *e)
{
	struct tree_iter it;
	struct entry en;
	int rc;

	if (tree_iter_init(&it, &m->reader, root, 0, e) < 0)
		return -1;
	do
		rc = tree_iter_next(&it, &en, e);
	while (rc == 1);
	tree_iter_clear(&it);
	return rc;
}

static void
nodes_that_lie_are_found_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(lies); i++) {
		struct memstore *m = memstore_new();
		struct err e = { 0 };
		struct id root = put_inner_node(m, lies[i].level, lies[i].child,
						lies[i].n);
		int rc = list(m, &root, &e);

		if (lies[i].why == NULL && rc != 0)
			fail_msg("row %zu: %s", i, e.text);
		if (lies[i].why != NULL) {
			if (rc == 0)
				fail_msg("row %zu (%s): taken", i, lies[i].why);
			assert_int_equal(e.kind, ERR_CORRUPT);
			if (strstr(e.text, lies[i].why) == NULL)
				fail_msg("row %zu: not \"%s\" but \"%s\"", i,
					 lies[i].why, e.text);
			assert_memory_equal(e.text, "tree node ", 10);
		}
		memstore_free(m);
	}
}

/* A last child must end before what its parent's neighbour begins with. */
static void
a_node_may_not_reach_into_a_far_neighbour(void **state)
{
	static const struct {
		struct child left[2];
		int rc;
	} rows[] = {
		{ { { "a", "ab", 2, 2, 0 }, { "c", "cd", 2, 2, 0 } }, 0 },
		{ { { "a", "ab", 2, 2, 0 }, { "c", "cz", 2, 2, 0 } }, -1 },
		{ { { "a", "ab", 2, 2, 0 }, { "c", "cm", 2, 2, 0 } }, -1 },
	};
	static const struct child right[] = { { "m", "mn", 2, 2, 0 } };

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct memstore *m = memstore_new();
		struct id id[2] = { put_inner_node(m, 1, rows[i].left, 2),
				    put_inner_node(m, 1, right, 1) };
		struct buf b = { 0 };
		struct err e = { 0 };

		wr_bytes(&b, "\1\2\2", 3);
		for (size_t k = 0; k < 2; k++) {
			wr_string(&b, k == 0 ? "a" : "m", 1);
			wr_bytes(&b, id[k].b, ID_LEN);
			wr_bytes(&b, k == 0 ? "\4\4\0" : "\2\2\0", 3);
		}
		id[0] = memstore_put(m, KIND_TREE, b.data, b.len);
		assert_int_equal(list(m, &id[0], &e), rows[i].rc);
		if (rows[i].rc < 0)
			assert_non_null(strstr(e.text, "neighbour"));
		buf_clear(&b);
		memstore_free(m);
	}
}

static void
damaged_fronts_of_nodes_are_found_out(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *why;
	} rows[] = {
		{ "\1\0\0", 3, NULL },
		{ "\2\0\0", 3, "version" },
		{ "\0\0\0", 3, "version" },
		{ "\1\0\0\0", 4, "bytes follow" },
		{ "\1\1\0", 3, "without items" },
		{ "\1\10\0", 3, "level" },
		{ "\1\0\1", 3, "fewer items" },
		{ "\1\0\x80", 3, "too soon" },
		{ "\1\0", 2, "too soon" },
		{ "\1", 1, "too soon" },
		{ "\1\0\1\0", 4, "item is damaged" },
		{ "\1\0\1\1", 4, "item is damaged" },
	};
	struct memstore *m = memstore_new();

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct err e = { 0 };
		struct id id =
			memstore_put(m, KIND_TREE, rows[i].bytes, rows[i].len);
		int rc = list(m, &id, &e);

		assert_int_equal(rc, rows[i].why == NULL ? 0 : -1);
		if (rows[i].why != NULL && strstr(e.text, rows[i].why) == NULL)
			fail_msg("row %zu: not \"%s\" but \"%s\"", i,
				 rows[i].why, e.text);
	}
	memstore_free(m);
}

static void
a_node_of_too_many_entries_is_refused(void **state)
{
	struct memstore *m = memstore_new();
	struct buf items = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };
	struct id id;
	char name[8];

	(void)state;
	for (unsigned n = 0; n <= TREE_NODE_ITEMS_MAX; n++) {
		struct buf bytes = { 0 };
		struct entry en;

		(void)snprintf(name, sizeof(name), "%05u", n);
		en = sample_file(name);
		assert_int_equal(entry_encode(&en, &bytes, NULL), 0);
		wr_string(&items, bytes.data, bytes.len);
		buf_clear(&bytes);
		if (n + 1 < TREE_NODE_ITEMS_MAX)
			continue;
		buf_reset(&b);
		wr_u8(&b, 1);
		wr_u8(&b, 0);
		wr_varint(&b, n + 1);
		wr_bytes(&b, items.data, items.len);
		id = memstore_put(m, KIND_TREE, b.data, b.len);
		assert_int_equal(list(m, &id, &e),
				 n + 1 == TREE_NODE_ITEMS_MAX ? 0 : -1);
	}
	assert_non_null(strstr(e.text, "too many items"));
	buf_clear(&items);
	buf_clear(&b);
	memstore_free(m);
}

static void
what_is_missing_is_said_and_the_rest_is_read(void **state)
{
	struct memstore *m = memstore_new();
	struct id leaf = put_leaf(m, "cd");
	struct id root = put_inner_node(m, 1, lies[0].child, 2);
	struct tree_iter it;
	struct tree_hit h;
	struct entry en;
	struct err e = { 0 };

	(void)state;
	memstore_drop(m, &leaf);
	assert_int_equal(tree_iter_init(&it, &m->reader, &root, 0, NULL), 0);
	assert_int_equal(tree_iter_next(&it, &en, NULL), 1);
	assert_int_equal(tree_iter_next(&it, &en, NULL), 1);
	assert_int_equal(tree_iter_next(&it, &en, &e), -1);
	assert_int_equal(e.kind, ERR_MISSING);
	tree_iter_clear(&it);
	err_clear(&e);
	assert_int_equal(tree_find(&m->reader, &root, "b", 1, &h, NULL), 0);
	tree_hit_clear(&h);
	assert_int_equal(tree_find(&m->reader, &root, "d", 1, &h, &e), -1);
	assert_int_equal(e.kind, ERR_MISSING);
	memstore_corrupt(m, &root);
	err_clear(&e);
	assert_int_equal(tree_find(&m->reader, &root, "a", 1, &h, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	memstore_free(m);
}

/* --- damage -------------------------------------------------------------- */

struct place {
	struct memstore *m;
	struct id root;
};

/* Whatever the bytes are, the answer is an entry, none, or an error. */
static int
use_all(void *ctx)
{
	struct place *place = ctx;
	struct memstore *m = place->m;
	const struct id *root = &place->root;
	struct tree_iter it;
	struct tree_hit h;
	struct entry en;
	struct err e = { 0 };
	int rc = list(m, root, &e);

	assert_true(rc == 0 || e.kind == ERR_CORRUPT || e.kind == ERR_MISSING);
	if (tree_find(&m->reader, root, "c", 1, &h, NULL) == 0)
		tree_hit_clear(&h);
	if (tree_find_inode(&m->reader, root, 3, &h, NULL) == 0)
		tree_hit_clear(&h);
	if (tree_iter_init(&it, &m->reader, root, 1, NULL) == 0) {
		if (tree_iter_seek(&it, "d", 1, NULL) == 0)
			(void)tree_iter_next(&it, &en, NULL);
		tree_iter_clear(&it);
	}
	return rc;
}

static void
damaged_nodes_are_refused_or_valid(void **state)
{
	struct memstore *m = memstore_new();
	struct id leaf = put_leaf(m, "cd");
	struct place place = { m, put_inner_node(m, 1, lies[0].child, 2) };

	(void)state;
	/* All that an inner node says is compared with something. */
	damage_node(m, &place.root, use_all, &place, true);
	damage_node(m, &leaf, use_all, &place, false);
	memstore_free(m);
}

/* --- memory -------------------------------------------------------------- */

static int
build_and_list(struct dir *d, struct err *e)
{
	struct tree_builder *b = NULL;
	struct tree_root root;
	struct tree_hit h;
	int rc = -1;

	if (tree_builder_new(&d->m->sink, &b, e) < 0)
		return -1;
	for (size_t i = 0; i < d->n; i++)
		if (tree_builder_add(b, &d->en[i], e) < 0)
			goto out;
	if (tree_builder_finish(b, &root, e) < 0 ||
	    list(d->m, &root.id, e) < 0 ||
	    tree_find(&d->m->reader, &root.id, d->name[9], strlen(d->name[9]),
		      &h, e) < 0)
		goto out;
	tree_hit_clear(&h);
	rc = 0;
out:
	tree_builder_free(b);
	return rc;
}

static int
build_with_little_memory(void *ctx)
{
	struct dir *d = ctx;
	struct err e = { 0 };
	int rc = build_and_list(d, &e);

	assert_int_equal(e.kind, rc < 0 ? ERR_NOMEM : ERR_NONE);
	assert_int_equal(d->m->held, 0);
	return rc;
}

static void
running_out_of_memory_is_said_and_leaves_nothing(void **state)
{
	struct dir d;

	(void)state;
	dir_init(&d, 600, 31);
	damage_memory(build_with_little_memory, &d);
	dir_clear(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directories_of_all_sizes_are_listed_whole),
		cmocka_unit_test(small_directories_are_one_node),
		cmocka_unit_test(every_name_is_found_and_no_other),
		cmocka_unit_test(every_inode_is_found_below_its_entry),
		cmocka_unit_test(seeking_goes_to_the_first_name_not_before),
		cmocka_unit_test(seeking_loads_only_the_way_there),
		cmocka_unit_test(nodes_are_cut_where_the_document_says),
		cmocka_unit_test(the_same_entries_make_the_same_nodes),
		cmocka_unit_test(a_changed_entry_rewrites_one_path),
		cmocka_unit_test(a_name_more_or_less_rewrites_few_nodes),
		cmocka_unit_test(names_must_rise_and_what_does_not_is_left_out),
		cmocka_unit_test(more_inodes_than_numbers_are_refused),
		cmocka_unit_test(a_lost_node_never_makes_a_whole_directory),
		cmocka_unit_test(long_entries_make_nodes_of_fewer),
		cmocka_unit_test(one_entry_may_be_longer_than_a_node_should),
		cmocka_unit_test(nodes_that_lie_are_found_out),
		cmocka_unit_test(a_node_may_not_reach_into_a_far_neighbour),
		cmocka_unit_test(damaged_fronts_of_nodes_are_found_out),
		cmocka_unit_test(a_node_of_too_many_entries_is_refused),
		cmocka_unit_test(what_is_missing_is_said_and_the_rest_is_read),
		cmocka_unit_test(damaged_nodes_are_refused_or_valid),
		cmocka_unit_test(
			running_out_of_memory_is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
