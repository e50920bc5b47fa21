/*
 * backup_internal - what the parts of one backup run share.
 *
 * The parts, in the order in which a file passes through them:
 *
 *   scan     lists and stats directories, a slice of names at a time, and
 *            compares them with the base (many threads)
 *   feed     keeps everything in walk order: a driver thread goes ahead and
 *            queues what is to be read, a pool of threads scans and reads
 *   ingest   reads files, cuts and hashes them (many threads)
 *   gather   metadata of one inode
 *   collect  takes the results in walk order, puts chunks, builds trees
 *            (the caller's thread)
 *   backup   begins and ends the run
 *
 * A directory's slice is made by one thread, then handed over under the
 * feed's lock; nobody locks inside it.
 */
#ifndef ASOF_ENGINE_BACKUP_INTERNAL_H
#define ASOF_ENGINE_BACKUP_INTERNAL_H

#include "base/buf.h"
#include "base/err.h"
#include "src/engine/backup.h"
#include "src/engine/entry.h"
#include "src/engine/plan.h"
#include "src/engine/sources.h"
#include "src/engine/standin.h"
#include "src/engine/tree.h"
#include "store/chunker.h"
#include "store/config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct claims;
struct feed;
struct item_claim;
struct job;
struct writer;

/* Names that are stat'ed and handed over at a time. */
#define SLICE_MAX 4096

/* Reading files up to this length takes one call; they travel in batches. */
#define SMALL_FILE (128u << 10)

/* Files from here on are put into the store by the thread that reads them. */
#define LARGE_FILE (64u << 20)

/* --- file systems ----------------------------------------------------------- */

#define FS_MAX 4096

/* The file systems met so far, in the order of the record's table. */
struct fs_table {
	pthread_mutex_t lock;
	struct fs_seen {
		uint64_t dev; /* major << 32 | minor */
		bool met;     /* in this run; else inherited from the base */
		char *id;
		uint64_t type;
		struct ts synced; /* of the syncfs for young files; 0: none */
	} *fs;
	size_t count;
};

/* Below what the mount and others call "nothing to see here". */
enum fs_kind { FS_ORDINARY, FS_PSEUDO, FS_OURS };

/* --- directories, slices, items ------------------------------------------------ */

enum item_state {
	ITEM_KEPT,    /* entry bytes of the base */
	ITEM_MADE,    /* entry made whole by the scan (link, device, ...) */
	ITEM_FILE,    /* a regular file that is to be read */
	ITEM_DIR,     /* has a directory of its own */
	ITEM_DROPPED, /* gone, excluded or hopeless: no entry */
};

/* One name of a directory. */
struct item {
	const char *name; /* in the slice's memory, NUL-terminated */
	uint16_t name_len;
	uint8_t state;
	uint8_t reason; /* enum plan_reason */
	bool hint_valid;
	uint8_t hint; /* class of the previous version */
	bool fixed;   /* FILE: is cut into fixed chunks */
	uint32_t fs;
	struct statx st;
	/*
	 * KEPT and MADE: the entry.  DIR: set when the directory is done.
	 * FILE: what collect makes of it.  bytes lie in the slice's memory.
	 */
	const uint8_t *bytes;
	uint32_t len;
	bool same;    /* the bytes are the base's */
	bool xattrs;  /* KEPT, MADE: it has some */
	bool changed; /* FILE: changed while it was read */
	bool gone;    /* the consumer's: it has vanished, no entry */
	uint64_t inodes;
	struct dir *dir;   /* DIR */
	struct job *job;   /* FILE: who reads it; NULL: a link to one before */
	uint32_t job_index;
	char *error;       /* a sentence, or NULL; mem_free */
	bool failed;       /* the error means missing content or metadata */
	struct item_claim *claim; /* of a writer (claimed.h), or NULL */
};

/*
 * Memory that only grows and is freed as a whole: a list of blocks, so that
 * what points into it stays where it is.
 */
struct arena {
	struct arena_block {
		struct arena_block *next;
		size_t used, cap;
		uint8_t data[];
	} *block;
};
void *arena_take(struct arena *a, size_t len); /* NULL: no memory */
void *arena_copy(struct arena *a, const void *p, size_t len);
char *arena_name(struct arena *a, const char *p, size_t len); /* adds NUL */
void arena_clear(struct arena *a);

struct slice {
	struct dir *dir;
	struct slice *next, *prev; /* of all slices alive: the feed's */
	struct slice *done_next;
	struct item *item;
	size_t count;
	bool last;     /* of its directory */
	struct arena arena;
};

