/*
 * round_rig - what tests of sessions have in common: a place of their own for
 * programs and for where processes meet, calls that must go well, a part.
 */
#ifndef ASOF_TESTS_LIB_ROUND_RIG_H
#define ASOF_TESTS_LIB_ROUND_RIG_H

#include "base/err.h"
#include "src/writer/round.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/scratch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The call has its error in `e`. */
#define MUST(call)                                                            \
	do {                                                                  \
		struct err e = { 0 };                                         \
		if ((call) < 0)                                               \
			fail_msg("%s", e.text);                               \
	} while (0)

static inline void
rig_begin(struct scratch *s)
{
	scratch_begin(s);
	(void)setenv("ASOF_RUN_DIR", scratch_at(s, "run"), 1);
	(void)setenv("ASOF_WRITERS_D", scratch_at(s, "writers.d"), 1);
	assert_int_equal(mkdir(scratch_at(s, "writers.d"), 0755), 0);
}

static inline void
rig_end(struct scratch *s)
{
	(void)unsetenv("ASOF_RUN_DIR");
	(void)unsetenv("ASOF_WRITERS_D");
	scratch_end(s);
}

static inline const struct part *
rig_part(const struct round *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->parts; i++) {
		if (strcmp(s->part[i].name, name) == 0)
			return &s->part[i];
	}
	fail_msg("no part %s", name);
	return NULL;
}

#endif
