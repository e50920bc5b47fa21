/*
 * damage.c
 *
 * The set is an array of notes in the order of their packs' ids, replaced as
 * a whole.  Nearly always it is empty, and then nobody takes the lock.
 *
 * Notes are replaced by rename and removed by unlink, so a change of one is
 * a change of the directory: while its mtime stays, and was old enough when
 * it was read, nothing is read again.
 *
 * Frames that this process itself could not read are kept beside the notes, in
 * memory alone: what a note is made of is the reading of a whole pack.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/damage.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"
#include "base/time.h"
#include "store/id.h"
#include "store/packset.h"
#include "store/repository.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DIR_NAME "damaged"
#define DIR_MODE 0700

#define MAGIC      "asofdama"
#define MAGIC_LEN  8
#define VERSION    1
#define FLAG_WHOLE 1u
#define HASH_LEN   16
#define HEAD_LEN   (MAGIC_LEN + 4 + PACK_ID_LEN + 4 + 4)
#define FILE_MAX   (HEAD_LEN + 4 * (size_t)DAMAGE_FRAMES_MAX + HASH_LEN)

/* Frames in all notes; notes beyond are of whole packs (16 MiB of memory). */
#define FRAMES_ALL_MAX ((size_t)1 << 22)

/* Frames that this process has met; a disk this bad is for check. */
#define MET_MAX 1024

/* Names can still appear under an mtime that is younger than this. */
#define SETTLED_NS INT64_C(100000000)

#define SHOWN(path) path_show_in((char[PATH_SHOW_LEN]){ 0 }, path, strlen(path))

/* A note of the set. */
struct noted {
	struct damage_note note;
	bool unread;
};

struct notes {
	struct noted *v; /* rising by pack */
	size_t n, cap;
	size_t frames;
};

/* A frame that this process could not read. */
struct met {
	struct pack_id pack;
	uint32_t offset;
};

struct damage {
	const struct repository *repository;

	/* damage_refresh's. */
	struct timespec mtime; /* of damaged/ before it was read */
	bool settled;          /* and nothing can have changed since */

	_Atomic size_t count;  /* of the notes: 0 needs no lock */
	_Atomic bool unlisted; /* damaged/ could not be listed */
	pthread_rwlock_t lock; /* guards what follows; never across I/O */
	struct notes notes;
	struct err why; /* unlisted */
	struct met met[MET_MAX];
	_Atomic size_t met_count; /* written with the lock */
};

/* --- one note --------------------------------------------------------------- */

void
damage_note_clear(struct damage_note *n)
{
	mem_free(n->at);
	n->at = NULL;
	n->count = 0;
	n->whole = false;
}

