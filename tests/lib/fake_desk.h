/*
 * fake_desk - a desk without files: parties in memory, journals that forget.
 *
 * Stands in for party.h, pen.h, registry.h, journal.h and intake.h as a whole, so that
 * what is tested is what is above them.  desk_open() makes one of the writers
 * in FAKE_DESK_WRITERS (names with blanks between) and locks FAKE_DESK_DIR.
 */
#ifndef ASOF_TESTS_LIB_FAKE_DESK_H
#define ASOF_TESTS_LIB_FAKE_DESK_H

#include "src/writer/party.h"

#include <stddef.h>

struct fake_entry {
	struct journal_entry entry; /* strings are its own */
	char *text;
};
struct journal {
	uint8_t id[JOURNAL_ID_LEN];
	struct fake_entry entry[256];
	size_t count;
	uint64_t first;
};

/* A desk whose state directory is `dir`; its writers are given. */
struct desk *fake_desk_new(const char *dir, const char *const *writer,
			   size_t n);
void fake_desk_free(struct desk *d);

/* A document with one component "c" and this freeze level. */
void fake_desk_document(struct desk *d, const char *writer,
			const char *level);

/* What party_log and refusals said, all of it. */
const char *fake_desk_log(void);

/* "STATEMENT GAP DISCARD" and so on, with texts, of a writer's journal. */
const char *fake_desk_entries(struct desk *d, const char *writer);

#endif
