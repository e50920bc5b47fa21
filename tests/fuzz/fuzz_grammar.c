/*
 * fuzz_grammar - a line.
 *
 * Besides not failing: words hold no NUL, stand in the line in order, and,
 * written again, read back as the same; options are found or refused.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/grammar.h"

#include "base/buf.h"
#include "base/err.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void
check_written(const struct grammar_line *l)
{
	struct grammar_line again = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };
	size_t i;

	for (i = 0; i < l->count; i++)
		grammar_put(&b, l->word[i].s);
	/* What has bytes outside ASCII grows, and may become too long. */
	if (b.len <= GRAMMAR_LINE_MAX) {
		MUST(grammar_split(&again, b.data, b.len, &e) == 0);
		MUST(again.count == l->count);
		for (i = 0; i < l->count; i++)
			MUST(strcmp(again.word[i].s, l->word[i].s) == 0);
	}
	grammar_clear(&again);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct grammar_key keys[] = { { "a", false },
						   { "size", false },
						   { "recursive", true } };
	const struct grammar_word *o[3];
	struct grammar_line l = { 0 };
	struct err e = { 0 };
	size_t i;

	if (grammar_split(&l, data, size, &e) < 0)
		MUST(e.text[0] != '\0');
	for (i = 0; i < l.count; i++) {
		MUST(strlen(l.word[i].s) == l.word[i].len);
		MUST(l.word[i].column >= 1 && l.word[i].column <= size);
		MUST(i == 0 || l.word[i].column > l.word[i - 1].column);
		MUST(l.word[i].key < l.word[i].len || l.word[i].key == 0);
	}
	if (e.kind == ERR_NONE)
		check_written(&l);
	if (grammar_options(&l, 0, keys, 3, o, &e) == 0)
		for (i = 0; i < 3; i++)
			MUST(o[i] == NULL || keys[i].flag ||
			     grammar_value(o[i]) <= o[i]->s + o[i]->len);
	grammar_clear(&l);
	return 0;
}
