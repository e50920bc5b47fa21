#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/client.h"

#include "base/err.h"
#include "base/io.h"
#include "base/time.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/registry.h"
#include "src/writer/rundir.h"
#include "src/writer/server.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/fake_desk.h"
#include "tests/lib/round_rig.h"
#include "tests/lib/scratch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct scratch scratch;
static const uint8_t repository_id[16] = { 1, 2, 3, 4 };
static atomic_int cancel;

/* A program that notes what it hears in `events`. */
static void
write_program(void)
{
	char text[1000];
	int n = snprintf(text, sizeof(text),
			 "#!/bin/sh\n"
			 "while read -r ev id rest; do case $ev in\n"
			 "component|previous-stamp) continue;;\n"
			 "identify) echo writer w\n"
			 "echo restore-method restore-if-can-replace\n"
			 "echo component c file-group selectable=yes\n"
			 "echo end;;\n"
			 "prepare-backup) echo partial-file c /d/f 0:1;;\n"
			 "esac\n"
			 "echo $ev >>%s; echo ok $id; done\n"
			 "echo eof >>%s\n",
			 scratch_at(&scratch, "events"),
			 scratch_at(&scratch, "events"));

	scratch_write(scratch_at(&scratch, "writers.d/w"), text, (size_t)n);
	assert_int_equal(chmod(scratch_at(&scratch, "writers.d/w"), 0755), 0);
}

