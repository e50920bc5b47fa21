/*
 * session.c
 *
 * A session file is created, locked, and only then checked to be still there
 * under its name: between creating and locking, somebody who clears up after
 * the dead could take the lock first.  Then a new name is tried.  A session
 * file is unlinked only by who holds its lock, and names are random, so a live
 * session never loses its file.
 *
 * The lock of a set is a file that stays: if it were removed, one process
 * could lock the old file while another creates and locks a new one.
 *
 * The condemned list is read after the lock is held (doc/invariants.md, I11).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/session.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"
#include "base/time.h"
#include "store/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COND_MAGIC     "asofcond"
#define COND_MAGIC_LEN 8
#define COND_VERSION   1
#define COND_HASH_LEN  16
#define COND_HEAD_LEN  (COND_MAGIC_LEN + 4 + 4)
#define COND_PACKS_MAX (UINT32_C(1) << 20)
#define COND_FILE_MAX                                                          \
	(COND_HEAD_LEN + COND_PACKS_MAX * (size_t)PACK_ID_LEN + COND_HASH_LEN)

/* Dead sessions looked at in one begin: each costs an open and a lock. */
#define DEAD_MAX 16

/* Each loss of the race for a fresh file needs another process to begin. */
#define TRIES_MAX 16

#define SET_PREFIX   "set-"
#define SET_NAME_LEN (sizeof(SET_PREFIX) - 1 + 32)

#define EPOCH_LINE "epoch %010" PRIu32 "\n"

#define SHOWN(path) path_show_in((char[PATH_SHOW_LEN]){ 0 }, path, strlen(path))

struct session {
	const struct repository *repository;
	const char *kind;
	char name[IO_RANDOM_NAME_LEN + 1];
	int fd;                    /* -1: the repository cannot be written */
	int set_fd;                /* -1: no set is held */
	uint64_t epoch_at;         /* of the epoch's line in the file */
	struct pack_id *condemned; /* sorted */
	size_t n_condemned;
	size_t cap_condemned;
	struct err unread; /* why condemned/ is not known in full */
};

static int
in_repository(const struct repository *r, const char *dir, struct err *e)
{
	return err_prefix(e, "%s/%s", SHOWN(r->path), dir);
}

/* --- the dead ------------------------------------------------------------- */

struct dead_names {
	char name[DEAD_MAX][IO_RANDOM_NAME_LEN + 1];
	size_t count;
};

static bool
is_session_name(const char *name)
{
	return strlen(name) == IO_RANDOM_NAME_LEN &&
	       strspn(name, "0123456789abcdef") == IO_RANDOM_NAME_LEN;
}

static int
note_session(void *ctx, const char *name, struct err *e)
{
	struct dead_names *d = ctx;

	(void)e;
	if (is_session_name(name) && d->count < DEAD_MAX)
		memcpy(d->name[d->count++], name, IO_RANDOM_NAME_LEN + 1);
	return 0;
}

/* Clearing up is a courtesy: what cannot be done is left to the next. */
static void
remove_dead(int dirfd)
{
	struct dead_names d = { .count = 0 };
	size_t i;
	int fd;

	if (io_list(dirfd, "sessions", note_session, &d, NULL) < 0)
		return;
	for (i = 0; i < d.count; i++) {
		fd = io_open(dirfd, d.name[i], O_RDWR, 0, NULL, NULL);
		if (fd >= 0 && io_lock(fd, true, d.name[i], NULL) == 0)
			(void)io_unlink(dirfd, d.name[i], NULL);
		(void)io_close(fd, d.name[i], NULL);
	}
}

/* --- our own file --------------------------------------------------------- */

/*
 * Whether `name` is still the file that is open.  Not by its link count: an
 * NFS client renames what is open instead of unlinking it.
 */
static bool
is_still_named(int dirfd, const char *name, int fd)
{
	return io_is_at(fd, dirfd, name, AT_SYMLINK_NOFOLLOW);
}

/* One try: 0, 1 when somebody took the fresh file for a dead one. */
static int
create_locked(struct session *s, int dirfd, struct err *e)
{
	int rc;

	if (io_random_name(s->name, e) < 0)
		return -1;
	s->fd = io_open(dirfd, s->name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL,
			e);
	if (s->fd < 0)
		return -1;
	rc = io_lock(s->fd, true, s->name, e);
	if (rc == 0 && is_still_named(dirfd, s->name, s->fd))
		return 0;
	if (rc < 0)
		(void)io_unlink(dirfd, s->name, NULL);
	(void)io_close(s->fd, s->name, NULL);
	s->fd = -1;
	return rc < 0 ? -1 : 1;
}

static bool
is_no_permission(const struct err *e)
{
	return e->kind == ERR_SYS &&
	       (e->saved_errno == EROFS || e->saved_errno == EACCES ||
		e->saved_errno == EPERM);
}

