/*
 * control_tree.c
 *
 * A table says which names there are in which directory; sessions, writers and
 * components have names of their own.  Whether an optional file is there is
 * asked anew at each look-up, and the kernel is told to keep nothing: who may
 * do what is the registration's word, and rights are judged by the uid of each
 * request.  Directories of components may be searched by the owner and root
 * alone: their names are the document's.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/control_tree.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "fuse/control_text.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/round.h"
#include "src/writer/value.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NO_UID ((uid_t)-1) /* a user that the mount's name space has not */

struct row {
	const char *name; /* NULL: of its own, each */
	enum control_kind in;
	mode_t mode;
	bool everybody; /* else the writer's owner and root */
};

/* clang-format off */
static const struct row rows[CONTROL_KINDS] = {
	[CONTROL_ROOT] = { NULL, CONTROL_KINDS, S_IFDIR | 0555, true },
	[CONTROL_README] = { "README", CONTROL_ROOT, S_IFREG | 0444, true },
	[CONTROL_VERSION] = { "version", CONTROL_ROOT, S_IFREG | 0444, true },
	[CONTROL_SESSIONS] = { "sessions", CONTROL_ROOT, S_IFDIR | 0555, true },
	[CONTROL_WRITERS] = { "writers", CONTROL_ROOT, S_IFDIR | 0755, true },

#define IN_SESSION(name_) \
	{ name_, CONTROL_SESSION, S_IFREG | 0444, true }
	[CONTROL_SESSION] = { NULL, CONTROL_SESSIONS, S_IFDIR | 0555, true },
	[CONTROL_SESSION_ID] = IN_SESSION("id"),
	[CONTROL_SESSION_TYPE] = IN_SESSION("type"),
	[CONTROL_SESSION_PHASE] = IN_SESSION("phase"),
	[CONTROL_SESSION_SET] = IN_SESSION("set"),
	[CONTROL_SESSION_DEADLINE] = IN_SESSION("deadline"),
	[CONTROL_SESSION_PARTIAL_FILES] = IN_SESSION("partial-files"),
	[CONTROL_SESSION_SNAPSHOT] = IN_SESSION("snapshot"),
	[CONTROL_SESSION_VOLUMES] = IN_SESSION("volumes"),

#define IN_WRITER(name_, mode_) { name_, CONTROL_WRITER, mode_, false }
	[CONTROL_WRITER] = { NULL, CONTROL_WRITERS, S_IFDIR | 0555, true },
	[CONTROL_METADATA] = IN_WRITER("metadata", S_IFREG | 0600),
	[CONTROL_DECLARE] = IN_WRITER("declare", S_IFREG | 0600),
	[CONTROL_EVENTS] = IN_WRITER("events", S_IFREG | 0400),
	[CONTROL_ANSWER] = IN_WRITER("answer", S_IFREG | 0200),
	[CONTROL_LOG] = IN_WRITER("log", S_IFREG | 0400),
	[CONTROL_WRITER_SESSION] =
		{ "session", CONTROL_WRITER, S_IFLNK | 0777, true },
	[CONTROL_COMPONENTS] = IN_WRITER("components", S_IFDIR | 0500),

#define IN_COMPONENT(name_, mode_) { name_, CONTROL_COMPONENT, mode_, false }
	[CONTROL_COMPONENT] =
		{ NULL, CONTROL_COMPONENTS, S_IFDIR | 0500, false },
	[CONTROL_PREVIOUS_STAMP] = IN_COMPONENT("previous-stamp",
						S_IFREG | 0400),
	[CONTROL_BASE] = IN_COMPONENT("base", S_IFREG | 0400),
	[CONTROL_STAMP] = IN_COMPONENT("stamp", S_IFREG | 0600),
	[CONTROL_PENDING] = IN_COMPONENT("pending", S_IFREG | 0400),
};
/* clang-format on */

/* --- what a node is about ------------------------------------------------- */

/* The node, or the one above it, of this kind. */
static const struct control_node *
above(const struct control_node *n, enum control_kind kind)
{
	while (n != NULL && n->kind != kind)
		n = n->parent;
	return n;
}

struct party *
control_tree_party(const struct control *c, const struct control_node *n)
{
	const struct control_node *w = above(n, CONTROL_WRITER);

	if (w == NULL || w->party == NULL)
		return NULL;
	/* It might have gone without our being told. */
	if (desk_find(c->desk, w->name) != w->party || w->party->removed)
		return NULL;
	return w->party;
}

