/*
 * Entries come in the order in which they are stored, by name as bytes, and
 * are printed as they come: a directory of a million names takes no more
 * memory than one of ten.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/engine/view.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* clang-format off */
static const struct opt options[] = {
	{ .name = "long", .letter = 'l',
	  .help = "mode, links, owner, size, time" },
	{ .name = "recursive", .letter = 'R',
	  .help = "all that is beneath, with whole paths" },
	{ .name = "directory", .letter = 'd',
	  .help = "the directory itself, not what it holds" },
	{ .name = "null", .letter = '0',
	  .help = "names as they are, each with a NUL behind it" },
	{ 0 },
};
/* clang-format on */

#define LEVELS_MIN 16

/* A directory on the way down. */
struct level {
	struct node dir;
	uint64_t next;  /* position to go on from */
	size_t dir_len; /* its path with a slash behind it */
};

struct listing {
	struct view_gen *gen;
	bool lines, recursive, null, json;
	int owner_width, group_width;
	struct buf path; /* of the entry at hand */
	/* Of the deepest directory: */
	size_t dir_len;
	uint64_t next;
	struct level *level;
	size_t depth, cap;
};

/* --- one line ------------------------------------------------------------- */

static void
mode_text(char out[12], const struct entry *en)
{
	static const char types[] = "?-dlcbps";
	static const char bits[] = "rwxrwxrwx";
	unsigned m = en->mode;
	int i;

	out[0] = en->type < sizeof(types) - 1 ? types[en->type] : '?';
	for (i = 0; i < 9; i++)
		out[1 + i] = m & (0400u >> i) ? bits[i] : '-';
	if (m & S_ISUID)
		out[3] = m & S_IXUSR ? 's' : 'S';
	if (m & S_ISGID)
		out[6] = m & S_IXGRP ? 's' : 'S';
	if (m & S_ISVTX)
		out[9] = m & S_IXOTH ? 't' : 'T';
	out[10] = ' ';
	if (en->flags & (ENTRY_UNREADABLE | ENTRY_PARTIAL_LIST))
		out[10] = '!';
	else if (en->flags & ENTRY_TORN)
		out[10] = '~';
	else if (en->flags & ENTRY_XATTRS)
		out[10] = '+';
	out[11] = '\0';
}

