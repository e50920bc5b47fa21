/*
 * stored.c
 *
 * As in finder.c, directories wait on a list of paths.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/stored.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/engine/view.h"
#include "src/writer/metadata.h"
#include "src/writer/wildcard.h"

#include <string.h>

struct waiting {
	struct waiting *next;
	char path[];
};

struct look {
	struct view_gen *g;
	const struct metadata_spec *spec;
	stored_fn fn;
	void *ctx;
	struct waiting *waiting;
	struct buf path; /* of the name at hand */
	size_t dir_len;  /* of it, the directory's with its slash */
};

static int
wait_for(struct look *l, const char *path, struct err *e)
{
	size_t len = strlen(path) + 1;
	struct waiting *w = mem_alloc(sizeof(*w) + len);

	if (w == NULL)
		return err_nomem(e);
	memcpy(w->path, path, len);
	w->next = l->waiting;
	l->waiting = w;
	return 0;
}

static int
on_name(void *ctx, const struct node *n, uint64_t position, struct err *e)
{
	struct look *l = ctx;
	const char *path;

	(void)position;
	l->path.len = l->dir_len;
	buf_add(&l->path, n->entry.name, n->entry.name_len);
	path = buf_str(&l->path);
	if (buf_ok(&l->path, e) < 0)
		return -1;
	if (n->entry.type == ENTRY_DIR)
		return l->spec->recursive ? wait_for(l, path, e) : 0;
	if (!wildcard_match(l->spec->pattern, path + l->dir_len))
		return 0;
	return l->fn(l->ctx, path, &n->entry, e);
}

static int
list(struct look *l, const char *dir, struct err *e)
{
	struct node n = { 0 };
	int rc = view_path(l->g, dir, &n, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	buf_reset(&l->path);
	buf_add_str(&l->path, dir);
	if (strcmp(dir, "/") != 0)
		buf_add_char(&l->path, '/');
	l->dir_len = l->path.len;
	if (n.entry.type == ENTRY_DIR) {
		rc = l->fn(l->ctx, dir, &n.entry, e);
		if (rc == 0)
			rc = view_list(l->g, &n, 0, on_name, l, e);
	}
	node_clear(&n);
	return rc;
}

int
stored_each(struct view_gen *g, const struct metadata_spec *spec, stored_fn fn,
	    void *ctx, struct err *e)
{
	struct look l = { .g = g, .spec = spec, .fn = fn, .ctx = ctx };
	struct waiting *w;
	int rc = wait_for(&l, spec->dir, e);

	while (l.waiting != NULL) {
		w = l.waiting;
		l.waiting = w->next;
		if (rc == 0)
			rc = list(&l, w->path, e);
		mem_free(w);
	}
	buf_clear(&l.path);
	return rc;
}
