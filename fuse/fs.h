/*
 * fs - the state behind a mount.
 *
 * Made before the first request and then only read; what changes is inside
 * the things it points to, each with a lock of its own, and the counts, which
 * need none.
 */
#ifndef ASOF_FUSE_FS_H
#define ASOF_FUSE_FS_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include "fuse/counts.h"

#include <fuse_lowlevel.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct chunk_reader;
struct files;
struct inodes;
struct prefetch;
struct root;
struct view_gen;
struct vnodes;

struct fs {
	struct inodes *inodes;
	struct files *files;
	struct prefetch *prefetch; /* NULL: none */

	/* The virtual directories; NULL: one tree alone, and */
	struct root *root;
	struct vnodes *vnodes;       /* of versions/, and */
	struct chunk_reader *reader; /* what it reads: there with the root */
	struct view_gen *at;
	uint64_t at_ino; /* its directory that is the mount's root */
	const char *control; /* what leads to control files; or NULL */
	bool no_xattrs;  /* nothing in that tree has any */

	bool allow_other; /* the kernel checks modes and ACLs */
	uid_t uid;        /* owner of the virtual directories */
	gid_t gid;

	struct counts counts;
};

/* How long the kernel may keep what it was told, in seconds. */
#define FS_FOR_EVER 1e9 /* of what lies in a generation */
#define FS_A_MOMENT 1.0 /* of names in virtual directories */

#endif
