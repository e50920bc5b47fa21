/*
 * coprocess - a program in writers.d/, started for one session.
 *
 * doc/control.md, section 10.  Event lines on its standard input, statements
 * and answers on its standard output, what it prints on standard error goes to
 * its log.  It runs as the writer's owner with a clean environment, / as
 * working directory, no descriptors but 0 to 2, and a process group of its own
 * that is killed at the end.  End of file on its input means abort.  Ended
 * without an answer: exit 0 is ok, 75 a retryable failure, all else a fatal
 * one.
 *
 * A thread of its own reads what it prints; everything it says goes through
 * the same functions as the control files (party.h).
 */
#ifndef ASOF_WRITER_COPROCESS_H
#define ASOF_WRITER_COPROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct coprocess;
struct desk;
struct err;
struct party;

#define COPROCESS_OUTPUT_MAX (64u << 20) /* bytes of one session */
#define COPROCESS_GRACE_MS   5000        /* behind the end of its input */

/*
 * Programs of the directory that root, or this user, has: /etc/asof/writers.d
 * or $XDG_CONFIG_HOME/asof/writers.d (ASOF_WRITERS_D instead, for a user's
 * own).  A program must belong to root or to the user and not be writable by
 * others, nor must its directory; each that is not is told to fn with a reason.
 * The program's file name, without an extension, is the writer's name.
 */
typedef int (*coprocess_fn)(void *ctx, const char *name, const char *path,
			    const char *refused, struct err *e);
int coprocess_list(const struct desk *d, coprocess_fn fn, void *ctx,
		   struct err *e);

/*
 * Start it for the party, which speaks through it from then on and is in a
 * session.  Releases desk->lock meanwhile: who the owner is, others may have to
 * be asked for.
 */
int coprocess_start(struct desk *d, struct party *p, const char *path,
		    const char *session, struct coprocess **out,
		    struct err *e);

/* There may be lines in the mailbox: write them to its input. */
void coprocess_deliver(struct coprocess *c);

/* Is it there to be told something?  These three with desk->lock held. */
bool coprocess_running(const struct coprocess *c);

/* Its deadline came: kill its group, now. */
void coprocess_kill(struct coprocess *c);

/*
 * It is to end: close its input behind what is still to be written, and kill its
 * group COPROCESS_GRACE_MS later.  Takes NULL; a second time changes nothing.
 * desk->lock is held, and is not released: several can be told.
 */
void coprocess_dismiss(struct coprocess *c);

/* The same, and wait for its end, and free it.  Releases desk->lock meanwhile. */
void coprocess_end(struct coprocess *c);

#endif
