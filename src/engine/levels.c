/*
 * A level is a run of items that has not become a node yet.  An item that
 * makes it too long cuts a node from its front; the node's inner item goes
 * to the level above, which may be cut in turn.  At least one item stays
 * behind after a cut, so that a level which exists is never empty, and the
 * top level, when everything is flushed upwards, holds two items or more: no
 * inner node stands alone over a single node.  (Breaks, for nodes that are
 * taken from another tree, are the exception to both.)
 *
 * Two things make a run too long: more than items_max items, or more than
 * bytes_max bytes in more than one item (few entries have kilobytes of
 * extended attributes, few map items are rows, but some do and are).  By
 * content both are cut before the item with the smallest hash, so that a
 * change moves the cuts near it only.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/levels.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

#define NODE_VERSION 1

struct slot {
	size_t len;
	size_t key_at, key_len;
	struct levels_sum sum;
};

struct level {
	struct buf bytes;  /* the items, one behind the other */
	uint32_t *hash;    /* items_max + 1 of them, used[n] */
	struct slot *slot; /* the same */
	size_t n;
};

struct levels {
	const struct levels_rules *rules;
	struct chunk_sink *sink;
	struct level level[SPLIT_LEVELS_MAX];
	unsigned used;    /* levels that hold items */
	struct buf node;  /* the node being put */
	struct buf inner; /* its item for the level above */
	bool failed;      /* an item was lost: nothing may be finished */
};

int
levels_new(const struct levels_rules *rules, struct chunk_sink *sink,
	   struct levels **out, struct err *e)
{
	struct levels *l = mem_zalloc(sizeof(*l));

	if (l == NULL)
		return err_nomem(e);
	l->rules = rules;
	l->sink = sink;
	*out = l;
	return 0;
}

void
levels_free(struct levels *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < SPLIT_LEVELS_MAX; i++) {
		buf_clear(&l->level[i].bytes);
		mem_free(l->level[i].hash);
		mem_free(l->level[i].slot);
	}
	buf_clear(&l->node);
	buf_clear(&l->inner);
	mem_free(l);
}

/* A buffer that failed once is no good for what comes next. */
static void
empty(struct buf *b)
{
	if (b->failed)
		buf_clear(b);
	buf_reset(b);
}

void
levels_reset(struct levels *l)
{
	for (size_t i = 0; i < SPLIT_LEVELS_MAX; i++) {
		empty(&l->level[i].bytes);
		l->level[i].n = 0;
	}
	empty(&l->node);
	empty(&l->inner);
	l->used = 0;
	l->failed = false;
}

static int
sum_add(struct levels_sum *to, const struct levels_sum *s, struct err *e)
{
	to->flags |= s->flags;
	if (__builtin_add_overflow(to->items, s->items, &to->items) ||
	    __builtin_add_overflow(to->weight, s->weight, &to->weight))
		return err_set(e, ERR_UNSUPPORTED,
			       "more than a tree of nodes can count");
	return 0;
}

/* --- nodes --------------------------------------------------------------- */

/* Put the first n items of level i as a node; *sum is what they add up to. */
static int
put_node(struct levels *l, unsigned i, size_t n, struct id *id,
	 struct levels_sum *sum, struct err *e)
{
	const struct level *v = &l->level[i];
	size_t len = 0;

	memset(sum, 0, sizeof(*sum));
	for (size_t k = 0; k < n; k++) {
		if (sum_add(sum, &v->slot[k].sum, e) < 0)
			return -1;
		len += v->slot[k].len;
	}
	buf_reset(&l->node);
	wr_u8(&l->node, NODE_VERSION);
	wr_u8(&l->node, (uint8_t)i);
	wr_varint(&l->node, n);
	wr_bytes(&l->node, v->bytes.data, len);
	if (buf_ok(&l->node, e) < 0)
		return -1;
	return chunk_put(l->sink, l->rules->kind, l->node.data, l->node.len, id,
			 e);
}

