/*
 * fuzz_record - a generation record; its length and checksum are made right,
 * so that the fields are reached.
 *
 * What decodes can be encoded, and then decodes to the same.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "src/engine/record.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define HEADER_LEN 40
#define LEN_AT     12

static struct id_keys keys;

static size_t
use_strings(const struct record *r)
{
	size_t n = strlen(r->set) + strlen(r->machine) + strlen(r->host) +
		   strlen(r->tool) + strlen(r->comment);

	for (size_t i = 0; i < r->source_count; i++)
		n += strlen(r->source[i].typed) + strlen(r->source[i].resolved);
	for (size_t i = 0; i < r->fs_count; i++)
		n += strlen(r->fs[i].id) + strlen(r->fs[i].mount_point);
	for (size_t i = 0; i < r->user_count; i++)
		n += strlen(r->user[i].name);
	for (size_t i = 0; i < r->group_count; i++)
		n += strlen(r->group[i].name);
	for (size_t i = 0; i < r->exclude_count; i++)
		n += strlen(r->exclude[i]);
	for (size_t i = 0; i < r->base_count; i++)
		MUST(r->base[i].number > 0);
	return n;
}

static void
check(const uint8_t *data, size_t size)
{
	struct buf first = { 0 };
	struct buf again = { 0 };
	struct record r;
	struct err e = { 0 };

	if (record_decode(data, size, &keys, NULL, &r, &e) < 0) {
		MUST(e.kind == ERR_CORRUPT || e.kind == ERR_UNSUPPORTED);
		return;
	}
	MUST(use_strings(&r) <= size);
	MUST(strlen(r.set) > 0 && strlen(r.set) <= SET_NAME_MAX);
	MUST(record_encode(&r, &keys, &first, NULL) == 0);
	record_clear(&r);
	MUST(record_decode(first.data, first.len, &keys, NULL, &r, NULL) == 0);
	MUST(record_encode(&r, &keys, &again, NULL) == 0);
	MUST(first.len == again.len &&
	     memcmp(first.data, again.data, first.len) == 0);
	record_clear(&r);
	buf_clear(&first);
	buf_clear(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[ID_LEN] = "a key";
	uint8_t *copy;
	struct id sum;

	id_keys_derive(&keys, key);
	check(data, size);
	if (size < HEADER_LEN + ID_LEN)
		return 0;
	copy = malloc(size);
	MUST(copy != NULL);
	memcpy(copy, data, size);
	for (size_t i = 0; i < 4; i++)
		copy[LEN_AT + i] =
			(uint8_t)((size - HEADER_LEN - ID_LEN) >> (8 * i));
	id_compute(&keys, KIND_RECORD, copy, size - ID_LEN, &sum);
	memcpy(copy + size - ID_LEN, sum.b, ID_LEN);
	check(copy, size);
	free(copy);
	return 0;
}
