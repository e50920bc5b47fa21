/*
 * postcopy.c
 *
 * The walk is over.  Writers may add to what they said, and some of them fail;
 * then the journals are read once more, and whatever differs from what the walk
 * went by is read again, one path at a time.  A component that has failed, now
 * or on the way, loses what it was spared: its files become plain ones.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/run.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/engine/exclude.h"
#include "src/engine/generation.h"
#include "src/engine/graft.h"
#include "src/engine/view.h"
#include "src/requester/finder.h"
#include "src/writer/metadata.h"

#include <string.h>

struct late {
	struct run *r;
	struct graft *g;
	size_t component;
};

/* That a file cannot be read is its component's failure. */
static int
graft_failed(const struct late *l, size_t component, const char *path,
	     struct err *why, struct err *e)
{
	char shown[PATH_SHOW_LEN];

	if (why->kind != ERR_SOURCE) {
		err_move(e, why);
		return -1;
	}
	return writer_claims_fail(l->r->claims, component, e, "%s: %s",
				  path_show_in(shown, path, strlen(path)),
				  why->text);
}

/* Read one file anew. */
static int
graft_one(struct late *l, const char *path, const char *from, struct err *e)
{
	struct err why = { 0 };

	if (graft_file(l->g, path, from, l->component, &why) == 0)
		return 0;
	return graft_failed(l, l->component, path, &why, e);
}

/* Of what a component has said since: what is another's is not its affair. */
static int
on_declared(void *ctx, const char *path, struct err *e)
{
	struct late *l = ctx;

	if (writer_claims_is_others(l->r->claims, l->component, path))
		return 0;
	return graft_one(l, path, NULL, e);
}

/* What cannot be listed is the component's failure, too. */
static int
graft_each(struct late *l, const struct metadata_spec *spec, struct err *e)
{
	struct err why = { 0 };

	if (finder_each(spec, l->r->claims_options.standins, false, on_declared,
			l, &why) == 0)
		return 0;
	if (why.kind == ERR_SOURCE)
		return writer_claims_fail(l->r->claims, l->component, e, "%s",
					  why.text);
	err_move(e, &why);
	return -1;
}

/* --- what was said since ------------------------------------------------- */

static bool
is_new_file(const struct reduced *old, const struct reduce_file *f)
{
	const struct reduce_file *before =
		old != NULL ? reduced_find(old, f->path) : NULL;

	return before == NULL || before->lines != f->lines ||
	       before->promised != f->promised;
}

static bool
is_new_differenced(const struct reduced *old,
		   const struct reduce_differenced *d)
{
	size_t i;

	for (i = 0; old != NULL && i < old->differenced_count; i++) {
		const struct reduce_differenced *o = &old->differenced[i];

		if (strcmp(o->dir, d->dir) == 0 &&
		    strcmp(o->pattern, d->pattern) == 0 &&
		    o->recursive == d->recursive &&
		    o->has_newer == d->has_newer &&
		    ts_cmp(o->newer, d->newer) == 0)
			return false;
	}
	return true;
}

/* The component before this one that has put something there, or NULL. */
static const char *
who_attached(const struct late *l, const char *path)
{
	const struct run_component *c = l->r->component;
	size_t i;
	size_t k;

	for (i = 0; i < l->component; i++)
		for (k = 0; k < c[i].attached; k++)
			if (strcmp(c[i].reduced->attachment[k].path, path) == 0)
				return c[i].name;
	return NULL;
}

/* What is handed over must not take the place of what somebody else has there. */
static int
graft_attached(struct late *l, const struct reduce_attachment *a, struct err *e)
{
	const char *other = who_attached(l, a->path);
	char shown[PATH_SHOW_LEN];

	if (other != NULL)
		return writer_claims_fail(
			l->r->claims, l->component, e,
			"%s: attached by component %s, too",
			path_show_in(shown, a->path, strlen(a->path)), other);
	if (writer_claims_is_others(l->r->claims, l->component, a->path))
		return writer_claims_fail(l->r->claims, l->component, e,
					  "%s: attached, and belongs to another "
					  "component",
					  path_show_in(shown, a->path,
						       strlen(a->path)));
	return graft_one(l, a->path, a->from, e);
}

