/*
 * guise - touching the targets of a restore as the owner of a writer.
 *
 * What a writer says decides which files are written, so a restore for a writer
 * that is not root's must not do what its owner could not do.  While the guise
 * is on, every call of sys_target is made with the owner's user, group and
 * groups for the file system, and root's capabilities do not count; everything
 * else, the repository above all, is touched as before.
 *
 * On and off while no other thread uses sys_target; then any thread.
 */
#ifndef ASOF_REQUESTER_GUISE_H
#define ASOF_REQUESTER_GUISE_H

#include <sys/types.h>

struct err;

/*
 * Only root can: ERR_USAGE for others, unless `uid` is their own, which needs
 * no guise.
 */
int guise_on(uid_t uid, struct err *e);

/* Does nothing when none is on. */
void guise_off(void);

#endif
