/*
 * A table is read from the root to one item: in each node the items that lie
 * wholly before the goal (a link id or a rank) are passed and counted.  What
 * an inner item says of its child is compared with the child when that is
 * loaded, as in tree.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/links.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/engine/levels.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define NODE_BYTES_MAX (UINT32_C(256) << 10)

/* What names an inode of a source. */
struct link_id {
	uint64_t fs, ino;
};

static int
link_id_cmp(struct link_id a, struct link_id b)
{
	if (a.fs != b.fs)
		return a.fs < b.fs ? -1 : 1;
	if (a.ino != b.ino)
		return a.ino < b.ino ? -1 : 1;
	return 0;
}

/* --- building ------------------------------------------------------------ */

struct links_builder {
	struct levels *levels;
	struct buf item;
	uint64_t count;
	struct link_id last;
	bool failed; /* an item was lost: the table must not be finished */
};

static void
put_inner(const uint8_t *key, size_t key_len, const struct levels_sum *sum,
	  const struct id *id, struct buf *out)
{
	wr_bytes(out, key, key_len);
	wr_varint(out, sum->items);
	wr_bytes(out, id->b, ID_LEN);
}

static const struct levels_rules links_rules = {
	.kind = KIND_LINKS,
	.by_content = true,
	.items_max = SPLIT_MAX,
	.bytes_max = NODE_BYTES_MAX,
	.put_inner = put_inner,
};

int
links_builder_new(struct chunk_sink *sink, struct links_builder **out,
		  struct err *e)
{
	struct links_builder *b = mem_zalloc(sizeof(*b));

	if (b == NULL)
		return err_nomem(e);
	if (levels_new(&links_rules, sink, &b->levels, e) < 0) {
		mem_free(b);
		return -1;
	}
	*out = b;
	return 0;
}

void
links_builder_free(struct links_builder *b)
{
	if (b == NULL)
		return;
	levels_free(b->levels);
	buf_clear(&b->item);
	mem_free(b);
}

static int
check_link(const struct links_builder *b, const struct link *l, struct err *e)
{
	struct link_id id = { l->fs, l->ino };

	if (b->count > 0 && link_id_cmp(b->last, id) >= 0)
		return err_set(e, ERR_CORRUPT,
			       "link table: inode %" PRIu64 " does not sort "
			       "after the one before it",
			       l->ino);
	if (l->inside == 0 || !path_name_ok(l->name, l->name_len))
		return err_set(e, ERR_USAGE,
			       "link table: inode %" PRIu64 " has no name",
			       l->ino);
	return 0;
}

static int
add(struct links_builder *b, const struct link *l, struct err *e)
{
	uint8_t hash[16];
	struct levels_item it = { .sum.items = 1 };

	if (check_link(b, l, e) < 0)
		return -1;
	buf_reset(&b->item);
	wr_varint(&b->item, l->fs);
	wr_varint(&b->item, l->ino);
	it.key_len = b->item.len;
	wr_varint(&b->item, l->inside);
	wr_bytes(&b->item, l->tree.b, ID_LEN);
	wr_string(&b->item, l->name, l->name_len);
	if (buf_ok(&b->item, e) < 0)
		return -1;
	it.bytes = b->item.data;
	it.len = b->item.len;
	hash_plain(it.bytes, it.key_len, hash, sizeof(hash));
	it.hash = levels_hash(hash);
	return levels_add(b->levels, &it, e);
}

int
links_builder_add(struct links_builder *b, const struct link *l, struct err *e)
{
	if (add(b, l, e) < 0) {
		b->failed = true;
		return -1;
	}
	b->last = (struct link_id){ l->fs, l->ino };
	b->count++;
	return 0;
}

int
links_builder_finish(struct links_builder *b, struct id *root, uint64_t *count,
		     struct err *e)
{
	struct levels_sum sum = { 0 };
	struct id id = { { 0 } };
	unsigned height;
	int rc = 0;

