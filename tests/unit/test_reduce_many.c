/*
 * Very many declarations: what they cost must not be more than their number.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/reduce.h"

#include "base/buf.h"
#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/reduce_rig.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double
cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct reduce *
begun(void)
{
	const struct reduce_input in = usual_input();
	struct reduce *r = NULL;

	assert_int_equal(reduce_new(&in, &r, NULL), 0);
	return r;
}

static void
end(struct reduce *r, struct reduced *out)
{
	assert_int_equal(reduce_end(r, out, NULL), 0);
	reduce_free(r);
}

static void
add(struct reduce *r, const struct journal_entry *en)
{
	struct err e = { 0 };

	if (reduce_add(&r, 1, en, &e) < 0)
		fail_msg("%s", e.text);
}

static void
add_text(struct reduce *r, const char *text, const struct facts *facts,
	 const struct ranges *ranges)
{
	struct journal_entry en = { .seq = 20,
				    .kind = JOURNAL_STATEMENT,
				    .text = text,
				    .text_len = strlen(text),
				    .ranges = ranges };

	if (facts != NULL)
		en.facts = *facts;
	add(r, &en);
}

static void
e4_ten_thousand_files_with_a_hundred_lines(void **state)
{
	const unsigned files = getenv("TEST_QUICK") != NULL ? 100 : 10000;
	struct facts facts = facts_of(9);
	struct reduced out = { 0 };
	struct reduce *r = begun();
	double start = cpu();
	char text[200];
	unsigned i;
	unsigned k;

	(void)state;
	for (k = 0; k < 100; k++)
		for (i = 0; i < files; i++) {
			facts.ino = i;
			(void)snprintf(text, sizeof(text),
				       "partial-file db /db/%u 0x%x:100", i,
				       (99 - k) * 1000);
			add_text(r, text, &facts, NULL);
		}
	for (i = 0; i < files; i++) {
		(void)snprintf(text, sizeof(text),
			       "differenced-file db /new%u x%u recursive", i,
			       i);
		add_text(r, text, NULL, NULL);
	}
	end(r, &out);
	assert_int_equal(out.files, files);
	for (i = 0; i < files; i++) {
		assert_int_equal(out.file[i].ranges.count, 100);
		assert_int_equal(out.file[i].lines, 100);
		assert_true(out.file[i].promised);
	}
	reduced_clear(&out);
	print_message("%.2f s\n", cpu() - start);
}

static void
e4_ten_million_ranges_in_one_line_and_more_behind(void **state)
{
	const size_t n = getenv("TEST_QUICK") != NULL ? 10000 : 10000000;
	struct ranges s = { 0 };
	struct ranges odd = { 0 };
	struct reduced out = { 0 };
	struct reduce *r = NULL;
	double start;
	char text[200];
	size_t i;

	(void)state;
	for (i = 0; i < n; i++)
		assert_int_equal(ranges_push(&s, i * 10, 5, NULL), 0);
	for (i = 0; i < 100; i++)
		assert_int_equal(ranges_push(&odd, i * 10 + 7, 1, NULL), 0);
	start = cpu();
	r = begun();
	add_text(r, "partial-file db /db/f file=/r", NULL, &s);
	for (i = 0; i < 10000; i++) {
		(void)snprintf(text, sizeof(text),
			       "partial-file db /db/f %zu:1", i * 10 + 8);
		add_text(r, text, NULL, NULL);
	}
	for (i = 0; i < 100; i++)
		add_text(r, "partial-file db /db/f file=/r", NULL, &odd);
	end(r, &out);
	assert_int_equal(out.file[0].ranges.count, n + 10000);
	print_message("%.2f s\n", cpu() - start);
	reduced_clear(&out);
	ranges_clear(&s);
	ranges_clear(&odd);
}

static void
e4_ranges_that_are_said_again_and_again_take_no_room(void **state)
{
	const unsigned lines = getenv("TEST_QUICK") != NULL ? 20 : 1000;
	struct reduce *r = begun();
	struct reduced out = { 0 };
	struct ranges first = { 0 };
	struct ranges s = { 0 };
	double start = cpu();
	unsigned i;

	(void)state;
	for (i = 0; i < 16384; i++)
		assert_int_equal(ranges_push(&first, 2 * i, 1, NULL), 0);
	for (i = 0; i < 16383; i++)
		assert_int_equal(ranges_push(&s, 2 * i, 1, NULL), 0);
	add_text(r, "partial-file db /db/f file=/r", NULL, &first);
	for (i = 0; i < lines; i++)
		add_text(r, "partial-file db /db/f file=/r", NULL, &s);
	end(r, &out);
	assert_int_equal(out.file[0].lines, lines + 1);
	assert_int_equal(out.file[0].ranges.count, 16384);
	assert_in_range(out.file[0].ranges.cap, 16384, 131072);
	print_message("%.2f s\n", cpu() - start);
	reduced_clear(&out);
	ranges_clear(&first);
	ranges_clear(&s);
}

/* Event by event, as a writer that always fails would have it. */
static void
e4_discarded_events_cost_what_they_said(void **state)
{
	const unsigned events = getenv("TEST_QUICK") != NULL ? 1000 : 200000;
	static const char text[] = "partial-file db /db/f 0:1";
	struct journal_entry line = { .seq = 20,
				      .kind = JOURNAL_STATEMENT,
				      .text = text,
				      .text_len = strlen(text),
				      .session = { 4 } };
	struct journal_entry no = { .seq = 20,
				    .kind = JOURNAL_DISCARD,
				    .session = { 4 } };
	struct reduce *r = begun();
	struct reduced out = { 0 };
	double start = cpu();
	unsigned i;

	(void)state;
	for (i = 1; i <= events; i++) {
		line.event = i;
		no.event = i;
		add(r, &line);
		add(r, &no);
	}
	end(r, &out);
	assert_false(out.file[0].promised);
	assert_int_equal(out.file[0].lines, events);
	/* Quadratic it would be minutes. */
	assert_true(cpu() - start < 60);
	print_message("%.2f s\n", cpu() - start);
	reduced_clear(&out);
}

