/*
 * The scripts are printed from the tables of commands and options.  They ask
 * asof itself for the generations of the repository at hand, and otherwise
 * run nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/path.h"
#include "src/cli/ui.h"

#include <string.h>

/* Text inside '...', with a backslash before each byte of `special`. */
static void
print_quoted(const char *s, const char *special)
{
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			ui_printf("'\\''");
		else if (strchr(special, *s) != NULL)
			ui_printf("\\%c", *s);
		else
			ui_printf("%c", *s);
	}
}

static void
print_words(const char *const *words)
{
	size_t i;

	for (i = 0; words[i] != NULL; i++)
		ui_printf("%s%s", i == 0 ? "" : " ", words[i]);
}

static void
print_commands(void)
{
	size_t i;

	for (i = 0; commands[i] != NULL; i++)
		ui_printf("%s%s", i == 0 ? "" : " ", commands[i]->name);
}

/* Call fn for every option of the command, its own first. */
static void
each_option(const struct command *cmd,
	    void (*fn)(const struct command *cmd, const struct opt *o))
{
	const struct opt *tables[COMMAND_TABLES_MAX];
	const struct opt *o;
	size_t i;

	command_tables(cmd, tables);
	for (i = 0; tables[i] != NULL; i++)
		for (o = tables[i]; o->name != NULL; o++)
			fn(cmd, o);
}

/* --- bash ----------------------------------------------------------------- */

static void
bash_value(const struct command *cmd, const struct opt *o)
{
	if (o->kind == OPT_FLAG)
		return;
	ui_printf("\t%s,--%s", cmd->name, o->name);
	if (o->letter != '\0')
		ui_printf("|%s,-%c", cmd->name, o->letter);
	ui_printf(")\n");
	if (o->kind == OPT_WORD) {
		ui_printf("\t\t_asof_words '");
		print_words(o->words);
		ui_printf("'\n");
	} else if (o->kind == OPT_FILE || o->kind == OPT_DIR) {
		ui_printf("\t\t_asof_files %s\n",
			  o->kind == OPT_DIR ? "-d" : "-f");
	}
	ui_printf("\t\treturn ;;\n");
}

static void
bash_name(const struct command *cmd, const struct opt *o)
{
	(void)cmd;
	ui_printf(" --%s", o->name);
}

static void
bash_operand(const struct command *cmd)
{
	switch (cmd->operand) {
	case OPERAND_NONE:
		return;
	case OPERAND_FILE:
		ui_printf("\t%s) _asof_files -f ;;\n", cmd->name);
		return;
	case OPERAND_DIR:
		ui_printf("\t%s) _asof_files -d ;;\n", cmd->name);
		return;
	case OPERAND_GENERATION:
		ui_printf("\t%s) words=$(_asof_generations) ;;\n", cmd->name);
		return;
	case OPERAND_COMMAND:
		ui_printf("\t%s) words='", cmd->name);
		print_commands();
		ui_printf("' ;;\n");
		return;
	case OPERAND_WORDS:
		ui_printf("\t%s) words='%s' ;;\n", cmd->name, cmd->words);
		return;
	}
}

static const char bash_head[] =
	"# bash completion for asof, made by \"asof completion bash\"\n"
	"\n"
	"_asof_files()\n"
	"{\n"
	"\tcompopt -o filenames 2>/dev/null\n"
	"\tmapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n"
	"}\n"
	"\n"
	"_asof_words()\n"
	"{\n"
	"\tmapfile -t COMPREPLY < "
	"<(compgen -W \"$1\" -- \"$cur\")\n"
	"}\n"
	"\n"
	"_asof_generations()\n"
	"{\n"
	"\techo latest\n"
	"\tasof generations ${repo:+-r \"$repo\"} 2>/dev/null |\n"
	"\t\tawk 'NR > 1 { print $1 }'\n"
	"}\n"
	"\n"
	"_asof()\n"
	"{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]}\n"
	"\tlocal prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	"\tlocal cmd='' repo='' words='' i\n"
	"\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tcase ${COMP_WORDS[i]} in\n"
	"\t\t-r|--repository) repo=${COMP_WORDS[++i]} ;;\n"
	"\t\t-*) ;;\n"
	"\t\t*) [ -n \"$cmd\" ] || cmd=${COMP_WORDS[i]} ;;\n"
	"\t\tesac\n"
	"\tdone\n"
	"\tCOMPREPLY=()\n"
	"\tcase $cmd,$prev in\n"
	"\t,--repository|,-r) _asof_files -d; return ;;\n";

