/*
 * control_file.c
 *
 * Four files are written.  `declare` goes through an intake (intake.h).  Lines
 * of `answer` are joined here by the same rule: what write(2) returns ends with
 * a line that was accepted, or with one that is not finished.  `metadata` is
 * the same once more, with documents, which end with their line `end`, in place
 * of lines.  `stamp` takes each write as one value.
 *
 * Nothing is made of an offset, nor of a flush: what a write brings is said
 * when it comes, by the write itself.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/control_file.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/time.h"
#include "fuse/control_events.h"
#include "fuse/control_text.h"
#include "fuse/report.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/refuse.h"
#include "src/writer/statement.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LOG_READ_MAX (128 * 1024) /* of the log, at once */

static struct party *
party_of(const struct control_handle *h)
{
	return control_tree_party(h->control, h->node);
}

int
control_file_errno(const struct err *e)
{
	if (e->kind == ERR_BUSY)
		return EBUSY;
	if (e->kind != ERR_USAGE && report_has_room())
		report_line("control files: %s", e->text);
	return refuse_errno(e);
}

/* --- statements ----------------------------------------------------------- */

static size_t
count_transactions(const struct control *c, uid_t uid)
{
	const struct control_handle *h;
	size_t n = 0;

	for (h = c->handle; h != NULL; h = h->next)
		if (h->uid == uid && h->intake.transaction)
			n++;
	return n;
}

static int
gone(struct err *e)
{
	return refuse_set(e, ENOENT, "the writer is not registered any more");
}

static int
begin_transaction(void *ctx, struct err *e)
{
	const struct control_handle *h = ctx;

	if (h->uid == 0 || count_transactions(h->control, h->uid) <
				   CONTROL_TRANSACTIONS_MAX)
		return 0;
	return refuse_set(e, EDQUOT, "more than %d transactions",
			  CONTROL_TRANSACTIONS_MAX);
}

static int
check_statement(void *ctx, struct statement *s, struct err *e)
{
	struct party *p = party_of(ctx);

	return p != NULL ? party_check(p, s, e) : gone(e);
}

static int
accept_statements(void *ctx, struct statement *const *s, size_t n,
		  struct err *e)
{
	struct party *p = party_of(ctx);

	return p != NULL ? party_accept(p, s, n, e) : gone(e);
}

static void
refuse_statement(void *ctx, const struct statement *s, const void *line,
		 size_t len, const struct err *why)
{
	struct party *p = party_of(ctx);

	if (p != NULL)
		party_refuse(p, s, line, len, why);
}

/* --- one at a time -------------------------------------------------------- */

void
control_file_take(struct control_handle *h)
{
	struct desk *d = h->control->desk;

	h->waiting++;
	while (h->busy)
		(void)pthread_cond_wait(&d->changed, &d->lock);
	h->waiting--;
	h->busy = true;
}

bool
control_file_try(struct control_handle *h)
{
	if (h->busy && h->waiting >= CONTROL_WAITING_MAX)
		return false;
	control_file_take(h);
	return true;
}

void
control_file_give(struct control_handle *h)
{
	h->busy = false;
	(void)pthread_cond_broadcast(&h->control->desk->changed);
}

/* --- opening -------------------------------------------------------------- */

static size_t
count_handles(const struct control *c, uid_t uid)
{
	const struct control_handle *h;
	size_t n = 0;

	for (h = c->handle; h != NULL; h = h->next)
		if (h->uid == uid)
			n++;
	return n;
}

/* A program's events are not for the files; and one reader is enough. */
static int
take_events(struct control *c, const struct control_node *n)
{
	struct party *p = control_tree_party(c, n);

	if (p->program || p->mailbox.reader)
		return EBUSY;
	p->mailbox.reader = true;
	(void)pthread_cond_broadcast(&c->desk->changed);
	return 0;
}

static int
rights_wanted(int flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return R_OK;
	case O_WRONLY:
		return W_OK;
	default:
		return R_OK | W_OK;
	}
}

static void
link_handle(struct control *c, struct control_handle *h)
{
	h->next = c->handle;
	if (h->next != NULL)
		h->next->previous = h;
	c->handle = h;
	control_tree_hold(h->node);
}

static void
unlink_handle(struct control_handle *h)
{
	if (h->previous != NULL)
		h->previous->next = h->next;
	else
		h->control->handle = h->next;
	if (h->next != NULL)
		h->next->previous = h->previous;
	control_tree_release(h->node);
}

