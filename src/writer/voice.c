/*
 * voice.c
 *
 * A line is one of four things: part of a document (from `writer` to `end`), an
 * answer, or a statement; comments are statements that mean nothing.  A program
 * that knows its document need not wait for identify, which may come before its
 * first line or behind it: until identify is answered, `writer` begins a
 * document.  One whose document was refused, or what it said of where its files
 * go, has failed, whatever it answers: it cannot know.
 *
 * The lock is taken for each line and may be released between two.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/voice.h"

#include "base/err.h"
#include "base/time.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

static int
check_statement(void *ctx, struct statement *s, struct err *e)
{
	const struct voice *v = ctx;

	return party_check(v->party, s, e);
}

static int
accept_statements(void *ctx, struct statement *const *s, size_t n,
		  struct err *e)
{
	const struct voice *v = ctx;

	return party_accept(v->party, s, n, e);
}

static void
note_fault(struct voice *v, enum event at, const char *what, const char *why)
{
	buf_reset(&v->fault);
	buf_printf(&v->fault, "%s: %s", what, why);
	v->fault_at = at;
}

/*
 * In a backup the gap makes good what was refused: more is read.  Nothing does
 * if files are about to go where the writer did not want them.
 */
static void
refuse_statement(void *ctx, const struct statement *s, const void *line,
		 size_t len, const struct err *why)
{
	struct voice *v = ctx;

	party_refuse(v->party, s, line, len, why);
	if (v->party->mailbox.event == EVENT_PRE_RESTORE)
		note_fault(v, EVENT_PRE_RESTORE, "a statement was refused",
			   why->text);
}

/* Does the line begin with this word? */
static bool
begins_with(const char *line, size_t len, const char *word)
{
	size_t n = strlen(word);

	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	return len >= n && memcmp(line, word, n) == 0 &&
	       (len == n || line[n] == ' ' || line[n] == '\t' ||
		line[n] == '\r');
}

/* --- desk->lock is held ------------------------------------------------------ */

/* The event that it has been told and has not answered. */
bool
voice_owes(const struct voice *v)
{
	const struct mailbox *m = &v->party->mailbox;

	return m->state == MAIL_WAITING || m->state == MAIL_DELIVERED;
}

static bool
has_fault(const struct voice *v)
{
	return v->fault.len > 0 && v->fault_at == v->party->mailbox.event;
}

void
voice_answer(struct voice *v, enum failure f, const char *text)
{
	struct party *p = v->party;
	struct buf line = { 0 };
	struct err e = { 0 };

	if (has_fault(v)) {
		f = FAILURE_FATAL;
		text = buf_str(&v->fault);
	}
	buf_printf(&line, "%s %" PRIu64, f == FAILURE_NONE ? "ok" : "fail",
		   p->mailbox.id);
	if (f != FAILURE_NONE) {
		buf_printf(&line, " %s ", failure_name(f));
		grammar_quote_always(&line, text, strlen(text));
	}
	if (buf_ok(&line, &e) < 0 ||
	    party_answer(p, line.data, line.len, &e) < 0)
		mailbox_gone(&p->mailbox);
	buf_clear(&line);
	desk_changed(v->desk, p);
}

/* What it began and did not commit when it answers is not to be had. */
static void
abort_transaction(struct voice *v)
{
	if (!v->intake.transaction)
		return;
	intake_close(&v->intake);
	v->intake = (struct intake){ .sink = &v->sink };
}

static void
take_answer(struct voice *v, const char *line, size_t len)
{
	struct party *p = v->party;
	bool identify = p->mailbox.event == EVENT_IDENTIFY;
	struct err e = { 0 };

	abort_transaction(v);
	if (has_fault(v) && voice_owes(v)) {
		voice_answer(v, FAILURE_FATAL, "");
		return;
	}
	if (party_answer(p, line, len, &e) < 0)
		party_log(p, "its answer was refused: %s", e.text);
	else if (identify)
		v->identified = true;
	desk_changed(v->desk, p);
}

static void
refuse_document(struct voice *v, const char *why)
{
	note_fault(v, EVENT_IDENTIFY, "its document", why);
	party_log(v->party, "its document was refused: %s", why);
}

