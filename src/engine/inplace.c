/*
 * One buffer of what is there, as large as the largest piece so far; chunks
 * have a limit, so this has one.  Reading what is there costs what reading a
 * file costs; fetching costs decoding, and is done only where the ids differ.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/inplace.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/sys.h"
#include "src/engine/filemap.h"
#include "src/engine/reader.h"
#include "src/engine/target.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#define ZERO_LEN ((size_t)64 << 10)

struct work {
	struct inplace *w;
	uint64_t there; /* length of the file as it was */
	uint8_t *now;   /* what is there */
	size_t now_cap;
};

static int
check_stopped(const struct inplace *w, struct err *e)
{
	if (w->stopped != NULL && w->stopped(w->ctx))
		return err_set(e, ERR_CANCELLED, "stopped");
	return 0;
}

/* Exactly n bytes. */
static int
read_at(int fd, uint8_t *p, size_t len, uint64_t at, struct err *e)
{
	ssize_t n;

	for (; len > 0; p += n, at += (uint64_t)n, len -= (size_t)n) {
		n = sys_target->pread(fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n == 0)
			errno = ESTALE; /* somebody has cut it meanwhile */
		if (n <= 0)
			return err_sys(e, "read it at offset %" PRIu64, at);
	}
	return 0;
}

static int
write_at(struct inplace *w, const uint8_t *p, size_t len, uint64_t at,
	 struct err *e)
{
	return target_write(w->fd, p, len, at, &w->written, e);
}

static int
set_length(const struct inplace *w, uint64_t len, struct err *e)
{
	int rc;

	do
		rc = sys_target->ftruncate(w->fd, (off_t)len);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? err_sys(e, "set its length") : 0;
}

/* --- data ------------------------------------------------------------------- */

/* Read what is there of these bytes into k->now; how many there are. */
static int
read_now(struct work *k, uint64_t at, uint64_t len, size_t *out, struct err *e)
{
	uint64_t n = at < k->there ? k->there - at : 0;
	uint8_t *more;

	if (n > len)
		n = len;
	if (n > k->now_cap) {
		more = mem_resize(k->now, (size_t)n, 1);
		if (more == NULL)
			return err_nomem(e);
		k->now = more;
		k->now_cap = (size_t)n;
	}
	if (read_at(k->w->fd, k->now, (size_t)n, at, e) < 0)
		return -1;
	*out = (size_t)n;
	return 0;
}

/*
 * Write the blocks of p[0..len), which belongs at `at`, that are not what is
 * in k->now; of that there are `n` bytes.  Neighbours are written together.
 */
static int
write_different(struct work *k, const uint8_t *p, size_t len, size_t n,
		uint64_t at, struct err *e)
{
	size_t from = 0; /* of the blocks to write */
	size_t i = 0;
	size_t step;
	bool same;

	while (i < len) {
		/* Blocks are those of the file. */
		step = INPLACE_BLOCK - (size_t)((at + i) % INPLACE_BLOCK);
		if (step > len - i)
			step = len - i;
		same = i + step <= n && memcmp(p + i, k->now + i, step) == 0;
		if (same) {
			if (write_at(k->w, p + from, i - from, at + from, e) <
			    0)
				return -1;
			k->w->same += step;
			from = i + step;
		}
		i += step;
	}
	return write_at(k->w, p + from, len - from, at + from, e);
}

static int
put_data(struct work *k, const struct extent *x, struct err *e)
{
	struct inplace *w = k->w;
	struct chunk chunk = { 0 };
	struct id id;
	size_t n;
	int rc;

	if (read_now(k, x->offset, x->len, &n, e) < 0)
		return -1;
	if (w->keys != NULL && n == x->len) {
		id_compute(w->keys, KIND_DATA, k->now, n, &id);
		if (id_equal(&id, &x->id)) {
			w->same += n;
			return 0;
		}
	}
	rc = chunk_get(w->reader, KIND_DATA, &x->id, &chunk, e);
	if (rc == 0 && chunk.len != x->len)
		rc = err_set(e, ERR_CORRUPT,
			     "a chunk has another length than the file map "
			     "says");
	if (rc < 0) {
		w->damage = true;
	} else {
		w->fetched += chunk.len;
		rc = write_different(k, chunk.data, chunk.len, n, x->offset, e);
	}
	chunk_release(w->reader, &chunk);
	return rc;
}

/* --- holes ------------------------------------------------------------------ */

/* Where data begins at or behind `at`; UINT64_MAX when it does not. */
static uint64_t
data_from(int fd, uint64_t at)
{
	off_t data = sys_target->lseek(fd, (off_t)at, SEEK_DATA);

	if (data >= 0)
		return (uint64_t)data;
	return errno == ENXIO ? UINT64_MAX : at; /* does not know: look */
}

