/*
 * still.c
 *
 * Holding still: writers are frozen, the snapshot is made, writers are thawed.
 * Nothing else is done between freeze and thaw.
 *
 * A writer that cannot be frozen vetoes: all are thawed.  If components may fail
 * (the default) those of that writer have, and the others are made ready once
 * more: each turn has a writer less, so there is an end.  What a writer that
 * failed has in the snapshot is as good as after a crash, and is kept as plain
 * files.  If the snapshot cannot be made, or not within the window, there is
 * nothing to go on with, and the run fails: a backup that was asked for with a
 * snapshot is not made without one.
 *
 * The generation's moment is the one before the snapshot was begun: what it shows
 * is not older, and comparing by time may only err to more reading.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/run.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "base/time.h"
#include "src/snapshot/snapshot.h"
#include "src/writer/metadata.h"
#include "src/writer/rundir.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define WINDOW_S 60

static unsigned
window(const struct run *r)
{
	return r->o->window_s > 0 ? r->o->window_s : WINDOW_S;
}

/* --- what is to be in it ----------------------------------------------------- */

static bool
is_dir(const char *path)
{
	struct statx st;

	return src_stat(AT_FDCWD, path, &st, NULL) == 0 &&
	       S_ISDIR(st.stx_mode);
}

int
still_open(struct run *r, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	size_t i;

	if (r->o->snapshot == NULL)
		return 0;
	if (snapshot_new(r->o->snapshot, &r->snapshot, e) < 0)
		return -1;
	for (i = 0; i < r->facts.sources; i++) {
		const char *source = r->facts.source[i];

		if (!is_dir(source))
			return err_set(e, ERR_USAGE,
				       "%s: is no directory: a snapshot is "
				       "made of directories",
				       path_show_in(shown, source,
						    strlen(source)));
		if (snapshot_add(r->snapshot, source, e) < 0)
			return -1;
	}
	return 0;
}

static bool
is_held(const struct run *r, const char *dir)
{
	size_t i;

	for (i = 0; i < snapshot_count(r->snapshot); i++)
		if (path_beneath(dir, snapshot_source(r->snapshot, i)))
			return true;
	return false;
}

/*
 * May it name this directory, now?  One that it may not, or that is not there, is
 * not in the snapshot; what is to be said of it, whoever reads it says.
 */
static bool
may_name(const struct claims_component *c, const char *dir)
{
	int root;
	int fd;

	if (c->resolver != NULL)
		return resolve_dir(c->resolver, dir, NULL) == 0 && is_dir(dir);
	root = src_open(AT_FDCWD, "/", O_DIRECTORY | O_PATH, NULL);
	if (root < 0)
		return false;
	fd = src_open_beneath(root, dir[1] != '\0' ? dir + 1 : ".",
			      O_DIRECTORY | O_PATH, NULL);
	src_close(fd);
	src_close(root);
	return fd >= 0;
}

/* Where a file set is read, as a path without a slash at its end; or NULL. */
static const char *
read_at(struct run *r, const struct metadata_files *f, struct err *e)
{
	const char *text = f->alternate != NULL ? f->alternate : f->spec.dir;
	size_t len = strlen(text);

	if (len > 1 && text[len - 1] == '/')
		len--;
	return run_text(r, "%.*s", e, (int)len, text);
}

static int
add_set(struct run *r, const struct claims_component *c,
	const struct metadata_files *f, struct err *e)
{
	const char *dir = read_at(r, f, e);

	if (dir == NULL)
		return -1;
	if (is_held(r, dir) || !may_name(c, dir))
		return 0;
	return snapshot_add(r->snapshot, dir, e);
}

/* Members outside of the sources are read from the snapshot, too. */
static int
add_members(struct run *r, const struct claims_component *c, struct err *e)
{
	const struct metadata *m = c->document;
	size_t i;

	for (i = 0; i < m->files.count; i++) {
		const struct metadata_files *f = &m->files.v[i];

		if (metadata_managing(m, c->chosen, f->component) ==
			    c->component &&
		    add_set(r, c, f, e) < 0)
			return -1;
	}
	return 0;
}

