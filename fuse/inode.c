/*
 * inode.c
 *
 * Entries are copied out of the tree nodes they stand in: a node that is kept
 * pins a decoded frame in the store's cache, and a few hundred of those would
 * be more than all caches may take.
 *
 * An entry in the table keeps its generation's record.  So it goes when that
 * does, and comes in only while that is at hand.
 *
 * Looking an inode up and opening a generation happen outside the lock.  Two
 * threads may then do the same work; the first one's result is kept.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/inode.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define BUCKETS 4096 /* a power of two */

/* Opened at the same time; a record is a few kilobytes. */
#define GENERATIONS_MAX 16

/* A path in a message need not be longer. */
#define PATH_PARTS_MAX 256

struct opened {
	struct view_gen *gen; /* NULL: a free place */
	struct inode *first;  /* those in the table that refer to it */
	uint64_t used;        /* the clock when it was asked for last */
	bool adopted;         /* stays */
};

struct inodes {
	struct store *store;
	size_t limit;
	pthread_mutex_t lock; /* guards all below */
	size_t len;           /* memory of the inodes in the table */
	struct inode *bucket[BUCKETS];
	struct inode *oldest, *newest;
	struct opened opened[GENERATIONS_MAX];
	uint64_t clock;
};

/* --- generations ---------------------------------------------------------- */

/* With the lock held.  A reference, or NULL. */
static struct view_gen *
find_opened(struct inodes *t, uint32_t number)
{
	size_t i;

	for (i = 0; i < GENERATIONS_MAX; i++) {
		struct opened *o = &t->opened[i];

		if (o->gen == NULL || o->gen->number != number)
			continue;
		o->used = ++t->clock;
		return view_ref(o->gen);
	}
	return NULL;
}

/*
 * With the lock held: a free place, or that of the one used longest ago.  An
 * adopted one is in the first place.
 */
static struct opened *
place_for_opened(struct inodes *t)
{
	struct opened *best = &t->opened[GENERATIONS_MAX - 1];
	size_t i;

	for (i = 0; i < GENERATIONS_MAX; i++) {
		struct opened *o = &t->opened[i];

		if (o->gen == NULL)
			return o;
		if (!o->adopted && o->used < best->used)
			best = o;
	}
	return best;
}

static struct inode *close_place(struct inodes *t, struct opened *o);
static void free_chain(struct inode *i);

/* Keep `g`, or give it back for the one that somebody kept meanwhile. */
static struct view_gen *
keep_opened(struct inodes *t, struct view_gen *g)
{
	struct view_gen *drop = g;
	struct inode *gone = NULL;
	struct view_gen *have;
	struct opened *o;

	(void)pthread_mutex_lock(&t->lock);
	have = find_opened(t, g->number);
	if (have == NULL) {
		o = place_for_opened(t);
		drop = o->gen;
		gone = close_place(t, o);
		o->gen = view_ref(g);
		o->used = ++t->clock;
		have = g;
	}
	(void)pthread_mutex_unlock(&t->lock);
	free_chain(gone);
	view_unref(drop);
	return have;
}

void
inodes_adopt(struct inodes *t, struct view_gen *g)
{
	t->opened[0] = (struct opened){ .gen = view_ref(g), .adopted = true };
}

int
inodes_generation(struct inodes *t, uint32_t number, struct view_gen **out,
		  struct err *e)
{
	struct view_gen *g;
	struct err why = { 0 };

	(void)pthread_mutex_lock(&t->lock);
	g = find_opened(t, number);
	(void)pthread_mutex_unlock(&t->lock);
	if (g == NULL) {
		if (view_open(t->store, number, &g, &why) < 0) {
			if (why.kind == ERR_MISSING)
				return 1;
			err_move(e, &why);
			return -1;
		}
		g = keep_opened(t, g);
	}
	*out = g;
	return 0;
}

/* --- one inode ------------------------------------------------------------ */

static void
free_inode(struct inode *i)
{
	if (i == NULL)
		return;
	view_unref(i->gen);
	mem_free(i->bytes);
	mem_free(i);
}

/* A copy of a node that stands on its own; takes a reference to `g`. */
static int
copy_node(struct view_gen *g, const struct node *n, struct inode **out,
	  struct err *e)
{
	const struct entry *en = &n->entry;
	struct inode *i = mem_zalloc(sizeof(*i));

