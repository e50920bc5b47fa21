/*
 * choose.c
 *
 * Four steps over all writers: who is wanted; whom dependencies pull in; who
 * cannot take part, for a reason of its own; whom that leaves without what it
 * depends on.  The last repeats until nobody leaves any more.  After the second
 * step nobody comes in, so it ends.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/choose.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/writer/metadata.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct cast {
	struct choose_writer *w;
	size_t n;
	const struct choose_input *in;
};

/* --- saying why ---------------------------------------------------------- */

static int say(struct choose_writer *w, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The first reason stays. */
static int
say(struct choose_writer *w, struct err *e, const char *fmt, ...)
{
	char text[ERR_TEXT_LEN];
	va_list ap;

	if (w->why != NULL)
		return 0;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->own_why = mem_strdup(text);
	if (w->own_why == NULL)
		return err_nomem(e);
	w->why = w->own_why;
	return 0;
}

/* Nothing of it; why, the caller says. */
static void
leave_out(struct choose_writer *w)
{
	if (w->chosen != NULL)
		memset(w->chosen, 0,
		       w->document->components.count * sizeof(*w->chosen));
	w->any = false;
	mem_free(w->own_why);
	w->own_why = NULL;
	w->why = NULL;
}

/* --- who is wanted ------------------------------------------------------- */

/* Has the file set a file at or beneath the path, or can it? */
static bool
touches(const struct metadata_spec *spec, const char *path)
{
	return path_beneath(spec->dir, path) ||
	       (spec->recursive && path_beneath(path, spec->dir));
}

static bool
in_sources(const struct choose_input *in, const struct metadata_spec *spec)
{
	size_t i;

	for (i = 0; i < in->sources; i++)
		if (touches(spec, in->source[i]) ||
		    metadata_fits(spec, in->source[i]))
			return true;
	return false;
}

/* Has the component, or one of its set, a file beneath a source? */
static bool
set_in_sources(const struct metadata *m, size_t component,
	       const struct choose_input *in)
{
	size_t i;

	for (i = 0; i < m->files.count; i++)
		if (metadata_is_member(m, m->files.v[i].component, component) &&
		    in_sources(in, &m->files.v[i].spec))
			return true;
	return false;
}

/* Those that can be explicit without a choice among them. */
static bool
is_top(const struct metadata *m, size_t component)
{
	return metadata_set_of(m, component) == METADATA_NONE;
}

static void
want_by_sources(struct choose_writer *w, const struct choose_input *in)
{
	const struct metadata *m = w->document;
	size_t i;

	for (i = 0; i < m->components.count; i++)
		w->any = w->any || set_in_sources(m, i, in);
	for (i = 0; w->any && i < m->components.count; i++)
		w->chosen[i] = is_top(m, i) && set_in_sources(m, i, in);
}

static struct choose_writer *
find_writer(struct cast *c, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (strlen(c->w[i].name) == len &&
		    memcmp(c->w[i].name, name, len) == 0)
			return &c->w[i];
	return NULL;
}

static int
want(struct cast *c, const char *wish, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *colon = strchr(wish, ':');
	size_t len = colon != NULL ? (size_t)(colon - wish) : strlen(wish);
	struct choose_writer *w = find_writer(c, wish, len);
	size_t i;

	(void)path_show_in(shown, wish, strlen(wish));
	if (w == NULL)
		return err_set(e, ERR_USAGE, "no such writer: %s", shown);
	if (w->document == NULL)
		return err_set(e, ERR_USAGE,
			       "the writer has handed in no document: %s",
			       shown);
	w->any = true;
	for (i = 0; colon == NULL && i < w->document->components.count; i++)
		w->chosen[i] = w->chosen[i] || is_top(w->document, i);
	if (colon == NULL)
		return 0;
	i = metadata_find(w->document, colon + 1, strlen(colon + 1));
	if (i == METADATA_NONE)
		return err_set(e, ERR_USAGE, "no such component: %s", shown);
	w->chosen[i] = true;
	return 0;
}

/* Those that must be there, too; and is the choice one that there can be? */
static int
complete(struct choose_writer *w, struct err *e)
{
	size_t i;

	if (!w->any)
		return 0;
	for (i = 0; i < w->document->components.count; i++)
		if (metadata_inclusion(w->document, i) == INCLUDE_REQUIRED)
			w->chosen[i] = true;
	if (metadata_choose(w->document, w->chosen, e) < 0)
		return err_prefix(e, "writer %s", w->name);
	return 0;
}

static int
select_all(struct cast *c, struct err *e)
{
	size_t i;

	for (i = 0; i < c->in->wishes; i++)
		if (want(c, c->in->wish[i], e) < 0)
			return -1;
	for (i = 0; i < c->n; i++) {
		struct choose_writer *w = &c->w[i];

		if (w->document == NULL)
			w->why = "it has handed in no document";
		else if (c->in->wishes == 0)
			want_by_sources(w, c->in);
		if (complete(w, e) < 0)
			return -1;
		if (!w->any && w->why == NULL)
			w->why = c->in->wishes > 0
					 ? "it was not asked for"
					 : "it has no file beneath a source";
	}
	return 0;
}

/* --- types --------------------------------------------------------------- */

/* How many of the other kind since the last full, in whatever is chosen? */
static bool
has_of(const struct choose_writer *w, const uint32_t *count)
{
	size_t i;

	for (i = 0; count != NULL && i < w->document->components.count; i++)
		if (w->chosen[i] && count[i] > 0)
			return true;
	return false;
}

static int
fix_type(struct choose_writer *w, const struct choose_input *in, struct err *e)
{
	bool other = false;

	w->effective =
		metadata_effective(w->document, (enum metadata_type)in->type);
	if (w->effective != in->type && in->skip_unsupported) {
		leave_out(w);
		return say(w, e, "its schema has no backups of this type");
	}
	if (w->effective != in->type)
		return say(w, e,
			   "its schema has no backups of this type: taken as "
			   "a full one");
	if ((w->document->schema & SCHEMA_EXCLUSIVE) == 0)
		return 0;
	if (in->type == METADATA_INCREMENTAL)
		other = has_of(w, w->differentials);
	else if (in->type == METADATA_DIFFERENTIAL)
		other = has_of(w, w->incrementals);
	if (!other)
		return 0;
	w->effective = METADATA_FULL;
	return say(w, e,
		   "it does not mix incrementals and differentials: taken as "
		   "a full one");
}

/* --- overlaps ------------------------------------------------------------ */

static bool
takes(const struct choose_writer *w, const struct metadata_files *f)
{
	return metadata_managing(w->document, w->chosen, f->component) !=
	       METADATA_NONE;
}

static bool
overlap(const struct choose_writer *a, const struct choose_writer *b)
{
	size_t i;
	size_t k;

	for (i = 0; i < a->document->files.count; i++) {
		const struct metadata_files *f = &a->document->files.v[i];

		if (!takes(a, f))
			continue;
		for (k = 0; k < b->document->files.count; k++)
			if (metadata_overlap(&f->spec,
					     &b->document->files.v[k].spec) &&
			    takes(b, &b->document->files.v[k]))
				return true;
	}
	return false;
}

static int
part_overlaps(struct cast *c, struct err *e)
{
	size_t i;
	size_t k;

	for (i = 1; i < c->n; i++)
		for (k = 0; k < i && c->w[i].any; k++) {
			if (!c->w[k].any || !c->w[k].present ||
			    !c->w[i].present || !overlap(&c->w[k], &c->w[i]))
				continue;
			leave_out(&c->w[i]);
			if (say(&c->w[i], e,
				"a file set of it overlaps one of writer %s",
				c->w[k].name) < 0)
				return -1;
		}
	return 0;
}

/* --- dependencies -------------------------------------------------------- */

/*
 * Who answers for what is depended on; *component is what has to be chosen
 * there, or already is.  NULL: nobody can.
 */
static struct choose_writer *
depended(struct cast *c, const struct metadata_dependency *d, size_t *component)
{
	struct choose_writer *w = find_writer(c, d->writer, strlen(d->writer));
	size_t i;

	if (w == NULL || w->document == NULL || !w->present)
		return NULL;
	i = metadata_find(w->document, d->target, strlen(d->target));
	if (i == METADATA_NONE)
		return NULL;
	if (metadata_managing(w->document, w->chosen, i) != METADATA_NONE)
		i = metadata_managing(w->document, w->chosen, i);
	else if (metadata_inclusion(w->document, i) == INCLUDE_IMPLICIT)
		i = metadata_set_of(w->document, i);
	*component = i;
	return w;
}

/* Does it count: is its component in, and is it on this machine? */
static bool
is_bound(const struct choose_writer *w, const struct metadata_dependency *d)
{
	return w->any && w->present && d->machine == NULL &&
	       metadata_managing(w->document, w->chosen, d->component) !=
		       METADATA_NONE;
}

static int
pull_one(struct cast *c, struct choose_writer *w,
	 const struct metadata_dependency *d, bool *changed, struct err *e)
{
	struct choose_writer *other;
	size_t component;
	size_t i;

	if (!is_bound(w, d))
		return 0;
	other = depended(c, d, &component);
	if (other == NULL || other->chosen[component])
		return 0;
	*changed = true;
	if (!other->any)
		other->why = NULL;
	other->any = true;
	/* What was there by itself is there with the set from now on. */
	for (i = metadata_next_member(other->document, component, 0);
	     i != METADATA_NONE;
	     i = metadata_next_member(other->document, component, i + 1))
		other->chosen[i] = false;
	other->chosen[component] = true;
	if (complete(other, e) < 0)
		return -1;
	return say(other, e, "pulled in, because writer %s depends on it",
		   w->name);
}

/*
 * What it depends on is not there: its component leaves, and with one that must
 * be there whenever anything is, all of it.
 */
static int
leave_one(struct cast *c, struct choose_writer *w,
	  const struct metadata_dependency *d, bool *changed, struct err *e)
{
	struct choose_writer *other;
	size_t component;
	size_t mine;
	size_t i;

	if (!is_bound(w, d))
		return 0;
	other = depended(c, d, &component);
	if (other != NULL && other->any && other->chosen[component])
		return 0;
	*changed = true;
	mine = metadata_managing(w->document, w->chosen, d->component);
	w->chosen[mine] = false;
	w->any = false;
	for (i = 0; i < w->document->components.count; i++)
		w->any = w->any || w->chosen[i];
	if (metadata_inclusion(w->document, mine) == INCLUDE_REQUIRED)
		w->any = false;
	if (!w->any)
		leave_out(w);
	return say(w, e,
		   "component %s depends on writer %s, which is not there",
		   w->document->components.v[mine].name, d->writer);
}

/* For every dependency of every writer, until nothing changes any more. */
typedef int (*dependency_fn)(struct cast *c, struct choose_writer *w,
			     const struct metadata_dependency *d, bool *changed,
			     struct err *e);
static int
each_dependency(struct cast *c, dependency_fn fn, struct err *e)
{
	bool changed = true;
	size_t i;
	size_t k;

	while (changed) {
		changed = false;
		for (i = 0; i < c->n; i++) {
			struct choose_writer *w = &c->w[i];
			size_t n = w->document != NULL
					   ? w->document->dependencies.count
					   : 0;

			for (k = 0; k < n; k++)
				if (fn(c, w, &w->document->dependencies.v[k],
				       &changed, e) < 0)
					return -1;
		}
	}
	return 0;
}

/* --- all of it ----------------------------------------------------------- */

static int
prepare(struct cast *c, struct err *e)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		struct choose_writer *w = &c->w[i];

		w->chosen = NULL;
		w->any = false;
		w->effective = METADATA_FULL;
		w->why = NULL;
		w->own_why = NULL;
	}
	for (i = 0; i < c->n; i++) {
		struct choose_writer *w = &c->w[i];

		if (w->document == NULL)
			continue;
		w->chosen = mem_array(w->document->components.count,
				      sizeof(*w->chosen));
		if (w->chosen == NULL)
			return err_nomem(e);
	}
	return 0;
}

int
choose(struct choose_writer *w, size_t n, const struct choose_input *in,
       struct err *e)
{
	struct cast c = { .w = w, .n = n, .in = in };
	int rc = -1;
	size_t i;

	if (prepare(&c, e) < 0 || select_all(&c, e) < 0 ||
	    each_dependency(&c, pull_one, e) < 0)
		goto out;
	for (i = 0; i < n; i++)
		if (w[i].any && fix_type(&w[i], in, e) < 0)
			goto out;
	if (part_overlaps(&c, e) < 0 || each_dependency(&c, leave_one, e) < 0)
		goto out;
	rc = 0;
out:
	if (rc < 0)
		choose_clear(w, n);
	return rc;
}

void
choose_clear(struct choose_writer *w, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		mem_free(w[i].chosen);
		mem_free(w[i].own_why);
		w[i].chosen = NULL;
		w[i].own_why = NULL;
		w[i].why = NULL;
		w[i].any = false;
	}
}
