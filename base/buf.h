/*
 * buf - a byte buffer that grows.
 *
 * All-zero is a valid empty buffer.  A buffer that could not grow becomes
 * `failed` for good and takes no more bytes: write straight through and ask
 * buf_ok() once at the end.  buf_clear() gives the memory back and makes it
 * empty and good again; buf_reset() empties it and keeps the memory.
 * One thread at a time.
 */
#ifndef ASOF_BASE_BUF_H
#define ASOF_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct buf {
	uint8_t *data; /* len bytes; NULL while cap is 0 */
	size_t len;
	size_t cap;
	bool failed; /* an allocation failed */
};

void buf_clear(struct buf *b);
void buf_reset(struct buf *b);

/* Room for at least n more bytes.  Returns false when there is none. */
bool buf_reserve(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, const char *s); /* without its NUL */
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* n bytes at the end for the caller to fill; NULL when out of memory. */
uint8_t *buf_extend(struct buf *b, size_t n);

/*
 * The contents as a C string: puts a NUL behind the last byte without
 * counting it.  Returns "" when the buffer failed.  Owned by the buffer.
 */
const char *buf_str(struct buf *b);

/* 0 when every byte went in, else -1 and ERR_NOMEM. */
int buf_ok(const struct buf *b, struct err *e)
	__attribute__((warn_unused_result));

#endif
