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

#endif
