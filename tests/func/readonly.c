/*
 * readonly - asks for every change there is, and wants each refused.
 *
 *	readonly OUTSIDE KIND:PATH ...
 *
 * KIND says what stands there: file, dir, link (to a file), dirlink (to a
 * directory), fifo, or root (of a mount).  OUTSIDE is a folder of another
 * file system that may be written.
 *
 * Refused means EROFS, or what `exceptions` has for the call and the kind,
 * where the kernel never comes to ask the file system.  Exits 1 with a line
 * for every call that ended otherwise, else 0 with the number of calls.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PAGE      4096
#define PATH_SIZE 8192

enum {
	FILES = 1 << 0,
	DIRS = 1 << 1,
	LINKS = 1 << 2,
	DIRLINKS = 1 << 3,
	FIFOS = 1 << 4,
	ROOTS = 1 << 5,

	ANY_DIR = DIRS | DIRLINKS | ROOTS, /* at the end of the path */
	ANY_FILE = FILES | LINKS,
	ANY_LINK = LINKS | DIRLINKS,
	ANY = ANY_DIR | ANY_FILE | FIFOS,
};

static const struct {
	const char *name;
	unsigned bit;
} kinds[] = {
	{ "file", FILES },       { "dir", DIRS },   { "link", LINKS },
	{ "dirlink", DIRLINKS }, { "fifo", FIFOS }, { "root", ROOTS },
};

/* What is to be changed. */
struct place {
	const char *path;
	unsigned kind;
	char fresh[PATH_SIZE];  /* a name that is not there */
	const char *outside;    /* a folder that may be written, */
	char source[PATH_SIZE]; /* a file in it, and open: */
	int source_fd;
	int fd; /* of the path, for reading */
};

static _Noreturn void
die(const char *what)
{
	perror(what);
	exit(2);
}

/* --- opening -------------------------------------------------------------- */

/* Nothing here waits: fifos have nobody at the other end. */
static int
try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int
open_wronly(const struct place *p)
{
	return try_open(p->path, O_WRONLY);
}

static int
open_rdwr(const struct place *p)
{
	return try_open(p->path, O_RDWR);
}

static int
open_append(const struct place *p)
{
	return try_open(p->path, O_WRONLY | O_APPEND);
}

static int
open_trunc(const struct place *p)
{
	return try_open(p->path, O_RDONLY | O_TRUNC);
}

static int
open_wronly_trunc(const struct place *p)
{
	return try_open(p->path, O_WRONLY | O_TRUNC);
}

static int
open_direct(const struct place *p)
{
	return try_open(p->path, O_RDWR | O_DIRECT | O_SYNC);
}

static int
open_creat_there(const struct place *p)
{
	return try_open(p->path, O_CREAT | O_RDWR);
}

static int
open_creat_excl_there(const struct place *p)
{
	return try_open(p->path, O_CREAT | O_EXCL | O_RDWR);
}

static int
open_creat(const struct place *p)
{
	return try_open(p->fresh, O_CREAT | O_WRONLY);
}

static int
open_creat_rdonly(const struct place *p)
{
	return try_open(p->fresh, O_CREAT | O_RDONLY);
}

static int
open_creat_excl(const struct place *p)
{
	return try_open(p->fresh, O_CREAT | O_EXCL | O_RDWR);
}

static int
open_tmpfile(const struct place *p)
{
	return try_open(p->path, O_TMPFILE | O_RDWR);
}

static int
creat_there(const struct place *p)
{
	int fd;

	/* It would wait for somebody who reads. */
	if (p->kind == FIFOS)
		return open_wronly_trunc(p);
	fd = creat(p->path, 0600);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int
creat_new(const struct place *p)
{
	return creat(p->fresh, 0600);
}

/* By way of the descriptor for reading. */
static int
open_again(const struct place *p)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fd);
	return try_open(path, O_RDWR);
}

