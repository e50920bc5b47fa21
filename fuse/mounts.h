/*
 * mounts - what is mounted where, as the kernel's table says.
 *
 * The table is read, the file systems are not: nothing here waits for a server
 * that does not answer.  Any thread.
 */
#ifndef ASOF_FUSE_MOUNTS_H
#define ASOF_FUSE_MOUNTS_H

#include <stdbool.h>

struct err;

#define MOUNTS_TYPE_LEN 32 /* of a file system's type, with its NUL */

/* One mount.  The kernel gives both numbers away again when it is gone. */
struct mounted {
	unsigned id;
	unsigned major, minor;
	char type[MOUNTS_TYPE_LEN];
};

/*
 * The mount on top of those at `path`, which is absolute and real.  Returns 1
 * when nothing is mounted there.
 */
int mounts_find(const char *path, struct mounted *out, struct err *e);

/* Whether `m` is what is on top at `path` now. */
bool mounts_is_there(const char *path, const struct mounted *m);

#endif
