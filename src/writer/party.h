/*
 * party - a registered writer, alive: its document, journal, log and events.
 *
 * What the control filesystem, programs in writers.d/ and sessions share.  A
 * desk holds all parties of one repository and user, and one lock: everything
 * here is called with desk->lock held, unless it says otherwise.  Who waits for
 * something waits on desk->changed, which is broadcast at every change; live
 * readers are woken through desk->wake.
 */
#ifndef ASOF_WRITER_PARTY_H
#define ASOF_WRITER_PARTY_H

#include "base/buf.h"
#include "src/writer/journal.h"
#include "src/writer/mailbox.h"
#include "src/writer/registry.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct intake_sink;
struct metadata;
struct round;
struct statement;

/* Limits (doc/control.md, section 2). */
#define PARTY_JOURNAL_QUOTA (UINT64_C(256) << 20) /* all of an owner's */
#define PARTY_LOG_MAX       (UINT64_C(4) << 20) /* of each of the two files */
#define PARTY_PENDING_MAX   ((size_t)8 << 20)   /* bytes of what `declare` shows */

/* What a session knows of one component; made at prepare-backup. */
struct party_component {
	char *name;       /* explicit */
	char *stamp;      /* for this session; NULL: not set */
	size_t stamp_len;
	char *metadata;   /* set once */
	/* The events that these two were said in; 0: in none. */
	uint64_t stamp_event, metadata_event;
	char *previous_stamp; /* the base's; NULL: none */
	size_t previous_len;
	uint8_t base_id[16]; /* zero: none */
	uint32_t base_number;
	unsigned type; /* enum metadata_type: effective */
};

/* An event whose statements are still to be discarded; see pen.h. */
#define PEN_OWED_MAX 8
struct pen_owed {
	uint8_t session[16];
	uint64_t event;
	struct ts when;
};

struct party {
	struct desk *desk;
	char *name; /* registration's */
	/* In desk->registry; moves with it.  Of a removed one a copy. */
	struct registration *registration;
	struct metadata *document;         /* NULL: none handed in yet */
	struct buf document_text;          /* its normal form */
	struct journal *journal;           /* NULL: cannot be opened, removed */
	struct mailbox mailbox;
	int journalfd; /* its directory; -1: none */
	int logfd;     /* -1: none */
	uint64_t log_bytes;
	struct round *session; /* that it takes part in, or NULL */
	struct party_component *component;
	size_t components;
	bool edits;  /* its edit window is open */
	bool window; /* from prepare-backup on (it counts from its delivery on)
			until the edit window ends */
	bool program; /* its voice is a program in writers.d/, not the files */
	uint64_t statements; /* of this session, for telling */
	unsigned busy; /* calls that release the lock and come back */
	bool copying;  /* one of them copies ranges files */
	/* The journal is written to by one at a time (pen.h): */
	uint64_t pen_drawn, pen_served; /* numbers */
	uint64_t writing; /* bytes, at most, that are being written */
	struct pen_owed owed[PEN_OWED_MAX];
	size_t owes;
	bool doubtful; /* owes more than there was room for */
	bool unclean;  /* the next opening finds that the last did not end well */
	bool spoilt;   /* what is on the disk is to be taken away first */
	bool removed;
	bool leaving; /* ... and what was kept of it is still there */
};

/* Everything of one repository and user. */
struct desk {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	int statefd;
	int lockfd;
	char *name;               /* registry_name() */
	char *repository;         /* its path, for people */
	uint8_t repository_id[16];
	bool root; /* run by root: serves other users, too */
	uid_t uid;
	struct registry registry;
	struct party **party; /* in the order of names */
	size_t parties;
	/*
	 * Those that were taken away.  They stay in memory until the end, so
	 * that who has one open may go on asking for `removed`.
	 */
	struct party **former;
	size_t formers;
	struct round *session[16]; /* in progress */
	uint64_t event_ids;
	uint64_t journal_quota; /* bytes of all journals of an owner's writers */
	/* A live reader of the party may have something to read, or to end. */
	void (*wake)(void *ctx, struct party *p);
	void *wake_ctx;
};

