/*
 * unit.c
 *
 * Of the writer that is registered here only what it may do is taken, and that
 * as a copy: the list that it comes from is renewed with every phase.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/pass.h"

#include "base/mem.h"
#include "base/path.h"
#include "src/writer/metadata.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void
unit_tell(const struct pass *p, const struct unit *u, const char *fmt, ...)
{
	char text[ERR_TEXT_LEN + 600];
	int n = snprintf(text, sizeof(text), "%.255s:%.255s: ", u->pick->writer,
			 u->pick->component);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
	va_end(args);
	if (p->o->note != NULL)
		p->o->note(p->o->ctx, text);
}

void
unit_give_up(const struct pass *p, struct unit *u, struct err *why)
{
	unit_tell(p, u, "%s: %s",
		  u->touched ? "not wholly restored" : "not restored",
		  why->text);
	u->failed = true;
	err_move(&u->why, why);
}

int
unit_fail(const struct pass *p, struct unit *u, struct err *why, struct err *e)
{
	if (why->kind != ERR_NOMEM && why->kind != ERR_CANCELLED) {
		if (!u->failed)
			unit_give_up(p, u, why);
		return 0;
	}
	u->failed = true;
	err_move(e, why);
	return -1;
}

/* --- units ------------------------------------------------------------------ */

static void
free_list(char **v, size_t n)
{
	while (n-- > 0)
		mem_free(v[n]);
	mem_free(v);
}

void
unit_clear(struct unit *u)
{
	size_t i;

	for (i = 0; i < u->pieces; i++) {
		mem_free((void *)(uintptr_t)u->piece[i].from);
		mem_free((void *)(uintptr_t)u->piece[i].to);
		ranges_clear(&u->piece[i].from_ranges);
		ranges_clear(&u->piece[i].to_ranges);
	}
	mem_free(u->piece);
	mem_free(u->extra);
	mem_free(u->metadata);
	free_list(u->grant, u->grants);
	free_list(u->service, u->services);
	places_clear(&u->places);
}

bool
unit_is_apart(void *ctx, const char *path)
{
	const struct unit *u = ctx;
	size_t i;

	for (i = 0; i < u->pieces; i++)
		if (strcmp(u->piece[i].from, path) == 0)
			return true;
	return false;
}

static int
make_extras(struct unit *u, struct err *e)
{
	const struct dossier_component *c = u->component;
	size_t i;

	u->extra = mem_array(c->files + c->attachments + 1, sizeof(*u->extra));
	if (u->extra == NULL)
		return err_nomem(e);
	/* They belong to the whole set, not to a member. */
	if (u->pick->members > 0)
		return 0;
	for (i = 0; i < c->files; i++) {
		struct place_extra *x = &u->extra[u->extras++];

		x->path = c->file[i].path;
		x->pattern = c->file[i].differenced ? c->file[i].pattern : NULL;
		x->recursive = c->file[i].recursive;
	}
	for (i = 0; i < c->attachments; i++)
		u->extra[u->extras++].path = c->attachment[i].path;
	return 0;
}

/* Of images, each restores what it did not carry. */
static void
leave_out_carried(struct unit *u)
{
	const struct dossier_component *c = u->component;
	size_t i;

	if (c->images <= 1)
		return;
	for (i = 0; i < c->carried_sets; i++)
		if (c->carried_set[i] < u->document->files.count)
			u->places.set[c->carried_set[i]].wanted = false;
}

static int
set_new_target(struct unit *u, const struct restore_target *t, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	bool any = false;
	size_t i;

	(void)path_show_in(shown, t->dir, strlen(t->dir));
	if ((u->document->schema & SCHEMA_NEW_TARGET) == 0)
		return err_set(e, ERR_USAGE,
			       "%s does not take new targets (its schema has "
			       "no new-target)",
			       t->writer);
	for (i = 0; i < u->document->files.count; i++) {
		if (!u->places.set[i].wanted ||
		    strcmp(u->document->files.v[i].spec.dir, t->dir) != 0)
			continue;
		u->places.set[i].to = t->to;
		any = true;
	}
	if (!any)
		return err_set(e, ERR_USAGE, "%s:%s has no file set in %s",
			       t->writer, t->component, shown);
	return 0;
}

