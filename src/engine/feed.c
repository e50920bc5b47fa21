/*
 * Threads and queues of a backup.
 *
 *   readers ──scan──▶ slices ──▶ driver ──jobs──▶ readers ──pieces──▶ consumer
 *                                   └─────────────steps──────────────▶
 *
 * One lock guards all queues; nothing is read, stat'ed or hashed under it.
 * Directories wait for a scan on a stack, the first child on top, so that
 * what is scanned early is what is needed early.
 *
 * How many readers may work at once follows the machine.  On a cold disk
 * they sleep most of the time and many are needed; with everything in the
 * page cache more than there are processors only get in each other's way
 * (measured: 32 readers walk a warm tree in twice the time of 3).  So a pacer
 * looks every PACE_NS how much processor time the process has had: if there
 * is work and the processors are not busy, twice as many may work.
 *
 * Waking a thread, or fighting for the lock, costs more than the work on a
 * small directory.  So the driver and the consumer pass steps through the
 * lock many at a time, the consumer is woken for a good number of them or
 * when the driver has to wait, and the driver only for the directory that it
 * waits for.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/feed.h"

#include "base/block.h"
#include "base/mem.h"
#include "base/pool.h"
#include "src/engine/claimed.h"
#include "src/engine/ingest.h"
#include "src/engine/inomap.h"
#include "src/engine/scan.h"

#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STEPS         1024
#define ITEMS_AHEAD   4096           /* names scanned and not consumed */
#define BYTES_AHEAD   (8u << 20)     /* bytes read and not consumed */
#define BYTES_WAKE    (6u << 20)     /* readers sleep until it is less */
#define DIR_PRICE     8 /* names that an open directory counts for */
#define BATCH_FILES   32
#define SCAN_BATCH    8 /* directories per hand-over */
#define SCAN_NAMES    256 /* found in them: no more are begun */
#define READERS       32
#define READERS_MAX   256
#define PACE_NS       2000000
#define STEPS_WORTH   64 /* waking the consumer */
#define NAMES_WORTH   1024 /* handing over their steps */
#define WAYS          40 /* tried before sleeping */

struct frame {
	struct dir *dir;
	struct slice *slice;
	size_t next;
};

struct feed {
	struct backup *b;
	pthread_mutex_t lock;
	pthread_cond_t work;   /* readers: something to do */
	pthread_cond_t scanned; /* driver: a scan has ended */
	pthread_cond_t steps;  /* consumer: a step; driver: room for one */
	pthread_cond_t pieces; /* consumer: a piece */
	pthread_cond_t budget; /* readers: bytes were given back */
	pthread_cond_t pace;   /* pacer: stop */

	/* All below is guarded by lock. */
	bool stop;
	struct err err; /* the first failure; kind says whether there is one */
	struct dir *scan_top;
	size_t scan_count;
	struct job *job_first, *job_last;
	size_t idle, busy;       /* readers waiting for work, working */
	size_t cpus;             /* constant */
	size_t allowed;          /* to be busy */
	size_t waking;           /* readers, once the lock is given up */
	const struct dir *awaited; /* by the driver */
	bool consumer_waits, driver_waits; /* both on `steps` */
	struct slice *slices; /* all that are alive */
	size_t items_out;
	size_t bytes_out;
	size_t budget_waits; /* readers that wait for it */
	const struct job *wanted; /* by the consumer */
	struct step step[STEPS];
	size_t step_first, step_count;

	/* The consumer's own. */
	struct step taken[STEPS_WORTH];
	size_t taken_first, taken_count;
	struct slice *done; /* to be freed at the next taking */
	size_t done_items;

	/* The driver's own. */
	struct step made[STEPS_WORTH];
	size_t made_count, made_names;
	struct dir *top;
	struct frame *frame;
	size_t depth, frame_cap;
	struct inomap links; /* hard-linked files that are being read */
	struct scan_scratch scratch;

	pthread_t driver, pacer;
	bool driver_up, pacer_up;
	pthread_t *reader;
	size_t readers;
};

/* --- failing and stopping ------------------------------------------------------ */

