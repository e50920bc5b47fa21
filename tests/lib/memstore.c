#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "tests/lib/memstore.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST 1024

struct memstore_chunk {
	struct id id;
	enum id_kind kind;
	uint8_t *data;
	size_t len;
	bool dropped, damaged;
};

static _Noreturn void
die(const char *why)
{
	(void)fprintf(stderr, "memstore: %s\n", why);
	abort();
}

static void *
take(size_t n)
{
	void *p = calloc(1, n > 0 ? n : 1);

	if (p == NULL)
		die("out of memory");
	return p;
}

static void *
copy(const void *p, size_t len)
{
	void *out = take(len);

	if (len > 0)
		memcpy(out, p, len);
	return out;
}

/* --- the table ----------------------------------------------------------- */

/* Where the id is, or where it would go. */
static struct memstore_chunk **
place(struct memstore *m, const struct id *id)
{
	size_t i = (size_t)id_prefix(id) & (m->slots - 1);

	while (m->slot[i] != NULL && !id_equal(&m->slot[i]->id, id))
		i = (i + 1) & (m->slots - 1);
	return &m->slot[i];
}

static void
grow(struct memstore *m)
{
	struct memstore_chunk **old = m->slot;
	size_t n = m->slots;

	m->slots = 2 * n;
	m->slot = take(m->slots * sizeof(struct memstore_chunk *));
	for (size_t i = 0; i < n; i++)
		if (old[i] != NULL)
			*place(m, &old[i]->id) = old[i];
	free(old);
}

static struct memstore_chunk *
find(struct memstore *m, const struct id *id)
{
	return *place(m, id);
}

/* --- the doors ----------------------------------------------------------- */

static int
get_locked(struct memstore *m, enum id_kind kind, const struct id *id,
	   struct chunk *out, struct err *e)
{
	struct memstore_chunk *c = find(m, id);
	char text[ID_TEXT_LEN];

	m->gets++;
	if (m->gets_left == 0)
		return err_set(e, ERR_SYS, "memstore: no more gets");
	if (m->gets_left != UINT64_MAX)
		m->gets_left--;
	if (c == NULL || c->dropped || c->kind != kind)
		return err_set(e, ERR_MISSING,
			       "memstore: %s chunk %.16s: "
			       "there is none",
			       id_kind_name(kind), id_text(text, id));
	if (c->damaged)
		return err_set(e, ERR_CORRUPT,
			       "memstore: %s chunk %.16s: "
			       "its bytes are not those of its id",
			       id_kind_name(kind), id_text(text, id));
	out->owner = copy(c->data, c->len);
	out->data = out->owner;
	out->len = c->len;
	m->held++;
	return 0;
}

/* The reader is the first member, the sink the second. */
static int
get(struct chunk_reader *r, enum id_kind kind, const struct id *id,
    struct chunk *out, struct err *e)
{
	struct memstore *m = (struct memstore *)(void *)r;
	int rc;

	(void)pthread_mutex_lock(&m->lock);
	rc = get_locked(m, kind, id, out, e);
	(void)pthread_mutex_unlock(&m->lock);
	return rc;
}

static void
release(struct chunk_reader *r, struct chunk *c)
{
	struct memstore *m = (struct memstore *)(void *)r;

	free(c->owner);
	(void)pthread_mutex_lock(&m->lock);
	if (m->held-- == 0)
		die("a chunk was released twice");
	(void)pthread_mutex_unlock(&m->lock);
}

static void
add(struct memstore *m, enum id_kind kind, const void *p, size_t len,
    const struct id *id)
{
	struct memstore_chunk *c;

	if (2 * m->used >= m->slots)
		grow(m);
	if (find(m, id) != NULL)
		return;
	c = take(sizeof(*c));
	c->id = *id;
	c->kind = kind;
	c->data = copy(p, len);
	c->len = len;
	*place(m, id) = c;
	m->used++;
	m->fresh++;
	m->fresh_bytes += len;
}

static int
put(struct chunk_sink *s, enum id_kind kind, const void *p, size_t len,
    struct id *out, struct err *e)
{
	uint8_t *start = (uint8_t *)(void *)s - offsetof(struct memstore, sink);
	struct memstore *m = (struct memstore *)(void *)start;
	int rc = 0;

	if (len == 0 || len > CHUNK_LEN_MAX)
		die("a chunk has a length that no chunk has");
	id_compute(&m->keys, kind, p, len, out);
	(void)pthread_mutex_lock(&m->lock);
	m->puts++;
	if (m->puts_left == 0)
		rc = err_set(e, ERR_SYS, "memstore: no more puts");
	else
		add(m, kind, p, len, out);
	if (m->puts_left != 0 && m->puts_left != UINT64_MAX)
		m->puts_left--;
	(void)pthread_mutex_unlock(&m->lock);
	return rc;
}

/* --- the rest ------------------------------------------------------------ */

struct memstore *
memstore_new(void)
{
	static const uint8_t key[ID_LEN] = "the id key of a store in memory";
	struct memstore *m = take(sizeof(*m));

	m->reader.get = get;
	m->reader.release = release;
	m->sink.put = put;
	m->puts_left = UINT64_MAX;
	m->gets_left = UINT64_MAX;
	id_keys_derive(&m->keys, key);
	if (pthread_mutex_init(&m->lock, NULL) != 0)
		die("no mutex");
	m->slots = SLOTS_FIRST;
	m->slot = take(m->slots * sizeof(struct memstore_chunk *));
	return m;
}

void
memstore_free(struct memstore *m)
{
	if (m == NULL)
		return;
	if (m->held != 0)
		die("a chunk was never released");
	for (size_t i = 0; i < m->slots; i++) {
		if (m->slot[i] == NULL)
			continue;
		free(m->slot[i]->data);
		free(m->slot[i]);
	}
	free(m->slot);
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}

struct id
memstore_put(struct memstore *m, enum id_kind kind, const void *p, size_t len)
{
	struct id id;

	if (chunk_put(&m->sink, kind, p, len, &id, NULL) < 0)
		die("a put failed");
	return id;
}

static struct memstore_chunk *
must_find(struct memstore *m, const struct id *id)
{
	struct memstore_chunk *c = find(m, id);

	if (c == NULL)
		die("no such chunk");
	return c;
}

const uint8_t *
memstore_bytes(struct memstore *m, const struct id *id, size_t *len)
{
	struct memstore_chunk *c = find(m, id);

	if (c == NULL)
		return NULL;
	*len = c->len;
	return c->data;
}

void
memstore_drop(struct memstore *m, const struct id *id)
{
	must_find(m, id)->dropped = true;
}

void
memstore_corrupt(struct memstore *m, const struct id *id)
{
	must_find(m, id)->damaged = true;
}

void
memstore_replace(struct memstore *m, const struct id *id, const void *p,
		 size_t len)
{
	struct memstore_chunk *c = must_find(m, id);
	uint8_t *data = copy(p, len);

	free(c->data);
	c->data = data;
	c->len = len;
}

void
memstore_each(struct memstore *m, memstore_fn fn, void *ctx)
{
	for (size_t i = 0; i < m->slots; i++)
		if (m->slot[i] != NULL)
			fn(ctx, m->slot[i]->kind, &m->slot[i]->id,
			   m->slot[i]->data, m->slot[i]->len);
}
