/*
 * entries - a journal's entries on their way from who keeps it to a requester: a
 * file without a name, whose descriptor goes over the line (wire.h).
 */
#ifndef ASOF_WRITER_ENTRIES_H
#define ASOF_WRITER_ENTRIES_H

#include "src/writer/journal.h"

#include <stdint.h>

struct err;
struct party;

/*
 * Copy those of a writer from `seq` on into a new file beneath dirfd, which is
 * gone when *fd is closed; *length is how much of it counts.  desk->lock is held,
 * and released while it is read (pen.h).
 */
int entries_copy(struct party *p, uint64_t seq, int dirfd, int *fd,
		 uint64_t *length, struct err *e);

/* `fn` as in journal_read, for each of them. */
int entries_read(int fd, uint64_t length, journal_fn fn, void *ctx,
		 struct err *e);

#endif
