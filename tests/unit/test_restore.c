/*
 * Generations made of chunks in memory, restored to a scratch directory and
 * compared with what they were made from.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/restore.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/sys.h"
#include "src/engine/view.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/faults.h"
#include "tests/lib/maker.h"
#include "tests/lib/memstore.h"
#include "tests/lib/rng.h"
#include "tests/lib/scratch.h"

#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define TOLD_MAX 64

extern char **environ;

/* --- a generation, and a restore of it --------------------------------------- */

struct told {
	char path[256];
	char why[ERR_TEXT_LEN];
	bool damage;
};

struct rig {
	struct scratch s;
	struct memstore *m;
	struct view_gen g;
	const struct thing *thing;
	size_t things;
	struct restore_options opt;
	struct restore_result res;
	struct err e;
	char to[SCRATCH_LEN + 300];
	struct told told[TOLD_MAX];
	size_t tolds;
	uint64_t ticks;
	atomic_int cancel;
	bool cancel_at_tick;
};

static void
note_failed(void *ctx, const char *path, const struct err *why, bool damage)
{
	struct rig *r = ctx;
	struct told *t = &r->told[r->tolds % TOLD_MAX];

	(void)snprintf(t->path, sizeof(t->path), "%s", path);
	(void)snprintf(t->why, sizeof(t->why), "%s", why->text);
	t->damage = damage;
	r->tolds++;
}

static void
note_progress(void *ctx, uint64_t files, uint64_t bytes)
{
	struct rig *r = ctx;

	(void)files;
	(void)bytes;
	r->ticks++;
	r->cancel = r->cancel_at_tick;
}

static void
rig_begin(struct rig *r, const struct thing *t, size_t n)
{
	struct maker k;

	memset(r, 0, sizeof(*r));
	scratch_begin(&r->s);
	r->m = memstore_new();
	r->thing = t;
	r->things = n;
	r->g.reader = &r->m->reader;
	r->g.number = 7;
	r->g.refs = 1;
	r->g.record.root = maker_top(&k, &r->m->sink, t, n);
	r->g.record.counts.bytes = k.bytes;
	(void)snprintf(r->to, sizeof(r->to), "%s/to", r->s.path);
	r->opt.to = r->to;
	r->opt.failed = note_failed;
	r->opt.progress = note_progress;
	r->opt.ctx = r;
	r->opt.threads = 3;
}

