/*
 * repository - the directory that holds it all: making, opening, its
 * generation records as files.
 *
 * Holds descriptors of the repository's directories, so that it keeps working
 * when it is renamed.  What is inside a generation record is the engine's
 * business; here it is bytes under a number.  After opening it is read-only
 * data: any thread.
 */
#ifndef ASOF_STORE_REPOSITORY_H
#define ASOF_STORE_REPOSITORY_H

#include "store/config.h"
#include "store/id.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;

struct repository {
	char *path; /* as given, absolute, for messages */
	int fd, packs_fd, generations_fd;
	int sessions_fd, condemned_fd; /* -1: none, and none can be made */
	bool read_only;  /* medium or rights do not let us write */
	bool remote;     /* a network file system */
	bool config_damaged; /* one of the two copies is bad or missing */
	struct config config;
	struct id_keys keys;
};

/*
 * Make a new repository at `path`, which must not exist or be an empty
 * directory; its parent must exist.  `config` comes last and makes it a
 * repository: an interrupted init can be run again.
 */
int repository_init(const char *path, struct err *e);

/* ERR_USAGE when there is none at `path`. */
int repository_open(const char *path, struct repository **out, struct err *e);
void repository_close(struct repository *r);

/*
 * The file system that the repository is on may go and come back (a network
 * disk, a cable): then the path leads to other directories than those that are
 * open.  Looks, and if it is the same repository (its id) opens it anew: the
 * new descriptors take the place of the old ones, under their numbers, whoever
 * is using them.  Returns 1 when nothing has changed; -1 when there is no
 * repository at the path now, or another, or it cannot be read; then the old
 * descriptors stay.  One thread at a time.
 */
int repository_follow(const struct repository *r, struct err *e);

/*
 * Is the directory `upper` the directory `fd`, or above it?  Names do not tell,
 * for there are links and bind mounts: the way up is walked and compared by
 * device and inode.  Where that is closed to us, no.
 */
bool repository_above(int upper, int fd);

/*
 * Fail with one clear sentence when it cannot be written: read-only medium, or
 * features that this program does not know.
 */
int repository_want_write(const struct repository *r, struct err *e);

/* --- generation records --------------------------------------------------- */

/* Numbers that exist, ascending.  Free with mem_free. */
struct generation_names {
	uint32_t *number;
	size_t count;
	uint32_t highest; /* including forgotten and gone ones; 0 if none */
};
int repository_generations(const struct repository *r,
			   struct generation_names *out, struct err *e);
void generation_names_clear(struct generation_names *n);

#define GENERATION_RECORD_MAX (UINT32_C(17) << 20)
#define GENERATION_NUMBER_MAX ((UINT32_C(1) << 24) - 2)

/* The record's bytes, appended to *out.  Returns 1 when there is none. */
int repository_read_generation(const struct repository *r, uint32_t number,
			       struct buf *out, struct err *e);

/*
 * Publish a record under a number: temporary file, fsync, link, fsync of the
 * directory.  Returns 1 when the number is taken (also by a forgotten or gone
 * one): make the record anew with the next number.
 */
int repository_publish_generation(const struct repository *r, uint32_t number,
				  const void *p, size_t len, struct err *e);

/* Rename N to N.forgotten, durably.  Returns 1 when there is no N. */
int repository_forget_generation(const struct repository *r, uint32_t number,
				 struct err *e);

#endif
