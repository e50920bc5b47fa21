/*
 * As with a mount, all forking is done before anything is opened (detach.h).
 * The repository is opened for its id alone, and closed again: control files
 * are there also while the disk it is on is away.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "fuse/control.h"
#include "src/cli/detach.h"
#include "src/cli/ui.h"
#include "store/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A mount does not wait any longer for control files. */
#define START_MS 10000

/* clang-format off */
static const struct opt options[] = {
	{ .name = "dir", .kind = OPT_DIR, .value = "DIR",
	  .help = "there, not in /run/asof or $XDG_RUNTIME_DIR/asof" },
	{ .name = "foreground", .letter = 'f',
	  .help = "stay in the foreground" },
	{ .name = "ready-fd", .kind = OPT_NUMBER, .value = "N",
	  .help = "write a newline to descriptor N when they are there" },
	{ 0 },
};
/* clang-format on */

/* Which repository: all that is needed of it. */
struct target {
	char *path; /* absolute */
	unsigned char id[16];
};

static int
find_target(struct cli *c, struct target *out, struct err *e)
{
	if (cli_open(c, NEED_REPOSITORY, NULL, NULL, e) < 0)
		return -1;
	memcpy(out->id, c->repository->config.id, sizeof(out->id));
	out->path = mem_strdup(c->repository->path);
	cli_close(c);
	return out->path != NULL ? 0 : err_nomem(e);
}

/* --- the command ---------------------------------------------------------- */

/* The working directory is left later on. */
static int
make_absolute(const char *dir, struct buf *out, struct err *e)
{
	char cwd[PATH_MAX];

	if (dir == NULL)
		return 0;
	if (getcwd(cwd, sizeof(cwd)) == NULL)
		return err_sys(e, "control: find the working directory");
	if (path_absolute(cwd, dir, out, e) < 0)
		return -1;
	return buf_ok(out, e);
}

/* Who stays in the foreground has his terminal for other things. */
static void
tell_place(const char *path)
{
	char shown[PATH_SHOW_LEN];

	ui_printf("control files: %s\n",
		  path_show_in(shown, path, strlen(path)));
	(void)fflush(stdout);
}

static int
run(struct cli *c, struct err *e)
{
	int user_fd = (int)opt_number(&c->opts, "ready-fd", UINT64_MAX);
	struct control_options opt = {
		.foreground = opt_given(&c->opts, "foreground"),
		.ready_fd = user_fd,
	};
	struct target target = { 0 };
	struct buf dir = { 0 };
	int code = CODE_DONE;
	int rc = detach_check_fd("control", user_fd, e);

	if (rc == 0)
		rc = make_absolute(opt_text(&c->opts, "dir"), &dir, e);
	if (rc == 0 && dir.len > 0)
		opt.dir = buf_str(&dir);
	if (!opt.foreground)
		opt.told = tell_place;
	if (rc == 0 && !opt.foreground)
		rc = detach("control", user_fd, &opt.ready_fd, &code, e);
	if (rc == 0)
		rc = find_target(c, &target, e);
	if (target.path != NULL)
		rc = control_serve(target.path, target.id, &opt, e);
	mem_free(target.path);
	buf_clear(&dir);
	return rc < 0 ? -1 : code;
}

const struct command cmd_control = {
	.name = "control",
	.summary = "let applications say what changed in their files",
	.operands = "",
	.about = "Serve control files: a folder where applications (writers) "
		 "register, say what they have and which bytes of it have "
		 "changed, so that a backup reads no others, and take part in "
		 "backups.  Its README says how.  It is served until it is "
		 "unmounted or the process is told to end.",
	.examples = "asof control -r /backup/repo && ls /run/asof/*/\n"
		    "asof control -r /backup/repo --dir ~/control -f",
	.options = options,
	.own_signals = true,
	.run = run,
};

/* --- beside a mount ------------------------------------------------------- */

/*
 * It ends with the mount's process, by the kernel's word; what goes on at the
 * terminal, and the service manager, are that one's.
 */
static void
be_beside(const struct cli *c, bool foreground, int ready_fd, pid_t parent)
{
	struct control_options opt = {
		.foreground = foreground,
		.ready_fd = ready_fd,
	};
	struct cli own = { .command = c->command, .opts = c->opts };
	struct target target = { 0 };
	struct err e = { 0 };

	(void)setsid();
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(CODE_SIGNAL + SIGTERM);
	(void)unsetenv("NOTIFY_SOCKET");
	/* What is wrong with the repository is the mount's to say. */
	if (find_target(&own, &target, NULL) < 0)
		_exit(CODE_FAILED);
	if (control_serve(target.path, target.id, &opt, &e) == 0)
		_exit(CODE_DONE);
	if (e.kind != ERR_BUSY)
		ui_note("no control files: %s", e.text);
	_exit(cli_code(&e));
}

void
control_start_beside(const struct cli *c, bool foreground, int fd)
{
	pid_t parent = getpid();
	struct pollfd p;
	pid_t child;
	int pipe[2];

	if (pipe2(pipe, O_CLOEXEC) < 0) {
		ui_note("no control files: cannot make a pipe");
		return;
	}
	child = fork();
	if (child == 0) {
		close(pipe[0]);
		if (fd >= 0)
			close(fd);
		be_beside(c, foreground, pipe[1], parent);
	}
	close(pipe[1]);
	if (child < 0)
		ui_note("no control files: cannot start a process");
	p = (struct pollfd){ .fd = pipe[0], .events = POLLIN };
	while (child > 0 && poll(&p, 1, START_MS) < 0 && errno == EINTR)
		;
	close(pipe[0]);
}