static void
wake_all(struct feed *f)
{
	pthread_cond_broadcast(&f->work);
	pthread_cond_broadcast(&f->scanned);
	pthread_cond_broadcast(&f->steps);
	pthread_cond_broadcast(&f->pieces);
	pthread_cond_broadcast(&f->budget);
	pthread_cond_broadcast(&f->pace);
}

/*
 * One more reader, if one sleeps that may work: as soon as the lock is given
 * up, for it would only wake to wait for that.
 */
static void
wake_reader_locked(struct feed *f)
{
	if (f->idle > f->waking && f->busy + f->waking < f->allowed)
		f->waking++;
}

static void
lock(struct feed *f)
{
	pthread_mutex_lock(&f->lock);
}

static void
unlock(struct feed *f)
{
	size_t waking = f->waking;

	f->waking = 0;
	pthread_mutex_unlock(&f->lock);
	for (; waking > 0; waking--)
		pthread_cond_signal(&f->work);
}

/*
 * Let others work for a moment, in the hope that they have something for us:
 * sleeping and being woken takes 50 microseconds where the processor has gone
 * to sleep, too.  False: it was tried often enough.
 */
static bool
give_way(struct feed *f, unsigned *ways)
{
	if (++*ways > WAYS) {
		*ways = 0;
		return false;
	}
	unlock(f);
	(void)sched_yield();
	lock(f);
	return true;
}

/* Wait, as ever, for what the condition stands for. */
static void
wait_for(struct feed *f, pthread_cond_t *cond)
{
	for (; f->waking > 0; f->waking--)
		pthread_cond_signal(&f->work);
	pthread_cond_wait(cond, &f->lock);
}

static void
fail_locked(struct feed *f, struct err *why)
{
	if (f->err.kind == ERR_NONE && !f->stop)
		err_move(&f->err, why);
	f->stop = true;
	wake_all(f);
}

static int
failure(const struct feed *f, struct err *e)
{
	struct err copy = f->err;

	if (copy.kind == ERR_NONE)
		return err_set(e, ERR_CANCELLED, "stopped");
	err_move(e, &copy);
	return -1;
}

bool
feed_stopped(struct feed *f)
{
	bool stop;

	lock(f);
	stop = f->stop;
	unlock(f);
	return stop;
}

/* --- jobs and pieces ------------------------------------------------------------- */

static void
pieces_free(struct piece *p)
{
	while (p != NULL) {
		struct piece *next = p->next;

		block_free(p->data, p->cap);
		mem_free(p->cut);
		mem_free(p);
		p = next;
	}
}

void
feed_job_unref(struct job *j)
{
	if (atomic_fetch_sub(&j->refs, 1) != 1)
		return;
	for (size_t i = 0; i < j->files; i++) {
		buf_clear(&j->file[i].xattr_bytes);
		filemap_builder_free(j->file[i].map);
	}
	if (j->at != NULL) {
		j->at->next = j->first;
		j->first = j->at;
	}
	pieces_free(j->first);
	dir_unref(j->dir);
	mem_free(j->file);
	mem_free(j);
}

static struct piece *
piece_alloc(size_t cap)
{
	struct piece *p = mem_zalloc(sizeof(*p));

	if (p == NULL)
		return NULL;
	p->data = block_get(cap);
	if (p->data == NULL) {
		mem_free(p);
		return NULL;
	}
	p->cap = cap;
	return p;
}

/*
 * May the job have another piece?  The one that the consumer waits for, with
 * nothing of it at hand, always may: else all would wait for each other.
 */
static bool
affordable(const struct feed *f, const struct job *j, size_t cap)
{
	return j->alone || f->bytes_out == 0 ||
	       f->bytes_out + cap <= BYTES_AHEAD ||
	       (f->wanted == j && j->first == NULL);
}

/* Batches get pieces of one size, which can be used again. */
static size_t
piece_size(size_t cap)
{
	return cap <= SMALL_FILE ? SMALL_FILE : cap;
}

