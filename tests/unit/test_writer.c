#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/writer.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "store/frame.h"
#include "store/pack.h"
#include "tests/lib/store_fixture.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

static struct fixture f;

/* Small frames and packs, so that a few chunks fill several. */
static const struct writer_options small = {
	.threads = 2,
	.data_frame = 4096,
	.meta_frame = 2048,
	.pack_len = 12000,
};

static int
set_up(void **state)
{
	(void)state;
	fixture_begin(&f);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	fixture_end(&f);
	return 0;
}

static void
reopen(const struct writer_options *opt)
{
	fixture_close(&f);
	fixture_open(&f, NULL);
	fixture_open_writer(&f, opt);
}

/* --- what is put is there ------------------------------------------------- */

static void
chunks_of_every_kind_and_length_are_read_back(void **state)
{
	static const size_t lens[] = { 1,    2,     100,      2047,
				       2048, 2049,  4095,     4096,
				       4097, 70000, 1u << 20, 1500000 };
	struct id ids[KIND_LIST + 1][N_OF(lens)];
	struct err e = { 0 };
	unsigned kind;
	unsigned i;

	(void)state;
	reopen(&small);
	for (kind = KIND_DATA; kind <= KIND_LIST; kind++)
		for (i = 0; i < N_OF(lens); i++)
			MUST(fixture_put(&f, kind, i, lens[i], &ids[kind][i],
					 NULL, &e),
			     &e);
	MUST(writer_flush(f.writer, &e), &e);
	for (kind = KIND_DATA; kind <= KIND_LIST; kind++)
		for (i = 0; i < N_OF(lens); i++)
			MUST(fixture_get(&f, kind, i, lens[i], &ids[kind][i],
					 &e),
			     &e);
	reopen(&small);
	for (kind = KIND_DATA; kind <= KIND_LIST; kind++)
		for (i = 0; i < N_OF(lens); i++)
			MUST(fixture_get(&f, kind, i, lens[i], &ids[kind][i],
					 &e),
			     &e);
}

static void
the_sink_computes_the_id(void **state)
{
	struct chunk_sink *s;
	struct id want;
	struct id got;
	struct chunk c = { 0 };
	struct err e = { 0 };

	(void)state;
	reopen(NULL);
	s = writer_sink(f.writer);
	MUST(chunk_put(s, KIND_MAP, "some node", 9, &got, &e), &e);
	id_compute(&f.repository->keys, KIND_MAP, "some node", 9, &want);
	assert_true(id_equal(&got, &want));
	assert_int_equal(chunk_put(s, KIND_RECORD, "some node", 9, &got, NULL),
			 -1);
	assert_int_equal(chunk_put(s, KIND_DATA, "", 0, &got, NULL), -1);
	assert_true(id_equal(&got, &want));
	MUST(writer_flush(f.writer, &e), &e);
	MUST(chunk_get(store_reader(f.store), KIND_MAP, &got, &c, &e), &e);
	assert_int_equal(c.len, 9);
	assert_memory_equal(c.data, "some node", 9);
	chunk_release(store_reader(f.store), &c);
}

/* Options beyond what the format can hold are brought within it. */
static void
options_are_kept_within_the_limits(void **state)
{
	static const struct writer_options huge = {
		.threads = 1000000,
		.level = 1,
		.data_frame = UINT32_MAX,
		.meta_frame = UINT32_MAX,
		.pack_len = UINT32_MAX,
	};
	struct id ids[2];

	(void)state;
	reopen(&huge);
	fixture_fill(&f, KIND_TREE, 0, 2, 1000, ids);
	fixture_must_get(&f, KIND_TREE, 0, 2, 1000, ids);
}

