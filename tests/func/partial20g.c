/*
 * partial20g - a large sparse file, changed in a few places, and its backups.
 *
 *	partial20g make FILE SIZE PLACES SEED	pages of 8 KiB in a hole
 *	partial20g change FILE SIZE PLACES SEED	half of them, and as many others
 *	partial20g ranges FILE SIZE PLACES SEED ...
 *						a ranges file of these changes
 *	partial20g backup REPOSITORY TYPE PATH
 *	partial20g same FILE FILE		data, holes and size
 *
 * backup is what `asof backup` does, in this process, so that it can say what
 * was read of sources (as src counts it: nothing else reads them), and also
 * what was declared and stored, the processor time in ms, that of writers
 * included, and the largest memory in KiB.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "base/err.h"
#include "base/src.h"
#include "src/requester/backup.h"
#include "tests/lib/bail.h"
#include "tests/lib/rng.h"
#include "tests/lib/use.h"

#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 8192

static uint64_t
number(const char *text)
{
	return strtoull(text, NULL, 10);
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
		bail("cannot write");
}

static int
make(const char *path, uint64_t size, uint64_t places, uint64_t seed,
     bool change)
{
	int fd = open(path,
		      O_WRONLY | O_NOFOLLOW | (change ? 0 : O_CREAT | O_EXCL),
		      0600);

	if (fd < 0 || (!change && ftruncate(fd, (off_t)size) < 0))
		bail("cannot make the file");
	for (uint64_t i = 0; i < places; i++)
		write_page(fd,
			   change ? changed_place(seed, i, size) :
				    place(seed, i, size),
			   seed + change);
	return close(fd);
}

/* --- what its writer declares --------------------------------------------------- */

static void
put(FILE *f, uint64_t n)
{
	n = htole64(n);
	if (fwrite(&n, sizeof(n), 1, f) != 1)
		bail("cannot write the ranges");
}

/* In whatever order they come, and some of them twice. */
static int
declare(const char *path, uint64_t size, uint64_t places, char **seed)
{
	FILE *f = fopen(path, "we");
	uint64_t seeds = 0;

	while (seed[seeds] != NULL)
		seeds++;
	if (f == NULL)
		bail("cannot make the ranges file");
	put(f, seeds * places);
	for (; *seed != NULL; seed++)
		for (uint64_t i = 0; i < places; i++) {
			put(f, changed_place(number(*seed), i, size));
			put(f, PAGE);
		}
	return fclose(f);
}

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
	static const int who[] = { RUSAGE_SELF, RUSAGE_CHILDREN };
	uint64_t us = 0;
	struct rusage u;

	for (size_t i = 0; i < 2 && getrusage(who[i], &u) == 0; i++)
		us += (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) +
		      1000000 *
			      (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec);
	return us / 1000;
}

static void
tell(void *ctx, const char *text)
{
	(void)ctx;
	printf("note %s\n", text);
}

static int
run(const char *repository, const char *type, const char *path,
    struct requester_result *res, struct err *e)
{
	const struct requester_options o = { .repository = repository };
	struct backup_options b = { .sources = &path, .source_count = 1,
				    .type = generation_type_parse(type),
				    .note = tell };
	struct use u;
	int rc;

	if (use_begin(&u, repository, "backup", e) < 0)
		return -1;
	rc = requester_backup(u.store, &b, &o, res, e);
	use_end(&u);
	return rc;
}

static int
backup(const char *repository, const char *type, const char *path)
{
	struct src_counts counts;
	struct requester_result res = { 0 };
	struct err e = { 0 };

	if (run(repository, type, path, &res, &e) < 0)
		bail("%s", e.text);
	src_counts(&counts);
	printf("generation %u\nbase %u\nsucceeded %zu\nread %" PRIu64
	       "\ndeclared %" PRIu64 "\npartial %" PRIu64 "\nstored %" PRIu64
	       "\ncpu_ms %" PRIu64 "\nkib %" PRIu64 "\n",
	       res.backup.number, res.backup.base, res.succeeded, counts.bytes,
	       res.declared_bytes, res.backup.partial_files,
	       res.backup.bytes_stored, cpu_ms(), largest_kib());
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
		bail("they are not of one size");
	for (;;) {
		off_t data = lseek(a, at, SEEK_DATA), hole;

		if (data != lseek(b, at, SEEK_DATA))
			bail("data begin at different places");
		if (data < 0)
			return 0;
		hole = lseek(a, data, SEEK_HOLE);
		if (hole != lseek(b, data, SEEK_HOLE))
			bail("holes begin at different places");
		if (!same_bytes(a, b, data, hole))
			bail("their bytes differ");
		at = hole;
	}
}

int
main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (argc == 6 &&
	    (strcmp(verb, "make") == 0 || strcmp(verb, "change") == 0))
		return make(argv[2], number(argv[3]), number(argv[4]),
			    number(argv[5]), verb[0] == 'c');
	if (argc >= 6 && strcmp(verb, "ranges") == 0)
		return declare(argv[2], number(argv[3]), number(argv[4]),
			       argv + 5);
	if (argc == 5 && strcmp(verb, "backup") == 0)
		return backup(argv[2], argv[3], argv[4]);
	if (argc == 4 && strcmp(verb, "same") == 0)
		return same(argv[2], argv[3]);
	fputs("usage: partial20g make|change|ranges|backup|same ...\n", stderr);
	return 2;
}
