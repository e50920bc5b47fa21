/*
 * maker - makes the trees of a generation from a list of paths, for tests of
 * what reads generations.
 */
#ifndef ASOF_TESTS_LIB_MAKER_H
#define ASOF_TESTS_LIB_MAKER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/buf.h"
#include "base/err.h"
#include "src/engine/filemap.h"
#include "src/engine/links.h"
#include "src/engine/tree.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/rng.h"

#include <stdlib.h>
#include <string.h>

#define MAKER_CHUNK ((size_t)10000)
#define MAKER_XATTR "user.asof-test"

/*
 * One path.  Parents come before children, and siblings in order of name.
 * Zero means an ordinary value.
 */
struct thing {
	const char *path; /* "/a/b" */
	uint8_t type;     /* 0: a file */
	uint32_t mode;    /* 0: 0644, directories 0755; 010000: really 0 */
	uint32_t uid, gid;
	int64_t sec;                /* mtime */
	size_t size;                /* of a file */
	uint64_t hole_at, hole_len; /* in it */
	const char *target;         /* of a symlink */
	uint32_t major, minor;
	uint64_t link;          /* not 0: this inode, with... */
	uint64_t nlink;         /* so many names */
	size_t xattr;           /* length of an xattr, */
	const char *xattr_name; /* of this name, or MAKER_XATTR */
	bool same;              /* all chunks of the file are equal */
	uint32_t flags;         /* more ENTRY_* */
	uint32_t inode_flags;
};

struct maker {
	struct chunk_sink *sink;
	const struct thing *thing;
	size_t count;
	struct filemap_builder *map;
	struct buf xattr;
	/* Counts of what was made. */
	uint64_t files, bytes;
};

/* The byte at `at` of the file at `path`. */
static inline void
maker_bytes(const struct thing *t, uint8_t *p)
{
	struct rng r = { 1 };
	const char *s;
	size_t i;

	/* Names of one inode have one content. */
	for (s = t->link != 0 ? "" : t->path; *s != '\0'; s++)
		r.state = r.state * 31 + (uint8_t)*s;
	r.state += t->link * 7919 + 1;
	rng_fill(&r, p, t->size);
	for (i = MAKER_CHUNK; t->same && i < t->size; i++)
		p[i] = p[i - MAKER_CHUNK];
	for (i = 0; i < t->hole_len && t->hole_at + i < t->size; i++)
		p[t->hole_at + i] = 0;
}

static inline void
maker_chunks(struct maker *k, const uint8_t *p, size_t len)
{
	struct err e = { 0 };
	struct id id;
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = len < MAKER_CHUNK ? len : MAKER_CHUNK;
		assert_int_equal(chunk_put(k->sink, KIND_DATA, p, n, &id, &e),
				 0);
		assert_int_equal(
			filemap_add_chunk(k->map, &id, (uint32_t)n, &e), 0);
	}
}

static inline void
maker_content(struct maker *k, const struct thing *t, struct entry *en)
{
	struct err e = { 0 };
	uint8_t *p = malloc(t->size + 1);
	size_t end = (size_t)(t->hole_at + t->hole_len);

	assert_non_null(p);
	maker_bytes(t, p);
	filemap_builder_start(k->map, MAP_CDC, 0);
	if (t->hole_len > 0) {
		maker_chunks(k, p, (size_t)t->hole_at);
		assert_int_equal(filemap_add_hole(k->map, t->hole_len, &e), 0);
		maker_chunks(k, p + end, t->size - end);
	} else {
		maker_chunks(k, p, t->size);
	}
	assert_int_equal(filemap_finish(k->map, &en->content, &en->size, &e),
			 0);
	assert_int_equal(en->size, t->size);
	free(p);
	k->files++;
	k->bytes += t->size;
}

static inline void
maker_xattr_value(size_t len, uint8_t *p)
{
	struct rng r = { len };

	rng_fill(&r, p, len);
}

static inline const char *
maker_xattr_name(const struct thing *t)
{
	return t->xattr_name != NULL ? t->xattr_name : MAKER_XATTR;
}