/* Where the offset is in the note, or would have to be. */
static size_t
place_of(const struct damage_note *n, uint32_t offset)
{
	size_t lo = 0;
	size_t hi = n->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (n->at[mid] < offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool
has_frame(const struct damage_note *n, uint32_t offset)
{
	size_t i = place_of(n, offset);

	return i < n->count && n->at[i] == offset;
}

int
damage_note_add(struct damage_note *n, uint32_t offset, struct err *e)
{
	size_t i = place_of(n, offset);
	uint32_t *more;

	if (n->whole || has_frame(n, offset))
		return 0;
	if (n->count == DAMAGE_FRAMES_MAX) {
		damage_note_clear(n);
		n->whole = true;
		return 0;
	}
	/* Grown when the count is a power of two: 0, 1, 2, 4, 8 ... */
	if ((n->count & (n->count - 1)) == 0) {
		more = mem_resize(n->at, n->count == 0 ? 1 : n->count * 2,
				  sizeof(*more));
		if (more == NULL)
			return err_nomem(e);
		n->at = more;
	}
	memmove(&n->at[i + 1], &n->at[i], (n->count - i) * sizeof(*n->at));
	n->at[i] = offset;
	n->count++;
	return 0;
}

int
damage_encode(const struct damage_note *n, struct buf *out, struct err *e)
{
	uint8_t hash[HASH_LEN];
	size_t start = out->len;
	size_t i;

	wr_bytes(out, MAGIC, MAGIC_LEN);
	wr_u32(out, VERSION);
	wr_bytes(out, n->pack.b, PACK_ID_LEN);
	wr_u32(out, n->whole ? FLAG_WHOLE : 0);
	wr_u32(out, (uint32_t)n->count);
	for (i = 0; i < n->count; i++)
		wr_u32(out, n->at[i]);
	if (buf_ok(out, e) < 0)
		return -1;
	hash_plain(out->data + start, out->len - start, hash, sizeof(hash));
	wr_bytes(out, hash, sizeof(hash));
	return buf_ok(out, e);
}

/* `count` offsets, which are there. */
static int
decode_frames(struct rd *r, uint32_t count, struct damage_note *n,
	      struct err *e)
{
	uint32_t i;

	n->at = count == 0 ? NULL : mem_array(count, sizeof(*n->at));
	if (count > 0 && n->at == NULL)
		return err_nomem(e);
	for (i = 0; i < count; i++) {
		n->at[i] = rd_u32(r);
		if (n->at[i] >= PACK_LEN_MAX ||
		    (i > 0 && n->at[i] <= n->at[i - 1]))
			return err_set(e, ERR_CORRUPT,
				       "its frames are not in order");
	}
	n->count = count;
	return 0;
}

static int
decode_body(struct rd *r, const struct pack_id *pack, struct damage_note *out,
	    struct err *e)
{
	uint32_t flags;
	uint32_t count;

	rd_copy(r, out->pack.b, PACK_ID_LEN);
	flags = rd_u32(r);
	count = rd_u32(r);
	if (!rd_ok(r) || memcmp(out->pack.b, pack->b, PACK_ID_LEN) != 0)
		return err_set(e, ERR_CORRUPT, "it is not of this pack");
	if (flags > FLAG_WHOLE || (flags == FLAG_WHOLE) != (count == 0))
		return err_set(e, ERR_CORRUPT, "its flags are wrong");
	if (count > DAMAGE_FRAMES_MAX || count != r->left / 4)
		return err_set(e, ERR_CORRUPT, "its length is wrong");
	out->whole = flags == FLAG_WHOLE;
	if (decode_frames(r, count, out, e) < 0)
		return -1;
	if (!rd_done(r))
		return err_set(e, ERR_CORRUPT, "its length is wrong");
	return 0;
}

/* The magic and the checksum are where they are in every version. */
int
damage_decode(const void *p, size_t len, const struct pack_id *pack,
	      struct damage_note *out, struct err *e)
{
	const uint8_t *bytes = p;
	size_t body = len < HASH_LEN ? 0 : len - HASH_LEN;
	struct damage_note n = { .whole = false };
	struct rd r = rd_init(p, body);
	const uint8_t *magic = rd_bytes(&r, MAGIC_LEN);
	uint32_t version = rd_u32(&r);
	uint8_t hash[HASH_LEN];

	if (!rd_ok(&r) || memcmp(magic, MAGIC, MAGIC_LEN) != 0)
		return err_set(e, ERR_CORRUPT, "not a note of damage");
	hash_plain(bytes, body, hash, sizeof(hash));
	if (memcmp(hash, bytes + body, HASH_LEN) != 0)
		return err_set(e, ERR_CORRUPT, "its checksum is wrong");
	if (version != VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			       "version %" PRIu32 " is newer than this program",
			       version);
	if (decode_body(&r, pack, &n, e) < 0) {
		damage_note_clear(&n);
		return -1;
	}
	*out = n;
	return 0;
}

/* --- reading and writing files ---------------------------------------------- */

static int
in_damaged(const struct repository *r, struct err *e)
{
	return err_prefix(e, "%s/" DIR_NAME, SHOWN(r->path));
}

/* The directory's descriptor; -1 with *missing and no error when there is none. */
static int
open_damaged(const struct repository *r, bool *missing, struct err *e)
{
	*missing = false;
	return io_open(r->fd, DIR_NAME, O_RDONLY | O_DIRECTORY, 0, missing, e);
}

/* 1 when there is none. */
static int
read_note(int dirfd, const struct pack_id *pack, struct damage_note *out,
	  struct err *e)
{
	char name[PACK_NAME_LEN + 1];
	struct buf b = { 0 };
	int rc;

	pack_name(name, pack);
	rc = io_read_file(dirfd, name, FILE_MAX, &b, e);
	if (rc == 0) {
		rc = damage_decode(b.data, b.len, pack, out, e);
		if (rc < 0)
			(void)err_prefix(e, "%s", name);
	}
	buf_clear(&b);
	return rc;
}

static bool
same_note(const struct damage_note *a, const struct damage_note *b)
{
	return a->whole == b->whole && a->count == b->count &&
	       (a->count == 0 ||
		memcmp(a->at, b->at, a->count * sizeof(*a->at)) == 0);
}

/* What is there: 0 something else, 1 nothing, 2 the same; -1 not ours. */
static int
compare_note(int dirfd, const struct damage_note *n, struct err *e)
{
	struct damage_note old = { .whole = false };
	struct err why = { 0 };
	int rc = read_note(dirfd, &n->pack, &old, &why);

	if (rc == 0 && same_note(n, &old))
		rc = 2;
	damage_note_clear(&old);
	if (rc >= 0)
		return rc;
	if (why.kind != ERR_UNSUPPORTED && why.kind != ERR_NOMEM)
		return 0;
	err_move(e, &why);
	return -1;
}

static int
publish_note(int dirfd, const struct damage_note *n, const char *name,
	     struct err *e)
{
	struct buf b = { 0 };
	int rc = damage_encode(n, &b, e);

	if (rc == 0)
		rc = io_publish(dirfd, name, b.data, b.len, true, e);
	buf_clear(&b);
	return rc;
}

static int
replace_note(int dirfd, const struct damage_note *n, struct err *e)
{
	bool empty = !n->whole && n->count == 0;
	char name[PACK_NAME_LEN + 1];
	int rc = compare_note(dirfd, n, e);

	if (rc < 0)
		return -1;
	if (rc == 2 || (rc == 1 && empty))
		return 0;
	pack_name(name, &n->pack);
	if (!empty)
		return publish_note(dirfd, n, name, e);
	if (io_unlink(dirfd, name, e) < 0)
		return -1;
	return io_sync_dir(dirfd, DIR_NAME, e);
}

int
damage_put(const struct repository *r, const struct damage_note *n,
	   struct err *e)
{
	bool missing;
	int fd;
	int rc;

	fd = open_damaged(r, &missing, e);
	if (missing && !n->whole && n->count == 0)
		return 0;
	if (repository_want_write(r, e) < 0) {
		(void)io_close(fd, DIR_NAME, NULL);
		return -1;
	}
	if (missing) {
		if (io_mkdir(r->fd, DIR_NAME, DIR_MODE, e) < 0)
			return err_prefix(e, "%s", SHOWN(r->path));
		fd = open_damaged(r, &missing, e);
	}
	if (fd < 0)
		return err_prefix(e, "%s", SHOWN(r->path));
	rc = replace_note(fd, n, e);
	(void)io_close(fd, DIR_NAME, NULL);
	return rc < 0 ? in_damaged(r, e) : 0;
}

/* --- the set ---------------------------------------------------------------- */

static void
clear_notes(struct notes *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		damage_note_clear(&s->v[i].note);
	mem_free(s->v);
	memset(s, 0, sizeof(*s));
}

static int
reserve_note(struct notes *s, struct err *e)
{
	size_t cap = s->cap == 0 ? 16 : s->cap * 2;
	struct noted *v;

	if (s->n < s->cap)
		return 0;
	v = mem_resize(s->v, cap, sizeof(*v));
	if (v == NULL)
		return err_nomem(e);
	s->v = v;
	s->cap = cap;
	return 0;
}

/* What is loaded, and from where. */
struct loading {
	struct notes notes;
	int fd;
};

static int
load_note(void *ctx, const char *name, struct err *e)
{
	struct loading *l = ctx;
	struct notes *s = &l->notes;
	struct noted n = { .unread = false };
	struct err why = { 0 };
	struct pack_id id;
	int rc;

	if (!pack_name_parse(name, &id))
		return 0;
	if (reserve_note(s, e) < 0)
		return -1;
	rc = read_note(l->fd, &id, &n.note, &why);
	if (rc == 1) /* removed since it was listed */
		return 0;
	if (rc < 0 && why.kind == ERR_NOMEM)
		return err_nomem(e);
	n.unread = rc < 0;
	if (rc < 0 || n.note.count > FRAMES_ALL_MAX - s->frames) {
		damage_note_clear(&n.note);
		n.note.whole = true;
	}
	n.note.pack = id;
	s->frames += n.note.count;
	s->v[s->n++] = n;
	return 0;
}

static int
cmp_notes(const void *pa, const void *pb)
{
	const struct noted *a = pa;
	const struct noted *b = pb;

	return pack_id_cmp(&a->note.pack, &b->note.pack);
}

/* Put *s, and why it is not all, in the place of the set, and clear the old. */
static void
swap_notes(struct damage *d, struct notes *s, struct err *why)
{
	struct notes old;

	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), cmp_notes);
	(void)pthread_rwlock_wrlock(&d->lock);
	old = d->notes;
	d->notes = *s;
	err_clear(&d->why);
	err_move(&d->why, why);
	atomic_store(&d->count, d->notes.n);
	atomic_store(&d->unlisted, d->why.kind != ERR_NONE);
	(void)pthread_rwlock_unlock(&d->lock);
	clear_notes(&old);
	memset(s, 0, sizeof(*s));
}

