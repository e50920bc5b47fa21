/*
 * torture-tree - a tree with everything that a file system can hold.
 *
 *   torture-tree make DIR OUTSIDE     make DIR; some names of its hard links
 *                                     go into OUTSIDE, on the same file system
 *   torture-tree change DIR STEP      change much of it, other things at
 *                                     each STEP (1, 2, 3 ...)
 *
 * The same words make the same tree, but for times that nobody sets.  What
 * the file system cannot do (a long attribute, a time out of its range) is
 * left out without a word: it is what the tree is compared with that counts.
 * Access control lists, capabilities and inode flags are left to setfacl,
 * setcap and chattr.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#define KIB 1024
#define MIB (1024 * 1024)

#define MANY       20000                  /* entries of one directory */
#define DEEP       300                    /* directories inside each other, */
#define DEEP_NAME  "a-name-of-19-letters" /* so that PATH_MAX is passed */
#define TARGET_LEN 4000

__attribute__((format(printf, 1, 2))) static _Noreturn void
die(const char *fmt, ...)
{
	va_list ap;
	int number = errno;

	fprintf(stderr, "torture-tree: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(number));
	exit(1);
}

static void
need(bool done, const char *what)
{
	if (!done)
		die("%s", what);
}

/* --- small steps ---------------------------------------------------------- */

static void
make_dir(const char *name)
{
	need(mkdir(name, 0755) == 0, name);
}

static void
enter(const char *name)
{
	make_dir(name);
	need(chdir(name) == 0, name);
}

static void
leave(void)
{
	need(chdir("..") == 0, "..");
}

static int
create(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	need(fd >= 0, name);
	return fd;
}

static void
write_at(int fd, const void *p, size_t n, off_t at)
{
	need(pwrite(fd, p, n, at) == (ssize_t)n, "write");
}

/* Bytes that do not compress, or text that does; others for each seed. */
static void
fill(char *p, size_t n, uint64_t seed, bool noise)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
	size_t i;

	for (i = 0; i < n; i++) {
		if (noise || i % 64 == 0) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		p[i] = noise ? (char)(x >> 32)
			     : "the quick brown fox "[(x + i) % 20];
	}
}

static void
write_stuff(int fd, off_t at, size_t n, uint64_t seed, bool noise)
{
	static char buf[MIB];
	size_t len;

	for (; n > 0; n -= len, at += (off_t)len) {
		len = n < sizeof(buf) ? n : sizeof(buf);
		fill(buf, len, seed++, noise);
		write_at(fd, buf, len, at);
	}
}

static void
make_file(const char *name, size_t n, uint64_t seed, bool noise)
{
	int fd = create(name);

	write_stuff(fd, 0, n, seed, noise);
	close(fd);
}

static void
make_text(const char *name, const char *text)
{
	int fd = create(name);

	write_at(fd, text, strlen(text), 0);
	close(fd);
}

static void
make_socket(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	need(strlen(name) < sizeof(a.sun_path), name);
	memcpy(a.sun_path, name, strlen(name) + 1);
	need(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0, name);
	close(fd);
}

/* --- types and names ------------------------------------------------------ */

static void
make_types(void)
{
	static char target[TARGET_LEN + 1];
	size_t i;

	enter("types");
	make_text("file", "a file\n");
	make_dir("empty");
	make_dir("empty/too");
	for (i = 0; i < TARGET_LEN; i++)
		target[i] = "a/"[i % 2];
	need(symlink(target, "link-long") == 0, "link-long");
	need(symlink("file", "link") == 0, "link");
	need(symlink("nowhere", "link-dangling") == 0, "link-dangling");
	need(symlink("/etc/passwd", "link-away") == 0, "link-away");
	need(symlink("\xff\n\x01 ", "link-odd") == 0, "link-odd");
	need(symlink(".", "link-dot") == 0, "link-dot");
	need(symlink("empty/", "link-slash") == 0, "link-slash");
	need(mkfifo("fifo", 0600) == 0, "fifo");
	make_socket("socket");
	need(mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0, "null");
	need(mknod("disk", S_IFBLK | 0640, makedev(7, 200)) == 0, "disk");
	need(mknod("large", S_IFCHR | 0600, makedev(4095, 1048575)) == 0,
	     "large");
	leave();
}

