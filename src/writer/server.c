/*
 * server.c
 *
 * A connection has a session, or none.  Its thread reads one message after the
 * other; most are answered by how things stand (a `writer` line for each) and
 * `done`, or by `error`.  Those in front of a message that they belong to
 * (volume, grant, service, place, outcome) have no answer.
 *
 *	hello VERSION
 *	begin, identify, component W C, atomic, prepare, ready, freeze, thaw, snapshot,
 *	copied, complete, abort
 *	journal W, drop W, gap W, list, register W, unregister W, reset W, log W
 *
 * Answers are made while desk->lock is held and sent when it is not: a requester
 * that does not read holds up nobody else.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/server.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "src/writer/coprocess.h"
#include "src/writer/entries.h"
#include "src/writer/grammar.h"
#include "src/writer/journal.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/partylog.h"
#include "src/writer/pen.h"
#include "src/writer/preface.h"
#include "src/writer/registry.h"
#include "src/writer/roster.h"
#include "src/writer/round.h"
#include "src/writer/server_internal.h"
#include "src/writer/value.h"
#include "src/writer/wire.h"

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define SECONDS_MAX 86400

struct connection {
	struct desk *desk;
	struct wire wire;
	struct round *round;
	bool greeted;
	struct preface before; /* of the message that comes */
	struct buf reply;
	int pass; /* a descriptor for the reply, or -1 */
};

/* --- how things stand ------------------------------------------------------- */

static void
put_parts(struct connection *c, bool whole)
{
	size_t i;

	for (i = 0; i < c->round->parts; i++) {
		const struct part *p = &c->round->part[i];
		struct party *party = p->party;

		if (party == NULL)
			party = desk_find(c->desk, p->name);
		roster_put(&c->reply,
			   &(struct roster_writer){ .name = p->name,
					      .owner = p->owner,
					      .part = p,
					      .party = party,
					      .whole = whole });
	}
}

/* --- sessions --------------------------------------------------------------- */

static bool
requester_gone(void *ctx)
{
	const struct connection *c = ctx;

	return wire_hung_up(c->wire.fd);
}

static int
need_round(const struct connection *c, struct err *e)
{
	return c->round != NULL ? 0 :
				  err_set(e, ERR_USAGE, "there is no session");
}

static int
do_begin(struct connection *c, const struct grammar_line *l, struct err *e)
{
	const char *kind = wire_text(l, "kind");
	struct round_begin b = {
		.kind = kind != NULL && strcmp(kind, "restore") == 0 ?
				ROUND_RESTORE :
				ROUND_BACKUP,
		.type = (unsigned)wire_number(l, "type", METADATA_COPY),
		.set = wire_text(l, "set"),
		.volume = (const char *const *)c->before.volume.v,
		.volumes = c->before.volume.count,
		.snapshot = wire_text(l, "snapshot"),
		.snapshot_atomic = wire_flag(l, "snapshot-atomic"),
		.partial_files = wire_flag(l, "partial-files"),
		.window_s = (unsigned)wire_number(l, "window", SECONDS_MAX),
		.answer_s = (unsigned)wire_number(l, "answer", SECONDS_MAX),
	};

	if (c->round != NULL)
		return err_set(e, ERR_USAGE, "there is a session already");
	if (round_begin(c->desk, &b, &c->round, e) < 0)
		return -1;
	c->round->cancelled = requester_gone;
	c->round->cancel_ctx = c;
	buf_printf(&c->reply, "session %s\n", c->round->id);
	put_parts(c, true);
	return 0;
}

static int
do_identify(struct connection *c, const struct grammar_line *l, struct err *e)
{
	(void)l;
	if (need_round(c, e) < 0 || round_identify(c->round, e) < 0)
		return -1;
	put_parts(c, true);
	return 0;
}

/* component W C type=N [base=ID number=N] [previous=LEN] bytes=LEN: and words */
static int
do_component(struct connection *c, const struct grammar_line *l,
	     struct err *e)
{
	struct buf bytes = { 0 };
	struct buf words = { 0 };
	uint64_t previous = wire_number(l, "previous", STATEMENT_STAMP_MAX);
	uint8_t base[16];
	struct round_component k = {
		.type = (unsigned)wire_number(l, "type", METADATA_COPY),
		.base_number = (uint32_t)wire_number(l, "number", UINT32_MAX),
	};
	int rc = -1;

