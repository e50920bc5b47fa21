/*
 * The order of opening is that of the store's rules: the session is there
 * before the first look-up, so that what is found is not pruned away.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/path.h"
#include "src/cli/ui.h"
#include "src/engine/generation.h"
#include "src/engine/view.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
cli_check_cancel(struct err *e)
{
	if (cli_cancel == 0)
		return 0;
	return err_set(e, ERR_CANCELLED, "interrupted");
}

int
cli_code(const struct err *e)
{
	switch (e->kind) {
	case ERR_USAGE:
		return CODE_USAGE;
	case ERR_CORRUPT:
	case ERR_MISSING:
		return CODE_DAMAGED;
	case ERR_BUSY:
		return CODE_BUSY;
	case ERR_NONE:
	case ERR_SYS:
	case ERR_SOURCE:
	case ERR_NOMEM:
	case ERR_UNSUPPORTED:
	case ERR_CANCELLED:
		break;
	}
	return CODE_FAILED;
}

/* --- opening -------------------------------------------------------------- */

int
cli_repository_path(const struct cli *c, const char **out, struct err *e)
{
	const char *path = opt_text(&c->opts, "repository");

	if (path == NULL)
		path = getenv("ASOF_REPOSITORY");
	if (path == NULL || path[0] == '\0')
		return err_set(e, ERR_USAGE,
			       "which repository? "
			       "use -r DIR or set ASOF_REPOSITORY");
	*out = path;
	return 0;
}

/* What is wrong and does not hinder. */
static void
warn(const struct cli *c)
{
	const char *path = c->repository->path;
	size_t n;

	if (c->repository->config_damaged)
		ui_error_path(path, "one of the two copies of the config is "
				    "damaged or missing (see asof check)");
	n = c->store != NULL ? store_bad_packs(c->store) : 0;
	if (n > 0)
		ui_error("%zu pack%s damaged as a whole (see asof check)", n,
			 n == 1 ? " is" : "s are");
	n = c->store != NULL ? store_gone_packs(c->store) : 0;
	if (n > 0)
		ui_detail("%zu pack%s gone since the last look", n,
			  n == 1 ? " is" : "s are");
}

int
cli_open(struct cli *c, enum need need, const char *kind,
	 const struct store_options *opt, struct err *e)
{
	const char *path;

	if (need == NEED_NOTHING)
		return 0;
	if (cli_repository_path(c, &path, e) < 0)
		return -1;
	if (repository_open(path, &c->repository, e) < 0)
		return -1;
	if (c->command->write && repository_want_write(c->repository, e) < 0)
		return -1;
	if (need == NEED_STORE) {
		if (session_begin(c->repository, kind, &c->session, e) < 0)
			return -1;
		if (store_open(c->repository, c->session, opt, &c->store, e) <
		    0)
			return -1;
	}
	warn(c);
	return 0;
}

void
cli_close(struct cli *c)
{
	if (c->store != NULL)
		store_close(c->store);
	if (c->session != NULL)
		session_end(c->session);
	if (c->repository != NULL)
		repository_close(c->repository);
	c->store = NULL;
	c->session = NULL;
	c->repository = NULL;
}

/* --- generations and paths ------------------------------------------------ */

/*
 * Engine and store say ERR_MISSING both for what a person asked for and for
 * what a stored reference promises.  Here it is known to be the former.
 */
static int
not_found(struct err *e)
{
	if (e != NULL && e->kind == ERR_MISSING) {
		e->kind = ERR_SYS;
		e->saved_errno = ENOENT;
	}
	return -1;
}

int
cli_find(const struct generation_list *l, const char *name,
	 const struct generation **out, struct err *e)
{
	if (generation_find(l, name, out, e) < 0)
		return not_found(e);
	return 0;
}

static int
open_generation(struct cli *c, const char *name, struct view_gen **out,
		struct err *e)
{
	struct generation_list list = { 0 };
	const struct generation *g;
	int rc = -1;

	if (generation_list_load(c->repository, &list, e) < 0)
		return -1;
	if (cli_find(&list, name, &g, e) == 0)
		rc = view_open(c->store, g->number, out, e);
	generation_list_clear(&list);
	return rc;
}

int
cli_place(struct cli *c, const char *arg, struct place *out, struct err *e)
{
	struct place p = { 0 };
	struct buf name = { 0 };
	const char *path = NULL;
	int rc = -1;

	if (generation_split(arg, &name, &path, e) < 0 || buf_ok(&name, e) < 0)
		goto out;
	if (path_absolute("/", path != NULL ? path : "/", &p.path, e) < 0)
		goto out;
	p.whole = strcmp(buf_str(&p.path), "/") == 0;
	p.contents = path != NULL && path[0] != '\0' &&
		     path[strlen(path) - 1] == '/';
	if (buf_ok(&p.path, e) < 0)
		goto out;
	if (open_generation(c, buf_str(&name), &p.gen, e) < 0)
		goto out;
	*out = p;
	rc = 0;
out:
	if (rc < 0)
		place_clear(&p);
	buf_clear(&name);
	return rc;
}

void
place_clear(struct place *p)
{
	if (p->gen != NULL)
		view_unref(p->gen);
	buf_clear(&p->path);
	*p = (struct place){ 0 };
}

int
cli_no_path(const struct place *p, struct err *e)
{
	char shown[PATH_SHOW_LEN];

	errno = ENOENT;
	return err_sys(e, "generation %u: %s", p->gen->number,
		       path_show_in(shown, p->path.data, p->path.len));
}
