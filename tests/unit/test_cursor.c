#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/cursor.h"
#include "base/mem.h"

#include "tests/lib/cmocka_all.h"

#include <string.h>

static bool
fail_all(size_t size)
{
	(void)size;
	return true;
}

/* A copy at the end of its own allocation, where a tool sees one byte more. */
static uint8_t *
exact(const void *p, size_t len)
{
	uint8_t *out = mem_alloc(len);

	if (len > 0)
		memcpy(out, p, len);
	return out;
}

/* clang-format off */
static const struct {
	uint64_t value;
	size_t len;
	const char *bytes;
} varints[] = {
	{ 0, 1, "\x00" },
	{ 1, 1, "\x01" },
	{ 0x7f, 1, "\x7f" },
	{ 0x80, 2, "\x80\x01" },
	{ 300, 2, "\xac\x02" },
	{ 0x3fff, 2, "\xff\x7f" },
	{ 0x4000, 3, "\x80\x80\x01" },
	{ UINT32_MAX, 5, "\xff\xff\xff\xff\x0f" },
	{ INT64_MAX, 9, "\xff\xff\xff\xff\xff\xff\xff\xff\x7f" },
	{ UINT64_C(1) << 63, 10, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" },
	{ UINT64_MAX, 10, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" },
};

static const struct {
	int64_t value;
	size_t len;
	const char *bytes;
} svarints[] = {
	{ 0, 1, "\x00" },
	{ -1, 1, "\x01" },
	{ 1, 1, "\x02" },
	{ -2, 1, "\x03" },
	{ -64, 1, "\x7f" },
	{ 64, 2, "\x80\x01" },
	{ INT64_MAX, 10, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" },
	{ INT64_MIN, 10, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" },
};
/* clang-format on */

static void
cursor_writes_and_reads_varints(void **state)
{
	struct buf b = { 0 };
	struct rd r;
	uint8_t *p;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(varints); i++) {
		buf_reset(&b);
		wr_varint(&b, varints[i].value);
		assert_int_equal(b.len, varints[i].len);
		assert_memory_equal(b.data, varints[i].bytes, b.len);
		p = exact(b.data, b.len);
		r = rd_init(p, b.len);
		assert_true(rd_varint(&r) == varints[i].value);
		assert_true(rd_done(&r));
		mem_free(p);
	}
	buf_clear(&b);
}

static void
cursor_writes_and_reads_signed_varints(void **state)
{
	struct buf b = { 0 };
	struct rd r;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(svarints); i++) {
		buf_reset(&b);
		wr_svarint(&b, svarints[i].value);
		assert_int_equal(b.len, svarints[i].len);
		assert_memory_equal(b.data, svarints[i].bytes, b.len);
		r = rd_init(b.data, b.len);
		assert_true(rd_svarint(&r) == svarints[i].value);
		assert_true(rd_done(&r));
	}
	buf_clear(&b);
}

static void
cursor_refuses_every_varint_that_is_cut_short(void **state)
{
	struct rd r;
	uint8_t *p;
	size_t i;
	size_t len;

	(void)state;
	for (i = 0; i < N_OF(varints); i++) {
		for (len = 0; len < varints[i].len; len++) {
			p = exact(varints[i].bytes, len);
			r = rd_init(p, len);
			assert_true(rd_varint(&r) == 0);
			assert_false(rd_ok(&r));
			mem_free(p);
		}
	}
}

static void
refuse(const char *bytes, size_t len)
{
	uint8_t *p = exact(bytes, len);
	struct rd r = rd_init(p, len);

	assert_true(rd_varint(&r) == 0);
	assert_false(rd_ok(&r));
	assert_int_equal(r.left, 0);
	r = rd_init(p, len);
	assert_true(rd_svarint(&r) == 0);
	assert_false(rd_ok(&r));
	mem_free(p);
}

static void
cursor_refuses_a_varint_with_a_needless_zero_byte(void **state)
{
	(void)state;
	refuse("\x80\x00", 2);
	refuse("\xff\x00", 2);
	refuse("\x80\x80\x00", 3);
	refuse("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 10);
	refuse("\x80\x00\x01\x01\x01", 5);
}

static void
cursor_refuses_a_varint_of_more_than_64_bits(void **state)
{
	(void)state;
	refuse("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
	refuse("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
	refuse("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81", 10);
	refuse("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11);
	refuse("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11);
}

static void
cursor_refuses_a_varint_above_its_limit(void **state)
{
	struct rd r;

	(void)state;
	r = rd_init("\xac\x02\x05", 3);
	assert_true(rd_varint_max(&r, 300) == 300);
	assert_true(rd_varint_max(&r, 4) == 0);
	assert_false(rd_ok(&r));
	assert_false(rd_done(&r));
}

static void
cursor_integers_are_little_endian(void **state)
{
	struct buf b = { 0 };
	struct rd r;

	(void)state;
	wr_u8(&b, 0xf1);
	wr_u16(&b, 0xf2f3);
	wr_u32(&b, 0xf4f5f6f7);
	wr_u64(&b, UINT64_C(0xf8f9fafbfcfdfeff));
	assert_int_equal(b.len, 15);
	assert_memory_equal(b.data,
			    "\xf1\xf3\xf2\xf7\xf6\xf5\xf4"
			    "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8",
			    15);
	r = rd_init(b.data, b.len);
	assert_int_equal(rd_u8(&r), 0xf1);
	assert_int_equal(rd_u16(&r), 0xf2f3);
	assert_true(rd_u32(&r) == 0xf4f5f6f7);
	assert_false(rd_done(&r));
	assert_true(rd_u64(&r) == UINT64_C(0xf8f9fafbfcfdfeff));
	assert_true(rd_done(&r));
	buf_clear(&b);
}

static void
cursor_past_the_end_is_bad_for_good(void **state)
{
	uint8_t *p = exact("\x01\x02\x03", 3);
	uint8_t copy[2] = { 9, 9 };
	size_t len = 77;
	struct rd r;

	(void)state;
	r = rd_init(p, 3);
	assert_int_equal(rd_u32(&r), 0);
	assert_false(rd_ok(&r));
	/* Three bytes were there, but nothing is taken from them now. */
	assert_int_equal(rd_u8(&r), 0);
	assert_int_equal(rd_u16(&r), 0);
	assert_true(rd_u64(&r) == 0);
	assert_true(rd_varint(&r) == 0);
	assert_true(rd_svarint(&r) == 0);
	assert_null(rd_bytes(&r, 0));
	assert_null(rd_bytes(&r, 1));
	assert_null(rd_string(&r, 10, &len));
	assert_int_equal(len, 0);
	rd_copy(&r, copy, 2);
	assert_int_equal(copy[0], 0);
	assert_int_equal(copy[1], 0);
	assert_false(rd_ok(&r));
	assert_false(rd_done(&r));
	mem_free(p);
}

static void
cursor_reads_bytes_in_place(void **state)
{
	const char *in = "abcdef";
	struct rd r = rd_init(in, 6);
	uint8_t copy[3];

	(void)state;
	assert_ptr_equal(rd_bytes(&r, 2), in);
	assert_non_null(rd_bytes(&r, 0));
	rd_copy(&r, copy, 3);
	assert_memory_equal(copy, "cde", 3);
	assert_null(rd_bytes(&r, SIZE_MAX));
	assert_false(rd_ok(&r));
}

static void
cursor_over_nothing_is_done_at_once(void **state)
{
	struct rd r = rd_init(NULL, 0);

	(void)state;
	assert_true(rd_done(&r));
	assert_non_null(rd_bytes(&r, 0));
	rd_copy(&r, NULL, 0);
	assert_true(rd_done(&r));
	assert_int_equal(rd_u8(&r), 0);
	assert_false(rd_ok(&r));
}

static void
cursor_strings_are_a_length_and_bytes(void **state)
{
	struct buf b = { 0 };
	char big[200];
	struct rd r;
	size_t len;

	(void)state;
	memset(big, 'b', sizeof(big));
	wr_string(&b, "a\0c", 3);
	wr_string(&b, NULL, 0);
	wr_string(&b, big, sizeof(big));
	wr_bytes(&b, "z", 1);
	assert_int_equal(b.len, 4 + 1 + 202 + 1);
	r = rd_init(b.data, b.len);
	assert_memory_equal(rd_string(&r, 3, &len), "a\0c", 3);
	assert_int_equal(len, 3);
	assert_non_null(rd_string(&r, 0, &len));
	assert_int_equal(len, 0);
	assert_memory_equal(rd_string(&r, 255, &len), big, sizeof(big));
	assert_int_equal(len, sizeof(big));
	assert_memory_equal(rd_bytes(&r, 1), "z", 1);
	assert_true(rd_done(&r));
	buf_clear(&b);
}

static void
cursor_refuses_a_string_that_is_too_long(void **state)
{
	/* clang-format off */
	static const struct {
		const char *bytes;
		size_t len;
		size_t max;
	} t[] = {
		{ "\x04" "abcd", 5, 3 },             /* over the limit */
		{ "\x05" "abcd", 5, 100 },           /* over the end */
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" "a", 11,
		  SIZE_MAX },
		{ "", 0, 10 },
		{ "\x81\x00" "a", 3, 10 },
	};
	/* clang-format on */
	struct rd r;
	size_t len;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		len = 77;
		r = rd_init(t[i].bytes, t[i].len);
		assert_null(rd_string(&r, t[i].max, &len));
		assert_int_equal(len, 0);
		assert_false(rd_ok(&r));
	}
}

static void
cursor_writes_a_length_late(void **state)
{
	struct buf b = { 0 };

	(void)state;
	wr_u8(&b, 1);
	wr_u32(&b, 0);
	wr_u8(&b, 2);
	wr_u32_at(&b, 1, 0x0a0b0c0d);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.data, "\x01\x0d\x0c\x0b\x0a\x02", 6);
	wr_u32_at(&b, 2, UINT32_MAX);
	assert_memory_equal(b.data, "\x01\x0d\xff\xff\xff\xff", 6);
	buf_clear(&b);
}

static void
cursor_writes_nothing_to_a_buffer_that_failed(void **state)
{
	struct buf b = { 0 };

	(void)state;
	mem_fail(fail_all);
	wr_u8(&b, 1);
	wr_u16(&b, 1);
	wr_u64(&b, 1);
	wr_varint(&b, 1);
	wr_string(&b, "a", 1);
	wr_u32_at(&b, 0, 1);
	mem_fail(NULL);
	assert_true(b.failed);
	assert_int_equal(b.len, 0);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor_writes_and_reads_varints),
		cmocka_unit_test(cursor_writes_and_reads_signed_varints),
		cmocka_unit_test(cursor_refuses_every_varint_that_is_cut_short),
		cmocka_unit_test(
			cursor_refuses_a_varint_with_a_needless_zero_byte),
		cmocka_unit_test(cursor_refuses_a_varint_of_more_than_64_bits),
		cmocka_unit_test(cursor_refuses_a_varint_above_its_limit),
		cmocka_unit_test(cursor_integers_are_little_endian),
		cmocka_unit_test(cursor_past_the_end_is_bad_for_good),
		cmocka_unit_test(cursor_reads_bytes_in_place),
		cmocka_unit_test(cursor_over_nothing_is_done_at_once),
		cmocka_unit_test(cursor_strings_are_a_length_and_bytes),
		cmocka_unit_test(cursor_refuses_a_string_that_is_too_long),
		cmocka_unit_test(cursor_writes_a_length_late),
		cmocka_unit_test(cursor_writes_nothing_to_a_buffer_that_failed),
	};

	return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
