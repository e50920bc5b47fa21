/*
 * One LMDB environment with one unnamed database of plain keys:
 *
 *	S                state: the sequence, the next pack number, how many
 *	                 packs and runs there are, and the sum of their hashes
 *	P number(u32be)  pack: id, chunks, length
 *	I id(16)         pack number
 *	R name           run, no value
 *	V key            the small values of other modules
 *
 * LMDB notices neither a wrong bit nor a page that was never written, and it
 * can end the process over them.  So three things are checked here.  Before
 * use: that the file can be mapped safely (catcheck.c).  With each value: a
 * hash over key and value.  With the lists of packs and runs: that nothing
 * is missing, by the count and the sum of hashes in the state, which changes
 * with them in one transaction.  An old but complete state (a torn meta
 * page) is harmless: packs that it lacks are read again, runs that it lists
 * and that have been merged away are found missing.
 *
 * LMDB wants an environment to be open once per process, and no transaction
 * open while its map changes size.  Hence the list of environments with
 * their users, and in each a lock that every transaction holds for reading.
 *
 * The process holds a shared flock on the directory of an environment it
 * uses; who can have it exclusively may remove the directory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/catalogue.h"

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/catcheck.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX      "cat."
#define HASH_LEN    16
#define VERSION     1
#define KEY_MAX     201 /* with the letter of its space */
#define VALUE_MAX   (UINT32_C(1) << 20)
#define STATE_LEN   (4 + 8 + 4 + 4 + 4 + 4 * 8)
#define CURRENT_MAX 256

/*
 * 1 GiB holds the packs of petabytes; it takes address space, not memory.
 * 32 GiB is the most that valgrind opens.
 */
#define MAP_FIRST ((size_t)1 << 30)
#define MAP_MAX   ((size_t)32 << 30)

/* How often a race with another process may send us round again. */
#define TRIES 20

/* Of LMDB's lock file with its 126 reader slots. */
#define LOCK_LEN 8192

static size_t map_first = MAP_FIRST;

void
catalogue_first_map(size_t bytes)
{
	map_first = bytes;
}

/* --- environments ----------------------------------------------------------- */

struct environment {
	struct environment *next;
	pid_t pid; /* LMDB does not survive a fork: a child has its own */
	dev_t dev;
	ino_t ino;
	unsigned users;
	int dirfd; /* holds the shared flock */
	MDB_env *env;
	MDB_dbi dbi;
	/* Read: a transaction is open.  Write: the map changes size. */
	pthread_rwlock_t map_lock;
	bool broken; /* under map_lock: the map could not be had again */
};

/* Guards the list and the counts of users. */
static pthread_mutex_t environments_lock = PTHREAD_MUTEX_INITIALIZER;
static struct environment *environments;

struct catalogue {
	int cache_fd;
	char *path;
	/* Read: env and name are in use.  Write: they are changed. */
	pthread_rwlock_t lock;
	struct environment *env; /* NULL: none could be had */
	char name[CATALOGUE_NAME_MAX + 1];
};

/*
 * LMDB's own codes are all damage or lead to it (a failed write makes the
 * environment unusable until it is replaced); positive ones are errno.
 */
static int
lmdb_err(int rc, const char *what, struct err *e)
{
	if (rc == ENOMEM)
		return err_nomem(e);
	if (rc > 0) {
		errno = rc;
		return err_sys(e, "catalogue: %s", what);
	}
	return err_set(e, ERR_CORRUPT, "catalogue: %s: %s", what,
		       mdb_strerror(rc));
}

static void
free_environment(struct environment *s)
{
	if (s->env != NULL)
		mdb_env_close(s->env);
	(void)io_close(s->dirfd, PREFIX, NULL);
	(void)pthread_rwlock_destroy(&s->map_lock);
	mem_free(s);
}

static void
release_environment(struct environment *s)
{
	struct environment **p;

	if (s == NULL)
		return;
	(void)pthread_mutex_lock(&environments_lock);
	if (--s->users == 0) {
		for (p = &environments; *p != s; p = &(*p)->next)
			;
		*p = s->next;
		free_environment(s);
	}
	(void)pthread_mutex_unlock(&environments_lock);
}

/* Whether the data file may be handed to LMDB; a new one has none yet. */
static int
check_metas(const struct environment *s, bool fresh, struct err *e)
{
	bool missing = false;
	int fd, rc;

	if (fresh)
		return 0;
	fd = io_open(s->dirfd, "data.mdb", O_RDONLY, 0, &missing, e);
	if (missing)
		return err_set(e, ERR_CORRUPT, "catalogue: has no data");
	if (fd < 0)
		return -1;
	rc = catcheck_metas(fd, MAP_MAX, e);
	(void)io_close(fd, "data.mdb", NULL);
	return rc;
}

static int
check_tree(const struct environment *s, struct err *e)
{
	MDB_txn *txn;
	int fd, rc, tries;

	fd = io_open(s->dirfd, "data.mdb", O_RDONLY, 0, NULL, e);
	if (fd < 0)
		return -1;
	for (tries = 0, rc = 1; rc == 1 && tries < TRIES; tries++) {
		rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
		if (rc != 0) {
			rc = lmdb_err(rc, "begin", e);
			break;
		}
		rc = catcheck_tree(fd, MAP_MAX, mdb_txn_id(txn), e);
		mdb_txn_abort(txn);
	}
	(void)io_close(fd, "data.mdb", NULL);
	if (rc == 1)
		return err_set(e, ERR_CORRUPT, "catalogue: never at rest");
	return rc;
}

