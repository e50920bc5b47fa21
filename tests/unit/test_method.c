/*
 * Every restore method against every target, in every state of the places: a
 * table of what may be said in each case, and rules that hold in all of them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/method.h"

#include "base/err.h"
#include "tests/lib/cmocka_all.h"

#include <string.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

#define IF_NOT_THERE   METHOD_RESTORE_IF_NOT_THERE
#define IF_CAN_REPLACE METHOD_RESTORE_IF_CAN_REPLACE
#define STOP_RESTORE   METHOD_STOP_RESTORE_START
#define TO_ALTERNATE   METHOD_RESTORE_TO_ALTERNATE_LOCATION
#define AT_REBOOT      METHOD_RESTORE_AT_REBOOT
#define REBOOT_IF      METHOD_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE
#define CUSTOM         METHOD_CUSTOM
#define RESTORE_STOP   METHOD_RESTORE_STOP_START

/* The places of three files. */
enum state { FREE, TAKEN, STUCK };

static struct method_places
places(enum state s)
{
	struct method_places p = { 0 };

	if (s != FREE) {
		p.there = 1;
		p.first = "/d/there";
	}
	if (s == STUCK) {
		p.stuck = 1;
		p.why = "/d/stuck: somebody has it open";
	}
	return p;
}

static struct method_facts
facts(enum state home, unsigned mapped, enum state alternate)
{
	struct method_facts f = {
		.files = 3,
		.unmapped = 3 - mapped,
		.lost = mapped < 3 ? "/d/lost" : NULL,
		.home = places(home),
		.alternate = places(alternate),
	};

	return f;
}

/* H, A, S; or '-' for refused. */
static char
decided(enum metadata_method m, enum statement_target t,
	const struct method_facts *f)
{
	enum method_verdict v = 0;
	struct err e = { 0 };

	if (method_decide(m, t, f, &v, &e) < 0) {
		assert_int_equal(e.kind, ERR_USAGE);
		assert_true(strlen(e.text) > 10);
		assert_int_equal(v, 0);
		return '-';
	}
	assert_int_equal(e.kind, ERR_NONE);
	return "?HAS"[v];
}

/*
 * One letter for each state of the places: home free, taken, stuck; for each,
 * unmapped, partly mapped, mapped and free, mapped and taken, mapped and stuck.
 */
static void
all_states(enum metadata_method m, enum statement_target t, char out[16])
{
	static const struct {
		unsigned mapped;
		enum state at;
	} alternate[5] = {
		{ 0, FREE }, { 2, FREE }, { 3, FREE }, { 3, TAKEN }, { 3, STUCK },
	};
	struct method_facts f;
	size_t home;
	size_t i;

	for (home = 0; home < 3; home++)
		for (i = 0; i < 5; i++) {
			f = facts((enum state)home, alternate[i].mapped,
				  alternate[i].at);
			out[home * 5 + i] = decided(m, t, &f);
		}
	out[15] = '\0';
}

