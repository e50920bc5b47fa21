/*
 * filemap - which chunks and holes make up a file (doc/format.md, section 7).
 *
 * The builder joins equal neighbours into runs, different ones of equal
 * length into rows, and holes with holes; few items stay inside the entry,
 * more become a split tree of nodes in which one changed chunk rewrites one
 * path.  The reader seeks by offset without walking the map.
 */
#ifndef ASOF_ENGINE_FILEMAP_H
#define ASOF_ENGINE_FILEMAP_H

#include "src/engine/entry.h"
#include "store/chunk.h"
#include "store/split.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum map_tag { MAP_CHUNK = 1, MAP_RUN = 2, MAP_HOLE = 3, MAP_ROW = 4 };

/*
 * A row covers at most one cell of a grid of so many chunks, counted from the
 * start of the file, so that a row is a node item like others and a change
 * in front of it does not move its ends.
 */
#define MAP_ROW_MAX 64

struct filemap_builder;
int filemap_builder_new(struct chunk_sink *sink, struct filemap_builder **out,
			struct err *e);
void filemap_builder_start(struct filemap_builder *b, enum map_kind kind,
			   unsigned cls);

/*
 * The file's next piece: 1 ... CHUNK_LEN_MAX bytes of a chunk, or a hole (one
 * of no bytes is left out).  After a failure only start, or free.
 */
int filemap_add_chunk(struct filemap_builder *b, const struct id *id,
		      uint32_t len, struct err *e);
int filemap_add_hole(struct filemap_builder *b, uint64_t len, struct err *e);

/* `count` pieces of one chunk, one behind the other. */
int filemap_add_run(struct filemap_builder *b, const struct id *id,
		    uint32_t len, uint64_t count, struct err *e);

/*
 * A leaf of another map as it is, for `len` bytes of the file.  No hole may
 * then stand at both sides of its borders, and as nobody has looked into it,
 * the map's holes have to be said before the end (filemap_say_holes).
 */
int filemap_add_leaf(struct filemap_builder *b, const struct id *leaf,
		     uint64_t len, struct err *e);
void filemap_say_holes(struct filemap_builder *b, uint64_t bytes);

/*
 * Finish the file: *out describes it and borrows the builder's memory until
 * the next start; *size is the sum of all lengths.
 */
int filemap_finish(struct filemap_builder *b, struct content *out,
		   uint64_t *size, struct err *e);
void filemap_builder_free(struct filemap_builder *b);

/* One piece of a file, as the reader gives it. */
struct extent {
	uint64_t offset; /* in the file */
	uint64_t len;
	bool hole;
	struct id id;      /* data: the chunk, all `len` bytes of it */
	uint64_t repeat;   /* data: this and so many more equal pieces follow
			      (the rest of a run); they are also returned */
};

struct filemap_iter {
	struct chunk_reader *reader;
	struct content content;
	uint64_t size;
	struct filemap_level {
		struct chunk chunk;
		struct rd items; /* all of them, to begin again */
		struct rd rest;  /* those not yet passed */
		uint64_t count, items_left;
		uint64_t start, end; /* of the node in the file */
		uint64_t offset;     /* of the next item */
		uint8_t level;
	} level[SPLIT_LEVELS_MAX + 1]; /* the root first */
	unsigned depth;
	/* The item being given out. */
	uint8_t tag;
	uint64_t count, item_len; /* pieces left of it, length of each */
	const uint8_t *ids;
	uint64_t offset;   /* of the next piece */
	uint64_t hole_end; /* of the last hole passed, else UINT64_MAX */
	uint64_t walked;   /* to here without a gap, from 0 */
	uint64_t holes;    /* bytes of holes before that */
};

/*
 * Stands at offset 0.  `content` must outlive the iterator where it is
 * inline.  After a failed init there is nothing to clear; after a failed next
 * or seek, seek elsewhere or clear.  Where next would say that here is the
 * end, and every item was given out before, it fails instead if the content
 * counts other holes; what only wants bytes need not ask.
 */
int filemap_iter_init(struct filemap_iter *it, struct chunk_reader *r,
		      const struct content *content, uint64_t size,
		      struct err *e);

/*
 * The next piece returned is the one that holds `offset`; at or beyond the
 * size, none.
 */
int filemap_iter_seek(struct filemap_iter *it, uint64_t offset, struct err *e);
int filemap_iter_next(struct filemap_iter *it, struct extent *out,
		      struct err *e); /* 1 a piece, 0 end, -1 failed */
void filemap_iter_clear(struct filemap_iter *it);

/*
 * The leaf that holds `offset`, without a look into it: 1; or 0 where the map
 * has no inner nodes, or at its end.  The iterator then stands nowhere: seek.
 */
struct filemap_leaf {
	struct id id;
	uint64_t start, end; /* in the file */
};
int filemap_leaf_at(struct filemap_iter *it, uint64_t offset,
		    struct filemap_leaf *out, struct err *e);

/*
 * Check that inline items parse, add up and are canonical; entry_decode
 * calls it.  `r` is advanced behind them, *holes is their bytes of holes.
 */
bool filemap_items_ok(struct rd *r, unsigned count, uint64_t size,
		      uint64_t *holes);

#endif
