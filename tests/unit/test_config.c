#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/cursor.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/config.h"

#include "tests/lib/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUM_LEN     32
#define BODY_LEN_AT 12
#define BODY_AT     40

/* A config with small numbers, so that every field has a known place. */
static struct config
sample(void)
{
	struct config c = {
		.created = { 7, 9 },
		.hash = 1,
		.chunker = 1,
		.chunker_seed = UINT64_C(0x1122334455667788),
		.classes = 3,
		.fixed_classes = 2,
		.class_table = { { 0, 16384 },
				 { 64 << 20, 256 << 10 },
				 { UINT64_C(4) << 30, 1 << 20 } },
		.fixed_table = { { 0, 16384 }, { UINT64_C(64) << 30, 65536 } },
	};

	for (size_t i = 0; i < sizeof(c.id); i++)
		c.id[i] = (uint8_t)(0xa0 + i);
	for (size_t i = 0; i < sizeof(c.id_key); i++)
		c.id_key[i] = (uint8_t)i;
	return c;
}

/* Its file, put together by hand after doc/format.md, section 3. */
static const char sample_hex[] =
	/* clang-format off */
	"61736f667265706f" "01000000" "5f000000"               /*   0 */
	"0000000000000000" "0000000000000000" "0000000000000000" /* 16 */
	"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"                     /*  40 */
	"0e" "09"                                              /*  56 */
	"00" "01" "01"                                         /*  58 */
	"8877665544332211"                                     /*  61 */
	"000102030405060708090a0b0c0d0e0f"                     /*  69 */
	"101112131415161718191a1b1c1d1e1f"
	"03" "00" "808001" "80808020" "808010" "8080808010" "808040"
	"02" "00" "808001" "8080808080" "02" "808004"
	/* Checked with another implementation of BLAKE3. */
	"7b9d3a56cc4146f23417249e3e6cbe2f0d6214993aadb8fcf64011e3c741ef4d";
/* clang-format on */

#define SAMPLE_LEN (sizeof(sample_hex) / 2)

/* Places in it. */
enum {
	AT_VERSION = 8,
	AT_READ = 16,
	AT_WRITE = 24,
	AT_IGNORABLE = 32,
	AT_SEC = 56,
	AT_NSEC = 57,
	AT_SUITE = 58,
	AT_HASH = 59,
	AT_CHUNKER = 60,
	AT_CLASSES = 101,
	AT_FIXED = 121,
	AT_END = 135,
};

static void
sample_bytes(uint8_t out[SAMPLE_LEN])
{
	assert_true(hex_parse(out, SAMPLE_LEN, sample_hex));
}

static void
assert_same_config(const struct config *a, const struct config *b)
{
	assert_true(a->features.read == b->features.read);
	assert_true(a->features.write == b->features.write);
	assert_true(a->features.ignorable == b->features.ignorable);
	assert_memory_equal(a->id, b->id, sizeof(a->id));
	assert_int_equal(ts_cmp(a->created, b->created), 0);
	assert_int_equal(a->suite, b->suite);
	assert_int_equal(a->hash, b->hash);
	assert_int_equal(a->chunker, b->chunker);
	assert_true(a->chunker_seed == b->chunker_seed);
	assert_memory_equal(a->id_key, b->id_key, sizeof(a->id_key));
	assert_int_equal(a->classes, b->classes);
	assert_int_equal(a->fixed_classes, b->fixed_classes);
	for (size_t i = 0; i < a->classes; i++) {
		assert_true(a->class_table[i].file_min ==
			    b->class_table[i].file_min);
		assert_int_equal(a->class_table[i].avg, b->class_table[i].avg);
	}
	for (size_t i = 0; i < a->fixed_classes; i++) {
		assert_true(a->fixed_table[i].file_min ==
			    b->fixed_table[i].file_min);
		assert_int_equal(a->fixed_table[i].avg, b->fixed_table[i].avg);
	}
}

/* The kind of error of decoding a copy of exactly n bytes. */
static enum err_kind
decode(const void *p, size_t n, struct config *out)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);
	struct err e = { 0 };
	int rc;

	assert_non_null(copy);
	memcpy(copy, p, n);
	rc = config_decode(copy, n, out, &e);
	free(copy);
	assert_int_equal(rc, e.kind == ERR_NONE ? 0 : -1);
	return e.kind;
}

