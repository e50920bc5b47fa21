/*
 * A line is understood twice.  First, as far as it goes, whom it is about:
 * component and file, because a refusal must leave a gap there, and the
 * narrower the gap, the less is read.  Then all of it, strictly.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/statement.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/path.h"
#include "src/writer/refuse.h"
#include "src/writer/value.h"
#include "src/writer/wildcard.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* No line up to this length has a normal form that is too long. */
#define SURELY_SHORT (GRAMMAR_LINE_MAX / 4 - 64)

static const struct form {
	enum statement_kind kind;
	size_t words;     /* fixed ones, with the first, */
	const char *form; /* which is the statement's name */
} forms[] = {
	{ STATEMENT_PARTIAL_FILE, 4, "partial-file COMPONENT PATH RANGES" },
	{ STATEMENT_DIFFERENCED_FILE, 4,
	  "differenced-file COMPONENT DIR PATTERN" },
	{ STATEMENT_BACKUP_STAMP, 3, "backup-stamp COMPONENT TEXT" },
	{ STATEMENT_BACKUP_METADATA, 3, "backup-metadata COMPONENT TEXT" },
	{ STATEMENT_ATTACH, 3, "attach COMPONENT PATH from=FILE" },
	{ STATEMENT_GAP, 2, "gap COMPONENT [PATH]" },
	{ STATEMENT_RESTORE_TARGET, 3,
	  "restore-target COMPONENT original|alternate|directed|"
	  "original-location" },
	{ STATEMENT_DIRECTED_TARGET, 6,
	  "directed-target COMPONENT PATH RANGES TO-PATH TO-RANGES" },
	{ STATEMENT_RESTORE_METADATA, 3, "restore-metadata COMPONENT TEXT" },
	{ STATEMENT_BEGIN, 1, "begin" },
	{ STATEMENT_COMMIT, 1, "commit" },
	{ STATEMENT_ABORT, 1, "abort" },
};

#define FORMS (sizeof(forms) / sizeof(forms[0]))

/* By their numbers. */
static const char *const target_names[] = { "", "original", "alternate",
					    "directed", "original-location" };

#define TARGETS (sizeof(target_names) / sizeof(target_names[0]))

void
statement_clear(struct statement *s)
{
	ranges_clear(&s->ranges);
	ranges_clear(&s->to_ranges);
	grammar_clear(&s->line);
	memset(s, 0, sizeof(*s));
}

static size_t
name_len(const struct form *f)
{
	return strcspn(f->form, " ");
}

static const struct form *
form_of(enum statement_kind kind)
{
	size_t i;

	for (i = 0; forms[i].kind != kind; i++)
		;
	return &forms[i];
}

bool
statement_is_restore(enum statement_kind kind)
{
	return kind == STATEMENT_RESTORE_TARGET ||
	       kind == STATEMENT_DIRECTED_TARGET ||
	       kind == STATEMENT_RESTORE_METADATA;
}

const char *
statement_target_name(enum statement_target t)
{
	return (size_t)t < TARGETS ? target_names[t] : "";
}

enum statement_target
statement_target_parse(const char *s)
{
	size_t i;

	for (i = 1; i < TARGETS; i++)
		if (strcmp(s, target_names[i]) == 0)
			return (enum statement_target)i;
	return 0;
}

/* --- whom it is about ------------------------------------------------------- */

/* The place-th word when it is there and without fault, else NULL. */
static const char *
word_if_good(const struct grammar_line *l, size_t place,
	     const char *(*fault)(const char *))
{
	if (place >= l->count || fault(l->word[place].s) != NULL)
		return NULL;
	return l->word[place].s;
}

static void
identify(struct statement *s)
{
	const struct grammar_line *l = &s->line;
	size_t i;

	for (i = 0; l->count > 0 && i < FORMS; i++)
		if (l->word[0].len == name_len(&forms[i]) &&
		    memcmp(l->word[0].s, forms[i].form, l->word[0].len) == 0)
			s->kind = forms[i].kind;
	if (s->kind == STATEMENT_NONE || s->kind >= STATEMENT_BEGIN)
		return;
	s->component = word_if_good(l, 1, value_component_fault);
	if (s->component != NULL &&
	    (s->kind == STATEMENT_PARTIAL_FILE || s->kind == STATEMENT_ATTACH ||
	     s->kind == STATEMENT_GAP || s->kind == STATEMENT_DIRECTED_TARGET))
		s->path = word_if_good(l, 2, value_file_fault);
}

void
statement_gap(const struct statement *s, const char **component,
	      const char **path)
{
	*component = s->component;
	*path = s->kind == STATEMENT_DIFFERENCED_FILE ? NULL : s->path;
}

