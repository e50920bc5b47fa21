/*
 * shelf.c
 *
 * An item is in one of three states.  Empty: pinned by the one who makes it,
 * in the table, so that others find it and wait.  Ready: in the table; in the
 * list of the unused while nobody pins it.  Spare: in no table, kept for the
 * next key.  A ready item that was purged while pinned leaves the table and
 * becomes spare at its last release.
 *
 * What is cheap to make again goes first, and has a small part of the limit:
 * a long run of it takes nothing dear away, and is made in the same few pieces
 * of memory, which the processor has in its cache.
 *
 * Items are never freed before the shelf, so that a number always leads to
 * memory that is one.  There are as many as were ever in use at once, 100
 * bytes each.
 *
 * Whatever has to be dropped is collected under the lock and dropped outside,
 * for freeing a megabyte takes a system call.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/shelf.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define BUCKETS 1024 /* some thousand items at most: short chains */

#define CHEAP_SHARE 4 /* one part in so many of the limit, when unused */

struct shelf_item {
	struct shelf_key key;
	uint32_t number;         /* its place in the shelf's array; constant */
	unsigned pins;           /* lock */
	bool ready;              /* lock */
	bool listed;             /* in the table; lock */
	bool cheap;              /* to make again; lock */
	size_t size;             /* lock */
	void *value;             /* lock; constant while ready and pinned */
	struct shelf_item *next; /* in the bucket, or the next spare; lock */
	struct shelf_item *older, *newer; /* while ready and unpinned; lock */
};

/* Items that nobody uses. */
struct unused {
	struct shelf_item *oldest, *newest;
	size_t size;
};

struct shelf {
	size_t limit;
	shelf_drop_fn drop;
	pthread_mutex_t lock;
	pthread_cond_t settled; /* some empty item was filled or abandoned */
	struct shelf_item *bucket[BUCKETS]; /* lock */
	struct shelf_item **all;            /* by number; lock */
	uint32_t count, cap;                /* lock */
	struct shelf_item *spare;           /* lock */
	struct unused cheap, dear;          /* lock */
	size_t used;                        /* lock */
};

/* Values to drop once the lock is given back, linked through their items. */
struct victims {
	struct shelf_item *first;
};

int
shelf_new(size_t limit, shelf_drop_fn drop, struct shelf **out, struct err *e)
{
	struct shelf *s = mem_zalloc(sizeof(*s));

	if (s == NULL)
		return err_nomem(e);
	s->limit = limit;
	s->drop = drop;
	pool_brief_mutex(&s->lock);
	(void)pthread_cond_init(&s->settled, NULL);
	*out = s;
	return 0;
}

