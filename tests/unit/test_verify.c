#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/verify.h"

#include "base/err.h"
#include "store/repository.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/pack_maker.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static struct repository repository; /* only what verify looks at */
static struct frame_coder *coder;
static struct rng rng;

static int
set_up(void **state)
{
	static const uint8_t key[ID_LEN] = { 1, 2, 3 };
	struct err e = { 0 };

	(void)state;
	scratch_begin(&scratch);
	failing_install();
	rng.state = 20261121;
	id_keys_derive(&repository.keys, key);
	repository.packs_fd =
		open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(repository.packs_fd >= 0);
	assert_int_equal(frame_coder_new(&coder, &e), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	frame_coder_free(coder);
	assert_int_equal(close(repository.packs_fd), 0);
	failing_remove();
	scratch_end(&scratch);
	return 0;
}

/* 3 frames of 400 chunks: 1,200 chunks in 3 blocks. */
static void
make(struct made_pack *m, bool packed)
{
	const struct pack_shape shape = { .frames = 3,
					  .chunks = 400,
					  .packed = packed,
					  .kind = KIND_TREE,
					  .keys = &repository.keys };

	pack_maker_make(repository.packs_fd, &shape, &rng, m);
}

static const char *
path_of(const struct made_pack *m)
{
	char name[PACK_NAME_LEN + 1];

	pack_name(name, &m->id);
	return scratch_at(&scratch, name);
}

/* What was told: chunks by slot, and things that are no chunk. */
struct told {
	const struct made_pack *m;
	unsigned chunks, others, stop_at;
	uint32_t first, last; /* slots */
	char text[ERR_TEXT_LEN];
};

static int
tell(void *ctx, const struct verify_damage *d, struct err *e)
{
	struct told *t = ctx;
	uint32_t slot;

	assert_memory_equal(&d->pack, &t->m->id, PACK_ID_LEN);
	(void)snprintf(t->text, sizeof(t->text), "%s", d->text);
	if (d->id == NULL) {
		t->others++;
	} else {
		for (slot = 0; slot < t->m->chunks; slot++)
			if (id_equal(d->id, &t->m->ids[slot]))
				break;
		assert_true(slot < t->m->chunks);
		if (t->chunks++ == 0)
			t->first = slot;
		t->last = slot;
	}
	if (t->chunks + t->others == t->stop_at)
		return err_set(e, ERR_CANCELLED, "enough");
	return 0;
}

static struct verify_counts
must_verify(const struct made_pack *m, struct told *t)
{
	struct verify_counts n = { 0 };
	struct err e = { 0 };

	memset(t, 0, sizeof(*t));
	t->m = m;
	if (verify_pack(&repository, &m->id, coder, tell, t, &n, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(n.packs, 1);
	assert_int_equal(n.damaged, t->chunks + t->others);
	return n;
}

static void
a_sound_pack_has_no_damage(void **state)
{
	int packed;

	(void)state;
	for (packed = 0; packed < 2; packed++) {
		struct made_pack m;
		struct told t;
		struct verify_counts n;
		uint64_t sum = 0;
		uint32_t i;

		make(&m, packed);
		n = must_verify(&m, &t);
		for (i = 0; i < m.chunks; i++)
			sum += m.lens[i];
		assert_int_equal(n.damaged, 0);
		/* Frames that lie in two blocks are decoded once. */
		assert_int_equal(n.frames, 3);
		assert_int_equal(n.chunks, 1200);
		assert_int_equal(n.bytes, sum);
		pack_maker_free(&m);
	}
}

static void
one_wrong_byte_of_a_raw_frame_is_one_chunk(void **state)
{
	struct made_pack m;
	struct told t;
	struct verify_counts n;

	(void)state;
	make(&m, false);
	scratch_flip(path_of(&m), 128); /* the first byte of the first chunk */
	n = must_verify(&m, &t);
	assert_int_equal(t.chunks, 1);
	assert_int_equal(t.others, 0);
	assert_int_equal(t.first, 0);
	assert_non_null(strstr(t.text, "does not match its id"));
	assert_null(strstr(t.text, "second reading"));
	assert_int_equal(n.chunks, 1200);
	pack_maker_free(&m);
}

static void
a_frame_that_cannot_be_decoded_is_all_its_chunks(void **state)
{
	struct made_pack m;
	struct told t;

	(void)state;
	make(&m, true);
	scratch_flip(path_of(&m), 128); /* zstd's magic */
	(void)must_verify(&m, &t);
	assert_int_equal(t.chunks, 400);
	assert_int_equal(t.first, 0);
	assert_int_equal(t.last, 399);
	assert_non_null(strstr(t.text, "frame at 128"));
	pack_maker_free(&m);
}

static void
a_damaged_block_does_not_hide_the_others(void **state)
{
	struct made_pack m;
	struct told t;
	struct verify_counts n;

	(void)state;
	make(&m, false);
	scratch_flip(path_of(&m), (off_t)m.len - 64 - 3 * 32 - 1);
	n = must_verify(&m, &t);
	assert_int_equal(t.others, 1);
	assert_int_equal(t.chunks, 0);
	assert_non_null(strstr(t.text, "block 2"));
	assert_int_equal(n.chunks, 1024);
	pack_maker_free(&m);
}

static void
a_pack_that_cannot_be_opened_is_one_damage(void **state)
{
	struct made_pack m;
	struct told t;

	(void)state;
	make(&m, false);
	assert_int_equal(truncate(path_of(&m), (off_t)m.len - 1), 0);
	(void)must_verify(&m, &t);
	assert_int_equal(t.others, 1);
	assert_non_null(strstr(t.text, "no valid footer"));
	assert_int_equal(unlink(path_of(&m)), 0);
	(void)must_verify(&m, &t);
	assert_int_equal(t.others, 1);
	assert_non_null(strstr(t.text, "is missing"));
	pack_maker_free(&m);
}

static void
every_wrong_byte_is_damage(void **state)
{
	const struct pack_shape shape = { .frames = 2, .chunks = 5,
					  .keys = &repository.keys };
	struct made_pack m;
	struct told t;
	uint64_t at;

	(void)state;
	pack_maker_make(repository.packs_fd, &shape, &rng, &m);
	for (at = 0; at < m.len; at++) {
		scratch_flip(path_of(&m), (off_t)at);
		if (must_verify(&m, &t).damaged == 0)
			fail_msg("byte %u", (unsigned)at);
		scratch_flip(path_of(&m), (off_t)at);
	}
	assert_int_equal(must_verify(&m, &t).damaged, 0);
	pack_maker_free(&m);
}

/* Flips a bit of what the Nth pread gives, as bad memory would. */
static unsigned flip_at, reads;

static ssize_t
flipping_pread(int fd, void *p, size_t n, off_t at)
{
	ssize_t got = sys_real.pread(fd, p, n, at);

	if (++reads == flip_at && got > 0)
		((uint8_t *)p)[got - 1] ^= 1;
	return got;
}

static void
bytes_that_differ_at_a_second_reading_are_damage_too(void **state)
{
	struct sys_ops ops = sys_real;
	const struct sys_ops *before = sys_repo;
	struct made_pack m;
	struct told t;
	unsigned total;

	(void)state;
	ops.pread = flipping_pread;
	make(&m, true);
	sys_repo = &ops;
	reads = flip_at = 0;
	assert_int_equal(must_verify(&m, &t).damaged, 0);
	total = reads;
	for (flip_at = 1; flip_at <= total; flip_at++) {
		reads = 0;
		assert_true(must_verify(&m, &t).damaged > 0);
		if (t.chunks > 0)
			assert_non_null(strstr(t.text, "second reading"));
	}
	sys_repo = before;
	pack_maker_free(&m);
}

static void
a_disk_that_cannot_read_is_damage(void **state)
{
	struct made_pack m;
	struct told t;
	unsigned nth;

	(void)state;
	make(&m, true);
	for (nth = 1; nth < 5; nth++) {
		failing_plan(FAIL_READ, nth, true, EIO);
		assert_true(must_verify(&m, &t).damaged > 0);
		failing_off();
	}
	pack_maker_free(&m);
}

static void
failures_of_the_machine_are_no_damage(void **state)
{
	struct verify_counts n = { 0 };
	struct made_pack m;
	struct told t = { .m = &m };
	unsigned nth, hits = 1;

	(void)state;
	make(&m, true);
	for (nth = 1; hits > 0; nth++) {
		struct err e = { 0 };
		int rc;

		failing_plan_alloc(nth, false);
		rc = verify_pack(&repository, &m.id, coder, tell, &t, &n, &e);
		hits = failing_hits();
		failing_off();
		assert_int_equal(rc, hits > 0 ? -1 : 0);
		if (hits > 0)
			assert_int_equal(e.kind, ERR_NOMEM);
	}
	{
		struct err e = { 0 };

		failing_plan(FAIL_OPEN, 1, true, EMFILE);
		assert_int_equal(verify_pack(&repository, &m.id, coder, tell,
					     &t, &n, &e),
				 -1);
		failing_off();
		assert_int_equal(e.kind, ERR_SYS);
	}
	assert_int_equal(n.damaged, 0);
	pack_maker_free(&m);
}

static void
the_callback_can_stop_it(void **state)
{
	struct verify_counts n = { 0 };
	struct made_pack m;
	struct told t = { .m = &m, .stop_at = 3 };
	struct err e = { 0 };

	(void)state;
	make(&m, true);
	scratch_flip(path_of(&m), 128);
	assert_int_equal(
		verify_pack(&repository, &m.id, coder, tell, &t, &n, &e), -1);
	assert_int_equal(e.kind, ERR_CANCELLED);
	assert_int_equal(n.damaged, 3);
	pack_maker_free(&m);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_sound_pack_has_no_damage),
		TEST(one_wrong_byte_of_a_raw_frame_is_one_chunk),
		TEST(a_frame_that_cannot_be_decoded_is_all_its_chunks),
		TEST(a_damaged_block_does_not_hide_the_others),
		TEST(a_pack_that_cannot_be_opened_is_one_damage),
		TEST(every_wrong_byte_is_damage),
		TEST(bytes_that_differ_at_a_second_reading_are_damage_too),
		TEST(a_disk_that_cannot_read_is_damage),
		TEST(failures_of_the_machine_are_no_damage),
		TEST(the_callback_can_stop_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
