/*
 * What there are several of (members, new targets) is one value with newlines
 * between them, so that a key is there once.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/restore_words.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"
#include "src/writer/grammar.h"

#include <string.h>

/* The TEXT of "W:C:TEXT" when it is for this component, else NULL. */
static const char *
option_for(const struct pick *k, const char *option)
{
	size_t w = strlen(k->writer);
	size_t c = strlen(k->component);

	if (strncmp(option, k->writer, w) != 0 || option[w] != ':' ||
	    strncmp(option + w + 1, k->component, c) != 0 ||
	    option[w + 1 + c] != ':')
		return NULL;
	return option + w + 1 + c + 1;
}

static void
put_value(struct buf *out, const char *key, const void *p, size_t len)
{
	buf_printf(out, " %s=", key);
	grammar_quote(out, p, len);
}

static void
put_members(const struct pick *k, struct buf *out)
{
	struct buf text = { 0 };
	size_t i;

	for (i = 0; i < k->members; i++) {
		if (i > 0)
			buf_add_char(&text, '\n');
		buf_add_str(&text, k->member[i]);
	}
	if (k->members > 0)
		put_value(out, "subcomponents", text.data, text.len);
	out->failed |= text.failed;
	buf_clear(&text);
}

static void
put_targets(const struct restore_words *w, struct buf *out)
{
	const struct restore_writers_options *o = w->options;
	struct buf text = { 0 };
	size_t i;

	for (i = 0; i < o->targets; i++) {
		if (strcmp(o->target[i].writer, w->pick->writer) != 0 ||
		    strcmp(o->target[i].component, w->pick->component) != 0)
			continue;
		if (text.len > 0)
			buf_add_char(&text, '\n');
		buf_add_str(&text, o->target[i].dir);
		buf_add_char(&text, '=');
		buf_add_str(&text, o->target[i].to);
	}
	if (text.len > 0)
		put_value(out, "new-targets", text.data, text.len);
	out->failed |= text.failed;
	buf_clear(&text);
}

void
restore_words(const struct restore_words *w, struct buf *out)
{
	const struct dossier_component *c = w->component;
	const char *text;
	size_t i;

	buf_printf(out, "additional-restores=%s generation=%u",
		   w->more ? "yes" : "no", (unsigned)w->generation);
	if (w->moved)
		put_value(out, "from-writer", w->pick->writer,
			  strlen(w->pick->writer));
	put_members(w->pick, out);
	for (i = 0; i < w->options->options; i++) {
		text = option_for(w->pick, w->options->option[i]);
		if (text != NULL)
			put_value(out, "option", text, strlen(text));
	}
	put_targets(w, out);
	if (c->stamp != NULL)
		put_value(out, "stamp", c->stamp, c->stamp_len);
	if (c->metadata != NULL)
		put_value(out, "backup-metadata", c->metadata,
			  strlen(c->metadata));
}

int
restore_words_check(const struct restore_writers_options *o,
		    const struct picks *p, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const struct pick *mine;
	const struct pick *k;
	size_t i;
	size_t n;
	size_t at;

	for (i = 0; i < o->options; i++) {
		mine = NULL;
		for (n = 0; n < p->count && mine == NULL; n++)
			if (option_for(&p->v[n], o->option[i]) != NULL)
				mine = &p->v[n];
		(void)path_show_in(shown, o->option[i], strlen(o->option[i]));
		if (mine == NULL)
			return err_set(e, ERR_USAGE,
				       "a restore option for what is not "
				       "restored: %s",
				       shown);
		k = mine;
		for (at = 0; at < i; at++)
			if (option_for(k, o->option[at]) != NULL)
				return err_set(e, ERR_USAGE,
					       "a second restore option for "
					       "%s:%s",
					       k->writer, k->component);
	}
	return 0;
}
