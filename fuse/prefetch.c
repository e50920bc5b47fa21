/*
 * prefetch.c
 *
 * Guesses wait in the queue of a pool with as many threads as decode at once;
 * a long stretch of a file is cut into units, so that they share the decoding.
 *
 * What is stored begins at a page and ends at one or with the file: the rest
 * of a page that is stored in part would be read again.  The kernel takes only
 * what it knows by name; a listing's names are known some moments after the
 * answer was sent, so the first "not known" is waited for a little.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/prefetch.h"

#include "base/block.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/time.h"
#include "fuse/counts.h"
#include "fuse/inode.h"
#include "fuse/pattern.h"
#include "fuse/stored.h"
#include "src/engine/reader.h"
#include "src/engine/view.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#define THREADS_MAX 8 /* each holds up to a frame, beyond the cache */

#define QUEUE   32
#define UNIT    ((uint64_t)1 << 20)
#define PAGE    4096
#define RETRIES 3
#define RETRY_NS 100000

/* Pieces of a chunk from here on are stored as they are; the rest is copied. */
#define IN_PLACE ((uint64_t)64 << 10)
#define COPIED   ((uint64_t)128 << 10)
#define LARGE_CHUNK ((uint64_t)128 << 10)

/* So many times what was asked for is worth a push of its own. */
#define PIECE_GAIN 4

struct prefetch {
	struct fs *fs;
	struct fuse_session *session;
	struct pattern *pattern;
	struct pool *pool;
	atomic_bool stop;
};

struct task {
	struct prefetch *prefetch;
	struct guess guess;
};

/* --- storing -------------------------------------------------------------- */

