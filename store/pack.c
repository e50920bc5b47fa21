/*
 * A pack is written front to back: the directory is kept in memory while
 * frames are appended (40 bytes a chunk) and goes behind them when the pack
 * is sealed.  An open pack is a descriptor, read with pread only, and its
 * block table; it never changes, so that it needs no lock.
 *
 * Blocks are all but the last of 512 chunks, so the slot says the block; a
 * frame whose chunks cross the border is named in both.
 *
 * Layout: doc/format.md, section 5.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/pack.h"

#include "base/buf.h"
#include "base/block.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define HEADER_LEN   128
#define KEY_SLOT_LEN 96
#define FOOTER_LEN   64
#define VERSION      1
#define HASH_LEN     16

/* Encoded lengths of a frame and a chunk in a block, a block in the table. */
#define FRAME_ENTRY_LEN 20
#define CHUNK_ENTRY_LEN (ID_LEN + 4)
#define TABLE_ENTRY_LEN 32

#define BLOCK_RAW_MAX                                                          \
	(4 + PACK_BLOCK_CHUNKS * (FRAME_ENTRY_LEN + CHUNK_ENTRY_LEN))

/* Holds the footer and the table of all but huge packs: one read opens. */
#define TAIL_LEN 4096

static const char header_magic[8] = { 'a', 's', 'o', 'f', 'p', 'a', 'c', 'k' };
static const char footer_magic[8] = { 'a', 's', 'o', 'f', 'p', 'e', 'n', 'd' };

struct table_entry {
	uint32_t offset, stored_len, raw_len;
	uint8_t method;
	uint8_t hash[HASH_LEN];
};

void
pack_name(char out[PACK_NAME_LEN + 1], const struct pack_id *id)
{
	hex_format(out, id->b, PACK_ID_LEN);
}

bool
pack_name_parse(const char *name, struct pack_id *out)
{
	struct pack_id id;

	if (strlen(name) != PACK_NAME_LEN ||
	    !hex_parse(id.b, sizeof(id.b), name))
		return false;
	/* One name per pack: upper-case digits are no pack's name. */
	if (strspn(name, "0123456789abcdef") != PACK_NAME_LEN)
		return false;
	*out = id;
	return true;
}

static uint32_t
blocks_for(uint32_t chunks)
{
	return (chunks + PACK_BLOCK_CHUNKS - 1) / PACK_BLOCK_CHUNKS;
}

/* --- writing --------------------------------------------------------------- */

struct written_frame {
	uint32_t offset, stored_len, raw_len;
	uint8_t method, kind;
	uint32_t first_slot, chunks;
};

enum writer_state {
	WRITER_OPEN,
	WRITER_SEALED,
	WRITER_FAILED,   /* a write failed: only free is left */
	WRITER_POISONED, /* fsync or close failed: the file must stay */
	WRITER_PUBLISHED,
};

struct pack_writer {
	int dirfd, fd;
	enum writer_state state;
	struct pack_id id;
	char name[PACK_NAME_LEN + 1];
	char tmp[IO_RANDOM_NAME_LEN + 8];
	uint64_t len;
	struct buf frames; /* struct written_frame each */
	struct buf ids;    /* struct id each */
	struct buf lens;   /* uint32_t each */
	uint32_t chunks;
};

static size_t
frame_count(const struct pack_writer *w)
{
	return w->frames.len / sizeof(struct written_frame);
}

static const struct written_frame *
frame_list(const struct pack_writer *w)
{
	return (const void *)w->frames.data;
}

/* Append bytes to the file; a failure ends the writer. */
static int
append(struct pack_writer *w, const void *p, size_t n, struct err *e)
{
	if (io_write_at(w->fd, p, n, w->len, w->tmp, e) < 0) {
		w->state = WRITER_FAILED;
		return err_prefix(e, "pack %s", w->name);
	}
	w->len += n;
	return 0;
}

