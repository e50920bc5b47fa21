/*
 * honest - a writer that claims all files, and declares what it can see to be
 * changed: for whole runs that fail, or are cut short.
 */
#ifndef ASOF_TESTS_LIB_HONEST_H
#define ASOF_TESTS_LIB_HONEST_H

#include "base/err.h"
#include "base/mem.h"
#include "src/engine/backup.h"
#include "src/engine/claims.h"
#include "src/engine/graft.h"
#include "src/engine/view.h"

#include <string.h>
#include <sys/stat.h>

static struct view_gen *honest_base;
static const char *honest_graft; /* not NULL: this file is read once more */

static inline enum claim_dir
honest_dir(struct claims *c, const char *path)
{
	(void)c;
	(void)path;
	return CLAIM_DIR_SOME;
}

static inline int
honest_find(struct claims *c, const char *path, const struct statx *st,
	    struct claim *out, struct err *e)
{
	size_t len = strlen(path);

	(void)c;
	(void)e;
	if (len > 5 && strcmp(path + len - 5, ".skip") == 0) {
		out->kind = CLAIM_EXCLUDED;
	} else if (st != NULL && S_ISREG(st->stx_mode)) {
		out->kind = CLAIM_RANGES;
		out->base = honest_base;
	}
	return 0;
}

static inline int
honest_carries(struct claims *c, const char *path, uint64_t from,
	       struct view_gen **base, struct err *e)
{
	(void)c;
	(void)path;
	(void)from;
	(void)e;
	*base = NULL;
	return 0;
}

static inline bool
honest_same(const struct statx *now, const struct entry *was)
{
	return now->stx_size == was->size &&
	       now->stx_mtime.tv_sec == was->mtime.sec &&
	       now->stx_mtime.tv_nsec == was->mtime.nsec &&
	       now->stx_ctime.tv_sec == was->ctime.sec &&
	       now->stx_ctime.tv_nsec == was->ctime.nsec &&
	       (was->flags & ENTRY_DOUBTFUL) == 0;
}

static inline int
honest_ranges(struct claims *c, const struct claim *claim, int fd,
	      const struct statx *now, const struct entry *entry,
	      struct claim_range **out, size_t *n, const char **why,
	      struct err *e)
{
	(void)c;
	(void)claim;
	(void)fd;
	(void)why;
	*out = mem_array(1, sizeof(**out));
	if (*out == NULL)
		return err_nomem(e);
	(*out)->len = now->stx_size;
	*n = !honest_same(now, entry) && now->stx_size > 0;
	return 0;
}

static inline void
honest_outcome(struct claims *c, size_t owner, const char *path,
	       const char *why, bool torn)
{
	(void)c;
	(void)owner;
	(void)path;
	(void)why;
	(void)torn;
}

static inline int
honest_copied(struct claims *c, struct graft *g, struct err *e)
{
	struct err why = { 0 };

	(void)c;
	if (honest_graft != NULL &&
	    graft_file(g, honest_graft, NULL, 0, &why) < 0 &&
	    why.kind != ERR_SOURCE) {
		err_move(e, &why);
		return -1;
	}
	return graft_session(g, "documents/w", "writer w\nend\n", 13, e);
}

static struct claims honest_claims = { .dir = honest_dir,
				       .find = honest_find,
				       .carries = honest_carries,
				       .ranges = honest_ranges,
				       .outcome = honest_outcome,
				       .copied = honest_copied };

/* As backup_run, with these claims. */
static inline int
honest_backup(struct store *st, const struct backup_options *o,
	      struct backup_result *res, struct err *e)
{
	struct backup_job *j = NULL;
	struct backup_facts f;
	int rc = 0;

	if (backup_begin(st, o, &j, e) < 0)
		return -1;
	backup_facts(j, &f);
	honest_base = NULL;
	if (f.base != NULL)
		rc = view_open(st, f.base->number, &honest_base, e);
	if (rc == 0)
		rc = backup_walk(j, &honest_claims, res, e);
	view_unref(honest_base);
	backup_job_free(j);
	return rc;
}

#endif
