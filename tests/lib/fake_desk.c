#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "tests/lib/fake_desk.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "src/writer/intake.h"
#include "src/writer/metadata.h"
#include "src/writer/partylog.h"
#include "src/writer/pen.h"
#include "src/writer/refuse.h"
#include "src/writer/round.h"
#include "src/writer/round_internal.h"
#include "src/writer/statement.h"
#include "tests/lib/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct buf the_log;

const char *
fake_desk_log(void)
{
	return buf_str(&the_log);
}

/* --- the desk ------------------------------------------------------------ */

static void
add_party(struct desk *d, const char *name, uid_t owner)
{
	struct party *p = mem_zalloc(sizeof(*p));

	assert_non_null(p);
	p->registration = mem_zalloc(sizeof(*p->registration));
	p->journal = mem_zalloc(sizeof(*p->journal));
	assert_non_null(p->registration);
	assert_non_null(p->journal);
	p->journal->first = 1;
	p->name = mem_strdup(name);
	p->registration->name = mem_strdup(name);
	p->registration->owner = owner;
	p->desk = d;
	d->party = mem_resize(d->party, d->parties + 1, sizeof(struct party *));
	assert_non_null(d->party);
	d->party[d->parties++] = p;
}

struct desk *
fake_desk_new(const char *dir, const char *const *writer, size_t n)
{
	struct desk *d = mem_zalloc(sizeof(*d));
	pthread_condattr_t attr;
	size_t i;

	assert_non_null(d);
	(void)pthread_mutex_init(&d->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&d->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	d->statefd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(d->statefd >= 0);
	d->lockfd = -1;
	d->uid = getuid();
	d->root = d->uid == 0;
	for (i = 0; i < n; i++)
		add_party(d, writer[i], d->uid);
	return d;
}

static void
free_party(struct party *p)
{
	size_t i;

	for (i = 0; i < p->journal->count; i++)
		mem_free(p->journal->entry[i].text);
	mem_free(p->journal);
	metadata_free(p->document);
	buf_clear(&p->document_text);
	mailbox_clear(&p->mailbox);
	mem_free(p->name);
	mem_free(p->registration->name);
	mem_free(p->registration);
	mem_free(p);
}

void
fake_desk_free(struct desk *d)
{
	size_t i;

	for (i = 0; i < d->parties; i++)
		free_party(d->party[i]);
	mem_free(d->party);
	(void)close(d->statefd);
	if (d->lockfd >= 0)
		(void)close(d->lockfd);
	(void)pthread_mutex_destroy(&d->lock);
	(void)pthread_cond_destroy(&d->changed);
	mem_free(d);
	buf_clear(&the_log);
}

int
desk_open(const char *repository, const uint8_t repository_id[16],
	  struct desk **out, struct err *e)
{
	const char *writers = getenv("FAKE_DESK_WRITERS");
	struct desk *d = fake_desk_new(getenv("FAKE_DESK_DIR"), NULL, 0);
	char names[200];
	char *at = names;
	char *name;

	(void)repository;
	(void)repository_id;
	d->lockfd = io_open(d->statefd, "lock", O_RDWR | O_CREAT, 0600, NULL,
			    e);
	if (io_lock(d->lockfd, true, "lock", e) != 0) {
		fake_desk_free(d);
		return err_set(e, ERR_BUSY, "somebody else has the desk");
	}
	(void)snprintf(names, sizeof(names), "%s",
		       writers != NULL ? writers : "");
	while ((name = strsep(&at, " ")) != NULL) {
		if (name[0] != '\0')
			add_party(d, name, d->uid);
	}
	*out = d;
	return 0;
}

void
desk_close(struct desk *d)
{
	fake_desk_free(d);
}

struct party *
desk_find(struct desk *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->parties; i++) {
		if (strcmp(d->party[i]->registration->name, name) == 0)
			return d->party[i];
	}
	return NULL;
}

int
desk_register(struct desk *d, uid_t caller, const struct registration *what,
	      struct party **out, struct err *e)
{
	(void)caller;
	if (desk_find(d, what->name) != NULL)
		return refuse_set(e, EEXIST, "it is there");
	add_party(d, what->name, what->owner);
	*out = d->party[d->parties - 1];
	return 0;
}

