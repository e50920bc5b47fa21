/*
 * From the command line to one command's run() and back to an exit code.
 *
 * A first signal sets a flag that the engine looks at between two steps, so
 * that what is under way ends whole or not at all; a second one ends the
 * process where it stands, which the store survives like any other crash.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/path.h"
#include "src/cli/ui.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * Every thread would get a heap of its own that only grows; and what is this
 * large goes back to the kernel when it is freed.
 */
#define MALLOC_ARENAS         2
#define MALLOC_MMAP_THRESHOLD (128 * 1024)

atomic_int cli_cancel;

const struct command *const commands[] = {
	&cmd_init,        &cmd_backup, &cmd_restore, &cmd_mount, &cmd_control,
	&cmd_generations, &cmd_show,   &cmd_ls,      &cmd_cat,
	&cmd_stats,       &cmd_writer, &cmd_session, &cmd_check,
	&cmd_forget,      &cmd_completion, &cmd_help, NULL,
};

/* clang-format off */
static const struct opt repository_options[] = {
	{ .name = "repository", .letter = 'r', .kind = OPT_DIR, .value = "DIR",
	  .help = "the repository; or set ASOF_REPOSITORY" },
	{ 0 },
};
/* clang-format on */

/* clang-format off */
static const struct opt json_options[] = {
	{ .name = "json", .help = "print the result as JSON" },
	{ 0 },
};
/* clang-format on */

/* clang-format off */
static const struct opt common_options[] = {
	{ .name = "quiet", .letter = 'q', .help = "only errors" },
	{ .name = "verbose", .letter = 'v', .help = "say more" },
	{ .name = "no-progress", .help = "no progress line" },
	{ .name = "help", .letter = 'h', .help = "explain and do nothing" },
	{ .name = "version", .letter = 'V',
	  .help = "say which version this is" },
	{ 0 },
};
/* clang-format on */

/* --- commands ------------------------------------------------------------- */

void
command_tables(const struct command *cmd,
	       const struct opt *out[COMMAND_TABLES_MAX])
{
	size_t n = 0;

	if (cmd != NULL && cmd->options != NULL)
		out[n++] = cmd->options;
	if (cmd == NULL || !cmd->no_repository)
		out[n++] = repository_options;
	if (cmd == NULL || cmd->json)
		out[n++] = json_options;
	out[n++] = common_options;
	out[n] = NULL;
}

int
command_find(const char *name, const struct command **out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const struct command *near = NULL;
	unsigned least = OPT_SLIP_MAX + 1;
	unsigned d;
	size_t i;

	for (i = 0; commands[i] != NULL; i++) {
		d = opt_distance(commands[i]->name, name);
		if (d < least &&
		    (d == 0 || 2 * d < strlen(commands[i]->name))) {
			least = d;
			near = commands[i];
		}
	}
	if (near != NULL && least == 0) {
		*out = near;
		return 0;
	}
	(void)path_show_in(shown, name, strlen(name));
	if (near == NULL)
		return err_set(e, ERR_USAGE, "unknown command %s", shown);
	return err_set(e, ERR_USAGE, "unknown command %s; did you mean %s?",
		       shown, near->name);
}

static int
check_operands(const struct cli *c, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const struct command *cmd = c->command;
	const char *extra;

	if (c->opts.args < cmd->args_min)
		return err_set(e, ERR_USAGE, "%s is missing", cmd->operands);
	if (c->opts.args <= cmd->args_max)
		return 0;
	extra = c->opts.arg[cmd->args_max];
	return err_set(e, ERR_USAGE, "%s is one operand too many",
		       path_show_in(shown, extra, strlen(extra)));
}

/* --- the process ---------------------------------------------------------- */

static void
on_signal(int number)
{
	if (cli_cancel != 0)
		_exit(CODE_SIGNAL + number);
	cli_cancel = number;
}

