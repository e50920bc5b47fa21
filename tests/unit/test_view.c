/*
 * view, against trees that are also held plainly in memory: every path,
 * every inode number both ways, every parent, every place of every listing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/view.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/engine/links.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"
#include "store/writer.h"

#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/memstore.h"
#include "tests/lib/rng.h"
#include "tests/lib/scratch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define GENERATION 7
#define NAME_ROOM  24

/* --- the model ----------------------------------------------------------- */

struct item {
	uint8_t name[NAME_ROOM];
	size_t name_len;
	uint8_t type;
	size_t parent; /* of the top: itself */
	size_t depth;
	size_t *child; /* sorted by name when the model is finished */
	size_t children, cap;
	/* Known when it is finished. */
	uint64_t position, ordinal, dirs;
	struct tree_root root; /* a directory's, in the store */
	/* Linked entries; `group` is 0 for all others. */
	uint64_t group;
	uint64_t looks_like; /* not linked, but with that group's inode */
	uint64_t rank, inside;
	size_t first; /* the first name of the group in preorder */
};

struct model {
	struct item *v; /* v[0] is the top */
	size_t count, cap;
	size_t *order; /* all items in preorder */
	struct memstore *store;
	struct view_gen gen;
};

static void *
must(void *p)
{
	assert_non_null(p);
	return p;
}

/* Append a child called `name`; its index. */
static size_t
add_named(struct model *m, size_t parent, unsigned type, const void *name,
	  size_t len)
{
	struct item *dir;
	struct item *it;

	if (m->count == m->cap) {
		m->cap = m->cap > 0 ? 2 * m->cap : 64;
		m->v = must(realloc(m->v, m->cap * sizeof(*m->v)));
	}
	it = &m->v[m->count];
	memset(it, 0, sizeof(*it));
	assert_true(len <= NAME_ROOM);
	if (len > 0)
		memcpy(it->name, name, len);
	it->name_len = len;
	it->type = (uint8_t)type;
	it->parent = parent;
	if (m->count > 0) {
		dir = &m->v[parent];
		it->depth = dir->depth + 1;
		if (dir->children == dir->cap) {
			dir->cap = dir->cap > 0 ? 2 * dir->cap : 4;
			dir->child = must(realloc(
				dir->child, dir->cap * sizeof(*dir->child)));
		}
		dir->child[dir->children++] = m->count;
		dir->dirs += type == ENTRY_DIR;
	}
	return m->count++;
}

static struct model *
model_new(void)
{
	struct model *m = must(calloc(1, sizeof(*m)));

	m->store = memstore_new();
	add_named(m, 0, ENTRY_DIR, NULL, 0);
	return m;
}

static void
model_free(struct model *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->v[i].child);
	memstore_free(m->store);
	free(m->v);
	free(m->order);
	free(m);
}

/* A name that is new: the item's number makes it so, all else is noise. */
static size_t
add(struct model *m, struct rng *rng, size_t parent, unsigned type)
{
	static const uint8_t noise[] = { ' ', '\n', 0xff, 0xc3, 'Z', 1,
					 '~', '.',  '-',  0x80, 'a' };
	uint8_t name[NAME_ROOM];
	size_t n = rng_below(rng, 6);

	for (size_t i = 0; i < n; i++)
		name[i] = noise[rng_below(rng, sizeof(noise))];
	n += (size_t)snprintf((char *)name + n, sizeof(name) - n, "%zx",
			      m->count);
	return add_named(m, parent, type, name, n);
}

/* --- from the model to the store ----------------------------------------- */

static const struct item *sorting;

static int
compare_names(const void *a, const void *b)
{
	const struct item *x = &sorting[*(const size_t *)a];
	const struct item *y = &sorting[*(const size_t *)b];

	return entry_name_cmp(x->name, x->name_len, y->name, y->name_len);
}

