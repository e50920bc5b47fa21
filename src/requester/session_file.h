/*
 * session_file - what a session left in its generation, read back.
 *
 * doc/format.md, section 17: the session's record, the writers' documents and
 * copies of ranges files are files of a small tree of their own.
 */
#ifndef ASOF_REQUESTER_SESSION_FILE_H
#define ASOF_REQUESTER_SESSION_FILE_H

#include <stddef.h>

struct buf;
struct err;
struct view_gen;

/*
 * All of the file `name` ("session", "documents/NAME"), appended.  1: the
 * generation has none; ERR_CORRUPT when it is longer than `max`.
 */
int session_file(struct view_gen *g, const char *name, size_t max,
		 struct buf *out, struct err *e);

#endif
