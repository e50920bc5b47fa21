/*
 * root.c
 *
 * A list is laid out directory by directory.  Each directory's items go by
 * generation number, whatever their names: so a place in a directory that is
 * being read (the cookie) stays right when generations come and go meanwhile.
 *
 * A refresh reads the names in generations/ and the records that are new;
 * records never change.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/root.h"

#include "base/err.h"
#include "base/mem.h"
#include "fuse/report.h"
#include "src/engine/generation.h"
#include "store/id.h"
#include "store/repository.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define TYPES_FIRST GEN_FULL
#define TYPES_LAST  GEN_COPY

_Static_assert(ROOT_INO_TYPE + TYPES_LAST < ROOT_INO_LINK,
	       "numbers of fixed directories end before those of symlinks");
_Static_assert(ROOT_INO_SET * 2 <= ROOT_INO_VERSION,
	       "numbers of sets end before those of versions/");
_Static_assert(RECORD_NUMBER_MAX < ROOT_INO_LINK,
	       "a generation's number has room in that of a symlink");

#define LINK_DEPTHS   3 /* "", "../", "../../" */
#define SET_HASH_MASK (ROOT_INO_SET - 1)

/* Cookies: those of generations are their numbers, and these before them. */
#define COOKIE_FIRST 1

/* --- building ------------------------------------------------------------- */

/* A set among those that the generations name. */
struct set {
	const char *name;
	uint64_t ino;
};

struct builder {
	struct root_list *list;
	struct set *set;
	size_t sets;
	size_t dirs_cap, items_cap;
	bool failed;
};

static void
begin_dir(struct builder *b, uint64_t ino, uint64_t parent)
{
	struct root_list *l = b->list;
	struct root_dir *more;

	if (b->failed)
		return;
	if (l->dirs == b->dirs_cap) {
		more = mem_resize(l->dir, b->dirs_cap * 2 + 16, sizeof(*more));
		if (more == NULL) {
			b->failed = true;
			return;
		}
		l->dir = more;
		b->dirs_cap = b->dirs_cap * 2 + 16;
	}
	l->dir[l->dirs++] = (struct root_dir){
		.ino = ino,
		.parent = parent,
		.first = l->items,
	};
}

/* Add to the directory begun last. */
static void
add_item(struct builder *b, const struct root_item *item, const char *name)
{
	struct root_list *l = b->list;
	struct root_item *more;
	struct root_dir *d;

	if (b->failed)
		return;
	if (l->items == b->items_cap) {
		more = mem_resize(l->item, b->items_cap * 2 + 64,
				  sizeof(*more));
		if (more == NULL) {
			b->failed = true;
			return;
		}
		l->item = more;
		b->items_cap = b->items_cap * 2 + 64;
	}
	d = &l->dir[l->dirs - 1];
	l->item[l->items] = *item;
	l->item[l->items++].name = (uint32_t)l->names.len;
	buf_add(&l->names, name, strlen(name) + 1);
	d->count++;
	if (item->kind != ROOT_LINK)
		d->dirs++;
}

static void
add_dir(struct builder *b, uint64_t cookie, uint64_t ino, const char *name)
{
	struct root_item item = {
		.ino = ino,
		.cookie = cookie,
		.kind = ROOT_DIR,
	};

	add_item(b, &item, name);
}

static void
add_link(struct builder *b, uint64_t cookie, unsigned depth, uint32_t number,
	 const char *name)
{
	struct root_item item = {
		.ino = ROOT_INO_LINK * (1 + depth) + number,
		.cookie = cookie,
		.number = number,
		.kind = ROOT_LINK,
	};

	add_item(b, &item, name);
}

/* Cookie of a generation's item; before it, room for "latest" and the like. */
static uint64_t
cookie_of(uint32_t number)
{
	return (uint64_t)COOKIE_FIRST + 16 + number;
}

/*
 * The generation that "latest" means, as in generation_find(): a damaged one
 * counts, lest an older one be taken for it; but not for one set.
 */
static const struct root_gen *
find_latest(const struct root_list *l, const char *set)
{
	size_t i;

	for (i = l->gens; i-- > 0;) {
		const struct root_gen *g = &l->gen[i];

		if (set != NULL && strcmp(g->set, set) != 0)
			continue;
		if (!g->log)
			return g;
	}
	return NULL;
}

static void
build_top(struct builder *b)
{
	const struct root_gen *latest = find_latest(b->list, NULL);

	begin_dir(b, ROOT_INO, ROOT_INO);
	if (latest != NULL)
		add_link(b, COOKIE_FIRST, 0, latest->number, "latest");
	add_dir(b, COOKIE_FIRST + 1, ROOT_INO_GENERATIONS, "generations");
	add_dir(b, COOKIE_FIRST + 2, ROOT_INO_BY_TIME, "by-time");
	add_dir(b, COOKIE_FIRST + 3, ROOT_INO_BY_SET, "by-set");
	add_dir(b, COOKIE_FIRST + 4, ROOT_INO_BY_TYPE, "by-type");
	add_dir(b, COOKIE_FIRST + 5, ROOT_INO_VERSIONS, "versions");
}