static int
append_header(struct pack_writer *w, struct err *e)
{
	struct buf b = { 0 };
	uint8_t *slot;
	int rc;

	wr_bytes(&b, header_magic, sizeof(header_magic));
	wr_u32(&b, VERSION);
	wr_u32(&b, 0);
	wr_bytes(&b, w->id.b, sizeof(w->id.b));
	slot = buf_extend(&b, KEY_SLOT_LEN);
	if (slot != NULL)
		memset(slot, 0, KEY_SLOT_LEN);
	rc = buf_ok(&b, e);
	if (rc == 0)
		rc = append(w, b.data, b.len, e);
	buf_clear(&b);
	return rc;
}

int
pack_writer_new(int packs_fd, struct pack_writer **out, struct err *e)
{
	struct pack_writer *w = mem_zalloc(sizeof(*w));
	char random[IO_RANDOM_NAME_LEN + 1];

	if (w == NULL)
		return err_nomem(e);
	w->dirfd = packs_fd;
	w->fd = -1;
	if (io_random(w->id.b, sizeof(w->id.b), e) < 0 ||
	    io_random_name(random, e) < 0)
		goto fail;
	pack_name(w->name, &w->id);
	(void)snprintf(w->tmp, sizeof(w->tmp), ".tmp-%s", random);
	w->fd = io_open(packs_fd, w->tmp, O_RDWR | O_CREAT | O_EXCL, 0600, NULL,
			e);
	if (w->fd < 0 || append_header(w, e) < 0)
		goto fail;
	*out = w;
	return 0;
fail:
	pack_writer_free(w);
	return -1;
}

/* What the directory, the table and the footer take at most. */
static uint64_t
tail_bound(uint32_t chunks)
{
	return (uint64_t)blocks_for(chunks) *
		       (BLOCK_RAW_MAX + TABLE_ENTRY_LEN) +
	       FOOTER_LEN;
}

static int
check_frame(const struct pack_writer *w, const struct pack_frame *f,
	    struct err *e)
{
	uint64_t sum = 0;
	size_t i;

	if (f->chunks == 0 || f->chunks > PACK_CHUNKS_MAX - w->chunks)
		return err_set(e, ERR_USAGE,
			       "pack %s: a frame of %zu chunks does not fit",
			       w->name, f->chunks);
	for (i = 0; i < f->chunks; i++) {
		if (f->lens[i] == 0)
			return err_set(e, ERR_USAGE, "pack %s: empty chunk",
				       w->name);
		sum += f->lens[i];
	}
	if (sum != f->raw_len || f->raw_len > FRAME_RAW_MAX ||
	    f->stored_len == 0 || f->stored_len > f->raw_len ||
	    (f->method == FRAME_RAW && f->stored_len != f->raw_len) ||
	    !id_kind_is_chunk(f->kind))
		return err_set(e, ERR_USAGE, "pack %s: malformed frame",
			       w->name);
	if (w->len + f->stored_len +
		    tail_bound(w->chunks + (uint32_t)f->chunks) >=
	    PACK_LEN_MAX)
		return err_set(e, ERR_USAGE, "pack %s: full", w->name);
	return 0;
}

static int
check_state(const struct pack_writer *w, enum writer_state want, struct err *e)
{
	if (w->state == want)
		return 0;
	if (w->state == WRITER_FAILED || w->state == WRITER_POISONED)
		return err_set(e, ERR_SYS, "pack %s: an earlier write failed",
			       w->name);
	return err_set(e, ERR_USAGE, "pack %s: used out of order", w->name);
}

int
pack_writer_add(struct pack_writer *w, const struct pack_frame *f,
		uint32_t *first_slot, struct err *e)
{
	struct written_frame wf;

	if (check_state(w, WRITER_OPEN, e) < 0 || check_frame(w, f, e) < 0)
		return -1;
	wf = (struct written_frame){
		.offset = (uint32_t)w->len,
		.stored_len = f->stored_len,
		.raw_len = f->raw_len,
		.method = (uint8_t)f->method,
		.kind = (uint8_t)f->kind,
		.first_slot = w->chunks,
		.chunks = (uint32_t)f->chunks,
	};
	buf_add(&w->frames, &wf, sizeof(wf));
	buf_add(&w->ids, f->ids, f->chunks * sizeof(*f->ids));
	buf_add(&w->lens, f->lens, f->chunks * sizeof(*f->lens));
	if (buf_ok(&w->frames, e) < 0 || buf_ok(&w->ids, e) < 0 ||
	    buf_ok(&w->lens, e) < 0) {
		w->state = WRITER_FAILED;
		return -1;
	}
	if (append(w, f->stored, f->stored_len, e) < 0)
		return -1;
	w->chunks += wf.chunks;
	*first_slot = wf.first_slot;
	return 0;
}

