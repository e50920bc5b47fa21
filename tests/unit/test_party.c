/*
 * Registered writers: what they may hand in, what is kept of it, what is left of
 * what was refused.  Tests that need another user's rights run as root only.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/party.h"

#include "base/buf.h"
#include "base/cred.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/src.h"
#include "base/sys.h"
#include "base/time.h"
#include "src/writer/desk_internal.h"
#include "src/writer/intake.h"
#include "src/writer/metadata.h"
#include "src/writer/partylog.h"
#include "src/writer/pen.h"
#include "src/writer/ranges.h"
#include "src/writer/refuse.h"
#include "src/writer/round.h"
#include "src/writer/statement.h"
#include "tests/lib/failing.h"
#include "tests/lib/scratch.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define OTHER 12345 /* a user who owns nothing here */

static const uint8_t id[16] = { 0xab, 0xcd, 0xef, 1 };

/* --- what the desk stands on ------------------------------------------------ */

/* The errno that the journal's next appends fail with; 0: they do not. */
static int append_fails;

__typeof__(journal_append_all) __real_journal_append_all,
	__wrap_journal_append_all;

/* The linker puts it in the place of the journal's (tests/local.mk). */
int
__wrap_journal_append_all(struct journal *j, struct journal_entry *en,
			  size_t n, struct err *e)
{
	if (append_fails == EIO)
		return err_set(e, ERR_SYS, "the disk is gone");
	if (append_fails != 0)
		return refuse_set(e, append_fails, "the journal is full");
	return __real_journal_append_all(j, en, n, e);
}

/* A mailbox that takes any answer to what was delivered. */
void
mailbox_clear(struct mailbox *m)
{
	buf_clear(&m->text);
	buf_clear(&m->line);
	buf_clear(&m->unread);
	memset(m, 0, sizeof(*m));
}

int
mailbox_answer(struct mailbox *m, const void *line, size_t len, uint64_t now_ns,
	       struct err *e)
{
	(void)now_ns;
	if (m->state != MAIL_DELIVERED)
		return refuse_set(e, EINVAL, "never delivered");
	m->failure = len >= 4 && memcmp(line, "fail", 4) == 0 ? FAILURE_FATAL
							      : FAILURE_NONE;
	m->state = MAIL_ANSWERED;
	return 0;
}

void
mailbox_gone(struct mailbox *m)
{
	m->state = MAIL_GONE;
}

/* --- a desk with a writer --------------------------------------------------- */

struct fixture {
	struct scratch scratch;
	struct desk *d;
	struct party *p; /* writer w, which owns what is in data/ */
	struct round round;
	char data[SCRATCH_LEN + 10];
	unsigned woken;
};

static void
woke(void *ctx, struct party *p)
{
	struct fixture *f = ctx;

	(void)p;
	f->woken++;
}

static void
open_desk(struct fixture *f)
{
	struct err e = { 0 };

	if (desk_open("/srv/repo", id, &f->d, &e) < 0)
		fail_msg("%s", e.text);
	f->d->wake = woke;
	f->d->wake_ctx = f;
	assert_int_equal(pthread_mutex_lock(&f->d->lock), 0);
	f->p = desk_find(f->d, "w");
}

static void
close_desk(struct fixture *f)
{
	assert_int_equal(pthread_mutex_unlock(&f->d->lock), 0);
	desk_close(f->d);
}

static struct party *
add(struct fixture *f, const char *name, uid_t owner, const char *grant)
{
	char n[300];
	char g[SCRATCH_LEN + 100];
	char *list[] = { g };
	struct registration r = { .name = n, .owner = owner };
	struct party *p = NULL;
	struct err e = { 0 };

	(void)snprintf(n, sizeof(n), "%s", name);
	(void)snprintf(g, sizeof(g), "%s", grant != NULL ? grant : "");
	if (grant != NULL) {
		r.grant = list;
		r.grants = 1;
	}
	if (desk_register(f->d, f->d->uid, &r, &p, &e) < 0)
		fail_msg("%s", e.text);
	return p;
}

static const char *
at(const struct fixture *f, const char *name)
{
	static char path[8][SCRATCH_LEN + 600];
	static unsigned next;

	next = (next + 1) % 8;
	(void)snprintf(path[next], sizeof(path[next]), "%s/%s", f->data, name);
	return path[next];
}

/* A document with components db (db/one, db/two files) and log. */
static int
hand_in(struct fixture *f, struct party *p, const char *more)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	int rc;

	buf_printf(&b,
		   "writer %s\n"
		   "schema incremental differential last-modify\n"
		   "restore-method restore-if-can-replace\n"
		   "component db file-group selectable=yes\n"
		   "component other file-group selectable=yes\n"
		   "files db %s/db * recursive\n"
		   "files other %s/other *\n"
		   "%send\n",
		   p->name, f->data, f->data, more);
	rc = party_document(p, b.data, b.len, &e);
	buf_clear(&b);
	return rc < 0 ? refuse_errno(&e) : 0;
}

static void
begin_as(struct fixture *f, uid_t owner)
{
	memset(f, 0, sizeof(*f));
	append_fails = 0;
	scratch_begin(&f->scratch);
	(void)snprintf(f->data, sizeof(f->data), "%s/data", f->scratch.path);
	assert_int_equal(mkdir(f->data, 0755), 0);
	assert_int_equal(mkdir(at(f, "db"), 0755), 0);
	assert_int_equal(mkdir(at(f, "other"), 0755), 0);
	scratch_write(at(f, "db/one"), "12345678", 8);
	if (owner != geteuid()) {
		assert_int_equal(chown(f->data, owner, owner), 0);
		assert_int_equal(chown(at(f, "db"), owner, owner), 0);
		assert_int_equal(chown(at(f, "db/one"), owner, owner), 0);
	}
	assert_int_equal(
		setenv("ASOF_STATE_DIR", scratch_at(&f->scratch, "state"), 1),
		0);
	open_desk(f);
	f->p = add(f, "w", owner, owner == geteuid() ? NULL : f->data);
	assert_int_equal(hand_in(f, f->p, ""), 0);
	(void)journal_next(f->p->journal); /* a cut behind the gap of that */
}

static void
begin(struct fixture *f)
{
	begin_as(f, geteuid());
}

static void
leave_session(struct fixture *f)
{
	size_t i;

	for (i = 0; f->p != NULL && i < f->p->components; i++) {
		mem_free(f->p->component[i].name);
		mem_free(f->p->component[i].stamp);
		mem_free(f->p->component[i].metadata);
	}
	if (f->p != NULL) {
		mem_free(f->p->component);
		f->p->component = NULL;
		f->p->components = 0;
		f->p->session = NULL;
		f->p->window = f->p->edits = false;
		f->p->mailbox.state = MAIL_NONE;
	}
}

/* A copy of an entry, until the next. */
static struct {
	struct journal_entry en;
	struct buf text, component, path, why;
	struct ranges ranges;
} last;

static const char *
keep_text(struct buf *b, const char *s, size_t len)
{
	buf_clear(b);
	if (s == NULL)
		return NULL;
	buf_add(b, s, len);
	return buf_str(b);
}

static int
keep_entry(void *ctx, const struct journal_entry *en, struct err *e)
{
	(void)ctx;
	(void)e;
	last.en = *en;
	last.en.text = keep_text(&last.text, en->text, en->text_len);
	last.en.component =
		keep_text(&last.component, en->component,
			  en->component != NULL ? strlen(en->component) : 0);
	last.en.path = keep_text(&last.path, en->path,
				 en->path != NULL ? strlen(en->path) : 0);
	last.en.why = keep_text(&last.why, en->why,
				en->why != NULL ? strlen(en->why) : 0);
	ranges_clear(&last.ranges);
	if (en->ranges != NULL) {
		assert_int_equal(ranges_union(&last.ranges, en->ranges, NULL),
				 0);
		last.en.ranges = &last.ranges;
	}
	return 0;
}

static void
forget_entry(void)
{
	buf_clear(&last.text);
	buf_clear(&last.component);
	buf_clear(&last.path);
	buf_clear(&last.why);
	ranges_clear(&last.ranges);
}

static void
end(struct fixture *f)
{
	leave_session(f);
	close_desk(f);
	forget_entry();
	scratch_end(&f->scratch);
	assert_int_equal(unsetenv("ASOF_STATE_DIR"), 0);
}