int
control_file_open(struct control *c, struct control_node *n, uid_t uid,
		  int flags, struct control_handle **out)
{
	int error = control_tree_may(c, n, uid, rights_wanted(flags));
	struct control_handle *h;

	if (error != 0)
		return error;
	if (uid != 0 && count_handles(c, uid) >= CONTROL_HANDLES_MAX)
		return EMFILE;
	h = mem_zalloc(sizeof(*h));
	if (h == NULL)
		return ENOMEM;
	if (n->kind == CONTROL_EVENTS)
		error = take_events(c, n);
	if (error != 0) {
		mem_free(h);
		return error;
	}
	h->control = c;
	h->node = n;
	h->uid = uid;
	h->sink = (struct intake_sink){
		.begin = begin_transaction,
		.check = check_statement,
		.accept = accept_statements,
		.refused = refuse_statement,
		.ctx = h,
	};
	h->intake.sink = &h->sink;
	link_handle(c, h);
	*out = h;
	return 0;
}

/* What was begun and not ended is nothing. */
static void
drop_part(struct control_handle *h)
{
	struct party *p = party_of(h);

	if (p != NULL && h->part.len > 0 && h->node->kind == CONTROL_ANSWER)
		party_log(p, "refused: an answer without its newline");
	else if (p != NULL && h->part.len > 0)
		party_log(p, "refused: a document without its line end");
	buf_clear(&h->part);
}

void
control_file_close(struct control_handle *h)
{
	if (h->node->kind == CONTROL_DECLARE)
		intake_close(&h->intake);
	else if (h->node->kind == CONTROL_EVENTS)
		control_events_close(h);
	drop_part(h);
	buf_clear(&h->shown);
	unlink_handle(h);
	mem_free(h);
}

/* True: its transaction was aborted, and the lock was released for that. */
static bool
tick(struct control_handle *h, uint64_t now)
{
	bool aborted;

	if (h->busy || !h->intake.transaction)
		return false;
	control_file_take(h);
	aborted = intake_tick(&h->intake, now);
	control_file_give(h);
	return aborted;
}

void
control_file_tick(struct control *c)
{
	uint64_t now = time_monotonic_ns();
	struct control_handle *h = c->handle;

	/* Handles may have come and gone meanwhile. */
	while (h != NULL)
		h = tick(h, now) ? c->handle : h->next;
}

/* --- reading -------------------------------------------------------------- */

/* The log grows and is not to be copied: it is read where it lies. */
static int
read_log(struct control_handle *h, off_t offset, size_t size)
{
	const struct party *p = party_of(h);
	struct err e = { 0 };
	uint8_t *room;
	ssize_t n;

	if (p == NULL)
		return ENOENT;
	buf_reset(&h->shown);
	if (size > LOG_READ_MAX)
		size = LOG_READ_MAX;
	room = buf_extend(&h->shown, size);
	if (room == NULL)
		return ENOMEM;
	n = io_read_some(p->logfd, room, size, (uint64_t)offset, "log", &e);
	if (n < 0)
		return control_file_errno(&e);
	h->shown.len = (size_t)n;
	return 0;
}

static int
take_text(struct control_handle *h)
{
	struct err e = { 0 };
	int rc;

	if (h->taken)
		return 0;
	buf_clear(&h->shown);
	rc = control_text(h->control, h->node, &h->shown, &e);
	if (rc == 1)
		return ENOENT;
	if (rc < 0)
		return control_file_errno(&e);
	h->taken = true;
	return 0;
}

int
control_file_read(struct control_handle *h, off_t offset, size_t size,
		  const uint8_t **at, size_t *len)
{
	bool log = h->node->kind == CONTROL_LOG;
	int error = log ? read_log(h, offset, size) : take_text(h);
	uint64_t from = log ? 0 : (uint64_t)offset;

	if (error != 0)
		return error;
	if (from > h->shown.len)
		from = h->shown.len;
	*at = h->shown.data + from;
	*len = h->shown.len - (size_t)from;
	if (*len > size)
		*len = size;
	return 0;
}

int
control_file_list(struct control_handle *h, bool anew)
{
	struct err e = { 0 };

	if (h->taken && !anew)
		return 0;
	buf_clear(&h->shown);
	h->taken = false;
	if (control_tree_list(h->control, h->node, &h->shown, &e) < 0)
		return control_file_errno(&e);
	h->taken = true;
	return 0;
}

