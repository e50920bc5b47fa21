/*
 * A write is walked line by line.  Lines that may be accepted are gathered and
 * accepted together at its end, or in front of a line that is refused or has to
 * do with transactions.  If all cannot be accepted, each is tried by itself, so
 * that what happens is what would happen to lines that come one by one.  What
 * has to be answered for a refused line depends on two things only: whether
 * something of this write is in front of it, and whether its head came earlier.
 *
 * A writer that was answered with a short count writes the rest again, and the
 * refused line comes a second time, now in front.  It is judged anew, because
 * things may have changed, but not told anew.
 *
 * Lines of a transaction that comes to nothing were promises that are not kept
 * now.  If the transaction failed, ran out of time or was cut off by a close,
 * they leave one gap together, as wide as all that they were about: the writer
 * may believe that they count.  After `abort` it does not, and there is none.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/intake.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/writer/grammar.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"

#include <errno.h>
#include <string.h>

/* Of a line that is not finished: a carriage return does not count. */
#define PART_MAX (GRAMMAR_LINE_MAX + 1)

/* --- transactions ----------------------------------------------------------- */

static void
drop_kept(struct intake *in)
{
	size_t i;

	for (i = 0; i < in->kept_count; i++) {
		statement_clear(in->kept[i]);
		mem_free(in->kept[i]);
	}
	mem_free(in->kept);
	in->kept = NULL;
	in->kept_count = 0;
	in->kept_cap = 0;
	in->kept_bytes = 0;
}

static void
end_transaction(struct intake *in)
{
	drop_kept(in);
	in->transaction = false;
	in->failed = false;
}

/* Both the same, NULL included? */
static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL ? strcmp(a, b) == 0 : a == b;
}

/*
 * What all kept lines are about: *out borrows its strings from them.  False when
 * there are none.
 */
static bool
common_gap(const struct intake *in, struct statement *out)
{
	const char *component;
	const char *path;
	size_t i;

	memset(out, 0, sizeof(*out));
	out->kind = STATEMENT_GAP;
	for (i = 0; i < in->kept_count; i++) {
		statement_gap(in->kept[i], &component, &path);
		if (i == 0) {
			out->component = component;
			out->path = path;
		} else if (!same(out->component, component)) {
			out->component = NULL;
			out->path = NULL;
		} else if (!same(out->path, path)) {
			out->path = NULL;
		}
	}
	return in->kept_count > 0;
}

/* The kept lines come to nothing and the writer may not know: a gap. */
static void
lose_kept(struct intake *in, const char *line, const struct err *why)
{
	struct statement gap;

	if (common_gap(in, &gap))
		in->sink->refused(in->sink->ctx, &gap, line, strlen(line), why);
	drop_kept(in);
}

static void
fail_transaction(struct intake *in, const char *line, const char *sentence)
{
	struct err why = { 0 };

	(void)refuse_set(&why, EINVAL, "%s", sentence);
	lose_kept(in, line, &why);
	in->failed = true;
}

/* A statement of its own, with what is in *s, which is empty then; or NULL. */
static struct statement *
move_statement(struct statement *s)
{
	struct statement *own = mem_alloc(sizeof(*own));

	if (own == NULL)
		return NULL;
	*own = *s;
	memset(s, 0, sizeof(*s));
	return own;
}

/* Keep the statement for commit; *s is empty then. */
static int
keep(struct intake *in, struct statement *s, size_t len, struct err *e)
{
	struct statement **v = in->kept;
	size_t cap = in->kept_cap;

	if (in->kept_count >= INTAKE_LINES_MAX ||
	    in->kept_bytes + len > INTAKE_TRANSACTION_MAX)
		return refuse_set(e, EDQUOT,
				  "a transaction of more than %u bytes or %u "
				  "lines",
				  INTAKE_TRANSACTION_MAX, INTAKE_LINES_MAX);
	if (in->kept_count == cap) {
		cap = cap == 0 ? 16 : 2 * cap;
		v = mem_resize(v, cap, sizeof(struct statement *));
		if (v == NULL)
			return err_nomem(e);
		in->kept = v;
		in->kept_cap = cap;
	}
	v[in->kept_count] = move_statement(s);
	if (v[in->kept_count] == NULL)
		return err_nomem(e);
	in->kept_count++;
	in->kept_bytes += len;
	return 0;
}

static int
commit(struct intake *in, struct err *e)
{
	if (!in->transaction)
		return refuse_set(e, EINVAL, "commit without begin");
	if (in->failed)
		return refuse_set(e, EINVAL,
				  "the transaction failed: nothing of it "
				  "counts");
	if (in->kept_count == 0)
		return 0;
	return in->sink->accept(in->sink->ctx, in->kept, in->kept_count, e);
}

/* --- refusing --------------------------------------------------------------- */

