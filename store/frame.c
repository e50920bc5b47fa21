/*
 * frame.c
 *
 * Untrusted bytes meet zstd here, so they are looked at first.  zstd itself
 * would also accept skippable frames, several frames in a row, old formats
 * (Debian's build decodes that of zstd 0.7), and windows of gigabytes;
 * doc/format.md allows none of that.  The frame header is therefore parsed
 * here (RFC 8878, section 3.1.1.1): zstd's own function for it belongs to the
 * part of its interface that shared libraries do not promise.
 *
 * Encoding is one call with all of the input, so zstd knows the length in
 * advance: it writes it down, shrinks window and tables to it, and needs no
 * buffers of its own.  Decoding is one call into the caller's memory, which
 * bounds the output and needs no window.
 */
#include "store/frame.h"

#include "base/cursor.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define ZSTD_FRAME_MAGIC UINT32_C(0xfd2fb528)

/*
 * Half the tables that zstd takes at level 3 stay in the second-level cache:
 * a tenth faster for 0.4 % more bytes (doc/decisions/003).
 */
#define HASH_LOG  16
#define CHAIN_LOG 15

/* Bits of the byte behind the magic. */
#define HAS_DICTIONARY 0x03
#define HAS_CHECKSUM   0x04
#define SINGLE_SEGMENT 0x20 /* no window: all of it is one */

/* zstd's smallest window, and the steps of our bound. */
#define WINDOW_MIN 1024

/* Compression has to save 1 / 25 of the bytes, 4 %, to be worth decoding. */
#define GAIN_MIN_PART 25

struct frame_coder {
	ZSTD_CCtx *cctx; /* NULL until the first frame_encode */
	ZSTD_DCtx *dctx; /* NULL until the first zstd frame_decode */
};

int
frame_coder_new(struct frame_coder **out, struct err *e)
{
	struct frame_coder *c = mem_zalloc(sizeof(*c));

	if (c == NULL)
		return err_nomem(e);
	*out = c;
	return 0;
}

void
frame_coder_free(struct frame_coder *c)
{
	if (c == NULL)
		return;
	ZSTD_freeCCtx(c->cctx);
	ZSTD_freeDCtx(c->dctx);
	mem_free(c);
}

size_t
frame_bound(size_t raw_len)
{
	return ZSTD_compressBound(raw_len);
}

/* --- encoding ------------------------------------------------------------ */

static int
need_encoder(struct frame_coder *c, struct err *e)
{
	if (c->cctx == NULL)
		c->cctx = ZSTD_createCCtx();
	return c->cctx != NULL ? 0 : err_nomem(e);
}

static int
encode_failed(size_t code, size_t len, struct err *e)
{
	if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
		return err_nomem(e);
	return err_set(e, ERR_SYS, "cannot compress a frame of %zu bytes: %s",
		       len, ZSTD_getErrorName(code));
}

/* All parameters anew for each frame: no call can inherit another's. */
static size_t
set_parameters(ZSTD_CCtx *cctx, int level)
{
	size_t r = ZSTD_CCtx_reset(cctx, ZSTD_reset_session_and_parameters);

	if (!ZSTD_isError(r))
		r = ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel,
					   level);
	if (level == FRAME_LEVEL_DEFAULT) {
		if (!ZSTD_isError(r))
			r = ZSTD_CCtx_setParameter(cctx, ZSTD_c_hashLog,
						   HASH_LOG);
		if (!ZSTD_isError(r))
			r = ZSTD_CCtx_setParameter(cctx, ZSTD_c_chainLog,
						   CHAIN_LOG);
	}
	if (!ZSTD_isError(r))
		r = ZSTD_CCtx_setParameter(cctx, ZSTD_c_contentSizeFlag, 1);
	if (!ZSTD_isError(r))
		r = ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 0);
	return r;
}

static bool
is_worth_it(size_t raw_len, size_t stored_len)
{
	return stored_len < raw_len &&
	       (raw_len - stored_len) * GAIN_MIN_PART >= raw_len;
}

int
frame_encode(struct frame_coder *c, enum id_kind kind, int level,
	     const void *raw, size_t len, void *stored, size_t *stored_len,
	     enum frame_method *method, struct err *e)
{
	size_t n;

	if (!id_kind_is_chunk(kind))
		return err_set(e, ERR_USAGE, "a frame of kind %s",
			       id_kind_name(kind));
	if (len < 1 || len > FRAME_RAW_MAX)
		return err_set(e, ERR_USAGE, "a frame of %zu bytes", len);
	if (need_encoder(c, e) < 0)
		return -1;
	n = set_parameters(c->cctx, level);
	if (!ZSTD_isError(n))
		n = ZSTD_compress2(c->cctx, stored, frame_bound(len), raw, len);
	if (ZSTD_isError(n))
		return encode_failed(n, len, e);
	if (is_worth_it(len, n)) {
		*stored_len = n;
		*method = FRAME_ZSTD;
	} else {
		memcpy(stored, raw, len);
		*stored_len = len;
		*method = FRAME_RAW;
	}
	return 0;
}

