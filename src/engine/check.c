/*
 * Order: generation records, then the packs' directories (a pack is durable
 * before a record that needs it, so what is published meanwhile is not
 * mistaken for missing), then the packs' contents, and only then the trees,
 * because then every file that needs a damaged chunk can be named.  What
 * damage in a pack means is known, and told, last: it matters only if no other
 * copy of a chunk is good and somebody needs it.  But the note of it is left
 * as soon as the pack was read, for backups to come.
 *
 * A tree or file map that was seen whole is remembered by its id and what
 * its entry promises of it, 16 bytes, and not seen again.  One with damage
 * beneath is not remembered, so every generation and every path that shares
 * it is named - up to PROBLEMS_MAX, after which it is remembered after all,
 * so that no repository, however made, keeps check busy for ever.
 *
 * Trees are as deep as they like: there is a stack, and no recursion.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/check.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/pool.h"
#include "src/engine/filemap.h"
#include "src/engine/generation.h"
#include "src/engine/inventory.h"
#include "src/engine/links.h"
#include "src/engine/list.h"
#include "src/engine/listing.h"
#include "store/damage.h"
#include "store/frame.h"
#include "store/repository.h"
#include "store/store.h"
#include "store/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEMS_MAX         100000
#define SEEN_FIRST           1024
#define EXCEPTION_TEXT_MAX   LIST_ITEM_MAX
#define EXCEPTION_NUMBER_MAX 65535

struct seen_key {
	uint64_t a, b; /* both 0: free */
};

/* A directory on the way down. */
struct level {
	struct tree_root root;           /* what its entry promises */
	uint64_t next;                   /* where to go on */
	uint64_t entries, dirs, beneath; /* what was found */
	size_t path_len;                 /* of the path of itself */
	bool damaged;                    /* it, or something beneath */
};

/* Damage in a pack that is yet to be told. */
struct part {
	struct pack_id id;
	size_t pack;           /* in the inventory */
	uint32_t first, count; /* chunks, by slot; none: of its directory */
	char *text;
};

struct check {
	struct store *store;
	const struct repository *repo;
	const struct check_options *opt;
	struct inventory *inv;

	/* The store's reader, noting what is read as used. */
	struct chunk_reader reader;
	struct chunk_reader *below;

	pthread_mutex_t told; /* guards what follows and the inventory, while
				 packs are verified */
	struct check_result sum;
	uint64_t bytes_done, bytes_total;
	struct err why; /* why verifying stopped */
	struct part *part;
	size_t parts, parts_cap;
	struct err unnoted; /* why a note could not be left */

	/* The generation at hand. */
	const struct record *rec;
	struct buf path;
	struct level *level;
	size_t depth, cap;
	struct listing list; /* of the deepest level */

	struct seen_key *seen;
	size_t seen_cap, seen_count;
	bool silent; /* note what is used, tell nothing */
	bool blind;  /* part of the metadata could not be read */
	bool hurt;   /* a generation has lost something */
	bool walked; /* all that was asked for was looked at */
};

/* --- telling ---------------------------------------------------------------- */

static bool
cancelled(const struct check *c)
{
	return c->opt->cancel != NULL && *c->opt->cancel != 0;
}

static int
want_on(const struct check *c, struct err *e)
{
	if (cancelled(c))
		return err_set(e, ERR_CANCELLED, "check cancelled");
	return 0;
}

static void
problem(struct check *c, const char *where, const char *what)
{
	(void)pthread_mutex_lock(&c->told);
	if (!c->silent) {
		c->sum.damaged++;
		if (c->opt->damage != NULL && c->sum.damaged <= PROBLEMS_MAX)
			c->opt->damage(c->opt->ctx, where, what);
	}
	(void)pthread_mutex_unlock(&c->told);
}

static void
note(struct check *c, const char *where, const char *what)
{
	(void)pthread_mutex_lock(&c->told);
	if (c->opt->note != NULL && !c->silent)
		c->opt->note(c->opt->ctx, where, what);
	(void)pthread_mutex_unlock(&c->told);
}

static bool
is_machine(const struct err *why)
{
	return why->kind == ERR_NOMEM || why->kind == ERR_CANCELLED;
}

static void
pack_problem(struct check *c, const struct pack_id *id, const char *what)
{
	char name[PACK_NAME_LEN + 1];
	char where[PACK_NAME_LEN + 8];

	pack_name(name, id);
	(void)snprintf(where, sizeof(where), "pack %s", name);
	problem(c, where, what);
}

static void
generation_name(char out[32], uint32_t number)
{
	(void)snprintf(out, 32, "generation %" PRIu32, number);
}

/* A problem of the generation at hand that has no path. */
static void
record_problem(struct check *c, const char *what)
{
	char where[32];

	generation_name(where, c->rec->number);
	c->hurt = true;
	problem(c, where, what);
}

