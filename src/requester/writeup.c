/*
 * writeup.c
 *
 * The dossier is put together from what the run knows, printed, and left in the
 * session's own tree.  What it points to belongs to the run.
 *
 * Components that did not take part are in it, too, as far as there is something
 * to be remembered of them: counts, and that an audit found a lie.  Those are
 * also the components of a writer that is absent, or failed, and of which no
 * document is known: whatever is forgotten, the newest record has it all.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/run.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/engine/generation.h"
#include "src/engine/graft.h"
#include "src/writer/metadata.h"

#include <stdio.h>
#include <string.h>

struct desk_work {
	struct run *r;
	struct graft *g;
	size_t ranges; /* files of ranges so far */
};

static bool
updates_history(const struct run *r)
{
	return r->type == METADATA_FULL || r->type == METADATA_INCREMENTAL;
}

/* --- files --------------------------------------------------------------- */

/* As text, or as a ranges file of its own when that would be long. */
static const char *
say_ranges(struct desk_work *d, const struct reduce_file *f, struct err *e)
{
	struct buf text = { 0 };
	char name[40];
	const char *said = NULL;

	ranges_print(&f->ranges, &text);
	if (buf_ok(&text, e) < 0)
		goto out;
	if (text.len <= DOSSIER_RANGES_MAX) {
		said = run_text(d->r, "%s", e, buf_str(&text));
		goto out;
	}
	buf_reset(&text);
	ranges_print_file(&f->ranges, &text);
	(void)snprintf(name, sizeof(name), "ranges/%zu", ++d->ranges);
	if (buf_ok(&text, e) == 0 &&
	    graft_session(d->g, name, text.data, text.len, e) == 0)
		said = run_text(d->r, "file=%s", e, name);
out:
	buf_clear(&text);
	return said;
}

static int
add_files(struct desk_work *d, size_t i, struct dossier_component *c,
	  struct err *e)
{
	const struct reduced *now = d->r->component[i].reduced;
	struct dossier_file *f;
	size_t k;

	f = run_take(d->r,
		     (now->files + now->differenced_count + 1) * sizeof(*f), e);
	if (f == NULL)
		return -1;
	c->file = f;
	for (k = 0; k < now->files; k++) {
		if (now->file[k].lines == 0)
			continue; /* nobody declared it: there was a gap */
		f->path = now->file[k].path;
		f->metadata = now->file[k].metadata;
		f->bytes_read =
			writer_claims_read(d->r->claims, i, k, &f->refused);
		f->ranges = say_ranges(d, &now->file[k], e);
		if (f->ranges == NULL)
			return -1;
		f++;
	}
	for (k = 0; k < now->differenced_count; k++, f++) {
		f->differenced = true;
		f->path = now->differenced[k].dir;
		f->pattern = now->differenced[k].pattern;
		f->recursive = now->differenced[k].recursive;
		f->has_newer = now->differenced[k].has_newer;
		f->newer = now->differenced[k].newer;
	}
	c->files = (size_t)(f - c->file);
	return 0;
}

static int
add_attachments(struct desk_work *d, size_t i, struct dossier_component *c,
		struct err *e)
{
	const struct reduced *now = d->r->component[i].reduced;
	size_t k;

	c->attachment = run_take(
		d->r, (now->attachments + 1) * sizeof(*c->attachment), e);
	if (c->attachment == NULL)
		return -1;
	c->attachments = now->attachments;
	for (k = 0; k < now->attachments; k++) {
		c->attachment[k].path = now->attachment[k].path;
		c->attachment[k].from = now->attachment[k].from;
	}
	return 0;
}

/* --- what is carried ----------------------------------------------------- */

static int
add_carried(struct desk_work *d, size_t i, struct dossier_component *c,
	    struct err *e)
{
	const struct claims_component *claim = &d->r->claim[i];
	const struct metadata *m = claim->document;
	size_t k;

	if (!claim->carried || metadata_is_whole(claim->effective))
		return 0;
	c->carried = true;
	c->carried_set =
		run_take(d->r, m->files.count * sizeof(*c->carried_set), e);
	if (c->carried_set == NULL)
		return -1;
	for (k = 0; k < m->files.count; k++)
		if (writer_claims_is_carried(d->r->claims, i, k))
			c->carried_set[c->carried_sets++] = k;
	return 0;
}

