/*
 * names, over a user database of the test's own: the functions of libc that
 * ask the system are defined here and so replace it in this program.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/names.h"

#include "base/err.h"
#include "base/mem.h"

#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the database -------------------------------------------------------- */

/*
 * Users and groups are called u1000 and g1000 by their number, where the
 * number is a multiple of ten; all others have no name.  A few are special.
 */
#define ID_EIO      20 /* the directory server is down */
#define ID_EINTR    30 /* interrupted twice, then found */
#define ID_LARGE    40 /* needs 100,000 bytes */
#define ID_ENDLESS  50 /* no room is enough */
#define ID_ENOMEM   60
#define ID_NO_NAME  70 /* found, with an empty name */
#define ID_LONG     80 /* found, with a name of 256 bytes */
#define ID_LONGEST  90 /* found, with a name of 255 bytes */
#define LARGE_BYTES 100000

static unsigned calls;
static unsigned interrupts;

/* What the look-up of an id fails with; 0 if it does not. */
static int
trouble(uint32_t id, size_t room)
{
	__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
	switch (id) {
	case ID_EIO:
		return EIO;
	case ID_EINTR:
		return interrupts++ < 2 ? EINTR : 0;
	case ID_LARGE:
		return room < LARGE_BYTES ? ERANGE : 0;
	case ID_ENDLESS:
		return ERANGE;
	case ID_ENOMEM:
		return ENOMEM;
	default:
		return room < 512 ? ERANGE : 0;
	}
}

/* Writes the name at p; false when the id has none. */
static bool
name_of(uint32_t id, char kind, char *p)
{
	size_t len = id == ID_LONG ? 256 : 255;

	if (id % 10 != 0)
		return false;
	if (id == ID_NO_NAME) {
		*p = '\0';
	} else if (id == ID_LONG || id == ID_LONGEST) {
		memset(p, kind, len);
		p[len] = '\0';
	} else {
		(void)snprintf(p, 32, "%c%u", kind, (unsigned)id);
	}
	return true;
}

/* The id of "u1000"; false when there is no such name. */
static bool
id_of(const char *name, char kind, uint32_t *id)
{
	char *end;
	unsigned long v;

	if (name[0] != kind)
		return false;
	v = strtoul(name + 1, &end, 10);
	*id = (uint32_t)v;
	return end != name + 1 && *end == '\0' && v % 10 == 0;
}

int
getpwuid_r(uid_t uid, struct passwd *pw, char *p, size_t room,
	   struct passwd **found)
{
	int rc = trouble(uid, room);

	*found = NULL;
	if (rc != 0)
		return rc;
	memset(pw, 0, sizeof(*pw));
	pw->pw_uid = uid;
	pw->pw_name = p;
	if (name_of(uid, 'u', p))
		*found = pw;
	return 0;
}

int
getgrgid_r(gid_t gid, struct group *gr, char *p, size_t room,
	   struct group **found)
{
	int rc = trouble(gid, room);

	*found = NULL;
	if (rc != 0)
		return rc;
	memset(gr, 0, sizeof(*gr));
	gr->gr_gid = gid;
	gr->gr_name = p;
	if (name_of(gid, 'g', p))
		*found = gr;
	return 0;
}

int
getpwnam_r(const char *name, struct passwd *pw, char *p, size_t room,
	   struct passwd **found)
{
	uint32_t id = 1;
	bool known = id_of(name, 'u', &id);
	int rc = trouble(id, room);

	*found = NULL;
	if (rc != 0)
		return rc;
	memset(pw, 0, sizeof(*pw));
	pw->pw_uid = id;
	pw->pw_name = p;
	*p = '\0';
	if (known)
		*found = pw;
	return 0;
}

int
getgrnam_r(const char *name, struct group *gr, char *p, size_t room,
	   struct group **found)
{
	uint32_t id = 1;
	bool known = id_of(name, 'g', &id);
	int rc = trouble(id, room);

	*found = NULL;
	if (rc != 0)
		return rc;
	memset(gr, 0, sizeof(*gr));
	gr->gr_gid = id;
	gr->gr_name = p;
	*p = '\0';
	if (known)
		*found = gr;
	return 0;
}

