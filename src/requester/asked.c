/*
 * asked.c
 *
 * What a writer directs, and what is only ranges of a file, are the same: pieces
 * of a file that go to pieces of another one, or of the same.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/pass.h"

#include "base/buf.h"
#include "base/mem.h"
#include "src/engine/view.h"
#include "src/requester/session_file.h"
#include "src/writer/metadata.h"
#include "src/writer/ranges.h"
#include "src/writer/refuse.h"

#include <errno.h>
#include <string.h>

/* --- what the writer asks for ----------------------------------------------- */

static struct deliver_piece *
new_piece(struct unit *u, const char *from, const char *to, struct err *e)
{
	struct deliver_piece *more;

	more = mem_resize(u->piece, u->pieces + 1, sizeof(*more));
	if (more == NULL) {
		(void)err_nomem(e);
		return NULL;
	}
	u->piece = more;
	more += u->pieces;
	memset(more, 0, sizeof(*more));
	more->from = mem_strdup(from);
	more->to = mem_strdup(to);
	u->pieces++;
	if (more->from != NULL && more->to != NULL)
		return more;
	(void)err_nomem(e);
	return NULL;
}

static int
take_directed(struct unit *u, struct statement *s, struct err *e)
{
	struct deliver_piece *q = new_piece(u, s->path, s->to, e);

	if (q == NULL)
		return -1;
	/* The statement's own are not needed any more. */
	q->from_ranges = s->ranges;
	q->to_ranges = s->to_ranges;
	memset(&s->ranges, 0, sizeof(s->ranges));
	memset(&s->to_ranges, 0, sizeof(s->to_ranges));
	return 0;
}

struct listening {
	struct pass *pass;
	const char *writer;
};

static struct unit *
find_unit(const struct listening *l, const char *component)
{
	size_t i;

	for (i = 0; i < l->pass->units; i++) {
		struct unit *u = &l->pass->unit[i];

		if (strcmp(u->taker, l->writer) == 0 &&
		    strcmp(u->pick->component, component) == 0)
			return u;
	}
	return NULL;
}

static int
take_statement(struct unit *u, struct statement *s, struct err *e)
{
	if (metadata_judge(u->document, s, 0, e) < 0)
		return -1;
	if (u->places.granted &&
	    metadata_statement_granted(s, (const char *const *)u->places.grant,
				       u->places.grants, e) < 0)
		return -1;
	switch (s->kind) {
	case STATEMENT_RESTORE_TARGET:
		u->target = s->target;
		return 0;
	case STATEMENT_DIRECTED_TARGET:
		return take_directed(u, s, e);
	default:
		if (u->metadata != NULL)
			return refuse_set(e, EEXIST,
					  "restore-metadata is said once");
		u->metadata = mem_strdup(s->text);
		return u->metadata != NULL ? 0 : err_nomem(e);
	}
}

/*
 * The other side has judged the line by the writer's document of today; it is
 * judged again, by the one that counts.
 */
static int
take_line(void *ctx, const char *line, size_t len, struct err *e)
{
	const struct listening *l = ctx;
	struct statement s = { 0 };
	struct err why = { 0 };
	struct unit *u = NULL;
	int rc = statement_parse(&s, line, len, &why);

	if (s.component != NULL)
		u = find_unit(l, s.component);
	if (rc == 0 && u != NULL && statement_is_restore(s.kind))
		rc = take_statement(u, &s, &why);
	statement_clear(&s);
	if (rc == 0)
		return 0;
	if (u == NULL) {
		err_move(e, &why);
		return -1;
	}
	return unit_fail(l->pass, u, &why, e);
}

/* What is directed counts only where that is the target. */
static void
drop_undirected(struct unit *u)
{
	struct deliver_piece *q;

	while (u->target != TARGET_DIRECTED && u->pieces > 0) {
		q = &u->piece[--u->pieces];
		mem_free((void *)(uintptr_t)q->from);
		mem_free((void *)(uintptr_t)q->to);
		ranges_clear(&q->from_ranges);
		ranges_clear(&q->to_ranges);
	}
}