/* A problem at the path at hand. */
static void
path_problem(struct check *c, const char *what)
{
	struct buf where = { 0 };

	buf_printf(&where, "%" PRIu32 ":", c->rec->number);
	if (c->path.len == 0)
		buf_add_char(&where, '/');
	path_show(&where, c->path.data, c->path.len);
	c->hurt = true;
	problem(c, buf_str(&where), what);
	buf_clear(&where);
}

/* --- what was seen ---------------------------------------------------------- */

static struct seen_key
make_key(const struct id *id, uint64_t promised)
{
	struct seen_key k;

	memcpy(&k.a, id->b, 8);
	memcpy(&k.b, id->b + 8, 8);
	/* The same node under another promise is another thing to check. */
	k.b ^= promised * UINT64_C(0x9e3779b97f4a7c15);
	if (k.a == 0 && k.b == 0)
		k.a = 1;
	return k;
}

static struct seen_key
tree_key(const struct tree_root *r)
{
	uint64_t promised = r->entries;

	promised = promised * 31 + r->dirs;
	promised = promised * 31 + r->beneath;
	return make_key(&r->id, promised * 31 + r->flags);
}

static struct seen_key *
seen_slot(const struct check *c, struct seen_key k)
{
	size_t i = (size_t)(k.a ^ k.b) & (c->seen_cap - 1);

	while ((c->seen[i].a != 0 || c->seen[i].b != 0) &&
	       (c->seen[i].a != k.a || c->seen[i].b != k.b))
		i = (i + 1) & (c->seen_cap - 1);
	return &c->seen[i];
}

static bool
is_seen(const struct check *c, struct seen_key k)
{
	const struct seen_key *s;

	if (c->seen_cap == 0)
		return false;
	s = seen_slot(c, k);
	return s->a != 0 || s->b != 0;
}

static int
grow_seen(struct check *c, struct err *e)
{
	struct seen_key *old = c->seen;
	size_t n = c->seen_cap;
	size_t i;

	if (c->seen_count < n / 4 * 3)
		return 0;
	c->seen_cap = n == 0 ? SEEN_FIRST : n * 2;
	c->seen = mem_array(c->seen_cap, sizeof(*c->seen));
	if (c->seen == NULL) {
		c->seen = old;
		c->seen_cap = n;
		return err_nomem(e);
	}
	for (i = 0; i < n; i++)
		if (old[i].a != 0 || old[i].b != 0)
			*seen_slot(c, old[i]) = old[i];
	mem_free(old);
	return 0;
}

/* Remember what was found to be whole (or enough was told about). */
static int
add_seen(struct check *c, struct seen_key k, bool damaged, struct err *e)
{
	if (damaged && !c->silent && c->sum.damaged < PROBLEMS_MAX)
		return 0;
	if (grow_seen(c, e) < 0)
		return -1;
	*seen_slot(c, k) = k;
	c->seen_count++;
	return 0;
}

/* --- the reader that notes -------------------------------------------------- */

static struct check *
check_of(struct chunk_reader *r)
{
	return (struct check *)(void *)((char *)r -
					offsetof(struct check, reader));
}

static int
noting_get(struct chunk_reader *r, enum id_kind kind, const struct id *id,
	   struct chunk *out, struct err *e)
{
	struct check *c = check_of(r);

	(void)inventory_use(c->inv, id);
	return chunk_get(c->below, kind, id, out, e);
}

static void
noting_release(struct chunk_reader *r, struct chunk *chunk)
{
	struct check *c = check_of(r);

	c->below->release(c->below, chunk);
}

/* --- files ------------------------------------------------------------------ */

/* What is wrong with one entry: the first problem, and how many. */
struct trouble {
	uint64_t count;
	char text[ERR_TEXT_LEN + 64];
};

/*
 * Where packs are not read, damage is known from notes, and these are of whole
 * frames: can this chunk be read?  0 yes, 1 no, -1 the machine failed.
 */
static int
try_chunk(const struct check *c, const struct id *id, struct err *e)
{
	struct chunk chunk = { 0 };
	struct err why = { 0 };

	if (chunk_get(c->below, KIND_DATA, id, &chunk, &why) == 0) {
		chunk_release(c->below, &chunk);
		return 0;
	}
	if (!is_machine(&why))
		return 1;
	err_move(e, &why);
	return -1;
}

/* Look a chunk of data up. */
static int
use_chunk(struct check *c, const struct id *id, const char *what, uint64_t at,
	  struct trouble *t, struct err *e)
{
	char text[ID_TEXT_LEN];
	enum chunk_state state = inventory_use(c->inv, id);
	int rc = 1;

	if (state == CHUNK_DAMAGED && !c->opt->data)
		rc = try_chunk(c, id, e);
	if (rc < 0)
		return -1;
	if (state == CHUNK_GOOD || rc == 0 || t->count++ > 0)
		return 0;
	(void)snprintf(t->text, sizeof(t->text),
		       "%s %" PRIu64 " is lost: chunk %s is %s", what, at,
		       id_text(text, id),
		       state == CHUNK_MISSING ? "in no readable pack"
					      : "damaged");
	return 0;
}