/* --- encoding and decoding ----------------------------------------------- */

static void
config_encodes_to_the_bytes_of_the_format(void **state)
{
	struct config c = sample();
	struct buf b = { 0 };
	uint8_t want[SAMPLE_LEN];
	struct err e = { 0 };

	(void)state;
	sample_bytes(want);
	buf_add_str(&b, "before");
	assert_int_equal(config_encode(&c, &b, &e), 0);
	assert_int_equal(b.len, 6 + SAMPLE_LEN);
	assert_memory_equal(b.data, "before", 6);
	assert_memory_equal(b.data + 6, want, SAMPLE_LEN);
	buf_clear(&b);
}

static void
config_decodes_the_bytes_of_the_format(void **state)
{
	uint8_t bytes[SAMPLE_LEN];
	struct config want = sample();
	struct config got;

	(void)state;
	sample_bytes(bytes);
	assert_int_equal(decode(bytes, SAMPLE_LEN, &got), ERR_NONE);
	assert_same_config(&got, &want);
}

static void
config_with_extreme_values_comes_back(void **state)
{
	struct config c = sample();
	struct config got;
	struct buf b = { 0 };

	(void)state;
	c.features.ignorable = UINT64_MAX;
	c.features.write = UINT64_MAX;
	c.created.sec = INT64_MIN;
	c.created.nsec = 999999999;
	c.chunker_seed = UINT64_MAX;
	c.classes = 8;
	c.fixed_classes = 1;
	for (unsigned i = 0; i < 8; i++) {
		c.class_table[i].avg = UINT32_C(32768) << i;
		c.class_table[i].file_min = i;
	}
	c.class_table[0].avg = 4096;
	c.class_table[7].file_min = UINT64_MAX;
	c.fixed_table[0].avg = 4 << 20;
	assert_int_equal(config_encode(&c, &b, NULL), 0);
	assert_true(b.len <= CONFIG_FILE_MAX);
	assert_int_equal(decode(b.data, b.len, &got), ERR_NONE);
	assert_same_config(&got, &c);
	buf_clear(&b);
}

/*
 * The sample with `cut` bytes at `at` replaced by those that `hex` says; then
 * length and checksum are made right again.
 */
