/*
 * control_events.c
 *
 * libfuse calls on_interrupt with a lock of the request held, which it also
 * takes where the function is told to it: so that is done before desk->lock is
 * taken, and an interrupt that comes before the request waits in the list is
 * asked for once it does.  The function finds the request by its address alone:
 * once it was answered, its handle may be closed already.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/control_events.h"

#include "base/mem.h"
#include "base/time.h"
#include "src/writer/party.h"

#include <errno.h>
#include <poll.h>

#define PIECE_MAX   8192 /* of one answer; short reads keep the rest */
#define READERS_MAX 16   /* that wait at one handle, in threads of the writer */

/* Nothing will come any more. */
static bool
is_over(const struct control_handle *h)
{
	return h->control->stopping ||
	       control_tree_party(h->control, h->node) == NULL;
}

/* Answer with what there is; false: nothing. */
static bool
answer(struct control_handle *h, struct party *p, fuse_req_t req, size_t size)
{
	char piece[PIECE_MAX];
	size_t n;

	if (size > sizeof(piece))
		size = sizeof(piece);
	n = mailbox_take(&p->mailbox, time_monotonic_ns(), piece, size);
	if (n == 0)
		return false;
	(void)fuse_reply_buf(req, piece, n);
	(void)pthread_cond_broadcast(&h->control->desk->changed);
	return true;
}

static void
drop_reader(struct control_handle *h)
{
	struct control_reader *r = h->reader;

	h->reader = r->next;
	mem_free(r);
}

static void
end_readers(struct control_handle *h)
{
	while (h->reader != NULL) {
		(void)fuse_reply_buf(h->reader->req, NULL, 0);
		drop_reader(h);
	}
}

static void
notify_poll(struct control_handle *h)
{
	if (h->poll == NULL)
		return;
	(void)fuse_lowlevel_notify_poll(h->poll);
	fuse_pollhandle_destroy(h->poll);
	h->poll = NULL;
}

/* Serve those who wait. */
static void
serve(struct control_handle *h, struct party *p)
{
	while (h->reader != NULL &&
	       answer(h, p, h->reader->req, h->reader->size))
		drop_reader(h);
	if (mailbox_has(&p->mailbox))
		notify_poll(h);
}

void
control_events_removed(struct control *c, const struct party *p)
{
	struct control_handle *h;

	for (h = c->handle; h != NULL; h = h->next)
		if (h->node->kind == CONTROL_EVENTS &&
		    h->node->parent->party == p) {
			end_readers(h);
			notify_poll(h);
		}
	control_tree_removed(c, p);
}

void
control_events_wake(void *control, struct party *p)
{
	struct control *c = control;
	struct control_handle *h;

	if (p->removed) {
		control_events_removed(c, p);
		return;
	}
	for (h = c->handle; h != NULL && !c->stopping; h = h->next)
		if (h->node->kind == CONTROL_EVENTS &&
		    h->node->parent->party == p)
			serve(h, p);
}

void
control_events_stop(struct control *c)
{
	struct control_handle *h;

	(void)pthread_mutex_lock(&c->desk->lock);
	c->stopping = true;
	for (h = c->handle; h != NULL; h = h->next)
		if (h->node->kind == CONTROL_EVENTS) {
			end_readers(h);
			notify_poll(h);
		}
	(void)pthread_mutex_unlock(&c->desk->lock);
}

void
control_events_close(struct control_handle *h)
{
	struct party *p = control_tree_party(h->control, h->node);

	end_readers(h);
	if (h->poll != NULL)
		fuse_pollhandle_destroy(h->poll);
	h->poll = NULL;
	if (p == NULL)
		return;
	mailbox_reader_gone(&p->mailbox);
	p->mailbox.reader = false;
	(void)pthread_cond_broadcast(&h->control->desk->changed);
}

/* --- reading -------------------------------------------------------------- */

static struct control_reader **
find_reader(struct control *c, fuse_req_t req)
{
	struct control_handle *h;
	struct control_reader **at;

	for (h = c->handle; h != NULL; h = h->next)
		for (at = &h->reader; *at != NULL; at = &(*at)->next)
			if ((*at)->req == req)
				return at;
	return NULL;
}

static void
interrupt(struct control_reader **at)
{
	struct control_reader *r = *at;

	*at = r->next;
	(void)fuse_reply_err(r->req, EINTR);
	mem_free(r);
}

static void
on_interrupt(fuse_req_t req, void *control)
{
	struct control *c = control;
	struct control_reader **at;

	(void)pthread_mutex_lock(&c->desk->lock);
	at = find_reader(c, req);
	if (at != NULL)
		interrupt(at);
	(void)pthread_mutex_unlock(&c->desk->lock);
}

/* Behind those that wait already. */
static int
wait_for_event(struct control_handle *h, fuse_req_t req, size_t size)
{
	struct control_reader **at = &h->reader;
	struct control_reader *r;
	size_t n = 0;

	for (; *at != NULL; at = &(*at)->next)
		n++;
	if (n == READERS_MAX)
		return EBUSY;
	r = mem_zalloc(sizeof(*r));
	if (r == NULL)
		return ENOMEM;
	r->req = req;
	r->size = size;
	*at = r;
	if (fuse_req_interrupted(req))
		interrupt(at);
	return 0;
}

void
control_events_read(struct control *c, struct control_handle *h, fuse_req_t req,
		    size_t size, bool wait)
{
	struct party *p;
	int error = 0;

	fuse_req_interrupt_func(req, on_interrupt, c);
	(void)pthread_mutex_lock(&c->desk->lock);
	p = control_tree_party(c, h->node);
	if (is_over(h))
		(void)fuse_reply_buf(req, NULL, 0);
	else if (h->reader != NULL || !answer(h, p, req, size))
		error = wait ? wait_for_event(h, req, size) : EAGAIN;
	if (error != 0)
		(void)fuse_reply_err(req, error);
	(void)pthread_mutex_unlock(&c->desk->lock);
}

void
control_events_poll(struct control_handle *h, fuse_req_t req,
		    struct fuse_pollhandle *ph)
{
	const struct party *p = control_tree_party(h->control, h->node);
	unsigned ready = 0;

	if (ph != NULL) {
		if (h->poll != NULL)
			fuse_pollhandle_destroy(h->poll);
		h->poll = ph;
	}
	if (is_over(h))
		ready = POLLIN | POLLRDNORM | POLLHUP;
	else if (mailbox_has(&p->mailbox))
		ready = POLLIN | POLLRDNORM;
	(void)fuse_reply_poll(req, ready);
}
