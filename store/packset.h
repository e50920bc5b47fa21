/*
 * packset - the packs that an index knows, by number and by id.
 *
 * Numbers below CATALOGUE_NUMBERS come from the catalogue; the others are
 * private to this process (index.c).  An all-zero set is empty.  Readers of
 * a set that is not being changed: any thread.
 */
#ifndef ASOF_STORE_PACKSET_H
#define ASOF_STORE_PACKSET_H

#include "store/pack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct known_pack {
	struct pack_id id;
	uint32_t number;
	uint32_t chunks;
	uint64_t len;
	bool listed;  /* in the catalogue */
	bool pending; /* to be listed with the next flush */
	bool gone;    /* packset_sweep removes it */
};

struct packset {
	struct known_pack *v; /* rising by number */
	size_t n, cap;
	uint32_t *by_id; /* positions in v, rising by id; NULL: not sorted */
};

void packset_clear(struct packset *s);

/* Add a pack whose number is not in the set. */
int packset_add(struct packset *s, const struct known_pack *p, struct err *e);

/* The pack of this number, or NULL; the set's, until it changes. */
const struct known_pack *packset_number(const struct packset *s,
					uint32_t number);

/* Put the set in order by id, for the two below; any change undoes it. */
int packset_sort(struct packset *s, struct err *e);

/* The i-th pack in the order of ids; the one with this id, or NULL. */
struct known_pack *packset_at(const struct packset *s, size_t i);
struct known_pack *packset_id(const struct packset *s,
			      const struct pack_id *id);

/* Remove the packs that are marked as gone; their number. */
size_t packset_sweep(struct packset *s);

int pack_id_cmp(const struct pack_id *a, const struct pack_id *b);

#endif
