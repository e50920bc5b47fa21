#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/repository.h"

#include "base/buf.h"
#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;

static int
set_up(void **state)
{
	(void)state;
	scratch_begin(&scratch);
	failing_install();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	failing_remove();
	(void)chmod(scratch_at(&scratch, "r/packs"), 0700);
	scratch_end(&scratch);
	return 0;
}

static const char *
repo(void)
{
	return scratch_at(&scratch, "r");
}

/* A file or directory of the repository. */
static const char *
in_repo(const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "r/%s", name);
	return scratch_at(&scratch, path);
}

static void
must_init(void)
{
	struct err e = { 0 };

	if (repository_init(repo(), &e) < 0)
		fail_msg("%s", e.text);
}

static struct repository *
must_open(void)
{
	struct repository *r = NULL;
	struct err e = { 0 };

	if (repository_open(repo(), &r, &e) < 0)
		fail_msg("%s", e.text);
	return r;
}

static void
assert_init_fails(const char *path, enum err_kind kind, const char *text)
{
	struct err e = { 0 };

	assert_int_equal(repository_init(path, &e), -1);
	assert_int_equal(e.kind, kind);
	if (strstr(e.text, text) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", e.text, text);
}

static void
assert_open_fails(const char *path, enum err_kind kind, const char *text)
{
	struct repository *r = NULL;
	struct err e = { 0 };

	assert_int_equal(repository_open(path, &r, &e), -1);
	assert_null(r);
	assert_int_equal(e.kind, kind);
	if (strstr(e.text, text) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", e.text, text);
}

/* --- init ----------------------------------------------------------------- */

static void
init_makes_a_repository_that_opens(void **state)
{
	static const char *const dirs[] = { "",         "keys",
					    "packs",    "generations",
					    "sessions", "condemned" };
	unsigned char a[1000];
	unsigned char b[1000];
	struct repository *r;
	struct stat st;
	size_t n;
	size_t i;

	(void)state;
	must_init();
	for (i = 0; i < N_OF(dirs); i++) {
		assert_int_equal(stat(in_repo(dirs[i]), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
	}
	n = scratch_read(in_repo("config"), a, sizeof(a));
	assert_int_equal(
		scratch_read(in_repo("keys/config.copy"), b, sizeof(b)), n);
	assert_memory_equal(a, b, n);
	assert_int_equal(scratch_count(in_repo("sessions"), NULL, 0), 0);

	r = must_open();
	assert_string_equal(r->path, repo());
	assert_false(r->read_only);
	assert_false(r->config_damaged);
	assert_int_equal(repository_want_write(r, NULL), 0);
	repository_close(r);
}

static void
init_takes_an_empty_directory(void **state)
{
	(void)state;
	assert_int_equal(mkdir(repo(), 0755), 0);
	assert_int_equal(mkdir(in_repo("lost+found"), 0700), 0);
	must_init();
	repository_close(must_open());
}

static void
init_refuses_a_repository(void **state)
{
	(void)state;
	must_init();
	assert_init_fails(repo(), ERR_USAGE,
			  "there is a repository here already");
	repository_close(must_open());
}

static void
init_refuses_a_repository_whose_config_is_lost(void **state)
{
	(void)state;
	must_init();
	scratch_write(in_repo("generations/1"), "x", 1);
	assert_int_equal(unlink(in_repo("config")), 0);
	assert_init_fails(repo(), ERR_USAGE, "generations/1 is in it");
}

static void
init_refuses_a_directory_with_something_in_it(void **state)
{
	(void)state;
	assert_int_equal(mkdir(repo(), 0700), 0);
	scratch_write(in_repo("letter"), "x", 1);
	assert_init_fails(repo(), ERR_USAGE, "not empty: letter is in it");
	assert_int_equal(scratch_count(repo(), NULL, 0), 1);
}

static void
init_refuses_a_file_and_a_missing_parent(void **state)
{
	(void)state;
	scratch_write(repo(), "x", 1);
	assert_init_fails(repo(), ERR_USAGE, "not a directory");
	assert_init_fails(scratch_at(&scratch, "no/r"), ERR_SYS,
			  "No such file");
	assert_init_fails("", ERR_USAGE, "no name");
}

static void
init_takes_a_relative_path(void **state)
{
	struct repository *r = NULL;
	int before = open(".", O_RDONLY | O_DIRECTORY);

	(void)state;
	assert_true(before >= 0);
	assert_int_equal(chdir(scratch.path), 0);
	assert_int_equal(repository_init("./x/../r/", NULL), 0);
	assert_int_equal(repository_open("r", &r, NULL), 0);
	assert_string_equal(r->path, repo());
	repository_close(r);
	assert_int_equal(fchdir(before), 0);
	assert_int_equal(close(before), 0);
}

/* Whatever call fails: the next init succeeds, or there is a repository. */
static void
init_can_be_run_again_after_any_failure(void **state)
{
	unsigned char id[16];
	struct repository *r;
	struct err e = { 0 };
	unsigned n;
	bool clean;
	int rc;

	(void)state;
	for (n = 1, clean = false; !clean; n++) {
		failing_plan(FAIL_ALL, n, n % 2 == 0, EIO);
		err_clear(&e);
		rc = repository_init(repo(), &e);
		clean = failing_hits() == 0;
		failing_off();
		assert_true(rc == 0 || e.text[0] != '\0');
		err_clear(&e);
		if (rc < 0 && repository_init(repo(), &e) < 0)
			assert_non_null(strstr(e.text, "already"));
		r = must_open();
		memcpy(id, r->config.id, sizeof(id));
		assert_false(r->config_damaged);
		repository_close(r);
		assert_int_equal(nftw(repo(), scratch_remove_one, 16,
				      FTW_DEPTH | FTW_PHYS),
				 0);
		assert_true(n < 1000);
	}
	assert_true(n > 30);
}

static void
init_survives_every_failing_allocation(void **state)
{
	struct err e = { 0 };
	unsigned n;
	int rc;

	(void)state;
	for (n = 1;; n++) {
		failing_plan_alloc(n, true);
		err_clear(&e);
		rc = repository_init(repo(), &e);
		if (failing_hits() == 0)
			break;
		failing_off();
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_NOMEM);
	}
	failing_off();
	assert_int_equal(rc, 0);
	repository_close(must_open());
}

/* Two processes at once: what the second finds is the first one's copy. */
static void
init_takes_over_the_config_of_an_interrupted_one(void **state)
{
	unsigned char a[1000];
	unsigned char b[1000];
	size_t n;

	(void)state;
	must_init();
	n = scratch_read(in_repo("config"), a, sizeof(a));
	assert_int_equal(unlink(in_repo("config")), 0);
	assert_open_fails(repo(), ERR_USAGE, "its init did not finish");
	must_init();
	assert_int_equal(scratch_read(in_repo("config"), b, sizeof(b)), n);
	assert_memory_equal(a, b, n);
}

static void
init_replaces_a_damaged_copy_of_an_interrupted_one(void **state)
{
	struct repository *r;

	(void)state;
	must_init();
	assert_int_equal(unlink(in_repo("config")), 0);
	scratch_flip(in_repo("keys/config.copy"), 60);
	must_init();
	r = must_open();
	assert_false(r->config_damaged);
	repository_close(r);
}

static void
init_refuses_a_file_system_without_locks(void **state)
{
	(void)state;
	failing_plan(FAIL_LOCK, 1, true, ENOLCK);
	assert_init_fails(repo(), ERR_SYS, "no working locks");
	failing_off();
	must_init();
}

/* --- open ----------------------------------------------------------------- */

static void
open_says_when_there_is_no_repository(void **state)
{
	(void)state;
	assert_open_fails(repo(), ERR_USAGE, "there is no such directory");
	scratch_write(repo(), "x", 1);
	assert_open_fails(repo(), ERR_USAGE, "not an asof repository");
	assert_int_equal(unlink(repo()), 0);
	assert_int_equal(mkdir(repo(), 0700), 0);
	assert_open_fails(repo(), ERR_USAGE, "not an asof repository");
	scratch_write(in_repo("config"), "[core]\n", 7);
	assert_open_fails(repo(), ERR_USAGE, "not an asof repository");
}

struct damage {
	const char *name;
	const char *file;
	enum {
		FLIP_MAGIC,
		FLIP_BODY,
		CUT,
		REMOVE
	} how;
};

static void
harm(const struct damage *d)
{
	const char *path = in_repo(d->file);

	switch (d->how) {
	case FLIP_MAGIC:
		scratch_flip(path, 0);
		break;
	case FLIP_BODY:
		scratch_flip(path, 50);
		break;
	case CUT:
		assert_int_equal(truncate(path, 70), 0);
		break;
	case REMOVE:
		assert_int_equal(unlink(path), 0);
		break;
	}
}

/* clang-format off */
static const struct damage damages[] = {
	{ "config: no magic", "config", FLIP_MAGIC },
	{ "config: a bit in the body", "config", FLIP_BODY },
	{ "config: cut off", "config", CUT },
	{ "config: gone", "config", REMOVE },
	{ "copy: no magic", "keys/config.copy", FLIP_MAGIC },
	{ "copy: a bit in the body", "keys/config.copy", FLIP_BODY },
	{ "copy: cut off", "keys/config.copy", CUT },
	{ "copy: gone", "keys/config.copy", REMOVE },
};
/* clang-format on */

static void
open_uses_the_good_copy_of_the_config(void **state)
{
	unsigned char id[16];
	struct repository *r;
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(damages); i++) {
		must_init();
		scratch_write(in_repo("generations/1"), "x", 1);
		r = must_open();
		memcpy(id, r->config.id, sizeof(id));
		repository_close(r);
		harm(&damages[i]);
		r = must_open();
		if (!r->config_damaged)
			fail_msg("%s: not noticed", damages[i].name);
		assert_memory_equal(id, r->config.id, sizeof(id));
		repository_close(r);
		assert_int_equal(nftw(repo(), scratch_remove_one, 16,
				      FTW_DEPTH | FTW_PHYS),
				 0);
	}
}

static void
open_refuses_when_both_copies_are_damaged(void **state)
{
	size_t i;
	size_t j;

	(void)state;
	for (i = 0; i < 4; i++) {
		for (j = 4; j < 8; j++) {
			must_init();
			scratch_write(in_repo("generations/1"), "x", 1);
			harm(&damages[i]);
			harm(&damages[j]);
			assert_open_fails(
				repo(),
				damages[j].how == REMOVE &&
						(damages[i].how == REMOVE ||
						 damages[i].how == FLIP_MAGIC)
					? ERR_USAGE
					: ERR_CORRUPT,
				"");
			assert_int_equal(nftw(repo(), scratch_remove_one, 16,
					      FTW_DEPTH | FTW_PHYS),
					 0);
		}
	}
}

static void
open_refuses_a_newer_version_even_with_a_copy(void **state)
{
	char version = 2;
	int fd;

	(void)state;
	must_init();
	fd = open(in_repo("config"), O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &version, 1, 8), 1);
	assert_int_equal(close(fd), 0);
	assert_open_fails(repo(), ERR_UNSUPPORTED, "");
}

static void
open_needs_packs_and_generations(void **state)
{
	(void)state;
	must_init();
	assert_int_equal(rmdir(in_repo("packs")), 0);
	assert_open_fails(repo(), ERR_CORRUPT, "packs is missing");
	assert_int_equal(mkdir(in_repo("packs"), 0700), 0);
	assert_int_equal(rmdir(in_repo("generations")), 0);
	assert_open_fails(repo(), ERR_CORRUPT, "generations is missing");
}

static void
open_makes_up_for_empty_directories_that_were_lost(void **state)
{
	struct repository *r;

	(void)state;
	must_init();
	assert_int_equal(rmdir(in_repo("sessions")), 0);
	assert_int_equal(rmdir(in_repo("condemned")), 0);
	r = must_open();
	assert_true(r->sessions_fd >= 0);
	assert_true(r->condemned_fd >= 0);
	repository_close(r);
}

static void
open_refuses_symlinks_inside(void **state)
{
	(void)state;
	must_init();
	assert_int_equal(rename(in_repo("packs"), scratch_at(&scratch, "p")),
			 0);
	assert_int_equal(symlink("../p", in_repo("packs")), 0);
	assert_open_fails(repo(), ERR_SYS, "packs");
	assert_int_equal(unlink(in_repo("packs")), 0);
}

static void
open_follows_the_symlink_a_person_names(void **state)
{
	struct repository *r = NULL;

	(void)state;
	must_init();
	assert_int_equal(symlink("r", scratch_at(&scratch, "link")), 0);
	assert_int_equal(
		repository_open(scratch_at(&scratch, "link"), &r, NULL), 0);
	repository_close(r);
}

static int
say_no(int dirfd, const char *path, int mode, int flags)
{
	(void)dirfd;
	(void)path;
	(void)mode;
	(void)flags;
	errno = EROFS;
	return -1;
}

/* By a table of our own: root may write everywhere. */
static void
open_finds_out_that_it_cannot_write_without_writing(void **state)
{
	struct sys_ops ops = sys_real;
	struct repository *r;
	struct err e = { 0 };

	(void)state;
	must_init();
	ops.faccessat = say_no;
	sys_repo = &ops;
	r = must_open();
	assert_true(r->read_only);
	assert_int_equal(repository_want_write(r, &e), -1);
	assert_int_equal(e.kind, ERR_SYS);
	assert_non_null(strstr(e.text, "cannot be written"));
	repository_close(r);
	failing_install();
}

static void
want_write_refuses_unknown_features(void **state)
{
	struct repository *r;
	struct err e = { 0 };

	(void)state;
	must_init();
	r = must_open();
	r->config.features.write = UINT64_C(1) << 40;
	assert_int_equal(repository_want_write(r, &e), -1);
	assert_int_equal(e.kind, ERR_UNSUPPORTED);
	repository_close(r);
}

/* A descriptor too many at the end is found by the teardown. */
static void
open_survives_every_failing_call(void **state)
{
	struct repository *r;
	struct err e = { 0 };
	unsigned n;
	int rc;

	(void)state;
	must_init();
	scratch_write(in_repo("generations/1"), "x", 1);
	for (n = 1;; n++) {
		failing_plan(FAIL_ALL, n, n % 2 == 0, EIO);
		err_clear(&e);
		r = NULL;
		rc = repository_open(repo(), &r, &e);
		if (failing_hits() == 0)
			break;
		failing_off();
		assert_true(rc == 0 || (r == NULL && e.text[0] != '\0'));
		repository_close(r);
	}
	failing_off();
	repository_close(r);
	assert_true(n > 5);
	for (n = 1;; n++) {
		failing_plan_alloc(n, false);
		err_clear(&e);
		r = NULL;
		rc = repository_open(repo(), &r, &e);
		if (failing_hits() == 0)
			break;
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_NOMEM);
	}
	failing_off();
	repository_close(r);
}

