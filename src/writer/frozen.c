/*
 * frozen.c
 *
 * One line for each writer, in the words of grammar.h.  It is written before
 * the first freeze is sent, so it may name somebody who never got one: an abort
 * too many does no harm.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/frozen.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "src/writer/grammar.h"
#include "src/writer/value.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NAME "frozen"
#define MAX  (UINT64_C(1) << 20)

int
frozen_note(int statefd, const char *const *writer, size_t n, struct err *e)
{
	struct buf text = { 0 };
	size_t i;
	int rc;

	if (n == 0)
		return io_unlink(statefd, NAME, e);
	for (i = 0; i < n; i++) {
		buf_add_str(&text, "frozen");
		grammar_put(&text, writer[i]);
		buf_add_char(&text, '\n');
	}
	rc = buf_ok(&text, e);
	if (rc == 0)
		rc = io_publish(statefd, NAME, text.data, text.len, true, e);
	buf_clear(&text);
	return rc;
}

static void
take_line(const char *line, size_t len, struct buf *out)
{
	struct grammar_line l = { 0 };
	struct err ignored = { 0 };

	if (grammar_split(&l, line, len, &ignored) == 0 && l.count == 2 &&
	    strcmp(l.word[0].s, "frozen") == 0 &&
	    value_writer_fault(l.word[1].s) == NULL)
		buf_add(out, l.word[1].s, l.word[1].len + 1);
	grammar_clear(&l);
}

int
frozen_read(int statefd, struct buf *out, struct err *e)
{
	struct buf text = { 0 };
	const char *at;
	const char *end;
	size_t left;
	int rc = io_read_file(statefd, NAME, MAX, &text, e);

	at = (const char *)text.data;
	for (left = rc == 0 ? text.len : 0; left > 0;) {
		end = memchr(at, '\n', left);
		if (end == NULL)
			break;
		take_line(at, (size_t)(end - at), out);
		left -= (size_t)(end - at) + 1;
		at = end + 1;
	}
	buf_clear(&text);
	return rc == 0 ? buf_ok(out, e) : rc;
}
