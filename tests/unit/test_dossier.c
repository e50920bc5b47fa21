/*
 * A session's record against its text, and texts that are none.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/dossier.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/writer/metadata.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"

#include <string.h>

#define HEX  "0123456789abcdef0123456789abcdef"
#define ZERO "00000000000000000000000000000000"

static void
parsed(const char *text, size_t len, struct dossier *d)
{
	struct err e = { 0 };

	if (dossier_parse(text, len, d, &e) < 0)
		fail_msg("%s", e.text);
}

static void
a_record_is_printed_and_parsed_to_the_same(void **state)
{
	static const char text[] =
		"session " HEX " incremental snapshot=btrfs\n"
		"writer db took-part owner=999 type=incremental "
		"document=documents/db\n"
		"component main incremental succeeded carried untrusted "
		"journal=" HEX " cut=17 base=3 base-id=" HEX
		" incrementals=2 differentials=1\n"
		"stamp \"LSN=5\\nx\"\n"
		"previous-stamp \"\"\n"
		"component-metadata \"m\"\n"
		"carried-set 0\n"
		"carried-set 2\n"
		"image 3 id=" HEX "\n"
		"image 0 id=" HEX "\n"
		"partial-file /srv/db/a read=8192\n"
		"ranges \"0:8192\"\n"
		"metadata \"page\"\n"
		"partial-file \"/srv/db/b c\"\n"
		"ranges \"none\"\n"
		"refused \"it was touched since\"\n"
		"differenced-file /srv/db *.x recursive "
		"newer=2026-11-22T05:00:00Z read=5\n"
		"attachment /srv/db/label from=/run/label\n"
		"component other full failed journal=" ZERO "\n"
		"why \"/srv/o: gone\"\n"
		"writer mail failed owner=0 type=full at=freeze "
		"failure=retryable\n"
		"text \"not now\"\n"
		"writer none absent owner=0\n"
		"end\n";
	struct dossier d = { 0 };
	struct buf out = { 0 };
	const struct dossier_component *c;

	(void)state;
	parsed(text, strlen(text), &d);
	dossier_print(&d, &out);
	assert_string_equal(buf_str(&out), text);
	assert_int_equal(d.writers, 3);
	c = dossier_component(dossier_writer(&d, "db"), "main");
	assert_non_null(c);
	assert_int_equal(c->cut, 17);
	assert_int_equal(c->stamp_len, 7);
	assert_non_null(c->previous_stamp);
	assert_int_equal(c->previous_len, 0);
	assert_int_equal(c->files, 3);
	assert_int_equal(c->base.number, 3);
	assert_int_equal(c->base.id[1], 0x23);
	assert_null(dossier_component(dossier_writer(&d, "db"), "x"));
	assert_null(dossier_writer(&d, "x"));
	buf_clear(&out);
	dossier_clear(&d);
	dossier_clear(&d);
}

/* 64 KiB of bytes that all are escapes: longer than any line. */
static void
a_stamp_longer_than_a_line_comes_back_byte_for_byte(void **state)
{
	static char stamp[65536];
	struct dossier_component c = { .name = "c",
				       .effective = METADATA_FULL,
				       .succeeded = true,
				       .stamp = stamp,
				       .stamp_len = sizeof(stamp) };
	struct dossier_writer w = { .name = "w",
				    .state = DOSSIER_TOOK_PART,
				    .component = &c,
				    .components = 1 };
	struct dossier made = { .session = HEX,
				.type = METADATA_FULL,
				.writer = &w,
				.writers = 1 };
	struct dossier d = { 0 };
	struct buf out = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(stamp); i++)
		stamp[i] = (char)(1 + i % 31);
	dossier_print(&made, &out);
	assert_int_equal(buf_ok(&out, NULL), 0);
	parsed(buf_str(&out), out.len, &d);
	assert_int_equal(d.writer[0].component[0].stamp_len, sizeof(stamp));
	assert_memory_equal(d.writer[0].component[0].stamp, stamp,
			    sizeof(stamp));
	buf_clear(&out);
	dossier_clear(&d);
	dossier_clear(&made); /* made by hand: nothing happens */
	assert_ptr_equal(made.writer, &w);
}

