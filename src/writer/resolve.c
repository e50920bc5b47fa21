/*
 * Two steps for a file: first a descriptor that opens nothing (O_PATH), to see
 * what it is, because to open a device may do something; then the file itself,
 * and it must be the same one.  A FIFO put in between is opened without waiting
 * and refused.
 *
 * The granted directory is opened as root and only what is beneath it as the
 * owner: root granted it, and what is above need not be open to him.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/resolve.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "base/time.h"
#include "src/writer/journal.h"
#include "src/writer/ranges.h"
#include "src/writer/refuse.h"
#include "src/writer/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define READ_LEN ((size_t)256 << 10)

/* A ctime this far ahead is not waited for: another clock made it. */
#define YOUNG_MAX_NS (4 * time_tick_ns())

#define SHOWN(name) path_show_in((char[PATH_SHOW_LEN]){ 0 }, name, strlen(name))

int
resolver_set(struct resolver *r, const struct registration *who, bool free_hand,
	     struct err *e)
{
	struct resolver n = { 0 };
	bool all = who->owner == 0 || (free_hand && who->grants == 0);
	size_t count = all ? 1 : who->grants;
	size_t i;

	n.cred.uid = who->owner;
	n.grant = mem_array(count + 1, sizeof(*n.grant));
	if (n.grant == NULL)
		return err_nomem(e);
	for (i = 0; i < count; i++) {
		n.grant[i] = mem_strdup(all ? "/" : who->grant[i]);
		if (n.grant[i] == NULL) {
			resolver_clear(&n);
			return err_nomem(e);
		}
		n.grants++;
	}
	*r = n;
	return 0;
}

void
resolver_clear(struct resolver *r)
{
	mem_free_list(r->grant, r->grants);
	cred_clear(&r->cred);
	memset(r, 0, sizeof(*r));
}

/* The rights of the owner, for this thread. */
static int
become_owner(struct resolver *r, struct cred_before *before, struct err *e)
{
	struct cred c = { 0 };

	if (!r->known && r->cred.uid != geteuid()) {
		if (cred_look_up(r->cred.uid, &c, e) < 0)
			return -1;
		r->cred = c;
	}
	r->known = true;
	return cred_enter(&r->cred, before, e);
}

/* What a failed open means for a writer. */
static int
judge_open(const char *path, struct err *why, struct err *e)
{
	switch (why->kind == ERR_SOURCE ? why->saved_errno : 0) {
	case ENOENT:
	case ENOTDIR:
		return 1;
	case ELOOP:
		return refuse_set(e, ELOOP, "a symlink is in the path: %s",
				  SHOWN(path));
	case EXDEV:
		return refuse_set(e, EPERM, "the path leads elsewhere: %s",
				  SHOWN(path));
	case EACCES:
	case EPERM:
		return refuse_set(e, EPERM,
				  "the writer's owner may not open it: %s",
				  SHOWN(path));
	case ENXIO:
	case ENODEV:
		return refuse_set(e, EINVAL, "not a regular file: %s",
				  SHOWN(path));
	default:
		err_move(e, why);
		return -1;
	}
}

/* The descriptor of a granted directory, as what this process is. */
static int
open_grant(const char *grant, struct err *e)
{
	int root;
	int fd;

	root = src_open(AT_FDCWD, "/", O_DIRECTORY | O_PATH, e);
	if (root < 0 || grant[1] == '\0')
		return root;
	fd = src_open_beneath(root, grant + 1, O_DIRECTORY | O_PATH, e);
	src_close(root);
	return fd;
}

const char *
resolve_grant(const struct resolver *r, const char *path)
{
	size_t i;

	for (i = 0; i < r->grants; i++)
		if (path_beneath(path, r->grant[i]))
			return r->grant[i];
	return NULL;
}

/* The path as it is seen from the grant. */
static const char *
below(const char *path, const char *grant)
{
	path += strlen(grant);
	if (path[0] == '/')
		path++;
	return path[0] == '\0' ? "." : path;
}

int
resolve_open(struct resolver *r, const char *path, int flags, int *fd,
	     struct err *e)
{
	const char *grant = resolve_grant(r, path);
	struct cred_before before;
	struct err why = { 0 };
	int dir;
	int got = -1;

	if (grant == NULL)
		return refuse_set(e, EPERM,
				  "not beneath what the writer may name: %s",
				  SHOWN(path));
	dir = open_grant(grant, &why);
	if (dir < 0)
		return judge_open(grant, &why, e);
	if (become_owner(r, &before, e) < 0) {
		src_close(dir);
		return -1;
	}
	got = src_open_beneath(dir, below(path, grant), flags, &why);
	cred_leave(&before);
	src_close(dir);
	if (got < 0)
		return judge_open(path, &why, e);
	*fd = got;
	return 0;
}

static bool
same_inode(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino &&
	       a->stx_dev_major == b->stx_dev_major &&
	       a->stx_dev_minor == b->stx_dev_minor;
}

/* Open a regular file.  1: there is none. */
static int
open_regular(struct resolver *r, const char *path, int *fd, struct statx *st,
	     struct err *e)
{
	struct statx seen = { 0 };
	int got = -1;
	int rc;

	rc = resolve_open(r, path, O_PATH, &got, e);
	if (rc != 0)
		return rc;
	rc = src_stat(got, "", &seen, e);
	src_close(got);
	if (rc < 0)
		return -1;
	if (!S_ISREG(seen.stx_mode))
		return refuse_set(e, EINVAL, "not a regular file: %s",
				  SHOWN(path));
	rc = resolve_open(r, path, 0, &got, e);
	if (rc != 0)
		return rc;
	rc = src_stat(got, "", st, e);
	if (rc == 0 && (!S_ISREG(st->stx_mode) || !same_inode(st, &seen)))
		rc = refuse_set(e, EINVAL,
				"it was replaced while it was looked at: %s",
				SHOWN(path));
	if (rc < 0)
		src_close(got);
	else
		*fd = got;
	return rc;
}

