#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "base/hex.h"

#include "base/buf.h"

#include <stdint.h>

static const char digits[] = "0123456789abcdef";

void
hex_format(char *out, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	out[2 * n] = '\0';
}

void
hex_add(struct buf *out, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++) {
		buf_add_char(out, digits[b[i] >> 4]);
		buf_add_char(out, digits[b[i] & 15]);
	}
}

/* The value of a lower-case hexadecimal digit, or -1. */
static int
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
hex_parse(void *out, size_t n, const char *s)
{
	uint8_t *b = out;

	/* Look at all of it first: a failure leaves `out` untouched. */
	for (size_t i = 0; i < 2 * n; i++)
		if (digit_value(s[i]) < 0)
			return false;
	if (s[2 * n] != '\0')
		return false;
	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(digit_value(s[2 * i]) << 4 |
				 digit_value(s[2 * i + 1]));
	return true;
}
