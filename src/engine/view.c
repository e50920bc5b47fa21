/*
 * view.c
 *
 * An inode number says where its entry is: the ordinal counts entries in
 * preorder, and every directory says how many inodes lie beneath it.  So
 * from the top each step down is one look into the directory that covers the
 * ordinal, and nothing has to be remembered between calls.
 *
 * What directories say about themselves is not trusted.  A child's range of
 * ordinals must lie inside its parent's, behind the parent's own ordinal;
 * this is checked wherever a node is made.  Therefore a way down ends (each
 * step's range is smaller than the one before), all ordinals stay below the
 * bit that marks linked inodes, and two entries of one directory never have
 * the same number.
 *
 * No cache here: the store keeps decoded nodes at hand.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/view.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/engine/links.h"
#include "src/engine/reader.h"
#include "store/store.h"

#include <inttypes.h>
#include <string.h>

#define TOP_ORDINAL 1

_Static_assert(TREE_INODES_MAX + TOP_ORDINAL <= INO_ORDINAL_MASK,
	       "an ordinal must not reach the bit that marks linked inodes");

/* --- opening ------------------------------------------------------------- */

int
view_open(struct store *st, uint32_t number, struct view_gen **out,
	  struct err *e)
{
	struct view_gen *g = mem_zalloc(sizeof(*g));
	int rc;

	if (g == NULL)
		return err_nomem(e);
	g->store = st;
	g->reader = store_reader(st);
	g->number = number;
	g->refs = 1;
	rc = generation_read(store_repository(st), number, &g->record, e);
	if (rc == 1)
		rc = err_set(e, ERR_MISSING, "no generation %" PRIu32, number);
	if (rc < 0) {
		view_unref(g);
		return -1;
	}
	*out = g;
	return 0;
}

struct view_gen *
view_ref(struct view_gen *g)
{
	__atomic_add_fetch(&g->refs, 1, __ATOMIC_RELAXED);
	return g;
}

