/*
 * samples - one entry of every kind and with every field, for tests and for
 * the seeds of fuzzers.
 */
#ifndef ASOF_TESTS_LIB_SAMPLES_H
#define ASOF_TESTS_LIB_SAMPLES_H

#include "src/engine/entry.h"
#include "src/engine/record.h"

#include <stddef.h>

struct sample {
	const char *what;
	struct entry entry;
};

/* In order of name, except that the last is the top of a tree (no name). */
const struct sample *samples(size_t *n);

/* The id whose bytes are all `b`. */
struct id sample_id(uint8_t b);

/* A plain file called `name`, which must outlive it. */
struct entry sample_file(const char *name);

/* A record with something in every field, all of it static. */
struct record sample_record(void);

#endif
