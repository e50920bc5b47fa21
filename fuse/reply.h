/*
 * reply - answers that need more than a line: failures and listings.
 */
#ifndef ASOF_FUSE_REPLY_H
#define ASOF_FUSE_REPLY_H

#include "fuse/fs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/*
 * The error to answer with when a request for this inode failed; says why in
 * the log.  A generation that was forgotten meanwhile is ESTALE and no news.
 */
int reply_errno(const struct fs *fs, uint64_t ino, const struct err *why);

/* Answer with it. */
void reply_failure(fuse_req_t req, uint64_t ino, const struct err *why);

/* A listing is put together here; p NULL: not begun. */
struct listing {
	fuse_req_t req;
	bool plus; /* READDIRPLUS: with all there is to know */
	char *p;   /* of cap bytes */
	size_t cap, len;
};
int listing_begin(struct listing *l, fuse_req_t req, size_t cap, bool plus,
		  struct err *e);

/*
 * Add an entry; `next` is the offset from which to go on behind it.  With node
 * number 0 in it the kernel learns name, type and inode number alone.  False
 * when there is no more room.
 */
bool listing_add(struct listing *l, const char *name,
		 const struct fuse_entry_param *entry, off_t next);

/* "." (next offset 1) and ".." (2), those that `from` is not behind yet. */
bool listing_add_dots(struct listing *l, off_t from, uint64_t ino,
		      uint64_t parent);

/*
 * Send it and free it.  `rc` and `why` are how reading the directory `ino`
 * ended; a failure behind entries is not told: the next request meets it.
 */
void listing_end(struct listing *l, uint64_t ino, int rc,
		 const struct err *why);

#endif
