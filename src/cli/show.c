#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/cursor.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/path.h"
#include "src/cli/dossier.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/engine/list.h"
#include "src/engine/plan.h"
#include "src/engine/view.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct opt options[] = {
	{ .name = "files", .letter = 'f',
	  .help = "which files were read, and why" },
	{ .name = "errors", .letter = 'e',
	  .help = "which could not be read, and why" },
	{ .name = "writers", .letter = 'w',
	  .help = "which writers took part, and with what" },
	{ 0 },
};
/* clang-format on */

/* --- exceptions (doc/format.md, section 12) ------------------------------- */

enum exception_kind {
	EXC_READ = 1,
	EXC_ERROR = 2,
	EXC_WARNING = 3
};

struct exception {
	const uint8_t *path;
	size_t path_len;
	uint64_t kind, reason;
	const uint8_t *text;
	size_t text_len;
};

static int
exception_decode(const void *p, size_t len, struct exception *x, struct err *e)
{
	struct rd r = rd_init(p, len);

	x->path = rd_string(&r, LIST_ITEM_MAX, &x->path_len);
	x->kind = rd_varint(&r);
	x->reason = rd_varint(&r);
	x->text = rd_string(&r, LIST_ITEM_MAX, &x->text_len);
	if (!rd_done(&r))
		return err_set(e, ERR_CORRUPT,
			       "an item of the exception list is damaged");
	return 0;
}

static const char *
kind_name(const struct exception *x)
{
	switch (x->kind) {
	case EXC_READ:
		return x->reason == PLAN_CARRIED ? "kept" : "read";
	case EXC_ERROR:
		return "error";
	case EXC_WARNING:
		return "warning";
	default:
		return "unknown";
	}
}

/* Reasons of a newer program are unknown, not wrong. */
static const char *
reason_name(uint64_t reason)
{
	if (reason >= PLAN_REASONS)
		return "unknown";
	return plan_reason_name((enum plan_reason)reason);
}

struct selection {
	bool files, errors, json;
};

static int
print_json(const struct exception *x, struct err *e)
{
	struct json j = json_object_begin();

	json_put_name(&j, "path", x->path, x->path_len);
	json_put_text(&j, "kind", kind_name(x));
	if (x->kind == EXC_READ)
		json_put_text(&j, "reason", reason_name(x->reason));
	if (x->text_len > 0)
		json_put_name(&j, "text", x->text, x->text_len);
	return json_print(&j, true, e);
}

static void
print_text(const struct exception *x)
{
	if (x->kind == EXC_READ)
		ui_printf("%-10s ", reason_name(x->reason));
	else
		ui_printf("%-10s ", kind_name(x));
	ui_show(x->path, x->path_len);
	if (x->text_len > 0) {
		ui_printf(": ");
		ui_show(x->text, x->text_len);
	}
	ui_printf("\n");
}

static int
on_exception(void *ctx, const void *p, size_t len, struct err *e)
{
	const struct selection *s = ctx;
	struct exception x;

	if (!ui_writable())
		return 1;
	if (cli_check_cancel(e) < 0 || exception_decode(p, len, &x, e) < 0)
		return -1;
	if (!(x.kind == EXC_READ ? s->files : s->errors))
		return 0;
	if (s->json)
		return print_json(&x, e);
	print_text(&x);
	return 0;
}

static int
print_exceptions(struct view_gen *g, struct selection *s, struct err *e)
{
	const struct record *r = &g->record;

	if (id_is_zero(&r->exceptions))
		return 0;
	if (list_each(g->reader, &r->exceptions, on_exception, s, e) < 0)
		return err_prefix(e, "generation %u", g->number);
	return 0;
}

/* --- facts ---------------------------------------------------------------- */

static void
row(const char *key, const char *value)
{
	ui_printf("%-14s ", key);
	ui_show(value, strlen(value));
	ui_printf("\n");
}

static void
row_count(const char *key, uint64_t n)
{
	char text[UI_TEXT_LEN];

	row(key, ui_count(text, n));
}

