/*
 * inomap - what is known of an inode, by file system and number.
 *
 * A table in memory of those that have several names: the first name that
 * comes leaves word for the others.  One thread at a time.
 */
#ifndef ASOF_ENGINE_INOMAP_H
#define ASOF_ENGINE_INOMAP_H

#include <stddef.h>
#include <stdint.h>

struct err;

/* All-zero: empty. */
struct inomap {
	struct inomap_slot {
		uint64_t fs, ino;
		void *value; /* NULL: a free slot */
	} *slot;
	size_t cap, count;
};

/* NULL: nothing is known. */
void *inomap_get(const struct inomap *m, uint64_t fs, uint64_t ino);

/* `value` is not NULL, borrowed, and replaces what is there.  -1: no memory. */
int inomap_put(struct inomap *m, uint64_t fs, uint64_t ino, void *value,
	       struct err *e);

/* Forget one; what was never known is no matter. */
void inomap_drop(struct inomap *m, uint64_t fs, uint64_t ino);

/*
 * Make a list of it: its first slots in order of file system and number.
 * Returns how many they are; after this it can only be cleared.
 */
size_t inomap_sort(struct inomap *m);

/* Free the table, not the values: the caller goes through the slots first. */
void inomap_clear(struct inomap *m);

#endif
