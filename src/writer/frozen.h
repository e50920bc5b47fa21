/*
 * frozen - the note of who may still be frozen, for the case that we die.
 *
 * A file in the state directory, there only while a freeze was sent to a writer
 * and its thaw, or an abort, was not answered.  The next session begins by
 * sending an abort to those that it names.
 */
#ifndef ASOF_WRITER_FROZEN_H
#define ASOF_WRITER_FROZEN_H

#include <stddef.h>

struct buf;
struct err;

/* Durably note these; none: the note is taken away. */
int frozen_note(int statefd, const char *const *writer, size_t n,
		struct err *e);

/*
 * Whom does it name?  Appended, each with a NUL behind it.  1: there is none.
 * A note that cannot be understood names as many as can be.
 */
int frozen_read(int statefd, struct buf *out, struct err *e);

#endif
