/*
 * The calling thread walks the tree in preorder, makes directories, and
 * puts everything else into batches; workers restore the batches, in the
 * order of the walk, which is also the order in which the contents lie in
 * the packs.  A batch is about as much data as a frame holds and goes on
 * from one directory to the next, so that a frame is decoded by one worker,
 * once.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/restore_internal.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/pool.h"
#include "base/sys.h"
#include "base/time.h"
#include "src/engine/listing.h"
#include "store/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_ITEMS 64
#define BATCH_BYTES (UINT64_C(1) << 20) /* of content */
#define BATCH_META  ((size_t)256 << 10) /* of entries */
#define QUEUE       32                  /* batches that wait */
#define TICK_NS     UINT64_C(100000000)

/* --- telling ---------------------------------------------------------------- */

bool
restore_is_fatal(const struct err *why, bool damage)
{
	if (why->kind == ERR_NOMEM || why->kind == ERR_CANCELLED)
		return true;
	return !damage && why->kind == ERR_SYS &&
	       (why->saved_errno == ENOSPC || why->saved_errno == EDQUOT);
}

/* Stop the run for this reason; takes it over. */
static void
stop_run(struct run *run, struct err *why)
{
	(void)pthread_mutex_lock(&run->report);
	err_move(&run->why, why);
	(void)pthread_mutex_unlock(&run->report);
	atomic_store(&run->stop, true);
}

bool
restore_stopped(struct run *run)
{
	struct err why = { 0 };

	if (atomic_load_explicit(&run->stop, memory_order_relaxed))
		return true;
	if (run->opt->cancel == NULL || *run->opt->cancel == 0)
		return false;
	(void)err_set(&why, ERR_CANCELLED, "restore cancelled");
	stop_run(run, &why);
	return true;
}

void
restore_tell(struct run *run, const struct target_dir *d, const void *name,
	     size_t len, struct err *why, bool damage)
{
	char shown[PATH_SHOW_LEN];
	struct buf path = { 0 };
	const char *s;

	target_path(d, name, len, &path);
	s = buf_str(&path);
	if (restore_is_fatal(why, damage)) {
		if (why->kind != ERR_CANCELLED)
			(void)err_prefix(why, "restore %s",
					 path_show_in(shown, s, strlen(s)));
		stop_run(run, why);
	} else {
		(void)pthread_mutex_lock(&run->report);
		if (run->opt->failed != NULL)
			run->opt->failed(run->opt->ctx, s, why, damage);
		(void)pthread_mutex_unlock(&run->report);
	}
	buf_clear(&path);
}

void
restore_tick(struct run *run)
{
	uint64_t now;

	if (run->opt->progress == NULL ||
	    pthread_mutex_trylock(&run->report) != 0)
		return;
	now = time_monotonic_ns();
	if (now - run->told_at >= TICK_NS) {
		run->told_at = now;
		run->opt->progress(run->opt->ctx, atomic_load(&run->done_files),
				   atomic_load(&run->done_bytes));
	}
	(void)pthread_mutex_unlock(&run->report);
}

void
restore_add(struct run *run, const struct restore_result *part)
{
	(void)pthread_mutex_lock(&run->report);
	run->sum.files += part->files;
	run->sum.dirs += part->dirs;
	run->sum.others += part->others;
	run->sum.links += part->links;
	run->sum.bytes += part->bytes;
	run->sum.failed += part->failed;
	run->sum.damaged += part->damaged;
	run->sum.unreadable += part->unreadable;
	(void)pthread_mutex_unlock(&run->report);
}

/* --- batches ---------------------------------------------------------------- */

/* Entries that one worker restores, in order. */
struct batch {
	struct run *run;
	uint64_t content; /* bytes of files in it */
	struct buf bytes; /* the entries, encoded */
	size_t count;
	struct {
		struct target_dir *dir; /* held once for each run of equals */
		size_t from, len;       /* in bytes */
	} item[BATCH_ITEMS];
};

