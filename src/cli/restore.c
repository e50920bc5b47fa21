#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/time.h"
#include "src/cli/json.h"
#include "src/cli/restore_writers.h"
#include "src/cli/ui.h"
#include "src/engine/restore.h"
#include "src/engine/view.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

static const char *const existing[] = { "refuse", "replace", "keep", NULL };

/* clang-format off */
static const struct opt options[] = {
	{ .name = "to", .letter = 't', .kind = OPT_DIR, .value = "TARGET",
	  .help = "where to; made if it does not exist" },
	{ .name = "existing", .kind = OPT_WORD, .value = "WHAT",
	  .words = existing,
	  .help = "files in the way: refuse (default), replace, keep" },
	{ .name = "in-place",
	  .help = "rewrite existing files where they differ; not atomic" },
	{ .name = "writer", .kind = OPT_TEXT, .value = "W[:C]",
	  .help = "give a writer its data back; repeatable" },
	{ .name = "new-target", .kind = OPT_TEXT, .value = "W:C:DIR=TO",
	  .help = "the component's files of DIR go to TO; repeatable" },
	{ .name = "to-writer", .kind = OPT_TEXT, .value = "NAME",
	  .help = "another instance of that writer takes them" },
	{ .name = "restore-option", .kind = OPT_TEXT, .value = "W:C:TEXT",
	  .help = "a text that the writer understands; repeatable" },
	{ .name = "additional-restores",
	  .help = "tell the writers that another restore will follow" },
	{ .name = "ranges-only",
	  .help = "of declared files only the declared bytes" },
	{ .name = "dry-run", .help = "say what would happen, change nothing" },
	{ .name = "numeric-ids", .help = "owners by number, not by name" },
	{ .name = "no-owner",
	  .help = "do not set owners (default unless root)" },
	{ .name = "sync", .help = "fsync everything that is written" },
	{ .name = "verify", .help = "read back and compare" },
	{ .name = "threads", .kind = OPT_NUMBER, .value = "N", .max = 1024,
	  .help = "default: processors + 2" },
	{ 0 },
};
/* clang-format on */

struct job {
	uint64_t inodes; /* what the progress is measured against */
	atomic_bool in_the_way; /* something was, and was left there */
};

static void
on_failed(void *ctx, const char *path, const struct err *why, bool damage)
{
	struct job *job = ctx;

	(void)damage;
	if (why->saved_errno == EEXIST)
		job->in_the_way = true;
	ui_error_path(path, why->text);
}

static void
on_progress(void *ctx, uint64_t files, uint64_t bytes)
{
	const struct job *job = ctx;
	struct ui_progress line = {
		.what = "files",
		.count = files,
		.bytes = bytes,
		.done = files,
		.total = job->inodes,
	};

	ui_progress(&line);
}

/* --- the result ----------------------------------------------------------- */

static int
report_json(const struct place *p, const struct restore_result *r, uint64_t ns,
	    struct err *e)
{
	struct json j = json_object_begin();

	json_put_u64(&j, "generation", p->gen->number);
	json_put_name(&j, "path", p->path.data, p->path.len);
	json_put_u64(&j, "files", r->files);
	json_put_u64(&j, "directories", r->dirs);
	json_put_u64(&j, "links", r->links);
	json_put_u64(&j, "others", r->others);
	json_put_u64(&j, "bytes", r->bytes);
	json_put_u64(&j, "failed", r->failed);
	json_put_u64(&j, "damaged", r->damaged);
	json_put_u64(&j, "unreadable", r->unreadable);
	json_put_real(&j, "seconds", (double)ns / 1e9);
	return json_print(&j, false, e);
}

static void
report(const struct place *p, const struct restore_result *r, uint64_t ns)
{
	char f[UI_TEXT_LEN];
	char d[UI_TEXT_LEN];
	char s[UI_TEXT_LEN];
	char t[UI_TEXT_LEN];

	ui_printf("restored from generation %u: %s file%s, %s director%s, "
		  "%s, %s\n",
		  p->gen->number, ui_count(f, r->files), ui_s(r->files),
		  ui_count(d, r->dirs), r->dirs == 1 ? "y" : "ies",
		  ui_size(s, r->bytes), ui_duration(t, (int64_t)ns));
}