static const struct row {
	const char *name;
	size_t at, cut;
	const char *hex;
	enum err_kind want;
} rows[] = {
	/* clang-format off */
	{ "no change", 0, 0, "", ERR_NONE },
	{ "another magic", 0, 8, "61736f667061636b", ERR_USAGE },
	{ "magic in capitals", 0, 1, "41", ERR_USAGE },
	{ "version 0", AT_VERSION, 4, "00000000", ERR_UNSUPPORTED },
	{ "version 2", AT_VERSION, 4, "02000000", ERR_UNSUPPORTED },
	{ "version 257", AT_VERSION, 4, "01010000", ERR_UNSUPPORTED },
	{ "a first feature to read", AT_READ, 1, "01", ERR_UNSUPPORTED },
	{ "the last feature to read", AT_READ + 7, 1, "80", ERR_UNSUPPORTED },
	{ "a feature to write", AT_WRITE, 1, "01", ERR_NONE },
	{ "a feature to ignore", AT_IGNORABLE, 1, "01", ERR_NONE },
	{ "before 1970", AT_SEC, 1, "0d", ERR_NONE },
	{ "a needlessly long second", AT_SEC, 1, "8e00", ERR_CORRUPT },
	{ "the last nanosecond", AT_NSEC, 1, "ff93ebdc03", ERR_NONE },
	{ "a second of nanoseconds", AT_NSEC, 1, "8094ebdc03", ERR_CORRUPT },
	{ "2^32 nanoseconds", AT_NSEC, 1, "8080808010", ERR_CORRUPT },
	{ "a suite", AT_SUITE, 1, "01", ERR_UNSUPPORTED },
	{ "hash 0", AT_HASH, 1, "00", ERR_UNSUPPORTED },
	{ "hash 2", AT_HASH, 1, "02", ERR_UNSUPPORTED },
	{ "chunker 0", AT_CHUNKER, 1, "00", ERR_UNSUPPORTED },
	{ "chunker 2", AT_CHUNKER, 1, "02", ERR_UNSUPPORTED },
	{ "a suite, and a body in another form",
	  AT_SUITE, AT_END - AT_SUITE, "01ffffff", ERR_UNSUPPORTED },
	{ "a feature, and a body in another form",
	  AT_READ, AT_END - AT_READ,
	  "0100000000000000" "0000000000000000" "0000000000000000" "ff",
	  ERR_UNSUPPORTED },
	{ "no classes", AT_CLASSES, 20, "00", ERR_CORRUPT },
	{ "one class", AT_CLASSES, 20, "01" "00" "808001", ERR_NONE },
	{ "a class less than counted", AT_CLASSES, 20,
	  "02" "00" "808001", ERR_CORRUPT },
	{ "a class more than counted", AT_CLASSES, 20,
	  "01" "00" "808001" "01" "808002", ERR_CORRUPT },
	{ "eight classes", AT_CLASSES, 20,
	  "08" "00" "8020" "01" "8040" "02" "808001" "03" "808002"
	  "04" "808004" "05" "808008" "06" "808010" "07" "808020", ERR_NONE },
	{ "nine classes", AT_CLASSES, 20,
	  "09" "00" "8020" "01" "8040" "02" "808001" "03" "808002"
	  "04" "808004" "05" "808008" "06" "808010" "07" "808020"
	  "08" "808040", ERR_CORRUPT },
	{ "2^64 - 1 classes", AT_CLASSES, 1, "ffffffffffffffffff01",
	  ERR_CORRUPT },
	{ "a first class above size 0", AT_CLASSES, 20, "01" "01" "808001",
	  ERR_CORRUPT },
	{ "two classes for one size", AT_CLASSES, 20,
	  "02" "00" "808001" "00" "808002", ERR_CORRUPT },
	{ "sizes that fall", AT_CLASSES, 20,
	  "03" "00" "808001" "05" "808002" "04" "808004", ERR_CORRUPT },
	{ "equal averages", AT_CLASSES, 20,
	  "02" "00" "808001" "01" "808001", ERR_CORRUPT },
	{ "averages that fall", AT_CLASSES, 20,
	  "02" "00" "808002" "01" "808001", ERR_CORRUPT },
	{ "an average of 0", AT_CLASSES, 20, "01" "00" "00", ERR_CORRUPT },
	{ "an average of 2048", AT_CLASSES, 20, "01" "00" "8010",
	  ERR_CORRUPT },
	{ "an average of 4096", AT_CLASSES, 20, "01" "00" "8020", ERR_NONE },
	{ "an average of 6144", AT_CLASSES, 20, "01" "00" "8030",
	  ERR_CORRUPT },
	{ "an average of 16385", AT_CLASSES, 20, "01" "00" "818001",
	  ERR_CORRUPT },
	{ "an average of 4 MiB", AT_CLASSES, 20, "01" "00" "80808002",
	  ERR_NONE },
	{ "an average of 8 MiB", AT_CLASSES, 20, "01" "00" "80808004",
	  ERR_CORRUPT },
	{ "an average of 2^32 + 4096", AT_CLASSES, 20,
	  "01" "00" "80a0808010", ERR_CORRUPT },
	{ "no fixed classes", AT_FIXED, 14, "00", ERR_CORRUPT },
	{ "one fixed class", AT_FIXED, 14, "01" "00" "808001", ERR_NONE },
	{ "nine fixed classes", AT_FIXED, 14,
	  "09" "00" "8020" "01" "8040" "02" "808001" "03" "808002"
	  "04" "808004" "05" "808008" "06" "808010" "07" "808020"
	  "08" "808040", ERR_CORRUPT },
	{ "a first fixed class above size 0", AT_FIXED, 14,
	  "01" "01" "808001", ERR_CORRUPT },
	{ "a fixed length that is no power of two", AT_FIXED, 14,
	  "01" "00" "8030", ERR_CORRUPT },
	{ "fixed classes missing", AT_FIXED, 14, "", ERR_CORRUPT },
	{ "a byte behind the body", AT_END, 0, "00", ERR_CORRUPT },
	{ "an empty body", BODY_AT, AT_END - BODY_AT, "", ERR_CORRUPT },
	/* clang-format on */
};

