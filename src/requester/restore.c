/*
 * One generation is one pass, and most restores are one pass: who is there,
 * what do they want, decide, write, tell.  A component of which file sets were
 * carried has images in older generations; then there is a pass for each of
 * these, the oldest first, and writers are told that more follows.
 *
 * What goes wrong with one component ends that component and is told to its
 * writer; the others go on.  Only what concerns all of them ends the pass: the
 * line to the writers, memory, somebody who says stop.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/restore.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/engine/view.h"
#include "src/requester/deliver.h"
#include "src/requester/guise.h"
#include "src/requester/method.h"
#include "src/requester/places.h"
#include "src/requester/restore_words.h"
#include "src/requester/selection.h"
#include "src/requester/service.h"
#include "src/requester/session_file.h"
#include "src/writer/client.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"
#include "store/repository.h"
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A component in a pass. */
struct unit {
	struct pick *pick;
	const struct dossier_component *component;
	const struct metadata *document;
	/* The writer as it is registered here; copies. */
	bool registered;
	uid_t owner;
	char **grant;
	size_t grants;
	char **service;
	size_t services;
	struct places places;
	struct place_extra *extra;
	size_t extras;
	bool last; /* no image follows */
	bool told; /* the writer gets events */

	enum statement_target target;
	struct deliver_piece *piece; /* directed by the writer, or ranges */
	size_t pieces;
	bool metadata_said;

	struct err why; /* set: it cannot be restored */
	enum method_verdict verdict;
	bool done; /* decided and written */
	bool touched;
	bool failed;
};

struct pass {
	struct store *store;
	const struct restore_writers_options *o;
	struct restore_writers_result *out;
	struct scene scene;
	struct client *client;
	struct unit *unit;
	size_t units;
};

static void tell(const struct pass *p, const struct unit *u, const char *fmt,
		 ...) __attribute__((format(printf, 3, 4)));

/* "W:C: sentence" */
static void
tell(const struct pass *p, const struct unit *u, const char *fmt, ...)
{
	char text[ERR_TEXT_LEN + 600];
	int n = snprintf(text, sizeof(text), "%.255s:%.255s: ",
			 u->pick->writer, u->pick->component);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, args);
	va_end(args);
	if (p->o->note != NULL)
		p->o->note(p->o->ctx, text);
}

/* This one cannot be restored; the others go on.  Takes `why` over. */
static void
give_up(const struct pass *p, struct unit *u, struct err *why)
{
	tell(p, u, "%s: %s", u->touched ? "not wholly restored" : "not restored",
	     why->text);
	u->failed = true;
	err_move(&u->why, why);
}

/* What ends a pass and not only a component. */
static bool
is_fatal(const struct err *why)
{
	return why->kind == ERR_NOMEM || why->kind == ERR_CANCELLED;
}

static int
check_cancel(const struct pass *p, struct err *e)
{
	if (p->o->cancel != NULL && *p->o->cancel != 0)
		return err_set(e, ERR_CANCELLED, "restore cancelled");
	return 0;
}

/* --- units ------------------------------------------------------------------ */

static void
free_list(char **v, size_t n)
{
	while (n-- > 0)
		mem_free(v[n]);
	mem_free(v);
}

static void
clear_unit(struct unit *u)
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
	free_list(u->grant, u->grants);
	free_list(u->service, u->services);
	places_clear(&u->places);
}

static bool
is_ranged(const struct dossier_file *f)
{
	return !f->differenced && f->refused == NULL && f->ranges != NULL;
}

/* Is the file delivered by pieces, not as a whole? */
static bool
is_apart(void *ctx, const char *path)
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

static int
make_unit(struct pass *p, struct unit *u, struct pick *k, struct err *e)
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
	u->places.apart = is_apart;
	u->places.ctx = u;
	u->told = method_tells(u->document->events);
	for (i = 0; i < o->targets; i++)
		if (strcmp(o->target[i].writer, k->writer) == 0 &&
		    strcmp(o->target[i].component, k->component) == 0 &&
		    set_new_target(u, &o->target[i], e) < 0)
			return -1;
	leave_out_carried(u);
	return 0;
}

/* --- the writers ------------------------------------------------------------ */

