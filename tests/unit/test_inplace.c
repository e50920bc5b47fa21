/*
 * Random files made into other random files: what is there in the end, what
 * was written for it, and what a failure leaves.  Then the same through a
 * restore, with everything that belongs to a file.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/inplace.h"

#include "base/err.h"
#include "base/sys.h"
#include "src/engine/filemap.h"
#include "src/engine/restore.h"
#include "src/engine/view.h"
#include "store/repository.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/faults.h"
#include "tests/lib/maker.h"
#include "tests/lib/memstore.h"
#include "tests/lib/rng.h"
#include "tests/lib/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SIZE_MAX_ ((size_t)300000)
#define ROUNDS    300

/* A file as the store has it, and what is on the disk instead. */
struct pair {
	struct memstore *m;
	struct filemap_builder *map;
	struct entry en;
	uint8_t want[SIZE_MAX_];
	uint8_t old[SIZE_MAX_];
	size_t want_len, old_len;
	struct {
		size_t at, len;
		bool hole;
	} piece[256];
	size_t pieces;
	struct rng rng;
	struct scratch scratch;
	int fd; /* of the file that is there */
};

static void
add_piece(struct pair *p, size_t len, bool hole)
{
	struct err e = { 0 };
	struct id id;
	uint8_t *at = p->want + p->want_len;

	if (hole && p->pieces > 0 && p->piece[p->pieces - 1].hole)
		hole = false;
	if (hole) {
		memset(at, 0, len);
		assert_int_equal(filemap_add_hole(p->map, len, &e), 0);
	} else {
		rng_fill(&p->rng, at, len);
		if (rng_below(&p->rng, 4) == 0)
			memset(at, 7, len);
		id = memstore_put(p->m, KIND_DATA, at, len);
		assert_int_equal(
			filemap_add_chunk(p->map, &id, (uint32_t)len, &e), 0);
	}
	p->piece[p->pieces].at = p->want_len;
	p->piece[p->pieces].len = len;
	p->piece[p->pieces].hole = hole;
	p->pieces++;
	p->want_len += len;
}

static void
make_want(struct pair *p)
{
	struct err e = { 0 };
	size_t n = rng_below(&p->rng, 20);
	uint64_t size;

	p->want_len = 0;
	p->pieces = 0;
	filemap_builder_start(p->map, MAP_CDC, 0);
	while (n-- > 0)
		add_piece(p, 1 + rng_below(&p->rng, 14000),
			  rng_below(&p->rng, 5) == 0);
	memset(&p->en, 0, sizeof(p->en));
	p->en.type = ENTRY_FILE;
	assert_int_equal(filemap_finish(p->map, &p->en.content, &size, &e), 0);
	assert_int_equal(size, p->want_len);
	p->en.size = size;
}

/* What is there: the same with some bytes changed, shorter or longer. */
static void
make_old(struct pair *p)
{
	size_t n = rng_below(&p->rng, 6);
	size_t at;
	size_t len;

	p->old_len = p->want_len;
	memcpy(p->old, p->want, p->want_len);
	switch (rng_below(&p->rng, 4)) {
	case 0:
		p->old_len = rng_below(&p->rng, p->want_len + 1);
		break;
	case 1:
		len = rng_below(&p->rng, SIZE_MAX_ - p->want_len);
		rng_fill(&p->rng, p->old + p->old_len, len);
		p->old_len += len;
		break;
	default:
		break;
	}
	while (n-- > 0 && p->old_len > 0) {
		at = rng_below(&p->rng, p->old_len);
		len = 1 + rng_below(&p->rng, 5000);
		if (len > p->old_len - at)
			len = p->old_len - at;
		if (rng_below(&p->rng, 3) == 0)
			memset(p->old + at, 0, len);
		else
			rng_fill(&p->rng, p->old + at, len);
	}
}

