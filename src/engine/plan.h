/*
 * plan - is a file read, and why?
 *
 * One function, one answer, one reason.  Missing information always means
 * reading.
 */
#ifndef ASOF_ENGINE_PLAN_H
#define ASOF_ENGINE_PLAN_H

#include "src/engine/entry.h"
#include "src/engine/record.h"

#include <stdbool.h>
#include <stdint.h>

struct statx;

/* Stored in generations: never renumber (doc/format.md, section 12). */
enum plan_reason {
	PLAN_UNCHANGED = 0,   /* kept: own test equal */
	PLAN_WHOLE = 1,       /* read: full or copy */
	PLAN_NEW = 2,         /* read: not in the base */
	PLAN_TYPE = 3,        /* read: was something else */
	PLAN_IDENTITY = 4,    /* read: another file system or inode */
	PLAN_SIZE = 5,
	PLAN_MTIME = 6,
	PLAN_CTIME = 7,
	PLAN_DOUBT = 8,       /* read: racy, torn or unreadable in the base */
	PLAN_NO_BASE = 9,     /* read: the base's entry cannot be read */
	/* What writers say (claims.h). */
	PLAN_REQUIRED = 10,   /* read: its writer requires it */
	PLAN_RANGES = 11,     /* read: the ranges that were declared */
	PLAN_SINCE = 12,      /* read: changed since the writer's time */
	PLAN_NO_PROOF = 13,   /* read: what was declared does not hold */
	PLAN_FIRST = 14,      /* read: its component has no base */
	PLAN_UNTRUSTED = 15,  /* read: its component is not trusted now */
	PLAN_ATTACHED = 16,   /* read: handed over at the end */
	PLAN_CARRIED = 17,    /* kept: carried from the component's base */
	PLAN_REASONS
};
const char *plan_reason_text(enum plan_reason r);
const char *plan_reason_name(enum plan_reason r); /* one word, for --json */

struct plan_input {
	enum generation_type type;  /* effective */
	const struct statx *now;
	uint64_t fs;                /* index in the record's table */
	const struct entry *base;   /* NULL: the base has no such name */
};

struct plan {
	bool read;
	enum plan_reason reason;
};

struct plan plan_file(const struct plan_input *in);

/* The same file system and inode, born at the same time where that is known. */
bool plan_same_identity(const struct plan_input *in);

#endif
