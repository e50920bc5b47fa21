/*
 * chunker.c
 *
 * Nearly all the time goes into one question: at which of n positions is the
 * hash of the next four bytes smallest?  Positions are independent of each
 * other, so a vector of lanes takes every fourth position with one load, and
 * four loads, one byte apart, take all.  The kernels go through the window in
 * groups, keep only the smallest hash and the group it was first seen in,
 * and look for the place inside that group at the end: a new smallest hash
 * is rare (the logarithm of the number of groups), so the loop is loads,
 * multiplications and minima.
 *
 * The hash is a bijection of the four bytes (an odd factor), so equal hashes
 * mean equal bytes.
 */
#include "store/chunker.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* The hash at a position is that of the four bytes before it. */
#define HASH_LEN 4

/*
 * Positions per group.  Every window but the last position of it is whole
 * groups, since it has a power of two >= 4096 of positions, and one.
 */
#define GROUP 256

/* A splitmix64 step: near seeds give unrelated constants. */
static uint64_t
mix(uint64_t seed)
{
	uint64_t z = seed + UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void
chunker_init(struct chunker *c, uint64_t seed, size_t avg)
{
	uint64_t z = mix(seed);

	c->mul = (uint32_t)z | 1;
	c->add = (uint32_t)(z >> 32);
	c->min = avg / 2;
	c->max = avg / 2 * 3;
}

/* --- the smallest hash in a window --------------------------------------- */

static uint32_t
load_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static uint32_t
hash_at(const struct chunker *c, const uint8_t *p)
{
	return load_le32(p) * c->mul + c->add;
}

/*
 * A kernel returns the first i < n for which the hash of w[i] ... w[i + 3] is
 * smallest; n >= 1.
 */
typedef size_t kernel_fn(const struct chunker *c, const uint8_t *w, size_t n);

static size_t
smallest_scalar(const struct chunker *c, const uint8_t *w, size_t n)
{
	uint32_t best = hash_at(c, w);
	size_t at = 0;

	for (size_t i = 1; i < n; i++) {
		uint32_t h = hash_at(c, w + i);

		if (h < best) {
			best = h;
			at = i;
		}
	}
	return at;
}

#if defined(__x86_64__)

/*
 * The place of `best`, first seen in the group at `at`, unless the positions
 * that did not fill a group, `tail` ... n - 1, have a smaller one.
 */
static size_t
settle(const struct chunker *c, const uint8_t *w, size_t n, size_t at,
       uint32_t best)
{
	size_t tail = n - n % GROUP;

	for (size_t i = tail; i < n; i++)
		if (hash_at(c, w + i) < best)
			return tail + smallest_scalar(c, w + tail, n - tail);
	while (hash_at(c, w + at) != best)
		at++;
	return at;
}

/* Four accumulators each, one per byte that the loads are apart. */

__attribute__((target("sse4.1"))) static inline __m128i
hash_sse41(const uint8_t *p, __m128i mul, __m128i add)
{
	__m128i x = _mm_loadu_si128((const __m128i_u *)p);

	return _mm_add_epi32(_mm_mullo_epi32(x, mul), add);
}

__attribute__((target("sse4.1"))) static size_t
smallest_sse41(const struct chunker *c, const uint8_t *w, size_t n)
{
	const __m128i mul = _mm_set1_epi32((int)c->mul);
	const __m128i add = _mm_set1_epi32((int)c->add);
	__m128i best = _mm_set1_epi32(-1);
	size_t at = 0;

	for (size_t i = 0; i + GROUP <= n; i += GROUP) {
		__m128i m0 = best, m1 = best, m2 = best, m3 = best;

		for (const uint8_t *p = w + i; p < w + i + GROUP; p += 16) {
			m0 = _mm_min_epu32(m0, hash_sse41(p, mul, add));
			m1 = _mm_min_epu32(m1, hash_sse41(p + 1, mul, add));
			m2 = _mm_min_epu32(m2, hash_sse41(p + 2, mul, add));
			m3 = _mm_min_epu32(m3, hash_sse41(p + 3, mul, add));
		}
		m0 = _mm_min_epu32(_mm_min_epu32(m0, m1),
				   _mm_min_epu32(m2, m3));
		if (_mm_movemask_epi8(_mm_cmpeq_epi32(m0, best)) == 0xffff)
			continue;
		m0 = _mm_min_epu32(m0, _mm_shuffle_epi32(m0, 0x4e));
		best = _mm_min_epu32(m0, _mm_shuffle_epi32(m0, 0xb1));
		at = i;
	}
	return settle(c, w, n, at, (uint32_t)_mm_cvtsi128_si32(best));
}

__attribute__((target("avx2"))) static inline __m256i
hash_avx2(const uint8_t *p, __m256i mul, __m256i add)
{
	__m256i x = _mm256_loadu_si256((const __m256i_u *)p);

	return _mm256_add_epi32(_mm256_mullo_epi32(x, mul), add);
}

__attribute__((target("avx2"))) static size_t
smallest_avx2(const struct chunker *c, const uint8_t *w, size_t n)
{
	const __m256i mul = _mm256_set1_epi32((int)c->mul);
	const __m256i add = _mm256_set1_epi32((int)c->add);
	__m256i best = _mm256_set1_epi32(-1);
	size_t at = 0;

	for (size_t i = 0; i + GROUP <= n; i += GROUP) {
		__m256i m0 = best, m1 = best, m2 = best, m3 = best;

		for (const uint8_t *p = w + i; p < w + i + GROUP; p += 32) {
			m0 = _mm256_min_epu32(m0, hash_avx2(p, mul, add));
			m1 = _mm256_min_epu32(m1, hash_avx2(p + 1, mul, add));
			m2 = _mm256_min_epu32(m2, hash_avx2(p + 2, mul, add));
			m3 = _mm256_min_epu32(m3, hash_avx2(p + 3, mul, add));
		}
		m0 = _mm256_min_epu32(_mm256_min_epu32(m0, m1),
				      _mm256_min_epu32(m2, m3));
		if (_mm256_movemask_epi8(_mm256_cmpeq_epi32(m0, best)) == -1)
			continue;
		m0 = _mm256_min_epu32(m0, _mm256_permute2x128_si256(m0, m0, 1));
		m0 = _mm256_min_epu32(m0, _mm256_shuffle_epi32(m0, 0x4e));
		best = _mm256_min_epu32(m0, _mm256_shuffle_epi32(m0, 0xb1));
		at = i;
	}
	return settle(
		c, w, n, at,
		(uint32_t)_mm_cvtsi128_si32(_mm256_castsi256_si128(best)));
}

__attribute__((target("avx512f"))) static inline __m512i
hash_avx512(const uint8_t *p, __m512i mul, __m512i add)
{
	__m512i x = _mm512_loadu_si512(p);

	return _mm512_add_epi32(_mm512_mullo_epi32(x, mul), add);
}

__attribute__((target("avx512f"))) static size_t
smallest_avx512(const struct chunker *c, const uint8_t *w, size_t n)
{
	const __m512i mul = _mm512_set1_epi32((int)c->mul);
	const __m512i add = _mm512_set1_epi32((int)c->add);
	__m512i best = _mm512_set1_epi32(-1);
	size_t at = 0;

	for (size_t i = 0; i + GROUP <= n; i += GROUP) {
		__m512i m0 = best, m1 = best, m2 = best, m3 = best;

		for (const uint8_t *p = w + i; p < w + i + GROUP; p += 64) {
			m0 = _mm512_min_epu32(m0, hash_avx512(p, mul, add));
			m1 = _mm512_min_epu32(m1, hash_avx512(p + 1, mul, add));
			m2 = _mm512_min_epu32(m2, hash_avx512(p + 2, mul, add));
			m3 = _mm512_min_epu32(m3, hash_avx512(p + 3, mul, add));
		}
		m0 = _mm512_min_epu32(_mm512_min_epu32(m0, m1),
				      _mm512_min_epu32(m2, m3));
		if (_mm512_cmpneq_epu32_mask(m0, best) == 0)
			continue;
		best = _mm512_set1_epi32((int)_mm512_reduce_min_epu32(m0));
		at = i;
	}
	return settle(
		c, w, n, at,
		(uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(best)));
}

#endif

/* --- which of them ------------------------------------------------------- */

static kernel_fn *const kernels[CHUNKER_IMPLS] = {
	[CHUNKER_SCALAR] = smallest_scalar,
#if defined(__x86_64__)
	[CHUNKER_SSE41] = smallest_sse41,
	[CHUNKER_AVX2] = smallest_avx2,
	[CHUNKER_AVX512] = smallest_avx512,
#endif
};

/* The implementation in use, or CHUNKER_IMPLS before the first cut. */
static atomic_int chosen = CHUNKER_IMPLS;

bool
chunker_impl_ok(enum chunker_impl impl)
{
	switch (impl) {
	case CHUNKER_SCALAR:
		return true;
#if defined(__x86_64__)
	case CHUNKER_SSE41:
		return __builtin_cpu_supports("sse4.1") != 0;
	case CHUNKER_AVX2:
		return __builtin_cpu_supports("avx2") != 0;
	case CHUNKER_AVX512:
		return __builtin_cpu_supports("avx512f") != 0;
#endif
	default:
		return false;
	}
}

void
chunker_impl_use(enum chunker_impl impl)
{
	if (chunker_impl_ok(impl))
		atomic_store_explicit(&chosen, (int)impl, memory_order_relaxed);
}

const char *
chunker_impl_name(enum chunker_impl impl)
{
	static const char *const names[CHUNKER_IMPLS] = {
		[CHUNKER_SCALAR] = "scalar",
		[CHUNKER_SSE41] = "SSE4.1",
		[CHUNKER_AVX2] = "AVX2",
		[CHUNKER_AVX512] = "AVX-512",
	};

	return (unsigned)impl < CHUNKER_IMPLS ? names[impl] : "unknown";
}

/* Threads that choose at the same time choose the same. */
static kernel_fn *
kernel(void)
{
	int i = atomic_load_explicit(&chosen, memory_order_relaxed);

	if (i == CHUNKER_IMPLS) {
		for (i = CHUNKER_IMPLS - 1; !chunker_impl_ok(i); i--)
			;
		atomic_store_explicit(&chosen, i, memory_order_relaxed);
	}
	return kernels[i];
}

/* --- cutting ------------------------------------------------------------- */

/* Every byte the same. */
static bool
is_constant(const uint8_t *p, size_t len)
{
	return memcmp(p, p + 1, len - 1) == 0;
}

size_t
chunker_cut(const struct chunker *c, const uint8_t *p, size_t len, bool last)
{
	const uint8_t *w;
	size_t n = c->max - c->min + 1;

	/* Too few bytes though not the last: cut what there is, not beyond. */
	if (len < c->max || (last && len == c->max))
		return len;
	w = p + c->min - HASH_LEN;
	/* The ends differ in nearly all windows, so this costs nothing. */
	if (load_le32(w) == load_le32(w + n - 1) &&
	    is_constant(w, n - 1 + HASH_LEN))
		return c->max;
	return c->min + kernel()(c, w, n);
}

bool
chunker_is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && is_constant(p, len));
}
