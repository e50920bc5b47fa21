/*
 * One backup run, from the sources to a published record.
 *
 *   sources ─▶ set and its lock ─▶ base ─▶ walk, read, store (scan.h, feed.h,
 *   ingest.h, collect.h) ─▶ writer_flush: all chunks durable ─▶ record
 *   published ─▶ report
 *
 * A failure anywhere before the record leaves nothing but packs that no
 * record refers to.  A source's failure is kept with its file; a failure of
 * the repository ends the run: the two never mix, they are different error kinds.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/backup.h"

#include "base/mem.h"
#include "base/io.h"
#include "base/path.h"
#include "base/src.h"
#include "base/sys.h"
#include "config.h"
#include "src/engine/backup_internal.h"
#include "src/engine/claims.h"
#include "src/engine/collect.h"
#include "src/engine/exclude.h"
#include "src/engine/feed.h"
#include "src/engine/generation.h"
#include "src/engine/names.h"
#include "src/engine/scan.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"
#include "store/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* --- telling ---------------------------------------------------------------- */

static void
note(struct backup *b, const char *text)
{
	if (b->opt->note == NULL)
		return;
	pthread_mutex_lock(&b->note_lock);
	b->opt->note(b->opt->ctx, text);
	pthread_mutex_unlock(&b->note_lock);
}

void
backup_note(struct backup *b, const struct dir *d, const char *text)
{
	struct buf path = { 0 }, line = { 0 };

	dir_path(d, NULL, &path);
	path_show(&line, path.data, path.len);
	buf_printf(&line, ": %s", text);
	note(b, buf_str(&line));
	buf_clear(&path);
	buf_clear(&line);
}

/* --- mounts and file systems -------------------------------------------------- */

struct mount_line {
	unsigned major, minor;
	char type[64];
	char point[1024]; /* cut when longer: for people only */
};

/* The mountinfo line of a device number; false when there is none. */
static bool
find_mount(unsigned major, unsigned minor, struct mount_line *out)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;
	bool found = false;

	if (f == NULL)
		return false;
	while (!found && getline(&line, &cap, f) > 0) {
		const char *dash = strstr(line, " - ");

		found = dash != NULL &&
			sscanf(line, "%*d %*d %u:%u %*s %1023s", &out->major,
			       &out->minor, out->point) == 3 &&
			out->major == major && out->minor == minor &&
			sscanf(dash, " - %63s", out->type) == 1;
	}
	free(line);
	fclose(f);
	return found;
}

/* Of generations, or of control files (fuse.asof-control). */
bool
backup_is_our_mount(int fd)
{
	static const char type[] = "fuse.asof";
	struct mount_line m;
	struct statx st;

	return src_stat(fd, "", &st, NULL) == 0 &&
	       find_mount(st.stx_dev_major, st.stx_dev_minor, &m) &&
	       strncmp(m.type, type, sizeof(type) - 1) == 0;
}

/* The identity of the file system that holds `name` below dirfd. */
static int
identify(const struct statx *st, int dirfd, const char *name,
	 char id[SRC_FSID_MAX], uint64_t *type, struct err *e)
{
	int fd = dirfd, rc;

	*type = 0;
	if (name != NULL && !S_ISREG(st->stx_mode)) {
		/* Opening a device is not ours to do. */
		snprintf(id, SRC_FSID_MAX, "dev:%u:%u", st->stx_dev_major,
			 st->stx_dev_minor);
		return 0;
	}
	if (name != NULL) {
		fd = src_open(dirfd, name, 0, e);
		if (fd < 0)
			return -1;
	}
	rc = src_fs_id(fd, id, e);
	*type = (uint64_t)src_fs_type(fd);
	if (name != NULL)
		src_close(fd);
	return rc;
}