static int
restore_entry(struct job *j, struct err *e)
{
	if (!path_name_ok(j->en->name, j->en->name_len)) {
		j->damage = true;
		return err_set(e, ERR_CORRUPT, "its name is none");
	}
	memcpy(j->name, j->en->name, j->en->name_len);
	j->name[j->en->name_len] = '\0';
	if ((j->en->flags & ENTRY_UNREADABLE) != 0) {
		j->sum->unreadable++;
		return err_set(e, ERR_MISSING,
			       "it was not readable when it was backed up");
	}
	if ((j->en->flags & ENTRY_LINKED) == 0)
		return place_new(j, e);
	return relink_restore(j->run->relink, j, e);
}

static void
restore_item(struct batch *b, size_t i, int dirfd, struct restore_result *sum)
{
	struct err why = { 0 };
	struct entry en;
	struct job j = {
		.run = b->run,
		.dir = b->item[i].dir,
		.dirfd = dirfd,
		.en = &en,
		.fd = -1,
		.link_fd = -1,
		.sum = sum,
	};

	if (entry_decode(b->bytes.data + b->item[i].from, b->item[i].len, false,
			 &en, &why) < 0) {
		sum->failed++;
		sum->damaged++;
		restore_tell(b->run, j.dir, NULL, 0, &why, true);
		return;
	}
	if (restore_entry(&j, &why) < 0)
		place_tell(&j, &why);
	atomic_fetch_add(&b->run->done_files, 1);
}

static void
free_batch(struct batch *b)
{
	if (b == NULL)
		return;
	buf_clear(&b->bytes);
	mem_free(b);
}

/* The items from `i` on that are in one directory; where they end. */
static size_t
restore_dir_items(struct batch *b, size_t i, struct restore_result *sum)
{
	struct run *run = b->run;
	struct target_dir *dir = b->item[i].dir;
	struct err why = { 0 };
	size_t from = i;
	int fd = -1;

	if (!restore_stopped(run))
		fd = target_pin(dir, &why);
	for (; i < b->count && b->item[i].dir == dir; i++)
		if (fd >= 0 && !restore_stopped(run))
			restore_item(b, i, fd, sum);
	if (fd >= 0) {
		target_unpin(dir);
	} else if (why.kind != ERR_NONE) {
		sum->failed += i - from;
		restore_tell(run, dir, NULL, 0, &why, false);
	}
	target_done(dir);
	return i;
}

static void
restore_batch(void *arg)
{
	struct batch *b = arg;
	struct restore_result sum = { 0 };
	size_t i = 0;

	while (i < b->count)
		i = restore_dir_items(b, i, &sum);
	restore_add(b->run, &sum);
	restore_tick(b->run);
	free_batch(b);
}

/* --- the walk --------------------------------------------------------------- */

/* A directory on the way down, and where to go on in it. */
struct level {
	struct target_dir *dir;
	struct tree_root root;
	uint64_t next;
};

struct walk {
	struct run *run;
	struct level *level;
	size_t depth, cap;
	struct listing list; /* of the deepest level */
	struct batch *batch;
	struct restore_result sum;
};

static void
submit(struct walk *w)
{
	struct batch *b = w->batch;

	w->batch = NULL;
	if (b != NULL)
		pool_submit(w->run->pool, restore_batch, b);
}

/* Append the entry to the batch. */
static int
add_item(struct batch *b, struct target_dir *dir, const struct entry *en,
	 struct err *e)
{
	size_t from = b->bytes.len;

	if (en->bytes != NULL)
		buf_add(&b->bytes, en->bytes, en->len);
	else if (entry_encode(en, &b->bytes, e) < 0)
		return -1;
	if (buf_ok(&b->bytes, e) < 0)
		return -1;
	if (b->count == 0 || b->item[b->count - 1].dir != dir)
		target_hold(dir);
	b->item[b->count].dir = dir;
	b->item[b->count].from = from;
	b->item[b->count].len = b->bytes.len - from;
	b->count++;
	b->content += en->type == ENTRY_FILE ? en->size : 0;
	return 0;
}

static int
add_to_batch(struct walk *w, struct target_dir *dir, const struct entry *en,
	     struct err *e)
{
	uint64_t size = en->type == ENTRY_FILE ? en->size : 0;

