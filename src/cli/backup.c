#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/engine/backup.h"
#include "src/engine/exclude.h"
#include "src/requester/backup.h"
#include "store/store.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char *const types[] = { "full", "incremental", "differential",
				     "log",  "copy",        NULL };
static const char *const unsupported[] = { "full", "skip", NULL };
static const char *const on_failure[] = { "skip", "abort", NULL };

/* clang-format off */
static const struct opt options[] = {
	{ .name = "type", .letter = 't', .kind = OPT_WORD, .value = "TYPE",
	  .words = types,
	  .help = "full, incremental, differential, log, copy" },
	{ .name = "set", .letter = 's', .kind = OPT_TEXT, .value = "SET",
	  .help = "the source set; default: by host and paths" },
	{ .name = "exclude", .letter = 'e', .kind = OPT_TEXT,
	  .value = "PATTERN",
	  .help = "leave out what matches (as in .gitignore)" },
	{ .name = "exclude-from", .letter = 'E', .kind = OPT_FILE,
	  .value = "FILE", .help = "read patterns from FILE, one a line" },
	{ .name = "exclude-caches",
	  .help = "leave out folders with a CACHEDIR.TAG" },
	{ .name = "exclude-nodump",
	  .help = "leave out what has the no-dump flag" },
	{ .name = "one-file-system", .letter = 'x',
	  .help = "stay on the file systems of the PATHs" },
	{ .name = "comment", .letter = 'c', .kind = OPT_TEXT, .value = "TEXT",
	  .help = "kept with the generation" },
	{ .name = "wait", .letter = 'w',
	  .help = "wait while another backup of the set runs" },
	{ .name = "level", .kind = OPT_NUMBER, .value = "N", .max = 19,
	  .help = "of compression: 1 (fast) to 19" },
	{ .name = "threads", .kind = OPT_NUMBER, .value = "N", .max = 1024,
	  .help = "that compress; default: processors" },
	{ .name = "readers", .kind = OPT_NUMBER, .value = "N", .max = 1024,
	  .help = "threads that read; default: 32" },
	{ .name = "writer", .letter = 'W', .kind = OPT_TEXT,
	  .value = "W[:C]",
	  .help = "these writers or components only" },
	{ .name = "no-writers", .help = "files are files: ask nobody" },
	{ .name = "unsupported", .kind = OPT_WORD, .value = "WHAT",
	  .words = unsupported,
	  .help = "writers without this TYPE: full (default), skip" },
	{ .name = "writer-failure", .kind = OPT_WORD, .value = "WHAT",
	  .words = on_failure,
	  .help = "what fails becomes plain files (skip); or abort" },
	{ .name = "require-writers",
	  .help = "an absent writer is a failure (exit 3)" },
	{ .name = "audit", .kind = OPT_NUMBER, .value = "PERCENT",
	  .max = 100,
	  .help = "of what was not declared is compared with the base" },
	{ .name = "window", .kind = OPT_NUMBER, .value = "SECONDS",
	  .max = 3600,
	  .help = "that a writer may stay frozen; default: 60" },
	{ .name = "snapshot", .kind = OPT_TEXT, .value = "PROVIDER",
	  .help = "read from a snapshot: command:PROGRAM makes it" },
	{ 0 },
};
/* clang-format on */

/* --- what the engine tells us --------------------------------------------- */

/*
 * The sentences of base/src name the file once more; for what happens every
 * day the cause is enough.
 */
static const char *
cause(const struct err *why)
{
	switch (why->saved_errno) {
	case EACCES:
	case EPERM:
	case ENOENT:
		return strerror(why->saved_errno);
	default:
		return why->text;
	}
}

static void
on_failed(void *ctx, const char *path, const struct err *why)
{
	(void)ctx;
	ui_error_path(path, cause(why));
}

static void
on_note(void *ctx, const char *text)
{
	(void)ctx;
	ui_note("%s", text);
}

static void
on_progress(void *ctx, const struct backup_progress *p)
{
	struct ui_progress line = {
		.what = "names",
		.count = p->entries,
		.bytes = p->bytes_read,
		.done = p->bytes_read + p->bytes_kept,
		.total = p->expected_bytes,
		.errors = p->errors,
	};

	(void)ctx;
	ui_progress(&line);
}

/* --- the result ----------------------------------------------------------- */

static void
put_writers(struct json *j, const struct requester_result *w)
{
	struct json o = json_object_begin();

	json_put_u64(&o, "writers", w->writers);
	json_put_u64(&o, "components", w->components);
	json_put_u64(&o, "succeeded", w->succeeded);
	json_put_u64(&o, "failed", w->failed);
	json_put_u64(&o, "absent", w->absent);
	json_put_u64(&o, "failed_writers", w->failed_writers);
	json_put_u64(&o, "bytes_read", w->member_bytes);
	json_put_u64(&o, "bytes_declared", w->declared_bytes);
	json_put(j, "writers", &o);
}

