/*
 * primitives - how fast and how good are chunker, hash and compressor here?
 *
 * usage: primitives [-m MIB] [PATH ...]
 *
 * Takes up to MIB (default 64) of the contents of the files at and below the
 * paths, an equal share of each, as one stream; without paths, generated
 * lines of text.  Reads only.  Prints the tables that doc/decisions/001 to
 * 003 rest on: one core, the best of a few rounds, MB and GB of 10^6 and
 * 10^9 bytes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "base/mem.h"
#include "base/time.h"
#include "store/chunker.h"
#include "store/frame.h"
#include "store/id.h"

#include <ftw.h>
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIB         ((size_t)1024)
#define MIB         (KIB * 1024)
#define SEED        UINT64_C(0x123456789abcdef)
#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "primitives: %s\n", what);
	exit(1);
}

static void *
need(size_t n)
{
	void *p = mem_zalloc(n);

	if (p == NULL)
		die("out of memory");
	return p;
}

/* xorshift: the same numbers in every run. */
static uint64_t
next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s >> 16;
}

static void
fill_random(uint8_t *p, size_t n)
{
	uint64_t s = SEED;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)next(&s);
}

/* --- the sample ---------------------------------------------------------- */

/* nftw passes no context on, so the sample has to be global. */
static struct sample {
	uint8_t *data;
	size_t len;
	size_t limit; /* for the path that is being read */
	size_t files;
} sample;

static int
take_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	FILE *f;

	(void)ftw;
	if (type != FTW_F || !S_ISREG(st->st_mode) || st->st_size == 0)
		return 0;
	f = fopen(path, "rb");
	if (f == NULL)
		return 0;
	sample.len += fread(sample.data + sample.len, 1,
			    sample.limit - sample.len, f);
	fclose(f);
	sample.files++;
	return sample.len == sample.limit;
}

static void
generate(size_t len)
{
	uint64_t s = SEED;

	while (len - sample.len > 80) {
		uint64_t v = next(&s);

		sample.len += (size_t)snprintf(
			(char *)sample.data + sample.len, 80,
			"%" PRIu64 " chunk %u of pack %u\n", v,
			(unsigned)(v % 512), (unsigned)(v >> 16 & 15));
	}
}

static void
take_sample(char **paths, size_t n, size_t len)
{
	sample.data = need(len);
	for (size_t i = 0; i < n; i++) {
		sample.limit = len / n * (i + 1);
		if (nftw(paths[i], take_file, 32, FTW_PHYS) < 0)
			die(paths[i]);
	}
	if (n == 0)
		generate(len);
	if (sample.len < 4 * MIB)
		die("less than 4 MiB to work with");
	printf("sample: %.1f MiB of %zu files%s\n",
	       (double)sample.len / (double)MIB, sample.files,
	       n == 0 ? " (generated)" : "");
}

/* --- timing -------------------------------------------------------------- */

/* Shorter rounds than this are not to be believed. */
#define ROUND_NS UINT64_C(50000000)
#define ROUNDS   3

typedef void (*work_fn)(void *ctx);

/* Bytes per nanosecond, GB/s, of doing `len` bytes of work. */
static double
speed(work_fn work, void *ctx, size_t len)
{
	double best = 0;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start = time_monotonic_ns();
		uint64_t ns;
		uint64_t n = 0;
		double v;

		do {
			work(ctx);
			n++;
			ns = time_monotonic_ns() - start;
		} while (ns < ROUND_NS);
		v = (double)len * (double)n / (double)ns;
		if (v > best)
			best = v;
	}
	return best;
}

/* --- chunkers ------------------------------------------------------------ */

/* The three that are compared; `gear` is FastCDC's table. */
struct cutter {
	const char *name;
	size_t (*cut)(const struct cutter *k, const uint8_t *p, size_t len);
	size_t avg;
	struct chunker c;
	uint64_t gear[256];
};

static size_t
cut_mincdc(const struct cutter *k, const uint8_t *p, size_t len)
{
	return chunker_cut(&k->c, p, len, true);
}

static size_t
cut_fixed(const struct cutter *k, const uint8_t *p, size_t len)
{
	(void)p;
	return len < k->avg ? len : k->avg;
}

