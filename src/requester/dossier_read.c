/*
 * dossier_read.c
 *
 * A table says of each line what has to be in it and in front of it; what takes
 * it finds its words and options there.
 *
 * Parsed strings are never longer than what they are written as, so one piece of
 * memory of the text's length holds them all, each with its NUL; what goes on
 * in a "+" line lies behind its beginning there.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/dossier.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata.h"
#include "src/writer/value.h"
#include "src/writer/wildcard.h"

#include <stdlib.h>
#include <string.h>

/* --- reading ------------------------------------------------------------- */

/* What a line's options are, sorted as its keys. */
typedef const struct grammar_word *const *options;

struct reader {
	struct grammar_line line;
	struct dossier d;
	char *next; /* where the next string goes */
	/* The last text, for "+"; what has no length of its own has NULL there. */
	const char **text;
	size_t *text_len;
	bool ended;
};

static int
corrupt(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "%s", what);
}

static const char *
keep(struct reader *r, const char *s, size_t len)
{
	char *p = r->next;

	memcpy(p, s, len);
	p[len] = '\0';
	r->next = p + len + 1;
	return p;
}

static const char *
keep_word(struct reader *r, const struct grammar_word *w)
{
	return keep(r, w->s, w->len);
}

/*
 * Room for one more behind the count, zeroed: the array grows whenever the
 * count is a power of two.
 */
static void *
more(void **array, size_t count, size_t size, struct err *e)
{
	void *p = *array;

	if ((count & (count - 1)) == 0) {
		p = mem_resize(p, count == 0 ? 1 : 2 * count, size);
		if (p == NULL) {
			err_nomem(e);
			return NULL;
		}
		*array = p;
	}
	p = (char *)p + count * size;
	memset(p, 0, size);
	return p;
}

static const char *
keep_option(struct reader *r, const struct grammar_word *o)
{
	const char *v;

	if (o == NULL)
		return NULL;
	v = grammar_value(o);
	return keep(r, v, strlen(v));
}

static struct dossier_writer *
last_writer(struct reader *r)
{
	return r->d.writers > 0 ? &r->d.writer[r->d.writers - 1] : NULL;
}

static struct dossier_component *
last_component(struct reader *r)
{
	struct dossier_writer *w = last_writer(r);

	if (w == NULL || w->components == 0)
		return NULL;
	return &w->component[w->components - 1];
}

static struct dossier_file *
last_file(struct reader *r)
{
	struct dossier_component *c = last_component(r);

	return c == NULL || c->files == 0 ? NULL : &c->file[c->files - 1];
}

static bool
take_number(const struct grammar_word *w, uint64_t max, uint64_t *out)
{
	const char *v;

	if (w == NULL) {
		*out = 0;
		return true;
	}
	v = grammar_value(w);
	return value_number(v, strlen(v), out) && *out <= max;
}

