/*
 * Listing and comparing.
 *
 * Names are read whole and sorted (some 30 bytes each); stat and comparison
 * go by slices of SLICE_MAX names, so that a directory with a million
 * entries needs no more memory than its names.  The base's directory is
 * walked in step with the sorted names: comparing needs no look-ups.
 *
 * What can go wrong with a source is written into the item it concerns: a
 * name that cannot be stat'ed is left out and makes the listing partial, a
 * directory that cannot be opened is kept as unreadable.  Only failures of
 * the repository and of memory stop the run.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/scan.h"

#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "src/engine/claimed.h"
#include "src/engine/exclude.h"
#include "src/engine/feed.h"
#include "src/engine/filemap.h"
#include "src/engine/gather.h"
#include "src/engine/view.h"
#include "store/store.h"
#include "store/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

/* Blocks of an arena double from the first: most directories are small. */
#define ARENA_FIRST 1024
#define ARENA_BLOCK 16384

/* --- arena ------------------------------------------------------------------ */

void *
arena_take(struct arena *a, size_t len)
{
	struct arena_block *k = a->block;
	void *p;

	len = (len + 7) & ~(size_t)7;
	if (k == NULL || k->cap - k->used < len) {
		size_t next = k == NULL ? ARENA_FIRST : k->cap * 2;
		size_t cap = next > ARENA_BLOCK ? ARENA_BLOCK : next;
		bool alone = len > cap / 4;

		if (alone)
			cap = len;
		k = mem_alloc(sizeof(*k) + cap);
		if (k == NULL)
			return NULL;
		k->used = 0;
		k->cap = cap;
		/* A block for one large piece goes behind the open one. */
		if (a->block != NULL && alone) {
			k->next = a->block->next;
			a->block->next = k;
		} else {
			k->next = a->block;
			a->block = k;
		}
	}
	p = k->data + k->used;
	k->used += len;
	return p;
}

void *
arena_copy(struct arena *a, const void *p, size_t len)
{
	void *copy = arena_take(a, len);

	if (copy != NULL && len > 0)
		memcpy(copy, p, len);
	return copy;
}

char *
arena_name(struct arena *a, const char *p, size_t len)
{
	char *copy = arena_take(a, len + 1);

	if (copy != NULL) {
		memcpy(copy, p, len);
		copy[len] = '\0';
	}
	return copy;
}

void
arena_clear(struct arena *a)
{
	struct arena_block *k, *next;

	for (k = a->block; k != NULL; k = next) {
		next = k->next;
		mem_free(k);
	}
	a->block = NULL;
}

/* --- directories and slices --------------------------------------------------- */

void
scan_scratch_clear(struct scan_scratch *s)
{
	buf_clear(&s->path);
	buf_clear(&s->target);
	buf_clear(&s->xattrs);
	buf_clear(&s->entry);
}

static void
listing_free(struct listing *l)
{
	if (l == NULL)
		return;
	if (l->base_open)
		tree_iter_clear(&l->base);
	mem_free(l->names);
	arena_clear(&l->memory);
	mem_free(l);
}

void
dir_ref(struct dir *d)
{
	atomic_fetch_add(&d->refs, 1);
}

void
dir_unref(struct dir *d)
{
	/* A chain of parents may end with one child: no recursion. */
	while (d != NULL && atomic_fetch_sub(&d->refs, 1) == 1) {
		struct dir *parent = d->parent;

		if (d->fd != -1)
			src_close(d->fd);
		listing_free(d->listing);
		tree_builder_free(d->builder);
		mem_free(d->error);
		buf_clear(&d->xattr_bytes);
		mem_free((void *)(uintptr_t)d->base.bytes);
		mem_free(d);
		d = parent;
	}
}

void
slice_free(struct slice *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++) {
		mem_free(s->item[i].error);
		if (s->item[i].job != NULL)
			feed_job_unref(s->item[i].job);
	}
	arena_clear(&s->arena);
	mem_free(s->item);
	mem_free(s);
}

void
slice_drop_dirs(struct slice *s)
{
	for (size_t i = 0; i < s->count; i++) {
		dir_unref(s->item[i].dir);
		s->item[i].dir = NULL;
	}
}

void
dir_path(const struct dir *d, const char *name, struct buf *out)
{
	size_t len = 0, at = out->len;
	const struct dir *up;
	uint8_t *p;

	for (up = d; up->parent != NULL; up = up->parent)
		len += (size_t)up->item->name_len + 1;
	p = buf_extend(out, len);
	if (p == NULL)
		return;
	for (up = d; up->parent != NULL; up = up->parent) {
		len -= (size_t)up->item->name_len + 1;
		p[len] = '/';
		memcpy(p + len + 1, up->item->name, up->item->name_len);
	}
	if (name != NULL) {
		buf_add_char(out, '/');
		buf_add_str(out, name);
	} else if (out->len == at) {
		buf_add_char(out, '/');
	}
}

static struct dir *
dir_new(struct dir *parent, struct item *item)
{
	struct dir *d = mem_zalloc(sizeof(*d));

	if (d == NULL)
		return NULL;
	atomic_init(&d->refs, 1);
	d->fd = -1;
	d->parent = parent;
	d->item = item;
	if (parent != NULL)
		dir_ref(parent);
	return d;
}

/* Remember the base's entry of this directory. */
static int
dir_set_base(struct dir *d, const struct entry *base, struct err *e)
{
	void *copy = mem_dup(base->bytes, base->len);

	if (copy == NULL)
		return err_nomem(e);
	if (entry_decode(copy, base->len, base->name_len == 0, &d->base, e) <
	    0) {
		mem_free(copy);
		return -1;
	}
	d->has_base = true;
	return 0;
}

int
scan_top(struct backup *b, struct dir **out, struct err *e)
{
	struct dir *d = dir_new(NULL, NULL);

	if (d == NULL)
		return err_nomem(e);
	d->skeleton = b->sources.top;
	d->in_source = d->skeleton->source;
	d->source_len = 0;
	d->asks = b->claims != NULL &&
		  b->claims->dir(b->claims, "/") == CLAIM_DIR_SOME;
	d->claimed_only = d->skeleton->extra;
	if (d->in_source)
		d->standin = standin_at(b->standins, "/");
	d->standin_top = d->standin != NULL;
	if (d->in_source)
		d->skeleton = NULL;
	if (src_stat(AT_FDCWD, d->standin_top ? d->standin->place : "/", &d->st,
		     e) < 0) {
		dir_unref(d);
		return -1;
	}
	d->source_dev = (uint64_t)d->st.stx_dev_major << 32 |
			d->st.stx_dev_minor;
	if (b->base != NULL && dir_set_base(d, &b->base->root, e) < 0) {
		dir_unref(d);
		return -1;
	}
	*out = d;
	return 0;
}