/* In a session, with component db, in the middle of an event. */
static void
enter_session(struct fixture *f)
{
	f->round.begin.kind = ROUND_BACKUP;
	memset(f->round.raw_id, 7, sizeof(f->round.raw_id));
	f->p->session = &f->round;
	f->p->component = mem_zalloc(sizeof(*f->p->component));
	f->p->components = 1;
	f->p->component[0].name = mem_strdup("db");
	f->p->component[0].type = METADATA_INCREMENTAL;
	f->p->window = f->p->edits = true;
	f->p->mailbox.state = MAIL_DELIVERED;
	f->p->mailbox.id = 41;
}

/* Write into `declare`; 0 or the errno. */
static int say_as(struct party *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static int
say_as(struct party *p, const char *fmt, ...)
{
	struct intake_sink sink;
	struct intake in = { .sink = &sink };
	struct buf b = { 0 };
	char text[8192];
	ssize_t got;
	va_list ap;

	party_sink(p, &sink);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_add_str(&b, text);
	buf_add_char(&b, '\n');
	got = intake_write(&in, b.data, b.len, time_monotonic_ns());
	if (got > 0 && (size_t)got < b.len)
		got = intake_write(&in, b.data + got, b.len - (size_t)got,
				   time_monotonic_ns());
	intake_close(&in);
	buf_clear(&b);
	return got < 0 ? (int)-got : 0;
}
#define SAY(f, ...) say_as((f)->p, __VA_ARGS__)

/* What is owed is there, too; and who looks may have taken a cut. */
static size_t
count_entries(const struct fixture *f)
{
	struct journal_view *v = NULL;

	assert_int_equal(pen_view(f->p, &v, NULL), 0);
	journal_view_free(v);
	return (size_t)journal_next(f->p->journal) - 1;
}

static const struct journal_entry *
last_entry(const struct fixture *f)
{
	assert_true(count_entries(f) > 0);
	assert_int_equal(journal_read(f->p->journal, count_entries(f),
				      keep_entry, NULL, NULL),
			 0);
	return &last.en;
}

static void
assert_gap(const struct fixture *f, const char *component, const char *path)
{
	const struct journal_entry *en = last_entry(f);

	assert_int_equal(en->kind, JOURNAL_GAP);
	if (component == NULL)
		assert_null(en->component);
	else
		assert_string_equal(en->component, component);
	if (path == NULL)
		assert_null(en->path);
	else
		assert_string_equal(en->path, path);
	assert_true(en->why != NULL && en->why[0] != '\0');
}

static void
assert_logged(struct fixture *f, const char *what)
{
	struct buf b = { 0 };

	assert_int_equal(partylog_read(f->p, &b, NULL), 0);
	if (strstr(buf_str(&b), what) == NULL)
		fail_msg("not in the log: %s\n%s", what, buf_str(&b));
	buf_clear(&b);
}

static void
put_u64(uint8_t *p, uint64_t v)
{
	unsigned i;

	for (i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void
write_ranges(const char *path, uint64_t count, size_t pairs)
{
	uint8_t b[8 + 16 * 4] = { 0 };
	size_t i;

	put_u64(b, count);
	for (i = 0; i < pairs; i++) {
		put_u64(b + 8 + 16 * i, 4096 * i * 2);
		put_u64(b + 16 + 16 * i, 4096);
	}
	scratch_write(path, b, 8 + 16 * pairs);
}

static bool
is_root(void)
{
	if (geteuid() == 0)
		return true;
	skip();
	return false;
}

/* --- the desk --------------------------------------------------------------- */

static void
only_one_process_has_a_desk(void **state)
{
	struct fixture f;
	struct desk *d = NULL;
	struct err e = { 0 };

	(void)state;
	begin(&f);
	assert_int_equal(desk_open("/srv/repo", id, &d, &e), -1);
	assert_int_equal(e.kind, ERR_BUSY);
	assert_null(d);
	end(&f);
}

static void
c3_the_document_is_there_after_a_new_start(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	close_desk(&f);
	open_desk(&f);
	assert_non_null(f.p);
	assert_non_null(f.p->document);
	assert_int_equal(f.p->document->components.count, 2);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/one")),
			 0);
	end(&f);
}

static void
b3_a_document_that_does_not_hold_any_more_leaves_a_gap_of_all(void **state)
{
	struct fixture f;
	size_t n;

	(void)state;
	begin(&f);
	n = count_entries(&f);
	close_desk(&f);
	scratch_write(scratch_at(&f.scratch,
				 "state/repo-abcdef01/writers/w/document"),
		      "nonsense\n", 9);
	open_desk(&f);
	assert_null(f.p->document);
	assert_true(count_entries(&f) > n);
	assert_gap(&f, NULL, NULL);
	assert_int_equal(SAY(&f, "gap db"), ENOENT);
	end(&f);
}

static void
a_writer_is_registered_once_and_taken_away_whole(void **state)
{
	struct fixture f;
	char name[] = "w";
	struct registration r = { .name = name, .owner = geteuid() };
	struct party *p = NULL;
	struct err e = { 0 };
	uint8_t was[JOURNAL_ID_LEN];

	(void)state;
	begin(&f);
	memcpy(was, journal_id(f.p->journal), sizeof(was));
	assert_int_equal(desk_register(f.d, geteuid(), &r, &p, &e), -1);
	assert_int_equal(refuse_errno(&e), EEXIST);
	f.woken = 0;
	assert_int_equal(desk_unregister(f.d, geteuid(), f.p, NULL), 0);
	assert_true(f.woken > 0);
	/* Whoever has it open may go on asking. */
	assert_true(f.p->removed);
	assert_false(party_may(f.p, geteuid()));
	assert_int_equal(SAY(&f, "gap db"), ENOENT);
	assert_int_equal(desk_unregister(f.d, geteuid(), f.p, NULL), -1);
	assert_null(desk_find(f.d, "w"));
	/* B3: the new one of this name begins with another journal. */
	f.p = add(&f, "w", geteuid(), NULL);
	assert_memory_not_equal(was, journal_id(f.p->journal), sizeof(was));
	assert_null(f.p->document);
	end(&f);
}

static void
a_writer_that_cannot_be_taken_away_is_as_it_was(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	failing_install();
	failing_plan(FAIL_NAME, 1, true, EROFS);
	assert_int_equal(desk_unregister(f.d, geteuid(), f.p, NULL), -1);
	failing_remove();
	assert_ptr_equal(desk_find(f.d, "w"), f.p);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/one")),
			 0);
	/* What cannot be swept at once is swept later. */
	failing_install();
	failing_plan(FAIL_NAME, 2, true, EROFS);
	assert_int_equal(desk_unregister(f.d, geteuid(), f.p, NULL), 0);
	failing_remove();
	f.p = add(&f, "w", geteuid(), NULL);
	assert_int_equal(count_entries(&f), 0);
	assert_null(f.p->document);
	end(&f);
}

static void
a_writer_in_a_session_is_not_taken_away(void **state)
{
	struct fixture f;
	struct err e = { 0 };

	(void)state;
	begin(&f);
	enter_session(&f);
	assert_int_equal(desk_unregister(f.d, geteuid(), f.p, &e), -1);
	assert_int_equal(refuse_errno(&e), EBUSY);
	assert_ptr_equal(desk_find(f.d, "w"), f.p);
	end(&f);
}

static void
e1_who_may_register_and_act(void **state)
{
	struct fixture f;
	char name[] = "x";
	char grant[] = "/srv";
	char *list[] = { grant };
	struct registration r = { .name = name, .owner = OTHER };
	struct party *p = NULL;
	struct err e = { 0 };

	(void)state;
	if (!is_root())
		return;
	begin(&f);
	/* Not without root's word. */
	assert_int_equal(desk_register(f.d, OTHER, &r, &p, &e), -1);
	assert_int_equal(refuse_errno(&e), EPERM);
	p = add(&f, "x", OTHER, "/srv/x");
	assert_true(party_may(p, OTHER));
	assert_true(party_may(p, 0));
	assert_false(party_may(p, OTHER + 1));
	assert_false(party_may(p, (uid_t)-1));
	assert_false(party_may(p, 65534));
	err_clear(&e);
	assert_int_equal(desk_unregister(f.d, OTHER + 1, p, &e), -1);
	assert_int_equal(refuse_errno(&e), EPERM);
	/* Its owner takes it away and brings it back, with what root gave. */
	assert_int_equal(desk_unregister(f.d, OTHER, p, NULL), 0);
	assert_null(desk_find(f.d, "x"));
	err_clear(&e);
	assert_int_equal(desk_register(f.d, OTHER + 1, &r, &p, &e), -1);
	assert_int_equal(refuse_errno(&e), EPERM);
	r.grant = list;
	r.grants = 1;
	assert_int_equal(desk_register(f.d, OTHER, &r, &p, NULL), -1);
	r.grants = 0;
	assert_int_equal(desk_register(f.d, OTHER, &r, &p, NULL), 0);
	assert_int_equal(p->registration->grants, 1);
	assert_string_equal(p->registration->grant[0], "/srv/x");
	/* Root gives another grant. */
	r.grants = 1;
	assert_int_equal(desk_register(f.d, 0, &r, &p, NULL), 0);
	assert_string_equal(desk_find(f.d, "x")->registration->grant[0],
			    "/srv");
	/* Root takes it away for good. */
	assert_int_equal(desk_unregister(f.d, 0, p, NULL), 0);
	r.grants = 0;
	assert_int_equal(desk_register(f.d, OTHER, &r, &p, NULL), -1);
	r.owner = (uid_t)-1;
	assert_int_equal(desk_register(f.d, 0, &r, &p, NULL), -1);
	end(&f);
}

static void
e2_a_grant_taken_back_takes_the_document_with_it(void **state)
{
	struct fixture f;
	char name[] = "w";
	char grant[] = "/srv";
	char *list[] = { grant };
	struct registration r = {
		.name = name, .owner = OTHER, .grant = list, .grants = 1
	};
	struct party *p = NULL;

	(void)state;
	if (!is_root())
		return;
	begin_as(&f, OTHER);
	assert_int_equal(desk_register(f.d, 0, &r, &p, NULL), 0);
	assert_ptr_equal(p, f.p);
	assert_null(p->document);
	assert_gap(&f, NULL, NULL);
	end(&f);
}

/* Speaks until its writer is gone. */
struct speaker {
	struct fixture *f;
	struct party *p;
	const char *line;
	int error; /* the last */
	unsigned said;
};

static void *
speak(void *ctx)
{
	struct speaker *s = ctx;
	struct desk *d = s->f->d;

	(void)pthread_mutex_lock(&d->lock);
	do {
		s->error = say_as(s->p, "%s", s->line);
		s->said++;
		/* Let the others in. */
		(void)pthread_mutex_unlock(&d->lock);
		(void)usleep(100);
		(void)pthread_mutex_lock(&d->lock);
	} while (!s->p->removed);
	(void)pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void
a_writer_that_is_taken_away_while_it_speaks_ends_in_order(void **state)
{
	struct fixture f;
	struct speaker s[3];
	pthread_t t[3];
	char line[SCRATCH_LEN * 2 + 100];
	unsigned i;

	(void)state;
	begin(&f);
	failing_install(); /* does not wait for the disk */
	write_ranges(at(&f, "r"), 3, 3);
	(void)snprintf(line, sizeof(line), "partial-file db %s file=%s",
		       at(&f, "db/one"), at(&f, "r"));
	for (i = 0; i < 3; i++) {
		s[i] = (struct speaker){ &f, f.p, line, 0, 0 };
		assert_int_equal(pthread_create(&t[i], NULL, speak, &s[i]), 0);
	}
	(void)pthread_mutex_unlock(&f.d->lock);
	(void)usleep(50000);
	(void)pthread_mutex_lock(&f.d->lock);
	assert_int_equal(hand_in(&f, f.p, "exclude /srv x\n"), 0);
	assert_int_equal(desk_unregister(f.d, geteuid(), f.p, NULL), 0);
	assert_int_equal(f.p->busy, 0);
	assert_null(f.p->journal);
	/* There may be a new one of the name already. */
	assert_ptr_not_equal(add(&f, "w", geteuid(), NULL), f.p);
	(void)pthread_mutex_unlock(&f.d->lock);
	for (i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_true(s[i].said > 0);
		assert_true(s[i].error == 0 || s[i].error == ENOENT);
	}
	(void)pthread_mutex_lock(&f.d->lock);
	failing_remove();
	end(&f);
}

/* --- documents -------------------------------------------------------------- */

static void
b3_changed_file_sets_leave_a_gap_of_all_and_the_same_ones_none(void **state)
{
	static const struct {
		const char *more;
		bool gap;
	} t[] = {
		{ "", false },
		{ "# a comment\n", false },
		{ "files db /srv/more *\n", true },
		{ "files db /srv/more * backup=full\n", true },
		{ "files db /srv/more * backup=full alternate=/srv/x\n", true },
		{ "exclude /srv/more *\n", true },
		{ "component db/sub file-group selectable=no\n", true },
		{ "", true },
	};
	struct fixture f;
	size_t i;

	(void)state;
	begin(&f);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		size_t n = count_entries(&f);

		assert_int_equal(hand_in(&f, f.p, t[i].more), 0);
		assert_int_equal(count_entries(&f), n + t[i].gap);
		if (t[i].gap)
			assert_gap(&f, NULL, NULL);
	}
	end(&f);
}

static void
c3_a_refused_document_changes_nothing(void **state)
{
	struct fixture f;
	struct buf was = { 0 };
	struct err e = { 0 };
	size_t n;

	(void)state;
	begin(&f);
	n = count_entries(&f);
	buf_add(&was, f.p->document_text.data, f.p->document_text.len);
	assert_int_equal(hand_in(&f, f.p, "files nothing /srv *\n"), ENOENT);
	assert_int_equal(party_document(f.p, "writer w\n", 9, &e), -1);
	assert_int_equal(was.len, f.p->document_text.len);
	assert_memory_equal(was.data, f.p->document_text.data, was.len);
	assert_int_equal(count_entries(&f), n);
	append_fails = EDQUOT;
	assert_int_equal(hand_in(&f, f.p, "files db /srv/more *\n"), EDQUOT);
	append_fails = 0;
	assert_int_equal(was.len, f.p->document_text.len);
	assert_logged(&f, "document refused: ");
	buf_clear(&was);
	end(&f);
}

static void
the_document_of_another_writer_is_refused(void **state)
{
	struct fixture f;
	struct party *p;
	struct err e = { 0 };

	(void)state;
	begin(&f);
	p = add(&f, "x", geteuid(), NULL);
	assert_int_equal(party_document(p, f.p->document_text.data,
					f.p->document_text.len, &e),
			 -1);
	assert_int_equal(refuse_errno(&e), EINVAL);
	assert_null(p->document);
	end(&f);
}

static void
a8_file_sets_that_overlap_anothers_are_refused(void **state)
{
	static const struct {
		const char *files;
		int want;
	} t[] = {
		{ "data/db * recursive", EINVAL },
		{ "data/db one", EINVAL },
		{ "data/db/deep x", EINVAL },
		{ "data * recursive", EINVAL },
		{ "data/other ?x", EINVAL },
		{ "data/other/deep x", 0 },
		{ "data *", 0 },
		{ "elsewhere *", 0 },
	};
	struct fixture f;
	struct party *p;
	size_t i;

	(void)state;
	begin(&f);
	p = add(&f, "x", geteuid(), NULL);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct buf b = { 0 };
		struct err e = { 0 };
		int rc;

		buf_printf(&b,
			   "writer x\nrestore-method restore-if-can-replace\n"
			   "component c file-group selectable=yes\n"
			   "files c %s/%s\nend\n",
			   f.scratch.path, t[i].files);
		rc = party_document(p, b.data, b.len, &e);
		buf_clear(&b);
		if ((rc < 0 ? refuse_errno(&e) : 0) != t[i].want)
			fail_msg("%s: %s", t[i].files, e.text);
	}
	end(&f);
}

