/*
 * The file is gone through by the base's map, from front to back:
 *
 *   leaf untouched         its node is referred to as it is, unread
 *   piece untouched        its chunk (or hole) is referred to
 *   piece touched          cut anew: what is in a range comes from the file,
 *                          the rest of it from the base
 *   beyond the base        read
 *
 * So the work follows what changed, but for one look at each item of the
 * map's inner nodes, of which there is one for some hundred chunks.
 *
 * A leaf is touched, too, by a range that ends or begins at its border: a hole
 * may come to stand there, and holes that are neighbours are one item.  A node
 * ends in front of a leaf that is referred to; so nodes are not always split
 * where they would be if the file were read whole.  Readers do not mind, the
 * items of fixed chunks stay as many as they were, and what is cut longer by
 * time is split by the rules as ever.
 *
 * Ranges are widened to pages: reading a byte costs as much as reading its
 * page, and holes come and go by pages.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/patch.h"

#include "base/mem.h"
#include "base/src.h"
#include "src/engine/feed.h"
#include "src/engine/reader.h"
#include "src/engine/scan.h"
#include "store/repository.h"
#include "store/store.h"
#include "store/writer.h"

#include <string.h>

#define PAGE_LEN UINT64_C(4096)

/* Chunks between two looks whether the run was stopped. */
#define LOOK_EVERY 64

struct patch {
	struct backup *b;
	const struct patch_input *in;
	struct filemap_builder *map;
	uint64_t *read;
	enum patch_end end;
	uint64_t base_size;

	/* What is read, and what of the base's pieces is cut anew for it. */
	struct claim_range *range;
	size_t ranges, next;
	uint64_t tail; /* from here to the base's end it is cut anew, too */

	struct filemap_iter it;
	struct file_reader old;
	bool it_open, old_open;

	/* The chunk being filled, one of a group that is put together. */
	uint64_t grid;
	uint8_t *cells; /* WRITER_GROUP_MAX of them */
	size_t fill;
	struct writer_chunk group[WRITER_GROUP_MAX];
	size_t grouped;
	unsigned chunks; /* since the last look */

	/* Bytes of holes: of the base's that were passed, and made. */
	uint64_t holes_passed, holes_made;
	bool took_leaf;
};

/* --- chunks ---------------------------------------------------------------------- */

static int
put_group(struct patch *p, struct err *e)
{
	size_t n = p->grouped;

	p->grouped = 0;
	if (n == 0)
		return 0;
	return writer_put_group(p->b->writer, KIND_DATA, p->group, n, e);
}

/* The bytes gathered are a chunk. */
static int
end_cell(struct patch *p, struct err *e)
{
	uint8_t *data = p->cells + p->grouped * p->grid;
	struct writer_chunk *c = &p->group[p->grouped];

	if (p->fill == 0)
		return 0;
	c->p = data;
	c->len = p->fill;
	id_compute(&store_repository(p->b->store)->keys, KIND_DATA, data,
		   p->fill, &c->id);
	p->fill = 0;
	p->grouped++;
	if (filemap_add_chunk(p->map, &c->id, (uint32_t)c->len, e) < 0)
		return -1;
	if (p->grouped == WRITER_GROUP_MAX && put_group(p, e) < 0)
		return -1;
	if (++p->chunks < LOOK_EVERY)
		return 0;
	p->chunks = 0;
	if (feed_stopped(p->b->feed))
		return err_set(e, ERR_CANCELLED, "stopped");
	return 0;
}

/* A failure to read the base: lost, or worse. */
static int
base_failed(struct patch *p, struct err *why, struct err *e)
{
	if (scan_is_lost(why)) {
		err_clear(why);
		p->end = PATCH_LOST;
		return 1;
	}
	err_move(e, why);
	return -1;
}

/* n bytes at `at`, from the file or from its base: 1 when it cannot go on. */
static int
fetch(struct patch *p, bool now, uint64_t at, uint8_t *to, size_t n,
      struct err *e)
{
	struct err why = { 0 };
	ssize_t got;