/*
 * FastCDC with normalised chunking 2: before the average two bits more have
 * to be zero, behind it two bits less; a quarter to four times the average.
 */
static size_t
cut_fastcdc(const struct cutter *k, const uint8_t *p, size_t len)
{
	int bits = __builtin_ctzll(k->avg);
	uint64_t strict = ~UINT64_C(0) << (64 - bits - 2);
	uint64_t loose = ~UINT64_C(0) << (64 - bits + 2);
	size_t max = len < 4 * k->avg ? len : 4 * k->avg;
	size_t avg = len < k->avg ? len : k->avg;
	uint64_t h = 0;
	size_t i = k->avg / 4;

	for (; i < avg; i++) {
		h = (h << 1) + k->gear[p[i]];
		if ((h & strict) == 0)
			return i + 1;
	}
	for (; i < max; i++) {
		h = (h << 1) + k->gear[p[i]];
		if ((h & loose) == 0)
			return i + 1;
	}
	return max;
}

static struct cutter cutters[] = {
	{ .name = "MinCDC-hash4", .cut = cut_mincdc },
	{ .name = "FastCDC nc2", .cut = cut_fastcdc },
	{ .name = "fixed", .cut = cut_fixed },
};

static void
cutter_init(struct cutter *k, size_t avg)
{
	uint64_t s = SEED;

	k->avg = avg;
	chunker_init(&k->c, SEED, avg);
	for (size_t i = 0; i < N_OF(k->gear); i++)
		k->gear[i] = next(&s) << 32 ^ next(&s);
}

struct cutting {
	const struct cutter *k;
	const uint8_t *p;
	size_t len;
};

static void
cut_all(void *ctx)
{
	struct cutting *w = ctx;

	for (size_t at = 0; at < w->len;)
		at += w->k->cut(w->k, w->p + at, w->len - at);
}

/* A file that has just been read is in the cache; so is this. */
#define HOT_LEN (2 * MIB)

static void
print_cut_speeds(struct cutter *k, const char *name, const uint8_t *noise,
		 const uint8_t *zeros)
{
	static const size_t avgs[] = { 16 * KIB, 256 * KIB };

	for (size_t a = 0; a < N_OF(avgs); a++) {
		struct cutting hot = { k, sample.data, HOT_LEN };
		struct cutting cold = { k, sample.data, sample.len };
		struct cutting noisy = { k, noise, HOT_LEN };
		struct cutting zero = { k, zeros, HOT_LEN };

		cutter_init(k, avgs[a]);
		printf("%-14s %7zu %8.2f %8.2f %8.2f %8.2f\n", name,
		       avgs[a] / KIB, speed(cut_all, &hot, hot.len),
		       speed(cut_all, &cold, cold.len),
		       speed(cut_all, &noisy, noisy.len),
		       speed(cut_all, &zero, zero.len));
	}
}

static void
bench_cut_speed(void)
{
	uint8_t *noise = need(HOT_LEN);
	uint8_t *zeros = need(HOT_LEN);

	fill_random(noise, HOT_LEN);
	printf("\nchunkers, GB/s           cached   sample    noise    zeros\n"
	       "                avg KiB   2 MiB      all    2 MiB    2 MiB\n");
	for (int i = 0; i < CHUNKER_IMPLS; i++) {
		if (!chunker_impl_ok(i))
			continue;
		chunker_impl_use(i);
		print_cut_speeds(&cutters[0], chunker_impl_name(i), noise,
				 zeros);
	}
	print_cut_speeds(&cutters[1], cutters[1].name, noise, zeros);
	mem_free(noise);
	mem_free(zeros);
}

/* --- what chunkers find -------------------------------------------------- */

/* A set of chunks, by the beginnings of their ids. */
struct set {
	uint64_t *slot;
	size_t mask;
};

static bool
set_add(struct set *s, uint64_t v)
{
	size_t i = v & s->mask;

	while (s->slot[i] != 0 && s->slot[i] != v)
		i = (i + 1) & s->mask;
	if (s->slot[i] == v)
		return false;
	s->slot[i] = v;
	return true;
}

/*
 * A later version of the sample: about every 256 KiB up to 511 bytes are
 * replaced by as many others, more or less.
 */
