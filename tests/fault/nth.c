/*
 * nth - fail the first call, then the second, ... of a whole scenario.
 *
 * For init, backup, backup with claims, index rebuild and restore, for EIO,
 * ENOSPC, EINTR, short counts and failing allocations, once and for ever: run
 * with the Nth eligible call failing, for N = 1, 2, 3 ... until a run meets no
 * failure.
 *
 * Every run must end within RUN_SECONDS, leave no thread and no descriptor
 * behind and (built with the leak sanitizer) no memory, and say why when it
 * fails.  Interrupted calls and short counts change nothing.  A lack of
 * memory ends the run as just that.  Of a backup: a source's failure is told
 * of its file and never ends the run, a failure of the repository ends the
 * run (or was made good) and is never told of a file; a new generation is
 * there when and only when the run says so, and holds the source byte for
 * byte but for what was told.  After all of them, without faults: the
 * repository opens, check finds it sound, the first generation is what it
 * was, and the next backup works.
 *
 *	nth [SCENARIO ...]	numbers, from 0; without any: all
 *	NTH_STEP=k	behind the first DENSE calls every kth only, on
 *			average, and fewer where the machine is slow
 *			(default DEFAULT_STEP; 1: every call, always)
 *	NTH_SEED=n	this seed instead of a random one
 *
 * TAP on standard output: one line per scenario, kind and mode, at its end.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "base/buf.h"
#include "base/err.h"
#include "src/engine/backup.h"
#include "src/engine/check.h"
#include "src/engine/exclude.h"
#include "src/engine/generation.h"
#include "src/engine/reader.h"
#include "src/engine/restore.h"
#include "src/engine/view.h"
#include "tests/lib/faults.h"
#include "tests/lib/honest.h"
#include "tests/lib/shot.h"
#include "tests/lib/tap.h"
#include "tests/lib/use.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define RUN_SECONDS  60 /* a run that takes longer hangs */
#define DENSE        60
#define DEFAULT_STEP 3
#define LOOP_SECONDS 3 /* each time it takes so long, steps get longer */

/*
 * The link that names the source, where it points, and "/" are looked at
 * before anything else; without them there is nothing to back up.  What
 * fails later is one file's matter.
 */
#define TOP_CALLS 4

/* Runs on one repository: that leftovers do no harm is tested too. */
#define RUNS_PER_REPOSITORY 50

/* There with a leak sanitizer only; non-zero: there are leaks. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* --- the source ----------------------------------------------------------- */

#define THINGS_MAX 120
#define SPANS_MAX  3

/* One thing of the source, and the stretches of it that are compared. */
struct thing {
	char path[440]; /* absolute, in the source and in a generation */
	bool first;     /* there since the first generation */
	bool link;      /* symbolic */
	uint64_t size;
	struct span {
		uint64_t at;
		size_t len;
	} span[SPANS_MAX];
};

static struct thing thing[THINGS_MAX];
static size_t things;

static void
fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((seed * 2654435761u + i * i / 7 + i) >> 3);
}