static void
b6_a_directory_behind_a_symlink_is_refused_in_a_document(void **state)
{
	struct fixture f;
	char more[SCRATCH_LEN + 100];

	(void)state;
	begin(&f);
	assert_int_equal(symlink("db", at(&f, "link")), 0);
	(void)snprintf(more, sizeof(more), "files db %s/link/deep *\n", f.data);
	assert_int_equal(hand_in(&f, f.p, more), ELOOP);
	(void)snprintf(more, sizeof(more), "files db %s/db/one *\n", f.data);
	assert_int_equal(hand_in(&f, f.p, more), EINVAL);
	end(&f);
}

/* --- statements ------------------------------------------------------------- */

static void
b2_facts_are_recorded_when_a_line_is_accepted(void **state)
{
	struct fixture f;
	const struct journal_entry *en;
	struct stat st;
	char fs[SRC_FSID_MAX];
	int fd;

	(void)state;
	begin(&f);
	assert_int_equal(SAY(&f, "partial-file db  %s 0:4 ", at(&f, "db/one")),
			 0);
	en = last_entry(&f);
	assert_int_equal(en->kind, JOURNAL_STATEMENT);
	assert_int_equal(stat(at(&f, "db/one"), &st), 0);
	assert_true(en->facts.known && !en->facts.young);
	assert_int_equal(en->facts.ino, st.st_ino);
	assert_int_equal(en->facts.size, 8);
	assert_int_equal(en->facts.mtime.sec, st.st_mtim.tv_sec);
	assert_int_equal(en->facts.ctime.nsec, st.st_ctim.tv_nsec);
	fd = open(at(&f, "db/one"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(src_fs_id(fd, fs, NULL), 0);
	assert_int_equal(close(fd), 0);
	assert_string_equal(en->facts.fs, fs);
	/* In its normal form. */
	assert_null(strstr(en->text, "  "));
	assert_false(en->window);
	assert_int_equal(en->event, 0);
	end(&f);
}

static void
b2_a_ctime_younger_than_a_tick_is_waited_for(void **state)
{
	struct fixture f;
	struct stat st;
	struct ts ripe;
	unsigned i;

	(void)state;
	begin(&f);
	for (i = 0; i < 20; i++) {
		scratch_write(at(&f, "db/one"), "abc", 3);
		assert_int_equal(
			SAY(&f, "partial-file db %s 0:3", at(&f, "db/one")), 0);
		assert_int_equal(stat(at(&f, "db/one"), &st), 0);
		ripe = ts_add_ns((struct ts){ st.st_ctim.tv_sec,
					      (uint32_t)st.st_ctim.tv_nsec },
				 time_tick_ns());
		assert_true(ts_cmp(ripe, time_now_coarse()) <= 0);
		assert_int_equal(last_entry(&f)->facts.ctime.nsec,
				 st.st_ctim.tv_nsec);
	}
	end(&f);
}

static void
b2_a_file_that_is_not_there_has_no_facts(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/new")),
			 0);
	assert_false(last_entry(&f)->facts.known);
	assert_int_equal(
		SAY(&f, "partial-file db %s none", at(&f, "db/one/below")), 0);
	assert_false(last_entry(&f)->facts.known);
	end(&f);
}

static void
b2_lines_in_the_sessions_window_say_so(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	enter_session(&f);
	assert_int_equal(SAY(&f, "partial-file db %s 0:1", at(&f, "db/one")),
			 0);
	assert_true(last_entry(&f)->window);
	assert_int_equal(last_entry(&f)->event, 41);
	assert_int_equal(last_entry(&f)->session[0], 7);
	f.p->mailbox.state = MAIL_ANSWERED;
	assert_int_equal(SAY(&f, "partial-file db %s 0:1", at(&f, "db/one")),
			 0);
	assert_int_equal(last_entry(&f)->event, 0);
	f.p->window = false;
	assert_int_equal(SAY(&f, "partial-file db %s 0:1", at(&f, "db/one")),
			 0);
	assert_false(last_entry(&f)->window);
	end(&f);
}

static void
b3_refused_lines_leave_the_narrowest_gap_and_a_line_in_the_log(void **state)
{
	static const struct {
		const char *line; /* %s is the data directory */
		int want;
		const char *component, *path;
	} t[] = {
		{ "what", EINVAL, NULL, NULL },
		{ "partial-file nope %s/db/one 0:1", ENOENT, "nope", "db/one" },
		{ "partial-file db", EINVAL, "db", NULL },
		{ "partial-file db %s/db/one 0:x", EINVAL, "db", "db/one" },
		{ "partial-file db %s/other/x 0:1", EINVAL, "db", "other/x" },
		{ "partial-file db %s/db 0:1", EINVAL, "db", "db" },
		{ "differenced-file db %s/db x*", EINVAL, "db", NULL },
		{ "backup-stamp db now", EBUSY, "db", NULL },
		{ "attach db %s/db/x from=/etc/passwd", EBUSY, "db", "db/x" },
		{ "gap nope %s/db/one", ENOENT, "nope", "db/one" },
	};
	struct fixture f;
	size_t i;

	(void)state;
	begin(&f);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		size_t n = count_entries(&f);
		char line[1000];
		const char *put = strstr(t[i].line, "%s");

		(void)snprintf(line, sizeof(line), "%.*s%s%s",
			       put != NULL ? (int)(put - t[i].line) : 999,
			       t[i].line, put != NULL ? f.data : "",
			       put != NULL ? put + 2 : "");
		assert_int_equal(SAY(&f, "%s", line), t[i].want);
		assert_int_equal(count_entries(&f), n + 1);
		assert_gap(&f, t[i].component,
			   t[i].path != NULL ? at(&f, t[i].path) : NULL);
		assert_logged(&f, "refused: ");
	}
	end(&f);
}

