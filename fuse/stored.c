/*
 * stored.c
 *
 * Nodes are numbered as inodes, but for the root of a mount of one tree,
 * which is always 1.
 *
 * A read is answered whole or not at all: the kernel takes a short answer for
 * the end of the file and makes it shorter.  Where a long read fails the
 * kernel asks again page by page, so that all but the damaged chunk can be
 * had.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/stored.h"

#include "base/block.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "fuse/attr.h"
#include "fuse/file.h"
#include "fuse/inode.h"
#include "fuse/prefetch.h"
#include "fuse/reply.h"
#include "fuse/root.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define TOP_ORDINAL 1

/* --- numbers -------------------------------------------------------------- */

static uint64_t
ino_of(const struct fs *fs, uint64_t node)
{
	return fs->at != NULL && node == FUSE_ROOT_ID ? fs->at_ino : node;
}

uint64_t
stored_node(const struct fs *fs, uint64_t ino)
{
	return fs->at != NULL && ino == fs->at_ino ? FUSE_ROOT_ID : ino;
}

/* The directory above a directory, as an inode number. */
static uint64_t
parent_of(const struct fs *fs, const struct inode *dir)
{
	uint64_t low = dir->node.parent_ordinal;

	if (fs->at != NULL && dir->ino == fs->at_ino)
		return dir->ino;
	if (dir->node.ordinal == TOP_ORDINAL)
		return ROOT_INO_GENERATIONS;
	return (uint64_t)dir->gen->number << INO_GENERATION_SHIFT | low;
}

/* Hold the inode behind a node: 0, or the error to answer with. */
static int
hold(struct fs *fs, uint64_t node, struct inode **out)
{
	struct err e = { 0 };
	uint64_t ino = ino_of(fs, node);
	int rc = 1;

	if (fs->at == NULL || ino >> INO_GENERATION_SHIFT == fs->at->number)
		rc = inodes_get(fs->inodes, ino, out, &e);
	if (rc < 0)
		return reply_errno(fs, ino, &e);
	return rc == 0 ? 0 : ESTALE;
}

/* The same; false when it was answered with an error. */
static bool
get(struct fs *fs, fuse_req_t req, uint64_t node, struct inode **out)
{
	int error = hold(fs, node, out);

	if (error != 0)
		(void)fuse_reply_err(req, error);
	return error == 0;
}

/* --- attributes ----------------------------------------------------------- */

static int
fill_entry(const struct fs *fs, struct view_gen *g, const struct node *n,
	   struct fuse_entry_param *out, struct err *e)
{
	struct fuse_entry_param p = { 0 };

	if (attr_stat(g, n, &p.attr, e) < 0)
		return -1;
	p.ino = stored_node(fs, n->ino);
	p.attr_timeout = FS_FOR_EVER;
	p.entry_timeout = FS_FOR_EVER;
	*out = p;
	return 0;
}

int
stored_entry(struct fs *fs, uint64_t ino, struct fuse_entry_param *out,
	     struct err *e)
{
	struct inode *i;
	int rc = inodes_get(fs->inodes, ino, &i, e);

	if (rc != 0)
		return rc;
	rc = fill_entry(fs, i->gen, &i->node, out, e);
	inodes_put(fs->inodes, i);
	return rc;
}

int
stored_attr(struct fs *fs, uint64_t node, struct attr *out)
{
	struct err e = { 0 };
	struct inode *i;
	int error = hold(fs, node, &i);

	if (error != 0)
		return error;
	if (attr_fill(i->gen, &i->node, out, &e) < 0)
		error = reply_errno(fs, i->ino, &e);
	inodes_put(fs->inodes, i);
	return error;
}

/* --- names ---------------------------------------------------------------- */

static void
reply_entry(fuse_req_t req, uint64_t ino, int rc,
	    const struct fuse_entry_param *entry, const struct err *why)
{
	struct fuse_entry_param none = { .entry_timeout = FS_FOR_EVER };

	if (rc < 0)
		reply_failure(req, ino, why);
	else
		(void)fuse_reply_entry(req, rc == 0 ? entry : &none);
}

