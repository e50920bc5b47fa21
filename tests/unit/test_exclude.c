/*
 * Patterns against paths: a table of what gitignore(5) promises, and some
 * hundred random sets of patterns whose answers are compared with git's own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/exclude.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/time.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/rng.h"
#include "tests/lib/scratch.h"

#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

#define SRC     "/home/u"
#define SRC_LEN (sizeof(SRC) - 1)

static struct exclude *
with(const char *const *patterns, size_t n)
{
	struct exclude *x;
	struct err e = { 0 };
	size_t i;

	assert_int_equal(exclude_new(&x, &e), 0);
	for (i = 0; i < n; i++)
		if (exclude_add(x, patterns[i], &e) < 0)
			fail_msg("%s", e.text);
	return x;
}

static bool
excluded(const char *pattern, const char *path, bool dir)
{
	struct exclude *x = with(&pattern, 1);
	bool yes = exclude_match(x, path, SRC_LEN, dir);

	exclude_free(x);
	return yes;
}

/* --- single patterns -------------------------------------------------------- */

static void
a_pattern_matches_as_gitignore_says(void **state)
{
	static const struct {
		const char *pattern, *path; /* the path below SRC */
		bool dir, yes;
	} t[] = {
		/* Without a slash: the name, anywhere. */
		{ "core", "core", false, true },
		{ "core", "a/b/core", false, true },
		{ "core", "a/corex", false, false },
		{ "core", "core/x", false, false },
		{ "*.o", "a.o", false, true },
		{ "*.o", "a/b/.o", false, true },
		{ "*.o", "a.ox", false, false },
		{ "a*", "xa", false, false },
		{ "a*z", "a-z", false, true },
		{ "a*z", "az", false, true },
		{ "a**z", "a--z", false, true },
		{ "*a*a*", "banana", false, true },
		{ "*a*x*", "banana", false, false },
		{ "?", "a", false, true },
		{ "?", "ab", false, false },
		{ "**", "a/b", false, true },
		{ "*", "a/b", false, true },
		/* Bytes, not characters, and never another case. */
		{ "?", "\xc3", false, true },
		{ "\xc3\xa4", "\xc3\xa4", false, true },
		{ "Core", "core", false, false },
		/* A trailing slash: directories. */
		{ "tmp/", "tmp", true, true },
		{ "tmp/", "tmp", false, false },
		{ "tmp/", "a/tmp", true, true },
		/* A slash elsewhere: from the top of the source. */
		{ "/tmp", "tmp", false, true },
		{ "/tmp", "a/tmp", false, false },
		{ "a/b", "a/b", false, true },
		{ "a/b", "x/a/b", false, false },
		{ "a/b", "a/b/c", false, false },
		{ "a/*", "a/b", false, true },
		{ "a/*", "a/b/c", false, false },
		{ "a/?/c", "a/b/c", false, true },
		{ "a?c", "a/c", false, false },
		{ "/*/x", "a/x", false, true },
		{ "/*/x", "a/b/x", false, false },
		{ "a/b/", "a/b", true, true },
		{ "a/b/", "a/b", false, false },
		/* Two stars. */
		{ "**/x", "x", false, true },
		{ "**/x", "a/b/x", false, true },
		{ "**/x", "a/xx", false, false },
		{ "a/**", "a", true, false },
		{ "a/**", "a/b", false, true },
		{ "a/**", "a/b/c", false, true },
		{ "a/**/z", "a/z", false, true },
		{ "a/**/z", "a/b/c/z", false, true },
		{ "a/**/z", "a/b/c/zz", false, false },
		{ "a/**/b/**/c", "a/x/b/y/b/c", false, true },
		{ "a/**/b/*/c", "a/b/x/b/y/c", false, true },
		{ "a/**/b/*/c", "a/b/x/y/c", false, false },
		{ "**/a/**", "x/a", true, false },
		{ "**/a/**", "x/a/y", false, true },
		{ "/**", "a/b", false, true },
		{ "***/x", "a/x", false, true },
		/* Classes. */
		{ "[ab]", "a", false, true },
		{ "[ab]", "c", false, false },
		{ "[!ab]", "c", false, true },
		{ "[^ab]", "a", false, false },
		{ "[a-c]x", "bx", false, true },
		{ "[a-c]x", "dx", false, false },
		{ "[c-a]", "b", false, false },
		{ "[c-a]", "c", false, true },
		{ "[]x]", "]", false, true },
		{ "[!]x]", "]", false, false },
		{ "[a-]", "-", false, true },
		{ "[\\]]", "]", false, true },
		{ "[a\\-c]", "b", false, false },
		{ "[[:digit:]]", "7", false, true },
		{ "[[:digit:]]", "x", false, false },
		{ "[![:space:]]", "x", false, true },
		{ "[[:upper:][:punct:]]", "_", false, true },
		{ "[[]", "[", false, true },
		{ "x/[/]", "x/y", false, false },
		/* Quoting. */
		{ "\\*", "*", false, true },
		{ "\\*", "x", false, false },
		{ "\\!x", "!x", false, true },
		{ "\\#", "#", false, true },
		{ "a\\b", "ab", false, true },
		{ "x\\ ", "x ", false, true },
		/* Nothing excludes a source itself. */
		{ "u", "", true, false },
		{ "*", "", true, false },
	};
	char path[100];
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		(void)snprintf(path, sizeof(path), "%s%s%s", SRC,
			       t[i].path[0] != '\0' ? "/" : "", t[i].path);
		if (excluded(t[i].pattern, path, t[i].dir) != t[i].yes)
			fail_msg("%s and %s: not %d", t[i].pattern, path,
				 t[i].yes);
	}
}

