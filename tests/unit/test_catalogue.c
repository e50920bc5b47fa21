#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/catalogue.h"

#include "base/buf.h"
#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/rng.h"
#include "tests/lib/scratch.h"

#include <lmdb.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define FIRST_MAP ((size_t)1 << 30)

static struct scratch scratch;
static int cache_fd;
static struct rng rng;

static int
set_up(void **state)
{
	(void)state;
	scratch_begin(&scratch);
	failing_install();
	rng.state = 20261121;
	cache_fd = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(cache_fd >= 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	catalogue_first_map(FIRST_MAP);
	assert_int_equal(close(cache_fd), 0);
	failing_remove();
	scratch_end(&scratch);
	return 0;
}

static struct catalogue *
must_open(void)
{
	struct catalogue *c = NULL;
	struct err e = { 0 };

	if (catalogue_open(cache_fd, scratch.path, &c, &e) != 0)
		fail_msg("%s", e.text);
	return c;
}

/* The name that `current` has, and the path of its data. */
static void
read_current(char out[64])
{
	size_t n = scratch_read(scratch_at(&scratch, "current"), out, 63);

	assert_true(n > 1);
	out[n - 1] = '\0';
}

static const char *
data_path(void)
{
	char name[64], path[128];

	read_current(name);
	(void)snprintf(path, sizeof(path), "%s/data.mdb", name);
	return scratch_at(&scratch, path);
}

/* --- contents ---------------------------------------------------------------- */

/* Pack `n`, its fields made from the number. */
static struct catalogue_pack
pack(uint32_t number)
{
	struct catalogue_pack p = { .number = number,
				    .chunks = number * 3,
				    .len = number * UINT64_C(1000003) };
	struct rng r = { number + 1 };

	rng_fill(&r, &p.id, sizeof(p.id));
	return p;
}

#define PACKS_MAX 20000

/* What a catalogue was heard to contain. */
struct heard {
	uint32_t packs[PACKS_MAX];
	size_t pack_count;
	char runs[64][CATALOGUE_RUN_NAME_MAX + 1];
	size_t run_count;
};

static int
hear_pack(void *ctx, const struct catalogue_pack *p, struct err *e)
{
	struct heard *h = ctx;
	struct catalogue_pack want = pack(p->number);

	(void)e;
	/* A value that passed its checksum is the one that was put. */
	assert_memory_equal(&p->id, &want.id, sizeof(want.id));
	assert_int_equal(p->chunks, want.chunks);
	assert_int_equal(p->len, want.len);
	assert_true(h->pack_count == 0 ||
		    h->packs[h->pack_count - 1] < p->number);
	assert_true(h->pack_count < PACKS_MAX);
	h->packs[h->pack_count++] = p->number;
	return 0;
}

static int
hear_run(void *ctx, const char *name, struct err *e)
{
	struct heard *h = ctx;

	(void)e;
	assert_true(h->run_count < 64);
	(void)snprintf(h->runs[h->run_count++], sizeof(h->runs[0]), "%s",
		       name);
	return 0;
}

static int
hear(struct catalogue *c, struct heard *h, struct err *e)
{
	memset(h, 0, sizeof(*h));
	if (catalogue_packs(c, hear_pack, h, e) < 0)
		return -1;
	return catalogue_runs(c, hear_run, h, e);
}

/* Packs first ... end - 1 are known, nothing else. */
static void
must_know(struct catalogue *c, uint32_t first, uint32_t end)
{
	static struct heard h;
	struct err e = { 0 };
	size_t i;

	if (hear(c, &h, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(h.pack_count, end - first);
	for (i = 0; i < h.pack_count; i++)
		assert_int_equal(h.packs[i], first + i);
}

static int
try_add(struct catalogue *c, uint32_t n, const char *run, struct err *e)
{
	struct catalogue_pack *packs = calloc(n, sizeof(*packs));
	struct catalogue_update u = {
		.packs = packs,
		.pack_count = n,
		.add_runs = &run,
		.add_run_count = run != NULL,
	};
	uint32_t first, i;
	int rc;

	assert_non_null(packs);
	rc = catalogue_take_numbers(c, n, &first, e);
	for (i = 0; rc == 0 && i < n; i++)
		packs[i] = pack(first + i);
	if (rc == 0)
		rc = catalogue_apply(c, &u, e);
	free(packs);
	return rc;
}

static void
must_add(struct catalogue *c, uint32_t n, const char *run)
{
	struct err e = { 0 };

	if (try_add(c, n, run, &e) < 0)
		fail_msg("%s", e.text);
}

static void
must_drop(struct catalogue *c, uint32_t first, uint32_t end)
{
	struct catalogue_update u = { .drop_pack_count = end - first };
	struct pack_id *ids = calloc(end - first, sizeof(*ids));
	struct err e = { 0 };
	uint32_t i;

	assert_non_null(ids);
	for (i = first; i < end; i++)
		ids[i - first] = pack(i).id;
	u.drop_packs = ids;
	if (catalogue_apply(c, &u, &e) < 0)
		fail_msg("%s", e.text);
	free(ids);
}

static uint64_t
sequence(struct catalogue *c)
{
	struct catalogue_stamp s;
	struct err e = { 0 };

	if (catalogue_refresh(c, &s, &e) < 0)
		fail_msg("%s", e.text);
	return s.sequence;
}

/* --- the tests ---------------------------------------------------------------- */

static void
what_was_applied_is_there_after_reopening(void **state)
{
	struct catalogue *c = must_open();
	struct heard h;
	struct err e = { 0 };

	(void)state;
	must_know(c, 1, 1);
	must_add(c, 300, "run.a");
	must_add(c, 200, "run.b");
	must_know(c, 1, 501);
	catalogue_close(c);
	c = must_open();
	must_know(c, 1, 501);
	assert_int_equal(hear(c, &h, &e), 0);
	assert_int_equal(h.run_count, 2);
	assert_string_equal(h.runs[0], "run.a");
	assert_string_equal(h.runs[1], "run.b");
	catalogue_close(c);
	catalogue_close(NULL);
}

static void
an_update_is_seen_whole(void **state)
{
	static const char *const old[] = { "run.a", "run.b", "run.none" };
	static const char *const new[] = { "run.c", "run.c" };
	struct catalogue *c = must_open();
	struct pack_id gone[] = { pack(1).id, pack(2).id, pack(77).id };
	struct catalogue_update u = {
		.drop_packs = gone, .drop_pack_count = 3,
		.add_runs = new,    .add_run_count = 2,
		.drop_runs = old,   .drop_run_count = 3,
	};
	struct heard h;
	struct err e = { 0 };
	uint64_t before;

	(void)state;
	must_add(c, 5, "run.a");
	must_add(c, 5, "run.b");
	before = sequence(c);
	assert_int_equal(catalogue_apply(c, &u, &e), 0);
	assert_int_equal(sequence(c), before + 1);
	must_know(c, 3, 11);
	assert_int_equal(hear(c, &h, &e), 0);
	assert_int_equal(h.run_count, 1);
	assert_string_equal(h.runs[0], "run.c");
	catalogue_close(c);
}

static void
a_pack_that_is_known_keeps_its_number(void **state)
{
	struct catalogue *c = must_open();
	struct catalogue_pack again = pack(2);
	struct catalogue_update u = { .packs = &again, .pack_count = 1 };
	struct err e = { 0 };

	(void)state;
	must_add(c, 4, NULL);
	assert_int_equal(
		catalogue_take_numbers(c, 1, &again.number, &e), 0);
	assert_int_equal(again.number, 5);
	assert_int_equal(catalogue_apply(c, &u, &e), 0);
	must_know(c, 1, 5);
	catalogue_close(c);
}

static void
numbers_are_never_given_twice(void **state)
{
	struct catalogue *c = must_open();
	uint32_t a, b, d;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(catalogue_take_numbers(c, 10, &a, &e), 0);
	assert_int_equal(catalogue_take_numbers(c, 1, &b, &e), 0);
	assert_int_equal(a, 1);
	assert_int_equal(b, 11);
	catalogue_close(c);
	c = must_open();
	assert_int_equal(catalogue_take_numbers(c, CATALOGUE_NUMBERS - 12, &d,
						&e),
			 0);
	assert_int_equal(d, 12);
	assert_int_equal(catalogue_take_numbers(c, 1, &d, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	catalogue_close(c);
}

static void
small_values_come_back(void **state)
{
	static uint8_t big[1 << 20];
	static const size_t lens[] = { 0, 1, 100, 2000, 5000, sizeof(big) };
	struct catalogue *c = must_open();
	struct buf out = { 0 };
	struct err e = { 0 };
	char key[200];
	size_t i;

	(void)state;
	rng_fill(&rng, big, sizeof(big));
	memset(key, 'k', sizeof(key));
	for (i = 0; i < N_OF(lens); i++) {
		size_t n = i == 0 ? 200 : i;

		assert_int_equal(catalogue_get(c, key, n, &out, &e), 1);
		if (catalogue_put(c, key, n, big, lens[i], &e) < 0)
			fail_msg("%s", e.text);
		buf_reset(&out);
		buf_add(&out, "x", 1);
		assert_int_equal(catalogue_get(c, key, n, &out, &e), 0);
		assert_int_equal(out.len, 1 + lens[i]);
		assert_memory_equal(out.data + 1, big, lens[i]);
	}
	assert_int_equal(catalogue_put(c, key, 1, "new", 3, &e), 0);
	buf_reset(&out);
	assert_int_equal(catalogue_get(c, key, 1, &out, &e), 0);
	assert_string_equal(buf_str(&out), "new");
	assert_int_equal(catalogue_put(c, key, 0, "new", 3, NULL), -1);
	assert_int_equal(catalogue_put(c, key, 201, "new", 3, NULL), -1);
	assert_int_equal(catalogue_put(c, key, 2, big, sizeof(big) + 1, NULL),
			 -1);
	must_know(c, 1, 1);
	buf_clear(&out);
	catalogue_close(c);
}

static void
two_handles_in_one_process_see_the_same(void **state)
{
	struct catalogue *a = must_open(), *b = must_open();

	(void)state;
	must_add(a, 10, "run.a");
	must_know(b, 1, 11);
	must_add(b, 10, "run.b");
	catalogue_close(a);
	must_know(b, 1, 21);
	catalogue_close(b);
}

static void
a_replaced_catalogue_is_followed(void **state)
{
	struct catalogue *a = must_open(), *b = must_open();
	struct catalogue_stamp before, after;
	struct err e = { 0 };
	char first[64], second[64];

	(void)state;
	must_add(a, 10, "run.a");
	read_current(first);
	assert_int_equal(catalogue_refresh(b, &before, &e), 0);
	assert_string_equal(before.name, first);
	assert_int_equal(catalogue_replace(a, &e), 0);
	read_current(second);
	assert_string_not_equal(first, second);
	must_know(a, 1, 1);
	/* Until it looks, the other one reads the old state unharmed. */
	must_know(b, 1, 11);
	assert_int_equal(catalogue_refresh(b, &after, &e), 0);
	assert_string_equal(after.name, second);
	must_know(b, 1, 1);
	must_add(a, 3, NULL);
	must_know(b, 1, 4);
	catalogue_close(a);
	catalogue_close(b);
	/* Nobody uses the old one any more: the next to come removes it. */
	a = must_open();
	assert_int_equal(access(scratch_at(&scratch, first), F_OK), -1);
	assert_int_equal(access(scratch_at(&scratch, second), F_OK), 0);
	catalogue_close(a);
}

static void
a_catalogue_in_use_is_not_removed(void **state)
{
	struct catalogue *a = must_open(), *b = must_open(), *c;
	struct err e = { 0 };
	char first[64];

	(void)state;
	must_add(a, 10, "run.a");
	read_current(first);
	assert_int_equal(catalogue_replace(a, &e), 0);
	c = must_open();
	assert_int_equal(access(scratch_at(&scratch, first), F_OK), 0);
	must_know(b, 1, 11);
	catalogue_close(c);
	catalogue_close(b);
	catalogue_close(a);
}

static void
the_stamp_changes_with_every_update(void **state)
{
	struct catalogue *c = must_open();
	struct err e = { 0 };

	(void)state;
	assert_int_equal(sequence(c), 0);
	must_add(c, 1, NULL); /* takes a number, and applies */
	assert_int_equal(sequence(c), 2);
	assert_int_equal(catalogue_put(c, "k", 1, "v", 1, &e), 0);
	assert_int_equal(sequence(c), 2);
	catalogue_close(c);
}

static void
the_map_grows(void **state)
{
	enum { LEN = 50000, N = 60 };
	static uint8_t value[LEN];
	struct buf out = { 0 };
	struct catalogue *c;
	struct err e = { 0 };
	int i;

	(void)state;
	catalogue_first_map(1 << 18);
	c = must_open();
	for (i = 0; i < N; i++) {
		value[0] = (uint8_t)i;
		if (catalogue_put(c, &i, sizeof(i), value, LEN, &e) < 0)
			fail_msg("%s", e.text);
	}
	must_add(c, 1000, "run.a");
	catalogue_close(c);
	c = must_open();
	for (i = 0; i < N; i++) {
		buf_reset(&out);
		assert_int_equal(catalogue_get(c, &i, sizeof(i), &out, &e), 0);
		assert_int_equal(out.len, LEN);
		assert_int_equal(out.data[0], i);
	}
	must_know(c, 1, 1001);
	buf_clear(&out);
	catalogue_close(c);
}

static void
a_sound_catalogue_is_never_taken_for_damaged(void **state)
{
	static uint8_t value[60000];
	struct catalogue *c = must_open();
	uint32_t first = 1, end = 1;
	char before[64], after[64];
	struct err e = { 0 };
	int round;

	(void)state;
	read_current(before);
	for (round = 0; round < 150; round++) {
		uint32_t n = (uint32_t)rng_below(&rng, 200) + 1;
		int key = (int)rng_below(&rng, 40);

		must_add(c, n, NULL);
		end += n;
		if (round % 3 == 0) {
			n = (uint32_t)rng_below(&rng, end - first);
			must_drop(c, first, first + n);
			first += n;
		}
		if (catalogue_put(c, &key, sizeof(key), value,
				  (size_t)rng_below(&rng, sizeof(value)),
				  &e) < 0)
			fail_msg("%s", e.text);
		catalogue_close(c);
		c = must_open();
		must_know(c, first, end);
	}
	read_current(after);
	assert_string_equal(before, after);
	catalogue_close(c);
}

/* --- other processes ---------------------------------------------------------- */

/*
 * A process that was forked while nothing was open (LMDB does not survive a
 * fork), and waits until it is let go.
 */
struct child {
	pid_t pid;
	int go; /* closing it lets it go */
};

static struct child
prepare_child(void (*fn)(void))
{
	struct child ch;
	int fds[2];
	char c;

	assert_int_equal(pipe(fds), 0);
	ch.pid = fork();
	assert_true(ch.pid >= 0);
	if (ch.pid == 0) {
		(void)close(fds[1]);
		(void)!read(fds[0], &c, 1);
		(void)close(fds[0]);
		fn();
		_exit(0);
	}
	assert_int_equal(close(fds[0]), 0);
	ch.go = fds[1];
	return ch;
}

static void
run_child(const struct child *ch)
{
	int status;

	assert_int_equal(close(ch->go), 0);
	assert_int_equal(waitpid(ch->pid, &status, 0), ch->pid);
	assert_int_equal(status, 0);
}

static void
child_fills(void)
{
	static uint8_t value[100000];
	struct catalogue *c = NULL;
	struct err e = { 0 };
	int i;

	if (catalogue_open(cache_fd, scratch.path, &c, &e) != 0)
		_exit(1);
	for (i = 0; i < 30; i++)
		if (catalogue_put(c, &i, sizeof(i), value, sizeof(value),
				  &e) < 0)
			_exit(2);
	if (try_add(c, 10, "run.child", &e) < 0)
		_exit(3);
	catalogue_close(c);
}

static void
another_process_may_grow_the_map(void **state)
{
	struct buf out = { 0 };
	struct catalogue *c;
	struct child child;
	struct err e = { 0 };
	int i = 29;

	(void)state;
	catalogue_first_map(1 << 18);
	child = prepare_child(child_fills);
	c = must_open();
	must_add(c, 10, "run.a");
	run_child(&child);
	must_know(c, 1, 21);
	assert_int_equal(catalogue_get(c, &i, sizeof(i), &out, &e), 0);
	assert_int_equal(out.len, 100000);
	must_add(c, 10, "run.b");
	must_know(c, 1, 31);
	buf_clear(&out);
	catalogue_close(c);
}

static void
child_updates(void)
{
	struct catalogue *c = NULL;
	struct err e = { 0 };

	if (catalogue_open(cache_fd, scratch.path, &c, &e) != 0)
		_exit(1);
	while (try_add(c, 1, NULL, &e) == 0)
		;
	_exit(2);
}

static void
a_process_that_is_killed_leaves_it_usable(void **state)
{
	static const struct timespec moment = { .tv_nsec = 20000000 };
	static struct heard h;
	struct catalogue *c;
	struct err e = { 0 };
	size_t before = 0;
	int round, status;

	(void)state;
	for (round = 0; round < 8; round++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			child_updates();
		(void)nanosleep(&moment, NULL);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		c = must_open();
		assert_int_equal(hear(c, &h, &e), 0);
		assert_true(h.pack_count >= before);
		before = h.pack_count;
		must_add(c, 1, NULL);
		catalogue_close(c);
	}
}

/* --- places that do not let us ------------------------------------------------- */

static void
without_a_map_there_is_no_catalogue(void **state)
{
	struct catalogue *c = NULL;
	struct err e = { 0 };

	(void)state;
	catalogue_first_map((size_t)1 << 47);
	assert_int_equal(catalogue_open(cache_fd, scratch.path, &c, &e), 1);
	assert_int_equal(e.kind, ERR_NONE);
}

static void
where_nothing_can_be_made_there_is_no_catalogue(void **state)
{
	static const int errors[] = { EROFS, EACCES, ENOSPC, EDQUOT };
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(errors); i++) {
		struct catalogue *c = NULL;
		struct err e = { 0 };

		failing_plan(FAIL_NAME, 1, true, errors[i]);
		assert_int_equal(
			catalogue_open(cache_fd, scratch.path, &c, &e), 1);
		failing_off();
		assert_int_equal(e.kind, ERR_NONE);
	}
}

static void
no_failing_call_is_fatal(void **state)
{
	struct catalogue *c = must_open();
	unsigned nth;

	(void)state;
	must_add(c, 10, "run.a");
	catalogue_close(c);
	for (nth = 1;; nth++) {
		struct err e = { 0 };
		int rc;

		c = NULL;
		failing_plan(FAIL_ALL, nth, false, EIO);
		rc = catalogue_open(cache_fd, scratch.path, &c, &e);
		if (failing_hits() == 0) {
			failing_off();
			assert_int_equal(rc, 0);
			catalogue_close(c);
			break;
		}
		failing_off();
		if (rc < 0)
			fail_msg("call %u: %s", nth, e.text);
		/* It is as it was, or a new one, or none. */
		catalogue_close(c);
	}
	assert_true(nth > 5);
}

static void
any_failing_allocation_is_told(void **state)
{
	struct catalogue *c = must_open();
	static struct heard h;
	unsigned nth, hits;
	int rc;

	(void)state;
	must_add(c, 10, "run.a");
	catalogue_close(c);
	for (nth = 1;; nth++) {
		struct buf out = { 0 };
		struct err e = { 0 };

		c = NULL;
		failing_plan_alloc(nth, false);
		rc = catalogue_open(cache_fd, scratch.path, &c, &e);
		if (rc == 0)
			rc = hear(c, &h, &e);
		if (rc == 0)
			rc = try_add(c, 2, "run.b", &e);
		if (rc == 0)
			rc = catalogue_put(c, "k", 1, "v", 1, &e);
		if (rc == 0)
			rc = catalogue_get(c, "k", 1, &out, &e);
		if (rc == 0)
			rc = catalogue_replace(c, &e);
		hits = failing_hits();
		failing_off();
		buf_clear(&out);
		catalogue_close(c);
		if (hits == 0)
			break;
		/* What only tidies up may fail in silence. */
		assert_true(rc == 0 || (rc == -1 && e.kind == ERR_NOMEM));
	}
	assert_int_equal(rc, 0);
	assert_true(nth > 20);
}

/* --- damage -------------------------------------------------------------------- */

static void
a_current_that_makes_no_sense_is_replaced(void **state)
{
	static const char *const rows[] = {
		"", "\n", "cat.\n", "../../etc\n", "cat.123\n",
		"cat.00112233445566778899aabbccddeeff",
		"cat.00112233445566778899aabbccddeeff\n",
		"cat.00112233445566778899AABBCCDDEEFF\n",
		"cat.00112233445566778899aabbccddeeff\n\n",
	};
	struct catalogue *c;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(rows); i++) {
		scratch_write(scratch_at(&scratch, "current"), rows[i],
			      strlen(rows[i]));
		c = must_open();
		must_know(c, 1, 1);
		must_add(c, 3, NULL);
		catalogue_close(c);
		c = must_open();
		must_know(c, 1, 4);
		catalogue_close(c);
	}
}

/* A catalogue with a history, so that there are free pages; then its bytes. */
static uint8_t original[4 << 20];
static size_t original_len;

static void
make_original(void)
{
	static uint8_t value[40000];
	struct catalogue *c = must_open();
	char name[] = "run.a";
	struct err e = { 0 };
	int i;

	for (i = 0; i < 10; i++, name[4]++)
		must_add(c, 60, name);
	for (i = 0; i < 20; i++)
		assert_int_equal(catalogue_put(c, &i, sizeof(i), value,
					       (size_t)i * 2000, &e),
				 0);
	for (i = 1; i <= 10; i++)
		must_drop(c, (uint32_t)i, (uint32_t)i + 1);
	must_know(c, 11, 601);
	catalogue_close(c);
	original_len = scratch_read(data_path(), original, sizeof(original));
	assert_true(original_len < sizeof(original));
}

/*
 * Open what is there now and use all of it.  Whatever it says is right; it
 * may say that it is damaged, and is then replaced and works.  Returns
 * whether everything was there.
 */
static bool
use_damaged(void)
{
	static struct heard h;
	struct catalogue *c = must_open();
	struct err e = { 0 };
	struct buf out = { 0 };
	bool whole;
	int i;

	whole = hear(c, &h, &e) == 0;
	if (!whole)
		assert_int_equal(e.kind, ERR_CORRUPT);
	/* What it says is all of what it had at some time, or a new one. */
	if (whole && h.pack_count != 590) {
		assert_true(h.pack_count % 60 == 0 || h.run_count == 10);
		assert_true(h.pack_count <= 60 * h.run_count);
		assert_true(h.pack_count + 60 > 60 * h.run_count);
		whole = false;
	}
	for (i = 0; i < 20; i++) {
		int rc;

		err_clear(&e);
		buf_reset(&out);
		rc = catalogue_get(c, &i, sizeof(i), &out, &e);
		if (rc == 0)
			assert_int_equal(out.len, (size_t)i * 2000);
		if (rc == -1)
			assert_int_equal(e.kind, ERR_CORRUPT);
	}
	buf_clear(&out);
	for (i = 0; i < 2; i++) {
		err_clear(&e);
		if (try_add(c, 30, "run.new", &e) < 0)
			assert_int_equal(e.kind, ERR_CORRUPT);
		err_clear(&e);
		if (hear(c, &h, &e) < 0)
			assert_int_equal(e.kind, ERR_CORRUPT);
	}
	err_clear(&e);
	if (catalogue_replace(c, &e) < 0)
		fail_msg("%s", e.text);
	must_add(c, 5, NULL);
	must_know(c, 1, 6);
	catalogue_close(c);
	return whole;
}

/* Put the catalogue that `current` named at first back, with these bytes. */
static void
put_back(const char *name, const uint8_t *p, size_t len)
{
	char line[80], path[128];

	(void)snprintf(line, sizeof(line), "%s\n", name);
	scratch_write(scratch_at(&scratch, "current"), line, strlen(line));
	(void)mkdir(scratch_at(&scratch, name), 0700);
	(void)snprintf(path, sizeof(path), "%s/data.mdb", name);
	scratch_write(scratch_at(&scratch, path), p, len);
}

static void
a_file_cut_anywhere_is_replaced(void **state)
{
	char name[64];
	size_t len, whole = 0;

	(void)state;
	make_original();
	read_current(name);
	for (len = 0; len <= original_len; len += len < 9000 ? 1111 : 20480) {
		put_back(name, original, len);
		whole += use_damaged();
	}
	/* The tail of the file may be pages that nobody uses. */
	assert_true(whole < original_len / 20480 / 2);
}

static void
no_wrong_bit_kills_or_misleads(void **state)
{
	enum { TRIALS = 150 };
	static uint8_t bytes[sizeof(original)];
	char name[64];
	size_t i, whole = 0, replaced = 0;

	(void)state;
	make_original();
	read_current(name);
	for (i = 0; i < TRIALS; i++) {
		/* Half of them where it hurts: the heads of the pages. */
		size_t at = (size_t)rng_below(&rng, original_len);

		if (i % 2 == 0)
			at = at / 4096 * 4096 + at % 160;
		memcpy(bytes, original, original_len);
		bytes[at] ^= (uint8_t)(1 << rng_below(&rng, 8));
		put_back(name, bytes, original_len);
		if (use_damaged())
			whole++;
		else
			replaced++;
	}
	assert_true(whole > 0 && replaced > TRIALS / 20);
}

static void
no_lost_or_misplaced_page_kills_or_misleads(void **state)
{
	enum { TRIALS = 120 };
	static uint8_t bytes[sizeof(original)];
	char name[64];
	size_t pages, i;

	(void)state;
	make_original();
	read_current(name);
	pages = original_len / 4096;
	for (i = 0; i < TRIALS; i++) {
		uint8_t *page = bytes + rng_below(&rng, pages) * 4096;

		memcpy(bytes, original, original_len);
		if (i % 3 == 0)
			memset(page, 0, 4096);
		else if (i % 3 == 1)
			memmove(page, bytes + rng_below(&rng, pages) * 4096,
				4096);
		else
			rng_fill(&rng, page, 4096);
		put_back(name, bytes, original_len);
		(void)use_damaged();
	}
}

/* --- pages that contradict themselves ------------------------------------------ */

/* Where things are in the file; see store/catcheck.c. */
static uint64_t
get(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

static void
set(uint8_t *p, size_t n, uint64_t v)
{
	memcpy(p, &v, n);
}

static uint8_t *
newest_meta(uint8_t *file)
{
	return get(file + 144, 8) > get(file + 4096 + 144, 8) ? file :
								file + 4096;
}

static uint8_t *
node(uint8_t *page, size_t i)
{
	return page + get(page + 16 + 2 * i, 2);
}

/* The first leaf of the data, and its branch (NULL: the root is a leaf). */
static uint8_t *
first_leaf(uint8_t *file, uint8_t **branch)
{
	uint8_t *p = file + get(newest_meta(file) + 128, 8) * 4096;

	*branch = NULL;
	while (get(p + 10, 2) == 1) {
		*branch = p;
		p = file + get(node(p, 0), 4) * 4096;
	}
	return p;
}

static uint8_t *
free_leaf(uint8_t *file)
{
	uint8_t *p = file + get(newest_meta(file) + 80, 8) * 4096;

	assert_int_equal(get(p + 10, 2), 2);
	return p;
}

/* A value in overflow pages. */
static uint8_t *
big_node(uint8_t *file)
{
	uint8_t *p;
	size_t i, n;

	for (p = file + 8192; p < file + original_len; p += 4096) {
		n = get(p + 10, 2) == 2 ? (get(p + 12, 2) - 16) / 2 : 0;
		for (i = 0; i < n; i++)
			if (get(node(p, i) + 4, 2) == 1 &&
			    get(node(p, i) + 6, 2) == 5)
				return node(p, i);
	}
	fail_msg("no value in overflow pages");
	return NULL;
}

enum place { META, BOTH_METAS, BRANCH, LEAF, NODE, BRANCH_NODE, FREE, BIG };

static uint8_t *
place_in(uint8_t *file, enum place where)
{
	uint8_t *branch, *leaf = first_leaf(file, &branch);

	assert_non_null(branch);
	switch (where) {
	case META:
	case BOTH_METAS:
		return newest_meta(file);
	case BRANCH:
		return branch;
	case LEAF:
		return leaf;
	case NODE:
		return node(leaf, 1);
	case BRANCH_NODE:
		return node(branch, 1);
	case FREE:
		return node(free_leaf(file), 0);
	default:
		return big_node(file);
	}
}

static void
pages_that_contradict_themselves_are_refused(void **state)
{
	static const struct {
		const char *what;
		enum place where;
		size_t at, n;
		uint64_t value;
	} rows[] = {
		{ "magic", META, 16, 4, 0 },
		{ "version", META, 20, 4, 2 },
		{ "no meta page", META, 10, 2, 2 },
		{ "page length 0", BOTH_METAS, 40, 4, 0 },
		{ "page length 3", BOTH_METAS, 40, 4, 3 },
		{ "page length 2^20", BOTH_METAS, 40, 4, 1 << 20 },
		{ "page length 2^31", BOTH_METAS, 40, 4, UINT32_C(1) << 31 },
		{ "last page far away", BOTH_METAS, 136, 8, UINT64_MAX / 8 },
		{ "last page 2", META, 136, 8, 2 },
		{ "duplicates", META, 92, 2, 4 },
		{ "free pages with duplicates", META, 44, 2, 12 },
		{ "depth 0", META, 94, 2, 0 },
		{ "depth 1", META, 94, 2, 1 },
		{ "depth 9", META, 94, 2, 9 },
		{ "depth 999", META, 94, 2, 999 },
		{ "entries", META, 120, 8, 1 },
		{ "root nowhere", META, 128, 8, UINT64_MAX },
		{ "root is a meta page", META, 128, 8, 1 },
		{ "root far away", META, 128, 8, 1 << 30 },
		{ "other page's number", LEAF, 0, 8, 2 },
		{ "leaf is a branch", LEAF, 10, 2, 1 },
		{ "leaf of fixed keys", LEAF, 10, 2, 0x22 },
		{ "lower below the header", LEAF, 12, 2, 14 },
		{ "lower odd", LEAF, 12, 2, 19 },
		{ "lower above upper", LEAF, 12, 2, 4094 },
		{ "upper behind the page", LEAF, 14, 2, 4098 },
		{ "no nodes", LEAF, 12, 2, 16 },
		{ "node in the header", LEAF, 16, 2, 8 },
		{ "node behind the page", LEAF, 18, 2, 4094 },
		{ "node odd", LEAF, 18, 2, 4001 },
		{ "branch of one", BRANCH, 12, 2, 18 },
		{ "data too long", NODE, 0, 4, 60000 },
		{ "data far too long", NODE, 0, 4, UINT32_MAX },
		{ "a database in a node", NODE, 4, 2, 2 },
		{ "key too long", NODE, 6, 2, 4090 },
		{ "key longer than any", NODE, 6, 2, 600 },
		{ "key of nothing", NODE, 6, 2, 0 },
		{ "child is a meta page", BRANCH_NODE, 0, 4, 0 },
		{ "child is far away", BRANCH_NODE, 0, 4, UINT32_MAX },
		{ "child farther away", BRANCH_NODE, 4, 2, 0xffff },
		{ "separator too long", BRANCH_NODE, 6, 2, 4090 },
		{ "separator too large", BRANCH_NODE, 8, 1, 0xff },
		{ "separator too small", BRANCH_NODE, 8, 1, 0 },
		{ "key of the free pages", FREE, 6, 2, 7 },
		{ "free pages too many", FREE, 16, 8, 10000 },
		{ "free page is a meta page", FREE, 24, 8, 1 },
		{ "free page far away", FREE, 24, 8, 1 << 30 },
		{ "value in a meta page", BIG, 8 + 5, 8, 0 },
		{ "value far away", BIG, 8 + 5, 8, 1 << 30 },
		{ "value longer than its pages", BIG, 0, 4, 500000 },
	};
	static uint8_t bytes[sizeof(original)];
	char name[64];
	size_t i;

	(void)state;
	make_original();
	read_current(name);
	for (i = 0; i < N_OF(rows); i++) {
		uint8_t *p;

		memcpy(bytes, original, original_len);
		p = place_in(bytes, rows[i].where) + rows[i].at;
		set(p, rows[i].n, rows[i].value);
		if (rows[i].where == BOTH_METAS)
			set(bytes + ((size_t)(p - bytes) ^ 4096), rows[i].n,
			    rows[i].value);
		put_back(name, bytes, original_len);
		if (use_damaged())
			fail_msg("%s: accepted", rows[i].what);
	}
}

static void
a_page_that_is_free_and_in_use_is_noticed(void **state)
{
	static uint8_t bytes[sizeof(original)];
	uint8_t *list, *branch, *leaf;
	char name[64];

	(void)state;
	make_original();
	read_current(name);
	memcpy(bytes, original, original_len);
	leaf = first_leaf(bytes, &branch);
	list = node(free_leaf(bytes), 0) + 16;
	assert_true(get(list, 8) >= 1);
	set(list, 8, 1);
	set(list + 8, 8, (uint64_t)(leaf - bytes) / 4096);
	put_back(name, bytes, original_len);
	assert_false(use_damaged());
	/* The same leaf twice in one branch. */
	memcpy(bytes, original, original_len);
	leaf = first_leaf(bytes, &branch);
	set(node(branch, 1), 4, (uint64_t)(leaf - bytes) / 4096);
	put_back(name, bytes, original_len);
	assert_false(use_damaged());
}

/* Work in the current catalogue's file with LMDB, behind our back. */
static void
with_lmdb(void (*fn)(MDB_txn *txn, MDB_dbi dbi))
{
	char name[64];
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	read_current(name);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(
		mdb_env_open(env, scratch_at(&scratch, name), 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	fn(txn, dbi);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void
delete_pack(MDB_txn *txn, MDB_dbi dbi)
{
	char key[] = { 'P', 0, 0, 0, 3 };
	MDB_val k = { sizeof(key), key };

	assert_int_equal(mdb_del(txn, dbi, &k, NULL), 0);
}

static void
delete_run(MDB_txn *txn, MDB_dbi dbi)
{
	char key[] = "Rrun.a";
	MDB_val k = { 6, key };

	assert_int_equal(mdb_del(txn, dbi, &k, NULL), 0);
}

static void
delete_state(MDB_txn *txn, MDB_dbi dbi)
{
	char key[] = "S";
	MDB_val k = { 1, key };

	assert_int_equal(mdb_del(txn, dbi, &k, NULL), 0);
}

/* The value of one pack under the number of another. */
static void
exchange_packs(MDB_txn *txn, MDB_dbi dbi)
{
	char three[] = { 'P', 0, 0, 0, 3 }, four[] = { 'P', 0, 0, 0, 4 };
	MDB_val k = { sizeof(three), three }, v;
	char copy[256];

	assert_int_equal(mdb_get(txn, dbi, &k, &v), 0);
	assert_true(v.mv_size <= sizeof(copy));
	memcpy(copy, v.mv_data, v.mv_size);
	v.mv_data = copy;
	k.mv_data = four;
	assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
}

static void
records_that_were_lost_or_exchanged_are_noticed(void **state)
{
	static void (*const rows[])(MDB_txn *, MDB_dbi) = {
		delete_pack, delete_run, delete_state, exchange_packs
	};
	static struct heard h;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(rows); i++) {
		struct catalogue *c = must_open();
		struct err e = { 0 };

		must_add(c, 10, "run.a");
		catalogue_close(c);
		with_lmdb(rows[i]);
		c = must_open();
		assert_int_equal(hear(c, &h, &e), -1);
		assert_int_equal(e.kind, ERR_CORRUPT);
		err_clear(&e);
		assert_int_equal(catalogue_replace(c, &e), 0);
		must_know(c, 1, 1);
		catalogue_close(c);
	}
}

static void
a_damaged_lock_file_does_not_matter(void **state)
{
	struct catalogue *c = must_open();
	char name[64], path[128];
	size_t i;

	(void)state;
	must_add(c, 10, "run.a");
	catalogue_close(c);
	read_current(name);
	(void)snprintf(path, sizeof(path), "%s/lock.mdb", name);
	for (i = 0; i < 40; i++) {
		uint8_t junk[8192];
		size_t n = (size_t)rng_below(&rng, sizeof(junk));

		rng_fill(&rng, junk, sizeof(junk));
		scratch_write(scratch_at(&scratch, path), junk, n);
		c = must_open();
		must_know(c, 1, 11);
		catalogue_close(c);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_was_applied_is_there_after_reopening),
		TEST(an_update_is_seen_whole),
		TEST(a_pack_that_is_known_keeps_its_number),
		TEST(numbers_are_never_given_twice),
		TEST(small_values_come_back),
		TEST(two_handles_in_one_process_see_the_same),
		TEST(a_replaced_catalogue_is_followed),
		TEST(a_catalogue_in_use_is_not_removed),
		TEST(the_stamp_changes_with_every_update),
		TEST(the_map_grows),
		TEST(a_sound_catalogue_is_never_taken_for_damaged),
		TEST(another_process_may_grow_the_map),
		TEST(a_process_that_is_killed_leaves_it_usable),
		TEST(without_a_map_there_is_no_catalogue),
		TEST(where_nothing_can_be_made_there_is_no_catalogue),
		TEST(no_failing_call_is_fatal),
		TEST(any_failing_allocation_is_told),
		TEST(a_current_that_makes_no_sense_is_replaced),
		TEST(a_file_cut_anywhere_is_replaced),
		TEST(no_wrong_bit_kills_or_misleads),
		TEST(no_lost_or_misplaced_page_kills_or_misleads),
		TEST(pages_that_contradict_themselves_are_refused),
		TEST(a_page_that_is_free_and_in_use_is_noticed),
		TEST(records_that_were_lost_or_exchanged_are_noticed),
		TEST(a_damaged_lock_file_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
