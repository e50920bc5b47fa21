/*
 * service - stopping and starting what a writer belongs to.
 *
 * Two restore methods want it.  Only units that were named when the writer was
 * registered, only by root, and only through the service manager.  Each call
 * waits for it, however long that takes the service, unless the person says
 * stop.  What is stopped is started again also when this process is killed.
 */
#ifndef ASOF_REQUESTER_SERVICE_H
#define ASOF_REQUESTER_SERVICE_H

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

struct err;

/* What is run, with a verb and the unit; a test puts another in its place. */
extern const char *service_program;

/* What is stopped, and a process that starts it if we are killed. */
struct service_stopped {
	char *const *unit; /* borrowed */
	size_t units;
	pid_t watcher;
	int line; /* it waits for the end of */
};

/* Could they be stopped?  ERR_USAGE as below. */
int service_check(char *const *unit, size_t n, struct err *e);

/*
 * Stop all of them; if one fails, those that were stopped are started again, and
 * there is nothing in *out.  ERR_USAGE when there is none, when one has no name
 * of a service, or when we are not root.
 */
int service_stop(char *const *unit, size_t n, const atomic_int *cancel,
		 struct service_stopped *out, struct err *e);

/* Start all of them in the reverse order; the first failure is told. */
int service_start(struct service_stopped *s, struct err *e);

#endif
