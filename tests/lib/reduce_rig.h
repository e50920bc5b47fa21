/*
 * reduce_rig - a document, a base and facts for what is reduced.
 */
#ifndef ASOF_TESTS_LIB_REDUCE_RIG_H
#define ASOF_TESTS_LIB_REDUCE_RIG_H

#include "src/writer/metadata.h"
#include "src/writer/reduce.h"
#include "tests/lib/words.h"

#include <stdio.h>
#include <string.h>

static struct metadata *document;

/* Set up and tear down a group of tests. */
static inline int
make_document(void **state)
{
	(void)state;
	document = words_document(
		"writer w\n"
		"schema incremental differential timestamped last-modify\n"
		"restore-method restore-if-not-there\n"
		"component db database selectable=yes\n"
		"component db/part database selectable=yes\n"
		"component other database selectable=yes\n"
		"database-files db /db * recursive\n"
		"database-files db/part /part *\n"
		"database-files other /other *\n"
		"end\n");
	return 0;
}

static inline int
free_document(void **state)
{
	(void)state;
	metadata_free(document);
	document = NULL;
	return 0;
}

static inline size_t
component(const char *name)
{
	return metadata_find(document, name, strlen(name));
}

/* What a file was at some time: different ones are different times. */
static inline struct facts
facts_of(int n)
{
	struct facts f = { 0 };

	if (n == 0)
		return f;
	f.known = true;
	f.has_btime = true;
	(void)snprintf(f.fs, sizeof(f.fs), "fs");
	f.ino = 10;
	f.size = 1000;
	f.mtime.sec = n;
	f.ctime.sec = n;
	return f;
}

/* The base is 1, the session that made it 7, this one 3; entries from 10 on. */
static inline struct reduce_input
usual_input(void)
{
	return (struct reduce_input){ .document = document,
				      .component = component("db"),
				      .base_id = { 1 },
				      .base_stamp = "stamp",
				      .base_session = { 7 },
				      .base_journal = { 2 },
				      .base_cut = 10,
				      .journal = { 2 },
				      .journal_first = 5,
				      .journal_next = 100,
				      .session = { 3 } };
}

#endif
