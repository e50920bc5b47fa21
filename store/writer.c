/*
 * writer.c
 *
 * A chunk goes this way:
 *
 *   put -> batch (an open frame) -> queue -> worker -> pack -> sealer -> index
 *
 * put decides under the lock whether a chunk is new, and appends it, so that
 * two threads with the same chunk store it once.  Chunks of this run that the
 * index does not know yet are in the set `pending`.  The index is asked
 * without the lock; if a pack moved from pending to the index meanwhile, the
 * question is asked again.
 *
 * A worker compresses a batch, decodes what came out, and compares every chunk
 * with its id: nothing goes into a pack that cannot be read back.  The sealer
 * ends full packs: fsync, name, fsync of the directory, index.
 *
 * Memory: batches that left put and are not in a pack yet may hold work_max
 * bytes; who wants to put waits.  SEALING_MAX packs may wait for the disk;
 * then the workers wait, so the batches, so whoever puts.
 *
 * The first failure is kept, wakes everybody who waits, and from then on
 * workers and sealer only throw away what reaches them.  So nothing waits for
 * ever.
 *
 * Locks, in the order taken: pack_lock, lock.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/writer.h"

#include "base/block.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/pool.h"
#include "store/damage.h"
#include "store/frame.h"
#include "store/idset.h"
#include "store/pack.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"

#include <pthread.h>
#include <string.h>

#define THREADS_MAX        64
#define DATA_FRAME_DEFAULT (UINT32_C(1) << 20)
#define META_FRAME_DEFAULT (UINT32_C(256) << 10)

/* Packs that are full and not durable. */
#define SEALING_MAX 2

/*
 * Frames and packs of very small chunks end early: their ids would take more
 * memory than their bytes.
 */
#define FRAME_CHUNKS 8192
#define PACK_CHUNKS  65536

/* Chunks of one kind that will be a frame. */
struct batch {
	struct batch *next;
	enum id_kind kind;
	uint8_t *data;
	size_t len, cap;
	struct id *ids;
	uint32_t *lens;
	size_t chunks, cap_chunks;
};

struct worker {
	struct writer *writer;
	pthread_t thread;
	struct frame_coder *coder;
	uint8_t *stored, *raw; /* scratch, grown to the largest batch */
	size_t cap_stored, cap_raw;
};

struct writer {
	struct chunk_sink sink; /* first: the sink is the writer */
	struct store *store;
	struct repository *repository;
	struct writer_options opt;
	size_t work_max; /* bytes */

	struct worker *workers;
	unsigned n_workers; /* started */
	pthread_t sealer;
	bool has_sealer;

	pthread_mutex_t pack_lock; /* over adding frames to the pack */
	struct pack_writer *pack;  /* the open one, or NULL; pack_lock */

	pthread_mutex_t lock;   /* guards all that follows */
	pthread_cond_t queued;  /* there is a batch, or stop */
	pthread_cond_t full;    /* there is a pack to seal, or stop */
	pthread_cond_t changed; /* a batch or a pack is done, or all failed */
	struct batch *open[KIND_MAX + 1];
	struct batch *first, **last; /* the queue */
	size_t in_work; /* bytes of batches that left `open` */
	struct pack_writer *sealing[SEALING_MAX]; /* those not taken yet */
	unsigned n_to_seal;                       /* in sealing[] */
	unsigned n_sealing; /* those and the one being sealed */
	struct idset pending;
	uint64_t retired; /* packs that went from pending to the index */
	bool flushing;
	bool stop;
	struct err failure; /* the first one */
	struct writer_stats stats;
};

/* --- failing -------------------------------------------------------------- */

static bool
has_failed(const struct writer *w)
{
	return w->failure.kind != ERR_NONE;
}

/* Keep the first failure and wake everybody; with the lock. */
static void
fail_locked(struct writer *w, struct err *why)
{
	if (!has_failed(w))
		err_move(&w->failure, why);
	(void)pthread_cond_broadcast(&w->changed);
}

