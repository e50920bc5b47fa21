/*
 * control.c
 *
 * One process: it opens the desk, which is locked while it is open, mounts, and
 * answers.  Beside it stands the keeper of every mount of ours (device.h), so
 * that no dead mount stays behind whatever ends this one.
 *
 * Threads: this one waits in libfuse's loop for its workers to end; one waits
 * for signals (loop.h says why) and looks after idle transactions; the server
 * for requesters has its own.  A worker may be held up by a writer's files, on
 * a disk that is away, say, or by what else that writer has written just now;
 * another is started then.  One user can hold up one for each handle that he may
 * have, and one more that waits for it; there are more.  (The kernel gives us the
 * writes of a file one after the other, whatever their handles.)
 *
 * The end by a signal: first the requesters, while writers are still served,
 * because who is frozen is to be thawed; then the readers of events, who see
 * the end; then the mount is taken away, and the loop ended.  A worker that is
 * held up for ever does not hold up the end: then there is no clean stop, and
 * the next start finds a gap.  A mount that was taken away while files in it are
 * open (umount -l) ends all in the same way, as nobody new can come in.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/control.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/path.h"
#include "base/pool.h"
#include "base/time.h"
#include "fuse/control_events.h"
#include "fuse/control_file.h"
#include "fuse/control_ops.h"
#include "fuse/control_place.h"
#include "fuse/control_state.h"
#include "fuse/control_tree.h"
#include "fuse/device.h"
#include "fuse/fusesay.h"
#include "fuse/loop.h"
#include "fuse/process.h"
#include "fuse/report.h"
#include "src/writer/party.h"
#include "src/writer/registry.h"
#include "src/writer/rundir.h"
#include "src/writer/server.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX  ((2 + CONTROL_WAITING_MAX) * CONTROL_HANDLES_MAX)
#define WORKERS_IDLE 4

#define TICK_S   5
#define GRACE_NS (UINT64_C(10) * 1000000000) /* for workers that are held up */

#define SIGNAL_END SIGUSR2 /* ends the thread that waits for signals */

struct service {
	const struct control_options *opt;
	const char *repository;
	const unsigned char *repository_id;
	struct control control;
	struct control_place place;
	struct device device;
	struct fuse_session *session;
	struct server *server; /* the signal thread's until it has ended */
	struct loop loop;
	sigset_t signals;
	pthread_t signal_thread;
	bool has_signal_thread;
};

/* --- the process ---------------------------------------------------------- */

/*
 * It has what all writers said, and acts for them: nobody else of the same user
 * looks into it or leads it.
 */
static void
keep_others_out(void)
{
	const struct rlimit none = { 0, 0 };

	(void)prctl(PR_SET_NAME, "asof-control");
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)umask(022);
	(void)signal(SIGPIPE, SIG_IGN);
}

static int
block_signals(struct service *s, struct err *e)
{
	int rc;

	process_signals(SIGNAL_END, &s->signals);
	(void)sigaddset(&s->signals, SIGCHLD);
	rc = pthread_sigmask(SIG_BLOCK, &s->signals, NULL);
	if (rc == 0)
		return 0;
	errno = rc;
	return err_sys(e, "block signals");
}

/* --- the mount ------------------------------------------------------------ */

/* Root's is for writers of all users; the files judge who may do what. */
static int
make_options(const struct service *s, struct buf *out, struct err *e)
{
	if (s->control.desk->root)
		buf_add_str(out, "allow_other,");
	buf_add_str(out, "nosuid,nodev,noexec,subtype=asof-control,");
	device_add_fsname(out, s->repository);
	(void)buf_str(out);
	return buf_ok(out, e);
}

