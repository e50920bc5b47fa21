/*
 * frame - the unit of compression: bytes in, stored bytes out, and back.
 *
 * The only file that sees zstd; also the place of the seal (suites other than
 * none are refused for now).  Format: doc/format.md, section 6.
 *
 * A coder holds zstd's contexts: one thread at a time, reused for all frames
 * of that thread.  Encoding and decoding halves come into being at first
 * use.
 */
#ifndef ASOF_STORE_FRAME_H
#define ASOF_STORE_FRAME_H

#include "store/id.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct frame_coder;

enum frame_method { FRAME_RAW = 0, FRAME_ZSTD = 1 };

#define FRAME_RAW_MAX (UINT32_C(16) << 20)
#define FRAME_LEVEL_DEFAULT 3

int frame_coder_new(struct frame_coder **out, struct err *e);
void frame_coder_free(struct frame_coder *c);

/* Upper bound of the stored length of `raw_len` bytes. */
size_t frame_bound(size_t raw_len);

/*
 * Compress and seal.  `stored` has room for frame_bound(len) bytes; sets
 * *stored_len and *method.  A gain below 4 % stores raw.
 */
int frame_encode(struct frame_coder *c, enum id_kind kind, int level,
		 const void *raw, size_t len, void *stored, size_t *stored_len,
		 enum frame_method *method, struct err *e);

/*
 * Undo it into `raw`, which has exactly `raw_len` bytes.  ERR_CORRUPT when
 * the stored bytes are not such a frame; never writes beyond raw_len.  Raw
 * bytes may already be where they are wanted: `stored` is `raw`.
 */
int frame_decode(struct frame_coder *c, enum id_kind kind, unsigned method,
		 const void *stored, size_t stored_len, void *raw,
		 size_t raw_len, struct err *e);

#endif