/* --- failures of a source -------------------------------------------------- */

/* Keep the sentence in the item; the run goes on. */
static int
item_fail(struct item *it, struct err *why, bool failed, struct err *e)
{
	if (why->kind != ERR_SOURCE) {
		err_move(e, why);
		return -1;
	}
	if (it != NULL && it->error == NULL) {
		it->error = mem_strdup(why->text);
		if (it->error == NULL)
			return err_nomem(e);
		it->failed = failed;
	}
	err_clear(why);
	return 0;
}

static int
dir_fail(struct dir *d, struct err *why, struct err *e)
{
	if (why->kind != ERR_SOURCE) {
		err_move(e, why);
		return -1;
	}
	if (d->error == NULL) {
		d->error = mem_strdup(why->text);
		if (d->error == NULL)
			return err_nomem(e);
	}
	err_clear(why);
	return 0;
}

/* The same, and names are missing for it. */
static int
dir_miss(struct dir *d, struct err *why, struct err *e)
{
	if (dir_fail(d, why, e) < 0)
		return -1;
	d->missed = d->error;
	return 0;
}

/* --- listing ---------------------------------------------------------------- */

static int
name_cmp(const void *a, const void *b)
{
	const struct dir_name *x = a, *y = b;

	return entry_name_cmp(x->name, x->len, y->name, y->len);
}

static int
add_name(struct listing *l, const char *name, size_t len, bool absent,
	 struct err *e)
{
	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 32 : l->cap * 2;
		struct dir_name *grown =
			mem_resize(l->names, cap, sizeof(*grown));

		if (grown == NULL)
			return err_nomem(e);
		l->names = grown;
		l->cap = cap;
	}
	l->names[l->count].name = arena_name(&l->memory, name, len);
	if (l->names[l->count].name == NULL)
		return err_nomem(e);
	l->names[l->count].len = (uint16_t)len;
	l->names[l->count].absent = absent;
	l->count++;
	return 0;
}

static int
listed(void *ctx, const struct src_dirent *de, struct err *e)
{
	/* A broken file system's impossible names are left alone. */
	if (!path_name_ok(de->name, de->name_len))
		return 0;
	return add_name(ctx, de->name, de->name_len, false, e);
}

static void
sort_names(struct listing *l)
{
	size_t n = 0;

	if (l->count > 1)
		qsort(l->names, l->count, sizeof(*l->names), name_cmp);
	/*
	 * A name that a broken file system lists twice is kept once; one that
	 * comes from a base, too, is there.
	 */
	for (size_t i = 0; i < l->count; i++)
		if (i == 0 || name_cmp(&l->names[i], &l->names[n - 1]) != 0)
			l->names[n++] = l->names[i];
		else if (!l->names[i].absent)
			l->names[n - 1].absent = false;
	l->count = n;
}

/* --- is it entered? ----------------------------------------------------------- */

static enum fs_kind
fs_kind_of(int fd)
{
	switch (src_fs_type(fd)) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEVPTS_SUPER_MAGIC:
	case BPF_FS_MAGIC:
	case PSTOREFS_MAGIC:
	case SELINUX_MAGIC:
	case BINFMTFS_MAGIC:
	case EFIVARFS_MAGIC:
	case 0x19800202: /* mqueue */
	case 0x62656570: /* configfs */
	case 0x65735543: /* fusectl */
	case 0x6e736673: /* nsfs */
		return FS_PSEUDO;
	case FUSE_SUPER_MAGIC:
		return backup_is_our_mount(fd) ? FS_OURS : FS_ORDINARY;
	default:
		return FS_ORDINARY;
	}
}

