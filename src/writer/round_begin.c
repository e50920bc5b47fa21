/*
 * round_begin.c
 *
 * Who is in a session?  Every registered writer has a part; one that has a
 * program is started; one that nobody speaks for is absent from the start, and
 * is not waited for.  Only those that are there are claimed: an absent writer
 * keeps no other session waiting.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/round_internal.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/mem.h"
#include "src/writer/coprocess.h"
#include "src/writer/frozen.h"
#include "src/writer/party.h"
#include "src/writer/registry.h"

#include <stdio.h>
#include <string.h>

#define WINDOW_S 60
#define ANSWER_S 600

/* --- its own copy -------------------------------------------------------------- */

void
round_forget_begin(struct round_begin *b)
{
	size_t i;

	for (i = 0; i < b->volumes; i++)
		mem_free((char *)(uintptr_t)b->volume[i]);
	mem_free((void *)(uintptr_t)b->volume);
	mem_free((char *)(uintptr_t)b->set);
	mem_free((char *)(uintptr_t)b->snapshot);
}

static int
copy_text(const char **out, const char *s, struct err *e)
{
	*out = s != NULL ? mem_strdup(s) : NULL;
	return s != NULL && *out == NULL ? err_nomem(e) : 0;
}

static int
copy_begin(struct round_begin *to, const struct round_begin *from,
	   struct err *e)
{
	const char **volume;
	size_t i;

	*to = *from;
	to->volume = NULL;
	to->volumes = 0;
	to->set = NULL;
	to->snapshot = NULL;
	if (to->window_s == 0)
		to->window_s = WINDOW_S;
	if (to->answer_s == 0)
		to->answer_s = ANSWER_S;
	if (copy_text(&to->set, from->set, e) < 0 ||
	    copy_text(&to->snapshot, from->snapshot, e) < 0)
		return -1;
	if (from->volumes == 0)
		return 0;
	volume = mem_array(from->volumes, sizeof(*volume));
	if (volume == NULL)
		return err_nomem(e);
	to->volume = volume;
	for (i = 0; i < from->volumes; i++, to->volumes++) {
		if (copy_text(&volume[i], from->volume[i], e) < 0)
			return -1;
	}
	return 0;
}

/* --- who is there --------------------------------------------------------- */

static struct part *
add_part(struct round *s, const char *name, uid_t owner, struct err *e)
{
	struct part *p = mem_resize(s->part, s->parts + 1, sizeof(*p));

	if (p == NULL) {
		err_nomem(e);
		return NULL;
	}
	s->part = p;
	p += s->parts;
	*p = (struct part){ .name = mem_strdup(name), .owner = owner };
	if (p->name == NULL) {
		err_nomem(e);
		return NULL;
	}
	s->parts++;
	return p;
}

struct part *
round_part(struct round *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->parts; i++) {
		if (strcmp(s->part[i].name, name) == 0)
			return &s->part[i];
	}
	return NULL;
}

/*
 * A program without a registration is registered, for whom the desk is.  One
 * whose owner took the writer away is his again: it was meant to run as him, and
 * must not come to other rights by what he does.
 */
static int
register_program(struct desk *d, const char *name, struct err *e)
{
	const struct registration *kept = registry_find(&d->registry, name);
	char own_name[256];
	struct registration what = { .name = own_name, .owner = d->uid };
	struct party *p;

	if (desk_find(d, name) != NULL)
		return 0;
	if (strlen(name) >= sizeof(own_name))
		return err_set(e, ERR_USAGE, "its name is too long");
	memcpy(own_name, name, strlen(name) + 1);
	if (kept != NULL && kept->dormant)
		what.owner = kept->owner;
	return desk_register(d, what.owner, &what, &p, e);
}

/* In its log, too, if it was a writer before. */
static void
tell_refused(struct desk *d, const char *name, struct part *p)
{
	struct party *party = desk_find(d, name);

	if (party != NULL)
		party_log(party, "its program is not run: %s",
			  buf_str(&p->text));
}

/*
 * A program: remembered for its party, which begin_parts finds.  One that may
 * not be run is a writer that failed, so that somebody hears of it.
 */
static int
take_program(void *ctx, const char *name, const char *path,
	     const char *refused, struct err *e)
{
	struct round *s = ctx;
	struct err why = { 0 };
	struct part *p;

	if (refused == NULL && register_program(s->desk, name, &why) < 0)
		refused = why.text;
	p = add_part(s, name, s->desk->uid, e);
	if (p == NULL)
		return -1;
	if (refused == NULL) {
		p->program_path = mem_strdup(path);
		return p->program_path == NULL ? err_nomem(e) : 0;
	}
	p->state = PART_FAILED;
	p->failed_at = EVENT_IDENTIFY;
	p->failure = FAILURE_FATAL;
	buf_printf(&p->text, "%s: %s", path, refused);
	tell_refused(s->desk, name, p);
	return 0;
}

