/*
 * id - what a chunk is called: the keyed BLAKE3 hash of its bytes.
 *
 * The only file that sees BLAKE3.  Format: doc/format.md, section 4.
 */
#ifndef ASOF_STORE_ID_H
#define ASOF_STORE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_LEN 32

struct id {
	uint8_t b[ID_LEN];
};

enum id_kind {
	KIND_DATA = 1,  /* contents of files, long xattr values */
	KIND_TREE = 2,  /* nodes of directories */
	KIND_MAP = 3,   /* nodes of file maps */
	KIND_LINKS = 4, /* nodes of link tables */
	KIND_LIST = 5,  /* nodes of lists; directory blocks of packs */
	KIND_RECORD = 6 /* checksum of generation records; no chunk has it */
};
#define KIND_MAX 6

bool id_kind_is_chunk(unsigned kind); /* 1 to 5 */
const char *id_kind_name(unsigned kind);

/* The keys of all kinds, derived from a repository's id key. */
struct id_keys {
	uint8_t key[KIND_MAX + 1][ID_LEN];
};
void id_keys_derive(struct id_keys *k, const uint8_t id_key[ID_LEN]);

/* The id of `len` bytes as a chunk of this kind.  Any thread. */
void id_compute(const struct id_keys *k, enum id_kind kind, const void *p,
		size_t len, struct id *out);

int id_cmp(const struct id *a, const struct id *b); /* as memcmp */
bool id_equal(const struct id *a, const struct id *b);
bool id_is_zero(const struct id *a);

/* First eight bytes, big-endian: sorts as the id does. */
uint64_t id_prefix(const struct id *a);

/* 64 hexadecimal digits and a NUL. */
#define ID_TEXT_LEN 65
const char *id_text(char out[ID_TEXT_LEN], const struct id *a);

/* Plain, unkeyed BLAKE3, cut to `out_len` <= 32 bytes: checksums. */
void hash_plain(const void *p, size_t len, void *out, size_t out_len);


/* The 64-bit number that is derived from a key for a purpose. */
uint64_t id_derive_u64(const uint8_t id_key[ID_LEN], const char *context);

#endif
