/*
 * Everything here is prepared for a file that somebody else changes between
 * any two calls, and for file systems (FUSE) that answer nonsense.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/src.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SHOWN(name) path_show_in((char[PATH_SHOW_LEN]){ 0 }, name, strlen(name))

#define BTRFS_MAGIC 0x9123683e

/*
 * The kernel's limits: PATH_MAX for links, 64 KiB for attributes.  Twice as
 * much is asked for before a file system is disbelieved.
 */
#define LINK_LEN_MAX  (2 * PATH_MAX)
#define XATTR_LEN_MAX (2 * 65536)

/* Most files have no attributes or one of this size: one call is enough. */
#define XATTR_LEN_FIRST 256

/* linux/fs.h since 6.9. */
struct uuid_answer {
	uint8_t len;
	uint8_t uuid[16];
};
#define GET_FS_UUID _IOR(0x15, 0, struct uuid_answer)

static struct {
	atomic_uint_fast64_t bytes;
	atomic_uint_fast64_t opens;
	atomic_uint_fast64_t stats;
	atomic_uint_fast64_t reads;
} counts;

static void
count(atomic_uint_fast64_t *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

static uint64_t
count_now(atomic_uint_fast64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

void
src_counts(struct src_counts *out)
{
	out->bytes = count_now(&counts.bytes);
	out->opens = count_now(&counts.opens);
	out->stats = count_now(&counts.stats);
	out->reads = count_now(&counts.reads);
}

int
src_open(int dirfd, const char *name, int flags, struct err *e)
{
	int fd;

	count(&counts.opens, 1);
	flags |= O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME;
	for (;;) {
		fd = sys_source->openat(dirfd, name, flags, 0);
		if (fd >= 0)
			return fd;
		if (errno == EINTR)
			continue;
		/* Our own want of descriptors is no fault of the file's. */
		if (errno == EMFILE || errno == ENFILE)
			return err_sys(e, "open %s", SHOWN(name));
		/* O_NOATIME is for the owner of the file, and for root. */
		if (errno != EPERM || !(flags & O_NOATIME))
			return err_source(e, "open %s", SHOWN(name));
		flags &= ~O_NOATIME;
	}
}

/*
 * The kernel answers EAGAIN when names were moved while it looked and it cannot
 * tell whether it is still beneath; somebody who moves them all the time does
 * not keep us here.
 */
#define BENEATH_TRIES 100

int
src_open_beneath(int dirfd, const char *path, int flags, struct err *e)
{
	struct open_how how = { 0 };
	int tries = 0;
	int fd;

	count(&counts.opens, 1);
	how.resolve =
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
	flags |= O_RDONLY | O_CLOEXEC;
	/* The kernel takes no flag here that would mean nothing. */
	if ((flags & O_PATH) == 0)
		flags |= O_NONBLOCK | O_NOATIME | O_NOCTTY;
	for (;;) {
		how.flags = (uint64_t)flags;
		fd = sys_source->openat2(dirfd, path, &how);
		if (fd >= 0)
			return fd;
		if (errno == EINTR ||
		    (errno == EAGAIN && ++tries < BENEATH_TRIES))
			continue;
		if (errno == EMFILE || errno == ENFILE)
			return err_sys(e, "open %s", SHOWN(path));
		if (errno != EPERM || !(flags & O_NOATIME))
			return err_source(e, "open %s", SHOWN(path));
		flags &= ~O_NOATIME;
	}
}

void
src_close(int fd)
{
	if (fd != -1)
		(void)sys_source->close(fd);
}

int
src_stat(int dirfd, const char *name, struct statx *out, struct err *e)
{
	struct statx st;
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
	int rc;

	count(&counts.stats, 1);
	if (name[0] == '\0')
		flags |= AT_EMPTY_PATH;
	do
		rc = sys_source->statx(dirfd, name, flags, SRC_STATX_MASK, &st);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return err_source(e, "stat %s", SHOWN(name));
	*out = st;
	return 0;
}

ssize_t
src_read(int fd, void *p, size_t n, uint64_t at, uint64_t *tally, struct err *e)
{
	size_t done = 0;
	ssize_t got;

	if (at > INT64_MAX || n > INT64_MAX - at)
		n = at > INT64_MAX ? 0 : (size_t)(INT64_MAX - at);
	while (done < n) {
		got = sys_source->pread(fd, (char *)p + done, n - done,
					(off_t)(at + done));
		count(&counts.reads, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_source(e, "read at %" PRIu64, at + done);
		if (got == 0)
			break;
		done += (size_t)got;
		count(&counts.bytes, (uint64_t)got);
	}
	if (tally != NULL)
		*tally += done;
	return (ssize_t)done;
}

void
src_will_read(int fd, size_t n)
{
	(void)sys_source->fadvise(fd, 0, (off_t)n, POSIX_FADV_WILLNEED);
}

/* lseek where EINTR does not count. */
static off_t
seek(int fd, uint64_t at, int whence)
{
	off_t to;

	do
		to = sys_source->lseek(fd, (off_t)at, whence);
	while (to < 0 && errno == EINTR);
	return to;
}

int
src_next_data(int fd, uint64_t at, uint64_t size, uint64_t *start,
	      uint64_t *end, struct err *e)
{
	off_t data;
	off_t hole;

	if (at >= size || at > INT64_MAX)
		return 1;
	data = seek(fd, at, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return 1;
	if (data < 0 && errno != EINVAL && errno != EOPNOTSUPP)
		return err_source(e, "look for data at %" PRIu64, at);
	/* No holes known here, or an answer that makes no sense: all data. */
	if (data < 0 || (uint64_t)data < at)
		data = (off_t)at;
	if ((uint64_t)data >= size)
		return 1;
	/*
	 * Where the hole cannot be told, as in a file that was cut just now,
	 * the reader finds out how much there is.
	 */
	hole = seek(fd, (uint64_t)data, SEEK_HOLE);
	*start = (uint64_t)data;
	*end = size;
	if (hole > data && (uint64_t)hole < size)
		*end = (uint64_t)hole;
	return 0;
}

/* The entry at p in the answer of getdents64; returns its length there. */
static size_t
entry_at(const uint8_t *p, struct src_dirent *out)
{
	uint16_t reclen;
	size_t head = offsetof(struct dirent64, d_name);

	memcpy(&reclen, p + offsetof(struct dirent64, d_reclen),
	       sizeof(reclen));
	memcpy(&out->ino, p + offsetof(struct dirent64, d_ino),
	       sizeof(out->ino));
	out->type = p[offsetof(struct dirent64, d_type)];
	out->name = (const char *)p + head;
	out->name_len = strnlen(out->name, reclen - head);
	return reclen;
}

int
src_list(int fd, void *scratch, size_t len, src_dirent_fn fn, void *ctx,
	 struct err *e)
{
	const uint8_t *p = scratch;
	struct src_dirent d;
	ssize_t left;
	size_t n;

	do
		left = sys_source->getdents64(fd, scratch, len);
	while (left < 0 && errno == EINTR);
	if (left < 0)
		return err_source(e, "list directory");
	if (left == 0)
		return 0;
	for (; left > 0; p += n, left -= (ssize_t)n) {
		n = entry_at(p, &d);
		if (strcmp(d.name, ".") == 0 || strcmp(d.name, "..") == 0)
			continue;
		if (fn(ctx, &d, e) < 0)
			return -1;
	}
	return 1;
}

int
src_readlink(int dirfd, const char *name, struct buf *out, struct err *e)
{
	size_t start = out->len;
	size_t room;
	ssize_t n;

	for (room = 256; room <= LINK_LEN_MAX; room *= 2) {
		if (!buf_reserve(out, room))
			return err_nomem(e);
		do
			n = sys_source->readlinkat(
				dirfd, name, (char *)out->data + start, room);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return err_source(e, "read link %s", SHOWN(name));
		/* A target that fills the room may have been cut. */
		if ((size_t)n < room) {
			out->len = start + (size_t)n;
			return 0;
		}
	}
	errno = ENAMETOOLONG;
	return err_source(e, "read link %s", SHOWN(name));
}

/* Where attributes are read: of fd, or of `path` when that is not NULL. */
struct xattr_place {
	int fd;
	const char *path;
};

/* The list of names (attr NULL) or one value; like the system call. */
static ssize_t
xattr_call(const struct xattr_place *at, const char *attr, void *p, size_t n)
{
	ssize_t got;

	do {
		if (at->path == NULL && attr == NULL)
			got = sys_source->flistxattr(at->fd, p, n);
		else if (at->path == NULL)
			got = sys_source->fgetxattr(at->fd, attr, p, n);
		else if (attr == NULL)
			got = sys_source->llistxattr(at->path, p, n);
		else
			got = sys_source->lgetxattr(at->path, attr, p, n);
	} while (got < 0 && errno == EINTR);
	return got;
}

/*
 * The same into *out, however long it is.  Returns 1 when there is no such
 * thing: no attributes on this file system, or gone in the meantime.
 */
static int
xattr_fetch(const struct xattr_place *at, const char *attr, struct buf *out,
	    struct err *e)
{
	size_t room = XATTR_LEN_FIRST;
	ssize_t n;

	buf_reset(out);
	for (;;) {
		if (!buf_reserve(out, room))
			return err_nomem(e);
		n = xattr_call(at, attr, out->data, out->cap);
		if (n >= 0) {
			out->len = (size_t)n;
			return 0;
		}
		if (errno == ENOTSUP || errno == EOPNOTSUPP)
			return 1;
		if (errno == ENODATA && attr != NULL)
			return 1;
		if (errno != ERANGE || room >= XATTR_LEN_MAX)
			break;
		room = 4 * room;
	}
	if (attr == NULL)
		return err_source(e, "list attributes");
	return err_source(e, "read attribute %s", SHOWN(attr));
}

static int
compare_names(const void *a, const void *b)
{
	const char *const *x = a;
	const char *const *y = b;

	return strcmp(*x, *y);
}

/* Pointers to the names in `list`, sorted; *n says how many. */
static const char **
sort_names(struct buf *list, size_t *n)
{
	const char *p = buf_str(list);
	const char *end = p + list->len;
	const char **names;
	size_t i = 0;

	/* A name takes two bytes at least: one character and a NUL. */
	names = mem_array(list->len / 2 + 1, sizeof(*names));
	if (names == NULL || list->failed) {
		mem_free(names);
		return NULL;
	}
	for (; p < end; p += strlen(p) + 1)
		if (p[0] != '\0')
			names[i++] = p;
	qsort(names, i, sizeof(*names), compare_names);
	*n = i;
	return names;
}

static int
xattr_each(const struct xattr_place *at, struct buf *list, src_xattr_fn fn,
	   void *ctx, struct err *e)
{
	struct buf value = { 0 };
	const char **names;
	size_t n = 0;
	size_t i;
	int rc = 0;

	names = sort_names(list, &n);
	if (names == NULL)
		return err_nomem(e);
	for (i = 0; i < n && rc == 0; i++) {
		if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
			continue;
		rc = xattr_fetch(at, names[i], &value, e);
		if (rc == 0)
			rc = fn(ctx, names[i], value.data, value.len, e);
		else if (rc > 0)
			rc = 0;
	}
	buf_clear(&value);
	mem_free(names);
	return rc;
}

int
src_xattrs(int fd, const char *name, src_xattr_fn fn, void *ctx, struct err *e)
{
	struct xattr_place at = { fd, NULL };
	struct buf path = { 0 };
	struct buf list = { 0 };
	int rc = -1;

	/* There are no *xattrat calls; /proc names what fd stands for. */
	if (name != NULL) {
		buf_printf(&path, "/proc/self/fd/%d/%s", fd, name);
		at.path = buf_str(&path);
		if (buf_ok(&path, e) < 0)
			goto out;
	}
	rc = xattr_fetch(&at, NULL, &list, e);
	if (rc > 0)
		rc = 0;
	else if (rc == 0 && list.len > 0)
		rc = xattr_each(&at, &list, fn, ctx, e);
out:
	buf_clear(&path);
	buf_clear(&list);
	return rc < 0 ? -1 : 0;
}

uint32_t
src_inode_flags(int fd)
{
	/* Declared with a long, written as an int, by some as a long. */
	union {
		uint32_t flags;
		long room;
	} u = { .room = 0 };

	if (sys_source->ioctl(fd, FS_IOC_GETFLAGS, &u) < 0)
		return 0;
	return u.flags;
}

int
src_datasync(int fd, struct err *e)
{
	int rc;

	do
		rc = sys_source->fdatasync(fd);
	while (rc < 0 && errno == EINTR);
	/* Read-only file systems know no such call: nothing is to be done. */
	if (rc < 0 && (errno == EINVAL || errno == EROFS))
		return 0;
	return rc < 0 ? err_source(e, "fdatasync") : 0;
}

int
src_syncfs(int fd, struct err *e)
{
	int rc;

	do
		rc = sys_source->syncfs(fd);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? err_source(e, "syncfs") : 0;
}

/* Thirty-two digits and a NUL.  False when all bytes are zero. */
static bool
uuid_text(char out[33], const uint8_t uuid[16])
{
	unsigned any = 0;
	size_t i;

	for (i = 0; i < 16; i++)
		any |= uuid[i];
	hex_format(out, uuid, 16);
	return any != 0;
}

/* Inode numbers are only unique within a subvolume, hence its number. */
static bool
id_btrfs(int fd, char out[SRC_FSID_MAX])
{
	struct btrfs_ioctl_fs_info_args info = { 0 };
	struct btrfs_ioctl_ino_lookup_args *look;
	char uuid[33];
	bool ok = false;

	/* Four kilobytes: too much for a stack that is small. */
	look = mem_zalloc(sizeof(*look));
	if (look == NULL)
		return false;
	look->objectid = BTRFS_FIRST_FREE_OBJECTID;
	if (sys_source->ioctl(fd, BTRFS_IOC_FS_INFO, &info) == 0 &&
	    sys_source->ioctl(fd, BTRFS_IOC_INO_LOOKUP, look) == 0 &&
	    uuid_text(uuid, info.fsid)) {
		(void)snprintf(out, SRC_FSID_MAX, "btrfs:%s:%" PRIu64, uuid,
			       (uint64_t)look->treeid);
		ok = true;
	}
	mem_free(look);
	return ok;
}

static bool
id_uuid(int fd, char out[SRC_FSID_MAX])
{
	struct uuid_answer a = { 0 };
	char uuid[33];

	if (sys_source->ioctl(fd, GET_FS_UUID, &a) < 0)
		return false;
	if (a.len != sizeof(a.uuid) || !uuid_text(uuid, a.uuid))
		return false;
	(void)snprintf(out, SRC_FSID_MAX, "uuid:%s", uuid);
	return true;
}

int
src_fs_id(int fd, char out[SRC_FSID_MAX], struct err *e)
{
	struct statfs fs;
	struct stat st;
	int32_t id[2];

	if (sys_source->fstatfs(fd, &fs) < 0)
		return err_source(e, "statfs");
	if ((uint32_t)fs.f_type == BTRFS_MAGIC) {
		if (id_btrfs(fd, out))
			return 0;
	} else if (id_uuid(fd, out)) {
		return 0;
	}
	memcpy(id, &fs.f_fsid, sizeof(id));
	if (id[0] != 0 || id[1] != 0) {
		(void)snprintf(out, SRC_FSID_MAX,
			       "fsid:%08" PRIx32 "%08" PRIx32, (uint32_t)id[0],
			       (uint32_t)id[1]);
		return 0;
	}
	if (sys_source->fstat(fd, &st) < 0)
		return err_source(e, "stat");
	(void)snprintf(out, SRC_FSID_MAX, "dev:%u:%u:%" PRIx32,
		       major(st.st_dev), minor(st.st_dev), (uint32_t)fs.f_type);
	return 0;
}

int64_t
src_fs_type(int fd)
{
	struct statfs st;

	if (sys_source->fstatfs(fd, &st) < 0)
		return 0;
	return (int64_t)st.f_type;
}