static int
check_xattrs(struct check *c, const struct entry *en, struct trouble *t,
	     struct err *e)
{
	struct rd rd = xattr_first(en);
	struct xattr x;
	uint64_t i = 0;

	if ((en->flags & ENTRY_XATTRS) == 0)
		return 0;
	for (; xattr_next(&rd, &x); i++)
		if (!x.inlined &&
		    use_chunk(c, &x.id, "the value of attribute", i, t, e) < 0)
			return -1;
	return 0;
}

/* All pieces of a file map, each run once. */
static int
check_pieces(struct check *c, struct filemap_iter *it, uint64_t size,
	     struct trouble *t, struct err *e)
{
	struct extent x;
	uint64_t at = 0;
	int rc;

	while ((rc = filemap_iter_next(it, &x, e)) > 0) {
		if (x.offset != at)
			return err_set(e, ERR_CORRUPT,
				       "a gap at offset %" PRIu64, at);
		if (!x.hole &&
		    use_chunk(c, &x.id, "what is at offset", at, t, e) < 0)
			return -1;
		at += x.len;
		if (x.repeat > (size - at) / x.len)
			return err_set(e, ERR_CORRUPT,
				       "a run goes beyond the end");
		if (x.repeat > 0) {
			at += x.len * x.repeat;
			if (filemap_iter_seek(it, at, e) < 0)
				return -1;
		}
		if (want_on(c, e) < 0)
			return -1;
	}
	if (rc == 0 && at != size)
		return err_set(e, ERR_CORRUPT,
			       "%" PRIu64 " of %" PRIu64 " bytes", at, size);
	return rc;
}

static int
check_content(struct check *c, const struct entry *en, struct trouble *t,
	      struct err *e)
{
	struct seen_key key =
		make_key(&en->content.root, en->size * 31 + en->content.holes);
	bool mapped = en->content.form == CONTENT_MAPPED;
	uint64_t before = t->count;
	struct filemap_iter it;
	struct err why = { 0 };

	if (en->content.form == CONTENT_EMPTY || (mapped && is_seen(c, key)))
		return 0;
	memset(&it, 0, sizeof(it));
	if (filemap_iter_init(&it, &c->reader, &en->content, en->size, &why) ==
	    0)
		(void)check_pieces(c, &it, en->size, t, &why);
	filemap_iter_clear(&it);
	if (is_machine(&why)) {
		err_move(e, &why);
		return -1;
	}
	if (why.kind != ERR_NONE && t->count++ == 0) {
		c->blind = true;
		(void)snprintf(t->text, sizeof(t->text),
			       "its file map cannot be read: %s", why.text);
	}
	return mapped ? add_seen(c, key, t->count > before, e) : 0;
}

/* Is its inode in the generation's table of hard links? */
static int
check_linked(struct check *c, const struct entry *en, struct trouble *t,
	     struct err *e)
{
	struct link_hit hit;
	struct err why = { 0 };
	int rc = 1;

	if ((en->flags & ENTRY_LINKED) == 0)
		return 0;
	memset(&hit, 0, sizeof(hit));
	if (!id_is_zero(&c->rec->links))
		rc = links_find(&c->reader, &c->rec->links, en->fs, en->ino,
				&hit, &why);
	if (rc == 0)
		link_hit_clear(&hit);
	if (is_machine(&why)) {
		err_move(e, &why);
		return -1;
	}
	if (rc != 0 && t->count++ == 0)
		(void)snprintf(t->text, sizeof(t->text),
			       "it is not found in the table of hard links%s%s",
			       rc < 0 ? ": " : "", why.text);
	return 0;
}

/* --- the walk --------------------------------------------------------------- */

static int
push_level(struct check *c, const struct tree_root *root, size_t path_len,
	   struct err *e)
{
	struct level *more;
	struct level *l;
	size_t cap = c->cap == 0 ? 64 : c->cap * 2;

	if (c->depth == c->cap) {
		more = mem_resize(c->level, cap, sizeof(*more));
		if (more == NULL)
			return err_nomem(e);
		c->level = more;
		c->cap = cap;
	}
	if (c->depth > 0)
		c->level[c->depth - 1].next = c->list.next;
	listing_clear(&c->list);
	l = &c->level[c->depth++];
	memset(l, 0, sizeof(*l));
	l->root = *root;
	l->path_len = path_len;
	listing_init(&c->list, &c->reader, root, 0);
	return 0;
}

