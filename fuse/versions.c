/*
 * versions.c
 *
 * What is computed for a node belongs to one version of the list of
 * generations; with another list it is computed anew when it is asked for, from
 * the parent's, up to the top, whose history the list has.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/versions.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "fuse/attr.h"
#include "fuse/history.h"
#include "fuse/inode.h"
#include "fuse/reply.h"
#include "fuse/report.h"
#include "fuse/stored.h"
#include "fuse/vnode.h"
#include "src/engine/view.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* A path of more parts is longer than a symlink's target can be. */
#define DEPTH_MAX (PATH_MAX / 2)

/* Names of one directory may have this part of what may be computed. */
#define NAMES_SHARE 2

#define MODE_ALL   0555
#define MODE_OWNER 0500

/* --- names and errors ----------------------------------------------------- */

/* A version's number as it is written here, or 0. */
static uint32_t
parse_number(const char *s)
{
	uint32_t n = 0;

	if (*s == '0')
		return 0;
	for (; *s >= '0' && *s <= '9' && n <= RECORD_NUMBER_MAX; s++)
		n = n * 10 + (uint32_t)(*s - '0');
	return *s == '\0' && n <= RECORD_NUMBER_MAX ? n : 0;
}

/* As reply_errno. */
static int
error_of(const struct fs *fs, const struct vnode *n, struct err *why)
{
	struct buf path = { 0 };
	char shown[PATH_SHOW_LEN] = "";

	if (vnode_path(n, &path, NULL) == 0 && path.len > 0)
		(void)path_show_in(shown, path.data, path.len);
	(void)err_prefix(why, "versions%s", shown);
	buf_clear(&path);
	return reply_errno(fs, n->ino, why);
}

static void
reply_error(fuse_req_t req, const struct vnode *n, struct err *why)
{
	(void)fuse_reply_err(req, error_of(fuse_req_userdata(req), n, why));
}

/* --- computing -------------------------------------------------------------- */

/* A history_damage.fn: said with the path, not more often than is good. */
static void
tell_damage(void *ctx, uint32_t number, const struct err *why)
{
	const struct vnode *n = ctx;
	struct buf path = { 0 };
	char shown[PATH_SHOW_LEN] = "/";

	if (!report_has_room())
		return;
	if (vnode_path(n, &path, NULL) == 0 && path.len > 0)
		(void)path_show_in(shown, path.data, path.len);
	report_line("generation %" PRIu32 ": %s: %s", number, shown, why->text);
	buf_clear(&path);
}

/* Number the chains of the generations; returns how many. */
static uint32_t
number_chains(const struct root_list *l, uint32_t *chain)
{
	uint32_t chains = 0;
	size_t i;
	size_t k;

	for (i = 0; i < l->gens; i++) {
		const struct root_gen *g = &l->gen[i];

		for (k = i; k-- > 0;)
			if (!l->gen[k].damaged && l->gen[k].log == g->log &&
			    memcmp(l->gen[k].set_id, g->set_id,
				   sizeof(g->set_id)) == 0)
				break;
		chain[i] = k < i ? chain[k] : chains++;
	}
	return chains;
}

/* The history of the top directory. */
static int
top_history(const struct root_list *l, struct history **out, struct err *e)
{
	struct history_event *state = mem_array(l->gens + 1, sizeof(*state));
	uint32_t *chain = mem_array(l->gens + 1, sizeof(*chain));
	uint32_t chains;
	size_t n = 0;
	int rc = -1;
	size_t i;

	if (state == NULL || chain == NULL) {
		err_nomem(e);
		goto out;
	}
	chains = number_chains(l, chain);
	for (i = 0; i < l->gens; i++) {
		const struct root_gen *g = &l->gen[i];
		struct history_event *s = &state[n];

		if (g->damaged)
			continue;
		s->number = g->number;
		s->chain = chain[i];
		s->type = ENTRY_DIR;
		s->ordinal = 1;
		s->tree = g->tree;
		memcpy(s->version, g->version, sizeof(s->version));
		n++;
	}
	rc = history_new(state, n, chains, out, e);
out:
	mem_free(chain);
	mem_free(state);
	return rc;
}

/* A reference to the history of the node. */
static int
get_history(struct fs *fs, struct vnode *n, const struct root_list *l,
	    struct history **out, struct err *e)
{
	struct history_damage damage = { .fn = tell_damage, .ctx = n->parent };
	struct history_names *names;
	struct history *up = NULL;
	int rc;

