/*
 * One pass over the words.  A long option is looked up whole, a cluster of
 * letters from left to right; take_value() is the one place where values are
 * checked, whichever way they were written.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/opt.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>

#define NUMBER_MAX   INT32_MAX
#define DISTANCE_MAX 32 /* longest word that opt_distance looks at */

/* The words still to come. */
struct words {
	const struct opt *const *tables;
	const char *const *argv;
	int argc, at;
};

/* --- tables --------------------------------------------------------------- */

static const struct opt *
find_long(const struct opt *const *tables, const char *name, size_t len)
{
	const struct opt *o;

	for (; *tables != NULL; tables++)
		for (o = *tables; o->name != NULL; o++)
			if (strlen(o->name) == len &&
			    memcmp(o->name, name, len) == 0)
				return o;
	return NULL;
}

static const struct opt *
find_letter(const struct opt *const *tables, char letter)
{
	const struct opt *o;

	for (; *tables != NULL; tables++)
		for (o = *tables; o->name != NULL; o++)
			if (o->letter != '\0' && o->letter == letter)
				return o;
	return NULL;
}

/* The option that somebody who wrote `name` may have meant, or NULL. */
static const struct opt *
find_near(const struct opt *const *tables, const char *name)
{
	const struct opt *best = NULL;
	const struct opt *o;
	unsigned least = OPT_SLIP_MAX + 1;
	unsigned d;

	for (; *tables != NULL; tables++)
		for (o = *tables; o->name != NULL; o++) {
			d = opt_distance(o->name, name);
			if (d < least && 2 * d < strlen(o->name)) {
				least = d;
				best = o;
			}
		}
	return best;
}

