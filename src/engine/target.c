/*
 * One lock guards descriptors and counts; it is taken a few times per
 * directory, not per file.  The system calls under it are those that open a
 * closed directory again, which happens only in trees deeper than the
 * number of descriptors.  There the way up is cheap: who finishes a
 * directory opens its closed parent by "..", checked by device and inode.
 *
 * Nothing here recurses or builds a path for the kernel: depth is bounded
 * by memory only, some 400 bytes a level.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/target.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"
#include "src/engine/attrs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* Descriptors for everything else: packs, files, the rest of the program. */
#define FDS_OTHER 256
#define OPEN_MIN  16
#define OPEN_MAX  4096

struct target {
	struct target_options opt;
	pthread_mutex_t lock;
	struct target_dir *top;
	struct target_dir *oldest, *newest; /* open and not pinned; lock */
	size_t open;                        /* descriptors in use; lock */
	size_t open_max;
	gid_t gid; /* ours */
};

/* --- descriptors ------------------------------------------------------------ */

int
target_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	int fd;

	do
		fd = sys_target->openat(dirfd, name, flags, mode);
	while (fd < 0 && errno == EINTR);
	return fd;
}

int
target_write(int fd, const uint8_t *p, uint64_t len, uint64_t at,
	     uint64_t *written, struct err *e)
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
		if (written != NULL)
			*written += (uint64_t)n;
	}
	return 0;
}

static void
list_remove(struct target *t, struct target_dir *d)
{
	if (d->older != NULL)
		d->older->newer = d->newer;
	else
		t->oldest = d->newer;
	if (d->newer != NULL)
		d->newer->older = d->older;
	else
		t->newest = d->older;
	d->older = NULL;
	d->newer = NULL;
}

static void
list_append(struct target *t, struct target_dir *d)
{
	d->older = t->newest;
	d->newer = NULL;
	if (t->newest != NULL)
		t->newest->newer = d;
	else
		t->oldest = d;
	t->newest = d;
}

static void
close_locked(struct target *t, struct target_dir *d)
{
	if (d->fd < 0)
		return;
	if (d->pins == 0)
		list_remove(t, d);
	(void)sys_target->close(d->fd);
	d->fd = -1;
	t->open--;
}

/* `d` has just been given its descriptor; pinned or not, make room. */
static void
opened_locked(struct target *t, struct target_dir *d)
{
	if (d->pins == 0)
		list_append(t, d);
	t->open++;
	while (t->open > t->open_max && t->oldest != NULL)
		close_locked(t, t->oldest);
}

static bool
is_same(int fd, const struct target_dir *d)
{
	struct stat st;

	return sys_target->fstat(fd, &st) == 0 && st.st_dev == d->dev &&
	       st.st_ino == d->ino;
}

static int
flags_of(const struct target_dir *d)
{
	return OPEN_FLAGS | (d->blind ? O_PATH : 0);
}

/* `d`, which is directly below the directory `fd`. */
static int
open_below(int fd, const struct target_dir *d, struct err *e)
{
	int below;

	below = target_openat(fd, d->name, flags_of(d), 0);
	if (below < 0)
		return err_sys(e, "open its directory again");
	if (!is_same(below, d)) {
		(void)sys_target->close(below);
		errno = ESTALE;
		return err_sys(e, "somebody has replaced its directory");
	}
	return below;
}

/* Open `d` again from the nearest open directory above it. */
static int
reopen_locked(struct target_dir *d, struct err *e)
{
	struct target_dir *at = d;
	int fd;
	int below;

	d->down = NULL;
	while (at->fd < 0) { /* the top is always open */
		at->parent->down = at;
		at = at->parent;
	}
	for (fd = at->fd; at->down != NULL; fd = below) {
		below = open_below(fd, at->down, e);
		if (fd != at->fd)
			(void)sys_target->close(fd);
		if (below < 0)
			return -1;
		at = at->down;
	}
	d->fd = fd;
	return 0;
}

