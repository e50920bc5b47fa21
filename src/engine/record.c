/*
 * The body is a sequence of tagged fields, and this file is a table of them:
 * tag, whether it must be there, how it is written and how it is read.
 *
 * A decoded record lives in one block of memory, `memory`: first the arrays,
 * each aligned, then strings and the root's bytes.  What is needed is known
 * before the first of them is made: the counts of the lists, each compared
 * with the bytes that are there, give the arrays; strings with their NULs
 * are never longer than their encodings with their lengths.  So nothing moves
 * while it is decoded, and no count alone allocates anything.
 *
 * Encoding ends with decoding what was written: a generation that could not
 * be read again is not published.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/record.h"

#include "base/cursor.h"
#include "base/err.h"

#include <inttypes.h>
#include <string.h>

#define MAGIC       "asofgen" /* with its NUL */
#define MAGIC_LEN   8
#define VERSION     1
#define BODY_LEN_AT (MAGIC_LEN + 4)
#define HEADER_LEN  (MAGIC_LEN + 4 + 4 + 3 * 8)
#define BODY_MAX    (UINT32_C(16) << 20)
#define NSEC_MAX    999999999

enum tag {
	TAG_NUMBER = 1,
	TAG_BASES = 2,
	TAG_ID = 3,
	TAG_USERS = 4,
	TAG_REPOSITORY = 5,
	TAG_GROUPS = 6,
	TAG_SET = 7,
	TAG_EXCLUDES = 8,
	TAG_HOST = 9,
	TAG_SINCE_FULL = 10,
	TAG_TYPES = 11,
	TAG_TOOL = 12,
	TAG_TIMES = 13,
	TAG_COMMENT = 14,
	TAG_ROOT = 15,
	TAG_SESSION = 16,
	TAG_SOURCES = 17,
	TAG_FILE_SYSTEMS = 19,
	TAG_LINKS = 21,
	TAG_EXCEPTIONS = 23,
	TAG_COUNTS = 25,
	TAG_MAX = 25,
};

/* --- types of generations ------------------------------------------------ */

static const char *const type_names[] = {
	[GEN_FULL] = "full",
	[GEN_INCREMENTAL] = "incremental",
	[GEN_DIFFERENTIAL] = "differential",
	[GEN_LOG] = "log",
	[GEN_COPY] = "copy",
};

#define TYPES (sizeof(type_names) / sizeof(type_names[0]))

static bool
type_ok(unsigned type)
{
	return type >= GEN_FULL && type < TYPES;
}

const char *
generation_type_name(unsigned type)
{
	return type_ok(type) ? type_names[type] : "unknown";
}

unsigned
generation_type_parse(const char *s)
{
	for (unsigned type = GEN_FULL; type < TYPES; type++)
		if (strcmp(type_names[type], s) == 0)
			return type;
	return 0;
}

int
generation_type_is_base(unsigned session_type)
{
	return session_type == GEN_FULL || session_type == GEN_INCREMENTAL;
}

/* --- writing the fields -------------------------------------------------- */

static void
put_string(struct buf *b, const char *s)
{
	wr_string(b, s != NULL ? s : "", s != NULL ? strlen(s) : 0);
}

static void
put_time(struct buf *b, struct ts t)
{
	wr_svarint(b, t.sec);
	wr_varint(b, t.nsec);
}

static void
put_number(struct buf *b, const struct record *r)
{
	wr_varint(b, r->number);
}

static void
put_bases(struct buf *b, const struct record *r)
{
	wr_varint(b, r->base_count);
	for (size_t i = 0; i < r->base_count; i++) {
		wr_varint(b, r->base[i].number);
		wr_bytes(b, r->base[i].id, sizeof(r->base[i].id));
	}
}

static void
put_id(struct buf *b, const struct record *r)
{
	wr_bytes(b, r->id, sizeof(r->id));
}

static void
put_names(struct buf *b, const struct record_name *v, size_t n)
{
	wr_varint(b, n);
	for (size_t i = 0; i < n; i++) {
		wr_varint(b, v[i].id);
		put_string(b, v[i].name);
	}
}

static void
put_users(struct buf *b, const struct record *r)
{
	put_names(b, r->user, r->user_count);
}

static void
put_groups(struct buf *b, const struct record *r)
{
	put_names(b, r->group, r->group_count);
}