uint64_t
pack_writer_len(const struct pack_writer *w)
{
	return w->len;
}

uint32_t
pack_writer_chunks(const struct pack_writer *w)
{
	return w->chunks;
}

const struct pack_id *
pack_writer_id(const struct pack_writer *w)
{
	return &w->id;
}

const struct id *
pack_writer_ids(const struct pack_writer *w)
{
	return (const void *)w->ids.data;
}

/* Sum of the lengths of the chunks first ... end - 1. */
static uint32_t
sum_lens(const struct pack_writer *w, uint32_t first, uint32_t end)
{
	const uint32_t *len = (const void *)w->lens.data;
	uint32_t sum = 0;

	while (first < end)
		sum += len[first++];
	return sum;
}

/*
 * Put the decoded form of the block that begins at slot `first` into *b.
 * *frame is the first frame that has chunks in it, and is moved on to that
 * of the next block.
 */
static void
build_block(const struct pack_writer *w, uint32_t first, size_t *frame,
	    struct buf *b)
{
	const uint32_t *len = (const void *)w->lens.data;
	uint32_t end = first + PACK_BLOCK_CHUNKS;
	uint16_t frames = 0;
	uint32_t slot;

	if (end > w->chunks)
		end = w->chunks;
	wr_u16(b, (uint16_t)(end - first));
	wr_u16(b, 0);
	for (slot = first; slot < end; frames++) {
		const struct written_frame *f = &frame_list(w)[*frame];
		uint32_t stop = f->first_slot + f->chunks;

		if (stop > end)
			stop = end;
		wr_u32(b, f->offset);
		wr_u32(b, f->stored_len);
		wr_u32(b, f->raw_len);
		wr_u8(b, f->method);
		wr_u8(b, f->kind);
		wr_u16(b, (uint16_t)(stop - slot));
		wr_u32(b, sum_lens(w, f->first_slot, slot));
		slot = stop;
		if (stop == f->first_slot + f->chunks)
			++*frame;
	}
	wr_bytes(b, w->ids.data + (size_t)first * ID_LEN,
		 (size_t)(end - first) * ID_LEN);
	for (slot = first; slot < end; slot++)
		wr_u32(b, len[slot]);
	if (!b->failed) {
		b->data[2] = (uint8_t)frames;
		b->data[3] = (uint8_t)(frames >> 8);
	}
}

/* Encode a block, append it, and put its line into the table. */
static int
append_block(struct pack_writer *w, struct frame_coder *c,
	     const struct buf *raw, struct buf *stored, struct buf *table,
	     struct err *e)
{
	enum frame_method method;
	size_t stored_len;
	uint8_t hash[HASH_LEN];

	if (buf_ok(raw, e) < 0)
		return -1;
	buf_reset(stored);
	if (buf_extend(stored, frame_bound(raw->len)) == NULL)
		return err_nomem(e);
	if (frame_encode(c, KIND_LIST, FRAME_LEVEL_DEFAULT, raw->data, raw->len,
			 stored->data, &stored_len, &method, e) < 0)
		return err_prefix(e, "pack %s", w->name);
	hash_plain(stored->data, stored_len, hash, sizeof(hash));
	wr_u32(table, (uint32_t)w->len);
	wr_u32(table, (uint32_t)stored_len);
	wr_u32(table, (uint32_t)raw->len);
	wr_u8(table, (uint8_t)method);
	wr_u8(table, 0);
	wr_u16(table, 0);
	wr_bytes(table, hash, sizeof(hash));
	return append(w, stored->data, stored_len, e);
}

static void
footer_hash(const struct pack_id *id, const uint8_t *footer,
	    uint8_t out[HASH_LEN])
{
	uint8_t all[PACK_ID_LEN + FOOTER_LEN - HASH_LEN];

	memcpy(all, id->b, PACK_ID_LEN);
	memcpy(all + PACK_ID_LEN, footer, FOOTER_LEN - HASH_LEN);
	hash_plain(all, sizeof(all), out, HASH_LEN);
}

