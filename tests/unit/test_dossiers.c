/*
 * What earlier generations say about components: bases, images, counts, cuts,
 * over lists of generations made by hand.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/history.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/engine/generation.h"
#include "src/writer/metadata.h"
#include "tests/lib/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define HEX "0123456789abcdef0123456789abcdef"

/* One generation: its type and the line of component `c` of writer `w`. */
struct row {
	uint32_t number;
	unsigned session;
	const char *component; /* NULL: no dossier; "!": one that is rubbish */
	uint8_t set;
};

struct world {
	struct generation item[16];
	struct generation_list list;
	const struct row *row;
	unsigned loads;
};

static int
load(void *ctx, const struct generation *g, struct buf *out, struct err *e)
{
	struct world *w = ctx;
	const char *line = w->row[g - w->item].component;

	w->loads++;
	if (line == NULL)
		return 1;
	if (strcmp(line, "!") == 0)
		return err_set(e, ERR_CORRUPT, "rubbish");
	buf_printf(out, "session " HEX " full\nwriter w took-part owner=0\n");
	if (line[0] != '\0')
		buf_printf(out, "component c %s\n", line);
	buf_add_str(out, "end\n");
	return 0;
}

static struct history *
opened(struct world *w, const struct row *row, size_t n, const uint8_t *set)
{
	struct history *h = NULL;
	size_t i;

	memset(w, 0, sizeof(*w));
	w->row = row;
	w->list.item = w->item;
	w->list.count = n;
	for (i = 0; i < n; i++) {
		w->item[i].number = row[i].number;
		w->item[i].record.session_type = (uint8_t)row[i].session;
		w->item[i].record.set_id[0] = row[i].set;
		w->item[i].record.id[0] = (uint8_t)row[i].number;
	}
	assert_int_equal(history_open_with(&w->list, set, load, w, &h, NULL),
			 0);
	return h;
}

static const uint8_t set0[16];

static uint32_t
base_of(const struct row *row, size_t n, unsigned type)
{
	struct world w;
	struct history *h = opened(&w, row, n, set0);
	struct history_base b;

	assert_int_equal(history_base(h, "w", "c", type, &b, NULL), 0);
	if (b.component == NULL)
		assert_int_equal(b.generation.number, 0);
	else
		assert_int_equal(b.generation.id[0], b.generation.number);
	history_close(h);
	return b.generation.number;
}

static void
a2_the_base_is_the_newest_in_which_the_component_succeeded_and_is_current(
	void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded", 0 },
		{ 2, GEN_INCREMENTAL, "incremental succeeded", 0 },
		{ 3, GEN_INCREMENTAL, "incremental succeeded carried", 0 },
		{ 4, GEN_INCREMENTAL, "incremental failed", 0 },
		{ 5, GEN_DIFFERENTIAL, "differential succeeded", 0 },
		{ 6, GEN_COPY, "copy succeeded", 0 },
		{ 7, GEN_LOG, "log succeeded carried", 0 },
		{ 8, GEN_INCREMENTAL, NULL, 0 },
		{ 9, GEN_INCREMENTAL, "!", 0 },
		{ 10, GEN_INCREMENTAL, "", 0 },
		{ 11, GEN_INCREMENTAL, "incremental succeeded", 1 },
	};

	(void)state;
	assert_int_equal(base_of(t, 11, METADATA_INCREMENTAL), 2);
	assert_int_equal(base_of(t, 1, METADATA_INCREMENTAL), 1);
	assert_int_equal(base_of(t, 0, METADATA_INCREMENTAL), 0);
	assert_int_equal(base_of(t, 11, METADATA_FULL), 0);
	assert_int_equal(base_of(t, 11, METADATA_COPY), 0);
}

static void
a2_a_differential_has_the_newest_of_effective_type_full(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded", 0 },
		{ 2, GEN_INCREMENTAL, "full succeeded", 0 },
		{ 3, GEN_INCREMENTAL, "incremental succeeded", 0 },
		{ 4, GEN_DIFFERENTIAL, "full succeeded", 0 },
		{ 5, GEN_COPY, "full succeeded", 0 },
		{ 6, GEN_FULL, "full failed", 0 },
	};

	(void)state;
	assert_int_equal(base_of(t, 6, METADATA_DIFFERENTIAL), 2);
	assert_int_equal(base_of(t, 1, METADATA_DIFFERENTIAL), 1);
}

