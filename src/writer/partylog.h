/*
 * partylog - what was decided about a writer's input, for people.
 *
 * `log` in the writer's directory, and `log.1`, the one before, each of at most
 * PARTY_LOG_MAX bytes.  Kept for reading, not for deciding: that a line of it
 * cannot be written changes nothing.  desk->lock is held.
 */
#ifndef ASOF_WRITER_PARTYLOG_H
#define ASOF_WRITER_PARTYLOG_H

#include <stddef.h>

struct buf;
struct err;
struct party;

#define PARTYLOG_LINE_MAX 4096 /* bytes of a line; what is longer is cut */

/* Open party->logfd in its directory `dirfd`, at its end. */
int partylog_open(struct party *p, int dirfd, struct err *e);
void partylog_close(struct party *p);

/* "WHAT: LINE", or "WHAT: LINE: WHY"; the line is the writer's bytes. */
void partylog_line(struct party *p, const char *what, const void *line,
		   size_t len, const char *why);

/* Append all that is kept of both files, the older first. */
int partylog_read(struct party *p, struct buf *out, struct err *e);

#endif
