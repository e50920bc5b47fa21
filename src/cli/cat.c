/*
 * Bytes go from the store's caches to standard output without a copy of our
 * own, and without stdio.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/path.h"
#include "src/cli/ui.h"
#include "src/engine/reader.h"
#include "src/engine/view.h"

#include <stdint.h>

#define ZEROS_LEN 65536

static int
write_hole(uint64_t len, struct err *e)
{
	static const uint8_t zeros[ZEROS_LEN];
	size_t n;

	for (; len > 0 && ui_writable(); len -= n) {
		if (cli_check_cancel(e) < 0)
			return -1;
		n = len < ZEROS_LEN ? (size_t)len : ZEROS_LEN;
		ui_write(zeros, n);
	}
	return 0;
}

static int
write_content(struct view_gen *g, const struct entry *en, struct err *e)
{
	struct file_reader f = { 0 };
	const uint8_t *p;
	uint64_t at = 0;
	uint64_t len;
	int rc;

	if (file_reader_init(&f, g->reader, &en->content, en->size, e) < 0)
		return -1;
	for (;;) {
		rc = cli_check_cancel(e);
		if (rc < 0 || !ui_writable())
			break;
		rc = file_peek(&f, at, &p, &len, e);
		if (rc <= 0)
			break;
		rc = 0;
		if (p != NULL)
			ui_write(p, (size_t)len);
		else
			rc = write_hole(len, e);
		if (rc < 0)
			break;
		at += len;
	}
	file_reader_clear(&f);
	return rc;
}

/* Why this entry has no content to show. */
static int
refuse(const struct entry *en, struct err *e)
{
	char shown[PATH_SHOW_LEN];

	switch (en->type) {
	case ENTRY_DIR:
		return err_set(e, ERR_SYS, "is a directory");
	case ENTRY_SYMLINK:
		return err_set(e, ERR_SYS, "is a symbolic link to %s",
			       path_show_in(shown, en->target, en->target_len));
	case ENTRY_FILE:
		return err_set(e, ERR_SYS,
			       "could not be read when it was backed up");
	default:
		return err_set(e, ERR_SYS, "is not a regular file");
	}
}

static int
cat_place(struct place *p, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	struct node n = { 0 };
	int rc = view_path(p->gen, buf_str(&p->path), &n, e);

	if (rc == 1)
		return cli_no_path(p, e);
	if (rc < 0)
		return -1;
	if (n.entry.type != ENTRY_FILE || n.entry.flags & ENTRY_UNREADABLE)
		rc = refuse(&n.entry, e);
	else
		rc = write_content(p->gen, &n.entry, e);
	node_clear(&n);
	if (rc < 0)
		return err_prefix(
			e, "generation %u: %s", p->gen->number,
			path_show_in(shown, p->path.data, p->path.len));
	return 0;
}

static int
run(struct cli *c, struct err *e)
{
	struct place p = { 0 };
	size_t i;
	int rc = 0;

	for (i = 0; i < c->opts.args && rc == 0; i++) {
		rc = cli_place(c, c->opts.arg[i], &p, e);
		if (rc == 0)
			rc = cat_place(&p, e);
		place_clear(&p);
	}
	return rc;
}

const struct command cmd_cat = {
	.name = "cat",
	.summary = "write files of a generation to standard output",
	.operands = "GEN:PATH ...",
	.operand = OPERAND_GENERATION,
	.args_min = 1,
	.args_max = SIZE_MAX,
	.about = "Write the content of the files to standard output.  Every "
		 "byte is compared with its id before it is written.",
	.examples = "asof cat -r /backup/repo latest~1:/etc/fstab",
	.need = NEED_STORE,
	.session = "view",
	.run = run,
};
