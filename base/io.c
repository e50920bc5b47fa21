/*
 * Durability rules kept here: a file gets its final name only after its
 * contents are synced and its descriptor closed without complaint; the
 * directory is synced after the name; a failed fsync is never repeated,
 * because the kernel reports a lost page once and then calls it clean.
 *
 * EINTR is the one failure that is repeated: nothing was reported by it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/io.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LIST_BUF_LEN  32768
#define TEMP_PREFIX   ".tmp-"
#define TEMP_NAME_LEN (sizeof(TEMP_PREFIX) - 1 + IO_RANDOM_NAME_LEN)

/* A name, made safe, for the sentence of an error. */
#define SHOWN(name) path_show_in((char[PATH_SHOW_LEN]){ 0 }, name, strlen(name))

int
io_open(int dirfd, const char *path, int flags, mode_t mode, bool *missing,
	struct err *e)
{
	int fd;

	if (missing != NULL)
		*missing = false;
	flags |= O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	do
		fd = sys_repo->openat(dirfd, path, flags, mode);
	while (fd < 0 && errno == EINTR);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT && missing != NULL) {
		*missing = true;
		return -1;
	}
	return err_sys(e, "open %s", SHOWN(path));
}

int
io_open_dir(int dirfd, const char *path, struct err *e)
{
	return io_open(dirfd, path, O_RDONLY | O_DIRECTORY, 0, NULL, e);
}

int
io_close(int fd, const char *name, struct err *e)
{
	if (fd == -1)
		return 0;
	/* After EINTR Linux has closed it; what had to last was synced. */
	if (sys_repo->close(fd) < 0 && errno != EINTR)
		return err_sys(e, "close %s", SHOWN(name));
	return 0;
}

ssize_t
io_read_some(int fd, void *p, size_t n, uint64_t at, const char *name,
	     struct err *e)
{
	size_t done = 0;
	ssize_t got;