static int
fs_append(struct fs_table *t, const char *id, uint64_t dev, bool met,
	  uint64_t type, struct err *e)
{
	struct fs_seen *grown;

	if (t->count == FS_MAX)
		return err_set(e, ERR_SOURCE, "more than %d file systems",
			       FS_MAX);
	grown = mem_resize(t->fs, t->count + 1, sizeof(*grown));
	if (grown == NULL)
		return err_nomem(e);
	t->fs = grown;
	memset(&grown[t->count], 0, sizeof(*grown));
	grown[t->count].id = mem_strdup(id);
	if (grown[t->count].id == NULL)
		return err_nomem(e);
	grown[t->count].dev = dev;
	grown[t->count].met = met;
	grown[t->count].type = type;
	t->count++;
	return 0;
}

static int
fs_index_locked(struct fs_table *t, const struct statx *st, int dirfd,
		const char *name, uint32_t *out, struct err *e)
{
	uint64_t dev = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
	char id[SRC_FSID_MAX];
	uint64_t type;
	size_t i;

	for (i = 0; i < t->count; i++)
		if (t->fs[i].met && t->fs[i].dev == dev) {
			*out = (uint32_t)i;
			return 0;
		}
	if (identify(st, dirfd, name, id, &type, e) < 0)
		return -1;
	for (i = 0; i < t->count; i++)
		if (!t->fs[i].met && strcmp(t->fs[i].id, id) == 0)
			break;
	if (i == t->count) {
		if (fs_append(t, id, dev, true, type, e) < 0)
			return -1;
	} else {
		t->fs[i].met = true;
		t->fs[i].dev = dev;
		t->fs[i].type = type;
	}
	*out = (uint32_t)i;
	return 0;
}

/* The file system that a snapshot is of, whatever the snapshot lies on. */
static int
fs_standin_locked(struct fs_table *t, const struct standin *in, uint32_t *out,
		  struct err *e)
{
	size_t i;

	for (i = 0; i < t->count; i++)
		if (strcmp(t->fs[i].id, in->fs) == 0)
			break;
	if (i == t->count &&
	    fs_append(t, in->fs, in->source_dev, true, in->fs_type, e) < 0)
		return -1;
	if (!t->fs[i].met) {
		t->fs[i].met = true;
		t->fs[i].dev = in->source_dev;
		t->fs[i].type = in->fs_type;
	}
	*out = (uint32_t)i;
	return 0;
}

int
backup_fs(struct backup *b, const struct standin *in, const struct statx *st,
	  int dirfd, const char *name, uint32_t *out, struct err *e)
{
	int rc;

	pthread_mutex_lock(&b->fs.lock);
	if (standin_has(in, st))
		rc = fs_standin_locked(&b->fs, in, out, e);
	else
		rc = fs_index_locked(&b->fs, st, dirfd, name, out, e);
	pthread_mutex_unlock(&b->fs.lock);
	return rc;
}

int
backup_fs_of(struct backup *b, const struct record *rec, uint64_t fs,
	     uint32_t *out, struct err *e)
{
	const struct record_fs *from;
	size_t i;
	int rc = 0;

	if (fs >= rec->fs_count)
		return err_set(e, ERR_CORRUPT,
			       "an entry of generation %u names no file system",
			       (unsigned)rec->number);
	from = &rec->fs[fs];
	pthread_mutex_lock(&b->fs.lock);
	for (i = 0; i < b->fs.count; i++)
		if (strcmp(b->fs.fs[i].id, from->id) == 0)
			break;
	if (i == b->fs.count)
		rc = fs_append(&b->fs, from->id, 0, false, from->type, e);
	pthread_mutex_unlock(&b->fs.lock);
	if (rc == 0)
		*out = (uint32_t)i;
	return rc;
}

/* --- set and base ---------------------------------------------------------------- */

/* What is decided before the walk. */
struct run {
	struct buf machine, host, set;
	uint8_t set_id[16];
	uint8_t id[16]; /* that the generation will have */
	struct generation_list list;
	const struct generation *base;   /* that it compares with */
	const struct generation *newest; /* of the set: hints for full, copy */
	enum generation_type session_type;
};

/* With a NUL behind it, which buf_str then always finds room for. */
static int
as_string(struct buf *b, struct err *e)
{
	(void)buf_str(b);
	return buf_ok(b, e);
}

/*
 * A new set's id follows from what makes it one, so that two runs that found
 * it at the same time meet at the same lock.
 */
