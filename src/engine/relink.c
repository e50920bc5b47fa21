/*
 * relink - hard links of a restore.
 *
 * The first worker that comes to an inode writes it; others that come
 * meanwhile wait for it, and link.  Who writes waits for nobody, so no two
 * wait for each other.  If writing fails, the next one is the first.  An
 * inode takes some 100 bytes, until all names that its source had have come.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/restore_internal.h"

#include "base/mem.h"
#include "base/sys.h"
#include "src/engine/inomap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* All names of one inode. */
struct link_group {
	uint64_t fs, ino;
	uint64_t left;          /* names of it that have not come yet */
	unsigned users;         /* threads that are at it */
	bool busy;              /* one of them writes it */
	unsigned serial;        /* how often it was written */
	uint32_t late_flags;    /* to set when all its links are made */
	struct target_dir *dir; /* where it is, kept; NULL: not written yet */
	char *name;
};

struct relink {
	struct run *run;
	pthread_mutex_t lock;   /* guards what follows and all groups */
	pthread_cond_t written; /* a group is not busy any more */
	struct inomap groups;   /* struct link_group */
};

int
relink_new(struct run *run, struct relink **out, struct err *e)
{
	struct relink *l;

	l = mem_zalloc(sizeof(*l));
	if (l == NULL)
		return err_nomem(e);
	l->run = run;
	(void)pthread_mutex_init(&l->lock, NULL);
	(void)pthread_cond_init(&l->written, NULL);
	*out = l;
	return 0;
}

/* --- the table of groups ---------------------------------------------------- */

static struct link_group *
take_locked(struct relink *l, const struct entry *en, struct err *e)
{
	struct link_group *g = inomap_get(&l->groups, en->fs, en->ino);

	if (g == NULL) {
		g = mem_zalloc(sizeof(*g));
		if (g == NULL) {
			(void)err_nomem(e);
			return NULL;
		}
		g->fs = en->fs;
		g->ino = en->ino;
		g->left = en->nlink;
		if (inomap_put(&l->groups, g->fs, g->ino, g, e) < 0) {
			mem_free(g);
			return NULL;
		}
	}
	g->users++;
	return g;
}

/* The group of an entry, with one more user; made when it is the first. */
static struct link_group *
take_group(struct relink *l, const struct entry *en, struct err *e)
{
	struct link_group *g;

	(void)pthread_mutex_lock(&l->lock);
	g = take_locked(l, en, e);
	(void)pthread_mutex_unlock(&l->lock);
	return g;
}

/* --- the end of a group ----------------------------------------------------- */

static void
add_late_flags(const struct relink *l, const struct link_group *g, int dirfd,
	       struct err *e)
{
	int fd;

	fd = target_openat(dirfd, g->name,
			   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0) {
		(void)err_sys(e, "open it for its flags");
		return;
	}
	(void)attrs_add_flags(l->run->attrs, fd, g->late_flags, e);
	(void)sys_target->close(fd);
}

/* Set the flags that had to wait for the last link. */
static void
set_late_flags(const struct relink *l, const struct link_group *g)
{
	struct restore_result one = { .failed = 1 };
	struct err why = { 0 };
	int dirfd;

	dirfd = target_pin(g->dir, &why);
	if (dirfd >= 0) {
		add_late_flags(l, g, dirfd, &why);
		target_unpin(g->dir);
	}
	if (why.kind == ERR_NONE)
		return;
	restore_tell(l->run, g->dir, g->name, strlen(g->name), &why, false);
	restore_add(l->run, &one);
}

static void
end_group(const struct relink *l, struct link_group *g)
{
	if (g->dir != NULL && g->late_flags != 0)
		set_late_flags(l, g);
	if (g->dir != NULL)
		target_drop(g->dir);
	mem_free(g->name);
	mem_free(g);
}

