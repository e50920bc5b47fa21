/*
 * partial20g - a large sparse file, changed in a few places, and its backups with
 * these places declared.
 *
 *	partial20g make FILE SIZE PLACES SEED	pages of 8 KiB in a hole
 *	partial20g change FILE SIZE PLACES SEED	half of them, and as many others
 *	partial20g backup REPOSITORY FILE PLACES SEED
 *						the changes being declared, if
 *						there is a base; SEED 0: none
 *	partial20g same FILE FILE			data, holes and size
 *
 * backup says what it has read (as src counts it), declared and stored, its
 * processor time in ms, and its largest memory in KiB.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "base/err.h"
#include "base/mem.h"
#include "base/src.h"
#include "src/engine/backup.h"
#include "src/engine/claims.h"
#include "src/engine/view.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"
#include "tests/lib/rng.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 8192

static void
fail(const char *what)
{
	printf("partial20g: %s\n", what);
	exit(1);
}

/* The n-th place of a seed, always the same. */
static uint64_t
place(uint64_t seed, uint64_t n, uint64_t size)
{
	struct rng r = { .state = seed * 1000003 + n + 1 };

	(void)rng_next(&r);
	return rng_below(&r, size / PAGE) * PAGE;
}

/* Changes are at every second place of `make`, and at others. */
static uint64_t
changed_place(uint64_t seed, uint64_t n, uint64_t size)
{
	return n % 2 == 0 ? place(seed, n, size) : place(seed + 1, n, size);
}

static void
write_page(int fd, uint64_t at, uint64_t seed)
{
	struct rng r = { .state = seed + at + 1 };
	uint8_t page[PAGE];

	rng_fill(&r, page, sizeof(page));
	if (pwrite(fd, page, sizeof(page), (off_t)at) != PAGE)
		fail("cannot write");
}

static int
make(const char *path, uint64_t size, uint64_t places, uint64_t seed,
     bool change)
{
	int fd = open(path,
		      O_WRONLY | O_NOFOLLOW | (change ? 0 : O_CREAT | O_EXCL),
		      0600);

	if (fd < 0 || (!change && ftruncate(fd, (off_t)size) < 0))
		fail("cannot make the file");
	for (uint64_t i = 0; i < places; i++)
		write_page(fd,
			   change ? changed_place(seed, i, size) :
				    place(seed, i, size),
			   seed + change);
	return close(fd);
}

/* --- its writer ------------------------------------------------------------- */

static struct {
	const char *path;
	struct view_gen *base;
	uint64_t places, seed;
	const char *failed;
} w;

static enum claim_dir
on_dir(struct claims *c, const char *path)
{
	(void)c;
	return strncmp(path, w.path, strlen(path)) == 0 ? CLAIM_DIR_SOME :
							 CLAIM_DIR_NOTHING;
}

static int
on_find(struct claims *c, const char *path, const struct statx *st,
	struct claim *out, struct err *e)
{
	(void)c;
	(void)st;
	(void)e;
	if (strcmp(path, w.path) != 0)
		return 0;
	out->kind = CLAIM_RANGES;
	out->base = w.base;
	out->fixed = true;
	return 0;
}

static int
on_carries(struct claims *c, const char *path, uint64_t from,
	   struct view_gen **base, struct err *e)
{
	(void)c;
	(void)path;
	(void)from;
	(void)e;
	*base = NULL;
	return 0;
}

static int
cmp_ranges(const void *a, const void *b)
{
	const struct claim_range *x = a, *y = b;

	return (x->off > y->off) - (x->off < y->off);
}

static int
on_ranges(struct claims *c, const struct claim *claim, int fd,
	  const struct statx *now, const struct entry *entry,
	  struct claim_range **out, size_t *n, const char **why, struct err *e)
{
	struct claim_range *r = mem_array(w.places + 1, sizeof(*r));

	(void)c;
	(void)claim;
	(void)fd;
	(void)entry;
	(void)why;
	if (r == NULL)
		return err_nomem(e);
	for (uint64_t i = 0; i < w.places; i++)
		r[i] = (struct claim_range){
			changed_place(w.seed, i, now->stx_size), PAGE
		};
	qsort(r, w.places, sizeof(*r), cmp_ranges);
	*n = 0;
	for (uint64_t i = 0; i < w.places; i++)
		if (*n == 0 || r[*n - 1].off != r[i].off)
			r[(*n)++] = r[i];
	*out = r;
	return 0;
}

static void
on_outcome(struct claims *c, size_t owner, const char *path, const char *why,
	   bool torn)
{
	(void)c;
	(void)owner;
	(void)path;
	(void)torn;
	w.failed = why;
}

