/*
 * tree - a directory as stored: sorted entries in split nodes
 * (doc/format.md, section 8).
 *
 * The builder takes entries in order of name and puts nodes into a sink; the
 * reader finds names and positions by loading only the nodes on the way.
 * Nodes are untrusted: order, counts, depth and levels are checked where
 * they are loaded.
 */
#ifndef ASOF_ENGINE_TREE_H
#define ASOF_ENGINE_TREE_H

#include "src/engine/entry.h"
#include "store/chunk.h"
#include "store/split.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define TREE_NODE_ITEMS_MAX 4096

/* --- building ------------------------------------------------------------ */

struct tree_builder;
int tree_builder_new(struct chunk_sink *sink, struct tree_builder **out,
		     struct err *e);

/*
 * Add an entry, by its encoded bytes (en->bytes) if it has them, else
 * encoding it.  Names must rise; ERR_CORRUPT otherwise (a broken file system
 * may list a name twice: the caller drops it).  After this and after
 * ERR_SOURCE from entry_encode others can be added; after any other failure
 * the directory cannot be finished.
 */
int tree_builder_add(struct tree_builder *b, const struct entry *en,
		     struct err *e);

/*
 * Put the last nodes.  In every case the builder is empty after it and can be
 * used again.
 */
int tree_builder_finish(struct tree_builder *b, struct tree_root *out,
			struct err *e);
void tree_builder_free(struct tree_builder *b);

/* --- reading ------------------------------------------------------------- */

/* An entry with what keeps its bytes alive. */
struct tree_hit {
	struct chunk_reader *reader;
	struct chunk chunk;
	struct entry entry;
	uint64_t position; /* in the directory, from 0 */
	uint64_t before;   /* inodes of the entries before it */
};
void tree_hit_clear(struct tree_hit *h);

/* By name; 1 when there is none. */
int tree_find(struct chunk_reader *r, const struct id *root, const void *name,
	      size_t len, struct tree_hit *out, struct err *e);

/*
 * The entry that covers the inode at `offset` >= 0 in preorder beneath this
 * directory: out->before <= offset < out->before + entry_inodes.  1 beyond
 * the end.
 */
int tree_find_inode(struct chunk_reader *r, const struct id *root,
		    uint64_t offset, struct tree_hit *out, struct err *e);

/*
 * Entries in order from position `start`.  The entry is valid until the next
 * call.  next: 1 an entry, 0 end, -1 failed.  `position` and `before` are
 * those of the entry returned last.  Nodes are checked whole as they are
 * reached; after a failed init there is nothing to clear, after a failed next
 * or seek only clear may follow.
 */
struct tree_iter {
	struct chunk_reader *reader;
	struct tree_level {
		struct chunk chunk;
		struct id id;
		struct rd rest; /* items not yet passed */
		uint64_t items_left;
		uint8_t level;
		const uint8_t *upper; /* its names are below this, or NULL */
		size_t upper_len;
	} level[SPLIT_LEVELS_MAX + 1]; /* the root first */
	unsigned depth; /* levels in use */
	uint64_t position, before;
	uint64_t next_position, next_before;
};
int tree_iter_init(struct tree_iter *it, struct chunk_reader *r,
		   const struct id *root, uint64_t start, struct err *e);
int tree_iter_next(struct tree_iter *it, struct entry *out, struct err *e);

/* Skip to the first name >= this one, forwards only. */
int tree_iter_seek(struct tree_iter *it, const void *name, size_t len,
		   struct err *e);
void tree_iter_clear(struct tree_iter *it);

#endif
