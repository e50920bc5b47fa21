/*
 * cursor - bounded reading and writing of stored bytes.
 *
 * rd: a cursor over bytes that are not trusted.  A read past the end makes
 * it bad for good and yields zero (or NULL); a decoder reads straight
 * through, asks rd_ok() once, checks ranges, and only then uses anything.
 * Use one rd_ call per statement: C gives calls inside one expression no
 * order.
 *
 * wr: the mirror image, functions that append to a struct buf, whose own
 * `failed` mark is asked once at the end.
 *
 * All integers are little-endian.  A varint is LEB128: seven bits a byte,
 * lowest first, at most ten bytes, no needless last zero byte (such a one
 * makes the cursor bad, so that every value has one encoding).  A signed
 * varint is zigzag.  A string is a varint length and bytes.
 */
#ifndef ASOF_BASE_CURSOR_H
#define ASOF_BASE_CURSOR_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rd {
	const uint8_t *p; /* the next byte */
	size_t left;
	bool bad;
};

struct rd rd_init(const void *p, size_t len);

uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
int64_t rd_svarint(struct rd *r);

/* Copy the next n bytes to `out`; zeros when bad. */
void rd_copy(struct rd *r, void *out, size_t n);

/* A varint of any length; rd_varint asks for it when it is not one byte. */
uint64_t rd_varint_long(struct rd *r);

/*
 * What follows is inline because directories are made of it, and a listing
 * passes every byte of theirs.  A bad cursor has nothing left.
 */
static inline void
rd_go_bad(struct rd *r)
{
	r->bad = true;
	r->left = 0;
}

static inline uint8_t
rd_u8(struct rd *r)
{
	if (r->left == 0) {
		rd_go_bad(r);
		return 0;
	}
	r->left--;
	return *r->p++;
}

static inline uint64_t
rd_varint(struct rd *r)
{
	if (r->left == 0 || *r->p >= 0x80)
		return rd_varint_long(r);
	r->left--;
	return *r->p++;
}

/* A varint of at most `max`; a larger one makes the cursor bad. */
static inline uint64_t
rd_varint_max(struct rd *r, uint64_t max)
{
	uint64_t v = rd_varint(r);

	if (v <= max)
		return v;
	rd_go_bad(r);
	return 0;
}

/* The next n bytes in place (they belong to the input), or NULL. */
static inline const uint8_t *
rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad)
		return NULL;
	if (n > r->left) {
		rd_go_bad(r);
		return NULL;
	}
	r->p += n;
	r->left -= n;
	return p;
}

/* A string of at most `max` bytes in place; *len is 0 when bad. */
static inline const uint8_t *
rd_string(struct rd *r, size_t max, size_t *len)
{
	size_t n = (size_t)rd_varint_max(r, max);
	const uint8_t *p = rd_bytes(r, n);

	*len = p != NULL ? n : 0;
	return p;
}

static inline bool
rd_ok(const struct rd *r)
{
	return !r->bad;
}

/* Not bad, and nothing left over. */
static inline bool
rd_done(const struct rd *r)
{
	return !r->bad && r->left == 0;
}

void wr_u8(struct buf *b, uint8_t v);
void wr_u16(struct buf *b, uint16_t v);
void wr_u32(struct buf *b, uint32_t v);
void wr_u64(struct buf *b, uint64_t v);
void wr_varint(struct buf *b, uint64_t v);
void wr_svarint(struct buf *b, int64_t v);
void wr_bytes(struct buf *b, const void *p, size_t n);
void wr_string(struct buf *b, const void *p, size_t n);

/* Overwrite four bytes already written at `at` (for lengths put in late). */
void wr_u32_at(struct buf *b, size_t at, uint32_t v);

#endif