/* The name of an id in the record's table, else its number. */
static const char *
id_name(char out[PATH_SHOW_LEN], const struct record_name *table, size_t count,
	uint32_t id)
{
	size_t lo = 0;
	size_t hi = count;
	size_t mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (table[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < count && table[lo].id == id)
		return path_show_in(out, table[lo].name,
				    strlen(table[lo].name));
	(void)snprintf(out, PATH_SHOW_LEN, "%u", id);
	return out;
}

static const char *
size_text(char out[UI_TEXT_LEN], const struct entry *en)
{
	unsigned long long size = en->size;

	if (en->type == ENTRY_SYMLINK)
		size = en->target_len;
	if (en->type == ENTRY_CHAR || en->type == ENTRY_BLOCK)
		(void)snprintf(out, UI_TEXT_LEN, "%u, %u", en->major,
			       en->minor);
	else if (en->type == ENTRY_FILE || en->type == ENTRY_SYMLINK)
		(void)snprintf(out, UI_TEXT_LEN, "%llu", size);
	else
		(void)snprintf(out, UI_TEXT_LEN, "-");
	return out;
}

static int
print_facts(const struct listing *l, const struct node *n, struct err *e)
{
	const struct entry *en = &n->entry;
	const struct record *r = &l->gen->record;
	char mode[12];
	char owner[PATH_SHOW_LEN];
	char group[PATH_SHOW_LEN];
	char size[UI_TEXT_LEN];
	char when[TIME_TEXT_LEN];
	uint64_t nlink;

	if (view_nlink(l->gen, n, &nlink, e) < 0)
		return -1;
	mode_text(mode, en);
	(void)ui_time(when, en->mtime);
	ui_printf("%s %3llu %-*s %-*s %11s %.16s ", mode,
		  (unsigned long long)nlink, l->owner_width,
		  id_name(owner, r->user, r->user_count, en->uid),
		  l->group_width,
		  id_name(group, r->group, r->group_count, en->gid),
		  size_text(size, en), when);
	return 0;
}

static int
print_text(const struct listing *l, const struct node *n, const void *name,
	   size_t len, struct err *e)
{
	if (l->lines && print_facts(l, n, e) < 0)
		return -1;
	if (l->null) {
		ui_write(name, len);
		ui_write("", 1);
		return 0;
	}
	ui_show(name, len);
	if (l->lines && n->entry.type == ENTRY_SYMLINK) {
		ui_printf(" -> ");
		ui_show(n->entry.target, n->entry.target_len);
	}
	ui_printf("\n");
	return 0;
}

/* --- one JSON object ------------------------------------------------------ */

static const char *
type_name(unsigned type)
{
	static const char *const names[] = {
		"unknown",          "file",         "directory", "symlink",
		"character-device", "block-device", "fifo",      "socket"
	};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : names[0];
}

static void
put_owner(struct json *j, const struct record *r, const struct entry *en)
{
	char name[PATH_SHOW_LEN];

	json_put_u64(j, "uid", en->uid);
	json_put_u64(j, "gid", en->gid);
	json_put_text(j, "user",
		      id_name(name, r->user, r->user_count, en->uid));
	json_put_text(j, "group",
		      id_name(name, r->group, r->group_count, en->gid));
}

static void
put_flags(struct json *j, const struct entry *en)
{
	static const struct {
		uint32_t flag;
		const char *key;
	} table[] = {
		{ ENTRY_RACY, "racy" },
		{ ENTRY_TORN, "torn" },
		{ ENTRY_UNREADABLE, "unreadable" },
		{ ENTRY_PARTIAL_LIST, "partial_listing" },
		{ ENTRY_XATTRS, "xattrs" },
	};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (en->flags & table[i].flag)
			json_put_bool(j, table[i].key, true);
}

static int
print_json(const struct listing *l, const struct node *n, const void *path,
	   size_t len, struct err *e)
{
	const struct entry *en = &n->entry;
	struct json j = json_object_begin();
	char mode[8];
	uint64_t nlink;

	if (view_nlink(l->gen, n, &nlink, e) < 0) {
		json_clear(&j);
		return -1;
	}
	(void)snprintf(mode, sizeof(mode), "%04o", en->mode & 07777u);
	json_put_name(&j, "path", path, len);
	json_put_text(&j, "type", type_name(en->type));
	json_put_text(&j, "mode", mode);
	put_owner(&j, &l->gen->record, en);
	json_put_u64(&j, "inode", n->ino);
	json_put_u64(&j, "links", nlink);
	if (en->type == ENTRY_FILE)
		json_put_u64(&j, "size", en->size);
	json_put_time(&j, "mtime", en->mtime);
	json_put_time(&j, "ctime", en->ctime);
	if (en->flags & ENTRY_BTIME)
		json_put_time(&j, "btime", en->btime);
	if (en->type == ENTRY_SYMLINK)
		json_put_name(&j, "target", en->target, en->target_len);
	if (en->type == ENTRY_CHAR || en->type == ENTRY_BLOCK) {
		json_put_u64(&j, "major", en->major);
		json_put_u64(&j, "minor", en->minor);
	}
	put_flags(&j, en);
	return json_print(&j, true, e);
}

/* --- directories ---------------------------------------------------------- */

static int
print_entry(struct listing *l, const struct node *n, struct err *e)
{
	size_t start = l->recursive || l->json ? 0 : l->dir_len;
	const uint8_t *name = l->path.data + start;
	size_t len = l->path.len - start;

	return l->json ? print_json(l, n, name, len, e)
		       : print_text(l, n, name, len, e);
}

/* Returns 1, with its name at the end of the path, at what is to be entered. */
static int
on_entry(void *ctx, const struct node *n, uint64_t position, struct err *e)
{
	struct listing *l = ctx;
	int rc;

	if (!ui_writable())
		return 1;
	if (cli_check_cancel(e) < 0)
		return -1;
	l->path.len = l->dir_len;
	buf_add(&l->path, n->entry.name, n->entry.name_len);
	if (buf_ok(&l->path, e) < 0)
		return -1;
	rc = print_entry(l, n, e);
	l->next = position + 1;
	if (rc == 0 && l->recursive && n->entry.type == ENTRY_DIR)
		return 1;
	return rc;
}

/* Enter the directory whose name is at the end of the path. */
static int
enter(struct listing *l, struct err *e)
{
	struct level *top = &l->level[l->depth - 1];
	struct level *more;
	size_t cap;
	int rc;

	if (l->depth == l->cap) {
		cap = 2 * l->cap;
		more = mem_resize(l->level, cap, sizeof(*more));
		if (more == NULL)
			return err_nomem(e);
		l->level = more;
		l->cap = cap;
		top = &l->level[l->depth - 1];
	}
	top[1] = (struct level){ .dir_len = l->path.len + 1 };
	rc = view_lookup(l->gen, &top->dir, l->path.data + l->dir_len,
			 l->path.len - l->dir_len, &top[1].dir, e);
	if (rc != 0)
		return rc < 0 ? -1
			      : err_set(e, ERR_CORRUPT,
					"a directory lists a name that "
					"it does not find");
	top->next = l->next;
	buf_add_char(&l->path, '/');
	l->depth++;
	return 0;
}

/*
 * All that the deepest directory holds, until one is entered: 1; or to its
 * end, and back to the one above: 0.
 */
static int
step(struct listing *l, struct err *e)
{
	struct level *top = &l->level[l->depth - 1];
	int rc;

	l->dir_len = top->dir_len;
	l->next = top->next;
	rc = view_list(l->gen, &top->dir, l->next, on_entry, l, e);
	if (rc < 0)
		return -1;
	if (rc == 1 && ui_writable())
		return enter(l, e);
	node_clear(&top->dir);
	l->depth--;
	return 0;
}

/*
 * The directory whose path, with a slash, stands in l->path; takes *dir over.
 * The levels are kept here and not on the stack, because nothing limits how
 * deep directories are.
 */
static int
list_directory(struct listing *l, struct node *dir, struct err *e)
{
	int rc = 0;

	l->cap = LEVELS_MIN;
	l->level = mem_array(l->cap, sizeof(*l->level));
	if (l->level == NULL) {
		node_clear(dir);
		return err_nomem(e);
	}
	l->level[0] = (struct level){ *dir, 0, l->path.len };
	l->depth = 1;
	while (rc == 0 && l->depth > 0)
		rc = step(l, e);
	while (l->depth > 0)
		node_clear(&l->level[--l->depth].dir);
	mem_free(l->level);
	return rc;
}

/* --- the command ---------------------------------------------------------- */

static int
widest(const struct record_name *table, size_t count)
{
	size_t width = 4;
	size_t i;

	for (i = 0; i < count; i++)
		if (strlen(table[i].name) > width)
			width = strlen(table[i].name);
	return width < 16 ? (int)width : 16;
}

/* The place that was asked for: what it holds, or the thing itself. */
static int
list_place(struct listing *l, struct place *p, bool itself, struct err *e)
{
	struct node n = { 0 };
	int rc = view_path(p->gen, buf_str(&p->path), &n, e);

	if (rc == 1)
		return cli_no_path(p, e);
	if (rc < 0)
		return -1;
	if (p->path.len > 1)
		buf_add(&l->path, p->path.data, p->path.len);
	if (n.entry.type == ENTRY_DIR && !itself) {
		buf_add_char(&l->path, '/');
		return list_directory(l, &n, e);
	}
	/* Under the name by which it was asked for. */
	if (p->path.len == 1)
		buf_add_char(&l->path, '/');
	rc = buf_ok(&l->path, e);
	if (rc == 0)
		rc = print_entry(l, &n, e);
	node_clear(&n);
	return rc;
}

static int
run(struct cli *c, struct err *e)
{
	const struct opts *o = &c->opts;
	struct place p = { 0 };
	struct listing l = {
		.lines = opt_given(o, "long"),
		.recursive = opt_given(o, "recursive"),
		.null = opt_given(o, "null"),
		.json = c->json,
	};
	int rc;

	if (cli_place(c, o->arg[0], &p, e) < 0)
		return -1;
	l.gen = p.gen;
	l.owner_width = widest(p.gen->record.user, p.gen->record.user_count);
	l.group_width = widest(p.gen->record.group, p.gen->record.group_count);
	rc = list_place(&l, &p, opt_given(o, "directory"), e);
	buf_clear(&l.path);
	place_clear(&p);
	return rc;
}

const struct command cmd_ls = {
	.name = "ls",
	.summary = "list files of a generation",
	.operands = "GEN[:PATH]",
	.operand = OPERAND_GENERATION,
	.args_min = 1,
	.args_max = 1,
	.about = "List what the directory PATH of generation GEN holds, or "
		 "its top directory. Symbolic links are not followed.  "
		 "Behind the mode, + means extended attributes, ~ changed "
		 "while it was read, ! could not be read.",
	.examples = "asof ls -r /backup/repo -l latest:/etc\n"
		    "asof ls -r /backup/repo -R --json 42 | jq -r .path",
	.options = options,
	.need = NEED_STORE,
	.session = "view",
	.json = true,
	.run = run,
};
