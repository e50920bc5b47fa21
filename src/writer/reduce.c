/*
 * One pass over the entries, a state for each file.
 *
 * What matters of the lines of a file is little: all their ranges, the lowest
 * size, and about the time since the last gap, whether there was an open or a
 * closed line, and the facts at the last one.  A gap makes a file forget these
 * but never the ranges.  A gap of the component is one counter, which a file
 * compares with its own when it is next looked at, so that a million files and
 * a million gaps cost two million steps.
 *
 * Paths are somebody else's choice.  The tables are keyed at random, by a
 * polynomial modulo a prime, so that nobody can choose many that fall on one
 * place.  Ranges are pushed and settled once, or merged when a line brings at
 * least as many as there are, so that each is touched a few times only.
 *
 * Facts are kept once: of the closed line that a gap needs, all that has to be
 * known is whether the last line's are still the same.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/reduce.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "src/writer/metadata.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"
#include "src/writer/wildcard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* 2^61 - 1, a prime. */
#define PRIME ((UINT64_C(1) << 61) - 1)

/* Patterns are compared one by one with every file: more are not looked at. */
#define WILDCARDS_MAX 1024

#define BLOCK_LEN 65536 /* of memory for strings */

/* Strings, until all are given back together. */
struct block {
	struct block *next;
	size_t used, cap;
	char data[];
};

struct slot {
	uint64_t hash;
	size_t item; /* and one; 0: free */
};
struct table {
	struct slot *slot;
	size_t cap, used; /* cap: a power of two, or 0 */
};

struct file {
	struct reduce_file f;
	size_t gaps;       /* of the component, when it was last looked at */
	const char *gap;   /* why, of the last gap above the cut, or NULL */
	uint64_t identity; /* hash of the inode that it was last; 0 none */
	bool two_names;    /* a line about another path was about that one */
	/* Since the last gap: */
	bool any;       /* an open line, or a closed one that names the base */
	bool last_sure; /* the last of them was said in our window */
	bool closed;    /* a closed one */
	bool closed_sure; /* in our window */
	bool closed_same; /* the facts are still those at the last closed one */
};

/* What was said that is not about ranges, or may be taken back. */
enum note_kind {
	NOTE_LINE, /* about file[] */
	NOTE_DIFFERENCED,
	NOTE_STAMP,
	NOTE_METADATA,
	NOTE_ATTACH,
};
struct note {
	enum note_kind kind;
	bool dropped;
	uint8_t session[16];
	uint64_t event;
	size_t file;
	const char *a, *b; /* texts; dir and pattern; path and from */
	bool recursive, has_newer;
	struct ts newer;
};

struct reduce {
	struct reduce_input in;
	uint64_t key, start; /* of the hash */
	bool same_journal;
	bool gap;
	const char *why;
	size_t gaps;
	struct block *strings;
	struct file *file;
	size_t files, files_cap;
	struct note *note;
	size_t notes, notes_cap;
	struct table by_path, by_inode;
};

/* --- memory ----------------------------------------------------------------- */

static void
free_strings(struct block *b)
{
	struct block *next;

	for (; b != NULL; b = next) {
		next = b->next;
		mem_free(b);
	}
}

/* A copy that lives as long as the result. */
static int
keep(struct reduce *r, const char *s, const char **out, struct err *e)
{
	size_t len = strlen(s) + 1;
	size_t cap = len > BLOCK_LEN ? len : BLOCK_LEN;
	struct block *b = r->strings;

	if (b == NULL || b->cap - b->used < len) {
		b = mem_alloc(sizeof(*b) + cap);
		if (b == NULL)
			return err_nomem(e);
		b->next = r->strings;
		b->used = 0;
		b->cap = cap;
		r->strings = b;
	}
	memcpy(b->data + b->used, s, len);
	*out = b->data + b->used;
	b->used += len;
	return 0;
}