static void
what_is_no_record_is_corrupt(void **state)
{
	static const char *const bad[] = {
		"",
		"end\n",
		"session " HEX " full\n",
		"session " HEX " full\nend",
		"session " HEX " full\nend\nend\n",
		"session " HEX " full\n\nend\n",
		"session " HEX " nothing\nend\n",
		"session 0123 full\nend\n",
		"session " HEX " full\nsession " HEX " full\nend\n",
		"session " HEX " full\ncomponent c full failed\nend\n",
		"session " HEX " full\nstamp x\nend\n",
		"session " HEX " full\n+ x\nend\n",
		"session " HEX " full\nwriter w sleeping owner=0\nend\n",
		"session " HEX " full\nwriter w absent\nend\n",
		"session " HEX " full\nwriter w absent owner=x\nend\n",
		"session " HEX " full\nwriter .w absent owner=0\nend\n",
		"session " HEX
		" full\nwriter w absent owner=0 at=freeze\nend\n",
		"session " HEX " full\nwriter w failed owner=0 at=noon\nend\n",
		"session " HEX " full\nwriter w absent owner=0\n"
		"writer w absent owner=0\nend\n",
		"session " HEX " full\nwriter w took-part owner=0\n"
		"component c full failed\ncomponent c full failed\nend\n",
		"session " HEX " full\nwriter w took-part owner=0\n"
		"component c full failed base=1\nend\n",
		"session " HEX " full\nwriter w took-part owner=0\n"
		"component c full failed\nstamp a\nstamp b\nend\n",
		"session " HEX " full\nwriter w took-part owner=0\n"
		"component c full failed\nstamp a\ncarried-set 1\n+ b\nend\n",
		"session " HEX " full\nwriter w took-part owner=0\n"
		"component c full failed\npartial-file x\nend\n",
		"session " HEX " full\nwriter w took-part owner=0\n"
		"component c full failed\nranges none\nend\n",
		"session " HEX " full\nwriter w took-part owner=0\n"
		"component c full failed\nimage 1 id=12\nend\n",
		"session " HEX " full\nwriter w took-part owner=0\n"
		"component c full failed\nattachment /x\nend\n",
		"session " HEX " full x=1\nend\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct dossier d = { 0 };
		struct err e = { 0 };

		if (dossier_parse(bad[i], strlen(bad[i]), &d, &e) == 0)
			fail_msg("taken: %s", bad[i]);
		if (e.kind != ERR_CORRUPT)
			fail_msg("%s: %s", bad[i], e.text);
		assert_null(d.memory);
	}
}

static void
a_line_of_a_newer_program_is_unsupported(void **state)
{
	static const char text[] = "session " HEX " full\nmood good\nend\n";
	struct dossier d;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(dossier_parse(text, strlen(text), &d, &e), -1);
	assert_int_equal(e.kind, ERR_UNSUPPORTED);
}

static void
without_memory_it_says_so_and_keeps_nothing(void **state)
{
	static const char text[] =
		"session " HEX " full\nwriter w took-part owner=0\n"
		"component c full failed\npartial-file /x\nranges 0:1\n"
		"image 1 id=" HEX "\ncarried-set 1\nattachment /a from=/b\n"
		"end\n";
	unsigned n;
	int rc = -1;

	(void)state;
	for (n = 1; rc < 0; n++) {
		struct dossier d = { 0 };
		struct err e = { 0 };

		failing_plan_alloc(n, false);
		rc = dossier_parse(text, strlen(text), &d, &e);
		failing_off();
		if (rc < 0)
			assert_int_equal(e.kind, ERR_NOMEM);
		dossier_clear(&d);
		assert_true(n < 200);
	}
	assert_true(n > 8);
}

static void
a_text_is_as_long_as_it_is_written(void **state)
{
	char every[255];
	struct dossier_component c = { .name = "c",
				       .effective = METADATA_FULL,
				       .stamp = every,
				       .stamp_len = sizeof(every) };
	struct dossier_writer w = { .name = "w",
				    .state = DOSSIER_TOOK_PART,
				    .component = &c,
				    .components = 1 };
	struct dossier d = { .session = "0123456789abcdef0123456789abcdef",
			     .type = METADATA_FULL,
			     .writer = &w,
			     .writers = 1 };
	struct buf with = { 0 };
	struct buf without = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(every); i++)
		every[i] = (char)(i + 1);
	dossier_print(&d, &with);
	c.stamp = NULL;
	dossier_print(&d, &without);
	assert_int_equal(with.len - without.len,
			 strlen("stamp \"\"\n") +
				 dossier_text_len(every, sizeof(every)));
	assert_int_equal(dossier_text_len(NULL, 0), 0);
	buf_clear(&with);
	buf_clear(&without);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_is_as_long_as_it_is_written),
		cmocka_unit_test(a_record_is_printed_and_parsed_to_the_same),
		cmocka_unit_test(
			a_stamp_longer_than_a_line_comes_back_byte_for_byte),
		cmocka_unit_test(what_is_no_record_is_corrupt),
		cmocka_unit_test(a_line_of_a_newer_program_is_unsupported),
		cmocka_unit_test(without_memory_it_says_so_and_keeps_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
