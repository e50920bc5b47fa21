#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/path.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "store/repository.h"

#include <string.h>

static int
report(const struct cli *c, const struct repository *r, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	char id[2 * sizeof(r->config.id) + 1];
	struct json j;

	if (c->json) {
		j = json_object_begin();
		json_put_name(&j, "repository", r->path, strlen(r->path));
		json_put_hex(&j, "id", r->config.id, sizeof(r->config.id));
		return json_print(&j, false, e);
	}
	hex_format(id, r->config.id, sizeof(r->config.id));
	ui_note("%s is a repository now, id %s",
		path_show_in(shown, r->path, strlen(r->path)), id);
	return 0;
}

static int
run(struct cli *c, struct err *e)
{
	struct repository *r = NULL;
	const char *path;
	int rc;

	if (cli_repository_path(c, &path, e) < 0)
		return -1;
	if (repository_init(path, e) < 0)
		return -1;
	/* Opening it is the proof that it was made. */
	if (repository_open(path, &r, e) < 0)
		return -1;
	rc = report(c, r, e);
	repository_close(r);
	return rc;
}

const struct command cmd_init = {
	.name = "init",
	.summary = "make a new repository",
	.operands = "",
	.about = "Make a new, empty repository in DIR, which must not exist "
		 "or be an empty directory; the directory above it must "
		 "exist.",
	.examples = "asof init -r /backup/repo",
	.json = true,
	.run = run,
};
