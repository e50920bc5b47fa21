/*
 * journal_internal - what the four files of journal share.
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

#include "src/writer/journal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define SEGMENT_PREFIX     "journal."
#define SEGMENT_NAME_LEN   (sizeof(SEGMENT_PREFIX) - 1 + 16)
#define SEGMENT_HEADER_LEN 44 /* magic, version, id, first number, checksum */

struct segment {
	uint64_t first; /* number of its first entry, had it one */
	uint64_t end;   /* bytes that count */
};

void journal_segment_name(char out[SEGMENT_NAME_LEN + 1], uint64_t first);
uint64_t journal_segment_number(const char *name); /* 0: no segment's */

/* Append the header of a segment whose first entry has this number. */
void journal_segment_put_header(const uint8_t id[JOURNAL_ID_LEN], uint64_t first,
				struct buf *out);

/* What is in a segment that was read. */
struct segment_found {
	uint8_t id[JOURNAL_ID_LEN]; /* the journal's */
	uint64_t next;              /* behind its last entry */
	enum journal_kind last;     /* its last entry; 0 there is none */
	bool torn; /* what stands behind that cannot be read */
};

/*
 * Read a segment, up to entry number `until`, which begins the next; 0: it is the
 * newest, and ends where it can be read no more.  Sets s->end.  ERR_CORRUPT: it
 * is damaged, or entries are missing.
 */
int journal_segment_check(int dirfd, struct segment *s, uint64_t until,
			  struct segment_found *out, struct err *e);

/* Write an entry, whose head is encoded, at this place; without a sync. */
int journal_segment_write(int fd, uint64_t at, const struct journal_entry *en,
			  const struct buf *head, struct err *e);

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
