/*
 * view - reading generations: from numbers and paths to entries and bytes.
 *
 * What the mount, ls, cat, show, check and restore stand on.  A view_gen is
 * one generation, opened; it is immutable, counted, and used from any
 * thread.  A node is an entry together with its inode number and what keeps
 * its bytes alive; it belongs to one thread and is cleared by it.
 */
#ifndef ASOF_ENGINE_VIEW_H
#define ASOF_ENGINE_VIEW_H

#include "src/engine/generation.h"
#include "src/engine/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct store;

/* Inode numbers: generation << 40 | ordinal, see doc/format.md section 8. */
#define INO_GENERATION_SHIFT 40
#define INO_LINKED (UINT64_C(1) << 39)
#define INO_ORDINAL_MASK (INO_LINKED - 1)

struct view_gen {
	struct store *store;
	struct chunk_reader *reader;
	uint32_t number;
	struct record record;
	unsigned refs; /* atomic */
};

/* Open generation `number`; ERR_MISSING, ERR_CORRUPT, ERR_UNSUPPORTED. */
int view_open(struct store *st, uint32_t number, struct view_gen **out,
	      struct err *e);
struct view_gen *view_ref(struct view_gen *g);
void view_unref(struct view_gen *g);

struct node {
	struct tree_hit hit;    /* keeps entry's bytes */
	struct entry entry;     /* = hit.entry; for the top, the record's */
	uint64_t ino;           /* as shown */
	uint64_t ordinal;       /* in preorder; of linked ones too */
	uint64_t parent_ordinal; /* 0: unknown (found by a link's rank) */
};
void node_clear(struct node *n);

/* The top directory "/". */
int view_top(struct view_gen *g, struct node *out, struct err *e);

/* A name in a directory; 1 when there is none. */
int view_lookup(struct view_gen *g, const struct node *dir, const void *name,
		size_t len, struct node *out, struct err *e);

/* A normal absolute path; 1 when there is none; follows no symlink. */
int view_path(struct view_gen *g, const char *path, struct node *out,
	      struct err *e);

/*
 * By inode number; 1 when there is none.  Needs no memory of earlier calls.
 */
int view_inode(struct view_gen *g, uint64_t ino, struct node *out,
	       struct err *e);

/*
 * The directory that holds `n`; of the top, itself.  Fails for a node whose
 * parent_ordinal is not known.
 */
int view_parent(struct view_gen *g, const struct node *n, struct node *out,
		struct err *e);

/*
 * Entries of a directory from position `start` on, in order of name: fn gets
 * each as a node (valid during the call) with its position; 0 go on, 1
 * stop, -1 failed.  Returns 0 at the end, 1 stopped, -1; a directory that
 * ends before what it says to hold is ERR_CORRUPT.
 */
typedef int (*view_fn)(void *ctx, const struct node *n, uint64_t position,
		       struct err *e);
int view_list(struct view_gen *g, const struct node *dir, uint64_t start,
	      view_fn fn, void *ctx, struct err *e);

/*
 * A file of the session's own tree (doc/format.md, section 11), appended to
 * *out: "documents/NAME".  1 when the generation has none of that name;
 * ERR_CORRUPT when it is longer than `max`.
 */
int view_session(struct view_gen *g, const char *path, struct buf *out,
		 size_t max, struct err *e);

/*
 * What a generation keeps of another one, whose data it stands on (`images` in
 * doc/format.md, section 17), as if it were that generation: its tree, its
 * session's files, its id; all else is the keeper's.  1 when it keeps nothing
 * of it.
 */
int view_image(struct view_gen *keeper, uint32_t number, const uint8_t id[16],
	       struct view_gen **out, struct err *e);

/* nlink as shown: links inside the generation; 2 + directories for one. */
int view_nlink(struct view_gen *g, const struct node *n, uint64_t *out,
	       struct err *e);

/*
 * The value of an xattr: appended to *out.  1 when there is none of this
 * name.
 */
int view_xattr(struct view_gen *g, const struct entry *en, const char *name,
	       struct buf *out, struct err *e);

#endif
