/*
 * Registered writers, through the process that talks to them: the control
 * process if one runs, else a child that goes with the command.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/writer/client.h"
#include "src/writer/registry.h"
#include "store/repository.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* clang-format off */
static const struct opt options[] = {
	{ .name = "grant", .letter = 'g', .kind = OPT_DIR, .value = "DIR",
	  .help = "add: it may name what lies beneath DIR" },
	{ .name = "service", .kind = OPT_TEXT, .value = "UNIT",
	  .help = "add: a restore may stop and start it" },
	{ .name = "owner", .letter = 'o', .kind = OPT_TEXT, .value = "USER",
	  .help = "add: whose it is; default: yours" },
	{ 0 },
};
/* clang-format on */

static int
no_such(const char *name, struct err *e)
{
	char shown[PATH_SHOW_LEN];

	return err_set(e, ERR_USAGE, "there is no writer %s",
		       path_show_in(shown, name, strlen(name)));
}

/* --- list, show ---------------------------------------------------------- */

static struct json
names(char *const *v, size_t n)
{
	struct json a = json_array_begin();
	struct json s;
	size_t i;

	for (i = 0; i < n; i++) {
		s = json_text(v[i]);
		json_add(&a, &s);
	}
	return a;
}

static struct json
describe(const struct client_writer *w)
{
	struct json j = json_object_begin();
	struct json a;

	json_put_text(&j, "writer", w->name);
	json_put_u64(&j, "owner", w->owner);
	json_put_bool(&j, "program", w->program);
	json_put_bool(&j, "document", w->document != NULL);
	json_put_bool(&j, "not_waited_for", w->no_wait);
	json_put_u64(&j, "journal_first", w->journal_first);
	a = names(w->grant, w->grants);
	json_put(&j, "grants", &a);
	a = names(w->service, w->services);
	json_put(&j, "services", &a);
	return j;
}

static void
print_row(const struct client_writer *w)
{
	const struct passwd *pw = getpwuid(w->owner);
	char number[16];

	(void)snprintf(number, sizeof(number), "%" PRIu32, (uint32_t)w->owner);
	ui_printf("%-24s %-12s %s%s%s\n", w->name,
		  pw != NULL ? pw->pw_name : number,
		  w->program ? "program" : "files",
		  w->document == NULL ? ", no document" : "",
		  w->no_wait ? ", not waited for (see reset)" : "");
}

static int
list(struct cli *c, struct client *cl, struct err *e)
{
	const struct client_writers *all = client_writers(cl);
	struct json a = json_array_begin();
	struct json j;
	size_t i;

	for (i = 0; i < all->count; i++) {
		const struct client_writer *w = &all->v[i];

		if (c->json) {
			j = describe(w);
			json_add(&a, &j);
			continue;
		}
		if (i == 0)
			ui_printf("%-24s %-12s %s\n", "WRITER", "OWNER",
				  "HEARD BY");
		print_row(w);
	}
	if (c->json)
		return json_print(&a, false, e);
	json_clear(&a);
	return CODE_DONE;
}

static int
show(struct cli *c, struct client *cl, struct err *e)
{
	const struct client_writer *w = client_find(cl, c->opts.arg[1]);
	char shown[PATH_SHOW_LEN];
	struct json j;
	size_t i;

	if (w == NULL)
		return no_such(c->opts.arg[1], e);
	if (c->json) {
		j = describe(w);
		if (w->document != NULL)
			json_put_name(&j, "text", w->document, w->document_len);
		return json_print(&j, false, e);
	}
	ui_printf("# writer %s, owner %" PRIu32 "\n", w->name,
		  (uint32_t)w->owner);
	for (i = 0; i < w->grants; i++)
		ui_printf("# grant %s\n",
			  path_show_in(shown, w->grant[i],
				       strlen(w->grant[i])));
	for (i = 0; i < w->services; i++)
		ui_printf("# service %s\n", w->service[i]);
	if (w->document != NULL)
		ui_write(w->document, w->document_len);
	return CODE_DONE;
}

static int
print_log(struct cli *c, struct client *cl, struct err *e)
{
	struct buf text = { 0 };
	int rc = client_log(cl, c->opts.arg[1], &text, e);

	if (rc == 0)
		rc = buf_ok(&text, e);
	if (rc == 0)
		ui_write(text.data, text.len);
	buf_clear(&text);
	return rc;
}

/* --- add, remove, reset -------------------------------------------------- */