static void
put_old(struct pair *p)
{
	p->fd = open(scratch_at(&p->scratch, "f"),
		     O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	assert_true(p->fd >= 0);
	assert_int_equal(write(p->fd, p->old, p->old_len), p->old_len);
}

/* Another file in the store, and something else on the disk. */
static void
make_pair(struct pair *p)
{
	make_want(p);
	make_old(p);
	put_old(p);
}

static void
drop_old(struct pair *p)
{
	assert_int_equal(close(p->fd), 0);
}

/* Bytes of the chunks that differ from what is there. */
static uint64_t
differing(const struct pair *p)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < p->pieces; i++)
		if (!p->piece[i].hole &&
		    (p->piece[i].at + p->piece[i].len > p->old_len ||
		     memcmp(p->old + p->piece[i].at, p->want + p->piece[i].at,
			    p->piece[i].len) != 0))
			sum += p->piece[i].len;
	return sum;
}

static void
check_file(const struct pair *p)
{
	static uint8_t got[SIZE_MAX_ + 1];
	struct stat st;

	assert_int_equal(fstat(p->fd, &st), 0);
	assert_int_equal(st.st_size, p->want_len);
	assert_int_equal(pread(p->fd, got, sizeof(got), 0), p->want_len);
	assert_memory_equal(got, p->want, p->want_len);
}

/* Where the map has a hole, whole blocks are one. */
static void
check_holes(const struct pair *p)
{
	size_t from;
	size_t end;
	off_t data;
	size_t i;

	for (i = 0; i < p->pieces; i++) {
		from = (p->piece[i].at + 4095) / 4096 * 4096;
		end = (p->piece[i].at + p->piece[i].len) / 4096 * 4096;
		if (!p->piece[i].hole || from >= end)
			continue;
		data = lseek(p->fd, (off_t)from, SEEK_DATA);
		assert_true(data < 0 || (size_t)data >= end);
	}
}

static struct pair *
pair_new(uint64_t seed)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct err e = { 0 };

	assert_non_null(p);
	scratch_begin(&p->scratch);
	p->m = memstore_new();
	p->rng.state = seed;
	assert_int_equal(filemap_builder_new(&p->m->sink, &p->map, &e), 0);
	return p;
}

static void
pair_free(struct pair *p)
{
	filemap_builder_free(p->map);
	memstore_free(p->m);
	scratch_end(&p->scratch);
	free(p);
}

static struct inplace
work_of(struct pair *p)
{
	struct inplace w = {
		.reader = &p->m->reader,
		.keys = &p->m->keys,
		.en = &p->en,
		.fd = p->fd,
	};

	return w;
}

static void
random_files_become_others_and_only_what_differs_is_written(void **state)
{
	struct pair *p = pair_new(20261122);
	struct err e = { 0 };
	struct inplace w;
	unsigned round;
	uint64_t most;

	(void)state;
	for (round = 0; round < ROUNDS; round++) {
		make_pair(p);
		most = differing(p);
		w = work_of(p);
		if (inplace_rewrite(&w, &e) < 0)
			fail_msg("round %u: %s", round, e.text);
		check_file(p);
		check_holes(p);
		assert_true(w.written <= most);
		assert_int_equal(w.fetched, most);
		assert_false(w.damage);
		/* Again: nothing is left to do. */
		w = work_of(p);
		assert_int_equal(inplace_rewrite(&w, &e), 0);
		assert_int_equal(w.written, 0);
		assert_int_equal(w.fetched, 0);
		assert_int_equal(w.same, p->want_len - w.punched);
		drop_old(p);
	}
	pair_free(p);
}

static void
without_keys_pieces_are_fetched_and_no_more_is_written(void **state)
{
	struct pair *p = pair_new(7);
	struct err e = { 0 };
	struct inplace w;
	unsigned round;

	(void)state;
	for (round = 0; round < 30; round++) {
		make_pair(p);
		w = work_of(p);
		w.keys = NULL;
		assert_int_equal(inplace_rewrite(&w, &e), 0);
		check_file(p);
		assert_true(w.written <= differing(p));
		drop_old(p);
	}
	pair_free(p);
}

static int
no_fallocate(int fd, int mode, off_t at, off_t len)
{
	(void)fd;
	(void)mode;
	(void)at;
	(void)len;
	errno = EOPNOTSUPP;
	return -1;
}

