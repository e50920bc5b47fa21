/*
 * mount.c
 *
 * Threads: this one waits in libfuse's loop for its workers to end; one waits
 * for signals; one looks for new generations (watch.h).  Signals are blocked
 * everywhere and taken by the one thread that waits for them, because libfuse's
 * own handler sets a flag that a loop just about to sleep does not see.
 *
 * The end by a signal: first the watch, while requests are still answered
 * (watch.h says why), then the workers, then the mount.  The end by umount:
 * the workers find the device dead, the rest follows.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/mount.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/pool.h"
#include "fuse/file.h"
#include "fuse/inode.h"
#include "fuse/mountpoint.h"
#include "fuse/ops.h"
#include "fuse/prefetch.h"
#include "fuse/report.h"
#include "fuse/root.h"
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
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CACHE_DEFAULT ((size_t)64 << 20)
#define INODES_SHARE  16 /* one part in so many of the cache is for inodes */
#define WORKERS_MIN   2

/* Wakes the loop; and ends the thread that waits for signals. */
#define SIGNAL_WAKE   SIGUSR1
#define SIGNAL_END    SIGUSR2
#define WAKE_EVERY_NS (10 * 1000 * 1000)

struct server {
	const struct mount_options *opt;
	struct fs fs;
	struct buf mountpoint; /* absolute */
	struct fuse_session *session;
	bool mounted;
	struct watch *watch; /* the signal thread's until it has ended */

	pthread_t looper; /* the thread in libfuse's loop */
	pthread_t signal_thread;
	bool has_signal_thread;
	sigset_t signals; /* that this thread waits for */
	sigset_t mask_before;
	bool masked;
	_Atomic bool loop_is_over;
};

/* --- libfuse's messages --------------------------------------------------- */

/*
 * What libfuse has to say comes in pieces.  Whole lines are reported; the first
 * one is kept, because the call that fails has no better words.
 */
static struct {
	pthread_mutex_t lock;
	struct buf line; /* lock */
	char first[200]; /* lock */
	bool keeps;      /* lock: still before the mount */
} said = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
end_line(void)
{
	static const char prefix[] = "fuse: ";
	const char *text = buf_str(&said.line);

	if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
		text += sizeof(prefix) - 1;
	if (!said.keeps)
		report_line("fuse: %s", text);
	else if (said.first[0] == '\0')
		(void)snprintf(said.first, sizeof(said.first), "%s", text);
	buf_reset(&said.line);
}

static void on_fuse_message(enum fuse_log_level level, const char *fmt,
			    va_list ap) __attribute__((format(printf, 2, 0)));
static void
on_fuse_message(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[500];
	const char *p;

	(void)level;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	(void)pthread_mutex_lock(&said.lock);
	for (p = text; *p != '\0'; p++) {
		if (*p == '\n')
			end_line();
		else
			buf_add_char(&said.line, *p);
	}
	(void)pthread_mutex_unlock(&said.lock);
}

static void
keep_messages(bool keep)
{
	(void)pthread_mutex_lock(&said.lock);
	said.keeps = keep;
	said.first[0] = '\0';
	buf_clear(&said.line);
	(void)pthread_mutex_unlock(&said.lock);
}

/* A sentence of ours, and of libfuse's what it said first; -1. */
static int
fuse_failed(enum err_kind kind, const char *shown, struct err *e)
{
	char text[sizeof(said.first)];

	(void)pthread_mutex_lock(&said.lock);
	if (said.line.len > 0)
		end_line();
	memcpy(text, said.first, sizeof(text));
	(void)pthread_mutex_unlock(&said.lock);
	return err_set(e, kind, "%s cannot be mounted%s%s", shown,
		       text[0] != '\0' ? ": " : "", text);
}

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
	s->fs.uid = geteuid();
	s->fs.gid = getegid();
	if (inodes_new(opt->store, cache / INODES_SHARE, &s->fs.inodes, e) < 0)
		return -1;
	if (files_new(s->fs.inodes, &s->fs.files, e) < 0)
		return -1;
	if (opt->at_generation_arg != NULL)
		return show_one(s, opt->at_generation_arg, e);
	return show_all(s, e);
}

static void
free_fs(struct fs *fs)
{
	prefetch_free(fs->prefetch);
	files_free(fs->files);
	inodes_free(fs->inodes);
	root_free(fs->root);
	view_unref(fs->at);
}

