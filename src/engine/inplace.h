/*
 * inplace - making an existing file what a generation says, by writing only
 * what differs.
 *
 * For files that are large, changed little and may not be there twice: the
 * file is read, piece by piece, and a piece whose id is the one that the file
 * map has is not even fetched.  Of a piece that differs, the blocks that differ
 * are written; what is a hole becomes one.  Then the length is set.  Owner, mode
 * and the rest are the caller's, afterwards.
 *
 * This is not atomic.  A crash or a failure leaves a file of which some blocks
 * are new and some old, which may be too long, and whose mtime is that of the
 * writing, because times are set last: nothing takes it for unchanged.  Doing
 * it again completes it, and writes only what is still missing.
 *
 * One thread at a time for one file.
 */
#ifndef ASOF_ENGINE_INPLACE_H
#define ASOF_ENGINE_INPLACE_H

#include "src/engine/entry.h"

#include <stdbool.h>
#include <stdint.h>

struct chunk_reader;
struct err;
struct id_keys;

#define INPLACE_BLOCK 4096 /* what is compared and written */

struct inplace {
	struct chunk_reader *reader;
	const struct id_keys *keys; /* NULL: pieces are fetched and compared */
	const struct entry *en;     /* of a file */
	int fd;                     /* open for reading and writing */
	/* Asked before each piece: true stops, ERR_CANCELLED.  NULL: never. */
	bool (*stopped)(void *ctx);
	void *ctx;

	/* What was done. */
	uint64_t same;    /* bytes that were as they should be */
	uint64_t fetched; /* bytes of chunks that were read from the store */
	uint64_t written; /* bytes */
	uint64_t punched; /* bytes that became holes */
	bool damage;      /* a failure is the repository's */
};

/* All of the file. */
int inplace_rewrite(struct inplace *w, struct err *e);

/*
 * `len` bytes of the entry at `from` to `to` in the file, which grows if need
 * be and is never cut.  ERR_USAGE when the entry ends before from + len.
 */
int inplace_copy(struct inplace *w, uint64_t from, uint64_t len, uint64_t to,
		 struct err *e);

#endif
