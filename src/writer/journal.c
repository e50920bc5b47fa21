/*
 * A journal is a row of segment files, each named by the number of its first
 * entry, and each going on where the one before it ends.  Only the newest is
 * written to, and only by whoever made it: every opening begins a segment of
 * its own.  So nothing is ever appended to a file whose last sync nobody knows
 * the outcome of, no file has to be cut, and that the journal is in use is
 * durable before anything is accepted: the newest segment does not end with a
 * stop mark.
 *
 * A segment appears whole, by io_publish: header, and behind a stop that was
 * not clean the gap that it leaves.  There is no moment at which the end of the
 * stop before has gone and the gap is not there yet.
 *
 * After a stop that was not clean the id is new, too.  That is what makes it
 * safe to give numbers again: whatever a disk has forgotten, whatever old state
 * of it somebody brought back, a cut that was taken in the entries that are
 * lost is the cut of another journal.
 *
 * What the quota refuses is not in the journal, and a cut may lie between a
 * refusal and the gap that was written at the first one.  So a refusal behind
 * that gap is owed another, in front of the next entry that there is room for;
 * while one is owed there is no clean stop.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/journal.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "src/writer/journal_internal.h"
#include "src/writer/refuse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX      SEGMENT_PREFIX
#define NAME_LEN    SEGMENT_NAME_LEN
#define TEMP_PREFIX ".tmp-" /* io_publish's, left by a crash */

/* A segment takes no further entry once it is this long. */
#define SEGMENT_BYTES (UINT64_C(1) << 20)
/* One that may be dropped is ended early if that gives back this much. */
#define DROP_BYTES (UINT64_C(64) << 10)
/* Of the quota, for a gap and stop marks. */
#define ROOM 4096

struct journal {
	int dirfd; /* borrowed */
	uint8_t id[JOURNAL_ID_LEN];

	/* Of whoever changes it: */
	int fd; /* of the last segment */
	uint64_t quota;
	uint64_t next;
	bool gap_last; /* the last entry is a gap, of these: */
	char *gap_component, *gap_path, *gap_why;
	bool owed; /* something was refused behind a gap of all */

	/* Changed by the same, and read by anybody: */
	_Atomic uint64_t first;   /* number of the first entry */
	_Atomic uint64_t durable; /* the entries below it are */
	_Atomic uint64_t used;    /* bytes */
	atomic_bool dead;  /* something failed: takes nothing more */
	atomic_bool asked; /* for its next number, since the last entry */

	/* Guards the list, for those who do not change it: */
	pthread_mutex_t lock;
	struct segment *seg; /* at least one, in order */
	size_t segs, cap;
};

/* --- segments --------------------------------------------------------------- */

/* Behind the others; one that has the same name and no entry gives way. */
static int
add_segment(struct journal *j, uint64_t first, uint64_t end, struct err *e)
{
	size_t cap = j->cap < 8 ? 8 : j->cap * 2;
	struct segment *more = j->seg;

	(void)pthread_mutex_lock(&j->lock);
	if (j->segs > 0 && j->seg[j->segs - 1].first == first)
		j->used -= j->seg[--j->segs].end;
	if (j->segs == j->cap) {
		more = mem_resize(j->seg, cap, sizeof(*more));
		if (more != NULL) {
			j->seg = more;
			j->cap = cap;
		}
	}
	if (more != NULL)
		j->seg[j->segs++] = (struct segment){ first, end };
	(void)pthread_mutex_unlock(&j->lock);
	return more != NULL ? 0 : err_nomem(e);
}

static bool
keep_word(char **out, const char *s)
{
	if (s != NULL)
		*out = mem_strdup(s);
	return s == NULL || *out != NULL;
}

static void
forget_last(struct journal *j)
{
	mem_free(j->gap_component);
	mem_free(j->gap_path);
	mem_free(j->gap_why);
	j->gap_component = j->gap_path = j->gap_why = NULL;
}