void
view_unref(struct view_gen *g)
{
	if (g == NULL || __atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	record_clear(&g->record);
	mem_free(g);
}

/* --- nodes --------------------------------------------------------------- */

void
node_clear(struct node *n)
{
	tree_hit_clear(&n->hit);
	memset(n, 0, sizeof(*n));
}

/* Say which generation it was; returns -1. */
static int
in_generation(const struct view_gen *g, struct err *e)
{
	return err_prefix(e, "generation %" PRIu32, g->number);
}

static int
corrupt(const struct view_gen *g, const struct entry *en, const char *what,
	struct err *e)
{
	char shown[PATH_SHOW_LEN] = "/";

	if (en->name_len > 0)
		path_show_in(shown, en->name, en->name_len);
	return err_set(e, ERR_CORRUPT, "generation %" PRIu32 ": %s: %s",
		       g->number, shown, what);
}

static uint64_t
make_ino(const struct view_gen *g, uint64_t low)
{
	return (uint64_t)g->number << INO_GENERATION_SHIFT | low;
}

/* The row of the link table that a linked entry must have. */
static int
find_link(const struct view_gen *g, const struct entry *en,
	  struct link_hit *out, struct err *e)
{
	int rc;

	rc = links_find(g->reader, &g->record.links, en->fs, en->ino, out, e);
	if (rc < 0)
		return in_generation(g, e);
	if (rc == 1)
		return corrupt(g, en, "is missing in the table of hard links",
			       e);
	if (out->rank < INO_LINKED)
		return 0;
	link_hit_clear(out);
	return corrupt(g, en, "its place in the table of hard links is absurd",
		       e);
}

static int
find_ino(const struct view_gen *g, const struct entry *en, uint64_t ordinal,
	 uint64_t *out, struct err *e)
{
	struct link_hit hit = { 0 };

	if ((en->flags & ENTRY_LINKED) == 0) {
		*out = make_ino(g, ordinal);
		return 0;
	}
	if (find_link(g, en, &hit, e) < 0)
		return -1;
	*out = make_ino(g, INO_LINKED | hit.rank);
	link_hit_clear(&hit);
	return 0;
}

/*
 * Number an entry of `dir` that has `before` inodes before it.  Sets all of
 * *out but the hit.
 */
static int
number_entry(const struct view_gen *g, const struct node *dir,
	     const struct entry *en, uint64_t before, struct node *out,
	     struct err *e)
{
	uint64_t covered = dir->entry.dir.beneath;
	uint64_t below = en->type == ENTRY_DIR ? en->dir.beneath : 0;
	uint64_t ino;

	if (before >= covered || below > covered - before - 1)
		return corrupt(g, en, "lies beyond the end of its directory",
			       e);
	if (find_ino(g, en, dir->ordinal + 1 + before, &ino, e) < 0)
		return -1;
	out->entry = *en;
	out->ino = ino;
	out->ordinal = dir->ordinal + 1 + before;
	out->parent_ordinal = dir->ordinal;
	return 0;
}

/* Make a node of a hit in `dir`; the hit is used up in any case. */
static int
take_hit(const struct view_gen *g, const struct node *dir, struct tree_hit *hit,
	 struct node *out, struct err *e)
{
	struct node n = { 0 };

	if (number_entry(g, dir, &hit->entry, hit->before, &n, e) < 0) {
		tree_hit_clear(hit);
		return -1;
	}
	n.hit = *hit;
	*out = n;
	return 0;
}

/* --- by name ------------------------------------------------------------- */

int
view_top(struct view_gen *g, struct node *out, struct err *e)
{
	(void)e;
	memset(out, 0, sizeof(*out));
	out->entry = g->record.root;
	out->ordinal = TOP_ORDINAL;
	out->parent_ordinal = TOP_ORDINAL;
	out->ino = make_ino(g, TOP_ORDINAL);
	return 0;
}

int
view_lookup(struct view_gen *g, const struct node *dir, const void *name,
	    size_t len, struct node *out, struct err *e)
{
	struct tree_hit hit = { 0 };
	int rc;

	if (dir->entry.type != ENTRY_DIR || !path_name_ok(name, len))
		return 1;
	rc = tree_find(g->reader, &dir->entry.dir.id, name, len, &hit, e);
	if (rc < 0)
		return in_generation(g, e);
	if (rc == 1)
		return 1;
	return take_hit(g, dir, &hit, out, e);
}

int
view_path(struct view_gen *g, const char *path, struct node *out, struct err *e)
{
	struct node n;
	const char *name;
	size_t len;
	size_t pos = 0;

	if (view_top(g, &n, e) < 0)
		return -1;
	while (path_next(path, &pos, &name, &len)) {
		struct node child;
		int rc = view_lookup(g, &n, name, len, &child, e);

		node_clear(&n);
		if (rc != 0)
			return rc;
		n = child;
	}
	*out = n;
	return 0;
}

/* --- by number ----------------------------------------------------------- */

/* One step down: the entry of `dir` that covers the ordinal, as `dir` does. */
static int
step_down(struct view_gen *g, const struct node *dir, uint64_t ordinal,
	  struct node *out, struct err *e)
{
	struct tree_hit hit = { 0 };
	uint64_t offset = ordinal - dir->ordinal - 1;
	int rc;

	rc = tree_find_inode(g->reader, &dir->entry.dir.id, offset, &hit, e);
	if (rc < 0)
		return in_generation(g, e);
	if (rc == 1)
		return corrupt(g, &dir->entry,
			       "does not hold what it says to hold", e);
	return take_hit(g, dir, &hit, out, e);
}

/* The node with this ordinal; 1 when there is none. */
static int
descend(struct view_gen *g, uint64_t ordinal, struct node *out, struct err *e)
{
	struct node n;

	if (ordinal < TOP_ORDINAL ||
	    ordinal - TOP_ORDINAL > g->record.root.dir.beneath)
		return 1;
	if (view_top(g, &n, e) < 0)
		return -1;
	while (n.ordinal != ordinal) {
		struct node child;
		int rc = step_down(g, &n, ordinal, &child, e);

		node_clear(&n);
		if (rc < 0)
			return -1;
		n = child;
	}
	*out = n;
	return 0;
}

/* The first of the names of the linked inode with this rank. */
static int
find_linked(struct view_gen *g, uint64_t rank, struct node *out, struct err *e)
{
	struct link_hit link = { 0 };
	struct tree_hit hit = { 0 };
	int rc;

	rc = links_at(g->reader, &g->record.links, rank, &link, e);
	if (rc < 0)
		return in_generation(g, e);
	if (rc == 1)
		return 1;
	rc = tree_find(g->reader, &link.link.tree, link.link.name,
		       link.link.name_len, &hit, e);
	if (rc < 0) {
		in_generation(g, e);
		goto out;
	}
	if (rc == 1 || (hit.entry.flags & ENTRY_LINKED) == 0 ||
	    hit.entry.fs != link.link.fs || hit.entry.ino != link.link.ino) {
		rc = err_set(e, ERR_CORRUPT,
			     "generation %" PRIu32 ": row %" PRIu64
			     " of the table of hard links names something else",
			     g->number, rank);
		tree_hit_clear(&hit);
		goto out;
	}
	memset(out, 0, sizeof(*out));
	out->hit = hit;
	out->entry = hit.entry;
	out->ino = make_ino(g, INO_LINKED | rank);
out:
	link_hit_clear(&link);
	return rc;
}

int
view_inode(struct view_gen *g, uint64_t ino, struct node *out, struct err *e)
{
	struct node n;
	int rc;

	if (ino >> INO_GENERATION_SHIFT != g->number)
		return 1;
	if ((ino & INO_LINKED) != 0)
		return find_linked(g, ino & INO_ORDINAL_MASK, out, e);
	rc = descend(g, ino & INO_ORDINAL_MASK, &n, e);
	if (rc != 0)
		return rc;
	/* A linked entry has an ordinal, but not as its number. */
	if (n.ino != ino) {
		node_clear(&n);
		return 1;
	}
	*out = n;
	return 0;
}

int
view_parent(struct view_gen *g, const struct node *n, struct node *out,
	    struct err *e)
{
	/* Where it is not known it is 0, which is nobody's. */
	int rc = descend(g, n->parent_ordinal, out, e);

	if (rc == 1)
		return corrupt(g, &n->entry, "its directory is not known", e);
	return rc;
}

/* --- listing ------------------------------------------------------------- */

int
view_list(struct view_gen *g, const struct node *dir, uint64_t start,
	  view_fn fn, void *ctx, struct err *e)
{
	const struct tree_root *root = &dir->entry.dir;
	uint64_t entries = 0; /* up to the last one listed */
	uint64_t inodes = 0;
	struct node n = { 0 };
	struct tree_iter it;
	struct entry en;
	int rc;

	if (dir->entry.type != ENTRY_DIR)
		return err_set(e, ERR_USAGE,
			       "generation %" PRIu32
			       ": only directories have entries",
			       g->number);
	if (start >= root->entries)
		return 0;
	if (tree_iter_init(&it, g->reader, &root->id, start, e) < 0)
		return in_generation(g, e);
	while ((rc = tree_iter_next(&it, &en, e)) == 1) {
		rc = number_entry(g, dir, &en, it.before, &n, e);
		if (rc == 0)
			rc = fn(ctx, &n, it.position, e);
		if (rc != 0)
			goto out;
		entries = it.position + 1;
		inodes = it.before + entry_inodes(&en);
	}
	/* A listing that is too short must not pass for a whole one. */
	if (rc < 0)
		in_generation(g, e);
	else if (entries != root->entries || inodes != root->beneath)
		rc = corrupt(g, &dir->entry,
			     "does not hold what it says to hold", e);
out:
	tree_iter_clear(&it);
	return rc;
}

/* --- the session's tree -------------------------------------------------- */

/* Find a path beneath a top directory; 1 when there is none. */
static int
find_beneath(struct view_gen *g, const struct entry *top, const char *path,
	     struct tree_hit *out, struct err *e)
{
	struct tree_hit hit = { 0 };
	const struct entry *at = top;
	const char *name;
	size_t len, pos = 0;
	int rc = 1;

	while (path_next(path, &pos, &name, &len)) {
		struct tree_hit next = { 0 };

		rc = at->type == ENTRY_DIR ?
			     tree_find(g->reader, &at->dir.id, name, len, &next,
				       e) :
			     1;
		tree_hit_clear(&hit);
		if (rc != 0)
			return rc;
		hit = next;
		at = &hit.entry;
	}
	if (rc == 0)
		*out = hit;
	return rc;
}

static int
add_bytes(struct view_gen *g, const struct entry *en, struct buf *out,
	  size_t max, struct err *e)
{
	struct file_reader f;
	uint8_t *to;
	int rc = 0;

	if (en->type != ENTRY_FILE || en->size > max ||
	    (en->flags & ENTRY_UNREADABLE) != 0)
		return corrupt(g, en, "is no file that a session leaves", e);
	if (file_reader_init(&f, g->reader, &en->content, en->size, e) < 0)
		return -1;
	to = buf_extend(out, (size_t)en->size);
	if (to == NULL && en->size > 0)
		rc = err_nomem(e);
	else if (file_read(&f, 0, to, (size_t)en->size, NULL, e) < 0)
		rc = -1;
	file_reader_clear(&f);
	return rc;
}

int
view_session(struct view_gen *g, const char *path, struct buf *out,
	     size_t max, struct err *e)
{
	struct tree_hit hit = { 0 };
	size_t len = out->len;
	int rc;

	if (g->record.session.type != ENTRY_DIR)
		return 1;
	rc = find_beneath(g, &g->record.session, path, &hit, e);
	if (rc == 0) {
		rc = add_bytes(g, &hit.entry, out, max, e);
		tree_hit_clear(&hit);
	}
	if (rc >= 0)
		return rc;
	out->len = len;
	return in_generation(g, e);
}

/* A directory of the session's tree, to be a top; 1 when there is none. */
static int
find_top(struct view_gen *g, const char *where, const uint8_t id[16],
	 struct entry *out, struct err *e)
{
	struct tree_hit hit = { 0 };
	struct buf path = { 0 };
	int rc = -1;

	buf_add_str(&path, where);
	buf_add_char(&path, '/');
	hex_add(&path, id, 16);
	(void)buf_str(&path);
	if (buf_ok(&path, e) == 0)
		rc = find_beneath(g, &g->record.session, buf_str(&path), &hit,
				  e);
	buf_clear(&path);
	if (rc != 0)
		return rc < 0 ? in_generation(g, e) : 1;
	*out = hit.entry;
	/* What lies in the node's bytes does not live on. */
	out->name = out->bytes = out->xattr_bytes = NULL;
	out->name_len = out->len = out->xattr_len = 0;
	out->xattrs = 0;
	out->flags &= ~ENTRY_XATTRS;
	tree_hit_clear(&hit);
	return out->type == ENTRY_DIR ? 0 : 1;
}

int
view_image(struct view_gen *keeper, uint32_t number, const uint8_t id[16],
	   struct view_gen **out, struct err *e)
{
	struct entry top;
	struct entry session;
	struct view_gen *g = NULL;
	struct record *rec;
	int rc;

	if (keeper->record.session.type != ENTRY_DIR)
		return 1;
	rc = find_top(keeper, "images", id, &top, e);
	if (rc == 0)
		rc = find_top(keeper, "records", id, &session, e);
	if (rc == 0)
		rc = view_open(keeper->store, keeper->number, &g, e);
	if (rc != 0)
		return rc;
	rec = &g->record;
	rec->root = top;
	rec->session = session;
	memset(&rec->links, 0, sizeof(rec->links));
	memset(&rec->exceptions, 0, sizeof(rec->exceptions));
	rec->link_count = rec->exception_count = 0;
	memcpy(rec->id, id, sizeof(rec->id));
	g->number = number;
	*out = g;
	return 0;
}

/* --- facts about a node -------------------------------------------------- */

int
view_nlink(struct view_gen *g, const struct node *n, uint64_t *out,
	   struct err *e)
{
	struct link_hit hit = { 0 };

	if (n->entry.type == ENTRY_DIR) {
		*out = 2 + n->entry.dir.dirs;
		return 0;
	}
	if ((n->entry.flags & ENTRY_LINKED) == 0) {
		*out = 1;
		return 0;
	}
	if (find_link(g, &n->entry, &hit, e) < 0)
		return -1;
	*out = hit.link.inside;
	link_hit_clear(&hit);
	return 0;
}

/* Append the value that is a chunk of its own. */
static int
add_long_value(struct view_gen *g, const struct entry *en,
	       const struct xattr *x, struct buf *out, struct err *e)
{
	struct chunk c = { 0 };
	int rc = 0;

	if (chunk_get(g->reader, KIND_DATA, &x->id, &c, e) < 0)
		return in_generation(g, e);
	if (c.len != x->len)
		rc = corrupt(g, en,
			     "a long extended attribute has a wrong length", e);
	else
		buf_add(out, c.data, c.len);
	chunk_release(g->reader, &c);
	return rc;
}

int
view_xattr(struct view_gen *g, const struct entry *en, const char *name,
	   struct buf *out, struct err *e)
{
	size_t len = strlen(name);
	struct rd r = xattr_first(en);
	struct xattr x;

	while (xattr_next(&r, &x)) {
		if (entry_name_cmp(x.name, x.name_len, name, len) != 0)
			continue;
		if (x.inlined)
			buf_add(out, x.value, x.len);
		else if (add_long_value(g, en, &x, out, e) < 0)
			return -1;
		return buf_ok(out, e);
	}
	return 1;
}
