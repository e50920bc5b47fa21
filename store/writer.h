/*
 * writer - putting chunks into the repository: deduplication, frames, packs.
 *
 * A chunk that is stored already, or put before in this run, is not stored
 * again.  New chunks of one kind are gathered in the order of the calls into
 * frames of about 1 MiB (data) or 256 KiB (other kinds); a chunk of a large
 * file can have a frame of its own, and a few of them one together.  Full
 * frames are compressed by worker threads, decoded again and compared with
 * their ids before they are accepted, and appended to the current pack; full
 * packs are sealed, synced and published by a thread of their own, and then
 * enter the index.
 *
 * Memory is bounded: writer_put waits while all frame buffers are in work.
 * Any thread may put; the order of the puts of one thread is kept.  The first
 * failure of any thread makes every later call fail with it.
 */
#ifndef ASOF_STORE_WRITER_H
#define ASOF_STORE_WRITER_H

#include "store/chunk.h"
#include "store/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;
struct writer;

/* All zero: defaults. */
struct writer_options {
	unsigned threads;    /* compressors; default: processors */
	int level;           /* zstd; default FRAME_LEVEL_DEFAULT */
	uint32_t data_frame; /* raw bytes; default 1 MiB */
	uint32_t meta_frame; /* raw bytes; default 256 KiB */
	uint32_t pack_len;   /* default PACK_LEN_TARGET */
};

int writer_open(struct store *st, const struct writer_options *opt,
		struct writer **out, struct err *e);

/*
 * Put a chunk whose id the caller has computed.  `alone` gives it a frame of
 * its own, compressed at once by a worker.  *fresh (may be NULL): it was not
 * stored before.
 */
int writer_put(struct writer *w, enum id_kind kind, const struct id *id,
	       const void *p, size_t len, bool alone, bool *fresh,
	       struct err *e);

/*
 * Put up to WRITER_GROUP_MAX chunks that are read together: those that are
 * new, one or more, share a frame of their own, compressed at once.
 */
#define WRITER_GROUP_MAX 4
struct writer_chunk {
	struct id id; /* computed by the caller */
	const void *p;
	size_t len;
};
int writer_put_group(struct writer *w, enum id_kind kind,
		     const struct writer_chunk *c, size_t n, struct err *e);

/* Computes the id and puts; the writer's own, valid until close. */
struct chunk_sink *writer_sink(struct writer *w);

/*
 * Finish all frames and packs; on 0 everything that was put is durable, and so
 * are the names.  More may be put afterwards.
 */
int writer_flush(struct writer *w, struct err *e);

struct writer_stats {
	uint64_t chunks_new, chunks_known;
	uint64_t bytes_new;    /* raw bytes of new chunks */
	uint64_t bytes_stored; /* bytes of packs made */
	uint64_t packs;
};
void writer_stats(struct writer *w, struct writer_stats *out);

/* Frees; what was not flushed is thrown away. */
void writer_close(struct writer *w);

#endif