/* What stands last now. */
static void
note_last(struct journal *j, const struct journal_entry *en)
{
	forget_last(j);
	j->gap_last = en->kind == JOURNAL_GAP;
	j->asked = false;
	if (!j->gap_last)
		return;
	/* Without its words it must not be taken for a wider one. */
	j->gap_last = keep_word(&j->gap_component, en->component) &&
		      keep_word(&j->gap_path, en->path) &&
		      keep_word(&j->gap_why, en->why);
}

static bool
ends_with_gap_of_all(const struct journal *j)
{
	return j->gap_last && j->gap_component == NULL;
}

static bool
is_same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * Begin a segment, with this entry in it unless it is NULL, and make it the
 * last.
 */
static int
begin_segment(struct journal *j, struct journal_entry *en, struct err *e)
{
	char name[NAME_LEN + 1];
	struct buf b = { 0 };
	int fd = -1;
	int rc = -1;

	journal_segment_put_header(j->id, j->next, &b);
	if (en != NULL) {
		en->seq = j->next;
		if (journal_encode(en, &b, e) < 0)
			goto out;
	}
	journal_segment_name(name, j->next);
	if (buf_ok(&b, e) < 0 ||
	    io_publish(j->dirfd, name, b.data, b.len, true, e) < 0)
		goto out;
	fd = io_open(j->dirfd, name, O_RDWR, 0, NULL, e);
	if (fd < 0)
		goto out;
	rc = add_segment(j, j->next, b.len, e);
	if (io_close(j->fd, PREFIX, e) < 0)
		rc = -1;
	j->fd = -1;
	if (rc < 0)
		goto out;
	j->fd = fd;
	fd = -1;
	j->used += b.len;
	if (en != NULL) {
		j->next++;
		note_last(j, en);
	}
out:
	(void)io_close(fd, name, NULL);
	buf_clear(&b);
	return rc;
}

static void
gap_of_all(struct journal_entry *en, const char *why)
{
	memset(en, 0, sizeof(*en));
	en->kind = JOURNAL_GAP;
	en->when = time_now();
	en->why = why;
}

/* --- opening ---------------------------------------------------------------- */

/* Take in the number of a segment; remove what a crash left half made. */
static int
take_name(void *ctx, const char *name, struct err *e)
{
	struct journal *j = ctx;
	uint64_t first = journal_segment_number(name);

	if (strncmp(name, TEMP_PREFIX, sizeof(TEMP_PREFIX) - 1) == 0)
		return io_unlink(j->dirfd, name, e);
	return first > 0 ? add_segment(j, first, 0, e) : 0;
}

