/*
 * Decoding is one pass over the bytes, without an allocation: fields are
 * read in the order of the table in doc/format.md, section 8, and a reason is
 * returned at the first that breaks a rule.  Encoding ends with the same
 * pass over what it wrote, so that nothing is ever stored that could not be
 * read back.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/entry.h"

#include "base/err.h"
#include "base/path.h"
#include "src/engine/filemap.h"

#include <string.h>
#include <sys/stat.h>

#define MODE_MAX 07777
#define NSEC_MAX 999999999

/* Where the value of an extended attribute stands. */
enum xattr_place {
	XATTR_INLINE = 0,
	XATTR_CHUNK = 1
};

static const char too_short[] = "it ends too soon";

/* --- small parts --------------------------------------------------------- */

static const mode_t type_modes[] = {
	[ENTRY_FILE] = S_IFREG,    [ENTRY_DIR] = S_IFDIR,
	[ENTRY_SYMLINK] = S_IFLNK, [ENTRY_CHAR] = S_IFCHR,
	[ENTRY_BLOCK] = S_IFBLK,   [ENTRY_FIFO] = S_IFIFO,
	[ENTRY_SOCKET] = S_IFSOCK,
};

#define TYPES (sizeof(type_modes) / sizeof(type_modes[0]))

mode_t
entry_type_mode(unsigned type)
{
	return type < TYPES ? type_modes[type] : 0;
}

unsigned
entry_type_of_mode(mode_t mode)
{
	for (unsigned type = ENTRY_FILE; type < TYPES; type++)
		if (type_modes[type] == (mode & S_IFMT))
			return type;
	return 0;
}

int
entry_name_cmp(const void *a, size_t alen, const void *b, size_t blen)
{
	size_t n = alen < blen ? alen : blen;
	int c = n > 0 ? memcmp(a, b, n) : 0;

	if (c != 0)
		return c;
	return alen < blen ? -1 : alen > blen;
}

uint64_t
entry_inodes(const struct entry *en)
{
	return en->type == ENTRY_DIR ? 1 + en->dir.beneath : 1;
}

static bool
is_device(const struct entry *en)
{
	return en->type == ENTRY_CHAR || en->type == ENTRY_BLOCK;
}

static bool
has_content(const struct entry *en)
{
	return en->type == ENTRY_FILE && (en->flags & ENTRY_UNREADABLE) == 0;
}

/* --- extended attributes ------------------------------------------------- */

/* Reads one; a value in the wrong place for its length is not canonical. */
static bool
get_xattr(struct rd *r, struct xattr *x)
{
	uint8_t place;

	memset(x, 0, sizeof(*x));
	x->name = rd_string(r, PATH_NAME_MAX, &x->name_len);
	place = rd_u8(r);
	if (!rd_ok(r) || x->name_len == 0 ||
	    memchr(x->name, '\0', x->name_len) != NULL)
		return false;
	if (place == XATTR_INLINE) {
		x->inlined = true;
		x->value = rd_string(r, ENTRY_XATTR_INLINE, &x->len);
		return rd_ok(r);
	}
	x->len = (size_t)rd_varint_max(r, ENTRY_XATTR_LEN_MAX);
	rd_copy(r, x->id.b, ID_LEN);
	return rd_ok(r) && place == XATTR_CHUNK && x->len > ENTRY_XATTR_INLINE;
}

struct rd
xattr_first(const struct entry *en)
{
	return rd_init(en->xattr_bytes, en->xattr_len);
}

bool
xattr_next(struct rd *r, struct xattr *out)
{
	struct xattr x;

	if (r->left == 0 || !get_xattr(r, &x))
		return false;
	*out = x;
	return true;
}

void
xattr_put(struct buf *out, const struct xattr *x)
{
	wr_string(out, x->name, x->name_len);
	wr_u8(out, x->inlined ? XATTR_INLINE : XATTR_CHUNK);
	if (x->inlined) {
		wr_string(out, x->value, x->len);
		return;
	}
	wr_varint(out, x->len);
	wr_bytes(out, x->id.b, ID_LEN);
}