static void
print_bash(void)
{
	size_t i;

	ui_printf("%s", bash_head);
	for (i = 0; commands[i] != NULL; i++)
		each_option(commands[i], bash_value);
	ui_printf("\tesac\n"
		  "\tif [[ $cur == -* ]]; then\n"
		  "\t\tcase $cmd in\n");
	for (i = 0; commands[i] != NULL; i++) {
		ui_printf("\t\t%s) words='", commands[i]->name);
		each_option(commands[i], bash_name);
		ui_printf(" ' ;;\n");
	}
	ui_printf("\t\t'') words='");
	each_option(NULL, bash_name);
	ui_printf(" ' ;;\n"
		  "\t\tesac\n"
		  "\t\t_asof_words \"$words\"\n"
		  "\t\treturn\n"
		  "\tfi\n"
		  "\tcase $cmd in\n"
		  "\t'') words='");
	print_commands();
	ui_printf("' ;;\n");
	for (i = 0; commands[i] != NULL; i++)
		bash_operand(commands[i]);
	ui_printf("\tesac\n"
		  "\t[ -z \"$words\" ] || _asof_words \"$words\"\n"
		  "}\n"
		  "\n"
		  "complete -F _asof asof\n");
}

/* --- zsh ------------------------------------------------------------------ */

#define ZSH_SPECIAL "[]:\\"

static void
zsh_action(const struct opt *o)
{
	ui_printf(":%s:", o->value);
	if (o->kind == OPT_WORD) {
		ui_printf("(");
		print_words(o->words);
		ui_printf(")");
	} else if (o->kind == OPT_FILE) {
		ui_printf("_files");
	} else if (o->kind == OPT_DIR) {
		ui_printf("_files -/");
	}
}

static void
zsh_one(const char *dashes, const struct opt *o, const char *name)
{
	ui_printf("\t\t\t'*%s%s[", dashes, name);
	print_quoted(o->help, ZSH_SPECIAL);
	ui_printf("]");
	if (o->kind != OPT_FLAG)
		zsh_action(o);
	ui_printf("' \\\n");
}

static void
zsh_option(const struct command *cmd, const struct opt *o)
{
	char letter[2] = { o->letter, '\0' };

	(void)cmd;
	zsh_one("--", o, o->name);
	if (o->letter != '\0')
		zsh_one("-", o, letter);
}

static void
zsh_operand(const struct command *cmd)
{
	switch (cmd->operand) {
	case OPERAND_FILE:
		ui_printf("'*:file:_files'");
		return;
	case OPERAND_DIR:
		ui_printf("'*:directory:_files -/'");
		return;
	case OPERAND_GENERATION:
		ui_printf("'*:generation:_asof_generations'");
		return;
	case OPERAND_COMMAND:
		ui_printf("'1:command:_asof_commands'");
		return;
	case OPERAND_WORDS:
		ui_printf("'1:word:(%s)'", cmd->words);
		return;
	case OPERAND_NONE:
		return;
	}
}

static void
print_zsh(void)
{
	size_t i;

	ui_printf("#compdef asof\n"
		  "# zsh completion for asof, made by \"asof completion zsh\"\n"
		  "\n"
		  "_asof_commands() {\n"
		  "\tlocal -a list\n"
		  "\tlist=(\n");
	for (i = 0; commands[i] != NULL; i++) {
		ui_printf("\t\t'%s:", commands[i]->name);
		print_quoted(commands[i]->summary, ":\\");
		ui_printf("'\n");
	}
	ui_printf("\t)\n"
		  "\t_describe command list\n"
		  "}\n"
		  "\n"
		  "_asof_generations() {\n"
		  "\tlocal -a list\n"
		  "\tlocal repo=${opt_args[-r]:-${opt_args[--repository]}}\n"
		  "\tlist=(latest ${(f)\"$(asof generations "
		  "${repo:+-r} ${repo:+$repo} 2>/dev/null |\n"
		  "\t\tawk 'NR > 1 { print $1 }')\"})\n"
		  "\tcompadd -a list\n"
		  "}\n"
		  "\n"
		  "_asof() {\n"
		  "\tlocal curcontext=$curcontext state line\n"
		  "\ttypeset -A opt_args\n"
		  "\n"
		  "\t_arguments -C \\\n");
	each_option(NULL, zsh_option);
	ui_printf("\t\t\t'1:command:_asof_commands' \\\n"
		  "\t\t\t'*::operand:->operands' && return\n"
		  "\tcase $words[1] in\n");
	for (i = 0; commands[i] != NULL; i++) {
		ui_printf("\t%s)\n\t\t_arguments \\\n", commands[i]->name);
		each_option(commands[i], zsh_option);
		ui_printf("\t\t\t");
		zsh_operand(commands[i]);
		ui_printf(" ;;\n");
	}
	ui_printf("\tesac\n"
		  "}\n"
		  "\n"
		  "_asof \"$@\"\n");
}