static const struct client_writer *
find_live(const struct client *c, const char *name)
{
	const struct client_writers *all = client_writers(c);
	size_t i;

	for (i = 0; i < all->count; i++)
		if (strcmp(all->v[i].name, name) == 0)
			return &all->v[i];
	return NULL;
}

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

/* What is registered of the unit's writer. */
static int
learn_writer(const struct pass *p, struct unit *u, struct err *e)
{
	const struct client_writer *w = find_live(p->client, u->pick->writer);

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
	u->places.granted =
		w->owner != 0 && (geteuid() == 0 || w->grants > 0);
	return 0;
}

/* Directly after a phase: is there somebody to give the data to? */
static void
judge_presence(struct pass *p, struct unit *u)
{
	struct err why = { 0 };
	const struct client_writer *w = find_live(p->client, u->pick->writer);

	if (w == NULL)
		(void)err_set(&why, ERR_USAGE,
			      "no writer of that name is registered here "
			      "(asof writer add)");
	else if (geteuid() != 0 && w->owner != geteuid())
		(void)err_set(&why, ERR_USAGE,
			      "it belongs to another user: only root and that "
			      "user can restore for it");
	else if (u->told && w->state == PART_FAILED)
		(void)err_set(&why, ERR_USAGE, "it failed at %s%s%s",
			      event_name(w->failed_at),
			      w->text != NULL ? ": " : "",
			      w->text != NULL ? w->text : "");
	else if (u->told && w->state != PART_TAKING)
		(void)err_set(&why, ERR_USAGE,
			      "nobody listens for it: its program has to run "
			      "to take its data back");
	if (why.kind != ERR_NONE)
		give_up(p, u, &why);
}

static int
announce(struct pass *p, struct unit *u, struct err *e)
{
	const struct dossier_component *c = u->component;
	const struct restore_words words = {
		.pick = u->pick,
		.component = c,
		.options = p->o,
		.generation = p->scene.gen->number,
		.more = !u->last || p->o->additional,
	};
	struct round_component k = {
		.writer = u->pick->writer,
		.component = u->pick->component,
		.type = c->effective,
		.base_id = p->scene.gen->record.id,
		.base_number = p->scene.gen->number,
		.previous_stamp = c->stamp,
		.previous_len = c->stamp_len,
	};
	struct buf text = { 0 };
	int rc;

	restore_words(&words, &text);
	k.restore = buf_str(&text);
	rc = buf_ok(&text, e);
	if (rc == 0)
		rc = client_component(p->client, &k, e);
	buf_clear(&text);
	return rc;
}

/* The first unit of its writer that can be restored? */
static bool
is_first(const struct pass *p, size_t i)
{
	size_t k;

	for (k = 0; k < i; k++)
		if (!p->unit[k].failed && strcmp(p->unit[k].pick->writer,
						 p->unit[i].pick->writer) == 0)
			return false;
	return !p->unit[i].failed;
}

/* For each unit, as it is now: units fail while they are gone through. */
static int
find_firsts(const struct pass *p, bool **out, struct err *e)
{
	bool *first = mem_array(p->units + 1, sizeof(*first));
	size_t i;

	if (first == NULL)
		return err_nomem(e);
	for (i = 0; i < p->units; i++)
		first[i] = is_first(p, i);
	*out = first;
	return 0;
}

/* --- what the writer asks for ----------------------------------------------- */

static struct deliver_piece *
new_piece(struct unit *u, const char *from, const char *to, struct err *e)
{
	struct deliver_piece *more;

	more = mem_resize(u->piece, u->pieces + 1, sizeof(*more));
	if (more == NULL) {
		(void)err_nomem(e);
		return NULL;
	}
	u->piece = more;
	more += u->pieces;
	memset(more, 0, sizeof(*more));
	more->from = mem_strdup(from);
	more->to = mem_strdup(to);
	u->pieces++;
	if (more->from != NULL && more->to != NULL)
		return more;
	(void)err_nomem(e);
	return NULL;
}