/* Forget the first n items. */
static void
drop_front(struct level *v, size_t n)
{
	size_t len = 0;

	for (size_t k = 0; k < n; k++)
		len += v->slot[k].len;
	v->n -= n;
	v->bytes.len -= len;
	if (v->n == 0)
		return;
	memmove(v->bytes.data, v->bytes.data + len, v->bytes.len);
	memmove(v->hash, v->hash + n, v->n * sizeof(*v->hash));
	memmove(v->slot, v->slot + n, v->n * sizeof(*v->slot));
}

/* Room for the items of one level; made when it is first used. */
static int
level_open(struct levels *l, unsigned i, struct err *e)
{
	struct level *v = &l->level[i];
	size_t room = l->rules->items_max + 1;

	if (v->hash == NULL)
		v->hash = mem_array(room, sizeof(*v->hash));
	if (v->slot == NULL)
		v->slot = mem_array(room, sizeof(*v->slot));
	if (v->hash == NULL || v->slot == NULL)
		return err_nomem(e);
	if (l->used <= i)
		l->used = i + 1;
	return 0;
}

/*
 * Where items that are together too long, but not too many, are cut: behind
 * the first third, so that nodes do not become tiny.  n >= 2.
 */
static size_t
cut_long(const uint32_t *hash, size_t n)
{
	size_t at = (n + 2) / 3;

	for (size_t i = at + 1; i < n; i++)
		if (hash[i] < hash[at])
			at = i;
	return at;
}

/* How many items at the front must become a node now; 0: none. */
static size_t
cut_place(const struct levels_rules *rules, const struct level *v)
{
	bool many = v->n > rules->items_max;

	if (!many && (v->bytes.len <= rules->bytes_max || v->n < 2))
		return 0;
	if (!rules->by_content)
		return v->n - 1;
	return many ? split_cut(v->hash, v->n, false) : cut_long(v->hash, v->n);
}

static int add_at(struct levels *l, unsigned i, const struct levels_item *it,
		  struct err *e);

/* Make the first n items of level i a node, and that an item above. */
static int
move_up(struct levels *l, unsigned i, size_t n, struct err *e)
{
	struct level *v = &l->level[i];
	struct levels_item up = { 0 };
	struct id id;

	if (i + 1 >= SPLIT_LEVELS_MAX)
		return err_set(e, ERR_UNSUPPORTED,
			       "more than a tree of %d levels can hold",
			       SPLIT_LEVELS_MAX);
	if (put_node(l, i, n, &id, &up.sum, e) < 0)
		return -1;
	buf_reset(&l->inner);
	l->rules->put_inner(v->bytes.data + v->slot[0].key_at,
			    v->slot[0].key_len, &up.sum, &id, &l->inner);
	if (buf_ok(&l->inner, e) < 0)
		return -1;
	up.bytes = l->inner.data;
	up.len = l->inner.len;
	up.key_len = v->slot[0].key_len; /* an inner item begins with it */
	up.hash = levels_hash(id.b);
	drop_front(v, n);
	return add_at(l, i + 1, &up, e);
}

/* Recursion is as deep as there are levels. */
static int
add_at(struct levels *l, unsigned i, const struct levels_item *it,
       struct err *e)
{
	struct level *v = &l->level[i];
	size_t n;

	if (level_open(l, i, e) < 0)
		return -1;
	buf_add(&v->bytes, it->bytes, it->len);
	if (buf_ok(&v->bytes, e) < 0)
		return -1;
	v->hash[v->n] = it->hash;
	v->slot[v->n] = (struct slot){
		.len = it->len,
		.key_at = it->key_at,
		.key_len = it->key_len,
		.sum = it->sum,
	};
	v->n++;
	while ((n = cut_place(l->rules, v)) > 0)
		if (move_up(l, i, n, e) < 0)
			return -1;
	return 0;
}

int
levels_add(struct levels *l, const struct levels_item *it, struct err *e)
{
	if (l->failed)
		return err_set(e, ERR_USAGE,
			       "%s nodes: an item before this one was lost",
			       id_kind_name(l->rules->kind));
	if (add_at(l, 0, it, e) < 0) {
		l->failed = true;
		return -1;
	}
	return 0;
}

