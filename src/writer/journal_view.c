/*
 * What is durable does not change any more: files that a view names are read
 * while the journal goes on.  Only dropping takes one away, and who reads
 * behind the cuts that are dropped below does not notice.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/journal.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "src/writer/journal_internal.h"

#include <fcntl.h>
#include <inttypes.h>

uint64_t
journal_view_first(const struct journal_view *v)
{
	return v->seg[0].first;
}

uint64_t
journal_view_next(const struct journal_view *v)
{
	return v->until;
}

void
journal_view_free(struct journal_view *v)
{
	mem_free(v);
}

/* Which entries are wanted, and what for. */
struct reading {
	const struct journal_view *v;
	uint64_t seq; /* from here on */
	journal_fn fn;
	void *ctx;
};

/*
 * Entries of a segment whose first number is *next, which moves on.  1: fn
 * wants no more.
 */
static int
read_segment(struct journal_reader *r, const struct reading *g, uint64_t *next,
	     struct err *e)
{
	struct journal_entry en;
	struct err why = { 0 };
	int rc;

	while (*next < g->v->until) {
		rc = journal_reader_next(r, &en, &why);
		if (rc < 0 && err_is_rot(&why))
			return err_set(e, ERR_CORRUPT, "%s", why.text);
		if (rc < 0)
			err_move(e, &why);
		if (rc <= 0)
			return rc;
		if (en.seq != *next)
			return err_set(e, ERR_CORRUPT,
				       "journal: entry %" PRIu64 " is missing",
				       *next);
		++*next;
		rc = en.seq < g->seq ? 0 : g->fn(g->ctx, &en, e);
		if (rc != 0)
			return rc;
	}
	return 1;
}

/* Segment i; as read_segment. */
static int
read_nth(const struct reading *g, size_t i, uint64_t *next, struct err *e)
{
	const struct segment *s = &g->v->seg[i];
	char name[SEGMENT_NAME_LEN + 1];
	struct journal_reader *r = NULL;
	bool missing;
	int rc;
	int fd;

	journal_segment_name(name, s->first);
	fd = io_open(g->v->dirfd, name, O_RDONLY, 0, &missing, e);
	if (fd < 0)
		return missing ? err_set(e, ERR_CORRUPT, "%s: is not there",
					 name)
			       : -1;
	rc = journal_reader_new(fd, SEGMENT_HEADER_LEN, s->end, &r, e);
	if (rc == 0)
		rc = read_segment(r, g, next, e);
	journal_reader_free(r);
	(void)io_close(fd, name, NULL);
	return rc;
}

int
journal_view_read(const struct journal_view *v, uint64_t seq, journal_fn fn,
		  void *ctx, struct err *e)
{
	const struct reading g = { v, seq, fn, ctx };
	uint64_t next = v->seg[0].first;
	size_t i;
	int rc;

	for (i = 0; i < v->segs && next < v->until; i++) {
		if (i + 1 < v->segs && v->seg[i + 1].first <= seq) {
			next = v->seg[i + 1].first;
			continue;
		}
		if (next != v->seg[i].first)
			return err_set(e, ERR_CORRUPT,
				       "journal: entry %" PRIu64 " is missing",
				       next);
		rc = read_nth(&g, i, &next, e);
		if (rc != 0)
			return rc < 0 ? -1 : 0;
	}
	return 0;
}

int
journal_read(struct journal *j, uint64_t seq, journal_fn fn, void *ctx,
	     struct err *e)
{
	struct journal_view *v = NULL;
	int rc = journal_view(j, &v, e);

	if (rc == 0)
		rc = journal_view_read(v, seq, fn, ctx, e);
	journal_view_free(v);
	return rc;
}
