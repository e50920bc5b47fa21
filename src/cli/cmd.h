/*
 * cmd - what a command is, and what all commands share.
 *
 * main.c finds the command, parses its words, opens what it needs and calls
 * run(); cmd.c has the steps that several commands take.  Only src/cli
 * prints.
 */
#ifndef ASOF_CLI_CMD_H
#define ASOF_CLI_CMD_H

#include "base/buf.h"
#include "src/cli/opt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct cli;
struct err;
struct generation;
struct generation_list;
struct repository;
struct session;
struct store;
struct store_options;
struct view_gen;

/* What the program tells its caller; documented in asof(1). */
enum {
	CODE_DONE = 0,
	CODE_FAILED = 1,
	CODE_USAGE = 2,
	CODE_SOURCE = 3, /* done, but some source files could not be read */
	CODE_DAMAGED = 4,
	CODE_BUSY = 5,
	CODE_SIGNAL = 128, /* plus the signal's number */
};

/* What main.c opens before run(). */
enum need {
	NEED_NOTHING = 0,
	NEED_REPOSITORY,
	NEED_STORE, /* and a session, and what NEED_REPOSITORY opens */
};

/* What the operands are, for completion. */
enum operand {
	OPERAND_NONE = 0,
	OPERAND_FILE,
	OPERAND_DIR,
	OPERAND_GENERATION,
	OPERAND_COMMAND,
	OPERAND_WORDS, /* one of command.words */
};

struct command {
	const char *name;
	const char *summary;  /* one line, imperative */
	const char *operands; /* "GEN[:PATH] ..." */
	enum operand operand;
	const char *words; /* OPERAND_WORDS, or NULL */
	size_t args_min, args_max;
	const char *about;    /* what more there is to say; flowing text */
	const char *examples; /* lines */
	const struct opt *options;
	enum need need;
	const char *session; /* with NEED_STORE: the session's kind */
	bool write;          /* it changes the repository */
	bool json;           /* it has --json */
	bool no_repository;  /* it has no -r */
	bool own_signals;    /* it handles SIGINT and SIGTERM itself */
	/* The exit code, or -1 with *e. */
	int (*run)(struct cli *c, struct err *e);
};

extern const struct command cmd_backup, cmd_cat, cmd_check, cmd_completion,
	cmd_control, cmd_forget, cmd_generations, cmd_help, cmd_init, cmd_ls,
	cmd_mount, cmd_restore, cmd_session, cmd_show, cmd_stats, cmd_writer;

/* All commands in the order of the help, with NULL at the end. */
extern const struct command *const commands[];

/* The command of that name; ERR_USAGE, with a guess, when there is none. */
int command_find(const char *name, const struct command **out, struct err *e);

/*
 * The tables of its options, its own first, with NULL at the end.  Without a
 * command: those that may stand before its name.
 */
#define COMMAND_TABLES_MAX 5
void command_tables(const struct command *cmd,
		    const struct opt *out[COMMAND_TABLES_MAX]);

/* help.c: what --help says; about the whole program without a command. */
void help_print(const struct command *cmd);
void help_version(void);

/* One run of the program. */
struct cli {
	const struct command *command;
	struct opts opts;
	bool json;
	struct repository *repository;
	struct session *session;
	struct store *store;
};

/*
 * 0, or the signal that asks us to stop.  Written by the handler alone, in
 * whichever thread, and read in all.
 */
extern atomic_int cli_cancel;

/* ERR_CANCELLED once a signal has come. */
int cli_check_cancel(struct err *e);

/* Let SIGINT, SIGTERM and SIGHUP set it.  main.c does, unless own_signals. */
void cli_catch_signals(void);

/* -r or ASOF_REPOSITORY; ERR_USAGE when neither is given. */
int cli_repository_path(const struct cli *c, const char **out, struct err *e);

/*
 * Open what is needed into *c, with a session of the given kind.  Says what
 * is wrong with the repository but does not hinder.
 */
int cli_open(struct cli *c, enum need need, const char *kind,
	     const struct store_options *opt, struct err *e);

/* Close it all, whatever has been opened. */
void cli_close(struct cli *c);

/* The exit code for a failure. */
int cli_code(const struct err *e);

/*
 * generation_find(), but "there is no such generation" is the person's
 * mistake (exit 1) and not a repository with something missing (exit 4).
 */
int cli_find(const struct generation_list *l, const char *name,
	     const struct generation **out, struct err *e);

/* "GEN[:PATH]", taken apart and looked up.  All-zero is empty. */
struct place {
	struct view_gen *gen;
	struct buf path; /* absolute and normal */
	bool whole;      /* no path was given, or "/" */
	bool contents;   /* the path ended with a slash */
};
int cli_place(struct cli *c, const char *arg, struct place *out, struct err *e);
void place_clear(struct place *p);

/* "GEN: /path: no such file or directory": exit 1. */
int cli_no_path(const struct place *p, struct err *e);

/* --- control.c: control files beside a mount ------------------------------- */

/*
 * Start a process that serves them, unless one does, and wait until it is ready
 * or has failed, which is noted.  It ends when this process does.  Before
 * anything is opened; `fd` is not for it.
 */
void control_start_beside(const struct cli *c, bool foreground, int fd);

/* --- mount.c: being called by mount(8) ------------------------------------ */

/*
 * `mount -t fuse.asof REPO DIR -o at=42` runs "mount.fuse.asof REPO DIR -o
 * rw,at=42"; that name is a link to asof, and these words become those of
 * "asof mount".
 */
bool mount_is_helper(const char *argv0);

/*
 * Put the equal words for asof into `out`, a NULL at the end.  Returns how
 * many, or -1 with ERR_USAGE.
 */
#define MOUNT_HELPER_WORDS 16
int mount_helper_words(int argc, const char *const *argv,
		       const char *out[MOUNT_HELPER_WORDS], struct err *e);

#endif
