/*
 * Matching takes each piece between two stars where it is found first: what an
 * earlier star could take more of, the later one can take as well.
 *
 * Whether two patterns have a name in common is asked of all pairs of places
 * in them, row by row: a pair is reached when some beginning of a name brings
 * one pattern to the first place and the other to the second.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/wildcard.h"

#include <string.h>

/* A pattern's places, with quoting resolved. */
struct places {
	size_t count;
	short place[WILDCARD_MAX]; /* a byte's value, or one of these: */
};

#define ANY  256
#define STAR 257

const char *
wildcard_fault(const char *pattern)
{
	const char *s;

	if (pattern[0] == '\0')
		return "an empty pattern";
	if (strlen(pattern) > WILDCARD_MAX)
		return "a pattern of more than 255 bytes";
	if (strcmp(pattern, ".") == 0 || strcmp(pattern, "..") == 0)
		return "a pattern that is . or ..";
	for (s = pattern; *s != '\0'; s++) {
		if (*s == '/')
			return "a slash in a pattern";
		if (*s != '\\')
			continue;
		s++;
		if (*s != '?' && *s != '*' && *s != '\\')
			return "a backslash in a pattern that is not before "
			       "?, * or another backslash";
	}
	return NULL;
}

static void
resolve(const char *pattern, struct places *p)
{
	p->count = 0;
	for (; *pattern != '\0' && p->count < WILDCARD_MAX; pattern++) {
		short what = (unsigned char)*pattern;

		if (*pattern == '?')
			what = ANY;
		else if (*pattern == '*')
			what = STAR;
		else if (*pattern == '\\' && pattern[1] != '\0')
			what = (unsigned char)*++pattern;
		p->place[p->count++] = what;
	}
}

/* Are these bytes what so many places want? */
static bool
fits(const short *place, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (place[i] != ANY && place[i] != (unsigned char)s[i])
			return false;
	return true;
}

/* The next star from place i on. */
static size_t
next_star(const struct places *p, size_t i)
{
	while (i < p->count && p->place[i] != STAR)
		i++;
	return i;
}

/*
 * What stands in front of the first star and behind the last has one place in the
 * name, so that what has one star is soon seen; each piece between two stars is
 * found as early as can be.
 */
bool
wildcard_match(const char *pattern, const char *name)
{
	struct places p;
	size_t n = strlen(name);
	size_t first, last, tail, i, end;

	resolve(pattern, &p);
	first = next_star(&p, 0);
	if (first == p.count)
		return n == p.count && fits(p.place, name, n);
	last = p.count - 1;
	while (p.place[last] != STAR)
		last--;
	tail = p.count - 1 - last;
	if (n < first + tail || !fits(p.place, name, first) ||
	    !fits(&p.place[last + 1], name + n - tail, tail))
		return false;
	name += first;
	n -= first + tail;
	for (i = first + 1; i <= last; i = end + 1) {
		end = next_star(&p, i);
		for (; n >= end - i && !fits(&p.place[i], name, end - i); n--)
			name++;
		if (n < end - i)
			return false;
		name += end - i;
		n -= end - i;
	}
	return true;
}

bool
wildcard_literal(const char *pattern)
{
	struct places p;
	size_t i;

	resolve(pattern, &p);
	for (i = 0; i < p.count; i++)
		if (p.place[i] == ANY || p.place[i] == STAR)
			return false;
	return true;
}

/* Can one byte be what both places want? */
static bool
meet(short a, short b)
{
	return a >= ANY || b >= ANY || a == b;
}

bool
wildcard_overlap(const char *a, const char *b)
{
	struct places p;
	struct places q;
	bool row[2][WILDCARD_MAX + 1]; /* this row of pairs, and the last */
	size_t i;
	size_t k;

	resolve(a, &p);
	resolve(b, &q);
	memset(row, 0, sizeof(row));
	for (i = 0; i <= p.count; i++) {
		bool *now = row[i % 2];
		const bool *last = row[1 - i % 2];

		for (k = 0; k <= q.count; k++) {
			bool a_star = i > 0 && p.place[i - 1] == STAR;
			bool b_star = k > 0 && q.place[k - 1] == STAR;

			now[k] = (i == 0 && k == 0) ||
				 /* A star takes nothing, or goes along. */
				 (i > 0 && last[k] && (a_star || b_star)) ||
				 (k > 0 && now[k - 1] && (a_star || b_star)) ||
				 (i > 0 && k > 0 && last[k - 1] &&
				  meet(p.place[i - 1], q.place[k - 1]));
		}
	}
	return row[p.count % 2][q.count];
}