/* --- generations ---------------------------------------------------------- */

static void
generations_are_listed_in_order_and_others_ignored(void **state)
{
	static const char *const names[] = {
		"10",     "9",        "2",           "3.forgotten",
		"4.gone", "12.gone",  "007",         "0",
		"1x",     "x1",       "5.forgot",    ".tmp-6",
		"-1",     "16777215", "99999999999", "18446744073709551617",
		"7.",     "+8",       "8 ",          "",
	};
	static const uint32_t want[] = { 2, 9, 10 };
	struct generation_names g = { 0 };
	struct repository *r;
	char path[64];
	size_t i;

	(void)state;
	must_init();
	r = must_open();
	assert_int_equal(repository_generations(r, &g, NULL), 0);
	assert_int_equal(g.count, 0);
	assert_int_equal(g.highest, 0);
	generation_names_clear(&g);
	for (i = 0; names[i][0] != '\0'; i++) {
		(void)snprintf(path, sizeof(path), "generations/%s", names[i]);
		scratch_write(in_repo(path), "", 0);
	}
	assert_int_equal(repository_generations(r, &g, NULL), 0);
	assert_int_equal(g.count, N_OF(want));
	for (i = 0; i < N_OF(want); i++)
		assert_int_equal(g.number[i], want[i]);
	assert_int_equal(g.highest, 12);
	generation_names_clear(&g);
	repository_close(r);
}