static void
b3_gap_is_a_statement(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(SAY(&f, "gap db"), 0);
	assert_gap(&f, "db", NULL);
	assert_int_equal(SAY(&f, "gap db %s", at(&f, "db/one")), 0);
	assert_gap(&f, "db", at(&f, "db/one"));
	end(&f);
}

static void
b3_lines_that_are_all_refused_take_no_room(void **state)
{
	struct fixture f;
	uint64_t bytes;
	int i;

	(void)state;
	begin(&f);
	assert_int_equal(SAY(&f, "what"), EINVAL);
	bytes = journal_bytes(f.p->journal);
	for (i = 0; i < 100; i++) {
		assert_int_equal(SAY(&f, "what %d", i), EINVAL);
		assert_int_equal(SAY(&f, "partial-file db /x"), EINVAL);
	}
	assert_int_equal(journal_bytes(f.p->journal), bytes);
	/* What the writer says is kept, and listed. */
	assert_int_equal(SAY(&f, "gap db"), 0);
	assert_gap(&f, "db", NULL);
	end(&f);
}

static void
b6_a_symlink_in_a_declared_path_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(symlink("one", at(&f, "db/link")), 0);
	assert_int_equal(symlink("db", at(&f, "dblink")), 0);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/link")),
			 ELOOP);
	assert_gap(&f, "db", at(&f, "db/link"));
	assert_int_equal(
		SAY(&f, "partial-file db %s none", at(&f, "dblink/one")),
		ELOOP);
	end(&f);
}

/* Swaps two names of a directory until told to stop. */
struct swapper {
	int dirfd;
	atomic_bool stop;
};

static void *
swap(void *ctx)
{
	struct swapper *s = ctx;

	while (!atomic_load(&s->stop))
		(void)renameat2(s->dirfd, "a", s->dirfd, "b", RENAME_EXCHANGE);
	return NULL;
}

/* A directory that becomes a link to another: never the file behind the link. */
static void
b6_a_link_put_in_while_it_is_looked_at_leads_nowhere(void **state)
{
	struct fixture f;
	struct swapper s = { -1, false };
	struct stat good;
	pthread_t t;
	unsigned taken = 0;
	unsigned i;

	(void)state;
	begin(&f);
	assert_int_equal(mkdir(at(&f, "db/a"), 0755), 0);
	assert_int_equal(mkdir(at(&f, "secret"), 0755), 0);
	scratch_write(at(&f, "db/a/x"), "1", 1);
	scratch_write(at(&f, "secret/x"), "2", 1);
	assert_int_equal(symlink("../secret", at(&f, "db/b")), 0);
	assert_int_equal(stat(at(&f, "db/a/x"), &good), 0);
	s.dirfd = open(at(&f, "db"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s.dirfd >= 0);
	assert_int_equal(pthread_create(&t, NULL, swap, &s), 0);
	for (i = 0; i < 300; i++) {
		int error =
			SAY(&f, "partial-file db %s none", at(&f, "db/a/x"));

		if (error == 0 && last_entry(&f)->facts.known) {
			assert_int_equal(last_entry(&f)->facts.ino,
					 good.st_ino);
			taken++;
		} else {
			assert_true(error == 0 || error == ELOOP ||
				    error == EINVAL || error == EIO);
		}
	}
	atomic_store(&s.stop, true);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(close(s.dirfd), 0);
	print_message("taken %u of 300\n", taken);
	end(&f);
}

static void
b9_files_of_others_are_refused_and_strange_ones_reported(void **state)
{
	struct fixture f;
	struct party *p;
	struct buf b = { 0 };

	(void)state;
	begin(&f);
	p = add(&f, "x", geteuid(), NULL);
	buf_printf(&b,
		   "writer x\nrestore-method restore-if-can-replace\n"
		   "component c file-group selectable=yes\n"
		   "files c %s/x *\nend\n",
		   f.data);
	assert_int_equal(party_document(p, b.data, b.len, NULL), 0);
	buf_clear(&b);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "x/y")),
			 EINVAL);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "other/y")),
			 EINVAL);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "far")), 0);
	assert_logged(&f, "warning: outside");
	b.len = 0;
	buf_printf(&b, "exclude %s/db *.tmp\n", f.data);
	assert_int_equal(hand_in(&f, f.p, buf_str(&b)), 0);
	buf_clear(&b);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/a.tmp")),
			 0);
	assert_logged(&f, "warning: excluded");
	end(&f);
}

