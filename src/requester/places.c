/*
 * Whether a file can be replaced is asked in the way in which it would be
 * replaced: a new one beside it and a rename.  That needs the right to write
 * in its directory, and nothing immutable, mounted or a directory in its place.
 * Linux lets a file be replaced under a process that has it open, and that
 * process goes on with the old one, so "in use" is asked for, too: by a read
 * lease, which the kernel grants only while nobody has the file open for
 * writing, and by looking for locks.  Where the kernel does not tell, the file
 * counts as free.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/places.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"
#include "src/engine/view.h"
#include "src/writer/metadata.h"
#include "src/writer/wildcard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

int
places_init(struct places *p, struct view_gen *gen,
	    const struct metadata *document, const bool *wanted, struct err *e)
{
	size_t i;
	size_t k;

	p->gen = gen;
	p->document = document;
	p->set = mem_array(document->files.count + 1, sizeof(*p->set));
	if (p->set == NULL)
		return err_nomem(e);
	for (i = 0; i < document->files.count; i++) {
		const struct metadata_files *f = &document->files.v[i];

		p->set[i].files = f;
		p->set[i].wanted = wanted[f->component];
		for (k = 0; k < document->locations.count; k++) {
			const struct metadata_location *l =
				&document->locations.v[k];

			if (l->spec.recursive == f->spec.recursive &&
			    strcmp(l->spec.dir, f->spec.dir) == 0 &&
			    strcmp(l->spec.pattern, f->spec.pattern) == 0)
				p->set[i].alternate = l->to;
		}
	}
	(void)snprintf(p->staging, sizeof(p->staging), ".asof-at-reboot-%u",
		       (unsigned)gen->number);
	return 0;
}

void
places_clear(struct places *p)
{
	mem_free(p->set);
	p->set = NULL;
}

/* --- which files ------------------------------------------------------------ */

static bool
fits_extra(const struct place_extra *x, const char *path)
{
	struct metadata_spec spec = { x->path, x->pattern, x->recursive, 0 };

	if (x->pattern == NULL)
		return strcmp(x->path, path) == 0;
	return metadata_fits(&spec, path);
}

/*
 * The first file set that it fits counts, so that no file goes to two places
 * and none is taken for a component that is not restored.
 */
bool
places_wants(const struct places *p, const char *path,
	     const struct place_set **set)
{
	size_t i;

	if (metadata_excludes(p->document, path))
		return false;
	for (i = 0; i < p->document->files.count; i++) {
		if (!metadata_fits(&p->document->files.v[i].spec, path))
			continue;
		*set = &p->set[i];
		return p->set[i].wanted;
	}
	*set = NULL;
	for (i = 0; i < p->extras; i++)
		if (fits_extra(&p->extra[i], path))
			return true;
	return false;
}

/* Directories that are still to be looked into. */
struct walk {
	const struct places *p;
	const struct place_set *set; /* of this one; NULL: */
	const struct place_extra *extra;
	places_fn fn;
	void *ctx;
	struct buf dirs; /* paths, each with its NUL */
	const char *dir; /* that is being listed */
};

static int
visit(struct walk *w, const char *path, const struct entry *en, struct err *e)
{
	const struct place_set *set;

	if (!places_wants(w->p, path, &set) || set != w->set)
		return 0;
	if (set == NULL && !fits_extra(w->extra, path))
		return 0;
	return w->fn(w->ctx, path, en, set, e);
}

static int
on_entry(void *ctx, const struct node *n, uint64_t position, struct err *e)
{
	struct walk *w = ctx;
	struct buf path = { 0 };
	bool recursive = w->set != NULL ? w->set->files->spec.recursive
					: w->extra->recursive;
	int rc = 0;

	(void)position;
	if (strcmp(w->dir, "/") != 0)
		buf_add_str(&path, w->dir);
	buf_add_char(&path, '/');
	buf_add(&path, n->entry.name, n->entry.name_len);
	(void)buf_str(&path);
	if (buf_ok(&path, e) < 0)
		rc = -1;
	else if (n->entry.type != ENTRY_DIR)
		rc = visit(w, buf_str(&path), &n->entry, e);
	else if (recursive)
		buf_add(&w->dirs, path.data, path.len + 1);
	buf_clear(&path);
	return rc;
}

