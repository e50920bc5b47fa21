/*
 * mailbox - events on their way to one writer, and its answers.
 *
 * doc/control.md, section 9.  What a live writer reads in `events` and writes
 * into `answer`, and what a program in writers.d/ gets on standard input and
 * says on standard output, goes through the same mailbox.  At most one event
 * waits for its answer at a time.  No threads and no clock of its own: the
 * caller locks, and says what time it is (monotonic nanoseconds).
 */
#ifndef ASOF_WRITER_MAILBOX_H
#define ASOF_WRITER_MAILBOX_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* In the order of a backup, then of a restore. */
enum event {
	EVENT_IDENTIFY = 1,
	EVENT_PREPARE_BACKUP,
	EVENT_PREPARE_SNAPSHOT,
	EVENT_FREEZE,
	EVENT_THAW,
	EVENT_POST_SNAPSHOT,
	EVENT_POST_COPY,
	EVENT_BACKUP_COMPLETE,
	EVENT_BACKUP_SHUTDOWN,
	EVENT_ABORT,
	EVENT_PRE_RESTORE,
	EVENT_POST_RESTORE,
};
const char *event_name(enum event ev);

/* How a writer fails. */
enum failure {
	FAILURE_NONE,
	FAILURE_RETRYABLE,
	FAILURE_FATAL,
	FAILURE_INCONSISTENT,
	FAILURE_RESOURCES,
	FAILURE_TIMEOUT,
};
const char *failure_name(enum failure f);
enum failure failure_parse(const char *s); /* FAILURE_NONE: no such word */

enum mail_state {
	MAIL_NONE,      /* nothing is under way */
	MAIL_WAITING,   /* nobody has read it yet */
	MAIL_DELIVERED, /* read, not answered */
	MAIL_ANSWERED,
	MAIL_EXPIRED, /* the deadline came first */
	MAIL_GONE,    /* the writer was removed, or its program ended */
};

struct mailbox {
	enum mail_state state;
	enum event event;
	uint64_t id;          /* of the event under way or last; rises */
	uint64_t deadline_ns; /* monotonic */
	uint64_t delivered_ns;
	uint64_t window_ns;   /* not 0: the deadline is so long after delivery */
	enum failure failure; /* MAIL_ANSWERED */
	struct buf text;      /* of the failure */
	struct buf line;      /* the event's, with its newline and no `left=` */
	struct buf unread;    /* bytes that the reader has not taken yet */
	bool redelivered;
	bool reader; /* somebody has `events` open */
};

void mailbox_clear(struct mailbox *m);

/*
 * Send an event: "NAME ID [KEY=VALUE ...]", where `rest` is what follows the
 * id (may be empty).  Ids come from *ids, one counter for all mailboxes of a
 * process.  What was under way before is forgotten.  window_ns not 0: counted
 * from its delivery; deadline_ns is the latest in any case.
 */
int mailbox_post(struct mailbox *m, enum event ev, const char *rest,
		 uint64_t *ids, uint64_t now_ns, uint64_t deadline_ns,
		 uint64_t window_ns, struct err *e);

/*
 * Bytes for the reader, at most `cap`: whole lines as far as they fit, the rest
 * is kept for the next call.  The line gets " left=MILLISECONDS" when it is
 * first taken.  0: nothing to read.
 */
size_t mailbox_take(struct mailbox *m, uint64_t now_ns, void *out, size_t cap);
bool mailbox_has(const struct mailbox *m); /* would take give something? */

/*
 * The reader has gone.  An event that it took and did not answer is delivered
 * once more, under the same id and in the same window.
 */
void mailbox_reader_gone(struct mailbox *m);

/*
 * Was the event under way delivered, and is it still to be answered?  Also while
 * it waits to be delivered once more: the writer knows of it.
 */
static inline bool
mailbox_is_open(const struct mailbox *m)
{
	return m->state == MAIL_DELIVERED ||
	       (m->state == MAIL_WAITING && m->redelivered);
}

/*
 * "ok ID" or "fail ID KIND TEXT", without a newline.  ESTALE: late, or an
 * earlier event's; EALREADY: answered before; EINVAL: never delivered, or no
 * answer at all.
 */
int mailbox_answer(struct mailbox *m, const void *line, size_t len,
		   uint64_t now_ns, struct err *e);

/* The deadline may have come; the writer may have gone. */
void mailbox_tick(struct mailbox *m, uint64_t now_ns);
void mailbox_gone(struct mailbox *m);

#endif