static const char *
parse_xattrs(struct rd *r, struct entry *en)
{
	struct xattr x;
	struct xattr last = { 0 };
	size_t left;

	en->xattrs = (unsigned)rd_varint_max(r, ENTRY_XATTRS_MAX);
	if (!rd_ok(r) || en->xattrs == 0)
		return "it has a wrong number of extended attributes";
	en->xattr_bytes = r->p;
	left = r->left;
	for (unsigned i = 0; i < en->xattrs; i++) {
		if (!get_xattr(r, &x))
			return "an extended attribute is damaged";
		if (entry_name_cmp(last.name, last.name_len, x.name,
				   x.name_len) >= 0)
			return "its extended attributes are not sorted";
		last = x;
	}
	en->xattr_len = left - r->left;
	return NULL;
}

/* --- decoding ------------------------------------------------------------ */

static void
get_time(struct rd *r, struct ts *t)
{
	t->sec = rd_svarint(r);
	t->nsec = (uint32_t)rd_varint_max(r, NSEC_MAX);
}

/* Name, type, flags and mode. */
static const char *
parse_head(struct rd *r, bool top, struct entry *en)
{
	en->name = rd_string(r, PATH_NAME_MAX, &en->name_len);
	if (!rd_ok(r))
		return "its name is damaged";
	if (top ? en->name_len != 0 : !path_name_ok(en->name, en->name_len))
		return "its name is none";
	en->type = rd_u8(r);
	en->flags = (uint32_t)rd_varint_max(r, UINT32_MAX);
	en->mode = (uint32_t)rd_varint_max(r, MODE_MAX);
	if (entry_type_mode(en->type) == 0)
		return "its type is unknown";
	if (top && en->type != ENTRY_DIR)
		return "the top is not a directory";
	if ((en->flags & ~ENTRY_FLAGS_KNOWN) != 0)
		return "it has an unknown flag";
	if ((en->flags &
	     (en->type == ENTRY_DIR ? ENTRY_LINKED : ENTRY_PARTIAL_LIST)) != 0)
		return "it has a flag that its type cannot have";
	return NULL;
}

/* What stat says, and the inode flags. */
static const char *
parse_stat(struct rd *r, struct entry *en)
{
	en->uid = (uint32_t)rd_varint_max(r, UINT32_MAX);
	en->gid = (uint32_t)rd_varint_max(r, UINT32_MAX);
	get_time(r, &en->mtime);
	get_time(r, &en->ctime);
	get_time(r, &en->atime);
	if (en->flags & ENTRY_BTIME)
		get_time(r, &en->btime);
	en->fs = rd_varint(r);
	en->ino = rd_varint(r);
	en->nlink = 1;
	if (en->flags & ENTRY_LINKED)
		en->nlink = rd_varint(r);
	if (en->type == ENTRY_FILE)
		en->size = rd_varint_max(r, INT64_MAX);
	if (en->flags & ENTRY_INODE_FLAGS)
		en->inode_flags = (uint32_t)rd_varint_max(r, UINT32_MAX);
	if (!rd_ok(r))
		return "a number is damaged or out of range";
	if ((en->flags & ENTRY_LINKED) && en->nlink < 2)
		return "it is linked, but has one link";
	return NULL;
}

static const char *
parse_content(struct rd *r, struct entry *en)
{
	struct content *c = &en->content;
	size_t left;

	c->form = rd_u8(r);
	if (!rd_ok(r))
		return too_short;
	if ((c->form == CONTENT_EMPTY) != (en->size == 0))
		return "its size is not that of its content";
	switch (c->form) {
	case CONTENT_EMPTY:
		return NULL;
	case CONTENT_INLINE:
		c->count = (unsigned)rd_varint_max(r, CONTENT_INLINE_MAX);
		c->items = r->p;
		left = r->left;
		if (c->count == 0 ||
		    !filemap_items_ok(r, c->count, en->size, &c->holes))
			return "its content is damaged or not of its size";
		c->items_len = left - r->left;
		break;
	case CONTENT_MAPPED:
		rd_copy(r, c->root.b, ID_LEN);
		c->levels = rd_u8(r);
		if (c->levels < 1 || c->levels > SPLIT_LEVELS_MAX)
			return "its file map has a wrong depth";
		c->holes = rd_varint_max(r, en->size);
		if (!rd_ok(r))
			return "its holes are more than it has bytes";
		break;
	default:
		return "its content has an unknown form";
	}
	c->kind = rd_u8(r);
	c->cls = rd_u8(r);
	return c->kind <= MAP_FIXED ? NULL : "its file map's kind is unknown";
}

