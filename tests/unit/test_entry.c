/*
 * entry: what goes in comes out, in one form only; what breaks a rule of
 * doc/format.md, section 8, is refused, for the reason that it breaks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/entry.h"

#include "base/err.h"
#include "src/engine/filemap.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- equality ------------------------------------------------------------ */

static void
same_bytes(const void *a, size_t alen, const void *b, size_t blen)
{
	assert_int_equal(alen, blen);
	if (alen > 0)
		assert_memory_equal(a, b, alen);
}

static void
same_times(const struct entry *a, const struct entry *b)
{
	assert_int_equal(ts_cmp(a->mtime, b->mtime), 0);
	assert_int_equal(ts_cmp(a->ctime, b->ctime), 0);
	assert_int_equal(ts_cmp(a->atime, b->atime), 0);
	assert_int_equal(ts_cmp(a->btime, b->btime), 0);
}

static void
same_content(const struct content *a, const struct content *b)
{
	assert_int_equal(a->form, b->form);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->cls, b->cls);
	assert_int_equal(a->levels, b->levels);
	assert_int_equal(a->count, b->count);
	same_bytes(a->items, a->items_len, b->items, b->items_len);
	assert_true(id_equal(&a->root, &b->root));
	assert_int_equal(a->holes, b->holes);
}

static void
same_entry(const struct entry *a, const struct entry *b)
{
	same_bytes(a->name, a->name_len, b->name, b->name_len);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	same_times(a, b);
	assert_int_equal(a->fs, b->fs);
	assert_int_equal(a->ino, b->ino);
	assert_int_equal(a->nlink, b->nlink);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->inode_flags, b->inode_flags);
	assert_int_equal(a->xattrs, b->xattrs);
	same_bytes(a->xattr_bytes, a->xattr_len, b->xattr_bytes, b->xattr_len);
	same_bytes(a->target, a->target_len, b->target, b->target_len);
	assert_int_equal(a->major, b->major);
	assert_int_equal(a->minor, b->minor);
	same_content(&a->content, &b->content);
	assert_true(id_equal(&a->dir.id, &b->dir.id));
	assert_int_equal(a->dir.entries, b->dir.entries);
	assert_int_equal(a->dir.dirs, b->dir.dirs);
	assert_int_equal(a->dir.beneath, b->dir.beneath);
	assert_int_equal(a->dir.flags, b->dir.flags);
}

/* --- what is right ------------------------------------------------------- */

static void
every_kind_of_entry_comes_back_as_it_was(void **state)
{
	size_t n;
	const struct sample *s = samples(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		bool top = s[i].entry.name_len == 0;
		struct buf first = { 0 };
		struct buf again = { 0 };
		struct entry en;
		struct err e = { 0 };

		assert_int_equal(entry_encode(&s[i].entry, &first, &e), 0);
		if (entry_decode(first.data, first.len, top, &en, &e) < 0)
			fail_msg("%s: %s", s[i].what, e.text);
		same_entry(&en, &s[i].entry);
		assert_ptr_equal(en.bytes, first.data);
		assert_int_equal(en.len, first.len);
		assert_int_equal(entry_encode(&en, &again, &e), 0);
		same_bytes(first.data, first.len, again.data, again.len);
		buf_clear(&first);
		buf_clear(&again);
	}
}

/* By hand from doc/format.md, so that code and document cannot both drift. */
static void
an_entry_has_the_bytes_of_the_document(void **state)
{
	/* clang-format off */
	static const uint8_t want[] = {
		3, 'b', 'i', 'n', /* name */
		3,                /* symlink */
		0x40,             /* has btime */
		0xff, 0x03,       /* 0777 */
		0xe8, 0x07, 0,    /* uid 1000, gid 0 */
		2, 0,             /* mtime 1 s */
		1, 0x80, 0x01,    /* ctime -1 s + 128 ns */
		0, 0,             /* atime 0 */
		4, 5,             /* btime 2 s + 5 ns */
		7, 0x80, 0x02,    /* file system 7, inode 256 */
		7, 'u', 's', 'r', '/', 'b', 'i', 'n',
	};
	/* clang-format on */
	struct entry en = {
		.name = (const uint8_t *)"bin",
		.name_len = 3,
		.type = ENTRY_SYMLINK,
		.flags = ENTRY_BTIME,
		.mode = 0777,
		.uid = 1000,
		.mtime = { 1, 0 },
		.ctime = { -1, 128 },
		.btime = { 2, 5 },
		.fs = 7,
		.ino = 256,
		.nlink = 1,
		.target = (const uint8_t *)"usr/bin",
		.target_len = 7,
	};
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(entry_encode(&en, &b, NULL), 0);
	same_bytes(b.data, b.len, want, sizeof(want));
	buf_clear(&b);
}