	if (w->batch != NULL &&
	    (size >= BATCH_BYTES || w->batch->content >= BATCH_BYTES - size))
		submit(w);
	if (w->batch == NULL) {
		w->batch = mem_zalloc(sizeof(*w->batch));
		if (w->batch == NULL)
			return err_nomem(e);
		w->batch->run = w->run;
	}
	if (add_item(w->batch, dir, en, e) < 0)
		return -1;
	if (w->batch->count == BATCH_ITEMS || size >= BATCH_BYTES ||
	    w->batch->bytes.len >= BATCH_META)
		submit(w);
	return 0;
}

static int
push_level(struct walk *w, struct target_dir *dir, const struct tree_root *root,
	   struct err *e)
{
	struct level *more;
	size_t cap = w->cap == 0 ? 64 : w->cap * 2;

	if (w->depth == w->cap) {
		more = mem_resize(w->level, cap, sizeof(*more));
		if (more == NULL)
			return err_nomem(e);
		w->level = more;
		w->cap = cap;
	}
	if (w->depth > 0)
		w->level[w->depth - 1].next = w->list.next;
	listing_clear(&w->list);
	w->level[w->depth].dir = dir;
	w->level[w->depth].root = *root;
	w->level[w->depth].next = 0;
	w->depth++;
	listing_init(&w->list, w->run->gen->reader, root, 0);
	return 0;
}

static void
pop_level(struct walk *w)
{
	struct level *top = &w->level[--w->depth];

	listing_clear(&w->list);
	target_done(top->dir);
	if (w->depth > 0)
		listing_init(&w->list, w->run->gen->reader, &top[-1].root,
			     top[-1].next);
}

/* Tell of a directory entry that is left out, with all that is in it. */
static void
tell_dir(struct walk *w, const struct target_dir *parent,
	 const struct entry *en, struct err *why, bool damage)
{
	w->sum.failed += entry_inodes(en);
	w->sum.damaged += damage ? entry_inodes(en) : 0;
	restore_tell(w->run, parent, en->name, en->name_len, why, damage);
}

/* 0 also when the directory is left out; -1 when the run is over. */
static int
walk_dir(struct walk *w, struct target_dir *parent, const struct entry *en,
	 enum restore_wish wish, struct err *e)
{
	struct tree_root root = en->dir;
	struct target_dir *dir;
	struct err why = { 0 };

	if (!path_name_ok(en->name, en->name_len)) {
		(void)err_set(&why, ERR_CORRUPT, "its name is none");
		tell_dir(w, parent, en, &why, true);
		return 0;
	}
	if ((en->flags & ENTRY_UNREADABLE) != 0) {
		(void)err_set(&why, ERR_MISSING,
			      "it was not readable when it was backed up");
		w->sum.unreadable++;
		tell_dir(w, parent, en, &why, false);
		return 0;
	}
	if (target_enter(parent, en, wish, &dir, &why) < 0) {
		tell_dir(w, parent, en, &why, false);
		return 0;
	}
	w->sum.dirs++;
	atomic_fetch_add(&w->run->done_files, 1);
	if ((en->flags & ENTRY_PARTIAL_LIST) != 0) {
		(void)err_set(&why, ERR_MISSING,
			      "some of the names in it could not be read when "
			      "it was backed up");
		w->sum.failed++;
		w->sum.unreadable++;
		restore_tell(w->run, parent, en->name, en->name_len, &why,
			     false);
	}
	if (push_level(w, dir, &root, e) < 0) {
		target_done(dir);
		return -1;
	}
	return 0;
}

/* Of what goes into a directory that we cannot open. */
static void
tell_blind(struct walk *w, const struct target_dir *parent,
	   const struct entry *en)
{
	struct err why = { 0 };

	errno = EACCES;
	(void)err_sys(&why, "open its directory");
	w->sum.failed++;
	restore_tell(w->run, parent, en->name, en->name_len, &why, false);
}

static enum restore_wish
ask(const struct walk *w, const struct target_dir *parent,
    const struct entry *en, struct err *e)
{
	const struct restore_options *opt = w->run->opt;
	enum restore_wish wish = RESTORE_SKIP;
	struct buf path = { 0 };

	if (opt->wants == NULL)
		return RESTORE_TAKE;
	target_path(parent, en->name, en->name_len, &path);
	(void)buf_str(&path);
	if (buf_ok(&path, e) == 0)
		wish = opt->wants(opt->ctx, buf_str(&path), en);
	buf_clear(&path);
	return wish;
}