/* Room for one more of `size` bytes in the array at *v. */
static int
grow(void **v, size_t count, size_t *cap, size_t size, struct err *e)
{
	size_t n = *cap < 16 ? 16 : *cap + *cap / 2;
	void *more;

	if (count < *cap)
		return 0;
	more = mem_resize(*v, n, size);
	if (more == NULL)
		return err_nomem(e);
	*v = more;
	*cap = n;
	return 0;
}

static bool
is_zero(const uint8_t *p, size_t n)
{
	while (n > 0)
		if (p[--n] != 0)
			return false;
	return true;
}

/* --- tables ----------------------------------------------------------------- */

static uint64_t
hash_on(const struct reduce *r, uint64_t h, const void *p, size_t n)
{
	const uint8_t *s = p;
	unsigned __int128 x;

	while (n-- > 0) {
		x = (unsigned __int128)h * r->key + *s++ + 1;
		h = ((uint64_t)x & PRIME) + (uint64_t)(x >> 61);
		if (h >= PRIME)
			h -= PRIME;
	}
	return h;
}

static int
table_grow(struct table *t, struct err *e)
{
	size_t cap = t->cap < 32 ? 64 : t->cap * 2;
	struct slot *slot;
	size_t i;
	size_t k;

	if (t->used * 2 < t->cap)
		return 0;
	slot = mem_array(cap, sizeof(*slot));
	if (slot == NULL)
		return err_nomem(e);
	for (i = 0; i < t->cap; i++) {
		if (t->slot[i].item == 0)
			continue;
		for (k = t->slot[i].hash & (cap - 1); slot[k].item != 0;)
			k = (k + 1) & (cap - 1);
		slot[k] = t->slot[i];
	}
	mem_free(t->slot);
	t->slot = slot;
	t->cap = cap;
	return 0;
}

/*
 * The place of an item with this hash that is the same as `key` by `same`
 * (NULL: the hash is enough), or the free one where it would go.  The table
 * has a free place.
 */
static struct slot *
table_find(const struct table *t, uint64_t hash, const void *items,
	   bool (*same)(const void *items, size_t i, const void *key),
	   const void *key)
{
	size_t k = hash & (t->cap - 1);

	for (; t->slot[k].item != 0; k = (k + 1) & (t->cap - 1))
		if (t->slot[k].hash == hash &&
		    (same == NULL || same(items, t->slot[k].item - 1, key)))
			break;
	return &t->slot[k];
}

static void
table_put(struct table *t, struct slot *s, uint64_t hash, size_t item)
{
	s->hash = hash;
	s->item = item + 1;
	t->used++;
}

/* --- gaps ------------------------------------------------------------------- */

static void
forget(struct file *f, const char *why)
{
	f->gap = why;
	f->any = false;
	f->last_sure = false;
	f->closed = false;
	f->closed_sure = false;
	f->closed_same = false;
	f->f.metadata = NULL;
}

/* What gaps of the component have been since the file was looked at. */
static void
catch_up(const struct reduce *r, struct file *f)
{
	if (f->gaps == r->gaps)
		return;
	f->gaps = r->gaps;
	forget(f, r->why);
}

/* `why` is kept. */
static void
gap_all(struct reduce *r, const char *why)
{
	r->gap = true;
	r->why = why;
	r->gaps++;
}

static bool
same_path(const void *items, size_t i, const void *key)
{
	const struct file *f = items;

	return strcmp(f[i].f.path, key) == 0;
}

static int
get_file(struct reduce *r, const char *path, struct file **out, struct err *e)
{
	uint64_t hash = hash_on(r, r->start, path, strlen(path));
	void *v = r->file;
	struct file *f;
	struct slot *s;

	if (table_grow(&r->by_path, e) < 0)
		return -1;
	s = table_find(&r->by_path, hash, r->file, same_path, path);
	if (s->item == 0) {
		if (grow(&v, r->files, &r->files_cap, sizeof(*r->file), e) < 0)
			return -1;
		r->file = v;
		f = &r->file[r->files];
		memset(f, 0, sizeof(*f));
		f->f.min_size = UINT64_MAX;
		if (keep(r, path, &f->f.path, e) < 0)
			return -1;
		table_put(&r->by_path, s, hash, r->files++);
	}
	f = &r->file[s->item - 1];
	catch_up(r, f);
	*out = f;
	return 0;
}

