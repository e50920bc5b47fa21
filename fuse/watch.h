/*
 * watch - new generations appear in a running mount, forgotten ones vanish, and
 * a repository that was away is found again.
 *
 * One thread looks at the repository now and then and tells the kernel which
 * names it must not believe in any longer.  Only this thread does: such a
 * message may have to wait until a request is answered, so that whoever
 * answers requests must never wait for it.
 */
#ifndef ASOF_FUSE_WATCH_H
#define ASOF_FUSE_WATCH_H

#include "fuse/fs.h"

struct err;
struct fuse_session;
struct store;
struct watch;

/* All are borrowed.  With no root in `fs` it watches the repository alone. */
int watch_start(struct fs *fs, struct store *st, struct fuse_session *se,
		struct watch **out, struct err *e);

/*
 * End the thread; requests must be served until it returns, because the kernel
 * may be holding the thread up until they are.  Takes NULL.
 */
void watch_stop(struct watch *w);

#endif
