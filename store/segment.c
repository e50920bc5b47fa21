/*
 * Merging looks at the heads of all inputs for each entry: there are eight
 * of them in the usual case, and a heap would not pay.
 *
 * Sorting: by the key's bytes from the top, in place, until a bucket is
 * small enough for insertion.  Keys are cut from hashes, so for a million
 * of them that takes two rounds; only a made-up repository has crowded
 * buckets down to the last byte, and these go to qsort.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/segment.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- sorting ---------------------------------------------------------------- */

#define BUCKETS       256
#define INSERTION_MAX 24

static int
compare(const void *a, const void *b)
{
	const struct run_entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	return 0;
}

static void
sort_small(struct run_entry *v, size_t n)
{
	size_t i, j;

	for (i = 1; i < n; i++) {
		struct run_entry en = v[i];

		for (j = i; j > 0 && compare(&en, &v[j - 1]) < 0; j--)
			v[j] = v[j - 1];
		v[j] = en;
	}
}

/* Bring every entry into its bucket by following the cycles of the moves. */
static void
distribute(struct run_entry *v, int shift, size_t next[BUCKETS],
	   const size_t end[BUCKETS])
{
	unsigned b;

	for (b = 0; b < BUCKETS; b++)
		while (next[b] < end[b]) {
			struct run_entry en = v[next[b]];
			uint8_t to = (uint8_t)(en.key >> shift);

			while (to != b) {
				struct run_entry other = v[next[to]];

				v[next[to]++] = en;
				en = other;
				to = (uint8_t)(en.key >> shift);
			}
			v[next[b]++] = en;
		}
}

static void
sort_by_byte(struct run_entry *v, size_t n, int shift)
{
	size_t next[BUCKETS], end[BUCKETS] = { 0 }, at = 0, i;
	unsigned b;

	if (n <= INSERTION_MAX) {
		sort_small(v, n);
		return;
	}
	if (shift < 0) {
		qsort(v, n, sizeof(*v), compare);
		return;
	}
	for (i = 0; i < n; i++)
		end[(uint8_t)(v[i].key >> shift)]++;
	for (b = 0; b < BUCKETS; b++) {
		next[b] = at;
		at += end[b];
		end[b] = at;
	}
	distribute(v, shift, next, end);
	for (b = 0, at = 0; b < BUCKETS; at = end[b++])
		sort_by_byte(v + at, end[b] - at, shift - 8);
}

void
segment_sort(struct run_entry *v, size_t n)
{
	sort_by_byte(v, n, 56);
}

/* --- reading ---------------------------------------------------------------- */