	if (b->failed)
		rc = err_set(e, ERR_USAGE,
			     "an item of the link table was lost");
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

/* --- nodes --------------------------------------------------------------- */

/* An item of any node: a link, or a child with the links beneath it. */
struct item {
	struct link_id first;
	uint64_t items;
	struct id id;     /* a child's */
	struct link link; /* of a leaf */
};

static bool
get_item(struct rd *r, unsigned level, struct item *it)
{
	struct link *l = &it->link;

	memset(it, 0, sizeof(*it));
	it->first.fs = rd_varint(r);
	it->first.ino = rd_varint(r);
	if (level > 0) {
		it->items = rd_varint(r);
		rd_copy(r, it->id.b, ID_LEN);
		return rd_ok(r) && it->items > 0;
	}
	it->items = 1;
	l->fs = it->first.fs;
	l->ino = it->first.ino;
	l->inside = rd_varint(r);
	rd_copy(r, l->tree.b, ID_LEN);
	l->name = rd_string(r, PATH_NAME_MAX, &l->name_len);
	return rd_ok(r) && l->inside > 0 && path_name_ok(l->name, l->name_len);
}

/* A node to be loaded, and what its parent says of it. */
struct want {
	struct id id;
	int level; /* LEVELS_ANY: the root, nothing is known */
	struct link_id first;
	uint64_t items;
	bool bounded;
	struct link_id upper; /* bounded: all its links are below this */
};

/* NULL when all items of the node are sound together, else what is wrong. */
static const char *
check_items(const struct levels_node *n, const struct want *want)
{
	struct rd r = n->items;
	struct link_id last = { 0 };
	uint64_t items = 0;
	struct item it;

	for (uint64_t i = 0; i < n->count; i++) {
		if (!get_item(&r, n->level, &it))
			return "an item is damaged";
		if (i > 0 && link_id_cmp(last, it.first) >= 0)
			return "its items are not sorted";
		if (i == 0 && want->level != LEVELS_ANY &&
		    link_id_cmp(it.first, want->first) != 0)
			return "its first item is another";
		last = it.first;
		if (__builtin_add_overflow(items, it.items, &items))
			return "it counts too many items";
	}
	if (r.left != 0)
		return "bytes follow its end";
	if (items == 0)
		return "it is empty";
	if (want->bounded && link_id_cmp(last, want->upper) >= 0)
		return "its items run into its neighbour's";
	if (want->level != LEVELS_ANY && items != want->items)
		return "it is not what its parent counts";
	return NULL;
}

static int
load(struct chunk_reader *r, const struct want *want, struct levels_node *n,
     struct err *e)
{
	const char *why;

	if (levels_load(r, KIND_LINKS, &want->id, want->level, n, e) < 0)
		return -1;
	why = check_items(n, want);
	if (why == NULL)
		return 0;
	chunk_release(r, &n->chunk);
	return levels_bad(KIND_LINKS, &want->id, why, e);
}

/* --- finding ------------------------------------------------------------- */

struct goal {
	bool by_rank;
	uint64_t rank;
	struct link_id id;
};

/*
 * The last item of a checked node that begins at the goal or before it,
 * *rank links after those before the node.  False when there is none.  In a
 * leaf it is the goal or nothing is; in an inner node *want becomes the
 * child.
 */
static bool
pick(const struct levels_node *n, const struct goal *g, struct want *want,
     uint64_t *rank, struct item *found)
{
	struct rd r = n->items;
	struct item it;
	bool any = false;

	for (uint64_t i = 0; i < n->count; i++) {
		uint64_t at = *rank + (any ? found->items : 0);

		(void)get_item(&r, n->level, &it);
		if (g->by_rank ? at > g->rank
			       : link_id_cmp(it.first, g->id) > 0) {
			want->bounded = true;
			want->upper = it.first;
			break;
		}
		*rank = at;
		*found = it;
		any = true;
	}
	if (!any)
		return false;
	want->id = found->id;
	want->level = n->level - 1;
	want->first = found->first;
	want->items = found->items;
	return true;
}

/* Is the item that `pick` found in a leaf the goal, or only the nearest? */
static bool
is_goal(const struct goal *g, uint64_t rank, const struct item *it)
{
	return g->by_rank ? rank == g->rank
			  : link_id_cmp(it->first, g->id) == 0;
}

static int
find(struct chunk_reader *r, const struct id *root, const struct goal *g,
     struct link_hit *out, struct err *e)
{
	struct want want = { .id = *root, .level = LEVELS_ANY };
	struct levels_node n;
	struct item it;
	uint64_t rank = 0;

	if (id_is_zero(root))
		return 1;
	for (;;) {
		if (load(r, &want, &n, e) < 0)
			return -1;
		if (!pick(&n, g, &want, &rank, &it) ||
		    (n.level == 0 && !is_goal(g, rank, &it))) {
			chunk_release(r, &n.chunk);
			return 1;
		}
		if (n.level == 0)
			break;
		chunk_release(r, &n.chunk);
	}
	*out = (struct link_hit){
		.reader = r,
		.chunk = n.chunk,
		.link = it.link,
		.rank = rank,
	};
	return 0;
}

int
links_find(struct chunk_reader *r, const struct id *root, uint64_t fs,
	   uint64_t ino, struct link_hit *out, struct err *e)
{
	struct goal g = { .id = { fs, ino } };

	return find(r, root, &g, out, e);
}

int
links_at(struct chunk_reader *r, const struct id *root, uint64_t rank,
	 struct link_hit *out, struct err *e)
{
	struct goal g = { .by_rank = true, .rank = rank };

	return find(r, root, &g, out, e);
}

void
link_hit_clear(struct link_hit *h)
{
	if (h->reader != NULL)
		chunk_release(h->reader, &h->chunk);
	memset(h, 0, sizeof(*h));
}