	(void)pthread_mutex_unlock(&c->desk->lock);
	rc = wire_bytes(&c->wire, wire_number(l, "bytes", UINT64_MAX),
			SERVER_COMPONENT_MAX, &bytes, e);
	(void)pthread_mutex_lock(&c->desk->lock);
	if (rc < 0 || need_round(c, e) < 0)
		goto out;
	rc = -1;
	if (l->count < 3 || previous > bytes.len) {
		err_set(e, ERR_USAGE, "a component has a writer and a name");
		goto out;
	}
	k.writer = l->word[1].s;
	k.component = l->word[2].s;
	if (wire_hex(l, "base", base))
		k.base_id = base;
	if (wire_text(l, "previous") != NULL) {
		k.previous_stamp = previous > 0 ? (char *)bytes.data : "";
		k.previous_len = (size_t)previous;
	}
	buf_add(&words, bytes.data + previous, bytes.len - previous);
	if (wire_flag(l, "restore"))
		k.restore = buf_str(&words);
	if (buf_ok(&words, e) == 0)
		rc = round_component(c->round, &k, e);
out:
	buf_clear(&bytes);
	buf_clear(&words);
	return rc < 0 ? -1 : 0;
}

static int
do_atomic(struct connection *c, const struct grammar_line *l, struct err *e)
{
	(void)l;
	if (need_round(c, e) < 0)
		return -1;
	if (c->round->phase != PHASE_IDENTIFIED ||
	    c->round->begin.snapshot == NULL)
		return err_set(e, ERR_USAGE, "atomic: not in this phase");
	c->round->begin.snapshot_atomic = true;
	return 0;
}

static int
after_phase(struct connection *c, int rc)
{
	if (rc == 0)
		put_parts(c, false);
	return rc;
}