static void
many_generations_are_listed(void **state)
{
	struct generation_names g = { 0 };
	struct repository *r;
	char path[64];
	uint32_t i;

	(void)state;
	must_init();
	r = must_open();
	for (i = 1000; i >= 1; i--) {
		(void)snprintf(path, sizeof(path), "generations/%u", i);
		scratch_write(in_repo(path), "", 0);
	}
	assert_int_equal(repository_generations(r, &g, NULL), 0);
	assert_int_equal(g.count, 1000);
	for (i = 0; i < 1000; i++)
		assert_int_equal(g.number[i], i + 1);
	generation_names_clear(&g);
	repository_close(r);
}

static void
a_published_generation_is_read_back(void **state)
{
	struct repository *r;
	struct buf b = { 0 };

	(void)state;
	must_init();
	r = must_open();
	assert_int_equal(repository_read_generation(r, 1, &b, NULL), 1);
	assert_int_equal(repository_publish_generation(r, 1, "record", 6, NULL),
			 0);
	assert_int_equal(repository_read_generation(r, 1, &b, NULL), 0);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.data, "record", 6);
	buf_clear(&b);
	repository_close(r);
}

static void
a_number_is_never_given_twice(void **state)
{
	struct repository *r;
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	must_init();
	r = must_open();
	assert_int_equal(repository_publish_generation(r, 1, "a", 1, NULL), 0);
	assert_int_equal(repository_publish_generation(r, 1, "b", 1, NULL), 1);
	assert_int_equal(repository_forget_generation(r, 1, NULL), 0);
	assert_int_equal(repository_forget_generation(r, 1, NULL), 1);
	assert_int_equal(repository_publish_generation(r, 1, "b", 1, NULL), 1);
	assert_int_equal(repository_read_generation(r, 1, &b, NULL), 1);
	assert_int_equal(rename(in_repo("generations/1.forgotten"),
				in_repo("generations/1.gone")),
			 0);
	assert_int_equal(repository_publish_generation(r, 1, "b", 1, NULL), 1);
	assert_int_equal(repository_publish_generation(r, 2, "b", 1, NULL), 0);
	assert_int_equal(repository_publish_generation(r, 0, "b", 1, &e), -1);
	assert_int_equal(repository_publish_generation(
				 r, GENERATION_NUMBER_MAX + 1, "b", 1, NULL),
			 -1);
	assert_int_equal(scratch_count(in_repo("generations"), NULL, 0), 2);
	buf_clear(&b);
	repository_close(r);
}

