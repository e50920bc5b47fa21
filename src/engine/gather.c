#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/gather.h"

#include "base/err.h"
#include "base/src.h"
#include "store/chunk.h"

#include <string.h>
#include <sys/sysmacros.h>

/*
 * The rest of an entry must fit too.  Who can write to a file can give it
 * more on some file systems, and is told.
 */
#define XATTR_BYTES_MAX (ENTRY_LEN_MAX - 2 * ENTRY_TARGET_MAX)

static struct ts
ts_of(const struct statx_timestamp *t)
{
	return (struct ts){ .sec = t->tv_sec, .nsec = t->tv_nsec };
}

void
gather_stat(const struct statx *st, uint32_t fs, struct entry *out)
{
	out->type = (uint8_t)entry_type_of_mode(st->stx_mode);
	out->mode = st->stx_mode & 07777;
	out->uid = st->stx_uid;
	out->gid = st->stx_gid;
	out->mtime = ts_of(&st->stx_mtime);
	out->ctime = ts_of(&st->stx_ctime);
	out->atime = ts_of(&st->stx_atime);
	if ((st->stx_mask & STATX_BTIME) != 0) {
		out->btime = ts_of(&st->stx_btime);
		out->flags |= ENTRY_BTIME;
	}
	out->fs = fs;
	out->ino = st->stx_ino;
	out->nlink = 1;
	if (out->type != ENTRY_DIR && st->stx_nlink > 1) {
		out->nlink = st->stx_nlink;
		out->flags |= ENTRY_LINKED;
	}
	out->major = st->stx_rdev_major;
	out->minor = st->stx_rdev_minor;
}

struct gathering {
	struct chunk_sink *sink;
	struct buf *bytes;
	unsigned count;
};

static int
add_xattr(void *ctx, const char *name, const void *value, size_t len,
	  struct err *e)
{
	struct gathering *g = ctx;
	struct xattr x = { .name = (const uint8_t *)name,
			   .name_len = strlen(name),
			   .value = value,
			   .len = len,
			   .inlined = len <= ENTRY_XATTR_INLINE };

	/* More than the format takes comes from no real file system. */
	if (x.name_len == 0 || x.name_len > 255 || len > ENTRY_XATTR_LEN_MAX ||
	    g->count >= ENTRY_XATTRS_MAX)
		return err_set(e, ERR_SOURCE, "xattrs too many or too long");
	if (!x.inlined &&
	    chunk_put(g->sink, KIND_DATA, value, len, &x.id, e) < 0)
		return -1;
	xattr_put(g->bytes, &x);
	g->count++;
	if (g->bytes->len > XATTR_BYTES_MAX)
		return err_set(e, ERR_SOURCE, "xattrs too many or too long");
	return buf_ok(g->bytes, e);
}

int
gather_xattrs(int fd, const char *name, struct chunk_sink *sink,
	      struct buf *bytes, struct entry *out, struct err *e)
{
	struct gathering g = { .sink = sink, .bytes = bytes };

	buf_reset(bytes);
	out->xattrs = 0;
	out->flags &= ~ENTRY_XATTRS;
	if (src_xattrs(fd, name, add_xattr, &g, e) < 0) {
		out->flags |= ENTRY_RACY;
		return -1;
	}
	if (g.count > 0) {
		out->flags |= ENTRY_XATTRS;
		out->xattrs = g.count;
		out->xattr_bytes = bytes->data;
		out->xattr_len = bytes->len;
	}
	return 0;
}
