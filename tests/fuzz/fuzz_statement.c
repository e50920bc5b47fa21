/*
 * fuzz_statement - a line of a writer.
 *
 * What is taken has a normal form, which is taken and its own; what is refused
 * has a sentence, an errno and a gap that can be read.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/statement.h"

#include "base/buf.h"
#include "base/err.h"
#include "src/writer/refuse.h"
#include "src/writer/value.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static void
check_normal(const struct statement *s)
{
	struct statement t = { 0 };
	struct buf a = { 0 };
	struct buf b = { 0 };

	statement_print(s, &a);
	MUST(a.len <= GRAMMAR_LINE_MAX);
	MUST(statement_parse(&t, a.data, a.len, NULL) == 0);
	MUST(t.kind == s->kind && t.since == s->since && t.size == s->size);
	MUST(t.ranges.count == s->ranges.count);
	MUST(ts_cmp(t.newer, s->newer) == 0);
	statement_print(&t, &b);
	MUST(a.len == b.len &&
	     (a.len == 0 || memcmp(a.data, b.data, a.len) == 0));
	statement_clear(&t);
	buf_clear(&a);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct statement s = { 0 };
	struct err e = { 0 };
	const char *component;
	const char *path;

	if (statement_parse(&s, data, size, &e) == 0) {
		check_normal(&s);
	} else {
		int error = refuse_errno(&e);

		MUST(e.text[0] != '\0');
		MUST(error == EINVAL || error == EMSGSIZE || error == EDQUOT);
	}
	statement_gap(&s, &component, &path);
	MUST(component == NULL || value_component_fault(component) == NULL);
	MUST(path == NULL ||
	     (component != NULL && value_path_fault(path) == NULL));
	statement_clear(&s);
	return 0;
}