/* Does what was found match what was promised? */
static void
compare_counts(struct check *c, struct level *l)
{
	char text[160];

	if (l->damaged ||
	    (l->entries == l->root.entries && l->dirs == l->root.dirs &&
	     l->beneath == l->root.beneath))
		return;
	l->damaged = true;
	(void)snprintf(text, sizeof(text),
		       "its counts are wrong: %" PRIu64 ", %" PRIu64
		       ", %" PRIu64 " instead of %" PRIu64 ", %" PRIu64
		       ", %" PRIu64,
		       l->root.entries, l->root.dirs, l->root.beneath,
		       l->entries, l->dirs, l->beneath);
	path_problem(c, text);
}

static int
pop_level(struct check *c, struct err *e)
{
	struct level *l = &c->level[c->depth - 1];

	compare_counts(c, l);
	if (add_seen(c, tree_key(&l->root), l->damaged, e) < 0)
		return -1;
	listing_clear(&c->list);
	c->depth--;
	if (c->depth == 0)
		return 0;
	l[-1].damaged = l[-1].damaged || l->damaged;
	c->path.len = l[-1].path_len;
	listing_init(&c->list, &c->reader, &l[-1].root, l[-1].next);
	return 0;
}

/*
 * One entry, whose path is c->path: what it needs, and, if it is a directory
 * not seen yet, the way into it.  *damaged is set when something is wrong.
 */
static int
check_entry(struct check *c, const struct entry *en, bool *damaged,
	    struct err *e)
{
	struct trouble t = { 0 };
	struct tree_root root = en->dir;
	char more[ERR_TEXT_LEN + 128];

	c->sum.entries += !c->silent;
	if (check_xattrs(c, en, &t, e) < 0)
		return -1;
	if (en->type == ENTRY_FILE && (en->flags & ENTRY_UNREADABLE) == 0 &&
	    check_content(c, en, &t, e) < 0)
		return -1;
	if (check_linked(c, en, &t, e) < 0)
		return -1;
	if (t.count == 1) {
		path_problem(c, t.text);
	} else if (t.count > 1) {
		(void)snprintf(more, sizeof(more),
			       "%s (the first of %" PRIu64 " such places)",
			       t.text, t.count);
		path_problem(c, more);
	}
	*damaged = *damaged || t.count > 0;
	if (en->type != ENTRY_DIR || is_seen(c, tree_key(&root)))
		return 0;
	return push_level(c, &root, c->path.len, e);
}

/* An entry of the deepest level. */
static int
check_child(struct check *c, const struct entry *en, struct err *e)
{
	struct level *l = &c->level[c->depth - 1];
	size_t depth = c->depth;
	bool damaged = false;

	l->entries++;
	l->dirs += en->type == ENTRY_DIR;
	l->beneath += entry_inodes(en);
	c->path.len = l->path_len;
	buf_add_char(&c->path, '/');
	buf_add(&c->path, en->name, en->name_len);
	if (buf_ok(&c->path, e) < 0 || check_entry(c, en, &damaged, e) < 0)
		return -1;
	/* The stack may have moved, and the path is now the child's. */
	l = &c->level[depth - 1];
	l->damaged = l->damaged || damaged;
	if (c->depth == depth)
		c->path.len = l->path_len;
	return 0;
}

static int
walk_step(struct check *c, struct err *e)
{
	struct err why = { 0 };
	struct entry en;
	uint64_t lost;
	int rc;

	if (want_on(c, e) < 0)
		return -1;
	rc = listing_next(&c->list, &en, &lost, &why);
	switch (rc) {
	case 0:
		return pop_level(c, e);
	case 1:
		return check_child(c, &en, e);
	case 2:
		c->blind = true;
		c->level[c->depth - 1].damaged = true;
		(void)err_prefix(&why, "%" PRIu64 " %s lost", lost,
				 lost == 1 ? "name in it is" :
					     "names in it are");
		path_problem(c, why.text);
		return 0;
	default:
		err_move(e, &why);
		return -1;
	}
}

/* Everything beneath a top directory; `path` is how it is told. */
static int
check_beneath(struct check *c, const struct entry *top, const char *path,
	      struct err *e)
{
	bool damaged = false;
	int rc;

	buf_reset(&c->path);
	buf_add_str(&c->path, path);
	if (buf_ok(&c->path, e) < 0)
		return -1;
	rc = check_entry(c, top, &damaged, e);
	while (rc == 0 && c->depth > 0)
		rc = walk_step(c, e);
	listing_clear(&c->list);
	c->depth = 0;
	return rc;
}

static int
check_tree(struct check *c, struct err *e)
{
	if (check_beneath(c, &c->rec->root, "", e) < 0)
		return -1;
	if (c->rec->session.type != ENTRY_DIR)
		return 0;
	return check_beneath(c, &c->rec->session, "(session)", e);
}

/* --- links and exceptions --------------------------------------------------- */