/* Trees may be deeper than nftw can follow. */
static void
remove_all(const char *path)
{
	char *const argv[] = { (char *)(uintptr_t) "rm",
			       (char *)(uintptr_t) "-rf",
			       (char *)(uintptr_t)path, NULL };
	pid_t pid;
	int status;

	assert_int_equal(posix_spawnp(&pid, "rm", NULL, NULL, argv, environ),
			 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
rig_end(struct rig *r)
{
	remove_all(r->to);
	memstore_free(r->m);
	scratch_end(&r->s);
}

static int
run(struct rig *r, const char *path, bool contents)
{
	r->tolds = 0;
	err_clear(&r->e);
	memset(&r->res, 0, sizeof(r->res));
	return restore_run(&r->g, path, contents, &r->opt, &r->res, &r->e);
}

static void
must_run(struct rig *r, const char *path, bool contents)
{
	if (run(r, path, contents) < 0)
		fail_msg("%s", r->e.text);
}

/* A path below the target, in one of a few buffers. */
static const char *
at(const struct rig *r, const char *path)
{
	static char out[4][SCRATCH_LEN + 600];
	static unsigned next;

	next = (next + 1) % N_OF(out);
	assert_true(snprintf(out[next], sizeof(out[next]), "%s%s%s", r->to,
			     path[0] == '/' ? "" : "/",
			     path) < (int)sizeof(out[next]));
	return out[next];
}

static bool
exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void
must_tell(const struct rig *r, size_t i, const char *path, const char *why,
	  bool damage)
{
	assert_true(i < r->tolds);
	assert_string_equal(r->told[i].path, path);
	if (strstr(r->told[i].why, why) == NULL)
		fail_msg("%s: %s", path, r->told[i].why);
	assert_int_equal(r->told[i].damage, damage);
}

/* --- comparing ---------------------------------------------------------------- */

static void
compare_content(const struct thing *t, const char *path)
{
	uint8_t *want = malloc(t->size + 1);
	uint8_t *got = malloc(t->size + 1);

	assert_non_null(want);
	assert_non_null(got);
	maker_bytes(t, want);
	if (scratch_read(path, got, t->size + 1) != t->size ||
	    memcmp(got, want, t->size) != 0)
		fail_msg("%s: other content", path);
	free(want);
	free(got);
}

static void
compare_xattr(const struct thing *t, const char *path)
{
	uint8_t *want = malloc(t->xattr);
	uint8_t *got = malloc(t->xattr + 1);

	assert_non_null(want);
	assert_non_null(got);
	maker_xattr_value(t->xattr, want);
	assert_int_equal(
		lgetxattr(path, maker_xattr_name(t), got, t->xattr + 1),
		t->xattr);
	assert_memory_equal(got, want, t->xattr);
	free(want);
	free(got);
}

static void
compare_type(const struct thing *t, const struct stat *st, const char *path)
{
	char target[4096];

	switch (t->type) {
	case 0:
	case ENTRY_FILE:
		assert_true(S_ISREG(st->st_mode));
		compare_content(t, path);
		break;
	case ENTRY_SYMLINK:
		assert_int_equal(readlink(path, target, sizeof(target)),
				 strlen(t->target));
		assert_memory_equal(target, t->target, strlen(t->target));
		break;
	case ENTRY_CHAR:
	case ENTRY_BLOCK:
		assert_int_equal(st->st_rdev, makedev(t->major, t->minor));
		break;
	default:
		break;
	}
}

/* The thing at `path` is what it was made from. */
static void
compare(const struct thing *t, const char *path)
{
	struct entry en = maker_entry(t);
	struct stat st;

	if (lstat(path, &st) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	if (st.st_mode != (entry_type_mode(en.type) | en.mode))
		fail_msg("%s: mode %o, not %o", path, st.st_mode, en.mode);
	if (geteuid() == 0) {
		assert_int_equal(st.st_uid, en.uid);
		assert_int_equal(st.st_gid, en.gid);
	}
	compare_type(t, &st, path);
	if (t->xattr != 0)
		compare_xattr(t, path);
	/* Reading a file or a link changes its atime. */
	if (en.type == ENTRY_FIFO) {
		assert_int_equal(st.st_atim.tv_sec, en.atime.sec);
		assert_int_equal(st.st_atim.tv_nsec, en.atime.nsec);
	}
	if (st.st_mtim.tv_sec != en.mtime.sec ||
	    st.st_mtim.tv_nsec != en.mtime.nsec)
		fail_msg("%s: mtime %ld.%ld", path, (long)st.st_mtim.tv_sec,
			 st.st_mtim.tv_nsec);
}

static void
compare_all(const struct rig *r)
{
	size_t i;

	for (i = 0; i < r->things; i++)
		compare(&r->thing[i], at(r, r->thing[i].path));
}

/* --- everything ---------------------------------------------------------------- */

#define D ENTRY_DIR

static const struct thing plain[] = {
	{ .path = "/a", .type = D, .mode = 0700, .sec = 100 },
	{ .path = "/a/empty", .sec = 1 },
	{ .path = "/a/large", .size = 3000001, .sec = -5, .mode = 0600 },
	{ .path = "/a/small", .size = 17, .sec = 4102444800 },
	{ .path = "/b", .type = D, .sec = 200 },
	{ .path = "/b/in", .type = D, .mode = 0555, .sec = 300 },
	{ .path = "/b/in/deep", .size = 20000, .mode = 0400, .sec = 2 },
	{ .path = "/b/link",
	  .type = ENTRY_SYMLINK,
	  .target = "../a/small",
	  .sec = 400 },
	{ .path = "/c", .type = D, .sec = 500 },
	{ .path = "/d", .size = 5, .mode = 010000, .sec = 600 },
	{ .path = "/e", .type = ENTRY_FIFO, .mode = 0620, .sec = 700 },
	{ .path = "/f", .type = ENTRY_SOCKET, .mode = 0755, .sec = 800 },
	{ .path = "/x\n\xff y", .size = 1, .sec = 900 },
};

static void
everything_comes_back_as_it_was(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	must_run(&r, NULL, false);
	compare_all(&r);
	assert_int_equal(r.res.files, 6);
	assert_int_equal(r.res.dirs, 4);
	assert_int_equal(r.res.others, 3);
	assert_int_equal(r.res.links, 0);
	assert_int_equal(r.res.failed, 0);
	assert_int_equal(r.res.bytes, r.g.record.counts.bytes);
	assert_int_equal(r.res.total_bytes, r.res.bytes);
	assert_int_equal(r.res.total_files, N_OF(plain));
	rig_end(&r);
}

static void
a_new_target_directory_gets_what_the_top_had(void **state)
{
	struct rig r;
	struct stat st;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	must_run(&r, "/", false);
	assert_int_equal(stat(r.to, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	rig_end(&r);
}

static void
a_target_directory_that_was_there_keeps_its_own(void **state)
{
	struct rig r;
	struct stat st;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	assert_int_equal(mkdir(r.to, 0711), 0);
	must_run(&r, NULL, false);
	compare_all(&r);
	assert_int_equal(stat(r.to, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	rig_end(&r);
}

static void
any_number_of_threads_does_the_same(void **state)
{
	static const unsigned n[] = { 0, 1, 2, 16 };
	struct rig r;
	size_t i;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	for (i = 0; i < N_OF(n); i++) {
		r.opt.threads = n[i];
		must_run(&r, NULL, false);
		compare_all(&r);
		remove_all(r.to);
	}
	rig_end(&r);
}

static void
owners_and_special_modes_come_back(void **state)
{
	static const struct thing t[] = {
		{ .path = "/bin",
		  .uid = 4711,
		  .gid = 4712,
		  .mode = 06755,
		  .size = 100 },
		{ .path = "/dir",
		  .type = D,
		  .uid = 4711,
		  .gid = 4712,
		  .mode = 02770 },
		{ .path = "/dir/f", .gid = 4713, .mode = 0640 },
		{ .path = "/dir/sub", .type = D, .uid = 3, .mode = 01777 },
		{ .path = "/dir/sub/f", .mode = 0666 },
		{ .path = "/link",
		  .type = ENTRY_SYMLINK,
		  .uid = 5,
		  .gid = 6,
		  .target = "nowhere" },
		{ .path = "/null",
		  .type = ENTRY_CHAR,
		  .major = 1,
		  .minor = 3,
		  .mode = 0666,
		  .uid = 7 },
		{ .path = "/pipe", .type = ENTRY_FIFO, .mode = 0606, .gid = 8 },
		{ .path = "/secret", .uid = 9, .mode = 0600, .size = 9 },
		{ .path = "/vda",
		  .type = ENTRY_BLOCK,
		  .major = 254,
		  .mode = 0660,
		  .gid = 6 },
	};
	struct rig r;

	(void)state;
	if (geteuid() != 0)
		skip();
	rig_begin(&r, t, N_OF(t));
	must_run(&r, NULL, false);
	compare_all(&r);
	assert_int_equal(r.res.failed, 0);
	rig_end(&r);
}

static void
a_umask_and_a_setgid_target_change_nothing(void **state)
{
	static const mode_t masks[] = { 0, 022, 077, 0277 };
	struct rig r;
	size_t i;
	mode_t before = umask(0);

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	for (i = 0; i < N_OF(masks); i++) {
		assert_int_equal(mkdir(r.to, 0700), 0);
		assert_int_equal(chmod(r.to, 02700), 0);
		if (geteuid() == 0)
			assert_int_equal(chown(r.to, 0, 4711), 0);
		(void)umask(masks[i]);
		must_run(&r, NULL, false);
		assert_int_equal(umask(0), masks[i]);
		compare_all(&r);
		remove_all(r.to);
	}
	rig_end(&r);
	(void)umask(before);
}

static void
attributes_come_back_short_and_long(void **state)
{
	static const struct thing t[] = {
		{ .path = "/dir", .type = D, .xattr = 10 },
		{ .path = "/dir/f", .xattr = 3000, .size = 3 },
	};
	static const struct thing with_long[] = {
		{ .path = "/long", .xattr = 5000 },
	};
	struct rig r;

	(void)state;
	rig_begin(&r, t, N_OF(t));
	must_run(&r, NULL, false);
	if (r.tolds > 0 && strstr(r.told[0].why, "supported") != NULL) {
		rig_end(&r);
		skip();
	}
	compare_all(&r);
	rig_end(&r);

	/* ext4 has no room for this; then it is told, and the file is there. */
	rig_begin(&r, with_long, 1);
	must_run(&r, NULL, false);
	if (r.tolds > 0)
		must_tell(&r, 0, "/long", "set its attribute user.asof-test",
			  false);
	else
		compare_all(&r);
	rig_end(&r);
}

static void
links_and_pipes_have_attributes_too(void **state)
{
	static const struct thing t[] = {
		{ .path = "/link",
		  .type = ENTRY_SYMLINK,
		  .target = "x",
		  .xattr = 5,
		  .xattr_name = "trusted.asof-test" },
		{ .path = "/pipe",
		  .type = ENTRY_FIFO,
		  .xattr = 6,
		  .xattr_name = "trusted.asof-test" },
	};
	struct rig r;

	(void)state;
	if (geteuid() != 0)
		skip();
	rig_begin(&r, t, N_OF(t));
	must_run(&r, NULL, false);
	if (r.tolds > 0 && strstr(r.told[0].why, "supported") != NULL) {
		rig_end(&r);
		skip();
	}
	assert_int_equal(r.tolds, 0);
	compare_all(&r);
	rig_end(&r);
}

static void
a_chunk_many_times_is_written_many_times(void **state)
{
	static const struct thing t[] = {
		{ .path = "/run", .size = 50 * MAKER_CHUNK, .same = true },
	};
	struct rig r;

	(void)state;
	rig_begin(&r, t, N_OF(t));
	must_run(&r, NULL, false);
	compare_all(&r);
	rig_end(&r);
}

static void
holes_stay_holes(void **state)
{
	static const struct thing t[] = {
		{ .path = "/all", .size = 1 << 20, .hole_len = 1 << 20 },
		{ .path = "/end",
		  .size = (1 << 20) + 70000,
		  .hole_at = 70000,
		  .hole_len = 1 << 20 },
		{ .path = "/mid",
		  .size = 3 << 20,
		  .hole_at = 1 << 20,
		  .hole_len = 1 << 20 },
		{ .path = "/start", .size = 2 << 20, .hole_len = 1 << 20 },
	};
	struct rig r;
	struct stat st;
	size_t i;

	(void)state;
	rig_begin(&r, t, N_OF(t));
	r.opt.verify = true;
	must_run(&r, NULL, false);
	compare_all(&r);
	for (i = 0; i < N_OF(t); i++) {
		assert_int_equal(stat(at(&r, t[i].path), &st), 0);
		assert_true((uint64_t)st.st_blocks * 512 <=
			    t[i].size - t[i].hole_len + 8192);
	}
	rig_end(&r);
}

/* --- parts ---------------------------------------------------------------------- */

static void
a_part_goes_under_its_own_name(void **state)
{
	static const struct {
		const char *path;
		bool contents;
		const char *have, *as; /* this thing is there as this */
		uint64_t total;
	} t[] = {
		{ "/a/small", false, "/a/small", "small", 1 },
		{ "/b", false, "/b/in/deep", "b/in/deep", 4 },
		{ "/b", true, "/b/in/deep", "in/deep", 3 },
		{ "/b/in", false, "/b/in", "in", 2 },
		{ "/b/link", false, "/b/link", "link", 1 },
		{ "/", false, "/b/link", "b/link", N_OF(plain) },
		{ "/", true, "/b/link", "b/link", N_OF(plain) },
	};
	struct rig r;
	size_t i;
	size_t j;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	for (i = 0; i < N_OF(t); i++) {
		must_run(&r, t[i].path, t[i].contents);
		for (j = 0; j < N_OF(plain); j++)
			if (strcmp(plain[j].path, t[i].have) == 0)
				compare(&plain[j], at(&r, t[i].as));
		assert_int_equal(r.res.total_files, t[i].total);
		assert_int_equal(r.res.files + r.res.dirs + r.res.others,
				 t[i].total);
		assert_false(exists(at(&r, "c")) && t[i].path[1] != '\0');
		remove_all(r.to);
	}
	rig_end(&r);
}

static void
a_part_that_is_not_there_is_an_error(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	assert_int_equal(run(&r, "/a/none", false), -1);
	assert_int_equal(r.e.kind, ERR_MISSING);
	assert_string_equal(r.e.text, "no /a/none in generation 7");
	assert_int_equal(run(&r, "/a/small", true), -1);
	assert_int_equal(r.e.kind, ERR_USAGE);
	assert_false(exists(r.to));
	rig_end(&r);
}

static void
a_target_that_cannot_be_is_an_error(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	r.opt.to = scratch_at(&r.s, "none/to");
	assert_int_equal(run(&r, NULL, false), -1);
	assert_non_null(strstr(r.e.text, "make the directory "));
	scratch_write(scratch_at(&r.s, "file"), "x", 1);
	r.opt.to = scratch_at(&r.s, "file");
	assert_int_equal(run(&r, NULL, false), -1);
	assert_non_null(strstr(r.e.text, "open the directory "));
	rig_end(&r);
}

static void
failures_are_told_with_the_path_in_the_generation(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	assert_int_equal(mkdir(r.to, 0700), 0);
	assert_int_equal(mkdir(at(&r, "in"), 0700), 0);
	scratch_write(at(&r, "in/deep"), "mine", 4);
	must_run(&r, "/b/in", false);
	assert_int_equal(r.tolds, 1);
	must_tell(&r, 0, "/b/in/deep", "File exists", false);
	must_run(&r, "/b/in", true);
	assert_int_equal(r.tolds, 0);
	scratch_write(at(&r, "link"), "mine", 4);
	must_run(&r, "/b/link", false);
	assert_int_equal(r.tolds, 1);
	must_tell(&r, 0, "/b/link", "File exists", false);
	rig_end(&r);
}

/* --- what is there already ------------------------------------------------------- */

static const struct thing few[] = {
	{ .path = "/dir", .type = D, .sec = 10 },
	{ .path = "/dir/f", .size = 20000, .sec = 20 },
	{ .path = "/dir/l", .type = ENTRY_SYMLINK, .target = "f", .sec = 30 },
	{ .path = "/dir/p", .type = ENTRY_FIFO, .sec = 40 },
};

static void
prepare_few(struct rig *r, enum restore_existing existing)
{
	rig_begin(r, few, N_OF(few));
	r->opt.existing = existing;
	assert_int_equal(mkdir(r->to, 0700), 0);
	assert_int_equal(mkdir(at(r, "dir"), 0701), 0);
	scratch_write(at(r, "dir/f"), "mine", 4);
	scratch_write(at(r, "dir/l"), "mine", 4);
	scratch_write(at(r, "dir/p"), "mine", 4);
	scratch_write(at(r, "dir/other"), "mine", 4);
}

static void
must_be_mine(const struct rig *r, const char *path)
{
	char got[8];

	assert_int_equal(scratch_read(at(r, path), got, sizeof(got)), 4);
	assert_memory_equal(got, "mine", 4);
}

/* Names in the directory, those with a dot too. */
static size_t
count_names(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	assert_int_equal(closedir(d), 0);
	return n - 2;
}

static void
refuse_leaves_what_is_there_and_tells(void **state)
{
	struct rig r;
	struct stat st;

	(void)state;
	prepare_few(&r, RESTORE_REFUSE);
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 3);
	assert_int_equal(r.res.failed, 3);
	assert_int_equal(r.res.damaged, 0);
	must_be_mine(&r, "dir/f");
	must_be_mine(&r, "dir/l");
	must_be_mine(&r, "dir/p");
	assert_int_equal(stat(at(&r, "dir"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0701);
	rig_end(&r);
}

static void
keep_leaves_what_is_there_and_says_nothing(void **state)
{
	struct rig r;

	(void)state;
	prepare_few(&r, RESTORE_KEEP);
	assert_int_equal(unlink(at(&r, "dir/p")), 0);
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 0);
	assert_int_equal(r.res.failed, 0);
	must_be_mine(&r, "dir/f");
	must_be_mine(&r, "dir/l");
	compare(&few[3], at(&r, "dir/p"));
	rig_end(&r);
}

static void
replace_puts_the_stored_in_place_of_what_is_there(void **state)
{
	struct rig r;
	struct stat st;

	(void)state;
	prepare_few(&r, RESTORE_REPLACE);
	/* What is replaced keeps existing under its other names. */
	assert_int_equal(link(at(&r, "dir/f"), at(&r, "second")), 0);
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 0);
	compare_all(&r);
	must_be_mine(&r, "second");
	must_be_mine(&r, "dir/other");
	assert_int_equal(count_names(at(&r, "dir")), 4);
	assert_int_equal(stat(at(&r, "dir"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	rig_end(&r);
}

static void
a_directory_is_never_replaced_by_anything_else(void **state)
{
	struct rig r;

	(void)state;
	prepare_few(&r, RESTORE_REPLACE);
	assert_int_equal(unlink(at(&r, "dir/f")), 0);
	assert_int_equal(mkdir(at(&r, "dir/f"), 0700), 0);
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 1);
	must_tell(&r, 0, "/dir/f", "directory", false);
	assert_true(exists(at(&r, "dir/f")));
	rig_end(&r);
}

/* A link to elsewhere where a directory should be. */
static void
prepare_trap(struct rig *r, enum restore_existing existing)
{
	rig_begin(r, few, N_OF(few));
	r->opt.existing = existing;
	assert_int_equal(mkdir(r->to, 0700), 0);
	assert_int_equal(mkdir(scratch_at(&r->s, "elsewhere"), 0700), 0);
	assert_int_equal(symlink("../elsewhere", at(r, "dir")), 0);
}

static void
nothing_is_written_through_a_link(void **state)
{
	struct rig r;

	(void)state;
	prepare_trap(&r, RESTORE_REFUSE);
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 1);
	must_tell(&r, 0, "/dir", "something else is in its place", false);
	assert_int_equal(r.res.failed, N_OF(few));
	assert_int_equal(count_names(scratch_at(&r.s, "elsewhere")), 0);
	rig_end(&r);

	prepare_trap(&r, RESTORE_KEEP);
	must_run(&r, NULL, false);
	assert_int_equal(r.res.failed, N_OF(few));
	assert_int_equal(count_names(scratch_at(&r.s, "elsewhere")), 0);
	rig_end(&r);

	prepare_trap(&r, RESTORE_REPLACE);
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 0);
	compare_all(&r);
	assert_int_equal(count_names(scratch_at(&r.s, "elsewhere")), 0);
	rig_end(&r);
}

/* Somebody puts a link in the place of each directory as it is made. */
static const char *swap_to;

static int
mkdir_and_swap(int dirfd, const char *name, mode_t mode)
{
	int rc = sys_real.mkdirat(dirfd, name, mode);

	if (rc == 0 && dirfd != AT_FDCWD &&
	    sys_real.unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
		(void)sys_real.symlinkat(swap_to, dirfd, name);
	return rc;
}

static void
a_directory_swapped_for_a_link_leads_nowhere(void **state)
{
	struct sys_ops ops = sys_real;
	struct rig r;

	(void)state;
	rig_begin(&r, few, N_OF(few));
	assert_int_equal(mkdir(scratch_at(&r.s, "elsewhere"), 0700), 0);
	swap_to = scratch_at(&r.s, "elsewhere");
	ops.mkdirat = mkdir_and_swap;
	sys_target = &ops;
	must_run(&r, NULL, false);
	sys_target = &sys_real;
	assert_int_equal(r.tolds, 1);
	must_tell(&r, 0, "/dir", "open it", false);
	assert_int_equal(count_names(scratch_at(&r.s, "elsewhere")), 0);
	rig_end(&r);
}

/* Somebody puts another file where a pipe was made. */
static int
mknod_and_swap(int dirfd, const char *name, mode_t mode, dev_t dev)
{
	int rc = sys_real.mknodat(dirfd, name, mode, dev);

	if (rc == 0 && sys_real.unlinkat(dirfd, name, 0) == 0)
		(void)sys_real.linkat(AT_FDCWD, swap_to, dirfd, name, 0);
	return rc;
}

static void
a_thing_swapped_for_another_keeps_what_it_has(void **state)
{
	static const struct thing t[] = {
		{ .path = "/p", .type = ENTRY_FIFO, .mode = 0666, .uid = 99 },
	};
	struct sys_ops ops = sys_real;
	struct stat st;
	struct rig r;

	(void)state;
	rig_begin(&r, t, N_OF(t));
	scratch_write(scratch_at(&r.s, "mine"), "mine", 4);
	swap_to = scratch_at(&r.s, "mine");
	ops.mknodat = mknod_and_swap;
	sys_target = &ops;
	must_run(&r, NULL, false);
	sys_target = &sys_real;
	assert_int_equal(r.tolds, 1);
	must_tell(&r, 0, "/p", "somebody has replaced it", false);
	assert_int_equal(stat(scratch_at(&r.s, "mine"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, geteuid());
	rig_end(&r);
}

/* --- hard links ------------------------------------------------------------------- */

static const struct thing linked[] = {
	{ .path = "/a", .type = D, .sec = 10 },
	{ .path = "/a/x", .size = 30000, .link = 5, .nlink = 4, .sec = 20 },
	{ .path = "/a/y", .size = 30000, .link = 5, .nlink = 4, .sec = 20 },
	{ .path = "/b", .type = D, .sec = 30 },
	{ .path = "/b/c", .type = D, .mode = 0500, .sec = 40 },
	{ .path = "/b/c/x", .size = 30000, .link = 5, .nlink = 4, .sec = 20 },
	{ .path = "/b/p", .type = ENTRY_FIFO, .link = 6, .nlink = 3, .sec = 1 },
	{ .path = "/b/q", .type = ENTRY_FIFO, .link = 6, .nlink = 3, .sec = 1 },
	{ .path = "/s",
	  .type = ENTRY_SYMLINK,
	  .target = "a",
	  .link = 7,
	  .nlink = 2,
	  .sec = 2 },
	{ .path = "/t",
	  .type = ENTRY_SYMLINK,
	  .target = "a",
	  .link = 7,
	  .nlink = 2,
	  .sec = 2 },
	{ .path = "/x", .size = 30000, .link = 5, .nlink = 4, .sec = 20 },
};

static ino_t
inode(const struct rig *r, const char *path)
{
	struct stat st;

	assert_int_equal(lstat(at(r, path), &st), 0);
	return st.st_ino;
}

static void
names_of_one_inode_are_one_inode_again(void **state)
{
	struct rig r;
	int i;

	(void)state;
	rig_begin(&r, linked, N_OF(linked));
	for (i = 0; i < 2; i++) {
		/* The second time over what is there. */
		must_run(&r, NULL, false);
		compare_all(&r);
		assert_int_equal(inode(&r, "/a/x"), inode(&r, "/a/y"));
		assert_int_equal(inode(&r, "/a/x"), inode(&r, "/b/c/x"));
		assert_int_equal(inode(&r, "/a/x"), inode(&r, "/x"));
		assert_int_equal(inode(&r, "/b/p"), inode(&r, "/b/q"));
		assert_int_equal(inode(&r, "/s"), inode(&r, "/t"));
		assert_int_equal(r.res.links, 5);
		assert_int_equal(r.res.files, 1);
		assert_int_equal(r.res.others, 2);
		assert_int_equal(r.res.failed, 0);
		assert_int_equal(count_names(at(&r, "a")), 2);
		r.opt.existing = RESTORE_REPLACE;
	}
	rig_end(&r);
}

static void
if_the_first_name_cannot_be_the_next_is_the_first(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, linked, N_OF(linked));
	r.opt.threads = 1;
	assert_int_equal(mkdir(r.to, 0700), 0);
	assert_int_equal(mkdir(at(&r, "a"), 0700), 0);
	scratch_write(at(&r, "a/x"), "mine", 4);
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 1);
	must_tell(&r, 0, "/a/x", "File exists", false);
	must_be_mine(&r, "a/x");
	compare(&linked[2], at(&r, "/a/y"));
	assert_int_equal(inode(&r, "/a/y"), inode(&r, "/b/c/x"));
	assert_int_equal(inode(&r, "/a/y"), inode(&r, "/x"));
	rig_end(&r);
}

static int
too_many_links(int olddir, const char *oldpath, int newdir, const char *newpath,
	       int flags)
{
	(void)olddir;
	(void)oldpath;
	(void)newdir;
	(void)newpath;
	(void)flags;
	errno = EMLINK;
	return -1;
}

static void
where_no_link_can_be_made_there_is_a_copy_and_it_is_told(void **state)
{
	struct sys_ops ops = sys_real;
	struct rig r;
	size_t i;

	(void)state;
	rig_begin(&r, linked, N_OF(linked));
	ops.linkat = too_many_links;
	sys_target = &ops;
	must_run(&r, NULL, false);
	sys_target = &sys_real;
	compare_all(&r);
	assert_int_equal(r.res.links, 0);
	assert_int_equal(r.res.failed, 5);
	assert_int_equal(r.tolds, 5);
	for (i = 0; i < r.tolds; i++)
		assert_non_null(
			strstr(r.told[i].why, "restored as a file of its own"));
	rig_end(&r);
}

static void
restore_many_links(size_t groups, size_t names)
{
	static struct thing t[2000];
	static char path[N_OF(t)][32];
	size_t n = groups * names;
	struct rig r;
	size_t i;

	assert_true(n <= N_OF(t));
	memset(t, 0, sizeof(t));
	for (i = 0; i < n; i++) {
		(void)snprintf(path[i], sizeof(path[i]), "/%06zu", i);
		t[i].path = path[i];
		t[i].link = 100 + i % groups;
		t[i].nlink = names;
		t[i].size = 1000;
	}
	rig_begin(&r, t, n);
	r.opt.threads = 8;
	must_run(&r, NULL, false);
	compare_all(&r);
	for (i = 0; i < n; i++)
		assert_int_equal(inode(&r, path[i]),
				 inode(&r, path[i % groups]));
	assert_int_equal(r.res.files, groups);
	assert_int_equal(r.res.links, n - groups);
	rig_end(&r);
}

static void
many_links_by_many_threads_are_right(void **state)
{
	(void)state;
	restore_many_links(40, 30);
	restore_many_links(1000, 2);
}

/* --- inode flags -------------------------------------------------------------------- */

/* Declared as a long, read and written as an int. */
#define FLAG_WORDS (sizeof(long) / sizeof(unsigned))

static unsigned
get_flags(const char *path)
{
	unsigned flags[FLAG_WORDS] = { 0 };
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, FS_IOC_GETFLAGS, flags), 0);
	assert_int_equal(close(fd), 0);
	return flags[0];
}

static bool
set_flags(const char *path, unsigned flags)
{
	unsigned words[FLAG_WORDS] = { flags };
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	bool ok;

	assert_true(fd >= 0);
	ok = ioctl(fd, FS_IOC_SETFLAGS, words) == 0;
	assert_int_equal(close(fd), 0);
	return ok;
}

static void
clear_flags(const char *path)
{
	assert_true(set_flags(
		path,
		get_flags(path) & ~(unsigned)(FS_IMMUTABLE_FL | FS_APPEND_FL)));
}

/* Can they be set where the tests are? */
static bool
has_flags(const struct scratch *s)
{
	unsigned words[FLAG_WORDS] = { 0 };
	int fd = open(s->path, O_RDONLY | O_CLOEXEC);
	bool yes;

	assert_true(fd >= 0);
	yes = geteuid() == 0 && ioctl(fd, FS_IOC_GETFLAGS, words) == 0 &&
	      ioctl(fd, FS_IOC_SETFLAGS, words) == 0;
	assert_int_equal(close(fd), 0);
	return yes;
}

static void
inode_flags_come_last_and_do_not_stop_links(void **state)
{
	static const struct thing t[] = {
		{ .path = "/dir", .type = D, .inode_flags = FS_IMMUTABLE_FL },
		{ .path = "/dir/a",
		  .size = 3,
		  .link = 5,
		  .nlink = 2,
		  .inode_flags = FS_IMMUTABLE_FL | FS_NODUMP_FL },
		{ .path = "/dir/b",
		  .size = 3,
		  .inode_flags = FS_APPEND_FL | FS_EXTENT_FL },
		{ .path = "/x",
		  .size = 3,
		  .link = 5,
		  .nlink = 2,
		  .inode_flags = FS_IMMUTABLE_FL | FS_NODUMP_FL },
		{ .path = "/y",
		  .size = 3,
		  .link = 6,
		  .nlink = 2,
		  .inode_flags = FS_IMMUTABLE_FL },
	};
	static const unsigned some =
		FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL;
	struct rig r;

	(void)state;
	rig_begin(&r, t, N_OF(t));
	if (!has_flags(&r.s)) {
		rig_end(&r);
		skip();
	}
	must_run(&r, NULL, false);
	assert_int_equal(r.res.failed, 0);
	assert_int_equal(get_flags(at(&r, "dir")) & some, FS_IMMUTABLE_FL);
	assert_int_equal(get_flags(at(&r, "x")) & some,
			 FS_IMMUTABLE_FL | FS_NODUMP_FL);
	assert_int_equal(get_flags(at(&r, "dir/b")) & some, FS_APPEND_FL);
	/* One whose other name is not in the generation. */
	assert_int_equal(get_flags(at(&r, "y")) & some, FS_IMMUTABLE_FL);
	assert_int_equal(inode(&r, "/dir/a"), inode(&r, "/x"));
	clear_flags(at(&r, "dir"));
	clear_flags(at(&r, "dir/b"));
	clear_flags(at(&r, "x"));
	clear_flags(at(&r, "y"));
	compare_all(&r);
	rig_end(&r);
}

/* --- owners by name ------------------------------------------------------------------ */

static void
owners_go_by_name_unless_numbers_are_wanted(void **state)
{
	static const struct thing t[] = {
		{ .path = "/f", .uid = 54321, .gid = 54322 },
		{ .path = "/g", .uid = 54323 },
	};
	struct record_name users[] = { { 54323, "no such user, surely" },
				       { 54321, "root" } };
	struct record_name groups[] = { { 54322, "root" } };
	struct stat st;
	struct rig r;

	(void)state;
	if (geteuid() != 0)
		skip();
	rig_begin(&r, t, N_OF(t));
	r.g.record.user = users;
	r.g.record.user_count = 2;
	r.g.record.group = groups;
	r.g.record.group_count = 1;
	must_run(&r, NULL, false);
	assert_int_equal(stat(at(&r, "f"), &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 0);
	assert_int_equal(stat(at(&r, "g"), &st), 0);
	assert_int_equal(st.st_uid, 54323);
	remove_all(r.to);
	r.opt.numeric_ids = true;
	must_run(&r, NULL, false);
	compare_all(&r);
	rig_end(&r);
}

static void
without_owners_nothing_gets_setuid(void **state)
{
	static const struct thing t[] = {
		{ .path = "/d", .type = D, .mode = 02755, .uid = 54321 },
		{ .path = "/d/f", .mode = 04755, .uid = 54321 },
		{ .path = "/g", .mode = 02755, .gid = 54321 },
	};
	struct stat st;
	struct rig r;

	(void)state;
	rig_begin(&r, t, N_OF(t));
	r.opt.no_owner = true;
	must_run(&r, NULL, false);
	assert_int_equal(r.res.failed, 0);
	assert_int_equal(stat(at(&r, "d/f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(stat(at(&r, "g"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	rig_end(&r);
}

static int
no_fchown(int fd, uid_t uid, gid_t gid)
{
	(void)fd;
	(void)uid;
	(void)gid;
	errno = EPERM;
	return -1;
}

static void
who_cannot_be_the_owner_gets_no_setuid(void **state)
{
	static const struct thing t[] = {
		{ .path = "/f", .mode = 06755, .uid = 54321, .size = 5 },
	};
	struct sys_ops ops = sys_real;
	struct stat st;
	struct rig r;

	(void)state;
	rig_begin(&r, t, N_OF(t));
	ops.fchown = no_fchown;
	sys_target = &ops;
	r.opt.no_owner = geteuid() != 0;
	must_run(&r, NULL, false);
	sys_target = &sys_real;
	if (geteuid() == 0) {
		assert_int_equal(r.tolds, 1);
		must_tell(&r, 0, "/f", "set its owner", false);
	}
	assert_int_equal(stat(at(&r, "f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	compare_content(&t[0], at(&r, "f"));
	rig_end(&r);
}

/* As nobody, in a child: 0 when all is as it should be. */
static int
restore_as_nobody(struct rig *r)
{
	struct stat st;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 1;
	if (run(r, NULL, false) < 0)
		return 2;
	if (r->tolds != 1 || strcmp(r->told[0].path, "/n") != 0 ||
	    strstr(r->told[0].why, "create it: Operation not") == NULL)
		return 3;
	if (stat(at(r, "f"), &st) < 0 || st.st_uid != 65534 ||
	    (st.st_mode & 07777) != 0640)
		return 4;
	/* A setuid bit that is our own to give. */
	if (stat(at(r, "s"), &st) < 0 || (st.st_mode & 07777) != 04755)
		return 5;
	return stat(at(r, "d/x"), &st) < 0 ? 6 : 0;
}

static void
an_ordinary_user_gets_what_he_may_have(void **state)
{
	static const struct thing t[] = {
		{ .path = "/d", .type = D, .mode = 0555 },
		{ .path = "/d/x", .uid = 1, .mode = 0444 },
		{ .path = "/f", .uid = 1, .mode = 04640, .size = 5 },
		{ .path = "/n", .type = ENTRY_CHAR, .major = 1, .minor = 3 },
		{ .path = "/s", .uid = 65534, .gid = 65534, .mode = 04755 },
	};
	struct rig r;
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	rig_begin(&r, t, N_OF(t));
	assert_int_equal(chmod(r.s.path, 0755), 0);
	assert_int_equal(mkdir(r.to, 0700), 0);
	assert_int_equal(chown(r.to, 65534, 65534), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(restore_as_nobody(&r));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	rig_end(&r);
}

/* --- ACLs ------------------------------------------------------------------------------ */

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* Owner rwx, user 4711 rwx, group r-x, mask rwx, others none. */
static const uint8_t acl[] = {
	2,    0,    0,    0,    0x01, 0,    7,    0,    0xff, 0xff, 0xff,
	0xff, 0x02, 0,    7,    0,    0x67, 0x12, 0,    0,    0x04, 0,
	5,    0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,    7,    0,    0xff,
	0xff, 0xff, 0xff, 0x20, 0,    0,    0,    0xff, 0xff, 0xff, 0xff,
};

static void
a_default_acl_of_the_target_is_not_inherited(void **state)
{
	struct rig r;
	size_t i;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	assert_int_equal(mkdir(r.to, 0700), 0);
	if (setxattr(r.to, ACL_DEFAULT, acl, sizeof(acl), 0) < 0) {
		rig_end(&r);
		skip();
	}
	must_run(&r, NULL, false);
	compare_all(&r);
	for (i = 0; i < r.things; i++) {
		const char *path = at(&r, plain[i].path);

		if (plain[i].type != 0 && plain[i].type != D)
			continue;
		assert_int_equal(lgetxattr(path, ACL_ACCESS, NULL, 0), -1);
		assert_int_equal(lgetxattr(path, ACL_DEFAULT, NULL, 0), -1);
	}
	rig_end(&r);
}

static void
acls_come_back_with_users_by_name(void **state)
{
	static const struct thing one[] = { { .path = "/f", .mode = 0770 } };
	struct record_name users[] = { { 4711, "root" } };
	struct xattr x = {
		.name = (const uint8_t *)ACL_ACCESS,
		.name_len = sizeof(ACL_ACCESS) - 1,
		.inlined = true,
		.value = acl,
		.len = sizeof(acl),
	};
	struct entry en = maker_entry(&one[0]);
	struct tree_builder *b;
	struct buf bytes = { 0 };
	uint8_t got[100];
	struct rig r;

	(void)state;
	rig_begin(&r, one, 1);
	if (setxattr(r.s.path, ACL_ACCESS, acl, sizeof(acl), 0) < 0) {
		rig_end(&r);
		skip();
	}
	xattr_put(&bytes, &x);
	en.flags |= ENTRY_XATTRS;
	en.xattrs = 1;
	en.xattr_bytes = bytes.data;
	en.xattr_len = bytes.len;
	assert_int_equal(tree_builder_new(&r.m->sink, &b, NULL), 0);
	assert_int_equal(tree_builder_add(b, &en, NULL), 0);
	assert_int_equal(tree_builder_finish(b, &r.g.record.root.dir, NULL), 0);
	tree_builder_free(b);
	buf_clear(&bytes);
	r.g.record.user = users;
	r.g.record.user_count = 1;
	must_run(&r, NULL, false);
	assert_int_equal(r.res.failed, 0);
	assert_int_equal(lgetxattr(at(&r, "f"), ACL_ACCESS, got, sizeof(got)),
			 sizeof(acl));
	assert_int_equal(got[16] | got[17], 0); /* 4711 here is root */
	got[16] = acl[16];
	got[17] = acl[17];
	assert_memory_equal(got, acl, sizeof(acl));
	rig_end(&r);
}

/* --- damage ---------------------------------------------------------------------------- */

/* All chunks of a kind, to pick from. */
struct picked {
	enum id_kind kind;
	struct id id[400];
	size_t len[400];
	size_t n;
};

static void
pick(void *ctx, enum id_kind kind, const struct id *id, const uint8_t *p,
     size_t len)
{
	struct picked *k = ctx;

	(void)p;
	if (kind == k->kind && k->n < N_OF(k->id)) {
		k->len[k->n] = len;
		k->id[k->n++] = *id;
	}
}

/* The chunk that begins with the file's byte at `at`. */
static struct id
chunk_of(const struct rig *r, const struct thing *t, size_t from)
{
	uint8_t *p = malloc(t->size);
	size_t len = t->size - from;
	struct id id;

	assert_non_null(p);
	maker_bytes(t, p);
	id_compute(&r->m->keys, KIND_DATA, p + from,
		   len < MAKER_CHUNK ? len : MAKER_CHUNK, &id);
	free(p);
	return id;
}

static void
a_file_with_a_damaged_chunk_is_named_and_not_left_behind(void **state)
{
	struct rig r;
	struct id id;
	size_t i;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	id = chunk_of(&r, &plain[2], 1000000);
	memstore_corrupt(r.m, &id);
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 1);
	assert_string_equal(r.told[0].path, "/a/large");
	assert_true(r.told[0].damage);
	assert_int_equal(r.res.failed, 1);
	assert_int_equal(r.res.damaged, 1);
	assert_false(exists(at(&r, "/a/large")));
	for (i = 0; i < N_OF(plain); i++)
		if (i != 2)
			compare(&plain[i], at(&r, plain[i].path));
	rig_end(&r);
}

static void
what_is_to_be_replaced_stays_when_the_new_is_damaged(void **state)
{
	struct rig r;
	struct id id;

	(void)state;
	prepare_few(&r, RESTORE_REPLACE);
	id = chunk_of(&r, &few[1], 10000);
	memstore_drop(r.m, &id);
	must_run(&r, NULL, false);
	assert_int_equal(r.res.damaged, 1);
	must_be_mine(&r, "dir/f");
	assert_int_equal(count_names(at(&r, "dir")), 4);
	rig_end(&r);
}

static void
a_damaged_value_of_an_attribute_is_named_and_the_file_kept(void **state)
{
	static const struct thing t[] = {
		{ .path = "/f", .size = 100, .xattr = 5000 },
	};
	struct picked k = { .kind = KIND_DATA };
	struct rig r;
	size_t i;

	(void)state;
	rig_begin(&r, t, 1);
	memstore_each(r.m, pick, &k);
	for (i = 0; i < k.n; i++)
		if (k.len[i] == 5000)
			memstore_corrupt(r.m, &k.id[i]);
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 1);
	must_tell(&r, 0, "/f", "read its attribute user.asof-test", true);
	assert_int_equal(r.res.damaged, 1);
	compare_content(&t[0], at(&r, "f"));
	rig_end(&r);
}

/* A directory that takes several nodes. */
static void
many_files(struct thing *t, char (*path)[32], size_t n)
{
	size_t i;

	memset(t, 0, n * sizeof(*t));
	for (i = 0; i < n; i++) {
		(void)snprintf(path[i], sizeof(path[i]), "/%06zu", i);
		t[i].path = path[i];
		t[i].size = i % 7 * 10;
	}
}

static void
behind_a_damaged_node_the_other_names_are_restored(void **state)
{
	enum {
		N = 2000
	};
	static struct thing t[N];
	static char path[N][32];
	static struct picked k;
	struct rig r;
	size_t i;
	size_t n;
	size_t leaves = 0;

	(void)state;
	many_files(t, path, N);
	rig_begin(&r, t, N);
	memset(&k, 0, sizeof(k));
	k.kind = KIND_TREE;
	memstore_each(r.m, pick, &k);
	assert_true(k.n > 4);
	for (i = 0; i < k.n && leaves < 3; i++) {
		if (id_equal(&k.id[i], &r.g.record.root.dir.id))
			continue;
		memstore_corrupt(r.m, &k.id[i]);
		must_run(&r, NULL, false);
		n = count_names(r.to);
		assert_int_equal(r.tolds, 1);
		must_tell(&r, 0, "/", " in it ", true);
		assert_int_equal(r.res.damaged, N - n);
		assert_int_equal(r.res.files, n);
		assert_true(n >= N - SPLIT_MAX * (leaves + 1) && n < N);
		/* Damaged for good: the next one is damaged besides. */
		remove_all(r.to);
		leaves++;
		memstore_free(r.m);
		scratch_end(&r.s);
		rig_begin(&r, t, N);
	}
	rig_end(&r);
}

static void
a_directory_that_is_lost_is_named_and_the_rest_restored(void **state)
{
	struct rig r;
	struct node n;
	struct id id;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	assert_int_equal(view_path(&r.g, "/b", &n, &r.e), 0);
	id = n.entry.dir.id;
	node_clear(&n);
	memstore_drop(r.m, &id);
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 1);
	must_tell(&r, 0, "/b", "2 names in it are lost", true);
	assert_true(exists(at(&r, "/a/large")));
	assert_true(exists(at(&r, "/d")));
	rig_end(&r);
}

static void
what_was_not_readable_then_is_told_and_left_out(void **state)
{
	static const struct thing t[] = {
		{ .path = "/d", .type = D, .flags = ENTRY_PARTIAL_LIST },
		{ .path = "/d/f", .size = 5, .flags = ENTRY_UNREADABLE },
		{ .path = "/d/g", .size = 5 },
		{ .path = "/e", .type = D, .flags = ENTRY_UNREADABLE },
	};
	struct rig r;

	(void)state;
	rig_begin(&r, t, N_OF(t));
	r.opt.threads = 1;
	must_run(&r, NULL, false);
	assert_int_equal(r.tolds, 3);
	assert_int_equal(r.res.unreadable, 3);
	assert_int_equal(r.res.failed, 3);
	assert_int_equal(r.res.damaged, 0);
	assert_false(exists(at(&r, "/d/f")));
	assert_false(exists(at(&r, "/e")));
	compare(&t[2], at(&r, "/d/g"));
	rig_end(&r);
}

/* --- verify ------------------------------------------------------------------------------ */

static ssize_t
wrong_pread(int fd, void *p, size_t n, off_t from)
{
	ssize_t got = sys_real.pread(fd, p, n, from);

	if (got > 5)
		((uint8_t *)p)[5] ^= 1;
	return got;
}

static void
verify_finds_what_reads_back_differently(void **state)
{
	struct sys_ops ops = sys_real;
	struct rig r;

	(void)state;
	rig_begin(&r, few, N_OF(few));
	r.opt.verify = true;
	r.opt.sync = true;
	must_run(&r, NULL, false);
	compare_all(&r);
	remove_all(r.to);
	ops.pread = wrong_pread;
	sys_target = &ops;
	must_run(&r, NULL, false);
	sys_target = &sys_real;
	assert_int_equal(r.tolds, 1);
	must_tell(&r, 0, "/dir/f", "not what was written", false);
	assert_false(exists(at(&r, "/dir/f")));
	rig_end(&r);
}

/* --- depth ------------------------------------------------------------------------------- */

/* A chain of `depth` directories with a file at each `every`-th. */
static struct tree_root
make_chain(struct rig *r, size_t depth)
{
	static const struct thing dir = {
		.path = "/0123456789", .type = D, .sec = 5, .mode = 0700
	};
	static const struct thing file = { .path = "/f" };
	struct tree_builder *b;
	struct tree_root root;
	struct entry en;
	size_t i;

	assert_int_equal(tree_builder_new(&r->m->sink, &b, NULL), 0);
	assert_int_equal(tree_builder_finish(b, &root, NULL), 0);
	for (i = 0; i < depth; i++) {
		en = maker_entry(&dir);
		en.dir = root;
		assert_int_equal(tree_builder_add(b, &en, NULL), 0);
		en = maker_entry(&file);
		assert_int_equal(tree_builder_add(b, &en, NULL), 0);
		assert_int_equal(tree_builder_finish(b, &root, NULL), 0);
	}
	tree_builder_free(b);
	return root;
}

/* Follow the chain down; how deep it goes. */
static size_t
measure_chain(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	size_t n = 0;
	int below;

	assert_true(fd >= 0);
	for (;; n++) {
		below = openat(fd, "0123456789",
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (below < 0)
			break;
		assert_int_equal(fstatat(fd, "f", &st, 0), 0);
		assert_int_equal(fstat(below, &st), 0);
		assert_int_equal(st.st_mtim.tv_sec, 5);
		assert_int_equal(close(fd), 0);
		fd = below;
	}
	assert_int_equal(close(fd), 0);
	return n;
}

/* With 64 descriptors, in a child: 0 when all is as it should be. */
static int
restore_with_few_fds(struct rig *r, size_t depth)
{
	static const struct rlimit few_fds = { 64, 64 };

	/* Valgrind does not let go of its own. */
	(void)setrlimit(RLIMIT_NOFILE, &few_fds);
	if (run(r, NULL, false) < 0 || r->tolds > 0)
		return 1;
	return r->res.dirs != depth || r->res.files != depth ? 2 : 0;
}

static void
depth_needs_neither_path_length_nor_descriptors(void **state)
{
	enum {
		DEPTH = 2000
	};
	struct rig r;
	int status;
	pid_t pid;

	(void)state;
	rig_begin(&r, plain, 0);
	r.g.record.root.dir = make_chain(&r, DEPTH);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(restore_with_few_fds(&r, DEPTH));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(measure_chain(r.to), DEPTH);
	rig_end(&r);
}

/* --- stopping ----------------------------------------------------------------------------- */

static void
many_files_in_many_directories_come_back(void **state)
{
	enum {
		DIRS = 30,
		EACH = 40
	};
	static struct thing t[DIRS * (EACH + 1)];
	static char path[N_OF(t)][32];
	struct rig r;
	size_t i;
	size_t j;
	size_t n = 0;

	(void)state;
	memset(t, 0, sizeof(t));
	for (i = 0; i < DIRS; i++) {
		(void)snprintf(path[n], sizeof(path[n]), "/%03zu", i);
		t[n].type = D;
		t[n].sec = (int64_t)i;
		t[n].path = path[n];
		n++;
		for (j = 0; j < EACH; j++, n++) {
			(void)snprintf(path[n], sizeof(path[n]), "/%03zu/%03zu",
				       i, j);
			t[n].path = path[n];
			t[n].size = (i * EACH + j) * 97 % 40000;
			t[n].sec = (int64_t)j;
		}
	}
	rig_begin(&r, t, N_OF(t));
	r.opt.threads = 6;
	must_run(&r, NULL, false);
	compare_all(&r);
	assert_int_equal(r.res.files, DIRS * EACH);
	assert_true(r.ticks > 0);
	rig_end(&r);
}

static void
cancelling_stops_it_and_leaves_no_half_file(void **state)
{
	atomic_int cancel = 1;
	struct rig r;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	r.opt.cancel = &cancel;
	assert_int_equal(run(&r, NULL, false), -1);
	assert_int_equal(r.e.kind, ERR_CANCELLED);
	assert_int_equal(r.res.files, 0);
	assert_int_equal(r.tolds, 0);
	rig_end(&r);
}

static void
cancelling_in_a_file_takes_it_away_again(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	r.opt.cancel = &r.cancel;
	r.cancel_at_tick = true;
	r.opt.threads = 1;
	assert_int_equal(run(&r, "/a/large", false), -1);
	assert_int_equal(r.e.kind, ERR_CANCELLED);
	assert_string_equal(r.e.text, "restore cancelled");
	assert_false(exists(at(&r, "large")));
	rig_end(&r);
}

/* Whatever is there under its name is whole. */
static void
nothing_is_half(const struct rig *r)
{
	size_t i;

	for (i = 0; i < r->things; i++)
		if (r->thing[i].type == 0 && exists(at(r, r->thing[i].path)) &&
		    scratch_size(at(r, r->thing[i].path)) >= 0)
			compare_content(&r->thing[i], at(r, r->thing[i].path));
}

static const struct thing fault_things[] = {
	{ .path = "/d", .type = D, .sec = 1 },
	{ .path = "/d/a", .size = 25000, .sec = 2, .link = 5, .nlink = 2 },
	{ .path = "/d/b", .size = 100, .sec = 3, .xattr = 20 },
	{ .path = "/d/c", .type = ENTRY_SYMLINK, .target = "b", .sec = 4 },
	{ .path = "/e", .size = 30000, .hole_at = 10000, .hole_len = 20000 },
	{ .path = "/f", .size = 25000, .sec = 2, .link = 5, .nlink = 2 },
	{ .path = "/g", .type = ENTRY_FIFO },
};

/*
 * Let the nth call fail, for each n: either all is told, or the run says
 * that it failed; and no half file has a name.
 */
static void
sweep(enum fault_kind kind, enum restore_existing existing)
{
	uint64_t n;
	struct rig r;
	bool fired = true;
	int rc;

	rig_begin(&r, fault_things, N_OF(fault_things));
	r.opt.threads = 1;
	r.opt.existing = existing;
	for (n = 1; fired; n++) {
		assert_true(n < 1000);
		if (existing == RESTORE_REPLACE) {
			assert_int_equal(mkdir(r.to, 0700), 0);
			scratch_write(at(&r, "f"), "", 0);
		}
		fault_arm(kind, FAULT_TARGET, n, false);
		rc = run(&r, NULL, false);
		fired = fault_disarm();
		if (rc < 0)
			assert_true(r.e.text[0] != '\0');
		if (kind == FAULT_EINTR || kind == FAULT_SHORT || !fired) {
			assert_int_equal(rc, 0);
			assert_int_equal(r.tolds, 0);
			compare_all(&r);
		} else if (kind == FAULT_NOMEM) {
			assert_int_equal(rc, -1);
			assert_int_equal(r.e.kind, ERR_NOMEM);
		} else if (kind == FAULT_ENOSPC) {
			/* Of an attribute it is told, of all else it ends. */
			assert_true(rc == -1 || r.tolds == 1);
		}
		if (existing != RESTORE_REPLACE || rc == 0)
			nothing_is_half(&r);
		remove_all(r.to);
	}
	assert_true(n > 3);
	rig_end(&r);
}

static void
no_call_fails_unnoticed(void **state)
{
	int kind;

	(void)state;
	for (kind = 0; kind < FAULT_KINDS; kind++) {
		if (kind == FAULT_EIO)
			continue;
		sweep((enum fault_kind)kind, RESTORE_REFUSE);
		sweep((enum fault_kind)kind, RESTORE_REPLACE);
	}
}

/* EIO may hit a call that only tidies up, so not every one must be told. */
static void
an_io_error_of_the_target_leaves_no_half_file(void **state)
{
	(void)state;
	sweep(FAULT_EIO, RESTORE_REFUSE);
	sweep(FAULT_EIO, RESTORE_REPLACE);
}

static void
a_full_target_ends_the_run_with_one_sentence(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r, plain, N_OF(plain));
	r.opt.threads = 1;
	fault_arm(FAULT_ENOSPC, FAULT_TARGET, 20, true);
	assert_int_equal(run(&r, NULL, false), -1);
	(void)fault_disarm();
	assert_int_equal(r.e.kind, ERR_SYS);
	assert_int_equal(r.e.saved_errno, ENOSPC);
	assert_non_null(strstr(r.e.text, "restore /"));
	assert_non_null(strstr(r.e.text, "No space left on device"));
	assert_int_equal(r.tolds, 0);
	nothing_is_half(&r);
	rig_end(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_comes_back_as_it_was),
		cmocka_unit_test(a_new_target_directory_gets_what_the_top_had),
		cmocka_unit_test(
			a_target_directory_that_was_there_keeps_its_own),
		cmocka_unit_test(any_number_of_threads_does_the_same),
		cmocka_unit_test(owners_and_special_modes_come_back),
		cmocka_unit_test(a_umask_and_a_setgid_target_change_nothing),
		cmocka_unit_test(attributes_come_back_short_and_long),
		cmocka_unit_test(links_and_pipes_have_attributes_too),
		cmocka_unit_test(a_chunk_many_times_is_written_many_times),
		cmocka_unit_test(holes_stay_holes),
		cmocka_unit_test(a_part_goes_under_its_own_name),
		cmocka_unit_test(a_part_that_is_not_there_is_an_error),
		cmocka_unit_test(a_target_that_cannot_be_is_an_error),
		cmocka_unit_test(
			failures_are_told_with_the_path_in_the_generation),
		cmocka_unit_test(refuse_leaves_what_is_there_and_tells),
		cmocka_unit_test(keep_leaves_what_is_there_and_says_nothing),
		cmocka_unit_test(
			replace_puts_the_stored_in_place_of_what_is_there),
		cmocka_unit_test(
			a_directory_is_never_replaced_by_anything_else),
		cmocka_unit_test(nothing_is_written_through_a_link),
		cmocka_unit_test(a_directory_swapped_for_a_link_leads_nowhere),
		cmocka_unit_test(a_thing_swapped_for_another_keeps_what_it_has),
		cmocka_unit_test(names_of_one_inode_are_one_inode_again),
		cmocka_unit_test(
			if_the_first_name_cannot_be_the_next_is_the_first),
		cmocka_unit_test(
			where_no_link_can_be_made_there_is_a_copy_and_it_is_told),
		cmocka_unit_test(many_links_by_many_threads_are_right),
		cmocka_unit_test(inode_flags_come_last_and_do_not_stop_links),
		cmocka_unit_test(owners_go_by_name_unless_numbers_are_wanted),
		cmocka_unit_test(without_owners_nothing_gets_setuid),
		cmocka_unit_test(who_cannot_be_the_owner_gets_no_setuid),
		cmocka_unit_test(an_ordinary_user_gets_what_he_may_have),
		cmocka_unit_test(a_default_acl_of_the_target_is_not_inherited),
		cmocka_unit_test(acls_come_back_with_users_by_name),
		cmocka_unit_test(
			a_file_with_a_damaged_chunk_is_named_and_not_left_behind),
		cmocka_unit_test(
			what_is_to_be_replaced_stays_when_the_new_is_damaged),
		cmocka_unit_test(
			a_damaged_value_of_an_attribute_is_named_and_the_file_kept),
		cmocka_unit_test(
			behind_a_damaged_node_the_other_names_are_restored),
		cmocka_unit_test(
			a_directory_that_is_lost_is_named_and_the_rest_restored),
		cmocka_unit_test(
			what_was_not_readable_then_is_told_and_left_out),
		cmocka_unit_test(verify_finds_what_reads_back_differently),
		cmocka_unit_test(
			depth_needs_neither_path_length_nor_descriptors),
		cmocka_unit_test(many_files_in_many_directories_come_back),
		cmocka_unit_test(cancelling_stops_it_and_leaves_no_half_file),
		cmocka_unit_test(cancelling_in_a_file_takes_it_away_again),
		cmocka_unit_test(no_call_fails_unnoticed),
		cmocka_unit_test(an_io_error_of_the_target_leaves_no_half_file),
		cmocka_unit_test(a_full_target_ends_the_run_with_one_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
