/*
 * split - where a sequence of node items is cut (doc/format.md, section 9).
 *
 * The chunker's rule over the hashes of items.
 */
#ifndef ASOF_STORE_SPLIT_H
#define ASOF_STORE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPLIT_MIN  64
#define SPLIT_MAX  192
#define SPLIT_LEVELS_MAX 8

/*
 * How many of the n items with these hashes form the first node, or 0 when
 * more items are needed to say (never when `last`).  n >= 1.
 */
size_t split_cut(const uint32_t *hashes, size_t n, bool last);

#endif
