/*
 * resolve - opening the paths that writers name.
 *
 * doc/control.md, section 2.  A path is opened beneath a directory that the
 * writer was granted (root's own writers: beneath /), with no symlink in it,
 * with the rights of the writer's owner.  It is asked for again at each use:
 * that a path was good says nothing about what it leads to later.
 *
 * A resolver is a copy of what is needed, so that desk->lock can be released
 * while files are touched.
 */
#ifndef ASOF_WRITER_RESOLVE_H
#define ASOF_WRITER_RESOLVE_H

#include "base/cred.h"
#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct facts;
struct ranges;
struct registration;

struct resolver {
	struct cred cred;
	bool known; /* cred is looked up */
	char **grant;
	size_t grants;
};

/*
 * Whose paths these are.  `free_hand`: without grants it may name whatever the
 * owner can open.  On failure there is nothing to clear.
 */
int resolver_set(struct resolver *r, const struct registration *who,
		 bool free_hand, struct err *e);
void resolver_clear(struct resolver *r);

/* The grant that the path lies beneath, or NULL. */
const char *resolve_grant(const struct resolver *r, const char *path);

/*
 * Open for reading (flags as src_open_beneath).  -1 is a refusal: ELOOP a
 * symlink is in the path, EPERM it leads elsewhere, or is not granted, or not
 * for the owner.  1: there is no such file.
 */
int resolve_open(struct resolver *r, const char *path, int flags, int *fd,
		 struct err *e);

/*
 * What the file is now.  Where there is none, that is not known.  Anything but
 * a regular file is refused.  *ripe is moved on to where its ctime will be a
 * clock tick old, so that later changes will show.  *dev: its device (major,
 * minor), for comparing; 0 when not known.
 */
int resolve_facts(struct resolver *r, const char *path, struct facts *out,
		  struct ts *ripe, uint64_t *dev, struct err *e);
/* Wait until then. */
void resolve_wait(struct ts ripe);

/*
 * Copy a ranges file of at most `room` ranges.  No sentence quotes what is in
 * it.
 */
int resolve_ranges(struct resolver *r, const char *path, uint64_t room,
		   struct ranges *out, struct err *e);

/*
 * Open a regular file for reading, which it was all the time.  1: there is no
 * such file.
 */
int resolve_regular(struct resolver *r, const char *path, int *fd,
		    struct err *e);

/* Could it be read?  A regular file must be there. */
int resolve_readable(struct resolver *r, const char *path, struct err *e);

/* A directory need not be there; what is there must be one. */
int resolve_dir(struct resolver *r, const char *path, struct err *e);

#endif
