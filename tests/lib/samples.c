#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "tests/lib/samples.h"

#include "src/engine/filemap.h"

#include <string.h>

#define N_SAMPLES 15

static struct sample all[N_SAMPLES];
static struct buf xattr_bytes;
static struct buf chunk_items;
static struct buf mixed_items;

struct id
sample_id(uint8_t b)
{
	struct id id;

	memset(id.b, b, sizeof(id.b));
	return id;
}

struct entry
sample_file(const char *name)
{
	return (struct entry){
		.name = (const uint8_t *)name,
		.name_len = strlen(name),
		.type = ENTRY_FILE,
		.mode = 0644,
		.uid = 1000,
		.gid = 100,
		.mtime = { 1700000000, 123456789 },
		.ctime = { 1700000001, 0 },
		.atime = { -1, 999999999 },
		.fs = 2,
		.ino = 1234567,
		.nlink = 1,
	};
}

static struct entry *
add(size_t *n, const char *what, const char *name, unsigned type)
{
	struct sample *s = &all[(*n)++];

	s->what = what;
	s->entry = sample_file(name);
	s->entry.type = (uint8_t)type;
	return &s->entry;
}

static void
put_item(struct buf *b, unsigned tag, uint64_t count, uint64_t len,
	 uint8_t first_id)
{
	wr_u8(b, (uint8_t)tag);
	if (tag == MAP_RUN || tag == MAP_ROW)
		wr_varint(b, count);
	wr_varint(b, len);
	if (tag == MAP_HOLE)
		return;
	for (uint64_t i = 0; i < (tag == MAP_ROW ? count : 1); i++) {
		struct id id = sample_id((uint8_t)(first_id + i));

		wr_bytes(b, id.b, ID_LEN);
	}
}

static void
put_attribute(struct buf *b, const char *name, const char *value, size_t len)
{
	struct xattr x = {
		.name = (const uint8_t *)name,
		.name_len = strlen(name),
		.inlined = value != NULL,
		.value = (const uint8_t *)value,
		.len = len,
		.id = sample_id(0xee),
	};

	xattr_put(b, &x);
}

static void
add_files(size_t *n)
{
	struct entry *en;

	(void)add(n, "an empty file", "00-empty", ENTRY_FILE);

	en = add(n, "a file of one chunk", "01-chunk", ENTRY_FILE);
	put_item(&chunk_items, MAP_CHUNK, 1, 5000, 0x11);
	en->size = 5000;
	en->content.form = CONTENT_INLINE;
	en->content.count = 1;
	en->content.items = chunk_items.data;
	en->content.items_len = chunk_items.len;

	en = add(n, "a file with every kind of item", "02-mixed", ENTRY_FILE);
	put_item(&mixed_items, MAP_RUN, 1000, 16384, 0x21);
	put_item(&mixed_items, MAP_HOLE, 1, UINT64_C(1) << 40, 0);
	put_item(&mixed_items, MAP_ROW, 2, 16384, 0x31);
	put_item(&mixed_items, MAP_CHUNK, 1, 77, 0x41);
	en->size = 1000 * 16384 + (UINT64_C(1) << 40) + 2 * 16384 + 77;
	en->content.holes = UINT64_C(1) << 40;
	en->content.form = CONTENT_INLINE;
	en->content.kind = MAP_FIXED;
	en->content.cls = 1;
	en->content.count = 4;
	en->content.items = mixed_items.data;
	en->content.items_len = mixed_items.len;

	en = add(n, "a file with a map", "03-mapped", ENTRY_FILE);
	en->size = INT64_MAX;
	en->content.form = CONTENT_MAPPED;
	en->content.cls = 2;
	en->content.levels = 8;
	en->content.root = sample_id(0x51);
	en->content.holes = INT64_MAX;

	en = add(n, "an unreadable file", "04-unreadable", ENTRY_FILE);
	en->flags = ENTRY_UNREADABLE;
	en->size = 99;

	en = add(n, "a file with all the optional fields", "05-optional",
		 ENTRY_FILE);
	en->flags = ENTRY_RACY | ENTRY_TORN | ENTRY_LINKED | ENTRY_XATTRS |
		    ENTRY_BTIME | ENTRY_INODE_FLAGS;
	en->mode = 07777;
	en->uid = UINT32_MAX;
	en->gid = UINT32_MAX;
	en->btime = (struct ts){ INT64_MIN, 1 };
	en->nlink = 3;
	en->inode_flags = UINT32_MAX;
	put_attribute(&xattr_bytes, "security.capability", "\0\1\2", 3);
	put_attribute(&xattr_bytes, "user.empty", "", 0);
	put_attribute(&xattr_bytes, "user.long", NULL, 4097);
	en->xattrs = 3;
	en->xattr_bytes = xattr_bytes.data;
	en->xattr_len = xattr_bytes.len;
}

