/*
 * The sentence is built in place and cut when it is too long.  A cut never
 * leaves half a UTF-8 character, because messages go to terminals and into
 * JSON.  errno survives every function here, so that a caller may report
 * first and look at errno later.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define CUT_MARK "..."

/* How many bytes of s[0..len) remain when a last partial character goes. */
static size_t
whole_chars(const char *s, size_t len)
{
	size_t i;
	size_t need;
	unsigned char c;

	for (i = len; i > 0 && len - i < 4; i--) {
		c = (unsigned char)s[i - 1];
		if ((c & 0xc0) == 0x80)
			continue;
		need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
		return len - (i - 1) >= need ? len : i - 1;
	}
	return len;
}

/*
 * Write the formatted text at text[0..cap), cut to fit with a mark; there is
 * always room for that.  Returns its length; a NUL stands behind it.
 */
static size_t __attribute__((format(printf, 3, 0)))
put(char *text, size_t cap, const char *fmt, va_list ap)
{
	size_t len;
	int n;

	n = vsnprintf(text, cap, fmt, ap);
	if (n < 0) {
		text[0] = '\0';
		return 0;
	}
	if ((size_t)n < cap)
		return (size_t)n;
	len = whole_chars(text, cap - sizeof(CUT_MARK));
	memcpy(text + len, CUT_MARK, sizeof(CUT_MARK));
	return len + sizeof(CUT_MARK) - 1;
}

static void __attribute__((format(printf, 4, 0)))
set(struct err *e, enum err_kind kind, int errnum, const char *fmt, va_list ap)
{
	char buf[128];
	const char *why = NULL;
	size_t why_len = 0;
	size_t len;

	if (errnum != 0) {
		why = strerror_r(errnum, buf, sizeof(buf));
		why_len = strnlen(why, sizeof(buf)) + 2;
	}
	/* The reason stays even where the sentence must be cut. */
	len = put(e->text, sizeof(e->text) - why_len, fmt, ap);
	if (why != NULL) {
		memcpy(e->text + len, ": ", 2);
		memcpy(e->text + len + 2, why, why_len - 2);
		e->text[len + why_len] = '\0';
	}
	e->kind = kind;
	e->saved_errno = errnum;
}

int
err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (e != NULL && e->kind == ERR_NONE) {
		va_start(ap, fmt);
		set(e, kind, 0, fmt, ap);
		va_end(ap);
	}
	errno = saved;
	return -1;
}

static void __attribute__((format(printf, 3, 0)))
set_errno(struct err *e, enum err_kind kind, const char *fmt, va_list ap)
{
	int saved = errno;

	if (e != NULL && e->kind == ERR_NONE) {
		set(e, saved == ENOMEM ? ERR_NOMEM : kind, saved, fmt, ap);
		if (saved == ENOMEM)
			e->saved_errno = 0;
	}
	errno = saved;
}

int
err_sys(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_errno(e, ERR_SYS, fmt, ap);
	va_end(ap);
	return -1;
}

int
err_source(struct err *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_errno(e, ERR_SOURCE, fmt, ap);
	va_end(ap);
	return -1;
}

int
err_nomem(struct err *e)
{
	return err_set(e, ERR_NOMEM, "out of memory");
}

bool
err_is_rot(const struct err *e)
{
	return e->kind == ERR_CORRUPT ||
	       (e->kind == ERR_SYS && e->saved_errno == EIO);
}

int
err_prefix(struct err *e, const char *fmt, ...)
{
	int saved = errno;
	char text[ERR_TEXT_LEN];
	size_t len;
	size_t tail;
	va_list ap;

	if (e == NULL || e->kind == ERR_NONE)
		return -1;
	/* Half of the room is enough for any prefix; the rest is the cause. */
	va_start(ap, fmt);
	len = put(text, sizeof(text) / 2, fmt, ap);
	va_end(ap);
	memcpy(text + len, ": ", 2);
	len += 2;
	tail = strnlen(e->text, sizeof(e->text) - 1);
	if (tail > sizeof(text) - 1 - len) {
		tail = sizeof(text) - len - sizeof(CUT_MARK);
		tail = whole_chars(e->text, tail);
		memcpy(e->text + tail, CUT_MARK, sizeof(CUT_MARK) - 1);
		tail += sizeof(CUT_MARK) - 1;
	}
	memcpy(text + len, e->text, tail);
	text[len + tail] = '\0';
	memcpy(e->text, text, len + tail + 1);
	errno = saved;
	return -1;
}

void
err_clear(struct err *e)
{
	if (e == NULL)
		return;
	e->kind = ERR_NONE;
	e->saved_errno = 0;
	e->text[0] = '\0';
}

void
err_move(struct err *to, struct err *from)
{
	if (from == NULL || to == from)
		return;
	if (to != NULL && to->kind == ERR_NONE && from->kind != ERR_NONE)
		*to = *from;
	err_clear(from);
}