int
levels_break(struct levels *l, struct err *e)
{
	if (l->failed)
		return err_set(e, ERR_USAGE,
			       "%s nodes: an item before this one was lost",
			       id_kind_name(l->rules->kind));
	if (l->level[0].n > 0 && move_up(l, 0, l->level[0].n, e) < 0) {
		l->failed = true;
		return -1;
	}
	return 0;
}

int
levels_add_node(struct levels *l, const struct id *id,
		const struct levels_sum *sum, struct err *e)
{
	struct levels_item up = { .sum = *sum, .hash = levels_hash(id->b) };

	if (levels_break(l, e) < 0)
		return -1;
	buf_reset(&l->inner);
	l->rules->put_inner(NULL, 0, sum, id, &l->inner);
	up.bytes = l->inner.data;
	up.len = l->inner.len;
	if (buf_ok(&l->inner, e) < 0 || add_at(l, 1, &up, e) < 0) {
		l->failed = true;
		return -1;
	}
	return 0;
}

static int
finish(struct levels *l, struct id *root, unsigned *height,
       struct levels_sum *total, struct err *e)
{
	unsigned i = 0;

	if (l->failed)
		return err_set(e, ERR_USAGE,
			       "%s nodes: an item was lost before the end",
			       id_kind_name(l->rules->kind));
	if (l->used == 0 && level_open(l, 0, e) < 0)
		return -1;
	/* The lowest level may be empty behind a node that was taken whole. */
	for (; i + 1 < l->used; i++)
		if (l->level[i].n > 0 && move_up(l, i, l->level[i].n, e) < 0)
			return -1;
	*height = i + 1;
	return put_node(l, i, l->level[i].n, root, total, e);
}

int
levels_finish(struct levels *l, struct id *root, unsigned *height,
	      struct levels_sum *total, struct err *e)
{
	struct id id;
	struct levels_sum sum;
	unsigned h = 0;
	int rc = finish(l, &id, &h, &sum, e);

	levels_reset(l);
	if (rc < 0)
		return -1;
	*root = id;
	*height = h;
	*total = sum;
	return 0;
}

bool
levels_peek(const struct levels *l, const uint8_t **bytes, size_t *len,
	    size_t *items)
{
	if (l->used > 1 || l->failed)
		return false;
	*bytes = l->level[0].bytes.data;
	*len = l->level[0].bytes.len;
	*items = l->level[0].n;
	return true;
}

/* --- reading ------------------------------------------------------------- */

int
levels_bad(enum id_kind kind, const struct id *id, const char *why,
	   struct err *e)
{
	char text[ID_TEXT_LEN];

	return err_set(e, ERR_CORRUPT, "%s node %.16s: %s", id_kind_name(kind),
		       id_text(text, id), why);
}

/* NULL when the front of the node is as it must be. */
static const char *
check_front(struct levels_node *n, int level)
{
	uint8_t version = rd_u8(&n->items);

	n->level = rd_u8(&n->items);
	n->count = rd_varint(&n->items);
	if (!rd_ok(&n->items))
		return "it ends too soon";
	if (version != NODE_VERSION)
		return "it has an unknown version";
	if (n->level >= SPLIT_LEVELS_MAX ||
	    (level != LEVELS_ANY && n->level != level))
		return "it is of another level than its place";
	if (n->count > n->items.left)
		return "it has fewer items than it says";
	if (n->count == 0 && n->level > 0)
		return "it is an inner node without items";
	return NULL;
}

int
levels_load(struct chunk_reader *r, enum id_kind kind, const struct id *id,
	    int level, struct levels_node *out, struct err *e)
{
	struct levels_node n = { 0 };
	const char *why;

	if (chunk_get(r, kind, id, &n.chunk, e) < 0)
		return -1;
	n.items = rd_init(n.chunk.data, n.chunk.len);
	why = check_front(&n, level);
	if (why != NULL) {
		chunk_release(r, &n.chunk);
		return levels_bad(kind, id, why, e);
	}
	*out = n;
	return 0;
}
