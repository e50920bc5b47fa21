/*
 * fake_journal - a journal in memory, and a mailbox that takes any answer, for
 * tests of what uses them.  What was in a journal is there again when the same
 * directory is opened.
 */
#ifndef ASOF_TESTS_UNIT_FAKE_JOURNAL_H
#define ASOF_TESTS_UNIT_FAKE_JOURNAL_H

#include "base/buf.h"
#include "base/err.h"
#include "src/writer/journal.h"
#include "src/writer/mailbox.h"
#include "src/writer/ranges.h"
#include "src/writer/refuse.h"
#include "tests/lib/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FAKE_JOURNALS 64

struct fake_entry {
	struct journal_entry en;
	char *text, *component, *path, *why;
	struct ranges ranges;
};

struct journal {
	bool used, open, clean;
	dev_t dev;
	ino_t ino;
	uint8_t id[JOURNAL_ID_LEN];
	struct fake_entry *v;
	size_t count, cap;
};

static struct {
	struct journal journal[FAKE_JOURNALS];
	int append_fails; /* errno of the next ones; 0: none */
	uint8_t ids;
} fake;

static inline char *
fake_copy(const char *s, size_t len)
{
	char *copy;

	if (s == NULL)
		return NULL;
	copy = malloc(len + 1);
	assert_non_null(copy);
	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

static inline void
fake_clear(struct journal *j)
{
	size_t i;

	for (i = 0; i < j->count; i++) {
		free(j->v[i].text);
		free(j->v[i].component);
		free(j->v[i].path);
		free(j->v[i].why);
		free(j->v[i].ranges.r);
	}
	free(j->v);
	memset(j, 0, sizeof(*j));
}

/* Before each test: nothing is left of one that failed. */
static inline void
fake_begin(void)
{
	size_t i;

	for (i = 0; i < FAKE_JOURNALS; i++)
		fake_clear(&fake.journal[i]);
	fake.append_fails = 0;
}

/* After each test: all journals of it. */
static inline void
fake_end(void)
{
	size_t i;

	for (i = 0; i < FAKE_JOURNALS; i++)
		assert_false(fake.journal[i].open);
	fake_begin();
}

bool
facts_equal(const struct facts *a, const struct facts *b)
{
	return a->known && b->known && !a->young && !b->young &&
	       facts_same_file(a, b) && a->size == b->size &&
	       ts_cmp(a->mtime, b->mtime) == 0 &&
	       ts_cmp(a->ctime, b->ctime) == 0;
}

bool
facts_same_file(const struct facts *a, const struct facts *b)
{
	return strcmp(a->fs, b->fs) == 0 && a->ino == b->ino;
}

int
journal_open(int dirfd, uint64_t quota, struct journal **out, bool *fresh,
	     struct buf *note, struct err *e)
{
	struct journal *j = NULL;
	struct stat st;
	size_t i;

	(void)quota;
	(void)e;
	assert_int_equal(fstat(dirfd, &st), 0);
	for (i = 0; i < FAKE_JOURNALS; i++)
		if (fake.journal[i].used && fake.journal[i].dev == st.st_dev &&
		    fake.journal[i].ino == st.st_ino)
			j = &fake.journal[i];
	/* An inode number may come again: an empty directory is a new one. */
	if (j != NULL && faccessat(dirfd, "fake", F_OK, 0) != 0) {
		fake_clear(j);
		j = NULL;
	}
	*fresh = j == NULL;
	/* Those of writers that were taken away make room. */
	for (i = 0; j == NULL && i < FAKE_JOURNALS; i++)
		if (i > FAKE_JOURNALS / 2 && !fake.journal[i].open)
			fake_clear(&fake.journal[i]);
	for (i = 0; j == NULL && i < FAKE_JOURNALS; i++)
		if (!fake.journal[i].used) {
			int fd;

			j = &fake.journal[i];
			j->used = true;
			j->dev = st.st_dev;
			j->ino = st.st_ino;
			memset(j->id, ++fake.ids, sizeof(j->id));
			fd = openat(dirfd, "fake",
				    O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
			assert_true(fd >= 0);
			assert_int_equal(close(fd), 0);
			j->clean = true;
		}
	assert_non_null(j);
	assert_false(j->open);
	if (!j->clean)
		buf_add_str(note, "the last stop was not clean");
	j->open = true;
	j->clean = false;
	*out = j;
	return 0;
}

int
journal_stop(struct journal *j, struct err *e)
{
	(void)e;
	j->open = false;
	j->clean = true;
	return 0;
}

void
journal_abandon(struct journal *j)
{
	if (j != NULL)
		j->open = false;
}

const uint8_t *
journal_id(const struct journal *j)
{
	return j->id;
}

uint64_t
journal_next(const struct journal *j)
{
	return j->count + 1;
}

uint64_t
journal_first(const struct journal *j)
{
	(void)j;
	return 1;
}

int
journal_append(struct journal *j, struct journal_entry *en, struct err *e)
{
	struct fake_entry *f;
	size_t i;

	assert_true(j->open);
	if (fake.append_fails == EIO)
		return err_set(e, ERR_SYS, "the disk is gone");
	if (fake.append_fails != 0)
		return refuse_set(e, fake.append_fails, "the journal is full");
	if (j->count == j->cap) {
		j->cap = 2 * j->cap + 16;
		j->v = realloc(j->v, j->cap * sizeof(*j->v));
		assert_non_null(j->v);
		/* What is kept points into itself. */
		for (i = 0; i < j->count; i++)
			if (j->v[i].en.ranges != NULL)
				j->v[i].en.ranges = &j->v[i].ranges;
	}
	f = &j->v[j->count];
	memset(f, 0, sizeof(*f));
	en->seq = ++j->count;
	f->en = *en;
	f->text = fake_copy(en->text, en->text_len);
	f->component = fake_copy(en->component,
				 en->component ? strlen(en->component) : 0);
	f->path = fake_copy(en->path, en->path ? strlen(en->path) : 0);
	f->why = fake_copy(en->why, en->why ? strlen(en->why) : 0);
	f->en.text = f->text;
	f->en.component = f->component;
	f->en.path = f->path;
	f->en.why = f->why;
	if (en->ranges != NULL) {
		f->ranges.count = en->ranges->count;
		f->ranges.r = calloc(f->ranges.count + 1, sizeof(*f->ranges.r));
		memcpy(f->ranges.r, en->ranges->r,
		       f->ranges.count * sizeof(*f->ranges.r));
		f->en.ranges = &f->ranges;
	}
	return 0;
}

int
journal_drop(struct journal *j, uint64_t seq, struct err *e)
{
	(void)j;
	(void)seq;
	(void)e;
	return 0;
}

int
journal_read(struct journal *j, uint64_t seq, journal_fn fn, void *ctx,
	     struct err *e)
{
	size_t i;
	int rc = 0;

	for (i = (size_t)seq - 1; i < j->count && rc == 0; i++)
		rc = fn(ctx, &j->v[i].en, e);
	return rc < 0 ? -1 : 0;
}

/* --- the mailbox ------------------------------------------------------------ */

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

#endif
