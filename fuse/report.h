/*
 * report - what a mount has to say.
 *
 * To standard error, and from report_to_syslog() on to syslog: one line per
 * message, whole, whoever else speaks.  The state is one per process, as
 * both places are.  Any thread.
 */
#ifndef ASOF_FUSE_REPORT_H
#define ASOF_FUSE_REPORT_H

#include <stdarg.h>
#include <stdbool.h>

void report_to_syslog(void);

/* "asof: sentence" */
void report_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void report_line_va(const char *fmt, va_list ap)
	__attribute__((format(printf, 1, 0)));

/*
 * Damage is met once per request, thousands of times where somebody reads on.
 * True when there is room for one more line about it; else it is only
 * counted, and the count is told with the next line there is room for.
 */
bool report_has_room(void);

#endif
