/*
 * ui - everything that people read: results, messages, progress.
 *
 * Results go to standard output and nowhere else, messages and progress to
 * standard error.  The progress line lives only on a terminal; every message
 * clears it first.  Names from outside are shown with path_show().
 *
 * A failing write to standard output is remembered and said at the end by
 * ui_finish(); output after it is dropped.
 *
 * The state is one per process.  Messages and progress: any thread; results:
 * one.
 */
#ifndef ASOF_CLI_UI_H
#define ASOF_CLI_UI_H

#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* --- set up --------------------------------------------------------------- */

struct ui_options {
	bool quiet;    /* no notes, no progress */
	bool verbose;  /* details too */
	bool progress; /* allowed, where standard error is a terminal */
};
void ui_init(const struct ui_options *opt);

/* Flush results: -1 with ERR_SYS when some could not be written. */
int ui_finish(struct err *e);

/* --- results -------------------------------------------------------------- */

void ui_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ui_write(const void *p, size_t n);
void ui_show(const void *name, size_t len); /* with path_show */

/* False once a write has failed: going on is pointless. */
bool ui_writable(void);

/* --- messages ------------------------------------------------------------- */

/* "asof: sentence".  Notes are not for --quiet, details only for -v. */
void ui_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ui_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ui_detail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool ui_is_verbose(void);

/* "asof: /path: sentence" for a path that is shown escaped. */
void ui_error_path(const char *path, const char *sentence);

/* --- progress ------------------------------------------------------------- */

struct ui_progress {
	const char *what; /* "files", "names"; NULL: nothing is counted */
	uint64_t count;
	uint64_t bytes;       /* moved so far: for the rate */
	uint64_t done, total; /* of the work, in any unit; total 0: unknown */
	uint64_t errors;
};

/* Draw it, if there is a terminal and the last time is long enough ago. */
void ui_progress(const struct ui_progress *p);
void ui_progress_end(void);

/* --- words for numbers ---------------------------------------------------- */

#define UI_TEXT_LEN 40
const char *ui_count(char out[UI_TEXT_LEN], uint64_t n);    /* 12,345 */
const char *ui_size(char out[UI_TEXT_LEN], uint64_t bytes); /* 1.2 GB */
const char *ui_duration(char out[UI_TEXT_LEN], int64_t ns); /* 0.4 s, 2:03 */

/* Local time: 2026-11-21 20:25:13+01:00; the zone begins at [19]. */
const char *ui_time(char out[TIME_TEXT_LEN], struct ts t);

/* "1 file", "2 files": the s or nothing. */
const char *ui_s(uint64_t n);

#endif
