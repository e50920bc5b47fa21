/*
 * virtual.c
 *
 * A directory's mtime is the version of the list: the kernel keeps listings
 * until it sees another mtime.
 *
 * The symlink `control` is in no list, because it is about no generation: it is
 * there, or not, for as long as the mount is.  It leads to a path at which
 * control files, or a link to them, are while somebody serves them, so that
 * nothing has to be looked for here (fuse/control_place.h).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/virtual.h"

#include "base/err.h"
#include "base/path.h"
#include "fuse/attr.h"
#include "fuse/reply.h"
#include "fuse/root.h"
#include "fuse/stored.h"
#include "fuse/versions.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define CONTROL_NAME "control"

static bool
shows_control(const struct fs *fs, uint64_t dir)
{
	return fs->control != NULL && dir == ROOT_INO;
}

/* --- attributes ----------------------------------------------------------- */

static void
set_common(const struct fs *fs, uint64_t ino, struct ts time, struct stat *out)
{
	struct timespec t = { .tv_sec = time.sec, .tv_nsec = time.nsec };

	memset(out, 0, sizeof(*out));
	out->st_ino = ino;
	out->st_uid = fs->uid;
	out->st_gid = fs->gid;
	out->st_mtim = t;
	out->st_ctim = t;
	out->st_atim = t;
}

static void
stat_dir(const struct fs *fs, const struct root_list *l,
	 const struct root_dir *d, struct stat *out)
{
	set_common(fs, d->ino, l->version, out);
	out->st_mode = S_IFDIR | 0555;
	out->st_nlink = 2 + d->dirs;
	out->st_size = attr_dir_size(d->count + shows_control(fs, d->ino));
}

static void
stat_control(const struct fs *fs, const struct root_list *l, struct stat *out)
{
	set_common(fs, ROOT_INO_CONTROL, l->version, out);
	out->st_mode = S_IFLNK | 0777;
	out->st_nlink = 1;
	out->st_size = (off_t)strlen(fs->control);
}

/* Its times are those of the generation that it leads to. */
static bool
stat_link(const struct fs *fs, const struct root_list *l, uint64_t ino,
	  struct stat *out)
{
	char target[ROOT_TARGET_LEN];
	const struct root_gen *g;
	uint32_t number;

	if (!root_target(ino, &number, target))
		return false;
	g = root_find_gen(l, number);
	if (g == NULL)
		return false;
	set_common(fs, ino, g->damaged ? l->version : g->instant, out);
	out->st_mode = S_IFLNK | 0777;
	out->st_nlink = 1;
	out->st_size = (off_t)strlen(target);
	return true;
}

/* Any virtual inode; false when there is none (any more). */
static bool
stat_any(const struct fs *fs, const struct root_list *l, uint64_t ino,
	 struct stat *out)
{
	const struct root_dir *d = root_find_dir(l, ino);

	if (ino == ROOT_INO_VERSIONS) {
		versions_stat_top(fs, l, out);
		return true;
	}
	if (ino == ROOT_INO_CONTROL && fs->control != NULL) {
		stat_control(fs, l, out);
		return true;
	}
	if (d == NULL)
		return stat_link(fs, l, ino, out);
	stat_dir(fs, l, d, out);
	return true;
}

int
virtual_attr(struct fs *fs, uint64_t node, struct attr *out)
{
	struct root_list *l;
	bool found;

	if (versions_has(node))
		return versions_attr(fs, node, out);
	l = root_current(fs->root);
	found = stat_any(fs, l, node, &out->stat);
	root_list_unref(l);
	out->timeout = FS_A_MOMENT;
	return found ? 0 : ESTALE;
}

/* --- names ---------------------------------------------------------------- */

/* What the kernel is to know of an item; 1 when it is gone. */
static int
fill_entry(struct fs *fs, const struct root_list *l, uint64_t ino,
	   struct fuse_entry_param *out, struct err *e)
{
	struct fuse_entry_param p = { 0 };
	int rc;

	if (ino >> INO_GENERATION_SHIFT != 0) {
		rc = stored_entry(fs, ino, &p, e);
		if (rc != 0)
			return rc;
	} else {
		if (!stat_any(fs, l, ino, &p.attr))
			return 1;
		p.ino = ino;
		p.attr_timeout = FS_A_MOMENT;
	}
	p.entry_timeout = FS_A_MOMENT;
	*out = p;
	return 0;
}

static void
reply_entry(struct fs *fs, fuse_req_t req, const struct root_list *l,
	    uint64_t ino)
{
	struct fuse_entry_param entry = { .entry_timeout = FS_A_MOMENT };
	struct err e = { 0 };

	if (ino != 0 && fill_entry(fs, l, ino, &entry, &e) < 0)
		reply_failure(req, ino, &e);
	else
		(void)fuse_reply_entry(req, &entry);
}