static int
find_owner(const char *name, uid_t *out, struct err *e)
{
	const struct passwd *pw;
	uint64_t n;

	if (name == NULL) {
		*out = geteuid();
		return 0;
	}
	if (opt_number_parse(name, UINT32_MAX - 1, &n)) {
		*out = (uid_t)n;
		return 0;
	}
	errno = 0;
	pw = getpwnam(name);
	if (pw == NULL)
		return err_set(e, ERR_USAGE, "no such user: %s", name);
	*out = pw->pw_uid;
	return 0;
}

/* The values of an option that may be given again and again. */
static int
gather(const struct opts *o, const char *name, char ***out, size_t *n,
       struct err *e)
{
	size_t i;

	*out = mem_array(o->values + 1, sizeof(**out));
	if (*out == NULL)
		return err_nomem(e);
	for (i = 0; i < o->values; i++) {
		if (strcmp(o->value[i].opt->name, name) != 0)
			continue;
		(*out)[*n] = mem_strdup(o->value[i].text);
		if ((*out)[*n] == NULL)
			return err_nomem(e);
		++*n;
	}
	return 0;
}

static int
add(struct cli *c, struct client *cl, struct err *e)
{
	struct registration r = { 0 };
	int rc = -1;

	r.name = mem_strdup(c->opts.arg[1]);
	if (r.name == NULL)
		return err_nomem(e);
	if (find_owner(opt_text(&c->opts, "owner"), &r.owner, e) == 0 &&
	    gather(&c->opts, "grant", &r.grant, &r.grants, e) == 0 &&
	    gather(&c->opts, "service", &r.service, &r.services, e) == 0)
		rc = client_register(cl, &r, e);
	mem_free_list(r.grant, r.grants);
	mem_free_list(r.service, r.services);
	mem_free(r.name);
	return rc;
}

static int
drop(struct cli *c, struct client *cl, struct err *e)
{
	return client_unregister(cl, c->opts.arg[1], e);
}

static int
reset(struct cli *c, struct client *cl, struct err *e)
{
	return client_reset(cl, c->opts.arg[1], e);
}

/* --- the command --------------------------------------------------------- */

static const struct verb {
	const char *name;
	bool writer; /* WRITER follows */
	int (*run)(struct cli *c, struct client *cl, struct err *e);
} verbs[] = {
	{ "list", false, list },    { "show", true, show },
	{ "add", true, add },       { "remove", true, drop },
	{ "log", true, print_log }, { "reset", true, reset },
};

static int
find_verb(const struct opts *o, const struct verb **out, struct err *e)
{
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(o->arg[0], verbs[i].name) != 0)
			continue;
		*out = &verbs[i];
		if (o->args == (verbs[i].writer ? 2 : 1))
			return 0;
		return err_set(e, ERR_USAGE, "usage: asof writer %s%s",
			       verbs[i].name, verbs[i].writer ? " WRITER" : "");
	}
	return err_set(e, ERR_USAGE,
		       "writer: list, show, add, remove, log or reset?");
}

static int
check_options(const struct opts *o, const struct verb *v, struct err *e)
{
	if (strcmp(v->name, "add") == 0 ||
	    (!opt_given(o, "grant") && !opt_given(o, "service") &&
	     !opt_given(o, "owner")))
		return 0;
	return err_set(e, ERR_USAGE,
		       "--grant, --service and --owner are for writer add");
}

static int
run(struct cli *c, struct err *e)
{
	const struct verb *v = NULL;
	const char *path = NULL;
	struct client *cl = NULL;
	bool live;
	int rc = -1;

	if (find_verb(&c->opts, &v, e) < 0 ||
	    check_options(&c->opts, v, e) < 0 ||
	    cli_repository_path(c, &path, e) < 0 ||
	    client_open(path, c->repository->config.id, &cli_cancel, &cl, &live,
			e) < 0)
		return -1;
	if (client_list(cl, e) == 0)
		rc = v->run(c, cl, e);
	client_close(cl);
	return rc;
}

const struct command cmd_writer = {
	.name = "writer",
	.summary = "list and manage writers",
	.operands = "list | show|add|remove|log|reset WRITER",
	.operand = OPERAND_WORDS,
	.words = "list show add remove log reset",
	.args_min = 1,
	.args_max = 2,
	.about = "Writers are applications that own data and tell backups "
		 "what changed in it.  list: those that are registered here; "
		 "show: what one says it has; add, remove: register one, or "
		 "forget it with all it declared; log: what was decided about "
		 "its input; reset: wait for it again, after it was late "
		 "twice.",
	.examples = "asof writer -r /backup/repo list\n"
		    "asof writer -r /backup/repo add db --owner postgres "
		    "--grant /srv/db",
	.options = options,
	.need = NEED_REPOSITORY,
	.json = true,
	.run = run,
};
