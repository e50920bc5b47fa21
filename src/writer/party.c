/*
 * What a writer may say, and when; how a stamp and an answer are said.  How what
 * it says comes into its journal is in taking.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/party.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/time.h"
#include "src/writer/desk_internal.h"
#include "src/writer/grammar.h"
#include "src/writer/intake.h"
#include "src/writer/metadata.h"
#include "src/writer/partylog.h"
#include "src/writer/pen.h"
#include "src/writer/refuse.h"
#include "src/writer/round.h"
#include "src/writer/statement.h"

#include <errno.h>
#include <string.h>

#define SHOWN(name) path_show_in((char[PATH_SHOW_LEN]){ 0 }, name, strlen(name))

/* --- the session ------------------------------------------------------------ */

struct party_component *
party_component(struct party *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->components; i++)
		if (strcmp(p->component[i].name, name) == 0)
			return &p->component[i];
	return NULL;
}

/*
 * The window is set when prepare-backup is sent: until it is delivered the
 * writer knows nothing of it, and answers for nothing.
 */
static bool
is_in_window(const struct party *p)
{
	const struct mailbox *m = &p->mailbox;

	return p->window && !(m->event == EVENT_PREPARE_BACKUP &&
			      m->delivered_ns == 0);
}

void
party_put_moment(const struct party *p, struct journal_entry *en)
{
	en->when = time_now();
	en->window = is_in_window(p);
	if (p->session == NULL)
		return;
	memcpy(en->session, p->session->raw_id, sizeof(en->session));
	if (mailbox_is_open(&p->mailbox))
		en->event = p->mailbox.id;
}

/* --- gaps and refusals ------------------------------------------------------ */

void
party_gap(struct party *p, const char *component, const char *path,
	  const char *why)
{
	struct err e = { 0 };

	if (pen_gap(p, component, path, why, &e) < 0)
		party_log(p, "no gap in the journal: %s", e.text);
}

void
party_refuse(struct party *p, const struct statement *s, const void *line,
	     size_t len, const struct err *why)
{
	const char *component;
	const char *path;
	struct buf reason = { 0 };

	if (p->removed)
		return;
	statement_gap(s, &component, &path);
	buf_printf(&reason, "refused: %s", why->text);
	party_gap(p, component, path, buf_str(&reason));
	buf_clear(&reason);
	partylog_line(p, "refused", line, len, why->text);
}

/* --- judging a statement ---------------------------------------------------- */

/* Is the file in a file set of another writer's? */
static int
judge_others(const struct party *p, const char *path, struct err *e)
{
	const struct desk *d = p->desk;
	size_t i;
	size_t k;

	for (i = 0; i < d->parties; i++) {
		const struct metadata *m = d->party[i]->document;

		if (d->party[i] == p || m == NULL)
			continue;
		for (k = 0; k < m->files.count; k++)
			if (metadata_fits(&m->files.v[k].spec, path))
				return refuse_set(
					e, EINVAL, "a file of writer %s: %s",
					d->party[i]->name, SHOWN(path));
	}
	return 0;
}

/* Is it about a restore?  Those stand together among the kinds. */
static bool
is_restore(enum statement_kind kind)
{
	return kind > STATEMENT_GAP && kind < STATEMENT_BEGIN;
}

static bool
is_backup_only(enum statement_kind kind)
{
	return kind == STATEMENT_BACKUP_STAMP ||
	       kind == STATEMENT_BACKUP_METADATA || kind == STATEMENT_ATTACH;
}

/* Is this the time for it? */
static int
judge_time(const struct party *p, const struct statement *s, struct err *e)
{
	const struct mailbox *m = &p->mailbox;

	if (is_backup_only(s->kind) &&
	    (p->session == NULL || p->session->begin.kind == ROUND_RESTORE ||
	     !p->edits))
		return refuse_set(e, EBUSY,
				  "no backup is under way that could take it");
	if (is_restore(s->kind) &&
	    (p->session == NULL || p->session->begin.kind != ROUND_RESTORE ||
	     m->event != EVENT_PRE_RESTORE || !mailbox_is_open(m)))
		return refuse_set(e, EBUSY,
				  "only between pre-restore and its answer");
	return 0;
}

/* The component's part in the session, for what belongs to sessions only. */
static int
judge_session(struct party *p, const struct statement *s, struct err *e)
{
	const struct party_component *c;

	if (!is_backup_only(s->kind) && !is_restore(s->kind))
		return 0;
	if (judge_time(p, s, e) < 0)
		return -1;
	c = party_component(p, s->component);
	if (c == NULL)
		return refuse_set(e, ENOENT,
				  "component %s is not in this session",
				  SHOWN(s->component));
	if (s->kind == STATEMENT_BACKUP_METADATA && c->metadata != NULL &&
	    strcmp(c->metadata, s->text) != 0)
		return refuse_set(e, EEXIST,
				  "the metadata of component %s was said",
				  SHOWN(s->component));
	return 0;
}