/* Does the table's item lead to an entry of that inode? */
static int
check_link_target(struct check *c, const struct link *l, struct err *e)
{
	struct tree_hit hit;
	int rc;

	memset(&hit, 0, sizeof(hit));
	rc = tree_find(&c->reader, &l->tree, l->name, l->name_len, &hit, e);
	if (rc < 0)
		return -1;
	if (rc > 0 || (hit.entry.flags & ENTRY_LINKED) == 0 ||
	    hit.entry.fs != l->fs || hit.entry.ino != l->ino)
		rc = err_set(e, ERR_CORRUPT,
			     "inode %" PRIu64 " is not where it should be",
			     l->ino);
	tree_hit_clear(&hit);
	return rc;
}

static int
check_link_items(struct check *c, struct err *e)
{
	struct link_hit hit;
	uint64_t fs = 0;
	uint64_t ino = 0;
	uint64_t i;
	int rc = 0;

	for (i = 0; i < c->rec->link_count && rc == 0; i++) {
		if (want_on(c, e) < 0)
			return -1;
		memset(&hit, 0, sizeof(hit));
		rc = links_at(&c->reader, &c->rec->links, i, &hit, e);
		if (rc > 0)
			return err_set(e, ERR_CORRUPT,
				       "it ends after %" PRIu64 " of %" PRIu64
				       " items",
				       i, c->rec->link_count);
		if (rc < 0)
			return -1;
		if (i > 0 && (hit.link.fs < fs ||
			      (hit.link.fs == fs && hit.link.ino <= ino)))
			rc = err_set(e, ERR_CORRUPT,
				     "its items are not in order");
		else
			rc = check_link_target(c, &hit.link, e);
		fs = hit.link.fs;
		ino = hit.link.ino;
		link_hit_clear(&hit);
	}
	return rc;
}

/* Tell a failure of one of the record's tables; -1 the machine's. */
static int
table_failed(struct check *c, const char *what, struct err *why, struct err *e)
{
	if (is_machine(why)) {
		err_move(e, why);
		return -1;
	}
	c->blind = true;
	(void)err_prefix(why, "%s", what);
	record_problem(c, why->text);
	err_clear(why);
	return 0;
}

static int
check_links(struct check *c, struct err *e)
{
	struct err why = { 0 };
	struct seen_key key;

	if (id_is_zero(&c->rec->links))
		return 0;
	key = make_key(&c->rec->links, c->rec->link_count);
	if (is_seen(c, key))
		return 0;
	if (check_link_items(c, &why) == 0)
		return add_seen(c, key, false, e);
	return table_failed(c, "the table of hard links", &why, e);
}

static int
check_exception(void *ctx, const void *p, size_t len, struct err *e)
{
	uint64_t *count = ctx;
	struct rd rd = rd_init(p, len);
	size_t n;

	(void)rd_string(&rd, EXCEPTION_TEXT_MAX, &n);
	(void)rd_varint_max(&rd, EXCEPTION_NUMBER_MAX);
	(void)rd_varint_max(&rd, EXCEPTION_NUMBER_MAX);
	(void)rd_string(&rd, EXCEPTION_TEXT_MAX, &n);
	if (!rd_done(&rd))
		return err_set(e, ERR_CORRUPT, "item %" PRIu64 " is damaged",
			       *count);
	(*count)++;
	return 0;
}

static int
check_exceptions(struct check *c, struct err *e)
{
	struct err why = { 0 };
	uint64_t count = 0;
	int rc;

	if (id_is_zero(&c->rec->exceptions))
		return 0;
	rc = list_each(&c->reader, &c->rec->exceptions, check_exception, &count,
		       &why);
	if (rc >= 0 && count != c->rec->exception_count)
		rc = err_set(&why, ERR_CORRUPT,
			     "it has %" PRIu64 " items instead of %" PRIu64,
			     count, c->rec->exception_count);
	if (rc < 0)
		return table_failed(c, "the list of exceptions", &why, e);
	return 0;
}

/* The sentence without the place that it begins with, which is told beside. */
static const char *
without(const char *where, const char *why, const char *none)
{
	size_t len = strlen(where);

	if (why == NULL)
		return none;
	return strncmp(why, where, len) == 0 && why[len] == ':' ?
		       why + len + 2 :
		       why;
}

/* --- generations ------------------------------------------------------------ */

/* Is the generation's record usable?  If not, that is told. */
static bool
record_usable(struct check *c, const struct generation *g)
{
	char where[32];

	if (!g->damaged && !g->unsupported)
		return true;
	generation_name(where, g->number);
	c->blind = true;
	if (g->unsupported)
		note(c, where, without(where, g->why, "it is newer"));
	else
		problem(c, where, without(where, g->why, "it is damaged"));
	return false;
}

static int
check_generations(struct check *c, const struct generation_list *list,
		  struct err *e)
{
	const struct generation *g;
	size_t i;

	for (i = 0; i < list->count; i++) {
		g = &list->item[i];
		if (c->opt->generation != 0 && g->number != c->opt->generation)
			continue;
		c->sum.generations += !c->silent;
		if (!record_usable(c, g))
			continue;
		c->rec = &g->record;
		if (check_tree(c, e) < 0 || check_links(c, e) < 0 ||
		    check_exceptions(c, e) < 0)
			return -1;
	}
	return 0;
}

