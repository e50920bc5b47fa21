/*
 * client.c
 *
 * One call is one message and all lines of its answer (server.c lists them).
 * What the answer says of writers is put together on the side and takes the
 * place of what was known when `done` has come; what a line leaves out because
 * it did not change (`kept`) moves over from there.
 *
 * An interrupted call leaves an answer behind that nobody will read, so the
 * line is of no use from then on: our half is closed, which the other side
 * takes as the requester's end.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/client.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/time.h"
#include "src/writer/client_internal.h"
#include "src/writer/entries.h"
#include "src/writer/grammar.h"
#include "src/writer/party.h"
#include "src/writer/registry.h"
#include "src/writer/roster.h"
#include "src/writer/server_internal.h"
#include "src/writer/wire.h"

#include <string.h>
#include <sys/socket.h>

#define LOG_MAX (2 * (size_t)PARTY_LOG_MAX + 131072)

struct client {
	struct wire wire;
	struct line_end end; /* of the line: socket and child */
	const atomic_int *cancel;
	bool broken;
	bool vetoed; /* the answer said so */
	char session[33];
	struct client_writers known;
	struct client_writers next; /* of the answer under way */
	bool told;                  /* the answer is about writers */
	struct buf log;
	int entries; /* a descriptor, or -1 */
	uint64_t entries_len;
};

/* --- a call ----------------------------------------------------------------- */

static int
take_writer(struct client *c, const struct grammar_line *l, struct err *e)
{
	c->told = true;
	return roster_take(&c->next, &c->known, &c->wire, l, e);
}

static int
take_session(struct client *c, const struct grammar_line *l, struct err *e)
{
	if (l->count != 2 || l->word[1].len != sizeof(c->session) - 1)
		return err_set(e, ERR_SYS, "the other process is confused");
	memcpy(c->session, l->word[1].s, sizeof(c->session));
	return 0;
}

static int
take_entries(struct client *c, const struct grammar_line *l, struct err *e)
{
	c->entries_len = wire_number(l, "length", INT64_MAX);
	c->entries = wire_passed(&c->wire);
	return c->entries >= 0 ? 0 :
				 err_set(e, ERR_SYS,
					 "no journal came with the answer");
}

/* One line of an answer: 1 it was the last, 0 there are more. */
static int
take_line(struct client *c, const struct grammar_line *l, struct err *e)
{
	const char *word = l->count > 0 ? l->word[0].s : "";

	if (strcmp(word, "done") == 0)
		return 1;
	if (strcmp(word, "error") == 0)
		return wire_take_error(l, e);
	if (strcmp(word, "writer") == 0)
		return take_writer(c, l, e);
	if (strcmp(word, "grant") == 0 || strcmp(word, "service") == 0)
		return roster_more(&c->next, l, e);
	if (strcmp(word, "session") == 0)
		return take_session(c, l, e);
	if (strcmp(word, "entries") == 0)
		return take_entries(c, l, e);
	if (strcmp(word, "log") == 0)
		return wire_bytes(&c->wire, wire_number(l, "bytes", UINT64_MAX),
				  LOG_MAX, &c->log, e);
	if (strcmp(word, "vetoed") == 0)
		c->vetoed = true;
	return 0;
}

static void
break_line(struct client *c)
{
	c->broken = true;
	(void)shutdown(c->wire.fd, SHUT_WR);
}

/* Lines until the last.  *refused: it was an error, said in good order. */
static int
hear(struct client *c, bool *refused, struct err *e)
{
	struct grammar_line l = { 0 };
	int rc = 0;

	while (rc == 0) {
		rc = wire_line(&c->wire, 0, &l, e);
		if (rc == 1)
			rc = err_set(e, ERR_SYS,
				     "the process that talks to writers has "
				     "ended");
		if (rc < 0)
			break;
		rc = take_line(c, &l, e);
		*refused = rc < 0 && l.count > 0 &&
			   strcmp(l.word[0].s, "error") == 0;
	}
	grammar_clear(&l);
	return rc < 0 ? -1 : 0;
}

static void
forget_answer(struct client *c)
{
	roster_clear(&c->next);
	buf_clear(&c->log);
	(void)io_close(c->entries, "copy of a journal", NULL);
	c->entries = -1;
	c->vetoed = false;
	c->told = false;
}

