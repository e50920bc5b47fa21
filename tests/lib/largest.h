/*
 * largest - the largest piece of memory that was asked for.
 */
#ifndef ASOF_TESTS_LIB_LARGEST_H
#define ASOF_TESTS_LIB_LARGEST_H

#include "base/mem.h"

static size_t largest_size;

static inline bool
largest_note(size_t size)
{
	if (size > largest_size)
		largest_size = size;
	return false;
}

/* From now on; mem_fail(NULL) ends it. */
static inline void
largest_begin(void)
{
	largest_size = 0;
	mem_fail(largest_note);
}

#endif