static int
open_by_handle(const struct place *p)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = { .h.handle_bytes = MAX_HANDLE_SZ };
	int mount;
	int fd;

	if (name_to_handle_at(AT_FDCWD, p->path, &u.h, &mount,
			      AT_SYMLINK_FOLLOW) < 0)
		return -1;
	fd = open_by_handle_at(p->fd, &u.h, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int
access_write(const struct place *p)
{
	return faccessat(AT_FDCWD, p->path, W_OK, AT_EACCESS);
}

/* --- names ---------------------------------------------------------------- */

static int
mkdir_new(const struct place *p)
{
	return mkdir(p->fresh, 0700);
}

static int
mkdir_there(const struct place *p)
{
	return mkdir(p->path, 0700);
}

static int
mkdirat_new(const struct place *p)
{
	return (p->kind & ANY_DIR) != 0 ? mkdirat(p->fd, "none", 0700)
					: mkdirat(AT_FDCWD, p->fresh, 0700);
}

static int
mknod_fifo(const struct place *p)
{
	return mknod(p->fresh, S_IFIFO | 0600, 0);
}

static int
mknod_file(const struct place *p)
{
	return mknod(p->fresh, S_IFREG | 0600, 0);
}

static int
mknod_device(const struct place *p)
{
	return mknod(p->fresh, S_IFCHR | 0600, makedev(1, 3));
}

static int
symlink_new(const struct place *p)
{
	return symlink("x", p->fresh);
}

static int
link_here(const struct place *p)
{
	return link(p->path, p->fresh);
}

static int
link_by_fd(const struct place *p)
{
	return linkat(p->fd, "", AT_FDCWD, p->fresh, AT_EMPTY_PATH);
}

static int
bind_socket(const struct place *p)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char dir[64];
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc;
	int number;

	if (s < 0)
		die("socket");
	/* Addresses are short: go by the descriptor of the directory. */
	if ((p->kind & ANY_DIR) != 0)
		(void)snprintf(dir, sizeof(dir), "/proc/self/fd/%d/none",
			       p->fd);
	else
		(void)snprintf(dir, sizeof(dir), "%.60s", p->fresh);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", dir);
	rc = bind(s, (const struct sockaddr *)&at, sizeof(at));
	number = errno;
	close(s);
	errno = number;
	return rc;
}

static int
unlink_it(const struct place *p)
{
	return unlink(p->path);
}

static int
rmdir_it(const struct place *p)
{
	return rmdir(p->path);
}

static int
unlinkat_dir(const struct place *p)
{
	return unlinkat(AT_FDCWD, p->path, AT_REMOVEDIR);
}

static int
rename_away(const struct place *p)
{
	return rename(p->path, p->fresh);
}

static int
rename_noreplace(const struct place *p)
{
	return renameat2(AT_FDCWD, p->path, AT_FDCWD, p->fresh,
			 RENAME_NOREPLACE);
}

static int
rename_exchange(const struct place *p)
{
	return renameat2(AT_FDCWD, p->path, AT_FDCWD, p->path, RENAME_EXCHANGE);
}

static int
rename_whiteout(const struct place *p)
{
	return renameat2(AT_FDCWD, p->path, AT_FDCWD, p->fresh,
			 RENAME_WHITEOUT);
}

static int
rename_in(const struct place *p)
{
	return rename(p->source, p->fresh);
}

/* --- attributes ----------------------------------------------------------- */

static int
chmod_it(const struct place *p)
{
	return chmod(p->path, 0777);
}

static int
fchmod_it(const struct place *p)
{
	return fchmod(p->fd, 0777);
}

static int
fchmodat_it(const struct place *p)
{
	return fchmodat(AT_FDCWD, p->path, 0777, 0);
}

static int
chown_it(const struct place *p)
{
	return chown(p->path, 1, 1);
}

static int
chown_nobody(const struct place *p)
{
	return chown(p->path, (uid_t)-1, (gid_t)-1);
}

static int
lchown_it(const struct place *p)
{
	return lchown(p->path, 1, 1);
}

static int
fchown_it(const struct place *p)
{
	return fchown(p->fd, 1, 1);
}

static int
fchownat_it(const struct place *p)
{
	return fchownat(p->fd, "", 1, 1, AT_EMPTY_PATH);
}

static const struct timespec long_ago[2] = { { 1, 2 }, { 3, 4 } };

static int
utimensat_set(const struct place *p)
{
	return utimensat(AT_FDCWD, p->path, long_ago, 0);
}

static int
utimensat_now(const struct place *p)
{
	return utimensat(AT_FDCWD, p->path, NULL, 0);
}

static int
utimensat_link(const struct place *p)
{
	return utimensat(AT_FDCWD, p->path, long_ago, AT_SYMLINK_NOFOLLOW);
}

