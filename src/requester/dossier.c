/*
 * dossier.c
 *
 * One line a fact, in the order of the structures: a component's lines stand
 * behind it, a file's behind the file.  A text that would make a line too long
 * (a stamp of 64 KiB, say, all of whose bytes are escapes) goes on in lines that
 * begin with "+".  dossier_read.c reads it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/dossier.h"

#include "base/buf.h"
#include "base/hex.h"
#include "base/sorted.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata.h"
#include "src/writer/value.h"

#include <inttypes.h>
#include <string.h>

#define PIECE_MAX 8192 /* bytes of a text in one line */

/* --- words --------------------------------------------------------------- */

static const char *const states[] = {
	[DOSSIER_TOOK_PART] = "took-part",
	[DOSSIER_ABSENT] = "absent",
	[DOSSIER_FAILED] = "failed",
	[DOSSIER_LEFT_OUT] = "left-out",
};
#define STATES (sizeof(states) / sizeof(states[0]))

const char *
dossier_state_name(enum dossier_state s)
{
	if ((unsigned)s >= STATES || states[s] == NULL)
		return "unknown";
	return states[s];
}

enum dossier_state
dossier_state_parse(const char *s)
{
	size_t i;

	for (i = 0; i < STATES; i++)
		if (states[i] != NULL && strcmp(states[i], s) == 0)
			return (enum dossier_state)i;
	return 0;
}

/* --- writing ------------------------------------------------------------- */

static void
put_hex(struct buf *out, const char *key, const uint8_t id[16])
{
	buf_printf(out, " %s=", key);
	hex_add(out, id, 16);
}

static void
put_number(struct buf *out, const char *key, uint64_t n)
{
	if (n != 0)
		buf_printf(out, " %s=%" PRIu64, key, n);
}

size_t
dossier_text_len(const char *s, size_t len)
{
	size_t n = 0;
	size_t i;

	for (i = 0; s != NULL && i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '\n' || c == '\t' || c == '"' || c == '\\')
			n += 2;
		else
			n += c < 0x20 || c > 0x7e ? 4 : 1;
	}
	return n;
}

/* A line, or several, with a text; nothing for NULL. */
static void
put_text(struct buf *out, const char *word, const char *s, size_t len)
{
	size_t n;

	if (s == NULL)
		return;
	do {
		n = len < PIECE_MAX ? len : PIECE_MAX;
		buf_add_str(out, word);
		buf_add_char(out, ' ');
		grammar_quote_always(out, s, n);
		buf_add_char(out, '\n');
		s += n;
		len -= n;
		word = "+";
	} while (len > 0);
}

static void
put_string(struct buf *out, const char *word, const char *s)
{
	if (s != NULL)
		put_text(out, word, s, strlen(s));
}

static void
print_file(const struct dossier_file *f, struct buf *out)
{
	buf_add_str(out, f->differenced ? "differenced-file" : "partial-file");
	grammar_put(out, f->path);
	if (f->differenced) {
		grammar_put(out, f->pattern);
		if (f->recursive)
			buf_add_str(out, " recursive");
		if (f->has_newer) {
			buf_add_str(out, " newer=");
			value_print_time(f->newer, out);
		}
	}
	put_number(out, "read", f->bytes_read);
	buf_add_char(out, '\n');
	put_string(out, "ranges", f->ranges);
	put_string(out, "metadata", f->metadata);
	put_string(out, "refused", f->refused);
}

