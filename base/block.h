/*
 * block - large pieces of memory, used again and again.
 *
 * What malloc gets from the kernel it gives back at once, and the next user
 * pays a page fault for every 4 KiB: a fifth of the time of a restore.  Here
 * a few megabytes of what was given back wait for the next user.
 *
 * Any thread.  With address sanitizer, nothing is kept, so that it sees the
 * use of what was given back.
 */
#ifndef ASOF_BASE_BLOCK_H
#define ASOF_BASE_BLOCK_H

#include <stddef.h>

/* At least `len` bytes, with anything in them.  NULL: out of memory. */
void *block_get(size_t len) __attribute__((warn_unused_result));

/* Give back what block_get returned for this length.  `p` may be NULL. */
void block_free(void *p, size_t len);

/* How many bytes wait at most. */
#define BLOCK_KEPT_MAX ((size_t)8 << 20)

/* Bytes that wait now. */
size_t block_kept(void);

#endif
