/*
 * What declarations say together, against honest writers in a small world where
 * everything goes wrong.
 *
 *     REDUCE_SEED=7 REDUCE_WORLDS=100000 tests/unit/test_reduce_world
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/reduce.h"

#include "base/buf.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/reduce_rig.h"
#include "tests/lib/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * One file of a few bytes, each a number that is new with every write.  Its
 * writer declares what it wrote, at its own pace, openly or since a
 * generation; a control process takes the lines, refuses some, stops now and
 * then in one way or another; backups of two sets compare with earlier ones
 * or fail.  Whatever they take from the base must be what is there.
 */
#define WORLD_BYTES 48
#define WORLD_LINES 400
#define WORLD_GENS  40

struct content {
	uint32_t byte[WORLD_BYTES];
	uint64_t size;
	struct facts facts;
};

struct world_gen {
	struct content c;
	bool racy;
	bool full;
	int set;
	uint8_t id[16], session[16], journal[JOURNAL_ID_LEN];
	char stamp[16];
	uint64_t cut;
	uint64_t frozen_at; /* writes until then are in it */
};

struct world {
	struct rng rng;
	struct content now;
	uint64_t writes;          /* so far; also the contents of bytes */
	int64_t tick;             /* of the clock that stamps files */
	uint64_t at[WORLD_BYTES]; /* the last write of each byte */
	uint64_t size_at[WORLD_BYTES + 1]; /* when it last had this size */
	/* What the writer has to declare openly. */
	bool pending[WORLD_BYTES];
	uint64_t pending_size;
	/* The journal. */
	struct journal_entry line[WORLD_LINES];
	char text[WORLD_LINES][400];
	size_t lines;
	uint64_t first, next; /* line[i] has the number first + i */
	uint8_t journal[JOURNAL_ID_LEN];
	/* The session that the writer takes part in. */
	bool window;
	uint8_t session[16];
	uint64_t event;
	uint64_t frozen_at; /* of it; 0 not yet */
	struct world_gen gen[WORLD_GENS];
	size_t gens;
	uint64_t ids;
};

static struct {
	size_t runs, used, sure, refused, own, read, changed;
} tally;

static uint64_t
lot(struct world *w, uint64_t n)
{
	return rng_below(&w->rng, n);
}

static void
new_id(struct world *w, uint8_t *id)
{
	memset(id, 0, 16);
	w->ids++;
	memcpy(id, &w->ids, sizeof(w->ids));
}

static void
touch(struct world *w)
{
	w->now.facts.known = true;
	w->now.facts.mtime.sec = w->tick;
	w->now.facts.ctime.sec = w->tick;
	w->now.facts.size = w->now.size;
	w->size_at[w->now.size] = w->writes;
}

static void
write_byte(struct world *w, uint64_t i)
{
	w->now.byte[i] = (uint32_t)w->writes;
	w->at[i] = w->writes;
	w->pending[i] = true;
}

static void
change_file(struct world *w)
{
	uint64_t off = lot(w, WORLD_BYTES);
	uint64_t len = 1 + lot(w, 4);
	uint64_t i;

	w->writes++;
	tally.changed++;
	if (lot(w, 8) == 0) { /* cut */
		w->now.size = lot(w, w->now.size + 1);
		if (w->now.size < w->pending_size)
			w->pending_size = w->now.size;
	} else {
		if (off > w->now.size)
			off = w->now.size; /* no holes: they are data, too */
		for (i = off; i < off + len && i < WORLD_BYTES; i++) {
			write_byte(w, i);
			if (i >= w->now.size)
				w->now.size = i + 1;
		}
	}
	if (lot(w, 40) == 0) /* copied and renamed over */
		w->now.facts.ino++;
	touch(w);
}

/* --- its journal --- */

static void
add_line(struct world *w, struct journal_entry *en)
{
	if (w->lines == WORLD_LINES)
		return;
	en->seq = w->next++;
	w->line[w->lines++] = *en;
}

static void
add_world_gap(struct world *w)
{
	struct journal_entry en = { .kind = JOURNAL_GAP, .why = "gap" };
	uint64_t what = lot(w, 4);

	if (what > 0)
		en.component = what == 3 ? "no-such" : "db";
	if (what > 1)
		en.path = "/db/f";
	add_line(w, &en);
}