static void
a_mapped_file_has_the_bytes_of_the_document(void **state)
{
	/* clang-format off */
	static const uint8_t want[] = {
		1, 'm',           /* name */
		1, 0, 0, 0, 0,    /* file, no flags, mode 0, root's */
		0, 0, 0, 0, 0, 0, /* mtime, ctime, atime */
		0, 0,             /* file system, inode */
		0x80, 0x80, 0x40, /* size 1 MiB */
		2,                /* mapped */
		9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
		9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
		3,                /* levels */
		0x80, 0x20,       /* 4 KiB of holes */
		1, 2,             /* fixed, class 2 */
	};
	/* clang-format on */
	struct entry en = {
		.name = (const uint8_t *)"m",
		.name_len = 1,
		.type = ENTRY_FILE,
		.nlink = 1,
		.size = 1 << 20,
		.content = { .form = CONTENT_MAPPED,
			     .kind = MAP_FIXED,
			     .cls = 2,
			     .levels = 3,
			     .holes = 4096 },
	};
	struct buf b = { 0 };

	(void)state;
	memset(en.content.root.b, 9, ID_LEN);
	assert_int_equal(entry_encode(&en, &b, NULL), 0);
	same_bytes(b.data, b.len, want, sizeof(want));
	buf_clear(&b);
	/* What could not be read is not written. */
	en.content.holes = en.size + 1;
	assert_int_equal(entry_encode(&en, &b, NULL), -1);
	buf_clear(&b);
}

static void
extended_attributes_are_walked_in_order(void **state)
{
	size_t n;
	const struct sample *s = samples(&n);
	struct xattr x;
	struct rd r;
	struct id id = sample_id(0xee);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		r = xattr_first(&s[i].entry);
		if (s[i].entry.xattrs == 0) {
			assert_false(xattr_next(&r, &x));
			continue;
		}
		assert_true(xattr_next(&r, &x));
		same_bytes(x.name, x.name_len, "security.capability", 19);
		assert_true(x.inlined);
		same_bytes(x.value, x.len, "\0\1\2", 3);
		assert_true(xattr_next(&r, &x));
		same_bytes(x.name, x.name_len, "user.empty", 10);
		assert_true(x.inlined);
		assert_int_equal(x.len, 0);
		assert_true(xattr_next(&r, &x));
		assert_false(x.inlined);
		assert_int_equal(x.len, 4097);
		assert_true(id_equal(&x.id, &id));
		assert_false(xattr_next(&r, &x));
		assert_false(xattr_next(&r, &x));
	}
}

static void
types_are_those_of_stat(void **state)
{
	static const struct {
		mode_t mode;
		unsigned type;
	} rows[] = {
		{ S_IFREG, ENTRY_FILE },    { S_IFDIR, ENTRY_DIR },
		{ S_IFLNK, ENTRY_SYMLINK }, { S_IFCHR, ENTRY_CHAR },
		{ S_IFBLK, ENTRY_BLOCK },   { S_IFIFO, ENTRY_FIFO },
		{ S_IFSOCK, ENTRY_SOCKET },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		assert_int_equal(entry_type_mode(rows[i].type), rows[i].mode);
		assert_int_equal(entry_type_of_mode(rows[i].mode | 0751),
				 rows[i].type);
	}
	assert_int_equal(entry_type_mode(0), 0);
	assert_int_equal(entry_type_mode(8), 0);
	assert_int_equal(entry_type_mode(UINT32_MAX), 0);
	assert_int_equal(entry_type_of_mode(0644), 0);
	assert_int_equal(entry_type_of_mode(S_IFMT), 0);
}

static void
names_sort_by_bytes_and_the_shorter_first(void **state)
{
	static const char *const sorted[] = { "",     "\x01", "-",   "A", "AA",
					      "Aa",   "B",    "a",   "b", "b0",
					      "\x7f", "\x80", "\xff" };

	(void)state;
	for (size_t i = 0; i < N_OF(sorted); i++) {
		for (size_t k = 0; k < N_OF(sorted); k++) {
			int c = entry_name_cmp(sorted[i], strlen(sorted[i]),
					       sorted[k], strlen(sorted[k]));

			assert_int_equal(c < 0, i < k);
			assert_int_equal(c > 0, i > k);
		}
	}
}