static int
derive_set_id(const struct backup *b, const struct run *r, bool named,
	      uint8_t out[16], struct err *e)
{
	struct buf all = { 0 };
	int rc;

	buf_add(&all, b->config->id, sizeof(b->config->id));
	if (named) {
		buf_add(&all, r->set.data, r->set.len);
	} else {
		buf_add(&all, r->machine.data, r->machine.len);
		for (size_t i = 0; i < b->sources.count; i++)
			buf_add(&all, b->sources.resolved[i],
				strlen(b->sources.resolved[i]) + 1);
	}
	rc = buf_ok(&all, e);
	if (rc == 0)
		hash_plain(all.data, all.len, out, 16);
	buf_clear(&all);
	return rc;
}

static int
find_set(struct backup *b, struct run *r, struct err *e)
{
	const struct backup_options *o = b->opt;
	char shown[PATH_SHOW_LEN];
	int rc;

	if (o->set != NULL && !set_name_ok(o->set))
		return err_set(e, ERR_USAGE,
			       "%s: not a set name (letters, digits, . _ -, at "
			       "most %d; not latest, current or all)",
			       path_show_in(shown, o->set, strlen(o->set)),
			       SET_NAME_MAX);
	rc = generation_find_set(&r->list, o->set, buf_str(&r->machine),
				 (const char *const *)b->sources.resolved,
				 b->sources.count, &r->newest, e);
	if (rc < 0)
		return -1;
	buf_reset(&r->set);
	if (rc == 0) {
		buf_add_str(&r->set, r->newest->record.set);
		memcpy(r->set_id, r->newest->record.set_id, 16);
		return as_string(&r->set, e);
	}
	r->newest = NULL;
	if (o->set != NULL)
		buf_add_str(&r->set, o->set);
	else if (generation_new_set_name(&r->list, buf_str(&r->host), &r->set,
					 e) < 0)
		return -1;
	if (as_string(&r->set, e) < 0)
		return -1;
	return derive_set_id(b, r, o->set != NULL, r->set_id, e);
}

static int
load_list(struct backup *b, struct run *r, struct err *e)
{
	generation_list_clear(&r->list);
	return generation_list_load(store_repository(b->store), &r->list, e);
}

/* The set, and the right to add to it. */
static int
take_set(struct backup *b, struct run *r, struct err *e)
{
	struct session *s = store_session(b->store);
	const struct timespec second = { .tv_sec = 1 };
	bool told = false;

	for (;;) {
		int rc;

		if (load_list(b, r, e) < 0 || find_set(b, r, e) < 0)
			return -1;
		rc = session_lock_set(s, r->set_id, e);
		if (rc < 0)
			return -1;
		if (rc == 0)
			break;
		if (!b->opt->wait)
			return err_set(e, ERR_BUSY,
				       "another backup of set %s is running",
				       buf_str(&r->set));
		if (b->opt->cancel != NULL && *b->opt->cancel != 0)
			return err_set(e, ERR_CANCELLED, "interrupted");
		if (!told)
			note(b, "waiting for another backup of this set");
		told = true;
		nanosleep(&second, NULL);
	}
	/* What another run published before we had the lock counts too. */
	return load_list(b, r, e) < 0 || find_set(b, r, e) < 0 ? -1 : 0;
}

/* Say of newer generations why none of them was taken. */
static void
note_damaged(struct backup *b, const struct run *r)
{
	struct buf line = { 0 };

	for (size_t i = 0; i < r->list.count; i++) {
		const struct generation *g = &r->list.item[i];

		if (!g->damaged ||
		    (r->newest != NULL && g->number < r->newest->number))
			continue;
		buf_reset(&line);
		buf_printf(&line, "passed over: %s", g->why);
		note(b, buf_str(&line));
	}
	buf_clear(&line);
}