static void
a5_a_log_session_has_the_newest_full_incremental_or_log(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded", 0 },
		{ 2, GEN_LOG, "log succeeded carried", 0 },
		{ 3, GEN_DIFFERENTIAL, "differential succeeded", 0 },
		{ 4, GEN_COPY, "copy succeeded", 0 },
	};

	(void)state;
	assert_int_equal(base_of(t, 4, METADATA_LOG), 2);
	assert_int_equal(base_of(t, 4, METADATA_INCREMENTAL), 1);
	assert_int_equal(base_of(t, 1, METADATA_LOG), 1);
}

static bool
ambiguous(const struct row *row, size_t n)
{
	struct world w;
	struct history *h = opened(&w, row, n, set0);
	struct history_base b;

	assert_int_equal(
		history_base(h, "w", "c", METADATA_INCREMENTAL, &b, NULL), 0);
	history_close(h);
	return b.ambiguous;
}

static void
b4_a_stamp_that_two_kept_generations_hold_is_ambiguous(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded\nstamp a", 0 },
		{ 2, GEN_INCREMENTAL, "incremental succeeded\nstamp b", 0 },
		{ 3, GEN_INCREMENTAL, "incremental succeeded\nstamp b", 1 },
		{ 4, GEN_INCREMENTAL, "incremental succeeded\nstamp a", 0 },
		{ 5, GEN_INCREMENTAL, "incremental succeeded", 0 },
	};

	(void)state;
	assert_false(ambiguous(t, 3));
	assert_true(ambiguous(t, 4));
	assert_false(ambiguous(t, 5)); /* no stamp at all */
}

static void
a3_images_that_were_forgotten_are_named_by_the_newest(void **state)
{
	static const struct row t[] = {
		{ 4, GEN_LOG,
		  "log succeeded carried\n"
		  "image 1 id=01000000000000000000000000000000\n"
		  "image 3 id=03000000000000000000000000000000\n"
		  "image 0 id=04000000000000000000000000000000",
		  0 },
		{ 5, GEN_LOG, "log failed carried", 0 },
		{ 6, GEN_INCREMENTAL, "incremental succeeded carried", 0 },
	};
	static const uint32_t want[] = { 1, 3, 4, 6 };
	struct world w;
	struct history *h = opened(&w, t, 3, set0);
	struct dossier_ref *ref;
	size_t n;
	size_t i;

	(void)state;
	assert_int_equal(history_images(h, "w", "c", &ref, &n, NULL), 0);
	assert_int_equal(n, 4);
	for (i = 0; i < n; i++) {
		assert_int_equal(ref[i].number, want[i]);
		assert_int_equal(ref[i].id[0], want[i]);
	}
	mem_free(ref);
	history_close(h);
}

static void
a3_images_go_back_to_where_the_component_was_current(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded", 0 },
		{ 2, GEN_FULL, "full succeeded", 0 },
		{ 3, GEN_INCREMENTAL, "incremental succeeded carried", 0 },
		{ 4, GEN_INCREMENTAL, "incremental failed carried", 0 },
		{ 5, GEN_DIFFERENTIAL, "differential succeeded carried", 0 },
		{ 6, GEN_LOG, "log succeeded carried", 0 },
	};
	static const uint32_t want[] = { 2, 3, 6 };
	struct world w;
	struct history *h = opened(&w, t, 6, set0);
	struct dossier_ref *ref;
	size_t n;
	size_t i;

	(void)state;
	assert_int_equal(history_images(h, "w", "c", &ref, &n, NULL), 0);
	assert_int_equal(n, 3);
	for (i = 0; i < n; i++) {
		assert_int_equal(ref[i].number, want[i]);
		assert_int_equal(ref[i].id[0], want[i]);
	}
	mem_free(ref);
	assert_int_equal(history_images(h, "w", "x", &ref, &n, NULL), 0);
	assert_int_equal(n, 0);
	mem_free(ref);
	history_close(h);
}

static struct history_memory
memory_of(const struct row *row, size_t n, const char *component)
{
	struct world w;
	struct history *h = opened(&w, row, n, set0);
	struct history_memory m;

	assert_int_equal(history_memory(h, "w", component, &m, NULL), 0);
	history_close(h);
	return m;
}

