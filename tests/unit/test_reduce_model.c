/*
 * What declarations say together, against a second idea of it: doc/control.md,
 * section 8, sentence by sentence, each asked of all entries anew.  Journals are
 * drawn by lot, and all that comes out has to be the same.
 *
 *     REDUCE_SEED=7 REDUCE_CASES=1000000 tests/unit/test_reduce_model
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/reduce.h"

#include "base/buf.h"
#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/reduce_rig.h"
#include "tests/lib/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 14
#define BYTES   64
#define NOTHING SIZE_MAX

static const char *const components[] = { "db", "db/part", "other", "gone" };
static const char *const paths[] = { "/db/f", "/db/d/g", "/part/f", "/x" };
static const struct metadata_spec dirs[] = {
	{ "/db", "*", true, 0 },    { "/db", "f", false, 0 },
	{ "/part", "f", false, 0 }, { "/", "g", true, 0 },
	{ "/db/d", "?", false, 0 },
};
enum {
	DB,
	PART,
	OTHER,
	GONE
};

/* --- journals --------------------------------------------------------------- */

enum what {
	A_LINE,
	A_DIFFERENCED,
	A_STAMP,
	A_TEXT,
	AN_ATTACHMENT,
	A_GAP, /* of a component (none: NOTHING), of a path (none: NOTHING) */
	A_DISCARD,
	A_STOP,
};

enum since {
	OPEN,
	SINCE_BASE_STAMP,
	SINCE_BASE_ID,
	SINCE_ANOTHER_STAMP,
	SINCE_ANOTHER_ID
};

/* An entry as it was drawn; its text is made of it. */
struct drawn {
	enum what what;
	bool as_line; /* A_GAP: said by the writer */
	size_t component, path;
	enum since since;
	uint64_t bytes; /* bit by bit, what the ranges name */
	uint64_t size;  /* of size=; UINT64_MAX none */
	unsigned text;  /* metadata=, TEXT, from=; 0 none */
	size_t dir;     /* A_DIFFERENCED */
	unsigned newer; /* 0: none */
	uint64_t seq;
	uint8_t session; /* 0 none, 1 ours, 2 the base's, 3 another */
	unsigned event;
	bool window;
	struct facts facts;
};

struct drawn_case {
	struct rng rng;
	struct reduce_input in;
	struct drawn e[ENTRIES];
	size_t n;
};

static uint64_t
lot(struct drawn_case *c, uint64_t n)
{
	return rng_below(&c->rng, n);
}

static void
draw_facts(struct drawn_case *c, struct facts *f, int64_t *clock)
{
	if (lot(c, 6) == 0)
		return;
	*clock += lot(c, 3) == 0;
	f->known = true;
	f->young = lot(c, 8) == 0;
	f->has_btime = lot(c, 8) > 0;
	f->fs[0] = 'f';
	f->ino = 1 + lot(c, 8) / 7;
	f->size = 40 + (uint64_t)*clock;
	f->ctime.sec = *clock;
}

static void
draw_entry(struct drawn_case *c, struct drawn *d, int64_t *clock)
{
	static const enum what often[] = { A_LINE, A_LINE,        A_LINE,
					   A_LINE, A_LINE,        A_LINE,
					   A_GAP,  A_DIFFERENCED, A_STAMP,
					   A_TEXT, AN_ATTACHMENT, A_DISCARD,
					   A_STOP };
	size_t i;

	memset(d, 0, sizeof(*d));
	d->what = often[lot(c, N_OF(often))];
	d->component = lot(c, 12) < 8 ? DB : lot(c, 4);
	d->path = lot(c, 3) > 0 ? 0 : lot(c, N_OF(paths));
	d->since = (enum since)lot(c, 5);
	d->size = lot(c, 5) == 0 ? lot(c, BYTES) : UINT64_MAX;
	d->text = (unsigned)lot(c, 4);
	d->dir = lot(c, N_OF(dirs));
	d->newer = (unsigned)lot(c, 4);
	d->session = (uint8_t)lot(c, 4);
	d->window = d->session != 0 && lot(c, 3) > 0;
	d->event = d->session != 0 ? (unsigned)lot(c, 3) : 0;
	for (i = lot(c, 4); i > 0; i--)
		d->bytes |= UINT64_C(7) << lot(c, BYTES);
	draw_facts(c, &d->facts, clock);
	if (d->what != A_GAP)
		return;
	d->as_line = lot(c, 2) == 0;
	if (lot(c, 2) == 0)
		d->path = NOTHING;
	if (!d->as_line && lot(c, 4) == 0) {
		d->component = NOTHING;
		d->path = NOTHING;
	}
}

