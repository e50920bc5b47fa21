/*
 * idset - a set of chunk ids in memory.
 *
 * About 50 to 100 bytes an id.  All-zero is an empty set.  One thread at a
 * time.
 */
#ifndef ASOF_STORE_IDSET_H
#define ASOF_STORE_IDSET_H

#include "store/id.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

struct idset {
	struct id *slot; /* cap of them; an all-zero id is a free slot */
	size_t cap;      /* a power of two, or 0 */
	size_t count;
	bool has_zero; /* the all-zero id itself, which no slot can hold */
};

void idset_clear(struct idset *s);
bool idset_has(const struct idset *s, const struct id *id);

/* 0 added, 1 it was there already, -1 out of memory. */
int idset_add(struct idset *s, const struct id *id, struct err *e);

/* Does nothing when it is not there.  Gives memory back when nearly empty. */
void idset_remove(struct idset *s, const struct id *id);

#endif