static int
take_directed(struct unit *u, struct statement *s, struct err *e)
{
	struct deliver_piece *q = new_piece(u, s->path, s->to, e);

	if (q == NULL)
		return -1;
	/* The statement's own are not needed any more. */
	q->from_ranges = s->ranges;
	q->to_ranges = s->to_ranges;
	memset(&s->ranges, 0, sizeof(s->ranges));
	memset(&s->to_ranges, 0, sizeof(s->to_ranges));
	return 0;
}

struct listening {
	struct pass *pass;
	const char *writer;
};

static struct unit *
find_unit(const struct listening *l, const char *component)
{
	size_t i;

	for (i = 0; i < l->pass->units; i++) {
		struct unit *u = &l->pass->unit[i];

		if (strcmp(u->pick->writer, l->writer) == 0 &&
		    strcmp(u->pick->component, component) == 0)
			return u;
	}
	return NULL;
}

static int
take_statement(struct unit *u, struct statement *s, struct err *e)
{
	if (metadata_judge(u->document, s, 0, e) < 0)
		return -1;
	if (u->places.granted &&
	    metadata_statement_granted(
		    s, (const char *const *)u->places.grant, u->places.grants,
		    e) < 0)
		return -1;
	switch (s->kind) {
	case STATEMENT_RESTORE_TARGET:
		u->target = s->target;
		return 0;
	case STATEMENT_DIRECTED_TARGET:
		return take_directed(u, s, e);
	default:
		if (u->metadata_said)
			return refuse_set(e, EEXIST,
					  "restore-metadata is said once");
		u->metadata_said = true;
		return 0;
	}
}

/*
 * The other side has judged the line by the writer's document of today; it is
 * judged again, by the one that counts.
 */
static int
take_line(void *ctx, const char *line, size_t len, struct err *e)
{
	const struct listening *l = ctx;
	struct statement s = { 0 };
	struct err why = { 0 };
	struct unit *u = NULL;
	int rc = statement_parse(&s, line, len, &why);

	if (s.component != NULL)
		u = find_unit(l, s.component);
	if (rc == 0 && u != NULL && statement_is_restore(s.kind))
		rc = take_statement(u, &s, &why);
	statement_clear(&s);
	if (rc == 0)
		return 0;
	if (is_fatal(&why) || u == NULL) {
		err_move(e, &why);
		return -1;
	}
	if (!u->failed)
		give_up(l->pass, u, &why);
	return 0;
}

/* What is directed counts only where that is the target. */
static void
drop_undirected(struct unit *u)
{
	struct deliver_piece *q;

	while (u->target != TARGET_DIRECTED && u->pieces > 0) {
		q = &u->piece[--u->pieces];
		mem_free((void *)(uintptr_t)q->from);
		mem_free((void *)(uintptr_t)q->to);
		ranges_clear(&q->from_ranges);
		ranges_clear(&q->to_ranges);
	}
}

static int
listen_to(struct pass *p, struct err *e)
{
	struct listening l = { .pass = p };
	bool *first;
	size_t i;
	int rc = 0;

	if (find_firsts(p, &first, e) < 0)
		return -1;
	for (i = 0; rc == 0 && i < p->units; i++) {
		l.writer = p->unit[i].pick->writer;
		if (first[i] && p->unit[i].told)
			rc = client_restore_lines(p->client, l.writer,
						  take_line, &l, e);
	}
	mem_free(first);
	for (i = 0; i < p->units; i++)
		drop_undirected(&p->unit[i]);
	return rc;
}

/* --- ranges only ------------------------------------------------------------ */

/* The ranges as the session kept them, cut to the file's length. */
static int
read_ranges(const struct pass *p, const struct dossier_file *f,
	    struct ranges *out, struct err *e)
{
	struct buf text = { 0 };
	struct node n = { 0 };
	int rc;

	if (strncmp(f->ranges, "file=", 5) != 0) {
		rc = ranges_parse(out, f->ranges, strlen(f->ranges), e);
	} else {
		rc = session_file(p->scene.gen, f->ranges + 5,
				  RANGES_FILE_MIN +
					  (size_t)RANGES_MAX * RANGES_PAIR,
				  &text, e);
		if (rc == 1)
			rc = err_set(e, ERR_CORRUPT, "%s is not in the "
						     "generation",
				     f->ranges + 5);
		if (rc == 0)
			rc = ranges_parse_file(out, text.data, text.len, e);
	}
	if (rc == 0)
		rc = view_path(p->scene.gen, f->path, &n, e);
	if (rc == 0)
		ranges_clip(out, n.entry.size);
	else if (rc == 1)
		rc = err_set(e, ERR_CORRUPT, "it is not in the generation");
	node_clear(&n);
	buf_clear(&text);
	return rc;
}

