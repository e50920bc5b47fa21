/*
 * file - files that are being read.
 *
 * The kernel does not tell when a file is opened or closed, so a read names
 * an inode and an offset and nothing more.  Readers that stand where the next
 * read is likely to go on are kept here, a few of them.
 */
#ifndef ASOF_FUSE_FILE_H
#define ASOF_FUSE_FILE_H

#include "fuse/inode.h"
#include "src/engine/reader.h"

#include <stdint.h>

struct err;

struct file {
	struct inode *inode;
	struct file_reader reader;
	uint64_t next; /* where the user thinks it will go on */
	uint64_t used; /* the lock of `files`: the clock at the last use */
};

struct files;

/* `t` is borrowed. */
int files_new(struct inodes *t, struct files **out, struct err *e);
void files_free(struct files *f); /* nothing may be taken; takes NULL */

/*
 * Take a reader of this file for oneself, one that stands at `offset` if
 * there is one; set `next` and give it back.  ERR_USAGE when it is no file or
 * its content was not read by the backup (ENTRY_UNREADABLE); 1 when there is
 * no such inode.  Any thread.
 */
int files_take(struct files *f, uint64_t ino, uint64_t offset,
	       struct file **out, struct err *e);
void files_give(struct files *f, struct file *file);

/* Keep nothing of this generation at hand. */
void files_drop(struct files *f, uint32_t number);

#endif
