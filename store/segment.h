/*
 * segment - a sorted set of index entries: a run file, or a table in memory.
 *
 * The index is a list of segments (index.c).  A segment never changes; it is
 * made from others by merging, with a filter that may leave out entries or
 * give their packs other numbers.  Any thread.
 */
#ifndef ASOF_STORE_SEGMENT_H
#define ASOF_STORE_SEGMENT_H

#include "store/catalogue.h"
#include "store/run.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct segment {
	struct run *run;           /* NULL: in memory */
	struct run_entry *entries; /* then these, sorted */
	size_t count;
	bool listed; /* its file is in the catalogue */
	char name[CATALOGUE_RUN_NAME_MAX + 1];
};

/* Sort entries as runs want them, in place. */
void segment_sort(struct run_entry *v, size_t n);

/*
 * False leaves the entry out.  The filter may change its pack, if it keeps
 * the order of the packs.
 */
typedef bool (*segment_filter_fn)(void *ctx, struct run_entry *en);

struct segment_merge {
	const struct segment *const *in;
	size_t n;
	segment_filter_fn filter; /* NULL: keep all */
	void *ctx;
};

/*
 * Merge into a new run file of a fresh name in the directory.  With
 * `private_file`, the file has no name any more when this returns.
 */
int segment_write(int dirfd, const struct segment_merge *m, bool private_file,
		  struct segment **out, struct err *e);

/* Merge into memory. */
int segment_gather(const struct segment_merge *m, struct segment **out,
		   struct err *e);

/* Returns 1 when there is no such file. */
int segment_open(int dirfd, const char *name, struct segment **out,
		 struct err *e);
void segment_free(struct segment *s);

uint64_t segment_entries(const struct segment *s);
size_t segment_memory(const struct segment *s);

/* As run_find(). */
int segment_find(const struct segment *s, uint64_t key, struct run_entry *out,
		 int max, struct err *e);

#endif
