/*
 * What came out, when all was fed, and questions about it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/reduce_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "src/writer/refuse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void
judge(struct file *f, const char *why_all)
{
	struct reduce_file *o = &f->f;
	bool gap = f->gap != GAP_NOWHERE;
	const char *why = f->gap == GAP_COMPONENT ? why_all : f->why;

	if (f->two_names)
		o->why = "it is declared under two names";
	else if (!f->any && gap)
		o->why = why;
	else if (!f->any)
		o->why = "what was declared is not since this backup's base";
	else if (!gap || f->closed_sure)
		o->promised = true;
	else if (!f->closed)
		o->why = why;
	else if (!f->closed_same)
		o->why = "it was changed after it was declared since the base, "
			 "and there is a gap before that";
	else
		o->promised = true;
	o->sure = o->promised && (f->closed_sure || (!gap && f->last_sure));
}

static int
by_path(const void *a, const void *b)
{
	const struct reduce_file *x = a;
	const struct reduce_file *y = b;

	return strcmp(x->path, y->path);
}

static int
take_files(struct reduce *r, struct reduced *out, struct err *e)
{
	size_t i;

	if (r->files == 0)
		return 0;
	out->file = mem_array(r->files, sizeof(*out->file));
	if (out->file == NULL)
		return err_nomem(e);
	for (i = 0; i < r->files; i++) {
		struct file *f = &r->file[i];

		reduce_catch_up(r, f);
		judge(f, out->why);
		if (f->f.why == f->why && f->why != NULL &&
		    strings_keep(&r->strings, f->why, &f->f.why, e) < 0)
			return -1;
		f->f.gap = f->gap == GAP_FILE;
		out->gaps += f->f.gap;
		ranges_settle(&f->f.ranges);
		out->file[i] = f->f;
		memset(&f->f.ranges, 0, sizeof(f->f.ranges));
	}
	out->files = r->files;
	qsort(out->file, out->files, sizeof(*out->file), by_path);
	return 0;
}

/* In the order of paths, and of one path in that of the journal. */
static int
by_attached_path(const void *a, const void *b)
{
	const struct note *const *x = a;
	const struct note *const *y = b;
	int c = strcmp((*x)->a, (*y)->a);

	if (c != 0)
		return c;
	return *x < *y ? -1 : *x > *y;
}

/* The last one of each path. */
static int
take_attachments(struct reduce *r, struct reduced *out, struct err *e)
{
	const struct note **list;
	size_t n = 0;
	size_t i;

	list = mem_array(r->notes + 1, sizeof(*list));
	out->attachment = mem_array(r->notes + 1, sizeof(*out->attachment));
	if (list == NULL || out->attachment == NULL) {
		mem_free(list);
		return err_nomem(e);
	}
	for (i = 0; i < r->notes; i++)
		if (r->note[i].kind == NOTE_ATTACH && !r->note[i].dropped)
			list[n++] = &r->note[i];
	qsort(list, n, sizeof(*list), by_attached_path);
	for (i = 0; i < n; i++)
		if (i + 1 == n || strcmp(list[i]->a, list[i + 1]->a) != 0)
			out->attachment[out->attachments++] =
				(struct reduce_attachment){ list[i]->a,
							    list[i]->b };
	mem_free(list);
	return 0;
}

int
reduce_end(struct reduce *r, struct reduced *out, struct err *e)
{
	struct reduced o = { 0 };
	size_t i;

	o.gap = r->why != NULL;
	if (o.gap && strings_keep(&r->strings, r->why, &o.why, e) < 0)
		return -1;
	for (i = 0; i < r->notes; i++) {
		if (r->note[i].kind == NOTE_STAMP && !r->note[i].dropped)
			o.stamp = r->note[i].a;
		if (r->note[i].kind == NOTE_METADATA && !r->note[i].dropped)
			o.metadata = r->note[i].a;
	}
	if (take_files(r, &o, e) < 0 || reduce_take_differenced(r, &o, e) < 0 ||
	    take_attachments(r, &o, e) < 0) {
		reduced_clear(&o);
		return -1;
	}
	o.strings = r->strings;
	memset(&r->strings, 0, sizeof(r->strings));
	*out = o;
	return 0;
}

/* --- what came out ---------------------------------------------------------- */

void
reduced_clear(struct reduced *out)
{
	size_t i;

	for (i = 0; i < out->files; i++)
		ranges_clear(&out->file[i].ranges);
	mem_free(out->file);
	mem_free(out->differenced);
	mem_free(out->attachment);
	strings_clear(&out->strings);
	memset(out, 0, sizeof(*out));
}

const struct reduce_file *
reduced_find(const struct reduced *r, const char *path)
{
	const struct reduce_file key = { .path = path };

	if (r->files == 0)
		return NULL;
	return bsearch(&key, r->file, r->files, sizeof(*r->file), by_path);
}

const char *
reduce_refuses(const struct reduce_file *f, const struct facts *now)
{
	if (!f->promised)
		return f->why;
	if (f->sure || facts_equal(&f->facts, now))
		return NULL;
	if (!f->facts.known || !now->known)
		return "nothing is known of it when it was declared";
	if (f->facts.young)
		return "it was declared too soon after it was changed";
	if (!facts_same_file(&f->facts, now))
		return "it is not the file that was declared";
	return "it was changed after it was declared";
}

int
reduce_ranges(const struct reduce_file *f, uint64_t base_size, uint64_t size,
	      struct ranges *out, struct err *e)
{
	uint64_t lowest = base_size < size ? base_size : size;
	struct ranges below = f->ranges; /* borrowed, and no further */
	struct ranges got = { 0 };

	if (f->min_size < lowest)
		lowest = f->min_size;
	if (f->beyond > size)
		return refuse_set(e, EINVAL,
				  "declared up to byte %" PRIu64
				  " of a file that has %" PRIu64,
				  f->beyond, size);
	while (below.count > 0 && below.r[below.count - 1].off >= lowest)
		below.count--;
	if (ranges_push(&got, lowest, size - lowest, e) < 0 ||
	    ranges_union(&got, &below, e) < 0) {
		ranges_clear(&got);
		return -1;
	}
	ranges_clip(&got, size);
	ranges_clear(out);
	*out = got;
	return 0;
}