/* --- fish ----------------------------------------------------------------- */

static void
fish_option(const struct command *cmd, const struct opt *o)
{
	ui_printf("complete -c asof -n '__fish_seen_subcommand_from %s'",
		  cmd->name);
	if (o->letter != '\0')
		ui_printf(" -s %c", o->letter);
	ui_printf(" -l %s", o->name);
	if (o->kind == OPT_WORD) {
		ui_printf(" -x -a '");
		print_words(o->words);
		ui_printf("'");
	} else if (o->kind == OPT_FILE) {
		ui_printf(" -r -F");
	} else if (o->kind == OPT_DIR) {
		ui_printf(" -x -a '(__fish_complete_directories)'");
	} else if (o->kind != OPT_FLAG) {
		ui_printf(" -x");
	}
	ui_printf(" -d '");
	print_quoted(o->help, "\\");
	ui_printf("'\n");
}

static void
fish_operand(const struct command *cmd)
{
	const char *words = NULL;

	if (cmd->operand == OPERAND_GENERATION)
		words = "(__asof_generations)";
	else if (cmd->operand == OPERAND_DIR)
		words = "(__fish_complete_directories)";
	else if (cmd->operand == OPERAND_WORDS)
		words = cmd->words;
	if (cmd->operand != OPERAND_FILE)
		ui_printf("complete -c asof -f "
			  "-n '__fish_seen_subcommand_from %s'",
			  cmd->name);
	if (words != NULL)
		ui_printf(" -a '%s'", words);
	if (cmd->operand == OPERAND_COMMAND) {
		ui_printf(" -a '");
		print_commands();
		ui_printf("'");
	}
	if (cmd->operand != OPERAND_FILE)
		ui_printf("\n");
}

static void
print_fish(void)
{
	size_t i;

	ui_printf("# fish completion for asof, made by \"asof completion "
		  "fish\"\n"
		  "\n"
		  "function __asof_generations\n"
		  "\techo latest\n"
		  "\tasof generations 2>/dev/null | "
		  "awk 'NR > 1 { print $1 }'\n"
		  "end\n"
		  "\n");
	for (i = 0; commands[i] != NULL; i++) {
		ui_printf("complete -c asof -f -n __fish_use_subcommand "
			  "-a %s -d '",
			  commands[i]->name);
		print_quoted(commands[i]->summary, "\\");
		ui_printf("'\n");
	}
	for (i = 0; commands[i] != NULL; i++) {
		fish_operand(commands[i]);
		each_option(commands[i], fish_option);
	}
}

/* --- the command ---------------------------------------------------------- */

static int
run(struct cli *c, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *shell = c->opts.arg[0];

	if (strcmp(shell, "bash") == 0)
		print_bash();
	else if (strcmp(shell, "zsh") == 0)
		print_zsh();
	else if (strcmp(shell, "fish") == 0)
		print_fish();
	else
		return err_set(e, ERR_USAGE,
			       "completion: SHELL is bash, zsh or fish, not %s",
			       path_show_in(shown, shell, strlen(shell)));
	return CODE_DONE;
}

const struct command cmd_completion = {
	.name = "completion",
	.summary = "print a completion script for a shell",
	.operands = "bash|zsh|fish",
	.operand = OPERAND_WORDS,
	.words = "bash zsh fish",
	.args_min = 1,
	.args_max = 1,
	.about = "Print a script that completes asof's commands and options "
		 "in the shell.",
	.examples =
		"source <(asof completion bash)\n"
		"asof completion zsh > ~/.zsh/functions/_asof\n"
		"asof completion fish > ~/.config/fish/completions/asof.fish",
	.no_repository = true,
	.run = run,
};