static int
create_file(struct session *s, struct err *e)
{
	const struct repository *r = s->repository;
	struct err why = { 0 };
	int tries;
	int rc = 1;

	if (r->sessions_fd < 0 && r->read_only)
		return 0;
	if (r->sessions_fd < 0)
		return err_set(e, ERR_CORRUPT, "%s/sessions is missing",
			       SHOWN(r->path));
	for (tries = 0; tries < TRIES_MAX && rc == 1; tries++)
		rc = create_locked(s, r->sessions_fd, &why);
	if (rc == 1)
		err_set(&why, ERR_BUSY, "others take every new session's lock");
	if (rc < 0 && r->read_only && is_no_permission(&why))
		return 0;
	if (rc == 0)
		return 0;
	err_move(e, &why);
	return in_repository(r, "sessions", e);
}

static bool
is_full(const struct err *e)
{
	return e->kind == ERR_SYS &&
	       (e->saved_errno == ENOSPC || e->saved_errno == EDQUOT);
}

/*
 * The lock is what counts.  So a full file system, where restoring may be what
 * makes room, does not keep a session from beginning.
 */
static int
write_file(struct session *s, const char *kind, struct err *e)
{
	char host[HOST_NAME_MAX + 1] = "";
	char start[TIME_TEXT_LEN];
	struct err why = { 0 };
	struct buf b = { 0 };
	int rc;

	if (s->fd < 0)
		return 0;
	(void)gethostname(host, sizeof(host) - 1);
	buf_printf(&b, "kind %s\nhost ", kind);
	path_show(&b, host, strlen(host));
	buf_printf(&b, "\npid %ld\nstart %s\n", (long)getpid(),
		   time_text(start, time_now(), false));
	s->epoch_at = b.len;
	buf_printf(&b, EPOCH_LINE, UINT32_C(0));
	rc = buf_ok(&b, &why);
	if (rc == 0)
		rc = io_write_at(s->fd, b.data, b.len, 0, s->name, &why);
	buf_clear(&b);
	if (rc == 0 || is_full(&why))
		return 0;
	err_move(e, &why);
	return in_repository(s->repository, "sessions", e);
}

/* --- the condemned -------------------------------------------------------- */

static int
reserve_condemned(struct session *s, size_t more, struct err *e)
{
	size_t cap = s->cap_condemned;
	struct pack_id *p;

	if (more <= cap - s->n_condemned)
		return 0;
	cap = cap < SIZE_MAX / 4 ? cap * 2 : cap;
	if (cap < s->n_condemned + more)
		cap = s->n_condemned + more;
	p = mem_resize(s->condemned, cap, sizeof(*p));
	if (p == NULL)
		return err_nomem(e);
	s->condemned = p;
	s->cap_condemned = cap;
	return 0;
}

static int
decode_condemned(struct session *s, const struct buf *b, struct err *e)
{
	struct rd r = rd_init(b->data, b->len);
	uint8_t hash[COND_HASH_LEN];
	const uint8_t *magic = rd_bytes(&r, COND_MAGIC_LEN);
	uint32_t version = rd_u32(&r);
	uint32_t count = rd_u32(&r);
	const uint8_t *ids;
	const uint8_t *sum;

	if (!rd_ok(&r) || memcmp(magic, COND_MAGIC, COND_MAGIC_LEN) != 0)
		return err_set(e, ERR_CORRUPT, "not a list of packs");
	if (version != COND_VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			       "version %" PRIu32 " is newer than this program",
			       version);
	if (count > COND_PACKS_MAX)
		return err_set(e, ERR_CORRUPT, "names %" PRIu32 " packs",
			       count);
	ids = rd_bytes(&r, (size_t)count * PACK_ID_LEN);
	sum = rd_bytes(&r, COND_HASH_LEN);
	if (!rd_done(&r))
		return err_set(e, ERR_CORRUPT,
			       "is %zu bytes long, not what %" PRIu32
			       " packs need",
			       b->len, count);
	hash_plain(b->data, b->len - COND_HASH_LEN, hash, sizeof(hash));
	if (memcmp(hash, sum, sizeof(hash)) != 0)
		return err_set(e, ERR_CORRUPT, "its checksum is wrong");
	if (count == 0)
		return 0;
	if (reserve_condemned(s, count, e) < 0)
		return -1;
	memcpy(s->condemned + s->n_condemned, ids, (size_t)count * PACK_ID_LEN);
	s->n_condemned += count;
	return 0;
}

/* A decimal number from 1, no leading zero, as long as one may get. */
static bool
is_condemned_name(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= 20 && name[0] != '0' &&
	       strspn(name, "0123456789") == len;
}

