/*
 * Neither the session's lock nor an open catalogue nor a thread survives a fork,
 * so all forking is done before anything is opened: into the background
 * (detach.h), for control files, and into supervisor and server (fuse/mount.h).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/cmd.h"

#include "base/err.h"
#include "base/path.h"
#include "fuse/control.h"
#include "fuse/counts.h"
#include "fuse/mount.h"
#include "src/cli/detach.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/engine/view.h"
#include "store/repository.h"
#include "store/store.h"

#include <string.h>

#define CACHE_DEFAULT (UINT64_C(64) << 20)
#define CACHE_MIN     (UINT64_C(1) << 20)

/* clang-format off */
static const struct opt options[] = {
	{ .name = "at", .letter = 'a', .kind = OPT_TEXT, .value = "GEN[:PATH]",
	  .help = "show this tree alone" },
	{ .name = "foreground", .letter = 'f',
	  .help = "stay in the foreground" },
	{ .name = "allow-other", .help = "let other users in, as modes allow" },
	{ .name = "nonempty", .help = "also over a folder with files" },
	{ .name = "cache", .kind = OPT_SIZE, .value = "SIZE",
	  .help = "of memory for caches; default: 64M" },
	{ .name = "no-sandbox", .help = "do not lock the server down" },
	{ .name = "no-control", .help = "start no control files beside it" },
	{ .name = "ready-fd", .kind = OPT_NUMBER, .value = "N",
	  .help = "write a newline to descriptor N when mounted" },
	{ .name = "options", .letter = 'o', .kind = OPT_TEXT, .value = "OPTS",
	  .help = "mount options, as for mount(8)" },
	{ .name = "stats",
	  .help = "mount nothing; tell what a mount has been asked for" },
	{ 0 },
};
/* clang-format on */

/* What the words ask for; `at` and `rest` hold what `mount` points to. */
struct request {
	struct mount_options mount;
	struct mount_link link;
	int user_fd; /* --ready-fd, or -1 */
	struct buf at;
	struct buf rest; /* mount options for the kernel */
	bool no_control;
	struct buf control; /* what leads to control files; empty: nothing */
};

/* --- mount options -------------------------------------------------------- */

/* Those that mean nothing for us, or what we do anyway. */
static bool
is_idle(const char *o)
{
	static const char *const words[] = {
		"rw",     "ro",      "defaults", "auto",  "noauto",
		"user",   "nouser",  "users",    "owner", "group",
		"nofail", "_netdev", "dev",      "nodev", "suid",
		"nosuid", "exec",    "async",    "sync",
	};
	size_t i;

	if (strncmp(o, "x-", 2) == 0 || strncmp(o, "comment=", 8) == 0)
		return true;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(o, words[i]) == 0)
			return true;
	return false;
}

static int
set_cache(struct request *q, uint64_t len, struct err *e)
{
	if (len < CACHE_MIN || len > SIZE_MAX)
		return err_set(e, ERR_USAGE, "mount: the cache is 1M at least");
	q->mount.cache_len = (size_t)len;
	return 0;
}

static int
take_mount_option(struct request *q, const char *o, struct err *e)
{
	uint64_t n;

	if (o[0] == '\0' || is_idle(o))
		return 0;
	if (strncmp(o, "at=", 3) == 0) {
		buf_reset(&q->at);
		buf_add_str(&q->at, o + 3);
	} else if (strcmp(o, "allow_other") == 0) {
		q->mount.allow_other = true;
	} else if (strcmp(o, "nonempty") == 0) {
		q->mount.nonempty = true;
	} else if (strcmp(o, "no_sandbox") == 0) {
		q->mount.no_sandbox = true;
	} else if (strcmp(o, "no_control") == 0) {
		q->no_control = true;
	} else if (strncmp(o, "cache=", 6) == 0) {
		if (!opt_size_parse(o + 6, &n))
			return err_set(e, ERR_USAGE,
				       "mount: cache= is a size such as 64M");
		return set_cache(q, n, e);
	} else {
		if (q->rest.len > 0)
			buf_add_char(&q->rest, ',');
		buf_add_str(&q->rest, o);
	}
	return 0;
}

/* "a,b=c,d": a comma or backslash inside an option has a backslash before. */
static int
take_mount_options(struct request *q, const char *list, struct err *e)
{
	struct buf one = { 0 };
	int rc = 0;

	for (; rc == 0; list++) {
		if (list[0] == ',' || list[0] == '\0') {
			rc = take_mount_option(q, buf_str(&one), e);
			buf_reset(&one);
			if (list[0] == '\0')
				break;
			continue;
		}
		if (list[0] == '\\' && list[1] != '\0')
			list++;
		buf_add_char(&one, list[0]);
	}
	if (rc == 0)
		rc = buf_ok(&one, e);
	buf_clear(&one);
	return rc;
}