static int
futimens_set(const struct place *p)
{
	return futimens(p->fd, long_ago);
}

static int
setxattr_user(const struct place *p)
{
	return setxattr(p->path, "user.new", "1", 1, 0);
}

static int
setxattr_replace(const struct place *p)
{
	return setxattr(p->path, "user.one", "2", 1, XATTR_REPLACE);
}

static int
setxattr_fact(const struct place *p)
{
	return setxattr(p->path, "user.asof.set", "x", 1, 0);
}

static int
lsetxattr_trusted(const struct place *p)
{
	return lsetxattr(p->path, "trusted.new", "1", 1, XATTR_CREATE);
}

static int
fsetxattr_user(const struct place *p)
{
	return fsetxattr(p->fd, "user.new", "1", 1, 0);
}

static int
setxattr_capability(const struct place *p)
{
	static const uint32_t caps[5] = { 0x02000001, 1, 0, 0, 0 };

	return setxattr(p->path, "security.capability", caps, sizeof(caps), 0);
}

/* u::rwx g::rwx o::rwx */
static const uint32_t acl[] = { 2,   0x00070001, ~0u, 0x00070004,
				~0u, 0x00070020, ~0u };

static int
setxattr_acl(const struct place *p)
{
	return setxattr(p->path, "system.posix_acl_access", acl, sizeof(acl),
			0);
}

static int
setxattr_default_acl(const struct place *p)
{
	return setxattr(p->path, "system.posix_acl_default", acl, sizeof(acl),
			0);
}

static int
removexattr_user(const struct place *p)
{
	return removexattr(p->path, "user.one");
}

static int
lremovexattr_trusted(const struct place *p)
{
	return lremovexattr(p->path, "trusted.one");
}

static int
fremovexattr_user(const struct place *p)
{
	return fremovexattr(p->fd, "user.one");
}

static int
remove_acl(const struct place *p)
{
	return removexattr(p->path, "system.posix_acl_access");
}

static int
set_flags(const struct place *p)
{
	int flags = FS_APPEND_FL;

	return ioctl(p->fd, FS_IOC_SETFLAGS, &flags);
}

static int
set_fsxattr(const struct place *p)
{
	struct fsxattr x = { .fsx_xflags = FS_XFLAG_NODUMP };

	return ioctl(p->fd, FS_IOC_FSSETXATTR, &x);
}

static int
set_version(const struct place *p)
{
	int version = 1;

	return ioctl(p->fd, FS_IOC_SETVERSION, &version);
}

static int
enable_verity(const struct place *p)
{
	struct fsverity_enable_arg arg = { .version = 1,
					   .hash_algorithm = 1,
					   .block_size = PAGE };

	return ioctl(p->fd, FS_IOC_ENABLE_VERITY, &arg);
}

/* --- content -------------------------------------------------------------- */

static int
truncate_it(const struct place *p)
{
	return truncate(p->path, 1);
}

static int
ftruncate_it(const struct place *p)
{
	return ftruncate(p->fd, 0);
}

static int
write_it(const struct place *p)
{
	return write(p->fd, "x", 1) < 0 ? -1 : 0;
}

static int
pwrite_it(const struct place *p)
{
	return pwrite(p->fd, "x", 1, 0) < 0 ? -1 : 0;
}

static int
pwritev2_append(const struct place *p)
{
	char x = 'x';
	struct iovec v = { &x, 1 };

	return pwritev2(p->fd, &v, 1, 0, RWF_APPEND) < 0 ? -1 : 0;
}

static int
fallocate_it(const struct place *p)
{
	return fallocate(p->fd, 0, 0, PAGE);
}

static int
punch_hole(const struct place *p)
{
	return fallocate(p->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			 PAGE);
}

static int
copy_range_in(const struct place *p)
{
	off_t from = 0;
	off_t to = 0;

	return copy_file_range(p->source_fd, &from, p->fd, &to, PAGE, 0) < 0
		       ? -1
		       : 0;
}

static int
sendfile_in(const struct place *p)
{
	off_t from = 0;

	return sendfile(p->fd, p->source_fd, &from, PAGE) < 0 ? -1 : 0;
}