/* Send a message (whose buffer is cleared) and take the answer. */
static int
call(struct client *c, struct buf *message, struct err *e)
{
	bool refused = false;
	int rc = -1;

	forget_answer(c);
	if (c->broken)
		err_set(e, ERR_SYS, "the line to the writers is broken");
	else if (wire_send(&c->wire, message, -1, e) < 0)
		break_line(c);
	else
		rc = hear(c, &refused, e);
	buf_clear(message);
	if (rc < 0) {
		if (!refused && !c->broken)
			break_line(c);
		return -1;
	}
	if (c->told) {
		roster_clear(&c->known);
		c->known = c->next;
		c->next = (struct client_writers){ 0 };
	}
	return 0;
}

static int
call_word(struct client *c, const char *word, struct err *e)
{
	struct buf b = { 0 };

	buf_printf(&b, "%s\n", word);
	return call(c, &b, e);
}

/* --- opening and closing ---------------------------------------------------- */

/* One attempt: somebody who answers, or ERR_BUSY. */
static int
attempt(struct client *c, const char *repository,
	const uint8_t repository_id[16], bool *live, struct err *e)
{
	if (client_connect(repository, repository_id, &c->end, live, e) < 0)
		return -1;
	c->wire = WIRE(c->end.fd, c->cancel);
	c->broken = false;
	if (call_word(c, "hello " SERVER_VERSION, e) == 0)
		return 0;
	wire_clear(&c->wire);
	client_hang_up(&c->end, c->cancel);
	return -1;
}

int
client_open(const char *repository, const uint8_t repository_id[16],
	    const atomic_int *cancel, struct client **out, bool *live,
	    struct err *e)
{
	uint64_t until = time_monotonic_ns() + CLIENT_PATIENCE_NS;
	struct client *c = mem_zalloc(sizeof(*c));
	struct err why = { 0 };

	if (c == NULL)
		return err_nomem(e);
	c->cancel = cancel;
	c->entries = -1;
	c->wire = WIRE(-1, cancel);
	/* Another requester's child may be about to end, or a server to begin. */
	while (attempt(c, repository, repository_id, live, &why) < 0) {
		if (why.kind != ERR_BUSY || time_monotonic_ns() >= until ||
		    (cancel != NULL && atomic_load(cancel) != 0)) {
			err_move(e, &why);
			mem_free(c);
			return -1;
		}
		err_clear(&why);
		client_pause();
	}
	*out = c;
	return 0;
}

void
client_close(struct client *c)
{
	if (c == NULL)
		return;
	forget_answer(c);
	wire_clear(&c->wire);
	client_hang_up(&c->end, c->cancel);
	roster_clear(&c->known);
	mem_free(c);
}

const struct client_writers *
client_writers(const struct client *c)
{
	return &c->known;
}

const struct client_writer *
client_find(const struct client *c, const char *name)
{
	return roster_find(&c->known, name);
}

const char *
client_session(const struct client *c)
{
	return c->session;
}

/* --- phases ----------------------------------------------------------------- */

int
client_begin(struct client *c, const struct round_begin *b, struct err *e)
{
	struct buf m = { 0 };
	size_t i;

	for (i = 0; i < b->volumes; i++) {
		buf_add_str(&m, "volume");
		grammar_put(&m, b->volume[i]);
		buf_add_char(&m, '\n');
	}
	buf_add_str(&m, "begin");
	grammar_put_option(&m, "kind",
			   b->kind == ROUND_RESTORE ? "restore" : "backup");
	wire_put_number(&m, "type", b->type);
	if (b->set != NULL)
		grammar_put_option(&m, "set", b->set);
	if (b->snapshot != NULL)
		grammar_put_option(&m, "snapshot", b->snapshot);
	if (b->snapshot_atomic)
		buf_add_str(&m, " snapshot-atomic");
	if (b->partial_files)
		buf_add_str(&m, " partial-files");
	wire_put_number(&m, "window", b->window_s);
	wire_put_number(&m, "answer", b->answer_s);
	buf_add_char(&m, '\n');
	return call(c, &m, e);
}

int
client_identify(struct client *c, struct err *e)
{
	return call_word(c, "identify", e);
}

int
client_component(struct client *c, const struct round_component *k,
		 struct err *e)
{
	struct buf bytes = { 0 };
	struct buf m = { 0 };

