/*
 * Building: pieces come one by one and wait in one pending item (a chunk
 * that may become a run or a row, or a hole) until one comes that does not
 * fit.  Whether the map stays inline is only known at the end; until the
 * first node is cut, the items lie in levels.c's lowest level anyway and are
 * taken from there.
 *
 * Rows are for fixed chunks, whose lengths are all the same.  In a
 * content-defined map equal lengths are chance, and plain items split best.
 *
 * Reading: the iterator holds the nodes on the way to the place where it
 * stands and the item it is giving out.  A node's items are checked and
 * added up when it is loaded, and must make what its parent says.  How much
 * is in holes is said by the entry alone, not node by node: that is compared
 * by who comes through the whole map.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/filemap.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/engine/levels.h"

#include <inttypes.h>
#include <string.h>

/* Rows are long: a change in one must not rewrite hundreds of kilobytes. */
#define NODE_BYTES_MAX (UINT32_C(16) << 10)

/* Spreads the lengths of holes over 32 bits (doc/format.md, section 9). */
#define HOLE_HASH UINT64_C(2654435761)

#define NO_HOLE UINT64_MAX

/* --- items --------------------------------------------------------------- */

struct item {
	uint8_t tag;
	uint64_t count;     /* pieces */
	uint64_t len;       /* of each */
	const uint8_t *ids; /* one, for rows one a piece, for holes none */
	uint64_t total;
};

/* Bytes of ids that stand in an item. */
static size_t
ids_len(uint8_t tag, uint64_t count)
{
	if (tag == MAP_HOLE)
		return 0;
	return tag == MAP_ROW ? (size_t)count * ID_LEN : ID_LEN;
}

/* Reads a leaf item; false when it is none. */
static bool
get_item(struct rd *r, struct item *it)
{
	it->tag = rd_u8(r);
	it->count = 1;
	if (it->tag == MAP_RUN || it->tag == MAP_ROW) {
		it->count = rd_varint_max(r, INT64_MAX);
		if (it->count < 2)
			return false;
	}
	it->len = rd_varint_max(r, it->tag == MAP_HOLE ? INT64_MAX
						       : CHUNK_LEN_MAX);
	if (it->tag < MAP_CHUNK || it->tag > MAP_ROW || it->len == 0)
		return false;
	if (__builtin_mul_overflow(it->count, it->len, &it->total) ||
	    it->total > INT64_MAX)
		return false;
	if (it->tag == MAP_ROW && it->count > r->left / ID_LEN)
		return false;
	it->ids = rd_bytes(r, ids_len(it->tag, it->count));
	return rd_ok(r);
}

static bool
get_child(struct rd *r, struct id *id, uint64_t *len)
{
	*len = rd_varint_max(r, INT64_MAX);
	rd_copy(r, id->b, ID_LEN);
	return rd_ok(r) && *len > 0;
}

/*
 * Passes `count` items, of a leaf or not; true when they make `size` bytes.
 * Of a leaf, *holes (may be NULL) is how many of these are holes.
 */
static bool
pass_items(struct rd *r, unsigned level, uint64_t count, uint64_t size,
	   uint64_t *holes)
{
	struct item it = { 0 };
	struct id id;
	uint8_t last = 0;
	uint64_t sum = 0;
	uint64_t empty = 0;

	for (; count > 0; count--) {
		if (level > 0 ? !get_child(r, &id, &it.total)
			      : !get_item(r, &it))
			return false;
		if (it.total > size - sum)
			return false;
		sum += it.total;
		if (it.tag == MAP_HOLE && last == MAP_HOLE)
			return false;
		if (it.tag == MAP_HOLE)
			empty += it.total;
		last = it.tag;
	}
	if (holes != NULL)
		*holes = empty;
	return sum == size;
}

bool
filemap_items_ok(struct rd *r, unsigned count, uint64_t size, uint64_t *holes)
{
	return pass_items(r, 0, count, size, holes);
}

/* --- building ------------------------------------------------------------ */

struct filemap_builder {
	struct levels *levels;
	enum map_kind kind;
	unsigned cls;
	uint64_t size, holes;
	/* What the next piece may still join; tag 0: nothing. */
	uint8_t tag;
	uint64_t count, len;
	struct id ids[MAP_ROW_MAX];
	uint64_t refs; /* ids in the items added so far */
	struct buf item;
	bool closed; /* finished, or a piece was lost: only start may follow */
};

