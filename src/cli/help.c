/*
 * Help is made from the tables that the parser uses, so that it cannot be
 * wrong about what there is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "config.h"
#include "src/cli/ui.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 28 /* where the words on an option begin */
#define HELP_WIDTH  78

static void
print_option(const struct opt *o)
{
	char left[80];
	const char *value = o->kind != OPT_FLAG ? o->value : "";
	const char *blank = o->kind != OPT_FLAG ? " " : "";
	int n;

	if (o->letter != '\0')
		n = snprintf(left, sizeof(left), "  -%c, --%s%s%s", o->letter,
			     o->name, blank, value);
	else
		n = snprintf(left, sizeof(left), "      --%s%s%s", o->name,
			     blank, value);
	if (n > HELP_COLUMN - 2)
		ui_printf("%s\n%*s%s\n", left, HELP_COLUMN, "", o->help);
	else
		ui_printf("%-*s%s\n", HELP_COLUMN, left, o->help);
}

static void
print_options(const struct opt *table)
{
	for (; table->name != NULL; table++)
		print_option(table);
}

/* Lines, each set in by two. */
static void
print_lines(const char *text)
{
	const char *end;

	for (; *text != '\0'; text = *end != '\0' ? end + 1 : end) {
		end = strchrnul(text, '\n');
		ui_printf("  %.*s\n", (int)(end - text), text);
	}
}

/* Flowing text, broken at blanks. */
static void
print_text(const char *text)
{
	size_t column = 0;
	size_t len;
	size_t gap;

	while (*text != '\0') {
		gap = strspn(text, " ");
		len = strcspn(text + gap, " ");
		if (column > 0 && column + gap + len > HELP_WIDTH) {
			ui_printf("\n");
			column = 0;
		}
		if (column == 0) {
			text += gap;
			gap = 0;
		}
		ui_printf("%.*s", (int)(gap + len), text);
		column += gap + len;
		text += gap + len;
	}
	ui_printf("\n");
}

static void
print_command(const struct command *cmd)
{
	const struct opt *tables[COMMAND_TABLES_MAX];
	size_t i;

	ui_printf("usage: asof %s", cmd->name);
	if (!cmd->no_repository)
		ui_printf(" -r DIR");
	if (cmd->options != NULL)
		ui_printf(" [OPTION ...]");
	ui_printf("%s%s\n\n", cmd->operands[0] != '\0' ? " " : "",
		  cmd->operands);
	print_text(cmd->about);
	command_tables(cmd, tables);
	if (cmd->options != NULL)
		ui_printf("\nOptions:\n");
	for (i = 0; tables[i] != NULL; i++) {
		if (i == (cmd->options != NULL))
			ui_printf("\nCommon options:\n");
		print_options(tables[i]);
	}
	if (cmd->examples != NULL) {
		ui_printf("\nExamples:\n");
		print_lines(cmd->examples);
	}
}

static void
print_program(void)
{
	const struct opt *tables[COMMAND_TABLES_MAX];
	size_t i;

	ui_printf("usage: asof COMMAND -r DIR [OPTION ...] [OPERAND ...]\n\n"
		  "Your files as of any backup: back up into a deduplicating, "
		  "compressed\nrepository, and mount or restore any "
		  "generation of it.\n\nCommands:\n");
	for (i = 0; commands[i] != NULL; i++)
		ui_printf("  %-13s%s\n", commands[i]->name,
			  commands[i]->summary);
	ui_printf("\nCommon options:\n");
	command_tables(NULL, tables);
	for (i = 0; tables[i] != NULL; i++)
		print_options(tables[i]);
	ui_printf("\nA first backup:\n");
	print_lines("export ASOF_REPOSITORY=/backup/repo\n"
		    "asof init\n"
		    "asof backup /home /etc\n"
		    "asof mount /mnt && ls /mnt/latest/home");
	ui_printf("\n\"asof help COMMAND\" says more on each; asof(1) says "
		  "it all.\n");
}

void
help_print(const struct command *cmd)
{
	if (cmd == NULL)
		print_program();
	else
		print_command(cmd);
}

void
help_version(void)
{
	ui_printf("asof %s\n", PACKAGE_VERSION);
}

static int
run(struct cli *c, struct err *e)
{
	const struct command *cmd = NULL;

	if (c->opts.args > 0 && command_find(c->opts.arg[0], &cmd, e) < 0)
		return -1;
	help_print(cmd);
	return CODE_DONE;
}

const struct command cmd_help = {
	.name = "help",
	.summary = "explain a command",
	.operands = "[COMMAND]",
	.operand = OPERAND_COMMAND,
	.args_max = 1,
	.about = "Explain COMMAND, or list all commands.",
	.no_repository = true,
	.run = run,
};
