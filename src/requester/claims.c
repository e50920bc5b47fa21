/*
 * claims.c
 *
 * All that is claimed lies in some directory: that of a file set, of an exclude,
 * of a differenced entry, or of a file with declared ranges.  Those are `places`,
 * sorted so that what is beneath a directory follows it; a name is looked for
 * in the places of its own directory and, where they are recursive, in those of
 * the directories above.  A directory that has no place at it, beneath it or
 * recursively above it costs a few comparisons, once.
 *
 * The table is read-only while a walk goes on.  What the walk tells comes one at
 * a time; what is written from find() and ranges() is atomic or under the lock.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/claims.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "src/engine/plan.h"
#include "src/engine/standin.h"
#include "src/engine/view.h"
#include "src/requester/audit.h"
#include "src/requester/finder.h"
#include "src/requester/granted.h"
#include "src/requester/stored.h"
#include "src/writer/metadata.h"
#include "src/writer/reduce.h"
#include "src/writer/resolve.h"
#include "src/writer/wildcard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum place_kind {
	PLACE_SET,         /* a file set */
	PLACE_FOREIGN,     /* one of a component that claims nothing */
	PLACE_EXCLUDE,     /* a writer's exclude */
	PLACE_DIFFERENCED, /* a differenced entry */
	PLACE_DECLARED,    /* the directory of a file with declared ranges */
};

struct place {
	const char *dir;
	size_t len; /* of dir; 0 for "/" */
	size_t component; /* FOREIGN: SIZE_MAX */
	enum place_kind kind;
	bool recursive;
	bool carried;        /* SET: not required by this type */
	const char *pattern; /* not of DECLARED */
	const struct metadata_files *set; /* SET, FOREIGN */
	const struct reduce_differenced *differenced;
	char *own_dir;    /* its memory, DECLARED */
	atomic_bool *met; /* SET: a file of it is there */
};

/* What became of the ranges of reduced->file[i]. */
struct promise {
	struct writer_claims *claims;
	size_t component;
	const struct reduce_file *file;
	const char *refused; /* under the lock */
	uint64_t bytes;      /* read, by ranges */
};

struct text {
	struct text *next;
	char s[];
};

struct writer_claims {
	struct claims engine; /* first: what the walk has is this */
	const struct claims_options *o;
	struct place *place;
	size_t places, cap;
	struct promise **promise; /* per component, as reduced->file */
	atomic_bool **met; /* of a writer's first component: as file sets */
	bool *plain;              /* per component: claims nothing any more */
	const char **extra;
	claims_copied_fn copied;
	void *copied_ctx;
	uint64_t seed;
	pthread_mutex_t lock; /* texts, promises, the components' outcomes */
	struct text *texts;
	pthread_mutex_t opening; /* the components' resolvers */
};

static struct writer_claims *
of_engine(struct claims *c)
{
	return (struct writer_claims *)c;
}

/* --- texts that live as long as the claims ------------------------------- */

static const char *
keep_text(struct writer_claims *w, const char *s)
{
	size_t len = strlen(s) + 1;
	struct text *t = mem_alloc(sizeof(*t) + len);

	if (t == NULL)
		return NULL;
	memcpy(t->s, s, len);
	(void)pthread_mutex_lock(&w->lock);
	t->next = w->texts;
	w->texts = t;
	(void)pthread_mutex_unlock(&w->lock);
	return t->s;
}

static void note(struct writer_claims *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void
note(struct writer_claims *w, const char *fmt, ...)
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

/* The first failure is the one that is told. */
static int
fail(struct writer_claims *w, size_t component, const char *sentence,
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
	return fail(w, component, text, e);
}

/* --- the table ----------------------------------------------------------- */

/* "/" is the empty one, so that every directory and a slash begin its names. */
static size_t
dir_len(const char *dir)
{
	size_t len = strlen(dir);

	return len == 1 ? 0 : len;
}

/* A slash before all other bytes: what is beneath a directory follows it. */
static int
dir_order(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t n = alen < blen ? alen : blen;
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char x = a[i] == '/' ? 0 : (unsigned char)a[i];
		unsigned char y = b[i] == '/' ? 0 : (unsigned char)b[i];

		if (x != y)
			return x < y ? -1 : 1;
	}
	return alen == blen ? 0 : alen < blen ? -1 : 1;
}

static int
by_dir(const void *a, const void *b)
{
	const struct place *x = a;
	const struct place *y = b;
	int rc = dir_order(x->dir, x->len, y->dir, y->len);

	if (rc == 0 && x->component != y->component)
		rc = x->component < y->component ? -1 : 1;
	return rc != 0 ? rc : (int)x->kind - (int)y->kind;
}

static struct place *
add_place(struct writer_claims *w, size_t component, enum place_kind kind,
	  const char *dir, struct err *e)
{
	struct place *p;
	size_t cap = w->cap == 0 ? 32 : 2 * w->cap;

	if (w->places == w->cap) {
		p = mem_resize(w->place, cap, sizeof(*p));
		if (p == NULL) {
			err_nomem(e);
			return NULL;
		}
		w->place = p;
		w->cap = cap;
	}
	p = &w->place[w->places++];
	memset(p, 0, sizeof(*p));
	p->component = component;
	p->kind = kind;
	p->dir = dir;
	p->len = dir_len(dir);
	return p;
}

/* May what is there be left as the base has it? */
static bool
is_carried(const struct claims_component *c, const struct metadata_files *f)
{
	return c->base != NULL && !metadata_is_whole(c->effective) &&
	       !metadata_required(f, (enum metadata_type)c->effective);
}