static struct round *
find_round(const struct desk *d, const char *id)
{
	size_t i;

	for (i = 0; i < sizeof(d->session) / sizeof(d->session[0]); i++)
		if (d->session[i] != NULL && strcmp(d->session[i]->id, id) == 0)
			return d->session[i];
	return NULL;
}

struct round *
control_tree_round(const struct control *c, const struct control_node *n)
{
	const struct control_node *s = above(n, CONTROL_SESSION);

	return s != NULL ? find_round(c->desk, s->name) : NULL;
}

const char *
control_tree_component(const struct control_node *n)
{
	const struct control_node *k = above(n, CONTROL_COMPONENT);

	return k != NULL ? k->name : NULL;
}

struct party_component *
control_tree_session_component(const struct control *c,
			       const struct control_node *n)
{
	struct party *p = control_tree_party(c, n);
	const char *name = control_tree_component(n);

	if (p == NULL || p->session == NULL || name == NULL)
		return NULL;
	return party_component(p, name);
}

static bool
has_base(const struct party_component *k)
{
	static const uint8_t none[sizeof(k->base_id)];

	return memcmp(k->base_id, none, sizeof(none)) != 0;
}

/* Can it have a stamp, and declarations of its own? */
static bool
is_shown(const struct metadata *m, size_t component)
{
	return metadata_inclusion(m, component) != INCLUDE_IMPLICIT;
}

static bool
has_component(const struct party *p, const char *name)
{
	const struct metadata *m = p->document;
	size_t i = METADATA_NONE;

	if (m != NULL)
		i = metadata_find(m, name, strlen(name));
	return i != METADATA_NONE && is_shown(m, i);
}

/* Is that of this kind, in the directory `dir`, there at this moment? */
static bool
is_there(const struct control *c, const struct control_node *dir,
	 enum control_kind kind)
{
	const struct party_component *k;
	const struct party *p;

	switch (kind) {
	case CONTROL_WRITER_SESSION:
		p = control_tree_party(c, dir);
		return p != NULL && p->session != NULL;
	case CONTROL_PREVIOUS_STAMP:
		k = control_tree_session_component(c, dir);
		return k != NULL && k->previous_stamp != NULL;
	case CONTROL_BASE:
		k = control_tree_session_component(c, dir);
		return k != NULL && has_base(k);
	case CONTROL_STAMP:
		k = control_tree_session_component(c, dir);
		return k != NULL && k->stamp != NULL;
	default:
		return true;
	}
}

/* Is what the node is about still there? */
static bool
is_alive(const struct control *c, const struct control_node *n)
{
	const struct party *p;

	if (above(n, CONTROL_SESSION) != NULL)
		return control_tree_round(c, n) != NULL;
	if (above(n, CONTROL_WRITER) == NULL)
		return true;
	p = control_tree_party(c, n);
	if (p == NULL)
		return false;
	return above(n, CONTROL_COMPONENT) == NULL ||
	       has_component(p, control_tree_component(n));
}

/* --- rights --------------------------------------------------------------- */

int
control_tree_may(const struct control *c, const struct control_node *n,
		 uid_t uid, int mask)
{
	const struct row *r = &rows[n->kind];
	unsigned bits = (unsigned)mask & (R_OK | W_OK | X_OK);

	if (uid == NO_UID)
		return EPERM;
	if (!is_alive(c, n))
		return ENOENT;
	if (!r->everybody && !party_may(control_tree_party(c, n), uid))
		return EACCES;
	if (((r->mode >> 6) & bits) != bits)
		return EACCES;
	if (r->everybody && (bits & W_OK) != 0 && uid != 0 &&
	    uid != c->desk->uid)
		return EACCES;
	return 0;
}

/* --- nodes ---------------------------------------------------------------- */

static struct control_node *
new_node(struct control *c, enum control_kind kind, struct control_node *parent)
{
	struct control_node *n = mem_zalloc(sizeof(*n));

	if (n == NULL)
		return NULL;
	n->kind = kind;
	n->ino = ++c->inodes;
	n->parent = parent;
	if (parent != NULL) {
		n->next = parent->child;
		if (n->next != NULL)
			n->next->previous = n;
		parent->child = n;
	}
	return n;
}

static void
free_node(struct control_node *n)
{
	if (n->previous != NULL)
		n->previous->next = n->next;
	else if (n->parent != NULL)
		n->parent->child = n->next;
	if (n->next != NULL)
		n->next->previous = n->previous;
	mem_free(n->name);
	mem_free(n);
}

