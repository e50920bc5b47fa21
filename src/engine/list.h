/*
 * list - a sequence of opaque items in nodes (doc/format.md, section 10).
 */
#ifndef ASOF_ENGINE_LIST_H
#define ASOF_ENGINE_LIST_H

#include "store/chunk.h"

#include <stddef.h>
#include <stdint.h>

struct err;

#define LIST_ITEM_MAX 131072

struct list_builder;
int list_builder_new(struct chunk_sink *sink, struct list_builder **out,
		     struct err *e);
int list_builder_add(struct list_builder *b, const void *p, size_t len,
		     struct err *e);
/* An empty list is a zero id. */
int list_builder_finish(struct list_builder *b, struct id *root,
			uint64_t *count, struct err *e);
void list_builder_free(struct list_builder *b);

/* fn for each item in order; it returns 0 to go on, 1 to stop, -1 failed. */
typedef int (*list_fn)(void *ctx, const void *p, size_t len, struct err *e);
int list_each(struct chunk_reader *r, const struct id *root, list_fn fn,
	      void *ctx, struct err *e);

#endif