static void
make_names(void)
{
	static const char *const names[] = {
		"new\nline",
		"\n",
		" ",
		"trailing ",
		" leading",
		"-rf",
		"--",
		"...",
		"..x",
		".hidden",
		"\x01\x02\x1f\x7f",
		"\xff\xfe",
		"\xc3\x28",
		"\xc3\xa9",
		"e\xcc\x81",
		"*",
		"?",
		"[a]",
		"!",
		"#",
		"~",
		"back\\slash",
		"\\x41",
		"'",
		"\"",
		"$(id)",
		"a:b",
		"42:etc",
		".tmp-x",
		"CON",
		"UPPER",
		"upper",
	};
	char longest[256];
	size_t i;

	enter("names");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		make_text(names[i], names[i]);
	memset(longest, 'n', 255);
	longest[255] = '\0';
	make_text(longest, "255\n");
	longest[0] = '\xff';
	make_dir(longest);
	make_dir("dir\n\xff");
	make_text("dir\n\xff/\x01", "");
	leave();
}

/* --- links ---------------------------------------------------------------- */

static void
give_name(const char *from, const char *to)
{
	need(linkat(AT_FDCWD, from, AT_FDCWD, to, 0) == 0, to);
}

/* `out` is the directory outside. */
static void
make_links(int out)
{
	enter("links");
	make_dir("a");
	make_dir("z");
	make_file("a/file", 100 * KIB, 1, true);
	give_name("a/file", "z/file");
	give_name("a/file", "another");
	make_text("a/small", "small\n");
	give_name("a/small", "z/small");
	make_text("a/empty", "");
	give_name("a/empty", "z/empty");
	need(symlink("file", "a/link") == 0, "a/link");
	give_name("a/link", "z/link");
	need(mkfifo("a/fifo", 0622) == 0, "a/fifo");
	give_name("a/fifo", "z/fifo");
	need(mknod("a/null", S_IFCHR | 0666, makedev(1, 3)) == 0, "a/null");
	give_name("a/null", "z/null");
	make_socket("a/socket");
	give_name("a/socket", "z/socket");
	make_text("inside", "a name of it is elsewhere\n");
	need(linkat(AT_FDCWD, "inside", out, "outside", 0) == 0, "outside");
	make_text("two", "two here, one elsewhere\n");
	give_name("two", "two-too");
	need(linkat(AT_FDCWD, "two", out, "two", 0) == 0, "two");
	leave();
}

/* --- holes ---------------------------------------------------------------- */

static void
make_sparse(void)
{
	static const char zeros[256 * KIB];
	off_t at;
	int fd;

	enter("sparse");
	fd = create("hole-first");
	write_stuff(fd, MIB, 300 * KIB, 2, true);
	close(fd);
	fd = create("hole-middle");
	write_stuff(fd, 0, 100 * KIB, 3, true);
	write_stuff(fd, 2 * MIB, 100 * KIB + 1, 4, true);
	close(fd);
	fd = create("hole-last");
	write_stuff(fd, 0, 100 * KIB, 5, true);
	need(ftruncate(fd, 5 * MIB + 7) == 0, "hole-last");
	close(fd);
	fd = create("only-hole");
	need(ftruncate(fd, 64 * MIB + 1) == 0, "only-hole");
	close(fd);
	fd = create("zeros");
	write_at(fd, zeros, sizeof(zeros), 0);
	close(fd);
	fd = create("zeros-and-hole");
	write_at(fd, zeros, 64 * KIB, 0);
	write_at(fd, zeros, 64 * KIB, MIB);
	write_at(fd, zeros, 10, 2 * MIB);
	close(fd);
	fd = create("comb");
	for (at = 0; at < 2 * MIB; at += 8 * KIB)
		write_stuff(fd, at, 4 * KIB, (uint64_t)at, at % 3 == 0);
	close(fd);
	leave();
	/* Of their own, because they are hard to tell from data. */
	enter("holes");
	fd = create("unwritten");
	write_stuff(fd, 0, 10000, 6, true);
	(void)fallocate(fd, 0, 64 * KIB, MIB);
	close(fd);
	fd = create("hole-and-more");
	write_stuff(fd, 0, 64 * KIB, 9, true);
	write_stuff(fd, MIB, 64 * KIB, 10, true);
	(void)fallocate(fd, FALLOC_FL_KEEP_SIZE, 4 * MIB, 4 * MIB);
	close(fd);
	fd = create("hole-of-a-byte");
	need(ftruncate(fd, 1) == 0, "hole-of-a-byte");
	close(fd);
	leave();
	/* Of its own, because not everything wants to read it. */
	enter("huge");
	fd = create("terabyte");
	if (ftruncate(fd, (off_t)1 << 40) == 0) {
		write_stuff(fd, 0, 5000, 7, true);
		write_stuff(fd, ((off_t)1 << 40) - 5000, 5000, 8, true);
	}
	close(fd);
	leave();
}

