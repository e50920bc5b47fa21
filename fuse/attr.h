/*
 * attr - what an entry looks like from outside: stat and xattrs.
 *
 * Pure but for reading; any thread.
 */
#ifndef ASOF_FUSE_ATTR_H
#define ASOF_FUSE_ATTR_H

#include "src/engine/view.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct buf;
struct err;

/* What a node of the mount is said to be, and for how long that is so. */
struct attr {
	struct stat stat;
	struct timespec birth; /* with has_birth */
	bool has_birth;
	double timeout; /* seconds */
};

/* Reads nothing of a file but its entry, however long its map is. */
int attr_stat(struct view_gen *g, const struct node *n, struct stat *out,
	      struct err *e);

/* The same with the time of birth, for ever. */
int attr_fill(struct view_gen *g, const struct node *n, struct attr *out,
	      struct err *e);

/* What a directory of so many entries is said to be long. */
off_t attr_dir_size(uint64_t entries);

/*
 * Append the names of its xattrs, a NUL behind each.  Those of the class
 * "trusted" are only for privileged eyes, as in other file systems.
 */
void attr_xattr_names(const struct entry *en, bool privileged, struct buf *out);

/*
 * Append a fact about the generation, for a name that begins with
 * "user.asof.": 1 when there is none of that name.  asof(1) lists them; all
 * that the record holds is among them, but for the format's feature bits and
 * the places of its tables.
 */
int attr_fact(const struct record *r, const char *name, struct buf *out);

#endif