static int
copy_ranges(const struct ranges *from, struct ranges *to, struct err *e)
{
	size_t i;

	for (i = 0; i < from->count; i++)
		if (ranges_push(to, from->r[i].off, from->r[i].len, e) < 0)
			return -1;
	return 0;
}

/* The declared pieces of a file go into what is there. */
static int
add_ranged(const struct pass *p, struct unit *u, const struct dossier_file *f,
	   struct err *e)
{
	const struct place_set *set;
	struct deliver_piece *q;

	if (!places_wants(&u->places, f->path, &set) || is_apart(u, f->path))
		return 0;
	/* Where to is known after the verdict: set_ranged_places. */
	q = new_piece(u, f->path, f->path, e);
	if (q == NULL || read_ranges(p, f, &q->from_ranges, e) < 0 ||
	    copy_ranges(&q->from_ranges, &q->to_ranges, e) < 0)
		return -1;
	q->must_exist = true;
	return 0;
}

static int
make_ranged(const struct pass *p, struct unit *u, struct err *e)
{
	size_t i;

	for (i = 0; p->o->ranges_only && i < u->component->files; i++)
		if (is_ranged(&u->component->file[i]) &&
		    add_ranged(p, u, &u->component->file[i], e) < 0)
			return err_prefix(e, "ranges of %s",
					  u->component->file[i].path);
	return 0;
}

static int
set_ranged_places(struct unit *u, struct err *e)
{
	const struct place_set *set;
	struct buf to = { 0 };
	size_t i;
	char *path;
	int rc = 0;

	for (i = 0; rc == 0 && i < u->pieces; i++) {
		struct deliver_piece *q = &u->piece[i];

		if (!q->must_exist ||
		    !places_wants(&u->places, q->from, &set))
			continue;
		buf_reset(&to);
		if (!places_goes(&u->places, set, q->from, u->verdict, &to)) {
			rc = err_set(e, ERR_USAGE,
				     "%s has no alternate location", q->from);
			break;
		}
		path = mem_strdup(buf_str(&to));
		if (path == NULL || buf_ok(&to, e) < 0) {
			mem_free(path);
			rc = err_nomem(e);
			break;
		}
		mem_free((void *)(uintptr_t)q->to);
		q->to = path;
	}
	buf_clear(&to);
	return rc;
}

/* --- deciding and writing --------------------------------------------------- */

static enum restore_existing
existing_of(const struct pass *p, const struct unit *u)
{
	/* Nothing was there when we looked; what is there now stays. */
	if (u->document->method == METHOD_RESTORE_IF_NOT_THERE &&
	    u->pick->went == 0)
		return RESTORE_REFUSE;
	return p->o->in_place ? RESTORE_IN_PLACE : RESTORE_REPLACE;
}

static struct delivery
delivery_of(const struct pass *p, struct unit *u)
{
	struct delivery d = {
		.places = &u->places,
		.verdict = u->verdict,
		.existing = existing_of(p, u),
		.piece = u->piece,
		.pieces = u->pieces,
		.repository = p->store != NULL ? store_repository(p->store)
					       : NULL,
		.no_owner = geteuid() != 0 || u->places.granted,
		.cancel = p->o->cancel,
		.failed = p->o->failed,
		.ctx = p->o->ctx,
	};

	return d;
}

static void
tell_verdict(const struct pass *p, const struct unit *u,
	     const struct method_facts *f)
{
	uint64_t n = f->files + u->pieces;
	const char *s = n == 1 ? "" : "s";
	const char *go = p->o->dry_run ? "would go" : n == 1 ? "goes" : "go";

	switch (u->verdict) {
	case VERDICT_HOME:
		tell(p, u, "%" PRIu64 " file%s %s where they belong", n, s, go);
		break;
	case VERDICT_ALTERNATE:
		tell(p, u, "%" PRIu64 " file%s %s to the alternate locations",
		     n, s, go);
		break;
	default:
		tell(p, u,
		     "%" PRIu64
		     " file%s %s into %s in each directory: nothing on this "
		     "machine puts them in place when it starts, so stop what "
		     "uses them and move them yourself",
		     n, s, go, u->places.staging);
		break;
	}
}

