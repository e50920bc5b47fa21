/*
 * What a session left in its generation, as it is: for programs that know the
 * language of writers, and for people who want to know all of it.  `asof show
 * --writers` says the same in fewer words.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "src/cli/dossier.h"
#include "src/cli/ui.h"
#include "src/engine/view.h"
#include "src/requester/dossier.h"
#include "src/requester/session_file.h"

/* clang-format off */
static const struct opt options[] = {
	{ .name = "file", .letter = 'f', .kind = OPT_TEXT, .value = "NAME",
	  .help = "another file of it: documents/WRITER, ranges/N" },
	{ 0 },
};
/* clang-format on */

static int
print_file(struct cli *c, struct view_gen *g, struct err *e)
{
	const char *name = opt_text(&c->opts, "file");
	struct buf text = { 0 };
	int rc = session_file(g, name != NULL ? name : "session", DOSSIER_MAX,
			      &text, e);

	if (rc == 0)
		rc = buf_ok(&text, e);
	if (rc == 0)
		ui_write(text.data, text.len);
	else if (rc == 1)
		rc = err_set(e, ERR_SYS,
			     "generation %u has no such file of "
			     "a session with writers",
			     g->number);
	buf_clear(&text);
	return rc;
}

static int
run(struct cli *c, struct err *e)
{
	struct place p = { 0 };
	int rc;

	if (cli_place(c, c->opts.arg[0], &p, e) < 0)
		return -1;
	if (!p.whole)
		rc = err_set(e, ERR_USAGE,
			     "session: only a generation has one, not a path");
	else if (c->json)
		rc = dossier_show_json(p.gen, e);
	else
		rc = print_file(c, p.gen, e);
	place_clear(&p);
	return rc;
}

const struct command cmd_session = {
	.name = "session",
	.summary = "print the session's record of a generation",
	.operands = "GEN",
	.operand = OPERAND_GENERATION,
	.args_min = 1,
	.args_max = 1,
	.about = "Print what the session that made GEN left there about its "
		 "writers, in the language of writers; or, with --file, a "
		 "writer's document or a copy of a ranges file.",
	.examples = "asof session -r /backup/repo latest\n"
		    "asof session -r /backup/repo latest --file documents/db",
	.options = options,
	.need = NEED_STORE,
	.session = "view",
	.json = true,
	.run = run,
};