/* The earlier images, and this one: its number is not known yet. */
static int
add_images(struct desk_work *d, size_t i, struct dossier_component *c,
	   struct err *e)
{
	const struct run_component *own = &d->r->component[i];
	struct dossier_ref *image;

	if (!c->succeeded || own->images == 0)
		return 0;
	image = run_take(d->r, (own->images + 1) * sizeof(*image), e);
	if (image == NULL)
		return -1;
	memcpy(image, own->image, own->images * sizeof(*image));
	memcpy(image[own->images].id, d->r->facts.id, 16);
	c->image = image;
	c->images = own->images + 1;
	return 0;
}

/* --- components ---------------------------------------------------------- */

static void
count(const struct run *r, struct dossier_component *c)
{
	if (!c->succeeded)
		return;
	if (updates_history(r) && c->effective == METADATA_FULL) {
		c->incrementals = 0;
		c->differentials = 0;
	} else if (r->type == METADATA_INCREMENTAL) {
		c->incrementals++;
	} else if (r->type == METADATA_DIFFERENTIAL &&
		   c->effective == METADATA_DIFFERENTIAL) {
		c->differentials++;
	}
}

/*
 * A lie is forgotten when all was read whole, and that is what the next backup
 * compares with.
 */
static bool
stays_untrusted(const struct run *r, const struct claims_component *claim,
		const struct dossier_component *c)
{
	if (claim->lied)
		return true;
	return claim->untrusted &&
	       !(c->succeeded && !c->carried && updates_history(r));
}

static void
say_base(const struct run_component *own, struct dossier_component *c)
{
	const struct dossier_component *base = own->base.component;

	if (base == NULL)
		return;
	c->base = own->base.generation;
	if (!c->succeeded)
		return;
	c->previous_stamp = base->stamp;
	c->previous_len = base->stamp_len;
}

static int
add_component(struct desk_work *d, size_t i, struct dossier_component *c,
	      struct err *e)
{
	struct run *r = d->r;
	const struct run_component *own = &r->component[i];
	const struct claims_component *claim = &r->claim[i];
	const struct run_writer *w = &r->writer[own->writer];
	const struct reduced *now = own->reduced;

	c->name = own->name;
	c->effective = claim->effective;
	c->succeeded = !claim->failed;
	c->why = claim->why;
	c->incrementals = w->incrementals[claim->component];
	c->differentials = w->differentials[claim->component];
	count(r, c);
	memcpy(c->journal, w->journal, sizeof(c->journal));
	c->cut = w->cut;
	say_base(own, c);
	if (add_carried(d, i, c, e) < 0 || add_images(d, i, c, e) < 0)
		return -1;
	c->untrusted = stays_untrusted(r, claim, c);
	if (now == NULL)
		return 0;
	if (c->succeeded && now->stamp != NULL) {
		c->stamp = now->stamp;
		c->stamp_len = strlen(now->stamp);
	}
	if (c->succeeded)
		c->metadata = now->metadata;
	if (add_files(d, i, c, e) < 0)
		return -1;
	return c->succeeded ? add_attachments(d, i, c, e) : 0;
}

/* --- what is remembered --------------------------------------------------- */

static bool
has_component(const struct dossier_writer *w, const char *name)
{
	size_t i;

	for (i = 0; i < w->components; i++)
		if (strcmp(w->component[i].name, name) == 0)
			return true;
	return false;
}

/* One that does not take part; there is room for it. */
static int
remember(const struct run *r, const char *name, struct dossier_writer *out,
	 struct err *e)
{
	struct dossier_component *c = &out->component[out->components];
	struct history_memory m;

	if (has_component(out, name) ||
	    out->components == METADATA_COMPONENTS_MAX)
		return 0;
	if (history_memory(r->history, out->name, name, &m, e) < 0)
		return -1;
	if (m.incrementals == 0 && m.differentials == 0 && !m.untrusted)
		return 0;
	c->name = name;
	c->effective = r->type;
	c->why = "it did not take part";
	c->incrementals = m.incrementals;
	c->differentials = m.differentials;
	c->untrusted = m.untrusted;
	out->components++;
	return 0;
}

