/*
 * check - is everything that the repository promises there and right?
 *
 * Reads the config copies, every generation record, every tree, map, link
 * table and list that they reach (each shared one once), compares every
 * chunk they name with the packs' directories, and, with `data`, decodes
 * every frame of every pack and compares every id.
 *
 * Changes nothing, but leaves notes of the damage that it finds in packs
 * (store/damage.h), so that the next backup stores anew what it can, and takes
 * back those that are not true any more.  That a note cannot be left is told
 * as a note.  Damage in a pack is no problem, but counted as replaced, when
 * all that is lost by it is stored elsewhere too, or no generation needs it.
 */
#ifndef ASOF_ENGINE_CHECK_H
#define ASOF_ENGINE_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct store;

struct check_options {
	bool data;        /* read all packs whole (default of the command) */
	uint32_t generation; /* only this one; 0: all */
	unsigned threads; /* 0: processors */
	const atomic_int *cancel;
	/*
	 * Told of each problem: `where` is "pack 3f…", "generation 42" or
	 * "42:/path/of/file", `what` a sentence.  One call at a time.
	 */
	void (*damage)(void *ctx, const char *where, const char *what);
	void (*note)(void *ctx, const char *where, const char *what);
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};

struct check_result {
	uint64_t generations, packs, chunks, entries, bytes;
	uint64_t damaged;       /* problems told */
	uint64_t replaced;      /* damaged parts of packs that do not matter */
	uint64_t unreferenced;  /* bytes in packs that no generation uses */
};

int check_run(struct store *st, const struct check_options *opt,
	      struct check_result *out, struct err *e);

#endif
