/*
 * hearing.c
 *
 * A name is heard twice: first file sets and excludes, which say whose it is;
 * then what was declared, which counts from its own component only, or, of a
 * name in no file set, from the first that declared it.  Then it is judged, in the
 * order excluded, differenced, partial, the mask of its file set.
 *
 * Asked by many threads: what is written here is atomic or under the lock.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/claims_internal.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"
#include "src/engine/plan.h"
#include "src/engine/view.h"
#include "src/writer/metadata.h"
#include "src/writer/reduce.h"
#include "src/writer/wildcard.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* --- directories --------------------------------------------------------- */

static bool
any(void *ctx, struct place *p)
{
	(void)ctx;
	(void)p;
	return true;
}

enum claim_dir
hearing_dir(struct claims *c, const char *path)
{
	struct writer_claims *w = claims_of(c);
	size_t len = atlas_len(path);

	if (atlas_above(&w->atlas, path, len, any, NULL) ||
	    atlas_beneath(&w->atlas, path, len, any, NULL))
		return CLAIM_DIR_SOME;
	return CLAIM_DIR_NOTHING;
}

/*
 * A place of a component that is still in: of carried sets that one whose base
 * has the lowest number from `from` on.
 */
struct carrier {
	const struct writer_claims *w;
	uint64_t from;
	const struct place *found;
};

static const struct view_gen *
base_of(const struct carrier *c, const struct place *p)
{
	return c->w->o->component[p->component].base;
}

static bool
carried_here(void *ctx, struct place *p)
{
	struct carrier *c = ctx;

	if (p->kind != PLACE_SET || !p->carried || c->w->plain[p->component] ||
	    base_of(c, p)->number < c->from)
		return false;
	if (c->found == NULL ||
	    base_of(c, p)->number < base_of(c, c->found)->number)
		c->found = p;
	return base_of(c, c->found)->number == c->from;
}

/* The next base that has names to carry at the path or beneath it. */
static bool
find_carrier(struct carrier *c, const char *path)
{
	size_t len = atlas_len(path);

	c->found = NULL;
	if (!atlas_above(&c->w->atlas, path, len, carried_here, c))
		(void)atlas_beneath(&c->w->atlas, path, len, carried_here, c);
	return c->found != NULL;
}

int
hearing_carries(struct claims *c, const char *path, uint64_t from,
		struct view_gen **base, struct err *e)
{
	struct carrier at = { .w = claims_of(c), .from = from };

	(void)e;
	*base = NULL;
	if (find_carrier(&at, path))
		*base = at.w->o->component[at.found->component].base;
	return 0;
}

/* --- one name ------------------------------------------------------------ */

static void
hear_set(struct hearing *s, struct place *p)
{
	const struct claims_component *c = &s->w->o->component[p->component];
	const struct metadata_component *own =
		&c->document->components.v[p->set->component];

	if (s->there && wildcard_literal(p->pattern))
		atomic_store(&p->state->met, true);
	/* Two sets of a component: the one that asks for more. */
	if (s->set == NULL)
		s->set = p;
	else if (s->set->component != p->component)
		return;
	else if (s->set->carried && !p->carried)
		s->set = p;
	s->required = s->required || !p->carried;
	s->log_recovery = s->log_recovery || own->log_recovery ||
			  c->document->components.v[c->component].log_recovery;
	s->fixed = s->fixed || p->set->kind == FILES_DATABASE;
}

static bool
hear(void *ctx, struct place *p)
{
	struct hearing *s = ctx;

	if (p->kind != PLACE_DECLARED && !wildcard_match(p->pattern, s->name))
		return false;
	if (p->kind == PLACE_FOREIGN || s->w->plain[p->component]) {
		s->foreign = s->foreign || p->set != NULL;
		return false;
	}
	switch (p->kind) {
	case PLACE_SET:
		hear_set(s, p);
		break;
	case PLACE_EXCLUDE:
		s->exclude = true;
		break;
	default:
		break;
	}
	return false;
}

