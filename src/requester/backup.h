/*
 * backup - one backup run with writers: what `asof backup` does.
 *
 * doc/control.md, sections 9 and 11.  The phases are led from here: set and base
 * (engine/backup.h), identify, choice, bases, prepare-backup, with a provider the
 * snapshot between freeze and thaw, the walk with the writers' claims, post-copy,
 * the record, backup-complete.  Whatever happens to
 * this process, the other end of client.h sees to the writers.
 */
#ifndef ASOF_REQUESTER_BACKUP_H
#define ASOF_REQUESTER_BACKUP_H

#include "src/engine/backup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

struct requester_options {
	const char *repository; /* its path */
	bool no_writers;        /* --no-writers */
	const char *const *wish; /* --writer W[:C] */
	size_t wishes;
	bool skip_unsupported;  /* --unsupported=skip: leave such writers out */
	bool abort_on_failure;  /* --writer-failure=abort: then nothing is made */
	bool require;           /* --require-writers: the caller's affair */
	unsigned audit;         /* percent of undeclared bytes that are compared */
	unsigned window_s;      /* of freeze; 0: 60 */
	const char *snapshot;   /* provider, as src/snapshot takes it; or NULL */
};

struct requester_result {
	struct backup_result backup;
	/*
	 * Of components, those that took part.  Writers with files here that
	 * did not: nobody spoke for them (absent), or they failed before
	 * anything could be asked of them (failed_writers).
	 */
	size_t writers, components, succeeded, failed;
	size_t absent, failed_writers;
	uint64_t declared_bytes; /* of partial files that were used as such */
	uint64_t member_bytes;   /* read of writers' files */
};

/*
 * As backup_run; without any writer registered, or with no_writers, exactly
 * that.  Writers that fail or are absent are told to b->note and counted.
 */
int requester_backup(struct store *st, const struct backup_options *b,
		     const struct requester_options *o,
		     struct requester_result *out, struct err *e);

#endif