static int
remember_all(const struct run *r, const struct metadata *m,
	     const struct dossier_writer *before, struct dossier_writer *out,
	     struct err *e)
{
	size_t i;

	for (i = 0; m != NULL && i < m->components.count; i++)
		if (remember(r, m->components.v[i].name, out, e) < 0)
			return -1;
	for (i = 0; before != NULL && i < before->components; i++)
		if (remember(r, before->component[i].name, out, e) < 0)
			return -1;
	return 0;
}

/* --- writers ------------------------------------------------------------- */

static void
say_state(const struct run *r, size_t i, struct dossier_writer *out)
{
	const struct run_writer *w = &r->writer[i];

	if (w->state == PART_FAILED || (w->state == PART_GONE && w->taking)) {
		out->state = DOSSIER_FAILED;
		out->failed_at = w->failed_at;
		out->failure = w->failure;
		out->text = w->said;
	} else if (w->taking) {
		out->state = DOSSIER_TOOK_PART;
		out->text = r->choice[i].why;
	} else if (w->state == PART_ABSENT && r->choice[i].any) {
		out->state = DOSSIER_ABSENT;
	} else {
		out->state = DOSSIER_LEFT_OUT;
		out->text = r->choice[i].why;
	}
}

static int
keep_document(struct desk_work *d, const struct run_writer *w,
	      struct dossier_writer *out, struct err *e)
{
	if (w->document == NULL)
		return 0;
	out->document = run_text(d->r, "documents/%s", e, w->name);
	if (out->document == NULL)
		return -1;
	return graft_session(d->g, out->document, w->text.data, w->text.len, e);
}

static int
add_writer(struct desk_work *d, size_t i, struct dossier_writer *out,
	   struct err *e)
{
	struct run *r = d->r;
	const struct run_writer *w = &r->writer[i];
	const struct dossier_writer *before = NULL;
	size_t room = w->document != NULL ? w->document->components.count : 0;
	size_t k;

	out->name = w->name;
	out->owner = w->owner;
	out->effective = r->choice[i].effective;
	say_state(r, i, out);
	if (w->taking && keep_document(d, w, out, e) < 0)
		return -1;
	if (history_writer(r->history, w->name, &before, e) < 0)
		return -1;
	room += before != NULL ? before->components : 0;
	out->component = run_take(r, room * sizeof(*out->component), e);
	if (out->component == NULL)
		return -1;
	for (k = 0; k < r->components; k++)
		if (r->component[k].writer == i &&
		    add_component(d, k, &out->component[out->components++], e) <
			    0)
			return -1;
	return remember_all(r, w->document, before, out, e);
}

/* --- all of it ----------------------------------------------------------- */

/* The lists of files are for people and some restores: rather without them. */
static void
print(const struct run *r, struct dossier *d, struct buf *out)
{
	size_t i;
	size_t k;

	dossier_print(d, out);
	if (out->failed || out->len <= DOSSIER_MAX)
		return;
	run_note(r, "the session's record is too long: it is kept without "
		    "its lists of files");
	for (i = 0; i < d->writers; i++)
		for (k = 0; k < d->writer[i].components; k++)
			d->writer[i].component[k].files = 0;
	buf_reset(out);
	dossier_print(d, out);
}

int
writeup(struct run *r, struct graft *g, struct err *e)
{
	struct desk_work work = { .r = r, .g = g };
	struct dossier d = { .type = r->type, .writers = r->writers };
	struct buf text = { 0 };
	const char *id = client_session(r->client);
	int rc = -1;
	size_t i;

	memcpy(d.session, id, strnlen(id, sizeof(d.session) - 1));
	d.writer = run_take(r, (r->writers + 1) * sizeof(*d.writer), e);
	if (d.writer == NULL)
		return -1;
	for (i = 0; i < r->writers; i++)
		if (add_writer(&work, i, &d.writer[i], e) < 0)
			return -1;
	print(r, &d, &text);
	if (buf_ok(&text, e) == 0)
		rc = graft_session(g, "session", text.data, text.len, e);
	buf_clear(&text);
	return rc;
}