static void
draw(struct drawn_case *c)
{
	struct reduce_input *in = &c->in;
	int64_t clock = 1;
	size_t i;

	memset(in, 0, sizeof(*in));
	in->document = document;
	in->base_id[15] = lot(c, 30) > 0;
	in->base_stamp = lot(c, 15) > 0 ? "stamp" : NULL;
	in->stamp_ambiguous = lot(c, 15) == 0;
	in->base_session[0] = lot(c, 5) > 0 ? 2 : 0;
	in->session[0] = lot(c, 8) > 0;
	in->journal[0] = lot(c, 30) > 0;
	in->base_journal[0] = lot(c, 30) > 0;
	in->journal_first = 10;
	in->base_cut = 9 + lot(c, 20) / 3 * (lot(c, 3) > 0);
	c->n = 1 + lot(c, ENTRIES);
	for (i = 0; i < c->n; i++) {
		draw_entry(c, &c->e[i], &clock);
		c->e[i].seq = 10 + i;
	}
	in->journal_next = 10 + c->n + lot(c, 2);
	if (lot(c, 20) == 0)
		in->journal_next = lot(c, 20);
}

/* --- as the journal has it -------------------------------------------------- */

static void
print_bytes(uint64_t bytes, struct buf *out)
{
	const char *comma = "";
	unsigned i;

	if (bytes == 0)
		buf_add_str(out, "none");
	for (i = 0; i < BYTES; i++)
		if ((bytes >> i & 1) != 0) {
			buf_printf(out, "%s%u:1", comma, i);
			comma = ",";
		}
}

static void
print_line(const struct drawn *d, struct buf *out)
{
	static const char *const since[] = {
		"", " since=stamp", " since=@00000000000000000000000000000001",
		" since=older", " since=@00000000000000000000000000000002"
	};

	buf_printf(out, "partial-file %s %s ", components[d->component],
		   paths[d->path]);
	print_bytes(d->bytes, out);
	buf_add_str(out, since[d->since]);
	if (d->size != UINT64_MAX)
		buf_printf(out, " size=%" PRIu64, d->size);
	if (d->text > 0)
		buf_printf(out, " metadata=%u", d->text);
}

static void
print_entry(const struct drawn *d, struct buf *out)
{
	const char *c = d->component != NOTHING ? components[d->component] : "";
	const struct metadata_spec *dir = &dirs[d->dir];

	switch (d->what) {
	case A_LINE:
		print_line(d, out);
		break;
	case A_DIFFERENCED:
		buf_printf(out, "differenced-file %s %s %s%s", c, dir->dir,
			   dir->pattern, dir->recursive ? " recursive" : "");
		if (d->newer > 0)
			buf_printf(out, " newer=@%u", d->newer);
		break;
	case A_STAMP:
		buf_printf(out, "backup-stamp %s %u", c, d->text);
		break;
	case A_TEXT:
		buf_printf(out, "backup-metadata %s %u", c, d->text);
		break;
	case AN_ATTACHMENT:
		buf_printf(out, "attach %s %s from=/%u", c, paths[d->path],
			   d->text);
		break;
	case A_GAP:
		buf_printf(out, "gap %s %s", c,
			   d->path != NOTHING ? paths[d->path] : "");
		break;
	default:
		break;
	}
}