static void
rm_04_all_or_nothing_for_every_method_target_and_place(void **state)
{
	static const struct {
		enum metadata_method method;
		enum statement_target target;
		const char *want; /* free, taken, stuck */
	} t[] = {
		{ IF_NOT_THERE, 0, "HHHHH" "--A--" "--A--" },
		{ IF_NOT_THERE, TARGET_ORIGINAL, "HHHHH" "--A--" "--A--" },
		{ IF_NOT_THERE, TARGET_ALTERNATE, "--A--" "--A--" "--A--" },
		{ IF_NOT_THERE, TARGET_DIRECTED, "HHHHH" "--A--" "--A--" },
		{ IF_NOT_THERE, TARGET_ORIGINAL_LOCATION,
		  "HHHHH" "-----" "-----" },

		{ IF_CAN_REPLACE, 0, "HHHHH" "HHHHH" "--AA-" },
		{ IF_CAN_REPLACE, TARGET_ORIGINAL, "HHHHH" "HHHHH" "--AA-" },
		{ IF_CAN_REPLACE, TARGET_ALTERNATE, "--AA-" "--AA-" "--AA-" },
		{ IF_CAN_REPLACE, TARGET_DIRECTED, "HHHHH" "HHHHH" "--AA-" },
		{ IF_CAN_REPLACE, TARGET_ORIGINAL_LOCATION,
		  "HHHHH" "HHHHH" "-----" },

		{ STOP_RESTORE, 0, "HHHHH" "HHHHH" "--AA-" },
		{ STOP_RESTORE, TARGET_ORIGINAL, "HHHHH" "HHHHH" "--AA-" },
		{ STOP_RESTORE, TARGET_ALTERNATE, "--AA-" "--AA-" "--AA-" },
		{ STOP_RESTORE, TARGET_DIRECTED, "HHHHH" "HHHHH" "--AA-" },
		{ STOP_RESTORE, TARGET_ORIGINAL_LOCATION,
		  "HHHHH" "HHHHH" "-----" },

		{ RESTORE_STOP, 0, "HHHHH" "HHHHH" "--AA-" },
		{ RESTORE_STOP, TARGET_ORIGINAL, "HHHHH" "HHHHH" "--AA-" },
		{ RESTORE_STOP, TARGET_ALTERNATE, "--AA-" "--AA-" "--AA-" },
		{ RESTORE_STOP, TARGET_DIRECTED, "HHHHH" "HHHHH" "--AA-" },
		{ RESTORE_STOP, TARGET_ORIGINAL_LOCATION,
		  "HHHHH" "HHHHH" "-----" },

		{ TO_ALTERNATE, 0, "--AA-" "--AA-" "--AA-" },
		{ TO_ALTERNATE, TARGET_ORIGINAL, "--AA-" "--AA-" "--AA-" },
		{ TO_ALTERNATE, TARGET_ALTERNATE, "--AA-" "--AA-" "--AA-" },
		{ TO_ALTERNATE, TARGET_DIRECTED, "--AA-" "--AA-" "--AA-" },
		{ TO_ALTERNATE, TARGET_ORIGINAL_LOCATION,
		  "HHHHH" "HHHHH" "-----" },

		{ AT_REBOOT, 0, "SSSSS" "SSSSS" "SSSSS" },
		{ AT_REBOOT, TARGET_ORIGINAL, "SSSSS" "SSSSS" "SSSSS" },
		{ AT_REBOOT, TARGET_ALTERNATE, "-----" "-----" "-----" },
		{ AT_REBOOT, TARGET_DIRECTED, "SSSSS" "SSSSS" "SSSSS" },
		{ AT_REBOOT, TARGET_ORIGINAL_LOCATION,
		  "SSSSS" "SSSSS" "SSSSS" },

		{ REBOOT_IF, 0, "HHHHH" "HHHHH" "SSSSS" },
		{ REBOOT_IF, TARGET_ORIGINAL, "HHHHH" "HHHHH" "SSSSS" },
		{ REBOOT_IF, TARGET_ALTERNATE, "-----" "-----" "-----" },
		{ REBOOT_IF, TARGET_DIRECTED, "HHHHH" "HHHHH" "SSSSS" },
		{ REBOOT_IF, TARGET_ORIGINAL_LOCATION,
		  "HHHHH" "HHHHH" "SSSSS" },

		{ CUSTOM, 0, "-----" "-----" "-----" },
		{ CUSTOM, TARGET_ORIGINAL, "-----" "-----" "-----" },
		{ CUSTOM, TARGET_ALTERNATE, "-----" "-----" "-----" },
		{ CUSTOM, TARGET_DIRECTED, "-----" "-----" "-----" },
		{ CUSTOM, TARGET_ORIGINAL_LOCATION, "-----" "-----" "-----" },
	};
	char got[16];
	size_t i;

	(void)state;
	assert_int_equal(N_OF(t), 8 * 5);
	for (i = 0; i < N_OF(t); i++) {
		all_states(t[i].method, t[i].target, got);
		if (strcmp(got, t[i].want) != 0)
			fail_msg("method %d, target %d: %s instead of %s",
				 (int)t[i].method, (int)t[i].target, got,
				 t[i].want);
	}
}

