/*
 * fuzz_config - a repository's config; its length and checksum are made
 * right, so that the fields are reached.
 *
 * What decodes has only this one encoding.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "store/config.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define HEADER_LEN 40
#define LEN_AT     12
#define SUM_LEN    32

static void
check(const uint8_t *data, size_t size)
{
	struct buf b = { 0 };
	struct config c;
	struct err e = { 0 };

	if (config_decode(data, size, &c, &e) < 0) {
		MUST(e.kind == ERR_CORRUPT || e.kind == ERR_UNSUPPORTED ||
		     e.kind == ERR_USAGE);
		return;
	}
	for (unsigned i = 0; i < 64; i++) {
		MUST(config_class(&c, UINT64_C(1) << i, false, 0) < c.classes);
		MUST(config_class(&c, UINT64_C(1) << i, true, i) < c.classes);
	}
	MUST(config_encode(&c, &b, NULL) == 0);
	MUST(b.len == size && memcmp(b.data, data, size) == 0);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	check(data, size);
	if (size < HEADER_LEN + SUM_LEN)
		return 0;
	copy = malloc(size);
	MUST(copy != NULL);
	memcpy(copy, data, size);
	for (size_t i = 0; i < 4; i++)
		copy[LEN_AT + i] =
			(uint8_t)((size - HEADER_LEN - SUM_LEN) >> (8 * i));
	hash_plain(copy, size - SUM_LEN, copy + size - SUM_LEN, SUM_LEN);
	check(copy, size);
	free(copy);
	return 0;
}
