/*
 * randread - reads files in every way there is, at random, and compares.
 *
 *	randread OPERATIONS READERS SEED SOURCE SHOWN [SOURCE SHOWN ...]
 *
 * OPERATIONS reads by all READERS together, each a thread with descriptors of
 * its own; each operation takes one of the pairs, a way to read, a place and a
 * length, and wants from SHOWN what SOURCE has.  Between them the kernel is
 * made to forget what it keeps.  First of all the maps of data and holes must
 * be the same.  Ends with 0 and how often each way was taken, or with 1 and a
 * sentence about the first difference.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "tests/lib/bail.h"
#include "tests/lib/rng.h"

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
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#define HAVE_RING 1
#endif
#endif

#define PAGE      4096
#define LONG_LEN  (256 * 1024) /* the longest read */
#define SHORT_LEN 12000        /* most are shorter than this */
#define PIPE_LEN  65536
#define BORDERS   4096 /* at most, between data and holes */
#define DROPS     8    /* of all caches, in one run */

/* --- files ---------------------------------------------------------------- */

/* One pair; shared by all readers and constant once it is opened. */
struct pair {
	const char *source, *shown;
	uint64_t size;
	uint64_t *border; /* where data begins or ends, in the source */
	size_t borders;
};

/* A reader's own descriptors of it. */
struct opened {
	int source, shown;
	int direct; /* -1: not to be had */
};

struct ring;

struct reader {
	pthread_t thread;
	const struct pair *pair;
	struct opened *opened;
	size_t pairs;
	uint64_t operations;
	struct rng rng;
	bool drops; /* caches of the whole machine */
	struct ring *ring;
	int pipe[2], socket[2];
	uint8_t *want, *got; /* LONG_LEN each, and a page */
	uint64_t *counts;    /* one for each way */
};

/* A read at hand: which file, where, how much, and what to expect. */
struct job {
	const struct pair *pair;
	const struct opened *fd;
	const char *how;
	uint64_t at;
	size_t len;
	size_t want_len;
};

static uint64_t
below(struct reader *r, uint64_t n)
{
	return rng_below(&r->rng, n);
}

static int
open_or_fail(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		bail("%s: %s", path, strerror(errno));
	return fd;
}

/* --- maps of data and holes ----------------------------------------------- */

static void
same_seek(const struct pair *p, const int fd[2], off_t at, int whence,
	  off_t *found)
{
	off_t a = lseek(fd[0], at, whence);
	int a_errno = a < 0 ? errno : 0;
	off_t b = lseek(fd[1], at, whence);
	int b_errno = b < 0 ? errno : 0;

	if (a != b || a_errno != b_errno)
		bail("%s: SEEK_%s from %jd: %jd (%s) instead of %jd (%s)",
		     p->shown, whence == SEEK_DATA ? "DATA" : "HOLE",
		     (intmax_t)at, (intmax_t)b, strerror(b_errno), (intmax_t)a,
		     strerror(a_errno));
	*found = a;
}

/* Both ends of every piece, and beside them; keeps where they are. */
static void
compare_maps(struct pair *p, const int fd[2])
{
	int whence = SEEK_DATA;
	off_t at = 0;
	off_t other;

	p->border = bail_memory(BORDERS * sizeof(*p->border));
	while (at >= 0 && at < (off_t)p->size) {
		same_seek(p, fd, at, whence, &at);
		if (at < 0)
			break;
		if (p->borders < BORDERS)
			p->border[p->borders++] = (uint64_t)at;
		same_seek(p, fd, at, SEEK_DATA, &other);
		same_seek(p, fd, at + 1, SEEK_DATA, &other);
		same_seek(p, fd, at + 1, SEEK_HOLE, &other);
		if (at > 0)
			same_seek(p, fd, at - 1, SEEK_HOLE, &other);
		whence = whence == SEEK_DATA ? SEEK_HOLE : SEEK_DATA;
	}
	for (at = (off_t)p->size - 1; at <= (off_t)p->size + 1; at++) {
		same_seek(p, fd, at, SEEK_DATA, &other);
		same_seek(p, fd, at, SEEK_HOLE, &other);
	}
}