void
shelf_free(struct shelf *s)
{
	uint32_t i;

	if (s == NULL)
		return;
	for (i = 0; i < s->count; i++) {
		if (s->all[i]->value != NULL)
			s->drop(s->all[i]->value);
		mem_free(s->all[i]);
	}
	mem_free(s->all);
	(void)pthread_cond_destroy(&s->settled);
	(void)pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

/* --- table and lists, all under the lock ---------------------------------- */

/* Pack ids are random; `at` is spread by the golden ratio. */
static size_t
bucket_of(const struct shelf_key *key)
{
	uint32_t h;

	memcpy(&h, key->pack.b, sizeof(h));
	h += key->at * UINT32_C(2654435761);
	return (h >> 16) % BUCKETS;
}

static struct shelf_item *
find_listed(const struct shelf *s, const struct shelf_key *key)
{
	struct shelf_item *it = s->bucket[bucket_of(key)];

	while (it != NULL &&
	       (it->key.at != key->at ||
		memcmp(&it->key.pack, &key->pack, sizeof(key->pack)) != 0))
		it = it->next;
	return it;
}

static void
list_item(struct shelf *s, struct shelf_item *it)
{
	struct shelf_item **head = &s->bucket[bucket_of(&it->key)];

	it->next = *head;
	*head = it;
	it->listed = true;
}

static void
unlist_item(struct shelf *s, struct shelf_item *it)
{
	struct shelf_item **at = &s->bucket[bucket_of(&it->key)];

	while (*at != it)
		at = &(*at)->next;
	*at = it->next;
	it->next = NULL;
	it->listed = false;
}

static struct unused *
unused_of(struct shelf *s, const struct shelf_item *it)
{
	return it->cheap ? &s->cheap : &s->dear;
}

static void
put_newest(struct shelf *s, struct shelf_item *it)
{
	struct unused *u = unused_of(s, it);

	it->older = u->newest;
	it->newer = NULL;
	if (u->newest != NULL)
		u->newest->newer = it;
	else
		u->oldest = it;
	u->newest = it;
	u->size += it->size;
}

static void
leave_unused(struct shelf *s, struct shelf_item *it)
{
	struct unused *u = unused_of(s, it);

	if (it->older != NULL)
		it->older->newer = it->newer;
	else
		u->oldest = it->newer;
	if (it->newer != NULL)
		it->newer->older = it->older;
	else
		u->newest = it->older;
	it->older = it->newer = NULL;
	u->size -= it->size;
}

static void
pin(struct shelf *s, struct shelf_item *it)
{
	if (it->pins == 0)
		leave_unused(s, it);
	it->pins++;
}

/* Out of use for good; its value waits among the victims. */
static void
retire(struct shelf *s, struct shelf_item *it, struct victims *v)
{
	if (it->listed)
		unlist_item(s, it);
	s->used -= it->size;
	it->size = 0;
	it->ready = false;
	it->next = v->first;
	v->first = it;
}

/* What is to go next so that `more` fits; NULL: nothing, or all are in use. */
static struct shelf_item *
least_wanted(const struct shelf *s, size_t more)
{
	/* But for one, however large it is: somebody may be in its middle. */
	if (s->cheap.size > s->limit / CHEAP_SHARE &&
	    s->cheap.oldest != s->cheap.newest)
		return s->cheap.oldest;
	if (s->used <= s->limit && more <= s->limit - s->used)
		return NULL;
	return s->cheap.oldest != NULL ? s->cheap.oldest : s->dear.oldest;
}

static void
make_room(struct shelf *s, size_t more, struct victims *v)
{
	struct shelf_item *it;

	while ((it = least_wanted(s, more)) != NULL) {
		leave_unused(s, it);
		retire(s, it, v);
	}
}

/* Takes the lock for the short time it needs; call without it. */
static void
drop_victims(struct shelf *s, struct victims *v)
{
	struct shelf_item *it;
	struct shelf_item *last = NULL;

	if (v->first == NULL)
		return;
	for (it = v->first; it != NULL; it = it->next) {
		s->drop(it->value);
		it->value = NULL;
		last = it;
	}
	(void)pthread_mutex_lock(&s->lock);
	last->next = s->spare;
	s->spare = v->first;
	(void)pthread_mutex_unlock(&s->lock);
}

static bool
grow(struct shelf *s)
{
	uint32_t cap = s->cap == 0 ? 64 : s->cap * 2;
	struct shelf_item **all;

	if (s->count < s->cap)
		return true;
	all = mem_resize(s->all, cap, sizeof(struct shelf_item *));
	if (all == NULL)
		return false;
	s->all = all;
	s->cap = cap;
	return true;
}

static struct shelf_item *
spare_item(struct shelf *s)
{
	struct shelf_item *it = s->spare;

	if (it != NULL) {
		s->spare = it->next;
		it->next = NULL;
		return it;
	}
	if (!grow(s))
		return NULL;
	it = mem_zalloc(sizeof(*it));
	if (it == NULL)
		return NULL;
	it->number = s->count;
	s->all[s->count++] = it;
	return it;
}

/* --- the calls ------------------------------------------------------------ */

static int
take_locked(struct shelf *s, const struct shelf_key *key, size_t size,
	    struct shelf_item **out, struct victims *v)
{
	struct shelf_item *it;

	for (;;) {
		it = find_listed(s, key);
		if (it == NULL)
			break;
		if (it->ready) {
			pin(s, it);
			*out = it;
			return SHELF_READY;
		}
		(void)pthread_cond_wait(&s->settled, &s->lock);
	}
	it = spare_item(s);
	if (it == NULL)
		return -1;
	make_room(s, size, v);
	it->key = *key;
	it->cheap = false;
	it->size = size;
	it->pins = 1;
	s->used += size;
	list_item(s, it);
	*out = it;
	return SHELF_EMPTY;
}

int
shelf_take(struct shelf *s, const struct shelf_key *key, size_t size,
	   struct shelf_item **out, struct err *e)
{
	struct victims v = { NULL };
	int rc;

	(void)pthread_mutex_lock(&s->lock);
	rc = take_locked(s, key, size, out, &v);
	(void)pthread_mutex_unlock(&s->lock);
	drop_victims(s, &v);
	return rc < 0 ? err_nomem(e) : rc;
}

void
shelf_fill(struct shelf *s, struct shelf_item *it, void *value, size_t size,
	   bool cheap)
{
	struct victims v = { NULL };

	(void)pthread_mutex_lock(&s->lock);
	s->used += size - it->size;
	it->size = size;
	it->value = value;
	it->cheap = cheap;
	it->ready = true;
	make_room(s, 0, &v);
	(void)pthread_cond_broadcast(&s->settled);
	(void)pthread_mutex_unlock(&s->lock);
	drop_victims(s, &v);
}

void
shelf_abandon(struct shelf *s, struct shelf_item *it)
{
	(void)pthread_mutex_lock(&s->lock);
	if (it->listed)
		unlist_item(s, it);
	s->used -= it->size;
	it->size = 0;
	it->pins = 0;
	it->next = s->spare;
	s->spare = it;
	(void)pthread_cond_broadcast(&s->settled);
	(void)pthread_mutex_unlock(&s->lock);
}

struct shelf_item *
shelf_peek(struct shelf *s, uint32_t number)
{
	struct shelf_item *it = NULL;

	(void)pthread_mutex_lock(&s->lock);
	if (number < s->count)
		it = s->all[number];
	if (it != NULL && (!it->ready || !it->listed))
		it = NULL;
	if (it != NULL)
		pin(s, it);
	(void)pthread_mutex_unlock(&s->lock);
	return it;
}

void
shelf_release(struct shelf *s, struct shelf_item *it)
{
	struct victims v = { NULL };

	(void)pthread_mutex_lock(&s->lock);
	if (--it->pins == 0) {
		if (it->listed)
			put_newest(s, it);
		else
			retire(s, it, &v);
		make_room(s, 0, &v);
	}
	(void)pthread_mutex_unlock(&s->lock);
	drop_victims(s, &v);
}

void
shelf_purge(struct shelf *s)
{
	struct victims v = { NULL };
	struct shelf_item *it;
	uint32_t i;

	(void)pthread_mutex_lock(&s->lock);
	for (i = 0; i < s->count; i++) {
		it = s->all[i];
		if (!it->listed)
			continue;
		if (it->pins > 0) {
			unlist_item(s, it);
			continue;
		}
		leave_unused(s, it);
		retire(s, it, &v);
	}
	/* Who waits for an item that is no longer listed makes his own. */
	(void)pthread_cond_broadcast(&s->settled);
	(void)pthread_mutex_unlock(&s->lock);
	drop_victims(s, &v);
}

void *
shelf_value(const struct shelf_item *it)
{
	return it->value;
}

const struct shelf_key *
shelf_item_key(const struct shelf_item *it)
{
	return &it->key;
}

uint32_t
shelf_number(const struct shelf_item *it)
{
	return it->number;
}

size_t
shelf_used(struct shelf *s)
{
	size_t used;

	(void)pthread_mutex_lock(&s->lock);
	used = s->used;
	(void)pthread_mutex_unlock(&s->lock);
	return used;
}