static void
build(const struct row *row, struct buf *b)
{
	uint8_t whole[SAMPLE_LEN];
	uint8_t piece[128];
	uint8_t sum[SUM_LEN];
	size_t n = strlen(row->hex) / 2;

	sample_bytes(whole);
	assert_true(n <= sizeof(piece) && hex_parse(piece, n, row->hex));
	buf_add(b, whole, row->at);
	buf_add(b, piece, n);
	buf_add(b, whole + row->at + row->cut,
		SAMPLE_LEN - SUM_LEN - row->at - row->cut);
	wr_u32_at(b, BODY_LEN_AT, (uint32_t)(b->len - BODY_AT));
	hash_plain(b->data, b->len, sum, sizeof(sum));
	buf_add(b, sum, sizeof(sum));
}

static void
config_decode_judges_each_field_as_the_format_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct buf b = { 0 };
		struct config out;
		enum err_kind got;

		build(&rows[i], &b);
		got = decode(b.data, b.len, &out);
		if (got != rows[i].want)
			fail_msg("%s: error kind %d instead of %d",
				 rows[i].name, got, rows[i].want);
		buf_clear(&b);
	}
}

static void
config_decode_keeps_features_that_only_writers_need(void **state)
{
	static const struct row row = { "", AT_WRITE, 16,
					"0200000000000080"
					"0000000000000040",
					ERR_NONE };
	struct buf b = { 0 };
	struct config out;

	(void)state;
	build(&row, &b);
	assert_int_equal(decode(b.data, b.len, &out), ERR_NONE);
	assert_true(out.features.write == UINT64_C(0x8000000000000002));
	assert_true(out.features.ignorable == UINT64_C(0x4000000000000000));
	buf_clear(&b);
}

static void
config_decode_notices_every_flipped_bit(void **state)
{
	uint8_t b[SAMPLE_LEN];

	(void)state;
	sample_bytes(b);
	for (size_t bit = 0; bit < 8 * SAMPLE_LEN; bit++) {
		enum err_kind want = ERR_CORRUPT;
		struct config out;

		if (bit < (size_t)8 * AT_VERSION)
			want = ERR_USAGE;
		else if (bit < (size_t)8 * BODY_LEN_AT)
			want = ERR_UNSUPPORTED;
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(decode(b, SAMPLE_LEN, &out), want);
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void
config_decode_notices_truncations_and_appendages(void **state)
{
	uint8_t b[SAMPLE_LEN + 1];
	struct config out;

	(void)state;
	sample_bytes(b);
	b[SAMPLE_LEN] = 0;
	for (size_t len = 0; len < SAMPLE_LEN; len++)
		assert_int_equal(decode(b, len, &out),
				 len < AT_VERSION ? ERR_USAGE : ERR_CORRUPT);
	assert_int_equal(decode(b, SAMPLE_LEN + 1, &out), ERR_CORRUPT);
	assert_int_equal(config_decode(NULL, 0, &out, NULL), -1);
}

static void
config_decode_bounds_the_body_before_anything_else(void **state)
{
	enum {
		BODY = 65537
	};
	struct buf b = { 0 };
	uint8_t sum[SUM_LEN];
	uint8_t head[SAMPLE_LEN];
	struct config out;
	struct err e = { 0 };

	(void)state;
	/* Right in all but that it is too long. */
	sample_bytes(head);
	buf_add(&b, head, AT_END);
	memset(buf_extend(&b, BODY_AT + BODY - AT_END), 0,
	       BODY_AT + BODY - AT_END);
	wr_u32_at(&b, BODY_LEN_AT, BODY);
	hash_plain(b.data, b.len, sum, sizeof(sum));
	buf_add(&b, sum, sizeof(sum));
	assert_int_equal(config_decode(b.data, b.len, &out, &e), -1);
	assert_string_equal(e.text, "config: its length is not what it says");
	wr_u32_at(&b, BODY_LEN_AT, UINT32_MAX);
	assert_int_equal(decode(b.data, b.len, &out), ERR_CORRUPT);
	buf_clear(&b);
}

static void
config_decode_leaves_its_output_alone_when_it_fails(void **state)
{
	struct config out;
	struct config untouched;

	(void)state;
	memset(&untouched, 0x5a, sizeof(untouched));
	memset(&out, 0x5a, sizeof(out));
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct buf b = { 0 };

		if (rows[i].want == ERR_NONE)
			continue;
		build(&rows[i], &b);
		assert_int_not_equal(decode(b.data, b.len, &out), ERR_NONE);
		assert_memory_equal(&out, &untouched, sizeof(out));
		buf_clear(&b);
	}
}

static void
config_decode_survives_noise_in_the_body(void **state)
{
	uint64_t s = 88172645463325252;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct row row = { "", 0, 1, NULL, ERR_NONE };
		char hex[3];
		uint8_t byte;
		struct buf b = { 0 };
		struct config out;

		s ^= s << 13;
		s ^= s >> 7;
		s ^= s << 17;
		byte = (uint8_t)(s >> 20);
		row.at = BODY_AT + (s >> 30) % (AT_END - BODY_AT);
		row.cut = (s >> 40) % 2;
		hex_format(hex, &byte, 1);
		row.hex = hex;
		build(&row, &b);
		(void)decode(b.data, b.len, &out);
		buf_clear(&b);
	}
}

