/*
 * Reading: an iterator holds the nodes on the way from the root to the place
 * where it stands.  All movements are one, `advance`: pass the items that lie
 * wholly before a goal (a name, a position, an inode), climb out of a node
 * that has no more, descend into a child that may hold the goal.  What an
 * inner item says of its child (first name, entries, inodes, flags, and by
 * its neighbour the names the child must stay below) is compared with the
 * child when that is loaded, so order and counts hold for the whole tree
 * wherever it was looked at.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/tree.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/engine/levels.h"

#include <string.h>

/* Keeps a change in a directory of long entries from rewriting megabytes. */
#define NODE_BYTES_MAX (UINT32_C(256) << 10)

/* --- building ------------------------------------------------------------ */

struct tree_builder {
	struct levels *levels;
	struct buf entry; /* encoded here when it has no bytes */
	struct buf item;
	uint8_t last[PATH_NAME_MAX]; /* name of the last entry */
	size_t last_len;             /* 0: none yet */
	uint64_t dirs, beneath;
};

static void
put_inner(const uint8_t *key, size_t key_len, const struct levels_sum *sum,
	  const struct id *id, struct buf *out)
{
	wr_bytes(out, key, key_len);
	wr_bytes(out, id->b, ID_LEN);
	wr_varint(out, sum->items);
	wr_varint(out, sum->weight);
	wr_u8(out, sum->flags);
}

static const struct levels_rules tree_rules = {
	.kind = KIND_TREE,
	.by_content = true,
	.items_max = SPLIT_MAX,
	.bytes_max = NODE_BYTES_MAX,
	.put_inner = put_inner,
};

int
tree_builder_new(struct chunk_sink *sink, struct tree_builder **out,
		 struct err *e)
{
	struct tree_builder *b = mem_zalloc(sizeof(*b));

	if (b == NULL)
		return err_nomem(e);
	if (levels_new(&tree_rules, sink, &b->levels, e) < 0) {
		mem_free(b);
		return -1;
	}
	*out = b;
	return 0;
}

void
tree_builder_free(struct tree_builder *b)
{
	if (b == NULL)
		return;
	levels_free(b->levels);
	buf_clear(&b->entry);
	buf_clear(&b->item);
	mem_free(b);
}

static void
empty(struct buf *b)
{
	if (b->failed)
		buf_clear(b);
	buf_reset(b);
}

/* What an entry adds to the flags of its tree. */
static uint8_t
tree_flags(const struct entry *en)
{
	uint8_t flags = en->type == ENTRY_DIR ? en->dir.flags : 0;

	return en->flags & ENTRY_XATTRS ? flags | TREE_XATTRS : flags;
}

static int
check_name(const struct tree_builder *b, const struct entry *en, struct err *e)
{
	char shown[PATH_SHOW_LEN];

	if (en->name_len > 0 && en->name_len <= PATH_NAME_MAX &&
	    entry_name_cmp(b->last, b->last_len, en->name, en->name_len) < 0)
		return 0;
	return err_set(e, ERR_CORRUPT,
		       "\"%s\" cannot be stored: it does not sort after the "
		       "name before it",
		       path_show_in(shown, en->name, en->name_len));
}

/* The item for the entry's bytes; its key is the name as they have it. */
static int
make_item(struct tree_builder *b, const struct entry *en, const uint8_t *bytes,
	  size_t len, struct levels_item *it, struct err *e)
{
	uint8_t hash[16];
	struct rd name = rd_init(bytes, len);
	size_t n;

	empty(&b->item);
	wr_string(&b->item, bytes, len);
	if (buf_ok(&b->item, e) < 0)
		return -1;
	(void)rd_string(&name, PATH_NAME_MAX, &n);
	hash_plain(en->name, en->name_len, hash, sizeof(hash));
	*it = (struct levels_item){
		.bytes = b->item.data,
		.len = b->item.len,
		.key_at = b->item.len - len,
		.key_len = len - name.left,
		.hash = levels_hash(hash),
		.sum = { 1, entry_inodes(en), tree_flags(en) },
	};
	return 0;
}