static int
want_generation(const struct check *c, const struct generation_list *list,
		struct err *e)
{
	size_t i;

	if (c->opt->generation == 0)
		return 0;
	for (i = 0; i < list->count; i++)
		if (list->item[i].number == c->opt->generation)
			return 0;
	return err_set(e, ERR_MISSING, "no generation %" PRIu32,
		       c->opt->generation);
}

/* --- packs ------------------------------------------------------------------ */

/* The sentence without the pack's name, which stands before it anyway. */
static const char *
without_name(const struct pack_id *id, const char *text)
{
	char name[PACK_NAME_LEN + 1];
	char start[PACK_NAME_LEN + 8];
	size_t n;

	pack_name(name, id);
	n = (size_t)snprintf(start, sizeof(start), "pack %s: ", name);
	return strncmp(text, start, n) == 0 ? text + n : text;
}

static bool
reserve_part(struct check *c)
{
	size_t cap = c->parts_cap == 0 ? 16 : c->parts_cap * 2;
	struct part *more;

	if (c->parts < c->parts_cap)
		return true;
	if (c->parts == PROBLEMS_MAX)
		return false;
	more = mem_resize(c->part, cap, sizeof(*more));
	if (more == NULL)
		return false;
	c->part = more;
	c->parts_cap = cap;
	return true;
}

/* Keep it for later; what cannot be kept is told now, as a problem. */
static void
add_part(struct check *c, const struct part *p, const char *text)
{
	char *copy = NULL;

	text = without_name(&p->id, text);
	(void)pthread_mutex_lock(&c->told);
	if (reserve_part(c))
		copy = mem_dup(text, strlen(text) + 1);
	if (copy != NULL) {
		c->part[c->parts] = *p;
		c->part[c->parts++].text = copy;
	}
	(void)pthread_mutex_unlock(&c->told);
	if (copy == NULL)
		pack_problem(c, &p->id, text);
}

/* Leave the note, or keep the first reason why not. */
static bool
leave_note(struct check *c, const struct damage_note *n)
{
	struct err why = { 0 };

	if (damage_put(c->repo, n, &why) == 0)
		return true;
	(void)pthread_mutex_lock(&c->told);
	err_move(&c->unnoted, &why);
	(void)pthread_mutex_unlock(&c->told);
	return false;
}

/* A pack whose directory cannot be read whole: all of it is suspect. */
static void
bad_pack(void *ctx, const struct pack_id *id, const struct err *why)
{
	const struct damage_note all = { .pack = *id, .whole = true };
	const struct part p = { .id = *id };
	struct check *c = ctx;

	add_part(c, &p, why->text);
	if (err_is_rot(why))
		(void)leave_note(c, &all);
}

struct pack_task {
	struct check *c;
	size_t pack;
	bool begun;              /* there is a part that may go on: */
	struct part at;
	char text[ERR_TEXT_LEN]; /* the sentence of it */
	struct damage_note note;
};

static void
end_part(struct pack_task *t)
{
	if (t->begun)
		add_part(t->c, &t->at, t->text);
	t->begun = false;
}

/*
 * Damage that verifying a pack has found.  The chunks of a frame that cannot
 * be decoded come one by one with the same sentence: they are one part.
 */
static int
bad_chunk(void *ctx, const struct verify_damage *d, struct err *e)
{
	struct pack_task *t = ctx;
	struct check *c = t->c;
	bool told = inventory_pack(c->inv, t->pack)->told;

	if (d->id == NULL) {
		end_part(t);
		t->note.count = 0;
		t->note.whole = true;
		t->at = (struct part){ .id = d->pack, .pack = t->pack };
		if (!told)
			add_part(c, &t->at, d->text);
		return want_on(c, e);
	}
	if (!t->begun || strcmp(t->text, d->text) != 0) {
		end_part(t);
		t->begun = true;
		t->at = (struct part){ .id = d->pack,
				       .pack = t->pack,
				       .first = d->slot };
		(void)snprintf(t->text, sizeof(t->text), "%s", d->text);
	}
	t->at.count = d->slot - t->at.first + 1;
	if (damage_note_add(&t->note, d->frame_offset, e) < 0)
		return -1;
	(void)pthread_mutex_lock(&c->told);
	inventory_damaged(c->inv, t->pack, d->id);
	(void)pthread_mutex_unlock(&c->told);
	return want_on(c, e);
}

static void
add_counts(struct check *c, const struct pack_task *t,
	   const struct verify_counts *counts, struct err *why)
{
	(void)pthread_mutex_lock(&c->told);
	err_move(&c->why, why);
	c->sum.bytes += counts->bytes;
	c->bytes_done += inventory_pack(c->inv, t->pack)->len;
	if (c->opt->progress != NULL)
		c->opt->progress(c->opt->ctx, c->bytes_done, c->bytes_total);
	(void)pthread_mutex_unlock(&c->told);
}

