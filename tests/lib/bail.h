/*
 * bail - a helper of the tests ends with a sentence, from any of its threads.
 */
#ifndef ASOF_TESTS_LIB_BAIL_H
#define ASOF_TESTS_LIB_BAIL_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void bail(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));

static inline void
bail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)printf("%s: ", program_invocation_short_name);
	(void)vprintf(fmt, ap);
	(void)putchar('\n');
	va_end(ap);
	(void)fflush(stdout);
	_exit(1);
}

/* Whole pages, as O_DIRECT wants them. */
static inline void *
bail_memory(size_t n)
{
	void *p = NULL;

	if (posix_memalign(&p, 4096, n > 0 ? n : 1) != 0)
		bail("out of memory");
	return p;
}

#endif