/* Append the table and the footer. */
static int
append_end(struct pack_writer *w, struct buf *table, struct err *e)
{
	uint32_t table_offset = (uint32_t)w->len;
	uint32_t table_len = (uint32_t)table->len;
	uint8_t hash[HASH_LEN];

	if (buf_ok(table, e) < 0)
		return -1;
	hash_plain(table->data, table->len, hash, sizeof(hash));
	wr_bytes(table, footer_magic, sizeof(footer_magic));
	wr_u32(table, VERSION);
	wr_u32(table, w->chunks);
	wr_u32(table, blocks_for(w->chunks));
	wr_u32(table, table_offset);
	wr_u32(table, table_len);
	wr_u32(table, 0);
	wr_bytes(table, hash, sizeof(hash));
	if (buf_ok(table, e) < 0)
		return -1;
	footer_hash(&w->id, table->data + table_len, hash);
	wr_bytes(table, hash, sizeof(hash));
	if (buf_ok(table, e) < 0)
		return -1;
	return append(w, table->data, table->len, e);
}

int
pack_writer_seal(struct pack_writer *w, struct err *e)
{
	struct buf raw = { 0 }, stored = { 0 }, table = { 0 };
	struct frame_coder *c = NULL;
	size_t frame = 0;
	uint32_t slot;
	int rc = -1;

	if (check_state(w, WRITER_OPEN, e) < 0)
		return -1;
	if (frame_count(w) == 0)
		return err_set(e, ERR_USAGE, "pack %s: sealed while empty",
			       w->name);
	w->state = WRITER_FAILED;
	if (frame_coder_new(&c, e) < 0)
		goto out;
	for (slot = 0; slot < w->chunks; slot += PACK_BLOCK_CHUNKS) {
		buf_reset(&raw);
		build_block(w, slot, &frame, &raw);
		if (append_block(w, c, &raw, &stored, &table, e) < 0)
			goto out;
	}
	if (append_end(w, &table, e) < 0)
		goto out;
	w->state = WRITER_SEALED;
	rc = 0;
out:
	frame_coder_free(c);
	buf_clear(&table);
	buf_clear(&stored);
	buf_clear(&raw);
	return rc;
}

/* From the temporary name to the final one, never over another file. */
static int
give_name(struct pack_writer *w, struct err *e)
{
	int rc;

	do
		rc = sys_repo->renameat2(w->dirfd, w->tmp, w->dirfd, w->name,
					 RENAME_NOREPLACE);
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return 0;
	/* Not every file system knows the flag: link gives the same promise. */
	if (errno != EINVAL && errno != ENOSYS)
		return err_sys(e, "pack %s: rename", w->name);
	do
		rc = sys_repo->linkat(w->dirfd, w->tmp, w->dirfd, w->name, 0);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return err_sys(e, "pack %s: link", w->name);
	(void)sys_repo->unlinkat(w->dirfd, w->tmp, 0);
	return 0;
}

int
pack_writer_publish(struct pack_writer *w, struct err *e)
{
	int fd = w->fd;

	if (check_state(w, WRITER_SEALED, e) < 0)
		return -1;
	w->state = WRITER_POISONED;
	if (io_sync(fd, w->tmp, e) < 0)
		return err_prefix(e, "pack %s", w->name);
	w->fd = -1;
	if (io_close(fd, w->tmp, e) < 0)
		return err_prefix(e, "pack %s", w->name);
	w->state = WRITER_FAILED;
	if (give_name(w, e) < 0)
		return -1;
	w->state = WRITER_PUBLISHED;
	return 0;
}

void
pack_writer_free(struct pack_writer *w)
{
	if (w == NULL)
		return;
	if (w->fd >= 0) {
		(void)io_close(w->fd, w->tmp, NULL);
		if (w->state != WRITER_POISONED)
			(void)io_unlink(w->dirfd, w->tmp, NULL);
	} else if (w->state == WRITER_FAILED && w->tmp[0] != '\0') {
		(void)io_unlink(w->dirfd, w->tmp, NULL);
	}
	buf_clear(&w->frames);
	buf_clear(&w->ids);
	buf_clear(&w->lens);
	mem_free(w);
}