static void
nonsense_is_refused_without_harm(void **state)
{
	static const struct {
		enum id_kind kind;
		size_t len;
	} rows[] = {
		{ 0, 1 },
		{ KIND_RECORD, 1 },
		{ 7, 1 },
		{ KIND_DATA, 0 },
		{ KIND_DATA, CHUNK_LEN_MAX + 1 },
	};
	struct id id = { { 1 } };
	struct err e = { 0 };
	size_t i;

	(void)state;
	reopen(&small);
	for (i = 0; i < N_OF(rows); i++) {
		err_clear(&e);
		assert_int_equal(writer_put(f.writer, rows[i].kind, &id, "",
					    rows[i].len, false, NULL, &e),
				 -1);
		assert_int_equal(e.kind, ERR_USAGE);
	}
	fixture_fill(&f, KIND_DATA, 0, 3, 100, &(struct id[3]){ 0 }[0]);
}

/* --- once ---------------------------------------------------------------- */

static void
a_chunk_is_stored_once(void **state)
{
	struct writer_stats stats;
	struct id id;
	struct err e = { 0 };
	bool fresh;
	int i;

	(void)state;
	reopen(&small);
	MUST(fixture_put(&f, KIND_DATA, 1, 500, &id, &fresh, &e), &e);
	assert_true(fresh);
	MUST(fixture_put(&f, KIND_DATA, 1, 500, &id, &fresh, &e), &e);
	assert_false(fresh); /* it is in an open frame */
	for (i = 0; i < 2; i++) {
		MUST(writer_flush(f.writer, &e), &e);
		MUST(fixture_put(&f, KIND_DATA, 1, 500, &id, &fresh, &e), &e);
		assert_false(fresh); /* it is in a pack */
	}
	writer_stats(f.writer, &stats);
	assert_int_equal(stats.chunks_new, 1);
	assert_int_equal(stats.chunks_known, 3);
	assert_int_equal(stats.bytes_new, 500);
	assert_int_equal(stats.packs, 1);
	reopen(&small);
	MUST(fixture_put(&f, KIND_DATA, 1, 500, &id, &fresh, &e), &e);
	assert_false(fresh); /* another process stored it */
	MUST(fixture_put(&f, KIND_TREE, 1, 500, &id, &fresh, &e), &e);
	assert_true(fresh); /* the same bytes, but a node */
	MUST(writer_flush(f.writer, &e), &e);
	assert_int_equal(fixture_packs(&f, NULL, 0), 2);
}

static void
a_chunk_whose_pack_is_gone_is_stored_again(void **state)
{
	char names[1][256];
	struct err e = { 0 };
	struct id id;
	bool fresh;

	(void)state;
	reopen(&small);
	fixture_fill(&f, KIND_DATA, 1, 1, 500, &id);
	assert_int_equal(fixture_packs(&f, names, 1), 1);
	assert_int_equal(unlink(fixture_at(&f, "packs", names[0])), 0);
	MUST(store_refresh(f.store, &e), &e);
	MUST(fixture_put(&f, KIND_DATA, 1, 500, &id, &fresh, &e), &e);
	assert_true(fresh);
}

static void
nothing_new_makes_no_pack(void **state)
{
	struct err e = { 0 };
	struct id ids[3];

	(void)state;
	reopen(&small);
	MUST(writer_flush(f.writer, &e), &e);
	assert_int_equal(fixture_packs(&f, NULL, 0), 0);
	fixture_fill(&f, KIND_DATA, 0, 3, 100, ids);
	MUST(writer_flush(f.writer, &e), &e);
	fixture_fill(&f, KIND_DATA, 0, 3, 100, ids);
	assert_int_equal(fixture_packs(&f, NULL, 0), 1);
}

static void
what_was_not_flushed_is_thrown_away(void **state)
{
	char names[4][256];
	struct id id;
	struct err e = { 0 };
	unsigned i;

	(void)state;
	reopen(&(struct writer_options){
		.threads = 1, .data_frame = 4096, .pack_len = 1u << 20 });
	for (i = 0; i < 40; i++)
		MUST(fixture_put(&f, KIND_DATA, i, 1000, &id, NULL, &e), &e);
	writer_close(f.writer);
	f.writer = NULL;
	assert_int_equal(fixture_packs(&f, names, 4), 0);
	assert_int_equal(rmdir(fixture_at(&f, "packs", "")), 0);
	assert_int_equal(mkdir(fixture_at(&f, "packs", ""), 0700), 0);
}

