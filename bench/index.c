/*
 * index - how fast and how small is the chunk index, and what would LMDB be?
 *
 * usage: index [-d DIR] [-c CHUNKS] [ENTRIES ...]
 *
 * For each number of entries (default 3 and 10 million) a repository of
 * packs with CHUNKS (default 2,048) chunks of one byte each is made below
 * DIR (default TMPDIR or /tmp; 40 bytes an entry), and then, each in a process of its
 * own: the index is built from nothing, opened again, brought in step with
 * nothing changed, and asked for random keys that it has and has not; the
 * same keys go into LMDB, in sorted batches of 2^20, and are asked for.
 * Prints the table that doc/decisions/004 rests on.  Everything is warm: it
 * lies in the page cache.  Look-ups are per second of CPU and thread.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/index.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/time.h"
#include "store/frame.h"
#include "store/segment.h"

#include <endian.h>
#include <fcntl.h>
#include <ftw.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNKS_MAX 4096
#define LOOK_UPS   1000000
#define LMDB_BATCH (UINT32_C(1) << 20)
#define LMDB_MAP   ((size_t)8 << 30)

static uint64_t chunks_each = 2048; /* in a pack */

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "index: %s\n", what);
	exit(1);
}

static void
must(int rc, const struct err *e)
{
	if (rc < 0)
		die(e->text);
}

static double
seconds(void)
{
	return (double)time_monotonic_ns() / 1e9;
}

/* Of this thread: look-ups do not wait for anything, so load is left out. */
static double
cpu_seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* splitmix64: different numbers for different n, in random order. */
static uint64_t
key_of(uint64_t n)
{
	n = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
	n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
	return n ^ n >> 31;
}

static void
id_of(uint64_t n, struct id *out)
{
	uint64_t word;
	size_t i;

	for (i = 0; i < ID_LEN; i++) {
		word = key_of(i < 8 ? n : n ^ (uint64_t)(i / 8) << 60);
		out->b[i] = (uint8_t)(word >> (56 - 8 * (i % 8)));
	}
}

/* A line of /proc/self/status, in MiB. */
static double
status_mib(const char *field)
{
	char line[256];
	double kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	if (f == NULL)
		die("no /proc");
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			kib = strtod(line + strlen(field) + 1, NULL);
	(void)fclose(f);
	return kib / 1024;
}

/* --- the packs ---------------------------------------------------------------- */

static int
no_sync(int fd)
{
	(void)fd;
	return 0;
}

static void
make_pack(int packs_fd, uint64_t first, uint32_t n)
{
	static struct id ids[CHUNKS_MAX];
	static uint32_t lens[CHUNKS_MAX];
	static const char bytes[CHUNKS_MAX];
	struct pack_frame f = { .kind = KIND_DATA,
				.method = FRAME_RAW,
				.stored = bytes,
				.stored_len = n,
				.raw_len = n,
				.chunks = n,
				.ids = ids,
				.lens = lens };
	struct pack_writer *w = NULL;
	struct err e = { 0 };
	uint32_t i, slot;

	for (i = 0; i < n; i++) {
		id_of(first + i, &ids[i]);
		lens[i] = 1;
	}
	must(pack_writer_new(packs_fd, &w, &e), &e);
	must(pack_writer_add(w, &f, &slot, &e), &e);
	must(pack_writer_seal(w, &e), &e);
	must(pack_writer_publish(w, &e), &e);
	pack_writer_free(w);
}

/* They are only there to be read: nothing of them need survive a crash. */
static void
make_packs(int packs_fd, uint64_t entries)
{
	struct sys_ops ops = sys_real;
	uint64_t at, n;

	ops.fsync = no_sync;
	sys_repo = &ops;
	for (at = 0; at < entries; at += n) {
		n = entries - at < chunks_each ? entries - at : chunks_each;
		make_pack(packs_fd, at, (uint32_t)n);
	}
	sys_repo = &sys_real;
}

/* --- the index ------------------------------------------------------------------ */

struct asking {
	struct index *x;
	uint64_t entries, seed;
	uint64_t from; /* numbers asked for begin here */
	uint64_t found;
	double took; /* CPU seconds */
};

static void *
ask(void *arg)
{
	struct asking *a = arg;
	struct index_hit hit[4];
	struct err e = { 0 };
	double start = cpu_seconds();
	uint64_t i;

	for (i = 0; i < LOOK_UPS; i++) {
		uint64_t n = a->from + key_of(a->seed + i) % a->entries;
		int rc = index_find(a->x, key_of(n), hit, 4, &e);

		must(rc, &e);
		a->found += rc > 0;
	}
	a->took = cpu_seconds() - start;
	return NULL;
}

