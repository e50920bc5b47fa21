/*
 * generation.c
 *
 * The list is read from the records each time: they are the truth, and a
 * list of thousands is a few megabytes.  A cache of summaries would go into
 * load_one() and nowhere else.
 *
 * "Newest" is by number, which is given out at the moment of publishing,
 * and never by clock.  Only where a person names a time are instants
 * compared.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/generation.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "store/index.h"
#include "store/pack.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- loading ------------------------------------------------------------- */

/* Failures that say nothing about the record that was being read. */
static bool
is_our_trouble(const struct err *e)
{
	if (e->kind == ERR_NOMEM || e->kind == ERR_CANCELLED)
		return true;
	return e->kind == ERR_SYS &&
	       (e->saved_errno == EMFILE || e->saved_errno == ENFILE);
}

int
generation_read(const struct repository *r, uint32_t number, struct record *out,
		struct err *e)
{
	struct buf bytes = { 0 };
	struct record rec = { 0 };
	int rc = repository_read_generation(r, number, &bytes, e);

	if (rc != 0)
		goto out;
	rc = -1;
	if (record_decode(bytes.data, bytes.len, &r->keys, r->config.id, &rec,
			  e) < 0)
		goto out;
	if (rec.number != number) {
		err_set(e, ERR_CORRUPT,
			"the record says that it is number %" PRIu32,
			rec.number);
		record_clear(&rec);
		goto out;
	}
	*out = rec;
	rc = 0;
out:
	buf_clear(&bytes);
	if (rc < 0)
		err_prefix(e, "generation %" PRIu32, number);
	return rc;
}

static int
load_one(const struct repository *r, uint32_t number, struct generation *g,
	 struct err *e)
{
	struct err why = { 0 };
	int rc = generation_read(r, number, &g->record, &why);

	g->number = number;
	if (rc >= 0)
		return rc;
	if (is_our_trouble(&why)) {
		err_move(e, &why);
		return -1;
	}
	g->damaged = true;
	g->unsupported = why.kind == ERR_UNSUPPORTED;
	g->why = mem_strdup(why.text);
	return g->why != NULL ? 0 : err_nomem(e);
}

int
generation_list_load(const struct repository *r, struct generation_list *out,
		     struct err *e)
{
	struct generation_names names = { 0 };
	struct generation_list l = { 0 };
	int rc = -1;
	size_t i;

	if (repository_generations(r, &names, e) < 0)
		return -1;
	l.highest = names.highest;
	if (names.count > 0) {
		l.item = mem_array(names.count, sizeof(*l.item));
		if (l.item == NULL) {
			err_nomem(e);
			goto out;
		}
	}
	for (i = 0; i < names.count; i++) {
		int got = load_one(r, names.number[i], &l.item[l.count], e);

		if (got < 0)
			goto out;
		/* 1: forgotten since its name was read. */
		if (got == 0)
			l.count++;
	}
	*out = l;
	memset(&l, 0, sizeof(l));
	rc = 0;
out:
	generation_list_clear(&l);
	generation_names_clear(&names);
	return rc;
}

void
generation_list_clear(struct generation_list *l)
{
	size_t i;

	for (i = 0; i < l->count; i++) {
		record_clear(&l->item[i].record);
		mem_free(l->item[i].why);
	}
	mem_free(l->item);
	memset(l, 0, sizeof(*l));
}

/* --- what people write --------------------------------------------------- */

enum wanted {
	WANT_NUMBER, /* 42 */
	WANT_BACK,   /* latest~N */
	WANT_TIME,   /* the newest not after an instant */
};

/* A name, taken apart. */
struct query {
	enum wanted want;
	bool any_set;
	char set[SET_NAME_MAX + 1]; /* unless any_set */
	uint64_t n;                 /* the number, or how many back */
	struct ts until;
};

/*
 * Decimal digits and nothing else.  What no 64 bits hold is as good as the
 * largest number: there is no such generation.
 */
static bool
parse_digits(const char *s, uint64_t *out)
{
	uint64_t v = 0;

	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return false;
		if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			v = UINT64_MAX;
	}
	*out = v;
	return true;
}

