/*
 * claims_rig - a repository, a source, and a stand-in for the writers' side:
 * what it claims of each path stands in a table.
 */
#ifndef ASOF_TESTS_LIB_CLAIMS_RIG_H
#define ASOF_TESTS_LIB_CLAIMS_RIG_H

#include "base/mem.h"
#include "base/src.h"
#include "src/engine/backup.h"
#include "src/engine/check.h"
#include "src/engine/claims.h"
#include "src/engine/graft.h"
#include "src/engine/list.h"
#include "src/engine/plan.h"
#include "src/engine/reader.h"
#include "src/engine/view.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <pthread.h>

#define RULES_MAX 32
#define GENS_MAX  64

/* What is claimed of one path below the source directory. */
struct rule {
	const char *path; /* ends with '*': all that begin so */
	struct claim claim;
	uint32_t base; /* number of the generation; 0: none */
	const struct claim_range *range;
	size_t ranges;
	int rc;          /* of ranges() */
	const char *why; /* of ranges(), 1 */
};

struct rig {
	struct fixture f;
	struct claims claims; /* a pointer to it leads to the rig */
	char src[SCRATCH_LEN + 20];
	struct rule rule[RULES_MAX];
	size_t rules;
	const char *carried_from; /* directory whose names carries() merges */
	uint32_t carry_base;
	const char *extra[4];
	int (*copied)(struct rig *r, struct graft *g, struct err *e);
	void (*opened)(struct rig *r, int fd); /* in ranges() */
	char log[8192]; /* "path: ok\n" or "path: why\n", with " (torn)" */
	uint64_t read;  /* bytes of claimed files */
	uint64_t partial; /* of those by ranges */
	size_t asked;   /* find() calls */
	struct backup_result res;
	struct backup_options opt;
	struct view_gen *gen[GENS_MAX + 1]; /* by number */
	uint32_t gens;
	char told[4096]; /* failures of sources */
};

static inline struct rig *
rig_of(struct claims *c)
{
	return (struct rig *)(void *)((char *)c - offsetof(struct rig, claims));
}

static inline const char *
rig_at(const struct rig *r, const char *name)
{
	static __thread char path[4][SCRATCH_LEN + 600];
	static __thread unsigned turn;

	turn = (turn + 1) % 4;
	(void)snprintf(path[turn], sizeof(path[turn]), "%s/%s", r->src, name);
	return path[turn];
}

static inline const struct rule *
rig_rule(const struct rig *r, const char *path)
{
	size_t n = strlen(r->src);

	if (path[0] != '/' || strncmp(path, r->src, n) != 0) {
		n = 0; /* rules for other places are absolute */
	} else {
		n += path[n] == '/';
	}
	for (size_t i = 0; i < r->rules; i++) {
		const char *want = r->rule[i].path;
		size_t len = strlen(want);

		if (len > 0 && want[len - 1] == '*' ?
			    strncmp(path + n, want, len - 1) == 0 :
			    strcmp(path + n, want) == 0)
			return &r->rule[i];
	}
	return NULL;
}

static inline enum claim_dir
rig_dir(struct claims *c, const char *path)
{
	(void)path;
	return rig_of(c)->rules > 0 ? CLAIM_DIR_SOME : CLAIM_DIR_NOTHING;
}

static inline int
rig_find(struct claims *c, const char *path, const struct statx *st,
	 struct claim *out, struct err *e)
{
	struct rig *r = rig_of(c);
	const struct rule *rule = rig_rule(r, path);

	(void)e;
	__atomic_add_fetch(&r->asked, 1, __ATOMIC_RELAXED);
	if (rule == NULL)
		return 0;
	if (st != NULL && S_ISDIR(st->stx_mode) &&
	    rule->claim.kind != CLAIM_EXCLUDED &&
	    rule->claim.kind != CLAIM_CARRIED)
		return 0;
	*out = rule->claim;
	out->base = r->gen[rule->base];
	out->promise = (void *)(uintptr_t)rule;
	return 0;
}

static inline int
rig_carries(struct claims *c, const char *path, uint64_t from,
	    struct view_gen **base, struct err *e)
{
	struct rig *r = rig_of(c);
	size_t n = r->carried_from != NULL ? strlen(r->carried_from) : 0;

