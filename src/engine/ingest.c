/*
 * How a file is read.
 *
 * Small files are opened some at a time, and the disk is asked for all of them
 * before the first is read.  Each is read whole into its batch's piece,
 * between two stats of the open descriptor; if they differ it is read again,
 * up to TRIES times, and then stored as torn.  A larger file goes out in
 * pieces as it is read, so what has gone cannot be taken back: if the stats
 * around it differ, it is torn at once.
 *
 * Holes are what SEEK_DATA says.  The count of blocks proves nothing: blocks
 * can be reserved behind the end, and a file of less than a block is all hole
 * or all data.  Asking costs about a microsecond a file (2 % of a first
 * backup), so of a small file it is asked only if it has zeros where a hole
 * could be.  Space that is reserved and was never written counts as data by
 * then: having been read, it is in the page cache.
 *
 * A file with declared ranges is put together from its base (patch.h), if after
 * its opening the promise still holds; else it is read whole, like others.  It
 * needs no syncing, however young: its writer answers for what was written.
 *
 * Fixed chunks are cut where their grid says, and put four at a time, as they
 * are read one by one later.
 *
 * Young files: a store through a memory mapping reaches mtime only when the
 * page is written out, so a file whose ctime is younger than YOUNG_S may be
 * changing unseen.  (On tmpfs such a store never moves the times: nothing
 * but reading can see it.)  It is fdatasync'ed before it is read; from the
 * YOUNG_SYNCS'th such file on, one syncfs of its file system stands for all
 * of them, and what is younger than that call is stored as racy
 * (fdatasync costs about 180 microseconds a file).  In a snapshot nothing is
 * young: whatever is stored through a mapping now does not reach it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/ingest.h"

#include "base/block.h"
#include "base/mem.h"
#include "base/src.h"
#include "src/engine/claimed.h"
#include "src/engine/feed.h"
#include "src/engine/gather.h"
#include "src/engine/patch.h"
#include "store/repository.h"
#include "store/store.h"
#include "store/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define TRIES       3
#define YOUNG_S     60
#define YOUNG_SYNCS 64

/* A small file that grew under our hands is read up to here. */
#define GROWN_MAX (16u << 20)

/* No file system has smaller blocks. */
#define SECTOR 512

static struct ts
ts_of(const struct statx_timestamp *t)
{
	return (struct ts){ .sec = t->tv_sec, .nsec = t->tv_nsec };
}

static bool
same_file(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && a->stx_size == b->stx_size &&
	       a->stx_dev_major == b->stx_dev_major &&
	       a->stx_dev_minor == b->stx_dev_minor &&
	       ts_cmp(ts_of(&a->stx_mtime), ts_of(&b->stx_mtime)) == 0 &&
	       ts_cmp(ts_of(&a->stx_ctime), ts_of(&b->stx_ctime)) == 0;
}

static const struct id_keys *
keys_of(const struct backup *b)
{
	return &store_repository(b->store)->keys;
}

/* --- outcomes ----------------------------------------------------------------- */

static int
note_error(struct file_result *fr, const char *text, struct err *e)
{
	if (fr->item->error != NULL)
		return 0;
	fr->item->error = mem_strdup(text);
	if (fr->item->error == NULL)
		return err_nomem(e);
	fr->item->failed = true;
	return 0;
}

/* Only metadata can be kept: as stat said. */
static int
unreadable(struct file_result *fr, struct err *why, struct err *e)
{
	if (why->kind != ERR_SOURCE) {
		err_move(e, why);
		return -1;
	}
	memset(&fr->meta, 0, sizeof(fr->meta));
	gather_stat(&fr->item->st, fr->item->fs, &fr->meta);
	fr->meta.flags |= ENTRY_UNREADABLE;
	fr->meta.size = fr->item->st.stx_size;
	fr->cuts = 0;
	return note_error(fr, why->text, e);
}

/* --- young files -------------------------------------------------------------- */

/*
 * One syncfs per file system; *when is the time of that call.  One that
 * fails stands for nobody.
 */
static int
sync_young(struct backup *b, int fd, uint32_t fs, struct ts *when,
	   struct err *e)
{
	struct fs_seen *seen;
	int rc = 0;

