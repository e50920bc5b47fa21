/*
 * stored - answers about what lies in generations.
 *
 * Each function that has a request answers it.  Node numbers are the kernel's.
 */
#ifndef ASOF_FUSE_STORED_H
#define ASOF_FUSE_STORED_H

#include "fuse/fs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct attr;
struct err;

/* The kernel's number of an inode. */
uint64_t stored_node(const struct fs *fs, uint64_t ino);

/*
 * What the kernel is to know of the inode `ino` when it meets it by name: 1
 * when there is none.
 */
int stored_entry(struct fs *fs, uint64_t ino, struct fuse_entry_param *out,
		 struct err *e);

/* 0, or the error to answer with, which the log was told of. */
int stored_attr(struct fs *fs, uint64_t node, struct attr *out);

void stored_lookup(struct fs *fs, fuse_req_t req, uint64_t parent,
		   const char *name);
void stored_readlink(struct fs *fs, fuse_req_t req, uint64_t node);
void stored_list(struct fs *fs, fuse_req_t req, uint64_t node, size_t size,
		 off_t from, bool plus);

/* `direct`: past the kernel's cache (O_DIRECT), so that nothing is foreseen. */
void stored_read(struct fs *fs, fuse_req_t req, uint64_t node, size_t size,
		 off_t offset, bool direct);
void stored_lseek(struct fs *fs, fuse_req_t req, uint64_t node, off_t offset,
		  int whence);
void stored_getxattr(struct fs *fs, fuse_req_t req, uint64_t node,
		     const char *name, size_t size);
void stored_listxattr(struct fs *fs, fuse_req_t req, uint64_t node,
		      size_t size);
void stored_getflags(struct fs *fs, fuse_req_t req, uint64_t node);

#endif
