/*
 * statx - the request that tells the time of birth.
 *
 * Linux asks for it since 6.6 (FUSE_STATX), libfuse knows it since 3.18.  An
 * older libfuse would say once that there is no such request, and nobody would
 * be told when a file was born.
 */
#ifndef ASOF_FUSE_STATX_H
#define ASOF_FUSE_STATX_H

struct err;
struct fuse_session;

/*
 * Have the session, whose user data is a struct fs, read its requests from
 * `device`, which becomes its own, but for those of this kind.  They are
 * answered by the thread that reads them.
 */
int statx_attach(struct fuse_session *se, int device, struct err *e);

#endif
