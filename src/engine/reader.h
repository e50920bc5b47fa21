/*
 * reader - the bytes of a stored file.
 *
 * A file_reader keeps the place in the file map and the chunk at hand, so
 * that sequential reading walks the map once; any offset works.  One thread
 * at a time; `content` and what it borrows must outlive it.
 */
#ifndef ASOF_ENGINE_READER_H
#define ASOF_ENGINE_READER_H

#include "src/engine/filemap.h"
#include "store/chunk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

struct file_reader {
	struct chunk_reader *chunks;
	struct filemap_iter map;
	struct extent at; /* the piece at hand, len 0 if none */
	struct chunk chunk;
	uint64_t size;
};

int file_reader_init(struct file_reader *f, struct chunk_reader *r,
		     const struct content *content, uint64_t size,
		     struct err *e);
void file_reader_clear(struct file_reader *f);

/*
 * Exactly min(n, size - offset) bytes, holes as zeros.  Returns the count or
 * -1; on -1 *bad (may be NULL) is the offset of the first byte that could not
 * be had, and the bytes before it are in p.
 */
ssize_t file_read(struct file_reader *f, uint64_t offset, void *p, size_t n,
		  uint64_t *bad, struct err *e);

/*
 * Data in place, without a copy: the piece at `offset`, up to its end.
 * *p is NULL for a hole.  Valid until the next call.  Returns 0 at the end of
 * the file, 1 with a piece, -1.
 */
int file_peek(struct file_reader *f, uint64_t offset, const uint8_t **p,
	      uint64_t *len, struct err *e);

/* lseek's SEEK_DATA and SEEK_HOLE: 1 means ENXIO. */
int file_seek_data(struct file_reader *f, uint64_t offset, uint64_t *out,
		   struct err *e);
int file_seek_hole(struct file_reader *f, uint64_t offset, uint64_t *out,
		   struct err *e);

#endif
