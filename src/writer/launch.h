/*
 * launch - finding a program in writers.d/, and starting it.
 *
 * doc/control.md, section 10.  Which programs may be run at all is decided in
 * coprocess_list (coprocess.h), which is here, too; how they talk is
 * coprocess.c's.
 */
#ifndef ASOF_WRITER_LAUNCH_H
#define ASOF_WRITER_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

struct err;

struct launch {
	const char *path;
	uid_t owner;
	bool change_user; /* become the owner: that is not us */
	const char *writer, *session;
};

/* Our ends of its standard files, all non-blocking. */
struct launched {
	pid_t pid; /* also of its process group */
	int in, out, log;
};

/*
 * Start it.  Fails when it cannot be executed, too, not only when there is no
 * process to be had.
 */
int launch(const struct launch *l, struct launched *out, struct err *e);

#endif