	if (!now) {
		if (file_read(&p->old, at, to, n, NULL, &why) == (ssize_t)n)
			return 0;
		if (why.kind == ERR_NONE)
			err_set(&why, ERR_CORRUPT, "the base is too short");
		return base_failed(p, &why, e);
	}
	got = src_read(p->in->fd, to, n, at, p->read, e);
	if (got < 0)
		return -1;
	if ((size_t)got == n)
		return 0;
	p->end = PATCH_SHRUNK;
	return 1;
}

static int
add_data(struct patch *p, bool now, uint64_t from, uint64_t to, struct err *e)
{
	while (from < to) {
		uint64_t edge = (from / p->grid + 1) * p->grid;
		size_t n = (size_t)((to < edge ? to : edge) - from);
		uint8_t *cell = p->cells + p->grouped * p->grid;
		int rc = fetch(p, now, from, cell + p->fill, n, e);

		if (rc != 0)
			return rc;
		p->fill += n;
		from += n;
		if (from == edge && end_cell(p, e) < 0)
			return -1;
	}
	return 0;
}

static int
add_hole(struct patch *p, uint64_t len, struct err *e)
{
	if (len == 0)
		return 0;
	if (end_cell(p, e) < 0)
		return -1;
	p->holes_made += len;
	return filemap_add_hole(p->map, len, e);
}

/* What the file has in a range: data, and holes that are holes now. */
static int
add_read(struct patch *p, uint64_t from, uint64_t to, struct err *e)
{
	while (from < to) {
		uint64_t start = to, end = to;
		int rc = src_next_data(p->in->fd, from, to, &start, &end, e);

		if (rc < 0)
			return -1;
		if (rc == 1)
			start = end = to;
		if (add_hole(p, start - from, e) < 0)
			return -1;
		rc = add_data(p, true, start, end, e);
		if (rc != 0)
			return rc;
		from = end;
	}
	return 0;
}

/* --- ranges ----------------------------------------------------------------------- */

/* The first range that ends behind `at`; asked for with rising places. */
static const struct claim_range *
range_at(struct patch *p, uint64_t at)
{
	while (p->next < p->ranges &&
	       p->range[p->next].off + p->range[p->next].len <= at)
		p->next++;
	return p->next < p->ranges ? &p->range[p->next] : NULL;
}

/* Is a part of from ... to cut anew?  With `border`, what touches it counts. */
static bool
is_touched(struct patch *p, uint64_t from, uint64_t to, bool border)
{
	uint64_t wider = border ? 1 : 0;
	const struct claim_range *r =
		range_at(p, from > wider ? from - wider : 0);

	if (r != NULL && r->off < to + wider)
		return true;
	return p->tail < to && from < p->base_size;
}

/* from ... to of one piece of the base (or behind it): cut anew. */
static int
add_touched(struct patch *p, uint64_t from, uint64_t to, bool hole,
	    struct err *e)
{
	int rc = 0;

	while (from < to && rc == 0) {
		const struct claim_range *r = range_at(p, from);
		bool now = r != NULL && r->off <= from;
		uint64_t end = r == NULL ? to : now ? r->off + r->len : r->off;

		if (end > to)
			end = to;
		if (now)
			rc = add_read(p, from, end, e);
		else if (hole)
			rc = add_hole(p, end - from, e);
		else
			rc = add_data(p, false, from, end, e);
		from = end;
	}
	return rc;
}

/* One more, widened to pages and joined with the one before. */
static void
add_range(struct patch *p, uint64_t off, uint64_t end)
{
	struct claim_range *last =
		p->ranges > 0 ? &p->range[p->ranges - 1] : NULL;

	if (off >= p->in->size)
		return;
	off -= off % PAGE_LEN;
	if (end < p->in->size && end % PAGE_LEN != 0)
		end += PAGE_LEN - end % PAGE_LEN;
	if (end > p->in->size)
		end = p->in->size;
	if (last != NULL && off <= last->off + last->len) {
		if (end > last->off + last->len)
			last->len = end - last->off;
		return;
	}
	p->range[p->ranges++] = (struct claim_range){ off, end - off };
}

