/*
 * Which writers and components a session has, over documents written here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/choose.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/words.h"

#include <string.h>

#define WRITERS 3
#define METHOD  "restore-method restore-if-can-replace\n"

static const char db[] =
	"writer db\nschema incremental differential exclusive\n" METHOD
	"component main database selectable=yes\n"
	"component main/logs database selectable=no\n"
	"component cache file-group selectable=yes\n"
	"database-files main /srv/db *.db\n"
	"log-files main/logs /var/log/db *\n"
	"files cache /srv/cache * recursive\nend\n";
static const char mail[] =
	"writer mail\n" METHOD "component all file-group selectable=no\n"
	"component extra file-group selectable=yes\n"
	"files all /var/mail * recursive\n"
	"files extra /opt/extra *\nend\n";
static const char leaning[] = "writer lean\nschema incremental\n" METHOD
			      "component top file-group selectable=yes\n"
			      "files top /srv/lean *\n"
			      "dependency top db main/logs\nend\n";

struct table {
	struct choose_writer w[WRITERS];
	size_t n;
	const char *source[2];
	const char *wish[2];
	struct choose_input in;
	struct err e;
};

static void
begin(struct table *t, const char *a, const char *b, const char *c)
{
	const char *const text[WRITERS] = { a, b, c };
	static const char *const name[WRITERS] = { "db", "mail", "lean" };

	memset(t, 0, sizeof(*t));
	for (t->n = 0; t->n < WRITERS && text[t->n] != NULL; t->n++) {
		struct choose_writer *w = &t->w[t->n];

		w->name = name[t->n];
		w->present = true;
		w->document = text[t->n][0] != '\0' ? words_document(text[t->n])
						    : NULL;
		if (w->document != NULL)
			w->name = w->document->writer;
	}
	t->source[0] = "/srv";
	t->in.source = t->source;
	t->in.sources = 1;
	t->in.wish = t->wish;
	t->in.type = METADATA_INCREMENTAL;
}

static void
end(struct table *t)
{
	size_t i;

	choose_clear(t->w, t->n);
	for (i = 0; i < t->n; i++) {
		union {
			const struct metadata *in;
			struct metadata *out;
		} u = { .in = t->w[i].document };

		metadata_free(u.out);
	}
}

static void
chosen(struct table *t)
{
	if (choose(t->w, t->n, &t->in, &t->e) < 0)
		fail_msg("%s", t->e.text);
}

/* The names of what is chosen of the i-th, joined by blanks. */
static void
is(const struct table *t, size_t i, const char *want)
{
	struct buf out = { 0 };
	size_t k;

	for (k = 0; t->w[i].any && k < t->w[i].document->components.count; k++)
		if (t->w[i].chosen[k])
			buf_printf(&out, "%s%s", out.len > 0 ? " " : "",
				   t->w[i].document->components.v[k].name);
	assert_string_equal(buf_str(&out), want);
	if (want[0] == '\0')
		assert_non_null(t->w[i].why);
	buf_clear(&out);
}