/* --- what it says ----------------------------------------------------------- */

static int
take_since(struct statement *s, const struct grammar_word *w, struct err *e)
{
	const char *v = grammar_value(w);

	/* In quotes an @ is a byte of a stamp like others. */
	if (v[0] != '@' || w->quoted) {
		s->since = SINCE_STAMP;
		s->since_stamp = v;
		return 0;
	}
	s->since = SINCE_GENERATION;
	if (strlen(v) != 1 + 2 * STATEMENT_ID_LEN)
		return grammar_refuse(
			w,
			"a generation's id has 32 hexadecimal digits "
			"(a stamp that begins with @ goes in quotes)",
			e);
	if (!hex_parse(s->since_id, STATEMENT_ID_LEN, v + 1))
		return grammar_refuse(w,
				      "a generation's id has lower-case "
				      "hexadecimal digits only",
				      e);
	return 0;
}

/* The path in RANGES that name a ranges file, or NULL. */
static const char *
ranges_path(const char *s)
{
	if (s[0] == '/')
		return s;
	return strncasecmp(s, "file=", 5) == 0 ? s + 5 : NULL;
}

/*
 * The ranges at word `*at`, which moves behind them: with a blank behind a
 * comma they are several words.
 */
static int
take_ranges_text(const struct grammar_line *l, size_t *at,
		 int (*parse)(struct ranges *, const char *, size_t,
			      struct err *),
		 struct ranges *out, struct err *e)
{
	const struct grammar_word *w = &l->word[(*at)++];
	struct buf text = { 0 };
	int rc = -1;

	buf_add(&text, w->s, w->len);
	while (!text.failed && text.len > 0 && text.data[text.len - 1] == ',' &&
	       *at < l->count) {
		buf_add_char(&text, ' ');
		buf_add(&text, l->word[*at].s, l->word[*at].len);
		++*at;
	}
	if (buf_ok(&text, e) == 0)
		rc = parse(out, buf_str(&text), text.len, e);
	if (rc < 0)
		(void)err_prefix(e, "column %zu", w->column);
	buf_clear(&text);
	return rc;
}

static int
take_ranges(struct statement *s, size_t *at, struct err *e)
{
	const struct grammar_word *w = &s->line.word[*at];

	s->ranges_path = ranges_path(w->s);
	if (s->ranges_path == NULL)
		return take_ranges_text(&s->line, at, ranges_parse, &s->ranges,
					e);
	++*at;
	return grammar_judge(w, value_file_fault(s->ranges_path), e);
}

static int
take_partial_file(struct statement *s, struct err *e)
{
	enum {
		SINCE,
		SIZE,
		METADATA,
		KEYS
	};
	static const struct grammar_key keys[KEYS] = { { "since", false },
						       { "size", false },
						       { "metadata", false } };
	const struct grammar_word *o[KEYS];
	const char *v;
	size_t at = 3;

	if (take_ranges(s, &at, e) < 0 ||
	    grammar_options(&s->line, at, keys, KEYS, o, e) < 0)
		return -1;
	if (o[SINCE] != NULL && take_since(s, o[SINCE], e) < 0)
		return -1;
	if (o[SIZE] != NULL) {
		v = grammar_value(o[SIZE]);
		if (!value_number(v, strlen(v), &s->size))
			return grammar_refuse(o[SIZE],
					      "not a number of 64 bits", e);
		s->has_size = true;
	}
	if (o[METADATA] != NULL)
		s->text = grammar_value(o[METADATA]);
	return 0;
}

static int
take_differenced_file(struct statement *s, struct err *e)
{
	enum {
		RECURSIVE,
		NEWER,
		KEYS
	};
	static const struct grammar_key keys[KEYS] = { { "recursive", true },
						       { "newer", false } };
	struct grammar_word *w = s->line.word;
	const struct grammar_word *o[KEYS];

	value_trim_dir(w[2].s, &w[2].len);
	if (grammar_judge(&w[2], value_path_fault(w[2].s), e) < 0 ||
	    grammar_judge(&w[3], wildcard_fault(w[3].s), e) < 0 ||
	    grammar_options(&s->line, 4, keys, KEYS, o, e) < 0)
		return -1;
	s->path = w[2].s;
	s->pattern = w[3].s;
	s->recursive = o[RECURSIVE] != NULL;
	s->has_newer = o[NEWER] != NULL;
	if (s->has_newer && !value_time(grammar_value(o[NEWER]), &s->newer))
		return grammar_refuse(
			o[NEWER],
			"a time is 2026-11-21T20:25:13Z, with a zone, or "
			"@SECONDS or @SECONDS.NNNNNNNNN",
			e);
	return 0;
}

