/*
 * Sources: what is typed becomes absolute paths and a skeleton of names.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/sources.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/lib/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[200];

static int
setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(top, sizeof(top), "%s/asof-sources.XXXXXX",
		 tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(top) == NULL || chdir(top) < 0)
		return -1;
	/* a/x, a/y, ab, z -> a/x, broken -> nothing, chain -> z */
	return mkdir("a", 0755) < 0 || mkdir("a/x", 0755) < 0 ||
	       mkdir("a/y", 0755) < 0 || mkdir("ab", 0755) < 0 ||
	       symlink("a/x", "z") < 0 || symlink("nothing", "broken") < 0 ||
	       symlink("z", "chain") < 0;
}

static int
teardown(void **state)
{
	char cmd[300];

	(void)state;
	if (chdir("/") < 0)
		return -1;
	snprintf(cmd, sizeof(cmd), "%s/chain", top);
	unlink(cmd);
	snprintf(cmd, sizeof(cmd), "%s/broken", top);
	unlink(cmd);
	snprintf(cmd, sizeof(cmd), "%s/z", top);
	unlink(cmd);
	snprintf(cmd, sizeof(cmd), "%s/ab", top);
	rmdir(cmd);
	snprintf(cmd, sizeof(cmd), "%s/a/x", top);
	rmdir(cmd);
	snprintf(cmd, sizeof(cmd), "%s/a/y", top);
	rmdir(cmd);
	snprintf(cmd, sizeof(cmd), "%s/a", top);
	rmdir(cmd);
	return rmdir(top);
}

/* The skeleton as text: names, children in (), sources with a star. */
static void
draw(const struct skeleton *s, struct buf *out)
{
	buf_add_str(out, s->name);
	if (s->source)
		buf_add_char(out, '*');
	if (s->children == 0)
		return;
	buf_add_char(out, '(');
	for (size_t i = 0; i < s->children; i++) {
		if (i > 0)
			buf_add_char(out, ' ');
		draw(s->child[i], out);
	}
	buf_add_char(out, ')');
}

/* The part of the drawing below the test's own directory. */
static const struct skeleton *
below_top(const struct skeleton *s)
{
	const char *p = top;

	while (*p != '\0') {
		size_t len;

		p++;
		len = strcspn(p, "/");
		for (size_t i = 0; i < s->children; i++)
			if (strlen(s->child[i]->name) == len &&
			    memcmp(s->child[i]->name, p, len) == 0) {
				s = s->child[i];
				break;
			}
		p += len;
	}
	return s;
}

static void
skeletons_hold_just_the_names_that_lead_to_sources(void **state)
{
	static const struct {
		const char *typed[4];
		const char *drawn;
	} rows[] = {
		{ { "a" }, "(a*)" },
		{ { "a/x", "a/y" }, "(a(x* y*))" },
		{ { "a/y", "a/x" }, "(a(x* y*))" },
		{ { "a", "a/x" }, "(a*)" },
		{ { "a/x", "a" }, "(a*)" },
		{ { "a", "a" }, "(a*)" },
		{ { "ab", "a" }, "(a* ab*)" },
		{ { "./a//x/../y/" }, "(a(y*))" },
		{ { "z" }, "(a(x*))" },
		{ { "a/x", "z" }, "(a(x*))" },
		{ { "." }, "*" },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct sources s;
		struct buf text = { 0 };
		struct err e = { 0 };
		const struct skeleton *below;
		size_t n = 0;

		while (n < 4 && rows[i].typed[n] != NULL)
			n++;
		assert_int_equal(sources_resolve(rows[i].typed, n, &s, &e), 0);
		below = below_top(s.top);
		draw(below, &text);
		assert_string_equal(buf_str(&text) + strlen(below->name),
				    rows[i].drawn);
		assert_int_equal(s.count, n);
		sources_clear(&s);
		buf_clear(&text);
	}
}

static void
nonsense_is_refused_with_a_sentence(void **state)
{
	static const char *const rows[] = { "missing", "a/missing", "broken",
					    "a/x/deep/deeper" };
	struct sources s;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		err_clear(&e);
		assert_int_equal(sources_resolve(&rows[i], 1, &s, &e), -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_non_null(strstr(e.text, rows[i]));
	}
	err_clear(&e);
	assert_int_equal(sources_resolve(rows, 0, &s, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
}

static void
a_symlink_is_followed_once_and_both_are_kept(void **state)
{
	const char *typed[] = { "z", "chain" };
	struct sources s;
	struct err e = { 0 };
	char want[300];

	(void)state;
	assert_int_equal(sources_resolve(typed, 2, &s, &e), 0);
	snprintf(want, sizeof(want), "%s/a/x", top);
	assert_string_equal(s.typed[0], "z");
	assert_string_equal(s.resolved[0], want);
	/* Once, not more: what it points to is a symlink and stays one. */
	snprintf(want, sizeof(want), "%s/z", top);
	assert_string_equal(s.resolved[1], want);
	sources_clear(&s);
}

static uint64_t fail_at, allocs;

static bool
nth(size_t size)
{
	(void)size;
	return ++allocs == fail_at;
}

static void
running_out_of_memory_anywhere_leaks_nothing(void **state)
{
	const char *typed[] = { "a/x", "a/y", "z", "ab" };
	struct err e;
	int rc = -1;

	(void)state;
	for (fail_at = 1; rc != 0; fail_at++) {
		struct sources s;

		memset(&e, 0, sizeof(e));
		allocs = 0;
		mem_fail(nth);
		rc = sources_resolve(typed, 4, &s, &e);
		mem_fail(NULL);
		if (rc == 0)
			sources_clear(&s);
		else
			assert_int_not_equal(e.kind, ERR_NONE);
		assert_true(fail_at < 1000);
	}
	assert_true(fail_at > 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			skeletons_hold_just_the_names_that_lead_to_sources),
		cmocka_unit_test(nonsense_is_refused_with_a_sentence),
		cmocka_unit_test(a_symlink_is_followed_once_and_both_are_kept),
		cmocka_unit_test(running_out_of_memory_anywhere_leaks_nothing),
	};

	return cmocka_run_group_tests_name("sources", tests, setup, teardown);
}