/* --- the request ---------------------------------------------------------- */

/* Options after -o, in the order given; then those that have a name. */
static int
read_request(const struct opts *o, struct request *q, struct err *e)
{
	size_t i;

	q->mount.mountpoint = o->arg[0];
	q->mount.cache_len = CACHE_DEFAULT;
	q->user_fd = (int)opt_number(o, "ready-fd", UINT64_MAX);
	if (detach_check_fd("mount", q->user_fd, e) < 0)
		return -1;
	for (i = 0; i < o->values; i++)
		if (strcmp(o->value[i].opt->name, "options") == 0 &&
		    take_mount_options(q, o->value[i].text, e) < 0)
			return -1;
	if (opt_given(o, "at")) {
		buf_reset(&q->at);
		buf_add_str(&q->at, opt_text(o, "at"));
	}
	if (opt_given(o, "cache") &&
	    set_cache(q, opt_number(o, "cache", 0), e) < 0)
		return -1;
	if (opt_given(o, "allow-other"))
		q->mount.allow_other = true;
	if (opt_given(o, "nonempty"))
		q->mount.nonempty = true;
	if (opt_given(o, "no-sandbox"))
		q->mount.no_sandbox = true;
	if (opt_given(o, "no-control"))
		q->no_control = true;
	q->mount.foreground = opt_given(o, "foreground");
	if (buf_ok(&q->at, e) < 0 || buf_ok(&q->rest, e) < 0)
		return -1;
	q->mount.at_generation_arg = q->at.len > 0 ? buf_str(&q->at) : NULL;
	q->mount.fs_options = q->rest.len > 0 ? buf_str(&q->rest) : NULL;
	return 0;
}

/* --- --stats -------------------------------------------------------------- */

static int
stats_json(const struct counts_answer *a, struct err *e)
{
	struct json j = json_object_begin();
	size_t i;

	for (i = 0; i < a->rows; i++) {
		struct json one = json_object_begin();

		json_put_u64(&one, "requests", a->row[i].requests);
		json_put_u64(&one, "bytes", a->row[i].bytes);
		json_put(&j, a->row[i].name, &one);
	}
	return json_print(&j, false, e);
}

static void
stats_text(const struct counts_answer *a)
{
	char requests[UI_TEXT_LEN];
	char bytes[UI_TEXT_LEN];
	size_t i;

	for (i = 0; i < a->rows; i++) {
		const struct counts_row *r = &a->row[i];

		if (r->requests == 0)
			continue;
		ui_printf("%-*s %15s", COUNTS_NAME_LEN, r->name,
			  ui_count(requests, r->requests));
		if (r->bytes > 0)
			ui_printf("  %s", ui_size(bytes, r->bytes));
		ui_printf("\n");
	}
}

static int
stats(const struct cli *c, struct err *e)
{
	struct counts_answer a;
	size_t i;

	for (i = 0; i < c->opts.values; i++) {
		const char *name = c->opts.value[i].opt->name;
		const struct opt *o = options;

		while (o->name != NULL && strcmp(o->name, name) != 0)
			o++;
		if (o->name != NULL && strcmp(name, "stats") != 0)
			return err_set(e, ERR_USAGE,
				       "mount: --%s and --stats exclude each "
				       "other",
				       name);
	}
	if (counts_ask(c->opts.arg[0], &a, e) < 0)
		return -1;
	if (c->json)
		return stats_json(&a, e);
	stats_text(&a);
	return CODE_DONE;
}

/* --- the command ---------------------------------------------------------- */

/* One tree alone has no place for the link. */
static bool
has_control(const struct request *q)
{
	return !q->no_control && q->mount.at_generation_arg == NULL;
}

/* What is not there is the person's mistake; and better said at once. */
static int
check_at(struct cli *c, const char *at, struct err *e)
{
	struct place p = { 0 };
	struct node n = { 0 };
	int rc;

	if (at == NULL)
		return 0;
	if (cli_place(c, at, &p, e) < 0)
		return -1;
	rc = view_path(p.gen, buf_str(&p.path), &n, e);
	if (rc == 1)
		rc = cli_no_path(&p, e);
	else if (rc == 0)
		node_clear(&n);
	place_clear(&p);
	return rc;
}