/* --- the session ---------------------------------------------------------- */

static int
add_option(struct fuse_args *args, const char *option, struct err *e)
{
	if (fuse_opt_add_arg(args, "-o") < 0 ||
	    fuse_opt_add_arg(args, option) < 0)
		return err_nomem(e);
	return 0;
}

/* "fsname=PATH", where a comma or backslash needs a backslash before it. */
static int
add_fsname(struct fuse_args *args, const char *path, struct err *e)
{
	struct buf text = { 0 };
	int rc = -1;

	buf_add_str(&text, "fsname=");
	for (; *path != '\0'; path++) {
		if (*path == ',' || *path == '\\')
			buf_add_char(&text, '\\');
		buf_add_char(&text, *path);
	}
	if (buf_ok(&text, e) == 0)
		rc = add_option(args, buf_str(&text), e);
	buf_clear(&text);
	return rc;
}

/* Ours come last: of two that contradict each other the later one holds. */
static int
add_options(struct fuse_args *args, const struct mount_options *opt,
	    struct err *e)
{
	if (fuse_opt_add_arg(args, "asof") < 0)
		return err_nomem(e);
	if (opt->fs_options != NULL && add_option(args, opt->fs_options, e) < 0)
		return -1;
	if (opt->allow_other &&
	    add_option(args, "allow_other,default_permissions", e) < 0)
		return -1;
	if (add_option(args, "ro,nosuid,nodev,subtype=asof", e) < 0)
		return -1;
	return add_fsname(args, opt->repository->path, e);
}

static int
make_session(struct server *s, struct err *e)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int rc = add_options(&args, s->opt, e);

	if (rc == 0) {
		s->session = fuse_session_new(&args, &ops_table,
					      sizeof(ops_table), &s->fs);
		if (s->session == NULL)
			rc = fuse_failed(ERR_USAGE, s->opt->mountpoint, e);
	}
	fuse_opt_free_args(&args);
	return rc;
}

static int
mount_session(struct server *s, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *path = buf_str(&s->mountpoint);

	(void)path_show_in(shown, path, strlen(path));
	if (fuse_session_mount(s->session, path) != 0)
		return fuse_failed(ERR_SYS, shown, e);
	s->mounted = true;
	return 0;
}

/* --- signals -------------------------------------------------------------- */

static void
on_wake(int number)
{
	(void)number;
}

/* What our caller told us to ignore stays ignored (nohup). */
static void
choose_signals(sigset_t *out)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction now;
	size_t i;

	(void)sigemptyset(out);
	(void)sigaddset(out, SIGNAL_END);
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigaction(ends[i], NULL, &now) == 0 &&
		    now.sa_handler != SIG_IGN)
			(void)sigaddset(out, ends[i]);
}

/*
 * From here on a signal waits until somebody takes it.  Must come before the
 * mount, which a signal would otherwise leave behind without a server.
 */
static int
block_signals(struct server *s, struct err *e)
{
	/* No SA_RESTART: it is there to interrupt. */
	struct sigaction wake = { .sa_handler = on_wake };
	int rc;

	choose_signals(&s->signals);
	rc = pthread_sigmask(SIG_BLOCK, &s->signals, &s->mask_before);
	if (rc != 0) {
		errno = rc;
		return err_sys(e, "block signals");
	}
	s->masked = true;
	(void)sigemptyset(&wake.sa_mask);
	(void)sigaction(SIGNAL_WAKE, &wake, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	return 0;
}

/*
 * The loop may be between looking at its flag and going to sleep, so that one
 * wake-up may come too early.
 */
static void
end_loop(struct server *s)
{
	const struct timespec pause = { .tv_nsec = WAKE_EVERY_NS };

	fuse_session_exit(s->session);
	while (!atomic_load(&s->loop_is_over)) {
		(void)pthread_kill(s->looper, SIGNAL_WAKE);
		(void)nanosleep(&pause, NULL);
	}
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
		if (atomic_load(&s->loop_is_over))
			return NULL;
	stop_telling(s);
	end_loop(s);
	return NULL;
}

static int
start_threads(struct server *s, struct err *e)
{
	if (s->fs.root != NULL &&
	    watch_start(&s->fs, s->opt->store, s->session, &s->watch, e) < 0)
		return -1;
	if (prefetch_start(&s->fs, s->session, &s->fs.prefetch, e) < 0)
		return -1;
	s->looper = pthread_self();
	if (pool_thread(&s->signal_thread, wait_for_signal, s, e) < 0)
		return -1;
	s->has_signal_thread = true;
	return 0;
}

static void
stop_threads(struct server *s)
{
	atomic_store(&s->loop_is_over, true);
	if (s->has_signal_thread) {
		(void)pthread_kill(s->signal_thread, SIGNAL_END);
		(void)pthread_join(s->signal_thread, NULL);
	}
	s->has_signal_thread = false;
	stop_telling(s);
}

/* --- ready ---------------------------------------------------------------- */

static int
go_to_background(struct err *e)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int i;

	if (fd < 0)
		return err_sys(e, "open /dev/null");
	if (chdir("/") < 0) {
		close(fd);
		return err_sys(e, "leave the working directory");
	}
	report_to_syslog();
	for (i = 0; i <= 2; i++)
		(void)dup2(fd, i);
	if (fd > 2)
		close(fd);
	return 0;
}

