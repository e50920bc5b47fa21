/*
 * journal_segment.c
 *
 * A header, and frames: what has been synced of one stays as it is.  An end that
 * cannot be read is the newest segment's only; anywhere else, entries are
 * missing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/journal.h"

#include "base/buf.h"
#include "base/crc.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/io.h"
#include "src/writer/journal_internal.h"
#include "src/writer/ranges.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC      "asof jrn" /* 8 bytes */
#define VERSION    1
#define HEADER_LEN SEGMENT_HEADER_LEN
#define HEADER_SUM (HEADER_LEN - 8) /* where the checksum is */
#define PREFIX     SEGMENT_PREFIX
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define NAME_LEN   SEGMENT_NAME_LEN

/* Pairs of ranges that are written at a time. */
#define PAIRS 4096

void
journal_segment_name(char out[NAME_LEN + 1], uint64_t first)
{
	(void)snprintf(out, NAME_LEN + 1, PREFIX "%016" PRIx64, first);
}

uint64_t
journal_segment_number(const char *name)
{
	char again[NAME_LEN + 1];
	uint64_t first;

	if (strncmp(name, PREFIX, PREFIX_LEN) != 0)
		return 0;
	first = strtoull(name + PREFIX_LEN, NULL, 16);
	journal_segment_name(again, first);
	return strcmp(name, again) == 0 ? first : 0;
}

void
journal_segment_put_header(const uint8_t id[JOURNAL_ID_LEN], uint64_t first,
			   struct buf *out)
{
	wr_bytes(out, MAGIC, 8);
	wr_u32(out, VERSION);
	wr_bytes(out, id, JOURNAL_ID_LEN);
	wr_u64(out, first);
	if (!out->failed)
		wr_u64(out, crc64(0, out->data, HEADER_SUM));
}

/* --- reading ------------------------------------------------------------------ */

static int
check_header(const struct segment *s, int fd, struct segment_found *f,
	     struct err *e)
{
	uint8_t raw[HEADER_LEN];
	const uint8_t *magic;
	uint32_t version;
	uint64_t first;
	struct rd r = rd_init(raw, sizeof(raw));

	if (io_read_at(fd, raw, sizeof(raw), 0, PREFIX, e) < 0)
		return -1;
	magic = rd_bytes(&r, 8);
	version = rd_u32(&r);
	rd_copy(&r, f->id, sizeof(f->id));
	first = rd_u64(&r);
	if (memcmp(magic, MAGIC, 8) != 0 ||
	    rd_u64(&r) != crc64(0, raw, HEADER_SUM))
		return err_set(e, ERR_CORRUPT, "its header is damaged");
	if (version != VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			       "a journal of version %" PRIu32
			       ", which this program does not know",
			       version);
	if (first != s->first)
		return err_set(e, ERR_CORRUPT, "a segment under another name");
	return 0;
}

/*
 * Read the entries of a segment up to number `until`; what is behind it was
 * being written when all ended.  0, in the newest: all there are; one that
 * cannot be read makes it torn, and ends them.  It may have been torn, or
 * have rotted: the id will be new, and nobody will believe what was before.
 */
static int
check_entries(struct segment *s, struct journal_reader *r, uint64_t until,
	      struct segment_found *f, struct err *e)
{
	struct journal_entry en;
	struct err why = { 0 };
	int rc;

	s->end = HEADER_LEN;
	while (f->next != until) {
		rc = journal_reader_next(r, &en, &why);
		if (rc == 1 && en.seq != f->next)
			rc = err_set(&why, ERR_CORRUPT,
				     "entry %" PRIu64 " stands where %" PRIu64
				     " was to be",
				     en.seq, f->next);
		if (rc == 0 && until != 0)
			rc = err_set(&why, ERR_CORRUPT,
				     "entry %" PRIu64 " is missing", f->next);
		f->torn = rc < 0 && until == 0 && why.kind == ERR_CORRUPT;
		if (rc == 0 || f->torn)
			return 0;
		if (rc < 0) {
			err_move(e, &why);
			return -1;
		}
		f->next++;
		f->last = en.kind;
		s->end = journal_reader_at(r);
	}
	return 0;
}

int
journal_segment_check(int dirfd, struct segment *s, uint64_t until,
		      struct segment_found *out, struct err *e)
{
	struct segment_found f = { .next = s->first };
	struct journal_reader *r = NULL;
	char name[NAME_LEN + 1];
	uint64_t size;
	int rc = -1;
	int fd;

	journal_segment_name(name, s->first);
	fd = io_open(dirfd, name, O_RDONLY, 0, NULL, e);
	if (fd < 0)
		return -1;
	if (io_size(fd, &size, name, e) == 0 &&
	    check_header(s, fd, &f, e) == 0 &&
	    journal_reader_new(fd, HEADER_LEN, size, &r, e) == 0)
		rc = check_entries(s, r, until, &f, e);
	journal_reader_free(r);
	(void)io_close(fd, name, NULL);
	if (rc < 0)
		return err_prefix(e, "%s", name);
	*out = f;
	return 0;
}

/* --- writing ------------------------------------------------------------------ */

static int
write_ranges(int fd, const struct ranges *s, uint64_t at, uint64_t *crc,
	     struct err *e)
{
	struct buf b = { 0 };
	size_t i = 0;
	size_t n;
	int rc = 0;

	while (rc == 0 && i < s->count) {
		buf_reset(&b);
		for (n = 0; n < PAIRS && i < s->count; n++, i++) {
			wr_u64(&b, s->r[i].off);
			wr_u64(&b, s->r[i].len);
		}
		rc = buf_ok(&b, e);
		if (rc == 0)
			rc = io_write_at(fd, b.data, b.len, at, PREFIX, e);
		if (rc == 0) {
			*crc = crc64(*crc, b.data, b.len);
			at += b.len;
		}
	}
	buf_clear(&b);
	return rc;
}

int
journal_segment_write(int fd, uint64_t at, const struct journal_entry *en,
		      const struct buf *head, struct err *e)
{
	uint64_t crc = crc64(0, head->data, head->len);
	struct buf sum = { 0 };
	int rc;

	rc = io_write_at(fd, head->data, head->len, at, PREFIX, e);
	at += head->len;
	if (rc == 0 && en->ranges != NULL) {
		rc = write_ranges(fd, en->ranges, at, &crc, e);
		at += (uint64_t)en->ranges->count * RANGES_PAIR;
	}
	wr_u64(&sum, crc);
	if (rc == 0)
		rc = buf_ok(&sum, e);
	if (rc == 0)
		rc = io_write_at(fd, sum.data, sum.len, at, PREFIX, e);
	buf_clear(&sum);
	return rc;
}
