/*
 * The calling thread walks the tree in preorder, makes directories, and
 * puts everything else into batches; workers restore the batches, in the
 * order of the walk, which is also the order in which the contents lie in
 * the packs.  A batch is about as much data as a frame holds and goes on
 * from one directory to the next, so that a frame is decoded by one worker,
 * once.
 *
 * Creating a file costs 13 to 16 microseconds in the kernel; the calls around
 * it are kept to open, write, futimens, close, and those that change
 * something (target.h, attrs.h).  What is new is written under its own name
 * and removed again if that fails; what replaces something, under a
 * temporary one.
 *
 * Hard links: the first worker that comes to an inode writes it; others that
 * come meanwhile wait for it, and link.  Who writes waits for nobody, so no
 * two wait for each other.  If writing fails, the next one is the first.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/restore.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/pool.h"
#include "base/sys.h"
#include "base/time.h"
#include "src/engine/attrs.h"
#include "src/engine/listing.h"
#include "src/engine/reader.h"
#include "src/engine/target.h"
#include "src/engine/view.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define BATCH_ITEMS 64
#define BATCH_BYTES (UINT64_C(1) << 20)  /* of content */
#define BATCH_META  ((size_t)256 << 10)  /* of entries */
#define QUEUE       32                   /* batches that wait */
#define VERIFY_LEN  ((size_t)64 << 10)
#define TICK_NS     UINT64_C(100000000)
#define TEMP_PREFIX ".asof-"

/* Slots of the table of links at first; a power of two. */
#define LINKS_FIRST 1024

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

struct run {
	struct view_gen *gen;
	const struct restore_options *opt;
	struct attrs *attrs;
	struct target *target;
	struct pool *pool;
	mode_t umask;
	atomic_bool stop;
	atomic_uint_fast64_t done_files, done_bytes; /* for progress */

	pthread_mutex_t report; /* guards what follows; one call at a time */
	struct restore_result sum;
	struct err why; /* why it was stopped */
	uint64_t told_at;

	pthread_mutex_t links; /* guards what follows and all groups */
	pthread_cond_t written; /* a group is not busy any more */
	struct link_group **slot;
	size_t slots, groups;
};

/* One thing to restore, by one worker. */
struct job {
	struct run *run;
	struct target_dir *dir;
	int dirfd;
	const struct entry *en;
	char name[PATH_NAME_MAX + 1];
	char temp[sizeof(TEMP_PREFIX) + IO_RANDOM_NAME_LEN];
	const char *at; /* `name`, or `temp` if that must be replaced */
	int fd;         /* of a file */
	bool linked;    /* more names of it may come */
	int link_fd;    /* make it as a link of link_name in link_fd, */
	const char *link_name; /* unless that is NULL */
	bool damage;    /* a failure is the repository's */
	struct restore_result *sum;
};

/* --- telling ---------------------------------------------------------------- */

/* Does it make no sense to go on?  `why` then becomes the run's failure. */
static bool
is_fatal(const struct err *why, bool damage)
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

static bool
stopped(struct run *run)
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

/* Tell of a failure at a name in a directory (or at itself, NULL). */
static void
tell(struct run *run, const struct target_dir *d, const void *name, size_t len,
     struct err *why, bool damage)
{
	char shown[PATH_SHOW_LEN];
	struct buf path = { 0 };
	const char *s;

