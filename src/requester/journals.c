/*
 * journals.c
 *
 * A writer's journal is read once for all its components, from the lowest number
 * that one of them asks for: the cut of its base, or, without one, where this
 * session began (not its own cut: what is of the session alone may be said before
 * the freeze).  A journal that cannot be read, or that its writer's side has lost,
 * is as good as an empty one with a gap: nothing is known, and all is
 * read.  If that is so at the end, too, the component has not succeeded: what
 * it would have added is not known either.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/run.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "src/engine/generation.h"

#include <string.h>

void
journals_free(struct reduced *d)
{
	if (d != NULL)
		reduced_clear(d);
	mem_free(d);
}

static int
fill_input(const struct run *r, size_t i, struct reduce_input *in,
	   struct err *e)
{
	const struct run_component *c = &r->component[i];
	const struct run_writer *w = &r->writer[c->writer];
	const struct dossier_component *base = c->base.component;
	const struct dossier *made = NULL;

	memset(in, 0, sizeof(*in));
	in->document = w->document;
	in->component = r->claim[i].component;
	memcpy(in->journal, w->journal, sizeof(in->journal));
	memcpy(in->base_journal, w->journal, sizeof(in->base_journal));
	in->journal_first = w->journal_first;
	in->journal_next = w->begun;
	in->base_cut = w->begun;
	(void)hex_parse(in->session, 16, client_session(r->client));
	if (base == NULL)
		return 0;
	if (history_dossier(r->history, c->base.generation.number, &made, e) <
	    0)
		return -1;
	if (made != NULL)
		(void)hex_parse(in->base_session, 16, made->session);
	memcpy(in->base_id, c->base.generation.id, sizeof(in->base_id));
	memcpy(in->base_journal, base->journal, sizeof(in->base_journal));
	in->base_cut = base->cut;
	in->base_stamp = base->stamp;
	in->stamp_ambiguous = c->base.ambiguous;
	return 0;
}

/* The components of one writer, while its journal is read. */
struct feeding {
	struct run *r;
	size_t writer;
	struct reduce **reduce; /* per component of the run; NULL: another's */
};

/* What was refused is in the journal as a gap, with the reason behind this. */
static void
count_refused(struct run_writer *w, const struct journal_entry *en)
{
	static const char mark[] = "refused: ";
	size_t len = sizeof(mark) - 1;

	if (en->kind != JOURNAL_GAP || en->why == NULL ||
	    strncmp(en->why, mark, len) != 0)
		return;
	if (!w->refused)
		buf_printf(&w->refusal, "%s", en->why + len);
	w->refused = true;
}

static int
on_entry(void *ctx, const struct journal_entry *en, struct err *e)
{
	const struct feeding *f = ctx;

	count_refused(&f->r->writer[f->writer], en);
	return reduce_add(f->reduce, f->r->components, en, e);
}

static int
begin_writer(struct feeding *f, uint64_t *from, struct err *e)
{
	const struct run *r = f->r;
	const struct run_writer *w = &r->writer[f->writer];
	struct reduce_input in;
	size_t i;

	*from = w->begun;
	for (i = 0; i < r->components; i++) {
		if (r->component[i].writer != f->writer)
			continue;
		if (fill_input(r, i, &in, e) < 0)
			return -1;
		if (memcmp(in.base_journal, w->journal, JOURNAL_ID_LEN) == 0 &&
		    in.base_cut < *from)
			*from = in.base_cut;
		if (reduce_new(&in, &f->reduce[i], e) < 0)
			return -1;
	}
	return 0;
}

static int
end_writer(struct feeding *f, struct reduced **out, struct err *e)
{
	size_t i;

	for (i = 0; i < f->r->components; i++) {
		if (f->reduce[i] == NULL)
			continue;
		out[i] = mem_zalloc(sizeof(*out[i]));
		if (out[i] == NULL)
			return err_nomem(e);
		if (reduce_end(f->reduce[i], out[i], e) < 0)
			return -1;
	}
	return 0;
}

static void
free_reduces(struct feeding *f)
{
	size_t i;

	for (i = 0; i < f->r->components; i++) {
		reduce_free(f->reduce[i]);
		f->reduce[i] = NULL;
	}
}

/* out[i] stays NULL for the components when nothing can be known. */
static int
read_one(struct run *r, size_t writer, struct reduced **out,
	 struct reduce **scratch, struct err *e)
{
	struct feeding f = { .r = r, .writer = writer, .reduce = scratch };
	struct err why = { 0 };
	uint64_t from;
	int rc = -1;
	size_t i;

	r->writer[writer].refused = false;
	buf_reset(&r->writer[writer].refusal);
	if (begin_writer(&f, &from, &why) == 0 &&
	    client_journal(r->client, r->writer[writer].name, from, on_entry,
			   &f, &why) == 0 &&
	    end_writer(&f, out, &why) == 0)
		rc = 0;
	free_reduces(&f);
	if (rc == 0)
		return 0;
	for (i = 0; i < r->components; i++)
		if (r->component[i].writer == writer) {
			journals_free(out[i]);
			out[i] = NULL;
		}
	if (why.kind == ERR_NOMEM || why.kind == ERR_CANCELLED) {
		err_move(e, &why);
		return -1;
	}
	run_note(r, "writer %s: what it declared cannot be read: %s",
		 r->writer[writer].name, why.text);
	return 0;
}

int
journals_read(struct run *r, struct err *e)
{
	struct reduced **fresh = mem_array(r->components + 1, sizeof(*fresh));
	struct reduce **scratch =
		mem_array(r->components + 1, sizeof(*scratch));
	int rc = -1;
	size_t i;

	if (fresh == NULL || scratch == NULL) {
		err_nomem(e);
		goto out;
	}
	for (i = 0; i < r->writers; i++)
		if (r->writer[i].taking &&
		    read_one(r, i, fresh, scratch, e) < 0)
			goto out;
	for (i = 0; i < r->components; i++) {
		journals_free(r->component[i].before);
		r->component[i].before = r->component[i].reduced;
		r->component[i].reduced = fresh[i];
		fresh[i] = NULL;
	}
	rc = 0;
out:
	for (i = 0; fresh != NULL && i < r->components; i++)
		journals_free(fresh[i]);
	mem_free(fresh);
	mem_free(scratch);
	return rc;
}

void
journals_tell_refused(const struct run *r)
{
	struct run_writer *w;

	for (w = r->writer; w < r->writer + r->writers; w++)
		if (w->refused)
			run_note(r,
				 "writer %s: what it said was refused, so more "
				 "is read: %s (see asof writer log %s)",
				 w->name, buf_str(&w->refusal), w->name);
}
