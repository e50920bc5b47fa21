/*
 * Files that are declared as differenced, too, are found when all is said:
 * entries without wildcards by a table, because there may be as many as files,
 * those with wildcards one by one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/reduce_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/writer/metadata.h"
#include "src/writer/wildcard.h"

#include <string.h>

/* Patterns are compared one by one with every file: more are not looked at. */
#define WILDCARDS_MAX 1024

struct literal { /* key of the table of those without wildcards, and of all */
	const char *dir;
	size_t dir_len;
	const char *pattern;
	bool recursive;
};

static bool
same_differenced(const void *items, size_t i, const void *key)
{
	const struct reduce_differenced *d = items;
	const struct literal *k = key;

	return d[i].recursive == k->recursive &&
	       strlen(d[i].dir) == k->dir_len &&
	       memcmp(d[i].dir, k->dir, k->dir_len) == 0 &&
	       strcmp(d[i].pattern, k->pattern) == 0;
}

static struct table_slot *
find_differenced(const struct reduce *r, const struct table *t,
		 const struct reduced *out, const struct literal *k,
		 uint64_t *hash)
{
	uint64_t h = table_hash(&r->key, k->dir, k->dir_len);

	h = table_hash_on(&r->key, h, k->recursive ? "/r" : "/",
			  k->recursive ? 2 : 1);
	*hash = table_hash_on(&r->key, h, k->pattern, strlen(k->pattern));
	return table_find(t, *hash, out->differenced, same_differenced, k);
}

static int
merge_differenced(const struct reduce *r, struct table *t, const struct note *n,
		  struct reduced *out, struct err *e)
{
	const struct literal k = { n->a, strlen(n->a), n->b, n->recursive };
	struct reduce_differenced *d;
	uint64_t hash;
	struct table_slot *s;

	if (table_grow(t, e) < 0)
		return -1;
	s = find_differenced(r, t, out, &k, &hash);
	if (s->item == 0) {
		d = &out->differenced[out->differenced_count];
		*d = (struct reduce_differenced){ n->a, n->b, n->recursive,
						  n->has_newer, n->newer };
		table_put(t, s, hash, out->differenced_count++);
		return 0;
	}
	d = &out->differenced[s->item - 1];
	if (n->has_newer && (!d->has_newer || ts_cmp(n->newer, d->newer) < 0)) {
		d->has_newer = true;
		d->newer = n->newer;
	}
	return 0;
}

/* The name as a pattern that matches it alone: there is one. */
static void
name_as_pattern(const char *name, char out[2 * WILDCARD_MAX + 1])
{
	size_t n = 0;

	for (; *name != '\0' && n < 2 * WILDCARD_MAX - 1; name++) {
		if (strchr("?*\\", *name) != NULL)
			out[n++] = '\\';
		out[n++] = *name;
	}
	out[n] = '\0';
}

/* Is one of those without wildcards about this path? */
static bool
literal_clash(const struct reduce *r, const struct table *t,
	      const struct reduced *out, const char *path)
{
	const char *slash = strrchr(path, '/');
	char pattern[2 * WILDCARD_MAX + 1];
	struct literal k = { path, (size_t)(slash - path), pattern, false };
	uint64_t hash;

	name_as_pattern(slash + 1, pattern);
	for (;;) {
		/* The root has its slash, other directories have not. */
		if (k.dir_len == 0)
			k.dir_len = 1;
		if (find_differenced(r, t, out, &k, &hash)->item != 0)
			return true;
		if (k.recursive && k.dir_len == 1)
			return false;
		if (k.recursive)
			while (k.dir_len > 0 && path[--k.dir_len] != '/')
				;
		k.recursive = true;
	}
}

static bool
wildcard_clash(const struct reduced *out, const size_t *wild, size_t n,
	       const char *path)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct reduce_differenced *d = &out->differenced[wild[i]];
		const struct metadata_spec spec = { d->dir, d->pattern,
						    d->recursive, 0 };

		if (metadata_fits(&spec, path))
			return true;
	}
	return false;
}

static void
mark_clashes(const struct reduce *r, const struct table *t, struct reduced *out)
{
	size_t wild[WILDCARDS_MAX];
	bool too_many = false;
	size_t n = 0;
	size_t i;

	for (i = 0; i < out->differenced_count && !too_many; i++) {
		if (wildcard_literal(out->differenced[i].pattern))
			continue;
		too_many = n == WILDCARDS_MAX;
		if (!too_many)
			wild[n++] = i;
	}
	for (i = 0; i < out->files && out->differenced_count > 0; i++) {
		struct reduce_file *f = &out->file[i];

		f->clash = literal_clash(r, t, out, f->path) ||
			   wildcard_clash(out, wild, n, f->path);
		if (too_many && f->promised) {
			f->promised = false;
			f->why = "too many differenced files are declared with "
				 "it";
		}
	}
}

int
reduce_take_differenced(struct reduce *r, struct reduced *out, struct err *e)
{
	struct table t = { 0 };
	size_t n = 0;
	size_t i;
	int rc = 0;

	for (i = 0; i < r->notes; i++)
		n += r->note[i].kind == NOTE_DIFFERENCED;
	if (n == 0)
		return 0;
	out->differenced = mem_array(n, sizeof(*out->differenced));
	if (out->differenced == NULL)
		return err_nomem(e);
	rc = table_grow(&t, e);
	for (i = 0; rc == 0 && i < r->notes; i++)
		if (r->note[i].kind == NOTE_DIFFERENCED && !r->note[i].dropped)
			rc = merge_differenced(r, &t, &r->note[i], out, e);
	if (rc == 0)
		mark_clashes(r, &t, out);
	table_clear(&t);
	return rc;
}