static int
set_up(void **state)
{
	(void)state;
	rig_begin(&scratch);
	(void)setenv("FAKE_DESK_DIR", scratch.path, 1);
	(void)setenv("FAKE_DESK_WRITERS", "w", 1);
	write_program();
	atomic_store(&cancel, 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	rig_end(&scratch);
	(void)unsetenv("FAKE_DESK_DIR");
	(void)unsetenv("FAKE_DESK_WRITERS");
	return 0;
}

static const char *
repository(void)
{
	return scratch_at(&scratch, "repo");
}

static struct client *
must_open(bool want_live)
{
	struct client *c = NULL;
	bool live = !want_live;

	MUST(client_open(repository(), repository_id, &cancel, &c, &live, &e));
	assert_int_equal(live, want_live);
	return c;
}

/* What the program heard, with blanks between. */
static const char *
events(void)
{
	static char text[2000];
	size_t n = 0;
	char *p;

	if (access(scratch_at(&scratch, "events"), F_OK) == 0)
		n = scratch_read(scratch_at(&scratch, "events"), text,
				 sizeof(text) - 1);
	text[n] = '\0';
	for (p = text; *p != '\0'; p++) {
		if (*p == '\n')
			*p = p[1] != '\0' ? ' ' : '\0';
	}
	return text;
}

/* --- a session ------------------------------------------------------------ */

static void
go_to(struct client *c, const char *snapshot, enum phase phase)
{
	struct round_begin b = { .kind = ROUND_BACKUP,
				 .type = METADATA_FULL,
				 .snapshot = snapshot };
	struct round_component k = { .writer = "w",
				     .component = "c",
				     .type = METADATA_FULL };
	bool vetoed = true;

	MUST(client_begin(c, &b, &e));
	MUST(client_identify(c, &e));
	if (phase >= PHASE_PREPARED) {
		MUST(client_component(c, &k, &e));
		MUST(client_prepare(c, &e));
	}
	if (snapshot != NULL && phase >= PHASE_READY)
		MUST(client_ready(c, &e));
	if (snapshot != NULL && phase >= PHASE_FROZEN) {
		MUST(client_freeze(c, &vetoed, &e));
		assert_false(vetoed);
	}
	if (snapshot != NULL && phase >= PHASE_THAWED)
		MUST(client_thaw(c, &e));
	if (snapshot != NULL && phase >= PHASE_SNAPSHOT)
		MUST(client_snapshot(c, NULL, 0, &e));
	if (phase >= PHASE_COPIED)
		MUST(client_copied(c, &e));
	if (phase >= PHASE_COMPLETE)
		MUST(client_complete(c, repository_id, 5,
				     &(struct round_outcome){
					     .writer = "w",
					     .component = "c",
					     .succeeded = true },
				     1, &e));
}

static void
c1_without_a_control_process_a_child_leads_the_session(void **state)
{
	struct client *c = must_open(false);
	const struct client_writer *w;

	(void)state;
	go_to(c, "btrfs", PHASE_COMPLETE);
	assert_int_equal(strlen(client_session(c)), 32);
	assert_int_equal(client_writers(c)->count, 1);
	w = &client_writers(c)->v[0];
	assert_string_equal(w->name, "w");
	assert_int_equal(w->owner, getuid());
	assert_int_equal(w->state, PART_TAKING);
	assert_true(w->program);
	assert_non_null(w->document);
	assert_memory_equal(w->document, "writer w", 8);
	assert_int_equal(w->cut, 2); /* behind what prepare-backup brought */
	client_close(c);
	assert_string_equal(events(),
			    "identify prepare-backup prepare-snapshot freeze "
			    "thaw post-snapshot post-copy backup-complete "
			    "backup-shutdown eof");
	/* It is gone: the next one can have the desk at once. */
	client_close(must_open(false));
}

static void
c10_a_live_writer_is_absent_without_a_control_process(void **state)
{
	struct client *c;

	(void)state;
	assert_int_equal(unlink(scratch_at(&scratch, "writers.d/w")), 0);
	c = must_open(false);
	go_to(c, NULL, PHASE_IDENTIFIED);
	assert_int_equal(client_writers(c)->count, 1);
	assert_int_equal(client_writers(c)->v[0].state, PART_ABSENT);
	client_close(c);
}

static void
errors_of_the_other_side_come_with_their_kind(void **state)
{
	struct client *c = must_open(false);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(client_prepare(c, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_string_equal(e.text, "there is no session");
	/* The line is good for more. */
	go_to(c, NULL, PHASE_COPIED);
	client_close(c);
}

static int
count_entry(void *ctx, const struct journal_entry *en, struct err *e)
{
	size_t *n = ctx;

	(void)e;
	assert_int_equal(en->kind, JOURNAL_STATEMENT);
	assert_memory_equal(en->text, "partial-file c /d/f 0:1", 23);
	(*n)++;
	return 0;
}

static void
entries_come_over_the_line(void **state)
{
	struct client *c = must_open(false);
	size_t n = 0;

	(void)state;
	go_to(c, NULL, PHASE_PREPARED);
	MUST(client_journal(c, "w", 0, count_entry, &n, &e));
	assert_int_equal(n, 1);
	MUST(client_journal(c, "w", 2, count_entry, &n, &e));
	assert_int_equal(n, 1);
	client_close(c);
}

static void
a_desk_that_somebody_else_has_is_busy(void **state)
{
	int fd = open(scratch_at(&scratch, "lock"), O_RDWR | O_CREAT, 0600);
	struct client *c = NULL;
	struct err e = { 0 };
	bool live;

	(void)state;
	assert_int_equal(io_lock(fd, true, "lock", NULL), 0);
	assert_int_equal(client_open(repository(), repository_id, &cancel, &c,
				     &live, &e),
			 -1);
	assert_int_equal(e.kind, ERR_BUSY);
	(void)close(fd);
}

static void
the_child_keeps_nothing_open_that_was_its_parents(void **state)
{
	struct client *c;
	int fd[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(fd), 0);
	c = must_open(false);
	go_to(c, NULL, PHASE_PREPARED);
	(void)close(fd[1]);
	assert_int_equal(read(fd[0], &byte, 1), 0);
	(void)close(fd[0]);
	client_close(c);
}

/* --- the requester dies ---------------------------------------------------- */

/* A process that goes to this phase, says so, and waits to be killed. */
static pid_t
requester(const char *snapshot, enum phase phase)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setpgid(0, 0);
		(void)close(ready[0]);
		go_to(must_open(false), snapshot, phase);
		(void)!write(ready[1], "x", 1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	return pid;
}

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s);
	size_t m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static void
kill_requester(pid_t pid, int number)
{
	int i;

	assert_int_equal(kill(-pid, number), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	for (i = 0; i < 1000 && !ends_with(events(), "eof"); i++)
		(void)usleep(10000);
}

static void
d5_what_a_writer_gets_when_its_requester_is_killed(void **state)
{
	static const struct {
		const char *snapshot;
		enum phase phase;
		const char *heard;
	} rows[] = {
		{ NULL, PHASE_IDENTIFIED, "identify eof" },
		{ NULL, PHASE_PREPARED, "identify prepare-backup abort eof" },
		{ NULL, PHASE_COPIED,
		  "identify prepare-backup post-copy backup-shutdown eof" },
		{ NULL, PHASE_COMPLETE,
		  "identify prepare-backup post-copy backup-complete "
		  "backup-shutdown eof" },
		{ "x", PHASE_READY,
		  "identify prepare-backup prepare-snapshot abort eof" },
		{ "x", PHASE_FROZEN,
		  "identify prepare-backup prepare-snapshot freeze thaw abort "
		  "eof" },
		{ "x", PHASE_THAWED,
		  "identify prepare-backup prepare-snapshot freeze thaw abort "
		  "eof" },
		{ "x", PHASE_SNAPSHOT,
		  "identify prepare-backup prepare-snapshot freeze thaw "
		  "post-snapshot backup-shutdown eof" },
	};
	static const int signals[] = { SIGKILL, SIGTERM, SIGINT };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)unlink(scratch_at(&scratch, "events"));
		/* The signals go to the whole group, as a terminal's do. */
		kill_requester(requester(rows[i].snapshot, rows[i].phase),
			       signals[i % 3]);
		assert_string_equal(events(), rows[i].heard);
		assert_int_equal(access(scratch_at(&scratch, "frozen"), F_OK),
				 -1);
	}
	/* The last child may still be closing the desk. */
	client_close(must_open(false));
}

/* --- a control process ------------------------------------------------------ */

struct host {
	struct desk *desk;
	struct server *server;
};

static void
begin_host(struct host *h)
{
	static const char *const names[] = { "w" };
	int dir;

	h->desk = fake_desk_new(scratch.path, names, 1);
	dir = rundir_open_repository(repository(), repository_id, NULL);
	assert_true(dir >= 0);
	MUST(server_start(h->desk, dir, &h->server, &e));
	(void)close(dir);
}

static void
end_host(struct host *h)
{
	server_stop(h->server);
	fake_desk_free(h->desk);
}

static void
c1_a_control_process_is_found_and_used(void **state)
{
	struct host h;
	struct client *c;

	(void)state;
	begin_host(&h);
	c = must_open(true);
	go_to(c, "x", PHASE_COMPLETE);
	client_close(c);
	assert_true(ends_with(events(), "backup-shutdown eof"));
	end_host(&h);
	/* What it leaves behind keeps nobody from a child. */
	client_close(must_open(false));
}

static void
what_asof_writer_asks_for(void **state)
{
	char grant0[] = "/srv/db";
	char *grant[] = { grant0 };
	char name[] = "new writer's name is odd";
	struct registration r = { .name = name,
				  .owner = 17,
				  .grant = grant,
				  .grants = 1 };
	struct buf log = { 0 };
	struct host h;
	struct client *c;

	(void)state;
	begin_host(&h);
	scratch_write(scratch_at(&scratch, "log.1"), "older\n", 6);
	scratch_write(scratch_at(&scratch, "log"), "newer\n", 6);
	c = must_open(true);
	MUST(client_register(c, &r, &e));
	MUST(client_list(c, &e));
	assert_int_equal(client_writers(c)->count, 2);
	assert_string_equal(client_writers(c)->v[1].name, name);
	assert_int_equal(client_writers(c)->v[1].owner, 17);
	{
		struct err again = { 0 };

		assert_int_equal(client_register(c, &r, &again), -1);
		assert_int_equal(again.saved_errno, EEXIST);
	}
	MUST(client_log(c, "w", &log, &e));
	assert_string_equal(buf_str(&log), "older\nnewer\n");
	buf_clear(&log);
	MUST(client_gap(c, "w", "c", "a restore", &e));
	MUST(client_journal_drop(c, "w", 2, &e));
	h.desk->party[0]->registration->timeouts = 2;
	MUST(client_list(c, &e));
	assert_true(client_writers(c)->v[0].no_wait);
	assert_int_equal(client_writers(c)->v[0].journal_first, 2);
	MUST(client_reset(c, "w", &e));
	MUST(client_list(c, &e));
	assert_false(client_writers(c)->v[0].no_wait);
	client_close(c);
	assert_string_equal(fake_desk_entries(h.desk, "w"), "GAP ");
	end_host(&h);
}

static int
collect(void *ctx, const char *line, size_t len, struct err *e)
{
	struct buf *out = ctx;

	(void)e;
	buf_add(out, line, len);
	buf_add_char(out, ';');
	return 0;
}

static void
add_entry(struct desk *d, const char *text, uint64_t event,
	  enum journal_kind kind)
{
	struct journal_entry en = { .kind = kind,
				    .text = text,
				    .text_len = strlen(text),
				    .event = event };

	memcpy(en.session, d->session[0]->raw_id, 16);
	MUST(journal_append(d->party[0]->journal, &en, &e));
}

static void
what_was_said_in_a_restore_is_told_without_what_was_discarded(void **state)
{
	struct round_begin b = { .kind = ROUND_RESTORE,
				 .type = METADATA_FULL };
	struct round_component k = { .writer = "w",
				     .component = "c",
				     .restore = "generation=3" };
	struct buf lines = { 0 };
	struct host h;
	struct client *c;

	(void)state;
	begin_host(&h);
	c = must_open(true);
	MUST(client_begin(c, &b, &e));
	MUST(client_identify(c, &e));
	MUST(client_component(c, &k, &e));
	MUST(client_prepare(c, &e));
	(void)pthread_mutex_lock(&h.desk->lock);
	add_entry(h.desk, "restore-target c original", 8, JOURNAL_STATEMENT);
	add_entry(h.desk, "partial-file c /a none", 8, JOURNAL_STATEMENT);
	add_entry(h.desk, "restore-metadata c x", 9, JOURNAL_STATEMENT);
	add_entry(h.desk, "", 9, JOURNAL_DISCARD);
	add_entry(h.desk, "directed-target c /a 0:1 /b 0:1", 10,
		  JOURNAL_STATEMENT);
	(void)pthread_mutex_unlock(&h.desk->lock);
	MUST(client_restore_lines(c, "w", collect, &lines, &e));
	assert_string_equal(buf_str(&lines),
			    "restore-target c original;"
			    "directed-target c /a 0:1 /b 0:1;");
	buf_clear(&lines);
	client_close(c);
	end_host(&h);
}

static void *
cancel_soon(void *arg)
{
	(void)arg;
	(void)usleep(200000);
	atomic_store(&cancel, 1);
	return NULL;
}

static void
a_call_can_be_interrupted_and_the_session_ends(void **state)
{
	static const char hanging[] = "#!/bin/sh\nexec sleep 100\n";
	struct round_begin b = { .kind = ROUND_BACKUP,
				 .type = METADATA_FULL };
	struct err why = { 0 };
	struct host h;
	struct client *c;
	pthread_t thread;
	uint64_t before;

	(void)state;
	scratch_write(scratch_at(&scratch, "writers.d/w"), hanging,
		      sizeof(hanging) - 1);
	begin_host(&h);
	c = must_open(true);
	MUST(client_begin(c, &b, &e));
	before = time_monotonic_ns();
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
	assert_int_equal(client_identify(c, &why), -1);
	assert_int_equal(why.kind, ERR_CANCELLED);
	assert_true(time_monotonic_ns() - before < UINT64_C(5000000000));
	MUST(client_abort(c, &e));
	assert_int_equal(client_thaw(c, NULL), -1);
	(void)pthread_join(thread, NULL);
	client_close(c);
	end_host(&h);
}

static int
connect_raw(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int dir = rundir_open_repository(repository(), repository_id, NULL);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path),
		       "/proc/self/fd/%d/requester", dir);
	assert_int_equal(
		connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	(void)close(dir);
	return fd;
}

