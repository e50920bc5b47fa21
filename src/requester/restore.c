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

#include "base/err.h"
#include "base/mem.h"
#include "src/engine/view.h"
#include "src/requester/pass.h"
#include "src/requester/restore_words.h"
#include "src/writer/metadata.h"

#include <stdio.h>
#include <string.h>

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
		if (unit_make(p, &p->unit[p->units++], &r->picks.v[i], e) < 0)
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
		rc = pass_run(&p, e);
	client_close(p.client);
	for (i = 0; i < p.units; i++)
		unit_clear(&p.unit[i]);
	mem_free(p.unit);
	scene_clear(&p.scene);
	return rc;
}

/* The lowest number above `above` in which a pick has an image; 0: none. */
static uint32_t
next_image(const struct run *r, uint32_t above, const struct dossier_ref **ref)
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

/* Two instances of one thing: the same name up to an at sign. */
static bool
same_class(const char *a, const char *b)
{
	size_t n = strcspn(a, "@");

	return a[n] == '@' && strncmp(a, b, n + 1) == 0;
}

/* --to-writer: all that was wished for is of one writer, which lets it go. */
static int
check_move(const struct run *r, struct err *e)
{
	const char *from = r->picks.v[0].writer;
	const char *to = r->o->to_writer;
	const struct metadata *m;
	size_t i;

	if (to == NULL)
		return 0;
	for (i = 1; i < r->picks.count; i++)
		if (!r->picks.v[i].pulled &&
		    strcmp(r->picks.v[i].writer, from) != 0)
			return err_set(e, ERR_USAGE,
				       "what goes to %s can be of one writer "
				       "only, and not of %s and %s",
				       to, from, r->picks.v[i].writer);
	if (!same_class(from, to))
		return err_set(e, ERR_USAGE,
			       "%s and %s are no instances of one thing, which "
			       "have one name up to an @",
			       from, to);
	m = r->scene->document[scene_writer(r->scene, from)];
	if ((m->schema & SCHEMA_RESTORE_WITH_MOVE) == 0)
		return err_set(e, ERR_USAGE,
			       "what is of %s goes to no other writer (its "
			       "schema has no restore-with-move)",
			       from);
	return 0;
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
	if (check_move(r, e) < 0)
		return -1;
	return restore_words_check(o, &r->picks, e);
}

static void
note_pulled(const struct run *r)
{
	char text[600];
	size_t i;

	for (i = 0; i < r->picks.count && r->o->note != NULL; i++) {
		if (!r->picks.v[i].pulled)
			continue;
		(void)snprintf(text, sizeof(text),
			       "%.255s:%.255s: goes back, too: a dependency "
			       "binds it to the others",
			       r->picks.v[i].writer, r->picks.v[i].component);
		r->o->note(r->o->ctx, text);
	}
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
	if (rc == 0) {
		note_pulled(&r);
		rc = run_passes(&r, e);
	}
	picks_clear(&r.picks);
	scene_clear(&scene);
	return rc;
}
