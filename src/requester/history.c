/*
 * history.c
 *
 * "Newest" is by number.  A dossier is read once, when the first question comes
 * to its generation; most questions are answered by the newest one or two.
 *
 * Nothing here reads a clock or trusts more than was asked: a generation whose
 * dossier cannot be read has no components, so that nothing is compared with
 * it.  One whose record cannot be read may be of any set.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/history.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/engine/generation.h"
#include "src/engine/view.h"
#include "src/requester/session_file.h"
#include "src/writer/metadata.h"

#include <string.h>

struct item {
	const struct generation *generation;
	bool asked; /* dossier is what there is */
	bool has;
	bool lost; /* there may be one */
	struct dossier dossier;
};

struct history {
	struct store *store;
	history_load_fn load;
	void *ctx;
	struct item *item; /* of the set, the newest first */
	size_t count;
};

/* --- loading ------------------------------------------------------------- */

static bool
of_set(const struct generation *g, const uint8_t *set_id)
{
	return g->damaged || set_id == NULL ||
	       memcmp(g->record.set_id, set_id, 16) == 0;
}

int
history_open_with(const struct generation_list *l, const uint8_t *set_id,
		  history_load_fn load, void *ctx, struct history **out,
		  struct err *e)
{
	struct history *h = mem_zalloc(sizeof(*h));
	size_t i;

	if (h == NULL)
		return err_nomem(e);
	h->load = load;
	h->ctx = ctx;
	h->item = mem_array(l->count + 1, sizeof(*h->item));
	if (h->item == NULL) {
		history_close(h);
		return err_nomem(e);
	}
	for (i = l->count; i-- > 0;) {
		struct item *it = &h->item[h->count];

		if (!of_set(&l->item[i], set_id))
			continue;
		it->generation = &l->item[i];
		it->asked = it->lost = l->item[i].damaged;
		h->count++;
	}
	*out = h;
	return 0;
}

void
history_close(struct history *h)
{
	size_t i;

	if (h == NULL)
		return;
	for (i = 0; i < h->count; i++)
		dossier_clear(&h->item[i].dossier);
	mem_free(h->item);
	mem_free(h);
}

static bool
ends_the_question(const struct err *e)
{
	return e->kind == ERR_NOMEM || e->kind == ERR_CANCELLED;
}

static int
load(struct history *h, struct item *it, struct err *e)
{
	struct buf text = { 0 };
	struct err why = { 0 };
	int rc;

	if (it->asked)
		return 0;
	rc = h->load(h->ctx, it->generation, &text, &why);
	if (rc == 0)
		rc = buf_ok(&text, &why);
	if (rc == 0)
		rc = dossier_parse(text.data, text.len, &it->dossier, &why);
	if (rc == 0)
		dossier_settle(&it->dossier, it->generation->number);
	buf_clear(&text);
	if (rc < 0 && ends_the_question(&why)) {
		err_move(e, &why);
		return -1;
	}
	it->has = rc == 0;
	it->lost = rc < 0;
	it->asked = true;
	err_clear(&why);
	return 0;
}

int
history_dossier(struct history *h, uint32_t number, const struct dossier **out,
		struct err *e)
{
	size_t i;

	for (i = 0; i < h->count; i++) {
		struct item *it = &h->item[i];

		if (it->generation->number != number)
			continue;
		if (load(h, it, e) < 0)
			return -1;
		*out = it->has ? &it->dossier : NULL;
		return 0;
	}
	*out = NULL;
	return 0;
}

/* What the i-th newest says of a component; *out NULL: nothing. */
static int
find(struct history *h, size_t i, const char *writer, const char *component,
     const struct dossier_component **out, struct err *e)
{
	const struct dossier_writer *w;

	*out = NULL;
	if (load(h, &h->item[i], e) < 0)
		return -1;
	if (!h->item[i].has)
		return 0;
	w = dossier_writer(&h->item[i].dossier, writer);
	if (w != NULL)
		*out = dossier_component(w, component);
	return 0;
}

/* --- bases --------------------------------------------------------------- */

