/*
 * mount.c
 *
 * The server.  It opens and looks at everything first, has the mount made by
 * its supervisor (supervisor.h), locks itself down (sandbox.h), and only then
 * starts threads and answers.
 *
 * Threads: this one waits in libfuse's loop for its workers to end; one waits
 * for signals (loop.h says why); one looks for new generations (watch.h).
 *
 * The end by a signal: first the watch, while requests are still answered
 * (watch.h says why), then the workers.  The end by umount: the workers find
 * the device dead, the rest follows.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/mount.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"
#include "base/pool.h"
#include "fuse/device.h"
#include "fuse/file.h"
#include "fuse/fusesay.h"
#include "fuse/inode.h"
#include "fuse/link.h"
#include "fuse/loop.h"
#include "fuse/mountpoint.h"
#include "fuse/ops.h"
#include "fuse/prefetch.h"
#include "fuse/process.h"
#include "fuse/root.h"
#include "fuse/sandbox.h"
#include "fuse/statx.h"
#include "fuse/supervisor.h"
#include "fuse/vnode.h"
#include "fuse/watch.h"
#include "src/engine/view.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define CACHE_DEFAULT  ((size_t)64 << 20)
#define INODES_SHARE   16 /* one part in so many of the cache is for inodes, */
#define VERSIONS_SHARE 32 /* and twice one in so many for versions/ */
#define WORKERS_MIN    2

/* Ends the thread that waits for signals. */
#define SIGNAL_END SIGUSR2

struct server {
	const struct mount_options *opt;
	struct fs fs;
	struct buf mountpoint; /* absolute */
	struct fuse_session *session;
	struct watch *watch; /* the signal thread's until it has ended */

	struct loop loop;
	pthread_t signal_thread;
	bool has_signal_thread;
	sigset_t signals; /* that this thread waits for */
};

/* --- what is shown -------------------------------------------------------- */

/* The generation and the directory of "GEN[:PATH]". */
static int
open_at(struct server *s, const struct generation *g, const char *path,
	struct err *e)
{
	struct fs *fs = &s->fs;
	char shown[PATH_SHOW_LEN];
	struct node n;
	int rc;

	if (view_open(s->opt->store, g->number, &fs->at, e) < 0)
		return -1;
	(void)path_show_in(shown, path, strlen(path));
	rc = view_path(fs->at, path, &n, e);
	if (rc < 0)
		return -1;
	if (rc == 1)
		return err_set(e, ERR_MISSING, "generation %u: no %s",
			       g->number, shown);
	if (n.entry.type == ENTRY_DIR) {
		inodes_adopt(fs->inodes, fs->at);
		fs->at_ino = n.ino;
		fs->no_xattrs = (n.entry.flags & ENTRY_XATTRS) == 0 &&
				(n.entry.dir.flags & TREE_XATTRS) == 0;
	} else {
		rc = err_set(e, ERR_USAGE,
			     "generation %u: %s is not a directory", g->number,
			     shown);
	}
	node_clear(&n);
	return rc;
}

static int
show_one(struct server *s, const char *arg, struct err *e)
{
	struct generation_list list = { 0 };
	const struct generation *g;
	struct buf name = { 0 };
	struct buf path = { 0 };
	const char *typed = NULL;
	int rc = -1;

	if (generation_split(arg, &name, &typed, e) < 0 || buf_ok(&name, e) < 0)
		goto out;
	if (path_absolute("/", typed != NULL ? typed : "/", &path, e) < 0 ||
	    buf_ok(&path, e) < 0)
		goto out;
	if (generation_list_load(s->opt->repository, &list, e) < 0)
		goto out;
	if (generation_find(&list, buf_str(&name), &g, e) < 0)
		goto out;
	rc = open_at(s, g, buf_str(&path), e);
out:
	generation_list_clear(&list);
	buf_clear(&path);
	buf_clear(&name);
	return rc;
}

/*
 * A view of all follows the list, and its session says how far; a view of one
 * tree holds on to what there is now.
 */
static int
show_all(struct server *s, struct err *e)
{
	struct root_list *l;
	uint32_t highest;

	if (root_new(s->opt->repository, &s->fs.root, e) < 0)
		return -1;
	l = root_current(s->fs.root);
	highest = l->highest;
	root_list_unref(l);
	return session_epoch(store_session(s->opt->store), highest, e);
}

static int
make_fs(struct server *s, struct err *e)
{
	const struct mount_options *opt = s->opt;
	size_t cache = opt->cache_len > 0 ? opt->cache_len : CACHE_DEFAULT;

	s->fs.allow_other = opt->allow_other;
	s->fs.control = opt->control;
	s->fs.uid = geteuid();
	s->fs.gid = getegid();
	if (inodes_new(opt->store, cache / INODES_SHARE, &s->fs.inodes, e) < 0)
		return -1;
	if (files_new(s->fs.inodes, &s->fs.files, e) < 0)
		return -1;
	if (opt->at_generation_arg != NULL)
		return show_one(s, opt->at_generation_arg, e);
	s->fs.reader = store_reader(opt->store);
	if (vnodes_new(cache / VERSIONS_SHARE, &s->fs.vnodes, e) < 0)
		return -1;
	return show_all(s, e);
}

static void
free_fs(struct fs *fs)
{
	prefetch_free(fs->prefetch);
	files_free(fs->files);
	inodes_free(fs->inodes);
	vnodes_free(fs->vnodes);
	root_free(fs->root);
	view_unref(fs->at);
}