	buf_add_str(&m, "component");
	grammar_put(&m, k->writer);
	grammar_put(&m, k->component);
	wire_put_number(&m, "type", k->type);
	if (k->base_id != NULL)
		wire_put_hex(&m, "base", k->base_id);
	wire_put_number(&m, "number", k->base_number);
	if (k->previous_stamp != NULL) {
		wire_put_number(&m, "previous", k->previous_len);
		buf_add(&bytes, k->previous_stamp, k->previous_len);
	}
	if (k->restore != NULL) {
		buf_add_str(&m, " restore");
		buf_add_str(&bytes, k->restore);
	}
	wire_put_bytes(&m, bytes.data, bytes.len);
	m.failed = m.failed || bytes.failed;
	buf_clear(&bytes);
	return call(c, &m, e);
}

int
client_atomic(struct client *c, struct err *e)
{
	return call_word(c, "atomic", e);
}

int
client_prepare(struct client *c, struct err *e)
{
	return call_word(c, "prepare", e);
}

int
client_ready(struct client *c, struct err *e)
{
	return call_word(c, "ready", e);
}

int
client_freeze(struct client *c, bool *vetoed, struct err *e)
{
	if (call_word(c, "freeze", e) < 0)
		return -1;
	*vetoed = c->vetoed;
	return 0;
}

int
client_thaw(struct client *c, struct err *e)
{
	return call_word(c, "thaw", e);
}

int
client_snapshot(struct client *c, const struct round_place *place,
		size_t places, struct err *e)
{
	struct buf m = { 0 };
	size_t i;

	for (i = 0; i < places; i++) {
		buf_add_str(&m, "place");
		grammar_put(&m, place[i].writer);
		grammar_put(&m, place[i].component);
		grammar_put(&m, place[i].dir);
		grammar_put(&m, place[i].place);
		buf_add_char(&m, '\n');
	}
	buf_add_str(&m, "snapshot\n");
	return call(c, &m, e);
}

int
client_copied(struct client *c, struct err *e)
{
	return call_word(c, "copied", e);
}

int
client_complete(struct client *c, const uint8_t generation_id[16],
		uint32_t generation, const struct round_outcome *o, size_t n,
		struct err *e)
{
	struct buf m = { 0 };
	size_t i;

	for (i = 0; i < n; i++) {
		buf_add_str(&m, "outcome");
		grammar_put(&m, o[i].writer);
		grammar_put(&m, o[i].component);
		buf_add_str(&m, o[i].succeeded ? " yes" : " no");
		if (o[i].restore != NULL)
			grammar_put_option(&m, "restore", o[i].restore);
		if (o[i].metadata != NULL)
			grammar_put_option(&m, "metadata", o[i].metadata);
		buf_add_char(&m, '\n');
	}
	buf_add_str(&m, "complete");
	wire_put_hex(&m, "generation", generation_id);
	wire_put_number(&m, "number", generation);
	buf_add_char(&m, '\n');
	return call(c, &m, e);
}

int
client_abort(struct client *c, struct err *e)
{
	/* The other side has seen our half close, and does it by itself. */
	if (c->broken)
		return 0;
	return call_word(c, "abort", e);
}

/* --- journals --------------------------------------------------------------- */

static void
put_named(struct buf *m, const char *word, const char *writer)
{
	buf_add_str(m, word);
	grammar_put(m, writer);
}

static int
call_at(struct client *c, const char *word, const char *writer,
	const char *key, uint64_t seq, struct err *e)
{
	struct buf m = { 0 };

	put_named(&m, word, writer);
	wire_put_number(&m, key, seq);
	buf_add_char(&m, '\n');
	return call(c, &m, e);
}

int
client_journal(struct client *c, const char *writer, uint64_t seq,
	       journal_fn fn, void *ctx, struct err *e)
{
	if (call_at(c, "journal", writer, "from", seq, e) < 0)
		return -1;
	if (c->entries < 0)
		return err_set(e, ERR_SYS, "no journal came with the answer");
	return entries_read(c->entries, c->entries_len, fn, ctx, e);
}

int
client_journal_drop(struct client *c, const char *writer, uint64_t seq,
		    struct err *e)
{
	return call_at(c, "drop", writer, "below", seq, e);
}

