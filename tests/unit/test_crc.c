/*
 * The checksum against the value that its definition gives, and against a slow
 * one that goes bit by bit.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/crc.h"

#include "tests/lib/cmocka_all.h"
#include "tests/lib/rng.h"

static uint64_t
slow(const uint8_t *p, size_t len)
{
	uint64_t crc = UINT64_MAX;
	unsigned k;

	for (; len > 0; len--) {
		crc ^= *p++;
		for (k = 0; k < 8; k++)
			crc = (crc >> 1) ^
			      ((crc & 1) != 0 ? UINT64_C(0xc96c5795d7870f42)
					      : 0);
	}
	return ~crc;
}

static void
crc64_is_that_of_xz(void **state)
{
	(void)state;
	assert_true(crc64(0, "123456789", 9) == UINT64_C(0x995dc9bbdf1939fa));
	assert_true(crc64(0, "", 0) == 0);
}

static void
crc64_is_the_same_in_pieces_of_any_size(void **state)
{
	struct rng rng = { 77 };
	uint8_t data[300];
	size_t at;
	size_t len;

	(void)state;
	rng_fill(&rng, data, sizeof(data));
	for (len = 0; len < sizeof(data); len++) {
		uint64_t want = slow(data, len);

		assert_true(crc64(0, data, len) == want);
		at = (size_t)rng_below(&rng, len + 1);
		assert_true(crc64(crc64(0, data, at), data + at, len - at) ==
			    want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc64_is_that_of_xz),
		cmocka_unit_test(crc64_is_the_same_in_pieces_of_any_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