static void
b9_new_files_are_on_a_volume_of_the_session(void **state)
{
	static const char *const far[] = { "/proc" };
	const char *near[1];
	struct fixture f;

	(void)state;
	begin(&f);
	scratch_write(at(&f, "far"), "1", 1);
	enter_session(&f);
	near[0] = f.data;
	f.round.begin.volume = near;
	f.round.begin.volumes = 1;
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "far")), 0);
	f.round.begin.volume = far;
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "far")),
			 EINVAL);
	/* What is in a file set is asked for elsewhere. */
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/one")),
			 0);
	end(&f);
}

static void
c2_a_transaction_is_in_the_journal_whole_or_not_at_all(void **state)
{
	struct fixture f;
	size_t n;

	(void)state;
	begin(&f);
	n = count_entries(&f);
	assert_int_equal(SAY(&f,
			     "begin\npartial-file db %s 0:1\n"
			     "partial-file db %s none\ncommit",
			     at(&f, "db/one"), at(&f, "db/two")),
			 0);
	assert_int_equal(count_entries(&f), n + 2);
	/* Fails when its files are looked at: one gap, of what it was about. */
	assert_int_equal(symlink("one", at(&f, "db/link")), 0);
	assert_int_equal(SAY(&f,
			     "begin\npartial-file db %s 0:1\n"
			     "partial-file db %s none\ncommit",
			     at(&f, "db/one"), at(&f, "db/link")),
			 ELOOP);
	assert_int_equal(count_entries(&f), n + 3);
	assert_gap(&f, "db", NULL);
	end(&f);
}

static bool
declared_in_window(struct fixture *f)
{
	assert_int_equal(SAY(f, "partial-file db %s 0:1 since=s",
			     at(f, "db/one")),
			 0);
	return last_entry(f)->window;
}

static void
b2_the_window_begins_with_the_delivery(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	enter_session(&f);
	f.p->mailbox.event = EVENT_PREPARE_BACKUP;
	f.p->mailbox.state = MAIL_WAITING;
	f.p->mailbox.delivered_ns = 0;
	assert_false(declared_in_window(&f));
	f.p->mailbox.state = MAIL_DELIVERED;
	f.p->mailbox.delivered_ns = 1;
	assert_true(declared_in_window(&f));
	/* Its reader went away: it is delivered once more, in the same time. */
	f.p->mailbox.state = MAIL_WAITING;
	assert_true(declared_in_window(&f));
	/* And then the next event waits. */
	f.p->mailbox.event = EVENT_POST_COPY;
	f.p->mailbox.delivered_ns = 0;
	assert_true(declared_in_window(&f));
	end(&f);
}

static void
c2_a_transaction_without_room_leaves_nothing_in_the_journal(void **state)
{
	struct fixture f;
	struct journal_entry en[3];
	uint64_t next;
	uint64_t one;
	size_t i;

	(void)state;
	begin(&f);
	memset(en, 0, sizeof(en));
	for (i = 0; i < 3; i++) {
		en[i].kind = JOURNAL_STATEMENT;
		en[i].text = "gap db";
		en[i].text_len = 6;
	}
	one = journal_bytes(f.p->journal);
	assert_int_equal(journal_append(f.p->journal, en, NULL), 0);
	one = journal_bytes(f.p->journal) - one;
	next = journal_next(f.p->journal);
	/* 4096 bytes are kept back; then there is room for two. */
	journal_limit(f.p->journal,
		      journal_bytes(f.p->journal) + 4096 + 2 * one);
	assert_int_equal(journal_append_all(f.p->journal, en, 3, NULL), -1);
	/* A gap of all is what is left of it. */
	assert_int_equal(journal_next(f.p->journal), next + 1);
	assert_gap(&f, NULL, NULL);
	journal_limit(f.p->journal, PARTY_JOURNAL_QUOTA);
	assert_int_equal(SAY(&f, "begin\ngap db\ngap other\ncommit"), 0);
	assert_int_equal(journal_next(f.p->journal), next + 3);
	end(&f);
}

static void
e4_writers_of_one_owner_share_the_quota(void **state)
{
	static char text[60000];
	struct journal_entry en = { .kind = JOURNAL_STATEMENT };
	struct fixture f;
	struct party *other;
	struct party *third;

	(void)state;
	begin(&f);
	other = add(&f, "w2", geteuid(), NULL);
	third = add(&f, "w3", OTHER, f.data);
	f.d->journal_quota = 100000;
	memset(text, 'x', sizeof(text));
	en.text = text;
	en.text_len = sizeof(text);
	assert_int_equal(pen_append(f.p, &en, NULL), 0);
	assert_int_equal(pen_append(other, &en, NULL), -1);
	assert_int_equal(pen_append(third, &en, NULL), 0);
	en.text_len = 1000;
	assert_int_equal(pen_append(other, &en, NULL), 0);
	f.d->journal_quota = PARTY_JOURNAL_QUOTA;
	end(&f);
}

static void
b3_a_journal_that_is_full_refuses(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	append_fails = EDQUOT;
	assert_int_equal(SAY(&f, "partial-file db %s 0:1", at(&f, "db/one")),
			 EDQUOT);
	assert_int_equal(SAY(&f, "partial-file db"), EINVAL);
	assert_logged(&f, "no gap in the journal");
	end(&f);
}

static void
b3_a_journal_that_failed_is_opened_anew_and_has_a_gap(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	append_fails = EIO;
	assert_int_equal(SAY(&f, "partial-file db %s 0:1", at(&f, "db/one")),
			 EIO);
	assert_null(f.p->journal);
	append_fails = 0;
	assert_int_equal(SAY(&f, "partial-file db %s 0:1", at(&f, "db/one")),
			 0);
	assert_logged(&f, "not stopped cleanly");
	end(&f);
}

/* --- ranges files ----------------------------------------------------------- */

static void
e3_a_ranges_file_is_copied_before_the_answer(void **state)
{
	struct fixture f;
	const struct journal_entry *en;

	(void)state;
	begin(&f);
	write_ranges(at(&f, "r"), 3, 3);
	assert_int_equal(SAY(&f, "partial-file db %s file=%s", at(&f, "db/one"),
			     at(&f, "r")),
			 0);
	assert_int_equal(unlink(at(&f, "r")), 0);
	en = last_entry(&f);
	assert_non_null(en->ranges);
	assert_int_equal(en->ranges->count, 3);
	assert_int_equal(en->ranges->r[2].off, 16384);
	assert_int_equal(en->ranges->r[2].len, 4096);
	end(&f);
}

