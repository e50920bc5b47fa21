/*
 * patch - a file put together from its previous version and the ranges of it
 * that may have changed (doc/format.md, section 7).
 *
 * Only these ranges are read.  Chunks of the base that a range touches are cut
 * anew on the fixed grid, what lies beside the range being taken from the
 * base's chunk; all other chunks, and whole leaves of the map, are referred to.
 */
#ifndef ASOF_ENGINE_PATCH_H
#define ASOF_ENGINE_PATCH_H

#include "src/engine/backup_internal.h"
#include "src/engine/claims.h"
#include "src/engine/filemap.h"

struct patch_input {
	int fd;
	uint64_t size; /* of the file now */
	const struct entry *base;
	/* Sorted, apart; there is room for one more, and they are changed. */
	struct claim_range *range;
	size_t ranges;
	bool fixed;    /* kind of the map where the base has none */
};

enum patch_end {
	PATCH_DONE,
	PATCH_LOST,   /* the base cannot be had, or makes no sense */
	PATCH_SHRUNK, /* the file ended sooner than its size said */
	PATCH_ORDER,  /* the ranges are not in order */
};

/*
 * Build the map in *map (started here, to be finished by the caller).  *read is
 * increased by the bytes that were read of the file: those of the ranges, each
 * widened to whole pages, and what is beyond the shorter of the two sizes.
 * Chunks are put by this thread.  -1: the file (ERR_SOURCE), or all else.
 */
int patch_file(struct backup *b, const struct patch_input *in,
	       struct filemap_builder *map, uint64_t *read,
	       enum patch_end *end, struct err *e);

#endif