	(void)e;
	*base = NULL;
	if (n > 0 && from <= r->carry_base &&
	    strncmp(path, r->carried_from, n) == 0 &&
	    (path[n] == '\0' || path[n] == '/'))
		*base = r->gen[r->carry_base];
	return 0;
}

static inline int
rig_ranges(struct claims *c, const struct claim *claim, int fd,
	   const struct statx *now, const struct entry *entry,
	   struct claim_range **out, size_t *n, const char **why,
	   struct err *e)
{
	struct rig *r = rig_of(c);
	const struct rule *rule = claim->promise;

	assert_true(fd >= 0);
	assert_non_null(entry);
	assert_true(S_ISREG(now->stx_mode));
	if (r->opened != NULL)
		r->opened(r, fd);
	if (rule->rc < 0)
		return err_set(e, ERR_SOURCE, "%s", rule->why);
	if (rule->rc > 0) {
		*why = rule->why;
		return 1;
	}
	*out = mem_array(rule->ranges + 1, sizeof(**out));
	if (*out == NULL)
		return err_nomem(e);
	if (rule->ranges > 0)
		memcpy(*out, rule->range, rule->ranges * sizeof(**out));
	*n = rule->ranges;
	return 0;
}

static inline void
rig_outcome(struct claims *c, size_t owner, const char *path, const char *why,
	    bool torn)
{
	struct rig *r = rig_of(c);
	size_t at = strlen(r->log), n = strlen(r->src);

	(void)owner;
	if (strncmp(path, r->src, n) == 0 && path[n] == '/')
		path += n + 1;
	(void)snprintf(r->log + at, sizeof(r->log) - at, "%s: %s%s\n", path,
		       why != NULL ? why : "ok", torn ? " (torn)" : "");
}

static inline void
rig_missed(struct claims *c, const char *path, const char *why)
{
	rig_outcome(c, 0, path, why, false);
}

static inline void
rig_read(struct claims *c, size_t owner, const char *path, uint64_t bytes,
	 bool partial)
{
	(void)owner;
	(void)path;
	rig_of(c)->read += bytes;
	if (partial)
		rig_of(c)->partial += bytes;
}

static inline int
rig_copied(struct claims *c, struct graft *g, struct err *e)
{
	struct rig *r = rig_of(c);

	return r->copied != NULL ? r->copied(r, g, e) : 0;
}

static inline void
rig_failed(void *ctx, const char *path, const struct err *why)
{
	struct rig *r = ctx;
	size_t at = strlen(r->told);

	(void)snprintf(r->told + at, sizeof(r->told) - at, "%s: %s\n", path,
		       why->text);
}

static inline void
rig_begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	fixture_begin(&r->f);
	(void)snprintf(r->src, sizeof(r->src), "%s/src", r->f.scratch.path);
	assert_int_equal(mkdir(r->src, 0700), 0);
	r->claims = (struct claims){
		.dir = rig_dir,
		.find = rig_find,
		.carries = rig_carries,
		.ranges = rig_ranges,
		.outcome = rig_outcome,
		.missed = rig_missed,
		.read = rig_read,
		.copied = rig_copied,
		.extra = r->extra,
	};
	r->opt.failed = rig_failed;
	r->opt.ctx = r;
	r->opt.readers = 4;
	r->opt.threads = 2;
	fixture_open(&r->f, NULL);
}

static inline void
rig_close(struct rig *r)
{
	for (uint32_t i = 1; i <= r->gens; i++) {
		view_unref(r->gen[i]);
		r->gen[i] = NULL;
	}
	fixture_close(&r->f);
}

static inline void
rig_damage(void *ctx, const char *where, const char *what)
{
	(void)ctx;
	fail_msg("check: %s: %s", where, what);
}

/* Every generation must be sound. */
static inline void
rig_check(struct rig *r, struct check_result *out)
{
	struct check_options o = { .data = true,
				   .threads = 2,
				   .damage = rig_damage };
	struct err e = { 0 };

	MUST(check_run(r->f.store, &o, out, &e), &e);
	assert_int_equal(out->damaged, 0);
}