int
tree_builder_add(struct tree_builder *b, const struct entry *en, struct err *e)
{
	struct levels_item it;
	const uint8_t *bytes = en->bytes;
	size_t len = en->len;

	if (check_name(b, en, e) < 0)
		return -1;
	if (bytes == NULL) {
		empty(&b->entry);
		if (entry_encode(en, &b->entry, e) < 0)
			return -1;
		bytes = b->entry.data;
		len = b->entry.len;
	}
	if (entry_inodes(en) > TREE_INODES_MAX - b->beneath)
		return err_set(e, ERR_UNSUPPORTED,
			       "more files in one tree than inode numbers");
	if (make_item(b, en, bytes, len, &it, e) < 0 ||
	    levels_add(b->levels, &it, e) < 0)
		return -1;
	memcpy(b->last, en->name, en->name_len);
	b->last_len = en->name_len;
	b->beneath += entry_inodes(en);
	b->dirs += en->type == ENTRY_DIR;
	return 0;
}

int
tree_builder_finish(struct tree_builder *b, struct tree_root *out,
		    struct err *e)
{
	struct levels_sum sum;
	struct tree_root root = { .dirs = b->dirs };
	unsigned height;
	int rc = levels_finish(b->levels, &root.id, &height, &sum, e);

	b->last_len = 0;
	b->dirs = 0;
	b->beneath = 0;
	if (rc < 0)
		return -1;
	root.entries = sum.items;
	root.beneath = sum.weight;
	root.flags = sum.flags;
	*out = root;
	return 0;
}

/* --- items of nodes ------------------------------------------------------ */

struct name {
	const uint8_t *p;
	size_t len;
};

/* An item of any node: an entry, or a child with what is beneath it. */
struct item {
	struct name first;
	uint64_t entries, inodes;
	uint8_t flags;
	const uint8_t *id;    /* a child's */
	const uint8_t *bytes; /* an entry's */
	size_t len;
};

static bool
get_child(struct rd *r, struct item *it)
{
	it->first.p = rd_string(r, PATH_NAME_MAX, &it->first.len);
	it->id = rd_bytes(r, ID_LEN);
	it->entries = rd_varint_max(r, TREE_INODES_MAX);
	it->inodes = rd_varint_max(r, TREE_INODES_MAX);
	it->flags = rd_u8(r);
	return rd_ok(r) && it->first.len > 0 && it->entries > 0 &&
	       it->entries <= it->inodes && (it->flags & ~TREE_XATTRS) == 0;
}

static bool
get_entry(struct rd *r, struct item *it)
{
	struct entry_skim s;

	it->bytes = rd_string(r, ENTRY_LEN_MAX, &it->len);
	if (!rd_ok(r) || !entry_skim(it->bytes, it->len, &s))
		return false;
	it->first = (struct name){ s.name, s.name_len };
	it->entries = 1;
	it->inodes = s.inodes;
	it->flags = s.flags;
	return true;
}

static bool
get_item(struct rd *r, unsigned level, struct item *it)
{
	return level > 0 ? get_child(r, it) : get_entry(r, it);
}

static int
name_cmp(struct name a, struct name b)
{
	return entry_name_cmp(a.p, a.len, b.p, b.len);
}

/* --- nodes --------------------------------------------------------------- */

/* A node to be loaded, and what its parent says of it. */
struct want {
	const struct id *id;
	int level;               /* LEVELS_ANY: the root, nothing is known */
	const struct item *item; /* not for the root */
	struct name upper;       /* all names are below this; p NULL: any */
};

/* NULL when all items of the node are sound together, else what is wrong. */
static const char *
check_items(const struct levels_node *n, const struct want *want)
{
	struct rd r = n->items;
	struct name last = { 0 };
	uint64_t entries = 0;
	uint64_t inodes = 0;
	uint8_t flags = 0;
	struct item it;

	if (n->count > TREE_NODE_ITEMS_MAX)
		return "it has too many items";
	for (uint64_t i = 0; i < n->count; i++) {
		if (!get_item(&r, n->level, &it))
			return "an item is damaged";
		if (i == 0 && want->item != NULL &&
		    name_cmp(it.first, want->item->first) != 0)
			return "its first name is another";
		if (name_cmp(last, it.first) >= 0)
			return "its names are not sorted";
		last = it.first;
		entries += it.entries;
		inodes += it.inodes;
		flags |= it.flags;
		if (inodes > TREE_INODES_MAX)
			return "it counts too many inodes";
	}
	if (r.left != 0)
		return "bytes follow its end";
	if (want->upper.p != NULL && name_cmp(last, want->upper) >= 0)
		return "its names run into its neighbour's";
	if (want->item != NULL &&
	    (entries != want->item->entries || inodes != want->item->inodes ||
	     flags != want->item->flags))
		return "it is not what its parent counts";
	return NULL;
}

