/*
 * control - the control filesystem: writers speak by files.
 *
 * doc/control.md, section 13 (and 2: rights, errors, limits).  A small
 * mount of its own, in a process of its own, over a desk (src/writer/party.h).
 * Direct I/O everywhere; nothing depends on flush or close; a pending read of
 * `events` holds no thread.  The uid is the kernel's.
 */
#ifndef ASOF_FUSE_CONTROL_H
#define ASOF_FUSE_CONTROL_H

#include <stdbool.h>

struct desk;
struct err;

struct control_options {
	const char *dir;  /* where to; NULL: /run/asof/NAME, $XDG_RUNTIME_DIR/... */
	bool foreground;
	int ready_fd;     /* -1, or told by one newline and closed */
	void (*told)(const char *path); /* where they are, before that; or NULL */
};

/*
 * Serve until SIGINT, SIGTERM or an unmount.  Also starts the server for
 * requesters (src/writer/server.h).  ERR_BUSY: one serves already.
 */
int control_serve(const char *repository, const unsigned char repository_id[16],
		  const struct control_options *opt, struct err *e);

/*
 * The path that leads to the control files, for this user, whenever they are
 * served and wherever that is: appended; false when there is no such place.
 */
struct buf;
bool control_link(const char *repository, const unsigned char repository_id[16],
		  struct buf *out);

#endif