/* --- reading ---------------------------------------------------------------- */

struct pack {
	int fd;
	struct pack_id id;
	char name[PACK_NAME_LEN + 1];
	uint64_t len;
	uint32_t chunks, blocks;
	uint32_t table_offset, table_len;
	uint8_t table_hash[HASH_LEN];
	struct table_entry *table; /* blocks of them */
};

static int
bad_pack(const struct pack *p, struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "pack %s: %s", p->name, what);
}

static int
check_header(const struct pack *p, struct err *e)
{
	static const uint8_t zeros[4 + KEY_SLOT_LEN];
	uint8_t h[HEADER_LEN];
	struct rd r;
	uint32_t version;

	if (io_read_at(p->fd, h, sizeof(h), 0, p->name, e) < 0)
		return -1;
	r = rd_init(h + sizeof(header_magic), 4);
	version = rd_u32(&r);
	if (memcmp(h, header_magic, sizeof(header_magic)) != 0 ||
	    version != VERSION || memcmp(h + 12, zeros, 4) != 0 ||
	    memcmp(h + 32, zeros, KEY_SLOT_LEN) != 0)
		return bad_pack(p, e, "malformed header");
	if (memcmp(h + 16, p->id.b, PACK_ID_LEN) != 0)
		return bad_pack(p, e, "the header names another pack");
	return 0;
}

/* Take the footer's fields and check that they make a pack of this length. */
static int
parse_footer(struct pack *p, const uint8_t *footer, struct err *e)
{
	uint8_t hash[HASH_LEN];
	struct rd r = rd_init(footer, FOOTER_LEN);
	const uint8_t *magic = rd_bytes(&r, sizeof(footer_magic));
	uint32_t version = rd_u32(&r);
	uint32_t zero;

	footer_hash(&p->id, footer, hash);
	if (memcmp(magic, footer_magic, sizeof(footer_magic)) != 0 ||
	    memcmp(hash, footer + FOOTER_LEN - HASH_LEN, HASH_LEN) != 0)
		return bad_pack(p, e, "no valid footer");
	if (version != VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			       "pack %s: format %u is newer than this program",
			       p->name, version);
	p->chunks = rd_u32(&r);
	p->blocks = rd_u32(&r);
	p->table_offset = rd_u32(&r);
	p->table_len = rd_u32(&r);
	zero = rd_u32(&r);
	rd_copy(&r, p->table_hash, HASH_LEN);
	if (!rd_ok(&r) || zero != 0 || p->chunks == 0 ||
	    p->chunks > PACK_CHUNKS_MAX || p->blocks != blocks_for(p->chunks) ||
	    p->table_len != p->blocks * TABLE_ENTRY_LEN ||
	    p->table_offset < HEADER_LEN ||
	    (uint64_t)p->table_offset + p->table_len + FOOTER_LEN != p->len)
		return bad_pack(p, e, "the footer's counts do not fit");
	return 0;
}

/* Blocks lie without gaps between the frames and the table. */
static int
parse_table(struct pack *p, const uint8_t *bytes, struct err *e)
{
	struct rd r = rd_init(bytes, p->table_len);
	uint8_t hash[HASH_LEN];
	uint64_t next = 0;
	uint32_t i;

	hash_plain(bytes, p->table_len, hash, sizeof(hash));
	if (memcmp(hash, p->table_hash, HASH_LEN) != 0)
		return bad_pack(p, e, "the block table is damaged");
	p->table = mem_array(p->blocks, sizeof(*p->table));
	if (p->table == NULL)
		return err_nomem(e);
	for (i = 0; i < p->blocks; i++) {
		struct table_entry *t = &p->table[i];
		unsigned zero;

		t->offset = rd_u32(&r);
		t->stored_len = rd_u32(&r);
		t->raw_len = rd_u32(&r);
		t->method = rd_u8(&r);
		zero = rd_u8(&r);
		zero |= rd_u16(&r);
		rd_copy(&r, t->hash, HASH_LEN);
		if (!rd_ok(&r) || zero != 0 || t->method > FRAME_ZSTD ||
		    t->stored_len == 0 || t->stored_len > t->raw_len ||
		    t->raw_len > BLOCK_RAW_MAX || t->offset < HEADER_LEN ||
		    (i > 0 && t->offset != next))
			return err_set(e, ERR_CORRUPT,
				       "pack %s: block table: line %u", p->name,
				       i);
		next = (uint64_t)t->offset + t->stored_len;
	}
	if (next != p->table_offset)
		return bad_pack(p, e, "block table: the blocks do not fit");
	return 0;
}

