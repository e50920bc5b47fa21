/*
 * config - what a repository is made with (doc/format.md, section 3).
 *
 * Pure encoding and decoding; repository.c reads and writes the files.
 */
#ifndef ASOF_STORE_CONFIG_H
#define ASOF_STORE_CONFIG_H

#include "base/buf.h"
#include "base/time.h"
#include "store/id.h"

#include <stddef.h>
#include <stdint.h>

struct err;

#define CONFIG_CLASSES_MAX 8
#define CONFIG_FILE_MAX    (65536 + 128)

/* Feature words: see doc/format.md.  No bit has a meaning yet. */
struct features {
	uint64_t read, write, ignorable;
};
#define FEATURES_READ_KNOWN  UINT64_C(0)
#define FEATURES_WRITE_KNOWN UINT64_C(0)

/* Files of at least this size are cut into chunks of this mean length. */
struct chunk_class {
	uint64_t file_min;
	uint32_t avg;
};

struct config {
	struct features features;
	uint8_t id[16];
	struct ts created;
	uint8_t suite, hash, chunker;
	uint64_t chunker_seed;
	uint8_t id_key[ID_LEN];
	size_t classes, fixed_classes;
	struct chunk_class class_table[CONFIG_CLASSES_MAX];
	struct chunk_class fixed_table[CONFIG_CLASSES_MAX];
};

/* A new config with random id and key, today's defaults, and the time. */
int config_new(struct config *out, struct err *e);

int config_encode(const struct config *c, struct buf *out, struct err *e);

/*
 * ERR_USAGE "not a repository" when the magic is missing, ERR_UNSUPPORTED
 * when newer, ERR_CORRUPT when damaged.
 */
int config_decode(const void *p, size_t len, struct config *out,
		  struct err *e);

/*
 * The class for a file of this size: the table's, but never lower than
 * `hint`, the class of its previous version, where there was one (hint_valid;
 * a hint that is no class counts as none).  Then it goes up only to a class
 * of which the file has reached twice the file_min.
 */
unsigned config_class(const struct config *c, uint64_t size, bool hint_valid,
		      unsigned hint);

/* The same among the classes of fixed chunks, `hint` being one of them. */
unsigned config_fixed_class(const struct config *c, uint64_t size,
			    bool hint_valid, unsigned hint);

#endif
