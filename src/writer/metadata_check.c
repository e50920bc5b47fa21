/*
 * What needs the whole document is judged in sorted order, so that a document
 * of one megabyte costs no more than sorting it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/metadata_internal.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/writer/refuse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int
cmp_specs(const struct metadata_spec *a, const struct metadata_spec *b)
{
	int c = strcmp(a->dir, b->dir);

	if (c == 0)
		c = strcmp(a->pattern, b->pattern);
	return c != 0 ? c : (int)a->recursive - (int)b->recursive;
}

/* For qsort: by what they say, then by line. */
static int
cmp_spec_pointers(const void *x, const void *y)
{
	const struct metadata_spec *const *a = x;
	const struct metadata_spec *const *b = y;
	int c = cmp_specs(*a, *b);

	if (c != 0)
		return c;
	return (*a)->line < (*b)->line ? -1 : (*a)->line > (*b)->line;
}

/* Sort, and refuse what is there twice. */
static int
sort_specs(const struct metadata_spec **v, size_t n, const char *what,
	   struct err *e)
{
	char shown[PATH_SHOW_LEN];
	size_t i;

	if (n > 1)
		qsort(v, n, sizeof(*v), cmp_spec_pointers);
	for (i = 1; i < n; i++)
		if (cmp_specs(v[i - 1], v[i]) == 0)
			return refuse_set(
				e, EINVAL,
				"line %zu: %s for %s is there twice, first in "
				"line %zu",
				v[i]->line, what,
				path_show_in(shown, v[i]->dir,
					     strlen(v[i]->dir)),
				v[i - 1]->line);
	return 0;
}

/* Sorted pointers to n specs that are `size` bytes apart. */
static int
index_specs(const void *first, size_t n, size_t size, const char *what,
	    const struct metadata_spec ***out, struct err *e)
{
	const struct metadata_spec **v = mem_array(n, sizeof(*v));
	const char *at = first;
	size_t i;

	if (v == NULL)
		return err_nomem(e);
	for (i = 0; i < n; i++)
		v[i] = (const struct metadata_spec *)(const void *)(at +
								    i * size);
	if (sort_specs(v, n, what, e) < 0) {
		mem_free(v);
		return -1;
	}
	*out = v;
	return 0;
}

static int
check_excludes(const struct metadata_specs *list, const char *what,
	       struct err *e)
{
	const struct metadata_spec **v = NULL;

	if (index_specs(list->v, list->count, sizeof(*list->v), what, &v, e) <
	    0)
		return -1;
	mem_free(v);
	return 0;
}