/* Wait until the budget has room; a job's first piece is paid already. */
static int
pay_locked(struct feed *f, struct job *j, size_t cap, struct err *e)
{
	if (j->paid >= cap) {
		f->bytes_out -= j->paid - cap;
		j->paid = 0;
		return f->stop ? failure(f, e) : 0;
	}
	f->bytes_out -= j->paid;
	j->paid = 0;
	while (!f->stop && !affordable(f, j, cap)) {
		f->budget_waits++;
		wait_for(f, &f->budget);
		f->budget_waits--;
	}
	if (f->stop)
		return failure(f, e);
	f->bytes_out += cap;
	return 0;
}

struct piece *
feed_piece_new(struct feed *f, struct job *j, size_t cap, struct err *e)
{
	size_t size = piece_size(cap);
	struct piece *p;
	int rc;

	lock(f);
	rc = pay_locked(f, j, size, e);
	unlock(f);
	if (rc < 0)
		return NULL;
	p = piece_alloc(size);
	if (p == NULL) {
		err_nomem(e);
		return NULL;
	}
	p->charged = size;
	return p;
}

void
feed_piece_put(struct feed *f, struct job *j, struct piece *p)
{
	lock(f);
	p->next = NULL;
	if (j->last != NULL)
		j->last->next = p;
	else
		j->first = p;
	j->last = p;
	if (f->wanted == j)
		pthread_cond_signal(&f->pieces);
	unlock(f);
}

void
feed_piece_drop(struct feed *f, struct piece *p)
{
	lock(f);
	f->bytes_out -= p->charged;
	if (f->budget_waits > 0)
		pthread_cond_broadcast(&f->budget);
	/* Readers work in bursts: waking one for every piece costs more. */
	if (f->bytes_out <= BYTES_WAKE && f->job_first != NULL)
		wake_reader_locked(f);
	unlock(f);
	p->next = NULL;
	pieces_free(p);
}

int
feed_piece(struct feed *f, struct job *j, struct piece **out, struct err *e)
{
	int rc = 1;

	lock(f);
	f->wanted = j;
	if (j->first == NULL && !j->finished) {
		if (f->budget_waits > 0)
			pthread_cond_broadcast(&f->budget);
		if (f->job_first == j)
			pthread_cond_signal(&f->work);
	}
	while (j->first == NULL && !j->finished && !f->stop)
		wait_for(f, &f->pieces);
	if (j->first != NULL) {
		*out = j->first;
		j->first = j->first->next;
		if (j->first == NULL)
			j->last = NULL;
	} else if (f->stop) {
		/* A job that failed is finished, too, but not complete. */
		rc = failure(f, e);
	} else {
		rc = 0;
	}
	unlock(f);
	return rc;
}

void
feed_piece_done(struct feed *f, struct piece *p)
{
	feed_piece_drop(f, p);
}

static struct job *
job_new(struct dir *d, size_t files)
{
	struct job *j = mem_zalloc(sizeof(*j));

	if (j == NULL)
		return NULL;
	j->file = mem_array(files, sizeof(*j->file));
	if (j->file == NULL) {
		mem_free(j);
		return NULL;
	}
	atomic_init(&j->refs, 1);
	j->dir = d;
	dir_ref(d);
	return j;
}

/* Is it read by a job of its own, into a map of the reader's? */
static bool
reads_alone(const struct item *it)
{
	return it->fixed || (it->claim != NULL && it->claim->partial);
}

static void
job_add(struct job *j, struct item *it)
{
	it->job = j;
	it->job_index = (uint32_t)j->files;
	atomic_fetch_add(&j->refs, 1);
	j->file[j->files++].item = it;
	j->bytes += it->st.stx_size;
	j->stream = it->st.stx_size > SMALL_FILE || reads_alone(it);
}

int
feed_urgent(struct feed *f, struct dir *d, struct item *it, struct err *e)
{
	struct job *j = job_new(d, 1);
	int rc;

	if (j == NULL)
		return err_nomem(e);
	j->alone = true;
	job_add(j, it);
	rc = ingest_run(f->b, j, e);
	j->finished = true;
	feed_job_unref(j);
	return rc;
}

/* --- readers ---------------------------------------------------------------------- */

static void
scan_push_locked(struct feed *f, struct dir *d)
{
	d->state = SCAN_QUEUED;
	d->prev_queued = NULL;
	d->next_queued = f->scan_top;
	if (f->scan_top != NULL)
		f->scan_top->prev_queued = d;
	f->scan_top = d;
	f->scan_count++;
}

