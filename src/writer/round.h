/*
 * round - one backup or restore, as the process sees it that talks to writers.
 *
 * doc/control.md, section 9.  The requester leads: it asks for one phase after
 * the other, and each call sends the phase's event to the writers that take
 * part and waits for all answers, or deadlines.  The states of a writer, which
 * events it gets and when it is left alone are all decided here, so that a
 * requester that dies needs no one to clean up behind it: round_end() does
 * what is owed (thaw, abort, shutdown) and is called when its connection
 * closes.
 *
 * Everything is called with desk->lock held; waiting releases it.
 */
#ifndef ASOF_WRITER_ROUND_H
#define ASOF_WRITER_ROUND_H

#include "src/writer/mailbox.h"
#include "src/writer/party.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct coprocess;
struct err;

enum round_kind { ROUND_BACKUP = 1, ROUND_RESTORE };

/* What phase a session has reached. */
enum phase {
	PHASE_NEW,
	PHASE_IDENTIFIED,
	PHASE_PREPARED,     /* backup: prepare-backup; restore: pre-restore */
	PHASE_READY,        /* prepare-snapshot */
	PHASE_FROZEN,
	PHASE_THAWED,
	PHASE_SNAPSHOT,     /* post-snapshot */
	PHASE_COPIED,       /* post-copy */
	PHASE_COMPLETE,     /* backup-complete; restore: post-restore */
	PHASE_ENDED,
};
const char *phase_name(enum phase p);

struct round_begin {
	enum round_kind kind;
	unsigned type; /* enum metadata_type: the session's */
	const char *set;
	const char *const *volume; /* mount points of the sources */
	size_t volumes;
	const char *snapshot; /* provider, or NULL: none */
	bool snapshot_atomic;
	bool partial_files;   /* may be declared */
	unsigned window_s;    /* of freeze; 0: 60 */
	unsigned answer_s;    /* for the other events; 0: 600 */
};

/* What became of a writer. */
enum part_state {
	PART_NONE,    /* does not take part */
	PART_ABSENT,  /* registered, and nobody listens, or it is not waited for */
	PART_TAKING,  /* takes part */
	PART_FAILED,  /* failed: see failure and text */
	PART_GONE,    /* removed, or its program ended */
};

struct part {
	char *name;
	uid_t owner;
	struct party *party; /* NULL: absent, or released: ask desk_find */
	enum part_state state;
	enum event failed_at;
	enum failure failure;
	struct buf text; /* what it said */
	bool frozen;     /* a freeze was sent and no thaw answered */
	uint64_t window_end_ns; /* of its freeze, once that is answered */
	bool snapshot_done; /* post-snapshot was answered: no abort */
	uint64_t cut;    /* journal_next() when freeze, or prepare-backup, was sent */
	uint8_t cut_journal[JOURNAL_ID_LEN]; /* and of which journal: see round_cut */
	struct coprocess *program; /* or NULL: it reads `events` */
	char *program_path;
	bool awaited;    /* an event is out, and its answer is waited for */
	bool told;       /* of the backup or restore: owed an end */
	bool finished;   /* has had its end: abort, shutdown, post-restore */
	bool aborted;    /* that was an abort: it may be repeated */
	bool timed_out;  /* let a deadline pass */
	struct buf restore; /* groups of words for its restore's events */
};

struct round {
	struct desk *desk;
	char id[33];
	uint8_t raw_id[16];
	struct round_begin begin; /* strings are copies */
	enum phase phase;
	uint64_t deadline_ns; /* of the phase, monotonic; 0 none */
	struct part *part;
	size_t parts;
	bool waiting; /* a call is in progress */
	bool hasty;   /* the first failure ends the wait */
	bool ended;   /* aborted, or its window ended: nothing but the end follows */
	bool expired; /* a window ended while the snapshot was made */
	int exclusive; /* the machine-wide lock, or -1 */
	/*
	 * Asked some ten times a second while something is waited for: true
	 * makes the call fail with ERR_CANCELLED.  NULL: never.
	 */
	bool (*cancelled)(void *ctx);
	void *cancel_ctx;
};

/* For tests: what time it is (NULL: time_monotonic_ns).  Not thread-safe. */
typedef uint64_t (*round_clock_fn)(void);
void round_clock(round_clock_fn fn);

/*
 * Begin: every registered writer is a part, and every program in the owner's
 * writers.d/ is started.  ERR_BUSY when a writer of it is in another session.
 */
int round_begin(struct desk *d, const struct round_begin *b,
		  struct round **out, struct err *e);

/* identify: who answers is there.  Documents are then parties' own. */
int round_identify(struct round *s, struct err *e);

/* A component that is in this session, explicit; before round_prepare. */
struct round_component {
	const char *writer, *component;
	unsigned type;               /* effective */
	const uint8_t *base_id;      /* NULL: none */
	uint32_t base_number;
	const char *previous_stamp;  /* NULL: none */
	size_t previous_len;
	/* Of a restore, what pre-restore and post-restore tell. */
	const char *restore;         /* words for the event's line, or NULL */
};
int round_component(struct round *s, const struct round_component *c,
		      struct err *e);

/*
 * One phase: send, wait, judge.  Writers without a component get nothing from
 * prepare-backup on.  0 also when writers failed: see their parts.  ERR_USAGE
 * for a phase out of order; ERR_CANCELLED when `cancel` was set meanwhile.
 *
 *   prepare     prepare-backup, or pre-restore
 *   ready       prepare-snapshot; takes the machine-wide lock
 *   freeze      front-end, back-end, system; any failure thaws all: *vetoed;
 *               the others can be made ready once more, or aborted
 *   thaw        in reverse; one that was late or not ok has failed
 *   snapshot    post-snapshot; gives the lock back
 *   copied      post-copy; ends the edit window
 *   complete    backup-complete with what succeeded; or post-restore
 */
int round_prepare(struct round *s, struct err *e);
int round_ready(struct round *s, struct err *e);
int round_freeze(struct round *s, bool *vetoed, struct err *e);
int round_thaw(struct round *s, struct err *e);

/*
 * Where in the snapshot a directory of a component is to be found.  At most so
 * many: who is not told of his deletes nothing.
 */
#define ROUND_PLACES_MAX 16384
struct round_place {
	const char *writer, *component;
	const char *dir, *place;
};
int round_snapshot(struct round *s, const struct round_place *place,
		   size_t places, struct err *e);
int round_copied(struct round *s, struct err *e);

struct round_outcome {
	const char *writer, *component;
	bool succeeded;
	const char *restore; /* of a restore: none, all, failed; else NULL */
	const char *metadata; /* what it said with restore-metadata, or NULL */
};
int round_complete(struct round *s, const uint8_t generation_id[16],
		     uint32_t generation, const struct round_outcome *outcome,
		     size_t outcomes, struct err *e);

/*
 * The cut, as a number of the journal that the writer has now; 0, below all that
 * it has, when that is not the one the cut was taken in.
 */
uint64_t round_cut(const struct part *p);

/* Abort what is under way; may be repeated. */
void round_abort(struct round *s);

/*
 * Between freeze and thaw no call is in progress: whoever serves the requester
 * calls this when deadline_ns has come.  Then the whole set is thawed, and
 * every writer of it has failed; round_thaw says so.
 */
void round_expire(struct round *s);

/*
 * The end, however it came: what is frozen is thawed, who was told of a backup
 * and not of its end gets backup-shutdown (or abort first), programs end.
 * Frees it.
 */
void round_end(struct round *s);

#endif
