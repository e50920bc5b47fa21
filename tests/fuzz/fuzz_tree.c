/*
 * fuzz_tree - a directory's nodes, as segments.
 *
 * Whatever order they are read in, entries have the same names, positions
 * and inodes; a directory that was listed to its end is found name by name,
 * and building it again makes one of the same sums.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "src/engine/tree.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/segments.h"

#include <string.h>

#define ENTRIES_MAX 3000
#define FOUND_MAX   20 /* each costs a search */

static void
check_found(struct segments *s, const struct entry *en, uint64_t position,
	    uint64_t before)
{
	struct id root = segments_root(s);
	struct tree_iter it;
	struct tree_hit h;
	struct entry got;

	if (tree_find(&s->reader, &root, en->name, en->name_len, &h, NULL) ==
	    0) {
		MUST(h.position == position && h.before == before);
		tree_hit_clear(&h);
	}
	if (tree_find_inode(&s->reader, &root, before + entry_inodes(en) - 1,
			    &h, NULL) == 0) {
		MUST(h.position == position && h.before == before);
		tree_hit_clear(&h);
	}
	if (tree_iter_init(&it, &s->reader, &root, 0, NULL) < 0)
		return;
	if (tree_iter_seek(&it, en->name, en->name_len, NULL) == 0 &&
	    tree_iter_next(&it, &got, NULL) == 1)
		MUST(it.position == position && it.before == before);
	tree_iter_clear(&it);
}

/* Lists it; true when it came to its end. */
static bool
list(struct segments *s, struct tree_builder *b, uint64_t start)
{
	struct id root = segments_root(s);
	struct tree_iter it;
	struct entry en;
	struct err e = { 0 };
	uint64_t n = 0;
	uint64_t next = 0;
	int rc;

	if (tree_iter_init(&it, &s->reader, &root, start, &e) < 0) {
		MUST(e.text[0] != '\0');
		return false;
	}
	while ((rc = tree_iter_next(&it, &en, &e)) == 1) {
		MUST(it.position == start + n);
		MUST(n == 0 || it.before == next);
		next = it.before + entry_inodes(&en);
		if (b != NULL)
			MUST(tree_builder_add(b, &en, NULL) == 0);
		if (n < FOUND_MAX)
			check_found(s, &en, it.position, it.before);
		if (++n == ENTRIES_MAX)
			break;
	}
	MUST(rc >= 0 || e.text[0] != '\0');
	tree_iter_clear(&it);
	return rc == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tree_builder *b;
	struct tree_root root;
	struct segments s;
	struct tree_hit h;
	struct id id;

	segments_init(&s, data, size);
	id = segments_root(&s);
	MUST(tree_builder_new(&segments_nowhere, &b, NULL) == 0);
	(void)list(&s, b, 0);
	MUST(tree_builder_finish(b, &root, NULL) == 0);
	MUST(root.dirs <= root.entries && root.entries <= root.beneath);
	tree_builder_free(b);
	(void)list(&s, NULL, 2);
	if (tree_find(&s.reader, &id, "m", 1, &h, NULL) == 0)
		tree_hit_clear(&h);
	MUST(tree_find_inode(&s.reader, &id, UINT64_MAX, &h, NULL) != 0);
	MUST(s.held == 0);
	return 0;
}
