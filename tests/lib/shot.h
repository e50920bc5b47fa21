/*
 * shot - a small directory tree, held in memory.
 *
 * Directories and regular files, their names and bytes and nothing else: what
 * a disk or a cache looks like at one moment, to be compared, spoilt and put
 * back.  What cannot be read or written ends the program: a test that goes on
 * without its scene would pass.
 */
#ifndef ASOF_TESTS_SHOT_H
#define ASOF_TESTS_SHOT_H

#include "tests/lib/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shot_file {
	char *path; /* below the top; a directory before what is in it */
	bool dir;
	uint8_t *p;
	size_t len;
};

struct shot {
	struct shot_file *file;
	size_t count;
};

/* Add one; path and bytes are copied. */
void shot_add(struct shot *s, const char *path, bool dir, const void *p,
	      size_t len);

/* All that is below `top`; nothing when that is not there. */
void shot_take(struct shot *s, const char *top);

/* Make `top` and put all of it below; what is there already is removed. */
void shot_put(const struct shot *s, const char *top);

/* Remove a tree, which may be missing. */
void shot_remove(const char *top);

/* All that a has, each file from a or b, by lot. */
void shot_mix(const struct shot *a, const struct shot *b, struct rng *r,
	      struct shot *out);

/* Flip, clear, cut off or lengthen some of the files. */
void shot_spoil(struct shot *s, struct rng *r);

uint64_t shot_digest(const struct shot *s);
void shot_clear(struct shot *s);

#endif
