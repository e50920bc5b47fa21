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
 * Of what is said again and again one copy is kept: of gaps the last one's
 * sentence, of ranges no more than twice the set that they are.
 *
 * Facts are kept once: of the closed line that a gap needs, all that has to be
 * known is whether the last line's are still the same.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/reduce_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/writer/metadata.h"
#include "src/writer/statement.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* So many files may be there only for what other components' gaps name. */
#define STRANGERS_MAX 1024

#define SETTLE_MIN 1024 /* ranges that are worth making a set */

/* --- memory ----------------------------------------------------------------- */

/* A copy of a string by itself in place of the one at *to. */
static int
replace(char **to, const char *s, struct err *e)
{
	size_t len = strlen(s) + 1;
	char *copy = mem_alloc(len);

	if (copy == NULL)
		return err_nomem(e);
	memcpy(copy, s, len);
	mem_free(*to);
	*to = copy;
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

/* --- gaps ------------------------------------------------------------------- */

static void
forget(struct file *f, enum gap_place where)
{
	f->gap = where;
	f->any = false;
	f->last_sure = false;
	f->closed = false;
	f->closed_sure = false;
	f->closed_same = false;
	f->f.metadata = NULL;
}

void
reduce_catch_up(const struct reduce *r, struct file *f)
{
	if (f->gaps == r->gaps)
		return;
	f->gaps = r->gaps;
	forget(f, GAP_COMPONENT);
}

static int
gap_file(struct file *f, const char *why, struct err *e)
{
	forget(f, GAP_FILE);
	return replace(&f->why, why, e);
}

static int
gap_all(struct reduce *r, const char *why, struct err *e)
{
	r->gaps++;
	return replace(&r->why, why, e);
}

static bool
same_path(const void *items, size_t i, const void *key)
{
	const struct file *f = items;

	return strcmp(f[i].f.path, key) == 0;
}

static bool
has_file(const struct reduce *r, const char *path)
{
	uint64_t hash = table_hash(&r->key, path, strlen(path));

	return r->files > 0 &&
	       table_find(&r->by_path, hash, r->file, same_path, path)->item !=
		       0;
}

static int
get_file(struct reduce *r, const char *path, struct file **out, struct err *e)
{
	uint64_t hash = table_hash(&r->key, path, strlen(path));
	struct table_slot *s;
	void *v = r->file;
	struct file *f;

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
		if (strings_keep(&r->strings, path, &f->f.path, e) < 0)
			return -1;
		table_put(&r->by_path, s, hash, r->files++);
	}
	f = &r->file[s->item - 1];
	reduce_catch_up(r, f);
	*out = f;
	return 0;
}

/* Does what is said of `component` concern ours? */
static bool
concerns(const struct reduce *r, size_t component)
{
	const struct metadata *m = r->in.document;

	return metadata_is_member(m, component, r->in.component) ||
	       metadata_is_member(m, r->in.component, component);
}

/*
 * A name of a file means that file, whatever component was written.  That is
 * asked of every component of a writer, so the number of names is limited.
 */