static void
e3_bad_ranges_files_are_refused_and_nothing_of_them_is_told(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	begin(&f);
	assert_int_equal(mkfifo(at(&f, "fifo"), 0600), 0);
	write_ranges(at(&f, "r"), 3, 3);
	assert_int_equal(symlink("r", at(&f, "link")), 0);
	write_ranges(at(&f, "short"), 3, 2);
	write_ranges(at(&f, "long"), 2, 3);
	scratch_write(at(&f, "tiny"), "secret", 6);
	scratch_write(at(&f, "text"), "secret: a, secret: b and more", 29);
	write_ranges(at(&f, "over"), UINT64_C(1) << 60, 1);
	/* All holes, with room for ten million ranges and one. */
	fd = open(at(&f, "huge"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 8 + 16 * (off_t)(RANGES_MAX + 1)), 0);
	assert_int_equal(close(fd), 0);
	fd = open(at(&f, "holes"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 8 + 16 * (off_t)RANGES_MAX), 0);
	assert_int_equal(close(fd), 0);
#define TRY(name)                                                              \
	SAY(&f, "partial-file db %s file=%s", at(&f, "db/one"), at(&f, name))
	assert_int_equal(TRY("fifo"), EINVAL);
	assert_int_equal(TRY("link"), ELOOP);
	assert_int_equal(TRY("short"), EINVAL);
	assert_int_equal(TRY("long"), EINVAL);
	assert_int_equal(TRY("tiny"), EINVAL);
	assert_int_equal(TRY("text"), EINVAL);
	assert_int_equal(TRY("over"), EINVAL);
	assert_int_equal(TRY("huge"), EDQUOT);
	assert_int_equal(TRY("holes"), EINVAL);
	assert_int_equal(TRY("nothing"), ENOENT);
	assert_int_equal(TRY("db"), EINVAL);
	assert_gap(&f, "db", at(&f, "db/one"));
	{
		struct buf b = { 0 };

		assert_int_equal(partylog_read(f.p, &b, NULL), 0);
		assert_null(strstr(buf_str(&b), "secret"));
		buf_clear(&b);
	}
	end(&f);
}

static void
e4_a_transaction_has_no_more_ranges_than_one_line(void **state)
{
	struct fixture f;
	int fd;
	uint8_t head[8];

	(void)state;
	begin(&f);
	/* Nine million of no length each: they take room all the same. */
	fd = open(at(&f, "r"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	put_u64(head, 9000000);
	assert_int_equal(write(fd, head, 8), 8);
	assert_int_equal(ftruncate(fd, 8 + 16 * (off_t)9000000), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(TRY("r"), 0);
	assert_int_equal(SAY(&f,
			     "begin\npartial-file db %s file=%s\n"
			     "partial-file db %s file=%s\ncommit",
			     at(&f, "db/one"), at(&f, "r"), at(&f, "db/two"),
			     at(&f, "r")),
			 EDQUOT);
	end(&f);
}

/* --- stamps, answers -------------------------------------------------------- */

static int
stamp(struct fixture *f, const char *component, const void *text, size_t len)
{
	struct err e = { 0 };

	if (party_stamp(f->p, component, text, len, &e) == 0)
		return 0;
	assert_true(e.text[0] != '\0');
	return refuse_errno(&e);
}

static void
c8_a_stamp_is_exact_and_the_last_one_wins(void **state)
{
	struct fixture f;
	const struct party_component *c;

	(void)state;
	begin(&f);
	assert_int_equal(stamp(&f, "db", "1", 1), EBUSY);
	assert_gap(&f, "db", NULL);
	enter_session(&f);
	c = party_component(f.p, "db");
	assert_null(c->stamp);
	assert_int_equal(stamp(&f, "db", "a\n\xff \"\n", 6), 0);
	assert_string_equal(c->stamp, "a\n\xff \"");
	assert_string_equal(last_entry(&f)->text,
			    "backup-stamp db \"a\\n\\xff \\\"\"");
	assert_int_equal(stamp(&f, "db", "\n", 1), 0);
	assert_string_equal(c->stamp, "");
	assert_int_equal(SAY(&f, "backup-stamp db last"), 0);
	assert_string_equal(c->stamp, "last");
	assert_int_equal(stamp(&f, "db", "a\0b", 3), EINVAL);
	assert_int_equal(stamp(&f, "other", "x", 1), ENOENT);
	assert_int_equal(stamp(&f, "nope", "x", 1), ENOENT);
	f.p->edits = false;
	assert_int_equal(stamp(&f, "db", "late", 4), EBUSY);
	assert_string_equal(c->stamp, "last");
	end(&f);
}

static void
c8_a_stamp_too_long_is_refused_with_a_gap_of_its_component(void **state)
{
	static char text[STATEMENT_STAMP_MAX + 1];
	struct fixture f;

	(void)state;
	begin(&f);
	enter_session(&f);
	memset(text, 'x', sizeof(text));
	assert_int_equal(stamp(&f, "db", text, sizeof(text)), EMSGSIZE);
	assert_gap(&f, "db", NULL);
	memset(text, 0xff, sizeof(text));
	assert_int_equal(stamp(&f, "db", text, 20000), EMSGSIZE);
	assert_gap(&f, "db", NULL);
	assert_int_equal(stamp(&f, "db", text, 16000), 0);
	assert_int_equal(party_component(f.p, "db")->stamp_len, 16000);
	end(&f);
}

static void
c8_metadata_is_said_once(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(SAY(&f, "backup-metadata db x"), EBUSY);
	enter_session(&f);
	assert_int_equal(SAY(&f, "begin\nbackup-metadata db x\n"
				 "backup-metadata db y\ncommit"),
			 EEXIST);
	assert_int_equal(SAY(&f, "backup-metadata db x"), 0);
	assert_int_equal(SAY(&f, "backup-metadata db x"), 0);
	assert_int_equal(SAY(&f, "backup-metadata db y"), EEXIST);
	assert_string_equal(party_component(f.p, "db")->metadata, "x");
	end(&f);
}

static void
c5_a_failure_discards_what_was_said_in_its_event(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	enter_session(&f);
	assert_int_equal(SAY(&f, "backup-metadata db early"), 0);
	f.p->mailbox.id = 42;
	assert_int_equal(SAY(&f, "backup-stamp db x"), 0);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/one")),
			 0);
	assert_int_equal(party_answer(f.p, "fail 42 fatal \"no\"", 18, NULL),
			 0);
	assert_int_equal(last_entry(&f)->kind, JOURNAL_DISCARD);
	assert_int_equal(last_entry(&f)->event, 42);
	assert_int_equal(last_entry(&f)->session[0], 7);
	assert_null(party_component(f.p, "db")->stamp);
	assert_string_equal(party_component(f.p, "db")->metadata, "early");
	assert_int_equal(party_answer(f.p, "ok 42", 5, NULL), -1);
	assert_logged(&f, "answered: fail 42");
	/* Ok discards nothing. */
	f.p->mailbox.state = MAIL_DELIVERED;
	f.p->mailbox.id = 43;
	assert_int_equal(SAY(&f, "backup-stamp db y"), 0);
	assert_int_equal(party_answer(f.p, "ok 43", 5, NULL), 0);
	assert_int_equal(last_entry(&f)->kind, JOURNAL_STATEMENT);
	assert_string_equal(party_component(f.p, "db")->stamp, "y");
	end(&f);
}

/* The reader went away, and the event will come once more. */
static void
close_events(struct fixture *f)
{
	f->p->mailbox.state = MAIL_WAITING;
	f->p->mailbox.redelivered = true;
}

static void
c4_what_is_said_before_an_event_comes_once_more_belongs_to_it(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	enter_session(&f);
	close_events(&f);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/one")),
			 0);
	assert_int_equal(last_entry(&f)->event, 41);
	f.round.begin.kind = ROUND_RESTORE;
	f.p->mailbox.event = EVENT_PRE_RESTORE;
	assert_int_equal(SAY(&f, "restore-target db original"), 0);
	/* One that nobody has read yet is another matter. */
	f.p->mailbox.redelivered = false;
	assert_int_equal(SAY(&f, "restore-target db original"), EBUSY);
	end(&f);
}

static void
b1_the_lines_of_a_write_are_synced_once(void **state)
{
	struct fixture f;
	struct intake_sink sink;
	struct intake in = { .sink = &sink };
	struct buf b = { 0 };
	size_t before;
	int i;

	(void)state;
	begin(&f);
	party_sink(f.p, &sink);
	before = count_entries(&f);
	for (i = 0; i < 1000; i++)
		buf_printf(&b, "partial-file db %s %d:1\n", at(&f, "db/one"),
			   2 * i);
	failing_install();
	failing_plan(FAIL_SYNC, 0, false, EIO);
	assert_int_equal(intake_write(&in, b.data, b.len, 1), b.len);
	assert_int_equal(failing.seen, 1);
	failing_remove();
	assert_int_equal(count_entries(&f), before + 1000);
	intake_close(&in);
	buf_clear(&b);
	end(&f);
}

static void
attachments_are_there_to_be_read(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	enter_session(&f);
	assert_int_equal(SAY(&f, "attach db %s from=%s", at(&f, "db/label"),
			     at(&f, "nothing")),
			 ENOENT);
	assert_int_equal(SAY(&f, "attach db %s from=%s", at(&f, "db/label"),
			     at(&f, "db")),
			 EINVAL);
	assert_int_equal(SAY(&f, "attach db %s from=%s", at(&f, "db/label"),
			     at(&f, "db/one")),
			 0);
	end(&f);
}

/* --- rights ----------------------------------------------------------------- */

static void
e2_paths_lie_beneath_the_grant_at_use_too(void **state)
{
	struct fixture f;
	struct buf b = { 0 };

	(void)state;
	if (!is_root())
		return;
	begin_as(&f, OTHER);
	assert_int_equal(SAY(&f, "partial-file db %s 0:1", at(&f, "db/one")),
			 0);
	assert_true(last_entry(&f)->facts.known);
	assert_int_equal(SAY(&f, "partial-file db /etc/passwd none"), EPERM);
	assert_int_equal(SAY(&f, "partial-file db %s file=/etc/passwd",
			     at(&f, "db/one")),
			 EPERM);
	assert_int_equal(symlink("/etc", at(&f, "db/etc")), 0);
	assert_int_equal(
		SAY(&f, "partial-file db %s none", at(&f, "db/etc/passwd")),
		ELOOP);
	assert_int_equal(SAY(&f, "partial-file db %s file=%s", at(&f, "db/one"),
			     at(&f, "db/etc/passwd")),
			 ELOOP);
	buf_add_str(&b, "files db /etc *\n");
	assert_int_equal(hand_in(&f, f.p, buf_str(&b)), EPERM);
	buf_clear(&b);
	/* The grant itself is not reached through a link. */
	assert_int_equal(rename(f.data, scratch_at(&f.scratch, "moved")), 0);
	assert_int_equal(symlink("moved", f.data), 0);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/one")),
			 ELOOP);
	end(&f);
}

