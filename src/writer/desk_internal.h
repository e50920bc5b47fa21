/*
 * desk_internal - what desk.c, party.c and party_document.c share.
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

/* party_gap, for whom it must not fail. */
int party_append_gap(struct party *p, const char *component, const char *path,
		     const char *why, struct err *e);

/* The party is used by somebody who does not have the lock all the time. */
void party_begin_busy(struct party *p);
void party_end_busy(struct party *p);

/* Open the party's journal; where that fails it has none. */
void desk_open_journal(struct party *p);

/*
 * Append to it.  One that has failed takes nothing more: it is given up, and
 * opened anew when the next statement comes.
 */
int desk_append(struct party *p, struct journal_entry *en, struct err *e);
int desk_append_all(struct party *p, struct journal_entry *en, size_t n,
		    struct err *e);

#endif