static void
scan_take_locked(struct feed *f, struct dir *d)
{
	f->scan_count--;
	if (d->prev_queued != NULL)
		d->prev_queued->next_queued = d->next_queued;
	else
		f->scan_top = d->next_queued;
	if (d->next_queued != NULL)
		d->next_queued->prev_queued = d->prev_queued;
	d->next_queued = d->prev_queued = NULL;
	d->state = SCAN_RUNNING;
}

/* What it counts for: an empty directory, too, holds a descriptor. */
static size_t
slice_price(const struct slice *sl)
{
	return sl->count + DIR_PRICE;
}

/* What a scan has made becomes everybody's. */
static void
scan_publish_locked(struct feed *f, struct dir *d, struct slice *sl)
{
	d->ready = sl;
	d->state = SCAN_DONE;
	sl->next = f->slices;
	if (f->slices != NULL)
		f->slices->prev = sl;
	f->slices = sl;
	f->items_out += slice_price(sl);
	for (size_t i = sl->count; i > 0; i--)
		if (sl->item[i - 1].state == ITEM_DIR)
			scan_push_locked(f, sl->item[i - 1].dir);
	if (f->awaited == d)
		pthread_cond_signal(&f->scanned);
	if (f->scan_top != NULL)
		wake_reader_locked(f);
}

/* It was taken, but others were large: somebody else may scan it. */
static void
scan_give_back_locked(struct feed *f, struct dir *d)
{
	scan_push_locked(f, d);
	if (f->awaited == d)
		pthread_cond_signal(&f->scanned);
	wake_reader_locked(f);
}

/*
 * Scan what was taken; called with the lock, returns with it.  What is left
 * when there are names enough goes back: else memory would follow the size of
 * SCAN_BATCH large directories for every reader.
 */
static void
scan_taken_locked(struct feed *f, struct dir **d, size_t count,
		  struct scan_scratch *s)
{
	struct slice *sl[SCAN_BATCH] = { NULL };
	struct err why = { 0 };
	size_t done, names = 0;
	int rc = 0;

	unlock(f);
	for (done = 0; done < count && names < SCAN_NAMES; done++) {
		rc = scan_slice(f->b, d[done], s, &sl[done], &why);
		if (rc < 0)
			break;
		names += sl[done]->count;
	}
	lock(f);
	/* The last first: its children go below those of the ones before. */
	for (size_t i = count; i > 0; i--) {
		if (i - 1 < done)
			scan_publish_locked(f, d[i - 1], sl[i - 1]);
		else if (rc == 0)
			scan_give_back_locked(f, d[i - 1]);
		else
			d[i - 1]->state = SCAN_DONE;
	}
	if (rc < 0)
		fail_locked(f, &why);
}

/* Just this one, which is needed now. */
static void
scan_locked(struct feed *f, struct dir *d, struct scan_scratch *s)
{
	scan_take_locked(f, d);
	scan_taken_locked(f, &d, 1, s);
}

/*
 * As many from the stack as leave enough for the other readers: handing over
 * one small directory costs more than to scan it.
 */
static void
scan_some_locked(struct feed *f, struct scan_scratch *s)
{
	struct dir *d[SCAN_BATCH];
	size_t want = f->scan_count / (2 * f->allowed), count = 0;

	if (want < 1)
		want = 1;
	if (want > SCAN_BATCH)
		want = SCAN_BATCH;
	while (count < want) {
		d[count] = f->scan_top;
		scan_take_locked(f, d[count++]);
	}
	scan_taken_locked(f, d, count, s);
}

/* What its first piece will cost, paid when the job is taken. */
static size_t
job_price(const struct job *j)
{
	return j->stream ? PIECE_LEN : SMALL_FILE;
}

static bool
job_ready(const struct feed *f)
{
	return f->job_first != NULL &&
	       affordable(f, f->job_first, job_price(f->job_first));
}

