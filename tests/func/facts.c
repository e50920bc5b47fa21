/*
 * facts - say everything there is to say about a tree, one line an entry.
 *
 *   facts [-F] [-H] [-x NAME] DIR
 *
 * Two trees are the same when the outputs are: type, mode, owner, size,
 * device number, times in ns, link target, which names are links of one
 * file, extended attributes, inode flags, the map of holes and a hash of the
 * content.  Not told is what a copy cannot keep or nobody compares: atime,
 * ctime, inode numbers, sizes and link counts of directories.
 *
 * -F leaves out inode flags and -H the maps of holes, for file systems that
 * have them not or others; -x what DIR/NAME holds.
 *
 * It goes from directory to directory with chdir, so that neither the length
 * of a path nor the kind of a file is in the way, and shares no code with
 * the program that it judges.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BLOCK      4096
#define VALUE_MAX  65536
#define TARGET_MAX 65536

/* Flags that a person sets; the others are the file system's own. */
#define FLAGS                                                                  \
	(FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL |       \
	 FS_SYNC_FL | FS_DIRSYNC_FL | FS_TOPDIR_FL)

static bool with_flags = true;
static bool with_holes = true;
static const char *without; /* of the top; or NULL */

static char *path; /* of the entry at hand, grown as needed */
static size_t path_len, path_cap;

/*
 * Files with several links, in the order of their first names.  A first walk
 * counts the names inside, because links from elsewhere do not matter.
 */
struct met {
	dev_t dev;
	ino_t ino;
	size_t names;
	size_t group; /* of those with several names inside, from 1; or 0 */
};
static struct met *met;
static size_t met_count, met_cap;
static bool counting = true;

__attribute__((format(printf, 1, 2))) static _Noreturn void
die(const char *fmt, ...)
{
	va_list ap;
	int number = errno;

	fprintf(stderr, "facts: %s: ", path != NULL ? path : "");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(number));
	exit(1);
}

static void *
grow(void *p, size_t *cap, size_t want, size_t size)
{
	if (want <= *cap)
		return p;
	*cap = want * 2;
	p = realloc(p, *cap * size);
	if (p == NULL)
		die("realloc");
	return p;
}

static void
print_bytes(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c > ' ' && c < 127 && c != '\\')
			putchar(c);
		else
			printf("\\%02x", c);
	}
}

/* --- one entry ------------------------------------------------------------ */

/* Its place in `met`, where it is added if it is not there. */
static struct met *
find_met(const struct stat *st)
{
	size_t i;

	for (i = 0; i < met_count; i++)
		if (met[i].ino == st->st_ino && met[i].dev == st->st_dev)
			return &met[i];
	met = grow(met, &met_cap, met_count + 1, sizeof(*met));
	met[met_count] = (struct met){ .dev = st->st_dev, .ino = st->st_ino };
	return &met[met_count++];
}

