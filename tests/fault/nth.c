/*
 * nth - fail the first call, then the second, ... of a whole scenario.
 *
 * For init, backup, index rebuild and restore, for EIO, ENOSPC, EINTR, short
 * counts and failing allocations, once and for ever: run with the Nth
 * eligible call failing, for N = 1, 2, 3 ... until a run meets no failure.
 * After each run, without faults: the repository opens, check finds it
 * sound, the earlier generation reads back byte for byte, and the next
 * backup works.  A run that failed may not have hung, crashed or (under the
 * sanitizers) leaked; one that reported success must have told the truth.
 *
 * NTH_STEP=k does every k'th N only (default 1), beginning at a random one.
 * TAP on standard output: one line per scenario, kind and mode.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/sys.h"
#include "src/engine/backup.h"
#include "src/engine/check.h"
#include "src/engine/generation.h"
#include "src/engine/reader.h"
#include "src/engine/restore.h"
#include "src/engine/view.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"
#include "tests/lib/faults.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES 14
#define RUN_SECONDS 60 /* a run that takes longer hangs */

static char top[300];
static unsigned test_no, failures;
static char complaint[1000];

static const char *
at(const char *name)
{
	static char path[4][400];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", top, name);
	return p;
}

static int
rm_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void
rm_tree(const char *path)
{
	nftw(path, rm_one, 32, FTW_DEPTH | FTW_PHYS);
}

static void
write_file(const char *name, unsigned seed, size_t len)
{
	FILE *f = fopen(at(name), "w");

	for (size_t i = 0; i < len; i++)
		fputc((int)((seed * 2654435761u + i * i / 7 + i) >> 3 & 255),
		      f);
	fclose(f);
}

/* The bytes write_file makes, to compare with. */
static bool
same_file(const uint8_t *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != (uint8_t)((seed * 2654435761u + i * i / 7 + i) >>
					      3 & 255))
			return false;
	return true;
}

static size_t
file_len(unsigned i)
{
	return (size_t)i * i * i * 97;
}

static void
make_source(void)
{
	rm_tree(at("src"));
	mkdir(at("src"), 0755);
	mkdir(at("src/d"), 0700);
	mkdir(at("src/d/e"), 0755);
	for (unsigned i = 0; i < FILES; i++) {
		char name[40];

		snprintf(name, sizeof(name), "src/%sf%u", i % 3 ? "d/" : "", i);
		write_file(name, i, file_len(i));
	}
	if (symlink("d/f1", at("src/link")) < 0 ||
	    link(at("src/d/f5"), at("src/d/e/hard")) < 0)
		abort();
}

/* --- one use of the program, in-process --------------------------------------- */

struct use {
	struct repository *repo;
	struct session *session;
	struct store *store;
};

static void
use_end(struct use *u)
{
	store_close(u->store);
	session_end(u->session);
	repository_close(u->repo);
}

static int
use_begin(struct use *u, const char *kind, struct err *e)
{
	memset(u, 0, sizeof(*u));
	if (repository_open(at("repo"), &u->repo, e) < 0 ||
	    session_begin(u->repo, kind, &u->session, e) < 0 ||
	    store_open(u->repo, u->session, NULL, &u->store, e) < 0) {
		use_end(u);
		return -1;
	}
	return 0;
}

static int
do_backup(struct err *e)
{
	const char *sources[1] = { at("src") };
	struct backup_options o = { .sources = sources,
				    .source_count = 1,
				    .readers = 3,
				    .threads = 2 };
	struct backup_result res;
	struct use u;
	int rc;

	if (use_begin(&u, "backup", e) < 0)
		return -1;
	rc = backup_run(u.store, &o, &res, e);
	if (rc == 0 && res.errors > 0)
		rc = 3;
	use_end(&u);
	return rc;
}

static int
do_restore(struct err *e)
{
	struct restore_options o = { .to = at("out"), .threads = 2 };
	struct restore_result res = { 0 };
	struct view_gen *g = NULL;
	struct use u;
	int rc = -1;

	if (use_begin(&u, "restore", e) < 0)
		return -1;
	if (view_open(u.store, 1, &g, e) == 0)
		rc = restore_run(g, NULL, false, &o, &res, e);
	if (rc == 0 && res.failed > 0)
		rc = 3;
	view_unref(g);
	use_end(&u);
	return rc;
}

