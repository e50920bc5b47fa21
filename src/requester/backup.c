/*
 * backup.c
 *
 * Leads.  What happens to writers when this process does not come to the end is
 * the other side's affair, so that every way out of here is the same: close the
 * line.
 *
 * With a snapshot there are more phases between prepare and the walk (still.c), and
 * the walk reads from it; nothing else differs.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/run.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "src/engine/generation.h"
#include "src/snapshot/snapshot.h"
#include "src/writer/metadata.h"
#include "store/repository.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- what the parts share ------------------------------------------------ */

void *
run_take(struct run *r, size_t len, struct err *e)
{
	void **kept = mem_resize(r->kept, r->kept_count + 1, sizeof(*kept));
	void *p;

	if (kept == NULL) {
		err_nomem(e);
		return NULL;
	}
	r->kept = kept;
	p = mem_zalloc(len > 0 ? len : 1);
	if (p == NULL) {
		err_nomem(e);
		return NULL;
	}
	r->kept[r->kept_count++] = p;
	return p;
}

const char *
run_text(struct run *r, const char *fmt, struct err *e, ...)
{
	char *p = NULL;
	va_list ap;
	va_list again;
	int n;

	va_start(ap, e);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n >= 0)
		p = run_take(r, (size_t)n + 1, e);
	if (p != NULL)
		(void)vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return p;
}

void
run_note(const struct run *r, const char *fmt, ...)
{
	char text[ERR_TEXT_LEN + PATH_SHOW_LEN];
	va_list ap;

	if (r->b->note == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->b->note(r->b->ctx, text);
}

unsigned
run_type(unsigned generation_type)
{
	switch (generation_type) {
	case GEN_INCREMENTAL:
		return METADATA_INCREMENTAL;
	case GEN_DIFFERENTIAL:
		return METADATA_DIFFERENTIAL;
	case GEN_LOG:
		return METADATA_LOG;
	case GEN_COPY:
		return METADATA_COPY;
	default:
		return METADATA_FULL;
	}
}

/* --- beginning ----------------------------------------------------------- */

/* Where the file system of an absolute path is mounted: the path, cut there. */
static void
cut_to_mount(char *path)
{
	struct statx st;
	struct statx up;
	char *slash;
	char was;

	if (src_stat(AT_FDCWD, path, &st, NULL) < 0)
		return;
	for (;;) {
		slash = strrchr(path, '/');
		if (slash == NULL || path[1] == '\0')
			return;
		if (slash == path)
			slash++;
		was = *slash;
		*slash = '\0';
		if (src_stat(AT_FDCWD, path, &up, NULL) < 0 ||
		    up.stx_dev_major != st.stx_dev_major ||
		    up.stx_dev_minor != st.stx_dev_minor) {
			*slash = was;
			return;
		}
	}
}

static int
list_volumes(struct run *r, const char ***out, size_t *n, struct err *e)
{
	const char **volume =
		run_take(r, (r->facts.sources + 1) * sizeof(*volume), e);
	size_t i;
	size_t k;
	char *path;

	if (volume == NULL)
		return -1;
	*n = 0;
	for (i = 0; i < r->facts.sources; i++) {
		path = run_take(r, strlen(r->facts.source[i]) + 1, e);
		if (path == NULL)
			return -1;
		memcpy(path, r->facts.source[i], strlen(r->facts.source[i]));
		cut_to_mount(path);
		for (k = 0; k < *n && strcmp(volume[k], path) != 0; k++)
			;
		if (k == *n)
			volume[(*n)++] = path;
	}
	*out = volume;
	return 0;
}

/* Somebody else has what we need: 1 when it has been waited for. */
static int
wait_turn(const struct run *r, const struct err *why, bool *told, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 200 * 1000 * 1000 };

	if (why->kind != ERR_BUSY || !r->b->wait)
		return 0;
	if (!*told)
		run_note(r, "waiting for writers: %s", why->text);
	*told = true;
	(void)nanosleep(&pause, NULL);
	if (r->b->cancel != NULL && atomic_load(r->b->cancel) != 0)
		return err_set(e, ERR_CANCELLED, "interrupted");
	return 1;
}