static inline void
rig_end(struct rig *r)
{
	struct check_result res;

	rig_check(r, &res);
	rig_close(r);
	fixture_end(&r->f);
}

/* A session holds the lock of its set: the next run needs another one. */
static inline void
rig_reopen(struct rig *r)
{
	struct err e = { 0 };

	rig_close(r);
	fixture_open(&r->f, NULL);
	for (uint32_t i = 1; i <= r->gens; i++)
		MUST(view_open(r->f.store, i, &r->gen[i], &e), &e);
}

static inline struct rule *
rig_add(struct rig *r, const char *path, enum claim_kind kind, uint32_t base)
{
	struct rule *rule = &r->rule[r->rules++];

	assert_true(r->rules <= RULES_MAX);
	memset(rule, 0, sizeof(*rule));
	rule->path = path;
	rule->claim.kind = kind;
	rule->base = base;
	return rule;
}

/* One backup; -1 with the sentence in *e. */
static inline int
rig_try(struct rig *r, enum generation_type type, bool claims, struct err *e)
{
	const char *sources[1] = { r->src };
	struct backup_job *j = NULL;
	int rc;

	r->log[0] = '\0';
	r->told[0] = '\0';
	r->read = r->partial = 0;
	r->asked = 0;
	r->opt.sources = sources;
	r->opt.source_count = 1;
	r->opt.type = type;
	if (backup_begin(r->f.store, &r->opt, &j, e) < 0)
		return -1;
	rc = backup_walk(j, claims ? &r->claims : NULL, &r->res, e);
	backup_job_free(j);
	return rc;
}

/* The same, which must succeed; the number of the generation. */
static inline uint32_t
rig_backup(struct rig *r, enum generation_type type, bool claims)
{
	struct err e = { 0 };

	rig_reopen(r);
	MUST(rig_try(r, type, claims, &e), &e);
	r->gens = r->res.number;
	assert_true(r->gens <= GENS_MAX);
	rig_reopen(r);
	return r->gens;
}

/* The stored node of a path below the source; false: there is none. */
static inline bool
rig_node(struct rig *r, uint32_t number, const char *name, struct node *out)
{
	struct err e = { 0 };
	int rc = view_path(r->gen[number],
			   name[0] == '/' ? name : rig_at(r, name), out, &e);

	if (rc < 0)
		fail_msg("%s: %s", name, e.text);
	return rc == 0;
}

/* All bytes of a stored file, to be freed. */
static inline uint8_t *
rig_bytes(struct rig *r, uint32_t number, const char *name, size_t *len)
{
	struct file_reader f;
	struct err e = { 0 };
	struct node n;
	uint8_t *p;

	assert_true(rig_node(r, number, name, &n));
	*len = (size_t)n.entry.size;
	p = mem_alloc(*len + 1);
	assert_non_null(p);
	MUST(file_reader_init(&f, r->gen[number]->reader, &n.entry.content,
			      n.entry.size, &e),
	     &e);
	if (file_read(&f, 0, p, *len, NULL, &e) != (ssize_t)*len)
		fail_msg("%s: %s", name, e.text);
	file_reader_clear(&f);
	node_clear(&n);
	p[*len] = '\0';
	return p;
}

static inline void
rig_write(struct rig *r, const char *name, const char *text)
{
	scratch_write(rig_at(r, name), text, strlen(text));
}

static inline void
rig_mkdir(struct rig *r, const char *name, mode_t mode)
{
	assert_int_equal(mkdir(rig_at(r, name), mode), 0);
}

/* Is the stored file this text? */
static inline void
rig_holds(struct rig *r, uint32_t number, const char *name, const char *text)
{
	size_t len;
	uint8_t *p = rig_bytes(r, number, name, &len);

	if (len != strlen(text) || memcmp(p, text, len) != 0)
		fail_msg("generation %u: %s is \"%.100s\", not \"%s\"", number,
			 name, (char *)p, text);
	mem_free(p);
}

static inline void
rig_lacks(struct rig *r, uint32_t number, const char *name)
{
	struct node n;

	assert_false(rig_node(r, number, name, &n));
}