/* What the caller told us to ignore stays ignored (nohup). */
static void
catch_signal(int number)
{
	struct sigaction now;
	struct sigaction ours = { .sa_handler = on_signal };

	if (sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
		(void)sigaction(number, &ours, NULL);
}

void
cli_catch_signals(void)
{
	catch_signal(SIGINT);
	catch_signal(SIGTERM);
	catch_signal(SIGHUP);
}

/*
 * Files that we open must not become standard output by accident.  Opened the
 * wrong way round, so that using them fails.
 */
static void
fill_standard_files(void)
{
	static const int flags[] = { O_WRONLY, O_RDONLY, O_RDONLY };
	int fd;

	for (fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)open("/dev/null", flags[fd]);
}

static void
raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void
prepare_process(void)
{
	fill_standard_files();
	(void)setlocale(LC_CTYPE, "");
	(void)mallopt(M_ARENA_MAX, MALLOC_ARENAS);
	(void)mallopt(M_MMAP_THRESHOLD, MALLOC_MMAP_THRESHOLD);
	raise_open_files();
	(void)signal(SIGPIPE, SIG_IGN);
	/* Ignored, it would take the status of every child away. */
	(void)signal(SIGCHLD, SIG_DFL);
}

/* --- one run -------------------------------------------------------------- */

static void
prepare_ui(const struct opts *o)
{
	struct ui_options opt = {
		.quiet = opt_given(o, "quiet"),
		.verbose = opt_given(o, "verbose"),
		.progress = !opt_given(o, "no-progress"),
	};

	ui_init(&opt);
}

/*
 * Parse argv[1 ...] into *c.  Returns 0 with a command to run, 1 when all is
 * said and done, -1 with *e.
 */
static int
parse(struct cli *c, int argc, const char *const *argv, struct err *e)
{
	const struct opt *tables[COMMAND_TABLES_MAX];
	int at;

	command_tables(NULL, tables);
	if (opt_parse(tables, argc - 1, argv + 1, true, &c->opts, e) < 0)
		return -1;
	if (c->opts.args > 0 &&
	    command_find(c->opts.arg[0], &c->command, e) < 0)
		return -1;
	if (c->command != NULL) {
		at = argc - (int)c->opts.args + 1;
		c->opts.args = 0;
		command_tables(c->command, tables);
		if (opt_parse(tables, argc - at, argv + at, false, &c->opts,
			      e) < 0)
			return -1;
	}
	if (opt_given(&c->opts, "version")) {
		help_version();
		return 1;
	}
	if (opt_given(&c->opts, "help")) {
		help_print(c->command);
		return 1;
	}
	if (c->command == NULL)
		return err_set(e, ERR_USAGE, "which command?");
	c->json = opt_given(&c->opts, "json");
	if (c->json && !c->command->json)
		return err_set(e, ERR_USAGE, "there is no --json");
	return check_operands(c, e);
}

/* Say what is wrong with the command line. */
static void
complain(const struct cli *c, const struct err *e)
{
	if (e->kind != ERR_USAGE)
		ui_error("%s", e->text);
	else if (c->command == NULL)
		ui_error("%s (see asof help)", e->text);
	else
		ui_error("%s: %s (see asof %s --help)", c->command->name,
			 e->text, c->command->name);
}

static int
run(struct cli *c)
{
	const struct command *cmd = c->command;
	struct err e = { 0 };
	int code = -1;

	if (!cmd->own_signals)
		cli_catch_signals();
	if (cli_open(c, cmd->need, cmd->session, NULL, &e) == 0)
		code = cmd->run(c, &e);
	ui_progress_end();
	cli_close(c);
	if (code >= 0)
		return code;
	if (e.kind == ERR_CANCELLED && cli_cancel != 0) {
		ui_error("interrupted");
		return CODE_SIGNAL + cli_cancel;
	}
	ui_error("%s", e.text);
	return cli_code(&e);
}

/* A reader that hangs up has seen what it wanted: nothing to say. */
static int
finish(int code)
{
	struct err e = { 0 };

	if (ui_finish(&e) == 0)
		return code;
	if (e.saved_errno != EPIPE)
		ui_error("%s", e.text);
	return code == CODE_DONE ? CODE_FAILED : code;
}

static int
program(int argc, const char *const *argv)
{
	struct cli c = { 0 };
	struct err e = { 0 };
	int code = CODE_DONE;
	int rc;

	rc = parse(&c, argc, argv, &e);
	prepare_ui(&c.opts);
	if (rc < 0) {
		complain(&c, &e);
		code = cli_code(&e);
	} else if (rc == 0) {
		code = run(&c);
	}
	opt_clear(&c.opts);
	return finish(code);
}

int
main(int argc, char **argv)
{
	const char *const *words = (const char *const *)argv;
	const char *helper[MOUNT_HELPER_WORDS];
	struct err e = { 0 };

	prepare_process();
	if (argc > 0 && mount_is_helper(words[0])) {
		argc = mount_helper_words(argc, words, helper, &e);
		if (argc < 0) {
			ui_error("%s", e.text);
			return cli_code(&e);
		}
		words = helper;
	}
	return program(argc, words);
}