	pthread_mutex_lock(&b->fs.lock);
	seen = &b->fs.fs[fs];
	if (seen->synced.sec == 0) {
		seen->synced = time_now_coarse();
		rc = src_syncfs(fd, e);
	}
	*when = seen->synced;
	if (rc < 0)
		seen->synced = (struct ts){ 0 };
	pthread_mutex_unlock(&b->fs.lock);
	return rc;
}

/*
 * Bring what was stored through mappings into the file's times.  *racy: it
 * is younger than the call that stood for it, or that call has failed.  Then
 * it is told, and what can be read is backed up all the same.
 */
static int
settle(struct backup *b, struct file_result *fr, int fd,
       const struct statx *st, bool *racy, struct err *e)
{
	/* What moves mtime moves ctime too; mtime anybody can set. */
	struct ts youngest = ts_of(&st->stx_ctime);
	struct ts now = time_now_coarse(), when;
	struct err why = { 0 };

	*racy = false;
	/* A time that is yet to come is young, too. */
	if (now.sec - youngest.sec >= YOUNG_S)
		return 0;
	if (fr->item->claim != NULL && fr->item->claim->partial) {
		*racy = true;
		return 0;
	}
	if (atomic_fetch_add(&b->young, 1) < YOUNG_SYNCS) {
		if (src_datasync(fd, &why) == 0)
			return 0;
	} else if (sync_young(b, fd, fr->item->fs, &when, &why) == 0) {
		*racy = ts_cmp(youngest, when) >= 0;
		return 0;
	}
	*racy = true;
	if (why.kind == ERR_SOURCE)
		return note_error(fr, why.text, e);
	err_move(e, &why);
	return -1;
}

/* --- opening and closing ---------------------------------------------------- */

struct reading {
	int fd;
	struct statx before;
	struct ts start;
	bool racy;
	bool still; /* of a snapshot: nobody writes to it */
};

/* Is it read from a snapshot? */
static bool
is_still(const struct backup *b, const struct job *j, const struct item *it)
{
	const struct item_claim *ic = it->claim;

	if (ic == NULL || ic->claim.from == NULL)
		return j->dir->standin != NULL;
	return standin_above(claimed_standins(b, ic), ic->claim.from) != NULL;
}

/* Where its bytes are: mostly under its own name. */
static int
open_source(struct backup *b, const struct job *j, const struct item *it,
	    struct err *e)
{
	if (it->claim == NULL || it->claim->claim.from == NULL)
		return src_open(j->dir->fd, it->name, 0, e);
	return claimed_open_from(b, claimed_standins(b, it->claim),
				 &it->claim->claim, e);
}

/* 0 open, 1 done with (gone or unreadable), -1 failed. */
static int
open_file(struct backup *b, struct job *j, struct file_result *fr,
	  struct reading *r, struct err *e)
{
	struct err why = { 0 };

	r->still = is_still(b, j, fr->item);
	r->racy = false;
	r->fd = open_source(b, j, fr->item, &why);
	if (r->fd < 0) {
		if (why.saved_errno == ENOENT) {
			fr->gone = true;
			return 1;
		}
		return unreadable(fr, &why, e) < 0 ? -1 : 1;
	}
	if (src_stat(r->fd, "", &r->before, &why) < 0)
		goto bad;
	if (!S_ISREG(r->before.stx_mode)) {
		err_set(&why, ERR_SOURCE, "is no longer a regular file");
		goto bad;
	}
	if (!r->still &&
	    settle(b, fr, r->fd, &r->before, &r->racy, e) < 0) {
		src_close(r->fd);
		return -1;
	}
	return 0;
bad:
	src_close(r->fd);
	return unreadable(fr, &why, e) < 0 ? -1 : 1;
}

/* Metadata of the file just read, as of `st`. */
static int
gather_file(struct backup *b, struct file_result *fr, const struct reading *r,
	    const struct statx *st, struct err *e)
{
	/* What was written behind a snapshot's moment is not in it. */
	struct ts start = r->still ? b->instant : r->start;
	struct err why = { 0 };

	/* Counting and links must go by the same stat as the entry. */
	fr->item->st = *st;
	memset(&fr->meta, 0, sizeof(fr->meta));
	gather_stat(st, fr->item->fs, &fr->meta);
	if (r->racy || ts_cmp(ts_add_ns(fr->meta.ctime, b->tick_ns), start) > 0)
		fr->meta.flags |= ENTRY_RACY;
	fr->meta.inode_flags = src_inode_flags(r->fd) & GATHER_FLAGS_KEPT;
	if (fr->meta.inode_flags != 0)
		fr->meta.flags |= ENTRY_INODE_FLAGS;
	if (gather_xattrs(r->fd, NULL, writer_sink(b->writer),
			  &fr->xattr_bytes, &fr->meta, &why) == 0)
		return 0;
	if (why.kind != ERR_SOURCE) {
		err_move(e, &why);
		return -1;
	}
	return note_error(fr, why.text, e);
}

