/*
 * shelf - a cache with a limit: things made from a pack, by their place in it.
 *
 * Open packs, directory blocks and decoded frames each stand on one.  A thing
 * is made by the first who asks for it; others who ask meanwhile wait.  It is
 * pinned while somebody uses it and thrown away, least recently used first and
 * what is cheap before all, when nobody does and the limit is passed.  Making
 * and using happen outside the shelf's lock.
 *
 * Any thread.  Whoever has an empty place (SHELF_EMPTY) must not take another
 * from the same shelf before filling or abandoning it: two such could wait for
 * each other.
 */
#ifndef ASOF_STORE_SHELF_H
#define ASOF_STORE_SHELF_H

#include "store/pack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct shelf;
struct shelf_item;

/* Where in the repository it comes from; `at` is what the user likes. */
struct shelf_key {
	struct pack_id pack;
	uint32_t at;
};

/* Undoes what was filled in; called without the lock. */
typedef void (*shelf_drop_fn)(void *value);

int shelf_new(size_t limit, shelf_drop_fn drop, struct shelf **out,
	      struct err *e);

/* Drops everything; nothing may be pinned.  Takes NULL. */
void shelf_free(struct shelf *s);

/*
 * Pin the item of this key.  SHELF_READY: it is there.  SHELF_EMPTY: the
 * caller has to make it, and then call shelf_fill or shelf_abandon; `size` is
 * what it will take, for which room is made now.  -1: out of memory.
 */
enum {
	SHELF_READY = 0,
	SHELF_EMPTY = 1
};
int shelf_take(struct shelf *s, const struct shelf_key *key, size_t size,
	       struct shelf_item **out, struct err *e);

/*
 * It is made, takes `size` bytes, and belongs to the shelf; still pinned.  Of
 * what is `cheap` to make again little is kept, a fourth of the limit.
 */
void shelf_fill(struct shelf *s, struct shelf_item *it, void *value,
		size_t size, bool cheap);

/* It could not be made; no longer pinned.  Those who wait try themselves. */
void shelf_abandon(struct shelf *s, struct shelf_item *it);

/*
 * Pin whatever item has this number now, NULL when it has none.  Numbers are
 * small, and given to other things later: the caller checks what he got.
 */
struct shelf_item *shelf_peek(struct shelf *s, uint32_t number);

/* No longer pinned by the caller. */
void shelf_release(struct shelf *s, struct shelf_item *it);

/* Forget everything: what is pinned goes when it is released. */
void shelf_purge(struct shelf *s);

/* Of a pinned, filled item. */
void *shelf_value(const struct shelf_item *it);
const struct shelf_key *shelf_item_key(const struct shelf_item *it);
uint32_t shelf_number(const struct shelf_item *it);

/* Bytes that stand there now, pinned or not. */
size_t shelf_used(struct shelf *s);

#endif