static int
splice_in(const struct place *p)
{
	int pipes[2];
	off_t to = 0;
	ssize_t n;
	int number;

	if (pipe(pipes) < 0 || write(pipes[1], "x", 1) != 1)
		die("pipe");
	n = splice(pipes[0], NULL, p->fd, p->kind == FIFOS ? NULL : &to, 1, 0);
	number = errno;
	close(pipes[0]);
	close(pipes[1]);
	errno = number;
	return n < 0 ? -1 : 0;
}

static int
clone_in(const struct place *p)
{
	return ioctl(p->fd, FICLONE, p->source_fd);
}

static int
clone_range_in(const struct place *p)
{
	struct file_clone_range r = { .src_fd = p->source_fd,
				      .src_length = PAGE };

	return ioctl(p->fd, FICLONERANGE, &r);
}

/* The call itself says 0; how it ended stands with the target. */
static int
dedupe_in(const struct place *p)
{
	union {
		struct file_dedupe_range r;
		char room[sizeof(struct file_dedupe_range) +
			  sizeof(struct file_dedupe_range_info)];
	} u = { .r = { .src_length = PAGE, .dest_count = 1 } };

	u.r.info[0].dest_fd = p->fd;
	if (ioctl(p->source_fd, FIDEDUPERANGE, &u) < 0)
		return -1;
	if (u.r.info[0].status >= 0)
		return 0;
	errno = -u.r.info[0].status;
	return -1;
}

static int
mmap_shared_write(const struct place *p)
{
	return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0) ==
			       MAP_FAILED
		       ? -1
		       : 0;
}

/* What a shared mapping for reading can be turned into. */
static int
with_mapping(const struct place *p, int (*change)(uint8_t *m))
{
	uint8_t *m = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, p->fd, 0);
	int rc;
	int number;

	if (m == MAP_FAILED)
		return -1;
	rc = change(m);
	number = errno;
	(void)munmap(m, PAGE);
	errno = number;
	return rc;
}

static int
let_write(uint8_t *m)
{
	return mprotect(m, PAGE, PROT_READ | PROT_WRITE);
}

static int
mprotect_shared(const struct place *p)
{
	return with_mapping(p, let_write);
}

static int
take_away(uint8_t *m)
{
	return madvise(m, PAGE, MADV_REMOVE);
}

static int
madvise_remove(const struct place *p)
{
	return with_mapping(p, take_away);
}

/* As a debugger sets a breakpoint. */
static int
poke(uint8_t *m)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ssize_t n;
	int number;

	if (fd < 0)
		return -1;
	n = pwrite(fd, "x", 1, (off_t)(uintptr_t)m);
	number = errno;
	close(fd);
	errno = number;
	return n < 0 ? -1 : 0;
}

static int
write_through_mem(const struct place *p)
{
	return with_mapping(p, poke);
}

/* --- the system's own files ----------------------------------------------- */

static int
swap_on(const struct place *p)
{
	int rc = swapon(p->path, 0);

	if (rc == 0)
		(void)swapoff(p->path);
	return rc;
}

static int
account(const struct place *p)
{
	int rc = acct(p->path);

	if (rc == 0)
		(void)acct(NULL);
	return rc;
}

/* --- all of them ---------------------------------------------------------- */

