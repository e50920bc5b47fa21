/*
 * term - the words of a document that stand for something else: a table each.
 *
 * doc/control.md, section 6.  A table ends with a name that is NULL; where
 * order matters to anybody, it is that of the normal form.
 */
#ifndef ASOF_WRITER_TERM_H
#define ASOF_WRITER_TERM_H

#include <stddef.h>

struct term {
	const char *name;
	unsigned value; /* of the enum in metadata.h */
};

extern const struct term term_usages[];
extern const struct term term_sources[];
extern const struct term term_levels[];
extern const struct term term_schemas[];
extern const struct term term_methods[];
extern const struct term term_events[];
extern const struct term term_component_types[];
extern const struct term term_file_sets[];
extern const struct term term_backup_types[]; /* copy, which has no bit, too */
extern const struct term term_answers[];      /* yes: 1, no: 0 */
extern const struct term term_recoveries[];

#define TERM_COMPONENT_FLAGS 6
extern const struct term term_component_flags[TERM_COMPONENT_FLAGS + 1];

/* The term of this name, len bytes; NULL: there is none. */
const struct term *term_find(const struct term *t, const char *name,
			     size_t len);

/* The name of a value; NULL: it has none. */
const char *term_name(const struct term *t, unsigned value);

#endif
