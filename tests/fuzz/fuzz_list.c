/*
 * fuzz_list - a list's nodes, as segments.
 *
 * A list that was walked to its end and built again has the same items.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "src/engine/list.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/segments.h"

#include <string.h>

#define ITEMS_MAX 3000

struct walk {
	struct list_builder *b;
	uint64_t items;
	size_t bytes; /* read, so that a bad pointer is seen */
	bool stopped;
};

static int
item(void *ctx, const void *p, size_t len, struct err *e)
{
	struct walk *w = ctx;

	w->bytes += len;
	if (list_builder_add(w->b, p, len, e) < 0)
		return -1;
	w->stopped = ++w->items == ITEMS_MAX;
	return w->stopped;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct walk w = { 0 };
	struct segments s;
	struct id root;
	uint64_t count;
	int rc;

	segments_init(&s, data, size);
	root = segments_root(&s);
	MUST(list_builder_new(&segments_nowhere, &w.b, NULL) == 0);
	rc = list_each(&s.reader, &root, item, &w, &e);
	MUST(rc == 0 || e.kind == ERR_CORRUPT || e.kind == ERR_MISSING);
	MUST(rc < 0 || w.items > 0);
	MUST(list_builder_finish(w.b, &root, &count, NULL) == 0);
	MUST(count == w.items);
	list_builder_free(w.b);
	MUST(s.held == 0);
	return 0;
}