/* --- the session ---------------------------------------------------------- */

static int
make_session(struct server *s, struct err *e)
{
	const struct mount_options *opt = s->opt;
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct buf options = { 0 };
	int rc = device_options(opt, opt->repository->path, &options, e);

	if (rc == 0 && (fuse_opt_add_arg(&args, "asof") < 0 ||
			fuse_opt_add_arg(&args, "-o") < 0 ||
			fuse_opt_add_arg(&args, buf_str(&options)) < 0))
		rc = err_nomem(e);
	if (rc == 0) {
		s->session = fuse_session_new(&args, &ops_table,
					      sizeof(ops_table), &s->fs);
		if (s->session == NULL)
			rc = fusesay_failed(ERR_USAGE, opt->mountpoint, e);
	}
	fuse_opt_free_args(&args);
	buf_clear(&options);
	return rc;
}

/* Have it mounted; the session takes the device for its own. */
static int
mount_session(struct server *s, struct err *e)
{
	int device;

	if (link_mount(s->opt->link->socket, buf_str(&s->mountpoint),
		       s->opt->repository->path, &device, e) < 0)
		return -1;
	if (statx_attach(s->session, device, e) == 0)
		return 0;
	close(device);
	return -1;
}

/* --- signals -------------------------------------------------------------- */

/*
 * From here on a signal waits until somebody takes it, also when nobody does
 * any more: a server that is ending in good order goes on doing so.
 */
static int
block_signals(struct server *s, struct err *e)
{
	int rc;

	process_signals(SIGNAL_END, &s->signals);
	rc = pthread_sigmask(SIG_BLOCK, &s->signals, NULL);
	if (rc != 0) {
		errno = rc;
		return err_sys(e, "block signals");
	}
	(void)signal(SIGPIPE, SIG_IGN);
	return 0;
}

/* Whoever tells the kernel something may wait for an answer of ours. */
static void
stop_telling(struct server *s)
{
	watch_stop(s->watch);
	s->watch = NULL;
	prefetch_stop(s->fs.prefetch);
}

static void *
wait_for_signal(void *arg)
{
	struct server *s = arg;
	int number = 0;

	while (sigwait(&s->signals, &number) != 0 || number == SIGNAL_END)
		if (atomic_load(&s->loop.over))
			return NULL;
	stop_telling(s);
	(void)loop_end(&s->loop, 0);
	return NULL;
}

static int
start_threads(struct server *s, struct err *e)
{
	if (watch_start(&s->fs, s->opt->store, s->session, &s->watch, e) < 0)
		return -1;
	if (prefetch_start(&s->fs, s->session, &s->fs.prefetch, e) < 0)
		return -1;
	loop_prepare(&s->loop, s->session);
	if (pool_thread(&s->signal_thread, wait_for_signal, s, e) < 0)
		return -1;
	s->has_signal_thread = true;
	return 0;
}

static void
stop_threads(struct server *s)
{
	atomic_store(&s->loop.over, true);
	if (s->has_signal_thread) {
		(void)pthread_kill(s->signal_thread, SIGNAL_END);
		(void)pthread_join(s->signal_thread, NULL);
	}
	s->has_signal_thread = false;
	stop_telling(s);
}

/* --- closing the doors ---------------------------------------------------- */

static int
lock_down(const struct server *s, struct err *e)
{
	const struct mount_options *opt = s->opt;
	struct sandbox box = {
		.repository = opt->repository,
		.cache_path =
			store_cache_path(opt->store, &box.cache_temporary),
		.off = opt->no_sandbox,
	};

	return sandbox_enter(&box, e);
}

/* --- serving -------------------------------------------------------------- */

/* As many workers as there are processors; none is ended while idle. */
static int
answer(struct server *s, struct err *e)
{
	size_t cpus = pool_cpus();
	unsigned workers = cpus > WORKERS_MIN ? (unsigned)cpus : WORKERS_MIN;

	return loop_run(&s->loop, workers, workers, e);
}

/*
 * Have it mounted, lock the door, tell, and serve until the end.  The threads
 * come last, because a lock is on those that come after it.
 */
static int
serve(struct server *s, struct err *e)
{
	const struct mount_link *link = s->opt->link;
	int rc;

	if (mount_session(s, e) < 0 ||
	    (!s->opt->foreground && process_to_background(link->log, e) < 0))
		return -1;
	fusesay_keep(false);
	rc = lock_down(s, e);
	if (rc == 0)
		rc = start_threads(s, e);
	if (rc == 0)
		rc = link_ready(link->socket, e);
	if (rc == 0)
		rc = answer(s, e);
	return rc;
}

static void
tear_down(struct server *s)
{
	stop_threads(s);
	if (s->session != NULL)
		fuse_session_destroy(s->session);
	fusesay_end();
	free_fs(&s->fs);
	buf_clear(&s->mountpoint);
}

int
mount_run(const struct mount_options *opt, struct err *e)
{
	struct server s = { .opt = opt };
	int rc = -1;

	fusesay_keep(true);
	if (mountpoint_check(opt, &s.mountpoint, e) == 0 &&
	    make_fs(&s, e) == 0 && make_session(&s, e) == 0 &&
	    block_signals(&s, e) == 0)
		rc = serve(&s, e);
	tear_down(&s);
	return rc;
}

int
mount_split(const struct mount_options *opt, struct mount_link *link, int *code,
	    struct err *e)
{
	return supervisor_start(opt, link, code, e);
}