/* Footer and table, with one read unless the table is long. */
static int
read_tail(struct pack *p, struct err *e)
{
	uint8_t tail[TAIL_LEN];
	size_t n = p->len < sizeof(tail) ? (size_t)p->len : sizeof(tail);
	uint8_t *long_table;
	int rc;

	if (io_read_at(p->fd, tail, n, p->len - n, p->name, e) < 0)
		return -1;
	if (parse_footer(p, tail + n - FOOTER_LEN, e) < 0)
		return -1;
	if (p->table_len + FOOTER_LEN <= n)
		return parse_table(p, tail + n - FOOTER_LEN - p->table_len, e);
	long_table = mem_alloc(p->table_len);
	if (long_table == NULL)
		return err_nomem(e);
	rc = io_read_at(p->fd, long_table, p->table_len, p->table_offset,
			p->name, e);
	if (rc == 0)
		rc = parse_table(p, long_table, e);
	mem_free(long_table);
	return rc;
}

int
pack_open(int packs_fd, const struct pack_id *id, struct pack **out,
	  struct err *e)
{
	struct pack *p = mem_zalloc(sizeof(*p));
	struct err why = { 0 };
	bool missing = false;

	if (p == NULL)
		return err_nomem(e);
	p->id = *id;
	pack_name(p->name, id);
	p->fd = io_open(packs_fd, p->name, O_RDONLY, 0, &missing, &why);
	if (p->fd < 0) {
		/* A link, a socket: not what a writer ever put there. */
		if (why.saved_errno == ELOOP || why.saved_errno == ENXIO)
			err_set(e, ERR_CORRUPT, "pack %s: not a regular file",
				p->name);
		err_move(e, &why);
		goto fail;
	}
	if (io_size(p->fd, &p->len, p->name, e) < 0)
		goto fail;
	if (p->len < HEADER_LEN + TABLE_ENTRY_LEN + FOOTER_LEN) {
		(void)bad_pack(p, e, "too short");
		goto fail;
	}
	if (p->len >= PACK_LEN_MAX) {
		(void)bad_pack(p, e, "too long");
		goto fail;
	}
	if (read_tail(p, e) < 0 || check_header(p, e) < 0)
		goto fail;
	*out = p;
	return 0;
fail:
	pack_close(p);
	return missing ? 1 : -1;
}

void
pack_close(struct pack *p)
{
	if (p == NULL)
		return;
	(void)io_close(p->fd, p->name, NULL);
	mem_free(p->table);
	mem_free(p);
}

const struct pack_id *
pack_get_id(const struct pack *p)
{
	return &p->id;
}

uint32_t
pack_chunks(const struct pack *p)
{
	return p->chunks;
}

uint32_t
pack_blocks(const struct pack *p)
{
	return p->blocks;
}

uint64_t
pack_len(const struct pack *p)
{
	return p->len;
}

/* --- directory blocks -------------------------------------------------------- */

static size_t
block_size(size_t chunks, size_t frames)
{
	return sizeof(struct pack_block) +
	       frames * sizeof(struct pack_frame_at) +
	       chunks * (2 * sizeof(uint32_t) + sizeof(uint16_t) + ID_LEN);
}

/* A block under construction: the parts of the one allocation. */
struct block_parts {
	struct pack_block *b;
	struct pack_frame_at *frame;
	uint32_t *len, *offset;
	uint16_t *frame_of;
	struct id *id;
};

static int
alloc_block(struct block_parts *t, uint16_t chunks, uint16_t frames,
	    struct err *e)
{
	struct pack_block *b = mem_zalloc(block_size(chunks, frames));