/* Behind an earlier image, what that one wrote is in nobody's way, ... */
static enum metadata_method
method_of(const struct unit *u)
{
	if (u->pick->went != 0 &&
	    u->document->method == METHOD_RESTORE_IF_NOT_THERE)
		return METHOD_RESTORE_IF_CAN_REPLACE;
	return u->document->method;
}

/* ... and goes to the same place. */
static enum statement_target
target_of(const struct unit *u)
{
	if (u->target == 0 && u->pick->went == VERDICT_ALTERNATE)
		return TARGET_ALTERNATE;
	return u->target;
}

/* Look, and decide for all files of the component. */
static int
decide(const struct pass *p, struct unit *u, struct err *e)
{
	struct method_facts facts;
	struct delivery d;
	struct buf memory = { 0 };
	int rc;

	rc = make_ranged(p, u, e);
	if (rc == 0)
		rc = places_facts(&u->places, &facts, &memory, e);
	if (rc == 0)
		rc = method_decide(method_of(u), target_of(u), &facts,
				   &u->verdict, e);
	if (rc == 0)
		rc = set_ranged_places(u, e);
	if (rc == 0) {
		d = delivery_of(p, u);
		rc = deliver_check(&d, e);
	}
	if (rc == 0)
		tell_verdict(p, u, &facts);
	buf_clear(&memory);
	return rc;
}

/*
 * Of what is changed behind the writer's back, nothing is known any more.  Said
 * first: whoever is killed while he writes says nothing afterwards.
 */
static int
leave_gap(const struct pass *p, const struct unit *u, struct err *e)
{
	char why[64];

	(void)snprintf(why, sizeof(why), "restored from generation %u",
		       (unsigned)p->scene.gen->number);
	return client_gap(p->client, u->pick->writer, u->pick->component, why,
			  e);
}

static int
write_unit(const struct pass *p, struct unit *u, struct err *e)
{
	struct delivery d = delivery_of(p, u);
	int rc;

	if (leave_gap(p, u, e) < 0)
		return -1;
	rc = deliver(&d, e);
	u->touched = d.touched;
	p->out->files += d.files;
	p->out->bytes += d.bytes;
	p->out->damaged += d.damaged;
	if (rc == 0 && d.failures > 0)
		rc = err_set(e, ERR_SYS, "%" PRIu64 " of its files failed",
			     d.failures);
	return rc;
}

static int
restore_unit(const struct pass *p, struct unit *u, struct err *e)
{
	int rc = guise_on(u->owner, e);

	if (rc < 0)
		return -1;
	rc = decide(p, u, e);
	if (rc == 0 && !p->o->dry_run)
		rc = write_unit(p, u, e);
	guise_off();
	u->done = rc == 0;
	return rc;
}

/* Without its service, for as long as it takes. */
static int
restore_writer(struct pass *p, size_t first, struct err *e)
{
	const char *name = p->unit[first].pick->writer;
	struct unit *u;
	struct err why = { 0 };
	size_t i;
	int rc = 0;

	for (i = first; rc == 0 && i < p->units; i++) {
		u = &p->unit[i];
		if (u->failed || strcmp(u->pick->writer, name) != 0)
			continue;
		rc = check_cancel(p, e);
		if (rc < 0 || restore_unit(p, u, &why) == 0)
			continue;
		if (is_fatal(&why)) {
			u->failed = true;
			err_move(e, &why);
			rc = -1;
			break;
		}
		give_up(p, u, &why);
	}
	return rc;
}

static void
fail_writer(struct pass *p, const char *name, const struct err *why)
{
	size_t i;

	for (i = 0; i < p->units; i++) {
		struct err copy = *why;

		if (!p->unit[i].failed &&
		    strcmp(p->unit[i].pick->writer, name) == 0)
			give_up(p, &p->unit[i], &copy);
	}
}

