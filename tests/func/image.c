/*
 * image - opens and reads an image of a disk as qemu does, and compares.
 *
 *	image SOURCE SHOWN
 *
 * What qemu-img and qemu-nbd do with a raw image that they may only read: they
 * lock bytes of it (F_OFD_SETLK), ask for its length with lseek, find out by
 * trying which alignment O_DIRECT wants, walk through data and holes with
 * SEEK_DATA and SEEK_HOLE, convert with eight requests of up to 2 MiB at a
 * time, and serve a guest's reads of whole sectors at any place, into several
 * pieces of memory.  Each is done through the kernel's cache (preadv), and
 * past it by Linux's own asynchronous reads (io_submit), as with cache=none
 * and aio=native.  Ends with 0 and what was done, or with 1 and a sentence.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "tests/lib/bail.h"
#include "tests/lib/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/fs.h>

#define SECTOR    512
#define PAGE      4096
#define PIECE     (2 << 20) /* of a conversion */
#define REQUESTS  8         /* at a time */
#define GUEST     3000      /* reads at random */
#define GUEST_MAX (64 << 10)

/* Where qemu keeps its locks: one byte for each permission it may have. */
#define LOCK_SHARED 100
#define LOCK_OTHERS 200

struct image {
	int source, shown, direct;
	off_t size;
	size_t align; /* of what is read past the cache */
	aio_context_t aio;
	uint8_t *want, *got;
	struct rng rng;
};

/* --- opening -------------------------------------------------------------- */

static void
lock_bytes(int fd)
{
	struct flock l = { .l_type = F_RDLCK,
			   .l_whence = SEEK_SET,
			   .l_start = LOCK_SHARED,
			   .l_len = 1 };

	if (fcntl(fd, F_OFD_SETLK, &l) < 0)
		bail("lock byte %d: %s", LOCK_SHARED, strerror(errno));
	l.l_start = LOCK_OTHERS;
	l.l_type = F_WRLCK;
	l.l_pid = 0;
	if (fcntl(fd, F_OFD_GETLK, &l) < 0 || l.l_type != F_UNLCK)
		bail("byte %d seems to be locked", LOCK_OTHERS);
}

/* The smallest length, and place in memory, that a direct read may have. */
static size_t
probe_alignment(int fd, uint8_t *p)
{
	static const size_t tries[] = { 1, 512, 1024, 2048, 4096 };
	size_t i;

	for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		ssize_t n = pread(fd, p + tries[i], tries[i], 0);

		if (n >= 0)
			return tries[i] < SECTOR ? SECTOR : tries[i];
		if (errno != EINVAL)
			bail("a direct read of %zu bytes: %s", tries[i],
			     strerror(errno));
	}
	bail("no alignment does for O_DIRECT");
}

static void
open_image(struct image *m, const char *source, const char *shown)
{
	int sectors;

	m->source = open(source, O_RDONLY | O_CLOEXEC);
	m->shown = open(shown, O_RDONLY | O_CLOEXEC);
	m->direct = open(shown, O_RDONLY | O_CLOEXEC | O_DIRECT);
	if (m->source < 0 || m->shown < 0)
		bail("open: %s", strerror(errno));
	m->size = lseek(m->shown, 0, SEEK_END);
	if (m->size <= 0 || m->size != lseek(m->source, 0, SEEK_END))
		bail("the length is %jd", (intmax_t)m->size);
	/* A file, and no disk. */
	if (ioctl(m->shown, BLKSSZGET, &sectors) == 0)
		bail("it has a size of sectors");
	m->want = bail_memory(REQUESTS * PIECE);
	m->got = bail_memory(REQUESTS * PIECE + PAGE);
	lock_bytes(m->shown);
	if (m->direct >= 0)
		m->align = probe_alignment(m->direct, m->got);
	if (syscall(SYS_io_setup, REQUESTS, &m->aio) < 0)
		bail("io_setup: %s", strerror(errno));
}

/* --- reading -------------------------------------------------------------- */

struct request {
	uint64_t at;
	size_t len;
};

static void
compare(const struct image *m, const char *how, const struct request *r,
	const uint8_t *got, ssize_t n)
{
	uint64_t left = (uint64_t)m->size - r->at;
	size_t want = r->len < left ? r->len : (size_t)left;

	if (n < 0)
		bail("%s at %" PRIu64 ": %s", how, r->at, strerror((int)-n));
	if ((size_t)n != want)
		bail("%s at %" PRIu64 ": %zd bytes instead of %zu", how, r->at,
		     n, want);
	if (pread(m->source, m->want, want, (off_t)r->at) != (ssize_t)want)
		bail("the source cannot be read at %" PRIu64, r->at);
	if (memcmp(m->want, got, want) != 0)
		bail("%s at %" PRIu64 ": other bytes", how, r->at);
}

