/*
 * What a session asks of a document: component sets, types and masks, files,
 * rights, and whether a statement is in order.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/metadata.h"

#include "base/buf.h"
#include "base/err.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/words.h"

#include <errno.h>
#include <string.h>

/* --- component sets --------------------------------------------------------- */

#define SETS                                                                   \
	"writer w\nschema incremental last-modify\n"                           \
	"restore-method restore-if-can-replace\n"                              \
	"component top file-group selectable=no\n"                             \
	"component top/opt file-group selectable=yes\n"                        \
	"component top/opt/part file-group selectable=no "                     \
	"selectable-for-restore\n"                                             \
	"component top/opt/sub file-group selectable=yes\n"                    \
	"component top/opt/sub/leaf file-group selectable=no\n"                \
	"component top/optional file-group selectable=no\n"                    \
	"component free/floating file-group selectable=yes\n"                  \
	"files top /top *\n"                                                   \
	"files top/opt /opt *\n"                                               \
	"files top/opt/part /part *.p recursive backup=full,incremental\n"     \
	"files top/optional /optional x\n"                                     \
	"exclude /part *.tmp.p recursive\n"                                    \
	"end\n"

enum {
	TOP,
	OPT,
	PART,
	SUB,
	LEAF,
	OPTIONAL,
	FLOATING,
	COMPONENTS
};

static void
inclusion_follows_selectability_and_selectable_ancestors(void **state)
{
	static const struct {
		enum metadata_inclusion inclusion;
		size_t set;
	} want[COMPONENTS] = {
		{ INCLUDE_REQUIRED, METADATA_NONE },
		{ INCLUDE_OPTIONAL, METADATA_NONE },
		{ INCLUDE_IMPLICIT, OPT },
		{ INCLUDE_EITHER, OPT },
		{ INCLUDE_IMPLICIT, SUB },
		{ INCLUDE_REQUIRED, METADATA_NONE },
		{ INCLUDE_OPTIONAL, METADATA_NONE },
	};
	struct metadata *m = words_document(SETS);
	size_t i;

	(void)state;
	assert_int_equal(m->components.count, COMPONENTS);
	for (i = 0; i < COMPONENTS; i++) {
		assert_int_equal(metadata_inclusion(m, i), want[i].inclusion);
		assert_int_equal(metadata_set_of(m, i), want[i].set);
		assert_int_equal(metadata_find(m, m->components.v[i].name,
					       strlen(m->components.v[i].name)),
				 i);
	}
	assert_int_equal(metadata_find(m, "top/op", 6), METADATA_NONE);
	assert_int_equal(metadata_find(m, "free", 4), METADATA_NONE);
	metadata_free(m);
}

static void
a_set_is_a_selectable_component_and_all_beneath_its_name(void **state)
{
	struct metadata *m = words_document(SETS);

	(void)state;
	assert_int_equal(metadata_next_member(m, OPT, 0), PART);
	assert_int_equal(metadata_next_member(m, OPT, PART + 1), SUB);
	assert_int_equal(metadata_next_member(m, OPT, SUB + 1), LEAF);
	assert_int_equal(metadata_next_member(m, OPT, LEAF + 1), METADATA_NONE);
	/* One that is not selectable makes no set. */
	assert_int_equal(metadata_next_member(m, TOP, 0), METADATA_NONE);
	assert_false(metadata_is_member(m, OPT, TOP));
	assert_true(metadata_is_member(m, TOP, TOP));
	assert_false(metadata_is_member(m, OPTIONAL, OPT));
	assert_false(metadata_is_member(m, OPT, SUB));
	metadata_free(m);
}

static void
a_choice_adds_what_is_required_and_refuses_what_is_implied(void **state)
{
	struct metadata *m = words_document(SETS);
	bool none[COMPONENTS] = { false };
	bool floating[COMPONENTS] = { [FLOATING] = true };
	bool implicit[COMPONENTS] = { [LEAF] = true };
	bool both[COMPONENTS] = { [OPT] = true, [SUB] = true };
	bool sub[COMPONENTS] = { [SUB] = true };
	bool opt[COMPONENTS] = { [OPT] = true };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(metadata_choose(m, none, NULL), 0);
	assert_false(none[TOP]);
	assert_int_equal(metadata_choose(m, floating, NULL), 0);
	assert_true(floating[TOP] && floating[OPTIONAL]);
	assert_false(floating[OPT] || floating[PART] || floating[SUB]);
	assert_int_equal(metadata_choose(m, implicit, &e), -1);
	assert_int_equal(refuse_errno(&e), EINVAL);
	assert_string_equal(e.text, "component top/opt/sub/leaf is only there "
				    "with the set it is part of");
	err_clear(&e);
	assert_int_equal(metadata_choose(m, both, &e), -1);
	assert_string_equal(e.text, "component top/opt/sub is there with a set "
				    "that is chosen already");
	assert_int_equal(metadata_choose(m, sub, NULL), 0);
	assert_int_equal(metadata_managing(m, sub, LEAF), SUB);
	assert_int_equal(metadata_managing(m, sub, PART), METADATA_NONE);
	assert_int_equal(metadata_choose(m, opt, NULL), 0);
	assert_int_equal(metadata_managing(m, opt, LEAF), OPT);
	assert_int_equal(metadata_managing(m, opt, OPT), OPT);
	assert_int_equal(metadata_managing(m, opt, FLOATING), METADATA_NONE);
	/* Restored alone: what was explicit, or says that it may be. */
	assert_true(metadata_may_restore(m, opt, OPT));
	assert_true(metadata_may_restore(m, opt, PART));
	assert_false(metadata_may_restore(m, opt, SUB));
	assert_true(metadata_may_restore(m, sub, SUB));
	assert_false(metadata_may_restore(m, sub, PART));
	metadata_free(m);
}

