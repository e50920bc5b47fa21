/*
 * Changes are gathered in a small tree of their own, by path, and put into the
 * large one at the end: so each directory on their way is made anew once,
 * however many files are changed in it.  What is there is seen through both.
 *
 * The trees of the walk are read back, so all that was put is flushed before
 * the first look; without grafts that never happens.
 *
 * A path may be as deep as TWIG_DEPTH_MAX: the recursion goes that far.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/graft.h"

#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "src/engine/claimed.h"
#include "src/engine/collect.h"
#include "src/engine/filemap.h"
#include "src/engine/gather.h"
#include "src/engine/graft_internal.h"
#include "src/engine/scan.h"
#include "store/writer.h"

#include <fcntl.h>
#include <string.h>

#define TWIG_DEPTH_MAX 256

/* In the session's tree a path may stand behind names of its own. */
#define SESSION_PREFIX_MAX   64
#define SESSION_PREFIX_NAMES 2

/* A name that is changed, or on the way to one. */
struct twig {
	char *name;
	size_t len;
	uint8_t *bytes; /* its entry, of a directory without what is in it;
			   NULL: a directory on the way */
	size_t bytes_len;
	bool gone; /* nothing is there any more; no bytes */
	bool leaves; /* a directory: if nothing is left in it */
	struct twig **child; /* sorted by name */
	size_t children;
};

struct graft {
	struct backup *b;
	struct collector *c;
	struct collected *out;
	struct twig tree, session; /* their tops */
	bool flushed;
	struct buf path; /* of the directory being made */
};

/* --- twigs ---------------------------------------------------------------------- */

/* Goes as deep as paths are let in. */
static void
twig_clear(struct twig *t)
{
	for (size_t i = 0; i < t->children; i++) {
		twig_clear(t->child[i]);
		mem_free(t->child[i]);
	}
	mem_free(t->child);
	mem_free(t->name);
	mem_free(t->bytes);
}