/* --- refusing to write --------------------------------------------------- */

static void
suite_one(struct config *c)
{
	c->suite = 1;
}

static void
feature_unknown(struct config *c)
{
	c->features.read = 1;
}

static void
nsec_too_large(struct config *c)
{
	c->created.nsec = 1000000000;
}

static void
no_classes(struct config *c)
{
	c->classes = 0;
}

static void
too_many_classes(struct config *c)
{
	c->fixed_classes = CONFIG_CLASSES_MAX + 1;
}

static void
odd_average(struct config *c)
{
	c->class_table[1].avg = 3 << 16;
}

static void
average_too_large(struct config *c)
{
	c->class_table[2].avg = 8 << 20;
}

static void
config_encode_refuses_what_it_could_not_decode(void **state)
{
	static const struct {
		void (*change)(struct config *c);
		enum err_kind want;
	} bad[] = {
		{ suite_one, ERR_UNSUPPORTED },
		{ feature_unknown, ERR_UNSUPPORTED },
		{ nsec_too_large, ERR_USAGE },
		{ no_classes, ERR_USAGE },
		{ too_many_classes, ERR_USAGE },
		{ odd_average, ERR_USAGE },
		{ average_too_large, ERR_USAGE },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++) {
		struct config c = sample();
		struct buf b = { 0 };
		struct err e = { 0 };

		bad[i].change(&c);
		assert_int_equal(config_encode(&c, &b, &e), -1);
		assert_int_equal(e.kind, bad[i].want);
		assert_int_equal(b.len, 0);
		buf_clear(&b);
	}
}

static int allocations_left;

static bool
fail_nth(size_t size)
{
	(void)size;
	return allocations_left-- == 0;
}

static void
config_encode_reports_a_lack_of_memory_at_any_place(void **state)
{
	struct config c = sample();
	int n;

	(void)state;
	for (n = 0;; n++) {
		struct buf b = { 0 };
		struct err e = { 0 };
		int rc;

		allocations_left = n;
		mem_fail(fail_nth);
		rc = config_encode(&c, &b, &e);
		mem_fail(NULL);
		if (rc < 0)
			assert_int_equal(e.kind, ERR_NOMEM);
		buf_clear(&b);
		if (rc == 0)
			break;
	}
	assert_true(n >= 2);
}

/* --- a new config -------------------------------------------------------- */

static void
config_new_has_the_defaults_and_nothing_twice(void **state)
{
	struct config defaults = sample();
	struct config a;
	struct config b;
	struct ts before = time_now();

	(void)state;
	assert_int_equal(config_new(&a, NULL), 0);
	assert_int_equal(config_new(&b, NULL), 0);
	assert_true(memcmp(a.id, b.id, sizeof(a.id)) != 0);
	assert_true(memcmp(a.id_key, b.id_key, sizeof(a.id_key)) != 0);
	assert_true(a.chunker_seed != b.chunker_seed);
	assert_true(a.chunker_seed ==
		    id_derive_u64(a.id_key, "asof 2026-11-21 chunker seed"));
	assert_true(ts_cmp(before, a.created) <= 0);
	assert_true(ts_cmp(a.created, b.created) <= 0);
	/* The sample has today's defaults but for what is random. */
	memcpy(defaults.id, a.id, sizeof(a.id));
	memcpy(defaults.id_key, a.id_key, sizeof(a.id_key));
	defaults.chunker_seed = a.chunker_seed;
	defaults.created = a.created;
	assert_same_config(&a, &defaults);
}

