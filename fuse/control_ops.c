/*
 * control_ops.c
 *
 * The kernel is told to keep nothing (timeouts of 0, direct I/O) and to judge
 * nothing (no default_permissions): rights are registered owners, which it does
 * not know, and go by the uid of each request, not by capabilities.  What is
 * not in the table below fails as the kernel has it, or succeeds and means
 * nothing: fsync and flush (what was accepted is durable when write returns).
 *
 * One lock is on everything, the desk's.  It is given up where a writer's files
 * or its journal are touched; meanwhile that handle is busy, and who else wants
 * it waits.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/control_ops.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "fuse/control_events.h"
#include "fuse/control_file.h"
#include "fuse/control_text.h"
#include "fuse/control_tree.h"
#include "src/writer/party.h"
#include "src/writer/value.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* --- what all requests need ----------------------------------------------- */

/* The state, locked. */
static struct control *
enter(fuse_req_t req)
{
	struct control *c = fuse_req_userdata(req);

	(void)pthread_mutex_lock(&c->desk->lock);
	return c;
}

/* Unlocked; an error is answered. */
static void
leave(struct control *c, fuse_req_t req, int error)
{
	(void)pthread_mutex_unlock(&c->desk->lock);
	if (error != 0)
		(void)fuse_reply_err(req, error);
}

static struct control_node *
node_of(const struct control *c, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? c->root : (struct control_node *)ino;
}

static struct control_handle *
handle_of(const struct fuse_file_info *fi)
{
	return (struct control_handle *)(uintptr_t)fi->fh;
}

static uid_t
uid_of(fuse_req_t req)
{
	return fuse_req_ctx(req)->uid;
}

static void
op_init(void *data, struct fuse_conn_info *c)
{
	(void)data;
	c->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
			       FUSE_CAP_SPLICE_MOVE | FUSE_CAP_READDIRPLUS |
			       FUSE_CAP_READDIRPLUS_AUTO |
			       FUSE_CAP_AUTO_INVAL_DATA |
			       FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
			       FUSE_CAP_WRITEBACK_CACHE);
	/* Emptying a file means nothing: one request less. */
	c->want |= c->capable & FUSE_CAP_ATOMIC_O_TRUNC;
}

/* --- names ---------------------------------------------------------------- */

static void
fill_entry(const struct control *c, struct control_node *n,
	   struct fuse_entry_param *out)
{
	memset(out, 0, sizeof(*out));
	out->ino = (fuse_ino_t)n;
	control_tree_stat(c, n, &out->attr);
}

static void
reply_node(const struct control *c, fuse_req_t req, struct control_node *n)
{
	struct fuse_entry_param entry;

	fill_entry(c, n, &entry);
	if (fuse_reply_entry(req, &entry) != 0)
		control_tree_forget(n, 1);
}

static void
op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct control *c = enter(req);
	struct control_node *n;
	int error = control_tree_lookup(c, node_of(c, parent), name,
					uid_of(req), &n);

	if (error == 0)
		reply_node(c, req, n);
	leave(c, req, error);
}

static void
op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t times)
{
	struct control *c = enter(req);

	control_tree_forget(node_of(c, ino), times);
	leave(c, req, 0);
	fuse_reply_none(req);
}

static void
op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct control *c = enter(req);
	size_t i;

	for (i = 0; i < count; i++)
		control_tree_forget(node_of(c, forgets[i].ino),
				    forgets[i].nlookup);
	leave(c, req, 0);
	fuse_reply_none(req);
}

static void
op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct control *c = enter(req);
	struct buf target = { 0 };
	int error = ENOENT;

	if (control_text_session(c, node_of(c, ino), &target))
		error = target.failed ? ENOMEM : 0;
	leave(c, req, error);
	if (error == 0)
		(void)fuse_reply_readlink(req, buf_str(&target));
	buf_clear(&target);
}

/* --- attributes ----------------------------------------------------------- */

static void
op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct control *c = enter(req);
	struct stat st;

	(void)fi;
	control_tree_stat(c, node_of(c, ino), &st);
	(void)fuse_reply_attr(req, &st, 0);
	leave(c, req, 0);
}

