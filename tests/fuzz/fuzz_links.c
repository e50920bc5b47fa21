/*
 * fuzz_links - a link table's nodes, as segments.
 *
 * A link that is found by its rank is found by its id, at that rank; ids
 * rise with ranks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "src/engine/links.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/segments.h"

#include <string.h>

#define RANKS_MAX 40

static void
check_found(struct segments *s, const struct link *l, uint64_t rank)
{
	struct id root = segments_root(s);
	struct link_hit h;

	MUST(l->inside > 0 && l->name_len > 0);
	if (links_find(&s->reader, &root, l->fs, l->ino, &h, NULL) == 0) {
		MUST(h.rank == rank);
		MUST(h.link.inside == l->inside);
		link_hit_clear(&h);
	}
	if (links_find(&s->reader, &root, l->fs, l->ino + 1, &h, NULL) == 0) {
		MUST(l->ino == UINT64_MAX || h.rank == rank + 1);
		link_hit_clear(&h);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct segments s;
	struct link_hit h;
	struct id root;
	uint64_t fs = 0;
	uint64_t ino = 0;

	segments_init(&s, data, size);
	root = segments_root(&s);
	for (uint64_t rank = 0; rank < RANKS_MAX; rank++) {
		struct err e = { 0 };
		int rc = links_at(&s.reader, &root, rank, &h, &e);

		MUST(rc >= 0 || e.text[0] != '\0');
		if (rc != 0)
			break;
		MUST(h.rank == rank);
		MUST(rank == 0 || h.link.fs > fs ||
		     (h.link.fs == fs && h.link.ino > ino));
		fs = h.link.fs;
		ino = h.link.ino;
		check_found(&s, &h.link, rank);
		link_hit_clear(&h);
	}
	if (links_find(&s.reader, &root, 1, 'm', &h, NULL) == 0)
		link_hit_clear(&h);
	if (links_at(&s.reader, &root, UINT64_MAX, &h, NULL) == 0)
		link_hit_clear(&h);
	MUST(s.held == 0);
	return 0;
}
