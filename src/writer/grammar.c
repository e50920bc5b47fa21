/*
 * One pass over the line.  What words hold is never longer than what they are
 * written as, so the bytes of all words, each with a NUL, fit into the length
 * of the line and one more; they are allocated once and words point to them.
 *
 * The words before the place at fault are kept, because a refused line leaves a
 * gap, and the gap is narrow when it is known what the line was about.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/grammar.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/writer/refuse.h"

#include <errno.h>
#include <string.h>

/* A line while it is taken apart. */
struct scan {
	const uint8_t *from, *p, *end;
	char *out; /* where the next byte of a word goes */
};

void
grammar_clear(struct grammar_line *l)
{
	mem_free(l->word);
	mem_free(l->bytes);
	memset(l, 0, sizeof(*l));
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool
is_control(uint8_t c)
{
	return c < 0x20 || c == 0x7f;
}

static size_t
column(const struct scan *s, const uint8_t *p)
{
	return (size_t)(p - s->from) + 1;
}

static int
refuse_at(const struct scan *s, const uint8_t *p, const char *sentence,
	  struct err *e)
{
	return refuse_set(e, EINVAL, "column %zu: %s", column(s, p), sentence);
}

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The escape at s->p, which stands on its backslash. */
static int
take_escape(struct scan *s, struct err *e)
{
	static const char letter[] = "nt\"\\";
	static const char meant[] = "\n\t\"\\";
	const uint8_t *at = s->p;
	const char *known;
	int high;
	int low;

	if (s->end - at < 2)
		return refuse_at(s, at, "a backslash at the end", e);
	if (at[1] == 'x') {
		high = s->end - at >= 4 ? hex_digit(at[2]) : -1;
		low = s->end - at >= 4 ? hex_digit(at[3]) : -1;
		if (high < 0 || low < 0)
			return refuse_at(s, at, "\\x wants two hex digits", e);
		if (high == 0 && low == 0)
			return refuse_at(s, at, "a NUL byte", e);
		*s->out++ = (char)(high << 4 | low);
		s->p += 4;
		return 0;
	}
	known = at[1] != '\0' ? strchr(letter, at[1]) : NULL;
	if (known == NULL)
		return refuse_at(s, at,
				 "an escape that is none of "
				 "\\n \\t \\\" \\\\ \\xHH",
				 e);
	*s->out++ = meant[known - letter];
	s->p += 2;
	return 0;
}

/* From a quote to the quote that closes it. */
static int
take_quoted(struct scan *s, struct err *e)
{
	const uint8_t *open = s->p++;

	while (s->p < s->end && *s->p != '"') {
		if (*s->p == '\0')
			return refuse_at(s, s->p, "a NUL byte", e);
		if (*s->p == '\n')
			return refuse_at(s, s->p, "a newline inside a line", e);
		if (*s->p != '\\')
			*s->out++ = (char)*s->p++;
		else if (take_escape(s, e) < 0)
			return -1;
	}
	if (s->p == s->end)
		return refuse_at(s, open, "a quote that is not closed", e);
	s->p++;
	if (s->p < s->end && !is_blank(*s->p))
		return refuse_at(s, s->p, "no blank behind a quoted word", e);
	return 0;
}

/* How much of the bare bytes at p[0..len) is a key, if an `=` came next. */
static size_t
key_length(const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		bool letter = (p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'z';
		bool later = (p[i] >= '0' && p[i] <= '9') || p[i] == '-';

		if (!letter && (i == 0 || !later))
			return 0;
	}
	return len;
}

static int
take_bare(struct scan *s, struct grammar_word *w, struct err *e)
{
	const uint8_t *from = s->p;
	bool equals = false;

	while (s->p < s->end && !is_blank(*s->p)) {
		if (*s->p == '\0')
			return refuse_at(s, s->p, "a NUL byte", e);
		if (is_control(*s->p))
			return refuse_at(s, s->p,
					 "a control byte outside quotes", e);
		if (*s->p == '"') {
			if (s->p == from || s->p[-1] != '=')
				return refuse_at(
					s, s->p,
					"a quote in the middle of a word", e);
			w->quoted = s->p == from + w->key + 1;
			return take_quoted(s, e);
		}
		if (*s->p == '=' && !equals) {
			equals = true;
			w->key = key_length(from, (size_t)(s->p - from));
		}
		*s->out++ = (char)*s->p++;
	}
	return 0;
}

static int
take_word(struct scan *s, struct grammar_word *w, struct err *e)
{
	char *from = s->out;

	memset(w, 0, sizeof(*w));
	w->column = column(s, s->p);
	if (*s->p == '"') {
		w->quoted = true;
		if (take_quoted(s, e) < 0)
			return -1;
	} else if (take_bare(s, w, e) < 0) {
		return -1;
	}
	w->s = from;
	w->len = (size_t)(s->out - from);
	*s->out++ = '\0';
	return 0;
}

static int
keep_word(struct grammar_line *l, const struct grammar_word *w, struct err *e)
{
	size_t cap = l->cap < 8 ? 8 : l->cap * 2;
	struct grammar_word *more;

	if (l->count == GRAMMAR_WORDS_MAX)
		return refuse_set(e, EINVAL, "column %zu: more than %d words",
				  w->column, GRAMMAR_WORDS_MAX);
	if (l->count == l->cap) {
		more = mem_resize(l->word, cap, sizeof(*more));
		if (more == NULL)
			return err_nomem(e);
		l->word = more;
		l->cap = cap;
	}
	l->word[l->count++] = *w;
	return 0;
}

static int
split(struct grammar_line *l, struct scan *s, bool cut, struct err *e)
{
	struct grammar_word w;

	for (;;) {
		while (s->p < s->end && is_blank(*s->p))
			s->p++;
		if (s->p == s->end || (l->count == 0 && *s->p == '#'))
			return 0;
		if (take_word(s, &w, e) < 0)
			return -1;
		/* What reaches the end of a line that was cut is cut, too. */
		if (cut && s->p == s->end)
			return 0;
		if (keep_word(l, &w, e) < 0)
			return -1;
	}
}

int
grammar_split(struct grammar_line *l, const void *text, size_t len,
	      struct err *e)
{
	struct scan s = { text, text, text, NULL };
	bool cut;

	grammar_clear(l);
	if (len > 0 && s.from[len - 1] == '\r')
		len--;
	cut = len > GRAMMAR_LINE_MAX;
	if (cut) {
		(void)refuse_set(e, EMSGSIZE,
				 "column %d: the line is longer than %d bytes",
				 GRAMMAR_LINE_MAX + 1, GRAMMAR_LINE_MAX);
		len = GRAMMAR_LINE_MAX;
	}
	l->bytes = mem_alloc(len + 1);
	if (l->bytes == NULL)
		return err_nomem(e);
	if (len > 0) /* then there is a text */
		s.end += len;
	s.out = l->bytes;
	if (split(l, &s, cut, e) < 0)
		return -1;
	return cut ? -1 : 0;
}

/* --- options ---------------------------------------------------------------- */

int
grammar_refuse(const struct grammar_word *w, const char *sentence,
	       struct err *e)
{
	char shown[PATH_SHOW_LEN];

	return refuse_set(e, EINVAL, "column %zu: %s: %s", w->column, sentence,
			  path_show_in(shown, w->s, w->len));
}

int
grammar_judge(const struct grammar_word *w, const char *fault, struct err *e)
{
	return fault == NULL ? 0 : grammar_refuse(w, fault, e);
}

static bool
is_key(const struct grammar_word *w, const struct grammar_key *key)
{
	size_t len = w->key > 0 ? w->key : w->len;

	return strlen(key->name) == len && memcmp(key->name, w->s, len) == 0;
}

static int
take_option(const struct grammar_word *w, const struct grammar_key *keys,
	    size_t n, const struct grammar_word **found, struct err *e)
{
	size_t i;

	if (w->key == 0 && w->quoted)
		return grammar_refuse(w, "a word too many", e);
	for (i = 0; i < n && !is_key(w, &keys[i]); i++)
		;
	if (i == n)
		return grammar_refuse(
			w, w->key > 0 ? "an unknown option" : "a word too many",
			e);
	if (found[i] != NULL)
		return grammar_refuse(w, "an option is there twice", e);
	if (keys[i].flag && w->key > 0)
		return grammar_refuse(w, "an option that has no value", e);
	if (!keys[i].flag && w->key == 0)
		return grammar_refuse(w, "an option without its value", e);
	found[i] = w;
	return 0;
}

int
grammar_options(const struct grammar_line *l, size_t first,
		const struct grammar_key *keys, size_t n,
		const struct grammar_word **found, struct err *e)
{
	size_t i;

	for (i = 0; i < n; i++)
		found[i] = NULL;
	for (i = first; i < l->count; i++) {
		if (i - first == GRAMMAR_OPTIONS_MAX)
			return grammar_refuse(&l->word[i], "too many options",
					      e);
		if (take_option(&l->word[i], keys, n, found, e) < 0)
			return -1;
	}
	return 0;
}

const char *
grammar_value(const struct grammar_word *w)
{
	return w->s + w->key + 1;
}

/* --- writing ---------------------------------------------------------------- */

void
grammar_quote_always(struct buf *out, const void *p, size_t len)
{
	const uint8_t *s = p;
	size_t i;

	buf_add_char(out, '"');
	for (i = 0; i < len; i++) {
		if (s[i] == '\n')
			buf_add_str(out, "\\n");
		else if (s[i] == '\t')
			buf_add_str(out, "\\t");
		else if (s[i] < 0x20 || s[i] > 0x7e)
			buf_printf(out, "\\x%02x", s[i]);
		else if (s[i] == '"' || s[i] == '\\')
			buf_printf(out, "\\%c", s[i]);
		else
			buf_add(out, &s[i], 1);
	}
	buf_add_char(out, '"');
}

void
grammar_quote(struct buf *out, const void *p, size_t len)
{
	const uint8_t *s = p;
	bool bare = len > 0 && s[0] != '#';
	size_t i;

	/* An `=` is quoted, so that nothing looks like an option but options. */
	for (i = 0; i < len && bare; i++)
		bare = s[i] > 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '=';
	if (bare)
		buf_add(out, p, len);
	else
		grammar_quote_always(out, p, len);
}

void
grammar_put(struct buf *out, const char *s)
{
	buf_add_char(out, ' ');
	grammar_quote(out, s, strlen(s));
}

void
grammar_put_option(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, " %s=", key);
	grammar_quote(out, value, strlen(value));
}
