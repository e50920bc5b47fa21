/*
 * ingest - reading files: bytes in, cut and hashed pieces out.
 *
 * A job is a batch of small files of one slice, or one larger file.  Its
 * bytes come out as pieces in order, each with its cuts; files from LARGE_FILE
 * on are put into the store by the reading thread itself.
 */
#ifndef ASOF_ENGINE_INGEST_H
#define ASOF_ENGINE_INGEST_H

#include "src/engine/backup_internal.h"
#include "src/engine/filemap.h"

/* Bytes of a piece of a file between SMALL_FILE and LARGE_FILE. */
#define PIECE_LEN (256u << 10)

/* Small files that a reader has open at a time, if there is room for them. */
#define INGEST_OPEN 16

/* A chunk, or a hole, in the order of the file. */
struct cut {
	uint64_t len;
	bool hole;
	struct id id;
};

struct piece {
	struct piece *next;
	uint8_t *data;
	size_t len, cap;
	size_t charged; /* bytes of the feed's budget that it holds */
	struct cut *cut;
	size_t cuts, cut_cap;
};

/* What reading one file came to. */
struct file_result {
	struct item *item;
	struct entry meta;      /* all but content and size */
	struct buf xattr_bytes; /* of meta */
	size_t cuts;            /* in the job's pieces */
	bool gone;              /* vanished before it could be opened */
	bool large;             /* content is below, not in pieces */
	uint64_t read;          /* bytes of the source, as src counted them */
	struct filemap_builder *map;
	struct content content;
	uint64_t size;
};

struct job {
	struct dir *dir; /* counted */
	struct file_result *file;
	size_t files;
	uint64_t bytes; /* expected */
	bool stream;    /* one file, in several pieces */
	atomic_uint refs;

	/* Under the feed's lock. */
	struct job *next;
	struct piece *first, *last;
	size_t paid;   /* of the feed's budget, for the first piece */
	bool finished;
	bool alone; /* read by the consumer itself: no limits */

	/* The consumer's place in a batch. */
	struct piece *at;
	size_t at_cut, at_byte;
};

/*
 * Read all files of the job, giving its pieces to the feed.  Failures of
 * files are kept in their items.  -1: the repository, memory, or the run was
 * stopped.
 */
int ingest_run(struct backup *b, struct job *j, struct err *e);

#endif
