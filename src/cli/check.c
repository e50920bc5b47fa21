#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/engine/check.h"
#include "src/engine/generation.h"

#include <stdint.h>
#include <string.h>

/* clang-format off */
static const struct opt options[] = {
	{ .name = "quick",
	  .help = "structure only: do not read the packs whole" },
	{ .name = "threads", .kind = OPT_NUMBER, .value = "N", .max = 1024,
	  .help = "default: processors" },
	{ 0 },
};
/* clang-format on */

/* More than so many problems are counted and not kept. */
#define PROBLEMS_MAX 10000

/* What is reported at the end. */
struct findings {
	struct json problems;
	uint64_t kept, left_out;
	bool data;
	bool json;
};

static void
keep(struct findings *f, const char *kind, const char *where, const char *what)
{
	struct json j;

	if (!f->json)
		return;
	if (f->kept == PROBLEMS_MAX) {
		f->left_out++;
		return;
	}
	f->kept++;
	j = json_object_begin();
	json_put_text(&j, "kind", kind);
	json_put_name(&j, "where", where, strlen(where));
	json_put_text(&j, "what", what);
	json_add(&f->problems, &j);
}

static void
on_damage(void *ctx, const char *where, const char *what)
{
	ui_error_path(where, what);
	keep(ctx, "damage", where, what);
}

static void
on_note(void *ctx, const char *where, const char *what)
{
	ui_note("%s: %s", where, what);
	keep(ctx, "note", where, what);
}

static void
on_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct ui_progress line = {
		.bytes = done,
		.done = done,
		.total = total,
	};

	(void)ctx;
	ui_progress(&line);
}

/* --- the result ----------------------------------------------------------- */

static int
report_json(struct findings *f, const struct check_result *r, struct err *e)
{
	struct json j = json_object_begin();

	json_put_bool(&j, "data", f->data);
	json_put_u64(&j, "generations", r->generations);
	json_put_u64(&j, "entries", r->entries);
	json_put_u64(&j, "packs", r->packs);
	json_put_u64(&j, "chunks", r->chunks);
	json_put_u64(&j, "bytes", r->bytes);
	json_put_u64(&j, "unreferenced", r->unreferenced);
	json_put_u64(&j, "damaged", r->damaged);
	json_put_u64(&j, "replaced", r->replaced);
	json_put(&j, "problems", &f->problems);
	json_put_u64(&j, "problems_left_out", f->left_out);
	return json_print(&j, false, e);
}

static void
report(const struct findings *f, const struct check_result *r)
{
	char n[UI_TEXT_LEN];

	ui_printf("%s generation%s", ui_count(n, r->generations),
		  ui_s(r->generations));
	ui_printf(", %s entries", ui_count(n, r->entries));
	ui_printf(", %s pack%s", ui_count(n, r->packs), ui_s(r->packs));
	ui_printf(", %s chunk%s", ui_count(n, r->chunks), ui_s(r->chunks));
	if (f->data)
		ui_printf(", %s read", ui_size(n, r->bytes));
	ui_printf(": ");
	if (r->damaged == 0)
		ui_printf("no damage found\n");
	else
		ui_printf("%s problem%s\n", ui_count(n, r->damaged),
			  ui_s(r->damaged));
	if (r->replaced > 0)
		ui_detail("%s damaged part%s of packs %s replaced or not "
			  "needed",
			  ui_count(n, r->replaced), ui_s(r->replaced),
			  r->replaced == 1 ? "is" : "are");
	if (r->unreferenced > 0)
		ui_detail("%s belong to no generation",
			  ui_size(n, r->unreferenced));
}

/* --- the command ---------------------------------------------------------- */

static int
find_number(struct cli *c, const char *name, uint32_t *out, struct err *e)
{
	struct generation_list list = { 0 };
	const struct generation *g;
	int rc;

	if (generation_list_load(c->repository, &list, e) < 0)
		return -1;
	rc = cli_find(&list, name, &g, e);
	if (rc == 0)
		*out = g->number;
	generation_list_clear(&list);
	return rc;
}

static int
run(struct cli *c, struct err *e)
{
	struct findings f = { .json = c->json };
	struct check_result result = { 0 };
	struct check_options opt = {
		.data = !opt_given(&c->opts, "quick"),
		.threads = (unsigned)opt_number(&c->opts, "threads", 0),
		.cancel = &cli_cancel,
		.damage = on_damage,
		.note = on_note,
		.progress = on_progress,
		.ctx = &f,
	};
	int rc = -1;

	if (c->opts.args > 0 &&
	    find_number(c, c->opts.arg[0], &opt.generation, e) < 0)
		return -1;
	f.data = opt.data;
	f.problems = json_array_begin();
	if (check_run(c->store, &opt, &result, e) < 0)
		goto out;
	ui_progress_end();
	if (result.damaged > 0 && opt.data)
		ui_note("the next backup stores anew what is damaged in packs, "
			"if its sources still have it");
	rc = result.damaged > 0 ? CODE_DAMAGED : CODE_DONE;
	if (c->json && report_json(&f, &result, e) < 0)
		rc = -1;
	else if (!c->json && !opt_given(&c->opts, "quiet"))
		report(&f, &result);
out:
	json_clear(&f.problems);
	return rc;
}

const struct command cmd_check = {
	.name = "check",
	.summary = "prove that everything is there and right",
	.operands = "[GEN]",
	.operand = OPERAND_GENERATION,
	.args_max = 1,
	.about = "Read every generation, or GEN alone, and every pack, and "
		 "compare every byte with its id.  Damaged parts of packs are "
		 "noted, so that the next backup stores what was in them "
		 "anew.",
	.examples = "asof check -r /backup/repo\n"
		    "asof check -r /backup/repo --quick latest",
	.options = options,
	.need = NEED_STORE,
	.session = "check",
	.json = true,
	.run = run,
};