/* Does what is said of `component` concern ours?  METADATA_NONE: who knows. */
static bool
concerns(const struct reduce *r, size_t component)
{
	const struct metadata *m = r->in.document;

	return metadata_is_member(m, component, r->in.component) ||
	       metadata_is_member(m, r->in.component, component);
}

static int
add_gap(struct reduce *r, const char *component, const char *path,
	const char *why, struct err *e)
{
	struct file *f;
	size_t i = METADATA_NONE;

	if (component != NULL)
		i = metadata_find(r->in.document, component, strlen(component));
	if (path == NULL && i != METADATA_NONE && !concerns(r, i))
		return 0;
	if (keep(r, why, &why, e) < 0)
		return -1;
	/* A name of a file means that file, whatever component was written. */
	if (component == NULL || path == NULL) {
		gap_all(r, why);
		return 0;
	}
	if (get_file(r, path, &f, e) < 0)
		return -1;
	forget(f, why);
	return 0;
}

/* --- lines ------------------------------------------------------------------ */

static bool
in_session(const struct reduce *r, const struct journal_entry *en)
{
	return !is_zero(r->in.session, 16) &&
	       memcmp(en->session, r->in.session, 16) == 0;
}

static bool
names_base(const struct reduce *r, size_t component, const struct statement *s)
{
	const struct reduce_input *in = &r->in;

	if (is_zero(in->base_id, sizeof(in->base_id)))
		return false;
	if (s->since == SINCE_GENERATION)
		return memcmp(s->since_id, in->base_id, 16) == 0;
	return s->since == SINCE_STAMP && component == in->component &&
	       in->base_stamp != NULL && !in->stamp_ambiguous &&
	       strcmp(s->since_stamp, in->base_stamp) == 0;
}

static int
gather(struct ranges *to, const struct ranges *from, struct err *e)
{
	size_t i;

	if (from->count >= to->count) {
		ranges_settle(to);
		return ranges_union(to, from, e);
	}
	for (i = 0; i < from->count; i++)
		if (ranges_push(to, from->r[i].off, from->r[i].len, e) < 0)
			return -1;
	return 0;
}

/* Remember whose inode it is, and whether another path has it, too. */
static int
note_inode(struct reduce *r, struct file *f, const struct facts *now,
	   struct err *e)
{
	uint64_t hash;
	struct slot *s;

	if (!now->known)
		return 0;
	hash = hash_on(r, r->start, now->fs, strnlen(now->fs, FACTS_FS_MAX));
	hash = hash_on(r, hash, &now->ino, sizeof(now->ino));
	if (now->has_btime) {
		hash = hash_on(r, hash, &now->btime.sec, sizeof(int64_t));
		hash = hash_on(r, hash, &now->btime.nsec, sizeof(uint32_t));
	}
	if (hash == f->identity)
		return 0;
	f->identity = hash;
	if (table_grow(&r->by_inode, e) < 0)
		return -1;
	s = table_find(&r->by_inode, hash, NULL, NULL, NULL);
	if (s->item == 0) {
		table_put(&r->by_inode, s, hash, (size_t)(f - r->file));
	} else if (&r->file[s->item - 1] != f) {
		r->file[s->item - 1].two_names = true;
		f->two_names = true;
	}
	return 0;
}