/* Tell the failure again, to whoever asks; with the lock. */
static int
tell_failure(const struct writer *w, struct err *e)
{
	struct err copy = w->failure;

	err_move(e, &copy);
	return -1;
}

/* --- batches, all with the lock ------------------------------------------- */

static void
free_batch(struct batch *b)
{
	if (b == NULL)
		return;
	block_free(b->data, b->cap);
	mem_free(b->ids);
	mem_free(b->lens);
	mem_free(b);
}

static void
free_batches(struct batch *b)
{
	struct batch *next;

	for (; b != NULL; b = next) {
		next = b->next;
		free_batch(b);
	}
}

/* An empty batch with room for `cap` bytes. */
static struct batch *
new_batch(enum id_kind kind, size_t cap)
{
	struct batch *b = mem_zalloc(sizeof(*b));

	if (b == NULL)
		return NULL;
	b->data = block_get(cap);
	b->cap = cap;
	b->kind = kind;
	if (b->data == NULL) {
		free_batch(b);
		return NULL;
	}
	return b;
}

/* The batch is done with; the lock is given up meanwhile. */
static void
end_batch(struct writer *w, struct batch *b)
{
	w->in_work -= b->cap;
	(void)pthread_cond_broadcast(&w->changed);
	(void)pthread_mutex_unlock(&w->lock);
	free_batch(b);
	(void)pthread_mutex_lock(&w->lock);
}

/* Hand a batch whose bytes are counted in in_work to the workers. */
static void
enqueue(struct writer *w, struct batch *b)
{
	b->next = NULL;
	*w->last = b;
	w->last = &b->next;
	(void)pthread_cond_signal(&w->queued);
}

static void
close_open(struct writer *w, enum id_kind kind)
{
	struct batch *b = w->open[kind];

	if (b == NULL)
		return;
	w->open[kind] = NULL;
	w->in_work += b->cap;
	enqueue(w, b);
}

/* Room for one more id in a batch. */
static bool
reserve_chunk(struct batch *b)
{
	size_t cap = b->cap_chunks == 0 ? 16 : b->cap_chunks * 2;
	uint32_t *lens;
	struct id *ids;

	if (b->chunks < b->cap_chunks)
		return true;
	ids = mem_resize(b->ids, cap, sizeof(*ids));
	if (ids == NULL)
		return false;
	b->ids = ids;
	lens = mem_resize(b->lens, cap, sizeof(*lens));
	if (lens == NULL)
		return false;
	b->lens = lens;
	b->cap_chunks = cap;
	return true;
}

/* Put a chunk's id into a batch; its bytes go to what is returned. */
static uint8_t *
add_chunk(struct batch *b, const struct id *id, size_t len)
{
	uint8_t *to = b->data + b->len;

	if (!reserve_chunk(b))
		return NULL;
	b->ids[b->chunks] = *id;
	b->lens[b->chunks] = (uint32_t)len;
	b->chunks++;
	b->len += len;
	return to;
}

/* --- putting -------------------------------------------------------------- */

static size_t
frame_of(const struct writer *w, enum id_kind kind)
{
	return kind == KIND_DATA ? w->opt.data_frame : w->opt.meta_frame;
}

/*
 * With the lock, which is given up meanwhile: 0 the chunk is new, and the
 * caller's to append at once; 1 it is known; -1.
 */
static int
claim(struct writer *w, const struct id *id, struct err *e)
{
	uint64_t seen;
	int rc;

	do {
		if (has_failed(w))
			return tell_failure(w, e);
		if (idset_has(&w->pending, id))
			return 1;
		seen = w->retired;
		(void)pthread_mutex_unlock(&w->lock);
		rc = store_has(w->store, id, e);
		(void)pthread_mutex_lock(&w->lock);
		if (rc != 0)
			return rc;
		while (!has_failed(w) &&
		       (w->flushing || w->in_work >= w->work_max))
			(void)pthread_cond_wait(&w->changed, &w->lock);
		if (has_failed(w))
			return tell_failure(w, e);
	} while (w->retired != seen);
	return idset_add(&w->pending, id, e);
}