/* A log backup has not walked: to it all that was said in it is new. */
static int
graft_late(struct late *l, const struct reduced *old, struct err *e)
{
	struct run_component *own = &l->r->component[l->component];
	const struct claims_component *claim = &l->r->claim[l->component];
	const struct reduced *now = own->reduced;
	bool log = l->r->type == METADATA_LOG;
	size_t i;

	for (i = 0; i < now->files; i++) {
		const struct reduce_file *f = &now->file[i];

		if ((log ? f->sure : is_new_file(old, f)) &&
		    on_declared(l, f->path, e) < 0)
			return -1;
	}
	for (i = 0; i < now->differenced_count; i++) {
		const struct reduce_differenced *d = &now->differenced[i];
		const struct metadata_spec spec = { d->dir, d->pattern,
						    d->recursive, 0 };

		if ((log || is_new_differenced(old, d)) &&
		    graft_each(l, &spec, e) < 0)
			return -1;
	}
	for (i = 0; i < now->attachments && !claim->failed; i++) {
		if (graft_attached(l, &now->attachment[i], e) < 0)
			return -1;
		if (!claim->failed)
			own->attached = i + 1;
	}
	return 0;
}

static int
renew_all(struct run *r, struct graft *g, struct err *e)
{
	struct late l = { .r = r, .g = g };
	const struct reduced **now =
		mem_array(r->components + 1, sizeof(*now));
	size_t i;
	int rc;

	if (now == NULL)
		return err_nomem(e);
	for (i = 0; i < r->components; i++)
		now[i] = r->component[i].reduced;
	rc = writer_claims_renew(r->claims, now, e);
	mem_free(now);
	if (rc < 0)
		return -1;
	for (i = 0; i < r->components; i++) {
		l.component = i;
		if (!r->claim[i].failed && r->component[i].reduced != NULL &&
		    graft_late(&l, r->component[i].before, e) < 0)
			return -1;
	}
	return 0;
}

/* --- who failed ---------------------------------------------------------- */

/* What a component would have added is not known. */
static int
fail_unheard(struct run *r, struct err *e)
{
	size_t i;

	for (i = 0; i < r->components; i++)
		if (r->component[i].reduced == NULL &&
		    writer_claims_fail(r->claims, i, e,
				       "what it declared cannot be read") < 0)
			return -1;
	return 0;
}

static size_t
text_len(const char *s)
{
	return s != NULL ? dossier_text_len(s, strlen(s)) : 0;
}

/*
 * A record that is too long is one that nobody can read, for any component.  So
 * those whose texts have no room in it have failed.
 */
static int
fail_swollen(struct run *r, struct err *e)
{
	uint64_t all = 0;
	size_t i;

	for (i = 0; i < r->components; i++) {
		const struct reduced *now = r->component[i].reduced;
		const struct dossier_component *base =
			r->component[i].base.component;
		uint64_t own = 0;

		if (now != NULL)
			own = text_len(now->stamp) + text_len(now->metadata);
		if (base != NULL)
			own += dossier_text_len(base->stamp, base->stamp_len);
		if (all + own <= DOSSIER_TEXTS_MAX)
			all += own;
		else if (writer_claims_fail(r->claims, i, e,
					    "its stamp and metadata have no "
					    "room in the session's record") <
			 0)
			return -1;
	}
	return 0;
}

/* --- plain files --------------------------------------------------------- */

/* Would the walk have left it out, because the person said so? */
static bool
is_excluded(const struct run *r, const char *path)
{
	const struct exclude *x = r->b->exclude;
	char above[PATH_LEN_MAX + 1];
	size_t len = strlen(path);
	size_t source = 0;
	size_t i;

	if (x == NULL || len > PATH_LEN_MAX)
		return false;
	for (i = 0; i < r->facts.sources; i++)
		if (path_beneath(path, r->facts.source[i]) &&
		    strlen(r->facts.source[i]) > source)
			source = strlen(r->facts.source[i]);
	for (i = source + 1; source > 0 && i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(above, path, i);
		above[i] = '\0';
		if (exclude_match(x, above, source == 1 ? 0 : source, i < len))
			return true;
	}
	return false;
}

/* What is not as the walk would have it fails nobody any more. */
static int
not_plain(const struct late *l, struct err *why, struct err *e)
{
	if (why->kind != ERR_SOURCE) {
		err_move(e, why);
		return -1;
	}
	run_note(l->r, "%s", why->text);
	err_clear(why);
	return 0;
}

static int
on_plain(void *ctx, size_t component, const char *path, struct err *e)
{
	const struct late *l = ctx;
	struct err why = { 0 };

	(void)component;
	if (is_excluded(l->r, path) || graft_any(l->g, path, &why) == 0)
		return 0;
	return not_plain(l, &why, e);
}

static int
on_relic(void *ctx, size_t component, const char *path, struct err *e)
{
	const struct late *l = ctx;
	struct err why = { 0 };

	(void)component;
	return graft_remove(l->g, path, &why) < 0 ? not_plain(l, &why, e) : 0;
}

/*
 * What the walk has put together from promises is read whole, whether they hold
 * still or not.
 */