/* What every reader at the end, and past it, is told. */
static void
compare_end(const struct pair *p, const int fd[2])
{
	const uint64_t past[] = { p->size, p->size + 1, p->size + 1000000,
				  UINT64_C(1) << 43, INT64_MAX - PAGE };
	char byte;
	size_t i;

	for (i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
		ssize_t n = pread(fd[1], &byte, 1, (off_t)past[i]);

		/* Some file systems have no such place at all. */
		if (n > 0 ||
		    (n < 0 && pread(fd[0], &byte, 1, (off_t)past[i]) == 0))
			bail("%s: something at %" PRIu64 ", behind the end",
			     p->shown, past[i]);
	}
	if (pread(fd[1], &byte, 0, 0) != 0)
		bail("%s: no bytes cannot be read", p->shown);
	if (pread(fd[1], &byte, 1, -1) != -1 || errno != EINVAL)
		bail("%s: can be read before its beginning", p->shown);
}

static void
pair_prepare(struct pair *p, const char *source, const char *shown)
{
	int fd[2] = { open_or_fail(source), open_or_fail(shown) };
	struct stat a;
	struct stat b;

	*p = (struct pair){ .source = source, .shown = shown };
	if (fstat(fd[0], &a) < 0 || fstat(fd[1], &b) < 0)
		bail("%s: %s", shown, strerror(errno));
	if (a.st_size != b.st_size)
		bail("%s: %jd bytes instead of %jd", shown, (intmax_t)b.st_size,
		     (intmax_t)a.st_size);
	p->size = (uint64_t)a.st_size;
	compare_maps(p, fd);
	compare_end(p, fd);
	close(fd[0]);
	close(fd[1]);
}

/* --- comparing -------------------------------------------------------------- */

static void
expect(const struct job *j, ssize_t n, const uint8_t *want, const uint8_t *got)
{
	size_t i;

	if (n < 0)
		bail("%s: %s of %zu at %" PRIu64 ": %s", j->pair->shown, j->how,
		     j->len, j->at, strerror(errno));
	if ((size_t)n != j->want_len)
		bail("%s: %s of %zu at %" PRIu64 ": %zd bytes instead of %zu",
		     j->pair->shown, j->how, j->len, j->at, n, j->want_len);
	if (memcmp(want, got, (size_t)n) == 0)
		return;
	for (i = 0; want[i] == got[i];)
		i++;
	bail("%s: %s of %zu at %" PRIu64 ": a wrong byte at %" PRIu64,
	     j->pair->shown, j->how, j->len, j->at, j->at + i);
}

/* What the source has there. */
static void
look_up(struct reader *r, struct job *j)
{
	ssize_t n = 0;

	if (j->at < j->pair->size)
		n = pread(j->fd->source, r->want, j->len, (off_t)j->at);
	if (n < 0)
		bail("%s: %s", j->pair->source, strerror(errno));
	j->want_len = (size_t)n;
}

/* --- ways to read ------------------------------------------------------------ */

static void
way_pread(struct reader *r, struct job *j)
{
	expect(j, pread(j->fd->shown, r->got, j->len, (off_t)j->at), r->want,
	       r->got);
}

static void
way_readv(struct reader *r, struct job *j)
{
	size_t a = 1 + (size_t)below(r, j->len);
	size_t b = (size_t)below(r, j->len - a + 1);
	struct iovec v[3] = { { r->got, a },
			      { r->got + a, b },
			      { r->got + a + b, j->len - a - b } };

	if (lseek(j->fd->shown, (off_t)j->at, SEEK_SET) < 0)
		bail("%s: lseek: %s", j->pair->shown, strerror(errno));
	expect(j, readv(j->fd->shown, v, 3), r->want, r->got);
	if (lseek(j->fd->shown, 0, SEEK_CUR) != (off_t)(j->at + j->want_len))
		bail("%s: readv leaves the offset elsewhere", j->pair->shown);
}

