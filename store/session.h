/*
 * session - the mark that somebody is using the repository, and the packs that
 * are condemned.
 *
 * Every backup, view, check and prune creates sessions/RANDOM and holds flock
 * on it before its first look-up, and then reads condemned/.  Liveness is the
 * lock, never age (doc/format.md, sections 13 and 14).  In a repository that
 * cannot be written a session is nothing but the condemned list.
 *
 * One thread at a time, but for session_condemned and session_references.
 */
#ifndef ASOF_STORE_SESSION_H
#define ASOF_STORE_SESSION_H

#include "store/pack.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct repository;
struct session;

/*
 * Begin a session; `kind` is one word for people, a constant.  Removes a few files of
 * sessions that died.  `r` is borrowed and must outlive the session.
 */
int session_begin(const struct repository *r, const char *kind,
		  struct session **out, struct err *e);

/*
 * Write the epoch (highest generation seen) into the session file; nothing
 * where there is no file.
 */
int session_epoch(struct session *s, uint32_t epoch, struct err *e);

/*
 * The repository was opened anew (repository_follow): if the session's file is
 * not there any more, make another.  After a failure there is none.
 */
int session_renew(struct session *s, struct err *e);

/* True when the pack is condemned: it counts as absent for new references. */
bool session_condemned(const struct session *s, const struct pack_id *id);

/*
 * Fail with ERR_CORRUPT, or with what else went wrong, when condemned/ could
 * not be read in full.  Whoever makes new references asks this first: without
 * the list every pack counts as condemned.  Reading does not need the list, so
 * damage to it does not keep a session from beginning.
 */
int session_references(const struct session *s, struct err *e);

/* Removes the file and the lock; takes NULL. */
void session_end(struct session *s);

/*
 * Hold a named lock for the whole run: one backup per source set, one set per
 * session.  The lock is a file sessions/set-HEX (32 digits), which stays when
 * the lock is gone; 1 when somebody holds it.
 */
int session_lock_set(struct session *s, const unsigned char set_id[16],
		     struct err *e);

#endif
