/*
 * Names of writers and components may have colons in them, so "W:C" is not
 * taken apart at one: it is compared with the names that there are, the longest
 * first to fit.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/selection.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/engine/view.h"
#include "src/requester/session_file.h"
#include "src/writer/metadata.h"

#include <string.h>

/* --- scenes ----------------------------------------------------------------- */

static int
load_document(struct scene *s, size_t i, struct err *e)
{
	const struct dossier_writer *w = &s->dossier.writer[i];
	struct buf text = { 0 };
	int rc;

	if (w->document == NULL)
		return 0;
	rc = session_file(s->gen, w->document, METADATA_LEN_MAX, &text, e);
	if (rc == 1)
		rc = err_set(e, ERR_CORRUPT, "it is not in the generation");
	if (rc == 0)
		rc = metadata_parse(&s->document[i], text.data, text.len, e);
	/* What was accepted once is damaged when it is refused now. */
	if (rc < 0 && e->kind == ERR_USAGE)
		e->kind = ERR_CORRUPT;
	if (rc < 0)
		(void)err_prefix(e, "document of %s", w->name);
	buf_clear(&text);
	return rc;
}

int
scene_open(struct scene *s, struct view_gen *gen, struct err *e)
{
	struct scene n = { .gen = gen };
	struct buf text = { 0 };
	size_t i;
	int rc;

	rc = session_file(gen, "session", DOSSIER_MAX, &text, e);
	if (rc == 1)
		rc = err_set(e, ERR_USAGE,
			     "generation %u was made without writers: restore "
			     "its files with --to",
			     (unsigned)gen->number);
	if (rc == 0)
		rc = dossier_parse(text.data, text.len, &n.dossier, e);
	buf_clear(&text);
	if (rc < 0)
		return -1;
	n.document = mem_array(n.dossier.writers + 1, sizeof(*n.document));
	if (n.document == NULL)
		rc = err_nomem(e);
	for (i = 0; rc == 0 && i < n.dossier.writers; i++)
		rc = load_document(&n, i, e);
	if (rc < 0) {
		scene_clear(&n);
		return -1;
	}
	*s = n;
	return 0;
}

void
scene_clear(struct scene *s)
{
	size_t i;

	for (i = 0; s->document != NULL && i < s->dossier.writers; i++)
		if (s->document[i] != NULL)
			metadata_free(s->document[i]);
	mem_free(s->document);
	dossier_clear(&s->dossier);
	memset(s, 0, sizeof(*s));
}

size_t
scene_writer(const struct scene *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->dossier.writers; i++)
		if (strcmp(s->dossier.writer[i].name, name) == 0)
			return i;
	return SIZE_MAX;
}

/* --- picks ------------------------------------------------------------------ */

void
picks_clear(struct picks *p)
{
	size_t i;
	size_t k;

	for (i = 0; i < p->count; i++) {
		for (k = 0; k < p->v[i].members; k++)
			mem_free(p->v[i].member[k]);
		mem_free(p->v[i].member);
		mem_free(p->v[i].writer);
		mem_free(p->v[i].component);
	}
	mem_free(p->v);
	memset(p, 0, sizeof(*p));
}

static struct pick *
find_pick(const struct picks *p, const char *writer, const char *component)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		if (strcmp(p->v[i].writer, writer) == 0 &&
		    strcmp(p->v[i].component, component) == 0)
			return &p->v[i];
	return NULL;
}

static struct pick *
new_pick(struct picks *p, const char *writer, const char *component,
	 struct err *e)
{
	size_t cap = p->cap == 0 ? 8 : p->cap * 2;
	struct pick *more;

	if (p->count == p->cap) {
		more = mem_resize(p->v, cap, sizeof(*more));
		if (more == NULL) {
			(void)err_nomem(e);
			return NULL;
		}
		p->v = more;
		p->cap = cap;
	}
	more = &p->v[p->count];
	memset(more, 0, sizeof(*more));
	more->writer = mem_strdup(writer);
	more->component = mem_strdup(component);
	if (more->writer == NULL || more->component == NULL) {
		mem_free(more->writer);
		mem_free(more->component);
		(void)err_nomem(e);
		return NULL;
	}
	p->count++;
	return more;
}

