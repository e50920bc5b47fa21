/*
 * words - what writers say, written as a test reads best; and what is asked of
 * every part of their language.
 */
#ifndef ASOF_TESTS_LIB_WORDS_H
#define ASOF_TESTS_LIB_WORDS_H

#include "base/err.h"
#include "src/writer/metadata.h"
#include "src/writer/refuse.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"

#include <errno.h>
#include <string.h>

/* What most documents begin with, six lines, and how they end. */
#define HEAD                                                                   \
	"writer w\nschema incremental differential\n"                          \
	"restore-method restore-if-can-replace\n"                              \
	"component g file-group selectable=yes\n"                              \
	"component db database selectable=no\n"                                \
	"files g /g *\n"
#define END "end\n"

/* A document that must be good; metadata_free. */
static inline struct metadata *
words_document(const char *text)
{
	struct metadata *m = NULL;
	struct err e = { 0 };

	if (metadata_parse(&m, text, strlen(text), &e) < 0)
		fail_msg("%s\n%s", e.text, text);
	return m;
}

/* A word, and what is wrong with it: NULL nothing, "" something. */
struct words_fault {
	const char *word, *fault;
};

static inline void
words_judged(const char *(*judge)(const char *), const struct words_fault *t,
	     size_t n)
{
	for (; n > 0; t++, n--) {
		const char *got = judge(t->word);
		bool right = (got == NULL) == (t->fault == NULL);

		if (right && got != NULL && t->fault[0] != '\0')
			right = strcmp(got, t->fault) == 0;
		if (!right)
			fail_msg("%s: %s", t->word, got != NULL ? got : "good");
	}
}

/*
 * Let the first allocation fail, then the second, until none is left: each
 * time it must be ENOMEM.  At least `least` of them have to fail.
 */
static inline void
words_without_memory(int (*once)(struct err *e), unsigned least)
{
	unsigned n;
	int rc = -1;

	for (n = 0; rc < 0; n++) {
		struct err e = { 0 };

		failing_plan_alloc(n + 1, false);
		rc = once(&e);
		failing_off();
		if (rc < 0)
			assert_int_equal(refuse_errno(&e), ENOMEM);
	}
	assert_true(n > least);
}

#endif