/* Tell the service manager that started us, if one did. */
static void
notify_manager(void)
{
	static const char word[] = "READY=1";
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(a.sun_path))
		return;
	memcpy(a.sun_path, path, len);
	if (path[0] == '@') /* a name that is in no file system */
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, word, sizeof(word) - 1, MSG_NOSIGNAL,
		     (const struct sockaddr *)&a,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

static void
say_ready(int fd)
{
	if (fd >= 0) {
		(void)!write(fd, "\n", 1);
		close(fd);
	}
	notify_manager();
}

/* --- serving -------------------------------------------------------------- */

/*
 * libfuse starts workers while all are busy, and ends some while more than
 * this many are idle, which is never.
 */
static int
loop(struct server *s, struct err *e)
{
	size_t cpus = pool_cpus();
	unsigned workers = cpus > WORKERS_MIN ? (unsigned)cpus : WORKERS_MIN;
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int rc;

	if (config == NULL)
		return err_nomem(e);
	fuse_loop_cfg_set_clone_fd(config, 0);
	fuse_loop_cfg_set_max_threads(config, workers);
	fuse_loop_cfg_set_idle_threads(config, workers);
	rc = fuse_session_loop_mt(s->session, config);
	fuse_loop_cfg_destroy(config);
	if (rc == 0)
		return 0;
	errno = rc < 0 ? -rc : EIO;
	return err_sys(e, "answer the kernel's requests");
}

/* Mount, tell, and serve until the end.  Sets *ready once it is told. */
static int
serve(struct server *s, bool *ready, struct err *e)
{
	int rc;

	if (mount_session(s, e) < 0 || start_threads(s, e) < 0)
		return -1;
	if (!s->opt->foreground && go_to_background(e) < 0)
		return -1;
	keep_messages(false);
	say_ready(s->opt->ready_fd);
	*ready = true;
	rc = loop(s, e);
	if (rc < 0 && !s->opt->foreground)
		report_line("%s", e->text);
	return rc;
}

static void
tear_down(struct server *s)
{
	stop_threads(s);
	if (s->mounted)
		fuse_session_unmount(s->session);
	if (s->session != NULL)
		fuse_session_destroy(s->session);
	if (s->masked)
		(void)pthread_sigmask(SIG_SETMASK, &s->mask_before, NULL);
	keep_messages(true);
	fuse_set_log_func(NULL);
	free_fs(&s->fs);
	buf_clear(&s->mountpoint);
}

int
mount_run(const struct mount_options *opt, struct err *e)
{
	struct server s = { .opt = opt };
	bool ready = false;
	int rc = -1;

	keep_messages(true);
	fuse_set_log_func(on_fuse_message);
	if (mountpoint_check(opt->mountpoint, opt->repository, opt->nonempty,
			     &s.mountpoint, e) == 0 &&
	    make_fs(&s, e) == 0 && make_session(&s, e) == 0 &&
	    block_signals(&s, e) == 0)
		rc = serve(&s, &ready, e);
	tear_down(&s);
	if (!ready && opt->ready_fd >= 0)
		close(opt->ready_fd);
	return rc;
}
