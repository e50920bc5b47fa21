/*
 * granted - a writer's file in a snapshot, opened as the writer's owner.
 */
#ifndef ASOF_REQUESTER_GRANTED_H
#define ASOF_REQUESTER_GRANTED_H

struct err;
struct resolver;
struct standin;

/*
 * As resolve_regular (writer/resolve.h), of what stands in for `path`, which `in`
 * holds.  The grant is that of the path; no part of either may be a symlink.
 */
int granted_regular(struct resolver *r, const struct standin *in,
		    const char *path, int *fd, struct err *e);

#endif
