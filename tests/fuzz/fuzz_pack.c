/*
 * fuzz_pack - a pack file.  It is given the name it goes by, and its hashes
 * are made right from the footer down, so that tables and blocks are reached.
 *
 * What a directory says lies inside the pack, and chunks inside their frames.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/cursor.h"
#include "base/err.h"
#include "store/pack.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HEADER_LEN      128
#define ID_AT           16
#define FOOTER_LEN      64
#define TABLE_AT        20 /* in the footer: offset and length of the table */
#define HASHES_AT       32
#define TABLE_ENTRY_LEN 32
#define HASH_LEN        16
#define RAW_MAX         (UINT32_C(1) << 20)
#define BLOCKS_MAX      16

static struct pack_id id;
static struct frame_coder *coder;
static char dir_path[4096];

static void
remove_dir(void)
{
	(void)rmdir(dir_path);
}

/* The directory in which the pack stands, as a descriptor. */
static int
make_dir(void)
{
	const char *top = getenv("TMPDIR");
	int fd;

	(void)snprintf(dir_path, sizeof(dir_path), "%s/asof-fuzz-XXXXXX",
		       top != NULL ? top : "/tmp");
	MUST(mkdtemp(dir_path) != NULL);
	MUST(atexit(remove_dir) == 0);
	fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(fd >= 0);
	return fd;
}

/* Hashes of the blocks that lie inside, of the table, of the footer. */
static void
seal(uint8_t *p, size_t len)
{
	uint8_t *footer = p + len - FOOTER_LEN;
	struct rd r = rd_init(footer + TABLE_AT, 8);
	size_t at = rd_u32(&r);
	size_t table_len = rd_u32(&r);
	uint8_t all[PACK_ID_LEN + HASHES_AT + HASH_LEN];

	memcpy(p + ID_AT, id.b, PACK_ID_LEN);
	if (at <= len && table_len <= len - at && table_len > 0) {
		for (size_t i = 0; i + TABLE_ENTRY_LEN <= table_len;
		     i += TABLE_ENTRY_LEN) {
			size_t offset, stored;

			r = rd_init(p + at + i, 8);
			offset = rd_u32(&r);
			stored = rd_u32(&r);
			if (offset <= at && stored <= at - offset)
				hash_plain(p + offset, stored,
					   p + at + i + HASH_LEN, HASH_LEN);
		}
		hash_plain(p + at, table_len, footer + HASHES_AT, HASH_LEN);
	}
	memcpy(all, id.b, PACK_ID_LEN);
	memcpy(all + PACK_ID_LEN, footer, HASHES_AT + HASH_LEN);
	hash_plain(all, sizeof(all), footer + HASHES_AT + HASH_LEN, HASH_LEN);
}

static void
check_frame(const struct pack *p, const struct pack_frame_at *f)
{
	uint8_t *raw;

	MUST((uint64_t)f->offset + f->stored_len <= pack_len(p));
	MUST(f->raw_len > 0 && f->raw_len <= FRAME_RAW_MAX);
	if (f->raw_len > RAW_MAX)
		return;
	raw = malloc(f->raw_len);
	MUST(raw != NULL);
	(void)pack_read_frame(p, coder, f, raw, NULL);
	free(raw);
}

static void
check_block(const struct pack *p, uint32_t number)
{
	struct pack_block *b;
	struct err e = { 0 };
	unsigned chunks = 0;

	if (pack_load_block(p, coder, number, &b, &e) < 0) {
		MUST(e.kind == ERR_CORRUPT);
		return;
	}
	MUST(b->chunks > 0 && b->chunks <= PACK_BLOCK_CHUNKS);
	MUST(b->first_slot + b->chunks <= pack_chunks(p));
	for (unsigned i = 0; i < b->frames; i++) {
		chunks += b->frame[i].chunks;
		check_frame(p, &b->frame[i]);
	}
	MUST(chunks == b->chunks);
	for (unsigned i = 0; i < b->chunks; i++) {
		MUST(b->frame_of[i] < b->frames);
		MUST((uint64_t)b->offset[i] + b->len[i] <=
		     b->frame[b->frame_of[i]].raw_len);
		MUST(b->len[i] > 0);
	}
	pack_block_free(b);
}

static void
check(int dir, const uint8_t *data, size_t size)
{
	char name[PACK_NAME_LEN + 1];
	struct pack *p;
	struct err e = { 0 };
	int fd, rc;

	pack_name(name, &id);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	MUST(write(fd, data, size) == (ssize_t)size);
	MUST(close(fd) == 0);
	rc = pack_open(dir, &id, &p, &e);
	MUST(unlinkat(dir, name, 0) == 0);
	if (rc != 0) {
		MUST(e.kind == ERR_CORRUPT || e.kind == ERR_UNSUPPORTED);
		return;
	}
	MUST(pack_len(p) == size && pack_chunks(p) > 0);
	for (uint32_t i = 0; i < pack_blocks(p) && i < BLOCKS_MAX; i++)
		check_block(p, i);
	MUST(pack_load_block(p, coder, pack_blocks(p), NULL, NULL) < 0);
	pack_close(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int dir = -1;
	uint8_t *copy;

	if (dir < 0) {
		dir = make_dir();
		memset(id.b, 0x5a, sizeof(id.b));
		MUST(frame_coder_new(&coder, NULL) == 0);
	}
	check(dir, data, size);
	if (size < HEADER_LEN + FOOTER_LEN)
		return 0;
	copy = malloc(size);
	MUST(copy != NULL);
	memcpy(copy, data, size);
	seal(copy, size);
	check(dir, copy, size);
	free(copy);
	return 0;
}
