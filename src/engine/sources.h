/*
 * sources - what a run backs up: the paths as typed, made absolute, and the
 * small tree of directories that leads to them.
 *
 * Links on the way to a source are followed, as any program would; a source
 * that is a symlink itself is followed once, and both are recorded.  A
 * source inside another adds nothing and is dropped.  The directories above
 * the sources are stored with their metadata only, so the skeleton has, for
 * each of them, just the names that lead on.
 */
#ifndef ASOF_ENGINE_SOURCES_H
#define ASOF_ENGINE_SOURCES_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define SOURCES_MAX 4096

/* A name on the way to a source; the top has an empty name. */
struct skeleton {
	char *name;
	bool source; /* all that is beneath is backed up */
	bool extra;  /* what is claimed beneath is backed up */
	bool must;   /* a source, or on the way to one */
	struct skeleton **child; /* sorted by name; none beneath a source */
	size_t children;
};

struct sources {
	size_t count;
	char **typed, **resolved;
	struct skeleton *top;
};

/* ERR_USAGE when there is none, or one does not exist or is no sensible path. */
int sources_resolve(const char *const *typed, size_t count,
		    struct sources *out, struct err *e);

/*
 * Lead to a directory of which only claimed names are wanted; one beneath a
 * source adds nothing.  Absolute and normal; it need not exist.
 */
int sources_add_extra(struct sources *s, const char *path, struct err *e);
void sources_clear(struct sources *s);

#endif
