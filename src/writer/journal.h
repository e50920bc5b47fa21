/*
 * journal - what a writer has declared, one entry after the other, durable.
 *
 * doc/control.md, section 7.  One journal per registered writer, on this
 * machine, outside the repository.  Every entry has a sequence number: they
 * rise by one from 1 and are never given twice.  Nothing is consumed: a backup
 * uses what lies above the cut of the generation that it compares with, and
 * entries are dropped from the old end only, below every cut that may still be
 * asked for.
 *
 * The journal's id is random and new whenever entries may have been lost.
 * After a stop that was not clean a gap of all that the writer has is appended,
 * and the id is new; the entries stay and the numbers go on.  An end that cannot
 * be read (a crash while an entry was written) is cut off.  A journal that
 * cannot be read elsewhere is replaced by an empty one with a new id.
 *
 * One thread at a time changes a journal (append, drop, limit, stop), and the
 * caller sees to that.  Meanwhile others may ask for its numbers and its bytes,
 * and make views.
 */
#ifndef ASOF_WRITER_JOURNAL_H
#define ASOF_WRITER_JOURNAL_H

#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct ranges;

#define JOURNAL_ID_LEN 16

/* Stored: never renumber. */
enum journal_kind {
	JOURNAL_STATEMENT = 1, /* accepted: its normal form */
	JOURNAL_GAP = 2,       /* from here back, less is known */
	JOURNAL_DISCARD = 3,   /* the event's statements do not count */
	JOURNAL_STOP = 4,      /* a clean stop */
};

/*
 * What a file was when a statement about it was accepted, or what it is now.
 * Equal facts mean that nothing has touched it since.  Without `known` there
 * was nothing to be found out, and they equal nothing.
 */
#define FACTS_FS_MAX 96 /* SRC_FSID_MAX */
struct facts {
	bool known;
	bool young; /* ctime was less than a clock tick old: proves nothing */
	bool has_btime;
	char fs[FACTS_FS_MAX]; /* src_fs_id */
	uint64_t ino, size;
	struct ts mtime, ctime, btime;
};
bool facts_equal(const struct facts *a, const struct facts *b);

/* The same inode of the same file system, whatever its times and size? */
bool facts_same_file(const struct facts *a, const struct facts *b);

/*
 * An entry.  What a kind does not have is zero.  Decoded, strings and ranges
 * belong to the reader and hold until its next entry.
 */
struct journal_entry {
	uint64_t seq; /* given by append */
	enum journal_kind kind;
	struct ts when;
	/*
	 * The session in whose event it was said, and the event; zero outside
	 * of one.  `window`: between prepare-backup and the end of the edit
	 * window, when the writer answers for what it says.
	 */
	uint8_t session[16];
	uint64_t event;
	bool window;

	const char *text; /* STATEMENT: normal form, without a newline */
	size_t text_len;
	struct facts facts; /* STATEMENT about a file */
	/* STATEMENT with a ranges file: its copy */
	const struct ranges *ranges;

	const char *component; /* GAP: NULL all of the writer's */
	const char *path;      /* GAP: NULL all of the component's */
	const char *why;       /* GAP: a sentence */
};

struct journal;

/*
 * Open the journal in the directory `dirfd` (borrowed until the end; all of it
 * is the journal's, and it is to be closed to others, because the files are
 * not), or begin one.  *fresh: it has a new id.  Says what was
 * wrong in *note (a sentence, appended; may stay empty).  ERR_UNSUPPORTED: it
 * is a newer program's.
 */
int journal_open(int dirfd, uint64_t quota, struct journal **out, bool *fresh,
		 struct buf *note, struct err *e);

/*
 * Mark a clean stop and close, whatever is returned.  No mark, and the next
 * opening finds a gap: if the journal failed, if a gap is still owed, and
 * after journal_abandon.
 */