/* The worst of what happened. */
static int
code_of(const struct restore_result *r, const struct job *job)
{
	char n[UI_TEXT_LEN];

	if (r->failed == 0)
		return CODE_DONE;
	ui_error("%s entr%s not or not wholly restored", ui_count(n, r->failed),
		 r->failed == 1 ? "y was" : "ies were");
	if (job->in_the_way)
		ui_note("files in the way are left as they are, unless "
			"--existing or --in-place says otherwise");
	if (r->damaged > 0)
		return CODE_DAMAGED;
	if (r->failed > r->unreadable)
		return CODE_FAILED;
	return CODE_SOURCE;
}

/* --- the command ---------------------------------------------------------- */

/* How much there is to do; and a path that is not there is found here. */
static int
measure(struct place *p, struct job *job, struct err *e)
{
	struct node n = { 0 };
	int rc = view_path(p->gen, buf_str(&p->path), &n, e);

	if (rc == 1)
		return cli_no_path(p, e);
	if (rc < 0)
		return -1;
	job->inodes = entry_inodes(&n.entry);
	node_clear(&n);
	return 0;
}

static enum restore_existing
existing_of(const struct opts *o)
{
	if (opt_given(o, "in-place"))
		return RESTORE_IN_PLACE;
	return (enum restore_existing)opt_number(o, "existing", RESTORE_REFUSE);
}

static int
restore(struct cli *c, struct place *p, struct err *e)
{
	const struct opts *o = &c->opts;
	struct job job = { 0 };
	struct restore_result result = { 0 };
	uint64_t start = time_monotonic_ns();
	uint64_t ns;
	struct restore_options opt = {
		.to = opt_text(o, "to"),
		.repository = c->repository,
		.existing = existing_of(o),
		.numeric_ids = opt_given(o, "numeric-ids"),
		.no_owner = opt_given(o, "no-owner"),
		.sync = opt_given(o, "sync"),
		.verify = opt_given(o, "verify"),
		.threads = (unsigned)opt_number(o, "threads", 0),
		.cancel = &cli_cancel,
		.failed = on_failed,
		.progress = on_progress,
		.ctx = &job,
	};

	if (measure(p, &job, e) < 0)
		return -1;
	if (restore_run(p->gen, p->whole ? NULL : buf_str(&p->path),
			p->contents, &opt, &result, e) < 0)
		return -1;
	ns = time_monotonic_ns() - start;
	ui_progress_end();
	if (c->json && report_json(p, &result, ns, e) < 0)
		return -1;
	if (!c->json && !opt_given(o, "quiet"))
		report(p, &result, ns);
	return code_of(&result, &job);
}

static int
run(struct cli *c, struct err *e)
{
	bool writers = opt_given(&c->opts, "writer");
	struct place p = { 0 };
	int code;

	if (restore_writers_check(c, e) < 0)
		return -1;
	if (!writers && !opt_given(&c->opts, "to"))
		return err_set(e, ERR_USAGE, "restore: where? use --to DIR");
	if (opt_given(&c->opts, "in-place") &&
	    opt_given(&c->opts, "existing"))
		return err_set(e, ERR_USAGE,
			       "restore: --in-place and --existing are two "
			       "answers to one question");
	if (cli_place(c, c->opts.arg[0], &p, e) < 0)
		return -1;
	code = writers ? restore_writers(c, &p, e) : restore(c, &p, e);
	place_clear(&p);
	return code;
}

const struct command cmd_restore = {
	.name = "restore",
	.summary = "write a generation, or a part of it, to a folder",
	.operands = "GEN[:PATH] --to TARGET | GEN --writer W",
	.operand = OPERAND_GENERATION,
	.args_min = 1,
	.args_max = 1,
	.about = "Write generation GEN to TARGET, with its absolute paths "
		 "beneath it; of GEN:PATH, the last name of PATH; of "
		 "GEN:PATH/, what the directory PATH holds. With --writer the "
		 "data go back to the application that they are from: to where "
		 "they were, as its restore method says, and it is told before "
		 "and after.",
	.examples = "asof restore -r /backup/repo latest --to /mnt\n"
		    "asof restore -r /backup/repo latest~2:/home/ann/notes "
		    "--to .",
	.options = options,
	.need = NEED_STORE,
	.session = "restore",
	.json = true,
	.run = run,
};