static void
print_link(struct met *m)
{
	static size_t groups;

	if (m->names < 2)
		return;
	if (m->group == 0)
		m->group = ++groups;
	printf(" link=%zu", m->group);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
print_value(const char *name, const char *attribute)
{
	static char value[VALUE_MAX];
	ssize_t n = lgetxattr(name, attribute, value, sizeof(value));
	uint64_t h = 14695981039346656037u;
	ssize_t i;

	if (n < 0)
		die("attribute %s", attribute);
	for (i = 0; i < n; i++)
		h = (h ^ (unsigned char)value[i]) * 1099511628211u;
	printf(" %s=%zd:%016llx", attribute, n, (unsigned long long)h);
}

static void
print_xattrs(const char *name)
{
	static char names[VALUE_MAX];
	static char *item[VALUE_MAX / 2];
	ssize_t len = llistxattr(name, names, sizeof(names));
	size_t n = 0;
	size_t i;
	char *p;

	if (len < 0 && errno == ENOTSUP)
		return;
	if (len < 0)
		die("list of attributes");
	for (p = names; p < names + len; p += strlen(p) + 1)
		item[n++] = p;
	qsort(item, n, sizeof(*item), by_name);
	for (i = 0; i < n; i++)
		print_value(name, item[i]);
}

static void
print_flags(int fd)
{
	int flags = 0;

	if (with_flags && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0)
		printf(" flags=%x", (unsigned)flags & FLAGS);
}

/*
 * Blocks of zeros count for nothing, so that a file has the same hash
 * whether they are holes or not; the others count with their places.
 */
static uint64_t
hash_block(uint64_t h, uint64_t at, const char *p, size_t n)
{
	static const char zeros[BLOCK];
	uint64_t word;
	size_t i;

	if (memcmp(p, zeros, n) == 0)
		return h;
	h = (h ^ at) * 0x9e3779b97f4a7c15u;
	for (i = 0; i < n; i += sizeof(word)) {
		word = 0;
		memcpy(&word, p + i,
		       n - i < sizeof(word) ? n - i : sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h;
}

/* All blocks that have a byte between start and end. */
static uint64_t
hash_range(int fd, uint64_t h, off_t start, off_t end)
{
	static char buf[64 * BLOCK];
	off_t at = start - start % BLOCK;
	ssize_t n;
	ssize_t i;

	while (at < end) {
		n = pread(fd, buf, sizeof(buf), at);
		if (n < 0)
			die("read at %lld", (long long)at);
		if (n == 0)
			die("ends at %lld", (long long)at);
		for (i = 0; i < n && at + i < end; i += BLOCK)
			h = hash_block(h, (uint64_t)(at + i), buf + i,
				       n - i < BLOCK ? (size_t)(n - i) : BLOCK);
		at += n;
	}
	return h;
}

static void
print_content(int fd, off_t size)
{
	uint64_t h = 1;
	off_t hole = 0;
	off_t data;

	if (with_holes)
		printf(" data=");
	while (hole < size) {
		data = lseek(fd, hole, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0)
			die("SEEK_DATA");
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			die("SEEK_HOLE");
		if (with_holes)
			printf("%lld-%lld,", (long long)data, (long long)hole);
		h = hash_range(fd, h, data, hole);
	}
	printf(" hash=%016llx", (unsigned long long)h);
}

static char
type_letter(mode_t mode)
{
	return S_ISREG(mode)    ? 'f'
	       : S_ISDIR(mode)  ? 'd'
	       : S_ISLNK(mode)  ? 'l'
	       : S_ISCHR(mode)  ? 'c'
	       : S_ISBLK(mode)  ? 'b'
	       : S_ISFIFO(mode) ? 'p'
	       : S_ISSOCK(mode) ? 's'
				: '?';
}

static void
print_target(const char *name)
{
	static char target[TARGET_MAX];
	ssize_t n = readlink(name, target, sizeof(target));

	if (n < 0)
		die("readlink");
	printf(" target=");
	print_bytes(target, (size_t)n);
}

static void
print_open(const char *name, const struct stat *st)
{
	int fd = open(name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);

	if (fd < 0)
		die("open");
	print_flags(fd);
	if (S_ISREG(st->st_mode))
		print_content(fd, st->st_size);
	close(fd);
}

static void
print_entry(const char *name, const struct stat *st)
{
	print_bytes(path, path_len);
	printf(" %c %04o %u:%u %lld.%09ld", type_letter(st->st_mode),
	       st->st_mode & 07777u, st->st_uid, st->st_gid,
	       (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode))
		printf(" size=%lld", (long long)st->st_size);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		printf(" device=%u:%u", major(st->st_rdev), minor(st->st_rdev));
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1)
		print_link(find_met(st));
	if (S_ISLNK(st->st_mode))
		print_target(name);
	print_xattrs(name);
	if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))
		print_open(name, st);
	putchar('\n');
}

/* --- the walk ------------------------------------------------------------- */

static char **
sorted_names(size_t *count)
{
	DIR *d = opendir(".");
	char **list = NULL;
	size_t n = 0;
	size_t cap = 0;
	struct dirent *de;

	if (d == NULL)
		die("opendir");
	for (;;) {
		errno = 0;
		de = readdir(d);
		if (de == NULL)
			break;
		if (strcmp(de->d_name, ".") == 0 ||
		    strcmp(de->d_name, "..") == 0)
			continue;
		list = grow(list, &cap, n + 1, sizeof(*list));
		list[n] = strdup(de->d_name);
		if (list[n++] == NULL)
			die("strdup");
	}
	if (errno != 0)
		die("readdir");
	closedir(d);
	if (n > 0)
		qsort(list, n, sizeof(*list), by_name);
	*count = n;
	return list;
}

static void
walk(const char *name)
{
	size_t len = path_len;
	struct stat st;
	char **list;
	size_t count;
	size_t i;
	int here;

	if (lstat(name, &st) < 0)
		die("lstat");
	if (!counting)
		print_entry(name, &st);
	else if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		find_met(&st)->names++;
	if (!S_ISDIR(st.st_mode) ||
	    (without != NULL && len > 2 && strcmp(path + 2, without) == 0))
		return;
	here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (here < 0 || chdir(name) < 0)
		die("chdir");
	list = sorted_names(&count);
	for (i = 0; i < count; i++) {
		path = grow(path, &path_cap, len + strlen(list[i]) + 2, 1);
		path[len] = '/';
		memcpy(path + len + 1, list[i], strlen(list[i]) + 1);
		path_len = len + 1 + strlen(list[i]);
		walk(list[i]);
		free(list[i]);
	}
	free(list);
	path_len = len;
	path[len] = '\0';
	if (fchdir(here) < 0)
		die("fchdir");
	close(here);
}

int
main(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "FHx:")) != -1) {
		with_flags = with_flags && c != 'F';
		with_holes = with_holes && c != 'H';
		if (c == 'x')
			without = optarg;
	}
	if (argc - optind != 1) {
		fprintf(stderr, "usage: facts [-F] [-H] [-x NAME] DIR\n");
		return 2;
	}
	path = grow(NULL, &path_cap, 2, 1);
	memcpy(path, ".", 2);
	path_len = 1;
	if (chdir(argv[optind]) < 0)
		die("%s", argv[optind]);
	walk(".");
	counting = false;
	walk(".");
	if (fflush(stdout) != 0 || ferror(stdout))
		die("standard output");
	return 0;
}
