/*
 * fuzz_intake - what is written into a control file, in pieces.
 *
 * The first bytes say how the rest is cut.  However it is cut, the same lines
 * are accepted, up to the first that is refused; what a write returns is what
 * was taken; and memory is bounded.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/intake.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/writer/grammar.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#define CUTS 8

/* What came of it. */
struct outcome {
	struct buf accepted; /* normal forms, a line each */
	size_t refusals;
	int error; /* of the first write that failed */
};

static int
check(void *ctx, struct statement *s, struct err *e)
{
	(void)ctx;
	if (s->component != NULL && strcmp(s->component, "no") == 0)
		return refuse_set(e, ENOENT, "no such component");
	return 0;
}

static int
accept_all(void *ctx, struct statement *const *s, size_t n, struct err *e)
{
	struct outcome *o = ctx;
	size_t i;

	MUST(n > 0);
	for (i = 0; i < n; i++)
		if (strcmp(s[i]->component, "full") == 0)
			return refuse_set(e, EDQUOT, "no room");
	for (i = 0; i < n; i++) {
		statement_print(s[i], &o->accepted);
		buf_add_char(&o->accepted, '\n');
	}
	return 0;
}

static void
refused(void *ctx, const struct statement *s, const void *line, size_t len,
	const struct err *why)
{
	struct outcome *o = ctx;
	const char *component;
	const char *path;

	MUST(line != NULL && len <= (size_t)GRAMMAR_LINE_MAX + (1u << 20));
	MUST(why->text[0] != '\0');
	statement_gap(s, &component, &path);
	MUST(path == NULL || component != NULL);
	o->refusals++;
}

/* Write all of it as a careful program would; cut[] empty: at once. */
static void
feed(struct outcome *o, const uint8_t *p, size_t n, const uint8_t *cut,
     size_t cuts)
{
	const struct intake_sink sink = {
		.check = check,
		.accept = accept_all,
		.refused = refused,
		.ctx = o,
	};
	struct intake in = { .sink = &sink };
	size_t done = 0;
	size_t piece;
	size_t i = 0;
	ssize_t got;

	while (done < n && o->error == 0) {
		piece = n - done;
		if (cuts > 0 && (size_t)cut[i % cuts] + 1 < piece)
			piece = (size_t)cut[i % cuts] + 1;
		i++;
		got = intake_write(&in, p + done, piece, 1);
		MUST(got != 0 && got <= (ssize_t)piece);
		MUST(in.part.len <= GRAMMAR_LINE_MAX + 1);
		if (got < 0)
			o->error = (int)-got;
		else
			done += (size_t)got;
	}
	/* A handle that has failed stays so, and nothing is told any more. */
	if (in.broken != 0) {
		size_t told = o->refusals;

		MUST(intake_write(&in, "gap a\n", 6, 1) == -o->error);
		MUST(o->refusals == told);
	}
	intake_close(&in);
	MUST(in.kept == NULL && in.part.data == NULL && in.line == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome once = { 0 };
	struct outcome pieces = { 0 };

	if (size < CUTS)
		return 0;
	feed(&once, data + CUTS, size - CUTS, NULL, 0);
	feed(&pieces, data + CUTS, size - CUTS, data, CUTS);
	MUST(once.accepted.len == pieces.accepted.len);
	MUST(once.accepted.len == 0 ||
	     memcmp(once.accepted.data, pieces.accepted.data,
		    once.accepted.len) == 0);
	MUST(once.error == pieces.error);
	MUST((once.refusals > 0) == (pieces.refusals > 0));
	buf_clear(&once.accepted);
	buf_clear(&pieces.accepted);
	return 0;
}
