/*
 * The identity of a file system is part of what the next backup compares
 * (doc/format.md, section 8).  A snapshot is another file system than its
 * source, and the next one is another again; so everything in it goes by the
 * identity of the source's.  Where the snapshot keeps inode numbers and ctimes
 * (a copy-on-write subvolume, a logical volume, a reflinked image) the next
 * backup then recognizes what did not change.  Where it does not, because it is
 * a copy, inode and ctime differ and everything is read: nothing has to be known
 * of the provider.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/standin.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t
dev_of(const struct statx *st)
{
	return (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
}

int
standin_look_source(struct standin *s, struct err *e)
{
	struct statx st;
	int fd = src_open(AT_FDCWD, s->source, O_DIRECTORY, e);
	int rc = -1;

	if (fd < 0)
		return -1;
	if (src_stat(fd, "", &st, e) == 0 && src_fs_id(fd, s->fs, e) == 0) {
		s->source_dev = dev_of(&st);
		s->fs_type = (uint64_t)src_fs_type(fd);
		rc = 0;
	}
	src_close(fd);
	return rc;
}

int
standin_look_place(struct standin *s, struct err *e)
{
	struct statx st;

	if (src_stat(AT_FDCWD, s->place, &st, e) < 0)
		return -1;
	s->dev = dev_of(&st);
	return 0;
}

const struct standin *
standin_at(const struct standins *all, const char *path)
{
	size_t i;

	for (i = 0; all != NULL && i < all->count; i++)
		if (strcmp(all->v[i].source, path) == 0)
			return &all->v[i];
	return NULL;
}

const struct standin *
standin_above(const struct standins *all, const char *path)
{
	const struct standin *best = NULL;
	size_t i;

	for (i = 0; all != NULL && i < all->count; i++) {
		const struct standin *s = &all->v[i];

		if (path_beneath(path, s->source) &&
		    strcmp(path, s->source) != 0 &&
		    (best == NULL || strlen(s->source) > strlen(best->source)))
			best = s;
	}
	return best;
}

int
standin_path(const struct standins *all, const char *path, struct buf *out,
	     struct err *e)
{
	const struct standin *s = standin_at(all, path);

	if (s == NULL)
		s = standin_above(all, path);
	buf_reset(out);
	if (s != NULL) {
		buf_add_str(out, s->place);
		/* "/" has no name to be cut off. */
		path += s->source[1] != '\0' ? strlen(s->source) :
			path[1] == '\0'      ? 1 :
					       0;
	}
	buf_add_str(out, path);
	(void)buf_str(out);
	return buf_ok(out, e);
}

bool
standin_has(const struct standin *s, const struct statx *st)
{
	return s != NULL && dev_of(st) == s->dev;
}
