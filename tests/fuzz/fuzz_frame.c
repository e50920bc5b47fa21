/*
 * fuzz_frame - method, raw length (three bytes), and the stored bytes of a
 * frame.
 *
 * Decoding says yes or no and writes nothing behind the raw length; what the
 * stored bytes are themselves made into a frame comes back.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "store/frame.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define RAW_MAX (UINT32_C(1) << 20)

static void
check_decode(struct frame_coder *c, unsigned method, size_t raw_len,
	     const uint8_t *stored, size_t len)
{
	struct err e = { 0 };
	uint8_t *raw = malloc(raw_len > 0 ? raw_len : 1);
	uint8_t *copy = malloc(len > 0 ? len : 1);

	MUST(raw != NULL && copy != NULL);
	memcpy(copy, stored, len);
	if (frame_decode(c, KIND_DATA, method, copy, len, raw, raw_len, &e) < 0)
		MUST(e.kind == ERR_CORRUPT);
	else
		MUST(len > 0 && len <= raw_len && method <= FRAME_ZSTD);
	free(raw);
	free(copy);
}

static void
check_round(struct frame_coder *c, const uint8_t *raw, size_t len)
{
	uint8_t *stored = malloc(frame_bound(len));
	uint8_t *back = malloc(len);
	enum frame_method method;
	size_t stored_len;

	MUST(stored != NULL && back != NULL);
	MUST(frame_encode(c, KIND_TREE, FRAME_LEVEL_DEFAULT, raw, len, stored,
			  &stored_len, &method, NULL) == 0);
	MUST(stored_len <= len);
	MUST(frame_decode(c, KIND_TREE, method, stored, stored_len, back, len,
			  NULL) == 0);
	MUST(memcmp(raw, back, len) == 0);
	free(stored);
	free(back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct frame_coder *c;
	uint32_t raw_len;

	if (c == NULL)
		MUST(frame_coder_new(&c, NULL) == 0);
	if (size < 4)
		return 0;
	raw_len = data[1] | (uint32_t)data[2] << 8 | (uint32_t)data[3] << 16;
	check_decode(c, data[0], raw_len % (RAW_MAX + 1), data + 4, size - 4);
	if (size > 4)
		check_round(c, data + 4, size - 4);
	return 0;
}
