/*
 * history - what became of one path, generation by generation.
 *
 * A history is the list of events of a path: a generation in which it is
 * another than in the generation before of the same chain, or in which it is
 * not there any more.  A chain is the generations of one set; its log
 * generations, which hold little, are a chain of their own.  So a generation
 * says nothing about what only other sets hold.
 *
 * Two entries are the same version when restoring either gives the same:
 * type, mode, owner, mtime, contents, target, device, xattrs, inode flags;
 * of directories all that is recorded beneath, too.  Not atime, ctime, the
 * inode and the number of its names.
 *
 * The history of a name in a directory follows from that of the directory:
 * each distinct tree is looked into once, however many generations share it.
 * Only trees are read, no records.
 *
 * Immutable, counted, used from any thread.
 */
#ifndef ASOF_FUSE_HISTORY_H
#define ASOF_FUSE_HISTORY_H

#include "base/buf.h"
#include "src/engine/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk_reader;
struct err;

#define HISTORY_VERSION_LEN 16

/* What makes an entry another version, as a hash. */
int history_version(const struct entry *en, uint8_t out[HISTORY_VERSION_LEN],
		    struct err *e);

struct history_event {
	uint32_t number; /* of the generation */
	uint32_t chain;  /* from 0 */
	uint8_t type;    /* enum entry_type; 0: not there */
	bool linked;     /* its inode number is not made of the ordinal */
	bool shown;      /* a version that is not the same as the one before */
	uint8_t version[HISTORY_VERSION_LEN];
	uint64_t ordinal;      /* in its generation */
	struct tree_root tree; /* of a directory */
};

struct history {
	unsigned refs;   /* atomic */
	bool damaged;    /* of some generations nothing can be known */
	uint32_t chains; /* numbers of chains are below this */
	size_t count;
	size_t present; /* events with a type */
	struct history_event *event;
};

/*
 * From what a path is in each generation, ascending by number: keeps what is
 * an event and says which of them are shown.  `chains` as in the history.
 */
int history_new(const struct history_event *state, size_t count,
		uint32_t chains, struct history **out, struct err *e);
struct history *history_ref(struct history *h);
void history_unref(struct history *h);        /* takes NULL */
size_t history_size(const struct history *h); /* bytes of memory */

/* The shown version of this generation, or NULL. */
const struct history_event *history_find(const struct history *h,
					 uint32_t number);

/* Told where a directory cannot be read; then it goes on without. */
struct history_damage {
	void (*fn)(void *ctx, uint32_t number, const struct err *why);
	void *ctx;
};

/*
 * The history of a name in the directory `dir`; with no event present when
 * it was never there.  What is damaged is passed over and told; fails where
 * the machine does.
 */
int history_child(const struct history *dir, struct chunk_reader *r,
		  const void *name, size_t len,
		  const struct history_damage *damage, struct history **out,
		  struct err *e);

/* --- the names that a directory ever had -------------------------------------- */

/*
 * They go by a hash of the name, not by name: a place in a directory that is
 * being read stays right whatever names come and go meanwhile.
 */
#define HISTORY_COOKIE_BITS 61

struct history_name {
	uint64_t cookie; /* 1 ... 2^61-1 */
	uint32_t at;     /* where in `bytes` */
	uint8_t len;
};

/*
 * Those with a cookie in (from, to], each once, in order.  A directory whose
 * names need more than the memory allowed is given in several such pieces,
 * for each of which it is read again.
 */
struct history_names {
	unsigned refs;     /* atomic */
	bool damaged;      /* names may be missing */
	uint64_t from, to; /* UINT64_MAX: to the end */
	size_t count;
	struct history_name *name;
	struct buf bytes;
};

int history_names(const struct history *dir, struct chunk_reader *r,
		  uint64_t from, size_t limit,
		  const struct history_damage *damage,
		  struct history_names **out, struct err *e);
struct history_names *history_names_ref(struct history_names *n);
void history_names_unref(struct history_names *n); /* takes NULL */
size_t history_names_size(const struct history_names *n);

uint64_t history_cookie(const void *name, size_t len);

#endif