/* A line was refused: what write() says of it. */
static int
tell_refused(struct intake *in, const struct statement *s,
	     const struct intake_line *l, const struct err *why)
{
	bool again = l->at == 0 && in->told.len == l->len && l->len > 0 &&
		     memcmp(in->told.data, l->text, l->len) == 0;

	in->refused = *l;
	if (s->kind == STATEMENT_COMMIT && in->transaction) {
		lose_kept(in, "commit", why);
		end_transaction(in);
		return refuse_errno(why);
	}
	if (!again)
		in->sink->refused(in->sink->ctx, s, l->text, l->len, why);
	if (in->transaction)
		in->failed = true;
	/* The transaction that it ended is over, but that is not its fault. */
	if (again && s->kind == STATEMENT_COMMIT)
		return in->told_error;
	return refuse_errno(why);
}

/* --- accepting what was gathered --------------------------------------------- */

static void
drop_lines(struct intake *in)
{
	size_t i;

	for (i = 0; i < in->lines; i++) {
		statement_clear(in->line[i].s);
		mem_free(in->line[i].s);
	}
	in->lines = 0;
}

static int
accept_together(struct intake *in, struct err *e)
{
	struct statement **s =
		mem_array(in->lines, sizeof(struct statement *));
	size_t i;
	int rc;

	if (s == NULL)
		return err_nomem(e);
	for (i = 0; i < in->lines; i++)
		s[i] = in->line[i].s;
	rc = in->sink->accept(in->sink->ctx, s, in->lines, e);
	mem_free(s);
	return rc;
}

/* Up to the first that is refused: its errno. */
static int
accept_each(struct intake *in)
{
	struct err e = { 0 };
	size_t i;

	for (i = 0; i < in->lines; i++)
		if (in->sink->accept(in->sink->ctx, &in->line[i].s, 1, &e) < 0)
			return tell_refused(in, in->line[i].s, &in->line[i],
					    &e);
	return 0;
}

/* 0, or the errno of a refusal. */
static int
accept_lines(struct intake *in)
{
	struct err e = { 0 };
	int error = 0;

	if (in->lines > 1 && accept_together(in, &e) < 0)
		error = accept_each(in);
	else if (in->lines == 1)
		error = accept_each(in);
	drop_lines(in);
	return error;
}

/* To be accepted with the others; *s is empty then. */
static int
gather(struct intake *in, struct statement *s, const struct intake_line *l,
       struct err *e)
{
	size_t cap = in->lines_cap == 0 ? 16 : 2 * in->lines_cap;
	struct intake_line *v = in->line;

	if (in->lines == in->lines_cap) {
		v = mem_resize(v, cap, sizeof(*v));
		if (v == NULL)
			return err_nomem(e);
		in->line = v;
		in->lines_cap = cap;
	}
	v[in->lines] = *l;
	v[in->lines].s = move_statement(s);
	if (v[in->lines].s == NULL)
		return err_nomem(e);
	in->lines++;
	return 0;
}

/* --- lines ------------------------------------------------------------------ */

static int
take_statement(struct intake *in, struct statement *s,
	       const struct intake_line *l, struct err *e)
{
	switch (s->kind) {
	case STATEMENT_NONE:
		return 0;
	case STATEMENT_BEGIN:
		if (in->transaction)
			return refuse_set(e, EINVAL,
					  "begin inside a transaction");
		if (in->sink->begin != NULL &&
		    in->sink->begin(in->sink->ctx, e) < 0)
			return -1;
		in->transaction = true;
		return 0;
	case STATEMENT_COMMIT:
		return commit(in, e);
	case STATEMENT_ABORT:
		if (!in->transaction)
			return refuse_set(e, EINVAL, "abort without begin");
		end_transaction(in);
		return 0;
	default:
		break;
	}
	if (in->sink->check(in->sink->ctx, s, e) < 0)
		return -1;
	/* One that has failed goes on failing: its lines are for the gap only. */
	return in->transaction ? keep(in, s, l->len, e) : gather(in, s, l, e);
}

/* Is it about transactions?  What is in front of it must be accepted first. */
static bool
divides(enum statement_kind kind)
{
	return kind == STATEMENT_BEGIN || kind == STATEMENT_COMMIT ||
	       kind == STATEMENT_ABORT;
}

/* One whole line.  0, or the errno of a refusal, of it or one before it. */
static int
take_line(struct intake *in, const struct intake_line *l)
{
	struct statement s = { 0 };
	struct err e = { 0 };
	int error = 0;
	int rc;

	rc = statement_parse(&s, l->text, l->len, &e);
	if (rc == 0 && (divides(s.kind) || in->lines >= INTAKE_LINES_MAX))
		error = accept_lines(in);
	if (rc == 0 && error == 0)
		rc = take_statement(in, &s, l, &e);
	if (rc < 0) {
		error = accept_lines(in);
		if (error == 0)
			error = tell_refused(in, &s, l, &e);
	} else if (error == 0 && s.kind == STATEMENT_COMMIT) {
		end_transaction(in);
	}
	statement_clear(&s);
	return error;
}

/* The same of one that cannot be taken, for this reason. */
static int
refuse_line(struct intake *in, const struct statement *s,
	    const struct intake_line *l, const struct err *why)
{
	int error = accept_lines(in);

	return error != 0 ? error : tell_refused(in, s, l, why);
}