static int lost_stat = 2;

/* The number is forgotten by another process just after the first look. */
static int
late_stat(int dirfd, const char *path, struct stat *st, int flags)
{
	if (lost_stat > 0 && strstr(path, ".") != NULL) {
		lost_stat--;
		errno = ENOENT;
		return -1;
	}
	return sys_real.fstatat(dirfd, path, st, flags);
}

static void
a_number_that_was_used_meanwhile_is_withdrawn(void **state)
{
	struct sys_ops ops = sys_real;
	struct repository *r;
	struct buf b = { 0 };

	(void)state;
	must_init();
	r = must_open();
	scratch_write(in_repo("generations/1.forgotten"), "x", 1);
	ops.fstatat = late_stat;
	sys_repo = &ops;
	assert_int_equal(repository_publish_generation(r, 1, "b", 1, NULL), 1);
	failing_install();
	assert_int_equal(lost_stat, 0);
	assert_int_equal(repository_read_generation(r, 1, &b, NULL), 1);
	buf_clear(&b);
	repository_close(r);
}

/* Order of writing: what a failed call leaves is no generation. */
static void
publishing_is_all_or_nothing_whatever_fails(void **state)
{
	struct repository *r;
	struct buf b = { 0 };
	struct err e = { 0 };
	uint32_t number = 0;
	unsigned n;
	int rc;

	(void)state;
	must_init();
	r = must_open();
	for (n = 1;; n++) {
		number++;
		failing_plan(FAIL_ALL, n, false, EIO);
		err_clear(&e);
		rc = repository_publish_generation(r, number, "abc", 3, &e);
		if (failing_hits() == 0)
			break;
		failing_off();
		if (rc < 0)
			assert_non_null(strstr(e.text, repo()));
		buf_reset(&b);
		assert_int_equal(
			repository_read_generation(r, number, &b, NULL),
			rc == 0 ? 0 : 1);
		assert_int_equal(b.len, rc == 0 ? 3 : 0);
	}
	failing_off();
	assert_int_equal(rc, 0);
	assert_true(n > 6);
	buf_clear(&b);
	repository_close(r);
}

