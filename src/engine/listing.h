/*
 * listing - the entries of a stored directory in order, going on behind
 * damage.
 *
 * For those that must get at whatever can still be had (restore, check):
 * where a node of a large directory is damaged, the names in it are passed
 * over and counted, and the rest is given.  One thread.
 */
#ifndef ASOF_ENGINE_LISTING_H
#define ASOF_ENGINE_LISTING_H

#include "src/engine/tree.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct listing {
	struct chunk_reader *reader;
	struct id root;
	uint64_t entries; /* as promised by who named the root */
	uint64_t next;    /* position of the entry that comes next */
	struct tree_iter it;
	bool open; /* `it` is in use */
	bool ended;
};

/* The place can be left and taken up again: clear, and init with `next`. */
void listing_init(struct listing *l, struct chunk_reader *r,
		  const struct tree_root *dir, uint64_t start);
void listing_clear(struct listing *l);

/*
 * The next entry, valid until the next call.  Returns 1 with an entry, 0 at
 * the end, 2 when *lost names cannot be read (*e says why; go on), -1 when
 * the machine failed.
 */
int listing_next(struct listing *l, struct entry *out, uint64_t *lost,
		 struct err *e);

#endif
