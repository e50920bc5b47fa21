/*
 * history - what earlier generations of a set say about each component.
 *
 * doc/control.md, section 11.  From the dossiers: the base of a component, its
 * previous stamp, the images of a carried one, the counts that keep
 * incrementals and differentials apart.  Dossiers are read when they are asked
 * for, newest first, and kept.  A dossier that cannot be read counts as none:
 * its generation is nobody's base.
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
 * question, all else counts as none.
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
	bool ambiguous; /* another kept generation has the same stamp for it */
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
 * number yet.  mem_free; NULL when there are none.
 */
int history_images(struct history *h, const char *writer, const char *component,
		   struct dossier_ref **out, size_t *n, struct err *e);

/*
 * Incrementals and differentials of a component since its last full, as the
 * newest generation says that knows it; zero when none does.
 */
int history_counts(struct history *h, const char *writer, const char *component,
		   uint32_t *incrementals, uint32_t *differentials,
		   struct err *e);

/* Did an audit find a lie, and has no whole read ended that since? */
int history_untrusted(struct history *h, const char *writer,
		      const char *component, bool *out, struct err *e);

/*
 * The lowest cut of this journal that can still be a base; UINT64_MAX none.
 * Sets share a journal: to be asked of a history of all of them.
 */
int history_lowest_cut(struct history *h, const char *writer,
		       const uint8_t journal[JOURNAL_ID_LEN], uint64_t *out,
		       struct err *e);

#endif
