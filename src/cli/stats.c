#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/path.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/engine/generation.h"
#include "store/index.h"
#include "store/repository.h"
#include "store/store.h"

#include <string.h>

struct totals {
	uint64_t packs, chunks, bytes_stored;
	uint64_t generations, damaged;
	uint64_t bytes; /* sum of all file sizes of all generations */
};

static int
add_pack(void *ctx, const struct pack_id *id, uint64_t len, uint32_t chunks,
	 struct err *e)
{
	struct totals *t = ctx;

	(void)id;
	t->packs++;
	t->chunks += chunks;
	t->bytes_stored += len;
	return cli_check_cancel(e);
}

static int
add_generations(const struct repository *r, struct totals *t, struct err *e)
{
	struct generation_list list = { 0 };
	size_t i;

	if (generation_list_load(r, &list, e) < 0)
		return -1;
	t->generations = list.count;
	for (i = 0; i < list.count; i++) {
		if (list.item[i].damaged || list.item[i].unsupported)
			t->damaged++;
		else
			t->bytes += list.item[i].record.counts.bytes;
	}
	generation_list_clear(&list);
	return 0;
}

/* How many bytes of files stand behind one byte of packs. */
static double
ratio(const struct totals *t)
{
	if (t->bytes_stored == 0)
		return 0;
	return (double)t->bytes / (double)t->bytes_stored;
}

static int
report_json(const struct repository *r, const struct totals *t, struct err *e)
{
	struct json j = json_object_begin();

	json_put_name(&j, "repository", r->path, strlen(r->path));
	json_put_hex(&j, "id", r->config.id, sizeof(r->config.id));
	json_put_time(&j, "created", r->config.created);
	json_put_u64(&j, "generations", t->generations);
	json_put_u64(&j, "generations_unreadable", t->damaged);
	json_put_u64(&j, "bytes", t->bytes);
	json_put_u64(&j, "packs", t->packs);
	json_put_u64(&j, "chunks", t->chunks);
	json_put_u64(&j, "bytes_stored", t->bytes_stored);
	json_put_real(&j, "ratio", ratio(t));
	return json_print(&j, false, e);
}

static void
report(const struct repository *r, const struct totals *t)
{
	char id[2 * sizeof(r->config.id) + 1];
	char when[TIME_TEXT_LEN];
	char n[UI_TEXT_LEN];

	hex_format(id, r->config.id, sizeof(r->config.id));
	ui_printf("repository   ");
	ui_show(r->path, strlen(r->path));
	ui_printf("\nid           %s\n", id);
	ui_printf("created      %s\n", ui_time(when, r->config.created));
	ui_printf("generations  %s", ui_count(n, t->generations));
	if (t->damaged > 0)
		ui_printf(" (%s of them cannot be read)",
			  ui_count(n, t->damaged));
	ui_printf("\nfiles        %s in all generations\n",
		  ui_size(n, t->bytes));
	ui_printf("stored       %s", ui_size(n, t->bytes_stored));
	ui_printf(" in %s pack%s", ui_count(n, t->packs), ui_s(t->packs));
	ui_printf(", %s chunk%s\n", ui_count(n, t->chunks), ui_s(t->chunks));
	if (t->bytes_stored > 0)
		ui_printf("ratio        %.1f\n", ratio(t));
}

static int
run(struct cli *c, struct err *e)
{
	struct totals t = { 0 };

	if (index_packs(store_index(c->store), add_pack, &t, e) < 0)
		return -1;
	if (add_generations(c->repository, &t, e) < 0)
		return -1;
	if (c->json)
		return report_json(c->repository, &t, e);
	report(c->repository, &t);
	return CODE_DONE;
}

const struct command cmd_stats = {
	.name = "stats",
	.summary = "say how much the repository holds",
	.operands = "",
	.about = "Say how many generations, packs and chunks there are, how "
		 "large the files of all generations are together, and how "
		 "much room that takes.",
	.examples = "asof stats -r /backup/repo",
	.need = NEED_STORE,
	.session = "view",
	.json = true,
	.run = run,
};