	/* No file reaches that far, whatever a stored offset says. */
	if (at > INT64_MAX || n > INT64_MAX - at)
		n = at > INT64_MAX ? 0 : (size_t)(INT64_MAX - at);
	while (done < n) {
		got = sys_repo->pread(fd, (char *)p + done, n - done,
				      (off_t)(at + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, "read %s", SHOWN(name));
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

int
io_replace(int fd, int with, const char *name, struct err *e)
{
	int rc;

	do
		rc = dup3(with, fd, O_CLOEXEC);
	while (rc < 0 && (errno == EINTR || errno == EBUSY));
	return rc < 0 ? err_sys(e, "open %s anew", name) : 0;
}

bool
io_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool
io_is_at(int fd, int dirfd, const char *path, int flags)
{
	struct stat by_name;
	struct stat by_fd;

	return sys_repo->fstatat(dirfd, path, &by_name, flags) == 0 &&
	       sys_repo->fstat(fd, &by_fd) == 0 && io_same(&by_name, &by_fd);
}

int
io_read_at(int fd, void *p, size_t n, uint64_t at, const char *name,
	   struct err *e)
{
	ssize_t got = io_read_some(fd, p, n, at, name, e);

	if (got < 0)
		return -1;
	if ((size_t)got < n)
		return err_set(e, ERR_CORRUPT,
			       "%s: ends %zu bytes into the %zu at %" PRIu64,
			       SHOWN(name), (size_t)got, n, at);
	return 0;
}

int
io_write_at(int fd, const void *p, size_t n, uint64_t at, const char *name,
	    struct err *e)
{
	size_t done = 0;
	ssize_t put;

	if (at > INT64_MAX || n > INT64_MAX - at) {
		errno = EFBIG;
		return err_sys(e, "write %s", SHOWN(name));
	}
	while (done < n) {
		put = sys_repo->pwrite(fd, (const char *)p + done, n - done,
				       (off_t)(at + done));
		if (put < 0 && errno == EINTR)
			continue;
		if (put == 0)
			errno = ENOSPC;
		if (put <= 0)
			return err_sys(e, "write %s", SHOWN(name));
		done += (size_t)put;
	}
	return 0;
}

int
io_sync(int fd, const char *name, struct err *e)
{
	int rc;

	do
		rc = sys_repo->fsync(fd);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return err_sys(e, "fsync %s", SHOWN(name));
	return 0;
}

int
io_sync_dir(int dirfd, const char *name, struct err *e)
{
	return io_sync(dirfd, name, e);
}

int
io_size(int fd, uint64_t *out, const char *name, struct err *e)
{
	struct stat st;

	if (sys_repo->fstat(fd, &st) < 0)
		return err_sys(e, "stat %s", SHOWN(name));
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_CORRUPT, "%s: not a regular file",
			       SHOWN(name));
	*out = (uint64_t)st.st_size;
	return 0;
}

/* The whole of an open file, appended to *out. */
static int
read_all(int fd, const char *name, size_t max, struct buf *out, struct err *e)
{
	uint64_t size;
	uint8_t *p;

	if (io_size(fd, &size, name, e) < 0)
		return -1;
	if (size > max)
		return err_set(e, ERR_CORRUPT,
			       "%s: %" PRIu64
			       " bytes long, at most %zu allowed",
			       SHOWN(name), size, max);
	p = buf_extend(out, (size_t)size);
	if (p == NULL)
		return err_nomem(e);
	if (io_read_at(fd, p, (size_t)size, 0, name, e) < 0) {
		out->len -= (size_t)size;
		return -1;
	}
	return 0;
}

int
io_read_file(int dirfd, const char *name, size_t max, struct buf *out,
	     struct err *e)
{
	bool missing;
	int fd;
	int rc;

	fd = io_open(dirfd, name, O_RDONLY, 0, &missing, e);
	if (fd < 0)
		return missing ? 1 : -1;
	rc = read_all(fd, name, max, out, e);
	/* Nothing was written, so nothing can get lost here. */
	(void)io_close(fd, name, NULL);
	return rc;
}

/* A new file `temp` with these contents, synced and closed. */
static int
write_temp(int dirfd, const char *temp, const void *p, size_t len,
	   struct err *e)
{
	int rc = -1;
	int fd;

	fd = io_open(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL, 0666, NULL, e);
	if (fd < 0)
		return -1;
	if (io_write_at(fd, p, len, 0, temp, e) < 0)
		goto out;
	rc = io_sync(fd, temp, e);
out:
	if (io_close(fd, temp, e) < 0)
		rc = -1;
	if (rc < 0)
		(void)sys_repo->unlinkat(dirfd, temp, 0);
	return rc;
}

static int
rename_temp(int dirfd, const char *temp, const char *name, unsigned flags)
{
	int rc;

	do
		rc = sys_repo->renameat2(dirfd, temp, dirfd, name, flags);
	while (rc < 0 && errno == EINTR);
	return rc;
}

static int
link_temp(int dirfd, const char *temp, const char *name)
{
	int rc;

	do
		rc = sys_repo->linkat(dirfd, temp, dirfd, name, 0);
	while (rc < 0 && errno == EINTR);
	return rc;
}

/*
 * An interrupted or repeated call (FUSE, NFS) may have made the link before
 * it was told that there is one.
 */
static bool
same_file(int dirfd, const char *a, const char *b)
{
	struct stat x;
	struct stat y;

	return sys_repo->fstatat(dirfd, a, &x, AT_SYMLINK_NOFOLLOW) == 0 &&
	       sys_repo->fstatat(dirfd, b, &y, AT_SYMLINK_NOFOLLOW) == 0 &&
	       io_same(&x, &y);
}

/*
 * Give `temp` its name, which nobody may have.  Returns 1 when somebody has.
 * The temporary name is gone afterwards only when 0 is returned.
 */
static int
name_new(int dirfd, const char *temp, const char *name, struct err *e)
{
	int rc = link_temp(dirfd, temp, name);

	if (rc < 0 && errno == EEXIST) {
		if (!same_file(dirfd, temp, name))
			return 1;
		rc = 0;
	}
	if (rc == 0) {
		(void)sys_repo->unlinkat(dirfd, temp, 0);
		return 0;
	}
	/* FAT and some FUSE and SMB file systems have no hard links. */
	if ((errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS) &&
	    rename_temp(dirfd, temp, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EEXIST)
		return 1;
	return err_sys(e, "create %s", SHOWN(name));
}

static int
name_over(int dirfd, const char *temp, const char *name, struct err *e)
{
	if (rename_temp(dirfd, temp, name, 0) < 0)
		return err_sys(e, "replace %s", SHOWN(name));
	return 0;
}

/* A name for a temporary file, which IO_RANDOM_NAME_LEN digits make unique. */
static int
temp_name(char out[TEMP_NAME_LEN + 1], struct err *e)
{
	memcpy(out, TEMP_PREFIX, sizeof(TEMP_PREFIX));
	return io_random_name(out + sizeof(TEMP_PREFIX) - 1, e);
}

int
io_publish(int dirfd, const char *name, const void *p, size_t len, bool replace,
	   struct err *e)
{
	char temp[TEMP_NAME_LEN + 1];
	int rc;

	/* Below another directory, the wrong one would be synced. */
	assert(strchr(name, '/') == NULL);
	if (temp_name(temp, e) < 0)
		return -1;
	if (write_temp(dirfd, temp, p, len, e) < 0)
		return err_prefix(e, "write %s", SHOWN(name));
	if (replace)
		rc = name_over(dirfd, temp, name, e);
	else
		rc = name_new(dirfd, temp, name, e);
	if (rc != 0) {
		(void)sys_repo->unlinkat(dirfd, temp, 0);
		return rc;
	}
	if (io_sync_dir(dirfd, ".", e) == 0)
		return 0;
	/* What was replaced cannot come back; its successor is whole. */
	if (!replace)
		(void)sys_repo->unlinkat(dirfd, name, 0);
	return err_prefix(e, "write %s", SHOWN(name));
}

int
io_random(void *p, size_t n, struct err *e)
{
	size_t done = 0;
	ssize_t got;

	while (done < n) {
		got = sys_repo->getrandom((char *)p + done, n - done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EIO;
		if (got <= 0)
			return err_sys(e, "get random bytes");
		done += (size_t)got;
	}
	return 0;
}

int
io_random_name(char out[IO_RANDOM_NAME_LEN + 1], struct err *e)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t raw[IO_RANDOM_NAME_LEN / 2];
	size_t i;

	if (io_random(raw, sizeof(raw), e) < 0)
		return -1;
	for (i = 0; i < sizeof(raw); i++) {
		out[2 * i] = digits[raw[i] >> 4];
		out[2 * i + 1] = digits[raw[i] & 15];
	}
	out[IO_RANDOM_NAME_LEN] = '\0';
	return 0;
}

int
io_mkdir(int dirfd, const char *name, mode_t mode, struct err *e)
{
	struct stat st;

	assert(strchr(name, '/') == NULL);
	if (sys_repo->mkdirat(dirfd, name, mode) < 0) {
		if (errno != EEXIST)
			return err_sys(e, "create directory %s", SHOWN(name));
		if (sys_repo->fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) <
		    0)
			return err_sys(e, "stat %s", SHOWN(name));
		if (!S_ISDIR(st.st_mode))
			return err_set(e, ERR_CORRUPT, "%s: not a directory",
				       SHOWN(name));
	}
	/*
	 * One that was there may come from a process that was killed before
	 * it came to this line.
	 */
	if (io_sync_dir(dirfd, ".", e) < 0)
		return err_prefix(e, "create directory %s", SHOWN(name));
	return 0;
}

int
io_unlink(int dirfd, const char *name, struct err *e)
{
	if (sys_repo->unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove %s", SHOWN(name));
	return 0;
}

int
io_mkdirs(const char *path, mode_t mode, struct err *e)
{
	struct buf part = { 0 };
	const char *slash = path;
	const char *dir;
	int rc = 0;

	while (rc == 0 && slash != NULL) {
		slash = strchr(slash + 1, '/');
		buf_reset(&part);
		buf_add(&part, path,
			slash == NULL ? strlen(path) : (size_t)(slash - path));
		dir = buf_str(&part);
		rc = buf_ok(&part, e);
		/* Whether it is there is asked when it is opened. */
		if (rc == 0 && sys_repo->mkdirat(AT_FDCWD, dir, mode) < 0 &&
		    errno != EEXIST && errno != EROFS && errno != EACCES)
			rc = err_sys(e, "create directory %s", SHOWN(dir));
	}
	buf_clear(&part);
	return rc;
}

int
io_rename(int dirfd, const char *from, const char *to, struct err *e)
{
	if (rename_temp(dirfd, from, to, 0) < 0)
		return err_sys(e, "rename %s to %s", SHOWN(from), SHOWN(to));
	return 0;
}

/* A directory that is being emptied. */
struct removal {
	int fd;
	unsigned depth;
};

static int
remove_entry(void *ctx, const char *name, struct err *e)
{
	const struct removal *r = ctx;

	if (sys_repo->unlinkat(r->fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR || r->depth == 0)
		return err_sys(e, "remove %s", SHOWN(name));
	return io_remove_tree(r->fd, name, r->depth - 1, e);
}

int
io_remove_tree(int dirfd, const char *name, unsigned depth, struct err *e)
{
	struct removal r = { -1, depth };
	bool missing;
	int rc;

	r.fd = io_open(dirfd, name, O_RDONLY | O_DIRECTORY, 0, &missing, e);
	if (r.fd < 0)
		return missing ? 0 : -1;
	rc = io_list(r.fd, name, remove_entry, &r, e);
	(void)io_close(r.fd, name, NULL);
	if (rc == 0 && sys_repo->unlinkat(dirfd, name, AT_REMOVEDIR) < 0 &&
	    errno != ENOENT)
		rc = err_sys(e, "remove %s", SHOWN(name));
	return rc;
}

/* Call fn for the names in one answer of getdents64. */
static int
each_name(const uint8_t *p, size_t len, io_name_fn fn, void *ctx, struct err *e)
{
	const char *name;
	uint16_t reclen;

	for (; len > 0; p += reclen, len -= reclen) {
		memcpy(&reclen, p + offsetof(struct dirent64, d_reclen),
		       sizeof(reclen));
		name = (const char *)p + offsetof(struct dirent64, d_name);
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (fn(ctx, name, e) < 0)
			return -1;
	}
	return 0;
}

static int
list_open(int fd, const char *dirname, io_name_fn fn, void *ctx, struct err *e)
{
	uint8_t *raw;
	ssize_t n;
	int rc = -1;

	raw = mem_alloc(LIST_BUF_LEN);
	if (raw == NULL)
		return err_nomem(e);
	for (;;) {
		n = sys_repo->getdents64(fd, raw, LIST_BUF_LEN);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_sys(e, "list %s", SHOWN(dirname));
			break;
		}
		if (n == 0) {
			rc = 0;
			break;
		}
		if (each_name(raw, (size_t)n, fn, ctx, e) < 0)
			break;
	}
	mem_free(raw);
	return rc;
}

int
io_list(int dirfd, const char *dirname, io_name_fn fn, void *ctx, struct err *e)
{
	int fd;
	int rc;

	/* A descriptor of its own, for a position of its own. */
	fd = io_open_dir(dirfd, ".", e);
	if (fd < 0)
		return err_prefix(e, "list %s", SHOWN(dirname));
	rc = list_open(fd, dirname, fn, ctx, e);
	(void)io_close(fd, dirname, NULL);
	return rc;
}

int
io_lock(int fd, bool exclusive, const char *name, struct err *e)
{
	int rc;

	do
		rc = sys_repo->flock(fd,
				     (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return 1;
	return err_sys(e, "lock %s", SHOWN(name));
}

bool
io_is_remote(int fd)
{
	/* statfs(2) and linux/magic.h; FUSE may be sshfs, so it counts. */
	static const uint32_t remote[] = {
		0x6969,     /* NFS */
		0x517b,     /* SMB */
		0xff534d42, /* CIFS */
		0xfe534d42, /* SMB2 */
		0x65735546, /* FUSE */
		0x01021997, /* 9P */
		0x00c36400, /* Ceph */
		0x5346414f, /* AFS */
		0x6b414653, /* kAFS */
		0x73757245, /* Coda */
		0x564c,     /* NCP */
		0x0bd00bd0, /* Lustre */
		0x01161970, /* GFS2 */
		0x7461636f, /* OCFS2 */
		0x786f4256, /* VirtualBox shared folder */
	};
	struct statfs st;
	size_t i;

	if (sys_repo->fstatfs(fd, &st) < 0)
		return false;
	for (i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if ((uint32_t)st.f_type == remote[i])
			return true;
	return false;
}
