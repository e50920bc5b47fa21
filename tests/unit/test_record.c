/*
 * record: what goes in comes out; damage, newer formats and what could not be
 * are refused, each for what it is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/record.h"

#include "base/err.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/damage.h"
#include "tests/lib/samples.h"

#include <stdlib.h>
#include <string.h>

static struct id_keys keys;

static int
make_keys(void **state)
{
	static const uint8_t key[ID_LEN] = "a key";

	(void)state;
	id_keys_derive(&keys, key);
	return 0;
}

/* --- what is right ------------------------------------------------------- */

static void
same_ids(const struct record *a, const struct record *b)
{
	assert_int_equal(a->number, b->number);
	assert_memory_equal(a->id, b->id, 16);
	assert_memory_equal(a->repository_id, b->repository_id, 16);
	assert_memory_equal(a->set_id, b->set_id, 16);
	assert_string_equal(a->set, b->set);
	assert_string_equal(a->machine, b->machine);
	assert_string_equal(a->host, b->host);
	assert_int_equal(a->session_type, b->session_type);
	assert_int_equal(a->effective_type, b->effective_type);
	assert_int_equal(ts_cmp(a->start, b->start), 0);
	assert_int_equal(ts_cmp(a->instant, b->instant), 0);
	assert_int_equal(ts_cmp(a->end, b->end), 0);
}

static void
same_names(const struct record_name *a, const struct record_name *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(a[i].id, b[i].id);
		assert_string_equal(a[i].name, b[i].name);
	}
}

static void
same_tables(const struct record *a, const struct record *b)
{
	assert_int_equal(a->source_count, b->source_count);
	for (size_t i = 0; i < a->source_count; i++) {
		assert_string_equal(a->source[i].typed, b->source[i].typed);
		assert_string_equal(a->source[i].resolved,
				    b->source[i].resolved);
	}
	assert_int_equal(a->fs_count, b->fs_count);
	for (size_t i = 0; i < a->fs_count; i++) {
		assert_string_equal(a->fs[i].id, b->fs[i].id);
		assert_int_equal(a->fs[i].type, b->fs[i].type);
		assert_string_equal(a->fs[i].mount_point, b->fs[i].mount_point);
	}
	assert_int_equal(a->user_count, b->user_count);
	same_names(a->user, b->user, a->user_count);
	assert_int_equal(a->group_count, b->group_count);
	same_names(a->group, b->group, a->group_count);
	assert_int_equal(a->base_count, b->base_count);
	for (size_t i = 0; i < a->base_count; i++) {
		assert_int_equal(a->base[i].number, b->base[i].number);
		assert_memory_equal(a->base[i].id, b->base[i].id, 16);
	}
	assert_int_equal(a->exclude_count, b->exclude_count);
	for (size_t i = 0; i < a->exclude_count; i++)
		assert_string_equal(a->exclude[i], b->exclude[i]);
}

static void
same_record(const struct record *a, const struct record *b)
{
	same_ids(a, b);
	same_tables(a, b);
	assert_memory_equal(&a->features, &b->features, sizeof(a->features));
	assert_int_equal(a->root.type, b->root.type);
	assert_int_equal(a->root.name_len, 0);
	assert_int_equal(a->root.mode, b->root.mode);
	assert_true(id_equal(&a->root.dir.id, &b->root.dir.id));
	assert_int_equal(a->root.dir.beneath, b->root.dir.beneath);
	assert_int_equal(a->session.type, b->session.type);
	if (a->session.type != 0) {
		assert_int_equal(a->session.name_len, 0);
		assert_true(id_equal(&a->session.dir.id, &b->session.dir.id));
	}
	assert_true(id_equal(&a->links, &b->links));
	assert_int_equal(a->link_count, b->link_count);
	assert_true(id_equal(&a->exceptions, &b->exceptions));
	assert_int_equal(a->exception_count, b->exception_count);
	assert_memory_equal(&a->counts, &b->counts, sizeof(a->counts));
	assert_int_equal(a->incrementals, b->incrementals);
	assert_int_equal(a->differentials, b->differentials);
	assert_string_equal(a->tool, b->tool != NULL ? b->tool : "");
	assert_string_equal(a->comment, b->comment != NULL ? b->comment : "");
}

