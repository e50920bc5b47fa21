/*
 * make_corpus - writes the first inputs of the fuzz targets, made by the real
 * encoders: make_corpus DIR makes DIR/TARGET/NAME.  The same every time.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/buf.h"
#include "base/cursor.h"
#include "src/engine/filemap.h"
#include "src/engine/links.h"
#include "src/engine/list.h"
#include "src/engine/record.h"
#include "src/engine/tree.h"
#include "store/config.h"
#include "store/damage.h"
#include "store/frame.h"
#include "store/pack.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/segments.h"
#include "tests/lib/rng.h"
#include "tests/lib/samples.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *top;

static void
save(const char *target, const char *name, const void *p, size_t len)
{
	char path[4096];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", top, target);
	MUST(mkdir(path, 0777) == 0 || errno == EEXIST);
	(void)snprintf(path, sizeof(path), "%s/%s/seed-%s", top, target, name);
	f = fopen(path, "wbe");
	MUST(f != NULL);
	MUST(fwrite(p, 1, len, f) == len);
	MUST(fclose(f) == 0);
}

static void
save_buf(const char *target, const char *name, struct buf *b)
{
	MUST(!b->failed);
	save(target, name, b->data, b->len);
	buf_clear(b);
}

/* --- entries and records ------------------------------------------------- */

static void
make_entries(void)
{
	size_t n;
	const struct sample *s = samples(&n);

	for (size_t i = 0; i < n; i++) {
		struct buf b = { 0 };
		char name[16];

		wr_u8(&b, s[i].entry.name_len == 0);
		MUST(entry_encode(&s[i].entry, &b, NULL) == 0);
		(void)snprintf(name, sizeof(name), "%02zu", i);
		save_buf("entry", name, &b);
	}
}

static void
make_records(void)
{
	static const uint8_t key[ID_LEN] = "a key";
	struct record r = sample_record();
	struct id_keys keys;
	struct buf b = { 0 };

	id_keys_derive(&keys, key);
	MUST(record_encode(&r, &keys, &b, NULL) == 0);
	save_buf("record", "full", &b);
	r.source_count = 0;
	r.fs_count = 0;
	r.user_count = 0;
	r.group_count = 0;
	r.base_count = 0;
	r.exclude_count = 0;
	r.tool = "";
	r.comment = "";
	MUST(record_encode(&r, &keys, &b, NULL) == 0);
	save_buf("record", "least", &b);
}

static void
make_configs(void)
{
	struct config c = {
		.created = { 1700000000, 5 },
		.hash = 1,
		.chunker = 1,
		.classes = 2,
		.fixed_classes = 1,
		.class_table = { { 0, 4096 }, { 1 << 20, 8192 } },
		.fixed_table = { { 0, 16384 } },
	};
	struct buf b = { 0 };

	MUST(config_encode(&c, &b, NULL) == 0);
	save_buf("config", "plain", &b);
	c.features.ignorable = UINT64_MAX;
	c.classes = CONFIG_CLASSES_MAX;
	c.fixed_classes = CONFIG_CLASSES_MAX;
	for (unsigned i = 0; i < CONFIG_CLASSES_MAX; i++) {
		c.class_table[i].file_min = (uint64_t)i << 20;
		c.class_table[i].avg = UINT32_C(4096) << i;
		c.fixed_table[i] = c.class_table[i];
	}
	MUST(config_encode(&c, &b, NULL) == 0);
	save_buf("config", "all-classes", &b);
}

/* --- nodes --------------------------------------------------------------- */

static void
make_tree(const char *name, size_t n)
{
	struct segments_sink s;
	struct tree_builder *b;
	struct tree_root root;
	size_t samples_n;
	const struct sample *list = samples(&samples_n);
	char names[400][8];

	segments_sink_init(&s);
	MUST(n <= 400 && tree_builder_new(&s.sink, &b, NULL) == 0);
	for (size_t i = 0; i < n; i++) {
		struct entry en = { 0 };

		(void)snprintf(names[i], sizeof(names[i]), "%04zu", i);
		/* In large ones, short entries: devices and directories. */
		if (n <= samples_n) {
			en = list[i].entry;
		} else if (i % 20 == 0) {
			en.type = ENTRY_DIR;
			en.dir.entries = 2;
			en.dir.beneath = 2;
		} else {
			en.type = ENTRY_FIFO;
		}
		en.name = (const uint8_t *)names[i];
		en.name_len = 4;
		MUST(tree_builder_add(b, &en, NULL) == 0);
	}
	MUST(tree_builder_finish(b, &root, NULL) == 0);
	tree_builder_free(b);
	save_buf("tree", name, &s.out);
}