	if (b == NULL)
		return err_nomem(e);
	/* From the strictest alignment to none. */
	t->b = b;
	t->frame = (void *)(b + 1);
	t->len = (void *)(t->frame + frames);
	t->offset = t->len + chunks;
	t->frame_of = (void *)(t->offset + chunks);
	t->id = (void *)(t->frame_of + chunks);
	b->chunks = chunks;
	b->frames = frames;
	b->frame = t->frame;
	b->len = t->len;
	b->offset = t->offset;
	b->frame_of = t->frame_of;
	b->id = t->id;
	return 0;
}

/* Where the frames end: the first directory block. */
static uint32_t
frames_end(const struct pack *p)
{
	return p->table[0].offset;
}

static int
check_frame_at(const struct pack *p, const struct pack_frame_at *f,
	       struct err *e)
{
	if (f->offset < HEADER_LEN || f->offset > frames_end(p) ||
	    f->stored_len > frames_end(p) - f->offset)
		return err_set(e, ERR_CORRUPT,
			       "frame at %u: lies outside the frames",
			       f->offset);
	if (f->raw_len == 0 || f->raw_len > FRAME_RAW_MAX ||
	    f->stored_len == 0 || f->stored_len > f->raw_len ||
	    f->method > FRAME_ZSTD ||
	    (f->method == FRAME_RAW && f->stored_len != f->raw_len) ||
	    !id_kind_is_chunk(f->kind))
		return err_set(e, ERR_CORRUPT, "frame at %u: malformed",
			       f->offset);
	return 0;
}

static int
parse_frames(const struct pack *p, struct rd *r, struct block_parts *t,
	     struct err *e)
{
	uint32_t chunks = 0;
	uint16_t i;

	for (i = 0; i < t->b->frames; i++) {
		struct pack_frame_at *f = &t->frame[i];

		f->offset = rd_u32(r);
		f->stored_len = rd_u32(r);
		f->raw_len = rd_u32(r);
		f->method = rd_u8(r);
		f->kind = rd_u8(r);
		f->chunks = rd_u16(r);
		f->first_offset = rd_u32(r);
		if (check_frame_at(p, f, e) < 0)
			return -1;
		/* Only the first frame can have begun in the block before. */
		if (f->chunks == 0 || (i > 0 && f->first_offset != 0) ||
		    (i > 0 && f->offset != f[-1].offset + f[-1].stored_len))
			return err_set(e, ERR_CORRUPT,
				       "frame at %u: out of place", f->offset);
		chunks += f->chunks;
	}
	if (chunks != t->b->chunks)
		return err_set(e, ERR_CORRUPT,
			       "its frames list %u chunks of %u", chunks,
			       t->b->chunks);
	return 0;
}

/*
 * Place the chunks in their frames.  A frame is used up exactly by its
 * chunks; only the last one listed may go on in the next block.
 */
static int
place_chunks(struct rd *r, struct block_parts *t, bool last_block,
	     struct err *e)
{
	uint16_t f, i, slot = 0;

	for (f = 0; f < t->b->frames; f++) {
		const struct pack_frame_at *fr = &t->frame[f];
		bool may_go_on = f + 1 == t->b->frames && !last_block;
		uint64_t at = fr->first_offset;

		for (i = 0; i < fr->chunks; i++, slot++) {
			t->len[slot] = rd_u32(r);
			t->offset[slot] = (uint32_t)at;
			t->frame_of[slot] = f;
			at += t->len[slot];
			if (t->len[slot] == 0 || at > fr->raw_len)
				return err_set(e, ERR_CORRUPT,
					       "frame at %u: chunk %u does not "
					       "fit in it",
					       fr->offset, i);
		}
		if (at != fr->raw_len && !may_go_on)
			return err_set(e, ERR_CORRUPT,
				       "frame at %u: its chunks do not fill it",
				       fr->offset);
	}
	return 0;
}

static int
check_ends(const struct pack *p, uint32_t block, const struct pack_block *b,
	   struct err *e)
{
	const struct pack_frame_at *last = &b->frame[b->frames - 1];

