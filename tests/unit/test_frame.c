#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "store/frame.h"

#include "tests/lib/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory of exactly n bytes, so that checkers notice a step beyond it. */
static uint8_t *
bytes(size_t n)
{
	uint8_t *p = malloc(n > 0 ? n : 1);

	assert_non_null(p);
	return p;
}

static uint64_t
next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s >> 16;
}

static void
fill_random(uint8_t *p, size_t n)
{
	uint64_t s = 88172645463325252;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)next(&s);
}

static void
fill_text(uint8_t *p, size_t n)
{
	static const char *const words[] = { "a chunk ", "of a pack ", "is ",
					     "in a frame, " };
	uint64_t s = 5;

	for (size_t i = 0; i < n;) {
		const char *w = words[next(&s) % N_OF(words)];

		for (; *w != '\0' && i < n; w++)
			p[i++] = (uint8_t)*w;
	}
}

static void
fill_zero(uint8_t *p, size_t n)
{
	memset(p, 0, n);
}

static int
new_coder(void **state)
{
	struct frame_coder *c;

	if (frame_coder_new(&c, NULL) < 0)
		return -1;
	*state = c;
	return 0;
}

static int
free_coder(void **state)
{
	frame_coder_free(*state);
	return 0;
}

/* --- round trips --------------------------------------------------------- */

static void
check_round_trip(struct frame_coder *c, int level, const uint8_t *raw,
		 size_t len, enum frame_method *method)
{
	uint8_t *stored = bytes(frame_bound(len));
	uint8_t *copy;
	uint8_t *back = bytes(len);
	size_t n = 0;
	struct err e = { 0 };

	assert_int_equal(frame_encode(c, KIND_DATA, level, raw, len, stored, &n,
				      method, &e),
			 0);
	assert_in_range(n, 1, len);
	copy = bytes(n);
	memcpy(copy, stored, n);
	if (frame_decode(c, KIND_DATA, *method, copy, n, back, len, &e) < 0)
		fail_msg("%zu bytes: %s", len, e.text);
	assert_memory_equal(back, raw, len);
	free(stored);
	free(copy);
	free(back);
}

static void
frame_comes_back_as_it_was_at_all_sizes_and_levels(void **state)
{
	static const size_t lens[] = {
		1,     2,     3,      15,     64,     255,    256,
		257,   511,   1000,   1023,   1024,   1025,   4096,
		65535, 65536, 131072, 131073, 262144, 700001, 1 << 20,
	};
	static void (*const fills[])(uint8_t *, size_t) = {
		fill_random,
		fill_text,
		fill_zero,
	};
	static const int levels[] = { -5, 1, 3, 6, 9 };

	for (size_t i = 0; i < N_OF(lens); i++)
		for (size_t f = 0; f < N_OF(fills); f++) {
			uint8_t *raw = bytes(lens[i]);

			fills[f](raw, lens[i]);
			for (size_t l = 0; l < N_OF(levels); l++) {
				enum frame_method m;

				check_round_trip(*state, levels[l], raw,
						 lens[i], &m);
				if (fills[f] == fill_random)
					assert_int_equal(m, FRAME_RAW);
				else if (lens[i] > 1024)
					assert_int_equal(m, FRAME_ZSTD);
			}
			free(raw);
		}
}

static void
frame_of_the_greatest_length_comes_back(void **state)
{
	uint8_t *raw = bytes(FRAME_RAW_MAX);
	enum frame_method m;

	/* Longer than any window of the level: the header has a window. */
	fill_text(raw, FRAME_RAW_MAX);
	check_round_trip(*state, 1, raw, FRAME_RAW_MAX, &m);
	assert_int_equal(m, FRAME_ZSTD);
	fill_zero(raw, FRAME_RAW_MAX);
	check_round_trip(*state, 3, raw, FRAME_RAW_MAX, &m);
	assert_int_equal(m, FRAME_ZSTD);
	free(raw);
}

