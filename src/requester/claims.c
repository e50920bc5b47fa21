/*
 * claims.c
 *
 * The table (chart.c, atlas.h) is read-only while a walk goes on.  What the walk
 * tells comes one at a time; what is written from its questions (hearing.c,
 * promise.c) is atomic or under the lock.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/claims_internal.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "src/engine/standin.h"
#include "src/requester/granted.h"
#include "src/writer/metadata.h"
#include "src/writer/reduce.h"
#include "src/writer/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct claims_text {
	struct claims_text *next;
	char s[];
};

struct writer_claims *
claims_of(struct claims *c)
{
	return (struct writer_claims *)c;
}

/* --- texts that live as long as the claims ------------------------------- */

const char *
claims_text(struct writer_claims *w, const char *s)
{
	size_t len = strlen(s) + 1;
	struct claims_text *t = mem_alloc(sizeof(*t) + len);

	if (t == NULL)
		return NULL;
	memcpy(t->s, s, len);
	(void)pthread_mutex_lock(&w->lock);
	t->next = w->texts;
	w->texts = t;
	(void)pthread_mutex_unlock(&w->lock);
	return t->s;
}

void
claims_note(struct writer_claims *w, const char *fmt, ...)
{
	char text[ERR_TEXT_LEN];
	va_list ap;

	if (w->o->note == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->o->note(w->o->ctx, text);
}

int
claims_fail(struct writer_claims *w, size_t component, const char *sentence,
	    struct err *e)
{
	struct claims_component *c = &w->o->component[component];
	char *why;

	(void)pthread_mutex_lock(&w->lock);
	c->failed = true;
	if (c->why == NULL) {
		why = mem_strdup(sentence);
		c->why = why;
	}
	why = c->why;
	(void)pthread_mutex_unlock(&w->lock);
	return why != NULL ? 0 : err_nomem(e);
}

int
writer_claims_fail(struct writer_claims *w, size_t component, struct err *e,
		   const char *fmt, ...)
{
	char text[ERR_TEXT_LEN];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->plain[component] = true;
	return claims_fail(w, component, text, e);
}

/* --- small questions ------------------------------------------------------ */

bool
claims_is_carried(const struct claims_component *c,
		  const struct metadata_files *f)
{
	return c->base != NULL && !metadata_is_whole(c->effective) &&
	       !metadata_required(f, (enum metadata_type)c->effective);
}

int
claims_look(const struct writer_claims *w, const char *path, struct statx *st,
	    struct err *e)
{
	struct buf where = { 0 };
	int rc = standin_path(w->o->standins, path, &where, e);

	if (rc == 0 && src_stat(AT_FDCWD, buf_str(&where), st, NULL) < 0)
		rc = 1;
	buf_clear(&where);
	return rc;
}

/* --- other places ---------------------------------------------------------- */

/* Without a resolver the engine's own rule: no symlink in the path. */
static int
open_own(const struct standins *in, const char *path, struct err *e)
{
	int root = src_open(AT_FDCWD, "/", O_DIRECTORY | O_PATH, e);
	struct buf where = { 0 };
	int fd = -1;

	if (root < 0)
		return -1;
	if (standin_path(in, path, &where, e) == 0)
		fd = src_open_beneath(root, buf_str(&where) + 1, 0, e);
	src_close(root);
	buf_clear(&where);
	return fd;
}

static int
answer_open(struct claims *c, const struct standins *in, size_t owner,
	    const char *path, struct err *e)
{
	struct writer_claims *w = claims_of(c);
	struct resolver *who = w->o->component[owner].resolver;
	const struct standin *s = standin_above(in, path);
	struct err why = { 0 };
	int fd = -1;
	int rc;

	if (who == NULL)
		return open_own(in, path, e);
	(void)pthread_mutex_lock(&w->opening);
	rc = s != NULL ? granted_regular(who, s, path, &fd, &why)
		       : resolve_regular(who, path, &fd, &why);
	(void)pthread_mutex_unlock(&w->opening);
	if (rc == 0)
		return fd;
	if (rc == 1) {
		errno = ENOENT;
		return err_source(e, "open");
	}
	/* What is refused is the writer's fault, and so the file's. */
	if (why.kind == ERR_USAGE)
		return err_set(e, ERR_SOURCE, "%s", why.text);
	err_move(e, &why);
	return -1;
}

/* --- what the walk tells ------------------------------------------------- */

static void
answer_read(struct claims *c, size_t owner, const char *path, uint64_t bytes,
	    bool partial)
{
	struct writer_claims *w = claims_of(c);
	struct claims_component *own = &w->o->component[owner];
	struct promise *p;

	own->member_bytes += bytes;
	if (!partial || own->reduced == NULL)
		return;
	own->declared_bytes += bytes;
	p = promise_of(w, owner, path);
	if (p != NULL)
		p->bytes += bytes;
}

/* Every component with a file set in what was left out. */
struct failing_way {
	struct writer_claims *w;
	const char *path;
	const char *sentence;
	bool torn; /* that is not a failure of all */
};

static bool
fail_one(void *ctx, struct place *p)
{
	struct failing_way *f = ctx;

	if (p->kind == PLACE_SET && !f->w->plain[p->component])
		(void)claims_fail(f->w, p->component, f->sentence, NULL);
	return false;
}

/* A file may be in sets of several components. */
static bool
fail_holder(void *ctx, struct place *p)
{
	struct failing_way *f = ctx;
	const struct metadata_component *all;
	const struct claims_component *c;

	if (p->kind != PLACE_SET || f->w->plain[p->component] ||
	    !metadata_fits(&p->set->spec, f->path))
		return false;
	c = &f->w->o->component[p->component];
	all = c->document->components.v;
	if (!f->torn || (!all[p->set->component].log_recovery &&
			 !all[c->component].log_recovery))
		(void)claims_fail(f->w, p->component, f->sentence, NULL);
	return false;
}

static void
answer_outcome(struct claims *c, size_t owner, const char *path,
	       const char *why, bool torn)
{
	struct writer_claims *w = claims_of(c);
	char text[ERR_TEXT_LEN + PATH_SHOW_LEN];
	char shown[PATH_SHOW_LEN];
	struct failing_way f = {
		.w = w, .path = path, .sentence = text, .torn = why == NULL
	};
	struct hearing s;

	if (why == NULL && !torn)
		return;
	hearing_open(&s, w, path, false);
	(void)snprintf(text, sizeof(text), "%s: %s",
		       path_show_in(shown, path, strlen(path)),
		       f.torn ? "it changed while it was read" : why);
	if (!f.torn || !s.log_recovery)
		(void)claims_fail(w, owner, text, NULL);
	(void)atlas_above(&w->atlas, path,
			  (size_t)(strrchr(path, '/') - path), fail_holder, &f);
	if (f.torn)
		return;
	(void)atlas_beneath(&w->atlas, path, atlas_len(path), fail_one, &f);
}

/* Every component that may have a file in it or beneath it. */
static void
answer_missed(struct claims *c, const char *path, const char *why)
{
	struct writer_claims *w = claims_of(c);
	char text[ERR_TEXT_LEN + PATH_SHOW_LEN];
	char shown[PATH_SHOW_LEN];
	struct failing_way f = { .w = w, .sentence = text };

	(void)snprintf(text, sizeof(text), "%s: %s",
		       path_show_in(shown, path, strlen(path)), why);
	(void)atlas_above(&w->atlas, path, atlas_len(path), fail_one, &f);
	(void)atlas_beneath(&w->atlas, path, atlas_len(path), fail_one, &f);
}

static int
answer_copied(struct claims *c, struct graft *g, struct err *e)
{
	struct writer_claims *w = claims_of(c);

	return w->copied != NULL ? w->copied(w->copied_ctx, g, e) : 0;
}

/* --- between walks ------------------------------------------------------- */

int
writer_claims_renew(struct writer_claims *w,
		    const struct reduced *const *reduced, struct err *e)
{
	struct claims_component *c = w->o->component;
	struct promise **before = w->promise;
	size_t i;
	int rc = -1;

	w->promise = mem_array(w->o->components + 1, sizeof(*w->promise));
	if (w->promise == NULL) {
		w->promise = before;
		return err_nomem(e);
	}
	for (i = 0; i < w->o->components; i++) {
		const struct reduced *old = c[i].reduced;

		c[i].reduced = reduced[i];
		if (reduced[i] == NULL)
			continue;
		if (promise_make(w, i, e) < 0)
			goto out;
		if (old != NULL)
			promise_take_over(w->promise[i], reduced[i]->files, old,
					  before[i]);
	}
	rc = chart_make(w, e);
out:
	for (i = 0; i < w->o->components; i++)
		mem_free(before[i]);
	mem_free(before);
	return rc;
}

/* --- making them --------------------------------------------------------- */

int
writer_claims_new(const struct claims_options *o, struct writer_claims **out,
		  struct err *e)
{
	struct writer_claims *w = mem_zalloc(sizeof(*w));
	size_t i;

	if (w == NULL)
		return err_nomem(e);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_mutex_init(&w->opening, NULL);
	w->o = o;
	w->promise = mem_array(o->components + 1, sizeof(*w->promise));
	w->plain = mem_array(o->components + 1, sizeof(*w->plain));
	w->sets = mem_array(o->components + 1, sizeof(*w->sets));
	if (w->promise == NULL || w->plain == NULL || w->sets == NULL) {
		err_nomem(e);
		goto failed;
	}
	for (i = 0; i < o->components; i++) {
		if (i > 0 &&
		    o->component[i].document == o->component[i - 1].document)
			continue;
		w->sets[i] =
			mem_array(o->component[i].document->files.count + 1,
				  sizeof(**w->sets));
		if (w->sets[i] == NULL) {
			err_nomem(e);
			goto failed;
		}
	}
	if (o->audit > 0 && io_random(&w->seed, sizeof(w->seed), e) < 0)
		goto failed;
	w->engine.dir = hearing_dir;
	w->engine.find = hearing_find;
	w->engine.carries = hearing_carries;
	w->engine.ranges = promise_ranges;
	w->engine.open = answer_open;
	w->engine.outcome = answer_outcome;
	w->engine.missed = answer_missed;
	w->engine.read = answer_read;
	w->engine.copied = answer_copied;
	for (i = 0; i < o->components; i++)
		if (o->component[i].reduced != NULL &&
		    promise_make(w, i, e) < 0)
			goto failed;
	if (chart_make(w, e) < 0)
		goto failed;
	for (i = 0; i < o->components; i++)
		chart_warn(w, i);
	*out = w;
	return 0;
failed:
	writer_claims_free(w);
	return -1;
}

struct claims *
writer_claims_engine(struct writer_claims *w, claims_copied_fn copied,
		     void *ctx)
{
	w->copied = copied;
	w->copied_ctx = ctx;
	return &w->engine;
}

void
writer_claims_free(struct writer_claims *w)
{
	struct claims_text *t;
	size_t i;

	if (w == NULL)
		return;
	while (w->texts != NULL) {
		t = w->texts;
		w->texts = t->next;
		mem_free(t);
	}
	for (i = 0; w->promise != NULL && i < w->o->components; i++)
		mem_free(w->promise[i]);
	for (i = 0; w->sets != NULL && i < w->o->components; i++)
		mem_free(w->sets[i]);
	for (i = 0; i < w->o->components; i++) {
		mem_free(w->o->component[i].why);
		w->o->component[i].why = NULL;
	}
	atlas_free(&w->atlas);
	mem_free(w->promise);
	mem_free(w->sets);
	mem_free(w->plain);
	mem_free(w->extra);
	(void)pthread_mutex_destroy(&w->lock);
	(void)pthread_mutex_destroy(&w->opening);
	mem_free(w);
}