static int
torn(struct file_result *fr, struct err *e)
{
	struct item_claim *ic = fr->item->claim;

	fr->meta.flags |= ENTRY_TORN;
	if (ic != NULL && ic->claim.log_recovery)
		return 0; /* as its writer expects */
	fr->item->changed = true;
	if (ic != NULL)
		ic->torn = true;
	return note_error(fr, "changed while it was read", e);
}

/* --- cutting ------------------------------------------------------------------ */

static int
add_cut(struct piece *p, uint64_t len, bool hole, const struct id *id,
	struct err *e)
{
	struct cut *c;

	if (p->cuts == p->cut_cap) {
		size_t cap = p->cut_cap == 0 ? 16 : p->cut_cap * 2;

		c = mem_resize(p->cut, cap, sizeof(*c));
		if (c == NULL)
			return err_nomem(e);
		p->cut = c;
		p->cut_cap = cap;
	}
	c = &p->cut[p->cuts++];
	c->len = len;
	c->hole = hole;
	if (id != NULL)
		c->id = *id;
	return 0;
}

static const struct chunker *
chunker_for(struct backup *b, struct file_result *fr, uint64_t size)
{
	unsigned cls = config_class(b->config, size, fr->item->hint_valid,
				    fr->item->hint);

	fr->item->hint = (uint8_t)cls;
	return &b->chunker[cls];
}

/* The length of its fixed chunks. */
static uint32_t
fixed_for(struct backup *b, struct file_result *fr, uint64_t size)
{
	unsigned cls = config_fixed_class(b->config, size,
					  fr->item->hint_valid,
					  fr->item->hint);

	fr->item->hint = (uint8_t)cls;
	return b->config->fixed_table[cls].avg;
}

/* --- small files ---------------------------------------------------------------- */

static int
cut_all(struct backup *b, const struct chunker *c, struct piece *p, size_t from,
	struct err *e)
{
	struct id id;

	while (from < p->len) {
		size_t n = chunker_cut(c, p->data + from, p->len - from, true);

		/*
		 * `true` holds only for the last chunk, but a chunker with
		 * more than `max` bytes at hand never looks further.
		 */
		id_compute(keys_of(b), KIND_DATA, p->data + from, n, &id);
		if (add_cut(p, n, false, &id, e) < 0)
			return -1;
		from += n;
	}
	return 0;
}

static int
piece_room(struct piece *p, size_t n, struct err *e)
{
	uint8_t *grown;

	if (p->cap - p->len >= n)
		return 0;
	grown = block_get(p->len + n);
	if (grown == NULL)
		return err_nomem(e);
	memcpy(grown, p->data, p->len);
	block_free(p->data, p->cap);
	p->data = grown;
	p->cap = p->len + n;
	return 0;
}

/* Zeros where a hole could be: a sector, or what is left at the end. */
static bool
may_have_hole(const uint8_t *p, size_t len)
{
	size_t at, n;

	for (at = 0; at < len; at += n) {
		n = len - at < SECTOR ? len - at : SECTOR;
		if (p[at] == 0 && memcmp(p + at, p + at + 1, n - 1) == 0)
			return true;
	}
	return false;
}

/* Bytes that lie in the piece at or behind its end become its next. */
static int
take_stretch(struct backup *b, const struct chunker *c, struct piece *p,
	     const uint8_t *data, size_t n, struct err *e)
{
	size_t from = p->len;

	if (data != p->data + from)
		memmove(p->data + from, data, n);
	p->len += n;
	return cut_all(b, c, p, from, e);
}

/* The file's bytes up to `size`, with its holes. */
static int
read_small(struct backup *b, const struct chunker *c, struct reading *r,
	   struct piece *p, uint64_t size, uint64_t *tally, bool *shrunk,
	   struct err *e)
{
	uint64_t at, end, from = 0, to;
	const uint8_t *data;
	ssize_t got;
	int rc;