	vnodes_computed(fs->vnodes, n, l->version, out, &names);
	history_names_unref(names);
	if (*out != NULL)
		return 0;
	if (n->parent == NULL) {
		rc = top_history(l, out, e);
	} else {
		rc = get_history(fs, n->parent, l, &up, e);
		if (rc == 0)
			rc = history_child(up, fs->reader, n->name, n->name_len,
					   &damage, out, e);
		history_unref(up);
	}
	if (rc < 0)
		return -1;
	vnodes_keep(fs->vnodes, n, l->version, history_ref(*out), NULL);
	return 0;
}

/* A reference to the names behind a place in the directory. */
static int
get_names(struct fs *fs, struct vnode *n, struct history *h,
	  const struct root_list *l, uint64_t from, struct history_names **out,
	  struct err *e)
{
	struct history_damage damage = { .fn = tell_damage, .ctx = n };
	struct history_names *have;
	struct history *known;

	vnodes_computed(fs->vnodes, n, l->version, &known, &have);
	history_unref(known);
	if (have != NULL && have->from <= from && from < have->to) {
		*out = have;
		return 0;
	}
	history_names_unref(have);
	if (history_names(h, fs->reader, from,
			  vnodes_limit(fs->vnodes) / NAMES_SHARE, &damage, out,
			  e) < 0)
		return -1;
	vnodes_keep(fs->vnodes, n, l->version, history_ref(h),
		    history_names_ref(*out));
	return 0;
}

/* --- attributes ------------------------------------------------------------- */

static void
stat_common(const struct fs *fs, uint64_t ino, struct ts time, struct stat *out)
{
	struct timespec t = { .tv_sec = time.sec, .tv_nsec = time.nsec };

	memset(out, 0, sizeof(*out));
	out->st_ino = ino;
	out->st_nlink = 1; /* of directories: not counted */
	out->st_uid = fs->uid;
	out->st_gid = fs->gid;
	out->st_mtim = t;
	out->st_ctim = t;
	out->st_atim = t;
}

/* The mtime makes the kernel read a listing again. */
static void
stat_dir(const struct fs *fs, const struct root_list *l, uint64_t ino,
	 struct stat *out)
{
	stat_common(fs, ino, l->version, out);
	out->st_mode = S_IFDIR | (fs->allow_other ? MODE_OWNER : MODE_ALL);
	out->st_size = attr_dir_size(0);
}

void
versions_stat_top(const struct fs *fs, const struct root_list *l,
		  struct stat *out)
{
	stat_dir(fs, l, ROOT_INO_VERSIONS, out);
}

/* "../../generations/42/PATH", from the directory that the link is in. */
static int
add_target(const struct vnode *n, struct buf *out, struct err *e)
{
	unsigned i;

	for (i = 0; i < n->depth; i++)
		buf_add_str(out, "../");
	buf_printf(out, "generations/%" PRIu32, n->number);
	if (vnode_path(n, out, e) < 0)
		return -1;
	return buf_ok(out, e);
}

/* Its times are those of the generation that it leads to. */
static int
stat_link(const struct fs *fs, const struct root_list *l, const struct vnode *n,
	  struct stat *out, struct err *e)
{
	const struct root_gen *g = root_find_gen(l, n->number);
	struct buf target = { 0 };

	if (add_target(n, &target, e) < 0) {
		buf_clear(&target);
		return -1;
	}
	stat_common(fs, n->ino, g != NULL ? g->instant : l->version, out);
	out->st_mode = S_IFLNK | 0777;
	out->st_size = (off_t)target.len;
	buf_clear(&target);
	return 0;
}

static int
stat_node(const struct fs *fs, const struct root_list *l, const struct vnode *n,
	  struct stat *out, struct err *e)
{
	if (n->number != 0)
		return stat_link(fs, l, n, out, e);
	stat_dir(fs, l, n->ino, out);
	return 0;
}

int
versions_attr(struct fs *fs, uint64_t node, struct attr *out)
{
	struct vnode *n = vnodes_hold(fs->vnodes, node);
	struct root_list *l;
	struct err e = { 0 };
	int error = 0;

	if (n == NULL)
		return ESTALE;
	l = root_current(fs->root);
	out->timeout = FS_A_MOMENT;
	if (stat_node(fs, l, n, &out->stat, &e) < 0)
		error = error_of(fs, n, &e);
	root_list_unref(l);
	vnodes_release(fs->vnodes, n);
	return error;
}

