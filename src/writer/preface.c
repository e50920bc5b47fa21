#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/preface.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/writer/grammar.h"
#include "src/writer/round.h"
#include "src/writer/wire.h"

#include <string.h>

#define WORDS_MAX (4 * ROUND_PLACES_MAX) /* of one list */

/* --- words ------------------------------------------------------------------- */

int
words_keep(struct words *w, const char *s, struct err *e)
{
	char **more;

	if (w->count >= WORDS_MAX)
		return err_set(e, ERR_USAGE, "too many words");
	more = mem_resize(w->v, w->count + 1, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	w->v = more;
	more[w->count] = mem_strdup(s);
	if (more[w->count] == NULL)
		return err_nomem(e);
	w->count++;
	return 0;
}

bool
words_have(const struct words *w, const char *s)
{
	size_t i;

	for (i = 0; i < w->count; i++)
		if (strcmp(w->v[i], s) == 0)
			return true;
	return false;
}

void
words_clear(struct words *w)
{
	size_t i;

	for (i = 0; i < w->count; i++)
		mem_free(w->v[i]);
	mem_free(w->v);
	*w = (struct words){ 0 };
}

/* --- lines -------------------------------------------------------------------- */

/* Keep a text that need not be there; where it is, or NULL. */
static int
keep(struct preface *p, const char *s, const char **out, struct err *e)
{
	*out = NULL;
	if (s == NULL)
		return 0;
	if (words_keep(&p->text, s, e) < 0)
		return -1;
	*out = p->text.v[p->text.count - 1];
	return 0;
}

/* place W C DIR PLACE */
static int
take_place(struct preface *p, const struct grammar_line *l, struct err *e)
{
	struct round_place *more;
	struct round_place at = { 0 };

	if (l->count != 5)
		return err_set(e, ERR_USAGE, "a place is of a directory");
	more = mem_resize(p->place, p->places + 1, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	p->place = more;
	if (keep(p, l->word[1].s, &at.writer, e) < 0 ||
	    keep(p, l->word[2].s, &at.component, e) < 0 ||
	    keep(p, l->word[3].s, &at.dir, e) < 0 ||
	    keep(p, l->word[4].s, &at.place, e) < 0)
		return -1;
	more[p->places++] = at;
	return 0;
}

/* outcome W C yes|no [restore=WORD] [metadata=TEXT] */
static int
take_outcome(struct preface *p, const struct grammar_line *l, struct err *e)
{
	struct round_outcome *more;
	struct round_outcome o = { 0 };

	if (l->count < 4)
		return err_set(e, ERR_USAGE, "an outcome is of a component");
	more = mem_resize(p->outcome, p->outcomes + 1, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	p->outcome = more;
	if (keep(p, l->word[1].s, &o.writer, e) < 0 ||
	    keep(p, l->word[2].s, &o.component, e) < 0 ||
	    keep(p, wire_text(l, "restore"), &o.restore, e) < 0 ||
	    keep(p, wire_text(l, "metadata"), &o.metadata, e) < 0)
		return -1;
	o.succeeded = strcmp(l->word[3].s, "yes") == 0;
	more[p->outcomes++] = o;
	return 0;
}

int
preface_take(struct preface *p, const struct grammar_line *l, struct err *e)
{
	const char *word = l->word[0].s;

	if (strcmp(word, "outcome") == 0)
		return take_outcome(p, l, e);
	if (strcmp(word, "place") == 0)
		return take_place(p, l, e);
	if (l->count != 2)
		return 1;
	if (strcmp(word, "volume") == 0)
		return words_keep(&p->volume, l->word[1].s, e);
	if (strcmp(word, "grant") == 0)
		return words_keep(&p->grant, l->word[1].s, e);
	if (strcmp(word, "service") == 0)
		return words_keep(&p->service, l->word[1].s, e);
	return 1;
}

void
preface_clear(struct preface *p)
{
	words_clear(&p->volume);
	words_clear(&p->grant);
	words_clear(&p->service);
	words_clear(&p->text);
	mem_free(p->outcome);
	mem_free(p->place);
	*p = (struct preface){ 0 };
}