	if (piece_room(p, (size_t)size, e) < 0)
		return -1;
	data = p->data + p->len;
	got = src_read(r->fd, p->data + p->len, (size_t)size, 0, tally, e);
	if (got < 0)
		return -1;
	end = (uint64_t)got;
	*shrunk = end < size;
	if (!may_have_hole(data, (size_t)end))
		return take_stretch(b, c, p, data, (size_t)end, e);
	for (at = 0; at < end; at = to) {
		rc = src_next_data(r->fd, at, end, &from, &to, e);
		if (rc < 0)
			return -1;
		if (rc == 1)
			from = to = end;
		if (from > at && add_cut(p, from - at, true, NULL, e) < 0)
			return -1;
		if (to > from && take_stretch(b, c, p, data + from,
					      (size_t)(to - from), e) < 0)
			return -1;
	}
	return 0;
}

/* Read until two stats agree; 1: it never held still. */
static int
try_small(struct backup *b, struct file_result *fr, struct reading *r,
	  struct piece *p, struct statx *after, struct err *e)
{
	size_t len = p->len, cuts = p->cuts;
	bool shrunk;

	for (int i = 0; i < TRIES; i++) {
		uint64_t size = r->before.stx_size;

		p->len = len;
		p->cuts = cuts;
		if (i > 0 && settle(b, fr, r->fd, &r->before, &r->racy, e) < 0)
			return -1;
		r->start = time_now_coarse();
		if (size > GROWN_MAX)
			size = GROWN_MAX;
		if (read_small(b, chunker_for(b, fr, size), r, p, size,
			       &fr->read, &shrunk, e) < 0)
			return -1;
		if (src_stat(r->fd, "", after, e) < 0)
			return -1;
		if (!shrunk && size == r->before.stx_size &&
		    same_file(&r->before, after))
			return 0;
		r->before = *after;
	}
	return 1;
}

/* Read what was opened, and close it. */
static int
ingest_small(struct backup *b, struct file_result *fr, struct reading *r,
	     struct piece *p, struct err *e)
{
	size_t len = p->len, cuts = p->cuts;
	struct err why = { 0 };
	struct statx after;
	int rc;

	rc = try_small(b, fr, r, p, &after, &why);
	if (rc < 0) {
		/* A file that fails half-way has no content at all. */
		p->len = len;
		p->cuts = cuts;
		rc = unreadable(fr, &why, e);
		goto out;
	}
	fr->cuts = p->cuts - cuts;
	if (gather_file(b, fr, r, &after, e) < 0) {
		rc = -1;
		goto out;
	}
	rc = rc == 1 ? torn(fr, e) : 0;
out:
	src_close(r->fd);
	return rc;
}

/* --- batches -------------------------------------------------------------------- */

/*
 * Files of a batch are opened some at a time, and all of them asked for before
 * the first is read: the disk then has many to fetch, and the thread sleeps
 * once for all of them instead of once for each.
 */
struct group {
	struct reading r[INGEST_OPEN];
	bool open[INGEST_OPEN];
	size_t count;
};

static void
group_close(struct group *g, size_t from)
{
	for (size_t i = from; i < g->count; i++)
		if (g->open[i])
			src_close(g->r[i].fd);
}

static int
group_open(struct backup *b, struct job *j, size_t first, struct group *g,
	   struct err *e)
{
	size_t max = b->opens_ahead ? INGEST_OPEN : 1;

	for (g->count = 0; g->count < max && first + g->count < j->files;
	     g->count++) {
		struct reading *r = &g->r[g->count];
		int rc = open_file(b, j, &j->file[first + g->count], r, e);

		if (rc < 0) {
			group_close(g, 0);
			return -1;
		}
		g->open[g->count] = rc == 0;
		if (rc == 0 && max > 1 && r->before.stx_size > 0)
			src_will_read(r->fd, r->before.stx_size < SMALL_FILE ?
						     r->before.stx_size :
						     SMALL_FILE);
	}
	return 0;
}

static int
ingest_batch(struct backup *b, struct job *j, struct piece *p, struct err *e)
{
	struct group g;

	for (size_t first = 0; first < j->files; first += g.count) {
		if (group_open(b, j, first, &g, e) < 0)
			return -1;
		for (size_t i = 0; i < g.count; i++) {
			if (!g.open[i])
				continue;
			if (ingest_small(b, &j->file[first + i], &g.r[i], p,
					 e) < 0) {
				group_close(&g, i + 1);
				return -1;
			}
		}
	}
	return 0;
}

