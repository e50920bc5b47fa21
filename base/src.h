/*
 * src - reading the files that are backed up.
 *
 * Built on sys_source.  These files belong to others: they change, vanish
 * and lie while they are read, so every failure is ERR_SOURCE with errno
 * kept, is booked against that one file, and never stops a run.  No symlink
 * is ever followed.  atime is left alone where the kernel lets us
 * (O_NOATIME).  `name` is only for the sentence; callers prefix the path.
 *
 * Every byte and every call is counted (src_counts), because "reads only
 * what changed" is a claim that tests check by counting, not by inference.
 */
#ifndef ASOF_BASE_SRC_H
#define ASOF_BASE_SRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct buf;
struct err;
struct statx;

/* What src reads of a file's statx. */
#define SRC_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME)

struct src_counts {
	uint64_t bytes; /* file contents read */
	uint64_t opens;
	uint64_t stats;
	uint64_t reads;
};

/* Totals since the process started. */
void src_counts(struct src_counts *out);

/*
 * Open for reading below dirfd.  `flags` may add O_DIRECTORY, or O_PATH.  A
 * file that is not there returns -1 with saved_errno ENOENT like any other
 * failure.  Running out of descriptors is ERR_SYS: no fault of the file's.
 */
int src_open(int dirfd, const char *name, int flags, struct err *e);
void src_close(int fd);

/*
 * The same for a path of several names that must lie beneath dirfd, itself
 * included ("."): no name of it may be a symlink, at no moment may it lead
 * elsewhere.  saved_errno is ELOOP for a link and EXDEV for a way out.
 */
int src_open_beneath(int dirfd, const char *path, int flags, struct err *e);

/*
 * Stat one name without following it, or dirfd itself with name "".  With
 * AT_STATX_DONT_SYNC behaviour left to the file system.
 */
int src_stat(int dirfd, const char *name, struct statx *out, struct err *e);

/*
 * Up to n bytes at `at`; fewer only at the end of the file.  Returns the
 * count.  `tally`, when not NULL, is increased by it (bytes of one file).
 */
ssize_t src_read(int fd, void *p, size_t n, uint64_t at, uint64_t *tally,
		 struct err *e);

/*
 * The first n bytes will be read soon: begin to fetch them, and do not wait.
 * Where that cannot be done, nothing happens.
 */
void src_will_read(int fd, size_t n);

/*
 * The next data at or after `at`, below `size`: *start and *end.  Returns 1
 * when only hole is left.  Where the file system does not know holes, all of
 * it is data.
 */
int src_next_data(int fd, uint64_t at, uint64_t size, uint64_t *start,
		  uint64_t *end, struct err *e);

/*
 * One batch of directory entries: calls fn for each but "." and "..".
 * Returns 1 when there may be more, 0 at the end, -1 on failure.  `scratch`
 * of `len` bytes is the getdents buffer.
 */
struct src_dirent {
	const char *name;
	size_t name_len;
	uint64_t ino;
	uint8_t type; /* DT_* */
};
typedef int (*src_dirent_fn)(void *ctx, const struct src_dirent *d,
			     struct err *e);
int src_list(int fd, void *scratch, size_t len, src_dirent_fn fn, void *ctx,
	     struct err *e);

/* The target of a symlink, appended to *out. */
int src_readlink(int dirfd, const char *name, struct buf *out, struct err *e);

/*
 * The extended attributes of an open file or directory (name NULL), or of
 * the name below dirfd, whatever it is, as pairs for fn, sorted by name.
 * File systems without xattrs have none.  A value that grows between the
 * calls is asked for again; one that vanishes is skipped.
 */
typedef int (*src_xattr_fn)(void *ctx, const char *name, const void *value,
			    size_t len, struct err *e);
int src_xattrs(int fd, const char *name, src_xattr_fn fn, void *ctx,
	       struct err *e);

/* FS_IOC_GETFLAGS; 0 where the file system has none. */
uint32_t src_inode_flags(int fd);

/*
 * Make what was stored through mappings visible in its times.  Nothing to do on
 * file systems that are read-only and know no such call.
 */
int src_datasync(int fd, struct err *e);
int src_syncfs(int fd, struct err *e);

/*
 * A stable identity of the file system that fd lies on, printable, at most
 * SRC_FSID_MAX bytes with its NUL: "uuid:…", "btrfs:UUID:SUBVOL", "fsid:…"
 * or "dev:…" in this order of preference.
 */
#define SRC_FSID_MAX 96
int src_fs_id(int fd, char out[SRC_FSID_MAX], struct err *e);

/* The f_type of statfs, or 0. */
int64_t src_fs_type(int fd);

#endif
