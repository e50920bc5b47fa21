/*
 * Documents against their normal form or their refusal, a table a rule of
 * doc/control.md, section 6.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/metadata.h"

#include "base/buf.h"
#include "base/err.h"
#include "src/writer/refuse.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/words.h"

#include <errno.h>
#include <string.h>

static void
print_parsed(const char *text, struct buf *out)
{
	struct metadata *m = words_document(text);

	buf_reset(out);
	metadata_print(m, out);
	metadata_free(m);
}

/* The document is taken, and its normal form is `want` and its own. */
static void
taken(const char *text, const char *want)
{
	struct buf b = { 0 };

	print_parsed(text, &b);
	assert_string_equal(buf_str(&b), want);
	print_parsed(want, &b);
	assert_string_equal(buf_str(&b), want);
	buf_clear(&b);
}

static void
refused(const char *text, int error, const char *want)
{
	struct metadata *m = (struct metadata *)(void *)&error;
	struct err e = { 0 };

	if (metadata_parse(&m, text, strlen(text), &e) == 0)
		fail_msg("taken:\n%s", text);
	assert_ptr_equal(m, &error);
	if (strstr(e.text, want) == NULL || refuse_errno(&e) != error)
		fail_msg("%s (%d), not %s\n%s", e.text, refuse_errno(&e), want,
			 text);
}

/* A table of lines that come behind HEAD, as line 7. */
struct row {
	const char *lines;
	int error; /* 0: taken, and the normal form of the lines is: */
	const char *want;
};

static void
check_lines(const struct row *t, size_t n)
{
	struct buf text = { 0 };
	struct buf want = { 0 };
	struct buf got = { 0 };

	for (; n > 0; t++, n--) {
		buf_reset(&text);
		buf_printf(&text, "%s%s\n%s", HEAD, t->lines, END);
		if (t->error != 0) {
			refused(buf_str(&text), t->error, t->want);
			continue;
		}
		print_parsed(buf_str(&text), &got);
		buf_reset(&text);
		buf_printf(&text, "%s%s\n%s", HEAD, t->want, END);
		print_parsed(buf_str(&text), &want);
		assert_string_equal(buf_str(&got), buf_str(&want));
		if (strstr(buf_str(&got), t->want) == NULL)
			fail_msg("%s:\n%s", t->lines, buf_str(&got));
	}
	buf_clear(&text);
	buf_clear(&want);
	buf_clear(&got);
}

static void
the_normal_form_leaves_out_what_goes_without_saying(void **state)
{
	(void)state;
	taken("# a comment\r\n\n"
	      "writer  pg freeze-level=front-end usage=user-data source=other\n"
	      "component a database selectable=yes\r\n"
	      "\t database-files a /d/ * backup=all snapshot=full,differential,"
	      "incremental,log\n"
	      "restore-method restore-if-not-there writer-restore=always\n"
	      "schema none\n"
	      "end\n# more\n\n",
	      "writer pg\n"
	      "restore-method restore-if-not-there\n"
	      "component a database selectable=yes\n"
	      "database-files a /d *\n"
	      "end\n");
	taken("writer pg instance=\"a b\" source=transacted-database "
	      "usage=system-service freeze-level=back-end\n"
	      "restore-method stop-restore-start reboot-required "
	      "writer-restore=never\n"
	      "component z file-group selectable=no\nend",
	      "writer pg usage=system-service source=transacted-database "
	      "freeze-level=back-end instance=\"a b\"\n"
	      "restore-method stop-restore-start writer-restore=never "
	      "reboot-required\n"
	      "component z file-group selectable=no\n"
	      "end\n");
}