	if (i == NULL)
		return err_nomem(e);
	i->gen = view_ref(g);
	i->ino = n->ino;
	i->bytes = (uint8_t *)mem_dup(en->bytes, en->len);
	if (i->bytes == NULL) {
		free_inode(i);
		return err_nomem(e);
	}
	if (entry_decode(i->bytes, en->len, en->name_len == 0, &i->node.entry,
			 e) < 0) {
		free_inode(i);
		return -1;
	}
	i->node.ino = n->ino;
	i->node.ordinal = n->ordinal;
	i->node.parent_ordinal = n->parent_ordinal;
	*out = i;
	return 0;
}

static int
load(struct inodes *t, uint64_t ino, struct inode **out, struct err *e)
{
	uint32_t number = (uint32_t)(ino >> INO_GENERATION_SHIFT);
	struct view_gen *g;
	struct node n;
	int rc = inodes_generation(t, number, &g, e);

	if (rc != 0)
		return rc;
	rc = view_inode(g, ino, &n, e);
	if (rc == 0) {
		rc = copy_node(g, &n, out, e);
		node_clear(&n);
	}
	view_unref(g);
	return rc;
}

/* --- the table; all with its lock held ------------------------------------ */

static size_t
size_of(const struct inode *i)
{
	return sizeof(*i) + i->node.entry.len;
}

static struct inode **
bucket_of(struct inodes *t, uint64_t ino)
{
	/* Neighbours have neighbouring numbers; generations are far apart. */
	uint64_t h = ino ^ ino >> INO_GENERATION_SHIFT << 5;

	return &t->bucket[h & (BUCKETS - 1)];
}

static struct inode *
find(struct inodes *t, uint64_t ino)
{
	struct inode *i = *bucket_of(t, ino);

	while (i != NULL && i->ino != ino)
		i = i->next;
	return i;
}

static void
link_newest(struct inodes *t, struct inode *i)
{
	i->newer = NULL;
	i->older = t->newest;
	if (t->newest != NULL)
		t->newest->newer = i;
	else
		t->oldest = i;
	t->newest = i;
}

static void
unlink_use(struct inodes *t, struct inode *i)
{
	*(i->newer != NULL ? &i->newer->older : &t->newest) = i->older;
	*(i->older != NULL ? &i->older->newer : &t->oldest) = i->newer;
}

/* The place of its generation, or NULL when that is not at hand any more. */
static struct opened *
place_of(struct inodes *t, const struct inode *i)
{
	size_t n;

	for (n = 0; n < GENERATIONS_MAX; n++)
		if (t->opened[n].gen == i->gen)
			return &t->opened[n];
	return NULL;
}

static void
insert(struct inodes *t, struct opened *o, struct inode *i)
{
	struct inode **b = bucket_of(t, i->ino);

	i->at = &o->first;
	i->beside = o->first;
	if (i->beside != NULL)
		i->beside->at = &i->beside;
	o->first = i;
	i->next = *b;
	*b = i;
	i->refs++;
	link_newest(t, i);
	t->len += size_of(i);
}

/* Out of the table; onto `*gone` when nobody holds it. */
static void
take_out(struct inodes *t, struct inode *i, struct inode **gone)
{
	struct inode **p = bucket_of(t, i->ino);

	while (*p != i)
		p = &(*p)->next;
	*p = i->next;
	*i->at = i->beside;
	if (i->beside != NULL)
		i->beside->at = i->at;
	unlink_use(t, i);
	t->len -= size_of(i);
	if (--i->refs == 0) {
		i->next = *gone;
		*gone = i;
	}
}

/* Take all out that refer to this generation; for free_chain. */
static struct inode *
close_place(struct inodes *t, struct opened *o)
{
	struct inode *gone = NULL;

	while (o->first != NULL)
		take_out(t, o->first, &gone);
	o->gen = NULL;
	return gone;
}

static struct inode *
shrink(struct inodes *t)
{
	struct inode *gone = NULL;

	while (t->len > t->limit && t->oldest != t->newest)
		take_out(t, t->oldest, &gone);
	return gone;
}

/* Without the lock. */
static void
free_chain(struct inode *i)
{
	struct inode *next;

	for (; i != NULL; i = next) {
		next = i->next;
		free_inode(i);
	}
}

/* --- getting -------------------------------------------------------------- */

