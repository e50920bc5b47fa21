/*
 * server_internal - what both ends of the line between requester and server
 * agree on.
 */
#ifndef ASOF_WRITER_SERVER_INTERNAL_H
#define ASOF_WRITER_SERVER_INTERNAL_H

#include "src/writer/statement.h"

/* Said first; both ends are of the same program or do not talk. */
#define SERVER_VERSION "1"

/* The name of the socket in the run directory (rundir.h). */
#define SERVER_SOCKET "requester"

/* Bytes that go with a component: its previous stamp and words of a restore. */
#define SERVER_COMPONENT_MAX (STATEMENT_STAMP_MAX + (1u << 20))

#endif