/* True when the directory is as it was when it was read. */
static bool
is_unchanged(const struct damage *d, const struct timespec *mtime)
{
	return d->settled && mtime->tv_sec == d->mtime.tv_sec &&
	       mtime->tv_nsec == d->mtime.tv_nsec;
}

/* The directory is open; as damage_refresh. */
static int
refresh_open(struct damage *d, int fd, struct err *e)
{
	struct loading l = { .fd = fd };
	struct err why = { 0 };
	struct ts settled = ts_add_ns(time_now_coarse(), -SETTLED_NS);
	struct timespec mtime = { 0 };
	struct stat st;

	if (sys_repo->fstat(fd, &st) == 0)
		mtime = st.st_mtim;
	if (is_unchanged(d, &mtime))
		return 0;
	d->settled = false;
	if (io_list(fd, DIR_NAME, load_note, &l, &why) < 0) {
		(void)in_damaged(d->repository, &why);
		if (why.kind == ERR_NOMEM) {
			clear_notes(&l.notes);
			err_move(e, &why);
			return -1;
		}
	}
	d->mtime = mtime;
	d->settled =
		why.kind == ERR_NONE &&
		ts_cmp((struct ts){ mtime.tv_sec, (uint32_t)mtime.tv_nsec },
		       settled) < 0;
	swap_notes(d, &l.notes, &why);
	return 0;
}

