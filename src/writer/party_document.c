/*
 * Documents: parsed without the lock, judged with it by what is in them, then,
 * without it, by what lies on the disk, then once more by who has the pen.  The
 * gap that new file sets leave is appended before the document is stored: a
 * crash in between costs reading.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/party.h"

#include "base/err.h"
#include "base/io.h"
#include "base/path.h"
#include "src/writer/desk_internal.h"
#include "src/writer/metadata.h"
#include "src/writer/pen.h"
#include "src/writer/refuse.h"
#include "src/writer/resolve.h"

#include <errno.h>
#include <string.h>

#define SHOWN(name) path_show_in((char[PATH_SHOW_LEN]){ 0 }, name, strlen(name))

/* --- what the writer may ---------------------------------------------------- */

static const char *const everything[] = { "/" };

bool
party_grants(const struct party *p, const char *const **v, size_t *n)
{
	const struct registration *r = p->registration;

	if (r->owner == 0)
		return false;
	if (!p->desk->root && r->grants == 0) {
		*v = everything;
		*n = 1;
	} else {
		*v = (const char *const *)r->grant;
		*n = r->grants;
	}
	return true;
}

int
desk_judge_document(const struct party *p, const struct metadata *m,
		    struct err *e)
{
	const char *const *v;
	size_t n;

	if (strcmp(m->writer, p->name) != 0)
		return refuse_set(e, EINVAL,
				  "the document of writer %s handed in by %s",
				  SHOWN(m->writer), p->name);
	return party_grants(p, &v, &n) ? metadata_granted(m, v, n, e) : 0;
}

/* --- documents -------------------------------------------------------------- */

/* Pairs of patterns are compared, byte by byte; beyond this it is too much. */
#define OVERLAP_BUDGET UINT64_C(200000000)

static bool
may_meet(const struct metadata_spec *a, const struct metadata_spec *b)
{
	return path_beneath(a->dir, b->dir) || path_beneath(b->dir, a->dir);
}

/* No file can be in a file set of both. */
static int
judge_overlap(const struct metadata *m, const struct party *other,
	      uint64_t *budget, struct err *e)
{
	size_t i;
	size_t k;

	for (i = 0; i < m->files.count; i++) {
		const struct metadata_spec *a = &m->files.v[i].spec;

		for (k = 0; k < other->document->files.count; k++) {
			const struct metadata_spec *b =
				&other->document->files.v[k].spec;
			uint64_t cost = 8;

			if (may_meet(a, b))
				cost += strlen(a->pattern) * strlen(b->pattern);
			if (cost > *budget)
				return refuse_set(e, EDQUOT,
						  "too many file sets to "
						  "compare with those of "
						  "other writers");
			*budget -= cost;
			if (cost > 8 && metadata_overlap(a, b))
				return refuse_set(
					e, EINVAL,
					"line %zu: a file set of writer %s "
					"overlaps it",
					a->line, other->name);
		}
	}
	return 0;
}

static int
judge_overlaps(const struct party *p, const struct metadata *m, struct err *e)
{
	const struct desk *d = p->desk;
	uint64_t budget = OVERLAP_BUDGET;
	size_t i;

	for (i = 0; i < d->parties; i++)
		if (d->party[i] != p && d->party[i]->document != NULL &&
		    judge_overlap(m, d->party[i], &budget, e) < 0)
			return -1;
	return 0;
}

static int
look_at_dirs(struct resolver *who, const struct metadata *m, struct err *e)
{
	const char *last = "";
	size_t i;

	for (i = 0; i < m->files.count; i++) {
		const struct metadata_files *f = &m->files.v[i];

		if ((strcmp(f->spec.dir, last) != 0 &&
		     resolve_dir(who, f->spec.dir, e) < 0) ||
		    (f->alternate != NULL &&
		     resolve_dir(who, f->alternate, e) < 0))
			return err_prefix(e, "line %zu", f->spec.line);
		last = f->spec.dir;
	}
	return 0;
}

/* look_at_dirs with the lock released. */
static int
look_at_document(struct party *p, const struct metadata *m, struct err *e)
{
	struct resolver who = { 0 };
	int rc;

	if (resolver_set(&who, p->registration, !p->desk->root, e) < 0)
		return -1;
	(void)pthread_mutex_unlock(&p->desk->lock);
	rc = look_at_dirs(&who, m, e);
	(void)pthread_mutex_lock(&p->desk->lock);
	resolver_clear(&who);
	return rc;
}

static bool
same_text(const char *a, const char *b)
{
	return a != NULL && b != NULL ? strcmp(a, b) == 0 : a == b;
}

