/*
 * restore_words - what a writer is told of a component that is restored.
 *
 * doc/control.md, section 12: the words behind component= in pre-restore.
 */
#ifndef ASOF_REQUESTER_RESTORE_WORDS_H
#define ASOF_REQUESTER_RESTORE_WORDS_H

#include "src/requester/restore.h"
#include "src/requester/selection.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;

struct restore_words {
	const struct pick *pick;
	const struct dossier_component *component;
	const struct restore_writers_options *options;
	uint32_t generation;
	bool more;  /* another restore will follow */
	bool moved; /* to another writer than it is from */
};

/* Append them: KEY=VALUE, a blank between two. */
void restore_words(const struct restore_words *w, struct buf *out);

/* Each --restore-option is for a component that is restored, and the only one. */
int restore_words_check(const struct restore_writers_options *o,
			const struct picks *p, struct err *e);

#endif