void
versions_readlink(struct fs *fs, fuse_req_t req, uint64_t node)
{
	struct vnode *n = vnodes_hold(fs->vnodes, node);
	struct buf target = { 0 };
	struct err e = { 0 };

	if (n == NULL) {
		(void)fuse_reply_err(req, ESTALE);
		return;
	}
	if (n->number == 0)
		(void)fuse_reply_err(req, EINVAL);
	else if (add_target(n, &target, &e) < 0)
		reply_error(req, n, &e);
	else if (target.len >= PATH_MAX)
		(void)fuse_reply_err(req, ENAMETOOLONG);
	else
		(void)fuse_reply_readlink(req, buf_str(&target));
	buf_clear(&target);
	vnodes_release(fs->vnodes, n);
}

/* --- names ------------------------------------------------------------------ */

/* The inode number of a version that is no directory; 1 when it is gone. */
static int
find_ino(struct fs *fs, const struct vnode *n, const struct history_event *v,
	 uint64_t *out, struct err *e)
{
	struct buf path = { 0 };
	struct view_gen *g = NULL;
	struct node found;
	int rc;

	*out = (uint64_t)v->number << INO_GENERATION_SHIFT | v->ordinal;
	if (!v->linked)
		return 0;
	if (vnode_path(n, &path, e) < 0)
		return -1;
	rc = inodes_generation(fs->inodes, v->number, &g, e);
	if (rc == 0)
		rc = view_path(g, buf_str(&path), &found, e);
	if (rc == 0) {
		*out = found.ino;
		node_clear(&found);
	}
	view_unref(g);
	buf_clear(&path);
	return rc;
}

/* What the kernel is to know of such a version; 1 when it is gone. */
static int
fill_file(struct fs *fs, const struct vnode *n, const struct history_event *v,
	  struct fuse_entry_param *out, struct err *e)
{
	uint64_t ino;
	int rc = find_ino(fs, n, v, &ino, e);

	if (rc == 0)
		rc = stored_entry(fs, ino, out, e);
	if (rc == 0)
		out->entry_timeout = FS_A_MOMENT;
	return rc;
}

/* The kernel knows the node by one look-up more, if it gets the answer. */
static void
reply_node(struct fs *fs, fuse_req_t req, const struct root_list *l,
	   struct vnode *n)
{
	struct fuse_entry_param entry = {
		.ino = n->id,
		.generation = vnodes_generation(fs->vnodes),
		.attr_timeout = FS_A_MOMENT,
		.entry_timeout = FS_A_MOMENT,
	};
	struct err e = { 0 };

	if (stat_node(fs, l, n, &entry.attr, &e) < 0) {
		reply_error(req, n, &e);
		return;
	}
	vnodes_met(fs->vnodes, n);
	if (fuse_reply_entry(req, &entry) != 0)
		vnodes_forget(fs->vnodes, n->id, 1);
}

static void
reply_none(fuse_req_t req)
{
	struct fuse_entry_param none = { .entry_timeout = FS_A_MOMENT };

	(void)fuse_reply_entry(req, &none);
}

/* Hold the child and answer with it; `h`: its history, used up, or NULL. */
static void
answer_child(struct fs *fs, fuse_req_t req, const struct root_list *l,
	     struct vnode *dir, struct history *h, uint32_t number,
	     const char *name)
{
	struct err e = { 0 };
	struct vnode *n;

	n = vnodes_make(fs->vnodes, dir, number, name, strlen(name));
	if (n == NULL) {
		history_unref(h);
		(void)err_nomem(&e);
		reply_error(req, dir, &e);
		return;
	}
	if (h != NULL)
		vnodes_keep(fs->vnodes, n, l->version, h, NULL);
	reply_node(fs, req, l, n);
	vnodes_release(fs->vnodes, n);
}

static void
lookup_version(struct fs *fs, fuse_req_t req, const struct root_list *l,
	       struct vnode *dir, const char *name)
{
	uint32_t number = parse_number(name + 1);
	const struct history_event *v = NULL;
	struct fuse_entry_param entry;
	struct history *h = NULL;
	struct err e = { 0 };
	int rc = 1;

