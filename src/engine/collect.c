/*
 * Building trees from a walk in order.
 *
 * A directory comes as slices of its names, each followed by the slices of
 * the directories in it, and then its end.  A slice is kept open until its
 * directories have their entries; then its entries go to the directory's
 * tree builder in the order of names.  A directory of one slice whose
 * entries are all the base's, and all of the base's, never gets a builder:
 * it is the base's tree.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/collect.h"

#include "base/mem.h"
#include "src/engine/claimed.h"
#include "src/engine/feed.h"
#include "src/engine/filemap.h"
#include "src/engine/graft_internal.h"
#include "src/engine/ingest.h"
#include "src/engine/inomap.h"
#include "src/engine/links.h"
#include "src/engine/list.h"
#include "src/engine/scan.h"
#include "src/engine/view.h"
#include "store/writer.h"

#include <inttypes.h>
#include <string.h>

#define PROGRESS_NS UINT64_C(100000000)

/* The directory of a link's first name; its tree is known at its end. */
struct holder {
	struct holder *next; /* of all */
	struct id tree;
	bool old; /* a tree that is not in the generation any more */
};

/* A file with more than one name. */
struct linked {
	uint64_t inside;
	const struct holder *holder;
	uint8_t *name;
	size_t name_len;
	uint8_t *bytes; /* the entry, where it was read in this run */
	size_t len;
};

struct collector {
	struct backup *b;
	struct collected *out;
	struct chunk_sink *sink;
	struct filemap_builder *map;
	struct list_builder *exceptions;
	struct inomap links; /* struct linked */
	struct holder *holders;
	struct buf entry, path, text;
	struct backup_progress progress;
	uint64_t told_ns; /* when progress was told last */
};

static bool
cancelled(const struct collector *c)
{
	const atomic_int *cancel = c->b->opt->cancel;

	return cancel != NULL && *cancel != 0;
}

/* --- telling ------------------------------------------------------------------ */

static void
tell_progress(struct collector *c)
{
	const struct backup_options *o = c->b->opt;
	uint64_t now;

	if (o->progress == NULL)
		return;
	now = time_monotonic_ns();
	if (now - c->told_ns < PROGRESS_NS)
		return;
	c->told_ns = now;
	c->progress.entries = c->out->entries;
	c->progress.files_read = c->out->files_read;
	c->progress.bytes_read = c->out->bytes_read;
	c->progress.files_kept = c->out->files_kept;
	c->progress.bytes_kept = c->out->bytes_kept;
	c->progress.errors = c->out->errors;
	o->progress(o->ctx, &c->progress);
}

enum exception_kind { EXCEPTION_READ = 1, EXCEPTION_ERROR = 2 };

static int
add_exception(struct collector *c, const struct dir *d, const char *name,
	      enum exception_kind kind, unsigned reason, const char *text,
	      struct err *e)
{
	buf_reset(&c->path);
	dir_path(d, name, &c->path);
	(void)buf_str(&c->path);
	buf_reset(&c->text);
	wr_string(&c->text, c->path.data, c->path.len);
	wr_varint(&c->text, kind);
	wr_varint(&c->text, reason);
	wr_string(&c->text, text, strlen(text));
	if (buf_ok(&c->path, e) < 0 || buf_ok(&c->text, e) < 0)
		return -1;
	if (c->text.len > LIST_ITEM_MAX)
		return 0; /* a path longer than any reader wants to see */
	return list_builder_add(c->exceptions, c->text.data, c->text.len, e);
}

/* A source that could not be read, or not wholly. */
static int
tell_error(struct collector *c, const struct dir *d, const char *name,
	   const char *text, struct err *e)
{
	const struct backup_options *o = c->b->opt;
	struct err why = { 0 };

	c->out->errors++;
	if (add_exception(c, d, name, EXCEPTION_ERROR, 0, text, e) < 0)
		return -1;
	err_set(&why, ERR_SOURCE, "%s", text);
	if (o->failed != NULL)
		o->failed(o->ctx, buf_str(&c->path), &why);
	return 0;
}

