/*
 * ranges - which bytes of a file changed, as a set.
 *
 * doc/control.md, section 4.  Ranges come as text ("4096:512, 0x2000:1" or
 * "none") or as a ranges file (little-endian u64: a count, then as many pairs
 * of offset and length), in any order and overlapping; what comes out is
 * sorted, and between two of its ranges there is at least one byte.
 *
 * A set takes 16 bytes a range, also while it is sorted.  Offset and length
 * are unsigned 64-bit numbers whose sum is one, too.  All-zero is the empty
 * set.  One thread at a time.
 */
#ifndef ASOF_WRITER_RANGES_H
#define ASOF_WRITER_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define RANGES_MAX      10000000 /* of one file, as handed in */
#define RANGES_FILE_MIN 8        /* bytes of a ranges file: count, */
#define RANGES_PAIR     16       /* and so many for each pair */

struct range {
	uint64_t off, len; /* len > 0 in a set */
};

struct ranges {
	struct range *r; /* count, ordered, apart */
	size_t count, cap;
};

void ranges_clear(struct ranges *s);

/*
 * From text, all of s[0..len).  EINVAL with the column in the text; EDQUOT
 * for more than RANGES_MAX.  *s is replaced; on failure it is empty.
 */
int ranges_parse(struct ranges *s, const char *text, size_t len, struct err *e);

/*
 * The same, but in the order in which they stand there and with nothing
 * merged: a list, to go through and to print, and no set.
 */
int ranges_parse_list(struct ranges *s, const char *text, size_t len,
		      struct err *e);

/* --- ranges files ----------------------------------------------------------- */

/* A ranges file on its way in. */
struct ranges_file {
	struct ranges *set;
	uint64_t count;   /* pairs to come */
	uint64_t done;    /* pairs taken */
	uint8_t part[16]; /* what is there of the next */
	size_t part_len;
};

/*
 * Begin with the first RANGES_FILE_MIN bytes of a file of `size` bytes; the
 * count in them must be that of the size.  Allocates for as many.  No sentence
 * of these three quotes what is in the file.
 */
int ranges_file_begin(struct ranges_file *f, struct ranges *set,
		      const uint8_t head[RANGES_FILE_MIN], uint64_t size,
		      struct err *e);

/* The next n bytes, in pieces of any size. */
int ranges_file_add(struct ranges_file *f, const void *p, size_t n,
		    struct err *e);

/* The end: EINVAL when bytes are missing.  Then *set is one. */
int ranges_file_end(struct ranges_file *f, struct err *e);

/* All three for a file in memory. */
int ranges_parse_file(struct ranges *s, const void *p, size_t len,
		      struct err *e);

/* --- questions and changes -------------------------------------------------- */

/* Add what is in `from`; on failure *s is as it was. */
int ranges_union(struct ranges *s, const struct ranges *from, struct err *e);

/*
 * Add one range at the end, in whatever order (len may be 0; a sum beyond 64
 * bits is EINVAL).  From the first push on, *s is no set until
 * ranges_settle() has made it one.
 */
int ranges_push(struct ranges *s, uint64_t off, uint64_t len, struct err *e);
void ranges_settle(struct ranges *s);

/* Drop what lies at or beyond `size`. */
void ranges_clip(struct ranges *s, uint64_t size);

/* How many bytes are in it; the offset behind the last one, 0 for none. */
uint64_t ranges_total(const struct ranges *s);
uint64_t ranges_end(const struct ranges *s);

/*
 * The index of the first range that ends behind `off` (it holds it, or begins
 * later); s->count when there is none.  To go on from there, count up.
 */
size_t ranges_find(const struct ranges *s, uint64_t off);

/* Are all `len` bytes at `off` in it?  Are all of `a` in `b`? */
bool ranges_hold(const struct ranges *s, uint64_t off, uint64_t len);
bool ranges_within(const struct ranges *a, const struct ranges *b);

/*
 * Append as text that ranges_parse makes the same set of.  Numbers are
 * decimal, or hexadecimal where that is shorter, so that the text is never
 * longer than the one the set was parsed from.
 */
void ranges_print(const struct ranges *s, struct buf *out);

/* Append as a ranges file. */
void ranges_print_file(const struct ranges *s, struct buf *out);

#endif