/* Write the spans; the rest stays a hole. */
static void
write_thing(const struct thing *t, unsigned seed)
{
	int fd = open(t->path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	for (size_t i = 0; i < SPANS_MAX; i++) {
		size_t n = t->span[i].len;
		uint8_t *p = malloc(n + 1);

		fill(p, n, seed + (unsigned)i);
		if (pwrite(fd, p, n, (off_t)t->span[i].at) != (ssize_t)n)
			tap_give_up("cannot write the source");
		free(p);
	}
	if (ftruncate(fd, (off_t)t->size) < 0 || close(fd) < 0)
		tap_give_up("cannot write the source");
}

static struct thing *
add_thing(const char *name)
{
	struct thing *t = &thing[things++];

	memset(t, 0, sizeof(*t));
	snprintf(t->path, sizeof(t->path), "%s/%s", tap_top, name);
	return t;
}

static void
add_file(const char *name, size_t size, bool first, unsigned seed)
{
	struct thing *t = add_thing(name);

	t->first = first;
	t->size = size;
	t->span[0].len = size;
	write_thing(t, seed);
}

/* Long enough to be stored by the thread that reads it; nearly all holes. */
static void
add_large(const char *name)
{
	struct thing *t = add_thing(name);

	t->first = true;
	t->size = (uint64_t)66 << 20;
	t->span[0] = (struct span){ 0, 300000 };
	t->span[1] = (struct span){ (uint64_t)40 << 20, 700000 };
	t->span[2] = (struct span){ t->size - 5000, 5000 };
	write_thing(t, 77);
}

static void
add_links(void)
{
	struct thing *t = add_thing("src/link");

	t->first = t->link = true;
	if (symlink("d/f1", t->path) < 0)
		tap_give_up("cannot make a symbolic link");
	t = add_thing("src/d/e/hard");
	*t = thing[5];
	snprintf(t->path, sizeof(t->path), "%s", tap_at("src/d/e/hard"));
	if (link(thing[5].path, t->path) < 0)
		tap_give_up("cannot make a hard link");
}

/* Short and long attributes, where the file system takes them. */
static void
add_xattrs(void)
{
	char value[6000];

	memset(value, 'v', sizeof(value));
	(void)setxattr(thing[4].path, "user.short", value, 20, 0);
	(void)setxattr(thing[4].path, "user.long", value, sizeof(value), 0);
	(void)setxattr(tap_at("src/d"), "user.dir", value, 30, 0);
}

/* With the others more than are fdatasync'ed one by one, being young. */
static void
add_many(void)
{
	if (mkdir(tap_at("src/many"), 0755) < 0)
		tap_give_up("cannot make the source");
	for (unsigned i = 0; i < 55; i++) {
		char name[40];

		snprintf(name, sizeof(name), "src/many/%u", i);
		add_file(name, i, true, i);
	}
}

static void
make_source(void)
{
	things = 0;
	shot_remove(tap_at("src"));
	if (mkdir(tap_at("src"), 0755) < 0 ||
	    mkdir(tap_at("src/d"), 0700) < 0 ||
	    mkdir(tap_at("src/d/e"), 0755) < 0)
		tap_give_up("cannot make the source");
	/* From nothing to 260,000 bytes: both ways of reading. */
	for (unsigned i = 0; i < 15; i++) {
		char name[40];

		snprintf(name, sizeof(name), "src/%sf%u", i % 3 ? "d/" : "", i);
		add_file(name, (size_t)i * i * i * 95, true, i);
	}
	add_links();
	add_xattrs();
	add_large("src/d/large");
	add_many();
	if (mkdir(tap_at("src/empty"), 0755) < 0 ||
	    mkfifo(tap_at("src/fifo"), 0600) < 0)
		tap_give_up("cannot make the source");
	/* Is to be left out, and no thing therefore. */
	add_file("src/d/x.skip", 1000, true, 1);
	things--;
}

/* Something new for an incremental to find. */
static void
change_source(unsigned turn)
{
	char name[40];
	size_t i;

	snprintf(name, sizeof(name), "src/d/e/new%u", turn % 5);
	for (i = 0; i < things; i++)
		if (strcmp(thing[i].path, tap_at(name)) == 0)
			break;
	if (i == things) {
		add_file(name, 3000 + turn * 37 % 200000, false, turn);
		return;
	}
	thing[i].size = thing[i].span[0].len = 3000 + turn * 37 % 200000;
	write_thing(&thing[i], turn);
}

/* --- what a run says ----------------------------------------------------- */

#define TOLD_MAX 200

/* What the last run said that it could not read or restore. */
static struct {
	char path[TOLD_MAX][500];
	char why[ERR_TEXT_LEN]; /* the last one's */
	size_t count;
} told;

static void
tell(const char *path, const struct err *why)
{
	if (told.count < TOLD_MAX)
		snprintf(told.path[told.count], sizeof(told.path[0]), "%s",
			 path);
	told.count++;
	snprintf(told.why, sizeof(told.why), "%s", why->text);
}

/* Was it, or a directory that it is in, told? */
static bool
was_told(const char *path)
{
	for (size_t i = 0; i < told.count && i < TOLD_MAX; i++) {
		size_t n = strlen(told.path[i]);

		if (strcmp(told.path[i], "/") == 0 ||
		    (strncmp(path, told.path[i], n) == 0 &&
		     (path[n] == '\0' || path[n] == '/')))
			return true;
	}
	return false;
}

static void
backup_failed(void *ctx, const char *path, const struct err *why)
{
	(void)ctx;
	if (why->kind != ERR_SOURCE)
		tap_complain(path,
			     "a failure of another kind was told of a file");
	tell(path, why);
}

/* Its writer, if there is one, leaves out what a pattern does otherwise. */
static int
run_backup(enum generation_type type, bool claimed, struct err *e)
{
	const char *sources[1] = { tap_at("source") };
	struct exclude *x = NULL;
	struct backup_options o = { .sources = sources,
				    .source_count = 1,
				    .type = type,
				    .cachedir_tag = true,
				    .readers = 3,
				    .threads = 2,
				    .failed = backup_failed };
	struct backup_result res = { 0 };
	struct use u;
	int rc;

	told.count = 0;
	honest_graft = thing[0].path;
	if (use_begin(&u, tap_at("repo"), "backup", e) < 0)
		return -1;
	rc = exclude_new(&x, e);
	if (rc == 0 && !claimed)
		rc = exclude_add(x, "*.skip", e);
	o.exclude = x;
	if (rc == 0)
		rc = (claimed ? honest_backup : backup_run)(u.store, &o, &res,
							    e);
	if (rc == 0 && res.errors != told.count)
		tap_complain("backup", "counts other errors than it tells");
	if (rc == 0 && res.errors > 0)
		rc = 3;
	exclude_free(x);
	use_end(&u);
	return rc;
}

static int
do_incremental(struct err *e)
{
	return run_backup(GEN_INCREMENTAL, false, e);
}

static int
do_claimed(struct err *e)
{
	return run_backup(GEN_INCREMENTAL, true, e);
}

static int
do_full(struct err *e)
{
	return run_backup(GEN_FULL, false, e);
}

static void
restore_failed(void *ctx, const char *path, const struct err *why, bool damage)
{
	(void)ctx;
	(void)damage;
	if (why->kind == ERR_NOMEM || why->kind == ERR_CANCELLED)
		tap_complain(path, "a failure of all was told of a file");
	tell(path, why);
}

static int
run_restore(bool careful, struct err *e)
{
	struct restore_options o = { .to = tap_at("out"),
				     .sync = careful,
				     .verify = careful,
				     .threads = 2,
				     .failed = restore_failed };
	struct restore_result res = { 0 };
	struct view_gen *g = NULL;
	struct use u;
	int rc = -1;

	told.count = 0;
	if (use_begin(&u, tap_at("repo"), "restore", e) < 0)
		return -1;
	if (view_open(u.store, 1, &g, e) == 0)
		rc = restore_run(g, NULL, false, &o, &res, e);
	if (rc == 0 && res.failed > 0)
		rc = 3;
	if (rc == 0 && told.count > 0)
		tap_complain(told.path[0], "was told, but nothing failed");
	view_unref(g);
	use_end(&u);
	return rc;
}

static int
do_restore(struct err *e)
{
	return run_restore(false, e);
}

static int
do_careful_restore(struct err *e)
{
	return run_restore(true, e);
}

static int
do_rebuild(struct err *e)
{
	struct use u;

	if (use_begin(&u, tap_at("repo"), "show", e) < 0)
		return -1;
	use_end(&u);
	return 0;
}

static int
do_init(struct err *e)
{
	return repository_init(tap_at("repo"), e);
}

/* --- comparing ------------------------------------------------------------ */

/* The stretch of a file on disk, to be freed; NULL: it has not so much. */
static uint8_t *
read_span(int fd, const struct span *s)
{
	uint8_t *p = malloc(s->len + 1);

	if (pread(fd, p, s->len, (off_t)s->at) == (ssize_t)s->len)
		return p;
	free(p);
	return NULL;
}

static bool
same_spans(const struct thing *t, int fd, struct file_reader *f, struct err *e)
{
	bool same = true;

	for (size_t i = 0; i < SPANS_MAX && same; i++) {
		const struct span *s = &t->span[i];
		uint8_t *a = read_span(fd, s), *b = malloc(s->len + 1);

		same = a != NULL &&
		       file_read(f, s->at, b, s->len, NULL, e) ==
			       (ssize_t)s->len &&
		       memcmp(a, b, s->len) == 0;
		free(a);
		free(b);
	}
	return same;
}

/* NULL, or how the generation's file differs from that on disk. */
static const char *
compare_content(struct view_gen *g, const struct thing *t, const struct node *n)
{
	static struct err e;
	struct file_reader f = { 0 };
	const char *why = NULL;
	int fd = open(t->path, O_RDONLY);

	err_clear(&e);
	if (n->entry.size != t->size)
		why = "has another size";
	else if (file_reader_init(&f, g->reader, &n->entry.content,
				  n->entry.size, &e) < 0 ||
		 !same_spans(t, fd, &f, &e))
		why = e.kind != ERR_NONE ? e.text : "WRONG BYTES";
	file_reader_clear(&f);
	close(fd);
	return why;
}

/* NULL, or how the generation's thing differs from that on disk. */
static const char *
compare_thing(struct view_gen *g, const struct thing *t, struct node *n)
{
	static struct err e;
	struct buf value = { 0 };
	const char *why = NULL;
	int rc;

	err_clear(&e);
	rc = view_path(g, t->path, n, &e);
	if (rc != 0)
		return rc < 0 ? e.text : "is not there";
	if (t->link)
		return n->entry.type == ENTRY_SYMLINK ? NULL : "is no link";
	if ((n->entry.flags & ENTRY_UNREADABLE) != 0)
		return "is without content";
	why = compare_content(g, t, n);
	if (why == NULL && t == &thing[4] &&
	    getxattr(t->path, "user.short", NULL, 0) > 0 &&
	    view_xattr(g, &n->entry, "user.short", &value, &e) != 0)
		why = "has lost an attribute";
	buf_clear(&value);
	return why;
}

/* All things, or those of the first generation, but for those told. */
static void
compare_generation(struct store *st, uint32_t number, bool all, bool some_told)
{
	struct view_gen *g = NULL;
	struct node n = { 0 };
	struct err e = { 0 };

	if (view_open(st, number, &g, &e) < 0) {
		tap_complain("the generation does not open", e.text);
		return;
	}
	for (size_t i = 0; i < things; i++) {
		const char *why;

		if (!all && !thing[i].first)
			continue;
		why = compare_thing(g, &thing[i], &n);
		if (why != NULL && !(some_told && was_told(thing[i].path)))
			tap_complain(thing[i].path, why);
		node_clear(&n);
	}
	if (view_path(g, tap_at("src/d/x.skip"), &n, NULL) == 0)
		tap_complain("x.skip", "was to be left out");
	node_clear(&n);
	view_unref(g);
}

/* --- what must hold ------------------------------------------------------- */

static bool first_is_whole; /* generation 1 is there and lacks nothing */

static void
told_damage(void *ctx, const char *where, const char *what)
{
	(void)ctx;
	(void)where;
	tap_complain("check", what);
}

/* The generations must be these many, of one set, and none damaged. */
static void
check_list(const struct use *u, size_t least, size_t most, uint32_t *newest)
{
	struct generation_list l = { 0 };
	struct err e = { 0 };

	*newest = 0;
	if (generation_list_load(u->repo, &l, &e) < 0)
		tap_complain("the generations", e.text);
	else if (l.count < least)
		tap_complain("generations", "a published one is not there");
	else if (l.count > most)
		tap_complain("generations",
			     "there is one that was not published");
	for (size_t i = 0; i < l.count; i++) {
		const struct generation *g = &l.item[i];

		if (g->damaged)
			tap_complain("a generation is damaged", g->why);
		else if (memcmp(g->record.set_id, l.item[0].record.set_id,
				16) != 0 ||
			 strcmp(g->record.set, l.item[0].record.set) != 0)
			tap_complain("a generation", "is of another set");
	}
	if (l.count > 0)
		*newest = l.item[l.count - 1].number;
	generation_list_clear(&l);
}

static size_t
count_generations(void)
{
	struct repository *r = NULL;
	struct generation_names n = { 0 };
	size_t count = 0;

	if (repository_open(tap_at("repo"), &r, NULL) == 0 &&
	    repository_generations(r, &n, NULL) == 0)
		count = n.count;
	generation_names_clear(&n);
	repository_close(r);
	return count;
}

/*
 * The repository is sound, with `least` to `most` generations; the first is
 * what it was, and the newest has all, but for what was told, if `newest`.
 */
static void
check_all(size_t least, size_t most, bool newest, bool some_told)
{
	struct check_options o = { .data = true, .damage = told_damage };
	struct check_result res = { 0 };
	struct err e = { 0 };
	uint32_t number;
	struct use u;

	if (use_begin(&u, tap_at("repo"), "check", &e) < 0) {
		tap_complain("cannot open afterwards", e.text);
		return;
	}
	check_list(&u, least, most, &number);
	if (check_run(u.store, &o, &res, &e) < 0)
		tap_complain("check", e.text);
	if (first_is_whole)
		compare_generation(u.store, 1, false, false);
	if (newest)
		compare_generation(u.store, number, true, some_told);
	use_end(&u);
}

static void
next_backup(size_t known)
{
	struct err e = { 0 };
	int rc = do_incremental(&e);

	if (rc < 0)
		tap_complain("the next backup", e.text);
	else if (rc > 0)
		tap_complain("the next backup", told.why);
	check_all(known + 1, known + 1, true, false);
}

/* --- scenarios ------------------------------------------------------------ */

/* How the armed run ended. */
struct outcome {
	enum fault_where where;
	enum fault_kind kind;
	bool forever;
	uint64_t nth;
	int rc;
	const struct err *e;
};

#define KINDS_ALL    ((1u << FAULT_KINDS) - 1)
#define KINDS_NO_MEM (KINDS_ALL & ~(1u << FAULT_NOMEM))

struct scenario {
	const char *name;
	enum fault_where where;
	unsigned kinds; /* memory has no place: once is enough */
	void (*before)(void);
	int (*run)(struct err *e); /* the armed part */
	void (*after)(const struct outcome *o);
};

static unsigned turn; /* runs of this loop */
static size_t known;  /* generations before the run */

static void
fresh_repository(void)
{
	struct err e = { 0 };

	shot_remove(tap_at("repo"));
	shot_remove(tap_at("cache"));
	if (repository_init(tap_at("repo"), &e) < 0)
		tap_give_up(e.text);
	first_is_whole = false;
}

static void
first_backup(void)
{
	struct err e = { 0 };

	fresh_repository();
	if (do_incremental(&e) != 0)
		tap_give_up(e.text[0] != '\0' ? e.text : told.why);
	first_is_whole = true;
}

static void
before_init(void)
{
	shot_remove(tap_at("repo"));
	shot_remove(tap_at("cache"));
	first_is_whole = false;
}

/* An init that failed can be run again. */
static void
after_init(const struct outcome *o)
{
	struct err e = { 0 };

	if (o->rc != 0 && repository_init(tap_at("repo"), &e) < 0) {
		/* It may have been the last step only that failed. */
		struct repository *r = NULL;
		struct err e2 = { 0 };

		if (repository_open(tap_at("repo"), &r, &e2) < 0)
			tap_complain("init again", e.text);
		repository_close(r);
	}
	if (turn % 10 == 1)
		next_backup(0);
}

static void
before_first(void)
{
	/* Now and then, because what is young is read in another way. */
	if (turn % RUNS_PER_REPOSITORY == 1)
		make_source();
	fresh_repository();
	known = 0;
}

static void
before_backup(void)
{
	if (turn % RUNS_PER_REPOSITORY == 1) {
		make_source();
		first_backup();
	}
	change_source(turn);
	known = count_generations();
}

/*
 * A failing repository call fails the run, a failing source call does not;
 * what is told of files is true.
 */
static void
judge_source(const struct outcome *o)
{
	if (o->rc < 0 && o->kind != FAULT_NOMEM && o->nth > TOP_CALLS)
		tap_complain("a source's failure ended the run", o->e->text);
}

static void
judge_repository(const struct outcome *o)
{
	if (o->rc == 3)
		tap_complain("the repository's failure was told of a file",
			 told.why);
	if (o->rc < 0 && o->kind != FAULT_NOMEM && o->e->kind != ERR_SYS)
		tap_complain("a failing call is called something else",
			     o->e->text);
}

static void
after_backup(const struct outcome *o)
{
	/* What cannot be unlinked may have been published all the same. */
	size_t most = o->rc < 0 && !o->forever ? known : known + 1;
	size_t least = o->rc < 0 ? known : known + 1;
	bool some_told = o->rc == 3;

	check_all(least, most, o->rc >= 0, some_told);
	known = count_generations();
	if (some_told || turn % 7 == 0)
		next_backup(known);
}

static void
after_backup_repository(const struct outcome *o)
{
	judge_repository(o);
	after_backup(o);
}

static void
after_backup_source(const struct outcome *o)
{
	judge_source(o);
	after_backup(o);
}

static void
before_rebuild(void)
{
	if (turn == 1)
		first_backup();
	shot_remove(tap_at("cache"));
}

static void
after_rebuild(const struct outcome *o)
{
	(void)o;
	check_all(1, 1, true, false);
}

static void
before_restore(void)
{
	if (turn == 1)
		first_backup();
	shot_remove(tap_at("out"));
}

/* NULL, or how the restored file differs from the source. */
static const char *
compare_restored(const struct thing *t, const char *path)
{
	const char *why = NULL;
	struct stat st;
	int a = open(t->path, O_RDONLY), b = open(path, O_RDONLY | O_NOFOLLOW);

	if (b < 0 || fstat(b, &st) < 0 || (uint64_t)st.st_size != t->size)
		why = "is not whole";
	for (size_t i = 0; i < SPANS_MAX && why == NULL; i++) {
		uint8_t *p = read_span(a, &t->span[i]);
		uint8_t *q = read_span(b, &t->span[i]);

		if (p == NULL || q == NULL || memcmp(p, q, t->span[i].len) != 0)
			why = "has WRONG BYTES";
		free(p);
		free(q);
	}
	close(a);
	if (b >= 0)
		close(b);
	return why;
}

/*
 * Whatever is there under its final name is whole, and what is missing was
 * told.  Only where all calls fail, what was begun cannot be taken away.
 */
static void
judge_restored(const struct outcome *o, const struct thing *t)
{
	bool stuck =
		o->where == FAULT_TARGET && o->kind == FAULT_EIO && o->forever;
	const char *why = NULL;
	struct stat st;
	char path[800];

	snprintf(path, sizeof(path), "%.300s/out%.440s", tap_top, t->path);
	if (lstat(path, &st) < 0) {
		if (o->rc == 0 || (o->rc > 0 && !was_told(t->path)))
			tap_complain(path, "is missing");
		return;
	}
	if (!t->link)
		why = compare_restored(t, path);
	else if (!S_ISLNK(st.st_mode))
		why = "is no link";
	if (why != NULL && !(stuck && (o->rc < 0 || was_told(t->path))))
		tap_complain(path, why);
}

static void
after_restore(const struct outcome *o)
{
	for (size_t i = 0; i < things; i++)
		judge_restored(o, &thing[i]);
	if (turn % 20 == 1)
		check_all(1, 1, true, false);
}

static const struct scenario scenarios[] = {
	{ "init", FAULT_REPO, KINDS_ALL, before_init, do_init, after_init },
	{ "first backup, repository", FAULT_REPO, KINDS_ALL, before_first,
	  do_incremental, after_backup_repository },
	{ "first backup, source", FAULT_SOURCE, KINDS_NO_MEM, before_first,
	  do_incremental, after_backup_source },
	{ "incremental, repository", FAULT_REPO, KINDS_ALL, before_backup,
	  do_incremental, after_backup_repository },
	{ "incremental, source", FAULT_SOURCE, KINDS_NO_MEM, before_backup,
	  do_incremental, after_backup_source },
	{ "full, source", FAULT_SOURCE, KINDS_ALL, before_backup, do_full,
	  after_backup_source },
	{ "claimed, repository", FAULT_REPO, KINDS_ALL, before_backup,
	  do_claimed, after_backup_repository },
	{ "claimed, source", FAULT_SOURCE, KINDS_NO_MEM, before_backup,
	  do_claimed, after_backup_source },
	{ "index rebuild", FAULT_REPO, KINDS_ALL, before_rebuild, do_rebuild,
	  after_rebuild },
	{ "restore, repository", FAULT_REPO, KINDS_ALL, before_restore,
	  do_restore, after_restore },
	{ "restore, target", FAULT_TARGET, KINDS_NO_MEM, before_restore,
	  do_restore, after_restore },
	{ "careful restore, target", FAULT_TARGET, KINDS_ALL, before_restore,
	  do_careful_restore, after_restore },
};

#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* --- one run -------------------------------------------------------------- */

static unsigned
count_names(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* What the process has of the kernel. */
struct holdings {
	unsigned fds, threads;
};

static struct holdings
count_holdings(void)
{
	return (struct holdings){ count_names("/proc/self/fd"),
				  count_names("/proc/self/task") };
}

static void
judge_holdings(const struct holdings *before)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct holdings now = count_holdings();

	/* A thread that was joined may still be on its way out. */
	for (int i = 0; i < 1000 && now.threads > before->threads; i++) {
		nanosleep(&ms, NULL);
		now = count_holdings();
	}
	if (now.threads > before->threads)
		tap_complain("threads", "are left");
	if (now.fds != before->fds)
		tap_complain("descriptors", "are left open, or closed twice");
}

/* What holds for every scenario. */
static void
judge(const struct outcome *o, bool fired, const struct holdings *before)
{
	static bool leaked;

	if (o->rc < 0 && o->e->text[0] == '\0')
		tap_complain("failed", "without a sentence");
	if (o->rc != 0 && !fired)
		tap_complain("failed without a fault",
			 o->rc < 0 ? o->e->text : told.why);
	if (o->rc != 0 && (o->kind == FAULT_EINTR || o->kind == FAULT_SHORT))
		tap_complain("failed because of an odd but good answer",
			 o->rc < 0 ? o->e->text : told.why);
	if (o->kind == FAULT_NOMEM && o->rc == 3)
		tap_complain("a lack of memory was told of a file", told.why);
	if (o->kind == FAULT_NOMEM && o->rc < 0 && o->e->kind != ERR_NOMEM)
		tap_complain("a lack of memory is called something else",
			 o->e->text);
	if (o->kind != FAULT_NOMEM && o->rc < 0 && o->e->kind == ERR_NOMEM)
		tap_complain("a failing call is called a lack of memory",
			 o->e->text);
	judge_holdings(before);
	if (!leaked && __lsan_do_recoverable_leak_check != NULL &&
	    __lsan_do_recoverable_leak_check() != 0) {
		leaked = true;
		tap_complain("memory", "is leaked");
	}
}

/* The run that fails at call n; false when it was over before. */
static bool
run_nth(const struct scenario *s, enum fault_kind kind, bool forever,
	uint64_t n, int *rc)
{
	struct err e = { 0 };
	struct outcome o = { s->where, kind, forever, n, 0, &e };
	struct holdings before;
	bool fired;

	s->before();
	before = count_holdings();
	alarm(RUN_SECONDS);
	fault_arm(kind, s->where, n, forever);
	o.rc = s->run(&e);
	fired = fault_disarm();
	alarm(0);
	judge(&o, fired, &before);
	alarm(RUN_SECONDS);
	s->after(&o);
	alarm(0);
	*rc = o.rc;
	return fired;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The call to fail next, after so many seconds of this loop. */
static uint64_t
next_n(uint64_t n, unsigned step, double seconds)
{
	unsigned late = (unsigned)(seconds / LOOP_SECONDS);

	if (step <= 1 || (n < DENSE && late == 0))
		return n + 1;
	step <<= late < 8 ? late : 8;
	return n + 1 + (uint64_t)rand() % (2 * step - 1);
}

struct tally {
	unsigned runs, failed, partly;
	uint64_t last;
	double seconds;
};

static void
report(const struct tally *t)
{
	bool ok = tap_complaint[0] == '\0';
	char text[400];

	snprintf(text, sizeof(text),
		 "%.300s: %u runs, %u failed, %u in part, %.1f s", tap_doing,
		 t->runs, t->failed, t->partly, t->seconds);
	tap_say(ok, text);
	if (!ok)
		printf("# at call %llu: %s\n", (unsigned long long)t->last,
		       tap_complaint);
}

static void
loop(const struct scenario *s, enum fault_kind kind, bool forever,
     unsigned step)
{
	struct tally t = { .runs = 0 };
	double start = now();
	bool fired = true;
	uint64_t n = 1;
	int rc;

	turn = 0;
	tap_complaint[0] = '\0';
	while (fired && tap_complaint[0] == '\0') {
		snprintf(tap_doing, sizeof(tap_doing), "%s, %s, %s, call %llu",
			 s->name, fault_kind_name(kind),
			 forever ? "for ever" : "once", (unsigned long long)n);
		turn++;
		fired = run_nth(s, kind, forever, n, &rc);
		t.runs++;
		t.failed += rc < 0;
		t.partly += rc > 0;
		t.last = n;
		t.seconds = now() - start;
		n = next_n(n, step, t.seconds);
	}
	*strrchr(tap_doing, ',') = '\0';
	report(&t);
}

/* --- the program ---------------------------------------------------------- */

static bool
is_wanted(size_t scenario, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strtoul(argv[i], NULL, 10) == scenario)
			return true;
	return argc < 2;
}

static void
run_all(int argc, char **argv, unsigned step)
{
	for (size_t i = 0; i < SCENARIOS; i++) {
		if (!is_wanted(i, argc, argv))
			continue;
		make_source();
		for (int k = 0; k < FAULT_KINDS; k++)
			for (int forever = 0; forever < 2; forever++)
				if ((scenarios[i].kinds & 1u << k) != 0)
					loop(&scenarios[i], (enum fault_kind)k,
					     forever, step);
	}
}

int
main(int argc, char **argv)
{
	unsigned step = tap_number("NTH_STEP", DEFAULT_STEP);
	unsigned seed = tap_number("NTH_SEED", (unsigned)time(NULL));

	srand(seed);
	printf("# seed %u, step %u\n", seed, step);
	tap_begin("nth");
	if (symlink("src", tap_at("source")) < 0)
		tap_give_up("cannot make the source");
	run_all(argc, argv, step);
	return tap_end();
}