/* --- larger files -------------------------------------------------------------- */

struct stream {
	struct backup *b;
	struct job *job;
	struct file_result *fr;
	const struct chunker *chunker; /* NULL: fixed chunks */
	size_t max;          /* bytes of a chunk; of all but the ends if fixed */
	struct piece *piece; /* at hand */
	size_t start;        /* of the bytes not cut yet, in the piece */
	uint64_t at;         /* and in the file */
	bool large;
	bool shrunk;
	/* Fixed chunks that lie in the piece and are not put yet. */
	struct writer_chunk group[WRITER_GROUP_MAX];
	size_t grouped;
};

static size_t
stream_cap(const struct stream *s)
{
	return PIECE_LEN + s->max * (s->large ? 2 : 1);
}

static int
stream_group(struct stream *s, struct err *e)
{
	size_t n = s->grouped;

	s->grouped = 0;
	if (n == 0)
		return 0;
	return writer_put_group(s->b->writer, KIND_DATA, s->group, n, e);
}

/* Out with the piece; what is not cut yet goes into the next. */
static int
stream_turn(struct stream *s, struct err *e)
{
	struct feed *f = s->b->feed;
	struct piece *full = s->piece;
	size_t rest;

	if (stream_group(s, e) < 0)
		return -1;
	if (full != NULL && s->large) {
		memmove(full->data, full->data + s->start,
			full->len - s->start);
		full->len -= s->start;
		s->start = 0;
		return 0;
	}
	s->piece = feed_piece_new(f, s->job, stream_cap(s), e);
	if (s->piece == NULL) {
		if (full != NULL)
			feed_piece_drop(f, full);
		return -1;
	}
	if (full != NULL) {
		rest = full->len - s->start;
		memcpy(s->piece->data, full->data + s->start, rest);
		s->piece->len = rest;
		full->len = s->start;
		feed_piece_put(f, s->job, full);
	}
	s->start = 0;
	return 0;
}

static int
stream_hole(struct stream *s, uint64_t len, struct err *e)
{
	s->at += len;
	if (s->large)
		return filemap_add_hole(s->fr->map, len, e);
	s->fr->cuts++;
	return add_cut(s->piece, len, true, NULL, e);
}

static int
stream_chunk(struct stream *s, size_t n, struct err *e)
{
	const uint8_t *p = s->piece->data + s->start;
	struct id id;

	id_compute(keys_of(s->b), KIND_DATA, p, n, &id);
	s->start += n;
	s->at += n;
	if (!s->large) {
		s->fr->cuts++;
		return add_cut(s->piece, n, false, &id, e);
	}
	if (s->chunker == NULL) {
		s->group[s->grouped].id = id;
		s->group[s->grouped].p = p;
		s->group[s->grouped++].len = n;
		if (s->grouped == WRITER_GROUP_MAX && stream_group(s, e) < 0)
			return -1;
	} else if (writer_put(s->b->writer, KIND_DATA, &id, p, n, true, NULL,
			      e) < 0) {
		return -1;
	}
	return filemap_add_chunk(s->fr->map, &id, (uint32_t)n, e);
}

/* How long the next chunk is, of what is at hand. */
static size_t
next_cut(const struct stream *s, size_t left, bool last)
{
	size_t n;

	if (s->chunker != NULL)
		return chunker_cut(s->chunker, s->piece->data + s->start, left,
				   last);
	n = s->max - (size_t)(s->at % s->max);
	return n < left ? n : left;
}

/* Cut what is at hand; `last`: no more of this stretch follows. */
static int
stream_cut(struct stream *s, bool last, struct err *e)
{
	size_t left;

	while ((left = s->piece->len - s->start) > 0 &&
	       (last || left >= s->max))
		if (stream_chunk(s, next_cut(s, left, last), e) < 0)
			return -1;
	return 0;
}