static int
serve(struct cli *c, struct request *q, struct err *e)
{
	struct store_options so = {
		.frame_cache = q->mount.cache_len - q->mount.cache_len / 8,
		.block_cache = q->mount.cache_len / 8,
	};

	if (cli_open(c, NEED_STORE, "view", &so, e) < 0)
		return -1;
	if (check_at(c, q->mount.at_generation_arg, e) < 0)
		return -1;
	if (has_control(q) && control_link(c->repository->path,
					   c->repository->config.id,
					   &q->control))
		q->mount.control = buf_str(&q->control);
	q->mount.repository = c->repository;
	q->mount.store = c->store;
	q->mount.link = &q->link;
	return mount_run(&q->mount, e);
}

static int
run(struct cli *c, struct err *e)
{
	struct request q = { 0 };
	int code = CODE_DONE;
	int rc;

	if (opt_given(&c->opts, "stats"))
		return stats(c, e);
	if (c->json)
		return err_set(e, ERR_USAGE, "mount: --json is for --stats");
	rc = read_request(&c->opts, &q, e);
	q.mount.ready_fd = q.user_fd;
	if (rc == 0 && !q.mount.foreground)
		rc = detach("mount", q.user_fd, &q.mount.ready_fd, &code, e);
	if (rc == 0 && has_control(&q))
		control_start_beside(c, q.mount.foreground, q.mount.ready_fd);
	if (rc == 0)
		rc = mount_split(&q.mount, &q.link, &code, e);
	if (rc == 0)
		rc = serve(c, &q, e);
	buf_clear(&q.at);
	buf_clear(&q.rest);
	buf_clear(&q.control);
	return rc < 0 ? -1 : code;
}

const struct command cmd_mount = {
	.name = "mount",
	.summary = "show the generations as a folder",
	.operands = "MOUNTPOINT",
	.operand = OPERAND_DIR,
	.args_min = 1,
	.args_max = 1,
	.about = "Show all generations, or one tree, as a read-only folder "
		 "at MOUNTPOINT, until it is unmounted with umount or "
		 "fusermount3 -u.  New generations appear by themselves.  "
		 "Control files (asof control) are started beside it, unless "
		 "they are there already.  "
		 "With --stats: tell how often the kernel has asked the mount "
		 "at MOUNTPOINT for what.",
	.examples = "asof mount -r /backup/repo /mnt && ls /mnt/latest\n"
		    "asof mount -r /backup/repo --at latest:/home /mnt\n"
		    "mount -t fuse.asof /backup/repo /mnt -o at=42\n"
		    "asof mount --stats /mnt",
	.options = options,
	.json = true,
	.own_signals = true,
	.run = run,
};

/* --- being called by mount(8) --------------------------------------------- */

bool
mount_is_helper(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');
	const char *name = slash != NULL ? slash + 1 : argv0;

	return strcmp(name, "mount.asof") == 0 ||
	       strcmp(name, "mount.fuse.asof") == 0;
}

/* mount(8) may add: -s -n -v, -o OPTS, -N NAMESPACE, -t TYPE. */
/* clang-format off */
static const struct opt helper_options[] = {
	{ .name = "sloppy", .letter = 's' },
	{ .name = "no-mtab", .letter = 'n' },
	{ .name = "verbose", .letter = 'v' },
	{ .name = "namespace", .letter = 'N', .kind = OPT_TEXT,
	  .value = "NAMESPACE" },
	{ .name = "types", .letter = 't', .kind = OPT_TEXT, .value = "TYPE" },
	{ .name = "options", .letter = 'o', .kind = OPT_TEXT, .value = "OPTS" },
	{ 0 },
};
/* clang-format on */

int
mount_helper_words(int argc, const char *const *argv,
		   const char *out[MOUNT_HELPER_WORDS], struct err *e)
{
	const struct opt *tables[] = { helper_options, NULL };
	struct opts o = { 0 };
	int n = 0;
	int rc = opt_parse(tables, argc - 1, argv + 1, false, &o, e);

	if (rc == 0 && o.args != 2)
		rc = err_set(e, ERR_USAGE,
			     "usage: mount.fuse.asof REPOSITORY MOUNTPOINT "
			     "[-o OPTS]");
	if (rc == 0) {
		out[n++] = argv[0];
		out[n++] = "mount";
		out[n++] = "-r";
		out[n++] = o.arg[0];
		if (opt_given(&o, "options")) {
			out[n++] = "-o";
			out[n++] = opt_text(&o, "options");
		}
		out[n++] = "--";
		out[n++] = o.arg[1];
		out[n] = NULL;
	}
	opt_clear(&o);
	return rc < 0 ? -1 : n;
}