static struct journal_entry
entry_of(const struct drawn *d, struct buf *text)
{
	struct journal_entry en = { .seq = d->seq,
				    .kind = JOURNAL_STATEMENT,
				    .event = d->event,
				    .window = d->window,
				    .facts = d->facts };

	en.session[0] = d->session;
	buf_reset(text);
	print_entry(d, text);
	if (d->what == A_DISCARD) {
		en.kind = JOURNAL_DISCARD;
	} else if (d->what == A_STOP) {
		en.kind = JOURNAL_STOP;
	} else if (d->what == A_GAP && !d->as_line) {
		en.kind = JOURNAL_GAP;
		if (d->component != NOTHING)
			en.component = components[d->component];
		if (d->path != NOTHING)
			en.path = paths[d->path];
		en.why = "a gap";
	} else {
		en.text = buf_str(text);
		en.text_len = text->len;
	}
	return en;
}

/* --- the second idea -------------------------------------------------------- */

/* One component of a case. */
struct idea {
	const struct drawn_case *c;
	size_t component;
	bool known[ENTRIES];     /* above the cut */
	size_t discard[ENTRIES]; /* where it is taken back, or NOTHING */
};

static bool
is_base(const struct idea *m)
{
	return m->c->in.base_id[15] != 0;
}

static bool
concerns(const struct idea *m, size_t component)
{
	return component == m->component ||
	       (component <= PART && m->component <= PART);
}

static bool
names_base(const struct idea *m, const struct drawn *d)
{
	const struct reduce_input *in = &m->c->in;

	if (!is_base(m))
		return false;
	return d->since == SINCE_BASE_ID ||
	       (d->since == SINCE_BASE_STAMP && in->base_stamp != NULL &&
		!in->stamp_ambiguous && d->component == m->component);
}

/* The i-th entry is a line that is reckoned with. */
static bool
is_line(const struct idea *m, size_t i)
{
	const struct drawn *d = &m->c->e[i];
	bool left_out = d->since != OPEN && !names_base(m, d) && d->window &&
			d->session == 2 && m->c->in.base_session[0] == 2;

	return m->known[i] && d->what == A_LINE && d->component != GONE &&
	       concerns(m, d->component) && !left_out;
}

static bool
is_differenced(const struct idea *m, size_t i)
{
	const struct drawn *d = &m->c->e[i];

	return m->known[i] && d->what == A_DIFFERENCED &&
	       d->component != GONE && concerns(m, d->component);
}

static bool
in_session(const struct idea *m, const struct drawn *d)
{
	return m->c->in.session[0] == 1 && d->session == 1;
}

/* It speaks for the time since the base: openly, or closed. */
static bool
promises(const struct idea *m, size_t i)
{
	return is_line(m, i) &&
	       (m->c->e[i].since == OPEN || names_base(m, &m->c->e[i]));
}

static bool
closed(const struct idea *m, size_t i)
{
	return is_line(m, i) && names_base(m, &m->c->e[i]);
}

static struct idea
have_idea(const struct drawn_case *c, size_t component)
{
	const struct reduce_input *in = &c->in;
	struct idea m = { .c = c, .component = component };
	bool same = in->journal[0] != 0 && in->base_journal[0] != 0 &&
		    (in->journal_next == 0 || in->base_cut <= in->journal_next);
	size_t i;
	size_t k;

	for (i = 0; i < c->n; i++) {
		m.known[i] = !same || c->e[i].seq >= in->base_cut;
		m.discard[i] = NOTHING;
	}
	for (i = c->n; i-- > 0;)
		for (k = 0; k < i && c->e[i].what == A_DISCARD; k++)
			if (m.known[i] && c->e[i].event != 0 &&
			    c->e[k].event == c->e[i].event &&
			    c->e[k].session == c->e[i].session)
				m.discard[k] = i;
	return m;
}

/* Is there a gap of all in front of all entries? */
static bool
begins_with_gap(const struct idea *m)
{
	const struct reduce_input *in = &m->c->in;

	return !is_base(m) || in->journal[0] == 0 || in->base_journal[0] == 0 ||
	       in->base_cut < in->journal_first ||
	       (in->journal_next != 0 && in->base_cut > in->journal_next);
}

/* Is the i-th entry, or what it takes back, a gap of all? */
static bool
is_gap_of_all(const struct idea *m, size_t i)
{
	const struct drawn *d = &m->c->e[i];
	size_t k;

	if (!m->known[i])
		return false;
	if (d->what == A_DISCARD && d->event == 0)
		return true;
	for (k = 0; k < i; k++)
		if (m->discard[k] == i && is_differenced(m, k))
			return true;
	if (d->what == A_GAP && d->path == NOTHING)
		return d->component >= GONE || concerns(m, d->component);
	return d->component == GONE &&
	       (d->what == A_STAMP || d->what == A_TEXT ||
		d->what == A_DIFFERENCED);
}

