/*
 * history: which generations are versions of a path, what follows for the
 * names beneath, and that all names are listed, each once, whatever room
 * there is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/history.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/engine/tree.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/memstore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GENERATIONS_MAX 2000

/* --- states, written as text ------------------------------------------------- */

/*
 * "ax ax b- ay": in generation 1 chain a has version x, and so on; "-" is
 * nothing, "?" that the generation does not speak about the path.
 */
static size_t
parse_states(const char *text, struct history_event *state)
{
	uint32_t number = 0;
	size_t n = 0;

	for (; *text != '\0'; text += text[2] == ' ' ? 3 : 2) {
		number++;
		if (text[1] == '?')
			continue;
		memset(&state[n], 0, sizeof(state[n]));
		state[n].number = number;
		state[n].chain = (uint32_t)(text[0] - 'a');
		if (text[1] != '-') {
			state[n].type = ENTRY_FILE;
			state[n].version[0] = (uint8_t)text[1];
		}
		n++;
	}
	return n;
}

static const char *
shown(const struct history *h)
{
	static char text[GENERATIONS_MAX * 5];
	size_t i;

	text[0] = '\0';
	for (i = 0; i < h->count; i++)
		if (h->event[i].shown)
			(void)snprintf(text + strlen(text),
				       sizeof(text) - strlen(text),
				       "%s%" PRIu32, text[0] != '\0' ? " " : "",
				       h->event[i].number);
	return text;
}

static void
each_version_is_shown_once_under_the_first_generation_that_has_it(void **state)
{
	static const struct {
		const char *states, *shown;
	} cases[] = {
		{ "", "" },
		{ "a-", "" },
		{ "ax", "1" },
		{ "ax ax ax", "1" },
		{ "ax ay ax", "1 2 3" },
		{ "a- ax ax", "2" },
		/* deleted and made again, the same */
		{ "ax a- ax", "1 3" },
		{ "ax a- a- ay a-", "1 4" },
		/* damaged generations say nothing */
		{ "ax a? ax", "1" },
		{ "ax a? ay", "1 3" },
		/* another set says nothing about what it never holds */
		{ "ax b- ax b- ax", "1" },
		{ "ax b- ay b- ay", "1 3" },
		{ "b- ax b- a- b- ax", "2 6" },
		/* two sets with the same are one row of versions */
		{ "ax bx ax bx", "1" },
		{ "ax bx ay by", "1 3" },
		{ "ax bx a- bx ax", "1 5" },
		/* two sets, each with its own */
		{ "ax by ax by ax by", "1 2" },
		{ "ax by az by ax bz", "1 2 3 5 6" },
		{ "ax by cx a- cx cy", "1 2 3 6" },
	};
	struct history_event states[GENERATIONS_MAX];
	struct history *h;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(cases); i++) {
		size_t n = parse_states(cases[i].states, states);

		assert_int_equal(history_new(states, n, 3, &h, NULL), 0);
		if (strcmp(shown(h), cases[i].shown) != 0)
			fail_msg("%s: %s instead of %s", cases[i].states,
				 shown(h), cases[i].shown);
		history_unref(h);
	}
}

static void
a_history_is_as_long_as_its_changes(void **state)
{
	struct history_event *states = calloc(GENERATIONS_MAX, sizeof(*states));
	struct history *h;
	uint32_t i;

	(void)state;
	assert_non_null(states);
	for (i = 0; i < GENERATIONS_MAX; i++) {
		states[i].number = i + 1;
		states[i].chain = i % 2;
		states[i].type = i % 2 == 0 ? ENTRY_FILE : 0;
		states[i].version[0] = i > GENERATIONS_MAX / 2;
	}
	assert_int_equal(history_new(states, GENERATIONS_MAX, 2, &h, NULL), 0);
	assert_int_equal(h->count, 2);
	assert_true(history_size(h) < 1000);
	assert_non_null(history_find(h, 1));
	assert_null(history_find(h, 2));
	history_unref(h);
	free(states);
}

/* --- what is another version ------------------------------------------------ */

static struct entry
sample(void)
{
	static const uint8_t target[] = "target";
	struct entry en = {
		.name = (const uint8_t *)"name",
		.name_len = 4,
		.type = ENTRY_FILE,
		.mode = 0644,
		.uid = 1,
		.gid = 2,
		.mtime = { 5, 6 },
		.nlink = 1,
		.size = 7,
		.target = target,
		.target_len = 6,
	};

	return en;
}

