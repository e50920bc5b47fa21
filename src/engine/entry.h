/*
 * entry - what a directory says about one name (doc/format.md, section 8).
 *
 * A decoded entry borrows from the bytes it was decoded from: names,
 * targets, xattrs and map items point into them.  Decoding checks
 * everything; an entry that decoded is safe to use.  Pure; any thread.
 */
#ifndef ASOF_ENGINE_ENTRY_H
#define ASOF_ENGINE_ENTRY_H

#include "base/cursor.h"
#include "base/time.h"
#include "store/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum entry_type {
	ENTRY_FILE = 1,
	ENTRY_DIR = 2,
	ENTRY_SYMLINK = 3,
	ENTRY_CHAR = 4,
	ENTRY_BLOCK = 5,
	ENTRY_FIFO = 6,
	ENTRY_SOCKET = 7,
};

#define ENTRY_RACY         (1u << 0) /* its times cannot prove it unchanged */
#define ENTRY_TORN         (1u << 1) /* changed while it was read */
#define ENTRY_UNREADABLE   (1u << 2) /* metadata only */
#define ENTRY_PARTIAL_LIST (1u << 3) /* directory: names may be missing */
#define ENTRY_LINKED       (1u << 4) /* source nlink > 1 */
#define ENTRY_XATTRS       (1u << 5)
#define ENTRY_BTIME        (1u << 6)
#define ENTRY_INODE_FLAGS  (1u << 7)
#define ENTRY_FLAGS_KNOWN  0xffu

/* Any of these: read next time, whatever the times say. */
#define ENTRY_DOUBTFUL \
	(ENTRY_RACY | ENTRY_TORN | ENTRY_UNREADABLE | ENTRY_PARTIAL_LIST)

#define ENTRY_TARGET_MAX     65536
#define ENTRY_XATTRS_MAX     4096
#define ENTRY_XATTR_INLINE   4096  /* longer values are chunks of their own */
#define ENTRY_XATTR_LEN_MAX  (UINT32_C(16) << 20)
#define ENTRY_LEN_MAX        (UINT32_C(8) << 20)

/* Most inodes beneath a directory: the ordinals in inode numbers end there. */
#define TREE_INODES_MAX ((UINT64_C(1) << 39) - 2)

/* Tree flags, in directory entries and inner nodes. */
#define TREE_XATTRS (1u << 0) /* something beneath has xattrs */

enum content_form { CONTENT_EMPTY = 0, CONTENT_INLINE = 1, CONTENT_MAPPED = 2 };
enum map_kind { MAP_CDC = 0, MAP_FIXED = 1 };
#define CONTENT_INLINE_MAX 4

/* Where a file's bytes are (doc/format.md, section 7). */
struct content {
	uint8_t form, kind, cls;
	uint8_t levels;       /* mapped */
	unsigned count;       /* inline: items */
	const uint8_t *items; /* inline: encoded, see filemap.h */
	size_t items_len;
	struct id root; /* mapped */
	uint64_t holes; /* bytes of the file that are in holes */
};

/* A directory's contents. */
struct tree_root {
	struct id id;
	uint64_t entries; /* names in it */
	uint64_t dirs;    /* directories among them */
	uint64_t beneath; /* inodes: all entries, and all below them */
	uint8_t flags;    /* TREE_* */
};

struct entry {
	const uint8_t *name;
	size_t name_len; /* 0 only for the top directory in a record */
	uint8_t type;    /* enum entry_type */
	uint32_t flags;  /* ENTRY_* */
	uint32_t mode, uid, gid;
	struct ts mtime, ctime, atime, btime;
	uint64_t fs, ino, nlink; /* nlink 1 without ENTRY_LINKED */
	uint64_t size;
	uint32_t inode_flags;
	unsigned xattrs;
	const uint8_t *xattr_bytes; /* encoded; see xattr_next */
	size_t xattr_len;
	const uint8_t *target;
	size_t target_len;
	uint32_t major, minor;
	struct content content;
	struct tree_root dir;
	/* The encoded bytes this was decoded from; NULL in one made by hand. */
	const uint8_t *bytes;
	size_t len;
};

/* `top`: the entry of a record's top directory, whose name is empty. */
int entry_decode(const void *p, size_t len, bool top, struct entry *out,
		 struct err *e);

/*
 * What a tree must know of the entries beside the one that is wanted.  Much
 * cheaper than decoding, and checks no more than this needs: an entry whose
 * contents matter is decoded.
 */
struct entry_skim {
	const uint8_t *name;
	size_t name_len; /* 1 ... 255 */
	bool dir;
	uint64_t inodes; /* as entry_inodes */
	uint8_t flags;   /* TREE_*, of itself and of what is beneath */
};
bool entry_skim(const void *p, size_t len, struct entry_skim *out);

/*
 * Append its encoding (always the same bytes for the same fields), with an
 * empty name that of the top directory.  ERR_SOURCE, and *out as it was, when
 * entry_decode would refuse it: nothing is stored that cannot be read.
 */
int entry_encode(const struct entry *en, struct buf *out, struct err *e);

/* Inodes that this entry stands for: 1, and what is beneath. */
uint64_t entry_inodes(const struct entry *en);

/* File type bits (S_IFMT) of a type, and back (0: none). */
mode_t entry_type_mode(unsigned type);
unsigned entry_type_of_mode(mode_t mode);

/* memcmp of names, the shorter first. */
int entry_name_cmp(const void *a, size_t alen, const void *b, size_t blen);

struct xattr {
	const uint8_t *name;
	size_t name_len;
	bool inlined;
	const uint8_t *value; /* inlined */
	size_t len;
	struct id id; /* else: a chunk of kind data */
};

/* Walk an entry's xattrs: start with a cursor from xattr_first. */
struct rd xattr_first(const struct entry *en);
bool xattr_next(struct rd *r, struct xattr *out);

/* Append one to the encoded xattrs of an entry under construction. */
void xattr_put(struct buf *out, const struct xattr *x);

#endif