/* --- the condemned -------------------------------------------------------- */

static void
condemn(const char *pack_name_text)
{
	struct buf b = { 0 };
	unsigned char hash[16];
	struct pack_id id;

	assert_true(pack_name_parse(pack_name_text, &id));
	wr_bytes(&b, "asofcond", 8);
	wr_u32(&b, 1);
	wr_u32(&b, 1);
	wr_bytes(&b, id.b, sizeof(id.b));
	hash_plain(b.data, b.len, hash, sizeof(hash));
	wr_bytes(&b, hash, sizeof(hash));
	scratch_write(fixture_at(&f, "condemned", "1"), b.data, b.len);
	buf_clear(&b);
}

static void
a_chunk_in_a_condemned_pack_is_stored_again(void **state)
{
	char names[2][256];
	struct id id;
	struct err e = { 0 };
	bool fresh;

	(void)state;
	reopen(&small);
	fixture_fill(&f, KIND_DATA, 1, 1, 500, &id);
	assert_int_equal(fixture_packs(&f, names, 2), 1);
	condemn(names[0]);
	reopen(&small);
	MUST(fixture_put(&f, KIND_DATA, 1, 500, &id, &fresh, &e), &e);
	assert_true(fresh);
	MUST(writer_flush(f.writer, &e), &e);
	assert_int_equal(fixture_packs(&f, names, 2), 2);
	MUST(fixture_put(&f, KIND_DATA, 1, 500, &id, &fresh, &e), &e);
	assert_false(fresh);
}

