/*
 * fuzz_dossier - a session's record from a repository.
 *
 * What is taken is printed, and what was printed is taken and its own; what is
 * refused has a sentence and leaves nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/dossier.h"

#include "base/buf.h"
#include "base/err.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dossier d = { 0 };
	struct dossier again = { 0 };
	struct err e = { 0 };
	struct buf a = { 0 };
	struct buf b = { 0 };

	if (dossier_parse(data, size, &d, &e) < 0) {
		MUST(e.text[0] != '\0' && d.memory == NULL);
		MUST(e.kind == ERR_CORRUPT || e.kind == ERR_UNSUPPORTED);
		return 0;
	}
	dossier_print(&d, &a);
	MUST(dossier_parse(a.data, a.len, &again, NULL) == 0);
	dossier_print(&again, &b);
	MUST(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
	dossier_clear(&d);
	dossier_clear(&again);
	buf_clear(&a);
	buf_clear(&b);
	return 0;
}
