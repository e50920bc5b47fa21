#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/restore_writers.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/time.h"
#include "src/cli/cmd.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/engine/view.h"
#include "src/requester/restore.h"
#include "src/writer/value.h"

#include <string.h>

static const char *const only_with[] = {
	"new-target",  "restore-option", "additional-restores", "to-writer",
	"ranges-only", "dry-run",        NULL,
};
static const char *const never_with[] = {
	"to",     "existing", "numeric-ids", "no-owner",
	"verify", "threads",  "sync",        NULL,
};

int
restore_writers_check(const struct cli *c, struct err *e)
{
	bool with = opt_given(&c->opts, "writer");
	const char *const *name = with ? never_with : only_with;

	for (; *name != NULL; name++)
		if (opt_given(&c->opts, *name))
			return err_set(e, ERR_USAGE,
				       with ? "restore: --%s does not go with "
					      "--writer: files go where the "
					      "writer's restore method says"
					    : "restore: --%s is for --writer",
				       *name);
	return 0;
}

/* --- the options that may be there several times ------------------------------ */

struct lists {
	const char **wish;
	size_t wishes;
	const char **option;
	size_t options;
	struct restore_target *target;
	size_t targets;
	char **text; /* of the targets, cut into strings */
};

static void
clear_lists(struct lists *l)
{
	size_t i;

	for (i = 0; i < l->targets; i++)
		mem_free(l->text[i]);
	mem_free(l->text);
	mem_free(l->target);
	mem_free(l->option);
	mem_free(l->wish);
}

/* "W:C:DIR=TO"; DIR and TO begin with a slash, and writers have none. */
static int
cut_target(char *text, struct restore_target *t, struct err *e)
{
	char *colon = strchr(text, ':');
	char *dir = colon != NULL ? strstr(colon + 1, ":/") : NULL;
	char *to = dir != NULL ? strstr(dir, "=/") : NULL;
	size_t len;

	if (to == NULL)
		return err_set(e, ERR_USAGE,
			       "a new target is WRITER:COMPONENT:DIR=TO, with "
			       "absolute paths");
	*colon = '\0';
	*dir = '\0';
	*to = '\0';
	t->writer = text;
	t->component = colon + 1;
	t->dir = dir + 1;
	t->to = to + 1;
	len = strlen(dir + 1);
	value_trim_dir(dir + 1, &len);
	len = strlen(to + 1);
	value_trim_dir(to + 1, &len);
	if (value_path_fault(t->dir) != NULL || value_path_fault(t->to) != NULL)
		return err_set(e, ERR_USAGE,
			       "the directories of a new target are absolute "
			       "and normal: %s, %s",
			       t->dir, t->to);
	return 0;
}

static int
take_target(struct lists *l, const char *text, struct err *e)
{
	char *copy = mem_strdup(text);

	if (copy == NULL)
		return err_nomem(e);
	l->text[l->targets] = copy;
	return cut_target(copy, &l->target[l->targets++], e);
}

static int
fill_lists(struct lists *l, const struct opts *o, struct err *e)
{
	size_t room = o->values + 1;
	size_t i;

	l->wish = mem_array(room, sizeof(*l->wish));
	l->option = mem_array(room, sizeof(*l->option));
	l->target = mem_array(room, sizeof(*l->target));
	l->text = mem_array(room, sizeof(*l->text));
	if (l->wish == NULL || l->option == NULL || l->target == NULL ||
	    l->text == NULL)
		return err_nomem(e);
	for (i = 0; i < o->values; i++) {
		const char *name = o->value[i].opt->name;
		const char *text = o->value[i].text;

		if (strcmp(name, "writer") == 0)
			l->wish[l->wishes++] = text;
		else if (strcmp(name, "restore-option") == 0)
			l->option[l->options++] = text;
		else if (strcmp(name, "new-target") == 0 &&
			 take_target(l, text, e) < 0)
			return -1;
	}
	return 0;
}

/* --- telling ------------------------------------------------------------------ */

static void
on_note(void *ctx, const char *text)
{
	(void)ctx;
	ui_note("%s", text);
}

static void
on_failed(void *ctx, const char *path, const struct err *why, bool damage)
{
	(void)ctx;
	(void)damage;
	ui_error_path(path, why->text);
}

static int
report_json(const struct place *p, const struct restore_writers_result *r,
	    uint64_t ns, struct err *e)
{
	struct json j = json_object_begin();

	json_put_u64(&j, "generation", p->gen->number);
	json_put_u64(&j, "components", r->components);
	json_put_u64(&j, "restored", r->restored);
	json_put_u64(&j, "staged", r->staged);
	json_put_u64(&j, "failed", r->failed);
	json_put_u64(&j, "files", r->files);
	json_put_u64(&j, "bytes", r->bytes);
	json_put_u64(&j, "damaged", r->damaged);
	json_put_real(&j, "seconds", (double)ns / 1e9);
	return json_print(&j, false, e);
}

static void
report(const struct place *p, const struct restore_writers_result *r,
       uint64_t ns)
{
	char n[UI_TEXT_LEN];
	char f[UI_TEXT_LEN];
	char s[UI_TEXT_LEN];
	char t[UI_TEXT_LEN];

	ui_printf("restored from generation %u: %s component%s, %s file%s, "
		  "%s, %s\n",
		  p->gen->number, ui_count(n, r->restored), ui_s(r->restored),
		  ui_count(f, r->files), ui_s(r->files), ui_size(s, r->bytes),
		  ui_duration(t, (int64_t)ns));
}

static int
code_of(const struct restore_writers_result *r)
{
	char n[UI_TEXT_LEN];

	if (r->failed == 0)
		return CODE_DONE;
	ui_error("%s component%s not or not wholly restored",
		 ui_count(n, r->failed), r->failed == 1 ? " was" : "s were");
	return r->damaged > 0 ? CODE_DAMAGED : CODE_FAILED;
}

int
restore_writers(struct cli *c, struct place *p, struct err *e)
{
	const struct opts *o = &c->opts;
	uint64_t start = time_monotonic_ns();
	struct restore_writers_result r = { 0 };
	struct lists l = { 0 };
	struct restore_writers_options opt = {
		.to_writer = opt_text(o, "to-writer"),
		.additional = opt_given(o, "additional-restores"),
		.ranges_only = opt_given(o, "ranges-only"),
		.in_place = opt_given(o, "in-place"),
		.dry_run = opt_given(o, "dry-run"),
		.cancel = &cli_cancel,
		.note = on_note,
		.failed = on_failed,
	};
	uint64_t ns;
	int rc = -1;

	if (!p->whole) {
		(void)err_set(e, ERR_USAGE,
			      "restore: with --writer there is no path: the "
			      "writer's document says which files");
		return -1;
	}
	if (fill_lists(&l, o, e) < 0 ||
	    cli_repository_path(c, &opt.repository, e) < 0)
		goto out;
	opt.wish = l.wish;
	opt.wishes = l.wishes;
	opt.option = l.option;
	opt.options = l.options;
	opt.target = l.target;
	opt.targets = l.targets;
	if (requester_restore(c->store, p->gen, &opt, &r, e) < 0)
		goto out;
	ns = time_monotonic_ns() - start;
	if (c->json && report_json(p, &r, ns, e) < 0)
		goto out;
	if (!c->json && !opt.dry_run && !opt_given(o, "quiet"))
		report(p, &r, ns);
	rc = code_of(&r);
out:
	clear_lists(&l);
	return rc;
}
