/*
 * supervisor - the process that holds the mount.
 *
 * It starts the server, mounts for it, says that it is ready, waits, and
 * unmounts when the server ends, however that comes; and ends the server when
 * it is told to end itself.  It opens nothing of the repository.
 */
#ifndef ASOF_FUSE_SUPERVISOR_H
#define ASOF_FUSE_SUPERVISOR_H

struct err;
struct mount_link;
struct mount_options;

/* As mount_split (mount.h), which is this. */
int supervisor_start(const struct mount_options *opt, struct mount_link *link,
		     int *code, struct err *e);

#endif
