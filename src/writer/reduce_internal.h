/*
 * reduce_internal - what the files of reduce share: what is known while
 * entries are fed.
 */
#ifndef ASOF_WRITER_REDUCE_INTERNAL_H
#define ASOF_WRITER_REDUCE_INTERNAL_H

#include "src/writer/reduce.h"
#include "src/writer/table.h"

/* Where the last gap of a file above the cut was. */
enum gap_place {
	GAP_NOWHERE,
	GAP_FILE,      /* its own */
	GAP_COMPONENT, /* the last one of all files */
};

struct file {
	struct reduce_file f;
	size_t settled; /* ranges, when they were last made a set */
	size_t gaps;    /* of the component, when it was last looked at */
	enum gap_place gap;
	char *why;         /* GAP_FILE */
	uint64_t identity; /* hash of the inode that it was last; 0 none */
	bool two_names;    /* a line about another path was about that one */
	/* Since the last gap: */
	bool any;       /* an open line, or a closed one that names the base */
	bool last_sure; /* the last of them was said in our window */
	bool closed;    /* a closed one */
	bool closed_sure; /* in our window */
	bool closed_same; /* the facts are still those at the last closed one */
};

/* What was said that is not about ranges, or may be taken back. */
enum note_kind {
	NOTE_LINE, /* about file[] */
	NOTE_DIFFERENCED,
	NOTE_STAMP,
	NOTE_METADATA,
	NOTE_ATTACH,
};
struct note {
	enum note_kind kind;
	bool dropped;
	uint8_t session[16];
	uint64_t event;
	size_t before; /* the one before of the same event, and one; 0: none */
	size_t file;
	const char *a, *b; /* texts; dir and pattern; path and from */
	bool recursive, has_newer;
	struct ts newer;
};

struct reduce {
	struct reduce_input in;
	struct table_key key;
	bool same_journal;
	size_t gaps;      /* of all files, so far */
	char *why;        /* of the last one */
	size_t strangers; /* files that are there for what others' gaps name */
	struct strings strings;
	struct file *file;
	size_t files, files_cap;
	struct note *note;
	size_t notes, notes_cap;
	struct table by_path, by_inode; /* of files */
	struct table by_event;          /* of notes: the last one of each */
};

/* Let the file know of the gaps of all since it was last looked at. */
void reduce_catch_up(const struct reduce *r, struct file *f);

/* The differenced entries, and which files they clash with. */
int reduce_take_differenced(struct reduce *r, struct reduced *out,
			    struct err *e);

#endif