	target_path(d, name, len, &path);
	s = buf_str(&path);
	if (is_fatal(why, damage)) {
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

static void
tell_job(struct job *j, struct err *why)
{
	j->sum->failed++;
	j->sum->damaged += j->damage;
	tell(j->run, j->dir, j->en->name, j->en->name_len, why, j->damage);
}

/* Now and then, tell how far it is. */
static void
tick(struct run *run)
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

static void
add_result(struct run *run, const struct restore_result *part)
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

/* --- making the name -------------------------------------------------------- */

static int
make_symlink(const struct job *j)
{
	char *target;
	int rc;

	if (memchr(j->en->target, '\0', j->en->target_len) != NULL) {
		errno = EINVAL;
		return -1;
	}
	target = mem_dup(j->en->target, j->en->target_len);
	if (target == NULL) {
		errno = ENOMEM;
		return -1;
	}
	rc = sys_target->symlinkat(target, j->dirfd, j->at);
	mem_free(target);
	return rc;
}

/* Make the thing under j->at, which must be free.  As a system call does. */
static int
make_at(struct job *j)
{
	const struct entry *en = j->en;
	mode_t mode = attrs_first_mode(j->run->attrs, en);
	int flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

	if (j->link_name != NULL)
		return sys_target->linkat(j->link_fd, j->link_name, j->dirfd,
					  j->at, 0);
	switch (en->type) {
	case ENTRY_FILE:
		flags |= j->run->opt->verify ? O_RDWR : O_WRONLY;
		j->fd = target_openat(j->dirfd, j->at, flags, mode);
		return j->fd < 0 ? -1 : 0;
	case ENTRY_SYMLINK:
		return make_symlink(j);
	default:
		return sys_target->mknodat(j->dirfd, j->at,
					   entry_type_mode(en->type) | mode,
					   makedev(en->major, en->minor));
	}
}

/* Something of that name is there: make ours beside it. */
static int
make_beside(struct job *j, struct err *e)
{
	char random[IO_RANDOM_NAME_LEN + 1];
	struct stat st;

	if (sys_target->fstatat(j->dirfd, j->name, &st, AT_SYMLINK_NOFOLLOW) <
	    0)
		return err_sys(e, "look at what is in its place");
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return err_sys(e, "not put in the place of a directory");
	}
	if (io_random_name(random, e) < 0)
		return -1;
	(void)snprintf(j->temp, sizeof(j->temp), "%s%s", TEMP_PREFIX, random);
	j->at = j->temp;
	return make_at(j) < 0 ? err_sys(e, "create it") : 0;
}

/* 0 made, 1 left alone as asked, -1. */
static int
make_name(struct job *j, struct err *e)
{
	j->at = j->name;
	if (make_at(j) == 0)
		return 0;
	if (errno != EEXIST)
		return err_sys(e, j->link_name != NULL ? "link it"
						       : "create it");
	switch (j->run->opt->existing) {
	case RESTORE_REPLACE:
		return make_beside(j, e);
	case RESTORE_KEEP:
		return 1;
	default:
		return err_sys(e, "left as it is");
	}
}

/* Give the thing its name, or, if something failed, take it away. */
static int
settle(struct job *j, int rc, struct err *e)
{
	if (rc == 0 && j->at != j->name &&
	    sys_target->renameat2(j->dirfd, j->at, j->dirfd, j->name, 0) < 0)
		rc = err_sys(e, "put it in place");
	/*
	 * Renaming one link of an inode over another one does nothing; then
	 * the temporary name is still there.
	 */
	if (rc < 0 || (j->at != j->name && j->link_name != NULL))
		(void)sys_target->unlinkat(j->dirfd, j->at, 0);
	return rc;
}

/* --- content ---------------------------------------------------------------- */

static int
write_all(int fd, const uint8_t *p, uint64_t len, uint64_t at, struct err *e)
{
	ssize_t n;

	for (; len > 0; p += n, at += (uint64_t)n, len -= (uint64_t)n) {
		n = sys_target->pwrite(fd, p, (size_t)len, (off_t)at);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return err_sys(e, "write at offset %" PRIu64, at);
	}
	return 0;
}

/* Fail the file because of what the repository holds of it. */
static int
damaged(struct job *j)
{
	j->damage = true;
	return -1;
}

/* The pieces of the file, one after the other; each is given to `fn`. */
typedef int (*piece_fn)(struct job *j, const uint8_t *p, uint64_t len,
			uint64_t at, struct err *e);

static int
each_piece(struct job *j, piece_fn fn, struct err *e)
{
	struct chunk_reader *reader = j->run->gen->reader;
	struct file_reader f;
	const uint8_t *p;
	uint64_t at = 0;
	uint64_t len;
	int rc;

	if (file_reader_init(&f, reader, &j->en->content, j->en->size, e) <
	    0) {
		file_reader_clear(&f);
		return damaged(j);
	}
	while ((rc = file_peek(&f, at, &p, &len, e)) > 0) {
		if (stopped(j->run))
			rc = err_set(e, ERR_CANCELLED, "stopped");
		else
			rc = fn(j, p, len, at, e);
		if (rc < 0)
			goto out;
		at += len;
	}
	if (rc < 0)
		(void)damaged(j);
	else if (at != j->en->size) {
		rc = err_set(e, ERR_CORRUPT, "it ends at offset %" PRIu64, at);
		(void)damaged(j);
	}
out:
	file_reader_clear(&f);
	return rc;
}

static int
write_piece(struct job *j, const uint8_t *p, uint64_t len, uint64_t at,
	    struct err *e)
{
	if (p != NULL && write_all(j->fd, p, len, at, e) < 0)
		return -1;
	/* A hole is left out, but at the end the length must be right. */
	if (p == NULL && at + len == j->en->size &&
	    sys_target->ftruncate(j->fd, (off_t)j->en->size) < 0)
		return err_sys(e, "set its length");
	atomic_fetch_add(&j->run->done_bytes, len);
	if (len < j->en->size)
		tick(j->run);
	return 0;
}

static bool
all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* Is the rest of the hole one in the file too?  Then it need not be read. */
static bool
is_hole(int fd, uint64_t at, uint64_t len)
{
	off_t data = sys_target->lseek(fd, (off_t)at, SEEK_DATA);

	return data < 0 ? errno == ENXIO : (uint64_t)data >= at + len;
}

static int
compare_piece(struct job *j, const uint8_t *p, uint64_t len, uint64_t at,
	      struct err *e)
{
	uint8_t *back;
	ssize_t n;
	int rc = -1;