int
target_pin(struct target_dir *d, struct err *e)
{
	struct target *t = d->target;
	int fd = -1;

	(void)pthread_mutex_lock(&t->lock);
	if (d->fd >= 0) {
		if (d->pins++ == 0)
			list_remove(t, d);
		fd = d->fd;
	} else if (reopen_locked(d, e) == 0) {
		d->pins = 1;
		fd = d->fd;
		opened_locked(t, d);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return fd;
}

void
target_unpin(struct target_dir *d)
{
	struct target *t = d->target;

	(void)pthread_mutex_lock(&t->lock);
	if (--d->pins == 0) {
		list_append(t, d);
		/* More may be open than allowed, while all were pinned. */
		while (t->open > t->open_max && t->oldest != NULL)
			close_locked(t, t->oldest);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

/* --- life ------------------------------------------------------------------- */

static struct target_dir *
new_dir(struct target *t, struct target_dir *parent, const void *name,
	size_t len, struct err *e)
{
	struct target_dir *d;

	d = mem_zalloc(sizeof(*d) + len + 1);
	if (d == NULL) {
		(void)err_nomem(e);
		return NULL;
	}
	d->target = t;
	d->parent = parent;
	d->fd = -1;
	d->holds = 1;
	d->keeps = 1; /* until it is finished */
	memcpy(d->name, name, len);
	d->name_len = len;
	return d;
}

/* For a directory that nobody else has seen yet. */
static void
free_dir(struct target_dir *d)
{
	if (d == NULL)
		return;
	if (d->fd >= 0)
		(void)sys_target->close(d->fd);
	buf_clear(&d->entry);
	mem_free(d);
}

static int
set_entry(struct target_dir *d, const struct entry *en, struct err *e)
{
	d->nameless = en->name_len == 0;
	if (en->bytes == NULL)
		return entry_encode(en, &d->entry, e);
	buf_add(&d->entry, en->bytes, en->len);
	return buf_ok(&d->entry, e);
}

void
target_hold(struct target_dir *d)
{
	(void)pthread_mutex_lock(&d->target->lock);
	d->holds++;
	(void)pthread_mutex_unlock(&d->target->lock);
}

void
target_keep(struct target_dir *d)
{
	(void)pthread_mutex_lock(&d->target->lock);
	d->keeps++;
	(void)pthread_mutex_unlock(&d->target->lock);
}

void
target_drop(struct target_dir *d)
{
	struct target *t = d->target;
	struct target_dir *parent;

	(void)pthread_mutex_lock(&t->lock);
	for (; d != NULL && --d->keeps == 0; d = parent) {
		parent = d->parent; /* which every directory in it keeps */
		close_locked(t, d);
		buf_clear(&d->entry);
		mem_free(d);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

/* --- finishing -------------------------------------------------------------- */

/* Are existing things to be replaced? */
static bool
replaces(enum restore_existing existing)
{
	return existing == RESTORE_REPLACE || existing == RESTORE_IN_PLACE;
}

/* Does it get what its entry says?  A top that was there keeps its own. */
static bool
gets_attrs(const struct target_dir *d)
{
	if (d->entry.len == 0)
		return false;
	return d->made || (d->parent != NULL && d->wish != RESTORE_PASS &&
			   replaces(d->target->opt.existing));
}

static int
apply_entry(const struct target_dir *d, int fd, bool *damage, struct err *e)
{
	struct attrs_at at = {
		.fd = fd,
		.mode = d->mode,
		.ours = d->made && d->ours, /* then its own group too */
	};
	struct entry en;

	if (entry_decode(d->entry.data, d->entry.len, d->nameless, &en, e) <
	    0) {
		*damage = true;
		return -1;
	}
	return attrs_apply(d->target->opt.attrs, d->target->opt.reader, &en,
			   &at, damage, e);
}

/*
 * Where a file system begins, make durable what went to it; where that cannot be
 * opened, its directories do so.
 */
static int
sync_below(const struct target_dir *d, int fd, struct err *e)
{
	int rc;

	if (!d->target->opt.sync || d->blind ||
	    (d->parent != NULL && d->parent->dev == d->dev &&
	     !d->parent->blind))
		return 0;
	do
		rc = sys_target->syncfs(fd);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? err_sys(e, "sync its file system") : 0;
}

/* Open a closed parent from its child, while that is still open. */
static void
open_parent(struct target_dir *d, int fd)
{
	struct target *t = d->target;
	struct target_dir *parent = d->parent;

	(void)pthread_mutex_lock(&t->lock);
	if (parent != NULL && parent->fd < 0) {
		parent->fd = target_openat(fd, "..", flags_of(parent), 0);
		if (parent->fd >= 0 && !is_same(parent->fd, parent)) {
			(void)sys_target->close(parent->fd);
			parent->fd = -1;
		}
		if (parent->fd >= 0)
			opened_locked(t, parent);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

static void
finish(struct target_dir *d)
{
	const struct target_options *opt = &d->target->opt;
	struct err why = { 0 };
	bool damage = false;
	int fd;

	fd = target_pin(d, &why);
	if (fd >= 0) {
		if (gets_attrs(d))
			(void)apply_entry(d, fd, &damage, &why);
		(void)sync_below(d, fd, &why);
		open_parent(d, fd);
		target_unpin(d);
	}
	if (why.kind != ERR_NONE)
		opt->failed(opt->ctx, d, &why, damage);
	buf_clear(&d->entry);
}

void
target_done(struct target_dir *d)
{
	struct target *t = d->target;
	struct target_dir *parent;
	bool last;

	for (; d != NULL; d = parent) {
		(void)pthread_mutex_lock(&t->lock);
		last = --d->holds == 0;
		(void)pthread_mutex_unlock(&t->lock);
		if (!last)
			return;
		finish(d);
		parent = d->parent;
		target_drop(d);
	}
}

/* --- entering --------------------------------------------------------------- */

/* Enough for us to work in it, and nobody may put things in our way. */
static mode_t
mode_to_make(const struct target *t, const struct entry *en)
{
	return (attrs_first_mode(t->opt.attrs, en) & 0755) | 0700;
}

/* Make it; 1 when a directory of that name is there. */
static int
make_dir(const struct target_dir *d, int parent, mode_t mode, struct err *e)
{
	const char *name = d->name;
	struct stat st;

	if (sys_target->mkdirat(parent, name, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return err_sys(e, "make it");
	if (sys_target->fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "look at what is in its place");
	if (S_ISDIR(st.st_mode))
		return 1;
	errno = ENOTDIR;
	if (d->wish != RESTORE_TAKE || !replaces(d->target->opt.existing))
		return err_sys(e, "something else is in its place");
	if (sys_target->unlinkat(parent, name, 0) < 0)
		return err_sys(e, "remove what is in its place");
	if (sys_target->mkdirat(parent, name, mode) < 0)
		return err_sys(e, "make it");
	return 0;
}

/* Learn what is to be known of the open directory. */
static int
inspect(struct target_dir *d, struct err *e)
{
	struct target *t = d->target;
	struct stat st;

	if (sys_target->fstat(d->fd, &st) < 0)
		return err_sys(e, "look at it");
	d->dev = st.st_dev;
	d->ino = st.st_ino;
	d->mode = d->made ? st.st_mode & 07777 : ATTRS_MODE_UNKNOWN;
	/*
	 * What is made in it gets our group, or, if it is setgid or the file
	 * system is mounted with grpid, the directory's.
	 */
	d->ours = st.st_gid == t->gid;
	if (!d->made || d->parent == NULL) {
		d->hands_on = attrs_hands_on(d->fd);
	} else if (d->parent->hands_on ||
		   (d->parent->blind && attrs_hands_on(d->fd))) {
		d->mode = ATTRS_MODE_UNKNOWN;
		return attrs_drop_inherited(d->fd, true, e);
	}
	return 0;
}

static int
open_dir(struct target_dir *d, int parent, const struct entry *en,
	 struct err *e)
{
	int rc;

	rc = make_dir(d, parent, mode_to_make(d->target, en), e);
	if (rc < 0)
		return -1;
	d->made = rc == 0;
	d->fd = target_openat(parent, d->name, flags_of(d), 0);
	/* Who may not list it may still go through. */
	if (d->fd < 0 && errno == EACCES && d->wish == RESTORE_PASS) {
		d->blind = true;
		d->fd = target_openat(parent, d->name, flags_of(d), 0);
	}
	if (d->fd < 0)
		return err_sys(e, "open it");
	return inspect(d, e);
}

int
target_enter(struct target_dir *parent, const struct entry *en,
	     enum restore_wish wish, struct target_dir **out, struct err *e)
{
	struct target *t = parent->target;
	struct target_dir *d;
	int fd;
	int rc;

	d = new_dir(t, parent, en->name, en->name_len, e);
	if (d == NULL)
		return -1;
	d->wish = wish;
	fd = target_pin(parent, e);
	if (fd < 0 || set_entry(d, en, e) < 0)
		rc = -1;
	else
		rc = open_dir(d, fd, en, e);
	if (fd >= 0)
		target_unpin(parent);
	if (rc < 0) {
		free_dir(d);
		return -1;
	}
	(void)pthread_mutex_lock(&t->lock);
	parent->holds++;
	parent->keeps++;
	opened_locked(t, d);
	(void)pthread_mutex_unlock(&t->lock);
	*out = d;
	return 0;
}

/* --- the target itself ------------------------------------------------------ */

/* The soft limit on descriptors is raised to the hard one. */
static size_t
choose_open_max(void)
{
	struct rlimit lim;
	size_t n;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return OPEN_MIN;
	if (lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0 &&
		    getrlimit(RLIMIT_NOFILE, &lim) < 0)
			return OPEN_MIN;
	}
	if (lim.rlim_cur < FDS_OTHER + 2 * OPEN_MIN)
		return OPEN_MIN;
	n = (size_t)(lim.rlim_cur - FDS_OTHER) / 2;
	return n < OPEN_MAX ? n : OPEN_MAX;
}

static int
open_top(struct target *t, const struct target_options *opt, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	struct target_dir *top = t->top;
	mode_t mode = 0777;

	(void)path_show_in(shown, opt->to, strlen(opt->to));
	if (opt->entry != NULL) {
		if (set_entry(top, opt->entry, e) < 0)
			return -1;
		mode = mode_to_make(t, opt->entry);
	}
	top->made = opt->at == NULL &&
		    sys_target->mkdirat(AT_FDCWD, opt->to, mode) == 0;
	if (opt->at == NULL && !top->made && errno != EEXIST)
		return err_sys(e, "make the directory %s", shown);
	/* The person's own path: links in it are what they mean. */
	top->fd = target_openat(opt->at != NULL ? *opt->at : AT_FDCWD,
				opt->at != NULL ? "." : opt->to,
				O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (top->fd < 0)
		return err_sys(e, "open the directory %s", shown);
	top->pins = 1; /* for good */
	t->open = 1;
	if (inspect(top, e) < 0)
		return err_prefix(e, "%s", shown);
	return 0;
}

int
target_open(const struct target_options *opt, struct target **out,
	    struct err *e)
{
	struct target *t;

	t = mem_zalloc(sizeof(*t));
	if (t == NULL)
		return err_nomem(e);
	t->opt = *opt;
	t->gid = getegid();
	t->open_max = choose_open_max();
	(void)pthread_mutex_init(&t->lock, NULL);
	t->top = new_dir(t, NULL, opt->path, strlen(opt->path), e);
	if (t->top == NULL || open_top(t, opt, e) < 0) {
		free_dir(t->top);
		t->top = NULL;
		target_close(t);
		return -1;
	}
	*out = t;
	return 0;
}

struct target_dir *
target_top(struct target *t)
{
	return t->top;
}

void
target_close(struct target *t)
{
	if (t == NULL)
		return;
	(void)pthread_mutex_destroy(&t->lock);
	mem_free(t);
}

/* --- paths ------------------------------------------------------------------ */

void
target_path(const struct target_dir *d, const void *name, size_t len,
	    struct buf *out)
{
	const struct target_dir *at;
	size_t total = name != NULL ? len + 1 : 0;
	uint8_t *end;

	for (at = d; at != NULL; at = at->parent)
		total += at->name_len + (at->parent != NULL);
	if (total == 0) {
		buf_add_char(out, '/');
		return;
	}
	end = buf_extend(out, total);
	if (end == NULL)
		return;
	end += total;
	if (name != NULL) {
		end -= len;
		memcpy(end, name, len);
		*--end = '/';
	}
	for (at = d; at != NULL; at = at->parent) {
		end -= at->name_len;
		memcpy(end, at->name, at->name_len);
		if (at->parent != NULL)
			*--end = '/';
	}
}