/* Load a node, check it, and stand before its first item. */
static int
push(struct tree_iter *it, const struct want *want, struct err *e)
{
	struct tree_level *v;
	struct levels_node n;
	const char *why;

	if (levels_load(it->reader, KIND_TREE, want->id, want->level, &n, e) <
	    0)
		return -1;
	why = check_items(&n, want);
	if (why != NULL) {
		(void)levels_bad(KIND_TREE, want->id, why, e);
		chunk_release(it->reader, &n.chunk);
		return -1;
	}
	v = &it->level[it->depth++];
	v->chunk = n.chunk;
	v->id = *want->id;
	v->rest = n.items;
	v->items_left = n.count;
	v->level = n.level;
	v->upper = want->upper.p;
	v->upper_len = want->upper.len;
	return 0;
}

static void
pop(struct tree_iter *it)
{
	chunk_release(it->reader, &it->level[--it->depth].chunk);
}

/* Decode the entry that the iterator stands before. */
static int
decode(const struct tree_iter *it, const struct item *item, struct entry *out,
       struct err *e)
{
	char text[ID_TEXT_LEN];

	if (entry_decode(item->bytes, item->len, false, out, e) == 0)
		return 0;
	return err_prefix(e, "tree node %.16s",
			  id_text(text, &it->level[it->depth - 1].id));
}

/* --- moving -------------------------------------------------------------- */

struct goal {
	enum {
		TO_POSITION,
		TO_INODE,
		TO_NAME
	} to;
	uint64_t number; /* of entries or inodes before it */
	struct name name;
};

/* Does the item lie wholly before the goal, which is a number? */
static bool
counts_before(const struct tree_iter *it, const struct item *item,
	      const struct goal *g)
{
	if (g->to == TO_POSITION)
		return it->next_position + item->entries <= g->number;
	return it->next_before + item->inodes <= g->number;
}

static bool
entry_before(const struct tree_iter *it, const struct item *item,
	     const struct goal *g)
{
	if (g->to == TO_NAME)
		return name_cmp(item->first, g->name) < 0;
	return counts_before(it, item, g);
}

/* `upper` is where the next child begins, if that is known. */
static bool
child_before(const struct tree_iter *it, const struct item *item,
	     struct name upper, const struct goal *g)
{
	if (g->to == TO_NAME)
		return upper.p != NULL && name_cmp(upper, g->name) <= 0;
	return counts_before(it, item, g);
}

/*
 * Pass the entries of the lowest node, a leaf, that lie before the goal.
 * Returns true with the one that does not in *item, and the cursor *rest
 * behind it.
 */
static bool
pass_entries(struct tree_iter *it, const struct goal *g, struct item *item,
	     struct rd *rest)
{
	struct tree_level *v = &it->level[it->depth - 1];

	for (; v->items_left > 0; v->items_left--) {
		*rest = v->rest;
		/* All were checked when the node was loaded. */
		(void)get_entry(rest, item);
		if (!entry_before(it, item, g))
			return true;
		it->next_position++;
		it->next_before += item->inodes;
		v->rest = *rest;
	}
	return false;
}

/*
 * The same in an inner node, and with the name *upper that everything in the
 * child is below.
 */
static bool
pass_children(struct tree_iter *it, const struct goal *g, struct item *item,
	      struct rd *rest, struct name *upper)
{
	struct tree_level *v = &it->level[it->depth - 1];
	struct item next;
	struct rd after;

	if (v->items_left == 0)
		return false;
	*rest = v->rest;
	(void)get_child(rest, item);
	for (;;) {
		after = *rest;
		*upper = (struct name){ v->upper, v->upper_len };
		if (v->items_left > 1) {
			(void)get_child(&after, &next);
			*upper = next.first;
		}
		if (!child_before(it, item, *upper, g))
			return true;
		it->next_position += item->entries;
		it->next_before += item->inodes;
		v->rest = *rest;
		if (--v->items_left == 0)
			return false;
		*item = next;
		*rest = after;
	}
}

/*
 * Move forward to the first entry that does not lie before the goal: 1 and
 * *item is it, not yet passed, with `rest` behind it; 0 at the end.
 */
static int
advance(struct tree_iter *it, const struct goal *g, struct item *item,
	struct rd *rest, struct err *e)
{
	struct want want = { .item = item };
	struct tree_level *v;
	struct id id;