	if (p == NULL && is_hole(j->fd, at, len))
		return 0;
	back = mem_alloc(VERIFY_LEN);
	if (back == NULL)
		return err_nomem(e);
	for (; len > 0; len -= (uint64_t)n, at += (uint64_t)n) {
		n = sys_target->pread(j->fd, back,
				      len < VERIFY_LEN ? (size_t)len
						       : VERIFY_LEN,
				      (off_t)at);
		if (n < 0 && errno == EINTR) {
			n = 0;
			continue;
		}
		if (n < 0) {
			(void)err_sys(e, "read it back");
			goto out;
		}
		if (n == 0 || (p != NULL ? memcmp(back, p, (size_t)n) != 0
					 : !all_zero(back, (size_t)n))) {
			errno = EIO;
			(void)err_sys(e,
				      "what is read back behind offset %" PRIu64
				      " is not what was written",
				      at);
			goto out;
		}
		if (p != NULL)
			p += n;
	}
	rc = 0;
out:
	mem_free(back);
	return rc;
}

/* Give it to the medium first, so that it is the medium that is read. */
static int
sync_data(const struct job *j, struct err *e)
{
	int rc;

	do
		rc = sys_target->fdatasync(j->fd);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? err_sys(e, "sync it") : 0;
}

/* Write the open file, and check it if asked to. */
static int
write_content(struct job *j, struct err *e)
{
	const struct restore_options *opt = j->run->opt;

	attrs_apply_early(j->run->attrs, j->en, j->fd);
	if (j->en->size == 0)
		return 0;
	if (each_piece(j, write_piece, e) < 0)
		return -1;
	if (opt->sync && opt->verify && sync_data(j, e) < 0)
		return -1;
	return opt->verify ? each_piece(j, compare_piece, e) : 0;
}

/* --- one thing -------------------------------------------------------------- */

/*
 * Open what cannot be opened for real.  If it is not what was just made,
 * somebody has put another thing in its place, and that one is left alone.
 */
static int
open_path_only(const struct job *j, struct err *e)
{
	struct stat st;
	int fd;

	fd = target_openat(j->dirfd, j->at, O_PATH | O_NOFOLLOW | O_CLOEXEC,
			   0);
	if (fd < 0)
		return err_sys(e, "open what was made");
	if (sys_target->fstat(fd, &st) < 0) {
		(void)err_sys(e, "look at what was made");
	} else if ((st.st_mode & S_IFMT) != entry_type_mode(j->en->type) ||
		   st.st_nlink != 1) {
		errno = ESTALE;
		(void)err_sys(e, "somebody has replaced it");
	} else {
		return fd;
	}
	(void)sys_target->close(fd);
	return -1;
}

/* All but its content.  That this fails does not unmake the thing. */
static void
give_attrs(struct job *j)
{
	struct run *run = j->run;
	struct err why = { 0 };
	struct attrs_at at = {
		.fd = j->fd,
		.path_only = j->fd < 0,
		.dirfd = j->dirfd,
		.name = j->at,
		.mode = attrs_first_mode(run->attrs, j->en) & ~run->umask,
		.ours = j->dir->ours,
		.linked = j->linked,
	};

	if (at.path_only)
		at.fd = open_path_only(j, &why);
	if (j->dir->hands_on) {
		at.mode = ATTRS_MODE_UNKNOWN;
		if (!at.path_only)
			(void)attrs_drop_inherited(at.fd, false, &why);
	}
	if (why.kind == ERR_NONE)
		(void)attrs_apply(run->attrs, run->gen->reader, j->en, &at,
				  &j->damage, &why);
	if (at.path_only && at.fd >= 0)
		(void)sys_target->close(at.fd);
	if (why.kind != ERR_NONE)
		tell_job(j, &why);
}

/* Make it and all that belongs to it.  0 made, 1 left alone, -1. */
static int
restore_new(struct job *j, struct err *e)
{
	int rc;

	rc = make_name(j, e);
	if (rc != 0)
		return rc;
	if (j->fd >= 0)
		rc = write_content(j, e);
	if (rc == 0)
		give_attrs(j);
	/* Some file systems find out only now that it does not fit. */
	if (j->fd >= 0 && sys_target->close(j->fd) < 0 && errno != EINTR &&
	    rc == 0)
		rc = err_sys(e, "close it");
	j->fd = -1;
	rc = settle(j, rc, e);
	if (rc < 0)
		return -1;
	if (j->en->type == ENTRY_FILE) {
		j->sum->files++;
		j->sum->bytes += j->en->size;
	} else {
		j->sum->others++;
	}
	return 0;
}

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