static void
build_generations(struct builder *b)
{
	const struct root_list *l = b->list;
	char name[16];
	size_t i;

	begin_dir(b, ROOT_INO_GENERATIONS, ROOT_INO);
	for (i = 0; i < l->gens; i++) {
		uint32_t n = l->gen[i].number;
		struct root_item item = {
			.ino = ((uint64_t)n << 40) | 1,
			.cookie = cookie_of(n),
			.number = n,
			.kind = ROOT_GENERATION,
		};

		(void)snprintf(name, sizeof(name), "%" PRIu32, n);
		add_item(b, &item, name);
	}
}

/* Without colons, which paths in lists and host names do not bear. */
static void
time_name(char out[TIME_TEXT_LEN], struct ts t)
{
	char *p;

	(void)time_text(out, t, false);
	for (p = out; *p != '\0'; p++)
		if (*p == ':')
			*p = '-';
}

/* Those of the same second are told apart by ~2, ~3 in order of number. */
static void
build_by_time(struct builder *b)
{
	const struct root_list *l = b->list;
	char name[TIME_TEXT_LEN + 16];
	size_t i;
	size_t k;

	begin_dir(b, ROOT_INO_BY_TIME, ROOT_INO);
	for (i = 0; i < l->gens; i++) {
		const struct root_gen *g = &l->gen[i];
		unsigned same = 1;

		if (g->damaged)
			continue;
		for (k = 0; k < i; k++)
			if (!l->gen[k].damaged &&
			    l->gen[k].instant.sec == g->instant.sec)
				same++;
		time_name(name, g->instant);
		if (same > 1)
			(void)snprintf(name + strlen(name), 16, "~%u", same);
		add_link(b, cookie_of(g->number), 1, g->number, name);
	}
}

