/*
 * selection - which components are restored, and from which generations.
 *
 * doc/control.md, section 12.  A scene is one generation with what its session
 * left: record and documents.  From a scene and wishes come picks: components
 * with a record of their own, each with those members of its set that are
 * restored.  Dependencies bring in their other sides, both ways.
 */
#ifndef ASOF_REQUESTER_SELECTION_H
#define ASOF_REQUESTER_SELECTION_H

#include "src/requester/dossier.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct metadata;
struct view_gen;

struct scene {
	struct view_gen *gen; /* borrowed */
	struct dossier dossier;
	struct metadata **document; /* of each of its writers; NULL: none */
};

/*
 * Read it: ERR_USAGE when the generation was made without writers.  All-zero
 * is an empty one.
 */
int scene_open(struct scene *s, struct view_gen *gen, struct err *e);
void scene_clear(struct scene *s);

/* Where the writer is in the scene's record: its index, or SIZE_MAX. */
size_t scene_writer(const struct scene *s, const char *name);

/* A component that is to be restored, by names, so that it outlives scenes. */
struct pick {
	char *writer, *component;
	/*
	 * Members of its set, by name: only they are restored, with what is
	 * beneath them.  None: all of the set.
	 */
	char **member;
	size_t members;
	bool pulled; /* by a dependency */
	/* Where an earlier image went (enum method_verdict); 0: this is the first. */
	unsigned went;
	bool failed; /* an earlier image was not wholly restored */
};
struct picks {
	struct pick *v;
	size_t count, cap;
};
void picks_clear(struct picks *p);

/*
 * "W", all components of the writer that succeeded; "W:C", one of them, or a
 * member that may be restored by itself.  ERR_USAGE with a sentence when there
 * is no such writer or component, or it did not succeed.
 */
int picks_make(struct picks *p, const struct scene *s, const char *const *wish,
	       size_t wishes, struct err *e);

/* Find a pick in a scene: its component, or ERR_USAGE. */
int pick_find(const struct pick *k, const struct scene *s, size_t *writer,
	      const struct dossier_component **component, struct err *e);

/* wanted[i] for each component of the document: is it restored? */
void pick_wanted(const struct pick *k, const struct metadata *document,
		 bool *wanted);

#endif