static void
an_entry_stands_for_itself_and_what_is_beneath(void **state)
{
	struct entry en = sample_file("x");

	(void)state;
	en.dir.beneath = 5;
	assert_int_equal(entry_inodes(&en), 1);
	en.type = ENTRY_DIR;
	assert_int_equal(entry_inodes(&en), 6);
}

/* --- what is refused ----------------------------------------------------- */

/* The fields of an entry as a writer without rules would write them. */
struct raw {
	const char *name;
	size_t name_len; /* 0: that of the string */
	unsigned type;
	uint64_t flags, mode, uid, gid;
	uint64_t nsec;
	uint64_t nlink, size, inode_flags;
	const char *xattrs; /* all of the field */
	size_t xattrs_len;
	const char *tail; /* what the type adds, and more */
	size_t tail_len;
};

static void
put_raw(struct buf *b, const struct raw *r)
{
	wr_string(b, r->name, r->name_len > 0 ? r->name_len : strlen(r->name));
	wr_u8(b, (uint8_t)r->type);
	wr_varint(b, r->flags);
	wr_varint(b, r->mode);
	wr_varint(b, r->uid);
	wr_varint(b, r->gid);
	for (int i = 0; i < (r->flags & ENTRY_BTIME ? 4 : 3); i++) {
		wr_svarint(b, -5);
		wr_varint(b, r->nsec);
	}
	wr_varint(b, 1);
	wr_varint(b, 2);
	if (r->flags & ENTRY_LINKED)
		wr_varint(b, r->nlink);
	if (r->type == ENTRY_FILE)
		wr_varint(b, r->size);
	if (r->flags & ENTRY_INODE_FLAGS)
		wr_varint(b, r->inode_flags);
	wr_bytes(b, r->xattrs, r->xattrs_len);
	wr_bytes(b, r->tail, r->tail_len);
}

#define ID8        "\1\2\3\4\5\6\7\10"
#define ID32       ID8 ID8 ID8 ID8
#define TEXT(s)    s, sizeof(s) - 1
#define FILE_BASE  .name = "n", .type = ENTRY_FILE
#define DIR_BASE   .name = "n", .type = ENTRY_DIR
#define EMPTY_TAIL .tail = "\0", .tail_len = 1

