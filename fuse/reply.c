/*
 * reply.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/reply.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "fuse/inode.h"
#include "fuse/report.h"
#include "fuse/root.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* --- failures ------------------------------------------------------------- */

static int
errno_of(const struct err *why)
{
	if (why->kind == ERR_NOMEM)
		return ENOMEM;
	if (why->kind == ERR_SYS &&
	    (why->saved_errno == EMFILE || why->saved_errno == ENFILE))
		return why->saved_errno;
	return EIO;
}

static bool
is_forgotten(const struct fs *fs, uint64_t ino)
{
	struct root_list *l;
	bool gone;

	if (fs->root == NULL || ino >> INO_GENERATION_SHIFT == 0)
		return false;
	l = root_current(fs->root);
	gone = root_find_gen(l, (uint32_t)(ino >> INO_GENERATION_SHIFT)) ==
	       NULL;
	root_list_unref(l);
	return gone;
}

static void
say(const struct fs *fs, uint64_t ino, const struct err *why)
{
	struct buf place = { 0 };
	struct inode *i = NULL;

	if (!report_has_room())
		return;
	if (ino >> INO_GENERATION_SHIFT != 0 &&
	    inodes_get(fs->inodes, ino, &i, NULL) == 0)
		inode_path(i, &place);
	else
		buf_printf(&place, "inode %" PRIu64, ino);
	inodes_put(fs->inodes, i);
	report_line("%s: %s", buf_str(&place), why->text);
	buf_clear(&place);
}

int
reply_errno(const struct fs *fs, uint64_t ino, const struct err *why)
{
	if (is_forgotten(fs, ino))
		return ESTALE;
	say(fs, ino, why);
	return errno_of(why);
}

void
reply_failure(fuse_req_t req, uint64_t ino, const struct err *why)
{
	(void)fuse_reply_err(req,
			     reply_errno(fuse_req_userdata(req), ino, why));
}

/* --- listings ------------------------------------------------------------- */

int
listing_begin(struct listing *l, fuse_req_t req, size_t cap, bool plus,
	      struct err *e)
{
	*l = (struct listing){ .req = req, .plus = plus };
	l->p = mem_alloc(cap);
	if (l->p == NULL)
		return err_nomem(e);
	l->cap = cap;
	return 0;
}

bool
listing_add(struct listing *l, const char *name,
	    const struct fuse_entry_param *entry, off_t next)
{
	size_t left = l->cap - l->len;
	size_t n;

	if (l->plus)
		n = fuse_add_direntry_plus(l->req, l->p + l->len, left, name,
					   entry, next);
	else
		n = fuse_add_direntry(l->req, l->p + l->len, left, name,
				      &entry->attr, next);
	if (n > left)
		return false;
	l->len += n;
	return true;
}

bool
listing_add_dots(struct listing *l, off_t from, uint64_t ino, uint64_t parent)
{
	struct fuse_entry_param dot = { 0 };

	dot.attr.st_mode = S_IFDIR;
	dot.attr.st_ino = ino;
	if (from < 1 && !listing_add(l, ".", &dot, 1))
		return false;
	dot.attr.st_ino = parent;
	return from >= 2 || listing_add(l, "..", &dot, 2);
}

void
listing_end(struct listing *l, uint64_t ino, int rc, const struct err *why)
{
	struct fs *fs = fuse_req_userdata(l->req);

	if (rc < 0 && l->len == 0) {
		reply_failure(l->req, ino, why);
	} else {
		counts_bytes(&fs->counts,
			     l->plus ? COUNTS_READDIRPLUS : COUNTS_READDIR,
			     l->len);
		(void)fuse_reply_buf(l->req, l->p, l->len);
	}
	mem_free(l->p);
	l->p = NULL;
}
