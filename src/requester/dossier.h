/*
 * dossier - what a session leaves behind in its generation.
 *
 * doc/format.md, section 17.  The session's record is a text in the language of
 * writers (grammar.h), the file `session` of the session's own tree; beside it
 * are the writers' documents (`documents/WRITER`) and copies of ranges files
 * (`ranges/N`).  It is all that a later backup, a restore or a person needs to
 * know about the writers of this one.
 *
 * Pure.  A parsed dossier owns its memory.  What is read comes from a
 * repository: bounded, checked, ERR_CORRUPT.
 */
#ifndef ASOF_REQUESTER_DOSSIER_H
#define ASOF_REQUESTER_DOSSIER_H

#include "src/writer/journal.h"
#include "src/writer/mailbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct err;

#define DOSSIER_MAX         (64u << 20) /* bytes of the text */
#define DOSSIER_TEXTS_MAX   (DOSSIER_MAX / 4 * 3) /* of stamps and metadata */
#define DOSSIER_RANGES_MAX  32768u      /* longer ones go into ranges/N */
#define DOSSIER_WRITERS_MAX 4096u

/* A generation that another one refers to. */
struct dossier_ref {
	uint32_t number; /* 0: the one whose dossier this is (dossier_settle) */
	uint8_t id[16];
};

/* A declaration of this session, as it counted: for restores and people. */
struct dossier_file {
	const char *path;
	bool differenced;   /* else partial */
	const char *ranges; /* text, or "file=ranges/N" in the session's tree */
	const char *metadata; /* of partial-file, or NULL */
	const char *pattern;  /* differenced */
	bool recursive;
	bool has_newer;
	struct ts newer;
	const char *refused; /* partial: read whole, and why; or NULL */
	uint64_t bytes_read;
};

struct dossier_attachment {
	const char *path, *from;
};

struct dossier_component {
	const char *name;   /* explicit: it speaks for its set */
	unsigned effective; /* enum metadata_type */
	bool succeeded;
	const char *why;         /* not succeeded: a sentence */
	bool carried;            /* a file set of it is; see A3 in the model */
	struct dossier_ref base; /* number 0: none */
	uint8_t journal[JOURNAL_ID_LEN];
	uint64_t cut;
	const char *stamp; /* NULL: never set; else stamp_len bytes */
	size_t stamp_len;
	const char *previous_stamp;
	size_t previous_len;
	const char *metadata; /* backup-metadata, or NULL */
	/* Carried: what has to be replayed, the oldest first, this one last. */
	struct dossier_ref *image;
	size_t images;
	/* File sets that were carried: index in the document. */
	size_t *carried_set;
	size_t carried_sets;
	bool untrusted; /* an audit found a lie; until its next whole read */
	/* Since its last full, this one counted: so that forgetting loses none. */
	uint32_t incrementals, differentials;
	struct dossier_file *file;
	size_t files;
	struct dossier_attachment *attachment;
	size_t attachments;
};

enum dossier_state {
	DOSSIER_TOOK_PART = 1,
	DOSSIER_ABSENT, /* nobody listened: its files are plain files */
	DOSSIER_FAILED,
	DOSSIER_LEFT_OUT, /* not selected, or its type was not supported */
};

struct dossier_writer {
	const char *name;
	uid_t owner;
	enum dossier_state state;
	enum event failed_at; /* FAILED */
	enum failure failure;
	const char *text;     /* what it said; or why it was left out */
	unsigned effective;   /* enum metadata_type */
	const char *document; /* name in the tree, or NULL */
	struct dossier_component *component;
	size_t components;
	const struct dossier_component **by_name; /* a parsed one's */
};

struct dossier {
	char session[33];     /* 32 hexadecimal digits */
	unsigned type;        /* enum metadata_type: the session's */
	const char *snapshot; /* provider, or NULL */
	struct dossier_writer *writer;
	size_t writers;
	void *memory; /* a parsed dossier's */
};

/* How long a stamp or the like is there; NULL is nothing. */
size_t dossier_text_len(const char *s, size_t len);

/* Append the text. */
void dossier_print(const struct dossier *d, struct buf *out);

/*
 * ERR_CORRUPT with the line; ERR_UNSUPPORTED for a line of a newer program.
 * *out is untouched unless all is well, and then wants dossier_clear, which
 * does nothing to one that was made by hand.
 */
int dossier_parse(const void *p, size_t len, struct dossier *out,
		  struct err *e);
void dossier_clear(struct dossier *d);

/*
 * A generation gets its number when its dossier is written already, so that in
 * the text it refers to itself as 0.  This puts the number there.
 */
void dossier_settle(struct dossier *d, uint32_t number);

const char *dossier_state_name(enum dossier_state s);
enum dossier_state dossier_state_parse(const char *s); /* 0: none of them */

/* By name; NULL when there is none. */
const struct dossier_writer *dossier_writer(const struct dossier *d,
					    const char *name);
const struct dossier_component *
dossier_component(const struct dossier_writer *w, const char *name);

#endif