static void
a7_counts_are_those_of_the_newest_that_knows_the_component(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded", 0 },
		{ 5, GEN_DIFFERENTIAL,
		  "differential succeeded incrementals=1 differentials=2", 0 },
		{ 6, GEN_INCREMENTAL, "", 0 },
		{ 7, GEN_INCREMENTAL, NULL, 0 },
	};
	struct history_memory m = memory_of(t, 4, "c");

	(void)state;
	assert_int_equal(m.incrementals, 1);
	assert_int_equal(m.differentials, 2);
	m = memory_of(t, 4, "x");
	assert_int_equal(m.incrementals + m.differentials, 0);
}

static void
a7_what_cannot_be_read_counts_as_what_it_may_have_been(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_INCREMENTAL, "!", 0 },
		{ 2, GEN_FULL, "full succeeded differentials=4", 0 },
		{ 3, GEN_INCREMENTAL, "!", 0 },
		{ 4, GEN_DIFFERENTIAL, "!", 0 },
		{ 5, GEN_COPY, "!", 0 },
		{ 6, GEN_INCREMENTAL, "!", 1 },
		{ 7, GEN_INCREMENTAL, "", 0 },
	};
	struct history_memory m = memory_of(t, 7, "c");

	(void)state;
	assert_int_equal(m.incrementals, 1);
	assert_int_equal(m.differentials, 5);
	m = memory_of(t, 2, "c");
	assert_int_equal(m.incrementals, 0);
	assert_int_equal(m.differentials, 4);
	m = memory_of(t, 7, "x");
	assert_int_equal(m.incrementals + m.differentials, 0);
}

static void
b11_nothing_ends_a_lie_but_what_the_newest_says(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded", 0 },
		{ 2, GEN_INCREMENTAL, "incremental succeeded untrusted", 0 },
		{ 3, GEN_INCREMENTAL, NULL, 0 },
		{ 4, GEN_LOG, "", 0 },
		{ 5, GEN_INCREMENTAL, "incremental succeeded", 0 },
		{ 6, GEN_INCREMENTAL, "!", 0 },
		{ 7, GEN_FULL, "full succeeded", 0 },
	};

	(void)state;
	assert_false(memory_of(t, 1, "c").untrusted);
	assert_true(memory_of(t, 4, "c").untrusted);
	assert_false(memory_of(t, 5, "c").untrusted);
	assert_true(memory_of(t, 6, "c").untrusted);
	assert_false(memory_of(t, 7, "c").untrusted);
	assert_false(memory_of(t, 7, "x").untrusted);
}

static void
b4_a_newer_record_that_is_lost_may_have_the_same_stamp(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "!", 0 },
		{ 2, GEN_FULL, "full succeeded\nstamp a", 0 },
		{ 3, GEN_INCREMENTAL, "!", 1 },
		{ 4, GEN_INCREMENTAL, "!", 0 },
	};

	(void)state;
	assert_false(ambiguous(t, 3));
	assert_true(ambiguous(t, 4));
}

static void
a3_images_that_may_be_in_a_lost_record_are_missed(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_LOG, "!", 0 },
		{ 2, GEN_FULL, "full succeeded", 0 },
		{ 3, GEN_COPY, "!", 0 },
		{ 4, GEN_LOG, "!", 0 },
	};
	struct world w;
	struct history *h = opened(&w, t, 3, set0);
	struct dossier_ref *ref = NULL;
	struct err e = { 0 };
	size_t n = 0;

	(void)state;
	assert_int_equal(history_images(h, "w", "c", &ref, &n, &e), 0);
	assert_int_equal(n, 1);
	mem_free(ref);
	history_close(h);
	h = opened(&w, t, 4, set0);
	assert_int_equal(history_images(h, "w", "c", &ref, &n, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	err_clear(&e);
	history_close(h);
}

/* The generation's own record, of whatever set it is. */
static void
a_damaged_generation_may_have_been_anything(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded", 0 },
		{ 2, 0, "", 7 },
	};
	struct world w;
	struct history *h = opened(&w, t, 1, set0);
	struct history_memory m;

	(void)state;
	history_close(h);
	w.list.count = 2;
	w.row = t;
	w.item[1].number = 2;
	w.item[1].damaged = true;
	assert_int_equal(history_open_with(&w.list, set0, load, &w, &h, NULL),
			 0);
	assert_int_equal(history_memory(h, "w", "c", &m, NULL), 0);
	assert_true(m.untrusted);
	assert_int_equal(m.incrementals, 1);
	assert_int_equal(m.differentials, 1);
	assert_int_equal(w.loads, 1);
	history_close(h);
}