int
damage_refresh(struct damage *d, struct err *e)
{
	struct notes none = { 0 };
	struct err why = { 0 };
	bool missing;
	int fd = open_damaged(d->repository, &missing, &why);
	int rc;

	if (fd >= 0) {
		rc = refresh_open(d, fd, e);
		(void)io_close(fd, DIR_NAME, NULL);
		return rc;
	}
	if (why.kind == ERR_NOMEM) {
		err_move(e, &why);
		return -1;
	}
	d->settled = false;
	if (!missing)
		(void)err_prefix(&why, "%s", SHOWN(d->repository->path));
	swap_notes(d, &none, &why);
	return 0;
}

int
damage_new(const struct repository *r, struct damage **out, struct err *e)
{
	struct damage *d = mem_zalloc(sizeof(*d));

	if (d == NULL)
		return err_nomem(e);
	d->repository = r;
	(void)pthread_rwlock_init(&d->lock, NULL);
	*out = d;
	return 0;
}

void
damage_free(struct damage *d)
{
	if (d == NULL)
		return;
	clear_notes(&d->notes);
	(void)pthread_rwlock_destroy(&d->lock);
	mem_free(d);
}

/* --- asking ----------------------------------------------------------------- */

int
damage_references(struct damage *d, struct err *e)
{
	struct err why;

	if (!atomic_load(&d->unlisted))
		return 0;
	(void)pthread_rwlock_rdlock(&d->lock);
	why = d->why;
	(void)pthread_rwlock_unlock(&d->lock);
	if (why.kind == ERR_NONE) /* it could be, this instant */
		return 0;
	err_move(e, &why);
	return -1;
}

