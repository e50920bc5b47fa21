/*
 * reduce - what the entries of a journal say together, about one component.
 *
 * doc/control.md, section 8.  Pure.  Entries above a base's cut go in, in
 * order; out comes, for each file, what is known of it: which bytes may differ
 * from the base, on which conditions, or that nothing is known.
 *
 * The rules, all of which only ever cause more to be read:
 *
 *   - A line with `since=` that names this base (its stamp, its id) is closed:
 *     complete since the base.  It counts if it was said in this session's
 *     window, or if the file is today what it was when the line was accepted,
 *     and when the last one was.  One that names another base is no promise;
 *     its ranges count as changed.  Only the one of the base's own session,
 *     said in its window, is left out: what it names, that session has read.
 *   - Lines without `since=` are open: they are complete together, above the
 *     cut, if no gap lies there and the file is today what it was when the last
 *     of them was accepted.  In this session's window they need no such test
 *     either, but a gap or an older line still does what it does.
 *   - A gap of the file, the component or the writer: nothing is known, unless
 *     a closed line that counts, and was said behind the gap, covers the file.
 *     What a gap says of a component that the document does not have, it says
 *     of the file, if it names one, or of all.
 *   - Bytes at or beyond the lowest size that the file is known to have had
 *     since the base (base's size, today's size, every size=, the size when a
 *     line was accepted) always count as changed.  That is for the caller, who
 *     knows the sizes of base and today: see min_size.
 *   - Lines of an event that was answered with a failure (JOURNAL_DISCARD)
 *     count as gaps of their files, and a differenced-file as one of all.
 *   - Of a file that is differenced, too, the differenced entry counts
 *     (`clash`).
 *   - One file under two names: which line is about which bytes of it cannot
 *     be told from one name's lines alone, so neither has a promise.  Of which
 *     file a gap is cannot be told: who finds that a file has several names, or
 *     had them in the base, uses no promise while there is a gap of another
 *     name (`gaps`).
 *
 * Lines count for this component if they name it, a member of its set, or a
 * component in whose set it is; since=STAMP only if they name it.
 */
#ifndef ASOF_WRITER_REDUCE_H
#define ASOF_WRITER_REDUCE_H

#include "base/time.h"
#include "src/writer/journal.h"
#include "src/writer/ranges.h"
#include "src/writer/strings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct metadata;

struct reduce_input {
	const struct metadata *document;
	size_t component; /* explicit; it speaks for its set */
	/* The base: what a since= is compared with.  Without one, id is zero. */
	uint8_t base_id[16];
	const char *base_stamp; /* NULL: it has none */
	bool stamp_ambiguous;   /* another kept generation has the same stamp */
	uint8_t base_session[16]; /* the session that made it; zero: unknown */
	uint8_t base_journal[JOURNAL_ID_LEN];
	uint64_t base_cut; /* entries from this number on count */
	/* The journal that the entries are from. */
	uint8_t journal[JOURNAL_ID_LEN];
	uint64_t journal_first; /* the first entry that is kept */
	/* Behind the last one, when the session began or later; 0: unknown. */
	uint64_t journal_next;
	uint8_t session[16];    /* this one */
};

/* What is known of one file. */
struct reduce_file {
	const char *path;
	struct ranges ranges; /* may differ from the base */
	uint64_t min_size;    /* lowest known; UINT64_MAX when none is */
	/*
	 * Where ranges end that, when they were said, were beyond the end of
	 * the file, or may have been; 0 none.  A closed line that names the
	 * base, and whose ranges lay within the file, is the last word: what
	 * was said before it is no error any more, but counts as changed.
	 */
	uint64_t beyond;
	/*
	 * Promised: all else is as in the base.  Then `sure` (the writer
	 * answers for it in this session), or only if the file's facts are
	 * still `facts`.
	 */
	bool promised, sure;
	struct facts facts;
	const char *metadata; /* of the last line, or NULL */
	const char *why;      /* not promised: a sentence */
	size_t lines;
	bool clash; /* a differenced entry covers it, too */
	bool gap;   /* there is one of its own: of this name, not of its inode */
};

/* One differenced-file statement of this session, or above the cut. */
struct reduce_differenced {
	const char *dir, *pattern;
	bool recursive;
	bool has_newer;
	struct ts newer; /* the lowest that was said */
};

struct reduce_attachment {
	const char *path, *from;
};

struct reduced {
	/* Nothing is known of any file but those that a closed line covers. */
	bool gap;
	const char *why;          /* of the gap, a sentence */
	struct reduce_file *file; /* in the order of strcmp on path */
	size_t files;
	size_t gaps; /* so many of the files have one of their own */
	struct reduce_differenced *differenced;
	size_t differenced_count;
	struct reduce_attachment *attachment; /* of this session only */
	size_t attachments;
	/* Of this session only; the last one. */
	const char *stamp, *metadata; /* NULL: not set */

	struct strings strings; /* of all of it */
};

/*
 * Feed it: begin, every entry that is kept in order, end; those that do not
 * count are passed over (those below the cut of a base of this journal may be
 * left out).  One entry goes to each of the n (NULL ones are passed over) that
 * a writer has, one for each component.  *out wants reduced_clear if reduce_end
 * returned 0.  ERR_CORRUPT for an entry that is none; memory; randomness (the
 * tables' keys).  After a failure only reduce_free is left.
 */
struct reduce;
int reduce_new(const struct reduce_input *in, struct reduce **out,
	       struct err *e);
int reduce_add(struct reduce *const *all, size_t n,
	       const struct journal_entry *en, struct err *e);
int reduce_end(struct reduce *r, struct reduced *out, struct err *e);
void reduce_free(struct reduce *r); /* before end, or after it */
void reduced_clear(struct reduced *out);

/*
 * What is known of this file; NULL: nothing was said about it.  One without
 * lines is there because of a gap.
 */
const struct reduce_file *reduced_find(const struct reduced *r,
				       const char *path);

/*
 * May the promise be used for a file that is now `now`?  A sentence when it may
 * not, else NULL.
 */
const char *reduce_refuses(const struct reduce_file *f,
			   const struct facts *now);

/*
 * The bytes to be read of a file of `size` bytes whose base entry has
 * `base_size`: the declared ranges below the lowest size since, and all beyond
 * it; *out is replaced.  EINVAL (a writer's error) if a declared range ends
 * beyond `size` and did not lie within the file when it was said either: what
 * was cut off since, or is on the way behind a snapshot, is no error.
 */
int reduce_ranges(const struct reduce_file *f, uint64_t base_size,
		  uint64_t size, struct ranges *out, struct err *e);

#endif
