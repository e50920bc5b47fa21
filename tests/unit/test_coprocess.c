#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/coprocess.h"

#include "base/err.h"
#include "base/time.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/round.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/fake_desk.h"
#include "tests/lib/round_rig.h"
#include "tests/lib/scratch.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Programs are little shell scripts in a writers.d of the test's own. */

static struct scratch scratch;
static struct desk *desk;
static struct round *session;

#define DOCUMENT                                                              \
	"\techo writer w\n"                                                   \
	"\techo restore-method restore-if-can-replace\n"                      \
	"\techo component c file-group selectable=yes\n"                      \
	"\techo end\n"

/* Reads events for ever and answers ok, but for what `cases` says. */
#define LOOP(cases)                                                           \
	"#!/bin/sh\n"                                                         \
	"while read -r ev id rest; do case $ev in\n"                          \
	"component|previous-stamp)\n"                                          \
	"printf '%s\\n' \"$ev $id $rest\" >&2; continue;;\n"                  \
	cases "esac; echo ok $id; done\n"                                     \
	"echo eof >&2\n"

#define WITH_DOCUMENT "identify)\n" DOCUMENT ";;\n"

static const char *
program_path(const char *name)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "writers.d/%s", name);
	return scratch_at(&scratch, path);
}

static void
program(const char *name, const char *text)
{
	const char *path = program_path(name);

	scratch_write(path, text, strlen(text));
	assert_int_equal(chmod(path, 0755), 0);
}

static int
set_up(void **state)
{
	static const char *const names[] = { "w" };

	(void)state;
	rig_begin(&scratch);
	/* Others must be able to come here: programs may run as them. */
	assert_int_equal(chmod(scratch.path, 0755), 0);
	desk = fake_desk_new(scratch.path, names, 1);
	session = NULL;
	(void)pthread_mutex_lock(&desk->lock);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	round_end(session);
	(void)pthread_mutex_unlock(&desk->lock);
	fake_desk_free(desk);
	rig_end(&scratch);
	return 0;
}

static void
begin(unsigned answer_s)
{
	struct round_begin b = { .kind = ROUND_BACKUP,
				 .type = METADATA_INCREMENTAL,
				 .answer_s = answer_s };

	MUST(round_begin(desk, &b, &session, &e));
	MUST(round_identify(session, &e));
}

static void
prepare(void)
{
	static const uint8_t base[16] = { 0x0a };
	struct round_component c = { .writer = "w",
				     .component = "c",
				     .type = METADATA_INCREMENTAL,
				     .base_id = base,
				     .base_number = 7,
				     .previous_stamp = "two\nlines",
				     .previous_len = 9 };

	MUST(round_component(session, &c, &e));
	MUST(round_prepare(session, &e));
}

static void
end(void)
{
	round_end(session);
	session = NULL;
}

static void
assert_log(const char *what)
{
	if (strstr(fake_desk_log(), what) == NULL)
		fail_msg("no \"%s\" in the log:\n%s", what, fake_desk_log());
}