static uint8_t *
edited_copy(size_t *len)
{
	uint8_t *out = need(sample.len + sample.len / 64 + MIB);
	uint64_t s = SEED;
	size_t n = 0;

	for (size_t at = 0; at < sample.len;) {
		size_t keep = next(&s) % (512 * KIB);
		size_t insert = next(&s) % 512;

		if (keep > sample.len - at)
			keep = sample.len - at;
		memcpy(out + n, sample.data + at, keep);
		n += keep;
		at += keep + next(&s) % 512;
		for (; insert > 0; insert--)
			out[n++] = (uint8_t)next(&s);
	}
	*len = n;
	return out;
}

struct finds {
	size_t chunks, fresh_bytes;
	double sum, squares; /* of lengths */
};

static void
find_chunks(const struct cutter *k, const uint8_t *p, size_t len,
	    struct set *set, struct finds *f)
{
	static const struct id_keys keys;

	for (size_t at = 0; at < len;) {
		size_t n = k->cut(k, p + at, len - at);
		struct id id;

		id_compute(&keys, KIND_DATA, p + at, n, &id);
		if (set_add(set, id_prefix(&id)))
			f->fresh_bytes += n;
		f->chunks++;
		f->sum += (double)n;
		f->squares += (double)n * (double)n;
		at += n;
	}
}

static void
print_finds(struct cutter *k, size_t avg, const uint8_t *edited, size_t len)
{
	struct finds first = { 0 };
	struct finds second = { 0 };
	struct set set = { .mask = 1 };
	double mean;

	/* At most half full: no chunker makes more than four per average. */
	while (set.mask < 16 * (sample.len / avg + 1))
		set.mask *= 2;
	set.slot = need(set.mask * sizeof(*set.slot));
	set.mask--;
	cutter_init(k, avg);
	find_chunks(k, sample.data, sample.len, &set, &first);
	find_chunks(k, edited, len, &set, &second);
	mean = first.sum / (double)first.chunks;
	printf("%-14s %7zu %7.1f %6.2f %6.2f%% %11.2f%%\n", k->name, avg / KIB,
	       mean / (double)KIB,
	       sqrt(first.squares / (double)first.chunks / mean / mean - 1),
	       100.0 - 100.0 * (double)first.fresh_bytes / (double)sample.len,
	       100.0 * (double)second.fresh_bytes / (double)len);
	mem_free(set.slot);
}

static void
bench_cut_quality(void)
{
	static const size_t avgs[] = { 16 * KIB, 64 * KIB, 256 * KIB };
	size_t len;
	uint8_t *edited = edited_copy(&len);

	printf("\nchunks                    mean        same in     new in\n"
	       "                avg KiB    KiB spread  sample  edited copy\n");
	for (size_t a = 0; a < N_OF(avgs); a++)
		for (size_t i = 0; i < N_OF(cutters); i++)
			print_finds(&cutters[i], avgs[a], edited, len);
	mem_free(edited);
}

/* --- hash ---------------------------------------------------------------- */

struct hashing {
	size_t piece, len;
};

static void
hash_all(void *ctx)
{
	static const struct id_keys keys;
	struct hashing *w = ctx;

	for (size_t at = 0; at + w->piece <= w->len; at += w->piece) {
		struct id id;

		id_compute(&keys, KIND_DATA, sample.data + at, w->piece, &id);
	}
}

static void
bench_hash(void)
{
	static const size_t pieces[] = { 64,       KIB,       4 * KIB,
					 16 * KIB, 256 * KIB, MIB };

	printf("\nBLAKE3, keyed, GB/s      cached   sample\n"
	       "                  bytes   2 MiB      all\n");
	for (size_t i = 0; i < N_OF(pieces); i++) {
		struct hashing hot = { pieces[i], HOT_LEN };
		struct hashing cold = { pieces[i], sample.len };

		printf("                %7zu %8.2f %8.2f\n", pieces[i],
		       speed(hash_all, &hot, hot.len),
		       speed(hash_all, &cold, cold.len));
	}
}

/* --- frames -------------------------------------------------------------- */