/* --- hard links ----------------------------------------------------------------- */

static struct linked *
link_find(const struct collector *c, const struct item *it)
{
	return inomap_get(&c->links, it->fs, it->st.stx_ino);
}

static void
linked_free(struct linked *l)
{
	mem_free(l->name);
	mem_free(l->bytes);
	mem_free(l);
}

static struct holder *
holder_new(struct collector *c)
{
	struct holder *h = mem_zalloc(sizeof(*h));

	if (h == NULL)
		return NULL;
	h->next = c->holders;
	c->holders = h;
	return h;
}

static struct holder *
holder_of(struct collector *c, struct dir *d)
{
	if (d->holder == NULL)
		d->holder = holder_new(c);
	return d->holder;
}

/* The name of the inode that the link table will tell. */
static int
link_place(struct collector *c, struct dir *d, const struct item *it,
	   struct linked *l, struct err *e)
{
	struct holder *h = holder_of(c, d);
	uint8_t *name = (uint8_t *)mem_dup(it->name, it->name_len);

	if (h == NULL || name == NULL) {
		mem_free(name);
		return err_nomem(e);
	}
	mem_free(l->name);
	l->name = name;
	l->name_len = it->name_len;
	l->holder = h;
	return 0;
}

/* Read in this run, and content came of it? */
static bool
was_read(const struct item *it)
{
	return it->state == ITEM_FILE && it->job != NULL &&
	       (it->job->file[it->job_index].meta.flags & ENTRY_UNREADABLE) ==
		       0;
}

/*
 * Count one more name of a linked file, the first with its place.  If that
 * could not be read and another one could, that is the better place.
 */
static int
link_count(struct collector *c, struct dir *d, const struct item *it,
	   struct err *e)
{
	struct linked *l = link_find(c, it);

	if (l == NULL) {
		l = mem_zalloc(sizeof(*l));
		if (l == NULL)
			return err_nomem(e);
		if (inomap_put(&c->links, it->fs, it->st.stx_ino, l, e) < 0) {
			mem_free(l);
			return -1;
		}
	}
	if (l->name == NULL || (l->bytes == NULL && was_read(it)))
		if (link_place(c, d, it, l, e) < 0)
			return -1;
	l->inside++;
	if (l->bytes == NULL && was_read(it)) {
		l->bytes = (uint8_t *)mem_dup(it->bytes, it->len);
		l->len = it->len;
		if (l->bytes == NULL)
			return err_nomem(e);
	}
	return 0;
}