static void
way_preadv2(struct reader *r, struct job *j)
{
	struct iovec v[2] = { { r->got, j->len / 2 },
			      { r->got + j->len / 2, j->len - j->len / 2 } };
	ssize_t n = preadv2(j->fd->shown, v, 2, (off_t)j->at, RWF_HIPRI);

	if (n < 0 && errno == EOPNOTSUPP)
		n = preadv2(j->fd->shown, v, 2, (off_t)j->at, 0);
	expect(j, n, r->want, r->got);
}

/* Only what the kernel has: nothing, a part, or all. */
static void
way_nowait(struct reader *r, struct job *j)
{
	struct iovec v = { r->got, j->len };
	ssize_t n = preadv2(j->fd->shown, &v, 1, (off_t)j->at, RWF_NOWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EOPNOTSUPP))
		return;
	if (n >= 0 && (size_t)n < j->want_len)
		j->want_len = (size_t)n;
	expect(j, n, r->want, r->got);
}

static void
map(struct reader *r, struct job *j, int flags)
{
	uint64_t at = j->at & ~(uint64_t)(PAGE - 1);
	size_t skip = (size_t)(j->at - at);
	size_t whole;
	uint8_t *m;
	size_t i;

	if (j->want_len == 0)
		return;
	whole = (skip + j->want_len + PAGE - 1) / PAGE * PAGE;
	m = mmap(NULL, whole, PROT_READ, flags, j->fd->shown, (off_t)at);
	if (m == MAP_FAILED)
		bail("%s: mmap: %s", j->pair->shown, strerror(errno));
	expect(j, (ssize_t)j->want_len, r->want, m + skip);
	/* Behind the end there are zeros, up to the end of the page. */
	if (j->at + j->want_len == j->pair->size)
		for (i = skip + j->want_len; i < whole; i++)
			if (m[i] != 0)
				bail("%s: mmap: something behind the end",
				     j->pair->shown);
	(void)munmap(m, whole);
}

static void
way_mmap_private(struct reader *r, struct job *j)
{
	map(r, j, MAP_PRIVATE);
}

static void
way_mmap_shared(struct reader *r, struct job *j)
{
	map(r, j, MAP_SHARED);
}

/* A private mapping written to changes nothing for anybody else. */
static void
way_mmap_scribble(struct reader *r, struct job *j)
{
	uint64_t at = j->at & ~(uint64_t)(PAGE - 1);
	uint8_t *m;

	if (j->want_len == 0)
		return;
	m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, j->fd->shown,
		 (off_t)at);
	if (m == MAP_FAILED)
		bail("%s: mmap: %s", j->pair->shown, strerror(errno));
	memset(m, 0x5a, PAGE);
	way_pread(r, j);
	(void)munmap(m, PAGE);
}

/* Back out of a pipe or socket, behind what there is. */
static void
drain(struct reader *r, int fd, size_t have, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, r->got + have, n);

		if (got <= 0)
			bail("reading back: %s", strerror(errno));
		have += (size_t)got;
		n -= (size_t)got;
	}
}

static void
way_splice(struct reader *r, struct job *j)
{
	off_t at = (off_t)j->at;
	size_t have = 0;

	while (have < j->len) {
		size_t left = j->len - have;
		ssize_t n = splice(j->fd->shown, &at, r->pipe[1], NULL,
				   left < PIPE_LEN ? left : PIPE_LEN, 0);

		if (n < 0)
			bail("%s: splice at %jd: %s", j->pair->shown,
			     (intmax_t)at, strerror(errno));
		if (n == 0)
			break;
		drain(r, r->pipe[0], have, (size_t)n);
		have += (size_t)n;
	}
	expect(j, (ssize_t)have, r->want, r->got);
}

static void
way_sendfile(struct reader *r, struct job *j)
{
	off_t at = (off_t)j->at;
	size_t have = 0;

	while (have < j->len) {
		size_t left = j->len - have;
		ssize_t n = sendfile(r->socket[1], j->fd->shown, &at,
				     left < PIPE_LEN / 4 ? left : PIPE_LEN / 4);

		if (n < 0)
			bail("%s: sendfile at %jd: %s", j->pair->shown,
			     (intmax_t)at, strerror(errno));
		if (n == 0)
			break;
		drain(r, r->socket[0], have, (size_t)n);
		have += (size_t)n;
	}
	expect(j, (ssize_t)have, r->want, r->got);
}

