/*
 * What a writer says, judged, looked at and kept.
 *
 * A statement is accepted in three steps.  It is judged against the document
 * and what the writer was granted, with the lock held.  Then the lock is
 * released and its files are looked at as the owner, which may take its time.
 * Then it is judged again, as much may have changed, and appended.
 *
 * The facts that go into the journal are those seen first, before a young ctime
 * was waited for: what somebody writes meanwhile must differ from them.  Two
 * statements about one file may be appended in another order than looked at; the
 * later entry then has the older facts, which equal nothing any more, and the
 * file is read.  A statement counts as said in the session's window only if it
 * was that when it came and is that still when it is appended.
 *
 * A transaction is appended entry by entry with the lock held.  If that fails in
 * the middle, a gap follows what was appended: the journal's own, or the one
 * that the refusal leaves.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/party.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "base/time.h"
#include "src/writer/desk_internal.h"
#include "src/writer/grammar.h"
#include "src/writer/intake.h"
#include "src/writer/metadata.h"
#include "src/writer/partylog.h"
#include "src/writer/ranges.h"
#include "src/writer/refuse.h"
#include "src/writer/resolve.h"
#include "src/writer/round.h"
#include "src/writer/statement.h"

#include <errno.h>
#include <fcntl.h>
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

/* When something is said: in which session, event, inside its window? */
struct moment {
	uint8_t session[16];
	uint64_t event;
	bool window;
};

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

static struct moment
moment_now(const struct party *p)
{
	struct moment m = { { 0 }, 0, is_in_window(p) };

	if (p->session != NULL)
		memcpy(m.session, p->session->raw_id, sizeof(m.session));
	if (p->session != NULL && p->mailbox.state == MAIL_DELIVERED)
		m.event = p->mailbox.id;
	return m;
}

static void
put_moment(struct journal_entry *en, const struct moment *m)
{
	memcpy(en->session, m->session, sizeof(en->session));
	en->event = m->event;
	en->window = m->window;
	en->when = time_now();
}

/* The earlier of two, as far as the writer answers for it. */
static struct moment
moment_both(const struct moment *was, const struct moment *now)
{
	struct moment m = *now;

	m.window = was->window && now->window &&
		   memcmp(was->session, now->session, sizeof(m.session)) == 0;
	return m;
}

/* --- gaps and refusals ------------------------------------------------------ */

int
party_append_gap(struct party *p, const char *component, const char *path,
		 const char *why, struct err *e)
{
	struct moment now = moment_now(p);
	struct journal_entry en = { 0 };

	en.kind = JOURNAL_GAP;
	put_moment(&en, &now);
	en.component = component;
	en.path = component != NULL ? path : NULL;
	en.why = why;
	return desk_append(p, &en, e);
}

void
party_gap(struct party *p, const char *component, const char *path,
	  const char *why)
{
	struct err e = { 0 };

	if (party_append_gap(p, component, path, why, &e) < 0)
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
	     m->event != EVENT_PRE_RESTORE || m->state != MAIL_DELIVERED))
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
	if (p->journal == NULL)
		desk_open_journal(p);
	if (p->journal == NULL)
		return refuse_set(e, EIO, "the writer's journal is broken");
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

/* --- looking at files ------------------------------------------------------- */

/* A statement on its way into the journal. */
struct taking {
	const struct statement *s;
	struct buf text; /* normal form */
	struct facts facts;
	struct ranges ranges; /* of a ranges file */
	bool has_ranges;
	bool stray; /* in none of the writer's file sets */
};

/* All that is needed while the lock is released. */
struct look {
	struct resolver who;
	char **volume; /* of the session's; NULL: none, or not its window */
	size_t volumes;
	struct ts ripe; /* when all ctimes that were seen are old enough */
};

static void
clear_look(struct look *l)
{
	size_t i;

	resolver_clear(&l->who);
	for (i = 0; i < l->volumes; i++)
		mem_free(l->volume[i]);
	mem_free(l->volume);
}

static int
copy_volumes(const struct party *p, struct look *l, struct err *e)
{
	const struct round_begin *b;
	size_t i;

	if (p->session == NULL || !p->window)
		return 0;
	b = &p->session->begin;
	l->volume = mem_array(b->volumes + 1, sizeof(*l->volume));
	if (l->volume == NULL)
		return err_nomem(e);
	for (i = 0; i < b->volumes; i++) {
		l->volume[i] = mem_strdup(b->volume[i]);
		if (l->volume[i] == NULL)
			return err_nomem(e);
		l->volumes++;
	}
	return 0;
}