static void
row_bytes(const char *key, uint64_t n)
{
	char count[UI_TEXT_LEN];
	char size[UI_TEXT_LEN];

	ui_printf("%-14s %s (%s)\n", key, ui_size(size, n), ui_count(count, n));
}

static void
row_time(const char *key, struct ts t)
{
	char text[TIME_TEXT_LEN];

	row(key, ui_time(text, t));
}

static void
row_hex(const char *key, const uint8_t id[16])
{
	char text[33];

	hex_format(text, id, 16);
	row(key, text);
}

static void
print_origin(const struct record *r)
{
	size_t i;

	row_hex("id", r->id);
	row("set", r->set);
	row("host", r->host);
	row("machine", r->machine);
	for (i = 0; i < r->source_count; i++) {
		row("source", r->source[i].resolved);
		if (strcmp(r->source[i].typed, r->source[i].resolved) != 0)
			row("  typed as", r->source[i].typed);
	}
	for (i = 0; i < r->exclude_count; i++)
		row("exclude", r->exclude[i]);
	if (r->comment != NULL && r->comment[0] != '\0')
		row("comment", r->comment);
}

static void
print_type(const struct record *r)
{
	char text[64];
	size_t i;

	row("type", generation_type_name(r->session_type));
	if (r->effective_type != r->session_type)
		row("  became", generation_type_name(r->effective_type));
	for (i = 0; i < r->base_count; i++) {
		(void)snprintf(text, sizeof(text), "%u", r->base[i].number);
		row("base", text);
	}
	row_time("started", r->start);
	row_time("time", r->instant);
	row_time("ended", r->end);
	if (r->tool != NULL)
		row("made by", r->tool);
}

static void
print_counts(const struct record *r)
{
	row_count("names", r->counts.entries);
	row_count("inodes", r->counts.inodes);
	row_bytes("size", r->counts.bytes);
	row_count("files read", r->counts.files_read);
	row_bytes("bytes read", r->counts.bytes_read);
	row_count("new chunks", r->counts.chunks_new);
	row_bytes("stored", r->counts.bytes_stored);
	if (r->link_count > 0)
		row_count("linked files", r->link_count);
	if (r->counts.xattrs > 0)
		row_count("xattrs", r->counts.xattrs);
	if (r->exception_count > 0)
		row_count("exceptions", r->exception_count);
	row_count("errors", r->counts.errors);
}

static void
print_facts(const struct view_gen *g)
{
	const struct record *r = &g->record;
	size_t i;

	ui_printf("%-14s %u\n", "generation", g->number);
	print_origin(r);
	print_type(r);
	print_counts(r);
	for (i = 0; i < r->fs_count; i++) {
		ui_printf("%-14s ", "file system");
		ui_show(r->fs[i].mount_point, strlen(r->fs[i].mount_point));
		ui_printf(" (");
		ui_show(r->fs[i].id, strlen(r->fs[i].id));
		ui_printf(")\n");
	}
}

/* --- the same as JSON ----------------------------------------------------- */

static void
put_sources(struct json *j, const struct record *r)
{
	struct json array = json_array_begin();
	struct json item;
	size_t i;

	for (i = 0; i < r->source_count; i++) {
		item = json_object_begin();
		json_put_name(&item, "typed", r->source[i].typed,
			      strlen(r->source[i].typed));
		json_put_name(&item, "resolved", r->source[i].resolved,
			      strlen(r->source[i].resolved));
		json_add(&array, &item);
	}
	json_put(j, "sources", &array);
}

static void
put_bases(struct json *j, const struct record *r)
{
	struct json array = json_array_begin();
	struct json item;
	size_t i;

	for (i = 0; i < r->base_count; i++) {
		item = json_object_begin();
		json_put_u64(&item, "generation", r->base[i].number);
		json_put_hex(&item, "id", r->base[i].id, sizeof(r->base[i].id));
		json_add(&array, &item);
	}
	json_put(j, "bases", &array);
}