static void
put_inner(const uint8_t *key, size_t key_len, const struct levels_sum *sum,
	  const struct id *id, struct buf *out)
{
	(void)key;
	(void)key_len;
	wr_varint(out, sum->weight);
	wr_bytes(out, id->b, ID_LEN);
}

static const struct levels_rules map_rules = {
	.kind = KIND_MAP,
	.by_content = true,
	.items_max = SPLIT_MAX,
	.bytes_max = NODE_BYTES_MAX,
	.put_inner = put_inner,
};

int
filemap_builder_new(struct chunk_sink *sink, struct filemap_builder **out,
		    struct err *e)
{
	struct filemap_builder *b = mem_zalloc(sizeof(*b));

	if (b == NULL)
		return err_nomem(e);
	if (levels_new(&map_rules, sink, &b->levels, e) < 0) {
		mem_free(b);
		return -1;
	}
	*out = b;
	return 0;
}

void
filemap_builder_free(struct filemap_builder *b)
{
	if (b == NULL)
		return;
	levels_free(b->levels);
	buf_clear(&b->item);
	mem_free(b);
}

void
filemap_builder_start(struct filemap_builder *b, enum map_kind kind,
		      unsigned cls)
{
	levels_reset(b->levels);
	if (b->item.failed)
		buf_clear(&b->item);
	b->kind = kind;
	b->cls = cls;
	b->size = 0;
	b->holes = 0;
	b->tag = 0;
	b->refs = 0;
	b->closed = false;
}

static uint32_t
item_hash(const struct filemap_builder *b)
{
	if (b->tag == MAP_HOLE)
		return (uint32_t)(b->len * HOLE_HASH);
	return levels_hash(b->ids[b->tag == MAP_ROW ? b->count - 1 : 0].b);
}

/* The pending item goes into the map. */
static int
flush(struct filemap_builder *b, struct err *e)
{
	struct levels_item it = { 0 };

	if (b->tag == 0)
		return 0;
	buf_reset(&b->item);
	wr_u8(&b->item, b->tag);
	if (b->tag == MAP_RUN || b->tag == MAP_ROW)
		wr_varint(&b->item, b->count);
	wr_varint(&b->item, b->len);
	wr_bytes(&b->item, b->ids, ids_len(b->tag, b->count));
	if (buf_ok(&b->item, e) < 0)
		return -1;
	it.bytes = b->item.data;
	it.len = b->item.len;
	it.hash = item_hash(b);
	it.sum.items = 1;
	it.sum.weight = b->count * b->len;
	if (levels_add(b->levels, &it, e) < 0)
		return -1;
	b->refs += ids_len(b->tag, b->count) / ID_LEN;
	b->tag = 0;
	return 0;
}

static void
pend(struct filemap_builder *b, uint8_t tag, uint64_t count, uint64_t len,
     const struct id *id)
{
	b->tag = tag;
	b->count = count;
	b->len = len;
	if (id != NULL)
		b->ids[0] = *id;
}

/* Does the next piece of the pending length begin a cell of the row grid? */
static bool
begins_cell(const struct filemap_builder *b)
{
	return b->size / b->len % MAP_ROW_MAX == 0;
}

/*
 * The pending item ends with the chunk that comes again now.  Returns with
 * that as the last piece of a pending run.
 */
static int
join_equal(struct filemap_builder *b, const struct id *id, struct err *e)
{
	uint64_t len = b->len;

	if (b->tag == MAP_ROW) {
		b->count--;
		b->tag = b->count > 1 ? MAP_ROW : MAP_CHUNK;
		if (flush(b, e) < 0)
			return -1;
		pend(b, MAP_RUN, 1, len, id);
	}
	b->tag = MAP_RUN;
	b->count++;
	return 0;
}

static int
add_chunk(struct filemap_builder *b, const struct id *id, uint32_t len,
	  struct err *e)
{
	bool joins = b->tag != 0 && b->tag != MAP_HOLE && b->len == len;
	const struct id *last = &b->ids[b->tag == MAP_ROW ? b->count - 1 : 0];

	if (joins && id_equal(last, id))
		return join_equal(b, id, e);
	if (joins && b->tag != MAP_RUN && b->kind == MAP_FIXED &&
	    b->count < MAP_ROW_MAX && !begins_cell(b)) {
		b->tag = MAP_ROW;
		b->ids[b->count++] = *id;
		return 0;
	}
	if (flush(b, e) < 0)
		return -1;
	pend(b, MAP_CHUNK, 1, len, id);
	return 0;
}

