/*
 * control_tree - names in the control filesystem, who may use them, inodes.
 *
 * doc/control.md, section 13, has the tree.  A node is a name that the kernel
 * knows or somebody has open; it is there as long as that.  A writer that is
 * registered again under an old name is another node: whoever has a file of the
 * old one open does not get at the new one.
 *
 * desk->lock is held.  Results are 0 or an errno.
 */
#ifndef ASOF_FUSE_CONTROL_TREE_H
#define ASOF_FUSE_CONTROL_TREE_H

#include "fuse/control_state.h"

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct buf;
struct err;
struct party;
struct party_component;
struct round;

enum control_kind {
	CONTROL_ROOT,
	CONTROL_README,
	CONTROL_VERSION,
	CONTROL_SESSIONS, /* a directory */
	CONTROL_WRITERS,  /* a directory */

	CONTROL_SESSION, /* a directory */
	CONTROL_SESSION_ID,
	CONTROL_SESSION_TYPE,
	CONTROL_SESSION_PHASE,
	CONTROL_SESSION_SET,
	CONTROL_SESSION_DEADLINE,
	CONTROL_SESSION_PARTIAL_FILES,
	CONTROL_SESSION_SNAPSHOT,
	CONTROL_SESSION_VOLUMES,

	CONTROL_WRITER, /* a directory */
	CONTROL_METADATA,
	CONTROL_DECLARE,
	CONTROL_EVENTS,
	CONTROL_ANSWER,
	CONTROL_LOG,
	CONTROL_WRITER_SESSION, /* a symlink */
	CONTROL_COMPONENTS,     /* a directory */

	CONTROL_COMPONENT, /* a directory */
	CONTROL_PREVIOUS_STAMP,
	CONTROL_BASE,
	CONTROL_STAMP,
	CONTROL_PENDING,
	CONTROL_KINDS,
};

struct control_node {
	enum control_kind kind;
	uint64_t ino;
	struct control_node *parent;
	struct control_node *child; /* the first */
	struct control_node *next, *previous; /* its siblings */
	uint64_t lookups; /* how often the kernel has it */
	size_t refs;      /* open handles */
	/* Of a session, a writer, a component: its name; else NULL. */
	char *name;
	struct party *party; /* of a writer's directory; NULL: it is removed */
};

int control_tree_begin(struct control *c);
void control_tree_end(struct control *c);

/*
 * The node of a name, which the kernel then has once more.  `uid` is who
 * asks.  ENOENT, EACCES, ENOTDIR, ENOMEM.
 */
int control_tree_lookup(struct control *c, struct control_node *parent,
			const char *name, uid_t uid, struct control_node **out);
void control_tree_forget(struct control_node *n, uint64_t times);

/*
 * The same for somebody who wants to write a stamp that was never set.  EPERM:
 * no other file is made.
 */
int control_tree_new_stamp(struct control *c, struct control_node *parent,
			   const char *name, uid_t uid,
			   struct control_node **out);

/* An open handle holds its node. */
void control_tree_hold(struct control_node *n);
void control_tree_release(struct control_node *n);

/* May this user (R_OK, W_OK, X_OK)?  EACCES, EPERM; ENOENT: it is gone. */
int control_tree_may(const struct control *c, const struct control_node *n,
		     uid_t uid, int mask);

/* What it is about; NULL when that is gone, or it is about none. */
struct party *control_tree_party(const struct control *c,
				 const struct control_node *n);
struct round *control_tree_round(const struct control *c,
				 const struct control_node *n);
const char *control_tree_component(const struct control_node *n);
struct party_component *control_tree_session_component(
	const struct control *c, const struct control_node *n);

/*
 * The size is that of the contents where these never change, and of the log,
 * which can be followed; else it is 0, as in /proc.
 */
void control_tree_stat(const struct control *c, const struct control_node *n,
		       struct stat *out);

/*
 * Append the names in a directory: for each the type (as in st_mode), a
 * 32-bit number of this machine, and the name with its NUL.
 */
int control_tree_list(const struct control *c, const struct control_node *n,
		      struct buf *out, struct err *e);

/* The party is removed: its nodes are about nothing any more. */
void control_tree_removed(struct control *c, const struct party *p);

#endif
