/*
 * rng - random numbers for tests, the same everywhere and every time.
 */
#ifndef ASOF_TESTS_LIB_RNG_H
#define ASOF_TESTS_LIB_RNG_H

#include <stddef.h>
#include <stdint.h>

/* xorshift64*; any seed but 0. */
struct rng {
	uint64_t state;
};

static inline uint64_t
rng_next(struct rng *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * UINT64_C(2685821657736338717);
}

/* 0 ... n - 1; 0 of none. */
static inline uint64_t
rng_below(struct rng *r, uint64_t n)
{
	return n > 0 ? (rng_next(r) >> 11) % n : 0;
}

static inline void
rng_fill(struct rng *r, void *p, size_t n)
{
	uint8_t *b = p;

	while (n-- > 0)
		*b++ = (uint8_t)(rng_next(r) >> 32);
}

#endif
