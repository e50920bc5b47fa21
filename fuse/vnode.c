/*
 * vnode.c
 *
 * A node is in the table while the kernel knows it, a request holds it, or
 * another node is beneath it; so the way from any node to the top is always
 * there.
 *
 * Nodes without children are leaves, and those alone can go.  They are in
 * one of two queues by last use: `leaves`, and `asked`, which the kernel was
 * asked to forget.  What the kernel forgets is freed at once.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/vnode.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "fuse/history.h"
#include "fuse/root.h"
#include "store/id.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define BUCKETS 4096 /* a power of two */

/* The kernel has this many times the room to forget what it was asked to. */
#define PATIENCE 4

struct queue {
	struct vnode *oldest, *newest;
};

struct vnodes {
	size_t limit;
	uint64_t generation;

	pthread_mutex_t lock; /* guards all below */
	struct vnode *top;
	uint64_t last_id;
	size_t len;       /* memory of all nodes */
	size_t asked_len; /* of those in the queue `asked` */
	struct queue leaves, asked;
	struct vnode *by_id[BUCKETS], *by_name[BUCKETS];
	size_t computed_len;
	struct vnode *stalest, *freshest;
	void (*on_crowd)(void *ctx);
	void *on_crowd_ctx;
};

/* --- names ---------------------------------------------------------------- */

const char *
vnode_show_name(char out[VNODE_NAME_LEN], const void *name, size_t len)
{
	size_t at = 0;

	if (len > 0 && *(const char *)name == '@')
		out[at++] = '@';
	memcpy(out + at, name, len);
	out[at + len] = '\0';
	return out;
}

const char *
vnode_show_number(char out[VNODE_NAME_LEN], uint32_t number)
{
	(void)snprintf(out, VNODE_NAME_LEN, "@%" PRIu32, number);
	return out;
}

static const char *
show_node(char out[VNODE_NAME_LEN], const struct vnode *n)
{
	if (n->number != 0)
		return vnode_show_number(out, n->number);
	return vnode_show_name(out, n->name, n->name_len);
}

uint64_t
vnode_ino(uint64_t dir, const char *shown)
{
	uint8_t text[sizeof(dir) + VNODE_NAME_LEN];
	size_t len = strlen(shown);
	uint64_t h;

	memcpy(text, &dir, sizeof(dir));
	memcpy(text + sizeof(dir), shown, len);
	hash_plain(text, sizeof(dir) + len, &h, sizeof(h));
	return ROOT_INO_VERSION | (h & (ROOT_INO_VERSION - 1));
}

/* The way up needs no lock: a node that is held keeps it. */
int
vnode_path(const struct vnode *n, struct buf *out, struct err *e)
{
	const struct vnode *up;
	size_t end = out->len;
	size_t len = 0;

	for (up = n; up->parent != NULL; up = up->parent)
		len += up->number == 0 ? up->name_len + 1 : 0;
	if (len == 0)
		return 0;
	if (buf_extend(out, len) == NULL)
		return err_nomem(e);
	end += len;
	for (up = n; up->parent != NULL; up = up->parent) {
		if (up->number != 0)
			continue;
		end -= up->name_len;
		memcpy(out->data + end, up->name, up->name_len);
		out->data[--end] = '/';
	}
	return 0;
}

/* --- queues; all with the lock held ----------------------------------------- */

static size_t
size_of(const struct vnode *n)
{
	return sizeof(*n) + n->name_len + 1;
}

static struct queue *
queue_of(struct vnodes *t, enum vnode_queue kind)
{
	return kind == VNODE_ASKED ? &t->asked : &t->leaves;
}

static void
leave_queue(struct vnodes *t, struct vnode *n)
{
	struct queue *q = queue_of(t, n->queue);

	if (n->queue == VNODE_NONE)
		return;
	*(n->newer != NULL ? &n->newer->older : &q->newest) = n->older;
	*(n->older != NULL ? &n->older->newer : &q->oldest) = n->newer;
	if (n->queue == VNODE_ASKED)
		t->asked_len -= size_of(n);
	n->queue = VNODE_NONE;
}

