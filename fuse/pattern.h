/*
 * pattern - what will be read next, guessed from what was.
 *
 * Two ways of reading are foreseen: the small files of a directory one after
 * the other (tar, rsync, grep -r), and one large file from front to back.
 * And where a file is read at random but some piece of it again and again, the
 * rest of that piece is.
 * The guesses are bounded: a wrong one costs at most a window of reading.
 *
 * Only numbers go in and out; who acts on them is prefetch.  Any thread.
 */
#ifndef ASOF_FUSE_PATTERN_H
#define ASOF_FUSE_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* Files up to this length are read by one request. */
#define PATTERN_SMALL ((uint64_t)128 << 10)

/* A read as long as the kernel's read-ahead, which is at least this long. */
#define PATTERN_READ_AHEAD ((uint64_t)64 << 10)

/* How much is foreseen at once: at first, and at most; it doubles. */
#define PATTERN_WINDOW_MIN ((size_t)512 << 10)
#define PATTERN_WINDOW_MAX ((size_t)8 << 20)

enum guess_kind { GUESS_NONE, GUESS_FILES, GUESS_BYTES };

struct guess {
	enum guess_kind kind;
	/* FILES: small files of the directory after inode `after` (0: all). */
	uint32_t generation;
	uint64_t dir, after; /* ordinals (view.h) */
	size_t bytes;        /* of them altogether, about */
	/* BYTES: of this inode. */
	uint64_t ino, from, to;
};

struct pattern;
struct err;

int pattern_new(struct pattern **out, struct err *e);
void pattern_free(struct pattern *p); /* takes NULL */

/*
 * What happened, at `now` (monotonic nanoseconds), and what is guessed then.
 * A guess of FILES must be ended by pattern_pushed with the ordinal of the
 * last file pushed (0: none); until then no other is made for the directory.
 */
struct guess pattern_read_small(struct pattern *p, uint32_t generation,
				uint64_t dir, uint64_t ordinal, uint64_t now);
struct guess pattern_listed(struct pattern *p, uint32_t generation,
			    uint64_t dir, uint64_t now);
struct guess pattern_read_large(struct pattern *p, uint64_t ino, uint64_t size,
				uint64_t from, uint64_t len);

/*
 * A short read that was no part of a stream lay in this piece of the file,
 * which had to be decoded as a whole.
 */
struct guess pattern_read_piece(struct pattern *p, uint64_t ino, uint64_t size,
				uint64_t from, uint64_t len);
void pattern_pushed(struct pattern *p, const struct guess *g, uint64_t last);

#endif