static int
compare_groups(const void *a, const void *b)
{
	const struct item *x = &sorting[*(const size_t *)a];
	const struct item *y = &sorting[*(const size_t *)b];

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

/* Sort all directories and number everything in preorder, from 1. */
static void
number_items(struct model *m)
{
	size_t *stack = must(malloc(m->count * sizeof(*stack)));
	uint64_t ordinal = 0;
	size_t depth = 0;

	m->order = must(malloc(m->count * sizeof(*m->order)));
	sorting = m->v;
	stack[depth++] = 0;
	while (depth > 0) {
		size_t i = stack[--depth];
		struct item *it = &m->v[i];

		m->order[ordinal++] = i;
		it->ordinal = ordinal;
		if (it->children > 0)
			qsort(it->child, it->children, sizeof(*it->child),
			      compare_names);
		for (size_t c = it->children; c-- > 0;) {
			m->v[it->child[c]].position = c;
			stack[depth++] = it->child[c];
		}
	}
	assert_int_equal(ordinal, m->count);
	free(stack);
}

/* A group's link id: two file systems, the inode from the group's number. */
static uint64_t
group_fs(uint64_t group)
{
	return group % 2;
}

static uint64_t
group_ino(uint64_t group)
{
	return group / 2 * 1000003;
}

static struct entry
make_entry(const struct item *it, size_t i)
{
	struct entry en;

	memset(&en, 0, sizeof(en));
	en.name = it->name;
	en.name_len = it->name_len;
	en.type = it->type;
	en.mode = (uint32_t)(i % 07777);
	en.fs = 5;
	en.ino = i;
	en.nlink = 1;
	if (it->group != 0) {
		en.flags |= ENTRY_LINKED;
		en.nlink = it->inside + 3;
	}
	if (it->group != 0 || it->looks_like != 0) {
		en.fs = group_fs(it->group | it->looks_like);
		en.ino = group_ino(it->group | it->looks_like);
	}
	if (it->type == ENTRY_SYMLINK) {
		en.target = (const uint8_t *)"target";
		en.target_len = 6;
	}
	en.dir = it->root;
	return en;
}

/* Store all directories, children before parents. */
static void
store_trees(struct model *m)
{
	struct tree_builder *b;
	struct err e = { 0 };

	assert_int_equal(tree_builder_new(&m->store->sink, &b, &e), 0);
	for (size_t o = m->count; o-- > 0;) {
		struct item *dir = &m->v[m->order[o]];

		if (dir->type != ENTRY_DIR)
			continue;
		for (size_t c = 0; c < dir->children; c++) {
			size_t i = dir->child[c];
			struct entry en = make_entry(&m->v[i], i);

			if (tree_builder_add(b, &en, &e) < 0)
				fail_msg("%s", e.text);
		}
		if (tree_builder_finish(b, &dir->root, &e) < 0)
			fail_msg("%s", e.text);
	}
	tree_builder_free(b);
}

/*
 * Sort the linked items by group; their number.  In *out, to be freed: all
 * of a group together, the first in preorder first.
 */
static size_t
sort_groups(struct model *m, size_t **out)
{
	size_t *v = must(malloc((m->count + 1) * sizeof(*v)));
	size_t n = 0;

	for (size_t i = 0; i < m->count; i++)
		if (m->v[i].group != 0)
			v[n++] = i;
	sorting = m->v;
	if (n > 0)
		qsort(v, n, sizeof(*v), compare_groups);
	*out = v;
	return n;
}

/* Find the groups' sizes, before the entries are made. */
static void
measure_groups(struct model *m)
{
	size_t *v;
	size_t n = sort_groups(m, &v);

	for (size_t i = 0; i < n; i++) {
		uint64_t inside = 0;

		while (i + inside < n &&
		       m->v[v[i + inside]].group == m->v[v[i]].group)
			inside++;
		for (size_t j = i; j < i + inside; j++) {
			m->v[v[j]].inside = inside;
			m->v[v[j]].first = v[i];
		}
		i += inside - 1;
	}
	free(v);
}

static int
compare_links(const void *a, const void *b)
{
	uint64_t x = sorting[*(const size_t *)a].group;
	uint64_t y = sorting[*(const size_t *)b].group;

	if (group_fs(x) != group_fs(y))
		return group_fs(x) < group_fs(y) ? -1 : 1;
	return group_ino(x) < group_ino(y) ? -1 : group_ino(x) > group_ino(y);
}

/* Make the link table, leaving out the group `without` (0: none). */
static void
store_links(struct model *m, uint64_t without)
{
	struct links_builder *b;
	struct err e = { 0 };
	uint64_t rank = 0;
	size_t *v;
	size_t n = sort_groups(m, &v);
	size_t firsts = 0;

	for (size_t i = 0; i < n; i++)
		if (m->v[v[i]].first == v[i] && m->v[v[i]].group != without)
			v[firsts++] = v[i];
	if (firsts > 0)
		qsort(v, firsts, sizeof(*v), compare_links);
	assert_int_equal(links_builder_new(&m->store->sink, &b, &e), 0);
	for (size_t i = 0; i < firsts; i++) {
		struct item *it = &m->v[v[i]];
		struct link l = {
			.fs = group_fs(it->group),
			.ino = group_ino(it->group),
			.inside = it->inside,
			.tree = m->v[it->parent].root.id,
			.name = it->name,
			.name_len = it->name_len,
		};

		if (links_builder_add(b, &l, &e) < 0)
			fail_msg("%s", e.text);
		it->rank = rank++;
	}
	for (size_t i = 0; i < m->count; i++)
		if (m->v[i].group != 0)
			m->v[i].rank = m->v[m->v[i].first].rank;
	if (links_builder_finish(b, &m->gen.record.links,
				 &m->gen.record.link_count, &e) < 0)
		fail_msg("%s", e.text);
	links_builder_free(b);
	free(v);
}

/* What only view_open makes otherwise. */
static void
open_model(struct model *m)
{
	m->gen.reader = &m->store->reader;
	m->gen.number = GENERATION;
	m->gen.refs = 1;
	m->gen.record.root = make_entry(&m->v[0], 0);
}

static void
finish(struct model *m)
{
	number_items(m);
	measure_groups(m);
	store_trees(m);
	store_links(m, 0);
	open_model(m);
}

static uint64_t
ino_of(const struct item *it)
{
	uint64_t low = it->group != 0 ? INO_LINKED | it->rank : it->ordinal;

	return (uint64_t)GENERATION << 40 | low;
}

static void
path_of(const struct model *m, size_t i, struct buf *out)
{
	size_t *up = must(malloc((m->v[i].depth + 1) * sizeof(*up)));
	size_t n = 0;

	for (; i != 0; i = m->v[i].parent)
		up[n++] = i;
	buf_reset(out);
	if (n == 0)
		buf_add_char(out, '/');
	while (n-- > 0) {
		buf_add_char(out, '/');
		buf_add(out, m->v[up[n]].name, m->v[up[n]].name_len);
	}
	free(up);
}

/* --- random trees -------------------------------------------------------- */

/*
 * Entries of all types at random places; some directories stay empty, some
 * get very many entries, and every eighth of what is no directory shares an
 * inode with others.
 */
static struct model *
random_tree(uint64_t seed, size_t count)
{
	struct rng rng = { seed };
	struct model *m = model_new();
	size_t *dirs = must(malloc((count + 1) * sizeof(*dirs)));
	size_t n = 1;

	dirs[0] = 0;
	while (m->count < count) {
		/* One of the youngest often, so that it gets deep. */
		size_t from = rng_below(&rng, 2) == 0 && n > 6 ? n - 6 : 0;
		size_t dir = dirs[from + rng_below(&rng, n - from)];
		bool is_dir = rng_below(&rng, 5) == 0;
		unsigned other = (unsigned)rng_below(&rng, 15);
		size_t i;

		/* Files, and now and then one of the five other types. */
		other = other < 5 ? ENTRY_SYMLINK + other : ENTRY_FILE;
		i = add(m, &rng, dir, is_dir ? ENTRY_DIR : other);
		if (is_dir)
			dirs[n++] = i;
		else if (rng_below(&rng, 8) == 0)
			m->v[i].group = 1 + rng_below(&rng, count / 20 + 1);
	}
	free(dirs);
	finish(m);
	return m;
}

/* A directory of 3,000 entries, every tenth a directory with a few. */
static struct model *
wide_tree(void)
{
	struct rng rng = { 99 };
	struct model *m = model_new();
	size_t wide;

	add(m, &rng, 0, ENTRY_FILE);
	wide = add(m, &rng, 0, ENTRY_DIR);
	for (size_t i = 0; i < 3000; i++) {
		size_t c = add(m, &rng, wide,
			       i % 10 == 0 ? ENTRY_DIR : ENTRY_FILE);

		for (size_t j = 0; i % 10 == 0 && j < rng_below(&rng, 5); j++)
			add(m, &rng, c, ENTRY_FILE);
		if (i % 7 == 1)
			m->v[c].group =
				m->v[c].type == ENTRY_DIR ? 0 : 1 + i % 90;
	}
	add(m, &rng, 0, ENTRY_FILE);
	finish(m);
	return m;
}

/* --- comparing ----------------------------------------------------------- */

static void
check_entry(struct model *m, const struct node *n, size_t i)
{
	const struct item *it = &m->v[i];
	uint64_t nlink = 0;
	struct err e = { 0 };

	assert_int_equal(n->entry.name_len, it->name_len);
	if (it->name_len > 0)
		assert_memory_equal(n->entry.name, it->name, it->name_len);
	assert_int_equal(n->entry.type, it->type);
	assert_int_equal(n->entry.mode, i % 07777);
	assert_int_equal(n->ino, ino_of(it));
	assert_int_equal(view_nlink(&m->gen, n, &nlink, &e), 0);
	assert_int_equal(nlink, it->type == ENTRY_DIR ? 2 + it->dirs
				: it->group != 0      ? it->inside
						      : 1);
}

/* A node that was reached from the top knows its place. */
static void
check_node(struct model *m, const struct node *n, size_t i)
{
	check_entry(m, n, i);
	assert_int_equal(n->ordinal, m->v[i].ordinal);
	assert_int_equal(n->parent_ordinal, m->v[m->v[i].parent].ordinal);
}

static void
check_path(struct model *m, size_t i, struct buf *path)
{
	struct node n;
	struct err e = { 0 };

	path_of(m, i, path);
	if (view_path(&m->gen, buf_str(path), &n, &e) != 0)
		fail_msg("%s: %s", buf_str(path), e.text);
	check_node(m, &n, i);
	node_clear(&n);
}

static void
check_number(struct model *m, size_t i)
{
	const struct item *it = &m->v[i];
	struct node n;
	struct node parent;
	struct err e = { 0 };
	int rc = view_inode(&m->gen, ino_of(it), &n, &e);

	if (rc != 0)
		fail_msg("inode %llx: %s", (unsigned long long)ino_of(it),
			 e.text);
	if (it->group != 0) {
		/* By its rank it is found under its first name. */
		check_entry(m, &n, it->first);
		assert_int_equal(n.ordinal, 0);
		assert_int_equal(n.parent_ordinal, 0);
		assert_int_equal(view_parent(&m->gen, &n, &parent, &e), -1);
		node_clear(&n);
		return;
	}
	check_node(m, &n, i);
	if (view_parent(&m->gen, &n, &parent, &e) != 0)
		fail_msg("parent of %llx: %s", (unsigned long long)ino_of(it),
			 e.text);
	check_node(m, &parent, it->parent);
	node_clear(&parent);
	node_clear(&n);
}

/* The ordinals of linked entries are no numbers. */
static void
check_no_number(struct model *m, uint64_t low)
{
	struct node n;
	struct err e = { 0 };
	uint64_t ino = (uint64_t)GENERATION << 40 | low;

	if (view_inode(&m->gen, ino, &n, &e) != 1)
		fail_msg("inode %llx: %s", (unsigned long long)ino, e.text);
	assert_int_equal(e.kind, ERR_NONE);
}

static void
check_all(struct model *m)
{
	struct buf path = { 0 };

	for (size_t i = 0; i < m->count; i++) {
		check_path(m, i, &path);
		check_number(m, i);
		if (m->v[i].group != 0)
			check_no_number(m, m->v[i].ordinal);
	}
	buf_clear(&path);
}

static void
every_path_and_number_leads_to_its_entry(void **state)
{
	static const size_t counts[] = { 1, 2, 3, 10, 100, 1000, 4000 };

	(void)state;
	for (size_t i = 0; i < N_OF(counts); i++) {
		struct model *m = random_tree(100 + i, counts[i]);

		check_all(m);
		model_free(m);
	}
}

static void
a_huge_directory_is_found_in_like_a_small_one(void **state)
{
	struct model *m = wide_tree();

	(void)state;
	check_all(m);
	/* One level of nodes more than the path has names. */
	m->store->gets = 0;
	check_number(m, m->count - 2);
	assert_true(m->store->gets < 40);
	model_free(m);
}

static void
other_numbers_are_nobodys(void **state)
{
	static const uint64_t numbers[] = {
		0, 1, 2, 100, INO_LINKED, INO_LINKED | 1, UINT64_MAX,
	};
	struct model *m = random_tree(5, 500);
	uint64_t links = m->gen.record.link_count;
	struct node n;
	struct err e = { 0 };

	(void)state;
	assert_true(links > 3);
	check_no_number(m, 0);
	check_no_number(m, m->count + 1);
	check_no_number(m, m->count + 1000);
	check_no_number(m, INO_ORDINAL_MASK);
	check_no_number(m, INO_LINKED | links);
	check_no_number(m, INO_LINKED | INO_ORDINAL_MASK);
	/* Those of other generations, and of the mount itself. */
	for (size_t i = 0; i < N_OF(numbers); i++) {
		assert_int_equal(view_inode(&m->gen, numbers[i], &n, &e), 1);
		assert_int_equal(view_inode(&m->gen,
					    numbers[i] | UINT64_C(8) << 40, &n,
					    &e),
				 1);
		assert_int_equal(view_inode(&m->gen,
					    numbers[i] | UINT64_C(1) << 63, &n,
					    &e),
				 1);
	}
	model_free(m);
}

static void
a_generation_without_links_has_no_linked_numbers(void **state)
{
	struct model *m = model_new();
	struct rng rng = { 1 };

	(void)state;
	add(m, &rng, 0, ENTRY_FILE);
	finish(m);
	assert_true(id_is_zero(&m->gen.record.links));
	check_no_number(m, INO_LINKED);
	check_all(m);
	model_free(m);
}

static void
names_that_are_not_there_are_not_found(void **state)
{
	static char too_long[300];
	static const char *const paths[] = {
		"/nobody", "/dir/nobody",   "/file/x", "/dir/../dir",
		"/dir/.",  "/dir/file/x/y", "/di",     "/dirr",
		too_long,  "/dir/empty/x",  "/..",
	};
	static const struct {
		const char *name;
		size_t len;
	} names[] = {
		{ "", 0 },     { ".", 1 },     { "..", 2 }, { "/", 1 },
		{ "dir/", 4 }, { "dir\0", 4 }, { "di", 2 }, { "a/../a", 6 },
	};
	struct model *m = model_new();
	size_t dir = add_named(m, 0, ENTRY_DIR, "dir", 3);
	struct node top;
	struct node n;
	struct err e = { 0 };

	(void)state;
	add_named(m, 0, ENTRY_FILE, "file", 4);
	add_named(m, dir, ENTRY_FILE, "file", 4);
	add_named(m, dir, ENTRY_DIR, "empty", 5);
	finish(m);
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[0] = '/';
	for (size_t i = 0; i < N_OF(paths); i++)
		if (view_path(&m->gen, paths[i], &n, &e) != 1)
			fail_msg("%s: %s", paths[i], e.text);
	assert_int_equal(view_top(&m->gen, &top, &e), 0);
	for (size_t i = 0; i < N_OF(names); i++)
		assert_int_equal(view_lookup(&m->gen, &top, names[i].name,
					     names[i].len, &n, &e),
				 1);
	assert_int_equal(e.kind, ERR_NONE);
	/* The top has no name, and every path of nothing leads to it. */
	assert_int_equal(view_path(&m->gen, "/", &n, &e), 0);
	check_node(m, &n, 0);
	node_clear(&n);
	/* The top is its own parent. */
	assert_int_equal(view_parent(&m->gen, &top, &n, &e), 0);
	check_node(m, &n, 0);
	node_clear(&n);
	node_clear(&top);
	model_free(m);
}

static void
names_may_be_255_bytes_long(void **state)
{
	uint8_t name[256];
	struct memstore *store = memstore_new();
	struct view_gen g = { .reader = &store->reader, .number = 1 };
	struct tree_builder *b;
	struct entry en = {
		.name = name, .name_len = 255, .type = ENTRY_FIFO, .nlink = 1
	};
	char path[258] = "/";
	struct node n;
	struct err e = { 0 };

	(void)state;
	memset(name, 0xfe, sizeof(name));
	memset(path + 1, 0xfe, 256);
	assert_int_equal(tree_builder_new(&store->sink, &b, &e), 0);
	assert_int_equal(tree_builder_add(b, &en, &e), 0);
	g.record.root.type = ENTRY_DIR;
	assert_int_equal(tree_builder_finish(b, &g.record.root.dir, &e), 0);
	tree_builder_free(b);
	/* One byte more is another name. */
	assert_int_equal(view_path(&g, path, &n, &e), 1);
	path[256] = '\0';
	assert_int_equal(view_path(&g, path, &n, &e), 0);
	assert_int_equal(n.ordinal, 2);
	node_clear(&n);
	memstore_free(store);
}

/* --- depth --------------------------------------------------------------- */

#define DEEP 10000

static void
ten_thousand_levels_are_no_matter(void **state)
{
	struct model *m = model_new();
	struct rng rng = { 4 };
	struct buf path = { 0 };
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < DEEP; i++) {
		if (i % 100 == 0)
			add(m, &rng, at, ENTRY_FILE);
		at = add(m, &rng, at, ENTRY_DIR);
	}
	m->v[add(m, &rng, at, ENTRY_FILE)].group = 1;
	finish(m);
	for (size_t i = 0; i < m->count; i += 997) {
		check_path(m, i, &path);
		check_number(m, i);
	}
	for (size_t i = m->count - 3; i < m->count; i++) {
		check_path(m, i, &path);
		check_number(m, i);
	}
	buf_clear(&path);
	model_free(m);
}

