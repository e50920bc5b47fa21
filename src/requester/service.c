/*
 * The program is run with nothing of ours: a clean environment, no descriptors
 * but the three, the root directory.  Starting is not given up when somebody
 * says stop: a service that we stopped runs again.  For the case that we are killed
 * there is a child, made before anything is stopped (outlive.h).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/service.h"

#include "base/err.h"
#include "base/io.h"
#include "base/outlive.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *service_program = "/usr/bin/systemctl";

/* A unit's name, as the service manager has it; no option and no path. */
static bool
name_ok(const char *s)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789:-_.\\@";

	return s[0] != '\0' && s[0] != '-' && strlen(s) < 256 &&
	       s[strspn(s, good)] == '\0';
}

static int
spawn(const char *verb, const char *unit, pid_t *out, struct err *e)
{
	char *const argv[] = { (char *)(uintptr_t)service_program,
			       (char *)(uintptr_t)verb,
			       (char *)(uintptr_t) "--",
			       (char *)(uintptr_t)unit, NULL };
	char *const env[] = { (char *)(uintptr_t) "PATH=/usr/bin:/bin",
			      (char *)(uintptr_t) "LC_ALL=C", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	sigset_t all;
	int rc;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return err_nomem(e);
	if (posix_spawnattr_init(&attr) != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return err_nomem(e);
	}
	(void)posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	(void)posix_spawn_file_actions_addchdir_np(&actions, "/");
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	/* A group of its own: a ^C for us is not one for it. */
	(void)posix_spawnattr_setpgroup(&attr, 0);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETPGROUP);
	rc = posix_spawn(out, service_program, &actions, &attr, argv, env);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (rc == 0)
		return 0;
	errno = rc;
	return err_sys(e, "run %s", service_program);
}

/* Wait for it; with *cancel set, for as long as it takes to end it. */
static int
await(pid_t pid, const atomic_int *cancel, int *status, struct err *e)
{
	pid_t rc;

	while ((rc = waitpid(pid, status, 0)) < 0 && errno == EINTR)
		if (cancel != NULL && *cancel != 0)
			(void)kill(-pid, SIGTERM);
	return rc < 0 ? err_sys(e, "wait for %s", service_program) : 0;
}

static int
run(const char *verb, const char *unit, const atomic_int *cancel,
    struct err *e)
{
	char shown[PATH_SHOW_LEN];
	int status;
	pid_t pid;

	(void)path_show_in(shown, unit, strlen(unit));
	if (spawn(verb, unit, &pid, e) < 0 ||
	    await(pid, cancel, &status, e) < 0)
		return err_prefix(e, "%s the service %s", verb, shown);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		return err_set(e, ERR_USAGE,
			       "%s the service %s: %s ended with %d", verb,
			       shown, service_program, WEXITSTATUS(status));
	return err_set(e, ERR_USAGE, "%s the service %s: %s was ended by a "
				     "signal",
		       verb, shown, service_program);
}

/* --- whoever starts them if we do not ---------------------------------------- */

static int
start_all(char *const *unit, size_t n, struct err *e)
{
	struct err why = { 0 };
	size_t i;

	for (i = n; i-- > 0;)
		(void)run("start", unit[i], NULL, &why);
	if (why.kind == ERR_NONE)
		return 0;
	err_move(e, &why);
	return -1;
}

/* Until the line ends, which it does with our parent; else we are killed. */
static void __attribute__((noreturn))
be_watcher(const struct service_stopped *s, int line)
{
	struct pollfd end = { .fd = fcntl(line, F_DUPFD_CLOEXEC, 3) };

	if (end.fd < 0 || outlive(end.fd) < 0)
		_exit(1);
	(void)!chdir("/");
	while (poll(&end, 1, -1) < 0 && errno == EINTR)
		;
	_exit(start_all(s->unit, s->units, NULL) < 0);
}

static int
start_watcher(struct service_stopped *s, struct err *e)
{
	int line[2];

	if (pipe2(line, O_CLOEXEC) < 0)
		return err_sys(e, "watch over a stopped service");
	s->watcher = fork();
	if (s->watcher == 0)
		be_watcher(s, line[0]);
	(void)io_close(line[0], "line to the watcher", NULL);
	s->line = line[1];
	if (s->watcher > 0)
		return 0;
	(void)err_sys(e, "watch over a stopped service");
	(void)io_close(s->line, "line to the watcher", NULL);
	return -1;
}

/* Before the line ends: it is not to start them once more. */
static void
dismiss_watcher(struct service_stopped *s)
{
	(void)kill(s->watcher, SIGKILL);
	while (waitpid(s->watcher, NULL, 0) < 0 && errno == EINTR)
		;
	(void)io_close(s->line, "line to the watcher", NULL);
}

/* --- both --------------------------------------------------------------------- */

int
service_check(char *const *unit, size_t n, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	size_t i;

	if (n == 0)
		return err_set(e, ERR_USAGE,
			       "the writer's restore method stops its service, "
			       "and none was named when it was registered "
			       "(asof writer add --service)");
	if (geteuid() != 0)
		return err_set(e, ERR_USAGE,
			       "the writer's restore method stops its service: "
			       "that is for root");
	for (i = 0; i < n; i++)
		if (!name_ok(unit[i]))
			return err_set(e, ERR_USAGE,
				       "not the name of a service: %s",
				       path_show_in(shown, unit[i],
						    strlen(unit[i])));
	return 0;
}

int
service_stop(char *const *unit, size_t n, const atomic_int *cancel,
	     struct service_stopped *out, struct err *e)
{
	struct service_stopped s = { .unit = unit, .units = n };
	size_t i;

	if (service_check(unit, n, e) < 0 || start_watcher(&s, e) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		if (run("stop", unit[i], cancel, e) == 0)
			continue;
		/* It may have stopped halfway: start it, too. */
		(void)start_all(unit, i + 1, NULL);
		dismiss_watcher(&s);
		return -1;
	}
	*out = s;
	return 0;
}

int
service_start(struct service_stopped *s, struct err *e)
{
	int rc = start_all(s->unit, s->units, e);

	dismiss_watcher(s);
	return rc;
}
