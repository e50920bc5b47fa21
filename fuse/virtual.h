/*
 * virtual - answers about the directories that exist only in the mount.
 *
 * Each function that has a request answers it.  Nodes are those of generation 0; for
 * those of versions/ it hands the request on (versions.h).
 */
#ifndef ASOF_FUSE_VIRTUAL_H
#define ASOF_FUSE_VIRTUAL_H

#include "fuse/fs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct attr;

/* 0, or the error to answer with, which the log was told of. */
int virtual_attr(struct fs *fs, uint64_t node, struct attr *out);

void virtual_lookup(struct fs *fs, fuse_req_t req, uint64_t parent,
		    const char *name);
void virtual_readlink(struct fs *fs, fuse_req_t req, uint64_t node);
void virtual_list(struct fs *fs, fuse_req_t req, uint64_t node, size_t size,
		  off_t from, bool plus);

#endif