/* Does the device hold one of the session's sources? */
static bool
is_on_volume(const struct look *l, uint64_t dev)
{
	struct statx st;
	size_t i;

	for (i = 0; i < l->volumes; i++)
		if (src_stat(AT_FDCWD, l->volume[i], &st, NULL) == 0 &&
		    ((uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor) ==
			    dev)
			return true;
	return false;
}

static int
look_at_partial(struct look *l, struct taking *t, uint64_t *ranges_left,
		struct err *e)
{
	const struct statement *s = t->s;
	uint64_t dev = 0;

	if (resolve_facts(&l->who, s->path, &t->facts, &l->ripe, &dev, e) < 0)
		return -1;
	if (t->stray && t->facts.known && l->volumes > 0 &&
	    !is_on_volume(l, dev))
		return refuse_set(e, EINVAL,
				  "in no file set, and not on a volume of this "
				  "backup: %s",
				  SHOWN(s->path));
	if (s->ranges_path == NULL)
		return 0;
	if (resolve_ranges(&l->who, s->ranges_path, *ranges_left, &t->ranges,
			   e) < 0)
		return -1;
	t->has_ranges = true;
	/* What it took in memory, not what was left of it. */
	*ranges_left -=
		t->ranges.cap < *ranges_left ? t->ranges.cap : *ranges_left;
	return 0;
}

static int
look_at_files(struct look *l, struct taking *t, size_t n, struct err *e)
{
	uint64_t ranges_left = RANGES_MAX;
	size_t i;
	int rc = 0;

	for (i = 0; i < n && rc == 0; i++) {
		const struct statement *s = t[i].s;

		switch (s->kind) {
		case STATEMENT_PARTIAL_FILE:
			rc = look_at_partial(l, &t[i], &ranges_left, e);
			break;
		case STATEMENT_DIFFERENCED_FILE:
			rc = resolve_dir(&l->who, s->path, e);
			break;
		case STATEMENT_ATTACH:
			rc = resolve_readable(&l->who, s->from, e);
			break;
		default:
			break;
		}
	}
	return rc;
}

/*
 * Ranges files are large in memory: one call at a time copies some of a writer.
 * Releases the lock while it waits.
 */
static bool
wait_for_copying(struct party *p, struct statement *const *s, size_t n)
{
	bool any = false;
	size_t i;

	for (i = 0; i < n; i++)
		any = any || s[i]->ranges_path != NULL;
	while (any && p->copying)
		(void)pthread_cond_wait(&p->desk->changed, &p->desk->lock);
	if (any)
		p->copying = true;
	return any;
}

/* look_at_files with the lock released, and the wait for the youngest. */
static int
look_unlocked(struct party *p, struct look *l, struct taking *t, size_t n,
	      struct err *e)
{
	int rc;

	(void)pthread_mutex_unlock(&p->desk->lock);
	rc = look_at_files(l, t, n, e);
	if (rc == 0)
		resolve_wait(l->ripe);
	(void)pthread_mutex_lock(&p->desk->lock);
	return rc;
}

/* --- accepting -------------------------------------------------------------- */

static void
clear_taking(struct taking *t, size_t n)
{
	size_t i;

	for (i = 0; t != NULL && i < n; i++) {
		buf_clear(&t[i].text);
		ranges_clear(&t[i].ranges);
	}
	mem_free(t);
}

/* A copy in place of what *to is. */
static int
replace_text(char **to, const char *text, struct err *e)
{
	char *copy = mem_strdup(text);

	if (copy == NULL)
		return err_nomem(e);
	mem_free(*to);
	*to = copy;
	return 0;
}

/* The parts that a session's component is shown with. */
static int
note_in_session(struct party *p, const struct statement *s, uint64_t event,
		struct err *e)
{
	struct party_component *c = party_component(p, s->component);

	if (s->kind == STATEMENT_BACKUP_STAMP) {
		if (replace_text(&c->stamp, s->text, e) < 0)
			return -1;
		c->stamp_len = strlen(s->text);
		c->stamp_event = event;
	} else if (s->kind == STATEMENT_BACKUP_METADATA) {
		if (c->metadata != NULL)
			return 0;
		c->metadata_event = event;
		return replace_text(&c->metadata, s->text, e);
	}
	return 0;
}

static void
warn(struct party *p, const struct statement *s)
{
	size_t component;

	if (s->kind != STATEMENT_PARTIAL_FILE)
		return;
	component =
		metadata_find(p->document, s->component, strlen(s->component));
	if (metadata_excludes(p->document, s->path))
		party_log(p, "warning: excluded, so not read at all: %s",
			  s->path);
	else if (metadata_place(p->document, component, s->path) ==
		 PLACE_OUTSIDE)
		party_log(p,
			  "warning: outside of the component's file sets: %s",
			  s->path);
}

static void
make_entry(const struct taking *t, const struct moment *m,
	   struct journal_entry *en)
{
	const struct statement *s = t->s;

	put_moment(en, m);
	if (s->kind == STATEMENT_GAP) {
		en->kind = JOURNAL_GAP;
		en->component = s->component;
		en->path = s->path;
		en->why = "the writer said so";
		return;
	}
	en->kind = JOURNAL_STATEMENT;
	en->text = (const char *)t->text.data;
	en->text_len = t->text.len;
	en->facts = t->facts;
	en->ranges = t->has_ranges ? &t->ranges : NULL;
}

/* All of them or none, with one sync; then what is told of them. */
static int
append(struct party *p, const struct taking *t, size_t n,
       const struct moment *m, struct err *e)
{
	struct journal_entry *en = mem_array(n, sizeof(*en));
	size_t i;
	int rc = -1;

	if (en == NULL)
		return err_nomem(e);
	for (i = 0; i < n; i++)
		make_entry(&t[i], m, &en[i]);
	if (desk_append_all(p, en, n, e) < 0)
		goto out;
	rc = 0;
	for (i = 0; i < n && rc == 0; i++) {
		p->statements++;
		partylog_line(p, "accepted", t[i].text.data, t[i].text.len,
			      NULL);
		warn(p, t[i].s);
		rc = note_in_session(p, t[i].s, m->event, e);
	}
out:
	mem_free(en);
	return rc;
}

/* Two lines of one transaction must not say two things. */
static int
judge_together(struct statement *const *s, size_t n, struct err *e)
{
	size_t i;
	size_t k;

	for (i = 0; i < n; i++) {
		if (s[i]->kind != STATEMENT_BACKUP_METADATA)
			continue;
		for (k = i + 1; k < n; k++)
			if (s[k]->kind == STATEMENT_BACKUP_METADATA &&
			    strcmp(s[i]->component, s[k]->component) == 0 &&
			    strcmp(s[i]->text, s[k]->text) != 0)
				return refuse_set(
					e, EEXIST,
					"two metadata of component %s",
					SHOWN(s[i]->component));
	}
	return 0;
}

static int
check_all(struct party *p, struct statement *const *s, size_t n, struct err *e)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (party_check(p, s[i], e) < 0)
			return -1;
	return judge_together(s, n, e);
}

