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

/*
 * What the server of a mount has of its supervisor: they are two processes.
 * -1: none.
 */
struct mount_link {
	int socket; /* what they say to each other */
	int log;    /* what the server says in the background */
};

/* Zero is a default for all but mountpoint and ready_fd, and what follows. */
struct mount_options {
	const char *mountpoint;
	/* "GEN" or "GEN:PATH": only this tree; NULL: everything. */
	const char *at_generation_arg;
	bool foreground;
	bool allow_other;
	bool no_sandbox;  /* only drop rights */
	size_t cache_len; /* bytes of memory for caches; 0: 64 MiB */
	/*
	 * When the mount answers, one newline is written here and the
	 * descriptor is closed; when it fails, it is closed without a byte.
	 * -1: none.  The supervisor's.
	 */
	int ready_fd;
	const char *fs_options; /* "noexec,nodiratime": more for the kernel */
	bool nonempty;          /* the mountpoint may hold files */

	/* The server's, for mount_run. */
	struct repository *repository;
	struct store *store;
	const struct mount_link *link;
	const char *control; /* what leads to control files; or NULL */
};

/*
 * Become two processes.  Returns 0 in the new one, the server: *link is filled,
 * and it opens the repository and calls mount_run.  In the one that called,
 * the supervisor, returns when the server has ended and nothing is mounted any
 * more: 1, with the server's exit code in *code, or 128 + N when signal N ended
 * it all before it was ready; or -1, when no process could be started, or the
 * server crashed or was killed.
 *
 * Comes before the repository is opened: no lock of the session, thread or
 * open catalogue survives a fork.  Messages go to standard error.  Unless
 * `foreground`, once the mount is ready both leave the working directory,
 * standard input and outputs go to /dev/null and later messages to syslog; the
 * caller has forked before, and its parent waits at the other end of ready_fd.
 */
int mount_split(const struct mount_options *opt, struct mount_link *link,
		int *code, struct err *e);

/*
 * Have it mounted read-only, give up all rights that are not needed, and serve
 * until it is unmounted or SIGINT, SIGTERM or SIGHUP comes.  Installs its own
 * signal handlers.
 *
 * Returns 0 when it was mounted and ended in good order.  -1: ERR_USAGE for
 * options or a mountpoint that cannot be right (not a directory, not empty
 * without `nonempty`, a mount of asof already, the repository or something
 * above it), ERR_MISSING for a generation or path that is not there, ERR_SYS
 * when the kernel refuses.
 *
 * Repository and store stay the caller's.
 */
int mount_run(const struct mount_options *opt, struct err *e);

#endif
