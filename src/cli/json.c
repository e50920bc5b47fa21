#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/json.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "src/cli/ui.h"
#include "store/id.h"

#include <stdio.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define KEY_MAX     64
#define REAL_DIGITS 6

static struct json
begin(json_t *value)
{
	return (struct json){ value, value == NULL };
}

struct json
json_object_begin(void)
{
	return begin(json_object());
}

struct json
json_array_begin(void)
{
	return begin(json_array());
}

void
json_clear(struct json *j)
{
	json_decref(j->value);
	j->value = NULL;
}

/* Takes `v` over, also when it is NULL because it could not be made. */
static void
put(struct json *j, const char *key, json_t *v)
{
	if (json_object_set_new(j->value, key, v) < 0)
		j->failed = true;
}

void
json_put(struct json *j, const char *key, struct json *child)
{
	if (child->failed)
		j->failed = true;
	put(j, key, child->value);
	child->value = NULL;
}

void
json_add(struct json *array, struct json *child)
{
	if (child->failed)
		array->failed = true;
	if (json_array_append_new(array->value, child->value) < 0)
		array->failed = true;
	child->value = NULL;
}

/* What JSON readers may not take as a number becomes a string. */
struct json
json_u64(uint64_t v)
{
	char text[24];

	if (v <= INT64_MAX)
		return begin(json_integer((json_int_t)v));
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return begin(json_string(text));
}

void
json_put_u64(struct json *j, const char *key, uint64_t v)
{
	put(j, key, json_u64(v).value);
}

void
json_put_bool(struct json *j, const char *key, bool v)
{
	put(j, key, json_boolean(v));
}

void
json_put_real(struct json *j, const char *key, double v)
{
	put(j, key, json_real(v));
}

void
json_put_null(struct json *j, const char *key)
{
	put(j, key, json_null());
}

/* To the nanosecond where there are any. */
void
json_put_time(struct json *j, const char *key, struct ts t)
{
	char whole[TIME_TEXT_LEN];
	char text[TIME_TEXT_LEN + 16];
	size_t len;

	len = strlen(time_text(whole, t, false));
	if (t.nsec == 0 || len == 0) {
		put(j, key, json_string(whole));
		return;
	}
	(void)snprintf(text, sizeof(text), "%.*s.%09uZ", (int)len - 1, whole,
		       t.nsec);
	put(j, key, json_string(text));
}

static json_t *
hex_value(const void *p, size_t n)
{
	struct buf b = { 0 };
	char *text;
	json_t *v = NULL;

	text = (char *)buf_extend(&b, 2 * n + 1);
	if (text != NULL) {
		hex_format(text, p, n);
		v = json_stringn(text, 2 * n);
	}
	buf_clear(&b);
	return v;
}

void
json_put_hex(struct json *j, const char *key, const void *p, size_t n)
{
	put(j, key, hex_value(p, n));
}

/* --- names ---------------------------------------------------------------- */

/* Length of the UTF-8 character at p (RFC 3629), 0 when there is none. */
static size_t
char_len(const uint8_t *p, size_t len)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	size_t i;

	if (n == 1)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	for (i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* The bytes with U+FFFD for each that is not UTF-8; says if there was one. */
static json_t *
readable(const void *bytes, size_t len, bool *exact)
{
	const uint8_t *p = bytes;
	struct buf b = { 0 };
	json_t *v = NULL;
	size_t n;

	*exact = true;
	for (; len > 0; p += n, len -= n) {
		n = char_len(p, len);
		if (n > 0) {
			buf_add(&b, p, n);
			continue;
		}
		buf_add_str(&b, REPLACEMENT);
		*exact = false;
		n = 1;
	}
	if (!b.failed)
		v = json_stringn(buf_str(&b), b.len);
	buf_clear(&b);
	return v;
}

void
json_put_name(struct json *j, const char *key, const void *p, size_t n)
{
	char hex_key[KEY_MAX];
	bool exact;

	put(j, key, readable(p, n, &exact));
	if (exact)
		return;
	(void)snprintf(hex_key, sizeof(hex_key), "%s_hex", key);
	put(j, hex_key, hex_value(p, n));
}

void
json_put_text(struct json *j, const char *key, const char *s)
{
	bool exact;

	if (s == NULL)
		json_put_null(j, key);
	else
		put(j, key, readable(s, strlen(s), &exact));
}

struct json
json_text(const char *s)
{
	bool exact;

	return begin(readable(s, strlen(s), &exact));
}

/* --- printing ------------------------------------------------------------- */

static int
write_out(const char *p, size_t n, void *ctx)
{
	(void)ctx;
	ui_write(p, n);
	return 0;
}

int
json_print(struct json *j, bool one_line, struct err *e)
{
	size_t flags = JSON_REAL_PRECISION(REAL_DIGITS) |
		       (one_line ? JSON_COMPACT : JSON_INDENT(2));
	int rc = 0;

	/* A name alone is enough to say; a missing one would be a lie. */
	if (j->failed)
		rc = err_nomem(e);
	else if (json_dump_callback(j->value, write_out, NULL, flags) < 0)
		rc = err_nomem(e);
	else
		ui_write("\n", 1);
	json_clear(j);
	return rc;
}
