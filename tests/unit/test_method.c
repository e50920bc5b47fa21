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
 * One letter for each state of the places: home free, taken, stuck; in each,
 * unmapped, partly mapped, mapped and free, mapped and taken, mapped and stuck.
 */
static void
all_states(enum metadata_method m, enum statement_target t, char out[18])
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

	for (home = 0; home < 3; home++) {
		for (i = 0; i < 5; i++) {
			f = facts((enum state)home, alternate[i].mapped,
				  alternate[i].at);
			*out++ = decided(m, t, &f);
		}
		*out++ = home < 2 ? ' ' : '\0';
	}
}

/* Three of the targets come to the same, whatever the state of the places. */
enum column { AS_THE_METHOD_SAYS, ALTERNATE, ORIGINAL_LOCATION, COLUMNS };

static const struct {
	enum statement_target target;
	enum column column;
} targets[] = {
	{ 0, AS_THE_METHOD_SAYS },
	{ TARGET_ORIGINAL, AS_THE_METHOD_SAYS },
	{ TARGET_DIRECTED, AS_THE_METHOD_SAYS },
	{ TARGET_ALTERNATE, ALTERNATE },
	{ TARGET_ORIGINAL_LOCATION, ORIGINAL_LOCATION },
};

static const struct {
	enum metadata_method method;
	const char *want[COLUMNS];
} methods[] = {
	{ IF_NOT_THERE,
	  { "HHHHH --A-- --A--", "--A-- --A-- --A--", "HHHHH ----- -----" } },
	{ IF_CAN_REPLACE,
	  { "HHHHH HHHHH --AA-", "--AA- --AA- --AA-", "HHHHH HHHHH -----" } },
	{ STOP_RESTORE,
	  { "HHHHH HHHHH --AA-", "--AA- --AA- --AA-", "HHHHH HHHHH -----" } },
	{ RESTORE_STOP,
	  { "HHHHH HHHHH --AA-", "--AA- --AA- --AA-", "HHHHH HHHHH -----" } },
	{ TO_ALTERNATE,
	  { "--AA- --AA- --AA-", "--AA- --AA- --AA-", "HHHHH HHHHH -----" } },
	{ AT_REBOOT,
	  { "SSSSS SSSSS SSSSS", "----- ----- -----", "SSSSS SSSSS SSSSS" } },
	{ REBOOT_IF,
	  { "HHHHH HHHHH SSSSS", "----- ----- -----", "HHHHH HHHHH SSSSS" } },
	{ CUSTOM,
	  { "----- ----- -----", "----- ----- -----", "----- ----- -----" } },
};

static void
rm_04_all_or_nothing_for_every_method_target_and_place(void **state)
{
	char got[18];
	size_t i;
	size_t k;

	(void)state;
	assert_int_equal(N_OF(methods) * N_OF(targets), 8 * 5);
	for (i = 0; i < N_OF(methods); i++)
		for (k = 0; k < N_OF(targets); k++) {
			const char *want = methods[i].want[targets[k].column];

			all_states(methods[i].method, targets[k].target, got);
			if (strcmp(got, want) != 0)
				fail_msg("method %d, target %d: %s, not %s",
					 (int)methods[i].method,
					 (int)targets[k].target, got, want);
		}
}

/* It is refused, and this stands in the sentence. */
static void
refused(enum metadata_method m, enum statement_target t,
	const struct method_facts *f, const char *why)
{
	enum method_verdict v;
	struct err e = { 0 };

	assert_int_equal(method_decide(m, t, f, &v, &e), -1);
	if (strstr(e.text, why) == NULL)
		fail_msg("no \"%s\" in: %s", why, e.text);
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

	(void)state;
	refused(TO_ALTERNATE, 0, &f, "/d/lost");
	f = facts(FREE, 0, FREE);
	refused(IF_CAN_REPLACE, TARGET_ALTERNATE, &f, "/d/lost");
}

static void
a_refusal_names_what_is_in_the_way(void **state)
{
	struct method_facts f = facts(TAKEN, 0, FREE);

	(void)state;
	refused(IF_NOT_THERE, 0, &f, "/d/there is there");
	f = facts(STUCK, 0, FREE);
	refused(STOP_RESTORE, 0, &f, "somebody has it open");
	f = facts(STUCK, 3, STUCK);
	refused(STOP_RESTORE, 0, &f, "alternate location");
}

static void
rm_07_a_custom_method_is_refused_with_a_way_out(void **state)
{
	struct method_facts f = facts(FREE, 3, FREE);

	(void)state;
	refused(CUSTOM, 0, &f, "--to");
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
