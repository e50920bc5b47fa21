/*
 * repository.c
 *
 * `config` is what makes a directory a repository, so init writes it last:
 * until then everything it made is a skeleton, which the next init takes for
 * empty, and whose keys/config.copy it takes over, so that two inits at once
 * end with one config.
 *
 * Of the two copies of the config the first good one counts.  Only when the
 * first is valid but newer than this program is the second not asked: it may
 * be what an unfinished upgrade has left.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/repository.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEMP_PREFIX ".tmp-"
#define DIR_MODE    0700
#define WAY_UP_MAX  4096 /* directories above each other */

/* "16777214.forgotten" and a NUL, with room. */
#define GENERATION_NAME_LEN 32

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A path, made safe, for the sentence of an error. */
#define SHOWN(path) path_show_in((char[PATH_SHOW_LEN]){ 0 }, path, strlen(path))

static const char *const dir_names[] = { "keys", "packs", "generations",
					 "sessions", "condemned" };

static bool
is_temporary(const char *name)
{
	return strncmp(name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0;
}

/* --- the directory itself ------------------------------------------------- */

static int
make_absolute(const char *path, struct buf *out, struct err *e)
{
	char cwd[PATH_MAX] = "/";

	if (path[0] == '\0')
		return err_set(e, ERR_USAGE, "the repository has no name");
	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		return err_sys(e, "the current directory");
	if (path_absolute(cwd, path, out, e) < 0)
		return -1;
	(void)buf_str(out);
	return buf_ok(out, e);
}

/*
 * Open the directory a person named: the one place where a symlink is
 * followed.  Returns 1 when there is none.
 */
static int
open_top(const char *path, int *out, struct err *e)
{
	int fd;

	do
		fd = sys_repo->openat(AT_FDCWD, path,
				      O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	while (fd < 0 && errno == EINTR);
	if (fd >= 0) {
		*out = fd;
		return 0;
	}
	if (errno == ENOENT || errno == ENOTDIR)
		return 1;
	return err_sys(e, "open %s", SHOWN(path));
}

/*
 * fsync the directory that holds `path`.  Where it is not ours to open, `must`
 * says whether that is a failure.
 */
static int
sync_parent(const char *path, bool must, struct err *e)
{
	const char *slash = strrchr(path, '/');
	struct err why = { 0 };
	char *parent;
	int fd = -1;
	int rc;

	parent = mem_dup(path, slash == path ? 1 : (size_t)(slash - path));
	if (parent == NULL)
		return err_nomem(e);
	rc = open_top(parent, &fd, &why);
	if (rc == 0)
		rc = io_sync_dir(fd, parent, e);
	else if (rc < 0 && !must && why.saved_errno == EACCES)
		rc = 0;
	else if (rc < 0)
		err_move(e, &why);
	else
		rc = err_set(e, ERR_USAGE, "%s: no such directory",
			     SHOWN(parent));
	(void)io_close(fd, parent, NULL);
	mem_free(parent);
	return rc;
}

/* Open the directory for a new repository, making it where there is none. */
static int
make_top(const char *path, int *out, struct err *e)
{
	bool made = false;
	int fd = -1;
	int rc;

	rc = open_top(path, &fd, e);
	if (rc == 1) {
		if (sys_repo->mkdirat(AT_FDCWD, path, DIR_MODE) < 0 &&
		    errno != EEXIST)
			return err_sys(e, "create directory %s", SHOWN(path));
		made = true;
		rc = open_top(path, &fd, e);
		if (rc == 1)
			rc = err_set(e, ERR_USAGE, "%s: not a directory",
				     SHOWN(path));
	}
	if (rc == 0)
		rc = sync_parent(path, made, e);
	if (rc < 0) {
		(void)io_close(fd, path, NULL);
		return -1;
	}
	*out = fd;
	return 0;
}

/* --- is it empty? --------------------------------------------------------- */

/* What a directory holds that an interrupted init does not explain. */
struct leftovers {
	const char *dir; /* below the top; NULL for the top itself */
	bool config;
	char foreign[PATH_SHOW_LEN]; /* the first such name, or "" */
};

static bool
is_expected(const struct leftovers *l, const char *name)
{
	size_t i;

	if (is_temporary(name))
		return true;
	if (l->dir != NULL)
		return strcmp(l->dir, "keys") == 0 &&
		       strcmp(name, "config.copy") == 0;
	for (i = 0; i < COUNT(dir_names); i++)
		if (strcmp(name, dir_names[i]) == 0)
			return true;
	return strcmp(name, "lost+found") == 0;
}

static int
note_name(void *ctx, const char *name, struct err *e)
{
	struct leftovers *l = ctx;

	(void)e;
	if (l->dir == NULL && strcmp(name, "config") == 0)
		l->config = true;
	else if (l->foreign[0] == '\0' && !is_expected(l, name))
		(void)path_show_in(l->foreign, name, strlen(name));
	return 0;
}

/* The same for one of the skeleton's directories, which may be missing. */
static int
note_dir(int top, const char *dir, struct leftovers *l, struct err *e)
{
	bool missing;
	int fd;
	int rc;

	fd = io_open(top, dir, O_RDONLY | O_DIRECTORY, 0, &missing, e);
	if (fd < 0)
		return missing ? 0 : -1;
	l->dir = dir;
	rc = io_list(fd, dir, note_name, l, e);
	(void)io_close(fd, dir, NULL);
	return rc;
}

static int
find_leftovers(int top, const char *path, struct leftovers *l, struct err *e)
{
	size_t i;

	if (io_list(top, path, note_name, l, e) < 0)
		return -1;
	for (i = 0; i < COUNT(dir_names) && l->foreign[0] == '\0'; i++)
		if (note_dir(top, dir_names[i], l, e) < 0)
			return err_prefix(e, "%s", SHOWN(path));
	return 0;
}

static int
already_there(const char *path, struct err *e)
{
	return err_set(e, ERR_USAGE, "%s: there is a repository here already",
		       SHOWN(path));
}

static int
want_empty(int top, const char *path, struct err *e)
{
	struct leftovers l = { 0 };

	if (find_leftovers(top, path, &l, e) < 0)
		return -1;
	if (l.config)
		return already_there(path, e);
	if (l.foreign[0] == '\0')
		return 0;
	return err_set(e, ERR_USAGE, "%s: not empty: %s%s%s is in it",
		       SHOWN(path), l.dir != NULL ? l.dir : "",
		       l.dir != NULL ? "/" : "", l.foreign);
}

/* --- making --------------------------------------------------------------- */

static int
read_config(int dirfd, const char *name, struct config *out, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	rc = io_read_file(dirfd, name, CONFIG_FILE_MAX, &b, e);
	if (rc == 0)
		rc = config_decode(b.data, b.len, out, e);
	buf_clear(&b);
	return rc;
}

static int
publish_config(int dirfd, const char *name, const struct config *c,
	       bool replace, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	rc = config_encode(c, &b, e);
	if (rc == 0)
		rc = io_publish(dirfd, name, b.data, b.len, replace, e);
	buf_clear(&b);
	return rc;
}

/*
 * The config that keys/config.copy has, or a new one that is then written
 * there.
 */
static int
settle_copy(int keys_fd, struct config *out, struct err *e)
{
	struct err why = { 0 };
	int rc;

	rc = read_config(keys_fd, "config.copy", out, &why);
	if (rc == 0)
		return 0;
	if (rc < 0 && why.kind != ERR_CORRUPT && why.kind != ERR_USAGE) {
		err_move(e, &why);
		return -1;
	}
	if (config_new(out, e) < 0)
		return -1;
	rc = publish_config(keys_fd, "config.copy", out, rc < 0, e);
	if (rc == 1) /* another init was faster */
		rc = read_config(keys_fd, "config.copy", out, e);
	return rc;
}

static int
write_configs(int top, const char *path, struct err *e)
{
	struct config c;
	int keys_fd;
	int rc;

	keys_fd = io_open_dir(top, "keys", e);
	if (keys_fd < 0)
		return -1;
	rc = settle_copy(keys_fd, &c, e);
	(void)io_close(keys_fd, "keys", NULL);
	if (rc != 0)
		return -1;
	rc = publish_config(top, "config", &c, false, e);
	return rc == 1 ? already_there(path, e) : rc;
}

/*
 * Sessions depend on flock.  A file system without it is found out here and
 * not in the middle of the first backup.
 */
static int
probe_locks(int top, struct err *e)
{
	char name[sizeof(TEMP_PREFIX) + IO_RANDOM_NAME_LEN] = TEMP_PREFIX;
	int dir;
	int fd = -1;
	int rc = -1;

	dir = io_open_dir(top, "sessions", e);
	if (dir < 0)
		return -1;
	if (io_random_name(name + strlen(TEMP_PREFIX), e) < 0)
		goto out;
	fd = io_open(dir, name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL, e);
	if (fd < 0)
		goto out;
	rc = io_lock(fd, true, name, e) < 0 ? -1 : 0;
	if (rc < 0)
		err_prefix(e, "this file system has no working locks");
	(void)io_unlink(dir, name, NULL);
out:
	(void)io_close(fd, name, NULL);
	(void)io_close(dir, "sessions", NULL);
	return rc;
}

static int
make_skeleton(int top, struct err *e)
{
	size_t i;

	for (i = 0; i < COUNT(dir_names); i++)
		if (io_mkdir(top, dir_names[i], DIR_MODE, e) < 0)
			return -1;
	return probe_locks(top, e);
}

int
repository_init(const char *path, struct err *e)
{
	struct buf absolute = { 0 };
	const char *name;
	int top = -1;
	int rc = -1;

	if (make_absolute(path, &absolute, e) < 0)
		goto out;
	name = buf_str(&absolute);
	if (make_top(name, &top, e) < 0 || want_empty(top, name, e) < 0)
		goto out;
	rc = make_skeleton(top, e);
	if (rc == 0)
		rc = write_configs(top, name, e);
	if (rc < 0 && e != NULL && e->kind != ERR_USAGE)
		err_prefix(e, "make a repository in %s", SHOWN(name));
out:
	(void)io_close(top, path, NULL);
	buf_clear(&absolute);
	return rc;
}

/* --- opening -------------------------------------------------------------- */

static int
not_a_repository(const char *path, struct err *e)
{
	return err_set(e, ERR_USAGE, "%s: not an asof repository", SHOWN(path));
}

/* One copy of the config as found: 0 good, 1 missing, -1 and why. */
struct config_copy {
	struct config config;
	struct err why;
	int rc;
};

static void
read_copy(int dirfd, const char *name, struct config_copy *out)
{
	out->rc = dirfd < 0 ? 1
			    : read_config(dirfd, name, &out->config, &out->why);
}

static int
read_both(const struct repository *r, struct config_copy *first,
	  struct config_copy *second, struct err *e)
{
	bool missing;
	int keys_fd;

	read_copy(r->fd, "config", first);
	keys_fd = io_open(r->fd, "keys", O_RDONLY | O_DIRECTORY, 0, &missing,
			  NULL);
	read_copy(keys_fd, "config.copy", second);
	(void)io_close(keys_fd, "keys", NULL);
	if (first->why.kind == ERR_NOMEM || second->why.kind == ERR_NOMEM)
		return err_nomem(e);
	return 0;
}

/* Neither copy is good: is this a repository at all? */
static int
no_config(const struct repository *r, struct config_copy *first,
	  const struct config_copy *second, struct err *e)
{
	if (second->rc == 1 && (first->rc == 1 || first->why.kind == ERR_USAGE))
		return not_a_repository(r->path, e);
	if (first->rc == 1)
		err_set(&first->why, ERR_CORRUPT,
			"config is missing, its copy in keys is damaged");
	if (first->why.kind == ERR_USAGE) { /* that of a directory of others */
		err_clear(&first->why);
		err_set(&first->why, ERR_CORRUPT, "config is damaged");
	}
	err_move(e, &first->why);
	return err_prefix(e, "%s", SHOWN(r->path));
}

/* A good copy and no config: damage, or an init that did not get to the end. */
static int
want_finished(const struct repository *r, struct err *e)
{
	struct leftovers l = { 0 };

	if (find_leftovers(r->fd, r->path, &l, e) < 0)
		return -1;
	if (l.foreign[0] != '\0')
		return 0;
	return err_set(e, ERR_USAGE,
		       "%s: not an asof repository: its init did not finish",
		       SHOWN(r->path));
}

static int
settle_config(struct repository *r, struct config_copy *first,
	      struct config_copy *second, struct err *e)
{
	if (first->rc == 0) {
		r->config = first->config;
		r->config_damaged = second->rc != 0 ||
				    memcmp(first->config.id, second->config.id,
					   sizeof(first->config.id)) != 0;
		return 0;
	}
	if (second->rc != 0 || first->why.kind == ERR_UNSUPPORTED)
		return no_config(r, first, second, e);
	if (first->rc == 1 && want_finished(r, e) < 0)
		return -1;
	r->config = second->config;
	r->config_damaged = true;
	return 0;
}

static int
load_config(struct repository *r, struct err *e)
{
	struct config_copy *copy = mem_array(2, sizeof(*copy));
	int rc;

	if (copy == NULL)
		return err_nomem(e);
	rc = read_both(r, &copy[0], &copy[1], e);
	if (rc == 0)
		rc = settle_config(r, &copy[0], &copy[1], e);
	mem_free(copy);
	return rc;
}

/* packs and generations: without them nothing can be read. */
static int
open_needed(const struct repository *r, const char *name, int *out,
	    struct err *e)
{
	bool missing;
	int fd;

	fd = io_open(r->fd, name, O_RDONLY | O_DIRECTORY, 0, &missing, e);
	if (fd >= 0) {
		*out = fd;
		return 0;
	}
	if (missing)
		return err_set(e, ERR_CORRUPT, "%s/%s is missing",
			       SHOWN(r->path), name);
	return err_prefix(e, "%s", SHOWN(r->path));
}

/*
 * sessions and condemned: copying tools drop empty directories, so they are
 * made again, or done without.
 */
static int
open_or_make(const struct repository *r, const char *name, int *out,
	     struct err *e)
{
	bool missing;
	int fd;

	fd = io_open(r->fd, name, O_RDONLY | O_DIRECTORY, 0, &missing, e);
	if (fd < 0 && !missing)
		return err_prefix(e, "%s", SHOWN(r->path));
	if (fd < 0 && io_mkdir(r->fd, name, DIR_MODE, NULL) == 0)
		fd = io_open_dir(r->fd, name, NULL);
	*out = fd;
	return 0;
}

static int
open_dirs(struct repository *r, struct err *e)
{
	if (open_needed(r, "packs", &r->packs_fd, e) < 0 ||
	    open_needed(r, "generations", &r->generations_fd, e) < 0)
		return -1;
	if (open_or_make(r, "sessions", &r->sessions_fd, e) < 0)
		return -1;
	return open_or_make(r, "condemned", &r->condemned_fd, e);
}

/* Asked without trying: looking must not leave traces. */
static bool
can_write(int dirfd)
{
	return sys_repo->faccessat(dirfd, ".", W_OK | X_OK, AT_EACCESS) == 0;
}

int
repository_open(const char *path, struct repository **out, struct err *e)
{
	struct buf absolute = { 0 };
	struct repository *r;
	int rc = -1;

	r = mem_zalloc(sizeof(*r));
	if (r == NULL)
		return err_nomem(e);
	r->fd = r->packs_fd = r->generations_fd = -1;
	r->sessions_fd = r->condemned_fd = -1;
	if (make_absolute(path, &absolute, e) < 0)
		goto out;
	r->path = mem_dup(absolute.data, absolute.len);
	if (r->path == NULL) {
		err_nomem(e);
		goto out;
	}
	rc = open_top(r->path, &r->fd, e);
	if (rc == 1)
		rc = err_set(e, ERR_USAGE,
			     "%s: not an asof repository: there is no such "
			     "directory",
			     SHOWN(r->path));
	if (rc == 0)
		rc = load_config(r, e);
	if (rc == 0)
		rc = open_dirs(r, e);
	if (rc < 0)
		goto out;
	r->read_only = !can_write(r->packs_fd) || !can_write(r->generations_fd);
	r->remote = io_is_remote(r->fd);
	id_keys_derive(&r->keys, r->config.id_key);
	*out = r;
out:
	buf_clear(&absolute);
	if (rc < 0)
		repository_close(r);
	return rc;
}

/* A directory that we did without stays without. */
static int
replace_dir(int old, int with, const char *name, struct err *e)
{
	if (old < 0 || with < 0)
		return 0;
	return io_replace(old, with, name, e);
}

/* packs last: readers go on when they find what they want there. */
static int
replace_dirs(const struct repository *r, const struct repository *now,
	     struct err *e)
{
	if (replace_dir(r->fd, now->fd, "repository", e) < 0 ||
	    replace_dir(r->sessions_fd, now->sessions_fd, "sessions", e) < 0 ||
	    replace_dir(r->condemned_fd, now->condemned_fd, "condemned", e) < 0)
		return -1;
	if (replace_dir(r->generations_fd, now->generations_fd, "generations",
			e) < 0)
		return -1;
	return replace_dir(r->packs_fd, now->packs_fd, "packs", e);
}

int
repository_follow(const struct repository *r, struct err *e)
{
	struct repository *now = NULL;
	int rc;

	if (io_is_at(r->fd, AT_FDCWD, r->path, 0) &&
	    io_is_at(r->packs_fd, r->fd, "packs", 0) &&
	    io_is_at(r->generations_fd, r->fd, "generations", 0))
		return 1;
	if (repository_open(r->path, &now, e) < 0)
		return -1;
	if (memcmp(now->config.id, r->config.id, sizeof(r->config.id)) != 0)
		rc = err_set(e, ERR_USAGE, "%s is another repository now",
			     SHOWN(r->path));
	else
		rc = replace_dirs(r, now, e);
	repository_close(now);
	return rc;
}

void
repository_close(struct repository *r)
{
	if (r == NULL)
		return;
	(void)io_close(r->condemned_fd, "condemned", NULL);
	(void)io_close(r->sessions_fd, "sessions", NULL);
	(void)io_close(r->generations_fd, "generations", NULL);
	(void)io_close(r->packs_fd, "packs", NULL);
	(void)io_close(r->fd, "repository", NULL);
	mem_free(r->path);
	mem_free(r);
}

/* Only to look at it: works without a right to read it.  -1: not possible. */
static int
open_to_look(int dirfd, const char *path)
{
	return io_open(dirfd, path, O_PATH | O_DIRECTORY, 0, NULL, NULL);
}

bool
repository_above(int upper, int fd)
{
	struct stat what, here, last = { 0 };
	unsigned steps;
	bool found = false;
	int at, up;

	if (sys_repo->fstat(upper, &what) < 0)
		return false;
	at = open_to_look(fd, ".");
	for (steps = 0; at >= 0 && steps < WAY_UP_MAX; steps++) {
		if (sys_repo->fstat(at, &here) < 0)
			break;
		found = io_same(&here, &what);
		if (found || (steps > 0 && io_same(&here, &last)))
			break;
		last = here;
		up = open_to_look(at, "..");
		(void)io_close(at, "..", NULL);
		at = up;
	}
	(void)io_close(at, "..", NULL);
	return found;
}

int
repository_want_write(const struct repository *r, struct err *e)
{
	if ((r->config.features.write & ~FEATURES_WRITE_KNOWN) != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "%s: only a newer asof may write to it",
			       SHOWN(r->path));
	if (r->read_only)
		return err_set(e, ERR_SYS,
			       "%s: cannot be written: read-only, or no "
			       "permission",
			       SHOWN(r->path));
	return 0;
}

/* --- generation records --------------------------------------------------- */

enum generation_state {
	RECORD,
	FORGOTTEN,
	GONE
};

static const char *const state_suffix[] = { "", ".forgotten", ".gone" };

static void
generation_name(char out[GENERATION_NAME_LEN], uint32_t number,
		enum generation_state state)
{
	(void)snprintf(out, GENERATION_NAME_LEN, "%" PRIu32 "%s", number,
		       state_suffix[state]);
}

/* False for names that are not those of generations. */
static bool
parse_generation(const char *name, uint32_t *number,
		 enum generation_state *state)
{
	uint32_t n = 0;
	unsigned s;

	if (name[0] < '1' || name[0] > '9')
		return false;
	for (; name[0] >= '0' && name[0] <= '9'; name++) {
		n = n * 10 + (uint32_t)(name[0] - '0');
		if (n > GENERATION_NUMBER_MAX)
			return false;
	}
	for (s = RECORD; s <= GONE; s++) {
		if (strcmp(name, state_suffix[s]) == 0) {
			*number = n;
			*state = (enum generation_state)s;
			return true;
		}
	}
	return false;
}

static int
add_generation(void *ctx, const char *name, struct err *e)
{
	struct generation_names *n = ctx;
	enum generation_state state;
	uint32_t number;
	uint32_t *more;

	if (!parse_generation(name, &number, &state))
		return 0;
	if (number > n->highest)
		n->highest = number;
	if (state != RECORD)
		return 0;
	/* Grown when the count is a power of two: 0, 1, 2, 4, 8 ... */
	if ((n->count & (n->count - 1)) == 0) {
		more = mem_resize(n->number, n->count == 0 ? 1 : n->count * 2,
				  sizeof(*more));
		if (more == NULL)
			return err_nomem(e);
		n->number = more;
	}
	n->number[n->count++] = number;
	return 0;
}

static int
cmp_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Where a generation's file is, before the sentence of an error. */
static int
in_generations(const struct repository *r, struct err *e)
{
	return err_prefix(e, "%s/generations", SHOWN(r->path));
}

int
repository_generations(const struct repository *r, struct generation_names *out,
		       struct err *e)
{
	struct generation_names n = { 0 };

	if (io_list(r->generations_fd, "generations", add_generation, &n, e) <
	    0) {
		generation_names_clear(&n);
		return err_prefix(e, "%s", SHOWN(r->path));
	}
	if (n.count > 1)
		qsort(n.number, n.count, sizeof(*n.number), cmp_numbers);
	*out = n;
	return 0;
}

void
generation_names_clear(struct generation_names *n)
{
	mem_free(n->number);
	memset(n, 0, sizeof(*n));
}

int
repository_read_generation(const struct repository *r, uint32_t number,
			   struct buf *out, struct err *e)
{
	char name[GENERATION_NAME_LEN];
	int rc;

	generation_name(name, number, RECORD);
	rc = io_read_file(r->generations_fd, name, GENERATION_RECORD_MAX, out,
			  e);
	return rc < 0 ? in_generations(r, e) : rc;
}

/* 1 when the number was given to a generation that is now forgotten or gone. */
static int
was_used(const struct repository *r, uint32_t number, struct err *e)
{
	char name[GENERATION_NAME_LEN];
	struct stat st;
	unsigned s;

	for (s = FORGOTTEN; s <= GONE; s++) {
		generation_name(name, number, (enum generation_state)s);
		if (sys_repo->fstatat(r->generations_fd, name, &st,
				      AT_SYMLINK_NOFOLLOW) == 0)
			return 1;
		if (errno != ENOENT) {
			err_sys(e, "stat %s", name);
			return in_generations(r, e);
		}
	}
	return 0;
}

int
repository_publish_generation(const struct repository *r, uint32_t number,
			      const void *p, size_t len, struct err *e)
{
	char name[GENERATION_NAME_LEN];
	int rc;

	if (number < 1 || number > GENERATION_NUMBER_MAX)
		return err_set(e, ERR_UNSUPPORTED,
			       "%s: there is no generation number %" PRIu32,
			       SHOWN(r->path), number);
	rc = was_used(r, number, e);
	if (rc != 0)
		return rc;
	generation_name(name, number, RECORD);
	rc = io_publish(r->generations_fd, name, p, len, false, e);
	if (rc != 0)
		return rc < 0 ? in_generations(r, e) : rc;
	/*
	 * Another process may have published and forgotten this number between
	 * the two calls.  Nobody was told of ours yet: withdraw it (I10).
	 */
	rc = was_used(r, number, e);
	if (rc != 0)
		(void)io_unlink(r->generations_fd, name, NULL);
	return rc;
}

int
repository_forget_generation(const struct repository *r, uint32_t number,
			     struct err *e)
{
	char from[GENERATION_NAME_LEN];
	char to[GENERATION_NAME_LEN];
	int rc;

	generation_name(from, number, RECORD);
	generation_name(to, number, FORGOTTEN);
	do
		rc = sys_repo->renameat2(r->generations_fd, from,
					 r->generations_fd, to, 0);
	while (rc < 0 && errno == EINTR);
	if (rc < 0 && errno == ENOENT)
		return 1;
	if (rc < 0)
		err_sys(e, "rename %s to %s", from, to);
	else
		rc = io_sync_dir(r->generations_fd, "generations", e);
	return rc < 0 ? in_generations(r, e) : 0;
}
