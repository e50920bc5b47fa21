/*
 * All names are looked up before anything is forgotten, so that "latest" and
 * "latest~1" mean what they meant when they were typed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/engine/generation.h"
#include "store/repository.h"

#include <errno.h>
#include <stdint.h>

/*
 * The number that a name stands for.  A plain number needs no record that can
 * be read: damaged generations can be forgotten too.
 */
static int
number_of(const struct generation_list *l, const char *name, uint32_t *out,
	  struct err *e)
{
	const struct generation *g;
	uint64_t number;
	size_t i;

	if (opt_number_parse(name, GENERATION_NUMBER_MAX, &number))
		for (i = 0; i < l->count; i++)
			if (l->item[i].number == number) {
				*out = (uint32_t)number;
				return 0;
			}
	if (cli_find(l, name, &g, e) < 0)
		return -1;
	*out = g->number;
	return 0;
}

static int
find_numbers(const struct cli *c, uint32_t *number, struct err *e)
{
	struct generation_list list = { 0 };
	size_t i;
	int rc = 0;

	if (generation_list_load(c->repository, &list, e) < 0)
		return -1;
	for (i = 0; i < c->opts.args && rc == 0; i++)
		rc = number_of(&list, c->opts.arg[i], &number[i], e);
	generation_list_clear(&list);
	return rc;
}

static bool
seen_before(const uint32_t *number, size_t i)
{
	size_t j;

	for (j = 0; j < i; j++)
		if (number[j] == number[i])
			return true;
	return false;
}

/* Forget them one by one; those that are done go into *done. */
static int
forget(const struct cli *c, const uint32_t *number, struct json *done,
       struct err *e)
{
	struct json item;
	size_t i;
	int rc;

	for (i = 0; i < c->opts.args; i++) {
		if (seen_before(number, i))
			continue;
		if (cli_check_cancel(e) < 0)
			return -1;
		rc = repository_forget_generation(c->repository, number[i], e);
		if (rc < 0)
			return -1;
		if (rc == 1) {
			errno = ENOENT;
			return err_sys(e, "generation %u", number[i]);
		}
		item = json_u64(number[i]);
		json_add(done, &item);
		if (!c->json)
			ui_note("forgot generation %u", number[i]);
	}
	return 0;
}

static int
run(struct cli *c, struct err *e)
{
	struct json done = json_array_begin();
	struct json j;
	uint32_t *number = mem_array(c->opts.args, sizeof(*number));
	int rc = -1;

	if (number == NULL) {
		err_nomem(e);
		goto out;
	}
	if (find_numbers(c, number, e) < 0 || forget(c, number, &done, e) < 0)
		goto out;
	rc = CODE_DONE;
	if (c->json) {
		j = json_object_begin();
		json_put(&j, "forgotten", &done);
		rc = json_print(&j, false, e);
	}
out:
	json_clear(&done);
	mem_free(number);
	return rc;
}

const struct command cmd_forget = {
	.name = "forget",
	.summary = "put generations aside",
	.operands = "GEN ...",
	.operand = OPERAND_GENERATION,
	.args_min = 1,
	.args_max = SIZE_MAX,
	.about = "Put generations aside: they are not listed, mounted or "
		 "compared with any more. Their records stay in the "
		 "repository as N.forgotten, and so does their data until "
		 "the repository is pruned; renaming N.forgotten to N takes "
		 "it back.",
	.examples = "asof forget -r /backup/repo 3 4 ann-01@latest~30",
	.need = NEED_REPOSITORY,
	.write = true,
	.json = true,
	.run = run,
};