static const struct change {
	const char *name;
	int (*ask)(const struct place *p);
	unsigned kinds; /* where it makes sense */
} changes[] = {
	{ "open O_WRONLY", open_wronly, ANY },
	{ "open O_RDWR", open_rdwr, ANY },
	{ "open O_APPEND", open_append, ANY },
	{ "open O_RDONLY|O_TRUNC", open_trunc, ANY },
	{ "open O_WRONLY|O_TRUNC", open_wronly_trunc, ANY },
	{ "open O_RDWR|O_DIRECT|O_SYNC", open_direct, ANY & ~FIFOS },
	{ "open O_CREAT", open_creat_there, ANY },
	{ "open O_CREAT|O_EXCL", open_creat_excl_there, ANY },
	{ "open O_CREAT, a new name", open_creat, ANY },
	{ "open O_CREAT|O_RDONLY, a new name", open_creat_rdonly, ANY },
	{ "open O_CREAT|O_EXCL, a new name", open_creat_excl, ANY },
	{ "open O_TMPFILE", open_tmpfile, ANY },
	{ "creat", creat_there, ANY },
	{ "creat, a new name", creat_new, ANY },
	{ "open /proc/self/fd/N O_RDWR", open_again, ANY },
	{ "open_by_handle_at O_RDWR", open_by_handle, ANY },
	{ "faccessat W_OK", access_write, ANY },
	{ "mkdir", mkdir_new, ANY },
	{ "mkdir, a name there is", mkdir_there, ANY },
	{ "mkdirat", mkdirat_new, ANY },
	{ "mknod S_IFIFO", mknod_fifo, ANY },
	{ "mknod S_IFREG", mknod_file, ANY },
	{ "mknod S_IFCHR", mknod_device, ANY },
	{ "symlink", symlink_new, ANY },
	{ "link", link_here, ANY },
	{ "linkat AT_EMPTY_PATH", link_by_fd, ANY },
	{ "bind AF_UNIX", bind_socket, ANY_DIR },
	{ "unlink", unlink_it, ANY },
	{ "rmdir", rmdir_it, ANY },
	{ "unlinkat AT_REMOVEDIR", unlinkat_dir, ANY },
	{ "rename", rename_away, ANY },
	{ "renameat2 RENAME_NOREPLACE", rename_noreplace, ANY },
	{ "renameat2 RENAME_EXCHANGE", rename_exchange, ANY },
	{ "renameat2 RENAME_WHITEOUT", rename_whiteout, ANY },
	{ "rename from outside", rename_in, ANY },
	{ "chmod", chmod_it, ANY },
	{ "fchmod", fchmod_it, ANY },
	{ "fchmodat", fchmodat_it, ANY },
	{ "chown", chown_it, ANY },
	{ "chown to nobody new", chown_nobody, ANY },
	{ "lchown", lchown_it, ANY },
	{ "fchown", fchown_it, ANY },
	{ "fchownat AT_EMPTY_PATH", fchownat_it, ANY },
	{ "utimensat", utimensat_set, ANY },
	{ "utimensat, now", utimensat_now, ANY },
	{ "utimensat AT_SYMLINK_NOFOLLOW", utimensat_link, ANY },
	{ "futimens", futimens_set, ANY },
	{ "setxattr user", setxattr_user, ANY },
	{ "setxattr XATTR_REPLACE", setxattr_replace, ANY },
	{ "setxattr user.asof.set", setxattr_fact, ANY },
	{ "lsetxattr trusted", lsetxattr_trusted, ANY },
	{ "fsetxattr", fsetxattr_user, ANY },
	{ "setxattr security.capability", setxattr_capability, ANY },
	{ "setxattr of an ACL", setxattr_acl, ANY },
	{ "setxattr of a default ACL", setxattr_default_acl, ANY_DIR },
	{ "removexattr", removexattr_user, ANY },
	{ "lremovexattr", lremovexattr_trusted, ANY },
	{ "fremovexattr", fremovexattr_user, ANY },
	{ "removexattr of an ACL", remove_acl, ANY },
	{ "FS_IOC_SETFLAGS", set_flags, ANY },
	{ "FS_IOC_FSSETXATTR", set_fsxattr, ANY },
	{ "FS_IOC_SETVERSION", set_version, ANY },
	{ "FS_IOC_ENABLE_VERITY", enable_verity, ANY },
	{ "truncate", truncate_it, ANY },
	{ "ftruncate", ftruncate_it, ANY },
	{ "write", write_it, ANY },
	{ "pwrite", pwrite_it, ANY },
	{ "pwritev2 RWF_APPEND", pwritev2_append, ANY },
	{ "fallocate", fallocate_it, ANY },
	{ "fallocate FALLOC_FL_PUNCH_HOLE", punch_hole, ANY },
	{ "copy_file_range into", copy_range_in, ANY },
	{ "sendfile into", sendfile_in, ANY },
	{ "splice into", splice_in, ANY },
	{ "FICLONE into", clone_in, ANY },
	{ "FICLONERANGE into", clone_range_in, ANY },
	{ "FIDEDUPERANGE into", dedupe_in, ANY },
	{ "mmap MAP_SHARED PROT_WRITE", mmap_shared_write, ANY },
	{ "mprotect PROT_WRITE", mprotect_shared, ANY },
	{ "madvise MADV_REMOVE", madvise_remove, ANY },
	{ "/proc/self/mem", write_through_mem, ANY },
	{ "swapon", swap_on, ANY },
	{ "acct", account, ANY },
};

