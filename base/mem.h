/*
 * mem - the allocator: malloc with overflow checks and a place to fail.
 *
 * All of asof's own allocations come through here, so that a test can make
 * any single one fail (mem_fail).  Libraries use their own.  Nothing aborts:
 * NULL means out of memory.  mem_free takes NULL.  Any thread.
 */
#ifndef ASOF_BASE_MEM_H
#define ASOF_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, warn_unused_result));
void *mem_zalloc(size_t size) __attribute__((malloc, warn_unused_result));

/* n elements of `size` bytes, zeroed; NULL too when n * size overflows. */
void *mem_array(size_t n, size_t size)
	__attribute__((malloc, warn_unused_result));

/* Like realloc to n * size bytes; on NULL `p` is untouched. */
void *mem_resize(void *p, size_t n, size_t size)
	__attribute__((warn_unused_result));

char *mem_strdup(const char *s) __attribute__((malloc, warn_unused_result));

/* A copy of `len` bytes with a NUL behind them. */
char *mem_dup(const void *p, size_t len)
	__attribute__((malloc, warn_unused_result));

void mem_free(void *p);
/* A list of n of these, and the list; NULL when n is 0. */
void mem_free_list(char **v, size_t n);

/*
 * For tests: asked before every allocation; true makes it fail.  NULL (the
 * default) switches the hook off.  Must be thread-safe.
 */
typedef bool (*mem_fail_fn)(size_t size);
void mem_fail(mem_fail_fn fn);

#endif