/* Stored: as many bytes, data and holes where the source has them. */
static inline void
rig_same_file(struct rig *r, uint32_t number, const char *name)
{
	size_t len;
	uint8_t *p = rig_bytes(r, number, name, &len);
	uint8_t *now = mem_alloc(len + 2);
	struct filemap_iter it;
	struct extent x;
	struct err e = { 0 };
	uint64_t at = 0, holes = 0;
	struct node n;
	int fd = open(rig_at(r, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	assert_true(fd >= 0);
	assert_non_null(now);
	if (scratch_read(rig_at(r, name), now, len + 2) != len)
		fail_msg("generation %u: %s has another length", number, name);
	for (size_t i = 0; i < len; i++)
		if (p[i] != now[i])
			fail_msg("generation %u: %s differs at %zu", number,
				 name, i);
	assert_true(rig_node(r, number, name, &n));
	MUST(filemap_iter_init(&it, r->gen[number]->reader, &n.entry.content,
			       n.entry.size, &e),
	     &e);
	for (int rc; (rc = filemap_iter_next(&it, &x, &e)) != 0;) {
		if (rc < 0)
			fail_msg("%s: %s", name, e.text);
		assert_int_equal(x.offset, at);
		at += x.len;
		if (!x.hole)
			continue;
		holes += x.len;
		if (lseek(fd, (off_t)x.offset, SEEK_DATA) >= 0 &&
		    (uint64_t)lseek(fd, (off_t)x.offset, SEEK_DATA) < at)
			fail_msg("generation %u: %s has no hole at %llu", number,
				 name, (unsigned long long)x.offset);
	}
	assert_int_equal(at, len);
	for (off_t h = 0, d; h < (off_t)len; h = d) {
		h = lseek(fd, h, SEEK_HOLE);
		d = h < (off_t)len ? lseek(fd, h, SEEK_DATA) : h;
		if (d < 0)
			d = (off_t)len;
		if (h < (off_t)len)
			holes -= (uint64_t)(d - h);
	}
	if (holes != 0)
		fail_msg("generation %u: %s: holes differ by %lld", number,
			 name, (long long)holes);
	filemap_iter_clear(&it);
	node_clear(&n);
	assert_int_equal(close(fd), 0);
	mem_free(now);
	mem_free(p);
}

/* The exceptions list as lines "NAME reason text". */
struct rig_lines {
	const struct rig *r;
	char text[8192];
};

static inline int
rig_add_line(void *ctx, const void *p, size_t len, struct err *e)
{
	struct rig_lines *l = ctx;
	struct rd rd = rd_init(p, len);
	size_t path_len, text_len, at = strlen(l->text);
	size_t cut = strlen(l->r->src) + 1;
	const uint8_t *path = rd_string(&rd, LIST_ITEM_MAX, &path_len);
	uint64_t kind = rd_varint(&rd), reason = rd_varint(&rd);
	const uint8_t *text = rd_string(&rd, LIST_ITEM_MAX, &text_len);

	(void)e;
	assert_true(rd_done(&rd));
	if (path_len <= cut || memcmp(path, l->r->src, cut - 1) != 0)
		cut = 0;
	(void)snprintf(l->text + at, sizeof(l->text) - at, "%.*s %s %.*s\n",
		       (int)(path_len - cut), (const char *)path + cut,
		       kind == 1 ? plan_reason_name((enum plan_reason)reason) :
				   "-",
		       (int)text_len, (const char *)text);
	return 0;
}

/* Does the generation's list of exceptions have this line? */
static inline void
rig_says(struct rig *r, uint32_t number, const char *line)
{
	struct rig_lines l = { .r = r };
	struct err e = { 0 };

	MUST(list_each(r->gen[number]->reader,
		       &r->gen[number]->record.exceptions, rig_add_line, &l,
		       &e),
	     &e);
	if (strstr(l.text, line) == NULL)
		fail_msg("no \"%s\" in:\n%s", line, l.text);
}

static inline void
rig_told(const struct rig *r, const char *line)
{
	if (strstr(r->log, line) == NULL)
		fail_msg("no outcome \"%s\" in:\n%s", line, r->log);
}

#endif
