/*
 * stored - the files of a file set, as a generation has them.
 *
 * As finder.h, for what was there when that generation was made.
 */
#ifndef ASOF_REQUESTER_STORED_H
#define ASOF_REQUESTER_STORED_H

struct entry;
struct err;
struct metadata_spec;
struct view_gen;

/*
 * Call fn for the directory of `spec` and, if that is recursive, all beneath,
 * each in front of what is in it; and for every entry in them, but directories,
 * whose name matches.  Path and entry are valid during the call.  What is not
 * there has nothing in it.  fn: 0 go on, -1 failed.
 */
typedef int (*stored_fn)(void *ctx, const char *path, const struct entry *en,
			 struct err *e);
int stored_each(struct view_gen *g, const struct metadata_spec *spec,
		stored_fn fn, void *ctx, struct err *e);

#endif
