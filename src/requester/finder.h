/*
 * finder - the files of a file set, as they are on disk now.
 *
 * For what the walk of a backup does not meet: names behind an alternate path,
 * log files in a log backup, declarations that came late, members that a
 * person's exclude would drop.
 */
#ifndef ASOF_REQUESTER_FINDER_H
#define ASOF_REQUESTER_FINDER_H

#include <stdbool.h>

struct err;
struct metadata_spec;
struct standins;

/*
 * Call fn for every regular file of `spec` that is there, in no order, with its
 * path (valid during the call). Follows no symlink. A directory that is not
 * there counts as empty: the caller asks for files, and whether they must be
 * there is his affair; one that is something else cannot be listed. `others`:
 * also for what is neither a regular file nor a directory. fn: 0 go on, 1 stop,
 * -1 failed. Returns 0, 1 stopped, -1; with ERR_SOURCE from here a directory
 * cannot be listed, and fn was called for all that is elsewhere. `in`: what is
 * listed in place of directories (NULL: nothing); paths are those of the
 * originals.
 */
typedef int (*finder_fn)(void *ctx, const char *path, struct err *e);
int finder_each(const struct metadata_spec *spec, const struct standins *in,
		bool others, finder_fn fn, void *ctx, struct err *e);

#endif
