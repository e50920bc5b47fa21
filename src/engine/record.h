/*
 * record - the generation record (doc/format.md, section 11): what a
 * generation is, in one file.
 *
 * Pure encoding and decoding; generation.h reads and publishes.  A decoded
 * record owns its memory (one buffer): record_clear frees all of it.
 */
#ifndef ASOF_ENGINE_RECORD_H
#define ASOF_ENGINE_RECORD_H

#include "base/buf.h"
#include "base/time.h"
#include "src/engine/entry.h"
#include "store/config.h"
#include "store/id.h"

#include <stddef.h>
#include <stdint.h>

struct err;

enum generation_type {
	GEN_FULL = 1,
	GEN_INCREMENTAL = 2,
	GEN_DIFFERENTIAL = 3,
	GEN_LOG = 4,
	GEN_COPY = 5,
};
const char *generation_type_name(unsigned type);
unsigned generation_type_parse(const char *s); /* 0: none of them */

#define RECORD_LIST_MAX 65536 /* items in any of its tables */

/* The highest number that inode numbers have room for (INO_GENERATION_SHIFT). */
#define RECORD_NUMBER_MAX ((UINT32_C(1) << 24) - 1)
#define SET_NAME_MAX      64

struct record_name { /* a user or group */
	uint32_t id;
	const char *name;
};
struct record_fs {
	const char *id; /* src_fs_id */
	uint64_t type;  /* f_type */
	const char *mount_point;
};
struct record_source {
	const char *typed, *resolved;
};
struct record_base {
	uint32_t number;
	uint8_t id[16];
};

struct record {
	struct features features;
	uint32_t number;
	uint8_t id[16], repository_id[16], set_id[16];
	const char *set, *machine, *host;
	uint8_t session_type, effective_type;
	struct ts start, instant, end;
	struct entry root; /* the top directory */
	struct entry session; /* the top of the session's tree; type 0: none */
	size_t source_count, fs_count, user_count, group_count;
	size_t base_count, exclude_count;
	struct record_source *source;
	struct record_fs *fs;
	struct record_name *user, *group;
	struct record_base *base;
	const char **exclude;
	struct id links, exceptions; /* zero: none */
	uint64_t link_count, exception_count;
	struct {
		uint64_t entries, inodes, bytes;
		uint64_t files_read, bytes_read, errors;
		uint64_t chunks_new, bytes_stored, xattrs;
	} counts;
	uint64_t incrementals, differentials; /* since the last full */
	const char *tool, *comment;
	struct buf memory; /* a decoded record's strings and arrays */
};

/*
 * Append the record.  The names of root and session are empty, so that their
 * entries are those of a top.  ERR_USAGE (ERR_SOURCE for these entries) when record_decode
 * would refuse it.
 */
int record_encode(const struct record *r, const struct id_keys *keys,
		  struct buf *out, struct err *e);

/*
 * ERR_CORRUPT, or ERR_UNSUPPORTED for a newer one.  `repository_id`, when
 * not NULL, must match.  No string of a decoded record is NULL; `tool` and
 * `comment` are empty when it has none.
 */
int record_decode(const void *p, size_t len, const struct id_keys *keys,
		  const uint8_t repository_id[16], struct record *out,
		  struct err *e);
void record_clear(struct record *r);

/* Is it a type that incrementals (differentials) compare with? */
int generation_type_is_base(unsigned session_type);

#endif