static int
make_session(struct service *s, const char *options, struct err *e)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	char shown[PATH_SHOW_LEN];
	int rc = 0;

	(void)path_show_in(shown, s->place.path.data, s->place.path.len);
	if (fuse_opt_add_arg(&args, "asof-control") < 0 ||
	    fuse_opt_add_arg(&args, "-o") < 0 ||
	    fuse_opt_add_arg(&args, options) < 0)
		rc = err_nomem(e);
	if (rc == 0) {
		s->session = fuse_session_new(&args, &control_ops,
					      sizeof(control_ops), &s->control);
		if (s->session == NULL)
			rc = fusesay_failed(ERR_USAGE, shown, e);
	}
	fuse_opt_free_args(&args);
	return rc;
}

/* The session has a descriptor of its own: it closes it, the mount stays. */
static int
give_device(struct service *s, struct err *e)
{
	char name[sizeof("/dev/fd/") + 10];
	char shown[PATH_SHOW_LEN];
	int fd = fcntl(s->device.fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, "share the device");
	(void)snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	if (fuse_session_mount(s->session, name) == 0)
		return 0;
	close(fd);
	(void)path_show_in(shown, s->place.path.data, s->place.path.len);
	return fusesay_failed(ERR_SYS, shown, e);
}

static int
mount_it(struct service *s, struct err *e)
{
	struct buf options = { 0 };
	int rc = make_options(s, &options, e);

	if (rc == 0)
		rc = make_session(s, buf_str(&options), e);
	if (rc == 0)
		rc = device_mount(&s->device, buf_str(&s->place.path),
				  buf_str(&options), e);
	if (rc == 0)
		rc = give_device(s, e);
	buf_clear(&options);
	return rc;
}

/* --- the end -------------------------------------------------------------- */

/*
 * A process is there until its last thread has come back from the kernel, and
 * so are its locks: the next one is not to wait for that.  The desk stays locked
 * here, so that nothing is written any more to what is another's then.  A
 * journal that is being written just now keeps the next one waiting after all.
 */
static void
give_up_state(struct desk *d)
{
	(void)pthread_mutex_lock(&d->lock);
	if (!desk_is_writing(d))
		(void)io_close(d->lockfd, "lock", NULL);
}

static void
end_service(struct service *s)
{
	process_tell_manager("STOPPING=1");
	server_stop(s->server);
	s->server = NULL;
	control_events_stop(&s->control);
	device_unmount(&s->device);
	if (loop_end(&s->loop, time_monotonic_ns() + GRACE_NS))
		return;
	report_line("control files: a writer's files do not answer; "
		    "ended without them");
	/*
	 * The thread that is held up has our descriptors until it comes back:
	 * without this, so long would wait who asked us something last.
	 */
	close(fuse_session_fd(s->session));
	device_close(&s->device);
	control_place_leave(&s->place);
	give_up_state(s->control.desk);
	_exit(1);
}

static void
look_after_keeper(struct service *s)
{
	pid_t keeper = s->device.keeper;

	if (keeper > 0 && waitpid(keeper, NULL, WNOHANG) == keeper)
		device_child_ended(&s->device, keeper);
}

static void
tick(struct service *s)
{
	struct desk *d = s->control.desk;

	(void)pthread_mutex_lock(&d->lock);
	control_file_tick(&s->control);
	(void)pthread_mutex_unlock(&d->lock);
}

static void *
wait_for_signals(void *arg)
{
	const struct timespec wait = { .tv_sec = TICK_S };
	struct service *s = arg;
	int number; /* -1: none came */

	for (;;) {
		number = sigtimedwait(&s->signals, NULL, &wait);
		if (atomic_load(&s->loop.over))
			return NULL;
		if (number < 0)
			tick(s);
		if (number == SIGCHLD)
			look_after_keeper(s);
		else if (number < 0 ? !device_is_there(&s->device)
				    : number != SIGNAL_END)
			break;
	}
	end_service(s);
	return NULL;
}

static void
stop_threads(struct service *s)
{
	atomic_store(&s->loop.over, true);
	if (s->has_signal_thread) {
		(void)pthread_kill(s->signal_thread, SIGNAL_END);
		(void)pthread_join(s->signal_thread, NULL);
	}
	s->has_signal_thread = false;
	server_stop(s->server);
	s->server = NULL;
}