/* Does a session of this type (enum generation_type) update the history? */
static bool
updates_history(unsigned session)
{
	return session == GEN_FULL || session == GEN_INCREMENTAL;
}

/*
 * May a session of type `type` compare the component with what a generation
 * of type `session` says of it?
 */
static bool
serves(unsigned type, unsigned session, const struct dossier_component *c)
{
	if (!c->succeeded)
		return false;
	switch (type) {
	case METADATA_INCREMENTAL:
		return updates_history(session) && !c->carried;
	case METADATA_DIFFERENTIAL:
		return updates_history(session) && !c->carried &&
		       c->effective == METADATA_FULL;
	case METADATA_LOG:
		return updates_history(session) || session == GEN_LOG;
	default:
		return false;
	}
}

/* Does another kept generation hold the same stamp, or may a newer one? */
static int
is_ambiguous(struct history *h, size_t mine, const char *writer,
	     const char *component, bool *out, struct err *e)
{
	const struct dossier_component *base;
	const struct dossier_component *c;
	size_t i;

	*out = false;
	if (find(h, mine, writer, component, &base, e) < 0)
		return -1;
	if (base->stamp == NULL)
		return 0;
	for (i = 0; i < h->count && !*out; i++) {
		if (i == mine)
			continue;
		if (find(h, i, writer, component, &c, e) < 0)
			return -1;
		*out = (i < mine && h->item[i].lost) ||
		       (c != NULL && c->stamp != NULL &&
			c->stamp_len == base->stamp_len &&
			memcmp(c->stamp, base->stamp, c->stamp_len) == 0);
	}
	return 0;
}

static void
refer(const struct generation *g, struct dossier_ref *out)
{
	out->number = g->number;
	memcpy(out->id, g->record.id, sizeof(out->id));
}

int
history_base(struct history *h, const char *writer, const char *component,
	     unsigned session_type, struct history_base *out, struct err *e)
{
	const struct dossier_component *c;
	struct history_base base = { 0 };
	size_t i;

	for (i = 0; i < h->count; i++) {
		const struct generation *g = h->item[i].generation;

		if (find(h, i, writer, component, &c, e) < 0)
			return -1;
		if (c == NULL ||
		    !serves(session_type, g->record.session_type, c))
			continue;
		if (is_ambiguous(h, i, writer, component, &base.ambiguous, e) <
		    0)
			return -1;
		base.component = c;
		refer(g, &base.generation);
		break;
	}
	*out = base;
	return 0;
}

/* --- images -------------------------------------------------------------- */

/* Image lists while they grow: the newest first. */
struct images {
	struct dossier_ref *ref;
	size_t count;
};

static int
add_images(struct images *l, const struct dossier_ref *from, size_t n,
	   struct err *e)
{
	struct dossier_ref *grown =
		mem_resize(l->ref, l->count + n, sizeof(*grown));
	size_t i;

	if (grown == NULL)
		return err_nomem(e);
	l->ref = grown;
	for (i = 0; i < n; i++)
		grown[l->count++] = from[n - 1 - i];
	return 0;
}

/*
 * What the i-th newest says.  1: no earlier one is needed, because all was
 * current in it, or because it says itself what came before.
 */
static int
find_images(struct history *h, size_t i, const char *writer,
	    const char *component, struct images *l, struct err *e)
{
	const struct generation *g = h->item[i].generation;
	bool updates = updates_history(g->record.session_type);
	const struct dossier_component *c;
	struct dossier_ref own;

	if (find(h, i, writer, component, &c, e) < 0)
		return -1;
	if (!updates && g->record.session_type != GEN_LOG && !g->damaged)
		return 0;
	if (h->item[i].lost)
		return err_set(e, ERR_CORRUPT,
			       "what generation %u has of it cannot be known",
			       (unsigned)g->number);
	if (c == NULL || !c->succeeded)
		return 0;
	refer(g, &own);
	if (c->images > 0)
		return add_images(l, c->image, c->images, e) < 0 ? -1 : 1;
	if (add_images(l, &own, 1, e) < 0)
		return -1;
	return updates && !c->carried;
}