static struct inode *
hold(struct inodes *t, uint64_t ino)
{
	struct inode *i;

	(void)pthread_mutex_lock(&t->lock);
	i = find(t, ino);
	if (i != NULL) {
		i->refs++;
		unlink_use(t, i);
		link_newest(t, i);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return i;
}

/* Put a new one in, or take the one that somebody put in meanwhile. */
static struct inode *
keep(struct inodes *t, struct inode *i)
{
	struct inode *gone = NULL;
	struct opened *o;
	struct inode *have;

	(void)pthread_mutex_lock(&t->lock);
	have = find(t, i->ino);
	if (have == NULL) {
		o = place_of(t, i);
		if (o != NULL) {
			insert(t, o, i);
			gone = shrink(t);
		}
		have = i;
		i = NULL;
	}
	have->refs++;
	(void)pthread_mutex_unlock(&t->lock);
	free_inode(i);
	free_chain(gone);
	return have;
}

int
inodes_get(struct inodes *t, uint64_t ino, struct inode **out, struct err *e)
{
	struct inode *i = hold(t, ino);
	int rc;

	if (i == NULL) {
		rc = load(t, ino, &i, e);
		if (rc != 0)
			return rc;
		i = keep(t, i);
	}
	*out = i;
	return 0;
}

void
inodes_put(struct inodes *t, struct inode *i)
{
	bool last;

	if (i == NULL)
		return;
	(void)pthread_mutex_lock(&t->lock);
	last = --i->refs == 0;
	(void)pthread_mutex_unlock(&t->lock);
	if (last)
		free_inode(i);
}

void
inodes_drop(struct inodes *t, uint32_t number)
{
	struct view_gen *drop = NULL;
	struct inode *gone = NULL;
	size_t n;

	(void)pthread_mutex_lock(&t->lock);
	for (n = 0; n < GENERATIONS_MAX; n++) {
		struct opened *o = &t->opened[n];

		if (o->gen != NULL && o->gen->number == number) {
			drop = o->gen;
			gone = close_place(t, o);
			break;
		}
	}
	(void)pthread_mutex_unlock(&t->lock);
	free_chain(gone);
	view_unref(drop);
}

/* --- the table itself ----------------------------------------------------- */

int
inodes_new(struct store *st, size_t limit, struct inodes **out, struct err *e)
{
	struct inodes *t = mem_zalloc(sizeof(*t));

	if (t == NULL)
		return err_nomem(e);
	t->store = st;
	t->limit = limit;
	(void)pthread_mutex_init(&t->lock, NULL);
	*out = t;
	return 0;
}

void
inodes_free(struct inodes *t)
{
	struct inode *gone = NULL;
	size_t n;

	if (t == NULL)
		return;
	while (t->oldest != NULL)
		take_out(t, t->oldest, &gone);
	free_chain(gone);
	for (n = 0; n < GENERATIONS_MAX; n++)
		view_unref(t->opened[n].gen);
	(void)pthread_mutex_destroy(&t->lock);
	mem_free(t);
}

/* --- paths ---------------------------------------------------------------- */

/* The names of `n` and of what it is in, the last first.  False: not known. */
static bool
collect_names(struct view_gen *g, const struct node *n, struct buf *names)
{
	struct node at = *n; /* the caller's; not to be cleared */
	struct node up;
	unsigned parts;

	for (parts = 0; at.ordinal != 1; parts++) {
		bool ok = parts < PATH_PARTS_MAX && at.parent_ordinal != 0;

		if (ok) {
			buf_add(names, at.entry.name, at.entry.name_len);
			buf_add_char(names, '\0');
			ok = view_parent(g, &at, &up, NULL) == 0;
		}
		if (parts > 0)
			node_clear(&at);
		if (!ok)
			return false;
		at = up;
	}
	if (parts > 0)
		node_clear(&at);
	return !names->failed;
}

void
inode_path(const struct inode *i, struct buf *out)
{
	struct buf names = { 0 };
	size_t end;
	size_t start;

	if (!collect_names(i->gen, &i->node, &names)) {
		/* A name of many, found by its inode: one of them. */
		buf_printf(out, "inode %" PRIu64 " (", i->ino);
		path_show(out, i->node.entry.name, i->node.entry.name_len);
		buf_add_char(out, ')');
		buf_clear(&names);
		return;
	}
	if (names.len == 0)
		buf_add_char(out, '/');
	for (end = names.len; end > 0; end = start) {
		start = end - 1;
		while (start > 0 && names.data[start - 1] != '\0')
			start--;
		buf_add_char(out, '/');
		path_show(out, names.data + start, end - 1 - start);
	}
	buf_clear(&names);
}