static void
where_no_holes_can_be_made_zeros_are_written(void **state)
{
	struct pair *p = pair_new(99);
	struct sys_ops ops = sys_real;
	struct err e = { 0 };
	struct inplace w;
	unsigned round;

	(void)state;
	ops.fallocate = no_fallocate;
	sys_target = &ops;
	for (round = 0; round < 30; round++) {
		make_pair(p);
		w = work_of(p);
		assert_int_equal(inplace_rewrite(&w, &e), 0);
		check_file(p);
		drop_old(p);
	}
	sys_target = &sys_real;
	pair_free(p);
}

static void
after_any_failure_another_run_completes_it(void **state)
{
	struct pair *p = pair_new(4711);
	struct inplace w;
	enum fault_kind kind;
	unsigned nth;
	bool hit;
	int rc;

	(void)state;
	do {
		make_want(p);
		make_old(p);
	} while (p->pieces < 5 || differing(p) < 10000);
	for (kind = FAULT_EIO; kind < FAULT_KINDS; kind++) {
		for (nth = 1, hit = true; hit; nth++) {
			struct err e = { 0 };

			put_old(p);
			w = work_of(p);
			fault_arm(kind, FAULT_TARGET, nth, false);
			rc = inplace_rewrite(&w, &e);
			hit = fault_disarm();
			assert_false(w.damage);
			if (rc < 0) {
				assert_true(e.text[0] != '\0');
				w = work_of(p);
				assert_int_equal(inplace_rewrite(&w, NULL), 0);
			}
			check_file(p);
			drop_old(p);
		}
		assert_true(nth > 2);
	}
	pair_free(p);
}