/* The type of the session that the component is in; 0: in none. */
static enum metadata_type
type_of(struct party *p, const struct statement *s)
{
	const struct party_component *c;

	if (p->session == NULL || !p->window || s->component == NULL)
		return 0;
	c = party_component(p, s->component);
	return c != NULL ? (enum metadata_type)c->type : 0;
}

int
party_check(struct party *p, struct statement *s, struct err *e)
{
	const char *const *v;
	size_t n;

	if (p->removed)
		return refuse_set(e, ENOENT, "the writer was taken away");
	if (p->document == NULL)
		return refuse_set(e, ENOENT,
				  "no such component: the writer has no "
				  "document");
	if (party_grants(p, &v, &n) &&
	    metadata_statement_granted(s, v, n, e) < 0)
		return -1;
	if (metadata_judge(p->document, s, type_of(p, s), e) < 0)
		return -1;
	if (s->path != NULL && s->kind != STATEMENT_DIFFERENCED_FILE &&
	    s->kind != STATEMENT_GAP && judge_others(p, s->path, e) < 0)
		return -1;
	return judge_session(p, s, e);
}

/* --- as the sink of an intake ----------------------------------------------- */

static int
sink_check(void *ctx, struct statement *s, struct err *e)
{
	return party_check(ctx, s, e);
}

static int
sink_accept(void *ctx, struct statement *const *s, size_t n, struct err *e)
{
	return party_accept(ctx, s, n, e);
}

static void
sink_refused(void *ctx, const struct statement *s, const void *line, size_t len,
	     const struct err *why)
{
	party_refuse(ctx, s, line, len, why);
}

void
party_sink(struct party *p, struct intake_sink *out)
{
	out->begin = NULL;
	out->check = sink_check;
	out->accept = sink_accept;
	out->refused = sink_refused;
	out->ctx = p;
}

/* --- stamps and answers ----------------------------------------------------- */

int
party_stamp(struct party *p, const char *component, const void *text,
	    size_t len, struct err *e)
{
	struct statement s = { 0 };
	struct statement *one = &s;
	struct buf line = { 0 };
	struct err why = { 0 };
	size_t cut = len;
	int rc = -1;

	buf_add_str(&line, "backup-stamp");
	grammar_put(&line, component);
	if (statement_stamp(text, &cut, &why) == 0) {
		buf_add_char(&line, ' ');
		grammar_quote_always(&line, text, cut);
		if (buf_ok(&line, &why) == 0 &&
		    statement_parse(&s, line.data, line.len, &why) == 0)
			rc = party_accept(p, &one, 1, &why);
	}
	if (rc < 0) {
		/* Too long a line is not understood as far as we do. */
		if (s.component == NULL)
			(void)statement_parse(&s, line.data,
					      strcspn(buf_str(&line), "\""),
					      NULL);
		party_refuse(p, &s, line.data, line.len, &why);
		err_move(e, &why);
	}
	statement_clear(&s);
	buf_clear(&line);
	return rc;
}

/* What was said in an event that the writer failed does not count. */
static void
discard(struct party *p)
{
	uint64_t event = p->mailbox.id;
	size_t i;

	for (i = 0; i < p->components; i++) {
		struct party_component *c = &p->component[i];

		if (c->stamp_event == event) {
			mem_free(c->stamp);
			c->stamp = NULL;
			c->stamp_len = 0;
		}
		if (c->metadata_event == event) {
			mem_free(c->metadata);
			c->metadata = NULL;
		}
	}
	if (p->session != NULL)
		pen_discard(p, p->session->raw_id, event);
}

int
party_answer(struct party *p, const void *line, size_t len, struct err *e)
{
	struct err why = { 0 };

	pen_wait(p);
	if (p->removed)
		return refuse_set(e, ENOENT, "the writer was taken away");
	if (mailbox_answer(&p->mailbox, line, len, time_monotonic_ns(), &why) <
	    0) {
		partylog_line(p, "refused", line, len, why.text);
		err_move(e, &why);
		return -1;
	}
	partylog_line(p, "answered", line, len, NULL);
	if (p->mailbox.failure != FAILURE_NONE)
		discard(p);
	desk_changed(p->desk, p);
	return 0;
}