/* A stretch of data, from..to, to its end or the file's. */
static int
stream_data(struct stream *s, int fd, uint64_t from, uint64_t to,
	    struct err *e)
{
	while (from < to && !s->shrunk) {
		struct piece *p;
		uint64_t room;
		ssize_t got;

		if (s->piece->cap - s->piece->len < PIECE_LEN / 2 &&
		    stream_turn(s, e) < 0)
			return -1;
		p = s->piece;
		room = p->cap - p->len;
		if (room > to - from)
			room = to - from;
		got = src_read(fd, p->data + p->len, (size_t)room, from,
			       &s->fr->read, e);
		if (got < 0)
			return -1;
		s->shrunk = (uint64_t)got < room;
		p->len += (size_t)got;
		from += (uint64_t)got;
		if (stream_cut(s, from == to || s->shrunk, e) < 0)
			return -1;
		if (feed_stopped(s->b->feed))
			return err_set(e, ERR_CANCELLED, "stopped");
	}
	return 0;
}

static int
stream_file(struct stream *s, struct reading *r, struct err *e)
{
	uint64_t size = r->before.stx_size, at = 0, from = 0, to = size;

	while (at < size && !s->shrunk) {
		int rc = src_next_data(r->fd, at, size, &from, &to, e);

		if (rc < 0)
			return -1;
		if (rc == 1)
			from = to = size;
		if (from > at && stream_hole(s, from - at, e) < 0)
			return -1;
		if (to > from && stream_data(s, r->fd, from, to, e) < 0)
			return -1;
		at = to;
	}
	return 0;
}

static int
open_map(struct backup *b, struct file_result *fr, struct err *e)
{
	if (fr->map != NULL)
		return 0;
	return filemap_builder_new(writer_sink(b->writer), &fr->map, e);
}

static int
stream_begin(struct stream *s, struct reading *r, struct err *e)
{
	struct backup *b = s->b;
	struct file_result *fr = s->fr;
	uint64_t size = r->before.stx_size;

	if (fr->item->fixed) {
		s->max = fixed_for(b, fr, size);
	} else {
		s->chunker = chunker_for(b, fr, size);
		s->max = s->chunker->max;
	}
	s->large = size >= LARGE_FILE || fr->item->fixed;
	fr->large = s->large;
	if (s->large) {
		if (open_map(b, fr, e) < 0)
			return -1;
		filemap_builder_start(fr->map,
				      fr->item->fixed ? MAP_FIXED : MAP_CDC,
				      fr->item->hint);
	}
	r->start = time_now_coarse();
	return stream_turn(s, e);
}

/* The whole file, as it is now. */
static int
ingest_whole(struct backup *b, struct job *j, struct reading *r, struct err *e)
{
	struct file_result *fr = &j->file[0];
	struct stream s = { .b = b, .job = j, .fr = fr };
	struct err why = { 0 };
	struct statx after;
	int rc = -1;

	if (stream_begin(&s, r, e) < 0)
		goto out;
	if (stream_file(&s, r, &why) < 0 || stream_group(&s, &why) < 0 ||
	    src_stat(r->fd, "", &after, &why) < 0) {
		/* What was read so far is of no use. */
		fr->large = false;
		rc = unreadable(fr, &why, e);
		goto out;
	}
	if (!s.large) {
		feed_piece_put(b->feed, j, s.piece);
		s.piece = NULL;
	}
	if (s.large &&
	    filemap_finish(fr->map, &fr->content, &fr->size, e) < 0)
		goto out;
	if (gather_file(b, fr, r, &after, e) < 0)
		goto out;
	rc = s.shrunk || !same_file(&r->before, &after) ? torn(fr, e) : 0;
out:
	if (s.piece != NULL)
		feed_piece_drop(b->feed, s.piece);
	return rc;
}

/* --- declared ranges ------------------------------------------------------------ */

/* It is read whole after all.  Returns 1. */
static int
whole_instead(struct file_result *fr, enum plan_reason reason, const char *why)
{
	struct item_claim *ic = fr->item->claim;

	fr->item->reason = (uint8_t)reason;
	ic->partial = false;
	ic->proof = why;
	return 1;
}

/* As patch_file wants them. */
static int
room_for_one(struct claim_range **range, size_t n, struct err *e)
{
	struct claim_range *grown = mem_resize(*range, n + 1, sizeof(*grown));

	if (grown == NULL) {
		mem_free(*range);
		*range = NULL;
		return err_nomem(e);
	}
	*range = grown;
	return 0;
}