static void
a8_by_default_those_with_a_file_beneath_a_source_take_part(void **state)
{
	static const struct {
		const char *source, *db, *mail;
	} rows[] = {
		{ "/srv", "main cache", "" },
		{ "/srv/db", "main", "" },
		{ "/srv/db/x.db", "main", "" },
		{ "/srv/db/x.txt", "", "" },
		{ "/var/log", "main", "" },
		{ "/srv/cache/deep/er", "cache", "" },
		{ "/srv/db/deeper", "", "" },
		{ "/var", "main", "all" },
		{ "/opt", "", "all extra" },
		{ "/", "main cache", "all extra" },
		{ "/home", "", "" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct table t;

		begin(&t, db, mail, NULL);
		t.source[0] = rows[i].source;
		chosen(&t);
		is(&t, 0, rows[i].db);
		is(&t, 1, rows[i].mail);
		end(&t);
	}
}

static void
a8_a_wish_names_a_writer_or_a_component(void **state)
{
	static const struct {
		const char *wish, *db, *mail;
	} rows[] = {
		{ "db", "main cache", "" },  { "db:cache", "cache", "" },
		{ "mail", "", "all extra" }, { "mail:extra", "", "all extra" },
		{ "mail:all", "", "all" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct table t;

		begin(&t, db, mail, NULL);
		t.wish[0] = rows[i].wish;
		t.in.wishes = 1;
		chosen(&t);
		is(&t, 0, rows[i].db);
		is(&t, 1, rows[i].mail);
		end(&t);
	}
}

static void
a8_a_wish_that_cannot_be_is_the_persons_mistake(void **state)
{
	static const char *const rows[] = { "no", "db:no", "db:main/logs",
					    "mail:", "lean" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct table t;

		begin(&t, db, mail, "");
		t.wish[0] = rows[i];
		t.in.wishes = 1;
		assert_int_equal(choose(t.w, t.n, &t.in, &t.e), -1);
		assert_int_equal(t.e.kind, ERR_USAGE);
		end(&t);
	}
}

static void
a4_without_the_type_in_its_schema_a_writer_has_a_full(void **state)
{
	struct table t;

	(void)state;
	begin(&t, db, mail, NULL);
	t.source[0] = "/";
	chosen(&t);
	assert_int_equal(t.w[0].effective, METADATA_INCREMENTAL);
	assert_null(t.w[0].why);
	assert_int_equal(t.w[1].effective, METADATA_FULL);
	assert_non_null(t.w[1].why);
	choose_clear(t.w, t.n);
	t.in.skip_unsupported = true;
	chosen(&t);
	is(&t, 0, "main cache");
	is(&t, 1, "");
	choose_clear(t.w, t.n);
	t.in.skip_unsupported = false;
	t.in.type = METADATA_LOG;
	chosen(&t);
	assert_int_equal(t.w[0].effective, METADATA_FULL);
	assert_int_equal(t.w[1].effective, METADATA_FULL);
	choose_clear(t.w, t.n);
	t.in.skip_unsupported = true;
	chosen(&t);
	is(&t, 0, "");
	is(&t, 1, "");
	end(&t);
}

static void
a7_exclusive_is_symmetric_and_asks_what_is_chosen(void **state)
{
	static const uint32_t one[] = { 1, 0, 0 };
	static const uint32_t other[] = { 0, 0, 1 };
	static const struct {
		unsigned type;
		const uint32_t *incrementals, *differentials;
		unsigned want;
	} rows[] = {
		{ METADATA_INCREMENTAL, one, NULL, METADATA_INCREMENTAL },
		{ METADATA_INCREMENTAL, NULL, one, METADATA_FULL },
		{ METADATA_DIFFERENTIAL, one, NULL, METADATA_FULL },
		{ METADATA_DIFFERENTIAL, NULL, one, METADATA_DIFFERENTIAL },
		/* of a component that is not chosen */
		{ METADATA_DIFFERENTIAL, other, NULL, METADATA_DIFFERENTIAL },
		{ METADATA_FULL, one, one, METADATA_FULL },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct table t;

		begin(&t, db, NULL, NULL);
		t.source[0] = "/srv/db";
		t.in.type = rows[i].type;
		t.w[0].incrementals = rows[i].incrementals;
		t.w[0].differentials = rows[i].differentials;
		chosen(&t);
		assert_int_equal(t.w[0].effective, rows[i].want);
		assert_int_equal(t.w[0].why != NULL,
				 rows[i].want != rows[i].type);
		end(&t);
	}
}

static void
a8_overlapping_file_sets_leave_out_the_second_writer(void **state)
{
	static const char second[] = "writer second\n" METHOD
				     "component c file-group selectable=yes\n"
				     "files c /srv * recursive\nend\n";
	struct table t;

	(void)state;
	begin(&t, db, second, NULL);
	chosen(&t);
	is(&t, 0, "main cache");
	is(&t, 1, "");
	assert_non_null(strstr(t.w[1].why, "writer db"));
	choose_clear(t.w, t.n);
	/* Whoever is not there holds nobody up. */
	t.w[0].present = false;
	chosen(&t);
	is(&t, 1, "c");
	end(&t);
}

static void
a8_dependencies_pull_in_what_they_need(void **state)
{
	struct table t;

	(void)state;
	begin(&t, db, mail, leaning);
	t.source[0] = "/srv/lean";
	chosen(&t);
	is(&t, 0, "main");
	assert_non_null(strstr(t.w[0].why, "writer lean depends"));
	is(&t, 1, "");
	is(&t, 2, "top");
	end(&t);
}

static void
a8_dependencies_leave_out_both_sides_when_they_cannot(void **state)
{
	struct table t;

	(void)state;
	begin(&t, db, mail, leaning);
	t.source[0] = "/srv/lean";
	t.w[0].present = false;
	chosen(&t);
	is(&t, 2, "");
	assert_non_null(strstr(t.w[2].why, "depends on writer db"));
	end(&t);
}

static void
without_a_document_there_is_nothing_to_choose(void **state)
{
	struct table t;

	(void)state;
	begin(&t, "", mail, NULL);
	t.source[0] = "/";
	chosen(&t);
	assert_false(t.w[0].any);
	assert_string_equal(t.w[0].why, "it has handed in no document");
	is(&t, 1, "all extra");
	end(&t);
}

static void
without_memory_it_says_so_and_keeps_nothing(void **state)
{
	unsigned n;
	int rc = -1;

	(void)state;
	for (n = 1; rc < 0; n++) {
		struct table t;

		begin(&t, db, mail, leaning);
		t.source[0] = "/srv/lean";
		failing_plan_alloc(n, false);
		rc = choose(t.w, t.n, &t.in, &t.e);
		failing_off();
		if (rc < 0)
			assert_int_equal(t.e.kind, ERR_NOMEM);
		end(&t);
		assert_true(n < 50);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a8_by_default_those_with_a_file_beneath_a_source_take_part),
		cmocka_unit_test(a8_a_wish_names_a_writer_or_a_component),
		cmocka_unit_test(
			a8_a_wish_that_cannot_be_is_the_persons_mistake),
		cmocka_unit_test(
			a4_without_the_type_in_its_schema_a_writer_has_a_full),
		cmocka_unit_test(
			a7_exclusive_is_symmetric_and_asks_what_is_chosen),
		cmocka_unit_test(
			a8_overlapping_file_sets_leave_out_the_second_writer),
		cmocka_unit_test(a8_dependencies_pull_in_what_they_need),
		cmocka_unit_test(
			a8_dependencies_leave_out_both_sides_when_they_cannot),
		cmocka_unit_test(without_a_document_there_is_nothing_to_choose),
		cmocka_unit_test(without_memory_it_says_so_and_keeps_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