void
hearing_open(struct hearing *h, struct writer_claims *w, const char *path,
	     bool there)
{
	memset(h, 0, sizeof(*h));
	h->w = w;
	h->path = path;
	h->name = strrchr(path, '/') + 1;
	h->there = there;
	(void)atlas_above(&w->atlas, path, (size_t)(h->name - 1 - path), hear,
			  h);
}

/* Of two differenced entries for one name: does this one ask for more? */
static bool
asks_more(const struct reduce_differenced *d,
	  const struct reduce_differenced *other)
{
	if (other == NULL)
		return true;
	return d->has_newer &&
	       (!other->has_newer || ts_cmp(d->newer, other->newer) < 0);
}

/* Declarations count from the component that the file belongs to, if any. */
static bool
hear_declared(void *ctx, struct place *p)
{
	struct hearing *s = ctx;
	struct promise *promise = NULL;

	if ((p->kind != PLACE_DIFFERENCED && p->kind != PLACE_DECLARED) ||
	    s->w->plain[p->component])
		return false;
	if (s->set != NULL ? s->set->component != p->component : s->foreign)
		return false;
	if (s->declared && s->by != p->component)
		return false;
	if (p->kind == PLACE_DIFFERENCED) {
		if (!wildcard_match(p->pattern, s->name))
			return false;
		if (asks_more(p->differenced, s->differenced))
			s->differenced = p->differenced;
	} else {
		promise = promise_of(s->w, p->component, s->path);
		if (promise == NULL || promise->file->lines == 0 ||
		    (s->w->o->component[p->component].effective ==
			     METADATA_LOG &&
		     !promise->file->sure))
			return false; /* of other days: not for a log backup */
		s->promise = promise;
		s->fixed = true;
	}
	s->declared = true;
	s->by = p->component;
	return false;
}

/*
 * Does the exclude count?  One of root's writer acts everywhere but in the file
 * sets of others, those of anybody else in his own file sets only.
 */
static bool
excludes(void *ctx, struct place *p)
{
	const struct hearing *s = ctx;
	const struct claims_component *c = s->w->o->component;
	const struct claims_component *x;

	if (p->kind != PLACE_EXCLUDE || s->w->plain[p->component] ||
	    !wildcard_match(p->pattern, s->name))
		return false;
	x = &c[p->component];
	if (s->set != NULL)
		return c[s->set->component].document == x->document;
	if (s->declared)
		return c[s->by].document == x->document;
	return x->root && !s->foreign;
}

static bool
is_excluded(struct hearing *s)
{
	return s->exclude &&
	       atlas_above(&s->w->atlas, s->path,
			   (size_t)(s->name - 1 - s->path), excludes, s);
}

static void
whole(struct claim *out, enum plan_reason reason, const char *text)
{
	out->kind = CLAIM_WHOLE;
	out->reason = (uint8_t)reason;
	out->text = text;
}

/* The differenced entry says: since when. */
static void
by_time(const struct reduce_differenced *d, struct claim *out)
{
	out->kind = CLAIM_OWN;
	if (!d->has_newer)
		return;
	out->kind = CLAIM_SINCE;
	out->newer = d->newer;
	if (ts_cmp(out->base->record.instant, out->newer) < 0)
		out->newer = out->base->record.instant;
}

static void
by_ranges(struct promise *p, bool untrusted, struct claim *out)
{
	if (untrusted) {
		whole(out, PLAN_UNTRUSTED, "an audit found its writer wrong");
		promise_refuse(p, out->text);
	} else if (!p->file->promised) {
		whole(out, PLAN_NO_PROOF, p->file->why);
		promise_refuse(p, out->text);
	} else {
		out->kind = CLAIM_RANGES;
		out->promise = p;
	}
}

