/*
 * roster - what a requester is told of writers, and how it is said.
 *
 * A writer is a line, with its document behind it, and a line for each grant and
 * service.  What does not change in a session is said once: a line with `kept`
 * leaves it out, and who hears it moves it over from what he knew.
 */
#ifndef ASOF_WRITER_ROSTER_H
#define ASOF_WRITER_ROSTER_H

#include "src/writer/client.h"

#include <stdbool.h>
#include <sys/types.h>

struct buf;
struct err;
struct grammar_line;
struct part;
struct party;
struct wire;

/* A writer as it is told: of a session, or of the desk alone. */
struct roster_writer {
	const char *name;
	uid_t owner;
	const struct part *part; /* NULL: of no session */
	struct party *party;     /* NULL: it was taken away */
	bool whole;              /* with its document, grants and services */
	bool program;            /* of no session: has one in writers.d */
};

/* Append its lines; desk->lock is held. */
void roster_put(struct buf *out, const struct roster_writer *t);

/*
 * Take its first line, and its document from the wire: appended to *next.  What
 * it leaves out is taken from *known.
 */
int roster_take(struct client_writers *next, struct client_writers *known,
		struct wire *wire, const struct grammar_line *l, struct err *e);

/* Take a line `grant` or `service`, which is of the writer that came last. */
int roster_more(struct client_writers *next, const struct grammar_line *l,
		struct err *e);

/* NULL: there is none of this name. */
struct client_writer *roster_find(const struct client_writers *w,
				  const char *name);

void roster_clear(struct client_writers *w);

#endif