static void
e4_gaps_take_no_room_however_many(void **state)
{
	const unsigned gaps = getenv("TEST_QUICK") != NULL ? 1000 : 1000000;
	struct journal_entry all = { .seq = 20, .kind = JOURNAL_GAP };
	struct journal_entry one = { .seq = 20,
				     .kind = JOURNAL_GAP,
				     .component = "db",
				     .path = "/db/f" };
	struct reduce *r = begun();
	struct reduced out = { 0 };
	char why[200];
	size_t before = mallinfo2().uordblks;
	unsigned i;

	(void)state;
	for (i = 0; i < gaps; i++) {
		(void)snprintf(why, sizeof(why), "%0150u", i);
		all.why = why;
		one.why = why;
		add(r, &one);
		if (i % 2 == 0)
			add(r, &all);
	}
	assert_true(mallinfo2().uordblks - before < 200000);
	end(r, &out);
	assert_string_equal(out.file[0].why, why);
	(void)snprintf(why, sizeof(why), "%0150u", (gaps - 1) / 2 * 2);
	assert_string_equal(out.why, why);
	reduced_clear(&out);
}

static void
e4_gaps_of_very_many_files_of_others_are_a_gap_of_all(void **state)
{
	struct journal_entry gap = { .seq = 20,
				     .kind = JOURNAL_GAP,
				     .why = "no" };
	struct reduce *r = begun();
	struct reduced out = { 0 };
	char path[40];
	unsigned i;

	(void)state;
	gap.path = path;
	for (i = 0; i < 3000; i++) {
		/* 2000 of its own, 1000 of others, and all once more. */
		(void)snprintf(path, sizeof(path), "/db/%u", i);
		gap.component = i < 2000 ? "db" : i % 2 == 0 ? "gone" : "other";
		add(r, &gap);
		gap.component = "other";
		add(r, &gap);
	}
	end(r, &out);
	assert_false(out.gap);
	assert_int_equal(out.files, 3000);
	reduced_clear(&out);
	r = begun();
	for (i = 0; i < 100000; i++) {
		(void)snprintf(path, sizeof(path), "/db/%u", i);
		gap.component = "other";
		add(r, &gap);
	}
	end(r, &out);
	assert_true(out.gap);
	assert_int_equal(out.files, 1024);
	reduced_clear(&out);
}

/* A writer that has as many components as it may, and one journal. */
static void
e4_an_entry_is_read_once_for_all_components(void **state)
{
	const unsigned lines = getenv("TEST_QUICK") != NULL ? 10 : 10000;
	static struct reduce *r[METADATA_COMPONENTS_MAX];
	struct reduce_input in = usual_input();
	struct metadata *m;
	struct reduced out = { 0 };
	struct buf text = { 0 };
	double start;
	size_t i;

	(void)state;
	buf_add_str(&text, "writer w\nrestore-method custom\n");
	for (i = 0; i < METADATA_COMPONENTS_MAX; i++)
		buf_printf(&text, "component c%zu file-group selectable=yes\n",
			   i);
	buf_add_str(&text, "end\n");
	m = words_document(buf_str(&text));
	in.document = m;
	for (i = 0; i < METADATA_COMPONENTS_MAX; i++) {
		in.component = i;
		assert_int_equal(reduce_new(&in, &r[i], NULL), 0);
	}
	start = cpu();
	for (i = 0; i < lines; i++) {
		struct journal_entry en = { .seq = 20,
					    .kind = JOURNAL_STATEMENT };

		buf_reset(&text);
		buf_printf(&text, "partial-file c%zu /f%zu 0:1", i % 7, i);
		en.text = buf_str(&text);
		en.text_len = text.len;
		assert_int_equal(
			reduce_add(r, METADATA_COMPONENTS_MAX, &en, NULL), 0);
	}
	print_message("%.2f s\n", cpu() - start);
	for (i = 0; i < METADATA_COMPONENTS_MAX; i++) {
		end(r[i], &out);
		assert_int_equal(out.files, i < 7 ? (lines + 6 - i) / 7 : 0);
		reduced_clear(&out);
	}
	metadata_free(m);
	buf_clear(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(e4_ten_thousand_files_with_a_hundred_lines),
		cmocka_unit_test(
			e4_ten_million_ranges_in_one_line_and_more_behind),
		cmocka_unit_test(
			e4_ranges_that_are_said_again_and_again_take_no_room),
		cmocka_unit_test(e4_discarded_events_cost_what_they_said),
		cmocka_unit_test(e4_gaps_take_no_room_however_many),
		cmocka_unit_test(
			e4_gaps_of_very_many_files_of_others_are_a_gap_of_all),
		cmocka_unit_test(e4_an_entry_is_read_once_for_all_components),
	};

	return cmocka_run_group_tests_name("reduce_many", tests, make_document,
					   free_document);
}