static int
add_member(struct pick *k, const char *name, struct err *e)
{
	char **more;
	size_t i;

	for (i = 0; i < k->members; i++)
		if (strcmp(k->member[i], name) == 0)
			return 0;
	more = mem_resize(k->member, k->members + 1, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	k->member = more;
	more[k->members] = mem_strdup(name);
	if (more[k->members] == NULL)
		return err_nomem(e);
	k->members++;
	return 0;
}

/* The component's pick, new or old; with `member`, only that of its set. */
static int
pick_one(struct picks *p, const struct dossier_writer *w,
	 const struct dossier_component *c, const char *member, struct err *e)
{
	struct pick *k = find_pick(p, w->name, c->name);
	size_t i;

	if (!c->succeeded)
		return err_set(e, ERR_USAGE,
			       "%s:%s did not succeed in this backup (%s): its "
			       "files are there as plain files, for --to",
			       w->name, c->name,
			       c->why != NULL ? c->why : "no reason is known");
	if (k != NULL && k->members == 0)
		return 0; /* all of it already */
	if (k == NULL) {
		k = new_pick(p, w->name, c->name, e);
		if (k == NULL)
			return -1;
	} else if (member == NULL) {
		for (i = 0; i < k->members; i++)
			mem_free(k->member[i]);
		k->members = 0;
	}
	return member == NULL ? 0 : add_member(k, member, e);
}

static int
pick_writer(struct picks *p, const struct dossier_writer *w, struct err *e)
{
	size_t before = p->count;
	size_t i;

	for (i = 0; i < w->components; i++)
		if (w->component[i].succeeded &&
		    pick_one(p, w, &w->component[i], NULL, e) < 0)
			return -1;
	for (i = 0; p->count == before && i < w->components; i++)
		if (find_pick(p, w->name, w->component[i].name) != NULL)
			return 0; /* by an earlier wish */
	if (p->count == before)
		return err_set(e, ERR_USAGE,
			       "no component of %s succeeded in this backup",
			       w->name);
	return 0;
}

/* A member of an explicit component's set, to be restored by itself. */
static int
pick_member(struct picks *p, const struct dossier_writer *w,
	    const struct metadata *m, const char *name, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const struct dossier_component *c = NULL;
	size_t index = metadata_find(m, name, strlen(name));
	bool *chosen;
	size_t set;
	size_t i;
	bool may;

	(void)path_show_in(shown, name, strlen(name));
	if (index == METADATA_NONE)
		return err_set(e, ERR_USAGE, "%s has no component %s", w->name,
			       shown);
	chosen = mem_array(m->components.count + 1, sizeof(*chosen));
	if (chosen == NULL)
		return err_nomem(e);
	for (i = 0; i < w->components; i++) {
		const char *one = w->component[i].name;
		size_t at = metadata_find(m, one, strlen(one));

		if (at != METADATA_NONE)
			chosen[at] = true;
	}
	set = metadata_managing(m, chosen, index);
	if (set != METADATA_NONE)
		c = dossier_component(w, m->components.v[set].name);
	may = metadata_may_restore(m, chosen, index);
	mem_free(chosen);
	if (c == NULL)
		return err_set(e, ERR_USAGE,
			       "%s:%s was not in this backup", w->name, shown);
	if (!may)
		return err_set(e, ERR_USAGE,
			       "%s:%s is not restored by itself, only with %s",
			       w->name, shown, c->name);
	return pick_one(p, w, c, name, e);
}

/* The writer whose name the wish begins with: the longest. */
static size_t
writer_of(const struct scene *s, const char *wish)
{
	size_t best = SIZE_MAX;
	size_t most = 0;
	size_t i;

	for (i = 0; i < s->dossier.writers; i++) {
		const char *name = s->dossier.writer[i].name;
		size_t len = strlen(name);

		if (strncmp(wish, name, len) != 0 || len < most ||
		    (wish[len] != '\0' && wish[len] != ':'))
			continue;
		best = i;
		most = len;
	}
	return best;
}

static int
take_wish(struct picks *p, const struct scene *s, const char *wish,
	  struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const struct dossier_component *c;
	const struct dossier_writer *w;
	size_t i = writer_of(s, wish);
	const char *name;

	if (i == SIZE_MAX)
		return err_set(e, ERR_USAGE,
			       "no writer %s in generation %u",
			       path_show_in(shown, wish, strlen(wish)),
			       (unsigned)s->gen->number);
	w = &s->dossier.writer[i];
	if (w->state != DOSSIER_TOOK_PART || s->document[i] == NULL)
		return err_set(e, ERR_USAGE,
			       "%s took no part in this backup (%s): its files "
			       "are there as plain files, for --to",
			       w->name,
			       w->text != NULL ? w->text : "no reason is known");
	if (wish[strlen(w->name)] == '\0')
		return pick_writer(p, w, e);
	name = wish + strlen(w->name) + 1;
	c = dossier_component(w, name);
	if (c != NULL)
		return pick_one(p, w, c, NULL, e);
	return pick_member(p, w, s->document[i], name, e);
}

/* --- dependencies ----------------------------------------------------------- */

/* What in the session stands for the component: itself, or its set. */
static const struct dossier_component *
saved_with(const struct scene *s, size_t writer, size_t component)
{
	const struct metadata *m = s->document[writer];
	const struct dossier_writer *w = &s->dossier.writer[writer];
	size_t at;
	size_t i;

	for (i = 0; i < w->components; i++) {
		at = metadata_find(m, w->component[i].name,
				   strlen(w->component[i].name));
		if (at != METADATA_NONE &&
		    metadata_is_member(m, component, at))
			return &w->component[i];
	}
	return NULL;
}

/* The other side of a dependency, of *writer; NULL: the session has none. */
static const struct dossier_component *
target_of(const struct scene *s, const struct metadata_dependency *d,
	  size_t *writer)
{
	size_t i = scene_writer(s, d->writer);
	size_t at;

	if (i == SIZE_MAX || s->dossier.writer[i].state != DOSSIER_TOOK_PART ||
	    s->document[i] == NULL)
		return NULL;
	at = metadata_find(s->document[i], d->target, strlen(d->target));
	if (at == METADATA_NONE)
		return NULL;
	*writer = i;
	return saved_with(s, i, at);
}

static int
pull(struct picks *p, const struct dossier_writer *w,
     const struct dossier_component *c, struct err *e)
{
	size_t before = p->count;

	if (pick_one(p, w, c, NULL, e) < 0)
		return -1;
	if (p->count > before)
		p->v[before].pulled = true;
	return 0;
}

/* The pick depends on this: without that it does not go back. */
static int
follow(struct picks *p, const struct scene *s, size_t pick,
       const struct metadata_dependency *d, struct err *e)
{
	size_t w;
	const struct dossier_component *c = target_of(s, d, &w);

	if (c != NULL && c->succeeded)
		return pull(p, &s->dossier.writer[w], c, e);
	return err_set(e, ERR_USAGE,
		       "%s:%s goes back with %s:%s only, which did not succeed "
		       "in this backup: its files are there as plain files, "
		       "for --to",
		       p->v[pick].writer, p->v[pick].component, d->writer,
		       d->target);
}

/* What a writer has that depends on the pick, and was in the backup. */
static int
follow_back(struct picks *p, const struct scene *s, size_t pick, size_t writer,
	    struct err *e)
{
	const struct metadata *m = s->document[writer];
	const struct dossier_component *c;
	const struct metadata_dependency *d;
	size_t other;
	size_t i;

	for (i = 0; i < m->dependencies.count; i++) {
		d = &m->dependencies.v[i];
		if (d->machine != NULL ||
		    strcmp(d->writer, p->v[pick].writer) != 0)
			continue;
		c = target_of(s, d, &other);
		if (c == NULL || strcmp(c->name, p->v[pick].component) != 0)
			continue;
		c = saved_with(s, writer, d->component);
		if (c != NULL && c->succeeded &&
		    pull(p, &s->dossier.writer[writer], c, e) < 0)
			return -1;
	}
	return 0;
}

static int
follow_both(struct picks *p, const struct scene *s, size_t pick, struct err *e)
{
	const struct metadata *m =
		s->document[scene_writer(s, p->v[pick].writer)];
	size_t set = metadata_find(m, p->v[pick].component,
				   strlen(p->v[pick].component));
	const struct metadata_dependency *d;
	size_t i;

	for (i = 0; set != METADATA_NONE && i < m->dependencies.count; i++) {
		d = &m->dependencies.v[i];
		/* What is on another machine is not ours. */
		if (d->machine == NULL &&
		    metadata_is_member(m, d->component, set) &&
		    follow(p, s, pick, d, e) < 0)
			return -1;
	}
	for (i = 0; i < s->dossier.writers; i++)
		if (s->document[i] != NULL &&
		    s->dossier.writer[i].state == DOSSIER_TOOK_PART &&
		    follow_back(p, s, pick, i, e) < 0)
			return -1;
	return 0;
}

/* Until nothing more comes in: picks are looked at in the order they came. */
static int
follow_all(struct picks *p, const struct scene *s, struct err *e)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		if (follow_both(p, s, i, e) < 0)
			return -1;
	return 0;
}

