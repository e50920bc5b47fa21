#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "tests/fuzz/segments.h"

#include "base/cursor.h"
#include "base/err.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define GETS_MAX 500

static int
get(struct chunk_reader *r, enum id_kind kind, const struct id *id,
    struct chunk *out, struct err *e)
{
	struct segments *s = (struct segments *)(void *)r;
	size_t len;
	uint8_t *copy;

	(void)kind;
	if (s->gets_left == 0 || id->b[0] >= s->count)
		return err_set(e, ERR_MISSING, "there is no such segment");
	s->gets_left--;
	/* A copy of this length, so that a read beyond it is seen. */
	len = s->at[id->b[0]].len;
	copy = malloc(len > 0 ? len : 1);
	MUST(copy != NULL);
	memcpy(copy, s->at[id->b[0]].p, len);
	out->data = copy;
	out->len = len;
	out->owner = copy;
	s->held++;
	return 0;
}

static void
release(struct chunk_reader *r, struct chunk *c)
{
	struct segments *s = (struct segments *)(void *)r;

	MUST(s->held > 0);
	s->held--;
	free(c->owner);
}

void
segments_init(struct segments *s, const uint8_t *data, size_t len)
{
	struct rd r = rd_init(data, len);

	memset(s, 0, sizeof(*s));
	s->reader.get = get;
	s->reader.release = release;
	s->gets_left = GETS_MAX;
	while (r.left >= 2 && s->count < SEGMENTS_MAX) {
		size_t n = rd_u16(&r);

		if (n > r.left)
			n = r.left;
		s->at[s->count].p = rd_bytes(&r, n);
		s->at[s->count].len = n;
		s->count++;
	}
}

struct id
segments_root(const struct segments *s)
{
	struct id id = { { 0 } };

	id.b[0] = (uint8_t)(s->count > 0 ? s->count - 1 : 0);
	/* Not zero, which stands for "none" in places. */
	id.b[1] = 1;
	return id;
}

static int
put(struct chunk_sink *sink, enum id_kind kind, const void *p, size_t len,
    struct id *out, struct err *e)
{
	struct segments_sink *s = (struct segments_sink *)(void *)sink;

	(void)kind;
	MUST(len <= UINT16_MAX && s->count < SEGMENTS_MAX);
	wr_u16(&s->out, (uint16_t)len);
	wr_bytes(&s->out, p, len);
	memset(out, 0, sizeof(*out));
	out->b[0] = (uint8_t)s->count++;
	out->b[1] = 1;
	return buf_ok(&s->out, e);
}

void
segments_sink_init(struct segments_sink *s)
{
	memset(s, 0, sizeof(*s));
	s->sink.put = put;
}

static int
put_nowhere(struct chunk_sink *sink, enum id_kind kind, const void *p,
	    size_t len, struct id *out, struct err *e)
{
	(void)sink;
	(void)kind;
	(void)e;
	hash_plain(p, len, out->b, ID_LEN);
	return 0;
}

struct chunk_sink segments_nowhere = { put_nowhere };
