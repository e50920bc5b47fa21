/*
 * links - the table of hard-linked files of a generation (doc/format.md,
 * section 10): which names share an inode, and its number in the mount.
 */
#ifndef ASOF_ENGINE_LINKS_H
#define ASOF_ENGINE_LINKS_H

#include "store/chunk.h"

#include <stddef.h>
#include <stdint.h>

struct err;

struct link {
	uint64_t fs, ino;  /* the link id */
	uint64_t inside;   /* names of it in this generation */
	struct id tree;    /* directory of the first of them */
	const uint8_t *name;
	size_t name_len;
};

/* Items must rise by (fs, ino).  An empty table is a zero id. */
struct links_builder;
int links_builder_new(struct chunk_sink *sink, struct links_builder **out,
		      struct err *e);
int links_builder_add(struct links_builder *b, const struct link *l,
		      struct err *e);
int links_builder_finish(struct links_builder *b, struct id *root,
			 uint64_t *count, struct err *e);
void links_builder_free(struct links_builder *b);

/* A found link with what keeps its name alive. */
struct link_hit {
	struct chunk_reader *reader;
	struct chunk chunk;
	struct link link;
	uint64_t rank;
};
void link_hit_clear(struct link_hit *h);

/* 1 when it is not in the table. */
int links_find(struct chunk_reader *r, const struct id *root, uint64_t fs,
	       uint64_t ino, struct link_hit *out, struct err *e);
int links_at(struct chunk_reader *r, const struct id *root, uint64_t rank,
	     struct link_hit *out, struct err *e);

#endif