static void
the_newest_that_knows_components_of_a_writer(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded", 0 },
		{ 2, GEN_FULL, "full failed", 0 },
		{ 3, GEN_FULL, "", 0 },
		{ 4, GEN_FULL, "!", 0 },
	};
	struct world w;
	struct history *h = opened(&w, t, 4, set0);
	const struct dossier_writer *got;

	(void)state;
	assert_int_equal(history_writer(h, "w", &got, NULL), 0);
	assert_non_null(got);
	assert_int_equal(got->components, 1);
	assert_false(got->component[0].succeeded);
	assert_int_equal(history_writer(h, "x", &got, NULL), 0);
	assert_null(got);
	history_close(h);
}

static void
b1_the_lowest_cut_is_that_of_all_sets_and_of_this_journal(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded cut=3", 0 },
		{ 2, GEN_FULL, "full succeeded cut=40 journal=" HEX, 0 },
		{ 3, GEN_FULL, "full succeeded cut=30 journal=" HEX, 1 },
		{ 4, GEN_FULL, "full failed cut=20 journal=" HEX, 0 },
	};
	static const uint8_t journal[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
					     0xcd, 0xef, 0x01, 0x23, 0x45, 0x67,
					     0x89, 0xab, 0xcd, 0xef };
	struct world w;
	struct history *h = opened(&w, t, 4, NULL);
	uint64_t cut;

	(void)state;
	assert_int_equal(history_lowest_cut(h, "w", journal, &cut, NULL), 0);
	assert_int_equal(cut, 30);
	assert_int_equal(history_lowest_cut(h, "x", journal, &cut, NULL), 0);
	assert_true(cut == UINT64_MAX);
	history_close(h);
}

static void
a_dossier_is_read_once_and_rubbish_is_none(void **state)
{
	static const struct row t[] = {
		{ 1, GEN_FULL, "full succeeded", 0 },
		{ 2, GEN_FULL, "!", 0 },
	};
	struct world w;
	struct history *h = opened(&w, t, 2, set0);
	const struct dossier *d;
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_int_equal(history_dossier(h, 2, &d, NULL), 0);
		assert_null(d);
		assert_int_equal(history_dossier(h, 1, &d, NULL), 0);
		assert_non_null(d);
		assert_int_equal(history_dossier(h, 7, &d, NULL), 0);
		assert_null(d);
	}
	assert_int_equal(w.loads, 2);
	history_close(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a2_the_base_is_the_newest_in_which_the_component_succeeded_and_is_current),
		cmocka_unit_test(
			a2_a_differential_has_the_newest_of_effective_type_full),
		cmocka_unit_test(
			a5_a_log_session_has_the_newest_full_incremental_or_log),
		cmocka_unit_test(
			b4_a_stamp_that_two_kept_generations_hold_is_ambiguous),
		cmocka_unit_test(
			a3_images_that_were_forgotten_are_named_by_the_newest),
		cmocka_unit_test(
			a3_images_go_back_to_where_the_component_was_current),
		cmocka_unit_test(
			a7_counts_are_those_of_the_newest_that_knows_the_component),
		cmocka_unit_test(
			a7_what_cannot_be_read_counts_as_what_it_may_have_been),
		cmocka_unit_test(
			b11_nothing_ends_a_lie_but_what_the_newest_says),
		cmocka_unit_test(
			b4_a_newer_record_that_is_lost_may_have_the_same_stamp),
		cmocka_unit_test(
			a3_images_that_may_be_in_a_lost_record_are_missed),
		cmocka_unit_test(a_damaged_generation_may_have_been_anything),
		cmocka_unit_test(the_newest_that_knows_components_of_a_writer),
		cmocka_unit_test(
			b1_the_lowest_cut_is_that_of_all_sets_and_of_this_journal),
		cmocka_unit_test(a_dossier_is_read_once_and_rubbish_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
