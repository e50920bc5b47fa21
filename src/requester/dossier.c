/*
 * dossier.c
 *
 * One line a fact, in the order of the structures: a component's lines stand
 * behind it, a file's behind the file.  A text that would make a line too long
 * (a stamp of 64 KiB, say, all of whose bytes are escapes) goes on in lines that
 * begin with "+".
 *
 * Parsed strings are never longer than what they are written as, so one piece of
 * memory of the text's length holds them all, each with its NUL; what goes on
 * in a "+" line lies behind its beginning there.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/dossier.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata.h"
#include "src/writer/value.h"
#include "src/writer/wildcard.h"

#include <inttypes.h>
#include <stdlib.h>
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

/* --- reading ------------------------------------------------------------- */

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

static int
take_session(struct reader *r, struct err *e)
{
	static const struct grammar_key keys[] = { { "snapshot", false } };
	const struct grammar_word *o[1];
	const struct grammar_word *w = r->line.word;
	uint8_t id[16];

	if (r->line.count < 3 || r->d.type != 0)
		return corrupt(e, "a second beginning, or half of one");
	if (grammar_options(&r->line, 3, keys, 1, o, e) < 0)
		return -1;
	if (!hex_parse(id, sizeof(id), w[1].s))
		return corrupt(e, "a session's id has 32 hexadecimal digits");
	memcpy(r->d.session, w[1].s, 33);
	r->d.type = metadata_type_parse(w[2].s);
	if (r->d.type == 0)
		return corrupt(e, "no such type");
	if (o[0] != NULL)
		r->d.snapshot = keep(r, grammar_value(o[0]),
				     strlen(grammar_value(o[0])));
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

static int
take_writer(struct reader *r, struct err *e)
{
	enum {
		OWNER,
		TYPE,
		DOCUMENT,
		AT,
		FAILURE,
		KEYS
	};
	static const struct grammar_key keys[KEYS] = { { "owner", false },
						       { "type", false },
						       { "document", false },
						       { "at", false },
						       { "failure", false } };
	const struct grammar_word *o[KEYS];
	struct dossier_writer *w;
	uint32_t owner;
	unsigned s;

	if (r->line.count < 3 || r->d.writers == DOSSIER_WRITERS_MAX)
		return corrupt(e, "half a writer, or too many of them");
	if (grammar_options(&r->line, 3, keys, KEYS, o, e) < 0)
		return -1;
	if (value_writer_fault(r->line.word[1].s) != NULL)
		return corrupt(e, "no name of a writer");
	w = more((void **)&r->d.writer, r->d.writers, sizeof(*w), e);
	if (w == NULL)
		return -1;
	r->d.writers++;
	w->name = keep_word(r, &r->line.word[1]);
	for (s = 0; s < STATES; s++)
		if (states[s] != NULL &&
		    strcmp(states[s], r->line.word[2].s) == 0)
			w->state = (enum dossier_state)s;
	if (w->state == 0)
		return corrupt(e, "no such state");
	if (o[OWNER] == NULL || !take_u32(o[OWNER], &owner))
		return corrupt(e, "no such owner");
	w->owner = owner;
	if (o[TYPE] != NULL)
		w->effective = metadata_type_parse(grammar_value(o[TYPE]));
	if (o[TYPE] != NULL && w->effective == 0)
		return corrupt(e, "no such type");
	if (!take_failure(w, o[AT], o[FAILURE]))
		return corrupt(e, "no such failure");
	if (o[DOCUMENT] != NULL)
		w->document = keep(r, grammar_value(o[DOCUMENT]),
				   strlen(grammar_value(o[DOCUMENT])));
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

static int
take_component(struct reader *r, struct err *e)
{
	enum {
		CARRIED,
		UNTRUSTED,
		JOURNAL,
		CUT,
		BASE,
		BASE_ID,
		INCREMENTALS,
		DIFFERENTIALS,
		KEYS
	};
	static const struct grammar_key keys[KEYS] = {
		{ "carried", true },       { "untrusted", true },
		{ "journal", false },      { "cut", false },
		{ "base", false },         { "base-id", false },
		{ "incrementals", false }, { "differentials", false },
	};
	const struct grammar_word *o[KEYS];
	const struct grammar_word *word = r->line.word;
	struct dossier_writer *w = last_writer(r);
	struct dossier_component *c;

	if (w == NULL || r->line.count < 4 ||
	    w->components == METADATA_COMPONENTS_MAX)
		return corrupt(e, "half a component, or too many of them");
	if (grammar_options(&r->line, 4, keys, KEYS, o, e) < 0)
		return -1;
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
	c->carried = o[CARRIED] != NULL;
	c->untrusted = o[UNTRUSTED] != NULL;
	if (!take_hex(o[JOURNAL], c->journal) ||
	    !take_number(o[CUT], UINT64_MAX, &c->cut) ||
	    !take_base(c, o[BASE], o[BASE_ID]) ||
	    !take_u32(o[INCREMENTALS], &c->incrementals) ||
	    !take_u32(o[DIFFERENTIALS], &c->differentials))
		return corrupt(e, "no such journal, cut, base or count");
	return 0;
}

static int
take_partial(struct reader *r, struct err *e)
{
	static const struct grammar_key keys[1] = { { "read", false } };
	const struct grammar_word *o[1];
	struct dossier_component *c = last_component(r);
	struct dossier_file *f;

	if (c == NULL || r->line.count < 2)
		return corrupt(e, "half a file");
	if (grammar_options(&r->line, 2, keys, 1, o, e) < 0)
		return -1;
	if (value_file_fault(r->line.word[1].s) != NULL)
		return corrupt(e, "no path of a file");
	f = more((void **)&c->file, c->files, sizeof(*f), e);
	if (f == NULL)
		return -1;
	c->files++;
	f->path = keep_word(r, &r->line.word[1]);
	if (!take_number(o[0], UINT64_MAX, &f->bytes_read))
		return corrupt(e, "no number of bytes");
	return 0;
}

static int
take_differenced(struct reader *r, struct err *e)
{
	static const struct grammar_key keys[3] = { { "recursive", true },
						    { "newer", false },
						    { "read", false } };
	const struct grammar_word *o[3];
	struct dossier_component *c = last_component(r);
	struct dossier_file *f;

	if (c == NULL || r->line.count < 3)
		return corrupt(e, "half a differenced file");
	if (grammar_options(&r->line, 3, keys, 3, o, e) < 0)
		return -1;
	if (value_path_fault(r->line.word[1].s) != NULL ||
	    wildcard_fault(r->line.word[2].s) != NULL)
		return corrupt(e, "no directory and pattern");
	f = more((void **)&c->file, c->files, sizeof(*f), e);
	if (f == NULL)
		return -1;
	c->files++;
	f->differenced = true;
	f->path = keep_word(r, &r->line.word[1]);
	f->pattern = keep_word(r, &r->line.word[2]);
	f->recursive = o[0] != NULL;
	f->has_newer = o[1] != NULL;
	if ((f->has_newer && !value_time(grammar_value(o[1]), &f->newer)) ||
	    !take_number(o[2], UINT64_MAX, &f->bytes_read))
		return corrupt(e, "no time or number of bytes");
	return 0;
}

static int
take_attachment(struct reader *r, struct err *e)
{
	static const struct grammar_key keys[1] = { { "from", false } };
	const struct grammar_word *o[1];
	struct dossier_component *c = last_component(r);
	struct dossier_attachment *a;

	if (c == NULL || r->line.count < 3)
		return corrupt(e, "half an attachment");
	if (grammar_options(&r->line, 2, keys, 1, o, e) < 0)
		return -1;
	if (o[0] == NULL || value_file_fault(r->line.word[1].s) != NULL ||
	    value_file_fault(grammar_value(o[0])) != NULL)
		return corrupt(e, "no path of a file");
	a = more((void **)&c->attachment, c->attachments, sizeof(*a), e);
	if (a == NULL)
		return -1;
	c->attachments++;
	a->path = keep_word(r, &r->line.word[1]);
	a->from = keep(r, grammar_value(o[0]), strlen(grammar_value(o[0])));
	return 0;
}

static int
take_image(struct reader *r, struct err *e)
{
	static const struct grammar_key keys[1] = { { "id", false } };
	const struct grammar_word *o[1];
	struct dossier_component *c = last_component(r);
	struct dossier_ref *ref;
	uint64_t n;

	if (c == NULL || r->line.count < 3)
		return corrupt(e, "half an image");
	if (grammar_options(&r->line, 2, keys, 1, o, e) < 0)
		return -1;
	ref = more((void **)&c->image, c->images, sizeof(*ref), e);
	if (ref == NULL)
		return -1;
	c->images++;
	if (!value_number(r->line.word[1].s, r->line.word[1].len, &n) ||
	    n > UINT32_MAX || o[0] == NULL || !take_hex(o[0], ref->id))
		return corrupt(e, "no generation");
	ref->number = (uint32_t)n;
	return 0;
}

static int
take_carried(struct reader *r, struct err *e)
{
	struct dossier_component *c = last_component(r);
	size_t *set;
	uint64_t n;

	if (c == NULL || r->line.count != 2 ||
	    !value_number(r->line.word[1].s, r->line.word[1].len, &n) ||
	    n >= METADATA_LEN_MAX)
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
take_text(struct reader *r, struct err *e)
{
	const struct grammar_word *w = r->line.word;

	if (r->line.count != 2 || !place_text(r, w[0].s) || *r->text != NULL)
		return corrupt(e, "a text about nothing, or there twice");
	*r->text = keep_word(r, &w[1]);
	if (r->text_len != NULL)
		*r->text_len = w[1].len;
	return 0;
}

/* The string that the last line made is the last in memory. */
static int
take_more_text(struct reader *r, struct err *e)
{
	const struct grammar_word *w = r->line.word;

	if (r->line.count != 2 || r->text == NULL)
		return corrupt(e, "a text that goes on and did not begin");
	r->next--;
	(void)keep_word(r, &w[1]);
	if (r->text_len != NULL)
		*r->text_len += w[1].len;
	return 0;
}

/* --- lines --------------------------------------------------------------- */

static const struct {
	const char *word;
	int (*take)(struct reader *r, struct err *e);
	bool text; /* "+" may follow */
} lines[] = {
	{ "session", take_session, false },
	{ "writer", take_writer, false },
	{ "text", take_text, true },
	{ "component", take_component, false },
	{ "why", take_text, true },
	{ "stamp", take_text, true },
	{ "previous-stamp", take_text, true },
	{ "component-metadata", take_text, true },
	{ "carried-set", take_carried, false },
	{ "image", take_image, false },
	{ "partial-file", take_partial, false },
	{ "differenced-file", take_differenced, false },
	{ "ranges", take_text, true },
	{ "metadata", take_text, true },
	{ "refused", take_text, true },
	{ "attachment", take_attachment, false },
	{ "+", take_more_text, true },
};

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
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (strcmp(word, lines[i].word) != 0)
			continue;
		if (!lines[i].text)
			r->text = NULL;
		return lines[i].take(r, e);
	}
	return err_set(e, ERR_UNSUPPORTED, "a line of a newer asof");
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
by_string(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
check_names(const char **name, size_t n, struct err *e)
{
	size_t i;

	qsort(name, n, sizeof(*name), by_string);
	for (i = 1; i < n; i++)
		if (strcmp(name[i - 1], name[i]) == 0)
			return corrupt(e, "session's record: a name that is "
					  "there twice");
	return 0;
}

static int
check_components(const struct dossier_writer *w, struct err *e)
{
	const char **name = mem_array(w->components + 1, sizeof(*name));
	size_t i;
	int rc;

	if (name == NULL)
		return err_nomem(e);
	for (i = 0; i < w->components; i++)
		name[i] = w->component[i].name;
	rc = check_names(name, w->components, e);
	mem_free(name);
	return rc;
}

static int
check_all(const struct dossier *d, struct err *e)
{
	const char **name = mem_array(d->writers + 1, sizeof(*name));
	size_t i;
	int rc;

	if (name == NULL)
		return err_nomem(e);
	for (i = 0; i < d->writers; i++)
		name[i] = d->writer[i].name;
	rc = check_names(name, d->writers, e);
	for (i = 0; i < d->writers && rc == 0; i++)
		rc = check_components(&d->writer[i], e);
	mem_free(name);
	return rc;
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
	}
	mem_free(d->writer);
	mem_free(d->memory);
	memset(d, 0, sizeof(*d));
}

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

const struct dossier_component *
dossier_component(const struct dossier_writer *w, const char *name)
{
	size_t i;

	for (i = 0; i < w->components; i++)
		if (strcmp(w->component[i].name, name) == 0)
			return &w->component[i];
	return NULL;
}
