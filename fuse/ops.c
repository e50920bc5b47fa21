/*
 * ops.c
 *
 * What the kernel is told at the start is chosen so that it asks as little as
 * possible: with every name listed it learns the attributes too, it keeps
 * listings, targets of symlinks and file contents until it is told otherwise,
 * and it reads one directory in several threads.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/ops.h"

#include "fuse/attr.h"
#include "fuse/counts.h"
#include "fuse/root.h"
#include "fuse/stored.h"
#include "fuse/versions.h"
#include "fuse/virtual.h"
#include "fuse/vnode.h"
#include "src/engine/view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/statvfs.h>

/* Read-ahead and writing are in the background; the kernel's 12 is little. */
#define BACKGROUND_MAX       64
#define BACKGROUND_CONGESTED 48

/* --- beginning ------------------------------------------------------------ */

static void
want(struct fuse_conn_info *c, unsigned caps)
{
	c->want |= c->capable & caps;
}

static void
op_init(void *data, struct fuse_conn_info *c)
{
	const struct fs *fs = data;

	c->want &= ~(unsigned)(FUSE_CAP_READDIRPLUS_AUTO |
			       FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ |
			       FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
			       FUSE_CAP_ATOMIC_O_TRUNC);
	want(c, FUSE_CAP_READDIRPLUS | FUSE_CAP_EXPLICIT_INVAL_DATA |
			FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_PARALLEL_DIROPS |
			FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_ASYNC_READ |
			FUSE_CAP_ASYNC_DIO);
	if (fs->allow_other)
		want(c, FUSE_CAP_POSIX_ACL);
	c->max_background = BACKGROUND_MAX;
	c->congestion_threshold = BACKGROUND_CONGESTED;
}

/* --- requests ------------------------------------------------------------- */

/* Every request passes here, once. */
static struct fs *
counted(fuse_req_t req, enum counts_kind kind)
{
	struct fs *fs = fuse_req_userdata(req);

	counts_request(&fs->counts, kind);
	return fs;
}

/* A node of the mount alone? */
static bool
is_virtual(const struct fs *fs, fuse_ino_t node)
{
	return fs->root != NULL && node >> INO_GENERATION_SHIFT == 0;
}

static void
op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = counted(req, COUNTS_LOOKUP);

	if (is_virtual(fs, parent))
		virtual_lookup(fs, req, parent, name);
	else
		stored_lookup(fs, req, parent, name);
}

/* Nothing is kept for a node (inode.h), but for those of versions/. */
static void
forget(const struct fs *fs, fuse_ino_t node, uint64_t count)
{
	if (is_virtual(fs, node) && versions_has(node))
		vnodes_forget(fs->vnodes, node, count);
}

static void
op_forget(fuse_req_t req, fuse_ino_t node, uint64_t count)
{
	forget(counted(req, COUNTS_FORGET), node, count);
	fuse_reply_none(req);
}

static void
op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	const struct fs *fs = counted(req, COUNTS_FORGET);
	size_t i;

	for (i = 0; i < count; i++)
		forget(fs, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

int
ops_attr(struct fs *fs, uint64_t node, struct attr *out)
{
	if (is_virtual(fs, node))
		return virtual_attr(fs, node, out);
	return stored_attr(fs, node, out);
}

static void
op_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct fs *fs = counted(req, COUNTS_GETATTR);
	struct attr a = { 0 };
	int error = ops_attr(fs, node, &a);

	(void)fi;
	if (error != 0)
		(void)fuse_reply_err(req, error);
	else
		(void)fuse_reply_attr(req, &a.stat, a.timeout);
}

static void
op_readlink(fuse_req_t req, fuse_ino_t node)
{
	struct fs *fs = counted(req, COUNTS_READLINK);

	if (is_virtual(fs, node))
		virtual_readlink(fs, req, node);
	else
		stored_readlink(fs, req, node);
}

/*
 * ENOSYS means that opening is not needed, now and ever; every kernel that
 * libfuse 3.14 talks to in earnest understands it (since 3.15, and 5.1 for
 * directories).
 */
static void
op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	(void)fi;
	(void)counted(req, COUNTS_OPEN);
	(void)fuse_reply_err(req, ENOSYS);
}

static void
op_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	(void)fi;
	(void)counted(req, COUNTS_OPENDIR);
	(void)fuse_reply_err(req, ENOSYS);
}

/* As if these were not in the table: asked once, to be counted. */
static void
op_flush(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	(void)fi;
	(void)counted(req, COUNTS_FLUSH);
	(void)fuse_reply_err(req, ENOSYS);
}

static void
op_access(fuse_req_t req, fuse_ino_t node, int mask)
{
	(void)node;
	(void)mask;
	(void)counted(req, COUNTS_ACCESS);
	(void)fuse_reply_err(req, ENOSYS);
}