/* One name of the group has been dealt with. */
static void
leave_group(struct relink *l, struct link_group *g)
{
	bool last;

	(void)pthread_mutex_lock(&l->lock);
	g->users--;
	if (g->left > 0)
		g->left--;
	last = g->left == 0 && g->users == 0;
	if (last)
		inomap_drop(&l->groups, g->fs, g->ino);
	(void)pthread_mutex_unlock(&l->lock);
	if (last)
		end_group(l, g);
}

void
relink_free(struct relink *l)
{
	size_t i;

	if (l == NULL)
		return;
	for (i = 0; i < l->groups.cap; i++)
		if (l->groups.slot[i].value != NULL)
			end_group(l, l->groups.slot[i].value);
	inomap_clear(&l->groups);
	(void)pthread_cond_destroy(&l->written);
	(void)pthread_mutex_destroy(&l->lock);
	mem_free(l);
}

/* --- one name --------------------------------------------------------------- */

/* What was written at j is where the group's other names link to. */
static void
set_written(const struct job *j, struct link_group *g, char *name)
{
	if (g->dir != NULL)
		target_drop(g->dir);
	mem_free(g->name);
	target_keep(j->dir);
	g->dir = j->dir;
	g->name = name;
	g->serial++;
	g->late_flags = attrs_late_flags(j->run->attrs, j->en);
}

/* Write the content here; the group is busy with us.  As place_new. */
static int
write_first(struct relink *l, struct job *j, struct link_group *g,
	    struct err *e)
{
	char *name;
	int rc;

	name = mem_strdup(j->name);
	rc = name != NULL ? place_new(j, e) : err_nomem(e);
	(void)pthread_mutex_lock(&l->lock);
	if (rc == 0)
		set_written(j, g, name);
	g->busy = false;
	(void)pthread_cond_broadcast(&l->written);
	(void)pthread_mutex_unlock(&l->lock);
	if (rc != 0)
		mem_free(name);
	return rc;
}

/*
 * Where to link to; false when this thread has to write it (again): nobody
 * has, or linking to what was written `serial`-th has failed.
 */
static bool
find_written(struct relink *l, struct link_group *g, unsigned *serial,
	     struct target_dir **dir, char **name)
{
	bool found;

	(void)pthread_mutex_lock(&l->lock);
	while (g->busy)
		(void)pthread_cond_wait(&l->written, &l->lock);
	found = g->dir != NULL && g->serial != *serial;
	if (found) {
		*serial = g->serial;
		*dir = g->dir;
		target_keep(g->dir);
		*name = mem_strdup(g->name);
	} else {
		g->busy = true;
	}
	(void)pthread_mutex_unlock(&l->lock);
	return found;
}

/* Can writing it here help, where linking failed? */
static bool
own_copy_helps(const struct job *j, const struct err *why)
{
	return !restore_stopped(j->run) && !restore_is_fatal(why, false) &&
	       why->saved_errno != EEXIST && why->saved_errno != EISDIR;
}

/*
 * Where a link cannot be made (the file system's limit, a directory that we
 * may not enter any more), the content is written again, which is told, and
 * later names link to that.
 */
static int
restore_name(struct relink *l, struct job *j, struct link_group *g,
	     struct err *e)
{
	struct target_dir *dir = NULL;
	struct err why = { 0 };
	unsigned serial = 0;
	char *name = NULL;
	int rc;

	while (find_written(l, g, &serial, &dir, &name)) {
		err_clear(&why);
		rc = name != NULL ? place_link(j, dir, name, &why)
				  : err_nomem(&why);
		mem_free(name);
		target_drop(dir);
		if (rc >= 0 || !own_copy_helps(j, &why)) {
			err_move(e, &why);
			return rc;
		}
	}
	if (why.kind != ERR_NONE) {
		(void)err_prefix(&why, "restored as a file of its own");
		place_tell(j, &why);
	}
	return write_first(l, j, g, e);
}

int
relink_restore(struct relink *l, struct job *j, struct err *e)
{
	struct link_group *g;
	int rc;

	g = take_group(l, j->en, e);
	if (g == NULL)
		return -1;
	j->linked = true;
	rc = restore_name(l, j, g, e);
	leave_group(l, g);
	return rc;
}
