/*
 * control_state - the state behind the control filesystem.
 *
 * All of it, nodes and handles too, belongs to whoever holds desk->lock.
 */
#ifndef ASOF_FUSE_CONTROL_STATE_H
#define ASOF_FUSE_CONTROL_STATE_H

#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>

struct control_handle;
struct control_node;
struct desk;

struct control {
	struct desk *desk;
	struct ts started; /* what all files have as their times */
	struct control_node *root;
	uint64_t inodes;               /* numbers given so far */
	struct control_handle *handle; /* those that are open */
	bool stopping;                 /* readers of events see the end */
};

/* Limits of one user; root, who can end the process anyway, has none. */
#define CONTROL_HANDLES_MAX      64
#define CONTROL_TRANSACTIONS_MAX 8
#define CONTROL_WAITING_MAX      1 /* reads of a handle that wait for another */

#endif
