#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/detach.h"

#include "base/err.h"
#include "src/cli/cmd.h"
#include "src/cli/ui.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int
detach_check_fd(const char *command, int fd, struct err *e)
{
	if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(e, ERR_USAGE, "%s: descriptor %d is not open",
			       command, fd);
	return 0;
}

/* Wait for the child's word.  Returns the exit code. */
static int
wait_ready(const char *command, int fd, pid_t child, int user_fd)
{
	ssize_t n;
	int status = 0;
	char byte;

	cli_catch_signals();
	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR && cli_cancel == 0);
	if (n == 1) {
		if (user_fd >= 0)
			(void)!write(user_fd, &byte, 1);
		return CODE_DONE;
	}
	if (cli_cancel != 0)
		(void)kill(child, SIGTERM);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (cli_cancel != 0)
		return CODE_SIGNAL + cli_cancel;
	if (WIFEXITED(status) && WEXITSTATUS(status) != CODE_DONE)
		return WEXITSTATUS(status); /* it has said why */
	ui_error("%s: the process ended before it was ready", command);
	return CODE_FAILED;
}

int
detach(const char *command, int user_fd, int *ready_fd, int *code,
       struct err *e)
{
	int fd[2];
	pid_t child;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, "%s: make a pipe", command);
	child = fork();
	if (child < 0) {
		err_sys(e, "%s: start a process", command);
		close(fd[0]);
		close(fd[1]);
		return -1;
	}
	if (child > 0) {
		close(fd[1]);
		*code = wait_ready(command, fd[0], child, user_fd);
		close(fd[0]);
		return 1;
	}
	close(fd[0]);
	if (user_fd >= 0)
		close(user_fd);
	(void)setsid();
	*ready_fd = fd[1];
	return 0;
}
