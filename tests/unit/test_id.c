#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/id.h"
#include "base/hex.h"

#include "tests/lib/cmocka_all.h"

#include <pthread.h>
#include <string.h>

/* The input of BLAKE3's published test vectors: 0, 1 ... 250, 0, 1 ... */
#define VECTOR_LEN_MAX 102400
static uint8_t vector_input[VECTOR_LEN_MAX];

static void
fill_vector_input(void)
{
	for (size_t i = 0; i < sizeof(vector_input); i++)
		vector_input[i] = (uint8_t)(i % 251);
}

/* From test_vectors.json of BLAKE3: the first 32 bytes. */
static const struct vector {
	size_t len;
	const char *hash, *keyed;
} vectors[] = {
	/* clang-format off */
	{ 0,
	  "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
	  "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26" },
	{ 1,
	  "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
	  "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b" },
	{ 102400,
	  "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
	  "1c35d1a5811083fd7119f5d5d1ba027b4d01c0c6c49fb6ff2cf75393ea5db4a7" },
	/* clang-format on */
};

/*
 * What doc/format.md, section 4, makes of the id key 00 01 ... 1f, and the
 * id of the four bytes "asof".  Made with another implementation of BLAKE3.
 */
static const struct golden {
	enum id_kind kind;
	const char *name, *key, *id;
} golden[] = {
	/* clang-format off */
	{ KIND_DATA, "data",
	  "6f28662f7d35cea61cde2b333ec00a48f870998a8a1477ffb67acfe5d022d943",
	  "eabc82ba63a9ebe1776ff9d0e9b7dabdc9c78e2aa900b3d595de4db3c6d2e064" },
	{ KIND_TREE, "tree",
	  "98dc96751607eee9a7a568c91ba90c332ce530d7864675301865b5d186767ac7",
	  "2842f3857f9019e1d889d902701d1ceada3fae9641584894e767bd58422c7af6" },
	{ KIND_MAP, "map",
	  "c7356940498b1e3c04f2a49fc6bd45176bef1d458a8f88f9f31961c856d6cb88",
	  "7ca861ae32f8590d2de388e4c49ee07bc397bb8e7a71ebfa29e056582cb3d500" },
	{ KIND_LINKS, "links",
	  "65ed36d295f4dc90831d83197ac229790c7e4561a7c6d495b37b57e2c577d4aa",
	  "55ef5f86e48c42b369d45da5f21804732c7bc6ec5b658cdb509b47ab778c860c" },
	{ KIND_LIST, "list",
	  "0a1014bed0dcc4a023539630194b4cfb5e053d05ec9ea11940d088efc3bb929d",
	  "9328e6e4b807dc87472407209c3cdba3edce47df6ab4f81104b56c486d6553fb" },
	{ KIND_RECORD, "record",
	  "04359572e6259c97aedac036ceba3dff6868e0e2a2bbc970bc0240629ce56b5f",
	  "7ed17bfbe462efa46efa95fac36bdd7a657c7821e436dc7efbfc2da8b2fffd3f" },
	/* clang-format on */
};

static void
golden_keys(struct id_keys *k)
{
	uint8_t id_key[ID_LEN];

	for (size_t i = 0; i < sizeof(id_key); i++)
		id_key[i] = (uint8_t)i;
	id_keys_derive(k, id_key);
}

static void
hash_plain_agrees_with_the_published_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(vectors); i++) {
		struct id digest;
		char text[ID_TEXT_LEN];

		hash_plain(vector_input, vectors[i].len, digest.b, ID_LEN);
		assert_string_equal(id_text(text, &digest), vectors[i].hash);
	}
}

static void
hash_plain_cut_short_is_the_beginning_of_the_whole(void **state)
{
	uint8_t whole[32];

	(void)state;
	hash_plain("asof", 4, whole, sizeof(whole));
	for (size_t n = 0; n <= sizeof(whole); n++) {
		uint8_t part[33];

		memset(part, 0x5a, sizeof(part));
		hash_plain("asof", 4, part, n);
		assert_memory_equal(part, whole, n);
		assert_int_equal(part[n], 0x5a);
	}
}

static void
id_compute_agrees_with_the_published_vectors(void **state)
{
	struct id_keys k = { 0 };

	(void)state;
	memcpy(k.key[KIND_MAP], "whats the Elvish word for friend", ID_LEN);
	for (size_t i = 0; i < N_OF(vectors); i++) {
		struct id id;
		char text[ID_TEXT_LEN];

		id_compute(&k, KIND_MAP, vector_input, vectors[i].len, &id);
		assert_string_equal(id_text(text, &id), vectors[i].keyed);
	}
}

static void
id_keys_and_ids_are_those_of_the_format(void **state)
{
	struct id_keys k;

	(void)state;
	golden_keys(&k);
	for (size_t i = 0; i < N_OF(golden); i++) {
		struct id key;
		struct id id;
		char text[ID_TEXT_LEN];

		memcpy(key.b, k.key[golden[i].kind], ID_LEN);
		assert_string_equal(id_text(text, &key), golden[i].key);
		id_compute(&k, golden[i].kind, "asof", 4, &id);
		assert_string_equal(id_text(text, &id), golden[i].id);
	}
}

static void
id_of_no_bytes_needs_no_pointer(void **state)
{
	struct id_keys k;
	struct id a;
	struct id b;

	(void)state;
	golden_keys(&k);
	id_compute(&k, KIND_DATA, NULL, 0, &a);
	id_compute(&k, KIND_DATA, "", 0, &b);
	assert_true(id_equal(&a, &b));
}

