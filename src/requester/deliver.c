/*
 * Files that go home are restored from the top of what the writer may touch,
 * in one run: directories that are missing on the way are made as they were,
 * others stay as they are.  Files that go elsewhere are restored file set by
 * file set, into the directory that takes the place of the set's.  A directory
 * takes no file's place: nobody asked for that one to go.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/deliver.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"
#include "src/engine/attrs.h"
#include "src/engine/inplace.h"
#include "src/engine/view.h"
#include "src/writer/metadata.h"
#include "store/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

/* One call of the engine, and what it is to take. */
struct pass {
	struct delivery *d;
	bool home;                     /* all that goes home beneath: */
	const char *anchor;            /* home */
	const struct place_set *set;   /* else: of this file set, */
	const struct place_extra *extra; /* or this one */
};

/* --- what is taken ---------------------------------------------------------- */

/* Is the directory on the way to a file set's files, or among them? */
static enum restore_wish
dir_of_spec(const char *path, const char *dir, const char *pattern,
	    bool recursive)
{
	if (recursive && path_beneath(path, dir) && strcmp(path, dir) != 0)
		return strcmp(pattern, "*") == 0 ? RESTORE_FILL : RESTORE_PASS;
	return path_beneath(dir, path) ? RESTORE_PASS : RESTORE_SKIP;
}

static enum restore_wish
dir_of_extra(const char *path, const struct place_extra *x)
{
	if (x->pattern != NULL)
		return dir_of_spec(path, x->path, x->pattern, x->recursive);
	return path_beneath(x->path, path) ? RESTORE_PASS : RESTORE_SKIP;
}

static bool
goes_home(const struct place_set *set)
{
	return set->wanted && set->to == NULL;
}

static enum restore_wish
wants_dir(const struct pass *r, const char *path)
{
	const struct places *p = r->d->places;
	const struct metadata_spec *spec;
	enum restore_wish best = RESTORE_SKIP;
	enum restore_wish one;
	size_t i;

	for (i = 0; i < p->document->files.count && best != RESTORE_FILL; i++) {
		if (r->home ? !goes_home(&p->set[i]) : r->set != &p->set[i])
			continue;
		spec = &p->set[i].files->spec;
		one = dir_of_spec(path, spec->dir, spec->pattern,
				  spec->recursive);
		best = one > best ? one : best;
	}
	for (i = 0; i < p->extras && best != RESTORE_FILL; i++) {
		if (!r->home && r->extra != &p->extra[i])
			continue;
		one = dir_of_extra(path, &p->extra[i]);
		best = one > best ? one : best;
	}
	return best;
}

static bool
is_apart(const struct places *p, const char *path)
{
	return p->apart != NULL && p->apart(p->ctx, path);
}

static enum restore_wish
wants(void *ctx, const char *path, const struct entry *en)
{
	const struct pass *r = ctx;
	const struct places *p = r->d->places;
	const struct place_set *set;
	const char *anchor;

	if (en->type == ENTRY_DIR)
		return wants_dir(r, path);
	if (!places_wants(p, path, &set) || is_apart(p, path))
		return RESTORE_SKIP;
	if (!r->home)
		return set == r->set ? RESTORE_TAKE : RESTORE_SKIP;
	if (set != NULL && !goes_home(set))
		return RESTORE_SKIP;
	anchor = places_anchor(p, path);
	return anchor != NULL && strcmp(anchor, r->anchor) == 0 ? RESTORE_TAKE
								: RESTORE_SKIP;
}

/* --- whole files ------------------------------------------------------------ */

static void
on_failed(void *ctx, const char *path, const struct err *why, bool damage)
{
	struct pass *r = ctx;
	struct delivery *d = r->d;

	if (d->failed != NULL)
		d->failed(d->ctx, path, why, damage);
}

/* From `from` in the generation into the directory `to`, which is made. */
static int
run_engine(struct pass *r, const char *from, const char *to, struct err *e)
{
	struct delivery *d = r->d;
	struct restore_result result = { 0 };
	struct node n = { 0 };
	int fd;
	struct restore_options opt = {
		.to = to,
		.at = &fd,
		.wants = wants,
		.repository = d->repository,
		.existing = d->existing,
		.no_owner = d->no_owner,
		.sync = true,
		.cancel = d->cancel,
		.failed = on_failed,
		.ctx = r,
	};
	int rc = view_path(d->places->gen, from, &n, e);

	node_clear(&n);
	if (rc != 0)
		return rc < 0 ? -1 : 0; /* the generation has none of it */
	fd = places_open_dir(d->places, to, !r->home, e);
	if (fd < 0)
		return -1;
	rc = restore_run(d->places->gen, from, true, &opt, &result, e);
	(void)sys_target->close(fd);
	d->files += result.files + result.others + result.links;
	d->bytes += result.bytes;
	d->failures += result.failed;
	d->damaged += result.damaged;
	/* A file that failed may be half there, too. */
	d->touched |= result.files + result.others + result.links > 0 ||
		      (d->existing == RESTORE_IN_PLACE && result.failed > 0) ||
		      rc < 0;
	return rc;
}