/* Nobody knows it any more, then it goes, and what is above it may, too. */
static void
free_idle(struct control_node *n)
{
	struct control_node *parent;

	while (n->parent != NULL && n->child == NULL && n->lookups == 0 &&
	       n->refs == 0) {
		parent = n->parent;
		free_node(n);
		n = parent;
	}
}

int
control_tree_begin(struct control *c)
{
	c->root = new_node(c, CONTROL_ROOT, NULL);
	return c->root != NULL ? 0 : -1;
}

void
control_tree_end(struct control *c)
{
	struct control_node *n = c->root;
	struct control_node *parent;

	while (n != NULL) {
		while (n->child != NULL)
			n = n->child;
		parent = n->parent;
		free_node(n);
		n = parent;
	}
	c->root = NULL;
}

void
control_tree_forget(struct control_node *n, uint64_t times)
{
	n->lookups = times < n->lookups ? n->lookups - times : 0;
	free_idle(n);
}

void
control_tree_hold(struct control_node *n)
{
	n->refs++;
}

void
control_tree_release(struct control_node *n)
{
	n->refs--;
	free_idle(n);
}

void
control_tree_removed(struct control *c, const struct party *p)
{
	struct control_node *dir = c->root->child;
	struct control_node *n;

	while (dir != NULL && dir->kind != CONTROL_WRITERS)
		dir = dir->next;
	for (n = dir != NULL ? dir->child : NULL; n != NULL; n = n->next)
		if (n->party == p)
			n->party = NULL;
}

/* --- look-up -------------------------------------------------------------- */

/* What a name stands for. */
struct found {
	enum control_kind kind;
	struct buf name; /* of its own; empty: none */
	struct party *party;
};

static int
find_component(const struct control *c, const struct control_node *dir,
	       const char *name, struct found *out)
{
	const struct party *p = control_tree_party(c, dir);

	if (p == NULL ||
	    !value_component_of_dir(name, strlen(name), &out->name) ||
	    out->name.failed || !has_component(p, buf_str(&out->name)))
		return ENOENT;
	out->kind = CONTROL_COMPONENT;
	return 0;
}

static int
find_fixed(const struct control *c, const struct control_node *dir,
	   const char *name, struct found *out)
{
	enum control_kind k;

	for (k = 0; k < CONTROL_KINDS; k++)
		if (rows[k].name != NULL && rows[k].in == dir->kind &&
		    strcmp(rows[k].name, name) == 0) {
			out->kind = k;
			return is_there(c, dir, k) ? 0 : ENOENT;
		}
	return ENOENT;
}

static int
find_name(const struct control *c, const struct control_node *dir,
	  const char *name, struct found *out)
{
	switch (dir->kind) {
	case CONTROL_SESSIONS:
		out->kind = CONTROL_SESSION;
		buf_add_str(&out->name, name);
		return find_round(c->desk, name) != NULL ? 0 : ENOENT;
	case CONTROL_WRITERS:
		out->kind = CONTROL_WRITER;
		out->party = desk_find(c->desk, name);
		buf_add_str(&out->name, name);
		return out->party != NULL && !out->party->removed ? 0 : ENOENT;
	case CONTROL_COMPONENTS:
		return find_component(c, dir, name, out);
	default:
		return find_fixed(c, dir, name, out);
	}
}

/* Is this node what was found? */
static bool
is_found(const struct control_node *n, struct found *f)
{
	if (n->kind != f->kind)
		return false;
	if (n->name == NULL)
		return true;
	return n->party == f->party && strcmp(n->name, buf_str(&f->name)) == 0;
}

/* The node of what was found; the kernel has it once more. */
static int
take_node(struct control *c, struct control_node *dir, struct found *f,
	  struct control_node **out)
{
	struct control_node *n = dir->child;

	while (n != NULL && !is_found(n, f))
		n = n->next;
	if (n == NULL) {
		n = new_node(c, f->kind, dir);
		if (n == NULL)
			return ENOMEM;
		n->party = f->party;
		if (rows[f->kind].name == NULL) {
			n->name = mem_strdup(buf_str(&f->name));
			if (n->name == NULL) {
				free_node(n);
				return ENOMEM;
			}
		}
	}
	n->lookups++;
	*out = n;
	return 0;
}