/* --- attributes ----------------------------------------------------------- */

/* Whether it took it: what it does not take is left out. */
static bool
give(const char *name, const char *attribute, size_t n, uint64_t seed)
{
	static char value[65536];

	fill(value, n, seed, true);
	if (lsetxattr(name, attribute, value, n, 0) == 0)
		return true;
	if (errno != ENOSPC && errno != E2BIG && errno != ERANGE &&
	    errno != ENOTSUP && errno != EPERM)
		die("%s: %s", name, attribute);
	return false;
}

static void
make_xattrs(void)
{
	static const size_t sizes[] = { 0,    1,    2000,  3900, 4096,
					4097, 8192, 65535, 65536 };
	char name[256];
	size_t i;

	enter("xattrs");
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(name, sizeof(name), "size-%zu", sizes[i]);
		make_text(name, "x");
		give(name, "user.value", sizes[i], i);
		give(name, "user.empty", 0, 0);
	}
	make_text("many", "");
	for (i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "user.%02zu", i);
		give("many", name, i, i);
	}
	make_text("long-name", "");
	memset(name, 'x', 255);
	memcpy(name, "user.", 5);
	name[255] = '\0';
	give("long-name", name, 3, 1);
	make_text("odd-name", "");
	give("odd-name", "user.\xff\n =", 3, 1);
	make_text("classes", "");
	give("classes", "user.u", 10, 1);
	give("classes", "trusted.t", 10, 2);
	give("classes", "security.s", 10, 3);
	make_dir("dir");
	give("dir", "user.u", 10, 4);
	give("dir", "trusted.t", 5000, 5);
	need(symlink("nowhere", "link") == 0, "link");
	give("link", "trusted.t", 20, 6);
	need(mkfifo("fifo", 0600) == 0, "fifo");
	give("fifo", "trusted.t", 20, 7);
	need(mknod("null", S_IFCHR | 0600, makedev(1, 3)) == 0, "null");
	give("null", "security.s", 20, 8);
	leave();
}

static void
make_modes(void)
{
	static const uid_t ids[] = { 0,          1,          1000,
				     65534,      65535,      65536,
				     2147483647, 2147483648, 4294967294 };
	static const mode_t modes[] = { 0,     0111,  0400,  0644,  0777,
					01777, 02755, 02644, 04755, 04644,
					06755, 07777, 07000 };
	char name[32];
	size_t i;

	enter("modes");
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		snprintf(name, sizeof(name), "%04o", modes[i]);
		make_text(name, name);
		need(chmod(name, modes[i]) == 0, name);
		snprintf(name, sizeof(name), "d%04o", modes[i]);
		make_dir(name);
		need(chmod(name, modes[i]) == 0, name);
	}
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		snprintf(name, sizeof(name), "id-%u", ids[i]);
		make_text(name, name);
		need(chown(name, ids[i], ids[8 - i]) == 0, name);
		need(chmod(name, 06751) == 0, name);
		snprintf(name, sizeof(name), "did-%u", ids[i]);
		make_dir(name);
		need(chown(name, ids[i], ids[8 - i]) == 0, name);
		need(chmod(name, 03751) == 0, name);
		snprintf(name, sizeof(name), "lid-%u", ids[i]);
		need(symlink("x", name) == 0, name);
		need(lchown(name, ids[i], ids[8 - i]) == 0, name);
	}
	leave();
}

/* --- sizes and numbers ---------------------------------------------------- */

static void
make_sizes(void)
{
	static const size_t sizes[] = {
		0,     1,     15,     4095,   4096,   4097,    8191,  8192,
		8193,  16383, 16384,  16385,  24575,  24576,   24577, 49151,
		49152, 49153, 131071, 131072, 131073, MIB - 1, MIB,   MIB + 1,
	};
	char name[32];
	size_t i;

	enter("sizes");
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(name, sizeof(name), "noise-%zu", sizes[i]);
		make_file(name, sizes[i], i, true);
		snprintf(name, sizeof(name), "text-%zu", sizes[i]);
		make_file(name, sizes[i], i, false);
	}
	make_file("noise-65M", 65 * MIB, 1000, true);
	make_file("text-65M", 65 * MIB, 2000, false);
	leave();
}

static void
make_many(void)
{
	char name[32];
	unsigned i;

	enter("many");
	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%05u", i);
		make_text(name, i % 4 == 0 ? name : "");
	}
	leave();
}

