/*
 * journal_internal - what the three files of journal share.
 *
 * A journal is a row of segments: files named by the number of their first
 * entry, with a header.
 *
 * doc/control.md, section 7: a frame is a length (u32), so many bytes of body,
 * and a checksum (u64) of both.  The body's ranges come last, as a ranges file,
 * so that ten million of them need not be in memory twice.
 */
#ifndef ASOF_WRITER_JOURNAL_INTERNAL_H
#define ASOF_WRITER_JOURNAL_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct journal_entry;
struct journal_reader;

#define SEGMENT_PREFIX     "journal."
#define SEGMENT_NAME_LEN   (sizeof(SEGMENT_PREFIX) - 1 + 16)
#define SEGMENT_HEADER_LEN 44 /* magic, version, id, first number, checksum */

struct segment {
	uint64_t first; /* number of its first entry, had it one */
	uint64_t end;   /* bytes that count */
};

void segment_name(char out[SEGMENT_NAME_LEN + 1], uint64_t first);

struct journal_view {
	int dirfd;      /* the journal's */
	uint64_t until; /* the entries below it */
	size_t segs;    /* at least one, in order */
	struct segment seg[];
};

#define FRAME_LENGTH   4 /* bytes in front of a body, */
#define FRAME_CHECKSUM 8 /* and behind it */

/*
 * Append the frame up to the pairs of its ranges.  EDQUOT: longer than
 * JOURNAL_ENTRY_MAX; EINVAL: a string that is too long or has a NUL.
 */
int journal_encode_head(const struct journal_entry *en, struct buf *out,
			struct err *e);

/* Bytes of the whole frame whose head is in p. */
uint64_t journal_frame_len(const uint8_t *p);

/* The offset behind the last entry that was read. */
uint64_t journal_reader_at(const struct journal_reader *r);

#endif