static void
a_document_has_writer_method_component_and_end(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} t[] = {
		{ "", "line 1: the document has no line end" },
		{ "end\n", "line 1: a document begins with the writer line" },
		{ "schema full\n", "line 1: a document begins" },
		{ "writer\n", "line 1: words are missing" },
		{ "writer .w\n", "line 1: column 8: a writer's name does not" },
		{ "writer \"a b\"\n", "line 1: column 8: a writer's name has" },
		{ "writer w usage=x\n", "column 10: not one of its values" },
		{ "writer w usage=\n", "column 10: not one of its values" },
		{ "writer w source=undefined\n", "not one of its values" },
		{ "writer w\nwriter w\n", "line 2: a second writer line" },
		{ "writer w\nend\n", "line 2: no restore-method line above" },
		{ "writer w\nrestore-method custom\nend\n",
		  "line 3: no component above" },
		{ "writer w\nrestore-method undefined\n",
		  "line 2: column 16: no such restore method" },
		{ "writer w\nrestore-method custom\nrestore-method custom\n",
		  "line 3: a second restore-method line" },
		{ "writer w\nrestore-method custom writer-restore=maybe\n",
		  "not one of its values" },
		{ HEAD, "line 7: the document has no line end" },
		{ HEAD "end x\n", "line 7: column 5: a word too many" },
		{ HEAD END "files g /h *\n",
		  "line 8: something behind the line end" },
		{ HEAD END END, "line 8: something behind the line end" },
		{ HEAD "include /x *\n" END, "no such line in a document" },
		{ HEAD "files g \"/h\n" END,
		  "line 7: column 9: a quote that is not closed" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++)
		refused(t[i].text, EINVAL, t[i].want);
	refused("writer w\nrestore-method stop-restore-start service=x\n",
		EPERM, "line 2: column 35: the service is named");
}

/* A document with this schema and perhaps log files. */
static int
schema_parses(const char *flags, bool log, struct err *e)
{
	struct metadata *m = NULL;
	struct buf b = { 0 };
	int rc;

	buf_printf(&b,
		   "writer w\nschema %s\nrestore-method custom\n"
		   "component db database selectable=no\n%send\n",
		   flags, log ? "log-files db /l *\n" : "");
	rc = metadata_parse(&m, b.data, b.len, e);
	if (rc == 0)
		metadata_free(m);
	buf_clear(&b);
	return rc;
}

