/*
 * restore - writing a generation, or a part of it, back to a file system.
 *
 * Everything happens beneath the target directory and nowhere else: each
 * step is one name below a directory descriptor, and no link is followed, so
 * that neither a hostile generation nor somebody who swaps directories for
 * links meanwhile leads outside.  Owner before mode; directories get their
 * mode and times after their children; holes and hard links are kept.  A file
 * that cannot be restored is named and the rest goes on.  A directory that is
 * there already keeps its own owner, mode and times, unless existing things
 * are to be replaced; the target directory keeps its own in any case.
 */
#ifndef ASOF_ENGINE_RESTORE_H
#define ASOF_ENGINE_RESTORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entry;
struct err;
struct repository;
struct view_gen;

enum restore_existing {
	RESTORE_REFUSE = 0, /* an existing file stays and is reported */
	RESTORE_REPLACE,    /* written anew beside it and renamed over it */
	RESTORE_KEEP,       /* silently left alone */
	/*
	 * As RESTORE_REPLACE, but a file is rewritten where it is, and only
	 * where it differs (inplace.h says what a crash leaves), unless it has
	 * other names or another owner.
	 */
	RESTORE_IN_PLACE,
};

/* What is to become of one thing in the generation. */
enum restore_wish {
	RESTORE_SKIP = 0, /* it is left out, with all that is in it */
	/*
	 * A directory: made if it is missing, else left as it is, and entered;
	 * it need not be readable if only directories are to go into it.
	 * What is not a directory in its place stays and is a failure.
	 */
	RESTORE_PASS,
	RESTORE_FILL, /* the same, but it gets what its entry says */
	RESTORE_TAKE,
};

struct restore_options {
	const char *to;     /* target directory; made if it does not exist */
	const struct repository *repository; /* no place to restore to; or NULL */
	const int *at;      /* not NULL: this open directory is the target, and
			       `to` only its name */
	/*
	 * Asked of each entry, by its path in the generation; NULL: everything.
	 * By the thread that called, one after the other.
	 */
	enum restore_wish (*wants)(void *ctx, const char *path,
				   const struct entry *en);
	enum restore_existing existing;
	bool numeric_ids;   /* do not map owners by name */
	bool no_owner;      /* do not set owners (default when not root) */
	bool sync;          /* make all of it durable before it ends */
	bool verify;        /* read back and compare with the chunk ids */
	unsigned threads;   /* 0: processors + 2 */
	const atomic_int *cancel; /* non-zero: stop at the next file */
	/*
	 * Told of each failure: path as in the generation, and a sentence.
	 * `damage`: the repository's fault (exit 4), else the target's.
	 */
	void (*failed)(void *ctx, const char *path, const struct err *why,
		       bool damage);
	/* Told now and then, from any thread, one at a time. */
	void (*progress)(void *ctx, uint64_t files, uint64_t bytes);
	void *ctx;
};

struct restore_result {
	uint64_t files, dirs, others, links, bytes;
	uint64_t total_files, total_bytes;
	uint64_t failed;  /* entries not or not wholly restored */
	uint64_t damaged; /* of them: because of damage in the repository */
	uint64_t unreadable; /* of them: were unreadable at backup time */
};

/*
 * Restore `path` (normal, absolute; NULL: everything) of g to opt->to.  The
 * whole generation, or several sources, recreate absolute paths beneath the target; with
 * a path, its last component is created in the target, or, when
 * `contents` is true (GEN:PATH/), what the directory holds.
 *
 * 0 when the run went to its end, even with failures counted in *out; -1
 * when it could not (target unusable, cancelled, path not there: ERR_MISSING).
 */
int restore_run(struct view_gen *g, const char *path, bool contents,
		const struct restore_options *opt, struct restore_result *out,
		struct err *e);

#endif