/* clang-format off */
/* `why` NULL: this one is right, the others beside it are not. */
static const struct refusal {
	const char *why;
	struct raw raw;
} refusals[] = {
	{ NULL, { FILE_BASE, EMPTY_TAIL } },
	{ "name", { .name = ".", .type = ENTRY_FIFO } },
	{ "name", { .name = "..", .type = ENTRY_FIFO } },
	{ NULL, { .name = "...", .type = ENTRY_FIFO } },
	{ "name", { .name = "", .type = ENTRY_FIFO } },
	{ "name", { .name = "a/b", .type = ENTRY_FIFO } },
	{ "name", { .name = "a\0b", .name_len = 3, .type = ENTRY_FIFO } },
	{ "type", { .name = "n", .type = 0 } },
	{ "type", { .name = "n", .type = 8 } },
	{ "flag", { .name = "n", .type = ENTRY_FIFO, .flags = 0x100 } },
	{ "damaged", { .name = "n", .type = ENTRY_FIFO,
		       .flags = UINT64_C(1) << 32 } },
	{ "flag", { DIR_BASE, .flags = ENTRY_LINKED, .nlink = 2 } },
	{ "flag", { FILE_BASE, .flags = ENTRY_PARTIAL_LIST, EMPTY_TAIL } },
	{ NULL, { FILE_BASE, .flags = ENTRY_LINKED, .nlink = 2, EMPTY_TAIL } },
	{ "link", { FILE_BASE, .flags = ENTRY_LINKED, .nlink = 1,
		    EMPTY_TAIL } },
	{ "link", { FILE_BASE, .flags = ENTRY_LINKED, EMPTY_TAIL } },
	{ NULL, { FILE_BASE, .mode = 07777, EMPTY_TAIL } },
	{ "damaged", { FILE_BASE, .mode = 010000, EMPTY_TAIL } },
	{ NULL, { FILE_BASE, .uid = UINT32_MAX, EMPTY_TAIL } },
	{ "range", { FILE_BASE, .uid = UINT64_C(1) << 32, EMPTY_TAIL } },
	{ "range", { FILE_BASE, .gid = UINT64_C(1) << 32, EMPTY_TAIL } },
	{ NULL, { FILE_BASE, .nsec = 999999999, EMPTY_TAIL } },
	{ "range", { FILE_BASE, .nsec = 1000000000, EMPTY_TAIL } },
	{ "range", { FILE_BASE, .size = UINT64_C(1) << 63, EMPTY_TAIL } },
	{ "range", { FILE_BASE, .flags = ENTRY_INODE_FLAGS,
		     .inode_flags = UINT64_C(1) << 32, EMPTY_TAIL } },
	/* Extended attributes. */
	{ NULL, { FILE_BASE, .flags = ENTRY_XATTRS,
		  .xattrs = TEXT("\1\1a\0\1v"), EMPTY_TAIL } },
	{ "number of extended", { FILE_BASE, .flags = ENTRY_XATTRS,
				  .xattrs = TEXT("\0"), EMPTY_TAIL } },
	{ "number of extended", { FILE_BASE, .flags = ENTRY_XATTRS,
				  .xattrs = TEXT("\x81\x20"), EMPTY_TAIL } },
	{ "attribute is damaged", { FILE_BASE, .flags = ENTRY_XATTRS,
				    .xattrs = TEXT("\1\0\0\1v"),
				    EMPTY_TAIL } },
	{ "attribute is damaged", { FILE_BASE, .flags = ENTRY_XATTRS,
				    .xattrs = TEXT("\1\2a\0\0\1v"),
				    EMPTY_TAIL } },
	{ "attribute is damaged", { FILE_BASE, .flags = ENTRY_XATTRS,
				    .xattrs = TEXT("\1\1a\2\1v"),
				    EMPTY_TAIL } },
	{ "sorted", { FILE_BASE, .flags = ENTRY_XATTRS,
		      .xattrs = TEXT("\2\1b\0\0\1a\0\0"), EMPTY_TAIL } },
	{ "sorted", { FILE_BASE, .flags = ENTRY_XATTRS,
		      .xattrs = TEXT("\2\1b\0\0\1b\0\0"), EMPTY_TAIL } },
	{ NULL, { FILE_BASE, .flags = ENTRY_XATTRS,
		  .xattrs = TEXT("\1\1a\1\x81\x20" ID32), EMPTY_TAIL } },
	{ "attribute is damaged", { FILE_BASE, .flags = ENTRY_XATTRS,
				    .xattrs = TEXT("\1\1a\1\x80\x20" ID32),
				    EMPTY_TAIL } },
	{ NULL, { FILE_BASE, .flags = ENTRY_XATTRS,
		  .xattrs = TEXT("\1\1a\1\x80\x80\x80\x08" ID32),
		  EMPTY_TAIL } },
	{ "attribute is damaged",
	  { FILE_BASE, .flags = ENTRY_XATTRS,
	    .xattrs = TEXT("\1\1a\1\x81\x80\x80\x08" ID32), EMPTY_TAIL } },
	/* Contents. */
	{ "size", { FILE_BASE, .size = 1, EMPTY_TAIL } },
	{ "size", { FILE_BASE, .tail = TEXT("\1\1\1\1" ID32 "\0\0") } },
	{ NULL, { FILE_BASE, .size = 1,
		  .tail = TEXT("\1\1\1\1" ID32 "\0\0") } },
	{ "damaged or not", { FILE_BASE, .size = 2,
			      .tail = TEXT("\1\1\1\1" ID32 "\0\0") } },
	{ "damaged or not", { FILE_BASE, .size = 1,
			      .tail = TEXT("\1\0\1\1" ID32 "\0\0") } },
	{ "damaged or not",
	  { FILE_BASE, .size = 5,
	    .tail = TEXT("\1\5\1\1" ID32 "\1\1" ID32 "\1\1" ID32 "\1\1" ID32
			 "\1\1" ID32 "\0\0") } },
	{ "form", { FILE_BASE, .size = 1,
		    .tail = TEXT("\3\1\1\1" ID32 "\0\0") } },
	{ "kind", { FILE_BASE, .size = 1,
		    .tail = TEXT("\1\1\1\1" ID32 "\2\0") } },
	{ NULL, { FILE_BASE, .size = 1,
		  .tail = TEXT("\1\1\1\1" ID32 "\1\xff") } },
	{ NULL, { FILE_BASE, .size = 1, .tail = TEXT("\2" ID32 "\1\0\0\0") } },
	{ NULL, { FILE_BASE, .size = 1,
		  .tail = TEXT("\2" ID32 "\10\0\0\0") } },
	{ "depth", { FILE_BASE, .size = 1,
		     .tail = TEXT("\2" ID32 "\0\0\0\0") } },
	{ "depth", { FILE_BASE, .size = 1,
		     .tail = TEXT("\2" ID32 "\11\0\0\0") } },
	/* Bytes of holes: up to the size, in as few bytes as will do. */
	{ NULL, { FILE_BASE, .size = 9, .tail = TEXT("\2" ID32 "\1\11\0\0") } },
	{ "holes", { FILE_BASE, .size = 9,
		     .tail = TEXT("\2" ID32 "\1\12\0\0") } },
	{ NULL, { FILE_BASE, .size = 128,
		  .tail = TEXT("\2" ID32 "\1\x80\1\0\0") } },
	{ "holes", { FILE_BASE, .size = 128,
		     .tail = TEXT("\2" ID32 "\1\x81\1\0\0") } },
	{ "holes", { FILE_BASE, .size = 128,
		     .tail = TEXT("\2" ID32 "\1\x80\0\0\0") } },
	{ "holes", { FILE_BASE, .size = 9, .tail = TEXT("\2" ID32 "\1") } },
	{ NULL, { FILE_BASE, .size = INT64_MAX,
		  .tail = TEXT("\2" ID32 "\1" "\xff\xff\xff\xff\xff"
			       "\xff\xff\xff\x7f" "\0\0") } },
	{ "holes", { FILE_BASE, .size = INT64_MAX,
		     .tail = TEXT("\2" ID32 "\1" "\x80\x80\x80\x80\x80"
				  "\x80\x80\x80\x80\1" "\0\0") } },
	{ "holes", { FILE_BASE, .size = INT64_MAX,
		     .tail = TEXT("\2" ID32 "\1" "\xff\xff\xff\xff\xff"
				  "\xff\xff\xff\xff\1" "\0\0") } },
	{ NULL, { FILE_BASE, .size = 1, .flags = ENTRY_UNREADABLE } },
	{ "follow", { FILE_BASE, .flags = ENTRY_UNREADABLE, EMPTY_TAIL } },
	/* The other types. */
	{ NULL, { .name = "n", .type = ENTRY_SYMLINK, .tail = TEXT("\1t") } },
	{ "target", { .name = "n", .type = ENTRY_SYMLINK,
		      .tail = TEXT("\0") } },
	{ "target", { .name = "n", .type = ENTRY_SYMLINK,
		      .tail = TEXT("\3a\0b") } },
	{ NULL, { .name = "n", .type = ENTRY_CHAR, .tail = TEXT("\0\0") } },
	{ "too soon", { .name = "n", .type = ENTRY_CHAR, .tail = TEXT("\0") } },
	{ "too soon", { .name = "n", .type = ENTRY_BLOCK,
			.tail = TEXT("\x80\x80\x80\x80\x10\0") } },
	{ NULL, { .name = "n", .type = ENTRY_FIFO } },
	{ "follow", { .name = "n", .type = ENTRY_FIFO, .tail = TEXT("\0") } },
	{ "follow", { .name = "n", .type = ENTRY_SOCKET, .tail = TEXT("x") } },
	{ NULL, { DIR_BASE, .tail = TEXT(ID32 "\0\0\0\0") } },
	{ NULL, { DIR_BASE, .tail = TEXT(ID32 "\3\1\5\1") } },
	{ "no sense", { DIR_BASE, .tail = TEXT(ID32 "\3\4\5\1") } },
	{ "no sense", { DIR_BASE, .tail = TEXT(ID32 "\3\1\2\1") } },
	{ "no sense", { DIR_BASE, .tail = TEXT(ID32 "\3\0\4\1") } },
	{ "wrong flags", { DIR_BASE, .tail = TEXT(ID32 "\3\1\5\2") } },
	{ "wrong flags", { DIR_BASE, .tail = TEXT(ID32 "\0\0\0\1") } },
	{ "tree is damaged",
	  { DIR_BASE, .tail = TEXT(ID32 "\1\1\xff\xff\xff\xff\xff\x0f\0") } },
	{ NULL,
	  { DIR_BASE, .tail = TEXT(ID32 "\1\1\xfe\xff\xff\xff\xff\x0f\0") } },
	{ "tree is damaged", { DIR_BASE, .tail = TEXT(ID32 "\3\1\5") } },
	/* A varint in more bytes than it needs. */
	{ "follow", { .name = "n", .type = ENTRY_CHAR,
		      .tail = TEXT("\0\0\0") } },
	{ "too soon", { .name = "n", .type = ENTRY_CHAR,
			.tail = TEXT("\0\x80\0") } },
};
/* clang-format on */