static void
way_direct(struct reader *r, struct job *j)
{
	if (j->fd->direct < 0)
		return;
	j->at &= ~(uint64_t)(PAGE - 1);
	j->len = (j->len + PAGE - 1) / PAGE * PAGE;
	look_up(r, j);
	expect(j, pread(j->fd->direct, r->got, j->len, (off_t)j->at), r->want,
	       r->got);
}

/* --- io_uring ---------------------------------------------------------------- */

#ifdef HAVE_RING

/* With room for one request at a time; constant but for what is mapped. */
struct ring {
	int fd;
	uint8_t *sq, *cq;
	struct io_uring_sqe *sqe;
	struct io_uring_params p;
};

static unsigned *
ring_word(uint8_t *base, unsigned offset)
{
	return (unsigned *)(void *)(base + offset);
}

static void *
ring_map(int fd, size_t len, off_t at)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, fd, at);

	return p == MAP_FAILED ? NULL : p;
}

/* NULL where there is no io_uring. */
static struct ring *
ring_new(void)
{
	struct ring *g = bail_memory(sizeof(*g));
	size_t sq_len;
	size_t cq_len;

	memset(g, 0, sizeof(*g));
	g->fd = (int)syscall(SYS_io_uring_setup, 2, &g->p);
	if (g->fd < 0) {
		free(g);
		return NULL;
	}
	sq_len = g->p.sq_off.array + g->p.sq_entries * sizeof(unsigned);
	cq_len = g->p.cq_off.cqes +
		 g->p.cq_entries * sizeof(struct io_uring_cqe);
	g->sq = ring_map(g->fd, sq_len, IORING_OFF_SQ_RING);
	g->cq = ring_map(g->fd, cq_len, IORING_OFF_CQ_RING);
	g->sqe = ring_map(g->fd, g->p.sq_entries * sizeof(*g->sqe),
			  IORING_OFF_SQES);
	if (g->sq == NULL || g->cq == NULL || g->sqe == NULL)
		bail("io_uring: mmap: %s", strerror(errno));
	return g;
}

/* What is mapped goes with the process. */
static void
ring_free(struct ring *g)
{
	if (g == NULL)
		return;
	close(g->fd);
	free(g);
}

/* Ask for one thing and wait for it; its result, or -1 and errno. */
static ssize_t
ring_do(struct ring *g, const struct io_uring_sqe *what)
{
	unsigned *tail = ring_word(g->sq, g->p.sq_off.tail);
	unsigned *array = ring_word(g->sq, g->p.sq_off.array);
	unsigned *head = ring_word(g->cq, g->p.cq_off.head);
	unsigned place = *tail & *ring_word(g->sq, g->p.sq_off.ring_mask);
	const struct io_uring_cqe *done;
	int32_t res;

	g->sqe[place] = *what;
	array[place] = place;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	while (syscall(SYS_io_uring_enter, g->fd, 1, 1, IORING_ENTER_GETEVENTS,
		       NULL, 0) < 0)
		if (errno != EINTR)
			return -1;
	if (__atomic_load_n(ring_word(g->cq, g->p.cq_off.tail),
			    __ATOMIC_ACQUIRE) == *head)
		bail("io_uring: nothing came back");
	done = (const void *)(g->cq + g->p.cq_off.cqes);
	done += *head & *ring_word(g->cq, g->p.cq_off.ring_mask);
	res = done->res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	if (res >= 0)
		return res;
	errno = -res;
	return -1;
}

static void
way_ring(struct reader *r, struct job *j)
{
	struct io_uring_sqe what = { .opcode = IORING_OP_READ,
				     .fd = j->fd->shown,
				     .off = j->at,
				     .addr = (uintptr_t)r->got,
				     .len = (uint32_t)j->len };
	size_t have = 0;
	ssize_t n;

	if (r->ring == NULL)
		return;
	/* It may end short where others wait. */
	do {
		what.off = j->at + have;
		what.addr = (uintptr_t)(r->got + have);
		what.len = (uint32_t)(j->len - have);
		n = ring_do(r->ring, &what);
		have += n > 0 ? (size_t)n : 0;
	} while (n > 0 && have < j->want_len);
	expect(j, n < 0 ? n : (ssize_t)have, r->want, r->got);
}