static int
add_hole(struct filemap_builder *b, uint64_t len, struct err *e)
{
	if (b->tag == MAP_HOLE) {
		b->len += len;
		return 0;
	}
	if (flush(b, e) < 0)
		return -1;
	pend(b, MAP_HOLE, 1, len, NULL);
	return 0;
}

/* Whether `len` bytes more can be. */
static int
check_room(struct filemap_builder *b, uint64_t len, struct err *e)
{
	if (b->closed)
		return err_set(e, ERR_USAGE,
			       "a file map was to go on after its end");
	if (len <= INT64_MAX - b->size)
		return 0;
	b->closed = true;
	return err_set(e, ERR_SOURCE,
		       "the file has more bytes than a file can have");
}

int
filemap_add_chunk(struct filemap_builder *b, const struct id *id, uint32_t len,
		  struct err *e)
{
	if (len == 0 || len > CHUNK_LEN_MAX) {
		b->closed = true;
		return err_set(e, ERR_USAGE,
			       "a chunk of %u bytes in a file map",
			       (unsigned)len);
	}
	if (check_room(b, len, e) < 0)
		return -1;
	if (add_chunk(b, id, len, e) < 0) {
		b->closed = true;
		return -1;
	}
	b->size += len;
	return 0;
}

int
filemap_add_hole(struct filemap_builder *b, uint64_t len, struct err *e)
{
	if (check_room(b, len, e) < 0)
		return -1;
	if (len > 0 && add_hole(b, len, e) < 0) {
		b->closed = true;
		return -1;
	}
	b->size += len;
	b->holes += len;
	return 0;
}

/* Few items stay where they are, and the content borrows them. */
static bool
stay_inline(const struct filemap_builder *b, struct content *c)
{
	size_t items;

	if (b->refs > CONTENT_INLINE_MAX ||
	    !levels_peek(b->levels, &c->items, &c->items_len, &items) ||
	    items > CONTENT_INLINE_MAX)
		return false;
	c->form = CONTENT_INLINE;
	c->count = (unsigned)items;
	return true;
}

int
filemap_add_run(struct filemap_builder *b, const struct id *id, uint32_t len,
		uint64_t count, struct err *e)
{
	uint64_t rest;

	/* The second makes it a run, if it was none. */
	for (; count > 0; count--) {
		if (b->tag == MAP_RUN && b->len == len && !b->closed &&
		    id_equal(&b->ids[0], id))
			break;
		if (filemap_add_chunk(b, id, len, e) < 0)
			return -1;
	}
	if (__builtin_mul_overflow(count, len, &rest))
		rest = UINT64_MAX;
	if (check_room(b, rest, e) < 0)
		return -1;
	b->count += count;
	b->size += rest;
	return 0;
}

int
filemap_add_leaf(struct filemap_builder *b, const struct id *leaf,
		 uint64_t len, struct err *e)
{
	const struct levels_sum sum = { .weight = len };

	if (check_room(b, len, e) < 0)
		return -1;
	if (flush(b, e) < 0 || levels_add_node(b->levels, leaf, &sum, e) < 0) {
		b->closed = true;
		return -1;
	}
	b->size += len;
	return 0;
}

void
filemap_say_holes(struct filemap_builder *b, uint64_t bytes)
{
	b->holes = bytes;
}

int
filemap_finish(struct filemap_builder *b, struct content *out, uint64_t *size,
	       struct err *e)
{
	struct content c = { 0 };
	struct levels_sum sum;
	unsigned height;

	if (b->closed)
		return err_set(e, ERR_USAGE,
			       "a file map was to be finished after its end");
	b->closed = true;
	if (flush(b, e) < 0)
		return -1;
	if (b->size > 0) {
		c.kind = (uint8_t)b->kind;
		c.cls = (uint8_t)b->cls;
		c.holes = b->holes;
	}
	if (b->size > 0 && !stay_inline(b, &c)) {
		if (levels_finish(b->levels, &c.root, &height, &sum, e) < 0)
			return -1;
		c.form = CONTENT_MAPPED;
		c.levels = (uint8_t)height;
	}
	*out = c;
	*size = b->size;
	return 0;
}

/* --- nodes --------------------------------------------------------------- */

/* Stand before the first item of the lowest node. */
static void
rewind_level(struct filemap_level *v)
{
	v->rest = v->items;
	v->items_left = v->count;
	v->offset = v->start;
}