static void
build_set(struct builder *b, const struct set *s)
{
	const struct root_list *l = b->list;
	const struct root_gen *latest = find_latest(l, s->name);
	char name[16];
	size_t i;

	begin_dir(b, s->ino, ROOT_INO_BY_SET);
	if (latest != NULL)
		add_link(b, COOKIE_FIRST, 2, latest->number, "latest");
	for (i = 0; i < l->gens; i++) {
		const struct root_gen *g = &l->gen[i];

		if (strcmp(g->set, s->name) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%" PRIu32, g->number);
		add_link(b, cookie_of(g->number), 2, g->number, name);
	}
}

static void
build_by_set(struct builder *b)
{
	size_t i;

	begin_dir(b, ROOT_INO_BY_SET, ROOT_INO);
	for (i = 0; i < b->sets; i++)
		add_dir(b, b->set[i].ino, b->set[i].ino, b->set[i].name);
	for (i = 0; i < b->sets; i++)
		build_set(b, &b->set[i]);
}

static void
build_type(struct builder *b, unsigned type)
{
	const struct root_list *l = b->list;
	char name[16];
	size_t i;

	begin_dir(b, ROOT_INO_TYPE + type, ROOT_INO_BY_TYPE);
	for (i = 0; i < l->gens; i++) {
		const struct root_gen *g = &l->gen[i];

		if (g->damaged || g->type != type)
			continue;
		(void)snprintf(name, sizeof(name), "%" PRIu32, g->number);
		add_link(b, cookie_of(g->number), 2, g->number, name);
	}
}

static void
build_by_type(struct builder *b)
{
	unsigned t;

	begin_dir(b, ROOT_INO_BY_TYPE, ROOT_INO);
	for (t = TYPES_FIRST; t <= TYPES_LAST; t++)
		add_dir(b, COOKIE_FIRST + t, ROOT_INO_TYPE + t,
			generation_type_name(t));
	for (t = TYPES_FIRST; t <= TYPES_LAST; t++)
		build_type(b, t);
}

/* --- sets ----------------------------------------------------------------- */

static uint64_t
set_ino(const char *name)
{
	uint64_t h;

	hash_plain(name, strlen(name), &h, sizeof(h));
	return ROOT_INO_SET | (h & SET_HASH_MASK);
}

/*
 * By number, because the directory of sets is listed that way.  Two names of
 * one number: the second gets the next.
 */
static int
add_set(struct builder *b, const char *name, struct err *e)
{
	uint64_t ino = set_ino(name);
	struct set *more;
	size_t i = 0;
	size_t k;

	for (k = 0; k < b->sets; k++)
		if (strcmp(b->set[k].name, name) == 0)
			return 0;
	more = mem_resize(b->set, b->sets + 1, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	b->set = more;
	while (i < b->sets && b->set[i].ino <= ino) {
		if (b->set[i].ino == ino)
			ino++;
		i++;
	}
	memmove(&b->set[i + 1], &b->set[i], (b->sets - i) * sizeof(*more));
	b->set[i] = (struct set){ .name = name, .ino = ino };
	b->sets++;
	return 0;
}

static int
find_sets(struct builder *b, struct err *e)
{
	const struct root_list *l = b->list;
	size_t i;

	for (i = 0; i < l->gens; i++)
		if (l->gen[i].set[0] != '\0' &&
		    add_set(b, l->gen[i].set, e) < 0)
			return -1;
	return 0;
}

/* --- lists ---------------------------------------------------------------- */

static struct ts
next_version(struct ts after)
{
	struct ts now = time_now();

	return ts_cmp(now, after) > 0 ? now : ts_add_ns(after, 1);
}

int
root_list_new(struct root_gen *gen, size_t gens, uint32_t highest,
	      struct ts after, struct root_list **out, struct err *e)
{
	struct root_list *l = mem_zalloc(sizeof(*l));
	struct builder b = { .list = l };
	int rc = -1;

	if (l == NULL) {
		mem_free(gen);
		return err_nomem(e);
	}
	l->refs = 1;
	l->gen = gen;
	l->gens = gens;
	l->highest = highest;
	l->version = next_version(after);
	if (find_sets(&b, e) < 0)
		goto out;
	build_top(&b);
	build_generations(&b);
	build_by_time(&b);
	build_by_set(&b);
	build_by_type(&b);
	if (b.failed) {
		err_nomem(e);
		goto out;
	}
	rc = buf_ok(&l->names, e);
out:
	mem_free(b.set);
	if (rc < 0)
		root_list_unref(l);
	else
		*out = l;
	return rc;
}

struct root_list *
root_list_ref(struct root_list *l)
{
	__atomic_add_fetch(&l->refs, 1, __ATOMIC_RELAXED);
	return l;
}

void
root_list_unref(struct root_list *l)
{
	if (l == NULL || __atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	mem_free(l->gen);
	mem_free(l->dir);
	mem_free(l->item);
	buf_clear(&l->names);
	mem_free(l);
}

/* --- looking -------------------------------------------------------------- */

const struct root_dir *
root_find_dir(const struct root_list *l, uint64_t ino)
{
	size_t i;

	for (i = 0; i < l->dirs; i++)
		if (l->dir[i].ino == ino)
			return &l->dir[i];
	return NULL;
}

const char *
root_item_name(const struct root_list *l, const struct root_item *i)
{
	return (const char *)l->names.data + i->name;
}

const struct root_item *
root_find_item(const struct root_list *l, const struct root_dir *d,
	       const char *name)
{
	size_t i;

	for (i = d->first; i < d->first + d->count; i++)
		if (strcmp(root_item_name(l, &l->item[i]), name) == 0)
			return &l->item[i];
	return NULL;
}

const struct root_gen *
root_find_gen(const struct root_list *l, uint32_t number)
{
	size_t low = 0;
	size_t high = l->gens;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->gen[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == l->gens || l->gen[low].number != number)
		return NULL;
	return &l->gen[low];
}

bool
root_target(uint64_t ino, uint32_t *number, char out[ROOT_TARGET_LEN])
{
	static const char *const up[LINK_DEPTHS] = { "", "../", "../../" };
	uint64_t depth = ino / ROOT_INO_LINK - 1;

	if (ino < ROOT_INO_LINK || depth >= LINK_DEPTHS)
		return false;
	*number = (uint32_t)(ino % ROOT_INO_LINK);
	(void)snprintf(out, ROOT_TARGET_LEN, "%sgenerations/%" PRIu32,
		       up[depth], *number);
	return true;
}

/* --- reading -------------------------------------------------------------- */

struct root {
	const struct repository *repository;
	pthread_mutex_t lock;
	struct root_list *list; /* lock */
};

static int
take_facts(struct root_gen *g, const struct record *r, struct err *e)
{
	g->log = r->session_type == GEN_LOG;
	g->type = r->effective_type;
	g->instant = r->instant;
	g->bytes = r->counts.bytes;
	g->inodes = r->counts.inodes;
	/* One that cannot be the name of a directory is in no set here. */
	if (set_name_ok(r->set))
		(void)snprintf(g->set, sizeof(g->set), "%s", r->set);
	memcpy(g->set_id, r->set_id, sizeof(g->set_id));
	g->tree = r->root.dir;
	return history_version(&r->root, g->version, e);
}

/*
 * A record that says what is wrong with it stays as it is; where the machine
 * failed, the next look may have more luck.
 */
static int
read_gen(const struct root *r, uint32_t number, bool silent,
	 struct root_gen *out, struct err *e)
{
	struct record rec = { 0 };
	struct err why = { 0 };
	int rc = generation_read(r->repository, number, &rec, &why);

	if (rc == 1)
		return 1;
	memset(out, 0, sizeof(*out));
	out->number = number;
	if (rc == 0) {
		rc = take_facts(out, &rec, e);
		record_clear(&rec);
		return rc;
	}
	if (why.kind == ERR_NOMEM) {
		err_move(e, &why);
		return -1;
	}
	out->damaged = true;
	out->doubtful = why.kind == ERR_SYS;
	if (!silent)
		report_line("%s", why.text);
	return 0;
}

/* The facts about these generations, what is known from `old`. */
static int
gather(const struct root *r, const struct generation_names *names,
       const struct root_list *old, struct root_gen **out, size_t *count,
       struct err *e)
{
	const struct root_gen *known;
	struct root_gen *gen = mem_array(names->count + 1, sizeof(*gen));
	size_t n = 0;
	size_t i;
	int rc;

	if (gen == NULL)
		return err_nomem(e);
	for (i = 0; i < names->count; i++) {
		known = NULL;
		if (old != NULL)
			known = root_find_gen(old, names->number[i]);
		if (known != NULL && !known->doubtful) {
			gen[n++] = *known;
			continue;
		}
		rc = read_gen(r, names->number[i], known != NULL, &gen[n], e);
		if (rc < 0) {
			mem_free(gen);
			return -1;
		}
		if (rc == 0)
			n++;
	}
	*out = gen;
	*count = n;
	return 0;
}

/* Whether `old` is of these numbers, and nothing in it is open to doubt. */
static bool
is_settled(const struct root_list *old, const struct generation_names *names)
{
	size_t i;

	if (old == NULL || old->gens != names->count ||
	    old->highest != names->highest)
		return false;
	for (i = 0; i < old->gens; i++)
		if (old->gen[i].number != names->number[i] ||
		    old->gen[i].doubtful)
			return false;
	return true;
}

/* Whether the facts are those of `old`; of a record they never change. */
static bool
is_same(const struct root_list *old, const struct root_gen *gen, size_t count,
	uint32_t highest)
{
	size_t i;

	if (old == NULL || old->gens != count || old->highest != highest)
		return false;
	for (i = 0; i < count; i++)
		if (old->gen[i].number != gen[i].number ||
		    old->gen[i].damaged != gen[i].damaged ||
		    old->gen[i].doubtful != gen[i].doubtful)
			return false;
	return true;
}

/* A new list; 1 when it would say what `old` says. */
static int
read_list(const struct root *r, const struct root_list *old,
	  struct root_list **out, struct err *e)
{
	struct generation_names names = { 0 };
	struct root_gen *gen = NULL;
	struct ts after = { 0 };
	size_t count = 0;
	int rc = -1;

	if (repository_generations(r->repository, &names, e) < 0)
		return -1;
	if (is_settled(old, &names)) {
		rc = 1;
		goto out;
	}
	if (gather(r, &names, old, &gen, &count, e) < 0)
		goto out;
	if (is_same(old, gen, count, names.highest)) {
		mem_free(gen);
		rc = 1;
		goto out;
	}
	if (old != NULL)
		after = old->version;
	rc = root_list_new(gen, count, names.highest, after, out, e);
out:
	generation_names_clear(&names);
	return rc;
}

int
root_new(const struct repository *repository, struct root **out, struct err *e)
{
	struct root *r = mem_zalloc(sizeof(*r));

	if (r == NULL)
		return err_nomem(e);
	r->repository = repository;
	(void)pthread_mutex_init(&r->lock, NULL);
	if (read_list(r, NULL, &r->list, e) < 0) {
		root_free(r);
		return -1;
	}
	*out = r;
	return 0;
}

void
root_free(struct root *r)
{
	if (r == NULL)
		return;
	root_list_unref(r->list);
	(void)pthread_mutex_destroy(&r->lock);
	mem_free(r);
}

struct root_list *
root_current(struct root *r)
{
	struct root_list *l;

	(void)pthread_mutex_lock(&r->lock);
	l = root_list_ref(r->list);
	(void)pthread_mutex_unlock(&r->lock);
	return l;
}

int
root_refresh(struct root *r, struct root_list **before, struct err *e)
{
	struct root_list *l;
	/* Only this thread puts another list there. */
	int rc = read_list(r, r->list, &l, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	(void)pthread_mutex_lock(&r->lock);
	*before = r->list;
	r->list = l;
	(void)pthread_mutex_unlock(&r->lock);
	return 1;
}