static int
open_database(struct environment *s, struct err *e)
{
	MDB_txn *txn;
	int rc;

	rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (rc != 0)
		return lmdb_err(rc, "begin", e);
	rc = mdb_dbi_open(txn, NULL, 0, &s->dbi);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return lmdb_err(rc, "open", e);
	}
	/* A handle becomes the environment's by a commit only. */
	rc = mdb_txn_commit(txn);
	return rc == 0 ? 0 : lmdb_err(rc, "open", e);
}

/*
 * LMDB maps its lock file after making it long by ftruncate; on a full disk
 * the first store into that map is a SIGBUS.  So its blocks are written
 * before.  Returns 1 when there is no room, or no right.
 */
static int
reserve_lock(const char *path, struct err *e)
{
	static const uint8_t zeros[LOCK_LEN];
	struct buf name = { 0 };
	uint64_t len = 0;
	int fd = -1, rc = 1;

	buf_printf(&name, "%s/lock.mdb", path);
	(void)buf_str(&name);
	if (buf_ok(&name, e) < 0) {
		rc = -1;
		goto out;
	}
	fd = io_open(AT_FDCWD, buf_str(&name), O_RDWR | O_CREAT, 0600, NULL,
		     NULL);
	if (fd < 0 || io_size(fd, &len, "lock.mdb", NULL) < 0)
		goto out;
	if (len >= LOCK_LEN ||
	    io_write_at(fd, zeros + len, LOCK_LEN - (size_t)len, len,
			"lock.mdb", NULL) == 0)
		rc = 0;
out:
	(void)io_close(fd, "lock.mdb", NULL);
	buf_clear(&name);
	return rc;
}

/*
 * Returns 1 where LMDB cannot work: no map to be had, no right to write, a
 * file system without mmap or locks.
 */
static int
open_lmdb(struct environment *s, const char *path, bool fresh, struct err *e)
{
	int dead, rc;

	if (check_metas(s, fresh, e) < 0)
		return -1;
	rc = reserve_lock(path, e);
	if (rc != 0)
		return rc;
	rc = mdb_env_create(&s->env);
	if (rc != 0)
		return lmdb_err(rc, "create", e);
	rc = mdb_env_set_mapsize(s->env, map_first);
	if (rc == 0)
		rc = mdb_env_open(s->env, path, MDB_NOTLS, 0600);
	if (rc > 0 && rc != EIO)
		return 1;
	if (rc != 0)
		return lmdb_err(rc, "open", e);
	/* Slots of readers that died would keep old pages from reuse. */
	(void)mdb_reader_check(s->env, &dead);
	if (check_tree(s, e) < 0)
		return -1;
	return open_database(s, e);
}

static struct environment *
find_environment(dev_t dev, ino_t ino)
{
	struct environment *s;

	for (s = environments; s != NULL; s = s->next)
		if (s->dev == dev && s->ino == ino && s->pid == getpid())
			break;
	return s;
}

/* Under environments_lock, with the directory's descriptor, which it takes. */
static int
join_environment(int dirfd, const char *path, bool fresh,
		 struct environment **out, struct err *e)
{
	struct environment *s;
	struct stat st;
	int rc;

	s = mem_zalloc(sizeof(*s));
	if (s == NULL) {
		(void)io_close(dirfd, path, NULL);
		return err_nomem(e);
	}
	s->dirfd = dirfd;
	s->users = 1;
	(void)pthread_rwlock_init(&s->map_lock, NULL);
	if (sys_repo->fstat(dirfd, &st) < 0) {
		rc = err_sys(e, "%s", path);
		goto out;
	}
	*out = find_environment(st.st_dev, st.st_ino);
	if (*out != NULL) {
		(*out)->users++;
		rc = 0;
		goto out;
	}
	s->pid = getpid();
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	rc = io_lock(dirfd, false, path, e);
	if (rc == 1)
		rc = err_set(e, ERR_CORRUPT, "%s: being removed", path);
	if (rc == 0)
		rc = open_lmdb(s, path, fresh, e);
	if (rc == 0) {
		s->next = environments;
		environments = s;
		*out = s;
		return 0;
	}
out:
	free_environment(s);
	return rc;
}

/*
 * The environment in the cache's directory `name`.  Returns 1 where LMDB
 * cannot work; ERR_CORRUPT when it is damaged or gone.
 */
static int
get_environment(const struct catalogue *c, const char *name, bool fresh,
		struct environment **out, struct err *e)
{
	struct buf path = { 0 };
	bool missing = false;
	int dirfd, rc = -1;

	buf_printf(&path, "%s/%s", c->path, name);
	if (buf_ok(&path, e) < 0)
		goto out;
	dirfd = io_open(c->cache_fd, name, O_RDONLY | O_DIRECTORY, 0, &missing,
			e);
	if (missing)
		(void)err_set(e, ERR_CORRUPT, "%s: is gone", buf_str(&path));
	if (dirfd < 0)
		goto out;
	(void)pthread_mutex_lock(&environments_lock);
	rc = join_environment(dirfd, buf_str(&path), fresh, out, e);
	(void)pthread_mutex_unlock(&environments_lock);
out:
	buf_clear(&path);
	return rc;
}