int journal_stop(struct journal *j, struct err *e);
void journal_abandon(struct journal *j); /* takes NULL */

/*
 * Take away what is in the directory, without opening it: whatever it was, the
 * next opening begins anew, with a new id.
 */
int journal_remove(int dirfd, struct err *e);

const uint8_t *journal_id(const struct journal *j);

/*
 * The number that the next entry will get; what is below it is durable.  Whoever
 * asks may take it for a cut.
 */
uint64_t journal_next(struct journal *j);
/* The number of the first entry that is kept; journal_next when none is. */
uint64_t journal_first(const struct journal *j);

/*
 * Append, durably, and give it its number (en->seq), and the time unless it
 * has one.  ERR_USAGE with saved_errno EDQUOT when the quota is used up: then
 * nothing was appended but, once, a gap of all (for which room is kept; what is
 * refused behind it gets another gap once there is room).  After any other
 * failure the journal takes nothing more until it is opened anew, which will
 * find a gap.
 */
int journal_append(struct journal *j, struct journal_entry *en, struct err *e);

/*
 * The same of n entries, which are durable together: all, or none when the
 * quota does not suffice for all.  That discards statements is taken whatever
 * the quota.
 */
int journal_append_all(struct journal *j, struct journal_entry *en, size_t n,
		       struct err *e);

/*
 * Does it end with a gap that is as wide as this one would be (as in an entry),
 * for the same reason, up to a colon?  Another would say nothing new, unless
 * somebody may have taken a cut behind it: then, no.  For whoever changes the
 * journal.
 */
bool journal_ends_with_gap(const struct journal *j, const char *component,
			   const char *path, const char *why);

/* Bytes that it has, and another quota from now on (may be less than that). */
uint64_t journal_bytes(const struct journal *j);
void journal_limit(struct journal *j, uint64_t quota);

/*
 * Entries below `seq` will not be asked for any more.  May keep some.  After a
 * failure as after one of journal_append.
 */
int journal_drop(struct journal *j, uint64_t seq, struct err *e);

/*
 * The entries that there are now, to be read while others are appended; of those
 * that are dropped meanwhile, ERR_CORRUPT.  It outlasts the journal, but not the
 * descriptor of its directory.  A journal that has failed is ERR_SYS.
 */
struct journal_view;
int journal_view(struct journal *j, struct journal_view **out, struct err *e);
uint64_t journal_view_first(const struct journal_view *v);
uint64_t journal_view_next(const struct journal_view *v);
void journal_view_free(struct journal_view *v); /* takes NULL */

/*
 * Entries from `seq` on, in order.  fn: 0 go on, 1 stop, -1 failed.  What cannot
 * be read is ERR_CORRUPT: the caller then knows nothing, and says so with a gap.
 */
typedef int (*journal_fn)(void *ctx, const struct journal_entry *en,
			  struct err *e);
int journal_view_read(const struct journal_view *v, uint64_t seq, journal_fn fn,
		      void *ctx, struct err *e);
/* The same of those that there are now. */
int journal_read(struct journal *j, uint64_t seq, journal_fn fn, void *ctx,
		 struct err *e);

/* --- entries by themselves -------------------------------------------------- */

/*
 * Append an entry as bytes, the length in front, and take it apart again: for
 * the journal and for handing entries to another process.
 */
#define JOURNAL_ENTRY_MAX (UINT64_C(200) << 20) /* bytes of one, with ranges */
int journal_encode(const struct journal_entry *en, struct buf *out,
		   struct err *e);

struct journal_reader; /* over one file of encoded entries */
int journal_reader_new(int fd, uint64_t from, uint64_t to,
		       struct journal_reader **out, struct err *e);
/* 1 an entry, 0 the end, -1 failed (ERR_CORRUPT: not an entry). */
int journal_reader_next(struct journal_reader *r, struct journal_entry *out,
			struct err *e);
void journal_reader_free(struct journal_reader *r);

#endif