int
picks_make(struct picks *p, const struct scene *s, const char *const *wish,
	   size_t wishes, struct err *e)
{
	size_t i;

	for (i = 0; i < wishes; i++)
		if (take_wish(p, s, wish[i], e) < 0)
			return -1;
	return follow_all(p, s, e);
}

int
pick_find(const struct pick *k, const struct scene *s, size_t *writer,
	  const struct dossier_component **component, struct err *e)
{
	size_t i = scene_writer(s, k->writer);
	const struct dossier_component *c = NULL;

	if (i != SIZE_MAX && s->document[i] != NULL)
		c = dossier_component(&s->dossier.writer[i], k->component);
	if (c == NULL)
		return err_set(e, ERR_USAGE, "generation %u has no %s:%s",
			       (unsigned)s->gen->number, k->writer,
			       k->component);
	*writer = i;
	*component = c;
	return 0;
}

/* Is `name` the member, or beneath it? */
static bool
is_beneath(const char *name, const char *member)
{
	size_t len = strlen(member);

	return strncmp(name, member, len) == 0 &&
	       (name[len] == '\0' || name[len] == '/');
}

void
pick_wanted(const struct pick *k, const struct metadata *document,
	    bool *wanted)
{
	const char *name;
	size_t set = metadata_find(document, k->component,
				   strlen(k->component));
	size_t i;
	size_t n;

	for (i = 0; i < document->components.count; i++) {
		name = document->components.v[i].name;
		wanted[i] = set != METADATA_NONE &&
			    metadata_is_member(document, i, set);
		if (k->members == 0 || !wanted[i])
			continue;
		wanted[i] = false;
		for (n = 0; n < k->members; n++)
			wanted[i] |= is_beneath(name, k->member[n]);
	}
}