/* What every line is good for, whatever it promises. */
static int
take_changes(struct reduce *r, struct file *f, const struct journal_entry *en,
	     const struct statement *s, bool closed, struct err *e)
{
	const struct ranges *set = &s->ranges;
	uint64_t end;

	if (s->ranges_path != NULL && en->ranges == NULL)
		return err_set(e, ERR_CORRUPT,
			       "journal: entry %" PRIu64
			       " is without its ranges",
			       en->seq);
	if (s->ranges_path != NULL)
		set = en->ranges;
	if (gather(&f->f.ranges, set, e) < 0)
		return -1;
	f->f.lines++;
	if (s->has_size && s->size < f->f.min_size)
		f->f.min_size = s->size;
	if (en->facts.known && en->facts.size < f->f.min_size)
		f->f.min_size = en->facts.size;
	end = ranges_end(set);
	if (en->facts.known && en->facts.size >= end)
		/* It speaks for all the time since the base: that was wrong. */
		f->f.beyond = closed ? 0 : f->f.beyond;
	else if (end > f->f.beyond)
		f->f.beyond = end;
	f->f.metadata = NULL;
	if (s->text != NULL && keep(r, s->text, &f->f.metadata, e) < 0)
		return -1;
	return note_inode(r, f, &en->facts, e);
}

static void
take_promise(const struct reduce *r, struct file *f,
	     const struct journal_entry *en, bool closed)
{
	bool sure = en->window && in_session(r, en);

	if (closed) {
		f->closed = true;
		f->closed_sure = f->closed_sure || sure;
		f->closed_same = true;
	} else {
		f->closed_same =
			f->closed_same && facts_equal(&f->f.facts, &en->facts);
	}
	f->any = true;
	f->last_sure = sure;
	f->f.facts = en->facts;
}

static int
add_note(struct reduce *r, const struct journal_entry *en,
	 const struct note *what, struct err *e)
{
	void *v = r->note;
	struct note *n;

	if (grow(&v, r->notes, &r->notes_cap, sizeof(*r->note), e) < 0)
		return -1;
	r->note = v;
	n = &r->note[r->notes];
	*n = *what;
	memcpy(n->session, en->session, sizeof(n->session));
	n->event = en->event;
	if ((what->a != NULL && keep(r, what->a, &n->a, e) < 0) ||
	    (what->b != NULL && keep(r, what->b, &n->b, e) < 0))
		return -1;
	r->notes++;
	return 0;
}

/* Was it what the base's own session read, and nothing since? */
static bool
is_read_already(const struct reduce *r, const struct journal_entry *en,
		const struct statement *s)
{
	return s->since != SINCE_NOTHING && en->window &&
	       !is_zero(r->in.base_session, 16) &&
	       memcmp(en->session, r->in.base_session, 16) == 0;
}

static int
add_partial(struct reduce *r, const struct journal_entry *en,
	    const struct statement *s, size_t component, struct err *e)
{
	bool closed = names_base(r, component, s);
	struct note n = { .kind = NOTE_LINE };
	struct file *f;

	if (!closed && is_read_already(r, en, s))
		return 0;
	if (get_file(r, s->path, &f, e) < 0 || take_changes(r, f, en, s, closed, e) < 0)
		return -1;
	if (closed || s->since == SINCE_NOTHING)
		take_promise(r, f, en, closed);
	n.file = (size_t)(f - r->file);
	return en->event != 0 ? add_note(r, en, &n, e) : 0;
}

static int
add_statement(struct reduce *r, const struct journal_entry *en,
	      const struct statement *s, struct err *e)
{
	struct note n = { .kind = NOTE_STAMP, .a = s->text };
	size_t i;

	if (s->component == NULL)
		return 0;
	if (s->kind == STATEMENT_GAP)
		return add_gap(r, s->component, s->path,
			       "the writer declared a gap", e);
	i = metadata_find(r->in.document, s->component, strlen(s->component));
	if (i == METADATA_NONE)
		return add_gap(r, s->component,
			       s->kind == STATEMENT_DIFFERENCED_FILE ? NULL
								     : s->path,
			       "a line about a component that is not there any "
			       "more",
			       e);
	if (!concerns(r, i))
		return 0;
	switch (s->kind) {
	case STATEMENT_PARTIAL_FILE:
		return add_partial(r, en, s, i, e);
	case STATEMENT_DIFFERENCED_FILE:
		n.kind = NOTE_DIFFERENCED;
		n.a = s->path;
		n.b = s->pattern;
		n.recursive = s->recursive;
		n.has_newer = s->has_newer;
		n.newer = s->newer;
		return add_note(r, en, &n, e);
	case STATEMENT_BACKUP_METADATA:
		n.kind = NOTE_METADATA;
		break;
	case STATEMENT_ATTACH:
		n.kind = NOTE_ATTACH;
		n.a = s->path;
		n.b = s->from;
		return in_session(r, en) ? add_note(r, en, &n, e) : 0;
	case STATEMENT_BACKUP_STAMP:
		break;
	default:
		return 0;
	}
	/* The rest speaks of the component itself, in this session. */
	if (i != r->in.component || !in_session(r, en))
		return 0;
	return add_note(r, en, &n, e);
}