	if (block == 0 &&
	    (b->frame[0].offset != HEADER_LEN || b->frame[0].first_offset != 0))
		return err_set(e, ERR_CORRUPT,
			       "does not begin with the frames");
	if (block + 1 == p->blocks &&
	    last->offset + last->stored_len != frames_end(p))
		return err_set(e, ERR_CORRUPT, "does not end with the frames");
	return 0;
}

static int
parse_block(const struct pack *p, uint32_t block, struct rd *r,
	    struct block_parts *t, struct err *e)
{
	uint32_t first = block * PACK_BLOCK_CHUNKS;
	uint32_t want = p->chunks - first;
	uint16_t chunks = rd_u16(r);
	uint16_t frames = rd_u16(r);

	if (want > PACK_BLOCK_CHUNKS)
		want = PACK_BLOCK_CHUNKS;
	if (!rd_ok(r) || chunks != want || frames == 0 || frames > chunks ||
	    r->left != (size_t)frames * FRAME_ENTRY_LEN +
			       (size_t)chunks * CHUNK_ENTRY_LEN)
		return err_set(e, ERR_CORRUPT, "wrong counts");
	if (alloc_block(t, chunks, frames, e) < 0)
		return -1;
	t->b->first_slot = first;
	if (parse_frames(p, r, t, e) < 0)
		return -1;
	rd_copy(r, t->id, (size_t)chunks * ID_LEN);
	if (place_chunks(r, t, block + 1 == p->blocks, e) < 0)
		return -1;
	if (!rd_done(r))
		return err_set(e, ERR_CORRUPT, "wrong length");
	return check_ends(p, block, t->b, e);
}

int
pack_load_block(const struct pack *p, struct frame_coder *c, uint32_t block,
		struct pack_block **out, struct err *e)
{
	const struct table_entry *t;
	struct block_parts parts = { 0 };
	uint8_t hash[HASH_LEN];
	uint8_t *stored = NULL, *raw;
	struct rd r;
	int rc = -1;

	if (block >= p->blocks)
		return err_set(e, ERR_CORRUPT, "pack %s: there is no block %u",
			       p->name, block);
	t = &p->table[block];
	stored = mem_alloc((size_t)t->stored_len + t->raw_len);
	if (stored == NULL)
		return err_nomem(e);
	raw = stored + t->stored_len;
	if (io_read_at(p->fd, stored, t->stored_len, t->offset, p->name, e) < 0)
		goto out;
	hash_plain(stored, t->stored_len, hash, sizeof(hash));
	if (memcmp(hash, t->hash, HASH_LEN) != 0) {
		(void)err_set(e, ERR_CORRUPT, "damaged");
		goto out;
	}
	if (frame_decode(c, KIND_LIST, t->method, stored, t->stored_len, raw,
			 t->raw_len, e) < 0)
		goto out;
	r = rd_init(raw, t->raw_len);
	if (parse_block(p, block, &r, &parts, e) < 0)
		goto out;
	*out = parts.b;
	parts.b = NULL;
	rc = 0;
out:
	pack_block_free(parts.b);
	mem_free(stored);
	if (rc < 0)
		(void)err_prefix(e, "pack %s: block %u", p->name, block);
	return rc;
}

void
pack_block_free(struct pack_block *b)
{
	mem_free(b);
}

size_t
pack_block_size(const struct pack_block *b)
{
	return block_size(b->chunks, b->frames);
}

int
pack_read_frame(const struct pack *p, struct frame_coder *c,
		const struct pack_frame_at *f, void *raw, struct err *e)
{
	bool in_place = f->method == FRAME_RAW && f->stored_len == f->raw_len;
	uint8_t *stored;
	int rc;

	if (check_frame_at(p, f, e) < 0)
		return err_prefix(e, "pack %s", p->name);
	stored = in_place ? raw : block_get(f->stored_len);
	if (stored == NULL)
		return err_nomem(e);
	rc = io_read_at(p->fd, stored, f->stored_len, f->offset, p->name, e);
	if (rc == 0)
		rc = frame_decode(c, f->kind, f->method, stored, f->stored_len,
				  raw, f->raw_len, e);
	if (!in_place)
		block_free(stored, f->stored_len);
	if (rc < 0)
		(void)err_prefix(e, "pack %s: frame at %u", p->name, f->offset);
	return rc;
}