/* --- types, masks, files ---------------------------------------------------- */

static void
a_type_that_the_schema_lacks_is_full(void **state)
{
	struct metadata *m = words_document(SETS);

	(void)state;
	assert_int_equal(metadata_effective(m, METADATA_FULL), METADATA_FULL);
	assert_int_equal(metadata_effective(m, METADATA_INCREMENTAL),
			 METADATA_INCREMENTAL);
	assert_int_equal(metadata_effective(m, METADATA_DIFFERENTIAL),
			 METADATA_FULL);
	assert_int_equal(metadata_effective(m, METADATA_LOG), METADATA_FULL);
	assert_int_equal(metadata_effective(m, METADATA_COPY), METADATA_FULL);
	metadata_free(m);
}

static void
full_and_copy_test_the_same_bits_and_log_only_log_files(void **state)
{
	struct metadata *m = words_document(
		HEAD "database-files db /a * backup=full snapshot=log\n"
		     "database-files db /b * backup=incremental,log "
		     "snapshot=full\n"
		     "log-files db /l * backup=log snapshot=none\n" END);
	const struct metadata_files *a = &m->files.v[1];
	const struct metadata_files *b = &m->files.v[2];
	const struct metadata_files *l = &m->files.v[3];

	(void)state;
	assert_true(metadata_required(a, METADATA_FULL));
	assert_true(metadata_required(a, METADATA_COPY));
	assert_false(metadata_required(a, METADATA_INCREMENTAL));
	assert_false(metadata_required(b, METADATA_FULL));
	assert_false(metadata_required(b, METADATA_COPY));
	assert_true(metadata_required(b, METADATA_INCREMENTAL));
	assert_false(metadata_required(b, METADATA_DIFFERENTIAL));
	assert_false(metadata_required(b, METADATA_LOG));
	assert_true(metadata_required(l, METADATA_LOG));
	assert_false(metadata_required(l, METADATA_FULL));
	assert_true(metadata_snapshot_only(b, METADATA_COPY));
	assert_true(metadata_snapshot_only(a, METADATA_LOG));
	assert_false(metadata_snapshot_only(a, METADATA_FULL));
	assert_false(metadata_snapshot_only(l, METADATA_LOG));
	metadata_free(m);
}