/* --- transactions ----------------------------------------------------------- */

/*
 * What is done inside a transaction: 0, -1, 1, or MAP_IS_FULL to be called
 * again in a larger map.  It may be called several times.
 */
#define MAP_IS_FULL 2
typedef int (*work_fn)(MDB_txn *txn, MDB_dbi dbi, void *ctx, struct err *e);

static int
write_err(int rc, const char *what, struct err *e)
{
	if (rc == 0)
		return 0;
	return rc == MDB_MAP_FULL ? MAP_IS_FULL : lmdb_err(rc, what, e);
}

/* Give the environment a map of `size`, or of what the file needs (0). */
static int
resize(struct environment *s, size_t size, struct err *e)
{
	MDB_envinfo info;
	int rc = 0;

	(void)pthread_rwlock_wrlock(&s->map_lock);
	(void)mdb_env_info(s->env, &info);
	/* Somebody else may have been first. */
	if (!s->broken && (size == 0 || info.me_mapsize < size)) {
		rc = mdb_env_set_mapsize(s->env, size);
		/* LMDB has given the old map back by now. */
		s->broken = rc != 0;
	}
	(void)pthread_rwlock_unlock(&s->map_lock);
	return rc == 0 ? 0 : lmdb_err(rc, "larger map", e);
}

static int
grow(struct environment *s, size_t from, struct err *e)
{
	if (from >= MAP_MAX)
		return err_set(e, ERR_CORRUPT, "catalogue: too large");
	return resize(s, from > MAP_MAX / 4 ? MAP_MAX : from * 4, e);
}

/* One attempt, under map_lock.  *lmdb is the code when it could not begin. */
static int
try_work(struct environment *s, bool writing, work_fn fn, void *ctx,
	 size_t *map, int *lmdb, struct err *e)
{
	MDB_envinfo info;
	MDB_txn *txn;
	int rc;

	*lmdb = 0;
	if (s->broken)
		return err_set(e, ERR_CORRUPT, "catalogue: has lost its map");
	(void)mdb_env_info(s->env, &info);
	*map = info.me_mapsize;
	*lmdb = mdb_txn_begin(s->env, NULL, writing ? 0 : MDB_RDONLY, &txn);
	if (*lmdb != 0)
		return -1;
	rc = fn(txn, s->dbi, ctx, e);
	if (writing && rc == 0)
		return write_err(mdb_txn_commit(txn), "commit", e);
	mdb_txn_abort(txn);
	return rc;
}

static int
work_in(struct environment *s, bool writing, work_fn fn, void *ctx,
	struct err *e)
{
	size_t map = 0;
	int lmdb, rc, tries, dead;

	for (tries = 0; tries < TRIES; tries++) {
		(void)pthread_rwlock_rdlock(&s->map_lock);
		rc = try_work(s, writing, fn, ctx, &map, &lmdb, e);
		(void)pthread_rwlock_unlock(&s->map_lock);
		if (lmdb == MDB_MAP_RESIZED) {
			if (resize(s, 0, e) < 0)
				return -1;
		} else if (lmdb == MDB_READERS_FULL) {
			(void)mdb_reader_check(s->env, &dead);
		} else if (lmdb != 0) {
			return lmdb_err(lmdb, "begin", e);
		} else if (rc != MAP_IS_FULL) {
			return rc;
		} else if (grow(s, map, e) < 0) {
			return -1;
		}
	}
	return err_set(e, ERR_BUSY, "catalogue: too many readers");
}

static int
work(struct catalogue *c, bool writing, work_fn fn, void *ctx, struct err *e)
{
	int rc;

	(void)pthread_rwlock_rdlock(&c->lock);
	if (c->env == NULL)
		rc = err_set(e, ERR_SYS, "catalogue: none can be had");
	else
		rc = work_in(c->env, writing, fn, ctx, e);
	(void)pthread_rwlock_unlock(&c->lock);
	return rc;
}

/* --- values ----------------------------------------------------------------- */

static void
hash_value(const void *key, size_t key_len, const void *value, size_t len,
	   uint8_t out[HASH_LEN])
{
	uint8_t both[1 + KEY_MAX + ID_LEN];

	hash_plain(value, len, both, ID_LEN);
	both[ID_LEN] = (uint8_t)key_len;
	memcpy(both + ID_LEN + 1, key, key_len);
	hash_plain(both, ID_LEN + 1 + key_len, out, HASH_LEN);
}

/* Store a value behind its hash, which also goes to `hash` (may be NULL). */
static int
put(MDB_txn *txn, MDB_dbi dbi, const struct buf *key, const struct buf *value,
    uint8_t *hash, struct err *e)
{
	MDB_val k = { key->len, key->data };
	MDB_val v = { HASH_LEN + value->len, NULL };
	uint8_t h[HASH_LEN];
	int rc;

	hash_value(key->data, key->len, value->data, value->len, h);
	rc = mdb_put(txn, dbi, &k, &v, MDB_RESERVE);
	if (rc != 0)
		return write_err(rc, "put", e);
	memcpy(v.mv_data, h, HASH_LEN);
	if (value->len > 0)
		memcpy((uint8_t *)v.mv_data + HASH_LEN, value->data,
		       value->len);
	if (hash != NULL)
		memcpy(hash, h, HASH_LEN);
	return 0;
}