static void
id_derives_a_number_from_key_and_context(void **state)
{
	uint8_t id_key[ID_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(id_key); i++)
		id_key[i] = (uint8_t)i;
	assert_true(id_derive_u64(id_key, "asof 2026-11-21 chunker seed") ==
		    UINT64_C(0x68fb43bb67e931c4));
	assert_true(id_derive_u64(id_key, "asof 2026-11-21 another") !=
		    UINT64_C(0x68fb43bb67e931c4));
	id_key[31] ^= 1;
	assert_true(id_derive_u64(id_key, "asof 2026-11-21 chunker seed") !=
		    UINT64_C(0x68fb43bb67e931c4));
}

static void
id_kinds_have_names_and_all_but_record_are_of_chunks(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(golden); i++) {
		assert_string_equal(id_kind_name(golden[i].kind),
				    golden[i].name);
		assert_int_equal(id_kind_is_chunk(golden[i].kind),
				 golden[i].kind != KIND_RECORD);
	}
	assert_false(id_kind_is_chunk(0));
	assert_false(id_kind_is_chunk(KIND_MAX + 1));
	assert_false(id_kind_is_chunk(257));
	assert_string_equal(id_kind_name(0), "unknown");
	assert_string_equal(id_kind_name(KIND_MAX + 1), "unknown");
	assert_string_equal(id_kind_name(UINT32_MAX), "unknown");
}

static void
id_order_is_that_of_the_bytes_and_of_the_prefix(void **state)
{
	struct id a = { { 0 } };
	struct id b = { { 0 } };

	(void)state;
	assert_true(id_is_zero(&a));
	assert_true(id_equal(&a, &b));
	assert_int_equal(id_cmp(&a, &b), 0);
	for (size_t i = 0; i < ID_LEN; i++) {
		memset(&b, 0, sizeof(b));
		b.b[i] = 0x80;
		assert_false(id_is_zero(&b));
		assert_false(id_equal(&a, &b));
		assert_true(id_cmp(&a, &b) < 0);
		assert_true(id_cmp(&b, &a) > 0);
		assert_int_equal(id_prefix(&b) > id_prefix(&a), i < 8);
	}
	memcpy(b.b, "\x01\x02\x03\x04\x05\x06\x07\x88\x99", 9);
	assert_true(id_prefix(&b) == UINT64_C(0x0102030405060788));
}

static void
hex_is_written_in_lower_case_and_read_back(void **state)
{
	static const uint8_t bytes[4] = { 0x00, 0x1f, 0xa0, 0xff };
	uint8_t back[4];
	char text[9];

	(void)state;
	hex_format(text, bytes, sizeof(bytes));
	assert_string_equal(text, "001fa0ff");
	assert_true(hex_parse(back, sizeof(back), text));
	assert_memory_equal(back, bytes, sizeof(bytes));
	hex_format(text, bytes, 0);
	assert_string_equal(text, "");
	assert_true(hex_parse(back, 0, ""));
}

static void
hex_parse_refuses_what_is_no_hex_of_that_length(void **state)
{
	static const char *const bad[] = {
		/* clang-format off */
		"", "0", "001", "0011ff", "00110", "001G", "00 1", "001F",
		"/011", ":011", "`011", "g011", "0x11", " 0011", "0011 ",
		"-011", "00\n1", "\377011",
		/* clang-format on */
	};
	uint8_t out[2] = { 0x5a, 0x5a };

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++) {
		assert_false(hex_parse(out, sizeof(out), bad[i]));
		assert_int_equal(out[0], 0x5a);
		assert_int_equal(out[1], 0x5a);
	}
}

static void *
compute_golden(void *arg)
{
	const struct id_keys *k = arg;

	for (size_t i = 0; i < N_OF(golden); i++) {
		struct id id;
		char text[ID_TEXT_LEN];

		id_compute(k, golden[i].kind, "asof", 4, &id);
		if (strcmp(id_text(text, &id), golden[i].id) != 0)
			return arg;
	}
	return NULL;
}

static void
id_compute_works_in_many_threads_at_once(void **state)
{
	struct id_keys k;
	pthread_t t[8];

	(void)state;
	golden_keys(&k);
	for (size_t i = 0; i < N_OF(t); i++)
		assert_int_equal(
			pthread_create(&t[i], NULL, compute_golden, &k), 0);
	for (size_t i = 0; i < N_OF(t); i++) {
		void *failed;

		assert_int_equal(pthread_join(t[i], &failed), 0);
		assert_null(failed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, so that the threads hash before anybody else does. */
		cmocka_unit_test(id_compute_works_in_many_threads_at_once),
		cmocka_unit_test(hash_plain_agrees_with_the_published_vectors),
		cmocka_unit_test(
			hash_plain_cut_short_is_the_beginning_of_the_whole),
		cmocka_unit_test(id_compute_agrees_with_the_published_vectors),
		cmocka_unit_test(id_keys_and_ids_are_those_of_the_format),
		cmocka_unit_test(id_of_no_bytes_needs_no_pointer),
		cmocka_unit_test(id_derives_a_number_from_key_and_context),
		cmocka_unit_test(
			id_kinds_have_names_and_all_but_record_are_of_chunks),
		cmocka_unit_test(
			id_order_is_that_of_the_bytes_and_of_the_prefix),
		cmocka_unit_test(hex_is_written_in_lower_case_and_read_back),
		cmocka_unit_test(
			hex_parse_refuses_what_is_no_hex_of_that_length),
	};

	fill_vector_input();
	return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