static int
add_gap(struct reduce *r, const char *name, size_t component, const char *path,
	const char *why, struct err *e)
{
	bool ours = component != METADATA_NONE && concerns(r, component);
	struct file *f;

	if (name == NULL || path == NULL)
		return ours || component == METADATA_NONE ? gap_all(r, why, e)
							  : 0;
	if (!ours && !has_file(r, path) && r->strangers++ >= STRANGERS_MAX)
		return gap_all(r,
			       "there are gaps of too many files under the "
			       "names of other components",
			       e);
	return get_file(r, path, &f, e) < 0 ? -1 : gap_file(f, why, e);
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

/*
 * Ranges are made a set when they have doubled, or a line brings as many as
 * there are: each is touched a few times only, and what is said again and again
 * takes no room.
 */
static int
gather(struct file *f, const struct ranges *from, struct err *e)
{
	struct ranges *to = &f->f.ranges;
	bool many = from->count >= to->count;
	size_t i;

	if (many || to->count / 2 > f->settled + SETTLE_MIN) {
		ranges_settle(to);
		f->settled = to->count;
	}
	if (many)
		return ranges_union(to, from, e);
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
	struct table_slot *s;

	if (!now->known)
		return 0;
	hash = table_hash(&r->key, now->fs, strnlen(now->fs, FACTS_FS_MAX));
	hash = table_hash_on(&r->key, hash, &now->ino, sizeof(now->ino));
	if (now->has_btime) {
		hash = table_hash_on(&r->key, hash, &now->btime.sec,
				     sizeof(int64_t));
		hash = table_hash_on(&r->key, hash, &now->btime.nsec,
				     sizeof(uint32_t));
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
	if (gather(f, set, e) < 0)
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
	if (s->text != NULL &&
	    strings_keep(&r->strings, s->text, &f->f.metadata, e) < 0)
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

static bool
same_event(const void *items, size_t i, const void *key)
{
	const struct note *n = items;
	const struct journal_entry *en = key;

	return n[i].event == en->event &&
	       memcmp(n[i].session, en->session, sizeof(n[i].session)) == 0;
}

/* The slot of the notes of the entry's event; there is room for one more. */
static struct table_slot *
find_event(const struct reduce *r, const struct journal_entry *en,
	   uint64_t *hash)
{
	*hash = table_hash(&r->key, en->session, sizeof(en->session));
	*hash = table_hash_on(&r->key, *hash, &en->event, sizeof(en->event));
	return table_find(&r->by_event, *hash, r->note, same_event, en);
}

static int
note_event(struct reduce *r, struct note *n, const struct journal_entry *en,
	   struct err *e)
{
	struct table_slot *s;
	uint64_t hash;

	if (table_grow(&r->by_event, e) < 0)
		return -1;
	s = find_event(r, en, &hash);
	n->before = s->item;
	if (s->item == 0)
		table_put(&r->by_event, s, hash, r->notes);
	else
		s->item = r->notes + 1;
	return 0;
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
	if ((n->a != NULL && strings_keep(&r->strings, n->a, &n->a, e) < 0) ||
	    (n->b != NULL && strings_keep(&r->strings, n->b, &n->b, e) < 0) ||
	    (n->event != 0 && note_event(r, n, en, e) < 0))
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
	if (get_file(r, s->path, &f, e) < 0 ||
	    take_changes(r, f, en, s, closed, e) < 0)
		return -1;
	if (closed || s->since == SINCE_NOTHING)
		take_promise(r, f, en, closed);
	n.file = (size_t)(f - r->file);
	return en->event != 0 ? add_note(r, en, &n, e) : 0;
}

static int
add_statement(struct reduce *r, const struct journal_entry *en,
	      const struct statement *s, size_t component, struct err *e)
{
	struct note n = { .kind = NOTE_STAMP, .a = s->text };
	bool dir = s->kind == STATEMENT_DIFFERENCED_FILE;

	if (s->component == NULL)
		return 0;
	if (s->kind == STATEMENT_GAP)
		return add_gap(r, s->component, component, s->path,
			       "the writer declared a gap", e);
	if (component == METADATA_NONE)
		return add_gap(r, s->component, component, dir ? NULL : s->path,
			       "a line about a component that is not there any "
			       "more",
			       e);
	if (!concerns(r, component))
		return 0;
	switch (s->kind) {
	case STATEMENT_PARTIAL_FILE:
		return add_partial(r, en, s, component, e);
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
	if (component != r->in.component || !in_session(r, en))
		return 0;
	return add_note(r, en, &n, e);
}

/* The lines of this event do not count: what they were about, nobody knows. */
static int
discard(struct reduce *r, const struct journal_entry *en, struct err *e)
{
	static const char why[] = "the writer said it in an event that it "
				  "answered with a failure";
	struct table_slot *s = NULL;
	uint64_t hash;
	struct note *n;
	size_t i;

	if (en->event == 0)
		return gap_all(r, why, e);
	if (r->by_event.cap > 0)
		s = find_event(r, en, &hash);
	for (i = s != NULL ? s->item : 0; i > 0; i = n->before) {
		n = &r->note[i - 1];
		if (n->dropped)
			break; /* as all before it are */
		n->dropped = true;
		if (n->kind == NOTE_LINE) {
			reduce_catch_up(r, &r->file[n->file]);
			if (gap_file(&r->file[n->file], why, e) < 0)
				return -1;
		} else if (n->kind == NOTE_DIFFERENCED &&
			   gap_all(r, why, e) < 0) {
			return -1;
		}
	}
	return 0;
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

	if (r == NULL)
		return err_nomem(e);
	r->in = *in;
	r->same_journal = is_of_base(in) && !is_older(in);
	why = first_gap(r);
	if (table_key(&r->key, e) < 0 ||
	    (why != NULL && gap_all(r, why, e) < 0)) {
		reduce_free(r);
		return -1;
	}
	*out = r;
	return 0;
}

/* Does an entry count for this one? */
static bool
counts(const struct reduce *r, const struct journal_entry *en)
{
	/* The numbers of another journal mean nothing: all of it counts. */
	return r != NULL && (!r->same_journal || en->seq >= r->in.base_cut);
}

static int
add_to_one(struct reduce *r, const struct journal_entry *en,
	   const struct statement *s, size_t component, struct err *e)
{
	switch (en->kind) {
	case JOURNAL_GAP:
		return add_gap(r, en->component, component, en->path,
			       en->why != NULL ? en->why : "a gap", e);
	case JOURNAL_DISCARD:
		return discard(r, en, e);
	case JOURNAL_STATEMENT:
		return add_statement(r, en, s, component, e);
	default:
		return 0;
	}
}

static int
understand(const struct journal_entry *en, struct statement *s, struct err *e)
{
	struct err why = { 0 };
	int rc = statement_parse(s, en->text, en->text_len, &why);

	if (rc < 0 && why.kind == ERR_USAGE)
		(void)err_set(e, ERR_CORRUPT, "journal: entry %" PRIu64 ": %s",
			      en->seq, why.text);
	err_move(e, &why);
	return rc;
}

int
reduce_add(struct reduce *const *all, size_t n, const struct journal_entry *en,
	   struct err *e)
{
	const struct metadata *document = NULL;
	size_t component = METADATA_NONE;
	struct statement s = { 0 };
	const char *name;
	size_t i;
	int rc = 0;

	for (i = 0; i < n && !counts(all[i], en); i++)
		;
	if (i < n && en->kind == JOURNAL_STATEMENT)
		rc = understand(en, &s, e);
	name = en->kind == JOURNAL_STATEMENT ? s.component : en->component;
	for (; i < n && rc == 0; i++) {
		if (!counts(all[i], en))
			continue;
		if (name != NULL && all[i]->in.document != document) {
			document = all[i]->in.document;
			component = metadata_find(document, name, strlen(name));
		}
		rc = add_to_one(all[i], en, &s, component, e);
	}
	statement_clear(&s);
	return rc;
}

void
reduce_free(struct reduce *r)
{
	size_t i;

	if (r == NULL)
		return;
	for (i = 0; i < r->files; i++) {
		ranges_clear(&r->file[i].f.ranges);
		mem_free(r->file[i].why);
	}
	mem_free(r->file);
	mem_free(r->note);
	mem_free(r->why);
	table_clear(&r->by_path);
	table_clear(&r->by_inode);
	table_clear(&r->by_event);
	strings_clear(&r->strings);
	mem_free(r);
}