/*
 * A line that is too long, whatever follows; the statement is looked at only to
 * see what it is about.
 */
static int
refuse_long(struct intake *in, const struct intake_line *l)
{
	struct statement s = { 0 };
	struct err e = { 0 };
	int error;

	(void)statement_parse(&s, l->text,
			      l->len < GRAMMAR_LINE_MAX ? l->len
							: GRAMMAR_LINE_MAX,
			      NULL);
	(void)refuse_set(&e, EMSGSIZE, "a line of more than %d bytes",
			 GRAMMAR_LINE_MAX);
	error = refuse_line(in, &s, l, &e);
	statement_clear(&s);
	return error;
}

/* There is no room for a line, so that nobody knows what it is about. */
static int
refuse_for_room(struct intake *in, struct intake_line l)
{
	const struct statement nothing = { 0 };
	struct err e = { 0 };

	buf_clear(&in->part);
	l.text = "";
	l.len = 0;
	(void)err_nomem(&e);
	return refuse_line(in, &nothing, &l, &e);
}

/*
 * What this write has of a line, which it ends (`whole`) or not.  0, or the errno
 * of a refusal.
 */
static int
take_piece(struct intake *in, struct intake_line l, bool whole)
{
	if (l.len > PART_MAX || in->part.len + l.len > PART_MAX) {
		if (in->part.len > 0) {
			l.text = (const char *)in->part.data;
			l.len = in->part.len;
		}
		return refuse_long(in, &l);
	}
	if (whole && in->part.len == 0)
		return take_line(in, &l);
	buf_add(&in->part, l.text, l.len);
	if (in->part.failed)
		return refuse_for_room(in, l);
	if (!whole)
		return 0;
	buf_clear(&in->head);
	in->head = in->part;
	memset(&in->part, 0, sizeof(in->part));
	l.text = (const char *)in->head.data;
	l.len = in->head.len;
	return take_line(in, &l);
}

/* What the write returns when a line of it was refused. */
static ssize_t
answer_refusal(struct intake *in, const char *p, int error)
{
	const struct intake_line *l = &in->refused;

	buf_clear(&in->part);
	buf_clear(&in->told);
	if (l->headed) {
		in->broken = error;
		return -error;
	}
	if (l->at == 0)
		return -error;
	/* It will come again; if it cannot be remembered, it is told twice. */
	buf_add(&in->told, p + l->at, l->len);
	in->told_error = error;
	return (ssize_t)l->at;
}

/* All lines of a write; 0 or an errno. */
static int
take_lines(struct intake *in, const char *p, size_t n)
{
	const bool older = in->part.len > 0;
	size_t at = 0;
	int error = 0;

	while (at < n && error == 0) {
		const char *nl = memchr(p + at, '\n', n - at);
		struct intake_line l = {
			.text = p + at,
			.len = nl != NULL ? (size_t)(nl - p) - at : n - at,
			.at = at,
			.headed = older && at == 0,
		};

		error = take_piece(in, l, nl != NULL);
		at += l.len + (nl != NULL);
	}
	return error != 0 ? error : accept_lines(in);
}

ssize_t
intake_write(struct intake *in, const void *p, size_t n, uint64_t now_ns)
{
	ssize_t taken = (ssize_t)n;
	int error;

	if (in->broken != 0)
		return -in->broken;
	(void)intake_tick(in, now_ns);
	in->touched_ns = now_ns;
	error = take_lines(in, p, n);
	if (error != 0)
		taken = answer_refusal(in, p, error);
	else if (n > 0)
		buf_reset(&in->told);
	buf_clear(&in->head);
	return taken;
}

bool
intake_tick(struct intake *in, uint64_t now_ns)
{
	if (!in->transaction || in->failed || now_ns < in->touched_ns ||
	    now_ns - in->touched_ns < INTAKE_IDLE_NS)
		return false;
	/*
	 * It stays begun, as what the writer says next still belongs to it,
	 * and must not count line by line.
	 */
	fail_transaction(
		in, "begin",
		"nothing came for ten minutes: the transaction failed");
	return true;
}

/* What was written last has no newline. */
static void
refuse_unfinished(struct intake *in)
{
	struct statement s = { 0 };
	struct err e = { 0 };

	(void)statement_parse(&s, in->part.data, in->part.len, NULL);
	(void)refuse_set(&e, EINVAL,
			 "the file was closed behind a line without a newline");
	in->sink->refused(in->sink->ctx, &s, in->part.data, in->part.len, &e);
	statement_clear(&s);
}

void
intake_close(struct intake *in)
{
	if (in->part.len > 0)
		refuse_unfinished(in);
	if (in->transaction && in->kept_count > 0)
		fail_transaction(in, "begin",
				 "the file was closed before commit");
	end_transaction(in);
	mem_free(in->line);
	in->line = NULL;
	in->lines_cap = 0;
	buf_clear(&in->part);
	buf_clear(&in->told);
}