int
segment_open(int dirfd, const char *name, struct segment **out, struct err *e)
{
	struct segment *s = mem_zalloc(sizeof(*s));
	int rc;

	if (s == NULL)
		return err_nomem(e);
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	rc = run_open(dirfd, name, &s->run, e);
	if (rc != 0) {
		segment_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void
segment_free(struct segment *s)
{
	if (s == NULL)
		return;
	run_close(s->run);
	mem_free(s->entries);
	mem_free(s);
}

uint64_t
segment_entries(const struct segment *s)
{
	return s->run != NULL ? run_entries(s->run) : s->count;
}

size_t
segment_memory(const struct segment *s)
{
	return sizeof(*s) + (s->run != NULL ? run_memory(s->run)
					    : s->count * sizeof(*s->entries));
}

int
segment_find(const struct segment *s, uint64_t key, struct run_entry *out,
	     int max, struct err *e)
{
	size_t lo = 0, hi = s->count;
	int count = 0;

	if (s->run != NULL)
		return run_find(s->run, key, out, max, e);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->entries[mid].key < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < s->count && s->entries[lo].key == key && count < max; lo++)
		out[count++] = s->entries[lo];
	return count;
}

/* --- merging ---------------------------------------------------------------- */

/* One input, with its next entry at hand unless it is at its end. */
struct input {
	const struct segment *s;
	struct run_cursor cursor;
	size_t next;
	struct run_entry head;
	bool ended;
};

struct merger {
	const struct segment_merge *m;
	struct input *in; /* m->n of them */
};

static int
advance(struct input *in, struct err *e)
{
	int rc;

	if (in->s->run == NULL) {
		in->ended = in->next == in->s->count;
		if (!in->ended)
			in->head = in->s->entries[in->next++];
		return 0;
	}
	rc = run_cursor_next(&in->cursor, &in->head, e);
	in->ended = rc == 0;
	return rc < 0 ? -1 : 0;
}

static void
merger_clear(struct merger *g)
{
	size_t i;

	for (i = 0; g->in != NULL && i < g->m->n; i++)
		run_cursor_clear(&g->in[i].cursor);
	mem_free(g->in);
	g->in = NULL;
}

static int
merger_init(struct merger *g, const struct segment_merge *m, struct err *e)
{
	size_t i;

	g->m = m;
	g->in = mem_array(m->n + 1, sizeof(*g->in));
	if (g->in == NULL)
		return err_nomem(e);
	for (i = 0; i < m->n; i++) {
		struct input *in = &g->in[i];

		in->s = m->in[i];
		if (in->s->run != NULL &&
		    run_cursor_init(&in->cursor, in->s->run, e) < 0)
			goto fail;
		if (advance(in, e) < 0)
			goto fail;
	}
	return 0;
fail:
	merger_clear(g);
	return -1;
}

/* The smallest entry of all inputs that the filter keeps: 1; 0 at the end. */
static int
merger_next(struct merger *g, struct run_entry *out, struct err *e)
{
	for (;;) {
		struct input *least = NULL;
		size_t i;

		for (i = 0; i < g->m->n; i++) {
			struct input *in = &g->in[i];

			if (!in->ended &&
			    (least == NULL ||
			     compare(&in->head, &least->head) < 0))
				least = in;
		}
		if (least == NULL)
			return 0;
		*out = least->head;
		if (advance(least, e) < 0)
			return -1;
		if (g->m->filter == NULL || g->m->filter(g->m->ctx, out))
			return 1;
	}
}

static uint64_t
most_entries(const struct segment_merge *m)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < m->n; i++)
		sum += segment_entries(m->in[i]);
	return sum;
}

static int
write_all(struct run_writer *w, const struct segment_merge *m, struct err *e)
{
	struct merger g;
	struct run_entry en;
	int rc;

	if (merger_init(&g, m, e) < 0)
		return -1;
	for (;;) {
		rc = merger_next(&g, &en, e);
		if (rc != 1 || run_writer_add(w, &en, e) < 0)
			break;
	}
	merger_clear(&g);
	if (rc != 0)
		return -1;
	return run_writer_finish(w, e);
}

int
segment_write(int dirfd, const struct segment_merge *m, bool private_file,
	      struct segment **out, struct err *e)
{
	char random[IO_RANDOM_NAME_LEN + 1];
	char name[CATALOGUE_RUN_NAME_MAX + 1];
	struct run_writer *w = NULL;
	int rc;

	if (io_random_name(random, e) < 0)
		return -1;
	(void)snprintf(name, sizeof(name), "run.%s", random);
	if (run_writer_new(dirfd, name, most_entries(m), &w, e) < 0)
		return -1;
	rc = write_all(w, m, e);
	run_writer_free(w);
	if (rc < 0)
		return -1;
	rc = segment_open(dirfd, name, out, e);
	if (rc == 1)
		rc = err_set(e, ERR_SYS, "index run %s: has vanished", name);
	if (rc < 0 || private_file)
		(void)io_unlink(dirfd, name, NULL);
	return rc;
}

int
segment_gather(const struct segment_merge *m, struct segment **out,
	       struct err *e)
{
	struct segment *s = mem_zalloc(sizeof(*s));
	struct merger g = { 0 };
	int rc = -1;

	if (s == NULL)
		return err_nomem(e);
	s->entries =
		mem_array((size_t)most_entries(m) + 1, sizeof(*s->entries));
	if (s->entries == NULL) {
		(void)err_nomem(e);
		goto out;
	}
	if (merger_init(&g, m, e) < 0)
		goto out;
	for (;; s->count++) {
		rc = merger_next(&g, &s->entries[s->count], e);
		if (rc != 1)
			break;
	}
	if (rc < 0)
		goto out;
	*out = s;
	s = NULL;
out:
	merger_clear(&g);
	segment_free(s);
	return rc;
}