static void
tw_06_one_file_that_is_stuck_sends_all_to_the_alternate_location(void **state)
{
	struct method_facts f = facts(STUCK, 3, FREE);

	(void)state;
	f.files = 1000000;
	assert_int_equal(decided(IF_CAN_REPLACE, 0, &f), 'A');
}

static void
api_43_a_file_without_a_mapping_is_named(void **state)
{
	struct method_facts f = facts(FREE, 2, FREE);
	enum method_verdict v;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(method_decide(TO_ALTERNATE, 0, &f, &v, &e), -1);
	assert_non_null(strstr(e.text, "/d/lost"));
	err_clear(&e);
	f = facts(FREE, 0, FREE);
	assert_int_equal(
		method_decide(IF_CAN_REPLACE, TARGET_ALTERNATE, &f, &v, &e),
		-1);
	assert_non_null(strstr(e.text, "/d/lost"));
}

static void
a_refusal_names_what_is_in_the_way(void **state)
{
	struct method_facts f = facts(TAKEN, 0, FREE);
	enum method_verdict v;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(method_decide(IF_NOT_THERE, 0, &f, &v, &e), -1);
	assert_non_null(strstr(e.text, "/d/there is there"));
	err_clear(&e);
	f = facts(STUCK, 0, FREE);
	assert_int_equal(method_decide(STOP_RESTORE, 0, &f, &v, &e), -1);
	assert_non_null(strstr(e.text, "somebody has it open"));
	err_clear(&e);
	f = facts(STUCK, 3, STUCK);
	assert_int_equal(method_decide(STOP_RESTORE, 0, &f, &v, &e), -1);
	assert_non_null(strstr(e.text, "alternate location"));
}

static void
rm_07_a_custom_method_is_refused_with_a_way_out(void **state)
{
	struct method_facts f = facts(FREE, 3, FREE);
	enum method_verdict v;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(method_decide(CUSTOM, 0, &f, &v, &e), -1);
	assert_non_null(strstr(e.text, "--to"));
}

static void
sv_02_only_two_methods_touch_the_service(void **state)
{
	unsigned m;

	(void)state;
	for (m = METHOD_RESTORE_IF_NOT_THERE; m <= METHOD_RESTORE_STOP_START;
	     m++) {
		assert_int_equal(method_stops_before((enum metadata_method)m),
				 m == METHOD_STOP_RESTORE_START);
		assert_int_equal(method_restarts_after((enum metadata_method)m),
				 m == METHOD_RESTORE_STOP_START);
	}
}

static void
only_never_is_never_told(void **state)
{
	(void)state;
	assert_false(method_tells(EVENTS_NEVER));
	assert_true(method_tells(EVENTS_IF_REPLACE_FAILS));
	assert_true(method_tells(EVENTS_ALWAYS));
}

static void
a_set_without_files_fits_anywhere(void **state)
{
	struct method_facts f = { 0 };

	(void)state;
	assert_int_equal(decided(IF_NOT_THERE, 0, &f), 'H');
	assert_int_equal(decided(TO_ALTERNATE, 0, &f), 'A');
	assert_int_equal(decided(CUSTOM, 0, &f), '-');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			rm_04_all_or_nothing_for_every_method_target_and_place),
		cmocka_unit_test(
			tw_06_one_file_that_is_stuck_sends_all_to_the_alternate_location),
		cmocka_unit_test(api_43_a_file_without_a_mapping_is_named),
		cmocka_unit_test(a_refusal_names_what_is_in_the_way),
		cmocka_unit_test(rm_07_a_custom_method_is_refused_with_a_way_out),
		cmocka_unit_test(sv_02_only_two_methods_touch_the_service),
		cmocka_unit_test(only_never_is_never_told),
		cmocka_unit_test(a_set_without_files_fits_anywhere),
	};

	return cmocka_run_group_tests_name("method", tests, NULL, NULL);
}