static void
a_malformed_pattern_is_refused_with_a_sentence(void **state)
{
	static const char *const bad[] = {
		"",     "!",         "/",          "//",   "!/",  "a//b",
		"[",    "[a",        "[]",         "[!]",  "x\\", "[a\\",
		"a/[b", "[[:nix:]]", "[[:alpha:]", "a\\/",
	};
	struct exclude *x = with(NULL, 0);
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(bad); i++) {
		struct err e = { 0 };

		if (exclude_add(x, bad[i], &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_non_null(strstr(e.text, "exclude pattern \""));
	}
	assert_true(exclude_empty(x));
	exclude_free(x);
}

/* --- several ---------------------------------------------------------------- */

static void
the_last_match_decides(void **state)
{
	static const char *const p[] = { "*.log", "!keep.log", "keep.log/" };
	struct exclude *x = with(p, N_OF(p));

	(void)state;
	assert_true(exclude_match(x, SRC "/a.log", SRC_LEN, false));
	assert_false(exclude_match(x, SRC "/keep.log", SRC_LEN, false));
	assert_true(exclude_match(x, SRC "/keep.log", SRC_LEN, true));
	assert_false(exclude_match(x, SRC "/other", SRC_LEN, false));
	exclude_free(x);
}

static void
patterns_are_kept_as_they_were_given(void **state)
{
	static const char *const p[] = { "!a/b/", "\\#x" };
	struct exclude *x = with(p, N_OF(p));

	(void)state;
	assert_false(exclude_empty(x));
	assert_int_equal(exclude_count(x), 2);
	assert_string_equal(exclude_pattern(x, 0), p[0]);
	assert_string_equal(exclude_pattern(x, 1), p[1]);
	exclude_free(x);
}

static void
a_pattern_that_begins_with_a_source_starts_at_the_root(void **state)
{
	static const struct {
		const char *pattern, *path;
		size_t source_len;
		bool yes;
	} t[] = {
		{ "/home/u/tmp", "/home/u/tmp", SRC_LEN, true },
		{ "/home/u/tmp", "/home/u/home/u/tmp", SRC_LEN, false },
		{ "/home/u/*.o", "/home/u/a.o", SRC_LEN, true },
		{ "/home/u/**/x", "/home/u/a/b/x", SRC_LEN, true },
		/* The letters of a source are not the source. */
		{ "/home/u2/tmp", "/home/u/home/u2/tmp", SRC_LEN, true },
		{ "/home/u*", "/home/u/home/ux", SRC_LEN, true },
		/* One of the other sources. */
		{ "/etc/shadow", "/home/u/etc/shadow", SRC_LEN, false },
		{ "/etc/shadow", "/etc/shadow", 4, true },
		/* None of the sources. */
		{ "/var/log", "/home/u/var/log", SRC_LEN, true },
		/* The root as source. */
		{ "/var/log", "/var/log", 1, true },
		{ "var", "/var", 1, true },
		{ "/log", "/var/log", 1, false },
	};
	size_t i;
	int order;

	(void)state;
	for (i = 0; i < N_OF(t) * 2; i++) {
		const char *pattern = t[i / 2].pattern;
		struct exclude *x = with(NULL, 0);

		order = i % 2;
		if (order == 0)
			assert_int_equal(exclude_add(x, pattern, NULL), 0);
		assert_int_equal(exclude_add_source(x, "/etc", NULL), 0);
		assert_int_equal(exclude_add_source(x, SRC, NULL), 0);
		if (order == 1)
			assert_int_equal(exclude_add(x, pattern, NULL), 0);
		if (exclude_match(x, t[i / 2].path, t[i / 2].source_len,
				  false) != t[i / 2].yes)
			fail_msg("%s and %s", pattern, t[i / 2].path);
		exclude_free(x);
	}
	/* The source at hand counts even when nobody has said it. */
	assert_true(excluded("/home/u/tmp", "/home/u/tmp", false));
}

static void
many_stars_do_not_take_for_ever(void **state)
{
	char pattern[2048];
	char path[4096];
	uint64_t from = time_monotonic_ns();
	size_t i;

	(void)state;
	for (i = 0; i + 3 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	memcpy(pattern + i, "b", 2);
	memcpy(path, SRC "/", SRC_LEN + 1);
	memset(path + SRC_LEN + 1, 'a', 255);
	path[SRC_LEN + 256] = '\0';
	assert_false(excluded(pattern, path, false));

	for (i = 0; i + 6 < sizeof(pattern); i += 5)
		memcpy(pattern + i, "**/a/", 5);
	memcpy(pattern + i, "b", 2);
	for (i = SRC_LEN; i + 2 < sizeof(path); i += 2)
		memcpy(path + i, "/a", 2);
	path[i] = '\0';
	assert_false(excluded(pattern, path, false));
	assert_true(time_monotonic_ns() - from < UINT64_C(2000000000));
}

/* --- files ------------------------------------------------------------------ */

static void
a_file_of_patterns_is_read_like_a_gitignore(void **state)
{
	static const char text[] = "\xef\xbb\xbf*.o\r\n"
				   "\n"
				   "# not a pattern\n"
				   "blanks  \n"
				   "quoted\\ \n"
				   "   \n"
				   "!b.o";
	struct exclude *x = with(NULL, 0);
	struct err e = { 0 };
	struct scratch s;

	(void)state;
	scratch_begin(&s);
	scratch_write(scratch_at(&s, "f"), text, sizeof(text) - 1);
	if (exclude_add_file(x, scratch_at(&s, "f"), &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(exclude_count(x), 4);
	assert_string_equal(exclude_pattern(x, 0), "*.o");
	assert_string_equal(exclude_pattern(x, 1), "blanks");
	assert_string_equal(exclude_pattern(x, 2), "quoted\\ ");
	assert_string_equal(exclude_pattern(x, 3), "!b.o");
	exclude_free(x);
	scratch_end(&s);
}

static void
a_bad_line_is_named(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} t[] = { { "a\n\n[\n", 5 }, { "a\n\nb\0c\n", 7 } };
	struct scratch s;
	size_t i;

	(void)state;
	scratch_begin(&s);
	for (i = 0; i < N_OF(t); i++) {
		struct exclude *x = with(NULL, 0);
		struct err e = { 0 };

		scratch_write(scratch_at(&s, "f"), t[i].text, t[i].len);
		assert_int_equal(exclude_add_file(x, scratch_at(&s, "f"), &e),
				 -1);
		assert_int_equal(e.kind, ERR_USAGE);
		assert_non_null(strstr(e.text, "/f, line 3: "));
		exclude_free(x);
	}
	scratch_end(&s);
}

static void
a_file_that_is_not_there_is_named(void **state)
{
	struct exclude *x = with(NULL, 0);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(exclude_add_file(x, "/nonexistent/f", &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	assert_non_null(strstr(e.text, "/nonexistent/f"));
	exclude_free(x);
}

/* --- out of memory ---------------------------------------------------------- */

static size_t allocs_left;

static bool
fail_later(size_t size)
{
	(void)size;
	return allocs_left == 0 || allocs_left-- == 0;
}

static int
add_some(struct err *e)
{
	struct exclude *x;
	int rc = 0;

	if (exclude_new(&x, e) < 0)
		return -1;
	if (exclude_add(x, "a/[bc]*/**/d?", e) < 0 ||
	    exclude_add_source(x, "/a", e) < 0 ||
	    exclude_add(x, "!*.tail", e) < 0)
		rc = -1;
	exclude_free(x);
	return rc;
}

static void
no_allocation_may_fail_unnoticed(void **state)
{
	size_t n;

	(void)state;
	for (n = 0;; n++) {
		struct err e = { 0 };
		int rc;

		allocs_left = n;
		mem_fail(fail_later);
		rc = add_some(&e);
		mem_fail(NULL);
		if (rc == 0)
			break;
		assert_int_equal(e.kind, ERR_NOMEM);
		assert_true(n < 100);
	}
	assert_true(n > 5);
}

/* --- git -------------------------------------------------------------------- */

#define SETS       150
#define TREE_NAMES 8

/* Run git in `dir`, input and output being files; its exit code, or -1. */
static int
git(const char *const *argv, const char *in, const char *out)
{
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int status;
	int rc;

	assert_int_equal(posix_spawn_file_actions_init(&fa), 0);
	assert_int_equal(
		posix_spawn_file_actions_addopen(&fa, 0, in, O_RDONLY, 0), 0);
	assert_int_equal(
		posix_spawn_file_actions_addopen(
			&fa, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600),
		0);
	rc = posix_spawnp(&pid, "git", &fa, NULL,
			  (char *const *)(uintptr_t)argv, environ);
	assert_int_equal(posix_spawn_file_actions_destroy(&fa), 0);
	if (rc != 0)
		return -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A small tree of all kinds of names; its paths, directories marked. */
struct tree {
	char path[400][64];
	bool dir[400];
	size_t n;
};

static void
make_tree(const struct scratch *s, struct tree *t, const char *below, int depth)
{
	static const char *const names[TREE_NAMES] = {
		"a", "b", "ab", "a.b", "cab", "!a", "B", "a-c"
	};
	size_t i;

	for (i = 0; i < (depth == 0 ? TREE_NAMES : 5); i++) {
		char *path = t->path[t->n];

		(void)snprintf(path, sizeof(t->path[0]), "%s%s%s", below,
			       below[0] != '\0' ? "/" : "", names[i]);
		t->dir[t->n] = depth < 3 && i % 2 == 0;
		if (t->dir[t->n++]) {
			assert_int_equal(mkdir(scratch_at(s, path), 0700), 0);
			make_tree(s, t, path, depth + 1);
		} else {
			scratch_write(scratch_at(s, path), "", 0);
		}
	}
}

/*
 * `**` with something else beside it than slashes is an ordinary star by
 * gitignore(5); git itself takes it for `**` when only plain bytes stand
 * before it.
 */
static bool
has_odd_stars(const char *s)
{
	const char *p;
	size_t n;

	for (p = s; (p = strstr(p, "**")) != NULL; p += n) {
		n = strspn(p, "*");
		if ((p > s && p[-1] != '/') || (p[n] != '\0' && p[n] != '/'))
			return true;
	}
	return false;
}

static void
random_pattern(struct rng *r, char out[100])
{
	static const char *const parts[] = {
		"a",   "b",           "ab",   "c",    ".",    "B",
		"*",   "*",           "?",    "/",    "/",    "/",
		"**/", "/**",         "**",   "[ab]", "[!a]", "[a-c]",
		"\\a", "[[:alpha:]]", "[a/]", "-",    "a*",   "[",
	};
	size_t n = 1 + rng_below(r, 6);
	struct buf b = { 0 };

	if (rng_below(r, 5) == 0)
		buf_add_char(&b, '!');
	while (n-- > 0)
		buf_add_str(&b, parts[rng_below(r, N_OF(parts))]);
	if (rng_below(r, 6) == 0)
		buf_add_char(&b, '/');
	(void)snprintf(out, 100, "%s", buf_str(&b));
	buf_clear(&b);
}

/* As the walk does: nothing beneath an excluded directory comes back. */
static bool
walk_excludes(const struct exclude *x, const char *path, bool dir)
{
	char full[128];
	char *slash = full + SRC_LEN;
	bool cut;

	(void)snprintf(full, sizeof(full), "%s/%s", SRC, path);
	while ((slash = strchr(slash + 1, '/')) != NULL) {
		*slash = '\0';
		cut = exclude_match(x, full, SRC_LEN, true);
		*slash = '/';
		if (cut)
			return true;
	}
	return exclude_match(x, full, SRC_LEN, dir);
}

static const char *
next_field(const char **p)
{
	const char *field = *p;

	*p += strlen(field) + 1;
	return field;
}

/* Compare git's answers (source, line, pattern, path; each with NUL). */
static void
compare(const struct exclude *x, const struct tree *t, const char *answers,
	size_t len, const char *patterns)
{
	const char *p = answers;
	size_t i;

	for (i = 0; i < t->n; i++) {
		const char *pattern;
		const char *path;
		bool yes;

		assert_true(p < answers + len);
		(void)next_field(&p);
		(void)next_field(&p);
		pattern = next_field(&p);
		path = next_field(&p);
		assert_string_equal(path, t->path[i]);
		yes = pattern[0] != '\0' && pattern[0] != '!';
		if (walk_excludes(x, path, t->dir[i]) != yes)
			fail_msg("git says %d of %s by %s; patterns:\n%s", yes,
				 path, pattern, patterns);
	}
}

/*
 * A set of patterns in the file f.  One that we refuse must match nothing
 * in git either, so it may stay in git's file.
 */
static struct exclude *
make_set(struct rng *r, const struct scratch *s, struct buf *text)
{
	struct exclude *x = with(NULL, 0);
	size_t n = 1 + rng_below(r, 4);
	char pattern[100];

	buf_reset(text);
	while (n-- > 0) {
		do
			random_pattern(r, pattern);
		while (has_odd_stars(pattern));
		(void)exclude_add(x, pattern, NULL);
		buf_printf(text, "%s\n", pattern);
	}
	scratch_write(scratch_at(s, ".git/f"), text->data, text->len);
	return x;
}

static void
write_paths(const struct scratch *s, const struct tree *t)
{
	struct buf b = { 0 };
	size_t i;

	for (i = 0; i < t->n; i++)
		buf_add(&b, t->path[i], strlen(t->path[i]) + 1);
	scratch_write(scratch_at(s, ".git/in"), b.data, b.len);
	buf_clear(&b);
}

static void
git_gives_the_same_answers(void **state)
{
	static struct tree t;
	static char answers[1 << 17];
	struct rng r = { 20261121 };
	struct buf text = { 0 };
	struct scratch s;
	char config[300];
	size_t i;
	size_t len;

	(void)state;
	scratch_begin(&s);
	(void)snprintf(config, sizeof(config), "core.excludesFile=%s/.git/f",
		       s.path);
	const char *const init[] = { "git", "init", "-q", s.path, NULL };
	const char *const ask[] = { "git",  "-C",           s.path,    "-c",
				    config, "check-ignore", "-v",      "-n",
				    "-z",   "--no-index",   "--stdin", NULL };

	if (git(init, "/dev/null", "/dev/null") != 0) {
		scratch_end(&s);
		skip();
	}
	make_tree(&s, &t, "", 0);
	write_paths(&s, &t);
	for (i = 0; i < SETS; i++) {
		struct exclude *x = make_set(&r, &s, &text);

		assert_true(git(ask, scratch_at(&s, ".git/in"),
				scratch_at(&s, ".git/out")) <= 1);
		len = scratch_read(scratch_at(&s, ".git/out"), answers,
				   sizeof(answers));
		compare(x, &t, answers, len, buf_str(&text));
		exclude_free(x);
	}
	buf_clear(&text);
	scratch_end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pattern_matches_as_gitignore_says),
		cmocka_unit_test(
			a_malformed_pattern_is_refused_with_a_sentence),
		cmocka_unit_test(the_last_match_decides),
		cmocka_unit_test(patterns_are_kept_as_they_were_given),
		cmocka_unit_test(
			a_pattern_that_begins_with_a_source_starts_at_the_root),
		cmocka_unit_test(many_stars_do_not_take_for_ever),
		cmocka_unit_test(a_file_of_patterns_is_read_like_a_gitignore),
		cmocka_unit_test(a_bad_line_is_named),
		cmocka_unit_test(a_file_that_is_not_there_is_named),
		cmocka_unit_test(no_allocation_may_fail_unnoticed),
		cmocka_unit_test(git_gives_the_same_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