static void
drop_lines(struct world *w, uint64_t seq)
{
	size_t n;

	if (seq > w->next)
		seq = w->next;
	if (seq <= w->first)
		return;
	n = (size_t)(seq - w->first);
	memmove(w->line, w->line + n, (w->lines - n) * sizeof(*w->line));
	memmove(w->text, w->text + n, (w->lines - n) * sizeof(*w->text));
	for (size_t i = 0; i < w->lines - n; i++)
		if (w->line[i].text != NULL)
			w->line[i].text = w->text[i];
	w->lines -= n;
	w->first = seq;
}

static void
restart(struct world *w)
{
	struct journal_entry en = { .kind = JOURNAL_GAP, .why = "crash" };

	if (w->window)
		return;
	if (lot(w, 2) == 0) { /* clean */
		en.kind = JOURNAL_STOP;
		add_line(w, &en);
		return;
	}
	new_id(w, w->journal);
	if (lot(w, 2) == 0) { /* nothing could be read */
		w->lines = 0;
		w->first = 1;
		w->next = 1;
		return;
	}
	add_line(w, &en);
}

/* --- its writer --- */

static void
put_set(const bool *in, struct buf *out)
{
	const char *comma = "";
	size_t i;

	for (i = 0; i < WORLD_BYTES; i++)
		if (in[i]) {
			buf_printf(out, "%s%zu:1", comma, i);
			comma = ",";
		}
	if (comma[0] == '\0')
		buf_add_str(out, "none");
}

/*
 * Hand in a line.  Waits for a tick, usually; refused now and then, which
 * leaves a gap of the file, or of more.
 */
static bool
hand_in(struct world *w, struct buf *text)
{
	struct journal_entry en = { .kind = JOURNAL_STATEMENT };
	size_t at = w->lines;

	if (w->lines == WORLD_LINES || lot(w, 12) == 0) {
		add_world_gap(w);
		buf_clear(text);
		return false;
	}
	if (lot(w, 10) > 0)
		w->tick++;
	(void)snprintf(w->text[at], sizeof(w->text[at]), "%s", buf_str(text));
	en.text = w->text[at];
	en.text_len = strlen(en.text);
	en.facts = w->now.facts;
	en.facts.young = w->now.facts.ctime.sec >= w->tick;
	if (lot(w, 30) == 0)
		memset(&en.facts, 0, sizeof(en.facts));
	if (w->window) {
		memcpy(en.session, w->session, 16);
		en.event = w->event;
		en.window = true;
	}
	add_line(w, &en);
	buf_clear(text);
	return true;
}

static void
forget_pending(struct world *w)
{
	memset(w->pending, 0, sizeof(w->pending));
	w->pending_size = UINT64_MAX;
}

static void
declare_open(struct world *w)
{
	struct buf b = { 0 };
	bool in[WORLD_BYTES];
	size_t i;

	memcpy(in, w->pending, sizeof(in));
	for (i = 0; i < WORLD_BYTES; i++)
		in[i] = (in[i] || lot(w, 40) == 0) && i < w->now.size;
	buf_add_str(&b, "partial-file db /db/f ");
	put_set(in, &b);
	if (w->pending_size != UINT64_MAX)
		buf_printf(&b, " size=%" PRIu64, w->pending_size);
	/* After a refusal it may try again, or leave it at that. */
	if (hand_in(w, &b) || lot(w, 2) == 0)
		forget_pending(w);
}

