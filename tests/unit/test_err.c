#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"

#include "tests/lib/cmocka_all.h"

#include <errno.h>
#include <string.h>

static void
err_set_keeps_the_first_failure(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_set(&e, ERR_BUSY, "lock %d", 7), -1);
	assert_int_equal(err_set(&e, ERR_CORRUPT, "second"), -1);
	assert_int_equal(err_sys(&e, "third"), -1);
	assert_int_equal(e.kind, ERR_BUSY);
	assert_int_equal(e.saved_errno, 0);
	assert_string_equal(e.text, "lock 7");
}

static void
err_functions_take_null(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_set(NULL, ERR_BUSY, "x"), -1);
	assert_int_equal(err_sys(NULL, "x"), -1);
	assert_int_equal(err_source(NULL, "x"), -1);
	assert_int_equal(err_nomem(NULL), -1);
	assert_int_equal(err_prefix(NULL, "x"), -1);
	err_clear(NULL);
	err_move(NULL, NULL);
	err_move(&e, NULL);
	assert_int_equal(e.kind, ERR_NONE);
}

static void
err_sys_adds_the_reason_and_keeps_errno(void **state)
{
	struct err e = { 0 };

	(void)state;
	errno = ENOENT;
	assert_int_equal(err_sys(&e, "open %s", "pack"), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(e.kind, ERR_SYS);
	assert_int_equal(e.saved_errno, ENOENT);
	assert_string_equal(e.text, "open pack: No such file or directory");
}

static void
err_source_is_a_kind_of_its_own(void **state)
{
	struct err e = { 0 };

	(void)state;
	errno = EACCES;
	assert_int_equal(err_source(&e, "open %s", "a"), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_int_equal(e.saved_errno, EACCES);
	assert_string_equal(e.text, "open a: Permission denied");
}

static void
err_sys_and_err_source_turn_enomem_into_nomem(void **state)
{
	struct err a = { 0 };
	struct err b = { 0 };
	struct err c = { 0 };

	(void)state;
	errno = ENOMEM;
	err_sys(&a, "map");
	err_source(&b, "map");
	err_nomem(&c);
	assert_int_equal(a.kind, ERR_NOMEM);
	assert_int_equal(a.saved_errno, 0);
	assert_int_equal(b.kind, ERR_NOMEM);
	assert_int_equal(c.kind, ERR_NOMEM);
	assert_string_equal(a.text, "map: Cannot allocate memory");
	assert_string_equal(c.text, "out of memory");
}

static void
err_prefix_says_where_on_the_way_up(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_prefix(&e, "unset"), -1);
	assert_int_equal(e.kind, ERR_NONE);
	assert_string_equal(e.text, "");
	err_set(&e, ERR_MISSING, "chunk %s", "12");
	assert_int_equal(err_prefix(&e, "generation %d", 3), -1);
	err_prefix(&e, "check");
	assert_int_equal(e.kind, ERR_MISSING);
	assert_string_equal(e.text, "check: generation 3: chunk 12");
}

static void
err_text_that_is_too_long_is_cut_with_a_mark(void **state)
{
	struct err e = { 0 };
	char big[2 * ERR_TEXT_LEN];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, ERR_USAGE, "%s", big);
	assert_int_equal(strlen(e.text), ERR_TEXT_LEN - 1);
	assert_string_equal(e.text + ERR_TEXT_LEN - 5, "x...");
}

static void
err_sys_keeps_the_reason_of_a_cut_sentence(void **state)
{
	struct err e = { 0 };
	char big[2 * ERR_TEXT_LEN];
	const char *end = "x...: No space left on device";

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	errno = ENOSPC;
	err_sys(&e, "%s", big);
	assert_int_equal(strlen(e.text), ERR_TEXT_LEN - 1);
	assert_string_equal(e.text + ERR_TEXT_LEN - 1 - strlen(end), end);
}