static void
a_path_fits_by_directory_pattern_and_recursion(void **state)
{
	static const struct {
		struct metadata_spec spec;
		const char *path;
		bool yes;
	} t[] = {
		{ { "/a", "*", false, 0 }, "/a/x", true },
		{ { "/a", "*", false, 0 }, "/a/.x", true },
		{ { "/a", "*", false, 0 }, "/a/b/x", false },
		{ { "/a", "*", true, 0 }, "/a/b/x", true },
		{ { "/a", "*", true, 0 }, "/a", false },
		{ { "/a", "*", true, 0 }, "/ab/x", false },
		{ { "/a", "x", true, 0 }, "/a/x/y", false },
		{ { "/", "*", false, 0 }, "/x", true },
		{ { "/", "*", false, 0 }, "/x/y", false },
		{ { "/", "*", true, 0 }, "/x/y", true },
		{ { "/", "*", true, 0 }, "/", false },
	};
	static const struct {
		struct metadata_spec a, b;
		bool yes;
	} o[] = {
		{ { "/a", "*", false, 0 }, { "/a", "x", false, 0 }, true },
		{ { "/a", "x", false, 0 }, { "/a", "y", false, 0 }, false },
		{ { "/a", "*", false, 0 }, { "/a/b", "*", false, 0 }, false },
		{ { "/a", "*", true, 0 }, { "/a/b", "*", false, 0 }, true },
		{ { "/a", "*", false, 0 }, { "/a/b", "*", true, 0 }, false },
		{ { "/", "*.x", true, 0 }, { "/a", "*.y", true, 0 }, false },
		{ { "/a", "*", true, 0 }, { "/ab", "*", true, 0 }, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++)
		if (metadata_fits(&t[i].spec, t[i].path) != t[i].yes)
			fail_msg("%s", t[i].path);
	for (i = 0; i < N_OF(o); i++)
		if (metadata_overlap(&o[i].a, &o[i].b) != o[i].yes ||
		    metadata_overlap(&o[i].b, &o[i].a) != o[i].yes)
			fail_msg("overlap %zu", i);
}

static void
a_file_has_a_place_seen_from_a_component(void **state)
{
	struct metadata *m = words_document(SETS);

	(void)state;
	assert_int_equal(metadata_place(m, OPT, "/opt/x"), PLACE_OWN);
	assert_int_equal(metadata_place(m, OPT, "/part/a/x.p"), PLACE_OWN);
	assert_int_equal(metadata_place(m, OPT, "/part/a/x.q"), PLACE_BENEATH);
	assert_int_equal(metadata_place(m, OPT, "/optional/x"), PLACE_OTHER);
	assert_int_equal(metadata_place(m, OPT, "/optional/y"), PLACE_OUTSIDE);
	assert_int_equal(metadata_place(m, TOP, "/opt/x"), PLACE_OTHER);
	assert_true(metadata_excludes(m, "/part/a/b.tmp.p"));
	assert_false(metadata_excludes(m, "/part/a/b.p"));
	metadata_free(m);
}

/* --- statements against it -------------------------------------------------- */

static int
judged(const struct metadata *m, const char *line, enum metadata_type type)
{
	struct statement s = { 0 };
	struct err e = { 0 };
	int rc = 0;

	assert_int_equal(statement_parse(&s, line, strlen(line), NULL), 0);
	if (metadata_judge(m, &s, type, &e) < 0)
		rc = refuse_errno(&e);
	statement_clear(&s);
	return rc;
}

static void
a_statement_is_judged_against_the_document(void **state)
{
	static const struct {
		const char *line;
		int error;
	} t[] = {
		{ "begin", 0 },
		{ "backup-stamp top x", 0 },
		{ "backup-stamp nobody x", ENOENT },
		{ "gap nobody", ENOENT },
		{ "gap top/opt/part", 0 },
		/* Implicit ones have no record of their own. */
		{ "backup-stamp top/opt/part x", EINVAL },
		{ "partial-file top/opt/part /part/x.p none", EINVAL },
		{ "partial-file top/opt /part/x.p none", 0 },
		/* Partial: any file but another component's. */
		{ "partial-file top/opt /opt/x 0:1", 0 },
		{ "partial-file top/opt /new/x 0:1", 0 },
		{ "partial-file top/opt /top/x 0:1", EINVAL },
		{ "attach top/opt /top/x from=/y", EINVAL },
		/* Of a restore: the source is its own, the place is free. */
		{ "restore-target top/opt alternate", 0 },
		{ "restore-target nobody alternate", ENOENT },
		{ "restore-metadata top/opt/part x", EINVAL },
		{ "directed-target top/opt /opt/x 0:1 /new/x 0:1", 0 },
		{ "directed-target top/opt /top/x 0:1 /new/x 0:1", EINVAL },
		{ "directed-target top/opt /opt/x 0:1 /top/x 0:1", EINVAL },
		/* Differenced: one file set, or apart from all. */
		{ "differenced-file top/opt /opt *", 0 },
		{ "differenced-file top/opt /part *.p recursive", 0 },
		{ "differenced-file top/opt /part *.p", EINVAL },
		{ "differenced-file top/opt /opt x", EINVAL },
		{ "differenced-file top/opt / x recursive", EINVAL },
		{ "differenced-file top/opt /top *", EINVAL },
		{ "differenced-file top/opt /part *.q recursive", 0 },
		{ "differenced-file top/opt /new * recursive", 0 },
	};
	struct metadata *m = words_document(SETS);
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++)
		if (judged(m, t[i].line, 0) != t[i].error)
			fail_msg("%s: %d", t[i].line, judged(m, t[i].line, 0));
	metadata_free(m);
}

