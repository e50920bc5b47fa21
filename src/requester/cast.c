/*
 * cast.c
 *
 * What the other side tells of a writer is renewed with every call to it, so it
 * is copied once, after identify: the session uses the document that was current
 * then.  Later only what became of the writer is looked at.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/run.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/engine/generation.h"
#include "src/engine/view.h"
#include "src/writer/coprocess.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/registry.h"
#include "src/writer/remote.h"
#include "store/repository.h"
#include "store/store.h"

#include <string.h>
#include <unistd.h>

static const char *
shown_name(const struct run_writer *w, char out[PATH_SHOW_LEN])
{
	return path_show_in(out, w->name, strlen(w->name));
}

/* --- anybody -------------------------------------------------------------- */

static int
on_program(void *ctx, const char *name, const char *path, const char *refused,
	   struct err *e)
{
	bool *found = ctx;

	(void)name;
	(void)path;
	(void)refused;
	(void)e;
	*found = true;
	return 1;
}

static bool
has_registered(const struct run *r)
{
	const struct repository *repo = store_repository(r->store);
	struct registry all = { 0 };
	bool found = true;
	struct err why = { 0 };
	int fd = registry_open_state(r->o->repository, repo->config.id, &why);

	/* ERR_USAGE: this user has no place for any. */
	if (fd < 0)
		return why.kind != ERR_USAGE;
	if (registry_load(fd, &all, NULL) == 0) {
		found = all.count > 0;
		registry_clear(&all);
	}
	(void)io_close(fd, "the state directory", NULL);
	return found;
}

/*
 * Where it cannot be said that there is nobody, there may be.  Who is asked
 * needs a process of its own, and one of them at a time: backups of machines
 * without writers shall know nothing of that.
 */
bool
cast_is_anybody(const struct run *r)
{
	const struct desk look = { .root = geteuid() == 0, .uid = geteuid() };
	bool found = false;

	if (r->o->wishes > 0 || r->o->require)
		return true;
	if (coprocess_list(&look, on_program, &found, NULL) < 0)
		return true;
	return found || has_registered(r);
}

/* --- meeting ------------------------------------------------------------- */

/* A writer that is not root's opens what it names as its owner. */
static int
take_rights(const struct client_writer *from, struct run_writer *to,
	    struct err *e)
{
	const struct registration who = {
		.name = from->name,
		.owner = from->owner,
		.grant = from->grant,
		.grants = from->grants,
	};

	if (from->owner == 0)
		return 0;
	if (resolver_set(&to->resolver, &who, geteuid() != 0, e) < 0)
		return -1;
	to->resolved = true;
	return 0;
}

static int
meet_one(struct run *r, const struct client_writer *from, struct run_writer *to,
	 struct err *e)
{
	struct err why = { 0 };
	char shown[PATH_SHOW_LEN];

	to->name = mem_strdup(from->name);
	if (to->name == NULL)
		return err_nomem(e);
	to->owner = from->owner;
	to->state = from->state;
	if (take_rights(from, to, e) < 0)
		return -1;
	if (from->document == NULL)
		return 0;
	buf_add(&to->text, from->document, from->document_len);
	if (buf_ok(&to->text, e) < 0)
		return -1;
	if (metadata_parse(&to->document, to->text.data, to->text.len, &why) ==
	    0)
		return 0;
	if (why.kind == ERR_NOMEM) {
		err_move(e, &why);
		return -1;
	}
	run_note(r, "writer %s: its document cannot be used: %s",
		 shown_name(to, shown), why.text);
	return 0;
}

int
cast_meet(struct run *r, struct err *e)
{
	const struct client_writers *there = client_writers(r->client);
	size_t i;

	r->writer = mem_array(there->count + 1, sizeof(*r->writer));
	r->choice = mem_array(there->count + 1, sizeof(*r->choice));
	if (r->writer == NULL || r->choice == NULL)
		return err_nomem(e);
	for (i = 0; i < there->count; i++) {
		r->writers = i + 1;
		if (meet_one(r, &there->v[i], &r->writer[i], e) < 0)
			return -1;
	}
	return cast_look(r, e);
}