static void
err_text_is_never_cut_inside_a_character(void **state)
{
	static const char *const chars[] = { "\xc3\xa9", "\xe2\x82\xac",
					     "\xf0\x9f\x98\x80" };
	char big[ERR_TEXT_LEN + 32];
	size_t shift;
	size_t i;
	size_t n;
	size_t at;

	(void)state;
	for (i = 0; i < N_OF(chars); i++) {
		n = strlen(chars[i]);
		for (shift = 0; shift < n; shift++) {
			struct err e = { 0 };

			memset(big, 'x', sizeof(big));
			for (at = shift; at + n < sizeof(big); at += n)
				memcpy(big + at, chars[i], n);
			big[at] = '\0';
			err_set(&e, ERR_USAGE, "%s", big);
			at = strlen(e.text) - 3;
			assert_string_equal(e.text + at, "...");
			assert_int_equal((at - shift) % n, 0);
			assert_true(at + n + 3 >= ERR_TEXT_LEN);
		}
	}
}

static void
err_prefix_cuts_a_long_prefix_and_a_long_cause(void **state)
{
	struct err e = { 0 };
	char big[2 * ERR_TEXT_LEN];

	(void)state;
	memset(big, 'p', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, ERR_USAGE, "cause");
	err_prefix(&e, "%s", big);
	assert_true(strlen(e.text) <= ERR_TEXT_LEN / 2 + 10);
	assert_string_equal(strchr(e.text, '.'), "...: cause");

	err_clear(&e);
	err_set(&e, ERR_USAGE, "%s", big);
	err_prefix(&e, "where");
	assert_int_equal(strlen(e.text), ERR_TEXT_LEN - 1);
	assert_memory_equal(e.text, "where: ppp", 10);
	assert_string_equal(e.text + ERR_TEXT_LEN - 5, "p...");
}

static void
err_move_hands_over_once(void **state)
{
	struct err a = { 0 };
	struct err b = { 0 };
	struct err c = { 0 };

	(void)state;
	err_set(&b, ERR_BUSY, "b");
	err_move(&a, &b);
	assert_int_equal(b.kind, ERR_NONE);
	assert_string_equal(b.text, "");
	assert_int_equal(a.kind, ERR_BUSY);
	assert_string_equal(a.text, "b");

	err_set(&c, ERR_CORRUPT, "c");
	err_move(&a, &c);
	assert_int_equal(c.kind, ERR_NONE);
	assert_string_equal(a.text, "b");

	err_move(&a, &a);
	assert_string_equal(a.text, "b");
	err_move(NULL, &a);
	assert_int_equal(a.kind, ERR_NONE);
}

static void
err_clear_makes_room_for_the_next(void **state)
{
	struct err e = { 0 };

	(void)state;
	errno = EIO;
	err_sys(&e, "a");
	err_clear(&e);
	assert_int_equal(e.kind, ERR_NONE);
	assert_int_equal(e.saved_errno, 0);
	err_set(&e, ERR_USAGE, "b");
	assert_string_equal(e.text, "b");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err_set_keeps_the_first_failure),
		cmocka_unit_test(err_functions_take_null),
		cmocka_unit_test(err_sys_adds_the_reason_and_keeps_errno),
		cmocka_unit_test(err_source_is_a_kind_of_its_own),
		cmocka_unit_test(err_sys_and_err_source_turn_enomem_into_nomem),
		cmocka_unit_test(err_prefix_says_where_on_the_way_up),
		cmocka_unit_test(err_text_that_is_too_long_is_cut_with_a_mark),
		cmocka_unit_test(err_sys_keeps_the_reason_of_a_cut_sentence),
		cmocka_unit_test(err_text_is_never_cut_inside_a_character),
		cmocka_unit_test(
			err_prefix_cuts_a_long_prefix_and_a_long_cause),
		cmocka_unit_test(err_move_hands_over_once),
		cmocka_unit_test(err_clear_makes_room_for_the_next),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