/* Who is there to be asked? */
static int
begin_part(struct round *s, struct party *party, struct err *e)
{
	struct part *p = round_part(s, party->registration->name);
	bool there;

	if (p == NULL) {
		p = add_part(s, party->registration->name,
			     party->registration->owner, e);
		if (p == NULL)
			return -1;
	}
	p->owner = party->registration->owner;
	if (p->state == PART_FAILED)
		return 0;
	/* Whoever reads `events` already has that voice, and keeps it. */
	there = party->mailbox.reader || p->program_path != NULL;
	if (party->registration->timeouts >= ROUND_TIMEOUTS_MAX || !there) {
		p->state = PART_ABSENT;
		return 0;
	}
	if (party->session != NULL)
		return err_set(e, ERR_BUSY,
			       "the writer %s is in another session", p->name);
	p->state = PART_TAKING;
	p->party = party;
	party->session = s;
	return 0;
}

static void
start_program(struct round *s, struct part *p)
{
	struct err e = { 0 };

	if (p->program_path == NULL || !part_takes(p) ||
	    p->party->mailbox.reader)
		return;
	p->party->program = true;
	if (coprocess_start(s->desk, p->party, p->program_path, s->id,
			    &p->program, &e) == 0)
		return;
	/* What its mailbox says is of an earlier session. */
	p->state = PART_FAILED;
	p->failed_at = EVENT_IDENTIFY;
	p->failure = FAILURE_FATAL;
	buf_add_str(&p->text, e.text);
	party_log(p->party, "its program cannot be started: %s", e.text);
}

static int
begin_parts(struct round *s, struct err *e)
{
	size_t i;

	if (coprocess_list(s->desk, take_program, s, e) < 0)
		return -1;
	for (i = 0; i < s->desk->parties; i++) {
		if (begin_part(s, s->desk->party[i], e) < 0)
			return -1;
	}
	for (i = 0; i < s->parts; i++)
		start_program(s, &s->part[i]);
	return 0;
}

/* --- who was left frozen ---------------------------------------------------- */

static bool
is_named(const struct buf *names, const char *name)
{
	size_t at;

	for (at = 0; at < names->len;
	     at += strlen((const char *)names->data + at) + 1) {
		if (strcmp((const char *)names->data + at, name) == 0)
			return true;
	}
	return false;
}

/* Thawing was one life of a program; this session has another. */
static void
restart_program(struct round *s, struct part *p)
{
	if (p->program == NULL)
		return;
	coprocess_end(p->program);
	p->program = NULL;
	start_program(s, p);
}

static void
abort_named(struct round *s, const struct buf *names)
{
	size_t i;

	for (i = 0; i < s->parts; i++) {
		if (part_takes(&s->part[i]) && is_named(names, s->part[i].name))
			round_send(s, &s->part[i], EVENT_ABORT, NULL,
				round_now() + ROUND_OWED_NS);
	}
	(void)part_await(s, UINT64_MAX, false, NULL);
}

static void
restart_named(struct round *s, const struct buf *names)
{
	size_t i;

	for (i = 0; i < s->parts; i++) {
		if (part_takes(&s->part[i]) && is_named(names, s->part[i].name))
			coprocess_dismiss(s->part[i].program);
	}
	for (i = 0; i < s->parts; i++) {
		if (part_takes(&s->part[i]) && is_named(names, s->part[i].name))
			restart_program(s, &s->part[i]);
	}
}

/* Those that an earlier process may have left frozen get an abort first. */
static int
free_the_frozen(struct round *s, struct err *e)
{
	struct buf names = { 0 };
	int rc = frozen_read(s->desk->statefd, &names, e);

	if (rc != 0)
		goto out;
	abort_named(s, &names);
	restart_named(s, &names);
	rc = frozen_note(s->desk->statefd, NULL, 0, e);
out:
	buf_clear(&names);
	return rc < 0 ? -1 : 0;
}

/* --- all of it -------------------------------------------------------------- */

static int
choose_id(struct round *s, struct err *e)
{
	if (io_random(s->raw_id, sizeof(s->raw_id), e) < 0)
		return -1;
	hex_format(s->id, s->raw_id, sizeof(s->raw_id));
	return 0;
}

static struct round **
free_slot(struct desk *d)
{
	size_t i;

	for (i = 0; i < sizeof(d->session) / sizeof(d->session[0]); i++) {
		if (d->session[i] == NULL)
			return &d->session[i];
	}
	return NULL;
}

int
round_begin(struct desk *d, const struct round_begin *b, struct round **out,
	    struct err *e)
{
	struct round **slot = free_slot(d);
	struct round *s;

	if (slot == NULL)
		return err_set(e, ERR_BUSY, "too many sessions at once");
	s = mem_zalloc(sizeof(*s));
	if (s == NULL)
		return err_nomem(e);
	s->desk = d;
	s->exclusive = -1;
	*slot = s;
	if (copy_begin(&s->begin, b, e) < 0 || choose_id(s, e) < 0 ||
	    begin_parts(s, e) < 0 || free_the_frozen(s, e) < 0) {
		round_end(s);
		return -1;
	}
	*out = s;
	return 0;
}
