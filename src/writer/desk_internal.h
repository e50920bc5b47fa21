/*
 * desk_internal - what desk.c and party.c share.
 */
#ifndef ASOF_WRITER_DESK_INTERNAL_H
#define ASOF_WRITER_DESK_INTERNAL_H

struct err;
struct metadata;
struct party;

/*
 * May the party have this document, by what is in it alone: its name and what
 * the writer was granted?
 */
int desk_judge_document(const struct party *p, const struct metadata *m,
			struct err *e);

#endif
