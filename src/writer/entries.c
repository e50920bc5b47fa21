/*
 * entries.c
 *
 * A journal may be long: who reads it holds up nobody, and none of it is in
 * memory on either side.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/entries.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "src/writer/pen.h"

#include <fcntl.h>

/* Entries on their way into a file that has no name. */
struct copying {
	int fd;
	uint64_t at;
};

static int
copy_entry(void *ctx, const struct journal_entry *en, struct err *e)
{
	struct copying *to = ctx;
	struct buf b = { 0 };
	int rc = -1;

	if (journal_encode(en, &b, e) == 0 && buf_ok(&b, e) == 0)
		rc = io_write_at(to->fd, b.data, b.len, to->at,
				 "copy of a journal", e);
	to->at += b.len;
	buf_clear(&b);
	return rc;
}

/* A file that is gone when it is closed. */
static int
open_nameless(int dirfd, struct err *e)
{
	char name[IO_RANDOM_NAME_LEN + 6] = ".tmp-";
	int fd;

	if (io_random_name(name + 5, e) < 0)
		return -1;
	fd = io_open(dirfd, name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL, e);
	if (fd >= 0 && io_unlink(dirfd, name, e) < 0) {
		(void)io_close(fd, name, NULL);
		return -1;
	}
	return fd;
}

int
entries_copy(struct party *p, uint64_t seq, int dirfd, int *fd,
	     uint64_t *length, struct err *e)
{
	struct copying to = { .fd = open_nameless(dirfd, e) };

	if (to.fd < 0)
		return -1;
	if (pen_read(p, seq, copy_entry, &to, e) < 0) {
		(void)io_close(to.fd, "copy of a journal", NULL);
		return -1;
	}
	*fd = to.fd;
	*length = to.at;
	return 0;
}

int
entries_read(int fd, uint64_t length, journal_fn fn, void *ctx,
	     struct err *e)
{
	struct journal_reader *r = NULL;
	struct journal_entry en;
	int rc;

	if (journal_reader_new(fd, 0, length, &r, e) < 0)
		return -1;
	while ((rc = journal_reader_next(r, &en, e)) == 1) {
		rc = fn(ctx, &en, e);
		if (rc != 0)
			break;
	}
	journal_reader_free(r);
	return rc < 0 ? -1 : 0;
}