int
asked_listen(struct pass *p, struct err *e)
{
	struct listening l = { .pass = p };
	bool *first;
	size_t i;
	int rc = 0;

	if (pass_firsts(p, &first, e) < 0)
		return -1;
	for (i = 0; rc == 0 && i < p->units; i++) {
		l.writer = p->unit[i].taker;
		if (first[i] && p->unit[i].told)
			rc = client_restore_lines(p->client, l.writer,
						  take_line, &l, e);
	}
	mem_free(first);
	for (i = 0; i < p->units; i++)
		drop_undirected(&p->unit[i]);
	return rc;
}

/* --- ranges only ------------------------------------------------------------ */

/* The ranges as the session kept them, cut to the file's length. */
static int
read_ranges(const struct pass *p, const struct dossier_file *f,
	    struct ranges *out, struct err *e)
{
	struct buf text = { 0 };
	struct node n = { 0 };
	int rc;

	if (strncmp(f->ranges, "file=", 5) != 0) {
		rc = ranges_parse(out, f->ranges, strlen(f->ranges), e);
	} else {
		rc = session_file(p->scene.gen, f->ranges + 5,
				  RANGES_FILE_MIN +
					  (size_t)RANGES_MAX * RANGES_PAIR,
				  &text, e);
		if (rc == 1)
			rc = err_set(e, ERR_CORRUPT,
				     "%s is not in the "
				     "generation",
				     f->ranges + 5);
		if (rc == 0)
			rc = ranges_parse_file(out, text.data, text.len, e);
	}
	if (rc == 0)
		rc = view_path(p->scene.gen, f->path, &n, e);
	if (rc == 0)
		ranges_clip(out, n.entry.size);
	else if (rc == 1)
		rc = err_set(e, ERR_CORRUPT, "it is not in the generation");
	node_clear(&n);
	buf_clear(&text);
	return rc;
}

static int
copy_ranges(const struct ranges *from, struct ranges *to, struct err *e)
{
	size_t i;

	for (i = 0; i < from->count; i++)
		if (ranges_push(to, from->r[i].off, from->r[i].len, e) < 0)
			return -1;
	return 0;
}

static bool
is_ranged(const struct dossier_file *f)
{
	return !f->differenced && f->refused == NULL && f->ranges != NULL;
}

/* The declared pieces of a file go into what is there. */
static int
add_ranged(const struct pass *p, struct unit *u, const struct dossier_file *f,
	   struct err *e)
{
	const struct place_set *set;
	struct deliver_piece *q;

	if (!places_wants(&u->places, f->path, &set) ||
	    unit_is_apart(u, f->path))
		return 0;
	/* Where to is known after the verdict: asked_place_ranged. */
	q = new_piece(u, f->path, f->path, e);
	if (q == NULL || read_ranges(p, f, &q->from_ranges, e) < 0 ||
	    copy_ranges(&q->from_ranges, &q->to_ranges, e) < 0)
		return -1;
	q->must_exist = true;
	return 0;
}

int
asked_add_ranged(const struct pass *p, struct unit *u, struct err *e)
{
	size_t i;

	for (i = 0; p->o->ranges_only && i < u->component->files; i++)
		if (is_ranged(&u->component->file[i]) &&
		    add_ranged(p, u, &u->component->file[i], e) < 0)
			return err_prefix(e, "ranges of %s",
					  u->component->file[i].path);
	return 0;
}

int
asked_place_ranged(struct unit *u, struct err *e)
{
	const struct place_set *set;
	struct buf to = { 0 };
	size_t i;
	char *path;
	int rc = 0;

	for (i = 0; rc == 0 && i < u->pieces; i++) {
		struct deliver_piece *q = &u->piece[i];

		if (!q->must_exist || !places_wants(&u->places, q->from, &set))
			continue;
		buf_reset(&to);
		if (!places_goes(&u->places, set, q->from, u->verdict, &to)) {
			rc = err_set(e, ERR_USAGE,
				     "%s has no alternate location", q->from);
			break;
		}
		path = mem_strdup(buf_str(&to));
		if (path == NULL || buf_ok(&to, e) < 0) {
			mem_free(path);
			rc = err_nomem(e);
			break;
		}
		mem_free((void *)(uintptr_t)q->to);
		q->to = path;
	}
	buf_clear(&to);
	return rc;
}