/* It does nothing to the file system, and may. */
#define LET_THROUGH 0

/* Where the kernel says something else than EROFS; the first that fits. */
static const struct exception {
	const char *name; /* of a change */
	unsigned kinds;
	int want;
} exceptions[] = {
	/* A directory is not opened for writing anywhere. */
	{ "open O_WRONLY", ANY_DIR, EISDIR },
	{ "open O_RDWR", ANY_DIR, EISDIR },
	{ "open O_APPEND", ANY_DIR, EISDIR },
	{ "open O_RDONLY|O_TRUNC", ANY_DIR, EISDIR },
	{ "open O_WRONLY|O_TRUNC", ANY_DIR, EISDIR },
	{ "open O_RDWR|O_DIRECT|O_SYNC", ANY_DIR, EISDIR },
	{ "open O_CREAT", ANY_DIR, EISDIR },
	{ "creat", ANY_DIR, EISDIR },
	{ "open /proc/self/fd/N O_RDWR", ANY_DIR, EISDIR },
	{ "open_by_handle_at O_RDWR", ANY_DIR, EISDIR },
	{ "truncate", ANY_DIR, EISDIR },
	{ "copy_file_range into", ANY_DIR, EISDIR },
	{ "swapon", ANY_DIR, EISDIR },
	{ "acct", ANY_DIR, EISDIR },

	/* What goes through a fifo never comes to the file system. */
	{ "open O_WRONLY", FIFOS, LET_THROUGH },
	{ "open O_RDWR", FIFOS, LET_THROUGH },
	{ "open O_APPEND", FIFOS, LET_THROUGH },
	{ "open O_RDONLY|O_TRUNC", FIFOS, LET_THROUGH },
	{ "open O_WRONLY|O_TRUNC", FIFOS, LET_THROUGH },
	{ "open O_CREAT", FIFOS, LET_THROUGH },
	{ "creat", FIFOS, LET_THROUGH },
	{ "open /proc/self/fd/N O_RDWR", FIFOS, LET_THROUGH },
	{ "open_by_handle_at O_RDWR", FIFOS, LET_THROUGH },
	{ "faccessat W_OK", FIFOS, LET_THROUGH },
	/* Nor has it a length, places, or blocks. */
	{ "truncate", FIFOS, EINVAL },
	{ "pwrite", FIFOS, ESPIPE },
	{ "pwritev2 RWF_APPEND", FIFOS, ESPIPE },
	{ "copy_file_range into", FIFOS, EINVAL },
	{ "swapon", FIFOS, EINVAL },
	{ "acct", FIFOS, EACCES },

	/* The name is there, and is met first. */
	{ "open O_CREAT|O_EXCL", ANY, EEXIST },
	{ "mkdir, a name there is", ANY, EEXIST },
	/* It makes a file in a directory, and this is none. */
	{ "open O_TMPFILE", ANY_FILE | FIFOS, ENOTDIR },
	/* Another file system, which is looked at first. */
	{ "rename from outside", ANY, EXDEV },
	{ "FICLONE into", ANY, EXDEV },
	{ "FICLONERANGE into", ANY, EXDEV },
	{ "FIDEDUPERANGE into", ANY, EOPNOTSUPP },
	/* There is no such thing here. */
	{ "FS_IOC_SETVERSION", ANY, ENOTTY },
	{ "FS_IOC_ENABLE_VERITY", ANY, ENOTTY },

	/* The descriptor is for reading; there is no other. */
	{ "ftruncate", ANY, EINVAL },
	{ "write", ANY, EBADF },
	{ "pwrite", ANY, EBADF },
	{ "pwritev2 RWF_APPEND", ANY, EBADF },
	{ "fallocate", ANY, EBADF },
	{ "fallocate FALLOC_FL_PUNCH_HOLE", ANY, EBADF },
	{ "copy_file_range into", ANY_FILE, EBADF },
	{ "sendfile into", ANY, EBADF },
	{ "splice into", ANY, EBADF },
	{ "mmap MAP_SHARED PROT_WRITE", ANY, EACCES },
	{ "mprotect PROT_WRITE", ANY_FILE, EACCES },
	{ "madvise MADV_REMOVE", ANY_FILE, EACCES },
	{ "/proc/self/mem", ANY_FILE, EIO },
	/* Only files can be mapped. */
	{ "mprotect PROT_WRITE", ANY_DIR | FIFOS, ENODEV },
	{ "madvise MADV_REMOVE", ANY_DIR | FIFOS, ENODEV },
	{ "/proc/self/mem", ANY_DIR | FIFOS, ENODEV },

	/*
	 * The mount's own name is one of the file system below, and held by
	 * the mount; to exchange it with itself is to do nothing.
	 */
	{ "unlink", ROOTS, EISDIR },
	{ "rmdir", ROOTS, EBUSY },
	{ "unlinkat AT_REMOVEDIR", ROOTS, EBUSY },
	{ "rename", ROOTS, EXDEV },
	{ "renameat2 RENAME_NOREPLACE", ROOTS, EXDEV },
	{ "renameat2 RENAME_EXCHANGE", ROOTS, LET_THROUGH },
	{ "renameat2 RENAME_WHITEOUT", ROOTS, EXDEV },
};