/* Append to the open batch of the kind. */
static int
append(struct writer *w, enum id_kind kind, const struct id *id, const void *p,
       size_t len, struct err *e)
{
	size_t cap = frame_of(w, kind);
	struct batch *b = w->open[kind];
	uint8_t *to;

	if (b != NULL && len > cap - b->len) {
		close_open(w, kind);
		b = NULL;
	}
	if (b == NULL) {
		b = new_batch(kind, cap);
		if (b == NULL)
			return err_nomem(e);
		w->open[kind] = b;
	}
	to = add_chunk(b, id, len);
	if (to == NULL)
		return err_nomem(e);
	memcpy(to, p, len);
	if (b->len == cap || b->chunks == FRAME_CHUNKS)
		close_open(w, kind);
	return 0;
}

/* Make a batch of the one chunk; the bytes are copied without the lock. */
static int
append_alone(struct writer *w, enum id_kind kind, const struct id *id,
	     const void *p, size_t len, struct err *e)
{
	struct batch *b = new_batch(kind, len);
	uint8_t *to;

	if (b == NULL)
		return err_nomem(e);
	to = add_chunk(b, id, len);
	if (to == NULL) {
		free_batch(b);
		return err_nomem(e);
	}
	w->in_work += b->cap;
	(void)pthread_mutex_unlock(&w->lock);
	memcpy(to, p, len);
	(void)pthread_mutex_lock(&w->lock);
	enqueue(w, b);
	return 0;
}

static int
put_locked(struct writer *w, enum id_kind kind, const struct id *id,
	   const void *p, size_t len, bool alone, struct err *e)
{
	int rc;

	rc = claim(w, id, e);
	if (rc < 0)
		return -1;
	if (rc == 1) {
		w->stats.chunks_known++;
		return 1;
	}
	w->stats.chunks_new++;
	w->stats.bytes_new += len;
	if (alone || len > frame_of(w, kind))
		return append_alone(w, kind, id, p, len, e);
	return append(w, kind, id, p, len, e);
}

int
writer_put(struct writer *w, enum id_kind kind, const struct id *id,
	   const void *p, size_t len, bool alone, bool *fresh, struct err *e)
{
	struct err why = { 0 };
	int rc;

	if (!id_kind_is_chunk(kind) || len < 1 || len > CHUNK_LEN_MAX)
		return err_set(e, ERR_USAGE, "a chunk of kind %s and %zu bytes",
			       id_kind_name(kind), len);
	(void)pthread_mutex_lock(&w->lock);
	rc = put_locked(w, kind, id, p, len, alone, &why);
	if (rc < 0) {
		fail_locked(w, &why);
		(void)tell_failure(w, e);
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (rc < 0)
		return -1;
	if (fresh != NULL)
		*fresh = rc == 0;
	return 0;
}

/*
 * Find out which of them are new, and make a batch of those; the bytes are
 * copied without the lock.
 */
static int
group_locked(struct writer *w, struct batch *b, const struct writer_chunk *c,
	     size_t n, struct err *e)
{
	uint8_t *to[WRITER_GROUP_MAX] = { NULL };

	for (size_t i = 0; i < n; i++) {
		int rc = claim(w, &c[i].id, e);

		if (rc < 0)
			return -1;
		if (rc == 1) {
			w->stats.chunks_known++;
			continue;
		}
		w->stats.chunks_new++;
		w->stats.bytes_new += c[i].len;
		to[i] = add_chunk(b, &c[i].id, c[i].len);
		if (to[i] == NULL)
			return err_nomem(e);
	}
	if (b->chunks == 0)
		return 1;
	w->in_work += b->cap;
	(void)pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < n; i++)
		if (to[i] != NULL)
			memcpy(to[i], c[i].p, c[i].len);
	(void)pthread_mutex_lock(&w->lock);
	enqueue(w, b);
	return 0;
}

