/*
 * watch.c
 *
 * The kernel is told about a virtual directory in two ways, and needs both:
 * inval_inode lets go of the listing and the attributes, inval_entry of a
 * name and all that was known behind it.
 *
 * Each look also follows the path to the repository: where its file system was
 * unmounted and is back, the directories that are open are not the ones that
 * are there.  What is asked for meanwhile fails with EIO.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/watch.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "fuse/file.h"
#include "fuse/inode.h"
#include "fuse/report.h"
#include "fuse/root.h"
#include "fuse/vnode.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

/*
 * A new generation is seen within 2 seconds, the time to read it included;
 * on a network, where every look is a round trip, within 10.
 */
#define PAUSE_LOCAL_S  1
#define PAUSE_REMOTE_S 8

struct watch {
	struct fs *fs;
	struct store *store;
	struct fuse_session *session;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;    /* lock */
	bool crowd;   /* lock: there is something in versions/ to forget */
	bool failing; /* the thread's: the last look failed, and it was said */
};

/* --- telling the kernel --------------------------------------------------- */

static void
drop_name(struct watch *w, const struct root_list *l, const struct root_dir *d,
	  const struct root_item *i)
{
	const char *name = root_item_name(l, i);

	(void)fuse_lowlevel_notify_inval_entry(w->session, d->ino, name,
					       strlen(name));
}

/* Names in `d` that are gone, or stand for something else now. */
static void
drop_names(struct watch *w, const struct root_list *old,
	   const struct root_dir *d, const struct root_list *now)
{
	const struct root_dir *n = root_find_dir(now, d->ino);
	const struct root_item *i = &old->item[d->first];
	const struct root_item *end = i + d->count;
	const struct root_item *j = NULL;
	const struct root_item *jend = NULL;

	if (n != NULL) {
		j = &now->item[n->first];
		jend = j + n->count;
	}
	/* Both rise by cookie. */
	for (; i < end; i++) {
		while (j != jend && j->cookie < i->cookie)
			j++;
		if (j == jend || j->cookie != i->cookie || j->ino != i->ino ||
		    strcmp(root_item_name(old, i), root_item_name(now, j)) != 0)
			drop_name(w, old, d, i);
	}
}

/*
 * Any directory of versions/ may have other names now.  Those that are gone
 * are believed in for a second more.
 */
static void
tell_versions(struct watch *w)
{
	uint64_t *node = NULL;
	size_t count = 0;
	size_t i;

	/* Without memory the kernel asks when its second is over. */
	(void)vnodes_dirs(w->fs->vnodes, &node, &count, NULL);
	for (i = 0; i < count; i++)
		(void)fuse_lowlevel_notify_inval_inode(w->session, node[i], 0,
						       0);
	mem_free(node);
}

static void
tell_kernel(struct watch *w, const struct root_list *old,
	    const struct root_list *now)
{
	size_t i;

	for (i = 0; i < now->dirs; i++)
		(void)fuse_lowlevel_notify_inval_inode(w->session,
						       now->dir[i].ino, 0, 0);
	for (i = 0; i < old->dirs; i++)
		drop_names(w, old, &old->dir[i], now);
	tell_versions(w);
}

/* Make the kernel forget, until versions/ has room again. */
static void
thin_out(struct watch *w)
{
	char name[VNODE_NAME_LEN];
	uint64_t parent;

	while (vnodes_next_old(w->fs->vnodes, &parent, name))
		(void)fuse_lowlevel_notify_inval_entry(w->session, parent, name,
						       strlen(name));
}

/* --- looking -------------------------------------------------------------- */

static void
drop_forgotten(struct watch *w, const struct root_list *old,
	       const struct root_list *now)
{
	size_t i;

	for (i = 0; i < old->gens; i++) {
		uint32_t number = old->gen[i].number;

		if (root_find_gen(now, number) != NULL)
			continue;
		files_drop(w->fs->files, number);
		inodes_drop(w->fs->inodes, number);
	}
}

static int
look(struct watch *w, struct err *e)
{
	struct root_list *old = NULL;
	struct root_list *now;
	int rc = root_refresh(w->fs->root, &old, e);

	if (rc <= 0)
		return rc;
	now = root_current(w->fs->root);
	drop_forgotten(w, old, now);
	/* The new packs; a chunk would be found without, but later. */
	rc = store_refresh(w->store, e);
	tell_kernel(w, old, now);
	/* From here on nothing older is shown, and prune may know. */
	if (session_epoch(store_session(w->store), now->highest, e) < 0)
		rc = -1;
	root_list_unref(old);
	root_list_unref(now);
	return rc;
}

