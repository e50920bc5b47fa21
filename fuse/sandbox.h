/*
 * sandbox - what the server of a mount may still do.
 *
 * It reads bytes that others wrote.  Should they ever take it over, they shall
 * find no rights, no way to get any, no other files, and few system calls
 * (doc/decisions/010-lock-down.md).
 */
#ifndef ASOF_FUSE_SANDBOX_H
#define ASOF_FUSE_SANDBOX_H

#include <stdbool.h>

struct err;
struct repository;

struct sandbox {
	const struct repository *repository;
	const char *cache_path; /* may be written in */
	bool cache_temporary;   /* and is removed in the end */
	bool off;               /* rights are dropped, and that is all */
};

/*
 * Lock this process down, for good; it has one thread yet.  What the kernel
 * does not have, and what this build cannot bear, is reported (report.h) and
 * done without.  -1 when the kernel has it and refuses.
 */
int sandbox_enter(const struct sandbox *s, struct err *e);

#endif