static int
walk_entry(struct walk *w, struct target_dir *parent, const struct entry *en,
	   struct err *e)
{
	struct err why = { 0 };
	enum restore_wish wish = ask(w, parent, en, &why);

	if (why.kind != ERR_NONE) {
		err_move(e, &why);
		return -1;
	}
	if (wish == RESTORE_SKIP)
		return 0;
	if (en->type == ENTRY_DIR)
		return walk_dir(w, parent, en, wish, e);
	if (parent->blind) {
		tell_blind(w, parent, en);
		return 0;
	}
	return add_to_batch(w, parent, en, e);
}

/* One entry of the deepest level, or its end. */
static int
walk_step(struct walk *w, struct err *e)
{
	struct target_dir *dir = w->level[w->depth - 1].dir;
	struct err why = { 0 };
	struct entry en;
	uint64_t lost;
	int rc;

	rc = listing_next(&w->list, &en, &lost, &why);
	switch (rc) {
	case 0:
		pop_level(w);
		return 0;
	case 1:
		return walk_entry(w, dir, &en, e);
	case 2:
		(void)err_prefix(&why, "%" PRIu64 " %s lost", lost,
				 lost == 1 ? "name in it is" :
					     "names in it are");
		w->sum.failed += lost > 0 ? lost : 1;
		w->sum.damaged += lost > 0 ? lost : 1;
		restore_tell(w->run, dir, NULL, 0, &why, true);
		return 0;
	default:
		err_move(e, &why);
		return -1;
	}
}

/* Everything, or what `n` is, into the target directory. */
static void
walk_all(struct run *run, const struct node *n, bool contents)
{
	struct walk w = { .run = run };
	struct target_dir *top = target_top(run->target);
	struct err why = { 0 };
	int rc;

	if (contents) {
		target_hold(top);
		rc = push_level(&w, top, &n->entry.dir, &why);
		if (rc < 0)
			target_done(top);
	} else {
		rc = walk_entry(&w, top, &n->entry, &why);
	}
	while (rc == 0 && w.depth > 0 && !restore_stopped(run))
		rc = walk_step(&w, &why);
	if (rc < 0)
		stop_run(run, &why);
	submit(&w);
	while (w.depth > 0)
		pop_level(&w);
	mem_free(w.level);
	pool_drain(run->pool);
	relink_free(run->relink);
	run->relink = NULL;
	target_done(top);
	restore_add(run, &w.sum);
}

/* --- the run ---------------------------------------------------------------- */

static void
dir_failed(void *ctx, const struct target_dir *d, const struct err *why,
	   bool damage)
{
	struct run *run = ctx;
	struct restore_result one = { .failed = 1, .damaged = damage };
	struct err copy = *why;

	restore_tell(run, d, NULL, 0, &copy, damage);
	restore_add(run, &one);
}

/* What the run will come to, as far as that is known beforehand. */
static void
set_totals(struct run *run, const struct node *n, bool contents)
{
	const struct record *rec = &run->gen->record;

	run->sum.total_files = entry_inodes(&n->entry) - contents;
	if (n->entry.type == ENTRY_FILE)
		run->sum.total_bytes = n->entry.size;
	else if (n->entry.name_len == 0)
		run->sum.total_bytes = rec->counts.bytes;
}

static int
find_start(struct view_gen *g, const char *path, bool *contents,
	   struct node *out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	int rc;

	if (path == NULL || strcmp(path, "/") == 0) {
		*contents = true;
		return view_top(g, out, e);
	}
	(void)path_show_in(shown, path, strlen(path));
	rc = view_path(g, path, out, e);
	if (rc > 0)
		return err_set(e, ERR_MISSING, "no %s in generation %u", shown,
			       (unsigned)g->number);
	if (rc == 0 && *contents && out->entry.type != ENTRY_DIR) {
		node_clear(out);
		return err_set(e, ERR_USAGE, "%s is not a directory", shown);
	}
	return rc;
}

