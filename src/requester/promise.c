/*
 * promise.c
 *
 * A promise is asked for when the file is open, so that it is judged by what is
 * read.  Whether it is kept, and how much was read by it, is remembered for the
 * record.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/claims_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "base/time.h"
#include "src/engine/standin.h"
#include "src/engine/view.h"
#include "src/requester/audit.h"
#include "src/writer/metadata.h"
#include "src/writer/reduce.h"

#include <stdio.h>
#include <string.h>

/* --- keeping them -------------------------------------------------------- */

int
promise_make(struct writer_claims *w, size_t i, struct err *e)
{
	const struct reduced *r = w->o->component[i].reduced;
	struct promise *p;
	size_t k;

	p = mem_array(r->files + 1, sizeof(*p));
	if (p == NULL)
		return err_nomem(e);
	for (k = 0; k < r->files; k++) {
		p[k].claims = w;
		p[k].component = i;
		p[k].file = &r->file[k];
	}
	w->promise[i] = p;
	return 0;
}

void
promise_take_over(struct promise *to, size_t n, const struct reduced *old,
		  const struct promise *from)
{
	const struct reduce_file *f;
	size_t i;

	for (i = 0; i < n && from != NULL; i++) {
		f = reduced_find(old, to[i].file->path);
		if (f == NULL)
			continue;
		to[i].bytes = from[f - old->file].bytes;
		to[i].refused = from[f - old->file].refused;
	}
}

struct promise *
promise_of(struct writer_claims *w, size_t component, const char *path)
{
	const struct reduced *r = w->o->component[component].reduced;
	const struct reduce_file *f = reduced_find(r, path);

	return f == NULL ? NULL : &w->promise[component][f - r->file];
}

void
promise_refuse(struct promise *p, const char *why)
{
	(void)pthread_mutex_lock(&p->claims->lock);
	p->refused = why;
	(void)pthread_mutex_unlock(&p->claims->lock);
}

uint64_t
writer_claims_read(const struct writer_claims *w, size_t component, size_t file,
		   const char **refused)
{
	const struct promise *p = w->promise[component];

	*refused = p != NULL ? p[file].refused : NULL;
	return p != NULL ? p[file].bytes : 0;
}

/* --- ranges -------------------------------------------------------------- */

static struct ts
stamp_of(struct statx_timestamp t)
{
	struct ts out = { .sec = t.tv_sec, .nsec = t.tv_nsec };

	return out;
}

/* In a snapshot the file system is that of the source, as it was declared. */
static int
find_facts(const struct standin *in, int fd, const struct statx *st,
	   struct facts *out, struct err *e)
{
	struct ts old = ts_add_ns(time_now_coarse(), -time_tick_ns());

	memset(out, 0, sizeof(*out));
	if (standin_has(in, st))
		memcpy(out->fs, in->fs, sizeof(out->fs));
	else if (src_fs_id(fd, out->fs, e) < 0)
		return -1;
	out->known = true;
	out->ino = st->stx_ino;
	out->size = st->stx_size;
	out->mtime = stamp_of(st->stx_mtime);
	out->ctime = stamp_of(st->stx_ctime);
	out->has_btime = (st->stx_mask & STATX_BTIME) != 0;
	if (out->has_btime)
		out->btime = stamp_of(st->stx_btime);
	out->young = ts_cmp(out->ctime, old) > 0;
	return 0;
}

/*
 * Only what nothing has touched since it was declared can be held against its
 * writer, and only what the base has as it was.  A racy entry has: its bytes
 * were read, it is its times that prove nothing.  (A file that is busy and read
 * by ranges is always racy: it could never be audited.)
 */
static bool
can_be_audited(const struct writer_claims *w, const struct promise *p,
	       const struct facts *now, const struct entry *base)
{
	const struct claims_component *c = &w->o->component[p->component];
	const struct metadata *m = c->document;
	size_t i;

	if (w->o->audit == 0 || !facts_equal(&p->file->facts, now) ||
	    (base->flags & ENTRY_DOUBTFUL & ~ENTRY_RACY) != 0)
		return false;
	for (i = 0; i < m->components.count; i++)
		if ((m->components.v[i].flags & COMPONENT_UNLOGGED_HINTS) !=
			    0 &&
		    metadata_managing(m, c->chosen, i) == c->component)
			return false;
	return true;
}