/* The lines of this event do not count: what they were about, nobody knows. */
static void
discard(struct reduce *r, const struct journal_entry *en)
{
	static const char why[] = "the writer said it in an event that it "
				  "answered with a failure";
	struct note *n;
	size_t i;

	if (en->event == 0)
		gap_all(r, why);
	for (i = 0; en->event != 0 && i < r->notes; i++) {
		n = &r->note[i];
		if (n->dropped || n->event != en->event ||
		    memcmp(n->session, en->session, sizeof(n->session)) != 0)
			continue;
		n->dropped = true;
		if (n->kind == NOTE_LINE) {
			catch_up(r, &r->file[n->file]);
			forget(&r->file[n->file], why);
		} else if (n->kind == NOTE_DIFFERENCED) {
			gap_all(r, why);
		}
	}
}

/* --- feeding ---------------------------------------------------------------- */

static bool
is_of_base(const struct reduce_input *in)
{
	return !is_zero(in->journal, JOURNAL_ID_LEN) &&
	       memcmp(in->journal, in->base_journal, JOURNAL_ID_LEN) == 0;
}

/* An earlier state, that somebody brought back: numbers are given again. */
static bool
is_older(const struct reduce_input *in)
{
	return is_of_base(in) && in->journal_next != 0 &&
	       in->base_cut > in->journal_next;
}

/* Why nothing can be known from the beginning, or NULL. */
static const char *
first_gap(const struct reduce *r)
{
	const struct reduce_input *in = &r->in;

	if (is_zero(in->base_id, sizeof(in->base_id)))
		return "there is no earlier backup to compare with";
	if (is_older(in))
		return "the journal is older than the earlier backup";
	if (!r->same_journal)
		return "the earlier backup knows another journal";
	if (in->base_cut < in->journal_first)
		return "what was declared after the earlier backup is not "
		       "kept any more";
	return NULL;
}

int
reduce_new(const struct reduce_input *in, struct reduce **out, struct err *e)
{
	struct reduce *r = mem_zalloc(sizeof(*r));
	const char *why;
	uint64_t random[2];

	if (r == NULL)
		return err_nomem(e);
	r->in = *in;
	if (io_random(random, sizeof(random), e) < 0) {
		mem_free(r);
		return -1;
	}
	r->key = (random[0] & PRIME) % (PRIME - 2) + 2;
	r->start = (random[1] & PRIME) % (PRIME - 2) + 1;
	r->same_journal = is_of_base(in) && !is_older(in);
	why = first_gap(r);
	if (why != NULL)
		gap_all(r, why);
	*out = r;
	return 0;
}

int
reduce_add(struct reduce *r, const struct journal_entry *en, struct err *e)
{
	struct statement s = { 0 };
	struct err why = { 0 };
	int rc;

	/* The numbers of another journal mean nothing: all of it counts. */
	if (r->same_journal && en->seq < r->in.base_cut)
		return 0;
	if (en->kind == JOURNAL_GAP)
		return add_gap(r, en->component, en->path,
			       en->why != NULL ? en->why : "a gap", e);
	if (en->kind == JOURNAL_DISCARD)
		discard(r, en);
	if (en->kind != JOURNAL_STATEMENT)
		return 0;
	rc = statement_parse(&s, en->text, en->text_len, &why);
	if (rc == 0)
		rc = add_statement(r, en, &s, e);
	else if (why.kind == ERR_USAGE)
		(void)err_set(e, ERR_CORRUPT, "journal: entry %" PRIu64 ": %s",
			      en->seq, why.text);
	err_move(e, &why);
	statement_clear(&s);
	return rc;
}

