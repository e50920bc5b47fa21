/*
 * The feed with directories that are made up: what is scanned, and how far
 * ahead of the consumer.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/feed.h"

#include "base/mem.h"
#include "src/engine/backup.h"
#include "src/engine/ingest.h"
#include "src/engine/scan.h"

#include "tests/lib/cmocka_all.h"

#include <string.h>
#include <time.h>

#define DIRS  64
#define NAMES 4096 /* in each: a whole slice */
#define FIRST 1    /* says of a directory that it is the first */

/* More names than these are not scanned and not consumed at the same time. */
#define AHEAD 20000

static atomic_size_t names;

static void
sleep_ms(long ms)
{
	struct timespec t = { 0, ms * 1000000 };

	(void)nanosleep(&t, NULL);
}

/* --- what is below the feed: a top with directories of names ------------------ */

void
dir_ref(struct dir *d)
{
	atomic_fetch_add(&d->refs, 1);
}

void
dir_unref(struct dir *d)
{
	while (d != NULL && atomic_fetch_sub(&d->refs, 1) == 1) {
		struct dir *parent = d->parent;

		mem_free(d);
		d = parent;
	}
}

void
slice_free(struct slice *s)
{
	mem_free(s->item);
	mem_free(s);
}

void
slice_drop_dirs(struct slice *s)
{
	for (size_t i = 0; i < s->count; i++)
		dir_unref(s->item[i].dir);
}

void
scan_scratch_clear(struct scan_scratch *s)
{
	(void)s;
}

int
ingest_run(struct backup *b, struct job *j, struct err *e)
{
	(void)b;
	(void)j;
	return err_set(e, ERR_USAGE, "there are no files");
}

static struct dir *
dir_make(struct dir *parent, struct item *it)
{
	struct dir *d = mem_zalloc(sizeof(*d));

	assert_non_null(d);
	atomic_init(&d->refs, 1);
	d->parent = parent;
	d->item = it;
	if (parent != NULL)
		dir_ref(parent);
	return d;
}

/* The first directory takes long, so that others are scanned meanwhile. */
int
scan_slice(struct backup *b, struct dir *d, struct scan_scratch *s,
	   struct slice **out, struct err *e)
{
	struct slice *sl = mem_zalloc(sizeof(*sl));

	(void)b;
	(void)s;
	(void)e;
	assert_non_null(sl);
	sl->dir = d;
	sl->last = true;
	sl->count = d->parent == NULL ? DIRS : NAMES;
	sl->item = mem_zalloc(sl->count * sizeof(*sl->item));
	assert_non_null(sl->item);
	for (size_t i = 0; i < sl->count; i++) {
		sl->item[i].state = d->parent == NULL ? ITEM_DIR : ITEM_KEPT;
		if (d->parent == NULL)
			sl->item[i].dir = dir_make(d, &sl->item[i]);
	}
	if (d->parent == NULL)
		sl->item[0].dir->fs = FIRST;
	if (d->fs == FIRST)
		sleep_ms(100);
	atomic_fetch_add(&names, sl->count);
	*out = sl;
	return 0;
}

/* --- tests -------------------------------------------------------------------- */

/* Wait until nothing more is scanned; how many names were. */
static size_t
names_at_rest(void)
{
	size_t before;

	do {
		before = atomic_load(&names);
		sleep_ms(200);
	} while (before != atomic_load(&names));
	return before;
}

static void
large_directories_are_not_scanned_many_at_a_time(void **state)
{
	struct backup_options opt = { .readers = 1 };
	struct backup b = { .opt = &opt };
	struct err e = { 0 };
	struct feed *f = NULL;
	struct step s;
	struct dir *top = dir_make(NULL, NULL);
	size_t ended = 0;

	(void)state;
	atomic_store(&names, 0);
	assert_int_equal(feed_start(&b, top, &f, &e), 0);
	assert_in_range(names_at_rest(), 1, AHEAD);
	/* All come all the same, each with its end. */
	for (;;) {
		assert_int_equal(feed_next(f, &s, &e), 0);
		if (s.kind == STEP_DONE)
			break;
		if (s.kind == STEP_SLICE && s.dir->parent == NULL)
			continue;
		if (s.kind == STEP_SLICE) {
			feed_slice_done(f, s.slice);
			continue;
		}
		ended++;
	}
	assert_int_equal(ended, DIRS + 1);
	assert_int_equal(atomic_load(&names), DIRS + DIRS * NAMES);
	feed_stop(f);
	dir_unref(top);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			large_directories_are_not_scanned_many_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