unsigned
opt_distance(const char *a, const char *b)
{
	unsigned row[DISTANCE_MAX + 1];
	size_t alen = strlen(a);
	size_t blen = strlen(b);
	size_t i;
	size_t j;
	unsigned corner;
	unsigned best;

	if (alen > DISTANCE_MAX || blen > DISTANCE_MAX)
		return DISTANCE_MAX;
	for (j = 0; j <= blen; j++)
		row[j] = (unsigned)j;
	for (i = 1; i <= alen; i++) {
		corner = row[0];
		row[0] = (unsigned)i;
		for (j = 1; j <= blen; j++) {
			best = corner + (a[i - 1] != b[j - 1]);
			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[blen];
}

/* --- values --------------------------------------------------------------- */

bool
opt_number_parse(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return false;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return false;
	}
	if (n > max)
		return false;
	*out = n;
	return true;
}

bool
opt_size_parse(const char *s, uint64_t *out)
{
	static const char units[] = "KMGT";
	char digits[24];
	size_t len = strspn(s, "0123456789");
	const char *unit;
	uint64_t n;
	unsigned shift = 0;

	if (len == 0 || len >= sizeof(digits))
		return false;
	memcpy(digits, s, len);
	digits[len] = '\0';
	if (!opt_number_parse(digits, UINT64_MAX, &n))
		return false;
	s += len;
	if (*s != '\0') {
		unit = strchr(units, *s == 'k' ? 'K' : *s);
		if (unit == NULL)
			return false;
		if (s[1] != '\0' && strcmp(s + 1, "iB") != 0)
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (n > UINT64_MAX >> shift)
		return false;
	*out = n << shift;
	return true;
}

/* "a, b or c" into `out`, cut where it is full. */
static const char *
list_words(char *out, size_t cap, const char *const *words)
{
	size_t at = 0;
	size_t len;
	size_t i;
	const char *between;

	out[0] = '\0';
	for (i = 0; words[i] != NULL; i++) {
		between = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
		len = strlen(between) + strlen(words[i]);
		if (at + len >= cap)
			break;
		memcpy(out + at, between, strlen(between));
		memcpy(out + at + strlen(between), words[i],
		       strlen(words[i]) + 1);
		at += len;
	}
	return out;
}

static int
check_word(struct opt_value *v, const char *shown, struct err *e)
{
	char list[120];
	size_t i;

	for (i = 0; v->opt->words[i] != NULL; i++)
		if (strcmp(v->opt->words[i], v->text) == 0) {
			v->number = i;
			return 0;
		}
	return err_set(e, ERR_USAGE, "--%s is %s, not %s", v->opt->name,
		       list_words(list, sizeof(list), v->opt->words), shown);
}

static int
check_number(struct opt_value *v, const char *shown, struct err *e)
{
	uint64_t max = v->opt->max != 0 ? v->opt->max : NUMBER_MAX;

	if (opt_number_parse(v->text, max, &v->number))
		return 0;
	return err_set(e, ERR_USAGE, "--%s is a number from 0 to %llu, not %s",
		       v->opt->name, (unsigned long long)max, shown);
}

static int
check_value(struct opt_value *v, struct err *e)
{
	char shown[PATH_SHOW_LEN];

	if (v->opt->kind == OPT_FLAG)
		return 0;
	if (v->text[0] == '\0')
		return err_set(e, ERR_USAGE, "--%s needs a value, not nothing",
			       v->opt->name);
	(void)path_show_in(shown, v->text, strlen(v->text));
	switch (v->opt->kind) {
	case OPT_WORD:
		return check_word(v, shown, e);
	case OPT_NUMBER:
		return check_number(v, shown, e);
	case OPT_SIZE:
		if (opt_size_parse(v->text, &v->number))
			return 0;
		return err_set(e, ERR_USAGE,
			       "--%s is a size such as 64M, not %s",
			       v->opt->name, shown);
	case OPT_FLAG:
	case OPT_TEXT:
	case OPT_FILE:
	case OPT_DIR:
		break;
	}
	return 0;
}

static int
add_value(struct opts *o, const struct opt *opt, const char *text,
	  struct err *e)
{
	struct opt_value v = { opt, text, 0 };
	struct opt_value *more;
	size_t cap;

	if (check_value(&v, e) < 0)
		return -1;
	if (o->values == o->value_cap) {
		cap = o->value_cap != 0 ? 2 * o->value_cap : 16;
		more = mem_resize(o->value, cap, sizeof(*more));
		if (more == NULL)
			return err_nomem(e);
		o->value = more;
		o->value_cap = cap;
	}
	o->value[o->values++] = v;
	return 0;
}

static int
add_operand(struct opts *o, const char *arg, struct err *e)
{
	const char **more;
	size_t cap;

	if (o->args == o->arg_cap) {
		cap = o->arg_cap != 0 ? 2 * o->arg_cap : 16;
		more = mem_resize(o->arg, cap, sizeof(*more));
		if (more == NULL)
			return err_nomem(e);
		o->arg = more;
		o->arg_cap = cap;
	}
	o->arg[o->args++] = arg;
	return 0;
}

/* --- words ---------------------------------------------------------------- */

/* Add an option whose value, if it has one, is the next word. */
static int
take_next(struct words *w, const struct opt *opt, struct opts *out,
	  struct err *e)
{
	if (opt->kind == OPT_FLAG)
		return add_value(out, opt, NULL, e);
	if (w->at == w->argc)
		return err_set(e, ERR_USAGE, "--%s needs a value: --%s %s",
			       opt->name, opt->name, opt->value);
	return add_value(out, opt, w->argv[w->at++], e);
}

static int
take_long(struct words *w, const char *word, struct opts *out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *end = strchr(word, '=');
	size_t len = end != NULL ? (size_t)(end - word) : strlen(word);
	const struct opt *opt = find_long(w->tables, word, len);

	if (opt == NULL) {
		(void)path_show_in(shown, word, len);
		opt = find_near(w->tables, shown);
		if (opt == NULL)
			return err_set(e, ERR_USAGE, "unknown option --%s",
				       shown);
		return err_set(e, ERR_USAGE,
			       "unknown option --%s; did you mean --%s?", shown,
			       opt->name);
	}
	if (end == NULL)
		return take_next(w, opt, out, e);
	if (opt->kind == OPT_FLAG)
		return err_set(e, ERR_USAGE, "--%s takes no value", opt->name);
	return add_value(out, opt, end + 1, e);
}

static int
take_letters(struct words *w, const char *word, struct opts *out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const struct opt *opt;

	for (; *word != '\0'; word++) {
		opt = find_letter(w->tables, *word);
		if (opt == NULL)
			return err_set(e, ERR_USAGE, "unknown option -%s",
				       path_show_in(shown, word, 1));
		if (opt->kind != OPT_FLAG && word[1] != '\0')
			return add_value(out, opt, word + 1, e);
		if (take_next(w, opt, out, e) < 0)
			return -1;
	}
	return 0;
}

static int
take_rest(struct words *w, struct opts *out, struct err *e)
{
	while (w->at < w->argc)
		if (add_operand(out, w->argv[w->at++], e) < 0)
			return -1;
	return 0;
}

int
opt_parse(const struct opt *const *tables, int argc, const char *const *argv,
	  bool first_only, struct opts *out, struct err *e)
{
	struct words w = { tables, argv, argc, 0 };
	const char *word;
	int rc = 0;

	while (rc == 0 && w.at < argc) {
		word = argv[w.at];
		if (word[0] != '-' || word[1] == '\0') {
			if (first_only)
				return take_rest(&w, out, e);
			w.at++;
			rc = add_operand(out, word, e);
			continue;
		}
		w.at++;
		if (strcmp(word, "--") == 0)
			return take_rest(&w, out, e);
		if (word[1] == '-')
			rc = take_long(&w, word + 2, out, e);
		else
			rc = take_letters(&w, word + 1, out, e);
	}
	return rc;
}

void
opt_clear(struct opts *o)
{
	mem_free(o->value);
	mem_free(o->arg);
	*o = (struct opts){ 0 };
}

/* --- asking --------------------------------------------------------------- */

static const struct opt_value *
find_value(const struct opts *o, const char *name)
{
	size_t i;

	for (i = o->values; i > 0; i--)
		if (strcmp(o->value[i - 1].opt->name, name) == 0)
			return &o->value[i - 1];
	return NULL;
}

bool
opt_given(const struct opts *o, const char *name)
{
	return find_value(o, name) != NULL;
}

const char *
opt_text(const struct opts *o, const char *name)
{
	const struct opt_value *v = find_value(o, name);

	return v != NULL ? v->text : NULL;
}

uint64_t
opt_number(const struct opts *o, const char *name, uint64_t fallback)
{
	const struct opt_value *v = find_value(o, name);

	return v != NULL ? v->number : fallback;
}