/* 0, or a negative errno. */
static int
store(struct prefetch *p, uint64_t ino, uint64_t at, void *data, size_t len)
{
	const struct timespec pause = { .tv_nsec = RETRY_NS };
	struct fuse_bufvec v = FUSE_BUFVEC_INIT(len);
	int rc, tries;

	v.buf[0].mem = data;
	for (tries = 0; tries < RETRIES; tries++) {
		if (atomic_load(&p->stop))
			return -ECANCELED;
		rc = fuse_lowlevel_notify_store(p->session,
						stored_node(p->fs, ino), (off_t)at,
						&v, FUSE_BUF_NO_SPLICE);
		if (rc == 0) {
			counts_request(&p->fs->counts, COUNTS_PUSH);
			counts_bytes(&p->fs->counts, COUNTS_PUSH, len);
		}
		if (rc != -ENOENT)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return rc;
}

/*
 * Store what one chunk has of at..to, without a copy: whole pages, or all to
 * the end of the file.  The count of bytes stored; 0: too few, or a hole;
 * -1: no use to go on.
 */
static int64_t
push_in_place(struct prefetch *p, struct file_reader *r, const struct node *n,
	      uint64_t at, uint64_t to)
{
	const uint8_t *data;
	uint64_t len;

	if (at % PAGE != 0)
		return 0;
	if (file_peek(r, at, &data, &len, NULL) <= 0)
		return -1;
	if (data == NULL || len < IN_PLACE)
		return 0;
	if (len > to - at)
		len = to - at;
	if (at + len < n->entry.size)
		len -= len % PAGE;
	/* The call takes what it does not change. */
	if (store(p, n->ino, at, (void *)(uintptr_t)data, (size_t)len) != 0)
		return -1;
	return (int64_t)len;
}

/* The same out of several chunks. */
static bool
push_copy(struct prefetch *p, struct file_reader *r, const struct node *n,
	  uint64_t at, size_t len)
{
	void *data = block_get(len);
	bool ok;

	if (data == NULL)
		return false;
	ok = file_read(r, at, data, len, NULL, NULL) == (ssize_t)len &&
	     store(p, n->ino, at, data, len) == 0;
	block_free(data, len);
	return ok;
}

/* Where chunks are large, only up to the first whole page of the next. */
static uint64_t
copied_at_once(const struct file_reader *r, uint64_t at, uint64_t to)
{
	uint64_t len = COPIED;
	uint64_t end = r->at.offset + r->at.len;

	if (r->at.len >= LARGE_CHUNK && end > at && end - at < IN_PLACE)
		len = (end - at + PAGE) / PAGE * PAGE;
	return len < to - at ? len : to - at;
}

/*
 * Read from..to and store it.  What cannot be read is told when somebody asks
 * for it.  False: no use to go on.
 */
static bool
push(struct prefetch *p, struct view_gen *g, const struct node *n,
     uint64_t from, uint64_t to)
{
	struct file_reader r;
	uint64_t at = from;
	bool ok = true;

	if (file_reader_init(&r, g->reader, &n->entry.content, n->entry.size,
			     NULL) < 0)
		return false;
	while (ok && at < to) {
		int64_t len = push_in_place(p, &r, n, at, to);

		if (len == 0) {
			len = (int64_t)copied_at_once(&r, at, to);
			ok = push_copy(p, &r, n, at, (size_t)len);
		}
		if (len < 0)
			ok = false;
		else
			at += (uint64_t)len;
	}
	file_reader_clear(&r);
	return ok;
}

/* --- small files ---------------------------------------------------------- */

struct files_push {
	struct prefetch *prefetch;
	struct view_gen *gen;
	size_t left;
	uint64_t last;
};

/* A view_fn. */
static int
push_file(void *ctx, const struct node *n, uint64_t position, struct err *e)
{
	const struct entry *en = &n->entry;
	struct files_push *w = ctx;

	(void)position;
	(void)e;
	if (en->type != ENTRY_FILE || en->size == 0 ||
	    en->size > PATTERN_SMALL || (en->flags & ENTRY_UNREADABLE) != 0)
		return 0;
	if (en->size > w->left ||
	    !push(w->prefetch, w->gen, n, 0, en->size))
		return 1;
	w->left -= (size_t)en->size;
	w->last = n->ordinal;
	return 0;
}

/* The position behind the inode in its directory. */
static int
position_after(struct view_gen *g, const struct guess *guess, uint64_t *out)
{
	uint64_t base = (uint64_t)g->number << INO_GENERATION_SHIFT;
	struct node n;

	*out = 0;
	if (guess->after == 0)
		return 0;
	if (view_inode(g, base | guess->after, &n, NULL) != 0)
		return -1;
	*out = n.hit.position + 1;
	node_clear(&n);
	return 0;
}

static void
push_files(struct prefetch *p, const struct guess *guess)
{
	uint64_t ino = (uint64_t)guess->generation << INO_GENERATION_SHIFT |
		       guess->dir;
	struct files_push w = { .prefetch = p, .left = guess->bytes };
	struct inode *dir;
	uint64_t start;

	if (inodes_get(p->fs->inodes, ino, &dir, NULL) != 0)
		goto out;
	w.gen = dir->gen;
	if (dir->node.entry.type == ENTRY_DIR &&
	    position_after(dir->gen, guess, &start) == 0)
		(void)view_list(dir->gen, &dir->node, start, push_file, &w,
				NULL);
	inodes_put(p->fs->inodes, dir);
out:
	pattern_pushed(p->pattern, guess, w.last);
}

/* --- large files ---------------------------------------------------------- */

static void
push_bytes(struct prefetch *p, const struct guess *guess)
{
	struct inode *i;

	if (inodes_get(p->fs->inodes, guess->ino, &i, NULL) != 0)
		return;
	(void)push(p, i->gen, &i->node, guess->from, guess->to);
	inodes_put(p->fs->inodes, i);
}

/* --- tasks ---------------------------------------------------------------- */

static void
run(void *arg)
{
	struct task *t = arg;

	if (t->guess.kind == GUESS_FILES)
		push_files(t->prefetch, &t->guess);
	else if (!atomic_load(&t->prefetch->stop))
		push_bytes(t->prefetch, &t->guess);
	mem_free(t);
}

static bool
submit(struct prefetch *p, const struct guess *guess)
{
	struct task *t = mem_alloc(sizeof(*t));

	if (t == NULL)
		return false;
	t->prefetch = p;
	t->guess = *guess;
	if (pool_try_submit(p->pool, run, t))
		return true;
	mem_free(t);
	return false;
}

static void
act_on(struct prefetch *p, struct guess guess)
{
	uint64_t to = guess.to;

	switch (guess.kind) {
	case GUESS_NONE:
		break;
	case GUESS_FILES:
		if (!submit(p, &guess))
			pattern_pushed(p->pattern, &guess, 0);
		break;
	case GUESS_BYTES:
		for (; guess.from < to; guess.from = guess.to) {
			guess.to = guess.from / UNIT * UNIT + UNIT;
			if (guess.to > to)
				guess.to = to;
			if (!submit(p, &guess))
				break;
		}
		break;
	}
}

static void
after_large(struct prefetch *p, const struct inode *i, uint64_t from,
	    uint64_t len, const struct extent *last)
{
	uint64_t size = i->node.entry.size;
	struct guess g =
		pattern_read_large(p->pattern, i->ino, size, from, len);

	if (g.kind == GUESS_NONE && len < PATTERN_READ_AHEAD && !last->hole &&
	    last->len >= PIECE_GAIN * len)
		g = pattern_read_piece(p->pattern, i->ino, size, last->offset,
				       last->len);
	act_on(p, g);
}

void
prefetch_after_read(struct prefetch *p, const struct inode *i, uint64_t from,
		    uint64_t len, const struct extent *last)
{
	const struct node *n = &i->node;

	if (p == NULL || atomic_load(&p->stop))
		return;
	if (n->entry.size > PATTERN_SMALL)
		after_large(p, i, from, len, last);
	else if (n->parent_ordinal != 0 && from == 0)
		act_on(p, pattern_read_small(p->pattern, i->gen->number,
					     n->parent_ordinal, n->ordinal,
					     time_monotonic_ns()));
}

void
prefetch_after_list(struct prefetch *p, const struct inode *i)
{
	if (p != NULL && !atomic_load(&p->stop))
		act_on(p, pattern_listed(p->pattern, i->gen->number,
					 i->node.ordinal,
					 time_monotonic_ns()));
}

/* --- beginning and end ---------------------------------------------------- */

/* One waits for the disk while the others decode. */
static size_t
threads(void)
{
	size_t n = pool_cpus() + 1;

	return n < THREADS_MAX ? n : THREADS_MAX;
}

int
prefetch_start(struct fs *fs, struct fuse_session *se, struct prefetch **out,
	       struct err *e)
{
	struct prefetch *p = mem_zalloc(sizeof(*p));

	if (p == NULL)
		return err_nomem(e);
	p->fs = fs;
	p->session = se;
	if (pattern_new(&p->pattern, e) < 0 ||
	    pool_new(threads(), QUEUE, &p->pool, e) < 0) {
		pattern_free(p->pattern);
		mem_free(p);
		return -1;
	}
	*out = p;
	return 0;
}

void
prefetch_stop(struct prefetch *p)
{
	if (p == NULL)
		return;
	atomic_store(&p->stop, true);
	pool_drain(p->pool);
}

void
prefetch_free(struct prefetch *p)
{
	if (p == NULL)
		return;
	atomic_store(&p->stop, true);
	pool_free(p->pool);
	pattern_free(p->pattern);
	mem_free(p);
}
