/*
 * fuzz_damage - a note of damage.
 *
 * What decodes encodes to the same bytes, also when its frames are added one
 * by one from the last to the first.  Tried as it is, and with the checksum
 * made right, which nobody would guess.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/buf.h"
#include "base/err.h"
#include "store/damage.h"
#include "store/id.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define HASH_LEN 16

/* Adding from the last to the first moves all that are there. */
#define ADDED_MAX 2000

/* The id that the bytes say, so that it is not what they fail of. */
static struct pack_id
said_id(const uint8_t *data, size_t size)
{
	struct pack_id id = { { 0 } };

	if (size >= 12 + sizeof(id.b))
		memcpy(id.b, data + 12, sizeof(id.b));
	return id;
}

static void
try_note(const uint8_t *data, size_t size)
{
	struct pack_id id = said_id(data, size);
	struct damage_note n = { .count = 0 };
	struct damage_note again = { .pack = id };
	struct buf b = { 0 };
	struct err e = { 0 };

	if (damage_decode(data, size, &id, &n, &e) < 0) {
		MUST(e.kind == ERR_CORRUPT || e.kind == ERR_UNSUPPORTED);
		MUST(n.at == NULL && n.count == 0);
		return;
	}
	MUST(n.count <= DAMAGE_FRAMES_MAX && n.whole == (n.count == 0));
	if (n.count <= ADDED_MAX) {
		again.whole = n.whole;
		for (size_t i = n.count; i > 0; i--)
			MUST(damage_note_add(&again, n.at[i - 1], NULL) == 0);
		damage_note_clear(&n);
		n = again;
	}
	MUST(damage_encode(&n, &b, NULL) == 0);
	MUST(b.len == size && memcmp(b.data, data, size) == 0);
	damage_note_clear(&n);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	try_note(data, size);
	if (size < HASH_LEN)
		return 0;
	copy = malloc(size);
	MUST(copy != NULL);
	memcpy(copy, data, size);
	hash_plain(copy, size - HASH_LEN, copy + size - HASH_LEN, HASH_LEN);
	try_note(copy, size);
	free(copy);
	return 0;
}
