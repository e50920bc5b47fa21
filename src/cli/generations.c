#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/path.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/engine/generation.h"

#include <string.h>

/* clang-format off */
static const struct opt options[] = {
	{ .name = "set", .letter = 's', .kind = OPT_TEXT, .value = "SET",
	  .help = "only those of this set" },
	{ 0 },
};
/* clang-format on */

/* --- JSON ----------------------------------------------------------------- */

static struct json
describe(const struct generation *g)
{
	const struct record *r = &g->record;
	struct json j = json_object_begin();

	json_put_u64(&j, "generation", g->number);
	if (g->damaged || g->unsupported) {
		json_put_bool(&j, "damaged", g->damaged);
		json_put_bool(&j, "unsupported", g->unsupported);
		json_put_text(&j, "why", g->why);
		return j;
	}
	json_put_hex(&j, "id", r->id, sizeof(r->id));
	json_put_text(&j, "set", r->set);
	json_put_text(&j, "host", r->host);
	json_put_text(&j, "type", generation_type_name(r->session_type));
	json_put_text(&j, "effective_type",
		      generation_type_name(r->effective_type));
	json_put_time(&j, "time", r->instant);
	json_put_u64(&j, "entries", r->counts.entries);
	json_put_u64(&j, "bytes", r->counts.bytes);
	json_put_u64(&j, "files_read", r->counts.files_read);
	json_put_u64(&j, "bytes_read", r->counts.bytes_read);
	json_put_u64(&j, "bytes_stored", r->counts.bytes_stored);
	json_put_u64(&j, "errors", r->counts.errors);
	json_put_text(&j, "comment", r->comment);
	return j;
}

/* --- a table -------------------------------------------------------------- */

static void
print_head(int set_width)
{
	ui_printf("%5s  %-19s  %-12s  %-*s  %10s  %7s  %7s\n", "GEN", "TIME",
		  "TYPE", set_width, "SET", "ENTRIES", "SIZE", "STORED");
}

static void
print_row(const struct generation *g, int set_width)
{
	const struct record *r = &g->record;
	char when[TIME_TEXT_LEN];
	char count[UI_TEXT_LEN];
	char size[UI_TEXT_LEN];
	char stored[UI_TEXT_LEN];

	(void)ui_time(when, r->instant);
	ui_printf("%5u  %.19s  %-12s  %-*s  %10s  %7s  %7s", g->number, when,
		  generation_type_name(r->effective_type), set_width, r->set,
		  ui_count(count, r->counts.entries),
		  ui_size(size, r->counts.bytes),
		  ui_size(stored, r->counts.bytes_stored));
	if (r->counts.errors > 0)
		ui_printf("  %s error%s", ui_count(count, r->counts.errors),
			  ui_s(r->counts.errors));
	if (r->comment != NULL && r->comment[0] != '\0') {
		ui_printf("  ");
		ui_show(r->comment, strlen(r->comment));
	}
	ui_printf("\n");
}

/* --- the command ---------------------------------------------------------- */

static bool
wanted(const struct generation *g, const char *set)
{
	if (set == NULL)
		return true;
	return !g->damaged && !g->unsupported &&
	       strcmp(g->record.set, set) == 0;
}

static int
widest_set(const struct generation_list *l)
{
	const struct generation *g;
	size_t width = 3;
	size_t i;

	for (i = 0; i < l->count; i++) {
		g = &l->item[i];
		if (wanted(g, NULL) && g->record.set != NULL &&
		    strlen(g->record.set) > width)
			width = strlen(g->record.set);
	}
	return width < SET_NAME_MAX ? (int)width : SET_NAME_MAX;
}

static int
print_json(const struct generation_list *l, const char *set, struct err *e)
{
	struct json array = json_array_begin();
	struct json item;
	size_t i;

	for (i = 0; i < l->count; i++) {
		if (!wanted(&l->item[i], set))
			continue;
		item = describe(&l->item[i]);
		json_add(&array, &item);
	}
	return json_print(&array, false, e);
}

/* Nothing is nothing; but a slip of the pen should not look like it. */
static void
note_none(const struct generation_list *l, const char *set)
{
	char shown[PATH_SHOW_LEN];

	if (l->count == 0)
		ui_note("there are no generations yet (see asof help backup)");
	else
		ui_note("there is no generation of the set %s",
			path_show_in(shown, set, strlen(set)));
}

static void
print_table(const struct generation_list *l, const char *set)
{
	int width = widest_set(l);
	bool head = false;
	size_t i;

	for (i = 0; i < l->count; i++) {
		if (!wanted(&l->item[i], set) || l->item[i].damaged ||
		    l->item[i].unsupported)
			continue;
		if (!head)
			print_head(width);
		head = true;
		print_row(&l->item[i], width);
	}
	if (!head && (set != NULL || l->count == 0))
		note_none(l, set);
}

/* Say which cannot be read; the exit code that this deserves. */
static int
complain(const struct generation_list *l)
{
	const struct generation *g;
	int code = CODE_DONE;
	size_t i;

	for (i = 0; i < l->count; i++) {
		g = &l->item[i];
		if (!g->damaged && !g->unsupported)
			continue;
		ui_error("%s", g->why);
		if (g->damaged && !g->unsupported)
			code = CODE_DAMAGED;
		else if (code == CODE_DONE)
			code = CODE_FAILED;
	}
	return code;
}

static int
run(struct cli *c, struct err *e)
{
	const char *set = opt_text(&c->opts, "set");
	struct generation_list list = { 0 };
	int rc = 0;

	if (generation_list_load(c->repository, &list, e) < 0)
		return -1;
	if (c->json)
		rc = print_json(&list, set, e);
	else
		print_table(&list, set);
	if (rc == 0)
		rc = complain(&list);
	generation_list_clear(&list);
	return rc;
}

const struct command cmd_generations = {
	.name = "generations",
	.summary = "list the generations",
	.operands = "",
	.about = "List the generations, oldest first: number, time, type, "
		 "set, names in it, sum of file sizes, bytes it added to the "
		 "repository.",
	.examples = "asof generations -r /backup/repo --set ann-01",
	.options = options,
	.need = NEED_REPOSITORY,
	.json = true,
	.run = run,
};
