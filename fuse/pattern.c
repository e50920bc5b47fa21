/*
 * pattern.c
 *
 * Directories.  Three reads of small files in rising order make a directory,
 * and for a second its generation, hot.  The files that follow the last one
 * read are guessed; a read beyond what was guessed doubles the window.  While
 * a generation is hot, the first files of every directory that is listed are
 * guessed at once, because whoever reads trees in order lists a directory
 * and then reads it.  A directory that is read in order once more, after the
 * kernel has forgotten it, begins anew.
 *
 * Large files.  The second read that goes on where one has stopped makes a
 * stream.  What is pushed is not read.  So a read in what was guessed says that
 * the reader is as fast as the pushing, and the guess is made to reach a whole
 * window ahead of it again; a slower one is heard of when it has used all, and
 * twice as much is guessed.
 *
 * Both are remembered in small tables; the entry used longest ago goes.
 *
 * Pieces.  Which pieces were read at random lately is remembered by a few bits
 * of a hash each, in a table where a newer one takes an older one's place.  A
 * piece that is read again is guessed, and forgotten: a mistaken one costs a
 * copy.  A file much larger than what the table can tell of is left alone.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/pattern.h"

#include "base/err.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdbool.h>

#define DIRS      16
#define STREAMS   16
#define NEIGHBOUR 64 /* further apart, reads are in order by chance */
#define IN_ORDER  3                     /* reads that make a habit */
#define HOT_NS    UINT64_C(1000000000)  /* how long it is believed in */
#define REORDERED ((uint64_t)1 << 20)   /* read-ahead comes out of order */
#define PAGE      ((uint64_t)4096)
#define PIECES    16384 /* remembered: 4 GiB in pieces of 256 KiB */

struct dir_habit {
	uint32_t generation; /* 0: a free place */
	uint64_t dir;
	uint64_t last;   /* highest ordinal read or pushed */
	unsigned count;  /* reads in order */
	uint64_t behind; /* the latest read of what was pushed, or before, */
	unsigned again;  /* how many of those came in order */
	bool pushing;
	size_t window;
	uint64_t used;
};

struct stream {
	uint64_t ino; /* 0: a free place */
	uint64_t next;  /* behind the furthest read */
	uint64_t ahead; /* behind what was guessed */
	unsigned count;
	size_t window;
	uint64_t used;
};

struct pattern {
	pthread_mutex_t lock; /* guards all below */
	struct dir_habit dir[DIRS];
	struct stream stream[STREAMS];
	uint32_t hot; /* generation, until */
	uint64_t hot_until;
	uint64_t clock;
	uint32_t piece[PIECES]; /* 0: none */
};

int
pattern_new(struct pattern **out, struct err *e)
{
	struct pattern *p = mem_zalloc(sizeof(*p));

	if (p == NULL)
		return err_nomem(e);
	(void)pthread_mutex_init(&p->lock, NULL);
	*out = p;
	return 0;
}

void
pattern_free(struct pattern *p)
{
	if (p == NULL)
		return;
	(void)pthread_mutex_destroy(&p->lock);
	mem_free(p);
}

static void
widen(size_t *window)
{
	*window = *window == 0 ? PATTERN_WINDOW_MIN : *window * 2;
	if (*window > PATTERN_WINDOW_MAX)
		*window = PATTERN_WINDOW_MAX;
}

/* --- directories, with the lock ------------------------------------------- */

static bool
is_hot(const struct pattern *p, uint32_t generation, uint64_t now)
{
	return p->hot == generation && now < p->hot_until;
}

static void
make_hot(struct pattern *p, uint32_t generation, uint64_t now)
{
	p->hot = generation;
	p->hot_until = now + HOT_NS;
}

/* What is known of the directory; a new place if nothing is. */
static struct dir_habit *
habit_of(struct pattern *p, uint32_t generation, uint64_t dir)
{
	struct dir_habit *oldest = NULL;
	struct dir_habit *h;
	size_t i;

	for (i = 0; i < DIRS; i++) {
		h = &p->dir[i];
		if (h->generation == generation && h->dir == dir)
			goto found;
		if (oldest == NULL || h->used < oldest->used)
			oldest = h;
	}
	h = oldest;
	*h = (struct dir_habit){ .generation = generation, .dir = dir };
found:
	h->used = ++p->clock;
	return h;
}

static struct guess
guess_files(struct dir_habit *h)
{
	widen(&h->window);
	h->pushing = true;
	return (struct guess){
		.kind = GUESS_FILES,
		.generation = h->generation,
		.dir = h->dir,
		.after = h->last,
		.bytes = h->window,
	};
}

/*
 * What lies before the last file is read, in order, although it was pushed: the
 * kernel has it no more, and all begins anew from there.
 */
static bool
is_read_again(struct dir_habit *h, uint64_t ordinal)
{
	h->again = ordinal > h->behind ? h->again + 1 : 1;
	h->behind = ordinal;
	return h->again >= IN_ORDER;
}

static void
begin_anew(struct dir_habit *h, uint64_t ordinal)
{
	h->last = ordinal;
	h->behind = 0;
	h->again = 0;
	h->window = 0;
}