static int
restore_all(struct pass *p, struct err *e)
{
	bool *first;
	size_t i;
	int rc = 0;

	if (find_firsts(p, &first, e) < 0)
		return -1;
	for (i = 0; rc == 0 && i < p->units; i++) {
		const struct unit *u = &p->unit[i];
		bool stops;
		struct err why = { 0 };

		if (!first[i])
			continue;
		stops = !p->o->dry_run &&
			method_stops_before(u->document->method);
		if (stops && service_stop(u->service, u->services,
					  p->o->cancel, &why) < 0) {
			fail_writer(p, u->pick->writer, &why);
			continue;
		}
		rc = restore_writer(p, i, e);
		if (stops &&
		    service_start(u->service, u->services, &why) < 0)
			fail_writer(p, u->pick->writer, &why);
	}
	mem_free(first);
	return rc;
}

/* --- telling the writers ---------------------------------------------------- */

/* What became of it, and a second word if it is not where it was. */
static const char *
status_of(const struct unit *u)
{
	bool alternate = u->verdict == VERDICT_ALTERNATE;

	if (u->verdict == VERDICT_STAGED && u->done)
		return "none staged"; /* where it belongs nothing has changed */
	if (u->done)
		return alternate ? "all alternate" : "all";
	if (!u->touched)
		return "none";
	return alternate ? "failed alternate" : "failed";
}

static int
tell_outcomes(struct pass *p, struct err *e)
{
	struct round_outcome *v = mem_array(p->units + 1, sizeof(*v));
	size_t n = 0;
	size_t i;
	int rc;

	if (v == NULL)
		return err_nomem(e);
	for (i = 0; i < p->units; i++) {
		const struct unit *u = &p->unit[i];

		if (!u->registered || !u->told)
			continue;
		v[n].writer = u->pick->writer;
		v[n].component = u->pick->component;
		v[n].succeeded = u->done;
		v[n].restore = status_of(u);
		n++;
	}
	rc = client_complete(p->client, p->scene.gen->record.id,
			     p->scene.gen->number, v, n, e);
	mem_free(v);
	return rc;
}

/* A writer that fails at the very end, or is gone, has not taken them back. */
static void
judge_end(struct pass *p)
{
	size_t i;

	for (i = 0; i < p->units; i++) {
		struct unit *u = &p->unit[i];
		const struct client_writer *w =
			find_live(p->client, u->pick->writer);
		struct err why = { 0 };

		if (u->failed || !u->told ||
		    (w != NULL && w->state == PART_TAKING))
			continue;
		if (w == NULL || w->state != PART_FAILED)
			(void)err_set(&why, ERR_USAGE,
				      "the files are there, but the writer had "
				      "ended before it was told so");
		else
			(void)err_set(&why, ERR_USAGE,
				      "the files are there, but the writer "
				      "failed at %s%s%s",
				      event_name(w->failed_at),
				      w->text != NULL ? ": " : "",
				      w->text != NULL ? w->text : "");
		give_up(p, u, &why);
	}
}

static void
restart_services(struct pass *p)
{
	size_t i;

	for (i = 0; i < p->units; i++) {
		const struct unit *u = &p->unit[i];
		struct err why = { 0 };

		if (!method_restarts_after(u->document->method) ||
		    !is_first(p, i))
			continue;
		if (service_stop(u->service, u->services, p->o->cancel, &why) <
			    0 ||
		    service_start(u->service, u->services, &why) < 0)
			fail_writer(p, u->pick->writer, &why);
	}
}

/* --- a pass ----------------------------------------------------------------- */

static int
begin(struct pass *p, struct err *e)
{
	const struct record *rec = &p->scene.gen->record;
	const struct round_begin b = {
		.kind = ROUND_RESTORE,
		.type = p->scene.dossier.type,
		.set = rec->set,
	};
	bool live;

	if (client_open(p->o->repository, rec->repository_id, p->o->cancel,
			&p->client, &live, e) < 0 ||
	    client_begin(p->client, &b, e) < 0)
		return -1;
	return client_identify(p->client, e);
}