static void
assert_failed(enum event at, enum failure f, const char *text)
{
	const struct part *p = rig_part(session, "w");
	char said[1000];

	assert_true(p->state == PART_FAILED || p->state == PART_GONE);
	assert_int_equal(p->failed_at, at);
	assert_int_equal(p->failure, f);
	(void)snprintf(said, sizeof(said), "%.*s", (int)p->text.len,
		       p->text.len > 0 ? (const char *)p->text.data : "");
	if (strstr(said, text) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", said, text);
}

/* --- how it begins -------------------------------------------------------- */

/* In front of the C library's: who that asks may be far away, and slow. */
static bool asked_with_lock;

int
getpwuid_r(uid_t uid, struct passwd *pw, char *text, size_t len,
	   struct passwd **out)
{
	int (*real)(uid_t, struct passwd *, char *, size_t, struct passwd **);

	*(void **)&real = dlsym(RTLD_NEXT, "getpwuid_r");
	assert_non_null(real);
	asked_with_lock = pthread_mutex_trylock(&desk->lock) != 0;
	if (!asked_with_lock)
		(void)pthread_mutex_unlock(&desk->lock);
	return real(uid, pw, text, len, out);
}

static void
who_the_owner_is_is_asked_without_the_lock(void **state)
{
	(void)state;
	asked_with_lock = true;
	program("w", LOOP(WITH_DOCUMENT));
	begin(20);
	assert_int_equal(rig_part(session, "w")->state, PART_TAKING);
	assert_false(asked_with_lock);
}

/* --- what it says --------------------------------------------------------- */

static void
d4_a_program_hands_in_its_document_and_statements(void **state)
{
	(void)state;
	program("w", LOOP(WITH_DOCUMENT
			  "prepare-backup) echo partial-file c /d/f 0:10\n"
			  "echo '# nothing'\n"
			  "echo 'backup-stamp c \"s 1\"';;\n"));
	begin(20);
	assert_int_equal(rig_part(session, "w")->state, PART_TAKING);
	assert_non_null(desk->party[0]->document);
	assert_true(desk->party[0]->program);
	prepare();
	assert_int_equal(rig_part(session, "w")->state, PART_TAKING);
	assert_string_equal(fake_desk_entries(desk, "w"),
			    "STATEMENT partial-file c /d/f 0:10; "
			    "STATEMENT backup-stamp c \"s 1\"");
	end();
	assert_false(desk->party[0]->program);
	assert_false(desk->party[0]->mailbox.reader);
	assert_log("program: eof");
}

static void
d4_stamps_come_on_standard_input(void **state)
{
	(void)state;
	program("w", LOOP(WITH_DOCUMENT));
	begin(20);
	prepare();
	end();
	assert_log("program: component c type=incremental "
		   "base=@0a000000000000000000000000000000\n");
	assert_log("program: previous-stamp c \"two\\nlines\"\n");
}

/* Whatever it is called: what is about a component looks like no event. */
static void
d4_the_third_word_tells_events_from_other_lines(void **state)
{
	static const char stamp[] = "session=1";
	struct round_component c = { .writer = "w",
				     .component = "12",
				     .type = METADATA_INCREMENTAL,
				     .previous_stamp = stamp,
				     .previous_len = sizeof(stamp) - 1 };

	(void)state;
	program("w", "#!/bin/sh\n" DOCUMENT
		     "while read -r ev id rest; do case $rest in\n"
		     "session=*) echo event $ev >&2; echo ok $id;;\n"
		     "*) echo other $ev >&2;; esac; done\n");
	begin(20);
	MUST(round_component(session, &c, &e));
	MUST(round_prepare(session, &e));
	assert_int_equal(rig_part(session, "w")->state, PART_TAKING);
	MUST(round_copied(session, &e));
	end();
	assert_log("program: event identify");
	assert_log("program: other component\nw: program: other "
		   "previous-stamp\nw: program: event prepare-backup");
	assert_log("program: event post-copy");
	assert_log("program: event backup-shutdown");
}

static void
a_refused_statement_leaves_a_gap_and_the_rest_goes_on(void **state)
{
	(void)state;
	program("w", LOOP(WITH_DOCUMENT
			  "prepare-backup) echo nonsense\n"
			  "echo partial-file none /d/f 0:10\n"
			  "echo partial-file c /d/f 0:10;;\n"));
	begin(20);
	prepare();
	assert_int_equal(rig_part(session, "w")->state, PART_TAKING);
	assert_string_equal(fake_desk_entries(desk, "w"),
			    "GAP ; GAP ; STATEMENT partial-file c /d/f 0:10");
}

static void
a_statement_that_is_refused_fails_pre_restore(void **state)
{
#define SAYS(text) LOOP(WITH_DOCUMENT "pre-restore) " text ";;\n")
	static const char *const bad[] = {
		SAYS("echo restore-target c nowhere"),
		SAYS("echo restore-target c nowhere; exit 0"),
	};
	struct round_begin b = { .kind = ROUND_RESTORE, .answer_s = 20 };
	struct round_component c = { .writer = "w", .component = "c" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		program("w", bad[i]);
		MUST(round_begin(desk, &b, &session, &e));
		MUST(round_identify(session, &e));
		MUST(round_component(session, &c, &e));
		MUST(round_prepare(session, &e));
		assert_failed(EVENT_PRE_RESTORE, FAILURE_FATAL,
			      "a statement was refused: ");
		round_end(session);
		session = NULL;
	}
}

static void
a_line_that_is_too_long_is_refused(void **state)
{
	(void)state;
	program("w", LOOP(WITH_DOCUMENT
			  "prepare-backup) head -c 70000 /dev/zero | "
			  "tr '\\0' x; echo; echo partial-file c /d/f none;;"
			  "\n"));
	begin(20);
	prepare();
	assert_int_equal(rig_part(session, "w")->state, PART_TAKING);
	assert_string_equal(fake_desk_entries(desk, "w"),
			    "GAP ; STATEMENT partial-file c /d/f none");
	assert_log("a line has at most 65536 bytes");
}

static void
a_document_that_is_refused_fails_identify(void **state)
{
	(void)state;
	program("w", LOOP("identify) echo writer w; echo rubbish; echo end;;"
			  "\n"));
	begin(20);
	assert_failed(EVENT_IDENTIFY, FAILURE_FATAL, "its document: ");
	assert_null(desk->party[0]->document);
}

/* Identify comes when it comes: a program may have begun to speak before. */
static void
d4_a_document_may_come_before_identify(void **state)
{
	struct round_begin b = { .kind = ROUND_BACKUP,
				 .type = METADATA_INCREMENTAL,
				 .answer_s = 20 };
	int waited;

	(void)state;
	program("w", "#!/bin/sh\n" DOCUMENT "echo said >&2\n"
		     "while read -r ev id rest; do echo ok $id; done\n");
	MUST(round_begin(desk, &b, &session, &e));
	for (waited = 0;
	     waited < 500 && strstr(fake_desk_log(), "said") == NULL;
	     waited++) {
		(void)pthread_mutex_unlock(&desk->lock);
		(void)usleep(10000);
		(void)pthread_mutex_lock(&desk->lock);
	}
	assert_non_null(desk->party[0]->document);
	assert_string_equal(fake_desk_entries(desk, "w"), "");
	MUST(round_identify(session, &e));
	assert_int_equal(rig_part(session, "w")->state, PART_TAKING);
}

static void
d4_a_document_behind_the_answer_to_identify_is_none(void **state)
{
	(void)state;
	program("w", LOOP("prepare-backup)\n" DOCUMENT ";;\n"));
	begin(20);
	prepare();
	assert_null(desk->party[0]->document);
	assert_string_equal(fake_desk_entries(desk, "w"),
			    "GAP ; GAP ; GAP ; GAP ");
}

static void
a_document_without_its_end_fails_at_the_answer(void **state)
{
	(void)state;
	program("w", LOOP("identify) echo writer w; echo schema none;;\n"));
	begin(20);
	assert_failed(EVENT_IDENTIFY, FAILURE_FATAL, "the line `end` is missing");
	assert_null(desk->party[0]->document);
}

static void
a_program_may_fail_in_its_own_words(void **state)
{
	(void)state;
	program("w", LOOP(WITH_DOCUMENT
			  "prepare-backup) echo fail $id resources "
			  "'\"no room\"'; continue;;\n"));
	begin(20);
	prepare();
	assert_failed(EVENT_PREPARE_BACKUP, FAILURE_RESOURCES, "no room");
	assert_string_equal(fake_desk_entries(desk, "w"), "DISCARD ");
}

/* --- how it ends ---------------------------------------------------------- */

static void
d4_an_exit_without_an_answer_is_one(void **state)
{
	static const struct {
		const char *text;
		enum failure failure;
		const char *says;
	} rows[] = {
		{ LOOP(WITH_DOCUMENT "prepare-backup) exit 0;;\n"),
		  FAILURE_NONE, "" },
		{ LOOP(WITH_DOCUMENT "prepare-backup) exit 75;;\n"),
		  FAILURE_RETRYABLE, "status 75" },
		{ LOOP(WITH_DOCUMENT "prepare-backup) exit 3;;\n"),
		  FAILURE_FATAL, "status 3" },
		{ LOOP(WITH_DOCUMENT "prepare-backup) kill -9 $$;;\n"),
		  FAILURE_FATAL, "signal 9" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		program("w", rows[i].text);
		begin(20);
		prepare();
		if (rows[i].failure == FAILURE_NONE)
			assert_int_equal(rig_part(session, "w")->state, PART_TAKING);
		else
			assert_failed(EVENT_PREPARE_BACKUP, rows[i].failure,
				      rows[i].says);
		end();
	}
}

static void
a_program_that_ended_is_gone_for_the_next_event(void **state)
{
	(void)state;
	program("w", LOOP(WITH_DOCUMENT "prepare-backup) exit 0;;\n"));
	begin(20);
	prepare();
	MUST(round_copied(session, &e));
	assert_failed(EVENT_POST_COPY, FAILURE_FATAL, "has ended");
	assert_int_equal(rig_part(session, "w")->state, PART_GONE);
}

static void
an_exit_of_zero_is_no_answer_to_what_was_not_read(void **state)
{
	(void)state;
	program("w", "#!/bin/sh\nsleep 0.3\nexit 0\n");
	begin(20);
	assert_failed(EVENT_IDENTIFY, FAILURE_FATAL, "had not read");
}

static pid_t
number_of(const char *text)
{
	long n = strtol(text, NULL, 10);

	assert_true(n > 1);
	return (pid_t)n;
}

/* Dead is also who has not been waited for by his new parent. */
static bool
is_running(pid_t pid)
{
	char path[64];
	char stat[512] = "";
	const char *end;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	(void)!fread(stat, 1, sizeof(stat) - 1, f);
	(void)fclose(f);
	end = strrchr(stat, ')');
	return end != NULL && end[2] != 'Z' && end[2] != 'X';
}

/* Is the process whose number is in the file still there, after a second? */
static bool
is_alive(const char *file)
{
	char text[32] = "";
	int i;

	(void)scratch_read(scratch_at(&scratch, file), text, sizeof(text) - 1);
	for (i = 0; i < 100 && is_running(number_of(text)); i++)
		(void)usleep(10000);
	return is_running(number_of(text));
}

static void
d4_a_program_and_its_group_are_killed_at_the_deadline(void **state)
{
	char text[1000];

	(void)state;
	(void)snprintf(text, sizeof(text),
		       "#!/bin/sh\ntrap '' TERM\nsleep 1000 &\n"
		       "echo $! >%s\necho $$ >%s\nread -r ev id rest\nwait\n",
		       scratch_at(&scratch, "child"),
		       scratch_at(&scratch, "self"));
	program("w", text);
	begin(1);
	assert_failed(EVENT_IDENTIFY, FAILURE_TIMEOUT, "in time");
	assert_int_equal(desk->party[0]->registration->timeouts, 1);
	(void)pthread_mutex_unlock(&desk->lock);
	assert_false(is_alive("self"));
	assert_false(is_alive("child"));
	(void)pthread_mutex_lock(&desk->lock);
}

static void
d4_a_program_that_prints_too_much_is_killed(void **state)
{
	(void)state;
	program("w", "#!/bin/sh\nread -r ev id rest\n"
		     "head -c 80000000 /dev/zero\nsleep 100\n");
	begin(60);
	assert_failed(EVENT_IDENTIFY, FAILURE_FATAL, "killed");
	assert_log("printed more than");
}

/* All of them have the same seconds: ten would not take ten times as long. */
static void
programs_that_do_not_end_by_themselves_are_killed_together(void **state)
{
	static const char *const names[] = { "w", "x", "y", "z" };
	uint64_t before;
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		program(names[i], LOOP("") "trap '' TERM\nsleep 100\n");
	begin(20);
	assert_int_equal(session->parts, 4);
	before = time_monotonic_ns();
	end();
	assert_true(time_monotonic_ns() - before <
		    2 * COPROCESS_GRACE_MS * UINT64_C(1000000));
	assert_log("program: eof");
}

/* It is not in the group any more, and holds the other end of the pipe. */
static void
d4_a_process_that_fled_and_prints_on_does_not_hold_up_the_end(void **state)
{
	uint64_t before;

	(void)state;
	program("w", "#!/bin/sh\nread -r ev id rest\n"
		     "setsid timeout 30 yes x &\n"
		     "sleep 0.3\necho ok $id\n");
	before = time_monotonic_ns();
	begin(60);
	end();
	assert_true(time_monotonic_ns() - before < UINT64_C(15000000000));
}

/* Nobody can know then how it ended. */
static void
an_end_that_nobody_saw_is_no_answer(void **state)
{
	(void)state;
	program("w", LOOP(WITH_DOCUMENT "prepare-backup) exit 1;;\n"));
	(void)signal(SIGCHLD, SIG_IGN);
	begin(20);
	prepare();
	(void)signal(SIGCHLD, SIG_DFL);
	assert_failed(EVENT_PREPARE_BACKUP, FAILURE_FATAL, "not known how");
}

/* --- how it is started ---------------------------------------------------- */

static void
d4_nothing_of_ours_goes_with_it(void **state)
{
	const char *ignored;

	(void)state;
	(void)setenv("SECRET", "x", 1);
	(void)signal(SIGPIPE, SIG_IGN);
	program("w", LOOP("identify) env | sort >&2; pwd >&2\n"
			  "ls /proc/self/fd | tr '\\n' ' ' >&2; echo >&2\n"
			  "cat /proc/self/status | grep Sig >&2;;\n"));
	begin(20);
	end();
	(void)unsetenv("SECRET");
	assert_null(strstr(fake_desk_log(), "SECRET"));
	assert_log("program: ASOF_WRITER=w\n");
	assert_log("program: PATH=/usr/local/sbin:");
	assert_log("program: /\n");
	/* ls has the directory open, too. */
	assert_log("program: 0 1 2 3 \n");
	(void)signal(SIGPIPE, SIG_DFL);
	ignored = strstr(fake_desk_log(), "SigIgn:\t");
	assert_non_null(ignored);
	/* Those beyond 31 are the C library's, which hides two of them. */
	assert_int_equal(strtoull(ignored + 8, NULL, 16) & 0x7fffffff, 0);
}

static void
d4_it_runs_as_the_owner_of_the_writer(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip();
	desk->party[0]->registration->owner = 65534;
	program("w", LOOP("identify) id -u >&2; id -g >&2; id -G >&2;;\n"));
	begin(20);
	end();
	assert_log("program: 65534\n");
	assert_null(strstr(fake_desk_log(), "program: 0\n"));
}

static void
d4_programs_that_others_can_change_are_not_run(void **state)
{
	static const char text[] = "#!/bin/sh\ntouch /nonexistent/x\n";
	struct err e = { 0 };

	(void)state;
	program("w", text);
	program("group", text);
	assert_int_equal(chmod(program_path("group"), 0775), 0);
	program("other", text);
	assert_int_equal(chmod(program_path("other"), 0757), 0);
	assert_int_equal(symlink(program_path("w"), program_path("link")), 0);
	program("bad name", text);
	program("README", text);
	assert_int_equal(chmod(program_path("README"), 0644), 0);
	program(".hidden", text);
	begin(5);
	assert_int_equal(session->parts, 5);
	assert_int_equal(rig_part(session, "group")->state, PART_FAILED);
	assert_int_equal(rig_part(session, "other")->state, PART_FAILED);
	assert_int_equal(rig_part(session, "link")->state, PART_FAILED);
	assert_int_equal(rig_part(session, "bad name")->state, PART_FAILED);
	assert_null(desk_find(desk, "group"));
	end();
	assert_int_equal(e.kind, ERR_NONE);
}

static void
d4_a_directory_that_others_can_change_has_no_programs(void **state)
{
	(void)state;
	program("w", LOOP(""));
	assert_int_equal(chmod(scratch_at(&scratch, "writers.d"), 0777), 0);
	begin(5);
	assert_failed(EVENT_IDENTIFY, FAILURE_FATAL,
		      "its directory may be written by others");
}

static void
d4_a_program_of_somebody_else_is_not_run(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip();
	program("w", LOOP(""));
	assert_int_equal(chown(program_path("w"), 65534, 65534), 0);
	begin(5);
	assert_failed(EVENT_IDENTIFY, FAILURE_FATAL, "somebody else");
}

static void
a_program_that_cannot_be_run_is_a_writer_that_failed(void **state)
{
	(void)state;
	program("w", "neither a script nor anything else\n");
	begin(5);
	assert_failed(EVENT_IDENTIFY, FAILURE_FATAL, "run the program");
}

static void
a_program_without_registration_is_registered(void **state)
{
	(void)state;
	program("fresh.sh", LOOP(""));
	begin(20);
	assert_non_null(desk_find(desk, "fresh"));
	assert_int_equal(desk_find(desk, "fresh")->registration->owner,
			 getuid());
	assert_int_equal(rig_part(session, "fresh")->state, PART_TAKING);
	/* And the one that nobody speaks for is absent. */
	assert_int_equal(rig_part(session, "w")->state, PART_ABSENT);
}

static void
no_directory_is_no_programs(void **state)
{
	(void)state;
	assert_int_equal(rmdir(scratch_at(&scratch, "writers.d")), 0);
	begin(5);
	assert_int_equal(session->parts, 1);
}

static void
d3_a_program_left_frozen_is_started_with_an_abort(void **state)
{
	(void)state;
	scratch_write(scratch_at(&scratch, "frozen"), "frozen w\n", 9);
	program("w", LOOP("abort) echo thawing >&2;;\n"));
	begin(20);
	assert_int_equal(rig_part(session, "w")->state, PART_TAKING);
	assert_log("program: thawing"); /* it has ended, and begun anew */
}

static void
d3_a_program_that_ends_with_its_abort_is_started_again(void **state)
{
	(void)state;
	scratch_write(scratch_at(&scratch, "frozen"), "frozen w\n", 9);
	program("w", LOOP("abort) echo thawing >&2; echo ok $id; exit 0;;\n"));
	begin(20);
	assert_int_equal(rig_part(session, "w")->state, PART_TAKING);
	assert_log("program: thawing"); /* it has ended, and begun anew */
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(d4_a_program_hands_in_its_document_and_statements),
		T(d4_stamps_come_on_standard_input),
		T(a_refused_statement_leaves_a_gap_and_the_rest_goes_on),
		T(a_statement_that_is_refused_fails_pre_restore),
		T(a_line_that_is_too_long_is_refused),
		T(a_document_that_is_refused_fails_identify),
		T(who_the_owner_is_is_asked_without_the_lock),
		T(d4_the_third_word_tells_events_from_other_lines),
		T(d4_a_document_may_come_before_identify),
		T(d4_a_document_behind_the_answer_to_identify_is_none),
		T(a_document_without_its_end_fails_at_the_answer),
		T(a_program_may_fail_in_its_own_words),
		T(d4_an_exit_without_an_answer_is_one),
		T(a_program_that_ended_is_gone_for_the_next_event),
		T(an_exit_of_zero_is_no_answer_to_what_was_not_read),
		T(d4_a_program_and_its_group_are_killed_at_the_deadline),
		T(d4_a_program_that_prints_too_much_is_killed),
		T(programs_that_do_not_end_by_themselves_are_killed_together),
		T(d4_a_process_that_fled_and_prints_on_does_not_hold_up_the_end),
		T(an_end_that_nobody_saw_is_no_answer),
		T(d4_nothing_of_ours_goes_with_it),
		T(d4_it_runs_as_the_owner_of_the_writer),
		T(d4_programs_that_others_can_change_are_not_run),
		T(d4_a_directory_that_others_can_change_has_no_programs),
		T(d4_a_program_of_somebody_else_is_not_run),
		T(a_program_that_cannot_be_run_is_a_writer_that_failed),
		T(a_program_without_registration_is_registered),
		T(no_directory_is_no_programs),
		T(d3_a_program_left_frozen_is_started_with_an_abort),
		T(d3_a_program_that_ends_with_its_abort_is_started_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