static int
by_first(const void *a, const void *b)
{
	const struct segment *x = a;
	const struct segment *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Read segment i, behind those in front of it. */
static int
check_segment(struct journal *j, size_t i, struct segment_found *out,
	      struct err *e)
{
	struct segment *s = &j->seg[i];
	uint64_t until = i + 1 < j->segs ? j->seg[i + 1].first : 0;

	if (journal_segment_check(j->dirfd, s, until, out, e) < 0)
		return -1;
	memcpy(j->id, out->id, sizeof(j->id));
	j->next = out->next;
	j->used += s->end;
	return 0;
}

/*
 * Take all of it away, the oldest first, so that whenever all ends what is left
 * is what dropping leaves.  Without the newest, one that came to a clean stop
 * would be the last, and its numbers would be given again.
 */
static int
remove_all(struct journal *j, struct err *e)
{
	char name[NAME_LEN + 1];
	size_t i;

	for (i = 0; i < j->segs; i++) {
		journal_segment_name(name, j->seg[i].first);
		if (io_unlink(j->dirfd, name, e) < 0 ||
		    io_sync_dir(j->dirfd, ".", e) < 0)
			return -1;
	}
	j->segs = 0;
	j->used = 0;
	j->next = 1;
	return 0;
}

static int
begin_anew(struct journal *j, struct err *e)
{
	if (io_random(j->id, sizeof(j->id), e) < 0)
		return -1;
	return begin_segment(j, NULL, e);
}

/* There are segments, and they were read: go on behind them. */
static int
go_on(struct journal *j, bool clean, bool torn, bool *fresh, struct buf *note,
      struct err *e)
{
	struct journal_entry gap;

	if (clean)
		return begin_segment(j, NULL, e);
	*fresh = true;
	buf_add_str(note, torn ? "the journal was not stopped cleanly, and its "
				 "end cannot be read"
			       : "the journal was not stopped cleanly");
	if (io_random(j->id, sizeof(j->id), e) < 0)
		return -1;
	gap_of_all(&gap, "the journal was not stopped cleanly");
	return begin_segment(j, &gap, e);
}

/* Which there are, in order. */
static int
find_segments(struct journal *j, struct err *e)
{
	if (io_list(j->dirfd, PREFIX, take_name, j, e) < 0)
		return -1;
	if (j->segs > 1)
		qsort(j->seg, j->segs, sizeof(*j->seg), by_first);
	return 0;
}

static int
load(struct journal *j, bool *fresh, struct buf *note, struct err *e)
{
	struct segment_found last = { 0 };
	struct err why = { 0 };
	size_t i;
	int rc = 0;

	if (find_segments(j, e) < 0)
		return -1;
	for (i = 0; rc == 0 && i < j->segs; i++)
		rc = check_segment(j, i, &last, &why);
	if (rc < 0 && !err_is_rot(&why)) {
		err_move(e, &why);
		return -1;
	}
	*fresh = rc < 0 || j->segs == 0;
	if (rc < 0) {
		buf_printf(note, "the journal was begun anew: %s", why.text);
		if (remove_all(j, e) < 0)
			return -1;
	}
	if (j->segs == 0)
		return begin_anew(j, e);
	return go_on(j, last.last == JOURNAL_STOP && !last.torn, last.torn,
		     fresh, note, e);
}

static struct journal *
new_journal(int dirfd, struct err *e)
{
	struct journal *j = mem_zalloc(sizeof(*j));

	if (j == NULL || pthread_mutex_init(&j->lock, NULL) != 0) {
		mem_free(j);
		(void)err_nomem(e);
		return NULL;
	}
	j->dirfd = dirfd;
	j->fd = -1;
	j->next = 1;
	return j;
}

int
journal_open(int dirfd, uint64_t quota, struct journal **out, bool *fresh,
	     struct buf *note, struct err *e)
{
	struct journal *j = new_journal(dirfd, e);
	bool is_fresh = false;

	if (j == NULL)
		return -1;
	j->quota = quota;
	if (load(j, &is_fresh, note, e) < 0) {
		journal_abandon(j);
		return -1;
	}
	j->first = j->seg[0].first;
	j->durable = j->next;
	*out = j;
	*fresh = is_fresh;
	return 0;
}

int
journal_remove(int dirfd, struct err *e)
{
	struct journal *j = new_journal(dirfd, e);
	int rc = -1;

	if (j == NULL)
		return -1;
	if (find_segments(j, e) == 0)
		rc = remove_all(j, e);
	journal_abandon(j);
	return rc;
}

const uint8_t *
journal_id(const struct journal *j)
{
	return j->id;
}

uint64_t
journal_next(struct journal *j)
{
	j->asked = true;
	return j->durable;
}

uint64_t
journal_first(const struct journal *j)
{
	return j->first;
}

/* Up to a colon: behind it is told what it was this time. */
static bool
is_same_reason(const char *a, const char *b)
{
	size_t n = a != NULL ? strcspn(a, ":") : 0;

	if (a == NULL || b == NULL || a[n] == '\0')
		return is_same(a, b);
	return strncmp(a, b, n + 1) == 0;
}

bool
journal_ends_with_gap(const struct journal *j, const char *component,
		      const char *path, const char *why)
{
	if (!j->gap_last || j->asked || !is_same_reason(why, j->gap_why))
		return false;
	if (j->gap_component == NULL)
		return true;
	return is_same(component, j->gap_component) &&
	       (j->gap_path == NULL || is_same(path, j->gap_path));
}

/* --- writing ---------------------------------------------------------------- */

/*
 * Append, whatever the quota says, without a sync but for that of a segment that
 * ends here.  A failure is the journal's end: what is in the file now, nobody
 * knows.
 */
static int
put_entry(struct journal *j, struct journal_entry *en, struct err *e)
{
	struct buf head = { 0 };
	uint64_t len;
	int rc = 0;

	if (j->seg[j->segs - 1].end >= SEGMENT_BYTES) {
		rc = io_sync(j->fd, PREFIX, e);
		if (rc == 0)
			rc = begin_segment(j, NULL, e);
	}
	en->seq = j->next;
	if (rc == 0)
		rc = journal_encode_head(en, &head, e);
	if (rc == 0)
		rc = journal_segment_write(j->fd, j->seg[j->segs - 1].end, en,
					   &head, e);
	if (rc == 0) {
		len = journal_frame_len(head.data);
		(void)pthread_mutex_lock(&j->lock);
		j->seg[j->segs - 1].end += len;
		(void)pthread_mutex_unlock(&j->lock);
		j->used += len;
		j->next++;
		note_last(j, en);
	} else {
		j->dead = true;
	}
	buf_clear(&head);
	return rc;
}

static int
sync_entries(struct journal *j, struct err *e)
{
	if (io_sync(j->fd, PREFIX, e) == 0) {
		j->durable = j->next;
		return 0;
	}
	j->dead = true;
	return -1;
}

static int
write_entry(struct journal *j, struct journal_entry *en, struct err *e)
{
	return put_entry(j, en, e) < 0 ? -1 : sync_entries(j, e);
}

static int
write_gap(struct journal *j, const char *why, struct err *e)
{
	struct journal_entry gap;

	gap_of_all(&gap, why);
	return write_entry(j, &gap, e);
}

static bool
has_room(const struct journal *j, uint64_t bytes)
{
	return j->used + ROOM <= j->quota && bytes <= j->quota - j->used - ROOM;
}

/* Bytes that the entry will take; UINT64_MAX when it is too long for one. */
static int
measure(const struct journal_entry *en, uint64_t *out, struct err *e)
{
	struct buf head = { 0 };
	struct err why = { 0 };
	int rc;

	rc = journal_encode_head(en, &head, &why);
	if (rc == 0)
		*out = journal_frame_len(head.data);
	else if (refuse_errno(&why) == EDQUOT)
		*out = UINT64_MAX;
	buf_clear(&head);
	if (rc == 0 || refuse_errno(&why) == EDQUOT)
		return 0;
	err_move(e, &why);
	return -1;
}

static int
refuse_for_quota(struct journal *j, struct err *e)
{
	if (ends_with_gap_of_all(j))
		j->owed = true;
	else if (write_gap(j, "the quota of the journal is used up", e) < 0)
		return -1;
	return refuse_set(e, EDQUOT,
			  "no room in the journal: %" PRIu64 " of %" PRIu64
			  " bytes are used",
			  j->used, j->quota);
}

static int
check_alive(const struct journal *j, struct err *e)
{
	if (!j->dead)
		return 0;
	return err_set(e, ERR_SYS,
		       "journal: it failed before, and takes nothing until it "
		       "is opened anew");
}

int
journal_append(struct journal *j, struct journal_entry *en, struct err *e)
{
	return journal_append_all(j, en, 1, e);
}

/* Bytes that all will take together, each with its time; as measure. */
static int
measure_all(struct journal_entry *en, size_t n, uint64_t *out, struct err *e)
{
	uint64_t bytes;
	size_t i;

	*out = 0;
	for (i = 0; i < n; i++) {
		bytes = 0;
		if (en[i].when.sec == 0 && en[i].when.nsec == 0)
			en[i].when = time_now();
		if (measure(&en[i], &bytes, e) < 0)
			return -1;
		*out = bytes < UINT64_MAX - *out ? *out + bytes : UINT64_MAX;
	}
	return 0;
}

/* What takes back statements is always taken: they must not count. */
static bool
are_discards(const struct journal_entry *en, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (en[i].kind != JOURNAL_DISCARD)
			return false;
	return true;
}

int
journal_append_all(struct journal *j, struct journal_entry *en, size_t n,
		   struct err *e)
{
	uint64_t bytes;
	size_t i;

	if (check_alive(j, e) < 0)
		return -1;
	if (measure_all(en, n, &bytes, e) < 0) {
		j->dead = true;
		return -1;
	}
	if (!has_room(j, bytes) && !are_discards(en, n))
		return refuse_for_quota(j, e);
	if (j->owed) {
		if (write_gap(j, "the quota of the journal was used up", e) < 0)
			return -1;
		j->owed = false;
	}
	for (i = 0; i < n; i++)
		if (put_entry(j, &en[i], e) < 0)
			return -1;
	return sync_entries(j, e);
}

uint64_t
journal_bytes(const struct journal *j)
{
	return j->used;
}

void
journal_limit(struct journal *j, uint64_t quota)
{
	j->quota = quota;
}

int
journal_stop(struct journal *j, struct err *e)
{
	struct journal_entry stop = { .kind = JOURNAL_STOP };
	int rc = check_alive(j, e);

	stop.when = time_now();
	if (rc == 0 && !j->owed)
		rc = write_entry(j, &stop, e);
	if (rc == 0) {
		rc = io_close(j->fd, PREFIX, e);
		j->fd = -1;
	}
	journal_abandon(j);
	return rc;
}

void
journal_abandon(struct journal *j)
{
	if (j == NULL)
		return;
	(void)io_close(j->fd, PREFIX, NULL);
	forget_last(j);
	(void)pthread_mutex_destroy(&j->lock);
	mem_free(j->seg);
	mem_free(j);
}

/* --- dropping --------------------------------------------------------------- */

/*
 * The directory is synced after each: a crash must not leave a segment whose
 * successor is gone.
 */
static int
drop_first(struct journal *j, struct err *e)
{
	char name[NAME_LEN + 1];

	journal_segment_name(name, j->seg[0].first);
	/* First of all, so that whoever misses it can see why. */
	(void)pthread_mutex_lock(&j->lock);
	j->used -= j->seg[0].end;
	j->segs--;
	memmove(j->seg, j->seg + 1, j->segs * sizeof(*j->seg));
	j->first = j->seg[0].first;
	(void)pthread_mutex_unlock(&j->lock);
	if (io_unlink(j->dirfd, name, e) < 0)
		return -1;
	return io_sync_dir(j->dirfd, ".", e);
}

int
journal_drop(struct journal *j, uint64_t seq, struct err *e)
{
	int rc = check_alive(j, e);

	if (rc == 0 && seq >= j->next && j->seg[j->segs - 1].end >= DROP_BYTES)
		rc = begin_segment(j, NULL, e);
	while (rc == 0 && j->segs > 1 && j->seg[1].first <= seq)
		rc = drop_first(j, e);
	if (rc < 0)
		j->dead = true;
	return rc;
}

/* --- looking at it ---------------------------------------------------------- */

int
journal_view(struct journal *j, struct journal_view **out, struct err *e)
{
	struct journal_view *v;
	int rc = -1;

	/* What was refused when it failed has left no gap yet. */
	if (check_alive(j, e) < 0)
		return -1;
	(void)pthread_mutex_lock(&j->lock);
	v = mem_zalloc(sizeof(*v) + j->segs * sizeof(*v->seg));
	if (v != NULL) {
		v->dirfd = j->dirfd;
		v->until = j->durable;
		v->segs = j->segs;
		memcpy(v->seg, j->seg, j->segs * sizeof(*v->seg));
		*out = v;
		rc = 0;
	}
	(void)pthread_mutex_unlock(&j->lock);
	return rc < 0 ? err_nomem(e) : 0;
}