/* --- listing ------------------------------------------------------------- */

struct listing {
	struct model *m;
	size_t dir;
	uint64_t next;  /* position that must come */
	uint64_t until; /* stop when so many came */
	uint64_t seen;
};

static int
check_listed(void *ctx, const struct node *n, uint64_t position, struct err *e)
{
	struct listing *l = ctx;
	const struct item *dir = &l->m->v[l->dir];

	(void)e;
	assert_int_equal(position, l->next);
	assert_true(position < dir->children);
	check_node(l->m, n, dir->child[position]);
	l->next++;
	return ++l->seen == l->until ? 1 : 0;
}

/* List from `start`, at most `until` entries. */
static void
check_list(struct model *m, size_t dir, uint64_t start, uint64_t until)
{
	struct listing l = {
		.m = m, .dir = dir, .next = start, .until = until
	};
	uint64_t left =
		start < m->v[dir].children ? m->v[dir].children - start : 0;
	struct buf path = { 0 };
	struct node n;
	struct err e = { 0 };
	int rc;

	path_of(m, dir, &path);
	assert_int_equal(view_path(&m->gen, buf_str(&path), &n, &e), 0);
	rc = view_list(&m->gen, &n, start, check_listed, &l, &e);
	if (rc < 0)
		fail_msg("%s: %s", buf_str(&path), e.text);
	assert_int_equal(rc, left >= until ? 1 : 0);
	assert_int_equal(l.seen, left < until ? left : until);
	node_clear(&n);
	buf_clear(&path);
}