/* Compare a stored value with its hash; *out is a cursor over the value. */
static int
open_value(const MDB_val *k, const MDB_val *v, struct rd *out, struct err *e)
{
	const uint8_t *p = v->mv_data;
	uint8_t hash[HASH_LEN];

	if (k->mv_size > KEY_MAX || v->mv_size < HASH_LEN)
		return err_set(e, ERR_CORRUPT, "catalogue: malformed value");
	hash_value(k->mv_data, k->mv_size, p + HASH_LEN, v->mv_size - HASH_LEN,
		   hash);
	if (memcmp(hash, p, HASH_LEN) != 0)
		return err_set(e, ERR_CORRUPT, "catalogue: damaged value");
	*out = rd_init(p + HASH_LEN, v->mv_size - HASH_LEN);
	return 0;
}

/* Returns 1 when there is none.  *hash as stored (may be NULL). */
static int
get(MDB_txn *txn, MDB_dbi dbi, const struct buf *key, struct rd *out,
    uint8_t *hash, struct err *e)
{
	MDB_val k = { key->len, key->data }, v;
	int rc = mdb_get(txn, dbi, &k, &v);

	if (rc == MDB_NOTFOUND)
		return 1;
	if (rc != 0)
		return lmdb_err(rc, "get", e);
	if (open_value(&k, &v, out, e) < 0)
		return -1;
	if (hash != NULL)
		memcpy(hash, v.mv_data, HASH_LEN);
	return 0;
}

static int
drop(MDB_txn *txn, MDB_dbi dbi, const struct buf *key, struct err *e)
{
	MDB_val k = { key->len, key->data };

	return write_err(mdb_del(txn, dbi, &k, NULL), "delete", e);
}

/* --- state ------------------------------------------------------------------ */

/* A set's size and the sum of its members' hashes, in two lanes. */
struct tally {
	uint32_t count;
	uint64_t sum[2];
};

struct state {
	uint64_t sequence;
	uint32_t next_number;
	struct tally packs, runs;
};

static void
tally_add(struct tally *t, const uint8_t hash[HASH_LEN])
{
	struct rd r = rd_init(hash, HASH_LEN);

	t->count++;
	t->sum[0] += rd_u64(&r);
	t->sum[1] += rd_u64(&r);
}

static void
tally_sub(struct tally *t, const uint8_t hash[HASH_LEN])
{
	struct rd r = rd_init(hash, HASH_LEN);

	t->count--;
	t->sum[0] -= rd_u64(&r);
	t->sum[1] -= rd_u64(&r);
}

static bool
tally_equal(const struct tally *a, const struct tally *b)
{
	return a->count == b->count && a->sum[0] == b->sum[0] &&
	       a->sum[1] == b->sum[1];
}

static void
key_of(struct buf *key, char space, const void *p, size_t n)
{
	buf_reset(key);
	buf_add_char(key, space);
	buf_add(key, p, n);
}

/* Big-endian, so that LMDB's order is that of the numbers. */
static void
pack_key(struct buf *key, uint32_t number)
{
	uint8_t be[4] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16),
			  (uint8_t)(number >> 8), (uint8_t)number };

	key_of(key, 'P', be, sizeof(be));
}

static int
put_state(MDB_txn *txn, MDB_dbi dbi, const struct state *st, struct err *e)
{
	struct buf key = { 0 }, b = { 0 };
	const struct tally *t[2] = { &st->packs, &st->runs };
	int i, rc;

	key_of(&key, 'S', NULL, 0);
	wr_u32(&b, VERSION);
	wr_u64(&b, st->sequence);
	wr_u32(&b, st->next_number);
	for (i = 0; i < 2; i++) {
		wr_u32(&b, t[i]->count);
		wr_u64(&b, t[i]->sum[0]);
		wr_u64(&b, t[i]->sum[1]);
	}
	rc = buf_ok(&key, e);
	if (rc == 0)
		rc = buf_ok(&b, e);
	if (rc == 0)
		rc = put(txn, dbi, &key, &b, NULL, e);
	buf_clear(&b);
	buf_clear(&key);
	return rc;
}

static int
get_state(MDB_txn *txn, MDB_dbi dbi, struct state *st, struct err *e)
{
	struct tally *t[2] = { &st->packs, &st->runs };
	struct buf key = { 0 };
	struct rd r = { 0 };
	uint32_t version;
	int i, rc;

	key_of(&key, 'S', NULL, 0);
	rc = buf_ok(&key, e);
	if (rc == 0)
		rc = get(txn, dbi, &key, &r, NULL, e);
	buf_clear(&key);
	if (rc < 0)
		return -1;
	version = rd_u32(&r);
	st->sequence = rd_u64(&r);
	st->next_number = rd_u32(&r);
	for (i = 0; i < 2; i++) {
		t[i]->count = rd_u32(&r);
		t[i]->sum[0] = rd_u64(&r);
		t[i]->sum[1] = rd_u64(&r);
	}
	if (rc == 1 || !rd_done(&r) || version != VERSION)
		return err_set(e, ERR_CORRUPT, "catalogue: no valid state");
	return 0;
}