/* Look-ups a CPU second by `threads` threads, of keys there or not. */
static double
ask_all(struct index *x, uint64_t entries, bool there, unsigned threads)
{
	pthread_t t[2];
	struct asking a[2];
	double took = 0;
	unsigned i;

	for (i = 0; i < threads; i++) {
		a[i] = (struct asking){
			x, entries, 77 + i * 1000000007u, there ? 0 : entries,
			0, 0
		};
		if (pthread_create(&t[i], NULL, ask, &a[i]) != 0)
			die("no thread");
	}
	for (i = 0; i < threads; i++) {
		(void)pthread_join(t[i], NULL);
		if (a[i].found != (there ? LOOK_UPS : 0))
			die("a wrong answer");
		took += a[i].took;
	}
	return threads * (double)LOOK_UPS / took;
}

static uint64_t total;

static int
add_size(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (flag == FTW_F)
		total += (uint64_t)st->st_size;
	return 0;
}

static double
mib_in(const char *dir)
{
	total = 0;
	if (nftw(dir, add_size, 16, FTW_PHYS) < 0)
		die(dir);
	return (double)total / 1048576;
}

struct figures {
	double build, open, sync;      /* seconds */
	double hits, misses, two_hits; /* a CPU second */
	double disk, memory, peak;     /* MiB */
};

static struct figures
measure_index(const char *cache, int cache_fd, int packs_fd, uint64_t entries)
{
	struct figures f = { 0 };
	struct index *x = NULL;
	struct err e = { 0 };
	double start = seconds(), before = status_mib("VmRSS");

	must(index_open(cache_fd, cache, &x, &e), &e);
	must(index_sync(x, packs_fd, NULL, NULL, NULL, &e), &e);
	f.build = seconds() - start;
	f.peak = status_mib("VmHWM") - before;
	if (index_entries(x) != entries)
		die("entries are missing");
	index_close(x);
	start = seconds();
	must(index_open(cache_fd, cache, &x, &e), &e);
	f.open = seconds() - start;
	start = seconds();
	must(index_sync(x, packs_fd, NULL, NULL, NULL, &e), &e);
	f.sync = seconds() - start;
	f.hits = ask_all(x, entries, true, 1);
	f.misses = ask_all(x, entries, false, 1);
	f.two_hits = ask_all(x, entries, true, 2);
	f.memory = (double)index_memory(x) / 1048576;
	f.disk = mib_in(cache);
	index_close(x);
	return f;
}

/* --- LMDB --------------------------------------------------------------------------- */

static void
lmdb_must(int rc)
{
	if (rc != 0)
		die(mdb_strerror(rc));
}

/* Keys as LMDB wants them, big-endian: it sorts by bytes. */
static uint64_t
lmdb_key(uint64_t n)
{
	return htobe64(key_of(n));
}

static void
lmdb_fill(MDB_env *env, uint64_t entries)
{
	struct run_entry *v = mem_array(LMDB_BATCH, sizeof(*v));
	uint64_t at, n, i;
	MDB_txn *txn;
	MDB_dbi dbi;

	if (v == NULL)
		die("out of memory");
	for (at = 0; at < entries; at += n) {
		n = entries - at < LMDB_BATCH ? entries - at : LMDB_BATCH;
		for (i = 0; i < n; i++)
			v[i] = (struct run_entry){
				key_of(at + i),
				(uint32_t)((at + i) / chunks_each),
				(uint32_t)((at + i) % chunks_each),
			};
		segment_sort(v, (size_t)n);
		lmdb_must(mdb_txn_begin(env, NULL, 0, &txn));
		lmdb_must(mdb_dbi_open(txn, NULL, 0, &dbi));
		for (i = 0; i < n; i++) {
			uint64_t key = htobe64(v[i].key);
			MDB_val k = { sizeof(key), &key };
			MDB_val d = { 8, &v[i].pack };

			lmdb_must(mdb_put(txn, dbi, &k, &d, 0));
		}
		lmdb_must(mdb_txn_commit(txn));
	}
	mem_free(v);
}

/* A transaction a look-up: it must not hold up the writer (see catalogue.h). */
static double
lmdb_ask(MDB_env *env, uint64_t entries, bool there)
{
	double start = cpu_seconds();
	uint64_t i, found = 0;
	MDB_txn *txn;
	MDB_dbi dbi;

	lmdb_must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
	lmdb_must(mdb_dbi_open(txn, NULL, 0, &dbi));
	for (i = 0; i < LOOK_UPS; i++) {
		uint64_t n = (there ? 0 : entries) + key_of(77 + i) % entries;
		uint64_t key = lmdb_key(n);
		MDB_val k = { sizeof(key), &key }, d;

		mdb_txn_reset(txn);
		lmdb_must(mdb_txn_renew(txn));
		found += mdb_get(txn, dbi, &k, &d) == 0;
	}
	mdb_txn_abort(txn);
	if (found != (there ? LOOK_UPS : 0))
		die("LMDB: a wrong answer");
	return LOOK_UPS / (cpu_seconds() - start);
}

