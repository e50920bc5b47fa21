/*
 * fusesay - what libfuse has to say.
 *
 * Whole lines are reported (report.h); until the mount is there they are kept
 * instead, because the call that fails has no better words.  One per process,
 * as libfuse's hook is.  Any thread.
 */
#ifndef ASOF_FUSE_FUSESAY_H
#define ASOF_FUSE_FUSESAY_H

#include "base/err.h"

#include <stdbool.h>

/* From now on, keep what is said (and take over libfuse's hook), or not. */
void fusesay_keep(bool keep);

/* "SHOWN cannot be mounted", and what libfuse said first; -1. */
int fusesay_failed(enum err_kind kind, const char *shown, struct err *e);

/* Give the hook back. */
void fusesay_end(void);

#endif
