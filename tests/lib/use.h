/*
 * use - a repository that is open, as a command has it.
 */
#ifndef ASOF_TESTS_LIB_USE_H
#define ASOF_TESTS_LIB_USE_H

#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"

#include <string.h>

struct use {
	struct repository *repo;
	struct session *session;
	struct store *store;
};

static inline void
use_end(struct use *u)
{
	store_close(u->store);
	session_end(u->session);
	repository_close(u->repo);
	memset(u, 0, sizeof(*u));
}

/* `kind`: of the session.  What failed half way is closed. */
static inline int
use_begin(struct use *u, const char *path, const char *kind, struct err *e)
{
	memset(u, 0, sizeof(*u));
	if (repository_open(path, &u->repo, e) < 0 ||
	    session_begin(u->repo, kind, &u->session, e) < 0 ||
	    store_open(u->repo, u->session, NULL, &u->store, e) < 0) {
		use_end(u);
		return -1;
	}
	return 0;
}

#endif
