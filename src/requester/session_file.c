/*
 * session_file.c
 *
 * The session's own tree hangs on the record by its top directory's entry; its
 * files are few and small, and read whole.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/session_file.h"

#include "src/engine/view.h"

int
session_file(struct view_gen *g, const char *name, size_t max, struct buf *out,
	     struct err *e)
{
	return view_session(g, name, out, max, e);
}
