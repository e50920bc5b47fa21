/*
 * client_internal - what client.c and connect.c share: the other end of a
 * requester's line, wherever it is.
 */
#ifndef ASOF_WRITER_CLIENT_INTERNAL_H
#define ASOF_WRITER_CLIENT_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/* How long is tried when somebody else has the desk. */
#define CLIENT_PATIENCE_NS UINT64_C(5000000000)

struct line_end {
	int fd;
	pid_t child; /* 0: a control process */
};

/*
 * Connect to the control process (*live), or start a child.  That a child
 * cannot open the desk is its answer to the first message.
 */
int client_connect(const char *repository, const uint8_t repository_id[16],
		   struct line_end *out, bool *live, struct err *e);

/*
 * Close our half, and wait until the other side has done what it owes to
 * writers and closed its own: some seconds, fewer once *cancel is set.
 */
void client_hang_up(struct line_end *end, const atomic_int *cancel);

void client_pause(void); /* a tenth of a second */

/* The bytes of 32 hexadecimal digits; zeros for anything else. */
void client_raw_session(const char *hex, uint8_t out[16]);

#endif