	if (number != 0) {
		rc = get_history(fs, dir, l, &h, &e);
		if (rc == 0)
			v = history_find(h, number);
		if (rc == 0 && v == NULL)
			rc = 1;
	}
	if (rc == 0 && v->type == ENTRY_DIR) {
		answer_child(fs, req, l, dir, NULL, number, "");
		goto out;
	}
	if (rc == 0)
		rc = fill_file(fs, dir, v, &entry, &e);
	if (rc < 0)
		reply_error(req, dir, &e);
	else if (rc == 1)
		reply_none(req);
	else
		(void)fuse_reply_entry(req, &entry);
out:
	history_unref(h);
}

/* What a history says about its path: 0 there, 1 never. */
static int
was_there(const struct history *h, const char *shown, struct err *e)
{
	if (h->present > 0)
		return 0;
	if (h->damaged)
		return err_set(e, ERR_CORRUPT,
			       "%s may have been where it cannot be read",
			       shown);
	return 1;
}

/*
 * A child's history, if it is not at hand already (NULL); 1 when the child was
 * never there.
 */
static int
child_history(struct fs *fs, struct vnode *dir, const struct root_list *l,
	      const char *name, struct history **out, struct err *e)
{
	struct history_damage damage = { .fn = tell_damage, .ctx = dir };
	struct history_names *names = NULL;
	struct history *h = NULL;
	struct history *up;
	size_t len = strlen(name);
	char seen[PATH_SHOW_LEN];
	struct vnode *n;
	int rc;

	(void)path_show_in(seen, name, len);
	n = vnodes_find(fs->vnodes, dir, 0, name, len);
	if (n != NULL) {
		vnodes_computed(fs->vnodes, n, l->version, &h, &names);
		vnodes_release(fs->vnodes, n);
	}
	if (h != NULL) {
		/* It keeps what it has, names too. */
		rc = was_there(h, seen, e);
		history_unref(h);
		history_names_unref(names);
		if (rc == 0)
			*out = NULL;
		return rc;
	}
	if (get_history(fs, dir, l, &up, e) < 0)
		return -1;
	rc = history_child(up, fs->reader, name, len, &damage, &h, e);
	history_unref(up);
	if (rc == 0)
		rc = was_there(h, seen, e);
	if (rc == 0)
		*out = h;
	else
		history_unref(h);
	return rc;
}

static void
lookup_child(struct fs *fs, fuse_req_t req, const struct root_list *l,
	     struct vnode *dir, const char *name)
{
	struct history *h = NULL;
	struct err e = { 0 };
	int rc = 1;