static const char *
parse_dir(struct rd *r, struct tree_root *d)
{
	rd_copy(r, d->id.b, ID_LEN);
	d->entries = rd_varint_max(r, TREE_INODES_MAX);
	d->dirs = rd_varint_max(r, TREE_INODES_MAX);
	d->beneath = rd_varint_max(r, TREE_INODES_MAX);
	d->flags = rd_u8(r);
	if (!rd_ok(r))
		return "what it says of its tree is damaged";
	/* All entries are inodes; only directories have more beneath. */
	if (d->dirs > d->entries || d->entries > d->beneath ||
	    (d->dirs == 0 && d->entries != d->beneath))
		return "what it says of its tree makes no sense";
	if ((d->flags & ~TREE_XATTRS) != 0 ||
	    (d->flags != 0 && d->entries == 0))
		return "its tree has wrong flags";
	return NULL;
}

/* What only some types have, behind what all have. */
static const char *
parse_typed(struct rd *r, struct entry *en)
{
	if (en->type == ENTRY_SYMLINK) {
		en->target = rd_string(r, ENTRY_TARGET_MAX, &en->target_len);
		if (en->target_len == 0 ||
		    memchr(en->target, '\0', en->target_len) != NULL)
			return "its target is none";
	}
	if (is_device(en)) {
		en->major = (uint32_t)rd_varint_max(r, UINT32_MAX);
		en->minor = (uint32_t)rd_varint_max(r, UINT32_MAX);
	}
	if (has_content(en))
		return parse_content(r, en);
	if (en->type == ENTRY_DIR)
		return parse_dir(r, &en->dir);
	return NULL;
}

/* Returns NULL, or what is wrong.  *out is written in both cases. */
static const char *
parse(const void *p, size_t len, bool top, struct entry *out)
{
	struct rd r = rd_init(p, len);
	const char *why;

	memset(out, 0, sizeof(*out));
	out->bytes = p;
	out->len = len;
	if (len > ENTRY_LEN_MAX)
		return "it is too long";
	why = parse_head(&r, top, out);
	if (why == NULL)
		why = parse_stat(&r, out);
	if (why == NULL && (out->flags & ENTRY_XATTRS))
		why = parse_xattrs(&r, out);
	if (why == NULL)
		why = parse_typed(&r, out);
	if (why != NULL)
		return why;
	if (!rd_ok(&r))
		return too_short;
	return r.left == 0 ? NULL : "bytes follow its end";
}

int
entry_decode(const void *p, size_t len, bool top, struct entry *out,
	     struct err *e)
{
	char shown[PATH_SHOW_LEN];
	struct entry en;
	const char *why = parse(p, len, top, &en);

	if (why != NULL)
		return err_set(e, ERR_CORRUPT, "entry \"%s\": %s",
			       path_show_in(shown, en.name, en.name_len), why);
	*out = en;
	return 0;
}

/* --- skimming ------------------------------------------------------------ */

/* Passes n varints, in whatever form. */
static void
skip_varints(struct rd *r, unsigned n)
{
	size_t i = 0;

	while (n > 0 && i < r->left)
		n -= r->p[i++] < 0x80;
	r->p += i;
	r->left -= i;
	if (n > 0) {
		r->bad = true;
		r->left = 0;
	}
}

/* Passes what stands between a directory's flags and its tree. */
static void
skip_to_tree(struct rd *r, uint64_t flags)
{
	unsigned n = 3 + 3 * 2 + 2; /* mode, owners, times, identity */
	struct xattr x;

	if (flags & ENTRY_BTIME)
		n += 2;
	if (flags & ENTRY_INODE_FLAGS)
		n++;
	skip_varints(r, n);
	if ((flags & ENTRY_XATTRS) == 0)
		return;
	for (uint64_t k = rd_varint_max(r, ENTRY_XATTRS_MAX); k > 0; k--)
		if (!get_xattr(r, &x))
			return;
}

