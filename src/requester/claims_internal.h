/*
 * claims_internal - what the parts of claims share.
 *
 *   atlas     the table of what is claimed in which directory
 *   chart     makes it from documents, journals and choice
 *   hearing   what is said of one name, and what follows
 *   promise   declared ranges: do they hold, and what are they
 *   remains   who was met on the walk, and who was not
 *   claims    makes and ends them; answers what is left of the walk's questions
 */
#ifndef ASOF_REQUESTER_CLAIMS_INTERNAL_H
#define ASOF_REQUESTER_CLAIMS_INTERNAL_H

#include "src/requester/atlas.h"
#include "src/requester/claims.h"

#include <pthread.h>
#include <stdatomic.h>

struct claims_text;
struct metadata_files;
struct reduce_file;
struct reduced;

/* What became of the ranges of reduced->file[i]. */
struct promise {
	struct writer_claims *claims;
	size_t component;
	const struct reduce_file *file;
	const char *refused; /* under the lock */
	uint64_t bytes;      /* read, by ranges */
};

struct writer_claims {
	struct claims engine; /* first: what the walk has is this */
	const struct claims_options *o;
	struct atlas atlas;
	struct promise **promise; /* per component, as reduced->file */
	struct place_set **sets; /* of a writer's first component: each */
	bool *plain; /* per component: claims nothing any more */
	const char **extra;
	claims_copied_fn copied;
	void *copied_ctx;
	uint64_t seed;
	pthread_mutex_t lock; /* texts, promises, the components' outcomes */
	struct claims_text *texts;
	pthread_mutex_t opening; /* the components' resolvers */
};

/* --- claims.c ------------------------------------------------------------ */

struct writer_claims *claims_of(struct claims *c);
/* A copy that lives as long as the claims; NULL: no memory. */
const char *claims_text(struct writer_claims *w, const char *s);
void claims_note(struct writer_claims *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The component has failed; the first sentence is the one that is told. */
int claims_fail(struct writer_claims *w, size_t component, const char *sentence,
		struct err *e);
/* What is at a path of the walk: in the snapshot, if there is one.  1: nothing. */
int claims_look(const struct writer_claims *w, const char *path,
		struct statx *st, struct err *e);
/* May what is there be left as the base has it? */
bool claims_is_carried(const struct claims_component *c,
		       const struct metadata_files *f);

/* --- chart.c ------------------------------------------------------------- */

/* Make the atlas anew, and the directories outside of the sources. */
int chart_make(struct writer_claims *w, struct err *e);
/* Does the path lie beneath a source, or is it one? */
bool claims_in_sources(const struct writer_claims *w, const char *path);
/* Tell what is odd about the declarations of a component. */
void chart_warn(struct writer_claims *w, size_t component);

/* --- hearing.c ----------------------------------------------------------- */

/* All that is said of one name. */
struct hearing {
	struct writer_claims *w;
	const char *path, *name;
	bool there;
	struct place *set; /* the first, and whether one requires it */
	bool required;
	bool foreign; /* in one of a component that claims nothing */
	bool exclude; /* there is an exclude, of whomever */
	const struct reduce_differenced *differenced;
	struct promise *promise;
	size_t by; /* the component that declared it; only without a set */
	bool declared;
	bool log_recovery, fixed;
};

/* The file sets and excludes alone; `there`: a file of this name is. */
void hearing_open(struct hearing *h, struct writer_claims *w, const char *path,
		  bool there);
enum claim_dir hearing_dir(struct claims *c, const char *path);
int hearing_carries(struct claims *c, const char *path, uint64_t from,
		    struct view_gen **base, struct err *e);
int hearing_find(struct claims *c, const char *path, const struct statx *st,
		 struct claim *out, struct err *e);

/* --- promise.c ----------------------------------------------------------- */

/* Those of a component, from what its journal says. */
int promise_make(struct writer_claims *w, size_t component, struct err *e);
/* What became of the files so far is kept: they are not read again. */
void promise_take_over(struct promise *to, size_t n, const struct reduced *old,
		       const struct promise *from);
struct promise *promise_of(struct writer_claims *w, size_t component,
			   const char *path); /* NULL: none */
void promise_refuse(struct promise *p, const char *why);
int promise_ranges(struct claims *c, const struct claim *claim, int fd,
		   const struct statx *now, const struct entry *entry,
		   struct claim_range **out, size_t *n, const char **why,
		   struct err *e);

#endif
