/*
 * audit - is what a writer did not declare really as it was?
 *
 * doc/control.md, section 11.  Reads a random share of a file outside of the
 * declared ranges and compares it with the base.
 */
#ifndef ASOF_REQUESTER_AUDIT_H
#define ASOF_REQUESTER_AUDIT_H

#include "src/engine/entry.h"

#include <stddef.h>
#include <stdint.h>

struct chunk_reader;
struct err;
struct ranges;

#define AUDIT_BLOCK (64u << 10) /* bytes that are looked at, or not, together */

struct audit {
	int fd;                        /* of the file as it is now */
	uint64_t size;                 /* of the smaller of the two */
	const struct ranges *declared; /* not looked at */
	struct chunk_reader *reader;   /* of the base */
	const struct content *content;
	uint64_t base_size;
	unsigned percent;
	uint64_t seed;
};

/*
 * 0: equal as far as was looked; 1: a lie, *at is the first byte of it; -1:
 * one of the two could not be read, or memory.  *compared counts bytes.
 */
int audit_file(const struct audit *a, uint64_t *at, uint64_t *compared,
	       struct err *e);

#endif
