/*
 * server - the other end of client.h: requesters are served here.
 *
 * One connection is one requester, on a thread of its own.  The uid comes from
 * SO_PEERCRED and must be root's or the desk's.
 */
#ifndef ASOF_WRITER_SERVER_H
#define ASOF_WRITER_SERVER_H

struct desk;
struct err;
struct server;

/* Serve one connection until it closes; what its session owes is done then. */
void server_connection(struct desk *d, int fd);

/*
 * Listen for requesters of this repository and user, each on a thread.  The
 * socket is `requester` in the directory `rundir` (a descriptor).
 */
int server_start(struct desk *d, int rundir, struct server **out,
		 struct err *e);
void server_stop(struct server *s); /* ends every connection; takes NULL */

#endif