static void
judge(struct hearing *s, struct claim *out)
{
	const struct claims_component *c =
		&s->w->o->component[s->set != NULL ? s->set->component : s->by];

	out->owner = (size_t)(c - s->w->o->component);
	out->base = c->base;
	out->log_recovery =
		s->log_recovery ||
		c->document->components.v[c->component].log_recovery;
	out->fixed = s->fixed;
	if (metadata_is_whole(c->effective))
		whole(out, PLAN_WHOLE, NULL);
	else if (c->base == NULL)
		whole(out, PLAN_FIRST, NULL);
	else if (s->differenced != NULL && c->untrusted)
		whole(out, PLAN_UNTRUSTED, "an audit found its writer wrong");
	else if (s->differenced != NULL)
		by_time(s->differenced, out);
	else if (s->promise != NULL)
		by_ranges(s->promise, c->untrusted, out);
	else if (s->required)
		whole(out, c->untrusted ? PLAN_UNTRUSTED : PLAN_REQUIRED,
		      c->reduced != NULL && c->reduced->gap ? c->reduced->why
							    : NULL);
	else
		out->kind = CLAIM_CARRIED;
	if (s->promise != NULL && out->kind != CLAIM_RANGES &&
	    s->differenced != NULL)
		promise_refuse(s->promise, "it is a differenced file, too");
}

/* Where its bytes are: at the alternate path, when they are there. */
static int
find_alternate(struct hearing *s, struct claim *out, struct err *e)
{
	const struct metadata_files *f = s->set->set;
	struct buf path = { 0 };
	struct statx st;
	int rc = -1;

	if (f->alternate == NULL || out->kind == CLAIM_CARRIED)
		return 0;
	buf_add_str(&path, atlas_len(f->alternate) > 0 ? f->alternate : "");
	buf_add_str(&path, s->path + s->set->len);
	(void)buf_str(&path);
	if (buf_ok(&path, e) < 0)
		goto out;
	rc = claims_look(s->w, buf_str(&path), &st, e);
	if (rc == 0 && S_ISREG(st.stx_mode)) {
		out->from = claims_text(s->w, buf_str(&path));
		out->from_owner = out->owner;
		if (out->from == NULL)
			rc = err_nomem(e);
	}
	rc = rc < 0 ? -1 : 0;
out:
	buf_clear(&path);
	return rc;
}

static bool
member_here(void *ctx, struct place *p)
{
	struct carrier *c = ctx;

	if (p->kind != PLACE_SET || c->w->plain[p->component])
		return false;
	c->found = p;
	return true;
}

/* Is the name in the component's base, and is it a directory there? */
static int
was_there(struct view_gen *base, const char *path, bool directory, bool *out,
	  struct err *e)
{
	struct node n = { 0 };
	struct err why = { 0 };
	int rc = view_path(base, path, &n, &why);

	*out = rc == 0 && (n.entry.type == ENTRY_DIR) == directory;
	node_clear(&n);
	if (rc < 0 && (why.kind == ERR_NOMEM || why.kind == ERR_CANCELLED)) {
		err_move(e, &why);
		return -1;
	}
	return 0;
}

/*
 * A directory, or a name that is gone and may have been one: it is claimed for
 * what is in it, so that the walk can tell when it leaves it out.
 */
static int
claim_way(struct hearing *s, const struct statx *st, struct claim *out,
	  struct err *e)
{
	struct carrier at = { .w = s->w, .found = NULL };
	size_t len = strlen(s->path);
	bool dir = false;

	if (st != NULL) {
		if (atlas_above(&s->w->atlas, s->path, len, member_here, &at) ||
		    atlas_beneath(&s->w->atlas, s->path, len, member_here,
				  &at)) {
			whole(out, PLAN_REQUIRED, NULL);
			out->owner = at.found->component;
		}
		return 0;
	}
	while (!dir && find_carrier(&at, s->path)) {
		out->owner = at.found->component;
		out->base = s->w->o->component[out->owner].base;
		if (was_there(out->base, s->path, true, &dir, e) < 0)
			return -1;
		at.from = (uint64_t)out->base->number + 1;
	}
	if (dir)
		out->kind = CLAIM_CARRIED;
	return 0;
}