struct guess
pattern_read_small(struct pattern *p, uint32_t generation, uint64_t dir,
		   uint64_t ordinal, uint64_t now)
{
	struct guess g = { .kind = GUESS_NONE };
	struct dir_habit *h;

	(void)pthread_mutex_lock(&p->lock);
	h = habit_of(p, generation, dir);
	if (ordinal > h->last) {
		h->count = ordinal - h->last <= NEIGHBOUR ? h->count + 1 : 1;
		h->last = ordinal;
		h->behind = 0;
		h->again = 0;
		if (h->count >= IN_ORDER)
			make_hot(p, generation, now);
		if (!h->pushing && is_hot(p, generation, now))
			g = guess_files(h);
	} else if (!h->pushing && h->window == 0) {
		/* Back and forth is no order. */
		h->last = ordinal;
		h->count = 1;
	} else if (!h->pushing && is_read_again(h, ordinal)) {
		begin_anew(h, ordinal);
		make_hot(p, generation, now);
		g = guess_files(h);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return g;
}

struct guess
pattern_listed(struct pattern *p, uint32_t generation, uint64_t dir,
	       uint64_t now)
{
	struct guess g = { .kind = GUESS_NONE };
	struct dir_habit *h;

	(void)pthread_mutex_lock(&p->lock);
	if (is_hot(p, generation, now)) {
		h = habit_of(p, generation, dir);
		if (!h->pushing && h->last == 0)
			g = guess_files(h);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return g;
}

void
pattern_pushed(struct pattern *p, const struct guess *g, uint64_t last)
{
	struct dir_habit *h;
	size_t i;

	(void)pthread_mutex_lock(&p->lock);
	for (i = 0; i < DIRS; i++) {
		h = &p->dir[i];
		if (h->generation != g->generation || h->dir != g->dir)
			continue;
		h->pushing = false;
		if (last > h->last)
			h->last = last;
	}
	(void)pthread_mutex_unlock(&p->lock);
}

/* --- large files, with the lock ------------------------------------------- */

/*
 * Where the stream has stopped, or in what was pushed.  Read-ahead may be out of
 * order; short reads that are merely near are reads at random.
 */
static bool
goes_on(const struct stream *s, uint64_t from, uint64_t len)
{
	uint64_t end = s->ahead > s->next ? s->ahead : s->next;
	uint64_t slack = len >= PATTERN_READ_AHEAD ? REORDERED : 0;

	return from + slack >= s->next && from <= end + slack;
}

static struct stream *
stream_of(struct pattern *p, uint64_t ino, uint64_t from, uint64_t len)
{
	struct stream *oldest = &p->stream[0];
	struct stream *s;
	size_t i;

	for (i = 0; i < STREAMS; i++) {
		s = &p->stream[i];
		if (s->ino == ino && goes_on(s, from, len))
			goto found;
		if (s->used < oldest->used)
			oldest = s;
	}
	s = oldest;
	*s = (struct stream){ .ino = ino, .next = from };
found:
	s->used = ++p->clock;
	return s;
}

/* Less than half a window is left in front of the reader. */
static bool
wants_more(const struct stream *s)
{
	return s->ahead < s->next + s->window / 2;
}

static struct guess
guess_bytes(struct stream *s, uint64_t size)
{
	struct guess g = { .kind = GUESS_NONE };
	uint64_t here = s->next / PAGE * PAGE;

	widen(&s->window);
	g.ino = s->ino;
	g.from = s->ahead > here ? s->ahead : here;
	g.to = here + s->window;
	if (g.to > size)
		g.to = size;
	if (g.from < g.to) {
		g.kind = GUESS_BYTES;
		s->ahead = g.to;
	}
	return g;
}

struct guess
pattern_read_large(struct pattern *p, uint64_t ino, uint64_t size,
		   uint64_t from, uint64_t len)
{
	struct guess g = { .kind = GUESS_NONE };
	struct stream *s;

	(void)pthread_mutex_lock(&p->lock);
	s = stream_of(p, ino, from, len);
	if (from + len > s->next) {
		s->next = from + len;
		s->count++;
	}
	if (s->count >= 2 && s->next < size && wants_more(s))
		g = guess_bytes(s, size);
	(void)pthread_mutex_unlock(&p->lock);
	return g;
}

/* --- pieces --------------------------------------------------------------- */

/* Spread over all 64 bits (the finaliser of MurmurHash3). */
static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
	x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

struct guess
pattern_read_piece(struct pattern *p, uint64_t ino, uint64_t size,
		   uint64_t from, uint64_t len)
{
	uint64_t hash = mix(mix(ino) ^ from);
	uint32_t tag = (uint32_t)(hash >> 32) | 1;
	uint32_t *place = &p->piece[hash % PIECES];
	struct guess g = { .kind = GUESS_NONE };

	(void)pthread_mutex_lock(&p->lock);
	if (*place == tag) {
		*place = 0;
		g.kind = GUESS_BYTES;
		g.ino = ino;
		g.from = (from + PAGE - 1) / PAGE * PAGE;
		g.to = from + len;
		if (g.to < size)
			g.to -= g.to % PAGE;
	} else {
		*place = tag;
	}
	(void)pthread_mutex_unlock(&p->lock);
	return g;
}