static int
work_init(MDB_txn *txn, MDB_dbi dbi, void *ctx, struct err *e)
{
	struct state st = { .next_number = 1 };

	(void)ctx;
	return put_state(txn, dbi, &st, e);
}

static int
work_get_sequence(MDB_txn *txn, MDB_dbi dbi, void *ctx, struct err *e)
{
	uint64_t *sequence = ctx;
	struct state st;

	if (get_state(txn, dbi, &st, e) < 0)
		return -1;
	*sequence = st.sequence;
	return 0;
}

/* --- current ---------------------------------------------------------------- */

static bool
name_ok(const char *name)
{
	size_t n = strlen(PREFIX);

	return strncmp(name, PREFIX, n) == 0 &&
	       strlen(name) == n + IO_RANDOM_NAME_LEN &&
	       strspn(name + n, "0123456789abcdef") == IO_RANDOM_NAME_LEN;
}

/* Returns 1 when there is none, or none that makes sense (*damaged). */
static int
read_current(int cache_fd, char out[CATALOGUE_NAME_MAX + 1], bool *damaged,
	     struct err *e)
{
	struct buf b = { 0 };
	struct err why = { 0 };
	const char *s;
	int rc;

	*damaged = false;
	rc = io_read_file(cache_fd, "current", CURRENT_MAX, &b, &why);
	s = buf_str(&b);
	if ((rc < 0 && why.kind == ERR_NOMEM) || b.failed) {
		rc = err_nomem(e);
		goto out;
	}
	if (rc == 0 && (b.len == 0 || b.data[b.len - 1] != '\n'))
		rc = -1;
	if (rc == 0) {
		b.data[b.len - 1] = '\0';
		rc = name_ok(s) && strlen(s) == b.len - 1 ? 0 : -1;
	}
	if (rc == 0)
		(void)snprintf(out, CATALOGUE_NAME_MAX + 1, "%s", s);
	if (rc < 0) {
		*damaged = true;
		rc = 1;
	}
out:
	buf_clear(&b);
	return rc;
}

/* Remove a catalogue's directory that nobody can have in use any more. */
static void
remove_directory(int cache_fd, const char *name, int dirfd)
{
	(void)io_unlink(dirfd, "data.mdb", NULL);
	(void)io_unlink(dirfd, "lock.mdb", NULL);
	(void)sys_repo->unlinkat(cache_fd, name, AT_REMOVEDIR);
}

static int
collect_name(void *ctx, const char *name, struct err *e)
{
	const struct catalogue *c = ctx;
	char current[CATALOGUE_NAME_MAX + 1];
	bool damaged;
	int dirfd;

	if (!name_ok(name))
		return 0;
	dirfd = io_open_dir(c->cache_fd, name, NULL);
	if (dirfd < 0)
		return 0;
	/* Once we hold the lock nobody joins it: they look at `current` after. */
	if (io_lock(dirfd, true, name, NULL) == 0 &&
	    read_current(c->cache_fd, current, &damaged, e) == 0 &&
	    strcmp(current, name) != 0)
		remove_directory(c->cache_fd, name, dirfd);
	(void)io_close(dirfd, name, NULL);
	return 0;
}

/* Remove catalogues that are neither current nor in use. */
static void
collect(struct catalogue *c)
{
	(void)io_list(c->cache_fd, c->path, collect_name, c, NULL);
}

/*
 * Make an empty catalogue and publish it.  Returns 1 where the place does
 * not let us, TAKEN when somebody else has just published one.  What is left
 * behind by a failure is collected by the next one who opens the cache.
 */
#define TAKEN 3
static int
make_new(const struct catalogue *c, bool replace, struct environment **out,
	 char name[CATALOGUE_NAME_MAX + 1], struct err *e)
{
	char random[IO_RANDOM_NAME_LEN + 1];
	char line[CATALOGUE_NAME_MAX + 2];
	struct environment *s = NULL;
	struct err why = { 0 };
	int n, rc;

	if (io_random_name(random, e) < 0)
		return -1;
	(void)snprintf(name, CATALOGUE_NAME_MAX + 1, PREFIX "%s", random);
	n = snprintf(line, sizeof(line), "%s\n", name);
	rc = io_mkdir(c->cache_fd, name, 0700, &why);
	if (rc == 0)
		rc = get_environment(c, name, true, &s, &why);
	if (rc == 0)
		rc = work_in(s, true, work_init, NULL, &why);
	if (rc == 0 && io_publish(c->cache_fd, "current", line, (size_t)n,
				  replace, &why) != 0)
		rc = why.kind == ERR_NONE ? TAKEN : -1;
	if (rc == 0) {
		*out = s;
		return 0;
	}
	release_environment(s);
	if (rc == -1 && why.kind == ERR_SYS)
		return 1;
	err_move(e, &why);
	return rc;
}

/*
 * The environment that `current` names, or a new one where there is none
 * or it is damaged.  `anew` asks for a new one at once.  Returns 1 where
 * none can be had.
 */