/* Fill *t from the statements. */
static int
prepare(struct party *p, struct statement *const *s, size_t n, struct taking *t,
	struct err *e)
{
	size_t component;
	size_t i;

	for (i = 0; i < n; i++) {
		t[i].s = s[i];
		statement_print(s[i], &t[i].text);
		if (buf_ok(&t[i].text, e) < 0)
			return -1;
		if (s[i]->kind != STATEMENT_PARTIAL_FILE)
			continue;
		component = metadata_find(p->document, s[i]->component,
					  strlen(s[i]->component));
		t[i].stray = metadata_place(p->document, component,
					    s[i]->path) != PLACE_OWN;
	}
	return 0;
}

int
party_accept(struct party *p, struct statement *const *s, size_t n,
	     struct err *e)
{
	struct taking *t = NULL;
	struct look l = { 0 };
	struct moment was;
	struct moment now;
	bool copies = false;
	int rc = -1;

	party_begin_busy(p);
	was = moment_now(p);
	copies = wait_for_copying(p, s, n);
	if (check_all(p, s, n, e) < 0)
		goto out;
	t = mem_array(n, sizeof(*t));
	if (t == NULL) {
		(void)err_nomem(e);
		goto out;
	}
	if (prepare(p, s, n, t, e) < 0 ||
	    resolver_set(&l.who, p->registration, !p->desk->root, e) < 0 ||
	    copy_volumes(p, &l, e) < 0 || look_unlocked(p, &l, t, n, e) < 0 ||
	    check_all(p, s, n, e) < 0)
		goto out;
	now = moment_now(p);
	now = moment_both(&was, &now);
	rc = append(p, t, n, &now, e);
	desk_changed(p->desk, p);
out:
	clear_taking(t, n);
	clear_look(&l);
	if (copies) {
		p->copying = false;
		(void)pthread_cond_broadcast(&p->desk->changed);
	}
	party_end_busy(p);
	return rc;
}

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
	struct moment m = moment_now(p);
	struct journal_entry en = { 0 };
	struct err e = { 0 };
	size_t i;

	m.event = p->mailbox.id;
	for (i = 0; i < p->components; i++) {
		struct party_component *c = &p->component[i];

		if (c->stamp_event == m.event) {
			mem_free(c->stamp);
			c->stamp = NULL;
			c->stamp_len = 0;
		}
		if (c->metadata_event == m.event) {
			mem_free(c->metadata);
			c->metadata = NULL;
		}
	}
	en.kind = JOURNAL_DISCARD;
	put_moment(&en, &m);
	if (desk_append(p, &en, &e) < 0)
		party_log(p, "what it said cannot be discarded: %s", e.text);
}

int
party_answer(struct party *p, const void *line, size_t len, struct err *e)
{
	struct err why = { 0 };

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