static void
without_the_condemned_list_nothing_is_written(void **state)
{
	struct err e = { 0 };

	(void)state;
	scratch_write(fixture_at(&f, "condemned", "1"), "rubbish", 7);
	fixture_open(&f, NULL);
	assert_int_equal(writer_open(f.store, NULL, &f.writer, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
}

static void
a_repository_that_cannot_be_written_has_no_writer(void **state)
{
	struct err e = { 0 };

	(void)state;
	fixture_open(&f, NULL);
	f.repository->read_only = true;
	assert_int_equal(writer_open(f.store, NULL, &f.writer, &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
}

/* --- frames and packs ----------------------------------------------------- */

/* Call fn for every block of every pack. */
static void
each_block(void (*fn)(const struct pack_block *b))
{
	struct frame_coder *c;
	char names[64][256];
	size_t n = fixture_packs(&f, names, 64);
	size_t i;
	uint32_t j;

	assert_true(n <= 64);
	assert_int_equal(frame_coder_new(&c, NULL), 0);
	for (i = 0; i < n; i++) {
		struct pack_block *b;
		struct pack_id id;
		struct pack *p;

		assert_true(pack_name_parse(names[i], &id));
		assert_int_equal(
			pack_open(f.repository->packs_fd, &id, &p, NULL), 0);
		for (j = 0; j < pack_blocks(p); j++) {
			assert_int_equal(pack_load_block(p, c, j, &b, NULL), 0);
			fn(b);
			pack_block_free(b);
		}
		pack_close(p);
	}
	frame_coder_free(c);
}

static struct id ordered[200];
static unsigned order_seen, frames_seen, alone_seen;

static void
check_order(const struct pack_block *b)
{
	unsigned i;

	for (i = 0; i < b->chunks; i++)
		assert_true(id_equal(&b->id[i], &ordered[order_seen++]));
	for (i = 0; i < b->frames; i++) {
		assert_true(b->frame[i].raw_len <= 4096);
		frames_seen++;
	}
}

static void
a_frame_holds_chunks_in_the_order_of_the_puts(void **state)
{
	(void)state;
	reopen(&(struct writer_options){ .threads = 1, .data_frame = 4096 });
	fixture_fill(&f, KIND_DATA, 0, 200, 300, ordered);
	order_seen = frames_seen = 0;
	each_block(check_order);
	assert_int_equal(order_seen, 200);
	assert_int_equal(frames_seen, (200 + 12) / 13);
}

static void
count_kinds(const struct pack_block *b)
{
	unsigned i;

	for (i = 0; i < b->chunks; i++) {
		const struct pack_frame_at *at = &b->frame[b->frame_of[i]];

		/* The length says the kind: see the test. */
		assert_int_equal(b->len[i], 100u + at->kind);
		order_seen++;
	}
	for (i = 0; i < b->frames; i++) {
		frames_seen++;
		alone_seen += b->frame[i].chunks == 1;
	}
}

static void
kinds_never_share_a_frame(void **state)
{
	struct err e = { 0 };
	struct id id;
	unsigned kind;
	unsigned i;

	(void)state;
	reopen(&small);
	for (i = 0; i < 30; i++)
		for (kind = KIND_DATA; kind <= KIND_LIST; kind++)
			MUST(fixture_put(&f, kind, i, 100 + kind, &id, NULL,
					 &e),
			     &e);
	MUST(writer_flush(f.writer, &e), &e);
	order_seen = 0;
	each_block(count_kinds);
	assert_int_equal(order_seen, 150);
}

static void
a_chunk_put_alone_has_a_frame_of_its_own(void **state)
{
	uint8_t bytes[101];
	struct err e = { 0 };
	struct id id;
	unsigned i;

	(void)state;
	reopen(NULL);
	for (i = 0; i < 20; i++) {
		fixture_bytes(i, bytes, sizeof(bytes));
		id_compute(&f.repository->keys, KIND_DATA, bytes, sizeof(bytes),
			   &id);
		MUST(writer_put(f.writer, KIND_DATA, &id, bytes, sizeof(bytes),
				i % 2 == 0, NULL, &e),
		     &e);
	}
	MUST(writer_flush(f.writer, &e), &e);
	frames_seen = alone_seen = order_seen = 0;
	each_block(count_kinds);
	assert_int_equal(order_seen, 20);
	assert_int_equal(frames_seen, 11);
	assert_int_equal(alone_seen, 10);
}

static void
packs_end_when_they_are_long_enough(void **state)
{
	struct writer_stats stats;
	char names[32][256];
	struct id ids[200];
	uint64_t sum = 0;
	size_t n;
	size_t i;

	(void)state;
	reopen(&small);
	fixture_fill(&f, KIND_DATA, 0, 200, 1000, ids);
	n = fixture_packs(&f, names, 32);
	assert_true(n >= 8 && n <= 20);
	for (i = 0; i < n; i++) {
		off_t len = scratch_size(fixture_at(&f, "packs", names[i]));

		assert_true(len < 12000 + 4096 + 8000);
		sum += (uint64_t)len;
	}
	writer_stats(f.writer, &stats);
	assert_int_equal(stats.packs, n);
	assert_int_equal(stats.bytes_stored, sum);
	fixture_must_get(&f, KIND_DATA, 0, 200, 1000, ids);
}

static void
check_chunk_count(const struct pack_block *b)
{
	unsigned i;

	order_seen += b->chunks;
	for (i = 0; i < b->frames; i++) /* not those of the block before */
		frames_seen += b->frame[i].first_offset == 0;
}

/* A frame's ids must not outweigh its bytes: see FRAME_CHUNKS. */
static void
a_frame_of_tiny_chunks_ends_early(void **state)
{
	struct err e = { 0 };
	uint32_t i;
	struct id id;

	(void)state;
	reopen(NULL);
	for (i = 0; i < 20000; i++) {
		id_compute(&f.repository->keys, KIND_DATA, &i, sizeof(i), &id);
		MUST(writer_put(f.writer, KIND_DATA, &id, &i, sizeof(i), false,
				NULL, &e),
		     &e);
	}
	MUST(writer_flush(f.writer, &e), &e);
	order_seen = frames_seen = 0;
	each_block(check_chunk_count);
	assert_int_equal(order_seen, 20000);
	assert_int_equal(frames_seen, 3); /* of at most 8192 chunks */
}

/* --- proof before acceptance --------------------------------------------- */

/* As when memory is bad: the bytes are not those that the id is of. */
static void
bytes_that_do_not_match_their_id_never_get_into_a_pack(void **state)
{
	struct err e = { 0 };
	struct id id;
	struct id good;

	(void)state;
	reopen(&small);
	MUST(fixture_put(&f, KIND_DATA, 1, 300, &good, NULL, &e), &e);
	id_compute(&f.repository->keys, KIND_DATA, "right", 5, &id);
	MUST(writer_put(f.writer, KIND_DATA, &id, "wrong", 5, false, NULL, &e),
	     &e);
	assert_int_equal(writer_flush(f.writer, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_non_null(strstr(e.text, "did not survive"));
	assert_int_equal(fixture_packs(&f, NULL, 0), 0);
}

/* --- order of writing ---------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	char calls[4000];
	size_t n;
} trace = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
note(char c)
{
	(void)pthread_mutex_lock(&trace.lock);
	if (trace.n + 1 < sizeof(trace.calls))
		trace.calls[trace.n++] = c;
	(void)pthread_mutex_unlock(&trace.lock);
}

/* Where an open descriptor leads. */
static bool
is_in(int fd, const char *part)
{
	char link[64];
	char path[600];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return strstr(path, part) != NULL;
}

static ssize_t
trace_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (is_in(fd, "/r/packs/"))
		note('w');
	return sys_real.pwrite(fd, p, n, at);
}

static int
trace_fsync(int fd)
{
	if (is_in(fd, "/r/packs/"))
		note('s');
	else if (is_in(fd, "/r/packs"))
		note('D');
	return sys_real.fsync(fd);
}

static int
trace_renameat2(int a, const char *p, int b, const char *q, unsigned flags)
{
	if (is_in(b, "/r/packs"))
		note('n');
	return sys_real.renameat2(a, p, b, q, flags);
}

static void
a_pack_is_synced_then_named_then_its_name_synced(void **state)
{
	struct sys_ops ops = sys_real;
	struct id ids[3];

	(void)state;
	reopen(&small);
	ops.pwrite = trace_pwrite;
	ops.fsync = trace_fsync;
	ops.renameat2 = trace_renameat2;
	sys_repo = &ops;
	fixture_fill(&f, KIND_DATA, 0, 3, 1000, ids);
	failing_install();
	/* The last sync of the directory is the flush's own. */
	trace.calls[trace.n] = '\0';
	assert_int_equal(strspn(trace.calls, "w"), trace.n - 4);
	assert_string_equal(trace.calls + trace.n - 4, "snDD");
}

/* Another process's packs are visible before their names are durable. */
static void
a_flush_makes_the_names_of_known_chunks_durable_too(void **state)
{
	struct id ids[3];
	struct err e = { 0 };

	(void)state;
	reopen(&small);
	fixture_fill(&f, KIND_DATA, 0, 3, 1000, ids);
	reopen(&small);
	MUST(fixture_put(&f, KIND_DATA, 0, 1000, &ids[0], NULL, &e), &e);
	failing_plan(FAIL_SYNC, 1, true, EIO);
	assert_int_equal(writer_flush(f.writer, &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	failing_off();
}

static void
a_failed_fsync_ends_the_run_and_is_not_repeated(void **state)
{
	struct err e = { 0 };
	struct err again = { 0 };
	struct id id;
	int i;

	(void)state;
	reopen(&small);
	MUST(fixture_put(&f, KIND_DATA, 0, 1000, &id, NULL, &e), &e);
	failing_plan(FAIL_SYNC, 1, false, EIO);
	assert_int_equal(writer_flush(f.writer, &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	assert_int_equal(e.saved_errno, EIO);
	assert_int_equal(failing_calls(), 1);
	for (i = 0; i < 2; i++) {
		err_clear(&again);
		assert_int_equal(writer_flush(f.writer, &again), -1);
		assert_string_equal(again.text, e.text);
		err_clear(&again);
		assert_int_equal(
			fixture_put(&f, KIND_DATA, 7, 100, &id, NULL, &again),
			-1);
		assert_string_equal(again.text, e.text);
	}
	assert_int_equal(failing_calls(), 1);
	failing_off();
	assert_int_equal(fixture_packs(&f, NULL, 0), 0);
}

/* --- several threads ------------------------------------------------------ */

#define THREADS       8
#define SHARED_CHUNKS 300

static struct id shared_ids[SHARED_CHUNKS];
static atomic_uint fresh_count;

static size_t
shared_len(unsigned n)
{
	return 200 + n * 37 % 3000;
}

/* All threads put the same chunks, each from another place on. */
static void *
put_shared(void *arg)
{
	unsigned first = *(unsigned *)arg * (SHARED_CHUNKS / THREADS);
	struct err e = { 0 };
	bool fresh;
	unsigned i;

	for (i = 0; i < SHARED_CHUNKS; i++) {
		unsigned n = (first + i) % SHARED_CHUNKS;
		struct id id;

		if (fixture_put(&f, KIND_DATA, n, shared_len(n), &id, &fresh,
				&e) < 0)
			return NULL;
		if (fresh) {
			shared_ids[n] = id;
			atomic_fetch_add(&fresh_count, 1);
		}
		if (i % 100 == 99 && writer_flush(f.writer, &e) < 0)
			return NULL;
	}
	return arg;
}

static unsigned
run_threads(void *(*fn)(void *), unsigned count)
{
	static unsigned numbers[THREADS];
	pthread_t t[THREADS];
	unsigned done = 0;
	void *result;
	unsigned i;

	for (i = 0; i < count; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&t[i], NULL, fn, &numbers[i]),
				 0);
	}
	for (i = 0; i < count; i++) {
		assert_int_equal(pthread_join(t[i], &result), 0);
		done += result != NULL;
	}
	return done;
}

static void
threads_that_put_the_same_store_it_once(void **state)
{
	struct writer_stats stats;
	struct err e = { 0 };
	unsigned i;

	(void)state;
	reopen(&small);
	atomic_store(&fresh_count, 0);
	assert_int_equal(run_threads(put_shared, THREADS), THREADS);
	assert_int_equal(fresh_count, SHARED_CHUNKS);
	MUST(writer_flush(f.writer, &e), &e);
	writer_stats(f.writer, &stats);
	assert_int_equal(stats.chunks_new, SHARED_CHUNKS);
	assert_int_equal(stats.chunks_known, SHARED_CHUNKS * (THREADS - 1));
	order_seen = 0;
	each_block(check_chunk_count);
	assert_int_equal(order_seen, SHARED_CHUNKS);
	for (i = 0; i < SHARED_CHUNKS; i++)
		MUST(fixture_get(&f, KIND_DATA, i, shared_len(i),
				 &shared_ids[i], &e),
		     &e);
}

static void
threads_all_learn_of_a_failure(void **state)
{
	(void)state;
	reopen(&small);
	failing_plan(FAIL_WRITE, 9, true, ENOSPC);
	assert_int_equal(run_threads(put_shared, THREADS), 0);
	failing_off();
}

static sem_t gate;
static atomic_bool gate_closed;
static atomic_uint put_count;

static ssize_t
gated_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (atomic_load(&gate_closed))
		assert_int_equal(sem_wait(&gate), 0);
	return sys_real.pwrite(fd, p, n, at);
}

static void *
put_many(void *arg)
{
	struct err e = { 0 };
	struct id id;
	unsigned i;

	for (i = 0; i < 100; i++) {
		if (fixture_put(&f, KIND_DATA, *(unsigned *)arg * 1000 + i,
				1000, &id, NULL, &e) < 0)
			return NULL;
		atomic_fetch_add(&put_count, 1);
	}
	return arg;
}

static void *
open_gate(void *arg)
{
	struct timespec pause = { 0, 20000000 };
	unsigned before;
	unsigned i;

	/* Until nobody has got any further for a while. */
	do {
		before = atomic_load(&put_count);
		(void)nanosleep(&pause, NULL);
	} while (before == 0 || before != atomic_load(&put_count));
	/* 3 frames of 4 chunks in work, one open, one chunk on its way. */
	assert_true(before <= 4 * 4 + 4);
	atomic_store(&gate_closed, false);
	for (i = 0; i < 1000; i++)
		assert_int_equal(sem_post(&gate), 0);
	return arg;
}

static void *
put_or_open(void *arg)
{
	return *(unsigned *)arg == 0 ? open_gate(arg) : put_many(arg);
}

/* So that memory is bounded however slow the disk is. */
static void
who_puts_waits_while_the_disk_does_not_write(void **state)
{
	struct sys_ops ops = sys_real;
	struct err e = { 0 };

	(void)state;
	ops.pwrite = gated_pwrite;
	reopen(&small);
	sys_repo = &ops;
	assert_int_equal(sem_init(&gate, 0, 0), 0);
	atomic_store(&gate_closed, true);
	assert_int_equal(run_threads(put_or_open, 4), 4);
	MUST(writer_flush(f.writer, &e), &e);
	assert_int_equal(put_count, 300);
	failing_install();
	assert_int_equal(sem_destroy(&gate), 0);
}

/* --- whatever fails ------------------------------------------------------- */

#define OLD_CHUNKS 20
#define NEW_CHUNKS 24

static struct id old_ids[OLD_CHUNKS];
static char old_packs[16][256];
static size_t n_old_packs;

/* Chunks of two kinds, some alone, some known; a store may be open already. */
static int
backup(unsigned first, struct id *ids, struct err *e)
{
	struct id id;
	unsigned i;

	if (f.store == NULL && fixture_try_open(&f, NULL, e) < 0)
		return -1;
	if (writer_open(f.store, &small, &f.writer, e) < 0)
		return -1;
	for (i = 0; i < NEW_CHUNKS; i++) {
		if (fixture_put(&f, i % 4 == 0 ? KIND_TREE : KIND_DATA,
				first + i, 900, &ids[i], NULL, e) < 0)
			return -1;
		if (i < 3 &&
		    fixture_put(&f, KIND_DATA, i, 900, &id, NULL, e) < 0)
			return -1;
		if (i % 8 == 7 && fixture_put(&f, KIND_DATA, first + 100 + i,
					      5000, &id, NULL, e) < 0)
			return -1;
	}
	return writer_flush(f.writer, e);
}

/* What was there before is there; what was promised is there. */
static void
must_be_whole(unsigned first, const struct id *ids, bool promised)
{
	struct err e = { 0 };
	unsigned i;

	fixture_open(&f, NULL);
	assert_int_equal(store_bad_packs(f.store), 0);
	fixture_must_get(&f, KIND_DATA, 0, OLD_CHUNKS, 900, old_ids);
	for (i = 0; promised && i < NEW_CHUNKS; i++)
		MUST(fixture_get(&f, i % 4 == 0 ? KIND_TREE : KIND_DATA,
				 first + i, 900, &ids[i], &e),
		     &e);
	fixture_close(&f);
}

static void
begin_failures(void)
{
	reopen(&small);
	fixture_fill(&f, KIND_DATA, 0, OLD_CHUNKS, 900, old_ids);
	n_old_packs = fixture_packs(&f, old_packs, N_OF(old_packs));
	assert_true(n_old_packs <= N_OF(old_packs));
	fixture_close(&f);
}

static bool
is_old(const char *name)
{
	size_t i;

	for (i = 0; i < n_old_packs; i++)
		if (strcmp(name, old_packs[i]) == 0)
			return true;
	return false;
}

/* Every run begins alike, so that the Nth call means the same in each. */
static void
remove_new_packs(void)
{
	static char names[64][256];
	size_t n = fixture_packs(&f, names, N_OF(names));
	size_t i;

	assert_true(n <= N_OF(names));
	for (i = 0; i < n; i++)
		if (!is_old(names[i]))
			assert_int_equal(
				unlink(fixture_at(&f, "packs", names[i])), 0);
	fixture_open(&f, NULL);
	fixture_close(&f);
}

/*
 * One run in which the plan that is in force fails something.  Returns
 * whether anything was hit.
 */
static bool
run_with_failure(unsigned first)
{
	struct id ids[NEW_CHUNKS];
	struct err e = { 0 };
	unsigned hits;
	int rc;

	rc = backup(first, ids, &e);
	fixture_close(&f);
	hits = failing_hits();
	failing_off();
	assert_true(rc == 0 || e.text[0] != '\0');
	assert_true(rc == 0 || hits > 0);
	must_be_whole(first, ids, rc == 0);
	remove_new_packs();
	return hits > 0;
}

static void
fail_each_call(unsigned ops, bool for_ever, int error)
{
	unsigned n;

	begin_failures();
	for (n = 1;; n++) {
		failing_plan(ops, n, for_ever, error);
		if (!run_with_failure(1000 * n))
			break;
	}
	assert_true(n > 3);
}

static void
any_write_or_sync_may_fail_once(void **state)
{
	(void)state;
	fail_each_call(FAIL_WRITE | FAIL_SYNC, false, ENOSPC);
}

static void
any_write_or_sync_may_fail_for_ever(void **state)
{
	(void)state;
	fail_each_call(FAIL_WRITE | FAIL_SYNC, true, EIO);
}

static void
any_name_open_or_close_may_fail_once(void **state)
{
	(void)state;
	fail_each_call(FAIL_NAME | FAIL_OPEN | FAIL_CLOSE, false, EIO);
}

static void
any_read_list_or_stat_may_fail_once(void **state)
{
	(void)state;
	fail_each_call(FAIL_READ | FAIL_LIST | FAIL_STAT, false, EIO);
}

static void
any_lock_or_random_number_may_fail(void **state)
{
	(void)state;
	fail_each_call(FAIL_LOCK | FAIL_RANDOM, true, ENOLCK);
}

static void
any_call_may_be_the_last_that_works(void **state)
{
	(void)state;
	fail_each_call(FAIL_ALL, true, EIO);
}

/* Those of opening are test_store's. */
static void
any_allocation_of_the_writer_may_fail(void **state)
{
	unsigned n;

	(void)state;
	begin_failures();
	for (n = 1;; n++) {
		fixture_open(&f, NULL);
		failing_plan_alloc(n, n % 3 == 0);
		if (!run_with_failure(1000 * n))
			break;
	}
	assert_true(n > 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(chunks_of_every_kind_and_length_are_read_back),
		TEST(the_sink_computes_the_id),
		TEST(options_are_kept_within_the_limits),
		TEST(nonsense_is_refused_without_harm),
		TEST(a_chunk_is_stored_once),
		TEST(a_chunk_whose_pack_is_gone_is_stored_again),
		TEST(nothing_new_makes_no_pack),
		TEST(what_was_not_flushed_is_thrown_away),
		TEST(a_chunk_in_a_condemned_pack_is_stored_again),
		TEST(without_the_condemned_list_nothing_is_written),
		TEST(a_repository_that_cannot_be_written_has_no_writer),
		TEST(a_frame_holds_chunks_in_the_order_of_the_puts),
		TEST(kinds_never_share_a_frame),
		TEST(a_chunk_put_alone_has_a_frame_of_its_own),
		TEST(packs_end_when_they_are_long_enough),
		TEST(a_frame_of_tiny_chunks_ends_early),
		TEST(bytes_that_do_not_match_their_id_never_get_into_a_pack),
		TEST(a_pack_is_synced_then_named_then_its_name_synced),
		TEST(a_flush_makes_the_names_of_known_chunks_durable_too),
		TEST(a_failed_fsync_ends_the_run_and_is_not_repeated),
		TEST(threads_that_put_the_same_store_it_once),
		TEST(threads_all_learn_of_a_failure),
		TEST(who_puts_waits_while_the_disk_does_not_write),
		TEST(any_write_or_sync_may_fail_once),
		TEST(any_write_or_sync_may_fail_for_ever),
		TEST(any_name_open_or_close_may_fail_once),
		TEST(any_read_list_or_stat_may_fail_once),
		TEST(any_lock_or_random_number_may_fail),
		TEST(any_call_may_be_the_last_that_works),
		TEST(any_allocation_of_the_writer_may_fail),
	};

	/* A deadlock must not become a test that never ends. */
	(void)alarm(300);
	return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