static bool
same_spec(const struct metadata_spec *a, const struct metadata_spec *b)
{
	return strcmp(a->dir, b->dir) == 0 &&
	       strcmp(a->pattern, b->pattern) == 0 &&
	       a->recursive == b->recursive;
}

/*
 * Are the files that the writer has the same ones, in the same components and
 * treated alike?
 */
static bool
same_files(const struct metadata *a, const struct metadata *b)
{
	size_t i;

	if (a->files.count != b->files.count ||
	    a->excludes.count != b->excludes.count ||
	    a->components.count != b->components.count)
		return false;
	for (i = 0; i < a->components.count; i++)
		if (strcmp(a->components.v[i].name, b->components.v[i].name) !=
			    0 ||
		    a->components.v[i].selectable !=
			    b->components.v[i].selectable)
			return false;
	for (i = 0; i < a->excludes.count; i++)
		if (!same_spec(&a->excludes.v[i], &b->excludes.v[i]))
			return false;
	for (i = 0; i < a->files.count; i++) {
		const struct metadata_files *f = &a->files.v[i];
		const struct metadata_files *g = &b->files.v[i];

		if (!same_spec(&f->spec, &g->spec) || f->kind != g->kind ||
		    f->component != g->component || f->backup != g->backup ||
		    f->snapshot != g->snapshot || f->created != g->created ||
		    !same_text(f->alternate, g->alternate))
			return false;
	}
	return true;
}

static bool
has_other_files(const struct party *p, const struct metadata *m)
{
	return p->document == NULL || !same_files(p->document, m);
}

static int
append_gap(struct party *p, struct err *e)
{
	struct journal_entry en = {
		.kind = JOURNAL_GAP,
		.why = "the writer's file sets changed",
	};

	party_put_moment(p, &en);
	return pen_write(p, &en, 1, e);
}

static int
store_document(struct party *p, const struct buf *text, struct err *e)
{
	int dir = registry_dir(&p->desk->registry, p->name, e);
	int rc;

	if (dir < 0)
		return -1;
	rc = io_publish(dir, DESK_DOCUMENT, text->data, text->len, true, e);
	(void)io_close(dir, p->name, NULL);
	return rc;
}

/* All that must hold with the lock held: asked before and after it was not. */
static int
judge_document(const struct party *p, const struct metadata *m, struct err *e)
{
	if (p->removed)
		return refuse_set(e, ENOENT, "the writer was taken away");
	if (desk_judge_document(p, m, e) < 0)
		return -1;
	return judge_overlaps(p, m, e);
}

/* Parse it, with the lock released. */
static int
parse_document(struct party *p, const void *text, size_t len,
	       struct metadata **m, struct buf *normal, struct err *e)
{
	int rc;

	(void)pthread_mutex_unlock(&p->desk->lock);
	rc = metadata_parse(m, text, len, e);
	if (rc == 0) {
		metadata_print(*m, normal);
		rc = buf_ok(normal, e);
	}
	(void)pthread_mutex_lock(&p->desk->lock);
	return rc;
}

/* For who has the pen; the gap comes first. */
static int
replace_document(struct party *p, struct metadata **m, struct buf *normal,
		 struct err *e)
{
	if (has_other_files(p, *m) && append_gap(p, e) < 0)
		return -1;
	if (judge_document(p, *m, e) < 0 || store_document(p, normal, e) < 0)
		return -1;
	metadata_free(p->document);
	buf_clear(&p->document_text);
	p->document = *m;
	p->document_text = *normal;
	*m = NULL;
	memset(normal, 0, sizeof(*normal));
	return 0;
}

int
party_document(struct party *p, const void *text, size_t len, struct err *e)
{
	struct metadata *m = NULL;
	struct buf normal = { 0 };
	struct err why = { 0 };
	int rc = -1;

	party_begin_busy(p);
	if (parse_document(p, text, len, &m, &normal, &why) == 0 &&
	    judge_document(p, m, &why) == 0 &&
	    look_at_document(p, m, &why) == 0) {
		pen_take(p);
		rc = replace_document(p, &m, &normal, &why);
		pen_give(p);
	}
	if (rc == 0) {
		party_log(p, "document accepted: %zu component%s, %zu file set%s",
			  p->document->components.count,
			  p->document->components.count == 1 ? "" : "s",
			  p->document->files.count,
			  p->document->files.count == 1 ? "" : "s");
		desk_changed(p->desk, p);
	} else {
		if (!p->removed)
			party_log(p, "document refused: %s", why.text);
		err_move(e, &why);
	}
	party_end_busy(p);
	metadata_free(m);
	buf_clear(&normal);
	return rc;
}
