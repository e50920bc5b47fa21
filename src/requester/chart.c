/*
 * chart.c
 *
 * The table of places is made from all writers at once, each document gone
 * through once, and made anew as a whole when journals say something else: what
 * it costs grows with what there is, however many components share it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/claims_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "src/writer/metadata.h"
#include "src/writer/reduce.h"

#include <fcntl.h>
#include <string.h>

/* --- what a writer says -------------------------------------------------- */

static int
add_set(struct writer_claims *w, size_t i, const struct metadata_files *f,
	struct place_set *state, struct err *e)
{
	const struct claims_component *c = &w->o->component[i];
	struct place *p;

	/* Not required of a whole backup: no member, a plain file. */
	if (metadata_is_whole(c->effective) &&
	    !metadata_required(f, (enum metadata_type)c->effective))
		return 0;
	p = atlas_add(&w->atlas, i, PLACE_SET, f->spec.dir, e);
	if (p == NULL)
		return -1;
	p->recursive = f->spec.recursive;
	p->pattern = f->spec.pattern;
	p->set = f;
	p->carried = !state->shared && claims_is_carried(c, f);
	p->state = state;
	return 0;
}

static int
add_foreign(struct writer_claims *w, const struct metadata_files *f,
	    struct err *e)
{
	struct place *p =
		atlas_add(&w->atlas, SIZE_MAX, PLACE_FOREIGN, f->spec.dir, e);

	if (p == NULL)
		return -1;
	p->recursive = f->spec.recursive;
	p->pattern = f->spec.pattern;
	p->set = f;
	return 0;
}

/*
 * The file sets of one writer, each of the component that manages it.  `from`
 * to `to` are its components; at[k] is that for component k of its document.
 */
static int
add_sets(struct writer_claims *w, size_t from, size_t to, size_t *at,
	 struct err *e)
{
	const struct claims_component *c = &w->o->component[from];
	const struct metadata *m = c->document;
	size_t k;
	size_t i;

