/*
 * pen - writing into a party's journal, and reading it.
 *
 * Entries are written and synced while desk->lock is free: a writer that says
 * much, or a slow disk, holds up that writer alone.  Who has a party's pen is
 * alone with its journal and its document; the pen is given to those who want
 * it in the order in which they asked.
 *
 * desk->lock is held, and released meanwhile: the party may have been taken
 * away, or have left its session, when these return; its memory stays.
 */
#ifndef ASOF_WRITER_PEN_H
#define ASOF_WRITER_PEN_H

#include "src/writer/journal.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct party;

/* Wait for the pen; give it back. */
void pen_take(struct party *p);
void pen_give(struct party *p);

/* Wait until what is being written at this moment, if anything, is written. */
void pen_wait(struct party *p);

/*
 * Append all or none, for who has the pen (as journal_append_all).  A journal
 * that has failed is given up, and opened anew for the next entries.
 */
int pen_write(struct party *p, struct journal_entry *en, size_t n,
	      struct err *e);

/* The same, with the pen taken for it. */
int pen_append(struct party *p, struct journal_entry *en, struct err *e);

/*
 * A gap (see party_gap), for whom it must not fail.  Where there is no journal,
 * the next one begins with a gap of all, or anew.  Nothing is to be done where
 * this was said last: a writer whose lines are all refused takes no room for that.
 */
int pen_gap(struct party *p, const char *component, const char *path,
	    const char *why, struct err *e);

/*
 * What was said in this event of this session does not count.  Written in front
 * of whatever is written or read next; does not wait, nor release the lock.
 */
void pen_discard(struct party *p, const uint8_t session[16], uint64_t event);

/* As journal_view and journal_drop. */
int pen_view(struct party *p, struct journal_view **out, struct err *e);
int pen_drop(struct party *p, uint64_t below, struct err *e);

/* As journal_read. */
int pen_read(struct party *p, uint64_t seq, journal_fn fn, void *ctx,
	     struct err *e);

/*
 * For who has the party to himself.  Open the journal; where that fails it has
 * none.  Close it, which is a clean stop if all that is owed can be said.
 */
void pen_open(struct party *p);
void pen_close(struct party *p);

#endif