static int
take_ranges(struct patch *p)
{
	const struct patch_input *in = p->in;
	uint64_t before = 0;

	/* In place: there may be millions, and they never become more. */
	p->range = in->range;
	for (size_t i = 0; i < in->ranges; i++) {
		const struct claim_range r = in->range[i];

		if (r.off < before || r.len > UINT64_MAX - r.off) {
			p->end = PATCH_ORDER;
			return 1;
		}
		before = r.off + r.len;
		/* Beyond the base all is read anyway. */
		if (r.off < p->base_size && r.len > 0)
			add_range(p, r.off, before);
	}
	p->tail = UINT64_MAX;
	if (in->size > p->base_size) {
		add_range(p, p->base_size, in->size);
		/* What is added fills the last chunk first. */
		p->tail = p->base_size - p->base_size % p->grid;
	}
	return 0;
}

/* --- going through the base ---------------------------------------------------------- */

/* A piece of the base, and the equal ones behind it. */
static int
take_piece(struct patch *p, const struct extent *x, struct err *e)
{
	uint64_t end = x->offset + x->len, limit = p->in->size, n;
	const struct claim_range *r;

	if (x->hole)
		p->holes_passed += x->len;
	if (x->hole || end > limit || is_touched(p, x->offset, end, false))
		return add_touched(p, x->offset, end < limit ? end : limit,
				   x->hole, e);
	if (end_cell(p, e) < 0)
		return -1;
	/* Of a run, all that lie before the next range, the tail, the end. */
	r = range_at(p, x->offset);
	if (r != NULL && r->off < limit)
		limit = r->off;
	if (p->tail < limit)
		limit = p->tail;
	n = limit > end ? (limit - end) / x->len : 0;
	if (n > x->repeat)
		n = x->repeat;
	if (filemap_add_run(p->map, &x->id, (uint32_t)x->len, n + 1, e) < 0)
		return -1;
	return n > 0 ? filemap_iter_seek(&p->it, end + n * x->len, e) : 0;
}

