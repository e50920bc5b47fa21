/*
 * catalogue - the small local database: which packs are known under which
 * number, which runs make up the index, what generation records say in
 * short.
 *
 * A cache: it can be deleted, damaged or stale at any time and is then made
 * again from the repository.  The only file that sees LMDB.  It lives in a
 * directory cat.RANDOM of the cache, which a file `current` names; a damaged
 * one is never repaired but replaced by a new directory and a new `current`
 * (renaming or truncating an open LMDB file shows its readers wrong data without an error).
 *
 * Every value carries a checksum over key and value; a value that fails it
 * makes the call return ERR_CORRUPT, and the caller rebuilds
 * (catalogue_replace).  Map size: 1 GiB, grown fourfold up to 32 GiB when
 * full; where no map can be had (RLIMIT_AS), catalogue_open returns 1 and
 * the cache works without.  No read transaction outlives a call.  Any
 * thread; several processes, but a child never uses its parent's.
 */
#ifndef ASOF_STORE_CATALOGUE_H
#define ASOF_STORE_CATALOGUE_H

#include "store/pack.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct catalogue;
struct err;

/* Opens, or makes, the current catalogue of the cache directory. */
int catalogue_open(int cache_fd, const char *cache_path,
		   struct catalogue **out, struct err *e);
void catalogue_close(struct catalogue *c);

/* Begin anew with an empty one; the old directory is removed when unused. */
int catalogue_replace(struct catalogue *c, struct err *e);

/*
 * Follow `current`, which another process may have replaced, and say what
 * the contents are: two equal stamps mean that packs and runs are the same.
 * Every catalogue_take_numbers and catalogue_apply that succeeds, whoever
 * calls it, adds one to the sequence.
 */
#define CATALOGUE_NAME_MAX 40
struct catalogue_stamp {
	char name[CATALOGUE_NAME_MAX + 1];
	uint64_t sequence;
};
int catalogue_refresh(struct catalogue *c, struct catalogue_stamp *out,
		      struct err *e);

/*
 * Packs known, each once: fn is called in order of number.  It must not call
 * the catalogue.  What it was told counts only when the call returns 0:
 * whether anything was lost is known at the end.
 */
struct catalogue_pack {
	struct pack_id id;
	uint32_t number;
	uint32_t chunks;
	uint64_t len;
};
typedef int (*catalogue_pack_fn)(void *ctx, const struct catalogue_pack *p,
				 struct err *e);
int catalogue_packs(struct catalogue *c, catalogue_pack_fn fn, void *ctx,
		    struct err *e);

/* Runs that make up the index, by name; fn and result as above. */
#define CATALOGUE_RUN_NAME_MAX 64
typedef int (*catalogue_run_fn)(void *ctx, const char *name, struct err *e);
int catalogue_runs(struct catalogue *c, catalogue_run_fn fn, void *ctx,
		   struct err *e);

/*
 * Reserve `n` consecutive pack numbers that nobody else gets.  They are never
 * used again; when all below CATALOGUE_NUMBERS are used up the call returns
 * ERR_CORRUPT, so that the caller begins anew.
 */
#define CATALOGUE_NUMBERS (UINT32_C(1) << 31)
int catalogue_take_numbers(struct catalogue *c, uint32_t n, uint32_t *first,
			   struct err *e);

/*
 * One transaction: packs become known, runs are added, runs are removed.
 * Either all of it is seen or nothing.  A pack that is known already keeps
 * its number; dropping what is not there does nothing.
 */
struct catalogue_update {
	const struct catalogue_pack *packs;
	size_t pack_count;
	const struct pack_id *drop_packs;
	size_t drop_pack_count;
	const char *const *add_runs;
	size_t add_run_count;
	const char *const *drop_runs;
	size_t drop_run_count;
};
int catalogue_apply(struct catalogue *c, const struct catalogue_update *u,
		    struct err *e);

/*
 * Small values by key, for summaries of generation records and the like.
 * Key 1 ... 200 bytes, value at most 1 MiB.  get returns 1 when there is
 * none.
 */
int catalogue_get(struct catalogue *c, const void *key, size_t key_len,
		  struct buf *out, struct err *e);
int catalogue_put(struct catalogue *c, const void *key, size_t key_len,
		  const void *value, size_t len, struct err *e);

/* For tests: the first map size of catalogues opened from now on. */
void catalogue_first_map(size_t bytes);

#endif