static void
damage_in_the_store_is_told_as_such(void **state)
{
	struct pair *p = pair_new(5);
	struct err e = { 0 };
	struct inplace w;
	struct id id;

	(void)state;
	make_want(p);
	while (p->pieces == 0 || p->piece[0].hole)
		make_want(p);
	p->old_len = 0;
	id = memstore_put(p->m, KIND_DATA, p->want, p->piece[0].len);
	memstore_corrupt(p->m, &id);
	put_old(p);
	w = work_of(p);
	assert_int_equal(inplace_rewrite(&w, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_true(w.damage);
	drop_old(p);
	pair_free(p);
}

static void
dt_05_pieces_are_copied_to_where_they_are_directed(void **state)
{
	static uint8_t model[2 * SIZE_MAX_];
	static uint8_t got[2 * SIZE_MAX_ + 1];
	struct pair *p = pair_new(31);
	struct err e = { 0 };
	struct inplace w;
	unsigned round;
	size_t from;
	size_t len;
	size_t to;
	size_t end;

	(void)state;
	for (round = 0; round < 100; round++) {
		make_pair(p);
		memset(model, 0, sizeof(model));
		memcpy(model, p->old, p->old_len);
		from = rng_below(&p->rng, p->want_len + 1);
		len = rng_below(&p->rng, p->want_len - from + 1);
		to = rng_below(&p->rng, SIZE_MAX_);
		w = work_of(p);
		if (inplace_copy(&w, from, len, to, &e) < 0)
			fail_msg("round %u: %s", round, e.text);
		memcpy(model + to, p->want + from, len);
		end = len > 0 && to + len > p->old_len ? to + len : p->old_len;
		if (len == 0 && to > p->old_len)
			end = (size_t)lseek(p->fd, 0, SEEK_END);
		assert_int_equal(pread(p->fd, got, sizeof(got), 0), end);
		assert_memory_equal(got, model, end);
		assert_true(w.written <= len);
		assert_int_equal(
			inplace_copy(&w, p->want_len, 1, 0, &e), -1);
		assert_int_equal(e.kind, ERR_USAGE);
		err_clear(&e);
		drop_old(p);
	}
	pair_free(p);
}

/* --- through a restore ------------------------------------------------------- */

static const struct thing things[] = {
	{ .path = "/d", .type = ENTRY_DIR, .sec = 50 },
	{ .path = "/d/big", .size = 200000, .mode = 0640, .sec = 100,
	  .xattr = 20, .hole_at = 30000, .hole_len = 40000 },
	{ .path = "/d/gone", .size = 500, .sec = 200 },
	{ .path = "/d/link", .type = ENTRY_SYMLINK, .target = "big",
	  .sec = 300 },
};

struct rig {
	struct scratch s;
	struct memstore *m;
	struct view_gen g;
	struct repository repo;
	struct restore_options opt;
	struct restore_result res;
	char to[SCRATCH_LEN + 10];
};

static void
rig_begin(struct rig *r)
{
	struct maker k;

	memset(r, 0, sizeof(*r));
	scratch_begin(&r->s);
	r->m = memstore_new();
	r->g.reader = &r->m->reader;
	r->g.number = 7;
	r->g.refs = 1;
	r->g.record.root = maker_top(&k, &r->m->sink, things, 4);
	r->repo.keys = r->m->keys;
	r->repo.fd = open(r->s.path, O_PATH | O_CLOEXEC);
	(void)snprintf(r->to, sizeof(r->to), "%s/to", r->s.path);
	assert_int_equal(mkdir(scratch_at(&r->s, "to"), 0755), 0);
	assert_int_equal(close(r->repo.fd), 0);
	r->repo.fd = -1;
	r->opt.to = r->to;
	r->opt.existing = RESTORE_IN_PLACE;
	r->opt.no_owner = geteuid() != 0;
	r->opt.threads = 1;
}

static void
rig_end(struct rig *r)
{
	memstore_free(r->m);
	scratch_end(&r->s);
}

static void
rig_run(struct rig *r)
{
	struct err e = { 0 };

	if (restore_run(&r->g, NULL, false, &r->opt, &r->res, &e) < 0)
		fail_msg("%s", e.text);
}

/* Where it is restored to. */
static const char *
restored(const struct rig *r, const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "to/%s", name);
	return scratch_at(&r->s, path);
}

static void
must_be(const struct rig *r, const struct thing *t)
{
	static uint8_t want[300000];
	static uint8_t got[300001];
	const char *path = restored(r, t->path + 1);
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, t->sec);
	assert_int_equal(st.st_size, t->size);
	assert_int_equal(st.st_mode & 07777, t->mode == 0 ? 0644 : t->mode);
	maker_bytes(t, want);
	assert_int_equal(scratch_read(path, got, sizeof(got)), t->size);
	assert_memory_equal(got, want, t->size);
}

static ino_t
inode_of(const struct rig *r, const char *name)
{
	struct stat st;

	assert_int_equal(lstat(restored(r, name), &st), 0);
	return st.st_ino;
}

/* Change what was restored: bytes, length, mode, attributes. */
static void
spoil(const struct rig *r)
{
	int fd = open(restored(r, "d/big"), O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "spoiled", 7, 123456), 7);
	assert_int_equal(pwrite(fd, "in the hole", 11, 40000), 11);
	assert_int_equal(ftruncate(fd, 250000), 0);
	assert_int_equal(fchmod(fd, 0666), 0);
	(void)fsetxattr(fd, "user.foreign", "x", 1, 0);
	(void)fsetxattr(fd, MAKER_XATTR, "other", 5, 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(restored(r, "d/gone")), 0);
}

/* Restored as new, and changed since; in place from now on. */
static ino_t
restore_and_spoil(struct rig *r)
{
	ino_t ino;

	r->opt.existing = RESTORE_REFUSE;
	rig_run(r);
	must_be(r, &things[1]);
	ino = inode_of(r, "d/big");
	spoil(r);
	r->opt.existing = RESTORE_IN_PLACE;
	return ino;
}

