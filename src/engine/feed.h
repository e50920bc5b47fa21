/*
 * feed - everything in walk order, however many threads work ahead.
 *
 * Readers, many more than processors because cold disks answer slowly, scan
 * directories and read files.  A driver walks the tree ahead of the
 * consumer, depth first, the files of a slice before its directories, and
 * queues reading jobs in just that order; the consumer takes steps and
 * pieces in the same order.  So new data lie in packs as the tree lies, and
 * memory is bounded: by names scanned but not consumed, and by bytes read
 * but not consumed.  Neither limit can block for ever: the driver scans what it needs
 * itself, and the job that the consumer waits for may always have a piece.
 */
#ifndef ASOF_ENGINE_FEED_H
#define ASOF_ENGINE_FEED_H

#include "src/engine/backup_internal.h"

struct piece;

enum step_kind {
	STEP_SLICE, /* a slice's items; its directories follow, each to its end */
	STEP_END,   /* the directory has no more slices */
	STEP_DONE,  /* the walk is over */
};
struct step {
	enum step_kind kind;
	struct dir *dir;
	struct slice *slice; /* the consumer's from now on */
};

/* Start with the top directory (the count is taken over). */
int feed_start(struct backup *b, struct dir *top, struct feed **out,
	       struct err *e);

/*
 * The same for a run without a walk: no threads, only for feed_urgent and what
 * reading needs.
 */
int feed_open(struct backup *b, struct feed **out, struct err *e);

/* The next step, in order.  -1: a thread failed. */
int feed_next(struct feed *f, struct step *out, struct err *e);

/*
 * The next piece of a job's data: 1 with *out, 0 when the job has no more.
 * Give it back with feed_piece_done.
 */
int feed_piece(struct feed *f, struct job *j, struct piece **out,
	       struct err *e);
void feed_piece_done(struct feed *f, struct piece *p);

/* Queue a job before all others and wait for nothing. */
int feed_urgent(struct feed *f, struct dir *d, struct item *it,
		struct err *e);

/* A slice and its names are done with. */
void feed_slice_done(struct feed *f, struct slice *s);

/* Stop all threads, throw away what is left.  Takes NULL. */
void feed_stop(struct feed *f);

/* --- for ingest --------------------------------------------------------------- */

/* A piece with room for `cap` bytes; waits for the budget.  NULL: failed. */
struct piece *feed_piece_new(struct feed *f, struct job *j, size_t cap,
			     struct err *e);
void feed_piece_put(struct feed *f, struct job *j, struct piece *p);
void feed_piece_drop(struct feed *f, struct piece *p);
bool feed_stopped(struct feed *f);

void feed_job_unref(struct job *j);

#endif
