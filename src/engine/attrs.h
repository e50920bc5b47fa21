/*
 * attrs - owner, mode, extended attributes, times and flags of a thing that
 * is restored.
 *
 * The order is what keeps them: owner before mode (a new owner loses the
 * setuid bit), both and the content before extended attributes (writing and
 * chown drop capabilities), then times, and last the flags that forbid
 * changes.
 *
 * Any thread.
 */
#ifndef ASOF_ENGINE_ATTRS_H
#define ASOF_ENGINE_ATTRS_H

#include "src/engine/entry.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct attrs;
struct chunk_reader;
struct err;
struct record;

/*
 * Rules for a generation: users and groups go by the names of its record
 * unless `numeric`; `no_owner` leaves owners alone.  Borrows the record.
 */
int attrs_new(const struct record *rec, bool numeric, bool no_owner,
	      struct attrs **out, struct err *e);
void attrs_free(struct attrs *a);

/* The permission bits are not known. */
#define ATTRS_MODE_UNKNOWN ((mode_t)-1)

/* The thing that gets attributes. */
struct attrs_at {
	int fd;           /* open, */
	bool path_only;   /* with O_PATH, being no file or directory: then */
	int dirfd;        /* this is the directory it is in */
	const char *name; /* and its name there */
	mode_t mode;      /* permission bits it has now */
	bool ours;        /* it has the ids that our new files usually get */
	bool linked;      /* leave out ATTRS_LATE_FLAGS: more links will come */
};

/*
 * Permission bits to create it with: as many of the final ones as give
 * nobody more, while the owner is still ours, than he has in the end.
 */
mode_t attrs_first_mode(const struct attrs *a, const struct entry *en);

/*
 * Give it all that the entry says.  A failing step does not stop the
 * others; the first failure is returned, *damage says that it was the
 * repository's.  Without the right to set them, and where the file system
 * does not know them, inode flags are left out silently; so are, for
 * ordinary users, attributes of the trusted and security classes.  No room
 * for an attribute is E2BIG, never ENOSPC.
 */
int attrs_apply(const struct attrs *a, struct chunk_reader *r,
		const struct entry *en, const struct attrs_at *at, bool *damage,
		struct err *e);

/* Has a thing of this owner and group the ones that the entry gets? */
bool attrs_owned(const struct attrs *a, const struct entry *en, uid_t uid,
		 gid_t gid);

/*
 * What an existing file has and the entry does not say: extended attributes
 * that a restore sets are taken away, others are left.
 */
int attrs_drop_others(const struct attrs *a, const struct entry *en, int fd,
		      struct err *e);

/* Flags that must be set while a file is empty; never a failure. */
void attrs_apply_early(const struct attrs *a, const struct entry *en, int fd);

/* The entry's flags that forbid further links (immutable, append-only). */
uint32_t attrs_late_flags(const struct attrs *a, const struct entry *en);
int attrs_add_flags(const struct attrs *a, int fd, uint32_t flags,
		    struct err *e);

/*
 * Does the directory hand a default ACL on to what is created in it?  And
 * take away what a new thing was handed.
 */
bool attrs_hands_on(int dirfd);
int attrs_drop_inherited(int fd, bool dir, struct err *e);

#endif
