/*
 * chunker - where to cut a stream of bytes, by its content.
 *
 * MinCDC-hash4: after a cut, among the positions min ... max, cut where a
 * keyed hash of the four bytes before the position is smallest, the earliest
 * if equal.  So every chunk but the last of a file has min <= length <= max,
 * with min = avg / 2 and max = avg * 3 / 2, the mean is near avg, and equal
 * content yields equal cuts within a chunk or two, whatever stood before it.
 * A rest of at most max bytes at the end of a file is one chunk.
 *
 * A window in which all bytes are the same is cut at max instead: the rule
 * would say min, and a long run of zeros would be three times as many chunks
 * to hash and look up.
 *
 * The cuts are part of the format in that they decide deduplication: all
 * implementations (scalar, SSE4.1, AVX2, AVX-512, picked at run time) give
 * identical cuts, and tests compare them.  The hash of the four bytes, read
 * as a little-endian u32 x, is (x * mul + add) mod 2^32 with odd `mul`, both
 * from the seed.  Readers do not need it.  doc/format.md, section 3.
 */
#ifndef ASOF_STORE_CHUNKER_H
#define ASOF_STORE_CHUNKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunker {
	uint32_t mul, add;
	size_t min, max;
};

/* `avg` is a power of two, 4 KiB ... 4 MiB. */
void chunker_init(struct chunker *c, uint64_t seed, size_t avg);

/*
 * Length of the first chunk of the `len` bytes at `p`.  `last` says that
 * nothing follows them; otherwise at least c->max bytes must be given (with
 * fewer, all of them are the chunk).  1 <= result <= len for len >= 1.  Any
 * thread.
 */
size_t chunker_cut(const struct chunker *c, const uint8_t *p, size_t len,
		   bool last);

/* For tests and benchmarks: which implementations this CPU can run. */
enum chunker_impl {
	CHUNKER_SCALAR,
	CHUNKER_SSE41,
	CHUNKER_AVX2,
	CHUNKER_AVX512,
	CHUNKER_IMPLS
};
bool chunker_impl_ok(enum chunker_impl impl);
/* Process-wide; an implementation that this CPU cannot run is ignored. */
void chunker_impl_use(enum chunker_impl impl);
const char *chunker_impl_name(enum chunker_impl impl);

/* True when all `len` bytes are zero. */
bool chunker_is_zero(const uint8_t *p, size_t len);

#endif
