/*
 * versions - every path that ever was, and each of its versions.
 *
 *	versions/PATH/         a directory, whatever PATH is or was
 *	versions/PATH/NAME/    for each name that PATH ever held as a directory
 *	versions/PATH/@@NAME/  for a name that begins with "@"
 *	versions/PATH/@42      PATH as generation 42 has it
 *
 * @42 is there when generation 42 holds PATH and the generation of the same
 * set before it holds none or another version (history.h says what is one);
 * and when it is the same as what another set shows just before, it is not
 * repeated.  All sets are shown together, by number.
 *
 * A version that is no directory is the inode in the generation: the same
 * number, contents, and place in the kernel's caches.  A version that is a
 * directory is a symlink into the generation, because a directory has but
 * one path.
 *
 * Directories here have no number that could be computed, as those of the
 * generations have; a table has those that the kernel knows (vnode.h).
 * Listings give no numbers, so that reading a directory, however large, puts
 * nothing into it.  Handles (NFS, open_by_handle_at) are good only while the
 * kernel has the inode.
 *
 * Where other users are let in, only the owner of the mount may enter: modes
 * differ between versions of a directory, and a file must not become
 * readable by a path on which a closed directory has none.
 *
 * Memory: the table and what was computed for its nodes (histories, names)
 * are each bounded, and nothing else is kept; who is still in a directory that
 * the table dropped gets ESTALE.  While a request is answered it holds besides,
 * for each directory on its path that has to be looked up anew, some 100 bytes
 * for each generation in which that is another.
 */
#ifndef ASOF_FUSE_VERSIONS_H
#define ASOF_FUSE_VERSIONS_H

#include "fuse/fs.h"
#include "fuse/root.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct attr;

/* Is this node of generation 0 one of versions/? */
static inline bool
versions_has(uint64_t node)
{
	return node == ROOT_INO_VERSIONS ||
	       (node >= ROOT_INO_VERSION && node < ROOT_INO_VERSION * 2);
}

/* versions/ itself. */
void versions_stat_top(const struct fs *fs, const struct root_list *l,
		       struct stat *out);

/* 0, or the error to answer with, which the log was told of. */
int versions_attr(struct fs *fs, uint64_t node, struct attr *out);

/* Each answers its request, for a node that versions_has. */
void versions_lookup(struct fs *fs, fuse_req_t req, uint64_t parent,
		     const char *name);
void versions_readlink(struct fs *fs, fuse_req_t req, uint64_t node);
void versions_list(struct fs *fs, fuse_req_t req, uint64_t node, size_t size,
		   off_t from, bool plus);

#endif