/* Encode, decode, compare, encode again, compare. */
static void
there_and_back(const struct record *r)
{
	struct record back;
	struct buf first = { 0 };
	struct buf again = { 0 };
	struct err e = { 0 };

	if (record_encode(r, &keys, &first, &e) < 0)
		fail_msg("%s", e.text);
	if (record_decode(first.data, first.len, &keys, r->repository_id, &back,
			  &e) < 0)
		fail_msg("%s", e.text);
	same_record(&back, r);
	assert_int_equal(record_encode(&back, &keys, &again, &e), 0);
	assert_int_equal(first.len, again.len);
	assert_memory_equal(first.data, again.data, first.len);
	/* All of it is the record's own. */
	memset(first.data, 0xee, first.len);
	same_record(&back, r);
	record_clear(&back);
	assert_null(back.memory.data);
	buf_clear(&first);
	buf_clear(&again);
}

static void
a_record_comes_back_as_it_was(void **state)
{
	struct record r = sample_record();

	(void)state;
	there_and_back(&r);
}

static void
a_record_with_the_least_in_it_comes_back(void **state)
{
	struct record r = sample_record();

	(void)state;
	r.source_count = 0;
	r.fs_count = 0;
	r.user_count = 0;
	r.group_count = 0;
	r.base_count = 0;
	r.exclude_count = 0;
	r.machine = "";
	r.host = "";
	r.tool = NULL;
	r.comment = NULL;
	memset(&r.links, 0, sizeof(r.links));
	r.link_count = 0;
	memset(&r.exceptions, 0, sizeof(r.exceptions));
	r.exception_count = 0;
	r.number = 1;
	there_and_back(&r);
	r.number = RECORD_NUMBER_MAX;
	there_and_back(&r);
}