/* What only a walk counts. */
static void
put_walked(struct json *j, const char *key, const struct backup_result *r,
	   uint64_t n)
{
	if (r->walked)
		json_put_u64(j, key, n);
	else
		json_put_null(j, key);
}

static int
report_json(const struct requester_result *w, struct err *e)
{
	const struct backup_result *r = &w->backup;
	struct json j = json_object_begin();

	json_put_u64(&j, "generation", r->number);
	json_put_hex(&j, "id", r->id, sizeof(r->id));
	json_put_text(&j, "set", r->set);
	json_put_text(&j, "type", generation_type_name(r->session_type));
	json_put_text(&j, "effective_type",
		      generation_type_name(r->effective_type));
	if (r->base != 0)
		json_put_u64(&j, "base", r->base);
	else
		json_put_null(&j, "base");
	json_put_u64(&j, "entries", r->entries);
	put_walked(&j, "files", r, r->files);
	put_walked(&j, "directories", r, r->dirs);
	put_walked(&j, "others", r, r->others);
	json_put_u64(&j, "bytes", r->bytes);
	json_put_u64(&j, "files_read", r->files_read);
	json_put_u64(&j, "bytes_read", r->bytes_read);
	json_put_u64(&j, "files_kept", r->files_kept);
	json_put_u64(&j, "chunks_new", r->chunks_new);
	json_put_u64(&j, "bytes_new", r->bytes_new);
	json_put_u64(&j, "bytes_stored", r->bytes_stored);
	json_put_u64(&j, "errors", r->errors);
	json_put_real(&j, "seconds", (double)r->duration_ns / 1e9);
	put_writers(&j, w);
	return json_print(&j, false, e);
}

static void
report(const struct backup_result *r)
{
	char n[UI_TEXT_LEN];
	char s[UI_TEXT_LEN];
	char t[UI_TEXT_LEN];

	ui_printf("generation %u of set %s, %s", r->number, r->set,
		  generation_type_name(r->effective_type));
	if (r->base != 0)
		ui_printf(" on %u", r->base);
	if (r->walked)
		ui_printf(": %s file%s", ui_count(n, r->files),
			  ui_s(r->files));
	else
		ui_printf(": %s name%s", ui_count(n, r->entries),
			  ui_s(r->entries));
	ui_printf(", %s\n", ui_size(s, r->bytes));
	ui_printf("%s file%s read (%s)", ui_count(n, r->files_read),
		  ui_s(r->files_read), ui_size(s, r->bytes_read));
	ui_printf(", %s stored, %s\n", ui_size(s, r->bytes_stored),
		  ui_duration(t, r->duration_ns));
	if (r->errors > 0)
		ui_note("%s name%s could not be read (see asof show %u "
			"--errors)",
			ui_count(n, r->errors), ui_s(r->errors), r->number);
}

static void
report_writers(const struct requester_result *w)
{
	char s[UI_TEXT_LEN];
	char t[UI_TEXT_LEN];

	if (w->writers == 0)
		return;
	ui_printf("%zu writer%s: %zu of %zu component%s succeeded, %s read "
		  "(%s declared)\n",
		  w->writers, ui_s(w->writers), w->succeeded, w->components,
		  ui_s(w->components), ui_size(s, w->member_bytes),
		  ui_size(t, w->declared_bytes));
}

static void
report_counters(const struct store *st)
{
	struct store_counters k;
	char n[UI_TEXT_LEN];
	char s[UI_TEXT_LEN];

	if (!ui_is_verbose())
		return;
	store_counters(st, &k);
	ui_detail("%s chunks asked for, %llu from frames at hand, "
		  "%llu frames decoded, %s read from packs",
		  ui_count(n, k.gets), (unsigned long long)k.frame_hits,
		  (unsigned long long)k.frames_decoded,
		  ui_size(s, k.bytes_read));
}

/* --- the command ---------------------------------------------------------- */

/* In the order given, because the last pattern that matches decides. */
static int
add_excludes(const struct opts *o, struct exclude *x, struct err *e)
{
	const struct opt_value *v;
	size_t i;
	int rc = 0;

	for (i = 0; i < o->values && rc == 0; i++) {
		v = &o->value[i];
		if (strcmp(v->opt->name, "exclude") == 0)
			rc = exclude_add(x, v->text, e);
		else if (strcmp(v->opt->name, "exclude-from") == 0)
			rc = exclude_add_file(x, v->text, e);
	}
	return rc;
}

