/*
 * wire - messages between a requester and the process that talks to writers.
 *
 * A message is a line in the words of grammar.h.  If its last option is
 * `bytes=N`, N bytes follow the line; a descriptor may come with it.  Nothing
 * is kept that is longer than the reader said he would take.
 *
 * One thread.  Every call ends soon after *cancel is set (ERR_CANCELLED), if
 * there is one.
 */
#ifndef ASOF_WRITER_WIRE_H
#define ASOF_WRITER_WIRE_H

#include "base/buf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct grammar_line;

struct wire {
	int fd; /* a stream socket, borrowed */
	const atomic_int *cancel;
	struct buf in; /* read and not taken */
	int passed;    /* a descriptor that came, or -1 */
};

#define WIRE(fd_, cancel_) \
	((struct wire){ .fd = (fd_), .cancel = (cancel_), .passed = -1 })
void wire_clear(struct wire *w); /* not the socket */

/*
 * Send bytes that are whole messages; `pass` is a descriptor that goes with
 * them, or -1.  ERR_SYS: the other side is gone.
 */
int wire_send(struct wire *w, const struct buf *b, int pass, struct err *e);

/*
 * Append the option that announces n bytes, the end of the line, and them.
 */
void wire_put_bytes(struct buf *out, const void *p, size_t n);

/*
 * The next line, taken apart; *out wants grammar_clear.  1: the other side has
 * closed; 2: `until` (monotonic; 0 never) came first.
 */
int wire_line(struct wire *w, uint64_t until, struct grammar_line *out,
	      struct err *e);

/* The n bytes behind it, appended to *out; no more than `max`. */
int wire_bytes(struct wire *w, uint64_t n, size_t max, struct buf *out,
	       struct err *e);

/* The descriptor that came last, or -1: the caller's from now on. */
int wire_passed(struct wire *w);

/* Has the other side closed, or half of it? */
bool wire_hung_up(int fd);

/* --- options of a line ------------------------------------------------------ */

/* NULL: not there. */
const char *wire_text(const struct grammar_line *l, const char *key);
bool wire_flag(const struct grammar_line *l, const char *name);

/* 0 when it is not there, or is none, or is above `max`. */
uint64_t wire_number(const struct grammar_line *l, const char *key,
		     uint64_t max);
bool wire_hex(const struct grammar_line *l, const char *key, uint8_t out[16]);

void wire_put_number(struct buf *out, const char *key, uint64_t v);
void wire_put_hex(struct buf *out, const char *key, const uint8_t p[16]);

/* An error as a message, and back (always -1). */
void wire_put_error(struct buf *out, const struct err *what);
int wire_take_error(const struct grammar_line *l, struct err *e);

#endif
