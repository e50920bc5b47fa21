/*
 * fuzz_journal - entries of a writer's journal.
 *
 * The first byte says whether the rest is a file of frames, or the body of one,
 * whose length and checksum are then put around it: no fuzzer guesses those.
 * What is taken encodes to something that is taken and encodes to the same.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/journal.h"

#include "base/buf.h"
#include "base/crc.h"
#include "base/cursor.h"
#include "base/err.h"
#include "src/writer/ranges.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int
file_of(const struct buf *b)
{
	int fd = memfd_create("journal", MFD_CLOEXEC);

	MUST(fd >= 0);
	MUST(write(fd, b->data, b->len) == (ssize_t)b->len);
	return fd;
}

static void
check_again(const struct journal_entry *en)
{
	struct journal_reader *r;
	struct journal_entry again;
	struct buf a = { 0 };
	struct buf b = { 0 };
	int fd;

	MUST(journal_encode(en, &a, NULL) == 0);
	fd = file_of(&a);
	MUST(journal_reader_new(fd, 0, a.len, &r, NULL) == 0);
	MUST(journal_reader_next(r, &again, NULL) == 1);
	MUST(journal_encode(&again, &b, NULL) == 0);
	MUST(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
	MUST(journal_reader_next(r, &again, NULL) == 0);
	journal_reader_free(r);
	MUST(close(fd) == 0);
	buf_clear(&a);
	buf_clear(&b);
}

static void
make_file(const uint8_t *data, size_t size, struct buf *out)
{
	if (size == 0 || data[0] % 2 == 0) {
		wr_bytes(out, data + (size > 0), size - (size > 0));
		return;
	}
	wr_u32(out, (uint32_t)size - 1);
	wr_bytes(out, data + 1, size - 1);
	wr_u64(out, crc64(0, out->data, out->len));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal_reader *r;
	struct journal_entry en;
	struct err e = { 0 };
	struct buf b = { 0 };
	int rc;
	int fd;

	buf_reserve(&b, 1);
	make_file(data, size, &b);
	fd = file_of(&b);
	MUST(journal_reader_new(fd, 0, b.len, &r, NULL) == 0);
	while ((rc = journal_reader_next(r, &en, &e)) == 1) {
		MUST(en.text == NULL || strlen(en.text) == en.text_len);
		MUST(en.ranges == NULL || en.ranges->count <= RANGES_MAX);
		check_again(&en);
	}
	MUST(rc == 0 || e.kind == ERR_CORRUPT);
	journal_reader_free(r);
	MUST(close(fd) == 0);
	buf_clear(&b);
	return 0;
}
