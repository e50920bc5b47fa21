/*
 * voice - what a program says, line by line.
 *
 * doc/control.md, section 10.  Each line is handed on to where the control files
 * hand theirs (party.h).  What a program writes to its standard error goes to
 * the writer's log.
 *
 * One thread speaks; desk->lock is taken for each line, unless it says that it
 * must be held.
 */
#ifndef ASOF_WRITER_VOICE_H
#define ASOF_WRITER_VOICE_H

#include "base/buf.h"
#include "src/writer/intake.h"
#include "src/writer/mailbox.h"

#include <stdbool.h>
#include <stddef.h>

struct desk;
struct party;

#define VOICE_LOG_LINE 1024 /* longer ones are several */

struct voice {
	struct desk *desk;
	struct party *party;
	struct buf line; /* an unfinished one of its output */
	bool line_too_long;
	struct buf document;
	bool in_document;
	bool identified; /* it has answered identify: no document any more */
	struct buf fault;    /* why an event has failed, whatever it answers, */
	enum event fault_at; /* and which */
	char log_line[VOICE_LOG_LINE];
	size_t log_len;
	struct intake intake;
	struct intake_sink sink;
};

/* The party's; *v must not move from then on.  voice_clear frees what it has. */
void voice_begin(struct voice *v, struct desk *d, struct party *p);
void voice_clear(struct voice *v);

/* Some of its standard output, and of its standard error. */
void voice_output(struct voice *v, const char *p, size_t n);
void voice_log(struct voice *v, const char *p, size_t n);

/* No more will come: a last line without an end is one. */
void voice_end(struct voice *v);

/*
 * With desk->lock held: is an answer awaited of it?  And give it one in its
 * place: FAILURE_NONE is ok; else `text` says why.
 */
bool voice_owes(const struct voice *v);
void voice_answer(struct voice *v, enum failure f, const char *text);

#endif