static int
take_text(struct statement *s, struct err *e)
{
	const struct grammar_word *none[1];

	s->text = s->line.word[2].s;
	return grammar_options(&s->line, 3, NULL, 0, none, e);
}

static int
take_attach(struct statement *s, struct err *e)
{
	static const struct grammar_key keys[1] = { { "from", false } };
	const struct grammar_word *o[1];

	if (grammar_options(&s->line, 3, keys, 1, o, e) < 0)
		return -1;
	if (o[0] == NULL)
		return refuse_set(e, EINVAL,
				  "from= is missing: attach COMPONENT PATH "
				  "from=FILE");
	s->from = grammar_value(o[0]);
	return grammar_judge(o[0], value_file_fault(s->from), e);
}

static int
take_gap(struct statement *s, struct err *e)
{
	const struct grammar_line *l = &s->line;
	const struct grammar_word *none[1];

	if (l->count > 2 &&
	    grammar_judge(&l->word[2], value_file_fault(l->word[2].s), e) < 0)
		return -1;
	return grammar_options(l, 3, NULL, 0, none, e);
}

static int
take_restore_target(struct statement *s, struct err *e)
{
	const struct grammar_word *w = &s->line.word[2];
	const struct grammar_word *none[1];

	s->target = statement_target_parse(w->s);
	if (s->target == 0)
		return grammar_refuse(w,
				      "a restore target is original, "
				      "alternate, directed or "
				      "original-location",
				      e);
	return grammar_options(&s->line, 3, NULL, 0, none, e);
}

/* The same number of ranges, pairs of one length, no byte written twice. */
static int
check_pairs(const struct ranges *from, const struct ranges *to, struct err *e)
{
	struct ranges set = { 0 };
	uint64_t total = 0;
	bool more = false; /* than 64 bits, which no set has */
	size_t i;
	int rc = 0;

	if (from->count == 0)
		return refuse_set(e, EINVAL, "no ranges: nothing is directed");
	if (from->count != to->count)
		return refuse_set(e, EINVAL,
				  "%zu ranges are directed to %zu: there must "
				  "be as many",
				  from->count, to->count);
	for (i = 0; i < from->count; i++)
		if (from->r[i].len != to->r[i].len)
			return refuse_set(e, EINVAL,
					  "range %zu has %" PRIu64
					  " bytes and goes to %" PRIu64,
					  i + 1, from->r[i].len, to->r[i].len);
	for (i = 0; rc == 0 && i < to->count; i++) {
		more |= __builtin_add_overflow(total, to->r[i].len, &total);
		rc = ranges_push(&set, to->r[i].off, to->r[i].len, e);
	}
	ranges_settle(&set);
	if (rc == 0 && (more || ranges_total(&set) != total))
		rc = refuse_set(e, EINVAL,
				"the ranges to write to overlap: what is in "
				"both would be written twice");
	ranges_clear(&set);
	return rc;
}

static int
take_directed_target(struct statement *s, struct err *e)
{
	const struct grammar_line *l = &s->line;
	const struct grammar_word *none[1];
	size_t at = 3;

	if (grammar_judge(&l->word[2], value_file_fault(l->word[2].s), e) < 0 ||
	    take_ranges_text(l, &at, ranges_parse_list, &s->ranges, e) < 0)
		return -1;
	if (l->count < at + 2)
		return refuse_set(e, EINVAL, "words are missing: %s",
				  form_of(s->kind)->form);
	s->to = l->word[at].s;
	if (grammar_judge(&l->word[at], value_file_fault(s->to), e) < 0)
		return -1;
	at++;
	if (take_ranges_text(l, &at, ranges_parse_list, &s->to_ranges, e) < 0 ||
	    grammar_options(l, at, NULL, 0, none, e) < 0)
		return -1;
	return check_pairs(&s->ranges, &s->to_ranges, e);
}

static int
take_rest(struct statement *s, struct err *e)
{
	const struct grammar_line *l = &s->line;
	const struct form *form = form_of(s->kind);
	const struct grammar_word *none[1];

	if (l->count < form->words)
		return refuse_set(e, EINVAL, "words are missing: %s",
				  form->form);
	if (s->kind < STATEMENT_BEGIN &&
	    grammar_judge(&l->word[1], value_component_fault(l->word[1].s), e) <
		    0)
		return -1;
	if (s->kind == STATEMENT_PARTIAL_FILE || s->kind == STATEMENT_ATTACH)
		if (grammar_judge(&l->word[2], value_file_fault(l->word[2].s),
				  e) < 0)
			return -1;
	switch (s->kind) {
	case STATEMENT_PARTIAL_FILE:
		return take_partial_file(s, e);
	case STATEMENT_DIFFERENCED_FILE:
		return take_differenced_file(s, e);
	case STATEMENT_BACKUP_STAMP:
	case STATEMENT_BACKUP_METADATA:
	case STATEMENT_RESTORE_METADATA:
		return take_text(s, e);
	case STATEMENT_RESTORE_TARGET:
		return take_restore_target(s, e);
	case STATEMENT_DIRECTED_TARGET:
		return take_directed_target(s, e);
	case STATEMENT_ATTACH:
		return take_attach(s, e);
	case STATEMENT_GAP:
		return take_gap(s, e);
	default:
		return grammar_options(l, 1, NULL, 0, none, e);
	}
}