static void
choose_base(struct backup *b, struct run *r)
{
	uint32_t lost = store_lost_until(b->store);

	note_damaged(b, r);
	r->session_type = b->opt->type;
	generation_base(&r->list, r->set_id, r->session_type, &r->base);
	if ((r->session_type == GEN_INCREMENTAL ||
	     r->session_type == GEN_DIFFERENTIAL ||
	     r->session_type == GEN_LOG) &&
	    r->base == NULL) {
		note(b, "no generation to compare with: this one is full");
		r->session_type = GEN_FULL;
	}
	b->type = r->session_type;
	b->lost_until = lost;
	if (r->base != NULL && r->base->number <= lost &&
	    r->session_type == GEN_LOG)
		r->session_type = GEN_FULL;
	if (r->base != NULL && r->base->number <= lost) {
		note(b, "packs have vanished from the repository: everything "
			"is read");
		b->type = GEN_FULL;
		r->base = NULL;
	}
	/* A full compares with nothing; chunk classes still follow the last. */
	if (r->base != NULL)
		b->base = (struct record *)(uintptr_t)&r->base->record;
	else if (r->newest != NULL && !r->newest->damaged)
		b->base = (struct record *)(uintptr_t)&r->newest->record;
}

/* Is there something to be stored anew that is not asked for otherwise? */
static int
look_for_damage(struct backup *b, const struct run *r, struct err *e)
{
	int rc = r->base == NULL ? 0 : store_misses(b->store, e);

	if (rc < 0)
		return -1;
	b->misses = rc == 1;
	if (b->misses)
		note(b, "packs are damaged: files that have lost something "
			"are read again");
	return 0;
}

static int
inherit_fs(struct backup *b, struct err *e)
{
	if (b->base == NULL)
		return 0;
	for (size_t i = 0; i < b->base->fs_count; i++)
		if (fs_append(&b->fs, b->base->fs[i].id, 0, false,
			      b->base->fs[i].type, e) < 0)
			return -1;
	return 0;
}

static int
prepare(struct backup *b, struct run *r, struct err *e)
{
	const struct repository *repo = store_repository(b->store);

	if (repository_want_write(repo, e) < 0)
		return -1;
	if (sources_resolve(b->opt->sources, b->opt->source_count, &b->sources,
			    e) < 0)
		return -1;
	for (size_t i = 0; b->opt->exclude != NULL && i < b->sources.count; i++)
		if (exclude_add_source(b->opt->exclude,
				       b->sources.resolved[i], e) < 0)
			return -1;
	if (sys_repo->fstat(repo->fd, &b->repository) < 0)
		return err_sys(e, "%s", repo->path);
	for (size_t i = 0; i < b->config->classes; i++)
		chunker_init(&b->chunker[i], b->config->chunker_seed,
			     b->config->class_table[i].avg);
	if (names_machine(&r->machine, e) < 0 ||
	    as_string(&r->machine, e) < 0 || names_host(&r->host, e) < 0 ||
	    as_string(&r->host, e) < 0)
		return -1;
	if (take_set(b, r, e) < 0)
		return -1;
	choose_base(b, r);
	if (look_for_damage(b, r, e) < 0)
		return -1;
	return inherit_fs(b, e);
}

/* --- the walk ----------------------------------------------------------------------- */

static int
walk(struct backup *b, struct collected *got, struct err *e)
{
	struct dir *top = NULL;
	struct feed *feed = NULL;
	int rc = -1;

	if (scan_top(b, &top, e) < 0)
		return -1;
	if (feed_start(b, top, &feed, e) == 0)
		rc = collect_run(b, top, got, e);
	feed_stop(feed);
	b->feed = NULL;
	dir_unref(top);
	return rc;
}

/* A log run takes the base's tree; what is new in it is handed over. */
static int
log_run(struct backup *b, struct collected *got, struct err *e)
{
	struct feed *feed = NULL;
	int rc = -1;

	if (feed_open(b, &feed, e) == 0)
		rc = collect_log(b, got, e);
	feed_stop(feed);
	b->feed = NULL;
	return rc;
}

/*
 * Walk, and walk again if the base turns out to be damaged: files that were
 * taken from it unread may hang on what is lost, so now all are read.
 */
static int
walk_all(struct backup *b, struct run *r, struct collected *got,
	 struct err *e)
{
	const struct collected none = { .entries = 0 };

