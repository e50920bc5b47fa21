/*
 * inode - from the kernel's node numbers to entries.
 *
 * A node's number is its inode number (doc/format.md, section 8), and the
 * generations say what stands behind it: the kernel may keep one as long as
 * it likes, over a restart of the mount too, and nothing has to be counted
 * or forgotten here.  What was asked for lately is kept at hand, within a
 * limit, only to save the way down from the top.
 *
 * Memory: entries up to the limit, and the records of the 16 generations used
 * last, usually a few kilobytes each and 16 MiB at most; besides what requests
 * hold.  Entries of other generations are not kept, because each keeps the
 * record of its own.
 */
#ifndef ASOF_FUSE_INODE_H
#define ASOF_FUSE_INODE_H

#include "src/engine/view.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct store;

/* The first three are constant while it is held. */
struct inode {
	uint64_t ino;
	struct view_gen *gen;
	struct node node; /* borrows `bytes`; pins nothing in the store */

	uint8_t *bytes;              /* the encoded entry */
	unsigned refs;               /* the table's lock, as all below */
	struct inode *next;          /* in its bucket */
	struct inode *older, *newer; /* by last use; while in the table */
	struct inode *beside, **at;  /* of its generation; likewise */
};

struct inodes;

/* `limit`: bytes of memory for what nobody holds.  The store is borrowed. */
int inodes_new(struct store *st, size_t limit, struct inodes **out,
	       struct err *e);
void inodes_free(struct inodes *t); /* nothing may be held; takes NULL */

/*
 * Hold the inode of this number; 1 when there is none, or no such generation
 * any more.  Any thread.
 */
int inodes_get(struct inodes *t, uint64_t ino, struct inode **out,
	       struct err *e);
void inodes_put(struct inodes *t, struct inode *i);

/* A reference to an opened generation; 1 when there is none.  Any thread. */
int inodes_generation(struct inodes *t, uint32_t number, struct view_gen **out,
		      struct err *e);

/*
 * Use this opened generation, whatever becomes of its record.  One only, and
 * before anything else is asked for.
 */
void inodes_adopt(struct inodes *t, struct view_gen *g);

/* Keep nothing of this generation at hand; what is held stays good. */
void inodes_drop(struct inodes *t, uint32_t number);

/*
 * Append the path in the generation, for people, or its inode number where it
 * cannot be known.
 */
void inode_path(const struct inode *i, struct buf *out);

#endif