int
desk_unregister(struct desk *d, uid_t caller, struct party *p, struct err *e)
{
	(void)d;
	(void)caller;
	if (p->session != NULL)
		return refuse_set(e, EBUSY, "it is in a session");
	(void)snprintf(p->registration->name, 2, "-");
	return 0;
}

void
desk_changed(struct desk *d, struct party *p)
{
	(void)pthread_cond_broadcast(&d->changed);
	if (d->wake != NULL)
		d->wake(d->wake_ctx, p);
}

/* --- parties ------------------------------------------------------------- */

bool
party_may(const struct party *p, uid_t caller)
{
	return caller == 0 || caller == p->registration->owner;
}

int
party_document(struct party *p, const void *text, size_t len, struct err *e)
{
	struct metadata *m = NULL;

	if (metadata_parse(&m, text, len, e) < 0)
		return -1;
	metadata_free(p->document);
	p->document = m;
	buf_reset(&p->document_text);
	metadata_print(m, &p->document_text);
	return 0;
}

void
fake_desk_document(struct desk *d, const char *writer, const char *level)
{
	struct err e = { 0 };
	char text[400];
	int n = snprintf(text, sizeof(text),
			 "writer %s freeze-level=%s\n"
			 "restore-method restore-if-can-replace\n"
			 "component c file-group selectable=yes\n"
			 "end\n",
			 writer, level);

	if (party_document(desk_find(d, writer), text, (size_t)n, &e) < 0)
		fail_msg("%s", e.text);
}

int
party_check(struct party *p, struct statement *s, struct err *e)
{
	if (s->component != NULL && strcmp(s->component, "none") == 0)
		return refuse_set(e, ENOENT, "no such component");
	(void)p;
	return 0;
}

int
party_accept(struct party *p, struct statement *const *s, size_t n,
	     struct err *e)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct buf text = { 0 };
		struct journal_entry en = { .kind = JOURNAL_STATEMENT };

		statement_print(s[i], &text);
		en.text = buf_str(&text);
		en.text_len = text.len;
		en.event = p->mailbox.id;
		if (p->session != NULL)
			memcpy(en.session, p->session->raw_id, 16);
		if (journal_append(p->journal, &en, e) < 0)
			return -1;
		buf_clear(&text);
		p->statements++;
	}
	return 0;
}

void
party_refuse(struct party *p, const struct statement *s, const void *line,
	     size_t len, const struct err *why)
{
	struct journal_entry en = { .kind = JOURNAL_GAP };

	(void)s;
	(void)line;
	(void)len;
	party_log(p, "refused: %s", why->text);
	(void)journal_append(p->journal, &en, NULL);
}

int
party_stamp(struct party *p, const char *component, const void *text,
	    size_t len, struct err *e)
{
	(void)p;
	(void)component;
	(void)text;
	(void)len;
	return err_set(e, ERR_USAGE, "not in this fake");
}

int
party_answer(struct party *p, const void *line, size_t len, struct err *e)
{
	int rc = mailbox_answer(&p->mailbox, line, len, round_now(), e);

	if (rc == 0 && p->mailbox.failure != FAILURE_NONE && p->session != NULL)
		pen_discard(p, p->session->raw_id, p->mailbox.id);
	(void)pthread_cond_broadcast(&p->desk->changed);
	return rc;
}

void
party_log(struct party *p, const char *fmt, ...)
{
	char text[1000];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(&the_log, "%s: %s\n", p->registration->name, text);
}

int
partylog_read(struct party *p, struct buf *out, struct err *e)
{
	int dir = registry_dir(NULL, p->registration->name, e);
	int rc = -1;

	if (dir < 0)
		return -1;
	if (io_read_file(dir, "log.1", 65536, out, e) >= 0 &&
	    io_read_file(dir, "log", 65536, out, e) >= 0)
		rc = 0;
	(void)io_close(dir, "directory of a writer", NULL);
	return rc;
}