/* "." of anything and ".." of directories: who has only a number asks so. */
static void
lookup_dots(struct fs *fs, fuse_req_t req, const struct inode *i,
	    const char *name)
{
	struct fuse_entry_param entry;
	struct err e = { 0 };
	uint64_t ino = i->ino;
	int rc;

	if (name[1] == '.') {
		if (i->node.entry.type != ENTRY_DIR) {
			(void)fuse_reply_err(req, ENOTDIR);
			return;
		}
		ino = parent_of(fs, i);
	}
	if (ino >> INO_GENERATION_SHIFT == 0) {
		/* The kernel wants no more than the number here. */
		memset(&entry, 0, sizeof(entry));
		entry.ino = ino;
		entry.attr.st_ino = ino;
		entry.attr.st_mode = S_IFDIR | 0555;
		entry.attr.st_nlink = 2;
		rc = 0;
	} else {
		rc = stored_entry(fs, ino, &entry, &e);
	}
	if (rc == 1)
		(void)fuse_reply_err(req, ESTALE);
	else
		reply_entry(req, ino, rc, &entry, &e);
}

static void
lookup_name(struct fs *fs, fuse_req_t req, const struct inode *dir,
	    const char *name)
{
	struct fuse_entry_param entry;
	struct err e = { 0 };
	struct node n;
	int rc = view_lookup(dir->gen, &dir->node, name, strlen(name), &n, &e);

	if (rc == 0) {
		rc = fill_entry(fs, dir->gen, &n, &entry, &e);
		node_clear(&n);
	}
	reply_entry(req, dir->ino, rc, &entry, &e);
}