/* What takes thousands of entries to build, by hand and small. */
static void
put_leaf(struct segments_sink *s, const char *names, struct id *id)
{
	struct buf b = { 0 };

	wr_u8(&b, 1);
	wr_u8(&b, 0);
	wr_varint(&b, strlen(names));
	for (; *names != '\0'; names++) {
		char name[2] = { *names, '\0' };
		struct entry en = sample_file(name);
		struct buf bytes = { 0 };

		en.type = ENTRY_FIFO;
		MUST(entry_encode(&en, &bytes, NULL) == 0);
		wr_string(&b, bytes.data, bytes.len);
		buf_clear(&bytes);
	}
	MUST(chunk_put(&s->sink, KIND_TREE, b.data, b.len, id, NULL) == 0);
	buf_clear(&b);
}

static void
put_tree_item(struct buf *b, char first, const struct id *id, uint64_t n)
{
	wr_string(b, &first, 1);
	wr_bytes(b, id->b, ID_LEN);
	wr_varint(b, n);
	wr_varint(b, n);
	wr_u8(b, 0);
}

static void
make_deep_tree(void)
{
	struct segments_sink s;
	struct buf b = { 0 };
	struct id left, right;

	segments_sink_init(&s);
	put_leaf(&s, "abc", &left);
	put_leaf(&s, "mn", &right);
	wr_bytes(&b, "\1\1\2", 3);
	put_tree_item(&b, 'a', &left, 3);
	put_tree_item(&b, 'm', &right, 2);
	MUST(chunk_put(&s.sink, KIND_TREE, b.data, b.len, &left, NULL) == 0);
	buf_reset(&b);
	put_leaf(&s, "z", &right);
	wr_bytes(&b, "\1\1\1", 3);
	put_tree_item(&b, 'z', &right, 1);
	MUST(chunk_put(&s.sink, KIND_TREE, b.data, b.len, &right, NULL) == 0);
	buf_reset(&b);
	wr_bytes(&b, "\1\2\2", 3);
	put_tree_item(&b, 'a', &left, 5);
	put_tree_item(&b, 'z', &right, 1);
	MUST(chunk_put(&s.sink, KIND_TREE, b.data, b.len, &left, NULL) == 0);
	buf_clear(&b);
	save_buf("tree", "deep", &s.out);
}

static void
make_map(const char *name, enum map_kind kind, size_t n)
{
	struct filemap_builder *b;
	struct segments_sink s;
	struct content c;
	struct buf out = { 0 };
	struct rng r = { n + 1 };
	uint64_t size;

	segments_sink_init(&s);
	MUST(filemap_builder_new(&s.sink, &b, NULL) == 0);
	filemap_builder_start(b, kind, 0);
	for (size_t i = 0; i < n; i++) {
		struct id id = sample_id((uint8_t)rng_below(&r, 256));
		uint32_t len = kind == MAP_FIXED ? 4096 : 1 + (uint32_t)i;
		bool hole = n > 20 ? i % 2 == 0 : i % 7 == 3;

		if (hole)
			MUST(filemap_add_hole(b, len, NULL) == 0);
		else
			MUST(filemap_add_chunk(b, &id, len, NULL) == 0);
		if (i % 5 == 1 && n <= 20)
			MUST(filemap_add_chunk(b, &id, len, NULL) == 0);
	}
	MUST(filemap_finish(b, &c, &size, NULL) == 0);
	wr_u8(&out, c.form == CONTENT_MAPPED ? c.levels : 0);
	wr_u8(&out, (uint8_t)kind);
	wr_u64(&out, size);
	if (c.form == CONTENT_MAPPED) {
		wr_bytes(&out, s.out.data, s.out.len);
	} else {
		wr_u16(&out, (uint16_t)(1 + c.items_len));
		wr_u8(&out, (uint8_t)c.count);
		wr_bytes(&out, c.items, c.items_len);
	}
	filemap_builder_free(b);
	buf_clear(&s.out);
	save_buf("filemap", name, &out);
}

static void
make_deep_map(void)
{
	static const uint8_t hole[] = { 1, 0, 1, 3, 5 };
	struct segments_sink s;
	struct buf b = { 0 };
	struct buf leaf = { 0 };
	struct id id = sample_id(3);
	struct buf out = { 0 };

	segments_sink_init(&s);
	wr_bytes(&b, "\1\1\2\5", 4);
	MUST(chunk_put(&s.sink, KIND_MAP, hole, sizeof(hole), &id, NULL) == 0);
	wr_bytes(&b, id.b, ID_LEN);
	id = sample_id(3);
	wr_bytes(&leaf, "\1\0\1\2\7\2", 6);
	wr_bytes(&leaf, id.b, ID_LEN);
	MUST(chunk_put(&s.sink, KIND_MAP, leaf.data, leaf.len, &id, NULL) == 0);
	wr_u8(&b, 14);
	wr_bytes(&b, id.b, ID_LEN);
	MUST(chunk_put(&s.sink, KIND_MAP, b.data, b.len, &id, NULL) == 0);
	wr_u8(&out, 2);
	wr_u8(&out, 0);
	wr_u64(&out, 19);
	wr_bytes(&out, s.out.data, s.out.len);
	buf_clear(&b);
	buf_clear(&leaf);
	buf_clear(&s.out);
	save_buf("filemap", "deep", &out);
}

