/*
 * fuzz_ranges - `t` and a text, or `b` and a ranges file.
 *
 * What is taken is sorted and apart, prints to the same set in both forms, and
 * as text to no more bytes; clipping and joining agree with the set.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/ranges.h"

#include "base/buf.h"
#include "base/err.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void
check_same(const struct ranges *a, const struct ranges *b)
{
	MUST(a->count == b->count);
	MUST(a->count == 0 ||
	     memcmp(a->r, b->r, a->count * sizeof(*a->r)) == 0);
	MUST(ranges_within(a, b) && ranges_within(b, a));
}

static void
check_printed(const struct ranges *s, size_t text_len)
{
	struct ranges t = { 0 };
	struct buf b = { 0 };

	ranges_print(s, &b);
	MUST(text_len == 0 || s->count == 0 || b.len <= text_len);
	MUST(ranges_parse(&t, buf_str(&b), b.len, NULL) == 0);
	check_same(s, &t);
	buf_reset(&b);
	ranges_print_file(s, &b);
	MUST(ranges_parse_file(&t, b.data, b.len, NULL) == 0);
	check_same(s, &t);
	ranges_clear(&t);
	buf_clear(&b);
}

/* In two halves and together again. */
static void
check_union(const struct ranges *s)
{
	struct ranges half[2] = { { 0 } };
	size_t i;

	for (i = 0; i < s->count; i++)
		MUST(ranges_push(&half[i % 2], s->r[i].off, s->r[i].len,
				 NULL) == 0);
	ranges_settle(&half[0]);
	ranges_settle(&half[1]);
	MUST(ranges_union(&half[0], &half[1], NULL) == 0);
	check_same(s, &half[0]);
	ranges_clear(&half[0]);
	ranges_clear(&half[1]);
}

static void
check_clipped(struct ranges *s, uint64_t size)
{
	uint64_t total = ranges_total(s);
	uint64_t end = ranges_end(s);

	ranges_clip(s, size);
	MUST(ranges_end(s) <= size && ranges_end(s) <= end);
	MUST(ranges_total(s) <= total && ranges_total(s) <= size);
	MUST(size < end || ranges_total(s) == total);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ranges s = { 0 };
	struct err e = { 0 };
	bool text = size > 0 && data[0] == 't';
	size_t i;
	int rc;

	if (size == 0)
		return 0;
	data++;
	size--;
	rc = text ? ranges_parse(&s, (const char *)data, size, &e)
		  : ranges_parse_file(&s, data, size, &e);
	MUST((rc == 0) == (e.kind == ERR_NONE));
	MUST(rc == 0 || s.r == NULL);
	for (i = 0; i < s.count; i++) {
		MUST(s.r[i].len > 0);
		MUST(s.r[i].off + s.r[i].len > s.r[i].off);
		MUST(i == 0 || s.r[i].off > s.r[i - 1].off + s.r[i - 1].len);
		MUST(ranges_find(&s, s.r[i].off) == i);
	}
	if (rc == 0) {
		check_printed(&s, text ? size : 0);
		check_union(&s);
		check_clipped(&s, s.count > 0 ? s.r[s.count / 2].off + 1 : 1);
	}
	ranges_clear(&s);
	return 0;
}