static void
declare_closed(struct world *w)
{
	const struct world_gen *g;
	struct buf b = { 0 };
	bool in[WORLD_BYTES];
	uint64_t lowest = UINT64_MAX;
	size_t i;

	if (w->gens == 0)
		return;
	g = &w->gen[lot(w, 3) > 0 ? w->gens - 1 : lot(w, w->gens)];
	for (i = 0; i < WORLD_BYTES; i++)
		in[i] = w->at[i] > g->frozen_at && i < w->now.size;
	for (i = 0; i <= WORLD_BYTES && lowest == UINT64_MAX; i++)
		if (w->size_at[i] > g->frozen_at)
			lowest = i;
	buf_add_str(&b, "partial-file db /db/f ");
	put_set(in, &b);
	if (lowest != UINT64_MAX)
		buf_printf(&b, " size=%" PRIu64, lowest);
	if (lot(w, 2) == 0) {
		buf_add_str(&b, " since=@");
		for (i = 0; i < 16; i++)
			buf_printf(&b, "%02x", g->id[i]);
	} else {
		buf_printf(&b, " since=\"%s\"", g->stamp);
	}
	if (!hand_in(w, &b))
		return;
	/*
	 * What it names is declared, with two exceptions: what was written
	 * before the generation that it names, and, because in a session it
	 * speaks of what that session reads, what was written behind its
	 * freeze.
	 */
	for (i = 0; i < WORLD_BYTES; i++)
		if (w->at[i] > g->frozen_at &&
		    (!w->window || w->frozen_at == 0 ||
		     w->at[i] <= w->frozen_at))
			w->pending[i] = false;
}

static void
discard_event(struct world *w)
{
	struct journal_entry en = { .kind = JOURNAL_DISCARD };

	memcpy(en.session, w->session, 16);
	en.event = w->event;
	add_line(w, &en);
}

static void
live(struct world *w, uint64_t steps)
{
	while (steps-- > 0) {
		switch (lot(w, 10)) {
		case 0:
		case 1:
		case 2:
		case 3:
			change_file(w);
			break;
		case 4:
		case 5:
		case 6:
			declare_open(w);
			break;
		case 7:
			declare_closed(w);
			break;
		case 8:
			w->tick++;
			break;
		default:
			if (lot(w, 4) == 0)
				restart(w);
			break;
		}
	}
}

/* --- its backups --- */

static const struct world_gen *
find_base(const struct world *w, int set, bool differential)
{
	size_t i;

	for (i = w->gens; i-- > 0;)
		if (w->gen[i].set == set && (!differential || w->gen[i].full))
			return &w->gen[i];
	return NULL;
}

static void
reduce_world(struct world *w, const struct world_gen *base, struct reduced *out)
{
	struct reduce_input in = { .document = document };
	struct reduce *r = NULL;
	size_t i;

	in.component = component("db");
	memcpy(in.base_id, base->id, 16);
	in.base_stamp = base->stamp;
	memcpy(in.base_session, base->session, 16);
	memcpy(in.base_journal, base->journal, 16);
	in.base_cut = base->cut;
	memcpy(in.journal, w->journal, 16);
	in.journal_first = w->first;
	in.journal_next = w->next;
	memcpy(in.session, w->session, 16);
	assert_int_equal(reduce_new(&in, &r, NULL), 0);
	for (i = 0; i < w->lines; i++)
		assert_int_equal(reduce_add(&r, 1, &w->line[i], NULL), 0);
	assert_int_equal(reduce_end(r, out, NULL), 0);
	reduce_free(r);
}

/* Every byte that is not read must be as in the base. */
static void
compare_unread(const struct content *c, const struct world_gen *base,
	       const struct ranges *read, uint64_t seed)
{
	uint64_t i;

	for (i = 0; i < c->size; i++)
		if ((i >= base->c.size || c->byte[i] != base->c.byte[i]) &&
		    !ranges_hold(read, i, 1))
			fail_msg("seed %" PRIu64 ": byte %" PRIu64
				 " was not read",
				 seed, i);
}

/* As src/requester does it. */
static void
take_from_base(struct world *w, const struct content *c,
	       const struct world_gen *base, uint64_t seed)
{
	const struct reduce_file *f;
	struct reduced out = { 0 };
	struct ranges read = { 0 };

	tally.runs++;
	reduce_world(w, base, &out);
	f = reduced_find(&out, "/db/f");
	if (!facts_same_file(&base->c.facts, &c->facts)) {
		tally.read++;
	} else if (f == NULL) {
		/* The own test. */
		tally.own++;
		if (!base->racy && facts_equal(&base->c.facts, &c->facts))
			compare_unread(c, base, &read, seed);
	} else if (reduce_refuses(f, &c->facts) != NULL) {
		tally.refused++;
	} else if (reduce_ranges(f, base->c.size, c->size, &read, NULL) == 0) {
		tally.used++;
		tally.sure += f->sure;
		compare_unread(c, base, &read, seed);
	}
	ranges_clear(&read);
	reduced_clear(&out);
}