static int
attach(const struct catalogue *c, bool anew, struct environment **out,
       char name[CATALOGUE_NAME_MAX + 1], struct err *e)
{
	char before[CATALOGUE_NAME_MAX + 1] = "";
	bool damaged = false;
	int rc, tries;

	for (tries = 0; tries < TRIES; tries++) {
		struct err why = { 0 };

		rc = anew ? 1 : read_current(c->cache_fd, name, &damaged, e);
		if (rc < 0)
			return -1;
		if (rc == 1) {
			rc = make_new(c, anew || damaged, out, name, e);
			if (rc != TAKEN)
				return rc;
			continue;
		}
		rc = get_environment(c, name, false, out, &why);
		if (rc >= 0)
			return rc;
		if (why.kind == ERR_NOMEM)
			return err_nomem(e);
		/* Damaged, unless it was replaced while we looked at it. */
		anew = strcmp(before, name) == 0;
		(void)snprintf(before, sizeof(before), "%s", name);
	}
	return err_set(e, ERR_BUSY, "catalogue: replaced again and again");
}

static int
switch_to(struct catalogue *c, bool anew, struct err *e)
{
	char name[CATALOGUE_NAME_MAX + 1] = "";
	struct environment *s = NULL, *old;
	int rc = attach(c, anew, &s, name, e);

	if (rc == 1)
		rc = err_set(e, ERR_SYS, "catalogue: cannot be made in %s",
			     c->path);
	if (rc < 0 && !anew)
		return -1;
	/* What had to be replaced is not used again, even if that failed. */
	(void)pthread_rwlock_wrlock(&c->lock);
	old = c->env;
	c->env = s;
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	(void)pthread_rwlock_unlock(&c->lock);
	release_environment(old);
	if (rc == 0)
		collect(c);
	return rc;
}

int
catalogue_open(int cache_fd, const char *cache_path, struct catalogue **out,
	       struct err *e)
{
	struct catalogue *c;
	int rc;

	/* LMDB needs locks and maps that are coherent. */
	if (io_is_remote(cache_fd))
		return 1;
	c = mem_zalloc(sizeof(*c));
	if (c == NULL)
		return err_nomem(e);
	(void)pthread_rwlock_init(&c->lock, NULL);
	c->cache_fd = cache_fd;
	c->path = mem_strdup(cache_path);
	rc = c->path == NULL ? err_nomem(e)
			     : attach(c, false, &c->env, c->name, e);
	if (rc != 0) {
		catalogue_close(c);
		return rc;
	}
	collect(c);
	*out = c;
	return 0;
}

void
catalogue_close(struct catalogue *c)
{
	if (c == NULL)
		return;
	release_environment(c->env);
	(void)pthread_rwlock_destroy(&c->lock);
	mem_free(c->path);
	mem_free(c);
}

int
catalogue_replace(struct catalogue *c, struct err *e)
{
	return switch_to(c, true, e);
}

int
catalogue_refresh(struct catalogue *c, struct catalogue_stamp *out,
		  struct err *e)
{
	struct catalogue_stamp stamp = { 0 };
	bool damaged, same;
	int rc;

	rc = read_current(c->cache_fd, stamp.name, &damaged, e);
	if (rc < 0)
		return -1;
	(void)pthread_rwlock_rdlock(&c->lock);
	same = rc == 0 && c->env != NULL && strcmp(stamp.name, c->name) == 0;
	(void)pthread_rwlock_unlock(&c->lock);
	if (!same && switch_to(c, false, e) < 0)
		return -1;
	if (work(c, false, work_get_sequence, &stamp.sequence, e) < 0)
		return -1;
	(void)pthread_rwlock_rdlock(&c->lock);
	memcpy(stamp.name, c->name, sizeof(stamp.name));
	(void)pthread_rwlock_unlock(&c->lock);
	*out = stamp;
	return 0;
}

/* --- reading ---------------------------------------------------------------- */

/* One record of a key space: the key without its first byte, the value. */
typedef int (*record_fn)(void *ctx, const uint8_t *key, size_t key_len,
			 struct rd *value, struct err *e);

struct scan {
	char space;
	record_fn fn;
	void *ctx;
	struct tally tally;
};

static int
scan_records(MDB_cursor *cursor, struct scan *sc, struct err *e)
{
	MDB_val k = { 1, &sc->space }, v;
	MDB_cursor_op op = MDB_SET_RANGE;
	struct rd value;
	int rc;

	for (;; op = MDB_NEXT) {
		rc = mdb_cursor_get(cursor, &k, &v, op);
		if (rc == MDB_NOTFOUND)
			return 0;
		if (rc != 0)
			return lmdb_err(rc, "next", e);
		if (k.mv_size == 0 || *(const char *)k.mv_data != sc->space)
			return 0;
		if (open_value(&k, &v, &value, e) < 0)
			return -1;
		tally_add(&sc->tally, v.mv_data);
		rc = sc->fn(sc->ctx, (const uint8_t *)k.mv_data + 1,
			    k.mv_size - 1, &value, e);
		if (rc < 0)
			return -1;
	}
}

static int
work_scan(MDB_txn *txn, MDB_dbi dbi, void *ctx, struct err *e)
{
	struct scan *sc = ctx;
	const struct tally *want;
	MDB_cursor *cursor;
	struct state st;
	int rc;

	if (get_state(txn, dbi, &st, e) < 0)
		return -1;
	rc = mdb_cursor_open(txn, dbi, &cursor);
	if (rc != 0)
		return lmdb_err(rc, "cursor", e);
	rc = scan_records(cursor, sc, e);
	mdb_cursor_close(cursor);
	if (rc < 0)
		return -1;
	want = sc->space == 'P' ? &st.packs : &st.runs;
	if (!tally_equal(&sc->tally, want))
		return err_set(e, ERR_CORRUPT, "catalogue: has lost records");
	return 0;
}

