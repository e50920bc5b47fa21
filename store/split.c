/*
 * split.c
 *
 * A node ends before the item with the smallest hash among the allowed
 * places, so a changed item moves the ends of its own node and perhaps of
 * the next, and no others.  At most SPLIT_MAX + 1 hashes are looked at.
 */
#include "store/split.h"

size_t
split_cut(const uint32_t *hashes, size_t n, bool last)
{
	size_t at = SPLIT_MIN;

	if (n <= SPLIT_MAX)
		return last ? n : 0;
	for (size_t i = SPLIT_MIN + 1; i <= SPLIT_MAX; i++)
		if (hashes[i] < hashes[at])
			at = i;
	return at;
}
