/*
 * damage - every single byte of a stored node wrong once, and every
 * allocation failing once, for tests that include cmocka.
 */
#ifndef ASOF_TESTS_LIB_DAMAGE_H
#define ASOF_TESTS_LIB_DAMAGE_H

#include "base/mem.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/memstore.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Reads what is to be read with a damaged node; 0 all well, -1 refused. */
typedef int (*damage_fn)(void *ctx);

/*
 * Serve `node` with each byte changed to all other values (then use must
 * fail, if `must_fail`), and with each possible end cut off (then it must
 * fail always); at last as it was.
 */
static inline void
damage_node(struct memstore *m, const struct id *node, damage_fn use, void *ctx,
	    bool must_fail)
{
	size_t len;
	const uint8_t *p = memstore_bytes(m, node, &len);
	uint8_t *copy = malloc(len);

	assert_non_null(copy);
	memcpy(copy, p, len);
	for (size_t at = 0; at < len; at++) {
		for (unsigned flip = 1; flip < 256; flip++) {
			copy[at] ^= (uint8_t)flip;
			memstore_replace(m, node, copy, len);
			if (use(ctx) >= 0 && must_fail)
				fail_msg("byte %zu flipped by %u: taken", at,
					 flip);
			assert_int_equal(m->held, 0);
			copy[at] ^= (uint8_t)flip;
		}
	}
	for (size_t cut = 0; cut < len; cut++) {
		memstore_replace(m, node, copy, cut);
		assert_int_equal(use(ctx), -1);
		assert_int_equal(m->held, 0);
	}
	memstore_replace(m, node, copy, len);
	assert_int_equal(use(ctx), 0);
	free(copy);
}

static atomic_int damage_allocations;

static inline bool
damage_must_fail(size_t size)
{
	(void)size;
	return atomic_fetch_sub(&damage_allocations, 1) <= 0;
}

/*
 * Call `use` with the first allocation failing, then the second ..., until
 * it succeeds: 0.  It says itself that each failure was ERR_NOMEM.
 */
static inline void
damage_memory(damage_fn use, void *ctx)
{
	int rc = -1;

	for (int n = 0; rc < 0; n++) {
		assert_true(n < 10000);
		damage_allocations = n;
		mem_fail(damage_must_fail);
		rc = use(ctx);
		mem_fail(NULL);
	}
}

#endif