static void
a_file_keeps_its_inode_and_gets_all_that_it_had(void **state)
{
	struct rig r;
	const char *big;
	char value[64];
	uint64_t gets;
	ino_t ino;

	(void)state;
	rig_begin(&r);
	ino = restore_and_spoil(&r);
	gets = r.m->gets;
	rig_run(&r);
	assert_true(r.m->gets > gets);
	assert_int_equal(r.res.failed, 0);
	must_be(&r, &things[1]);
	must_be(&r, &things[2]);
	assert_int_equal(inode_of(&r, "d/big"), ino);
	big = restored(&r, "d/big");
	assert_int_equal(lgetxattr(big, "user.foreign", value, 64), -1);
	if (lgetxattr(big, MAKER_XATTR, value, 64) >= 0)
		assert_int_equal(lgetxattr(big, MAKER_XATTR, value, 64), 20);
	rig_end(&r);
}

static void
a_file_with_other_names_is_not_rewritten_under_them(void **state)
{
	struct rig r;
	struct stat st;
	ino_t ino;

	(void)state;
	rig_begin(&r);
	ino = restore_and_spoil(&r);
	assert_int_equal(
		link(restored(&r, "d/big"), restored(&r, "other")), 0);
	rig_run(&r);
	assert_int_equal(r.res.failed, 0);
	must_be(&r, &things[1]);
	assert_true(inode_of(&r, "d/big") != ino);
	assert_int_equal(stat(restored(&r, "other"), &st), 0);
	assert_int_equal(st.st_size, 250000);
	rig_end(&r);
}

/* --- what is wanted ---------------------------------------------------------- */

static enum restore_wish
only_gone(void *ctx, const char *path, const struct entry *en)
{
	(void)ctx;
	if (en->type == ENTRY_DIR)
		return RESTORE_PASS;
	return strcmp(path, "/d/gone") == 0 ? RESTORE_TAKE : RESTORE_SKIP;
}

static void
only_what_is_wanted_is_restored_and_the_way_stays_as_it_was(void **state)
{
	struct rig r;
	struct stat st;
	int fd;

	(void)state;
	rig_begin(&r);
	r.opt.wants = only_gone;
	assert_int_equal(mkdir(restored(&r, "d"), 0711), 0);
	fd = open(r.to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	r.opt.at = &fd;
	r.opt.to = "not looked at";
	rig_run(&r);
	assert_int_equal(close(fd), 0);
	must_be(&r, &things[2]);
	assert_int_equal(lstat(restored(&r, "d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(lstat(restored(&r, "d/big"), &st), -1);
	assert_int_equal(r.res.files, 1);
	rig_end(&r);
}

static void
a_link_on_the_way_stays_and_leads_nowhere(void **state)
{
	struct rig r;
	struct stat st;

	(void)state;
	rig_begin(&r);
	r.opt.wants = only_gone;
	assert_int_equal(mkdir(scratch_at(&r.s, "elsewhere"), 0755), 0);
	assert_int_equal(symlink("../elsewhere", restored(&r, "d")), 0);
	rig_run(&r);
	assert_int_equal(r.res.failed, entry_inodes(&r.g.record.root) - 1);
	assert_int_equal(lstat(restored(&r, "d"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lstat(scratch_at(&r.s, "elsewhere/gone"), &st), -1);
	rig_end(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			random_files_become_others_and_only_what_differs_is_written),
		cmocka_unit_test(
			without_keys_pieces_are_fetched_and_no_more_is_written),
		cmocka_unit_test(where_no_holes_can_be_made_zeros_are_written),
		cmocka_unit_test(after_any_failure_another_run_completes_it),
		cmocka_unit_test(damage_in_the_store_is_told_as_such),
		cmocka_unit_test(
			dt_05_pieces_are_copied_to_where_they_are_directed),
		cmocka_unit_test(
			a_file_keeps_its_inode_and_gets_all_that_it_had),
		cmocka_unit_test(
			a_file_with_other_names_is_not_rewritten_under_them),
		cmocka_unit_test(
			only_what_is_wanted_is_restored_and_the_way_stays_as_it_was),
		cmocka_unit_test(a_link_on_the_way_stays_and_leads_nowhere),
	};

	return cmocka_run_group_tests_name("inplace", tests, NULL, NULL);
}
