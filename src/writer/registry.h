/*
 * registry - which writers there are, whose they are, what they may.
 *
 * doc/control.md, section 1.  Kept on this machine, per repository and user: a
 * directory for each writer beneath `writers/` of the state directory, with
 *
 *   registration   owner, grants, services, one line each (grammar.h); without
 *                  it the directory is what was left of a removal
 *   document       the metadata document in its normal form, once there is one
 *   journal/       see journal.h
 *   log, log.1     what was decided about its input, for people
 *
 * Written whole and renamed into place, so that a crash leaves the old or the
 * new.  The caller locks.
 */
#ifndef ASOF_WRITER_REGISTRY_H
#define ASOF_WRITER_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct err;

#define REGISTRY_WRITERS_MAX  1024
#define REGISTRY_GRANTS_MAX   64
#define REGISTRY_SERVICES_MAX 16
#define REGISTRY_NAME_MAX     100 /* bytes of the repository's, in NAME below */

struct registration {
	char *name;
	uid_t owner;
	char **grant; /* directories, absolute and normal */
	size_t grants;
	char **service; /* systemd units that a restore may stop and start */
	size_t services;
	unsigned timeouts; /* in a row; at two it is not waited for */
	/*
	 * Taken away by its owner: what root gave is kept, so that he may
	 * register it anew; there is no writer meanwhile.
	 */
	bool dormant;
};
void registration_clear(struct registration *r);
int registration_copy(struct registration *to, const struct registration *from,
		      struct err *e);
/* A line `grant DIR` for each grant, then `service UNIT` for each; appended. */
void registration_put_lists(const struct registration *r, struct buf *out);

/*
 * Is it the number of somebody?  Those whom the kernel has no number for appear
 * as the last one, or as the one of nobody (65534): they are not.
 */
bool registry_uid_ok(uid_t uid);

/*
 * The state directory of a repository, made if need be and locked by nobody:
 * /var/lib/asof/NAME for root, $XDG_STATE_HOME/asof/NAME (or
 * ~/.local/state) for others, or beneath ASOF_STATE_DIR; NAME is the
 * repository's name (of which `name` may be the path) and eight digits of its
 * id.  Refused when somebody else owns it or may write to it.  A descriptor, or
 * -1.
 */
int registry_open_state(const char *name, const uint8_t repository_id[16],
			struct err *e);

/*
 * The NAME above: also that of /run/asof/NAME.  Appended.  Where there is such a
 * directory, its own name counts, not the link or the dots that lead to it.
 */
void registry_name(const char *repository_path, const uint8_t id[16],
		   struct buf *out);

/* All of them, dormant ones too, in the order of their names. */
struct registry {
	int dirfd; /* writers/, the registry's own */
	struct registration *v;
	size_t count;
};
int registry_load(int statefd, struct registry *out, struct err *e);
void registry_clear(struct registry *r);
struct registration *registry_find(struct registry *r, const char *name);

/*
 * Add one, durably (EEXIST when it is there, EINVAL for a bad name, grant or
 * service, EDQUOT beyond the limits); change what is kept of it.  Adding moves
 * the others in memory.
 */
int registry_add(struct registry *r, const struct registration *what,
		 struct err *e);
int registry_save(struct registry *r, const struct registration *what,
		  struct err *e);

/*
 * Take one away, durably, or make it dormant; on failure it is as it was.  The
 * former moves the others in memory.  All that was kept of it is still there:
 */
int registry_remove(struct registry *r, const char *name, struct err *e);
int registry_retire(struct registry *r, const char *name, struct err *e);

/*
 * Remove what was kept of a writer that was taken away, all but a registration.
 * May be called without the lock: nothing in memory is touched.
 */
int registry_sweep(const struct registry *r, const char *name, struct err *e);

/* The directory of a writer, and of its journal (made if need be). */
int registry_dir(const struct registry *r, const char *name, struct err *e);
int registry_journal_dir(const struct registry *r, const char *name,
			 struct err *e);

#endif
