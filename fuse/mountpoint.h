/*
 * mountpoint - may we mount there?
 */
#ifndef ASOF_FUSE_MOUNTPOINT_H
#define ASOF_FUSE_MOUNTPOINT_H

struct buf;
struct err;
struct mount_options;

/*
 * Append the mountpoint's real, absolute path.  ERR_USAGE when it is no
 * directory, shows a mount of asof already, is not empty (unless `nonempty`),
 * is the repository, in it or above it, or when others are to be let in and the
 * machine does not let us; ERR_SYS when it cannot be looked at.
 */
int mountpoint_check(const struct mount_options *opt, struct buf *out,
		     struct err *e);

#endif