/* --- choosing ------------------------------------------------------------ */

/* Counts of incrementals and differentials, per component of the document. */
static int
count(struct run *r, struct run_writer *w, struct err *e)
{
	const struct metadata_components *c;
	struct history_memory m;
	size_t i;

	if (w->document == NULL)
		return 0;
	c = &w->document->components;
	w->incrementals = mem_array(c->count, sizeof(*w->incrementals));
	w->differentials = mem_array(c->count, sizeof(*w->differentials));
	if (w->incrementals == NULL || w->differentials == NULL)
		return err_nomem(e);
	for (i = 0; i < c->count; i++) {
		if (history_memory(r->history, w->name, c->v[i].name, &m, e) <
		    0)
			return -1;
		w->incrementals[i] = m.incrementals;
		w->differentials[i] = m.differentials;
	}
	return 0;
}

static int
choose_all(struct run *r, struct err *e)
{
	const struct choose_input in = {
		.type = r->type,
		.source = r->facts.source,
		.sources = r->facts.sources,
		.wish = r->o->wish,
		.wishes = r->o->wishes,
		.skip_unsupported = r->o->skip_unsupported,
	};
	size_t i;

	for (i = 0; i < r->writers; i++) {
		if (count(r, &r->writer[i], e) < 0)
			return -1;
		r->choice[i] = (struct choose_writer){
			.name = r->writer[i].name,
			.document = r->writer[i].document,
			.present = r->writer[i].state == PART_TAKING,
			.incrementals = r->writer[i].incrementals,
			.differentials = r->writer[i].differentials,
		};
	}
	return choose(r->choice, r->writers, &in, e);
}

static const char *
said_of(const struct run_writer *w)
{
	return w->said != NULL ? w->said : "it has gone";
}

bool
cast_has_failed(const struct run *r, size_t writer)
{
	const struct run_writer *w = &r->writer[writer];

	if (w->state != PART_FAILED && w->state != PART_GONE)
		return false;
	return w->document != NULL ? r->choice[writer].any :
				     r->o->wishes == 0;
}

/* "--writer-failure=abort": there will be no generation. */
static int
abort_for_failed(const struct run *r, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	size_t i;

	for (i = 0; r->o->abort_on_failure && i < r->writers; i++)
		if (cast_has_failed(r, i))
			return err_set(e, ERR_SOURCE, "writer %s failed: %s",
				       shown_name(&r->writer[i], shown),
				       said_of(&r->writer[i]));
	return 0;
}

static void
tell_choice(const struct run *r)
{
	char shown[PATH_SHOW_LEN];
	size_t i;

	for (i = 0; i < r->writers; i++) {
		const struct choose_writer *c = &r->choice[i];

		(void)shown_name(&r->writer[i], shown);
		if (cast_has_failed(r, i))
			run_note(r,
				 "writer %s failed: its files are plain files "
				 "in this backup: %s",
				 shown, said_of(&r->writer[i]));
		else if (c->any && !c->present)
			run_note(r,
				 "writer %s is absent: its files are plain "
				 "files in this backup",
				 shown);
		else if (c->any && c->why != NULL)
			run_note(r, "writer %s: %s", shown, c->why);
		else if (c->own_why != NULL ||
			 (c->present && c->document == NULL))
			run_note(r, "writer %s is left out: %s", shown, c->why);
	}
}

/* --- bases --------------------------------------------------------------- */

/*
 * The base of a component.  Whoever has none is read whole, and told so; in a
 * log session there is nothing that its logs could follow.
 */
static int
find_base(struct run *r, struct run_component *c,
	  struct claims_component *claim, struct err *e)
{
	struct history_memory m;
	struct err why = { 0 };