/* The inode of a name, or 0. */
static uint64_t
find_name(const struct fs *fs, const struct root_list *l,
	  const struct root_dir *d, const char *name)
{
	const struct root_item *i;

	if (strcmp(name, ".") == 0)
		return d->ino;
	if (strcmp(name, "..") == 0)
		return d->parent;
	if (shows_control(fs, d->ino) && strcmp(name, CONTROL_NAME) == 0)
		return ROOT_INO_CONTROL;
	i = root_find_item(l, d, name);
	return i != NULL ? i->ino : 0;
}

void
virtual_lookup(struct fs *fs, fuse_req_t req, uint64_t parent, const char *name)
{
	const struct root_dir *d;
	struct root_list *l;
	struct stat st;

	if (versions_has(parent)) {
		versions_lookup(fs, req, parent, name);
		return;
	}
	l = root_current(fs->root);
	d = root_find_dir(l, parent);
	if (strlen(name) > PATH_NAME_MAX)
		(void)fuse_reply_err(req, ENAMETOOLONG);
	else if (d != NULL)
		reply_entry(fs, req, l, find_name(fs, l, d, name));
	else if (strcmp(name, ".") == 0 && stat_link(fs, l, parent, &st))
		reply_entry(fs, req, l, parent);
	else
		(void)fuse_reply_err(req, ESTALE);
	root_list_unref(l);
}

void
virtual_readlink(struct fs *fs, fuse_req_t req, uint64_t node)
{
	char target[ROOT_TARGET_LEN];
	uint32_t number;

	if (versions_has(node))
		versions_readlink(fs, req, node);
	else if (node == ROOT_INO_CONTROL && fs->control != NULL)
		(void)fuse_reply_readlink(req, fs->control);
	else if (root_target(node, &number, target))
		(void)fuse_reply_readlink(req, target);
	else
		(void)fuse_reply_err(req, ESTALE);
}

/* --- directories ---------------------------------------------------------- */

/* Offsets: 1 behind ".", 2 behind "..", and behind an item its cookie + 2. */
#define OFFSET_BEHIND(item) ((off_t)((item)->cookie + 2))
#define OFFSET_CONTROL      ((off_t)1 << 40) /* behind it */

/* A damaged generation is listed; whoever wants more of it gets EIO. */
static void
fill_listed(struct fs *fs, const struct root_list *l, uint64_t ino,
	    mode_t mode, bool plus, struct fuse_entry_param *out)
{
	memset(out, 0, sizeof(*out));
	if (plus && fill_entry(fs, l, ino, out, NULL) == 0)
		return;
	out->attr.st_ino = ino;
	out->attr.st_mode = mode;
}

/* What is listed behind `from`, as far as there is room. */
static void
list_items(struct fs *fs, const struct root_list *l, const struct root_dir *d,
	   off_t from, struct listing *out)
{
	struct fuse_entry_param entry;
	const struct root_item *i;

	for (i = &l->item[d->first]; i < &l->item[d->first + d->count]; i++) {
		if (OFFSET_BEHIND(i) <= from)
			continue;
		fill_listed(fs, l, i->ino,
			    i->kind == ROOT_LINK ? S_IFLNK : S_IFDIR,
			    out->plus, &entry);
		if (!listing_add(out, root_item_name(l, i), &entry,
				 OFFSET_BEHIND(i)))
			return;
	}
	if (!shows_control(fs, d->ino) || from >= OFFSET_CONTROL)
		return;
	fill_listed(fs, l, ROOT_INO_CONTROL, S_IFLNK, out->plus, &entry);
	(void)listing_add(out, CONTROL_NAME, &entry, OFFSET_CONTROL);
}

void
virtual_list(struct fs *fs, fuse_req_t req, uint64_t node, size_t size,
	     off_t from, bool plus)
{
	struct root_list *l;
	const struct root_dir *d;
	struct listing out = { 0 };
	struct err e = { 0 };

	if (versions_has(node)) {
		versions_list(fs, req, node, size, from, plus);
		return;
	}
	l = root_current(fs->root);
	d = root_find_dir(l, node);
	if (d == NULL) {
		(void)fuse_reply_err(req, ESTALE);
		goto done;
	}
	if (listing_begin(&out, req, size, plus, &e) < 0) {
		reply_failure(req, node, &e);
		goto done;
	}
	if (listing_add_dots(&out, from, d->ino, d->parent))
		list_items(fs, l, d, from, &out);
	listing_end(&out, node, 0, &e);
done:
	root_list_unref(l);
}