static int
add_set(struct writer_claims *w, size_t i, const struct metadata_files *f,
	atomic_bool *met, struct err *e)
{
	struct claims_component *c = &w->o->component[i];
	struct place *p;

	/* Not required of a whole backup: no member, a plain file. */
	if (metadata_is_whole(c->effective) &&
	    !metadata_required(f, (enum metadata_type)c->effective))
		return 0;
	p = add_place(w, i, PLACE_SET, f->spec.dir, e);
	if (p == NULL)
		return -1;
	p->recursive = f->spec.recursive;
	p->pattern = f->spec.pattern;
	p->set = f;
	p->carried = is_carried(c, f);
	p->met = met;
	c->carried = c->carried || p->carried;
	return 0;
}

static int
add_foreign(struct writer_claims *w, const struct metadata_files *f,
	    struct err *e)
{
	struct place *p =
		add_place(w, SIZE_MAX, PLACE_FOREIGN, f->spec.dir, e);

	if (p == NULL)
		return -1;
	p->recursive = f->spec.recursive;
	p->pattern = f->spec.pattern;
	p->set = f;
	return 0;
}

/*
 * The file sets of one writer, each of the component that manages it.  `from`
 * to `to` are its components; at[k] is that for component k of its document.
 */
static int
add_sets(struct writer_claims *w, size_t from, size_t to, size_t *at,
	 struct err *e)
{
	const struct claims_component *c = &w->o->component[from];
	const struct metadata *m = c->document;
	size_t k;
	size_t i;