void
reduce_free(struct reduce *r)
{
	size_t i;

	if (r == NULL)
		return;
	for (i = 0; i < r->files; i++)
		ranges_clear(&r->file[i].f.ranges);
	mem_free(r->file);
	mem_free(r->note);
	mem_free(r->by_path.slot);
	mem_free(r->by_inode.slot);
	free_strings(r->strings);
	mem_free(r);
}

/* --- the end: differenced files ---------------------------------------------- */

struct literal { /* key of the table of those without wildcards, and of all */
	const char *dir;
	size_t dir_len;
	const char *pattern;
	bool recursive;
};

static bool
same_differenced(const void *items, size_t i, const void *key)
{
	const struct reduce_differenced *d = items;
	const struct literal *k = key;

	return d[i].recursive == k->recursive &&
	       strlen(d[i].dir) == k->dir_len &&
	       memcmp(d[i].dir, k->dir, k->dir_len) == 0 &&
	       strcmp(d[i].pattern, k->pattern) == 0;
}

static struct slot *
find_differenced(const struct reduce *r, const struct table *t,
		 const struct reduced *out, const struct literal *k,
		 uint64_t *hash)
{
	uint64_t h = hash_on(r, r->start, k->dir, k->dir_len);

	h = hash_on(r, h, k->recursive ? "/r" : "/", k->recursive ? 2 : 1);
	*hash = hash_on(r, h, k->pattern, strlen(k->pattern));
	return table_find(t, *hash, out->differenced, same_differenced, k);
}

static int
merge_differenced(const struct reduce *r, struct table *t, const struct note *n,
		  struct reduced *out, struct err *e)
{
	const struct literal k = { n->a, strlen(n->a), n->b, n->recursive };
	struct reduce_differenced *d;
	uint64_t hash;
	struct slot *s;

	if (table_grow(t, e) < 0)
		return -1;
	s = find_differenced(r, t, out, &k, &hash);
	if (s->item == 0) {
		d = &out->differenced[out->differenced_count];
		*d = (struct reduce_differenced){ n->a, n->b, n->recursive,
						  n->has_newer, n->newer };
		table_put(t, s, hash, out->differenced_count++);
		return 0;
	}
	d = &out->differenced[s->item - 1];
	if (n->has_newer && (!d->has_newer || ts_cmp(n->newer, d->newer) < 0)) {
		d->has_newer = true;
		d->newer = n->newer;
	}
	return 0;
}

/* The name as a pattern that matches it alone: there is one. */
static void
name_as_pattern(const char *name, char out[2 * WILDCARD_MAX + 1])
{
	size_t n = 0;

	for (; *name != '\0' && n < 2 * WILDCARD_MAX - 1; name++) {
		if (strchr("?*\\", *name) != NULL)
			out[n++] = '\\';
		out[n++] = *name;
	}
	out[n] = '\0';
}

/* Is one of those without wildcards about this path? */
static bool
literal_clash(const struct reduce *r, const struct table *t,
	      const struct reduced *out, const char *path)
{
	const char *slash = strrchr(path, '/');
	char pattern[2 * WILDCARD_MAX + 1];
	struct literal k = { path, (size_t)(slash - path), pattern, false };
	uint64_t hash;

	name_as_pattern(slash + 1, pattern);
	for (;;) {
		/* The root has its slash, other directories have not. */
		if (k.dir_len == 0)
			k.dir_len = 1;
		if (find_differenced(r, t, out, &k, &hash)->item != 0)
			return true;
		if (k.recursive && k.dir_len == 1)
			return false;
		if (k.recursive)
			while (k.dir_len > 0 && path[--k.dir_len] != '/')
				;
		k.recursive = true;
	}
}