static struct figures
measure_lmdb(const char *dir, uint64_t entries)
{
	struct figures f = { 0 };
	double start = seconds(), before = status_mib("VmRSS");
	MDB_env *env;

	lmdb_must(mdb_env_create(&env));
	lmdb_must(mdb_env_set_mapsize(env, LMDB_MAP));
	lmdb_must(mdb_env_open(env, dir, MDB_NOTLS, 0600));
	lmdb_fill(env, entries);
	f.build = seconds() - start;
	f.peak = status_mib("VmHWM") - before;
	mdb_env_close(env);
	before = status_mib("VmRSS");
	lmdb_must(mdb_env_create(&env));
	lmdb_must(mdb_env_set_mapsize(env, LMDB_MAP));
	lmdb_must(mdb_env_open(env, dir, MDB_NOTLS, 0600));
	f.hits = lmdb_ask(env, entries, true);
	f.misses = lmdb_ask(env, entries, false);
	f.memory = status_mib("VmRSS") - before;
	f.disk = mib_in(dir);
	mdb_env_close(env);
	return f;
}

/* --- a process each ------------------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int
open_new_dir(const char *top, const char *name, char path[300])
{
	int fd;

	(void)snprintf(path, 300, "%s/%s", top, name);
	if (mkdir(path, 0700) < 0)
		die(path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

/* The figures, measured by a child that has nothing in its memory yet. */
static struct figures
in_child(const char *top, bool lmdb, int packs_fd, uint64_t entries)
{
	struct figures f;
	char path[300];
	int fds[2], fd, status;
	pid_t pid;

	fd = open_new_dir(top, lmdb ? "lmdb" : "cache", path);
	if (pipe(fds) < 0)
		die("no pipe");
	pid = fork();
	if (pid < 0)
		die("no process");
	if (pid == 0) {
		if (lmdb)
			f = measure_lmdb(path, entries);
		else
			f = measure_index(path, fd, packs_fd, entries);
		if (write(fds[1], &f, sizeof(f)) != sizeof(f))
			die("pipe");
		_exit(0);
	}
	(void)close(fds[1]);
	(void)close(fd);
	if (read(fds[0], &f, sizeof(f)) != sizeof(f) ||
	    waitpid(pid, &status, 0) != pid || status != 0)
		die("a measurement failed");
	(void)close(fds[0]);
	return f;
}

static void
print_row(const char *what, uint64_t entries, const struct figures *f)
{
	printf("| %s | %.0f M | %.2f | %.1f | %.1f | %.0f | %.0f | %.0f | "
	       "%.0f | %.1f | %.0f |\n",
	       what, (double)entries / 1e6, f->build, f->open * 1000,
	       f->sync * 1000, f->hits / 1000, f->misses / 1000,
	       f->two_hits / 1000, f->disk, f->memory, f->peak);
	(void)fflush(stdout);
}

static void
measure(const char *dir, uint64_t entries)
{
	char top[200], path[300];
	struct figures f;
	int packs_fd;

	(void)snprintf(top, sizeof(top), "%s/asof-bench-XXXXXX", dir);
	if (mkdtemp(top) == NULL)
		die(top);
	packs_fd = open_new_dir(top, "packs", path);
	make_packs(packs_fd, entries);
	f = in_child(top, false, packs_fd, entries);
	print_row("runs", entries, &f);
	f = in_child(top, true, packs_fd, entries);
	print_row("LMDB", entries, &f);
	(void)close(packs_fd);
	if (nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
		die(top);
}

int
main(int argc, char **argv)
{
	const char *dir = getenv("TMPDIR");
	int opt;

	while ((opt = getopt(argc, argv, "c:d:")) != -1) {
		if (opt == 'c')
			chunks_each = strtoull(optarg, NULL, 10);
		else if (opt == 'd')
			dir = optarg;
		if (opt == '?' || chunks_each == 0 || chunks_each > CHUNKS_MAX)
			die("usage: index [-d DIR] [-c CHUNKS] [ENTRIES ...]");
	}
	if (dir == NULL)
		dir = "/tmp";
	puts("|  | entries | build s | open ms | sync ms | hits k/s | "
	     "misses k/s | hits, 2 threads | disk MiB | memory MiB | "
	     "peak MiB |");
	puts("|---|---|---|---|---|---|---|---|---|---|---|");
	if (optind == argc) {
		measure(dir, 3000000);
		measure(dir, 10000000);
	}
	for (; optind < argc; optind++)
		measure(dir, strtoull(argv[optind], NULL, 10));
	return 0;
}
