/*
 * words - documents of writers, written as a test reads best.
 */
#ifndef ASOF_TESTS_LIB_WORDS_H
#define ASOF_TESTS_LIB_WORDS_H

#include "base/err.h"
#include "src/writer/metadata.h"
#include "tests/lib/cmocka_all.h"

#include <string.h>

/* A document that must be good; metadata_free. */
static inline struct metadata *
words_document(const char *text)
{
	struct metadata *m = NULL;
	struct err e = { 0 };

	if (metadata_parse(&m, text, strlen(text), &e) < 0)
		fail_msg("%s", e.text);
	return m;
}

#endif
