/*
 * prefetch - gives the kernel what will be read, before it asks.
 *
 * A request costs more than most small files take to read, and the kernel
 * never asks for more than 128 KiB of a large one.  So what pattern foresees
 * is decoded by threads of its own and stored into the kernel's page cache;
 * reading it then needs no request at all.
 *
 * Request threads only leave word here and never wait: storing waits for a
 * page that is being read, and with it for them.  When there is too much to
 * do, word is not taken.
 */
#ifndef ASOF_FUSE_PREFETCH_H
#define ASOF_FUSE_PREFETCH_H

#include "fuse/fs.h"

struct err;
struct extent;
struct fuse_session;
struct inode;
struct prefetch;

/* All are borrowed. */
int prefetch_start(struct fs *fs, struct fuse_session *se,
		   struct prefetch **out, struct err *e);

/*
 * Tell the kernel nothing more; requests must be served until it returns.
 * What is left word of after it is ignored.  Takes NULL.
 */
void prefetch_stop(struct prefetch *p);

/* Stop and free; requests are served no more.  Takes NULL. */
void prefetch_free(struct prefetch *p);

/*
 * These bytes of a file were asked for, or a directory from its start.  `last`
 * is the piece of the file that the last of the bytes were taken from.
 */
void prefetch_after_read(struct prefetch *p, const struct inode *i,
			 uint64_t from, uint64_t len,
			 const struct extent *last);
void prefetch_after_list(struct prefetch *p, const struct inode *i);

#endif