/* --- what is no directory -------------------------------------------------- */

struct blocking {
	struct writer_claims *w;
	const char *path;
	struct err *e;
	int rc;
};

static bool
is_blocked(void *ctx, struct place *p)
{
	struct blocking *b = ctx;
	char text[ERR_TEXT_LEN + PATH_SHOW_LEN];
	char shown[PATH_SHOW_LEN];

	if (p->kind != PLACE_SET || b->w->plain[p->component])
		return false;
	(void)snprintf(text, sizeof(text),
		       "%s is no directory, and a file set has its files there",
		       path_show_in(shown, b->path, strlen(b->path)));
	b->rc = claims_fail(b->w, p->component, text, b->e);
	return b->rc < 0;
}

/*
 * Something else in the place of a file set's directory, or of one on the way to
 * it, a symlink most of all, hides its files: that is not the same as none.
 */
static int
block(struct writer_claims *w, const char *path, struct err *e)
{
	struct blocking b = { .w = w, .path = path, .e = e };

	(void)atlas_from(&w->atlas, path, strlen(path), is_blocked, &b);
	return b.rc;
}

static int
displace(struct hearing *s, size_t component, const char *what, struct err *e)
{
	char text[ERR_TEXT_LEN + PATH_SHOW_LEN];
	char shown[PATH_SHOW_LEN];

	(void)snprintf(text, sizeof(text), "%s: %s",
		       path_show_in(shown, s->path, strlen(s->path)), what);
	return claims_fail(s->w, component, text, e);
}

/* Nobody's, and no directory: it cannot stand where carried files lie beneath. */
static int
find_nobodys(struct hearing *s, struct err *e)
{
	struct claim before = { .kind = CLAIM_NONE };

	if (claim_way(s, NULL, &before, e) < 0)
		return -1;
	if (before.kind != CLAIM_CARRIED)
		return 0;
	return displace(s, before.owner,
			"it is no directory any more, and files in it are "
			"carried",
			e);
}

/* A directory of a carried set's kind of name: not where a file is carried. */
static int
find_directory(struct hearing *s, const struct statx *st, struct claim *out,
	       struct err *e)
{
	struct view_gen *base;
	bool file = false;

	if (s->set == NULL || s->required)
		return claim_way(s, st, out, e);
	base = s->w->o->component[s->set->component].base;
	if (was_there(base, s->path, false, &file, e) < 0)
		return -1;
	if (file && displace(s, s->set->component,
			     "it is a directory now, and a file of that name "
			     "is carried",
			     e) < 0)
		return -1;
	if (file)
		return claim_way(s, st, out, e);
	judge(s, out);
	return 0;
}

/* --- the answer ------------------------------------------------------------ */

int
hearing_find(struct claims *c, const char *path, const struct statx *st,
	     struct claim *out, struct err *e)
{
	struct hearing s;
	size_t len = (size_t)(strrchr(path, '/') - path);

	memset(out, 0, sizeof(*out));
	if (st != NULL && !S_ISDIR(st->stx_mode) &&
	    block(claims_of(c), path, e) < 0)
		return -1;
	hearing_open(&s, claims_of(c), path,
		     st != NULL && !S_ISDIR(st->stx_mode));
	(void)atlas_above(&s.w->atlas, path, len, hear_declared, &s);
	if (st != NULL && S_ISDIR(st->stx_mode))
		return find_directory(&s, st, out, e);
	if ((st == NULL || s.there) && is_excluded(&s)) {
		out->kind = CLAIM_EXCLUDED;
		if (s.promise != NULL)
			promise_refuse(s.promise, "its writer excludes it");
		return 0;
	}
	if (s.set == NULL && !s.declared)
		return st == NULL ? claim_way(&s, st, out, e)
				  : find_nobodys(&s, e);
	judge(&s, out);
	if (s.set != NULL)
		return find_alternate(&s, out, e);
	return 0;
}