static int
deliver_home(struct delivery *d, struct err *e)
{
	const struct places *p = d->places;
	struct pass r = { .d = d, .home = true, .anchor = "/" };
	size_t i;

	if (!p->granted)
		return run_engine(&r, "/", "/", e);
	for (i = 0; i < p->grants; i++) {
		r.anchor = p->grant[i];
		/* What lies in another grant is reached through that one. */
		if (strcmp(places_anchor(p, r.anchor), r.anchor) == 0 &&
		    run_engine(&r, r.anchor, r.anchor, e) < 0)
			return -1;
	}
	return 0;
}

static int
deliver_set(struct delivery *d, const struct place_set *set, struct err *e)
{
	struct pass r = { .d = d, .set = set };
	struct buf to = { 0 };
	int rc = 0;

	if (places_goes_dir(d->places, set, set->files->spec.dir, d->verdict,
			    &to)) {
		(void)buf_str(&to);
		rc = buf_ok(&to, e);
		if (rc == 0)
			rc = run_engine(&r, set->files->spec.dir, buf_str(&to),
					e);
	}
	buf_clear(&to);
	return rc;
}

/* Only staged ones do not go home. */
static int
deliver_extra(struct delivery *d, const struct place_extra *x, struct err *e)
{
	struct pass r = { .d = d, .extra = x };
	struct buf from = { 0 };
	struct buf to = { 0 };
	size_t len = strlen(x->path);
	int rc;

	if (x->pattern == NULL)
		len = (size_t)(strrchr(x->path, '/') - x->path);
	buf_add(&from, x->path, len == 0 ? 1 : len);
	(void)places_goes_dir(d->places, NULL, buf_str(&from), d->verdict, &to);
	(void)buf_str(&to);
	rc = buf_ok(&from, e) < 0 || buf_ok(&to, e) < 0 ? -1 : 0;
	if (rc == 0)
		rc = run_engine(&r, buf_str(&from), buf_str(&to), e);
	buf_clear(&from);
	buf_clear(&to);
	return rc;
}

static int
deliver_whole(struct delivery *d, struct err *e)
{
	const struct places *p = d->places;
	size_t i;

	if (d->verdict == VERDICT_HOME && deliver_home(d, e) < 0)
		return -1;
	for (i = 0; i < p->document->files.count; i++) {
		if (!p->set[i].wanted ||
		    (d->verdict == VERDICT_HOME && p->set[i].to == NULL))
			continue;
		if (deliver_set(d, &p->set[i], e) < 0)
			return -1;
	}
	for (i = 0; d->verdict == VERDICT_STAGED && i < p->extras; i++)
		if (deliver_extra(d, &p->extra[i], e) < 0)
			return -1;
	return 0;
}

/* --- pieces ----------------------------------------------------------------- */

/* The source of a piece: a file of the restore that is long enough. */
static int
find_source(const struct delivery *d, const struct deliver_piece *q,
	    struct node *n, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const struct place_set *set;
	const struct range *r;
	size_t i;
	int rc;

	(void)path_show_in(shown, q->from, strlen(q->from));
	if (!places_wants(d->places, q->from, &set))
		return err_set(e, ERR_USAGE,
			       "%s is not a file of the component", shown);
	rc = view_path(d->places->gen, q->from, n, e);
	if (rc < 0)
		return -1;
	if (rc > 0 || n->entry.type != ENTRY_FILE)
		return err_set(e, ERR_USAGE, "%s is no file in generation %u",
			       shown, (unsigned)d->places->gen->number);
	for (i = 0; i < q->from_ranges.count; i++) {
		r = &q->from_ranges.r[i];
		if (r->off > n->entry.size || r->len > n->entry.size - r->off)
			return err_set(e, ERR_USAGE,
				       "%s has %" PRIu64
				       " bytes in the generation, and %" PRIu64
				       " at offset %" PRIu64 " are wanted",
				       shown, n->entry.size, r->len, r->off);
	}
	return 0;
}

static int
check_piece(const struct delivery *d, const struct deliver_piece *q,
	    struct err *e)
{
	char shown[PATH_SHOW_LEN];
	struct place_state s;
	struct node n = { 0 };
	int rc = find_source(d, q, &n, e);

	node_clear(&n);
	if (rc < 0 || places_look(d->places, q->to, &s, e) < 0)
		return -1;
	(void)path_show_in(shown, q->to, strlen(q->to));
	if (s.stuck)
		return err_set(e, ERR_USAGE, "%s: %s", shown, s.why);
	if (q->must_exist && !s.there)
		return err_set(e, ERR_USAGE,
			       "%s is not there, and only pieces of it are to "
			       "be written",
			       shown);
	return 0;
}

int
deliver_check(const struct delivery *d, struct err *e)
{
	size_t i;

	for (i = 0; i < d->pieces; i++)
		if (check_piece(d, &d->piece[i], e) < 0)
			return -1;
	return 0;
}

