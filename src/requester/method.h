/*
 * method - whether the files of a component go back, and where to.
 *
 * doc/control.md, section 12.  A writer's document names one restore method, a
 * writer may ask for another target in pre-restore, and each file's place is
 * free, taken, or stuck.  From these comes one verdict for the whole component
 * set: all of its files go to one kind of place, or none is touched.
 *
 * Pure.
 */
#ifndef ASOF_REQUESTER_METHOD_H
#define ASOF_REQUESTER_METHOD_H

#include "src/writer/metadata.h"
#include "src/writer/statement.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

enum method_verdict {
	VERDICT_HOME = 1,  /* each to where it was, or to its new target */
	VERDICT_ALTERNATE, /* each to its alternate location */
	VERDICT_STAGED,    /* beside, for somebody to put in place */
};

/* How many files a kind of place has no room for; for one of them, why. */
struct method_places {
	uint64_t there;     /* something is there already */
	uint64_t stuck;     /* cannot be made or replaced */
	const char *first;  /* a path that is there; NULL: none is */
	const char *why;    /* of a stuck one: "PATH: sentence" */
};

/* What is known of the files of a component set, looked at now. */
struct method_facts {
	uint64_t files;    /* without those that are directed elsewhere */
	uint64_t unmapped; /* have no alternate location */
	const char *lost;  /* one of them, or NULL */
	struct method_places home, alternate;
};

/*
 * The verdict.  target: as the writer said, 0 for nothing.  ERR_USAGE with a
 * sentence when the files cannot go anywhere; then nothing is to be touched.
 */
int method_decide(enum metadata_method method, enum statement_target target,
		  const struct method_facts *f, enum method_verdict *out,
		  struct err *e);

/* Does the service stop before the files are written? or after post-restore? */
bool method_stops_before(enum metadata_method method);
bool method_restarts_after(enum metadata_method method);

/*
 * Is the writer told of the restore?  Who wants to hear of failures only hears
 * of all: for the writer, post-restore is also the end of it.
 */
bool method_tells(enum metadata_events events);

#endif
