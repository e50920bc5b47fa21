/*
 * faults - make the Nth system call, or the Nth allocation, fail.
 *
 * Puts itself in front of the tables of base/sys.h.  One plan at a time;
 * armed before threads start, counted atomically.
 */
#ifndef ASOF_TESTS_FAULTS_H
#define ASOF_TESTS_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
	FAULT_EIO,
	FAULT_ENOSPC,
	FAULT_EINTR, /* "for ever" means 100 times in a row: EINTR is retried */
	FAULT_SHORT, /* half of what was asked for */
	FAULT_NOMEM, /* of our allocator */
	FAULT_KINDS
};
const char *fault_kind_name(enum fault_kind k);

enum fault_where { FAULT_REPO, FAULT_SOURCE, FAULT_TARGET };

/* Fail eligible call number `nth` (from 1), and all later ones if `forever`. */
void fault_arm(enum fault_kind kind, enum fault_where where, uint64_t nth,
	       bool forever);

/* Back to normal; returns whether anything failed since fault_arm. */
bool fault_disarm(void);

/* Eligible calls since fault_arm. */
uint64_t fault_calls(void);

#endif