static void
directories_are_listed_from_every_place(void **state)
{
	struct model *m = random_tree(77, 2000);

	(void)state;
	for (size_t i = 0; i < m->count; i++) {
		if (m->v[i].type != ENTRY_DIR)
			continue;
		for (uint64_t at = 0; at <= m->v[i].children + 1; at++)
			check_list(m, i, at, UINT64_MAX);
		check_list(m, i, UINT64_MAX, 1);
	}
	model_free(m);
}

static void
a_huge_directory_is_listed_from_every_place(void **state)
{
	struct model *m = wide_tree();
	size_t wide = 0;

	(void)state;
	while (m->v[wide].children < 3000)
		wide++;
	for (uint64_t at = 0; at <= m->v[wide].children; at++)
		check_list(m, wide, at, 3);
	for (uint64_t at = 0; at <= m->v[wide].children; at += 499)
		check_list(m, wide, at, UINT64_MAX);
	model_free(m);
}

static int
fail_at_two(void *ctx, const struct node *n, uint64_t position, struct err *e)
{
	(void)n;
	++*(unsigned *)ctx;
	return position == 2 ? err_set(e, ERR_CANCELLED, "enough") : 0;
}

static void
a_listing_ends_with_the_callers_failure(void **state)
{
	struct model *m = random_tree(12, 100);
	struct node top;
	struct err e = { 0 };
	unsigned calls = 0;

	(void)state;
	assert_true(m->v[0].children > 4);
	assert_int_equal(view_top(&m->gen, &top, &e), 0);
	assert_int_equal(view_list(&m->gen, &top, 0, fail_at_two, &calls, &e),
			 -1);
	assert_int_equal(calls, 3);
	assert_int_equal(e.kind, ERR_CANCELLED);
	assert_string_equal(e.text, "enough");
	node_clear(&top);
	model_free(m);
}

