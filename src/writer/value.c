#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/value.h"

#include "base/buf.h"
#include "base/path.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_SEC 1000000000
#define NS_DIGITS  9

/* --- names and paths -------------------------------------------------------- */

/* What is wrong with one name of a path, or NULL. */
static const char *
name_fault(const char *s, size_t len)
{
	if (len == 0)
		return "an empty name";
	if (len > VALUE_NAME_MAX)
		return "a name of more than 255 bytes";
	if (!path_name_ok(s, len))
		return "a name that is . or ..";
	return NULL;
}

/* What is wrong with names that slashes join, or NULL. */
static const char *
names_fault(const char *s)
{
	const char *fault;
	const char *slash;

	for (;; s = slash + 1) {
		slash = strchrnul(s, '/');
		fault = name_fault(s, (size_t)(slash - s));
		if (fault != NULL || *slash == '\0')
			return fault;
	}
}

const char *
value_path_fault(const char *s)
{
	if (s[0] != '/')
		return "not an absolute path";
	if (strlen(s) > VALUE_PATH_MAX)
		return "a path of more than 4095 bytes";
	return s[1] == '\0' ? NULL : names_fault(s + 1);
}

const char *
value_file_fault(const char *s)
{
	return strcmp(s, "/") == 0 ? "not a file" : value_path_fault(s);
}

void
value_trim_dir(char *s, size_t *len)
{
	if (*len > 2 && s[*len - 1] == '/')
		s[--*len] = '\0';
}

const char *
value_writer_fault(const char *s)
{
	size_t i;

	if (s[0] == '.')
		return "a writer's name does not begin with a dot";
	for (i = 0; s[i] != '\0'; i++)
		if (s[i] == '/' || s[i] <= ' ' || s[i] > '~')
			return "a writer's name has printable ASCII and no "
			       "slash";
	return name_fault(s, i);
}

/* --- components ------------------------------------------------------------- */

static bool
must_escape(const char *s, size_t i)
{
	uint8_t c = (uint8_t)s[i];

	return c <= ' ' || c == 0x7f || c == '/' || c == '%' ||
	       (i == 0 && c == '.');
}

const char *
value_component_fault(const char *s)
{
	size_t len = 0;
	size_t i;

	for (i = 0; s[i] != '\0' && len <= VALUE_COMPONENT_MAX; i++)
		len += must_escape(s, i) ? 3 : 1;
	if (len > VALUE_COMPONENT_MAX)
		return "a component whose directory name would have more than "
		       "255 bytes";
	return names_fault(s);
}

void
value_component_dir(const char *s, struct buf *out)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++)
		if (must_escape(s, i))
			buf_printf(out, "%%%02X", (uint8_t)s[i]);
		else
			buf_add_char(out, s[i]);
}

/* A digit as value_component_dir writes it, or -1. */
static int
upper_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
value_component_of_dir(const char *dir, size_t len, struct buf *out)
{
	size_t start = out->len;
	struct buf again = { 0 };
	const char *s;
	bool same = false;
	size_t i;

	for (i = 0; i < len; i++) {
		int high = i + 2 < len ? upper_digit(dir[i + 1]) : -1;
		int low = i + 2 < len ? upper_digit(dir[i + 2]) : -1;

		if (dir[i] == '%' && high >= 0 && low >= 0) {
			buf_add_char(out, (char)(high << 4 | low));
			i += 2;
		} else {
			buf_add_char(out, dir[i]);
		}
	}
	/* One name each: what would be written differently is no name. */
	s = buf_str(out) + start;
	if (!out->failed && strlen(s) == out->len - start &&
	    value_component_fault(s) == NULL) {
		value_component_dir(s, &again);
		same = !again.failed && again.len == len &&
		       memcmp(again.data, dir, len) == 0;
	}
	buf_clear(&again);
	if (!same)
		out->len = start;
	return same;
}

/* --- numbers ---------------------------------------------------------------- */

size_t
value_number_len(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!(s[i] >= '0' && s[i] <= '9') &&
		    !((s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'z'))
			break;
	return i;
}

