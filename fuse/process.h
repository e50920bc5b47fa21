/*
 * process - what every process of ours that serves a mount does at its
 * beginning and its end.
 */
#ifndef ASOF_FUSE_PROCESS_H
#define ASOF_FUSE_PROCESS_H

#include <signal.h>

struct err;

/*
 * The signals that end us, and `more` (0: none): for one thread that waits for
 * them.  What our caller told us to ignore stays ignored (nohup).
 */
void process_signals(int more, sigset_t *out);

/*
 * Leave the working directory and the terminal: standard input and outputs go
 * to /dev/null, or standard error to `messages`, unless that is -1.
 */
int process_to_background(int messages, struct err *e);

/* Tell the service manager that started us, if one did (sd_notify(3)). */
void process_tell_manager(const char *word);

/* Write a newline to *fd, unless it is -1, and close it. */
void process_tell_ready(int *fd);

#endif