static bool
take_u32(const struct grammar_word *w, uint32_t *out)
{
	uint64_t n;

	if (!take_number(w, UINT32_MAX, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

static bool
take_hex(const struct grammar_word *w, uint8_t out[16])
{
	return w == NULL || hex_parse(out, 16, grammar_value(w));
}

/* --- facts --------------------------------------------------------------- */

/* Each gets the words of its line, of which there are enough, and its options. */

static int
take_session(struct reader *r, options o, struct err *e)
{
	const struct grammar_word *w = r->line.word;
	uint8_t id[16];

	if (r->d.type != 0)
		return corrupt(e, "a second beginning");
	if (!hex_parse(id, sizeof(id), w[1].s))
		return corrupt(e, "a session's id has 32 hexadecimal digits");
	memcpy(r->d.session, w[1].s, 33);
	r->d.type = metadata_type_parse(w[2].s);
	if (r->d.type == 0)
		return corrupt(e, "no such type");
	r->d.snapshot = keep_option(r, o[0]);
	return 0;
}

static bool
take_failure(struct dossier_writer *w, const struct grammar_word *at,
	     const struct grammar_word *failure)
{
	enum event ev;

	if ((at != NULL || failure != NULL) && w->state != DOSSIER_FAILED)
		return false;
	for (ev = EVENT_IDENTIFY; at != NULL && ev <= EVENT_POST_RESTORE; ev++)
		if (strcmp(event_name(ev), grammar_value(at)) == 0)
			w->failed_at = ev;
	if (failure != NULL)
		w->failure = failure_parse(grammar_value(failure));
	return (at == NULL || w->failed_at != 0) &&
	       (failure == NULL || w->failure != FAILURE_NONE);
}

enum {
	WRITER_OWNER,
	WRITER_TYPE,
	WRITER_DOCUMENT,
	WRITER_AT,
	WRITER_FAILURE,
};
static const struct grammar_key writer_keys[] = {
	{ "owner", false }, { "type", false },    { "document", false },
	{ "at", false },    { "failure", false },
};

static int
take_writer(struct reader *r, options o, struct err *e)
{
	const struct grammar_word *word = r->line.word;
	struct dossier_writer *w;
	uint32_t owner;

	if (r->d.writers == DOSSIER_WRITERS_MAX)
		return corrupt(e, "too many writers");
	if (value_writer_fault(word[1].s) != NULL)
		return corrupt(e, "no name of a writer");
	w = more((void **)&r->d.writer, r->d.writers, sizeof(*w), e);
	if (w == NULL)
		return -1;
	r->d.writers++;
	w->name = keep_word(r, &word[1]);
	w->state = dossier_state_parse(word[2].s);
	if (w->state == 0)
		return corrupt(e, "no such state");
	if (o[WRITER_OWNER] == NULL || !take_u32(o[WRITER_OWNER], &owner))
		return corrupt(e, "no such owner");
	w->owner = owner;
	if (o[WRITER_TYPE] != NULL)
		w->effective =
			metadata_type_parse(grammar_value(o[WRITER_TYPE]));
	if (o[WRITER_TYPE] != NULL && w->effective == 0)
		return corrupt(e, "no such type");
	if (!take_failure(w, o[WRITER_AT], o[WRITER_FAILURE]))
		return corrupt(e, "no such failure");
	w->document = keep_option(r, o[WRITER_DOCUMENT]);
	return 0;
}

static bool
take_base(struct dossier_component *c, const struct grammar_word *number,
	  const struct grammar_word *id)
{
	if ((number == NULL) != (id == NULL))
		return false;
	if (number == NULL)
		return true;
	return take_u32(number, &c->base.number) && c->base.number != 0 &&
	       take_hex(id, c->base.id);
}

enum {
	COMPONENT_CARRIED,
	COMPONENT_UNTRUSTED,
	COMPONENT_JOURNAL,
	COMPONENT_CUT,
	COMPONENT_BASE,
	COMPONENT_BASE_ID,
	COMPONENT_INCREMENTALS,
	COMPONENT_DIFFERENTIALS,
};
static const struct grammar_key component_keys[] = {
	{ "carried", true },       { "untrusted", true },
	{ "journal", false },      { "cut", false },
	{ "base", false },         { "base-id", false },
	{ "incrementals", false }, { "differentials", false },
};

static int
take_component(struct reader *r, options o, struct err *e)
{
	const struct grammar_word *word = r->line.word;
	struct dossier_writer *w = last_writer(r);
	struct dossier_component *c;

	if (w->components == METADATA_COMPONENTS_MAX)
		return corrupt(e, "too many components");
	if (value_component_fault(word[1].s) != NULL)
		return corrupt(e, "no name of a component");
	c = more((void **)&w->component, w->components, sizeof(*c), e);
	if (c == NULL)
		return -1;
	w->components++;
	c->name = keep_word(r, &word[1]);
	c->effective = metadata_type_parse(word[2].s);
	c->succeeded = strcmp(word[3].s, "succeeded") == 0;
	if (c->effective == 0 ||
	    (!c->succeeded && strcmp(word[3].s, "failed") != 0))
		return corrupt(e, "no such type or outcome");
	c->carried = o[COMPONENT_CARRIED] != NULL;
	c->untrusted = o[COMPONENT_UNTRUSTED] != NULL;
	if (!take_hex(o[COMPONENT_JOURNAL], c->journal) ||
	    !take_number(o[COMPONENT_CUT], UINT64_MAX, &c->cut) ||
	    !take_base(c, o[COMPONENT_BASE], o[COMPONENT_BASE_ID]) ||
	    !take_u32(o[COMPONENT_INCREMENTALS], &c->incrementals) ||
	    !take_u32(o[COMPONENT_DIFFERENTIALS], &c->differentials))
		return corrupt(e, "no such journal, cut, base or count");
	return 0;
}

static struct dossier_file *
new_file(struct reader *r, struct err *e)
{
	struct dossier_component *c = last_component(r);
	struct dossier_file *f =
		more((void **)&c->file, c->files, sizeof(*f), e);

	if (f != NULL) {
		c->files++;
		f->path = keep_word(r, &r->line.word[1]);
	}
	return f;
}

static int
take_partial(struct reader *r, options o, struct err *e)
{
	struct dossier_file *f;

	if (value_file_fault(r->line.word[1].s) != NULL)
		return corrupt(e, "no path of a file");
	f = new_file(r, e);
	if (f == NULL)
		return -1;
	if (!take_number(o[0], UINT64_MAX, &f->bytes_read))
		return corrupt(e, "no number of bytes");
	return 0;
}

static int
take_differenced(struct reader *r, options o, struct err *e)
{
	struct dossier_file *f;

	if (value_path_fault(r->line.word[1].s) != NULL ||
	    wildcard_fault(r->line.word[2].s) != NULL)
		return corrupt(e, "no directory and pattern");
	f = new_file(r, e);
	if (f == NULL)
		return -1;
	f->differenced = true;
	f->pattern = keep_word(r, &r->line.word[2]);
	f->recursive = o[0] != NULL;
	f->has_newer = o[1] != NULL;
	if ((f->has_newer && !value_time(grammar_value(o[1]), &f->newer)) ||
	    !take_number(o[2], UINT64_MAX, &f->bytes_read))
		return corrupt(e, "no time or number of bytes");
	return 0;
}

static int
take_attachment(struct reader *r, options o, struct err *e)
{
	struct dossier_component *c = last_component(r);
	struct dossier_attachment *a;

	if (o[0] == NULL || value_file_fault(r->line.word[1].s) != NULL ||
	    value_file_fault(grammar_value(o[0])) != NULL)
		return corrupt(e, "no path of a file");
	a = more((void **)&c->attachment, c->attachments, sizeof(*a), e);
	if (a == NULL)
		return -1;
	c->attachments++;
	a->path = keep_word(r, &r->line.word[1]);
	a->from = keep_option(r, o[0]);
	return 0;
}

static int
take_image(struct reader *r, options o, struct err *e)
{
	const struct grammar_word *w = r->line.word;
	struct dossier_component *c = last_component(r);
	struct dossier_ref *ref =
		more((void **)&c->image, c->images, sizeof(*ref), e);
	uint64_t n;

	if (ref == NULL)
		return -1;
	c->images++;
	if (!value_number(w[1].s, w[1].len, &n) || n > UINT32_MAX ||
	    o[0] == NULL || !take_hex(o[0], ref->id))
		return corrupt(e, "no generation");
	ref->number = (uint32_t)n;
	return 0;
}

static int
take_carried(struct reader *r, options o, struct err *e)
{
	const struct grammar_word *w = r->line.word;
	struct dossier_component *c = last_component(r);
	size_t *set;
	uint64_t n;

	(void)o;
	if (!value_number(w[1].s, w[1].len, &n) || n >= METADATA_LEN_MAX)
		return corrupt(e, "no number of a file set");
	set = more((void **)&c->carried_set, c->carried_sets, sizeof(*set), e);
	if (set == NULL)
		return -1;
	c->carried_sets++;
	*set = (size_t)n;
	return 0;
}

/* --- texts --------------------------------------------------------------- */

/* Where a text of this word goes: false when there is nothing it is about. */
static bool
place_text(struct reader *r, const char *word)
{
	struct dossier_writer *w = last_writer(r);
	struct dossier_component *c = last_component(r);
	struct dossier_file *f = last_file(r);

	r->text = NULL;
	r->text_len = NULL;
	if (strcmp(word, "text") == 0 && w != NULL) {
		r->text = &w->text;
	} else if (strcmp(word, "why") == 0 && c != NULL) {
		r->text = &c->why;
	} else if (strcmp(word, "stamp") == 0 && c != NULL) {
		r->text = &c->stamp;
		r->text_len = &c->stamp_len;
	} else if (strcmp(word, "previous-stamp") == 0 && c != NULL) {
		r->text = &c->previous_stamp;
		r->text_len = &c->previous_len;
	} else if (strcmp(word, "component-metadata") == 0 && c != NULL) {
		r->text = &c->metadata;
	} else if (strcmp(word, "ranges") == 0 && f != NULL) {
		r->text = &f->ranges;
	} else if (strcmp(word, "metadata") == 0 && f != NULL) {
		r->text = &f->metadata;
	} else if (strcmp(word, "refused") == 0 && f != NULL) {
		r->text = &f->refused;
	}
	return r->text != NULL;
}

static int
take_text(struct reader *r, options o, struct err *e)
{
	const struct grammar_word *w = r->line.word;

	(void)o;
	if (!place_text(r, w[0].s) || *r->text != NULL)
		return corrupt(e, "a text about nothing, or there twice");
	*r->text = keep_word(r, &w[1]);
	if (r->text_len != NULL)
		*r->text_len = w[1].len;
	return 0;
}

/* The string that the last line made is the last in memory. */
static int
take_more_text(struct reader *r, options o, struct err *e)
{
	const struct grammar_word *w = r->line.word;

	(void)o;
	if (r->text == NULL)
		return corrupt(e, "a text that goes on and did not begin");
	r->next--;
	(void)keep_word(r, &w[1]);
	if (r->text_len != NULL)
		*r->text_len += w[1].len;
	return 0;
}

/* --- lines --------------------------------------------------------------- */

static const struct grammar_key session_keys[] = { { "snapshot", false } };
static const struct grammar_key image_keys[] = { { "id", false } };
static const struct grammar_key partial_keys[] = { { "read", false } };
static const struct grammar_key attachment_keys[] = { { "from", false } };
static const struct grammar_key differenced_keys[] = { { "recursive", true },
						       { "newer", false },
						       { "read", false } };

#define KEYS(keys) keys, sizeof(keys) / sizeof((keys)[0])
#define KEYS_MAX   8

enum subject {
	OF_ALL,
	OF_WRITER, /* there is one, and it is of the last */
	OF_COMPONENT,
};

static const struct {
	const char *word;
	size_t words; /* it has at least, this one counted */
	enum subject of;
	int (*take)(struct reader *r, options o, struct err *e);
	bool text; /* "+" may follow */
	const struct grammar_key *keys;
	size_t key_count;
} lines[] = {
	{ "session", 3, OF_ALL, take_session, false, KEYS(session_keys) },
	{ "writer", 3, OF_ALL, take_writer, false, KEYS(writer_keys) },
	{ "text", 2, OF_WRITER, take_text, true, NULL, 0 },
	{ "component", 4, OF_WRITER, take_component, false,
	  KEYS(component_keys) },
	{ "why", 2, OF_COMPONENT, take_text, true, NULL, 0 },
	{ "stamp", 2, OF_COMPONENT, take_text, true, NULL, 0 },
	{ "previous-stamp", 2, OF_COMPONENT, take_text, true, NULL, 0 },
	{ "component-metadata", 2, OF_COMPONENT, take_text, true, NULL, 0 },
	{ "carried-set", 2, OF_COMPONENT, take_carried, false, NULL, 0 },
	{ "image", 2, OF_COMPONENT, take_image, false, KEYS(image_keys) },
	{ "partial-file", 2, OF_COMPONENT, take_partial, false,
	  KEYS(partial_keys) },
	{ "differenced-file", 3, OF_COMPONENT, take_differenced, false,
	  KEYS(differenced_keys) },
	{ "ranges", 2, OF_COMPONENT, take_text, true, NULL, 0 },
	{ "metadata", 2, OF_COMPONENT, take_text, true, NULL, 0 },
	{ "refused", 2, OF_COMPONENT, take_text, true, NULL, 0 },
	{ "attachment", 2, OF_COMPONENT, take_attachment, false,
	  KEYS(attachment_keys) },
	{ "+", 2, OF_ALL, take_more_text, true, NULL, 0 },
};
#define LINES (sizeof(lines) / sizeof(lines[0]))

static int
take_fact(struct reader *r, size_t i, struct err *e)
{
	const struct grammar_word *o[KEYS_MAX];

	if (r->line.count < lines[i].words)
		return corrupt(e, "half a line");
	if ((lines[i].of == OF_WRITER && last_writer(r) == NULL) ||
	    (lines[i].of == OF_COMPONENT && last_component(r) == NULL))
		return corrupt(e, "a line about nothing");
	if (grammar_options(&r->line, lines[i].words, lines[i].keys,
			    lines[i].key_count, o, e) < 0)
		return -1;
	if (!lines[i].text)
		r->text = NULL;
	return lines[i].take(r, o, e);
}

static int
take_line(struct reader *r, struct err *e)
{
	const char *word;
	size_t i;

	if (r->line.count == 0 || r->ended)
		return corrupt(e, "an empty line, or one behind the end");
	word = r->line.word[0].s;
	if ((r->d.type == 0) != (strcmp(word, "session") == 0))
		return corrupt(e, "it does not begin with the session");
	if (strcmp(word, "end") == 0) {
		r->ended = true;
		return r->line.count == 1 ? 0 : corrupt(e, "more than an end");
	}
	for (i = 0; i < LINES && strcmp(word, lines[i].word) != 0; i++)
		;
	if (i == LINES)
		return err_set(e, ERR_UNSUPPORTED, "a line of a newer asof");
	return take_fact(r, i, e);
}

/* What the grammar refuses is corrupt here: nobody hands it in. */
static int
as_corrupt(struct err *e)
{
	if (e != NULL && e->kind == ERR_USAGE)
		e->kind = ERR_CORRUPT;
	return -1;
}

static int
take_lines(struct reader *r, const char *p, size_t len, struct err *e)
{
	const char *end = p + len;
	const char *stop;
	size_t n = 0;

	for (; p < end; p = stop + 1) {
		n++;
		stop = memchr(p, '\n', (size_t)(end - p));
		if (stop == NULL)
			return corrupt(e, "the session's record is cut off");
		if (grammar_split(&r->line, p, (size_t)(stop - p), e) < 0 ||
		    take_line(r, e) < 0) {
			(void)as_corrupt(e);
			return err_prefix(e, "session's record, line %zu", n);
		}
	}
	if (!r->ended)
		return corrupt(e, "the session's record has no end");
	return 0;
}

/* --- names are there once ------------------------------------------------ */

static int
by_name(const void *a, const void *b)
{
	const struct dossier_component *x =
		*(const struct dossier_component *const *)a;
	const struct dossier_component *y =
		*(const struct dossier_component *const *)b;

	return strcmp(x->name, y->name);
}

static int
by_string(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
there_twice(struct err *e)
{
	return corrupt(e, "session's record: a name that is there twice");
}

/* They are looked for by name, too. */
static int
sort_components(struct dossier_writer *w, struct err *e)
{
	size_t i;

	w->by_name = mem_array(w->components + 1, sizeof(*w->by_name));
	if (w->by_name == NULL)
		return err_nomem(e);
	for (i = 0; i < w->components; i++)
		w->by_name[i] = &w->component[i];
	qsort(w->by_name, w->components, sizeof(*w->by_name), by_name);
	for (i = 1; i < w->components; i++)
		if (by_name(&w->by_name[i - 1], &w->by_name[i]) == 0)
			return there_twice(e);
	return 0;
}

static int
check_all(const struct dossier *d, struct err *e)
{
	const char **name = mem_array(d->writers + 1, sizeof(*name));
	size_t i;
	int rc = 0;

	if (name == NULL)
		return err_nomem(e);
	for (i = 0; i < d->writers; i++)
		name[i] = d->writer[i].name;
	qsort(name, d->writers, sizeof(*name), by_string);
	for (i = 1; i < d->writers && rc == 0; i++)
		if (strcmp(name[i - 1], name[i]) == 0)
			rc = there_twice(e);
	mem_free(name);
	for (i = 0; i < d->writers && rc == 0; i++)
		rc = sort_components(&d->writer[i], e);
	return rc;
}

static void
clear_component(struct dossier_component *c)
{
	mem_free(c->image);
	mem_free(c->carried_set);
	mem_free(c->file);
	mem_free(c->attachment);
}

void
dossier_clear(struct dossier *d)
{
	size_t i;
	size_t k;

	if (d->memory == NULL)
		return;
	for (i = 0; i < d->writers; i++) {
		for (k = 0; k < d->writer[i].components; k++)
			clear_component(&d->writer[i].component[k]);
		mem_free(d->writer[i].component);
		mem_free(d->writer[i].by_name);
	}
	mem_free(d->writer);
	mem_free(d->memory);
	memset(d, 0, sizeof(*d));
}

int
dossier_parse(const void *p, size_t len, struct dossier *out, struct err *e)
{
	struct reader r = { 0 };
	int rc = -1;

	if (len > DOSSIER_MAX)
		return corrupt(e, "session's record: too long");
	r.d.memory = mem_alloc(len + 1);
	if (r.d.memory == NULL)
		return err_nomem(e);
	r.next = r.d.memory;
	if (take_lines(&r, p, len, e) < 0 || check_all(&r.d, e) < 0)
		goto out;
	*out = r.d;
	memset(&r.d, 0, sizeof(r.d));
	rc = 0;
out:
	dossier_clear(&r.d);
	grammar_clear(&r.line);
	return rc;
}