#else

static struct ring *
ring_new(void)
{
	return NULL;
}

static void
ring_free(struct ring *g)
{
	(void)g;
}

static void
way_ring(struct reader *r, struct job *j)
{
	(void)r;
	(void)j;
}

#endif

/* --- forgetting, and places between data and holes --------------------------- */

static void
way_seek(struct reader *r, struct job *j)
{
	const int fd[2] = { j->fd->source, j->fd->shown };
	off_t found;

	same_seek(j->pair, fd, (off_t)j->at,
		  below(r, 2) == 0 ? SEEK_DATA : SEEK_HOLE, &found);
}

static void
way_forget(struct reader *r, struct job *j)
{
	(void)r;
	(void)posix_fadvise(j->fd->shown, (off_t)(j->at & ~(uint64_t)65535),
			    j->len * 16, POSIX_FADV_DONTNEED);
}

static void
way_forget_all(struct reader *r, struct job *j)
{
	(void)r;
	(void)posix_fadvise(j->fd->shown, 0, 0, POSIX_FADV_DONTNEED);
}

static void
way_ahead(struct reader *r, struct job *j)
{
	(void)r;
	(void)posix_fadvise(j->fd->shown, (off_t)j->at, (off_t)j->len,
			    POSIX_FADV_WILLNEED);
}

static const struct way {
	const char *name;
	void (*go)(struct reader *r, struct job *j);
	unsigned weight;
} ways[] = {
	{ "pread", way_pread, 24 },
	{ "readv", way_readv, 10 },
	{ "preadv2", way_preadv2, 8 },
	{ "RWF_NOWAIT", way_nowait, 4 },
	{ "mmap private", way_mmap_private, 8 },
	{ "mmap shared", way_mmap_shared, 8 },
	{ "mmap scribbled on", way_mmap_scribble, 3 },
	{ "splice", way_splice, 6 },
	{ "sendfile", way_sendfile, 6 },
	{ "O_DIRECT", way_direct, 8 },
	{ "io_uring", way_ring, 8 },
	{ "lseek", way_seek, 6 },
	{ "DONTNEED a part", way_forget, 4 },
	{ "DONTNEED all", way_forget_all, 1 },
	{ "WILLNEED", way_ahead, 2 },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* --- a reader ----------------------------------------------------------------- */

static size_t
choose_way(struct reader *r)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < WAYS; i++)
		n += ways[i].weight;
	n = below(r, n);
	for (i = 0; n >= ways[i].weight; i++)
		n -= ways[i].weight;
	return i;
}

/* Anywhere; at the end; or where something else begins. */
static uint64_t
choose_place(struct reader *r, const struct pair *p, size_t len)
{
	const uint64_t edges[] = { UINT64_C(1) << 31, UINT64_C(1) << 32,
				   UINT64_C(3) << 31, p->size };
	uint64_t at;

	switch (below(r, 4)) {
	case 0:
		at = edges[below(r, sizeof(edges) / sizeof(edges[0]))];
		if (at > p->size)
			at = p->size;
		at += below(r, PAGE);
		break;
	case 1:
		if (p->borders > 0) {
			at = p->border[below(r, p->borders)];
			at += below(r, 2) == 0 ? 0 : below(r, PAGE);
			break;
		}
		return below(r, p->size + 1);
	default:
		return below(r, p->size + 1);
	}
	len = (size_t)below(r, len + PAGE);
	return at > len ? at - len : 0;
}

static void
one_operation(struct reader *r)
{
	size_t i = (size_t)below(r, r->pairs);
	size_t way = choose_way(r);
	struct job j = { .pair = &r->pair[i],
			 .fd = &r->opened[i],
			 .how = ways[way].name };

	j.len = 1 + below(r, below(r, 12) == 0 ? LONG_LEN : SHORT_LEN);
	j.at = choose_place(r, j.pair, j.len);
	look_up(r, &j);
	ways[way].go(r, &j);
	r->counts[way]++;
}

