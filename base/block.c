/*
 * block.c
 *
 * Lengths are rounded up to STEP, so that frames of nearly a megabyte stand
 * in for each other.  All that waits is in one list, last returned first;
 * a request takes the first of its size, and what is too much goes from the
 * end, so the kept sizes follow the use.  The list is short: 100 blocks of the
 * smallest size.  What is shorter than STEP is malloc's business.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/block.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdint.h>

#define STEP ((size_t)64 << 10)

#if defined(__SANITIZE_ADDRESS__)
#define KEEP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEP 0
#endif
#endif
#ifndef KEEP
#define KEEP 1
#endif

/* In the first bytes of a block that waits. */
struct waiting {
	struct waiting *next, *prev;
	size_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct waiting *newest, *oldest; /* lock */
static size_t kept;                     /* lock */

/* 0 when the sum overflows: larger than any block that exists. */
static size_t
size_of(size_t len)
{
	return len > SIZE_MAX - STEP ? 0 : (len + STEP - 1) / STEP * STEP;
}

static void
unlink_locked(struct waiting *w)
{
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		newest = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	else
		oldest = w->prev;
	kept -= w->size;
}

void *
block_get(size_t len)
{
	size_t size = size_of(len);
	struct waiting *w;

	if (len < STEP)
		return mem_alloc(len);
	if (size == 0)
		return NULL;
	(void)pthread_mutex_lock(&lock);
	for (w = newest; w != NULL && w->size != size; w = w->next)
		;
	if (w != NULL)
		unlink_locked(w);
	(void)pthread_mutex_unlock(&lock);
	return w != NULL ? w : mem_alloc(size);
}

void
block_free(void *p, size_t len)
{
	size_t size = size_of(len);
	struct waiting *w = p, *old;

	if (p == NULL || len < STEP || !KEEP || size > BLOCK_KEPT_MAX) {
		mem_free(p);
		return;
	}
	w->size = size;
	w->prev = NULL;
	(void)pthread_mutex_lock(&lock);
	w->next = newest;
	if (newest != NULL)
		newest->prev = w;
	else
		oldest = w;
	newest = w;
	kept += size;
	while (kept > BLOCK_KEPT_MAX) {
		old = oldest;
		unlink_locked(old);
		(void)pthread_mutex_unlock(&lock);
		mem_free(old);
		(void)pthread_mutex_lock(&lock);
	}
	(void)pthread_mutex_unlock(&lock);
}

size_t
block_kept(void)
{
	size_t n;

	(void)pthread_mutex_lock(&lock);
	n = kept;
	(void)pthread_mutex_unlock(&lock);
	return n;
}