static int
on_copied(struct claims *c, struct graft *g, struct err *e)
{
	(void)c;
	(void)g;
	(void)e;
	return 0;
}

static struct claims claims = {
	.dir = on_dir,
	.find = on_find,
	.carries = on_carries,
	.ranges = on_ranges,
	.outcome = on_outcome,
	.copied = on_copied,
};

/* --- the backup --------------------------------------------------------------- */

static uint64_t
largest_kib(void)
{
	char line[200];
	uint64_t kib = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmHWM: %" SCNu64, &kib) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kib;
}

static uint64_t
cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static int
run(const char *repository, struct backup_result *res, struct err *e)
{
	const char *source[1] = { w.path };
	struct backup_options o = { .sources = source, .source_count = 1 };
	struct repository *repo = NULL;
	struct session *session = NULL;
	struct store *store = NULL;
	struct backup_job *j = NULL;
	struct backup_facts f;
	int rc = -1;

	if (repository_open(repository, &repo, e) < 0 ||
	    session_begin(repo, "backup", &session, e) < 0 ||
	    store_open(repo, session, NULL, &store, e) < 0 ||
	    backup_begin(store, &o, &j, e) < 0)
		goto out;
	backup_facts(j, &f);
	if (f.base != NULL && w.seed != 0 &&
	    view_open(store, f.base->number, &w.base, e) < 0)
		goto out;
	rc = backup_walk(j, &claims, res, e);
out:
	view_unref(w.base);
	backup_job_free(j);
	store_close(store);
	session_end(session);
	repository_close(repo);
	return rc;
}

static int
backup(const char *repository, const char *path, uint64_t places,
       uint64_t seed)
{
	struct src_counts counts;
	struct backup_result res = { 0 };
	struct err e = { 0 };

	w.path = path;
	w.places = places;
	w.seed = seed;
	if (run(repository, &res, &e) < 0)
		fail(e.text);
	if (w.failed != NULL)
		fail(w.failed);
	src_counts(&counts);
	printf("generation %u\nread %" PRIu64 "\ndeclared %" PRIu64
	       "\npartial %" PRIu64 "\nstored %" PRIu64 "\ncpu_ms %" PRIu64
	       "\nkib %" PRIu64 "\n",
	       res.number, counts.bytes, places * PAGE, res.partial_files,
	       res.bytes_stored, cpu_ms(), largest_kib());
	return 0;
}

/* --- comparing ------------------------------------------------------------------ */

static bool
same_bytes(int a, int b, off_t from, off_t to)
{
	static uint8_t x[1 << 16], y[1 << 16];

	while (from < to) {
		size_t n = to - from < (off_t)sizeof(x) ? (size_t)(to - from) :
							  sizeof(x);

		if (pread(a, x, n, from) != (ssize_t)n ||
		    pread(b, y, n, from) != (ssize_t)n || memcmp(x, y, n) != 0)
			return false;
		from += (off_t)n;
	}
	return true;
}

static int
same(const char *one, const char *other)
{
	int a = open(one, O_RDONLY), b = open(other, O_RDONLY);
	struct stat x, y;
	off_t at = 0;

	if (a < 0 || b < 0 || fstat(a, &x) < 0 || fstat(b, &y) < 0 ||
	    x.st_size != y.st_size)
		fail("they are not of one size");
	for (;;) {
		off_t data = lseek(a, at, SEEK_DATA), hole;

		if (data != lseek(b, at, SEEK_DATA))
			fail("data begin at different places");
		if (data < 0)
			return 0;
		hole = lseek(a, data, SEEK_HOLE);
		if (hole != lseek(b, data, SEEK_HOLE))
			fail("holes begin at different places");
		if (!same_bytes(a, b, data, hole))
			fail("their bytes differ");
		at = hole;
	}
}

int
main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (argc == 6 &&
	    (strcmp(verb, "make") == 0 || strcmp(verb, "change") == 0))
		return make(argv[2], strtoull(argv[3], NULL, 10),
			    strtoull(argv[4], NULL, 10),
			    strtoull(argv[5], NULL, 10), verb[0] == 'c');
	if (argc == 6 && strcmp(verb, "backup") == 0)
		return backup(argv[2], argv[3], strtoull(argv[4], NULL, 10),
			      strtoull(argv[5], NULL, 10));
	if (argc == 4 && strcmp(verb, "same") == 0)
		return same(argv[2], argv[3]);
	fputs("usage: partial20g make|change|backup|same ...\n", stderr);
	return 2;
}
