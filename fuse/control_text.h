/*
 * control_text - what can be read in the control filesystem.
 *
 * desk->lock is held.
 */
#ifndef ASOF_FUSE_CONTROL_TEXT_H
#define ASOF_FUSE_CONTROL_TEXT_H

#include "fuse/control_tree.h"

struct buf;
struct err;

/* The language of doc/control.md that is spoken here. */
#define CONTROL_VERSION_TEXT "1\n"

/*
 * Append what a file holds now.  1: there is no such thing any more.  Not for
 * events and log, which are not read as a whole.
 */
int control_text(const struct control *c, const struct control_node *n,
		 struct buf *out, struct err *e);

/* The length, of those that never change; else 0. */
size_t control_text_len(enum control_kind kind);

/* Where a writer's `session` leads: appended; false when it is in none. */
bool control_text_session(const struct control *c,
			  const struct control_node *n, struct buf *out);

#endif
