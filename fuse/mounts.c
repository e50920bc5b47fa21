/*
 * mounts.c
 *
 * A line of mountinfo (proc(5)): id, parent, MAJOR:MINOR, root, mount point,
 * options, optional fields, "-", type, source, more.  Space, tab, newline and
 * backslash in a name are three octal digits after a backslash.  Of several
 * mounts at one place the one made last comes last, and covers the others.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/mounts.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#define TABLE       "/proc/self/mountinfo"
#define TABLE_PIECE 16384
#define TABLE_MAX   ((size_t)64 << 20)

static int
read_table(struct buf *out, struct err *e)
{
	char piece[TABLE_PIECE];
	int fd = io_open(AT_FDCWD, TABLE, O_RDONLY, 0, NULL, e);
	ssize_t n;

	if (fd < 0)
		return -1;
	do {
		n = io_read_some(fd, piece, sizeof(piece), out->len, TABLE, e);
		if (n > 0)
			buf_add(out, piece, (size_t)n);
	} while (n > 0 && out->len < TABLE_MAX && !out->failed);
	(void)io_close(fd, TABLE, NULL);
	if (n < 0)
		return -1;
	(void)buf_str(out);
	return buf_ok(out, e);
}

static bool
is_octal(const char *p)
{
	return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' &&
	       p[2] >= '0' && p[2] <= '7';
}

/* Whether the word at `p`, up to a space, stands for `path`. */
static bool
is_path(const char *p, const char *path)
{
	char c;

	for (; *p != ' ' && *p != '\0' && *path != '\0'; path++) {
		c = *p++;
		if (c == '\\' && is_octal(p)) {
			c = (char)((p[0] - '0') << 6 | (p[1] - '0') << 3 |
				   (p[2] - '0'));
			p += 3;
		}
		if (c != *path)
			return false;
	}
	return *p == ' ' && *path == '\0';
}

static bool
read_line(const char *line, const char *path, struct mounted *out)
{
	struct mounted m = { 0 };
	const char *type = strstr(line, " - ");
	int at = 0;

	if (type == NULL ||
	    sscanf(line, "%u %*u %u:%u %*s %n", &m.id, &m.major, &m.minor,
		   &at) < 3 ||
	    at == 0 || !is_path(line + at, path))
		return false;
	if (sscanf(type + 3, "%31s", m.type) != 1)
		return false;
	*out = m;
	return true;
}

int
mounts_find(const char *path, struct mounted *out, struct err *e)
{
	struct buf table = { 0 };
	char *line;
	char *rest;
	int rc = read_table(&table, e);

	if (rc == 0) {
		rc = 1;
		rest = (char *)table.data;
		while ((line = strsep(&rest, "\n")) != NULL)
			if (read_line(line, path, out))
				rc = 0;
	}
	buf_clear(&table);
	return rc;
}

bool
mounts_is_there(const char *path, const struct mounted *m)
{
	struct mounted now;

	return mounts_find(path, &now, NULL) == 0 && now.id == m->id &&
	       now.major == m->major && now.minor == m->minor;
}
