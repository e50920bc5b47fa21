/*
 * levels - trees of nodes over a sequence of items (doc/format.md, sections
 * 7 to 10).
 *
 * What large directories, file maps, link tables and lists have in common:
 * items come in order, a node is cut where the rules say, and the node
 * becomes an item of the level above, until one node is left.  What an item
 * means is the business of tree.c, filemap.c, links.c and list.c.
 *
 * A builder holds one unfinished node a level.  One thread at a time;
 * loading is for any thread.
 */
#ifndef ASOF_ENGINE_LEVELS_H
#define ASOF_ENGINE_LEVELS_H

#include "base/cursor.h"
#include "store/chunk.h"
#include "store/split.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* --- building ------------------------------------------------------------ */

/* What a node's item in the level above says of all that is beneath. */
struct levels_sum {
	uint64_t items;  /* of the lowest level */
	uint64_t weight; /* inodes or bytes; what the user adds up */
	uint8_t flags;   /* those of any of them */
};

struct levels_item {
	const uint8_t *bytes; /* as it stands in the node */
	size_t len;
	/* The part of `bytes` that an inner item repeats of the first beneath. */
	size_t key_at, key_len;
	uint32_t hash; /* see levels_hash */
	struct levels_sum sum;
};

struct levels_rules {
	enum id_kind kind;
	bool by_content;  /* cut by split.h, else simply when full */
	size_t items_max; /* in one node; SPLIT_MAX by content */
	size_t bytes_max; /* of a node's items, unless it is one alone */
	/* Append the inner item for the node `id`, whose first has this key. */
	void (*put_inner)(const uint8_t *key, size_t key_len,
			  const struct levels_sum *sum, const struct id *id,
			  struct buf *out);
};

struct levels;

/* `rules` and `sink` must outlive it. */
int levels_new(const struct levels_rules *rules, struct chunk_sink *sink,
	       struct levels **out, struct err *e);
void levels_free(struct levels *l);

/* Forget everything added; memory is kept. */
void levels_reset(struct levels *l);

/*
 * Add an item of the lowest level.  Its bytes are copied.  After a failure
 * nothing can be added or finished until levels_reset.
 */
int levels_add(struct levels *l, const struct levels_item *it, struct err *e);

/*
 * End the lowest node here, whatever the rules would say: what is added next
 * begins another one.
 */
int levels_break(struct levels *l, struct err *e);

/*
 * Add a node of the lowest level that is stored already; for trees whose
 * inner items repeat no key.  Breaks first.
 */
int levels_add_node(struct levels *l, const struct id *id,
		    const struct levels_sum *sum, struct err *e);

/*
 * Put what is left, up to the root (an empty node when nothing was added),
 * and reset, also on failure.  *height is the number of levels, from 1.
 */
int levels_finish(struct levels *l, struct id *root, unsigned *height,
		  struct levels_sum *total, struct err *e);

/*
 * The items so far, while they are still in one place and no node was put:
 * true, and they stay valid until the next call with `l`.
 */
bool levels_peek(const struct levels *l, const uint8_t **bytes, size_t *len,
		 size_t *items);

/* The split hash of something that begins with four random bytes. */
static inline uint32_t
levels_hash(const void *p)
{
	const uint8_t *b = p;

	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	       (uint32_t)b[3] << 24;
}

/* --- reading ------------------------------------------------------------- */

#define LEVELS_ANY (-1)

struct levels_node {
	struct chunk chunk; /* to be released by the caller */
	uint8_t level;
	uint64_t count; /* at most one for each byte of `items` */
	struct rd items;
};

/*
 * Load a node and check its front: version, level (`level`, or LEVELS_ANY
 * for a root), a count that can be.  Inner nodes are not empty.
 */
int levels_load(struct chunk_reader *r, enum id_kind kind, const struct id *id,
		int level, struct levels_node *out, struct err *e);

/* ERR_CORRUPT: "tree node 0123456789abcdef: why". */
int levels_bad(enum id_kind kind, const struct id *id, const char *why,
	       struct err *e) __attribute__((cold));

#endif