/* Zeros where the file system makes no holes. */
static int
write_zeros(struct work *k, uint64_t at, uint64_t len, struct err *e)
{
	uint8_t *zero;
	size_t step;
	size_t n;
	int rc = 0;

	zero = mem_zalloc(ZERO_LEN);
	if (zero == NULL)
		return err_nomem(e);
	for (; rc == 0 && len > 0; at += step, len -= step) {
		step = len < ZERO_LEN ? (size_t)len : ZERO_LEN;
		rc = check_stopped(k->w, e);
		if (rc == 0)
			rc = read_now(k, at, step, &n, e);
		if (rc == 0)
			rc = write_different(k, zero, step, n, at, e);
	}
	mem_free(zero);
	return rc;
}

static int
put_hole(struct work *k, uint64_t at, uint64_t len, struct err *e)
{
	struct inplace *w = k->w;
	uint64_t all = len;
	int rc;

	if (at >= k->there)
		return 0; /* the length makes it */
	if (len > k->there - at)
		len = k->there - at;
	if (data_from(w->fd, at) >= at + len) {
		w->same += len;
		return 0;
	}
	/* Beyond the end, too: else the block with the end in it stays. */
	do
		rc = sys_target->fallocate(w->fd,
					   FALLOC_FL_PUNCH_HOLE |
						   FALLOC_FL_KEEP_SIZE,
					   (off_t)at, (off_t)all);
	while (rc < 0 && errno == EINTR);
	if (rc == 0) {
		w->punched += len;
		return 0;
	}
	if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
		return err_sys(e, "make a hole at offset %" PRIu64, at);
	return write_zeros(k, at, len, e);
}

/* --- all of it -------------------------------------------------------------- */

static int
length_now(const struct inplace *w, uint64_t *out, struct err *e)
{
	struct stat st;

	if (sys_target->fstat(w->fd, &st) < 0)
		return err_sys(e, "look at it");
	*out = (uint64_t)st.st_size;
	return 0;
}

static int
put_pieces(struct work *k, struct filemap_iter *it, struct err *e)
{
	struct extent x;
	int rc;

	while ((rc = filemap_iter_next(it, &x, e)) > 0) {
		if (check_stopped(k->w, e) < 0)
			return -1;
		if (x.hole)
			rc = put_hole(k, x.offset, x.len, e);
		else
			rc = put_data(k, &x, e);
		if (rc < 0)
			return -1;
	}
	if (rc < 0)
		k->w->damage = true;
	return rc;
}

int
inplace_rewrite(struct inplace *w, struct err *e)
{
	struct work k = { .w = w };
	struct filemap_iter it;
	int rc;

	if (length_now(w, &k.there, e) < 0)
		return -1;
	if (filemap_iter_init(&it, w->reader, &w->en->content, w->en->size, e) <
	    0) {
		w->damage = true;
		return -1;
	}
	rc = put_pieces(&k, &it, e);
	filemap_iter_clear(&it);
	if (rc == 0 && k.there != w->en->size)
		rc = set_length(w, w->en->size, e);
	mem_free(k.now);
	return rc;
}

/* One piece of a file to another place; NULL: zeros. */
static int
put_piece(struct work *k, const uint8_t *p, uint64_t len, uint64_t to,
	  struct err *e)
{
	size_t n;

	if (p == NULL)
		return put_hole(k, to, len, e);
	if (read_now(k, to, len, &n, e) < 0)
		return -1;
	return write_different(k, p, (size_t)len, n, to, e);
}

int
inplace_copy(struct inplace *w, uint64_t from, uint64_t len, uint64_t to,
	     struct err *e)
{
	struct work k = { .w = w };
	struct file_reader f;
	const uint8_t *p;
	uint64_t piece;
	int rc = 1;

	if (from > w->en->size || len > w->en->size - from)
		return err_set(e, ERR_USAGE,
			       "%" PRIu64 " bytes at offset %" PRIu64
			       " are wanted of a file of %" PRIu64,
			       len, from, w->en->size);
	if (length_now(w, &k.there, e) < 0)
		return -1;
	if (file_reader_init(&f, w->reader, &w->en->content, w->en->size, e) <
	    0) {
		w->damage = true;
		return -1;
	}
	while (len > 0 && (rc = check_stopped(w, e)) == 0) {
		rc = file_peek(&f, from, &p, &piece, e);
		if (rc <= 0) {
			w->damage = true;
			rc = rc < 0 ? -1 : err_set(e, ERR_CORRUPT,
						   "it ends too early");
			break;
		}
		if (piece > len)
			piece = len;
		rc = put_piece(&k, p, piece, to, e);
		if (rc < 0)
			break;
		from += piece;
		to += piece;
		len -= piece;
	}
	file_reader_clear(&f);
	/* A hole at the end. */
	if (rc >= 0 && length_now(w, &k.there, e) < 0)
		rc = -1;
	if (rc >= 0 && to > k.there)
		rc = set_length(w, to, e);
	mem_free(k.now);
	return rc < 0 ? -1 : 0;
}
