/*
 * journal_internal - what the two files of journal share.
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