/* Does it name the file, as a gap? */
static bool
is_gap_of_file(const struct idea *m, size_t i, size_t path)
{
	const struct drawn *d = &m->c->e[i];
	size_t k;

	if (!m->known[i])
		return false;
	for (k = 0; k < i; k++)
		if (m->discard[k] == i && is_line(m, k) &&
		    m->c->e[k].path == path)
			return true;
	if (d->path != path)
		return false;
	return d->what == A_GAP ||
	       ((d->what == A_LINE || d->what == AN_ATTACHMENT) &&
		d->component == GONE);
}

static bool
same_inode(const struct facts *a, const struct facts *b)
{
	return a->known && b->known && a->ino == b->ino &&
	       a->has_btime == b->has_btime;
}

static bool
has_two_names(const struct idea *m, size_t path)
{
	const struct drawn *e = m->c->e;
	size_t i;
	size_t k;

	for (i = 0; i < m->c->n; i++)
		for (k = 0; k < m->c->n; k++)
			if (is_line(m, i) && is_line(m, k) &&
			    e[i].path == path && e[k].path != path &&
			    same_inode(&e[i].facts, &e[k].facts))
				return true;
	return false;
}

/* What is to come out for one file. */
struct wanted {
	bool there, gap, promised, sure, clash;
	uint64_t bytes, min_size, beyond;
	size_t lines, last; /* last: that promises */
	unsigned metadata;
};

static uint64_t
end_of(uint64_t bytes)
{
	return bytes == 0 ? 0 : 64 - (uint64_t)__builtin_clzll(bytes);
}

static bool
within(const struct drawn *d)
{
	return d->facts.known && d->facts.size >= end_of(d->bytes);
}

static void
want_bytes(const struct idea *m, size_t path, struct wanted *w)
{
	size_t i;
	size_t k;

	w->min_size = UINT64_MAX;
	for (i = 0; i < m->c->n; i++) {
		const struct drawn *d = &m->c->e[i];
		bool right_later = false;

		if (!is_line(m, i) || d->path != path)
			continue;
		w->lines++;
		w->bytes |= d->bytes;
		w->metadata = d->text;
		if (d->size < w->min_size)
			w->min_size = d->size;
		if (d->facts.known && d->facts.size < w->min_size)
			w->min_size = d->facts.size;
		for (k = i + 1; k < m->c->n; k++)
			right_later = right_later ||
				      (closed(m, k) && within(&m->c->e[k]) &&
				       m->c->e[k].path == path);
		if (!within(d) && !right_later && end_of(d->bytes) > w->beyond)
			w->beyond = end_of(d->bytes);
	}
}

/* Was the file at every line behind the i-th what it was at that one? */
static bool
same_since(const struct idea *m, size_t i, size_t path)
{
	const struct drawn *e = m->c->e;
	size_t k;

	for (k = i + 1; k < m->c->n; k++) {
		if (!promises(m, k) || e[k].path != path)
			continue;
		if (!facts_equal(&e[i].facts, &e[k].facts))
			return false;
	}
	return true;
}

static void
want_promise(const struct idea *m, size_t path, struct wanted *w)
{
	size_t gap =
		NOTHING; /* the first entry behind the last gap is gap + 1 */
	bool sure = false;
	bool held = false;
	size_t i;

	w->last = NOTHING;
	w->gap = begins_with_gap(m);
	for (i = 0; i < m->c->n; i++) {
		if (is_gap_of_file(m, i, path))
			w->there = true;
		if (is_gap_of_file(m, i, path) || is_gap_of_all(m, i)) {
			w->gap = true;
			gap = i;
			w->last = NOTHING;
		}
		if (promises(m, i) && m->c->e[i].path == path)
			w->last = i;
	}
	for (i = gap + 1; i < m->c->n; i++) {
		if (!closed(m, i) || m->c->e[i].path != path)
			continue;
		if (m->c->e[i].window && in_session(m, &m->c->e[i]))
			sure = true;
		if (same_since(m, i, path))
			held = true;
	}
	if (!w->gap && w->last != NOTHING) {
		w->promised = true;
		w->sure = sure || (m->c->e[w->last].window &&
				   in_session(m, &m->c->e[w->last]));
	} else if (sure || held) {
		w->promised = true;
		w->sure = sure;
	}
	for (i = 0; i < m->c->n; i++)
		if (is_line(m, i) && m->c->e[i].path == path && gap != NOTHING)
			w->metadata = i < gap ? 0 : m->c->e[i].text;
	if (has_two_names(m, path)) {
		w->promised = false;
		w->sure = false;
	}
}