static void
nonsense_on_the_line_ends_it_and_nothing_else(void **state)
{
	static const char *const rows[] = {
		"nonsense\n",
		"begin kind=backup\n", /* no greeting */
		"hello 2\n",
		"hello 1\nnonsense\n",
		"hello 1\n\"\n",
		"hello 1\ncomponent w c bytes=99999999999\n",
		"hello 1\ncomponent w c bytes=10\nshort",
		"hello 1\ncomponent\nidentify\nfreeze\nabort\n",
		"hello 1\njournal none\ndrop\ngap\nlog\nreset\nregister\n",
		"hello 1\ncomplete generation=xx\noutcome\noutcome a\n",
		"hello 1\nbegin type=99\nbegin\nidentify\nprepare\n",
		"hello 1\nbegin\nidentify\ncomponent no c bytes=0\n",
	};
	char rest[4096];
	struct host h;
	size_t i;
	int fd;

	(void)state;
	begin_host(&h);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fd = connect_raw();
		assert_true(send(fd, rows[i], strlen(rows[i]), MSG_NOSIGNAL) >
			    0);
		(void)shutdown(fd, SHUT_WR);
		while (recv(fd, rest, sizeof(rest), 0) > 0)
			;
		(void)close(fd);
	}
	/* A line without an end. */
	fd = connect_raw();
	memset(rest, 'x', sizeof(rest));
	for (i = 0; i < 100; i++) {
		if (send(fd, rest, sizeof(rest), MSG_NOSIGNAL) < 0)
			break;
	}
	(void)shutdown(fd, SHUT_WR);
	while (recv(fd, rest, sizeof(rest), 0) > 0)
		;
	(void)close(fd);
	client_close(must_open(true));
	end_host(&h);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(c1_without_a_control_process_a_child_leads_the_session),
		T(c10_a_live_writer_is_absent_without_a_control_process),
		T(errors_of_the_other_side_come_with_their_kind),
		T(entries_come_over_the_line),
		T(a_desk_that_somebody_else_has_is_busy),
		T(the_child_keeps_nothing_open_that_was_its_parents),
		T(d5_what_a_writer_gets_when_its_requester_is_killed),
		T(c1_a_control_process_is_found_and_used),
		T(what_asof_writer_asks_for),
		T(what_was_said_in_a_restore_is_told_without_what_was_discarded),
		T(a_call_can_be_interrupted_and_the_session_ends),
		T(nonsense_on_the_line_ends_it_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