/* --- the machine and the host -------------------------------------------- */

static void
the_host_has_the_name_that_the_kernel_says(void **state)
{
	char want[HOST_NAME_MAX + 1] = "";
	struct buf got = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(gethostname(want, sizeof(want)), 0);
	assert_int_equal(names_host(&got, &e), 0);
	assert_string_equal(buf_str(&got), want);
	buf_clear(&got);
}

/*
 * The file is the machine's and may be absent or unusable here; in both
 * cases the answer is known.
 */
static void
the_machine_is_known_by_its_id_or_its_name(void **state)
{
	char want[HOST_NAME_MAX + 2] = "";
	FILE *f = fopen("/etc/machine-id", "re");
	struct buf got = { 0 };
	struct err e = { 0 };

	(void)state;
	if (f != NULL) {
		if (fgets(want, sizeof(want), f) == NULL)
			want[0] = '\0';
		(void)fclose(f);
	}
	want[strcspn(want, "\n")] = '\0';
	if (strlen(want) != 32 ||
	    strspn(want, "0123456789abcdef") != strlen(want))
		assert_int_equal(gethostname(want, sizeof(want)), 0);
	assert_int_equal(names_machine(&got, &e), 0);
	assert_string_equal(buf_str(&got), want);
	buf_clear(&got);
}

/* --- sets of ids --------------------------------------------------------- */

/* All names of a set, as "id=name id=name ...". */
static void
show_users(const struct id_set *s, struct buf *out)
{
	struct record_name *table = NULL;
	struct buf memory = { 0 };
	struct err e = { 0 };
	size_t count = 99;

	assert_int_equal(names_users(s, &memory, &table, &count, &e), 0);
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%u=%s ", (unsigned)table[i].id, table[i].name);
	(void)buf_str(out);
	mem_free(table);
	buf_clear(&memory);
}

static void
an_empty_set_has_no_names(void **state)
{
	struct id_set s = { 0 };
	struct buf got = { 0 };

	(void)state;
	show_users(&s, &got);
	assert_string_equal(buf_str(&got), "");
	id_set_clear(&s);
	buf_clear(&got);
}

static void
names_come_once_and_in_order(void **state)
{
	static const uint32_t ids[] = { 1000, 0,    1000, 3,  10, 1000,
					0,    4000, 7,    10, 11, 0 };
	struct id_set s = { 0 };
	struct buf got = { 0 };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < N_OF(ids); i++)
		assert_int_equal(id_set_add(&s, ids[i], &e), 0);
	assert_int_equal(s.count, 7);
	show_users(&s, &got);
	assert_string_equal(buf_str(&got),
			    "0=u0 10=u10 1000=u1000 4000=u4000 ");
	buf_clear(&got);
	id_set_clear(&s);
	assert_int_equal(s.count, 0);
}

/* 0 is also what an empty set has as its last one. */
static void
the_first_id_may_be_zero(void **state)
{
	struct id_set s = { 0 };
	struct buf got = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(id_set_add(&s, 0, &e), 0);
	assert_int_equal(id_set_add(&s, 0, &e), 0);
	show_users(&s, &got);
	assert_string_equal(buf_str(&got), "0=u0 ");
	buf_clear(&got);
	id_set_clear(&s);
}

/* The id that means "nobody" is none; the one before it is one. */
static void
the_largest_ids_are_kept_but_the_last(void **state)
{
	struct id_set s = { 0 };
	struct buf got = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(id_set_add(&s, UINT32_MAX, &e), 0);
	assert_int_equal(s.count, 0);
	assert_int_equal(id_set_add(&s, UINT32_MAX - 1, &e), 0);
	assert_int_equal(id_set_add(&s, 4294967290, &e), 0);
	assert_int_equal(s.count, 2);
	show_users(&s, &got);
	assert_string_equal(buf_str(&got), "4294967290=u4294967290 ");
	buf_clear(&got);
	id_set_clear(&s);
}

