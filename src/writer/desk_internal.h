/*
 * desk_internal - what desk.c and party.c share.
 */
#ifndef ASOF_WRITER_DESK_INTERNAL_H
#define ASOF_WRITER_DESK_INTERNAL_H

struct err;
struct journal_entry;
struct metadata;
struct party;

/*
 * May the party have this document, by what is in it alone: its name and what
 * the writer was granted?
 */
int desk_judge_document(const struct party *p, const struct metadata *m,
			struct err *e);

/* Open the party's journal; where that fails it has none. */
void desk_open_journal(struct party *p);

/*
 * Append to it.  One that has failed takes nothing more: it is given up, and
 * opened anew when the next statement comes.
 */
int desk_append(struct party *p, struct journal_entry *en, struct err *e);

#endif