static void
frame_works_for_every_kind_of_chunk(void **state)
{
	uint8_t raw[2000];
	uint8_t back[sizeof(raw)];
	uint8_t *stored = bytes(frame_bound(sizeof(raw)));

	fill_text(raw, sizeof(raw));
	for (unsigned kind = KIND_DATA; kind <= KIND_LIST; kind++) {
		enum frame_method m;
		size_t n;

		assert_int_equal(frame_encode(*state, kind, 3, raw, sizeof(raw),
					      stored, &n, &m, NULL),
				 0);
		assert_int_equal(frame_decode(*state, kind, m, stored, n, back,
					      sizeof(back), NULL),
				 0);
		assert_memory_equal(raw, back, sizeof(raw));
	}
	free(stored);
}

static void
frame_is_raw_when_it_would_gain_under_four_percent(void **state)
{
	enum {
		LEN = 100000
	};
	uint8_t *raw = bytes(LEN);
	uint8_t *stored = bytes(frame_bound(LEN));
	size_t gains = 0;

	/* Noise with more and more zeros behind it. */
	fill_random(raw, LEN);
	for (size_t zeros = 3000; zeros < 5000; zeros += 50) {
		enum frame_method m;
		size_t n;

		memset(raw + LEN - zeros, 0, zeros);
		assert_int_equal(frame_encode(*state, KIND_DATA, 3, raw, LEN,
					      stored, &n, &m, NULL),
				 0);
		if (m == FRAME_RAW) {
			assert_int_equal(gains, 0);
			assert_int_equal(n, LEN);
			assert_memory_equal(stored, raw, LEN);
			/* zstd misses the first few: it skips over noise. */
			assert_true(zeros < LEN / 25 + 300);
		} else {
			assert_true(n <= LEN - LEN / 25);
			gains++;
		}
	}
	assert_true(gains > 0);
	free(raw);
	free(stored);
}