struct framing {
	struct frame_coder *c;
	int level;
	size_t frame;
	uint8_t *stored, *raw; /* all frames one after the other; one frame */
	size_t *stored_len;
	enum frame_method *method;
	size_t raw_frames, stored_sum;
};

static size_t
frame_len(const struct framing *w, size_t at)
{
	return sample.len - at < w->frame ? sample.len - at : w->frame;
}

static void
encode_all(void *ctx)
{
	struct framing *w = ctx;
	struct err e = { 0 };
	uint8_t *out = w->stored;
	size_t i = 0;

	w->raw_frames = 0;
	w->stored_sum = 0;
	for (size_t at = 0; at < sample.len; at += w->frame, i++) {
		if (frame_encode(w->c, KIND_DATA, w->level, sample.data + at,
				 frame_len(w, at), out, &w->stored_len[i],
				 &w->method[i], &e) < 0)
			die(e.text);
		out += w->stored_len[i];
		w->stored_sum += w->stored_len[i];
		w->raw_frames += w->method[i] == FRAME_RAW;
	}
}

static void
decode_all(void *ctx)
{
	struct framing *w = ctx;
	struct err e = { 0 };
	const uint8_t *in = w->stored;
	size_t i = 0;

	for (size_t at = 0; at < sample.len; at += w->frame, i++) {
		if (frame_decode(w->c, KIND_DATA, w->method[i], in,
				 w->stored_len[i], w->raw, frame_len(w, at),
				 &e) < 0)
			die(e.text);
		in += w->stored_len[i];
	}
}

static size_t
allocated(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void
print_framing(struct framing *w)
{
	size_t before = allocated();
	uint64_t start = time_monotonic_ns();
	double encode;
	double decode;
	size_t encoder;
	size_t decoder;

	if (frame_coder_new(&w->c, NULL) < 0)
		die("out of memory");
	encode_all(w);
	/* Once is enough for the slow levels. */
	encode = (double)sample.len / (double)(time_monotonic_ns() - start);
	encoder = allocated() - before;
	decode_all(w);
	decoder = allocated() - before - encoder;
	decode = speed(decode_all, w, sample.len);
	printf("%5d %7zu %8.3f %8.1f %8.0f %8.0f %8zu %8zu\n", w->level,
	       w->frame / KIB, (double)sample.len / (double)w->stored_sum,
	       100.0 * (double)w->raw_frames /
		       (double)((sample.len + w->frame - 1) / w->frame),
	       encode * 1000, decode * 1000, encoder / KIB, decoder / KIB);
	frame_coder_free(w->c);
}

static void
bench_frames(void)
{
	static const size_t sizes[] = { 16 * KIB, 64 * KIB, 256 * KIB, MIB,
					4 * MIB };
	static const int levels[] = { 1, 3, 6, 9 };
	size_t frames = sample.len / sizes[0] + 1;
	struct framing w = { 0 };

	w.stored = need(sample.len + frame_bound(4 * MIB));
	w.raw = need(4 * MIB);
	w.stored_len = need(frames * sizeof(*w.stored_len));
	w.method = need(frames * sizeof(*w.method));
	printf("\nframes              ratio      raw   encode   decode  "
	       "encoder  decoder\n"
	       "level     KiB             %% of them   MB/s     MB/s  "
	       "    KiB      KiB\n");
	for (size_t l = 0; l < N_OF(levels); l++)
		for (size_t i = 0; i < N_OF(sizes); i++) {
			w.level = levels[l];
			w.frame = sizes[i];
			print_framing(&w);
		}
	mem_free(w.stored);
	mem_free(w.raw);
	mem_free(w.stored_len);
	mem_free(w.method);
}

int
main(int argc, char **argv)
{
	size_t mib = 64;
	int opt;

	while ((opt = getopt(argc, argv, "m:")) != -1) {
		if (opt != 'm')
			die("usage: primitives [-m MIB] [PATH ...]");
		mib = strtoul(optarg, NULL, 10);
	}
	if (mib < 4 || mib > 4096)
		die("-m wants 4 to 4096");
	take_sample(argv + optind, (size_t)(argc - optind), mib * MIB);
	bench_cut_speed();
	bench_cut_quality();
	bench_hash();
	bench_frames();
	mem_free(sample.data);
	return 0;
}
