/*
 * cache - where the local cache of a repository is.
 *
 * /var/cache/asof/REPOID for root, $XDG_CACHE_HOME/asof/REPOID or
 * ~/.cache/asof/REPOID else; ASOF_CACHE_DIR names another parent.  Mode
 * 0700: a cache that belongs to somebody else, or that others can write, is
 * not used.  Where none can be had, a temporary directory below TMPDIR takes
 * its place.
 */
#ifndef ASOF_STORE_CACHE_H
#define ASOF_STORE_CACHE_H

#include <stdbool.h>

struct buf;
struct err;

/*
 * Open (making it where needed) the cache directory for the repository id
 * (16 bytes).  Sets *fd and appends its path to *path.  *temporary says that
 * it is a throw-away one that cache_remove() has to remove at the end.
 */
int cache_open(const unsigned char repo_id[16], int *fd, struct buf *path,
	       bool *temporary, struct err *e);
void cache_remove(int fd, const char *path);

#endif