/* --- decoding ------------------------------------------------------------ */

/* The window descriptor: a power of two and eighths of it. */
static uint64_t
window_of(uint8_t descriptor)
{
	uint64_t base = UINT64_C(1) << (10 + (descriptor >> 3));

	return base + base / 8 * (descriptor & 7);
}

/* A window need not be larger than what there is to see through it. */
static uint64_t
window_max(size_t raw_len)
{
	return ((uint64_t)raw_len + WINDOW_MIN - 1) / WINDOW_MIN * WINDOW_MIN;
}

/* The content length; 0, which no frame has, where the header has none. */
static uint64_t
read_content_len(struct rd *r, unsigned flag, bool single)
{
	switch (flag) {
	case 0:
		return single ? rd_u8(r) : 0;
	case 1:
		return UINT64_C(256) + rd_u16(r);
	case 2:
		return rd_u32(r);
	default:
		return rd_u64(r);
	}
}

/* What is wrong with the header of a frame of raw_len bytes, or NULL. */
static const char *
header_fault(const void *stored, size_t stored_len, size_t raw_len)
{
	struct rd r = rd_init(stored, stored_len);
	uint32_t magic = rd_u32(&r);
	uint8_t descriptor = rd_u8(&r);
	unsigned len_flag = descriptor >> 6;
	bool single = (descriptor & SINGLE_SEGMENT) != 0;
	uint64_t window = 0;
	uint64_t content_len;

	if (!rd_ok(&r) || magic != ZSTD_FRAME_MAGIC)
		return "does not begin like a zstd frame";
	if ((descriptor & HAS_DICTIONARY) != 0)
		return "needs a dictionary";
	if ((descriptor & HAS_CHECKSUM) != 0)
		return "has a checksum of its own";
	if (!single)
		window = window_of(rd_u8(&r));
	content_len = read_content_len(&r, len_flag, single);
	if (!rd_ok(&r) || content_len != raw_len)
		return "does not hold as many bytes as promised";
	if (window > window_max(raw_len))
		return "has too large a window";
	return NULL;
}

static int
corrupt(size_t stored_len, size_t raw_len, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT,
		       "the frame of %zu stored and %zu raw bytes %s",
		       stored_len, raw_len, what);
}

static int
need_decoder(struct frame_coder *c, struct err *e)
{
	if (c->dctx == NULL)
		c->dctx = ZSTD_createDCtx();
	return c->dctx != NULL ? 0 : err_nomem(e);
}

static int
decode_zstd(struct frame_coder *c, const void *stored, size_t stored_len,
	    void *raw, size_t raw_len, struct err *e)
{
	const char *fault = header_fault(stored, stored_len, raw_len);
	size_t n;

	if (fault == NULL && stored_len > raw_len)
		fault = "is longer than what it holds";
	if (fault == NULL &&
	    ZSTD_findFrameCompressedSize(stored, stored_len) != stored_len)
		fault = "does not end where it should";
	if (fault != NULL)
		return corrupt(stored_len, raw_len, fault, e);
	if (need_decoder(c, e) < 0)
		return -1;
	n = ZSTD_decompressDCtx(c->dctx, raw, raw_len, stored, stored_len);
	if (ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return err_nomem(e);
	if (ZSTD_isError(n) || n != raw_len)
		return corrupt(stored_len, raw_len, "cannot be decompressed",
			       e);
	return 0;
}

int
frame_decode(struct frame_coder *c, enum id_kind kind, unsigned method,
	     const void *stored, size_t stored_len, void *raw, size_t raw_len,
	     struct err *e)
{
	if (!id_kind_is_chunk(kind))
		return corrupt(stored_len, raw_len, "is of an unknown kind", e);
	if (raw_len < 1 || raw_len > FRAME_RAW_MAX)
		return corrupt(stored_len, raw_len,
			       "has a length beyond the limits", e);
	switch (method) {
	case FRAME_RAW:
		if (stored_len != raw_len)
			return corrupt(stored_len, raw_len,
				       "is raw, and yet the lengths differ", e);
		if (raw != stored)
			memcpy(raw, stored, raw_len);
		return 0;
	case FRAME_ZSTD:
		return decode_zstd(c, stored, stored_len, raw, raw_len, e);
	default:
		return corrupt(stored_len, raw_len,
			       "is compressed by an unknown method", e);
	}
}