static void
put_repository(struct buf *b, const struct record *r)
{
	wr_bytes(b, r->repository_id, sizeof(r->repository_id));
}

static void
put_set(struct buf *b, const struct record *r)
{
	wr_bytes(b, r->set_id, sizeof(r->set_id));
	put_string(b, r->set);
}

static void
put_excludes(struct buf *b, const struct record *r)
{
	wr_varint(b, r->exclude_count);
	for (size_t i = 0; i < r->exclude_count; i++)
		put_string(b, r->exclude[i]);
}

static void
put_host(struct buf *b, const struct record *r)
{
	put_string(b, r->machine);
	put_string(b, r->host);
}

static void
put_since_full(struct buf *b, const struct record *r)
{
	wr_varint(b, r->incrementals);
	wr_varint(b, r->differentials);
}

static void
put_types(struct buf *b, const struct record *r)
{
	wr_u8(b, r->session_type);
	wr_u8(b, r->effective_type);
}

static void
put_tool(struct buf *b, const struct record *r)
{
	put_string(b, r->tool);
}

static void
put_times(struct buf *b, const struct record *r)
{
	put_time(b, r->start);
	put_time(b, r->instant);
	put_time(b, r->end);
}

static void
put_comment(struct buf *b, const struct record *r)
{
	put_string(b, r->comment);
}

static void
put_sources(struct buf *b, const struct record *r)
{
	wr_varint(b, r->source_count);
	for (size_t i = 0; i < r->source_count; i++) {
		put_string(b, r->source[i].typed);
		put_string(b, r->source[i].resolved);
	}
}

static void
put_file_systems(struct buf *b, const struct record *r)
{
	wr_varint(b, r->fs_count);
	for (size_t i = 0; i < r->fs_count; i++) {
		put_string(b, r->fs[i].id);
		wr_varint(b, r->fs[i].type);
		put_string(b, r->fs[i].mount_point);
	}
}

static void
put_links(struct buf *b, const struct record *r)
{
	wr_bytes(b, r->links.b, ID_LEN);
	wr_varint(b, r->link_count);
}

static void
put_exceptions(struct buf *b, const struct record *r)
{
	wr_bytes(b, r->exceptions.b, ID_LEN);
	wr_varint(b, r->exception_count);
}

static void
put_counts(struct buf *b, const struct record *r)
{
	wr_varint(b, r->counts.entries);
	wr_varint(b, r->counts.inodes);
	wr_varint(b, r->counts.bytes);
	wr_varint(b, r->counts.files_read);
	wr_varint(b, r->counts.bytes_read);
	wr_varint(b, r->counts.errors);
	wr_varint(b, r->counts.chunks_new);
	wr_varint(b, r->counts.bytes_stored);
	wr_varint(b, r->counts.xattrs);
}

/* --- reading the fields -------------------------------------------------- */

/* The fields as they stand in the body; p is NULL for one that is missing. */
struct fields {
	struct rd at[TAG_MAX + 1];
	bool present[TAG_MAX + 1];
	size_t body_len;
};

/* Memory for n elements; there is room, see reserve(). */
static void *
take(struct record *r, size_t n, size_t size)
{
	size_t pad = -r->memory.len % _Alignof(max_align_t);
	uint8_t *p;

	/* Strings, with size 1, need no alignment. */
	if (size > 1)
		r->memory.len += pad;
	p = r->memory.data + r->memory.len;
	r->memory.len += n * size;
	return p;
}

/* A string without NULs inside, as a C string. */
static const char *
get_string(struct rd *in, struct record *r)
{
	size_t len;
	const uint8_t *p = rd_string(in, BODY_MAX, &len);
	char *s;

	if (p == NULL || memchr(p, '\0', len) != NULL) {
		in->bad = true;
		in->left = 0;
		return "";
	}
	s = take(r, len + 1, 1);
	memcpy(s, p, len);
	s[len] = '\0';
	return s;
}

static void
get_time(struct rd *in, struct ts *t)
{
	t->sec = rd_svarint(in);
	t->nsec = (uint32_t)rd_varint_max(in, NSEC_MAX);
}

/* The readers return NULL, or what is wrong; damage is asked for once. */