static int
prepare(struct pass *p, struct err *e)
{
	size_t i;

	for (i = 0; i < p->units; i++)
		if (!p->unit[i].failed && p->unit[i].told &&
		    announce(p, &p->unit[i], e) < 0)
			return -1;
	if (client_prepare(p->client, e) < 0)
		return -1;
	for (i = 0; i < p->units; i++)
		if (!p->unit[i].failed)
			judge_presence(p, &p->unit[i]);
	return listen_to(p, e);
}

static int
run_phases(struct pass *p, struct err *e)
{
	struct err why = { 0 };
	size_t i;
	int rc;

	if (begin(p, e) < 0)
		return -1;
	for (i = 0; i < p->units; i++) {
		if (learn_writer(p, &p->unit[i], e) < 0)
			return -1;
		judge_presence(p, &p->unit[i]);
	}
	if (p->o->dry_run)
		return restore_all(p, e);
	if (prepare(p, e) < 0)
		return -1;
	rc = restore_all(p, &why);
	/* However it went, who was told of the beginning is told of the end. */
	if (tell_outcomes(p, &why) < 0)
		rc = -1;
	if (rc == 0)
		judge_end(p);
	restart_services(p);
	if (rc < 0)
		err_move(e, &why);
	return rc;
}

/* Images build on each other: behind one that failed comes none. */
static void
note_failed(const struct pass *p, const struct unit *u)
{
	p->out->failed++;
	u->pick->failed = true;
	if (!u->last)
		tell(p, u, "nor is what later generations have of it");
}

static void
count(const struct pass *p)
{
	const struct unit *u;
	size_t i;

	for (i = 0; i < p->units; i++) {
		u = &p->unit[i];
		p->out->components++;
		if (u->done)
			u->pick->went = u->verdict;
		if (u->failed)
			note_failed(p, u);
		else if (p->o->dry_run)
			continue;
		else if (u->verdict == VERDICT_STAGED)
			p->out->staged++;
		else
			p->out->restored++;
	}
}

/* --- all of it -------------------------------------------------------------- */

struct run {
	struct store *store;
	struct view_gen *gen; /* that was asked for */
	const struct restore_writers_options *o;
	struct restore_writers_result *out;
	struct picks picks;
	const struct scene *scene; /* of gen */
};

/* A record does not know the number of its own generation. */
static uint32_t
image_number(const struct run *r, const struct dossier_ref *ref)
{
	return ref->number != 0 ? ref->number : r->gen->number;
}

/* Does the pick have an image in this generation?  *last: it is its last. */
static bool
has_image(const struct run *r, const struct pick *k, uint32_t number,
	  bool *last)
{
	const struct dossier_component *c;
	size_t w;
	size_t i;

	*last = number == r->gen->number;
	if (pick_find(k, r->scene, &w, &c, NULL) < 0)
		return false;
	if (c->images <= 1)
		return *last;
	for (i = 0; i < c->images; i++)
		if (image_number(r, &c->image[i]) == number) {
			*last = i + 1 == c->images;
			return true;
		}
	return false;
}

/* What cannot be done is found out before any writer is told of anything. */
static int
make_units(struct run *r, struct pass *p, struct err *e)
{
	bool last;
	size_t i;

	p->unit = mem_array(r->picks.count + 1, sizeof(*p->unit));
	if (p->unit == NULL)
		return err_nomem(e);
	for (i = 0; i < r->picks.count; i++) {
		if (r->picks.v[i].failed ||
		    !has_image(r, &r->picks.v[i], p->scene.gen->number, &last))
			continue;
		p->unit[p->units].last = last;
		if (make_unit(p, &p->unit[p->units++], &r->picks.v[i], e) < 0)
			return -1;
	}
	return 0;
}

static int
run_pass(struct run *r, struct view_gen *gen, struct err *e)
{
	struct pass p = { .store = r->store, .o = r->o, .out = r->out };
	size_t i;
	int rc;

	if (scene_open(&p.scene, gen, e) < 0)
		return -1;
	rc = make_units(r, &p, e);
	if (rc == 0 && p.units > 0)
		rc = run_phases(&p, e);
	client_close(p.client);
	if (rc == 0)
		count(&p);
	for (i = 0; i < p.units; i++)
		clear_unit(&p.unit[i]);
	mem_free(p.unit);
	scene_clear(&p.scene);
	return rc;
}