/* As the one used last. */
static void
enter_queue(struct vnodes *t, struct vnode *n, enum vnode_queue kind)
{
	struct queue *q = queue_of(t, kind);

	n->queue = kind;
	n->newer = NULL;
	n->older = q->newest;
	*(q->newest != NULL ? &q->newest->newer : &q->oldest) = n;
	q->newest = n;
	if (kind == VNODE_ASKED)
		t->asked_len += size_of(n);
}

/* It is used: the youngest leaf, if it is one. */
static void
touch(struct vnodes *t, struct vnode *n)
{
	leave_queue(t, n);
	if (n->children == 0 && n->parent != NULL)
		enter_queue(t, n, VNODE_LEAVES);
}

/* --- what was computed; all with the lock held ------------------------------- */

static size_t
computed_size(const struct vnode *n)
{
	size_t len = 0;

	if (n->history != NULL)
		len += history_size(n->history);
	if (n->names != NULL)
		len += history_names_size(n->names);
	return len;
}

static void
unlink_computed(struct vnodes *t, struct vnode *n)
{
	*(n->fresher != NULL ? &n->fresher->staler : &t->freshest) = n->staler;
	*(n->staler != NULL ? &n->staler->fresher : &t->stalest) = n->fresher;
}

/* As the one used last. */
static void
link_computed(struct vnodes *t, struct vnode *n)
{
	n->fresher = NULL;
	n->staler = t->freshest;
	*(t->freshest != NULL ? &t->freshest->fresher : &t->stalest) = n;
	t->freshest = n;
}

static void
forget_computed(struct vnodes *t, struct vnode *n)
{
	if (n->history == NULL && n->names == NULL)
		return;
	unlink_computed(t, n);
	t->computed_len -= computed_size(n);
	history_unref(n->history);
	history_names_unref(n->names);
	n->history = NULL;
	n->names = NULL;
}

static void
keep_computed(struct vnodes *t, struct vnode *n, struct ts version,
	      struct history *h, struct history_names *names)
{
	forget_computed(t, n);
	if (h == NULL && names == NULL)
		return;
	n->history = h;
	n->names = names;
	n->computed = version;
	link_computed(t, n);
	t->computed_len += computed_size(n);
	while (t->computed_len > t->limit && t->stalest != n)
		forget_computed(t, t->stalest);
	if (t->computed_len > t->limit)
		forget_computed(t, n);
}

static void
find_computed(struct vnodes *t, struct vnode *n, struct ts version,
	      struct history **h, struct history_names **names)
{
	*h = NULL;
	*names = NULL;
	if ((n->history == NULL && n->names == NULL) ||
	    ts_cmp(n->computed, version) != 0)
		return;
	if (n->history != NULL)
		*h = history_ref(n->history);
	if (n->names != NULL)
		*names = history_names_ref(n->names);
	unlink_computed(t, n);
	link_computed(t, n);
}

/* --- the table; all with the lock held ----------------------------------------- */

static struct vnode **
bucket_by_id(struct vnodes *t, uint64_t id)
{
	return &t->by_id[id & (BUCKETS - 1)];
}

/* The number shown is a hash of the path. */
static struct vnode **
bucket_by_name(struct vnodes *t, uint64_t ino)
{
	return &t->by_name[ino & (BUCKETS - 1)];
}

static struct vnode *
find_by_id(struct vnodes *t, uint64_t id)
{
	struct vnode *n = *bucket_by_id(t, id);

	while (n != NULL && n->id != id)
		n = n->next_by_id;
	return n;
}

static uint64_t
ino_of_child(const struct vnode *parent, uint32_t number, const void *name,
	     size_t len)
{
	char shown[VNODE_NAME_LEN];

	if (number != 0)
		(void)vnode_show_number(shown, number);
	else
		(void)vnode_show_name(shown, name, len);
	return vnode_ino(parent->ino, shown);
}

static struct vnode *
find_child(struct vnodes *t, const struct vnode *parent, uint64_t ino,
	   uint32_t number, const void *name, size_t len)
{
	struct vnode *n = *bucket_by_name(t, ino);

	for (; n != NULL; n = n->next_by_name)
		if (n->parent == parent && n->number == number &&
		    n->name_len == len && memcmp(n->name, name, len) == 0)
			return n;
	return NULL;
}