/* --- asking --------------------------------------------------------------- */

static const struct exception *
exception_for(const struct change *c, unsigned kind)
{
	size_t i;

	for (i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++)
		if (strcmp(exceptions[i].name, c->name) == 0 &&
		    (exceptions[i].kinds & kind) != 0)
			return &exceptions[i];
	return NULL;
}

/* 1 when it ended otherwise than it must. */
static int
judge(const struct change *c, const struct place *p)
{
	const struct exception *x = exception_for(c, p->kind);
	int want = x != NULL ? x->want : EROFS;
	int got;

	errno = 0;
	got = c->ask(p) < 0 ? errno : LET_THROUGH;
	if (got == want)
		return 0;
	printf("%s: %s: %s instead of %s\n", p->path, c->name,
	       got != 0 ? strerrorname_np(got) : "done",
	       want != 0 ? strerrorname_np(want) : "done");
	return 1;
}

/* A name that is not there: in it, or beside it. */
static void
name_fresh(struct place *p)
{
	const char *slash = strrchr(p->path, '/');
	int dir = slash != NULL ? (int)(slash - p->path) : 0;

	if (strlen(p->path) + 8 > sizeof(p->fresh)) {
		errno = ENAMETOOLONG;
		die(p->path);
	}
	if ((p->kind & ANY_DIR) != 0)
		(void)snprintf(p->fresh, sizeof(p->fresh), "%s/none", p->path);
	else
		(void)snprintf(p->fresh, sizeof(p->fresh), "%.*s/none", dir,
			       p->path);
}

static void
place_open(struct place *p, const char *arg, const char *outside)
{
	const char *colon = strchr(arg, ':');
	char room[PAGE] = { 0 };
	size_t i;

	memset(p, 0, sizeof(*p));
	for (i = 0; colon != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(kinds[i].name, arg, (size_t)(colon - arg)) == 0 &&
		    kinds[i].name[colon - arg] == '\0')
			p->kind = kinds[i].bit;
	if (p->kind == 0) {
		fprintf(stderr, "readonly: what is %s?\n", arg);
		exit(2);
	}
	p->path = colon + 1;
	p->outside = outside;
	name_fresh(p);
	(void)snprintf(p->source, sizeof(p->source), "%s/source", outside);
	p->source_fd = open(p->source, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (p->source_fd < 0 ||
	    pwrite(p->source_fd, room, PAGE, 0) != (ssize_t)PAGE)
		die(p->source);
	p->fd = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (p->fd < 0)
		die(p->path);
}

int
main(int argc, char **argv)
{
	struct place p;
	size_t i;
	int wrong = 0;
	int asked = 0;
	int a;

	if (argc < 3) {
		fprintf(stderr, "usage: readonly OUTSIDE KIND:PATH ...\n");
		return 2;
	}
	for (a = 2; a < argc; a++) {
		place_open(&p, argv[a], argv[1]);
		for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
			if ((changes[i].kinds & p.kind) == 0)
				continue;
			wrong += judge(&changes[i], &p);
			asked++;
		}
		close(p.fd);
		close(p.source_fd);
	}
	printf("%d calls, %d wrong\n", asked, wrong);
	return wrong > 0;
}