static bool
wildcard_clash(const struct reduced *out, const size_t *wild, size_t n,
	       const char *path)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct reduce_differenced *d = &out->differenced[wild[i]];
		const struct metadata_spec spec = { d->dir, d->pattern,
						    d->recursive, 0 };

		if (metadata_fits(&spec, path))
			return true;
	}
	return false;
}

static void
mark_clashes(const struct reduce *r, const struct table *t, struct reduced *out)
{
	size_t wild[WILDCARDS_MAX];
	bool too_many = false;
	size_t n = 0;
	size_t i;

	for (i = 0; i < out->differenced_count && !too_many; i++) {
		if (wildcard_literal(out->differenced[i].pattern))
			continue;
		too_many = n == WILDCARDS_MAX;
		if (!too_many)
			wild[n++] = i;
	}
	for (i = 0; i < out->files && out->differenced_count > 0; i++) {
		struct reduce_file *f = &out->file[i];

		f->clash = literal_clash(r, t, out, f->path) ||
			   wildcard_clash(out, wild, n, f->path);
		if (too_many && f->promised) {
			f->promised = false;
			f->why = "too many differenced files are declared with "
				 "it";
		}
	}
}

static int
take_differenced(struct reduce *r, struct reduced *out, struct err *e)
{
	struct table t = { 0 };
	size_t n = 0;
	size_t i;
	int rc = 0;

	for (i = 0; i < r->notes; i++)
		n += r->note[i].kind == NOTE_DIFFERENCED;
	if (n == 0)
		return 0;
	out->differenced = mem_array(n, sizeof(*out->differenced));
	if (out->differenced == NULL)
		return err_nomem(e);
	rc = table_grow(&t, e);
	for (i = 0; rc == 0 && i < r->notes; i++)
		if (r->note[i].kind == NOTE_DIFFERENCED && !r->note[i].dropped)
			rc = merge_differenced(r, &t, &r->note[i], out, e);
	if (rc == 0)
		mark_clashes(r, &t, out);
	mem_free(t.slot);
	return rc;
}

/* --- the end: the rest ------------------------------------------------------- */

static void
judge(struct file *f)
{
	struct reduce_file *o = &f->f;

	if (f->two_names)
		o->why = "it is declared under two names";
	else if (!f->any && f->gap != NULL)
		o->why = f->gap;
	else if (!f->any)
		o->why = "what was declared is not since this backup's base";
	else if (f->gap == NULL || f->closed_sure)
		o->promised = true;
	else if (!f->closed)
		o->why = f->gap;
	else if (!f->closed_same)
		o->why = "it was changed after it was declared since the base, "
			 "and there is a gap before that";
	else
		o->promised = true;
	o->sure = o->promised &&
		  (f->closed_sure || (f->gap == NULL && f->last_sure));
}

static int
by_path(const void *a, const void *b)
{
	const struct reduce_file *x = a;
	const struct reduce_file *y = b;

	return strcmp(x->path, y->path);
}

static int
take_files(struct reduce *r, struct reduced *out, struct err *e)
{
	size_t i;

	if (r->files == 0)
		return 0;
	out->file = mem_array(r->files, sizeof(*out->file));
	if (out->file == NULL)
		return err_nomem(e);
	for (i = 0; i < r->files; i++) {
		struct file *f = &r->file[i];

		catch_up(r, f);
		judge(f);
		ranges_settle(&f->f.ranges);
		out->file[i] = f->f;
		memset(&f->f.ranges, 0, sizeof(f->f.ranges));
	}
	out->files = r->files;
	qsort(out->file, out->files, sizeof(*out->file), by_path);
	return 0;
}

/* In the order of paths, and of one path in that of the journal. */
static int
by_attached_path(const void *a, const void *b)
{
	const struct note *const *x = a;
	const struct note *const *y = b;
	int c = strcmp((*x)->a, (*y)->a);

	if (c != 0)
		return c;
	return *x < *y ? -1 : *x > *y;
}

