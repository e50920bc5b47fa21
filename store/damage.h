/*
 * damage - notes of what `check` found damaged in packs.
 *
 * A note is a small file damaged/PACKID that lists bad frames of one pack
 * (doc/format.md, section 15).  What lies in a noted frame counts as not
 * stored for new references, so that the next backup stores it anew; it may
 * still be read, after all other copies.
 *
 * A set is what damaged/ said when it was last looked at.  Any thread, but
 * for damage_new, damage_free, and damage_refresh: one of these at a time.
 */
#ifndef ASOF_STORE_DAMAGE_H
#define ASOF_STORE_DAMAGE_H

#include "store/pack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct damage;
struct err;
struct repository;

/* More bad frames than this in one pack: all of it is suspect. */
#define DAMAGE_FRAMES_MAX 65536

/* --- one note --------------------------------------------------------------- */

struct damage_note {
	struct pack_id pack;
	bool whole;   /* every frame is suspect; then count is 0 */
	uint32_t *at; /* offsets of bad frames, rising; the note's own */
	size_t count;
};

/* Appends the file's bytes; the note's offsets must rise. */
int damage_encode(const struct damage_note *n, struct buf *out, struct err *e);

/*
 * The note of `pack` from its file's bytes.  ERR_CORRUPT, or ERR_UNSUPPORTED
 * for one of a newer program.
 */
int damage_decode(const void *p, size_t len, const struct pack_id *pack,
		  struct damage_note *out, struct err *e);
void damage_note_clear(struct damage_note *n);

/*
 * Note another bad frame, in any order and as often as one likes; past
 * DAMAGE_FRAMES_MAX the note is of the whole pack.
 */
int damage_note_add(struct damage_note *n, uint32_t offset, struct err *e);

/*
 * Make the note durable, in the place of the one that there is; an empty
 * one removes it.  A note of a newer program stays: ERR_UNSUPPORTED.
 */
int damage_put(const struct repository *r, const struct damage_note *n,
	       struct err *e);

/* --- all of them ------------------------------------------------------------ */

/* An empty set; `r` is borrowed. */
int damage_new(const struct repository *r, struct damage **out, struct err *e);
void damage_free(struct damage *d);

/*
 * Look at damaged/ again unless it has not changed.  Fails only with
 * ERR_NOMEM: a note that cannot be read makes its pack suspect, and see
 * damage_references.
 */
int damage_refresh(struct damage *d, struct err *e);

/*
 * Fail when damaged/ is there and its names could not be listed: whoever
 * makes new references asks this.
 */
int damage_references(struct damage *d, struct err *e);

/* May what lies in the frame at this offset be damaged? */
bool damage_suspect(struct damage *d, const struct pack_id *pack,
		    uint32_t offset);

/*
 * This process has met damage in the frame: from now on, for this process, it
 * is suspect as if a note said so.  Nothing is written.
 */
void damage_meet(struct damage *d, const struct pack_id *pack,
		 uint32_t offset);

/* Was just this frame found damaged?  (Not: all that is in its pack.) */
bool damage_found(struct damage *d, const struct pack_id *pack,
		  uint32_t offset);

/* Packs that have a note: copies, in the order of their ids; mem_free. */
struct damage_pack {
	struct pack_id id;
	bool unread; /* the note cannot be read */
};
int damage_packs(struct damage *d, struct damage_pack **out, size_t *count,
		 struct err *e);

/* Is there a note of this pack, readable or not? */
bool damage_noted(struct damage *d, const struct pack_id *pack);

#endif
