/*
 * A write is walked line by line; `taken` only ever moves behind a newline whose
 * line was accepted, or, at the end, behind an unfinished line.  What has to be
 * answered for a refused line depends on two things only: whether something of
 * this write was taken before it, and whether its head came earlier.
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
	v[in->kept_count] = mem_alloc(sizeof(*s));
	if (v[in->kept_count] == NULL)
		return err_nomem(e);
	*v[in->kept_count++] = *s;
	in->kept_bytes += len;
	memset(s, 0, sizeof(*s));
	return 0;
}

static int
commit(struct intake *in, struct err *e)
{
	int rc;

	if (!in->transaction)
		return refuse_set(e, EINVAL, "commit without begin");
	if (in->failed)
		rc = refuse_set(e, EINVAL,
				"the transaction failed: nothing of it counts");
	else if (in->kept_count == 0)
		rc = 0;
	else
		rc = in->sink->accept(in->sink->ctx, in->kept, in->kept_count,
				      e);
	return rc;
}

/* --- lines ------------------------------------------------------------------ */

static int
take_statement(struct intake *in, struct statement *s, size_t len,
	       struct err *e)
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
	if (in->transaction)
		return keep(in, s, len, e);
	return in->sink->accept(in->sink->ctx, &s, 1, e);
}

/* A line was refused: what write() says of it. */
static int
tell_refused(struct intake *in, const struct statement *s, const void *line,
	     size_t len, const struct err *why)
{
	bool again = in->told.len == len && len > 0 &&
		     memcmp(in->told.data, line, len) == 0;

	if (s->kind == STATEMENT_COMMIT && in->transaction) {
		lose_kept(in, "commit", why);
		end_transaction(in);
		return refuse_errno(why);
	}
	if (!again)
		in->sink->refused(in->sink->ctx, s, line, len, why);
	if (in->transaction)
		in->failed = true;
	/* The transaction that it ended is over, but that is not its fault. */
	if (again && s->kind == STATEMENT_COMMIT)
		return in->told_error;
	return refuse_errno(why);
}

/* One whole line.  0, or the errno of its refusal. */
static int
take_line(struct intake *in, const void *line, size_t len)
{
	struct statement s = { 0 };
	struct err e = { 0 };
	int error = 0;

	if (statement_parse(&s, line, len, &e) < 0 ||
	    take_statement(in, &s, len, &e) < 0) {
		error = tell_refused(in, &s, line, len, &e);
	} else if (s.kind == STATEMENT_COMMIT) {
		end_transaction(in);
	}
	statement_clear(&s);
	return error;
}

/*
 * A line that is too long, whatever follows; the statement is looked at only to
 * see what it is about.
 */
static int
refuse_long(struct intake *in, const void *line, size_t len)
{
	struct statement s = { 0 };
	struct err e = { 0 };
	int error;

	(void)statement_parse(&s, line,
			      len < GRAMMAR_LINE_MAX ? len : GRAMMAR_LINE_MAX,
			      NULL);
	(void)refuse_set(&e, EMSGSIZE, "a line of more than %d bytes",
			 GRAMMAR_LINE_MAX);
	error = tell_refused(in, &s, line, len, &e);
	statement_clear(&s);
	return error;
}

/* There is no room for a line, so that nobody knows what it is about. */
static int
refuse_for_room(struct intake *in)
{
	static const char line[] = "";
	const struct statement nothing = { 0 };
	struct err e = { 0 };

	buf_clear(&in->part);
	(void)err_nomem(&e);
	return tell_refused(in, &nothing, line, 0, &e);
}

/*
 * The line at p, which ends at `nl` or, if that is NULL, with the write.  0, or
 * the errno of its refusal.
 */
static int
take_piece(struct intake *in, const char *p, size_t len, bool whole)
{
	int error;

	if (len > PART_MAX || in->part.len + len > PART_MAX) {
		if (in->part.len == 0)
			return refuse_long(in, p, len);
		return refuse_long(in, in->part.data, in->part.len);
	}
	if (whole && in->part.len == 0)
		return take_line(in, p, len);
	buf_add(&in->part, p, len);
	if (in->part.failed)
		return refuse_for_room(in);
	if (!whole)
		return 0;
	error = take_line(in, in->part.data, in->part.len);
	buf_reset(&in->part);
	return error;
}

/* What the write returns when a line of it was refused. */
static ssize_t
answer_refusal(struct intake *in, size_t taken, const char *line, size_t len,
	       int error)
{
	if (in->headed) {
		in->broken = error;
		buf_clear(&in->part);
		return -error;
	}
	buf_reset(&in->part);
	if (taken == 0) {
		buf_reset(&in->told);
		return -error;
	}
	/* It will come again; if it cannot be remembered, it is told twice. */
	buf_clear(&in->told);
	buf_add(&in->told, line, len);
	in->told_error = error;
	return (ssize_t)taken;
}

ssize_t
intake_write(struct intake *in, const void *p, size_t n, uint64_t now_ns)
{
	const char *at = p;
	const char *end = at + n;
	const char *nl;
	size_t len;
	int error;

	if (in->broken != 0)
		return -in->broken;
	(void)intake_tick(in, now_ns);
	in->touched_ns = now_ns;
	/* Does the first line of this write have its head in an earlier one? */
	in->headed = in->part.len > 0;
	while (at < end) {
		nl = memchr(at, '\n', (size_t)(end - at));
		len = (size_t)((nl != NULL ? nl : end) - at);
		error = take_piece(in, at, len, nl != NULL);
		if (error != 0)
			return answer_refusal(in,
					      (size_t)(at - (const char *)p),
					      at, len, error);
		if (nl == NULL)
			break;
		in->headed = false;
		buf_reset(&in->told);
		at = nl + 1;
	}
	return (ssize_t)n;
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
	buf_clear(&in->part);
	buf_clear(&in->told);
}