/* Ids of containers: the same small numbers in 60,000 ranges. */
static void
many_ids_are_kept_and_the_table_has_a_bound(void **state)
{
	struct record_name *table = NULL;
	struct id_set s = { 0 };
	struct buf memory = { 0 };
	struct err e = { 0 };
	size_t count = 0;

	(void)state;
	for (unsigned round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 60000; i++) {
			assert_int_equal(id_set_add(&s, i << 16, &e), 0);
			assert_int_equal(id_set_add(&s, (i << 16) + 10, &e), 0);
		}
	assert_int_equal(s.count, 120000);
	for (uint32_t i = 0; i < 70000; i++)
		assert_int_equal(id_set_add(&s, 100 + 10 * i, &e), 0);
	assert_int_equal(names_users(&s, &memory, &table, &count, &e), 0);
	assert_int_equal(count, RECORD_LIST_MAX);
	for (size_t i = 0; i < count; i++) {
		char want[16];

		assert_true(i == 0 || table[i - 1].id < table[i].id);
		(void)snprintf(want, sizeof(want), "u%u",
			       (unsigned)table[i].id);
		assert_string_equal(table[i].name, want);
	}
	mem_free(table);
	buf_clear(&memory);
	id_set_clear(&s);
}

static void
groups_are_asked_as_groups(void **state)
{
	struct record_name *table = NULL;
	struct id_set s = { 0 };
	struct buf memory = { 0 };
	struct err e = { 0 };
	size_t count = 0;

	(void)state;
	/* What stands in the buffer before stays. */
	buf_add_str(&memory, "before");
	assert_int_equal(id_set_add(&s, 100, &e), 0);
	assert_int_equal(id_set_add(&s, 101, &e), 0);
	assert_int_equal(names_groups(&s, &memory, &table, &count, &e), 0);
	assert_int_equal(count, 1);
	assert_int_equal(table[0].id, 100);
	assert_string_equal(table[0].name, "g100");
	assert_memory_equal(memory.data, "before", 6);
	mem_free(table);
	buf_clear(&memory);
	id_set_clear(&s);
}

static void
names_that_cannot_be_had_are_left_out(void **state)
{
	static const uint32_t ids[] = { ID_EIO,     ID_EINTR, ID_LARGE,
					ID_ENDLESS, ID_LONG,  ID_NO_NAME,
					110 };
	struct id_set s = { 0 };
	struct buf got = { 0 };
	struct err e = { 0 };

	(void)state;
	interrupts = 0;
	for (size_t i = 0; i < N_OF(ids); i++)
		assert_int_equal(id_set_add(&s, ids[i], &e), 0);
	show_users(&s, &got);
	assert_string_equal(buf_str(&got), "30=u30 40=u40 110=u110 ");
	buf_clear(&got);
	id_set_clear(&s);
}

static void
a_name_of_255_bytes_is_a_name(void **state)
{
	struct id_set s = { 0 };
	struct buf got = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(id_set_add(&s, ID_LONGEST, &e), 0);
	show_users(&s, &got);
	assert_int_equal(strlen(buf_str(&got)), strlen("90= ") + 255);
	buf_clear(&got);
	id_set_clear(&s);
}

static void
being_out_of_memory_is_a_failure(void **state)
{
	struct record_name *table = NULL;
	struct id_set s = { 0 };
	struct buf memory = { 0 };
	struct err e = { 0 };
	size_t count = 0;
	unsigned n;
	int rc = -1;

	(void)state;
	/* Said by the system. */
	assert_int_equal(id_set_add(&s, ID_ENOMEM, &e), 0);
	assert_int_equal(names_users(&s, &memory, &table, &count, &e), -1);
	assert_int_equal(e.kind, ERR_NOMEM);
	id_set_clear(&s);
	buf_clear(&memory);

	/* Ours: every single allocation. */
	for (n = 1; rc < 0; n++) {
		err_clear(&e);
		failing_plan_alloc(n, true);
		rc = id_set_add(&s, ID_LARGE, &e);
		if (rc == 0)
			rc = names_users(&s, &memory, &table, &count, &e);
		failing_off();
		if (rc < 0) {
			assert_int_equal(e.kind, ERR_NOMEM);
			assert_null(table);
		}
		id_set_clear(&s);
		if (rc < 0)
			buf_clear(&memory);
	}
	assert_true(n > 4);
	assert_int_equal(count, 1);
	assert_string_equal(table[0].name, "u40");
	mem_free(table);
	buf_clear(&memory);
}