static bool
same_version(const struct entry *a, const struct entry *b)
{
	uint8_t x[HISTORY_VERSION_LEN];
	uint8_t y[HISTORY_VERSION_LEN];

	assert_int_equal(history_version(a, x, NULL), 0);
	assert_int_equal(history_version(b, y, NULL), 0);
	return memcmp(x, y, sizeof(x)) == 0;
}

static void
what_a_restore_would_give_back_makes_a_version(void **state)
{
	const struct entry a = sample();
	struct entry b;

	(void)state;
#define DIFFERS(change)                                                        \
	do {                                                                   \
		b = sample();                                                  \
		b.change;                                                      \
		assert_false(same_version(&a, &b));                            \
	} while (0)
	DIFFERS(type = ENTRY_SYMLINK);
	DIFFERS(mode = 0600);
	DIFFERS(uid = 2);
	DIFFERS(gid = 1);
	DIFFERS(mtime.sec = 6);
	DIFFERS(mtime.nsec = 7);
	DIFFERS(size = 8);
	DIFFERS(content.form = CONTENT_MAPPED);
	DIFFERS(target_len = 5);
	DIFFERS(major = 1);
	DIFFERS(minor = 1);
	DIFFERS(inode_flags = 1);
	DIFFERS(flags = ENTRY_UNREADABLE);
#undef DIFFERS
}

static void
other_facts_do_not(void **state)
{
	const struct entry a = sample();
	struct entry b = a;

	(void)state;
	b.name = (const uint8_t *)"other";
	b.name_len = 5;
	b.atime.sec = 9;
	b.ctime.sec = 9;
	b.btime.sec = 9;
	b.fs = 1;
	b.ino = 2;
	b.nlink = 3;
	b.flags = ENTRY_RACY | ENTRY_TORN | ENTRY_LINKED | ENTRY_BTIME;
	assert_true(same_version(&a, &b));
}

/* --- directories ------------------------------------------------------------ */

/* "name:version name:version ..." as a directory; version "/": an empty one. */
static struct tree_root
put_tree(struct memstore *m, const char *text)
{
	struct tree_builder *b = NULL;
	struct tree_root root;

	assert_int_equal(tree_builder_new(&m->sink, &b, NULL), 0);
	while (*text != '\0') {
		size_t len = strcspn(text, ":");
		struct entry en = {
			.name = (const uint8_t *)text,
			.name_len = len,
			.type = ENTRY_FILE,
			.mode = (uint32_t)text[len + 1],
			.nlink = 1,
		};

		if (text[len + 1] == '/') {
			en.type = ENTRY_DIR;
			en.mode = 0755;
			en.dir = put_tree(m, "");
		}
		assert_int_equal(tree_builder_add(b, &en, NULL), 0);
		text += len + 2;
		text += *text == ' ';
	}
	assert_int_equal(tree_builder_finish(b, &root, NULL), 0);
	tree_builder_free(b);
	return root;
}

/* The history of a directory that has these trees, one after the other. */
static struct history *
dir_of(struct memstore *m, const char *const *trees, size_t count)
{
	struct history_event *states = calloc(count + 1, sizeof(*states));
	struct history *h;
	size_t i;

	assert_non_null(states);
	for (i = 0; i < count; i++) {
		states[i].number = (uint32_t)i + 1;
		if (trees[i] == NULL)
			continue;
		states[i].type = ENTRY_DIR;
		/* Another mtime each time, say. */
		states[i].version[0] = (uint8_t)i;
		states[i].version[1] = (uint8_t)(i >> 8);
		states[i].ordinal = 100;
		states[i].tree = put_tree(m, trees[i]);
	}
	assert_int_equal(history_new(states, count, 1, &h, NULL), 0);
	free(states);
	return h;
}

static void
a_child_follows_from_the_trees_of_its_directory(void **state)
{
	static const char *const trees[] = {
		"a:1 b:1", "a:1 b:2", NULL, "a:1 c:/", "a:1 c:3 d:1", "",
	};
	static const struct {
		const char *name, *shown;
		uint64_t ordinal; /* of the last version */
	} cases[] = {
		{ "a", "1 4", 101 }, { "b", "1 2", 102 }, { "c", "4 5", 102 },
		{ "d", "5", 103 },   { "e", "", 0 },      { "A", "", 0 },
		{ "aa", "", 0 },
	};
	struct memstore *m = memstore_new();
	struct history *dir = dir_of(m, trees, N_OF(trees));
	struct history *h;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(cases); i++) {
		const struct history_event *last = NULL;
		size_t k;

		assert_int_equal(history_child(dir, &m->reader, cases[i].name,
					       strlen(cases[i].name), NULL, &h,
					       NULL),
				 0);
		if (strcmp(shown(h), cases[i].shown) != 0)
			fail_msg("%s: %s instead of %s", cases[i].name,
				 shown(h), cases[i].shown);
		for (k = 0; k < h->count; k++)
			if (h->event[k].shown)
				last = &h->event[k];
		assert_int_equal(last != NULL, cases[i].ordinal != 0);
		if (last != NULL)
			assert_true(last->ordinal == cases[i].ordinal);
		history_unref(h);
	}
	history_unref(dir);
	memstore_free(m);
}

