/*
 * Inodes are numbers given out here, so that a file is the same whatever its
 * names are; 0 is the top.  An entry of `now` is a name as all calls so far
 * have left it; what a cut leaves is worked out anew from the calls.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "tests/lib/trace.h"

#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_LEN  80
#define PATH_LEN  600
#define FDS_MAX   4096
#define NAMES_MAX 1024
#define BLOCK     512
#define NOT_OURS  UINT32_MAX

enum what {
	NAMED,   /* name in dir is now inode: create, mkdir, link */
	RENAMED, /* from name to other, in dir */
	UNNAMED,
	WROTE, /* len bytes at `at` */
	CUT,   /* at `at` */
	SYNCED,
	SYNCED_DIR
};

struct call {
	enum what what;
	uint32_t dir, inode;
	char name[NAME_LEN], other[NAME_LEN];
	uint64_t at;
	uint8_t *p;
	size_t len;
	char path[PATH_LEN]; /* of what it was done to, for people */
};

struct name {
	uint32_t dir, inode;
	char name[NAME_LEN];
};

struct names {
	struct name item[NAMES_MAX];
	size_t count;
};

struct trace {
	char top[PATH_LEN];
	void (*behind)(void);
	struct call *call;
	size_t calls, room;
	uint32_t inodes;
	bool *is_dir; /* by inode */
	struct names now;
	uint32_t fd[FDS_MAX];
	size_t start; /* calls that only say what was there before */
};

static struct trace *recording;
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void
give_up(const char *what)
{
	printf("Bail out! trace: %s\n", what);
	fflush(stdout);
	_exit(1);
}

/* --- names ---------------------------------------------------------------- */

static struct name *
find(struct names *n, uint32_t dir, const char *name)
{
	for (size_t i = 0; i < n->count; i++)
		if (n->item[i].dir == dir && strcmp(n->item[i].name, name) == 0)
			return &n->item[i];
	return NULL;
}

static void
set_name(struct names *n, uint32_t dir, const char *name, uint32_t inode)
{
	struct name *x = find(n, dir, name);

	if (x == NULL) {
		if (n->count == NAMES_MAX)
			give_up("too many names");
		x = &n->item[n->count++];
		x->dir = dir;
		snprintf(x->name, sizeof(x->name), "%s", name);
	}
	x->inode = inode;
}

static void
drop_name(struct names *n, uint32_t dir, const char *name)
{
	struct name *x = find(n, dir, name);

	if (x != NULL)
		*x = n->item[--n->count];
}

/* What a call does to names. */
static void
apply_name(struct names *n, const struct call *c)
{
	if (c->what == NAMED)
		set_name(n, c->dir, c->name, c->inode);
	if (c->what == UNNAMED || c->what == RENAMED)
		drop_name(n, c->dir, c->name);
	if (c->what == RENAMED)
		set_name(n, c->dir, c->other, c->inode);
}

static bool
is_of_names(const struct call *c)
{
	return c->what == NAMED || c->what == RENAMED || c->what == UNNAMED;
}

static bool
is_of_data(const struct call *c)
{
	return c->what == WROTE || c->what == CUT;
}

static bool
is_sync(const struct call *c)
{
	return c->what == SYNCED || c->what == SYNCED_DIR;
}

/* --- writing down --------------------------------------------------------- */

static uint32_t
new_inode(struct trace *t, bool dir)
{
	t->is_dir = realloc(t->is_dir, t->inodes + 1);
	if (t->is_dir == NULL)
		give_up("no memory");
	t->is_dir[t->inodes] = dir;
	return t->inodes++;
}

static struct call *
add_call(struct trace *t, enum what what, uint32_t dir, const char *name,
	 uint32_t inode)
{
	struct call *c;

	if (t->calls == t->room) {
		t->room = t->room * 2 + 64;
		t->call = realloc(t->call, t->room * sizeof(*c));
		if (t->call == NULL)
			give_up("no memory");
	}
	c = &t->call[t->calls++];
	memset(c, 0, sizeof(*c));
	c->what = what;
	c->dir = dir;
	c->inode = inode;
	snprintf(c->name, sizeof(c->name), "%s", name);
	return c;
}

