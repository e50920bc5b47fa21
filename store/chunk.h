/*
 * chunk - the two small doors through which trees, maps and lists see a
 * store: one to read chunks by id, one to put new ones.
 *
 * store.h and writer.h stand behind them; tests and fuzzers put memory
 * there.
 */
#ifndef ASOF_STORE_CHUNK_H
#define ASOF_STORE_CHUNK_H

#include "store/id.h"

#include <stddef.h>
#include <stdint.h>

struct err;

/* Most bytes one chunk can have; also the limit of a frame's raw length. */
#define CHUNK_LEN_MAX (UINT32_C(16) << 20)

/* Bytes of a chunk, valid until released.  `owner` is the reader's. */
struct chunk {
	const uint8_t *data;
	size_t len;
	void *owner;
};

struct chunk_reader {
	/*
	 * The chunk's bytes, compared with its id.  Returns -1 with
	 * ERR_MISSING, ERR_CORRUPT, ERR_SYS or ERR_NOMEM.  Any thread.
	 */
	int (*get)(struct chunk_reader *r, enum id_kind kind,
		   const struct id *id, struct chunk *out, struct err *e);
	void (*release)(struct chunk_reader *r, struct chunk *c);
};

struct chunk_sink {
	/*
	 * Take `len` bytes (1 ... CHUNK_LEN_MAX) as a chunk of this kind and
	 * say its id.  The bytes are copied where needed.
	 */
	int (*put)(struct chunk_sink *s, enum id_kind kind, const void *p,
		   size_t len, struct id *out, struct err *e);
};

static inline int
chunk_get(struct chunk_reader *r, enum id_kind kind, const struct id *id,
	  struct chunk *out, struct err *e)
{
	return r->get(r, kind, id, out, e);
}

/* Releasing a zeroed chunk does nothing. */
static inline void
chunk_release(struct chunk_reader *r, struct chunk *c)
{
	if (c->owner != NULL)
		r->release(r, c);
	c->data = NULL;
	c->owner = NULL;
	c->len = 0;
}

static inline int
chunk_put(struct chunk_sink *s, enum id_kind kind, const void *p, size_t len,
	  struct id *out, struct err *e)
{
	return s->put(s, kind, p, len, out, e);
}

#endif