/* The whole pack was read: what is noted of it is what was found. */
static void
end_pack(struct pack_task *t)
{
	char where[PACK_NAME_LEN + 8] = "pack ";
	struct check *c = t->c;

	if (t->note.whole || t->note.count > 0) {
		(void)leave_note(c, &t->note);
	} else if (damage_noted(store_damage(c->store), &t->note.pack) &&
		   leave_note(c, &t->note)) {
		pack_name(where + strlen(where), &t->note.pack);
		note(c, where, "what was noted as damaged is good now");
	}
}

static void
verify_one(void *arg)
{
	struct pack_task *t = arg;
	struct check *c = t->c;
	struct verify_counts counts = { 0 };
	struct frame_coder *coder = NULL;
	struct err why = { 0 };

	t->note.pack = inventory_pack(c->inv, t->pack)->id;
	(void)pthread_mutex_lock(&c->told);
	inventory_sound(c->inv, t->pack);
	(void)pthread_mutex_unlock(&c->told);
	if (want_on(c, &why) == 0 && frame_coder_new(&coder, &why) == 0 &&
	    verify_pack(c->repo, &t->note.pack, coder, bad_chunk, t, &counts,
			&why) == 0)
		end_pack(t);
	end_part(t);
	add_counts(c, t, &counts, &why);
	frame_coder_free(coder);
	damage_note_clear(&t->note);
	mem_free(t);
}

/* Is the pack to be read whole?  Of one generation: only those it uses. */
static bool
to_verify(const struct check *c, size_t i)
{
	return !inventory_pack(c->inv, i)->unreadable &&
	       (c->opt->generation == 0 || inventory_pack_used(c->inv, i));
}

static int
verify_packs(struct check *c, struct err *e)
{
	size_t threads = c->opt->threads != 0 ? c->opt->threads : pool_cpus();
	size_t packs = inventory_packs(c->inv);
	struct pool *pool;
	struct pack_task *t;
	size_t i;

	for (i = 0; i < packs; i++)
		if (to_verify(c, i))
			c->bytes_total += inventory_pack(c->inv, i)->len;
	if (pool_new(threads, threads, &pool, e) < 0)
		return -1;
	for (i = 0; i < packs && !cancelled(c); i++) {
		if (!to_verify(c, i))
			continue;
		t = mem_zalloc(sizeof(*t));
		if (t == NULL) {
			(void)err_nomem(e);
			break;
		}
		t->c = c;
		t->pack = i;
		pool_submit(pool, verify_one, t);
	}
	pool_free(pool);
	err_move(e, &c->why);
	if (e->kind != ERR_NONE)
		return -1;
	return want_on(c, e);
}

/* --- the whole -------------------------------------------------------------- */

static int
cmp_parts(const void *pa, const void *pb)
{
	const struct part *a = pa;
	const struct part *b = pb;
	int rc = memcmp(a->id.b, b->id.b, PACK_ID_LEN);

	if (rc != 0)
		return rc;
	return a->first < b->first ? -1 : a->first > b->first;
}

/*
 * Does nobody miss what is lost by it?  If directories cannot be read nobody
 * knows what it is, but where no generation has lost anything, it is nothing.
 */
static bool
is_harmless(const struct check *c, const struct part *p)
{
	bool all = c->walked && !c->blind && c->opt->generation == 0;
	enum chunk_loss loss;
	uint32_t i;

	if (p->count == 0)
		return all && !c->hurt;
	for (i = 0; i < p->count; i++) {
		loss = inventory_loss(c->inv, p->pack, p->first + i);
		if (loss == LOSS_REAL || (loss == LOSS_UNUSED && !all))
			return false;
	}
	return true;
}

/* How many parts of a pack are replaced, in one sentence. */
static void
note_replaced(struct check *c, const struct pack_id *id, size_t count)
{
	char where[PACK_NAME_LEN + 8] = "pack ";
	char text[120];

	if (count == 0)
		return;
	pack_name(where + strlen(where), id);
	(void)snprintf(text, sizeof(text),
		       "%zu damaged part%s, but all that generations need of "
		       "%s is stored elsewhere",
		       count, count == 1 ? "" : "s",
		       count == 1 ? "it" : "them");
	c->sum.replaced += count;
	note(c, where, text);
}

/* Tell the damage in packs, now that it is known what it means. */
static void
tell_parts(struct check *c)
{
	bool settled = c->inv != NULL && c->parts > 0 &&
		       inventory_settle(c->inv, NULL) == 0;
	const struct part *p = c->part;
	const struct part *end = p + c->parts;
	const struct pack_id *id;
	size_t harmless;

	if (c->parts > 1)
		qsort(c->part, c->parts, sizeof(*c->part), cmp_parts);
	while (p < end) {
		id = &p->id;
		harmless = 0;
		for (; p < end && memcmp(&p->id, id, sizeof(*id)) == 0; p++)
			if (settled && is_harmless(c, p))
				harmless++;
			else
				pack_problem(c, id, p->text);
		note_replaced(c, id, harmless);
	}
}

