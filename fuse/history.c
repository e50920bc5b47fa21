/*
 * history.c
 *
 * A state that is the same as the last one of its chain is no event, neither
 * for the path itself nor for anything beneath it: so the histories of
 * children need only the parent's events.
 *
 * Trees may recur in a history (a file was added and removed again, two sets
 * hold the same): what was seen of a tree is found by its id in a table that
 * lives as long as the call.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/history.h"

#include "base/cursor.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/engine/listing.h"
#include "src/engine/tree.h"
#include "store/chunk.h"

#include <stdlib.h>
#include <string.h>

#define COOKIE_MASK ((UINT64_C(1) << HISTORY_COOKIE_BITS) - 1)

/* --- versions ------------------------------------------------------------- */

static void
put_content(struct buf *out, const struct entry *en)
{
	const struct content *c = &en->content;

	wr_varint(out, en->size);
	if ((en->flags & ENTRY_UNREADABLE) != 0)
		return;
	wr_u8(out, c->form);
	wr_u8(out, c->kind);
	wr_u8(out, c->levels);
	if (c->form == CONTENT_INLINE)
		wr_bytes(out, c->items, c->items_len);
	else if (c->form == CONTENT_MAPPED)
		wr_bytes(out, c->root.b, ID_LEN);
}

int
history_version(const struct entry *en, uint8_t out[HISTORY_VERSION_LEN],
		struct err *e)
{
	const uint32_t flags = ENTRY_UNREADABLE | ENTRY_PARTIAL_LIST;
	struct buf b = { 0 };
	int rc;

	wr_u8(&b, en->type);
	wr_varint(&b, en->flags & flags);
	wr_varint(&b, en->mode);
	wr_varint(&b, en->uid);
	wr_varint(&b, en->gid);
	wr_varint(&b, (uint64_t)en->mtime.sec);
	wr_varint(&b, en->mtime.nsec);
	wr_varint(&b, en->inode_flags);
	wr_varint(&b, en->xattrs);
	wr_bytes(&b, en->xattr_bytes, en->xattr_len);
	if (en->type == ENTRY_FILE)
		put_content(&b, en);
	else if (en->type == ENTRY_DIR)
		wr_bytes(&b, en->dir.id.b, ID_LEN);
	wr_varint(&b, en->major);
	wr_varint(&b, en->minor);
	wr_bytes(&b, en->target, en->target_len);
	rc = buf_ok(&b, e);
	if (rc == 0)
		hash_plain(b.data, b.len, out, HISTORY_VERSION_LEN);
	buf_clear(&b);
	return rc;
}

/* --- histories ------------------------------------------------------------ */

static bool
is_same(const struct history_event *a, const struct history_event *b)
{
	return a->type == b->type &&
	       (a->type == 0 ||
		memcmp(a->version, b->version, HISTORY_VERSION_LEN) == 0);
}

/* Another set may show the very same just before. */
static bool
is_shown(const struct history *h, const struct history_event *s)
{
	return s->type != 0 &&
	       (h->count == 0 || !is_same(&h->event[h->count - 1], s));
}

int
history_new(const struct history_event *state, size_t count, uint32_t chains,
	    struct history **out, struct err *e)
{
	struct history *h = mem_zalloc(sizeof(*h));
	/* The last event of each chain, from 1; 0: none. */
	size_t *last = mem_array((size_t)chains + 1, sizeof(*last));
	struct history_event *less;
	int rc = -1;
	size_t i;

	if (h != NULL)
		h->event = mem_array(count + 1, sizeof(*h->event));
	if (h == NULL || last == NULL || h->event == NULL) {
		err_nomem(e);
		goto out;
	}
	h->refs = 1;
	h->chains = chains;
	for (i = 0; i < count; i++) {
		const struct history_event *s = &state[i];
		size_t before = last[s->chain];

		if (before == 0 ? s->type == 0
				: is_same(&h->event[before - 1], s))
			continue;
		h->event[h->count] = *s;
		h->event[h->count].shown = is_shown(h, s);
		h->present += s->type != 0;
		last[s->chain] = ++h->count;
	}
	less = mem_resize(h->event, h->count + 1, sizeof(*less));
	if (less != NULL)
		h->event = less;
	*out = h;
	h = NULL;
	rc = 0;
out:
	mem_free(last);
	if (h != NULL)
		mem_free(h->event);
	mem_free(h);
	return rc;
}