/* What editors and shells do to a file that they write means nothing. */
static int
may_set(const struct control *c, const struct control_node *n, fuse_req_t req,
	const struct stat *want, int which, bool open)
{
	int error = open ? 0 : control_tree_may(c, n, uid_of(req), W_OK);
	struct stat st;

	control_tree_stat(c, n, &st);
	if (error != 0)
		return error == EACCES ? EPERM : error;
	if (S_ISDIR(st.st_mode) ||
	    (which & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0)
		return EPERM;
	if ((which & FUSE_SET_ATTR_SIZE) != 0 && want->st_size != 0)
		return EINVAL;
	return 0;
}

static void
op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *want, int which,
	   struct fuse_file_info *fi)
{
	struct control *c = enter(req);
	const struct control_node *n = node_of(c, ino);
	int error = may_set(c, n, req, want, which, fi != NULL);
	struct stat st;

	if (error == 0) {
		control_tree_stat(c, n, &st);
		(void)fuse_reply_attr(req, &st, 0);
	}
	leave(c, req, error);
}

static void
op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct control *c = enter(req);
	int error = control_tree_may(c, node_of(c, ino), uid_of(req), mask);

	leave(c, req, error);
	if (error == 0)
		(void)fuse_reply_err(req, 0);
}

static void
op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	const struct statvfs v = {
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_namemax = VALUE_NAME_MAX,
	};

	(void)ino;
	(void)fuse_reply_statfs(req, &v);
}

/* --- registering ---------------------------------------------------------- */

static int
register_writer(struct control *c, const char *name, uid_t uid)
{
	struct registration what = { .owner = uid };
	struct party *p;
	struct err e = { 0 };
	int error = 0;

	if (uid == (uid_t)-1)
		return EPERM;
	what.name = mem_strdup(name);
	if (what.name == NULL)
		return ENOMEM;
	if (desk_register(c->desk, uid, &what, &p, &e) < 0)
		error = control_file_errno(&e);
	mem_free(what.name);
	return error;
}

static void
op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct control *c = enter(req);
	struct control_node *dir = node_of(c, parent);
	struct control_node *n;
	int error = EPERM;

	(void)mode;
	if (dir->kind == CONTROL_WRITERS)
		error = register_writer(c, name, uid_of(req));
	if (error == 0)
		error = control_tree_lookup(c, dir, name, uid_of(req), &n);
	if (error == 0)
		reply_node(c, req, n);
	leave(c, req, error);
}

static int
unregister_writer(struct control *c, const char *name, uid_t uid)
{
	struct party *p = desk_find(c->desk, name);
	struct err e = { 0 };

	if (p == NULL)
		return ENOENT;
	if (uid == (uid_t)-1)
		return EPERM;
	if (desk_unregister(c->desk, uid, p, &e) < 0)
		return control_file_errno(&e);
	control_events_removed(c, p);
	return 0;
}

static void
op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct control *c = enter(req);
	int error = EPERM;

	if (node_of(c, parent)->kind == CONTROL_WRITERS)
		error = unregister_writer(c, name, uid_of(req));
	leave(c, req, error);
	if (error == 0)
		(void)fuse_reply_err(req, 0);
}

/* --- what there is not ---------------------------------------------------- */

static void
op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	 dev_t dev)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)dev;
	(void)fuse_reply_err(req, EPERM);
}

static void
op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	(void)fuse_reply_err(req, EPERM);
}

static void
op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
	   const char *name)
{
	(void)target;
	(void)parent;
	(void)name;
	(void)fuse_reply_err(req, EPERM);
}

static void
op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	  fuse_ino_t newparent, const char *newname, unsigned flags)
{
	(void)parent;
	(void)name;
	(void)newparent;
	(void)newname;
	(void)flags;
	(void)fuse_reply_err(req, EPERM);
}

static void
op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
	const char *newname)
{
	(void)ino;
	(void)newparent;
	(void)newname;
	(void)fuse_reply_err(req, EPERM);
}

/* --- files ---------------------------------------------------------------- */

static void
fill_file(struct fuse_file_info *fi, struct control_handle *h)
{
	fi->fh = (uintptr_t)h;
	fi->direct_io = 1;
	fi->noflush = 1; /* or a close could fail when the server ends */
	fi->nonseekable = h->node->kind == CONTROL_EVENTS;
}

static void
op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct control *c = enter(req);
	struct control_handle *h;
	int error = control_file_open(c, node_of(c, ino), uid_of(req),
				      fi->flags, &h);

	if (error == 0) {
		fill_file(fi, h);
		if (fuse_reply_open(req, fi) != 0)
			control_file_close(h);
	}
	leave(c, req, error);
}