static int
graft_promised(struct late *l, const struct reduced *d, struct err *e)
{
	size_t i;

	for (i = 0; d != NULL && l->r->type != METADATA_LOG && i < d->files;
	     i++)
		if (d->file[i].promised &&
		    on_plain(l, l->component, d->file[i].path, e) < 0)
			return -1;
	return 0;
}

/* What was handed over is not: what the walk has met there is there again. */
static void
withdraw(struct late *l)
{
	const struct run_component *own = &l->r->component[l->component];
	size_t i;

	for (i = 0; i < own->attached; i++)
		graft_undo(l->g, own->reduced->attachment[i].path);
}

static int
make_plain_one(struct late *l, struct err *e)
{
	struct run *r = l->r;
	size_t i = l->component;

	withdraw(l);
	if (writer_claims_relics(r->claims, i, on_relic, l, e) < 0 ||
	    graft_promised(l, r->component[i].before, e) < 0 ||
	    writer_claims_members(r->claims, i, on_plain, l, e) < 0)
		return -1;
	return 0;
}

/* From now on it claims nothing; told once. */
static int
give_up(struct run *r, size_t i, struct err *e)
{
	run_note(r, "component %s of writer %s did not succeed: %s",
		 r->component[i].name, r->claim[i].writer, r->claim[i].why);
	if (r->o->abort_on_failure)
		return err_set(e, ERR_SOURCE, "component %s of writer %s failed",
			       r->component[i].name, r->claim[i].writer);
	return writer_claims_fail(r->claims, i, e, "failed");
}

enum plainness { NOT_PLAIN, GIVEN_UP, PLAIN };

/* *more: there was one that had failed since. */
static int
make_plain_round(struct run *r, struct graft *g, enum plainness *state,
		 bool *more, struct err *e)
{
	struct late l = { .r = r, .g = g };
	size_t i;

	*more = false;
	for (i = 0; i < r->components; i++) {
		if (!r->claim[i].failed || state[i] != NOT_PLAIN)
			continue;
		*more = true;
		state[i] = GIVEN_UP;
		if (give_up(r, i, e) < 0)
			return -1;
	}
	for (i = 0; i < r->components; i++) {
		if (state[i] != GIVEN_UP)
			continue;
		state[i] = PLAIN;
		l.component = i;
		if (make_plain_one(&l, e) < 0)
			return -1;
	}
	return 0;
}

/* A file that is read for one that has failed may turn out to fail another. */
static int
make_plain(struct run *r, struct graft *g, struct err *e)
{
	enum plainness *state = mem_array(r->components + 1, sizeof(*state));
	bool more = true;
	int rc = 0;

	if (state == NULL)
		return err_nomem(e);
	while (rc == 0 && more)
		rc = make_plain_round(r, g, state, &more, e);
	mem_free(state);
	return rc;
}

/* --- files that no walk has met ------------------------------------------ */

/* One that is elsewhere (`from`) is a regular file; else it is what it is. */
static int
on_unmet(void *ctx, size_t component, const char *path, const char *from,
	 struct err *e)
{
	const struct late *l = ctx;
	struct err why = { 0 };
	int rc = from != NULL ?
			 graft_file(l->g, path, from, component, &why) :
			 graft_any(l->g, path, &why);

	return rc == 0 ? 0 : graft_failed(l, component, path, &why, e);
}

static int
graft_unmet(struct run *r, struct graft *g, struct err *e)
{
	struct late l = { .r = r, .g = g };

	return writer_claims_unmet(r->claims, on_unmet, &l, e);
}

/* A log session has the tree of its base: logs that are gone leave it. */
static int
remove_gone(struct run *r, struct graft *g, struct err *e)
{
	struct late l = { .r = r, .g = g };
	struct view_gen *before = NULL;
	int rc;

	if (r->type != METADATA_LOG || r->facts.base == NULL)
		return 0;
	if (view_open(r->store, r->facts.base->number, &before, e) < 0)
		return -1;
	rc = writer_claims_gone(r->claims, before, on_relic, &l, e);
	view_unref(before);
	return rc;
}

int
postcopy(void *run, struct graft *g, struct err *e)
{
	struct run *r = run;

	if (client_copied(r->client, e) < 0 || cast_look(r, e) < 0 ||
	    cast_fail_gone(r, e) < 0 || journals_read(r, e) < 0 ||
	    fail_unheard(r, e) < 0 || renew_all(r, g, e) < 0 ||
	    graft_unmet(r, g, e) < 0 ||
	    writer_claims_missing(r->claims, e) < 0 ||
	    remove_gone(r, g, e) < 0 || fail_swollen(r, e) < 0 ||
	    images_keep(r, g, e) < 0 ||
	    make_plain(r, g, e) < 0)
		return -1;
	journals_tell_refused(r);
	return writeup(r, g, e);
}
