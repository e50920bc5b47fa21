/*
 * control_file - open files and directories of the control filesystem.
 *
 * Rights are judged once, when a file is opened, by who opens it; what is
 * written later counts as his, whoever writes.
 *
 * desk->lock is held; what touches a writer's files gives it up meanwhile
 * (party.h), and then the handle is `busy`.
 */
#ifndef ASOF_FUSE_CONTROL_FILE_H
#define ASOF_FUSE_CONTROL_FILE_H

#include "base/buf.h"
#include "fuse/control_tree.h"
#include "fuse/fs.h"
#include "src/writer/intake.h"

struct err;

/* A read of `events` that waits. */
struct control_reader {
	fuse_req_t req;
	size_t size;
	struct control_reader *next;
};

struct control_handle {
	struct control *control;
	struct control_node *node;
	uid_t uid;       /* who opened it */
	bool busy;       /* somebody is at work on it, the lock may be free */
	unsigned waiting; /* until he is done */
	struct buf shown; /* what is read here, as it was at the first read */
	bool taken;       /* `shown` is there */
	struct intake_sink sink;
	struct intake intake; /* declare */
	struct buf part;      /* answer: of a line; metadata: of a document */
	int broken;           /* what both fail with from now on, or 0 */
	struct control_reader *reader; /* events: they wait, the first first */
	struct fuse_pollhandle *poll;  /* events: somebody polls; or NULL */
	struct control_handle *next, *previous;
};

/*
 * Open a node: the flags are open(2)'s.  Returns 0 or an errno: EACCES, EPERM,
 * ENOENT; EBUSY: a second reader of events; EMFILE: too many handles.
 */
int control_file_open(struct control *c, struct control_node *n, uid_t uid,
		      int flags, struct control_handle **out);
void control_file_close(struct control_handle *h);

/*
 * Nobody else is at work on it from here (waits for that) to there.  Each who
 * waits has a worker of all users: `try` is false where that is enough of them.
 */
void control_file_take(struct control_handle *h);
bool control_file_try(struct control_handle *h);
void control_file_give(struct control_handle *h);

/*
 * Contents from `offset` on, or a directory's listing for readdir: *at is
 * what there is, owned by the handle, *len bytes of it, 0 at the end.  Returns
 * 0 or an errno.
 */
int control_file_read(struct control_handle *h, off_t offset, size_t size,
		      const uint8_t **at, size_t *len);

/* All names of a directory, as control_tree_list has them; `anew`: as of now. */
int control_file_list(struct control_handle *h, bool anew);

/* One write(2), as far as the kernel did not cut it: what was taken, or -errno. */
ssize_t control_file_write(struct control_handle *h, const void *p, size_t n);

/*
 * What the kernel is told of a failure.  One that is no refusal of what somebody
 * said is reported.
 */
int control_file_errno(const struct err *e);

/* Transactions that were idle for too long are aborted. */
void control_file_tick(struct control *c);

#endif