int
writer_put_group(struct writer *w, enum id_kind kind,
		 const struct writer_chunk *c, size_t n, struct err *e)
{
	struct err why = { 0 };
	struct batch *b;
	size_t sum = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		sum += c[i].len;
	if (!id_kind_is_chunk(kind) || n < 1 || n > WRITER_GROUP_MAX ||
	    sum < 1 || sum > FRAME_RAW_MAX)
		return err_set(e, ERR_USAGE, "%zu chunks of kind %s and %zu "
					     "bytes together",
			       n, id_kind_name(kind), sum);
	b = new_batch(kind, sum);
	(void)pthread_mutex_lock(&w->lock);
	rc = b == NULL ? err_nomem(&why) : group_locked(w, b, c, n, &why);
	if (rc < 0) {
		fail_locked(w, &why);
		(void)tell_failure(w, e);
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (rc != 0)
		free_batch(b);
	return rc < 0 ? -1 : 0;
}

static int
put(struct chunk_sink *s, enum id_kind kind, const void *p, size_t len,
    struct id *out, struct err *e)
{
	struct writer *w = (struct writer *)s;
	struct id id;

	if (!id_kind_is_chunk(kind))
		return err_set(e, ERR_USAGE, "a chunk of kind %s",
			       id_kind_name(kind));
	id_compute(&w->repository->keys, kind, p, len, &id);
	if (writer_put(w, kind, &id, p, len, false, NULL, e) < 0)
		return -1;
	*out = id;
	return 0;
}

struct chunk_sink *
writer_sink(struct writer *w)
{
	return &w->sink;
}

/* --- packs ---------------------------------------------------------------- */

/*
 * The open pack is full: give it to the sealer, and wait while that has enough
 * to do.  With pack_lock.
 */
static void
hand_over(struct writer *w)
{
	struct pack_writer *pack = w->pack;

	(void)pthread_mutex_lock(&w->lock);
	while (!has_failed(w) && w->n_sealing == SEALING_MAX)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	if (!has_failed(w)) {
		w->sealing[w->n_to_seal++] = pack;
		w->n_sealing++;
		(void)pthread_cond_signal(&w->full);
		pack = NULL;
	}
	(void)pthread_mutex_unlock(&w->lock);
	w->pack = NULL;
	pack_writer_free(pack);
}

static int
add_frame_locked(struct writer *w, const struct pack_frame *f, struct err *e)
{
	uint32_t slot;

	if (w->pack == NULL &&
	    pack_writer_new(w->repository->packs_fd, &w->pack, e) < 0)
		return -1;
	if (pack_writer_add(w->pack, f, &slot, e) < 0)
		return -1;
	if (pack_writer_len(w->pack) >= w->opt.pack_len ||
	    pack_writer_chunks(w->pack) >= PACK_CHUNKS)
		hand_over(w);
	return 0;
}

static int
add_frame(struct writer *w, const struct pack_frame *f, struct err *e)
{
	struct err copy;
	int rc;

	(void)pthread_mutex_lock(&w->pack_lock);
	rc = add_frame_locked(w, f, e);
	if (rc < 0) {
		/* Before another worker finds a pack that has failed. */
		copy = *e;
		(void)pthread_mutex_lock(&w->lock);
		fail_locked(w, &copy);
		(void)pthread_mutex_unlock(&w->lock);
	}
	(void)pthread_mutex_unlock(&w->pack_lock);
	return rc;
}

/* --- workers -------------------------------------------------------------- */

static int
reserve(uint8_t **p, size_t *cap, size_t want, struct err *e)
{
	if (want <= *cap)
		return 0;
	mem_free(*p); /* first: what it holds is not needed */
	*cap = 0;
	*p = mem_alloc(want);
	if (*p == NULL)
		return err_nomem(e);
	*cap = want;
	return 0;
}

/* Whether the decoded bytes are the chunks that were put (I17). */
static int
compare(const struct writer *w, const struct batch *b, const uint8_t *raw,
	struct err *e)
{
	char text[ID_TEXT_LEN];
	struct id id;
	size_t i;

	for (i = 0; i < b->chunks; raw += b->lens[i++]) {
		id_compute(&w->repository->keys, b->kind, raw, b->lens[i], &id);
		if (!id_equal(&id, &b->ids[i]))
			return err_set(e, ERR_CORRUPT,
				       "chunk %s (%s) did not survive "
				       "compression: bad memory or processor?",
				       id_text(text, &b->ids[i]),
				       id_kind_name(b->kind));
	}
	return 0;
}

/* Batch to frame, proved readable, into the pack. */
static int
store_batch(struct worker *k, const struct batch *b, struct err *e)
{
	struct writer *w = k->writer;
	enum frame_method method;
	size_t stored_len;

	if (reserve(&k->stored, &k->cap_stored, frame_bound(b->len), e) < 0 ||
	    reserve(&k->raw, &k->cap_raw, b->len, e) < 0)
		return -1;
	if (frame_encode(k->coder, b->kind, w->opt.level, b->data, b->len,
			 k->stored, &stored_len, &method, e) < 0)
		return -1;
	if (frame_decode(k->coder, b->kind, method, k->stored, stored_len,
			 k->raw, b->len, e) < 0)
		return err_prefix(e, "a frame just compressed");
	if (compare(w, b, k->raw, e) < 0)
		return -1;
	return add_frame(w,
			 &(struct pack_frame){
				 .kind = b->kind,
				 .method = method,
				 .stored = k->stored,
				 .stored_len = (uint32_t)stored_len,
				 .raw_len = (uint32_t)b->len,
				 .chunks = b->chunks,
				 .ids = b->ids,
				 .lens = b->lens,
			 },
			 e);
}

/* The next batch, or NULL at the end; with the lock. */
static struct batch *
next_batch(struct writer *w)
{
	struct batch *b;

	while (w->first == NULL && !w->stop)
		(void)pthread_cond_wait(&w->queued, &w->lock);
	b = w->first;
	if (b != NULL) {
		w->first = b->next;
		if (w->first == NULL)
			w->last = &w->first;
	}
	return b;
}

static void *
work(void *arg)
{
	struct worker *k = arg;
	struct writer *w = k->writer;
	struct err why = { 0 };
	struct batch *b;
	bool failed;

	(void)pthread_mutex_lock(&w->lock);
	while ((b = next_batch(w)) != NULL) {
		failed = has_failed(w);
		(void)pthread_mutex_unlock(&w->lock);
		if (!failed)
			failed = store_batch(k, b, &why) < 0;
		(void)pthread_mutex_lock(&w->lock);
		if (failed)
			fail_locked(w, &why);
		end_batch(w, b);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* --- the sealer ----------------------------------------------------------- */

/* Pack bytes, fsync, name, name durable, index (doc/invariants.md, I2). */
static int
seal(struct writer *w, struct pack_writer *p, struct err *e)
{
	int packs_fd = w->repository->packs_fd;

	if (pack_writer_seal(p, e) < 0 || pack_writer_publish(p, e) < 0)
		return -1;
	if (io_sync_dir(packs_fd, "packs", e) < 0)
		return -1;
	return store_add_pack(w->store, pack_writer_id(p), pack_writer_len(p),
			      pack_writer_ids(p), pack_writer_chunks(p), e);
}

/* The index has the pack's chunks now; with the lock. */
static void
retire(struct writer *w, const struct pack_writer *p)
{
	const struct id *ids = pack_writer_ids(p);
	uint32_t n = pack_writer_chunks(p);
	uint32_t i;

	for (i = 0; i < n; i++)
		idset_remove(&w->pending, &ids[i]);
	w->retired++;
	w->stats.packs++;
	w->stats.bytes_stored += pack_writer_len(p);
}

/* The next pack to seal, or NULL at the end; with the lock. */
static struct pack_writer *
next_pack(struct writer *w)
{
	struct pack_writer *p;

	while (w->n_to_seal == 0 && !w->stop)
		(void)pthread_cond_wait(&w->full, &w->lock);
	if (w->n_to_seal == 0)
		return NULL;
	p = w->sealing[0];
	w->n_to_seal--;
	memmove(&w->sealing[0], &w->sealing[1],
		w->n_to_seal * sizeof(struct pack_writer *));
	return p;
}

static void *
seal_packs(void *arg)
{
	struct writer *w = arg;
	struct err why = { 0 };
	struct pack_writer *p;
	bool failed;

	(void)pthread_mutex_lock(&w->lock);
	while ((p = next_pack(w)) != NULL) {
		failed = has_failed(w);
		(void)pthread_mutex_unlock(&w->lock);
		if (!failed)
			failed = seal(w, p, &why) < 0;
		(void)pthread_mutex_lock(&w->lock);
		if (failed)
			fail_locked(w, &why);
		else
			retire(w, p);
		w->n_sealing--;
		(void)pthread_cond_broadcast(&w->changed);
		(void)pthread_mutex_unlock(&w->lock);
		pack_writer_free(p);
		(void)pthread_mutex_lock(&w->lock);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* --- flushing ------------------------------------------------------------- */

/* Everything put so far leaves the batches; with the lock. */
static void
drain_batches(struct writer *w)
{
	unsigned kind;

	for (kind = 0; kind <= KIND_MAX; kind++)
		close_open(w, (enum id_kind)kind);
	while (!has_failed(w) && w->in_work > 0)
		(void)pthread_cond_wait(&w->changed, &w->lock);
}

/* False when there is a failure by then. */
static bool
drain_packs(struct writer *w)
{
	bool failed;

	(void)pthread_mutex_lock(&w->pack_lock);
	if (w->pack != NULL)
		hand_over(w);
	(void)pthread_mutex_unlock(&w->pack_lock);
	(void)pthread_mutex_lock(&w->lock);
	while (!has_failed(w) && w->n_sealing > 0)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	failed = has_failed(w);
	(void)pthread_mutex_unlock(&w->lock);
	return !failed;
}

/* Let nobody begin to put until end_flush.  False: there is a failure. */
static bool
begin_flush(struct writer *w)
{
	while (!has_failed(w) && w->flushing)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	if (has_failed(w))
		return false;
	w->flushing = true;
	drain_batches(w);
	return true;
}

static int
end_flush(struct writer *w, bool begun, struct err *e)
{
	if (begun)
		w->flushing = false;
	(void)pthread_cond_broadcast(&w->changed);
	return has_failed(w) ? tell_failure(w, e) : 0;
}

int
writer_flush(struct writer *w, struct err *e)
{
	struct err why = { 0 };
	bool begun;
	int rc;

	(void)pthread_mutex_lock(&w->lock);
	begun = begin_flush(w);
	(void)pthread_mutex_unlock(&w->lock);
	/*
	 * Even if nothing was stored: chunks that were known may be in packs
	 * of another process that has not made their names durable (I3).
	 */
	if (begun && drain_packs(w))
		(void)io_sync_dir(w->repository->packs_fd, "packs", &why);
	(void)pthread_mutex_lock(&w->lock);
	if (why.kind != ERR_NONE)
		fail_locked(w, &why);
	rc = end_flush(w, begun, e);
	(void)pthread_mutex_unlock(&w->lock);
	/* A cache: what is not written down is found in the packs again. */
	if (begun && rc == 0)
		(void)store_flush_index(w->store, NULL);
	return rc;
}

/* --- the writer ----------------------------------------------------------- */

static void
set_options(struct writer *w, const struct writer_options *opt)
{
	if (opt != NULL)
		w->opt = *opt;
	if (w->opt.threads == 0)
		w->opt.threads = (unsigned)pool_cpus();
	if (w->opt.threads > THREADS_MAX)
		w->opt.threads = THREADS_MAX;
	if (w->opt.level == 0)
		w->opt.level = FRAME_LEVEL_DEFAULT;
	if (w->opt.data_frame == 0)
		w->opt.data_frame = DATA_FRAME_DEFAULT;
	if (w->opt.data_frame > FRAME_RAW_MAX)
		w->opt.data_frame = FRAME_RAW_MAX;
	if (w->opt.meta_frame == 0)
		w->opt.meta_frame = META_FRAME_DEFAULT;
	if (w->opt.meta_frame > w->opt.data_frame)
		w->opt.meta_frame = w->opt.data_frame;
	if (w->opt.pack_len == 0)
		w->opt.pack_len = PACK_LEN_TARGET;
	/* A frame and the directory must still fit behind it. */
	if (w->opt.pack_len > PACK_LEN_MAX / 2)
		w->opt.pack_len = PACK_LEN_MAX / 2;
	/* A frame for each worker, and one for whoever is ready first. */
	w->work_max = ((size_t)w->opt.threads + 1) * w->opt.data_frame;
}

static int
start_threads(struct writer *w, struct err *e)
{
	struct worker *k;

	w->workers = mem_array(w->opt.threads, sizeof(*w->workers));
	if (w->workers == NULL)
		return err_nomem(e);
	if (pool_thread(&w->sealer, seal_packs, w, e) < 0)
		return -1;
	w->has_sealer = true;
	while (w->n_workers < w->opt.threads) {
		k = &w->workers[w->n_workers];
		k->writer = w;
		if (frame_coder_new(&k->coder, e) < 0)
			return -1;
		if (pool_thread(&k->thread, work, k, e) < 0) {
			frame_coder_free(k->coder);
			return -1;
		}
		w->n_workers++;
	}
	return 0;
}

int
writer_open(struct store *st, const struct writer_options *opt,
	    struct writer **out, struct err *e)
{
	struct writer *w;

	if (repository_want_write(store_repository(st), e) < 0 ||
	    session_references(store_session(st), e) < 0 ||
	    damage_references(store_damage(st), e) < 0)
		return -1;
	w = mem_zalloc(sizeof(*w));
	if (w == NULL)
		return err_nomem(e);
	w->sink.put = put;
	w->store = st;
	w->repository = store_repository(st);
	w->last = &w->first;
	set_options(w, opt);
	(void)pthread_mutex_init(&w->pack_lock, NULL);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->queued, NULL);
	(void)pthread_cond_init(&w->full, NULL);
	(void)pthread_cond_init(&w->changed, NULL);
	if (start_threads(w, e) < 0) {
		writer_close(w);
		return -1;
	}
	*out = w;
	return 0;
}

void
writer_stats(struct writer *w, struct writer_stats *out)
{
	(void)pthread_mutex_lock(&w->lock);
	*out = w->stats;
	(void)pthread_mutex_unlock(&w->lock);
}

/* What is on its way is thrown away, which a failure does. */
static void
stop_threads(struct writer *w)
{
	struct err why = { 0 };
	unsigned i;

	err_set(&why, ERR_CANCELLED, "the writer was closed");
	(void)pthread_mutex_lock(&w->lock);
	fail_locked(w, &why);
	w->stop = true;
	(void)pthread_cond_broadcast(&w->queued);
	(void)pthread_cond_broadcast(&w->full);
	(void)pthread_mutex_unlock(&w->lock);
	for (i = 0; i < w->n_workers; i++)
		(void)pthread_join(w->workers[i].thread, NULL);
	if (w->has_sealer)
		(void)pthread_join(w->sealer, NULL);
}

void
writer_close(struct writer *w)
{
	unsigned i;

	if (w == NULL)
		return;
	stop_threads(w);
	for (i = 0; i < w->n_workers; i++) {
		frame_coder_free(w->workers[i].coder);
		mem_free(w->workers[i].stored);
		mem_free(w->workers[i].raw);
	}
	mem_free(w->workers);
	for (i = 0; i <= KIND_MAX; i++)
		free_batch(w->open[i]);
	free_batches(w->first);
	for (i = 0; i < w->n_to_seal; i++)
		pack_writer_free(w->sealing[i]);
	pack_writer_free(w->pack);
	idset_clear(&w->pending);
	(void)pthread_cond_destroy(&w->changed);
	(void)pthread_cond_destroy(&w->full);
	(void)pthread_cond_destroy(&w->queued);
	(void)pthread_mutex_destroy(&w->lock);
	(void)pthread_mutex_destroy(&w->pack_lock);
	mem_free(w);
}
