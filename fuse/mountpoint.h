/*
 * mountpoint - may we mount there?
 */
#ifndef ASOF_FUSE_MOUNTPOINT_H
#define ASOF_FUSE_MOUNTPOINT_H

#include <stdbool.h>

struct buf;
struct err;
struct repository;

/*
 * Append the mountpoint's real, absolute path.  ERR_USAGE when it is no
 * directory, not empty (unless `nonempty`), the repository, in it or above it;
 * ERR_SYS when it cannot be looked at.
 */
int mountpoint_check(const char *path, const struct repository *r,
		     bool nonempty, struct buf *out, struct err *e);

#endif
