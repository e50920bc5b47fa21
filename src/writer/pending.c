/*
 * What a reader of `declare` sees.  A state is what the journal alone can say: in
 * which backup a line counts is decided against a base, and this process knows
 * of none.  A gap is one for all that came before it, so gaps are gathered
 * first; then each line asks for the last gap of its file, its component and the
 * writer.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/party.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sorted.h"
#include "base/time.h"
#include "src/writer/desk_internal.h"
#include "src/writer/grammar.h"
#include "src/writer/pen.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX UINT64_C(65536) /* that are looked at */

/* A gap, or an event whose statements were discarded. */
struct mark {
	uint64_t seq;
	char *component, *path; /* of a gap, as in journal.h */
	uint8_t session[16];
	uint64_t event;
};

struct marks {
	struct mark *v;
	size_t count, cap;
};

struct listing {
	const char *about; /* this component alone; NULL: all */
	struct marks gap, discard;
	uint64_t all;  /* the last gap of all that the writer has */
	uint64_t from; /* entries from here on are shown */
	size_t *len;   /* bytes of each entry, from the first looked at */
	size_t entries;
	uint64_t first;
	struct buf *out;
};

/* --- marks ------------------------------------------------------------------ */

static int
add_mark(struct marks *m, const struct mark *what, struct err *e)
{
	size_t cap = m->cap == 0 ? 64 : 2 * m->cap;
	struct mark *v = m->v;

	if (m->count == m->cap) {
		v = mem_resize(v, cap, sizeof(*v));
		if (v == NULL)
			return err_nomem(e);
		m->v = v;
		m->cap = cap;
	}
	v[m->count++] = *what;
	return 0;
}

static void
clear_marks(struct marks *m)
{
	size_t i;

	for (i = 0; i < m->count; i++) {
		mem_free(m->v[i].component);
		mem_free(m->v[i].path);
	}
	mem_free(m->v);
}

static int
cmp_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	return strcmp(a, b);
}

static int
cmp_gaps(const void *x, const void *y)
{
	const struct mark *a = x;
	const struct mark *b = y;
	int c = cmp_text(a->component, b->component);

	if (c == 0)
		c = cmp_text(a->path, b->path);
	if (c == 0)
		c = (a->seq > b->seq) - (a->seq < b->seq);
	return c;
}

static int
cmp_events(const void *x, const void *y)
{
	const struct mark *a = x;
	const struct mark *b = y;
	int c = memcmp(a->session, b->session, sizeof(a->session));

	return c != 0 ? c : (a->event > b->event) - (a->event < b->event);
}

static void
sort_marks(struct marks *m, int (*cmp)(const void *, const void *))
{
	if (m->count > 1)
		qsort(m->v, m->count, sizeof(*m->v), cmp);
}

/* Is there a gap of exactly this, behind `seq`? */
static bool
has_gap(const struct marks *m, const char *component, const char *path,
	uint64_t seq)
{
	const struct mark key = { .seq = seq + 1,
				  .component = (char *)(uintptr_t)component,
				  .path = (char *)(uintptr_t)path };
	const struct mark *g;
	bool found;
	size_t i = sorted_place(&key, m->v, m->count, sizeof(*m->v), cmp_gaps,
				&found);

	if (i == m->count)
		return false;
	g = &m->v[i];
	return cmp_text(g->component, component) == 0 &&
	       cmp_text(g->path, path) == 0;
}

static bool
is_discarded(const struct marks *m, const struct journal_entry *en)
{
	struct mark key = { 0 };

	if (en->event == 0 || m->count == 0)
		return false;
	memcpy(key.session, en->session, sizeof(key.session));
	key.event = en->event;
	return bsearch(&key, m->v, m->count, sizeof(*m->v), cmp_events) != NULL;
}

/* --- two passes ------------------------------------------------------------- */

static char *
copy_text(const char *s, bool *ok)
{
	char *copy = s != NULL ? mem_strdup(s) : NULL;

	*ok = *ok && (s == NULL || copy != NULL);
	return copy;
}

static int
gather(void *ctx, const struct journal_entry *en, struct err *e)
{
	struct listing *l = ctx;
	struct mark m = { .seq = en->seq, .event = en->event };
	bool ok = true;

	if (l->entries < ENTRIES_MAX)
		l->len[l->entries++] =
			en->kind == JOURNAL_STATEMENT ? en->text_len + 64 : 512;
	memcpy(m.session, en->session, sizeof(m.session));
	if (en->kind == JOURNAL_DISCARD)
		return add_mark(&l->discard, &m, e);
	if (en->kind != JOURNAL_GAP)
		return 0;
	if (en->component == NULL) {
		l->all = en->seq;
		return 0;
	}
	m.component = copy_text(en->component, &ok);
	m.path = copy_text(en->path, &ok);
	if (ok && add_mark(&l->gap, &m, e) == 0)
		return 0;
	mem_free(m.component);
	mem_free(m.path);
	return err_nomem(e);
}