/* One directory; where the generation has none, there is nothing in it. */
static int
list_dir(struct walk *w, struct err *e)
{
	struct node n = { 0 };
	int rc = view_path(w->p->gen, w->dir, &n, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (n.entry.type == ENTRY_DIR)
		rc = view_list(w->p->gen, &n, 0, on_entry, w, e);
	node_clear(&n);
	return rc;
}

static int
walk_from(struct walk *w, const char *dir, struct err *e)
{
	char *now;
	size_t at = 0;
	int rc = 0;

	buf_reset(&w->dirs);
	buf_add(&w->dirs, dir, strlen(dir) + 1);
	while (rc == 0 && at < w->dirs.len) {
		/* The buffer moves as it grows. */
		now = mem_strdup((const char *)w->dirs.data + at);
		if (now == NULL)
			return err_nomem(e);
		at += strlen(now) + 1;
		w->dir = now;
		rc = list_dir(w, e);
		mem_free(now);
	}
	if (rc == 0)
		rc = buf_ok(&w->dirs, e);
	return rc;
}

static int
walk_extra(struct walk *w, const struct place_extra *x, struct err *e)
{
	struct node n = { 0 };
	int rc;

	w->set = NULL;
	w->extra = x;
	if (x->pattern != NULL)
		return walk_from(w, x->path, e);
	rc = view_path(w->p->gen, x->path, &n, e);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (n.entry.type != ENTRY_DIR)
		rc = visit(w, x->path, &n.entry, e);
	node_clear(&n);
	return rc;
}

int
places_each(const struct places *p, places_fn fn, void *ctx, struct err *e)
{
	struct walk w = { .p = p, .fn = fn, .ctx = ctx };
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < p->document->files.count; i++) {
		w.set = &p->set[i];
		if (w.set->wanted)
			rc = walk_from(&w, w.set->files->spec.dir, e);
	}
	for (i = 0; rc == 0 && i < p->extras; i++)
		rc = walk_extra(&w, &p->extra[i], e);
	buf_clear(&w.dirs);
	return rc;
}

/* --- where to --------------------------------------------------------------- */

bool
places_goes_dir(const struct places *p, const struct place_set *set,
		const char *dir, enum method_verdict v, struct buf *out)
{
	const char *to = set != NULL && set->to != NULL ? set->to : dir;

	if (v == VERDICT_ALTERNATE && (set == NULL || set->to == NULL)) {
		if (set == NULL || set->alternate == NULL)
			return false;
		to = set->alternate;
	}
	buf_add_str(out, to);
	if (v != VERDICT_STAGED)
		return true;
	if (strcmp(to, "/") != 0)
		buf_add_char(out, '/');
	buf_add_str(out, p->staging);
	return true;
}

bool
places_goes(const struct places *p, const struct place_set *set,
	    const char *path, enum method_verdict v, struct buf *out)
{
	const char *rest = strrchr(path, '/');
	struct buf dir = { 0 };
	bool goes;

	if (set != NULL)
		rest = strcmp(set->files->spec.dir, "/") == 0
			       ? path
			       : path + strlen(set->files->spec.dir);
	buf_add(&dir, path, rest == path ? 1 : (size_t)(rest - path));
	goes = places_goes_dir(p, set, buf_str(&dir), v, out);
	if (goes) {
		if (out->len > 0 && out->data[out->len - 1] == '/')
			rest++;
		buf_add_str(out, rest);
	}
	out->failed |= dir.failed;
	buf_clear(&dir);
	return goes;
}

/* --- opening ---------------------------------------------------------------- */

const char *
places_anchor(const struct places *p, const char *path)
{
	const char *best = NULL;
	size_t i;

	if (!p->granted)
		return "/";
	/* The shortest: what lies in two grants is reached through one. */
	for (i = 0; i < p->grants; i++)
		if (path_beneath(path, p->grant[i]) &&
		    (best == NULL || strlen(p->grant[i]) < strlen(best)))
			best = p->grant[i];
	return best;
}

static int
open_beneath(int dirfd, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	do
		fd = sys_target->openat2(dirfd, path, &how);
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd;
}

/* The anchor of a path, and the rest of the path behind it ("" for itself). */
static int
open_anchor(const struct places *p, const char *path, const char **rest,
	    struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *anchor = places_anchor(p, path);
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	if (anchor == NULL)
		return err_set(e, ERR_USAGE,
			       "%s is not beneath what the writer was granted",
			       path_show_in(shown, path, strlen(path)));
	fd = sys_target->openat2(AT_FDCWD, anchor, &how);
	if (fd < 0)
		return err_sys(e, "open %s",
			       path_show_in(shown, anchor, strlen(anchor)));
	*rest = path + (strcmp(anchor, "/") == 0 ? 0 : strlen(anchor));
	while (**rest == '/')
		++*rest;
	return fd;
}