static void
a_schema_has_named_flags_with_their_conditions(void **state)
{
	static const char *const good[] = {
		"none",
		"incremental",
		"differential",
		"exclusive incremental differential",
		"timestamped incremental",
		"last-modify differential",
		"copy new-target restore-with-move independent-system-state "
		"rollforward-restore restore-rename authoritative-restore "
		"parallel-restores",
	};
	static const struct {
		const char *flags;
		const char *want;
	} bad[] = {
		{ "", "words are missing" },
		{ "full", "no such flag: full" },
		{ "0x3", "no such flag" },
		{ "incremental incremental", "a flag is there twice" },
		{ "none incremental", "no such flag: none" },
		{ "exclusive", "exclusive is for both" },
		{ "exclusive incremental", "exclusive is for both" },
		{ "exclusive differential", "exclusive is for both" },
		{ "timestamped", "timestamped is for" },
		{ "timestamped copy log", "timestamped is for" },
		{ "last-modify", "last-modify is for" },
		{ "lsn incremental", "lsn is reserved" },
		{ "log", "no component has log-files" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(good); i++)
		assert_int_equal(schema_parses(good[i], false, NULL), 0);
	assert_int_equal(schema_parses("log", true, NULL), 0);
	for (i = 0; i < N_OF(bad); i++) {
		struct err e = { 0 };

		assert_int_equal(schema_parses(bad[i].flags, false, &e), -1);
		assert_int_equal(refuse_errno(&e), EINVAL);
		if (strstr(e.text, bad[i].want) == NULL)
			fail_msg("%s: %s", bad[i].flags, e.text);
	}
	refused("writer w\nschema none\nschema none\n", EINVAL,
		"line 3: a second schema line");
}

static void
a_component_has_a_name_a_type_and_says_whether_it_is_selectable(void **state)
{
	static const struct row t[] = {
		{ "component a/b file-group selectable=no", 0,
		  "component a/b file-group selectable=no\n" },
		{ "component \"a b\" database selectable=yes "
		  "selectable-for-restore caption=\"C:\\\\ x\" recovery=log "
		  "unlogged-hints rollback-recovery backup-recovery "
		  "not-system-state restore-metadata notify-on-backup-complete",
		  0,
		  "component \"a b\" database selectable=yes "
		  "selectable-for-restore caption=\"C:\\\\ x\" recovery=log "
		  "backup-recovery rollback-recovery not-system-state "
		  "unlogged-hints notify-on-backup-complete "
		  "restore-metadata\n" },
		{ "component a file-group", EINVAL, "line 7: selectable=yes" },
		{ "component a", EINVAL, "words are missing" },
		{ "component a group selectable=no", EINVAL,
		  "column 13: a component is a database or a file-group" },
		{ "component a database selectable=maybe", EINVAL,
		  "not one of its values" },
		{ "component a database selectable", EINVAL,
		  "without its value" },
		{ "component a database selectable=no recovery=none", EINVAL,
		  "not one of its values" },
		{ "component /a database selectable=no", EINVAL,
		  "an empty name" },
		{ "component a/. database selectable=no", EINVAL,
		  "a name that is . or .." },
		{ "component db file-group selectable=yes", EINVAL,
		  "line 7: column 11: a second component of this name: db" },
	};

	(void)state;
	check_lines(t, N_OF(t));
}

static void
file_sets_belong_to_the_kind_of_their_component(void **state)
{
	static const struct row t[] = {
		{ "database-files db /d * recursive alternate=/alt/", 0,
		  "database-files db /d * recursive alternate=/alt\n" },
		{ "log-files db /l *.wal recursive alternate=/b", 0,
		  "log-files db /l *.wal recursive alternate=/b\n" },
		{ "files db /d *", EINVAL,
		  "line 7: column 7: a database has database-files" },
		{ "database-files g /d *", EINVAL, "a file-group has files" },
		{ "log-files g /d *", EINVAL, "a file-group has files" },
		{ "files x /d *", ENOENT,
		  "line 7: column 7: no such component above: x" },
		{ "files later /d *\ncomponent later file-group selectable=no",
		  ENOENT, "line 7: column 7: no such component above" },
		{ "files g d *", EINVAL, "not an absolute path" },
		{ "files g /d/../e *", EINVAL, "a name that is . or .." },
		{ "files g /d a/b", EINVAL, "a slash in a pattern" },
		{ "files g /d", EINVAL, "words are missing" },
		{ "log-files db /d", EINVAL,
		  "words are missing: log-files COMPONENT DIR PATTERN" },
		/* In the order in which they came, whatever their kinds. */
		{ "log-files db /l *\ndatabase-files db /d *\nfiles g /a *", 0,
		  "log-files db /l *\ndatabase-files db /d *\nfiles g /a *\n" },
		{ "files g /d * alternate=e", EINVAL, "not an absolute path" },
		{ "files g /d * to=/e", EINVAL, "an unknown option" },
		{ "files g /g * backup=none", EINVAL,
		  "line 7: a file set for /g is there twice, first in line 6" },
		{ "files g /g/ *", EINVAL, "is there twice" },
		{ "database-files db /g *", EINVAL, "is there twice" },
		{ "files g /g * recursive", 0, "files g /g * recursive\n" },
	};

	(void)state;
	check_lines(t, N_OF(t));
}

static void
a_mask_is_two_lists_and_created_and_all_of_both_by_default(void **state)
{
	static const struct row t[] = {
		{ "files g /d * backup=full,differential,incremental,log", 0,
		  "files g /d *\n" },
		{ "files g /d * backup=log,full snapshot=none created", 0,
		  "files g /d * backup=full,log snapshot=none created\n" },
		{ "files g /d * snapshot=incremental", 0,
		  "files g /d * snapshot=incremental\n" },
		{ "files g /d * backup=all snapshot=all", 0, "files g /d *\n" },
		{ "files g /d * backup=copy", EINVAL, "a list of full" },
		{ "files g /d * backup=", EINVAL, "a list of full" },
		{ "files g /d * backup=full,", EINVAL, "a list of full" },
		{ "files g /d * backup=full,none", EINVAL, "a list of full" },
		{ "files g /d * backup=all,full", EINVAL, "a list of full" },
		{ "files g /d * backup=\"full, log\"", EINVAL,
		  "a list of full" },
		{ "files g /d * backup=0x1", EINVAL, "a list of full" },
		{ "files g /d * backup=full,full", EINVAL,
		  "a type is there twice" },
		{ "files g /d * created=yes", EINVAL, "has no value" },
	};
	struct metadata *m =
		words_document(HEAD "files g /d * backup=differential "
				    "snapshot=full,log\n" END);

	(void)state;
	check_lines(t, N_OF(t));
	/* The bits, in the order that differential is before incremental. */
	assert_int_equal(m->files.v[0].backup | m->files.v[0].snapshot << 8,
			 0xf0f);
	assert_int_equal(m->files.v[1].backup, 0x2);
	assert_int_equal(m->files.v[1].snapshot, 0x9);
	metadata_free(m);
}

static void
excludes_and_alternate_locations_are_the_writers(void **state)
{
	static const struct row t[] = {
		{ "exclude /g *.tmp recursive", 0,
		  "exclude /g *.tmp recursive\n" },
		{ "exclude-from-snapshot /g/ big", 0,
		  "exclude-from-snapshot /g big\n" },
		{ "exclude /g", EINVAL,
		  "line 7: words are missing: exclude DIR PATTERN" },
		{ "exclude-from-snapshot /g", EINVAL,
		  "words are missing: exclude-from-snapshot DIR PATTERN" },
		{ "exclude /g * backup=all", EINVAL, "an unknown option" },
		{ "exclude /g *\nexclude /g *", EINVAL,
		  "line 8: an exclude for /g is there twice, first in line 7" },
		{ "exclude /g *\nexclude-from-snapshot /g *", 0,
		  "exclude /g *\nexclude-from-snapshot /g *\n" },
		{ "alternate-location /g * to=/elsewhere/", 0,
		  "alternate-location /g * to=/elsewhere\n" },
		{ "alternate-location /g *", EINVAL, "line 7: to= is missing" },
		{ "alternate-location /g * to=x", EINVAL, "not an absolute" },
		{ "alternate-location /g * recursive to=/x", ENOENT,
		  "line 7: no file set above with this" },
		{ "alternate-location /g a to=/x", ENOENT, "no file set" },
		{ "alternate-location /late * to=/x\nfiles g /late *", ENOENT,
		  "line 7: no file set above" },
		{ "alternate-location /g * to=/x\nalternate-location /g * "
		  "to=/y",
		  EINVAL, "line 8: an alternate location for /g is there" },
	};

	(void)state;
	check_lines(t, N_OF(t));
	refused("writer w\nalternate-location /g * to=/x\n", EINVAL,
		"line 2: an alternate location before the restore-method");
	refused("writer w\nrestore-method restore-to-alternate-location\n"
		"component g file-group selectable=no\n"
		"files g /a *\nfiles g /b *\nfiles g /c *\n"
		"alternate-location /c * to=/x\n"
		"alternate-location /a * to=/x\nend\n",
		EINVAL, "line 5: no alternate location for this file set");
}

static void
a_dependency_is_on_another_writer(void **state)
{
	static const struct row t[] = {
		{ "dependency g other a/b", 0, "dependency g other a/b\n" },
		{ "dependency g other //host/a/b", 0,
		  "dependency g other //host/a/b\n" },
		{ "dependency g w //host/a", 0, "dependency g w //host/a\n" },
		{ "dependency g w db", EINVAL,
		  "line 7: column 14: a dependency inside one writer: w" },
		{ "dependency x other a", ENOENT, "no such component above" },
		{ "dependency g other", EINVAL, "words are missing" },
		{ "dependency g a/b a", EINVAL, "a writer's name" },
		{ "dependency g other /a", EINVAL, "an empty name" },
		{ "dependency g other //host", EINVAL, "not //MACHINE/" },
		{ "dependency g other ///a", EINVAL, "not //MACHINE/" },
		{ "dependency g other //host/", EINVAL, "an empty name" },
		{ "dependency g other a b", EINVAL, "a word too many" },
		{ "dependency g other a\ndependency g other a", EINVAL,
		  "line 8: a dependency is there twice" },
		{ "dependency g other a\ndependency g other //h/a", 0,
		  "dependency g other a\ndependency g other //h/a\n" },
	};

	(void)state;
	check_lines(t, N_OF(t));
}

static void
a_document_has_at_most_one_mib_and_4096_components(void **state)
{
	struct buf b = { 0 };
	struct metadata *m = NULL;
	struct err e = { 0 };
	unsigned i;

	(void)state;
	buf_add_str(&b, "writer w\nrestore-method custom\n");
	for (i = 0; i < METADATA_COMPONENTS_MAX; i++)
		buf_printf(&b, "component c%u file-group selectable=no\n",
			   i * 2654435761u);
	buf_add_str(&b, "end\n");
	assert_int_equal(metadata_parse(&m, b.data, b.len, &e), 0);
	assert_int_equal(metadata_find(m, "c2654435761", 11), 1);
	metadata_free(m);
	b.len -= 4;
	buf_add_str(&b, "component x file-group selectable=no\nend\n");
	assert_int_equal(metadata_parse(&m, b.data, b.len, &e), -1);
	assert_string_equal(e.text, "line 4099: more than 4096 components");
	assert_int_equal(refuse_errno(&e), EDQUOT);
	err_clear(&e);
	buf_reset(&b);
	buf_add_str(&b, HEAD END);
	while (b.len < METADATA_LEN_MAX)
		buf_add_char(&b, '\n');
	assert_int_equal(metadata_parse(&m, b.data, b.len, &e), 0);
	metadata_free(m);
	buf_add_char(&b, '\n');
	assert_int_equal(metadata_parse(&m, b.data, b.len, &e), -1);
	assert_int_equal(refuse_errno(&e), EDQUOT);
	err_clear(&e);
	/* One star each is nothing; several take long to be compared with. */
	buf_reset(&b);
	buf_add_str(&b, HEAD);
	for (i = 0; i < 4096; i++)
		buf_printf(&b, "files g /g x%04u*\n", i);
	buf_add_str(&b, END);
	assert_int_equal(metadata_parse(&m, b.data, b.len, &e), 0);
	metadata_free(m);
	buf_reset(&b);
	buf_add_str(&b, HEAD);
	for (i = 0; i < 2048; i++)
		buf_printf(&b, "files g /g *%06u**\n", i);
	buf_add_str(&b, END);
	assert_int_equal(metadata_parse(&m, b.data, b.len, &e), -1);
	assert_int_equal(refuse_errno(&e), EDQUOT);
	err_clear(&e);
	/* Many file sets, and bytes that grow when they are shown. */
	buf_reset(&b);
	buf_add_str(&b, HEAD);
	for (i = 0; i < 4000; i++)
		buf_printf(&b, "files g /%u/%s *\n", i,
			   "\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4"
			   "\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4"
			   "\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4"
			   "\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4"
			   "\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4"
			   "\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4");
	buf_add_str(&b, END);
	assert_int_equal(metadata_parse(&m, b.data, b.len, &e), -1);
	assert_int_equal(refuse_errno(&e), EDQUOT);
	buf_clear(&b);
}

static int
parse_once(struct err *e)
{
	static const char text[] = HEAD "exclude /g a\nexclude /g b\n"
					"alternate-location /g * to=/x\n"
					"dependency g o a\n" END;
	struct metadata *m = NULL;
	int rc = metadata_parse(&m, text, strlen(text), e);

	assert_true(rc == 0 || m == NULL);
	metadata_free(m);
	return rc;
}

static void
without_memory_a_document_is_enomem(void **state)
{
	(void)state;
	words_without_memory(parse_once, 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			the_normal_form_leaves_out_what_goes_without_saying),
		cmocka_unit_test(
			a_document_has_writer_method_component_and_end),
		cmocka_unit_test(
			a_schema_has_named_flags_with_their_conditions),
		cmocka_unit_test(
			a_component_has_a_name_a_type_and_says_whether_it_is_selectable),
		cmocka_unit_test(
			file_sets_belong_to_the_kind_of_their_component),
		cmocka_unit_test(
			a_mask_is_two_lists_and_created_and_all_of_both_by_default),
		cmocka_unit_test(
			excludes_and_alternate_locations_are_the_writers),
		cmocka_unit_test(a_dependency_is_on_another_writer),
		cmocka_unit_test(
			a_document_has_at_most_one_mib_and_4096_components),
		cmocka_unit_test(without_memory_a_document_is_enomem),
	};

	return cmocka_run_group_tests_name("metadata", tests, NULL, NULL);
}
