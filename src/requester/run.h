/*
 * run - what the parts of one backup with writers share.
 *
 *   cast      who takes part: documents, choice, bases, what writers are told
 *   still     the snapshot, and who is frozen for it
 *   journals  what was declared, read anew whenever it may have changed
 *   postcopy  what is still added when the walk is over
 *   images    what a carried component stands on, kept with this session
 *   writeup   the dossier of it all
 *   backup    leads
 *
 * One thread, but for what claims.h says of the claims.
 */
#ifndef ASOF_REQUESTER_RUN_H
#define ASOF_REQUESTER_RUN_H

#include "base/buf.h"
#include "src/engine/standin.h"
#include "src/requester/backup.h"
#include "src/requester/choose.h"
#include "src/requester/claims.h"
#include "src/requester/dossier.h"
#include "src/requester/history.h"
#include "src/writer/client.h"
#include "src/writer/reduce.h"
#include "src/writer/resolve.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct graft;
struct metadata;
struct snapshot;

/* A writer that the other side told of. */
struct run_writer {
	char *name;
	uid_t owner;
	struct resolver resolver; /* not of root's: its rights */
	bool resolved;
	struct metadata *document; /* NULL: none that can be used */
	struct buf text;           /* of it */
	uint32_t *incrementals, *differentials; /* per component, before */
	enum part_state state;
	enum event failed_at;
	enum failure failure;
	char *said; /* when it failed */
	uint8_t journal[JOURNAL_ID_LEN];
	uint64_t journal_first;
	uint64_t begun; /* the journal's next number at prepare-backup */
	uint64_t cut;   /* and at freeze; without a snapshot the same */
	bool taking; /* has a component in this session */
	bool refused;       /* a line that it said since the oldest base */
	struct buf refusal; /* why the first of them was */
};

/* An explicit component; claim[i] is the same for the walk. */
struct run_component {
	size_t writer; /* index */
	const char *name;
	struct history_base base; /* component NULL: none */
	struct reduced *reduced;  /* the latest; claims may point into */
	struct reduced *before;   /* the one that the walk went by */
	size_t attached; /* of `reduced`: so many are in their places */
	struct dossier_ref *image; /* kept by images_keep: the earlier ones */
	size_t images;
};

struct run {
	struct store *store;
	const struct backup_options *b;
	const struct requester_options *o;
	struct backup_job *job;
	struct backup_facts facts;
	unsigned type; /* enum metadata_type: the session's */
	struct client *client;
	struct history *history;
	struct run_writer *writer;
	struct choose_writer *choice; /* as `writer` */
	size_t writers;
	struct run_component *component;
	struct claims_component *claim;
	size_t components;
	struct claims_options claims_options;
	struct writer_claims *claims;
	struct snapshot *snapshot; /* NULL: none is wanted */
	struct standins standins;  /* what it is made of, once it is */
	struct requester_result *result;
	/* What is kept until the end. */
	void **kept;
	size_t kept_count;
};

/* Memory that lives as long as the run; NULL and *e. */
void *run_take(struct run *r, size_t len, struct err *e);
const char *run_text(struct run *r, const char *fmt, struct err *e, ...)
	__attribute__((format(printf, 2, 4)));
void run_note(const struct run *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* enum metadata_type of an enum generation_type. */
unsigned run_type(unsigned generation_type);

/* --- cast.c -------------------------------------------------------------- */

/* Is there anybody to be asked?  Asks nobody, and holds no lock. */
bool cast_is_anybody(const struct run *r);
/* Who is there, after identify. */
int cast_meet(struct run *r, struct err *e);
/* Choose, find bases, open them, and tell the other side who takes part. */
int cast_appoint(struct run *r, struct err *e);
/* What became of the writers since the last phase. */
int cast_look(struct run *r, struct err *e);
/*
 * A writer that is not with us any more takes its components along, whose files
 * are plain ones from now on; with --writer-failure=abort it ends the run.
 */
int cast_fail_gone(struct run *r, struct err *e);
void cast_clear(struct run *r);
/* Does the component keep a place in this session? */
bool cast_is_in(const struct run *r, size_t component);
/*
 * Has the writer failed, or gone, that has files here?  One that nobody knows
 * anything of may have, unless others are asked for by name.
 */
bool cast_has_failed(const struct run *r, size_t writer);

/* --- still.c ------------------------------------------------------------- */

/* The provider, and the sources it is to take. */
int still_open(struct run *r, struct err *e);
/* What writers take part with, too; and what is promised of it all. */
int still_announce(struct run *r, struct err *e);
/* Freeze, the snapshot, thaw.  Without a provider nothing. */
int still_with_writers(struct run *r, struct err *e);
/* The snapshot alone: nobody is asked. */
int still_alone(struct run *r, struct err *e);
/* Take it away. */
void still_end(struct run *r);

/* --- journals.c ---------------------------------------------------------- */

/* Read them up to now, twice at most: what was read last becomes `before`. */
int journals_read(struct run *r, struct err *e);
/* Whose lines were refused, and why: who reads all would like to know. */
void journals_tell_refused(const struct run *r);
void journals_free(struct reduced *d); /* takes NULL */

/* --- images.c ------------------------------------------------------------ */

/* One whose images cannot be kept has failed. */
int images_keep(struct run *r, struct graft *g, struct err *e);

/* --- postcopy.c, writeup.c ----------------------------------------------- */

int postcopy(void *run, struct graft *g, struct err *e);
int writeup(struct run *r, struct graft *g, struct err *e);

#endif