int
client_gap(struct client *c, const char *writer, const char *component,
	   const char *why, struct err *e)
{
	struct buf m = { 0 };

	put_named(&m, "gap", writer);
	if (component != NULL)
		grammar_put_option(&m, "component", component);
	grammar_put_option(&m, "why", why);
	buf_add_char(&m, '\n');
	return call(c, &m, e);
}

/* --- what a restore was told ------------------------------------------------ */

struct restore_line {
	char *text;
	size_t len;
	uint64_t event;
};
struct restore_lines {
	uint8_t session[16];
	struct restore_line *v;
	size_t count;
};

static bool
is_restore_line(const struct journal_entry *en)
{
	static const char *const words[] = { "restore-target ",
					     "directed-target ",
					     "restore-metadata " };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i]);

		if (en->text_len > n && memcmp(en->text, words[i], n) == 0)
			return true;
	}
	return false;
}

/* The event failed: what was said in it does not count. */
static void
drop_event(struct restore_lines *l, uint64_t event)
{
	size_t kept = 0;
	size_t i;

	for (i = 0; i < l->count; i++) {
		if (l->v[i].event == event)
			mem_free(l->v[i].text);
		else
			l->v[kept++] = l->v[i];
	}
	l->count = kept;
}

static int
take_entry(void *ctx, const struct journal_entry *en, struct err *e)
{
	struct restore_lines *l = ctx;
	struct restore_line *more;

	if (memcmp(en->session, l->session, sizeof(l->session)) != 0)
		return 0;
	if (en->kind == JOURNAL_DISCARD)
		drop_event(l, en->event);
	if (en->kind != JOURNAL_STATEMENT || !is_restore_line(en))
		return 0;
	more = mem_resize(l->v, l->count + 1, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	l->v = more;
	more += l->count;
	*more = (struct restore_line){ .text = mem_dup(en->text, en->text_len),
				       .len = en->text_len,
				       .event = en->event };
	if (more->text == NULL)
		return err_nomem(e);
	l->count++;
	return 0;
}

int
client_restore_lines(struct client *c, const char *writer, client_line_fn fn,
		     void *ctx, struct err *e)
{
	const struct client_writer *w = client_find(c, writer);
	struct restore_lines lines = { 0 };
	size_t i;
	int rc;

	if (w == NULL)
		return err_set(e, ERR_USAGE, "there is no writer %s", writer);
	client_raw_session(c->session, lines.session);
	rc = client_journal(c, writer, w->cut, take_entry, &lines, e);
	for (i = 0; i < lines.count; i++) {
		if (rc == 0)
			rc = fn(ctx, lines.v[i].text, lines.v[i].len, e);
		mem_free(lines.v[i].text);
	}
	mem_free(lines.v);
	return rc < 0 ? -1 : 0;
}

/* --- the desk --------------------------------------------------------------- */

int
client_list(struct client *c, struct err *e)
{
	if (call_word(c, "list", e) < 0)
		return -1;
	/* None at all is an answer, too. */
	if (!c->told)
		roster_clear(&c->known);
	return 0;
}

static void
put_words(struct buf *m, const char *word, char *const *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		put_named(m, word, v[i]);
		buf_add_char(m, '\n');
	}
}

int
client_register(struct client *c, const struct registration *what,
		struct err *e)
{
	struct buf m = { 0 };

	put_words(&m, "grant", what->grant, what->grants);
	put_words(&m, "service", what->service, what->services);
	put_named(&m, "register", what->name);
	wire_put_number(&m, "owner", what->owner);
	buf_add_char(&m, '\n');
	return call(c, &m, e);
}

static int
call_named(struct client *c, const char *word, const char *writer,
	   struct err *e)
{
	struct buf m = { 0 };

	put_named(&m, word, writer);
	buf_add_char(&m, '\n');
	return call(c, &m, e);
}

int
client_unregister(struct client *c, const char *writer, struct err *e)
{
	return call_named(c, "unregister", writer, e);
}

int
client_reset(struct client *c, const char *writer, struct err *e)
{
	return call_named(c, "reset", writer, e);
}

int
client_log(struct client *c, const char *writer, struct buf *out,
	   struct err *e)
{
	if (call_named(c, "log", writer, e) < 0)
		return -1;
	buf_add(out, c->log.data, c->log.len);
	return buf_ok(out, e);
}