	if (r->session_type == GEN_LOG)
		return log_run(b, got, e);
	if (walk(b, got, e) < 0)
		return -1;
	if (!backup_walks_again(b))
		return 0;
	note(b, "the generation to compare with is damaged: everything is "
		"read");
	collected_clear(got);
	*got = none;
	b->type = GEN_FULL;
	b->damaged_base = b->base->number;
	b->base = NULL;
	r->base = NULL;
	return walk(b, got, e);
}

/* --- the record ---------------------------------------------------------------------- */

/* Tables of a record under construction. */
struct tables {
	struct record_source *source;
	struct record_fs *fs;
	struct record_base base;
	const char **exclude;
	char (*mount_point)[1024];
	struct buf user_memory, group_memory;
};

static void
tables_clear(struct tables *t, struct record *rec)
{
	mem_free(t->source);
	mem_free(t->fs);
	mem_free((void *)(uintptr_t)t->exclude);
	mem_free(t->mount_point);
	mem_free(rec->user);
	mem_free(rec->group);
	buf_clear(&t->user_memory);
	buf_clear(&t->group_memory);
}

static int
fill_fs(const struct backup *b, struct tables *t, struct record *rec,
	struct err *e)
{
	size_t n = b->fs.count;

	t->fs = mem_array(n + 1, sizeof(*t->fs));
	t->mount_point = mem_array(n + 1, sizeof(*t->mount_point));
	if (t->fs == NULL || t->mount_point == NULL)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		const struct fs_seen *f = &b->fs.fs[i];
		struct mount_line m;

		t->fs[i].id = f->id;
		t->fs[i].type = f->type;
		t->fs[i].mount_point = t->mount_point[i];
		if (f->met && find_mount((unsigned)(f->dev >> 32),
					 (unsigned)f->dev, &m))
			memcpy(t->mount_point[i], m.point, sizeof(m.point));
	}
	rec->fs = t->fs;
	rec->fs_count = n;
	return 0;
}

static int
fill_tables(const struct backup *b, const struct run *r,
	    const struct collected *got, struct tables *t, struct record *rec,
	    struct err *e)
{
	const struct exclude *x = b->opt->exclude;
	size_t excludes = x != NULL ? exclude_count(x) : 0;

	t->source = mem_array(b->sources.count, sizeof(*t->source));
	t->exclude = mem_array(excludes + 1, sizeof(*t->exclude));
	if (t->source == NULL || t->exclude == NULL)
		return err_nomem(e);
	for (size_t i = 0; i < b->sources.count; i++) {
		t->source[i].typed = b->sources.typed[i];
		t->source[i].resolved = b->sources.resolved[i];
	}
	rec->source = t->source;
	rec->source_count = b->sources.count;
	for (size_t i = 0; i < excludes; i++)
		t->exclude[i] = exclude_pattern(x, i);
	rec->exclude = t->exclude;
	rec->exclude_count = excludes;
	if (r->base != NULL) {
		t->base.number = r->base->number;
		memcpy(t->base.id, r->base->record.id, sizeof(t->base.id));
		rec->base = &t->base;
		rec->base_count = 1;
	}
	if (fill_fs(b, t, rec, e) < 0)
		return -1;
	if (names_users(&got->users, &t->user_memory, &rec->user,
			&rec->user_count, e) < 0)
		return -1;
	return names_groups(&got->groups, &t->group_memory, &rec->group,
			    &rec->group_count, e);
}

/* Incrementals and differentials since the last full, this one included. */
static void
count_since_full(const struct run *r, struct record *rec)
{
	if (rec->effective_type == GEN_FULL && rec->session_type != GEN_COPY)
		return;
	if (r->newest != NULL && !r->newest->damaged) {
		rec->incrementals = r->newest->record.incrementals;
		rec->differentials = r->newest->record.differentials;
	}
	rec->incrementals += rec->session_type == GEN_INCREMENTAL;
	rec->differentials += rec->session_type == GEN_DIFFERENTIAL;
}

