/*
 * round_internal - what round.c, its companions and part.c share.
 *
 * part.c is about one writer in a session: sending, waiting, judging;
 * round_begin.c about who is in it; round_line.c about what is said;
 * round_freeze.c about freeze and thaw; round.c about the other phases.
 * desk->lock is held in all of it; waiting releases it.
 */
#ifndef ASOF_WRITER_ROUND_INTERNAL_H
#define ASOF_WRITER_ROUND_INTERNAL_H

#include "src/writer/mailbox.h"
#include "src/writer/metadata.h"
#include "src/writer/round.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;

#define ROUND_SECOND UINT64_C(1000000000)

/* For the answer to an event that must not hold anybody up: abort and so on. */
#define ROUND_OWED_NS (10 * ROUND_SECOND)

/* Two time-outs in a row, and a writer is not waited for any more. */
#define ROUND_TIMEOUTS_MAX 2

uint64_t round_now(void);

/* An event on its way to one writer. */
struct part_event {
	enum event event;
	const char *rest; /* of the line, behind the id */
	uint64_t deadline_ns;
	uint64_t window_ns; /* as in mailbox_post */
};

/*
 * Send it; its answer is awaited from now on.  A writer that cannot be sent
 * anything any more has failed (PART_GONE).
 */
void part_send(struct round *s, struct part *p, const struct part_event *ev);

/*
 * Wait until nothing is awaited, or `until` (monotonic; what is awaited then
 * goes on being), or, if `interruptible`, until round->cancelled says so
 * (ERR_CANCELLED), or, with round->hasty, until one fails.  Every answer is
 * judged as it comes; a frozen writer whose window ends meanwhile fails, or,
 * while some still freeze, those do.
 */
int part_await(struct round *s, uint64_t until, bool interruptible,
	       struct err *e);

/*
 * It has failed, unless it had before: its statements of the event under way,
 * if that was not answered, are discarded.  `text` may be NULL.
 */
void part_fail(struct round *s, struct part *p, enum failure f,
	       const char *text);

/* It leaves the session; its program is ended.  Releases the lock meanwhile. */
void part_release(struct round *s, struct part *p);

/* Frees what it has; it has been released. */
void part_clear(struct part *p);

/* Sleep until the desk changes, or for a tenth of a second. */
void part_sleep(struct round *s);

/* Does it take part, and has it something to be asked about? */
static inline bool
part_takes(const struct part *p)
{
	return p->state == PART_TAKING && p->party != NULL;
}

/* --- of the others --------------------------------------------------------- */

/* What a phase was given to tell, while its events are made. */
struct news {
	const uint8_t *generation_id;
	uint32_t generation;
	const struct round_outcome *outcome;
	size_t outcomes;
	const struct round_place *place;
	size_t places;
};

/* What stands behind the id in an event's line: appended. */
void round_line(const struct round *s, const struct part *p, enum event ev,
		const struct news *news, struct buf *out);

enum metadata_level round_level(const struct part *p);

/* `remote=`, if the component depends on what is on another machine. */
void round_put_remote(const struct part *p, const char *component,
		      struct buf *out);

/* Make the line and send it. */
void round_send(struct round *s, struct part *p, enum event ev,
		const struct news *news, uint64_t deadline);

/* Is it this phase's turn, in a backup, with a snapshot?  ERR_USAGE: no. */
int round_expect_backup(const struct round *s, enum phase phase, bool snapshot,
			enum event ev, struct err *e);

/* The journal's next number is where this session's declarations begin. */
void round_take_cut(struct part *p);

/*
 * To all that are frozen, or may be, in reverse; a level that is slow does not
 * hold up the others for long.  Without a snapshot to be sure of nothing is
 * judged by windows, and nothing interrupts it.
 */
int round_thaw_all(struct round *s, bool snapshot_made, struct err *e);
bool round_any_frozen(const struct round *s);

/* Note who is frozen (`all`: or about to be); see frozen.h. */
int round_note_frozen(struct round *s, bool all, struct err *e);

/* Give back the lock that round_ready took. */
void round_give_exclusive(struct round *s);

static inline uint64_t
round_window_ns(const struct round *s)
{
	return s->begin.window_s * ROUND_SECOND;
}

struct part *round_part(struct round *s, const char *name); /* or NULL */
void round_forget_begin(struct round_begin *b);

#endif
