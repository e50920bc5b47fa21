/*
 * pass - what the parts of one restore for writers share: one generation, and
 * who gets what of it.
 *
 *   unit      a component of it: what there is of it, and whether somebody is
 *             there to take it
 *   asked     what writers ask for in pre-restore, and ranges by themselves
 *   putback   deciding and writing, and the services around it
 *   pass      leads through the phases, and tells the writers
 *   restore   makes one pass of most restores, and several of images
 *
 * One thread.
 */
#ifndef ASOF_REQUESTER_PASS_H
#define ASOF_REQUESTER_PASS_H

#include "base/err.h"
#include "src/requester/deliver.h"
#include "src/requester/method.h"
#include "src/requester/places.h"
#include "src/requester/restore.h"
#include "src/requester/selection.h"
#include "src/writer/client.h"
#include "src/writer/statement.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct metadata;
struct store;

/* A component in a pass. */
struct unit {
	struct pick *pick;
	const struct dossier_component *component;
	const struct metadata *document;
	const char *taker; /* the writer that gets it: the pick's, or another */
	bool moved;        /* it is another */
	/* The taker as it is registered here; copies. */
	bool registered;
	uid_t owner;
	char **grant;
	size_t grants;
	char **service;
	size_t services;
	struct places places;
	struct place_extra *extra;
	size_t extras;
	bool last; /* no image follows */
	bool told; /* the writer gets events */

	enum statement_target target;
	struct deliver_piece *piece; /* directed by the writer, or ranges */
	size_t pieces;
	char *metadata; /* that it said; NULL: none */

	struct err why; /* set: it cannot be restored */
	enum method_verdict verdict;
	bool done; /* decided and written */
	bool touched;
	bool failed;
};

struct pass {
	struct store *store;
	const struct restore_writers_options *o;
	struct restore_writers_result *out;
	struct scene scene;
	struct client *client;
	struct unit *unit;
	size_t units;
};

/* --- unit.c -------------------------------------------------------------- */

/*
 * Fill in what the generation has of the pick, and what the person wants with
 * it.  ERR_USAGE for what cannot be.  unit_clear frees what this and what the
 * others below made, also after a failure.
 */
int unit_make(struct pass *p, struct unit *u, struct pick *k, struct err *e);
void unit_clear(struct unit *u);

/* Copy what is registered of its writer, if there is one. */
int unit_learn(const struct pass *p, struct unit *u, struct err *e);

/*
 * Directly after a phase: is there somebody to give the data to?  At the end:
 * has he taken them?  If not, the unit is given up.
 */
void unit_judge(const struct pass *p, struct unit *u);
void unit_judge_end(const struct pass *p, struct unit *u);

/* Is the file delivered by pieces, not as a whole?  ctx: the unit. */
bool unit_is_apart(void *ctx, const char *path);

/* "W:C: sentence", to the person. */
void unit_tell(const struct pass *p, const struct unit *u, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* This one cannot be restored; the others go on.  Takes `why` over. */
void unit_give_up(const struct pass *p, struct unit *u, struct err *why);

/* The same, unless `why` ends the pass: then -1, and *e is it. */
int unit_fail(const struct pass *p, struct unit *u, struct err *why,
	      struct err *e);

/* --- asked.c ------------------------------------------------------------- */

/* What the writers said between pre-restore and its answer. */
int asked_listen(struct pass *p, struct err *e);

/*
 * With --ranges-only: declared files become pieces.  Where these go to is known
 * after the verdict.
 */
int asked_add_ranged(const struct pass *p, struct unit *u, struct err *e);
int asked_place_ranged(struct unit *u, struct err *e);

/* --- putback.c ----------------------------------------------------------- */

/* Decide and write, writer by writer, without their services if need be. */
int putback_all(struct pass *p, struct err *e);
/* Services that stop and start when all is over. */
void putback_restart(struct pass *p);

/* --- pass.c -------------------------------------------------------------- */

/* All phases, with the units that there are; the results are counted. */
int pass_run(struct pass *p, struct err *e);

/* Is this the first unit of its writer that can be restored? */
bool pass_is_first(const struct pass *p, size_t i);
/* For each unit, as it is now: units fail while they are gone through. */
int pass_firsts(const struct pass *p, bool **out, struct err *e);
/* Give up what is left of the writer's units. */
void pass_fail_writer(struct pass *p, const char *name, const struct err *why);

#endif