/* Open the target for reading and writing; *made: it was not there. */
static int
open_target(const struct delivery *d, const struct deliver_piece *q,
	    bool *made, struct err *e)
{
	const char *slash = strrchr(q->to, '/');
	struct open_how how = {
		.flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};
	struct buf dir = { 0 };
	struct stat st;
	int dirfd = -1;
	int fd = -1;

	*made = false;
	buf_add(&dir, q->to, slash == q->to ? 1 : (size_t)(slash - q->to));
	(void)buf_str(&dir);
	if (buf_ok(&dir, e) == 0)
		dirfd = places_open_dir(d->places, buf_str(&dir),
					!q->must_exist, e);
	if (dirfd < 0)
		goto out;
	fd = sys_target->openat2(dirfd, slash + 1, &how);
	if (fd < 0 && errno == ENOENT && !q->must_exist) {
		how.flags |= O_CREAT | O_EXCL;
		how.mode = 0600;
		fd = sys_target->openat2(dirfd, slash + 1, &how);
		*made = fd >= 0;
	}
	if (fd < 0) {
		(void)err_sys(e, "open it");
	} else if (sys_target->fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void)err_set(e, ERR_USAGE, "it is no file");
		(void)sys_target->close(fd);
		fd = -1;
	}
out:
	if (dirfd >= 0)
		(void)sys_target->close(dirfd);
	buf_clear(&dir);
	return fd;
}

/* What is made for pieces gets what the file had that they come from. */
static int
give_attrs(struct delivery *d, const struct entry *en, int fd, bool *damage,
	   struct err *e)
{
	struct view_gen *gen = d->places->gen;
	struct attrs_at at = { .fd = fd, .mode = ATTRS_MODE_UNKNOWN };
	struct attrs *attrs;
	int rc;

	if (attrs_new(&gen->record, false, d->no_owner, &attrs, e) < 0)
		return -1;
	rc = attrs_apply(attrs, gen->reader, en, &at, damage, e);
	attrs_free(attrs);
	return rc;
}

static bool
is_cancelled(void *ctx)
{
	const struct delivery *d = ctx;

	return d->cancel != NULL && *d->cancel != 0;
}

static int
write_piece(struct delivery *d, const struct deliver_piece *q,
	    const struct entry *en, int fd, bool *damage, struct err *e)
{
	struct inplace w = {
		.reader = d->places->gen->reader,
		.keys = d->repository != NULL ? &d->repository->keys : NULL,
		.en = en,
		.fd = fd,
		.stopped = is_cancelled,
		.ctx = d,
	};
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < q->from_ranges.count; i++) {
		rc = inplace_copy(&w, q->from_ranges.r[i].off,
				  q->from_ranges.r[i].len,
				  q->to_ranges.r[i].off, e);
		if (rc == 0)
			d->bytes += q->from_ranges.r[i].len;
	}
	d->touched |= w.written + w.punched > 0 || rc < 0;
	*damage |= w.damage;
	return rc;
}

/* Of a file that was made, the name is to be durable, too. */
static int
sync_piece(int fd, bool made)
{
	int rc;

	do
		rc = made ? sys_target->syncfs(fd) : sys_target->fdatasync(fd);
	while (rc < 0 && errno == EINTR);
	return rc;
}

static int
put_piece(struct delivery *d, const struct deliver_piece *q, bool *damage,
	  struct err *e)
{
	struct node n = { 0 };
	bool made = false;
	int fd = -1;
	int rc = find_source(d, q, &n, e);

	if (rc == 0)
		fd = open_target(d, q, &made, e);
	if (fd < 0) {
		node_clear(&n);
		return -1;
	}
	d->touched |= made;
	rc = write_piece(d, q, &n.entry, fd, damage, e);
	if (rc == 0 && made)
		rc = give_attrs(d, &n.entry, fd, damage, e);
	if (rc == 0 && sync_piece(fd, made) < 0)
		rc = err_sys(e, "sync it");
	if (sys_target->close(fd) < 0 && rc == 0)
		rc = err_sys(e, "close it");
	node_clear(&n);
	return rc;
}

static int
deliver_pieces(struct delivery *d, struct err *e)
{
	size_t i;

	for (i = 0; i < d->pieces; i++) {
		struct err why = { 0 };
		bool damage = false;

		if (put_piece(d, &d->piece[i], &damage, &why) == 0) {
			d->files++;
			continue;
		}
		if (why.kind == ERR_CANCELLED || why.kind == ERR_NOMEM) {
			err_move(e, &why);
			return -1;
		}
		d->failures++;
		d->damaged += damage;
		if (d->failed != NULL)
			d->failed(d->ctx, d->piece[i].to, &why, damage);
	}
	return 0;
}

int
deliver(struct delivery *d, struct err *e)
{
	if (deliver_whole(d, e) < 0)
		return -1;
	return deliver_pieces(d, e);
}
