/*
 * control_place - where control files are.
 *
 * NAME (see registry_name) in the directory where processes meet
 * (src/writer/rundir.h); or where the person says, and then a symlink of that
 * name leads there.  A file `place` in the state directory
 * (src/writer/registry.h) says where they are now.
 */
#ifndef ASOF_FUSE_CONTROL_PLACE_H
#define ASOF_FUSE_CONTROL_PLACE_H

#include "base/buf.h"

#include <stdbool.h>

struct err;

struct control_place {
	struct buf path; /* absolute and real */
	bool made;       /* by us: it goes when we go */
	char *link;      /* the symlink that leads there; NULL: none is needed */
};

/* NAME in that directory, which is made if need be: appended. */
int control_place_default(const char *name, struct buf *out, struct err *e);

/*
 * Find and make the directory; `dir` is the person's, absolute, or NULL.  A
 * mount of ours that nobody serves is taken away.  ERR_USAGE when it is no
 * directory, not ours, not empty, or would hide the repository, or when somebody
 * else could put another one in its place; ERR_BUSY when control files are there
 * already.
 */
int control_place_make(const char *dir, const char *name,
		       const char *repository, struct control_place *out,
		       struct err *e);

/* After the unmount.  Takes one that is empty. */
void control_place_leave(struct control_place *p);

/* Write down where it is, and that it is nowhere. */
int control_place_tell(const struct control_place *p, int statefd,
		       struct err *e);
void control_place_untell(const struct control_place *p, int statefd);

#endif
