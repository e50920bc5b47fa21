/*
 * generation - the generations of a repository: listing, naming, bases,
 * publishing, forgetting.
 */
#ifndef ASOF_ENGINE_GENERATION_H
#define ASOF_ENGINE_GENERATION_H

#include "src/engine/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct repository;
struct store;

/*
 * All generations, ascending by number.  A record that cannot be read or
 * decoded stays in the list with `damaged` set, a sentence, and only its
 * number; it never stops the others.
 */
struct generation {
	uint32_t number;
	bool damaged;
	bool unsupported; /* newer than this program */
	char *why;        /* damaged: a sentence */
	struct record record;
};
struct generation_list {
	struct generation *item;
	size_t count;
	uint32_t highest; /* also of forgotten ones */
};
int generation_list_load(const struct repository *r,
			 struct generation_list *out, struct err *e);
void generation_list_clear(struct generation_list *l);

/* Read and decode one record, to be cleared; 1 when there is none. */
int generation_read(const struct repository *r, uint32_t number,
		    struct record *out, struct err *e);

/*
 * Find by what people write: "42", "latest", "latest~2", "SET@latest",
 * "SET@latest~1", "SET@42", "SET@2026-11-20", "SET@2026-11-20T18:00",
 * "@2026-11-20" (any set).  latest and times skip log generations.  For
 * latest without a set a damaged generation counts; with a set, and for
 * times, it is passed over.
 * ERR_USAGE when it is not of that form; ERR_MISSING "no generation ..."
 * when there is none; ERR_CORRUPT when that record is damaged,
 * ERR_UNSUPPORTED when it is newer than this program.
 */
int generation_find(const struct generation_list *l, const char *name,
		    const struct generation **out, struct err *e);

/*
 * Split "GEN[:PATH]".  Appends GEN to *gen; *path is the part behind the
 * first colon that is none of a time ("@2026-11-20T18:00"), or NULL.  It
 * always begins with "/": "42:etc" is taken as "42:/etc" and "42:" as "42:/".
 * It points into `arg`, or behind the text in *gen until that is changed.
 * ERR_USAGE when GEN is empty.
 */
int generation_split(const char *arg, struct buf *gen, const char **path,
		     struct err *e);

/*
 * Set names: [A-Za-z0-9._-]{1,64}, no reserved word (latest, current, all),
 * not "." or "..", because a set is a directory in the mount.
 */
bool set_name_ok(const char *name);

/*
 * The set that a run belongs to: by name when `name` is given, else the one
 * with the same machine and the same resolved sources, newest first.  On 0,
 * *out is the newest generation of that set; 1: none yet (then a new one is
 * founded).
 */
int generation_find_set(const struct generation_list *l, const char *name,
			const char *machine, const char *const *sources,
			size_t source_count, const struct generation **out,
			struct err *e);

/* A free default name "HOST-NN" for a new set. */
int generation_new_set_name(const struct generation_list *l, const char *host,
			    struct buf *out, struct err *e);

/*
 * The base for a run of this session type in the set.  Incremental: the
 * newest full or incremental.  Differential: the newest whose effective type
 * is full and session type full or incremental (a promoted one).  Log: the
 * newest full, incremental or log.  Full and copy: none.  *out is NULL when
 * there is none.
 */
void generation_base(const struct generation_list *l,
		     const uint8_t set_id[16], unsigned session_type,
		     const struct generation **out);

/*
 * Give the record the next free number and publish it.  Everything it refers
 * to is durable already.  Checks that every pack the store knew is still
 * there (else ERR_MISSING).  Sets r->number; on failure it is as it was.
 */
int generation_publish(struct store *st, struct record *r, struct err *e);

#endif
