/*
 * exclude - what the person does not want backed up: gitignore patterns.
 *
 * Patterns as in gitignore(5): `*` and `?` stop at a slash, `**` does not,
 * `[...]` classes, a leading `!` takes back, a trailing `/` means directories
 * only, a slash elsewhere anchors, `\` quotes.  Anchored patterns start at
 * the top of a source (each source is the top of its own tree) or, when they
 * begin with one of the sources' absolute paths, at "/".  The last match
 * decides; beneath an excluded directory nothing is taken back.  Matching
 * takes time linear in pattern and name for all practical patterns and never
 * exponential.
 *
 * Compiled once, then read-only: any thread.
 */
#ifndef ASOF_ENGINE_EXCLUDE_H
#define ASOF_ENGINE_EXCLUDE_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct exclude;

int exclude_new(struct exclude **out, struct err *e);
void exclude_free(struct exclude *x);

/* One pattern; a bad one is ERR_USAGE. */
int exclude_add(struct exclude *x, const char *pattern, struct err *e);

/* A file of patterns, one a line; blank lines and # comments are skipped. */
int exclude_add_file(struct exclude *x, const char *path, struct err *e);

/*
 * Say what the sources are (absolute, normal), before or after the patterns:
 * an anchored pattern that begins with one of them then starts at "/" in
 * all sources.  A source not said counts as long as it is the one at hand.
 */
int exclude_add_source(struct exclude *x, const char *path, struct err *e);

/*
 * Is this excluded?  `path` is absolute and normal, `source_len` of its
 * bytes are the source (its top) that the walk came from.  Names are bytes.
 * The walk comes from above: it asks for a name only when no directory
 * above it was excluded.  A source itself is never excluded.
 */
bool exclude_match(const struct exclude *x, const char *path, size_t source_len,
		   bool is_dir);

bool exclude_empty(const struct exclude *x);

/* All patterns as given, for the record. */
size_t exclude_count(const struct exclude *x);
const char *exclude_pattern(const struct exclude *x, size_t i);

#endif