/* The pieces from `at` to `end`, which is where one of them ends. */
static int
take_pieces(struct patch *p, uint64_t at, uint64_t end, struct err *e)
{
	struct err why = { 0 };
	struct extent x;
	int rc;

	if (filemap_iter_seek(&p->it, at, &why) < 0)
		return base_failed(p, &why, e);
	while (p->it.offset < end && p->it.offset < p->in->size) {
		rc = filemap_iter_next(&p->it, &x, &why);
		if (rc < 0)
			return base_failed(p, &why, e);
		if (rc == 0)
			break;
		rc = take_piece(p, &x, e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* May it be referred to as it is? */
static bool
leaf_untouched(struct patch *p, const struct filemap_leaf *leaf)
{
	return leaf->end <= p->in->size &&
	       !is_touched(p, leaf->start, leaf->end, true);
}

static int
take_base(struct patch *p, struct err *e)
{
	uint64_t limit = p->base_size < p->in->size ? p->base_size :
						      p->in->size;
	struct filemap_leaf leaf;
	struct err why = { 0 };
	uint64_t at;
	int rc;

	for (at = 0; at < limit; at = leaf.end) {
		rc = filemap_leaf_at(&p->it, at, &leaf, &why);
		if (rc < 0)
			return base_failed(p, &why, e);
		if (rc == 0)
			leaf = (struct filemap_leaf){ .start = at,
						      .end = p->base_size };
		if (rc == 0 || !leaf_untouched(p, &leaf)) {
			rc = take_pieces(p, at, leaf.end, e);
			if (rc != 0)
				return rc;
			continue;
		}
		if (end_cell(p, e) < 0 ||
		    filemap_add_leaf(p->map, &leaf.id, leaf.end - leaf.start,
				     e) < 0)
			return -1;
		p->took_leaf = true;
	}
	return 0;
}

/* Pieces of the base behind the file's end count for its holes, too. */
static int
pass_rest(struct patch *p, struct err *e)
{
	struct err why = { 0 };
	struct extent x;
	int rc;

	if (!p->took_leaf)
		return 0;
	if (p->base_size > p->in->size &&
	    filemap_iter_seek(&p->it, p->in->size, &why) < 0)
		return base_failed(p, &why, e);
	while (p->base_size > p->in->size &&
	       (rc = filemap_iter_next(&p->it, &x, &why)) != 0) {
		if (rc < 0)
			return base_failed(p, &why, e);
		/* One that reaches over the end was passed before. */
		if (x.hole && x.offset >= p->in->size)
			p->holes_passed += x.len;
		if (x.repeat > 0 &&
		    filemap_iter_seek(&p->it,
				      x.offset + x.len * (x.repeat + 1),
				      &why) < 0)
			return base_failed(p, &why, e);
	}
	if (p->holes_passed > p->in->base->content.holes) {
		p->end = PATCH_LOST;
		return 1;
	}
	filemap_say_holes(p->map, p->holes_made +
					  p->in->base->content.holes -
					  p->holes_passed);
	return 0;
}

/* --- the file ----------------------------------------------------------------------- */

/* The grid, and the kind and class of the map: those of the base. */
static void
choose_grid(struct patch *p)
{
	const struct config *c = p->b->config;
	const struct content *base = &p->in->base->content;
	unsigned cls = config_fixed_class(c, p->in->size, false, 0);
	enum map_kind kind = p->in->fixed ? MAP_FIXED : MAP_CDC;
	unsigned said = cls;

	if (base->form != CONTENT_EMPTY) {
		kind = base->kind == MAP_FIXED ? MAP_FIXED : MAP_CDC;
		said = base->cls;
		if (kind == MAP_FIXED && said < c->fixed_classes)
			cls = said;
	} else if (kind == MAP_CDC) {
		said = config_class(c, p->in->size, false, 0);
	}
	p->grid = c->fixed_table[cls].avg;
	filemap_builder_start(p->map, kind, said);
}

static int
begin(struct patch *p, struct err *e)
{
	struct err why = { 0 };
	const struct entry *base = p->in->base;
	int rc;

	p->cells = mem_alloc(p->grid * WRITER_GROUP_MAX);
	if (p->cells == NULL)
		return err_nomem(e);
	rc = take_ranges(p);
	if (rc != 0)
		return rc;
	if (filemap_iter_init(&p->it, p->b->reader, &base->content, base->size,
			      &why) < 0)
		return base_failed(p, &why, e);
	p->it_open = true;
	if (file_reader_init(&p->old, p->b->reader, &base->content, base->size,
			     &why) < 0)
		return base_failed(p, &why, e);
	p->old_open = true;
	return 0;
}

static int
run(struct patch *p, struct err *e)
{
	int rc = begin(p, e);

	if (rc == 0)
		rc = take_base(p, e);
	if (rc == 0 && p->in->size > p->base_size)
		rc = add_touched(p, p->base_size, p->in->size, true, e);
	if (rc == 0)
		rc = pass_rest(p, e);
	if (rc == 0 && (end_cell(p, e) < 0 || put_group(p, e) < 0))
		rc = -1;
	return rc;
}

int
patch_file(struct backup *b, const struct patch_input *in,
	   struct filemap_builder *map, uint64_t *read, enum patch_end *end,
	   struct err *e)
{
	struct patch p = { .b = b,
			   .in = in,
			   .map = map,
			   .read = read,
			   .end = PATCH_DONE,
			   .base_size = in->base->size };
	int rc;

	choose_grid(&p);
	rc = run(&p, e);
	if (p.it_open)
		filemap_iter_clear(&p.it);
	if (p.old_open)
		file_reader_clear(&p.old);
	mem_free(p.cells);
	*end = p.end;
	return rc < 0 ? -1 : 0;
}