static void
e2_files_are_opened_with_the_rights_of_the_owner(void **state)
{
	struct fixture f;

	(void)state;
	if (!is_root())
		return;
	begin_as(&f, OTHER);
	/* Root's, and not for others. */
	scratch_write(at(&f, "db/root"), "x", 1);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/root")),
			 EPERM);
	write_ranges(at(&f, "r"), 1, 1);
	assert_int_equal(TRY("r"), EPERM);
	assert_int_equal(chown(at(&f, "r"), OTHER, OTHER), 0);
	assert_int_equal(TRY("r"), 0);
	/* A directory that is closed to him. */
	assert_int_equal(mkdir(at(&f, "db/closed"), 0700), 0);
	scratch_write(at(&f, "db/closed/x"), "x", 1);
	assert_int_equal(chmod(at(&f, "db/closed/x"), 0644), 0);
	assert_int_equal(
		SAY(&f, "partial-file db %s none", at(&f, "db/closed/x")),
		EPERM);
	/* By group: root's groups are not his. */
	assert_int_equal(chmod(at(&f, "db/closed"), 0750), 0);
	assert_int_equal(
		SAY(&f, "partial-file db %s none", at(&f, "db/closed/x")),
		EPERM);
	enter_session(&f);
	assert_int_equal(SAY(&f, "attach db %s from=%s", at(&f, "db/label"),
			     at(&f, "db/root")),
			 EPERM);
	end(&f);
}

static void
e2_this_thread_is_root_again_afterwards_and_the_others_always_are(void **state)
{
	struct fixture f;
	int fd;

	(void)state;
	if (!is_root())
		return;
	begin_as(&f, OTHER);
	assert_int_equal(SAY(&f, "partial-file db %s none", at(&f, "db/one")),
			 0);
	assert_int_equal(setfsuid((uid_t)-1), 0);
	assert_int_equal(setfsgid((gid_t)-1), getegid());
	scratch_write(at(&f, "db/mine"), "x", 1);
	fd = open(at(&f, "db/mine"), O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	end(&f);
}

/* What the kernel says of this thread between enter and leave. */
static void
e2_the_rights_to_pass_by_permissions_are_gone_meanwhile(void **state)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
						 0 };
	struct __user_cap_data_struct in[2];
	struct __user_cap_data_struct out[2];
	struct cred c = { .uid = OTHER, .gid = OTHER };
	struct cred_before before;
	gid_t groups[100];
	int n = getgroups(100, groups);

	(void)state;
	if (!is_root())
		return;
	assert_int_equal(cred_enter(&c, &before, NULL), 0);
	assert_int_equal(syscall(SYS_capget, &head, in), 0);
	assert_int_equal(getgroups(0, NULL), 0);
	assert_int_equal(setfsuid((uid_t)-1), OTHER);
	cred_leave(&before);
	assert_int_equal(syscall(SYS_capget, &head, out), 0);
	assert_int_equal(in[0].effective & (1u << CAP_DAC_OVERRIDE), 0);
	assert_int_equal(in[0].effective & (1u << CAP_DAC_READ_SEARCH), 0);
	assert_int_equal(in[0].effective & (1u << CAP_FOWNER), 0);
	assert_int_not_equal(out[0].effective & (1u << CAP_DAC_OVERRIDE), 0);
	assert_int_equal(getgroups(100, groups), n);
	/* A user of no database has no groups but nogroup. */
	assert_int_equal(cred_look_up(OTHER, &c, NULL), 0);
	assert_int_equal(c.uid, OTHER);
	assert_int_equal(c.groups, 0);
	assert_int_equal(c.gid, 65534);
	cred_clear(&c);
}

