/*
 * inventory - every chunk that is in the packs, by the packs' own
 * directories, and what is known of each: whether it is used, whether it is
 * damaged.
 *
 * For check, which must not believe the index.  About 18 bytes a chunk.
 * One thread at a time.
 */
#ifndef ASOF_ENGINE_INVENTORY_H
#define ASOF_ENGINE_INVENTORY_H

#include "store/id.h"
#include "store/pack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct damage;
struct err;
struct inventory;
struct repository;

struct inventory_pack {
	struct pack_id id;
	uint64_t len;
	uint64_t first; /* number of its first chunk in the inventory */
	uint32_t chunks;
	bool unreadable; /* no part of it */
	bool told;       /* it has damage that was told already */
};

/*
 * Load the directories of all packs, in the order of their ids.  Damage is
 * told to `bad` (`why` is its sentence) and does not stop it.  Chunks in
 * frames that were found damaged before (`noted`) are damaged.
 */
typedef void (*inventory_bad_fn)(void *ctx, const struct pack_id *id,
				 const struct err *why);
int inventory_load(const struct repository *r, struct damage *noted,
		   inventory_bad_fn bad, void *ctx, struct inventory **out,
		   struct err *e);
void inventory_free(struct inventory *v);

size_t inventory_packs(const struct inventory *v);
const struct inventory_pack *inventory_pack(const struct inventory *v,
					    size_t i);
bool inventory_knows(const struct inventory *v, const struct pack_id *id);
uint64_t inventory_chunks(const struct inventory *v);

/*
 * Note that the chunk is used: the copy of it in the lowest pack that is not
 * damaged.  Chunks are told apart by 64 bits of their ids: that a missing
 * one passes for another has a chance of one in 2^64 per chunk stored.
 */
enum chunk_state {
	CHUNK_GOOD,
	CHUNK_DAMAGED,
	CHUNK_MISSING
};
enum chunk_state inventory_use(struct inventory *v, const struct id *id);

/* The copy of the chunk in this pack is damaged. */
void inventory_damaged(struct inventory *v, size_t pack, const struct id *id);

/* The pack is going to be verified: nothing in it is damaged yet. */
void inventory_sound(struct inventory *v, size_t pack);

/*
 * Find out, once all damage and all use is known, which damaged chunks have
 * another copy that is good.
 */
int inventory_settle(struct inventory *v, struct err *e);

/* After that, what becomes of a damaged chunk, by its slot. */
enum chunk_loss {
	LOSS_REPLACED, /* there is a good copy */
	LOSS_UNUSED,   /* nothing that was noted as used needs it */
	LOSS_REAL
};
enum chunk_loss inventory_loss(const struct inventory *v, size_t pack,
			       uint32_t slot);

/* Is anything in the pack used? */
bool inventory_pack_used(const struct inventory *v, size_t pack);

/* The stored bytes of chunks that are not used; reads directories again. */
int inventory_unused(const struct inventory *v, const struct repository *r,
		     uint64_t *bytes, struct err *e);

#endif