static int
look_up(struct control *c, struct control_node *dir, const char *name,
	uid_t uid, bool create, struct control_node **out)
{
	struct found f = { 0 };
	int error;

	if (!S_ISDIR(rows[dir->kind].mode))
		return ENOTDIR;
	if (strlen(name) > VALUE_NAME_MAX)
		return ENAMETOOLONG;
	error = control_tree_may(c, dir, uid, X_OK);
	if (error == 0)
		error = find_name(c, dir, name, &f);
	if (create && error == ENOENT && f.kind == CONTROL_STAMP)
		error = 0;
	else if (create && error == 0 && f.kind != CONTROL_STAMP)
		error = EEXIST;
	if (error == 0 && f.name.failed)
		error = ENOMEM;
	if (error == 0)
		error = take_node(c, dir, &f, out);
	buf_clear(&f.name);
	return error;
}

int
control_tree_lookup(struct control *c, struct control_node *parent,
		    const char *name, uid_t uid, struct control_node **out)
{
	return look_up(c, parent, name, uid, false, out);
}

int
control_tree_new_stamp(struct control *c, struct control_node *parent,
		       const char *name, uid_t uid, struct control_node **out)
{
	int error = look_up(c, parent, name, uid, true, out);

	return error == ENOENT ? EPERM : error;
}

/* --- attributes and listings ---------------------------------------------- */

static uid_t
owner_of(const struct control *c, const struct control_node *n)
{
	const struct party *p = control_tree_party(c, n);

	return p != NULL ? p->registration->owner : c->desk->uid;
}

static off_t
size_of(const struct control *c, const struct control_node *n)
{
	const struct party *p;
	struct buf target = { 0 };
	off_t size;

	switch (n->kind) {
	case CONTROL_LOG:
		p = control_tree_party(c, n);
		return p != NULL ? (off_t)p->log_bytes : 0;
	case CONTROL_WRITER_SESSION:
		(void)control_text_session(c, n, &target);
		size = (off_t)target.len;
		buf_clear(&target);
		return size;
	default:
		return (off_t)control_text_len(n->kind);
	}
}

void
control_tree_stat(const struct control *c, const struct control_node *n,
		  struct stat *out)
{
	const struct timespec t = { .tv_sec = c->started.sec,
				    .tv_nsec = c->started.nsec };

	memset(out, 0, sizeof(*out));
	out->st_ino = n->ino;
	out->st_mode = rows[n->kind].mode;
	out->st_nlink = S_ISDIR(out->st_mode) ? 2 : 1;
	out->st_uid = owner_of(c, n);
	out->st_size = size_of(c, n);
	out->st_atim = t;
	out->st_mtim = t;
	out->st_ctim = t;
}

static void
add_name(struct buf *out, enum control_kind kind, const char *name)
{
	uint32_t type = rows[kind].mode & S_IFMT;

	buf_add(out, &type, sizeof(type));
	buf_add(out, name, strlen(name) + 1);
}

static void
list_sessions(const struct desk *d, struct buf *out)
{
	size_t i;

	for (i = 0; i < sizeof(d->session) / sizeof(d->session[0]); i++)
		if (d->session[i] != NULL)
			add_name(out, CONTROL_SESSION, d->session[i]->id);
}

static void
list_writers(const struct desk *d, struct buf *out)
{
	size_t i;

	for (i = 0; i < d->parties; i++)
		if (!d->party[i]->removed)
			add_name(out, CONTROL_WRITER,
				 d->party[i]->registration->name);
}

static void
list_components(const struct metadata *m, struct buf *out)
{
	struct buf name = { 0 };
	size_t i;

	for (i = 0; m != NULL && i < m->components.count; i++) {
		if (!is_shown(m, i))
			continue;
		buf_reset(&name);
		value_component_dir(m->components.v[i].name, &name);
		add_name(out, CONTROL_COMPONENT, buf_str(&name));
		out->failed = out->failed || name.failed;
	}
	buf_clear(&name);
}

static void
list_fixed(const struct control *c, const struct control_node *n,
	   struct buf *out)
{
	enum control_kind k;

	for (k = 0; k < CONTROL_KINDS; k++)
		if (rows[k].name != NULL && rows[k].in == n->kind &&
		    is_there(c, n, k))
			add_name(out, k, rows[k].name);
}

int
control_tree_list(const struct control *c, const struct control_node *n,
		  struct buf *out, struct err *e)
{
	const struct party *p = control_tree_party(c, n);

	if (n->kind == CONTROL_SESSIONS)
		list_sessions(c->desk, out);
	else if (n->kind == CONTROL_WRITERS)
		list_writers(c->desk, out);
	else if (n->kind == CONTROL_COMPONENTS)
		list_components(p != NULL ? p->document : NULL, out);
	else
		list_fixed(c, n, out);
	return buf_ok(out, e);
}