static void
each_distinct_tree_is_read_once(void **state)
{
	const char *trees[1000];
	struct memstore *m = memstore_new();
	struct history_names *names;
	struct history *dir;
	struct history *h;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(trees); i++)
		trees[i] = i % 3 == 0 ? "a:1 b:1" : "a:2 c:1";
	dir = dir_of(m, trees, N_OF(trees));
	assert_int_equal(dir->count, N_OF(trees));
	m->gets = 0;
	assert_int_equal(history_child(dir, &m->reader, "a", 1, NULL, &h, NULL),
			 0);
	assert_true(m->gets == 2);
	history_unref(h);
	m->gets = 0;
	assert_int_equal(
		history_names(dir, &m->reader, 0, 10000, NULL, &names, NULL),
		0);
	assert_true(m->gets == 2);
	assert_int_equal(names->count, 3);
	history_names_unref(names);
	history_unref(dir);
	memstore_free(m);
}

/* --- names ------------------------------------------------------------------ */

/* All names in pieces of at most `limit`, sorted; checks the order given. */
static const char *
all_names(struct memstore *m, const struct history *dir, size_t limit,
	  size_t *pieces)
{
	static char text[100000];
	bool seen[256] = { false };
	uint64_t from = 0;
	uint64_t last = 0;
	size_t i;

	*pieces = 0;
	text[0] = '\0';
	while (from != UINT64_MAX) {
		struct history_names *n;

		assert_int_equal(history_names(dir, &m->reader, from, limit,
					       NULL, &n, NULL),
				 0);
		assert_true(n->from == from && n->to > from);
		for (i = 0; i < n->count; i++) {
			const struct history_name *it = &n->name[i];

			assert_true(it->cookie > last && it->cookie <= n->to);
			assert_true(it->cookie ==
				    history_cookie(n->bytes.data + it->at,
						   it->len));
			last = it->cookie;
			assert_int_equal(it->len, 1);
			assert_false(seen[n->bytes.data[it->at]]);
			seen[n->bytes.data[it->at]] = true;
		}
		from = n->to;
		(*pieces)++;
		history_names_unref(n);
	}
	for (i = 0; i < 256; i++)
		if (seen[i]) {
			size_t len = strlen(text);

			text[len] = (char)i;
			text[len + 1] = '\0';
		}
	return text;
}

static void
the_names_of_all_trees_are_listed_once(void **state)
{
	static const struct {
		const char *trees[4];
		const char *names;
	} cases[] = {
		{ { "" }, "" },
		{ { "a:1" }, "a" },
		{ { "a:1", "a:2", "a:1" }, "a" },
		{ { "a:1 b:1", "b:1 c:1", "c:1 d:1" }, "abcd" },
		{ { "z:1", "", "a:/" }, "az" },
		{ { "a:1 c:1 e:1", "b:1 d:1 f:1", "", "a:/ f:/" }, "abcdef" },
		{ { "a:1 b:1 c:1 d:1 e:1 f:1 g:1 h:1 i:1 j:1", "k:1 l:1 m:1",
		    "n:1 o:1 p:1 q:1 r:1 s:1 t:1", "a:1 t:1 u:1" },
		  "abcdefghijklmnopqrstu" },
	};
	static const size_t limits[] = { 40, 100, 250, 100000 };
	size_t i;
	size_t k;

	(void)state;
	for (i = 0; i < N_OF(cases); i++) {
		struct memstore *m = memstore_new();
		struct history *dir;
		size_t count = 0;

		while (count < 4 && cases[i].trees[count] != NULL)
			count++;
		dir = dir_of(m, cases[i].trees, count);
		for (k = 0; k < N_OF(limits); k++) {
			size_t pieces;
			const char *got = all_names(m, dir, limits[k], &pieces);

			if (strcmp(got, cases[i].names) != 0)
				fail_msg("case %zu, limit %zu: %s", i,
					 limits[k], got);
			if (strlen(got) > 20)
				assert_int_equal(pieces > 1, limits[k] < 1000);
		}
		history_unref(dir);
		memstore_free(m);
	}
}

