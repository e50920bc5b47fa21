/*
 * desk_internal - what desk.c, party.c, taking.c, pen.c and party_document.c
 * share.
 */
#ifndef ASOF_WRITER_DESK_INTERNAL_H
#define ASOF_WRITER_DESK_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct journal_entry;
struct metadata;
struct party;

#define DESK_DOCUMENT "document" /* the file */

/*
 * May the party have this document, by what is in it alone: its name and what
 * the writer was granted?
 */
int desk_judge_document(const struct party *p, const struct metadata *m,
			struct err *e);

/* What a writer that is not root's was granted; false: it may name anything. */
bool party_grants(const struct party *p, const char *const **v, size_t *n);

/* The party is used by somebody who does not have the lock all the time. */
void party_begin_busy(struct party *p);
void party_end_busy(struct party *p);

/*
 * When is it said: in which session, in which of its events, in its window?
 * Fills these of the entry, and its time.
 */
void party_put_moment(const struct party *p, struct journal_entry *en);

#endif