/* "latest" or "latest~N" */
static bool
parse_latest(const char *s, struct query *q)
{
	static const char word[] = "latest";

	if (strncmp(s, word, sizeof(word) - 1) != 0)
		return false;
	s += sizeof(word) - 1;
	q->want = WANT_BACK;
	q->n = 0;
	if (*s == '\0')
		return true;
	return *s == '~' && parse_digits(s + 1, &q->n);
}

/* A number as the repository writes it: no sign, no leading zero. */
static bool
parse_number(const char *s, struct query *q)
{
	q->want = WANT_NUMBER;
	return *s != '0' && parse_digits(s, &q->n);
}

static bool
parse_time(const char *s, struct query *q)
{
	bool day;

	q->want = WANT_TIME;
	return time_parse(s, &q->until, &day);
}

/* Take `name` apart; false when it is of none of the forms. */
static bool
parse_name(const char *name, struct query *q)
{
	const char *at = strchr(name, '@');
	size_t len;

	memset(q, 0, sizeof(*q));
	q->any_set = at == NULL || at == name;
	if (at == NULL)
		return parse_latest(name, q) || parse_number(name, q);
	if (at == name)
		return parse_time(at + 1, q);
	len = (size_t)(at - name);
	if (len > SET_NAME_MAX)
		return false;
	memcpy(q->set, name, len);
	if (!set_name_ok(q->set))
		return false;
	return parse_latest(at + 1, q) || parse_number(at + 1, q) ||
	       parse_time(at + 1, q);
}

static bool
of_set(const struct generation *g, const struct query *q)
{
	return q->any_set ||
	       (!g->damaged && strcmp(g->record.set, q->set) == 0);
}

static const struct generation *
find_number(const struct generation_list *l, const struct query *q)
{
	size_t i;

	for (i = l->count; i-- > 0;)
		if (l->item[i].number == q->n)
			return &l->item[i];
	return NULL;
}

/*
 * Without a set, a damaged generation counts: it may be what is asked for,
 * and to hand out an older one in its place would be a guess.  With a set it
 * does not, because damage in one set must not stop the others.
 */
static const struct generation *
find_back(const struct generation_list *l, const struct query *q)
{
	uint64_t left = q->n;
	size_t i;

	for (i = l->count; i-- > 0;) {
		const struct generation *g = &l->item[i];

		if (!of_set(g, q))
			continue;
		if (!g->damaged && g->record.session_type == GEN_LOG)
			continue;
		if (left-- == 0)
			return g;
	}
	return NULL;
}

static const struct generation *
find_until(const struct generation_list *l, const struct query *q)
{
	const struct generation *best = NULL;
	size_t i;

	for (i = 0; i < l->count; i++) {
		const struct generation *g = &l->item[i];

		if (g->damaged || !of_set(g, q))
			continue;
		if (g->record.session_type == GEN_LOG ||
		    ts_cmp(g->record.instant, q->until) > 0)
			continue;
		if (best == NULL ||
		    ts_cmp(g->record.instant, best->record.instant) >= 0)
			best = g;
	}
	return best;
}

static int
refuse_damaged(const struct generation *g, struct err *e)
{
	return err_set(e, g->unsupported ? ERR_UNSUPPORTED : ERR_CORRUPT, "%s",
		       g->why);
}

int
generation_find(const struct generation_list *l, const char *name,
		const struct generation **out, struct err *e)
{
	static const char *const forms =
		"write 42, latest, latest~1, "
		"SET@latest, SET@42, SET@2026-11-20 or @2026-11-20T18:00";
	char shown[PATH_SHOW_LEN];
	const struct generation *g = NULL;
	struct query q;

	path_show_in(shown, name, strlen(name));
	if (!parse_name(name, &q))
		return err_set(e, ERR_USAGE,
			       "\"%s\" does not name a generation: %s", shown,
			       forms);
	switch (q.want) {
	case WANT_NUMBER:
		g = find_number(l, &q);
		break;
	case WANT_BACK:
		g = find_back(l, &q);
		break;
	case WANT_TIME:
		g = find_until(l, &q);
		break;
	}
	if (g != NULL && g->damaged)
		return refuse_damaged(g, e);
	if (g != NULL && !of_set(g, &q))
		return err_set(e, ERR_MISSING,
			       "generation %" PRIu32
			       " is of the set %s, not %s",
			       g->number, g->record.set, q.set);
	if (g == NULL)
		return err_set(e, ERR_MISSING, "no generation %s", shown);
	*out = g;
	return 0;
}

