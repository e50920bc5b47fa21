/*
 * control_events - live writers read their events.
 *
 * A read for which there is nothing yet is kept and answered when there is, by
 * whoever posts the event: no thread waits.
 */
#ifndef ASOF_FUSE_CONTROL_EVENTS_H
#define ASOF_FUSE_CONTROL_EVENTS_H

#include "fuse/control_file.h"

struct party;

/* Answer the request, now or later.  desk->lock is not held. */
void control_events_read(struct control *c, struct control_handle *h,
			 fuse_req_t req, size_t size, bool wait);

/* Answer, and keep `ph` (may be NULL) for later.  desk->lock is held. */
void control_events_poll(struct control_handle *h, fuse_req_t req,
			 struct fuse_pollhandle *ph);

/* desk->wake: the party may have something for its reader, or is removed. */
void control_events_wake(void *control, struct party *p);

/*
 * It is removed, and may be freed already: its readers see the end.  desk->lock
 * is held.
 */
void control_events_removed(struct control *c, const struct party *p);

/* The server stops: all readers see the end.  desk->lock is not held. */
void control_events_stop(struct control *c);

/* The handle is closed.  desk->lock is held. */
void control_events_close(struct control_handle *h);

#endif