static const char *
get_number(struct rd *in, struct record *r)
{
	r->number = (uint32_t)rd_varint_max(in, RECORD_NUMBER_MAX);
	return r->number > 0 ? NULL : "its number is none";
}

static const char *
get_bases(struct rd *in, struct record *r)
{
	r->base_count = (size_t)rd_varint(in);
	r->base = take(r, r->base_count, sizeof(*r->base));
	for (size_t i = 0; i < r->base_count; i++) {
		struct record_base *b = &r->base[i];

		b->number = (uint32_t)rd_varint_max(in, RECORD_NUMBER_MAX);
		rd_copy(in, b->id, sizeof(b->id));
		if (b->number == 0)
			return "the number of a base is none";
	}
	return NULL;
}

static const char *
get_id(struct rd *in, struct record *r)
{
	rd_copy(in, r->id, sizeof(r->id));
	return NULL;
}

static void
get_names(struct rd *in, struct record *r, struct record_name **v, size_t *n)
{
	*n = (size_t)rd_varint(in);
	*v = take(r, *n, sizeof(**v));
	for (size_t i = 0; i < *n; i++) {
		(*v)[i].id = (uint32_t)rd_varint_max(in, UINT32_MAX);
		(*v)[i].name = get_string(in, r);
	}
}

static const char *
get_users(struct rd *in, struct record *r)
{
	get_names(in, r, &r->user, &r->user_count);
	return NULL;
}

static const char *
get_groups(struct rd *in, struct record *r)
{
	get_names(in, r, &r->group, &r->group_count);
	return NULL;
}

static const char *
get_repository(struct rd *in, struct record *r)
{
	rd_copy(in, r->repository_id, sizeof(r->repository_id));
	return NULL;
}

static const char *
get_set(struct rd *in, struct record *r)
{
	rd_copy(in, r->set_id, sizeof(r->set_id));
	r->set = get_string(in, r);
	if (r->set[0] == '\0' || strlen(r->set) > SET_NAME_MAX)
		return "the name of its set is none";
	return NULL;
}

static const char *
get_excludes(struct rd *in, struct record *r)
{
	r->exclude_count = (size_t)rd_varint(in);
	r->exclude = take(r, r->exclude_count, sizeof(*r->exclude));
	for (size_t i = 0; i < r->exclude_count; i++)
		r->exclude[i] = get_string(in, r);
	return NULL;
}

static const char *
get_host(struct rd *in, struct record *r)
{
	r->machine = get_string(in, r);
	r->host = get_string(in, r);
	return NULL;
}

static const char *
get_since_full(struct rd *in, struct record *r)
{
	r->incrementals = rd_varint(in);
	r->differentials = rd_varint(in);
	return NULL;
}

static const char *
get_types(struct rd *in, struct record *r)
{
	r->session_type = rd_u8(in);
	r->effective_type = rd_u8(in);
	if (!type_ok(r->session_type) || !type_ok(r->effective_type))
		return "its type is unknown";
	return NULL;
}

static const char *
get_tool(struct rd *in, struct record *r)
{
	r->tool = get_string(in, r);
	return NULL;
}

static const char *
get_times(struct rd *in, struct record *r)
{
	get_time(in, &r->start);
	get_time(in, &r->instant);
	get_time(in, &r->end);
	return NULL;
}

static const char *
get_comment(struct rd *in, struct record *r)
{
	r->comment = get_string(in, r);
	return NULL;
}

/* The entry of a top directory, which is all of the field. */
static bool
get_top(struct rd *in, struct record *r, struct entry *out)
{
	size_t len = in->left;
	const uint8_t *p = rd_bytes(in, len);
	uint8_t *copy = take(r, len, 1);

	memcpy(copy, p, len);
	return entry_decode(copy, len, true, out, NULL) == 0;
}

static const char *
get_root(struct rd *in, struct record *r)
{
	if (!get_top(in, r, &r->root))
		return "the entry of its top directory is damaged";
	return NULL;
}

static const char *
get_session(struct rd *in, struct record *r)
{
	if (!get_top(in, r, &r->session) || r->session.type != ENTRY_DIR)
		return "the entry of its session's tree is damaged";
	return NULL;
}

static const char *
get_sources(struct rd *in, struct record *r)
{
	r->source_count = (size_t)rd_varint(in);
	r->source = take(r, r->source_count, sizeof(*r->source));
	for (size_t i = 0; i < r->source_count; i++) {
		r->source[i].typed = get_string(in, r);
		r->source[i].resolved = get_string(in, r);
	}
	return NULL;
}

