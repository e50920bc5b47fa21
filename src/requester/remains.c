/*
 * remains.c
 *
 * Between walks, by one thread: who is missing, what nobody has met and has to
 * be read all the same, and what the tree has only because of a component that
 * has failed.  Of one that has failed the table says nothing any more, so its
 * document is asked.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/claims_internal.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"
#include "base/src.h"
#include "src/engine/standin.h"
#include "src/engine/view.h"
#include "src/requester/finder.h"
#include "src/requester/stored.h"
#include "src/writer/metadata.h"
#include "src/writer/reduce.h"
#include "src/writer/wildcard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* --- files that are named one by one -------------------------------------- */

/* Its writer may have deleted it from the snapshot: it says that it does. */
static bool
is_unsnapshot(const struct writer_claims *w, const struct place *p)
{
	const struct metadata *m = w->o->component[p->component].document;
	size_t i;

	for (i = 0; w->o->standins != NULL && i < m->snapshot_excludes.count;
	     i++)
		if (metadata_overlap(&m->snapshot_excludes.v[i], &p->set->spec))
			return true;
	return false;
}

int
writer_claims_missing(struct writer_claims *w, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	char text[ERR_TEXT_LEN + PATH_SHOW_LEN];
	size_t i;

	for (i = 0; i < w->atlas.count; i++) {
		struct place *p = &w->atlas.place[i];

		if (p->kind != PLACE_SET || p->carried || p->recursive ||
		    !wildcard_literal(p->pattern) || w->plain[p->component] ||
		    atomic_load(&p->state->met) || is_unsnapshot(w, p))
			continue;
		(void)snprintf(text, sizeof(text),
			       "%s has no file %s, which is named one by one",
			       path_show_in(shown, p->dir, strlen(p->dir)),
			       p->pattern);
		if (claims_fail(w, p->component, text, e) < 0)
			return -1;
	}
	return 0;
}

/* A path at the alternate place becomes the one it stands for. */
struct unmet {
	struct writer_claims *w;
	size_t component;
	const struct metadata_files *set;
	bool alternate;
	claims_unmet_fn fn;
	void *ctx;
};

static int
on_unmet(void *ctx, const char *path, struct err *e)
{
	const struct unmet *u = ctx;
	const struct metadata_files *f = u->set;
	const struct metadata *document =
		u->w->o->component[u->component].document;
	struct buf own = { 0 };
	struct statx st;
	int rc;

	if (!u->alternate)
		return u->fn(u->ctx, u->component, path, NULL, e);
	buf_add_str(&own, atlas_len(f->spec.dir) > 0 ? f->spec.dir : "");
	buf_add_str(&own, path + atlas_len(f->alternate));
	(void)buf_str(&own);
	rc = buf_ok(&own, e);
	if (rc == 0 && !metadata_excludes(document, buf_str(&own)))
		rc = claims_look(u->w, buf_str(&own), &st, e);
	if (rc == 1)
		rc = u->fn(u->ctx, u->component, buf_str(&own), path, e);
	buf_clear(&own);
	return rc;
}

/* What cannot be listed fails the component. */
static int
find_unmet(struct unmet *u, const struct metadata_spec *spec, struct err *e)
{
	struct err why = { 0 };

	if (finder_each(spec, u->w->o->standins, u->w->o->log, on_unmet, u,
			&why) == 0)
		return 0;
	if (why.kind == ERR_SOURCE)
		return claims_fail(u->w, u->component, why.text, e);
	err_move(e, &why);
	return -1;
}

/* A file set of a component that is in, and reads it. */
static bool
is_read(const struct writer_claims *w, const struct place *p)
{
	return p->kind == PLACE_SET && !p->carried && !w->plain[p->component] &&
	       !w->o->component[p->component].failed;
}

int
writer_claims_unmet(struct writer_claims *w, claims_unmet_fn fn, void *ctx,
		    struct err *e)
{
	struct unmet u = { .w = w, .fn = fn, .ctx = ctx };
	struct metadata_spec spec;
	size_t i;