/* --- a repository that goes and comes ------------------------------------- */

static void
renew_session(struct watch *w)
{
	struct err e = { 0 };

	if (session_renew(store_session(w->store), &e) < 0)
		report_line("the repository is back, but cannot be marked as "
			    "in use: %s",
			    e.text);
}

/*
 * Go where the path leads now.  That it leads nowhere is no trouble while what
 * is open can be read: a repository may be moved.
 */
static int
follow(struct watch *w, struct err *e)
{
	struct err away = { 0 };
	int rc = repository_follow(store_repository(w->store), &away);

	if (rc < 0 && (away.kind == ERR_NOMEM || w->failing))
		err_move(e, &away);
	if (rc != 0)
		return e->kind != ERR_NONE ? -1 : 0;
	report_line("the repository was opened anew");
	renew_session(w);
	return store_reopened(w->store, e);
}

/* For a view of one tree, which has no list: can the repository be read? */
static int
touch(struct watch *w, struct err *e)
{
	struct generation_names names = { 0 };
	int rc = repository_generations(store_repository(w->store), &names, e);

	generation_names_clear(&names);
	return rc;
}

static int
look_around(struct watch *w, struct err *e)
{
	if (follow(w, e) < 0)
		return -1;
	return w->fs->root != NULL ? look(w, e) : touch(w, e);
}

/* The same trouble every two seconds is worth one line. */
static void
look_and_say(struct watch *w)
{
	struct err e = { 0 };

	if (look_around(w, &e) == 0) {
		if (w->failing)
			report_line("the repository can be read again");
		w->failing = false;
		return;
	}
	if (!w->failing)
		report_line("look at the repository: %s", e.text);
	w->failing = true;
}

/* --- the thread ----------------------------------------------------------- */

enum woken {
	BY_TIME,
	BY_CROWD,
	BY_STOP
};

static enum woken
pause_until(struct watch *w, const struct timespec *until)
{
	enum woken by = BY_TIME;
	int rc = 0;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->stop && !w->crowd && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&w->wake, &w->lock, until);
	if (w->stop)
		by = BY_STOP;
	else if (w->crowd)
		by = BY_CROWD;
	w->crowd = false;
	(void)pthread_mutex_unlock(&w->lock);
	return by;
}

static bool
is_past(const struct timespec *until)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > until->tv_sec ||
	       (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

/* False when it is time to end. */
static bool
pause_for(struct watch *w, time_t seconds)
{
	struct timespec until;
	enum woken by;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	while ((by = pause_until(w, &until)) == BY_CROWD) {
		thin_out(w);
		if (is_past(&until))
			return true;
	}
	return by == BY_TIME;
}

/* For vnodes_on_crowd; only wakes the thread. */
static void
on_crowd(void *ctx)
{
	struct watch *w = ctx;

	(void)pthread_mutex_lock(&w->lock);
	w->crowd = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
}

static void *
run(void *arg)
{
	struct watch *w = arg;
	bool remote = store_repository(w->store)->remote;

	while (pause_for(w, remote ? PAUSE_REMOTE_S : PAUSE_LOCAL_S))
		look_and_say(w);
	return NULL;
}

static void
init_wake(pthread_cond_t *wake)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(wake, &attr);
	(void)pthread_condattr_destroy(&attr);
}

static void
free_watch(struct watch *w)
{
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_mutex_destroy(&w->lock);
	mem_free(w);
}

int
watch_start(struct fs *fs, struct store *st, struct fuse_session *se,
	    struct watch **out, struct err *e)
{
	struct watch *w = mem_zalloc(sizeof(*w));

	if (w == NULL)
		return err_nomem(e);
	w->fs = fs;
	w->store = st;
	w->session = se;
	(void)pthread_mutex_init(&w->lock, NULL);
	init_wake(&w->wake);
	if (pool_thread(&w->thread, run, w, e) < 0) {
		free_watch(w);
		return -1;
	}
	vnodes_on_crowd(fs->vnodes, on_crowd, w);
	*out = w;
	return 0;
}

void
watch_stop(struct watch *w)
{
	if (w == NULL)
		return;
	vnodes_on_crowd(w->fs->vnodes, NULL, NULL);
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	free_watch(w);
}