int
party_pending(struct party *p, const char *component, struct buf *out,
	      struct err *e)
{
	(void)p;
	(void)component;
	(void)out;
	(void)e;
	return 0;
}

struct party_component *
party_component(struct party *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->components; i++) {
		if (strcmp(p->component[i].name, name) == 0)
			return &p->component[i];
	}
	return NULL;
}

/* --- the registry -------------------------------------------------------- */

void
registration_clear(struct registration *r)
{
	(void)r;
}

int
registry_open_state(const char *name, const uint8_t repository_id[16],
		    struct err *e)
{
	(void)name;
	(void)repository_id;
	return err_set(e, ERR_USAGE, "not in this fake");
}

void
registry_name(const char *repository_path, const uint8_t id[16],
	      struct buf *out)
{
	const char *slash = strrchr(repository_path, '/');

	buf_printf(out, "%s-%02x%02x%02x%02x",
		   slash != NULL ? slash + 1 : repository_path, id[0], id[1],
		   id[2], id[3]);
}

int
registry_load(int statefd, struct registry *out, struct err *e)
{
	(void)statefd;
	(void)out;
	return err_set(e, ERR_USAGE, "not in this fake");
}

void
registry_clear(struct registry *r)
{
	(void)r;
}

struct registration *
registry_find(struct registry *r, const char *name)
{
	(void)r;
	(void)name;
	return NULL;
}

int
registry_add(struct registry *r, const struct registration *what,
	     struct err *e)
{
	(void)r;
	(void)what;
	return err_set(e, ERR_USAGE, "not in this fake");
}

int
registry_save(struct registry *r, const struct registration *what,
	      struct err *e)
{
	(void)r;
	(void)e;
	buf_printf(&the_log, "%s: saved timeouts=%u\n", what->name,
		   what->timeouts);
	return 0;
}

int
registry_remove(struct registry *r, const char *name, struct err *e)
{
	(void)r;
	(void)name;
	return err_set(e, ERR_USAGE, "not in this fake");
}

void
registration_put_lists(const struct registration *r, struct buf *out)
{
	for (size_t i = 0; i < r->grants; i++)
		buf_printf(out, "grant %s\n", r->grant[i]);
	for (size_t i = 0; i < r->services; i++)
		buf_printf(out, "service %s\n", r->service[i]);
}

int
registry_dir(const struct registry *r, const char *name, struct err *e)
{
	(void)r;
	(void)name;
	return io_open_dir(AT_FDCWD, getenv("FAKE_DESK_DIR"), e);
}

int
registry_journal_dir(const struct registry *r, const char *name,
		     struct err *e)
{
	(void)r;
	(void)name;
	return err_set(e, ERR_USAGE, "not in this fake");
}

/* --- the journal --------------------------------------------------------- */

bool
facts_equal(const struct facts *a, const struct facts *b)
{
	return a == b;
}

bool
facts_same_file(const struct facts *a, const struct facts *b)
{
	return a == b;
}

const uint8_t *
journal_id(const struct journal *j)
{
	return j->id;
}

uint64_t
journal_next(struct journal *j)
{
	return j->count + 1;
}

uint64_t
journal_first(const struct journal *j)
{
	return j->first;
}

int
journal_append(struct journal *j, struct journal_entry *en, struct err *e)
{
	struct fake_entry *to = &j->entry[j->count];

	if (j->count == sizeof(j->entry) / sizeof(j->entry[0]))
		return err_set(e, ERR_USAGE, "the fake is full");
	en->seq = ++j->count;
	to->entry = *en;
	to->text = mem_dup(en->text != NULL ? en->text : "", en->text_len);
	assert_non_null(to->text);
	to->entry.text = to->text;
	to->entry.component = to->entry.path = to->entry.why = NULL;
	return 0;
}

/* --- the pen ------------------------------------------------------------- */

int
pen_append(struct party *p, struct journal_entry *en, struct err *e)
{
	return journal_append(p->journal, en, e);
}