	want.id = &id;
	while (it->depth > 0) {
		v = &it->level[it->depth - 1];
		if (v->level == 0 && pass_entries(it, g, item, rest))
			return 1;
		if (v->level == 0 ||
		    !pass_children(it, g, item, rest, &want.upper)) {
			pop(it);
			continue;
		}
		v->rest = *rest;
		v->items_left--;
		memcpy(id.b, item->id, ID_LEN);
		want.level = v->level - 1;
		if (push(it, &want, e) < 0)
			return -1;
	}
	return 0;
}

/* A fresh iterator that stands before the first entry. */
static int
begin(struct tree_iter *it, struct chunk_reader *r, const struct id *root,
      struct err *e)
{
	struct want want = { .id = root, .level = LEVELS_ANY };

	memset(it, 0, sizeof(*it));
	it->reader = r;
	return push(it, &want, e);
}

int
tree_iter_init(struct tree_iter *it, struct chunk_reader *r,
	       const struct id *root, uint64_t start, struct err *e)
{
	struct goal g = { .to = TO_POSITION, .number = start };
	struct item item;
	struct rd rest;

	if (begin(it, r, root, e) < 0)
		return -1;
	if (advance(it, &g, &item, &rest, e) < 0) {
		tree_iter_clear(it);
		return -1;
	}
	return 0;
}

int
tree_iter_next(struct tree_iter *it, struct entry *out, struct err *e)
{
	struct goal anything = { .to = TO_POSITION };
	struct tree_level *v;
	struct item item;
	struct rd rest;
	int rc = advance(it, &anything, &item, &rest, e);

	if (rc <= 0)
		return rc;
	if (decode(it, &item, out, e) < 0)
		return -1;
	v = &it->level[it->depth - 1];
	v->rest = rest;
	v->items_left--;
	it->position = it->next_position;
	it->before = it->next_before;
	it->next_position += item.entries;
	it->next_before += item.inodes;
	return 1;
}

int
tree_iter_seek(struct tree_iter *it, const void *name, size_t len,
	       struct err *e)
{
	struct goal g = { .to = TO_NAME, .name = { name, len } };
	struct item item;
	struct rd rest;

	return advance(it, &g, &item, &rest, e) < 0 ? -1 : 0;
}

void
tree_iter_clear(struct tree_iter *it)
{
	while (it->depth > 0)
		pop(it);
}

/* --- finding ------------------------------------------------------------- */

void
tree_hit_clear(struct tree_hit *h)
{
	if (h->reader != NULL)
		chunk_release(h->reader, &h->chunk);
	memset(h, 0, sizeof(*h));
}

/* Decode the entry at which the iterator stands and take its node over. */
static int
take_hit(struct tree_iter *it, const struct item *item, struct tree_hit *out,
	 struct err *e)
{
	struct tree_level *v = &it->level[it->depth - 1];
	struct entry en;

	if (decode(it, item, &en, e) < 0)
		return -1;
	out->reader = it->reader;
	out->chunk = v->chunk;
	memset(&v->chunk, 0, sizeof(v->chunk));
	out->entry = en;
	out->position = it->next_position;
	out->before = it->next_before;
	return 0;
}

static int
find(struct chunk_reader *r, const struct id *root, const struct goal *g,
     struct tree_hit *out, struct err *e)
{
	struct tree_iter it;
	struct item item;
	struct rd rest;
	int rc;

	if (begin(&it, r, root, e) < 0)
		return -1;
	rc = advance(&it, g, &item, &rest, e);
	if (rc < 0)
		goto out;
	if (rc == 0 || (g->to == TO_NAME && name_cmp(item.first, g->name) != 0))
		rc = 1;
	else
		rc = take_hit(&it, &item, out, e);
out:
	tree_iter_clear(&it);
	return rc;
}

int
tree_find(struct chunk_reader *r, const struct id *root, const void *name,
	  size_t len, struct tree_hit *out, struct err *e)
{
	struct goal g = { .to = TO_NAME, .name = { name, len } };

	return find(r, root, &g, out, e);
}

int
tree_find_inode(struct chunk_reader *r, const struct id *root, uint64_t offset,
		struct tree_hit *out, struct err *e)
{
	struct goal g = { .to = TO_INODE, .number = offset };

	return find(r, root, &g, out, e);
}
