/*
 * config.c
 *
 * Decoding asks in the order of what can be trusted: magic and version say
 * whether these are the fields that this program knows, the checksum says
 * whether they are what was written, and only then is a value worth an
 * opinion.  So damage is never taken for a newer format, save in the
 * version itself.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "store/config.h"

#include "base/cursor.h"
#include "base/err.h"
#include "base/io.h"

#include <inttypes.h>
#include <string.h>

#define MAGIC        "asofrepo"
#define MAGIC_LEN    8
#define VERSION      1
#define HEADER_LEN   (MAGIC_LEN + 4 + 4 + 3 * 8)
#define BODY_LEN_AT  (MAGIC_LEN + 4)
#define BODY_MAX     65536
#define CHECKSUM_LEN 32

#define SUITE_NONE     0
#define HASH_BLAKE3    1
#define CHUNKER_MINCDC 1
#define AVG_MIN        (UINT32_C(4) << 10)
#define AVG_MAX        (UINT32_C(4) << 20)
#define NSEC_MAX       999999999

#define KIB UINT32_C(1024)
#define MIB (KIB * 1024)
#define GIB (UINT64_C(1) << 30)

/* Today's defaults; doc/decisions/001-chunker.md has the figures. */
static const struct chunk_class default_classes[] = {
	{ 0, 16 * KIB },
	{ 64 * MIB, 256 * KIB },
	{ 4 * GIB, MIB },
};
static const struct chunk_class default_fixed[] = {
	{ 0, 16 * KIB },
	{ 64 * GIB, 64 * KIB },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int
config_new(struct config *out, struct err *e)
{
	struct config c = {
		.created = time_now(),
		.suite = SUITE_NONE,
		.hash = HASH_BLAKE3,
		.chunker = CHUNKER_MINCDC,
		.classes = COUNT(default_classes),
		.fixed_classes = COUNT(default_fixed),
	};

	if (io_random(c.id, sizeof(c.id), e) < 0)
		return -1;
	if (io_random(c.id_key, sizeof(c.id_key), e) < 0)
		return -1;
	c.chunker_seed =
		id_derive_u64(c.id_key, "asof 2026-11-21 chunker seed");
	memcpy(c.class_table, default_classes, sizeof(default_classes));
	memcpy(c.fixed_table, default_fixed, sizeof(default_fixed));
	*out = c;
	return 0;
}

/* --- what a valid config is ---------------------------------------------- */

static bool
classes_ok(const struct chunk_class *t, size_t n)
{
	if (n < 1 || n > CONFIG_CLASSES_MAX || t[0].file_min != 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint32_t avg = t[i].avg;

		if (avg < AVG_MIN || avg > AVG_MAX || (avg & (avg - 1)) != 0)
			return false;
		if (i > 0 &&
		    (t[i].file_min <= t[i - 1].file_min || avg <= t[i - 1].avg))
			return false;
	}
	return true;
}

/* What this program does not know how to read in it, or NULL. */
static const char *
unknown_part(const struct config *c)
{
	if ((c->features.read & ~FEATURES_READ_KNOWN) != 0)
		return "a feature";
	if (c->suite != SUITE_NONE)
		return "an encryption suite";
	if (c->hash != HASH_BLAKE3)
		return "a hash";
	if (c->chunker != CHUNKER_MINCDC)
		return "a chunker";
	return NULL;
}

/* --- encoding ------------------------------------------------------------ */

static void
put_classes(struct buf *b, const struct chunk_class *t, size_t n)
{
	wr_varint(b, n);
	for (size_t i = 0; i < n; i++) {
		wr_varint(b, t[i].file_min);
		wr_varint(b, t[i].avg);
	}
}

static void
put_body(struct buf *b, const struct config *c)
{
	wr_bytes(b, c->id, sizeof(c->id));
	wr_svarint(b, c->created.sec);
	wr_varint(b, c->created.nsec);
	wr_u8(b, c->suite);
	wr_u8(b, c->hash);
	wr_u8(b, c->chunker);
	wr_u64(b, c->chunker_seed);
	wr_bytes(b, c->id_key, sizeof(c->id_key));
	put_classes(b, c->class_table, c->classes);
	put_classes(b, c->fixed_table, c->fixed_classes);
}

int
config_encode(const struct config *c, struct buf *out, struct err *e)
{
	struct buf b = { 0 };
	uint8_t sum[CHECKSUM_LEN];
	const char *unknown = unknown_part(c);
	int rc = -1;

	if (unknown != NULL)
		return err_set(e, ERR_UNSUPPORTED,
			       "the config names %s that this program does "
			       "not know",
			       unknown);
	if (!classes_ok(c->class_table, c->classes) ||
	    !classes_ok(c->fixed_table, c->fixed_classes) ||
	    c->created.nsec > NSEC_MAX)
		return err_set(e, ERR_USAGE,
			       "the config has a value out of range");
	wr_bytes(&b, MAGIC, MAGIC_LEN);
	wr_u32(&b, VERSION);
	wr_u32(&b, 0);
	wr_u64(&b, c->features.read);
	wr_u64(&b, c->features.write);
	wr_u64(&b, c->features.ignorable);
	put_body(&b, c);
	if (buf_ok(&b, e) < 0)
		goto out;
	wr_u32_at(&b, BODY_LEN_AT, (uint32_t)(b.len - HEADER_LEN));
	hash_plain(b.data, b.len, sum, sizeof(sum));
	wr_bytes(&b, sum, sizeof(sum));
	if (buf_ok(&b, e) < 0)
		goto out;
	wr_bytes(out, b.data, b.len);
	rc = buf_ok(out, e);
out:
	buf_clear(&b);
	return rc;
}

/* --- decoding ------------------------------------------------------------ */

static int
corrupt(const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "config: %s", what);
}