static int
begin_round(struct run *r, struct err *e)
{
	struct err why = { 0 };
	bool told = false;
	struct round_begin begin = {
		.kind = ROUND_BACKUP,
		.type = r->type,
		.set = r->facts.set,
		.partial_files = true,
		.window_s = r->o->window_s,
		.snapshot = r->snapshot != NULL ?
				    snapshot_provider(r->snapshot) :
				    NULL,
	};
	const char **volume = NULL;

	if (list_volumes(r, &volume, &begin.volumes, e) < 0)
		return -1;
	begin.volume = volume;
	while (client_begin(r->client, &begin, &why) < 0) {
		if (wait_turn(r, &why, &told, e) != 1) {
			err_move(e, &why);
			return -1;
		}
		err_clear(&why);
	}
	return client_identify(r->client, e);
}

/* --- to the walk --------------------------------------------------------- */

static void
on_claims_note(void *ctx, const char *text)
{
	const struct run *r = ctx;

	run_note(r, "%s", text);
}

/* Writers whose files are theirs though they do not take part. */
static int
list_others(struct run *r, const struct metadata ***out, size_t *n,
	    struct err *e)
{
	const struct metadata **o =
		run_take(r, r->writers * sizeof(*o), e);
	size_t i;

	if (o == NULL)
		return -1;
	*n = 0;
	for (i = 0; i < r->writers; i++)
		if (!r->writer[i].taking && r->writer[i].document != NULL)
			o[(*n)++] = r->writer[i].document;
	*out = o;
	return 0;
}

static int
make_claims(struct run *r, struct err *e)
{
	const struct metadata **others = NULL;
	size_t n = 0;
	size_t i;

	if (journals_read(r, e) < 0)
		return -1;
	for (i = 0; i < r->components; i++)
		r->claim[i].reduced = r->component[i].reduced;
	if (list_others(r, &others, &n, e) < 0)
		return -1;
	r->claims_options = (struct claims_options){
		.component = r->claim,
		.components = r->components,
		.other = others,
		.others = n,
		.log = r->type == METADATA_LOG,
		.source = r->facts.source,
		.sources = r->facts.sources,
		.standins = r->snapshot != NULL ? &r->standins : NULL,
		.audit = r->o->audit,
		.note = on_claims_note,
		.ctx = r,
	};
	if (writer_claims_new(&r->claims_options, &r->claims, e) < 0)
		return -1;
	return cast_fail_gone(r, e);
}

/* From prepare-backup to the walk. */
static int
prepare(struct run *r, struct err *e)
{
	if (cast_appoint(r, e) < 0 || still_announce(r, e) < 0 ||
	    client_prepare(r->client, e) < 0 || cast_look(r, e) < 0 ||
	    still_with_writers(r, e) < 0)
		return -1;
	return make_claims(r, e);
}

/* --- behind it ----------------------------------------------------------- */

/*
 * The generation is there.  What goes wrong from here on is worth a line and
 * changes nothing.
 */
static void
complete(struct run *r, const struct backup_result *b)
{
	struct round_outcome *o;
	struct err why = { 0 };
	size_t i;

	o = mem_array(r->components + 1, sizeof(*o));
	if (o == NULL)
		return;
	for (i = 0; i < r->components; i++) {
		o[i].writer = r->claim[i].writer;
		o[i].component = r->component[i].name;
		o[i].succeeded = !r->claim[i].failed;
	}
	if (client_complete(r->client, b->id, b->number, o, r->components,
			    &why) < 0)
		run_note(r, "writers could not be told of the backup: %s",
			 why.text);
	mem_free(o);
}

/* Entries that no base of any set can ask for any more. */
static int
drop_entries(struct run *r, struct err *e)
{
	struct history *all = NULL;
	uint64_t lowest;
	size_t i;
	int rc = -1;

	if (history_open(r->store, r->facts.list, NULL, &all, e) < 0)
		return -1;
	for (i = 0; i < r->writers; i++) {
		const struct run_writer *w = &r->writer[i];

		if (!w->taking)
			continue;
		if (history_lowest_cut(all, w->name, w->journal, &lowest, e) <
		    0)
			goto out;
		if (w->cut < lowest)
			lowest = w->cut;
		if (client_journal_drop(r->client, w->name, lowest, e) < 0)
			goto out;
	}
	rc = 0;
out:
	history_close(all);
	return rc;
}