static void
put_file_systems(struct json *j, const struct record *r)
{
	struct json array = json_array_begin();
	struct json item;
	size_t i;

	for (i = 0; i < r->fs_count; i++) {
		item = json_object_begin();
		json_put_text(&item, "id", r->fs[i].id);
		json_put_u64(&item, "type", r->fs[i].type);
		json_put_name(&item, "mount_point", r->fs[i].mount_point,
			      strlen(r->fs[i].mount_point));
		json_add(&array, &item);
	}
	json_put(j, "file_systems", &array);
}

static void
put_excludes(struct json *j, const struct record *r)
{
	struct json array = json_array_begin();
	struct json item;
	size_t i;

	for (i = 0; i < r->exclude_count; i++) {
		item = json_text(r->exclude[i]);
		json_add(&array, &item);
	}
	json_put(j, "excludes", &array);
}

static void
put_counts(struct json *j, const struct record *r)
{
	json_put_u64(j, "entries", r->counts.entries);
	json_put_u64(j, "inodes", r->counts.inodes);
	json_put_u64(j, "bytes", r->counts.bytes);
	json_put_u64(j, "files_read", r->counts.files_read);
	json_put_u64(j, "bytes_read", r->counts.bytes_read);
	json_put_u64(j, "chunks_new", r->counts.chunks_new);
	json_put_u64(j, "bytes_stored", r->counts.bytes_stored);
	json_put_u64(j, "links", r->link_count);
	json_put_u64(j, "xattrs", r->counts.xattrs);
	json_put_u64(j, "exceptions", r->exception_count);
	json_put_u64(j, "errors", r->counts.errors);
}

static int
print_facts_json(const struct view_gen *g, struct err *e)
{
	const struct record *r = &g->record;
	struct json j = json_object_begin();

	json_put_u64(&j, "generation", g->number);
	json_put_hex(&j, "id", r->id, sizeof(r->id));
	json_put_text(&j, "set", r->set);
	json_put_hex(&j, "set_id", r->set_id, sizeof(r->set_id));
	json_put_text(&j, "host", r->host);
	json_put_text(&j, "machine", r->machine);
	json_put_text(&j, "type", generation_type_name(r->session_type));
	json_put_text(&j, "effective_type",
		      generation_type_name(r->effective_type));
	put_bases(&j, r);
	json_put_time(&j, "start", r->start);
	json_put_time(&j, "time", r->instant);
	json_put_time(&j, "end", r->end);
	put_sources(&j, r);
	put_excludes(&j, r);
	put_file_systems(&j, r);
	json_put_text(&j, "comment", r->comment);
	json_put_text(&j, "tool", r->tool);
	put_counts(&j, r);
	return json_print(&j, false, e);
}

/* --- the command ---------------------------------------------------------- */

static int
show(struct cli *c, struct view_gen *g, struct err *e)
{
	struct selection s = {
		.files = opt_given(&c->opts, "files"),
		.errors = opt_given(&c->opts, "errors"),
		.json = c->json,
	};

	if (opt_given(&c->opts, "writers"))
		return s.json ? dossier_show_json(g, e) : dossier_show(g, e);
	if (s.files || s.errors)
		return print_exceptions(g, &s, e);
	if (s.json)
		return print_facts_json(g, e);
	print_facts(g);
	return CODE_DONE;
}

static int
run(struct cli *c, struct err *e)
{
	struct place p = { 0 };
	int rc;

	if (cli_place(c, c->opts.arg[0], &p, e) < 0)
		return -1;
	if (p.whole)
		rc = show(c, p.gen, e);
	else
		rc = err_set(e, ERR_USAGE,
			     "show: only a generation can be shown, "
			     "not a path (see asof ls)");
	place_clear(&p);
	return rc;
}

const struct command cmd_show = {
	.name = "show",
	.summary = "tell all about one generation",
	.operands = "GEN",
	.operand = OPERAND_GENERATION,
	.args_min = 1,
	.args_max = 1,
	.about = "Tell all that is known about generation GEN; or which "
		 "files were read and why, or could not be read, or what "
		 "writers said.",
	.examples = "asof show -r /backup/repo latest\n"
		    "asof show -r /backup/repo latest --errors",
	.options = options,
	.need = NEED_STORE,
	.session = "view",
	.json = true,
	.run = run,
};
