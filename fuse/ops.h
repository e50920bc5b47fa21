/*
 * ops - which requests of the kernel are answered, and by whom.
 *
 * All of them only read.  There is nothing to open and nothing to close: the
 * kernel is told so at its first attempt and does not ask again.  What lies in
 * a generation never changes, and the kernel may keep it for ever; names in
 * virtual directories are good for a second.
 *
 * What cannot be read is EIO and a line in the log; never a guess, and never
 * zeros in its place.
 */
#ifndef ASOF_FUSE_OPS_H
#define ASOF_FUSE_OPS_H

#include "fuse/fs.h"

#include <stdint.h>

struct attr;

/* The session's user data is a struct fs. */
extern const struct fuse_lowlevel_ops ops_table;

/*
 * What any node is said to be: 0, or the error to answer with, which the log
 * was told of.  `out` is all zero before.
 */
int ops_attr(struct fs *fs, uint64_t node, struct attr *out);

#endif
