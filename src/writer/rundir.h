/*
 * rundir - where processes of this machine meet, until it is switched off.
 *
 * /run/asof for root; $XDG_RUNTIME_DIR/asof, or /run/user/UID/asof, for others;
 * ASOF_RUN_DIR instead of either.
 */
#ifndef ASOF_WRITER_RUNDIR_H
#define ASOF_WRITER_RUNDIR_H

#include <stdint.h>

struct err;

/* The directory itself, made if need be: a descriptor, or -1. */
int rundir_open(struct err *e);

/*
 * The directory of a repository's process (see registry_name), nobody else's:
 * `NAME.d`, made if need be, with the socket for requesters (server.h).  A
 * descriptor, or -1.
 */
int rundir_open_repository(const char *repository,
			   const uint8_t repository_id[16], struct err *e);

/* It has ended: take the directory away, if it is empty. */
void rundir_leave_repository(const char *repository,
			     const uint8_t repository_id[16]);

/*
 * The lock that lets one snapshot be under construction on this machine.  0: it
 * is held while *fd is open; 1: somebody else holds it.
 */
int rundir_exclusive(int *fd, struct err *e);

#endif