/* The last one of each path. */
static int
take_attachments(struct reduce *r, struct reduced *out, struct err *e)
{
	const struct note **list;
	size_t n = 0;
	size_t i;

	list = mem_array(r->notes + 1, sizeof(*list));
	out->attachment = mem_array(r->notes + 1, sizeof(*out->attachment));
	if (list == NULL || out->attachment == NULL) {
		mem_free(list);
		return err_nomem(e);
	}
	for (i = 0; i < r->notes; i++)
		if (r->note[i].kind == NOTE_ATTACH && !r->note[i].dropped)
			list[n++] = &r->note[i];
	qsort(list, n, sizeof(*list), by_attached_path);
	for (i = 0; i < n; i++)
		if (i + 1 == n || strcmp(list[i]->a, list[i + 1]->a) != 0)
			out->attachment[out->attachments++] =
				(struct reduce_attachment){ list[i]->a,
							    list[i]->b };
	mem_free(list);
	return 0;
}

int
reduce_end(struct reduce *r, struct reduced *out, struct err *e)
{
	struct reduced o = { 0 };
	size_t i;

	o.gap = r->gap;
	o.why = r->why;
	for (i = 0; i < r->notes; i++) {
		if (r->note[i].kind == NOTE_STAMP && !r->note[i].dropped)
			o.stamp = r->note[i].a;
		if (r->note[i].kind == NOTE_METADATA && !r->note[i].dropped)
			o.metadata = r->note[i].a;
	}
	if (take_files(r, &o, e) < 0 || take_differenced(r, &o, e) < 0 ||
	    take_attachments(r, &o, e) < 0) {
		reduced_clear(&o);
		return -1;
	}
	o.memory = r->strings;
	r->strings = NULL;
	*out = o;
	return 0;
}

void
reduced_clear(struct reduced *out)
{
	size_t i;

	for (i = 0; i < out->files; i++)
		ranges_clear(&out->file[i].ranges);
	mem_free(out->file);
	mem_free(out->differenced);
	mem_free(out->attachment);
	free_strings(out->memory);
	memset(out, 0, sizeof(*out));
}

/* --- questions -------------------------------------------------------------- */

const struct reduce_file *
reduced_find(const struct reduced *r, const char *path)
{
	const struct reduce_file key = { .path = path };

	if (r->files == 0)
		return NULL;
	return bsearch(&key, r->file, r->files, sizeof(*r->file), by_path);
}

const char *
reduce_refuses(const struct reduce_file *f, const struct facts *now)
{
	if (!f->promised)
		return f->why;
	if (f->sure || facts_equal(&f->facts, now))
		return NULL;
	if (!f->facts.known || !now->known)
		return "nothing is known of it when it was declared";
	if (f->facts.young)
		return "it was declared too soon after it was changed";
	if (!facts_same_file(&f->facts, now))
		return "it is not the file that was declared";
	return "it was changed after it was declared";
}

int
reduce_ranges(const struct reduce_file *f, uint64_t base_size, uint64_t size,
	      struct ranges *out, struct err *e)
{
	uint64_t lowest = base_size < size ? base_size : size;
	struct ranges below = f->ranges; /* borrowed, and no further */
	struct ranges got = { 0 };

	if (f->min_size < lowest)
		lowest = f->min_size;
	if (f->beyond > size)
		return refuse_set(e, EINVAL,
				  "declared up to byte %" PRIu64
				  " of a file that has %" PRIu64,
				  f->beyond, size);
	while (below.count > 0 && below.r[below.count - 1].off >= lowest)
		below.count--;
	if (ranges_push(&got, lowest, size - lowest, e) < 0 ||
	    ranges_union(&got, &below, e) < 0) {
		ranges_clear(&got);
		return -1;
	}
	ranges_clip(&got, size);
	ranges_clear(out);
	*out = got;
	return 0;
}
