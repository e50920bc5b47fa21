/*
 * readcheck - reads a file or directory in all sorts of ways and compares.
 *
 *	readcheck file SOURCE SHOWN [ROUNDS [SEED]]
 *		the same bytes and holes: pread, readv, mmap, O_DIRECT, lseek
 *		at random places, with and without what the kernel keeps
 *	readcheck threads SOURCE SHOWN [THREADS [ROUNDS]]
 *		the same with several readers at once
 *	readcheck dir DIR [ROUNDS [SEED]]
 *		telldir and seekdir lead back to every name
 *	readcheck save FILE HANDLE
 *	readcheck load MOUNTPOINT HANDLE SOURCE
 *		a file handle, kept in the file HANDLE, opens the same content
 *
 * Exits 0, or 1 with a sentence about the first difference.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "tests/lib/bail.h"
#include "tests/lib/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECE_MAX   (1 << 20)
#define DIRECT_UNIT 4096

static uint64_t
number(int argc, char **argv, int at, uint64_t otherwise)
{
	return argc > at ? strtoull(argv[at], NULL, 10) : otherwise;
}

/* --- files ---------------------------------------------------------------- */

struct pair {
	const char *name;
	int source, shown, direct; /* direct: -1 if it cannot be had */
	uint64_t size;
	struct rng rng;
	uint8_t *a, *b;
};

static int
open_file(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);

	if (fd < 0 && flags == 0)
		bail("%s: %s", path, strerror(errno));
	return fd;
}

static void
pair_open(struct pair *p, const char *source, const char *shown, uint64_t seed)
{
	struct stat a;
	struct stat b;

	p->name = shown;
	p->source = open_file(source, 0);
	p->shown = open_file(shown, 0);
	p->direct = open_file(shown, O_DIRECT);
	if (fstat(p->source, &a) < 0 || fstat(p->shown, &b) < 0)
		bail("%s: fstat: %s", shown, strerror(errno));
	if (a.st_size != b.st_size)
		bail("%s: %jd bytes instead of %jd", shown, (intmax_t)b.st_size,
		     (intmax_t)a.st_size);
	p->size = (uint64_t)a.st_size;
	p->rng.state = seed * 2654435761u + 88172645463325252u;
	p->a = bail_memory(PIECE_MAX);
	p->b = bail_memory(PIECE_MAX);
}

static void
pair_close(struct pair *p)
{
	close(p->source);
	close(p->shown);
	if (p->direct >= 0)
		close(p->direct);
	free(p->a);
	free(p->b);
}

static void
compare(const struct pair *p, const char *how, uint64_t at, ssize_t n,
	ssize_t want)
{
	ssize_t i;

	if (n < 0)
		bail("%s: %s at %" PRIu64 ": %s", p->name, how, at,
		     strerror(errno));
	if (n != want)
		bail("%s: %s at %" PRIu64 ": %zd bytes instead of %zd", p->name,
		     how, at, n, want);
	for (i = 0; i < n; i++)
		if (p->a[i] != p->b[i])
			bail("%s: %s at %" PRIu64 ": wrong byte at %" PRIu64,
			     p->name, how, at, at + (uint64_t)i);
}

static ssize_t
source_bytes(const struct pair *p, uint64_t at, size_t n)
{
	ssize_t got = pread(p->source, p->a, n, (off_t)at);

	if (got < 0)
		bail("source of %s: %s", p->name, strerror(errno));
	return got;
}

static void
try_pread(struct pair *p)
{
	uint64_t at = rng_below(&p->rng, p->size + 10);
	uint64_t most = rng_below(&p->rng, 4) == 0 ? PIECE_MAX : 20000;
	size_t n = 1 + rng_below(&p->rng, most);

	compare(p, "pread", at, pread(p->shown, p->b, n, (off_t)at),
		source_bytes(p, at, n));
}

static void
try_readv(struct pair *p)
{
	uint64_t at = rng_below(&p->rng, p->size + 1);
	size_t n = 3 + rng_below(&p->rng, PIECE_MAX - 3);
	size_t first = 1 + rng_below(&p->rng, n - 2);
	size_t second = 1 + rng_below(&p->rng, n - first - 1);
	struct iovec v[3] = {
		{ p->b, first },
		{ p->b + first, second },
		{ p->b + first + second, n - first - second },
	};

	if (lseek(p->shown, (off_t)at, SEEK_SET) < 0)
		bail("%s: lseek: %s", p->name, strerror(errno));
	compare(p, "readv", at, readv(p->shown, v, 3), source_bytes(p, at, n));
}

