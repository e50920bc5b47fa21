/*
 * cred - look at files with the rights of another user, on this thread.
 *
 * For a process of root's that is handed paths by others: what they could not
 * open themselves must not be opened for them.  Between cred_enter and
 * cred_leave the calling thread, and no other, has the user's number, groups
 * and none of root's rights over files; everything else is as before.  It must
 * not start threads or programs meanwhile.
 */
#ifndef ASOF_BASE_CRED_H
#define ASOF_BASE_CRED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct err;

/* All-zero is root. */
struct cred {
	uid_t uid;
	gid_t gid;
	gid_t *group; /* supplementary */
	size_t groups;
};

/*
 * The user's groups, as the system's databases have them; who is in none has
 * the group nogroup only.  May take its time.  *out wants cred_clear.
 */
int cred_look_up(uid_t uid, struct cred *out, struct err *e);
void cred_clear(struct cred *c);

/*
 * What a thread was before.  Nothing is changed where the process is not
 * root's, or where the user is root: then it is what it would become.
 */
struct cred_before {
	bool changed;
	uid_t uid;
	gid_t gid;
	gid_t *group;
	size_t groups;
};
int cred_enter(const struct cred *c, struct cred_before *before, struct err *e);

/* Keeps errno. */
void cred_leave(struct cred_before *before);

#endif