static void
a_users_own_desk_is_his_alone(void **state)
{
	struct fixture f;
	char name[] = "y";
	struct registration r = { .name = name, .owner = 0 };
	struct party *p = NULL;
	char top[SCRATCH_LEN];
	pid_t child;
	int status;

	(void)state;
	if (!is_root())
		return;
	(void)snprintf(top, sizeof(top), "%s/asof-desk-XXXXXX",
		       getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(top));
	assert_int_equal(chown(top, OTHER, OTHER), 0);
	child = fork();
	if (child == 0) {
		if (setgroups(0, NULL) < 0 ||
		    setresgid(OTHER, OTHER, OTHER) < 0 ||
		    setresuid(OTHER, OTHER, OTHER) < 0 || chdir(top) < 0 ||
		    setenv("TMPDIR", top, 1) < 0)
			_exit(2);
		begin_as(&f, OTHER);
		/* No grants are asked for; his own rights are all he has. */
		if (SAY(&f, "partial-file db %s 0:1", at(&f, "db/one")) != 0 ||
		    SAY(&f, "partial-file db /etc/shadow none") != EPERM ||
		    desk_register(f.d, OTHER, &r, &p, NULL) == 0 ||
		    party_may(f.p, OTHER + 1))
			_exit(3);
		end(&f);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(rmdir(top), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- what is shown ---------------------------------------------------------- */

static void
the_log_shows_bytes_escaped_and_is_turned_over(void **state)
{
	struct fixture f;
	unsigned i;

	(void)state;
	begin(&f);
	assert_int_equal(SAY(&f, "what \x1b[31m\xff"), EINVAL);
	assert_logged(&f, "what \\x1b[31m\\xff");
	party_log(f.p, "two\nlines");
	assert_logged(&f, "two\\nlines");
	for (i = 0; i < 5000; i++)
		party_log(f.p, "%0*u", 2000, i);
	assert_true(f.p->log_bytes <= PARTY_LOG_MAX);
	assert_int_equal(
		f.p->log_bytes,
		scratch_size(scratch_at(&f.scratch,
					"state/repo-abcdef01/writers/w/log")));
	assert_true(
		scratch_size(scratch_at(
			&f.scratch, "state/repo-abcdef01/writers/w/log.1")) <=
		(off_t)PARTY_LOG_MAX);
	assert_logged(&f, "4999");
	end(&f);
}

static void
the_pending_lines_are_shown_with_their_states(void **state)
{
	struct fixture f;
	struct buf b = { 0 };
	static const char *const want[] = {
		" void partial-file db ",
		" closed partial-file db ",
		" gap gap db ",
		" open partial-file db ",
		" unseen partial-file ",
		" discarded partial-file db ",
		" kept differenced-file db ",
	};
	size_t i;

	(void)state;
	begin(&f);
	assert_int_equal(SAY(&f, "partial-file db %s 0:1", at(&f, "db/one")),
			 0);
	assert_int_equal(
		SAY(&f, "partial-file db %s 0:1 since=x", at(&f, "db/one")), 0);
	assert_int_equal(SAY(&f, "gap db %s", at(&f, "db/one")), 0);
	assert_int_equal(SAY(&f, "partial-file db %s 0:2", at(&f, "db/one")),
			 0);
	assert_int_equal(SAY(&f, "partial-file db %s 0:2", at(&f, "db/two")),
			 0);
	assert_int_equal(
		SAY(&f, "differenced-file db %s * recursive", at(&f, "db")), 0);
	enter_session(&f);
	assert_int_equal(SAY(&f, "partial-file db %s 0:3", at(&f, "db/one")),
			 0);
	assert_int_equal(party_answer(f.p, "fail 41 fatal", 13, NULL), 0);
	assert_int_equal(party_pending(f.p, NULL, &b, NULL), 0);
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		if (strstr(buf_str(&b), want[i]) == NULL)
			fail_msg("no%s in\n%s", want[i], buf_str(&b));
	buf_clear(&b);
	end(&f);
}

/* All that a writer does; each may fail, none may do half of it. */
static void
do_everything(struct fixture *f)
{
	char name[] = "x";
	char grant[] = "/srv";
	char *list[] = { grant };
	struct registration r = {
		.name = name, .owner = geteuid(), .grant = list, .grants = 1
	};
	struct party *p = NULL;
	size_t parties = f->d->parties;

	(void)hand_in(f, f->p, "");
	(void)SAY(f,
		  "begin\npartial-file db %s file=%s\nbackup-stamp db x\n"
		  "commit",
		  at(f, "db/one"), at(f, "r"));
	(void)party_stamp(f->p, "db", "1", 1, NULL);
	if (desk_register(f->d, f->d->uid, &r, &p, NULL) == 0) {
		assert_int_equal(f->d->parties, parties + 1);
		(void)desk_register(f->d, f->d->uid, &r, &p, NULL);
		(void)desk_unregister(f->d, f->d->uid, p, NULL);
	}
}

static void
any_allocation_may_fail(void **state)
{
	struct fixture f;
	bool failed = true;
	struct buf b = { 0 };
	unsigned nth;

	(void)state;
	begin(&f);
	/* What shows the journal asks for more the longer that is: here. */
	assert_int_equal(SAY(&f, "gap db"), 0);
	for (nth = 1; failed; nth++) {
		int rc;

		failing_plan_alloc(nth, false);
		rc = party_pending(f.p, NULL, &b, NULL);
		failed = failing_hits() > 0;
		failing_off();
		assert_int_equal(rc, failed ? -1 : 0);
		buf_clear(&b);
	}
	failed = true;
	write_ranges(at(&f, "r"), 3, 3);
	enter_session(&f);
	failing_install(); /* does not wait for the disk */
	for (nth = 1; failed; nth++) {
		struct party *p;
		size_t i;

		failing_plan_alloc(nth, false);
		do_everything(&f);
		failed = failing_hits() > 0;
		failing_off();
		for (i = 0; i < f.d->parties; i++)
			assert_ptr_equal(desk_find(f.d, f.d->party[i]->name),
					 f.d->party[i]);
		p = desk_find(f.d, "x");
		if (p != NULL)
			assert_int_equal(
				desk_unregister(f.d, f.d->uid, p, NULL), 0);
		assert_non_null(f.p->document);
		assert_int_equal(SAY(&f, "backup-stamp db ok"), 0);
		assert_string_equal(party_component(f.p, "db")->stamp, "ok");
		assert_true(nth < 2000);
	}
	print_message("%u allocations\n", nth);
	failing_remove();
	end(&f);
}

/* valgrind's kernel is older than openat2. */
static bool
has_openat2(void)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC };
	int fd = sys_real.openat2(AT_FDCWD, ".", &how);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0 || errno != ENOSYS;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_one_process_has_a_desk),
		cmocka_unit_test(c3_the_document_is_there_after_a_new_start),
		cmocka_unit_test(
			b3_a_document_that_does_not_hold_any_more_leaves_a_gap_of_all),
		cmocka_unit_test(
			a_writer_is_registered_once_and_taken_away_whole),
		cmocka_unit_test(a_writer_that_cannot_be_taken_away_is_as_it_was),
		cmocka_unit_test(a_writer_in_a_session_is_not_taken_away),
		cmocka_unit_test(e1_who_may_register_and_act),
		cmocka_unit_test(
			e2_a_grant_taken_back_takes_the_document_with_it),
		cmocka_unit_test(
			a_writer_that_is_taken_away_while_it_speaks_ends_in_order),
		cmocka_unit_test(
			b3_changed_file_sets_leave_a_gap_of_all_and_the_same_ones_none),
		cmocka_unit_test(c3_a_refused_document_changes_nothing),
		cmocka_unit_test(the_document_of_another_writer_is_refused),
		cmocka_unit_test(
			a8_file_sets_that_overlap_anothers_are_refused),
		cmocka_unit_test(
			b6_a_directory_behind_a_symlink_is_refused_in_a_document),
		cmocka_unit_test(b2_facts_are_recorded_when_a_line_is_accepted),
		cmocka_unit_test(b2_a_ctime_younger_than_a_tick_is_waited_for),
		cmocka_unit_test(b2_a_file_that_is_not_there_has_no_facts),
		cmocka_unit_test(b2_lines_in_the_sessions_window_say_so),
		cmocka_unit_test(b2_the_window_begins_with_the_delivery),
		cmocka_unit_test(
			c2_a_transaction_without_room_leaves_nothing_in_the_journal),
		cmocka_unit_test(e4_writers_of_one_owner_share_the_quota),
		cmocka_unit_test(
			b3_refused_lines_leave_the_narrowest_gap_and_a_line_in_the_log),
		cmocka_unit_test(b3_gap_is_a_statement),
		cmocka_unit_test(b3_lines_that_are_all_refused_take_no_room),
		cmocka_unit_test(b6_a_symlink_in_a_declared_path_is_refused),
		cmocka_unit_test(
			b6_a_link_put_in_while_it_is_looked_at_leads_nowhere),
		cmocka_unit_test(
			b9_files_of_others_are_refused_and_strange_ones_reported),
		cmocka_unit_test(b9_new_files_are_on_a_volume_of_the_session),
		cmocka_unit_test(
			c2_a_transaction_is_in_the_journal_whole_or_not_at_all),
		cmocka_unit_test(b3_a_journal_that_is_full_refuses),
		cmocka_unit_test(
			b3_a_journal_that_failed_is_opened_anew_and_has_a_gap),
		cmocka_unit_test(e3_a_ranges_file_is_copied_before_the_answer),
		cmocka_unit_test(
			e3_bad_ranges_files_are_refused_and_nothing_of_them_is_told),
		cmocka_unit_test(
			e4_a_transaction_has_no_more_ranges_than_one_line),
		cmocka_unit_test(c8_a_stamp_is_exact_and_the_last_one_wins),
		cmocka_unit_test(
			c8_a_stamp_too_long_is_refused_with_a_gap_of_its_component),
		cmocka_unit_test(c8_metadata_is_said_once),
		cmocka_unit_test(
			c5_a_failure_discards_what_was_said_in_its_event),
		cmocka_unit_test(c4_what_is_said_before_an_event_comes_once_more_belongs_to_it),
		cmocka_unit_test(b1_the_lines_of_a_write_are_synced_once),
		cmocka_unit_test(attachments_are_there_to_be_read),
		cmocka_unit_test(e2_paths_lie_beneath_the_grant_at_use_too),
		cmocka_unit_test(
			e2_files_are_opened_with_the_rights_of_the_owner),
		cmocka_unit_test(
			e2_this_thread_is_root_again_afterwards_and_the_others_always_are),
		cmocka_unit_test(
			e2_the_rights_to_pass_by_permissions_are_gone_meanwhile),
		cmocka_unit_test(a_users_own_desk_is_his_alone),
		cmocka_unit_test(
			the_log_shows_bytes_escaped_and_is_turned_over),
		cmocka_unit_test(any_allocation_may_fail),
		cmocka_unit_test(the_pending_lines_are_shown_with_their_states),
	};

	if (!has_openat2()) {
		print_message("1..0 # SKIP no openat2 here\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