static void
make_deep(void)
{
	int start = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned i;

	enter("deep");
	for (i = 0; i < DEEP; i++) {
		enter(DEEP_NAME);
		if (i % 50 == 49)
			make_text("file", "deep\n");
	}
	need(symlink("../file", "link") == 0, "link");
	give("file", "user.deep", 100, 1);
	need(start >= 0 && fchdir(start) == 0, "back");
	close(start);
}

/* --- times ---------------------------------------------------------------- */

static void
make_times(void)
{
	static const struct timespec times[] = {
		{ 0, 0 },
		{ 0, 1 },
		{ 0, 999999999 },
		{ -1, 0 },
		{ -1, 999999999 },
		{ -86400, 5 },
		{ -2147483648, 0 },
		{ 2147483647, 999999999 },
		{ 2147483648, 1 },
		{ 4294967295, 0 },
		{ 4294967296, 123456789 },
		{ 10000000000, 7 },
		{ 1600000000, 123456789 },
	};
	struct timespec both[2] = { { 0, UTIME_OMIT }, { 0, 0 } };
	char name[32];
	size_t i;

	enter("times");
	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		both[1] = times[i];
		snprintf(name, sizeof(name), "file-%zu", i);
		make_text(name, name);
		(void)utimensat(AT_FDCWD, name, both, 0);
		snprintf(name, sizeof(name), "dir-%zu", i);
		make_dir(name);
		(void)utimensat(AT_FDCWD, name, both, 0);
		snprintf(name, sizeof(name), "link-%zu", i);
		need(symlink("x", name) == 0, name);
		(void)utimensat(AT_FDCWD, name, both, AT_SYMLINK_NOFOLLOW);
		snprintf(name, sizeof(name), "fifo-%zu", i);
		need(mkfifo(name, 0600) == 0, name);
		(void)utimensat(AT_FDCWD, name, both, 0);
	}
	leave();
}

/* --- what changes --------------------------------------------------------- */

/* A change that neither size nor mtime shows: only ctime does. */
static void
change_in_secret(const char *name, unsigned step)
{
	struct timespec both[2];
	struct stat st;
	char c = (char)('A' + step % 26);
	int fd = open(name, O_RDWR | O_CLOEXEC);

	need(fd >= 0 && fstat(fd, &st) == 0, name);
	write_at(fd, &c, 1, st.st_size / 2);
	both[0] = st.st_atim;
	both[1] = st.st_mtim;
	need(futimens(fd, both) == 0, name);
	close(fd);
}

static void
change_files(unsigned step)
{
	static const char *const patched[] = {
		"sizes/noise-65M",   "sizes/text-65M",    "sizes/noise-1048577",
		"sizes/text-131072", "sizes/noise-24577",
	};
	char name[64];
	char other[64];
	size_t i;
	int fd;

	for (i = 0; i < sizeof(patched) / sizeof(patched[0]); i++)
		change_in_secret(patched[i], step);
	fd = open("sizes/noise-65M", O_RDWR | O_CLOEXEC);
	need(fd >= 0, "sizes/noise-65M");
	write_stuff(fd, (off_t)step * 7 * MIB + 11, 3 * KIB, step, true);
	close(fd);
	fd = open("sizes/text-16384", O_RDWR | O_APPEND | O_CLOEXEC);
	need(fd >= 0 && write(fd, "more\n", 5) == 5, "append");
	close(fd);
	need(truncate("sizes/noise-1048576", 500000 - step * 1000) == 0,
	     "truncate");
	/* Two change their names; one goes; one is new. */
	snprintf(name, sizeof(name), "many/%05u", step * 100);
	snprintf(other, sizeof(other), "many/renamed-%u", step);
	need(rename(name, other) == 0, name);
	need(renameat2(AT_FDCWD, "sizes/noise-8191", AT_FDCWD,
		       "sizes/noise-8193", RENAME_EXCHANGE) == 0,
	     "exchange");
	snprintf(name, sizeof(name), "many/%05u", step * 100 + 1);
	need(unlink(name) == 0, name);
	snprintf(name, sizeof(name), "many/new-%u", step);
	make_file(name, 20000 * step, step, true);
	make_text("deep/" DEEP_NAME "/" DEEP_NAME "/new", "x");
	need(unlink("deep/" DEEP_NAME "/" DEEP_NAME "/new") == 0, "new");
}