/* Where something is, from the top, by the names as they are now. */
static void
path_now(struct trace *t, uint32_t inode, const char *name, char *out)
{
	char below[PATH_LEN];
	size_t i;

	snprintf(out, PATH_LEN, "%s", name);
	while (inode != 0) {
		for (i = 0; i < t->now.count; i++)
			if (t->now.item[i].inode == inode)
				break;
		if (i == t->now.count)
			return;
		snprintf(below, sizeof(below), "%s", out);
		snprintf(out, PATH_LEN, "%.80s%s%.500s", t->now.item[i].name,
			 below[0] != '\0' ? "/" : "", below);
		inode = t->now.item[i].dir;
	}
}

/* The last thing to be done about a call. */
static void
done(struct trace *t, struct call *c)
{
	if (is_of_names(c))
		path_now(t, c->dir, c->name, c->path);
	else
		path_now(t, c->inode, "", c->path);
	apply_name(&t->now, c);
	if (t->behind != NULL && !is_of_data(c))
		t->behind();
}

static uint32_t
inode_of(int fd)
{
	if (fd < 0 || fd >= FDS_MAX)
		return NOT_OURS;
	return recording->fd[fd];
}

/*
 * The directory and the last name of a path; the name is empty for the
 * directory itself.  False for what is not below the top.
 */
static bool
resolve(int dirfd, const char *path, uint32_t *dir, char name[NAME_LEN])
{
	struct trace *t = recording;
	size_t top = strlen(t->top), n;
	const struct name *x;

	*dir = inode_of(dirfd);
	if (path[0] == '/') {
		if (strncmp(path, t->top, top) != 0 ||
		    (path[top] != '/' && path[top] != '\0'))
			return false;
		path += top;
		*dir = 0;
	}
	name[0] = '\0';
	for (; *dir != NOT_OURS && *path != '\0'; path += n) {
		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (n == 0 || (n == 1 && path[0] == '.'))
			continue;
		if (name[0] != '\0') {
			x = find(&t->now, *dir, name);
			*dir = x != NULL ? x->inode : NOT_OURS;
		}
		snprintf(name, NAME_LEN, "%.*s", (int)n, path);
	}
	return *dir != NOT_OURS;
}

/* --- the calls ------------------------------------------------------------ */

static void
note_open(int fd, int dirfd, const char *path, int flags)
{
	struct trace *t = recording;
	char name[NAME_LEN];
	struct name *x;
	uint32_t dir;

	if (fd >= FDS_MAX)
		give_up("too many descriptors");
	t->fd[fd] = NOT_OURS;
	if (!resolve(dirfd, path, &dir, name))
		return;
	if (name[0] == '\0') {
		t->fd[fd] = dir;
		return;
	}
	x = find(&t->now, dir, name);
	if (x == NULL && (flags & O_CREAT) == 0)
		give_up("a file that nobody made");
	t->fd[fd] = x != NULL ? x->inode : new_inode(t, false);
	if (x == NULL)
		done(t, add_call(t, NAMED, dir, name, t->fd[fd]));
	else if ((flags & O_TRUNC) != 0)
		done(t, add_call(t, CUT, 0, "", t->fd[fd]));
}

static int
t_openat(int d, const char *path, int flags, mode_t mode)
{
	int fd;

	pthread_mutex_lock(&lock);
	fd = sys_real.openat(d, path, flags, mode);
	if (fd >= 0)
		note_open(fd, d, path, flags);
	pthread_mutex_unlock(&lock);
	return fd;
}

static int
t_close(int fd)
{
	int rc;

	pthread_mutex_lock(&lock);
	if (fd >= 0 && fd < FDS_MAX)
		recording->fd[fd] = NOT_OURS;
	rc = sys_real.close(fd);
	pthread_mutex_unlock(&lock);
	return rc;
}