static const char *
get_file_systems(struct rd *in, struct record *r)
{
	r->fs_count = (size_t)rd_varint(in);
	r->fs = take(r, r->fs_count, sizeof(*r->fs));
	for (size_t i = 0; i < r->fs_count; i++) {
		r->fs[i].id = get_string(in, r);
		r->fs[i].type = rd_varint(in);
		r->fs[i].mount_point = get_string(in, r);
	}
	return NULL;
}

/* A reference to a tree of nodes; none and no items go together. */
static const char *
get_reference(struct rd *in, struct id *id, uint64_t *count)
{
	rd_copy(in, id->b, ID_LEN);
	*count = rd_varint(in);
	if (id_is_zero(id) != (*count == 0))
		return "a list is there without items, or items without it";
	return NULL;
}

static const char *
get_links(struct rd *in, struct record *r)
{
	return get_reference(in, &r->links, &r->link_count);
}

static const char *
get_exceptions(struct rd *in, struct record *r)
{
	return get_reference(in, &r->exceptions, &r->exception_count);
}

static const char *
get_counts(struct rd *in, struct record *r)
{
	r->counts.entries = rd_varint(in);
	r->counts.inodes = rd_varint(in);
	r->counts.bytes = rd_varint(in);
	r->counts.files_read = rd_varint(in);
	r->counts.bytes_read = rd_varint(in);
	r->counts.errors = rd_varint(in);
	r->counts.chunks_new = rd_varint(in);
	r->counts.bytes_stored = rd_varint(in);
	r->counts.xattrs = rd_varint(in);
	return NULL;
}

/* --- the table ----------------------------------------------------------- */

struct field {
	const char *name;
	void (*put)(struct buf *b, const struct record *r);
	const char *(*get)(struct rd *in, struct record *r);
	/* Lists: bytes that an element takes in memory, and at least in the
	 * file. */
	size_t size, least;
};

/* By tag; root and session are written apart, as that can fail. */
static const struct field table[TAG_MAX + 1] = {
	[TAG_NUMBER] = { "number", put_number, get_number, 0, 0 },
	[TAG_BASES] = { "bases", put_bases, get_bases,
			sizeof(struct record_base), 1 + 16 },
	[TAG_ID] = { "id", put_id, get_id, 0, 0 },
	[TAG_USERS] = { "users", put_users, get_users,
			sizeof(struct record_name), 2 },
	[TAG_REPOSITORY] = { "repository id", put_repository, get_repository, 0,
			     0 },
	[TAG_GROUPS] = { "groups", put_groups, get_groups,
			 sizeof(struct record_name), 2 },
	[TAG_SET] = { "set", put_set, get_set, 0, 0 },
	[TAG_EXCLUDES] = { "excludes", put_excludes, get_excludes,
			   sizeof(const char *), 1 },
	[TAG_HOST] = { "host", put_host, get_host, 0, 0 },
	[TAG_SINCE_FULL] = { "since full", put_since_full, get_since_full, 0,
			     0 },
	[TAG_TYPES] = { "types", put_types, get_types, 0, 0 },
	[TAG_TOOL] = { "tool", put_tool, get_tool, 0, 0 },
	[TAG_TIMES] = { "times", put_times, get_times, 0, 0 },
	[TAG_COMMENT] = { "comment", put_comment, get_comment, 0, 0 },
	[TAG_ROOT] = { "root", NULL, get_root, 0, 0 },
	[TAG_SESSION] = { "session", NULL, get_session, 0, 0 },
	[TAG_SOURCES] = { "sources", put_sources, get_sources,
			  sizeof(struct record_source), 2 },
	[TAG_FILE_SYSTEMS] = { "file systems", put_file_systems,
			       get_file_systems, sizeof(struct record_fs), 3 },
	[TAG_LINKS] = { "links", put_links, get_links, 0, 0 },
	[TAG_EXCEPTIONS] = { "exceptions", put_exceptions, get_exceptions, 0,
			     0 },
	[TAG_COUNTS] = { "counts", put_counts, get_counts, 0, 0 },
};

/* Odd tags must be there and be understood, even ones need not. */
static bool
is_needed(uint64_t tag)
{
	return tag % 2 != 0;
}