static void
fill_options(const struct opts *o, struct backup_options *b)
{
	const char *type = opt_text(o, "type");

	*b = (struct backup_options){
		.sources = o->arg,
		.source_count = o->args,
		.type = GEN_INCREMENTAL,
		.set = opt_text(o, "set"),
		.comment = opt_text(o, "comment"),
		.one_file_system = opt_given(o, "one-file-system"),
		.cachedir_tag = opt_given(o, "exclude-caches"),
		.nodump = opt_given(o, "exclude-nodump"),
		.wait = opt_given(o, "wait"),
		.readers = (unsigned)opt_number(o, "readers", 0),
		.threads = (unsigned)opt_number(o, "threads", 0),
		.level = (int)opt_number(o, "level", 0),
		.cancel = &cli_cancel,
		.failed = on_failed,
		.note = on_note,
		.progress = on_progress,
	};
	if (type != NULL)
		b->type = generation_type_parse(type);
}

/* The writers that were wished for; mem_free. */
static int
list_wishes(const struct opts *o, const char ***out, size_t *n, struct err *e)
{
	const char **wish = mem_array(o->values + 1, sizeof(*wish));
	size_t i;

	if (wish == NULL)
		return err_nomem(e);
	*n = 0;
	for (i = 0; i < o->values; i++)
		if (strcmp(o->value[i].opt->name, "writer") == 0)
			wish[(*n)++] = o->value[i].text;
	*out = wish;
	return 0;
}

static int
fill_requester(const struct cli *c, const char **wish, size_t wishes,
	       struct requester_options *r, struct err *e)
{
	const struct opts *o = &c->opts;

	*r = (struct requester_options){
		.no_writers = opt_given(o, "no-writers"),
		.wish = wish,
		.wishes = wishes,
		.skip_unsupported = opt_number(o, "unsupported", 0) == 1,
		.abort_on_failure = opt_number(o, "writer-failure", 0) == 1,
		.require = opt_given(o, "require-writers"),
		.audit = (unsigned)opt_number(o, "audit", 0),
		.window_s = (unsigned)opt_number(o, "window", 0),
		.snapshot = opt_text(o, "snapshot"),
	};
	if (r->no_writers && (wishes > 0 || r->require))
		return err_set(e, ERR_USAGE,
			       "--no-writers contradicts --writer and "
			       "--require-writers");
	return cli_repository_path(c, &r->repository, e);
}

/* Not all that was asked for is there. */
static bool
is_incomplete(const struct requester_result *r,
	      const struct requester_options *o)
{
	return r->backup.errors > 0 || r->failed > 0 || r->failed_writers > 0 ||
	       (o->require && r->absent > 0);
}

static int
run(struct cli *c, struct err *e)
{
	struct backup_options opt;
	struct requester_options more;
	struct requester_result result = { 0 };
	struct exclude *x = NULL;
	const char **wish = NULL;
	size_t wishes = 0;
	int rc = -1;

	if (exclude_new(&x, e) < 0)
		return -1;
	if (add_excludes(&c->opts, x, e) < 0 ||
	    list_wishes(&c->opts, &wish, &wishes, e) < 0 ||
	    fill_requester(c, wish, wishes, &more, e) < 0)
		goto out;
	fill_options(&c->opts, &opt);
	opt.exclude = x;
	if (requester_backup(c->store, &opt, &more, &result, e) < 0)
		goto out;
	ui_progress_end();
	if (c->json && report_json(&result, e) < 0)
		goto out;
	if (!c->json && !opt_given(&c->opts, "quiet")) {
		report(&result.backup);
		report_writers(&result);
	}
	report_counters(c->store);
	rc = is_incomplete(&result, &more) ? CODE_SOURCE : CODE_DONE;
out:
	mem_free(wish);
	exclude_free(x);
	return rc;
}

const struct command cmd_backup = {
	.name = "backup",
	.summary = "make a new generation of PATHs",
	.operands = "PATH ...",
	.operand = OPERAND_FILE,
	.args_min = 1,
	.args_max = SIZE_MAX,
	.about = "Back up the PATHs as a new generation, incremental unless "
		 "TYPE says otherwise.  An incremental "
		 "reads what changed since the newest full or incremental of "
		 "the same set, a differential since the newest full, a log "
		 "backup only what writers call log files; every generation "
		 "is complete nevertheless.  Writers with files beneath the "
		 "PATHs are asked what changed in theirs.",
	.examples = "asof backup -r /backup/repo /home /etc\n"
		    "asof backup -r /backup/repo -t full -x --exclude '*.o' /",
	.options = options,
	.need = NEED_STORE,
	.session = "backup",
	.write = true,
	.json = true,
	.run = run,
};