static struct wanted
want(const struct idea *m, size_t path)
{
	struct wanted w = { 0 };
	size_t i;

	want_bytes(m, path, &w);
	want_promise(m, path, &w);
	w.there = w.there || w.lines > 0;
	for (i = 0; i < m->c->n; i++)
		if (is_differenced(m, i) && m->discard[i] == NOTHING &&
		    metadata_fits(&dirs[m->c->e[i].dir], paths[path]))
			w.clash = true;
	return w;
}

/* --- both ------------------------------------------------------------------- */

static void
check_reading(struct drawn_case *c, const struct wanted *w,
	      const struct reduce_file *f)
{
	uint64_t base = lot(c, BYTES + 1);
	uint64_t size = lot(c, BYTES + 1);
	struct ranges read = { 0 };
	uint64_t i;
	int rc = reduce_ranges(f, base, size, &read, NULL);

	assert_int_equal(rc<0, w->beyond> size);
	for (i = 0; rc == 0 && i < BYTES; i++) {
		bool wanted = (w->bytes >> i & 1) != 0 || i >= base ||
			      i >= w->min_size;

		assert_int_equal(ranges_hold(&read, i, 1), wanted && i < size);
	}
	ranges_clear(&read);
}

static void
check_file(struct drawn_case *c, const struct idea *m, size_t path,
	   const struct reduced *out)
{
	const struct reduce_file *f = reduced_find(out, paths[path]);
	struct wanted w = want(m, path);
	char text[4] = "";
	uint64_t i;

	assert_int_equal(f != NULL, w.there);
	if (f == NULL)
		return;
	assert_int_equal(f->promised, w.promised);
	assert_int_equal(f->why == NULL, w.promised);
	assert_int_equal(f->sure, w.sure);
	assert_int_equal(f->lines, w.lines);
	assert_int_equal(f->min_size, w.min_size);
	assert_int_equal(f->beyond, w.beyond);
	assert_int_equal(f->clash, w.clash);
	for (i = 0; i < BYTES; i++)
		assert_int_equal(ranges_hold(&f->ranges, i, 1),
				 w.bytes >> i & 1);
	if (w.promised)
		assert_memory_equal(&f->facts, &c->e[w.last].facts,
				    sizeof(f->facts));
	(void)snprintf(text, sizeof(text), "%u", w.metadata);
	assert_int_equal(f->metadata != NULL, w.metadata > 0);
	if (f->metadata != NULL)
		assert_string_equal(f->metadata, text);
	check_reading(c, &w, f);
}

/* The last of its kind in this session; of a path, if it is an attachment. */
static size_t
last_of(const struct idea *m, enum what what, size_t path)
{
	size_t i;

	for (i = m->c->n; i-- > 0;) {
		const struct drawn *d = &m->c->e[i];
		bool ours = what == AN_ATTACHMENT
				    ? d->component != GONE &&
					      concerns(m, d->component) &&
					      d->path == path
				    : d->component == m->component;

		if (m->known[i] && d->what == what && ours &&
		    in_session(m, d) && m->discard[i] == NOTHING)
			return i;
	}
	return NOTHING;
}

static void
check_text(const struct idea *m, enum what what, const char *got)
{
	size_t i = last_of(m, what, 0);

	assert_int_equal(got != NULL, i != NOTHING);
	if (got != NULL)
		assert_int_equal(strtoul(got, NULL, 10), m->c->e[i].text);
}