	for (k = 0; k < m->components.count; k++)
		at[k] = SIZE_MAX;
	for (i = from; i < to; i++)
		at[w->o->component[i].component] = i;
	for (k = 0; k < m->files.count; k++) {
		const struct metadata_files *f = &m->files.v[k];
		size_t own = metadata_managing(m, c->chosen, f->component);
		int rc;

		i = own == METADATA_NONE ? SIZE_MAX : at[own];
		if (i == SIZE_MAX)
			continue;
		rc = w->plain[i] ? add_foreign(w, f, e)
				 : add_set(w, i, f, &w->sets[from][k], e);
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* Once for a writer, in the name of its first component that is in. */
static int
add_excludes(struct writer_claims *w, size_t from, size_t to, struct err *e)
{
	const struct metadata *m = w->o->component[from].document;
	struct place *p;
	size_t k;

	while (from < to && w->plain[from])
		from++;
	for (k = 0; from < to && k < m->excludes.count; k++) {
		const struct metadata_spec *x = &m->excludes.v[k];

		p = atlas_add(&w->atlas, from, PLACE_EXCLUDE, x->dir, e);
		if (p == NULL)
			return -1;
		p->recursive = x->recursive;
		p->pattern = x->pattern;
	}
	return 0;
}

static int
add_declared(struct writer_claims *w, size_t i, struct err *e)
{
	const struct claims_component *c = &w->o->component[i];
	const struct reduced *r = c->reduced;
	const char *last = NULL;
	size_t last_len = 0;
	struct place *p;
	size_t k;

	for (k = 0; k < r->files; k++) {
		const char *path = r->file[k].path;
		size_t len = (size_t)(strrchr(path, '/') - path);

		if (last != NULL && len == last_len &&
		    memcmp(last, path, len) == 0)
			continue;
		last = path;
		last_len = len;
		p = atlas_add(&w->atlas, i, PLACE_DECLARED, "/", e);
		if (p == NULL)
			return -1;
		p->own_dir = mem_dup(len > 0 ? path : "/", len > 0 ? len : 1);
		if (p->own_dir == NULL)
			return err_nomem(e);
		p->dir = p->own_dir;
		p->len = len;
	}
	for (k = 0; k < r->differenced_count; k++) {
		const struct reduce_differenced *d = &r->differenced[k];

		p = atlas_add(&w->atlas, i, PLACE_DIFFERENCED, d->dir, e);
		if (p == NULL)
			return -1;
		p->recursive = d->recursive;
		p->pattern = d->pattern;
		p->differenced = d;
	}
	return 0;
}

bool
claims_in_sources(const struct writer_claims *w, const char *dir)
{
	size_t i;

	for (i = 0; i < w->o->sources; i++)
		if (path_beneath(dir, w->o->source[i]))
			return true;
	return false;
}

/* Does the directory lie on a volume that the session has anyway? */
static bool
on_a_volume(const struct writer_claims *w, const char *dir)
{
	struct statx here;
	struct statx st;
	size_t i;

	if (src_stat(AT_FDCWD, dir, &here, NULL) < 0)
		return false;
	for (i = 0; i < w->o->sources; i++)
		if (src_stat(AT_FDCWD, w->o->source[i], &st, NULL) == 0 &&
		    st.stx_dev_major == here.stx_dev_major &&
		    st.stx_dev_minor == here.stx_dev_minor)
			return true;
	for (i = 0; i < w->atlas.count; i++)
		if (w->atlas.place[i].kind == PLACE_SET &&
		    src_stat(AT_FDCWD, w->atlas.place[i].dir, &st, NULL) == 0 &&
		    st.stx_dev_major == here.stx_dev_major &&
		    st.stx_dev_minor == here.stx_dev_minor)
			return true;
	return false;
}

/* Directories outside of the sources, each once. */
static int
find_extras(struct writer_claims *w, struct err *e)
{
	size_t n = 0;
	size_t i;

	mem_free(w->extra);
	w->extra = mem_array(w->atlas.count + 1, sizeof(*w->extra));
	if (w->extra == NULL)
		return err_nomem(e);
	for (i = 0; i < w->atlas.count; i++) {
		const struct place *p = &w->atlas.place[i];

		if (p->kind == PLACE_EXCLUDE || p->kind == PLACE_FOREIGN ||
		    claims_in_sources(w, p->dir) ||
		    (n > 0 && strcmp(w->extra[n - 1], p->dir) == 0))
			continue;
		if (p->kind != PLACE_SET && !on_a_volume(w, p->dir)) {
			claims_note(
				w,
				"what was declared in %s is not on a file system "
				"of this backup",
				p->dir);
			continue;
		}
		w->extra[n++] = p->dir;
	}
	w->engine.extra = w->extra;
	w->engine.extras = n;
	return 0;
}

static int
add_others(struct writer_claims *w, struct err *e)
{
	size_t i;
	size_t k;

	for (i = 0; i < w->o->others; i++) {
		const struct metadata *m = w->o->other[i];

		for (k = 0; k < m->files.count; k++)
			if (add_foreign(w, &m->files.v[k], e) < 0)
				return -1;
	}
	return 0;
}

/* All that one writer says; its components are those from `from` to `to`. */
static int
add_writer(struct writer_claims *w, size_t from, size_t to, struct err *e)
{
	const struct metadata *m = w->o->component[from].document;
	size_t *at = mem_array(m->components.count + 1, sizeof(*at));
	int rc;

	if (at == NULL)
		return err_nomem(e);
	rc = add_sets(w, from, to, at, e);
	mem_free(at);
	if (rc == 0)
		rc = add_excludes(w, from, to, e);
	for (; rc == 0 && from < to; from++)
		if (!w->plain[from] && w->o->component[from].reduced != NULL)
			rc = add_declared(w, from, e);
	return rc;
}

/* --- sets that meet ------------------------------------------------------- */

struct meeting {
	size_t component;
	const struct metadata_spec *spec;
};

static bool
meets(void *ctx, struct place *p)
{
	const struct meeting *m = ctx;

	return p->kind == PLACE_SET && p->component != m->component &&
	       metadata_overlap(m->spec, &p->set->spec);
}

/*
 * A file is as of the base or as of today, not both: where components have a
 * file set in common nothing is carried, but read, for all of them.
 */
static void
settle_carried(struct writer_claims *w)
{
	size_t i;

	for (i = 0; i < w->atlas.count; i++) {
		struct place *p = &w->atlas.place[i];
		struct meeting m = { .component = p->component };

		if (p->kind != PLACE_SET || !p->carried)
			continue;
		m.spec = &p->set->spec;
		p->state->shared =
			atlas_above(&w->atlas, p->dir, p->len, meets, &m) ||
			(p->recursive &&
			 atlas_beneath(&w->atlas, p->dir, p->len, meets, &m));
		p->carried = !p->state->shared;
		if (p->carried)
			w->o->component[p->component].carried = true;
	}
}

bool
writer_claims_is_carried(const struct writer_claims *w, size_t component,
			 size_t set)
{
	const struct claims_component *c = &w->o->component[component];
	const struct metadata_files *f = &c->document->files.v[set];
	size_t from = component;

	if (!claims_is_carried(c, f) ||
	    metadata_managing(c->document, c->chosen, f->component) !=
		    c->component)
		return false;
	while (from > 0 &&
	       w->o->component[from - 1].document == c->document)
		from--;
	return !w->sets[from][set].shared;
}

/* --- all of it ------------------------------------------------------------ */

int
chart_make(struct writer_claims *w, struct err *e)
{
	const struct claims_component *c = w->o->component;
	size_t from;
	size_t to;

	atlas_clear(&w->atlas);
	for (from = 0; from < w->o->components; from = to) {
		for (to = from + 1; to < w->o->components &&
				    c[to].document == c[from].document;
		     to++)
			;
		if (add_writer(w, from, to, e) < 0)
			return -1;
	}
	if (add_others(w, e) < 0)
		return -1;
	atlas_sort(&w->atlas);
	settle_carried(w);
	return find_extras(w, e);
}

/* --- what is odd ---------------------------------------------------------- */

/* Is there a file set of another component where a differenced entry looks? */
struct looking {
	size_t component;
	struct metadata_spec spec;
};

static bool
looks_there(void *ctx, struct place *p)
{
	const struct looking *l = ctx;

	return (p->kind == PLACE_FOREIGN ||
		(p->kind == PLACE_SET && p->component != l->component)) &&
	       metadata_overlap(&l->spec, &p->set->spec);
}

static bool
looks_at_others(struct writer_claims *w, size_t i,
		const struct reduce_differenced *d)
{
	struct looking l = {
		.component = i,
		.spec = { d->dir, d->pattern, d->recursive, 0 },
	};
	size_t len = atlas_len(d->dir);

	return atlas_above(&w->atlas, d->dir, len, looks_there, &l) ||
	       (d->recursive &&
		atlas_beneath(&w->atlas, d->dir, len, looks_there, &l));
}

static void
warn_of(struct writer_claims *w, const struct claims_component *c, size_t n,
	const char *what)
{
	if (n > 0)
		claims_note(w, "writer %s declared %zu file%s %s", c->writer, n,
			    n == 1 ? "" : "s", what);
}

/* What is odd about the declarations, whether it counts or not. */
void
chart_warn(struct writer_claims *w, size_t i)
{
	const struct claims_component *c = &w->o->component[i];
	const struct reduced *r = c->reduced;
	size_t outside = 0;
	size_t others = 0;
	size_t clash = 0;
	size_t k;

	for (k = 0; r != NULL && k < r->files; k++) {
		const char *path = r->file[k].path;

		outside += metadata_place(c->document, c->component, path) ==
			   PLACE_OUTSIDE;
		others += writer_claims_is_others(w, i, path);
		clash += r->file[k].clash;
	}
	warn_of(w, c, outside, "outside of its component's directories");
	warn_of(w, c, others, "of another component: read as that one says");
	warn_of(w, c, clash,
		"both as partial and as differenced: taken as differenced");
	for (k = 0; r != NULL && k < r->differenced_count; k++)
		if (looks_at_others(w, i, &r->differenced[k]))
			claims_note(
				w,
				"writer %s declared differenced files in %s, "
				"where another component has files: those are "
				"read as that one says",
				c->writer, r->differenced[k].dir);
}
