/*
 * device - the mount itself, as its supervisor holds it.
 *
 * Beside the supervisor stands the keeper: a process that waits for the
 * supervisor's end and, should it come without a word (SIGKILL), unmounts in
 * its place.  One thread.
 */
#ifndef ASOF_FUSE_DEVICE_H
#define ASOF_FUSE_DEVICE_H

#include "base/buf.h"
#include "fuse/mounts.h"

#include <stdbool.h>
#include <sys/types.h>

struct err;
struct mount_options;

/* What is in the kernel's table as our types. */
#define DEVICE_VIEW    "fuse.asof"
#define DEVICE_CONTROL "fuse.asof-control"

struct device {
	const char *type;
	struct buf path; /* of the mountpoint */
	struct mounted mounted; /* ours, or what was there before (`known`) */
	bool known;
	int fd;    /* /dev/fuse */
	bool away; /* taken from its place, but not closed yet */
	pid_t keeper;
	int keeper_fd; /* the keeper reads the other end */
};
#define DEVICE_NONE(type_) \
	{ .type = (type_), .fd = -1, .keeper_fd = -1 }

/*
 * Options for libfuse, separated by commas, appended to *out.  A comma in the
 * repository's path has a backslash before it.
 */
int device_options(const struct mount_options *opt, const char *repository,
		   struct buf *out, struct err *e);
void device_add_fsname(struct buf *out, const char *repository);

/*
 * Mount at `path`, which is absolute and real, and start the keeper: by
 * mount(2), or by fusermount3 where that is not ours to call.  Messages of
 * libfuse are kept meanwhile (fusesay.h).  The options say the subtype.
 */
int device_mount(struct device *d, const char *path, const char *options,
		 struct err *e);

/*
 * Take away what stands at `path` and nobody serves, a mount of this type, if
 * there is one.
 */
void device_clear_dead(const char *path, const char *type);

/* Is it still in its place?  Somebody may have taken it away lazily. */
bool device_is_there(const struct device *d);

/* Start another keeper when the process `ended` was it. */
void device_child_ended(struct device *d, pid_t ended);

/*
 * Take the mount away from its place, if it is still there; whoever has files
 * open in it keeps them, while the server serves.  Never waits for it.
 */
void device_unmount(struct device *d);

/*
 * The server answers no more: fail all that was asked of it, unmount, close.
 * Where fusectl is not mounted, a user's requests are not failed, nor are
 * those of a mount that was taken away before.
 */
void device_cut(struct device *d);

/* Unmount, dismiss the keeper, close. */
void device_close(struct device *d);

#endif