static void
what_breaks_a_rule_is_refused_for_that_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(refusals); i++) {
		const struct refusal *row = &refusals[i];
		struct buf b = { 0 };
		struct entry en;
		struct err e = { 0 };
		int rc;

		put_raw(&b, &row->raw);
		memset(&en, 0xaa, sizeof(en));
		rc = entry_decode(b.data, b.len, false, &en, &e);
		if (row->why == NULL && rc != 0)
			fail_msg("row %zu: refused: %s", i, e.text);
		if (row->why != NULL) {
			if (rc == 0)
				fail_msg("row %zu (%s): taken", i, row->why);
			assert_int_equal(e.kind, ERR_CORRUPT);
			if (strstr(e.text, row->why) == NULL)
				fail_msg("row %zu: not \"%s\" but \"%s\"", i,
					 row->why, e.text);
			/* Outputs are untouched. */
			assert_int_equal(en.type, 0xaa);
		}
		buf_clear(&b);
	}
}

static void
only_the_top_has_no_name_and_it_is_a_directory(void **state)
{
	static const struct raw file = { .name = "",
					 .type = ENTRY_FILE,
					 EMPTY_TAIL };
	static const struct raw named = { DIR_BASE,
					  .tail = TEXT(ID32 "\0\0\0\0") };
	struct buf b = { 0 };
	struct entry en;

	(void)state;
	put_raw(&b, &file);
	assert_int_equal(entry_decode(b.data, b.len, true, &en, NULL), -1);
	buf_reset(&b);
	put_raw(&b, &named);
	assert_int_equal(entry_decode(b.data, b.len, true, &en, NULL), -1);
	assert_int_equal(entry_decode(b.data, b.len, false, &en, NULL), 0);
	buf_clear(&b);
}