/* Write the link table; counts the inodes that names share. */
static int
finish_links(struct collector *c, struct err *e)
{
	size_t n = inomap_sort(&c->links);
	struct links_builder *lb = NULL;
	int rc = -1;

	if (links_builder_new(c->sink, &lb, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const struct inomap_slot *at = &c->links.slot[i];
		const struct linked *l = at->value;
		struct link out = { .fs = at->fs,
				    .ino = at->ino,
				    .inside = l->inside,
				    .tree = l->holder->tree,
				    .name = l->name,
				    .name_len = l->name_len };

		c->out->inodes -= l->inside - 1;
		if (links_builder_add(lb, &out, e) < 0)
			goto out;
	}
	rc = links_builder_finish(lb, &c->out->links, &c->out->link_count, e);
out:
	links_builder_free(lb);
	return rc;
}

/* --- files ---------------------------------------------------------------------- */

/* One cut of a piece: into the store and into the map. */
static int
take_cut(struct collector *c, const struct cut *cut, const uint8_t *data,
	 struct err *e)
{
	if (cut->hole)
		return filemap_add_hole(c->map, cut->len, e);
	if (writer_put(c->b->writer, KIND_DATA, &cut->id, data,
		       (size_t)cut->len, false, NULL, e) < 0)
		return -1;
	c->out->bytes_read += cut->len;
	return filemap_add_chunk(c->map, &cut->id, (uint32_t)cut->len, e);
}

/* The next file of a batch: so many cuts of the job's one piece. */
static int
take_batched(struct collector *c, struct job *j, size_t cuts, struct err *e)
{
	const struct piece *p = j->at;

	for (; cuts > 0; cuts--) {
		const struct cut *cut = &p->cut[j->at_cut++];

		if (take_cut(c, cut, p->data + j->at_byte, e) < 0)
			return -1;
		if (!cut->hole)
			j->at_byte += (size_t)cut->len;
	}
	return 0;
}

/*
 * The pieces of a larger file.  Its class is the reader's choice, known with
 * the first piece.
 */
static int
take_stream(struct collector *c, struct job *j, struct err *e)
{
	bool started = false;
	struct piece *p;
	int rc;

	while ((rc = feed_piece(c->b->feed, j, &p, e)) == 1) {
		size_t at = 0;

		if (!started)
			filemap_builder_start(c->map, MAP_CDC,
					      j->file[0].item->hint);
		started = true;
		for (size_t i = 0; i < p->cuts && rc == 1; i++) {
			if (take_cut(c, &p->cut[i], p->data + at, e) < 0)
				rc = -1;
			if (!p->cut[i].hole)
				at += (size_t)p->cut[i].len;
		}
		feed_piece_done(c->b->feed, p);
		if (rc < 0)
			return -1;
		if (cancelled(c))
			return err_set(e, ERR_CANCELLED, "interrupted");
		tell_progress(c);
	}
	return rc;
}

/* The batch's piece, when its first file is asked for. */
static int
open_batch(struct collector *c, struct job *j, struct err *e)
{
	int rc;

	if (j->at != NULL)
		return 0;
	rc = feed_piece(c->b->feed, j, &j->at, e);
	if (rc == 0)
		return err_set(e, ERR_CANCELLED, "stopped");
	return rc < 0 ? -1 : 0;
}

/* Encode the entry into the slice. */
static int
keep_entry(struct collector *c, struct slice *sl, struct item *it,
	   const struct entry *en, struct err *e)
{
	buf_reset(&c->entry);
	if (entry_encode(en, &c->entry, e) < 0)
		return -1;
	it->bytes = arena_copy(&sl->arena, c->entry.data, c->entry.len);
	if (it->bytes == NULL)
		return err_nomem(e);
	it->len = (uint32_t)c->entry.len;
	it->xattrs = en->xattrs > 0;
	return 0;
}

/* A name of a file that was read under another name. */
static int
take_link(struct collector *c, struct slice *sl, struct item *it,
	  const struct linked *l, struct err *e)
{
	struct entry en;

	if (entry_decode(l->bytes, l->len, false, &en, e) < 0)
		return -1;
	en.name = (const uint8_t *)it->name;
	en.name_len = it->name_len;
	/* Of what befell it, each name's writer is told. */
	if (it->claim != NULL && (en.flags & ENTRY_TORN) != 0)
		it->claim->torn = true;
	return keep_entry(c, sl, it, &en, e);
}

/* The content of a file that was read; its job is open. */
static int
take_content(struct collector *c, struct job *j, struct file_result *fr,
	     struct entry *en, struct err *e)
{
	if (j->stream) {
		if (take_stream(c, j, e) < 0)
			return -1;
	} else {
		filemap_builder_start(c->map, MAP_CDC, fr->item->hint);
		if (take_batched(c, j, fr->cuts, e) < 0)
			return -1;
	}
	*en = fr->meta;
	if (fr->item->claim != NULL)
		fr->item->claim->read = fr->read;
	if (fr->gone || (en->flags & ENTRY_UNREADABLE) != 0)
		return 0;
	c->out->files_read++;
	if (fr->large) {
		bool partial = fr->item->claim != NULL &&
			       fr->item->claim->partial;

		en->content = fr->content;
		en->size = fr->size;
		c->out->bytes_read += partial ? fr->read : fr->size;
		return 0;
	}
	return filemap_finish(c->map, &en->content, &en->size, e);
}

static int
take_file(struct collector *c, struct slice *sl, struct item *it,
	  struct err *e)
{
	struct file_result *fr;
	struct entry en;
	struct job *j;

	if (it->job == NULL) {
		const struct linked *l = link_find(c, it);

		if (l != NULL && l->bytes != NULL)
			return take_link(c, sl, it, l, e);
		/* The name that should have carried it has failed. */
		if (feed_urgent(c->b->feed, sl->dir, it, e) < 0)
			return -1;
	}
	j = it->job;
	fr = &j->file[it->job_index];
	if (!j->stream && open_batch(c, j, e) < 0)
		return -1;
	if (take_content(c, j, fr, &en, e) < 0)
		return -1;
	if (fr->gone) {
		it->gone = true;
	} else {
		en.name = (const uint8_t *)it->name;
		en.name_len = it->name_len;
		if (keep_entry(c, sl, it, &en, e) < 0)
			return -1;
	}
	if (!j->stream && it->job_index + 1 == j->files) {
		feed_piece_done(c->b->feed, j->at);
		j->at = NULL;
	}
	return 0;
}

/* --- items ---------------------------------------------------------------------- */

static int
count_item(struct collector *c, struct dir *d, const struct item *it,
	   struct err *e)
{
	struct collected *o = c->out;

	o->entries++;
	o->inodes++;
	if (it->xattrs)
		o->xattrs++;
	if (S_ISREG(it->st.stx_mode)) {
		o->files++;
		o->bytes += it->st.stx_size;
		if (it->state == ITEM_KEPT) {
			o->files_kept++;
			o->bytes_kept += it->st.stx_size;
		}
	} else {
		o->others++;
	}
	if (id_set_add(&o->users, it->st.stx_uid, e) < 0 ||
	    id_set_add(&o->groups, it->st.stx_gid, e) < 0)
		return -1;
	if (it->st.stx_nlink > 1)
		return link_count(c, d, it, e);
	return 0;
}

/* Why it was read, or kept, in the words of the claim. */
static int
tell_reason(struct collector *c, const struct dir *d, const struct item *it,
	    struct err *e)
{
	const struct item_claim *ic = it->claim;
	struct buf text = { 0 };
	int rc;

	if (ic != NULL && it->reason == PLAN_CARRIED)
		buf_printf(&text, "from generation %" PRIu32,
			   ic->claim.base->number);
	else if (ic != NULL && ic->partial)
		buf_printf(&text,
			   "%" PRIu64 " of %" PRIu64 " bytes read, %" PRIu64
			   " range%s declared",
			   ic->read, (uint64_t)it->st.stx_size, ic->ranges,
			   ic->ranges == 1 ? "" : "s");
	else if (ic != NULL && ic->proof != NULL)
		buf_add_str(&text, ic->proof);
	if (ic != NULL && ic->claim.text != NULL) {
		if (text.len > 0)
			buf_add_str(&text, "; ");
		buf_add_str(&text, ic->claim.text);
	}
	(void)buf_str(&text);
	rc = buf_ok(&text, e);
	if (rc == 0)
		rc = add_exception(c, d, it->name, EXCEPTION_READ, it->reason,
				   buf_str(&text), e);
	buf_clear(&text);
	return rc;
}

/* That everything is read needs no telling, but what a writer said does. */
static bool
reason_matters(const struct collector *c, const struct item *it)
{
	if (it->gone)
		return false;
	if (it->claim != NULL && it->reason == PLAN_CARRIED)
		return it->state == ITEM_KEPT;
	if (it->state != ITEM_FILE)
		return false;
	return !backup_reads_all(c->b) ||
	       (it->claim != NULL && it->reason != PLAN_WHOLE);
}

/* A claimed file: its writer's side is told. */
static int
tell_claim(struct collector *c, const struct dir *d, const struct item *it,
	   struct err *e)
{
	const struct item_claim *ic = it->claim;

	buf_reset(&c->path);
	dir_path(d, it->name, &c->path);
	(void)buf_str(&c->path);
	if (buf_ok(&c->path, e) < 0)
		return -1;
	if (it->state == ITEM_FILE) {
		c->out->claimed_bytes_read += ic->read;
		c->out->partial_files += ic->partial;
	}
	claimed_tell(c->b, it, buf_str(&c->path));
	return 0;
}

static int
take_item(struct collector *c, struct slice *sl, struct item *it,
	  struct err *e)
{
	if (it->state == ITEM_FILE && take_file(c, sl, it, e) < 0)
		return -1;
	if (reason_matters(c, it) && tell_reason(c, sl->dir, it, e) < 0)
		return -1;
	if (it->claim != NULL && it->state != ITEM_DIR &&
	    tell_claim(c, sl->dir, it, e) < 0)
		return -1;
	if (it->error != NULL &&
	    tell_error(c, sl->dir, it->name, it->error, e) < 0)
		return -1;
	if (it->gone || it->state == ITEM_DROPPED || it->state == ITEM_DIR)
		return 0;
	return count_item(c, sl->dir, it, e);
}

/* --- directories -------------------------------------------------------------------- */

/* All directories of the open slice are done: out with its entries. */
static int
close_slice(struct collector *c, struct dir *d, bool build, struct err *e)
{
	struct slice *sl = d->open;

	if (sl == NULL)
		return 0;
	if (build && d->builder == NULL &&
	    tree_builder_new(c->sink, &d->builder, e) < 0)
		return -1;
	for (size_t i = 0; i < sl->count && build; i++) {
		const struct item *it = &sl->item[i];
		struct entry en;

		if (it->bytes == NULL || it->gone)
			continue;
		if (entry_decode(it->bytes, it->len, false, &en, e) < 0 ||
		    tree_builder_add(d->builder, &en, e) < 0)
			return -1;
	}
	d->open = NULL;
	feed_slice_done(c->b->feed, sl);
	return 0;
}

static void
count_entries(struct dir *d, const struct slice *sl)
{
	for (size_t i = 0; i < sl->count; i++) {
		const struct item *it = &sl->item[i];

		if (it->bytes == NULL || it->gone)
			continue;
		d->added++;
		if (it->same)
			d->same++;
	}
}

static int
take_slice(struct collector *c, struct dir *d, struct slice *sl,
	   struct err *e)
{
	if (d->open != NULL) {
		count_entries(d, d->open);
		if (close_slice(c, d, true, e) < 0)
			return -1;
	}
	d->open = sl;
	for (size_t i = 0; i < sl->count; i++) {
		if (cancelled(c))
			return err_set(e, ERR_CANCELLED, "interrupted");
		if (take_item(c, sl, &sl->item[i], e) < 0)
			return -1;
	}
	tell_progress(c);
	return 0;
}

/* The tree of a directory whose entries are all there. */
static int
finish_tree(struct collector *c, struct dir *d, struct tree_root *out,
	    struct err *e)
{
	bool unchanged;

	if (d->open != NULL)
		count_entries(d, d->open);
	unchanged = d->has_base && !d->base_lost && d->same == d->added &&
		    d->added == d->base.dir.entries;
	if (close_slice(c, d, !unchanged || d->builder != NULL, e) < 0)
		return -1;
	if (unchanged) {
		*out = d->base.dir;
		return 0;
	}
	return tree_builder_finish(d->builder, out, e);
}

/* Names are missing that may be claimed: their writer's side is told. */
static int
tell_missed(struct collector *c, const struct dir *d, struct err *e)
{
	struct claims *claims = c->b->claims;

	if (d->missed == NULL || !d->asks || claims->missed == NULL)
		return 0;
	buf_reset(&c->path);
	dir_path(d, NULL, &c->path);
	(void)buf_str(&c->path);
	if (buf_ok(&c->path, e) < 0)
		return -1;
	claims->missed(claims, buf_str(&c->path), d->missed);
	return 0;
}

/*
 * It vanished before it could be opened: as if it had not been listed, but who
 * may have files in it is told, as of a file.
 */
static int
drop_dir(struct collector *c, struct dir *d, struct err *e)
{
	d->missed = "it vanished while it was to be read";
	if (tell_missed(c, d, e) < 0 || close_slice(c, d, false, e) < 0)
		return -1;
	d->item->gone = true;
	d->item->dir = NULL;
	dir_unref(d);
	return 0;
}

/* Its entry: the base's bytes if nothing at all is new. */
static int
finish_dir(struct collector *c, struct dir *d, struct err *e)
{
	struct item *it = d->item;
	struct tree_root root;
	struct entry en;

	if (d->gone)
		return drop_dir(c, d, e);
	if (finish_tree(c, d, &root, e) < 0)
		return -1;
	tree_builder_free(d->builder);
	d->builder = NULL;
	if (d->holder != NULL)
		d->holder->tree = root.id;
	en = d->meta_kept ? d->base : d->meta;
	en.dir = root;
	if (it != NULL) {
		en.name = (const uint8_t *)it->name;
		en.name_len = it->name_len;
	}
	c->out->dirs++;
	c->out->entries++;
	c->out->inodes++;
	if (en.xattrs > 0)
		c->out->xattrs++;
	if (id_set_add(&c->out->users, en.uid, e) < 0 ||
	    id_set_add(&c->out->groups, en.gid, e) < 0)
		return -1;
	buf_reset(&c->entry);
	if (entry_encode(&en, &c->entry, e) < 0)
		return -1;
	if (d->error != NULL && tell_error(c, d, NULL, d->error, e) < 0)
		return -1;
	if (tell_missed(c, d, e) < 0)
		return -1;
	if (it == NULL) {
		buf_add(&c->out->root_bytes, c->entry.data, c->entry.len);
		return buf_ok(&c->out->root_bytes, e);
	}
	it->same = d->has_base && c->entry.len == d->base.len &&
		   memcmp(c->entry.data, d->base.bytes, c->entry.len) == 0;
	it->len = (uint32_t)c->entry.len;
	it->bytes = arena_copy(&d->parent->open->arena, c->entry.data,
			       c->entry.len);
	if (it->bytes == NULL)
		return err_nomem(e);
	it->dir = NULL;
	dir_unref(d);
	return 0;
}

/* --- the run ------------------------------------------------------------------------ */

static int
consume(struct collector *c, struct err *e)
{
	struct step s;

	for (;;) {
		if (cancelled(c))
			return err_set(e, ERR_CANCELLED, "interrupted");
		if (feed_next(c->b->feed, &s, e) < 0)
			return -1;
		switch (s.kind) {
		case STEP_SLICE:
			if (take_slice(c, s.dir, s.slice, e) < 0)
				return -1;
			break;
		case STEP_END:
			if (finish_dir(c, s.dir, e) < 0)
				return -1;
			break;
		case STEP_DONE:
			return 0;
		}
	}
}

/* --- after the walk ----------------------------------------------------------------- */

int
collect_lone(struct collector *c, struct slice *sl, struct err *e)
{
	struct item *it = &sl->item[0];
	struct err why = { 0 };
	struct entry en;

	if (it->state == ITEM_FILE &&
	    (feed_urgent(c->b->feed, sl->dir, it, e) < 0 ||
	     take_file(c, sl, it, e) < 0))
		return -1;
	if (it->bytes == NULL || it->gone)
		return err_set(e, ERR_SOURCE, "%s",
			       it->error != NULL ? it->error :
						   "it is not there any more");
	if (entry_decode(it->bytes, it->len, false, &en, e) < 0)
		return -1;
	if ((en.flags & ENTRY_UNREADABLE) != 0)
		return err_set(e, ERR_SOURCE, "%s",
			       it->error != NULL ? it->error : "unreadable");
	/*
	 * Its other names stay as the walk has found them.  Racy, so that the
	 * next walk, which will find them all linked, reads it.
	 */
	if ((en.flags & ENTRY_LINKED) != 0) {
		en.flags &= ~ENTRY_LINKED;
		en.flags |= ENTRY_RACY;
		en.nlink = 1;
		en.bytes = NULL;
		if (keep_entry(c, sl, it, &en, e) < 0)
			return -1;
	}
	if (reason_matters(c, it) && tell_reason(c, sl->dir, it, e) < 0)
		return -1;
	if (tell_claim(c, sl->dir, it, e) < 0)
		return -1;
	if (it->error != NULL &&
	    tell_error(c, sl->dir, it->name, it->error, &why) < 0) {
		err_move(e, &why);
		return -1;
	}
	return 0;
}

int
collect_swap(struct collector *c, const struct entry *old,
	     const struct entry *new, struct err *e)
{
	struct collected *o = c->out;

	if (old != NULL) {
		o->bytes -= old->type == ENTRY_FILE ? old->size : 0;
		o->files -= old->type == ENTRY_FILE && o->files > 0;
		o->dirs -= old->type == ENTRY_DIR && o->dirs > 0;
		o->xattrs -= old->xattrs > 0;
	} else {
		o->entries++;
		o->inodes++;
	}
	if (new == NULL) {
		o->entries--;
		o->inodes--;
		return 0;
	}
	o->xattrs += new->xattrs > 0;
	if (new->type == ENTRY_FILE) {
		o->files++;
		o->bytes += new->size;
	} else if (new->type == ENTRY_DIR) {
		o->dirs++;
	}
	if (id_set_add(&o->users, new->uid, e) < 0)
		return -1;
	return id_set_add(&o->groups, new->gid, e);
}

int
collect_unlink(struct collector *c, const struct id *tree,
	       const struct entry *old, struct err *e)
{
	struct linked *l = inomap_get(&c->links, old->fs, old->ino);
	struct holder *h;

	if ((old->flags & ENTRY_LINKED) == 0 || l == NULL)
		return 0;
	/* finish_links takes a name less, so the inode is not counted twice. */
	if (--l->inside == 0) {
		inomap_drop(&c->links, old->fs, old->ino);
		linked_free(l);
		return 0;
	}
	if (!id_equal(&l->holder->tree, tree) ||
	    entry_name_cmp(l->name, l->name_len, old->name, old->name_len) != 0)
		return 0;
	/* Where another of its names is nobody knows; the old tree is there. */
	h = holder_new(c);
	if (h == NULL)
		return err_nomem(e);
	h->tree = *tree;
	h->old = true;
	l->holder = h;
	return 0;
}

void
collect_moved(struct collector *c, const struct id *from, const struct id *to)
{
	for (struct holder *h = c->holders; h != NULL; h = h->next)
		if (!h->old && id_equal(&h->tree, from))
			h->tree = *to;
}

/* What writers hand over at the very end, if this walk was the last. */
static int
take_grafts(struct collector *c, struct err *e)
{
	struct backup *b = c->b;
	struct graft *g = NULL;
	int rc;

	if (b->claims == NULL || backup_walks_again(b))
		return 0;
	if (graft_new(b, c, c->out, &g, e) < 0)
		return -1;
	rc = b->claims->copied(b->claims, g, e);
	if (rc == 0)
		rc = graft_finish(g, e);
	graft_free(g);
	return rc < 0 ? -1 : 0;
}

static void
collector_clear(struct collector *c)
{
	for (size_t i = 0; i < c->links.cap; i++)
		if (c->links.slot[i].value != NULL)
			linked_free(c->links.slot[i].value);
	inomap_clear(&c->links);
	while (c->holders != NULL) {
		struct holder *h = c->holders;

		c->holders = h->next;
		mem_free(h);
	}
	filemap_builder_free(c->map);
	list_builder_free(c->exceptions);
	buf_clear(&c->entry);
	buf_clear(&c->path);
	buf_clear(&c->text);
}

static int
collector_init(struct collector *c, struct err *e)
{
	c->sink = writer_sink(c->b->writer);
	if (filemap_builder_new(c->sink, &c->map, e) < 0 ||
	    list_builder_new(c->sink, &c->exceptions, e) < 0)
		return -1;
	return 0;
}

/* The last things: tables, and the tops as they are by then. */
static int
finish(struct collector *c, struct err *e)
{
	struct collected *out = c->out;

	if (finish_links(c, e) < 0 ||
	    list_builder_finish(c->exceptions, &out->exceptions,
				&out->exception_count, e) < 0)
		return -1;
	if (out->session_bytes.len > 0 &&
	    entry_decode(out->session_bytes.data, out->session_bytes.len, true,
			 &out->session, e) < 0)
		return -1;
	return entry_decode(out->root_bytes.data, out->root_bytes.len, true,
			    &out->root, e);
}

int
collect_run(struct backup *b, struct dir *top, struct collected *out,
	    struct err *e)
{
	struct collector c = { .b = b, .out = out };
	int rc = -1;

	(void)top;
	if (b->base != NULL) {
		c.progress.expected_files = b->base->counts.entries;
		c.progress.expected_bytes = b->base->counts.bytes;
	}
	if (collector_init(&c, e) == 0 && consume(&c, e) == 0 &&
	    take_grafts(&c, e) == 0)
		rc = finish(&c, e);
	collector_clear(&c);
	return rc;
}

/* --- without a walk ------------------------------------------------------------------- */

/* A row of the base's table of links, as if its names had been walked. */
static int
inherit_link(struct collector *c, const struct link *row, struct err *e)
{
	struct linked *l = mem_zalloc(sizeof(*l));
	struct holder *h = holder_new(c);

	if (l == NULL || h == NULL) {
		mem_free(l);
		return err_nomem(e);
	}
	h->tree = row->tree;
	l->holder = h;
	l->inside = row->inside;
	l->name = (uint8_t *)mem_dup(row->name, row->name_len);
	l->name_len = row->name_len;
	if (l->name == NULL ||
	    inomap_put(&c->links, row->fs, row->ino, l, e) < 0) {
		linked_free(l);
		return err_nomem(e);
	}
	c->out->inodes += row->inside - 1;
	return 0;
}

static int
inherit_links(struct collector *c, const struct record *base, struct err *e)
{
	struct link_hit hit = { 0 };
	int rc = 0;

	for (uint64_t i = 0; i < base->link_count && rc == 0; i++) {
		rc = links_at(c->b->reader, &base->links, i, &hit, e);
		if (rc == 1)
			return err_set(e, ERR_CORRUPT,
				       "generation %" PRIu32 ": its table of "
				       "hard links is too short",
				       base->number);
		if (rc == 0)
			rc = inherit_link(c, &hit.link, e);
		link_hit_clear(&hit);
	}
	return rc;
}

/* Everything is as it was in the base. */
static int
inherit(struct collector *c, const struct record *base, struct err *e)
{
	struct collected *out = c->out;

	out->entries = base->counts.entries;
	out->inodes = base->counts.inodes;
	out->bytes = base->counts.bytes;
	out->xattrs = base->counts.xattrs;
	for (size_t i = 0; i < base->user_count; i++)
		if (id_set_add(&out->users, base->user[i].id, e) < 0)
			return -1;
	for (size_t i = 0; i < base->group_count; i++)
		if (id_set_add(&out->groups, base->group[i].id, e) < 0)
			return -1;
	if (entry_encode(&base->root, &out->root_bytes, e) < 0)
		return -1;
	return inherit_links(c, base, e);
}

int
collect_log(struct backup *b, struct collected *out, struct err *e)
{
	struct collector c = { .b = b, .out = out };
	int rc = -1;

	if (collector_init(&c, e) == 0 && inherit(&c, b->base, e) == 0 &&
	    take_grafts(&c, e) == 0)
		rc = finish(&c, e);
	collector_clear(&c);
	return rc;
}

void
collected_clear(struct collected *c)
{
	buf_clear(&c->root_bytes);
	buf_clear(&c->session_bytes);
	id_set_clear(&c->users);
	id_set_clear(&c->groups);
}