/* Only a stamp can be made by writing it. */
static void
op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	  struct fuse_file_info *fi)
{
	struct control *c = enter(req);
	struct fuse_entry_param entry;
	struct control_handle *h;
	struct control_node *n;
	int error = control_tree_new_stamp(c, node_of(c, parent), name,
					   uid_of(req), &n);

	(void)mode;
	if (error == 0) {
		error = control_file_open(c, n, uid_of(req), fi->flags, &h);
		if (error != 0)
			control_tree_forget(n, 1);
	}
	if (error == 0) {
		fill_file(fi, h);
		fill_entry(c, n, &entry);
		if (fuse_reply_create(req, &entry, fi) != 0) {
			control_file_close(h);
			control_tree_forget(n, 1);
		}
	}
	leave(c, req, error);
}

static void
op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct control *c = enter(req);

	(void)ino;
	control_file_take(handle_of(fi));
	control_file_close(handle_of(fi));
	leave(c, req, 0);
	(void)fuse_reply_err(req, 0);
}

static void
op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	struct control_handle *h = handle_of(fi);
	struct control *c = enter(req);
	const uint8_t *at;
	size_t len;
	int error;

	(void)ino;
	if (h->node->kind == CONTROL_EVENTS) {
		leave(c, req, 0);
		control_events_read(c, h, req, size,
				    (fi->flags & O_NONBLOCK) == 0);
		return;
	}
	if (!control_file_try(h)) {
		leave(c, req, EBUSY);
		return;
	}
	error = control_file_read(h, offset, size, &at, &len);
	if (error == 0)
		(void)fuse_reply_buf(req, (const char *)at, len);
	control_file_give(h);
	leave(c, req, error);
}

static void
op_write(fuse_req_t req, fuse_ino_t ino, const char *p, size_t n, off_t offset,
	 struct fuse_file_info *fi)
{
	struct control_handle *h = handle_of(fi);
	struct control *c = enter(req);
	ssize_t taken = 0;

	(void)ino;
	(void)offset;
	control_file_take(h);
	if (n > 0)
		taken = control_file_write(h, p, n);
	control_file_give(h);
	leave(c, req, taken < 0 ? (int)-taken : 0);
	if (taken >= 0)
		(void)fuse_reply_write(req, (size_t)taken);
}

static void
op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	struct fuse_pollhandle *ph)
{
	struct control_handle *h = handle_of(fi);
	struct control *c = enter(req);

	(void)ino;
	if (h->node->kind == CONTROL_EVENTS) {
		control_events_poll(h, req, ph);
	} else {
		(void)fuse_reply_poll(req, POLLIN | POLLRDNORM | POLLOUT |
						   POLLWRNORM);
		if (ph != NULL)
			fuse_pollhandle_destroy(ph);
	}
	leave(c, req, 0);
}

/* --- directories ---------------------------------------------------------- */

#define NO_INO 0xffffffff /* as libfuse has it: not known in a listing */

/* Put names from number `from` on; "." and ".." are numbers 0 and 1. */
static size_t
put_names(fuse_req_t req, const struct control_handle *h, off_t from,
	  char *room, size_t cap)
{
	const uint8_t *at = h->shown.data;
	const uint8_t *end = at + h->shown.len;
	struct stat st = { .st_ino = NO_INO, .st_mode = S_IFDIR };
	const char *name = ".";
	uint32_t type;
	size_t len = 0;
	size_t n;
	off_t i;

	for (i = 0;; i++) {
		if (i == 1)
			name = "..";
		if (i >= 2) {
			if (at == end)
				break;
			memcpy(&type, at, sizeof(type));
			st.st_mode = type;
			name = (const char *)at + sizeof(type);
			at += sizeof(type) + strlen(name) + 1;
		}
		if (i < from)
			continue;
		n = fuse_add_direntry(req, room + len, cap - len, name, &st,
				      i + 1);
		if (n > cap - len)
			break;
		len += n;
	}
	return len;
}

static void
op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t from,
	   struct fuse_file_info *fi)
{
	struct control_handle *h = handle_of(fi);
	struct control *c = enter(req);
	char *room = mem_alloc(size);
	int error = ENOMEM;

	(void)ino;
	if (room != NULL)
		error = control_file_list(h, from == 0);
	if (error == 0)
		(void)fuse_reply_buf(req, room,
				     put_names(req, h, from, room, size));
	leave(c, req, error);
	mem_free(room);
}

const struct fuse_lowlevel_ops control_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.access = op_access,
	.readlink = op_readlink,
	.statfs = op_statfs,
	.mkdir = op_mkdir,
	.rmdir = op_rmdir,
	.mknod = op_mknod,
	.unlink = op_unlink,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.poll = op_poll,
	.release = op_release,
	.opendir = op_open,
	.readdir = op_readdir,
	.releasedir = op_release,
};