	if (history_memory(r->history, claim->writer, c->name, &m, e) < 0)
		return -1;
	claim->untrusted = m.untrusted;
	if (metadata_is_whole(claim->effective))
		return 0;
	if (history_base(r->history, claim->writer, c->name, r->type, &c->base,
			 e) < 0)
		return -1;
	if (c->base.component != NULL &&
	    view_open(r->store, c->base.generation.number, &claim->base, &why) <
		    0) {
		if (why.kind == ERR_NOMEM || why.kind == ERR_CANCELLED) {
			err_move(e, &why);
			return -1;
		}
		run_note(r, "component %s of writer %s has no base: %s",
			 c->name, claim->writer, why.text);
	}
	if (claim->base == NULL) {
		memset(&c->base, 0, sizeof(c->base));
		if (claim->effective != METADATA_LOG)
			claim->effective = METADATA_FULL;
	}
	return 0;
}

static int
tell_component(struct run *r, const struct run_component *c,
	       const struct claims_component *claim, struct err *e)
{
	const struct dossier_component *base = c->base.component;
	const struct round_component k = {
		.writer = claim->writer,
		.component = c->name,
		.type = claim->effective,
		.base_id = base != NULL ? c->base.generation.id : NULL,
		.base_number = c->base.generation.number,
		.previous_stamp = base != NULL ? base->stamp : NULL,
		.previous_len = base != NULL ? base->stamp_len : 0,
	};

	return client_component(r->client, &k, e);
}

/* A backup is of one machine. */
static int
tell_remote(const struct run *r, const struct run_writer *w, size_t component,
	    struct err *e)
{
	struct buf list = { 0 };
	char shown[PATH_SHOW_LEN];
	int rc;

	remote_list(w->document, component, &list);
	rc = buf_ok(&list, e);
	if (rc == 0 && list.len > 0)
		run_note(r,
			 "component %s of writer %s depends on another "
			 "machine, which is not in this backup: %s",
			 w->document->components.v[component].name, w->name,
			 path_show_in(shown, buf_str(&list), list.len));
	buf_clear(&list);
	return rc;
}

static int
appoint_one(struct run *r, size_t writer, size_t component, struct err *e)
{
	struct run_writer *w = &r->writer[writer];
	struct run_component *c = &r->component[r->components];
	struct claims_component *claim = &r->claim[r->components];

	c->writer = writer;
	c->name = w->document->components.v[component].name;
	claim->writer = w->name;
	claim->document = w->document;
	claim->chosen = r->choice[writer].chosen;
	claim->component = component;
	claim->root = w->owner == 0;
	claim->resolver = w->resolved ? &w->resolver : NULL;
	claim->effective = r->choice[writer].effective;
	r->components++;
	if (find_base(r, c, claim, e) < 0)
		return -1;
	if (claim->effective == METADATA_LOG && claim->base == NULL) {
		run_note(r,
			 "component %s of writer %s has no backup that its "
			 "logs could follow: left out",
			 c->name, w->name);
		r->components--;
		memset(c, 0, sizeof(*c));
		memset(claim, 0, sizeof(*claim));
		return 0;
	}
	w->taking = true;
	return tell_remote(r, w, component, e) < 0 ?
		       -1 :
		       tell_component(r, c, claim, e);
}

static size_t
count_chosen(const struct run *r)
{
	size_t n = 0;
	size_t i;
	size_t k;

	for (i = 0; i < r->writers; i++)
		for (k = 0; r->choice[i].any &&
			    k < r->writer[i].document->components.count;
		     k++)
			n += r->choice[i].chosen[k];
	return n;
}

