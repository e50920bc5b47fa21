/*
 * A request for no bytes gets one, so that NULL always means "out of
 * memory".
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/mem.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static _Atomic(mem_fail_fn) fail_hook;

static bool
must_fail(size_t size)
{
	mem_fail_fn fn = atomic_load_explicit(&fail_hook, memory_order_acquire);

	return fn != NULL && fn(size);
}

void *
mem_alloc(size_t size)
{
	if (must_fail(size))
		return NULL;
	return malloc(size > 0 ? size : 1);
}

void *
mem_zalloc(size_t size)
{
	return mem_array(1, size);
}

void *
mem_array(size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total) || must_fail(total))
		return NULL;
	return calloc(1, total > 0 ? total : 1);
}

void *
mem_resize(void *p, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total) || must_fail(total))
		return NULL;
	return realloc(p, total > 0 ? total : 1);
}

char *
mem_strdup(const char *s)
{
	return mem_dup(s, strlen(s));
}

char *
mem_dup(const void *p, size_t len)
{
	char *out;

	if (len == SIZE_MAX)
		return NULL;
	out = mem_alloc(len + 1);
	if (out == NULL)
		return NULL;
	if (len > 0)
		memcpy(out, p, len);
	out[len] = '\0';
	return out;
}

void
mem_free(void *p)
{
	free(p);
}

void
mem_free_list(char **v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		mem_free(v[i]);
	mem_free(v);
}

void
mem_fail(mem_fail_fn fn)
{
	atomic_store_explicit(&fail_hook, fn, memory_order_release);
}