static const char *
state_of(const struct listing *l, const struct journal_entry *en,
	 const struct statement *s)
{
	const char *component;
	const char *path;

	if (is_discarded(&l->discard, en))
		return "discarded";
	if (s->kind != STATEMENT_PARTIAL_FILE)
		return "kept";
	if (s->since != SINCE_NOTHING)
		return "closed";
	statement_gap(s, &component, &path);
	if (l->all > en->seq || has_gap(&l->gap, component, NULL, en->seq) ||
	    has_gap(&l->gap, component, path, en->seq))
		return "void";
	return en->facts.known ? "open" : "unseen";
}

/* Is it about the component that was asked for, or about all? */
static bool
is_about(const struct listing *l, const char *component)
{
	return l->about == NULL || component == NULL ||
	       strcmp(l->about, component) == 0;
}

static void
show_gap(const struct journal_entry *en, struct buf *out)
{
	buf_add_str(out, "gap");
	if (en->component != NULL)
		grammar_put(out, en->component);
	if (en->component != NULL && en->path != NULL)
		grammar_put(out, en->path);
	if (en->why != NULL) {
		buf_add_str(out, " # ");
		path_show(out, en->why, strlen(en->why));
	}
}

static void
begin_line(const struct journal_entry *en, const char *state, struct buf *out)
{
	char when[TIME_TEXT_LEN];

	buf_printf(out, "%" PRIu64 " %s %s ", en->seq,
		   time_text(when, en->when, false), state);
}

static void
show_statement(const struct listing *l, const struct journal_entry *en)
{
	struct statement s = { 0 };
	bool parsed = statement_parse(&s, en->text, en->text_len, NULL) == 0;

	if (!parsed || is_about(l, s.component)) {
		begin_line(en, parsed ? state_of(l, en, &s) : "unreadable",
			   l->out);
		buf_add(l->out, en->text, en->text_len);
		buf_add_char(l->out, '\n');
	}
	statement_clear(&s);
}

static int
show(void *ctx, const struct journal_entry *en, struct err *e)
{
	struct listing *l = ctx;

	if (en->kind == JOURNAL_STATEMENT) {
		show_statement(l, en);
	} else if (en->kind == JOURNAL_GAP && is_about(l, en->component)) {
		begin_line(en, "gap", l->out);
		show_gap(en, l->out);
		buf_add_char(l->out, '\n');
	}
	return buf_ok(l->out, e);
}

/* From which of the entries on is there room for all? */
static void
choose_start(struct listing *l)
{
	size_t room = PARTY_PENDING_MAX;
	size_t i = l->entries;

	while (i > 0 && l->len[i - 1] <= room)
		room -= l->len[--i];
	l->from = l->first + i;
}

/* All of it, without the lock. */
static int
list(const struct journal_view *v, struct listing *l, struct err *e)
{
	uint64_t first = journal_view_first(v);
	uint64_t next = journal_view_next(v);

	l->first = next - first > ENTRIES_MAX ? next - ENTRIES_MAX : first;
	l->len = mem_array(ENTRIES_MAX, sizeof(*l->len));
	if (l->len == NULL)
		return err_nomem(e);
	if (journal_view_read(v, l->first, gather, l, e) < 0)
		return -1;
	sort_marks(&l->gap, cmp_gaps);
	sort_marks(&l->discard, cmp_events);
	choose_start(l);
	if (l->from > first)
		buf_printf(l->out, "# %" PRIu64 " earlier ones are not shown\n",
			   l->from - first);
	return journal_view_read(v, l->from, show, l, e);
}

static int
list_unlocked(struct party *p, const struct journal_view *v, struct listing *l,
	      struct err *e)
{
	int rc;

	(void)pthread_mutex_unlock(&p->desk->lock);
	rc = list(v, l, e);
	clear_marks(&l->gap);
	clear_marks(&l->discard);
	mem_free(l->len);
	(void)pthread_mutex_lock(&p->desk->lock);
	return rc;
}

int
party_pending(struct party *p, const char *component, struct buf *out,
	      struct err *e)
{
	struct listing l = { .about = component };
	struct journal_view *v = NULL;
	struct buf text = { 0 };
	int rc;

	if (p->removed)
		return refuse_set(e, ENOENT, "the writer was taken away");
	l.out = &text;
	party_begin_busy(p);
	rc = pen_view(p, &v, e);
	if (rc == 0)
		rc = list_unlocked(p, v, &l, e);
	if (rc == 0)
		buf_add(out, text.data, text.len);
	if (rc == 0)
		rc = buf_ok(out, e);
	party_end_busy(p);
	journal_view_free(v);
	buf_clear(&text);
	return rc;
}