	for (i = 0; i < w->atlas.count; i++) {
		const struct place *p = &w->atlas.place[i];

		if (!is_read(w, p))
			continue;
		u.component = p->component;
		u.set = p->set;
		spec = p->set->spec;
		u.alternate = false;
		if (w->o->log && find_unmet(&u, &spec, e) < 0)
			return -1;
		if (p->set->alternate == NULL)
			continue;
		spec.dir = p->set->alternate;
		u.alternate = true;
		if (find_unmet(&u, &spec, e) < 0)
			return -1;
	}
	return 0;
}

/* What an earlier generation has of a file set. */
struct gone {
	struct writer_claims *w;
	size_t component;
	const struct metadata_files *set;
	bool relics; /* of one that has failed: there is no other place */
	claims_path_fn fn;
	void *ctx;
};

/* Is it in a file set of a component that is in? */
static bool
is_claimed(struct writer_claims *w, const char *path)
{
	struct hearing s;

	hearing_open(&s, w, path, false);
	return s.set != NULL;
}

/* Is nothing there, for sure?  In the snapshot, if there is one.  1 yes, 0 no. */
static int
is_gone(const struct writer_claims *w, const char *path, struct err *e)
{
	struct buf where = { 0 };
	struct err why = { 0 };
	struct statx st;
	int rc = standin_path(w->o->standins, path, &where, e);

	if (rc == 0 && src_stat(AT_FDCWD, buf_str(&where), &st, &why) < 0)
		rc = why.saved_errno == ENOENT || why.saved_errno == ENOTDIR;
	err_clear(&why);
	buf_clear(&where);
	return rc;
}

static int
on_stored(void *ctx, const char *path, const struct entry *en, struct err *e)
{
	const struct gone *g = ctx;
	struct buf other = { 0 };
	int rc;

	if (g->relics && en->type != ENTRY_DIR && is_claimed(g->w, path))
		return 0;
	rc = is_gone(g->w, path, e);
	if (rc == 1 && !g->relics && g->set->alternate != NULL) {
		buf_add_str(&other, atlas_len(g->set->alternate) > 0
					    ? g->set->alternate
					    : "");
		buf_add_str(&other, path + atlas_len(g->set->spec.dir));
		(void)buf_str(&other);
		rc = buf_ok(&other, e);
		if (rc == 0)
			rc = is_gone(g->w, buf_str(&other), e);
		buf_clear(&other);
	}
	return rc == 1 ? g->fn(g->ctx, g->component, path, e) : rc;
}

int
writer_claims_gone(struct writer_claims *w, struct view_gen *before,
		   claims_path_fn fn, void *ctx, struct err *e)
{
	struct gone g = { .w = w, .fn = fn, .ctx = ctx };
	size_t i;

	for (i = 0; w->o->log && i < w->atlas.count; i++) {
		const struct place *p = &w->atlas.place[i];

		if (!is_read(w, p))
			continue;
		g.component = p->component;
		g.set = p->set;
		if (stored_each(before, &p->set->spec, on_stored, &g, e) < 0)
			return -1;
	}
	return 0;
}

/* Call fn for the file sets of a component; it is in no table any more. */
typedef int (*set_fn)(void *ctx, const struct metadata_files *f, struct err *e);
static int
each_set(struct writer_claims *w, size_t component, set_fn fn, void *ctx,
	 struct err *e)
{
	const struct claims_component *c = &w->o->component[component];
	const struct metadata *m = c->document;
	size_t i;

	/* There the base's files are what plain ones are, too. */
	for (i = 0; !w->o->log && i < m->files.count; i++)
		if (metadata_managing(m, c->chosen,
				      m->files.v[i].component) ==
			    c->component &&
		    fn(ctx, &m->files.v[i], e) < 0)
			return -1;
	return 0;
}