bool
entry_skim(const void *p, size_t len, struct entry_skim *out)
{
	struct rd r = rd_init(p, len);
	struct tree_root tree;
	uint64_t flags;
	uint8_t type;

	out->name = rd_string(&r, PATH_NAME_MAX, &out->name_len);
	type = rd_u8(&r);
	flags = rd_varint(&r);
	if (!rd_ok(&r) || out->name_len == 0)
		return false;
	out->dir = type == ENTRY_DIR;
	out->inodes = 1;
	out->flags = flags & ENTRY_XATTRS ? TREE_XATTRS : 0;
	if (!out->dir)
		return true;
	skip_to_tree(&r, flags);
	if (parse_dir(&r, &tree) != NULL)
		return false;
	out->inodes += tree.beneath;
	out->flags |= tree.flags;
	return true;
}

/* --- encoding ------------------------------------------------------------ */

static void
put_time(struct buf *b, struct ts t)
{
	wr_svarint(b, t.sec);
	wr_varint(b, t.nsec);
}

static void
put_stat(struct buf *b, const struct entry *en)
{
	wr_varint(b, en->uid);
	wr_varint(b, en->gid);
	put_time(b, en->mtime);
	put_time(b, en->ctime);
	put_time(b, en->atime);
	if (en->flags & ENTRY_BTIME)
		put_time(b, en->btime);
	wr_varint(b, en->fs);
	wr_varint(b, en->ino);
	if (en->flags & ENTRY_LINKED)
		wr_varint(b, en->nlink);
	if (en->type == ENTRY_FILE)
		wr_varint(b, en->size);
	if (en->flags & ENTRY_INODE_FLAGS)
		wr_varint(b, en->inode_flags);
}

static void
put_content(struct buf *b, const struct content *c)
{
	wr_u8(b, c->form);
	if (c->form == CONTENT_EMPTY)
		return;
	if (c->form == CONTENT_INLINE) {
		wr_varint(b, c->count);
		wr_bytes(b, c->items, c->items_len);
	} else {
		wr_bytes(b, c->root.b, ID_LEN);
		wr_u8(b, c->levels);
		wr_varint(b, c->holes);
	}
	wr_u8(b, c->kind);
	wr_u8(b, c->cls);
}

static void
put_entry(struct buf *b, const struct entry *en)
{
	wr_string(b, en->name, en->name_len);
	wr_u8(b, en->type);
	wr_varint(b, en->flags);
	wr_varint(b, en->mode);
	put_stat(b, en);
	if (en->flags & ENTRY_XATTRS) {
		wr_varint(b, en->xattrs);
		wr_bytes(b, en->xattr_bytes, en->xattr_len);
	}
	if (en->type == ENTRY_SYMLINK)
		wr_string(b, en->target, en->target_len);
	if (is_device(en)) {
		wr_varint(b, en->major);
		wr_varint(b, en->minor);
	}
	if (has_content(en))
		put_content(b, &en->content);
	if (en->type != ENTRY_DIR)
		return;
	wr_bytes(b, en->dir.id.b, ID_LEN);
	wr_varint(b, en->dir.entries);
	wr_varint(b, en->dir.dirs);
	wr_varint(b, en->dir.beneath);
	wr_u8(b, en->dir.flags);
}

int
entry_encode(const struct entry *en, struct buf *out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	size_t start = out->len;
	struct entry check;
	const char *why;

	put_entry(out, en);
	if (buf_ok(out, e) < 0)
		return -1;
	why = parse(out->data + start, out->len - start, en->name_len == 0,
		    &check);
	if (why == NULL && en->xattrs != check.xattrs)
		why = "its extended attributes would be left out";
	if (why == NULL)
		return 0;
	out->len = start;
	return err_set(e, ERR_SOURCE, "\"%s\" cannot be stored: %s",
		       path_show_in(shown, en->name, en->name_len), why);
}
