/*
 * A cursor that went bad has nothing left, so that every later read takes
 * the same short way and no read can depend on what went wrong before.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/cursor.h"

#include <assert.h>
#include <string.h>

#define VARINT_MAX_LEN 10 /* 64 bits, seven a byte */

struct rd
rd_init(const void *p, size_t len)
{
	struct rd r = { p, len, false };

	/* An empty input may be NULL; a read of no bytes is still no NULL. */
	if (p == NULL) {
		r.p = (const uint8_t *)"";
		r.left = 0;
	}
	return r;
}

/* An integer of n <= 8 bytes. */
static uint64_t
rd_fixed(struct rd *r, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);
	uint64_t v = 0;

	if (p == NULL)
		return 0;
	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

uint16_t
rd_u16(struct rd *r)
{
	return (uint16_t)rd_fixed(r, 2);
}

uint32_t
rd_u32(struct rd *r)
{
	return (uint32_t)rd_fixed(r, 4);
}

uint64_t
rd_u64(struct rd *r)
{
	return rd_fixed(r, 8);
}

uint64_t
rd_varint_long(struct rd *r)
{
	size_t most = r->left < VARINT_MAX_LEN ? r->left : VARINT_MAX_LEN;
	uint64_t v = 0;
	size_t i;
	uint8_t c;

	for (i = 0; i < most; i++) {
		c = r->p[i];
		v |= (uint64_t)(c & 0x7f) << (7 * i);
		if (c < 0x80)
			break;
	}
	/* A last zero is needless; the tenth byte holds bit 63 alone. */
	if (i == most || (c == 0 && i > 0) ||
	    (i == VARINT_MAX_LEN - 1 && c > 1)) {
		rd_go_bad(r);
		return 0;
	}
	r->p += i + 1;
	r->left -= i + 1;
	return v;
}

int64_t
rd_svarint(struct rd *r)
{
	uint64_t v = rd_varint(r);

	return (int64_t)(v >> 1 ^ (UINT64_C(0) - (v & 1)));
}

void
rd_copy(struct rd *r, void *out, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (n == 0)
		return;
	if (p != NULL)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

static void
wr_fixed(struct buf *b, uint64_t v, size_t n)
{
	uint8_t *p = buf_extend(b, n);
	size_t i;

	if (p == NULL)
		return;
	for (i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

void
wr_u8(struct buf *b, uint8_t v)
{
	wr_fixed(b, v, 1);
}

void
wr_u16(struct buf *b, uint16_t v)
{
	wr_fixed(b, v, 2);
}

void
wr_u32(struct buf *b, uint32_t v)
{
	wr_fixed(b, v, 4);
}

void
wr_u64(struct buf *b, uint64_t v)
{
	wr_fixed(b, v, 8);
}

void
wr_varint(struct buf *b, uint64_t v)
{
	uint8_t out[VARINT_MAX_LEN];
	size_t n = 0;

	while (v >= 0x80) {
		out[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (uint8_t)v;
	buf_add(b, out, n);
}

void
wr_svarint(struct buf *b, int64_t v)
{
	uint64_t u = (uint64_t)v;

	wr_varint(b, u << 1 ^ (UINT64_C(0) - (u >> 63)));
}

void
wr_bytes(struct buf *b, const void *p, size_t n)
{
	buf_add(b, p, n);
}

void
wr_string(struct buf *b, const void *p, size_t n)
{
	wr_varint(b, n);
	buf_add(b, p, n);
}

void
wr_u32_at(struct buf *b, size_t at, uint32_t v)
{
	size_t i;

	if (b->failed)
		return;
	assert(b->len >= 4 && at <= b->len - 4);
	for (i = 0; i < 4; i++)
		b->data[at + i] = (uint8_t)(v >> (8 * i));
}
