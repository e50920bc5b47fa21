/*
 * claims - what writers say about files, as the walk asks for it.
 *
 * The engine knows nothing of writers; src/requester implements this.  Every
 * function is called from many threads at once.  Paths are absolute and normal.
 * What a claim points at lives as long as the claims.
 *
 * The order of evaluation (doc/control.md, section 11): excluded; differenced;
 * partial; in a file set by its mask; else the own test.  Missing information
 * always means more reading, never less.
 */
#ifndef ASOF_ENGINE_CLAIMS_H
#define ASOF_ENGINE_CLAIMS_H

#include "base/time.h"
#include "src/engine/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct graft;
struct standins;
struct statx;
struct view_gen;

enum claim_kind {
	CLAIM_NONE,     /* nobody's: the own test against the plain base */
	CLAIM_EXCLUDED, /* left out */
	CLAIM_WHOLE,    /* read whole: `reason` says why */
	CLAIM_OWN,      /* the own test, against the component's base */
	CLAIM_SINCE,    /* the own test, and read if mtime or ctime >= `newer` */
	CLAIM_RANGES,   /* only what `ranges` says, see below */
	CLAIM_CARRIED,  /* the base's entry, whatever is there now */
};

/* A piece of a file. */
struct claim_range {
	uint64_t off, len; /* len > 0; sorted, apart */
};

struct claim {
	enum claim_kind kind;
	uint8_t reason;        /* enum plan_reason: WHOLE */
	const char *text;      /* more about the reason, for people; or NULL */
	size_t owner;          /* the component, as in `outcome` */
	struct view_gen *base; /* the component's base; NULL: it has none */
	struct ts newer;       /* SINCE */
	void *promise;         /* RANGES: for `ranges` below */
	const char *from;      /* not NULL: read from this path instead; no
				  part of it may be a symlink */
	size_t from_owner;     /* the component that says so */
	bool log_recovery;     /* may change while it is read */
	bool fixed;            /* RANGES, or likely to be: fixed chunks */
};

/* What is claimed of a directory that is on the way of the walk. */
enum claim_dir {
	CLAIM_DIR_NOTHING, /* in it and beneath it nothing is claimed */
	CLAIM_DIR_SOME,    /* ask for each name */
};

struct claims {
	enum claim_dir (*dir)(struct claims *c, const char *path);

	/*
	 * What is claimed of this name?  `st` is what is there, or NULL when a
	 * name of the base is asked about that is not there any more (then
	 * CARRIED, or anything else for "not any more"), or one that cannot be
	 * stat'ed (then the claim's outcome is that).
	 *
	 * Of a directory only EXCLUDED and CARRIED count: the latter where
	 * the base may have had another thing of that name.  But one that the
	 * person excludes is asked about, too, as files are: who answers with
	 * any other claim is told as outcome that a pattern excludes it.
	 */
	int (*find)(struct claims *c, const char *path, const struct statx *st,
		    struct claim *out, struct err *e);

	/*
	 * Must names be taken from a base that are not there now?  If so *base
	 * is the generation whose directory of this path is to be merged with
	 * what is listed (its names are then asked for with find), else NULL.
	 * There may be several, for components with different bases: this is
	 * the one with the lowest number from `from` on.
	 */
	int (*carries)(struct claims *c, const char *path, uint64_t from,
		       struct view_gen **base, struct err *e);

	/*
	 * CLAIM_RANGES, once the file is open: `now` is it, `entry` the base's
	 * entry of the same path.  Which bytes must be read?  *n ranges into
	 * *out, mem_free'd by the caller.  1: the promise does not hold, all of
	 * it, and *why (a sentence, static or as long as the claims) says why.
	 * -1: failed (memory), or ERR_SOURCE: the component's fault; then all
	 * of it is read, too, and the component has failed.
	 */
	int (*ranges)(struct claims *c, const struct claim *claim, int fd,
		      const struct statx *now, const struct entry *entry,
		      struct claim_range **out, size_t *n, const char **why,
		      struct err *e);

	/*
	 * A claimed file was stored (`why` NULL), or it failed: unreadable,
	 * changed while it was read, vanished, excluded by the person.  One at
	 * a time, in walk order; of grafted files from within graft_file.  When
	 * the base of plain files turns out to be damaged all is walked
	 * again, and every outcome comes again: the last one counts.
	 */
	void (*outcome)(struct claims *c, size_t owner, const char *path,
			const char *why, bool torn);

	/*
	 * Names in this directory, or beneath it, could not be had: it cannot
	 * be opened, or listed to its end, or its base is lost.  Called as
	 * `outcome` is, for directories in or beneath which something is
	 * claimed.  May be NULL: nobody wants to know.
	 */
	void (*missed)(struct claims *c, const char *path, const char *why);

	/*
	 * How much of a claimed file was read, just before its outcome, and
	 * whether by ranges.  May be NULL: nobody wants to know.
	 */
	void (*read)(struct claims *c, size_t owner, const char *path,
		     uint64_t bytes, bool partial);

	/*
	 * Open the regular file that a component named as one to be read in
	 * place of another: as the one who named it may.  `in`: it is in there,
	 * if that has it (a snapshot); NULL: where it really is.  The
	 * descriptor, or -1; ERR_SOURCE is the file's fault.  May be NULL: as
	 * this process may, and no part of it may be a symlink.
	 */
	int (*open)(struct claims *c, const struct standins *in, size_t owner,
		    const char *path, struct err *e);

	/*
	 * Directories outside of the sources whose claimed names are stored,
	 * too, and nothing else of them.
	 */
	const char *const *extra;
	size_t extras;

	/*
	 * The walk is over; nothing is published yet.  What is still to be
	 * added or replaced: called with a grafter (graft.h), once, by the
	 * thread that called backup_walk.  -1 ends the run.
	 */
	int (*copied)(struct claims *c, struct graft *g, struct err *e);
};

#endif