/* What is shown must be a line again. */
static int
check_normal_form(const struct statement *s, struct err *e)
{
	struct buf text = { 0 };
	int rc;

	statement_print(s, &text);
	rc = buf_ok(&text, e);
	if (rc == 0 && text.len > GRAMMAR_LINE_MAX)
		rc = refuse_set(e, EMSGSIZE,
				"the line has more than %d bytes when bytes "
				"outside ASCII are written as \\xHH",
				GRAMMAR_LINE_MAX);
	buf_clear(&text);
	return rc;
}

int
statement_parse(struct statement *s, const void *line, size_t len,
		struct err *e)
{
	int rc;

	statement_clear(s);
	rc = grammar_split(&s->line, line, len, e);
	identify(s);
	if (rc < 0)
		return -1;
	if (s->line.count == 0)
		return 0;
	if (s->kind == STATEMENT_NONE)
		return grammar_refuse(&s->line.word[0], "no such statement", e);
	if (take_rest(s, e) < 0)
		return -1;
	return len > SURELY_SHORT ? check_normal_form(s, e) : 0;
}

int
statement_stamp(const void *p, size_t *len, struct err *e)
{
	const char *s = p;

	if (*len > STATEMENT_STAMP_MAX)
		return refuse_set(e, EMSGSIZE, "a stamp of more than %d bytes",
				  STATEMENT_STAMP_MAX);
	if (*len > 0 && memchr(s, '\0', *len) != NULL)
		return refuse_set(e, EINVAL, "a NUL byte in a stamp");
	if (*len > 0 && s[*len - 1] == '\n')
		--*len;
	return 0;
}

/* --- writing ---------------------------------------------------------------- */

static void
print_since(const struct statement *s, struct buf *out)
{
	if (s->since == SINCE_STAMP) {
		buf_add_str(out, " since=");
		grammar_quote_always(out, s->since_stamp,
				     strlen(s->since_stamp));
	} else if (s->since == SINCE_GENERATION) {
		buf_add_str(out, " since=@");
		hex_add(out, s->since_id, STATEMENT_ID_LEN);
	}
}

static void
print_partial_file(const struct statement *s, struct buf *out)
{
	if (s->ranges_path != NULL) {
		grammar_put_option(out, "file", s->ranges_path);
	} else {
		buf_add_char(out, ' ');
		ranges_print(&s->ranges, out);
	}
	print_since(s, out);
	if (s->has_size)
		buf_printf(out, " size=%" PRIu64, s->size);
	if (s->text != NULL)
		grammar_put_option(out, "metadata", s->text);
}

static void
print_differenced_file(const struct statement *s, struct buf *out)
{
	grammar_put(out, s->pattern);
	if (s->recursive)
		buf_add_str(out, " recursive");
	if (s->has_newer) {
		buf_add_str(out, " newer=");
		value_print_time(s->newer, out);
	}
}

static void
print_directed_target(const struct statement *s, struct buf *out)
{
	buf_add_char(out, ' ');
	ranges_print(&s->ranges, out);
	grammar_put(out, s->to);
	buf_add_char(out, ' ');
	ranges_print(&s->to_ranges, out);
}

void
statement_print(const struct statement *s, struct buf *out)
{
	const struct form *form;

	if (s->kind == STATEMENT_NONE)
		return;
	form = form_of(s->kind);
	buf_add(out, form->form, name_len(form));
	if (s->component != NULL)
		grammar_put(out, s->component);
	if (s->path != NULL)
		grammar_put(out, s->path);
	if (s->kind == STATEMENT_PARTIAL_FILE)
		print_partial_file(s, out);
	else if (s->kind == STATEMENT_DIFFERENCED_FILE)
		print_differenced_file(s, out);
	else if (s->kind == STATEMENT_DIRECTED_TARGET)
		print_directed_target(s, out);
	else if (s->kind == STATEMENT_RESTORE_TARGET)
		grammar_put(out, statement_target_name(s->target));
	else if (s->text != NULL)
		grammar_put(out, s->text);
	if (s->from != NULL)
		grammar_put_option(out, "from", s->from);
}