/* The lowest number above `above` in which a pick has an image; 0: none. */
static uint32_t
next_image(const struct run *r, uint32_t above,
	   const struct dossier_ref **ref)
{
	const struct dossier_component *c;
	uint32_t best = 0;
	size_t i;
	size_t k;
	size_t w;

	for (i = 0; i < r->picks.count; i++) {
		if (pick_find(&r->picks.v[i], r->scene, &w, &c, NULL) < 0)
			continue;
		for (k = 0; c->images > 1 && k < c->images; k++) {
			uint32_t n = image_number(r, &c->image[k]);

			if (n <= above || n >= r->gen->number ||
			    (best != 0 && n >= best))
				continue;
			best = n;
			*ref = &c->image[k];
		}
	}
	return best;
}

/* The generation itself, or, when that is forgotten, what this one keeps of it. */
static int
open_image(const struct run *r, const struct dossier_ref *ref,
	   struct view_gen **out, struct err *e)
{
	struct err why = { 0 };
	int rc = view_open(r->store, ref->number, out, &why);

	if (rc == 0 && memcmp((*out)->record.id, ref->id, sizeof(ref->id)) == 0)
		return 0;
	if (rc == 0)
		view_unref(*out);
	err_clear(&why);
	rc = view_image(r->gen, ref->number, ref->id, out, e);
	if (rc < 0)
		return err_prefix(e, "an image of the data, of generation %u",
				  (unsigned)ref->number);
	if (rc == 0)
		return 0;
	return err_set(e, ERR_MISSING,
		       "an image of the data is in a generation %u that is not "
		       "there any more",
		       (unsigned)ref->number);
}

static int
run_image(struct run *r, const struct dossier_ref *ref, struct err *e)
{
	struct view_gen *gen;
	int rc;

	if (open_image(r, ref, &gen, e) < 0)
		return -1;
	rc = run_pass(r, gen, e);
	view_unref(gen);
	return rc;
}

/* Are all images there?  Half a replay is worse than none. */
static int
check_images(const struct run *r, struct err *e)
{
	const struct dossier_ref *ref = NULL;
	struct view_gen *gen;
	uint32_t number = 0;

	while ((number = next_image(r, number, &ref)) != 0) {
		if (open_image(r, ref, &gen, e) < 0)
			return -1;
		view_unref(gen);
	}
	return 0;
}

static int
run_passes(struct run *r, struct err *e)
{
	const struct dossier_ref *ref = NULL;
	uint32_t number = 0;

	if (check_images(r, e) < 0)
		return -1;
	while ((number = next_image(r, number, &ref)) != 0)
		if (run_image(r, ref, e) < 0)
			return -1;
	return run_pass(r, r->gen, e);
}

static int
check_options(const struct run *r, struct err *e)
{
	const struct restore_writers_options *o = r->o;
	bool used;
	size_t i;
	size_t k;

	for (i = 0; i < o->targets; i++) {
		used = false;
		for (k = 0; k < r->picks.count; k++)
			used |= strcmp(r->picks.v[k].writer,
				       o->target[i].writer) == 0 &&
				strcmp(r->picks.v[k].component,
				       o->target[i].component) == 0;
		if (!used)
			return err_set(e, ERR_USAGE,
				       "a new target for %s:%s, which is not "
				       "restored",
				       o->target[i].writer,
				       o->target[i].component);
	}
	return restore_words_check(o, &r->picks, e);
}

int
requester_restore(struct store *st, struct view_gen *g,
		  const struct restore_writers_options *o,
		  struct restore_writers_result *out, struct err *e)
{
	struct run r = { .store = st, .gen = g, .o = o, .out = out };
	struct scene scene = { 0 };
	int rc;

	memset(out, 0, sizeof(*out));
	if (scene_open(&scene, g, e) < 0)
		return -1;
	r.scene = &scene;
	rc = picks_make(&r.picks, &scene, o->wish, o->wishes, e);
	if (rc == 0)
		rc = check_options(&r, e);
	if (rc == 0)
		rc = run_passes(&r, e);
	picks_clear(&r.picks);
	scene_clear(&scene);
	return rc;
}
