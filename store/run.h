/*
 * run - an immutable sorted table of where chunks are: one file of the local
 * chunk index.
 *
 * A run is a hint, never the truth: every hit is confirmed by the pack's own
 * directory, and a damaged run is thrown away and made again.  It lives in
 * the local cache and is not part of the repository's format.
 *
 * Layout: header · filter · pages · fences · footer.  A page is 4096 bytes:
 * 255 entries of 16 bytes (first 8 bytes of the id big-endian, pack number
 * u32, slot u32; sorted by these 16 bytes) and hash16 of them and their
 * place.  The filter (blocked Bloom, 10 bits an entry) and the fences (the
 * first key of each page) are read into memory at open and checked; pages
 * are read with pread and checked.
 */
#ifndef ASOF_STORE_RUN_H
#define ASOF_STORE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct run;
struct run_writer;

struct run_entry {
	uint64_t key;  /* id_prefix() */
	uint32_t pack; /* local number, from the catalogue */
	uint32_t slot;
};

/* Entries must come sorted; duplicates of all three are dropped. */
int run_writer_new(int dirfd, const char *name, uint64_t entries_max,
		   struct run_writer **out, struct err *e);
int run_writer_add(struct run_writer *w, const struct run_entry *en,
		   struct err *e);
/* Finish and fsync; the file then exists under `name`. */
int run_writer_finish(struct run_writer *w, struct err *e);
void run_writer_free(struct run_writer *w); /* unfinished: removes the file */

/* ERR_CORRUPT when damaged; returns 1 when there is no such file. */
int run_open(int dirfd, const char *name, struct run **out, struct err *e);
void run_close(struct run *r);
uint64_t run_entries(const struct run *r);
size_t run_memory(const struct run *r);

/*
 * Entries with this key, at most `max`, into out[]; the count or -1.  The
 * filter says "none" without I/O in about 99 % of misses.  Any thread.
 */
int run_find(const struct run *r, uint64_t key, struct run_entry *out, int max,
	     struct err *e);

/* Sequential reading, for merging. */
struct run_cursor {
	const struct run *run;
	uint64_t next;
	uint8_t *page; /* owned */
	uint64_t page_no;
};
int run_cursor_init(struct run_cursor *c, const struct run *r, struct err *e);
int run_cursor_next(struct run_cursor *c, struct run_entry *out,
		    struct err *e); /* 1 an entry, 0 end, -1 failed */
void run_cursor_clear(struct run_cursor *c);

#endif
