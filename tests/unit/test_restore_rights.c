/*
 * Restores for writers: the services around them, and whose rights count.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/service.h"

#include "tests/lib/restore_rig.h"

static void
only_root(void)
{
	if (!is_root())
		skip();
}

/* --- services ----------------------------------------------------------------- */

static const char *const with_service[] = { DOC("stop-restore-start"),
					    DOC("restore-stop-start") };

/*
 * It notes what it is told; it cannot stop "bad", nor start "dead", and who stops
 * "killer" is killed.
 */
static void
make_manager(void)
{
	char script[SCRATCH_LEN + 400];
	const char *path = in("/manager");

	(void)snprintf(script, sizeof(script),
		       "#!/bin/sh\n"
		       "if [ -e '%s/d/a' ]; then f=there; else f=not; fi\n"
		       "echo \"$1 $3 $f\" >>'%s/calls'\n"
		       "[ \"$1 $3\" != 'stop killer' ] || kill -9 $PPID\n"
		       "[ \"$1 $3\" != 'stop bad' ] &&\n"
		       "[ \"$1 $3\" != 'start dead' ]\n",
		       W.s.path, W.s.path);
	scratch_write(path, script, strlen(script));
	assert_int_equal(chmod(path, 0755), 0);
	service_program = path;
}

static void
start_managed(const char *document)
{
	start(document);
	make_manager();
}

static void
sv_02_the_service_is_stopped_and_started_around_the_restore(void **state)
{
	(void)state;
	only_root();
	start_managed(DOC("stop-restore-start"));
	use_service("one.service");
	use_service("two@x.service");
	must_restore();
	must_be("/d/a");
	must_hold("/calls", "stop one.service not\nstop two@x.service not\n"
			    "start two@x.service there\n"
			    "start one.service there\n");
	end();
	start_managed(DOC("restore-stop-start"));
	use_service("one");
	must_restore();
	must_hold("/calls", "stop one there\nstart one there\n");
	end();
}

static void
sv_02_what_was_stopped_runs_again_whatever_fails(void **state)
{
	(void)state;
	only_root();
	start_managed(DOC("stop-restore-start"));
	use_service("one");
	use_service("bad");
	must_restore();
	assert_int_equal(W.out.failed, 1);
	assert_false(is_there("/d"));
	must_hold("/calls", "stop one not\nstop bad not\nstart bad not\n"
			    "start one not\n");
	must_log(TOLD "post-restore w:c none\nclose\n");
	end();
	start_managed(DOC("stop-restore-start"));
	use_service("one");
	make_dir("/d");
	block("/d/a");
	must_restore();
	assert_int_equal(W.out.failed, 1);
	must_hold("/calls", "stop one there\nstart one there\n");
	end();
}

static void
sv_02_what_was_stopped_runs_again_if_we_are_killed(void **state)
{
	static const char want[] = "stop one not\nstop killer not\n"
				   "start killer not\nstart one not\n";
	char got[sizeof(want)] = "";
	unsigned tries;
	int status;
	pid_t us;

	(void)state;
	only_root();
	start_managed(DOC("stop-restore-start"));
	use_service("one");
	use_service("killer");
	us = fork();
	assert_true(us >= 0);
	if (us == 0) {
		(void)restore();
		_exit(0);
	}
	assert_int_equal(waitpid(us, &status, 0), us);
	assert_true(WIFSIGNALED(status));
	for (tries = 0; tries < 100 && strcmp(got, want) != 0; tries++) {
		(void)usleep(50000);
		got[scratch_read(in("/calls"), got, sizeof(got) - 1)] = '\0';
	}
	assert_string_equal(got, want);
	assert_false(is_there("/d"));
	end();
}

static void
sv_02_a_service_that_does_not_start_again_is_a_failure(void **state)
{
	size_t i;

	(void)state;
	only_root();
	for (i = 0; i < N_OF(with_service); i++) {
		start_managed(with_service[i]);
		use_service("dead");
		must_restore();
		must_be("/d/a");
		assert_int_equal(W.out.failed, 1);
		must_note("start the service dead");
		must_log(TOLD "gap w:c\npost-restore w:c all\nclose\n");
		end();
	}
}

static void
sv_01_without_a_named_service_nothing_is_stopped_or_restored(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 2 * N_OF(with_service); i++) {
		start(with_service[i / 2]);
		W.o.dry_run = i % 2 == 1;
		must_give_up("--service");
		assert_false(is_there("/d"));
		end();
		if (!is_root())
			continue;
		start_managed(with_service[i / 2]);
		W.o.dry_run = i % 2 == 1;
		use_service("--root=/tmp");
		must_give_up("not the name of a service");
		assert_false(is_there("/calls"));
		assert_false(is_there("/d"));
		end();
	}
}

/* --- writers of others -------------------------------------------------------- */

/* A writer of nobody's, who was granted /d. */
static void
start_granted(const char *document)
{
	start(document);
	make_dir("/d");
	W.live.owner = NOBODY;
	W.grant[0] = in("/d");
	W.live.grants = 1;
	assert_int_equal(lchown(in("/d"), NOBODY, NOBODY), 0);
}