static inline void
maker_xattr(struct maker *k, const struct thing *t, struct entry *en)
{
	struct err e = { 0 };
	uint8_t *p = malloc(t->xattr);
	struct xattr x = {
		.name = (const uint8_t *)maker_xattr_name(t),
		.name_len = strlen(maker_xattr_name(t)),
		.inlined = t->xattr <= ENTRY_XATTR_INLINE,
		.value = p,
		.len = t->xattr,
	};

	assert_non_null(p);
	maker_xattr_value(t->xattr, p);
	if (!x.inlined)
		assert_int_equal(
			chunk_put(k->sink, KIND_DATA, p, t->xattr, &x.id, &e),
			0);
	buf_reset(&k->xattr);
	xattr_put(&k->xattr, &x);
	en->flags |= ENTRY_XATTRS;
	en->xattrs = 1;
	en->xattr_bytes = k->xattr.data;
	en->xattr_len = k->xattr.len;
	free(p);
}

static inline struct entry
maker_entry(const struct thing *t)
{
	const char *name = strrchr(t->path, '/') + 1;
	struct entry en = {
		.name = (const uint8_t *)name,
		.name_len = strlen(name),
		.type = t->type != 0 ? t->type : ENTRY_FILE,
		.flags = t->flags,
		.mode = t->mode & 07777,
		.uid = t->uid,
		.gid = t->gid,
		.mtime = { t->sec, 123456789 },
		.atime = { t->sec + 1, 1 },
		.ino = t->link != 0 ? t->link : 1,
		.nlink = 1,
		.inode_flags = t->inode_flags,
		.major = t->major,
		.minor = t->minor,
	};

	if (t->mode == 0)
		en.mode = t->type == ENTRY_DIR ? 0755 : 0644;
	if (t->type == ENTRY_SYMLINK) {
		en.mode = 0777;
		en.target = (const uint8_t *)t->target;
		en.target_len = strlen(t->target);
	}
	if (t->link != 0) {
		en.flags |= ENTRY_LINKED;
		en.nlink = t->nlink;
	}
	if (t->inode_flags != 0)
		en.flags |= ENTRY_INODE_FLAGS;
	return en;
}

/* Is `path` directly in the directory ("" for the top)? */
static inline bool
maker_is_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/' &&
	       strchr(path + n + 1, '/') == NULL;
}

static inline void
maker_dir(struct maker *k, const char *dir, struct tree_root *out)
{
	struct err e = { 0 };
	struct tree_builder *b;
	size_t i;

	assert_int_equal(tree_builder_new(k->sink, &b, &e), 0);
	for (i = 0; i < k->count; i++) {
		const struct thing *t = &k->thing[i];
		struct entry en;

		if (!maker_is_in(t->path, dir))
			continue;
		en = maker_entry(t);
		if (en.type == ENTRY_DIR)
			maker_dir(k, t->path, &en.dir);
		if (t->xattr != 0)
			maker_xattr(k, t, &en);
		if (en.type == ENTRY_FILE && (en.flags & ENTRY_UNREADABLE) == 0)
			maker_content(k, t, &en);
		if (tree_builder_add(b, &en, &e) < 0)
			fail_msg("%s: %s", t->path, e.text);
	}
	assert_int_equal(tree_builder_finish(b, out, &e), 0);
	tree_builder_free(b);
}

/* The top directory of a tree of these things. */
static inline struct entry
maker_top(struct maker *k, struct chunk_sink *sink, const struct thing *t,
	  size_t n)
{
	struct err e = { 0 };
	struct entry top = {
		.type = ENTRY_DIR,
		.mode = 0750,
		.mtime = { 1000000000, 5 },
		.nlink = 1,
	};

	memset(k, 0, sizeof(*k));
	k->sink = sink;
	k->thing = t;
	k->count = n;
	assert_int_equal(filemap_builder_new(sink, &k->map, &e), 0);
	maker_dir(k, "", &top.dir);
	filemap_builder_free(k->map);
	buf_clear(&k->xattr);
	return top;
}

#endif