/* --- decoding ------------------------------------------------------------ */

static int
corrupt(const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "generation record: %s", what);
}

static int
corrupt_field(unsigned tag, const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "generation record: %s: %s",
		       table[tag].name, what);
}

static int
unsupported(struct err *e)
{
	return err_set(e, ERR_UNSUPPORTED,
		       "generation record: it was made by a newer asof, which "
		       "is needed to read it");
}

/* Find the fields; nothing is looked at inside them. */
static int
split_fields(const uint8_t *body, size_t len, struct fields *f, struct err *e)
{
	struct rd r = rd_init(body, len);
	uint64_t last = 0;

	memset(f, 0, sizeof(*f));
	f->body_len = len;
	while (r.left > 0) {
		uint64_t tag = rd_varint(&r);
		size_t n;
		const uint8_t *p = rd_string(&r, BODY_MAX, &n);

		if (!rd_ok(&r) || tag <= last)
			return corrupt("its fields are damaged", e);
		last = tag;
		if (tag <= TAG_MAX && table[tag].get != NULL) {
			f->at[tag] = rd_init(p, n);
			f->present[tag] = true;
		} else if (is_needed(tag)) {
			return unsupported(e);
		}
	}
	return 0;
}

/* One block for all that the fields hold; see the top of this file. */
static int
reserve(const struct fields *f, struct record *r, struct err *e)
{
	size_t need = f->body_len;

	for (unsigned tag = 1; tag <= TAG_MAX; tag++) {
		const struct field *d = &table[tag];
		struct rd in = f->at[tag];
		uint64_t n;

		if (d->size == 0 || !f->present[tag])
			continue;
		n = rd_varint_max(&in, RECORD_LIST_MAX);
		if (!rd_ok(&in) || n > in.left / d->least)
			return corrupt_field(tag, "it has too many items", e);
		need += n * d->size + _Alignof(max_align_t);
	}
	if (!buf_reserve(&r->memory, need + 1))
		return err_nomem(e);
	return 0;
}

static int
decode_fields(struct fields *f, struct record *r, struct err *e)
{
	/* Arrays and strings share the block; any order of them fits. */
	for (unsigned tag = 1; tag <= TAG_MAX; tag++) {
		struct rd *in = &f->at[tag];
		const char *why;

		if (table[tag].get == NULL)
			continue;
		if (!f->present[tag]) {
			if (is_needed(tag))
				return corrupt_field(tag, "it is missing", e);
			continue;
		}
		why = table[tag].get(in, r);
		if (why != NULL)
			return corrupt_field(tag, why, e);
		if (!rd_done(in))
			return corrupt_field(tag, "it is damaged", e);
	}
	return 0;
}

static int
decode_body(const uint8_t *body, size_t len, struct record *r, struct err *e)
{
	struct fields f;

	r->tool = "";
	r->comment = "";
	if (split_fields(body, len, &f, e) < 0 || reserve(&f, r, e) < 0)
		return -1;
	return decode_fields(&f, r, e);
}

/* Everything around the body; *body is where it stands. */
static int
decode_frame(const void *p, size_t len, const struct id_keys *keys,
	     struct record *r, struct rd *body, struct err *e)
{
	struct rd in = rd_init(p, len);
	const uint8_t *magic = rd_bytes(&in, MAGIC_LEN);
	uint32_t version = rd_u32(&in);
	uint32_t body_len = rd_u32(&in);
	struct id sum;

	if (magic == NULL || memcmp(magic, MAGIC, MAGIC_LEN) != 0)
		return corrupt("it does not begin like one", e);
	if (!rd_ok(&in))
		return corrupt("it ends too soon", e);
	if (body_len > BODY_MAX ||
	    len != (size_t)HEADER_LEN + body_len + ID_LEN)
		return corrupt("its length is not what it says", e);
	r->features.read = rd_u64(&in);
	r->features.write = rd_u64(&in);
	r->features.ignorable = rd_u64(&in);
	id_compute(keys, KIND_RECORD, p, len - ID_LEN, &sum);
	*body = rd_init(rd_bytes(&in, body_len), body_len);
	if (memcmp(sum.b, in.p, ID_LEN) != 0)
		return corrupt("its checksum is wrong", e);
	/* What surrounds the body is the same in every version. */
	if (version != VERSION)
		return unsupported(e);
	if ((r->features.read & ~FEATURES_READ_KNOWN) != 0)
		return unsupported(e);
	return 0;
}

