/*
 * Questions about a document.
 *
 * A component set is a selectable component and all whose logical path begins
 * with its full name.  A name has few slashes, so ancestors are looked up one
 * by one, by their names, nearest first.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/metadata_internal.h"

#include "base/err.h"
#include "base/path.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"
#include "src/writer/term.h"
#include "src/writer/wildcard.h"

#include <errno.h>
#include <string.h>

/* --- components ------------------------------------------------------------- */

size_t
metadata_name_place(const struct metadata *m, const char *s, size_t len,
		    bool *found)
{
	size_t lo = 0;
	size_t hi = m->components.count;
	size_t mid;
	int c;

	*found = false;
	while (lo < hi) {
		const char *name;

		mid = lo + (hi - lo) / 2;
		name = m->components.v[m->by_name[mid]].name;
		c = strncmp(s, name, len);
		if (c == 0 && name[len] != '\0')
			c = -1;
		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

size_t
metadata_find(const struct metadata *m, const char *name, size_t len)
{
	bool found;
	size_t at = metadata_name_place(m, name, len, &found);

	return found ? m->by_name[at] : METADATA_NONE;
}

/*
 * The nearest selectable ancestor of `component` that is chosen; `chosen` NULL:
 * that there is.
 */
static size_t
ancestor(const struct metadata *m, size_t component, const bool *chosen)
{
	const char *name = m->components.v[component].name;
	size_t len = strlen(name);
	size_t i;

	while (len > 0) {
		while (len > 0 && name[--len] != '/')
			;
		i = len > 0 ? metadata_find(m, name, len) : METADATA_NONE;
		if (i != METADATA_NONE && m->components.v[i].selectable &&
		    (chosen == NULL || chosen[i]))
			return i;
	}
	return METADATA_NONE;
}

size_t
metadata_set_of(const struct metadata *m, size_t component)
{
	return ancestor(m, component, NULL);
}

enum metadata_inclusion
metadata_inclusion(const struct metadata *m, size_t component)
{
	bool selectable = m->components.v[component].selectable;

	if (metadata_set_of(m, component) != METADATA_NONE)
		return selectable ? INCLUDE_EITHER : INCLUDE_IMPLICIT;
	return selectable ? INCLUDE_OPTIONAL : INCLUDE_REQUIRED;
}

/* Is `name` that of something beneath `top`? */
static bool
name_beneath(const char *name, const char *top)
{
	size_t len = strlen(top);

	return strncmp(name, top, len) == 0 && name[len] == '/';
}

bool
metadata_is_member(const struct metadata *m, size_t component, size_t set)
{
	const struct metadata_component *c = m->components.v;

	if (component == set)
		return true;
	return c[set].selectable &&
	       name_beneath(c[component].name, c[set].name);
}

size_t
metadata_next_member(const struct metadata *m, size_t set, size_t from)
{
	for (; from < m->components.count; from++)
		if (from != set && metadata_is_member(m, from, set))
			return from;
	return METADATA_NONE;
}

int
metadata_choose(const struct metadata *m, bool *chosen, struct err *e)
{
	const struct metadata_component *c = m->components.v;
	char shown[PATH_SHOW_LEN];
	bool any = false;
	size_t i;

	for (i = 0; i < m->components.count; i++)
		any = any || chosen[i];
	for (i = 0; i < m->components.count; i++) {
		if (any && metadata_inclusion(m, i) == INCLUDE_REQUIRED)
			chosen[i] = true;
		if (!chosen[i])
			continue;
		(void)path_show_in(shown, c[i].name, strlen(c[i].name));
		if (metadata_inclusion(m, i) == INCLUDE_IMPLICIT)
			return refuse_set(e, EINVAL,
					  "component %s is only there with the "
					  "set it is part of",
					  shown);
		if (ancestor(m, i, chosen) != METADATA_NONE)
			return refuse_set(e, EINVAL,
					  "component %s is there with a set "
					  "that is chosen already",
					  shown);
	}
	return 0;
}

size_t
metadata_managing(const struct metadata *m, const bool *chosen,
		  size_t component)
{
	return chosen[component] ? component : ancestor(m, component, chosen);
}

bool
metadata_may_restore(const struct metadata *m, const bool *chosen,
		     size_t component)
{
	if (chosen[component])
		return true;
	return m->components.v[component].selectable_for_restore &&
	       ancestor(m, component, chosen) != METADATA_NONE;
}

/* --- types and masks -------------------------------------------------------- */

const char *
metadata_type_name(unsigned type)
{
	const char *name = term_name(term_backup_types, type);

	return name != NULL ? name : "none";
}

unsigned
metadata_type_parse(const char *name)
{
	const struct term *t = term_find(term_backup_types, name, strlen(name));

	return t != NULL ? t->value : 0;
}

bool
metadata_is_whole(unsigned type)
{
	return type == METADATA_FULL || type == METADATA_COPY;
}

/* The flag that a schema needs for the type; 0: none. */
static unsigned
schema_of(enum metadata_type type)
{
	switch (type) {
	case METADATA_DIFFERENTIAL:
		return SCHEMA_DIFFERENTIAL;
	case METADATA_INCREMENTAL:
		return SCHEMA_INCREMENTAL;
	case METADATA_LOG:
		return SCHEMA_LOG;
	case METADATA_COPY:
		return SCHEMA_COPY;
	default:
		return 0;
	}
}

enum metadata_type
metadata_effective(const struct metadata *m, enum metadata_type type)
{
	unsigned flag = schema_of(type);

	return (m->schema & flag) == flag ? type : METADATA_FULL;
}

static unsigned
mask_bit(enum metadata_type type)
{
	return type == METADATA_COPY ? METADATA_FULL : (unsigned)type;
}

bool
metadata_required(const struct metadata_files *f, enum metadata_type type)
{
	if (type == METADATA_LOG && f->kind != FILES_LOG)
		return false;
	return (f->backup & mask_bit(type)) != 0;
}

bool
metadata_snapshot_only(const struct metadata_files *f, enum metadata_type type)
{
	return (f->snapshot & mask_bit(type)) != 0;
}

/* --- files ------------------------------------------------------------------ */

bool
metadata_fits(const struct metadata_spec *spec, const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	size_t len = strlen(spec->dir);

	if (*name == '\0' || !path_beneath(path, spec->dir))
		return false;
	/* "/" is its own slash. */
	if (len == 1)
		len = 0;
	if (path[len] == '\0' || (!spec->recursive && path + len + 1 != name))
		return false;
	return wildcard_match(spec->pattern, name);
}

bool
metadata_overlap(const struct metadata_spec *a, const struct metadata_spec *b)
{
	bool meet = strcmp(a->dir, b->dir) == 0 ||
		    (a->recursive && path_beneath(b->dir, a->dir)) ||
		    (b->recursive && path_beneath(a->dir, b->dir));

	return meet && wildcard_overlap(a->pattern, b->pattern);
}

bool
metadata_excludes(const struct metadata *m, const char *path)
{
	size_t i;

	for (i = 0; i < m->excludes.count; i++)
		if (metadata_fits(&m->excludes.v[i], path))
			return true;
	return false;
}

enum metadata_place
metadata_place(const struct metadata *m, size_t component, const char *path)
{
	enum metadata_place place = PLACE_OUTSIDE;
	size_t i;

	for (i = 0; i < m->files.count; i++) {
		const struct metadata_files *f = &m->files.v[i];
		bool own = metadata_is_member(m, f->component, component);

		if (metadata_fits(&f->spec, path)) {
			if (own)
				return PLACE_OWN;
			place = PLACE_OTHER;
		} else if (own && place == PLACE_OUTSIDE &&
			   path_beneath(path, f->spec.dir)) {
			place = PLACE_BENEATH;
		}
	}
	return place;
}

/* --- rights ----------------------------------------------------------------- */

/* `path` (NULL is nothing) lies beneath one of the grants. */
static int
beneath_grants(const char *path, const char *const *grants, size_t n,
	       struct err *e)
{
	char shown[PATH_SHOW_LEN];
	size_t i;

	if (path == NULL)
		return 0;
	for (i = 0; i < n; i++)
		if (path_beneath(path, grants[i]))
			return 0;
	return refuse_set(e, EPERM, "not beneath what the writer may name: %s",
			  path_show_in(shown, path, strlen(path)));
}

static int
specs_granted(const struct metadata_specs *list, const char *const *grants,
	      size_t n, struct err *e)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (beneath_grants(list->v[i].dir, grants, n, e) < 0)
			return err_prefix(e, "line %zu", list->v[i].line);
	return 0;
}

int
metadata_granted(const struct metadata *m, const char *const *grants, size_t n,
		 struct err *e)
{
	size_t i;

	if (m->method == METHOD_CUSTOM)
		return refuse_set(e, EPERM,
				  "line %zu: the restore method custom is "
				  "root's",
				  m->method_line);
	for (i = 0; i < m->files.count; i++) {
		const struct metadata_files *f = &m->files.v[i];

		if (beneath_grants(f->spec.dir, grants, n, e) < 0 ||
		    beneath_grants(f->alternate, grants, n, e) < 0)
			return err_prefix(e, "line %zu", f->spec.line);
	}
	for (i = 0; i < m->locations.count; i++) {
		const struct metadata_location *a = &m->locations.v[i];

		if (beneath_grants(a->to, grants, n, e) < 0)
			return err_prefix(e, "line %zu", a->spec.line);
	}
	if (specs_granted(&m->excludes, grants, n, e) < 0)
		return -1;
	return specs_granted(&m->snapshot_excludes, grants, n, e);
}

int
metadata_statement_granted(const struct statement *s, const char *const *grants,
			   size_t n, struct err *e)
{
	if (beneath_grants(s->path, grants, n, e) < 0 ||
	    beneath_grants(s->ranges_path, grants, n, e) < 0 ||
	    beneath_grants(s->to, grants, n, e) < 0)
		return -1;
	return beneath_grants(s->from, grants, n, e);
}

/* --- statements ------------------------------------------------------------- */

static int
judge_partial(const struct metadata *m, size_t component,
	      const struct statement *s, struct err *e)
{
	char shown[PATH_SHOW_LEN];

	if (metadata_place(m, component, s->path) != PLACE_OTHER)
		return 0;
	return refuse_set(e, EINVAL, "a file of another component: %s",
			  path_show_in(shown, s->path, strlen(s->path)));
}

/* What is taken apart must be the component's; where it goes is free. */
static int
judge_directed(const struct metadata *m, size_t component,
	       const struct statement *s, struct err *e)
{
	if (judge_partial(m, component, s, e) < 0)
		return -1;
	if (metadata_place(m, component, s->to) != PLACE_OTHER)
		return 0;
	return refuse_set(e, EINVAL, "directed to a file of another component");
}

static int
judge_differenced(const struct metadata *m, size_t component,
		  const struct statement *s, enum metadata_type type,
		  struct err *e)
{
	const struct metadata_spec spec = { s->path, s->pattern, s->recursive,
					    0 };
	const struct metadata_files *f;
	char shown[PATH_SHOW_LEN];
	unsigned flag = type == METADATA_COPY ? 0 : schema_of(type);
	size_t i;

	if ((m->schema & SCHEMA_LAST_MODIFY) == 0)
		return refuse_set(e, EOPNOTSUPP,
				  "the writer's schema has no last-modify");
	if ((m->schema & flag) != flag)
		return refuse_set(e, EOPNOTSUPP,
				  "the writer's schema does not have the type "
				  "of this backup");
	f = metadata_find_files(m, s->path, s->pattern, s->recursive);
	if (f != NULL && metadata_is_member(m, f->component, component))
		return 0;
	for (i = 0; i < m->files.count; i++)
		if (metadata_overlap(&m->files.v[i].spec, &spec))
			return refuse_set(
				e, EINVAL,
				"neither a file set of the component nor apart "
				"from all: there is one in %s",
				path_show_in(shown, m->files.v[i].spec.dir,
					     strlen(m->files.v[i].spec.dir)));
	return 0;
}

int
metadata_judge(const struct metadata *m, const struct statement *s,
	       enum metadata_type type, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	size_t component;

	if (s->component == NULL)
		return 0;
	(void)path_show_in(shown, s->component, strlen(s->component));
	component = metadata_find(m, s->component, strlen(s->component));
	if (component == METADATA_NONE)
		return refuse_set(e, ENOENT, "no such component: %s", shown);
	if (s->kind == STATEMENT_GAP)
		return 0;
	if (metadata_inclusion(m, component) == INCLUDE_IMPLICIT)
		return refuse_set(e, EINVAL,
				  "component %s has no record of its own: "
				  "declare it for the set it is part of",
				  shown);
	if (s->kind == STATEMENT_PARTIAL_FILE || s->kind == STATEMENT_ATTACH)
		return judge_partial(m, component, s, e);
	if (s->kind == STATEMENT_DIFFERENCED_FILE)
		return judge_differenced(m, component, s, type, e);
	if (s->kind == STATEMENT_DIRECTED_TARGET)
		return judge_directed(m, component, s, e);
	return 0;
}
