/*
 * collect - the consumer: takes the results of a walk in order, puts chunks,
 * builds file maps, trees, the link table and the list of exceptions.
 *
 * One thread, the caller's.
 */
#ifndef ASOF_ENGINE_COLLECT_H
#define ASOF_ENGINE_COLLECT_H

#include "src/engine/backup_internal.h"
#include "src/engine/names.h"

struct collected {
	struct buf root_bytes; /* of root */
	struct entry root;
	struct buf session_bytes; /* of session */
	struct entry session; /* the top of the session's tree; type 0: none */
	struct id links, exceptions;
	uint64_t link_count, exception_count;
	uint64_t entries, files, dirs, others, bytes, xattrs, inodes;
	uint64_t files_read, bytes_read, files_kept, bytes_kept, errors;
	uint64_t claimed_bytes_read, partial_files;
	struct id_set users, groups;
};

/*
 * Consume b->feed to its end.  `top` is the walk's top directory.  On -1 the
 * run has failed; collected_clear in every case.
 */
int collect_run(struct backup *b, struct dir *top, struct collected *out,
		struct err *e);
void collected_clear(struct collected *c);

/* The same for a log run: the base's tree, and what is grafted into it. */
int collect_log(struct backup *b, struct collected *out, struct err *e);

/* --- for graft ---------------------------------------------------------------- */

struct collector;

/*
 * Read what scan_lone made of a file, and tell of it.  The item then has its
 * entry.  ERR_SOURCE: the file's fault, nothing was told.
 */
int collect_lone(struct collector *c, struct slice *sl, struct err *e);

/*
 * An entry comes to stand in the place of another (NULL: of none), or none does
 * (NULL: then there was one).
 */
int collect_swap(struct collector *c, const struct entry *old,
		 const struct entry *new, struct err *e);

/* An entry of this directory is no more: it may be one name of several. */
int collect_unlink(struct collector *c, const struct id *tree,
		   const struct entry *old, struct err *e);

/* A directory's tree was made anew. */
void collect_moved(struct collector *c, const struct id *from,
		   const struct id *to);

#endif