/* --- what must hold ------------------------------------------------------------ */

static void
complain(const char *where, const char *what)
{
	if (complaint[0] == '\0')
		snprintf(complaint, sizeof(complaint), "%.300s: %.600s",
			 where, what);
}

static void
told_damage(void *ctx, const char *where, const char *what)
{
	(void)ctx;
	(void)where;
	complain("check", what);
}

static void
check_file(struct view_gen *g, unsigned i)
{
	char path[500];
	struct file_reader f = { 0 };
	struct node n = { 0 };
	struct err e = { 0 };
	uint8_t *p = malloc(file_len(i) + 1);

	snprintf(path, sizeof(path), "%s/src/%sf%u", top, i % 3 ? "d/" : "", i);
	if (view_path(g, path, &n, &e) != 0)
		complain(path, "is not in generation 1");
	else if (n.entry.size != file_len(i))
		complain(path, "has another size");
	else if (file_reader_init(&f, g->reader, &n.entry.content,
				  n.entry.size, &e) < 0 ||
		 file_read(&f, 0, p, file_len(i), NULL, &e) !=
			 (ssize_t)file_len(i))
		complain(path, e.text);
	else if (!same_file(p, file_len(i), i))
		complain(path, "WRONG BYTES");
	file_reader_clear(&f);
	node_clear(&n);
	free(p);
}

/* The repository is sound and generation 1 is what it was. */
static void
check_all(bool generation)
{
	struct check_options o = { .data = true, .damage = told_damage };
	struct check_result res = { 0 };
	struct view_gen *g = NULL;
	struct err e = { 0 };
	struct use u;

	if (use_begin(&u, "check", &e) < 0) {
		complain("cannot open afterwards", e.text);
		return;
	}
	if (check_run(u.store, &o, &res, &e) < 0)
		complain("check", e.text);
	if (generation) {
		if (view_open(u.store, 1, &g, &e) < 0)
			complain("generation 1", e.text);
		else
			for (unsigned i = 0; i < FILES; i++)
				check_file(g, i);
		view_unref(g);
	}
	use_end(&u);
}

/* --- scenarios ------------------------------------------------------------------- */

struct scenario {
	const char *name;
	enum fault_where where;
	void (*before)(void);
	int (*run)(struct err *e); /* the armed part */
	void (*after)(int rc);
};

static void
fresh_repository(void)
{
	struct err e = { 0 };

	rm_tree(at("repo"));
	rm_tree(at("cache"));
	if (repository_init(at("repo"), &e) < 0 || do_backup(&e) != 0) {
		fprintf(stderr, "cannot begin: %s\n", e.text);
		exit(1);
	}
}

static void
before_init(void)
{
	rm_tree(at("repo"));
	rm_tree(at("cache"));
}

static int
run_init(struct err *e)
{
	return repository_init(at("repo"), e);
}

/* An init that failed can be run again. */
static void
after_init(int rc)
{
	struct err e = { 0 };

	if (rc != 0 && repository_init(at("repo"), &e) < 0) {
		/* It may have been the last step only that failed. */
		struct repository *r = NULL;
		struct err e2 = { 0 };

		if (repository_open(at("repo"), &r, &e2) < 0)
			complain("init again", e.text);
		repository_close(r);
	}
	err_clear(&e);
	if (do_backup(&e) != 0)
		complain("backup after init", e.text);
	check_all(true);
}

static unsigned turn;

static void
before_backup(void)
{
	char name[40];

	/* A repository serves many runs: that leftovers do no harm is tested. */
	if (turn++ % 50 == 0) {
		make_source();
		fresh_repository();
	}
	snprintf(name, sizeof(name), "src/d/e/new%u", turn % 5);
	write_file(name, turn, 3000 + turn % 60000);
}

static void
after_backup(int rc)
{
	struct err e = { 0 };

	(void)rc;
	check_all(true);
	if (turn % 7 == 0 && do_backup(&e) != 0)
		complain("the next backup", e.text);
}

static void
before_rebuild(void)
{
	if (turn++ == 0)
		fresh_repository();
	rm_tree(at("cache"));
}