/* --- local ids ----------------------------------------------------------- */

static void
local_ids_are_found_by_name(void **state)
{
	static const struct {
		const char *name;
		uint32_t user, group; /* with the fallback 7 */
	} rows[] = {
		{ "u1000", 1000, 7 }, { "g1000", 7, 1000 },
		{ "u1001", 7, 7 },    { "", 7, 7 },
		{ "u0", 0, 7 },       { "nobody here", 7, 7 },
		{ "g40", 7, 40 }, /* much room */
		{ "u50", 7, 7 },  /* no room is enough */
		{ "u60", 7, 7 },  /* no memory */
		{ "u20", 7, 7 },  /* server down */
	};

	(void)state;
	for (unsigned round = 0; round < 2; round++)
		for (size_t i = 0; i < N_OF(rows); i++) {
			assert_int_equal(names_local_user(rows[i].name, 7),
					 rows[i].user);
			assert_int_equal(names_local_group(rows[i].name, 7),
					 rows[i].group);
		}
}

static void
a_local_id_is_looked_up_once(void **state)
{
	unsigned before;

	(void)state;
	assert_int_equal(names_local_user("u777770", 1), 777770);
	assert_int_equal(names_local_user("stranger", 1), 1);
	before = calls;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(names_local_user("u777770", i), 777770);
		/* That there is none is remembered, the fallback is not. */
		assert_int_equal(names_local_user("stranger", i), i);
	}
	assert_int_equal(calls, before);
}

/* More names than the cache has places, from several threads. */
static void *
ask_many(void *arg)
{
	char name[16];

	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t id = (i * 7919 % 3000 + 100) * 10;

		(void)snprintf(name, sizeof(name), "u%u", (unsigned)id);
		if (names_local_user(name, 1) != id)
			*(bool *)arg = true;
		name[0] = 'g';
		if (names_local_group(name, 1) != id)
			*(bool *)arg = true;
	}
	return NULL;
}

static void
local_ids_are_right_from_many_threads(void **state)
{
	pthread_t thread[4];
	bool wrong[4] = { false };

	(void)state;
	for (size_t i = 0; i < N_OF(thread); i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, ask_many, &wrong[i]),
			0);
	for (size_t i = 0; i < N_OF(thread); i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_false(wrong[i]);
	}
}

static void
local_ids_fall_back_when_memory_is_short(void **state)
{
	(void)state;
	failing_plan_alloc(1, true);
	assert_int_equal(names_local_user("u55550", 9), 9);
	/* Found, only not remembered. */
	failing_plan_alloc(2, true);
	assert_int_equal(names_local_user("u55550", 9), 55550);
	failing_off();
	assert_int_equal(names_local_user("u55550", 9), 55550);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_host_has_the_name_that_the_kernel_says),
		cmocka_unit_test(the_machine_is_known_by_its_id_or_its_name),
		cmocka_unit_test(an_empty_set_has_no_names),
		cmocka_unit_test(names_come_once_and_in_order),
		cmocka_unit_test(the_first_id_may_be_zero),
		cmocka_unit_test(the_largest_ids_are_kept_but_the_last),
		cmocka_unit_test(many_ids_are_kept_and_the_table_has_a_bound),
		cmocka_unit_test(groups_are_asked_as_groups),
		cmocka_unit_test(names_that_cannot_be_had_are_left_out),
		cmocka_unit_test(a_name_of_255_bytes_is_a_name),
		cmocka_unit_test(being_out_of_memory_is_a_failure),
		cmocka_unit_test(local_ids_are_found_by_name),
		cmocka_unit_test(a_local_id_is_looked_up_once),
		cmocka_unit_test(local_ids_are_right_from_many_threads),
		cmocka_unit_test(local_ids_fall_back_when_memory_is_short),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