static void
fill_record(const struct backup *b, struct run *r,
	    const struct collected *got, struct record *rec)
{
	struct writer_stats ws;

	memcpy(rec->repository_id, b->config->id, 16);
	memcpy(rec->set_id, r->set_id, 16);
	memcpy(rec->id, r->id, sizeof(rec->id));
	rec->set = buf_str(&r->set);
	rec->machine = buf_str(&r->machine);
	rec->host = buf_str(&r->host);
	rec->session_type = (uint8_t)r->session_type;
	rec->effective_type = (uint8_t)b->type;
	rec->start = b->start;
	rec->instant = b->instant;
	rec->end = time_now();
	rec->root = got->root;
	rec->session = got->session;
	rec->links = got->links;
	rec->link_count = got->link_count;
	rec->exceptions = got->exceptions;
	rec->exception_count = got->exception_count;
	writer_stats(b->writer, &ws);
	rec->counts.entries = got->entries;
	rec->counts.inodes = got->inodes;
	rec->counts.bytes = got->bytes;
	rec->counts.files_read = got->files_read;
	rec->counts.bytes_read = got->bytes_read;
	rec->counts.errors = got->errors;
	rec->counts.chunks_new = ws.chunks_new;
	rec->counts.bytes_stored = ws.bytes_stored;
	rec->counts.xattrs = got->xattrs;
	rec->tool = PACKAGE_STRING;
	rec->comment = b->opt->comment != NULL ? b->opt->comment : "";
	count_since_full(r, rec);
}

static void
fill_result(const struct backup *b, const struct run *r,
	    const struct collected *got, const struct record *rec,
	    struct backup_result *out)
{
	struct writer_stats ws;

	memset(out, 0, sizeof(*out));
	out->number = rec->number;
	memcpy(out->id, rec->id, sizeof(out->id));
	snprintf(out->set, sizeof(out->set), "%s", rec->set);
	out->session_type = r->session_type;
	out->effective_type = b->type;
	out->base = r->base != NULL ? r->base->number : 0;
	out->entries = got->entries;
	out->bytes = got->bytes;
	out->walked = r->session_type != GEN_LOG;
	out->files = out->walked ? got->files : 0;
	out->dirs = out->walked ? got->dirs : 0;
	out->others = got->others;
	out->files_read = got->files_read;
	out->bytes_read = got->bytes_read;
	out->files_kept = got->files_kept;
	out->partial_files = got->partial_files;
	out->claimed_bytes_read = got->claimed_bytes_read;
	out->errors = got->errors;
	writer_stats(b->writer, &ws);
	out->chunks_new = ws.chunks_new;
	out->bytes_new = ws.bytes_new;
	out->bytes_stored = ws.bytes_stored;
}

/* Everything durable, then the record. */
static int
publish(struct backup *b, struct run *r, const struct collected *got,
	struct backup_result *out, struct err *e)
{
	struct record rec = { 0 };
	struct tables t = { 0 };
	int rc = -1;

	if (writer_flush(b->writer, e) < 0)
		goto out;
	fill_record(b, r, got, &rec);
	if (fill_tables(b, r, got, &t, &rec, e) < 0)
		goto out;
	if (generation_publish(b->store, &rec, e) < 0)
		goto out;
	fill_result(b, r, got, &rec, out);
	rc = 0;
out:
	tables_clear(&t, &rec);
	return rc;
}

/* --- the run ------------------------------------------------------------------------- */

struct backup_job {
	struct backup_options opt;
	struct backup b;
	struct run r;
	uint64_t begun; /* monotonic */
	bool walked;
};

static struct backup_job *
job_new(struct store *st, const struct backup_options *opt)
{
	struct backup_job *j = mem_zalloc(sizeof(*j));
	struct backup *b;

	if (j == NULL)
		return NULL;
	j->begun = time_monotonic_ns();
	j->opt = *opt;
	if (j->opt.type == 0)
		j->opt.type = GEN_INCREMENTAL;
	b = &j->b;
	b->store = st;
	b->opt = &j->opt;
	b->reader = store_reader(st);
	b->config = &store_repository(st)->config;
	b->start = b->instant = time_now();
	b->tick_ns = time_tick_ns();
	atomic_init(&b->young, 0);
	atomic_init(&b->base_damaged, false);
	pthread_mutex_init(&b->fs.lock, NULL);
	pthread_mutex_init(&b->note_lock, NULL);
	return j;
}