/*
 * A session.  The writer takes part, or does not; if it does, it has declared
 * all that it wrote when it says that it is frozen.
 */
static void
backup_world(struct world *w, uint64_t seed)
{
	struct world_gen g = { .set = (int)lot(w, 2), .full = lot(w, 5) == 0 };
	const struct world_gen *base = find_base(w, g.set, lot(w, 3) == 0);
	bool part = lot(w, 3) > 0;
	bool fails = lot(w, 6) == 0;

	new_id(w, w->session);
	w->event = 1;
	w->frozen_at = 0;
	if (lot(w, 2) == 0) { /* without a snapshot: at prepare-backup */
		g.cut = w->next;
		memcpy(g.journal, w->journal, 16);
	}
	w->window = part;
	if (part)
		live(w, lot(w, 5));
	w->event = 2;
	if (g.cut == 0) {
		g.cut = w->next;
		memcpy(g.journal, w->journal, 16);
	}
	if (part && lot(w, 2) == 0)
		declare_closed(w);
	if (part)
		declare_open(w);
	if (part && fails)
		discard_event(w);
	g.c = w->now;
	g.racy = w->now.facts.ctime.sec >= w->tick;
	g.frozen_at = w->writes;
	w->frozen_at = w->writes;
	w->event = 3;
	if (part)
		live(w, lot(w, 4));
	if (base != NULL && !g.full && !fails)
		take_from_base(w, &g.c, base, seed);
	w->window = false;
	if (!fails && w->gens < WORLD_GENS) {
		new_id(w, g.id);
		memcpy(g.session, w->session, 16);
		(void)snprintf(g.stamp, sizeof(g.stamp), "s%" PRIu64, w->ids);
		w->gen[w->gens++] = g;
	}
	memset(w->session, 0, sizeof(w->session));
}

static void
forget_some(struct world *w)
{
	uint64_t lowest = w->next;
	size_t i = (size_t)lot(w, w->gens);

	memmove(&w->gen[i], &w->gen[i + 1],
		(--w->gens - i) * sizeof(w->gen[0]));
	for (i = 0; i < w->gens; i++)
		if (memcmp(w->gen[i].journal, w->journal, 16) == 0 &&
		    w->gen[i].cut < lowest)
			lowest = w->gen[i].cut;
	/* Now and then too much. */
	drop_lines(w, lowest + (lot(w, 4) == 0 ? lot(w, 4) : 0));
}

static void
run_world(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->rng.state = seed;
	w->first = 1;
	w->next = 1;
	w->tick = 100;
	w->writes = 1;
	w->now.facts = facts_of(1);
	w->now.size = 20;
	forget_pending(w);
	new_id(w, w->journal);
	touch(w);
	for (int i = 0; i < 12; i++) {
		live(w, lot(w, 12));
		backup_world(w, seed);
		if (w->gens > 2 && lot(w, 4) == 0)
			forget_some(w);
	}
}

static void
b2_of_honest_writers_nothing_is_left_unread(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *from = getenv("REDUCE_SEED");
	uint64_t seed = from != NULL ? strtoull(from, NULL, 0) : 1;
	const char *many = getenv("REDUCE_WORLDS");
	uint64_t worlds = many != NULL ? strtoull(many, NULL, 0) : 3000;
	uint64_t i;

	(void)state;
	if (getenv("TEST_QUICK") != NULL)
		worlds = 100;
	assert_non_null(w);
	memset(&tally, 0, sizeof(tally));
	for (i = 0; i < worlds; i++)
		run_world(w, seed + i * 7919);
	free(w);
	print_message(
		"seed %" PRIu64
		", %zu runs: %zu partial (%zu sure), %zu refused, %zu own "
		"test, %zu another inode\n",
		seed, tally.runs, tally.used, tally.sure, tally.refused,
		tally.own, tally.read);
	/* It is not for want of promises. */
	assert_true(tally.used * 5 > tally.runs);
	assert_true(tally.sure * 10 > tally.runs);
	assert_true(tally.used - tally.sure > tally.runs / 50);
	assert_true(tally.refused * 10 > tally.runs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(b2_of_honest_writers_nothing_is_left_unread),
	};

	return cmocka_run_group_tests_name("reduce_world", tests, make_document,
					   free_document);
}