static void
e2_a_restore_for_another_user_is_done_as_that_user(void **state)
{
	struct stat st;

	(void)state;
	only_root();
	start_granted(ONE_DIR);
	must_restore();
	must_be("/d/a");
	must_be("/d/sub/x");
	assert_int_equal(lstat(in("/d/a"), &st), 0);
	assert_int_equal(st.st_uid, NOBODY);
	assert_int_equal(lstat(in("/d/sub"), &st), 0);
	assert_int_equal(st.st_uid, NOBODY);
	end();
}

static void
e2_nothing_outside_the_grant_is_written(void **state)
{
	(void)state;
	only_root();
	start_granted(PLAIN);
	must_give_up("not beneath what the writer was granted");
	assert_false(is_there("/d/a"));
	assert_false(is_there("/log"));
	end();
}

static void
e2_what_the_owner_may_not_replace_is_not_replaced(void **state)
{
	(void)state;
	only_root();
	start_granted(ONE_DIR);
	make_dir("/d/sub");
	/* A directory of root's in the middle. */
	put_file("/d/sub/x", "root's");
	must_restore();
	assert_int_equal(W.out.failed, 1);
	must_hold("/d/sub/x", "root's");
	assert_false(is_there("/d/a"));
	end();
}

/* A user's own writer, without grants, whose files are beneath `d` / hidden. */
static void
restore_as_nobody(const char *hidden)
{
	static const char document[] =
		HEAD("restore-if-can-replace")
		"component c file-group selectable=yes\n"
		"files c %/d/sub * recursive\nend\n";
	int rc;

	start(document);
	make_dir("/d");
	make_dir("/d/sub");
	W.live.owner = NOBODY;
	W.live.grants = 0;
	assert_int_equal(chown(in("/d"), NOBODY, NOBODY), 0);
	assert_int_equal(chown(in("/d/sub"), NOBODY, NOBODY), 0);
	assert_int_equal(chmod(in(hidden), 0311), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	rc = restore();
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(rc, 0);
}

static void
a_directory_on_the_way_need_not_be_readable(void **state)
{
	(void)state;
	only_root();
	restore_as_nobody("/d");
	must_be("/d/sub/x");
	assert_int_equal(W.out.failed, 0);
	end();
	/* That which files go to has to be: else nothing is written. */
	restore_as_nobody("/d/sub");
	assert_int_equal(W.out.failed, 1);
	assert_false(is_there("/d/sub/x"));
	must_log(TOLD "post-restore w:c none\nclose\n");
	end();
}

static void
e2_an_alternate_location_outside_the_grant_is_no_place(void **state)
{
	static const char document[] =
		HEAD("restore-if-can-replace")
		"component c file-group selectable=yes\n"
		"files c %/d * recursive\n"
		"alternate-location %/d * recursive to=%/outside\nend\n";

	(void)state;
	only_root();
	start_granted(document);
	must_restore();
	must_be("/d/a");
	end();
	start_granted(document);
	block("/d/b");
	must_give_up("a directory is there");
	assert_false(is_there("/outside"));
	end();
}

static void
e2_directed_targets_lie_beneath_the_grant(void **state)
{
	(void)state;
	only_root();
	start_granted(ONE_DIR);
	says("restore-target c directed");
	says("directed-target c %/d/a 0:5 %/outside 0:5");
	must_restore();
	assert_int_equal(W.out.failed, 1);
	assert_false(is_there("/outside"));
	assert_false(is_there("/d/b"));
	end();
}

static void
another_users_writer_is_for_root_and_that_user(void **state)
{
	bool root = is_root();

	(void)state;
	start(PLAIN);
	if (root)
		assert_int_equal(seteuid(12345), 0);
	W.live.owner = geteuid() + 1;
	must_restore();
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(W.out.failed, 1);
	assert_false(is_there("/d"));
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			sv_02_the_service_is_stopped_and_started_around_the_restore),
		cmocka_unit_test(
			sv_02_what_was_stopped_runs_again_whatever_fails),
		cmocka_unit_test(
			sv_02_what_was_stopped_runs_again_if_we_are_killed),
		cmocka_unit_test(
			sv_02_a_service_that_does_not_start_again_is_a_failure),
		cmocka_unit_test(
			sv_01_without_a_named_service_nothing_is_stopped_or_restored),
		cmocka_unit_test(
			e2_a_restore_for_another_user_is_done_as_that_user),
		cmocka_unit_test(e2_nothing_outside_the_grant_is_written),
		cmocka_unit_test(
			e2_what_the_owner_may_not_replace_is_not_replaced),
		cmocka_unit_test(a_directory_on_the_way_need_not_be_readable),
		cmocka_unit_test(
			e2_an_alternate_location_outside_the_grant_is_no_place),
		cmocka_unit_test(e2_directed_targets_lie_beneath_the_grant),
		cmocka_unit_test(
			another_users_writer_is_for_root_and_that_user),
	};

	return cmocka_run_group_tests_name("restore_rights", tests, NULL,
					   NULL);
}