/* Where the name is, or would be; true when it is there. */
static bool
twig_find(const struct twig *t, const char *name, size_t len, size_t *at)
{
	size_t low = 0, high = t->children;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int cmp = entry_name_cmp(t->child[mid]->name,
					 t->child[mid]->len, name, len);

		if (cmp == 0) {
			*at = mid;
			return true;
		}
		if (cmp < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*at = low;
	return false;
}

static struct twig *
twig_child(struct twig *t, const char *name, size_t len)
{
	struct twig **grown, *c;
	size_t at;

	if (twig_find(t, name, len, &at))
		return t->child[at];
	grown = mem_resize(t->child, t->children + 1, sizeof(struct twig *));
	if (grown == NULL)
		return NULL;
	t->child = grown;
	c = mem_zalloc(sizeof(*c));
	if (c == NULL)
		return NULL;
	c->name = mem_dup(name, len);
	c->len = len;
	if (c->name == NULL) {
		mem_free(c);
		return NULL;
	}
	memmove(grown + at + 1, grown + at,
		(t->children - at) * sizeof(struct twig *));
	grown[at] = c;
	t->children++;
	return c;
}

/* Is it a path that can be put somewhere? */
static int
check_path(const char *path, bool absolute, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *name;
	size_t len, pos = 0, depth = 0;
	size_t more = absolute ? 0 : SESSION_PREFIX_MAX;
	size_t deeper = absolute ? 0 : SESSION_PREFIX_NAMES;
	bool ok = (path[0] == '/') == absolute &&
		  strlen(path) <= PATH_LEN_MAX + more;

	for (; ok && path_next(path, &pos, &name, &len); depth++)
		ok = path_name_ok(name, len);
	if (ok && depth > 0 && depth <= TWIG_DEPTH_MAX + deeper &&
	    path[strlen(path) - 1] != '/')
		return 0;
	return err_set(e, ERR_SOURCE, "%s: cannot be the place of a file",
		       path_show_in(shown, path, strlen(path)));
}

/* The entry is what is at the path from now on. */
static int
twig_set(struct twig *top, const char *path, const uint8_t *bytes, size_t n,
	 struct err *e)
{
	struct twig *t = top;
	const char *name;
	size_t len, pos = 0;
	uint8_t *copy = (uint8_t *)mem_dup(bytes, n);

	while (t != NULL && path_next(path, &pos, &name, &len))
		t = twig_child(t, name, len);
	if (t == NULL || copy == NULL) {
		mem_free(copy);
		return err_nomem(e);
	}
	mem_free(t->bytes);
	t->bytes = copy;
	t->bytes_len = n;
	t->gone = false;
	return 0;
}

/* --- what is there ---------------------------------------------------------------- */

static int
look(struct graft *g, struct err *e)
{
	if (g->flushed)
		return 0;
	if (writer_flush(g->b->writer, e) < 0)
		return -1;
	g->flushed = true;
	return 0;
}

static int
top_entry(const struct graft *g, struct entry *out, struct err *e)
{
	return entry_decode(g->out->root_bytes.data, g->out->root_bytes.len,
			    true, out, e);
}

/* What stands in the way: "NAME is no directory". */
static int
in_the_way(const char *path, size_t pos, struct err *e)
{
	char shown[PATH_SHOW_LEN];

	return err_set(e, ERR_SOURCE, "%s is no directory",
		       path_show_in(shown, path, pos));
}

/*
 * The entry that the walk has left at the path; 1 when there is none.  A file
 * on the way is ERR_SOURCE.
 */
static int
find_walked(struct graft *g, const char *path, struct tree_hit *out,
	    struct err *e)
{
	struct tree_hit hit = { 0 };
	struct entry top;
	const struct entry *at = &top;
	const char *name;
	size_t len, pos = 0, before = 0;
	int rc = 1;

	if (look(g, e) < 0 || top_entry(g, &top, e) < 0)
		return -1;
	while (path_next(path, &pos, &name, &len)) {
		struct tree_hit next = { 0 };

		if (at->type != ENTRY_DIR)
			rc = in_the_way(path, before, e);
		else
			rc = tree_find(g->b->reader, &at->dir.id, name, len,
				       &next, e);
		tree_hit_clear(&hit);
		if (rc != 0)
			return rc;
		hit = next;
		at = &hit.entry;
		before = pos;
	}
	*out = hit;
	return rc;
}

/* The same of what was grafted: NULL when nothing was, just there. */
static int
find_twig(struct graft *g, const char *path, const struct twig **out,
	  struct err *e)
{
	const struct twig *t = &g->tree;
	const char *name;
	size_t len, at, pos = 0, before = 0;

	*out = NULL;
	while (path_next(path, &pos, &name, &len)) {
		if (t->bytes != NULL)
			return in_the_way(path, before, e);
		if (!twig_find(t, name, len, &at))
			return 0;
		t = t->child[at];
		before = pos;
	}
	*out = t;
	return 0;
}

int
graft_find(struct graft *g, const char *path, struct buf *out, struct err *e)
{
	struct tree_hit hit = { 0 };
	const struct twig *t;
	struct entry top;
	int rc;

	if (strcmp(path, "/") == 0) {
		if (top_entry(g, &top, e) < 0)
			return -1;
		buf_add(out, top.bytes, top.len);
		return buf_ok(out, e);
	}
	if (check_path(path, true, e) < 0 || find_twig(g, path, &t, e) < 0)
		return -1;
	if (t != NULL && t->gone)
		return 1;
	if (t != NULL && t->bytes != NULL) {
		buf_add(out, t->bytes, t->bytes_len);
		return buf_ok(out, e);
	}
	rc = find_walked(g, path, &hit, e);
	if (rc != 0)
		return rc;
	buf_add(out, hit.entry.bytes, hit.entry.len);
	tree_hit_clear(&hit);
	return buf_ok(out, e);
}

/* --- files ------------------------------------------------------------------------ */

/* May a file stand there? */
static int
check_place(struct graft *g, const char *path, struct err *e)
{
	struct tree_hit hit = { 0 };
	char shown[PATH_SHOW_LEN];
	const struct twig *t;
	bool dir;
	int rc;

	if (check_path(path, true, e) < 0 || find_twig(g, path, &t, e) < 0)
		return -1;
	rc = find_walked(g, path, &hit, e);
	if (rc < 0)
		return -1;
	dir = (rc == 0 && hit.entry.type == ENTRY_DIR) ||
	      (t != NULL && t->children > 0);
	tree_hit_clear(&hit);
	if (!dir)
		return 0;
	return err_set(e, ERR_SOURCE, "%s is a directory in the backup",
		       path_show_in(shown, path, strlen(path)));
}

static int
put_file(struct graft *g, const char *path, const struct scan_lone_what *what,
	 struct err *e)
{
	char shown[PATH_SHOW_LEN];
	struct slice *sl = NULL;
	const char *name = NULL;
	struct err why = { 0 };
	int parent, rc = -1;

	if (check_place(g, path, e) < 0)
		return -1;
	parent = claimed_open_parent(g->b->standins, path, &name, &why);
	if (parent < 0 && why.kind != ERR_SOURCE) {
		err_move(e, &why);
		return -1;
	}
	err_clear(&why);
	if (scan_lone(g->b, path, what, parent, &sl, e) == 0 &&
	    collect_lone(g->c, sl, e) == 0)
		rc = twig_set(&g->tree, path, sl->item[0].bytes,
			      sl->item[0].len, e);
	else
		(void)err_prefix(e, "%s",
				 path_show_in(shown, path, strlen(path)));
	if (sl != NULL) {
		struct dir *d = sl->dir;

		slice_free(sl);
		dir_unref(d);
	}
	return rc;
}

int
graft_file(struct graft *g, const char *path, const char *from, size_t owner,
	   struct err *e)
{
	const struct scan_lone_what what = { .from = from, .owner = owner };

	return put_file(g, path, &what, e);
}

int
graft_any(struct graft *g, const char *path, struct err *e)
{
	static const struct scan_lone_what what = { .any_type = true };

	return put_file(g, path, &what, e);
}

int
graft_remove(struct graft *g, const char *path, struct err *e)
{
	struct tree_hit hit = { 0 };
	const struct twig *there;
	struct twig *t = &g->tree;
	const char *name;
	size_t len;
	size_t pos = 0;
	bool dir;
	int rc;

	if (check_path(path, true, e) < 0 || find_twig(g, path, &there, e) < 0)
		return -1;
	rc = find_walked(g, path, &hit, e);
	dir = (rc == 0 && hit.entry.type == ENTRY_DIR) ||
	      (there != NULL && there->children > 0);
	tree_hit_clear(&hit);
	if (rc < 0 || (rc == 1 && there == NULL))
		return rc;
	while (t != NULL && path_next(path, &pos, &name, &len))
		t = twig_child(t, name, len);
	if (t == NULL)
		return err_nomem(e);
	t->leaves = dir;
	if (dir)
		return 0;
	mem_free(t->bytes);
	t->bytes = NULL;
	t->bytes_len = 0;
	t->gone = true;
	return 0;
}

/* And the directories that are on the way to it alone.  As deep as paths are. */
static void
twig_drop(struct twig *t, const char *path, size_t pos)
{
	const char *name;
	size_t len, at;
	struct twig *c;

	if (!path_next(path, &pos, &name, &len) ||
	    !twig_find(t, name, len, &at))
		return;
	c = t->child[at];
	if (path[pos] != '\0') {
		twig_drop(c, path, pos);
		if (c->bytes != NULL || c->gone || c->leaves)
			return;
	}
	if (c->children > 0)
		return;
	twig_clear(c);
	mem_free(c);
	t->children--;
	memmove(t->child + at, t->child + at + 1,
		(t->children - at) * sizeof(struct twig *));
}

void
graft_undo(struct graft *g, const char *path)
{
	twig_drop(&g->tree, path, 0);
}

/* --- the session's own files --------------------------------------------------------- */

static void
session_entry(const struct graft *g, unsigned type, unsigned mode,
	      struct entry *out)
{
	memset(out, 0, sizeof(*out));
	out->type = (uint8_t)type;
	out->mode = mode;
	out->mtime = out->ctime = out->atime = g->b->start;
	out->nlink = 1;
}

static int
put_bytes(struct graft *g, struct filemap_builder *map, const uint8_t *p,
	  size_t len, struct entry *out, struct err *e)
{
	struct backup *b = g->b;
	unsigned cls = config_class(b->config, len, false, 0);
	struct id id;

	filemap_builder_start(map, MAP_CDC, cls);
	while (len > 0) {
		size_t n = chunker_cut(&b->chunker[cls], p, len, true);

		if (chunk_put(writer_sink(b->writer), KIND_DATA, p, n, &id,
			      e) < 0 ||
		    filemap_add_chunk(map, &id, (uint32_t)n, e) < 0)
			return -1;
		p += n;
		len -= n;
	}
	return filemap_finish(map, &out->content, &out->size, e);
}

int
graft_session(struct graft *g, const char *name, const void *p, size_t len,
	      struct err *e)
{
	struct filemap_builder *map = NULL;
	const char *base = strrchr(name, '/');
	struct buf bytes = { 0 };
	struct entry en;
	int rc = -1;

	if (check_path(name, false, e) < 0)
		return -1;
	base = base != NULL ? base + 1 : name;
	session_entry(g, ENTRY_FILE, 0400, &en);
	en.name = (const uint8_t *)base;
	en.name_len = strlen(base);
	if (filemap_builder_new(writer_sink(g->b->writer), &map, e) == 0 &&
	    put_bytes(g, map, p, len, &en, e) == 0 &&
	    entry_encode(&en, &bytes, e) == 0)
		rc = twig_set(&g->session, name, bytes.data, bytes.len, e);
	filemap_builder_free(map);
	buf_clear(&bytes);
	return rc;
}

/*
 * The entry as one of this run: its file system is a number in a table of the
 * generation that it comes from, and so is its place in a table of links.
 */
static int
adopt(struct graft *g, const char *name, const struct record *from,
      const struct entry *en, struct buf *out, struct err *e)
{
	static const struct tree_root empty;
	const char *slash = strrchr(name, '/');
	struct entry own = *en;
	uint32_t fs = 0;

	if (backup_fs_of(g->b, from, en->fs, &fs, e) < 0)
		return -1;
	name = slash != NULL ? slash + 1 : name;
	own.name = (const uint8_t *)name;
	own.name_len = strlen(name);
	own.fs = fs;
	own.bytes = NULL;
	own.flags &= ~ENTRY_LINKED;
	own.nlink = 1;
	if (own.type == ENTRY_DIR)
		own.dir = empty;
	return entry_encode(&own, out, e);
}

int
graft_session_entry(struct graft *g, const char *name,
		    const struct record *from, const struct entry *en,
		    struct err *e)
{
	struct buf bytes = { 0 };
	int rc = -1;

	if (check_path(name, false, e) < 0)
		return -1;
	if (adopt(g, name, from, en, &bytes, e) == 0)
		rc = twig_set(&g->session, name, bytes.data, bytes.len, e);
	buf_clear(&bytes);
	return rc;
}

/* --- making the trees ----------------------------------------------------------------- */

/* Metadata of a directory on the way, from the source or, if need be, none. */
static int
new_dir(struct graft *g, struct entry *out, struct buf *xattrs, struct err *e)
{
	const char *path = buf_str(&g->path), *name = NULL;
	struct err why = { 0 };
	struct statx st;
	uint32_t fs = 0;
	int parent, fd = -1;

	session_entry(g, ENTRY_DIR, 0755, out);
	parent = claimed_open_parent(g->b->standins, path, &name, &why);
	if (parent >= 0)
		fd = src_open(parent, name, O_DIRECTORY, &why);
	if (fd >= 0 && src_stat(fd, "", &st, &why) == 0 &&
	    backup_fs(g->b, standin_above(g->b->standins, path), &st, fd,
		      NULL, &fs, &why) == 0) {
		gather_stat(&st, fs, out);
		(void)gather_xattrs(fd, NULL, writer_sink(g->b->writer),
				    xattrs, out, &why);
	}
	src_close(fd);
	src_close(parent);
	/* What is not to be had of the source is no reason to fail. */
	if (why.kind == ERR_NONE || why.kind == ERR_SOURCE)
		return 0;
	err_move(e, &why);
	return -1;
}

struct making {
	struct graft *g;
	const struct twig *twig;
	const struct entry *old; /* NULL: it is new */
	bool session;
	struct tree_builder *builder;
};

static int make_tree(struct graft *g, const struct twig *t,
		     const struct entry *old, bool session,
		     struct tree_root *out, struct err *e);

/* A directory on the way, or one of the session's whose entry is known. */
static int
add_way(struct making *m, const struct twig *t, const struct entry *old,
	struct err *e)
{
	struct graft *g = m->g;
	size_t len = g->path.len;
	struct buf xattrs = { 0 };
	struct entry en;
	int rc = -1;

	buf_add_char(&g->path, '/');
	buf_add(&g->path, t->name, t->len);
	(void)buf_str(&g->path);
	if (buf_ok(&g->path, e) < 0)
		goto out;
	if (old != NULL)
		en = *old;
	else if (t->bytes != NULL &&
		 entry_decode(t->bytes, t->bytes_len, false, &en, e) < 0)
		goto out;
	else if (t->bytes == NULL && m->session)
		session_entry(g, ENTRY_DIR, 0700, &en);
	else if (t->bytes == NULL && new_dir(g, &en, &xattrs, e) < 0)
		goto out;
	if (make_tree(g, t, old, m->session, &en.dir, e) < 0)
		goto out;
	if (t->leaves && en.dir.entries == 0) {
		rc = old != NULL ? collect_swap(g->c, old, NULL, e) : 0;
		goto out;
	}
	en.name = (const uint8_t *)t->name;
	en.name_len = t->len;
	en.bytes = NULL;
	if (!m->session && old == NULL && collect_swap(g->c, NULL, &en, e) < 0)
		goto out;
	rc = tree_builder_add(m->builder, &en, e);
out:
	g->path.len = len;
	buf_clear(&xattrs);
	return rc;
}

/* Nothing comes in the place of what was there. */
static int
drop_twig(struct making *m, const struct entry *old, struct err *e)
{
	if (old == NULL)
		return 0;
	if (collect_swap(m->g->c, old, NULL, e) < 0)
		return -1;
	return collect_unlink(m->g->c, &m->old->dir.id, old, e);
}

/* A changed name, in the place of `old`, if there is one. */
static int
add_twig(struct making *m, const struct twig *t, const struct entry *old,
	 struct err *e)
{
	struct entry en;

	if (t->gone)
		return drop_twig(m, old, e);
	if (t->bytes == NULL)
		return add_way(m, t, old, e);
	if (entry_decode(t->bytes, t->bytes_len, false, &en, e) < 0)
		return -1;
	if (en.type == ENTRY_DIR)
		return add_way(m, t, old, e);
	if (t->children > 0)
		return err_set(e, ERR_CORRUPT,
			       "what was stored has a file where it has a "
			       "directory");
	if (!m->session &&
	    (collect_swap(m->g->c, old, &en, e) < 0 ||
	     (old != NULL &&
	      collect_unlink(m->g->c, &m->old->dir.id, old, e) < 0)))
		return -1;
	return tree_builder_add(m->builder, &en, e);
}

/* The entries that there were, and the changed ones, in order of name. */
static int
merge(struct making *m, struct tree_iter *it, struct err *e)
{
	const struct twig *t = m->twig;
	struct entry en;
	size_t next = 0;
	int more = 0;

	while (it != NULL && (more = tree_iter_next(it, &en, e)) == 1) {
		int cmp = 1;

		for (; next < t->children; next++) {
			cmp = entry_name_cmp(t->child[next]->name,
					     t->child[next]->len, en.name,
					     en.name_len);
			if (cmp >= 0)
				break;
			if (add_twig(m, t->child[next], NULL, e) < 0)
				return -1;
		}
		if (next < t->children && cmp == 0) {
			if (add_twig(m, t->child[next++], &en, e) < 0)
				return -1;
		} else if (tree_builder_add(m->builder, &en, e) < 0) {
			return -1;
		}
	}
	if (more < 0)
		return -1;
	for (; next < t->children; next++)
		if (add_twig(m, t->child[next], NULL, e) < 0)
			return -1;
	return 0;
}

static int
make_tree(struct graft *g, const struct twig *t, const struct entry *old,
	  bool session, struct tree_root *out, struct err *e)
{
	struct making m = { .g = g, .twig = t, .old = old, .session = session };
	struct tree_iter it;
	bool open = false;
	int rc = -1;

	if (tree_builder_new(writer_sink(g->b->writer), &m.builder, e) < 0)
		return -1;
	if (old != NULL) {
		if (tree_iter_init(&it, g->b->reader, &old->dir.id, 0, e) < 0)
			goto out;
		open = true;
	}
	if (merge(&m, open ? &it : NULL, e) == 0 &&
	    tree_builder_finish(m.builder, out, e) == 0)
		rc = 0;
	if (rc == 0 && old != NULL && !session)
		collect_moved(g->c, &old->dir.id, &out->id);
out:
	if (open)
		tree_iter_clear(&it);
	tree_builder_free(m.builder);
	return rc;
}

static int
finish_tree(struct graft *g, struct err *e)
{
	struct buf bytes = { 0 };
	struct entry top, old;
	int rc = -1;

	if (g->tree.children == 0)
		return 0;
	if (top_entry(g, &old, e) < 0)
		return -1;
	top = old;
	top.bytes = NULL;
	if (make_tree(g, &g->tree, &old, false, &top.dir, e) == 0 &&
	    entry_encode(&top, &bytes, e) == 0) {
		buf_clear(&g->out->root_bytes);
		g->out->root_bytes = bytes;
		return 0;
	}
	buf_clear(&bytes);
	return rc;
}

static int
finish_session(struct graft *g, struct err *e)
{
	struct entry top;

	if (g->session.children == 0)
		return 0;
	session_entry(g, ENTRY_DIR, 0700, &top);
	if (make_tree(g, &g->session, NULL, true, &top.dir, e) < 0)
		return -1;
	buf_reset(&g->out->session_bytes);
	return entry_encode(&top, &g->out->session_bytes, e);
}

/* --- beginning and end ------------------------------------------------------------------ */

int
graft_new(struct backup *b, struct collector *c, struct collected *out,
	  struct graft **g, struct err *e)
{
	struct graft *made = mem_zalloc(sizeof(*made));

	if (made == NULL)
		return err_nomem(e);
	made->b = b;
	made->c = c;
	made->out = out;
	*g = made;
	return 0;
}

int
graft_finish(struct graft *g, struct err *e)
{
	if (finish_tree(g, e) < 0)
		return -1;
	return finish_session(g, e);
}

void
graft_free(struct graft *g)
{
	if (g == NULL)
		return;
	twig_clear(&g->tree);
	twig_clear(&g->session);
	buf_clear(&g->path);
	mem_free(g);
}
