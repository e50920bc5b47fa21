/*
 * detach - into the background, once the work there is under way.
 *
 * Comes before anything is opened: no lock, thread or open catalogue survives a
 * fork.  What fails before the process is ready is said on the same standard
 * error and ends with the code that tells how it went.
 */
#ifndef ASOF_CLI_DETACH_H
#define ASOF_CLI_DETACH_H

struct err;

/*
 * Check a descriptor of the person's (--ready-fd; -1: none), to which a newline
 * is written when all is ready.  `command` is for the message.
 */
int detach_check_fd(const char *command, int fd, struct err *e);

/*
 * Become two processes.  Returns 0 in the new one, which is to go on: it writes
 * a newline to *ready_fd when it is ready, and closes it in any case.  In the
 * one that called, waits for that, and returns 1 with the exit code in *code;
 * or -1.  user_fd is the person's.
 */
int detach(const char *command, int user_fd, int *ready_fd, int *code,
	   struct err *e);

#endif
