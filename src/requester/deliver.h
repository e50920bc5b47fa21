/*
 * deliver - writing the files of one component set to where they go.
 *
 * After the verdict (method.h): whole files through the engine's restore, what
 * is directed and what is only ranges piece by piece.  All of it is durable
 * when it returns.
 */
#ifndef ASOF_REQUESTER_DELIVER_H
#define ASOF_REQUESTER_DELIVER_H

#include "src/engine/restore.h"
#include "src/requester/method.h"
#include "src/requester/places.h"
#include "src/writer/ranges.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* Pieces of a file that go to pieces of a file (the same one, or another). */
struct deliver_piece {
	const char *from; /* in the generation */
	const char *to;
	struct ranges from_ranges, to_ranges; /* pairs of one length */
	bool must_exist; /* `to` is not made */
};

struct delivery {
	const struct places *places;
	enum method_verdict verdict;
	enum restore_existing existing;
	const struct deliver_piece *piece;
	size_t pieces;
	const struct repository *repository;
	bool no_owner;
	const atomic_int *cancel;
	void (*failed)(void *ctx, const char *path, const struct err *why,
		       bool damage);
	void *ctx;

	/* What came of it. */
	uint64_t files, bytes;
	uint64_t failures;
	uint64_t damaged; /* of them: the repository's fault */
	bool touched;     /* something was changed */
};

/*
 * 0 also when files failed: they were told and counted.  -1 when it could not
 * go on; `touched` says whether something was changed before.
 */
int deliver(struct delivery *d, struct err *e);

/*
 * Can the pieces be delivered?  Sources are files of the restore and as long
 * as their ranges want, and there is room for the targets.
 */
int deliver_check(const struct delivery *d, struct err *e);

#endif