static void
only_directories_are_listed(void **state)
{
	struct model *m = model_new();
	struct node n;
	struct err e = { 0 };
	unsigned calls = 0;

	(void)state;
	add_named(m, 0, ENTRY_FILE, "file", 4);
	finish(m);
	assert_int_equal(view_path(&m->gen, "/file", &n, &e), 0);
	assert_int_equal(view_list(&m->gen, &n, 0, fail_at_two, &calls, &e),
			 -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_int_equal(calls, 0);
	node_clear(&n);
	model_free(m);
}

/* --- damage -------------------------------------------------------------- */

/*
 * A tree whose directory "dir" says of itself what `lie` makes of it:
 * "/a", "/dir" with "one", "sub" (with "x" and "y") and "two", and "/z".
 */
static struct model *
lying_tree(void (*lie)(struct tree_root *))
{
	struct model *m = model_new();
	size_t dir;
	size_t sub;
	struct tree_builder *b;
	struct err e = { 0 };

	add_named(m, 0, ENTRY_FILE, "a", 1);
	dir = add_named(m, 0, ENTRY_DIR, "dir", 3);
	add_named(m, 0, ENTRY_FILE, "z", 1);
	add_named(m, dir, ENTRY_FILE, "one", 3);
	sub = add_named(m, dir, ENTRY_DIR, "sub", 3);
	add_named(m, dir, ENTRY_FILE, "two", 3);
	add_named(m, sub, ENTRY_FILE, "x", 1);
	add_named(m, sub, ENTRY_FILE, "y", 1);
	finish(m);
	lie(&m->v[dir].root);
	/* The top again, with the lie in it. */
	assert_int_equal(tree_builder_new(&m->store->sink, &b, &e), 0);
	for (size_t c = 0; c < m->v[0].children; c++) {
		size_t i = m->v[0].child[c];
		struct entry en = make_entry(&m->v[i], i);

		if (tree_builder_add(b, &en, &e) < 0)
			fail_msg("%s", e.text);
	}
	assert_int_equal(tree_builder_finish(b, &m->v[0].root, &e), 0);
	tree_builder_free(b);
	open_model(m);
	return m;
}

static int
ignore(void *ctx, const struct node *n, uint64_t position, struct err *e)
{
	(void)ctx;
	(void)n;
	(void)position;
	(void)e;
	return 0;
}

/* Kinds of failure for each way to look: 0 is success, -1 is "none". */
#define NONE (-1)

static int
kind_of_path(struct model *m, const char *path)
{
	struct node n;
	struct err e = { 0 };
	int rc = view_path(&m->gen, path, &n, &e);

	if (rc == 0)
		node_clear(&n);
	return rc == 1 ? NONE : (int)e.kind;
}

static int
kind_of_number(struct model *m, uint64_t low)
{
	struct node n;
	struct err e = { 0 };
	int rc = view_inode(&m->gen, (uint64_t)GENERATION << 40 | low, &n, &e);

	if (rc == 0)
		node_clear(&n);
	if (rc < 0)
		assert_memory_equal(e.text, "generation 7: ", 14);
	return rc == 1 ? NONE : (int)e.kind;
}

static int
kind_of_list(struct model *m, const char *path, uint64_t start)
{
	struct node n;
	struct err e = { 0 };

	assert_int_equal(view_path(&m->gen, path, &n, &e), 0);
	if (view_list(&m->gen, &n, start, ignore, NULL, &e) < 0)
		assert_memory_equal(e.text, "generation 7: ", 14);
	node_clear(&n);
	return (int)e.kind;
}

static void
truth(struct tree_root *r)
{
	(void)r;
}

static void
more_beneath(struct tree_root *r)
{
	r->beneath += 2;
}

static void
one_less_beneath(struct tree_root *r)
{
	r->beneath -= 1;
}

static void
two_less_beneath(struct tree_root *r)
{
	r->beneath -= 2;
}

static void
more_entries(struct tree_root *r)
{
	r->entries += 1;
}

static void
less_entries(struct tree_root *r)
{
	r->entries -= 1;
}

static void
no_tree(struct tree_root *r)
{
	memset(r->id.b, 0x77, sizeof(r->id.b));
}

static const struct {
	const char *name;
	void (*lie)(struct tree_root *);
	int two, x;    /* by path, what lies in "dir" and below */
	int number[9]; /* by ordinal from 1 */
	int list;      /* of "dir" */
} lies[] = {
	{ "truth", truth, 0, 0, { 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 0 },
	{ "more beneath than there is",
	  more_beneath,
	  0,
	  0,
	  { 0, 0, 0, 0, 0, 0, 0, 0, ERR_CORRUPT },
	  ERR_CORRUPT },
	/* What follows "dir" comes in the place of what was denied. */
	{ "one less beneath than there is",
	  one_less_beneath,
	  ERR_CORRUPT,
	  0,
	  { 0, 0, 0, 0, 0, 0, 0, 0, NONE },
	  ERR_CORRUPT },
	{ "two less, into the middle of \"sub\"",
	  two_less_beneath,
	  ERR_CORRUPT,
	  ERR_CORRUPT,
	  { 0, 0, 0, 0, ERR_CORRUPT, ERR_CORRUPT, 0, NONE, NONE },
	  ERR_CORRUPT },
	{ "more entries than there are",
	  more_entries,
	  0,
	  0,
	  { 0, 0, 0, 0, 0, 0, 0, 0, 0 },
	  ERR_CORRUPT },
	{ "fewer entries than there are",
	  less_entries,
	  0,
	  0,
	  { 0, 0, 0, 0, 0, 0, 0, 0, 0 },
	  ERR_CORRUPT },
	{ "a tree that is not there",
	  no_tree,
	  ERR_MISSING,
	  ERR_MISSING,
	  { 0, 0, 0, ERR_MISSING, ERR_MISSING, ERR_MISSING, ERR_MISSING,
	    ERR_MISSING, 0 },
	  ERR_MISSING },
};

static void
expect(const char *name, const char *what, int got, int want)
{
	if (got != want)
		fail_msg("%s: %s: %d, not %d", name, what, got, want);
}

static void
a_directory_that_lies_is_caught(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(lies); i++) {
		struct model *m = lying_tree(lies[i].lie);
		const char *name = lies[i].name;
		char what[32];

		expect(name, "/a", kind_of_path(m, "/a"), 0);
		expect(name, "/dir", kind_of_path(m, "/dir"), 0);
		expect(name, "/z", kind_of_path(m, "/z"), 0);
		expect(name, "/dir/two", kind_of_path(m, "/dir/two"),
		       lies[i].two);
		expect(name, "/dir/sub/x", kind_of_path(m, "/dir/sub/x"),
		       lies[i].x);
		for (unsigned o = 1; o <= N_OF(lies[i].number); o++) {
			(void)snprintf(what, sizeof(what), "ordinal %u", o);
			expect(name, what, kind_of_number(m, o),
			       lies[i].number[o - 1]);
		}
		expect(name, "list", kind_of_list(m, "/dir", 0), lies[i].list);
		expect(name, "list /", kind_of_list(m, "/", 0), 0);
		model_free(m);
	}
}

/*
 * "/one" and "/dir/two" are one inode.  "/three" has the same number in
 * another file system, "/four" another number, and "/plain" is not linked.
 */
static struct model *
linked_tree(void)
{
	struct model *m = model_new();
	size_t dir = add_named(m, 0, ENTRY_DIR, "dir", 3);

	m->v[add_named(m, 0, ENTRY_FILE, "one", 3)].group = 4;
	m->v[add_named(m, dir, ENTRY_FILE, "two", 3)].group = 4;
	m->v[add_named(m, 0, ENTRY_FILE, "three", 5)].group = 5;
	m->v[add_named(m, 0, ENTRY_FILE, "four", 4)].group = 6;
	m->v[add_named(m, 0, ENTRY_FILE, "plain", 5)].looks_like = 4;
	finish(m);
	return m;
}

static void
a_link_without_a_row_is_corrupt(void **state)
{
	struct model *m = linked_tree();
	struct node n;
	struct err e = { 0 };

	(void)state;
	store_links(m, 4);
	open_model(m);
	assert_int_equal(kind_of_path(m, "/one"), ERR_CORRUPT);
	assert_int_equal(kind_of_path(m, "/dir/two"), ERR_CORRUPT);
	assert_int_equal(kind_of_path(m, "/three"), 0);
	assert_int_equal(kind_of_path(m, "/dir"), 0);
	assert_int_equal(kind_of_list(m, "/", 0), ERR_CORRUPT);
	assert_int_equal(kind_of_list(m, "/dir", 0), ERR_CORRUPT);
	assert_int_equal(kind_of_number(m, INO_LINKED | 1), 0);
	assert_int_equal(kind_of_number(m, INO_LINKED | 2), NONE);
	assert_int_equal(view_path(&m->gen, "/one", &n, &e), -1);
	assert_memory_equal(e.text, "generation 7: one: ", 19);
	model_free(m);
}

static void
links_without_a_table_are_corrupt(void **state)
{
	struct model *m = linked_tree();
	struct node n;
	uint64_t nlink;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(view_path(&m->gen, "/one", &n, &e), 0);
	memset(&m->gen.record.links, 0, sizeof(m->gen.record.links));
	assert_int_equal(view_nlink(&m->gen, &n, &nlink, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	node_clear(&n);
	assert_int_equal(kind_of_path(m, "/one"), ERR_CORRUPT);
	assert_int_equal(kind_of_path(m, "/dir"), 0);
	assert_int_equal(kind_of_number(m, INO_LINKED | 0), NONE);
	model_free(m);
}

/* Rows that name what is not there, or is something else. */
static void
a_row_that_names_something_else_is_corrupt(void **state)
{
	static const char *const names[] = { "nobody", "three", "four", "dir",
					     "plain" };

	(void)state;
	for (size_t i = 0; i < N_OF(names); i++) {
		struct model *m = linked_tree();
		struct links_builder *b;
		struct link l;
		struct err e = { 0 };

		memset(&l, 0, sizeof(l));
		l.fs = group_fs(4);
		l.ino = group_ino(4);
		l.inside = 2;
		l.tree = m->v[0].root.id;
		l.name = (const uint8_t *)names[i];
		l.name_len = strlen(names[i]);
		assert_int_equal(links_builder_new(&m->store->sink, &b, &e), 0);
		assert_int_equal(links_builder_add(b, &l, &e), 0);
		assert_int_equal(links_builder_finish(b, &m->gen.record.links,
						      &m->gen.record.link_count,
						      &e),
				 0);
		links_builder_free(b);
		assert_int_equal(kind_of_number(m, INO_LINKED | 0),
				 ERR_CORRUPT);
		/* By name it is what it is. */
		assert_int_equal(kind_of_path(m, "/one"), 0);
		model_free(m);
	}
}

/* A table whose first part says that it has 2^39 rows. */
static void
a_rank_that_no_number_holds_is_corrupt(void **state)
{
	static const uint8_t nowhere[ID_LEN] = { 1 };
	struct model *m = linked_tree();
	struct buf b = { 0 };

	(void)state;
	/* Without group 4 the table begins with group 6, "/four". */
	store_links(m, 4);
	wr_u8(&b, 1); /* version */
	wr_u8(&b, 1); /* level */
	wr_varint(&b, 2);
	wr_varint(&b, 0);
	wr_varint(&b, 0);
	wr_varint(&b, INO_LINKED);
	wr_bytes(&b, nowhere, ID_LEN);
	wr_varint(&b, group_fs(6));
	wr_varint(&b, group_ino(6));
	wr_varint(&b, m->gen.record.link_count);
	wr_bytes(&b, m->gen.record.links.b, ID_LEN);
	m->gen.record.links = memstore_put(m->store, KIND_LINKS, b.data, b.len);
	assert_int_equal(kind_of_path(m, "/four"), ERR_CORRUPT);
	assert_int_equal(kind_of_path(m, "/plain"), 0);
	buf_clear(&b);
	model_free(m);
}

/* Every chunk in turn is lost: an error or the truth, and nothing else. */
struct chunks {
	struct id id[1000];
	size_t n;
};

static void
note_chunk(void *ctx, enum id_kind kind, const struct id *id, const uint8_t *p,
	   size_t len)
{
	struct chunks *c = ctx;

	(void)kind;
	(void)p;
	(void)len;
	assert_true(c->n < N_OF(c->id));
	c->id[c->n++] = *id;
}

static void
check_number_or_lost(struct model *m, size_t i)
{
	struct node n;
	struct err e = { 0 };
	int rc = view_inode(&m->gen, ino_of(&m->v[i]), &n, &e);

	assert_int_not_equal(rc, 1);
	if (rc < 0) {
		assert_int_equal(e.kind, ERR_MISSING);
		assert_memory_equal(e.text, "generation 7: ", 14);
		return;
	}
	assert_int_equal(n.ino, ino_of(&m->v[i]));
	node_clear(&n);
}

static void
with_any_chunk_lost_all_else_is_found(void **state)
{
	struct chunks c = { .n = 0 };
	struct model *m = random_tree(31, 300);

	(void)state;
	memstore_each(m->store, note_chunk, &c);
	model_free(m);
	assert_true(c.n > 10);
	for (size_t lost = 0; lost < c.n; lost++) {
		struct buf path = { 0 };
		size_t failed = 0;

		m = random_tree(31, 300);
		memstore_drop(m->store, &c.id[lost]);
		for (size_t i = 0; i < m->count; i++) {
			struct node n;
			struct err e = { 0 };
			int rc;

			path_of(m, i, &path);
			rc = view_path(&m->gen, buf_str(&path), &n, &e);
			assert_int_not_equal(rc, 1);
			if (rc < 0) {
				assert_int_equal(e.kind, ERR_MISSING);
				failed++;
				continue;
			}
			assert_int_equal(n.ordinal, m->v[i].ordinal);
			assert_int_equal(n.ino, ino_of(&m->v[i]));
			node_clear(&n);
		}
		for (size_t i = 0; i < m->count; i++)
			check_number_or_lost(m, i);
		/* Empty directories share a chunk that nobody asks for. */
		assert_true(failed < m->count);
		buf_clear(&path);
		model_free(m);
	}
}

/* --- xattrs -------------------------------------------------------------- */

static void
xattrs_are_inside_or_chunks_of_their_own(void **state)
{
	struct memstore *store = memstore_new();
	struct view_gen g = { .reader = &store->reader, .number = GENERATION };
	struct xattr inside = {
		.name = (const uint8_t *)"user.a",
		.name_len = 6,
		.inlined = true,
		.value = (const uint8_t *)"v\0w",
		.len = 3,
	};
	struct xattr nothing = {
		.name = (const uint8_t *)"user.b",
		.name_len = 6,
		.inlined = true,
	};
	struct xattr outside = {
		.name = (const uint8_t *)"user.c",
		.name_len = 6,
		.len = 5000,
	};
	struct entry en = { .flags = ENTRY_XATTRS, .xattrs = 3 };
	static uint8_t value[5001];
	struct buf bytes = { 0 };
	struct buf got = { 0 };
	struct err e = { 0 };

	(void)state;
	memset(value, 'q', sizeof(value));
	outside.id = memstore_put(store, KIND_DATA, value, 5000);
	xattr_put(&bytes, &inside);
	xattr_put(&bytes, &nothing);
	xattr_put(&bytes, &outside);
	en.xattr_bytes = bytes.data;
	en.xattr_len = bytes.len;
	buf_add_str(&got, "=");
	assert_int_equal(view_xattr(&g, &en, "user.a", &got, &e), 0);
	assert_int_equal(got.len, 4);
	assert_memory_equal(got.data, "=v\0w", 4);
	assert_int_equal(view_xattr(&g, &en, "user.b", &got, &e), 0);
	assert_int_equal(got.len, 4);
	assert_int_equal(view_xattr(&g, &en, "user.c", &got, &e), 0);
	assert_int_equal(got.len, 5004);
	assert_memory_equal(got.data + 4, value, 5000);
	assert_int_equal(view_xattr(&g, &en, "user.", &got, &e), 1);
	assert_int_equal(view_xattr(&g, &en, "user.aa", &got, &e), 1);
	assert_int_equal(view_xattr(&g, &en, "", &got, &e), 1);
	/* A file without any. */
	en.flags = 0;
	en.xattrs = 0;
	en.xattr_bytes = NULL;
	en.xattr_len = 0;
	assert_int_equal(view_xattr(&g, &en, "user.a", &got, &e), 1);
	assert_int_equal(got.len, 5004);
	en.xattr_bytes = bytes.data;
	en.xattr_len = bytes.len;
	memstore_replace(store, &outside.id, value, 5001);
	assert_int_equal(view_xattr(&g, &en, "user.c", &got, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	err_clear(&e);
	memstore_drop(store, &outside.id);
	assert_int_equal(view_xattr(&g, &en, "user.c", &got, &e), -1);
	assert_int_equal(e.kind, ERR_MISSING);
	assert_int_equal(got.len, 5004);
	buf_clear(&bytes);
	buf_clear(&got);
	memstore_free(store);
}

/* --- threads ------------------------------------------------------------- */

struct job {
	struct model *m;
	uint64_t seed;
	unsigned wrong;
};

/* Asserts are for the main thread. */
static void *
look_around(void *arg)
{
	struct job *job = arg;
	struct view_gen *g = view_ref(&job->m->gen);
	struct rng rng = { job->seed };

	for (unsigned i = 0; i < 1000; i++) {
		const struct item *it =
			&job->m->v[rng_below(&rng, job->m->count)];
		struct node n;
		struct err e = { 0 };

		if (view_inode(g, ino_of(it), &n, &e) != 0) {
			job->wrong++;
			continue;
		}
		if (n.ino != ino_of(it) || n.entry.type != it->type)
			job->wrong++;
		node_clear(&n);
	}
	view_unref(g);
	return NULL;
}

static void
a_generation_is_read_from_many_threads(void **state)
{
	struct model *m = random_tree(8, 1000);
	struct job job[4];
	pthread_t thread[4];

	(void)state;
	/* All names of a group have the type of the first. */
	for (size_t i = 0; i < m->count; i++)
		if (m->v[i].group != 0)
			m->v[i].type = m->v[m->v[i].first].type;
	for (size_t i = 0; i < N_OF(thread); i++) {
		job[i] = (struct job){ .m = m, .seed = i + 1 };
		assert_int_equal(
			pthread_create(&thread[i], NULL, look_around, &job[i]),
			0);
	}
	for (size_t i = 0; i < N_OF(thread); i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(job[i].wrong, 0);
	}
	assert_int_equal(m->gen.refs, 1);
	model_free(m);
}

/* --- a generation on disk ------------------------------------------------ */

static struct scratch scratch;
static struct repository *repo;
static struct session *session;
static struct store *store;

static int
make_store(void **state)
{
	struct err e = { 0 };

	(void)state;
	scratch_begin(&scratch);
	(void)setenv("ASOF_CACHE_DIR", scratch_at(&scratch, "cache"), 1);
	if (repository_init(scratch_at(&scratch, "repo"), &e) < 0 ||
	    repository_open(scratch_at(&scratch, "repo"), &repo, &e) < 0 ||
	    session_begin(repo, "test", &session, &e) < 0 ||
	    store_open(repo, session, NULL, &store, &e) < 0)
		fail_msg("%s", e.text);
	return 0;
}

static int
remove_store(void **state)
{
	(void)state;
	store_close(store);
	session_end(session);
	repository_close(repo);
	scratch_end(&scratch);
	return 0;
}

/* Write "/dir/file" through the store's own writer, and publish. */
static uint32_t
publish_small_tree(void)
{
	static struct record_source source[] = { { "dir", "/dir" } };
	static struct record_fs fs[] = { { "uuid:1", 0xef53, "/" } };
	struct entry file = { .name = (const uint8_t *)"file",
			      .name_len = 4,
			      .type = ENTRY_FILE,
			      .nlink = 1 };
	struct entry dir = { .name = (const uint8_t *)"dir",
			     .name_len = 3,
			     .type = ENTRY_DIR,
			     .nlink = 1 };
	struct record r;
	struct writer *w;
	struct tree_builder *b;
	struct err e = { 0 };

	memset(&r, 0, sizeof(r));
	memcpy(r.repository_id, repo->config.id, sizeof(r.repository_id));
	r.set = "home";
	r.machine = "machine";
	r.host = "host";
	r.session_type = GEN_FULL;
	r.effective_type = GEN_FULL;
	r.root.type = ENTRY_DIR;
	r.root.nlink = 1;
	r.source = source;
	r.source_count = 1;
	r.fs = fs;
	r.fs_count = 1;
	assert_int_equal(writer_open(store, NULL, &w, &e), 0);
	assert_int_equal(tree_builder_new(writer_sink(w), &b, &e), 0);
	assert_int_equal(tree_builder_add(b, &file, &e), 0);
	assert_int_equal(tree_builder_finish(b, &dir.dir, &e), 0);
	assert_int_equal(tree_builder_add(b, &dir, &e), 0);
	assert_int_equal(tree_builder_finish(b, &r.root.dir, &e), 0);
	assert_int_equal(writer_flush(w, &e), 0);
	tree_builder_free(b);
	writer_close(w);
	if (generation_publish(store, &r, &e) < 0)
		fail_msg("%s", e.text);
	return r.number;
}

static void
a_published_generation_can_be_opened(void **state)
{
	uint32_t number = publish_small_tree();
	struct view_gen *g;
	struct node n;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(number, 1);
	if (view_open(store, 1, &g, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(g->number, 1);
	assert_string_equal(g->record.set, "home");
	assert_int_equal(view_path(g, "/dir/file", &n, &e), 0);
	assert_int_equal(n.ino, UINT64_C(1) << 40 | 3);
	/* A node keeps its bytes; the record is kept by a reference. */
	assert_ptr_equal(view_ref(g), g);
	view_unref(g);
	assert_memory_equal(n.entry.name, "file", 4);
	node_clear(&n);
	view_unref(g);
	view_unref(NULL);
}

static void
every_allocation_of_opening_may_fail(void **state)
{
	struct view_gen *g = NULL;
	unsigned n = 0;
	int rc = -1;

	(void)state;
	(void)publish_small_tree();
	while (rc < 0) {
		struct err e = { 0 };

		failing_plan_alloc(++n, false);
		rc = view_open(store, 1, &g, &e);
		failing_off();
		if (rc < 0) {
			assert_int_equal(e.kind, ERR_NOMEM);
			assert_null(g);
		}
	}
	assert_true(n > 2);
	view_unref(g);
}

/* Make a changed record's checksum right again. */
static void
reseal(struct buf *b)
{
	struct id sum;

	id_compute(&repo->keys, KIND_RECORD, b->data, b->len - ID_LEN, &sum);
	memcpy(b->data + b->len - ID_LEN, sum.b, ID_LEN);
}

static void
what_cannot_be_opened_says_why(void **state)
{
	static const struct {
		uint32_t number;
		enum err_kind kind;
	} rows[] = {
		{ 2, ERR_MISSING }, { 3, ERR_CORRUPT }, { 4, ERR_UNSUPPORTED },
		{ 5, ERR_CORRUPT }, { 0, ERR_MISSING },
	};
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	(void)publish_small_tree();
	assert_int_equal(repository_read_generation(repo, 1, &b, &e), 0);
	b.data[70] ^= 1;
	assert_int_equal(
		repository_publish_generation(repo, 3, b.data, b.len, &e), 0);
	b.data[70] ^= 1;
	b.data[8] = 2; /* the version, under a right checksum */
	reseal(&b);
	assert_int_equal(
		repository_publish_generation(repo, 4, b.data, b.len, &e), 0);
	b.data[8] = 1;
	reseal(&b);
	/* Sound, but under the name of another. */
	assert_int_equal(
		repository_publish_generation(repo, 5, b.data, b.len, &e), 0);
	buf_clear(&b);
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct view_gen *g = NULL;

		err_clear(&e);
		assert_int_equal(view_open(store, rows[i].number, &g, &e), -1);
		assert_null(g);
		if (e.kind != rows[i].kind)
			fail_msg("%u: %s", (unsigned)rows[i].number, e.text);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_path_and_number_leads_to_its_entry),
		cmocka_unit_test(a_huge_directory_is_found_in_like_a_small_one),
		cmocka_unit_test(other_numbers_are_nobodys),
		cmocka_unit_test(
			a_generation_without_links_has_no_linked_numbers),
		cmocka_unit_test(names_that_are_not_there_are_not_found),
		cmocka_unit_test(names_may_be_255_bytes_long),
		cmocka_unit_test(ten_thousand_levels_are_no_matter),
		cmocka_unit_test(directories_are_listed_from_every_place),
		cmocka_unit_test(a_huge_directory_is_listed_from_every_place),
		cmocka_unit_test(a_listing_ends_with_the_callers_failure),
		cmocka_unit_test(only_directories_are_listed),
		cmocka_unit_test(a_directory_that_lies_is_caught),
		cmocka_unit_test(a_link_without_a_row_is_corrupt),
		cmocka_unit_test(links_without_a_table_are_corrupt),
		cmocka_unit_test(a_row_that_names_something_else_is_corrupt),
		cmocka_unit_test(a_rank_that_no_number_holds_is_corrupt),
		cmocka_unit_test(with_any_chunk_lost_all_else_is_found),
		cmocka_unit_test(xattrs_are_inside_or_chunks_of_their_own),
		cmocka_unit_test(a_generation_is_read_from_many_threads),
		cmocka_unit_test_setup_teardown(
			a_published_generation_can_be_opened, make_store,
			remove_store),
		cmocka_unit_test_setup_teardown(
			every_allocation_of_opening_may_fail, make_store,
			remove_store),
		cmocka_unit_test_setup_teardown(what_cannot_be_opened_says_why,
						make_store, remove_store),
	};

	return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