/* All of them at the same time, past the kernel's cache. */
static void
read_at_once(struct image *m, const struct request *r, unsigned count)
{
	struct iocb cb[REQUESTS] = { 0 };
	struct iocb *list[REQUESTS];
	struct io_event done[REQUESTS];
	unsigned i;
	long n;

	for (i = 0; i < count; i++) {
		cb[i].aio_data = i;
		cb[i].aio_lio_opcode = IOCB_CMD_PREAD;
		cb[i].aio_fildes = (uint32_t)m->direct;
		cb[i].aio_buf = (uintptr_t)(m->got + (size_t)i * PIECE);
		cb[i].aio_nbytes = r[i].len;
		cb[i].aio_offset = (int64_t)r[i].at;
		list[i] = &cb[i];
	}
	if (syscall(SYS_io_submit, m->aio, (long)count, list) !=
	    (long)count)
		bail("io_submit: %s", strerror(errno));
	n = syscall(SYS_io_getevents, m->aio, (long)count, (long)count, done,
		    NULL);
	if (n != (long)count)
		bail("io_getevents: %s", strerror(errno));
	for (i = 0; i < count; i++)
		compare(m, "io_submit", &r[done[i].data],
			m->got + (size_t)done[i].data * PIECE,
			(ssize_t)done[i].res);
}

/* Into three pieces of memory, whose lengths are sectors. */
static void
read_in_pieces(struct image *m, const struct request *r)
{
	size_t first = r->len / 3 / SECTOR * SECTOR;
	struct iovec v[3] = {
		{ m->got, first },
		{ m->got + first, first },
		{ m->got + 2 * first, r->len - 2 * first },
	};
	ssize_t n = preadv(m->shown, v, 3, (off_t)r->at);

	compare(m, "preadv", r, m->got, n < 0 ? -errno : n);
}

/* --- converting ----------------------------------------------------------- */

/* The next request of a conversion: data, in whole sectors; false at the end. */
static bool
next_request(const struct image *m, off_t *at, size_t align, struct request *r)
{
	off_t data = lseek(m->shown, *at, SEEK_DATA);
	off_t hole;
	size_t len;

	if (data < 0) {
		if (errno != ENXIO)
			bail("SEEK_DATA at %jd: %s", (intmax_t)*at,
			     strerror(errno));
		return false;
	}
	if (data != lseek(m->source, *at, SEEK_DATA))
		bail("data after %jd is said to be at %jd", (intmax_t)*at,
		     (intmax_t)data);
	hole = lseek(m->shown, data, SEEK_HOLE);
	if (hole <= data || hole != lseek(m->source, data, SEEK_HOLE))
		bail("a hole after %jd is said to be at %jd", (intmax_t)data,
		     (intmax_t)hole);
	r->at = (uint64_t)data / align * align;
	len = (size_t)((uint64_t)hole - r->at + align - 1) / align * align;
	r->len = len < PIECE ? len : PIECE;
	*at = (off_t)(r->at + r->len);
	return true;
}

static uint64_t
convert(struct image *m, bool direct)
{
	struct request r[REQUESTS];
	uint64_t bytes = 0;
	off_t at = 0;
	unsigned i, n;

	do {
		for (n = 0; n < REQUESTS && at < m->size; n++)
			if (!next_request(m, &at, direct ? m->align : SECTOR,
					  &r[n]))
				break;
		for (i = 0; i < n; i++) {
			bytes += r[i].len;
			if (!direct)
				read_in_pieces(m, &r[i]);
		}
		if (direct && n > 0)
			read_at_once(m, r, n);
	} while (n == REQUESTS);
	return bytes;
}

/* --- a guest -------------------------------------------------------------- */

static void
guest(struct image *m, bool direct)
{
	size_t unit = direct ? m->align : SECTOR;
	struct request r[REQUESTS];
	uint64_t at, len;
	unsigned i, j;

	for (i = 0; i < GUEST; i += REQUESTS) {
		for (j = 0; j < REQUESTS; j++) {
			at = rng_below(&m->rng, (uint64_t)m->size);
			len = rng_below(&m->rng, GUEST_MAX / unit) + 1;
			r[j].at = at / unit * unit;
			r[j].len = len * unit;
			if (!direct)
				read_in_pieces(m, &r[j]);
		}
		if (direct)
			read_at_once(m, r, REQUESTS);
	}
}

int
main(int argc, char **argv)
{
	struct image m = { .rng = { UINT64_C(0x9e3779b97f4a7c15) } };

	if (argc != 3)
		bail("usage: image SOURCE SHOWN");
	open_image(&m, argv[1], argv[2]);
	guest(&m, false);
	printf("converted %" PRIu64 " bytes\n", convert(&m, false));
	if (m.direct < 0) {
		printf("O_DIRECT is not to be had\n");
		goto out;
	}
	(void)posix_fadvise(m.shown, 0, 0, POSIX_FADV_DONTNEED);
	guest(&m, true);
	printf("converted %" PRIu64 " bytes past the cache, by %zu\n",
	       convert(&m, true), m.align);
out:
	free(m.want);
	free(m.got);
	return 0;
}
