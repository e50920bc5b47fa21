/*
 * Ten million ranges in any order are somebody's ordinary database, and what
 * order they come in is the writer's choice, hence an attacker's.  So they are
 * sorted in place by a radix sort from the highest byte of the offset down
 * ("American flag sort"): eight passes at most, whatever the input, no memory
 * but counters on the stack; short buckets are sorted by insertion.  What is
 * in order already is noticed and left alone.
 *
 * Equal offsets need no order among themselves: merging takes the longest.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/ranges.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/writer/refuse.h"
#include "src/writer/value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Buckets up to this are sorted by insertion. */
#define SHORT_BUCKET 48

void
ranges_clear(struct ranges *s)
{
	mem_free(s->r);
	memset(s, 0, sizeof(*s));
}

/* Room for exactly `n` ranges at least. */
static int
reserve(struct ranges *s, size_t n, struct err *e)
{
	struct range *more;

	if (n <= s->cap)
		return 0;
	more = mem_resize(s->r, n, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	s->r = more;
	s->cap = n;
	return 0;
}

/* --- sorting and merging ---------------------------------------------------- */

static void
insertion_sort(struct range *r, size_t n)
{
	struct range t;
	size_t i;
	size_t k;

	for (i = 1; i < n; i++) {
		t = r[i];
		for (k = i; k > 0 && r[k - 1].off > t.off; k--)
			r[k] = r[k - 1];
		r[k] = t;
	}
}

static unsigned
digit(const struct range *r, unsigned shift)
{
	return (unsigned)(r->off >> shift) & 255;
}

/* Put r[0..n) into its 256 buckets; end[d] becomes where bucket d ends. */
static void
distribute(struct range *r, size_t n, unsigned shift, size_t end[256])
{
	size_t next[256];
	struct range t;
	struct range u;
	size_t at = 0;
	size_t i;
	unsigned d;

	memset(end, 0, 256 * sizeof(*end));
	for (i = 0; i < n; i++)
		end[digit(&r[i], shift)]++;
	for (i = 0; i < 256; i++) {
		next[i] = at;
		at += end[i];
		end[i] = at;
	}
	for (i = 0; i < 256; i++) {
		while (next[i] < end[i]) {
			t = r[next[i]];
			/* Hand on what is in the way until one belongs here. */
			while ((d = digit(&t, shift)) != i) {
				u = r[next[d]];
				r[next[d]++] = t;
				t = u;
			}
			r[next[i]++] = t;
		}
	}
}

static void
radix_sort(struct range *r, size_t n, unsigned shift)
{
	size_t end[256];
	size_t from = 0;
	size_t i;

	if (n <= SHORT_BUCKET) {
		insertion_sort(r, n);
		return;
	}
	distribute(r, n, shift, end);
	for (i = 0; i < 256 && shift > 0; i++) {
		if (end[i] - from > 1)
			radix_sort(r + from, end[i] - from, shift - 8);
		from = end[i];
	}
}

static void
sort(struct ranges *s)
{
	uint64_t differ = 0;
	unsigned shift = 56;
	bool ordered = true;
	size_t i;

	for (i = 1; i < s->count; i++) {
		ordered = ordered && s->r[i - 1].off <= s->r[i].off;
		differ |= s->r[i].off ^ s->r[0].off;
	}
	if (ordered)
		return;
	while (shift > 0 && differ >> shift == 0)
		shift -= 8;
	radix_sort(s->r, s->count, shift);
}

/* Make one of overlaps and neighbours; s is sorted and has no empty range. */
static void
merge(struct ranges *s)
{
	struct range *last;
	uint64_t end;
	size_t i;
	size_t n = 0;

	for (i = 0; i < s->count; i++) {
		last = n > 0 ? &s->r[n - 1] : NULL;
		if (last == NULL || s->r[i].off - last->off > last->len) {
			s->r[n++] = s->r[i];
			continue;
		}
		end = s->r[i].off + s->r[i].len;
		if (end - last->off > last->len)
			last->len = end - last->off;
	}
	s->count = n;
}

void
ranges_settle(struct ranges *s)
{
	sort(s);
	merge(s);
}

/* --- text ------------------------------------------------------------------- */

static int
refuse_at(size_t at, const char *sentence, struct err *e)
{
	return refuse_set(e, EINVAL, "ranges, column %zu: %s", at + 1,
			  sentence);
}

/* A number at text[*at], which moves behind it. */
static int
take_number(const char *text, size_t len, size_t *at, uint64_t *out,
	    struct err *e)
{
	size_t n = value_number_len(text + *at, len - *at);

	if (n == 0)
		return refuse_at(*at, "a number is missing", e);
	if (!value_number(text + *at, n, out))
		return refuse_at(*at,
				 "not a decimal or 0x hexadecimal number of "
				 "64 bits",
				 e);
	*at += n;
	return 0;
}

static int
take_range(const char *text, size_t len, size_t *at, struct ranges *s,
	   struct err *e)
{
	struct range r;
	size_t from = *at;
	uint64_t end;

	if (take_number(text, len, at, &r.off, e) < 0)
		return -1;
	if (*at == len || text[*at] != ':')
		return refuse_at(*at, "a colon is missing", e);
	++*at;
	if (take_number(text, len, at, &r.len, e) < 0)
		return -1;
	if (__builtin_add_overflow(r.off, r.len, &end))
		return refuse_at(from, "its end is beyond 64 bits", e);
	if (r.len > 0)
		s->r[s->count++] = r;
	return 0;
}

static int
take_ranges(const char *text, size_t len, struct ranges *s, struct err *e)
{
	size_t at = 0;

	for (;;) {
		if (take_range(text, len, &at, s, e) < 0)
			return -1;
		if (at == len)
			return 0;
		if (text[at] != ',')
			return refuse_at(at, "a comma is missing", e);
		at++;
		while (at < len && (text[at] == ' ' || text[at] == '\t'))
			at++;
	}
}

int
ranges_parse_list(struct ranges *s, const char *text, size_t len,
		  struct err *e)
{
	size_t count = 1;
	size_t i;

	ranges_clear(s);
	if (len == 4 && memcmp(text, "none", 4) == 0)
		return 0;
	for (i = 0; i < len; i++)
		count += text[i] == ',';
	if (count > RANGES_MAX)
		return refuse_set(e, EDQUOT, "more than %d ranges", RANGES_MAX);
	if (reserve(s, count, e) < 0 || take_ranges(text, len, s, e) < 0) {
		ranges_clear(s);
		return -1;
	}
	return 0;
}

int
ranges_parse(struct ranges *s, const char *text, size_t len, struct err *e)
{
	if (ranges_parse_list(s, text, len, e) < 0)
		return -1;
	ranges_settle(s);
	return 0;
}

/* A number, decimal unless hexadecimal is shorter. */
static void
print_number(struct buf *out, uint64_t v)
{
	char dec[32];
	char hex[32];
	int d = snprintf(dec, sizeof(dec), "%" PRIu64, v);
	int h = snprintf(hex, sizeof(hex), "0x%" PRIx64, v);

	buf_add_str(out, h < d ? hex : dec);
}

void
ranges_print(const struct ranges *s, struct buf *out)
{
	size_t i;

	if (s->count == 0)
		buf_add_str(out, "none");
	for (i = 0; i < s->count; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		print_number(out, s->r[i].off);
		buf_add_char(out, ':');
		print_number(out, s->r[i].len);
	}
}

/* --- ranges files ----------------------------------------------------------- */

int
ranges_file_begin(struct ranges_file *f, struct ranges *set,
		  const uint8_t head[RANGES_FILE_MIN], uint64_t size,
		  struct err *e)
{
	struct rd r = rd_init(head, RANGES_FILE_MIN);

	ranges_clear(set);
	memset(f, 0, sizeof(*f));
	f->set = set;
	f->count = rd_u64(&r);
	if (size < RANGES_FILE_MIN)
		return refuse_set(e, EINVAL,
				  "ranges file: shorter than its count");
	size -= RANGES_FILE_MIN;
	/* Compared by dividing: 16 times a hostile count would overflow. */
	if (size % RANGES_PAIR != 0 || size / RANGES_PAIR != f->count)
		return refuse_set(e, EINVAL,
				  "ranges file: its length is not 8 and 16 "
				  "times the count in it");
	if (f->count > RANGES_MAX)
		return refuse_set(e, EDQUOT, "ranges file: more than %d ranges",
				  RANGES_MAX);
	return reserve(set, (size_t)f->count, e);
}

static int
take_pair(struct ranges_file *f, const uint8_t *p, struct err *e)
{
	struct rd r = rd_init(p, RANGES_PAIR);
	struct range a;
	uint64_t end;

	a.off = rd_u64(&r);
	a.len = rd_u64(&r);
	if (f->done == f->count)
		return refuse_set(e, EINVAL,
				  "ranges file: bytes behind its last range");
	f->done++;
	if (__builtin_add_overflow(a.off, a.len, &end))
		return refuse_set(e, EINVAL,
				  "ranges file: range %" PRIu64
				  " ends beyond 64 bits",
				  f->done);
	if (a.len > 0)
		f->set->r[f->set->count++] = a;
	return 0;
}

int
ranges_file_add(struct ranges_file *f, const void *p, size_t n, struct err *e)
{
	const uint8_t *s = p;
	size_t k;

	while (n > 0) {
		if (f->part_len == 0 && n >= RANGES_PAIR) {
			if (take_pair(f, s, e) < 0)
				return -1;
			s += RANGES_PAIR;
			n -= RANGES_PAIR;
			continue;
		}
		k = RANGES_PAIR - f->part_len;
		if (k > n)
			k = n;
		memcpy(f->part + f->part_len, s, k);
		f->part_len += k;
		s += k;
		n -= k;
		if (f->part_len < RANGES_PAIR)
			break;
		f->part_len = 0;
		if (take_pair(f, f->part, e) < 0)
			return -1;
	}
	return 0;
}

int
ranges_file_end(struct ranges_file *f, struct err *e)
{
	if (f->done < f->count || f->part_len > 0)
		return refuse_set(e, EINVAL,
				  "ranges file: it ends in range %" PRIu64
				  " of %" PRIu64,
				  f->done + 1, f->count);
	ranges_settle(f->set);
	return 0;
}

int
ranges_parse_file(struct ranges *s, const void *p, size_t len, struct err *e)
{
	struct ranges_file f;
	uint8_t head[RANGES_FILE_MIN] = { 0 };
	const uint8_t *bytes = p;
	size_t n = len < sizeof(head) ? len : sizeof(head);

	if (n > 0)
		memcpy(head, bytes, n);
	if (ranges_file_begin(&f, s, head, len, e) < 0 ||
	    (len > n && ranges_file_add(&f, bytes + n, len - n, e) < 0) ||
	    ranges_file_end(&f, e) < 0) {
		ranges_clear(s);
		return -1;
	}
	return 0;
}

void
ranges_print_file(const struct ranges *s, struct buf *out)
{
	size_t i;

	wr_u64(out, s->count);
	for (i = 0; i < s->count; i++) {
		wr_u64(out, s->r[i].off);
		wr_u64(out, s->r[i].len);
	}
}

/* --- questions and changes -------------------------------------------------- */

/*
 * Both are sorted, so they are merged from the back, into the room behind the
 * first, and what touches is joined afterwards.
 */
int
ranges_union(struct ranges *s, const struct ranges *from, struct err *e)
{
	size_t i = s->count;
	size_t k = from->count;
	size_t at = i + k;

	if (reserve(s, at, e) < 0)
		return -1;
	s->count = at;
	while (k > 0) {
		if (i > 0 && s->r[i - 1].off > from->r[k - 1].off)
			s->r[--at] = s->r[--i];
		else
			s->r[--at] = from->r[--k];
	}
	merge(s);
	return 0;
}

int
ranges_push(struct ranges *s, uint64_t off, uint64_t len, struct err *e)
{
	uint64_t end;

	if (__builtin_add_overflow(off, len, &end))
		return refuse_set(e, EINVAL, "a range ends beyond 64 bits");
	if (len == 0)
		return 0;
	if (s->count == s->cap && reserve(s, s->cap + s->cap / 2 + 8, e) < 0)
		return -1;
	s->r[s->count++] = (struct range){ off, len };
	return 0;
}

void
ranges_clip(struct ranges *s, uint64_t size)
{
	struct range *last;

	while (s->count > 0 && s->r[s->count - 1].off >= size)
		s->count--;
	if (s->count == 0)
		return;
	last = &s->r[s->count - 1];
	if (size - last->off < last->len)
		last->len = size - last->off;
}

uint64_t
ranges_total(const struct ranges *s)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < s->count; i++)
		sum += s->r[i].len;
	return sum;
}

uint64_t
ranges_end(const struct ranges *s)
{
	const struct range *last;

	if (s->count == 0)
		return 0;
	last = &s->r[s->count - 1];
	return last->off + last->len;
}

size_t
ranges_find(const struct ranges *s, uint64_t off)
{
	size_t lo = 0;
	size_t hi = s->count;
	size_t mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (s->r[mid].off + s->r[mid].len > off)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

bool
ranges_hold(const struct ranges *s, uint64_t off, uint64_t len)
{
	size_t i = ranges_find(s, off);

	if (len == 0)
		return true;
	if (i == s->count || s->r[i].off > off)
		return false;
	return len <= s->r[i].len - (off - s->r[i].off);
}

bool
ranges_within(const struct ranges *a, const struct ranges *b)
{
	size_t i;

	/* In a set there is a gap between ranges: each is in one of b's. */
	for (i = 0; i < a->count; i++)
		if (!ranges_hold(b, a->r[i].off, a->r[i].len))
			return false;
	return true;
}
