/*
 * images.c
 *
 * What a carried component stands on: the generations in which its data were
 * stored since all of it was, its images.  They may be forgotten, and then their
 * logs, truncated since, would be nowhere.  So the session's own tree holds the
 * entries of what each of them stored of the component, and its record and
 * documents (doc/format.md, section 17).  Nothing is read for that, and what
 * the entries point to is in the repository.
 *
 * An image is taken from its generation while that is there, else from what the
 * newest image keeps of it: that one kept all before it, in the same way.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/run.h"

#include "base/err.h"
#include "base/hex.h"
#include "src/engine/graft.h"
#include "src/engine/view.h"
#include "src/requester/session_file.h"
#include "src/requester/stored.h"
#include "src/writer/metadata.h"

#include <string.h>

#define SESSION_DEPTH_MAX 8 /* of the files that a session leaves */

/* One image, while what it stored of a component is taken over. */
struct taking {
	struct graft *g;
	struct view_gen *image;
	struct buf way; /* a directory, and those above it */
	struct buf at;  /* where something goes in the session's tree */
};

/* --- names --------------------------------------------------------------- */

/* "images/ID" or "records/ID", and what follows. */
static int
name_it(struct taking *t, const char *where, const char *rest, struct err *e)
{
	buf_reset(&t->at);
	buf_add_str(&t->at, where);
	buf_add_char(&t->at, '/');
	hex_add(&t->at, t->image->record.id, 16);
	buf_add_str(&t->at, rest);
	(void)buf_str(&t->at);
	return buf_ok(&t->at, e);
}

static int
put(struct taking *t, const char *path, const struct entry *en, struct err *e)
{
	if (name_it(t, "images", path, e) < 0)
		return -1;
	return graft_session_entry(t->g, buf_str(&t->at), &t->image->record, en,
				   e);
}

/* --- files --------------------------------------------------------------- */

/* The directories above the path, as they were. */
static int
put_way(struct taking *t, const char *path, struct err *e)
{
	struct node n = { 0 };
	size_t i;
	int rc = 0;

	for (i = 0; path[i] != '\0' && rc == 0; i++) {
		if (path[i] != '/')
			continue;
		buf_reset(&t->way);
		buf_add(&t->way, path, i);
		(void)buf_str(&t->way);
		if (buf_ok(&t->way, e) < 0)
			return -1;
		rc = view_path(t->image, i == 0 ? "/" : buf_str(&t->way), &n,
			       e);
		if (rc == 0)
			rc = put(t, buf_str(&t->way), &n.entry, e);
		node_clear(&n);
	}
	return rc < 0 ? -1 : 0;
}

static int
on_stored(void *ctx, const char *path, const struct entry *en, struct err *e)
{
	return put(ctx, strcmp(path, "/") == 0 ? "" : path, en, e);
}

/* All that the image has of a directory and pattern. */
static int
take_spec(struct taking *t, const struct metadata_spec *spec, struct err *e)
{
	struct node n = { 0 };
	int rc = view_path(t->image, spec->dir, &n, e);

	node_clear(&n);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (put_way(t, spec->dir, e) < 0)
		return -1;
	return stored_each(t->image, spec, on_stored, t, e);
}

/* One file, when the image has it. */
static int
take_file(struct taking *t, const char *path, struct err *e)
{
	struct node n = { 0 };
	int rc = view_path(t->image, path, &n, e);

	if (rc == 0 && n.entry.type != ENTRY_DIR &&
	    (put_way(t, path, e) < 0 || put(t, path, &n.entry, e) < 0))
		rc = -1;
	node_clear(&n);
	return rc < 0 ? -1 : 0;
}

/* --- what an image stored ------------------------------------------------ */

/* Was the file set read for this image? */
static bool
has_stored(const struct dossier_component *c, const struct metadata_files *f,
	   size_t set)
{
	size_t i;

	for (i = 0; i < c->carried_sets; i++)
		if (c->carried_set[i] == set)
			return false;
	return (c->effective != METADATA_FULL &&
		c->effective != METADATA_COPY) ||
	       metadata_required(f, (enum metadata_type)c->effective);
}

static int
take_sets(struct taking *t, const struct metadata *m, size_t own,
	  const struct dossier_component *c, struct err *e)
{
	size_t i;

	for (i = 0; i < m->files.count; i++) {
		const struct metadata_files *f = &m->files.v[i];

		if (metadata_is_member(m, f->component, own) &&
		    has_stored(c, f, i) && take_spec(t, &f->spec, e) < 0)
			return -1;
	}
	return 0;
}

/* What was declared, or handed over, may lie in no file set. */
static int
take_others(struct taking *t, const struct dossier_component *c, struct err *e)
{
	size_t i;

	for (i = 0; i < c->files; i++) {
		const struct dossier_file *f = &c->file[i];
		const struct metadata_spec spec = { f->path, f->pattern,
						    f->recursive, 0 };

		if (f->differenced ? take_spec(t, &spec, e) < 0 :
				     take_file(t, f->path, e) < 0)
			return -1;
	}
	for (i = 0; i < c->attachments; i++)
		if (take_file(t, c->attachment[i].path, e) < 0)
			return -1;
	return 0;
}

static int
gone(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "%s is not in it", what);
}

