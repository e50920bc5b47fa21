/*
 * id.c
 *
 * The keys of the kinds are derived once for a repository and then only
 * read, so hashing needs no state beyond the hasher on the stack.
 */
#include "store/id.h"
#include "base/hex.h"

#include <blake3.h>
#include <string.h>

static const char *const kind_names[KIND_MAX + 1] = {
	[KIND_DATA] = "data",   [KIND_TREE] = "tree", [KIND_MAP] = "map",
	[KIND_LINKS] = "links", [KIND_LIST] = "list", [KIND_RECORD] = "record",
};

/* The whole strings, as they stand in doc/format.md: they can be grepped. */
static const char *const kind_contexts[KIND_MAX + 1] = {
	[KIND_DATA] = "asof 2026-11-21 chunk id data",
	[KIND_TREE] = "asof 2026-11-21 chunk id tree",
	[KIND_MAP] = "asof 2026-11-21 chunk id map",
	[KIND_LINKS] = "asof 2026-11-21 chunk id links",
	[KIND_LIST] = "asof 2026-11-21 chunk id list",
	[KIND_RECORD] = "asof 2026-11-21 chunk id record",
};

/*
 * BLAKE3's C code finds out what the CPU can do at its first hash, into a
 * variable without a lock.  One hash before there are threads makes that no
 * race.
 */
__attribute__((constructor)) static void
warm_up(void)
{
	uint8_t digest[ID_LEN];

	hash_plain("", 1, digest, sizeof(digest));
}

bool
id_kind_is_chunk(unsigned kind)
{
	return kind >= KIND_DATA && kind <= KIND_LIST;
}

const char *
id_kind_name(unsigned kind)
{
	if (kind > KIND_MAX || kind_names[kind] == NULL)
		return "unknown";
	return kind_names[kind];
}

static void
derive(const uint8_t id_key[ID_LEN], const char *context, void *out,
       size_t out_len)
{
	blake3_hasher h;

	blake3_hasher_init_derive_key(&h, context);
	blake3_hasher_update(&h, id_key, ID_LEN);
	blake3_hasher_finalize(&h, out, out_len);
}

void
id_keys_derive(struct id_keys *k, const uint8_t id_key[ID_LEN])
{
	memset(k->key[0], 0, ID_LEN);
	for (unsigned kind = KIND_DATA; kind <= KIND_MAX; kind++)
		derive(id_key, kind_contexts[kind], k->key[kind], ID_LEN);
}

void
id_compute(const struct id_keys *k, enum id_kind kind, const void *p,
	   size_t len, struct id *out)
{
	blake3_hasher h;

	blake3_hasher_init_keyed(&h, k->key[kind]);
	blake3_hasher_update(&h, p, len);
	blake3_hasher_finalize(&h, out->b, ID_LEN);
}

int
id_cmp(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, ID_LEN);
}

bool
id_equal(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, ID_LEN) == 0;
}

bool
id_is_zero(const struct id *a)
{
	static const struct id zero;

	return id_equal(a, &zero);
}

uint64_t
id_prefix(const struct id *a)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | a->b[i];
	return v;
}

const char *
id_text(char out[ID_TEXT_LEN], const struct id *a)
{
	hex_format(out, a->b, ID_LEN);
	return out;
}

void
hash_plain(const void *p, size_t len, void *out, size_t out_len)
{
	blake3_hasher h;

	blake3_hasher_init(&h);
	blake3_hasher_update(&h, p, len);
	blake3_hasher_finalize(&h, out, out_len);
}

uint64_t
id_derive_u64(const uint8_t id_key[ID_LEN], const char *context)
{
	uint8_t b[8];
	uint64_t v = 0;

	derive(id_key, context, b, sizeof(b));
	for (int i = 7; i >= 0; i--)
		v = v << 8 | b[i];
	return v;
}