static void
a_differenced_file_needs_last_modify_and_the_type_in_the_schema(void **state)
{
	static const char line[] = "differenced-file top/opt /opt *";
	struct metadata *m = words_document(SETS);
	struct metadata *plain = words_document(HEAD END);

	(void)state;
	assert_int_equal(judged(m, line, METADATA_INCREMENTAL), 0);
	assert_int_equal(judged(m, line, METADATA_FULL), 0);
	assert_int_equal(judged(m, line, METADATA_COPY), 0);
	assert_int_equal(judged(m, line, METADATA_DIFFERENTIAL), EOPNOTSUPP);
	assert_int_equal(judged(m, line, METADATA_LOG), EOPNOTSUPP);
	assert_int_equal(judged(plain, "differenced-file g /g *", 0),
			 EOPNOTSUPP);
	metadata_free(m);
	metadata_free(plain);
}

static void
every_path_of_a_writer_lies_beneath_its_grant(void **state)
{
	static const char *const grants[] = { "/g", "/h/i" };
	static const struct {
		const char *lines;
		int error;
	} t[] = {
		{ "", 0 },
		{ "files g /h/i/j * alternate=/g/x", 0 },
		{ "files g /h *", EPERM },
		{ "files g /gg *", EPERM },
		{ "files g / * recursive", EPERM },
		{ "files g /g/a * alternate=/alt", EPERM },
		{ "exclude / * recursive", EPERM },
		{ "exclude-from-snapshot /h *", EPERM },
		{ "alternate-location /g * to=/elsewhere", EPERM },
	};
	static const struct {
		const char *line;
		int error;
	} s[] = {
		{ "partial-file g /g/x 0:1", 0 },
		{ "partial-file g /x 0:1", EPERM },
		{ "partial-file g /g/x file=/etc/shadow", EPERM },
		{ "attach g /g/x from=/etc/shadow", EPERM },
		{ "attach g /g/x from=/h/i/y", 0 },
		{ "directed-target g /g/x 0:1 /etc/passwd 0:1", EPERM },
		{ "directed-target g /etc/shadow 0:1 /g/x 0:1", EPERM },
		{ "directed-target g /g/x 0:1 /h/i/y 0:1", 0 },
		{ "differenced-file g / * recursive", EPERM },
		{ "gap g /x", EPERM },
		{ "backup-stamp g /x", 0 },
	};
	struct buf b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		struct metadata *m;
		struct err e = { 0 };
		int rc;

		buf_reset(&b);
		buf_printf(&b, "%s%s\n%s", HEAD, t[i].lines, END);
		m = words_document(buf_str(&b));
		rc = metadata_granted(m, grants, N_OF(grants), &e);
		if (rc != (t[i].error == 0 ? 0 : -1))
			fail_msg("%s", t[i].lines);
		if (rc < 0) {
			assert_int_equal(refuse_errno(&e), EPERM);
			assert_int_equal(strncmp(e.text, "line 7: ", 8), 0);
		}
		metadata_free(m);
	}
	for (i = 0; i < N_OF(s); i++) {
		struct statement x = { 0 };
		struct err e = { 0 };

		assert_int_equal(
			statement_parse(&x, s[i].line, strlen(s[i].line), NULL),
			0);
		if (metadata_statement_granted(&x, grants, N_OF(grants), &e) !=
		    (s[i].error == 0 ? 0 : -1))
			fail_msg("%s", s[i].line);
		assert_true(s[i].error == 0 || refuse_errno(&e) == EPERM);
		statement_clear(&x);
	}
	buf_clear(&b);
}

static void
custom_restore_methods_are_roots(void **state)
{
	static const char *const grants[] = { "/" };
	struct metadata *m =
		words_document("writer w\nrestore-method custom\n"
			       "component g file-group selectable=no\nend\n");
	struct err e = { 0 };

	(void)state;
	assert_int_equal(metadata_granted(m, grants, 1, &e), -1);
	assert_int_equal(refuse_errno(&e), EPERM);
	assert_string_equal(e.text,
			    "line 2: the restore method custom is root's");
	metadata_free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			inclusion_follows_selectability_and_selectable_ancestors),
		cmocka_unit_test(
			a_set_is_a_selectable_component_and_all_beneath_its_name),
		cmocka_unit_test(
			a_choice_adds_what_is_required_and_refuses_what_is_implied),
		cmocka_unit_test(a_type_that_the_schema_lacks_is_full),
		cmocka_unit_test(
			full_and_copy_test_the_same_bits_and_log_only_log_files),
		cmocka_unit_test(
			a_path_fits_by_directory_pattern_and_recursion),
		cmocka_unit_test(a_file_has_a_place_seen_from_a_component),
		cmocka_unit_test(a_statement_is_judged_against_the_document),
		cmocka_unit_test(
			a_differenced_file_needs_last_modify_and_the_type_in_the_schema),
		cmocka_unit_test(every_path_of_a_writer_lies_beneath_its_grant),
		cmocka_unit_test(custom_restore_methods_are_roots),
	};

	return cmocka_run_group_tests_name("metadata_ask", tests, NULL, NULL);
}