/* --- GEN:PATH ------------------------------------------------------------ */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * Whether the colon stands in "18:00", with two digits on both sides and
 * behind the "T" or blank of a date that began at `date`.
 */
static bool
is_time_colon(const char *date, const char *colon)
{
	/* "2026-11-20T18" comes before the first. */
	static const ptrdiff_t first = 13;

	if (colon - date < first)
		return false;
	if (date[4] != '-' || date[7] != '-' ||
	    (date[10] != 'T' && date[10] != ' '))
		return false;
	return is_digit(colon[-2]) && is_digit(colon[-1]) &&
	       is_digit(colon[1]) && is_digit(colon[2]);
}

/* The colon that ends the generation's name, or NULL. */
static const char *
find_separator(const char *arg)
{
	const char *at = strchr(arg, '@');
	const char *p = strchr(arg, ':');

	while (p != NULL && at != NULL && is_time_colon(at + 1, p))
		p = strchr(p + 1, ':');
	return p;
}

int
generation_split(const char *arg, struct buf *gen, const char **path,
		 struct err *e)
{
	const char *colon = find_separator(arg);
	size_t len = colon != NULL ? (size_t)(colon - arg) : strlen(arg);
	char shown[PATH_SHOW_LEN];
	size_t end;

	if (len == 0)
		return err_set(e, ERR_USAGE, "\"%s\" names no generation",
			       path_show_in(shown, arg, strlen(arg)));
	buf_add(gen, arg, len);
	end = gen->len;
	if (colon != NULL && colon[1] != '/') {
		/* The slash that was left out; kept behind the name's NUL. */
		buf_add(gen, "\0/", 2);
		buf_add(gen, colon + 1, strlen(colon + 1) + 1);
	}
	if (buf_ok(gen, e) < 0)
		return -1;
	if (colon == NULL)
		*path = NULL;
	else if (colon[1] == '/')
		*path = colon + 1;
	else
		*path = (const char *)gen->data + end + 1;
	gen->len = end;
	return 0;
}

/* --- sets ---------------------------------------------------------------- */

static bool
is_set_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       is_digit(c) || c == '.' || c == '_' || c == '-';
}

bool
set_name_ok(const char *name)
{
	/* The dots, because a set is a directory in the mount. */
	static const char *const reserved[] = { "latest", "current", "all", ".",
						".." };
	size_t len;
	size_t i;

	for (len = 0; name[len] != '\0'; len++)
		if (len == SET_NAME_MAX || !is_set_char(name[len]))
			return false;
	for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(name, reserved[i]) == 0)
			return false;
	return len > 0;
}

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sort, and leave each string once; the count of what is left. */
static size_t
sort_unique(const char **v, size_t n)
{
	size_t kept = 0;
	size_t i;

	if (n > 0)
		qsort(v, n, sizeof(*v), compare_strings);
	for (i = 0; i < n; i++)
		if (kept == 0 || strcmp(v[kept - 1], v[i]) != 0)
			v[kept++] = v[i];
	return kept;
}

/* Whether the record's sources are these `n`, sorted; `scratch` holds `cap`. */
static bool
same_sources(const struct record *r, const char *const *sources, size_t n,
	     const char **scratch)
{
	size_t i;

	for (i = 0; i < r->source_count; i++)
		scratch[i] = r->source[i].resolved;
	if (sort_unique(scratch, r->source_count) != n)
		return false;
	for (i = 0; i < n; i++)
		if (strcmp(scratch[i], sources[i]) != 0)
			return false;
	return true;
}

