/*
 * vnode - the directories of versions/ that the kernel knows, and the links in
 * them to generations.
 *
 * None has a number that could be computed.  Each gets the next one when the
 * kernel asks for it by name, and the table keeps what it means until the
 * kernel forgets it.  A number is never given twice while the mount lives.
 *
 * With a node the table keeps what was computed for it (history.h).  The nodes
 * and what was computed are each bounded by the limit.  Where there are too
 * many nodes the kernel is asked to forget those that were used longest ago;
 * where it does not, they are dropped at four times the limit.
 *
 * Any thread.
 */
#ifndef ASOF_FUSE_VNODE_H
#define ASOF_FUSE_VNODE_H

#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct history;
struct history_names;
struct vnodes;

enum vnode_queue {
	VNODE_NONE,
	VNODE_LEAVES,
	VNODE_ASKED
};

struct vnode {
	uint64_t id;  /* for the kernel, never given twice */
	uint64_t ino; /* for people, a hash of the path */
	struct vnode *parent;
	unsigned depth;  /* of versions/ itself: 0 */
	uint32_t number; /* a link into this generation; 0: a directory */

	/* The table's, whose lock guards all below but the name. */
	uint64_t lookups; /* of the kernel, not yet forgotten */
	unsigned refs;    /* requests that hold it */
	unsigned children;
	enum vnode_queue queue;
	struct vnode *older, *newer; /* in the queue */
	struct vnode *next_by_id, *next_by_name;

	struct history *history;        /* or NULL */
	struct history_names *names;    /* or NULL */
	struct ts computed;             /* the list's version for these two */
	struct vnode *staler, *fresher; /* by use, of those that have any */

	size_t name_len; /* as in the generations; of a link 0 */
	char name[];
};

/* --- names ---------------------------------------------------------------- */

/* "NAME", or "@@NAME" when that begins with "@"; "@42".  Both return `out`. */
#define VNODE_NAME_LEN 258
const char *vnode_show_name(char out[VNODE_NAME_LEN], const void *name,
			    size_t len);
const char *vnode_show_number(char out[VNODE_NAME_LEN], uint32_t number);

/* The inode number shown for a name in the directory of this one. */
uint64_t vnode_ino(uint64_t dir, const char *shown);

/*
 * Append the path in the generations, with a slash before each name; nothing
 * for the top.  Of a node that is held.
 */
int vnode_path(const struct vnode *n, struct buf *out, struct err *e);

/* --- the table ------------------------------------------------------------ */

/* `limit`: bytes of memory, for nodes and for what is computed. */
int vnodes_new(size_t limit, struct vnodes **out, struct err *e);
void vnodes_free(struct vnodes *t); /* takes NULL */

size_t vnodes_limit(const struct vnodes *t);

/* For handles: of this mount, not another. */
uint64_t vnodes_generation(const struct vnodes *t);

/* Hold a node by its number; NULL when there is none. */
struct vnode *vnodes_hold(struct vnodes *t, uint64_t id);

/*
 * Hold a child, a name or (number not 0) a link: NULL when it is not there,
 * or for vnodes_make, which makes it then, when there is no memory.
 */
struct vnode *vnodes_find(struct vnodes *t, struct vnode *parent,
			  uint32_t number, const void *name, size_t len);
struct vnode *vnodes_make(struct vnodes *t, struct vnode *parent,
			  uint32_t number, const void *name, size_t len);
void vnodes_release(struct vnodes *t, struct vnode *n);

/* The kernel knows it by one look-up more, and by so many less. */
void vnodes_met(struct vnodes *t, struct vnode *n);
void vnodes_forget(struct vnodes *t, uint64_t id, uint64_t count);

/*
 * What was computed for a node that is held, for this version of the list:
 * references, NULL where there is nothing.  And keep such, taking the
 * references over; either may be NULL.
 */
void vnodes_computed(struct vnodes *t, struct vnode *n, struct ts version,
		     struct history **h, struct history_names **names);
void vnodes_keep(struct vnodes *t, struct vnode *n, struct ts version,
		 struct history *h, struct history_names *names);

/* --- for the thread that tells the kernel --------------------------------- */

/*
 * From now on call `fn` whenever there is something for vnodes_next_old; from
 * any thread, with the table's lock held.  NULL: no more; when this returns it
 * is not being called either.  No table (NULL) has never any.
 */
void vnodes_on_crowd(struct vnodes *t, void (*fn)(void *ctx), void *ctx);

/* A name that the kernel shall forget; false when the table is not full. */
bool vnodes_next_old(struct vnodes *t, uint64_t *parent,
		     char name[VNODE_NAME_LEN]);

/* The numbers of all directories in the table, an array for mem_free. */
int vnodes_dirs(struct vnodes *t, uint64_t **out, size_t *count, struct err *e);

#endif