static void
take_out(struct vnodes *t, struct vnode *n)
{
	struct vnode **p = bucket_by_id(t, n->id);

	while (*p != n)
		p = &(*p)->next_by_id;
	*p = n->next_by_id;
	p = bucket_by_name(t, n->ino);
	while (*p != n)
		p = &(*p)->next_by_name;
	*p = n->next_by_name;
	leave_queue(t, n);
	forget_computed(t, n);
	t->len -= size_of(n);
}

/* Free it, and those above that were only there for it. */
static void
free_unused(struct vnodes *t, struct vnode *n)
{
	while (n->parent != NULL && n->lookups == 0 && n->refs == 0 &&
	       n->children == 0) {
		struct vnode *up = n->parent;

		take_out(t, n);
		mem_free(n);
		up->children--;
		n = up;
		if (n->children == 0)
			touch(t, n);
	}
}

static void
ref(struct vnodes *t, struct vnode *n)
{
	n->refs++;
	touch(t, n);
}

/* Too full even so: the oldest go, whatever the kernel thinks. */
static void
drop_oldest(struct vnodes *t)
{
	const enum vnode_queue order[] = { VNODE_ASKED, VNODE_LEAVES };
	size_t i;

	for (i = 0; i < 2; i++) {
		struct vnode *n = queue_of(t, order[i])->oldest;

		while (n != NULL && t->len > t->limit * PATIENCE) {
			struct vnode *newer = n->newer;

			if (n->refs == 0) {
				n->lookups = 0;
				free_unused(t, n);
			}
			n = newer;
		}
	}
}

static bool
is_crowded(const struct vnodes *t)
{
	return t->len - t->asked_len > t->limit;
}

/* The child; made when it is not there.  NULL: out of memory. */
static struct vnode *
make_child(struct vnodes *t, struct vnode *parent, uint32_t number,
	   const void *name, size_t len)
{
	uint64_t ino = ino_of_child(parent, number, name, len);
	struct vnode *n = find_child(t, parent, ino, number, name, len);

	if (n != NULL)
		return n;
	n = mem_zalloc(sizeof(*n) + len + 1);
	if (n == NULL)
		return NULL;
	n->id = ROOT_INO_VERSION | ++t->last_id;
	n->ino = ino;
	n->parent = parent;
	n->depth = parent->depth + 1;
	n->number = number;
	n->name_len = len;
	memcpy(n->name, name, len);
	n->next_by_id = *bucket_by_id(t, n->id);
	*bucket_by_id(t, n->id) = n;
	n->next_by_name = *bucket_by_name(t, ino);
	*bucket_by_name(t, ino) = n;
	t->len += size_of(n);
	parent->children++;
	touch(t, parent);
	return n;
}

/* --- the table, from outside ------------------------------------------------ */

int
vnodes_new(size_t limit, struct vnodes **out, struct err *e)
{
	struct vnodes *t = mem_zalloc(sizeof(*t));
	struct vnode *top = mem_zalloc(sizeof(*top) + 1);

	if (t == NULL || top == NULL) {
		mem_free(t);
		mem_free(top);
		return err_nomem(e);
	}
	t->limit = limit;
	t->generation = time_monotonic_ns() | 1;
	t->top = top;
	top->id = ROOT_INO_VERSIONS;
	top->ino = ROOT_INO_VERSIONS;
	top->lookups = 1; /* it stays */
	*bucket_by_id(t, top->id) = top;
	(void)pthread_mutex_init(&t->lock, NULL);
	*out = t;
	return 0;
}

void
vnodes_free(struct vnodes *t)
{
	struct vnode *next;
	struct vnode *n;
	size_t i;

	if (t == NULL)
		return;
	for (i = 0; i < BUCKETS; i++) {
		for (n = t->by_id[i]; n != NULL; n = next) {
			next = n->next_by_id;
			history_unref(n->history);
			history_names_unref(n->names);
			mem_free(n);
		}
	}
	(void)pthread_mutex_destroy(&t->lock);
	mem_free(t);
}

size_t
vnodes_limit(const struct vnodes *t)
{
	return t->limit;
}

uint64_t
vnodes_generation(const struct vnodes *t)
{
	return t->generation;
}

struct vnode *
vnodes_hold(struct vnodes *t, uint64_t id)
{
	struct vnode *n;

	(void)pthread_mutex_lock(&t->lock);
	n = find_by_id(t, id);
	if (n != NULL)
		ref(t, n);
	(void)pthread_mutex_unlock(&t->lock);
	return n;
}