/* It has failed already: what can be had, is taken. */
static int
forgive(struct writer_claims *w, struct err *why, struct err *e)
{
	if (why->kind == ERR_NOMEM || why->kind == ERR_CANCELLED) {
		err_move(e, why);
		return -1;
	}
	claims_note(w, "%s", why->text);
	err_clear(why);
	return 0;
}

/* What is at the alternate path only has no place of its own any more. */
static int
on_elsewhere(void *ctx, size_t component, const char *path, const char *from,
	     struct err *e)
{
	const struct gone *g = ctx;

	(void)from;
	if (is_claimed(g->w, path))
		return 0;
	return g->fn(g->ctx, component, path, e);
}

static int
alternate_relics(struct gone *g, const struct metadata_files *f, struct err *e)
{
	struct unmet u = { .w = g->w,
			   .component = g->component,
			   .set = f,
			   .alternate = true,
			   .fn = on_elsewhere,
			   .ctx = g };
	struct metadata_spec spec = f->spec;
	struct err why = { 0 };

	spec.dir = f->alternate;
	if (finder_each(&spec, g->w->o->standins, false, on_unmet, &u, &why) ==
	    0)
		return 0;
	return forgive(g->w, &why, e);
}

static int
on_relics(void *ctx, const struct metadata_files *f, struct err *e)
{
	struct gone *g = ctx;
	const struct claims_component *c = &g->w->o->component[g->component];
	struct err why = { 0 };

	if (f->alternate != NULL && alternate_relics(g, f, e) < 0)
		return -1;
	g->set = f;
	/* What of its base is lost was not carried either, most likely. */
	if (!claims_is_carried(c, f) ||
	    stored_each(c->base, &f->spec, on_stored, g, &why) == 0)
		return 0;
	return forgive(g->w, &why, e);
}

int
writer_claims_relics(struct writer_claims *w, size_t component,
		     claims_path_fn fn, void *ctx, struct err *e)
{
	struct gone g = { .w = w,
			  .component = component,
			  .relics = true,
			  .fn = fn,
			  .ctx = ctx };

	return each_set(w, component, on_relics, &g, e);
}

struct members {
	struct writer_claims *w;
	size_t component;
	const struct metadata *document;
	bool all; /* of the file set; else what its writer excludes */
	claims_path_fn fn;
	void *ctx;
};

static int
on_member(void *ctx, const char *path, struct err *e)
{
	const struct members *m = ctx;

	if (is_claimed(m->w, path) ||
	    (!m->all && (!metadata_excludes(m->document, path) ||
			 !claims_in_sources(m->w, path))))
		return 0;
	return m->fn(m->ctx, m->component, path, e);
}

static int
on_members(void *ctx, const struct metadata_files *f, struct err *e)
{
	struct members *m = ctx;
	const struct claims_component *c = &m->w->o->component[m->component];
	struct err why = { 0 };

	m->all = f->alternate != NULL || claims_is_carried(c, f);
	if ((!m->all && m->document->excludes.count == 0) ||
	    finder_each(&f->spec, m->w->o->standins, true, on_member, m,
			&why) >= 0)
		return 0;
	return forgive(m->w, &why, e);
}

int
writer_claims_members(struct writer_claims *w, size_t component,
		      claims_path_fn fn, void *ctx, struct err *e)
{
	const struct reduced *r = w->o->component[component].reduced;
	struct members m = { .w = w,
			     .component = component,
			     .document = w->o->component[component].document,
			     .fn = fn,
			     .ctx = ctx };
	size_t i;

	for (i = 0; r != NULL && i < r->files; i++)
		if (r->file[i].promised && (!w->o->log || r->file[i].sure) &&
		    fn(ctx, component, r->file[i].path, e) < 0)
			return -1;
	return each_set(w, component, on_members, &m, e);
}

bool
writer_claims_is_others(struct writer_claims *w, size_t component,
			const char *path)
{
	struct hearing s;

	hearing_open(&s, w, path, false);
	return s.set != NULL ? s.set->component != component : s.foreign;
}
