/*
 * segments - a chunk store inside a fuzzer's input.
 *
 * The input is a sequence of segments, each a u16 length (little-endian) and
 * so many bytes; what the last one lacks is not there.  The first byte of an
 * id is the number of a segment, the rest is not looked at: so bytes alone
 * make trees of nodes, right ones, wrong ones, and ones that share children.
 * Children come before parents; the last segment is the root.
 *
 * As a sink it appends segments to a buffer, so that the real builders make
 * seeds.
 */
#ifndef ASOF_TESTS_FUZZ_SEGMENTS_H
#define ASOF_TESTS_FUZZ_SEGMENTS_H

#include "base/buf.h"
#include "store/chunk.h"

#include <stddef.h>
#include <stdint.h>

#define SEGMENTS_MAX 256

struct segments {
	struct chunk_reader reader;
	struct {
		const uint8_t *p;
		size_t len;
	} at[SEGMENTS_MAX];
	size_t count;
	size_t held; /* chunks got and not released */
	/*
	 * A tree that shares children can be exponentially large: after so
	 * many gets nothing is there any more.
	 */
	size_t gets_left;
};

void segments_init(struct segments *s, const uint8_t *data, size_t len);
struct id segments_root(const struct segments *s);

struct segments_sink {
	struct chunk_sink sink;
	struct buf out;
	size_t count;
};

/* The buffer is the caller's to clear. */
void segments_sink_init(struct segments_sink *s);

/* A sink that keeps nothing; ids are hashes. */
extern struct chunk_sink segments_nowhere;

#endif
