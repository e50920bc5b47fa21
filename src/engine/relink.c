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

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Slots of the table at first; a power of two. */
#define SLOTS_FIRST 1024

/* All names of one inode. */
struct link_group {
	uint64_t fs, ino;
	uint64_t left;     /* names of it that have not come yet */
	unsigned users;    /* threads that are at it */
	bool busy;         /* one of them writes it */
	unsigned serial;   /* how often it was written */
	uint32_t late_flags; /* to set when all its links are made */
	struct target_dir *dir; /* where it is, kept; NULL: not written yet */
	char *name;
};

/* --- hard links ------------------------------------------------------------- */

static size_t
link_slot(const struct run *run, uint64_t fs, uint64_t ino)
{
	uint64_t h = (ino ^ fs << 40) * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(h >> 24) & (run->slots - 1);
	const struct link_group *g;

	while ((g = run->slot[i]) != NULL && (g->fs != fs || g->ino != ino))
		i = (i + 1) & (run->slots - 1);
	return i;
}

static int
grow_links(struct run *run, struct err *e)
{
	struct link_group **old = run->slot;
	size_t n = run->slots;
	size_t slots = n == 0 ? LINKS_FIRST : n * 2;
	size_t i;

	if (run->groups < n / 4 * 3)
		return 0;
	run->slot = mem_array(slots, sizeof(*run->slot));
	if (run->slot == NULL) {
		run->slot = old;
		return err_nomem(e);
	}
	run->slots = slots;
	for (i = 0; i < n; i++)
		if (old[i] != NULL)
			run->slot[link_slot(run, old[i]->fs, old[i]->ino)] =
				old[i];
	mem_free(old);
	return 0;
}

/* The group of an entry, with one more user; made when it is the first. */
static struct link_group *
take_group(struct run *run, const struct entry *en, struct err *e)
{
	struct link_group *g;
	size_t i;

	if (grow_links(run, e) < 0)
		return NULL;
	i = link_slot(run, en->fs, en->ino);
	g = run->slot[i];
	if (g == NULL) {
		g = mem_zalloc(sizeof(*g));
		if (g == NULL) {
			(void)err_nomem(e);
			return NULL;
		}
		g->fs = en->fs;
		g->ino = en->ino;
		g->left = en->nlink;
		run->slot[i] = g;
		run->groups++;
	}
	g->users++;
	return g;
}

/* Take the slot out of the table, keeping all others findable. */
static void
drop_slot(struct run *run, size_t i)
{
	struct link_group *g;

	run->slot[i] = NULL;
	run->groups--;
	while ((g = run->slot[i = (i + 1) & (run->slots - 1)]) != NULL) {
		run->slot[i] = NULL;
		run->slot[link_slot(run, g->fs, g->ino)] = g;
	}
}

/* The flags that had to wait for the last link. */
static void
set_late_flags(struct run *run, const struct link_group *g)
{
	struct err why = { 0 };
	int dirfd;
	int fd = -1;

	dirfd = target_pin(g->dir, &why);
	if (dirfd >= 0) {
		fd = target_openat(dirfd, g->name,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
						O_CLOEXEC,
					0);
		if (fd < 0)
			(void)err_sys(&why, "open it for its flags");
		else
			(void)attrs_add_flags(run->attrs, fd, g->late_flags,
					      &why);
		if (fd >= 0)
			(void)sys_target->close(fd);
		target_unpin(g->dir);
	}
	if (why.kind != ERR_NONE) {
		struct restore_result one = { .failed = 1 };

		restore_tell(run, g->dir, g->name, strlen(g->name), &why, false);
		restore_add(run, &one);
	}
}

static void
free_group(struct run *run, struct link_group *g)
{
	if (g->dir != NULL && g->late_flags != 0)
		set_late_flags(run, g);
	if (g->dir != NULL)
		target_drop(g->dir);
	mem_free(g->name);
	mem_free(g);
}

/* One name of the group has been dealt with. */
static void
leave_group(struct run *run, struct link_group *g)
{
	(void)pthread_mutex_lock(&run->links);
	g->users--;
	if (g->left > 0)
		g->left--;
	if (g->left > 0 || g->users > 0) {
		g = NULL;
	} else {
		drop_slot(run, link_slot(run, g->fs, g->ino));
	}
	(void)pthread_mutex_unlock(&run->links);
	if (g != NULL)
		free_group(run, g);
}

static void
free_links(struct run *run)
{
	size_t i;

	for (i = 0; i < run->slots; i++)
		if (run->slot[i] != NULL)
			free_group(run, run->slot[i]);
	mem_free(run->slot);
}

/* Write the content here; the group is busy with us.  As place_new. */
static int
write_first(struct job *j, struct link_group *g, struct err *e)
{
	struct run *run = j->run;
	char *name;
	int rc;

	j->link_name = NULL;
	name = mem_strdup(j->name);
	rc = name != NULL ? place_new(j, e) : err_nomem(e);
	(void)pthread_mutex_lock(&run->links);
	if (rc == 0) {
		if (g->dir != NULL)
			target_drop(g->dir);
		mem_free(g->name);
		target_keep(j->dir);
		g->dir = j->dir;
		g->name = name;
		g->serial++;
		g->late_flags = attrs_late_flags(run->attrs, j->en);
		name = NULL;
	}
	g->busy = false;
	(void)pthread_cond_broadcast(&run->written);
	(void)pthread_mutex_unlock(&run->links);
	mem_free(name);
	return rc;
}

/*
 * Where to link to; false when this thread has to write it (again): nobody
 * has, or linking to what was written `serial`-th has failed.
 */
static bool
find_written(struct run *run, struct link_group *g, unsigned *serial,
	     struct target_dir **dir, char **name)
{
	bool found;

	(void)pthread_mutex_lock(&run->links);
	while (g->busy)
		(void)pthread_cond_wait(&run->written, &run->links);
	found = g->dir != NULL && g->serial != *serial;
	if (found) {
		*serial = g->serial;
		*dir = g->dir;
		target_keep(g->dir);
		*name = mem_strdup(g->name);
	} else {
		g->busy = true;
	}
	(void)pthread_mutex_unlock(&run->links);
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
 * A name of an inode with several.  Where a link cannot be made (the file
 * system's limit, a directory that we may not enter any more), the content
 * is written again, which is told, and later names link to that.
 */
static int
restore_linked(struct job *j, struct link_group *g, struct err *e)
{
	struct target_dir *dir = NULL;
	struct err why = { 0 };
	unsigned serial = 0;
	char *name = NULL;
	int rc;

	while (find_written(j->run, g, &serial, &dir, &name)) {
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
	return write_first(j, g, e);
}