static void
long_tables_come_back(void **state)
{
	struct record r = sample_record();
	struct record_name *users = calloc(RECORD_LIST_MAX, sizeof(*users));
	const char **excludes = calloc(RECORD_LIST_MAX, sizeof(*excludes));
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_non_null(users);
	assert_non_null(excludes);
	for (uint32_t i = 0; i < RECORD_LIST_MAX; i++) {
		users[i] = (struct record_name){ i, i % 3 ? "somebody" : "" };
		excludes[i] = "";
	}
	r.user = users;
	r.user_count = RECORD_LIST_MAX;
	r.exclude = excludes;
	r.exclude_count = RECORD_LIST_MAX;
	there_and_back(&r);
	r.user = NULL;
	r.user_count = 0;
	r.exclude_count = 0;
	r.group = users;
	r.group_count = RECORD_LIST_MAX;
	there_and_back(&r);
	/* One more is not written, because it could not be read. */
	users = realloc(users, (RECORD_LIST_MAX + 1) * sizeof(*users));
	assert_non_null(users);
	users[RECORD_LIST_MAX] = users[0];
	r.group = users;
	r.group_count = RECORD_LIST_MAX + 1;
	assert_int_equal(record_encode(&r, &keys, &b, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	assert_int_equal(b.len, 0);
	free(users);
	free(excludes);
	buf_clear(&b);
}

static void
types_have_names(void **state)
{
	static const struct {
		const char *name;
		unsigned type;
		bool base;
	} rows[] = {
		{ "full", GEN_FULL, true },
		{ "incremental", GEN_INCREMENTAL, true },
		{ "differential", GEN_DIFFERENTIAL, false },
		{ "log", GEN_LOG, false },
		{ "copy", GEN_COPY, false },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		assert_string_equal(generation_type_name(rows[i].type),
				    rows[i].name);
		assert_int_equal(generation_type_parse(rows[i].name),
				 rows[i].type);
		assert_int_equal(generation_type_is_base(rows[i].type) != 0,
				 rows[i].base);
	}
	assert_string_equal(generation_type_name(0), "unknown");
	assert_string_equal(generation_type_name(6), "unknown");
	assert_int_equal(generation_type_parse(""), 0);
	assert_int_equal(generation_type_parse("Full"), 0);
	assert_int_equal(generation_type_parse("fullest"), 0);
}

/* --- what is not written ------------------------------------------------- */

static void
nothing_is_written_that_could_not_be_read(void **state)
{
	static char long_name[SET_NAME_MAX + 2];
	struct record r;
	struct err e = { 0 };
	struct buf b = { 0 };

	(void)state;
	memset(long_name, 's', SET_NAME_MAX + 1);
#define REFUSED(change, word)                                                  \
	do {                                                                   \
		r = sample_record();                                           \
		change;                                                        \
		err_clear(&e);                                                 \
		assert_int_equal(record_encode(&r, &keys, &b, &e), -1);        \
		if (strstr(e.text, word) == NULL)                              \
			fail_msg("%s: %s", #change, e.text);                   \
		assert_int_equal(b.len, 0);                                    \
	} while (0)
	REFUSED(r.number = 0, "number");
	REFUSED(r.number = RECORD_NUMBER_MAX + 1, "number");
	REFUSED(r.session_type = 0, "type");
	REFUSED(r.effective_type = 6, "type");
	REFUSED(r.set = "", "set");
	REFUSED(r.set = NULL, "set");
	REFUSED(r.set = long_name, "set");
	REFUSED(r.end.nsec = 1000000000, "times");
	REFUSED(r.link_count = 0, "links");
	REFUSED(memset(&r.links, 0, sizeof(r.links)), "links");
	REFUSED(r.exception_count = 0, "exceptions");
	REFUSED(r.features.read = 1, "newer");
	REFUSED(r.root.name = (const uint8_t *)"x";
		r.root.name_len = 1, "root");
	REFUSED(r.root.type = ENTRY_FIFO, "top");
	buf_clear(&b);
}

/* --- what is refused ----------------------------------------------------- */

#define BODY_AT 40 /* magic, version, length, features */

/* The sum of a record that was changed, made right again. */
static void
seal(struct buf *b)
{
	uint8_t *sum = b->data + b->len - ID_LEN;
	struct id id;

	wr_u32_at(b, 12, (uint32_t)(b->len - BODY_AT - ID_LEN));
	id_compute(&keys, KIND_RECORD, b->data, b->len - ID_LEN, &id);
	memcpy(sum, id.b, ID_LEN);
}

/*
 * The sample with the field `tag` replaced (value NULL: left out), or put in
 * where it belongs.
 */
static void
encode_with(struct buf *out, uint64_t tag, const void *value, size_t len)
{
	struct record r = sample_record();
	struct buf b = { 0 };
	struct rd in;
	bool done = value == NULL;

	assert_int_equal(record_encode(&r, &keys, &b, NULL), 0);
	buf_reset(out);
	wr_bytes(out, b.data, BODY_AT);
	in = rd_init(b.data + BODY_AT, b.len - BODY_AT - ID_LEN);
	while (in.left > 0) {
		uint64_t t = rd_varint(&in);
		size_t n;
		const uint8_t *p = rd_string(&in, in.left, &n);

		if (!done && tag <= t) {
			wr_varint(out, tag);
			wr_string(out, value, len);
			done = true;
		}
		if (t != tag) {
			wr_varint(out, t);
			wr_string(out, p, n);
		}
	}
	if (!done) {
		wr_varint(out, tag);
		wr_string(out, value, len);
	}
	(void)buf_extend(out, ID_LEN);
	assert_int_equal(buf_ok(out, NULL), 0);
	seal(out);
	buf_clear(&b);
}

static int
decode(const struct buf *b, struct err *e)
{
	struct record r;
	int rc = record_decode(b->data, b->len, &keys, NULL, &r, e);

	if (rc == 0)
		record_clear(&r);
	return rc;
}

#define ID16   "0123456789abcdef"
#define ID32   ID16 ID16
#define ZERO16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define ZERO32 ZERO16 ZERO16

/* clang-format off */
static const struct {
	uint64_t tag;
	const char *value; /* NULL: the field is missing */
	size_t len;
	enum err_kind kind;
	const char *why;
} fields[] = {
#define FIELD(tag, s, kind, why) { tag, s, sizeof(s) - 1, kind, why }
#define MISSING(tag, kind) { tag, NULL, 0, kind, "missing" }
	MISSING(1, ERR_CORRUPT),
	MISSING(2, ERR_NONE),
	MISSING(3, ERR_CORRUPT),
	MISSING(4, ERR_NONE),
	MISSING(5, ERR_CORRUPT),
	MISSING(6, ERR_NONE),
	MISSING(7, ERR_CORRUPT),
	MISSING(8, ERR_NONE),
	MISSING(9, ERR_CORRUPT),
	MISSING(10, ERR_NONE),
	MISSING(11, ERR_CORRUPT),
	MISSING(12, ERR_NONE),
	MISSING(13, ERR_CORRUPT),
	MISSING(14, ERR_NONE),
	MISSING(15, ERR_CORRUPT),
	MISSING(16, ERR_NONE),
	MISSING(17, ERR_CORRUPT),
	MISSING(19, ERR_CORRUPT),
	MISSING(21, ERR_CORRUPT),
	MISSING(23, ERR_CORRUPT),
	MISSING(25, ERR_CORRUPT),
	/* Fields of the future. */
	FIELD(18, "anything", ERR_NONE, ""),
	FIELD(26, "anything", ERR_NONE, ""),
	FIELD(1000, "", ERR_NONE, ""),
	FIELD(27, "anything", ERR_UNSUPPORTED, "newer"),
	FIELD(1001, "", ERR_UNSUPPORTED, "newer"),
	{ 0, "", 0, ERR_CORRUPT, "fields are damaged" },
	/* Values. */
	FIELD(1, "\1", ERR_NONE, ""),
	FIELD(1, "", ERR_CORRUPT, "number"),
	FIELD(1, "\0", ERR_CORRUPT, "number"),
	FIELD(1, "\xff\xff\xff\x07", ERR_NONE, ""),
	FIELD(1, "\x80\x80\x80\x08", ERR_CORRUPT, "number"),
	FIELD(1, "\1\0", ERR_CORRUPT, "number: it is damaged"),
	FIELD(3, ID16, ERR_NONE, ""),
	FIELD(3, ID16 "x", ERR_CORRUPT, "id: it is damaged"),
	FIELD(3, "short", ERR_CORRUPT, "id: it is damaged"),
	FIELD(2, "\1\1" ID16, ERR_NONE, ""),
	FIELD(2, "\1\0" ID16, ERR_CORRUPT, "bases"),
	FIELD(2, "\2\1" ID16, ERR_CORRUPT, "too many items"),
	FIELD(2, "\0", ERR_NONE, ""),
	FIELD(2, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", ERR_CORRUPT,
	      "too many items"),
	FIELD(4, "\1\0\1a", ERR_NONE, ""),
	FIELD(4, "\2\0\1a\1\1b", ERR_NONE, ""),
	FIELD(4, "\1\0\1\0", ERR_CORRUPT, "damaged"),
	FIELD(4, "\2\0\1a", ERR_CORRUPT, "users"),
	FIELD(4, "\1\x80\x80\x80\x80\x10\1a", ERR_CORRUPT, "damaged"),
	FIELD(6, "\1\0\2a", ERR_CORRUPT, "damaged"),
	FIELD(7, ID16 "\1s", ERR_NONE, ""),
	FIELD(7, ID16 "\0", ERR_CORRUPT, "set"),
	FIELD(8, "\3\0\1a\0", ERR_NONE, ""),
	FIELD(8, "\3\0\1a", ERR_CORRUPT, "damaged"),
	FIELD(9, "\0\0", ERR_NONE, ""),
	FIELD(9, "\0", ERR_CORRUPT, "host"),
	FIELD(9, "\1\0\0", ERR_CORRUPT, "host"),
	FIELD(11, "\1\1", ERR_NONE, ""),
	FIELD(11, "\0\1", ERR_CORRUPT, "type"),
	FIELD(11, "\1\6", ERR_CORRUPT, "type"),
	FIELD(15, "", ERR_CORRUPT, "top directory"),
	FIELD(16, "", ERR_CORRUPT, "session"),
	FIELD(16, "anything", ERR_CORRUPT, "session"),
	FIELD(17, "\1\1a\1b", ERR_NONE, ""),
	FIELD(17, "\1\1a", ERR_CORRUPT, "damaged"),
	FIELD(17, "\1\1a\1b\0", ERR_CORRUPT, "damaged"),
	FIELD(19, "\1\1a\5\1b", ERR_NONE, ""),
	FIELD(19, "\1\1a\5", ERR_CORRUPT, "damaged"),
	FIELD(21, ZERO32 "\0", ERR_NONE, ""),
	FIELD(21, ID32 "\1", ERR_NONE, ""),
	FIELD(21, ZERO32 "\1", ERR_CORRUPT, "links"),
	FIELD(21, ID32 "\0", ERR_CORRUPT, "links"),
	FIELD(23, ID32 "\0", ERR_CORRUPT, "exceptions"),
	FIELD(25, "\1\1\1\1\1\1\1\1\1", ERR_NONE, ""),
	FIELD(25, "\1\1\1\1\1\1\1\1", ERR_CORRUPT, "counts"),
};
/* clang-format on */

static void
fields_are_refused_for_what_is_wrong_with_them(void **state)
{
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < N_OF(fields); i++) {
		struct err e = { 0 };

		encode_with(&b, fields[i].tag, fields[i].value, fields[i].len);
		(void)decode(&b, &e);
		if (e.kind != fields[i].kind ||
		    (e.kind != ERR_NONE &&
		     strstr(e.text, fields[i].why) == NULL))
			fail_msg("row %zu, tag %u: %d %s", i,
				 (unsigned)fields[i].tag, e.kind, e.text);
	}
	buf_clear(&b);
}

static void
missing_texts_are_empty_texts(void **state)
{
	struct buf b = { 0 };
	struct record r;

	(void)state;
	encode_with(&b, 14, NULL, 0);
	assert_int_equal(record_decode(b.data, b.len, &keys, NULL, &r, NULL),
			 0);
	assert_string_equal(r.comment, "");
	record_clear(&r);
	buf_clear(&b);
}

/* Offset, what stands there then, whether the sum is made right again. */
static const struct {
	size_t at;
	uint8_t value;
	bool sealed;
	enum err_kind kind;
	const char *why;
} fronts[] = {
	{ 0, 'A', true, ERR_CORRUPT, "begin" },
	{ 7, 1, true, ERR_CORRUPT, "begin" },
	{ 8, 2, true, ERR_UNSUPPORTED, "newer" },
	{ 11, 1, true, ERR_UNSUPPORTED, "newer" },
	{ 12, 0, false, ERR_CORRUPT, "length" },
	{ 15, 1, false, ERR_CORRUPT, "length" },
	{ 16, 1, false, ERR_CORRUPT, "checksum" },
	{ 16, 1, true, ERR_UNSUPPORTED, "newer" },
	{ 23, 0x80, true, ERR_UNSUPPORTED, "newer" },
	{ 24, 1, true, ERR_NONE, "" }, /* only writers must know these */
	{ 32, 1, true, ERR_NONE, "" },
};

static void
fronts_are_refused_for_what_is_wrong_with_them(void **state)
{
	struct record r = sample_record();
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < N_OF(fronts); i++) {
		struct err e = { 0 };

		buf_reset(&b);
		assert_int_equal(record_encode(&r, &keys, &b, NULL), 0);
		b.data[fronts[i].at] = fronts[i].value;
		if (fronts[i].sealed)
			seal(&b);
		(void)decode(&b, &e);
		if (e.kind != fronts[i].kind ||
		    (e.kind != ERR_NONE &&
		     strstr(e.text, fronts[i].why) == NULL))
			fail_msg("row %zu: %d %s", i, e.kind, e.text);
	}
	buf_clear(&b);
}

static void
a_record_of_another_repository_is_refused(void **state)
{
	struct record r = sample_record();
	struct record back;
	struct buf b = { 0 };
	struct err e = { 0 };
	struct id_keys other;
	uint8_t id[16];

	(void)state;
	assert_int_equal(record_encode(&r, &keys, &b, NULL), 0);
	memcpy(id, r.repository_id, sizeof(id));
	id[15] ^= 1;
	assert_int_equal(record_decode(b.data, b.len, &keys, id, &back, &e),
			 -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_non_null(strstr(e.text, "another repository"));
	id_keys_derive(&other, (const uint8_t *)ID32);
	assert_int_equal(
		record_decode(b.data, b.len, &other, NULL, &back, NULL), -1);
	buf_clear(&b);
}

/* --- damage -------------------------------------------------------------- */

static void
damaged_records_are_refused(void **state)
{
	struct record r = sample_record();
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(record_encode(&r, &keys, &b, NULL), 0);
	for (size_t at = 0; at < b.len; at++) {
		for (unsigned flip = 1; flip < 256; flip <<= 1) {
			b.data[at] ^= (uint8_t)flip;
			assert_int_equal(decode(&b, NULL), -1);
			b.data[at] ^= (uint8_t)flip;
		}
	}
	for (size_t len = 0; len < b.len; len++) {
		struct buf cut = { malloc(len + 1), len, len, false };

		assert_non_null(cut.data);
		memcpy(cut.data, b.data, len);
		assert_int_equal(decode(&cut, NULL), -1);
		free(cut.data);
	}
	assert_int_equal(decode(&b, NULL), 0);
	buf_clear(&b);
}

/* Damage that has a right checksum: an attacker with the key, a bad writer. */
static void
wrong_bodies_are_refused_or_valid(void **state)
{
	struct record r = sample_record();
	struct record back;
	struct buf b = { 0 };
	struct buf again = { 0 };

	(void)state;
	assert_int_equal(record_encode(&r, &keys, &b, NULL), 0);
	for (size_t at = BODY_AT; at < b.len - ID_LEN; at++) {
		uint8_t was = b.data[at];

		for (unsigned flip = 1; flip < 256; flip++) {
			b.data[at] = (uint8_t)(was ^ flip);
			seal(&b);
			if (record_decode(b.data, b.len, &keys, NULL, &back,
					  NULL) < 0)
				continue;
			buf_reset(&again);
			assert_int_equal(
				record_encode(&back, &keys, &again, NULL), 0);
			record_clear(&back);
		}
		b.data[at] = was;
	}
	buf_clear(&b);
	buf_clear(&again);
}

static int
encode_and_decode(void *ctx)
{
	struct record r = sample_record();
	struct record back;
	struct buf b = { 0 };
	struct err e = { 0 };
	int rc = record_encode(&r, &keys, &b, &e);

	(void)ctx;
	if (rc == 0)
		rc = record_decode(b.data, b.len, &keys, NULL, &back, &e);
	if (rc == 0)
		record_clear(&back);
	assert_int_equal(e.kind, rc < 0 ? ERR_NOMEM : ERR_NONE);
	buf_clear(&b);
	return rc;
}

static void
running_out_of_memory_is_said_and_leaves_nothing(void **state)
{
	(void)state;
	damage_memory(encode_and_decode, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_comes_back_as_it_was),
		cmocka_unit_test(a_record_with_the_least_in_it_comes_back),
		cmocka_unit_test(long_tables_come_back),
		cmocka_unit_test(types_have_names),
		cmocka_unit_test(nothing_is_written_that_could_not_be_read),
		cmocka_unit_test(
			fields_are_refused_for_what_is_wrong_with_them),
		cmocka_unit_test(missing_texts_are_empty_texts),
		cmocka_unit_test(
			fronts_are_refused_for_what_is_wrong_with_them),
		cmocka_unit_test(a_record_of_another_repository_is_refused),
		cmocka_unit_test(damaged_records_are_refused),
		cmocka_unit_test(wrong_bodies_are_refused_or_valid),
		cmocka_unit_test(
			running_out_of_memory_is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, make_keys, NULL);
}