static void
take_document_line(struct voice *v, const char *line, size_t len)
{
	struct err e = { 0 };

	/* What is too long is refused as a whole, and not kept until then. */
	if (v->document.len <= METADATA_LEN_MAX) {
		buf_add(&v->document, line, len);
		buf_add_char(&v->document, '\n');
	}
	if (!begins_with(line, len, "end"))
		return;
	v->in_document = false;
	if (buf_ok(&v->document, &e) < 0 ||
	    party_document(v->party, v->document.data, v->document.len, &e) <
		    0)
		refuse_document(v, e.text);
	buf_clear(&v->document);
}

static bool
is_answer(const char *line, size_t len)
{
	return begins_with(line, len, "ok") || begins_with(line, len, "fail");
}

/* Waiting for the `end` that was forgotten would take until the deadline. */
static void
miss_end(struct voice *v)
{
	v->in_document = false;
	buf_clear(&v->document);
	refuse_document(v, "the line `end` is missing in front of the answer");
}

/* `line` has its newline behind it, which `len` does not count. */
static void
take_line(struct voice *v, const char *line, size_t len)
{
	if (!v->identified && begins_with(line, len, "writer"))
		v->in_document = true;
	if (v->in_document && is_answer(line, len))
		miss_end(v);
	if (v->in_document)
		take_document_line(v, line, len);
	else if (is_answer(line, len))
		take_answer(v, line, len);
	else /* what is refused, the sink hears of */
		(void)intake_write(&v->intake, line, len + 1,
				   time_monotonic_ns());
}

/* A line that cannot be had is refused like any other. */
static void
refuse_line(struct voice *v, const struct err *why)
{
	struct statement none = { 0 };

	if (v->in_document)
		refuse_document(v, why->text);
	else
		refuse_statement(v, &none, v->line.data, v->line.len, why);
}

static void
end_line(struct voice *v)
{
	struct err e = { 0 };

	buf_add_char(&v->line, '\n');
	if (v->line_too_long)
		refuse_set(&e, EMSGSIZE, "a line has at most %d bytes",
			   GRAMMAR_LINE_MAX);
	else
		(void)!buf_ok(&v->line, &e);
	if (e.kind != ERR_NONE)
		refuse_line(v, &e);
	else
		take_line(v, (const char *)v->line.data, v->line.len - 1);
	buf_clear(&v->line);
	v->line_too_long = false;
}

/* --- it is not held ----------------------------------------------------------- */

void
voice_output(struct voice *v, const char *p, size_t n)
{
	while (n > 0) {
		const char *end = memchr(p, '\n', n);
		size_t len = end != NULL ? (size_t)(end - p) : n;

		/* A carriage return at the end does not count. */
		if (v->line.len + len > GRAMMAR_LINE_MAX + 1)
			v->line_too_long = true;
		else
			buf_add(&v->line, p, len);
		if (end == NULL)
			return;
		(void)pthread_mutex_lock(&v->desk->lock);
		end_line(v);
		(void)pthread_mutex_unlock(&v->desk->lock);
		p += len + 1;
		n -= len + 1;
	}
}

static void
end_log_line(struct voice *v)
{
	if (v->log_len == 0)
		return;
	(void)pthread_mutex_lock(&v->desk->lock);
	party_log(v->party, "program: %.*s", (int)v->log_len, v->log_line);
	(void)pthread_mutex_unlock(&v->desk->lock);
	v->log_len = 0;
}

void
voice_log(struct voice *v, const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] == '\n' || v->log_len == sizeof(v->log_line))
			end_log_line(v);
		if (p[i] != '\n')
			v->log_line[v->log_len++] = p[i] != '\0' ? p[i] : '?';
	}
}

/* --- begin and end ------------------------------------------------------------ */

void
voice_begin(struct voice *v, struct desk *d, struct party *p)
{
	*v = (struct voice){
		.desk = d,
		.party = p,
		.sink = { .check = check_statement,
			  .accept = accept_statements,
			  .refused = refuse_statement,
			  .ctx = v },
	};
	v->intake.sink = &v->sink;
}

void
voice_end(struct voice *v)
{
	if (v->line.len > 0)
		voice_output(v, "\n", 1);
	end_log_line(v);
	(void)pthread_mutex_lock(&v->desk->lock);
	intake_close(&v->intake);
	(void)pthread_mutex_unlock(&v->desk->lock);
}

void
voice_clear(struct voice *v)
{
	buf_clear(&v->line);
	buf_clear(&v->document);
	buf_clear(&v->fault);
}
