/*
 * claimed - what the claims of writers (claims.h) mean for one name of the
 * walk: asked for, judged against the component's base, and told of.
 *
 * A run without claims never comes here.
 */
#ifndef ASOF_ENGINE_CLAIMED_H
#define ASOF_ENGINE_CLAIMED_H

#include "src/engine/backup_internal.h"
#include "src/engine/claims.h"
#include "src/engine/plan.h"
#include "src/engine/standin.h"

/* An item's claim; in the memory of its slice. */
struct item_claim {
	struct claim claim;
	bool has_base;     /* the component's base has an entry of this path */
	bool base_lost;    /* it may have one, which cannot be read */
	bool partial;      /* to be read by ranges */
	bool torn;
	bool nobodys;      /* no claim at all: nobody is told */
	bool live;         /* claim.from came after the snapshot */
	const char *why;   /* the claim cannot be kept: a sentence, or NULL */
	const char *proof; /* why it was read whole after all, or NULL */
	char fault[200];   /* of the component: memory of `proof` */
	struct entry base; /* with this run's file systems; bytes in the slice */
	/* What reading it came to. */
	uint64_t read;     /* bytes of the source, as src counted them */
	uint64_t ranges;
};

/*
 * Ask what is claimed of the item; `st` NULL: it is a name of the base that is
 * not there.  it->claim is set, or NULL when nobody claims it.
 */
int claimed_ask(struct backup *b, struct slice *sl, struct item *it,
		const char *path, const struct statx *st, struct err *e);

/*
 * Find the entry of the component's base; `plain` is that of the base of plain
 * files (NULL: it has none), which is the same generation more often than not.
 */
int claimed_base(struct backup *b, struct slice *sl, struct item *it,
		 const char *path, const struct entry *plain, struct err *e);

/* Is it read, and why?  Of all kinds but EXCLUDED and CARRIED. */
struct plan claimed_plan(const struct backup *b, struct item *it);

/* May what is not known to be lost be taken from this base unseen? */
bool claimed_trusted(const struct backup *b, const struct view_gen *g);

/* What statx would say of an entry. */
void claimed_stat(const struct entry *en, struct statx *out);

/*
 * Open the directory of an absolute path, following no symlink; *name is its
 * last part.  For what is not met on a walk.  `standins` NULL: where it really
 * is.
 */
int claimed_open_parent(const struct standins *standins, const char *path,
			const char **name, struct err *e);

/* Where the item's bytes are looked for that its claim has elsewhere. */
const struct standins *claimed_standins(const struct backup *b,
					const struct item_claim *ic);

/* Open what the claim says its bytes are to be read from (claim.from). */
int claimed_open_from(struct backup *b, const struct standins *in,
		      const struct claim *c, struct err *e);

/* Tell the writers' side what became of the item. */
void claimed_tell(struct backup *b, const struct item *it, const char *path);

#endif