/* The note of the pack, or NULL; with the lock. */
static const struct noted *
find_note(const struct damage *d, const struct pack_id *pack)
{
	const struct notes *s = &d->notes;
	struct noted key = { .note = { .pack = *pack } };

	return s->n == 0 ? NULL
			 : bsearch(&key, s->v, s->n, sizeof(key), cmp_notes);
}

/* What the pack's note says of the frame: 0 nothing, 1 all, 2 just that. */
static int
ask(struct damage *d, const struct pack_id *pack, uint32_t offset)
{
	const struct noted *n;
	int answer = 0;

	if (atomic_load_explicit(&d->count, memory_order_acquire) == 0)
		return 0;
	(void)pthread_rwlock_rdlock(&d->lock);
	n = find_note(d, pack);
	if (n != NULL && n->note.whole)
		answer = 1;
	else if (n != NULL && has_frame(&n->note, offset))
		answer = 2;
	(void)pthread_rwlock_unlock(&d->lock);
	return answer;
}

static bool
was_met_locked(const struct damage *d, const struct pack_id *pack,
	       uint32_t offset)
{
	size_t n = atomic_load(&d->met_count);

	for (size_t i = 0; i < n; i++)
		if (d->met[i].offset == offset &&
		    pack_id_cmp(&d->met[i].pack, pack) == 0)
			return true;
	return false;
}

void
damage_meet(struct damage *d, const struct pack_id *pack, uint32_t offset)
{
	size_t n;

	(void)pthread_rwlock_wrlock(&d->lock);
	n = atomic_load(&d->met_count);
	if (n < MET_MAX && !was_met_locked(d, pack, offset)) {
		d->met[n] = (struct met){ *pack, offset };
		atomic_store(&d->met_count, n + 1);
	}
	(void)pthread_rwlock_unlock(&d->lock);
}

static bool
was_met(struct damage *d, const struct pack_id *pack, uint32_t offset)
{
	bool yes;

	if (atomic_load(&d->met_count) == 0)
		return false;
	(void)pthread_rwlock_rdlock(&d->lock);
	yes = was_met_locked(d, pack, offset);
	(void)pthread_rwlock_unlock(&d->lock);
	return yes;
}

bool
damage_suspect(struct damage *d, const struct pack_id *pack, uint32_t offset)
{
	return ask(d, pack, offset) != 0 || was_met(d, pack, offset);
}

bool
damage_found(struct damage *d, const struct pack_id *pack, uint32_t offset)
{
	return ask(d, pack, offset) == 2;
}

bool
damage_noted(struct damage *d, const struct pack_id *pack)
{
	bool yes;

	if (atomic_load(&d->count) == 0)
		return false;
	(void)pthread_rwlock_rdlock(&d->lock);
	yes = find_note(d, pack) != NULL;
	(void)pthread_rwlock_unlock(&d->lock);
	return yes;
}

int
damage_packs(struct damage *d, struct damage_pack **out, size_t *count,
	     struct err *e)
{
	struct damage_pack *v;
	size_t n;
	size_t i;

	(void)pthread_rwlock_rdlock(&d->lock);
	n = d->notes.n;
	v = mem_array(n + 1, sizeof(*v));
	for (i = 0; v != NULL && i < n; i++) {
		v[i].id = d->notes.v[i].note.pack;
		v[i].unread = d->notes.v[i].unread;
	}
	(void)pthread_rwlock_unlock(&d->lock);
	if (v == NULL)
		return err_nomem(e);
	*out = v;
	*count = n;
	return 0;
}