int
still_announce(struct run *r, struct err *e)
{
	bool atomic = false;
	size_t i;

	if (r->snapshot == NULL)
		return 0;
	for (i = 0; i < r->components; i++)
		if (add_members(r, &r->claim[i], e) < 0)
			return -1;
	if (snapshot_promise(r->snapshot, window(r), r->b->cancel, &atomic, e) <
	    0)
		return -1;
	return atomic ? client_atomic(r->client, e) : 0;
}

/* --- making it ---------------------------------------------------------------- */

static int
make(struct run *r, struct err *e)
{
	size_t n = snapshot_count(r->snapshot);
	struct standin *v = run_take(r, n * sizeof(*v), e);
	struct ts instant;
	size_t i;

	if (v == NULL)
		return -1;
	for (i = 0; i < n; i++) {
		v[i].source = snapshot_source(r->snapshot, i);
		if (standin_look_source(&v[i], e) < 0)
			return -1;
	}
	instant = time_now_coarse();
	if (snapshot_create(r->snapshot, window(r), r->b->cancel, e) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		v[i].place = snapshot_place(r->snapshot, i);
		if (standin_look_place(&v[i], e) < 0)
			return -1;
	}
	r->standins = (struct standins){ .v = v, .count = n };
	backup_snapshot(r->job, &r->standins, instant);
	return 0;
}

/* --- with writers --------------------------------------------------------------- */

static const char *
told_by(const struct run_writer *w)
{
	return w->said != NULL ? w->said : "it has gone";
}

/* Look who is left; with --writer-failure=abort all must be. */
static int
look(struct run *r, struct err *e)
{
	size_t i;

	if (cast_look(r, e) < 0)
		return -1;
	for (i = 0; i < r->components && r->o->abort_on_failure; i++) {
		const struct run_writer *w = &r->writer[r->component[i].writer];

		if (!cast_is_in(r, i))
			return err_set(e, ERR_SOURCE,
				       "writer %s failed: %s: %s", w->name,
				       w->failed_at != 0 ?
					       event_name(w->failed_at) :
					       "its program",
				       told_by(w));
	}
	return 0;
}

static int
freeze(struct run *r, struct err *e)
{
	bool vetoed = true;

	while (vetoed) {
		if (client_ready(r->client, e) < 0 || look(r, e) < 0 ||
		    client_freeze(r->client, &vetoed, e) < 0 || look(r, e) < 0)
			return -1;
		if (vetoed)
			run_note(r, "a writer could not be frozen: the others "
				    "are asked again");
	}
	return 0;
}

/* The first of those whose window ended. */
static int
window_ended(const struct run *r, struct err *e)
{
	size_t i;

	for (i = 0; i < r->writers; i++)
		if (r->writer[i].taking && r->writer[i].state != PART_TAKING &&
		    r->writer[i].failure == FAILURE_TIMEOUT)
			return err_set(e, ERR_SOURCE,
				       "the snapshot came too late: writer "
				       "%s: %s",
				       r->writer[i].name,
				       told_by(&r->writer[i]));
	return err_set(e, ERR_SOURCE,
		       "the snapshot came too late: a window had ended");
}

static int
thaw(struct run *r, struct err *e)
{
	return client_thaw(r->client, e) < 0 ? -1 : look(r, e);
}

/* --- telling of it ---------------------------------------------------------- */

/*
 * Where to find in the snapshot what is at `dir`: NULL and no error when it is
 * not there.  A writer may delete from what it is told: a way with a symlink
 * may lead out of the snapshot, and a provider may have named the directory
 * itself.
 */