		tell(run, g->dir, g->name, strlen(g->name), &why, false);
		add_result(run, &one);
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

/* Write the content here; the group is busy with us.  As restore_new. */
static int
write_first(struct job *j, struct link_group *g, struct err *e)
{
	struct run *run = j->run;
	char *name;
	int rc;

	j->link_name = NULL;
	name = mem_strdup(j->name);
	rc = name != NULL ? restore_new(j, e) : err_nomem(e);
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

/* Link to where the content is.  As restore_new. */
static int
link_here(struct job *j, struct target_dir *dir, const char *name,
	  struct err *e)
{
	int rc;

	j->link_fd = target_pin(dir, e);
	if (j->link_fd < 0)
		return -1;
	j->link_name = name;
	rc = make_name(j, e);
	if (rc == 0)
		rc = settle(j, 0, e);
	target_unpin(dir);
	if (rc == 0)
		j->sum->links++;
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
	return !stopped(j->run) && !is_fatal(why, false) &&
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
		rc = name != NULL ? link_here(j, dir, name, &why)
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
		tell_job(j, &why);
	}
	return write_first(j, g, e);
}

/* --- batches ---------------------------------------------------------------- */

/* Entries that one worker restores, in order. */
struct batch {
	struct run *run;
	uint64_t content;  /* bytes of files in it */
	struct buf bytes;  /* the entries, encoded */
	size_t count;
	struct {
		struct target_dir *dir; /* held once for each run of equals */
		size_t from, len;       /* in bytes */
	} item[BATCH_ITEMS];
};

static int
restore_entry(struct job *j, struct err *e)
{
	struct link_group *g = NULL;
	int rc;

	if (!path_name_ok(j->en->name, j->en->name_len)) {
		(void)damaged(j);
		return err_set(e, ERR_CORRUPT, "its name is none");
	}
	memcpy(j->name, j->en->name, j->en->name_len);
	j->name[j->en->name_len] = '\0';
	if ((j->en->flags & ENTRY_UNREADABLE) != 0) {
		j->sum->unreadable++;
		return err_set(e, ERR_MISSING,
			       "it was not readable when it was backed up");
	}
	if ((j->en->flags & ENTRY_LINKED) == 0 || j->en->nlink < 2)
		return restore_new(j, e);
	(void)pthread_mutex_lock(&j->run->links);
	g = take_group(j->run, j->en, e);
	(void)pthread_mutex_unlock(&j->run->links);
	if (g == NULL)
		return -1;
	j->linked = true;
	rc = restore_linked(j, g, e);
	leave_group(j->run, g);
	return rc;
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

	if (entry_decode(b->bytes.data + b->item[i].from, b->item[i].len,
			 false, &en, &why) < 0) {
		sum->failed++;
		sum->damaged++;
		tell(b->run, j.dir, NULL, 0, &why, true);
		return;
	}
	if (restore_entry(&j, &why) < 0)
		tell_job(&j, &why);
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

	if (!stopped(run))
		fd = target_pin(dir, &why);
	for (; i < b->count && b->item[i].dir == dir; i++)
		if (fd >= 0 && !stopped(run))
			restore_item(b, i, fd, sum);
	if (fd >= 0) {
		target_unpin(dir);
	} else if (why.kind != ERR_NONE) {
		sum->failed += i - from;
		tell(run, dir, NULL, 0, &why, false);
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
	add_result(b->run, &sum);
	tick(b->run);
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

	if (w->batch != NULL && (size >= BATCH_BYTES ||
				 w->batch->content >= BATCH_BYTES - size))
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
push_level(struct walk *w, struct target_dir *dir,
	   const struct tree_root *root, struct err *e)
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
	tell(w->run, parent, en->name, en->name_len, why, damage);
}

/* 0 also when the directory is left out; -1 when the run is over. */
static int
walk_dir(struct walk *w, struct target_dir *parent, const struct entry *en,
	 struct err *e)
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
	if (target_enter(parent, en, &dir, &why) < 0) {
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
		tell(w->run, parent, en->name, en->name_len, &why, false);
	}
	if (push_level(w, dir, &root, e) < 0) {
		target_done(dir);
		return -1;
	}
	return 0;
}

static int
walk_entry(struct walk *w, struct target_dir *parent, const struct entry *en,
	   struct err *e)
{
	if (en->type == ENTRY_DIR)
		return walk_dir(w, parent, en, e);
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
		(void)err_prefix(&why, "%" PRIu64 " names in it are lost",
				 lost);
		w->sum.failed += lost;
		w->sum.damaged += lost;
		tell(w->run, dir, NULL, 0, &why, true);
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
	while (rc == 0 && w.depth > 0 && !stopped(run))
		rc = walk_step(&w, &why);
	if (rc < 0)
		stop_run(run, &why);
	submit(&w);
	while (w.depth > 0)
		pop_level(&w);
	mem_free(w.level);
	pool_drain(run->pool);
	target_done(top);
	add_result(run, &w.sum);
}

/* --- the run ---------------------------------------------------------------- */

static void
dir_failed(void *ctx, const struct target_dir *d, const struct err *why,
	   bool damage)
{
	struct run *run = ctx;
	struct restore_result one = { .failed = 1, .damaged = damage };
	struct err copy = *why;

	tell(run, d, NULL, 0, &copy, damage);
	add_result(run, &one);
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

static int
start_run(struct run *run, const char *top, const struct entry *entry,
	  struct err *e)
{
	const struct restore_options *opt = run->opt;
	struct target_options target = {
		.to = opt->to,
		.existing = opt->existing,
		.reader = run->gen->reader,
		.entry = entry,
		.path = top,
		.sync = opt->sync,
		.failed = dir_failed,
		.ctx = run,
	};
	size_t threads = opt->threads;

	if (threads == 0)
		threads = pool_cpus() + 2;
	if (attrs_new(&run->gen->record, opt->numeric_ids,
		      opt->no_owner || geteuid() != 0, &run->attrs, e) < 0)
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
	(void)pthread_mutex_init(&run.links, NULL);
	(void)pthread_cond_init(&run.written, NULL);
	run.umask = current_umask();
	set_totals(&run, &start, contents);
	*out = run.sum;
	if (top_path(path, contents, &top, e) < 0 ||
	    start_run(&run, buf_str(&top), contents ? &start.entry : NULL, e) <
		    0)
		goto out;
	walk_all(&run, &start, contents);
	rc = 0;
out:
	pool_free(run.pool);
	free_links(&run);
	target_close(run.target);
	attrs_free(run.attrs);
	buf_clear(&top);
	node_clear(&start);
	(void)pthread_cond_destroy(&run.written);
	(void)pthread_mutex_destroy(&run.links);
	(void)pthread_mutex_destroy(&run.report);
	*out = run.sum;
	if (run.why.kind != ERR_NONE) {
		err_move(e, &run.why);
		rc = -1;
	}
	return rc;
}