static void
check_rest(const struct idea *m, const struct reduced *out)
{
	bool gap = begins_with_gap(m);
	size_t attached = 0;
	size_t n = 0;
	size_t i;
	size_t k;

	for (i = 0; i < m->c->n; i++)
		gap = gap || is_gap_of_all(m, i);
	assert_int_equal(out->gap, gap);
	assert_int_equal(out->why != NULL, gap);
	check_text(m, A_STAMP, out->stamp);
	check_text(m, A_TEXT, out->metadata);
	for (k = 0; k < N_OF(paths); k++) {
		i = last_of(m, AN_ATTACHMENT, k);
		if (i == NOTHING)
			continue;
		for (n = 0; n < out->attachments; n++)
			if (strcmp(out->attachment[n].path, paths[k]) == 0)
				break;
		assert_in_range(n, 0, out->attachments - 1);
		assert_int_equal(strtoul(out->attachment[n].from + 1, NULL, 10),
				 m->c->e[i].text);
		attached++;
	}
	assert_int_equal(out->attachments, attached);
}

/* Each differenced entry once, with the lowest time that was said. */
static void
check_differenced(const struct idea *m, const struct reduced *out)
{
	size_t n = 0;
	size_t i;
	size_t k;

	for (k = 0; k < N_OF(dirs); k++) {
		unsigned newer = 0;
		bool any = false;

		for (i = 0; i < m->c->n; i++) {
			const struct drawn *d = &m->c->e[i];

			if (!is_differenced(m, i) || d->dir != k ||
			    m->discard[i] != NOTHING)
				continue;
			any = true;
			if (d->newer > 0 && (newer == 0 || d->newer < newer))
				newer = d->newer;
		}
		n += any;
		for (i = 0; any && i < out->differenced_count; i++)
			if (strcmp(out->differenced[i].dir, dirs[k].dir) == 0 &&
			    strcmp(out->differenced[i].pattern,
				   dirs[k].pattern) == 0)
				break;
		if (any) {
			assert_in_range(i, 0, out->differenced_count - 1);
			assert_int_equal(out->differenced[i].has_newer,
					 newer > 0);
			assert_int_equal(out->differenced[i].newer.sec, newer);
		}
	}
	assert_int_equal(out->differenced_count, n);
}

static void
run_case(struct drawn_case *c, struct buf *text)
{
	struct reduce *r[GONE] = { NULL };
	struct reduced out;
	struct err e = { 0 };
	size_t i;
	size_t k;

	draw(c);
	for (i = 0; i < GONE; i++) {
		c->in.component = component(components[i]);
		assert_int_equal(reduce_new(&c->in, &r[i], NULL), 0);
	}
	for (i = 0; i < c->n; i++) {
		struct journal_entry en = entry_of(&c->e[i], text);

		if (reduce_add(r, GONE, &en, &e) < 0)
			fail_msg("%s: %s", buf_str(text), e.text);
	}
	for (i = 0; i < GONE; i++) {
		struct idea m = have_idea(c, i);

		assert_int_equal(reduce_end(r[i], &out, NULL), 0);
		reduce_free(r[i]);
		for (k = 0; k < N_OF(paths); k++)
			check_file(c, &m, k, &out);
		check_rest(&m, &out);
		check_differenced(&m, &out);
		reduced_clear(&out);
	}
}

static void
b1_to_b6_journals_by_lot_mean_what_the_language_says(void **state)
{
	const char *from = getenv("REDUCE_SEED");
	const char *many = getenv("REDUCE_CASES");
	uint64_t seed = from != NULL ? strtoull(from, NULL, 0) : 1;
	uint64_t cases = many != NULL ? strtoull(many, NULL, 0) : 100000;
	struct drawn_case c = { .rng = { seed } };
	struct buf text = { 0 };
	uint64_t i;

	(void)state;
	if (getenv("TEST_QUICK") != NULL)
		cases = 1000;
	print_message("seed %" PRIu64 ", %" PRIu64 " cases\n", seed, cases);
	for (i = 0; i < cases; i++)
		run_case(&c, &text);
	buf_clear(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			b1_to_b6_journals_by_lot_mean_what_the_language_says),
	};

	return cmocka_run_group_tests_name("reduce_model", tests, make_document,
					   free_document);
}
