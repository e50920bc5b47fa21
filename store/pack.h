/*
 * pack - one file of frames with its directory (doc/format.md, section 5).
 *
 * A pack is written once, front to back, under a temporary name, and becomes
 * visible through pack_writer_publish() only.  Readers check the footer when
 * they open it, each directory block when they load it.  Which chunk is
 * where in the repository is the index's business (run.h, index.h).
 */
#ifndef ASOF_STORE_PACK_H
#define ASOF_STORE_PACK_H

#include "store/frame.h"
#include "store/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define PACK_ID_LEN   16
#define PACK_NAME_LEN 32
#define PACK_BLOCK_CHUNKS 512
#define PACK_CHUNKS_MAX   (1u << 20)
#define PACK_LEN_MAX  (UINT32_C(1) << 31)

/* A full pack is sealed at the next frame; bounds the cost of repacking. */
#define PACK_LEN_TARGET (UINT32_C(32) << 20)

struct pack_id {
	uint8_t b[PACK_ID_LEN];
};
void pack_name(char out[PACK_NAME_LEN + 1], const struct pack_id *id);
bool pack_name_parse(const char *name, struct pack_id *out);

/* --- writing --------------------------------------------------------------- */

struct pack_writer;

/* One frame's chunks, in order: ids and lengths that add up to raw_len. */
struct pack_frame {
	enum id_kind kind;
	enum frame_method method;
	const void *stored;
	uint32_t stored_len, raw_len;
	size_t chunks;
	const struct id *ids;
	const uint32_t *lens;
};

/* A new pack with a fresh random id, as a temporary file in packs_fd. */
int pack_writer_new(int packs_fd, struct pack_writer **out, struct err *e);

/* Append a frame; *first_slot is the slot of its first chunk. */
int pack_writer_add(struct pack_writer *w, const struct pack_frame *f,
		    uint32_t *first_slot, struct err *e);

uint64_t pack_writer_len(const struct pack_writer *w);
uint32_t pack_writer_chunks(const struct pack_writer *w);
const struct pack_id *pack_writer_id(const struct pack_writer *w);

/* Ids by slot, pack_writer_chunks() of them; the writer's. */
const struct id *pack_writer_ids(const struct pack_writer *w);

/* Write directory, table and footer; no more frames after that. */
int pack_writer_seal(struct pack_writer *w, struct err *e);

/*
 * fsync and give it its name.  The name is durable after the caller's
 * fsync of packs_fd (io_sync_dir), once for all packs of a batch.  After a
 * failed fsync the file is left under its temporary name.
 */
int pack_writer_publish(struct pack_writer *w, struct err *e);

/* Frees in every case; an unpublished file is removed. */
void pack_writer_free(struct pack_writer *w);

/* --- reading ---------------------------------------------------------------- */

struct pack; /* an open pack: descriptor and block table; immutable, any thread */

/* Returns 1 when there is no such pack. */
int pack_open(int packs_fd, const struct pack_id *id, struct pack **out,
	      struct err *e);
void pack_close(struct pack *p);
const struct pack_id *pack_get_id(const struct pack *p);
uint32_t pack_chunks(const struct pack *p);
uint32_t pack_blocks(const struct pack *p);
uint64_t pack_len(const struct pack *p);

/* A decoded directory block.  One allocation, freed by pack_block_free. */
struct pack_frame_at {
	uint32_t offset, stored_len, raw_len;
	uint8_t method, kind;
	uint16_t chunks;       /* listed in this block */
	uint32_t first_offset; /* in the decoded frame, of the first of them */
};
struct pack_block {
	uint32_t first_slot;
	uint16_t chunks, frames;
	const struct pack_frame_at *frame; /* frames of them */
	const struct id *id;               /* chunks of them */
	const uint32_t *len;
	const uint32_t *offset;    /* of each chunk in its decoded frame */
	const uint16_t *frame_of;  /* index into frame */
};
int pack_load_block(const struct pack *p, struct frame_coder *c,
		    uint32_t block, struct pack_block **out, struct err *e);
void pack_block_free(struct pack_block *b);

/* Approximate memory that a block takes. */
size_t pack_block_size(const struct pack_block *b);

/* The decoded bytes of a frame into `raw` (f->raw_len of them). */
int pack_read_frame(const struct pack *p, struct frame_coder *c,
		    const struct pack_frame_at *f, void *raw, struct err *e);

#endif