void
pen_discard(struct party *p, const uint8_t session[16], uint64_t event)
{
	struct journal_entry en = { .kind = JOURNAL_DISCARD, .event = event };

	memcpy(en.session, session, sizeof(en.session));
	(void)journal_append(p->journal, &en, NULL);
}

int
pen_drop(struct party *p, uint64_t below, struct err *e)
{
	(void)e;
	p->journal->first = below;
	return 0;
}

int
pen_read(struct party *p, uint64_t seq, journal_fn fn, void *ctx,
	 struct err *e)
{
	struct journal *j = p->journal;
	size_t i;
	int rc;

	for (i = seq > 0 ? (size_t)seq - 1 : 0; i < j->count; i++) {
		rc = fn(ctx, &j->entry[i].entry, e);
		if (rc != 0)
			return rc < 0 ? -1 : 0;
	}
	return 0;
}

const char *
fake_desk_entries(struct desk *d, const char *writer)
{
	static const char *const name[] = { "", "STATEMENT", "GAP", "DISCARD",
					    "STOP" };
	static struct buf out;
	const struct journal *j = desk_find(d, writer)->journal;
	size_t i;

	buf_clear(&out);
	for (i = 0; i < j->count; i++)
		buf_printf(&out, "%s%s %s", i > 0 ? "; " : "",
			   name[j->entry[i].entry.kind], j->entry[i].text);
	return buf_str(&out);
}

int
journal_encode(const struct journal_entry *en, struct buf *out,
	       struct err *e)
{
	(void)e;
	wr_u64(out, en->seq);
	wr_u8(out, (uint8_t)en->kind);
	wr_u64(out, en->event);
	wr_bytes(out, en->session, 16);
	wr_string(out, en->text, en->text_len);
	return 0;
}

struct journal_reader {
	struct buf bytes;
	struct rd rd;
};

int
journal_reader_new(int fd, uint64_t from, uint64_t to,
		   struct journal_reader **out, struct err *e)
{
	struct journal_reader *r = mem_zalloc(sizeof(*r));
	uint8_t *p;

	assert_non_null(r);
	p = buf_extend(&r->bytes, (size_t)(to - from));
	if (to > from && io_read_at(fd, p, (size_t)(to - from), from, "copy",
				    e) < 0)
		fail_msg("the copy cannot be read");
	r->rd = rd_init(r->bytes.data, r->bytes.len);
	*out = r;
	return 0;
}

int
journal_reader_next(struct journal_reader *r, struct journal_entry *out,
		    struct err *e)
{
	size_t len;

	(void)e;
	if (r->rd.left == 0)
		return 0;
	*out = (struct journal_entry){ 0 };
	out->seq = rd_u64(&r->rd);
	out->kind = (enum journal_kind)rd_u8(&r->rd);
	out->event = rd_u64(&r->rd);
	rd_copy(&r->rd, out->session, 16);
	out->text = (const char *)rd_string(&r->rd, 65536, &len);
	out->text_len = len;
	return 1;
}

void
journal_reader_free(struct journal_reader *r)
{
	if (r != NULL)
		buf_clear(&r->bytes);
	mem_free(r);
}

/* --- intake: whole lines, no transactions -------------------------------- */

ssize_t
intake_write(struct intake *in, const void *p, size_t n, uint64_t now_ns)
{
	struct statement s = { 0 };
	struct statement *one = &s;
	struct err e = { 0 };
	ssize_t rc = (ssize_t)n;

	(void)now_ns;
	assert_int_equal(((const char *)p)[n - 1], '\n');
	if (statement_parse(&s, p, n - 1, &e) < 0 ||
	    (s.kind != STATEMENT_NONE &&
	     (in->sink->check(in->sink->ctx, &s, &e) < 0 ||
	      in->sink->accept(in->sink->ctx, &one, 1, &e) < 0))) {
		in->sink->refused(in->sink->ctx, &s, p, n - 1, &e);
		rc = -refuse_errno(&e);
	}
	statement_clear(&s);
	return rc;
}

bool
intake_tick(struct intake *in, uint64_t now_ns)
{
	(void)in;
	(void)now_ns;
	return false;
}

void
intake_close(struct intake *in)
{
	(void)in;
}
