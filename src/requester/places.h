/*
 * places - which files of a generation a restore for a writer is about, where
 * each of them goes, and whether there is room for it.
 *
 * doc/control.md, section 12.  Which files: by the file sets of the document
 * that is in the generation, without what the writer excludes, and by the
 * session's record for files that are in no file set.  Where: home, to a new
 * target, to an alternate location, or staged.  No path is followed through a
 * symbolic link, and for a writer that is not root's none leaves its grant.
 *
 * One thread.
 */
#ifndef ASOF_REQUESTER_PLACES_H
#define ASOF_REQUESTER_PLACES_H

#include "src/requester/method.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct entry;
struct err;
struct metadata;
struct metadata_files;
struct node;
struct view_gen;

/* A file set, and where its files go. */
struct place_set {
	const struct metadata_files *files;
	const char *to;        /* a new target, or NULL */
	const char *alternate; /* or NULL */
	bool wanted;           /* in this restore */
};

/* Files in no file set, that were declared: a file, or those that match. */
struct place_extra {
	const char *path;    /* of a file; with a pattern, of a directory */
	const char *pattern; /* or NULL */
	bool recursive;
};

struct places {
	struct view_gen *gen;
	const struct metadata *document;
	struct place_set *set; /* one for each of the document's */
	const struct place_extra *extra;
	size_t extras;
	char *const *grant; /* directories; none: anywhere */
	size_t grants;
	bool granted; /* the grants count; else all that we can open */
	/* Files that go elsewhere, or are not to be touched as wholes. */
	bool (*apart)(void *ctx, const char *path);
	void *ctx;
	char staging[64]; /* the name of a directory for staged files */
};

/*
 * Fill in the file sets: members of the components with wanted[i], with the
 * document's alternate locations.  places_clear frees what this made.
 */
int places_init(struct places *p, struct view_gen *gen,
		const struct metadata *document, const bool *wanted,
		struct err *e);
void places_clear(struct places *p);

/* Is this file (absolute, normal) one of the restore's?  *set NULL: an extra. */
bool places_wants(const struct places *p, const char *path,
		  const struct place_set **set);

/* Each such file (no directory) of the generation. */
typedef int (*places_fn)(void *ctx, const char *path, const struct entry *en,
			 const struct place_set *set, struct err *e);
int places_each(const struct places *p, places_fn fn, void *ctx,
		struct err *e);

/* Append where it goes.  False: it has no alternate location. */
bool places_goes(const struct places *p, const struct place_set *set,
		 const char *path, enum method_verdict v, struct buf *out);

/*
 * The same for a whole directory: what takes the place of the file set's, or,
 * for an extra, of the one that it is in.
 */
bool places_goes_dir(const struct places *p, const struct place_set *set,
		     const char *dir, enum method_verdict v, struct buf *out);

/* --- what is there ------------------------------------------------------------ */

struct place_state {
	bool there; /* something is */
	bool stuck; /* and cannot be replaced, or nothing can be made there */
	char why[200]; /* of stuck: a sentence without the path */
};

/*
 * Look.  ERR_USAGE for a path that the writer must not name; otherwise what is
 * wrong with it makes it stuck.  A file that somebody has open for writing, or
 * holds a lock on, is stuck.
 */
int places_look(const struct places *p, const char *path,
		struct place_state *out, struct err *e);

/*
 * Add all files of the restore to *f.  Strings in it are in *memory, which is
 * to be kept as it is.
 */
int places_facts(const struct places *p, struct method_facts *f,
		 struct buf *memory, struct err *e);

/*
 * A descriptor of a directory, with `make` made where it is missing (mode
 * 0755, for the owner); of the directory that holds a path.
 */
int places_open_dir(const struct places *p, const char *dir, bool make,
		    struct err *e);

/* The grant that a path lies beneath, "/" for root's writers; NULL: none. */
const char *places_anchor(const struct places *p, const char *path);

#endif