	if (dir->depth >= DEPTH_MAX || strlen(name) > PATH_NAME_MAX) {
		(void)fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	if (path_name_ok(name, strlen(name)))
		rc = child_history(fs, dir, l, name, &h, &e);
	if (rc < 0)
		reply_error(req, dir, &e);
	else if (rc == 1)
		reply_none(req);
	else
		answer_child(fs, req, l, dir, h, 0, name);
}

void
versions_lookup(struct fs *fs, fuse_req_t req, uint64_t parent,
		const char *name)
{
	struct vnode *dir;
	struct root_list *l;

	dir = vnodes_hold(fs->vnodes, parent);
	/* Who has only a number does not get further. */
	if (dir == NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		(void)fuse_reply_err(req, ESTALE);
		if (dir != NULL)
			vnodes_release(fs->vnodes, dir);
		return;
	}
	l = root_current(fs->root);
	if (dir->number != 0)
		(void)fuse_reply_err(req, ENOTDIR);
	else if (name[0] != '@')
		lookup_child(fs, req, l, dir, name);
	else if (name[1] == '@')
		lookup_child(fs, req, l, dir, name + 1);
	else
		lookup_version(fs, req, l, dir, name);
	root_list_unref(l);
	vnodes_release(fs->vnodes, dir);
}

/* --- directories ------------------------------------------------------------ */

/*
 * Offsets: 1 behind ".", 2 behind "..", behind a version its number + 2, and
 * behind a name its cookie with the bit above set.
 */
#define OFFSET_BEHIND(version) ((off_t)((version)->number + 2))
#define OFFSET_NAMES           ((off_t)1 << HISTORY_COOKIE_BITS)

struct list_walk {
	struct fs *fs;
	struct vnode *dir;
	const struct root_list *list;
	struct history *history;
	struct listing *out;
	off_t from;
	bool plus;
};

static void
fill_version(struct list_walk *w, const struct history_event *v,
	     const char *shown, struct fuse_entry_param *out)
{
	uint64_t ino = 0;

	memset(out, 0, sizeof(*out));
	if (v->type == ENTRY_DIR) {
		out->attr.st_ino = vnode_ino(w->dir->ino, shown);
		out->attr.st_mode = S_IFLNK;
		return;
	}
	if (w->plus && fill_file(w->fs, w->dir, v, out, NULL) == 0)
		return;
	/* A damaged one is listed; whoever wants more of it gets EIO. */
	memset(out, 0, sizeof(*out));
	(void)find_ino(w->fs, w->dir, v, &ino, NULL);
	out->attr.st_ino = ino;
	out->attr.st_mode = entry_type_mode(v->type);
}

/* False when there is no more room, as below. */
static bool
list_versions(struct list_walk *w)
{
	const struct history *h = w->history;
	char shown[VNODE_NAME_LEN];
	struct fuse_entry_param entry;
	size_t i;

	for (i = 0; i < h->count; i++) {
		const struct history_event *v = &h->event[i];

		if (!v->shown || OFFSET_BEHIND(v) <= w->from)
			continue;
		(void)vnode_show_number(shown, v->number);
		fill_version(w, v, shown, &entry);
		if (!listing_add(w->out, shown, &entry, OFFSET_BEHIND(v)))
			return false;
	}
	return true;
}

static bool
list_piece(struct list_walk *w, const struct history_names *names,
	   uint64_t from)
{
	char shown[VNODE_NAME_LEN];
	struct fuse_entry_param entry = { 0 };
	size_t i;

	entry.attr.st_mode = S_IFDIR;
	for (i = 0; i < names->count; i++) {
		const struct history_name *n = &names->name[i];

		if (n->cookie <= from)
			continue;
		(void)vnode_show_name(shown, names->bytes.data + n->at, n->len);
		entry.attr.st_ino = vnode_ino(w->dir->ino, shown);
		if (!listing_add(w->out, shown, &entry,
				 OFFSET_NAMES | (off_t)n->cookie))
			return false;
	}
	return true;
}

static int
list_names(struct list_walk *w, struct err *e)
{
	uint64_t from = 0;
	bool room = true;

	if (w->from > OFFSET_NAMES)
		from = (uint64_t)(w->from - OFFSET_NAMES);
	while (room && from != UINT64_MAX) {
		struct history_names *names;
		bool damaged;

		if (get_names(w->fs, w->dir, w->history, w->list,
			      from, &names, e) < 0)
			return -1;
		room = list_piece(w, names, from);
		from = names->to;
		damaged = names->damaged;
		history_names_unref(names);
		/* Must not pass for a whole listing. */
		if (room && from == UINT64_MAX && damaged)
			return err_set(e, ERR_CORRUPT,
				       "some names cannot be read");
	}
	return 0;
}

static int
list_all(struct list_walk *w, struct err *e)
{
	const struct vnode *up = w->dir->parent;

	if (get_history(w->fs, w->dir, w->list, &w->history, e) < 0)
		return -1;
	if (!listing_add_dots(w->out, w->from, w->dir->ino,
			      up != NULL ? up->ino : ROOT_INO) ||
	    !list_versions(w))
		return 0;
	return list_names(w, e);
}

void
versions_list(struct fs *fs, fuse_req_t req, uint64_t node, size_t size,
	      off_t from, bool plus)
{
	struct listing out = { 0 };
	struct list_walk w = {
		.fs = fs, .out = &out, .from = from, .plus = plus
	};
	struct root_list *l;
	struct err e = { 0 };
	int rc;

	w.dir = vnodes_hold(fs->vnodes, node);
	if (w.dir == NULL) {
		(void)fuse_reply_err(req, ESTALE);
		return;
	}
	l = root_current(fs->root);
	w.list = l;
	if (w.dir->number != 0) {
		(void)fuse_reply_err(req, ENOTDIR);
	} else if (listing_begin(&out, req, size, plus, &e) < 0) {
		reply_error(req, w.dir, &e);
	} else {
		rc = list_all(&w, &e);
		if (rc < 0 && out.len == 0)
			(void)err_prefix(&e, "versions");
		listing_end(&out, w.dir->ino, rc, &e);
	}
	history_unref(w.history);
	root_list_unref(l);
	vnodes_release(fs->vnodes, w.dir);
}
