/*
 * root - the directories that exist only in the mount.
 *
 *	latest -> generations/42
 *	generations/42/
 *	by-time/2026-11-21T20-25-13Z -> ../generations/42
 *	by-set/SET/42, by-set/SET/latest -> ../../generations/42
 *	by-type/{full,incremental,differential,log,copy}/42 -> likewise
 *	versions/                     (versions.h)
 *	control -> /run/asof/NAME     (virtual.c: not in any list)
 *
 * Only generations/N are directories with something stored in them, and each
 * has this one path: where the kernel finds a directory at a second place, it
 * moves it there, and whoever stands in it with it.  All the rest are
 * symlinks.
 *
 * Which names there are is a root_list, made anew when generations have come
 * or gone and never changed after; the root has the current one.
 *
 * Memory: some 500 bytes for each generation that there is (its facts, and
 * four names), twice that for a moment while a new list takes the old one's
 * place; nothing for what is in the generations, or for who visits them.
 */
#ifndef ASOF_FUSE_ROOT_H
#define ASOF_FUSE_ROOT_H

#include "base/buf.h"
#include "base/time.h"
#include "fuse/history.h"
#include "src/engine/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct repository;

/*
 * Inode numbers of generation 0.  That of a symlink says where it leads, so
 * that `latest` is another inode when it leads elsewhere: the kernel keeps
 * targets by inode.  That of a set comes from its name.
 */
#define ROOT_INO             1
#define ROOT_INO_GENERATIONS 2
#define ROOT_INO_BY_TIME     3
#define ROOT_INO_BY_SET      4
#define ROOT_INO_BY_TYPE     5
#define ROOT_INO_VERSIONS    6
#define ROOT_INO_CONTROL     7
#define ROOT_INO_TYPE        8                   /* + enum generation_type */
#define ROOT_INO_LINK        (UINT64_C(1) << 24) /* × (1 + depth), + number */
#define ROOT_INO_SET         (UINT64_C(1) << 38) /* + a hash of the name */
#define ROOT_INO_VERSION     (UINT64_C(1) << 39) /* + a count, versions.h */

/* What the list needs to know of a generation. */
struct root_gen {
	uint32_t number;
	bool damaged;  /* its record; only the number is known */
	bool doubtful; /* damaged, but the next look may find it well */
	bool log;
	uint8_t type; /* effective, enum generation_type */
	struct ts instant;
	uint64_t bytes, inodes;
	char set[SET_NAME_MAX + 1];
	uint8_t set_id[16];
	uint8_t version[HISTORY_VERSION_LEN]; /* of the top directory */
	struct tree_root tree;                /* what it holds */
};

enum root_kind {
	ROOT_DIR,
	ROOT_GENERATION,
	ROOT_LINK
};

struct root_item {
	uint64_t ino;
	uint64_t cookie; /* rises in a directory; the same while it is there */
	uint32_t number; /* of the generation that it is or leads to, or 0 */
	uint32_t name;   /* where in `names` */
	uint8_t kind;    /* enum root_kind */
};

struct root_dir {
	uint64_t ino, parent;
	size_t first, count; /* among the items */
	size_t dirs;         /* of them directories */
};

struct root_list {
	unsigned refs; /* atomic */
	struct ts version;
	uint32_t highest;     /* number ever seen, forgotten ones too */
	struct root_gen *gen; /* by number */
	size_t gens;
	struct root_dir *dir;
	size_t dirs;
	struct root_item *item; /* all of a directory in one piece */
	size_t items;
	struct buf names; /* with a NUL behind each */
};

/*
 * Make the list of these generations (ascending), taking the array over in
 * any case.  `after`: the version must be later than this.
 */
int root_list_new(struct root_gen *gen, size_t gens, uint32_t highest,
		  struct ts after, struct root_list **out, struct err *e);
struct root_list *root_list_ref(struct root_list *l);
void root_list_unref(struct root_list *l); /* takes NULL */

/* A directory by number, or NULL. */
const struct root_dir *root_find_dir(const struct root_list *l, uint64_t ino);

/* A name in it, or NULL. */
const struct root_item *root_find_item(const struct root_list *l,
				       const struct root_dir *d,
				       const char *name);
const char *root_item_name(const struct root_list *l,
			   const struct root_item *i);

/* Facts about a generation, or NULL. */
const struct root_gen *root_find_gen(const struct root_list *l,
				     uint32_t number);

/*
 * Where a symlink leads, by its number; false when there is no such symlink.
 * Sets *number too.
 */
#define ROOT_TARGET_LEN 48
bool root_target(uint64_t ino, uint32_t *number, char out[ROOT_TARGET_LEN]);

/* --- the current list --------------------------------------------------------- */

struct root;

/* Reads the generations.  The repository is borrowed. */
int root_new(const struct repository *r, struct root **out, struct err *e);
void root_free(struct root *r); /* takes NULL */

/* A reference to the current list.  Any thread. */
struct root_list *root_current(struct root *r);

/*
 * Read the generations again: 1 when they have changed; then *before is the
 * list as it was, a reference for the caller.  0: as before.  One thread.
 */
int root_refresh(struct root *r, struct root_list **before, struct err *e);

#endif