struct history *
history_ref(struct history *h)
{
	__atomic_add_fetch(&h->refs, 1, __ATOMIC_RELAXED);
	return h;
}

void
history_unref(struct history *h)
{
	if (h == NULL || __atomic_sub_fetch(&h->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	mem_free(h->event);
	mem_free(h);
}

size_t
history_size(const struct history *h)
{
	return sizeof(*h) + (h->count + 1) * sizeof(*h->event);
}

const struct history_event *
history_find(const struct history *h, uint32_t number)
{
	size_t i;

	for (i = 0; i < h->count; i++)
		if (h->event[i].number == number)
			return h->event[i].shown ? &h->event[i] : NULL;
	return NULL;
}

/* --- trees seen ------------------------------------------------------------ */

/* From a tree to the first event that has it; open addressing. */
struct seen {
	const struct history *dir;
	uint32_t *slot; /* an event's index + 1, or 0 */
	size_t mask;
};

static int
seen_init(struct seen *s, const struct history *dir, struct err *e)
{
	size_t slots = 8;

	while (slots < dir->count * 2)
		slots *= 2;
	s->dir = dir;
	s->mask = slots - 1;
	s->slot = mem_array(slots, sizeof(*s->slot));
	return s->slot != NULL ? 0 : err_nomem(e);
}

/* The first event with the tree of event `i`, which may be itself. */
static size_t
seen_first(struct seen *s, size_t i)
{
	const struct id *tree = &s->dir->event[i].tree.id;
	size_t at = (size_t)id_prefix(tree) & s->mask;

	for (; s->slot[at] != 0; at = (at + 1) & s->mask)
		if (id_equal(&s->dir->event[s->slot[at] - 1].tree.id, tree))
			return s->slot[at] - 1;
	s->slot[at] = (uint32_t)i + 1;
	return i;
}

/* Damage is told and passed over: 1.  All else is a failure: -1. */
static int
pass_over(const struct history_damage *damage, uint32_t number, struct err *why,
	  struct err *e)
{
	if (why->kind != ERR_CORRUPT && why->kind != ERR_MISSING &&
	    why->kind != ERR_UNSUPPORTED) {
		err_move(e, why);
		return -1;
	}
	if (damage != NULL)
		damage->fn(damage->ctx, number, why);
	err_clear(why);
	return 1;
}

/* --- children ------------------------------------------------------------- */

/* What a tree says about the name. */
struct found {
	bool known;
	uint8_t type; /* 0: not there */
	bool linked;
	uint8_t version[HISTORY_VERSION_LEN];
	uint64_t before;
	struct tree_root tree;
};

static int
take_entry(const struct tree_hit *hit, uint64_t beneath, struct found *out,
	   struct err *e)
{
	const struct entry *en = &hit->entry;
	uint64_t inodes = entry_inodes(en);

	if (hit->before >= beneath || inodes > beneath - hit->before)
		return err_set(e, ERR_CORRUPT,
			       "an entry lies beyond the end of its directory");
	if (history_version(en, out->version, e) < 0)
		return -1;
	out->type = en->type;
	out->linked = (en->flags & ENTRY_LINKED) != 0;
	out->before = hit->before;
	if (en->type == ENTRY_DIR)
		out->tree = en->dir;
	return 0;
}

static int
look_into(struct chunk_reader *r, const struct tree_root *tree,
	  const void *name, size_t len, struct found *out, struct err *e)
{
	struct tree_hit hit;
	int rc;

	if (tree->entries == 0)
		rc = 1;
	else
		rc = tree_find(r, &tree->id, name, len, &hit, e);
	if (rc == 0) {
		rc = take_entry(&hit, tree->beneath, out, e);
		tree_hit_clear(&hit);
	}
	if (rc >= 0)
		out->known = true;
	return rc < 0 ? -1 : 0;
}

static void
put_state(const struct history_event *dir, const struct found *f,
	  struct history_event *out)
{
	memset(out, 0, sizeof(*out));
	out->number = dir->number;
	out->chain = dir->chain;
	if (dir->type != ENTRY_DIR || f->type == 0)
		return;
	out->type = f->type;
	out->linked = f->linked;
	memcpy(out->version, f->version, HISTORY_VERSION_LEN);
	out->ordinal = dir->ordinal + 1 + f->before;
	out->tree = f->tree;
}

/* The name's states in the directory's events, those that can be known. */
static int
find_states(const struct history *dir, struct chunk_reader *r, const void *name,
	    size_t len, const struct history_damage *damage,
	    struct found *found, struct history_event *state, size_t *states,
	    bool *damaged, struct err *e)
{
	struct seen seen = { 0 };
	size_t n = 0;
	int rc = -1;
	size_t i;

	if (seen_init(&seen, dir, e) < 0)
		return -1;
	for (i = 0; i < dir->count; i++) {
		const struct history_event *d = &dir->event[i];
		struct err why = { 0 };
		size_t k = i;

		if (d->type == ENTRY_DIR) {
			k = seen_first(&seen, i);
			if (k == i &&
			    look_into(r, &d->tree, name, len, &found[i], &why) <
				    0 &&
			    pass_over(damage, d->number, &why, e) < 0)
				goto out;
			if (!found[k].known) {
				*damaged = true;
				continue;
			}
		}
		put_state(d, &found[k], &state[n++]);
	}
	*states = n;
	rc = 0;
out:
	mem_free(seen.slot);
	return rc;
}

int
history_child(const struct history *dir, struct chunk_reader *r,
	      const void *name, size_t len, const struct history_damage *damage,
	      struct history **out, struct err *e)
{
	struct found *found = mem_array(dir->count + 1, sizeof(*found));
	struct history_event *state = mem_array(dir->count + 1, sizeof(*state));
	bool damaged = dir->damaged;
	size_t states = 0;
	int rc = -1;

	if (found == NULL || state == NULL)
		err_nomem(e);
	else
		rc = find_states(dir, r, name, len, damage, found, state,
				 &states, &damaged, e);
	if (rc == 0)
		rc = history_new(state, states, dir->chains, out, e);
	if (rc == 0)
		(*out)->damaged = damaged;
	mem_free(state);
	mem_free(found);
	return rc;
}

/* --- collecting names ------------------------------------------------------- */

uint64_t
history_cookie(const void *name, size_t len)
{
	uint64_t h;

	hash_plain(name, len, &h, sizeof(h));
	h &= COOKIE_MASK;
	return h > 0 ? h : 1;
}

/*
 * Names are appended as they are met, many of them again and again.  When
 * they need more than the limit they are sorted and each kept once; where
 * half of the limit is not enough for that, those behind the middle are left
 * for another piece.
 */
struct collector {
	struct history_names *names;
	size_t cap;
	size_t limit;
};

static const uint8_t *
bytes_of(const struct history_names *n, const struct history_name *i)
{
	return n->bytes.data + i->at;
}

/* A qsort_r function. */
static int
compare(const void *a, const void *b, void *ctx)
{
	const struct history_names *n = ctx;
	const struct history_name *x = a;
	const struct history_name *y = b;

	if (x->cookie != y->cookie)
		return x->cookie < y->cookie ? -1 : 1;
	return entry_name_cmp(bytes_of(n, x), x->len, bytes_of(n, y), y->len);
}

static void
drop_doubles(struct history_names *n)
{
	size_t kept = 0;
	size_t i;

	if (n->count == 0)
		return;
	qsort_r(n->name, n->count, sizeof(*n->name), compare, n);
	for (i = 0; i < n->count; i++)
		if (kept == 0 ||
		    compare(&n->name[kept - 1], &n->name[i], n) != 0)
			n->name[kept++] = n->name[i];
	n->count = kept;
}

static size_t
needed(const struct history_names *n)
{
	size_t sum = n->count * sizeof(*n->name);
	size_t i;

	for (i = 0; i < n->count; i++)
		sum += n->name[i].len;
	return sum;
}

/* Keep those before the middle; all of one cookie stay together. */
static void
cut(struct history_names *n)
{
	size_t half = n->count / 2;

	while (half > 0 && n->name[half - 1].cookie == n->name[half].cookie)
		half--;
	if (half == 0)
		return;
	n->to = n->name[half - 1].cookie;
	n->count = half;
}

/* The bytes of the names that are left, alone. */
static int
pack(struct history_names *n, struct err *e)
{
	struct buf bytes = { 0 };
	size_t i;

	for (i = 0; i < n->count; i++) {
		uint32_t at = (uint32_t)bytes.len;

		buf_add(&bytes, bytes_of(n, &n->name[i]), n->name[i].len);
		n->name[i].at = at;
	}
	buf_clear(&n->bytes);
	n->bytes = bytes;
	return buf_ok(&n->bytes, e);
}

static int
tidy(struct collector *c, size_t limit, struct err *e)
{
	struct history_names *n = c->names;

	drop_doubles(n);
	while (needed(n) > limit) {
		size_t before = n->count;

		cut(n);
		if (n->count == before)
			break;
	}
	return pack(n, e);
}

static int
add_name(struct collector *c, const void *name, size_t len, struct err *e)
{
	struct history_names *n = c->names;
	uint64_t cookie = history_cookie(name, len);
	struct history_name *more;

	if (cookie <= n->from || cookie > n->to)
		return 0;
	if (n->count == c->cap) {
		more = mem_resize(n->name, c->cap * 2 + 16, sizeof(*more));
		if (more == NULL)
			return err_nomem(e);
		n->name = more;
		c->cap = c->cap * 2 + 16;
	}
	n->name[n->count++] = (struct history_name){
		.cookie = cookie,
		.at = (uint32_t)n->bytes.len,
		.len = (uint8_t)len,
	};
	buf_add(&n->bytes, name, len);
	if (buf_ok(&n->bytes, e) < 0)
		return -1;
	if (n->bytes.len + n->count * sizeof(*n->name) > c->limit)
		return tidy(c, c->limit / 2, e);
	return 0;
}

static int
add_tree(struct collector *c, struct chunk_reader *r,
	 const struct history_event *dir, const struct history_damage *damage,
	 struct err *e)
{
	struct err why = { 0 };
	struct listing l;
	struct entry en;
	uint64_t lost;
	int rc;

	listing_init(&l, r, &dir->tree, 0);
	while ((rc = listing_next(&l, &en, &lost, &why)) > 0) {
		if (rc == 2) {
			c->names->damaged = true;
			rc = pass_over(damage, dir->number, &why, e);
			if (rc < 0)
				break;
			continue;
		}
		rc = add_name(c, en.name, en.name_len, e);
		if (rc < 0)
			break;
	}
	listing_clear(&l);
	/* Either may have failed; the first one is kept. */
	err_move(e, &why);
	return rc;
}

static int
add_trees(struct collector *c, const struct history *dir,
	  struct chunk_reader *r, const struct history_damage *damage,
	  struct err *e)
{
	struct seen seen = { 0 };
	int rc = 0;
	size_t i;

	if (seen_init(&seen, dir, e) < 0)
		return -1;
	for (i = 0; rc == 0 && i < dir->count; i++)
		if (dir->event[i].type == ENTRY_DIR &&
		    seen_first(&seen, i) == i)
			rc = add_tree(c, r, &dir->event[i], damage, e);
	mem_free(seen.slot);
	return rc;
}

int
history_names(const struct history *dir, struct chunk_reader *r, uint64_t from,
	      size_t limit, const struct history_damage *damage,
	      struct history_names **out, struct err *e)
{
	struct history_names *n = mem_zalloc(sizeof(*n));
	struct collector c = { .names = n, .limit = limit };
	int rc;

	if (n == NULL)
		return err_nomem(e);
	n->refs = 1;
	n->from = from;
	n->to = UINT64_MAX;
	n->damaged = dir->damaged;
	rc = add_trees(&c, dir, r, damage, e);
	if (rc == 0)
		rc = tidy(&c, limit, e);
	if (rc < 0)
		history_names_unref(n);
	else
		*out = n;
	return rc;
}

struct history_names *
history_names_ref(struct history_names *n)
{
	__atomic_add_fetch(&n->refs, 1, __ATOMIC_RELAXED);
	return n;
}

void
history_names_unref(struct history_names *n)
{
	if (n == NULL || __atomic_sub_fetch(&n->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	buf_clear(&n->bytes);
	mem_free(n->name);
	mem_free(n);
}

size_t
history_names_size(const struct history_names *n)
{
	return sizeof(*n) + n->bytes.len + n->count * sizeof(*n->name);
}
