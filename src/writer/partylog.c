/*
 * The length is counted here and every line goes to where the last one ended: a
 * line that could not be written whole is written over by the next one.
 *
 * Bytes that a writer chose are shown as base/path shows names, so that a log
 * in a terminal says nothing but what it says.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/partylog.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/path.h"
#include "base/time.h"
#include "src/writer/party.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOG     "log"
#define LOG_OLD "log.1"

static int
open_log(int dirfd, int more, struct err *e)
{
	return io_open(dirfd, LOG, O_RDWR | O_CREAT | more, 0600, NULL, e);
}

int
partylog_open(struct party *p, int dirfd, struct err *e)
{
	uint64_t size = 0;
	int fd = open_log(dirfd, 0, e);

	if (fd < 0)
		return -1;
	if (io_size(fd, &size, LOG, e) < 0) {
		(void)io_close(fd, LOG, NULL);
		return -1;
	}
	p->logfd = fd;
	p->log_bytes = size;
	return 0;
}

void
partylog_close(struct party *p)
{
	(void)io_close(p->logfd, LOG, NULL);
	p->logfd = -1;
}

/* The file becomes the old one.  Where that fails, it begins anew. */
static void
rotate(struct party *p)
{
	int dir = registry_dir(&p->desk->registry, p->name, NULL);
	int fd = -1;

	if (dir < 0)
		return;
	if (io_rename(dir, LOG, LOG_OLD, NULL) == 0)
		fd = open_log(dir, O_EXCL, NULL);
	if (fd >= 0) {
		partylog_close(p);
		p->logfd = fd;
	}
	p->log_bytes = 0;
	(void)io_close(dir, p->name, NULL);
}

/* Put the time in front, a newline behind, and write it. */
static void
put(struct party *p, const struct buf *text)
{
	char when[TIME_TEXT_LEN];
	struct buf line = { 0 };
	size_t len = text->len;

	if (p->logfd < 0 || text->failed)
		return;
	buf_printf(&line, "%s ", time_text(when, time_now(), false));
	if (len > PARTYLOG_LINE_MAX)
		len = PARTYLOG_LINE_MAX;
	buf_add(&line, text->data, len);
	buf_add_str(&line, len < text->len ? " ...\n" : "\n");
	if (!line.failed && p->log_bytes + line.len > PARTY_LOG_MAX)
		rotate(p);
	if (!line.failed && io_write_at(p->logfd, line.data, line.len,
					p->log_bytes, LOG, NULL) == 0)
		p->log_bytes += line.len;
	buf_clear(&line);
}

void
party_log(struct party *p, const char *fmt, ...)
{
	char raw[PARTYLOG_LINE_MAX];
	struct buf text = { 0 };
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	path_show(&text, raw, strlen(raw));
	put(p, &text);
	buf_clear(&text);
}

void
partylog_line(struct party *p, const char *what, const void *line, size_t len,
	      const char *why)
{
	/* A line may be all escapes; the reason must have room behind it. */
	const size_t shown = PARTYLOG_LINE_MAX / 8;
	struct buf text = { 0 };

	buf_printf(&text, "%s: ", what);
	path_show(&text, line, len < shown ? len : shown);
	if (len > shown)
		buf_add_str(&text, " ...");
	if (why != NULL)
		buf_printf(&text, ": %s", why);
	put(p, &text);
	buf_clear(&text);
}

int
partylog_read(struct party *p, struct buf *out, struct err *e)
{
	int dir = registry_dir(&p->desk->registry, p->name, e);
	uint8_t *room;
	int rc = -1;

	if (dir < 0)
		return -1;
	/* Twice as much: a last line may stand over the limit. */
	if (io_read_file(dir, LOG_OLD, 2 * PARTY_LOG_MAX, out, e) < 0)
		goto out;
	rc = 0;
	if (p->logfd < 0 || p->log_bytes == 0)
		goto out;
	room = buf_extend(out, (size_t)p->log_bytes);
	if (room == NULL)
		rc = err_nomem(e);
	else
		rc = io_read_at(p->logfd, room, (size_t)p->log_bytes, 0, LOG,
				e);
out:
	(void)io_close(dir, p->name, NULL);
	return rc;
}