static const struct generation *
find_by_name(const struct generation_list *l, const char *name)
{
	size_t i;

	for (i = l->count; i-- > 0;)
		if (!l->item[i].damaged &&
		    strcmp(l->item[i].record.set, name) == 0)
			return &l->item[i];
	return NULL;
}

/* The most sources that a record of the list has. */
static size_t
most_sources(const struct generation_list *l)
{
	size_t most = 0;
	size_t i;

	for (i = 0; i < l->count; i++)
		if (l->item[i].record.source_count > most)
			most = l->item[i].record.source_count;
	return most;
}

static int
find_by_sources(const struct generation_list *l, const char *machine,
		const char *const *sources, size_t count,
		const struct generation **out, struct err *e)
{
	const char **sorted = mem_array(count + 1, sizeof(*sorted));
	const char **scratch = mem_array(most_sources(l) + 1, sizeof(*scratch));
	int rc = 1;
	size_t n;
	size_t i;

	if (sorted == NULL || scratch == NULL) {
		rc = err_nomem(e);
		goto out;
	}
	for (i = 0; i < count; i++)
		sorted[i] = sources[i];
	n = sort_unique(sorted, count);
	for (i = l->count; i-- > 0 && rc == 1;) {
		const struct generation *g = &l->item[i];

		if (g->damaged || strcmp(g->record.machine, machine) != 0 ||
		    !same_sources(&g->record, sorted, n, scratch))
			continue;
		*out = g;
		rc = 0;
	}
out:
	mem_free(sorted);
	mem_free(scratch);
	return rc;
}

int
generation_find_set(const struct generation_list *l, const char *name,
		    const char *machine, const char *const *sources,
		    size_t source_count, const struct generation **out,
		    struct err *e)
{
	const struct generation *g;

	if (name == NULL)
		return find_by_sources(l, machine, sources, source_count, out,
				       e);
	g = find_by_name(l, name);
	if (g == NULL)
		return 1;
	*out = g;
	return 0;
}

int
generation_new_set_name(const struct generation_list *l, const char *host,
			struct buf *out, struct err *e)
{
	/* Leaves room for a dash and the digits of any count. */
	char stem[SET_NAME_MAX - 11 + 1];
	struct buf name = { 0 };
	size_t n;
	int rc = -1;

	for (n = 0; n < sizeof(stem) - 1 && host[n] != '\0'; n++)
		stem[n] = is_set_char(host[n]) ? host[n] : '-';
	stem[n] = '\0';
	/* Of one name more than there are generations, one is free. */
	for (n = 1; n <= l->count + 1; n++) {
		buf_reset(&name);
		buf_printf(&name, "%s-%02zu", stem[0] != '\0' ? stem : "host",
			   n);
		if (find_by_name(l, buf_str(&name)) == NULL)
			break;
	}
	if (buf_ok(&name, e) < 0)
		goto out;
	buf_add(out, name.data, name.len);
	rc = buf_ok(out, e);
out:
	buf_clear(&name);
	return rc;
}

/* --- bases --------------------------------------------------------------- */

static bool
is_base(const struct record *r, unsigned session_type)
{
	bool history = generation_type_is_base(r->session_type) != 0;

	switch (session_type) {
	case GEN_INCREMENTAL:
		return history;
	case GEN_DIFFERENTIAL:
		return history && r->effective_type == GEN_FULL;
	case GEN_LOG:
		return history || r->session_type == GEN_LOG;
	default:
		return false;
	}
}

void
generation_base(const struct generation_list *l, const uint8_t set_id[16],
		unsigned session_type, const struct generation **out)
{
	size_t i;

	*out = NULL;
	for (i = l->count; i-- > 0 && *out == NULL;) {
		const struct generation *g = &l->item[i];

		if (!g->damaged && memcmp(g->record.set_id, set_id, 16) == 0 &&
		    is_base(&g->record, session_type))
			*out = g;
	}
}

/* --- publishing ---------------------------------------------------------- */

/* How often another run may be quicker before we say that something is odd. */
#define PUBLISH_TRIES 1000

struct pack_list {
	struct pack_id *id;
	size_t count, cap;
	const struct session *session;
};

