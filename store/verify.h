/*
 * verify - reading packs whole and comparing everything in them.
 *
 * What `check` runs over the packs: footer, directory blocks, every frame
 * decoded, every chunk compared with its id.
 */
#ifndef ASOF_STORE_VERIFY_H
#define ASOF_STORE_VERIFY_H

#include "store/id.h"
#include "store/pack.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct repository;

/* One damaged thing.  `id` is NULL when a whole pack or block is bad. */
struct verify_damage {
	struct pack_id pack;
	const struct id *id;
	uint32_t slot, frame_offset; /* of the chunk, if it is one */
	const char *text;            /* what is wrong, a sentence */
};
typedef int (*verify_damage_fn)(void *ctx, const struct verify_damage *d,
				struct err *e);

struct verify_counts {
	uint64_t packs, frames, chunks, bytes, damaged;
};

/*
 * Verify one pack.  Damage is told to fn (serialised by the caller's own
 * means); -1 only when fn says so or the machine fails.  Bytes that differ at a
 * second reading are damage too.  Any thread, with a coder of its own.
 */
int verify_pack(const struct repository *r, const struct pack_id *id,
		struct frame_coder *c, verify_damage_fn fn, void *ctx,
		struct verify_counts *counts, struct err *e);

#endif