int
cast_appoint(struct run *r, struct err *e)
{
	size_t n;
	size_t i;
	size_t k;

	if (history_open(r->store, r->facts.list, r->facts.set_id, &r->history,
			 e) < 0 ||
	    choose_all(r, e) < 0)
		return -1;
	tell_choice(r);
	if (abort_for_failed(r, e) < 0)
		return -1;
	n = count_chosen(r);
	r->component = mem_array(n + 1, sizeof(*r->component));
	r->claim = mem_array(n + 1, sizeof(*r->claim));
	if (r->component == NULL || r->claim == NULL)
		return err_nomem(e);
	for (i = 0; i < r->writers; i++) {
		const struct choose_writer *c = &r->choice[i];

		for (k = 0;
		     c->any && c->present && k < c->document->components.count;
		     k++)
			if (c->chosen[k] && appoint_one(r, i, k, e) < 0)
				return -1;
	}
	return 0;
}

/* --- later --------------------------------------------------------------- */

/* A new sentence of a failure; the first one stays. */
static int
take_failure(struct run_writer *w, const struct client_writer *from,
	     struct err *e)
{
	bool failed = from->state == PART_FAILED || from->state == PART_GONE;

	if (!failed || w->said != NULL)
		return 0;
	w->failed_at = from->failed_at;
	w->failure = from->failure;
	w->said = mem_strdup(from->text != NULL         ? from->text
			     : from->state == PART_GONE ? "it ended"
							: "it said no more");
	return w->said != NULL ? 0 : err_nomem(e);
}

int
cast_look(struct run *r, struct err *e)
{
	const struct client_writers *there = client_writers(r->client);
	size_t i;
	size_t k;

	for (i = 0; i < r->writers; i++) {
		struct run_writer *w = &r->writer[i];
		const struct client_writer *from = NULL;

		for (k = 0; k < there->count; k++)
			if (strcmp(there->v[k].name, w->name) == 0)
				from = &there->v[k];
		if (from == NULL) {
			w->state = PART_GONE;
			continue;
		}
		w->state = from->state;
		memcpy(w->journal, from->journal, sizeof(w->journal));
		w->journal_first = from->journal_first;
		w->cut = from->cut;
		if (w->begun == 0)
			w->begun = from->cut;
		if (take_failure(w, from, e) < 0)
			return -1;
	}
	return 0;
}

bool
cast_is_in(const struct run *r, size_t component)
{
	return r->writer[r->component[component].writer].state == PART_TAKING;
}

int
cast_fail_gone(struct run *r, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	size_t i;

	for (i = 0; i < r->components; i++) {
		const struct run_writer *w = &r->writer[r->component[i].writer];

		if (cast_is_in(r, i) || r->claim[i].failed)
			continue;
		if (writer_claims_fail(r->claims, i, e, "%s: %s",
				       w->failed_at != 0
					       ? event_name(w->failed_at)
					       : "its writer",
				       said_of(w)) < 0)
			return -1;
		if (r->o->abort_on_failure)
			return err_set(e, ERR_SOURCE, "writer %s failed: %s",
				       shown_name(w, shown), r->claim[i].why);
	}
	return 0;
}

void
cast_clear(struct run *r)
{
	size_t i;

	for (i = 0; i < r->components; i++) {
		journals_free(r->component[i].reduced);
		journals_free(r->component[i].before);
		mem_free(r->component[i].image);
		if (r->claim[i].base != NULL)
			view_unref(r->claim[i].base);
	}
	mem_free(r->component);
	mem_free(r->claim);
	if (r->choice != NULL)
		choose_clear(r->choice, r->writers);
	mem_free(r->choice);
	history_close(r->history);
	for (i = 0; i < r->writers; i++) {
		struct run_writer *w = &r->writer[i];

		mem_free(w->name);
		if (w->resolved)
			resolver_clear(&w->resolver);
		metadata_free(w->document);
		buf_clear(&w->text);
		mem_free(w->incrementals);
		mem_free(w->differentials);
		mem_free(w->said);
		buf_clear(&w->refusal);
	}
	mem_free(r->writer);
}