static void
job_run_locked(struct feed *f)
{
	struct job *j = f->job_first;
	struct err why = { 0 };
	int rc;

	f->job_first = j->next;
	if (f->job_first == NULL)
		f->job_last = NULL;
	j->next = NULL;
	j->paid = job_price(j);
	f->bytes_out += j->paid;
	if (job_ready(f))
		wake_reader_locked(f);
	unlock(f);
	rc = ingest_run(f->b, j, &why);
	lock(f);
	j->finished = true;
	f->bytes_out -= j->paid;
	j->paid = 0;
	if (rc < 0)
		fail_locked(f, &why);
	if (f->wanted == j)
		pthread_cond_signal(&f->pieces);
	unlock(f);
	feed_job_unref(j);
	lock(f);
}

static bool
has_work(const struct feed *f)
{
	return job_ready(f) ||
	       (f->scan_top != NULL && f->items_out < ITEMS_AHEAD);
}

/* Another directory to scan?  On a cold disk, or with data to read: no. */
static bool
may_come_soon(const struct feed *f)
{
	return f->job_first == NULL && f->busy < f->allowed &&
	       f->allowed <= f->cpus;
}

static void *
reader_main(void *arg)
{
	struct feed *f = arg;
	struct scan_scratch *s = mem_zalloc(sizeof(*s));
	struct err why = { 0 };
	unsigned ways = 0;

	lock(f);
	if (s == NULL) {
		err_nomem(&why);
		fail_locked(f, &why);
	}
	while (!f->stop) {
		if (f->busy >= f->allowed || !has_work(f)) {
			if (may_come_soon(f) && give_way(f, &ways))
				continue;
			f->idle++;
			wait_for(f, &f->work);
			f->idle--;
			continue;
		}
		ways = 0;
		f->busy++;
		if (job_ready(f)) {
			job_run_locked(f);
		} else {
			scan_some_locked(f, s);
		}
		f->busy--;
	}
	unlock(f);
	if (s != NULL)
		scan_scratch_clear(s);
	mem_free(s);
	return NULL;
}

/* --- the driver -------------------------------------------------------------------- */

static void
job_queue(struct feed *f, struct job *j)
{
	lock(f);
	if (f->job_last != NULL)
		f->job_last->next = j;
	else
		f->job_first = j;
	f->job_last = j;
	if (f->bytes_out <= BYTES_WAKE)
		wake_reader_locked(f);
	unlock(f);
}

struct batch {
	struct item *item[BATCH_FILES];
	size_t count;
	uint64_t bytes;
};

/* Queue the batch as one job and empty it. */
static int
batch_queue(struct feed *f, struct dir *d, struct batch *k, struct err *e)
{
	struct job *j;

	if (k->count == 0)
		return 0;
	j = job_new(d, k->count);
	if (j == NULL)
		return err_nomem(e);
	for (size_t i = 0; i < k->count; i++)
		job_add(j, k->item[i]);
	k->count = 0;
	k->bytes = 0;
	job_queue(f, j);
	return 0;
}

/* Queue reading for all files of the slice, in order, in batches. */
static int
queue_files(struct feed *f, struct slice *sl, struct err *e)
{
	struct batch k = { .count = 0 };

	for (size_t i = 0; i < sl->count; i++) {
		struct item *it = &sl->item[i];

		if (it->state != ITEM_FILE)
			continue;
		if (it->st.stx_nlink > 1) {
			if (inomap_get(&f->links, it->fs, it->st.stx_ino) !=
			    NULL)
				continue;
			/* Any value will do. */
			if (inomap_put(&f->links, it->fs, it->st.stx_ino, f,
				       e) < 0)
				return -1;
		}
		if ((k.bytes + it->st.stx_size > SMALL_FILE ||
		     reads_alone(it)) &&
		    batch_queue(f, sl->dir, &k, e) < 0)
			return -1;
		k.item[k.count++] = it;
		k.bytes += it->st.stx_size;
		if ((k.count == BATCH_FILES || reads_alone(it)) &&
		    batch_queue(f, sl->dir, &k, e) < 0)
			return -1;
	}
	return batch_queue(f, sl->dir, &k, e);
}