struct pack_scan {
	catalogue_pack_fn fn;
	void *ctx;
};

static int
decode_pack(const uint8_t *key, size_t key_len, struct rd *value,
	    struct catalogue_pack *out, struct err *e)
{
	rd_copy(value, out->id.b, PACK_ID_LEN);
	out->chunks = rd_u32(value);
	out->len = rd_u64(value);
	if (key_len != 4 || !rd_done(value))
		return err_set(e, ERR_CORRUPT, "catalogue: malformed pack");
	out->number = (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 |
		      (uint32_t)key[2] << 8 | key[3];
	return 0;
}

static int
tell_pack(void *ctx, const uint8_t *key, size_t key_len, struct rd *value,
	  struct err *e)
{
	const struct pack_scan *ps = ctx;
	struct catalogue_pack p;

	if (decode_pack(key, key_len, value, &p, e) < 0)
		return -1;
	return ps->fn(ps->ctx, &p, e);
}

int
catalogue_packs(struct catalogue *c, catalogue_pack_fn fn, void *ctx,
		struct err *e)
{
	struct pack_scan ps = { fn, ctx };
	struct scan sc = { .space = 'P', .fn = tell_pack, .ctx = &ps };

	return work(c, false, work_scan, &sc, e);
}

struct run_scan {
	catalogue_run_fn fn;
	void *ctx;
};

static int
tell_run(void *ctx, const uint8_t *key, size_t key_len, struct rd *value,
	 struct err *e)
{
	const struct run_scan *rs = ctx;
	char name[CATALOGUE_RUN_NAME_MAX + 1];

	if (key_len > CATALOGUE_RUN_NAME_MAX || !rd_done(value))
		return err_set(e, ERR_CORRUPT, "catalogue: malformed run");
	memcpy(name, key, key_len);
	name[key_len] = '\0';
	return rs->fn(rs->ctx, name, e);
}

int
catalogue_runs(struct catalogue *c, catalogue_run_fn fn, void *ctx,
	       struct err *e)
{
	struct run_scan rs = { fn, ctx };
	struct scan sc = { .space = 'R', .fn = tell_run, .ctx = &rs };

	return work(c, false, work_scan, &sc, e);
}

/* --- updating --------------------------------------------------------------- */

/* What all steps of an update share. */
struct update {
	MDB_txn *txn;
	MDB_dbi dbi;
	struct state st;
	struct buf key, value; /* scratch */
};

/* Returns 1 and the number when the pack is known, 0 when not. */
static int
find_pack(struct update *u, const struct pack_id *id, uint32_t *number,
	  struct err *e)
{
	struct rd r;
	int rc;

	key_of(&u->key, 'I', id->b, sizeof(id->b));
	if (buf_ok(&u->key, e) < 0)
		return -1;
	rc = get(u->txn, u->dbi, &u->key, &r, NULL, e);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	*number = rd_u32(&r);
	if (!rd_done(&r))
		return err_set(e, ERR_CORRUPT, "catalogue: malformed pack id");
	return 1;
}

static int
put_scratch(struct update *u, uint8_t *hash, struct err *e)
{
	if (buf_ok(&u->key, e) < 0 || buf_ok(&u->value, e) < 0)
		return -1;
	return put(u->txn, u->dbi, &u->key, &u->value, hash, e);
}

static int
add_pack(struct update *u, const struct catalogue_pack *p, struct err *e)
{
	uint8_t hash[HASH_LEN];
	uint32_t number;
	int rc = find_pack(u, &p->id, &number, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	buf_reset(&u->value);
	wr_u32(&u->value, p->number);
	rc = put_scratch(u, NULL, e); /* the key is find_pack's */
	if (rc != 0)
		return rc;
	pack_key(&u->key, p->number);
	buf_reset(&u->value);
	wr_bytes(&u->value, p->id.b, sizeof(p->id.b));
	wr_u32(&u->value, p->chunks);
	wr_u64(&u->value, p->len);
	rc = put_scratch(u, hash, e);
	if (rc == 0)
		tally_add(&u->st.packs, hash);
	return rc;
}

/* Delete the record of u->key, if there is one, and take it off the tally. */
static int
drop_record(struct update *u, struct tally *t, struct err *e)
{
	uint8_t hash[HASH_LEN];
	struct rd r;
	int rc;

	if (buf_ok(&u->key, e) < 0)
		return -1;
	rc = get(u->txn, u->dbi, &u->key, &r, hash, e);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	rc = drop(u->txn, u->dbi, &u->key, e);
	if (rc == 0)
		tally_sub(t, hash);
	return rc;
}

static int
drop_pack(struct update *u, const struct pack_id *id, struct err *e)
{
	uint32_t number;
	int rc = find_pack(u, id, &number, e);

	if (rc <= 0)
		return rc;
	rc = drop(u->txn, u->dbi, &u->key, e);
	if (rc != 0)
		return rc;
	pack_key(&u->key, number);
	return drop_record(u, &u->st.packs, e);
}

static int
add_run(struct update *u, const char *name, struct err *e)
{
	uint8_t hash[HASH_LEN];
	int rc;

	if (strlen(name) > CATALOGUE_RUN_NAME_MAX)
		return err_set(e, ERR_USAGE, "index run %s: name too long",
			       name);
	key_of(&u->key, 'R', name, strlen(name));
	rc = drop_record(u, &u->st.runs, e); /* never counted twice */
	if (rc != 0)
		return rc;
	buf_reset(&u->value);
	rc = put_scratch(u, hash, e);
	if (rc == 0)
		tally_add(&u->st.runs, hash);
	return rc;
}

static int
drop_run(struct update *u, const char *name, struct err *e)
{
	key_of(&u->key, 'R', name, strlen(name));
	return drop_record(u, &u->st.runs, e);
}

static int
apply_all(struct update *u, const struct catalogue_update *what, struct err *e)
{
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < what->drop_pack_count; i++)
		rc = drop_pack(u, &what->drop_packs[i], e);
	for (i = 0; rc == 0 && i < what->pack_count; i++)
		rc = add_pack(u, &what->packs[i], e);
	for (i = 0; rc == 0 && i < what->drop_run_count; i++)
		rc = drop_run(u, what->drop_runs[i], e);
	for (i = 0; rc == 0 && i < what->add_run_count; i++)
		rc = add_run(u, what->add_runs[i], e);
	return rc;
}

static int
work_apply(MDB_txn *txn, MDB_dbi dbi, void *ctx, struct err *e)
{
	struct update u = { .txn = txn, .dbi = dbi };
	int rc = get_state(txn, dbi, &u.st, e);

	if (rc == 0)
		rc = apply_all(&u, ctx, e);
	u.st.sequence++;
	if (rc == 0)
		rc = put_state(txn, dbi, &u.st, e);
	buf_clear(&u.value);
	buf_clear(&u.key);
	return rc;
}

int
catalogue_apply(struct catalogue *c, const struct catalogue_update *u,
		struct err *e)
{
	struct catalogue_update what = *u;

