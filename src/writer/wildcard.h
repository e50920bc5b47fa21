/*
 * wildcard - the patterns of file sets, about one name at a time.
 *
 * doc/control.md, section 3.  `?` is any one byte, `*` any bytes or none, `\`
 * makes a byte of the `?`, `*` or `\` behind it; a dot in front is like other
 * bytes.  No classes, no slash.  (The person's excludes are another language:
 * src/engine/exclude.h.)
 */
#ifndef ASOF_WRITER_WILDCARD_H
#define ASOF_WRITER_WILDCARD_H

#include <stdbool.h>
#include <stddef.h>

#define WILDCARD_MAX 255 /* bytes of a pattern */

/* What is wrong with a pattern, as a sentence; NULL when nothing is. */
const char *wildcard_fault(const char *pattern);

/* Does a good pattern match all of the name?  Time: the product of lengths. */
bool wildcard_match(const char *pattern, const char *name);

/* Does a good pattern name one name only: is it without `?` and `*`? */
bool wildcard_literal(const char *pattern);

/* Is there a name that both good patterns match? */
bool wildcard_overlap(const char *a, const char *b);

#endif