int
unit_make(struct pass *p, struct unit *u, struct pick *k, struct err *e)
{
	const struct restore_writers_options *o = p->o;
	bool *wanted;
	size_t w = 0;
	size_t i;
	int rc;

	u->pick = k;
	if (pick_find(k, &p->scene, &w, &u->component, e) < 0)
		return -1;
	u->document = p->scene.document[w];
	wanted = mem_array(u->document->components.count + 1, sizeof(*wanted));
	if (wanted == NULL)
		return err_nomem(e);
	pick_wanted(k, u->document, wanted);
	rc = places_init(&u->places, p->scene.gen, u->document, wanted, e);
	mem_free(wanted);
	if (rc < 0 || make_extras(u, e) < 0)
		return -1;
	u->places.extra = u->extra;
	u->places.extras = u->extras;
	u->places.apart = unit_is_apart;
	u->places.ctx = u;
	u->told = method_tells(u->document->events);
	/* What only comes along stays with its own writer. */
	u->moved = o->to_writer != NULL && !k->pulled;
	u->taker = u->moved ? o->to_writer : k->writer;
	for (i = 0; i < o->targets; i++)
		if (strcmp(o->target[i].writer, k->writer) == 0 &&
		    strcmp(o->target[i].component, k->component) == 0 &&
		    set_new_target(u, &o->target[i], e) < 0)
			return -1;
	leave_out_carried(u);
	return 0;
}

/* --- its writer ------------------------------------------------------------- */

static int
copy_list(char *const *from, size_t n, char ***to, size_t *count, struct err *e)
{
	char **v = mem_array(n + 1, sizeof(*v));
	size_t i;

	if (v == NULL)
		return err_nomem(e);
	for (i = 0; i < n; i++) {
		v[i] = mem_strdup(from[i]);
		if (v[i] == NULL) {
			free_list(v, i);
			return err_nomem(e);
		}
	}
	*to = v;
	*count = n;
	return 0;
}

int
unit_learn(const struct pass *p, struct unit *u, struct err *e)
{
	const struct client_writer *w = client_find(p->client, u->taker);

	if (w == NULL)
		return 0;
	if (copy_list(w->grant, w->grants, &u->grant, &u->grants, e) < 0 ||
	    copy_list(w->service, w->services, &u->service, &u->services, e) <
		    0)
		return -1;
	u->registered = true;
	u->owner = w->owner;
	u->places.grant = u->grant;
	u->places.grants = u->grants;
	/* As for declarations: a user's own, with no grants, has his rights. */
	u->places.granted = w->owner != 0 && (geteuid() == 0 || w->grants > 0);
	return 0;
}

/* Can the other instance take what was this one's? */
static int
check_move(const struct client_writer *w, struct err *e)
{
	struct metadata *m = NULL;
	bool may;

	if (w->document == NULL)
		return err_set(e, ERR_USAGE, "%s has no document", w->name);
	if (metadata_parse(&m, w->document, w->document_len, e) < 0)
		return err_prefix(e, "the document of %s", w->name);
	may = (m->schema & SCHEMA_RESTORE_WITH_MOVE) != 0;
	metadata_free(m);
	return may ? 0
		   : err_set(e, ERR_USAGE,
			     "%s does not take what is another's (its schema "
			     "has no restore-with-move)",
			     w->name);
}

/* "PREFIX EVENT: what it said" */
static void
set_failed(struct err *why, const char *prefix, const struct client_writer *w)
{
	(void)err_set(why, ERR_USAGE, "%s %s%s%s", prefix,
		      event_name(w->failed_at), w->text != NULL ? ": " : "",
		      w->text != NULL ? w->text : "");
}

void
unit_judge(const struct pass *p, struct unit *u)
{
	struct err why = { 0 };
	const struct client_writer *w = client_find(p->client, u->taker);

	if (w == NULL)
		(void)err_set(&why, ERR_USAGE,
			      "no writer of that name is registered here "
			      "(asof writer add)");
	else if (geteuid() != 0 && w->owner != geteuid())
		(void)err_set(&why, ERR_USAGE,
			      "it belongs to another user: only root and that "
			      "user can restore for it");
	else if (u->told && w->state == PART_FAILED)
		set_failed(&why, "it failed at", w);
	else if (u->told && w->state != PART_TAKING)
		(void)err_set(&why, ERR_USAGE,
			      "nobody listens for it: its program has to run "
			      "to take its data back");
	else if (u->moved)
		(void)check_move(w, &why);
	if (why.kind != ERR_NONE)
		unit_give_up(p, u, &why);
}

void
unit_judge_end(const struct pass *p, struct unit *u)
{
	const struct client_writer *w = client_find(p->client, u->taker);
	struct err why = { 0 };

	if (u->failed || !u->told || (w != NULL && w->state == PART_TAKING))
		return;
	if (w != NULL && w->state == PART_FAILED)
		set_failed(&why,
			   "the files are there, but the writer failed at", w);
	else
		(void)err_set(&why, ERR_USAGE,
			      "the files are there, but the writer had ended "
			      "before it was told so");
	unit_give_up(p, u, &why);
}