static void
note_write(uint32_t inode, const void *p, size_t n, off_t at)
{
	struct call *c = add_call(recording, WROTE, 0, "", inode);

	c->at = (uint64_t)at;
	c->len = n;
	c->p = malloc(n + 1);
	if (c->p == NULL)
		give_up("no memory");
	memcpy(c->p, p, n);
	done(recording, c);
}

static ssize_t
t_pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t put;

	pthread_mutex_lock(&lock);
	put = sys_real.pwrite(fd, p, n, at);
	if (put > 0 && inode_of(fd) != NOT_OURS)
		note_write(inode_of(fd), p, (size_t)put, at);
	pthread_mutex_unlock(&lock);
	return put;
}

static ssize_t
t_write(int fd, const void *p, size_t n)
{
	ssize_t put;

	pthread_mutex_lock(&lock);
	if (inode_of(fd) != NOT_OURS)
		give_up("write(2), which it does not know");
	put = sys_real.write(fd, p, n);
	pthread_mutex_unlock(&lock);
	return put;
}

static int
t_ftruncate(int fd, off_t len)
{
	struct call *c;
	int rc;

	pthread_mutex_lock(&lock);
	rc = sys_real.ftruncate(fd, len);
	if (rc == 0 && inode_of(fd) != NOT_OURS) {
		c = add_call(recording, CUT, 0, "", inode_of(fd));
		c->at = (uint64_t)len;
		done(recording, c);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

static int
sync_by(int (*real)(int fd), int fd)
{
	uint32_t inode;
	int rc;

	pthread_mutex_lock(&lock);
	rc = real(fd);
	inode = inode_of(fd);
	if (rc == 0 && inode != NOT_OURS)
		done(recording,
		     add_call(recording,
			      recording->is_dir[inode] ? SYNCED_DIR : SYNCED, 0,
			      "", inode));
	pthread_mutex_unlock(&lock);
	return rc;
}

static int
t_fsync(int fd)
{
	return sync_by(sys_real.fsync, fd);
}

static int
t_fdatasync(int fd)
{
	return sync_by(sys_real.fdatasync, fd);
}

static int
t_mkdirat(int d, const char *path, mode_t mode)
{
	char name[NAME_LEN];
	uint32_t dir;
	int rc;

	pthread_mutex_lock(&lock);
	rc = sys_real.mkdirat(d, path, mode);
	if (rc == 0 && resolve(d, path, &dir, name))
		done(recording, add_call(recording, NAMED, dir, name,
					 new_inode(recording, true)));
	pthread_mutex_unlock(&lock);
	return rc;
}

static int
t_unlinkat(int d, const char *path, int flags)
{
	char name[NAME_LEN];
	const struct name *x;
	uint32_t dir;
	int saved, rc;

	pthread_mutex_lock(&lock);
	rc = sys_real.unlinkat(d, path, flags);
	saved = errno;
	if (rc == 0 && resolve(d, path, &dir, name)) {
		x = find(&recording->now, dir, name);
		if (x == NULL)
			give_up("a file removed that nobody made");
		done(recording,
		     add_call(recording, UNNAMED, dir, name, x->inode));
	}
	pthread_mutex_unlock(&lock);
	errno = saved;
	return rc;
}

/* Both names of a link or a rename; false for what is not ours. */
static const struct name *
find_old(int od, const char *op, int nd, const char *np, char name[NAME_LEN])
{
	char old[NAME_LEN];
	uint32_t from, to;
	const struct name *x;

	if (!resolve(od, op, &from, old) || !resolve(nd, np, &to, name))
		return NULL;
	x = find(&recording->now, from, old);
	if (from != to || x == NULL)
		give_up("a link or rename that it does not know");
	return x;
}

static int
t_linkat(int od, const char *op, int nd, const char *np, int flags)
{
	char name[NAME_LEN];
	const struct name *x;
	int saved, rc;

	pthread_mutex_lock(&lock);
	rc = sys_real.linkat(od, op, nd, np, flags);
	saved = errno;
	x = rc == 0 ? find_old(od, op, nd, np, name) : NULL;
	if (x != NULL)
		done(recording,
		     add_call(recording, NAMED, x->dir, name, x->inode));
	pthread_mutex_unlock(&lock);
	errno = saved;
	return rc;
}

static int
t_renameat2(int od, const char *op, int nd, const char *np, unsigned flags)
{
	char name[NAME_LEN];
	const struct name *x;
	struct call *c;
	int saved, rc;

	pthread_mutex_lock(&lock);
	rc = sys_real.renameat2(od, op, nd, np, flags);
	saved = errno;
	x = rc == 0 ? find_old(od, op, nd, np, name) : NULL;
	if (x != NULL) {
		c = add_call(recording, RENAMED, x->dir, x->name, x->inode);
		snprintf(c->other, sizeof(c->other), "%s", name);
		done(recording, c);
	}
	pthread_mutex_unlock(&lock);
	errno = saved;
	return rc;
}

/* --- a recording ---------------------------------------------------------- */

static struct sys_ops tracing;

/* What is there already, as calls that are all synced. */
static void
take_over(struct trace *t)
{
	char name[NAME_LEN];
	struct shot s;
	uint32_t dir, inode;

	shot_take(&s, t->top);
	for (size_t i = 0; i < s.count; i++) {
		char path[2 * PATH_LEN];

		snprintf(path, sizeof(path), "%s/%s", t->top, s.file[i].path);
		if (!resolve(-1, path, &dir, name))
			give_up("a file without a directory");
		inode = new_inode(t, s.file[i].dir);
		done(t, add_call(t, NAMED, dir, name, inode));
		if (s.file[i].len > 0)
			note_write(inode, s.file[i].p, s.file[i].len, 0);
		done(t, add_call(t, s.file[i].dir ? SYNCED_DIR : SYNCED, 0, "",
				 inode));
		done(t, add_call(t, SYNCED_DIR, 0, "", dir));
	}
	t->start = t->calls;
	shot_clear(&s);
}

struct trace *
trace_begin(const char *top, void (*behind)(void))
{
	struct trace *t = calloc(1, sizeof(*t));

	if (t == NULL)
		give_up("no memory");
	snprintf(t->top, sizeof(t->top), "%s", top);
	for (size_t i = 0; i < FDS_MAX; i++)
		t->fd[i] = NOT_OURS;
	(void)new_inode(t, true);
	recording = t;
	take_over(t);
	t->behind = behind;
	tracing = sys_real;
	tracing.openat = t_openat;
	tracing.close = t_close;
	tracing.write = t_write;
	tracing.pwrite = t_pwrite;
	tracing.fsync = t_fsync;
	tracing.fdatasync = t_fdatasync;
	tracing.syncfs = NULL; /* not used on a repository; it would be seen */
	tracing.ftruncate = t_ftruncate;
	tracing.mkdirat = t_mkdirat;
	tracing.mknodat = NULL;
	tracing.symlinkat = NULL;
	tracing.linkat = t_linkat;
	tracing.unlinkat = t_unlinkat;
	tracing.renameat2 = t_renameat2;
	sys_repo = &tracing;
	return t;
}

void
trace_end(struct trace *t)
{
	if (recording == t)
		recording = NULL;
	sys_repo = &sys_real;
}

void
trace_free(struct trace *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->calls; i++)
		free(t->call[i].p);
	free(t->call);
	free(t->is_dir);
	free(t);
}

size_t
trace_length(const struct trace *t)
{
	size_t n;

	pthread_mutex_lock(&lock);
	n = t->calls - t->start;
	pthread_mutex_unlock(&lock);
	return n;
}

const char *
trace_call(const struct trace *t, size_t i)
{
	static const char *const verb[] = {
		"name", "rename", "remove",         "write",
		"cut",  "fsync",  "fsync directory"
	};
	static char text[PATH_LEN + 3 * NAME_LEN];
	const struct call *c = &t->call[t->start + i];

	snprintf(text, sizeof(text), "%s %s%s%s", verb[c->what], c->path,
		 c->what == RENAMED ? " to " : "", c->other);
	return text;
}

/* --- what a cut leaves ---------------------------------------------------- */

const char *
trace_names_text(enum trace_names n)
{
	static const char *const text[] = { "lost",
					    "kept",
					    "as in a journal",
					    "as in a later journal",
					    "the first few",
					    "any" };

	return text[n];
}

const char *
trace_data_text(enum trace_data d)
{
	static const char *const text[] = {
		"lost",    "kept",       "zeros",          "zeros at the end",
		"cut off", "any blocks", "somebody else's"
	};

	return text[d];
}

/* A cut being worked out. */
struct left {
	const struct trace *t;
	const struct trace_cut *cut;
	size_t end;     /* calls made, with those before the recording */
	size_t *synced; /* by inode: calls before this one are durable */
	size_t *some;   /* by inode of a directory: and these many more */
	size_t journal; /* names before this call are durable */
	struct names names;
	struct rng rng;
	struct shot *out;
};

/* Does this sync work? */
static bool
is_idle(const struct left *l, size_t i)
{
	const struct call *c = &l->t->call[i];
	const char *dir = l->cut->idle_dir, *files = l->cut->idle_files;

	if (i < l->t->start)
		return false;
	if (dir != NULL && c->what == SYNCED_DIR)
		return strcmp(c->path, dir) == 0;
	return files != NULL && c->what == SYNCED &&
	       strncmp(c->path, files, strlen(files)) == 0 &&
	       strchr(c->path + strlen(files) + 1, '/') == NULL;
}

static void
find_synced(struct left *l)
{
	const struct call *c;
	size_t last = l->t->start;

	for (size_t i = 0; i < l->end; i++) {
		c = &l->t->call[i];
		if (!is_sync(c) || is_idle(l, i))
			continue;
		l->synced[c->inode] = i;
		last = i > last ? i : last;
	}
	l->journal = 0;
	if (l->cut->names == NAMES_JOURNAL || l->cut->names == NAMES_LATER)
		l->journal = last;
	if (l->cut->names == NAMES_LATER)
		l->journal += (size_t)rng_below(&l->rng, l->end - last + 1);
	for (uint32_t i = 0; i < l->t->inodes; i++)
		l->some[i] = (size_t)rng_below(&l->rng, 6);
}

static bool
keeps_name(struct left *l, size_t i)
{
	const struct call *c = &l->t->call[i];

	if (i < l->synced[c->dir] || i < l->journal)
		return true;
	switch (l->cut->names) {
	case NAMES_KEPT:
		return true;
	case NAMES_PREFIX:
		if (l->some[c->dir] == 0)
			return false;
		l->some[c->dir]--;
		return true;
	case NAMES_ANY:
		return rng_below(&l->rng, 2) == 0;
	default:
		return false;
	}
}

struct bytes {
	uint8_t *p;
	size_t len;
};

static void
set_len(struct bytes *b, size_t len)
{
	if (len > b->len) {
		b->p = realloc(b->p, len);
		if (b->p == NULL)
			give_up("no memory");
		memset(b->p + b->len, 0, len - b->len);
	}
	b->len = len;
}

static void
apply_data(struct bytes *b, const struct call *c)
{
	if (c->what == CUT) {
		set_len(b, (size_t)c->at);
		return;
	}
	if (c->at + c->len > b->len)
		set_len(b, (size_t)c->at + c->len);
	memcpy(b->p + c->at, c->p, c->len);
}

/* A file's bytes by the calls from `from` up to `to`. */
static void
replay(const struct left *l, uint32_t inode, size_t from, size_t to,
       struct bytes *b)
{
	for (size_t i = from; i < to; i++)
		if (is_of_data(&l->t->call[i]) && l->t->call[i].inode == inode)
			apply_data(b, &l->t->call[i]);
}

/* Bytes that may be there or not; `old` has what was synced. */
static void
lose(struct left *l, const struct bytes *old, struct bytes *b)
{
	size_t at = old->len < b->len ? old->len : 0;

	if (b->len == 0)
		return;
	if (l->cut->data != DATA_ZERO)
		at += (size_t)rng_below(&l->rng, b->len - at);
	switch (l->cut->data) {
	case DATA_ZERO:
	case DATA_TAIL:
		memset(b->p + at, 0, b->len - at);
		break;
	case DATA_CUT:
		b->len = at;
		break;
	case DATA_BLOCKS:
		for (at = old->len - old->len % BLOCK; at < b->len; at += BLOCK)
			if (rng_below(&l->rng, 2) == 0)
				memset(b->p + at, 0,
				       b->len - at < BLOCK ? b->len - at
							   : BLOCK);
		if (old->len > 0 && old->len <= b->len)
			memcpy(b->p, old->p, old->len);
		break;
	default:
		rng_fill(&l->rng, b->p + at, b->len - at);
		break;
	}
}

static struct bytes
file_left(struct left *l, uint32_t inode)
{
	struct bytes old = { 0 }, b = { 0 };

	replay(l, inode, 0, l->synced[inode], &old);
	if (l->cut->data == DATA_LOST)
		return old;
	replay(l, inode, 0, l->end, &b);
	if (l->cut->data != DATA_KEPT &&
	    (b.len != old.len || (b.len > 0 && memcmp(b.p, old.p, b.len) != 0)))
		lose(l, &old, &b);
	free(old.p);
	return b;
}

static int
by_name(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void
put_dir(struct left *l, uint32_t dir, const char *path)
{
	char below[PATH_LEN];

	for (size_t i = 0; i < l->names.count; i++) {
		const struct name *n = &l->names.item[i];
		struct bytes b = { 0 };

		if (n->dir != dir)
			continue;
		snprintf(below, sizeof(below), "%.500s%s%s", path,
			 path[0] != '\0' ? "/" : "", n->name);
		if (!l->t->is_dir[n->inode])
			b = file_left(l, n->inode);
		shot_add(l->out, below, l->t->is_dir[n->inode], b.p, b.len);
		free(b.p);
		if (l->t->is_dir[n->inode])
			put_dir(l, n->inode, below);
	}
}

void
trace_state(const struct trace *t, const struct trace_cut *cut,
	    struct shot *out)
{
	struct left *l = calloc(1, sizeof(*l));

	if (l == NULL)
		give_up("no memory");
	l->t = t;
	l->cut = cut;
	l->end = t->start + cut->calls;
	l->rng.state = cut->seed;
	l->synced = calloc(t->inodes, sizeof(*l->synced));
	l->some = calloc(t->inodes, sizeof(*l->some));
	if (l->synced == NULL || l->some == NULL)
		give_up("no memory");
	find_synced(l);
	for (size_t i = 0; i < l->end; i++)
		if (is_of_names(&t->call[i]) && keeps_name(l, i))
			apply_name(&l->names, &t->call[i]);
	qsort(l->names.item, l->names.count, sizeof(l->names.item[0]), by_name);
	memset(out, 0, sizeof(*out));
	l->out = out;
	put_dir(l, 0, "");
	free(l->synced);
	free(l->some);
	free(l);
}

/* --- what must not be in a record ----------------------------------------- */

static bool
is_dirty(const struct trace *t, uint32_t inode, size_t end)
{
	bool dirty = false;

	for (size_t i = 0; i < end; i++) {
		if (t->call[i].inode != inode)
			continue;
		if (is_of_data(&t->call[i]))
			dirty = true;
		if (t->call[i].what == SYNCED)
			dirty = false;
	}
	return dirty;
}

const char *
trace_early_name(const struct trace *t)
{
	for (size_t i = t->start; i < t->calls; i++) {
		const struct call *c = &t->call[i];
		const char *name = c->what == RENAMED ? c->other : c->name;

		if ((c->what == NAMED || c->what == RENAMED) &&
		    strncmp(name, ".tmp-", 5) != 0 && is_dirty(t, c->inode, i))
			return trace_call(t, i - t->start);
	}
	return NULL;
}