/* Hand over the steps made so far.  -1: stopped. */
static int
flush_steps_locked(struct feed *f)
{
	/* Far enough ahead, in steps or in names? */
	while (!f->stop &&
	       (f->step_count + f->made_count > STEPS ||
		(f->step_count > 0 && f->items_out >= 2 * ITEMS_AHEAD))) {
		f->driver_waits = true;
		if (f->consumer_waits)
			pthread_cond_broadcast(&f->steps);
		wait_for(f, &f->steps);
		f->driver_waits = false;
	}
	if (f->stop)
		return -1;
	for (size_t i = 0; i < f->made_count; i++)
		f->step[(f->step_first + f->step_count++) % STEPS] =
			f->made[i];
	f->made_count = f->made_names = 0;
	if (f->consumer_waits && f->step_count >= STEPS_WORTH)
		pthread_cond_broadcast(&f->steps);
	return 0;
}

/* -1: stopped. */
static int
push_step(struct feed *f, enum step_kind kind, struct dir *d,
	  struct slice *sl)
{
	struct step *s = &f->made[f->made_count++];
	int rc = 0;

	s->kind = kind;
	s->dir = d;
	s->slice = sl;
	f->made_names += sl != NULL ? sl->count : 0;
	if (kind != STEP_DONE && f->made_count < STEPS_WORTH &&
	    f->made_names < NAMES_WORTH)
		return 0;
	lock(f);
	rc = flush_steps_locked(f);
	pthread_cond_broadcast(&f->steps);
	unlock(f);
	return rc;
}

/* The directory's next slice, scanned by somebody or here.  NULL: stopped. */
static struct slice *
next_slice(struct feed *f, struct dir *d)
{
	struct slice *sl = NULL;
	unsigned ways = 0;

	lock(f);
	if (f->consumer_waits)
		(void)flush_steps_locked(f);
	if (!f->stop && d->state == SCAN_QUEUED) {
		scan_locked(f, d, &f->scratch);
	}
	f->awaited = d;
	while (!f->stop && d->state != SCAN_DONE) {
		if (d->state == SCAN_QUEUED) {
			scan_locked(f, d, &f->scratch); /* given back */
			continue;
		}
		if (flush_steps_locked(f) < 0)
			break;
		if (f->step_count > 0 && f->consumer_waits)
			pthread_cond_broadcast(&f->steps);
		if (d->state != SCAN_RUNNING)
			continue;
		/* Somebody is at it: help with others rather than sleep. */
		if (f->scan_top != NULL && f->items_out < ITEMS_AHEAD) {
			scan_locked(f, f->scan_top, &f->scratch);
		} else if (!give_way(f, &ways)) {
			wait_for(f, &f->scanned);
		}
	}
	f->awaited = NULL;
	if (!f->stop) {
		sl = d->ready;
		d->ready = NULL;
		/* Its next slice is scanned while this one is worked on. */
		if (!sl->last)
			scan_push_locked(f, d);
	}
	unlock(f);
	return sl;
}

static int
push_frame(struct feed *f, struct dir *d, struct err *e)
{
	if (f->depth == f->frame_cap) {
		size_t cap = f->frame_cap == 0 ? 64 : f->frame_cap * 2;
		struct frame *grown = mem_resize(f->frame, cap, sizeof(*grown));

		if (grown == NULL)
			return err_nomem(e);
		f->frame = grown;
		f->frame_cap = cap;
	}
	f->frame[f->depth].dir = d;
	f->frame[f->depth].slice = NULL;
	f->frame[f->depth].next = 0;
	f->depth++;
	return 0;
}

/* The next thing to do in the deepest directory.  1: stopped. */
static int
drive(struct feed *f, struct err *e)
{
	struct frame *fr = &f->frame[f->depth - 1];

	if (fr->slice == NULL) {
		fr->slice = next_slice(f, fr->dir);
		fr->next = 0;
		if (fr->slice == NULL)
			return 1;
		if (queue_files(f, fr->slice, e) < 0)
			return -1;
		return push_step(f, STEP_SLICE, fr->dir, fr->slice) < 0;
	}
	while (fr->next < fr->slice->count) {
		struct item *it = &fr->slice->item[fr->next++];

		if (it->state == ITEM_DIR)
			return push_frame(f, it->dir, e);
	}
	if (!fr->slice->last) {
		fr->slice = NULL;
		return 0;
	}
	f->depth--;
	return push_step(f, STEP_END, fr->dir, NULL) < 0;
}