static void
add_up(struct run *r)
{
	struct requester_result *out = r->result;
	size_t i;

	for (i = 0; i < r->writers; i++) {
		out->writers += r->writer[i].taking;
		if (r->writer[i].taking)
			continue;
		out->failed_writers += cast_has_failed(r, i);
		out->absent += r->writer[i].state == PART_ABSENT &&
			       r->choice[i].any;
	}
	out->components = r->components;
	for (i = 0; i < r->components; i++) {
		out->succeeded += !r->claim[i].failed;
		out->failed += r->claim[i].failed;
		out->member_bytes += r->claim[i].member_bytes;
		out->declared_bytes += r->claim[i].declared_bytes;
	}
}

/* --- the run ------------------------------------------------------------- */

/* With the line open: 0 done, 1 there are no writers, -1. */
static int
with_writers(struct run *r, struct err *e)
{
	struct err why = { 0 };

	if (begin_round(r, e) < 0)
		return -1;
	if (client_writers(r->client)->count == 0)
		return 1;
	if (cast_meet(r, e) < 0 || prepare(r, e) < 0)
		return -1;
	if (backup_walk(r->job, writer_claims_engine(r->claims, postcopy, r),
			&r->result->backup, e) < 0)
		return -1;
	complete(r, &r->result->backup);
	add_up(r);
	if (drop_entries(r, &why) < 0)
		run_note(r, "old declarations could not be dropped: %s",
			 why.text);
	return 0;
}

/* Nobody is asked for by name: then files are files. */
static bool
can_do_without(const struct run *r, const struct err *why)
{
	return r->o->wishes == 0 && !r->o->require && !r->o->abort_on_failure &&
	       why->kind != ERR_NOMEM && why->kind != ERR_CANCELLED &&
	       why->kind != ERR_BUSY;
}

static int
lead(struct run *r, struct err *e)
{
	const struct repository *repo = store_repository(r->store);
	struct err why = { 0 };
	bool told = false;
	bool live;
	int rc;

	if (!cast_is_anybody(r))
		return 1;
	while (client_open(r->o->repository, repo->config.id, r->b->cancel,
			   &r->client, &live, &why) < 0) {
		rc = wait_turn(r, &why, &told, e);
		if (rc < 0)
			return -1;
		if (rc == 1) {
			err_clear(&why);
			continue;
		}
		if (!can_do_without(r, &why)) {
			err_move(e, &why);
			return -1;
		}
		run_note(r, "writers are not asked: %s", why.text);
		return 1;
	}
	rc = with_writers(r, e);
	if (rc < 0)
		(void)client_abort(r->client, NULL);
	return rc;
}

/* Files are files. */
static int
alone(struct run *r, struct err *e)
{
	return still_alone(r, e) < 0 ||
			       backup_walk(r->job, NULL, &r->result->backup,
					   e) < 0 ?
		       -1 :
		       0;
}

static void
end(struct run *r)
{
	size_t i;

	writer_claims_free(r->claims);
	cast_clear(r);
	if (r->client != NULL)
		client_close(r->client);
	backup_job_free(r->job);
	snapshot_free(r->snapshot);
	for (i = 0; i < r->kept_count; i++)
		mem_free(r->kept[i]);
	mem_free(r->kept);
}

int
requester_backup(struct store *st, const struct backup_options *b,
		 const struct requester_options *o,
		 struct requester_result *out, struct err *e)
{
	struct requester_result result = { 0 };
	struct run r = {
		.store = st,
		.b = b,
		.o = o,
		.result = &result,
	};
	int rc;

	if (backup_begin(st, b, &r.job, e) < 0)
		return -1;
	backup_facts(r.job, &r.facts);
	r.type = run_type(r.facts.session_type);
	rc = still_open(&r, e);
	if (rc == 0)
		rc = o->no_writers ? 1 : lead(&r, e);
	if (rc == 1)
		rc = alone(&r, e);
	still_end(&r);
	if (rc == 0)
		*out = result;
	end(&r);
	return rc;
}