static int
find_place(struct run *r, const char *dir, const char **out, struct err *e)
{
	struct buf where = { 0 };
	struct statx own;
	struct statx st;
	int root = -1;
	int fd = -1;
	int rc = standin_path(&r->standins, dir, &where, e);

	*out = NULL;
	if (rc < 0 || strcmp(buf_str(&where), dir) == 0)
		goto out;
	root = src_open(AT_FDCWD, "/", O_DIRECTORY | O_PATH, NULL);
	if (root >= 0)
		fd = src_open_beneath(root, buf_str(&where) + 1,
				      O_DIRECTORY | O_PATH, NULL);
	if (fd < 0 || src_stat(fd, "", &st, NULL) < 0)
		goto out;
	if (src_stat(AT_FDCWD, dir, &own, NULL) == 0 &&
	    own.stx_ino == st.stx_ino &&
	    own.stx_dev_major == st.stx_dev_major &&
	    own.stx_dev_minor == st.stx_dev_minor)
		goto out;
	*out = run_text(r, "%s", e, buf_str(&where));
	rc = *out != NULL ? 0 : -1;
out:
	src_close(fd);
	src_close(root);
	buf_clear(&where);
	return rc;
}

struct places {
	struct round_place *v;
	size_t count;
};

static bool
is_told(const struct places *p, size_t first, const char *dir)
{
	for (; first < p->count; first++)
		if (strcmp(p->v[first].dir, dir) == 0)
			return true;
	return false;
}

/* Each directory of its file sets, once. */
static int
list_places(struct run *r, size_t component, struct places *p, struct err *e)
{
	const struct claims_component *c = &r->claim[component];
	const struct metadata *m = c->document;
	size_t first = p->count;
	struct round_place *more;
	struct round_place at = { .writer = c->writer,
				  .component = r->component[component].name };
	size_t i;

	more = mem_resize(p->v, p->count + m->files.count + 1, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	p->v = more;
	for (i = 0; i < m->files.count; i++) {
		const struct metadata_files *f = &m->files.v[i];

		if (metadata_managing(m, c->chosen, f->component) !=
		    c->component)
			continue;
		at.dir = read_at(r, f, e);
		if (at.dir == NULL)
			return -1;
		if (is_told(p, first, at.dir))
			continue;
		if (find_place(r, at.dir, &at.place, e) < 0)
			return -1;
		if (at.place != NULL && p->count < ROUND_PLACES_MAX)
			more[p->count++] = at;
	}
	return 0;
}

static int
announce(struct run *r, struct err *e)
{
	struct places p = { .v = NULL };
	struct err why = { 0 };
	size_t i;
	int rc = 0;

	for (i = 0; i < r->components && rc == 0; i++)
		if (cast_is_in(r, i))
			rc = list_places(r, i, &p, e);
	if (rc == 0)
		rc = client_snapshot(r->client, p.v, p.count, &why);
	mem_free(p.v);
	if (rc == 0)
		return look(r, e);
	if (why.kind == ERR_USAGE)
		return window_ended(r, e);
	err_move(e, &why);
	return -1;
}

int
still_with_writers(struct run *r, struct err *e)
{
	if (r->snapshot == NULL)
		return 0;
	return freeze(r, e) < 0 || make(r, e) < 0 || thaw(r, e) < 0 ||
			       announce(r, e) < 0 ?
		       -1 :
		       0;
}

/* --- without -------------------------------------------------------------------- */

/* One snapshot at a time on this machine. */
static int
take_turn(const struct run *r, int *lock, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
	int rc;

	while ((rc = rundir_exclusive(lock, e)) == 1) {
		if (r->b->cancel != NULL && atomic_load(r->b->cancel) != 0)
			return err_set(e, ERR_CANCELLED, "interrupted");
		(void)nanosleep(&pause, NULL);
	}
	return rc;
}

int
still_alone(struct run *r, struct err *e)
{
	int lock = -1;
	int rc;

	if (r->snapshot == NULL)
		return 0;
	if (take_turn(r, &lock, e) < 0)
		return -1;
	rc = make(r, e);
	(void)io_close(lock, "snapshot lock", NULL);
	return rc;
}

/* --- the end -------------------------------------------------------------------- */

void
still_end(struct run *r)
{
	struct err why = { 0 };

	if (r->snapshot != NULL && snapshot_destroy(r->snapshot, &why) < 0)
		run_note(r, "the snapshot could not be taken away: %s",
			 why.text);
}
