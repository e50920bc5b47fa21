#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/buf.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* The smallest allocation: most names and messages fit. */
#define CAP_MIN 64

/* malloc gives no more, and pointer differences stay defined. */
#define CAP_MAX ((size_t)PTRDIFF_MAX)

void
buf_clear(struct buf *b)
{
	mem_free(b->data);
	memset(b, 0, sizeof(*b));
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
}

bool
buf_reserve(struct buf *b, size_t n)
{
	size_t cap;
	uint8_t *data;

	if (b->failed)
		return false;
	if (n <= b->cap - b->len)
		return true;
	if (n > CAP_MAX - b->len)
		goto fail;
	cap = b->cap <= CAP_MAX / 3 * 2 ? b->cap + b->cap / 2 : CAP_MAX;
	if (cap < b->len + n)
		cap = b->len + n;
	if (cap < CAP_MIN)
		cap = CAP_MIN;
	data = mem_resize(b->data, cap, 1);
	if (data == NULL)
		goto fail;
	b->data = data;
	b->cap = cap;
	return true;
fail:
	b->failed = true;
	return false;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0 || !buf_reserve(b, n))
		return;
	memcpy(b->data + b->len, p, n);
	b->len += n;
}

void
buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_add_char(struct buf *b, char c)
{
	if (!buf_reserve(b, 1))
		return;
	b->data[b->len++] = (uint8_t)c;
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if (!buf_reserve(b, (size_t)n + 1))
		return;
	va_start(ap, fmt);
	(void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

uint8_t *
buf_extend(struct buf *b, size_t n)
{
	uint8_t *p;

	/* Not even for no bytes is the answer NULL without a failure. */
	if (!buf_reserve(b, n > 0 ? n : 1))
		return NULL;
	p = b->data + b->len;
	b->len += n;
	return p;
}

const char *
buf_str(struct buf *b)
{
	if (!buf_reserve(b, 1))
		return "";
	b->data[b->len] = '\0';
	return (const char *)b->data;
}

int
buf_ok(const struct buf *b, struct err *e)
{
	return b->failed ? err_nomem(e) : 0;
}