int
record_decode(const void *p, size_t len, const struct id_keys *keys,
	      const uint8_t repository_id[16], struct record *out,
	      struct err *e)
{
	struct record r = { 0 };
	struct rd body;

	if (decode_frame(p, len, keys, &r, &body, e) < 0)
		return -1;
	if (decode_body(body.p, body.left, &r, e) < 0)
		goto fail;
	if (repository_id != NULL && memcmp(r.repository_id, repository_id,
					    sizeof(r.repository_id)) != 0) {
		(void)corrupt("it belongs to another repository", e);
		goto fail;
	}
	*out = r;
	return 0;
fail:
	record_clear(&r);
	return -1;
}

void
record_clear(struct record *r)
{
	buf_clear(&r->memory);
	memset(r, 0, sizeof(*r));
}

/* --- encoding ------------------------------------------------------------ */

/* Optional fields without anything in them are left out. */
static bool
is_empty(const struct record *r, unsigned tag)
{
	switch (tag) {
	case TAG_BASES:
		return r->base_count == 0;
	case TAG_USERS:
		return r->user_count == 0;
	case TAG_GROUPS:
		return r->group_count == 0;
	case TAG_EXCLUDES:
		return r->exclude_count == 0;
	case TAG_TOOL:
		return r->tool == NULL || r->tool[0] == '\0';
	case TAG_SESSION:
		return r->session.type == 0;
	case TAG_COMMENT:
		return r->comment == NULL || r->comment[0] == '\0';
	default:
		return false;
	}
}

static int
put_body(struct buf *b, const struct record *r, struct err *e)
{
	struct buf value = { 0 };
	int rc = 0;

	for (unsigned tag = 1; tag <= TAG_MAX && rc == 0; tag++) {
		if (table[tag].get == NULL || is_empty(r, tag))
			continue;
		buf_reset(&value);
		if (tag == TAG_ROOT)
			rc = entry_encode(&r->root, &value, e);
		else if (tag == TAG_SESSION)
			rc = entry_encode(&r->session, &value, e);
		else
			table[tag].put(&value, r);
		if (rc == 0)
			rc = buf_ok(&value, e);
		wr_varint(b, tag);
		wr_string(b, value.data, value.len);
	}
	buf_clear(&value);
	return rc;
}

/* What was written must be readable, also by the rules for what it says. */
static int
check_encoded(const struct buf *b, const struct id_keys *keys, struct err *e)
{
	struct record r = { 0 };
	struct err why = { 0 };

	if (record_decode(b->data, b->len, keys, NULL, &r, &why) == 0) {
		record_clear(&r);
		return 0;
	}
	if (why.kind == ERR_NOMEM)
		return err_nomem(e);
	return err_set(e, ERR_USAGE, "it cannot be stored: %s", why.text);
}

int
record_encode(const struct record *r, const struct id_keys *keys,
	      struct buf *out, struct err *e)
{
	struct buf b = { 0 };
	struct id sum;
	int rc = -1;

	wr_bytes(&b, MAGIC, MAGIC_LEN);
	wr_u32(&b, VERSION);
	wr_u32(&b, 0);
	wr_u64(&b, r->features.read);
	wr_u64(&b, r->features.write);
	wr_u64(&b, r->features.ignorable);
	if (put_body(&b, r, e) < 0 || buf_ok(&b, e) < 0)
		goto out;
	if (b.len - HEADER_LEN > BODY_MAX) {
		(void)err_set(e, ERR_USAGE,
			      "generation record: %zu bytes are more than a "
			      "record can have",
			      b.len);
		goto out;
	}
	wr_u32_at(&b, BODY_LEN_AT, (uint32_t)(b.len - HEADER_LEN));
	id_compute(keys, KIND_RECORD, b.data, b.len, &sum);
	wr_bytes(&b, sum.b, ID_LEN);
	if (buf_ok(&b, e) < 0 || check_encoded(&b, keys, e) < 0)
		goto out;
	wr_bytes(out, b.data, b.len);
	rc = buf_ok(out, e);
out:
	buf_clear(&b);
	return rc;
}