static uint64_t
dev_of(const struct statx *st)
{
	return (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
}

static bool
is_repository(const struct backup *b, const struct statx *st)
{
	return st->stx_ino == b->repository.st_ino &&
	       makedev(st->stx_dev_major, st->stx_dev_minor) ==
		       b->repository.st_dev;
}

/* A snapshot of it is not it, and is no more to be entered. */
static bool
shows_repository(const struct backup *b, const struct dir *d)
{
	struct buf path = { 0 };
	struct statx st;
	bool yes;

	if (d->standin == NULL)
		return false;
	dir_path(d, NULL, &path);
	(void)buf_str(&path);
	yes = !path.failed &&
	      src_stat(AT_FDCWD, buf_str(&path), &st, NULL) == 0 &&
	      is_repository(b, &st);
	buf_clear(&path);
	return yes;
}

/* The CACHEDIR.TAG convention: the file and its first 43 bytes. */
static bool
has_cachedir_tag(int dirfd)
{
	static const char tag[] = "Signature: 8a477f597d28d172789f06886806bc55";
	char head[sizeof(tag) - 1];
	int fd = src_open(dirfd, "CACHEDIR.TAG", 0, NULL);
	bool yes;

	if (fd < 0)
		return false;
	yes = src_read(fd, head, sizeof(head), 0, NULL, NULL) ==
		      (ssize_t)sizeof(head) &&
	      memcmp(head, tag, sizeof(head)) == 0;
	src_close(fd);
	return yes;
}

/*
 * Names of this directory that are wanted: all, none (a border), or only
 * the cache tag.  What writers claim is wanted all the same.
 */
enum entered { ENTER_ALL, ENTER_NOT, ENTER_TAG };

static enum entered
dir_entered(struct backup *b, struct dir *d)
{
	const struct dir *p = d->parent;
	bool source = p == NULL || (!p->in_source && d->in_source);

	if (is_repository(b, &d->st) || shows_repository(b, d)) {
		backup_note(b, d, "is the repository itself: not entered");
		return ENTER_NOT;
	}
	if (p != NULL && dev_of(&d->st) != dev_of(&p->st) && !source &&
	    d->skeleton == NULL) {
		if (b->opt->one_file_system && !d->asks)
			return ENTER_NOT;
		d->claimed_only = d->claimed_only || b->opt->one_file_system;
		switch (fs_kind_of(d->fd)) {
		case FS_PSEUDO:
			return ENTER_NOT;
		case FS_OURS:
			backup_note(b, d, "is a mount of asof: not entered");
			return ENTER_NOT;
		case FS_ORDINARY:
			break;
		}
	}
	if (b->opt->cachedir_tag && d->skeleton == NULL && !source &&
	    has_cachedir_tag(d->fd)) {
		if (!d->asks)
			return ENTER_TAG;
		d->claimed_only = d->tagged = true;
	}
	return ENTER_ALL;
}

/* --- the first scan of a directory ---------------------------------------------- */

/* The moment of what is seen now: in a snapshot that is long ago. */
static struct ts
seen_at(const struct backup *b, const struct dir *d)
{
	return d->standin != NULL ? b->instant : time_now_coarse();
}

static int
gather_dir(struct backup *b, struct dir *d, struct err *e)
{
	struct err why = { 0 };

	memset(&d->meta, 0, sizeof(d->meta));
	gather_stat(&d->st, d->fs, &d->meta);
	if (d->item != NULL) {
		d->meta.name = (const uint8_t *)d->item->name;
		d->meta.name_len = d->item->name_len;
	}
	if (ts_cmp(ts_add_ns(d->meta.ctime, b->tick_ns), seen_at(b, d)) > 0)
		d->meta.flags |= ENTRY_RACY;
	if (d->pass_only)
		return 0;
	d->meta.inode_flags = src_inode_flags(d->fd) & GATHER_FLAGS_KEPT;
	if (d->meta.inode_flags != 0)
		d->meta.flags |= ENTRY_INODE_FLAGS;
	if (gather_xattrs(d->fd, NULL, writer_sink(b->writer), &d->xattr_bytes,
			  &d->meta, &why) < 0)
		return dir_fail(d, &why, e);
	return 0;
}

/* Names are missing: say so in the directory's own entry. */
static int
mark_partial(struct backup *b, struct dir *d, struct err *e)
{
	if (d->meta_kept) {
		d->meta_kept = false;
		if (gather_dir(b, d, e) < 0)
			return -1;
	}
	d->meta.flags |= ENTRY_PARTIAL_LIST;
	return 0;
}

/* Could not be opened: what stat said is all there is. */
static int
unreadable_dir(struct dir *d, struct err *why, struct err *e)
{
	memset(&d->meta, 0, sizeof(d->meta));
	gather_stat(&d->st, d->fs, &d->meta);
	if (d->item != NULL) {
		d->meta.name = (const uint8_t *)d->item->name;
		d->meta.name_len = d->item->name_len;
	}
	d->meta.flags |= ENTRY_UNREADABLE | ENTRY_PARTIAL_LIST;
	d->meta_kept = false;
	return dir_miss(d, why, e);
}

bool
scan_is_lost(const struct err *why)
{
	return why->kind == ERR_MISSING || err_is_rot(why);
}

static int
open_base(struct backup *b, struct dir *d, struct err *e)
{
	struct err why = { 0 };

	if (!d->has_base)
		return 0;
	if (tree_iter_init(&d->listing->base, b->reader, &d->base.dir.id, 0,
			   &why) < 0) {
		if (!scan_is_lost(&why)) {
			err_move(e, &why);
			return -1;
		}
		backup_note(b, d, why.text);
		d->has_base = false;
		d->base_lost = true;
		d->meta_kept = false;
		atomic_store(&b->base_damaged, true);
		return 0;
	}
	d->listing->base_open = true;
	return 0;
}

/* 0 open, 1 it cannot be and is marked so, -1 failed. */
static int
open_dir(struct backup *b, struct dir *d, struct err *e)
{
	struct err why = { 0 };
	struct statx now;
	const char *name = d->item != NULL ? d->item->name : "/";
	int parent = d->parent != NULL ? d->parent->fd : AT_FDCWD;

	if (d->standin_top) {
		name = d->standin->place;
		parent = AT_FDCWD;
	}
	d->fs = d->item != NULL ? d->item->fs : 0;
	d->fd = src_open(parent, name, O_DIRECTORY, &why);
	if (d->fd < 0 && d->skeleton != NULL && why.saved_errno == EACCES) {
		/* On the way to a source, passing through is enough. */
		err_clear(&why);
		d->pass_only = true;
		d->fd = src_open(parent, name, O_DIRECTORY | O_PATH, &why);
	}
	if (d->fd < 0 && why.saved_errno == ENOENT && d->item != NULL &&
	    d->parent->skeleton == NULL) {
		d->gone = true;
		return 1;
	}
	if (d->fd < 0 || src_stat(d->fd, "", &now, &why) < 0)
		return unreadable_dir(d, &why, e) < 0 ? -1 : 1;
	if (d->meta_kept &&
	    (now.stx_ino != d->st.stx_ino ||
	     memcmp(&now.stx_ctime, &d->st.stx_ctime, sizeof(now.stx_ctime))))
		d->meta_kept = false;
	d->st = now;
	/* A mount point's file system is known only now that it is open. */
	if (backup_fs(b, d->standin, &now, d->fd, NULL, &d->fs, &why) < 0)
		return unreadable_dir(d, &why, e) < 0 ? -1 : 1;
	if (d->meta_kept && d->fs != d->base.fs)
		d->meta_kept = false;
	return 0;
}

static int
list_names(struct backup *b, struct dir *d, struct scan_scratch *s,
	   struct err *e)
{
	struct listing *l = d->listing;
	struct err why = { 0 };
	int more;

	if (d->skeleton != NULL) {
		for (size_t i = 0; i < d->skeleton->children; i++) {
			const char *name = d->skeleton->child[i]->name;

			if (add_name(l, name, strlen(name), false, e) < 0)
				return -1;
		}
		if (!d->skeleton->extra)
			return 0;
	}
	do
		more = src_list(d->fd, s->dents, sizeof(s->dents), listed, l,
				&why);
	while (more == 1);
	if (more < 0 && (mark_partial(b, d, e) < 0 ||
			 dir_miss(d, &why, e) < 0))
		return -1;
	sort_names(l);
	return 0;
}

/* --- names that are carried ---------------------------------------------------- */

static int
add_carried(void *ctx, const struct node *n, uint64_t position, struct err *e)
{
	(void)position;
	return add_name(ctx, (const char *)n->entry.name, n->entry.name_len,
			true, e);
}

/* The names of this directory in one base; s->path is its path. */
static int
add_base(struct dir *d, struct scan_scratch *s, struct view_gen *from,
	 struct err *e)
{
	struct node n = { .ino = 0 };
	struct err why = { 0 };
	int rc = view_path(from, buf_str(&s->path), &n, &why);

	if (rc == 0 && n.entry.type == ENTRY_DIR)
		rc = view_list(from, &n, 0, add_carried, d->listing, &why);
	node_clear(&n);
	if (rc >= 0)
		return 0;
	if (!scan_is_lost(&why)) {
		err_move(e, &why);
		return -1;
	}
	why.kind = ERR_SOURCE;
	return dir_miss(d, &why, e);
}

/*
 * Names of components' bases that must be taken from there are listed, too.
 * What is lost of a base cannot be carried, and is told.
 */
static int
list_carried(struct backup *b, struct dir *d, struct scan_scratch *s,
	     struct err *e)
{
	struct view_gen *from = NULL;
	uint64_t next = 0;
	int rc = 0;

	if (!d->asks || (d->skeleton != NULL && !d->skeleton->extra))
		return 0;
	buf_reset(&s->path);
	dir_path(d, NULL, &s->path);
	(void)buf_str(&s->path);
	if (buf_ok(&s->path, e) < 0)
		return -1;
	for (;;) {
		rc = b->claims->carries(b->claims, buf_str(&s->path), next,
					&from, e);
		if (rc < 0 || from == NULL)
			break;
		if (add_base(d, s, from, e) < 0)
			return -1;
		next = (uint64_t)from->number + 1;
	}
	if (next > 0)
		sort_names(d->listing);
	return rc;
}

/* A directory that is no more: all there is of it is in the base. */
static int
scan_ghost(struct backup *b, struct dir *d, struct scan_scratch *s,
	   struct err *e)
{
	if (open_base(b, d, e) < 0)
		return -1;
	return list_carried(b, d, s, e);
}

static int
first_scan(struct backup *b, struct dir *d, struct scan_scratch *s,
	   struct err *e)
{
	d->listing = mem_zalloc(sizeof(*d->listing));
	if (d->listing == NULL)
		return err_nomem(e);
	if (d->ghost)
		return scan_ghost(b, d, s, e);
	if (d->has_base && d->item == NULL) {
		struct plan_input in = { b->type, &d->st, 0, &d->base };

		/* The top's file system is known only after its opening. */
		in.fs = d->base.fs;
		d->meta_kept = !plan_file(&in).read;
	}
	switch (open_dir(b, d, e)) {
	case 0:
		break;
	case 1:
		return 0;
	default:
		return -1;
	}
	if (open_base(b, d, e) < 0)
		return -1;
	if (!d->meta_kept && gather_dir(b, d, e) < 0)
		return -1;
	switch (dir_entered(b, d)) {
	case ENTER_NOT:
		return 0;
	case ENTER_TAG:
		return add_name(d->listing, "CACHEDIR.TAG", 12, false, e);
	case ENTER_ALL:
		break;
	}
	if (list_names(b, d, s, e) < 0)
		return -1;
	return list_carried(b, d, s, e);
}

/* --- one name ---------------------------------------------------------------- */

/* The base's entry of this name: NULL when it has none. */
static int
base_find(struct backup *b, struct dir *d, const struct item *it,
	  const struct entry **out, struct err *e)
{
	struct listing *l = d->listing;
	struct err why = { 0 };
	int cmp = -1, rc;

	*out = NULL;
	while (l->base_open) {
		if (l->base_valid) {
			cmp = entry_name_cmp(l->base_entry.name,
					     l->base_entry.name_len, it->name,
					     it->name_len);
			if (cmp >= 0)
				break;
		}
		rc = tree_iter_next(&l->base, &l->base_entry, &why);
		l->base_valid = rc == 1;
		if (rc == 1)
			continue;
		tree_iter_clear(&l->base);
		l->base_open = false;
		if (rc < 0) {
			if (!scan_is_lost(&why)) {
				err_move(e, &why);
				return -1;
			}
			backup_note(b, d, why.text);
			d->base_lost = true;
			atomic_store(&b->base_damaged, true);
		}
	}
	if (l->base_open && cmp == 0)
		*out = &l->base_entry;
	return 0;
}

/* A symlink, device, FIFO or socket: its entry is made here and now. */
static int
make_entry(struct backup *b, struct dir *d, struct slice *sl, struct item *it,
	   struct scan_scratch *s, struct err *e)
{
	struct err why = { 0 };
	struct entry en = { 0 };

	gather_stat(&it->st, it->fs, &en);
	en.name = (const uint8_t *)it->name;
	en.name_len = it->name_len;
	if (ts_cmp(ts_add_ns(en.ctime, b->tick_ns), seen_at(b, d)) > 0)
		en.flags |= ENTRY_RACY;
	if (en.type == ENTRY_SYMLINK) {
		buf_reset(&s->target);
		if (src_readlink(d->fd, it->name, &s->target, &why) < 0 ||
		    s->target.len == 0 || s->target.len > ENTRY_TARGET_MAX) {
			it->state = ITEM_DROPPED;
			err_set(&why, ERR_SOURCE, "the link says nothing");
			if (why.saved_errno == ENOENT) {
				err_clear(&why);
				return 0;
			}
			if (mark_partial(b, d, e) < 0)
				return -1;
			return item_fail(it, &why, true, e);
		}
		en.target = s->target.data;
		en.target_len = s->target.len;
	}
	if (gather_xattrs(d->fd, it->name, writer_sink(b->writer), &s->xattrs,
			  &en, &why) < 0 &&
	    item_fail(it, &why, true, e) < 0)
		return -1;
	buf_reset(&s->entry);
	if (entry_encode(&en, &s->entry, &why) < 0) {
		it->state = ITEM_DROPPED;
		if (mark_partial(b, d, e) < 0)
			return -1;
		return item_fail(it, &why, true, e);
	}
	it->bytes = arena_copy(&sl->arena, s->entry.data, s->entry.len);
	if (it->bytes == NULL)
		return err_nomem(e);
	it->len = (uint32_t)s->entry.len;
	it->state = ITEM_MADE;
	it->xattrs = en.xattrs > 0;
	it->inodes = 1;
	return 0;
}

/* The name leads to a source, or to a directory of claimed names: how? */
static const struct skeleton *
on_the_way(const struct dir *d, const struct item *it)
{
	for (size_t i = 0; d->skeleton != NULL && i < d->skeleton->children;
	     i++)
		if (strcmp(d->skeleton->child[i]->name, it->name) == 0)
			return d->skeleton->child[i];
	return NULL;
}

/* A source, or a directory of claimed names: its path, and what it is read from. */
static int
enter_source(const struct backup *b, struct dir *c, struct err *e)
{
	const struct standin *in;
	struct buf path = { 0 };
	int rc;

	dir_path(c, NULL, &path);
	c->source_len = path.len;
	(void)buf_str(&path);
	rc = buf_ok(&path, e);
	in = rc == 0 ? standin_at(b->standins, buf_str(&path)) : NULL;
	if (in != NULL) {
		c->standin = in;
		c->standin_top = true;
	}
	buf_clear(&path);
	return rc;
}

static int
make_dir(struct backup *b, struct dir *d, struct item *it,
	 const struct entry *base, bool unchanged, struct err *e)
{
	struct dir *c = dir_new(d, it);
	const struct skeleton *way = on_the_way(d, it);

	if (c == NULL)
		return err_nomem(e);
	it->dir = c;
	it->state = ITEM_DIR;
	c->st = it->st;
	c->in_source = d->in_source;
	c->source_len = d->source_len;
	c->source_dev = d->source_dev;
	c->standin = d->standin;
	c->claimed_only = d->claimed_only;
	if (way != NULL && !way->source)
		c->skeleton = way;
	if (way != NULL && (way->source || way->extra)) {
		c->in_source = true;
		c->claimed_only = !way->source;
		c->source_dev = dev_of(&it->st);
		if (enter_source(b, c, e) < 0)
			return -1;
	}
	if (base != NULL && base->type == ENTRY_DIR) {
		if (dir_set_base(c, base, e) < 0)
			return -1;
		c->meta_kept = unchanged;
	}
	return 0;
}

/* Its path; see buf_ok. */
static const char *
name_path(const struct item *it, struct scan_scratch *s, size_t prefix)
{
	s->path.len = prefix;
	if (prefix == 0 || s->path.data[prefix - 1] != '/')
		buf_add_char(&s->path, '/');
	buf_add(&s->path, it->name, it->name_len);
	return buf_str(&s->path);
}

/* 1: it is to be left out. */
static int
excluded(struct backup *b, struct dir *d, const struct item *it,
	 struct scan_scratch *s, size_t prefix, struct err *e)
{
	const char *path;

	if (!d->in_source || d->ghost)
		return 0;
	if (b->opt->nodump &&
	    (it->st.stx_attributes & STATX_ATTR_NODUMP) != 0)
		return 1;
	if (b->opt->exclude == NULL || exclude_empty(b->opt->exclude))
		return 0;
	path = name_path(it, s, prefix);
	if (buf_ok(&s->path, e) < 0)
		return -1;
	return exclude_match(b->opt->exclude, path, d->source_len,
			     S_ISDIR(it->st.stx_mode));
}

/* A reader that asks, of every node, whether it is stored. */
struct asking {
	struct chunk_reader reader; /* first */
	struct backup *b;
};

static int
asking_get(struct chunk_reader *r, enum id_kind kind, const struct id *id,
	   struct chunk *out, struct err *e)
{
	struct asking *a = (struct asking *)r;
	int there = store_has(a->b->store, id, e);

	if (there < 0)
		return -1;
	if (there == 0)
		return err_set(e, ERR_MISSING, "not stored");
	return chunk_get(a->b->reader, kind, id, out, e);
}

static void
asking_release(struct chunk_reader *r, struct chunk *c)
{
	struct asking *a = (struct asking *)r;

	a->b->reader->release(a->b->reader, c);
}

/* All chunks of the content, and the nodes of its map.  As entry_stored. */
static int
content_stored(struct backup *b, const struct entry *base, struct err *e)
{
	struct asking a = { { asking_get, asking_release }, b };
	struct filemap_iter it = { 0 };
	struct extent piece;
	struct err why = { 0 };
	int there = 1;
	int rc;

	rc = filemap_iter_init(&it, &a.reader, &base->content, base->size,
			       &why);
	while (rc == 0 && there == 1 &&
	       (rc = filemap_iter_next(&it, &piece, &why)) > 0) {
		rc = 0;
		if (!piece.hole)
			there = store_has(b->store, &piece.id, &why);
		if (there == 1 && piece.repeat > 1)
			rc = filemap_iter_seek(
				&it, piece.offset + piece.len * piece.repeat,
				&why);
	}
	filemap_iter_clear(&it);
	if (rc < 0 && scan_is_lost(&why))
		return 0;
	err_move(e, &why);
	return rc < 0 ? -1 : there;
}

/*
 * Is what the base's entry refers to still there?  Packs can be lost behind
 * our back, or be noted as damaged.  What is deep in the map of a large file
 * is asked for only if a note says that there may be reason to, or if the base
 * is in `doubt`; what nobody knows of is left to `check`.  1 yes, 0 no, -1
 * failed.
 */
static int
entry_stored(struct backup *b, const struct entry *base, bool doubt,
	     struct err *e)
{
	const struct content *content = &base->content;
	bool file = base->type == ENTRY_FILE;
	struct xattr x;
	struct rd r;
	int there = 1;

	if (file && content->form == CONTENT_MAPPED && !b->misses && !doubt)
		there = store_has(b->store, &content->root, e);
	else if (file && content->form != CONTENT_EMPTY)
		there = content_stored(b, base, e);
	for (r = xattr_first(base); there == 1 && xattr_next(&r, &x);)
		if (!x.inlined)
			there = store_has(b->store, &x.id, e);
	return there;
}

/* What stands in for the item's own entry is stored as it is. */
static int
keep(struct slice *sl, struct item *it, const struct entry *en,
     const struct entry *plain, struct err *e)
{
	it->bytes = arena_copy(&sl->arena, en->bytes, en->len);
	if (it->bytes == NULL)
		return err_nomem(e);
	it->len = (uint32_t)en->len;
	it->state = ITEM_KEPT;
	it->same = en == plain ||
		   (plain != NULL && plain->len == en->len &&
		    memcmp(plain->bytes, en->bytes, en->len) == 0);
	it->xattrs = en->xattrs > 0;
	it->inodes = 1;
	return 0;
}

/* The class and kind of the previous version, as a hint. */
static void
take_hint(struct item *it, const struct entry *base)
{
	if (base == NULL || base->type != ENTRY_FILE)
		return;
	it->hint_valid = base->content.form != CONTENT_EMPTY;
	it->hint = base->content.cls;
	it->fixed = it->hint_valid && base->content.kind == MAP_FIXED;
}

/* It is to be read, or was made from what can be seen without reading. */
static int
take_anew(struct backup *b, struct dir *d, struct slice *sl, struct item *it,
	  struct scan_scratch *s, struct err *e)
{
	if (!S_ISREG(it->st.stx_mode))
		return make_entry(b, d, sl, it, s, e);
	it->state = ITEM_FILE;
	it->inodes = 1;
	return 0;
}

/* --- claimed names ------------------------------------------------------------ */

/* A directory that is carried though it is not there: its entry is the base's. */
static int
make_ghost(struct backup *b, struct dir *d, struct item *it,
	   const struct entry *plain, const char *path, struct err *e)
{
	const struct entry *en = &it->claim->base;
	struct dir *c;

	claimed_stat(en, &it->st);
	if (make_dir(b, d, it, plain, false, e) < 0)
		return -1;
	c = it->dir;
	c->ghost = true;
	c->asks = b->claims->dir(b->claims, path) == CLAIM_DIR_SOME;
	c->meta = *en;
	buf_add(&c->xattr_bytes, en->xattr_bytes, en->xattr_len);
	c->meta.xattr_bytes = c->xattr_bytes.data;
	c->meta.bytes = NULL;
	return buf_ok(&c->xattr_bytes, e);
}

/*
 * The base's entry, whatever is there now.  1: it cannot be had, so what is
 * there is all there is.
 */
static int
carry(struct backup *b, struct dir *d, struct slice *sl, struct item *it,
      const struct entry *plain, const char *path, struct err *e)
{
	struct item_claim *ic = it->claim;
	int there = 1;

	if (ic->has_base && ic->base.type == ENTRY_DIR)
		return make_ghost(b, d, it, plain, path, e);
	if (ic->has_base)
		there = entry_stored(b, &ic->base,
				     !claimed_trusted(b, ic->claim.base), e);
	if (there < 0)
		return -1;
	if (ic->base_lost || there == 0 || ic->claim.base == NULL) {
		ic->why = "what was to be carried is lost";
		return 1;
	}
	it->state = ITEM_DROPPED;
	it->reason = PLAN_CARRIED;
	if (!ic->has_base) {
		/* Nothing is added to what is carried. */
		it->claim = NULL;
		return 0;
	}
	claimed_stat(&ic->base, &it->st);
	it->fs = (uint32_t)ic->base.fs;
	return keep(sl, it, &ic->base, plain, e);
}

/* A name that only a component's base has. */
static int
scan_absent(struct backup *b, struct dir *d, struct slice *sl, struct item *it,
	    struct scan_scratch *s, size_t prefix, struct err *e)
{
	const struct entry *plain = NULL;
	const char *path = name_path(it, s, prefix);

	it->state = ITEM_DROPPED;
	if (buf_ok(&s->path, e) < 0 ||
	    claimed_ask(b, sl, it, path, NULL, e) < 0)
		return -1;
	if (it->claim == NULL || it->claim->claim.kind != CLAIM_CARRIED) {
		it->claim = NULL;
		return 0;
	}
	if (base_find(b, d, it, &plain, e) < 0 ||
	    claimed_base(b, sl, it, path, plain, e) < 0)
		return -1;
	return carry(b, d, sl, it, plain, path, e) < 0 ? -1 : 0;
}

/* What is there where the writer says that the file is read from. */
static int
stat_from(struct backup *b, const struct standins *in, struct item *it,
	  const struct claim *c, struct err *e)
{
	int fd = claimed_open_from(b, in, c, e);
	int rc;

	if (fd < 0)
		return -1;
	rc = src_stat(fd, "", &it->st, e);
	if (rc == 0)
		rc = backup_fs(b, standin_above(in, c->from), &it->st, fd, NULL,
			       &it->fs, e);
	src_close(fd);
	return rc;
}

/*
 * A directory where the base may have had something else.  1: it had not; the
 * directory is entered as any other, and its names are asked for.
 */
static int
scan_carried_dir(struct backup *b, struct dir *d, struct slice *sl,
		 struct item *it, struct scan_scratch *s, size_t prefix,
		 const struct entry *plain, struct err *e)
{
	const char *path = name_path(it, s, prefix);

	if (buf_ok(&s->path, e) < 0 ||
	    claimed_base(b, sl, it, path, plain, e) < 0)
		return -1;
	if (!it->claim->has_base || it->claim->base.type == ENTRY_DIR)
		return 1;
	return carry(b, d, sl, it, plain, path, e);
}

/* A claimed name that is no directory. */
static int
scan_claimed(struct backup *b, struct dir *d, struct slice *sl,
	     struct item *it, struct scan_scratch *s, const char *path,
	     const struct entry *plain, struct err *e)
{
	struct item_claim *ic = it->claim;
	struct err why = { 0 };
	struct plan plan;
	int there = 1;

	if (ic->claim.from != NULL &&
	    stat_from(b, claimed_standins(b, ic), it, &ic->claim, &why) < 0) {
		ic->why = "what it is to be read from cannot be had";
		if (mark_partial(b, d, e) < 0)
			return -1;
		return item_fail(it, &why, true, e);
	}
	if (claimed_base(b, sl, it, path, plain, e) < 0)
		return -1;
	if (ic->claim.kind == CLAIM_CARRIED && ic->has_base &&
	    ic->base.type == ENTRY_DIR) {
		ic->why = "it is no directory any more, and files in it are "
			  "carried";
	} else if (ic->claim.kind == CLAIM_CARRIED) {
		int rc = carry(b, d, sl, it, plain, path, e);

		if (rc <= 0)
			return rc;
	}
	plan = claimed_plan(b, it);
	if (ic->has_base && (!plan.read || ic->partial))
		there = entry_stored(b, &ic->base, false, e);
	if (there < 0)
		return -1;
	if (there == 0) {
		plan.read = true;
		plan.reason = PLAN_NO_BASE;
		ic->partial = false;
	}
	it->reason = (uint8_t)plan.reason;
	if (!plan.read)
		return keep(sl, it, &ic->base, plain, e);
	take_hint(it, ic->has_base ? &ic->base : plain);
	if (ic->claim.fixed && !it->fixed) {
		it->fixed = true;
		it->hint_valid = false;
	}
	return take_anew(b, d, sl, it, s, e);
}

/*
 * What is claimed of a name that is there.  1: it is left out, because its
 * writer, the person or both said so, or because nobody asks for it here.
 */
static int
ask(struct backup *b, struct dir *d, struct slice *sl, struct item *it,
    const char *path, bool left_out, struct err *e)
{
	bool is_dir = S_ISDIR(it->st.stx_mode);

	if (claimed_ask(b, sl, it, path, &it->st, e) < 0)
		return -1;
	if (it->claim != NULL && it->claim->claim.kind == CLAIM_EXCLUDED) {
		it->claim = NULL;
		return 1;
	}
	if (left_out) {
		if (it->claim != NULL)
			it->claim->why = "it is excluded by a pattern";
		return 1;
	}
	/* Directories are no members; what is in them may be. */
	if (is_dir && it->claim != NULL &&
	    it->claim->claim.kind != CLAIM_CARRIED)
		it->claim = NULL;
	if (!d->claimed_only || it->claim != NULL ||
	    on_the_way(d, it) != NULL ||
	    (d->tagged && strcmp(it->name, "CACHEDIR.TAG") == 0))
		return 0;
	return !is_dir ||
	       b->claims->dir(b->claims, path) != CLAIM_DIR_SOME;
}

static struct slice *slice_new(struct dir *d, size_t names);

/* --- a name without a walk -------------------------------------------------------- */

/* The directory part of the path as one long name beneath a top. */
static int
lone_dir(struct backup *b, struct slice *sl, const char *path, int fd,
	 struct err *e)
{
	const char *slash = strrchr(path, '/');
	struct dir *top = dir_new(NULL, NULL), *d;
	struct err why = { 0 };

	if (top == NULL) {
		src_close(fd);
		return err_nomem(e);
	}
	d = top;
	if (slash > path) {
		struct item *way = &sl->item[1];

		way->name = arena_name(&sl->arena, path + 1,
				       (size_t)(slash - path - 1));
		way->name_len = (uint16_t)(slash - path - 1);
		d = way->name != NULL ? dir_new(top, way) : NULL;
		dir_unref(top);
	}
	if (d == NULL) {
		src_close(fd);
		return err_nomem(e);
	}
	sl->dir = d;
	d->fd = fd;
	d->asks = true;
	d->standin = standin_above(b->standins, path);
	if (fd < 0)
		return 0;
	if (src_stat(fd, "", &d->st, &why) < 0 ||
	    backup_fs(b, d->standin, &d->st, fd, NULL, &d->fs, &why) < 0) {
		err_move(e, &why);
		return -1;
	}
	return 0;
}

/* Nobody's: it is read because somebody hands it over. */
static int
lone_claim(struct slice *sl, struct item *it, const struct scan_lone_what *what,
	   struct err *e)
{
	struct item_claim *ic = it->claim;

	if (ic == NULL) {
		ic = arena_take(&sl->arena, sizeof(*ic));
		if (ic == NULL)
			return err_nomem(e);
		memset(ic, 0, sizeof(*ic));
		ic->claim.kind = CLAIM_WHOLE;
		ic->claim.reason = PLAN_ATTACHED;
		ic->nobodys = true;
		it->claim = ic;
	}
	if (what->from != NULL) {
		ic->claim.from = what->from;
		ic->claim.from_owner = what->owner;
		ic->live = true;
	}
	if (ic->claim.kind == CLAIM_EXCLUDED)
		return err_set(e, ERR_SOURCE, "its writer excludes it");
	return 0;
}

static int
lone_stat(struct backup *b, struct slice *sl, const char *path,
	  const struct scan_lone_what *what, struct err *e)
{
	const struct claim from = { .from = what->from,
				    .from_owner = what->owner };
	struct item *it = &sl->item[0];
	int fd = sl->dir->fd;
	int rc;

	if (what->from != NULL) {
		rc = stat_from(b, NULL, it, &from, e);
	} else if (fd < 0) {
		rc = err_set(e, ERR_SOURCE, "its directory is not there");
	} else {
		rc = src_stat(fd, it->name, &it->st, e);
		if (rc == 0)
			rc = backup_fs(b, sl->dir->standin, &it->st, fd,
				       it->name, &it->fs, e);
	}
	if (rc == 0 && !S_ISREG(it->st.stx_mode) &&
	    (!what->any_type || S_ISDIR(it->st.stx_mode)))
		return err_set(e, ERR_SOURCE, "is no regular file");
	if (rc < 0 || claimed_ask(b, sl, it, path, &it->st, e) < 0)
		return -1;
	return lone_claim(sl, it, what, e);
}

int
scan_lone(struct backup *b, const char *path,
	  const struct scan_lone_what *what, int parent, struct slice **out,
	  struct err *e)
{
	struct scan_scratch *s = mem_zalloc(sizeof(*s));
	struct slice *sl = slice_new(NULL, 2);
	const char *name = strrchr(path, '/') + 1;
	int rc = -1;

	if (s == NULL || sl == NULL) {
		src_close(parent);
		err_nomem(e);
		goto out;
	}
	if (lone_dir(b, sl, path, parent, e) < 0)
		goto out;
	sl->item[0].name = arena_name(&sl->arena, name, strlen(name));
	sl->item[0].name_len = (uint16_t)strlen(name);
	sl->item[0].state = ITEM_DROPPED;
	if (sl->item[0].name == NULL) {
		err_nomem(e);
		goto out;
	}
	sl->count = 1;
	if (lone_stat(b, sl, path, what, e) < 0 ||
	    scan_claimed(b, sl->dir, sl, &sl->item[0], s, path, NULL, e) < 0)
		goto out;
	*out = sl;
	sl = NULL;
	rc = 0;
out:
	if (sl != NULL) {
		struct dir *d = sl->dir;

		slice_free(sl);
		dir_unref(d);
	}
	if (s != NULL)
		scan_scratch_clear(s);
	mem_free(s);
	return rc;
}

/* --- any name -------------------------------------------------------------------- */

static int
scan_dir(struct backup *b, struct dir *d, struct item *it,
	 struct scan_scratch *s, size_t prefix, const struct entry *plain,
	 const struct plan *plan, struct err *e)
{
	if (make_dir(b, d, it, plain, !plan->read, e) < 0)
		return -1;
	if (!d->asks)
		return 0;
	it->claim = NULL;
	it->dir->asks = b->claims->dir(b->claims, name_path(it, s, prefix)) ==
			CLAIM_DIR_SOME;
	return buf_ok(&s->path, e);
}

/* Compare with the base of plain files, and do what follows from it. */
static int
scan_plain(struct backup *b, struct dir *d, struct slice *sl, struct item *it,
	   struct scan_scratch *s, size_t prefix, const struct entry *plain,
	   struct err *e)
{
	struct plan_input in = { .type = b->type,
				 .now = &it->st,
				 .fs = it->fs,
				 .base = plain };
	struct plan plan;

	if (S_ISDIR(it->st.stx_mode) && plain != NULL &&
	    dev_of(&it->st) != dev_of(&d->st))
		in.fs = plain->fs; /* checked again once it is open */
	plan = plan_file(&in);
	if (!plan.read) {
		int there = entry_stored(b, plain, false, e);

		if (there < 0)
			return -1;
		if (there == 0) {
			plan.read = true;
			plan.reason = PLAN_NO_BASE;
		}
	}
	it->reason = (uint8_t)(d->base_lost && plan.reason == PLAN_NEW ?
				       PLAN_NO_BASE :
				       plan.reason);
	if (S_ISDIR(it->st.stx_mode))
		return scan_dir(b, d, it, s, prefix, plain, &plan, e);
	if (!plan.read)
		return keep(sl, it, plain, plain, e);
	take_hint(it, plain);
	return take_anew(b, d, sl, it, s, e);
}

/* It cannot be stat'ed.  A writer whose file it may be is told. */
static int
no_stat(struct backup *b, struct dir *d, struct slice *sl, struct item *it,
	struct scan_scratch *s, size_t prefix, struct err *why, struct err *e)
{
	const struct skeleton *way = on_the_way(d, it);
	const char *path = name_path(it, s, prefix);

	/* Gone between the listing and now: nothing to tell. */
	if (why->saved_errno == ENOENT && d->skeleton == NULL)
		return 0;
	if (buf_ok(&s->path, e) < 0)
		return -1;
	if (why->saved_errno == ENOENT && (way == NULL || !way->must)) {
		err_clear(why);
		return d->asks ? scan_absent(b, d, sl, it, s, prefix, e) : 0;
	}
	if (d->asks && claimed_ask(b, sl, it, path, NULL, e) < 0)
		return -1;
	if (mark_partial(b, d, e) < 0)
		return -1;
	return item_fail(it, why, true, e);
}

/* A source may be gone since its snapshot was made. */
static int
stat_name(const struct backup *b, const struct dir *d, struct item *it,
	  struct scan_scratch *s, size_t prefix, struct err *why)
{
	const struct standin *in = NULL;
	const char *path;

	if (b->standins != NULL && on_the_way(d, it) != NULL) {
		path = name_path(it, s, prefix);
		if (buf_ok(&s->path, why) < 0)
			return -1;
		in = standin_at(b->standins, path);
	}
	return in != NULL ? src_stat(AT_FDCWD, in->place, &it->st, why) :
			    src_stat(d->fd, it->name, &it->st, why);
}

static int
scan_name(struct backup *b, struct dir *d, struct slice *sl, struct item *it,
	  struct scan_scratch *s, size_t prefix, struct err *e)
{
	const struct entry *plain = NULL;
	struct err why = { 0 };
	int rc;

	it->state = ITEM_DROPPED;
	if (stat_name(b, d, it, s, prefix, &why) < 0)
		return no_stat(b, d, sl, it, s, prefix, &why, e);
	rc = excluded(b, d, it, s, prefix, e);
	if (rc < 0)
		return -1;
	if (d->asks) {
		const char *path = name_path(it, s, prefix);

		if (buf_ok(&s->path, e) < 0)
			return -1;
		rc = ask(b, d, sl, it, path, rc == 1, e);
	}
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (entry_type_of_mode(it->st.stx_mode) == 0)
		return 0;
	if (dev_of(&it->st) == dev_of(&d->st)) {
		it->fs = d->fs;
	} else if (!S_ISDIR(it->st.stx_mode) &&
		   backup_fs(b, d->standin, &it->st, d->fd, it->name, &it->fs,
			     &why) < 0) {
		if (mark_partial(b, d, e) < 0)
			return -1;
		return item_fail(it, &why, true, e);
	}
	if (base_find(b, d, it, &plain, e) < 0)
		return -1;
	if (it->claim != NULL && !S_ISDIR(it->st.stx_mode))
		return scan_claimed(b, d, sl, it, s,
				    name_path(it, s, prefix), plain, e);
	if (it->claim != NULL) {
		rc = scan_carried_dir(b, d, sl, it, s, prefix, plain, e);
		if (rc <= 0)
			return rc;
	}
	return scan_plain(b, d, sl, it, s, prefix, plain, e);
}

/* --- slices ----------------------------------------------------------------- */

static struct slice *
slice_new(struct dir *d, size_t names)
{
	struct slice *sl = mem_zalloc(sizeof(*sl));

	if (sl == NULL)
		return NULL;
	sl->dir = d;
	sl->item = mem_array(names > 0 ? names : 1, sizeof(*sl->item));
	if (sl->item == NULL) {
		mem_free(sl);
		return NULL;
	}
	return sl;
}

static int
fill_slice(struct backup *b, struct slice *sl, size_t n, struct scan_scratch *s,
	   struct err *e)
{
	struct dir *d = sl->dir;
	struct listing *l = d->listing;
	size_t prefix;

	buf_reset(&s->path);
	dir_path(d, NULL, &s->path);
	if (buf_ok(&s->path, e) < 0)
		return -1;
	prefix = s->path.len;
	for (size_t i = 0; i < n; i++) {
		const struct dir_name *dn = &l->names[l->next++];
		struct item *it = &sl->item[i];

		it->name = arena_name(&sl->arena, dn->name, dn->len);
		if (it->name == NULL)
			return err_nomem(e);
		it->name_len = dn->len;
		sl->count = i + 1;
		if ((dn->absent ? scan_absent : scan_name)(b, d, sl, it, s,
							   prefix, e) < 0)
			return -1;
	}
	return 0;
}

int
scan_slice(struct backup *b, struct dir *d, struct scan_scratch *s,
	   struct slice **out, struct err *e)
{
	struct slice *sl;
	size_t n;

	if (d->listing == NULL && first_scan(b, d, s, e) < 0)
		return -1;
	n = d->listing->count - d->listing->next;
	if (n > SLICE_MAX)
		n = SLICE_MAX;
	sl = slice_new(d, n);
	if (sl == NULL)
		return err_nomem(e);
	if (fill_slice(b, sl, n, s, e) < 0) {
		slice_drop_dirs(sl);
		slice_free(sl);
		return -1;
	}
	if (d->listing->next == d->listing->count) {
		sl->last = true;
		listing_free(d->listing);
		d->listing = NULL;
	}
	*out = sl;
	return 0;
}
