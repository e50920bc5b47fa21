/*
 * io - whole operations on the files of a repository and of the cache.
 *
 * Built on sys_repo.  EINTR and short counts are dealt with here; a call
 * either does all of it or fails with a sentence naming the file.  `name`
 * parameters are only for that sentence.  Descriptors are close-on-exec.
 * Any thread, on different descriptors.
 */
#ifndef ASOF_BASE_IO_H
#define ASOF_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct buf;
struct err;

/* Length of a random name made by io_random_name, without its NUL. */
#define IO_RANDOM_NAME_LEN 32

/*
 * Open `path` below dirfd.  Never follows a symlink in the last place, and
 * never blocks on a FIFO.  Returns the descriptor; -1 with *e; with
 * `missing` not NULL, a file that does not exist sets *missing and returns
 * -1 without an error.
 */
int io_open(int dirfd, const char *path, int flags, mode_t mode, bool *missing,
	    struct err *e);

/* Open a directory, read-only, for use as a dirfd. */
int io_open_dir(int dirfd, const char *path, struct err *e);

/*
 * Close.  A failing close is a failing write (ENOSPC, EIO may come late).
 * -1 as fd does nothing.
 */
int io_close(int fd, const char *name, struct err *e);

/*
 * From now on the number `fd` is what `with` is, at once for all threads; what
 * it was is closed.  `with` stays open, too.
 */
int io_replace(int fd, int with, const char *name, struct err *e);

/* The same inode? */
bool io_same(const struct stat *a, const struct stat *b);

/*
 * Is what is open as `fd` (still) what the path leads to?  `flags`:
 * AT_SYMLINK_NOFOLLOW or 0.  Where it cannot be looked at, no.
 */
bool io_is_at(int fd, int dirfd, const char *path, int flags);

/* Exactly n bytes at `at`, or ERR_CORRUPT when the file ends before. */
int io_read_at(int fd, void *p, size_t n, uint64_t at, const char *name,
	       struct err *e);

/* As many bytes as there are, at most n: the count, or -1. */
ssize_t io_read_some(int fd, void *p, size_t n, uint64_t at, const char *name,
		     struct err *e);

int io_write_at(int fd, const void *p, size_t n, uint64_t at, const char *name,
		struct err *e);

/*
 * fsync.  After a failure the file's contents are not to be trusted and the
 * call is not to be repeated: abandon the file under this name.
 */
int io_sync(int fd, const char *name, struct err *e);

/* fsync of the directory dirfd.  EINVAL (not supported) is a failure. */
int io_sync_dir(int dirfd, const char *name, struct err *e);

/* Size of an open regular file; anything else is ERR_CORRUPT. */
int io_size(int fd, uint64_t *out, const char *name, struct err *e);

/*
 * All of a regular file of at most `max` bytes, appended to *out.  Returns
 * 1 when there is none, -1 when it is longer or cannot be read.
 */
int io_read_file(int dirfd, const char *name, size_t max, struct buf *out,
		 struct err *e);

/*
 * Write a new file of `len` bytes durably under `name`: temporary file in
 * the same directory, fsync, then link (replace false: an existing name
 * returns 1 and changes nothing) or rename (replace true), then fsync of the
 * directory.  On failure a new file is not left under `name`; one that was
 * to be replaced is whole, the old or the new.  `name` is an entry of dirfd
 * itself (no slash, no AT_FDCWD), because dirfd is what is synced.
 */
int io_publish(int dirfd, const char *name, const void *p, size_t len,
	       bool replace, struct err *e);

/* IO_RANDOM_NAME_LEN hexadecimal digits and a NUL. */
int io_random_name(char out[IO_RANDOM_NAME_LEN + 1], struct err *e);

/* n random bytes, or ERR_SYS: never a constant. */
int io_random(void *p, size_t n, struct err *e);

/*
 * Create a directory durably unless it is there (then: a real directory).
 * `name` as in io_publish.
 */
int io_mkdir(int dirfd, const char *name, mode_t mode, struct err *e);

/* Remove; that it is gone already is no error. */
int io_unlink(int dirfd, const char *name, struct err *e);

/* Make a directory and those above it, as far as they are not there. */
int io_mkdirs(const char *path, mode_t mode, struct err *e);

/*
 * Give an entry of dirfd another name there, in place of what has that name.
 * Not synced.
 */
int io_rename(int dirfd, const char *from, const char *to, struct err *e);

/*
 * Remove a directory and what is in it; that it is gone already is no error.
 * Symlinks in it are removed, not followed.  What stands in it deeper than
 * `depth` directories makes it fail.
 */
int io_remove_tree(int dirfd, const char *name, unsigned depth, struct err *e);

/*
 * Names in the directory, without "." and "..", in no order: `fn` is called
 * for each; it returns 0 to go on, or -1 with *e to stop with that.
 */
typedef int (*io_name_fn)(void *ctx, const char *name, struct err *e);
int io_list(int dirfd, const char *dirname, io_name_fn fn, void *ctx,
	    struct err *e);

/*
 * Take flock on fd: exclusive or shared, without waiting.  0 taken, 1 held
 * by somebody else, -1 failed.
 */
int io_lock(int fd, bool exclusive, const char *name, struct err *e);

/* True for file systems where locks and events are not local (NFS, SMB...). */
bool io_is_remote(int fd);

#endif
