/*
 * The lowest level holds the items, the others only counts, so a list is
 * walked by recursion as deep as it has levels.  An item beneath is promised
 * by each child, and the promise is compared with what the child has; no node
 * below the root is empty, so a walk does something with every node it loads.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/list.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/engine/levels.h"

#include <stdbool.h>

#define NODE_ITEMS_MAX 1024
#define NODE_BYTES_MAX (UINT32_C(256) << 10)

/* --- building ------------------------------------------------------------ */

struct list_builder {
	struct levels *levels;
	struct buf item;
	uint64_t count;
	bool failed; /* an item was lost: the list must not be finished */
};

static void
put_inner(const uint8_t *key, size_t key_len, const struct levels_sum *sum,
	  const struct id *id, struct buf *out)
{
	(void)key;
	(void)key_len;
	wr_varint(out, sum->items);
	wr_bytes(out, id->b, ID_LEN);
}

static const struct levels_rules list_rules = {
	.kind = KIND_LIST,
	.by_content = false,
	.items_max = NODE_ITEMS_MAX,
	.bytes_max = NODE_BYTES_MAX,
	.put_inner = put_inner,
};

int
list_builder_new(struct chunk_sink *sink, struct list_builder **out,
		 struct err *e)
{
	struct list_builder *b = mem_zalloc(sizeof(*b));

	if (b == NULL)
		return err_nomem(e);
	if (levels_new(&list_rules, sink, &b->levels, e) < 0) {
		mem_free(b);
		return -1;
	}
	*out = b;
	return 0;
}

void
list_builder_free(struct list_builder *b)
{
	if (b == NULL)
		return;
	levels_free(b->levels);
	buf_clear(&b->item);
	mem_free(b);
}

static int
add(struct list_builder *b, const void *p, size_t len, struct err *e)
{
	struct levels_item it = { .sum.items = 1 };

	if (len > LIST_ITEM_MAX)
		return err_set(e, ERR_USAGE,
			       "an item of %zu bytes is too long for a list",
			       len);
	buf_reset(&b->item);
	wr_string(&b->item, p, len);
	if (buf_ok(&b->item, e) < 0)
		return -1;
	it.bytes = b->item.data;
	it.len = b->item.len;
	return levels_add(b->levels, &it, e);
}

int
list_builder_add(struct list_builder *b, const void *p, size_t len,
		 struct err *e)
{
	if (add(b, p, len, e) < 0) {
		b->failed = true;
		return -1;
	}
	b->count++;
	return 0;
}

int
list_builder_finish(struct list_builder *b, struct id *root, uint64_t *count,
		    struct err *e)
{
	struct levels_sum sum = { 0 };
	struct id id = { { 0 } };
	unsigned height;
	int rc = 0;

	if (b->failed)
		rc = err_set(e, ERR_USAGE, "an item of a list was lost");
	else if (b->count > 0)
		rc = levels_finish(b->levels, &id, &height, &sum, e);
	levels_reset(b->levels);
	buf_clear(&b->item);
	b->count = 0;
	b->failed = false;
	if (rc < 0)
		return -1;
	*root = id;
	*count = sum.items;
	return 0;
}

/* --- reading ------------------------------------------------------------- */

struct walk {
	struct chunk_reader *reader;
	list_fn fn;
	void *ctx;
};

/* A node and how many items are beneath it; 0: the root, nobody knows. */
struct want {
	struct id id;
	int level;
	uint64_t items;
};

static bool
get_child(struct rd *r, struct want *w)
{
	w->items = rd_varint(r);
	rd_copy(r, w->id.b, ID_LEN);
	return rd_ok(r) && w->items > 0;
}

/* NULL, or what is wrong with the node's items taken together. */
static const char *
check_items(const struct levels_node *n, uint64_t promised)
{
	struct rd r = n->items;
	struct want child;
	uint64_t items = 0;
	size_t len;

	for (uint64_t i = 0; i < n->count; i++) {
		child.items = 1;
		if (n->level == 0)
			(void)rd_string(&r, LIST_ITEM_MAX, &len);
		else if (!get_child(&r, &child))
			return "an item is damaged";
		if (__builtin_add_overflow(items, child.items, &items))
			return "it counts too many items";
	}
	if (!rd_done(&r))
		return "its items are damaged";
	if (items == 0)
		return "it is empty";
	if (promised > 0 && items != promised)
		return "it is not what its parent counts";
	return NULL;
}

static int each(const struct walk *w, const struct want *want, struct err *e);

static int
each_item(const struct walk *w, const struct levels_node *n, struct err *e)
{
	struct rd r = n->items;
	struct want child = { .level = n->level - 1 };
	const uint8_t *p;
	size_t len;
	int rc = 0;

	for (uint64_t i = 0; i < n->count && rc == 0; i++) {
		if (n->level == 0) {
			p = rd_string(&r, LIST_ITEM_MAX, &len);
			rc = w->fn(w->ctx, p, len, e);
		} else {
			(void)get_child(&r, &child);
			rc = each(w, &child, e);
		}
	}
	return rc;
}

static int
each(const struct walk *w, const struct want *want, struct err *e)
{
	struct levels_node n;
	const char *why;
	int rc;

	if (levels_load(w->reader, KIND_LIST, &want->id, want->level, &n, e) <
	    0)
		return -1;
	why = check_items(&n, want->items);
	if (why != NULL)
		rc = levels_bad(KIND_LIST, &want->id, why, e);
	else
		rc = each_item(w, &n, e);
	chunk_release(w->reader, &n.chunk);
	return rc;
}

int
list_each(struct chunk_reader *r, const struct id *root, list_fn fn, void *ctx,
	  struct err *e)
{
	struct walk w = { r, fn, ctx };
	struct want want = { .id = *root, .level = LEVELS_ANY };

	if (id_is_zero(root))
		return 0;
	return each(&w, &want, e) < 0 ? -1 : 0;
}
