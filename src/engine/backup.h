/*
 * backup - one run: walk the sources, decide, read, store, publish.
 *
 * The pipeline is described at the top of backup.c.
 */
#ifndef ASOF_ENGINE_BACKUP_H
#define ASOF_ENGINE_BACKUP_H

#include "src/engine/record.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct claims;
struct err;
struct exclude;
struct generation;
struct generation_list;
struct standins;
struct store;

/* What a person watching sees; all counters only rise. */
struct backup_progress {
	uint64_t entries;     /* names seen */
	uint64_t files_read, bytes_read;
	uint64_t files_kept, bytes_kept; /* taken from the base unread */
	uint64_t expected_files, expected_bytes; /* from the base; 0 unknown */
	uint64_t errors;
};

struct backup_options {
	const char *const *sources; /* as typed; made absolute here */
	size_t source_count;
	enum generation_type type; /* 0: incremental */
	const char *set;           /* NULL: by host and sources */
	const char *comment;
	struct exclude *exclude; /* may be NULL; is told the sources */
	bool one_file_system;
	bool cachedir_tag;  /* honour CACHEDIR.TAG */
	bool nodump;        /* honour the no-dump inode flag */
	bool wait;          /* for the set, when it is busy */
	unsigned readers;   /* 0: 32 */
	unsigned threads;   /* compressors; 0: processors */
	int level;          /* zstd; 0: default */
	const atomic_int *cancel;
	/*
	 * A file or directory that could not be read, or changed while it was
	 * read.  From any thread, one at a time.
	 */
	void (*failed)(void *ctx, const char *path, const struct err *why);
	/* Something worth a line: promoted to full, skipped a mount ... */
	void (*note)(void *ctx, const char *text);
	void (*progress)(void *ctx, const struct backup_progress *p);
	void *ctx;
};

struct backup_result {
	uint32_t number;
	uint8_t id[16];
	char set[SET_NAME_MAX + 1];
	enum generation_type session_type, effective_type;
	uint32_t base; /* 0: none */
	uint64_t entries, bytes;
	bool walked; /* a log run is not: what follows is then unknown, and 0 */
	uint64_t files, dirs, others;
	uint64_t files_read, bytes_read, files_kept;
	uint64_t partial_files;      /* read by declared ranges */
	uint64_t claimed_bytes_read; /* of all files that writers claim */
	uint64_t errors;
	uint64_t chunks_new, bytes_new, bytes_stored;
	int64_t duration_ns;
};

/*
 * 0: the generation is durable; out->errors says how many source files
 * could not be read (exit 3).  -1: nothing was published.  ERR_USAGE for bad
 * sources, ERR_BUSY when the set is in use, ERR_CANCELLED.
 */
int backup_run(struct store *st, const struct backup_options *opt,
	       struct backup_result *out, struct err *e);

/*
 * The same in steps, for those who have to know what the run is before it
 * begins.  begin: the sources, the set and its lock, the list of generations,
 * the base and the session's type, which then stands (what `opt` points at
 * must live as long as the job).  walk, once: with the claims of writers
 * (NULL: none; claims.h), and then the record.  A log backup does not walk:
 * its tree is that of the base, as claims->copied changes it; without claims it
 * is ERR_UNSUPPORTED.  The set's lock lasts as long as the store's session.
 */
struct backup_job;
int backup_begin(struct store *st, const struct backup_options *opt,
		 struct backup_job **out, struct err *e);

/* Borrowed from the job. */
struct backup_facts {
	enum generation_type session_type;
	const uint8_t *set_id; /* 16 bytes */
	const char *set;
	const struct generation_list *list;
	const struct generation *base; /* of plain files; NULL: none */
	const char *const *source;     /* resolved */
	size_t sources;
	struct ts start;
	uint8_t id[16]; /* that the generation will have */
};
void backup_facts(const struct backup_job *j, struct backup_facts *out);

/*
 * The walk reads from a snapshot: what stands in for directories (standin.h,
 * looked at; lives as long as the job) is read instead of them, and all is told
 * and stored as if it had been read in its own place.  `instant` is not later
 * than any moment that the snapshot shows, by time_now_coarse.
 */
void backup_snapshot(struct backup_job *j, const struct standins *s,
		     struct ts instant);
int backup_walk(struct backup_job *j, struct claims *claims,
		struct backup_result *out, struct err *e);
void backup_job_free(struct backup_job *j); /* takes NULL */

#endif
