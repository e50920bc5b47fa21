/*
 * reader.c
 *
 * `at` is the piece at hand; the map iterator stands right behind it.  So
 * the next piece is one step away and every other one a seek.  The chunk is
 * loaded only when bytes are wanted (looking for holes loads none) and kept
 * as long as the piece at hand has its id, so that a run of one chunk is
 * decoded once.  Where the map could not be followed there is no piece at hand
 * and the next access seeks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/reader.h"

#include "base/err.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

int
file_reader_init(struct file_reader *f, struct chunk_reader *r,
		 const struct content *content, uint64_t size, struct err *e)
{
	memset(f, 0, sizeof(*f));
	if (filemap_iter_init(&f->map, r, content, size, e) < 0)
		return -1;
	f->chunks = r;
	f->size = size;
	return 0;
}

void
file_reader_clear(struct file_reader *f)
{
	/* One that was never made has no store to give a chunk back to. */
	if (f->chunks != NULL) {
		chunk_release(f->chunks, &f->chunk);
		filemap_iter_clear(&f->map);
	}
	memset(f, 0, sizeof(*f));
}

/* --- the piece that holds an offset -------------------------------------- */

static bool
holds(const struct extent *x, uint64_t offset)
{
	return offset >= x->offset && offset - x->offset < x->len;
}

/* Step or seek the map to the piece that holds `offset`, below the size. */
static int
find_piece(struct file_reader *f, uint64_t offset, struct extent *out,
	   struct err *e)
{
	bool next = f->at.len > 0 && offset == f->at.offset + f->at.len;
	int rc;

	if (!next && filemap_iter_seek(&f->map, offset, e) < 0)
		return -1;
	rc = filemap_iter_next(&f->map, out, e);
	if (rc < 0)
		return -1;
	if (rc == 0 || !holds(out, offset))
		return err_set(e, ERR_CORRUPT,
			       "the file map has nothing at offset %" PRIu64
			       " of %" PRIu64,
			       offset, f->size);
	return 0;
}

/* Make the piece that holds `offset` the one at hand. */
static int
go_to(struct file_reader *f, uint64_t offset, struct err *e)
{
	struct extent x = { 0 };

	if (holds(&f->at, offset))
		return 0;
	if (find_piece(f, offset, &x, e) < 0) {
		chunk_release(f->chunks, &f->chunk);
		f->at.len = 0;
		return -1;
	}
	if (!id_equal(&x.id, &f->at.id))
		chunk_release(f->chunks, &f->chunk);
	f->at = x;
	return 0;
}

/* Have the chunk of the piece at hand. */
static int
load(struct file_reader *f, struct err *e)
{
	char text[ID_TEXT_LEN];
	size_t len;

	if (f->chunk.data == NULL &&
	    chunk_get(f->chunks, KIND_DATA, &f->at.id, &f->chunk, e) < 0)
		return -1;
	len = f->chunk.len;
	if (len == f->at.len)
		return 0;
	return err_set(e, ERR_CORRUPT,
		       "chunk %s: %zu bytes, but its file says %" PRIu64,
		       id_text(text, &f->at.id), len, f->at.len);
}

/* --- bytes --------------------------------------------------------------- */

int
file_peek(struct file_reader *f, uint64_t offset, const uint8_t **p,
	  uint64_t *len, struct err *e)
{
	uint64_t skip;

	if (offset >= f->size)
		return 0;
	if (go_to(f, offset, e) < 0)
		return -1;
	if (!f->at.hole && load(f, e) < 0)
		return -1;
	skip = offset - f->at.offset;
	*p = f->at.hole ? NULL : f->chunk.data + skip;
	*len = f->at.len - skip;
	return 1;
}

ssize_t
file_read(struct file_reader *f, uint64_t offset, void *p, size_t n,
	  uint64_t *bad, struct err *e)
{
	uint8_t *to = p;
	size_t done = 0;

	if (offset >= f->size)
		return 0;
	if (n > SSIZE_MAX)
		n = SSIZE_MAX;
	if (n > f->size - offset)
		n = (size_t)(f->size - offset);
	while (done < n) {
		const uint8_t *from;
		uint64_t len;
		size_t part;

		if (file_peek(f, offset + done, &from, &len, e) < 0) {
			if (bad != NULL)
				*bad = offset + done;
			return -1;
		}
		part = len < n - done ? (size_t)len : n - done;
		if (from != NULL)
			memcpy(to + done, from, part);
		else
			memset(to + done, 0, part);
		done += part;
	}
	return (ssize_t)done;
}

/* --- holes --------------------------------------------------------------- */

/*
 * Where the piece at hand ends, together with the rest of its run: one chunk
 * repeated a million times is one step.
 */
static uint64_t
end_of_run(const struct extent *x)
{
	return x->offset + x->len * (x->repeat + 1);
}

/*
 * The first offset from `offset` on that is hole, or data; f->size when the
 * file ends before.  1 when `offset` is not inside the file.
 */
static int
seek_kind(struct file_reader *f, uint64_t offset, bool hole, uint64_t *out,
	  struct err *e)
{
	if (offset >= f->size)
		return 1;
	while (offset < f->size) {
		if (go_to(f, offset, e) < 0)
			return -1;
		if (f->at.hole == hole)
			break;
		offset = end_of_run(&f->at);
	}
	*out = offset;
	return 0;
}

int
file_seek_data(struct file_reader *f, uint64_t offset, uint64_t *out,
	       struct err *e)
{
	uint64_t found;
	int rc = seek_kind(f, offset, false, &found, e);

	if (rc != 0)
		return rc;
	if (found >= f->size)
		return 1;
	*out = found;
	return 0;
}

int
file_seek_hole(struct file_reader *f, uint64_t offset, uint64_t *out,
	       struct err *e)
{
	/* Every file ends in a hole, behind its last byte. */
	return seek_kind(f, offset, true, out, e);
}