static void
try_mmap(struct pair *p)
{
	uint64_t at = rng_below(&p->rng, p->size) & ~(uint64_t)4095;
	uint64_t left = p->size - at;
	size_t n = (size_t)(left < PIECE_MAX ? left : PIECE_MAX);
	uint8_t *m;

	if (n == 0)
		return;
	m = mmap(NULL, n, PROT_READ, MAP_PRIVATE, p->shown, (off_t)at);
	if (m == MAP_FAILED)
		bail("%s: mmap: %s", p->name, strerror(errno));
	memcpy(p->b, m, n);
	(void)munmap(m, n);
	compare(p, "mmap", at, (ssize_t)n, source_bytes(p, at, n));
}

static void
try_direct(struct pair *p)
{
	uint64_t units = p->size / DIRECT_UNIT + 1;
	uint64_t at = rng_below(&p->rng, units) * DIRECT_UNIT;
	size_t n = DIRECT_UNIT *
		   (1 + rng_below(&p->rng, PIECE_MAX / DIRECT_UNIT));

	if (p->direct < 0)
		return;
	compare(p, "O_DIRECT", at, pread(p->direct, p->b, n, (off_t)at),
		source_bytes(p, at, n));
}

static void
try_lseek(struct pair *p)
{
	int whence = rng_below(&p->rng, 2) == 0 ? SEEK_DATA : SEEK_HOLE;
	off_t at = (off_t)rng_below(&p->rng, p->size + 5);
	off_t a = lseek(p->source, at, whence);
	int a_errno = a < 0 ? errno : 0;
	off_t b = lseek(p->shown, at, whence);
	int b_errno = b < 0 ? errno : 0;

	if (a != b || a_errno != b_errno)
		bail("%s: SEEK_%s from %jd: %jd (%s) instead of %jd (%s)",
		     p->name, whence == SEEK_DATA ? "DATA" : "HOLE",
		     (intmax_t)at, (intmax_t)b, strerror(b_errno), (intmax_t)a,
		     strerror(a_errno));
}

static void
try_one(struct pair *p)
{
	switch (rng_below(&p->rng, 8)) {
	case 0:
		try_readv(p);
		break;
	case 1:
		try_mmap(p);
		break;
	case 2:
		try_direct(p);
		break;
	case 3:
		try_lseek(p);
		break;
	case 4:
		(void)posix_fadvise(p->shown, 0, 0, POSIX_FADV_DONTNEED);
		break;
	default:
		try_pread(p);
		break;
	}
}

/* From one end to the other, in pieces of odd length. */
static void
read_through(struct pair *p)
{
	const size_t n = 77777;
	uint64_t at;

	(void)posix_fadvise(p->shown, 0, 0, POSIX_FADV_DONTNEED);
	for (at = 0; at < p->size; at += n)
		compare(p, "read", at, pread(p->shown, p->b, n, (off_t)at),
			source_bytes(p, at, n));
	compare(p, "read at the end", p->size,
		pread(p->shown, p->b, n, (off_t)p->size), 0);
}

/* Every border between data and holes. */
static void
walk_holes(const struct pair *p)
{
	off_t at = 0;
	int whence = SEEK_DATA;

	while (at < (off_t)p->size) {
		off_t a = lseek(p->source, at, whence);
		off_t b = lseek(p->shown, at, whence);

		if (a != b)
			bail("%s: SEEK_%s from %jd: %jd instead of %jd",
			     p->name, whence == SEEK_DATA ? "DATA" : "HOLE",
			     (intmax_t)at, (intmax_t)b, (intmax_t)a);
		if (a < 0)
			break;
		at = a;
		whence = whence == SEEK_DATA ? SEEK_HOLE : SEEK_DATA;
	}
}

static void
check_file(const char *source, const char *shown, uint64_t rounds,
	   uint64_t seed)
{
	struct pair p;

	pair_open(&p, source, shown, seed);
	walk_holes(&p);
	read_through(&p);
	while (rounds-- > 0)
		try_one(&p);
	pair_close(&p);
}

struct reader {
	pthread_t thread;
	const char *source, *shown;
	uint64_t rounds, seed;
};

static void *
run_reader(void *arg)
{
	const struct reader *r = arg;

	check_file(r->source, r->shown, r->rounds, r->seed);
	return NULL;
}

static void
check_threads(const char *source, const char *shown, uint64_t count,
	      uint64_t rounds)
{
	struct reader *r = calloc(count + 1, sizeof(*r));
	uint64_t i;

	if (r == NULL)
		bail("out of memory");
	for (i = 0; i < count; i++) {
		r[i] = (struct reader){ .source = source,
					.shown = shown,
					.rounds = rounds,
					.seed = i + 1 };
		if (pthread_create(&r[i].thread, NULL, run_reader, &r[i]) != 0)
			bail("cannot start a thread");
	}
	for (i = 0; i < count; i++)
		(void)pthread_join(r[i].thread, NULL);
	free(r);
}

/* --- directories ---------------------------------------------------------- */