static void
add_others(size_t *n)
{
	struct entry *en;

	en = add(n, "an empty directory", "06-dir", ENTRY_DIR);
	en->dir.id = sample_id(0x61);

	en = add(n, "a directory with everything", "07-dir", ENTRY_DIR);
	en->flags = ENTRY_PARTIAL_LIST | ENTRY_XATTRS | ENTRY_BTIME |
		    ENTRY_INODE_FLAGS;
	en->xattrs = 3;
	en->xattr_bytes = xattr_bytes.data;
	en->xattr_len = xattr_bytes.len;
	en->inode_flags = 128;
	en->btime = (struct ts){ INT64_MAX, 0 };
	en->dir = (struct tree_root){
		.id = sample_id(0x62),
		.entries = 300,
		.dirs = 20,
		.beneath = 5000,
		.flags = TREE_XATTRS,
	};

	en = add(n, "a symlink", "08-symlink", ENTRY_SYMLINK);
	en->mode = 0777;
	en->target = (const uint8_t *)"../some/where";
	en->target_len = 13;

	en = add(n, "a character device", "09-char", ENTRY_CHAR);
	en->major = 5;
	en->minor = 1;

	en = add(n, "a block device", "10-block", ENTRY_BLOCK);
	en->major = UINT32_MAX;
	en->minor = UINT32_MAX;

	(void)add(n, "a FIFO", "11-fifo", ENTRY_FIFO);

	en = add(n, "a linked socket", "12-socket", ENTRY_SOCKET);
	en->flags = ENTRY_LINKED;
	en->nlink = UINT64_MAX;
	en->fs = UINT64_MAX;
	en->ino = UINT64_MAX;

	(void)add(n, "a name of bytes", "\xff\x01\n\\", ENTRY_FIFO);

	en = add(n, "the top directory", "", ENTRY_DIR);
	en->dir = (struct tree_root){
		.id = sample_id(0x63),
		.entries = 1,
		.beneath = 1,
	};
}

const struct sample *
samples(size_t *n)
{
	static bool made;
	size_t i = 0;

	if (!made) {
		add_files(&i);
		add_others(&i);
		made = true;
	}
	*n = N_SAMPLES;
	return all;
}

struct record
sample_record(void)
{
	static struct record_source sources[] = {
		{ "../home", "/home" },
		{ "/etc", "/etc" },
	};
	static struct record_fs systems[] = {
		{ "ext4:0123", 0xef53, "/" },
		{ "", UINT64_MAX, "" },
	};
	static struct record_name users[] = { { 0, "root" },
					      { UINT32_MAX, "" } };
	static struct record_name groups[] = { { 100, "users" } };
	static struct record_base bases[] = { { 41, { 0xba, 0x5e } } };
	static const char *excludes[] = { "*.o", "/tmp/**" };
	size_t n;
	const struct sample *s = samples(&n);

	return (struct record){
		.features = { 0, 0, 1 },
		.number = 42,
		.id = { 0x1d },
		.repository_id = { 0x4e },
		.set_id = { 0x5e },
		.set = "host-01",
		.machine = "0123456789abcdef",
		.host = "host",
		.session_type = GEN_INCREMENTAL,
		.effective_type = GEN_FULL,
		.start = { 1700000000, 1 },
		.instant = { 1700000000, 2 },
		.end = { 1700000009, 999999999 },
		.root = s[n - 1].entry,
		.source_count = 2,
		.fs_count = 2,
		.user_count = 2,
		.group_count = 1,
		.base_count = 1,
		.exclude_count = 2,
		.source = sources,
		.fs = systems,
		.user = users,
		.group = groups,
		.base = bases,
		.exclude = excludes,
		.links = sample_id(0x71),
		.link_count = 7,
		.exceptions = sample_id(0x72),
		.exception_count = 3,
		.counts = { 1, 2, 3, 4, 5, 6, 7, 8, UINT64_MAX },
		.incrementals = 1,
		.differentials = 2,
		.tool = "asof 0.1",
		.comment = "before the upgrade",
	};
}
