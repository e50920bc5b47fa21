/*
 * fusesay.c
 *
 * A message comes in pieces; a line ends where the newline does.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/fusesay.h"

#include "base/buf.h"
#include "fuse/fs.h"
#include "fuse/report.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
	pthread_mutex_t lock;
	struct buf line; /* lock */
	char first[200]; /* lock */
	bool keeps;      /* lock: still before the mount */
} said = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* With the lock held. */
static void
end_line(void)
{
	static const char prefix[] = "fuse: ";
	const char *text = buf_str(&said.line);

	if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
		text += sizeof(prefix) - 1;
	if (!said.keeps)
		report_line("fuse: %s", text);
	else if (said.first[0] == '\0')
		(void)snprintf(said.first, sizeof(said.first), "%s", text);
	buf_reset(&said.line);
}

static void on_fuse_message(enum fuse_log_level level, const char *fmt,
			    va_list ap) __attribute__((format(printf, 2, 0)));
static void
on_fuse_message(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[500];
	const char *p;

	(void)level;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	(void)pthread_mutex_lock(&said.lock);
	for (p = text; *p != '\0'; p++) {
		if (*p == '\n')
			end_line();
		else
			buf_add_char(&said.line, *p);
	}
	(void)pthread_mutex_unlock(&said.lock);
}

void
fusesay_keep(bool keep)
{
	(void)pthread_mutex_lock(&said.lock);
	said.keeps = keep;
	said.first[0] = '\0';
	buf_clear(&said.line);
	(void)pthread_mutex_unlock(&said.lock);
	fuse_set_log_func(on_fuse_message);
}

int
fusesay_failed(enum err_kind kind, const char *shown, struct err *e)
{
	char text[sizeof(said.first)];

	(void)pthread_mutex_lock(&said.lock);
	if (said.line.len > 0)
		end_line();
	memcpy(text, said.first, sizeof(text));
	(void)pthread_mutex_unlock(&said.lock);
	return err_set(e, kind, "%s cannot be mounted%s%s", shown,
		       text[0] != '\0' ? ": " : "", text);
}

void
fusesay_end(void)
{
	fusesay_keep(true);
	fuse_set_log_func(NULL);
}
