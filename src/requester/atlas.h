/*
 * atlas - a table of directories in which something is claimed.
 *
 * All that is claimed lies in some directory: that of a file set, of an exclude,
 * of a differenced entry, or of a file with declared ranges.  These are places.
 * They are added, then sorted, once; then many threads may ask.
 */
#ifndef ASOF_REQUESTER_ATLAS_H
#define ASOF_REQUESTER_ATLAS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct err;
struct metadata_files;
struct reduce_differenced;

enum place_kind {
	PLACE_SET,         /* a file set */
	PLACE_FOREIGN,     /* one of a component that claims nothing */
	PLACE_EXCLUDE,     /* a writer's exclude */
	PLACE_DIFFERENCED, /* a differenced entry */
	PLACE_DECLARED,    /* the directory of a file with declared ranges */
};

/* What is known of a file set, however often the table is made anew. */
struct place_set {
	atomic_bool met; /* a file of it is there */
	bool shared;     /* it meets one of another component: never carried */
};

struct place {
	const char *dir;  /* without a slash at its end, but for "/" */
	size_t len;       /* of dir; 0 for "/" */
	size_t component; /* FOREIGN: SIZE_MAX */
	enum place_kind kind;
	bool recursive;
	bool carried;                     /* SET: not required by this type */
	const char *pattern;              /* not of DECLARED */
	const struct metadata_files *set; /* SET, FOREIGN */
	const struct reduce_differenced *differenced;
	char *own_dir; /* its memory, DECLARED */
	struct place_set *state; /* SET */
};

/* All-zero is an empty one. */
struct atlas {
	struct place *place;
	size_t count, cap;
};

/* "/" has none, so that every directory and a slash begin its names. */
size_t atlas_len(const char *dir);

/* A new place, to be filled in until the next is added; NULL and *e. */
struct place *atlas_add(struct atlas *a, size_t component, enum place_kind kind,
			const char *dir, struct err *e);
void atlas_sort(struct atlas *a);
void atlas_clear(struct atlas *a); /* empty again */
void atlas_free(struct atlas *a);

/*
 * Call fn for the places at the directory and the recursive ones above it, the
 * nearest first; or for those beneath it.  fn: true is enough, which is then
 * the result.
 */
typedef bool (*place_fn)(void *ctx, struct place *p);
bool atlas_above(const struct atlas *a, const char *dir, size_t len,
		 place_fn fn, void *ctx);
bool atlas_beneath(const struct atlas *a, const char *dir, size_t len,
		   place_fn fn, void *ctx);
/* For those at it and beneath it. */
bool atlas_from(const struct atlas *a, const char *dir, size_t len,
		place_fn fn, void *ctx);

#endif