/* The path in the generation of what the target directory stands for. */
static int
top_path(const char *path, bool contents, struct buf *out, struct err *e)
{
	if (path != NULL && strcmp(path, "/") != 0)
		buf_add(out, path,
			contents ? strlen(path)
				 : (size_t)(strrchr(path, '/') - path));
	(void)buf_str(out);
	return buf_ok(out, e);
}

/* The process's umask can only be asked for by setting it. */
static mode_t
current_umask(void)
{
	mode_t now = umask(077);

	(void)umask(now);
	return now;
}

/*
 * What is restored must not become part of the repository that it comes from.
 * If the target is yet to be made, what it will be made in is looked at.
 */
static int
check_place(const struct run *run, struct err *e)
{
	const struct repository *r = run->opt->repository;
	char shown[PATH_SHOW_LEN];
	struct buf path = { 0 };
	size_t len;
	int rc = 0;
	int fd;

	if (r == NULL)
		return 0;
	buf_add_str(&path, run->opt->at != NULL ? "." : run->opt->to);
	for (;;) {
		if (buf_str(&path) == NULL || buf_ok(&path, e) < 0) {
			buf_clear(&path);
			return -1;
		}
		fd = target_openat(run->opt->at != NULL ? *run->opt->at
							: AT_FDCWD,
				   buf_str(&path),
				   O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (fd >= 0 || errno != ENOENT ||
		    strcmp(buf_str(&path), ".") == 0)
			break;
		for (len = path.len; len > 0 && path.data[len - 1] != '/';)
			len--;
		while (len > 1 && path.data[len - 1] == '/')
			len--;
		path.len = len;
		if (len == 0)
			buf_add_char(&path, '.');
	}
	buf_clear(&path);
	if (fd < 0)
		return 0; /* making it will tell what is wrong */
	if (repository_above(r->fd, fd))
		rc = err_set(e, ERR_USAGE, "%s lies in the repository",
			     path_show_in(shown, run->opt->to,
					  strlen(run->opt->to)));
	(void)sys_target->close(fd);
	return rc;
}

static int
start_run(struct run *run, const char *top, const struct entry *entry,
	  struct err *e)
{
	const struct restore_options *opt = run->opt;
	struct target_options target = {
		.to = opt->to,
		.at = opt->at,
		.existing = opt->existing,
		.reader = run->gen->reader,
		.entry = entry,
		.path = top,
		.sync = opt->sync,
		.failed = dir_failed,
		.ctx = run,
	};
	size_t threads = opt->threads;

	if (check_place(run, e) < 0)
		return -1;
	if (threads == 0)
		threads = pool_cpus() + 2;
	if (attrs_new(&run->gen->record, opt->numeric_ids,
		      opt->no_owner || geteuid() != 0, &run->attrs, e) < 0 ||
	    relink_new(run, &run->relink, e) < 0)
		return -1;
	target.attrs = run->attrs;
	if (target_open(&target, &run->target, e) < 0)
		return -1;
	if (pool_new(threads, QUEUE, &run->pool, e) < 0) {
		target_done(target_top(run->target));
		return -1;
	}
	return 0;
}

int
restore_run(struct view_gen *g, const char *path, bool contents,
	    const struct restore_options *opt, struct restore_result *out,
	    struct err *e)
{
	struct run run = { .gen = g, .opt = opt };
	struct node start = { 0 };
	struct buf top = { 0 };
	int rc = -1;

	if (find_start(g, path, &contents, &start, e) < 0)
		return -1;
	(void)pthread_mutex_init(&run.report, NULL);
	run.umask = current_umask();
	set_totals(&run, &start, contents);
	if (top_path(path, contents, &top, e) < 0 ||
	    start_run(&run, buf_str(&top), contents ? &start.entry : NULL, e) <
		    0)
		goto out;
	walk_all(&run, &start, contents);
	rc = 0;
out:
	pool_free(run.pool);
	relink_free(run.relink);
	target_close(run.target);
	attrs_free(run.attrs);
	buf_clear(&top);
	node_clear(&start);
	(void)pthread_mutex_destroy(&run.report);
	*out = run.sum;
	if (run.why.kind != ERR_NONE) {
		err_move(e, &run.why);
		rc = -1;
	}
	return rc;
}
