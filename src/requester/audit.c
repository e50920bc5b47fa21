/*
 * audit.c
 *
 * Every block of the file is drawn or not, each by itself, so that nobody can
 * know which bytes will be looked at.  Of a block that is drawn, what was not
 * declared is compared.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/audit.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/src.h"
#include "src/engine/reader.h"
#include "src/writer/ranges.h"

#include <stdbool.h>
#include <string.h>

struct look {
	const struct audit *a;
	struct file_reader base;
	uint64_t at, compared;
	uint8_t now[AUDIT_BLOCK];
	uint8_t then[AUDIT_BLOCK];
};

/* splitmix64: good enough to be unpredictable for whoever knows no seed. */
static uint64_t
draw(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 1: they differ, at l->at. */
static int
compare(struct look *l, uint64_t off, size_t len, struct err *e)
{
	ssize_t now = src_read(l->a->fd, l->now, len, off, NULL, e);
	ssize_t then;
	size_t i;

	if (now < 0)
		return -1;
	then = file_read(&l->base, off, l->then, len, NULL, e);
	if (then < 0)
		return -1;
	l->compared += len;
	for (i = 0; i < len; i++) {
		if (i < (size_t)now && i < (size_t)then &&
		    l->now[i] == l->then[i])
			continue;
		l->at = off + i;
		return 1;
	}
	return 0;
}

/* What was not declared between the two, which are at most a block apart. */
static int
compare_block(struct look *l, uint64_t from, uint64_t to, struct err *e)
{
	const struct ranges *d = l->a->declared;
	size_t i = ranges_find(d, from);
	uint64_t end;
	int rc = 0;

	while (from < to && rc == 0) {
		end = i < d->count && d->r[i].off < to ? d->r[i].off : to;
		if (end > from)
			rc = compare(l, from, (size_t)(end - from), e);
		if (i < d->count && d->r[i].off == end) {
			end += d->r[i].len;
			i++;
		}
		from = end;
	}
	return rc;
}

int
audit_file(const struct audit *a, uint64_t *at, uint64_t *compared,
	   struct err *e)
{
	struct look *l = mem_zalloc(sizeof(*l));
	uint64_t state = a->seed;
	uint64_t from;
	uint64_t to;
	int rc = 0;

	if (l == NULL)
		return err_nomem(e);
	l->a = a;
	if (file_reader_init(&l->base, a->reader, a->content, a->base_size, e) <
	    0) {
		mem_free(l);
		return -1;
	}
	for (from = 0; from < a->size && rc == 0; from = to) {
		to = a->size - from < AUDIT_BLOCK ? a->size
						  : from + AUDIT_BLOCK;
		if (draw(&state) % 100 < a->percent)
			rc = compare_block(l, from, to, e);
	}
	*at = l->at;
	*compared = l->compared;
	file_reader_clear(&l->base);
	mem_free(l);
	return rc;
}
