/*
 * bsearch does not say where something would stand.
 */
#include "base/sorted.h"

size_t
sorted_place(const void *key, const void *v, size_t n, size_t size,
	     int (*cmp)(const void *key, const void *element), bool *found)
{
	size_t lo = 0;
	size_t hi = n;
	size_t mid;
	int c;

	*found = false;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		c = cmp(key, (const char *)v + mid * size);
		if (c == 0)
			*found = true;
		if (c <= 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}
