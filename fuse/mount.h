/*
 * mount - showing the generations as a folder.
 *
 * What the folder holds is root.h, how requests are answered ops.h.
 */
#ifndef ASOF_FUSE_MOUNT_H
#define ASOF_FUSE_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct repository;
struct store;

/* Zero is a default for all but the first three and ready_fd. */
struct mount_options {
	struct repository *repository;
	struct store *store;
	const char *mountpoint;
	/* "GEN" or "GEN:PATH": only this tree; NULL: everything. */
	const char *at_generation_arg;
	bool foreground;
	bool allow_other;
	size_t cache_len; /* bytes of memory for caches; 0: 64 MiB */
	/*
	 * When the mount answers, one newline is written here and the
	 * descriptor is closed; when it fails, it is closed without a byte.
	 * -1: none.
	 */
	int ready_fd;
	const char *fs_options; /* "noexec,nodiratime": more for the kernel */
	bool nonempty;          /* the mountpoint may hold files */
};

/*
 * Mount read-only, serve until it is unmounted or SIGINT or SIGTERM comes,
 * unmount.  Installs its own signal handlers.
 *
 * Returns 0 when it was mounted and ended in good order.  -1: ERR_USAGE for
 * options or a mountpoint that cannot be right (not a directory, not empty
 * without `nonempty`, the repository or something above it), ERR_MISSING for
 * a generation or path that is not there, ERR_SYS when the kernel refuses.
 *
 * Messages go to standard error.  Unless `foreground`, once the mount is
 * ready the process leaves its working directory, standard input and outputs go
 * to /dev/null and later messages to syslog.  It does not fork for that: no
 * lock of the session, thread or open catalogue survives a fork, so the
 * caller has forked and called setsid() before it opened the repository, and
 * its parent waits at the other end of ready_fd.
 *
 * Repository and store stay the caller's.
 */
int mount_run(const struct mount_options *opt, struct err *e);

#endif