/* The ranges, as the file is now.  1: they are no good, it is read whole. */
static int
ask_ranges(struct backup *b, struct file_result *fr, const struct reading *r,
	   struct claim_range **range, size_t *n, struct err *e)
{
	struct item_claim *ic = fr->item->claim;
	struct plan_input in = { .type = GEN_INCREMENTAL,
				 .now = &r->before,
				 .fs = fr->item->fs,
				 .base = &ic->base };
	struct err why = { 0 };
	const char *text = NULL;
	int rc;

	if (!plan_same_identity(&in))
		return whole_instead(fr, PLAN_IDENTITY, NULL);
	rc = b->claims->ranges(b->claims, &ic->claim, r->fd, &r->before,
			       &ic->base, range, n, &text, &why);
	if (rc == 0)
		return room_for_one(range, *n, e);
	if (rc > 0)
		return whole_instead(fr, PLAN_NO_PROOF, text);
	if (why.kind != ERR_SOURCE) {
		err_move(e, &why);
		return -1;
	}
	snprintf(ic->fault, sizeof(ic->fault), "%s", why.text);
	return whole_instead(fr, PLAN_NO_PROOF, ic->fault);
}

static int
patch_ended(struct file_result *fr, enum patch_end end)
{
	switch (end) {
	case PATCH_DONE:
		break;
	case PATCH_LOST:
		return whole_instead(fr, PLAN_NO_BASE, NULL);
	case PATCH_SHRUNK:
		return whole_instead(fr, PLAN_SIZE,
				     "it shrank while it was read");
	case PATCH_ORDER:
		return whole_instead(fr, PLAN_NO_PROOF,
				     "its ranges are not in order");
	}
	return 0;
}

/* What is left to do when the map is there. */
static int
end_partial(struct backup *b, struct file_result *fr, struct reading *r,
	    struct err *e)
{
	struct err why = { 0 };
	struct statx after;

	if (src_stat(r->fd, "", &after, &why) < 0)
		return unreadable(fr, &why, e);
	if (filemap_finish(fr->map, &fr->content, &fr->size, e) < 0)
		return -1;
	fr->large = true;
	if (gather_file(b, fr, r, &after, e) < 0)
		return -1;
	return same_file(&r->before, &after) ? 0 : torn(fr, e);
}

/* 1: it must be read whole after all. */
static int
ingest_partial(struct backup *b, struct file_result *fr, struct reading *r,
	       struct err *e)
{
	struct patch_input in = { .fd = r->fd,
				  .size = r->before.stx_size,
				  .base = &fr->item->claim->base,
				  .fixed = fr->item->claim->claim.fixed };
	struct claim_range *range = NULL;
	enum patch_end end = PATCH_DONE;
	struct err why = { 0 };
	int rc;

	rc = ask_ranges(b, fr, r, &range, &in.ranges, e);
	if (rc != 0)
		return rc;
	in.range = range;
	fr->item->claim->ranges = in.ranges;
	r->start = time_now_coarse();
	rc = open_map(b, fr, e);
	if (rc == 0 && patch_file(b, &in, fr->map, &fr->read, &end, &why) < 0)
		rc = unreadable(fr, &why, e);
	else if (rc == 0)
		rc = patch_ended(fr, end);
	if (rc == 0 && (fr->meta.flags & ENTRY_UNREADABLE) == 0)
		rc = end_partial(b, fr, r, e);
	mem_free(range);
	return rc;
}

static int
ingest_stream(struct backup *b, struct job *j, struct err *e)
{
	struct file_result *fr = &j->file[0];
	const struct item_claim *ic = fr->item->claim;
	struct reading r;
	int rc;

	rc = open_file(b, j, fr, &r, e);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	rc = ic != NULL && ic->partial ? ingest_partial(b, fr, &r, e) : 1;
	if (rc == 1)
		rc = ingest_whole(b, j, &r, e);
	src_close(r.fd);
	return rc;
}

int
ingest_run(struct backup *b, struct job *j, struct err *e)
{
	struct piece *p;

	if (j->stream)
		return ingest_stream(b, j, e);
	p = feed_piece_new(b->feed, j, j->bytes > 0 ? (size_t)j->bytes : 1, e);
	if (p == NULL)
		return -1;
	if (ingest_batch(b, j, p, e) < 0) {
		feed_piece_drop(b->feed, p);
		return -1;
	}
	feed_piece_put(b->feed, j, p);
	return 0;
}