static struct ts
time_of(const struct statx_timestamp *t)
{
	return (struct ts){ t->tv_sec, t->tv_nsec };
}

void
resolve_wait(struct ts ripe)
{
	struct timespec pause = { 0, 0 };
	struct ts now = time_now_coarse();

	/* The clock that stamps files goes in ticks, too: it is asked again. */
	while (ts_cmp(now, ripe) < 0 &&
	       ts_cmp(ripe, ts_add_ns(now, YOUNG_MAX_NS)) <= 0) {
		pause.tv_nsec =
			(long)((ripe.sec - now.sec) * 1000000000 +
			       ((int64_t)ripe.nsec - (int64_t)now.nsec));
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
		now = time_now_coarse();
	}
}

int
resolve_facts(struct resolver *r, const char *path, struct facts *out,
	      struct ts *ripe, uint64_t *dev, struct err *e)
{
	struct facts f = { 0 };
	struct statx st = { 0 };
	struct ts then;
	int fd = -1;
	int rc;

	*dev = 0;
	rc = open_regular(r, path, &fd, &st, e);
	if (rc > 0) {
		*out = f;
		return 0;
	}
	if (rc < 0)
		return -1;
	rc = src_fs_id(fd, f.fs, e);
	src_close(fd);
	if (rc < 0)
		return -1;
	f.known = true;
	f.ino = st.stx_ino;
	f.size = st.stx_size;
	f.mtime = time_of(&st.stx_mtime);
	f.ctime = time_of(&st.stx_ctime);
	f.has_btime = (st.stx_mask & STATX_BTIME) != 0;
	if (f.has_btime)
		f.btime = time_of(&st.stx_btime);
	then = ts_add_ns(f.ctime, time_tick_ns());
	/* What is not waited for proves nothing. */
	f.young = ts_cmp(then, ts_add_ns(time_now_coarse(), YOUNG_MAX_NS)) > 0;
	if (!f.young && ts_cmp(then, *ripe) > 0)
		*ripe = then;
	*dev = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
	*out = f;
	return 0;
}

/* All of an open ranges file of `size` bytes. */
static int
read_ranges(int fd, uint64_t size, struct ranges *out, struct err *e)
{
	struct ranges_file f = { 0 };
	uint8_t head[RANGES_FILE_MIN];
	uint8_t *piece = NULL;
	uint64_t at = RANGES_FILE_MIN;
	ssize_t got;
	int rc = -1;

	got = src_read(fd, head, sizeof(head), 0, NULL, e);
	if (got < 0)
		return -1;
	if (got < RANGES_FILE_MIN)
		return refuse_set(e, EINVAL, "a ranges file without a count");
	if (ranges_file_begin(&f, out, head, size, e) < 0)
		goto out;
	piece = mem_alloc(READ_LEN);
	if (piece == NULL) {
		(void)err_nomem(e);
		goto out;
	}
	while (at < size) {
		size_t n =
			size - at < READ_LEN ? (size_t)(size - at) : READ_LEN;

		got = src_read(fd, piece, n, at, NULL, e);
		if (got < 0 || ranges_file_add(&f, piece, (size_t)got, e) < 0)
			goto out;
		if (got == 0)
			break;
		at += (uint64_t)got;
	}
	rc = ranges_file_end(&f, e);
out:
	mem_free(piece);
	if (rc < 0)
		ranges_clear(out);
	return rc;
}

int
resolve_ranges(struct resolver *r, const char *path, uint64_t room,
	       struct ranges *out, struct err *e)
{
	struct statx st = { 0 };
	int fd = -1;
	int rc;

	rc = open_regular(r, path, &fd, &st, e);
	if (rc > 0)
		return refuse_set(e, ENOENT, "no such ranges file: %s",
				  SHOWN(path));
	if (rc < 0)
		return -1;
	/* Before anything is allocated or read. */
	if (st.stx_size > RANGES_FILE_MIN + room * RANGES_PAIR)
		rc = refuse_set(e, EDQUOT,
				"a ranges file of more than %" PRIu64
				" ranges: %s",
				room, SHOWN(path));
	else
		rc = read_ranges(fd, st.stx_size, out, e);
	src_close(fd);
	return rc;
}

int
resolve_regular(struct resolver *r, const char *path, int *fd, struct err *e)
{
	struct statx st = { 0 };

	return open_regular(r, path, fd, &st, e);
}

int
resolve_readable(struct resolver *r, const char *path, struct err *e)
{
	struct statx st = { 0 };
	int fd = -1;
	int rc;

	rc = open_regular(r, path, &fd, &st, e);
	if (rc > 0)
		return refuse_set(e, ENOENT, "no such file: %s", SHOWN(path));
	if (rc == 0)
		src_close(fd);
	return rc;
}

int
resolve_dir(struct resolver *r, const char *path, struct err *e)
{
	struct statx st = { 0 };
	int fd = -1;
	int rc;

	rc = resolve_open(r, path, O_PATH, &fd, e);
	if (rc > 0)
		return 0;
	if (rc < 0)
		return -1;
	rc = src_stat(fd, "", &st, e);
	src_close(fd);
	if (rc == 0 && !S_ISDIR(st.stx_mode))
		rc = refuse_set(e, EINVAL, "not a directory: %s", SHOWN(path));
	return rc;
}
