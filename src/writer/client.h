/*
 * client - a requester's line to the process that talks to writers.
 *
 * That process is the control process, if one runs for this repository and
 * user; else a child of the requester's own, which serves programs in
 * writers.d/ only, and writers whose declarations wait in their journals.  In
 * both cases it outlives the requester by as long as it takes to thaw, abort
 * and shut down: it sees the connection close.
 *
 * Each call waits for its answer.  One thread.  Failing calls say whether the
 * line is broken (ERR_SYS), the other side refuses (ERR_USAGE, ERR_BUSY), or we
 * were interrupted (ERR_CANCELLED).  Nothing that comes over the line is
 * trusted beyond its form.
 */
#ifndef ASOF_WRITER_CLIENT_H
#define ASOF_WRITER_CLIENT_H

#include "src/writer/mailbox.h"
#include "src/writer/reduce.h"
#include "src/writer/round.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct client;
struct err;

/* Connect, or start a child.  *live: a control process answered. */
int client_open(const char *repository, const uint8_t repository_id[16],
		const atomic_int *cancel, struct client **out, bool *live,
		struct err *e);
/* Closes the line: what is owed to writers is done by the other side. */
void client_close(struct client *c);

/* A writer, as the other side told after the last phase. */
struct client_writer {
	char *name;
	uid_t owner;
	enum part_state state;
	enum event failed_at;
	enum failure failure;
	char *text;     /* of the failure; NULL none */
	char *document; /* after identify; NULL: it has none */
	size_t document_len;
	char **grant;
	size_t grants;
	char **service;
	size_t services;
	uint8_t journal[JOURNAL_ID_LEN];
	uint64_t journal_first;
	uint64_t cut; /* after prepare (without snapshot) or freeze */
	bool program;
	bool no_wait; /* two time-outs in a row: was not asked */
};
struct client_writers {
	struct client_writer *v;
	size_t count;
};

/* Owned by the client; each call below renews it. */
const struct client_writers *client_writers(const struct client *c);
/* The one of that name, or NULL. */
const struct client_writer *client_find(const struct client *c,
					const char *name);
const char *client_session(const struct client *c); /* 32 hex digits */

int client_begin(struct client *c, const struct round_begin *b,
		 struct err *e);
int client_identify(struct client *c, struct err *e);
int client_component(struct client *c, const struct round_component *k,
		     struct err *e);
/*
 * The snapshot will be of one moment for all: as round_begin.snapshot_atomic, for
 * who knows it only when the components are chosen.  Before client_prepare.
 */
int client_atomic(struct client *c, struct err *e);
int client_prepare(struct client *c, struct err *e);
int client_ready(struct client *c, struct err *e);
int client_freeze(struct client *c, bool *vetoed, struct err *e);
int client_thaw(struct client *c, struct err *e);
int client_snapshot(struct client *c, const struct round_place *place,
		    size_t places, struct err *e);
int client_copied(struct client *c, struct err *e);
int client_complete(struct client *c, const uint8_t generation_id[16],
		    uint32_t generation, const struct round_outcome *o,
		    size_t n, struct err *e);
int client_abort(struct client *c, struct err *e);

/*
 * The entries of a writer's journal from `seq` on, up to now, in order: `fn` as
 * in journal_read.  For reduce.h.
 */
int client_journal(struct client *c, const char *writer, uint64_t seq,
		   journal_fn fn, void *ctx, struct err *e);

/*
 * Entries below `seq` are below every cut that can still be a base; a gap
 * that the requester found (an in-place restore).
 */
int client_journal_drop(struct client *c, const char *writer, uint64_t seq,
			struct err *e);
int client_gap(struct client *c, const char *writer, const char *component,
	       const char *why, struct err *e);

/*
 * What the statements of a restore said of a component (restore-target,
 * directed-target, restore-metadata), line by line, in order.
 */
typedef int (*client_line_fn)(void *ctx, const char *line, size_t len,
			      struct err *e);
int client_restore_lines(struct client *c, const char *writer,
			 client_line_fn fn, void *ctx, struct err *e);

/* For `asof writer`: list, add, remove, log, reset, through the same line. */
int client_list(struct client *c, struct err *e); /* fills client_writers */
int client_register(struct client *c, const struct registration *what,
		    struct err *e);
int client_unregister(struct client *c, const char *writer, struct err *e);
int client_reset(struct client *c, const char *writer, struct err *e);
int client_log(struct client *c, const char *writer, struct buf *out,
	       struct err *e);

#endif