/* --- the beginning -------------------------------------------------------- */

static int
open_desk(struct service *s, struct err *e)
{
	struct control *c = &s->control;

	if (desk_open(s->repository, s->repository_id, &c->desk, e) < 0)
		return -1;
	c->started = time_now();
	c->desk->wake = control_events_wake;
	c->desk->wake_ctx = c;
	return control_tree_begin(c) < 0 ? err_nomem(e) : 0;
}

static int
start_server(struct service *s, struct err *e)
{
	int dir = rundir_open_repository(s->repository, s->repository_id, e);
	int rc;

	if (dir < 0)
		return -1;
	rc = server_start(s->control.desk, dir, &s->server, e);
	close(dir);
	return rc;
}

static int
start_threads(struct service *s, struct err *e)
{
	loop_prepare(&s->loop, s->session);
	if (start_server(s, e) < 0)
		return -1;
	if (pool_thread(&s->signal_thread, wait_for_signals, s, e) < 0)
		return -1;
	s->has_signal_thread = true;
	return 0;
}

static int
say_ready(struct service *s, struct err *e)
{
	int ready_fd = s->opt->ready_fd;

	if (control_place_tell(&s->place, s->control.desk->statefd, e) < 0)
		return -1;
	if (s->opt->told != NULL)
		s->opt->told(buf_str(&s->place.path));
	if (!s->opt->foreground) {
		if (process_to_background(-1, e) < 0)
			return -1;
		report_to_syslog();
	}
	fusesay_keep(false);
	process_tell_ready(&ready_fd);
	process_tell_manager("READY=1");
	return 0;
}

static int
serve(struct service *s, struct err *e)
{
	if (block_signals(s, e) < 0 || mount_it(s, e) < 0 ||
	    start_threads(s, e) < 0 || say_ready(s, e) < 0)
		return -1;
	return loop_run(&s->loop, WORKERS_MAX, WORKERS_IDLE, e);
}

/* Handles that are open still are closed: what they had begun is nothing. */
static void
close_handles(struct control *c)
{
	(void)pthread_mutex_lock(&c->desk->lock);
	while (c->handle != NULL)
		control_file_close(c->handle);
	control_tree_end(c);
	(void)pthread_mutex_unlock(&c->desk->lock);
}

static void
tear_down(struct service *s)
{
	struct desk *d = s->control.desk;

	stop_threads(s);
	if (d != NULL) {
		control_events_stop(&s->control);
		control_place_untell(&s->place, d->statefd);
		close_handles(&s->control);
	}
	if (s->session != NULL)
		fuse_session_destroy(s->session);
	device_close(&s->device);
	control_place_leave(&s->place);
	fusesay_end();
	if (d != NULL) {
		d->wake = NULL;
		/* While the next one still waits for the desk. */
		rundir_leave_repository(s->repository, s->repository_id);
		desk_close(d);
	}
}

int
control_serve(const char *repository, const unsigned char repository_id[16],
	      const struct control_options *opt, struct err *e)
{
	struct service s = {
		.opt = opt,
		.repository = repository,
		.repository_id = repository_id,
		.device = DEVICE_NONE(DEVICE_CONTROL),
	};
	int rc = -1;

	keep_others_out();
	fusesay_keep(true);
	if (open_desk(&s, e) == 0 &&
	    control_place_make(opt->dir, s.control.desk->name, repository,
			       &s.place, e) == 0)
		rc = serve(&s, e);
	tear_down(&s);
	return rc;
}

bool
control_link(const char *repository, const unsigned char repository_id[16],
	     struct buf *out)
{
	struct buf name = { 0 };
	int rc;

	registry_name(repository, repository_id, &name);
	rc = buf_ok(&name, NULL);
	if (rc == 0)
		rc = control_place_default(buf_str(&name), out, NULL);
	buf_clear(&name);
	return rc == 0;
}