static int randoms_left;

static ssize_t
few_randoms(void *p, size_t n)
{
	if (randoms_left-- > 0)
		return sys_real.getrandom(p, n);
	errno = EIO;
	return -1;
}

static void
config_new_fails_when_there_is_no_randomness(void **state)
{
	struct sys_ops ops = sys_real;
	struct config out;
	struct config untouched;

	(void)state;
	memset(&out, 0x5a, sizeof(out));
	memset(&untouched, 0x5a, sizeof(untouched));
	ops.getrandom = few_randoms;
	for (int n = 0; n < 2; n++) {
		struct err e = { 0 };
		int rc;

		randoms_left = n;
		sys_repo = &ops;
		rc = config_new(&out, &e);
		sys_repo = &sys_real;
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_SYS);
		assert_memory_equal(&out, &untouched, sizeof(out));
	}
}

/* --- classes ------------------------------------------------------------- */

static void
config_class_goes_up_late_and_never_down(void **state)
{
	static const uint64_t M = UINT64_C(1) << 20;
	static const uint64_t G = UINT64_C(1) << 30;
	const struct {
		uint64_t size;
		int hint; /* -1: none */
		unsigned want;
	} cases[] = {
		{ 0, -1, 0 },
		{ 64 * M - 1, -1, 0 },
		{ 64 * M, -1, 1 },
		{ 4 * G - 1, -1, 1 },
		{ 4 * G, -1, 2 },
		{ UINT64_MAX, -1, 2 },
		{ 64 * M, 0, 0 },
		{ 128 * M - 1, 0, 0 },
		{ 128 * M, 0, 1 },
		{ 8 * G - 1, 0, 1 },
		{ 8 * G, 0, 2 },
		{ UINT64_MAX, 0, 2 },
		{ 0, 1, 1 },
		{ 64 * M, 1, 1 },
		{ 8 * G - 1, 1, 1 },
		{ 8 * G, 1, 2 },
		{ 0, 2, 2 },
		{ UINT64_MAX, 2, 2 },
		/* A hint from elsewhere counts as none. */
		{ 64 * M, 3, 1 },
		{ 0, 255, 0 },
	};
	struct config c = sample();

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		bool valid = cases[i].hint >= 0;
		unsigned hint = valid ? (unsigned)cases[i].hint : 1;

		assert_int_equal(config_class(&c, cases[i].size, valid, hint),
				 cases[i].want);
	}
	c.classes = 1;
	assert_int_equal(config_class(&c, UINT64_MAX, false, 0), 0);
	assert_int_equal(config_class(&c, UINT64_MAX, true, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_encodes_to_the_bytes_of_the_format),
		cmocka_unit_test(config_decodes_the_bytes_of_the_format),
		cmocka_unit_test(config_with_extreme_values_comes_back),
		cmocka_unit_test(
			config_decode_judges_each_field_as_the_format_says),
		cmocka_unit_test(
			config_decode_keeps_features_that_only_writers_need),
		cmocka_unit_test(config_decode_notices_every_flipped_bit),
		cmocka_unit_test(
			config_decode_notices_truncations_and_appendages),
		cmocka_unit_test(
			config_decode_bounds_the_body_before_anything_else),
		cmocka_unit_test(
			config_decode_leaves_its_output_alone_when_it_fails),
		cmocka_unit_test(config_decode_survives_noise_in_the_body),
		cmocka_unit_test(
			config_encode_refuses_what_it_could_not_decode),
		cmocka_unit_test(
			config_encode_reports_a_lack_of_memory_at_any_place),
		cmocka_unit_test(config_new_has_the_defaults_and_nothing_twice),
		cmocka_unit_test(config_new_fails_when_there_is_no_randomness),
		cmocka_unit_test(config_class_goes_up_late_and_never_down),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