struct vnode *
vnodes_find(struct vnodes *t, struct vnode *parent, uint32_t number,
	    const void *name, size_t len)
{
	struct vnode *n;

	(void)pthread_mutex_lock(&t->lock);
	n = find_child(t, parent, ino_of_child(parent, number, name, len),
		       number, name, len);
	if (n != NULL)
		ref(t, n);
	(void)pthread_mutex_unlock(&t->lock);
	return n;
}

struct vnode *
vnodes_make(struct vnodes *t, struct vnode *parent, uint32_t number,
	    const void *name, size_t len)
{
	struct vnode *n;

	(void)pthread_mutex_lock(&t->lock);
	n = make_child(t, parent, number, name, len);
	if (n != NULL)
		ref(t, n);
	drop_oldest(t);
	if (is_crowded(t) && t->on_crowd != NULL)
		t->on_crowd(t->on_crowd_ctx);
	(void)pthread_mutex_unlock(&t->lock);
	return n;
}

void
vnodes_release(struct vnodes *t, struct vnode *n)
{
	(void)pthread_mutex_lock(&t->lock);
	n->refs--;
	free_unused(t, n);
	(void)pthread_mutex_unlock(&t->lock);
}

void
vnodes_met(struct vnodes *t, struct vnode *n)
{
	(void)pthread_mutex_lock(&t->lock);
	n->lookups++;
	(void)pthread_mutex_unlock(&t->lock);
}

void
vnodes_forget(struct vnodes *t, uint64_t node, uint64_t count)
{
	struct vnode *n;

	if (node == ROOT_INO_VERSIONS)
		return;
	(void)pthread_mutex_lock(&t->lock);
	n = find_by_id(t, node);
	if (n != NULL) {
		n->lookups -= count < n->lookups ? count : n->lookups;
		free_unused(t, n);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

void
vnodes_computed(struct vnodes *t, struct vnode *n, struct ts version,
		struct history **h, struct history_names **names)
{
	(void)pthread_mutex_lock(&t->lock);
	find_computed(t, n, version, h, names);
	(void)pthread_mutex_unlock(&t->lock);
}

void
vnodes_keep(struct vnodes *t, struct vnode *n, struct ts version,
	    struct history *h, struct history_names *names)
{
	(void)pthread_mutex_lock(&t->lock);
	keep_computed(t, n, version, h, names);
	(void)pthread_mutex_unlock(&t->lock);
}

/* --- for the thread that tells the kernel ----------------------------------- */

void
vnodes_on_crowd(struct vnodes *t, void (*fn)(void *ctx), void *ctx)
{
	if (t == NULL)
		return;
	(void)pthread_mutex_lock(&t->lock);
	t->on_crowd = fn;
	t->on_crowd_ctx = ctx;
	(void)pthread_mutex_unlock(&t->lock);
}

bool
vnodes_next_old(struct vnodes *t, uint64_t *parent,
		  char name[VNODE_NAME_LEN])
{
	struct vnode *n = NULL;

	(void)pthread_mutex_lock(&t->lock);
	/* Some more than needed, so as not to be back for each one. */
	if (t->len - t->asked_len > t->limit - t->limit / 4)
		n = t->leaves.oldest;
	if (n != NULL) {
		leave_queue(t, n);
		enter_queue(t, n, VNODE_ASKED);
		*parent = n->parent->id;
		(void)show_node(name, n);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return n != NULL;
}

int
vnodes_dirs(struct vnodes *t, uint64_t **out, size_t *count, struct err *e)
{
	uint64_t *all;
	const struct vnode *n;
	size_t found = 0;
	size_t i;

	(void)pthread_mutex_lock(&t->lock);
	all = mem_array(t->len / sizeof(*n) + 1, sizeof(*all));
	for (i = 0; all != NULL && i < BUCKETS; i++)
		for (n = t->by_id[i]; n != NULL; n = n->next_by_id)
			if (n->number == 0)
				all[found++] = n->id;
	(void)pthread_mutex_unlock(&t->lock);
	if (all == NULL)
		return err_nomem(e);
	*out = all;
	*count = found;
	return 0;
}