static void
print_component(const struct dossier_component *c, struct buf *out)
{
	size_t i;

	buf_add_str(out, "component");
	grammar_put(out, c->name);
	buf_printf(out, " %s %s", metadata_type_name(c->effective),
		   c->succeeded ? "succeeded" : "failed");
	if (c->carried)
		buf_add_str(out, " carried");
	if (c->untrusted)
		buf_add_str(out, " untrusted");
	put_hex(out, "journal", c->journal);
	put_number(out, "cut", c->cut);
	if (c->base.number != 0) {
		put_number(out, "base", c->base.number);
		put_hex(out, "base-id", c->base.id);
	}
	put_number(out, "incrementals", c->incrementals);
	put_number(out, "differentials", c->differentials);
	buf_add_char(out, '\n');
	put_string(out, "why", c->why);
	put_text(out, "stamp", c->stamp, c->stamp_len);
	put_text(out, "previous-stamp", c->previous_stamp, c->previous_len);
	put_string(out, "component-metadata", c->metadata);
	for (i = 0; i < c->carried_sets; i++)
		buf_printf(out, "carried-set %zu\n", c->carried_set[i]);
	for (i = 0; i < c->images; i++) {
		buf_printf(out, "image %" PRIu32, c->image[i].number);
		put_hex(out, "id", c->image[i].id);
		buf_add_char(out, '\n');
	}
	for (i = 0; i < c->files; i++)
		print_file(&c->file[i], out);
	for (i = 0; i < c->attachments; i++) {
		buf_add_str(out, "attachment");
		grammar_put(out, c->attachment[i].path);
		grammar_put_option(out, "from", c->attachment[i].from);
		buf_add_char(out, '\n');
	}
}

static void
print_writer(const struct dossier_writer *w, struct buf *out)
{
	size_t i;

	buf_add_str(out, "writer");
	grammar_put(out, w->name);
	buf_printf(out, " %s owner=%" PRIu32, dossier_state_name(w->state),
		   (uint32_t)w->owner);
	if (w->effective != 0)
		buf_printf(out, " type=%s", metadata_type_name(w->effective));
	if (w->document != NULL)
		grammar_put_option(out, "document", w->document);
	if (w->state == DOSSIER_FAILED && w->failed_at != 0)
		buf_printf(out, " at=%s", event_name(w->failed_at));
	if (w->state == DOSSIER_FAILED && w->failure != FAILURE_NONE)
		buf_printf(out, " failure=%s", failure_name(w->failure));
	buf_add_char(out, '\n');
	put_string(out, "text", w->text);
	for (i = 0; i < w->components; i++)
		print_component(&w->component[i], out);
}

void
dossier_print(const struct dossier *d, struct buf *out)
{
	size_t i;

	buf_printf(out, "session %s %s", d->session,
		   metadata_type_name(d->type));
	if (d->snapshot != NULL)
		grammar_put_option(out, "snapshot", d->snapshot);
	buf_add_char(out, '\n');
	for (i = 0; i < d->writers; i++)
		print_writer(&d->writer[i], out);
	buf_add_str(out, "end\n");
}

/* --- numbers ------------------------------------------------------------- */

static void
settle(struct dossier_component *c, uint32_t number)
{
	size_t i;

	for (i = 0; i < c->images; i++)
		if (c->image[i].number == 0)
			c->image[i].number = number;
}

void
dossier_settle(struct dossier *d, uint32_t number)
{
	size_t i;
	size_t k;

	for (i = 0; i < d->writers; i++)
		for (k = 0; k < d->writer[i].components; k++)
			settle(&d->writer[i].component[k], number);
}

/* --- questions ----------------------------------------------------------- */

const struct dossier_writer *
dossier_writer(const struct dossier *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->writers; i++)
		if (strcmp(d->writer[i].name, name) == 0)
			return &d->writer[i];
	return NULL;
}

static int
by_name(const void *name, const void *element)
{
	const struct dossier_component *const *c = element;

	return strcmp(name, (*c)->name);
}

const struct dossier_component *
dossier_component(const struct dossier_writer *w, const char *name)
{
	bool found;
	size_t i;

	if (w->by_name != NULL) {
		i = sorted_place(name, w->by_name, w->components,
				 sizeof(*w->by_name), by_name, &found);
		return found ? w->by_name[i] : NULL;
	}
	for (i = 0; i < w->components; i++)
		if (strcmp(w->component[i].name, name) == 0)
			return &w->component[i];
	return NULL;
}
