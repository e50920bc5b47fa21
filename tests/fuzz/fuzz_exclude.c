/*
 * fuzz_exclude - lines of patterns, an empty line, a path.
 *
 * Besides not failing: the record keeps patterns as text, so compiling them
 * again must give the same answer; a last pattern that matches everything
 * decides; and a path that is quoted byte by byte matches itself.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/exclude.h"

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct exclude *
new_exclude(void)
{
	struct exclude *x;

	if (exclude_new(&x, NULL) < 0)
		abort();
	return x;
}

/* Add the line unless it is refused, which must have a sentence. */
static void
add(struct exclude *x, const char *line)
{
	struct err e = { 0 };

	if (exclude_add(x, line, &e) < 0 && e.text[0] == '\0')
		abort();
}

/* An absolute, normal path of what is left; false when it would be "/". */
static bool
make_path(const uint8_t *p, size_t n, struct buf *out)
{
	bool slash = true;
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] == '\0' || p[i] == '/') {
			slash = true;
			continue;
		}
		if (slash)
			buf_add_char(out, '/');
		buf_add(out, &p[i], 1);
		slash = false;
	}
	return out->len > 0;
}

static void
check_again(const struct exclude *x, const char *path, bool dir, bool yes)
{
	struct exclude *y = new_exclude();
	size_t i;

	for (i = 0; i < exclude_count(x); i++)
		if (exclude_add(y, exclude_pattern(x, i), NULL) < 0)
			abort();
	if (exclude_match(y, path, 0, dir) != yes)
		abort();
	add(y, "**");
	if (!exclude_match(y, path, 0, dir))
		abort();
	add(y, "!/**");
	if (exclude_match(y, path, 0, dir))
		abort();
	exclude_free(y);
}

static void
check_quoted(const char *path)
{
	struct exclude *x = new_exclude();
	struct buf quoted = { 0 };
	const char *s;

	for (s = path; *s != '\0'; s++) {
		if (*s != '/')
			buf_add_char(&quoted, '\\');
		buf_add_char(&quoted, *s);
	}
	if (exclude_add(x, buf_str(&quoted), NULL) < 0 ||
	    !exclude_match(x, path, 0, false))
		abort();
	buf_clear(&quoted);
	exclude_free(x);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct exclude *x = new_exclude();
	struct buf line = { 0 };
	struct buf path = { 0 };
	bool dir = size > 0 && (data[0] & 1) != 0;
	size_t i;

	for (i = 0; i < size; i++) {
		if (data[i] != '\n') {
			if (data[i] != '\0')
				buf_add(&line, &data[i], 1);
			continue;
		}
		if (line.len == 0)
			break;
		add(x, buf_str(&line));
		buf_reset(&line);
	}
	if (make_path(data + i, size - i, &path)) {
		bool yes = exclude_match(x, buf_str(&path), 0, dir);

		check_again(x, buf_str(&path), dir, yes);
		check_quoted(buf_str(&path));
	}
	buf_clear(&line);
	buf_clear(&path);
	exclude_free(x);
	return 0;
}
