/*
 * history - what earlier generations of a set say about each component.
 *
 * doc/control.md, section 11.  From the dossiers: the base of a component, its
 * previous stamp, the images of a carried one, the counts that keep
 * incrementals and differentials apart.  Dossiers are read when they are asked
 * for, newest first, and kept.  A dossier that cannot be read is *lost*: its
 * generation is nobody's base, and what it may have said is taken for said where
 * that means that more is read.
 */
#ifndef ASOF_REQUESTER_HISTORY_H
#define ASOF_REQUESTER_HISTORY_H

#include "src/requester/dossier.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct generation;
struct generation_list;
struct store;

struct history;

/*
 * Where the text of a generation's dossier comes from: appended.  1: it has
 * none.  What cannot be read is -1; ERR_NOMEM and ERR_CANCELLED end the
 * question, all else is a lost one.
 */
typedef int (*history_load_fn)(void *ctx, const struct generation *g,
			       struct buf *out, struct err *e);

/* The list is borrowed.  set_id: only its generations count; NULL: all do. */
int history_open(struct store *st, const struct generation_list *l,
		 const uint8_t *set_id, struct history **out, struct err *e);
int history_open_with(const struct generation_list *l, const uint8_t *set_id,
		      history_load_fn load, void *ctx, struct history **out,
		      struct err *e);
void history_close(struct history *h); /* takes NULL */

/* The dossier of a generation: NULL when it has none or cannot be read. */
int history_dossier(struct history *h, uint32_t number,
		    const struct dossier **out, struct err *e);

struct history_base {
	const struct dossier_component *component; /* NULL: there is no base */
	struct dossier_ref generation;
	/* Another kept generation has, or a newer lost one may have, its stamp. */
	bool ambiguous;
};

/*
 * The base of a component for a session of this type: incremental, the newest
 * full or incremental in which it succeeded and is current; differential, the
 * newest in which it succeeded and its effective type is full (session type
 * full or incremental); log, the newest full, incremental or log.
 */
int history_base(struct history *h, const char *writer, const char *component,
		 unsigned session_type, struct history_base *out,
		 struct err *e);

/*
 * The image list of a component that is carried now: oldest first, from the
 * generation in which it was current up to the newest of all.  Those that were
 * forgotten are in it, too: the newest one's own record names them, and keeps
 * what they stored.  The one that is being made is not among them: it has no
 * number yet.  mem_free; NULL when there are none.  ERR_CORRUPT when a lost one
 * may be among them.
 */
int history_images(struct history *h, const char *writer, const char *component,
		   struct dossier_ref **out, size_t *n, struct err *e);

/*
 * What has to be known of a component from session to session, whatever type
 * they are and whether it took part.  As the newest generation says that knows
 * it; a lost one that is newer counts as an incremental or differential, if it is
 * one, in which an audit found a lie.  All zero when none knows it.
 */
struct history_memory {
	uint32_t incrementals, differentials; /* since its last full */
	bool untrusted; /* an audit found a lie; nothing has ended that since */
};
int history_memory(struct history *h, const char *writer, const char *component,
		   struct history_memory *out, struct err *e);

/* The newest that says anything of components of this writer; NULL: none. */
int history_writer(struct history *h, const char *writer,
		   const struct dossier_writer **out, struct err *e);

/*
 * The lowest cut of this journal that can still be a base; UINT64_MAX none.
 * Sets share a journal: to be asked of a history of all of them.
 */
int history_lowest_cut(struct history *h, const char *writer,
		       const uint8_t journal[JOURNAL_ID_LEN], uint64_t *out,
		       struct err *e);

#endif