/* Load a node that must hold the file's bytes start ... end. */
static int
push(struct filemap_iter *it, const struct id *id, int level, uint64_t start,
     uint64_t end, struct err *e)
{
	struct filemap_level *v = &it->level[it->depth];
	struct levels_node n;
	struct rd r;

	if (levels_load(it->reader, KIND_MAP, id, level, &n, e) < 0)
		return -1;
	r = n.items;
	if (!pass_items(&r, n.level, n.count, end - start, NULL) ||
	    r.left != 0) {
		(void)levels_bad(KIND_MAP, id,
				 "its items are damaged or do not add up", e);
		chunk_release(it->reader, &n.chunk);
		return -1;
	}
	*v = (struct filemap_level){
		.chunk = n.chunk,
		.items = n.items,
		.count = n.count,
		.start = start,
		.end = end,
		.level = n.level,
	};
	rewind_level(v);
	it->depth++;
	return 0;
}

/* The items inside an entry are a leaf that is there already. */
static int
push_inline(struct filemap_iter *it, struct err *e)
{
	struct filemap_level *v = &it->level[0];
	const struct content *c = &it->content;
	struct rd r = rd_init(c->items, c->items_len);

	v->items = r;
	v->count = c->count;
	v->start = 0;
	v->end = it->size;
	if (!pass_items(&r, 0, c->count, it->size, NULL) || r.left != 0)
		return err_set(e, ERR_CORRUPT,
			       "file map: its items do not add up");
	rewind_level(v);
	it->depth = 1;
	return 0;
}

static void
pop(struct filemap_iter *it)
{
	chunk_release(it->reader, &it->level[--it->depth].chunk);
}

/* --- moving -------------------------------------------------------------- */

/*
 * Items given out one behind the other from the start of the file on are
 * counted, however their pieces are then passed.
 */
static void
count_walked(struct filemap_iter *it, const struct item *item, uint64_t start)
{
	if (start != it->walked)
		return;
	it->walked += item->total;
	if (item->tag == MAP_HOLE)
		it->holes += item->total;
}

/* Give out the item's pieces from the one that holds `offset`. */
static int
take_item(struct filemap_iter *it, const struct item *item, uint64_t start,
	  uint64_t offset, struct err *e)
{
	uint64_t skip = offset > start ? (offset - start) / item->len : 0;

	if (item->tag == MAP_HOLE && start == it->hole_end)
		return err_set(e, ERR_CORRUPT,
			       "file map: two holes are neighbours");
	it->hole_end = item->tag == MAP_HOLE ? start + item->total : NO_HOLE;
	it->tag = item->tag;
	it->count = item->count - skip;
	it->item_len = item->len;
	it->ids = item->tag == MAP_ROW ? item->ids + skip * ID_LEN : item->ids;
	it->offset = start + skip * item->len;
	count_walked(it, item, start);
	return 1;
}

/* Move forward in the lowest leaf: 1 when the item was found, 0 its end. */
static int
find_in_leaf(struct filemap_iter *it, uint64_t offset, struct err *e)
{
	struct filemap_level *v = &it->level[it->depth - 1];
	struct item item;
	uint64_t start;

	while (v->items_left > 0) {
		start = v->offset;
		/* It was checked when it was loaded. */
		(void)get_item(&v->rest, &item);
		v->items_left--;
		v->offset += item.total;
		if (v->offset > offset)
			return take_item(it, &item, start, offset, e);
	}
	return 0;
}

/* The same in the lowest inner node: 1 when a child was loaded. */
static int
find_child(struct filemap_iter *it, uint64_t offset, struct err *e)
{
	struct filemap_level *v = &it->level[it->depth - 1];
	struct id id;
	uint64_t start;
	uint64_t len;

	while (v->items_left > 0) {
		start = v->offset;
		(void)get_child(&v->rest, &id, &len);
		v->items_left--;
		v->offset += len;
		if (v->offset <= offset)
			continue;
		if (push(it, &id, v->level - 1, start, v->offset, e) < 0)
			return -1;
		return 1;
	}
	return 0;
}

/* Move forward to the item that holds `offset`: 1, 0 at the end, -1. */
static int
find_item(struct filemap_iter *it, uint64_t offset, struct err *e)
{
	const struct filemap_level *v;
	int rc;

	if (offset >= it->size)
		return 0;
	while (it->depth > 0) {
		v = &it->level[it->depth - 1];
		if (v->level == 0) {
			rc = find_in_leaf(it, offset, e);
			if (rc != 0)
				return rc;
		} else {
			rc = find_child(it, offset, e);
			if (rc < 0)
				return -1;
			if (rc > 0)
				continue;
		}
		if (it->depth == 1)
			break;
		pop(it);
	}
	return 0;
}

