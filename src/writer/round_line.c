/*
 * round_line.c
 *
 * Events are said in the words of grammar.h: a writer takes their lines apart
 * as we take his.  What is about one component is a group that begins with
 * `component=`; there may be many, and such a line may be long.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/round_internal.h"

#include "base/buf.h"
#include "base/hex.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/remote.h"

#include <string.h>

void
round_put_remote(const struct part *p, const char *component, struct buf *out)
{
	const struct metadata *m = p->party->document;
	struct buf list = { 0 };
	size_t i = METADATA_NONE;

	if (m != NULL)
		i = metadata_find(m, component, strlen(component));
	if (i != METADATA_NONE)
		remote_list(m, i, &list);
	if (list.len > 0)
		grammar_put_option(out, "remote", buf_str(&list));
	out->failed = out->failed || list.failed;
	buf_clear(&list);
}

static void
put_prepare(const struct round *s, const struct part *p, struct buf *out)
{
	const struct round_begin *b = &s->begin;
	size_t i;

	buf_printf(out, " type=%s snapshot=", metadata_type_name(b->type));
	grammar_quote(out, b->snapshot != NULL ? b->snapshot : "none",
		      strlen(b->snapshot != NULL ? b->snapshot : "none"));
	if (b->snapshot != NULL)
		buf_printf(out, " snapshot-atomic=%s",
			   b->snapshot_atomic ? "yes" : "no");
	buf_printf(out, " partial-files=%s", b->partial_files ? "yes" : "no");
	if (b->set != NULL)
		grammar_put_option(out, "set", b->set);
	for (i = 0; i < p->party->components; i++) {
		const struct party_component *c = &p->party->component[i];

		grammar_put_option(out, "component", c->name);
		buf_printf(out, " effective=%s", metadata_type_name(c->type));
		round_put_remote(p, c->name, out);
	}
}

/* A group for each component of which there is something in the snapshot. */
static void
put_places(const struct part *p, const struct news *news, struct buf *out)
{
	struct buf text = { 0 };
	size_t i;
	size_t k;

	for (i = 0; i < p->party->components; i++) {
		const char *name = p->party->component[i].name;

		buf_reset(&text);
		for (k = 0; k < news->places; k++) {
			const struct round_place *at = &news->place[k];

			if (strcmp(at->writer, p->name) == 0 &&
			    strcmp(at->component, name) == 0)
				buf_printf(&text, "%s%s=%s",
					   text.len > 0 ? "\n" : "", at->dir,
					   at->place);
		}
		if (text.len == 0)
			continue;
		grammar_put_option(out, "component", name);
		grammar_put_option(out, "places", buf_str(&text));
	}
	out->failed = out->failed || text.failed;
	buf_clear(&text);
}

static const struct round_outcome *
find_outcome(const struct news *news, const char *writer,
	     const char *component)
{
	size_t i;

	for (i = 0; i < news->outcomes; i++) {
		if (strcmp(news->outcome[i].writer, writer) == 0 &&
		    strcmp(news->outcome[i].component, component) == 0)
			return &news->outcome[i];
	}
	return NULL;
}

/* What nothing was said of has not succeeded. */
static void
put_complete(const struct round *s, const struct part *p,
	     const struct news *news, struct buf *out)
{
	size_t i;

	buf_printf(out, " type=%s generation=", metadata_type_name(s->begin.type));
	hex_add(out, news->generation_id, 16);
	buf_printf(out, " number=%u", (unsigned)news->generation);
	for (i = 0; i < p->party->components; i++) {
		const char *name = p->party->component[i].name;
		const struct round_outcome *o =
			find_outcome(news, p->name, name);

		grammar_put_option(out, "component", name);
		buf_printf(out, " succeeded=%s",
			   o != NULL && o->succeeded ? "yes" : "no");
	}
}

static void
put_post_restore(const struct part *p, const struct news *news,
		 struct buf *out)
{
	size_t i;

	for (i = 0; i < p->party->components; i++) {
		const char *name = p->party->component[i].name;
		const struct round_outcome *o =
			news != NULL ? find_outcome(news, p->name, name) : NULL;

		grammar_put_option(out, "component", name);
		grammar_put_option(out, "outcome",
				   o != NULL && o->restore != NULL ?
					   o->restore :
					   "failed");
		if (o != NULL && o->metadata != NULL)
			grammar_put_option(out, "restore-metadata",
					   o->metadata);
	}
}

static const char *
level_name(enum metadata_level level)
{
	return level == LEVEL_SYSTEM   ? "system" :
	       level == LEVEL_BACK_END ? "back-end" :
					 "front-end";
}

void
round_line(const struct round *s, const struct part *p, enum event ev,
	   const struct news *news, struct buf *out)
{
	buf_printf(out, "session=%s", s->id);
	switch (ev) {
	case EVENT_PREPARE_BACKUP:
		put_prepare(s, p, out);
		break;
	case EVENT_FREEZE:
		buf_printf(out, " level=%s", level_name(round_level(p)));
		break;
	case EVENT_POST_SNAPSHOT:
		put_places(p, news, out);
		break;
	case EVENT_BACKUP_COMPLETE:
		put_complete(s, p, news, out);
		break;
	case EVENT_PRE_RESTORE:
		buf_add(out, p->restore.data, p->restore.len);
		break;
	case EVENT_POST_RESTORE:
		put_post_restore(p, news, out);
		break;
	default:
		break;
	}
}
