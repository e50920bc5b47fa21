#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/refuse.h"

#include "base/err.h"

#include <errno.h>
#include <stdio.h>

int
refuse_set(struct err *e, int error, const char *fmt, ...)
{
	char text[ERR_TEXT_LEN];
	va_list ap;

	if (e == NULL || e->kind != ERR_NONE)
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)err_set(e, ERR_USAGE, "%s", text);
	e->saved_errno = error;
	return -1;
}

int
refuse_errno(const struct err *e)
{
	if (e->kind == ERR_NOMEM)
		return ENOMEM;
	if (e->kind == ERR_USAGE && e->saved_errno != 0)
		return e->saved_errno;
	return EIO;
}