static void
frame_encode_refuses_what_no_reader_would_take(void **state)
{
	static const struct {
		enum id_kind kind;
		size_t len;
	} rows[] = {
		{ KIND_DATA, 0 },
		{ KIND_DATA, (size_t)FRAME_RAW_MAX + 1 },
		{ 0, 1 },
		{ KIND_RECORD, 1 },
		{ KIND_MAX + 1, 1 },
	};

	for (size_t i = 0; i < N_OF(rows); i++) {
		uint8_t raw = 'x';
		uint8_t stored[8] = { 0 };
		size_t n = 77;
		enum frame_method m = 55;
		struct err e = { 0 };

		assert_int_equal(frame_encode(*state, rows[i].kind, 3, &raw,
					      rows[i].len, stored, &n, &m, &e),
				 -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_int_equal(n, 77);
		assert_int_equal(m, 55);
		assert_int_equal(stored[0], 0);
	}
}

/* --- what is refused ----------------------------------------------------- */

/* Decode into exactly raw_len bytes; the kind of error, or ERR_NONE. */
static enum err_kind
decode(struct frame_coder *c, unsigned method, const void *stored,
       size_t stored_len, size_t raw_len)
{
	uint8_t *in = bytes(stored_len);
	uint8_t *out = bytes(raw_len);
	struct err e = { 0 };
	int rc;

	memcpy(in, stored, stored_len);
	rc = frame_decode(c, KIND_DATA, method, in, stored_len, out, raw_len,
			  &e);
	assert_int_equal(rc, e.kind == ERR_NONE ? 0 : -1);
	free(in);
	free(out);
	return e.kind;
}

/*
 * Frames made by hand after RFC 8878.  Their contents are one block that
 * says "this byte, so often", with the block header given.
 */
#define MAGIC      "28b52ffd"
#define LAST(head) head "61"

static const struct row {
	const char *name;
	const char *hex;
	size_t raw_len;
	enum err_kind want;
} rows[] = {
	/* clang-format off */
	/* Last block, RLE, 1000 bytes: 1 | 1 << 1 | 1000 << 3 = 1f43. */
	{ "one segment, length in two bytes",
	  MAGIC "60" "e802" LAST("431f00"), 1000, ERR_NONE },
	{ "one segment, length in one byte",
	  MAGIC "20" "64" LAST("230300"), 100, ERR_NONE },
	{ "one segment, length in four bytes",
	  MAGIC "a0" "e8030000" LAST("431f00"), 1000, ERR_NONE },
	{ "one segment, length in eight bytes",
	  MAGIC "e0" "e803000000000000" LAST("431f00"), 1000, ERR_NONE },
	{ "the smallest window",
	  MAGIC "40" "00" "e802" LAST("431f00"), 1000, ERR_NONE },
	{ "a window of 2048 for 2000 bytes",
	  MAGIC "80" "08" "d0070000" LAST("833e00"), 2000, ERR_NONE },
	{ "a window of 2304 for 2048 bytes",
	  MAGIC "80" "09" "00080000" LAST("034000"), 2048, ERR_CORRUPT },
	{ "a window of 2304 for 2049 bytes",
	  MAGIC "80" "09" "01080000" LAST("0b4000"), 2049, ERR_NONE },
	{ "a window of 3072 for 2049 bytes",
	  MAGIC "80" "0c" "01080000" LAST("0b4000"), 2049, ERR_NONE },
	{ "a window of 3328 for 2049 bytes",
	  MAGIC "80" "0d" "01080000" LAST("0b4000"), 2049, ERR_CORRUPT },
	{ "a window of 1152 for 1000 bytes",
	  MAGIC "40" "01" "e802" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "the largest window there is",
	  MAGIC "40" "ff" "e802" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "no content length",
	  MAGIC "00" "00" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "the content length says more",
	  MAGIC "60" "e902" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "the content length says less",
	  MAGIC "60" "e702" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "the content length says 2^63",
	  MAGIC "e0" "0000000000000080" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "the caller expects more",
	  MAGIC "60" "e802" LAST("431f00"), 1001, ERR_CORRUPT },
	{ "the caller expects less",
	  MAGIC "60" "e802" LAST("431f00"), 999, ERR_CORRUPT },
	{ "the blocks hold more than the header says",
	  MAGIC "60" "e802" LAST("4b1f00"), 1000, ERR_CORRUPT },
	{ "the blocks hold less than the header says",
	  MAGIC "60" "e802" LAST("3b1f00"), 1000, ERR_CORRUPT },
	{ "a block of the reserved type",
	  MAGIC "60" "e802" LAST("471f00"), 1000, ERR_CORRUPT },
	{ "a compressed block that is none",
	  MAGIC "60" "e802" LAST("0d0000"), 1000, ERR_CORRUPT },
	{ "no last block",
	  MAGIC "60" "e802" LAST("421f00"), 1000, ERR_CORRUPT },
	{ "a dictionary id of one byte",
	  MAGIC "61" "05" "e802" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "a dictionary id of one byte, zero",
	  MAGIC "61" "00" "e802" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "a dictionary id of two bytes",
	  MAGIC "62" "0500" "e802" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "a dictionary id of four bytes",
	  MAGIC "63" "05000000" "e802" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "a dictionary id of two bytes, zero, where a length could be",
	  MAGIC "62" "0000" "0000" LAST("030800"), 256, ERR_CORRUPT },
	{ "a checksum, the right one",
	  MAGIC "64" "e802" LAST("431f00") "2342da2e", 1000, ERR_CORRUPT },
	{ "a checksum that is announced and missing",
	  MAGIC "64" "e802" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "the reserved bit",
	  MAGIC "68" "e802" LAST("431f00"), 1000, ERR_CORRUPT },
	{ "the unused bit, which decoders ignore",
	  MAGIC "70" "e802" LAST("431f00"), 1000, ERR_NONE },
	{ "a byte behind it",
	  MAGIC "60" "e802" LAST("431f00") "00", 1000, ERR_CORRUPT },
	{ "two frames",
	  MAGIC "60" "f400" LAST("a30f00") MAGIC "60" "f400" LAST("a30f00"),
	  1000, ERR_CORRUPT },
	{ "an empty frame behind it",
	  MAGIC "60" "e802" LAST("431f00") MAGIC "20" "00" "010000",
	  1000, ERR_CORRUPT },
	{ "a skippable frame behind it",
	  MAGIC "60" "e802" LAST("431f00") "502a4d18" "00000000",
	  1000, ERR_CORRUPT },
	{ "a skippable frame before it",
	  "502a4d18" "00000000" MAGIC "60" "e802" LAST("431f00"),
	  1000, ERR_CORRUPT },
	{ "only a skippable frame",
	  "502a4d18" "04000000" "61616161", 1000, ERR_CORRUPT },
	{ "the magic of zstd 0.1", "fd2fb51e" "60" "e802" LAST("431f00"),
	  1000, ERR_CORRUPT },
	{ "the magic of zstd 0.7", "27b52ffd" "60" "e802" LAST("431f00"),
	  1000, ERR_CORRUPT },
	{ "a whole frame of zstd 0.7, which Debian's library decodes",
	  "27b52ffd" "60" "e802" LAST("8003e8") "c00000", 1000, ERR_CORRUPT },
	{ "a frame without magic", "60" "e802" LAST("431f00"),
	  1000, ERR_CORRUPT },
	{ "only a magic", MAGIC, 1000, ERR_CORRUPT },
	{ "nothing", "", 1000, ERR_CORRUPT },
	{ "an empty frame", MAGIC "20" "00" "010000", 0, ERR_CORRUPT },
	{ "stored longer than raw", MAGIC "20" "03" "190000" "616263",
	  3, ERR_CORRUPT },
	/* clang-format on */
};

/* A copy in memory of the bytes that `hex` says; sets *n. */
static uint8_t *
from_hex(const char *hex, size_t *n)
{
	uint8_t *p;

	*n = strlen(hex) / 2;
	p = bytes(*n);
	assert_true(hex_parse(p, *n, hex));
	return p;
}

static void
frame_decode_takes_exactly_what_the_format_allows(void **state)
{
	for (size_t i = 0; i < N_OF(rows); i++) {
		size_t n;
		uint8_t *stored = from_hex(rows[i].hex, &n);
		enum err_kind got =
			decode(*state, FRAME_ZSTD, stored, n, rows[i].raw_len);

		if (got != rows[i].want)
			fail_msg("%s: error kind %d instead of %d",
				 rows[i].name, got, rows[i].want);
		free(stored);
	}
}

static void
frame_decode_refuses_truncations_and_appendages(void **state)
{
	enum {
		LEN = 5000
	};
	uint8_t raw[LEN];
	uint8_t *stored = bytes(frame_bound(LEN) + 1);
	enum frame_method m;
	size_t n;

	fill_text(raw, LEN);
	assert_int_equal(frame_encode(*state, KIND_DATA, 3, raw, LEN, stored,
				      &n, &m, NULL),
			 0);
	assert_int_equal(m, FRAME_ZSTD);
	for (size_t len = 0; len < n; len++)
		assert_int_equal(decode(*state, m, stored, len, LEN),
				 ERR_CORRUPT);
	for (unsigned v = 0; v < 256; v++) {
		stored[n] = (uint8_t)v;
		assert_int_equal(decode(*state, m, stored, n + 1, LEN),
				 ERR_CORRUPT);
	}
	free(stored);
}

/*
 * A frame has no checksum (the ids of its chunks are), so a flipped bit may
 * yield other bytes; it must never yield more, or anything but corrupt.
 */
static void
frame_decode_survives_every_flipped_bit(void **state)
{
	enum {
		LEN = 3000
	};
	uint8_t raw[LEN];
	uint8_t *stored = bytes(frame_bound(LEN));
	enum frame_method m;
	size_t n;
	size_t refused = 0;

	fill_text(raw, LEN);
	assert_int_equal(frame_encode(*state, KIND_DATA, 3, raw, LEN, stored,
				      &n, &m, NULL),
			 0);
	assert_int_equal(m, FRAME_ZSTD);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		enum err_kind got;

		stored[bit / 8] ^= (uint8_t)(1 << bit % 8);
		got = decode(*state, m, stored, n, LEN);
		stored[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(got == ERR_NONE || got == ERR_CORRUPT);
		refused += got == ERR_CORRUPT;
		if (bit < 32)
			assert_int_equal(got, ERR_CORRUPT);
	}
	assert_true(refused > 0);
	/* And the coder is still good. */
	assert_int_equal(decode(*state, m, stored, n, LEN), ERR_NONE);
	free(stored);
}

static void
frame_decode_survives_noise_behind_a_good_header(void **state)
{
	uint64_t s = 99;

	for (int round = 0; round < 20000; round++) {
		uint8_t stored[64];
		size_t n = 12 + next(&s) % (sizeof(stored) - 12);

		for (size_t i = 0; i < n; i++)
			stored[i] = (uint8_t)next(&s);
		memcpy(stored, "\x28\xb5\x2f\xfd\x60\xe8\x02", 7);
		/* Block headers that are at least possible. */
		stored[7] = (uint8_t)((n - 10) << 3 | 5);
		stored[8] = (uint8_t)((n - 10) >> 5);
		stored[9] = 0;
		(void)decode(*state, FRAME_ZSTD, stored, n, 1000);
	}
}

static void
frame_decode_wants_raw_lengths_to_agree(void **state)
{
	static const uint8_t data[5] = "asof";

	assert_int_equal(decode(*state, FRAME_RAW, data, 5, 5), ERR_NONE);
	assert_int_equal(decode(*state, FRAME_RAW, data, 5, 4), ERR_CORRUPT);
	assert_int_equal(decode(*state, FRAME_RAW, data, 4, 5), ERR_CORRUPT);
	assert_int_equal(decode(*state, FRAME_RAW, data, 0, 0), ERR_CORRUPT);
}

static void
frame_decode_refuses_more_than_the_greatest_length(void **state)
{
	size_t len = FRAME_RAW_MAX;
	uint8_t *data = calloc(len + 1, 1);

	assert_non_null(data);
	assert_int_equal(decode(*state, FRAME_RAW, data, len, len), ERR_NONE);
	assert_int_equal(decode(*state, FRAME_RAW, data, len + 1, len + 1),
			 ERR_CORRUPT);
	free(data);
}

static void
frame_decode_refuses_unknown_methods_and_kinds(void **state)
{
	static const unsigned kinds[] = { 0, KIND_RECORD, KIND_MAX + 1, 256 };
	uint8_t byte = 'x';
	uint8_t out = 0;

	assert_int_equal(decode(*state, 2, &byte, 1, 1), ERR_CORRUPT);
	assert_int_equal(decode(*state, 255, &byte, 1, 1), ERR_CORRUPT);
	assert_int_equal(decode(*state, 257, &byte, 1, 1), ERR_CORRUPT);
	for (size_t i = 0; i < N_OF(kinds); i++) {
		struct err e = { 0 };

		assert_int_equal(frame_decode(*state, kinds[i], FRAME_RAW,
					      &byte, 1, &out, 1, &e),
				 -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_int_equal(out, 0);
	}
}

static void
frame_errors_name_the_lengths_and_the_fault(void **state)
{
	uint8_t out[1000];
	struct err e = { 0 };

	assert_int_equal(frame_decode(*state, KIND_DATA, FRAME_ZSTD, "abc", 3,
				      out, sizeof(out), &e),
			 -1);
	assert_string_equal(e.text, "the frame of 3 stored and 1000 raw bytes "
				    "does not begin like a zstd frame");
}

static bool
fail_all(size_t size)
{
	(void)size;
	return true;
}

static void
frame_coder_new_reports_a_lack_of_memory(void **state)
{
	struct frame_coder *c = NULL;
	struct err e = { 0 };
	int rc;

	(void)state;
	mem_fail(fail_all);
	rc = frame_coder_new(&c, &e);
	mem_fail(NULL);
	assert_int_equal(rc, -1);
	assert_int_equal(e.kind, ERR_NOMEM);
	assert_null(c);
	frame_coder_free(NULL);
}

#define with_coder(f) cmocka_unit_test_setup_teardown(f, new_coder, free_coder)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_coder(frame_comes_back_as_it_was_at_all_sizes_and_levels),
		with_coder(frame_of_the_greatest_length_comes_back),
		with_coder(frame_works_for_every_kind_of_chunk),
		with_coder(frame_is_raw_when_it_would_gain_under_four_percent),
		with_coder(frame_encode_refuses_what_no_reader_would_take),
		with_coder(frame_decode_takes_exactly_what_the_format_allows),
		with_coder(frame_decode_refuses_truncations_and_appendages),
		with_coder(frame_decode_survives_every_flipped_bit),
		with_coder(frame_decode_survives_noise_behind_a_good_header),
		with_coder(frame_decode_wants_raw_lengths_to_agree),
		with_coder(frame_decode_refuses_more_than_the_greatest_length),
		with_coder(frame_decode_refuses_unknown_methods_and_kinds),
		with_coder(frame_errors_name_the_lengths_and_the_fault),
		cmocka_unit_test(frame_coder_new_reports_a_lack_of_memory),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
