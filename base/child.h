/*
 * child - starting a program that is no part of us.
 *
 * Nothing of ours goes with it: no descriptor but the three pipes, no variable
 * but those given, no signal's disposition, no working directory (it has "/").
 * It is a process group of its own, so that it and what it started can be
 * killed together.
 */
#ifndef ASOF_BASE_CHILD_H
#define ASOF_BASE_CHILD_H

#include <stddef.h>
#include <sys/types.h>

struct err;

/* Whom it becomes. */
struct child_user {
	uid_t uid;
	gid_t gid;
	const gid_t *group;
	size_t groups;
};

struct child_start {
	const char *path;
	char *const *argv; /* the first is its name; ends with NULL */
	char *const *env;  /* NAME=VALUE; ends with NULL */
	const struct child_user *user; /* NULL: ours */
};

/* Our ends of its standard files, all non-blocking. */
struct child {
	pid_t pid; /* also of its process group */
	int in, out, log;
};

/*
 * Start it.  Fails when it cannot be executed, too, not only when there is no
 * process to be had.  The caller waits for it, and closes what is in *out.
 */
int child_start(const struct child_start *s, struct child *out, struct err *e);

/* Kill its whole group, and wait for it. */
void child_kill(struct child *c);

/* Close what is still open of its pipes. */
void child_close(struct child *c);

#endif
