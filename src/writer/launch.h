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

struct child;
struct err;

struct launch {
	const char *path;
	uid_t owner;
	bool change_user; /* become the owner: that is not us */
	const char *writer, *session;
};

/* Start it; see child_start. */
int launch(const struct launch *l, struct child *out, struct err *e);

#endif