static void
make_links(const char *name, uint64_t n)
{
	struct links_builder *b;
	struct segments_sink s;
	struct id root;
	uint64_t count;

	segments_sink_init(&s);
	MUST(links_builder_new(&s.sink, &b, NULL) == 0);
	for (uint64_t i = 0; i < n; i++) {
		struct link l = { .fs = i / 150,
				  .ino = 3 * i,
				  .inside = 1 + i % 3,
				  .name = (const uint8_t *)"n",
				  .name_len = 1 };

		MUST(links_builder_add(b, &l, NULL) == 0);
	}
	MUST(links_builder_finish(b, &root, &count, NULL) == 0);
	links_builder_free(b);
	save_buf("links", name, &s.out);
}

static void
make_deep_links(void)
{
	struct segments_sink s;
	struct buf b = { 0 };
	struct id id[2];

	segments_sink_init(&s);
	for (unsigned i = 0; i < 2; i++) {
		struct links_builder *lb;
		uint64_t count;

		MUST(links_builder_new(&s.sink, &lb, NULL) == 0);
		for (unsigned k = 0; k < 3; k++) {
			struct link l = { .fs = i,
					  .ino = 'l' + k,
					  .inside = 2,
					  .name = (const uint8_t *)"name",
					  .name_len = 4 };

			MUST(links_builder_add(lb, &l, NULL) == 0);
		}
		MUST(links_builder_finish(lb, &id[i], &count, NULL) == 0);
		links_builder_free(lb);
	}
	wr_bytes(&b, "\1\1\2", 3);
	for (unsigned i = 0; i < 2; i++) {
		wr_varint(&b, i);
		wr_varint(&b, 'l');
		wr_varint(&b, 3);
		wr_bytes(&b, id[i].b, ID_LEN);
	}
	MUST(chunk_put(&s.sink, KIND_LINKS, b.data, b.len, &id[0], NULL) == 0);
	buf_clear(&b);
	save_buf("links", "deep", &s.out);
}

static void
make_list(const char *name, size_t n, size_t len)
{
	static const uint8_t item[300] = "an item";
	struct list_builder *b;
	struct segments_sink s;
	struct id root;
	uint64_t count;

	segments_sink_init(&s);
	MUST(list_builder_new(&s.sink, &b, NULL) == 0);
	for (size_t i = 0; i < n; i++)
		MUST(list_builder_add(b, item, len, NULL) == 0);
	MUST(list_builder_finish(b, &root, &count, NULL) == 0);
	list_builder_free(b);
	save_buf("list", name, &s.out);
}

static void
make_deep_list(void)
{
	struct segments_sink s;
	struct buf b = { 0 };
	struct id id;

	segments_sink_init(&s);
	MUST(chunk_put(&s.sink, KIND_LIST, "\1\0\2\1a\0", 6, &id, NULL) == 0);
	wr_bytes(&b, "\1\1\2", 3);
	for (unsigned i = 0; i < 2; i++) {
		wr_varint(&b, 2);
		wr_bytes(&b, id.b, ID_LEN);
	}
	MUST(chunk_put(&s.sink, KIND_LIST, b.data, b.len, &id, NULL) == 0);
	buf_reset(&b);
	wr_bytes(&b, "\1\2\1\4", 4);
	wr_bytes(&b, id.b, ID_LEN);
	MUST(chunk_put(&s.sink, KIND_LIST, b.data, b.len, &id, NULL) == 0);
	buf_clear(&b);
	save_buf("list", "deep", &s.out);
}

/* --- frames and packs ---------------------------------------------------- */

/* Bytes with something to compress in them. */
static void
make_bytes(uint8_t *p, size_t n, bool noise)
{
	struct rng r = { n };

	for (size_t i = 0; i < n; i++)
		p[i] = noise || i % 16 == 0 ? (uint8_t)rng_next(&r) : 'a';
}