static void
limits_are_reached_but_not_passed(void **state)
{
	static uint8_t long_name[256];
	static uint8_t long_target[ENTRY_TARGET_MAX + 1];
	struct entry en = sample_file("");
	struct entry back;
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	memset(long_name, 'n', sizeof(long_name));
	memset(long_target, 't', sizeof(long_target));
	en.type = ENTRY_SYMLINK;
	en.name = long_name;
	en.name_len = 255;
	en.target = long_target;
	en.target_len = ENTRY_TARGET_MAX;
	assert_int_equal(entry_encode(&en, &b, NULL), 0);
	assert_int_equal(entry_decode(b.data, b.len, false, &back, NULL), 0);
	assert_int_equal(back.target_len, ENTRY_TARGET_MAX);
	buf_reset(&b);
	en.name_len = 256;
	assert_int_equal(entry_encode(&en, &b, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	en.name_len = 255;
	en.target_len++;
	assert_int_equal(entry_encode(&en, &b, NULL), -1);
	assert_int_equal(b.len, 0);
	buf_clear(&b);
}

static void
an_entry_longer_than_allowed_is_neither_written_nor_read(void **state)
{
	static uint8_t value[ENTRY_XATTR_INLINE];
	struct buf attrs = { 0 };
	struct buf b = { 0 };
	struct entry en = sample_file("long");
	struct err e = { 0 };
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 2100; i++) {
		struct xattr x = { .name = (const uint8_t *)name,
				   .inlined = true,
				   .value = value,
				   .len = sizeof(value) };

		x.name_len = (size_t)snprintf(name, sizeof(name), "u.%08u", i);
		xattr_put(&attrs, &x);
	}
	en.flags = ENTRY_XATTRS;
	en.xattrs = 2100;
	en.xattr_bytes = attrs.data;
	en.xattr_len = attrs.len;
	assert_int_equal(entry_encode(&en, &b, &e), -1);
	assert_non_null(strstr(e.text, "too long"));
	assert_int_equal(b.len, 0);
	buf_clear(&attrs);
	buf_clear(&b);
}

/* What an entry under construction can have wrong: refused, never dropped. */
static void
nothing_is_encoded_that_could_not_be_read(void **state)
{
	struct entry en = sample_file("x");
	struct buf b = { 0 };
	struct err e = { 0 };
	size_t n;
	const struct sample *s = samples(&n);

	(void)state;
	wr_bytes(&b, "before", 6);
	en.mtime.nsec = 1000000000;
	assert_int_equal(entry_encode(&en, &b, &e), -1);
	assert_int_equal(e.kind, ERR_SOURCE);
	assert_non_null(strstr(e.text, "\"x\""));
	assert_int_equal(b.len, 6);
	en = s[5].entry;
	assert_int_equal(en.xattrs, 3);
	en.flags &= ~ENTRY_XATTRS;
	err_clear(&e);
	assert_int_equal(entry_encode(&en, &b, &e), -1);
	assert_non_null(strstr(e.text, "left out"));
	assert_int_equal(b.len, 6);
	buf_clear(&b);
}

/* --- damage -------------------------------------------------------------- */

static void
same_skim(const struct entry_skim *s, const struct entry *en)
{
	bool dir = en->type == ENTRY_DIR;

	same_bytes(s->name, s->name_len, en->name, en->name_len);
	assert_int_equal(s->dir, dir);
	assert_int_equal(s->inodes, entry_inodes(en));
	assert_int_equal(s->flags,
			 (en->flags & ENTRY_XATTRS ? TREE_XATTRS : 0) |
				 (dir ? en->dir.flags : 0));
}

/* Decodes a copy of exactly this length; what is taken has one form only. */
static int
decode_copy(const uint8_t *p, size_t len, bool top)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct buf b = { 0 };
	struct entry_skim skim;
	struct entry en;
	struct xattr x;
	bool skimmed;
	int rc;

	assert_non_null(copy);
	memcpy(copy, p, len);
	skimmed = entry_skim(copy, len, &skim);
	rc = entry_decode(copy, len, top, &en, NULL);
	if (rc == 0 && !top) {
		assert_true(skimmed);
		same_skim(&skim, &en);
	}
	if (rc == 0) {
		struct rd r = xattr_first(&en);
		unsigned n = 0;

		while (xattr_next(&r, &x))
			n++;
		assert_int_equal(n, en.xattrs);
		assert_int_equal(entry_encode(&en, &b, NULL), 0);
		same_bytes(b.data, b.len, copy, len);
	}
	free(copy);
	buf_clear(&b);
	return rc;
}

