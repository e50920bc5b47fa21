#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/index.h"

#include "base/buf.h"
#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/pack_maker.h"
#include "tests/lib/rng.h"
#include "tests/lib/scratch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/wait.h>

#define FIRST_MAP ((size_t)1 << 30)
#define NO_MAP    ((size_t)1 << 47)
#define PACKS_MAX 400

static struct scratch scratch;
static int packs_fd, cache_fd;
static struct rng rng;

/* What there is: the packs in packs/, in the order they were made. */
static struct made_pack packs[PACKS_MAX];
static size_t pack_count;

static int
set_up(void **state)
{
	(void)state;
	scratch_begin(&scratch);
	failing_install();
	rng.state = 20261121;
	pack_count = 0;
	assert_int_equal(mkdir(scratch_at(&scratch, "packs"), 0700), 0);
	assert_int_equal(mkdir(scratch_at(&scratch, "cache"), 0700), 0);
	packs_fd = open(scratch_at(&scratch, "packs"),
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cache_fd = open(scratch_at(&scratch, "cache"),
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(packs_fd >= 0 && cache_fd >= 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	while (pack_count > 0)
		pack_maker_free(&packs[--pack_count]);
	catalogue_first_map(FIRST_MAP);
	assert_int_equal(close(packs_fd), 0);
	assert_int_equal(close(cache_fd), 0);
	failing_remove();
	scratch_end(&scratch);
	return 0;
}

static int
try_open(struct index **x, struct err *e)
{
	return index_open(cache_fd, scratch_at(&scratch, "cache"), x, e);
}

static struct index *
must_open(void)
{
	struct index *x = NULL;
	struct err e = { 0 };

	if (try_open(&x, &e) < 0)
		fail_msg("%s", e.text);
	return x;
}

static struct made_pack *
make_pack(size_t chunks)
{
	const struct pack_shape shape = { .frames = 1, .chunks = chunks,
					  .chunk_len = 3 };

	assert_true(pack_count < PACKS_MAX);
	pack_maker_make(packs_fd, &shape, &rng, &packs[pack_count]);
	return &packs[pack_count++];
}

static const char *
pack_path(const struct pack_id *id)
{
	char name[PACK_NAME_LEN + 1], path[64];

	pack_name(name, id);
	(void)snprintf(path, sizeof(path), "packs/%s", name);
	return scratch_at(&scratch, path);
}

static void
remove_pack(size_t i)
{
	assert_int_equal(unlink(pack_path(&packs[i].id)), 0);
	pack_maker_free(&packs[i]);
	packs[i] = packs[--pack_count];
}

static struct index_sync_result
must_sync(struct index *x)
{
	struct index_sync_result r = { 0 };
	struct err e = { 0 };

	if (index_sync(x, packs_fd, NULL, NULL, &r, &e) < 0)
		fail_msg("%s", e.text);
	return r;
}

static void
must_sync_to(struct index *x, unsigned added, unsigned gone, unsigned bad)
{
	struct index_sync_result r = must_sync(x);

	if (r.added != added || r.gone != gone || r.bad != bad)
		fail_msg("added %u, gone %u, bad %u, not %u, %u, %u", r.added,
			 r.gone, r.bad, added, gone, bad);
}

static void
must_add_own(struct index *x, const struct made_pack *m)
{
	struct err e = { 0 };

	if (index_add_pack(x, &m->id, m->len, m->ids, m->chunks, &e) < 0)
		fail_msg("%s", e.text);
}

static void
must_flush(struct index *x)
{
	struct err e = { 0 };

	if (index_flush(x, &e) < 0)
		fail_msg("%s", e.text);
}

/* A hit names a pack that is there, and a slot with this key. */
static void
check_hit(const struct index_hit *hit, uint64_t key)
{
	size_t i;

	for (i = 0; i < pack_count; i++)
		if (memcmp(&packs[i].id, &hit->pack, PACK_ID_LEN) == 0)
			break;
	assert_true(i < pack_count);
	assert_true(hit->slot < packs[i].chunks);
	assert_true(id_prefix(&packs[i].ids[hit->slot]) == key);
}

/*
 * Whether slot `slot` of pack `m` is found: 1, 0; -1 damaged.  Anything
 * wrong in the answer fails the test.
 */
static int
find_slot(struct index *x, const struct made_pack *m, uint32_t slot,
	  struct err *e)
{
	struct index_hit hit[8];
	uint64_t key = id_prefix(&m->ids[slot]);
	int n = index_find(x, key, hit, 8, e), i, found = 0;

	for (i = 0; i < n; i++) {
		check_hit(&hit[i], key);
		if (hit[i].slot == slot &&
		    memcmp(&hit[i].pack, &m->id, PACK_ID_LEN) == 0)
			found = 1;
		if (i > 0)
			assert_true(memcmp(&hit[i - 1], &hit[i],
					   PACK_ID_LEN) <= 0);
	}
	return n < 0 ? -1 : found;
}

/* The index finds every chunk of every pack, and nothing else. */
static void
must_find_all(struct index *x)
{
	struct index_hit hit[8];
	struct err e = { 0 };
	uint32_t slot;
	size_t i;

	for (i = 0; i < pack_count; i++)
		for (slot = 0; slot < packs[i].chunks; slot++)
			if (find_slot(x, &packs[i], slot, &e) != 1)
				fail_msg("pack %zu, slot %u: %s", i, slot,
					 e.text);
	for (i = 0; i < 200; i++)
		assert_int_equal(index_find(x, rng_next(&rng), hit, 8, &e), 0);
}

static int
count_pack(void *ctx, const struct pack_id *id, uint64_t len, uint32_t chunks,
	   struct err *e)
{
	size_t *n = ctx, i;

	(void)e;
	for (i = 0; i < pack_count; i++)
		if (memcmp(&packs[i].id, id, PACK_ID_LEN) == 0)
			break;
	assert_true(i < pack_count);
	assert_int_equal(packs[i].len, len);
	assert_int_equal(packs[i].chunks, chunks);
	++*n;
	return 0;
}

static void
must_know_packs(struct index *x, size_t want)
{
	struct err e = { 0 };
	size_t n = 0;

	assert_int_equal(index_packs(x, count_pack, &n, &e), 0);
	assert_int_equal(n, want);
}

/* Run files in the cache. */
static size_t
count_runs(char (*first)[256])
{
	char names[200][256];
	size_t n = scratch_count(scratch_at(&scratch, "cache"), names, 200), i,
	       runs = 0;

	assert_true(n <= 200);
	for (i = 0; i < n; i++)
		if (strncmp(names[i], "run.", 4) == 0 && runs++ == 0 &&
		    first != NULL)
			memcpy(*first, names[i], 256);
	return runs;
}

static const char *
cache_path(const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "cache/%s", name);
	return scratch_at(&scratch, path);
}

/* --- in step with packs/ --------------------------------------------------------- */

static void
a_sync_finds_what_is_there(void **state)
{
	static const size_t chunks[] = { 1, 511, 512, 513, 2000 };
	struct index *x = must_open();
	size_t i;

	(void)state;
	must_sync_to(x, 0, 0, 0);
	must_find_all(x);
	for (i = 0; i < N_OF(chunks); i++)
		(void)make_pack(chunks[i]);
	must_sync_to(x, 5, 0, 0);
	must_find_all(x);
	must_know_packs(x, 5);
	(void)make_pack(7);
	must_sync_to(x, 1, 0, 0);
	must_find_all(x);
	assert_int_equal(index_entries(x), 1 + 511 + 512 + 513 + 2000 + 7);
	index_close(x);
	index_close(NULL);
}

static void
a_sync_without_changes_reads_no_pack(void **state)
{
	struct index *x = must_open();

	(void)state;
	(void)make_pack(600);
	(void)make_pack(600);
	must_sync_to(x, 2, 0, 0);
	failing_plan(FAIL_OPEN, 0, false, EIO);
	must_sync_to(x, 0, 0, 0);
	/* The name of the catalogue, the listing; no pack, no lock. */
	assert_true(failing_calls() <= 2);
	failing_off();
	index_close(x);
}

static void
the_index_outlives_the_process(void **state)
{
	struct index *x = must_open();

	(void)state;
	(void)make_pack(600);
	(void)make_pack(600);
	must_sync_to(x, 2, 0, 0);
	index_close(x);
	x = must_open();
	must_find_all(x);
	must_sync_to(x, 0, 0, 0);
	index_close(x);
}

static void
packs_that_are_gone_are_not_found(void **state)
{
	struct index *x = must_open(), *y;
	struct index_hit hit[8];
	uint64_t key;

	(void)state;
	(void)make_pack(10);
	(void)make_pack(10);
	(void)make_pack(10);
	must_sync_to(x, 3, 0, 0);
	key = id_prefix(&packs[0].ids[3]);
	remove_pack(0);
	must_sync_to(x, 0, 1, 0);
	assert_int_equal(index_find(x, key, hit, 8, NULL), 0);
	must_find_all(x);
	must_know_packs(x, 2);
	index_close(x);
	y = must_open();
	must_sync_to(y, 0, 0, 0);
	must_find_all(y);
	index_close(y);
}

static void
names_that_are_no_packs_are_ignored(void **state)
{
	struct index *x = must_open();

	(void)state;
	(void)make_pack(10);
	scratch_write(scratch_at(&scratch, "packs/.tmp-123"), "x", 1);
	scratch_write(scratch_at(&scratch, "packs/README"), "x", 1);
	must_sync_to(x, 1, 0, 0);
	index_close(x);
}

static void
candidates_come_lowest_pack_first_and_no_more_than_asked(void **state)
{
	enum { COPIES = 6 };
	struct index *x = must_open();
	struct pack_shape shape = { .frames = 1, .chunks = 4 };
	struct index_hit hit[COPIES + 2], few[3];
	struct id ids[4];
	uint64_t key;
	int i;

	(void)state;
	rng_fill(&rng, ids, sizeof(ids));
	ids[3] = ids[1]; /* twice in one pack, too */
	shape.ids = ids;
	for (i = 0; i < COPIES; i++) {
		pack_maker_make(packs_fd, &shape, &rng, &packs[pack_count++]);
		if (i == 2)
			must_sync_to(x, 3, 0, 0); /* several runs */
		if (i > 2)
			must_add_own(x, &packs[pack_count - 1]);
	}
	key = id_prefix(&ids[0]);
	assert_int_equal(index_find(x, key, hit, COPIES + 2, NULL), COPIES);
	for (i = 1; i < COPIES; i++)
		assert_true(memcmp(&hit[i - 1], &hit[i], PACK_ID_LEN) < 0);
	assert_int_equal(index_find(x, key, few, 3, NULL), 3);
	assert_memory_equal(few, hit, sizeof(few));
	key = id_prefix(&ids[1]);
	assert_int_equal(index_find(x, key, hit, COPIES + 2, NULL),
			 COPIES + 2);
	assert_int_equal(hit[0].slot, 1);
	assert_int_equal(hit[1].slot, 3);
	assert_memory_equal(&hit[0].pack, &hit[1].pack, PACK_ID_LEN);
	index_close(x);
}

/* --- packs of our own ---------------------------------------------------------- */

static void
own_packs_are_found_at_once(void **state)
{
	struct index *x = must_open(), *y;
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		must_add_own(x, make_pack(100));
		must_find_all(x);
	}
	assert_int_equal(count_runs(NULL), 0);
	must_sync_to(x, 0, 0, 0);
	must_flush(x);
	assert_int_equal(count_runs(NULL), 1);
	must_find_all(x);
	must_know_packs(x, 5);
	must_flush(x); /* nothing to do */
	assert_int_equal(count_runs(NULL), 1);
	y = must_open();
	must_sync_to(y, 0, 0, 0);
	must_find_all(y);
	index_close(y);
	index_close(x);
}

static void
own_packs_that_were_not_flushed_are_read_by_the_next(void **state)
{
	struct index *x = must_open();

	(void)state;
	must_add_own(x, make_pack(100));
	index_close(x);
	x = must_open();
	must_sync_to(x, 1, 0, 0);
	must_find_all(x);
	index_close(x);
}

static void
a_pack_added_twice_counts_once(void **state)
{
	struct index *x = must_open();
	const struct made_pack *m = make_pack(10);

	(void)state;
	must_sync_to(x, 1, 0, 0);
	must_add_own(x, m);
	must_add_own(x, m);
	must_know_packs(x, 1);
	assert_int_equal(index_entries(x), 10);
	index_close(x);
}

static void
many_own_packs_flush_themselves(void **state)
{
	struct index *x = must_open();
	int i;

	(void)state;
	for (i = 0; i < 9; i++)
		must_add_own(x, make_pack(8000));
	assert_int_equal(count_runs(NULL), 1);
	must_find_all(x);
	index_close(x);
	x = must_open();
	must_sync_to(x, 0, 0, 0);
	must_find_all(x);
	index_close(x);
}

static void
own_packs_that_somebody_else_listed_are_listed_once(void **state)
{
	struct index *x = must_open(), *y = must_open();

	(void)state;
	must_add_own(x, make_pack(50));
	must_add_own(x, make_pack(50));
	must_sync_to(y, 2, 0, 0); /* the other one has read them */
	must_add_own(x, make_pack(50));
	must_flush(x);
	must_find_all(x);
	must_know_packs(x, 3);
	must_sync_to(y, 0, 0, 0);
	must_find_all(y);
	must_know_packs(y, 3);
	index_close(x);
	index_close(y);
}

/* --- merging -------------------------------------------------------------------- */

static void
runs_are_merged_in_tiers(void **state)
{
	struct index *x = must_open();
	int i;

	(void)state;
	for (i = 0; i < 70; i++) {
		must_add_own(x, make_pack(120));
		must_flush(x);
		assert_true(count_runs(NULL) < 8 + 2);
	}
	must_find_all(x);
	must_know_packs(x, 70);
	assert_int_equal(index_entries(x), 70 * 120);
	index_close(x);
	x = must_open();
	must_find_all(x);
	index_close(x);
}

static void
merging_drops_what_is_gone(void **state)
{
	struct index *x = must_open();
	int i;

	(void)state;
	for (i = 0; i < 7; i++) {
		must_add_own(x, make_pack(100));
		must_flush(x);
	}
	for (i = 0; i < 5; i++)
		remove_pack(0);
	must_sync_to(x, 0, 5, 0);
	must_add_own(x, make_pack(100));
	must_flush(x);
	assert_int_equal(count_runs(NULL), 1);
	assert_int_equal(index_entries(x), 300);
	must_find_all(x);
	index_close(x);
}

static void
an_index_that_is_mostly_dead_is_made_small(void **state)
{
	struct index *x = must_open();
	int i;

	(void)state;
	for (i = 0; i < 12; i++)
		(void)make_pack(8000);
	must_sync_to(x, 12, 0, 0);
	assert_int_equal(index_entries(x), 96000);
	for (i = 0; i < 11; i++)
		remove_pack(0);
	must_sync_to(x, 0, 11, 0);
	assert_int_equal(index_entries(x), 8000);
	must_find_all(x);
	index_close(x);
}

static void
who_has_old_runs_open_reads_on(void **state)
{
	struct index *x = must_open(), *y = must_open();
	int i;

	(void)state;
	for (i = 0; i < 7; i++) {
		must_add_own(x, make_pack(100));
		must_flush(x);
	}
	must_sync_to(y, 0, 0, 0);
	must_find_all(y);
	must_add_own(x, make_pack(100));
	must_flush(x); /* merges, and unlinks the runs that y reads */
	assert_int_equal(count_runs(NULL), 1);
	pack_count--; /* y does not know the last one */
	must_find_all(y);
	pack_count++;
	must_sync_to(y, 0, 0, 0);
	must_find_all(y);
	index_close(y);
	index_close(x);
}

/* --- places that do not let us ------------------------------------------------- */

static void
without_a_catalogue_everything_stays_here(void **state)
{
	struct index *x;
	int i;

	(void)state;
	catalogue_first_map(NO_MAP);
	x = must_open();
	assert_null(index_catalogue(x));
	for (i = 0; i < 20; i++) {
		(void)make_pack(100);
		must_sync_to(x, 1, 0, 0);
		must_add_own(x, make_pack(100));
		must_flush(x);
	}
	must_find_all(x);
	must_know_packs(x, 40);
	remove_pack(3);
	must_sync_to(x, 0, 1, 0);
	must_find_all(x);
	/* The private runs have no names. */
	assert_int_equal(count_runs(NULL), 0);
	index_close(x);
	x = must_open();
	must_sync_to(x, 39, 0, 0);
	must_find_all(x);
	index_close(x);
}

static void
many_own_packs_without_a_catalogue_stay_found(void **state)
{
	struct index *x;
	int i;

	(void)state;
	catalogue_first_map(NO_MAP);
	x = must_open();
	for (i = 0; i < 20; i++)
		must_add_own(x, make_pack(8000));
	must_find_all(x);
	must_sync_to(x, 0, 0, 0);
	index_close(x);
}

static void
a_full_cache_is_no_failure(void **state)
{
	static const unsigned ops[] = { FAIL_WRITE, FAIL_NAME, FAIL_SYNC,
					FAIL_WRITE | FAIL_NAME | FAIL_SYNC };
	size_t k;
	int i;

	(void)state;
	for (k = 0; k < N_OF(ops); k++) {
		struct index *x = must_open();
		unsigned there = (unsigned)pack_count;

		for (i = 0; i < 4; i++)
			(void)make_pack(200);
		failing_plan(ops[k], 1, true, ENOSPC);
		(void)must_sync(x);
		failing_off();
		must_find_all(x);
		for (i = 0; i < 4; i++) {
			struct made_pack *m = make_pack(200);

			failing_plan(ops[k], 1, true, ENOSPC);
			must_add_own(x, m);
			must_flush(x);
			failing_off();
		}
		must_find_all(x);
		/* There is room again: the next process catches up. */
		index_close(x);
		x = must_open();
		assert_true(must_sync(x).added <= 8);
		must_find_all(x);
		must_know_packs(x, there + 8);
		index_close(x);
	}
}

static void
who_cannot_have_the_lock_goes_on_privately(void **state)
{
	struct index *x = must_open();
	int fd = open(cache_path("lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	must_add_own(x, make_pack(100));
	must_flush(x); /* gives up after a second */
	must_find_all(x);
	assert_int_equal(count_runs(NULL), 0);
	assert_int_equal(close(fd), 0);
	must_flush(x);
	must_find_all(x);
	assert_int_equal(count_runs(NULL), 1);
	index_close(x);
}

static void
without_locks_nothing_is_listed(void **state)
{
	struct index *x = must_open();

	(void)state;
	(void)make_pack(100);
	failing_plan(FAIL_LOCK, 1, true, ENOLCK);
	must_sync_to(x, 1, 0, 0);
	must_add_own(x, make_pack(100));
	must_flush(x);
	failing_off();
	must_find_all(x);
	assert_int_equal(count_runs(NULL), 0);
	index_close(x);
	x = must_open();
	must_sync_to(x, 2, 0, 0);
	must_find_all(x);
	assert_int_equal(count_runs(NULL), 1);
	index_close(x);
}

/* Lets another index do the work when the first asks for the lock. */
static struct index *faster;

static int
flock_too_late(int fd, int op)
{
	struct index *y = faster;

	faster = NULL;
	if (y != NULL)
		(void)must_sync(y);
	return sys_real.flock(fd, op);
}

static void
what_another_did_meanwhile_is_not_done_again(void **state)
{
	struct index *x = must_open(), *y = must_open();
	const struct sys_ops *before = sys_repo;
	struct sys_ops ops = *sys_repo;

	(void)state;
	(void)make_pack(100);
	(void)make_pack(100);
	ops.flock = flock_too_late;
	sys_repo = &ops;
	faster = y;
	must_sync_to(x, 0, 0, 0);
	sys_repo = before;
	assert_null(faster);
	assert_int_equal(count_runs(NULL), 1);
	assert_int_equal(index_entries(x), 200);
	must_find_all(x);
	index_close(y);
	index_close(x);
}

/* --- damage --------------------------------------------------------------------- */

struct bad {
	size_t count;
	struct pack_id last;
	char text[ERR_TEXT_LEN];
};

static void
note_bad(void *ctx, const struct pack_id *id, const struct err *why)
{
	struct bad *b = ctx;

	b->count++;
	b->last = *id;
	(void)snprintf(b->text, sizeof(b->text), "%s", why->text);
}

static void
a_pack_without_a_footer_is_told_each_time(void **state)
{
	struct index *x = must_open();
	struct index_sync_result r;
	struct err e = { 0 };
	int i;

	(void)state;
	(void)make_pack(10);
	(void)make_pack(10);
	assert_int_equal(truncate(pack_path(&packs[1].id),
				  (off_t)packs[1].len - 1),
			 0);
	for (i = 0; i < 3; i++) {
		struct bad b = { 0 };

		assert_int_equal(
			index_sync(x, packs_fd, note_bad, &b, &r, &e), 0);
		assert_int_equal(r.bad, 1);
		assert_int_equal(r.added, i == 0);
		assert_int_equal(b.count, 1);
		assert_memory_equal(&b.last, &packs[1].id, PACK_ID_LEN);
		assert_non_null(strstr(b.text, "no valid footer"));
	}
	remove_pack(1);
	must_sync_to(x, 0, 0, 0);
	must_find_all(x);
	index_close(x);
}

static void
the_sound_blocks_of_a_damaged_directory_are_known(void **state)
{
	struct index *x = must_open(), *y;
	struct index_sync_result r;
	struct made_pack *m;
	struct err e = { 0 };
	uint32_t slot, found = 0;
	int i;

	(void)state;
	(void)make_pack(10);
	m = make_pack(1500);
	/* Into the second of three blocks, just before the table. */
	scratch_flip(pack_path(&m->id), (off_t)m->len - 64 - 3 * 32 - 25000);
	for (i = 0; i < 2; i++) {
		struct bad b = { 0 };

		assert_int_equal(
			index_sync(x, packs_fd, note_bad, &b, &r, &e), 0);
		assert_int_equal(b.count, 1);
		assert_int_equal(r.bad, 1);
		assert_non_null(strstr(b.text, "block 1"));
	}
	for (slot = 0; slot < m->chunks; slot++) {
		int rc = find_slot(x, m, slot, &e);

		assert_int_equal(rc, slot < 512 || slot >= 1024);
		found += rc == 1;
	}
	assert_int_equal(found, 1500 - 512);
	/* That others change the catalogue does not make them unknown. */
	y = must_open();
	must_add_own(y, make_pack(10));
	must_flush(y);
	index_close(y);
	must_sync_to(x, 0, 0, 1);
	m = &packs[1];
	for (slot = 0; slot < m->chunks; slot++)
		assert_int_equal(find_slot(x, m, slot, &e),
				 slot < 512 || slot >= 1024);
	/* The next process looks again: it may have been the cable. */
	scratch_flip(pack_path(&m->id), (off_t)m->len - 64 - 3 * 32 - 25000);
	y = must_open();
	must_sync_to(y, 1, 0, 0);
	must_find_all(y);
	index_close(y);
	/* Gone, it is damaged no more. */
	remove_pack(1);
	must_sync_to(x, 0, 1, 0);
	must_find_all(x);
	index_close(x);
}

static void
a_pack_that_cannot_be_read_is_bad_for_now(void **state)
{
	struct index *x = must_open();

	(void)state;
	(void)make_pack(600);
	failing_plan(FAIL_READ, 3, true, EIO);
	must_sync_to(x, 0, 0, 1);
	failing_off();
	must_sync_to(x, 1, 0, 0);
	must_find_all(x);
	index_close(x);
}

static void
a_missing_run_leads_to_an_empty_index_and_a_sync_fills_it(void **state)
{
	struct index *x = must_open();
	char run[256];

	(void)state;
	(void)make_pack(100);
	must_sync_to(x, 1, 0, 0);
	index_close(x);
	assert_int_equal(count_runs(&run), 1);
	assert_int_equal(unlink(cache_path(run)), 0);
	x = must_open();
	assert_int_equal(index_entries(x), 0);
	must_sync_to(x, 1, 0, 0);
	must_find_all(x);
	index_close(x);
}

/*
 * Ask for everything; on damage begin anew, and then it has to be right.
 * Returns whether there was damage.
 */
static bool
find_all_or_reset(struct index *x)
{
	struct err e = { 0 };
	uint32_t slot;
	size_t i;
	int rc = 1;

	(void)must_sync(x);
	for (i = 0; rc == 1 && i < pack_count; i++)
		for (slot = 0; rc == 1 && slot < packs[i].chunks; slot += 7)
			rc = find_slot(x, &packs[i], slot, &e);
	if (rc == 1)
		return false;
	assert_int_equal(rc, -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	err_clear(&e);
	if (index_reset(x, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(must_sync(x).added, pack_count);
	must_find_all(x);
	return true;
}

static void
no_wrong_byte_in_a_run_misleads(void **state)
{
	struct index *x = must_open();
	char run[256];
	size_t len, at;

	(void)state;
	(void)make_pack(300);
	must_sync_to(x, 1, 0, 0);
	index_close(x);
	assert_int_equal(count_runs(&run), 1);
	len = (size_t)scratch_size(cache_path(run));
	for (at = 0; at < len; at += 37) {
		scratch_flip(cache_path(run), (off_t)at);
		x = must_open();
		(void)find_all_or_reset(x);
		index_close(x);
		if (access(cache_path(run), F_OK) < 0)
			(void)count_runs(&run); /* it was replaced */
		else
			scratch_flip(cache_path(run), (off_t)at);
	}
}

static void
damage_under_an_open_index_is_noticed(void **state)
{
	struct index *x = must_open();
	char run[256];

	(void)state;
	(void)make_pack(3000);
	must_sync_to(x, 1, 0, 0);
	must_find_all(x);
	assert_int_equal(count_runs(&run), 1);
	assert_int_equal(truncate(cache_path(run), 12288), 0);
	assert_true(find_all_or_reset(x));
	index_close(x);
}

static void
a_damaged_catalogue_is_made_again(void **state)
{
	enum { TRIALS = 60 };
	char current[64], path[128];
	size_t i, n;

	(void)state;
	for (i = 0; i < 5; i++)
		(void)make_pack(50);
	for (i = 0; i < TRIALS; i++) {
		struct index *x = must_open();

		(void)must_sync(x);
		must_find_all(x);
		index_close(x);
		n = scratch_read(cache_path("current"), current, 63);
		current[n - 1] = '\0';
		(void)snprintf(path, sizeof(path), "%s/data.mdb", current);
		if (i == 0)
			assert_int_equal(unlink(cache_path("current")), 0);
		else if (i == 1)
			assert_int_equal(unlink(cache_path(path)), 0);
		else if (i % 2 == 0)
			assert_int_equal(truncate(cache_path(path),
						  (off_t)(i * 1000)),
					 0);
		else
			scratch_flip(cache_path(path),
				     (off_t)rng_below(&rng, (uint64_t)
						      scratch_size(cache_path(
							      path))));
	}
}

static void
old_leftovers_are_removed_young_ones_are_not(void **state)
{
	static const struct timespec old[2] = { { 1000000, 0 },
						{ 1000000, 0 } };
	struct index *x = must_open();
	char listed[256];

	(void)state;
	(void)make_pack(10);
	must_sync_to(x, 1, 0, 0);
	index_close(x);
	assert_int_equal(count_runs(&listed), 1);
	scratch_write(cache_path("run.old"), "x", 1);
	scratch_write(cache_path("run.young"), "x", 1);
	scratch_write(cache_path(".tmp-old"), "x", 1);
	scratch_write(cache_path("other"), "x", 1);
	assert_int_equal(utimensat(AT_FDCWD, cache_path("run.old"), old, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, cache_path(".tmp-old"), old, 0),
			 0);
	assert_int_equal(utimensat(AT_FDCWD, cache_path("other"), old, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, cache_path(listed), old, 0), 0);
	x = must_open();
	assert_int_equal(access(cache_path("run.old"), F_OK), -1);
	assert_int_equal(access(cache_path(".tmp-old"), F_OK), -1);
	assert_int_equal(access(cache_path("run.young"), F_OK), 0);
	assert_int_equal(access(cache_path("other"), F_OK), 0);
	assert_int_equal(access(cache_path(listed), F_OK), 0);
	must_sync_to(x, 0, 0, 0);
	must_find_all(x);
	index_close(x);
}

static void
the_cache_may_vanish_under_an_open_index(void **state)
{
	struct index *x = must_open();
	char current[64], path[128];
	size_t n;

	(void)state;
	(void)make_pack(10);
	must_sync_to(x, 1, 0, 0);
	n = scratch_read(cache_path("current"), current, 63);
	current[n - 1] = '\0';
	(void)snprintf(path, sizeof(path), "%s/data.mdb", current);
	assert_int_equal(unlink(cache_path(path)), 0);
	assert_int_equal(unlink(cache_path("current")), 0);
	(void)make_pack(10);
	(void)must_sync(x);
	must_find_all(x);
	index_close(x);
	x = must_open();
	(void)must_sync(x);
	must_find_all(x);
	index_close(x);
}

/* --- failing calls ---------------------------------------------------------------- */

static void
any_failing_call_is_told_or_lived_with(void **state)
{
	static const int errors[] = { EIO, ENOSPC, EMFILE };
	size_t k;
	unsigned nth;

	(void)state;
	(void)make_pack(520);
	(void)make_pack(20);
	for (k = 0; k < 2 * N_OF(errors); k++)
		for (nth = 1;; nth += 1 + nth / 16) {
			struct index *x = NULL;
			struct err e = { 0 };
			int rc;

			failing_plan(FAIL_ALL, nth, k % 2 == 1,
				     errors[k / 2]);
			rc = try_open(&x, &e);
			if (rc == 0)
				rc = index_sync(x, packs_fd, NULL, NULL, NULL,
						&e);
			if (failing_hits() == 0) {
				failing_off();
				assert_int_equal(rc, 0);
				must_find_all(x);
				index_close(x);
				break;
			}
			failing_off();
			if (rc < 0)
				assert_int_equal(e.kind, ERR_SYS);
			if (x == NULL)
				x = must_open();
			(void)must_sync(x);
			(void)find_all_or_reset(x);
			must_find_all(x);
			if (nth % 3 == 0) {
				err_clear(&e);
				assert_int_equal(index_reset(x, &e), 0);
			}
			index_close(x);
		}
}

static void
any_failing_allocation_is_told_or_lived_with(void **state)
{
	unsigned nth, step, hits;
	int i;

	(void)state;
	for (i = 0; i < 8; i++)
		(void)make_pack(20);
	/* Beginning from nothing, from a loaded cache, and flushing. */
	for (step = 0; step < 3; step++)
		for (nth = 1;; nth += 1 + nth / 16) {
			struct index *x = NULL;
			struct err e = { 0 };
			int rc;

			if (step == 0) {
				x = must_open();
				assert_int_equal(index_reset(x, &e), 0);
				index_close(x);
				x = NULL;
			}
			failing_plan_alloc(nth, false);
			rc = try_open(&x, &e);
			if (rc == 0 && step < 2)
				rc = index_sync(x, packs_fd, NULL, NULL, NULL,
						&e);
			for (i = 0; rc == 0 && step == 2 && i < 8; i++) {
				rc = index_add_pack(x, &packs[i].id,
						    packs[i].len, packs[i].ids,
						    packs[i].chunks, &e);
				if (rc == 0)
					rc = index_flush(x, &e);
			}
			hits = failing_hits();
			failing_off();
			if (rc < 0)
				assert_int_equal(e.kind, ERR_NOMEM);
			if (x == NULL)
				x = must_open();
			(void)must_sync(x);
			must_find_all(x);
			must_know_packs(x, 8);
			if (step == 2)
				assert_int_equal(index_reset(x, NULL), 0);
			index_close(x);
			if (hits == 0)
				break;
		}
}

/* --- threads and processes --------------------------------------------------------- */

static struct {
	struct index *x;
	atomic_bool stop;
	atomic_uint found;
} looking;

static void *
look_up(void *arg)
{
	struct rng r = { (uint64_t)(uintptr_t)arg };

	while (!atomic_load(&looking.stop)) {
		const struct made_pack *m = &packs[rng_below(&r, 4)];
		uint32_t slot = (uint32_t)rng_below(&r, m->chunks);
		struct index_hit hit[4];

		/* The first four packs are always there. */
		if (index_find(looking.x, id_prefix(&m->ids[slot]), hit, 4,
			       NULL) != 1 ||
		    hit[0].slot != slot)
			break;
		(void)index_memory(looking.x);
		atomic_fetch_add(&looking.found, 1);
	}
	return NULL;
}

static void
look_ups_go_on_during_changes(void **state)
{
	struct index *x = must_open();
	pthread_t t[3];
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		(void)make_pack(300);
	must_sync_to(x, 4, 0, 0);
	looking.x = x;
	atomic_store(&looking.stop, false);
	atomic_store(&looking.found, 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, look_up,
						(void *)(i + 1)),
				 0);
	for (i = 0; i < 40; i++) {
		struct made_pack *m = make_pack(50);

		if (i % 2 == 0) {
			must_add_own(x, m);
			must_flush(x);
		} else {
			(void)must_sync(x);
		}
		if (i % 5 == 1)
			remove_pack(5);
	}
	while (atomic_load(&looking.found) < 1000)
		(void)sched_yield();
	atomic_store(&looking.stop, true);
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	/* None of them stopped because of a wrong answer. */
	(void)must_sync(x);
	must_find_all(x);
	index_close(x);
}

/* Makes packs, syncs and flushes beside its siblings; exit code 0. */
static void
child_works(uint64_t seed)
{
	struct index *x = NULL;
	struct err e = { 0 };
	int i;

	rng.state = seed;
	if (try_open(&x, &e) < 0)
		_exit(1);
	for (i = 0; i < 25; i++) {
		struct made_pack *m = make_pack(40);
		uint32_t slot;

		if (index_sync(x, packs_fd, NULL, NULL, NULL, &e) < 0)
			_exit(2);
		if (i % 3 == 0 &&
		    (index_add_pack(x, &m->id, m->len, m->ids, m->chunks,
				    &e) < 0 ||
		     index_flush(x, &e) < 0))
			_exit(3);
		for (slot = 0; slot < m->chunks; slot++) {
			struct index_hit hit[4];

			if (index_find(x, id_prefix(&m->ids[slot]), hit, 4,
				       &e) < 1)
				_exit(4);
		}
	}
	index_close(x);
	_exit(0);
}

static void
several_processes_share_a_cache(void **state)
{
	enum { CHILDREN = 3 };
	struct index *x;
	pid_t pid[CHILDREN];
	int i, status;

	(void)state;
	for (i = 0; i < CHILDREN; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0)
			child_works((uint64_t)i + 1);
	}
	for (i = 0; i < CHILDREN; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	x = must_open();
	assert_int_equal(must_sync(x).bad, 0);
	/* Every pack was read once, by whoever came first. */
	assert_int_equal(index_entries(x), CHILDREN * 25 * 40);
	index_close(x);
}

/* --- against a model ----------------------------------------------------------------- */

/* Two indexes of one cache; packs come and go; anything may happen. */
static void
any_sequence_of_events_ends_right(void **state)
{
	struct index *x[2] = { must_open(), must_open() };
	char run[256];
	int step;

	(void)state;
	for (step = 0; step < 600; step++) {
		struct index **who = &x[rng_below(&rng, 2)];
		size_t n = 1 + (size_t)rng_below(&rng, 60);

		switch (rng_below(&rng, 12)) {
		case 0:
		case 1:
			if (pack_count < PACKS_MAX / 4)
				(void)make_pack(n);
			break;
		case 2:
		case 3:
			if (pack_count < PACKS_MAX / 4)
				must_add_own(*who, make_pack(n));
			break;
		case 4:
		case 5:
			if (pack_count > 0)
				remove_pack((size_t)rng_below(&rng,
							      pack_count));
			break;
		case 6:
		case 7:
			must_flush(*who);
			break;
		case 8:
			index_close(*who);
			*who = must_open();
			break;
		case 9:
			if (step % 5 == 0)
				assert_int_equal(index_reset(*who, NULL), 0);
			break;
		case 10:
			if (step % 5 == 0 && count_runs(&run) > 0)
				assert_int_equal(unlink(cache_path(run)), 0);
			break;
		default:
			(void)must_sync(*who);
			(void)find_all_or_reset(*who);
			must_find_all(*who);
			must_know_packs(*who, pack_count);
			break;
		}
	}
	for (step = 0; step < 2; step++) {
		(void)must_sync(x[step]);
		(void)find_all_or_reset(x[step]);
		must_find_all(x[step]);
		index_close(x[step]);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_sync_finds_what_is_there),
		TEST(a_sync_without_changes_reads_no_pack),
		TEST(the_index_outlives_the_process),
		TEST(packs_that_are_gone_are_not_found),
		TEST(names_that_are_no_packs_are_ignored),
		TEST(candidates_come_lowest_pack_first_and_no_more_than_asked),
		TEST(own_packs_are_found_at_once),
		TEST(own_packs_that_were_not_flushed_are_read_by_the_next),
		TEST(a_pack_added_twice_counts_once),
		TEST(many_own_packs_flush_themselves),
		TEST(own_packs_that_somebody_else_listed_are_listed_once),
		TEST(runs_are_merged_in_tiers),
		TEST(merging_drops_what_is_gone),
		TEST(an_index_that_is_mostly_dead_is_made_small),
		TEST(who_has_old_runs_open_reads_on),
		TEST(without_a_catalogue_everything_stays_here),
		TEST(many_own_packs_without_a_catalogue_stay_found),
		TEST(a_full_cache_is_no_failure),
		TEST(who_cannot_have_the_lock_goes_on_privately),
		TEST(without_locks_nothing_is_listed),
		TEST(what_another_did_meanwhile_is_not_done_again),
		TEST(a_pack_without_a_footer_is_told_each_time),
		TEST(the_sound_blocks_of_a_damaged_directory_are_known),
		TEST(a_pack_that_cannot_be_read_is_bad_for_now),
		TEST(a_missing_run_leads_to_an_empty_index_and_a_sync_fills_it),
		TEST(no_wrong_byte_in_a_run_misleads),
		TEST(damage_under_an_open_index_is_noticed),
		TEST(a_damaged_catalogue_is_made_again),
		TEST(old_leftovers_are_removed_young_ones_are_not),
		TEST(the_cache_may_vanish_under_an_open_index),
		TEST(any_failing_call_is_told_or_lived_with),
		TEST(any_failing_allocation_is_told_or_lived_with),
		TEST(look_ups_go_on_during_changes),
		TEST(several_processes_share_a_cache),
		TEST(any_sequence_of_events_ends_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