int
filemap_iter_init(struct filemap_iter *it, struct chunk_reader *r,
		  const struct content *content, uint64_t size, struct err *e)
{
	memset(it, 0, sizeof(*it));
	it->reader = r;
	it->content = *content;
	it->size = size;
	it->hole_end = NO_HOLE;
	if (size > INT64_MAX || (content->form == CONTENT_EMPTY) != (size == 0))
		return err_set(e, ERR_CORRUPT,
			       "file map: it is not of the file's size");
	switch (content->form) {
	case CONTENT_EMPTY:
		return 0;
	case CONTENT_INLINE:
		return push_inline(it, e);
	case CONTENT_MAPPED:
		if (content->levels >= 1 && content->levels <= SPLIT_LEVELS_MAX)
			return push(it, &content->root, content->levels - 1, 0,
				    size, e);
		break;
	default:
		break;
	}
	return err_set(e, ERR_CORRUPT, "file map: its form is unknown");
}

int
filemap_iter_seek(struct filemap_iter *it, uint64_t offset, struct err *e)
{
	struct filemap_level *v;

	it->count = 0;
	it->offset = it->size;
	it->hole_end = NO_HOLE;
	if (offset >= it->size)
		return 0;
	v = &it->level[it->depth - 1];
	while (it->depth > 1 && (offset < v->start || offset >= v->end)) {
		pop(it);
		v = &it->level[it->depth - 1];
	}
	if (offset < v->offset)
		rewind_level(v);
	return find_item(it, offset, e) < 0 ? -1 : 0;
}

/* At the end: do the holes make what the content says of them? */
static int
check_holes(const struct filemap_iter *it, struct err *e)
{
	if (it->walked != it->size || it->holes == it->content.holes)
		return 0;
	return err_set(e, ERR_CORRUPT,
		       "file map: %" PRIu64 " bytes of holes, but %" PRIu64
		       " are said to be there",
		       it->holes, it->content.holes);
}

int
filemap_iter_next(struct filemap_iter *it, struct extent *out, struct err *e)
{
	int rc;

	if (it->count == 0) {
		rc = find_item(it, it->offset, e);
		if (rc <= 0)
			return rc < 0 ? -1 : check_holes(it, e);
	}
	memset(out, 0, sizeof(*out));
	out->offset = it->offset;
	out->len = it->item_len;
	out->hole = it->tag == MAP_HOLE;
	if (!out->hole)
		memcpy(out->id.b, it->ids, ID_LEN);
	if (it->tag == MAP_RUN)
		out->repeat = it->count - 1;
	if (it->tag == MAP_ROW)
		it->ids += ID_LEN;
	it->offset += it->item_len;
	it->count--;
	return 1;
}

/* The child of an inner node that holds `offset`, by moving forward. */
static bool
pass_to_child(struct filemap_level *v, uint64_t offset,
	      struct filemap_leaf *out)
{
	uint64_t len;

	if (offset < v->offset)
		rewind_level(v);
	while (v->items_left > 0) {
		out->start = v->offset;
		(void)get_child(&v->rest, &out->id, &len);
		v->items_left--;
		v->offset += len;
		out->end = v->offset;
		if (v->offset > offset)
			return true;
	}
	return false;
}

int
filemap_leaf_at(struct filemap_iter *it, uint64_t offset,
		struct filemap_leaf *out, struct err *e)
{
	struct filemap_leaf at;
	const struct filemap_level *v;

	it->count = 0;
	it->hole_end = NO_HOLE;
	if (it->depth == 0 || it->level[0].level == 0 || offset >= it->size)
		return 0;
	for (;;) {
		v = &it->level[it->depth - 1];
		if (v->level > 0 && offset >= v->start && offset < v->end)
			break;
		pop(it);
	}
	while (pass_to_child(&it->level[it->depth - 1], offset, &at)) {
		v = &it->level[it->depth - 1];
		if (v->level == 1) {
			*out = at;
			return 1;
		}
		if (push(it, &at.id, v->level - 1, at.start, at.end, e) < 0)
			return -1;
	}
	return err_set(e, ERR_CORRUPT, "file map: it has no place %" PRIu64,
		       offset);
}

void
filemap_iter_clear(struct filemap_iter *it)
{
	while (it->depth > 0)
		pop(it);
}
