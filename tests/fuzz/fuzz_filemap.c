/*
 * fuzz_filemap - how many levels (0: inline), kind, size, and nodes as
 * segments; inline, the last segment's first byte counts the items in it.
 *
 * Pieces follow each other without gaps up to the size; seeking into one
 * finds it; and what is in holes is compared at the end, with what the content
 * says, whether that is right or wrong.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "src/engine/filemap.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/segments.h"

#include <string.h>

#define PIECES_MAX 3000
#define FOUND_MAX  20 /* each costs a seek */

struct map {
	struct segments s;
	struct content content;
	uint64_t size;
};

static void
check_found(struct map *m, const struct extent *x)
{
	struct filemap_iter it;
	struct extent got;

	if (filemap_iter_init(&it, &m->s.reader, &m->content, m->size, NULL) <
	    0)
		return;
	if (filemap_iter_seek(&it, x->offset + x->len - 1, NULL) == 0 &&
	    filemap_iter_next(&it, &got, NULL) == 1)
		MUST(memcmp(&got, x, sizeof(got)) == 0);
	if (filemap_iter_seek(&it, x->offset, NULL) == 0 &&
	    filemap_iter_next(&it, &got, NULL) == 1)
		MUST(memcmp(&got, x, sizeof(got)) == 0);
	filemap_iter_clear(&it);
}

/*
 * Reads all pieces, so that they are in the builder too; adds up what is hole
 * and what is not.  0 when it came to the end, -1 when it failed there or
 * before, 1 when it had enough.
 */
static int
walk(struct map *m, struct filemap_builder *b, uint64_t *holes, uint64_t *data)
{
	struct filemap_iter it;
	struct extent x;
	struct err e = { 0 };
	uint64_t offset = 0;
	int n = 0;
	int rc;

	if (filemap_iter_init(&it, &m->s.reader, &m->content, m->size, &e) <
	    0) {
		MUST(e.text[0] != '\0');
		return -1;
	}
	while ((rc = filemap_iter_next(&it, &x, &e)) == 1) {
		MUST(x.offset == offset);
		MUST(x.len > 0 && x.len <= m->size - offset);
		offset += x.len;
		*(x.hole ? holes : data) += x.len;
		MUST((x.hole ? filemap_add_hole(b, x.len, NULL)
			     : filemap_add_chunk(b, &x.id, (uint32_t)x.len,
						 NULL)) == 0);
		if (n < FOUND_MAX)
			check_found(m, &x);
		if (++n == PIECES_MAX)
			break;
	}
	MUST(rc >= 0 || e.text[0] != '\0');
	MUST(rc != 0 || offset == m->size);
	filemap_iter_clear(&it);
	return rc;
}

static bool
take_map(struct map *m, const uint8_t *data, size_t size)
{
	struct rd r = rd_init(data, size);
	struct content *c = &m->content;

	memset(c, 0, sizeof(*c));
	c->levels = rd_u8(&r);
	c->kind = rd_u8(&r) & 1;
	m->size = rd_u64(&r);
	if (!rd_ok(&r))
		return false;
	segments_init(&m->s, r.p, r.left);
	c->form = c->levels > 0 ? CONTENT_MAPPED : CONTENT_INLINE;
	c->root = segments_root(&m->s);
	if (c->form == CONTENT_INLINE) {
		if (m->s.count == 0 || m->s.at[m->s.count - 1].len == 0)
			return false;
		c->items = m->s.at[m->s.count - 1].p + 1;
		c->items_len = m->s.at[m->s.count - 1].len - 1;
		c->count = c->items[-1];
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct filemap_builder *b;
	struct content again;
	struct map m;
	uint64_t holes = 0;
	uint64_t bytes = 0;
	uint64_t total;
	int rc;

	if (!take_map(&m, data, size))
		return 0;
	MUST(filemap_builder_new(&segments_nowhere, &b, NULL) == 0);
	filemap_builder_start(b, m.content.kind, 0);
	m.content.holes = UINT64_MAX; /* no file's */
	rc = walk(&m, b, &holes, &bytes);
	MUST(rc != 0);
	if (rc == 1 || holes + bytes == m.size) {
		MUST(filemap_finish(b, &again, &total, NULL) == 0);
		MUST(total == holes + bytes && again.holes == holes);
	}
	if (rc < 0 && m.size > 0 && holes + bytes == m.size) {
		filemap_builder_start(b, m.content.kind, 0);
		m.content.holes = holes;
		MUST(walk(&m, b, &holes, &bytes) == 0);
	}
	filemap_builder_free(b);
	MUST(m.s.held == 0);
	return 0;
}