static void
damaged_entries_are_refused_or_valid(void **state)
{
	size_t n;
	const struct sample *s = samples(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		bool top = s[i].entry.name_len == 0;
		struct buf b = { 0 };

		assert_int_equal(entry_encode(&s[i].entry, &b, NULL), 0);
		for (size_t len = 0; len < b.len; len++)
			assert_int_equal(decode_copy(b.data, len, top), -1);
		for (size_t at = 0; at < b.len; at++) {
			for (unsigned flip = 1; flip < 256; flip++) {
				b.data[at] ^= (uint8_t)flip;
				(void)decode_copy(b.data, b.len, top);
				b.data[at] ^= (uint8_t)flip;
			}
		}
		buf_clear(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_entry_comes_back_as_it_was),
		cmocka_unit_test(an_entry_has_the_bytes_of_the_document),
		cmocka_unit_test(a_mapped_file_has_the_bytes_of_the_document),
		cmocka_unit_test(extended_attributes_are_walked_in_order),
		cmocka_unit_test(types_are_those_of_stat),
		cmocka_unit_test(names_sort_by_bytes_and_the_shorter_first),
		cmocka_unit_test(
			an_entry_stands_for_itself_and_what_is_beneath),
		cmocka_unit_test(what_breaks_a_rule_is_refused_for_that_reason),
		cmocka_unit_test(
			only_the_top_has_no_name_and_it_is_a_directory),
		cmocka_unit_test(limits_are_reached_but_not_passed),
		cmocka_unit_test(
			an_entry_longer_than_allowed_is_neither_written_nor_read),
		cmocka_unit_test(nothing_is_encoded_that_could_not_be_read),
		cmocka_unit_test(damaged_entries_are_refused_or_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
