/*
 * Taking statements: from what a writer said to entries of its journal.
 *
 * A statement is taken in three steps.  It is judged against the document and
 * what the writer was granted, with the lock held.  Then the lock is released
 * and its files are looked at as the owner, which may take its time.  Then it is
 * judged again by who has the pen, as much may have changed, and appended.
 *
 * The facts that go into the journal are those seen first, before a young ctime
 * was waited for: what somebody writes meanwhile must differ from them.  Two
 * statements about one file may be appended in another order than looked at; the
 * later entry then has the older facts, which equal nothing any more, and the
 * file is read.  A statement counts as said in the session's window only if it
 * was that when it came and is that still when it is appended.  Answers wait
 * for statements that are being written (party_answer), so that no session moves
 * on between the two.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/party.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "src/writer/desk_internal.h"
#include "src/writer/metadata.h"
#include "src/writer/partylog.h"
#include "src/writer/pen.h"
#include "src/writer/ranges.h"
#include "src/writer/refuse.h"
#include "src/writer/resolve.h"
#include "src/writer/round.h"
#include "src/writer/statement.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SHOWN(name) path_show_in((char[PATH_SHOW_LEN]){ 0 }, name, strlen(name))

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
	resolver_clear(&l->who);
	mem_free_list(l->volume, l->volumes);
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

/* Is the party in the session that this was said in? */
static bool
same_session(const struct party *p, const struct journal_entry *said)
{
	return p->session != NULL &&
	       memcmp(said->session, p->session->raw_id,
		      sizeof(said->session)) == 0;
}

/* Now, and inside the window only if it was that when it came. */
static void
put_later_moment(const struct party *p, struct journal_entry *said)
{
	bool window = said->window && same_session(p, said);

	memset(said, 0, sizeof(*said));
	party_put_moment(p, said);
	said->window = said->window && window;
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

/* The parts that a session's component is shown with, if it is still in one. */
static int
note_in_session(struct party *p, const struct statement *s,
		const struct journal_entry *said, struct err *e)
{
	struct party_component *c = party_component(p, s->component);

	if (c == NULL || !same_session(p, said))
		return 0;
	if (s->kind == STATEMENT_BACKUP_STAMP) {
		if (replace_text(&c->stamp, s->text, e) < 0)
			return -1;
		c->stamp_len = strlen(s->text);
		c->stamp_event = said->event;
	} else if (s->kind == STATEMENT_BACKUP_METADATA) {
		if (c->metadata != NULL)
			return 0;
		c->metadata_event = said->event;
		return replace_text(&c->metadata, s->text, e);
	}
	return 0;
}

static void
warn(struct party *p, const struct statement *s)
{
	size_t component;

	if (s->kind != STATEMENT_PARTIAL_FILE || p->document == NULL)
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

/* `said`: when, and where in a session. */
static void
make_entry(const struct taking *t, const struct journal_entry *said,
	   struct journal_entry *en)
{
	const struct statement *s = t->s;

	*en = *said;
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

/*
 * All of them or none, with one sync, for who has the pen; then what is told of
 * them.
 */
static int
append(struct party *p, const struct taking *t, size_t n,
       const struct journal_entry *said, struct err *e)
{
	struct journal_entry *en = mem_array(n, sizeof(*en));
	size_t i;
	int rc;

	if (en == NULL)
		return err_nomem(e);
	for (i = 0; i < n; i++)
		make_entry(&t[i], said, &en[i]);
	rc = pen_write(p, en, n, e);
	mem_free(en);
	for (i = 0; i < n && rc == 0; i++) {
		p->statements++;
		partylog_line(p, "accepted", t[i].text.data, t[i].text.len,
			      NULL);
		warn(p, t[i].s);
		rc = note_in_session(p, t[i].s, said, e);
	}
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
	struct journal_entry said = { 0 };
	bool copies = false;
	int rc = -1;

	party_begin_busy(p);
	party_put_moment(p, &said);
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
	    copy_volumes(p, &l, e) < 0 || look_unlocked(p, &l, t, n, e) < 0)
		goto out;
	pen_take(p);
	rc = check_all(p, s, n, e);
	if (rc == 0) {
		put_later_moment(p, &said);
		rc = append(p, t, n, &said, e);
	}
	pen_give(p);
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
