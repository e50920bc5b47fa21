/*
 * trace - what a program does to a disk, and what a power cut leaves of it.
 *
 * Puts itself in front of sys_repo and writes down every call that changes or
 * syncs something below one directory.  From that record the directory can be
 * made as it may look after a cut behind any call.  What was synced is there:
 * a file's bytes by fsync of the file, a name by fsync of its directory.  Of
 * the rest, what struct trace_cut says.  A name that was lost takes what is
 * beneath it along.
 *
 * The directory may hold files when the recording begins; they are durable.
 * One recording at a time; any number of records.  Calls from many threads
 * are put into one order.
 */
#ifndef ASOF_TESTS_TRACE_H
#define ASOF_TESTS_TRACE_H

#include "tests/lib/shot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace;

/* `behind` (may be NULL) is called behind each recorded call but writes. */
struct trace *trace_begin(const char *top, void (*behind)(void));
void trace_end(struct trace *t); /* stop recording */
void trace_free(struct trace *t);

/* Calls so far. */
size_t trace_length(const struct trace *t);

/* One call, for people: "fsync packs/.tmp-12ab". */
const char *trace_call(const struct trace *t, size_t i);

/* Names made, changed and removed since their directory was synced. */
enum trace_names {
	NAMES_LOST,    /* all of them */
	NAMES_KEPT,    /* none is lost */
	NAMES_JOURNAL, /* there up to the last sync of anything, as on ext4 */
	NAMES_LATER,   /* and up to any moment behind it */
	NAMES_PREFIX,  /* of each directory the first few */
	NAMES_ANY,     /* each by lot */
	NAMES_MODES
};

/* Bytes written since their file was synced. */
enum trace_data {
	DATA_LOST, /* a new file is empty */
	DATA_KEPT,
	DATA_ZERO,    /* the length is there, the bytes are zeros */
	DATA_TAIL,    /* zeros from some place on */
	DATA_CUT,     /* the file ends at some place */
	DATA_BLOCKS,  /* each block of 512 by lot, else zeros */
	DATA_GARBAGE, /* bytes of somebody else's from some place on */
	DATA_MODES
};

struct trace_cut {
	size_t calls; /* the first this many were made */
	enum trace_names names;
	enum trace_data data;
	uint64_t seed; /* of what is by lot; not 0 */
	/*
	 * To see that the rules are needed: syncs of this directory, or those
	 * of the files in it, do nothing.  NULL: all work.
	 */
	const char *idle_dir, *idle_files;
};

/* For people. */
const char *trace_names_text(enum trace_names n);
const char *trace_data_text(enum trace_data d);

/* The directory as the cut leaves it. */
void trace_state(const struct trace *t, const struct trace_cut *cut,
		 struct shot *out);

/*
 * NULL, or the first call that gave a file a name, not a temporary one, before
 * its bytes were synced.
 */
const char *trace_early_name(const struct trace *t);

#endif