/* Everything but content. */
static void
change_facts(unsigned step)
{
	struct timespec both[2] = { { 0, UTIME_OMIT }, { 0, 0 } };
	char name[64];

	need(chmod("types/file", 0600 + step) == 0, "chmod");
	need(chmod("types/fifo", 0600 + step) == 0, "chmod");
	need(chmod("names", 0700 + step) == 0, "chmod");
	need(chown("types/null", 100 + step, 200 + step) == 0, "chown");
	need(lchown("types/link", 100 + step, 200 + step) == 0, "lchown");
	give("types/file", "user.step", 10, step);
	give("xattrs/size-2000", "user.value", 2000, step + 100);
	give("xattrs/dir", "user.u", 10, step + 100);
	give("types/disk", "trusted.step", 10, step);
	snprintf(name, sizeof(name), "user.%02u", step);
	(void)removexattr("xattrs/many", name);
	both[1] = (struct timespec){ 1000000000 + step, step };
	need(utimensat(AT_FDCWD, "types/link", both, AT_SYMLINK_NOFOLLOW) == 0,
	     "times");
	need(utimensat(AT_FDCWD, "modes/d0777", both, 0) == 0, "times");
	need(utimensat(AT_FDCWD, "sizes/noise-1", both, 0) == 0, "times");
}

/* Names that mean something else than before, and links. */
static void
change_kinds(unsigned step)
{
	char name[64];

	if (step % 2 == 1) {
		need(unlink("types/link-dangling") == 0, "unlink");
		need(mkfifo("types/link-dangling", 0600) == 0, "mkfifo");
		need(unlink("sizes/noise-15") == 0, "unlink");
		make_dir("sizes/noise-15");
		make_text("sizes/noise-15/inside", "was a file\n");
		need(rename("types/empty", "types/full") == 0, "rename");
		make_text("types/full/file", "not empty now\n");
		make_text("types/empty", "was a directory\n");
	} else {
		need(unlink("types/link-dangling") == 0, "unlink");
		need(symlink("elsewhere", "types/link-dangling") == 0,
		     "symlink");
		need(unlink("sizes/noise-15/inside") == 0, "unlink");
		need(rmdir("sizes/noise-15") == 0, "rmdir");
		make_file("sizes/noise-15", 15, step, true);
		need(unlink("types/empty") == 0, "unlink");
		need(unlink("types/full/file") == 0, "unlink");
		need(rename("types/full", "types/empty") == 0, "rename");
	}
	snprintf(name, sizeof(name), "links/more-%u", step);
	give_name("links/a/file", name);
	snprintf(name, sizeof(name), "links/single-%u", step);
	give_name("sizes/text-49152", name);
	if (step == 1)
		need(unlink("links/z/small") == 0, "unlink");
	if (step == 2)
		need(unlink("links/another") == 0, "unlink");
	need(unlink("types/link") == 0, "unlink");
	snprintf(name, sizeof(name), "target-%u", step);
	need(symlink(name, "types/link") == 0, "symlink");
}

static void
change_holes(unsigned step)
{
	int fd = open("sparse/hole-middle", O_RDWR | O_CLOEXEC);

	need(fd >= 0, "hole-middle");
	write_stuff(fd, MIB + (off_t)step * 64 * KIB, 8 * KIB, step, true);
	close(fd);
	fd = open("sparse/zeros", O_RDWR | O_CLOEXEC);
	need(fd >= 0, "zeros");
	(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)step * 16 * KIB, 8 * KIB);
	close(fd);
	need(truncate("sparse/only-hole", 64 * MIB + 1 + step) == 0,
	     "only-hole");
	fd = open("huge/terabyte", O_RDWR | O_CLOEXEC);
	need(fd >= 0, "terabyte");
	write_stuff(fd, (off_t)step << 30, 4 * KIB, step, true);
	close(fd);
}

static void
make(const char *dir, const char *outside)
{
	int out = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	need(out >= 0, outside);
	enter(dir);
	make_types();
	make_names();
	make_links(out);
	make_sparse();
	make_xattrs();
	make_modes();
	make_sizes();
	make_many();
	make_deep();
	make_times();
	close(out);
}

static void
change(const char *dir, const char *word)
{
	unsigned step = (unsigned)strtoul(word, NULL, 10);

	need(chdir(dir) == 0, dir);
	change_files(step);
	change_kinds(step);
	change_facts(step);
	change_holes(step);
}

int
main(int argc, char **argv)
{
	(void)umask(022);
	if (argc == 4 && strcmp(argv[1], "make") == 0) {
		make(argv[2], argv[3]);
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "change") == 0) {
		change(argv[2], argv[3]);
		return 0;
	}
	fprintf(stderr, "usage: torture-tree make DIR OUTSIDE\n"
			"       torture-tree change DIR STEP\n");
	return 2;
}