static void *
driver_main(void *arg)
{
	struct feed *f = arg;
	struct err why = { 0 };
	int rc;

	rc = push_frame(f, f->top, &why);
	while (rc == 0 && f->depth > 0)
		rc = drive(f, &why);
	if (rc == 0)
		(void)push_step(f, STEP_DONE, NULL, NULL);
	if (rc < 0) {
		lock(f);
		fail_locked(f, &why);
		unlock(f);
	}
	return NULL;
}

/* --- the pacer --------------------------------------------------------------------- */

static int64_t
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* `used` of `wall` nanoseconds on each processor: are they busy? */
static void
pace_locked(struct feed *f, int64_t used, int64_t wall)
{
	int64_t all = wall * (int64_t)f->cpus;

	if (used * 10 < all * 7 && has_work(f) && f->idle > 0) {
		f->allowed *= 2;
		if (f->allowed > f->readers)
			f->allowed = f->readers;
		for (size_t i = f->busy; i < f->allowed; i++)
			pthread_cond_signal(&f->work);
	} else if (used * 20 > all * 19 && f->allowed > 1) {
		f->allowed--;
	}
}

static void *
pacer_main(void *arg)
{
	struct feed *f = arg;
	int64_t cpu = cpu_ns();
	uint64_t wall = time_monotonic_ns();

	lock(f);
	while (!f->stop) {
		struct timespec until;
		int64_t cpu_now;
		uint64_t wall_now;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += PACE_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		pthread_cond_clockwait(&f->pace, &f->lock, CLOCK_MONOTONIC,
				       &until);
		if (f->b->opt->cancel != NULL && *f->b->opt->cancel != 0) {
			struct err why = { 0 };

			/* Here it ends every wait, whoever waits for what. */
			err_set(&why, ERR_CANCELLED, "interrupted");
			fail_locked(f, &why);
			break;
		}
		cpu_now = cpu_ns();
		wall_now = time_monotonic_ns();
		pace_locked(f, cpu_now - cpu, (int64_t)(wall_now - wall));
		cpu = cpu_now;
		wall = wall_now;
	}
	unlock(f);
	return NULL;
}

/* --- the consumer's side -------------------------------------------------------------- */

/* Take the slices that are done with off the books; they are then freed. */
static struct slice *
settle_done_locked(struct feed *f)
{
	bool was_full = f->items_out >= ITEMS_AHEAD;
	struct slice *done = f->done, *s;

	for (s = done; s != NULL; s = s->done_next) {
		if (s->prev != NULL)
			s->prev->next = s->next;
		else
			f->slices = s->next;
		if (s->next != NULL)
			s->next->prev = s->prev;
	}
	f->done = NULL;
	f->items_out -= f->done_items;
	f->done_items = 0;
	if (was_full && f->items_out < ITEMS_AHEAD)
		wake_reader_locked(f);
	return done;
}

static int
take_steps(struct feed *f, struct err *e)
{
	struct slice *done;
	int rc = 0;

	lock(f);
	done = settle_done_locked(f);
	while (f->step_count == 0 && !f->stop) {
		f->consumer_waits = true;
		/* For steps, or for names to be done with: they are now. */
		if (f->driver_waits)
			pthread_cond_broadcast(&f->steps);
		wait_for(f, &f->steps);
		f->consumer_waits = false;
	}
	if (f->stop)
		rc = failure(f, e);
	f->taken_first = f->taken_count = 0;
	while (rc == 0 && f->step_count > 0 && f->taken_count < STEPS_WORTH) {
		f->taken[f->taken_count++] = f->step[f->step_first];
		f->step_first = (f->step_first + 1) % STEPS;
		f->step_count--;
	}
	if (f->driver_waits)
		pthread_cond_broadcast(&f->steps);
	unlock(f);
	while (done != NULL) {
		struct slice *next = done->done_next;

		slice_free(done);
		done = next;
	}
	return rc;
}