struct place {
	long at; /* telldir before the name */
	ino_t ino;
	char name[256];
};

static void
expect(DIR *d, const struct place *p)
{
	const struct dirent *e = readdir(d);

	if (e == NULL)
		bail("behind %ld: the end instead of \"%s\"", p->at, p->name);
	if (strcmp(e->d_name, p->name) != 0 || e->d_ino != p->ino)
		bail("behind %ld: \"%s\" (%ju) instead of \"%s\" (%ju)", p->at,
		     e->d_name, (uintmax_t)e->d_ino, p->name,
		     (uintmax_t)p->ino);
}

static void
check_dir(const char *path, uint64_t rounds, uint64_t seed)
{
	struct rng rng = { seed * 2654435761u + 88172645463325252u };
	struct place *places = NULL;
	const struct dirent *e;
	size_t count = 0;
	size_t cap = 0;
	long at;
	DIR *d = opendir(path);

	if (d == NULL)
		bail("%s: %s", path, strerror(errno));
	for (;;) {
		at = telldir(d);
		errno = 0;
		e = readdir(d);
		if (e == NULL)
			break;
		if (count == cap) {
			cap = cap * 2 + 64;
			places = realloc(places, cap * sizeof(*places));
			if (places == NULL)
				bail("out of memory");
		}
		places[count].at = at;
		places[count].ino = e->d_ino;
		(void)snprintf(places[count].name, sizeof(places->name), "%s",
			       e->d_name);
		count++;
	}
	if (errno != 0)
		bail("%s: readdir: %s", path, strerror(errno));
	while (rounds-- > 0 && count > 0) {
		size_t i = (size_t)rng_below(&rng, count);
		size_t k;

		seekdir(d, places[i].at);
		for (k = i; k < count && k < i + 5; k++)
			expect(d, &places[k]);
	}
	rewinddir(d);
	for (size_t k = 0; k < count; k++)
		expect(d, &places[k]);
	if (readdir(d) != NULL)
		bail("%s: more names the second time", path);
	closedir(d);
	free(places);
	printf("%zu\n", count);
}

/* --- handles -------------------------------------------------------------- */

#define HANDLE_BYTES 128

static void
save_handle(const char *path, const char *to)
{
	struct file_handle *h = bail_memory(sizeof(*h) + HANDLE_BYTES);
	int mount;
	FILE *f;

	h->handle_bytes = HANDLE_BYTES;
	if (name_to_handle_at(AT_FDCWD, path, h, &mount, 0) < 0)
		bail("%s: name_to_handle_at: %s", path, strerror(errno));
	f = fopen(to, "w");
	if (f == NULL || fwrite(h, sizeof(*h) + h->handle_bytes, 1, f) != 1 ||
	    fclose(f) != 0)
		bail("%s: %s", to, strerror(errno));
	free(h);
}

static void
load_handle(const char *mountpoint, const char *from, const char *source)
{
	struct file_handle *h = bail_memory(sizeof(*h) + HANDLE_BYTES);
	int mount = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FILE *f = fopen(from, "r");
	uint8_t *a = bail_memory(PIECE_MAX);
	uint8_t *b = bail_memory(PIECE_MAX);
	ssize_t n;
	ssize_t m;
	int s;
	int fd;

	if (f == NULL || fread(h, 1, sizeof(*h) + HANDLE_BYTES, f) == 0)
		bail("%s: %s", from, strerror(errno));
	(void)fclose(f);
	fd = open_by_handle_at(mount, h, O_RDONLY);
	if (fd < 0)
		bail("open_by_handle_at: %s", strerror(errno));
	s = open_file(source, 0);
	do {
		n = read(s, a, PIECE_MAX);
		m = read(fd, b, PIECE_MAX);
		if (n != m || (n > 0 && memcmp(a, b, (size_t)n) != 0))
			bail("the handle leads to other content");
	} while (n > 0);
	close(s);
	close(fd);
	close(mount);
	free(a);
	free(b);
	free(h);
}

int
main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";

	if (strcmp(verb, "file") == 0 && argc > 3)
		check_file(argv[2], argv[3], number(argc, argv, 4, 500),
			   number(argc, argv, 5, 1));
	else if (strcmp(verb, "threads") == 0 && argc > 3)
		check_threads(argv[2], argv[3], number(argc, argv, 4, 4),
			      number(argc, argv, 5, 300));
	else if (strcmp(verb, "dir") == 0)
		check_dir(argv[2], number(argc, argv, 3, 500),
			  number(argc, argv, 4, 1));
	else if (strcmp(verb, "save") == 0 && argc > 3)
		save_handle(argv[2], argv[3]);
	else if (strcmp(verb, "load") == 0 && argc > 4)
		load_handle(argv[2], argv[3], argv[4]);
	else
		bail("usage: file|threads|dir|save|load ...");
	return 0;
}
