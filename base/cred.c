/*
 * The kernel keeps rights per thread; the C library's setgroups and its kin
 * change those of all threads, so the calls are made without it.  Only the
 * number for file systems (fsuid) is changed: the kernel then takes the rights
 * to pass by permissions (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER ...)
 * out of the thread's effective ones and gives them back with the old number.
 * That this happened is looked at, because a process can be set up otherwise
 * (securebits).
 *
 * A helper process with all numbers changed would be the other way.  It costs
 * a fork for each declaration, and gains nothing: what it is for is permission
 * checks on paths, and those ask for the fsuid only.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/cred.h"

#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define GROUPS_FIRST 64
#define GROUPS_MAX   65536 /* the kernel's NGROUPS_MAX */
#define PASSWD_LEN   65536
#define NOGROUP      65534

/* What must be gone: all that passes by permissions on files. */
#define FILE_RIGHTS                                                            \
	(UINT32_C(1) << CAP_CHOWN | UINT32_C(1) << CAP_DAC_OVERRIDE |          \
	 UINT32_C(1) << CAP_DAC_READ_SEARCH | UINT32_C(1) << CAP_FOWNER)

void
cred_clear(struct cred *c)
{
	mem_free(c->group);
	memset(c, 0, sizeof(*c));
}

/* All groups of the named user, as many as there are. */
static int
look_up_groups(const char *name, struct cred *c, struct err *e)
{
	size_t room = GROUPS_FIRST;
	int n;

	for (;;) {
		mem_free(c->group);
		c->group = mem_array(room, sizeof(*c->group));
		if (c->group == NULL)
			return err_nomem(e);
		n = (int)room;
		if (getgrouplist(name, c->gid, c->group, &n) >= 0)
			break;
		if (room >= GROUPS_MAX)
			return err_set(e, ERR_SYS, "user %s: too many groups",
				       name);
		room = n > (int)room && n <= GROUPS_MAX ? (size_t)n
							: GROUPS_MAX;
	}
	c->groups = (size_t)n;
	return 0;
}

int
cred_look_up(uid_t uid, struct cred *out, struct err *e)
{
	struct cred c = { uid, NOGROUP, NULL, 0 };
	struct passwd *found = NULL;
	struct passwd pw;
	char *text;
	int rc = 0;
	int why;

	text = mem_alloc(PASSWD_LEN);
	if (text == NULL)
		return err_nomem(e);
	do
		why = getpwuid_r(uid, &pw, text, PASSWD_LEN, &found);
	while (why == EINTR);
	/* Some databases say so where there is no such user. */
	if (why != 0 && why != ENOENT && why != ESRCH) {
		errno = why;
		rc = err_sys(e, "look up user %u", (unsigned)uid);
	} else if (found != NULL) {
		c.gid = pw.pw_gid;
		rc = look_up_groups(pw.pw_name, &c, e);
	}
	mem_free(text);
	if (rc < 0)
		cred_clear(&c);
	else
		*out = c;
	return rc;
}

static int
set_groups(const gid_t *group, size_t n)
{
	return (int)syscall(SYS_setgroups, n, group);
}

/* Neither of these two can say that it failed; to ask is to set what cannot. */
static bool
set_uid(uid_t uid)
{
	(void)setfsuid(uid);
	return (uid_t)setfsuid((uid_t)-1) == uid;
}

static bool
set_gid(gid_t gid)
{
	(void)setfsgid(gid);
	return (gid_t)setfsgid((gid_t)-1) == gid;
}

/* Has this thread none of root's rights over files? */
static bool
is_harmless(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3,
						 0 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	memset(data, 0, sizeof(data));
	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return (data[0].effective & FILE_RIGHTS) == 0;
}

static int
remember(struct cred_before *b, struct err *e)
{
	int n = getgroups(0, NULL);

	if (n < 0)
		return err_sys(e, "ask for our groups");
	b->group = mem_array((size_t)n + 1, sizeof(*b->group));
	if (b->group == NULL)
		return err_nomem(e);
	n = getgroups(n, b->group);
	if (n < 0) {
		mem_free(b->group);
		b->group = NULL;
		return err_sys(e, "ask for our groups");
	}
	b->groups = (size_t)n;
	b->uid = geteuid();
	b->gid = getegid();
	b->changed = true;
	return 0;
}

int
cred_enter(const struct cred *c, struct cred_before *before, struct err *e)
{
	memset(before, 0, sizeof(*before));
	if (c->uid == geteuid())
		return 0;
	if (geteuid() != 0)
		return err_set(e, ERR_SYS, "cannot become user %u",
			       (unsigned)c->uid);
	if (remember(before, e) < 0)
		return -1;
	if (set_groups(c->group, c->groups) == 0 && set_gid(c->gid) &&
	    set_uid(c->uid) && is_harmless())
		return 0;
	cred_leave(before);
	return err_set(e, ERR_SYS, "cannot become user %u", (unsigned)c->uid);
}

/*
 * All of this can fail for want of memory only.  A thread that stayed somebody
 * else would do everything it does later with wrong rights: it waits here.
 */
void
cred_leave(struct cred_before *b)
{
	const struct timespec pause = { 0, 1000000 };
	int saved = errno;

	if (!b->changed)
		return;
	while (!set_uid(b->uid) || !set_gid(b->gid) ||
	       set_groups(b->group, b->groups) < 0)
		(void)nanosleep(&pause, NULL);
	mem_free(b->group);
	memset(b, 0, sizeof(*b));
	errno = saved;
}