	return work(c, true, work_apply, &what, e);
}

struct taking {
	uint32_t n, first;
};

static int
work_take(MDB_txn *txn, MDB_dbi dbi, void *ctx, struct err *e)
{
	struct taking *t = ctx;
	struct state st;

	if (get_state(txn, dbi, &st, e) < 0)
		return -1;
	if (st.next_number > CATALOGUE_NUMBERS ||
	    t->n > CATALOGUE_NUMBERS - st.next_number)
		return err_set(e, ERR_CORRUPT, "catalogue: out of numbers");
	t->first = st.next_number;
	st.next_number += t->n;
	st.sequence++;
	return put_state(txn, dbi, &st, e);
}

int
catalogue_take_numbers(struct catalogue *c, uint32_t n, uint32_t *first,
		       struct err *e)
{
	struct taking t = { .n = n };

	if (work(c, true, work_take, &t, e) < 0)
		return -1;
	*first = t.first;
	return 0;
}

/* --- small values ----------------------------------------------------------- */

struct small {
	struct buf key;
	struct buf value; /* what get found; a view of the input for put */
};

static int
work_get(MDB_txn *txn, MDB_dbi dbi, void *ctx, struct err *e)
{
	struct small *sm = ctx;
	struct rd r;
	int rc = get(txn, dbi, &sm->key, &r, NULL, e);

	if (rc == 0)
		wr_bytes(&sm->value, r.p, r.left);
	return rc;
}

static int
work_put(MDB_txn *txn, MDB_dbi dbi, void *ctx, struct err *e)
{
	const struct small *sm = ctx;

	return put(txn, dbi, &sm->key, &sm->value, NULL, e);
}

static int
check_key(size_t key_len, struct err *e)
{
	if (key_len == 0 || key_len > KEY_MAX - 1)
		return err_set(e, ERR_USAGE, "catalogue: key of %zu bytes",
			       key_len);
	return 0;
}

int
catalogue_get(struct catalogue *c, const void *key, size_t key_len,
	      struct buf *out, struct err *e)
{
	struct small sm = { 0 };
	int rc = check_key(key_len, e);

	key_of(&sm.key, 'V', key, key_len);
	if (rc == 0)
		rc = buf_ok(&sm.key, e);
	if (rc == 0)
		rc = work(c, false, work_get, &sm, e);
	if (rc == 0)
		rc = buf_ok(&sm.value, e);
	if (rc == 0) {
		buf_add(out, sm.value.data, sm.value.len);
		rc = buf_ok(out, e);
	}
	buf_clear(&sm.value);
	buf_clear(&sm.key);
	return rc;
}

int
catalogue_put(struct catalogue *c, const void *key, size_t key_len,
	      const void *value, size_t len, struct err *e)
{
	struct small sm = { 0 };
	int rc = check_key(key_len, e);

	if (rc == 0 && len > VALUE_MAX)
		rc = err_set(e, ERR_USAGE, "catalogue: value of %zu bytes",
			     len);
	if (rc == 0) {
		key_of(&sm.key, 'V', key, key_len);
		buf_add(&sm.value, value, len);
		rc = buf_ok(&sm.key, e);
	}
	if (rc == 0)
		rc = buf_ok(&sm.value, e);
	if (rc == 0)
		rc = work(c, true, work_put, &sm, e);
	buf_clear(&sm.value);
	buf_clear(&sm.key);
	return rc;
}