static void
a_generation_that_is_no_file_is_corrupt(void **state)
{
	struct repository *r;
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	must_init();
	r = must_open();
	assert_int_equal(mkdir(in_repo("generations/1"), 0700), 0);
	assert_int_equal(symlink("/etc/passwd", in_repo("generations/2")), 0);
	assert_int_equal(mkfifo(in_repo("generations/3"), 0600), 0);
	assert_int_equal(repository_read_generation(r, 1, &b, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	err_clear(&e);
	assert_int_equal(repository_read_generation(r, 2, &b, &e), -1);
	err_clear(&e);
	assert_int_equal(repository_read_generation(r, 3, &b, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_non_null(strstr(e.text, "generations: 3"));
	buf_clear(&b);
	repository_close(r);
}

/* --- following ------------------------------------------------------------ */

/* Another name for what is at r; what is at `name` takes its place. */
static void
swap(const char *aside, const char *name)
{
	char from[300];

	(void)snprintf(from, sizeof(from), "%s", scratch_at(&scratch, aside));
	assert_int_equal(rename(repo(), from), 0);
	if (name != NULL) {
		(void)snprintf(from, sizeof(from), "%s",
			       scratch_at(&scratch, name));
		assert_int_equal(rename(from, repo()), 0);
	}
}

static void
copy_config(const char *from)
{
	unsigned char bytes[1000];
	char path[300];
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/config", from);
	n = scratch_read(scratch_at(&scratch, path), bytes, sizeof(bytes));
	scratch_write(in_repo("config"), bytes, n);
	scratch_write(in_repo("keys/config.copy"), bytes, n);
}

static void
following_opens_the_same_repository_in_another_place(void **state)
{
	struct repository *r;
	struct err e = { 0 };
	int fd;

	(void)state;
	must_init();
	r = must_open();
	fd = r->packs_fd;
	assert_int_equal(repository_follow(r, &e), 1);
	swap("old", NULL);
	must_init();
	copy_config("old");
	scratch_write(in_repo("packs/new"), "x", 1);
	assert_int_equal(faccessat(r->packs_fd, "new", F_OK, 0), -1);
	assert_int_equal(repository_follow(r, &e), 0);
	assert_int_equal(r->packs_fd, fd);
	assert_int_equal(faccessat(r->packs_fd, "new", F_OK, 0), 0);
	assert_int_equal(repository_follow(r, &e), 1);
	repository_close(r);
}

static void
following_does_not_take_another_repository_or_none(void **state)
{
	struct repository *r;
	struct err e = { 0 };
	struct stat before;
	struct stat after;

	(void)state;
	must_init();
	r = must_open();
	assert_int_equal(fstat(r->packs_fd, &before), 0);
	swap("old", NULL);
	assert_int_equal(repository_follow(r, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	err_clear(&e);
	must_init();
	assert_int_equal(repository_follow(r, &e), -1);
	assert_non_null(strstr(e.text, "is another repository now"));
	assert_int_equal(fstat(r->packs_fd, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	swap("other", "old");
	assert_int_equal(repository_follow(r, NULL), 1);
	repository_close(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(init_makes_a_repository_that_opens),
		TEST(init_takes_an_empty_directory),
		TEST(init_refuses_a_repository),
		TEST(init_refuses_a_repository_whose_config_is_lost),
		TEST(init_refuses_a_directory_with_something_in_it),
		TEST(init_refuses_a_file_and_a_missing_parent),
		TEST(init_takes_a_relative_path),
		TEST(init_can_be_run_again_after_any_failure),
		TEST(init_survives_every_failing_allocation),
		TEST(init_takes_over_the_config_of_an_interrupted_one),
		TEST(init_replaces_a_damaged_copy_of_an_interrupted_one),
		TEST(init_refuses_a_file_system_without_locks),
		TEST(open_says_when_there_is_no_repository),
		TEST(open_uses_the_good_copy_of_the_config),
		TEST(open_refuses_when_both_copies_are_damaged),
		TEST(open_refuses_a_newer_version_even_with_a_copy),
		TEST(open_needs_packs_and_generations),
		TEST(open_makes_up_for_empty_directories_that_were_lost),
		TEST(open_refuses_symlinks_inside),
		TEST(open_follows_the_symlink_a_person_names),
		TEST(open_finds_out_that_it_cannot_write_without_writing),
		TEST(want_write_refuses_unknown_features),
		TEST(open_survives_every_failing_call),
		TEST(generations_are_listed_in_order_and_others_ignored),
		TEST(many_generations_are_listed),
		TEST(a_published_generation_is_read_back),
		TEST(a_number_is_never_given_twice),
		TEST(a_number_that_was_used_meanwhile_is_withdrawn),
		TEST(publishing_is_all_or_nothing_whatever_fails),
		TEST(a_generation_that_is_no_file_is_corrupt),
		TEST(following_opens_the_same_repository_in_another_place),
		TEST(following_does_not_take_another_repository_or_none),
	};

	return cmocka_run_group_tests_name("repository", tests, NULL, NULL);
}
