/*
 * roster.c
 *
 * Both ends of it, so that what one says is what the other understands.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/roster.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/registry.h"
#include "src/writer/round.h"
#include "src/writer/wire.h"

#include <string.h>

/* --- saying ------------------------------------------------------------------ */

static void
put_part(struct buf *out, const struct part *part)
{
	struct buf text = { 0 };

	wire_put_number(out, "state", (uint64_t)part->state);
	wire_put_number(out, "failed-at", (uint64_t)part->failed_at);
	wire_put_number(out, "failure", (uint64_t)part->failure);
	wire_put_number(out, "cut", round_cut(part));
	if (part->program_path != NULL)
		buf_add_str(out, " program");
	if (part->text.len == 0)
		return;
	buf_add(&text, part->text.data, part->text.len);
	grammar_put_option(out, "text", buf_str(&text));
	out->failed = out->failed || text.failed;
	buf_clear(&text);
}

static void
put_party(struct buf *out, const struct party *p)
{
	if (p->registration->timeouts >= 2)
		buf_add_str(out, " no-wait");
	if (p->journal != NULL) {
		wire_put_hex(out, "journal", journal_id(p->journal));
		wire_put_number(out, "first", journal_first(p->journal));
	}
}

void
roster_put(struct buf *out, const struct roster_writer *t)
{
	const struct buf *document = NULL;

	buf_add_str(out, "writer");
	grammar_put(out, t->name);
	wire_put_number(out, "owner", t->owner);
	if (t->part != NULL)
		put_part(out, t->part);
	else if (t->party != NULL)
		wire_put_number(out, "state",
				(uint64_t)(t->party->mailbox.reader ?
						   PART_TAKING :
						   PART_ABSENT));
	if (t->program)
		buf_add_str(out, " program");
	if (t->party != NULL)
		put_party(out, t->party);
	if (!t->whole)
		buf_add_str(out, " kept");
	else if (t->party != NULL && t->party->document != NULL)
		document = &t->party->document_text;
	if (document != NULL)
		wire_put_bytes(out, document->data, document->len);
	else
		buf_add_char(out, '\n');
	if (t->whole && t->party != NULL)
		registration_put_lists(t->party->registration, out);
}

/* --- hearing ----------------------------------------------------------------- */

static void
clear_words(char ***v, size_t *n)
{
	size_t i;

	for (i = 0; i < *n; i++)
		mem_free((*v)[i]);
	mem_free(*v);
	*v = NULL;
	*n = 0;
}

void
roster_clear(struct client_writers *w)
{
	size_t i;

	for (i = 0; i < w->count; i++) {
		mem_free(w->v[i].name);
		mem_free(w->v[i].text);
		mem_free(w->v[i].document);
		clear_words(&w->v[i].grant, &w->v[i].grants);
		clear_words(&w->v[i].service, &w->v[i].services);
	}
	mem_free(w->v);
	*w = (struct client_writers){ 0 };
}

static int
add_word(char ***v, size_t *n, size_t max, const char *s, struct err *e)
{
	char **more;

	if (*n >= max)
		return err_set(e, ERR_SYS, "the other process says too much");
	more = mem_resize(*v, *n + 1, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	*v = more;
	more[*n] = mem_strdup(s);
	if (more[*n] == NULL)
		return err_nomem(e);
	(*n)++;
	return 0;
}

struct client_writer *
roster_find(const struct client_writers *w, const char *name)
{
	size_t i;

	for (i = 0; i < w->count; i++) {
		if (strcmp(w->v[i].name, name) == 0)
			return &w->v[i];
	}
	return NULL;
}

/* What is not said again. */
static void
take_over(struct client_writer *to, struct client_writer *from)
{
	if (from == NULL)
		return;
	to->document = from->document;
	to->document_len = from->document_len;
	to->grant = from->grant;
	to->grants = from->grants;
	to->service = from->service;
	to->services = from->services;
	from->document = NULL;
	from->grant = from->service = NULL;
	from->grants = from->services = 0;
}

static int
take_document(struct wire *wire, const struct grammar_line *l,
	      struct client_writer *w, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	if (wire_text(l, "bytes") == NULL)
		return 0;
	rc = wire_bytes(wire, wire_number(l, "bytes", UINT64_MAX),
			METADATA_LEN_MAX, &b, e);
	if (rc == 0) {
		w->document = mem_dup(b.data, b.len);
		w->document_len = b.len;
		if (w->document == NULL)
			rc = err_nomem(e);
	}
	buf_clear(&b);
	return rc;
}

int
roster_take(struct client_writers *list, struct client_writers *known,
	    struct wire *wire, const struct grammar_line *l, struct err *e)
{
	const char *text = wire_text(l, "text");
	struct client_writer *w;

	if (l->count < 2 || list->count >= 2 * REGISTRY_WRITERS_MAX)
		return err_set(e, ERR_SYS, "the other process says too much");
	w = mem_resize(list->v, list->count + 1, sizeof(*w));
	if (w == NULL)
		return err_nomem(e);
	list->v = w;
	w += list->count;
	*w = (struct client_writer){
		.name = mem_strdup(l->word[1].s),
		.owner = (uid_t)wire_number(l, "owner", UINT32_MAX - 1),
		.state = (enum part_state)wire_number(l, "state", PART_GONE),
		.failed_at = (enum event)wire_number(l, "failed-at",
						     EVENT_POST_RESTORE),
		.failure = (enum failure)wire_number(l, "failure",
						     FAILURE_TIMEOUT),
		.text = text != NULL ? mem_strdup(text) : NULL,
		.journal_first = wire_number(l, "first", UINT64_MAX),
		.cut = wire_number(l, "cut", UINT64_MAX),
		.program = wire_flag(l, "program"),
		.no_wait = wire_flag(l, "no-wait"),
	};
	list->count++;
	if (w->name == NULL || (text != NULL && w->text == NULL))
		return err_nomem(e);
	(void)wire_hex(l, "journal", w->journal);
	if (wire_flag(l, "kept"))
		take_over(w, roster_find(known, w->name));
	return take_document(wire, l, w, e);
}

int
roster_more(struct client_writers *next, const struct grammar_line *l,
	    struct err *e)
{
	struct client_writer *w;

	if (next->count == 0 || l->count != 2)
		return err_set(e, ERR_SYS, "the other process is confused");
	w = &next->v[next->count - 1];
	if (strcmp(l->word[0].s, "grant") == 0)
		return add_word(&w->grant, &w->grants, REGISTRY_GRANTS_MAX,
				l->word[1].s, e);
	return add_word(&w->service, &w->services, REGISTRY_SERVICES_MAX,
			l->word[1].s, e);
}
