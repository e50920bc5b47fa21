#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/path.h"

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool
path_name_ok(const void *name, size_t len)
{
	const char *s = name;

	if (len == 0 || len > PATH_NAME_MAX)
		return false;
	if (memchr(s, '/', len) != NULL || memchr(s, '\0', len) != NULL)
		return false;
	if (s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')))
		return false;
	return true;
}

bool
path_next(const char *path, size_t *pos, const char **name, size_t *len)
{
	const char *p = path + *pos;

	while (*p == '/')
		p++;
	if (*p == '\0') {
		*pos = (size_t)(p - path);
		return false;
	}
	*name = p;
	while (*p != '/' && *p != '\0')
		p++;
	*len = (size_t)(p - *name);
	*pos = (size_t)(p - path);
	return true;
}

/* Drop the last "/name" of what stands behind `start`. */
static void
drop_last(struct buf *out, size_t start)
{
	while (out->len > start && out->data[--out->len] != '/')
		;
}

/* Apply the components of `path` to the absolute path behind `start`. */
static int
add_components(const char *path, size_t start, struct buf *out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *name;
	size_t len;
	size_t pos = 0;

	while (path_next(path, &pos, &name, &len)) {
		if (len == 1 && name[0] == '.')
			continue;
		if (len == 2 && name[0] == '.' && name[1] == '.') {
			drop_last(out, start);
			continue;
		}
		if (len > PATH_NAME_MAX)
			return err_set(e, ERR_USAGE,
				       "%s: name is longer than %d bytes",
				       path_show_in(shown, name, len),
				       PATH_NAME_MAX);
		buf_add_char(out, '/');
		buf_add(out, name, len);
	}
	return 0;
}

int
path_absolute(const char *cwd, const char *path, struct buf *out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	size_t start = out->len;

	if (path[0] == '\0')
		return err_set(e, ERR_USAGE, "a path is empty");
	if (path[0] != '/' && cwd[0] != '/')
		return err_set(e, ERR_USAGE, "%s: not an absolute path",
			       path_show_in(shown, cwd, strlen(cwd)));
	if (path[0] != '/' && add_components(cwd, start, out, e) < 0)
		goto fail;
	if (add_components(path, start, out, e) < 0)
		goto fail;
	if (out->len - start > PATH_LEN_MAX) {
		err_set(e, ERR_USAGE, "%s: longer than %d bytes",
			path_show_in(shown, path, strlen(path)), PATH_LEN_MAX);
		goto fail;
	}
	if (out->len == start)
		buf_add_char(out, '/');
	if (buf_ok(out, e) == 0)
		return 0;
fail:
	out->len = start;
	return -1;
}

bool
path_of_ours(const char *own, const char *root, const char *xdg,
	     const char *home, struct buf *out)
{
	const char *dir = secure_getenv(own);
	const char *below = "";

	if (dir == NULL && geteuid() == 0)
		dir = root;
	if (dir == NULL) {
		below = "asof";
		dir = secure_getenv(xdg);
	}
	if (dir == NULL || dir[0] != '/') {
		below = home;
		dir = secure_getenv("HOME");
	}
	if (dir == NULL || dir[0] != '/')
		return false;
	buf_add_str(out, dir);
	if (below[0] != '\0')
		buf_printf(out, "/%s", below);
	return true;
}

bool
path_beneath(const char *path, const char *top)
{
	size_t len = strlen(top);

	if (len == 1 && top[0] == '/')
		return path[0] == '/';
	return strncmp(path, top, len) == 0 &&
	       (path[len] == '\0' || path[len] == '/');
}

/* What one character becomes: four bytes of \xHH at most. */
#define SHOW_PIECE_MAX 16

/*
 * Valid characters that a terminal does not show as what they are: they
 * vanish, or turn the direction of what follows.
 */
static const struct {
	uint32_t first;
	uint32_t last;
} hidden[] = {
	{ 0x0000, 0x001f },   /* C0 */
	{ 0x007f, 0x009f },   /* DEL, C1 */
	{ 0x00ad, 0x00ad },   /* soft hyphen */
	{ 0x061c, 0x061c },   /* Arabic letter mark */
	{ 0x180e, 0x180e },   /* vowel separator */
	{ 0x200b, 0x200f },   /* zero width, direction marks */
	{ 0x2028, 0x202e },   /* separators, embeddings, overrides */
	{ 0x2060, 0x206f },   /* joiners, isolates */
	{ 0xfdd0, 0xfdef },   /* no characters */
	{ 0xfeff, 0xfeff },   /* byte order mark */
	{ 0xfff0, 0xfffb },   /* annotations */
	{ 0xfffe, 0xffff },   /* no characters */
	{ 0xe0000, 0xe0fff }, /* tags */
};

static bool
is_hidden(uint32_t c)
{
	size_t i;

	for (i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (c >= hidden[i].first && c <= hidden[i].last)
			return true;
	return false;
}

/*
 * Decode one character as RFC 3629 has it (no overlong forms, no surrogates).
 * Returns its length; 0 when these bytes are none.
 */
static size_t
utf8_decode(const uint8_t *p, size_t len, uint32_t *out)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = p[0];
	size_t n;
	size_t i;

	if (c < 0x80) {
		*out = c;
		return 1;
	}
	n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4 || n > len)
		return 0;
	c &= 0x7fU >> n;
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*out = c;
	return n;
}

/*
 * Turn the first character at p into `piece`, setting its length.  Returns
 * how many bytes of the input that took.
 */
static size_t
show_one(const uint8_t *p, size_t len, char piece[SHOW_PIECE_MAX],
	 size_t *piece_len)
{
	static const char digits[] = "0123456789abcdef";
	static const char escaped[] = "\n\r\t\\";
	static const char letter[] = "nrt\\";
	const char *at;
	uint32_t c = 0;
	size_t n = utf8_decode(p, len, &c);
	size_t i;

	at = n == 1 && c != 0 ? strchr(escaped, (int)c) : NULL;
	if (at != NULL) {
		piece[0] = '\\';
		piece[1] = letter[at - escaped];
		*piece_len = 2;
		return n;
	}
	if (n > 0 && !is_hidden(c)) {
		memcpy(piece, p, n);
		*piece_len = n;
		return n;
	}
	if (n == 0)
		n = 1;
	for (i = 0; i < n; i++) {
		piece[4 * i] = '\\';
		piece[4 * i + 1] = 'x';
		piece[4 * i + 2] = digits[p[i] >> 4];
		piece[4 * i + 3] = digits[p[i] & 15];
	}
	*piece_len = 4 * n;
	return n;
}

void
path_show(struct buf *out, const void *path, size_t len)
{
	const uint8_t *p = path;
	char piece[SHOW_PIECE_MAX];
	size_t piece_len;
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = show_one(p, len, piece, &piece_len);
		buf_add(out, piece, piece_len);
	}
}

const char *
path_show_in(char out[PATH_SHOW_LEN], const void *path, size_t len)
{
	const uint8_t *p = path;
	char piece[SHOW_PIECE_MAX];
	size_t piece_len;
	size_t at = 0;
	size_t cut = 0; /* the last place where the dots still fit */
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = show_one(p, len, piece, &piece_len);
		if (at + piece_len > PATH_SHOW_LEN - 1) {
			memcpy(out + cut, "...", 4);
			return out;
		}
		memcpy(out + at, piece, piece_len);
		at += piece_len;
		if (at <= PATH_SHOW_LEN - 4)
			cut = at;
	}
	out[at] = '\0';
	return out;
}