void
backup_job_free(struct backup_job *j)
{
	struct backup *b;

	if (j == NULL)
		return;
	b = &j->b;
	writer_close(b->writer);
	sources_clear(&b->sources);
	for (size_t i = 0; i < b->fs.count; i++)
		mem_free(b->fs.fs[i].id);
	mem_free(b->fs.fs);
	pthread_mutex_destroy(&b->fs.lock);
	pthread_mutex_destroy(&b->note_lock);
	generation_list_clear(&j->r.list);
	buf_clear(&j->r.machine);
	buf_clear(&j->r.host);
	buf_clear(&j->r.set);
	mem_free(j);
}

int
backup_begin(struct store *st, const struct backup_options *opt,
	     struct backup_job **out, struct err *e)
{
	struct backup_job *j = job_new(st, opt);

	if (j == NULL)
		return err_nomem(e);
	if (prepare(&j->b, &j->r, e) < 0 ||
	    io_random(j->r.id, sizeof(j->r.id), e) < 0) {
		backup_job_free(j);
		return -1;
	}
	*out = j;
	return 0;
}

void
backup_facts(const struct backup_job *j, struct backup_facts *out)
{
	const struct run *r = &j->r;

	memset(out, 0, sizeof(*out));
	out->session_type = r->session_type;
	out->set_id = r->set_id;
	out->set = (const char *)r->set.data;
	out->list = &r->list;
	out->base = r->base;
	out->source = (const char *const *)j->b.sources.resolved;
	out->sources = j->b.sources.count;
	out->start = j->b.start;
	memcpy(out->id, r->id, sizeof(out->id));
}

void
backup_snapshot(struct backup_job *j, const struct standins *s,
		struct ts instant)
{
	j->b.standins = s;
	j->b.instant = instant;
}

static int
want_walk(struct backup_job *j, const struct claims *claims, struct err *e)
{
	if (j->walked)
		return err_set(e, ERR_USAGE, "a backup is walked only once");
	j->walked = true;
	if (j->r.session_type == GEN_LOG && claims == NULL)
		return err_set(e, ERR_UNSUPPORTED,
			       "log backups need a writer that declares log "
			       "files");
	return 0;
}

int
backup_walk(struct backup_job *j, struct claims *claims,
	    struct backup_result *out, struct err *e)
{
	struct backup *b = &j->b;
	struct collected got = { 0 };
	struct writer_options wo = { .threads = j->opt.threads,
				     .level = j->opt.level };
	int rc = -1;

	if (want_walk(j, claims, e) < 0)
		return -1;
	b->claims = claims;
	/* Components may have bases where plain files have none. */
	if (claims != NULL && j->r.base == NULL) {
		int misses = store_misses(b->store, e);

		if (misses < 0)
			return -1;
		b->misses = misses == 1;
	}
	for (size_t i = 0; claims != NULL && i < claims->extras; i++)
		if (sources_add_extra(&b->sources, claims->extra[i], e) < 0)
			return -1;
	if (writer_open(b->store, &wo, &b->writer, e) < 0)
		goto out;
	if (walk_all(b, &j->r, &got, e) < 0)
		goto out;
	if (publish(b, &j->r, &got, out, e) < 0)
		goto out;
	out->duration_ns = (int64_t)(time_monotonic_ns() - j->begun);
	rc = 0;
out:
	collected_clear(&got);
	return rc;
}

int
backup_run(struct store *st, const struct backup_options *opt,
	   struct backup_result *out, struct err *e)
{
	struct backup_job *j = NULL;
	int rc;

	if (opt->type == GEN_LOG)
		return err_set(e, ERR_UNSUPPORTED,
			       "log backups need a writer that declares log "
			       "files");
	if (backup_begin(st, opt, &j, e) < 0)
		return -1;
	rc = backup_walk(j, NULL, out, e);
	backup_job_free(j);
	return rc;
}