const struct metadata_files *
metadata_find_files(const struct metadata *m, const char *dir,
		    const char *pattern, bool recursive)
{
	const struct metadata_spec want = { dir, pattern, recursive, 0 };
	size_t lo = 0;
	size_t hi = m->files.count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = cmp_specs(&want, m->by_spec[mid]);

		/* The spec is the first member. */
		if (c == 0)
			return (const struct metadata_files *)(const void *)
				m->by_spec[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

/*
 * With this method all file sets have an alternate location.  Both lists are
 * in the same order, and each location belongs to a file set.
 */
static int
check_all_have_one(const struct metadata *m,
		   const struct metadata_spec *const *location, struct err *e)
{
	size_t i;
	size_t k = 0;

	for (i = 0; i < m->files.count; i++, k++)
		if (k == m->locations.count ||
		    cmp_specs(m->by_spec[i], location[k]) != 0)
			return refuse_set(e, EINVAL,
					  "line %zu: no alternate location for "
					  "this file set, but the restore "
					  "method goes there",
					  m->by_spec[i]->line);
	return 0;
}

/* Each alternate location belongs to a file set that stands above it. */
static int
check_locations(const struct metadata *m, struct err *e)
{
	const struct metadata_locations *list = &m->locations;
	const struct metadata_spec **v = NULL;
	const struct metadata_files *f;
	size_t i;
	int rc;

	rc = index_specs(list->v, list->count, sizeof(*list->v),
			 "an alternate location", &v, e);
	for (i = 0; i < list->count && rc == 0; i++) {
		f = metadata_find_files(m, v[i]->dir, v[i]->pattern,
					v[i]->recursive);
		if (f == NULL || f->spec.line > v[i]->line)
			rc = refuse_set(e, ENOENT,
					"line %zu: no file set above with this "
					"directory, pattern and recursion",
					v[i]->line);
	}
	if (rc == 0 && m->method == METHOD_RESTORE_TO_ALTERNATE_LOCATION)
		rc = check_all_have_one(m, v, e);
	mem_free(v);
	return rc;
}

static int
cmp_dependencies(const struct metadata_dependency *a,
		 const struct metadata_dependency *b)
{
	int c;

	if (a->component != b->component)
		return a->component < b->component ? -1 : 1;
	c = strcmp(a->writer, b->writer);
	if (c == 0)
		c = strcmp(a->target, b->target);
	if (c == 0)
		c = strcmp(a->machine != NULL ? a->machine : "",
			   b->machine != NULL ? b->machine : "");
	return c;
}

/* For qsort: by what they say, then by line. */
static int
cmp_dependency_pointers(const void *x, const void *y)
{
	const struct metadata_dependency *const *a = x;
	const struct metadata_dependency *const *b = y;
	int c = cmp_dependencies(*a, *b);

	if (c != 0)
		return c;
	return (*a)->line < (*b)->line ? -1 : (*a)->line > (*b)->line;
}

static int
check_dependencies(const struct metadata *m, struct err *e)
{
	const struct metadata_dependencies *list = &m->dependencies;
	const struct metadata_dependency **v =
		mem_array(list->count, sizeof(*v));
	size_t i;
	int rc = 0;

	if (v == NULL)
		return err_nomem(e);
	for (i = 0; i < list->count; i++)
		v[i] = &list->v[i];
	if (list->count > 1)
		qsort(v, list->count, sizeof(*v), cmp_dependency_pointers);
	for (i = 1; i < list->count && rc == 0; i++)
		if (cmp_dependencies(v[i - 1], v[i]) == 0)
			rc = refuse_set(e, EINVAL,
					"line %zu: a dependency is there twice",
					v[i]->line);
	mem_free(v);
	return rc;
}

/* Bytes of those patterns that have more than one star. */
static size_t
starred_bytes(const void *spec, size_t n, size_t size)
{
	const char *at = spec;
	size_t bytes = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		const struct metadata_spec *s =
			(const struct metadata_spec *)(const void *)(at +
								     i * size);
		const char *star = strchr(s->pattern, '*');

		if (star != NULL && strchr(star + 1, '*') != NULL)
			bytes += strlen(s->pattern);
	}
	return bytes;
}

/* Each path is compared with all of them while other writers wait. */
static int
check_stars(const struct metadata *m, struct err *e)
{
	const struct metadata_specs *x = &m->excludes;
	const struct metadata_specs *y = &m->snapshot_excludes;

	if (starred_bytes(m->files.v, m->files.count, sizeof(*m->files.v)) +
		    starred_bytes(x->v, x->count, sizeof(*x->v)) +
		    starred_bytes(y->v, y->count, sizeof(*y->v)) <=
	    METADATA_STARS_MAX)
		return 0;
	return refuse_set(e, EDQUOT,
			  "more than %d bytes of patterns with several stars",
			  METADATA_STARS_MAX);
}

int
metadata_check(struct metadata *m, struct err *e)
{
	struct buf text = { 0 };
	int rc;

	if (index_specs(m->files.v, m->files.count, sizeof(*m->files.v),
			"a file set", &m->by_spec, e) < 0 ||
	    check_excludes(&m->excludes, "an exclude", e) < 0 ||
	    check_excludes(&m->snapshot_excludes, "an exclude-from-snapshot",
			   e) < 0 ||
	    check_locations(m, e) < 0 || check_dependencies(m, e) < 0 ||
	    check_stars(m, e) < 0)
		return -1;
	metadata_print(m, &text);
	rc = buf_ok(&text, e);
	if (rc == 0 && text.len > METADATA_LEN_MAX)
		rc = refuse_set(e, EDQUOT,
				"the document has more than %d bytes when "
				"bytes outside ASCII are written as \\xHH",
				METADATA_LEN_MAX);
	buf_clear(&text);
	return rc;
}