enum scan_state { SCAN_QUEUED, SCAN_RUNNING, SCAN_DONE };

struct dir_name {
	const char *name;
	uint16_t len;
	bool absent; /* a name of a component's base that is not there */
};

/* What scanning needs between the first and the last slice of a directory. */
struct listing {
	struct arena memory;
	struct dir_name *names; /* sorted */
	size_t count, cap, next;
	struct tree_iter base;  /* in step with the names */
	bool base_open, base_valid;
	struct entry base_entry; /* valid: the base's next */
};

/*
 * A directory in work.  Counted: by each child, by each job and by the walk.
 * The descriptor is opened by the first scan and closed with the last count.
 */
struct dir {
	struct dir *parent; /* NULL: the top */
	struct item *item;  /* in the parent's slice; NULL: the top */
	const struct skeleton *skeleton; /* not NULL: only these names */
	atomic_uint refs;
	int fd;
	bool in_source;    /* at or beneath a source */
	bool asks;         /* something in it or beneath may be claimed */
	bool claimed_only; /* names that nobody claims are left out */
	bool tagged;       /* claimed_only for its cache tag */
	bool ghost;        /* is not there: carried from a component's base */
	bool gone;         /* vanished before it could be opened */
	bool pass_only;    /* fd is O_PATH: we may not list it, and need not */
	size_t source_len; /* bytes of the path that are the source */
	uint64_t source_dev;
	const struct standin *standin; /* what it is read from; NULL: itself */
	bool standin_top;  /* it is that directory itself */
	struct statx st;
	uint32_t fs;

	/* The base's directory, if there is one. */
	bool has_base;
	bool base_lost; /* there is one, and it cannot be read */
	struct entry base; /* its bytes belong to the directory */

	/* Its own metadata, made by the first scan. */
	bool meta_kept; /* equal to the base's */
	struct entry meta;
	struct buf xattr_bytes;

	struct listing *listing; /* while names are left */
	char *error; /* a sentence about the directory itself, or NULL */
	const char *missed; /* of these, one that made names be missing */

	/* Under the feed's lock. */
	enum scan_state state;
	struct slice *ready; /* the slice that the last scan made */
	struct dir *next_queued, *prev_queued;

	/* The consumer's. */
	struct tree_builder *builder;
	struct slice *open;    /* its directories are being done */
	uint64_t added, same;  /* entries, and those that are the base's */
	struct holder *holder; /* of hard links that are first found here */
};

/* --- the run ---------------------------------------------------------------- */

struct backup {
	struct store *store;
	const struct backup_options *opt;
	struct writer *writer;
	struct chunk_reader *reader;
	struct sources sources;
	enum generation_type type; /* effective */
	struct record *base;       /* NULL: none */
	struct claims *claims;     /* of writers; NULL: none */
	const struct standins *standins; /* of a snapshot; NULL: none */
	uint32_t lost_until;       /* generations up to it may have lost packs */
	uint32_t damaged_base;     /* this one has lost something; 0: none */
	bool misses; /* parts of files in the base may be lost: store_misses */
	struct fs_table fs;
	struct chunker chunker[CONFIG_CLASSES_MAX];
	const struct config *config;
	struct stat repository; /* not entered */
	struct ts start;
	struct ts instant; /* of what is read: start, or the snapshot's moment */
	int64_t tick_ns;
	bool opens_ahead; /* there are descriptors enough for it */
	atomic_bool base_damaged; /* a part of it could not be read */
	atomic_uint young; /* files that were young when they were read */
	pthread_mutex_t note_lock;
	struct feed *feed;
};

/* Is everything read? */
static inline bool
backup_reads_all(const struct backup *b)
{
	return b->type == GEN_FULL || b->type == GEN_COPY;
}

/* Is the base that was walked with no good?  Then there is another walk. */
static inline bool
backup_walks_again(const struct backup *b)
{
	return atomic_load(&b->base_damaged) && !backup_reads_all(b);
}

/* Say something about a directory to the person (any thread). */
void backup_note(struct backup *b, const struct dir *d, const char *text);

/* Is this a mount that asof itself serves? */
bool backup_is_our_mount(int fd);

/*
 * The index of a file system in the record's table, by device number.  What
 * stands in for a directory has the identity of the one it stands for.
 */
int backup_fs(struct backup *b, const struct standin *in,
	      const struct statx *st, int dirfd, const char *name,
	      uint32_t *out, struct err *e);

/* The same for a file system of another generation's record. */
int backup_fs_of(struct backup *b, const struct record *rec, uint64_t fs,
		 uint32_t *out, struct err *e);

#endif