/* The directory of one name in `fd`, which is closed, perhaps made. */
static int
step_down(int fd, const char *name, bool make)
{
	int next = -1;
	int saved;

	if (!make || sys_target->mkdirat(fd, name, 0755) == 0 ||
	    errno == EEXIST)
		next = open_beneath(fd, name, O_PATH | O_DIRECTORY);
	saved = errno;
	(void)sys_target->close(fd);
	errno = saved;
	return next;
}

int
places_open_dir(const struct places *p, const char *dir, bool make,
		struct err *e)
{
	char shown[PATH_SHOW_LEN];
	char name[PATH_NAME_MAX + 1];
	const char *rest = NULL;
	const char *at;
	size_t pos = 0;
	size_t len;
	int fd = open_anchor(p, dir, &rest, e);

	if (fd < 0)
		return -1;
	while (fd >= 0 && path_next(rest, &pos, &at, &len)) {
		if (len > PATH_NAME_MAX) {
			(void)sys_target->close(fd);
			errno = ENAMETOOLONG;
			fd = -1;
			break;
		}
		memcpy(name, at, len);
		name[len] = '\0';
		fd = step_down(fd, name, make);
	}
	if (fd < 0)
		return err_sys(e, "open the directory %s",
			       path_show_in(shown, dir, strlen(dir)));
	return fd;
}

/* --- looking ---------------------------------------------------------------- */

static void
stuck(struct place_state *s, const char *why)
{
	s->stuck = true;
	(void)snprintf(s->why, sizeof(s->why), "%s", why);
}

static void
stuck_errno(struct place_state *s)
{
	const char *why = strerror(errno);

	stuck(s, errno == ELOOP ? "a symbolic link is on the way" : why);
}

/* Does anybody have it open for writing, or hold a lock on it? */
static bool
in_use(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		return true;
	if (sys_target->flock(fd, LOCK_SH | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return true;
	} else {
		(void)sys_target->flock(fd, LOCK_UN);
	}
	/* Who opens it meanwhile makes the kernel tell us: by nothing. */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0)
		return false;
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
}

