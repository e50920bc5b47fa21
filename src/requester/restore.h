/*
 * restore - giving data back to their writers: `asof restore --writer W[:C]`.
 *
 * doc/control.md, section 12.  By the documents and the dossier that are in the
 * generation, never by those of today: identify, selection, pre-restore, what
 * the writer asked for (targets, directed ranges), the restore method with its
 * all-or-nothing test per component set, the files, post-restore with the
 * outcome.
 */
#ifndef ASOF_REQUESTER_RESTORE_H
#define ASOF_REQUESTER_RESTORE_H

#include "src/engine/restore.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;
struct view_gen;

/* --new-target W:C:DIR=TO: the file sets of DIR go to TO. */
struct restore_target {
	const char *writer, *component, *dir, *to;
};

struct restore_writers_options {
	const char *repository;
	const char *const *wish; /* W, W:C or, a subcomponent, W:C */
	size_t wishes;
	const struct restore_target *target;
	size_t targets;
	const char *const *option; /* --restore-option W:C:TEXT */
	size_t options;
	const char *to_writer; /* --to-writer: another instance takes them */
	bool additional;  /* --additional-restores: more will follow */
	bool ranges_only; /* --ranges-only: declared bytes into what is there */
	bool in_place;    /* --in-place: files are rewritten where they are */
	bool dry_run;     /* say what would happen; writers hear identify only */
	const atomic_int *cancel;
	/* What was decided for each component, in a sentence. */
	void (*note)(void *ctx, const char *text);
	void (*failed)(void *ctx, const char *path, const struct err *why,
		       bool damage);
	void *ctx;
};

/*
 * Components are counted once for each image that is replayed.  Of them,
 * `staged` wait for somebody to put their files in place; `failed` were not, or
 * not wholly, restored (in a dry run: would not be).
 */
struct restore_writers_result {
	size_t components, restored, staged, failed;
	uint64_t files, bytes;
	uint64_t damaged; /* files that the repository does not have any more */
};

/*
 * 0 also when components failed: they were told and counted.  ERR_USAGE, and
 * nothing was done, for a wish that the generation cannot fulfil; -1 otherwise
 * when it could not go on: what was stopped is started again.
 */
int requester_restore(struct store *st, struct view_gen *g,
		      const struct restore_writers_options *o,
		      struct restore_writers_result *out, struct err *e);

#endif
