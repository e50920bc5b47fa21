/*
 * ranges - what ten million declared ranges cost.
 *
 * usage: ranges [COUNT]
 *
 * Ranges files of COUNT (default 10,000,000) ranges in several orders, read in
 * pieces of 1 MiB as the control files would: seconds of CPU for reading,
 * sorting and merging, and bytes of memory at the peak, per order.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/ranges.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/lib/largest.h"
#include "tests/lib/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIECE ((size_t)1 << 16) /* ranges */

enum order {
	SORTED,
	REVERSED,
	PAGES,
	RANDOM,
	TWO_ENDS,
	ORDERS
};
static const char *const order_name[ORDERS] = { "sorted", "reversed",
						"random pages of 1 TB",
						"random in 64 bits",
						"from both ends" };

static uint64_t
offset(enum order order, uint64_t i, uint64_t n, struct rng *s)
{
	switch (order) {
	case SORTED:
		return i * 16384;
	case REVERSED:
		return (n - i) * 16384;
	case PAGES:
		return rng_next(s) % (UINT64_C(1) << 27) * 8192;
	case TWO_ENDS:
		return (i % 2 == 0 ? i : n - i) * 16384;
	default:
		return rng_next(s) >> 1;
	}
}

static double
seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

static void
measure(enum order order, uint64_t n, uint64_t *piece)
{
	struct rng rng = { UINT64_C(0x123456789abcdef) };
	struct ranges s = { 0 };
	struct ranges_file f;
	struct err e = { 0 };
	uint8_t head[RANGES_FILE_MIN];
	double used = 0;
	double start;
	uint64_t i;
	size_t k;

	memcpy(head, &n, sizeof(head));
	largest_begin();
	if (ranges_file_begin(&f, &s, head, 8 + 16 * n, &e) < 0)
		goto fail;
	for (i = 0; i < n; i += k) {
		for (k = 0; k < PIECE && i + k < n; k++) {
			piece[2 * k] = offset(order, i + k, n, &rng);
			piece[2 * k + 1] = 8192;
		}
		start = seconds();
		if (ranges_file_add(&f, piece, 16 * k, &e) < 0)
			goto fail;
		used += seconds() - start;
	}
	start = seconds();
	if (ranges_file_end(&f, &e) < 0)
		goto fail;
	used += seconds() - start;
	printf("%-22s %10" PRIu64 " ranges  %6.2f s  %6.1f MB  %10zu merged\n",
	       order_name[order], n, used, (double)largest_size / 1e6, s.count);
	ranges_clear(&s);
	return;
fail:
	fprintf(stderr, "ranges: %s\n", e.text);
	exit(1);
}

int
main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : RANGES_MAX;
	uint64_t *piece = mem_array(PIECE, 2 * sizeof(*piece));

	if (piece == NULL)
		return 1;
	for (enum order o = 0; o < ORDERS; o++)
		measure(o, n, piece);
	mem_free(piece);
	return 0;
}