void
stored_lookup(struct fs *fs, fuse_req_t req, uint64_t parent, const char *name)
{
	struct inode *i;

	if (strlen(name) > PATH_NAME_MAX) {
		(void)fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	if (!get(fs, req, parent, &i))
		return;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		lookup_dots(fs, req, i, name);
	else if (i->node.entry.type != ENTRY_DIR)
		(void)fuse_reply_err(req, ENOTDIR);
	else
		lookup_name(fs, req, i, name);
	inodes_put(fs->inodes, i);
}

void
stored_readlink(struct fs *fs, fuse_req_t req, uint64_t node)
{
	char target[PATH_MAX];
	const struct entry *en;
	struct inode *i;

	if (!get(fs, req, node, &i))
		return;
	en = &i->node.entry;
	if (en->type != ENTRY_SYMLINK) {
		(void)fuse_reply_err(req, EINVAL);
	} else if (en->target_len >= sizeof(target)) {
		(void)fuse_reply_err(req, ENAMETOOLONG);
	} else {
		memcpy(target, en->target, en->target_len);
		target[en->target_len] = '\0';
		(void)fuse_reply_readlink(req, target);
	}
	inodes_put(fs->inodes, i);
}

/* --- directories ---------------------------------------------------------- */

/* Offsets: 1 behind ".", 2 behind "..", p + 3 behind the entry at position p. */
#define OFFSET_BEHIND(position) ((off_t)((position) + 3))

struct list_walk {
	struct fs *fs;
	struct view_gen *gen;
	struct listing *listing;
};

/* A view_fn. */
static int
list_one(void *ctx, const struct node *n, uint64_t position, struct err *e)
{
	struct list_walk *w = ctx;
	struct fuse_entry_param entry = { 0 };
	char name[PATH_NAME_MAX + 1];

	if (w->listing->plus) {
		if (fill_entry(w->fs, w->gen, n, &entry, e) < 0)
			return -1;
	} else {
		entry.attr.st_ino = n->ino;
		entry.attr.st_mode = entry_type_mode(n->entry.type);
	}
	memcpy(name, n->entry.name, n->entry.name_len);
	name[n->entry.name_len] = '\0';
	return listing_add(w->listing, name, &entry, OFFSET_BEHIND(position))
		       ? 0
		       : 1;
}

static int
list_dir(struct fs *fs, const struct inode *dir, struct listing *l, off_t from,
	 struct err *e)
{
	struct list_walk w = { .fs = fs, .gen = dir->gen, .listing = l };
	uint64_t start = from > 2 ? (uint64_t)from - 2 : 0;

	if (!listing_add_dots(l, from, dir->ino, parent_of(fs, dir)))
		return 0;
	return view_list(dir->gen, &dir->node, start, list_one, &w, e);
}

void
stored_list(struct fs *fs, fuse_req_t req, uint64_t node, size_t size,
	    off_t from, bool plus)
{
	struct err e = { 0 };
	struct listing l = { 0 };
	struct inode *i;
	int rc;

	if (!get(fs, req, node, &i))
		return;
	if (i->node.entry.type != ENTRY_DIR) {
		(void)fuse_reply_err(req, ENOTDIR);
	} else if (listing_begin(&l, req, size, plus, &e) < 0) {
		reply_failure(req, i->ino, &e);
	} else {
		rc = list_dir(fs, i, &l, from, &e);
		listing_end(&l, i->ino, rc, &e);
		if (plus && from == 0)
			prefetch_after_list(fs->prefetch, i);
	}
	inodes_put(fs->inodes, i);
}

/* --- content -------------------------------------------------------------- */

/* Say where in the file it happened; the chunk's name is there already. */
static void
fail_at(fuse_req_t req, const struct file *file, uint64_t offset,
	struct err *why)
{
	(void)err_prefix(why, "generation %" PRIu32 ": at offset %" PRIu64,
			 file->inode->gen->number, offset);
	reply_failure(req, file->inode->ino, why);
}

/* Take a reader, or answer. */
static struct file *
take(struct fs *fs, fuse_req_t req, uint64_t ino, uint64_t offset)
{
	struct err e = { 0 };
	struct file *file;
	int rc = files_take(fs->files, ino, offset, &file, &e);

	if (rc == 0)
		return file;
	if (rc == 1)
		(void)fuse_reply_err(req, ESTALE);
	else
		reply_failure(req, ino, &e);
	return NULL;
}

/* Answer out of the store's memory when one chunk has it all: 1 when done. */
static int
reply_in_place(fuse_req_t req, struct file *file, uint64_t offset, size_t n,
	       struct err *e)
{
	struct fs *fs = fuse_req_userdata(req);
	const uint8_t *p;
	uint64_t len;
	int rc = file_peek(&file->reader, offset, &p, &len, e);

	if (rc < 0)
		return -1;
	if (rc == 0) {
		(void)fuse_reply_buf(req, NULL, 0);
		return 1;
	}
	if (p == NULL || len < n)
		return 0;
	counts_bytes(&fs->counts, COUNTS_READ, n);
	(void)fuse_reply_buf(req, (const char *)p, n);
	return 1;
}

static void
reply_copy(fuse_req_t req, struct file *file, uint64_t offset, size_t n)
{
	struct fs *fs = fuse_req_userdata(req);
	struct err e = { 0 };
	uint64_t bad = offset;
	char *p = block_get(n);
	ssize_t got = -1;

	if (p == NULL)
		(void)err_nomem(&e);
	else
		got = file_read(&file->reader, offset, p, n, &bad, &e);
	if (got < 0) {
		fail_at(req, file, bad, &e);
	} else {
		counts_bytes(&fs->counts, COUNTS_READ, (size_t)got);
		(void)fuse_reply_buf(req, p, (size_t)got);
	}
	block_free(p, n);
}

void
stored_read(struct fs *fs, fuse_req_t req, uint64_t node, size_t size,
	    off_t offset, bool direct)
{
	struct err e = { 0 };
	uint64_t at = (uint64_t)offset;
	uint64_t end;
	struct file *file = take(fs, req, ino_of(fs, node), at);
	int rc;

	if (file == NULL)
		return;
	end = file->inode->node.entry.size;
	if (at < end && size > end - at)
		size = (size_t)(end - at);
	rc = reply_in_place(req, file, at, size, &e);
	if (rc < 0)
		fail_at(req, file, at, &e);
	else if (rc == 0)
		reply_copy(req, file, at, size);
	if (rc >= 0 && !direct)
		prefetch_after_read(fs->prefetch, file->inode, at, size,
				    &file->reader.at);
	file->next = at + size;
	files_give(fs->files, file);
}

void
stored_lseek(struct fs *fs, fuse_req_t req, uint64_t node, off_t offset,
	     int whence)
{
	struct err e = { 0 };
	uint64_t at = (uint64_t)offset;
	uint64_t found;
	struct file *file;
	int rc;

	if (offset < 0 || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
		(void)fuse_reply_err(req, offset < 0 ? ENXIO : EINVAL);
		return;
	}
	file = take(fs, req, ino_of(fs, node), at);
	if (file == NULL)
		return;
	if (whence == SEEK_DATA)
		rc = file_seek_data(&file->reader, at, &found, &e);
	else
		rc = file_seek_hole(&file->reader, at, &found, &e);
	if (rc < 0)
		fail_at(req, file, at, &e);
	else if (rc == 1)
		(void)fuse_reply_err(req, ENXIO);
	else
		(void)fuse_reply_lseek(req, (off_t)found);
	file->next = at;
	files_give(fs->files, file);
}

/* --- xattrs --------------------------------------------------------------- */

/* The caller asked for the length with size 0. */
static void
reply_value(fuse_req_t req, uint64_t ino, size_t size, const struct buf *value)
{
	struct err e = { 0 };

	if (buf_ok(value, &e) < 0)
		reply_failure(req, ino, &e);
	else if (size == 0)
		(void)fuse_reply_xattr(req, value->len);
	else if (size < value->len)
		(void)fuse_reply_err(req, ERANGE);
	else
		(void)fuse_reply_buf(req, (const char *)value->data,
				     value->len);
}

static int
find_value(const struct fs *fs, const struct inode *i, const char *name,
	   struct buf *value, struct err *e)
{
	bool top = i->node.ordinal == TOP_ORDINAL ||
		   (fs->at != NULL && i->ino == fs->at_ino);

	if (top && attr_fact(&i->gen->record, name, value) == 0)
		return 0;
	return view_xattr(i->gen, &i->node.entry, name, value, e);
}

void
stored_getxattr(struct fs *fs, fuse_req_t req, uint64_t node, const char *name,
		size_t size)
{
	struct err e = { 0 };
	struct buf value = { 0 };
	struct inode *i;
	int rc;

	if (!get(fs, req, node, &i))
		return;
	rc = find_value(fs, i, name, &value, &e);
	if (rc < 0)
		reply_failure(req, i->ino, &e);
	else if (rc == 1)
		(void)fuse_reply_err(req, ENODATA);
	else
		reply_value(req, i->ino, size, &value);
	buf_clear(&value);
	inodes_put(fs->inodes, i);
}

void
stored_listxattr(struct fs *fs, fuse_req_t req, uint64_t node, size_t size)
{
	bool privileged = fuse_req_ctx(req)->uid == 0;
	struct buf names = { 0 };
	struct inode *i;

	if (!get(fs, req, node, &i))
		return;
	attr_xattr_names(&i->node.entry, privileged, &names);
	reply_value(req, i->ino, size, &names);
	buf_clear(&names);
	inodes_put(fs->inodes, i);
}

/* --- inode flags ---------------------------------------------------------- */

void
stored_getflags(struct fs *fs, fuse_req_t req, uint64_t node)
{
	struct inode *i;
	unsigned flags;

	if (!get(fs, req, node, &i))
		return;
	flags = i->node.entry.inode_flags;
	if ((i->node.entry.flags & ENTRY_INODE_FLAGS) == 0)
		flags = 0;
	(void)fuse_reply_ioctl(req, 0, &flags, sizeof(flags));
	inodes_put(fs->inodes, i);
}