static void
list(fuse_req_t req, fuse_ino_t node, size_t size, off_t from, bool plus)
{
	struct fs *fs =
		counted(req, plus ? COUNTS_READDIRPLUS : COUNTS_READDIR);

	if (is_virtual(fs, node))
		virtual_list(fs, req, node, size, from, plus);
	else
		stored_list(fs, req, node, size, from, plus);
}

static void
op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t from,
	   struct fuse_file_info *fi)
{
	(void)fi;
	list(req, node, size, from, false);
}

static void
op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t from,
	       struct fuse_file_info *fi)
{
	(void)fi;
	list(req, node, size, from, true);
}

static void
op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	struct fs *fs = counted(req, COUNTS_READ);

	if (is_virtual(fs, node))
		(void)fuse_reply_err(req, EISDIR);
	else
		stored_read(fs, req, node, size, offset,
			    (fi->flags & O_DIRECT) != 0);
}

static void
op_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
	 struct fuse_file_info *fi)
{
	struct fs *fs = counted(req, COUNTS_LSEEK);

	(void)fi;
	if (is_virtual(fs, node))
		(void)fuse_reply_err(req, EINVAL);
	else
		stored_lseek(fs, req, node, offset, whence);
}

/*
 * Where nothing has an xattr the kernel need not ask any more, and is told so
 * by ENOSYS.
 */
static void
op_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	struct fs *fs = counted(req, COUNTS_GETXATTR);

	if (fs->no_xattrs)
		(void)fuse_reply_err(req, ENOSYS);
	else if (is_virtual(fs, node))
		(void)fuse_reply_err(req, ENODATA);
	else
		stored_getxattr(fs, req, node, name, size);
}

static void
op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	struct fs *fs = counted(req, COUNTS_LISTXATTR);

	if (fs->no_xattrs)
		(void)fuse_reply_err(req, ENOSYS);
	else if (!is_virtual(fs, node))
		stored_listxattr(fs, req, node, size);
	else if (size == 0)
		(void)fuse_reply_xattr(req, 0);
	else
		(void)fuse_reply_buf(req, NULL, 0);
}

static void
reply_counts(fuse_req_t req)
{
	const struct fs *fs = fuse_req_userdata(req);
	struct counts_answer a;

	counts_tell(&fs->counts, &a);
	(void)fuse_reply_ioctl(req, 0, &a, sizeof(a));
}

/* For lsattr, and what counts.h tells. */
static void
op_ioctl(fuse_req_t req, fuse_ino_t node, unsigned cmd, void *arg,
	 struct fuse_file_info *fi, unsigned flags, const void *in,
	 size_t in_size, size_t out_size)
{
	struct fs *fs;

	(void)arg;
	(void)fi;
	(void)flags;
	(void)in;
	(void)in_size;
	if (cmd == (unsigned)COUNTS_QUESTION &&
	    out_size >= sizeof(struct counts_answer)) {
		reply_counts(req);
		return;
	}
	fs = counted(req, COUNTS_IOCTL);
	if (cmd != (unsigned)FS_IOC_GETFLAGS || out_size < sizeof(unsigned) ||
	    is_virtual(fs, node))
		(void)fuse_reply_err(req, ENOTTY);
	else
		stored_getflags(fs, req, node);
}

/* --- totals --------------------------------------------------------------- */

#define TOTALS_UNIT 4096

/* What is shown here, all together; nothing is free. */
static void
op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct fs *fs = counted(req, COUNTS_STATFS);
	struct statvfs v = { 0 };
	uint64_t bytes = 0;
	uint64_t inodes = 0;
	struct root_list *l;
	size_t i;

	(void)node;
	if (fs->root == NULL) {
		bytes = fs->at->record.counts.bytes;
		inodes = fs->at->record.counts.inodes;
	} else {
		l = root_current(fs->root);
		for (i = 0; i < l->gens; i++) {
			bytes += l->gen[i].bytes;
			inodes += l->gen[i].inodes;
		}
		root_list_unref(l);
	}
	v.f_bsize = TOTALS_UNIT;
	v.f_frsize = TOTALS_UNIT;
	v.f_blocks = bytes / TOTALS_UNIT + (bytes % TOTALS_UNIT != 0);
	v.f_files = inodes;
	v.f_namemax = 255;
	(void)fuse_reply_statfs(req, &v);
}

const struct fuse_lowlevel_ops ops_table = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.open = op_open,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.read = op_read,
	.flush = op_flush,
	.access = op_access,
	.lseek = op_lseek,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.ioctl = op_ioctl,
	.statfs = op_statfs,
};