/* --- damage ----------------------------------------------------------------- */

static void
note_damage(void *ctx, uint32_t number, const struct err *why)
{
	uint32_t *told = ctx;

	assert_true(why->text[0] != '\0');
	*told = number;
}

static void
damage_is_told_and_passed_over(void **state)
{
	static const char *const trees[] = { "a:1", "a:2 b:1", "a:1 c:1" };
	struct memstore *m = memstore_new();
	struct history *dir = dir_of(m, trees, N_OF(trees));
	uint32_t told = 0;
	const struct history_damage damage = { note_damage, &told };
	struct history_names *names;
	struct history *h;

	(void)state;
	memstore_corrupt(m, &dir->event[1].tree.id);
	assert_int_equal(
		history_child(dir, &m->reader, "a", 1, &damage, &h, NULL), 0);
	assert_int_equal(told, 2);
	assert_true(h->damaged);
	assert_string_equal(shown(h), "1");
	history_unref(h);
	told = 0;
	memstore_drop(m, &dir->event[1].tree.id);
	assert_int_equal(
		history_names(dir, &m->reader, 0, 10000, &damage, &names, NULL),
		0);
	assert_int_equal(told, 2);
	assert_true(names->damaged);
	assert_int_equal(names->count, 2);
	history_names_unref(names);
	history_unref(dir);
	memstore_free(m);
}

static void
a_failing_machine_is_a_failure(void **state)
{
	static const char *const trees[] = { "a:1", "a:2 b:1" };
	struct memstore *m = memstore_new();
	struct history *dir = dir_of(m, trees, N_OF(trees));
	struct history_names *names;
	struct history *h;
	struct err e = { 0 };

	(void)state;
	m->gets_left = 1;
	assert_int_equal(history_child(dir, &m->reader, "a", 1, NULL, &h, &e),
			 -1);
	assert_int_equal(e.kind, ERR_SYS);
	memset(&e, 0, sizeof(e));
	m->gets_left = 1;
	assert_int_equal(
		history_names(dir, &m->reader, 0, 10000, NULL, &names, &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	history_unref(dir);
	memstore_free(m);
}

static int allocations_left;

static bool
fail_later(size_t size)
{
	(void)size;
	return allocations_left-- <= 0;
}

static void
without_memory_nothing_is_lost(void **state)
{
	static const char *const trees[] = { "a:1", "a:2 b:1", "a:1 c:/" };
	struct memstore *m = memstore_new();
	struct history *dir = dir_of(m, trees, N_OF(trees));
	int rc[2] = { -1, -1 };
	int n;

	(void)state;
	for (n = 0; (rc[0] < 0 || rc[1] < 0) && n < 1000; n++) {
		struct history_names *names = NULL;
		struct history *h = NULL;
		struct err e = { 0 };

		allocations_left = n;
		mem_fail(fail_later);
		rc[0] = history_child(dir, &m->reader, "a", 1, NULL, &h, &e);
		mem_fail(NULL);
		if (rc[0] < 0)
			assert_int_equal(e.kind, ERR_NOMEM);
		memset(&e, 0, sizeof(e));
		allocations_left = n;
		mem_fail(fail_later);
		rc[1] = history_names(dir, &m->reader, 0, 10000, NULL, &names,
				      &e);
		mem_fail(NULL);
		if (rc[1] < 0)
			assert_int_equal(e.kind, ERR_NOMEM);
		history_unref(h);
		history_names_unref(names);
	}
	assert_int_equal(rc[0], 0);
	assert_int_equal(rc[1], 0);
	assert_true(n > 4);
	history_unref(dir);
	memstore_free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			each_version_is_shown_once_under_the_first_generation_that_has_it),
		cmocka_unit_test(a_history_is_as_long_as_its_changes),
		cmocka_unit_test(
			what_a_restore_would_give_back_makes_a_version),
		cmocka_unit_test(other_facts_do_not),
		cmocka_unit_test(
			a_child_follows_from_the_trees_of_its_directory),
		cmocka_unit_test(each_distinct_tree_is_read_once),
		cmocka_unit_test(the_names_of_all_trees_are_listed_once),
		cmocka_unit_test(damage_is_told_and_passed_over),
		cmocka_unit_test(a_failing_machine_is_a_failure),
		cmocka_unit_test(without_memory_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