int
history_images(struct history *h, const char *writer, const char *component,
	       struct dossier_ref **out, size_t *n, struct err *e)
{
	struct images l = { 0 };
	struct dossier_ref swap;
	int rc = 0;
	size_t i;

	for (i = 0; i < h->count && rc == 0; i++)
		rc = find_images(h, i, writer, component, &l, e);
	if (rc < 0) {
		mem_free(l.ref);
		return -1;
	}
	for (i = 0; i < l.count / 2; i++) {
		swap = l.ref[i];
		l.ref[i] = l.ref[l.count - 1 - i];
		l.ref[l.count - 1 - i] = swap;
	}
	*out = l.ref;
	*n = l.count;
	return 0;
}

/* --- counts and cuts ----------------------------------------------------- */

/* A lost dossier may have said this. */
static void
fear(const struct item *it, struct history_memory *m)
{
	unsigned type = it->generation->record.session_type;
	bool any = it->generation->damaged;

	m->incrementals += any || type == GEN_INCREMENTAL;
	m->differentials += any || type == GEN_DIFFERENTIAL;
	m->untrusted = true;
}

int
history_memory(struct history *h, const char *writer, const char *component,
	       struct history_memory *out, struct err *e)
{
	static const struct history_memory nothing;
	const struct dossier_component *c = NULL;
	struct history_memory m = nothing;
	size_t i;

	for (i = 0; i < h->count && c == NULL; i++) {
		if (find(h, i, writer, component, &c, e) < 0)
			return -1;
		if (h->item[i].lost)
			fear(&h->item[i], &m);
	}
	if (c != NULL) {
		m.incrementals += c->incrementals;
		m.differentials += c->differentials;
		m.untrusted = m.untrusted || c->untrusted;
	}
	*out = c != NULL ? m : nothing;
	return 0;
}

int
history_writer(struct history *h, const char *writer,
	       const struct dossier_writer **out, struct err *e)
{
	const struct dossier_writer *w = NULL;
	size_t i;

	for (i = 0; i < h->count && w == NULL; i++) {
		if (load(h, &h->item[i], e) < 0)
			return -1;
		if (h->item[i].has)
			w = dossier_writer(&h->item[i].dossier, writer);
		if (w != NULL && w->components == 0)
			w = NULL;
	}
	*out = w;
	return 0;
}

static uint64_t
lowest_of(const struct dossier_writer *w, const uint8_t journal[JOURNAL_ID_LEN],
	  uint64_t lowest)
{
	size_t i;

	for (i = 0; i < w->components; i++) {
		const struct dossier_component *c = &w->component[i];

		if (c->succeeded && c->cut < lowest &&
		    memcmp(c->journal, journal, JOURNAL_ID_LEN) == 0)
			lowest = c->cut;
	}
	return lowest;
}

int
history_lowest_cut(struct history *h, const char *writer,
		   const uint8_t journal[JOURNAL_ID_LEN], uint64_t *out,
		   struct err *e)
{
	uint64_t lowest = UINT64_MAX;
	size_t i;

	for (i = 0; i < h->count; i++) {
		const struct dossier_writer *w;

		if (load(h, &h->item[i], e) < 0)
			return -1;
		if (!h->item[i].has)
			continue;
		w = dossier_writer(&h->item[i].dossier, writer);
		if (w != NULL)
			lowest = lowest_of(w, journal, lowest);
	}
	*out = lowest;
	return 0;
}

/* --- the store ----------------------------------------------------------- */

static int
load_stored(void *ctx, const struct generation *g, struct buf *out,
	    struct err *e)
{
	struct view_gen *view = NULL;
	int rc;

	if (view_open(ctx, g->number, &view, e) < 0)
		return -1;
	rc = session_file(view, "session", DOSSIER_MAX, out, e);
	view_unref(view);
	return rc;
}

int
history_open(struct store *st, const struct generation_list *l,
	     const uint8_t *set_id, struct history **out, struct err *e)
{
	return history_open_with(l, set_id, load_stored, st, out, e);
}