	for (k = 0; k < m->components.count; k++)
		at[k] = SIZE_MAX;
	for (i = from; i < to; i++)
		at[w->o->component[i].component] = i;
	for (k = 0; k < m->files.count; k++) {
		const struct metadata_files *f = &m->files.v[k];
		size_t own = metadata_managing(m, c->chosen, f->component);
		int rc;

		i = own == METADATA_NONE ? SIZE_MAX : at[own];
		if (i == SIZE_MAX)
			continue;
		rc = w->plain[i] ? add_foreign(w, f, e) :
				   add_set(w, i, f, &w->met[from][k], e);
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* Once for a writer, in the name of its first component that is in. */
static int
add_excludes(struct writer_claims *w, size_t from, size_t to, struct err *e)
{
	const struct metadata *m = w->o->component[from].document;
	struct place *p;
	size_t k;

	while (from < to && w->plain[from])
		from++;
	for (k = 0; from < to && k < m->excludes.count; k++) {
		const struct metadata_spec *x = &m->excludes.v[k];

		p = add_place(w, from, PLACE_EXCLUDE, x->dir, e);
		if (p == NULL)
			return -1;
		p->recursive = x->recursive;
		p->pattern = x->pattern;
	}
	return 0;
}

static int
add_promises(struct writer_claims *w, size_t i, struct err *e)
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

static int
add_declared(struct writer_claims *w, size_t i, struct err *e)
{
	const struct claims_component *c = &w->o->component[i];
	const struct reduced *r = c->reduced;
	const char *last = NULL;
	size_t last_len = 0;
	struct place *p;
	size_t k;

	for (k = 0; k < r->files; k++) {
		const char *path = r->file[k].path;
		size_t len = (size_t)(strrchr(path, '/') - path);

		if (last != NULL && len == last_len &&
		    memcmp(last, path, len) == 0)
			continue;
		last = path;
		last_len = len;
		p = add_place(w, i, PLACE_DECLARED, "/", e);
		if (p == NULL)
			return -1;
		p->own_dir = mem_dup(len > 0 ? path : "/", len > 0 ? len : 1);
		if (p->own_dir == NULL)
			return err_nomem(e);
		p->dir = p->own_dir;
		p->len = len;
	}
	for (k = 0; k < r->differenced_count; k++) {
		const struct reduce_differenced *d = &r->differenced[k];

		p = add_place(w, i, PLACE_DIFFERENCED, d->dir, e);
		if (p == NULL)
			return -1;
		p->recursive = d->recursive;
		p->pattern = d->pattern;
		p->differenced = d;
	}
	return 0;
}

static bool
in_sources(const struct writer_claims *w, const char *dir)
{
	size_t i;

	for (i = 0; i < w->o->sources; i++)
		if (path_beneath(dir, w->o->source[i]))
			return true;
	return false;
}

/* Does the directory lie on a volume that the session has anyway? */
static bool
on_a_volume(const struct writer_claims *w, const char *dir)
{
	struct statx here;
	struct statx st;
	size_t i;

	if (src_stat(AT_FDCWD, dir, &here, NULL) < 0)
		return false;
	for (i = 0; i < w->o->sources; i++)
		if (src_stat(AT_FDCWD, w->o->source[i], &st, NULL) == 0 &&
		    st.stx_dev_major == here.stx_dev_major &&
		    st.stx_dev_minor == here.stx_dev_minor)
			return true;
	for (i = 0; i < w->places; i++)
		if (w->place[i].kind == PLACE_SET &&
		    src_stat(AT_FDCWD, w->place[i].dir, &st, NULL) == 0 &&
		    st.stx_dev_major == here.stx_dev_major &&
		    st.stx_dev_minor == here.stx_dev_minor)
			return true;
	return false;
}

/* Directories outside of the sources, each once. */
static int
find_extras(struct writer_claims *w, struct err *e)
{
	size_t n = 0;
	size_t i;

	mem_free(w->extra);
	w->extra = mem_array(w->places + 1, sizeof(*w->extra));
	if (w->extra == NULL)
		return err_nomem(e);
	for (i = 0; i < w->places; i++) {
		const struct place *p = &w->place[i];

		if (p->kind == PLACE_EXCLUDE || p->kind == PLACE_FOREIGN ||
		    in_sources(w, p->dir) ||
		    (n > 0 && strcmp(w->extra[n - 1], p->dir) == 0))
			continue;
		if (p->kind != PLACE_SET && !on_a_volume(w, p->dir)) {
			note(w,
			     "what was declared in %s is not on a file system "
			     "of this backup",
			     p->dir);
			continue;
		}
		w->extra[n++] = p->dir;
	}
	w->engine.extra = w->extra;
	w->engine.extras = n;
	return 0;
}

static void
clear_places(struct writer_claims *w)
{
	size_t i;

	for (i = 0; i < w->places; i++)
		mem_free(w->place[i].own_dir);
	w->places = 0;
}

static int
add_others(struct writer_claims *w, struct err *e)
{
	size_t i;
	size_t k;

	for (i = 0; i < w->o->others; i++) {
		const struct metadata *m = w->o->other[i];

		for (k = 0; k < m->files.count; k++)
			if (add_foreign(w, &m->files.v[k], e) < 0)
				return -1;
	}
	return 0;
}

/* All that one writer says; its components are those from `from` to `to`. */
static int
add_writer(struct writer_claims *w, size_t from, size_t to, struct err *e)
{
	const struct metadata *m = w->o->component[from].document;
	size_t *at = mem_array(m->components.count + 1, sizeof(*at));
	int rc;

	if (at == NULL)
		return err_nomem(e);
	rc = add_sets(w, from, to, at, e);
	mem_free(at);
	if (rc == 0)
		rc = add_excludes(w, from, to, e);
	for (; rc == 0 && from < to; from++)
		if (!w->plain[from] && w->o->component[from].reduced != NULL)
			rc = add_declared(w, from, e);
	return rc;
}

static int
build(struct writer_claims *w, struct err *e)
{
	const struct claims_component *c = w->o->component;
	size_t from;
	size_t to;

	clear_places(w);
	for (from = 0; from < w->o->components; from = to) {
		for (to = from + 1; to < w->o->components &&
				    c[to].document == c[from].document;
		     to++)
			;
		if (add_writer(w, from, to, e) < 0)
			return -1;
	}
	if (add_others(w, e) < 0)
		return -1;
	if (w->places > 1)
		qsort(w->place, w->places, sizeof(*w->place), by_dir);
	return find_extras(w, e);
}

/* --- looking up ---------------------------------------------------------- */

/* The first place at or behind this directory. */
static size_t
lower(const struct writer_claims *w, const char *dir, size_t len)
{
	size_t from = 0;
	size_t to = w->places;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		const struct place *p = &w->place[mid];

		if (dir_order(p->dir, p->len, dir, len) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static bool
is_at(const struct place *p, const char *dir, size_t len)
{
	return p->len == len && memcmp(p->dir, dir, len) == 0;
}

static bool
is_beneath(const struct place *p, const char *dir, size_t len)
{
	return p->len > len && p->dir[len] == '/' &&
	       memcmp(p->dir, dir, len) == 0;
}

/* Call fn for the places at the directory, and the recursive ones above. */
typedef bool (*place_fn)(void *ctx, struct place *p); /* true: enough */
static bool
each_above(const struct writer_claims *w, const char *dir, size_t len,
	   place_fn fn, void *ctx)
{
	bool above = false;
	size_t i;

	for (;;) {
		for (i = lower(w, dir, len);
		     i < w->places && is_at(&w->place[i], dir, len); i++)
			if ((!above || w->place[i].recursive) &&
			    fn(ctx, &w->place[i]))
				return true;
		if (len == 0)
			return false;
		while (len > 0 && dir[--len] != '/')
			;
		above = true;
	}
}

static bool
each_beneath(const struct writer_claims *w, const char *dir, size_t len,
	     place_fn fn, void *ctx)
{
	size_t i;

	for (i = lower(w, dir, len); i < w->places; i++) {
		if (is_at(&w->place[i], dir, len))
			continue;
		if (!is_beneath(&w->place[i], dir, len))
			return false;
		if (fn(ctx, &w->place[i]))
			return true;
	}
	return false;
}

static bool
any(void *ctx, struct place *p)
{
	(void)ctx;
	(void)p;
	return true;
}

static enum claim_dir
answer_dir(struct claims *c, const char *path)
{
	struct writer_claims *w = of_engine(c);
	size_t len = dir_len(path);

	if (each_above(w, path, len, any, NULL) ||
	    each_beneath(w, path, len, any, NULL))
		return CLAIM_DIR_SOME;
	return CLAIM_DIR_NOTHING;
}

/*
 * A place of a component that is still in: of carried sets that one whose base
 * has the lowest number from `from` on.
 */
struct carrier {
	const struct writer_claims *w;
	uint64_t from;
	const struct place *found;
};

static const struct view_gen *
base_of(const struct carrier *c, const struct place *p)
{
	return c->w->o->component[p->component].base;
}

static bool
carried_here(void *ctx, struct place *p)
{
	struct carrier *c = ctx;

	if (p->kind != PLACE_SET || !p->carried || c->w->plain[p->component] ||
	    base_of(c, p)->number < c->from)
		return false;
	if (c->found == NULL ||
	    base_of(c, p)->number < base_of(c, c->found)->number)
		c->found = p;
	return base_of(c, c->found)->number == c->from;
}

/* The next base that has names to carry at the path or beneath it. */
static bool
find_carrier(struct carrier *c, const char *path)
{
	size_t len = dir_len(path);

	c->found = NULL;
	if (!each_above(c->w, path, len, carried_here, c))
		(void)each_beneath(c->w, path, len, carried_here, c);
	return c->found != NULL;
}

static int
answer_carries(struct claims *c, const char *path, uint64_t from,
	       struct view_gen **base, struct err *e)
{
	struct carrier at = { .w = of_engine(c), .from = from };

	(void)e;
	*base = NULL;
	if (find_carrier(&at, path))
		*base = at.w->o->component[at.found->component].base;
	return 0;
}

/* --- one name ------------------------------------------------------------ */

/* All that is said of one name. */
struct said {
	struct writer_claims *w;
	const char *path, *name;
	bool there;
	struct place *set; /* the first, and whether one requires it */
	bool required;
	bool foreign;          /* in one of a component that claims nothing */
	struct place *exclude; /* of the set's writer, or of root's */
	const struct reduce_differenced *differenced;
	struct promise *promise;
	size_t by; /* the component that declared it; only without a set */
	bool declared;
	bool log_recovery, fixed;
};

static void
hear_set(struct said *s, struct place *p)
{
	const struct claims_component *c = &s->w->o->component[p->component];
	const struct metadata_component *own =
		&c->document->components.v[p->set->component];

	if (s->there && wildcard_literal(p->pattern))
		atomic_store(p->met, true);
	/* Two sets of a component: the one that asks for more. */
	if (s->set == NULL)
		s->set = p;
	else if (s->set->component != p->component)
		return;
	else if (s->set->carried && !p->carried)
		s->set = p;
	s->required = s->required || !p->carried;
	s->log_recovery = s->log_recovery || own->log_recovery ||
			  c->document->components.v[c->component].log_recovery;
	s->fixed = s->fixed || p->set->kind == FILES_DATABASE;
}

static struct promise *
promise_of(struct writer_claims *w, size_t component, const char *path)
{
	const struct reduced *r = w->o->component[component].reduced;
	const struct reduce_file *f = reduced_find(r, path);

	return f == NULL ? NULL : &w->promise[component][f - r->file];
}

static bool
hear(void *ctx, struct place *p)
{
	struct said *s = ctx;

	if (p->kind != PLACE_DECLARED && !wildcard_match(p->pattern, s->name))
		return false;
	if (p->kind == PLACE_FOREIGN || s->w->plain[p->component]) {
		s->foreign = s->foreign || p->set != NULL;
		return false;
	}
	switch (p->kind) {
	case PLACE_SET:
		hear_set(s, p);
		break;
	case PLACE_EXCLUDE:
		if (s->exclude == NULL)
			s->exclude = p;
		break;
	default:
		break;
	}
	return false;
}

/* Of two differenced entries for one name: does this one ask for more? */
static bool
asks_more(const struct reduce_differenced *d,
	  const struct reduce_differenced *other)
{
	if (other == NULL)
		return true;
	return d->has_newer &&
	       (!other->has_newer || ts_cmp(d->newer, other->newer) < 0);
}

/* Declarations count from the component that the file belongs to, if any. */
static bool
hear_declared(void *ctx, struct place *p)
{
	struct said *s = ctx;
	struct promise *promise = NULL;

	if ((p->kind != PLACE_DIFFERENCED && p->kind != PLACE_DECLARED) ||
	    s->w->plain[p->component])
		return false;
	if (s->set != NULL ? s->set->component != p->component : s->foreign)
		return false;
	if (s->declared && s->by != p->component)
		return false;
	if (p->kind == PLACE_DIFFERENCED) {
		if (!wildcard_match(p->pattern, s->name))
			return false;
		if (asks_more(p->differenced, s->differenced))
			s->differenced = p->differenced;
	} else {
		promise = promise_of(s->w, p->component, s->path);
		if (promise == NULL || promise->file->lines == 0 ||
		    (s->w->o->component[p->component].effective ==
			     METADATA_LOG &&
		     !promise->file->sure))
			return false; /* of other days: not for a log backup */
		s->promise = promise;
		s->fixed = true;
	}
	s->declared = true;
	s->by = p->component;
	return false;
}

/*
 * Does the exclude count?  One of root's writer acts everywhere but in the file
 * sets of others, those of anybody else in his own file sets only.
 */
static bool
is_excluded(const struct said *s)
{
	const struct claims_component *c = s->w->o->component;
	const struct claims_component *x;

	if (s->exclude == NULL)
		return false;
	x = &c[s->exclude->component];
	if (s->set != NULL)
		return c[s->set->component].document == x->document;
	if (s->declared)
		return c[s->by].document == x->document;
	return x->root && !s->foreign;
}

static void
refuse(struct promise *p, const char *why)
{
	(void)pthread_mutex_lock(&p->claims->lock);
	p->refused = why;
	(void)pthread_mutex_unlock(&p->claims->lock);
}

static void
whole(struct claim *out, enum plan_reason reason, const char *text)
{
	out->kind = CLAIM_WHOLE;
	out->reason = (uint8_t)reason;
	out->text = text;
}

/* The differenced entry says: since when. */
static void
by_time(const struct reduce_differenced *d, struct claim *out)
{
	out->kind = CLAIM_OWN;
	if (!d->has_newer)
		return;
	out->kind = CLAIM_SINCE;
	out->newer = d->newer;
	if (ts_cmp(out->base->record.instant, out->newer) < 0)
		out->newer = out->base->record.instant;
}

static void
by_ranges(struct promise *p, bool untrusted, struct claim *out)
{
	if (untrusted) {
		whole(out, PLAN_UNTRUSTED, "an audit found its writer wrong");
		refuse(p, out->text);
	} else if (!p->file->promised) {
		whole(out, PLAN_NO_PROOF, p->file->why);
		refuse(p, out->text);
	} else {
		out->kind = CLAIM_RANGES;
		out->promise = p;
	}
}

static void
judge(struct said *s, struct claim *out)
{
	const struct claims_component *c =
		&s->w->o->component[s->set != NULL ? s->set->component : s->by];

	out->owner = (size_t)(c - s->w->o->component);
	out->base = c->base;
	out->log_recovery =
		s->log_recovery ||
		c->document->components.v[c->component].log_recovery;
	out->fixed = s->fixed;
	if (metadata_is_whole(c->effective))
		whole(out, PLAN_WHOLE, NULL);
	else if (c->base == NULL)
		whole(out, PLAN_FIRST, NULL);
	else if (s->differenced != NULL && c->untrusted)
		whole(out, PLAN_UNTRUSTED, "an audit found its writer wrong");
	else if (s->differenced != NULL)
		by_time(s->differenced, out);
	else if (s->promise != NULL)
		by_ranges(s->promise, c->untrusted, out);
	else if (s->required)
		whole(out, c->untrusted ? PLAN_UNTRUSTED : PLAN_REQUIRED,
		      c->reduced != NULL && c->reduced->gap ? c->reduced->why
							    : NULL);
	else
		out->kind = CLAIM_CARRIED;
	if (s->promise != NULL && out->kind != CLAIM_RANGES &&
	    s->differenced != NULL)
		refuse(s->promise, "it is a differenced file, too");
}

/* What is at a path of the walk: in the snapshot, if there is one. */
static int
look(const struct writer_claims *w, const char *path, struct statx *st,
     struct err *e)
{
	struct buf where = { 0 };
	int rc = standin_path(w->o->standins, path, &where, e);

	if (rc == 0 && src_stat(AT_FDCWD, buf_str(&where), st, NULL) < 0)
		rc = 1;
	buf_clear(&where);
	return rc;
}

/* Where its bytes are: at the alternate path, when they are there. */
static int
find_alternate(struct said *s, struct claim *out, struct err *e)
{
	const struct metadata_files *f = s->set->set;
	struct buf path = { 0 };
	struct statx st;
	int rc = -1;

	if (f->alternate == NULL || out->kind == CLAIM_CARRIED)
		return 0;
	buf_add_str(&path, dir_len(f->alternate) > 0 ? f->alternate : "");
	buf_add_str(&path, s->path + s->set->len);
	(void)buf_str(&path);
	if (buf_ok(&path, e) < 0)
		goto out;
	rc = look(s->w, buf_str(&path), &st, e);
	if (rc == 0 && S_ISREG(st.stx_mode)) {
		out->from = keep_text(s->w, buf_str(&path));
		out->from_owner = out->owner;
		if (out->from == NULL)
			rc = err_nomem(e);
	}
	rc = rc < 0 ? -1 : 0;
out:
	buf_clear(&path);
	return rc;
}

static bool
member_here(void *ctx, struct place *p)
{
	struct carrier *c = ctx;

	if (p->kind != PLACE_SET || c->w->plain[p->component])
		return false;
	c->found = p;
	return true;
}

/* Is the name, which is not there, a directory of the component's base? */
static int
was_directory(struct view_gen *base, const char *path, bool *out, struct err *e)
{
	struct node n = { 0 };
	struct err why = { 0 };
	int rc = view_path(base, path, &n, &why);

	*out = rc == 0 && n.entry.type == ENTRY_DIR;
	node_clear(&n);
	if (rc < 0 && (why.kind == ERR_NOMEM || why.kind == ERR_CANCELLED)) {
		err_move(e, &why);
		return -1;
	}
	return 0;
}

/*
 * A directory, or a name that is gone and may have been one: it is claimed for
 * what is in it, so that the walk can tell when it leaves it out.
 */
static int
claim_way(struct said *s, const struct statx *st, struct claim *out,
	  struct err *e)
{
	struct carrier at = { .w = s->w, .found = NULL };
	size_t len = strlen(s->path);
	bool dir = false;

	if (st != NULL) {
		if (each_above(s->w, s->path, len, member_here, &at) ||
		    each_beneath(s->w, s->path, len, member_here, &at)) {
			whole(out, PLAN_REQUIRED, NULL);
			out->owner = at.found->component;
		}
		return 0;
	}
	while (!dir && find_carrier(&at, s->path)) {
		out->owner = at.found->component;
		out->base = s->w->o->component[out->owner].base;
		if (was_directory(out->base, s->path, &dir, e) < 0)
			return -1;
		at.from = (uint64_t)out->base->number + 1;
	}
	if (dir)
		out->kind = CLAIM_CARRIED;
	return 0;
}

static int
answer_find(struct claims *c, const char *path, const struct statx *st,
	    struct claim *out, struct err *e)
{
	struct said s = { .w = of_engine(c), .path = path };
	const char *slash = strrchr(path, '/');
	size_t len = (size_t)(slash - path);

	memset(out, 0, sizeof(*out));
	s.name = slash + 1;
	s.there = st != NULL && !S_ISDIR(st->stx_mode);
	(void)each_above(s.w, path, len, hear, &s);
	(void)each_above(s.w, path, len, hear_declared, &s);
	if (st != NULL && S_ISDIR(st->stx_mode) &&
	    (s.set == NULL || s.required))
		return claim_way(&s, st, out, e);
	if ((st == NULL || s.there) && is_excluded(&s)) {
		out->kind = CLAIM_EXCLUDED;
		if (s.promise != NULL)
			refuse(s.promise, "its writer excludes it");
		return 0;
	}
	if (s.set == NULL && !s.declared)
		return st == NULL ? claim_way(&s, st, out, e) : 0;
	judge(&s, out);
	if (s.set != NULL)
		return find_alternate(&s, out, e);
	return 0;
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
	note(w,
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
	refuse(p, "a declared range ends beyond the end of the file");
	(void)snprintf(
		text, sizeof(text), "%s: %s",
		path_show_in(shown, p->file->path, strlen(p->file->path)),
		why->text);
	if (fail(p->claims, p->component, text, e) < 0)
		return -1;
	return err_set(e, ERR_SOURCE, "%s", why->text);
}

static int
answer_ranges(struct claims *c, const struct claim *claim, int fd,
	      const struct statx *now, const struct entry *entry,
	      struct claim_range **out, size_t *n, const char **why,
	      struct err *e)
{
	struct promise *p = claim->promise;
	struct writer_claims *w = of_engine(c);
	struct ranges r = { 0 };
	struct err sub = { 0 };
	struct facts facts;
	int rc = -1;

	if (find_facts(standin_above(w->o->standins,
				     claim->from != NULL ? claim->from :
							   p->file->path),
		       fd, now, &facts, e) < 0)
		return -1;
	*why = reduce_refuses(p->file, &facts);
	if (*why != NULL) {
		refuse(p, *why);
		return 1;
	}
	if (reduce_ranges(p->file, entry->size, now->stx_size, &r, &sub) < 0) {
		rc = bad_ranges(p, &sub, e);
		goto out;
	}
	if (can_be_audited(w, p, &facts, entry))
		*why = audit(p, fd, claim, now, entry, &r);
	if (*why != NULL) {
		refuse(p, *why);
		rc = 1;
	} else {
		rc = hand_over(&r, out, n, e);
	}
out:
	ranges_clear(&r);
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
	struct writer_claims *w = of_engine(c);
	struct resolver *who = w->o->component[owner].resolver;
	const struct standin *s = standin_above(in, path);
	struct err why = { 0 };
	int fd = -1;
	int rc;

	if (who == NULL)
		return open_own(in, path, e);
	(void)pthread_mutex_lock(&w->opening);
	rc = s != NULL ? granted_regular(who, s, path, &fd, &why) :
			 resolve_regular(who, path, &fd, &why);
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
	struct writer_claims *w = of_engine(c);
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
	const char *sentence;
};

static bool
fail_one(void *ctx, struct place *p)
{
	struct failing_way *f = ctx;

	if (p->kind == PLACE_SET && !f->w->plain[p->component])
		(void)fail(f->w, p->component, f->sentence, NULL);
	return false;
}

static void
answer_outcome(struct claims *c, size_t owner, const char *path,
	       const char *why, bool torn)
{
	struct writer_claims *w = of_engine(c);
	char text[ERR_TEXT_LEN + PATH_SHOW_LEN];
	char shown[PATH_SHOW_LEN];
	struct failing_way f = { .w = w, .sentence = text };
	struct said s = { .w = w,
			  .path = path,
			  .name = strrchr(path, '/') + 1 };
	size_t len = (size_t)(s.name - 1 - path);

	if (why == NULL && torn) {
		(void)each_above(w, path, len, hear, &s);
		if (!s.log_recovery)
			why = "it changed while it was read";
	}
	if (why == NULL)
		return;
	(void)snprintf(text, sizeof(text), "%s: %s",
		       path_show_in(shown, path, strlen(path)), why);
	(void)fail(w, owner, text, NULL);
	(void)each_beneath(w, path, dir_len(path), fail_one, &f);
}

/* Every component that may have a file in it or beneath it. */
static void
answer_missed(struct claims *c, const char *path, const char *why)
{
	struct writer_claims *w = of_engine(c);
	char text[ERR_TEXT_LEN + PATH_SHOW_LEN];
	char shown[PATH_SHOW_LEN];
	struct failing_way f = { .w = w, .sentence = text };

	(void)snprintf(text, sizeof(text), "%s: %s",
		       path_show_in(shown, path, strlen(path)), why);
	(void)each_above(w, path, dir_len(path), fail_one, &f);
	(void)each_beneath(w, path, dir_len(path), fail_one, &f);
}

static int
answer_copied(struct claims *c, struct graft *g, struct err *e)
{
	struct writer_claims *w = of_engine(c);

	return w->copied != NULL ? w->copied(w->copied_ctx, g, e) : 0;
}

/* --- between walks ------------------------------------------------------- */

/* Its writer may have deleted it from the snapshot: it says that it does. */
static bool
is_unsnapshot(const struct writer_claims *w, const struct place *p)
{
	const struct metadata *m = w->o->component[p->component].document;
	size_t i;

	for (i = 0; w->o->standins != NULL && i < m->snapshot_excludes.count;
	     i++)
		if (metadata_overlap(&m->snapshot_excludes.v[i], &p->set->spec))
			return true;
	return false;
}

int
writer_claims_missing(struct writer_claims *w, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	char text[ERR_TEXT_LEN + PATH_SHOW_LEN];
	size_t i;

	for (i = 0; i < w->places; i++) {
		struct place *p = &w->place[i];

		if (p->kind != PLACE_SET || p->carried || p->recursive ||
		    !wildcard_literal(p->pattern) || w->plain[p->component] ||
		    atomic_load(p->met) || is_unsnapshot(w, p))
			continue;
		(void)snprintf(text, sizeof(text),
			       "%s has no file %s, which is named one by one",
			       path_show_in(shown, p->dir, strlen(p->dir)),
			       p->pattern);
		if (fail(w, p->component, text, e) < 0)
			return -1;
	}
	return 0;
}

/* A path at the alternate place becomes the one it stands for. */
struct unmet {
	struct writer_claims *w;
	const struct place *p;
	bool alternate;
	claims_unmet_fn fn;
	void *ctx;
};

static int
on_unmet(void *ctx, const char *path, struct err *e)
{
	const struct unmet *u = ctx;
	const struct metadata_files *f = u->p->set;
	const struct metadata *document =
		u->w->o->component[u->p->component].document;
	struct buf own = { 0 };
	struct statx st;
	int rc;

	if (!u->alternate)
		return u->fn(u->ctx, u->p->component, path, NULL, e);
	buf_add_str(&own, dir_len(f->spec.dir) > 0 ? f->spec.dir : "");
	buf_add_str(&own, path + dir_len(f->alternate));
	(void)buf_str(&own);
	rc = buf_ok(&own, e);
	if (rc == 0 && !metadata_excludes(document, buf_str(&own)))
		rc = look(u->w, buf_str(&own), &st, e);
	if (rc == 1)
		rc = u->fn(u->ctx, u->p->component, buf_str(&own), path, e);
	buf_clear(&own);
	return rc;
}

/* What cannot be listed fails the component. */
static int
find_unmet(struct unmet *u, const struct metadata_spec *spec, struct err *e)
{
	struct err why = { 0 };

	if (finder_each(spec, u->w->o->standins, u->w->o->log, on_unmet, u,
			&why) == 0)
		return 0;
	if (why.kind == ERR_SOURCE)
		return fail(u->w, u->p->component, why.text, e);
	err_move(e, &why);
	return -1;
}

/* A file set of a component that is in, and reads it. */
static bool
is_read(const struct writer_claims *w, const struct place *p)
{
	return p->kind == PLACE_SET && !p->carried && !w->plain[p->component] &&
	       !w->o->component[p->component].failed;
}

int
writer_claims_unmet(struct writer_claims *w, claims_unmet_fn fn, void *ctx,
		    struct err *e)
{
	struct unmet u = { .w = w, .fn = fn, .ctx = ctx };
	struct metadata_spec spec;
	size_t i;

	for (i = 0; i < w->places; i++) {
		const struct place *p = &w->place[i];

		if (!is_read(w, p))
			continue;
		u.p = p;
		spec = p->set->spec;
		u.alternate = false;
		if (w->o->log && find_unmet(&u, &spec, e) < 0)
			return -1;
		if (p->set->alternate == NULL)
			continue;
		spec.dir = p->set->alternate;
		u.alternate = true;
		if (find_unmet(&u, &spec, e) < 0)
			return -1;
	}
	return 0;
}

/* What an earlier generation has of a file set. */
struct gone {
	struct writer_claims *w;
	size_t component;
	const struct metadata_files *set;
	bool relics; /* of one that has failed: there is no other place */
	claims_path_fn fn;
	void *ctx;
};

/* Is it in a file set of a component that is in? */
static bool
is_claimed(struct writer_claims *w, const char *path)
{
	struct said s = { .w = w,
			  .path = path,
			  .name = strrchr(path, '/') + 1 };

	(void)each_above(w, path, (size_t)(s.name - 1 - path), hear, &s);
	return s.set != NULL;
}

/* Is nothing there, for sure?  In the snapshot, if there is one.  1 yes, 0 no. */
static int
is_gone(const struct writer_claims *w, const char *path, struct err *e)
{
	struct buf where = { 0 };
	struct err why = { 0 };
	struct statx st;
	int rc = standin_path(w->o->standins, path, &where, e);

	if (rc == 0 && src_stat(AT_FDCWD, buf_str(&where), &st, &why) < 0)
		rc = why.saved_errno == ENOENT || why.saved_errno == ENOTDIR;
	err_clear(&why);
	buf_clear(&where);
	return rc;
}

static int
on_stored(void *ctx, const char *path, const struct entry *en, struct err *e)
{
	const struct gone *g = ctx;
	struct buf other = { 0 };
	int rc;

	if (g->relics && en->type != ENTRY_DIR && is_claimed(g->w, path))
		return 0;
	rc = is_gone(g->w, path, e);
	if (rc == 1 && !g->relics && g->set->alternate != NULL) {
		buf_add_str(&other, dir_len(g->set->alternate) > 0 ?
					    g->set->alternate :
					    "");
		buf_add_str(&other, path + dir_len(g->set->spec.dir));
		(void)buf_str(&other);
		rc = buf_ok(&other, e);
		if (rc == 0)
			rc = is_gone(g->w, buf_str(&other), e);
		buf_clear(&other);
	}
	return rc == 1 ? g->fn(g->ctx, g->component, path, e) : rc;
}

int
writer_claims_gone(struct writer_claims *w, struct view_gen *before,
		   claims_path_fn fn, void *ctx, struct err *e)
{
	struct gone g = { .w = w, .fn = fn, .ctx = ctx };
	size_t i;

	for (i = 0; w->o->log && i < w->places; i++) {
		const struct place *p = &w->place[i];

		if (!is_read(w, p))
			continue;
		g.component = p->component;
		g.set = p->set;
		if (stored_each(before, &p->set->spec, on_stored, &g, e) < 0)
			return -1;
	}
	return 0;
}

/*
 * Call fn for the file sets of a component that its base was to give; they are
 * in no table any more when it has failed.
 */
typedef int (*set_fn)(void *ctx, const struct metadata_files *f, struct err *e);
static int
each_carried(struct writer_claims *w, size_t component, set_fn fn, void *ctx,
	     struct err *e)
{
	const struct claims_component *c = &w->o->component[component];
	const struct metadata *m = c->document;
	size_t i;

	/* There the base's files are what plain ones are, too. */
	for (i = 0; !w->o->log && i < m->files.count; i++) {
		const struct metadata_files *f = &m->files.v[i];

		if (is_carried(c, f) &&
		    metadata_managing(m, c->chosen, f->component) ==
			    c->component &&
		    fn(ctx, f, e) < 0)
			return -1;
	}
	return 0;
}

static int
on_relics(void *ctx, const struct metadata_files *f, struct err *e)
{
	struct gone *g = ctx;
	struct err why = { 0 };

	g->set = f;
	if (stored_each(g->w->o->component[g->component].base, &f->spec,
			on_stored, g, &why) == 0)
		return 0;
	if (why.kind == ERR_NOMEM || why.kind == ERR_CANCELLED) {
		err_move(e, &why);
		return -1;
	}
	/* What of its base is lost was not carried either, most likely. */
	note(g->w, "%s", why.text);
	err_clear(&why);
	return 0;
}

int
writer_claims_relics(struct writer_claims *w, size_t component,
		     claims_path_fn fn, void *ctx, struct err *e)
{
	struct gone g = { .w = w,
			  .component = component,
			  .relics = true,
			  .fn = fn,
			  .ctx = ctx };

	return each_carried(w, component, on_relics, &g, e);
}

struct members {
	struct writer_claims *w;
	size_t component;
	claims_path_fn fn;
	void *ctx;
};

static int
on_member(void *ctx, const char *path, struct err *e)
{
	const struct members *m = ctx;

	if (is_claimed(m->w, path))
		return 0;
	return m->fn(m->ctx, m->component, path, e);
}

/* It has failed already: what can be listed, is taken. */
static int
on_members(void *ctx, const struct metadata_files *f, struct err *e)
{
	struct members *m = ctx;
	struct err why = { 0 };

	if (finder_each(&f->spec, m->w->o->standins, true, on_member, m,
			&why) >= 0)
		return 0;
	if (why.kind != ERR_SOURCE) {
		err_move(e, &why);
		return -1;
	}
	note(m->w, "%s", why.text);
	err_clear(&why);
	return 0;
}

int
writer_claims_members(struct writer_claims *w, size_t component,
		      claims_path_fn fn, void *ctx, struct err *e)
{
	const struct reduced *r = w->o->component[component].reduced;
	struct members m = {
		.w = w, .component = component, .fn = fn, .ctx = ctx
	};
	size_t i;

	for (i = 0; r != NULL && i < r->files; i++)
		if (r->file[i].promised && (!w->o->log || r->file[i].sure) &&
		    fn(ctx, component, r->file[i].path, e) < 0)
			return -1;
	return each_carried(w, component, on_members, &m, e);
}

bool
writer_claims_is_others(struct writer_claims *w, size_t component,
			const char *path)
{
	struct said s = { .w = w,
			  .path = path,
			  .name = strrchr(path, '/') + 1 };

	(void)each_above(w, path, (size_t)(s.name - 1 - path), hear, &s);
	return s.set != NULL ? s.set->component != component : s.foreign;
}

uint64_t
writer_claims_read(const struct writer_claims *w, size_t component, size_t file,
		   const char **refused)
{
	const struct promise *p = w->promise[component];

	*refused = p != NULL ? p[file].refused : NULL;
	return p != NULL ? p[file].bytes : 0;
}

/* What became of the files so far is kept: they are not read again. */
static void
take_over(struct promise *to, size_t n, const struct reduced *old,
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
		if (add_promises(w, i, e) < 0)
			goto out;
		if (old != NULL)
			take_over(w->promise[i], reduced[i]->files, old,
				  before[i]);
	}
	rc = build(w, e);
out:
	for (i = 0; i < w->o->components; i++)
		mem_free(before[i]);
	mem_free(before);
	return rc;
}

/* --- making them --------------------------------------------------------- */

/* Is there a file set of another component where a differenced entry looks? */
struct looking {
	size_t component;
	struct metadata_spec spec;
};

static bool
looks_there(void *ctx, struct place *p)
{
	const struct looking *l = ctx;

	return (p->kind == PLACE_FOREIGN ||
		(p->kind == PLACE_SET && p->component != l->component)) &&
	       metadata_overlap(&l->spec, &p->set->spec);
}

static bool
looks_at_others(struct writer_claims *w, size_t i,
		const struct reduce_differenced *d)
{
	struct looking l = {
		.component = i,
		.spec = { d->dir, d->pattern, d->recursive, 0 },
	};
	size_t len = dir_len(d->dir);

	return each_above(w, d->dir, len, looks_there, &l) ||
	       (d->recursive && each_beneath(w, d->dir, len, looks_there, &l));
}

static void
warn_of(struct writer_claims *w, const struct claims_component *c, size_t n,
	const char *what)
{
	if (n > 0)
		note(w, "writer %s declared %zu file%s %s", c->writer, n,
		     n == 1 ? "" : "s", what);
}

/* What is odd about the declarations, whether it counts or not. */
static void
warn(struct writer_claims *w, size_t i)
{
	const struct claims_component *c = &w->o->component[i];
	const struct reduced *r = c->reduced;
	size_t outside = 0;
	size_t others = 0;
	size_t clash = 0;
	size_t k;

	for (k = 0; r != NULL && k < r->files; k++) {
		const char *path = r->file[k].path;

		outside += metadata_place(c->document, c->component, path) ==
			   PLACE_OUTSIDE;
		others += writer_claims_is_others(w, i, path);
		clash += r->file[k].clash;
	}
	warn_of(w, c, outside, "outside of its component's directories");
	warn_of(w, c, others,
		"of another component: read as that one says");
	warn_of(w, c, clash,
		"both as partial and as differenced: taken as differenced");
	for (k = 0; r != NULL && k < r->differenced_count; k++)
		if (looks_at_others(w, i, &r->differenced[k]))
			note(w,
			     "writer %s declared differenced files in %s, "
			     "where another component has files: those are "
			     "read as that one says",
			     c->writer, r->differenced[k].dir);
}

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
	w->met = mem_array(o->components + 1, sizeof(*w->met));
	if (w->promise == NULL || w->plain == NULL || w->met == NULL) {
		err_nomem(e);
		goto failed;
	}
	for (i = 0; i < o->components; i++) {
		if (i > 0 && o->component[i].document ==
				     o->component[i - 1].document)
			continue;
		w->met[i] = mem_array(o->component[i].document->files.count + 1,
				      sizeof(**w->met));
		if (w->met[i] == NULL) {
			err_nomem(e);
			goto failed;
		}
	}
	if (o->audit > 0 && io_random(&w->seed, sizeof(w->seed), e) < 0)
		goto failed;
	w->engine.dir = answer_dir;
	w->engine.find = answer_find;
	w->engine.carries = answer_carries;
	w->engine.ranges = answer_ranges;
	w->engine.open = answer_open;
	w->engine.outcome = answer_outcome;
	w->engine.missed = answer_missed;
	w->engine.read = answer_read;
	w->engine.copied = answer_copied;
	for (i = 0; i < o->components; i++)
		if (o->component[i].reduced != NULL &&
		    add_promises(w, i, e) < 0)
			goto failed;
	if (build(w, e) < 0)
		goto failed;
	for (i = 0; i < o->components; i++)
		warn(w, i);
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
	struct text *t;
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
	for (i = 0; w->met != NULL && i < w->o->components; i++)
		mem_free(w->met[i]);
	for (i = 0; i < w->o->components; i++) {
		mem_free(w->o->component[i].why);
		w->o->component[i].why = NULL;
	}
	clear_places(w);
	mem_free(w->place);
	mem_free(w->promise);
	mem_free(w->met);
	mem_free(w->plain);
	mem_free(w->extra);
	(void)pthread_mutex_destroy(&w->lock);
	(void)pthread_mutex_destroy(&w->opening);
	mem_free(w);
}