static int
unsupported(const char *what, struct err *e)
{
	return err_set(e, ERR_UNSUPPORTED,
		       "config: the repository uses %s that this program does "
		       "not know; a newer asof is needed",
		       what);
}

/* Magic, version and length; leaves *body_len checked against `len`. */
static int
decode_header(struct rd *r, size_t len, size_t *body_len, struct err *e)
{
	const uint8_t *magic = rd_bytes(r, MAGIC_LEN);
	uint32_t version;
	uint32_t body;

	if (magic == NULL || memcmp(magic, MAGIC, MAGIC_LEN) != 0)
		return err_set(e, ERR_USAGE,
			       "config: not a repository: it does not begin "
			       "with \"%s\"",
			       MAGIC);
	version = rd_u32(r);
	if (!rd_ok(r))
		return corrupt("it ends too soon", e);
	if (version != VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			       "config: format version %" PRIu32
			       ", this program knows version %d",
			       version, VERSION);
	body = rd_u32(r);
	if (!rd_ok(r) || body > BODY_MAX ||
	    len != (size_t)HEADER_LEN + body + CHECKSUM_LEN)
		return corrupt("its length is not what it says", e);
	*body_len = body;
	return 0;
}

static void
get_classes(struct rd *r, struct chunk_class *t, size_t *n)
{
	*n = (size_t)rd_varint_max(r, CONFIG_CLASSES_MAX);
	for (size_t i = 0; i < *n; i++) {
		t[i].file_min = rd_varint(r);
		t[i].avg = (uint32_t)rd_varint_max(r, AVG_MAX);
	}
}

static int
decode_body(struct rd *r, struct config *c, struct err *e)
{
	const char *unknown;

	rd_copy(r, c->id, sizeof(c->id));
	c->created.sec = rd_svarint(r);
	c->created.nsec = (uint32_t)rd_varint_max(r, NSEC_MAX);
	c->suite = rd_u8(r);
	c->hash = rd_u8(r);
	c->chunker = rd_u8(r);
	if (!rd_ok(r))
		return corrupt("its body is damaged", e);
	/* What follows an unknown suite may have another form. */
	unknown = unknown_part(c);
	if (unknown != NULL)
		return unsupported(unknown, e);
	c->chunker_seed = rd_u64(r);
	rd_copy(r, c->id_key, sizeof(c->id_key));
	get_classes(r, c->class_table, &c->classes);
	get_classes(r, c->fixed_table, &c->fixed_classes);
	if (!rd_done(r))
		return corrupt("its body is damaged", e);
	if (!classes_ok(c->class_table, c->classes) ||
	    !classes_ok(c->fixed_table, c->fixed_classes))
		return corrupt("its classes of chunks make no sense", e);
	return 0;
}

int
config_decode(const void *p, size_t len, struct config *out, struct err *e)
{
	struct config c = { 0 };
	struct rd r = rd_init(p, len);
	struct rd body;
	size_t body_len = 0;
	const uint8_t *bytes;
	const uint8_t *stored_sum;
	uint8_t sum[CHECKSUM_LEN];

	if (decode_header(&r, len, &body_len, e) < 0)
		return -1;
	c.features.read = rd_u64(&r);
	c.features.write = rd_u64(&r);
	c.features.ignorable = rd_u64(&r);
	bytes = rd_bytes(&r, body_len);
	stored_sum = rd_bytes(&r, CHECKSUM_LEN);
	hash_plain(p, len - CHECKSUM_LEN, sum, sizeof(sum));
	if (!rd_done(&r) || memcmp(sum, stored_sum, sizeof(sum)) != 0)
		return corrupt("its checksum is wrong", e);
	if ((c.features.read & ~FEATURES_READ_KNOWN) != 0)
		return unsupported("a feature", e);
	body = rd_init(bytes, body_len);
	if (decode_body(&body, &c, e) < 0)
		return -1;
	*out = c;
	return 0;
}

/* --- classes ------------------------------------------------------------- */

static unsigned
find_class(const struct chunk_class *table, size_t classes, uint64_t size,
	   bool hint_valid, unsigned hint)
{
	bool known = hint_valid && hint < classes;
	unsigned class = known ? hint : 0;

	/* Half the size, because twice the limit may not fit. */
	uint64_t reached = known ? size / 2 : size;

	while (class + 1 < classes && reached >= table[class + 1].file_min)
		class ++;
	return class;
}

unsigned
config_class(const struct config *c, uint64_t size, bool hint_valid,
	     unsigned hint)
{
	return find_class(c->class_table, c->classes, size, hint_valid, hint);
}

unsigned
config_fixed_class(const struct config *c, uint64_t size, bool hint_valid,
		   unsigned hint)
{
	return find_class(c->fixed_table, c->fixed_classes, size, hint_valid,
			  hint);
}