/* A file that is there: the rest of the way is in dirfd and name. */
static void
look_at_file(int dirfd, const char *name, struct place_state *s)
{
	struct statx st;
	int fd;

	if (sys_target->statx(dirfd, name, AT_SYMLINK_NOFOLLOW,
			      STATX_BASIC_STATS, &st) < 0) {
		if (errno != ENOENT)
			stuck_errno(s);
		return;
	}
	s->there = true;
	if ((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
		stuck(s, "something is mounted there");
	else if (S_ISDIR(st.stx_mode))
		stuck(s, "a directory is there");
	else if ((st.stx_attributes &
		  (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0)
		stuck(s, "it must not be changed (chattr)");
	if (s->stuck || !S_ISREG(st.stx_mode))
		return;
	fd = open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0)
		return;
	if (in_use(fd))
		stuck(s, "somebody has it open for writing, or locked");
	(void)sys_target->close(fd);
}

/* In a directory where others may not remove what is not theirs. */
static bool
is_sticky_to_us(int dirfd, const char *name)
{
	struct stat dir;
	struct stat st;
	uid_t us = geteuid();

	if (us == 0 || sys_target->fstat(dirfd, &dir) < 0 ||
	    (dir.st_mode & S_ISVTX) == 0 || dir.st_uid == us)
		return false;
	return sys_target->fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) ==
		       0 &&
	       st.st_uid != us;
}

static void
look_in(int dirfd, const char *name, struct place_state *s)
{
	if (sys_target->faccessat(dirfd, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0)
		stuck_errno(s);
	else if (is_sticky_to_us(dirfd, name))
		stuck(s, "it is another user's, in a sticky directory");
	else
		look_at_file(dirfd, name, s);
	if (s->stuck && !s->there) {
		struct stat st;

		s->there = sys_target->fstatat(dirfd, name, &st,
					       AT_SYMLINK_NOFOLLOW) == 0;
	}
}

/*
 * Go down as far as there are directories.  If the one that should hold the
 * file is missing, it is to be made in the last one that is there.
 */
static void
look_down(int fd, const char *rest, struct place_state *s)
{
	char name[PATH_NAME_MAX + 1];
	const char *at;
	size_t pos = 0;
	size_t len;
	int next;

	while (path_next(rest, &pos, &at, &len) && len <= PATH_NAME_MAX) {
		memcpy(name, at, len);
		name[len] = '\0';
		if (at[len] == '\0') {
			look_in(fd, name, s);
			break;
		}
		next = open_beneath(fd, name, O_PATH | O_DIRECTORY);
		if (next < 0 && errno == ENOENT) {
			look_in(fd, name, s);
			break;
		}
		if (next < 0) {
			stuck_errno(s);
			break;
		}
		(void)sys_target->close(fd);
		fd = next;
	}
	(void)sys_target->close(fd);
}

int
places_look(const struct places *p, const char *path, struct place_state *out,
	    struct err *e)
{
	struct err why = { 0 };
	const char *rest = NULL;
	int fd;

	memset(out, 0, sizeof(*out));
	fd = open_anchor(p, path, &rest, &why);
	if (fd < 0) {
		if (why.kind == ERR_USAGE) {
			err_move(e, &why);
			return -1;
		}
		stuck(out, why.text);
		return 0;
	}
	look_down(fd, rest, out);
	return 0;
}

/* --- facts ------------------------------------------------------------------ */

struct gather {
	const struct places *p;
	struct method_facts *f;
	struct buf text; /* strings of the facts, each with its NUL */
	struct {
		size_t lost, home_first, home_why, alt_first, alt_why;
	} at; /* where they begin, + 1; 0: none */
};

static void
keep(struct gather *g, size_t *at, const char *path, const char *why)
{
	char shown[PATH_SHOW_LEN];

	if (*at != 0)
		return;
	*at = g->text.len + 1;
	buf_add_str(&g->text, path_show_in(shown, path, strlen(path)));
	if (why != NULL)
		buf_printf(&g->text, ": %s", why);
	buf_add_char(&g->text, '\0');
}

static int
look_and_add(struct gather *g, const char *path, bool alternate, struct err *e)
{
	struct method_places *m = alternate ? &g->f->alternate : &g->f->home;
	struct place_state s;
	struct err why = { 0 };

	if (places_look(g->p, path, &s, &why) < 0) {
		/* One that it may not have matters only if it is needed. */
		if (!alternate) {
			err_move(e, &why);
			return -1;
		}
		stuck(&s, why.text);
		err_clear(&why);
	}
	if (s.there) {
		m->there++;
		keep(g, alternate ? &g->at.alt_first : &g->at.home_first, path,
		     NULL);
	}
	if (s.stuck) {
		m->stuck++;
		keep(g, alternate ? &g->at.alt_why : &g->at.home_why, path,
		     s.why);
	}
	return 0;
}

static int
add_file(void *ctx, const char *path, const struct entry *en,
	 const struct place_set *set, struct err *e)
{
	struct gather *g = ctx;
	struct buf to = { 0 };
	int rc;

	(void)en;
	if (g->p->apart != NULL && g->p->apart(g->p->ctx, path))
		return 0;
	g->f->files++;
	(void)places_goes(g->p, set, path, VERDICT_HOME, &to);
	(void)buf_str(&to);
	rc = buf_ok(&to, e);
	if (rc == 0)
		rc = look_and_add(g, buf_str(&to), false, e);
	buf_reset(&to);
	if (rc < 0 || places_goes(g->p, set, path, VERDICT_ALTERNATE, &to)) {
		(void)buf_str(&to);
		if (rc == 0)
			rc = buf_ok(&to, e);
		if (rc == 0)
			rc = look_and_add(g, buf_str(&to), true, e);
	} else {
		g->f->unmapped++;
		keep(g, &g->at.lost, path, NULL);
	}
	buf_clear(&to);
	return rc;
}

static const char *
text_at(const struct buf *b, size_t at)
{
	return at == 0 ? NULL : (const char *)b->data + at - 1;
}

int
places_facts(const struct places *p, struct method_facts *f,
	     struct buf *memory, struct err *e)
{
	struct gather g = { .p = p, .f = f };

	memset(f, 0, sizeof(*f));
	if (places_each(p, add_file, &g, e) < 0 || buf_ok(&g.text, e) < 0) {
		buf_clear(&g.text);
		return -1;
	}
	buf_clear(memory);
	*memory = g.text;
	f->lost = text_at(memory, g.at.lost);
	f->home.first = text_at(memory, g.at.home_first);
	f->home.why = text_at(memory, g.at.home_why);
	f->alternate.first = text_at(memory, g.at.alt_first);
	f->alternate.why = text_at(memory, g.at.alt_why);
	return 0;
}