static int
read_condemned(void *ctx, const char *name, struct err *e)
{
	struct session *s = ctx;
	struct buf b = { 0 };
	int rc;

	if (!is_condemned_name(name))
		return 0;
	rc = io_read_file(s->repository->condemned_fd, name, COND_FILE_MAX, &b,
			  e);
	if (rc == 0) {
		rc = decode_condemned(s, &b, e);
		if (rc < 0)
			err_prefix(e, "%s", name);
	}
	buf_clear(&b);
	/* One that is gone by now: a prune has come to its end. */
	return rc < 0 ? -1 : 0;
}

static int
cmp_packs(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct pack_id));
}

static int
load_condemned(struct session *s, struct err *e)
{
	const struct repository *r = s->repository;

	if (r->condemned_fd < 0)
		return 0;
	if (io_list(r->condemned_fd, "condemned", read_condemned, s,
		    &s->unread) < 0) {
		in_repository(r, "condemned", &s->unread);
		if (s->unread.kind == ERR_NOMEM) {
			err_move(e, &s->unread);
			return -1;
		}
	}
	if (s->n_condemned > 1)
		qsort(s->condemned, s->n_condemned, sizeof(*s->condemned),
		      cmp_packs);
	return 0;
}

/* --- the session ---------------------------------------------------------- */

int
session_begin(const struct repository *r, const char *kind,
	      struct session **out, struct err *e)
{
	struct session *s;

	s = mem_zalloc(sizeof(*s));
	if (s == NULL)
		return err_nomem(e);
	s->repository = r;
	s->kind = kind;
	s->fd = -1;
	s->set_fd = -1;
	if (r->sessions_fd >= 0 && !r->read_only)
		remove_dead(r->sessions_fd);
	if (create_file(s, e) < 0 || write_file(s, kind, e) < 0 ||
	    load_condemned(s, e) < 0) {
		session_end(s);
		return -1;
	}
	*out = s;
	return 0;
}

int
session_epoch(struct session *s, uint32_t epoch, struct err *e)
{
	char line[sizeof("epoch 4294967295\n")];

	if (s->fd < 0)
		return 0;
	/* Always the same length: a reader never sees half a number. */
	(void)snprintf(line, sizeof(line), EPOCH_LINE, epoch);
	if (io_write_at(s->fd, line, strlen(line), s->epoch_at, s->name, e) < 0)
		return in_repository(s->repository, "sessions", e);
	return 0;
}

/*
 * The file that was is on a file system that is gone; its lock with it, so it is
 * let go of in any case: a descriptor would keep a disk from being unmounted.
 */
int
session_renew(struct session *s, struct err *e)
{
	int rc;

	if (s->fd < 0 ||
	    is_still_named(s->repository->sessions_fd, s->name, s->fd))
		return 0;
	(void)io_close(s->fd, s->name, NULL);
	s->fd = -1;
	rc = create_file(s, e);
	if (rc == 0)
		rc = write_file(s, s->kind, e);
	return rc;
}

bool
session_condemned(const struct session *s, const struct pack_id *id)
{
	if (s->unread.kind != ERR_NONE)
		return true;
	return s->n_condemned > 0 && bsearch(id, s->condemned, s->n_condemned,
					     sizeof(*id), cmp_packs) != NULL;
}

int
session_references(const struct session *s, struct err *e)
{
	struct err why = s->unread;

	if (why.kind == ERR_NONE)
		return 0;
	err_move(e, &why);
	return -1;
}

void
session_end(struct session *s)
{
	if (s == NULL)
		return;
	if (s->fd >= 0)
		(void)io_unlink(s->repository->sessions_fd, s->name, NULL);
	(void)io_close(s->fd, s->name, NULL);
	(void)io_close(s->set_fd, "set lock", NULL);
	mem_free(s->condemned);
	mem_free(s);
}

int
session_lock_set(struct session *s, const unsigned char set_id[16],
		 struct err *e)
{
	char name[SET_NAME_LEN + 1] = SET_PREFIX;
	int fd;
	int rc;

	if (s->set_fd >= 0)
		return err_set(e, ERR_USAGE, "the session holds a set already");
	if (s->fd < 0)
		return repository_want_write(s->repository, e);
	hex_format(name + strlen(SET_PREFIX), set_id, 16);
	fd = io_open(s->repository->sessions_fd, name, O_RDWR | O_CREAT, 0600,
		     NULL, e);
	if (fd < 0)
		return in_repository(s->repository, "sessions", e);
	rc = io_lock(fd, true, name, e);
	if (rc == 0) {
		s->set_fd = fd;
		return 0;
	}
	(void)io_close(fd, name, NULL);
	return rc < 0 ? in_repository(s->repository, "sessions", e) : 1;
}