#define PHASE(name_)                                                         \
	static int do_##name_(struct connection *c,                          \
			      const struct grammar_line *l, struct err *e)   \
	{                                                                    \
		(void)l;                                                     \
		if (need_round(c, e) < 0)                                    \
			return -1;                                           \
		return after_phase(c, round_##name_(c->round, e));           \
	}
PHASE(prepare)
PHASE(ready)
PHASE(thaw)
PHASE(copied)
#undef PHASE

static int
do_freeze(struct connection *c, const struct grammar_line *l, struct err *e)
{
	bool vetoed = false;

	(void)l;
	if (need_round(c, e) < 0 || round_freeze(c->round, &vetoed, e) < 0)
		return -1;
	if (vetoed)
		buf_add_str(&c->reply, "vetoed\n");
	return after_phase(c, 0);
}

static int
do_snapshot(struct connection *c, const struct grammar_line *l, struct err *e)
{
	(void)l;
	if (need_round(c, e) < 0)
		return -1;
	return after_phase(c, round_snapshot(c->round, c->before.place,
					     c->before.places, e));
}

static int
do_complete(struct connection *c, const struct grammar_line *l, struct err *e)
{
	uint8_t id[16] = { 0 };

	if (need_round(c, e) < 0)
		return -1;
	if (!wire_hex(l, "generation", id))
		return err_set(e, ERR_USAGE, "which generation?");
	return after_phase(
		c, round_complete(c->round, id,
				  (uint32_t)wire_number(l, "number",
							UINT32_MAX),
				  c->before.outcome,
				  c->before.outcomes, e));
}

static int
do_abort(struct connection *c, const struct grammar_line *l, struct err *e)
{
	(void)l;
	if (need_round(c, e) < 0)
		return -1;
	round_abort(c->round);
	return after_phase(c, 0);
}

/* --- journals --------------------------------------------------------------- */

static struct party *
named(const struct connection *c, const struct grammar_line *l, struct err *e)
{
	struct party *p = l->count > 1 ? desk_find(c->desk, l->word[1].s) :
					 NULL;

	if (p == NULL)
		err_set(e, ERR_USAGE, "there is no writer %s",
			l->count > 1 ? l->word[1].s : "without a name");
	return p;
}

static int
do_journal(struct connection *c, const struct grammar_line *l, struct err *e)
{
	struct party *p = named(c, l, e);
	uint64_t length;

	if (p == NULL ||
	    entries_copy(p, wire_number(l, "from", UINT64_MAX),
			 c->desk->statefd, &c->pass, &length, e) < 0)
		return -1;
	buf_add_str(&c->reply, "entries");
	wire_put_number(&c->reply, "length", length);
	buf_add_char(&c->reply, '\n');
	return 0;
}

static int
do_drop(struct connection *c, const struct grammar_line *l, struct err *e)
{
	struct party *p = named(c, l, e);

	return p != NULL ?
		       pen_drop(p, wire_number(l, "below", UINT64_MAX), e) :
		       -1;
}

static int
do_gap(struct connection *c, const struct grammar_line *l, struct err *e)
{
	struct party *p = named(c, l, e);
	struct journal_entry en = {
		.kind = JOURNAL_GAP,
		.component = wire_text(l, "component"),
		.why = wire_text(l, "why"),
	};

	return p != NULL ? pen_append(p, &en, e) : -1;
}

/* --- the desk --------------------------------------------------------------- */

static int
keep_program(void *ctx, const char *name, const char *path,
	     const char *refused, struct err *e)
{
	(void)path;
	(void)refused;
	return words_keep(ctx, name, e);
}

static int
do_list(struct connection *c, const struct grammar_line *l, struct err *e)
{
	struct words programs = { 0 };
	size_t i;
	int rc = coprocess_list(c->desk, keep_program, &programs, e);

	(void)l;
	for (i = 0; i < c->desk->parties && rc == 0; i++) {
		struct party *p = c->desk->party[i];
		const char *name = p->registration->name;

		roster_put(&c->reply,
			   &(struct roster_writer){
				   .name = name,
				   .owner = p->registration->owner,
				   .party = p,
				   .whole = true,
				   .program = !p->mailbox.reader &&
					      words_have(&programs, name) });
	}
	words_clear(&programs);
	return rc;
}

static int
do_register(struct connection *c, const struct grammar_line *l, struct err *e)
{
	const char *owner = wire_text(l, "owner");
	struct registration r = {
		.name = l->count > 1 ? l->word[1].s : NULL,
		.grant = c->before.grant.v,
		.grants = c->before.grant.count,
		.service = c->before.service.v,
		.services = c->before.service.count,
	};
	struct party *p;
	uint64_t uid;

	if (r.name == NULL || owner == NULL)
		return err_set(e, ERR_USAGE, "a writer has a name and an owner");
	/* Not wire_number: for it what is no number is 0, which is root. */
	if (!value_number(owner, strlen(owner), &uid) || uid >= UINT32_MAX)
		return err_set(e, ERR_USAGE, "an owner is a user's number");
	r.owner = (uid_t)uid;
	return desk_register(c->desk, c->desk->uid, &r, &p, e);
}

static int
do_unregister(struct connection *c, const struct grammar_line *l,
	      struct err *e)
{
	struct party *p = named(c, l, e);

	return p != NULL ? desk_unregister(c->desk, c->desk->uid, p, e) : -1;
}

static int
do_reset(struct connection *c, const struct grammar_line *l, struct err *e)
{
	struct party *p = named(c, l, e);

	if (p == NULL)
		return -1;
	p->registration->timeouts = 0;
	party_log(p, "was reset: it is waited for again");
	return registry_save(&c->desk->registry, p->registration, e);
}

static int
do_log(struct connection *c, const struct grammar_line *l, struct err *e)
{
	struct party *p = named(c, l, e);
	struct buf text = { 0 };
	int rc = -1;

	if (p == NULL)
		return -1;
	if (partylog_read(p, &text, e) == 0)
		rc = buf_ok(&text, e);
	if (rc == 0) {
		buf_add_str(&c->reply, "log");
		wire_put_bytes(&c->reply, text.data, text.len);
	}
	buf_clear(&text);
	return rc;
}

/* --- messages --------------------------------------------------------------- */

static int
do_hello(struct connection *c, const struct grammar_line *l, struct err *e)
{
	if (l->count != 2 || strcmp(l->word[1].s, SERVER_VERSION) != 0)
		return err_set(e, ERR_UNSUPPORTED,
			       "the requester is of another version than the "
			       "control process");
	c->greeted = true;
	return 0;
}

struct message {
	const char *word;
	int (*act)(struct connection *c, const struct grammar_line *l,
		   struct err *e);
};

static const struct message messages[] = {
	{ "hello", do_hello },         { "begin", do_begin },
	{ "identify", do_identify },   { "component", do_component },
	{ "prepare", do_prepare },     { "ready", do_ready },
	{ "freeze", do_freeze },       { "thaw", do_thaw },
	{ "snapshot", do_snapshot },   { "copied", do_copied },
	{ "complete", do_complete },   { "abort", do_abort },
	{ "journal", do_journal },     { "drop", do_drop },
	{ "gap", do_gap },             { "list", do_list },
	{ "register", do_register },   { "unregister", do_unregister },
	{ "reset", do_reset },         { "log", do_log },
	{ "atomic", do_atomic },
};

static const struct message *
find_message(const char *word)
{
	size_t i;

	for (i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		if (strcmp(messages[i].word, word) == 0)
			return &messages[i];
	}
	return NULL;
}

/* -1: the connection is to end. */
static int
answer(struct connection *c, const struct grammar_line *l)
{
	const struct message *m = find_message(l->word[0].s);
	struct err e = { 0 };
	int rc;

	c->pass = -1;
	buf_clear(&c->reply);
	if (m == NULL || (!c->greeted && m->act != do_hello)) {
		err_set(&e, ERR_USAGE, "not a message that is understood");
	} else {
		(void)pthread_mutex_lock(&c->desk->lock);
		if (m->act(c, l, &e) == 0)
			buf_add_str(&c->reply, "done\n");
		(void)pthread_mutex_unlock(&c->desk->lock);
	}
	preface_clear(&c->before);
	if (e.kind != ERR_NONE) {
		buf_clear(&c->reply);
		wire_put_error(&c->reply, &e);
	}
	rc = wire_send(&c->wire, &c->reply, c->pass, NULL);
	(void)io_close(c->pass, "copy of a journal", NULL);
	c->pass = -1;
	return m == NULL ? -1 : rc;
}

/* The next message; what is due meanwhile is done.  As wire_line. */
static int
next_message(struct connection *c, struct grammar_line *l)
{
	uint64_t until;
	int rc;

	for (;;) {
		(void)pthread_mutex_lock(&c->desk->lock);
		if (c->round != NULL)
			round_expire(c->round);
		until = c->round != NULL ? c->round->deadline_ns : 0;
		(void)pthread_mutex_unlock(&c->desk->lock);
		rc = wire_line(&c->wire, until, l, NULL);
		if (rc != 2)
			return rc;
	}
}

static bool
may_connect(const struct connection *c)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(c->wire.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ==
		       0 &&
	       (peer.uid == 0 || peer.uid == c->desk->uid);
}

void
server_connection(struct desk *d, int fd)
{
	struct connection c = { .desk = d,
				.wire = WIRE(fd, NULL),
				.pass = -1 };
	struct grammar_line l = { 0 };
	struct err e = { 0 };

	bool may = may_connect(&c);

	while (may && next_message(&c, &l) == 0) {
		int rc = l.count == 0 ? 0 : preface_take(&c.before, &l, &e);

		if (rc < 0 || (rc == 1 && answer(&c, &l) < 0))
			break;
	}
	grammar_clear(&l);
	(void)pthread_mutex_lock(&d->lock);
	round_end(c.round);
	(void)pthread_mutex_unlock(&d->lock);
	preface_clear(&c.before);
	buf_clear(&c.reply);
	wire_clear(&c.wire);
}