/* --- writing -------------------------------------------------------------- */

/* Units of lines that are taken together. */
struct unit {
	/* Is this, whose last line is there with its newline, a whole one? */
	bool (*whole)(const struct buf *b);
	int (*take)(struct party *p, const struct buf *b, struct err *e);
	size_t max; /* bytes */
	int too_long;
	const char *what;
};

static bool
is_answer(const struct buf *b)
{
	(void)b;
	return true;
}

static int
take_answer(struct party *p, const struct buf *b, struct err *e)
{
	return party_answer(p, b->data, b->len - 1, e);
}

/* Does the last line say `end`, as the document's grammar has it? */
static bool
is_document(const struct buf *b)
{
	struct grammar_line words = { 0 };
	const size_t len = b->len - 1;
	const uint8_t *nl = memrchr(b->data, '\n', len);
	const uint8_t *line = nl != NULL ? nl + 1 : b->data;
	bool found;

	if ((size_t)(b->data + len - line) > GRAMMAR_LINE_MAX)
		return false;
	(void)grammar_split(&words, line, (size_t)(b->data + len - line), NULL);
	found = words.count > 0 && strcmp(words.word[0].s, "end") == 0;
	grammar_clear(&words);
	return found;
}

static int
take_document(struct party *p, const struct buf *b, struct err *e)
{
	return party_document(p, b->data, b->len, e);
}

static const struct unit an_answer = {
	is_answer, take_answer, GRAMMAR_LINE_MAX + 1, EMSGSIZE, "an answer",
};
static const struct unit a_document = {
	is_document, take_document, METADATA_LEN_MAX, EDQUOT, "a document",
};

/* `len` bytes of one line more: 1 when that made a unit which was taken. */
static int
add_line(struct control_handle *h, const struct unit *u, const uint8_t *p,
	 size_t len, struct err *e)
{
	struct party *party = party_of(h);

	if (party == NULL)
		return gone(e);
	if (h->part.len + len > u->max) {
		refuse_set(e, u->too_long, "%s of more than %zu bytes", u->what,
			   u->max);
		party_log(party, "refused: %s", e->text);
		return -1;
	}
	buf_add(&h->part, p, len);
	if (buf_ok(&h->part, e) < 0)
		return -1;
	if (p[len - 1] != '\n' || !u->whole(&h->part))
		return 0;
	return u->take(party, &h->part, e) < 0 ? -1 : 1;
}

static ssize_t
write_units(struct control_handle *h, const struct unit *u, const uint8_t *p,
	    size_t n)
{
	bool older = h->part.len > 0; /* the unit began in an earlier write */
	struct err e = { 0 };
	const uint8_t *nl;
	size_t done = 0;
	size_t at = 0;
	size_t next;
	int error;
	int rc;

	if (h->broken != 0)
		return -h->broken;
	for (; at < n; at = next) {
		nl = memchr(p + at, '\n', n - at);
		next = nl != NULL ? (size_t)(nl - p) + 1 : n;
		rc = add_line(h, u, p + at, next - at, &e);
		if (rc == 0)
			continue;
		buf_clear(&h->part);
		if (rc < 0)
			break;
		done = next;
		older = false;
	}
	if (at == n)
		return (ssize_t)n;
	error = control_file_errno(&e);
	if (done > 0)
		return (ssize_t)done;
	if (older)
		h->broken = error;
	return -error;
}

static ssize_t
write_stamp(struct control_handle *h, const void *p, size_t n)
{
	struct party *party = party_of(h);
	struct err e = { 0 };

	if (party == NULL)
		return -ENOENT;
	if (party_stamp(party, control_tree_component(h->node), p, n, &e) < 0)
		return -control_file_errno(&e);
	return (ssize_t)n;
}

ssize_t
control_file_write(struct control_handle *h, const void *p, size_t n)
{
	switch (h->node->kind) {
	case CONTROL_DECLARE:
		if (party_of(h) == NULL)
			return -ENOENT;
		return intake_write(&h->intake, p, n, time_monotonic_ns());
	case CONTROL_ANSWER:
		return write_units(h, &an_answer, p, n);
	case CONTROL_METADATA:
		return write_units(h, &a_document, p, n);
	case CONTROL_STAMP:
		return write_stamp(h, p, n);
	default:
		return -EBADF;
	}
}
