/*
 * control_ops - what the kernel asks of the control filesystem.
 */
#ifndef ASOF_FUSE_CONTROL_OPS_H
#define ASOF_FUSE_CONTROL_OPS_H

#include "fuse/fs.h"

/* The session's data is the struct control. */
extern const struct fuse_lowlevel_ops control_ops;

#endif
