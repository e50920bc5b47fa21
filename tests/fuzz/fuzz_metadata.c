/*
 * fuzz_metadata - a writer's document, and behind the line `end`, in lines of
 * their own, what is asked of it: statements.
 *
 * What is taken has a normal form, which is taken and its own; the answers
 * about components agree with each other.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/metadata.h"

#include "base/buf.h"
#include "base/err.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static void
check_normal(const struct metadata *m)
{
	struct metadata *n = NULL;
	struct buf a = { 0 };
	struct buf b = { 0 };

	metadata_print(m, &a);
	MUST(metadata_parse(&n, a.data, a.len, NULL) == 0);
	metadata_print(n, &b);
	MUST(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
	metadata_free(n);
	buf_clear(&a);
	buf_clear(&b);
}

static void
check_components(const struct metadata *m)
{
	bool chosen[64] = { false };
	size_t n = m->components.count;
	size_t i;

	for (i = 0; i < n; i++) {
		const char *name = m->components.v[i].name;
		size_t set = metadata_set_of(m, i);

		MUST(metadata_find(m, name, strlen(name)) == i);
		MUST(set == METADATA_NONE || metadata_is_member(m, i, set));
		MUST((set == METADATA_NONE) ==
		     (metadata_inclusion(m, i) <= INCLUDE_OPTIONAL));
	}
	if (n > 64)
		return;
	/* What has to be there and all that may be: a good choice. */
	for (i = 0; i < n; i++)
		chosen[i] = metadata_inclusion(m, i) == INCLUDE_OPTIONAL;
	MUST(metadata_choose(m, chosen, NULL) == 0);
	for (i = 0; i < n; i++)
		MUST(metadata_managing(m, chosen, i) != METADATA_NONE ||
		     metadata_inclusion(m, i) == INCLUDE_REQUIRED);
}

static void
ask(const struct metadata *m, const char *line, size_t len)
{
	struct statement s = { 0 };
	struct err e = { 0 };

	if (statement_parse(&s, line, len, NULL) == 0 &&
	    metadata_judge(m, &s, METADATA_INCREMENTAL, &e) < 0) {
		int error = refuse_errno(&e);

		MUST(error == ENOENT || error == EINVAL || error == EOPNOTSUPP);
	}
	if (s.path != NULL)
		(void)metadata_excludes(m, s.path);
	statement_clear(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char mark[] = "\nend\n";
	const char *text = (const char *)data;
	const char *end = memmem(data, size, mark, strlen(mark));
	size_t len = end != NULL ? (size_t)(end - text) + strlen(mark) : size;
	struct metadata *m = NULL;
	struct err e = { 0 };
	const char *nl;

	if (metadata_parse(&m, data, len, &e) < 0) {
		MUST(m == NULL && e.text[0] != '\0');
		MUST(refuse_errno(&e) != EIO);
		return 0;
	}
	check_normal(m);
	check_components(m);
	for (; len < size; len = (size_t)(nl - text) + 1) {
		nl = memchr(text + len, '\n', size - len);
		if (nl == NULL)
			break;
		ask(m, text + len, (size_t)(nl - text) - len);
	}
	metadata_free(m);
	return 0;
}