int
feed_next(struct feed *f, struct step *out, struct err *e)
{
	if (f->taken_first == f->taken_count && take_steps(f, e) < 0)
		return -1;
	*out = f->taken[f->taken_first++];
	return 0;
}

void
feed_slice_done(struct feed *f, struct slice *s)
{
	s->done_next = f->done;
	f->done = s;
	f->done_items += slice_price(s);
}

/*
 * Most descriptors are for the directories on the way, of which nobody knows
 * how deep they lie.
 */
static bool
has_room_to_open(size_t readers)
{
	long max = sysconf(_SC_OPEN_MAX);

	return max > 0 && (size_t)max / 4 >= readers * INGEST_OPEN;
}

static size_t
reader_count(const struct backup *b)
{
	size_t n = b->opt->readers;

	if (n == 0)
		n = READERS;
	return n > READERS_MAX ? READERS_MAX : n;
}

int
feed_open(struct backup *b, struct feed **out, struct err *e)
{
	struct feed *f = mem_zalloc(sizeof(*f));

	if (f == NULL)
		return err_nomem(e);
	f->b = b;
	pool_brief_mutex(&f->lock);
	pthread_cond_init(&f->work, NULL);
	pthread_cond_init(&f->scanned, NULL);
	pthread_cond_init(&f->steps, NULL);
	pthread_cond_init(&f->pieces, NULL);
	pthread_cond_init(&f->budget, NULL);
	pthread_cond_init(&f->pace, NULL);
	/* The driver scans too. */
	f->cpus = pool_cpus();
	f->allowed = f->cpus > 1 ? f->cpus - 1 : 1;
	b->feed = f;
	*out = f;
	return 0;
}

int
feed_start(struct backup *b, struct dir *top, struct feed **out,
	   struct err *e)
{
	size_t want = reader_count(b);
	struct feed *f;

	if (feed_open(b, out, e) < 0)
		return -1;
	f = *out;
	f->top = top;
	b->opens_ahead = has_room_to_open(want);
	f->reader = mem_array(want, sizeof(*f->reader));
	if (f->reader == NULL)
		return err_nomem(e);
	scan_push_locked(f, top);
	while (f->readers < want) {
		struct err why = { 0 };

		if (pool_thread(&f->reader[f->readers], reader_main, f,
				&why) == 0) {
			f->readers++;
			continue;
		}
		/* Fewer threads than wished for are slower, not wrong. */
		if (f->readers > 0)
			break;
		err_move(e, &why);
		return -1;
	}
	if (pool_thread(&f->driver, driver_main, f, e) < 0)
		return -1;
	f->driver_up = true;
	if (pool_thread(&f->pacer, pacer_main, f, e) < 0)
		return -1;
	f->pacer_up = true;
	return 0;
}

/* What the consumer has not taken when the run is stopped. */
static void
drop_unfinished(struct feed *f)
{
	struct job *j;
	struct slice *sl;

	while ((sl = f->slices) != NULL) {
		f->slices = sl->next;
		slice_drop_dirs(sl);
		slice_free(sl);
	}

	while ((j = f->job_first) != NULL) {
		f->job_first = j->next;
		feed_job_unref(j);
	}
}

void
feed_stop(struct feed *f)
{
	if (f == NULL)
		return;
	lock(f);
	f->stop = true;
	wake_all(f);
	unlock(f);
	for (size_t i = 0; i < f->readers; i++)
		pthread_join(f->reader[i], NULL);
	if (f->driver_up)
		pthread_join(f->driver, NULL);
	if (f->pacer_up)
		pthread_join(f->pacer, NULL);
	drop_unfinished(f);
	pthread_cond_destroy(&f->work);
	pthread_cond_destroy(&f->scanned);
	pthread_cond_destroy(&f->steps);
	pthread_cond_destroy(&f->pieces);
	pthread_cond_destroy(&f->budget);
	pthread_cond_destroy(&f->pace);
	pthread_mutex_destroy(&f->lock);
	scan_scratch_clear(&f->scratch);
	inomap_clear(&f->links);
	mem_free(f->frame);
	mem_free(f->reader);
	mem_free(f);
}
