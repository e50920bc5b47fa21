/*
 * choose - which writers and components a session has, and as what type.
 *
 * doc/control.md, section 11.  Pure: documents, paths and wishes go in; for each
 * writer come out the explicit components, its effective type, or the reason
 * why it is left out.
 */
#ifndef ASOF_REQUESTER_CHOOSE_H
#define ASOF_REQUESTER_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct metadata;

struct choose_writer {
	/* In. */
	const char *name;
	const struct metadata *document; /* NULL: it has none */
	bool present;
	/* Per component, since its last full; NULL: none. */
	const uint32_t *incrementals, *differentials;
	/* Out. */
	bool *chosen;       /* per component: explicit; mem_free */
	bool any;           /* at least one; also of one that is not present */
	unsigned effective; /* enum metadata_type */
	const char *why; /* nothing chosen: a sentence; or what was promoted */
	char *own_why;   /* its memory, when it was made here */
};

struct choose_input {
	unsigned type;             /* enum metadata_type: the session's */
	const char *const *source; /* absolute, normal */
	size_t sources;
	/* --writer W[:C]; none given: every one with a file beneath a source. */
	const char *const *wish;
	size_t wishes;
	bool skip_unsupported; /* --unsupported=skip */
};

/*
 * A wish for a writer is one for all its components.  Without a wish a writer
 * with a file beneath a source takes part: with the components that have one,
 * and those that must be there whenever anything of it is.
 *
 * ERR_USAGE: a wish for a writer or component that is not there, or that can
 * only be implicit.  Dependencies on writers of this machine pull in what they
 * need, or leave out both sides when they cannot.  File sets of two writers
 * that overlap leave out the second, with a reason.  A writer without backups of
 * the session's type has a full one, unless skip_unsupported.
 */
int choose(struct choose_writer *w, size_t n, const struct choose_input *in,
	   struct err *e);
void choose_clear(struct choose_writer *w, size_t n);

#endif
