#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/session.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "store/repository.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/scratch.h"

#include <sys/file.h>
#include <sys/wait.h>

static struct scratch scratch;
static struct repository *repository;

static int
set_up(void **state)
{
	struct err e = { 0 };

	(void)state;
	scratch_begin(&scratch);
	failing_install();
	if (repository_init(scratch_at(&scratch, "r"), &e) < 0 ||
	    repository_open(scratch_at(&scratch, "r"), &repository, &e) < 0)
		fail_msg("%s", e.text);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	repository_close(repository);
	failing_remove();
	scratch_end(&scratch);
	return 0;
}

static const char *
in_repo(const char *dir, const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "r/%s/%s", dir, name);
	return scratch_at(&scratch, path);
}

static struct session *
must_begin(void)
{
	struct session *s = NULL;
	struct err e = { 0 };

	if (session_begin(repository, "backup", &s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static size_t
session_files(char (*names)[256], size_t max)
{
	return scratch_count(in_repo("sessions", ""), names, max);
}

/* --- the file ------------------------------------------------------------ */

static void
a_session_is_a_locked_file_that_says_who(void **state)
{
	struct session *s = must_begin();
	char names[1][256];
	char text[1000];
	char pid[32];
	int fd;

	(void)state;
	assert_int_equal(session_files(names, 1), 1);
	assert_int_equal(strlen(names[0]), 32);
	assert_int_equal(strspn(names[0], "0123456789abcdef"), 32);
	fd = open(in_repo("sessions", names[0]), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
	text[read(fd, text, sizeof(text) - 1)] = '\0';
	assert_int_equal(close(fd), 0);
	(void)snprintf(pid, sizeof(pid), "\npid %ld\n", (long)getpid());
	assert_ptr_equal(strstr(text, "kind backup\nhost "), text);
	assert_non_null(strstr(text, pid));
	assert_non_null(strstr(text, "\nstart 20"));
	assert_non_null(strstr(text, "\nepoch 0000000000\n"));
	session_end(s);
	assert_int_equal(session_files(NULL, 0), 0);
	session_end(NULL);
}

static void
the_epoch_is_written_in_place(void **state)
{
	struct session *s = must_begin();
	char names[1][256];
	char before[1000];
	char after[1000];
	size_t n;

	(void)state;
	assert_int_equal(session_files(names, 1), 1);
	n = scratch_read(in_repo("sessions", names[0]), before, 1000);
	assert_int_equal(session_epoch(s, 4294967295u, NULL), 0);
	assert_int_equal(session_epoch(s, 42, NULL), 0);
	assert_int_equal(
		scratch_read(in_repo("sessions", names[0]), after, 1000), n);
	assert_memory_equal(before, after, n - 11);
	assert_memory_equal(after + n - 17, "epoch 0000000042\n", 17);
	session_end(s);
}

static void
sessions_live_beside_each_other(void **state)
{
	struct session *a = must_begin();
	struct session *b = must_begin();
	struct session *c = must_begin();

	(void)state;
	assert_int_equal(session_files(NULL, 0), 3);
	session_end(b);
	assert_int_equal(session_files(NULL, 0), 2);
	session_end(a);
	session_end(c);
	assert_int_equal(session_files(NULL, 0), 0);
}

/* Dead is whose lock can be had; other names are nobody's business. */
static void
the_dead_are_removed_and_the_living_are_not(void **state)
{
	static const char dead[] = "00112233445566778899aabbccddeeff";
	struct session *a = must_begin();
	struct session *b;

	(void)state;
	scratch_write(in_repo("sessions", dead), "garbage", 7);
	scratch_write(in_repo("sessions", "notes"), "x", 1);
	scratch_write(in_repo("sessions", "0011.txt"), "x", 1);
	b = must_begin();
	assert_int_equal(access(in_repo("sessions", dead), F_OK), -1);
	assert_int_equal(session_files(NULL, 0), 4);
	session_end(a);
	session_end(b);
	assert_int_equal(session_files(NULL, 0), 2);
}

static void
a_killed_process_leaves_a_session_that_the_next_removes(void **state)
{
	struct session *s = NULL;
	char names[2][256];
	char first[256];
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		(void)session_begin(repository, "backup", &s, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(session_files(names, 2), 1);
	memcpy(first, names[0], sizeof(first));
	s = must_begin();
	assert_int_equal(session_files(names, 2), 1);
	assert_string_not_equal(names[0], first);
	session_end(s);
}

static void
a_session_whose_file_is_gone_is_renewed(void **state)
{
	struct session *s = must_begin();
	char names[2][256];
	char first[256];
	char text[1000];
	int fd;

	(void)state;
	assert_int_equal(session_files(names, 2), 1);
	memcpy(first, names[0], sizeof(first));
	assert_int_equal(session_renew(s, NULL), 0);
	assert_int_equal(session_files(names, 2), 1);
	assert_string_equal(names[0], first);
	assert_int_equal(unlink(in_repo("sessions", first)), 0);
	assert_int_equal(session_renew(s, NULL), 0);
	assert_int_equal(session_files(names, 2), 1);
	assert_string_not_equal(names[0], first);
	assert_int_equal(session_epoch(s, 7, NULL), 0);
	fd = open(in_repo("sessions", names[0]), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
	text[read(fd, text, sizeof(text) - 1)] = '\0';
	assert_int_equal(close(fd), 0);
	assert_ptr_equal(strstr(text, "kind backup\nhost "), text);
	assert_non_null(strstr(text, "\nepoch 0000000007\n"));
	session_end(s);
	assert_int_equal(session_files(NULL, 0), 0);
}

static int thefts;

/* Somebody clears up between the creation of the file and its lock. */
static int
flock_after_theft(int fd, int op)
{
	char names[1][256];

	if (thefts > 0) {
		thefts--;
		assert_int_equal(session_files(names, 1), 1);
		assert_int_equal(unlink(in_repo("sessions", names[0])), 0);
	}
	return sys_real.flock(fd, op);
}

static int
flock_taken(int fd, int op)
{
	(void)fd;
	(void)op;
	errno = EWOULDBLOCK;
	return -1;
}

static void
a_file_lost_before_its_lock_is_replaced(void **state)
{
	struct sys_ops ops = sys_real;
	struct session *s;
	struct session *other;
	char names[1][256];

	(void)state;
	ops.flock = flock_after_theft;
	sys_repo = &ops;
	thefts = 3;
	s = must_begin();
	failing_install();
	assert_int_equal(thefts, 0);
	assert_int_equal(session_files(names, 1), 1);
	/* It is the locked one: the next session does not take it for dead. */
	other = must_begin();
	assert_int_equal(access(in_repo("sessions", names[0]), F_OK), 0);
	session_end(other);
	session_end(s);
	assert_int_equal(session_files(NULL, 0), 0);
}

static void
a_lock_that_is_always_taken_ends_in_an_error(void **state)
{
	struct sys_ops ops = sys_real;
	struct session *s = NULL;
	struct err e = { 0 };

	(void)state;
	ops.flock = flock_taken;
	sys_repo = &ops;
	assert_int_equal(session_begin(repository, "view", &s, &e), -1);
	assert_int_equal(e.kind, ERR_BUSY);
	failing_install();
}

/* --- where nothing can be written ----------------------------------------- */

static int
open_read_only(int dirfd, const char *path, int flags, mode_t mode)
{
	if ((flags & O_CREAT) != 0) {
		errno = EROFS;
		return -1;
	}
	return sys_real.openat(dirfd, path, flags, mode);
}

static void
a_read_only_repository_has_sessions_without_files(void **state)
{
	static const unsigned char set[16] = { 1 };
	struct sys_ops ops = sys_real;
	struct session *s;
	struct err e = { 0 };

	(void)state;
	ops.openat = open_read_only;
	sys_repo = &ops;
	assert_int_equal(session_begin(repository, "view", &s, &e), -1);
	repository->read_only = true;
	s = must_begin();
	assert_int_equal(session_files(NULL, 0), 0);
	assert_int_equal(session_epoch(s, 7, NULL), 0);
	err_clear(&e);
	assert_int_equal(session_lock_set(s, set, &e), -1);
	assert_non_null(strstr(e.text, "cannot be written"));
	session_end(s);
	failing_install();
}

static void
a_repository_without_a_sessions_directory(void **state)
{
	struct session *s = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(close(repository->sessions_fd), 0);
	assert_int_equal(close(repository->condemned_fd), 0);
	repository->sessions_fd = repository->condemned_fd = -1;
	assert_int_equal(session_begin(repository, "view", &s, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	repository->read_only = true;
	s = must_begin();
	assert_int_equal(session_references(s, NULL), 0);
	session_end(s);
}

static void
a_full_file_system_does_not_keep_a_session_from_beginning(void **state)
{
	struct session *s;

	(void)state;
	failing_plan(FAIL_WRITE, 1, true, ENOSPC);
	s = must_begin();
	assert_int_equal(failing_hits(), 1);
	failing_off();
	assert_int_equal(session_files(NULL, 0), 1);
	session_end(s);
}

/* --- the lock of a set --------------------------------------------------- */

static void
a_set_is_held_by_one_session(void **state)
{
	static const unsigned char x[16] = { 0xab, 1 };
	static const unsigned char y[16] = { 0xcd, 2 };
	struct session *a = must_begin();
	struct session *b = must_begin();

	(void)state;
	assert_int_equal(session_lock_set(a, x, NULL), 0);
	assert_int_equal(access(in_repo("sessions",
					"set-ab010000000000000000000000000000"),
				F_OK),
			 0);
	assert_int_equal(session_lock_set(b, x, NULL), 1);
	assert_int_equal(session_lock_set(b, y, NULL), 0);
	assert_int_equal(session_lock_set(b, x, NULL), -1);
	session_end(a);
	session_end(b);
	a = must_begin();
	assert_int_equal(session_lock_set(a, x, NULL), 0);
	session_end(a);
}

/* --- the condemned ------------------------------------------------------- */

static struct pack_id
pack(unsigned n)
{
	struct pack_id id = { { (uint8_t)(n * 37), (uint8_t)n } };

	return id;
}

/* A list of the packs first ... first + n - 1, as prune writes it. */
static void
write_condemned(const char *name, unsigned first, unsigned n)
{
	struct buf b = { 0 };
	unsigned char hash[16];
	struct pack_id id;
	unsigned i;

	wr_bytes(&b, "asofcond", 8);
	wr_u32(&b, 1);
	wr_u32(&b, n);
	for (i = 0; i < n; i++) {
		id = pack(first + i);
		wr_bytes(&b, id.b, sizeof(id.b));
	}
	hash_plain(b.data, b.len, hash, sizeof(hash));
	wr_bytes(&b, hash, sizeof(hash));
	scratch_write(in_repo("condemned", name), b.data, b.len);
	buf_clear(&b);
}

static void
condemned_packs_are_known_from_all_lists(void **state)
{
	struct session *s;
	struct pack_id id;
	unsigned i;

	(void)state;
	write_condemned("1", 10, 20);
	write_condemned("12", 100, 1);
	write_condemned("3", 200, 0);
	write_condemned(".tmp-4", 1, 9);
	write_condemned("04", 1, 9);
	write_condemned("x", 1, 9);
	s = must_begin();
	assert_int_equal(session_references(s, NULL), 0);
	for (i = 0; i < 256; i++) {
		id = pack(i);
		assert_int_equal(session_condemned(s, &id),
				 (i >= 10 && i < 30) || i == 100);
	}
	session_end(s);
}

static void
nothing_is_condemned_at_first(void **state)
{
	struct session *s = must_begin();
	struct pack_id id = pack(1);

	(void)state;
	assert_false(session_condemned(s, &id));
	assert_int_equal(session_references(s, NULL), 0);
	session_end(s);
}

/* The list is read after the lock is held, else prune may not see us. */
static bool locked_first;

static int
flock_and_condemn(int fd, int op)
{
	locked_first = true;
	write_condemned("1", 5, 1);
	return sys_real.flock(fd, op);
}

static void
condemned_is_read_after_the_lock_is_taken(void **state)
{
	struct sys_ops ops = sys_real;
	struct pack_id id = pack(5);
	struct session *s;

	(void)state;
	ops.flock = flock_and_condemn;
	sys_repo = &ops;
	s = must_begin();
	failing_install();
	assert_true(locked_first);
	assert_true(session_condemned(s, &id));
	session_end(s);
}

static void
assert_unusable(enum err_kind kind, const char *what)
{
	struct pack_id id = pack(250);
	struct session *s = must_begin();
	struct err e = { 0 };

	if (session_references(s, &e) != -1)
		fail_msg("%s: accepted", what);
	assert_int_equal(e.kind, kind);
	assert_non_null(strstr(e.text, "condemned"));
	assert_true(session_condemned(s, &id));
	/* It can be asked again. */
	assert_int_equal(session_references(s, NULL), -1);
	session_end(s);
}

static void
a_damaged_list_condemns_everything(void **state)
{
	char what[64];
	off_t size;
	off_t i;

	(void)state;
	write_condemned("1", 10, 3);
	size = scratch_size(in_repo("condemned", "1"));
	for (i = 0; i < size; i++) {
		write_condemned("1", 10, 3);
		scratch_flip(in_repo("condemned", "1"), i);
		(void)snprintf(what, sizeof(what), "bit %ld turned", (long)i);
		assert_unusable(
			i >= 8 && i < 12 ? ERR_UNSUPPORTED : ERR_CORRUPT, what);
	}
	for (i = 0; i < size; i++) {
		write_condemned("1", 10, 3);
		assert_int_equal(truncate(in_repo("condemned", "1"), i), 0);
		(void)snprintf(what, sizeof(what), "cut at %ld", (long)i);
		assert_unusable(ERR_CORRUPT, what);
	}
	write_condemned("1", 10, 3);
	assert_int_equal(truncate(in_repo("condemned", "1"), size + 1), 0);
	assert_unusable(ERR_CORRUPT, "a byte behind it");
}

static void
an_unreadable_list_condemns_everything(void **state)
{
	struct pack_id id = pack(250);
	struct session *s;
	struct err e = { 0 };

	(void)state;
	write_condemned("1", 10, 3);
	failing_plan(FAIL_READ, 1, false, EIO);
	s = must_begin();
	assert_int_equal(failing_hits(), 1);
	failing_off();
	assert_int_equal(session_references(s, &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	assert_true(session_condemned(s, &id));
	session_end(s);
}

/* --- failures ------------------------------------------------------------ */

static void
beginning_survives_every_failure(void **state)
{
	struct session *s;
	struct pack_id id = pack(11);
	struct err e = { 0 };
	unsigned n;
	int rc;

	(void)state;
	write_condemned("1", 10, 20);
	for (n = 1;; n++) {
		failing_plan(FAIL_ALL, n, n % 2 == 0, EIO);
		err_clear(&e);
		s = NULL;
		rc = session_begin(repository, "check", &s, &e);
		if (failing_hits() == 0)
			break;
		failing_off();
		assert_true(rc == 0 || (s == NULL && e.text[0] != '\0'));
		if (rc == 0)
			assert_true(session_condemned(s, &id));
		session_end(s);
	}
	failing_off();
	session_end(s);
	assert_true(n > 6);
	for (n = 1;; n++) {
		failing_plan_alloc(n, false);
		err_clear(&e);
		s = NULL;
		rc = session_begin(repository, "check", &s, &e);
		if (failing_hits() == 0)
			break;
		failing_off();
		assert_true(rc == 0 || e.kind == ERR_NOMEM);
		if (rc == 0) /* only clearing up after the dead failed */
			assert_int_equal(session_references(s, NULL), 0);
		session_end(s);
	}
	failing_off();
	session_end(s);
	assert_int_equal(session_files(NULL, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_session_is_a_locked_file_that_says_who),
		TEST(the_epoch_is_written_in_place),
		TEST(sessions_live_beside_each_other),
		TEST(the_dead_are_removed_and_the_living_are_not),
		TEST(a_killed_process_leaves_a_session_that_the_next_removes),
		TEST(a_session_whose_file_is_gone_is_renewed),
		TEST(a_file_lost_before_its_lock_is_replaced),
		TEST(a_lock_that_is_always_taken_ends_in_an_error),
		TEST(a_read_only_repository_has_sessions_without_files),
		TEST(a_repository_without_a_sessions_directory),
		TEST(a_full_file_system_does_not_keep_a_session_from_beginning),
		TEST(a_set_is_held_by_one_session),
		TEST(condemned_packs_are_known_from_all_lists),
		TEST(nothing_is_condemned_at_first),
		TEST(condemned_is_read_after_the_lock_is_taken),
		TEST(a_damaged_list_condemns_everything),
		TEST(an_unreadable_list_condemns_everything),
		TEST(beginning_survives_every_failure),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
