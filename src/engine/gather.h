/*
 * gather - the metadata of one inode, from statx and its descriptor.
 */
#ifndef ASOF_ENGINE_GATHER_H
#define ASOF_ENGINE_GATHER_H

#include "base/buf.h"
#include "src/engine/entry.h"

#include <stdint.h>
#include <sys/stat.h>

struct chunk_sink;
struct err;

/* Inode flags that are kept: those a person can set with chattr(1). */
#define GATHER_FLAGS_KEPT UINT32_C(0x2083C4FF)

/* Fill an entry from statx: all but name, xattrs, flags, content, target. */
void gather_stat(const struct statx *st, uint32_t fs, struct entry *out);

/*
 * The xattrs of fd (name NULL) or of a name below it, encoded into *bytes
 * (emptied first), which must live as long as the entry.  Values too long to be inlined become
 * chunks in `sink`.  ERR_SOURCE: the file's fault; the entry then has
 * none, and is racy: or the next run would take that for the truth.
 */
int gather_xattrs(int fd, const char *name, struct chunk_sink *sink,
		  struct buf *bytes, struct entry *out, struct err *e);

#endif