static int
take_document(struct taking *t, const struct dossier_writer *w,
	      const char *component, struct err *e)
{
	const struct dossier_component *c =
		w != NULL ? dossier_component(w, component) : NULL;
	struct metadata *m = NULL;
	struct buf text = { 0 };
	size_t own;
	int rc = -1;

	if (c == NULL || w->document == NULL)
		return gone(e, "the component");
	rc = session_file(t->image, w->document, METADATA_LEN_MAX, &text, e);
	if (rc == 1)
		rc = gone(e, "the writer's document");
	if (rc == 0)
		rc = metadata_parse(&m, text.data, text.len, e);
	if (rc < 0)
		goto out;
	own = metadata_find(m, component, strlen(component));
	if (own == METADATA_NONE)
		rc = gone(e, "the component");
	else if (take_sets(t, m, own, c, e) < 0 || take_others(t, c, e) < 0)
		rc = -1;
out:
	metadata_free(m);
	buf_clear(&text);
	return rc;
}

static int
take_data(struct taking *t, const char *writer, const char *component,
	  struct err *e)
{
	struct dossier d = { 0 };
	struct buf text = { 0 };
	int rc;

	rc = session_file(t->image, "session", DOSSIER_MAX, &text, e);
	if (rc == 1)
		rc = gone(e, "the session's record");
	if (rc == 0)
		rc = dossier_parse(text.data, text.len, &d, e);
	if (rc == 0)
		rc = take_document(t, dossier_writer(&d, writer), component, e);
	dossier_clear(&d);
	buf_clear(&text);
	return rc;
}

/* --- its record and documents -------------------------------------------- */

/* `path` is that of the directory in the session's tree, empty for the top. */
static int
take_records(struct taking *t, const struct tree_root *dir, const char *path,
	     unsigned depth, struct err *e)
{
	struct tree_iter it;
	struct entry en;
	struct buf name = { 0 };
	int rc;

	if (depth == SESSION_DEPTH_MAX)
		return err_set(e, ERR_CORRUPT, "its session's tree is too deep");
	if (tree_iter_init(&it, t->image->reader, &dir->id, 0, e) < 0)
		return -1;
	while ((rc = tree_iter_next(&it, &en, e)) == 1) {
		buf_reset(&name);
		buf_add_str(&name, path);
		buf_add_char(&name, '/');
		buf_add(&name, en.name, en.name_len);
		rc = -1;
		if (buf_ok(&name, e) < 0)
			break;
		/* Those it keeps of others stand beside it, not in it. */
		if (strcmp(buf_str(&name), "/images") == 0 ||
		    strcmp(buf_str(&name), "/records") == 0)
			continue;
		if (name_it(t, "records", buf_str(&name), e) < 0 ||
		    graft_session_entry(t->g, buf_str(&t->at),
					&t->image->record, &en, e) < 0)
			break;
		if (en.type == ENTRY_DIR &&
		    take_records(t, &en.dir, buf_str(&name), depth + 1, e) < 0)
			break;
	}
	tree_iter_clear(&it);
	buf_clear(&name);
	return rc;
}

/* --- one image, all images ----------------------------------------------- */

/* The generation itself, or what the newest image keeps of it. */
static int
open_image(const struct run *r, const struct dossier_ref *ref,
	   const struct dossier_ref *newest, struct view_gen **out,
	   struct err *e)
{
	struct view_gen *keeper = NULL;
	struct err why = { 0 };
	int rc = view_open(r->store, ref->number, out, &why);

	if (rc == 0 && memcmp((*out)->record.id, ref->id, 16) == 0)
		return 0;
	if (rc == 0)
		view_unref(*out);
	if (rc < 0 && why.kind != ERR_MISSING) {
		err_move(e, &why);
		return -1;
	}
	err_clear(&why);
	if (view_open(r->store, newest->number, &keeper, e) < 0)
		return -1;
	rc = view_image(keeper, ref->number, ref->id, out, e);
	view_unref(keeper);
	if (rc == 1)
		return err_set(e, ERR_MISSING, "it is not there any more");
	return rc;
}

static int
keep_one(struct run *r, struct graft *g, size_t component, size_t k,
	 struct err *e)
{
	const struct run_component *own = &r->component[component];
	const struct dossier_ref *ref = &own->image[k];
	struct taking t = { .g = g };
	int rc;

	rc = open_image(r, ref, &own->image[own->images - 1], &t.image, e);
	if (rc == 0) {
		rc = take_data(&t, r->claim[component].writer, own->name, e);
		if (rc == 0)
			rc = take_records(&t, &t.image->record.session.dir, "",
					  0, e);
		view_unref(t.image);
	}
	buf_clear(&t.way);
	buf_clear(&t.at);
	if (rc < 0)
		(void)err_prefix(e,
				 "what it stands on in generation %u cannot be "
				 "kept",
				 (unsigned)ref->number);
	return rc;
}

static int
keep_of(struct run *r, struct graft *g, size_t i, struct err *e)
{
	struct run_component *own = &r->component[i];
	size_t k;

	if (history_images(r->history, r->claim[i].writer, own->name,
			   &own->image, &own->images, e) < 0)
		return -1;
	for (k = 0; k < own->images; k++)
		if (keep_one(r, g, i, k, e) < 0)
			return -1;
	return 0;
}

int
images_keep(struct run *r, struct graft *g, struct err *e)
{
	struct err why = { 0 };
	size_t i;

	for (i = 0; i < r->components; i++) {
		const struct claims_component *c = &r->claim[i];

		if (c->failed ||
		    !(c->carried || c->effective == METADATA_LOG) ||
		    keep_of(r, g, i, &why) == 0)
			continue;
		if (why.kind == ERR_NOMEM || why.kind == ERR_CANCELLED) {
			err_move(e, &why);
			return -1;
		}
		if (writer_claims_fail(r->claims, i, e, "%s", why.text) < 0)
			return -1;
		err_clear(&why);
	}
	return 0;
}
