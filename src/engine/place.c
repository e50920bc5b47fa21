/*
 * place - making one thing in its directory.
 *
 * Creating a file costs 13 to 16 microseconds in the kernel; the calls
 * around it are kept to open, write, futimens, close, and those that change
 * something.  What is new is written under its own name and removed again if
 * that fails; what replaces something, under a temporary one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/restore_internal.h"

#include "base/mem.h"
#include "base/sys.h"
#include "src/engine/inplace.h"
#include "src/engine/reader.h"
#include "store/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define VERIFY_LEN ((size_t)64 << 10)

void
place_tell(struct job *j, struct err *why)
{
	j->sum->failed++;
	j->sum->damaged += j->damage;
	restore_tell(j->run, j->dir, j->en->name, j->en->name_len, why,
		     j->damage);
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
	(void)snprintf(j->temp, sizeof(j->temp), "%s%s", RESTORE_TEMP_PREFIX,
		       random);
	j->at = j->temp;
	return make_at(j) < 0 ? err_sys(e, "create it") : 0;
}

/*
 * Open the file of that name to rewrite it where it is.  1 when it has to be
 * made anew: it is no file, has other names that nobody asked to change, would
 * show new content to an old owner, or cannot be opened for writing.
 */
static int
open_in_place(struct job *j, struct err *e)
{
	struct stat st;

	if (j->en->type != ENTRY_FILE || j->linked || j->link_name != NULL)
		return 1;
	j->fd = target_openat(j->dirfd, j->name,
			      O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (j->fd < 0)
		return 1;
	if (sys_target->fstat(j->fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_nlink == 1 &&
	    attrs_owned(j->run->attrs, j->en, st.st_uid, st.st_gid)) {
		j->in_place = true;
		/* Who will not read it later shall not read it now. */
		if ((st.st_mode & 0777 & ~j->en->mode) == 0 ||
		    sys_target->fchmod(j->fd, st.st_mode & 0777 &
						      j->en->mode) == 0)
			return 0;
		(void)err_sys(e, "set its mode");
		(void)sys_target->close(j->fd);
		j->fd = -1;
		return -1;
	}
	(void)sys_target->close(j->fd);
	j->fd = -1;
	return 1;
}

/* 0 made, 1 left alone as asked, -1. */
static int
make_name(struct job *j, struct err *e)
{
	int rc;

	j->at = j->name;
	if (make_at(j) == 0)
		return 0;
	if (errno != EEXIST)
		return err_sys(e,
			       j->link_name != NULL ? "link it" : "create it");
	switch (j->run->opt->existing) {
	case RESTORE_IN_PLACE:
		rc = open_in_place(j, e);
		return rc > 0 ? make_beside(j, e) : rc;
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
	if (j->in_place)
		return rc == 0 ? 0
			       : err_prefix(e, "left partly old and partly "
					       "new, to be restored again");
	if (rc == 0 && j->at != j->name &&
	    sys_target->renameat2(j->dirfd, j->at, j->dirfd, j->name, 0) < 0)
		rc = err_sys(e, "put it in place");
	/*
	 * Renaming one link of an inode over another one does nothing; then
	 * the temporary name is still there.
	 */
	if (rc == 0 && (j->at == j->name || j->link_name == NULL))
		return 0;
	if (sys_target->unlinkat(j->dirfd, j->at, 0) < 0 && rc < 0)
		(void)err_prefix(e, "left behind incomplete");
	return rc;
}

/* --- content ---------------------------------------------------------------- */

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

	if (file_reader_init(&f, reader, &j->en->content, j->en->size, e) < 0) {
		file_reader_clear(&f);
		return damaged(j);
	}
	while ((rc = file_peek(&f, at, &p, &len, e)) > 0) {
		if (restore_stopped(j->run))
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
	if (p != NULL && target_write(j->fd, p, len, at, NULL, e) < 0)
		return -1;
	/* A hole is left out, but at the end the length must be right. */
	if (p == NULL && at + len == j->en->size &&
	    sys_target->ftruncate(j->fd, (off_t)j->en->size) < 0)
		return err_sys(e, "set its length");
	atomic_fetch_add(&j->run->done_bytes, len);
	if (len < j->en->size)
		restore_tick(j->run);
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
		n = sys_target->pread(
			j->fd, back,
			len < VERIFY_LEN ? (size_t)len : VERIFY_LEN, (off_t)at);
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

static bool
is_stopped(void *ctx)
{
	return restore_stopped(ctx);
}

/* Make of the file that was there the one it is to be. */
static int
rewrite_content(struct job *j, struct err *e)
{
	const struct repository *r = j->run->opt->repository;
	struct inplace w = {
		.reader = j->run->gen->reader,
		.keys = r != NULL ? &r->keys : NULL,
		.en = j->en,
		.fd = j->fd,
		.stopped = is_stopped,
		.ctx = j->run,
	};
	int rc;

	rc = inplace_rewrite(&w, e);
	j->damage |= w.damage;
	atomic_fetch_add(&j->run->done_bytes, w.same + w.written + w.punched);
	restore_tick(j->run);
	return rc;
}

/* Write the open file, and check it if asked to. */
static int
write_content(struct job *j, struct err *e)
{
	const struct restore_options *opt = j->run->opt;

	if (j->in_place) {
		if (rewrite_content(j, e) < 0)
			return -1;
	} else {
		attrs_apply_early(j->run->attrs, j->en, j->fd);
		if (j->en->size > 0 && each_piece(j, write_piece, e) < 0)
			return -1;
	}
	if (j->en->size == 0)
		return 0;
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

	fd = target_openat(j->dirfd, j->at, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
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
	if (j->in_place) {
		at.mode = ATTRS_MODE_UNKNOWN;
		at.ours = false;
		(void)attrs_drop_others(run->attrs, j->en, j->fd, &why);
	} else if (j->dir->hands_on) {
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
		place_tell(j, &why);
}

/* Make it and all that belongs to it.  0 made, 1 left alone, -1. */
int
place_new(struct job *j, struct err *e)
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

int
place_link(struct job *j, struct target_dir *dir, const char *name,
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
	j->link_name = NULL;
	if (rc == 0)
		j->sum->links++;
	return rc;
}