static void
drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "3", 1);
	close(fd);
}

static void *
run_reader(void *arg)
{
	struct reader *r = arg;
	uint64_t each = r->operations / DROPS + 1;
	uint64_t n;

	for (n = 0; n < r->operations; n++) {
		if (r->drops && n % each == each - 1)
			drop_caches();
		one_operation(r);
	}
	return NULL;
}

static void
reader_open(struct reader *r, const struct pair *pairs, size_t count)
{
	size_t i;

	r->pair = pairs;
	r->pairs = count;
	r->opened = bail_memory(count * sizeof(*r->opened));
	for (i = 0; i < count; i++) {
		struct opened *o = &r->opened[i];

		o->source = open_or_fail(pairs[i].source);
		o->shown = open_or_fail(pairs[i].shown);
		o->direct =
			open(pairs[i].shown, O_RDONLY | O_CLOEXEC | O_DIRECT);
	}
	r->want = bail_memory(LONG_LEN + PAGE);
	r->got = bail_memory(LONG_LEN + PAGE);
	r->counts = calloc(WAYS, sizeof(*r->counts));
	if (r->counts == NULL)
		bail("out of memory");
	if (pipe2(r->pipe, O_CLOEXEC) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->socket) < 0)
		bail("pipe: %s", strerror(errno));
	r->ring = ring_new();
}

static void
reader_close(struct reader *r)
{
	size_t i;

	for (i = 0; i < r->pairs; i++) {
		close(r->opened[i].source);
		close(r->opened[i].shown);
		if (r->opened[i].direct >= 0)
			close(r->opened[i].direct);
	}
	for (i = 0; i < 2; i++) {
		close(r->pipe[i]);
		close(r->socket[i]);
	}
	ring_free(r->ring);
	free(r->opened);
	free(r->want);
	free(r->got);
	free(r->counts);
}

/* How often each way was taken, and which could not be. */
static void
tell(const struct reader *r, size_t readers)
{
	size_t i;
	size_t k;

	for (k = 0; k < WAYS; k++) {
		uint64_t n = 0;

		for (i = 0; i < readers; i++)
			n += r[i].counts[k];
		printf("%s%s %" PRIu64, k > 0 ? ", " : "", ways[k].name, n);
	}
	printf("\n");
	if (r[0].ring == NULL)
		printf("io_uring is not to be had\n");
	if (r[0].opened[0].direct < 0)
		printf("O_DIRECT is not to be had\n");
}

int
main(int argc, char **argv)
{
	uint64_t operations = argc > 5 ? strtoull(argv[1], NULL, 10) : 0;
	size_t readers = argc > 5 ? strtoul(argv[2], NULL, 10) : 0;
	uint64_t seed = argc > 5 ? strtoull(argv[3], NULL, 10) : 0;
	size_t pairs = argc > 5 ? (size_t)(argc - 4) / 2 : 0;
	struct pair *pair = bail_memory(pairs * sizeof(*pair));
	struct reader *r;
	size_t i;

	if (operations == 0 || readers == 0 || argc % 2 != 0)
		bail("usage: OPERATIONS READERS SEED SOURCE SHOWN ...");
	for (i = 0; i < pairs; i++)
		pair_prepare(&pair[i], argv[4 + 2 * i], argv[5 + 2 * i]);
	r = calloc(readers, sizeof(*r));
	if (r == NULL)
		bail("out of memory");
	for (i = 0; i < readers; i++) {
		reader_open(&r[i], pair, pairs);
		r[i].operations = operations / readers;
		r[i].rng.state =
			(seed + i + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
		r[i].drops = i == 0;
	}
	for (i = 0; i < readers; i++)
		if (pthread_create(&r[i].thread, NULL, run_reader, &r[i]) != 0)
			bail("cannot start a thread");
	for (i = 0; i < readers; i++)
		(void)pthread_join(r[i].thread, NULL);
	tell(r, readers);
	for (i = 0; i < readers; i++)
		reader_close(&r[i]);
	for (i = 0; i < pairs; i++)
		free(pair[i].border);
	free(pair);
	free(r);
	return 0;
}