/*
 * Open the state of a repository and take its lock: ERR_BUSY when a control
 * process has it.  Every party's journal is opened; of one whose document does
 * not hold any more, the document is left out and a gap of all is appended.
 * desk_close marks a clean stop; no session is in progress and no other thread
 * is inside.  (No lock is held by these two.)
 */
int desk_open(const char *repository, const uint8_t repository_id[16],
	      struct desk **out, struct err *e);
void desk_close(struct desk *d);

struct party *desk_find(struct desk *d, const char *name);

/* Is somebody writing into a journal, with the lock released? */
bool desk_is_writing(const struct desk *d);

/*
 * Register a writer, and take one away.  EPERM, EEXIST, EINVAL, EDQUOT; EBUSY
 * while it takes part in a session.
 *
 * Whoever runs the desk, and root, may register: root's desk for anybody, a
 * user's for that user.  Others may register what they own and have taken away
 * themselves: what they were granted is kept for that.  Grants and services are
 * given by those who may register for anybody; given for a writer that is there
 * and has this owner, they replace what it had.  A user's own desk asks no
 * grants of writers that have none: they may name what the user can open.
 */
int desk_register(struct desk *d, uid_t caller, const struct registration *what,
		  struct party **out, struct err *e);
int desk_unregister(struct desk *d, uid_t caller, struct party *p,
		    struct err *e);

/* May this user act for the writer: is it its owner, or root? */
bool party_may(const struct party *p, uid_t caller);

/*
 * A whole document.  Validated, granted, stored, and a gap of all is appended
 * if file sets changed; on failure the old one stays.  Its file sets must not
 * overlap those of another writer, and no directory in it may be reached
 * through a symlink.  The lock is released while that is looked at.
 */
int party_document(struct party *p, const void *text, size_t len,
		   struct err *e);

/*
 * Statements (see intake.h): may it be accepted; accept; refuse.  Accepting
 * resolves the path (openat2 beneath the grant, no links, as the owner),
 * copies a ranges file, waits for a young ctime to pass one tick, and appends
 * to the journal.  The lock is released while files are touched, the journal's
 * too.
 */
int party_check(struct party *p, struct statement *s, struct err *e);
int party_accept(struct party *p, struct statement *const *s, size_t n,
		 struct err *e);
void party_refuse(struct party *p, const struct statement *s, const void *line,
		  size_t len, const struct err *why);

/* These three as an intake's sink, for the party as its context. */
void party_sink(struct party *p, struct intake_sink *out);

/*
 * A gap: of a file, of a component (path NULL), of all (both NULL); `why` is a
 * sentence.  What cannot be appended is logged.  Releases the lock.
 */
void party_gap(struct party *p, const char *component, const char *path,
	       const char *why);

/*
 * A stamp written by itself, as a backup-stamp statement; EBUSY once the edit
 * window has ended.
 */
int party_stamp(struct party *p, const char *component, const void *text,
		size_t len, struct err *e);

/*
 * A line of `answer`, when all is written that was said before it.  When it says
 * that the writer failed, what was said in that event is discarded.
 */
int party_answer(struct party *p, const void *line, size_t len,
		 struct err *e);

/* A line for people; control bytes escaped, the time in front. */
void party_log(struct party *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Append what `declare` shows: a line for each entry of the journal, with its
 * number, time and state (doc/control.md, section 1).  The newest, at most
 * PARTY_PENDING_MAX bytes; of them those that are about this component, or all
 * (NULL).  The lock is released while the journal is read.
 */
int party_pending(struct party *p, const char *component, struct buf *out,
		  struct err *e);

struct party_component *party_component(struct party *p, const char *name);

/* Tell everybody who waits. */
void desk_changed(struct desk *d, struct party *p);

#endif