bool
value_number(const char *s, size_t len, uint64_t *out)
{
	uint64_t base = 10;
	uint64_t v = 0;
	unsigned d;
	size_t i = 0;

	if (len > 2 && s[0] == '0' && (s[1] | 0x20) == 'x') {
		base = 16;
		i = 2;
	}
	if (i == len)
		return false;
	for (; i < len; i++) {
		if (s[i] >= '0' && s[i] <= '9')
			d = (unsigned)(s[i] - '0');
		else if ((s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'f')
			d = (unsigned)((s[i] | 0x20) - 'a') + 10;
		else
			return false;
		if (d >= base || __builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v))
			return false;
	}
	*out = v;
	return true;
}

/* --- times ------------------------------------------------------------------ */

static size_t
digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* Digits behind a point, as nanoseconds. */
static uint32_t
fraction(const char *s, size_t n)
{
	uint32_t v = 0;
	size_t i;

	for (i = 0; i < NS_DIGITS; i++)
		v = 10 * v + (i < n ? (uint32_t)(s[i] - '0') : 0);
	return v;
}

/* SECONDS[.NANOSECONDS] */
static bool
parse_seconds(const char *s, struct ts *out)
{
	bool before = *s == '-';
	uint64_t whole;
	uint32_t ns = 0;
	size_t n;

	s += before;
	n = digits(s);
	if (n == 0 || !value_number(s, n, &whole) || whole > INT64_MAX)
		return false;
	s += n;
	if (*s == '.') {
		if (digits(s + 1) != NS_DIGITS)
			return false;
		ns = fraction(s + 1, NS_DIGITS);
		s += 1 + NS_DIGITS;
	}
	if (*s != '\0')
		return false;
	out->sec = before ? -(int64_t)whole : (int64_t)whole;
	out->nsec = ns;
	/* -1.25 is a quarter before the second before 1970. */
	if (before && ns > 0) {
		out->sec--;
		out->nsec = NS_PER_SEC - ns;
	}
	return true;
}

bool
value_time(const char *s, struct ts *out)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd";
	char text[sizeof(shape) + sizeof("+00:00")];
	size_t len = sizeof(shape) - 1;
	size_t n = 0;
	struct ts t;
	size_t i;
	bool day;

	if (*s == '@')
		return parse_seconds(s + 1, out);
	for (i = 0; i < len; i++)
		if (shape[i] == 'd' ? s[i] < '0' || s[i] > '9'
				    : s[i] != shape[i])
			return false;
	memcpy(text, s, len);
	s += len;
	if (*s == '.') {
		n = digits(++s);
		if (n == 0 || n > NS_DIGITS)
			return false;
	}
	/* The rest is the zone; without one it would be local time. */
	if (s[n] == '\0' || strlen(s + n) > sizeof("+00:00") - 1)
		return false;
	memcpy(text + len, s + n, strlen(s + n) + 1);
	if (!time_parse(text, &t, &day))
		return false;
	out->sec = t.sec;
	out->nsec = fraction(s, n);
	return true;
}

void
value_print_time(struct ts t, struct buf *out)
{
	/* The first and the last second of the years 0 to 9999. */
	static const int64_t first = INT64_C(-62167219200);
	static const int64_t last = INT64_C(253402300799);
	char text[TIME_TEXT_LEN];
	uint64_t whole = (uint64_t)t.sec;
	uint32_t ns = t.nsec;

	if (t.sec >= first && t.sec <= last) {
		(void)time_text(text, t, false);
		buf_add(out, text, strlen(text) - 1);
		if (ns > 0)
			buf_printf(out, ".%09" PRIu32, ns);
		buf_add_char(out, 'Z');
		return;
	}
	if (t.sec < 0) {
		whole = -whole - (ns > 0);
		ns = ns > 0 ? NS_PER_SEC - ns : 0;
	}
	buf_printf(out, "@%s%" PRIu64, t.sec < 0 ? "-" : "", whole);
	if (ns > 0)
		buf_printf(out, ".%09" PRIu32, ns);
}