static int
add_pack(struct pack_list *l, const struct pack_id *id, struct err *e)
{
	if (l->count == l->cap) {
		size_t cap = l->cap > 0 ? l->cap * 2 : 256;
		struct pack_id *more = mem_resize(l->id, cap, sizeof(*more));

		if (more == NULL)
			return err_nomem(e);
		l->id = more;
		l->cap = cap;
	}
	l->id[l->count++] = *id;
	return 0;
}

/* For io_list: what is there now. */
static int
note_name(void *ctx, const char *name, struct err *e)
{
	struct pack_id id;

	if (!pack_name_parse(name, &id))
		return 0;
	return add_pack(ctx, &id, e);
}

/*
 * For index_packs: what the run may have relied on.  A condemned pack counts
 * as absent since the session began, and prune may remove it meanwhile.
 */
static int
note_known(void *ctx, const struct pack_id *id, uint64_t len, uint32_t chunks,
	   struct err *e)
{
	struct pack_list *l = ctx;

	(void)len;
	(void)chunks;
	if (session_condemned(l->session, id))
		return 0;
	return add_pack(l, id, e);
}

static int
compare_packs(const void *a, const void *b)
{
	const struct pack_id *x = a;
	const struct pack_id *y = b;

	return memcmp(x->b, y->b, sizeof(x->b));
}

/*
 * A record may refer to any pack that the store knows; all of them must
 * still be there, or the generation would be whole in name only.
 */
static int
check_packs(struct store *st, struct err *e)
{
	const struct repository *r = store_repository(st);
	struct pack_list known = { .session = store_session(st) };
	struct pack_list there = { 0 };
	char name[PACK_NAME_LEN + 1];
	int rc = -1;
	size_t i;

	/* In this order: packs only come, between the two lists. */
	if (index_packs(store_index(st), note_known, &known, e) < 0)
		goto out;
	if (io_list(r->packs_fd, "packs", note_name, &there, e) < 0)
		goto out;
	if (there.count > 0)
		qsort(there.id, there.count, sizeof(*there.id), compare_packs);
	for (i = 0; i < known.count; i++) {
		if (there.count > 0 &&
		    bsearch(&known.id[i], there.id, there.count,
			    sizeof(*there.id), compare_packs) != NULL)
			continue;
		pack_name(name, &known.id[i]);
		err_set(e, ERR_MISSING,
			"pack %s has vanished while the backup ran", name);
		goto out;
	}
	rc = 0;
out:
	mem_free(known.id);
	mem_free(there.id);
	return rc;
}

static int
highest_number(const struct repository *r, uint32_t *out, struct err *e)
{
	struct generation_names names = { 0 };

	if (repository_generations(r, &names, e) < 0)
		return -1;
	*out = names.highest;
	generation_names_clear(&names);
	return 0;
}

/* Publish under r->number; 1 when it is taken. */
static int
publish_as(const struct repository *repo, const struct record *r, struct err *e)
{
	struct buf bytes = { 0 };
	int rc = record_encode(r, &repo->keys, &bytes, e);

	if (rc == 0)
		rc = repository_publish_generation(repo, r->number, bytes.data,
						   bytes.len, e);
	buf_clear(&bytes);
	return rc;
}

int
generation_publish(struct store *st, struct record *r, struct err *e)
{
	const struct repository *repo = store_repository(st);
	uint32_t before = r->number;
	uint32_t highest;
	int rc = 1;
	int i;

	/* Without the list of condemned packs all would count as such. */
	if (session_references(store_session(st), e) < 0)
		return -1;
	if (check_packs(st, e) < 0 || highest_number(repo, &highest, e) < 0)
		return -1;
	for (i = 0; i < PUBLISH_TRIES && rc == 1; i++) {
		r->number = ++highest;
		rc = publish_as(repo, r, e);
	}
	if (rc == 1)
		rc = err_set(e, ERR_BUSY,
			     "%s: other runs took %d generation numbers in a "
			     "row",
			     repo->path, PUBLISH_TRIES);
	if (rc < 0)
		r->number = before;
	return rc;
}
