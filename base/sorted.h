/*
 * sorted - finding a place in an array that is in order.
 */
#ifndef ASOF_BASE_SORTED_H
#define ASOF_BASE_SORTED_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The index of the element that is equal to the key; of several, the first.
 * Without one, where it would stand, and *found is false.  `cmp` as bsearch's:
 * the key comes first.  Any thread.
 */
size_t sorted_place(const void *key, const void *v, size_t n, size_t size,
		    int (*cmp)(const void *key, const void *element),
		    bool *found);

#endif