static int
run_rebuild(struct err *e)
{
	struct use u;

	if (use_begin(&u, "show", e) < 0)
		return -1;
	use_end(&u);
	return 0;
}

static void
after_rebuild(int rc)
{
	(void)rc;
	check_all(true);
}

static void
before_restore(void)
{
	if (turn++ == 0)
		fresh_repository();
	rm_tree(at("out"));
}

/* Whatever is there under its final name must be whole. */
static void
after_restore(int rc)
{
	for (unsigned i = 0; i < FILES; i++) {
		char path[800];
		uint8_t *p = malloc(file_len(i) + 2);
		size_t n = 0;
		FILE *f;

		snprintf(path, sizeof(path), "%s/out%s/src/%sf%u", top, top,
			 i % 3 ? "d/" : "", i);
		f = fopen(path, "r");
		if (f != NULL) {
			n = fread(p, 1, file_len(i) + 1, f);
			fclose(f);
			if (n != file_len(i) || !same_file(p, n, i))
				complain(path, "is not whole");
		} else if (rc == 0) {
			complain(path, "is missing after success");
		}
		free(p);
	}
	check_all(true);
}

static const struct scenario scenarios[] = {
	{ "init", FAULT_REPO, before_init, run_init, after_init },
	{ "backup, repository", FAULT_REPO, before_backup, do_backup,
	  after_backup },
	{ "backup, source", FAULT_SOURCE, before_backup, do_backup,
	  after_backup },
	{ "index rebuild", FAULT_REPO, before_rebuild, run_rebuild,
	  after_rebuild },
	{ "restore, repository", FAULT_REPO, before_restore, do_restore,
	  after_restore },
	{ "restore, target", FAULT_TARGET, before_restore, do_restore,
	  after_restore },
};

static void
loop(const struct scenario *s, enum fault_kind kind, bool forever,
     unsigned step)
{
	uint64_t n = step > 1 ? 1 + (uint64_t)rand() % step : 1;
	unsigned runs = 0, clean_failures = 0;
	bool fired;

	turn = 0;
	complaint[0] = '\0';
	do {
		struct err e = { 0 };
		int rc;

		s->before();
		alarm(RUN_SECONDS);
		fault_arm(kind, s->where, n, forever);
		rc = s->run(&e);
		fired = fault_disarm();
		alarm(0);
		if (rc < 0 && e.text[0] == '\0')
			complain("failed", "without a sentence");
		if (rc != 0 && !fired)
			complain("failed without a fault", e.text);
		if (rc < 0)
			clean_failures++;
		s->after(rc);
		runs++;
		n += step;
	} while (fired && complaint[0] == '\0');
	printf("%s %u - %s, %s, %s: %u runs, %u failed cleanly\n",
	       complaint[0] == '\0' ? "ok" : "not ok", ++test_no, s->name,
	       fault_kind_name(kind), forever ? "for ever" : "once", runs,
	       clean_failures);
	if (complaint[0] != '\0') {
		printf("# at call %llu: %s\n", (unsigned long long)(n - step),
		       complaint);
		failures++;
	}
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	const char *step_text = getenv("NTH_STEP");
	const char *tmp = getenv("TMPDIR");
	unsigned step = step_text != NULL ? (unsigned)strtoul(step_text, NULL,
							      10) :
					    1;
	unsigned seed = (unsigned)time(NULL);

	/* nth SCENARIO-NUMBER: only that one. */
	srand(seed);
	snprintf(top, sizeof(top), "%s/asof-nth.XXXXXX",
		 tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(top) == NULL) {
		perror("mkdtemp");
		return 1;
	}
	setenv("ASOF_CACHE_DIR", at("cache"), 1);
	make_source();
	printf("# seed %u, step %u\n", seed, step);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (argc > 1 && strtoul(argv[1], NULL, 10) != i)
			continue;
		for (int k = 0; k < FAULT_KINDS; k++)
			for (int forever = 0; forever < 2; forever++)
				loop(&scenarios[i], (enum fault_kind)k,
				     forever, step > 0 ? step : 1);
	}
	printf("1..%u\n", test_no);
	rm_tree(top);
	return failures > 0;
}