static void
clear_parts(struct check *c)
{
	size_t i;

	for (i = 0; i < c->parts; i++)
		mem_free(c->part[i].text);
	mem_free(c->part);
}

/* Notes that cannot be read, and those of packs that are gone. */
static int
check_notes(struct check *c, struct err *e)
{
	struct damage_note none = { .count = 0 };
	struct damage_pack *noted;
	char where[PACK_NAME_LEN + 16];
	struct err why = { 0 };
	size_t count;
	size_t i;

	if (damage_references(store_damage(c->store), &why) < 0)
		problem(c, "damaged", why.text);
	if (damage_packs(store_damage(c->store), &noted, &count, e) < 0)
		return -1;
	for (i = 0; i < count; i++) {
		(void)snprintf(where, sizeof(where), "damaged/");
		pack_name(where + strlen(where), &noted[i].id);
		if (!inventory_knows(c->inv, &noted[i].id)) {
			none.pack = noted[i].id;
			(void)leave_note(c, &none);
		} else if (noted[i].unread && c->opt->data &&
			   c->opt->generation == 0) {
			note(c, where,
			     "this note of damage cannot be read: "
			     "it is made anew");
		} else if (noted[i].unread) {
			problem(c, where,
				"this note of damage cannot be read: a check "
				"of all data makes it anew");
		}
	}
	mem_free(noted);
	return 0;
}

static void
clear_seen(struct check *c)
{
	mem_free(c->seen);
	c->seen = NULL;
	c->seen_cap = 0;
	c->seen_count = 0;
}

/* Things that do not need any generation. */
static void
check_top(struct check *c)
{
	char text[80];
	size_t gone = store_gone_packs(c->store);

	if (c->repo->config_damaged)
		problem(c, "config",
			"one of its two copies is damaged or missing");
	if (gone > 0) {
		(void)snprintf(text, sizeof(text),
			       "%zu packs that were there before are gone",
			       gone);
		note(c, "packs", text);
	}
}

static int
run_check(struct check *c, const struct generation_list *list, struct err *e)
{
	int rc;

	check_top(c);
	if (inventory_load(c->repo, store_damage(c->store), bad_pack, c,
			   &c->inv, e) < 0 ||
	    check_notes(c, e) < 0)
		return -1;
	c->sum.packs = inventory_packs(c->inv);
	c->sum.chunks = inventory_chunks(c->inv);
	if (c->opt->data && c->opt->generation != 0) {
		/* First find out which packs it uses. */
		c->silent = true;
		rc = check_generations(c, list, e);
		c->silent = false;
		clear_seen(c);
		if (rc < 0)
			return -1;
	}
	if (c->opt->data && verify_packs(c, e) < 0)
		return -1;
	/* What was noted just now is read last from here on. */
	if (store_refresh(c->store, e) < 0 || check_generations(c, list, e) < 0)
		return -1;
	c->walked = true;
	tell_parts(c);
	if (c->sum.damaged > PROBLEMS_MAX)
		note(c, "check",
		     "there are too many problems to tell them "
		     "all");
	/* What is not used is known only when everything could be read. */
	if (c->opt->generation == 0 && !c->blind)
		return inventory_unused(c->inv, c->repo, &c->sum.unreferenced,
					e);
	return 0;
}

/* The next backup will not know of it. */
static void
unnoted(struct check *c)
{
	(void)err_prefix(&c->unnoted, "what was found could not be noted");
	note(c, "damaged", c->unnoted.text);
}

int
check_run(struct store *st, const struct check_options *opt,
	  struct check_result *out, struct err *e)
{
	struct generation_list list = { 0 };
	struct err why = { 0 };
	struct check c = {
		.store = st,
		.repo = store_repository(st),
		.opt = opt,
		.reader = { .get = noting_get, .release = noting_release },
		.below = store_reader(st),
	};
	int rc = -1;

	(void)pthread_mutex_init(&c.told, NULL);
	if (generation_list_load(c.repo, &list, &why) == 0 &&
	    want_generation(&c, &list, &why) == 0)
		rc = run_check(&c, &list, &why);
	if (!c.walked) /* for whatever reason: what was found is told */
		tell_parts(&c);
	if (c.unnoted.kind != ERR_NONE)
		unnoted(&c);
	if (rc == 0)
		*out = c.sum;
	err_move(e, &why);
	clear_parts(&c);
	generation_list_clear(&list);
	inventory_free(c.inv);
	clear_seen(&c);
	buf_clear(&c.path);
	mem_free(c.level);
	(void)pthread_mutex_destroy(&c.told);
	return rc;
}