static void
lie(struct writer_claims *w, const struct promise *p, uint64_t at)
{
	struct claims_component *c = &w->o->component[p->component];

	(void)pthread_mutex_lock(&w->lock);
	c->lied = true;
	claims_note(
		w,
		"%s: audit: byte %llu changed and writer %s did not declare it: "
		"read whole, and component %s is not trusted until it was",
		p->file->path, (unsigned long long)at, c->writer,
		c->document->components.v[c->component].name);
	(void)pthread_mutex_unlock(&w->lock);
}

/* NULL: nothing was found. */
static const char *
audit(struct promise *p, int fd, const struct claim *claim,
      const struct statx *now, const struct entry *base,
      const struct ranges *declared)
{
	struct writer_claims *w = p->claims;
	struct err why = { 0 };
	uint64_t compared;
	uint64_t at = 0;
	struct audit a = {
		.fd = fd,
		.size = now->stx_size < base->size ? now->stx_size : base->size,
		.declared = declared,
		.reader = claim->base->reader,
		.content = &base->content,
		.base_size = base->size,
		.percent = w->o->audit,
		.seed = w->seed ^ now->stx_ino,
	};
	int rc = audit_file(&a, &at, &compared, &why);

	if (rc == 1) {
		lie(w, p, at);
		return "an audit found bytes that changed and were not "
		       "declared";
	}
	return rc < 0 ? "it could not be audited" : NULL;
}

static int
hand_over(const struct ranges *r, struct claim_range **out, size_t *n,
	  struct err *e)
{
	struct claim_range *c = mem_array(r->count + 1, sizeof(*c));
	size_t i;

	if (c == NULL)
		return err_nomem(e);
	for (i = 0; i < r->count; i++)
		c[i] = (struct claim_range){ r->r[i].off, r->r[i].len };
	*out = c;
	*n = r->count;
	return 0;
}

/* A range beyond the end: the writer's error, and the component's failure. */
static int
bad_ranges(struct promise *p, struct err *why, struct err *e)
{
	char text[ERR_TEXT_LEN + PATH_SHOW_LEN];
	char shown[PATH_SHOW_LEN];

	if (why->kind != ERR_USAGE) {
		err_move(e, why);
		return -1;
	}
	promise_refuse(p, "a declared range ends beyond the end of the file");
	(void)snprintf(
		text, sizeof(text), "%s: %s",
		path_show_in(shown, p->file->path, strlen(p->file->path)),
		why->text);
	if (claims_fail(p->claims, p->component, text, e) < 0)
		return -1;
	return err_set(e, ERR_SOURCE, "%s", why->text);
}

/* A gap of another name may be one of this file. */
static bool
is_doubtful(const struct writer_claims *w, const struct promise *p,
	    const struct statx *now, const struct entry *base)
{
	const struct reduced *r = w->o->component[p->component].reduced;

	return (now->stx_nlink > 1 || (base->flags & ENTRY_LINKED) != 0) &&
	       r->gaps > (p->file->gap ? 1 : 0);
}

int
promise_ranges(struct claims *c, const struct claim *claim, int fd,
	       const struct statx *now, const struct entry *entry,
	       struct claim_range **out, size_t *n, const char **why,
	       struct err *e)
{
	struct promise *p = claim->promise;
	struct writer_claims *w = claims_of(c);
	struct ranges r = { 0 };
	struct err sub = { 0 };
	struct facts facts;
	int rc = -1;

	if (find_facts(standin_above(w->o->standins, claim->from != NULL
							     ? claim->from
							     : p->file->path),
		       fd, now, &facts, e) < 0)
		return -1;
	*why = reduce_refuses(p->file, &facts);
	if (*why == NULL && is_doubtful(w, p, now, entry))
		*why = "it has several names, and there is a gap of another "
		       "one";
	if (*why != NULL) {
		promise_refuse(p, *why);
		return 1;
	}
	if (reduce_ranges(p->file, entry->size, now->stx_size, &r, &sub) < 0) {
		rc = bad_ranges(p, &sub, e);
		goto out;
	}
	if (can_be_audited(w, p, &facts, entry))
		*why = audit(p, fd, claim, now, entry, &r);
	if (*why != NULL) {
		promise_refuse(p, *why);
		rc = 1;
	} else {
		rc = hand_over(&r, out, n, e);
	}
out:
	ranges_clear(&r);
	return rc;
}