static void
make_frame(const char *name, size_t raw_len, bool noise)
{
	struct frame_coder *c;
	uint8_t *raw = malloc(raw_len);
	uint8_t *stored = malloc(frame_bound(raw_len));
	enum frame_method method;
	struct buf b = { 0 };
	size_t len;

	MUST(raw != NULL && stored != NULL);
	make_bytes(raw, raw_len, noise);
	MUST(frame_coder_new(&c, NULL) == 0);
	MUST(frame_encode(c, KIND_DATA, FRAME_LEVEL_DEFAULT, raw, raw_len,
			  stored, &len, &method, NULL) == 0);
	wr_u8(&b, (uint8_t)method);
	wr_u8(&b, (uint8_t)raw_len);
	wr_u8(&b, (uint8_t)(raw_len >> 8));
	wr_u8(&b, (uint8_t)(raw_len >> 16));
	wr_bytes(&b, stored, len);
	frame_coder_free(c);
	free(raw);
	free(stored);
	save_buf("frame", name, &b);
}

static void
add_frame(struct pack_writer *w, struct frame_coder *c, unsigned number,
	  size_t chunks)
{
	uint8_t raw[4096];
	uint8_t stored[8192];
	struct id ids[4096];
	uint32_t lens[4096];
	struct pack_frame f = { .kind = 1 + number % 5, .chunks = chunks };
	uint32_t slot;
	size_t len;

	for (size_t i = 0; i < chunks; i++) {
		memset(&ids[i], 0, sizeof(ids[i]));
		ids[i].b[0] = (uint8_t)number;
		ids[i].b[1] = (uint8_t)i;
		lens[i] = 1 + i % 3;
		f.raw_len += lens[i];
	}
	MUST(f.raw_len <= sizeof(raw));
	make_bytes(raw, f.raw_len, number % 2);
	MUST(frame_encode(c, f.kind, FRAME_LEVEL_DEFAULT, raw, f.raw_len,
			  stored, &len, &f.method, NULL) == 0);
	f.stored = stored;
	f.stored_len = (uint32_t)len;
	f.ids = ids;
	f.lens = lens;
	MUST(pack_writer_add(w, &f, &slot, NULL) == 0);
}

/* A pack has a random id; the target puts its own in its place. */
static void
save_pack(const char *name, int dir, const struct pack_id *id)
{
	char file[PACK_NAME_LEN + 1];
	uint8_t p[65536];
	ssize_t n;
	int fd;

	pack_name(file, id);
	fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	n = read(fd, p, sizeof(p));
	MUST(n > 144 && n < (ssize_t)sizeof(p));
	MUST(close(fd) == 0 && unlinkat(dir, file, 0) == 0);
	/* So that the same is made every time. */
	memset(p + 16, 0, PACK_ID_LEN);
	memset(p + n - 16, 0, 16);
	save("pack", name, p, (size_t)n);
}

static void
make_pack(const char *name, unsigned frames, size_t chunks)
{
	int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct frame_coder *c;
	struct pack_writer *w;

	MUST(dir >= 0);
	MUST(frame_coder_new(&c, NULL) == 0);
	MUST(pack_writer_new(dir, &w, NULL) == 0);
	for (unsigned i = 0; i < frames; i++)
		add_frame(w, c, i, chunks);
	MUST(pack_writer_seal(w, NULL) == 0);
	MUST(pack_writer_publish(w, NULL) == 0);
	save_pack(name, dir, pack_writer_id(w));
	pack_writer_free(w);
	frame_coder_free(c);
	MUST(close(dir) == 0);
}

/* --- notes of damage ----------------------------------------------------- */

static void
make_damage(const char *name, uint32_t frames)
{
	struct damage_note n = { .whole = frames == 0 };
	struct buf b = { 0 };

	memset(n.pack.b, 0x5a, sizeof(n.pack.b));
	for (uint32_t i = 0; i < frames; i++)
		MUST(damage_note_add(&n, 128 + i * 1000, NULL) == 0);
	MUST(damage_encode(&n, &b, NULL) == 0);
	save_buf("damage", name, &b);
	damage_note_clear(&n);
}

int
main(int argc, char **argv)
{
	if (argc != 2) {
		(void)fprintf(stderr, "usage: make_corpus DIR\n");
		return 2;
	}
	top = argv[1];
	make_entries();
	make_records();
	make_configs();
	make_tree("empty", 0);
	make_tree("samples", 14);
	make_tree("two-levels", 200);
	make_deep_tree();
	make_map("inline", MAP_CDC, 2);
	make_map("leaf", MAP_CDC, 12);
	make_map("rows", MAP_FIXED, 12);
	make_map("two-levels", MAP_CDC, 200);
	make_deep_map();
	make_links("leaf", 5);
	make_links("two-levels", 200);
	make_deep_links();
	make_list("leaf", 5, 7);
	make_list("two-levels", 1030, 3);
	make_deep_list();
	make_frame("raw", 100, true);
	make_frame("zstd", 1000, false);
	make_frame("large", 65536, false);
	make_pack("small", 1, 1);
	make_pack("frames", 3, 5);
	make_pack("blocks", 2, 300);
	make_damage("whole", 0);
	make_damage("frame", 1);
	make_damage("frames", 50);
	return 0;
}
